# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""On real files. A run is killed by a real SIGKILL before each of its steps in turn."""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._model_claims import Claims
from ansible_collections.emprops.comfyui.plugins.module_utils._model_index import Index
from ansible_collections.emprops.comfyui.plugins.module_utils._store import (
    Declarations,
    OpenFiles,
    StoreError,
    open_inodes,
    parse_declared,
    walk,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._store_cleanup import (
    DAY,
    Limits,
    plan_cleanup,
    plan_restore,
    put_cleanup,
    read_quarantine,
)

BLOCK = 8192  # whole blocks on every file system, so that sizes are what the disk holds
STEPS = ("link", "unlink", "symlink", "rename", "mkdir", "rmdir", "replace")
NOBODY_ELSE = OpenFiles(set(), True)


class Store:
    """A store, looked at some days from now, when the files that a test makes are no longer young."""

    def __init__(self, root):
        self.path = root / "store"
        self.path.mkdir()
        self.state = root / "state"

    def put(self, name, blocks=1, days_ago=0.0):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode().ljust(blocks * BLOCK, b"."))
        used = time.time() - days_ago * DAY
        os.utime(path, (used, used))
        return path

    def link(self, name, text):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(text)
        return path

    def plan(self, declared=(), days=2.0, opened=NOBODY_ELSE, **limits):
        declarations = Declarations(self.path, parse_declared(declared))
        now = time.time() + days * DAY
        return plan_cleanup(self.path, walk(self.path), declarations, Limits(**limits), Index(self.state), opened, now)

    def run(self, declared=(), days=2.0, **limits):
        plan = self.plan(declared, days, **limits)
        put_cleanup(plan, Index(self.state), time.time() + days * DAY)
        assert not plan.failures
        return plan

    def restore(self, *names):
        plan = plan_restore(self.path, names, walk(self.path), NOBODY_ELSE)
        put_cleanup(plan, Index(self.state), time.time())
        return plan

    @property
    def names(self):
        """What instances see."""
        return sorted(file.relative for file in walk(self.path).files)

    @property
    def put_away(self):
        return sorted(one.origin for one in read_quarantine(self.path))


@pytest.fixture(name="store")
def fixture_store(tmp_path):
    return Store(tmp_path)


@pytest.fixture(name="deep_folder")
def fixture_deep_folder(tmp_path):
    folder = tmp_path / "deep"
    (folder / ".a.safetensors.01234567.xet").mkdir(parents=True)
    script = "import os\nfor _level in range(1500): os.mkdir('d'); os.chdir('d')"
    try:
        subprocess.run([sys.executable, "-c", script], cwd=folder / ".a.safetensors.01234567.xet", check=True)
        yield folder
    finally:
        subprocess.run(["rm", "-rf", "--", folder], check=True)  # which pytest could not


def kept(plan):
    return {action.path: action.why for action in plan.actions if action.action == "kept"}


def day(days=2.0):
    return datetime.fromtimestamp(time.time() + days * DAY, timezone.utc).date().isoformat()


# --- what goes and what stays --------------------------------------------------------------------------------------


def test_what_nobody_declared_goes_to_quarantine_and_can_be_found_there(store):
    store.put("loras/old.safetensors")
    store.put("loras/wanted.safetensors")
    store.put("loras/read me.txt")
    Index(store.state).save()
    plan = store.run([{"directory": "loras", "name": "wanted.safetensors"}])
    assert store.names == ["loras/read me.txt", "loras/wanted.safetensors"]
    place = f"{day()}/loras/old.safetensors"
    assert (store.path / ".quarantine" / place).read_bytes().startswith(b"loras/old")
    words = json.loads((store.path / ".quarantine/manifest.json").read_text())["files"]
    assert list(words) == [place]
    assert {**words[place], "when": ""} == {
        "from": "loras/old.safetensors",
        "when": "",
        "why": "nobody declared it",
        "size": BLOCK,
        "sha256": None,
    }
    result = plan.result(dry=False)
    assert (result["freed"], result["quarantined"], result["quarantine"]) == (0, BLOCK, {"files": 1, "bytes": BLOCK})
    assert result["kept_because"] == {"declared": 1, "no model": 1} and result["not_freed"] is None
    assert store.run([{"directory": "loras", "name": "wanted.safetensors"}]).actions == []


