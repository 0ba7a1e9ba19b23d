# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Releases of the stand-in ComfyUI, with real git, the real uv and packages of ours. A stage is killed by leaving what it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _fill, _release
from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account, run
from ansible_collections.emprops.comfyui.plugins.module_utils._fill import unchanged_packs
from ansible_collections.emprops.comfyui.plugins.module_utils._git import GitError
from ansible_collections.emprops.comfyui.plugins.module_utils._manifest import Pack
from ansible_collections.emprops.comfyui.plugins.module_utils._python_env import PythonOptions
from ansible_collections.emprops.comfyui.plugins.module_utils._release import (
    Fork,
    Lock,
    LockedPack,
    ReleaseError,
    Workspace,
    declared_node_types,
    digest_of,
    prune,
    read_comfyui_version,
    seal,
)
from unit.fixtures.release_machine import NODES, head, pack_of

COMMIT = "a" * 40


def rewrite(repository):
    """Replace the last commit by another one (a forced push)."""
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    return repository.commit({"other": "history"})


def contents(folder):
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


# --- the life of a release ---


def test_a_release_is_opened_filled_and_sealed(machine, origin, fork):
    image, text = origin("demo_image"), origin("text", {"__init__.py": NODES, "requirements.txt": "torch==9.0\nold_fashioned\n"})
    opening, path = machine.open()
    assert opening.changed and (path / "opened.json").is_file()
    assert machine.workspace.wanted_lock() is None

    filling, report = machine.fill(pack_of(text, "Another-Name"), pack_of(image))
    assert filling.changed and report.warnings == [] and set(report.seconds) == {"fetch", "resolve", "install", "scripts"}
    assert [(row.name, row.commit, row.commit_before, row.changed) for row in report.packs] == [
        ("Another-Name", head(text), None, True),
        ("demo_image", head(image), None, True),
    ]

    assert seal(machine.workspace) == (path.name, True)
    lock = machine.workspace.lock_of(path.name)
    assert lock.fork == Fork(fork.url, "main", head(fork))
    assert [(pack.name, pack.url, pack.commit, pack.node_types) for pack in lock.packs] == [
        ("Another-Name", text.url, head(text), ("A",)),
        ("demo_image", image.url, head(image), lock.packs[1].node_types),
    ]
    assert lock.packs[1].node_types and lock.comfyui_version and lock.python_version.startswith("3.")
    assert {"--port", "--extra-model-paths-config", "--fp8_e4m3fn-unet", "--fp64-unet", "--cpu"} <= set(lock.flags)
    assert "--fp8" not in lock.flags
    assert (machine.workspace.root / "candidate/ComfyUI/custom_nodes/Another-Name/__init__.py").is_file()
    assert machine.workspace.link("candidate") == path.name
    assert machine.workspace.link("current") is machine.workspace.link("previous") is None
    code = "import torch, shared_part; print(torch.version, shared_part.version)"
    assert run([str(path / "venv/bin/python"), "-c", code]).split() == ["2.0", "1.0"]


def test_a_plain_second_run_plans_nothing_and_asks_nobody(machine, origin, fork, python):
    pack = origin("demo_text", {"__init__.py": NODES})
    release, _changed = machine.deploy(pack_of(pack))
    commit = head(pack)
    fork.commit({"new": ""})
    pack.commit({"new": ""})
    before = contents(machine.workspace.releases)
    fork.vanish()
    pack.vanish()
    assert machine.deploy(pack_of(pack)) == (release, False)
    plan = machine.plan_fill(pack_of(pack))
    assert [(row.commit_before, row.changed) for row in unchanged_packs(machine.workspace, plan).packs] == [(commit, False)]
    assert contents(machine.workspace.releases) == before


def test_another_version_of_the_installer_or_the_same_commit_by_another_name_is_no_reason_to_build(machine, fork):
    release, _changed = machine.deploy()
    assert machine.deploy(python={"uv_version": "0.0.0"}) == (release, False)
    assert machine.deploy(version=head(fork)) == (release, False)


def test_a_changed_pack_makes_a_new_release_and_leaves_the_old_one_alone(machine, origin):
    repository, other = origin("a", {"__init__.py": NODES}), origin("b", {"__init__.py": NODES})
    first = head(repository)
    old, _changed = machine.deploy(pack_of(repository, commit=first), pack_of(other))
    machine.workspace.point("current", old)
    before = contents(machine.workspace.releases / old)
    second = repository.commit({"new": ""})

    plan = machine.plan_fill(pack_of(repository, commit=second), pack_of(other))
    assert plan.changed and plan.diff["before"]["a"].endswith(first) and plan.diff["after"]["a"].endswith(second)
    new, changed = machine.deploy(pack_of(repository, commit=second), pack_of(other))
    assert changed and new != old and machine.ids() == sorted([old, new])
    assert contents(machine.workspace.releases / old) == before
    assert (machine.nodes(new) / "a/new").exists()
    assert (machine.workspace.link("candidate"), machine.workspace.link("current")) == (new, old)


