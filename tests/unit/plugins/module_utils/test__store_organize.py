# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""On real files. A run is killed by a real SIGKILL before each of its steps in turn."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import time

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _store_organize
from ansible_collections.emprops.comfyui.plugins.module_utils._model_claims import Claims
from ansible_collections.emprops.comfyui.plugins.module_utils._model_index import FIRST_SEEN, Index
from ansible_collections.emprops.comfyui.plugins.module_utils._store import Declarations, OpenFiles, open_inodes, parse_declared, walk
from ansible_collections.emprops.comfyui.plugins.module_utils._store_organize import Wishes, plan_organize, put_organize

DAY = 86400.0
STEPS = ("link", "unlink", "symlink", "rename", "mkdir", "replace")


class Store:
    """A store two days from now, when the files that a test makes are no longer young."""

    def __init__(self, root):
        self.path = root / "store"
        self.path.mkdir()
        self.state = root / "state"
        self.opened = open_inodes

    def put(self, name, content=b"weights"):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def link(self, name, text):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(text)
        return path

    def know(self, *names):
        """As `models` leaves it: the digests of these files are in the index."""
        index = Index(self.state)
        for name in names:
            path = self.path / name
            index.record(path, path.stat(), hashlib.sha256(path.read_bytes()).hexdigest(), "https://hub.example/x", False)
        index.save()

    def plan(self, declared=(), days=2.0, **wishes):
        declarations = Declarations(self.path, parse_declared(declared))
        now = time.time() + days * DAY
        return plan_organize(self.path, walk(self.path), declarations, Wishes(**wishes), Index(self.state), self.opened(), now)

    def run(self, declared=(), **wishes):
        plan = self.plan(declared, **wishes)
        put_organize(plan, Index(self.state))
        return plan

    def digest(self, name):
        entry = Index(self.state).known(self.path / name, (self.path / name).stat())
        return entry and entry.sha256

    @property
    def names(self):
        """Files by their content, links by what they say."""
        found = {}
        for path in sorted(self.path.rglob("*")):
            if path.is_symlink():
                found[path.relative_to(self.path).as_posix()] = f"-> {path.readlink()}"
            elif path.is_file():
                found[path.relative_to(self.path).as_posix()] = path.read_bytes()
        return found


@pytest.fixture(name="store")
def fixture_store(tmp_path):
    return Store(tmp_path)


def moves(plan):
    return {move.file.relative: move.to for move in plan.moves}


def problem(plan):
    assert not plan.moves and not plan.links and len(plan.problems) == 1, plan
    return f"{plan.problems[0]['path']}: {plan.problems[0]['message']}"


@pytest.mark.parametrize(
    ("name", "place"),
    [
        pytest.param("clip/a.safetensors", "text_encoders/a.safetensors", id="an alias"),
        pytest.param("unet/flux/a.safetensors", "diffusion_models/flux/a.safetensors", id="what is below keeps its name"),
        pytest.param("Stable-diffusion/a b.ckpt", "checkpoints/a b.ckpt", id="another program's folder"),
        pytest.param("Lora/a.safetensors", "loras/a.safetensors", id="another program's folder that differs little"),
        pytest.param("loras/clip/a.safetensors", None, id="a folder of that name further down means something else"),
        pytest.param("clip_vision/a.safetensors", None, id="a folder that begins like an alias"),
        pytest.param("sams/a.pth", None, id="a pack's own folder"),
        pytest.param("a.safetensors", None, id="in no folder at all"),
        pytest.param("clip/.a.safetensors", None, id="hidden"),
        pytest.param("clip/put_clip_models_here", None, id="a note"),
    ],
)
def test_files_move_to_the_folder_that_comfyui_calls_its_own(store, name, place):
    store.put(name)
    assert moves(store.run()) == ({name: place} if place else {})
    assert store.names == {place or name: b"weights"}
    assert not store.plan().rows


def test_a_plan_changes_nothing_and_says_why_it_would(store):
    store.put("clip/a.safetensors")
    store.link("loras/b.safetensors", "../clip/a.safetensors")
    before = store.names
    plan = store.plan([{"directory": "text_encoders", "name": "a.safetensors", "owner": "workflow", "label": "red square.json"}])
    assert store.names == before and not (store.state / "models.json").exists()
    [move] = plan.result["moves"]
    assert move["used_by"] == ["red square.json"] and "clip is what other programs, or older versions, call text_encoders" in move["reason"]
    words = "dry run: nothing was changed; files that would be moved: 1; links that would be made or turned: 1"
    assert plan.words(dry=True) == words