def test_a_plan_changes_nothing_and_tells_what_it_would(store):
    store.put("loras/old.safetensors", 3)
    result = store.plan().result(dry=True)
    assert (result["would_free"], result["would_quarantine"]) == (0, 3 * BLOCK) and "freed" not in result
    assert result["message"].startswith("dry run: nothing was changed; files that would be deleted: 0 (0 bytes); files that would be put")
    [row] = result["files"]
    assert row["action"] == "quarantined" and row["reason"] == "nobody declared it" and row["last_use"].endswith("+00:00")
    assert store.names == ["loras/old.safetensors"] and not (store.path / ".quarantine").exists() and not store.state.exists()


@pytest.mark.parametrize(
    ("declared", "limits"),
    [
        pytest.param([{"directory": "diffusion_models", "name": "flux/a.safetensors"}], {}, id="declared under its present folder"),
        pytest.param([{"directory": "unet/flux", "name": "a.safetensors"}], {}, id="declared as it is"),
        pytest.param([{"directory": "unet", "name": "flux", "owner": "keep"}], {}, id="its folder is declared"),
        pytest.param([{"directory": "loras", "name": "link.safetensors"}], {}, id="a link to it is declared"),
        pytest.param([], {"keep": ("unet/flux/*",)}, id="kept by a pattern"),
        pytest.param([], {"keep": ("*/a.*",)}, id="kept by its name"),
        pytest.param([], {"keep": ("unet",)}, id="kept by its folder"),
        pytest.param([], {"keep": ("diffusion_models/flux/",)}, id="kept by its folder's present name"),
        pytest.param([], {"keep": ("loras/link*",)}, id="a link to it is kept"),
        pytest.param([], {"minimum_age": 3 * DAY}, id="young"),
    ],
)
@pytest.mark.parametrize("bound", [{}, {"max_bytes": 1}, {"free_bytes": 2**62}], ids=["unreferenced", "max_bytes", "free_bytes"])
def test_what_is_wanted_is_never_touched(store, declared, limits, bound):
    store.put("unet/flux/a.safetensors")
    store.link("loras/link.safetensors", "../unet/flux/a.safetensors")
    plan = store.run(declared, **limits, **bound)
    assert store.names == ["loras/link.safetensors", "unet/flux/a.safetensors"] and not plan.changes
    assert sum(plan.kept_because.values()) == 1


@pytest.mark.parametrize("way", ["open", "mapped"])
def test_what_a_process_has_open_stays(store, way):
    path = store.put("loras/a.safetensors")
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        if way == "mapped":
            file.close()
        assert kept(store.plan(opened=open_inodes())) == {"loras/a.safetensors": "a process has it open"}
        mapped.close()
    assert not kept(store.plan(opened=open_inodes()))


def test_what_a_download_has_claimed_stays(store):
    path = store.put("loras/a.safetensors")
    with Claims() as claims, claims.take(path):
        plan = store.plan(days=0, minimum_age=0)
    [why] = kept(plan).values()
    assert why.startswith("a download has claimed it: ") and plan.kept_because == {"claimed": 1}


def test_hidden_files_and_what_lies_outside_of_the_store_stay(store, tmp_path):
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes(bytes(BLOCK))
    store.link("loras/a.safetensors", outside)
    store.put("loras/.secret.safetensors")
    assert not store.run(max_bytes=1).changes and outside.exists() and (store.path / "loras/.secret.safetensors").exists()


# --- links and hard links ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [{}, {"max_bytes": 1}], ids=["to quarantine", "at once"])
def test_the_links_to_a_file_go_with_it(store, limits):
    store.put("loras/a.safetensors")
    store.link("vae/b.safetensors", "../loras/a.safetensors")
    store.link("sams/c.safetensors", store.path / "vae/b.safetensors")
    [action] = store.run(**limits).actions
    assert store.names == [] and sorted(action.result["links"]) == ["sams/c.safetensors", "vae/b.safetensors"]