def test_going_back_to_an_earlier_set_takes_its_sealed_release_and_asks_nobody(machine, origin, fork):
    repository = origin("a", {"__init__.py": NODES})
    first = head(repository)
    old, _changed = machine.deploy(pack_of(repository, commit=first))
    new, _changed = machine.deploy(pack_of(repository, commit=repository.commit({"new": ""})))
    fork.vanish()
    repository.vanish()
    assert machine.deploy(pack_of(repository, commit=first)) == (old, True)
    assert machine.workspace.link("candidate") == old and machine.ids() == sorted([old, new])
    assert machine.deploy(pack_of(repository, commit=first)) == (old, False)


def test_going_back_to_an_earlier_fork_takes_its_sealed_release(machine, fork):
    first = head(fork)
    old, _changed = machine.deploy(version=first)
    new, _changed = machine.deploy(version=fork.commit({"new": ""}))
    assert machine.deploy(version=first) == (old, True)
    assert machine.ids() == sorted([old, new])


@pytest.mark.parametrize(
    "packs", [(), ("recursive",), ("no requirements",), ("constraints",)], ids=lambda value: " ".join(value) or "removed"
)
def test_what_else_makes_a_new_release(machine, origin, packs):
    repository = origin("a", {"__init__.py": NODES, "requirements.txt": "shared_part\n"})
    old, _changed = machine.deploy(pack_of(repository))
    changes = {"recursive": {"recursive": True}, "no requirements": {"requirements": False}, "constraints": {}}
    machine.open()
    options = {"constraints": ["shared_part<2"]} if "constraints" in packs else {}
    machine.fill(*(pack_of(repository, **changes[name]) for name in packs), **options)
    new, changed = seal(machine.workspace)
    assert changed and new != old
    lock = (machine.workspace.releases / new / "requirements.lock").read_text()
    expected = {(): [], ("recursive",): ["2.0"], ("no requirements",): [], ("constraints",): ["1.0"]}[packs]
    assert [line.split()[0].split("==")[1] for line in lock.splitlines() if line.startswith("shared-part==")] == expected
    assert (machine.nodes(new) / "a").exists() == bool(packs)


def test_two_packs_may_come_from_one_repository(machine, origin):
    repository = origin("a", {"__init__.py": NODES})
    first = head(repository)
    second = repository.commit({"new": ""})
    release, _changed = machine.deploy(pack_of(repository, "one", commit=first), pack_of(repository, "two", commit=second))
    assert [(machine.nodes(release) / name / "new").exists() for name in ("one", "two")] == [False, True]


# --- what moves and what stays ---


def test_a_branch_stays_until_an_update_is_asked_for(machine, origin, fork):
    one, two = origin("one", {"__init__.py": NODES}), origin("two", {"__init__.py": NODES})
    old, _changed = machine.deploy(pack_of(one), pack_of(two))
    before = {name: head(repository) for name, repository in (("one", one), ("two", two))}
    after = {name: repository.commit({"new": ""}) for name, repository in (("one", one), ("two", two))}

    def commits(**options):
        return {pack.name: pack.commit for pack in machine.plan_fill(pack_of(one), pack_of(two), **options).packs}

    assert commits() == before
    assert commits(update=["two"]) == {"one": before["one"], "two": after["two"]}
    assert commits(update=["all"]) == after
    _plan, report = machine.fill(pack_of(one), pack_of(two), update=["two"])
    assert [(row.name, row.commit_before, row.changed) for row in report.packs] == [
        ("one", before["one"], False),
        ("two", before["two"], True),
    ]
    seal(machine.workspace)
    assert commits() == {"one": before["one"], "two": after["two"]}

    moved = fork.commit({"new": ""})
    assert not machine.plan_open().changed
    plan = machine.plan_open(update=True)
    assert plan.changed and plan.fork.commit == moved and plan.diff["before"]["fork"]["commit"] != moved