@pytest.mark.parametrize(
    ("wishes", "declared"),
    [
        pytest.param({"model_paths": {"text_encoders": ["text_encoders", "clip"]}}, [], id="the model paths list it"),
        pytest.param({"model_paths": {"text_encoders": "text_encoders\nclip/"}}, [], id="they list it as lines"),
        pytest.param({"static_models": {"no_index": [{"path": "clip"}]}}, [], id="it is not indexed"),
        pytest.param({}, [{"directory": "clip", "name": "a.safetensors"}], id="a list has it there, and would bring it there again"),
    ],
)
def test_a_folder_that_somebody_chose_stays(store, wishes, declared):
    store.put("clip/a.safetensors")
    assert not store.plan(declared, **wishes).rows


def test_what_belongs_to_a_model_goes_along_and_waits_with_it(store):
    for name in ("clip/a.safetensors", "clip/a.json", "clip/read me.txt", "clip/t5/config.json", "clip/t5/model.safetensors"):
        store.put(name)
    with (store.path / "clip/t5/model.safetensors").open("rb"):
        plan = store.run()
    assert sorted(moves(plan)) == ["clip/a.json", "clip/a.safetensors"]
    assert sorted(row["path"] for row in plan.waiting) == ["clip/t5/config.json", "clip/t5/model.safetensors"]
    assert all("model.safetensors: a process has it open" in row["message"] for row in plan.waiting)
    assert sorted(moves(store.run())) == ["clip/t5/config.json", "clip/t5/model.safetensors"]
    assert "clip/read me.txt" in store.names


def test_young_and_claimed_files_wait(store):
    path = store.put("clip/a.safetensors")
    [row] = store.plan(days=0).waiting
    assert "less than 24 hours ago" in row["message"]
    with Claims() as claims, claims.take(path):
        assert "a download has claimed it" in store.plan(days=0, minimum_age=0).waiting[0]["message"]
    (store.path / "text_encoders").mkdir()
    with Claims() as claims, claims.take(store.path / "text_encoders/a.safetensors"):
        assert "a download has claimed it" in store.plan(days=0, minimum_age=0).waiting[0]["message"]
    assert moves(store.plan(days=0, minimum_age=0))


# --- declared elsewhere --------------------------------------------------------------------------------------------


def wanted(**words):
    return [{"directory": "loras", "name": "a.safetensors", "owner": "workflow", "label": "red square.json", **words}]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param({"sha256": hashlib.sha256(b"right").hexdigest()}, "vae/a.safetensors", id="by its digest"),
        pytest.param({"size": 5}, "vae/a.safetensors", id="by its size"),
        pytest.param({"sha256": "0" * 64}, None, id="another digest"),
        pytest.param({"size": 6}, None, id="another size"),
        pytest.param({"name": "b.safetensors", "size": 5}, None, id="another name"),
    ],
)
def test_a_declared_file_is_found_in_another_folder(store, words, expected):
    store.put("vae/a.safetensors", b"right")
    store.put("sams/a.safetensors", b"all wrong")
    plan = store.run(wanted(**words))
    assert moves(plan) == ({expected: "loras/a.safetensors"} if expected else {})
    if expected:
        assert plan.moves[0].note == "workflows knew it as a.safetensors of vae, now it is a.safetensors of loras"
        assert plan.moves[0].used_by == ("red square.json",)


def test_what_may_or_may_not_be_the_declared_file_is_for_people_to_decide(store):
    store.put("vae/a.safetensors", b"these")
    assert "no size or sha256 is declared" in problem(store.plan(wanted()))
    store.put("sams/a.safetensors", b"those")
    assert "vae/a.safetensors have its name and size" in problem(store.plan(wanted(size=5)))
    assert moves(store.plan(wanted(sha256=hashlib.sha256(b"those").hexdigest()))) == {"sams/a.safetensors": "loras/a.safetensors"}


def test_a_file_that_two_places_want_goes_to_one_of_them(store):
    store.put("sams/a.safetensors", b"right")
    plan = store.run([*wanted(size=5), {"directory": "vae", "name": "a.safetensors", "size": 5}])
    assert moves(plan) == {"sams/a.safetensors": "loras/a.safetensors"} and not plan.failures


