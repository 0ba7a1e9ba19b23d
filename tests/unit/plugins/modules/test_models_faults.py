# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What bad input gets: one model of a call goes wrong, is named with the reason, leaves nothing behind, and is healed by the next call."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.emprops.comfyui.plugins.modules import models
from support.hub import COMMIT, Hub
from support.models_run import ModelsRunner

SECRET = "very-s3cret"
SMALL, LARGE = 100_000, 40_000_000


def gguf(size, seed=0):
    return b"GGUF\3\0\0\0" + random.Random(seed).randbytes(size - 8)


CONTENT = gguf(SMALL)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GOOD = gguf(SMALL, 9)
GOOD_SHA256 = hashlib.sha256(GOOD).hexdigest()


@pytest.fixture(name="large", scope="module")
def fixture_large(tmp_path_factory):
    """A file of more than one range, and its digest."""
    path = tmp_path_factory.mktemp("large") / "large.gguf"
    path.write_bytes(gguf(LARGE, 1))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(name="site")
def fixture_site(tmp_path, capsys, monkeypatch):
    root = tmp_path / "hub"
    for place in ("bad.gguf", "org/repo/bad.gguf", "civitai/7/original.gguf"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(CONTENT)
    (root / "good.gguf").write_bytes(GOOD)
    with Hub(root) as hub:
        yield Site(hub, tmp_path, capsys, monkeypatch)


class Site:
    """One machine and the hub that it asks; patience is real but short, and `pauses` says what it would have been."""

    def __init__(self, hub, folder, capsys, monkeypatch):
        self.hub = hub
        self.store = folder / "store"
        self.state = folder / "state"
        self.hosts = [hub.url, hub.storage_url]
        self.tokens = {f"127.0.0.1:{hub.port}": SECRET}
        self.pauses = []
        self.capsys = capsys
        for name in ("Client", "Engine"):
            monkeypatch.setattr(models, name, functools.partial(getattr(models, name), pause=self.pause))

    def pause(self, seconds):
        self.pauses.append(seconds)
        time.sleep(min(seconds, 0.01))

    def entry(self, name="bad.gguf", url=None, **values):
        url = f"{self.hub.url}/files/{name}" if url is None else url if "://" in url else f"{self.hub.url}/{url}"
        return {"name": name, "directory": "unet", "url": url, **values}

    def arguments(self, *entries, **params):
        return {
            "store": str(self.store),
            "state_dir": str(self.state),
            "models": list(entries),
            "allowed_hosts": self.hosts,
            "tokens": self.tokens,
            "reserve": 0,
            "timeout_seconds": 1,
            "slow_seconds": 1,
            "progress_seconds": 0,
            **params,
        }

    def run(self, *entries, check=False, **params):
        with patch_module_args({**self.arguments(*entries, **params), "_ansible_check_mode": check}), pytest.raises(SystemExit) as ended:
            models.main()
        result = json.loads(self.capsys.readouterr().out)
        assert result.get("failed", False) is bool(ended.value.code)
        self.see_that_nothing_bad_is_there(result)
        return result

    def run_beside_a_good_one(self, *entries, **params):
        """The result of a call for these and a good model, which must have come; with what became of these."""
        result = self.run(*entries, self.entry("good.gguf", sha256=GOOD_SHA256), **params)
        *rows, good = result["models"]
        assert good["name"] == "good.gguf" and good["state"] in ("downloaded", "present"), good
        assert (self.store / "unet/good.gguf").read_bytes() == GOOD
        return result, rows

    def see_that_nothing_bad_is_there(self, result):
        """No secret anywhere, no token with the storage, no claim left, and nothing but whole files under plain names."""
        assert SECRET not in json.dumps(result)
        for request in self.hub.requests:
            assert SECRET not in request["target"]
            assert request["port"] == self.hub.port or "Authorization" not in request["headers"]
        for path in [*self.state.rglob("*"), *self.store.rglob("*")]:
            assert SECRET not in path.name
            assert path.is_dir() or path.is_relative_to(self.store) or SECRET not in path.read_text()
        whole = {path.resolve().read_bytes() for path in self.hub.root.rglob("*.gguf")}
        for path in self.store.rglob("*"):
            if path.is_file():
                assert path.name.endswith((".part", ".part.json")) if path.name.startswith(".") else path.read_bytes() in whole, path


def see_failure(result, row, words, label="unet/bad.gguf"):
    assert result["failed"] and row["state"] == "failed"
    assert re.search(words, row["error"]), row["error"]
    assert f"{label}: {row['error']}" in result["msg"]
    assert not Path(row["path"]).exists()


FILES, HUGGING_FACE, CIVITAI = "files/bad.gguf", "org/repo/resolve/main/bad.gguf", "api/download/models/7"


@pytest.mark.parametrize(
    "fault, url, values, words",
    [
        pytest.param("badhash", FILES, {"sha256": SHA256}, f"sha256 .*{SHA256}", id="not the wanted digest"),
        pytest.param("badhash", HUGGING_FACE, {}, f"sha256 .*{SHA256}", id="not the digest that Hugging Face publishes"),
        pytest.param("linkedhash", HUGGING_FACE, {"sha256": SHA256}, "publishes the sha256 f{64}", id="Hugging Face has another digest"),
        pytest.param("linkedsize", HUGGING_FACE, {}, str(SMALL + 1), id="not the size that Hugging Face publishes"),
        pytest.param("longer", FILES, {"size": SMALL}, str(SMALL + 7), id="longer than wanted"),
        pytest.param("shorter", FILES, {"size": SMALL}, str(SMALL - SMALL // 4), id="shorter than wanted"),
        pytest.param("shorter", FILES, {"sha256": SHA256}, "sha256", id="cut short, and the server believes it"),
        pytest.param("norange+overlong", FILES, {"sha256": SHA256}, r"127\.0\.0\.1", id="shorter than its declared length"),
        pytest.param("norange+truncate", FILES, {"sha256": SHA256}, r"cut short|127\.0\.0\.1", id="truncated each time"),
        pytest.param("reset0", FILES, {"sha256": SHA256}, r"127\.0\.0\.1", id="reset before the first byte"),
        pytest.param("norange+reset25", FILES, {"sha256": SHA256}, r"127\.0\.0\.1", id="reset at a quarter each time"),
        pytest.param("norange+reset50", FILES, {"sha256": SHA256}, r"127\.0\.0\.1", id="reset at a half each time"),
        pytest.param("norange+reset75", FILES, {"sha256": SHA256}, r"127\.0\.0\.1", id="reset at three quarters each time"),
        pytest.param("hangup", FILES, {}, r"127\.0\.0\.1", id="nobody speaks"),
        pytest.param("silent", FILES, {}, r"127\.0\.0\.1.*did not answer", id="nobody answers"),
        pytest.param("norange+stall", FILES, {"sha256": SHA256}, r"127\.0\.0\.1", id="stalled half-way each time"),
        pytest.param("slow", FILES, {"sha256": SHA256}, r"127\.0\.0\.1", id="one byte a second"),
        pytest.param("loop", FILES, {}, "redirects", id="in circles"),
        pytest.param("401", FILES, {}, "token for 127.0.0.1.*not accepted: 401", id="401"),
        pytest.param("gated", HUGGING_FACE, {}, "gated.*accept its terms", id="gated"),
        pytest.param("early", CIVITAI, {}, "Early Access", id="early access"),
        pytest.param("403", FILES, {}, "refused.*403", id="403"),
        pytest.param("404", FILES, {}, "no such file.*404", id="404"),
        pytest.param("410", FILES, {}, "withdrawn.*410", id="410"),
        pytest.param("416", FILES, {}, "416", id="416"),
        pytest.param("429", FILES, {}, "429", id="429"),
        pytest.param("500", FILES, {}, "500", id="500"),
        pytest.param("html", FILES, {}, "text/html instead of a model", id="a login page"),
        pytest.param("json", FILES, {}, "application/json instead of a model", id="an error in JSON"),
        pytest.param("lfs", FILES, {}, "LFS pointer", id="an LFS pointer"),
        pytest.param("gzip", FILES, {"sha256": SHA256}, "compressed", id="compressed"),
        pytest.param("expired", HUGGING_FACE, {}, "expired", id="signed links that never work"),
    ],
)
def test_a_model_that_cannot_be_had_is_named_with_the_reason_and_healed_by_the_next_call(site, fault, url, values, words):
    path = f"/{url}" if fault != "expired" else "/cdn/org/repo/bad.gguf"
    site.hub.faults = {path: fault}
    result, [row] = site.run_beside_a_good_one(site.entry(url=url, **values))
    see_failure(result, row, words)
    site.hub.faults = {}
    result, [row] = site.run_beside_a_good_one(site.entry(url=url, **values))
    assert not result.get("failed") and (row["state"], row["sha256"]) == ("downloaded", SHA256)
    assert not list(site.store.rglob(".*"))
    assert not site.run(site.entry(url=url, **values))["changed"]


@pytest.mark.parametrize(
    "fault, url",
    [
        *(pytest.param(f"reset{percent}*2", FILES, id=f"reset at {percent} percent") for percent in (0, 25, 50, 75, 100)),
        pytest.param("truncate*2", FILES, id="truncated twice"),
        pytest.param("hangup*2", FILES, id="nobody speaks at first"),
        pytest.param("stall*1", FILES, id="stalled once"),
        pytest.param("slow*1", FILES, id="one byte a second at first"),
        pytest.param("500*3", FILES, id="500 three times"),
        pytest.param("503*1", FILES, id="503 once"),
        pytest.param("norange", FILES, id="ranges ignored"),
        pytest.param("noaccept", FILES, id="ranges ignored without a word"),
        pytest.param("range416", FILES, id="ranges refused"),
        pytest.param("otherrange*1", FILES, id="another range once"),
        pytest.param("etag*2", FILES, id="an ETag that changes twice"),
        pytest.param("weak", FILES, id="a weak ETag"),
        pytest.param("noetag", FILES, id="no ETag"),
        pytest.param("nolength", FILES, id="no length"),
        pytest.param("chunked", FILES, id="in chunks"),
        pytest.param("overlong", FILES, id="longer by its declared length"),
        pytest.param("disposition", FILES, id="a file name that climbs"),
        pytest.param("", HUGGING_FACE, id="Hugging Face"),
        pytest.param("reset50*1", HUGGING_FACE, id="its storage resets once"),
        pytest.param("", f"org/repo/resolve/{COMMIT}/bad.gguf", id="a pinned revision"),
        pytest.param("", "org/repo/blob/main/bad.gguf", id="the page of a file"),
        pytest.param("", CIVITAI, id="CivitAI"),
    ],
)
@pytest.mark.parametrize("size", ["small", "large"])
def test_what_a_server_does_wrong_for_a_while_is_lived_through(site, large, fault, url, size):
    sha256 = SHA256
    if size == "large":
        path, sha256 = large
        for place in ("bad.gguf", "org/repo/bad.gguf", "civitai/7/original.gguf"):
            (site.hub.root / place).unlink()
            os.link(path, site.hub.root / place)
    site.hub.faults = {f"/{url}": fault}
    result, [row] = site.run_beside_a_good_one(site.entry(url=url, sha256=sha256))
    assert not result.get("failed"), result["msg"]
    assert (row["state"], row["sha256"], row["name"]) == ("downloaded", sha256, "bad.gguf")
    assert sorted(path.name for path in site.store.rglob("*") if path.is_file()) == ["bad.gguf", "good.gguf"]
    assert not (site.store.parent.parent / "evil.gguf").exists()


@pytest.mark.parametrize("fault", ["429*1", "429date*1", "ratelimit*1", "busy*1"])
def test_a_server_that_asks_for_a_pause_gets_it(site, fault):
    site.hub.faults = {f"/{FILES}": fault}
    began = time.monotonic()
    result, _rows = site.run_beside_a_good_one(site.entry(sha256=SHA256))
    assert not result.get("failed") and time.monotonic() - began > 0.5


@pytest.mark.parametrize("fault", ["otherbytes", "otherbytes*1", "otherrange", "range403", "etag", "total", ["", "total"]])
def test_ranges_of_another_file_never_make_a_bad_one(site, large, fault):
    path, sha256 = large
    (site.hub.root / "bad.gguf").unlink()
    os.link(path, site.hub.root / "bad.gguf")
    site.hub.faults = {f"/{FILES}": fault}
    result, [row] = site.run_beside_a_good_one(site.entry(sha256=sha256))
    if row["state"] == "failed":
        see_failure(result, row, r"127\.0\.0\.1|sha256")
    else:
        assert (row["state"], row["sha256"]) == ("downloaded", sha256)
    site.hub.faults = {}
    result, [row] = site.run_beside_a_good_one(site.entry(sha256=sha256))
    assert not result.get("failed") and row["sha256"] == sha256


def test_a_file_that_becomes_another_on_the_way_is_begun_anew(site, large):
    """The server has a new version between two ranges: what comes out is one of the two, whole."""
    path, _sha256 = large
    other = site.hub.root / "other.gguf"
    other.write_bytes(gguf(LARGE, 2))
    (site.hub.root / "bad.gguf").unlink()
    os.link(path, site.hub.root / "bad.gguf")
    switched = site.hub.fault

    def switch(*arguments):
        if len([request for request in site.hub.requests if request["path"] == f"/{FILES}"]) == 3:
            other.replace(site.hub.root / "bad.gguf")
        return switched(*arguments)

    site.hub.fault = switch
    result, [row] = site.run_beside_a_good_one(site.entry())
    assert not result.get("failed") and row["first_seen"]
    assert (site.store / "unet/bad.gguf").read_bytes() == gguf(LARGE, 2)


def test_a_signed_link_that_expires_is_asked_for_again(site, large):
    path, sha256 = large
    (site.hub.root / "org/repo/bad.gguf").unlink()
    os.link(path, site.hub.root / "org/repo/bad.gguf")
    site.hub.faults = {"/cdn/org/repo/bad.gguf": ["expired"]}
    result, [row] = site.run_beside_a_good_one(site.entry(url=HUGGING_FACE))
    assert not result.get("failed") and row["sha256"] == sha256
    asked = [request["path"] for request in site.hub.requests if request["path"].startswith("/org/repo/resolve/")]
    # The second time at the commit that the first answer was about.
    assert asked == [f"/{HUGGING_FACE}", f"/org/repo/resolve/{COMMIT}/bad.gguf"]


def safetensors(data, described):
    header = json.dumps({"w": {"dtype": "U8", "shape": [described], "data_offsets": [0, described]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(data)


@pytest.mark.parametrize(
    "name, content, words",
    [
        pytest.param("bad.safetensors", safetensors(900, 1000), "header describes", id="tensors that are not there"),
        pytest.param("bad.safetensors", safetensors(1000, 900), "header describes", id="more than its tensors"),
        pytest.param("bad.safetensors", b"\xff" * 1000, "does not begin", id="no header"),
        pytest.param("bad.gguf", b"PK\3\4" + bytes(1000), "GGUF", id="not a GGUF file"),
        pytest.param("bad.zip", b"PK\3\4" + bytes(1000), "cut short", id="a ZIP archive without its end"),
        pytest.param("bad.pt", b"PK\3\4" + bytes(1000), "cut short", id="weights without their end"),
        pytest.param("bad.pt", b"hello, this is no pickle", "pickle", id="not a pickle"),
        pytest.param("bad.gguf", b"", "empty|no bytes|0 bytes|GGUF", id="nothing"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(site, name, content, words):
    (site.hub.root / name).write_bytes(content)
    result, [row] = site.run_beside_a_good_one(site.entry(name), allow_pickle=True)
    see_failure(result, row, words, f"unet/{name}")


def test_a_file_that_changed_is_read_again_and_replaced_where_it_is_another(site):
    entry = site.entry(sha256=SHA256)
    site.run(entry)
    target = site.store / "unet/bad.gguf"
    os.utime(target)
    [row] = site.run(entry)["models"]
    assert (row["state"], row["how"]) == ("present", "met")
    spoilt = bytearray(CONTENT)
    spoilt[-1] ^= 1
    target.write_bytes(spoilt)
    [row] = site.run(entry)["models"]
    assert row["state"] == "downloaded" and target.read_bytes() == CONTENT


def test_a_file_without_a_published_digest_gets_ours_and_is_marked(site):
    [row] = site.run(site.entry())["models"]
    assert (row["sha256"], row["first_seen"]) == (SHA256, True)
    [row] = site.run(site.entry(url=HUGGING_FACE))["models"]
    assert (row["state"], row["first_seen"]) == ("present", True)
    [row] = site.run(site.entry(sha256=SHA256))["models"]
    assert row["state"] == "present"


def test_a_cut_download_goes_on_in_the_next_call(site, large):
    path, sha256 = large
    (site.hub.root / "bad.gguf").unlink()
    os.link(path, site.hub.root / "bad.gguf")
    site.hub.faults = {f"/{FILES}": ["", "reset50", *["500"] * 50]}
    result, [row] = site.run_beside_a_good_one(site.entry(sha256=sha256), connections=1)
    see_failure(result, row, "500")
    came = site.hub.sent(f"/{FILES}")
    site.hub.faults = {}
    result, [row] = site.run_beside_a_good_one(site.entry(sha256=sha256), connections=1)
    assert not result.get("failed") and row["sha256"] == sha256
    # What a reset connection had on its way is lost; refusals in words count as well.
    assert came > LARGE // 8 and site.hub.sent(f"/{FILES}") < LARGE + LARGE // 8


def test_the_same_bytes_under_two_names_are_fetched_once(site):
    names = ["one.gguf", "two.gguf"]
    result = site.run(*(site.entry(name, f"{site.hub.url}/{FILES}", sha256=SHA256) for name in names))
    assert not result.get("failed") and len({(site.store / "unet" / name).stat().st_ino for name in names}) == 1
    assert site.hub.sent(f"/{FILES}") < 1.5 * SMALL


# where a redirect may lead


@pytest.fixture(name="elsewhere")
def fixture_elsewhere(tmp_path):
    """Another server of this machine, on all its addresses; it has the file, and nobody should ask."""
    root = tmp_path / "elsewhere"
    root.mkdir()
    (root / "bad.gguf").write_bytes(CONTENT)
    with Hub(root, "0.0.0.0") as hub:
        yield hub


PRIVATE = [
    "127.0.0.1",
    "127.0.0.2",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "localhost",
    "localhost.",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[::]",
]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", PRIVATE)
def test_a_redirect_to_a_private_address_is_refused(site, elsewhere, host, scheme):
    site.hub.faults = {f"/{FILES}": f"to:{scheme}://{host}:{elsewhere.port}/files/bad.gguf"}
    result, [row] = site.run_beside_a_good_one(site.entry())
    see_failure(result, row, "private|redirects|refused|cannot reach localhost")
    assert elsewhere.requests == [] and elsewhere.most_open[elsewhere.port] == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", PRIVATE)
def test_a_private_address_that_is_not_on_the_list_is_refused(site, elsewhere, host, scheme):
    result, [row] = site.run_beside_a_good_one(site.entry(url=f"{scheme}://{host}:{elsewhere.port}/files/bad.gguf"))
    see_failure(result, row, "not on the list|not https|address")
    assert elsewhere.most_open[elsewhere.port] == 0


def test_a_name_that_stands_for_a_private_address_is_refused_when_it_is_connected_to(site, elsewhere, monkeypatch):
    """On the list, and public by its name; also as the target of a redirect."""
    real = socket.getaddrinfo

    def resolve(host, *arguments, **more):
        return real("127.0.0.1" if str(host).endswith("example.com") else host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    site.hosts = [*site.hosts, "models.example.com"]
    site.hub.faults = {f"/{FILES}": f"to:https://files.example.com:{elsewhere.port}/files/bad.gguf"}
    first = site.entry("first.gguf", "https://models.example.com/files/bad.gguf")
    result, [row, redirected] = site.run_beside_a_good_one(first, site.entry())
    see_failure(result, row, r"models\.example\.com.*(private|127\.0\.0\.1)", "unet/first.gguf")
    see_failure(result, redirected, r"files\.example\.com.*(private|127\.0\.0\.1)")
    assert elsewhere.most_open[elsewhere.port] == 0


def test_a_name_that_changes_its_address_is_connected_to_where_it_was_judged(site, elsewhere, monkeypatch):
    """DNS rebinding: a second answer, which would be private, is never asked for."""
    real_resolve, real_connect = socket.getaddrinfo, socket.socket.connect
    answers, connected = [], []

    def resolve(host, port, *arguments, **more):
        if host != "models.example.com":
            return real_resolve(host, port, *arguments, **more)
        answers.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1" if len(answers) % 2 else "127.0.0.1", elsewhere.port))]

    def connect(self, address):
        if address[0] == "1.1.1.1":
            connected.append(address[0])
            raise ConnectionRefusedError("this test goes nowhere")
        return real_connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", connect)
    site.hosts = [*site.hosts, "models.example.com"]
    result, [row] = site.run_beside_a_good_one(site.entry(url="https://models.example.com/files/bad.gguf"))
    see_failure(result, row, r"models\.example\.com")
    assert connected and elsewhere.most_open[elsewhere.port] == 0


@pytest.fixture(name="certificate", scope="module")
def fixture_certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*make, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


@pytest.fixture(name="secure")
def fixture_secure(site, certificate, monkeypatch):
    """The same hub over https, with a certificate that this machine trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with Hub(site.hub.root, tls=certificate) as secure:
        site.hosts = [*site.hosts, secure.url, secure.storage_url]
        yield secure


def test_an_encrypted_hub_is_a_hub(site, secure):
    result, [row] = site.run_beside_a_good_one(site.entry(url=f"{secure.url}/{HUGGING_FACE}"))
    assert not result.get("failed") and row["sha256"] == SHA256


def test_a_certificate_that_is_not_trusted_is_refused(site, secure, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    result, [row] = site.run_beside_a_good_one(site.entry(url=f"{secure.url}/{HUGGING_FACE}"))
    see_failure(result, row, r"certificate of 127\.0\.0\.1")
    assert secure.requests == []


def test_a_redirect_from_https_to_http_is_refused_although_both_are_allowed(site, secure):
    secure.faults = {f"/{FILES}": f"to:{site.hub.url}/files/bad.gguf"}
    result, [row] = site.run_beside_a_good_one(site.entry(url=f"{secure.url}/{FILES}"))
    see_failure(result, row, "from https to http")
    assert [request["path"] for request in site.hub.requests if "bad" in request["path"]] == []


def test_plain_http_is_refused_where_only_https_is_allowed(site, secure):
    site.hosts = [secure.url, secure.storage_url, f"{site.hub.url}/"]
    plain = secure.url.replace("https:", "http:")
    result, [row] = site.run_beside_a_good_one(site.entry(url=f"{plain}/{FILES}"))
    see_failure(result, row, "https|not on the list")
    assert secure.requests == []


def test_a_token_does_not_travel_to_another_host_nor_back(site, elsewhere):
    """Both are allowed, and each has a token of its own or none."""
    url = f"http://127.0.0.1:{elsewhere.port}"
    site.hosts = [*site.hosts, url]
    for path in (site.hub.root / "there.gguf", site.hub.root / "back.gguf", elsewhere.root / "back.gguf"):
        path.write_bytes(CONTENT)
    site.hub.faults = {f"/{FILES}": f"to:{url}/files/bad.gguf", "/files/back.gguf": f"to:{url}/files/back.gguf"}
    elsewhere.faults = {"/files/back.gguf": f"to:{site.hub.url}/files/there.gguf"}
    result, rows = site.run_beside_a_good_one(site.entry(), site.entry("back.gguf"))
    assert not result.get("failed") and [row["sha256"] for row in rows] == [SHA256, SHA256]
    assert elsewhere.requests and not [request for request in elsewhere.requests if "Authorization" in request["headers"]]
    asked = {request["path"]: request["headers"].get("Authorization") for request in site.hub.requests}
    assert asked[f"/{FILES}"] == asked["/files/back.gguf"] == f"Bearer {SECRET}"
    assert asked["/files/there.gguf"] is None


# secrets


@pytest.mark.parametrize("name", ["token", "api_key", "apikey", "access_token"])
def test_a_token_in_an_address_is_moved_to_a_header(site, name):
    site.tokens = {}
    address = f"{site.hub.url}/{CIVITAI}?{name}={SECRET}"
    result, [row] = site.run_beside_a_good_one(site.entry(url=address))
    if row["state"] == "downloaded":
        asked = [request for request in site.hub.requests if request["path"] == f"/{CIVITAI}"]
        assert {request["headers"].get("Authorization") for request in asked} == {f"Bearer {SECRET}"}
        assert row["sha256"] == SHA256
    else:
        pytest.fail(result["msg"])


def test_a_failure_with_a_token_in_the_address_does_not_tell_it(site):
    site.tokens = {}
    url = f"files/none.gguf?token={SECRET}"
    result, [row] = site.run_beside_a_good_one(site.entry(url=url))
    see_failure(result, row, "no such file")
    result, [row] = site.run_beside_a_good_one(site.entry(url=f"ftp://someone:{SECRET}@127.0.0.1/bad.gguf?token={SECRET}"))
    assert row["state"] == "failed" and SECRET not in result["msg"]


def test_no_secret_is_on_a_command_line_or_in_a_name_while_a_download_runs(site, tmp_path):
    site.hub.faults = {f"/{FILES}": "stall"}
    url = f"{FILES}?api_key={SECRET}-too"
    with ModelsRunner(tmp_path) as runner:
        run = runner.start(site.arguments(site.entry(url=url, sha256=SHA256), timeout_seconds=60, slow_seconds=60))
        try:
            while not any(request["sent"] > 1 for request in site.hub.requests):
                assert run.poll() is None, run.result()
                time.sleep(0.01)
            names = [str(path) for path in [*site.store.rglob("*"), *site.state.rglob("*")]]
            assert any(name.endswith(".part") for name in names) and SECRET not in "".join(names)
            lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
            assert not [line for line in lines if SECRET.encode() in line]
            texts = [path.read_bytes() for path in [*site.store.rglob(".*"), *site.state.rglob("*")] if path.is_file()]
            assert not [text for text in texts if SECRET.encode() in text]
        finally:
            run.kill()


# what policy refuses


@pytest.mark.parametrize(
    "values, words",
    [
        pytest.param({"name": "../evil.gguf"}, "straight down", id="a name that climbs"),
        pytest.param({"name": "/etc/evil.gguf"}, "relative", id="an absolute name"),
        pytest.param({"name": "C:evil.gguf"}, "relative", id="a drive"),
        pytest.param({"name": "a\nb.gguf"}, "control", id="a line break"),
        pytest.param({"name": "a\u202eb.gguf"}, "invisible", id="a name that reads backwards"),
        pytest.param({"name": ".hidden.gguf"}, "dot", id="a hidden name"),
        pytest.param({"name": "evil.gguf."}, "dot", id="a dot at the end"),
        pytest.param({"name": "{{ evil }}.gguf"}, "template", id="a template"),
        pytest.param({"name": "é" * 128 + ".gguf"}, "255", id="a name of too many bytes"),
        pytest.param({"name": "https://h/evil.gguf"}, "address", id="an address for a name"),
        pytest.param({"name": ""}, "empty", id="no name"),
        pytest.param({"directory": "../unet"}, "straight down", id="a directory that climbs"),
        pytest.param({"directory": "/etc"}, "relative", id="an absolute directory"),
        *(
            pytest.param({"directory": name}, "not a folder for models", id=name)
            for name in ("custom_nodes", "configs", "user", "input", "output", "Custom_Nodes/x")
        ),
        pytest.param({"directory": "escape"}, "out of the store", id="a symlink out of the store"),
        pytest.param({"name": "evil.ckpt"}, "pickle", id="a pickle"),
        pytest.param({"name": "evil.PT"}, "pickle", id="a pickle in capitals"),
        pytest.param({"sha256": "ab" * 31}, "64", id="half a digest"),
        pytest.param({"size": 0}, "size", id="no bytes"),
        pytest.param({"url": "https://evil.example/bad.gguf"}, "evil.example.*not on the list", id="a host that is not on the list"),
        pytest.param({"url": "http://huggingface.co/a/b/resolve/main/bad.gguf"}, "https", id="plain http"),
        pytest.param({"url": "file:///etc/passwd"}, "file|https", id="a file of this machine"),
        pytest.param({"url": "ssh://root@127.0.0.1/etc/passwd"}, "ssh|https", id="another machine"),
    ],
)
def test_what_policy_refuses_is_refused_for_that_model_alone(site, values, words):
    (site.store / "unet").mkdir(parents=True)
    (site.store / "escape").symlink_to(site.store.parent)
    before = {path for path in site.store.parent.rglob("*") if not path.is_relative_to(site.hub.root)}
    result, [row] = site.run_beside_a_good_one({**site.entry(), **values})
    assert result["failed"] and row["state"] == "failed" and re.search(words, row["error"]), row["error"]
    assert row["error"] in result["msg"]
    after = {path for path in site.store.parent.rglob("*") if not path.is_relative_to(site.hub.root)} - before
    assert {path for path in after if not path.is_relative_to(site.state)} - {site.state} == {site.store / "unet/good.gguf"}
    assert not [request for request in site.hub.requests if "good" not in request["path"]]


@pytest.mark.parametrize("allow", [{"params": {"allow_pickle": True}}, {"values": {"allow_pickle": True}}])
def test_a_pickle_may_come_where_that_is_said(site, allow):
    (site.hub.root / "bad.ckpt").write_bytes(b"\x80\2" + bytes(100))
    entry = site.entry("bad.ckpt", **allow.get("values", {}))
    with patch_module_args(site.arguments(entry, **allow.get("params", {}))), pytest.raises(SystemExit):
        models.main()
    result = json.loads(site.capsys.readouterr().out)
    assert not result.get("failed") and (site.store / "unet/bad.ckpt").read_bytes()[:2] == b"\x80\2"


def test_the_next_source_is_taken_where_the_first_fails(site):
    site.hub.faults = {f"/{FILES}": "badhash"}
    urls = [f"{site.hub.url}/{FILES}", "https://evil.example/bad.gguf", f"{site.hub.url}/{HUGGING_FACE}"]
    result, [row] = site.run_beside_a_good_one({**site.entry(), "url": None, "urls": urls, "sha256": SHA256})
    assert not result.get("failed"), result["msg"]
    assert row["state"] == "downloaded" and "/org/repo/" in row["source"]


# the disk


@pytest.fixture(name="disk")
def fixture_disk(tmp_path):
    """A small disk of its own, which can be made larger."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_fills_is_named_with_the_model_and_gets_its_room_back(site, disk):
    """Nobody knows the size before; the bytes arrive until there is no room."""
    large = gguf(8_000_000, 3)
    (site.hub.root / "bad.gguf").write_bytes(large)
    entry = site.entry(sha256=hashlib.sha256(large).hexdigest())
    site.hub.faults = {f"/{FILES}": "nolength"}
    site.store = disk / "store"
    result, [row] = site.run_beside_a_good_one(entry, files=1)
    see_failure(result, row, "(?i)no space left|full|reserve")
    assert str(disk) in row["error"]
    assert [path.name for path in site.store.rglob("*") if path.is_file()] == ["good.gguf"]
    room = os.statvfs(disk)
    assert room.f_bavail * room.f_frsize > 3_000_000
    subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
    result, [row] = site.run_beside_a_good_one(entry)
    assert not result.get("failed") and (site.store / "unet/bad.gguf").read_bytes() == large


def test_what_is_known_not_to_fit_is_told_before_the_first_byte(site, disk):
    (site.hub.root / "bad.gguf").write_bytes(gguf(8_000_000, 3))
    site.store = disk / "store"
    result = site.run(site.entry(), site.entry("good.gguf", sha256=GOOD_SHA256))
    assert result["failed"] and "unet/bad.gguf (8000000)" in result["msg"] and str(disk) in result["msg"]
    assert site.hub.sent(f"/{FILES}", "/files/good.gguf") <= 2
    assert not [path for path in disk.rglob("*") if path.is_file()]


@pytest.fixture(name="common")
def fixture_common():
    """A folder that any account may look into."""
    place = Path(tempfile.mkdtemp(prefix="models-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start it as another account")
def test_a_directory_that_is_not_writable_is_named(site, tmp_path, common):
    nobody = 65534
    site.store, site.state = common / "store", common / "state"
    for place in (site.store, site.state, site.store / "unet", site.store / "vae"):
        place.mkdir()
    os.chown(site.state, nobody, nobody)
    os.chown(site.store / "vae", nobody, nobody)
    entries = [site.entry(sha256=SHA256), {**site.entry("good.gguf", sha256=GOOD_SHA256), "directory": "vae"}]
    with ModelsRunner(tmp_path) as runner:
        result = runner.start(site.arguments(*entries), uid=nobody).result()
        bad, good = result["models"]
        see_failure(result, bad, f"Permission denied.*{site.store}/unet")
        assert good["state"] == "downloaded" and (site.store / "vae/good.gguf").read_bytes() == GOOD
        assert not list((site.store / "unet").iterdir())
        os.chown(site.store / "unet", nobody, nobody)
        result = runner.start(site.arguments(*entries), uid=nobody).result()
        assert not result.get("failed") and [row["state"] for row in result["models"]] == ["downloaded", "present"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start it as another account")
def test_an_index_that_cannot_be_written_is_named_and_the_models_are_there(site, tmp_path, common):
    nobody = 65534
    site.store, site.state = common / "store", common / "state"
    site.store.mkdir()
    site.state.mkdir()
    os.chown(site.store, nobody, nobody)
    with ModelsRunner(tmp_path) as runner:
        result = runner.start(site.arguments(site.entry(sha256=SHA256)), uid=nobody).result()
        assert result["failed"] and str(site.state) in result["msg"]
        assert (site.store / "unet/bad.gguf").read_bytes() == CONTENT
        os.chown(site.state, nobody, nobody)
        result = runner.start(site.arguments(site.entry(sha256=SHA256)), uid=nobody).result()
        assert not result.get("failed") and [row["state"] for row in result["models"]] == ["present"]


# what was there before


def test_a_bad_file_under_the_final_name_is_replaced_only_by_a_good_one(site):
    target = site.store / "unet/bad.gguf"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"GGUF, but not this one")
    site.hub.faults = {f"/{FILES}": "badhash"}
    with patch_module_args(site.arguments(site.entry(sha256=SHA256))), pytest.raises(SystemExit):
        models.main()
    assert json.loads(site.capsys.readouterr().out)["failed"] and target.read_bytes() == b"GGUF, but not this one"
    site.hub.faults = {}
    assert site.run(site.entry(sha256=SHA256))["models"][0]["state"] == "downloaded"
    assert target.read_bytes() == CONTENT


def test_connections_to_a_host_are_bounded(site, large):
    path, sha256 = large
    names = [f"model-{number}.gguf" for number in range(4)]
    for name in names:
        os.link(path, site.hub.root / name)
    result = site.run(*(site.entry(name) for name in names), connections=6, connections_per_host=3, link_duplicates=False)
    assert not result.get("failed") and {row["sha256"] for row in result["models"]} == {sha256}
    # The questions before are asked over connections of their own.
    assert site.hub.most_open[site.hub.port] <= 3 + 4