def test_a_commit_once_settled_on_stays_although_the_run_failed_later(machine, origin, fork):
    repository = origin("a", {"__init__.py": NODES, "requirements.txt": "no_such_package\n"})
    machine.open()
    with pytest.raises(ReleaseError):
        machine.fill(pack_of(repository))
    commits = head(fork), head(repository)
    fork.commit({"new": ""})
    repository.commit({"requirements.txt": ""})
    plan = machine.plan_open()
    assert (plan.changed, plan.fork.commit) == (False, commits[0])
    assert machine.plan_fill(pack_of(repository)).packs[0].commit == commits[1]


def test_another_branch_or_repository_is_asked_for_anew(machine, origin):
    repository, copy = origin("a", {"x": "1"}), origin("copy", {"x": "2"})
    machine.deploy(pack_of(repository))
    repository.git("checkout", "--quiet", "-b", "dev")
    dev = repository.commit({"x": "3"})
    assert machine.plan_fill(pack_of(repository, branch="dev")).packs[0].commit == dev
    assert machine.plan_fill(pack_of(copy, "a")).packs[0].commit == head(copy)


def test_an_update_of_what_is_not_listed_is_refused_by_name(machine, origin):
    repository = origin("a", {"x": ""})
    machine.open()
    with pytest.raises(ReleaseError, match="asked to update b, c, which the manifest does not list"):
        machine.plan_fill(pack_of(repository), update=["a", "c", "b"])


def test_a_rewritten_branch_of_the_fork_is_refused_and_can_be_accepted(machine, fork):
    fork.commit({"x": "1"})
    old, _changed = machine.deploy()
    before, new = head(fork), rewrite(fork)
    assert not machine.plan_open().changed
    with pytest.raises(GitError) as caught:
        machine.plan_open(update=True)
    assert str(caught.value).startswith(
        f"main of {fork.url} was rewritten: {before}, installed here, is no longer part of it (it is at {new} now)"
    )
    assert machine.ids() == [old]
    assert machine.plan_open(update=True, accept_rewritten=True).fork.commit == new


def test_a_rewritten_branch_of_a_pack_is_refused_and_can_be_accepted(machine, origin):
    one, two = origin("one", {"x": "1"}), origin("two", {"x": "1"})
    for repository in (one, two):
        repository.commit({"x": "2"})
    machine.deploy(pack_of(one), pack_of(two))
    new = rewrite(one)
    went_on = two.commit({"x": "3"})
    with pytest.raises(ReleaseError, match=f"^one: the default branch of {one.url} was rewritten: ") as caught:
        machine.plan_fill(pack_of(one), pack_of(two), update=["all"])
    assert "two" not in str(caught.value)
    for accepted in (["one"], ["all"]):
        plan = machine.plan_fill(pack_of(one), pack_of(two), update=["all"], accept_rewritten=accepted)
        assert [pack.commit for pack in plan.packs] == [new, went_on]


# --- what cannot be done ---


def test_packs_need_a_release(machine, origin):
    with pytest.raises(ReleaseError, match=r"there is no release in .*/releases to put custom nodes into"):
        machine.plan_fill(pack_of(origin("a", {"x": ""})))


def test_every_pack_that_cannot_be_found_is_named_before_anything_is_done(machine, origin, tmp_path):
    good = origin("good", {"x": ""})
    machine.open()
    absent = Pack("absent", (tmp_path / "absent").as_uri())
    with pytest.raises(ReleaseError) as caught:
        machine.plan_fill(absent, pack_of(good), pack_of(good, "branchless", branch="dev"))
    first, *_, last = str(caught.value).splitlines()
    assert first.startswith(f"absent: cannot read {absent.url}: ")
    assert last == f"branchless: {good.url} has no branch or tag 'dev'; its branches are: main"


def test_every_pack_that_cannot_be_fetched_is_named_and_the_others_are_there(machine, origin):
    good, bad = origin("good", {"x": ""}), origin("bad", {"x": ""})
    _plan, path = machine.open()
    with pytest.raises(ReleaseError) as caught:
        machine.fill(pack_of(bad, commit=COMMIT), pack_of(good), pack_of(bad, "worse", commit="b" * 40))
    assert str(caught.value).splitlines() == [
        f"bad: {bad.url} has no commit {COMMIT}; it may have been removed by a forced push",
        f"worse: {bad.url} has no commit {'b' * 40}; it may have been removed by a forced push",
    ]
    assert machine.packs(path) == ["good"]
    with pytest.raises(ReleaseError, match="has no custom nodes and Python packages yet; run the custom_nodes role first"):
        seal(machine.workspace)


