# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _model_partial
from ansible_collections.emprops.comfyui.plugins.module_utils._model_partial import MIB, Extents, Partial, begun, leftovers
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError
from hypothesis import given
from hypothesis import strategies as st

CONTENT = random.Random(4).randbytes(3 * MIB + 77)
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
KEY = SHA256


class ClaimLostError(Exception):
    """As the guard of a claim raises it."""


@pytest.fixture(name="target")
def fixture_target(tmp_path):
    return tmp_path / "a.safetensors"


@pytest.fixture(autouse=True)
def fixture_small_steps(monkeypatch):
    monkeypatch.setattr(_model_partial, "CHECKPOINT_STEP", MIB)


def put(partial, start, end, content=CONTENT):
    partial.write_at(start, memoryview(content)[start:end])


def begin(target, *ranges, etag='"1"', total=SIZE, key=KEY, hash_on=True):
    """What a run leaves behind that ended too early; returns its partial file."""
    with Partial(target, key, 0) as partial:
        partial.resume(provable=True)
        partial.describe(etag, total, "here")
        for start, end in ranges:
            put(partial, start, end)
        if hash_on:
            assert partial.hash_on() == []
    return next(path for path in target.parent.iterdir() if path.name.endswith(".part"))


def journal_of(path):
    return path.with_name(f"{path.name}.json")


def spoil(path, offset):
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


def hash_all(partial):
    gone = []
    while partial.behind:
        gone += partial.hash_on()
    return gone


# extents


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60))), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60))))
def test_extents_are_sets_of_bytes(added, removed):
    def bytes_of(ranges):
        return {byte for start, end in ranges for byte in range(start, end)}

    extents = Extents.of(added)
    assert bytes_of(extents) == bytes_of(added) and extents.held == len(bytes_of(added))
    assert bytes_of(extents.without(removed)) == bytes_of(added) - bytes_of(removed)
    assert bytes_of(extents.clipped(20, 40)) == bytes_of(added) & set(range(20, 40))
    assert bytes_of(extents.gaps(50)) == set(range(50)) - bytes_of(added)
    assert extents.prefix == next(byte for byte in range(100) if byte not in bytes_of(added))
    assert all(first[1] < second[0] for first, second in zip(list(extents), list(extents)[1:], strict=False))


# from nothing to a file


def test_bytes_in_any_order_become_the_file(target):
    with Partial(target, KEY, 0) as partial:
        assert partial.resume(provable=True) == 0 and not partial.resumed
        partial.describe("", SIZE)
        assert partial.missing() == [(0, SIZE)]
        put(partial, 2 * MIB, SIZE)
        assert (partial.size, partial.prefix, partial.behind) == (MIB + 77, 0, 0)
        put(partial, 0, 2 * MIB)
        assert partial.missing() == [] and hash_all(partial) == []
        assert partial.hexdigest() == SHA256 and partial.head() == CONTENT[:512]
        with partial.open() as file:
            assert file.read() == CONTENT
        found = partial.publish(-1, -1)
        assert os.path.samestat(found, target.stat())
    assert target.read_bytes() == CONTENT and target.stat().st_mode & 0o777 == 0o644
    assert list(target.parent.iterdir()) == [target]


def test_publication_replaces_the_old_file_in_one_step(target):
    target.write_bytes(b"old")
    with target.open("rb") as reader, Partial(target, KEY, 0) as partial:
        put(partial, 0, SIZE)
        partial.publish(-1, -1)
        assert reader.read() == b"old"
    assert target.read_bytes() == CONTENT


def test_what_holds_nothing_leaves_nothing(target):
    with pytest.raises(KeyError), Partial(target, KEY, 0):
        raise KeyError
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "a.b c$(x)%.bin", "x\n.gguf", "[a-z]*?.pt"])
def test_any_name_that_a_file_can_have_can_be_begun_and_ended(tmp_path, name):
    target = tmp_path / name
    path = begin(target, (0, MIB))
    assert begun(target, KEY) == path.stat().st_blocks * 512 > 0
    with Partial(target, KEY, 0) as partial:
        assert partial.size == MIB
        put(partial, MIB, SIZE)
        partial.publish(-1, -1)
    assert list(tmp_path.iterdir()) == [target]


