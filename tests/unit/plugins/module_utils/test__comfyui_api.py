# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import threading

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _comfyui_api
from ansible_collections.emprops.comfyui.plugins.module_utils._comfyui_api import (
    ComfyUI,
    ComfyUIError,
    ImportFailure,
    PromptRejectedError,
    Queue,
    parse_imports,
    parse_url,
    tells_of_imports,
)
from unit.fixtures.scripted_server import scripted_server
from unit.fixtures.standin import free_port, standin

PACKS = {
    "fine": "NODE_CLASS_MAPPINGS = {}",
    "needs_numba": "import numba_of_nobody",
    "raises_twice": "try:\n    {}['a']\nexcept KeyError:\n    raise RuntimeError('no luck\\nat all')",
    "wrong_syntax": "def",
    "no_nodes": "",
}


@pytest.fixture(name="comfyui", scope="module")
def fixture_comfyui(tmp_path_factory):
    with standin(tmp_path_factory.mktemp("comfyui") / "ComfyUI", PACKS) as running:
        yield running


@pytest.fixture(name="client")
def fixture_client(comfyui):
    return ComfyUI(comfyui.url, timeout=30)


def test_a_real_answer_is_understood(client):
    assert client.system_stats()["devices"][0]["type"] == "cpu"
    assert client.object_info()["SaveImage"]["output_node"] is True
    assert client.queue() == Queue((), ())
    assert client.history("never-heard-of") is None


def test_a_refused_workflow_keeps_its_words(client):
    with pytest.raises(PromptRejectedError, match="Cannot execute because node NoSuchNode does not exist.: Node ID '#7'"):
        client.submit({"7": {"class_type": "NoSuchNode", "inputs": {}}})
    with pytest.raises(PromptRejectedError, match="Prompt outputs failed validation") as raised:
        client.submit({"7": {"class_type": "SaveImage", "inputs": {}}})
    assert raised.value.node_errors["7"]["class_type"] == "SaveImage"


def test_a_file_that_is_not_there(client):
    with pytest.raises(ComfyUIError, match="filename=missing.png.*HTTP status 404"):
        client.view("missing.png")


def test_nothing_listens():
    with pytest.raises(ComfyUIError, match="/system_stats: nothing listens there"):
        ComfyUI(f"http://127.0.0.1:{free_port()}").system_stats()


def test_loopback_is_never_asked_through_a_proxy(monkeypatch, client):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert ComfyUI(client.url, 30).queue() == Queue((), ())


def _ends_early(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b'{"a": 1}')


def _is_not_http(handler):
    handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")


@pytest.mark.parametrize(
    "answer, message",
    [
        pytest.param(b"<html>", r"not JSON \(HTTP status 200\)", id="a web page"),
        pytest.param([[1]], "not a JSON object", id="a list"),
        pytest.param(b"[" * 100_000, "not JSON", id="deeply nested"),
        pytest.param(500, "HTTP status 500", id="an error"),
        pytest.param(_ends_early, "ended early", id="cut off"),
        pytest.param(_is_not_http, "not HTTP", id="another protocol"),
        pytest.param(lambda handler: handler.reply(b"", 302, Location="/elsewhere"), "HTTP status 302", id="a redirect is not followed"),
    ],
)
def test_a_strange_answer_is_an_error_with_its_url(answer, message):
    with scripted_server({"GET /object_info": answer, "GET /elsewhere": {}}) as server:
        with pytest.raises(ComfyUIError, match=f"^{server.url}/object_info: .*{message}"):
            ComfyUI(server.url, 30).object_info()
        assert [request.path for request in server.seen] == ["/object_info"]


def test_another_program_is_not_taken_for_comfyui():
    with scripted_server({"GET /system_stats": {"status": "ok"}, "GET /queue": {"jobs": []}, "POST /prompt": {}}) as server:
        client = ComfyUI(server.url, 30)
        for ask in (client.system_stats, client.queue):
            with pytest.raises(ComfyUIError, match="the answer is not ComfyUI's"):
                ask()
        with pytest.raises(ComfyUIError, match="no prompt_id"):
            client.submit({})