def test_a_pack_cannot_take_the_place_of_a_part_of_comfyui(machine, origin, fork):
    (fork.path / "custom_nodes/example").mkdir()
    (fork.path / "custom_nodes/example/__init__.py").write_text("")
    fork.git("add", "--force", "custom_nodes/example")
    fork.commit({})
    machine.open()
    for name in ("websocket_image_save.py", "example"):
        with pytest.raises(ReleaseError, match=f"^{name}: {name} is part of ComfyUI itself; give the pack another name$"):
            machine.fill(pack_of(origin(name, {"x": ""})))


def test_a_repository_that_is_no_comfyui_is_refused(machine, fork):
    fork.git("rm", "--quiet", "main.py")
    fork.commit({})
    with pytest.raises(ReleaseError, match=r"has no main\.py, so it is no ComfyUI"):
        machine.open()
    assert machine.workspace.opened() is None


def test_a_comfyui_that_does_not_start_is_not_sealed(machine, fork):
    fork.commit({"main.py": "raise SystemExit('no module named torch, or so')\n"})
    machine.open()
    machine.fill()
    with pytest.raises(ReleaseError, match=r"main\.py of release \S+ does not start: .*\n?.*no module named torch, or so"):
        seal(machine.workspace)
    assert machine.workspace.link("candidate") is None


def test_contradictory_packs_are_named_what_served_stays_and_the_next_run_goes_on(machine, origin):
    old, _changed = machine.deploy()
    one = origin("one", {"requirements.txt": "shared_part<2\n"})
    two = origin("two", {"requirements.txt": "shared_part>=2\n"})
    _opening, _nothing = machine.open()
    with pytest.raises(ReleaseError, match=r"one asks for shared_part<2\n  two asks for shared_part>=2"):
        machine.fill(pack_of(one), pack_of(two))
    assert machine.workspace.link("candidate") == old
    (unsealed,) = machine.workspace.unsealed()
    new, changed = machine.deploy(pack_of(one), pack_of(two, requirements=False))
    assert (new, changed) == (unsealed.name, True)


# --- killed in between ---


def test_killed_while_opening_the_next_run_starts_over_at_the_same_commit(machine, fork):
    before, path = machine.open()
    (path / "opened.json").unlink()
    fork.commit({"new": ""})
    plan, again = machine.open()
    assert plan.fork == before.fork
    assert plan.changed and again.is_dir() and (again / "opened.json").is_file()
    assert [one.name for one in machine.workspace.unsealed()] == [again.name]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null"])
def test_a_marker_that_cannot_be_read_counts_as_killed(machine, text):
    _plan, path = machine.open()
    (path / "opened.json").write_text(text)
    (path / "old").touch()
    plan, again = machine.open()
    assert plan.changed and not (again / "old").exists()


def test_killed_after_opening_the_next_run_goes_on_with_it(machine, fork):
    _plan, path = machine.open()
    fork.vanish()
    plan, again = machine.open()
    assert (plan.changed, again) == (False, path)
    assert machine.deploy()[0] == path.name


def test_killed_while_a_pack_was_checked_out_the_next_run_completes_it(machine, origin):
    repository = origin("a", {"__init__.py": NODES})
    _plan, path = machine.open()
    partial = machine.nodes(path.name) / ".a.partial"
    (partial / ".git").mkdir(parents=True)
    (machine.nodes(path.name) / ".gone.partial").mkdir()
    assert machine.deploy(pack_of(repository)) == (path.name, True)
    assert machine.packs(path) == ["a"]


def test_killed_while_a_pack_was_replaced_the_next_run_does_not_take_the_rest_for_comfyuis(machine, origin, monkeypatch):
    repository = origin("a", {"__init__.py": NODES})
    first = head(repository)
    second = repository.commit({"new": ""})
    _plan, path = machine.open()
    machine.fill(pack_of(repository, commit=first))

    class Killed(BaseException):
        pass

    rest = _fill.remove_all

    def remove_all(paths, account):
        for path in paths:
            if (path / ".git").is_dir():
                rest([path / ".git"], account)
                raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(_fill, "remove_all", remove_all)
        machine.fill(pack_of(repository, commit=second))
    assert machine.deploy(pack_of(repository, commit=second)) == (path.name, True)
    assert (machine.nodes(path.name) / "a/new").exists()
    assert machine.packs(path) == ["a"]


def test_killed_between_filling_and_sealing_the_next_run_fills_what_is_wanted_now(machine, origin):
    one, two = origin("one", {"__init__.py": NODES}), origin("two", {"__init__.py": NODES})
    _plan, path = machine.open()
    machine.fill(pack_of(one), pack_of(two))
    assert machine.deploy(pack_of(two)) == (path.name, True)
    assert [pack.name for pack in machine.workspace.lock_of(path.name).packs] == ["two"]
    assert machine.packs(path) == ["two"]
    assert (machine.nodes(path.name) / "websocket_image_save.py").is_file()


