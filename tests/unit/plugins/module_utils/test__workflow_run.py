# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._comfyui_api import ComfyUI
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_run import (
    Image,
    NodeError,
    Patience,
    WorkflowError,
    check_workflow,
    image_size,
    load_workflow,
    run_workflow,
)
from unit.fixtures.scripted_server import scripted_server
from unit.fixtures.standin import standin

PACK = """
import json, pathlib, time
import folder_paths

class Fails:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"words": ("STRING", {})}}
    RETURN_TYPES = ()
    FUNCTION = "run"
    OUTPUT_NODE = True
    def run(self, words):
        raise ValueError(words)

class Writes(Fails):
    def run(self, words):
        name, content = json.loads(words)
        if content is not None:
            pathlib.Path(folder_paths.get_output_directory(), name).write_text(content)
        return {"ui": {"images": [{"filename": name, "subfolder": "", "type": "output"}]}}

class Waits(Fails):
    def run(self, words):
        while not pathlib.Path(words).exists():
            time.sleep(0.01)
        return {"ui": {"text": ["waited"]}}

NODE_CLASS_MAPPINGS = {"Fails": Fails, "Writes": Writes, "Waits": Waits}
"""
SAVED_IMAGE = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 5, "height": 3, "batch_size": 2, "color": 255}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "sub/blue"}},
}
QUICK = Patience(timeout=60, poll=0.02)


def node(class_type, words):
    return {"5": {"class_type": class_type, "inputs": {"words": words}}}


@pytest.fixture(name="client", scope="module")
def fixture_client(tmp_path_factory):
    with standin(tmp_path_factory.mktemp("comfyui") / "ComfyUI", {"test_pack": PACK}) as running:
        yield ComfyUI(running.url, timeout=30)


def test_a_run_comes_back_with_its_images(client):
    run = run_workflow(client, SAVED_IMAGE, QUICK)
    assert list(run.outputs) == ["2"] and run.errors == () and run.node_errors == {}
    assert [(image.filename, image.subfolder, image.type, image.width, image.height) for image in run.images] == [
        ("blue_00001_.png", "sub", "output", 5, 3),
        ("blue_00002_.png", "sub", "output", 5, 3),
    ]
    assert all(image.bytes > 60 for image in run.images) and run.seconds > 0
    assert client.history(run.prompt_id)["status"]["completed"] is True


def test_a_node_that_fails_is_named(client):
    with pytest.raises(WorkflowError, match=r"node 5 \(Fails\): ValueError: out of paint") as raised:
        run_workflow(client, node("Fails", "out of paint"), QUICK)
    assert raised.value.run.errors == (NodeError("5", "Fails", "ValueError", "ValueError: out of paint"),)
    assert raised.value.run.prompt_id is not None


def test_a_refused_node_is_named(client):
    with pytest.raises(WorkflowError, match=r"node 2 \(SaveImage\): Required input is missing: images") as raised:
        run_workflow(client, {"2": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}}}, QUICK)
    assert raised.value.run.node_errors["2"]["class_type"] == "SaveImage"
    assert raised.value.run.prompt_id is None