def test_an_answer_that_never_ends_is_not_read_to_the_end(monkeypatch):
    monkeypatch.setattr(_comfyui_api, "ANSWER_LIMIT", 1024 * 1024)

    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b" " * 65536)
        except OSError:
            pass

    with scripted_server({"GET /object_info": endless}) as server, pytest.raises(ComfyUIError, match="larger than 1 MiB"):
        ComfyUI(server.url, 30).object_info()


def test_an_answer_that_drips_is_given_up():
    over = threading.Event()

    def dripping(handler):
        handler.send_response(200)
        handler.end_headers()
        try:
            while not over.wait(0.05):
                handler.wfile.write(b" ")
        except OSError:
            pass

    with scripted_server({"GET /object_info": dripping}) as server, pytest.raises(ComfyUIError, match="not complete within 0.3 seconds"):
        ComfyUI(server.url, 0.3).object_info()
    over.set()


def test_a_server_that_says_nothing_is_given_up():
    over = threading.Event()
    with scripted_server({"GET /queue": lambda handler: over.wait(60)}) as server:
        with pytest.raises(ComfyUIError, match="/queue: no answer within 0.3 seconds"):
            ComfyUI(server.url, 0.3).queue()
        over.set()


def test_a_hostile_id_stays_inside_its_path_and_its_query():
    with scripted_server({}) as server:
        client = ComfyUI(server.url, 30)
        for ask in (lambda: client.history("../queue?x=1"), lambda: client.view("a&type=input", "b c")):
            with pytest.raises(ComfyUIError):
                ask()
    assert [request.path for request in server.seen] == [
        "/history/..%2Fqueue%3Fx%3D1",
        "/view?filename=a%26type%3Dinput&subfolder=b+c&type=output",
    ]


def test_the_oldest_error_shape_is_understood():
    refusal = {"error": "no prompt", "node_errors": []}
    answers = {"POST /prompt": lambda handler: handler.reply(refusal, 400)}
    with scripted_server(answers) as server, pytest.raises(PromptRejectedError, match="the workflow was refused: no prompt") as raised:
        ComfyUI(server.url, 30).submit({})
    assert raised.value.node_errors == {}


@pytest.mark.parametrize(
    "url, expected",
    [
        pytest.param("http://127.0.0.1:8188", ("127.0.0.1", 8188), id="with a port"),
        pytest.param("http://[::1]:8189/", ("::1", 8189), id="IPv6"),
        pytest.param("https://comfy.example/gpu0", ("comfy.example", 443), id="behind a gateway"),
    ],
)
def test_an_address(url, expected):
    assert parse_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8188",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "http://",
        "http://127.0.0.1:port",
        "http://127.0.0.1/?a=b",
        "http://a b/",
    ],
)
def test_what_is_not_an_address_is_refused(url):
    with pytest.raises(ComfyUIError):
        ComfyUI(url)


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(ComfyUIError) as raised:
        ComfyUI("http://admin:hunter2@127.0.0.1:8188")
    assert "hunter2" not in str(raised.value)


def test_a_pack_that_failed_is_told_with_its_traceback(comfyui):
    found = {failure.pack: failure for failure in parse_imports(comfyui.log).failures}
    assert {pack: failure.error for pack, failure in found.items()} == {
        "needs_numba": "No module named 'numba_of_nobody'",
        "no_nodes": "due to the lack of NODE_CLASS_MAPPINGS.",
        "raises_twice": "no luck",
        "wrong_syntax": "invalid syntax (__init__.py, line 1)",
    }
    assert found["needs_numba"].path == str(comfyui.place / "custom_nodes" / "needs_numba")
    assert found["needs_numba"].traceback.startswith("Traceback (most recent call last):")
    assert found["needs_numba"].traceback.endswith("ModuleNotFoundError: No module named 'numba_of_nobody'")
    assert "KeyError: 'a'" in found["raises_twice"].traceback and found["raises_twice"].traceback.endswith("no luck\nat all")
    assert "SyntaxError" in found["wrong_syntax"].traceback
    assert found["no_nodes"].traceback == ""


