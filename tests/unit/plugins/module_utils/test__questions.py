# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import ssl
import subprocess
import threading

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _questions
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import LONGEST_PAUSE
from ansible_collections.emprops.comfyui.plugins.module_utils._questions import (
    Questions,
    as_count,
    as_digest,
    as_objects,
    as_text,
    base_url,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import HostsError
from fixtures.scripted_server import scripted_server
from support.hub_api import HubApi, Repository


class Asker:
    """A client for one scripted server, and how long it would have waited."""

    def __init__(self, server, timeout=10, tokens=None, more_hosts=()):
        self.server = server
        self.pauses = []
        self.questions = Questions(tokens or {}, timeout, [server.url, *more_hosts], pause=self.pauses.append)

    def ask(self, path="/a", **values):
        return self.questions.ask(self.server.url + path, **values)

    @property
    def tokens(self):
        return [request.headers.get("Authorization") for request in self.server.seen]


@pytest.fixture(name="script")
def fixture_script():
    """A server that answers what it is told, and a client of it."""
    with scripted_server({}) as server:

        def script(answers, **values):
            server.answers.update(answers)
            return Asker(server, **values)

        yield script


def redirect(to, status=302):
    return lambda handler: handler.reply(b"", status, Location=to)


def later(status, **headers):
    return lambda handler: handler.reply({"error": "later"}, status, **{"Content-Type": "application/json", **headers})


def test_an_answer_is_json_and_the_token_a_header(script):
    asker = script({"GET /a": {"b": [1]}})
    asker.questions._tokens = {asker.server.url.removeprefix("http://"): "very-s3cret"}
    assert asker.ask() == {"b": [1]}
    assert asker.tokens == ["Bearer very-s3cret"]
    assert asker.server.seen[0].headers["User-Agent"] == "emprops.comfyui/0.1.0"
    assert "s3cret" not in asker.server.seen[0].path


def test_a_question_may_have_a_body(script):
    asker = script({"POST /a": b"[]"})
    assert asker.ask(content=b"paths=x", kind=_questions.FORM) == []
    assert (asker.server.seen[0].body, asker.server.seen[0].headers["Content-Type"]) == (b"paths=x", "application/x-www-form-urlencoded")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_on_the_same_host_gets_the_same_question(script, status):
    asker = script({"POST /a": redirect("/b", status), "POST /b": "yes"})
    assert asker.ask(content=b"{}") == "yes"
    assert [request.body for request in asker.server.seen] == [b"{}", b"{}"]


def test_a_question_follows_no_redirect_to_another_host_and_neither_does_the_token(script):
    with HubApi() as other:
        asker = script({"GET /a": redirect(other.url + "/nodes/x")}, more_hosts=[other.url])
        asker.questions._tokens = {asker.server.url.removeprefix("http://"): "s3cret", other.host: "s3cret"}
        with pytest.raises(DownloadError, match="redirects a question to 127.0.0.1, which is refused"):
            asker.ask()
        assert other.requests == []


@pytest.mark.parametrize("place", ["/a", "//127.0.0.1:1/", "file:///etc/passwd", "https://[::1", "", "/\xe9\x00"])
def test_no_redirect_leads_astray(script, place):
    asker = script({"GET /a": redirect(place)})
    with pytest.raises(DownloadError):
        asker.ask()
    assert len(asker.server.seen) <= 6


def test_a_file_is_not_looked_for_where_the_operator_does_not_allow_it(script):
    with HubApi() as other:
        other.files["a.bin"] = (b"abc", {})
        asker = script({"GET /a": redirect(f"{other.url}/files/a.bin")})
        with pytest.raises(DownloadError, match="is not asked: the host is an IP address"):
            asker.questions.look(asker.server.url + "/a", "a.bin")
        assert other.requests == []
        allowed = script({}, more_hosts=[other.url])
        assert allowed.questions.look(asker.server.url + "/a", "a.bin").size == 3


def test_only_allowed_hosts_are_asked(script):
    asker = script({})
    with pytest.raises(DownloadError, match="not on the list of allowed hosts"):
        asker.questions.ask("https://other.example/api")
    assert asker.server.seen == []
    with pytest.raises(HostsError):
        Questions({}, 1, ["not a host"])


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_waited_out(script, status):
    asker = script({"GET /a": [later(status, **{"Retry-After": "7"}), later(status), "yes"]})
    assert asker.ask() == "yes"
    assert asker.pauses == [7, 2]


def test_patience_ends(script):
    asker = script({"GET /a": later(429, **{"Retry-After": "99999999"})})
    with pytest.raises(DownloadError, match=r"answered 429, 'later' \(tried 4 times\)"):
        asker.ask()
    assert asker.pauses == [LONGEST_PAUSE] * 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_a_refusal_is_final_and_keeps_its_status(script, status):
    asker = script({"GET /a": later(status, **{"X-Error-Code": "GatedRepo"})})
    with pytest.raises(DownloadError) as raised:
        asker.ask()
    assert (raised.value.status, raised.value.code, asker.pauses) == (status, "GatedRepo", [])


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"<!DOCTYPE html><html>log in</html>", id="a web page"),
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"a": ', id="half of it"),
        pytest.param(b"\xff\xfe\xff", id="no text"),
        pytest.param(b"[" * 200_000, id="nested too deep"),
        pytest.param(b"9" * 100_000, id="a number too large"),
        pytest.param(b"\x1f\x8b\x08\x00", id="compressed unasked"),
    ],
)
def test_an_answer_that_is_not_json_is_said_to_be_none(script, content):
    with pytest.raises(DownloadError, match="the answer of 127.0.0.1 is not JSON"):
        script({"GET /a": content}).ask()