def test_a_file_that_is_declared_where_it_is_is_not_taken_from_there(store):
    store.put("vae/a.safetensors", b"right")
    assert not store.plan([*wanted(size=5), {"directory": "vae", "name": "a.safetensors"}]).rows


# --- what is in the place already ----------------------------------------------------------------------------------


def test_a_move_never_overwrites(store):
    store.put("clip/a.safetensors", b"mine")
    store.put("text_encoders/a.safetensors", b"your")
    assert "clip/a.safetensors: it belongs in text_encoders/a.safetensors, where another file with other bytes is" in problem(store.run())
    assert len(store.names) == 2


def test_the_same_bytes_become_the_one_file_and_links_follow(store):
    for folder in ("clip", "text_encoders"):
        store.put(f"{folder}/a.safetensors")
    store.link("loras/b.safetensors", "../clip/a.safetensors")
    store.run()
    assert store.names == {"text_encoders/a.safetensors": b"weights", "loras/b.safetensors": "-> ../text_encoders/a.safetensors"}


def test_a_file_takes_the_place_of_the_link_to_it(store):
    store.put("clip/a.safetensors")
    store.link("text_encoders/a.safetensors", "../clip/a.safetensors")
    store.link("loras/b.safetensors", store.path / "clip/a.safetensors")
    assert not store.run().failures
    assert store.names == {"text_encoders/a.safetensors": b"weights", "loras/b.safetensors": "-> ../text_encoders/a.safetensors"}


def test_another_link_or_a_folder_in_the_place_is_a_problem(store):
    store.put("clip/a.safetensors")
    place = store.link("text_encoders/a.safetensors", "../vae/other.safetensors")
    store.put("vae/other.safetensors")
    assert "where a link is that leads elsewhere" in problem(store.plan())
    place.unlink()
    place.mkdir()
    assert "something else is that is no file" in problem(store.plan())


def test_a_folder_that_leads_out_of_the_store_is_a_problem(store, tmp_path):
    store.put("clip/a.safetensors")
    (tmp_path / "elsewhere").mkdir()
    store.link("text_encoders", tmp_path / "elsewhere")
    assert "leads out of the store" in problem(store.run())
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_folder_that_is_a_link_to_the_other_is_no_reason_to_move(store):
    store.put("clip/a.safetensors")
    store.link("text_encoders", "clip")
    plan = store.plan()
    assert not plan.rows and not plan.problems


def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(store, tmp_path):
    store.put("clip/a.safetensors")
    (store.path / "text_encoders").mkdir()
    (tmp_path / "elsewhere").mkdir()
    plan = store.plan()
    (store.path / "text_encoders").rmdir()
    store.link("text_encoders", tmp_path / "elsewhere")
    put_organize(plan, Index(store.state))
    assert plan.failures and not list((tmp_path / "elsewhere").iterdir()) and (store.path / "clip/a.safetensors").exists()


@pytest.mark.parametrize("change", ["written", "gone", "taken"])
def test_what_changed_since_it_was_looked_at_is_left_alone(store, change):
    path = store.put("clip/a.safetensors")
    plan = store.plan()
    if change == "written":
        store.put("clip/a.safetensors", b"newer weights")
    elif change == "gone":
        path.unlink()
    else:
        store.put("text_encoders/a.safetensors", b"another's")
    before = store.names
    put_organize(plan, Index(store.state))
    [failure] = plan.failures
    assert failure.startswith("clip/a.safetensors: ") and store.names == before and not plan.changes


def test_a_link_that_somebody_turned_meanwhile_stays_and_so_does_the_old_name(store):
    store.put("clip/a.safetensors")
    store.put("vae/other.safetensors")
    link = store.link("loras/b.safetensors", "../clip/a.safetensors")
    plan = store.plan()
    link.unlink()
    store.link("loras/b.safetensors", "../vae/other.safetensors")
    put_organize(plan, Index(store.state))
    assert plan.failures == [
        "clip/a.safetensors: a link to it could not be turned, so it keeps its old name, too",
        "loras/b.safetensors: it was changed since it was looked at",
    ]
    assert store.names["loras/b.safetensors"] == "-> ../vae/other.safetensors"
    assert not store.run().failures and sorted(store.names) == [
        "loras/b.safetensors",
        "text_encoders/a.safetensors",
        "vae/other.safetensors",
    ]