def test_a_run_without_one_of_its_outputs_is_a_failure_and_the_rest_is_told(client):
    workflow = {**SAVED_IMAGE, "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}}
    with pytest.raises(WorkflowError, match=r"node 3 \(SaveImage\): Required input is missing: filename_prefix") as raised:
        run_workflow(client, workflow, QUICK)
    assert "2" in raised.value.run.outputs


@pytest.mark.parametrize(
    "written, message",
    [
        pytest.param(["page.png", "<html>"], "node 5 wrote 'page.png', which is not a PNG, JPEG or WebP image", id="a web page"),
        pytest.param(["empty.png", ""], "'empty.png', which is empty", id="nothing"),
        pytest.param(["empty.mp4", ""], "'empty.mp4', which is empty", id="an empty film"),
        pytest.param(["gone.png", None], "lists 'gone.png', which cannot be fetched: .*404", id="no file"),
        pytest.param(["../main.py", None], "lists '../main.py', which cannot be fetched: .*400", id="a file elsewhere"),
    ],
)
def test_what_is_listed_must_be_an_image(client, written, message):
    with pytest.raises(WorkflowError, match=message):
        run_workflow(client, node("Writes", json.dumps(written)), QUICK)


def test_a_film_is_fetched_and_not_measured(client):
    run = run_workflow(client, node("Writes", json.dumps(["a.mp4", "moving"])), QUICK)
    assert run.images == (Image("5", "a.mp4", "", "output", 6, None, None),)


def test_a_run_that_takes_too_long_is_left_in_its_place(client, tmp_path):
    workflow, gate = node("Waits", str(tmp_path / "gate")), tmp_path / "gate"
    with pytest.raises(WorkflowError, match="is still (running|waiting) after 0.1 seconds; it was left there") as first:
        run_workflow(client, workflow, Patience(timeout=0.1, poll=0.02))
    with pytest.raises(WorkflowError, match="is still waiting after 0.1 seconds"):
        run_workflow(client, SAVED_IMAGE, Patience(timeout=0.1, poll=0.02))
    queue = client.queue()
    assert first.value.run.prompt_id in queue.running and len(queue.pending) == 1
    gate.touch()
    assert run_workflow(client, SAVED_IMAGE, QUICK).images


def answers_of_a_run(status, outputs=None):
    entry = {"prompt": [], "outputs": outputs or {}, "status": status}
    return {
        "POST /prompt": {"prompt_id": "p", "number": 1, "node_errors": {}},
        "GET /queue": {"queue_running": [], "queue_pending": []},
        "GET /history/p": {"p": entry},
    }


SUCCESS = {"status_str": "success", "completed": True, "messages": []}


@pytest.mark.parametrize(
    "status, outputs, message",
    [
        pytest.param(SUCCESS, {}, r"node 2 \(SaveImage\) wrote no image", id="a save without a file"),
        pytest.param(SUCCESS, {"2": {"images": []}}, r"node 2 \(SaveImage\) wrote no image", id="an empty list"),
        pytest.param(SUCCESS, {"2": {"images": [{"subfolder": ""}]}}, r"node 2 \(SaveImage\) wrote no image", id="a file without a name"),
        pytest.param({"status_str": "error", "completed": False, "messages": []}, {}, "does not say why", id="an error without words"),
        pytest.param(None, {}, "does not say why", id="no status"),
        pytest.param(
            {"status_str": "error", "completed": False, "messages": [["execution_interrupted", {"node_id": "5", "node_type": "K"}]]},
            {},
            r"node 5 \(K\): the run was interrupted here",
            id="an interruption",
        ),
        pytest.param(
            {**SUCCESS, "messages": [["execution_error", {"node_id": 1, "node_type": "X", "exception_type": "E", "exception_message": 2}]]},
            {},
            r"node 1 \(X\): E: 2",
            id="a success with an error in it, as a circle gives",
        ),
    ],
)
def test_a_run_without_a_good_end_is_a_failure(status, outputs, message):
    with scripted_server(answers_of_a_run(status, outputs)) as server, pytest.raises(WorkflowError, match=message):
        run_workflow(ComfyUI(server.url), SAVED_IMAGE, QUICK)


def test_a_lost_prompt_is_noticed():
    message = "prompt p is lost: it is neither queued nor in the history"
    answers = {**answers_of_a_run(SUCCESS), "GET /history/p": {}}
    with scripted_server(answers) as server, pytest.raises(WorkflowError, match=message):
        run_workflow(ComfyUI(server.url), SAVED_IMAGE, QUICK)


def test_a_prompt_that_ends_between_two_questions_is_not_lost():
    answers = answers_of_a_run({**SUCCESS, "messages": "?"}, {"9": {"text": ["done"]}})
    answers["GET /history/p"] = [{}, answers["GET /history/p"]]
    with scripted_server(answers) as server:
        run = run_workflow(ComfyUI(server.url), {"9": {"class_type": "ShowText", "inputs": {}}}, QUICK)
    assert run.outputs == {"9": {"text": ["done"]}}


def test_a_short_silence_is_borne_and_a_long_one_is_not():
    now = [0.0]
    patience = Patience(timeout=600, poll=10, clock=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    answers = answers_of_a_run(SUCCESS, {"9": {}})
    answers["GET /history/p"] = [500, 500, answers["GET /history/p"]]
    workflow = {"9": {"class_type": "ShowText", "inputs": {}}}
    with scripted_server(answers) as server:
        assert run_workflow(ComfyUI(server.url), workflow, patience).seconds == 20
        answers["GET /history/p"] = 500
        with pytest.raises(WorkflowError, match="prompt p: the instance stopped answering: .*HTTP status 500"):
            run_workflow(ComfyUI(server.url), workflow, patience)
    assert now[0] == 50


@pytest.mark.parametrize(
    "workflow, message",
    [
        pytest.param({"nodes": [], "links": []}, "editor's format", id="saved for the editor"),
        pytest.param({}, "not a workflow in API format", id="empty"),
        pytest.param([], "not a workflow in API format", id="a list"),
        pytest.param({"1": {"inputs": {}}}, '"1" is not a node with a class_type', id="no class"),
        pytest.param({"prompt": SAVED_IMAGE}, '"prompt" is not a node', id="a whole request"),
    ],
)
def test_what_is_no_workflow_is_refused_in_words(workflow, message):
    with pytest.raises(WorkflowError, match=message):
        check_workflow(workflow)


def test_a_workflow_is_read_from_a_file(tmp_path):
    file = tmp_path / "workflow.json"
    with pytest.raises(WorkflowError, match=r"cannot read .*workflow\.json: No such file"):
        load_workflow(file)
    file.write_text("{")
    with pytest.raises(WorkflowError, match=r"workflow\.json is not JSON"):
        load_workflow(file)
    file.write_text(json.dumps(SAVED_IMAGE))
    assert check_workflow(load_workflow(file)) == SAVED_IMAGE


# Whole pictures, the smallest that their formats allow.
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000" "ffc0000b080007000901011100" "ffda0008010100003f00d2cfffd9")
WEBP = base64.b64decode("UklGRhoAAABXRUJQVlA4TA0AAAAvAYABEAcQERGIiP4HAA==")
VP8X = b"RIFF" + (22).to_bytes(4, "little") + b"WEBPVP8X" + (10).to_bytes(4, "little") + bytes(4) + bytes([99, 0, 0, 49, 0, 0])
VP8 = b"RIFF" + (22).to_bytes(4, "little") + b"WEBPVP8 " + (10).to_bytes(4, "little") + b"\0\0\0\x9d\x01\x2a" + bytes([64, 0, 32, 0])


@pytest.mark.parametrize(
    "content, size",
    [
        pytest.param(JPEG, (9, 7), id="JPEG"),
        pytest.param(WEBP, (2, 7), id="WebP without loss"),
        pytest.param(VP8X, (100, 50), id="WebP extended"),
        pytest.param(VP8, (64, 32), id="WebP"),
    ],
)
def test_the_size_of_an_image(content, size):
    assert image_size(content) == size


def test_an_image_that_is_cut_off_is_no_image(client):
    [image, _] = run_workflow(client, SAVED_IMAGE, QUICK).images
    png = client.view(image.filename, image.subfolder)
    assert image_size(png) == (5, 3)
    for whole in (png, JPEG, WEBP, VP8X, VP8):
        for length in range(len(whole)):
            with pytest.raises(ValueError, match="empty|image"):
                image_size(whole[:length])
