# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import errno
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _same_bytes
from ansible_collections.emprops.comfyui.plugins.module_utils._same_bytes import SameBytesError, link_same

WEIGHTS = b"weights" * 1000


@pytest.fixture(name="store")
def fixture_store(tmp_path):
    store = tmp_path / "store"
    for folder in ("checkpoints", "unet"):
        (store / folder).mkdir(parents=True)
    (store / "checkpoints/a").write_bytes(WEIGHTS)
    return store


@pytest.fixture(name="source")
def fixture_source(store):
    return store / "checkpoints/a"


@pytest.fixture(name="target")
def fixture_target(store):
    return store / "unet/b"


def failing(number):
    def fail(*_arguments):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture(name="no_links")
def fixture_no_links(monkeypatch):
    """A file system whose files have one name each, as it looks when the two are on different ones or have too many names already."""
    monkeypatch.setattr(os, "link", failing(errno.EXDEV))


@pytest.fixture(name="reflinks")
def fixture_reflinks(monkeypatch, no_links):
    """A file system that can share blocks: here it copies them, which looks the same."""

    def ioctl(handle, request, source):
        assert request == 0x40049409
        os.write(handle, os.pread(source, 1 << 20, 0))

    monkeypatch.setattr(fcntl, "ioctl", ioctl)


@pytest.fixture(name="no_reflinks")
def fixture_no_reflinks(monkeypatch, no_links):
    monkeypatch.setattr(fcntl, "ioctl", failing(errno.EOPNOTSUPP))


def names(store):
    return sorted(str(path.relative_to(store)) for path in store.rglob("*") if not path.is_dir())


@pytest.mark.parametrize("before", [None, b"old"], ids=["a free name", "a name that is taken"])
@pytest.mark.parametrize(
    "fixture, manner", [(None, "hard link"), ("reflinks", "reflink"), ("no_reflinks", "symlink")], ids=["links", "reflinks", "neither"]
)
def test_two_names_become_one_file_as_the_file_system_can(request, store, source, target, fixture, manner, before):
    if fixture:
        request.getfixturevalue(fixture)
    if before:
        target.write_bytes(before)
    assert link_same(source, target, store) == manner
    assert target.read_bytes() == WEIGHTS
    assert names(store) == ["checkpoints/a", "unet/b"]
    assert target.samefile(source) == (manner != "reflink")
    assert target.is_symlink() == (manner == "symlink")


def test_a_file_of_its_own_has_the_permissions_of_the_first(store, source, target, reflinks):
    source.chmod(0o640)
    link_same(source, target, store)
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_symlink_is_relative_so_that_the_store_can_be_mounted_elsewhere(store, source, target, no_reflinks):
    link_same(source, target, store)
    assert str(target.readlink()) == "../checkpoints/a"
    assert (store.rename(store.with_name("elsewhere")) / "unet/b").read_bytes() == WEIGHTS


def test_a_symlink_never_leads_to_a_symlink(store, source, no_reflinks):
    (store / "unet/alias").symlink_to("../checkpoints/a")
    (store / "Stable-diffusion").symlink_to("checkpoints")
    assert link_same(store / "unet/alias", store / "Stable-diffusion/b", store) == "symlink"
    assert (store / "checkpoints/b").readlink() == Path("a")


@pytest.mark.parametrize("fixture, manner", [(None, "hard link"), ("no_reflinks", "symlink")])
def test_what_is_one_file_already_stays_so(request, store, source, target, fixture, manner):
    if fixture:
        request.getfixturevalue(fixture)
    assert link_same(source, target, store) == manner
    before = target.lstat().st_ctime_ns
    assert link_same(source, target, store) == manner
    assert target.lstat().st_ctime_ns == before
    assert names(store) == ["checkpoints/a", "unet/b"]


def test_a_file_is_the_same_as_itself(store, source):
    (store / "alias").symlink_to("checkpoints")
    assert link_same(source, store / "alias/a", store) == "hard link"
    assert source.read_bytes() == WEIGHTS and not source.is_symlink()


def test_a_first_name_that_leads_to_the_second_is_no_loop(store, source, target):
    target.symlink_to(source)
    link_same(target, source, store)
    assert source.read_bytes() == WEIGHTS and not source.is_symlink()


