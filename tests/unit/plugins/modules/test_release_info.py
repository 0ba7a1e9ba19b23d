# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.emprops.comfyui.plugins.modules import release, release_info
from unit.fixtures.run_module import run_module


@pytest.fixture(name="do")
def fixture_do(workspace, fork, python):
    """Bring a release into a state with the module that does it."""
    environment = {"uv_version": python.uv_version, "index_url": python.index_url, "torch_wheels_dir": python.torch_wheels_dir}

    def do(state):
        options = {"repository": fork.url, "version": "main", "python": environment} if state == "opened" else {}
        return run_module(release, False, root=str(workspace.root), state=state, git={"protocols": ["file"]}, **options)

    return do


def ask(workspace):
    result = run_module(release_info, False, root=str(workspace.root))
    assert result.pop("changed") is False
    return {key: value for key, value in result.items() if key != "invocation"}


def test_a_machine_without_a_release_is_an_answer(workspace):
    assert ask(workspace) == {"current": None, "previous": None, "candidate": None, "opened": None, "sealed": [], "next": None}


def test_an_open_release_is_the_next_one_and_a_sealed_one_after_it(do, workspace, fork, machine):
    opened = do("opened")["release"]
    found = ask(workspace)
    assert (found["opened"], found["sealed"], found["next"]["id"]) == (opened, [], opened)
    assert found["next"]["comfyui_commit"] == fork.git("rev-parse", "HEAD")
    assert found["next"]["comfyui_version"] == "0.3.12+standin" and found["next"]["packs"] == []

    machine.fill()
    do("sealed")
    workspace.point("candidate", opened)
    found = ask(workspace)
    assert (found["opened"], found["sealed"], found["candidate"], found["next"]["id"]) == (None, [opened], opened, opened)


def test_a_lock_that_cannot_be_read_is_named(do, workspace):
    folder = workspace.releases / "20260101-000000"
    folder.mkdir(parents=True)
    (folder / "release.json").write_text(json.dumps([]))
    workspace.point("current", folder.name)
    failed = run_module(release_info, False, root=str(workspace.root))
    assert failed["failed"] and str(folder / "release.json") in failed["msg"]