def test_bytes_count_when_the_last_name_goes(store):
    path = store.put("loras/a.safetensors", 2)
    (store.path / "loras/b.safetensors").hardlink_to(path)
    plan = store.run([{"directory": "loras", "name": "a.safetensors"}], quarantine=0)
    assert [action.path for action in plan.done("deleted")] == ["loras/b.safetensors"] and plan.freed == 0
    (store.path / "loras/b.safetensors").hardlink_to(path)
    assert store.plan(quarantine=0).freed == 2 * BLOCK


def test_a_file_with_a_name_out_of_the_store_frees_nothing_and_is_no_answer_to_a_full_disk(store, tmp_path):
    path = store.put("loras/a.safetensors", days_ago=9)
    (tmp_path / "elsewhere").hardlink_to(path)
    store.put("loras/b.safetensors")
    plan = store.run(max_bytes=1)
    assert store.names == ["loras/a.safetensors"]
    assert plan.result(dry=False)["not_freed"] == {"bytes": BLOCK - 1, "held_by": {"other names": BLOCK}}


# --- bounds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("most", "left"),
    [
        pytest.param(6 * BLOCK, "abc", id="nothing has to go"),
        pytest.param(6 * BLOCK - 1, "ac", id="the one that was not used for longest"),
        pytest.param(4 * BLOCK, "ac", id="exactly full is full enough"),
        pytest.param(3 * BLOCK, "a", id="the next one too, whole as it is"),
        pytest.param(1, "", id="all"),
    ],
)
def test_a_cache_keeps_its_bound_and_loses_what_was_not_used_for_longest(store, most, left):
    for name, blocks, days_ago in (("a", 1, 1), ("b", 2, 9), ("c", 3, 5)):
        store.put(f"loras/{name}.safetensors", blocks, days_ago)
    assert "".join(name[6] for name in (store.run(max_bytes=most), store.names)[1]) == left
    assert not (store.path / ".quarantine").exists()


def test_being_recorded_is_no_use_for_an_audit_records_everything(store):
    for name in "ab":
        store.put(f"loras/{name}.safetensors", days_ago=9 if name == "a" else 5)
    index = Index(store.state)
    path = store.path / "loras/a.safetensors"
    index.record(path, path.stat(), "0" * 64, "hub", False)
    index.save()
    store.run(max_bytes=BLOCK)
    assert store.names == ["loras/b.safetensors"]


def test_room_that_cannot_be_made_is_told_with_what_holds_it(store):
    store.put("loras/wanted.safetensors", 3)
    store.put("loras/young.safetensors", 2)
    store.put("loras/gone.safetensors")
    result = store.run([{"directory": "loras", "name": "wanted.safetensors"}], keep=("*/young*",), max_bytes=BLOCK).result(dry=False)
    assert result["not_freed"] == {"bytes": 4 * BLOCK, "held_by": {"declared": 3 * BLOCK, "kept": 2 * BLOCK}}
    assert "are lacking still" in result["message"] and result["freed"] == BLOCK


class Room:
    """A disk with so many blocks free, for nobody can rely on the real one's while tests run."""

    def __init__(self, monkeypatch, blocks):
        self.blocks = blocks
        real = os.statvfs

        def statvfs(path):
            found = list(real(path))
            found[1], found[4] = BLOCK, self.blocks
            return os.statvfs_result(found)

        monkeypatch.setattr(os, "statvfs", statvfs)


def test_as_much_goes_as_is_lacking_and_what_is_in_quarantine_counts(store, monkeypatch):
    Room(monkeypatch, 10)
    for name, days_ago in (("a", 9), ("b", 5), ("c", 1)):
        store.put(f"loras/{name}.safetensors", 2, days_ago)
    assert store.run(free_bytes=10 * BLOCK).actions == []
    assert [action.path for action in store.run(free_bytes=13 * BLOCK).actions] == ["loras/a.safetensors", "loras/b.safetensors"]
    assert store.run(free_bytes=13 * BLOCK).actions == []  # not one more with every day that it is not deleted yet
    assert store.names == ["loras/c.safetensors"]