def test_who_reads_the_old_file_goes_on_reading_it(store, source, target):
    target.write_bytes(b"old")
    with target.open("rb") as reader:
        link_same(source, target, store)
        assert reader.read() == b"old"


def test_a_symlink_in_the_place_is_replaced_not_followed(store, source, target):
    victim = store / "checkpoints/victim"
    victim.write_bytes(b"precious")
    target.symlink_to(victim)
    link_same(source, target, store)
    assert victim.read_bytes() == b"precious" and not target.is_symlink()


@pytest.mark.parametrize(
    "spoil, message",
    [
        pytest.param(lambda source, target: source.unlink(), "No such file", id="no source"),
        pytest.param(lambda source, target: (source.unlink(), source.mkdir()), "that is not a file", id="a folder as the source"),
        pytest.param(lambda source, target: (source.unlink(), os.mkfifo(source)), "that is not a file", id="a pipe as the source"),
        pytest.param(lambda source, target: (source.unlink(), source.symlink_to(source)), "symbolic links", id="a loop as the source"),
        pytest.param(lambda source, target: (source.unlink(), source.symlink_to("/etc/passwd")), "not in the store", id="a source outside"),
        pytest.param(lambda source, target: target.mkdir(), "directory", id="a folder in the place"),
        pytest.param(lambda source, target: target.parent.rmdir(), "No such file", id="no folder"),
        pytest.param(
            lambda source, target: (target.parent.rmdir(), target.parent.symlink_to("/tmp")), "not in the store", id="a folder outside"
        ),
    ],
)
def test_what_cannot_be_is_refused_naming_both(store, source, target, spoil, message):
    spoil(source, target)
    before = names(store)
    with pytest.raises(SameBytesError, match=message) as caught:
        link_same(source, target, store)
    assert str(source) in str(caught.value) and str(target) in str(caught.value)
    assert names(store) == before


def test_a_full_disk_is_told_and_the_old_file_stays(store, source, target, no_reflinks, monkeypatch):
    target.write_bytes(b"old")
    monkeypatch.setattr(os, "symlink", failing(errno.ENOSPC))
    with pytest.raises(SameBytesError, match="No space left on device"):
        link_same(source, target, store)
    assert target.read_bytes() == b"old" and names(store) == ["checkpoints/a", "unet/b"]


def test_a_clone_that_fails_leaves_nothing(store, source, target, no_links, monkeypatch):
    monkeypatch.setattr(fcntl, "ioctl", failing(errno.ENOSPC))
    assert link_same(source, target, store) == "symlink"
    assert names(store) == ["checkpoints/a", "unet/b"]


def test_a_first_file_that_goes_away_meanwhile_leaves_no_dangling_link(store, source, target, no_reflinks, monkeypatch):
    symlink = os.symlink

    def symlink_late(*arguments, **values):
        source.unlink(missing_ok=True)
        symlink(*arguments, **values)

    monkeypatch.setattr(os, "symlink", symlink_late)
    with pytest.raises(SameBytesError, match="No such file"):
        link_same(source, target, store)
    assert names(store) == []


def test_what_a_killed_run_left_goes_with_the_next_one(store, source, target):
    os.link(source, target.with_name(".b.0123456789abcdef.link"))
    target.with_name(".b.link").touch()
    link_same(source, target, store)
    assert names(store) == ["checkpoints/a", "unet/.b.link", "unet/b"]
    assert source.stat().st_nlink == 2


def test_the_new_name_outlives_a_power_cut(store, source, target, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink()))
    link_same(source, target, store)
    assert synced == [target.parent]


def test_a_name_of_full_length_has_room_beside_it(store, source):
    target = store / "unet" / ("é" * 127 + "x")
    assert link_same(source, target, store) == "hard link"
    assert target.samefile(source)


def test_several_at_once_end_with_one_whole_file(store, source, target, monkeypatch):
    monkeypatch.setattr(_same_bytes, "TRIES", 1000)
    target.write_bytes(b"old")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _number: link_same(source, target, store), range(40)))
    assert target.samefile(source) and names(store) == ["checkpoints/a", "unet/b"]


def test_a_place_that_never_stands_still_is_told(store, source, target, monkeypatch):
    monkeypatch.setattr(Path, "replace", failing(errno.ENOENT))
    with pytest.raises(SameBytesError, match="another process keeps changing it"):
        link_same(source, target, store)
    assert names(store) == ["checkpoints/a"]