def test_the_journal_drops_empty_lines_and_nothing_is_lost(comfyui):
    in_journal = "\n".join(line for line in comfyui.log.splitlines() if line)
    whole, told = parse_imports(comfyui.log), parse_imports(in_journal)
    strip = [(failure.pack, failure.error, failure.traceback.replace("\n\n", "\n")) for failure in whole.failures]
    assert [(failure.pack, failure.error, failure.traceback) for failure in told.failures] == strip
    assert told.seconds == whole.seconds


def test_what_every_pack_added_to_the_start_is_read_whether_it_failed_or_not(comfyui):
    lines = [line.split() for line in comfyui.log.splitlines() if " seconds" in line]
    told = {words[-1]: float(words[0]) for words in lines}
    assert {str(comfyui.place / "custom_nodes" / name) for name in PACKS} <= set(told)
    assert parse_imports(comfyui.log).seconds == told


STARTED = "Starting server\n\nTo see the GUI go to: http://127.0.0.1:8188\n"
BROKEN_A = """\
Traceback (most recent call last):
  File "/c/custom_nodes/a/__init__.py", line 1
ValueError: x

Cannot import /c/custom_nodes/a module for custom nodes: x
"""
FAILED_A = "\nImport times for custom nodes:\n   0.0 seconds (IMPORT FAILED): /c/custom_nodes/a\n\n"
NONE_FAILED = "\nImport times for custom nodes:\n   0.0 seconds: /c/custom_nodes/a\n\n"
PRESTARTUP = (
    "Failed to execute startup-script: /c/custom_nodes/b/prestartup_script.py / no luck\n\n"
    "Prestartup times for custom nodes:\n   0.1 seconds (PRESTARTUP FAILED): /c/custom_nodes/b\n\n"
)


@pytest.mark.parametrize(
    "log, expected",
    [
        pytest.param("", [], id="nothing logged"),
        pytest.param(NONE_FAILED + STARTED, [], id="all well"),
        pytest.param(BROKEN_A + FAILED_A + STARTED, [("a", "x")], id="one pack"),
        pytest.param(BROKEN_A, [("a", "x")], id="still starting"),
        pytest.param(FAILED_A + STARTED, [("a", "import failed, the log does not say why")], id="the verdict alone"),
        pytest.param(BROKEN_A + FAILED_A + STARTED + NONE_FAILED + STARTED, [], id="healed by a restart of its own"),
        pytest.param(NONE_FAILED + STARTED + BROKEN_A + FAILED_A + STARTED, [("a", "x")], id="broken by a restart of its own"),
        pytest.param(PRESTARTUP + NONE_FAILED + STARTED, [("b", "prestartup_script.py / no luck")], id="a prestartup script"),
        pytest.param(
            BROKEN_A + FAILED_A + STARTED + PRESTARTUP,
            [("a", "x"), ("b", "prestartup_script.py / no luck")],
            id="prints that were buffered come late",
        ),
        pytest.param(PRESTARTUP + NONE_FAILED + STARTED + NONE_FAILED + STARTED, [], id="a prestartup script that is gone"),
        pytest.param(
            "Cannot import /c/comfy_extras/nodes_audio.py module for custom nodes: no torchaudio\n" + NONE_FAILED + STARTED,
            [],
            id="an optional node of ComfyUI itself",
        ),
        pytest.param("\x1b[31m" + BROKEN_A.replace("Cannot", "\x1b[33mCannot"), [("a", "x")], id="colours"),
        pytest.param("Cannot import /c/custom_nodes/one.py module for custom nodes: y\n", [("one", "y")], id="a pack of one file"),
    ],
)
def test_the_last_start_counts(log, expected):
    assert [(failure.pack, failure.error) for failure in parse_imports(log).failures] == expected


def _seconds(*lines):
    return "\nImport times for custom nodes:\n" + "".join(f"{line}\n" for line in lines) + "\n"


