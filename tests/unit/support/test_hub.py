# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import ssl
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


def test_an_empty_file_has_no_range(hub):
    (hub.root / "empty.bin").touch()
    assert ask(f"{hub.url}/files/empty.bin")[::2] == (200, b"")
    status, headers, _body = ask(f"{hub.url}/files/empty.bin", Range="bytes=0-0")
    assert (status, headers["Content-Range"]) == (416, "bytes */0")


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
    assert ask(link.replace("Expires=", "Expires=1"))[0] == 403
    assert ask(link.split("?")[0])[0] == 403


def test_a_signed_link_expires(hub):
    hub.link_seconds = -2
    link = ask(f"{hub.url}/org/repo/resolve/main/w.bin")[1]["Location"]
    status, headers, body = ask(link)
    assert (status, headers["Content-Type"]) == (403, "application/xml") and b"Request has expired" in body
    hub.link_seconds = 60
    assert ask(ask(f"{hub.url}/org/repo/resolve/main/w.bin")[1]["Location"])[0] == 200


def test_hugging_face_knows_a_repository_that_was_renamed_and_small_files(hub):
    (hub.root / "old/name").mkdir(parents=True)
    (hub.root / "old/name/.moved").write_text("org/repo\n")
    status, headers, _body = ask(f"{hub.url}/old/name/resolve/main/w.bin")
    assert (status, headers["Location"]) == (307, "/org/repo/resolve/main/w.bin")
    (hub.root / "org/repo/config.json").write_text("{}")
    status, headers, body = ask(f"{hub.url}/org/repo/resolve/main/config.json")
    assert (status, headers["X-Repo-Commit"], body) == (200, COMMIT, b"{}")


def test_the_digest_of_a_file_can_stand_beside_it(hub):
    (hub.root / "org/repo/.w.bin.sha256").write_text("ab" * 32)
    assert ask(f"{hub.url}/org/repo/resolve/main/w.bin")[1]["X-Linked-Etag"] == '"' + "ab" * 32 + '"'


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


def test_civitai_tells_the_files_of_a_version(hub):
    (hub.root / "civitai/7/second.bin").write_bytes(b"second")
    version = json.loads(ask(f"{hub.url}/api/v1/model-versions/7")[2])
    assert [file["name"] for file in version["files"]] == ["original.bin", "second.bin"]
    assert version["files"][0]["hashes"]["SHA256"] == SHA256.upper()
    model = json.loads(ask(f"{hub.url}/api/v1/models/7")[2])
    assert model["modelVersions"] == [version]
    url = f"{hub.url}/api/download/models/7?fileId={version['files'][1]['id']}"
    assert ask(ask(url, Authorization="Bearer right")[1]["Location"])[2] == b"second"
    assert ask(f"{hub.url}/api/v1/model-versions/8")[0] == 404


def seen(answer):
    status, headers, body = answer
    return status, body, {name: value for name, value in headers.items() if name != "Date"}


@pytest.mark.parametrize("fault", [*(fault for fault in FAULTS if fault != "reset100"), "norange+etag", "to:http://127.0.0.1:9/there"])
def test_a_fault_is_had_for_the_asking(hub, fault):
    url = f"{hub.url}/org/repo/resolve/main/w.bin" if fault.startswith("linked") else f"{hub.url}/files/a.bin"
    if fault == "expired":
        url = ask(f"{hub.url}/org/repo/resolve/main/w.bin")[1]["Location"]
    wanted = {"Range": "bytes=90-"} if not fault.startswith("linked") else {}
    good = seen(ask(url, **wanted))
    if not fault.startswith("linked"):
        assert good == seen(ask(url, **wanted)) and good[:2] == (206, CONTENT[90:])
    else:
        good[2].pop("Location")
    try:
        bad = seen(ask(f"{url}{'&' if '?' in url else '?'}fault={fault}", timeout=0.3, **wanted))
    except (http.client.HTTPException, OSError) as error:
        assert fault in BREAKING, error
    else:
        bad[2].pop("Location", None)
        assert fault not in BREAKING and bad != good
        assert not fault.isdigit() or bad[0] == int(fault)