def test_long_names_that_begin_alike_do_not_share_anything(tmp_path):
    first, second = tmp_path / ("n" * 250 + "1"), tmp_path / ("n" * 250 + "2")
    begin(first, (0, MIB))
    assert begun(second, KEY) == 0
    with Partial(second, KEY, 0) as partial:
        assert not partial.resumed
        put(partial, 0, MIB)
        partial.publish(-1, -1)
    assert begun(first, KEY) > 0


# going on


def test_the_next_run_goes_on_with_what_is_there(target):
    begin(target, (0, MIB), (2 * MIB, 3 * MIB))
    with Partial(target, KEY, 0) as partial:
        assert partial.resume(provable=True) == 0 and partial.resumed
        assert (partial.etag, partial.total, partial.origin, partial.size) == ('"1"', SIZE, "here", 2 * MIB)
        assert partial.missing() == [(MIB, 2 * MIB), (3 * MIB, SIZE)]
        for start, end in partial.missing():
            put(partial, start, end)
        assert hash_all(partial) == [] and partial.hexdigest() == SHA256
    assert len(leftovers(target.parent)) == 2


def test_another_key_does_not_go_on_with_it_and_a_finished_file_clears_it_away(target):
    begin(target, (0, MIB), key="other")
    assert (begun(target, KEY), begun(target, "other")) == (0, MIB)
    with Partial(target, KEY, 0) as partial:
        assert not partial.resumed
        put(partial, 0, MIB)
        partial.publish(-1, -1)
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    "etag, expected",
    [
        pytest.param('"1"', 2 * MIB, id="one ETag: what the checkpoints cover"),
        pytest.param("", 0, id="no ETag: nothing"),
    ],
)
def test_without_a_published_digest_only_what_is_proved_is_kept(target, etag, expected):
    path = begin(target, (0, 2 * MIB), (2 * MIB + 5, 3 * MIB), etag=etag)
    with Partial(target, KEY, 0) as partial:
        before = partial.size
        assert partial.resume(provable=False) == before - expected
        assert (partial.size, partial.resumed) == (expected, expected > 0)
        assert partial.path.exists() and not path.exists()


def test_without_a_digest_and_an_etag_nothing_is_left_behind(target):
    with Partial(target, KEY, 0) as partial:
        partial.resume(provable=False)
        partial.describe("", SIZE)
        put(partial, 0, MIB)
        partial.save()
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(
    "offset, kept",
    [
        pytest.param(0, 0, id="in the first step"),
        pytest.param(MIB + 3, MIB, id="in the second"),
        pytest.param(2 * MIB - 1, MIB, id="at the end of the second"),
    ],
)
def test_bytes_that_went_bad_are_found_and_come_again_and_those_before_do_not(target, offset, kept):
    path = begin(target, (0, 2 * MIB), (2 * MIB + 9, 3 * MIB))
    spoil(path, offset)
    with Partial(target, KEY, 0) as partial:
        partial.resume(provable=True)
        put(partial, 3 * MIB, SIZE)  # what came in this run stays
        gone = hash_all(partial)
        assert gone == [(kept, 2 * MIB), (2 * MIB + 9, 3 * MIB)] and partial.hashed == kept
        assert partial.missing() == [(kept, 3 * MIB)]
        put(partial, kept, 3 * MIB)
        assert hash_all(partial) == [] and partial.hexdigest() == SHA256


def test_a_partial_file_that_was_cut_short_is_worth_what_is_left_of_it(target):
    path = begin(target, (0, 2 * MIB))
    os.truncate(path, MIB + 10)
    with Partial(target, KEY, 0) as partial:
        partial.resume(provable=True)
        assert partial.missing() == [(MIB + 10, SIZE)]
        put(partial, MIB + 10, SIZE)
        assert hash_all(partial) == [] and partial.hexdigest() == SHA256