SLOW_A = _seconds("   0.0 seconds: /c/custom_nodes/b", "  12.5 seconds: /c/custom_nodes/a")
SLOW_SCRIPT = "\nPrestartup times for custom nodes:\n   0.2 seconds: /c/custom_nodes/a\n   3.0 seconds: /c/custom_nodes/c\n\n"


@pytest.mark.parametrize(
    "log, expected",
    [
        pytest.param("", {}, id="nothing logged"),
        pytest.param(SLOW_A + STARTED, {"/c/custom_nodes/a": 12.5, "/c/custom_nodes/b": 0.0}, id="imports"),
        pytest.param(
            SLOW_SCRIPT + SLOW_A + STARTED,
            {"/c/custom_nodes/a": 12.7, "/c/custom_nodes/b": 0.0, "/c/custom_nodes/c": 3.0},
            id="a prestartup script counts too",
        ),
        pytest.param(
            SLOW_A + STARTED + SLOW_SCRIPT,
            {"/c/custom_nodes/a": 12.7, "/c/custom_nodes/b": 0.0, "/c/custom_nodes/c": 3.0},
            id="prints that were buffered come late",
        ),
        pytest.param(SLOW_SCRIPT + SLOW_A + STARTED + NONE_FAILED + STARTED, {"/c/custom_nodes/a": 0.0}, id="only the last of two starts"),
        pytest.param("  40.0 seconds: /c/custom_nodes/a\n", {}, id="no list of times"),
        pytest.param(
            SLOW_A + STARTED + "   9.0 seconds: /c/video.mp4\n", {"/c/custom_nodes/a": 12.5, "/c/custom_nodes/b": 0.0}, id="later"
        ),
        pytest.param(_seconds("\x1b[31m   1.0 seconds (IMPORT FAILED): /c/a b"), {"/c/a b": 1.0}, id="colours and a space"),
        pytest.param(_seconds("   1.2.3 seconds: /c/a", "   nan seconds: /c/b", "-1.0 seconds: /c/c"), {}, id="no numbers"),
    ],
)
def test_the_seconds_of_the_last_start(log, expected):
    assert parse_imports(log).seconds == expected


TOLD_OTHERWISE = """\
Traceback (most recent call last):
  File "/c/custom_nodes/a/__init__.py", line 2, in <module>
ModuleNotFoundError: No module named 'insightface'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/c/custom_nodes/a/__init__.py", line 4, in <module>
RuntimeError: please read the manual"""


@pytest.mark.parametrize(
    "error, traceback, missing",
    [
        ("No module named 'numba'", "", "numba"),
        ("No module named 'cv2.ximgproc'; 'cv2' is not a package", "", "cv2.ximgproc"),
        ("prestartup_script.py / No module named 'git'", "", "git"),
        ("libGL.so.1: cannot open shared object file: No such file or directory", "", "libGL.so.1"),
        (
            "cannot import name 'cached_download' from 'huggingface_hub' (/v/huggingface_hub/__init__.py)",
            "",
            "huggingface_hub.cached_download",
        ),
        ("cannot import name 'A' from partially initialized module 'a' (most likely due to a circular import)", "", None),
        ("please read the manual", TOLD_OTHERWISE, "insightface"),
        ("no luck", "Traceback (most recent call last):\n  print(\"No module named 'x'\")\nValueError: no luck", None),
        ("No module named ''", "", None),
        ("", "", None),
    ],
)
def test_what_was_missing_is_read_from_the_error(error, traceback, missing):
    assert ImportFailure("a", "/c/custom_nodes/a", error, traceback).missing_module == missing


def test_a_traceback_of_somebody_else_is_not_shown_for_this_pack():
    log = BROKEN_A.replace("custom_nodes/a/__init__.py", "custom_nodes/b/other.py")
    assert parse_imports(log).failures == (ImportFailure("a", "/c/custom_nodes/a", "x", ""),)


@pytest.mark.parametrize("log, expected", [("Total VRAM 1 MB\n", False), (BROKEN_A, False), (NONE_FAILED, True), (STARTED, True)])
def test_a_log_without_the_imports_proves_nothing(log, expected):
    assert tells_of_imports(log) is expected