def test_killed_while_filling_nothing_can_be_sealed(machine):
    _plan, path = machine.open()
    machine.fill()
    (path / "filled.json").write_text("{")
    with pytest.raises(ReleaseError, match=f"release {path.name} has no custom nodes and Python packages yet"):
        seal(machine.workspace)


def test_a_filling_that_failed_undoes_the_one_before(machine, origin):
    machine.open()
    machine.fill()
    with pytest.raises(ReleaseError):
        machine.fill(pack_of(origin("a", {"requirements.txt": "no_such_package\n"})))
    with pytest.raises(ReleaseError, match="has no custom nodes and Python packages yet"):
        seal(machine.workspace)


@pytest.mark.parametrize("older", [False, True], ids=["first release", "a release beside another"])
def test_killed_between_the_lock_and_the_link_the_next_run_finds_the_sealed_release(machine, origin, older):
    repository = origin("a", {"__init__.py": NODES})
    if older:
        machine.workspace.point("current", machine.deploy()[0])
    release, _changed = machine.deploy(pack_of(repository))
    (machine.workspace.root / "candidate").unlink()
    (machine.workspace.root / ".candidate.partial").symlink_to("releases/nowhere")
    assert machine.deploy(pack_of(repository)) == (release, True)
    assert machine.workspace.link("candidate") == release
    assert machine.workspace.unsealed() == []


def test_a_pack_that_became_recursive_gets_its_submodules_in_the_open_release(machine, origin):
    part, repository = origin("part", {"p": ""}), origin("a", {"x": ""})
    repository.git("submodule", "--quiet", "add", part.url, "part")
    repository.commit({})
    _plan, path = machine.open()
    machine.fill(pack_of(repository))
    assert not (machine.nodes(path.name) / "a/part/p").exists()
    machine.fill(pack_of(repository, recursive=True))
    assert (machine.nodes(path.name) / "a/part/p").exists()


def test_what_is_there_already_is_not_checked_out_again(machine, origin):
    repository = origin("a", {"x": ""})
    _plan, path = machine.open()
    machine.fill(pack_of(repository))
    inode = (machine.nodes(path.name) / "a").stat().st_ino
    repository.vanish()
    machine.fill(pack_of(repository))
    assert (machine.nodes(path.name) / "a").stat().st_ino == inode


@pytest.mark.parametrize(
    "change", [{"version": "dev"}, {"python": {"exclude_newer": "2026-01-01"}}], ids=["another version", "another environment"]
)
def test_what_was_opened_for_something_else_is_dropped(machine, fork, change):
    _plan, path = machine.open()
    (path / "old").touch()
    fork.git("checkout", "--quiet", "-b", "dev")
    fork.commit({"new": ""})
    plan, new = machine.open(**change)
    assert plan.changed and not (new / "old").exists()
    assert [one.name for one in machine.workspace.unsealed()] == [new.name]


def test_back_at_what_is_sealed_the_open_release_is_dropped(machine, fork):
    release, _changed = machine.deploy()
    _plan, opened = machine.open(version=fork.commit({"new": ""}))
    assert opened.name != release
    plan, nothing = machine.open()
    assert (plan.changed, plan.satisfied, nothing) == (True, True, None)
    assert machine.ids() == [release]


# --- pure parts, with locks made by hand ---


def made(workspace, release, **values):
    fork = Fork("https://h.example/ComfyUI", "main", COMMIT)
    lock = replace(Lock(release, "2026-01-01T00:00:00Z", fork, PythonOptions(uv_version="1"), "3.11.2"), **values)
    folder = workspace.releases / release
    folder.mkdir(parents=True)
    (folder / "opened.json").write_text(json.dumps(lock.as_dict()))
    (folder / "release.json").write_text(json.dumps(lock.as_dict()))
    return lock


@pytest.fixture(name="shelf")
def fixture_shelf(tmp_path, account):
    """A machine with five sealed releases, r1 the oldest."""
    workspace = Workspace(tmp_path / "shelf", account)
    for number in range(1, 6):
        made(workspace, f"r{number}")
    return workspace


