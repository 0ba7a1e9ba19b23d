# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import subprocess
import threading
import time
from base64 import b64encode
from types import SimpleNamespace

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _model_wire
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError, LinkExpiredError, PassingError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import LONGEST_PAUSE, Client, Link
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import HostsError
from fixtures.scripted_server import scripted_server
from support.hub import COMMIT, Hub

CONTENT = bytes(index % 251 for index in range(300_000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MODEL = "org/repo/resolve/main/w.safetensors"
GATED = "needs/terms/resolve/main/w.safetensors"


@pytest.fixture(name="certificate", scope="module")
def fixture_certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        + ["-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    return certificate, key


@pytest.fixture(name="root")
def fixture_root(tmp_path):
    for place in ("a.gguf", "org/repo/w.safetensors", "needs/terms/w.safetensors", "civitai/7/original name.safetensors"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(CONTENT)
    (tmp_path / "needs/terms/.gated").touch()
    return tmp_path


@pytest.fixture(name="hub")
def fixture_hub(root):
    with Hub(root) as hub:
        yield hub


@pytest.fixture(name="secure_hub")
def fixture_secure_hub(root, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with Hub(root, tls=certificate) as hub:
        yield hub


class Asker:
    """A client that may ask one hub and its storage, and how long it would have waited."""

    def __init__(self, *servers, tokens=None, timeout=10):
        self.pauses = []
        self.client = Client(tokens or {}, timeout, [url for server in servers for url in urls_of(server)], self.pauses.append)

    def content(self, link, start=0, end=None, etag="", size=65536):
        with self.client.read(link, start, end, etag) as reply:
            return b"".join(pieces(reply, size))


def urls_of(server):
    return [server] if isinstance(server, str) else [server.url, *([server.storage_url] if hasattr(server, "storage_url") else [])]


def pieces(reply, size):
    buffer = memoryview(bytearray(size))
    while count := reply.readinto(buffer):
        yield bytes(buffer[:count])


def host_of(url):
    return url.partition("//")[2]


# what is asked before the first byte


def test_a_hub_that_tells_all_on_its_redirect_is_believed_and_its_storage_not_asked(hub):
    link, found = Asker(hub).client.link(f"{hub.url}/{MODEL}")
    assert (found.size, found.sha256, found.commit, found.ranges) == (len(CONTENT), SHA256, COMMIT, True)
    assert re.fullmatch("[0-9a-f]{64}", found.xet_hash) and found.xet_hash != SHA256
    assert link.url.startswith(f"{hub.storage_url}/cdn/") and link.redirected and link.expires > time.time()
    assert [request["port"] for request in hub.requests] == [hub.port]


def test_a_hub_that_tells_nothing_is_followed_to_where_the_bytes_are(hub):
    link, found = Asker(hub, tokens={host_of(hub.url): "s3cret"}).client.link(f"{hub.url}/api/download/models/7")
    assert (found.size, found.sha256, found.ranges) == (len(CONTENT), None, True)
    assert found.etag.startswith('"') and link.token is None and link.fleeting
    # CivitAI answers neither HEAD nor Python's own name, and its storage no request with a token.
    assert [(request["method"], request["headers"].get("Authorization")) for request in hub.requests] == [
        ("GET", "Bearer s3cret"),
        ("GET", None),
    ]
    assert {request["headers"]["User-Agent"] for request in hub.requests} == {"emprops.comfyui/0.1.0"}


def test_a_plain_server_is_asked_for_one_byte(hub):
    asker = Asker(hub)
    link, found = asker.client.link(f"{hub.url}/files/a.gguf")
    assert (link.url, link.redirected, link.fleeting) == (f"{hub.url}/files/a.gguf", False, False)
    assert (found.size, found.sha256, found.ranges) == (len(CONTENT), None, True)
    assert hub.requests[0]["range"] == (0, 1)
    _link, found = asker.client.link(f"{hub.url}/files/a.gguf?fault=norange")
    assert (found.size, found.ranges) == (len(CONTENT), False)
    _link, found = asker.client.link(f"{hub.url}/files/a.gguf?fault=nolength")
    assert (found.size, found.etag) == (None, "")


@pytest.mark.parametrize("status", [400, 405, 416, 501])
def test_a_server_that_minds_the_question_for_a_part_is_asked_for_the_whole(status):
    def answer(handler):
        ranged = "Range" in handler.headers
        handler.reply(b"no" if ranged else b"content", status if ranged else 200, **{"Content-Type": "text/plain"})

    with scripted_server({"GET /a": answer, "GET /b": status}) as server:
        asker = Asker(server)
        _link, found = asker.client.link(f"{server.url}/a")
        assert (found.size, found.ranges, found.content_type) == (7, False, "text/plain")
        with pytest.raises(DownloadError, match=f"does not hand out the file: {status}" if status != 501 else "501"):
            asker.client.link(f"{server.url}/b")
        assert len(server.seen) == 4


def test_a_weak_etag_promises_nothing_and_a_name_with_dots_is_only_told(hub):
    _link, found = Asker(hub).client.link(f"{hub.url}/files/a.gguf?fault=weak+disposition")
    assert (found.etag, found.file_name) == ("", "../../evil.gguf")


def test_the_size_of_an_empty_file_is_known():
    answer = {"GET /a": lambda handler: handler.reply(b"", 416, **{"Content-Range": "bytes */0"})}
    with scripted_server(answer) as server:
        assert Asker(server).client.link(f"{server.url}/a")[1].size == 0


def test_only_the_first_servers_word_counts_for_the_digest():
    def tell(digest, status=302, **more):
        headers = {"X-Linked-Etag": f'"{digest}"', "X-Repo-Commit": COMMIT, **more}
        return lambda handler: handler.reply(b"x", status, **headers)

    with scripted_server({}) as first, scripted_server({}) as second:
        first.answers["GET /a"] = tell("not a digest", Location=f"{second.url}/b")
        second.answers["GET /b"] = tell("b" * 64, 206, **{"Content-Range": "bytes 0-0/5"})
        _link, found = Asker(first, second).client.link(f"{first.url}/a")
    assert (found.size, found.sha256, found.commit) == (5, None, COMMIT)


# tokens


@pytest.mark.parametrize(
    "host, url, sent",
    [
        ("hub.example", "https://hub.example/a", True),
        ("hub.example", "https://hub.example:443/a", True),
        ("Hub.Example", "https://hub.example/a", True),
        ("hub.example", "http://hub.example/a", False),
        ("hub.example", "https://hub.example:8443/a", False),
        ("hub.example:8443", "https://hub.example:8443/a", True),
        ("hub.example:80", "http://hub.example/a", True),
        ("hub.example", "https://cdn.hub.example/a", False),
        ("hub.example", "https://hub.example.evil/a", False),
        ("[::1]:8080", "http://[::1]:8080/a", True),
    ],
)
def test_a_token_belongs_to_one_host(host, url, sent):
    assert (Client({host: "secret"}, 1, []).token_for(url) == "secret") is sent


def test_a_token_goes_to_its_own_origin_alone_not_even_back_to_it():
    def to(url):
        return lambda handler: handler.reply(b"", 302, Location=url)

    answers = {"GET /c": b"content"}
    with scripted_server(answers) as home, scripted_server({}) as other:
        answers["GET /a"] = to(f"{home.url}/b")
        answers["GET /b"] = to(f"{other.url}/x")
        other.answers["GET /x"] = to(f"{home.url}/c")
        tokens = {host_of(home.url): "s3cret", host_of(other.url): "other"}
        asker = Asker(home, other, tokens=tokens)
        link, _found = asker.client.link(f"{home.url}/a")
        assert (link.url, link.token) == (f"{home.url}/c", None)
        assert asker.content(Link(f"{home.url}/a", "s3cret")) == b"content"
        sent = [(request.path, request.headers.get("Authorization")) for request in home.seen + other.seen]
    assert sorted(set(sent), key=str) == [("/a", "Bearer s3cret"), ("/b", "Bearer s3cret"), ("/c", None), ("/x", None)]


def test_a_token_that_came_in_the_address_outranks_the_one_by_host(hub):
    asker = Asker(hub, tokens={host_of(hub.url): "by-host"})
    asker.client.link(f"{hub.url}/{GATED}", "by-address")
    assert hub.requests[0]["headers"]["Authorization"] == "Bearer by-address"


def test_a_user_and_a_password_are_sent_as_such(hub):
    Asker(hub).client.link(f"{hub.url}/files/a.gguf", "me:word")
    assert hub.requests[0]["headers"]["Authorization"] == "Basic bWU6d29yZA=="


def test_a_link_shows_no_secret():
    link = Link("https://me.example/a?X-Amz-Signature=s3cret", "t0ken")
    assert "s3cret" not in repr(link) and "t0ken" not in repr(link)
    assert link.host == "me.example:443"


# where requests may go


@pytest.mark.parametrize(
    "address, private",
    [
        ("8.8.8.8", False),
        ("2606:4700::1111", False),
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("192.168.1.1", True),
        ("169.254.169.254", True),
        ("100.64.0.1", True),
        ("0.0.0.0", True),
        ("224.0.0.1", True),
        ("240.0.0.1", True),
        ("255.255.255.255", True),
        ("::1", True),
        ("::", True),
        ("fe80::1%eth0", True),
        ("fc00::1", True),
        ("ff02::1", True),
        ("::ffff:10.0.0.1", True),
        ("::ffff:8.8.8.8", False),
        ("::10.0.0.1", True),
        ("64:ff9b::10.0.0.1", True),
        ("64:ff9b::8.8.8.8", False),
        ("64:ff9b:1::10.0.0.1", True),
        ("2002:0a00:0001::1", True),
        ("2002:0808:0808::1", False),
        ("2001::1", True),
        ("192.0.0.9", True),
        ("198.18.0.1", True),
        ("198.19.255.255", True),
        ("198.20.0.1", False),
        ("100.127.255.255", True),
        ("100.128.0.1", False),
        ("fec0::1", True),
        ("3fff::1", True),
        ("5f00::1", True),
        ("::ffff:198.18.0.1", True),
    ],
)
def test_an_address_is_private_whatever_it_is_wrapped_in(address, private):
    assert _model_wire._is_private(address) is private


def resolve_to(monkeypatch, *addresses):
    """Make every name stand for these, none of which answers, and note which of them are tried."""
    tried = []

    def reach(_client, addresses):
        tried.extend(address for _family, (address, _port) in addresses)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(_model_wire, "_resolve", lambda _host, port: [(socket.AF_INET, (address, port)) for address in addresses])
    monkeypatch.setattr(Client, "_reach", reach)
    return tried


def test_a_public_name_that_stands_for_a_private_address_is_not_connected_to(monkeypatch):
    tried = resolve_to(monkeypatch, "10.0.0.1", "169.254.169.254")
    asker = Asker("hub.example")
    with pytest.raises(DownloadError, match="hub.example is not asked: it stands for 10.0.0.1, a private address") as caught:
        asker.client.link("https://hub.example/a")
    assert "https://hub.example:443 in allowed_hosts" in str(caught.value)
    assert (tried, asker.pauses) == ([], [])


def test_of_several_addresses_the_private_ones_are_left_out(monkeypatch):
    tried = resolve_to(monkeypatch, "10.0.0.1", "8.8.8.8")
    with pytest.raises(DownloadError, match="cannot reach hub.example: Connection refused"):
        Asker("hub.example").client.link("https://hub.example/a")
    assert set(tried) == {"8.8.8.8"}


def test_a_host_that_is_named_with_its_scheme_may_be_private(monkeypatch):
    tried = resolve_to(monkeypatch, "10.0.0.1")
    with pytest.raises(DownloadError, match="Connection refused"):
        Asker("https://hub.example").client.link("https://hub.example/a")
    assert set(tried) == {"10.0.0.1"}


def test_where_one_address_of_a_host_does_not_answer_the_next_one_is_tried(hub, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    monkeypatch.setattr(_model_wire, "_resolve", lambda _host, port: [(socket.AF_INET, ("127.0.0.1", at)) for at in (closed, port)])
    assert Asker(hub).client.link(f"{hub.url}/files/a.gguf")[1].size == len(CONTENT)


@pytest.mark.parametrize(
    "location, message",
    [
        pytest.param("https://127.0.0.1/x", "127.0.0.1 is not asked: .*a private address", id="this machine"),
        pytest.param("https://[::ffff:10.0.0.1]/x", "a private address", id="IPv4 in IPv6"),
        pytest.param("https://2130706433/x", "127.0.0.1, a private address", id="one number"),
        pytest.param("https://0x7f.1/x", "127.0.0.1, a private address", id="hexadecimal"),
        pytest.param("https://localhost/x", "localhost is not asked", id="localhost"),
        pytest.param("http://127.0.0.1:1/x", "is not https", id="another port, unencrypted"),
        pytest.param("http://hub.example/x", "is not https", id="a public host, unencrypted"),
        pytest.param("file:///etc/passwd", "unusable address: .*neither http nor https", id="a local file"),
        pytest.param("https://u:p@other.example/", "unusable address", id="with a password"),
        pytest.param("https://[::1/", "unusable address", id="malformed"),
    ],
)
@pytest.mark.parametrize("way", ["link", "read"])
def test_a_redirect_that_leads_astray_is_refused(location, message, way):
    with scripted_server({"GET /a": lambda handler: handler.reply(b"", 302, Location=location)}) as server:
        client = Asker(server).client
        with pytest.raises(DownloadError, match=message):
            client.link(f"{server.url}/a") if way == "link" else client.read(Link(f"{server.url}/a"))
        assert len(server.seen) == 1


def test_a_redirect_to_http_is_refused_where_https_was_asked_even_to_a_named_host(secure_hub, hub):
    asker = Asker(secure_hub, hub)
    with pytest.raises(DownloadError, match="from https to http, which is refused"):
        asker.client.link(f"{secure_hub.url}/files/a.gguf?fault=to:{hub.url}/files/a.gguf")
    assert hub.requests == []


def test_a_redirect_in_circles_ends(hub):
    with pytest.raises(DownloadError, match="more than 5 redirects, the last one to 127.0.0.1"):
        Asker(hub).client.link(f"{hub.url}/files/a.gguf?fault=loop")
    assert len(hub.requests) == 6


def test_only_allowed_hosts_are_asked():
    client = Asker("hub.example").client
    with pytest.raises(DownloadError, match="https://other.example/a is not asked: the host other.example is not on the list"):
        client.link("https://other.example/a?token=s3cret")
    with pytest.raises(DownloadError, match="not https"):
        client.link("http://hub.example/a")
    with pytest.raises(HostsError):
        Asker("not a host")


def test_with_a_proxy_only_literal_addresses_can_be_judged(monkeypatch):
    with scripted_server({"GET /a": b"through the proxy"}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//me:pass%20word@"))
        monkeypatch.setenv("no_proxy", "")
        asker = Asker("http://hub.example")
        assert asker.content(Link("http://hub.example/a", "s3cret")) == b"through the proxy"
        (request,) = proxy.seen
        assert (request.path, request.headers["Host"]) == ("http://hub.example/a", "hub.example")
        assert request.headers["Proxy-Authorization"] == "Basic bWU6cGFzcyB3b3Jk"
        for literal in ("http://10.0.0.1/a", "http://2130706433/a", "http://printer.local/a"):
            with pytest.raises(DownloadError, match="IP address or a name of a private network"):
                asker.client.read(Link(literal))
        assert len(proxy.seen) == 1


@pytest.mark.parametrize("status", [200, 407])
def test_https_goes_through_a_proxys_tunnel(secure_hub, monkeypatch, status):
    asked = []

    def serve(listener):
        connection, _address = listener.accept()
        with connection, socket.create_connection(("127.0.0.1", secure_hub.port)) as there:
            asked.append(connection.recv(4096).decode())
            connection.sendall(f"HTTP/1.1 {status} Whatever\r\n\r\n".encode())
            if status == 200:
                back = threading.Thread(target=pump, args=(there, connection), daemon=True)
                back.start()
                pump(connection, there)

    def pump(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "")
        asker = Asker(secure_hub)
        if status == 200:
            assert asker.content(Link(f"{secure_hub.url}/files/a.gguf"), 10, 20) == CONTENT[10:20]
        else:
            with pytest.raises(PassingError, match="the proxy answers 407"):
                asker.client.read(Link(f"{secure_hub.url}/files/a.gguf"))
    assert asked[0].startswith(f"CONNECT 127.0.0.1:{secure_hub.port} HTTP/1.1\r\n")


# reading


@pytest.mark.parametrize("size", [100, 8192, 10_000, 65_536, 1 << 20])
@pytest.mark.parametrize("secure", [False, True])
def test_bytes_come_as_they_are_whatever_the_buffer(request, size, secure):
    hub = request.getfixturevalue("secure_hub" if secure else "hub")
    asker, link = Asker(hub), Link(f"{hub.url}/files/a.gguf")
    assert asker.content(link, size=size) == CONTENT
    assert asker.content(link, 7, 7 + 2 * size, size=size) == CONTENT[7 : 7 + 2 * size]
    assert asker.content(link, 200_000, size=size) == CONTENT[200_000:]
    # All over one connection.
    assert hub.most_open[hub.port] == 1


def test_a_buffer_is_filled_and_the_rest_stays_for_the_next(hub):
    with Asker(hub).client.read(Link(f"{hub.url}/files/a.gguf"), 0, 100_000) as reply:
        buffer = memoryview(bytearray(60_000))
        assert [reply.readinto(buffer), reply.readinto(buffer), reply.readinto(buffer)] == [60_000, 40_000, 0]
        assert (reply.start, reply.total, reply.length, reply.status) == (0, len(CONTENT), 100_000, 206)


def test_what_an_answer_says_of_itself_is_told(hub):
    client = Asker(hub).client
    link = Link(f"{hub.url}/files/a.gguf")
    with client.read(link, 5, 10) as reply:
        assert (reply.status, reply.start, reply.total, reply.length) == (206, 5, len(CONTENT), 5)
        etag = reply.etag
    with client.read(link) as reply:
        assert (reply.status, reply.start, reply.total, reply.etag) == (200, 0, len(CONTENT), etag)
    with client.read(link, len(CONTENT)) as reply:
        assert (reply.status, reply.start, reply.total) == (416, -1, len(CONTENT))
    with client.read(link, 5, 10, etag) as reply:
        assert reply.status == 206
    with client.read(link, 5, 10, '"another"') as reply:
        assert reply.status == 200
    with client.read(Link(f"{link.url}?fault=gzip")) as reply:
        assert reply.content_encoding == "gzip"
    assert "If-Range" not in hub.requests[0]["headers"]


@pytest.mark.parametrize("fault", ["chunked", "nolength"])
def test_a_body_without_a_length_is_read_to_its_end(hub, fault):
    asker = Asker(hub)
    for _time in range(2):
        assert asker.content(Link(f"{hub.url}/files/a.gguf?fault={fault}")) == CONTENT
    with asker.client.read(Link(f"{hub.url}/files/a.gguf?fault={fault}"), 10) as reply:
        assert (reply.status, reply.total, reply.length) == (200, None, None)


@pytest.mark.parametrize("fault", ["truncate", "reset0", "reset50", "reset75", "overlong"])
def test_a_body_that_ends_too_soon_is_noticed_and_what_came_is_kept(hub, fault):
    came = []
    with pytest.raises(PassingError, match="127.0.0.1"), Asker(hub).client.read(Link(f"{hub.url}/files/a.gguf?fault={fault}")) as reply:
        came += pieces(reply, 1000)
    assert CONTENT.startswith(b"".join(came))


def test_a_body_without_a_length_that_is_reset_is_noticed(hub):
    for fault in ("chunked+reset50", "chunked+truncate"):
        with pytest.raises(PassingError, match="broke"):
            Asker(hub).content(Link(f"{hub.url}/files/a.gguf?fault={fault}"))


def test_a_server_that_falls_silent_is_left_with_what_came(hub):
    came = []
    reply = Asker(hub, timeout=0.2).client.read(Link(f"{hub.url}/files/a.gguf?fault=stall"))
    with pytest.raises(PassingError, match="sent nothing for 0.2 seconds"), reply:
        came += pieces(reply, 1 << 20)
    assert b"".join(came) == CONTENT[: len(CONTENT) // 2]


def test_a_server_that_answers_nothing_is_left(hub):
    with pytest.raises(PassingError, match="did not answer within 0.2 seconds"):
        Asker(hub, timeout=0.2).client.read(Link(f"{hub.url}/files/a.gguf?fault=silent"))


def test_headers_that_drip_count_as_no_answer():
    enough = threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.flush_headers()
        while not enough.wait(0.02):
            handler.wfile.write(b"X")

    with scripted_server({"GET /a": drip}) as server:
        try:
            with pytest.raises(PassingError, match="did not answer within 0.3 seconds"):
                Asker(server, timeout=0.3).client.read(Link(f"{server.url}/a"))
        finally:
            enough.set()


def test_what_comes_slowly_is_handed_over_before_the_buffer_is_full(hub):
    with Asker(hub).client.read(Link(f"{hub.url}/files/a.gguf?fault=slow")) as reply:
        assert 0 < reply.readinto(memoryview(bytearray(1 << 20))) < 10


@pytest.mark.parametrize("secure", [False, True])
def test_a_read_can_be_ended_from_outside(request, secure):
    hub = request.getfixturevalue("secure_hub" if secure else "hub")
    with Asker(hub, timeout=60).client.read(Link(f"{hub.url}/files/a.gguf?fault=stall")) as reply:
        timer = threading.Timer(0.1, reply.abort)
        timer.start()
        with pytest.raises(PassingError):
            list(pieces(reply, 1 << 20))
        timer.join()


# connections


def test_a_connection_that_was_read_to_its_end_is_used_again_and_another_is_not(hub):
    asker, link = Asker(hub), Link(f"{hub.url}/files/a.gguf")
    asker.content(link, 0, 10)
    asker.content(link, 0, 10)
    assert len(asker.client._idle) == 1
    with asker.client.read(link) as reply:
        reply.readinto(memoryview(bytearray(10)))
    assert asker.client._idle == []
    assert asker.content(link, 0, 10) == CONTENT[:10]
    asker.client.close()
    assert asker.client._idle == []


def test_a_connection_that_the_server_closed_meanwhile_is_replaced_without_a_word():
    with scripted_server({}) as server:

        def once(handler):
            handler.protocol_version = "HTTP/1.1"
            handler.reply(b"yes")
            handler.close_connection = True  # though it did not say so

        server.answers["GET /a"] = once
        asker = Asker(server)
        for _time in range(3):
            assert asker.content(Link(f"{server.url}/a")) == b"yes"
        # So late that it is noticed only when the question is out.
        asker.client._idle[0].is_stale = lambda: False
        assert asker.content(Link(f"{server.url}/a")) == b"yes"
    assert asker.pauses == []


def test_a_second_connection_resumes_the_first_ones_encryption(secure_hub):
    asker, link = Asker(secure_hub), Link(f"{secure_hub.url}/files/a.gguf")
    asker.content(link, 0, 10)
    asker.client.close()
    with asker.client.read(link, 0, 10) as reply:
        assert reply._connection.sock.session_reused


def test_many_threads_share_a_client(secure_hub):
    asker, link = Asker(secure_hub), Link(f"{secure_hub.url}/files/a.gguf")
    came = {}

    def read(number):
        for start in range(number * 1000, 300_000, 40_000):
            came[start] = asker.content(link, start, start + 1000)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(0, 40, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(content == CONTENT[start : start + 1000] for start, content in came.items()) and len(came) > 50


def test_a_certificate_that_is_not_trusted_is_told_at_once(root, certificate):
    with Hub(root, tls=certificate) as hub:
        asker = Asker(hub)
        with pytest.raises(DownloadError, match="certificate of 127.0.0.1 is not trusted"):
            asker.client.link(f"{hub.url}/files/a.gguf")
    assert asker.pauses == []


def test_nobody_there_is_said_in_words(hub):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(DownloadError, match=r"cannot reach 127.0.0.1: Connection refused \(tried 4 times\)"):
        Asker(url).client.link(f"{url}/a")


# refusals


@pytest.mark.parametrize(
    "path, message",
    [
        pytest.param("files/a.gguf?fault=500", r"answered 500, '.*' \(tried 4 times\)", id="an internal error"),
        pytest.param("files/a.gguf?fault=429", r"answered 429, 'Too Many Requests' \(tried 4 times\)", id="too many requests"),
        pytest.param("files/a.gguf?fault=410", "withdrawn by its publisher: 410", id="gone"),
        pytest.param("files/a.gguf?fault=403", r"access is refused \(no token was sent to 127.0.0.1\): 403", id="forbidden"),
        pytest.param("files/none.gguf", "there is no such file: 404", id="not there"),
        pytest.param("org/repo/resolve/main/none", "the repository has no such file: 404", id="not in the repository"),
        pytest.param("org/repo/resolve/v9/w.safetensors", "no such revision: 404", id="no such revision"),
        pytest.param("org/none/resolve/main/w", r"no such repository, or it is private .*\(no token was sent", id="no such repository"),
        pytest.param(GATED, r"gated: accept its terms .*\(no token was sent to 127.0.0.1\): 401, 'Access to model", id="gated"),
        pytest.param("api/download/models/7", "a token is needed.*: 401, 'Unauthorized: The creator", id="CivitAI without a token"),
        pytest.param("api/download/models/7?fault=early", "in early access, for those who paid.*: 403, 'Early Access: .*", id="too early"),
    ],
)
def test_a_refusal_is_told_in_words(hub, path, message):
    token = {host_of(hub.url): "s3cret"} if "early" in path else {}
    with pytest.raises(DownloadError, match=message):
        Asker(hub, tokens=token).client.link(f"{hub.url}/{path}")


@pytest.mark.parametrize(
    "path, message",
    [
        pytest.param(GATED, r"gated.*\(the token for 127.0.0.1 was sent\): 403", id="gated, not granted"),
        pytest.param("api/download/models/7", "the token for 127.0.0.1 was not accepted: 401", id="CivitAI"),
    ],
)
def test_a_wrong_token_is_told_without_being_shown(hub, path, message):
    hub.token = "another"
    with pytest.raises(DownloadError, match=message) as caught:
        Asker(hub, tokens={host_of(hub.url): "secret-token"}).client.link(f"{hub.url}/{path}")
    assert "secret-token" not in str(caught.value)


def test_a_server_that_repeats_the_token_is_not_quoted():
    def repeat(handler):
        words = {"error": handler.headers["Authorization"] + "\x1b[31m"}
        handler.reply(words, 403, **{"Content-Type": "application/json"})

    with scripted_server({"GET /a": repeat}) as server, pytest.raises(DownloadError) as caught:
        Asker(server).client.link(f"{server.url}/a", "very-s3cret")
    assert "403, 'Bearer ***" in str(caught.value) and "s3cret" not in str(caught.value) and "\x1b" not in str(caught.value)


@pytest.mark.parametrize("token", ["S3cr3t-one:", "S3cr3t-one:x-oauth-basic", "me:S3cr3t-one", "me:S3cr3t:one"])
def test_nor_are_a_user_and_a_password_together_or_apart(token):
    def repeat(handler):
        words = {"error": f"{handler.headers['Authorization']} of {token} is none, {token.partition(':')[2] or token.strip(':')} is wrong"}
        handler.reply(words, 403, **{"Content-Type": "application/json"})

    with scripted_server({"GET /a": repeat}) as server, pytest.raises(DownloadError) as caught:
        Asker(server).client.link(f"{server.url}/a", token)
    said = str(caught.value)
    assert "S3cr3t" not in said and "one" not in said.replace("none", "") and b64encode(token.encode()).decode() not in said
    assert " is none, *** is wrong" in said


@pytest.mark.parametrize("chunked", [True, False])
def test_a_refusal_that_drips_is_not_read_for_ever(chunked):
    enough, asked = threading.Event(), []

    def drip(handler):
        handler.send_response(403)
        handler.send_header("Content-Type", "application/json")
        handler.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", "4000")))
        handler.end_headers()
        asked.append(True)
        with contextlib.suppress(OSError):
            while not enough.wait(0.02):
                handler.wfile.write(b"1\r\n \r\n" if chunked else b" ")

    def ask(server, said):
        with pytest.raises(DownloadError, match=r"\): 403$"):
            Asker(server, timeout=0.3).client.read(Link(f"{server.url}/a"))
        said.append(True)

    said = []
    with scripted_server({"GET /a": drip}) as server:
        asker = threading.Thread(target=ask, args=(server, said), daemon=True)
        asker.start()
        asker.join(20)
        ended = list(said)
        enough.set()
    assert asked and ended


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff", b'{"error": {"a": 1}}', b'{"error": ' + b"[" * 3000, b""])
def test_a_refusal_in_strange_words_is_still_a_refusal(body):
    answer = {"GET /a": lambda handler: handler.reply(body, 403, **{"Content-Type": "application/json"})}
    with scripted_server(answer) as server, pytest.raises(DownloadError, match=r"\): 403$"):
        Asker(server).client.link(f"{server.url}/a")


@pytest.mark.parametrize("way", ["link", "read"])
def test_a_signed_link_that_is_over_is_said_to_be(hub, way):
    asker = Asker(hub)
    link, _found = asker.client.link(f"{hub.url}/{MODEL}")
    url = f"{link.url}&fault=expired"
    with pytest.raises(LinkExpiredError, match="signed link is not taken by 127.0.0.1 any more: 403, 'AccessDenied: Request has expired'"):
        asker.client.link(url) if way == "link" else asker.client.read(Link(url))


def test_a_signed_link_whose_time_is_over_is_not_even_asked(hub):
    url = f"{hub.storage_url}/cdn/a?X-Amz-Date=20260102T030405Z&X-Amz-Expires=60&X-Amz-Signature=s3cret"
    with pytest.raises(LinkExpiredError, match="ended at 2026-01-02 03:05:05 UTC") as caught:
        Asker(hub).client.link(url)
    assert "s3cret" not in str(caught.value) and hub.requests == []


def test_a_signed_link_whose_end_makes_no_sense_is_asked(hub):
    url = f"{hub.url}/files/a.gguf?Signature=x&Expires=-99999999999"
    link, found = Asker(hub).client.link(url)
    assert (link.expires, found.size) == (None, len(CONTENT))


@pytest.mark.parametrize(
    "status, body, expired",
    [
        pytest.param(400, b"<Error><Code>ExpiredToken</Code><Message>x</Message></Error>", True, id="Google"),
        pytest.param(
            403,
            b"<Error><Code>AuthenticationFailed</Code><Message>Signature not valid in the specified time frame</Message></Error>",
            True,
            id="Azure",
        ),
        pytest.param(401, b"", True, id="without a word"),
        pytest.param(400, b"<Error><Code>InvalidArgument</Code></Error>", False, id="a bad request"),
        pytest.param(404, b"<Error><Code>NoSuchKey</Code></Error>", False, id="gone"),
    ],
)
def test_the_storages_each_say_it_in_their_own_way(status, body, expired):
    answer = {"GET /a": lambda handler: handler.reply(body, status, **{"Content-Type": "application/xml"})}
    with scripted_server(answer) as server:
        with pytest.raises(DownloadError) as caught:
            Asker(server).client.read(Link(f"{server.url}/a?sig=abc"))
        assert isinstance(caught.value, LinkExpiredError) is expired
        # A link that nobody signed cannot be over, unless it is where a hub sent us.
        with pytest.raises(DownloadError) as caught:
            Asker(server).client.read(Link(f"{server.url}/a"))
        assert not isinstance(caught.value, LinkExpiredError)
        with pytest.raises(DownloadError) as caught:
            Asker(server).client.read(Link(f"{server.url}/a", redirected=True))
        assert isinstance(caught.value, LinkExpiredError) is expired


# patience


def test_a_passing_trouble_passes(hub):
    hub.faults["/files/a.gguf"] = ["500", "429", "503"]
    asker = Asker(hub)
    assert asker.client.link(f"{hub.url}/files/a.gguf")[1].size == len(CONTENT)
    assert asker.pauses == [1.0, 1.0, 4.0]  # the second is what the server asked for


def test_a_single_try_tells_how_long_to_wait(hub):
    with pytest.raises(PassingError) as caught:
        Asker(hub).client.read(Link(f"{hub.url}/files/a.gguf?fault=429"))
    assert (caught.value.pause, caught.value.status) == (1.0, 429)


@pytest.mark.parametrize(
    "headers, expected",
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "²"}, None),
        ({"RateLimit": '"resolvers";r=0;t=55'}, 55.0),
        ({}, None),
    ],
)
def test_the_asked_pause_is_understood(headers, expected):
    reply = SimpleNamespace(status=429, header=lambda name: headers.get(name, ""))
    assert _model_wire._asked_pause(reply) == expected


def test_no_server_makes_us_wait_for_ever():
    asker = Asker("hub.example")

    def ask():
        raise PassingError("later", pause=1e9)

    with pytest.raises(DownloadError, match=r"later \(tried 4 times\)"):
        asker.client.patiently(ask)
    assert asker.pauses == [LONGEST_PAUSE] * 3