def test_two_runs_at_once_end_as_one_would(store):
    store.put("clip/a.safetensors")
    store.link("loras/b.safetensors", "../clip/a.safetensors")
    one, other = store.plan(), store.plan()
    put_organize(one, Index(store.state))
    put_organize(other, Index(store.state))
    assert not one.failures and other.failures and "another run" in other.failures[0]
    assert store.names == {"text_encoders/a.safetensors": b"weights", "loras/b.safetensors": "-> ../text_encoders/a.safetensors"}


def test_the_index_follows_so_that_nothing_is_hashed_again(store):
    store.put("clip/a.safetensors")
    store.know("clip/a.safetensors")
    store.run()
    assert store.digest("text_encoders/a.safetensors") == hashlib.sha256(b"weights").hexdigest()
    assert str(store.path / "clip/a.safetensors") not in (store.state / "models.json").read_text()


# --- links ---------------------------------------------------------------------------------------------------------


def static(target="checkpoints/a.ckpt", source="old/a.ckpt"):
    return {"symlinks": [{"source": source, "target": target, "description": ""}], "no_index": []}


def test_static_links_are_made_relative_and_then_left(store):
    store.put("old/a.ckpt")
    store.put("Stable-diffusion/b.ckpt")
    wish = {"symlinks": [*static()["symlinks"], *static("checkpoints/x/b.ckpt", "Stable-diffusion/b.ckpt")["symlinks"]]}
    assert [link.path for link in store.run(static_models=wish).links] == ["checkpoints/a.ckpt", "checkpoints/x/b.ckpt"]
    expected = {"checkpoints/a.ckpt": "-> ../old/a.ckpt", "checkpoints/x/b.ckpt": "-> ../../Stable-diffusion/b.ckpt"}
    assert {name: text for name, text in store.names.items() if name in expected} == expected
    assert (store.path / "checkpoints/x/b.ckpt").read_bytes() == b"weights"
    assert not store.plan(static_models=wish).rows


def test_a_hard_link_to_the_source_is_right_too(store):
    path = store.put("old/a.ckpt")
    (store.path / "checkpoints").mkdir()
    (store.path / "checkpoints/a.ckpt").hardlink_to(path)
    plan = store.plan(static_models=static())
    assert not plan.rows and not plan.problems


def test_a_static_link_that_leads_elsewhere_is_turned(store):
    store.put("old/a.ckpt")
    store.link("checkpoints/a.ckpt", "../gone/a.ckpt")
    plan = store.run(static_models=static())
    assert plan.links[0].reason == "static-models.json asks for it; it led to ../gone/a.ckpt" and not plan.problems
    assert store.names["checkpoints/a.ckpt"] == "-> ../old/a.ckpt"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        pytest.param(static(source="old/none.ckpt"), "checkpoints/a.ckpt: .* old/none.ckpt, which is missing", id="no source"),
        pytest.param(static("old/b.ckpt"), "old/b.ckpt: .* a file of its own is there", id="a file in its place"),
        pytest.param(static("old"), "symlinks entry 1: old is in no folder", id="no folder"),
        pytest.param(static("../out/a.ckpt"), "symlinks entry 1: .* straight down", id="a place out of the store"),
        pytest.param(static(source="/etc/hostname"), "symlinks entry 1: .* relative", id="a source out of the store"),
        pytest.param(static(source="out/secret"), "checkpoints/a.ckpt: .* leads out of the store", id="a source behind a link"),
        pytest.param(static("custom_nodes/a.ckpt"), "symlinks entry 1: .* not a folder for models", id="a folder that runs code"),
        pytest.param({"symlinks": ["a.ckpt"]}, "symlinks entry 1: a name is a text", id="no object"),
    ],
)
def test_a_static_link_that_cannot_be_is_a_problem_by_name(store, tmp_path, entry, words):
    store.put("old/a.ckpt")
    store.put("old/b.ckpt", b"other")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/secret").write_text("secret")
    store.link("out", tmp_path / "out")
    before = store.names
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(problem(store.run(static_models=entry)))
    assert store.names == before


def test_a_dangling_link_is_turned_where_its_file_is_known_to_be(store):
    store.put("text_encoders/a.safetensors")
    store.link("loras/b.safetensors", "../clip/a.safetensors")
    store.link("loras/c.safetensors", "../clip/none.safetensors")
    plan = store.run()
    assert store.names["loras/b.safetensors"] == "-> ../text_encoders/a.safetensors"
    assert store.names["loras/c.safetensors"] == "-> ../clip/none.safetensors"
    assert plan.problems == [{"path": "loras/c.safetensors", "message": "it is a link to clip/none.safetensors, which is not there"}]