@pytest.mark.parametrize(
    "keep, links, active, removed",
    [
        pytest.param(3, {}, None, ["r1", "r2"], id="the oldest go"),
        pytest.param(5, {}, None, [], id="all fit"),
        pytest.param(9, {}, None, [], id="more than there are"),
        pytest.param(0, {}, None, ["r1", "r2", "r3", "r4", "r5"], id="none in use"),
        pytest.param(-1, {"current": "r3"}, None, ["r1", "r2", "r4", "r5"], id="less than none"),
        pytest.param(1, {"current": "r1"}, None, ["r2", "r3", "r4"], id="not the current one"),
        pytest.param(1, {"previous": "r2"}, None, ["r1", "r3", "r4"], id="not the previous one"),
        pytest.param(1, {"candidate": "r3"}, None, ["r1", "r2", "r4"], id="not the candidate"),
        pytest.param(1, {}, '{"release": "r4"}', ["r1", "r2", "r3"], id="not the one that is active"),
        pytest.param(0, {"current": "r1", "previous": "r2", "candidate": "r3"}, '{"release": "r4"}', ["r5"], id="none of them"),
        pytest.param(4, {}, "no JSON", ["r1"], id="unreadable state"),
        pytest.param(4, {}, "[]", ["r1"], id="state of another shape"),
    ],
)
def test_prune_removes_the_oldest_that_nobody_uses(shelf, keep, links, active, removed):
    for name, release in links.items():
        shelf.point(name, release)
    if active is not None:
        shelf.state.mkdir()
        (shelf.state / "active.json").write_text(active)
    assert prune(shelf, keep, dry=True) == removed
    assert len(shelf.sealed()) == 5
    assert prune(shelf, keep) == removed
    assert shelf.sealed() == [name for name in ("r1", "r2", "r3", "r4", "r5") if name not in removed]
    assert prune(shelf, keep) == []


def test_prune_leaves_the_open_release_alone(shelf):
    (shelf.releases / "r5/release.json").unlink()
    prune(shelf, 1)
    assert [path.name for path in shelf.unsealed()] == ["r5"] and shelf.sealed() == ["r4"]


def test_killed_while_pruning_the_rest_is_not_taken_for_an_open_release(shelf, monkeypatch):
    class Killed(BaseException):
        pass

    rest = _release.remove_all

    def remove_all(paths, account):
        if any(path.is_dir() for path in paths):
            raise Killed
        rest(paths, account)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(_release, "remove_all", remove_all)
        prune(shelf, 4)
    assert [path.name for path in shelf.unsealed()] == ["r1"] and shelf.opened() is None


def test_a_link_counts_only_when_it_leads_to_a_sealed_release(shelf):
    assert shelf.link("current") is None
    shelf.point("current", "r2")
    assert (shelf.link("current"), (shelf.root / "current").readlink()) == ("r2", Path("releases/r2"))
    shelf.point("current", "r3")
    assert shelf.link("current") == "r3"
    (shelf.releases / "r3/release.json").unlink()
    assert shelf.link("current") is None
    shelf.point("current", "nowhere")
    assert shelf.link("current") is None


def test_the_candidate_is_what_commits_are_kept_from_and_then_the_current_release(shelf):
    assert shelf.wanted_lock() is None
    shelf.point("current", "r1")
    assert shelf.wanted_lock().id == "r1"
    shelf.point("candidate", "r2")
    assert shelf.wanted_lock().id == "r2"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1, "packs": 5}'])
def test_a_lock_that_cannot_be_read_is_named(shelf, text):
    path = shelf.releases / "r1/release.json"
    path.write_text(text)
    shelf.point("current", "r1")
    with pytest.raises(ReleaseError, match=f"{path} cannot be read as a release lock: "):
        shelf.wanted_lock()


def test_a_lock_is_read_as_it_was_written(shelf):
    pack = LockedPack("a", "https://h.example/a", COMMIT, "main", True, False, ("A", "B"))
    python = PythonOptions(uv_version="1", constraints=("numpy<2",))
    lock = made(shelf, "r6", packs=(pack,), flags=("--port",), comfyui_version="0.3", digest="d", python=python)
    assert shelf.lock_of("r6") == lock and lock.as_dict()["format"] == 1
    assert shelf.lock_of("r7") is shelf.lock_of(None) is None


@pytest.mark.parametrize("text", [None, "", "[]", "null", '{"fork": {"x": 1}, "packs": []}', '{"fork": null, "packs": [1]}'])
def test_commits_that_cannot_be_read_are_as_if_none_was_settled(shelf, text):
    if text is not None:
        shelf.state.mkdir()
        (shelf.state / "wanted.json").write_text(text)
    assert shelf.settled() == (None, ())


