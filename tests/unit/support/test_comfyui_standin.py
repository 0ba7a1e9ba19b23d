# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The stand-in is run as a program, with its sample packs, and looked at from outside."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests

SUPPORT = Path(__file__).parents[2] / "support"
LIMIT = 60  # seconds after which a wait has failed; nothing is expected to take them

SAVED_IMAGE = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 5, "height": 3, "batch_size": 2, "color": 0xFF8000}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "sub/red"}},
}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(found: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come within {LIMIT} s")


def install(folder: Path, *packs: str) -> Path:
    program = folder / "ComfyUI"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SUPPORT / "comfyui", program, ignore=ignore)
    for pack in packs:
        shutil.copytree(SUPPORT / "packs" / pack, program / "custom_nodes" / pack, ignore=ignore)
    return program


def run(program: Path, *flags: str, **env: str) -> subprocess.CompletedProcess[str]:
    """For a start that ends by itself."""
    command = [sys.executable, str(program / "main.py"), *flags]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **env}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT, check=False)


class Instance:
    def __init__(self, program: Path, *flags: str, **env: str) -> None:
        self.program = program
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_file = program.parent / f"{self.port}.log"
        with self.log_file.open("wb") as log:
            command = [sys.executable, str(program / "main.py"), "--port", str(self.port), *flags]
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **env},
                stdout=subprocess.DEVNULL,
                stderr=log,
                # Tests that are run in the background inherit an ignored SIGINT.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def wait_until_ready(self) -> Instance:
        def ready() -> bool:
            assert self.process.poll() is None, self.log
            return f"To see the GUI go to: {self.url}" in self.log

        wait_for(ready, "the ready line")
        return self

    def stop(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(LIMIT)
        finally:
            self.process.kill()

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=LIMIT, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return requests.post(self.url + path, timeout=LIMIT, **options)

    def finish(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """Run a prompt and return its history entry."""
        answer = self.post("/prompt", json={"prompt": prompt})
        assert answer.status_code == 200, answer.text
        prompt_id = answer.json()["prompt_id"]
        return wait_for(lambda: self.get(f"/history/{prompt_id}").json().get(prompt_id), "the end of the prompt")


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """One with most packs, shared by the tests that only ask it things."""
    folder = tmp_path_factory.mktemp("standin")
    # Stands for the requirement of demo_text, which the test environment need not have.
    (folder / "site").mkdir()
    (folder / "site/humanize.py").write_text("def naturalsize(size):\n    return f'{size} in words'\n")
    program = install(folder, "demo_text", "demo_image", "demo_env", "demo_slow", "demo_broken", "demo_web_only")
    (program / "custom_nodes/off.disabled").mkdir()
    (program / "custom_nodes/no_types").mkdir()
    (program / "custom_nodes/no_types/__init__.py").write_text("")
    (program / "custom_nodes/demo_slow/prestartup_script.py").write_text("raise ValueError('too early')\n")
    (program / "custom_nodes/demo_env/.env").write_text("DEMO_TOKEN=from-file\nDEMO_UNSET=\n")
    (program / "models/checkpoints").mkdir(parents=True)
    (program / "models/checkpoints/base.safetensors").touch()
    more = folder / "more"
    (more / "checkpoints/deep").mkdir(parents=True)
    (more / "checkpoints/deep/extra.safetensors").touch()
    (more / "checkpoints/notes.txt").touch()
    (more / "packs").mkdir()
    (more / "packs/outside.py").write_text("NODE_CLASS_MAPPINGS = {}\n")
    (folder / "extra.yaml").write_text(f"one:\n  base_path: {more}\n  checkpoints: checkpoints\n  custom_nodes: packs\n  odd_type: odd/\n")
    flags = ["--cpu", "--extra-model-paths-config", str(folder / "extra.yaml")]
    started = Instance(program, *flags, PYTHONPATH=str(folder / "site"))
    try:
        yield started.wait_until_ready()
    finally:
        started.stop()


# What it says of itself.


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_system_stats_say_that_it_is_a_stand_in(instance: Instance, prefix: str) -> None:
    stats = instance.get(f"{prefix}/system_stats").json()
    assert stats["system"]["standin"] is True
    assert "standin" in stats["system"]["comfyui_version"]
    assert stats["system"]["argv"][1:4] == ["--port", str(instance.port), "--cpu"]
    assert [device["type"] for device in stats["devices"]] == ["cpu"]


def test_the_start_is_told_in_the_order_of_the_real_program(instance: Instance) -> None:
    lines = [
        "Adding extra search path checkpoints ",
        "Prestartup times for custom nodes:",
        "Total VRAM ",
        "pytorch version:",
        "Device: cpu",
        "Python version:",
        "ComfyUI version: ",
        "[Prompt Server] web root:",
        "Import times for custom nodes:",
        "Starting server",
        "To see the GUI go to: ",
    ]
    places = [instance.log.find(f"\n{line}" if line != lines[0] else line) for line in lines]
    assert -1 not in places
    assert places == sorted(places)


# Packs.


def test_node_types_name_the_pack_that_brought_them(instance: Instance) -> None:
    found = {name: info["python_module"] for name, info in instance.get("/object_info").json().items()}
    assert (
        found.items()
        >= {
            "EmptyImage": "nodes",
            "SaveImageWebsocket": "custom_nodes.websocket_image_save",
            "DemoHumanizeBytes": "custom_nodes.demo_text",
            "DemoShowText": "custom_nodes.demo_text",
            "DemoSwatch": "custom_nodes.demo_image",
        }.items()
    )
    assert "DemoBroken" not in found


def test_one_node_type_can_be_asked_for_and_an_unknown_one_is_an_empty_answer(instance: Instance) -> None:
    assert list(instance.get("/object_info/DemoSwatch").json()) == ["DemoSwatch"]
    unknown = instance.get("/object_info/Nobody")
    assert (unknown.status_code, unknown.json()) == (200, {})


def test_a_pack_that_raises_is_reported_as_the_real_program_does(instance: Instance) -> None:
    path = instance.program / "custom_nodes/demo_broken"
    lines = instance.log.splitlines()
    at = lines.index(f"Cannot import {path} module for custom nodes: No module named 'demo_module_that_is_missing'")
    assert lines[at - 1] == ""
    assert lines[at - 2] == "ModuleNotFoundError: No module named 'demo_module_that_is_missing'"
    assert "Traceback (most recent call last):" in lines[:at]
    assert re.search(rf"^ {{1,3}}\d+\.\d seconds \(IMPORT FAILED\): {re.escape(str(path))}$", instance.log, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "failed"),
    [
        pytest.param("demo_image", False, id="a pack that loads"),
        pytest.param("demo_web_only", False, id="a pack without types"),
        pytest.param("websocket_image_save.py", False, id="a single file"),
        pytest.param("no_types", True, id="a module without the mapping"),
    ],
)
def test_each_pack_has_its_line_in_the_import_times(instance: Instance, name: str, failed: bool) -> None:
    lines = [line for line in instance.log.splitlines() if " seconds" in line and line.endswith(f"/custom_nodes/{name}")]
    assert ["(IMPORT FAILED)" in line for line in lines] == [failed]


def test_packs_from_the_extra_paths_are_loaded_and_disabled_ones_are_not(instance: Instance) -> None:
    assert "/more/packs/outside.py" in instance.log
    assert "off.disabled" not in instance.log


def test_a_prestartup_script_that_raises_is_reported_and_its_pack_still_loads(instance: Instance) -> None:
    path = instance.program / "custom_nodes/demo_slow"
    assert f"Failed to execute startup-script: {path}/prestartup_script.py / too early" in instance.log
    assert f" seconds (PRESTARTUP FAILED): {path}\n" in instance.log
    assert "DemoSleep" in instance.get("/object_info/DemoSleep").json()


def test_the_web_files_of_packs_are_served(instance: Instance) -> None:
    found = instance.get("/extensions").json()
    assert found == ["/extensions/demo_image/demo_image.js", "/extensions/demo_web_only/demo_web_only.js"]
    assert "demo_web_only" in instance.get(found[1]).text


def test_models_are_listed_over_all_search_paths(instance: Instance) -> None:
    assert instance.get("/models/checkpoints").json() == ["base.safetensors", "deep/extra.safetensors"]
    assert "odd_type" in instance.get("/models").json()
    assert instance.get("/models/nothing").status_code == 404


# Prompts.


def png_size(data: bytes) -> tuple[int, int, bytes]:
    """Width, height and the first pixel of a PNG that has one IDAT and no filters."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at = data.index(b"IDAT")
    length = struct.unpack(">I", data[at - 4 : at])[0]
    assert struct.unpack(">I", data[at + 4 + length : at + 8 + length])[0] == zlib.crc32(data[at : at + 4 + length])
    return *struct.unpack(">II", data[16:24]), zlib.decompress(data[at + 4 : at + 4 + length])[1:4]


def test_a_prompt_writes_real_pngs_with_the_next_numbers_and_serves_them(instance: Instance) -> None:
    entry = instance.finish(SAVED_IMAGE)
    assert entry["status"]["status_str"] == "success"
    assert entry["status"]["completed"] is True
    assert [event for event, _ in entry["status"]["messages"]] == ["execution_start", "execution_cached", "execution_success"]
    images = entry["outputs"]["2"]["images"]
    assert images == [{"filename": f"red_0000{n}_.png", "subfolder": "sub", "type": "output"} for n in (1, 2)]
    answer = instance.get("/view", params=images[0])
    assert answer.headers["Content-Type"] == "image/png"
    assert png_size(answer.content) == (5, 3, b"\xff\x80\x00")
    assert answer.content == (instance.program / "output/sub/red_00001_.png").read_bytes()
    assert b"tEXtprompt\0" in answer.content

    wider = {**SAVED_IMAGE, "1": {"class_type": "EmptyImage", "inputs": {**SAVED_IMAGE["1"]["inputs"], "width": 6}}}
    assert instance.finish(wider)["outputs"]["2"]["images"][0]["filename"] == "red_00003_.png"


def test_the_same_prompt_again_runs_nothing_until_memory_is_freed(instance: Instance) -> None:
    prompt = {
        "1": {"class_type": "DemoSwatch", "inputs": {"color": "blue", "size": 2}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "again"}},
    }
    first = instance.finish(prompt)
    second = instance.finish(prompt)
    assert second["outputs"] == first["outputs"]
    assert second["status"]["messages"][1][1]["nodes"] == ["1", "2"]
    assert instance.post("/free", json={"unload_models": True, "free_memory": True}).status_code == 200
    assert instance.finish(prompt)["outputs"]["2"]["images"][0]["filename"] == "again_00002_.png"


def test_an_uploaded_image_is_loaded_inverted_and_previewed(instance: Instance) -> None:
    image = instance.finish(SAVED_IMAGE)["outputs"]["2"]["images"][0]
    data = instance.get("/view", params=image).content
    for expected in ("mine.png", "mine.png"):  # the same bytes again keep their name
        answer = instance.post("/upload/image", files={"image": ("mine.png", data)})
        assert answer.json() == {"name": expected, "subfolder": "", "type": "input"}
    assert instance.post("/upload/image", files={"image": ("mine.png", b"other")}).json()["name"] == "mine (1).png"
    prompt = {
        "a": {"class_type": "LoadImage", "inputs": {"image": "mine.png"}},
        "b": {"class_type": "ImageInvert", "inputs": {"image": ["a", 0]}},
        "c": {"class_type": "PreviewImage", "inputs": {"images": ["b", 0]}},
    }
    preview = instance.finish(prompt)["outputs"]["c"]["images"][0]
    assert preview["type"] == "temp"
    assert png_size(instance.get("/view", params=preview).content) == (5, 3, b"\x00\x7f\xff")


def test_nodes_of_packs_run_and_pass_values_on(instance: Instance) -> None:
    prompt = {
        "1": {"class_type": "DemoHumanizeBytes", "inputs": {"size": 1200}},
        "2": {"class_type": "DemoShowText", "inputs": {"text": ["1", 0]}},
    }
    assert instance.finish(prompt)["outputs"] == {"2": {"text": ["1200 in words"]}}


def test_a_pack_sees_its_own_environment_file(instance: Instance) -> None:
    ui = instance.finish({"1": {"class_type": "DemoEnv", "inputs": {}}})["outputs"]["1"]
    assert ui == {"token_sha256": [hashlib.sha256(b"from-file").hexdigest()], "token_source": ["file"], "unset": ["empty"]}


def swatch(**inputs: Any) -> dict[str, Any]:
    return {
        "1": {"class_type": "DemoSwatch", "inputs": inputs},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param({}, "no_prompt", id="nothing sent"),
        pytest.param({"prompt": {"1": {"inputs": {}}}}, "invalid_prompt", id="no class_type"),
        pytest.param({"prompt": {"1": {"class_type": "Nobody", "inputs": {}}}}, "invalid_prompt", id="an unknown node type"),
        pytest.param({"prompt": {"1": SAVED_IMAGE["1"]}}, "prompt_no_outputs", id="nothing to keep"),
    ],
)
def test_a_prompt_that_cannot_be_read_is_refused(instance: Instance, body: dict[str, Any], kind: str) -> None:
    answer = instance.post("/prompt", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == kind
    assert answer.json()["error"].keys() == {"type", "message", "details", "extra_info"}
    assert answer.json()["node_errors"] == {}


@pytest.mark.parametrize(
    ("prompt", "node", "kind", "details"),
    [
        pytest.param(swatch(color="red"), "1", "required_input_missing", "size", id="a missing input"),
        pytest.param(swatch(color="pink", size=1), "1", "value_not_in_list", "color: 'pink' not in ['red', 'green', 'blue']", id="a combo"),
        pytest.param(swatch(color="red", size="big"), "1", "invalid_input_type", None, id="not a number"),
        pytest.param(swatch(color="red", size=0), "1", "value_smaller_than_min", "size", id="too small"),
        pytest.param(swatch(color="red", size=5000), "1", "value_bigger_than_max", "size", id="too big"),
        pytest.param(swatch(color="red", size=["1", 0, 0]), "1", "bad_linked_input", "size", id="a link that is none"),
        pytest.param(swatch(color="red", size=["1", 0]), "1", "return_type_mismatch", None, id="a link of another type"),
        pytest.param(
            {**swatch(), "1": {"class_type": "LoadImage", "inputs": {"image": "gone.png"}}},
            "1",
            "custom_validation_failed",
            "image - Invalid image file: gone.png",
            id="an image that is not there",
        ),
        pytest.param({"2": swatch()["2"]}, "2", "exception_during_validation", "'1'", id="a link to nowhere"),
        pytest.param(
            {
                "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "gone.safetensors"}},
                "2": {"class_type": "DemoShowText", "inputs": {"text": ["1", 0]}},
            },
            "2",
            "return_type_mismatch",
            "text, received_type(MODEL) mismatch input_type(STRING)",
            id="a model where text belongs",
        ),
    ],
)
def test_a_prompt_with_a_wrong_input_is_refused_by_node(
    instance: Instance, prompt: dict[str, Any], node: str, kind: str, details: str | None
) -> None:
    answer = instance.post("/prompt", json={"prompt": prompt})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "prompt_outputs_failed_validation"
    entry = answer.json()["node_errors"][node]
    assert entry["class_type"] == prompt[node]["class_type"]
    assert entry["dependent_outputs"] == ["2"]
    assert [error["type"] for error in entry["errors"]] == [kind]
    if details is not None:
        assert entry["errors"][0]["details"] == details


def test_a_circle_of_nodes_is_refused_and_the_server_lives_on(instance: Instance) -> None:
    prompt = {
        "1": {"class_type": "ImageInvert", "inputs": {"image": ["2", 0]}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    answer = instance.post("/prompt", json={"prompt": prompt})
    assert answer.status_code == 400
    assert "recursion" in answer.json()["error"]["details"]
    assert instance.finish(SAVED_IMAGE)["status"]["completed"] is True


def test_a_node_that_raises_ends_in_an_execution_error(instance: Instance) -> None:
    prompt = {**SAVED_IMAGE, "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "../out"}}}
    status = instance.finish(prompt)["status"]
    assert (status["status_str"], status["completed"]) == ("error", False)
    event, details = status["messages"][-1]
    assert event == "execution_error"
    assert (details["node_id"], details["node_type"], details["exception_type"]) == ("2", "SaveImage", "ValueError")
    assert "outside the output folder" in details["exception_message"]
    assert details["traceback"]
    assert "!!! Exception during processing !!!" in instance.log


def test_prompts_wait_in_order_and_can_be_taken_out_or_interrupted(instance: Instance) -> None:
    sleep = {"prompt": {"1": {"class_type": "DemoSleep", "inputs": {"seconds": 600}}}}
    first, second, third = (instance.post("/prompt", json=sleep).json()["prompt_id"] for _ in range(3))
    wait_for(lambda: instance.get("/queue").json()["queue_running"], "a running prompt")
    queue = instance.get("/queue").json()
    assert [item[1] for item in queue["queue_running"]] == [first]
    assert [item[1] for item in queue["queue_pending"]] == [second, third]
    assert instance.get("/prompt").json() == {"exec_info": {"queue_remaining": 3}}

    instance.post("/queue", json={"delete": [second]})
    assert [item[1] for item in instance.get("/queue").json()["queue_pending"]] == [third]
    instance.post("/queue", json={"clear": True})
    assert instance.get("/queue").json()["queue_pending"] == []

    assert instance.post("/interrupt").status_code == 200
    entry = wait_for(lambda: instance.get(f"/history/{first}").json().get(first), "the interrupted prompt")
    assert entry["status"]["messages"][-1][0] == "execution_interrupted"
    assert instance.get("/history", params={"max_items": 1}).json().keys() == {first}
    instance.post("/history", json={"delete": [first]})
    assert instance.get(f"/history/{first}").json() == {}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        pytest.param({"filename": "../main.py"}, 400, id="a step up in the name"),
        pytest.param({"filename": "/etc/passwd"}, 400, id="an absolute name"),
        pytest.param({"filename": "main.py", "subfolder": ".."}, 403, id="a step up in the subfolder"),
        pytest.param({"filename": "passwd", "subfolder": "/etc"}, 403, id="an absolute subfolder"),
        pytest.param({"filename": "a", "type": "user"}, 400, id="a directory that is not for the network"),
        pytest.param({"filename": "gone.png"}, 404, id="a file that is not there"),
        pytest.param({}, 404, id="no name"),
    ],
)
def test_view_serves_nothing_from_elsewhere(instance: Instance, query: dict[str, str], status: int) -> None:
    assert instance.get("/view", params=query).status_code == status


def test_an_upload_stays_in_its_directory(instance: Instance) -> None:
    answer = instance.post("/upload/image", files={"image": ("a.png", b"x")}, data={"subfolder": "../.."})
    assert answer.status_code == 400


@pytest.mark.parametrize(("origin", "status"), [("http://elsewhere.example", 403), (None, 200)])
def test_a_page_of_another_site_is_refused_on_loopback(instance: Instance, origin: str | None, status: int) -> None:
    headers = {"Origin": origin or instance.url}
    assert instance.get("/queue", headers=headers).status_code == status


# The WebSocket.


async def listen(url: str, client_id: str, prompt: dict[str, Any], over_socket: bool) -> list[dict[str, Any]]:
    """Open the socket, send the prompt, and keep what comes until the prompt is over."""
    messages = []
    timeout = aiohttp.ClientTimeout(total=LIMIT)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.ws_connect(f"{url}/ws?clientId={client_id}") as channel:
        messages.append(json.loads((await channel.receive(LIMIT)).data))
        if over_socket:
            await channel.send_json({"type": "prompt", "data": {"prompt": prompt}})
        else:
            await session.post(f"{url}/prompt", json={"prompt": prompt, "client_id": client_id})
        while messages[-1]["type"] != "executing" or messages[-1]["data"]["node"] is not None:
            messages.append(json.loads((await channel.receive(LIMIT)).data))
    return messages


def test_the_socket_keeps_the_name_the_client_gave_and_tells_the_prompt(instance: Instance) -> None:
    prompt = {"1": {"class_type": "DemoSleep", "inputs": {"seconds": 0}}}
    messages = asyncio.run(listen(instance.url, "probe", prompt, over_socket=False))
    assert messages[0]["type"] == "status"
    assert messages[0]["data"]["sid"] == "probe"
    kinds = [message["type"] for message in messages if message["type"] != "status"]
    assert kinds == ["execution_start", "execution_cached", "executing", "executed", "execution_success", "executing"]
    assert next(one for one in messages if one["type"] == "executed")["data"]["output"] == {"seconds": [0.0]}


def test_as_the_fork_it_names_the_client_itself_and_takes_prompts_on_the_socket(tmp_path: Path) -> None:
    one = Instance(install(tmp_path), "--cpu", STANDIN_FORK_WS="1")
    try:
        messages = asyncio.run(listen(one.wait_until_ready().url, "probe", SAVED_IMAGE, over_socket=True))
    finally:
        one.stop()
    assert messages[0]["type"] == "client_id"
    assert messages[0]["data"]["client_id"] != "probe"
    kinds = [message["type"] for message in messages]
    assert {"prompt_queued", "execution_start", "executed", "execution_success"} <= set(kinds)


# Starting and stopping.


def test_the_directories_and_the_gpu_are_those_it_was_told(tmp_path: Path) -> None:
    for name in ("in", "out", "tmp/temp", "user"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "tmp/temp/left_over").touch()
    (tmp_path / "tmp/kept").touch()
    directories = {"--input-directory": "in", "--output-directory": "out", "--temp-directory": "tmp", "--user-directory": "user"}
    flags = [text for flag, name in directories.items() for text in (flag, str(tmp_path / name))]
    one = Instance(
        install(tmp_path, "demo_image"), *flags, "--disable-all-custom-nodes", "--disable-metadata", CUDA_VISIBLE_DEVICES="GPU-1234"
    )
    try:
        one.wait_until_ready()
        assert f"Setting output directory to: {tmp_path}/out\n" in one.log
        assert f"Setting temp directory to: {tmp_path}/tmp/temp\n" in one.log
        assert list((tmp_path / "tmp/temp").iterdir()) == []
        device = one.get("/system_stats").json()["devices"][0]
        assert (device["type"], device["index"]) == ("cuda", 0)
        assert "GPU-1234" in device["name"]
        assert one.get("/object_info/DemoSwatch").json() == {}
        one.finish(SAVED_IMAGE)
        assert b"tEXt" not in (tmp_path / "out/sub/red_00001_.png").read_bytes()
        assert one.stop(signal.SIGINT) == 0
    finally:
        one.stop()
    assert one.log.endswith("\nStopped server\n")
    assert not (tmp_path / "tmp/temp").exists()
    assert (tmp_path / "tmp/kept").exists()


def test_the_network_flags_do_what_they_say(tmp_path: Path) -> None:
    one = Instance(install(tmp_path), "--cpu", "--listen", "127.0.0.2,127.0.0.1", "--enable-cors-header", "--max-upload-size", "0.01")
    try:
        one.wait_until_ready()
        assert requests.get(f"http://127.0.0.2:{one.port}/queue", timeout=LIMIT).status_code == 200
        answer = one.get("/queue", headers={"Origin": "http://elsewhere.example"})
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")
        assert one.post("/upload/image", files={"image": ("a.png", bytes(20_000))}).status_code == 413
    finally:
        one.stop()


def test_a_tree_that_cannot_hold_an_input_directory_still_tells_its_start(tmp_path: Path) -> None:
    program = install(tmp_path)
    (program / "input").touch()
    done = run(program, "--cpu", "--quick-test-for-ci")
    assert done.returncode == 0
    assert "Failed to create input directory" in done.stderr
    assert "\nImport times for custom nodes:\n" in done.stderr


def test_sigterm_ends_it_at_once_and_leaves_temp_behind(tmp_path: Path) -> None:
    one = Instance(install(tmp_path), "--cpu")
    try:
        one.wait_until_ready()
        assert one.stop(signal.SIGTERM) == -signal.SIGTERM
    finally:
        one.stop()
    assert "Stopped server" not in one.log
    assert (one.program / "temp").is_dir()


def test_a_port_in_use_is_noticed_after_the_imports(tmp_path: Path) -> None:
    program = install(tmp_path)
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        done = run(program, "--cpu", "--port", str(stranger.getsockname()[1]))
    assert done.returncode == 1
    assert "OSError: [Errno 98]" in done.stderr
    assert done.stderr.index("Import times for custom nodes:") < done.stderr.index("OSError")


def test_the_quick_test_imports_everything_and_ends_well(tmp_path: Path) -> None:
    done = run(install(tmp_path, "demo_broken"), "--cpu", "--quick-test-for-ci", "--log-stdout")
    assert done.returncode == 0
    assert "(IMPORT FAILED)" in done.stdout
    assert "Starting server" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        pytest.param(["--normalvram"], "unrecognized arguments: --normalvram", id="a flag that later releases dropped"),
        pytest.param(["--whatever"], "unrecognized arguments: --whatever", id="an unknown flag"),
        pytest.param(["--cpu", "--lowvram"], "not allowed with argument", id="two VRAM flags"),
        pytest.param(["--user-directory", "gone"], "gone is not a valid directory.", id="no user directory"),
    ],
)
def test_a_wrong_flag_ends_it_with_two(flags: list[str], reason: str) -> None:
    done = run(SUPPORT / "comfyui", *flags)
    assert done.returncode == 2
    assert reason in done.stderr


def test_help_lists_the_flags() -> None:
    done = run(SUPPORT / "comfyui", "--help")
    assert done.returncode == 0
    flags = ["--listen", "--port", "--cpu", "--extra-model-paths-config", "--disable-auto-launch", "--log-stdout", "--preview-method"]
    assert [flag for flag in flags if flag not in done.stdout] == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("# nothing\n", "TypeError: 'NoneType' object is not iterable", id="an empty file"),
        pytest.param("a:\n  loras: [x, y]\n", "AttributeError: 'list' object has no attribute 'split'", id="a list"),
    ],
)
def test_extra_paths_that_the_real_program_cannot_read_end_it(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "extra.yaml").write_text(text)
    done = run(install(tmp_path), "--cpu", "--extra-model-paths-config", str(tmp_path / "extra.yaml"))
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith(reason)


def test_without_a_visible_gpu_it_does_not_start(tmp_path: Path) -> None:
    done = run(install(tmp_path), CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert "RuntimeError: No CUDA GPUs are available" in done.stderr