# --- the same bytes ------------------------------------------------------------------------------------------------


def test_files_with_the_same_digest_become_one_and_the_declared_name_is_the_file(store):
    names = ("clip/a.safetensors", "loras/b.safetensors", "vae/c.safetensors")
    for name in names:
        store.put(name)
    store.put("vae/unknown.safetensors")
    store.know(*names)
    assert not store.plan().links
    plan = store.run([{"directory": "vae", "name": "c.safetensors"}], link_duplicates=True)
    assert {link.path: link.to for link in plan.links} == {
        "text_encoders/a.safetensors": "vae/c.safetensors",
        "loras/b.safetensors": "vae/c.safetensors",
    }
    assert "now a hard link" in plan.links[0].reason and not plan.failures
    assert (store.path / "vae/c.safetensors").stat().st_nlink == 3 and (store.path / "vae/unknown.safetensors").stat().st_nlink == 1
    assert store.digest("text_encoders/a.safetensors") and store.digest("loras/b.safetensors")
    assert not store.plan(link_duplicates=True).rows


def test_duplicates_that_are_in_use_or_changed_stay_two(store):
    for name in ("vae/a.safetensors", "vae/b.safetensors"):
        store.put(name)
    store.know("vae/a.safetensors", "vae/b.safetensors")
    with (store.path / "vae/b.safetensors").open("rb"):
        assert store.plan(link_duplicates=True).waiting
    plan = store.plan(link_duplicates=True)
    assert plan.links
    store.put("vae/b.safetensors", b"changed")
    put_organize(plan, Index(store.state))
    assert "changed since" in plan.failures[0] and store.names["vae/b.safetensors"] == b"changed"


def rot(path):
    """Other bytes, and nothing else that tells."""
    seen = path.stat()
    path.write_bytes(b"wEights")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


@pytest.mark.parametrize("rotten", ["vae/a.safetensors", "vae/b.safetensors"])
def test_of_two_that_the_index_has_as_the_same_none_takes_the_place_of_the_other_when_its_bytes_changed(store, rotten):
    for name in ("vae/a.safetensors", "vae/b.safetensors"):
        store.put(name)
    store.know("vae/a.safetensors", "vae/b.safetensors")
    rot(store.path / rotten)
    before = store.names
    plan = store.run(link_duplicates=True)
    assert len(plan.failures) == 1 and f"{rotten} is damaged" in plan.failures[0]
    assert store.names == before and not (store.path / "vae/a.safetensors").samefile(store.path / "vae/b.safetensors")


@pytest.mark.parametrize("rotten", ["clip/a.safetensors", "text_encoders/a.safetensors"])
@pytest.mark.parametrize("known", [True, False], ids=["rotten since it was recorded", "rotten since it was looked at"])
def test_a_name_is_not_dropped_for_a_file_whose_bytes_changed(store, rotten, known):
    for folder in ("clip", "text_encoders"):
        store.put(f"{folder}/a.safetensors")
    store.link("loras/b.safetensors", "../clip/a.safetensors")
    if known:
        store.know("clip/a.safetensors", "text_encoders/a.safetensors")
        rot(store.path / rotten)
    plan = store.plan()
    assert moves(plan) == {"clip/a.safetensors": "text_encoders/a.safetensors"}
    if not known:
        rot(store.path / rotten)
    before = store.names
    put_organize(plan, Index(store.state))
    words = f"{rotten} is damaged" if known else "clip/a.safetensors and text_encoders/a.safetensors do not have the same bytes"
    assert len(plan.failures) == 1 and words in plan.failures[0]
    assert store.names == before


def test_a_digest_that_was_computed_here_is_one_that_nobody_published(store):
    for folder in ("clip", "text_encoders"):
        store.put(f"{folder}/a.safetensors")
    index = Index(store.state)
    plan_organize(
        store.path, walk(store.path), Declarations(store.path, []), Wishes(minimum_age=0), index, OpenFiles(set(), True), time.time()
    )
    entry = index.last(store.path / "clip/a.safetensors")
    assert (entry.source, entry.first_seen) == (FIRST_SEEN, True)


# --- file systems --------------------------------------------------------------------------------------------------