def test_settled_commits_of_fork_and_packs_do_not_disturb_each_other(shelf):
    fork, pack = Fork("https://h.example/c", "main", COMMIT), LockedPack("a", "https://h.example/a", COMMIT)
    shelf.settle(fork=fork)
    shelf.settle(packs=[pack])
    assert shelf.settled() == (fork, (pack,))
    before = (shelf.state / "wanted.json").stat().st_ino
    shelf.settle(fork=fork, packs=[pack])
    assert (shelf.state / "wanted.json").stat().st_ino == before
    shelf.settle(packs=[])
    assert shelf.settled() == (fork, ())


FORK, PYTHON = Fork("https://h.example/c", "main", COMMIT), PythonOptions(uv_version="1")
ONE, TWO = LockedPack("one", "https://h.example/1", COMMIT), LockedPack("two", "https://h.example/2", COMMIT)


@pytest.mark.parametrize(
    "fork, python, packs, same",
    [
        pytest.param(FORK, PYTHON, [TWO, ONE], True, id="order"),
        pytest.param(replace(FORK, version=COMMIT), PYTHON, [ONE, TWO], True, id="how the version was spelt"),
        pytest.param(FORK, replace(PYTHON, uv_version="2"), [ONE, TWO], True, id="installer"),
        pytest.param(FORK, PYTHON, [replace(ONE, branch="main", node_types=("A",)), TWO], True, id="branch and node types"),
        pytest.param(replace(FORK, commit="b" * 40), PYTHON, [ONE, TWO], False, id="fork's commit"),
        pytest.param(FORK, replace(PYTHON, exclude_newer="2026-01-01"), [ONE, TWO], False, id="packages of another day"),
        pytest.param(FORK, replace(PYTHON, overrides=("x",)), [ONE, TWO], False, id="overrides"),
        pytest.param(FORK, PYTHON, [ONE], False, id="a pack less"),
        pytest.param(FORK, PYTHON, [replace(ONE, commit="b" * 40), TWO], False, id="pack's commit"),
        pytest.param(FORK, PYTHON, [replace(ONE, recursive=True), TWO], False, id="submodules"),
        pytest.param(FORK, PYTHON, [replace(ONE, requirements=False), TWO], False, id="requirements"),
        pytest.param(FORK, PYTHON, [replace(ONE, name="uno"), TWO], False, id="folder"),
    ],
)
def test_what_makes_two_sets_the_same(fork, python, packs, same):
    assert (digest_of(fork, python, packs) == digest_of(FORK, PYTHON, [ONE, TWO])) is same


# --- one at a time ---

