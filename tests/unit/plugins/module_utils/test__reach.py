# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import urllib.error
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._reach import (
    Address,
    AddressError,
    describe,
    hide_credentials,
    model_addresses,
    parse_address,
    reach,
    reach_all,
)

SECONDS = 10


@pytest.fixture(autouse=True)
def fixture_no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextmanager
def _web_server(status, headers=()):
    """A real server that gives every request one answer, and remembers what was asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append((self.path, dict(self.headers)))
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_args):
            pass

    asked: list[tuple[str, dict[str, str]]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _talker(words):
    """A real server that says its words to whoever comes, and hangs up."""

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(words)

    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.parametrize(
    "url, address",
    [
        pytest.param("https://hub.example/a/b?c=d", Address("https", "hub.example", 443), id="the port of https"),
        pytest.param("http://hub.example:8080", Address("http", "hub.example", 8080), id="a port of its own"),
        pytest.param("git@git.example:owner/name.git", Address("ssh", "git.example", 22), id="git's short form"),
        pytest.param("ssh://git@git.example:2222/owner/name", Address("ssh", "git.example", 2222), id="ssh"),
        pytest.param("ssh://git@[::1]/name", Address("ssh", "::1", 22), id="an IPv6 address"),
        pytest.param("/srv/git/name.git", Address("file", path="/srv/git/name.git"), id="a path"),
        pytest.param("file:///srv/git/name.git", Address("file", path="/srv/git/name.git"), id="a path as address"),
    ],
)
def test_an_address_leads_to_a_server(url, address):
    assert parse_address(url) == address


@pytest.mark.parametrize(
    "url, reason",
    [
        pytest.param("", "is empty", id="nothing"),
        pytest.param("https://a b/", "spaces", id="a space"),
        pytest.param("https://a/\nHost: b", "control characters", id="a second line"),
        pytest.param("git clone https://a/b", "spaces", id="a whole command"),
        pytest.param("ftp://a/b", "scheme 'ftp'", id="an unknown scheme"),
        pytest.param("owner/name", "scheme ''", id="no scheme"),
        pytest.param("https:///b", "names no host", id="no host"),
        pytest.param("https://a:99999/", "is not an address", id="a port that does not exist"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(url, reason):
    with pytest.raises(AddressError, match=reason):
        parse_address(url)


@pytest.mark.parametrize(
    "url, shown",
    [
        pytest.param("https://a/b?c=d#e", "https://a/b?c=d#e", id="nothing to hide"),
        pytest.param("https://me:pw@a:1/b", "https://***@a:1/b", id="user and password"),
        pytest.param("https://ghp_token@a/b", "https://***@a/b", id="a token as user"),
        pytest.param("https://a/b?type=x&token=pw&API_KEY=pw", "https://a/b?type=x&token=***&API_KEY=***", id="parameters"),
        pytest.param("ssh://git@a/b", "ssh://git@a/b", id="the user of SSH is no secret"),
        pytest.param("ssh://git:pw@a/b", "ssh://git:***@a/b", id="its password is"),
        pytest.param("git@a:b", "git@a:b", id="git's short form"),
        pytest.param("https://me:pw@[a/b", "***", id="what cannot be taken apart"),
    ],
)
def test_credentials_are_hidden_once_and_for_all(url, shown):
    assert hide_credentials(url) == shown
    assert hide_credentials(shown) == shown


@pytest.mark.parametrize("status", [200, 301, 401, 404, 405, 500])
def test_any_http_answer_counts(status):
    with _web_server(status, [("Location", "http://127.0.0.1:1/")]) as (port, asked):
        assert reach(Address("http", "127.0.0.1", port), SECONDS) == ""
    assert [path for path, _headers in asked] == ["/"]


def test_a_proxy_is_used_and_its_own_trouble_is_not_the_servers_answer(monkeypatch):
    with _web_server(404) as (port, asked):
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        assert reach(Address("http", "hub.invalid", 80), SECONDS) == ""
    assert asked[0][0] == "http://hub.invalid:80/"
    with _web_server(503) as (port, _asked):
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        assert reach(Address("http", "hub.invalid", 80), SECONDS) == "the proxy answers 503"


def test_an_ssh_server_is_known_by_its_version_also_after_other_words():
    with _talker(b"Welcome.\r\nSSH-2.0-OpenSSH_9.2\r\n") as port:
        assert reach(Address("ssh", "127.0.0.1", port), SECONDS) == ""


@pytest.mark.parametrize(
    "scheme, words, answer",
    [
        pytest.param("ssh", b"220 mail.example ESMTP\r\n", "what answers there does not speak SSH", id="mail instead of SSH"),
        pytest.param("http", b"SSH-2.0-OpenSSH_9.2\r\n", "what answers there does not speak HTTP", id="SSH instead of HTTP"),
    ],
)
def test_a_server_of_another_kind_is_not_taken_for_the_right_one(scheme, words, answer):
    with _talker(words) as port:
        assert reach(Address(scheme, "127.0.0.1", port), SECONDS) == answer


def test_plain_http_on_the_port_of_https_is_a_tls_failure():
    with _talker(b"HTTP/1.0 200 OK\r\n\r\n") as port:
        assert reach(Address("https", "127.0.0.1", port), SECONDS).startswith("TLS fails: ")


def test_a_closed_port_is_said_to_be_refused():
    for scheme in ("http", "https", "ssh"):
        assert "refused" in reach(Address(scheme, "127.0.0.1", _closed_port()), SECONDS)


def test_a_server_that_says_nothing_runs_out_of_time():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert reach(Address("ssh", "127.0.0.1", port), 0.2) == "it does not answer within 0.2 seconds"
        assert reach(Address("http", "127.0.0.1", port), 0.2) == "it does not answer within 0.2 seconds"


def test_a_path_is_there_or_not(tmp_path):
    assert reach(Address("file", path=str(tmp_path)), SECONDS) == ""
    assert reach(Address("file", path=str(tmp_path / "x")), SECONDS) == "there is no such path on the machine"


@pytest.mark.parametrize(
    "error, words",
    [
        pytest.param(urllib.error.URLError(socket.gaierror(-2, "x")), "its name cannot be resolved (DNS)", id="DNS"),
        pytest.param(ssl.SSLCertVerificationError(1, "self-signed"), "TLS fails: self-signed", id="a certificate"),
        pytest.param(http.client.BadStatusLine("x"), "what answers there does not speak HTTP", id="another language"),
        pytest.param(OSError(113, "No route to host"), "no route to host", id="no route"),
        pytest.param(OSError("Tunnel connection failed: 503"), "Tunnel connection failed: 503", id="a proxy's tunnel"),
        pytest.param(ValueError(), "ValueError", id="an error without words"),
    ],
)
def test_each_way_to_fail_has_its_own_words(error, words):
    assert describe(error, SECONDS) == words


def test_all_are_asked_and_each_gets_its_own_answer(tmp_path):
    with _web_server(200) as (port, _asked):
        good = Address("http", "127.0.0.1", port)
        bad = Address("file", path=str(tmp_path / "x"))
        assert reach_all({good, bad}, SECONDS) == {good: "", bad: "there is no such path on the machine"}


@pytest.mark.parametrize(
    ("model", "addresses"),
    [
        pytest.param({"url": "https://hub.example/a?token=x#y"}, ["https://hub.example/a"], id="a token in the query"),
        pytest.param({"url": "https://me:pw@hub.example/a"}, ["https://hub.example/a"], id="a password"),
        pytest.param({"url": "https://s3.example/a?X-Amz-Signature=x"}, ["https://s3.example/a"], id="a signature"),
        pytest.param({"url": "urn:air:sdxl:lora:civitai:1@2"}, ["https://civitai.com"], id="an AIR"),
        pytest.param({"url": "file:///mnt/a%23b"}, ["/mnt/a#b"], id="a file"),
        pytest.param({"url": "file:///mnt/a%20b"}, [], id="a file with a blank, which no address has"),
        pytest.param({"url": "ssh+store://seed@host:2222/loras/a"}, ["ssh://seed@host:2222/loras/a"], id="another machine's store"),
        pytest.param({"url": "https://a/", "urls": ["https://b/"]}, [], id="two addresses, of which one may fail"),
        pytest.param({"urls": ["https://b/"]}, ["https://b/"], id="one, in the list"),
        pytest.param({}, [], id="none"),
        pytest.param({"url": "https://[bad/a"}, ["https://[bad/a"], id="a malformed one, for the preflight to name"),
    ],
)
def test_where_models_come_from_is_told_without_secrets(model, addresses):
    assert model_addresses([model, model]) == addresses
    for address in addresses:
        if "[" not in address:
            parse_address(address)
