# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.hub import COMMIT, FAULTS, Hub

CONTENT = bytes(range(100))
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(name="hub")
def fixture_hub(tmp_path):
    root = tmp_path / "root"
    for place in ("a.bin", "org/repo/w.bin", "org/gated/w.bin", "civitai/7/original.bin"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(CONTENT)
    (root / "org/gated/.gated").touch()
    (tmp_path / "outside.bin").write_bytes(b"outside")
    (root / "link.bin").symlink_to(tmp_path / "outside.bin")
    with Hub(root, token="right") as hub:
        yield hub


def ask(url, method="GET", timeout=10, **headers):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        connection.request(
            method, f"{parts.path}?{parts.query}", headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "wanted, status, content",
    [
        ("bytes=10-19", 206, CONTENT[10:20]),
        ("bytes=90-", 206, CONTENT[90:]),
        ("bytes=-5", 206, CONTENT[-5:]),
        ("bytes=90-999", 206, CONTENT[90:]),
        ("bytes=100-", 416, b""),
        ("nonsense", 200, CONTENT),
    ],
)
def test_a_file_is_served_in_ranges(hub, wanted, status, content):
    answer = ask(f"{hub.url}/files/a.bin", Range=wanted)
    assert (answer[0], answer[2]) == (status, content)
    assert answer[1]["Content-Range"].endswith("/100") if status != 200 else "Content-Range" not in answer[1]


def test_a_range_of_another_version_is_the_whole_file(hub):
    etag = ask(f"{hub.url}/files/a.bin", "HEAD")[1]["ETag"]
    assert ask(f"{hub.url}/files/a.bin", Range="bytes=50-", If_Range=etag)[0] == 206
    assert ask(f"{hub.url}/files/a.bin", Range="bytes=50-", If_Range='"old"')[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/files/../outside.bin",
        "/files/%2e%2e/outside.bin",
        "/files/link.bin",
        "/files/",
        "/files/org",
        "/files/org/gated/.gated",
        "/files//etc/passwd",
        "/files/hub.json",
        "/files/a%00.bin",
        "/",
        "/org/repo",
        "/cdn/a.bin",
    ],
)
def test_nothing_else_can_be_read(hub, path):
    (hub.root / "hub.json").write_text('{"faults": {}}')
    assert ask(hub.url + path)[0] == 404


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_hugging_face_redirects_to_signed_storage(hub, method, revision):
    status, headers, _body = ask(f"{hub.url}/org/repo/resolve/{revision}/w.bin", method)
    assert status == 302
    assert (headers["X-Linked-Size"], headers["X-Linked-Etag"], headers["X-Repo-Commit"]) == ("100", f'"{SHA256}"', COMMIT)
    link = headers["Location"]
    status, stored, body = ask(link)
    assert (status, body) == (200, CONTENT)
    assert SHA256 not in stored["ETag"] and len(stored["ETag"]) == 66
    assert ask(link, Authorization="Bearer right")[0] == 400
    assert ask(link[:-1] + ("0" if link[-1] != "0" else "1"))[0] == 403
    assert ask(link.replace("exp=", "exp=1"), timeout=10)[0] == 403
    assert ask(link.split("?")[0])[0] == 403


@pytest.mark.parametrize(
    "path, headers, status, code",
    [
        ("org/gated/resolve/main/w.bin", {}, 401, "GatedRepo"),
        ("org/gated/resolve/main/w.bin", {"Authorization": "Bearer wrong"}, 403, "GatedRepo"),
        ("org/gated/resolve/main/w.bin", {"Authorization": "Bearer right"}, 302, None),
        ("org/repo/resolve/main/none.bin", {}, 404, "EntryNotFound"),
        ("org/repo/resolve/main/../gated/w.bin", {}, 404, "EntryNotFound"),
        ("org/repo/resolve/v9/w.bin", {}, 404, "RevisionNotFound"),
        ("org/none/resolve/main/w.bin", {}, 401, "RepoNotFound"),
        ("org/none/resolve/main/w.bin", {"Authorization": "Bearer right"}, 404, "RepoNotFound"),
        ("org/repo/blob/main/w.bin", {}, 200, None),
    ],
)
def test_hugging_face_tells_its_refusals_apart(hub, path, headers, status, code):
    answer = ask(f"{hub.url}/{path}", **headers)
    assert (answer[0], answer[1].get("X-Error-Code")) == (status, code)


def test_civitai_wants_a_token_a_get_and_no_browser(hub):
    url = f"{hub.url}/api/download/models/7"
    status, _headers, body = ask(url)
    assert status == 401 and json.loads(body)["error"] == "Unauthorized"
    assert ask(url, "HEAD", Authorization="Bearer right")[0] == 401
    assert ask(url, Authorization="Bearer right", User_Agent="Mozilla/5.0")[1]["Content-Type"].startswith("text/html")
    assert ask(url, Authorization="Bearer right", User_Agent="Python-urllib/3.11")[0] == 403
    assert ask(f"{hub.url}/api/download/models/8", Authorization="Bearer right")[0] == 404
    status, headers, _body = ask(url, Authorization="Bearer right")
    assert status == 307
    assert ask(headers["Location"])[2] == CONTENT


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in ("truncate", "stall")])
def test_a_fault_is_had_for_the_asking(hub, fault):
    good = ask(f"{hub.url}/files/a.bin", Range="bytes=10-19")
    again = ask(f"{hub.url}/files/a.bin", Range="bytes=10-19")
    bad = ask(f"{hub.url}/files/a.bin?fault={fault}", Range="bytes=10-19" if fault != "badhash" else "bytes=90-")
    assert (good[0], good[2]) == (again[0], again[2]) == (206, CONTENT[10:20])
    assert bad[0] == (
        int(fault) if fault.isdigit() else {"loop": 302, "otherrange": 206, "etag": 206, "badhash": 206, "lfs": 206}.get(fault, 200)
    )
    assert (bad[1].get("ETag"), bad[2]) not in [(good[1]["ETag"], good[2]), (good[1]["ETag"], CONTENT[90:])]


def test_a_truncated_body_ends_half_way(hub):
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(f"{hub.url}/files/a.bin?fault=truncate")
    assert caught.value.partial == CONTENT[:50]


def test_a_stalled_body_stays_half_way(hub):
    with pytest.raises(TimeoutError):
        ask(f"{hub.url}/files/a.bin?fault=stall", timeout=0.2)


def test_a_fault_follows_a_redirect_to_the_storage(hub):
    link = ask(f"{hub.url}/org/repo/resolve/main/w.bin?fault=badhash")[1]["Location"]
    assert ask(link)[2] == CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])


def test_a_list_of_faults_is_used_up(hub):
    (hub.root / "hub.json").write_text(json.dumps({"faults": {"/files/a.bin": ["500", "", "429"]}}))
    assert [ask(f"{hub.url}/files/a.bin")[0] for _request in range(5)] == [500, 200, 429, 200, 200]


def test_it_runs_as_a_program(tmp_path):
    (tmp_path / "a.bin").write_bytes(CONTENT)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = Path(__file__).parents[2] / "support/hub.py"
    command = [sys.executable, program, "--listen", "127.0.0.1", "--port", str(port), "--root", tmp_path, "--token", "right"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith(f"hub on http://127.0.0.1:{port}, storage on http://127.0.0.1:")
            assert ask(f"http://127.0.0.1:{port}/files/a.bin")[2] == CONTENT
        finally:
            process.terminate()