HOLD = """
import sys
from pathlib import Path
from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account
from ansible_collections.emprops.comfyui.plugins.module_utils._release import Workspace
with Workspace(Path(sys.argv[1]), Account.named(None)).exclusive(0):
    print("here", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(name="holder")
def fixture_holder(shelf, tmp_path):
    """Another process that is at work on the releases."""
    path = next(entry for entry in sys.path if entry.endswith("/.ansible/collections"))
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(shelf.root)], env={"PYTHONPATH": path}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "here\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_told_who_is_there(shelf, holder):
    said = rf"the releases are being changed by process {holder.pid} since \S+; .*releases.lock is locked"
    with pytest.raises(ReleaseError, match=said), shelf.exclusive(0):
        raise AssertionError("two at once")


def test_a_second_process_waits_for_the_first(shelf, holder):
    holder.stdin.close()
    with shelf.exclusive(60):
        assert holder.wait(60) == 0


def test_a_killed_process_holds_nothing(shelf, holder):
    holder.send_signal(signal.SIGKILL)
    with shelf.exclusive(60):
        pass


def test_check_mode_needs_nobody_away_and_writes_nothing(shelf, holder):
    before = (shelf.state / "releases.lock").read_text()
    with shelf.exclusive(0, dry=True):
        assert (shelf.state / "releases.lock").read_text() == before


def test_a_failure_inside_lets_the_next_one_in(shelf):
    with pytest.raises(ValueError, match="oops"), shelf.exclusive(0):
        raise ValueError("oops")
    with shelf.exclusive(0):
        pass


# --- what a checkout says of itself ---


@pytest.mark.parametrize(
    "files, version",
    [
        pytest.param({"comfyui_version.py": '# by hand\n__version__ = "0.3.10"\n'}, "0.3.10", id="its own file"),
        pytest.param({"pyproject.toml": '[project]\nname = "x"\nversion = "0.3.9"\n'}, "0.3.9", id="pyproject"),
        pytest.param({"comfyui_version.py": '__version__ = "1"\n', "pyproject.toml": 'version = "2"\n'}, "1", id="both"),
        pytest.param({"comfyui_version.py": "\n", "pyproject.toml": 'version = "2"\n'}, "2", id="first one says nothing"),
        pytest.param({}, "", id="nothing"),
    ],
)
def test_the_version_of_a_checkout(tmp_path, files, version):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert read_comfyui_version(tmp_path) == version


IMPORT = "from .nodes import NODE_CLASS_MAPPINGS\n"


@pytest.mark.parametrize(
    "files, names",
    [
        pytest.param({}, [], id="no __init__"),
        pytest.param({"__init__.py": ""}, [], id="empty"),
        pytest.param({"__init__.py": "NODE_CLASS_MAPPINGS = {'B': B, 'A': A}"}, ["A", "B"], id="literal"),
        pytest.param({"__init__.py": "NODE_CLASS_MAPPINGS: dict = {'A': A}"}, ["A"], id="with a type"),
        pytest.param({"__init__.py": "NODE_CLASS_MAPPINGS = X = {'A': A}"}, ["A"], id="two names"),
        pytest.param({"__init__.py": "NODE_CLASS_MAPPINGS = {'A': A, **more, name: B, 1: C}"}, ["A"], id="only what is certain"),
        pytest.param({"__init__.py": "NODE_CLASS_MAPPINGS = make()"}, [], id="computed"),
        pytest.param({"__init__.py": "NODE_CLASS_MAPPINGS = {'A': A}\nNODE_CLASS_MAPPINGS = make()"}, [], id="computed later"),
        pytest.param({"__init__.py": "if cuda:\n    NODE_CLASS_MAPPINGS = {'A': A}"}, [], id="under a condition"),
        pytest.param(
            {"__init__.py": "try:\n    from .nodes import NODE_CLASS_MAPPINGS\nexcept ImportError:\n    pass", "nodes.py": NODES},
            [],
            id="tried",
        ),
        pytest.param({"__init__.py": IMPORT, "nodes.py": NODES}, ["A"], id="from a module"),
        pytest.param({"__init__.py": IMPORT, "nodes/__init__.py": NODES}, ["A"], id="from a package"),
        pytest.param({"__init__.py": "from .a.b import NODE_CLASS_MAPPINGS", "a/b.py": NODES}, ["A"], id="from further down"),
        pytest.param(
            {"__init__.py": IMPORT, "nodes.py": "from .more import NODE_CLASS_MAPPINGS", "more.py": NODES},
            ["A"],
            id="from module to module",
        ),
        pytest.param({"__init__.py": IMPORT, "nodes.py": IMPORT}, [], id="in a circle"),
        pytest.param({"__init__.py": IMPORT}, [], id="module is not there"),
        pytest.param({"__init__.py": "from .nodes import *", "nodes.py": NODES}, [], id="star"),
        pytest.param({"__init__.py": "from .nodes import NODE_CLASS_MAPPINGS as OTHER", "nodes.py": NODES}, [], id="under another name"),
        pytest.param({"__init__.py": "from ..nodes import NODE_CLASS_MAPPINGS", "../nodes.py": NODES}, [], id="from above"),
        pytest.param({"__init__.py": "from nodes import NODE_CLASS_MAPPINGS", "nodes.py": NODES}, [], id="ComfyUI's own"),
        pytest.param({"__init__.py": "this is no Python"}, [], id="no Python"),
        pytest.param({"__init__.py": "NODE_CLASS_MAPPINGS = {'A': A}\n\0"}, [], id="a zero byte"),
        pytest.param({"__init__.py": "x = " + "-" * 50_000 + "1"}, [], id="deeper than the parser goes"),
    ],
)
def test_node_types_that_a_pack_is_sure_to_bring(tmp_path, files, names):
    pack = tmp_path / "pack"
    pack.mkdir()
    for name, text in files.items():
        (pack / name).parent.mkdir(parents=True, exist_ok=True)
        (pack / name).write_text(text)
    assert declared_node_types(pack) == names


def test_the_sample_packs_declare_what_they_bring():
    packs = Path(__file__).parents[3] / "support/packs"
    found = {name: declared_node_types(packs / name) for name in ("demo_text", "demo_web_only", "demo_broken", "demo_recursive")}
    assert found == {
        "demo_text": ["DemoHumanizeBytes", "DemoShowText"],
        "demo_web_only": [],
        "demo_broken": ["DemoBroken"],
        "demo_recursive": ["DemoPart"],
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_the_cache_of_git_is_never_given_away_through_a_link(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "root/cache").mkdir(parents=True)
    (tmp_path / "root/cache/git").symlink_to(tmp_path / "outside")
    with pytest.raises(NotADirectoryError):
        _release._new_release(Workspace(tmp_path / "root", Account.named("nobody")))
    assert (tmp_path / "outside").stat().st_uid == 0