def test_only_bytes_that_the_disk_holds_count_as_freed(store):
    path = store.put("loras/a.safetensors")
    with path.open("r+b") as file:
        file.truncate(2**34)  # a sparse file has no bytes on the disk
    plan = store.run(quarantine=0)
    assert plan.freed == BLOCK
    assert {"freed", "free_before", "free_after"} <= set(plan.result(dry=False))


# --- quarantine ----------------------------------------------------------------------------------------------------


def test_what_lay_in_quarantine_long_enough_is_deleted(store):
    store.put("loras/a/b.safetensors")
    store.run()
    assert store.run(days=8).actions == []
    assert store.run(days=9.1, delete_quarantined=False).actions == []
    plan = store.run(days=9.1)
    assert [action.path for action in plan.done("deleted")] == [f".quarantine/{day()}/loras/a/b.safetensors"] and plan.freed == BLOCK
    assert [path.name for path in (store.path / ".quarantine").iterdir()] == ["manifest.json"]
    assert json.loads((store.path / ".quarantine/manifest.json").read_text())["files"] == {}


# Whoever may write in the store may write there what is no time and no word, or that a file never was put away.
DEEP = "[" * 900 + "]" * 900
WRONG_ENTRIES = [
    f'{{"files": {{"PLACE": {entry}}}}}'
    for entry in (
        "[]",
        '{"when": "never"}',
        '{"when": "0001-01-01T00:00:00+14:00"}',
        '{"when": "9999-12-31T23:59:59-14:00"}',
        '{"when": "9998-01-01T00:00:00+00:00"}',
        '{"when": 1e999, "why": {"a": NaN}, "sha256": [[]], "size": -1}',
        f'{{"when": {{}}, "why": {DEEP}, "sha256": {DEEP}}}',
        '{"when": 20260101, "why": null}',
    )
]


@pytest.mark.parametrize("text", [None, "", "[]", '{"files": {"x": 3}}', *WRONG_ENTRIES])
def test_a_manifest_that_was_lost_is_written_anew_from_the_names(store, text):
    store.put("loras/a.safetensors")
    store.run()
    manifest = store.path / ".quarantine/manifest.json"
    manifest.unlink()
    if text is not None:
        manifest.write_text(text.replace("PLACE", f"{day()}/loras/a.safetensors"))
    store.put("vae/b.safetensors")
    store.run()
    files = json.loads(manifest.read_text())["files"]
    assert {words["from"]: words["why"] for words in files.values()} == {
        "loras/a.safetensors": "",
        "vae/b.safetensors": "nobody declared it",
    }
    assert {words["sha256"] for words in files.values()} == {None}
    # The end of its day, for it is sure to lie there by then.
    assert files[f"{day()}/loras/a.safetensors"]["when"] == f"{day(3)}T00:00:00+00:00"
    assert len(store.run(days=10.1).done("deleted")) == 2