def test_without_hard_links_a_file_is_renamed_and_still_overwrites_nothing(store, monkeypatch):
    def no_links(*_args, **_options):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    store.put("clip/a.safetensors")
    store.put("clip/b.safetensors")
    store.link("loras/b.safetensors", "../clip/a.safetensors")
    plan = store.plan()
    store.put("text_encoders/b.safetensors", b"another's")
    put_organize(plan, Index(store.state))
    assert plan.failures == ["clip/b.safetensors: another file came into its place meanwhile"]
    assert store.names == {
        "clip/b.safetensors": b"weights",
        "loras/b.safetensors": "-> ../text_encoders/a.safetensors",
        "text_encoders/a.safetensors": b"weights",
        "text_encoders/b.safetensors": b"another's",
    }


@pytest.fixture(name="two_filesystems")
def fixture_two_filesystems(monkeypatch):
    """The kernel's answer where two folders are on different filesystems."""
    link = os.link

    def across(source, target, **options):
        if source == "a.safetensors":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        link(source, target, **options)

    monkeypatch.setattr(os, "link", across)


@pytest.mark.usefixtures("two_filesystems")
def test_across_filesystems_a_verified_copy_takes_the_place(store):
    path = store.put("clip/a.safetensors", bytes(3_000_000) + b"end")
    path.chmod(0o640)
    os.utime(path, (1_600_000_000, 1_600_000_000))
    store.know("clip/a.safetensors")
    inode = path.stat().st_ino
    assert not store.run().failures
    moved = store.path / "text_encoders/a.safetensors"
    assert list(store.names) == ["text_encoders/a.safetensors"] and moved.read_bytes().endswith(b"end")
    found = moved.stat()
    assert (found.st_mode & 0o777, found.st_mtime, found.st_ino != inode) == (0o640, 1_600_000_000, True)
    assert store.digest("text_encoders/a.safetensors")


@pytest.mark.usefixtures("two_filesystems")
@pytest.mark.parametrize("trouble", ["full before", "full on the way", "other bytes"])
def test_a_copy_that_fails_leaves_the_file_where_it_was_and_no_litter(store, monkeypatch, trouble):
    store.put("clip/a.safetensors")

    def full(_handle, _data):
        raise OSError(errno.ENOSPC, "No space left on device")

    if trouble == "full before":
        monkeypatch.setattr(os, "fstatvfs", lambda _handle: os.statvfs_result((4096, 4096, 9, 0, 0, 9, 9, 9, 0, 255)))
    elif trouble == "full on the way":
        monkeypatch.setattr(_store_organize, "_write_all", full)
    else:
        monkeypatch.setattr(_store_organize, "hash_file", lambda _file: "0" * 64)
    plan = store.run()
    expected = {"full before": "7 bytes, and 0 are free", "full on the way": "No space left", "other bytes": "not the same"}[trouble]
    assert plan.failures[0].startswith("clip/a.safetensors: ") and expected in plan.failures[0]
    assert store.names == {"clip/a.safetensors": b"weights"}


# --- killed --------------------------------------------------------------------------------------------------------


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


def test_a_run_that_is_killed_loses_nothing_and_the_next_one_finishes(tmp_path):
    wishes = {"static_models": static("checkpoints/s.ckpt", "vae/c.safetensors"), "link_duplicates": True}
    for step in range(100):
        root = tmp_path / str(step)
        root.mkdir()
        store = Store(root)
        store.opened = lambda: OpenFiles(set(), True)
        store.put("clip/a.safetensors")
        store.link("loras/a.safetensors", "../clip/a.safetensors")
        store.put("unet/b.safetensors", b"second")
        store.link("diffusion_models/b.safetensors", "../unet/b.safetensors")
        store.put("vae/c.safetensors", b"third")
        store.put("vae/d.safetensors", b"third")
        store.know("vae/c.safetensors", "vae/d.safetensors")
        killed = killed_before(step, lambda store=store: store.run(**wishes))
        contents = {path.read_bytes() for path in store.path.rglob("*.safetensors")}  # a link that dangled would raise
        assert contents == {b"weights", b"second", b"third"}
        assert not store.run(**wishes).failures
        assert (store.path / "vae/c.safetensors").samefile(store.path / "vae/d.safetensors")
        assert {name: text for name, text in store.names.items() if not name.startswith("vae/")} == {
            "checkpoints/s.ckpt": "-> ../vae/c.safetensors",
            "diffusion_models/b.safetensors": b"second",
            "loras/a.safetensors": "-> ../text_encoders/a.safetensors",
            "text_encoders/a.safetensors": b"weights",
        }
        if not killed:
            break
    assert 10 < step < 99
