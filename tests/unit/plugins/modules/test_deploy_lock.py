# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._deploy_lock import Run, read_holder
from ansible_collections.emprops.comfyui.plugins.modules import deploy_lock
from unit.fixtures.run_module import run_module

MINE = Run("controller/boot/pid:[1]", "100:1", "me@controller", "2026-01-01T00:00:00Z")
OTHER = replace(MINE, process="200:1", who="somebody@controller")


def lock(folder, run, check_mode=False, **options):
    return run_module(deploy_lock, check_mode, path=str(folder), run=asdict(run), **options)


def passes(answer):
    return answer["changed"] is False and "failed" not in answer


def test_a_machine_is_taken_and_given_back_and_neither_is_a_change(tmp_path):
    assert passes(lock(tmp_path, MINE)) and passes(lock(tmp_path, MINE))
    assert read_holder(tmp_path) == MINE
    assert passes(lock(tmp_path, MINE, state="released"))
    assert read_holder(tmp_path) is None


def test_a_machine_that_another_run_holds_is_refused_and_the_run_is_named(tmp_path):
    lock(tmp_path, OTHER)
    answer = lock(tmp_path, MINE)
    assert answer["failed"] and answer["holder"] == asdict(OTHER)
    assert "is being changed by somebody@controller (process 200 of the controller" in answer["msg"]
    assert read_holder(tmp_path) == OTHER


def test_what_another_run_holds_is_not_given_back(tmp_path):
    lock(tmp_path, OTHER)
    assert passes(lock(tmp_path, MINE, state="released"))
    assert read_holder(tmp_path) == OTHER


@pytest.mark.parametrize(
    "gone, holder",
    [
        pytest.param(OTHER, MINE, id="the holder is dead"),
        pytest.param(replace(OTHER, process="300:1"), OTHER, id="somebody else is"),
    ],
)
def test_the_place_of_a_dead_run_is_taken_and_of_no_other(tmp_path, gone, holder):
    lock(tmp_path, OTHER)
    lock(tmp_path, MINE, gone=asdict(gone))
    assert read_holder(tmp_path) == holder


@pytest.mark.parametrize("state", ["held", "released"])
def test_check_mode_leaves_the_lock_as_it_is(tmp_path, state):
    assert passes(lock(tmp_path / "new", MINE, check_mode=True, state=state))
    assert not (tmp_path / "new").exists()
    lock(tmp_path, MINE)
    lock(tmp_path, MINE, check_mode=True, state=state)
    assert read_holder(tmp_path) == MINE


@pytest.mark.parametrize("state", ["held", "released"])
def test_a_lock_file_that_cannot_be_read_is_named(tmp_path, state):
    (tmp_path / "deploy.json").write_text("half")
    answer = lock(tmp_path, MINE, state=state)
    assert answer["failed"] and answer["holder"] is None
    assert f"{tmp_path}/deploy.json cannot be read" in answer["msg"]


def test_without_its_action_plugin_it_does_not_know_whose_run_it_is(tmp_path):
    answer = run_module(deploy_lock, path=str(tmp_path))
    assert answer["failed"] and "action plugin" in answer["msg"]