def test_a_quarantine_that_is_a_link_is_refused(store, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    store.link(".quarantine", tmp_path / "elsewhere")
    store.put("loras/a.safetensors")
    with pytest.raises(StoreError, match="is a link"):
        store.plan()


@pytest.mark.parametrize("protection", ["open", "linked", "declared", "kept"])
def test_what_is_wanted_again_is_not_deleted_from_quarantine(store, protection):
    store.put("loras/a.safetensors")
    store.run()
    [one] = read_quarantine(store.path)
    limits = {"keep": ("loras/*",)} if protection == "kept" else {}
    declared = [{"directory": "loras", "name": "a.safetensors"}] if protection == "declared" else []
    if protection == "linked":
        store.link("vae/b.safetensors", store.path / one.place)
    opened = OpenFiles({(one.stat.st_dev, one.stat.st_ino)}, True) if protection == "open" else NOBODY_ELSE
    plan = store.plan(declared, days=20, opened=opened, **limits)
    assert list(kept(plan)) == [one.place] and not plan.changes


def test_a_declared_file_that_came_back_needs_no_copy_in_quarantine(store):
    store.put("loras/a.safetensors")
    store.run()
    store.put("loras/a.safetensors")
    assert store.run([{"directory": "loras", "name": "a.safetensors"}], days=20).freed == BLOCK
    assert store.names == ["loras/a.safetensors"]


def test_the_same_name_goes_to_quarantine_as_often_as_it_comes(store):
    for _time in range(3):
        store.put("loras/a.safetensors")
        store.run()
    assert store.put_away == ["loras/a.safetensors"] * 3
    assert sorted(path.name for path in (store.path / ".quarantine").iterdir()) == [day(), f"{day()}.1", f"{day()}.2", "manifest.json"]


def test_a_file_is_restored_with_its_links_and_its_digest(store):
    path = store.put("loras/a.safetensors")
    store.link("vae/b.safetensors", "../loras/a.safetensors")
    index = Index(store.state)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    index.record(path, path.stat(), digest, "https://hub.example/a", False)
    index.save()
    store.run()
    words = json.loads((store.path / ".quarantine/manifest.json").read_text())["files"]
    assert words[f"{day()}/loras/a.safetensors"]["sha256"] == digest
    plan = store.restore("loras/a.safetensors")
    assert not plan.failures and store.names == ["loras/a.safetensors", "vae/b.safetensors"] and store.put_away == []
    assert (store.path / "vae/b.safetensors").read_bytes() == path.read_bytes()
    assert Index(store.state).known(path, path.stat()) is not None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("loras/b.safetensors", "loras/b.safetensors is not in quarantine", id="not there"),
        pytest.param("../../etc/passwd", "../../etc/passwd is not in quarantine", id="a hostile name"),
        pytest.param("loras/a.safetensors", "loras/a.safetensors cannot be restored: another file is in its place", id="taken"),
    ],
)
def test_restoring_never_overwrites_and_knows_only_what_is_there(store, name, words):
    store.put("loras/a.safetensors")
    store.run()
    store.put("loras/a.safetensors", 2)
    plan = store.restore(name)
    assert plan.failures == [words] and not plan.changes and (store.path / "loras/a.safetensors").stat().st_size == 2 * BLOCK


def test_the_last_one_is_restored(store):
    for blocks in (1, 2):
        store.put("loras/a.safetensors", blocks)
        store.run(days=1 + blocks)
    store.restore("loras/a.safetensors")
    assert (store.path / "loras/a.safetensors").stat().st_size == 2 * BLOCK and store.put_away == ["loras/a.safetensors"]


# --- what dead downloads left --------------------------------------------------------------------------------------

PART = "loras/.a.safetensors.01234567.89abcdef.part"


@pytest.mark.parametrize(
    ("ages", "left"),
    [
        pytest.param({PART: 4, f"{PART}.json": 4}, [], id="dead"),
        pytest.param({PART: 4, f"{PART}.json": 4, "loras/.a.safetensors.claim": 4}, [], id="dead with its claim"),
        pytest.param({PART: 1}, [PART], id="it may go on"),
        pytest.param({PART: 4, f"{PART}.json": 1}, [PART, f"{PART}.json"], id="its journal is fresh"),
        pytest.param({PART: 4, "loras/.a.safetensors.claim": 1}, [PART, "loras/.a.safetensors.claim"], id="its claim is fresh"),
        pytest.param({PART: 4, "vae/.a.safetensors.claim": 1}, ["vae/.a.safetensors.claim"], id="another folder's claim is fresh"),
    ],
)
def test_what_dead_downloads_left_is_deleted(store, ages, left):
    for name, days_ago in ages.items():
        store.put(name, days_ago=days_ago)
    plan = store.run(days=0)
    assert [leftover.relative for leftover in walk(store.path).leftovers] == left
    assert plan.freed == BLOCK * (len(ages) - len(left))
    assert all("a download that is dead left it 96 hours ago" in action.reason for action in plan.actions)


@pytest.mark.parametrize(
    ("ages", "left"),
    [
        pytest.param({PART: 4, f"{PART}.whole": 4, f"loras/.{PART[6:]}.json.partial": 4}, 0, id="dead"),
        pytest.param({PART: 4, f"{PART}.whole": 1}, 2, id="another program makes it"),
        pytest.param({f"loras/.{PART[6:]}.json.partial": 4, "loras/.a.safetensors.claim": 1}, 2, id="its claim is fresh"),
    ],
)
def test_every_draft_goes_with_its_download(store, ages, left):
    for name, days_ago in ages.items():
        store.put(name, days_ago=days_ago)
    store.run(days=0)
    assert len(walk(store.path).leftovers) == left