JOURNALS = {
    "none": None,
    "garbled": b"\0{",
    "of another version": {"version": 2},
    "of another file": {"key": "00" * 32},
    "with a range that is none": {"extents": [[5, 5]]},
    "with a range that is text": {"extents": [["0", "5"]]},
    "with a range before the beginning": {"extents": [[-5, 5]]},
    "with a range behind the end": {"extents": [[0, 2**60]]},
    "with yes for a size": {"total": True},
    "with a list of checkpoints": {"checkpoints": []},
}


@pytest.mark.parametrize("change", JOURNALS.values(), ids=JOURNALS)
def test_a_journal_that_makes_no_sense_is_no_journal(target, change):
    path = begin(target, (0, MIB))
    journal = journal_of(path)
    if isinstance(change, dict):
        journal.write_text(json.dumps({**json.loads(journal.read_text()), **change}))
    elif change is None:
        journal.unlink()
    else:
        journal.write_bytes(change)
    with Partial(target, KEY, 0) as partial:
        assert (partial.size, partial.resumed) == (0, False)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("kind", ["symlink", "hard link", "fifo", "folder"])
def test_what_only_looks_like_a_partial_file_of_ours_harms_nobody(target, tmp_path, kind):
    path = begin(target, (0, MIB))
    victim = tmp_path / "victim"
    path.rename(victim)
    make = {"symlink": path.symlink_to, "hard link": path.hardlink_to, "fifo": lambda _: os.mkfifo(path), "folder": lambda _: path.mkdir()}
    make[kind](victim)
    with Partial(target, KEY, 0) as partial:
        assert not partial.resumed
        put(partial, 0, 10, bytes(10))
        partial.publish(-1, -1)
    assert victim.read_bytes() == CONTENT[:MIB] and target.read_bytes() == bytes(10)


def test_a_leftover_goes_to_one_of_those_who_want_it(target):
    begin(target, (0, MIB))
    with Partial(target, KEY, 0) as first, Partial(target, KEY, 0) as second:
        assert (second.size, second.resumed) == (MIB, True)  # the first one is taken to be dead
        with pytest.raises(DownloadError, match="cannot put"):
            first.publish(-1, -1)
        first.start_over()
        put(second, MIB, SIZE)
        second.publish(-1, -1)
    assert target.read_bytes() == CONTENT


def test_the_best_of_several_leftovers_is_taken_and_the_others_go(target, tmp_path):
    small = begin(target, (0, MIB))
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for path in (small, journal_of(small)):
        path.rename(hidden / path.name)
    begin(target, (0, 2 * MIB))
    for path in hidden.iterdir():
        path.rename(tmp_path / path.name)
    with Partial(target, KEY, 0) as partial:
        assert partial.size == 2 * MIB
        assert sorted(leftovers(tmp_path)) == [partial.path, partial.journal]


# the journal


def test_the_journal_tells_only_what_was_made_durable_before(target, monkeypatch):
    order = []
    real = os.fdatasync
    with Partial(target, KEY, 0) as partial:
        partial.describe('"1"', SIZE, "here")
        put(partial, 0, MIB)

        def fdatasync(handle):
            assert not partial.journal.exists()
            put(partial, MIB, 2 * MIB)  # too late for this one
            order.append(handle)
            real(handle)

        monkeypatch.setattr(os, "fdatasync", fdatasync)
        hash_all(partial)
        partial.save()
        assert len(order) == 1
        told = json.loads(partial.journal.read_text())
        assert told == {
            "version": 1,
            "key": told["key"],
            "etag": '"1"',
            "origin": "here",
            "total": SIZE,
            "extents": [[0, MIB]],
            "checkpoints": {str(MIB): hashlib.sha256(CONTENT[:MIB]).hexdigest()},
        }
        assert partial.journal.stat().st_mode & 0o777 == 0o600
        monkeypatch.undo()


def test_a_large_file_has_its_checkpoints_further_apart(target):
    with Partial(target, KEY, 0) as partial:
        partial.describe("", 4 * MIB * _model_partial.MOST_CHECKPOINTS)
        put(partial, 0, SIZE)
        hash_all(partial)
        partial.save()
        assert list(json.loads(partial.journal.read_text())["checkpoints"]) == [str(SIZE)]


