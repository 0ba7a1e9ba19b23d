# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import socketserver
import subprocess
import sys
import textwrap
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _model_partial, _model_ranges
from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import ContentError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_partial import Partial
from ansible_collections.emprops.comfyui.plugins.module_utils._model_ranges import Engine
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._downloads import Downloads
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._offer import Offer
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError, LinkExpiredError, PassingError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import Client, Link
from support.hub import Hub

KIB = 1024
SEGMENT = 256 * KIB


def safetensors(size: int) -> bytes:
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + random.Random(size).randbytes(size)


SMALL = safetensors(100_000)
LARGE = safetensors(10 * SEGMENT)


@pytest.fixture(autouse=True)
def fixture_small_parts(monkeypatch):
    """Many ranges in little files; a hub on the loopback would seldom need a second connection."""
    for module in (_model_ranges, _model_partial):
        monkeypatch.setattr(module, "BLOCK_SIZE", 64 * KIB)
        monkeypatch.setattr(module, "HASH_BATCH", 64 * KIB)
    monkeypatch.setattr(_model_partial, "CHECKPOINT_STEP", SEGMENT)
    monkeypatch.setattr(_model_ranges, "SEGMENT_SIZE", SEGMENT)
    monkeypatch.setattr(_model_ranges, "LARGEST_SEGMENT", SEGMENT)
    monkeypatch.setattr(_model_ranges, "SMALLEST_SHARE", 64 * KIB)
    monkeypatch.setattr(_model_ranges, "FIRST_CONNECTIONS", 8)


@pytest.fixture(name="site")
def fixture_site(tmp_path):
    root = tmp_path / "hub"
    root.mkdir()
    with Hub(root) as hub:
        yield Site(hub, tmp_path)


class Site:
    """A machine that fetches from a hub, and remembers what it was told."""

    def __init__(self, hub, tmp_path):
        self.hub, self.store = hub, tmp_path / "store"
        self.store.mkdir()
        self.pauses, self.told = [], []
        self.timeout = 10.0
        self.options = {}
        self.guard = lambda: None

    def put(self, name, content):
        (self.hub.root / name).write_bytes(content)
        self.content = content
        return f"{self.hub.url}/files/{name}"

    @property
    def allowed(self):
        return [self.hub.url, self.hub.storage_url]

    def fetch(self, url, name="a.safetensors", **wanted):
        client = Client({}, self.timeout, self.allowed, pause=self.pauses.append)
        with Engine(client, pause=self.pauses.append, **self.options) as engine:
            return self.fetch_with(engine, Downloads(client).open(url), name, **wanted)

    def fetch_with(self, engine, download, name="a.safetensors", **wanted):
        target = self.store / name
        key = wanted.get("sha256") or f"address {download.printable}"
        with Partial(target, key, 0, self.guard) as partial:
            proof = engine.fetch(download, partial, name, Offer(**wanted), self.told.append)
            partial.publish(-1, -1)
        return proof

    def check(self, proof, name="a.safetensors"):
        sha256 = hashlib.sha256(self.content).hexdigest()
        assert (proof.size, proof.sha256) == (len(self.content), sha256)
        assert (self.store / name).read_bytes() == self.content
        assert [path.name for path in self.store.iterdir()] == [name]
        assert sum(self.told) == len(self.content)

    @property
    def asked(self):
        """Ranges of the requests for content, without the questions for where it is."""
        found = [request["headers"].get("Range") for request in self.hub.requests]
        return [text for text in found if text != "bytes=0-0"]

    def journal(self):
        """What the leftover's tells; from then on its bytes count as told."""
        path = self.leftover()
        told = json.loads(path.with_name(f"{path.name}.json").read_text())
        self.told = [sum(end - start for start, end in told["extents"])]
        return told

    def leftover(self):
        return next(iter(sorted(path for path in self.store.iterdir() if path.name.endswith(".part"))), None)


def sha256_of(content):
    return hashlib.sha256(content).hexdigest()


# good servers