@pytest.mark.parametrize(
    ("claim", "opened", "left"),
    [
        pytest.param(None, False, False, id="dead"),
        pytest.param(4, False, False, id="dead with its claim"),
        pytest.param(1, False, True, id="its claim is fresh"),
        pytest.param(None, True, True, id="a process has some of it open"),
    ],
)
def test_the_folder_of_another_programs_dead_download_goes_as_one(store, tmp_path, claim, opened, left):
    folder = store.path / "loras/.a.safetensors.01234567.xet"
    (tmp_path / "kept").mkdir()
    long_ago = time.time() - 4 * DAY
    for name in ("file/a/a.safetensors.incomplete", "home/b"):
        part = store.put(f"{folder.relative_to(store.path)}/{name}", 3, days_ago=4)
    (folder / "home/elsewhere").symlink_to(tmp_path)
    os.utime(folder / "home/elsewhere", (long_ago, long_ago), follow_symlinks=False)
    if claim:
        store.put("loras/.a.safetensors.claim", days_ago=claim)
    plan = store.plan(days=0, opened=OpenFiles({(part.stat().st_dev, part.stat().st_ino)} if opened else set(), True))
    put_cleanup(plan, Index(store.state), time.time())
    assert folder.exists() is left and (tmp_path / "kept").is_dir() and not plan.failures
    assert plan.freed >= (0 if left else 6 * BLOCK)


@pytest.mark.parametrize("change", ["written", "taken", "a link"])
def test_a_folder_of_a_download_that_changed_meanwhile_stays(store, tmp_path, change):
    folder = store.path / "loras/.a.safetensors.01234567.xet"
    store.put("loras/.a.safetensors.01234567.xet/file", days_ago=4)
    plan = store.plan(days=0)
    assert [action.path for action in plan.actions] == ["loras/.a.safetensors.01234567.xet"]
    if change == "written":
        (folder / "file").write_bytes(b"more")
    else:
        folder.rename(tmp_path / "away")
        (folder.symlink_to(tmp_path / "away") if change == "a link" else folder.mkdir())
    put_cleanup(plan, Index(store.state), time.time())
    assert "changed since" in plan.failures[0] and folder.exists()
    assert change == "written" or (tmp_path / "away/file").exists()


def test_a_folder_of_a_download_that_is_deeper_than_we_can_go_stops_nothing(store, deep_folder):
    (deep_folder / ".a.safetensors.01234567.xet").rename(store.path / ".a.safetensors.01234567.xet")
    store.put("loras/b.safetensors")
    try:
        plan = store.plan(days=4)
        put_cleanup(plan, Index(store.state), time.time() + 4 * DAY)
        assert store.names == [] and store.put_away == ["loras/b.safetensors"]
        assert plan.failures == [] or "recursion" in plan.failures[0]  # as this Python can
    finally:
        subprocess.run(["rm", "-rf", "--", store.path / ".a.safetensors.01234567.xet"], check=True)


def test_names_that_a_killed_run_made_of_other_files_go_and_those_stay(store):
    store.put("loras/a.safetensors", days_ago=9)
    (store.path / "loras/.b.safetensors.0123456789abcdef.link").hardlink_to(store.path / "loras/a.safetensors")
    (store.path / "loras/.0123456789abcdef.link").symlink_to("a.safetensors")
    declared = [{"directory": "loras", "name": "a.safetensors"}]
    assert not store.run(declared).actions  # made two days ago, whatever the file's time of writing is
    plan = store.run(declared, days=4)
    assert len(plan.actions) == 2 and walk(store.path).leftovers == [] and store.names == ["loras/a.safetensors"]


def test_a_cache_counts_what_downloads_hold(store):
    store.put("loras/a.safetensors", 2)
    store.put(PART, 3)
    assert store.run(max_bytes=5 * BLOCK).actions == []
    store.run(max_bytes=5 * BLOCK - 1)
    assert store.names == []


