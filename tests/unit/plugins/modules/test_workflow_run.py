# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.emprops.comfyui.plugins.modules import workflow_run
from unit.fixtures.run_module import run_module
from unit.fixtures.standin import free_port, standin

WORKFLOW = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 32, "batch_size": 1, "color": 0}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "smoke"}},
}


@pytest.fixture(name="comfyui", scope="module")
def fixture_comfyui(tmp_path_factory):
    with standin(tmp_path_factory.mktemp("comfyui") / "ComfyUI") as running:
        yield running


def images_of(comfyui):
    return sorted(path.name for path in (comfyui.place / "output").glob("*.png"))


@pytest.mark.parametrize("given", ["workflow", "src"])
def test_a_run_is_a_change_and_shows_its_images(comfyui, tmp_path, given):
    (tmp_path / "workflow.json").write_text(json.dumps(WORKFLOW))
    options = {"workflow": WORKFLOW} if given == "workflow" else {"src": str(tmp_path / "workflow.json")}
    answer = run_module(workflow_run, url=comfyui.url, poll_seconds=0.02, **options)
    assert answer["changed"] is True and answer["errors"] == [] and answer["node_errors"] == {}
    [image] = answer["images"]
    assert (image["width"], image["height"], image["node_id"]) == (64, 32, "2")
    assert image["filename"] in images_of(comfyui)
    assert answer["outputs"]["2"]["images"][0]["filename"] == image["filename"]


def test_check_mode_asks_and_does_not_run(comfyui):
    before = images_of(comfyui)
    answer = run_module(workflow_run, check_mode=True, url=comfyui.url, workflow=WORKFLOW)
    assert (answer["changed"], answer["skipped"]) == (False, True)
    assert "was not run in check mode" in answer["msg"] and images_of(comfyui) == before


@pytest.mark.parametrize("check_mode", [False, True])
def test_an_instance_that_does_not_answer_is_a_failure(check_mode):
    answer = run_module(workflow_run, check_mode, url=f"http://127.0.0.1:{free_port()}", workflow=WORKFLOW)
    assert answer["failed"] and "nothing listens there" in answer["msg"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_workflow_of_the_editor_is_refused(comfyui, check_mode):
    answer = run_module(workflow_run, check_mode, url=comfyui.url, workflow={"nodes": [], "links": []})
    assert answer["failed"] and "Export (API)" in answer["msg"]


def test_a_refused_workflow_tells_which_node(comfyui):
    answer = run_module(workflow_run, url=comfyui.url, workflow={"2": {"class_type": "SaveImage", "inputs": {}}})
    assert answer["failed"] and answer["errors"][0]["node_class"] == "SaveImage" and "2" in answer["node_errors"]


@pytest.mark.parametrize("options", [{}, {"workflow": WORKFLOW, "src": "/x"}])
def test_one_workflow_is_wanted(options):
    assert run_module(workflow_run, **options)["failed"]