BREAKING = {"overlong", "truncate", "stall", "slow", "reset0", "reset25", "reset50", "reset75", "hangup", "silent"}


@pytest.mark.parametrize("percent", [0, 25, 50, 75, 100])
def test_a_connection_is_reset_where_it_is_asked_to_be(hub, percent):
    with socket.create_connection(("127.0.0.1", hub.port), timeout=10) as connection:
        connection.sendall(f"GET /files/a.bin?fault=reset{percent} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        came = b""
        with pytest.raises(ConnectionResetError):
            while True:
                came += connection.recv(65536) or pytest.fail("a polite end")
    assert came.partition(b"\r\n\r\n")[2] == CONTENT[:percent]
    assert hub.ranges("/files/a.bin") == ([(0, percent)] if percent else [])


def test_faults_come_together(hub):
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(f"{hub.url}/files/a.bin?fault=norange+truncate", Range="bytes=10-19")
    assert caught.value.partial == CONTENT[:50]


def test_a_range_can_be_answered_with_other_bytes_under_its_own_name(hub):
    status, headers, body = ask(f"{hub.url}/files/a.bin?fault=otherbytes", Range="bytes=10-19")
    assert (status, headers["Content-Range"]) == (206, "bytes 10-19/100")
    assert len(body) == 10 and body != CONTENT[10:20]


def test_a_certificate_makes_it_https(hub, tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*make, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.create_default_context(cafile=str(certificate))
    with Hub(hub.root, tls=(certificate, key)) as secure:
        connection = http.client.HTTPSConnection("127.0.0.1", secure.port, timeout=10, context=context)
        connection.request("GET", "/org/repo/resolve/main/w.bin")
        answer = connection.getresponse()
        assert answer.read() == b"" and answer.headers["Location"].startswith(f"https://127.0.0.1:{secure.storage_port}/cdn/")
        connection.request("GET", "/files/a.bin", headers={"Range": "bytes=10-19"})
        assert connection.getresponse().read() == CONTENT[10:20]
        connection.close()


def test_a_file_of_any_size_leaves_in_pieces(hub):
    size = 100 << 30
    with (hub.root / "huge.bin").open("wb") as file:
        file.truncate(size)
    status, headers, body = ask(f"{hub.url}/files/huge.bin", Range=f"bytes={size - 5}-")
    assert (status, headers["Content-Range"], body) == (206, f"bytes {size - 5}-{size - 1}/{size}", bytes(5))


def test_what_left_is_counted(hub):
    ask(f"{hub.url}/files/a.bin", Range="bytes=10-19")
    ask(f"{hub.url}/files/a.bin", Range="bytes=0-0")
    ask(f"{hub.url}/files/a.bin", "HEAD")
    assert hub.sent("/files/a.bin") == hub.sent() == 11
    assert hub.ranges("/files/a.bin") == [(10, 20), (0, 1)]
    assert [request["status"] for request in hub.requests] == [206, 206, 200]


def test_connections_are_counted(hub):
    connections = [http.client.HTTPConnection("127.0.0.1", hub.port, timeout=10) for _number in range(3)]
    for connection in connections:
        for _again in range(2):
            connection.request("GET", "/files/a.bin")
            assert connection.getresponse().read() == CONTENT
    assert hub.most_open[hub.port] == hub.open[hub.port] == 3
    for connection in connections:
        connection.close()


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


def test_a_fault_can_be_for_the_first_few_requests_that_it_spoils(hub):
    hub.faults = {"/files/a.bin": "500*2"}
    assert [ask(f"{hub.url}/files/a.bin")[0] for _request in range(3)] == [500, 500, 200]
    assert [ask(f"{hub.url}/files/a.bin?fault=503*1")[0] for _request in range(2)] == [503, 200]
    hub.faults = {"/files/a.bin": "truncate*1"}
    assert ask(f"{hub.url}/files/a.bin", Range="bytes=0-0")[2] == CONTENT[:1]
    with pytest.raises(http.client.IncompleteRead):
        ask(f"{hub.url}/files/a.bin")
    assert ask(f"{hub.url}/files/a.bin")[2] == CONTENT


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