def test_a_draft_that_is_a_files_other_name_does_not_hide_its_bytes_from_the_bound(store):
    store.put("loras/a.safetensors", 4)
    (store.path / "loras/.b.safetensors.0123456789abcdef.link").hardlink_to(store.path / "loras/a.safetensors")
    assert store.run(max_bytes=4 * BLOCK).lacking == 0
    assert store.plan(max_bytes=4 * BLOCK - 1).lacking == 1


# --- trouble -------------------------------------------------------------------------------------------------------


def test_two_runs_at_once_end_as_one_would(store):
    for name in ("loras/a.safetensors", "loras/b.safetensors"):
        store.put(name)
    store.link("vae/c.safetensors", "../loras/a.safetensors")
    one, other = store.plan(), store.plan()
    for plan in (one, other):
        put_cleanup(plan, Index(store.state), time.time())
    assert not one.failures and not other.failures and not other.changes
    assert all("another run" in why for why in kept(other).values()) and len(kept(other)) == 2
    assert store.names == [] and store.put_away == ["loras/a.safetensors", "loras/b.safetensors", "vae/c.safetensors"]


def test_one_that_cannot_be_moved_is_named_and_the_others_go(store, monkeypatch):
    for name in "abc":
        store.put(f"loras/{name}.safetensors")
    link = os.link

    def full(source, target, **options):
        if source == "b.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        link(source, target, **options)

    monkeypatch.setattr(os, "link", full)
    plan = store.plan()
    put_cleanup(plan, Index(store.state), time.time())
    assert plan.failures == ["loras/b.safetensors: No space left on device"] and store.names == ["loras/b.safetensors"]


def test_a_file_that_was_written_meanwhile_stays(store):
    store.put("loras/a.safetensors")
    plan = store.plan(quarantine=0)
    store.put("loras/a.safetensors", 2)
    put_cleanup(plan, Index(store.state), time.time())
    assert plan.failures == ["loras/a.safetensors: it was changed since it was looked at"] and store.names == ["loras/a.safetensors"]


def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(store, tmp_path):
    path = store.put("loras/a.safetensors")
    plan = store.plan(quarantine=0)
    path.parent.rename(tmp_path / "elsewhere")
    store.link("loras", tmp_path / "elsewhere")
    put_cleanup(plan, Index(store.state), time.time())
    assert plan.failures and (tmp_path / "elsewhere/a.safetensors").exists()


def test_names_that_would_break_a_terminal_are_shown_without_that(store):
    store.put("loras/a\x1b[31m.safetensors")
    [row] = store.run().result(dry=False)["files"]
    assert row["path"] == "loras/a\ufffd[31m.safetensors" and store.names == []


def killed_before(step, action):
    """Run it in a process of its own that is killed before this step; whether it got so far."""
    child = os.fork()
    if child == 0:
        left = [step]
        for name in STEPS:
            setattr(os, name, _counted(getattr(os, name), left))
        try:
            action()
        finally:
            os._exit(0)
    _pid, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _counted(function, left):
    def counted(*args, **options):
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return function(*args, **options)

    return counted


@pytest.mark.parametrize("limits", [{}, {"max_bytes": 1}, {"free_bytes": 2**62}], ids=["unreferenced", "max_bytes", "free_bytes"])
def test_a_run_that_is_killed_leaves_nothing_half_and_the_next_one_finishes(tmp_path, limits):
    for step in range(100):
        root = tmp_path / str(step)
        root.mkdir()
        store = Store(root)
        store.put("loras/a.safetensors")
        store.link("vae/b.safetensors", "../loras/a.safetensors")
        store.put("loras/wanted.safetensors")
        declared = [{"directory": "loras", "name": "wanted.safetensors"}]
        killed = killed_before(step, lambda store=store, declared=declared: store.run(declared, **limits))
        assert not any(file.dangling for file in walk(store.path).files)
        store.run(declared, **limits)
        assert store.names == ["loras/wanted.safetensors"]
        assert store.put_away in ([] if "max_bytes" in limits else ["loras/a.safetensors", "vae/b.safetensors"],)
        if not killed:
            break
    assert 3 < step < 99