@pytest.mark.parametrize("moment", ["before the journal", "between journal and file", "after the file"])
def test_a_kill_while_a_leftover_is_taken_over_loses_nothing(target, moment):
    begin(target, (0, 2 * MIB))
    code = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from ansible_collections.emprops.comfyui.plugins.module_utils import _model_partial as m
        def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
        replace, unlink = Path.replace, Path.unlink
        if {moment!r} == "before the journal":
            m.Partial._write_journal = die
        elif {moment!r} == "between journal and file":
            Path.replace = lambda self, to: die() if self.name.endswith(".part") else replace(self, to)
        else:
            Path.unlink = lambda self, **how: die() if self.name.endswith(".part.json") else unlink(self, **how)
        m.Partial(Path({str(target)!r}), {KEY!r}, 0).__enter__()
    """)
    ended = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False)
    assert ended.returncode == -signal.SIGKILL
    with Partial(target, KEY, 0) as partial:
        assert partial.size == 2 * MIB
        put(partial, 2 * MIB, SIZE)
        assert hash_all(partial) == [] and partial.hexdigest() == SHA256
        partial.publish(-1, -1)
    assert list(target.parent.iterdir()) == [target]


# another process has it


def test_a_lost_claim_stops_every_change_and_leaves_the_file_alone(target):
    lost = []

    def guard():
        if lost:
            raise ClaimLostError

    with pytest.raises(ClaimLostError), Partial(target, KEY, 0, guard) as partial:
        partial.describe('"1"', SIZE)
        put(partial, 0, MIB)
        partial.save()
        lost.append(True)
        for change in (partial.save, partial.start_over, lambda: partial.publish(-1, -1)):
            with pytest.raises(ClaimLostError):
                change()
        partial.discard()
        with pytest.raises(ClaimLostError):
            put(partial, MIB, 2 * MIB)
        put(partial, MIB, 2 * MIB)
    assert not target.exists()


def test_who_has_lost_its_file_does_not_touch_its_heir(target):
    begin(target, (0, MIB))
    with Partial(target, KEY, 0) as first, Partial(target, KEY, 0) as heir:
        first.save()
        first.discard()
        assert heir.path.stat().st_size == MIB and heir.journal.exists()
        assert sorted(leftovers(target.parent)) == [heir.path, heir.journal]
    assert begun(target, KEY) > 0


# the disk


def full(error, only_from=0):
    real = os.pwrite

    def pwrite(handle, view, offset):
        if offset >= only_from:
            raise OSError(error, os.strerror(error))
        return real(handle, view, offset)

    return pwrite


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_is_named_and_gets_its_room_back(target, monkeypatch, error):
    with Partial(target, KEY, 0) as partial:
        put(partial, 0, MIB)
        partial.save()
        monkeypatch.setattr(os, "pwrite", full(error, MIB))
        with pytest.raises(DownloadError, match=f"the disk of {target.parent} is full: there is no room for a.safetensors"):
            put(partial, MIB, 2 * MIB)
        assert os.fstat(partial._handle).st_blocks == 0  # at once, not when the last one closes it
        monkeypatch.undo()
        with pytest.raises(DownloadError, match="full"):
            put(partial, 0, MIB)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("error, words", [(errno.ENOSPC, "is full"), (errno.EIO, "reports an error")])
def test_bytes_that_are_lost_on_their_way_to_the_disk_are_never_published(target, monkeypatch, error, words):
    def fdatasync(handle):
        raise OSError(error, os.strerror(error))

    with Partial(target, KEY, 0) as partial:
        put(partial, 0, MIB)
        monkeypatch.setattr(os, "fdatasync", fdatasync)
        with pytest.raises(DownloadError, match=words):
            partial.save()
        monkeypatch.undo()  # the kernel says it once
        for change in (lambda: put(partial, MIB, 2 * MIB), lambda: partial.publish(-1, -1)):
            with pytest.raises(DownloadError, match=words):
                change()
    assert list(target.parent.iterdir()) == []


def test_a_small_disk_really_fills(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        with Partial(disk / "a", KEY, 0) as partial, pytest.raises(DownloadError, match=f"the disk of {disk} is full"):
            for start in range(0, 3 * MIB, MIB):
                put(partial, start, start + MIB)
        room = os.statvfs(disk)
        assert list(disk.iterdir()) == [] and room.f_bfree == room.f_blocks
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_download_stops_at_the_reserve(target, monkeypatch):
    monkeypatch.setattr(_model_partial, "SPACE_CHECK_INTERVAL", 1000)
    with Partial(target, KEY, 2**60) as partial, pytest.raises(DownloadError, match="less than the reserve of"):
        put(partial, 0, MIB)
    assert list(target.parent.iterdir()) == []


def test_a_folder_that_was_removed_meanwhile_is_named(tmp_path):
    folder = tmp_path / "loras"
    folder.mkdir()
    with Partial(folder / "a", KEY, 0) as partial:
        put(partial, 0, MIB)
        partial.path.unlink()
        folder.rmdir()
        put(partial, MIB, 2 * MIB)
        with pytest.raises(DownloadError, match=f"cannot put {folder / 'a'} in place: its partial file was taken away"):
            partial.publish(-1, -1)
    with pytest.raises(DownloadError, match=f"cannot write {folder}.*No such file"), Partial(folder / "a", KEY, 0):
        pass


def test_a_folder_in_the_place_of_the_file_is_named_and_the_bytes_stay(target):
    target.mkdir()
    with Partial(target, KEY, 0) as partial, pytest.raises(DownloadError, match=f"cannot put {target} in place: Is a directory"):
        put(partial, 0, MIB)
        partial.publish(-1, -1)
    assert begun(target, KEY) > 0


# a file that another program made


def test_a_file_that_another_program_made_is_taken_as_it_is(target):
    with Partial(target, KEY, 0) as partial:
        put(partial, 0, 10, bytes(10))
        partial.draft.write_bytes(CONTENT)
        partial.take(partial.draft)
        assert hash_all(partial) == [] and partial.hexdigest() == SHA256 and partial.total == SIZE
        partial.publish(-1, -1)
    assert target.read_bytes() == CONTENT and list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("kind", ["symlink", "hard link", "nothing"])
def test_what_another_program_made_must_be_a_file_of_its_own(target, tmp_path, kind):
    victim = tmp_path / "victim"
    victim.write_bytes(CONTENT)
    with Partial(target, KEY, 0) as partial:
        {"symlink": partial.draft.symlink_to, "hard link": partial.draft.hardlink_to, "nothing": lambda _: None}[kind](victim)
        with pytest.raises(DownloadError):
            partial.take(partial.draft)
    assert list(tmp_path.iterdir()) == [victim] and victim.read_bytes() == CONTENT


# what is there


def test_leftovers_are_all_that_belongs_to_unfinished_downloads_and_nothing_else(tmp_path):
    ours = begin(tmp_path / "a", (0, MIB))
    for name in (f"{ours.name}.whole", f".{ours.name}.json.partial"):
        (tmp_path / name).touch()
    for name in ("a.part", ".a.part", ".a.12345678.part", ".a.12345678.1234567.part", ".a.12345678.12345678.partx", "b.safetensors"):
        (tmp_path / name).touch()
    draft = f".{ours.name}.json.partial"
    assert {path.name for path in leftovers(tmp_path)} == {ours.name, f"{ours.name}.json", f"{ours.name}.whole", draft}
    assert leftovers(tmp_path / "missing") == [] and begun(tmp_path / "missing/a", KEY) == 0


def test_the_working_files_lie_beside_the_target_under_names_that_say_nothing_of_the_address(target):
    key = "https://h/a?token=secret"
    path = begin(target, (0, MIB), key=key)
    assert path.parent == target.parent and "secret" not in path.name and "secret" not in journal_of(path).read_text()
    assert Path(path).name.startswith(".a.safetensors.")