def test_an_answer_without_end_is_not_read_to_it(script, monkeypatch):
    monkeypatch.setattr(_questions, "ANSWER_LIMIT", 1024 * 1024)
    asker = script({"GET /a": b" " * (1024 * 1024 + 1)})
    with pytest.raises(DownloadError, match="larger than 1 MiB"):
        asker.ask()
    assert len(asker.server.seen) == 1


def test_an_answer_that_breaks_off_is_asked_for_again(script):
    def cut(handler):
        handler.reply(b"[1", **{"Content-Length": "9"})
        handler.close_connection = True

    assert script({"GET /a": [cut, [1]]}).ask() == [1]


def test_a_server_that_drips_is_left(script):
    enough = threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        while not enough.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    asker = script({"GET /a": [drip, {"at": "last"}]}, timeout=0.5)
    try:
        assert asker.ask() == {"at": "last"}
    finally:
        enough.set()
    assert asker.pauses


def test_nobody_there_is_said_in_words():
    with scripted_server({}) as server:
        url = server.url
    with pytest.raises(DownloadError, match="cannot reach 127.0.0.1: Connection refused"):
        Questions({}, 5, [url], pause=lambda _seconds: None).ask(url)


def test_proxies_are_taken_from_the_environment(script, monkeypatch):
    asker = script({"GET /a": "through the proxy"})
    monkeypatch.setenv("http_proxy", asker.server.url)
    monkeypatch.setenv("no_proxy", "")
    questions = Questions({"hub.example:80": "s3cret"}, 5, ["http://hub.example"])
    assert questions.ask("http://hub.example/a") == "through the proxy"
    assert asker.tokens == [None]  # unencrypted, over a network


def test_certificates_are_taken_from_the_environment(tmp_path, monkeypatch):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        + ["-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with HubApi() as hub:
        hub._server.socket = context.wrap_socket(hub._server.socket, server_side=True)
        hub.repositories["a/b"] = Repository()
        url = hub.url.replace("http:", "https:")
        with pytest.raises(DownloadError, match="certificate of 127.0.0.1 is not trusted"):
            Questions({}, 5, [url]).ask(f"{url}/api/models/a/b/revision/main")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        answer = Questions({hub.host: "s3cret"}, 5, [url]).ask(f"{url}/api/models/a/b/revision/main")
        assert answer["id"] == "a/b"
        assert hub.requests[0].headers["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(
    "url, expected",
    [
        ("https://hub.example/", "https://hub.example"),
        ("https://HUB.example/mirror/", "https://hub.example/mirror"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_a_base_is_what_is_appended_to(url, expected):
    assert base_url(url) == expected


@pytest.mark.parametrize("url", ["hub.example", "ftp://hub.example", "https://u:p@hub.example", "https://hub.example/?token=s3cret", ""])
def test_what_nothing_can_be_appended_to_is_refused_without_its_secrets(url):
    with pytest.raises(DownloadError) as raised:
        base_url(url)
    assert "s3cret" not in str(raised.value) and "u:p" not in str(raised.value)


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "text", [], {}, [1, "a", None], -1, 2**63, float("nan"), "\x1b[31m\n"])
def test_whatever_an_answer_holds_is_taken_for_what_it_is(value):
    assert as_count(value) in (None, 1)
    assert as_text(value) in (None, "text", "[31m")
    assert as_digest(value) is None
    assert as_objects(value) == []
    assert as_digest("AB" * 32) == "ab" * 32