@pytest.mark.parametrize(
    "known", [{}, {"sha256": sha256_of(LARGE)}, {"size": len(LARGE)}, {"sha256": sha256_of(LARGE), "size": len(LARGE)}]
)
def test_a_large_file_comes_in_ranges_over_several_connections(site, known):
    site.hub.rate = 10 * SEGMENT  # a second, so that one connection cannot do it all
    proof = site.fetch(site.put("a", LARGE), **known)
    site.check(proof)
    assert site.hub.most_open[site.hub.port] > 2 and site.pauses == []
    assert sum(end - start for start, end in site.hub.ranges()) <= len(LARGE) + 9 * 64 * KIB  # what is shared late may come twice


@pytest.mark.parametrize("known", [{}, {"size": len(SMALL)}])
def test_a_small_file_is_one_request(site, known):
    site.check(site.fetch(site.put("a", SMALL), **known))
    assert len(site.asked) == 1


@pytest.mark.parametrize("size", [1, 511, 512, 513, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT])
def test_every_size_comes_whole(site, size):
    site.check(site.fetch(site.put("a.bin", random.Random(size).randbytes(size)), name="a.bin"), "a.bin")


def test_many_files_share_the_connections(site):
    site.options = {"connections": 6, "connections_per_host": 4}
    site.hub.rate = 20 * SEGMENT
    client = Client({}, 10, site.allowed)
    urls = {f"{number}.safetensors": site.put(f"{number}", safetensors(number * SEGMENT)) for number in range(1, 8)}
    proofs = {}
    with Engine(client, **site.options) as engine:

        def fetch(name, url):
            proofs[name] = site.fetch_with(engine, Downloads(client).open(url), name)

        threads = [threading.Thread(target=fetch, args=item) for item in urls.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name in urls:
        content = (site.hub.root / name.partition(".")[0]).read_bytes()
        assert (site.store / name).read_bytes() == content and proofs[name].sha256 == sha256_of(content)
    assert site.hub.most_open[site.hub.port] <= 4 + 7  # the questions for a link are outside the bound
    assert sorted(site.store.iterdir()) == sorted(site.store / name for name in urls)


def test_an_idle_connection_takes_half_of_the_slowest_rest(site, monkeypatch):
    content = safetensors(2 * SEGMENT)
    monkeypatch.setattr(_model_ranges, "SHARE_SECONDS", 0.05)
    site.options = {"connections": 4}
    site.hub.rate = 256 * KIB
    url = site.put("a", content)
    site.check(site.fetch(url))
    starts = [int(re.match(r"bytes=(\d+)", text)[1]) for text in site.asked]
    assert any(start % SEGMENT for start in starts)  # not only where a range was dealt


def test_connections_are_opened_gradually_and_only_where_they_help(site, monkeypatch):
    monkeypatch.setattr(_model_ranges, "FIRST_CONNECTIONS", 1)
    monkeypatch.setattr(_model_ranges, "ENOUGH", 0)
    url = site.put("a", LARGE)
    site.fetch(url)
    assert site.hub.most_open[site.hub.port] == 1
    monkeypatch.setattr(_model_ranges, "ENOUGH", 10**9)
    site.hub.rate = 10 * SEGMENT
    site.fetch(url)
    assert site.hub.most_open[site.hub.port] > 2


# servers that break off, and those that turn away


@pytest.mark.parametrize(
    "fault",
    ["reset0", "reset25", "reset50", "reset75", "reset100", "hangup", "truncate", "500", "503", "busy", "429", "ratelimit", "429date"],
)
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_what_passes_is_waited_for_and_only_the_rest_is_asked_for_again(site, fault, content):
    url = site.put("a", content)
    site.hub.faults["/files/a"] = f"{fault}*3"
    site.check(site.fetch(url))


@pytest.mark.parametrize("fault, words", [("500", "answered 500"), ("429", "answered 429"), ("hangup", "127.0.0.1"), ("reset0", "broke")])
def test_what_does_not_pass_is_given_up_with_its_reason(site, fault, words):
    url = site.put("a", SMALL)
    site.hub.faults["/files/a"] = ["", *[fault] * 50]  # the question for the link is answered
    with pytest.raises(DownloadError, match=f"{words}.*tried 4 times"):
        site.fetch(url)
    assert len(site.asked) == 4 and site.leftover() is None
    assert site.pauses == ([1.0] * 4 if fault == "429" else [1.0, 2.0, 4.0])[:3]


def test_a_break_that_brought_something_costs_no_pause_and_no_try(site):
    site.hub.faults["/files/a"] = ["", *["truncate"] * 8]
    site.check(site.fetch(site.put("a", SMALL)))
    assert len(site.asked) == 9 and site.pauses == []


def test_a_host_that_turns_us_away_gets_half_the_connections(site):
    site.hub.rate = 10 * SEGMENT
    site.hub.faults["/files/a"] = ["", "", "busy", "busy"]
    with Engine(Client({}, 10, site.allowed), pause=site.pauses.append) as engine:
        download = Downloads(engine._client).open(site.put("a", LARGE))
        site.check(site.fetch_with(engine, download))
        (host,) = [host for host in engine._hosts.values() if host.halved]
        assert 1 <= host.bound <= 4 and host.active == host.resting == 0
    assert site.pauses == [1.0, 1.0]


def test_a_connection_below_the_floor_is_replaced(site):
    site.options = {"slow_bytes": 10_000, "slow_seconds": 0.3}
    site.hub.faults["/files/a"] = ["", "stall"]
    site.check(site.fetch(site.put("a", SMALL)))
    assert len(site.asked) == 2 and site.pauses == []


def test_a_source_that_stays_below_the_floor_is_given_up(site):
    site.options = {"slow_bytes": 10_000, "slow_seconds": 0.2}
    site.hub.faults["/files/a"] = ["", *["slow"] * 9]
    with pytest.raises(DownloadError, match=r"less than 10000 bytes a second came for 0.2 seconds from 127.0.0.1.*tried 4 times"):
        site.fetch(site.put("a", SMALL))


# servers that answer something else


@pytest.mark.parametrize("fault", ["norange", "noaccept", "range416", "otherrange", "etag", "etag+otherrange", "total+noetag"])
def test_a_server_without_ranges_that_are_any_good_gives_all_in_one(site, fault):
    site.hub.faults["/files/a"] = ["", *[fault] * 99]
    site.check(site.fetch(site.put("a", LARGE)))


@pytest.mark.parametrize(
    "fault, known",
    [
        pytest.param("chunked", {}, id="in chunks"),
        pytest.param("chunked", {"sha256": sha256_of(LARGE)}, id="in chunks, digest known"),
        pytest.param("nolength", {"size": len(LARGE)}, id="until it closes, size known"),
        pytest.param("chunked+truncate", {}, id="in chunks that break off once"),
        pytest.param("nolength+truncate", {"sha256": sha256_of(LARGE), "size": len(LARGE)}, id="that breaks off once, all known"),
    ],
)
def test_a_body_of_unknown_length_is_taken_to_its_end(site, fault, known):
    site.hub.faults["/files/a"] = ["", fault]
    site.check(site.fetch(site.put("a", LARGE), **known))


@pytest.mark.parametrize(
    "fault, known, words",
    [
        pytest.param("nolength", {}, "does not say how long the file is", id="until it closes, nothing known"),
        pytest.param("nolength", {"size": len(SMALL) - 1}, "sends more than", id="more than wanted"),
        pytest.param("nolength", {"size": len(SMALL) + 1}, "cut short", id="less than wanted"),
        pytest.param("", {"size": len(SMALL) - 1}, f"the server has {len(SMALL)} bytes, wanted {len(SMALL) - 1}", id="another size"),
        pytest.param("gzip", {}, "compressed", id="compressed"),
        pytest.param("badhash", {"sha256": sha256_of(SMALL)}, "has sha256 .*, wanted", id="another digest"),
        pytest.param("404", {}, "there is no such file: 404", id="gone meanwhile"),
        pytest.param("410", {}, "withdrawn", id="withdrawn meanwhile"),
    ],
)
def test_what_is_not_the_file_is_refused_in_words_and_leaves_nothing(site, fault, known, words):
    site.hub.faults["/files/a"] = ["", *[fault] * 30]
    with pytest.raises(DownloadError, match=words):
        site.fetch(site.put("a", SMALL), **known)
    assert not (site.store / "a.safetensors").exists()
    site.hub.faults.clear()
    site.told = []
    site.check(site.fetch(site.put("a", SMALL)))


@pytest.mark.parametrize(
    "name, content, fault, words",
    [
        pytest.param("a.safetensors", LARGE, "html", "text/html", id="a login page"),
        pytest.param("a.safetensors", LARGE, "json", "application/json", id="an error in JSON"),
        pytest.param("a.safetensors", LARGE, "lfs", "LFS pointer", id="an LFS pointer"),
        pytest.param("a.gguf", LARGE, "", "GGUF", id="another format"),
        pytest.param("a.safetensors", LARGE + b"more", "", "describes", id="more than its header says"),
    ],
)
def test_what_is_no_model_is_not_read_to_its_end(site, name, content, fault, words):
    site.hub.rate = 20 * SEGMENT
    site.hub.faults["/files/a"] = ["", *[fault] * 9]
    with pytest.raises(ContentError, match=words):
        site.fetch(site.put("a", content), name=name)
    assert list(site.store.iterdir()) == []
    if fault or name != "a.safetensors":
        assert site.hub.sent() < len(content) / 2


@pytest.mark.parametrize("fault", ["otherrange", "norange", "etag", "total"])
@pytest.mark.parametrize("answer", [2, 4])
def test_one_wrong_answer_does_not_spoil_a_file(site, fault, answer):
    site.hub.faults["/files/a"] = [*[""] * answer, fault]
    site.check(site.fetch(site.put("a", LARGE)))


def test_a_server_that_can_neither_give_ranges_nor_all_in_one_is_given_up(site):
    site.hub.faults["/files/a"] = ["", *["norange+noetag+truncate"] * 99]
    with pytest.raises(DownloadError, match="too soon .begun 4 times"):
        site.fetch(site.put("a", LARGE))
    assert list(site.store.iterdir()) == [] and len(site.asked) <= 8


class Scripted(BaseHTTPRequestHandler):
    """Answers for which a hub is too honest."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        self.server.asked.append(self.headers.get("Range"))
        self.server.answer(self, int(match[1]) if match else 0, int(match[2]) + 1 if match and match[2] else None)

    def send(self, status, body, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), "ETag": '"1"', **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def send_range(self, content, start, end, **headers):
        body = content[start:end]
        if start >= len(content):
            self.send(416, b"", Content_Range=f"bytes */{len(content)}")
        else:
            self.send(206, body, **{"Content_Range": f"bytes {start}-{start + len(body) - 1}/{len(content)}", **headers})

    def log_message(self, *_):
        pass


@pytest.fixture(name="serve")
def fixture_serve():
    servers = []

    def serve(answer):
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Scripted)
        server.daemon_threads, server.answer, server.asked = True, answer, []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return server

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


class Lone:
    """A site whose server is one of the scripted ones."""

    def __init__(self, site, server):
        self.url = f"http://127.0.0.1:{server.server_address[1]}/a"
        site.hub.url = site.hub.storage_url = self.url.removesuffix("/a")


def test_answers_shorter_than_asked_for_are_completed(site, serve):
    server = serve(lambda self, start, end: self.send_range(LARGE, start, min(end or len(LARGE), start + 10_007)))
    site.content = LARGE
    site.check(site.fetch(Lone(site, server).url))


def test_more_bytes_than_asked_for_are_left_alone(site, serve):
    server = serve(lambda self, start, end: self.send_range(LARGE, start, min(len(LARGE), (end or len(LARGE)) + 50_000)))
    site.content = LARGE
    site.check(site.fetch(Lone(site, server).url))


@pytest.mark.parametrize(
    "headers, words",
    [
        pytest.param({"Content_Type": "multipart/byteranges; boundary=x"}, "several ranges in one", id="several ranges in one"),
        pytest.param({"Content_Encoding": "br"}, "compressed", id="compressed"),
        pytest.param({"Content_Range": "bytes 0-9/*"}, "does not say how long", id="a range of who knows how much"),
        pytest.param({"Content_Range": None}, "another range", id="a range of who knows what"),
    ],
)
def test_ranges_in_disguise_are_refused(site, serve, headers, words):
    def answer(self, start, end):
        self.send_range(SMALL, start, end, **(headers if end != 1 else {}))

    with pytest.raises(DownloadError, match=words):
        site.fetch(Lone(site, serve(answer)).url)
    assert list(site.store.iterdir()) == []


def test_an_empty_file_is_refused(site, serve):
    server = serve(lambda self, start, end: self.send_range(b"" if end != 1 else b"x", start, end))
    with pytest.raises(DownloadError, match="empty file"):
        site.fetch(Lone(site, server).url, name="a.bin")


def test_a_file_that_changes_while_it_comes_starts_over(site, serve):
    other = safetensors(9 * SEGMENT)
    count = 0

    def answer(self, start, end):
        nonlocal count
        count += 1
        content, etag = (LARGE, '"1"') if count < 5 else (other, '"2"')
        if self.headers.get("If-Range", etag) != etag:
            self.send(200, content, ETag=etag)
        else:
            self.send_range(content, start, end, ETag=etag)

    site.content = other
    site.check(site.fetch(Lone(site, serve(answer)).url))


# signed links


class Signed:
    """A source that gives out so many links."""

    source, transport, printable = "https", "ranges", "https://example.com/a"

    def __init__(self, site, links):
        self.site, self.links, self.given = site, links, 0

    def link(self):
        if self.given == self.links:
            raise LinkExpiredError("no other link is to be had")
        self.given += 1
        return Link(f"{self.site.hub.storage_url}{self.site.hub.link('a')}&n={self.given}")


def test_an_expired_link_is_asked_for_again(site):
    site.put("a", LARGE)
    site.hub.faults["/cdn/a"] = ["", "", "expired", "expired", "", "", "", "expired", ""]
    download = Signed(site, 9)
    with Engine(Client({}, 10, site.allowed), pause=site.pauses.append) as engine:
        site.check(site.fetch_with(engine, download))
    assert 2 <= download.given <= 4 and site.pauses == []
    assert any(request["target"].endswith(f"&n={download.given}") and request["status"] == 206 for request in site.hub.requests)


@pytest.mark.parametrize(
    "links, given, words",
    [
        pytest.param(1, 1, "no other link", id="there is no other"),
        pytest.param(99, 4, "not taken by 127.0.0.1 any more", id="no other is any better"),
    ],
)
def test_a_link_that_cannot_be_renewed_is_told_as_that_and_costs_no_bytes(site, links, given, words):
    site.put("a", LARGE)
    site.hub.faults["/cdn/a"] = ["", *["expired"] * 99]
    download = Signed(site, links)
    with Engine(Client({}, 10, site.allowed), connections=1) as engine:
        with pytest.raises(LinkExpiredError, match=words):
            site.fetch_with(engine, download)
        assert download.given == given
        site.hub.faults.clear()
        site.check(site.fetch_with(engine, Signed(site, 1)))
    assert site.hub.sent() < len(LARGE) + KIB * 100


# going on after the end of a run


class StopError(Exception):
    """The end of a run."""


def interrupt(site, url, at=5 * SEGMENT, **wanted):
    """A run that is stopped in the middle, as a lost claim does it; returns what its journal tells."""
    came = 0

    def guard():
        if came >= at:
            raise StopError

    def moved(count):
        nonlocal came
        came += count
        if at - SEGMENT < came < at:
            partial.save()

    client = Client({}, 10, site.allowed)
    download = Downloads(client).open(url)
    key = wanted.get("sha256") or f"address {download.printable}"
    partial = Partial(site.store / "a.safetensors", key, 0, guard)
    with Engine(client, connections=3) as engine, pytest.raises(StopError), partial:
        engine.fetch(download, partial, "a.safetensors", Offer(**wanted), moved)
    site.hub.requests.clear()
    return site.journal()


@pytest.mark.parametrize("known", [{}, {"sha256": sha256_of(LARGE)}], ids=["first seen", "published"])
def test_the_next_run_asks_only_for_what_is_not_there_and_proves_what_is(site, known):
    url = site.put("a", LARGE)
    journal = interrupt(site, url, **known)
    held = journal["extents"] if known else [[0, max(map(int, journal["checkpoints"]))]]
    assert sum(end - start for start, end in held) >= SEGMENT
    site.check(site.fetch(url, **known))
    for first, last in site.hub.ranges():
        assert (first, last) == (0, 1) or all(last <= start or end <= first for start, end in held)


@pytest.mark.parametrize("how", ["the file changed", "ranges are ignored", "If-Range is not heeded"])
def test_what_is_another_file_now_starts_over(site, how):
    url = site.put("a", LARGE)
    interrupt(site, url)
    if how == "the file changed":
        site.put("a", safetensors(7 * SEGMENT))
    elif how == "ranges are ignored":
        site.hub.faults["/files/a"] = "norange"
    else:
        site.hub.faults["/files/a"] = ["", "etag"]
    site.check(site.fetch(url))


def test_bytes_that_went_bad_on_the_disk_come_again(site):
    url = site.put("a", LARGE)
    interrupt(site, url, sha256=sha256_of(LARGE))
    path = site.leftover()
    content = bytearray(path.read_bytes())
    content[SEGMENT + 5] ^= 1
    path.write_bytes(content)
    site.check(site.fetch(url, sha256=sha256_of(LARGE)))
    assert min(start for start, _end in site.hub.ranges() if start) >= SEGMENT  # what was proved before stays


def test_a_bad_byte_behind_the_last_checkpoint_starts_over_before_anybody_is_blamed(site):
    url = site.put("a", LARGE)
    interrupt(site, url, sha256=sha256_of(LARGE))
    path = site.leftover()
    journal = path.with_name(f"{path.name}.json")
    journal.write_text(json.dumps({**json.loads(journal.read_text()), "checkpoints": {}}))
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    proof = site.fetch(url, sha256=sha256_of(LARGE))
    assert proof.sha256 == sha256_of(LARGE) == sha256_of((site.store / "a.safetensors").read_bytes())


def test_a_file_of_which_all_is_there_is_not_asked_for(site):
    url = site.put("a", LARGE)
    with pytest.raises(KeyError), Engine(Client({}, 10, site.allowed)) as engine:
        download = Downloads(engine._client).open(url)
        with Partial(site.store / "a.safetensors", sha256_of(LARGE), 0) as partial:
            engine.fetch(download, partial, "a.safetensors", Offer(sha256=sha256_of(LARGE)), site.told.append)
            raise KeyError  # the power goes before it is published
    site.hub.requests.clear()
    site.check(site.fetch(url, sha256=sha256_of(LARGE)))
    assert site.hub.requests == []


def test_a_file_of_unknown_length_of_which_all_is_there_is_understood(site):
    url = site.put("a", SMALL)
    with Partial(site.store / "a.safetensors", sha256_of(SMALL), 0) as partial:
        partial.describe("", None)
        partial.write_at(0, memoryview(SMALL))
    site.told = [len(SMALL)]
    site.check(site.fetch(url, sha256=sha256_of(SMALL)))
    assert site.asked == [f"bytes={len(SMALL)}-{len(SMALL) + SEGMENT - 1}"]


def test_a_source_that_is_known_to_have_no_ranges_is_not_asked_for_any(site):
    url = site.put("a", LARGE)
    interrupt(site, url, sha256=sha256_of(LARGE))
    site.hub.faults["/files/a"] = "norange"
    site.check(site.fetch(url, sha256=sha256_of(LARGE), ranges=False))
    assert site.asked == [None]


def test_a_login_page_in_between_does_not_cost_what_is_there(site):
    url = site.put("a", LARGE)
    interrupt(site, url)
    before = site.leftover().stat().st_ino
    site.hub.faults["/files/a"] = ["", "html"]
    with pytest.raises(ContentError):
        site.fetch(url)
    assert site.leftover().stat().st_ino == before
    site.journal()
    site.check(site.fetch(url))


def test_another_address_of_the_same_file_goes_on_where_the_first_one_ended(site):
    sha256 = sha256_of(LARGE)
    site.put("b", LARGE)
    told = interrupt(site, site.put("a", LARGE), sha256=sha256)["extents"]
    site.check(site.fetch(f"{site.hub.url}/files/b", sha256=sha256))
    assert site.hub.sent() <= len(LARGE) - told[0][1] + 1 + 64 * KIB


def test_runs_that_are_killed_at_random_moments_never_lose_what_is_durable(site):
    """Each journal's bytes are right, and no later run asks for them again; at the end the file is whole."""
    rng = random.Random(2026)
    url, sha256 = site.put("a", LARGE), sha256_of(LARGE)
    site.hub.rate = 4 * SEGMENT
    code = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from ansible_collections.emprops.comfyui.plugins.module_utils import _model_partial, _model_ranges
        from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._downloads import Downloads
        from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._offer import Offer
        from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import Client
        _model_ranges.JOURNAL_SECONDS = (0.02,)
        _model_ranges.BLOCK_SIZE = _model_partial.BLOCK_SIZE = {16 * KIB}
        _model_partial.CHECKPOINT_STEP = {SEGMENT}
        client = Client({{}}, 10, {site.allowed!r})
        partial = _model_partial.Partial(Path({str(site.store / "a.safetensors")!r}), {sha256!r}, 0)
        with _model_ranges.Engine(client, connections=3) as engine, partial:
            print(flush=True)
            engine.fetch(Downloads(client).open({url!r}), partial, "a.safetensors", Offer(sha256={sha256!r}), lambda count: None)
            partial.publish(-1, -1)
    """)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    durable, kills = [], 0
    for _run in range(40):
        site.hub.requests.clear()
        with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            try:
                process.wait(rng.uniform(0, 0.6))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                kills += 1
        for first, last in site.hub.ranges():
            assert (first, last) == (0, 1) or all(last <= start or end <= first for start, end in durable)
        if (site.store / "a.safetensors").exists():
            break
        for journal in site.store.glob(".*.part.json"):
            told = json.loads(journal.read_text())
            content = journal.with_suffix("").read_bytes()
            assert all(content[start:end] == LARGE[start:end] for start, end in told["extents"])
            durable = told["extents"]
    assert kills > 2
    assert (site.store / "a.safetensors").read_bytes() == LARGE
    assert len(list(site.store.iterdir())) == 1


# the end of everything


class ClaimLostError(Exception):
    pass


def test_a_lost_claim_stops_a_download_at_once_and_leaves_the_bytes_to_the_heir(site):
    site.hub.rate = SEGMENT
    lost = threading.Event()

    def guard():
        if lost.is_set():
            raise ClaimLostError("another machine has it")

    client = Client({}, 60, site.allowed)
    with Engine(client) as engine, Partial(site.store / "a", "key", 0, guard) as partial:
        download = Downloads(client).open(site.put("a", LARGE))
        threading.Timer(0.3, lost.set).start()
        with pytest.raises(ClaimLostError, match="another machine"):
            engine.fetch(download, partial, "a.safetensors", Offer(sha256=sha256_of(LARGE)), site.told.append)
    assert site.leftover() is not None


def test_a_disk_that_fills_stops_the_file_and_no_other(site, monkeypatch):
    client = Client({}, 10, site.allowed)
    large, small = site.put("large", LARGE), site.put("small", SMALL)
    real = os.pwrite

    def pwrite(handle, view, offset):
        if offset > 3 * SEGMENT:
            raise OSError(28, os.strerror(28))
        return real(handle, view, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with Engine(client) as engine:
        with pytest.raises(DownloadError, match=f"the disk of {site.store} is full: there is no room for large.safetensors"):
            site.fetch_with(engine, Downloads(client).open(large), "large.safetensors")
        assert list(site.store.iterdir()) == []
        site.told = []
        site.check(site.fetch_with(engine, Downloads(client).open(small)))


def test_an_engine_that_ends_stops_what_is_on_its_way(site):
    site.hub.faults["/files/a"] = ["", "stall"]
    client = Client({}, 60, site.allowed)
    engine = Engine(client)
    download = Downloads(client).open(site.put("a", LARGE))
    errors = []

    def fetch():
        with Partial(site.store / "a", "key", 0) as partial:
            try:
                engine.fetch(download, partial, "a.safetensors", Offer(), site.told.append)
            except DownloadError as error:
                errors.append(str(error))

    with engine:
        thread = threading.Thread(target=fetch)
        thread.start()
        while not site.told:
            time.sleep(0.01)
    thread.join()
    assert errors == ["the download was stopped"]
    with Partial(site.store / "a", "key", 0) as partial, pytest.raises(DownloadError, match="stopped"):
        engine.fetch(download, partial, "a.safetensors", Offer(), site.told.append)


def test_nothing_is_left_running(site):
    before = set(threading.enumerate())
    site.check(site.fetch(site.put("a", LARGE)))
    left = {thread for thread in set(threading.enumerate()) - before if "process_request" not in thread.name}
    assert not left


# sources that are no HTTP


class Streamed:
    """A source that gives its bytes one after the other."""

    source, transport, printable = "ssh", "stream", "ssh://host/a"

    def __init__(self, content, breaks=(), tail=b""):
        self.content, self.breaks, self.tail, self.starts = content, list(breaks), tail, []

    def stream(self, start):
        self.starts.append(start)
        return Stream(self, start, self.breaks.pop(0) if self.breaks else None)


class Stream:
    def __init__(self, source, start, breaks):
        self.source, self.position, self.breaks = source, start, breaks

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def readinto(self, view):
        content = self.source.content + self.source.tail
        count = min(len(view), len(content) - self.position, 50_001)
        if self.breaks is not None and self.position + count > self.breaks:
            raise PassingError("the other machine went away")
        view[:count] = content[self.position : self.position + count]
        self.position += count
        return count


@pytest.mark.parametrize("known", [{}, {"size": len(LARGE)}, {"size": len(LARGE), "sha256": sha256_of(LARGE), "etag": '"1"'}])
def test_a_stream_goes_on_where_it_broke(site, known):
    site.content = LARGE
    source = Streamed(LARGE, [1_000_000, 2_000_000])
    with Engine(Client({}, 10, []), pause=site.pauses.append) as engine:
        site.check(site.fetch_with(engine, source, **known))
    assert source.starts[0] == 0 and 900_000 < source.starts[1] <= 1_000_000 < source.starts[2] <= 2_000_000 and len(source.starts) == 3


@pytest.mark.parametrize(
    "source, words",
    [
        pytest.param(Streamed(LARGE, [0] * 9), "went away .tried 4 times", id="it breaks off each time"),
        pytest.param(Streamed(LARGE, tail=b"x"), "sends more than", id="it has more"),
    ],
)
def test_a_stream_that_is_not_the_file_is_refused(site, source, words):
    with Engine(Client({}, 10, []), pause=site.pauses.append) as engine, pytest.raises(DownloadError, match=words):
        site.fetch_with(engine, source, size=len(LARGE))
    assert list(site.store.iterdir()) == []


class Made:
    """A source whose own program makes the whole file."""

    source, transport, printable = "xet", "file", "https://huggingface.co/o/r/a"

    def __init__(self, content, passing=0):
        self.content, self.passing = content, passing

    def fetch(self, path, progress):
        path.write_bytes(self.content[:100_000])
        progress(100_000)
        if self.passing:
            self.passing -= 1
            raise PassingError("the program fell over")
        path.write_bytes(self.content)
        progress(len(self.content))


def test_a_file_that_a_program_made_is_proved_like_any_other(site):
    site.content = LARGE
    with Engine(Client({}, 10, [], pause=site.pauses.append)) as engine:
        site.check(site.fetch_with(engine, Made(LARGE, passing=2), sha256=sha256_of(LARGE), size=len(LARGE)))


@pytest.mark.parametrize(
    "source, words",
    [
        pytest.param(Made(LARGE, passing=9), "fell over .tried 4 times", id="the program fails"),
        pytest.param(Made(SMALL), "has 100078 bytes, wanted", id="another size"),
        pytest.param(Made(LARGE[:-1] + b"?"), "has sha256", id="another digest"),
    ],
)
def test_what_a_program_made_wrong_leaves_nothing(site, source, words):
    with Engine(Client({}, 10, [], pause=site.pauses.append)) as engine, pytest.raises(DownloadError, match=words):
        site.fetch_with(engine, source, sha256=sha256_of(LARGE), size=len(LARGE))
    assert list(site.store.iterdir()) == []
