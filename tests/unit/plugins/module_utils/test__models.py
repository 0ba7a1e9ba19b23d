# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _model_download
from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import ContentError, check_file, check_head, check_type
from ansible_collections.emprops.comfyui.plugins.module_utils._model_download import (
    Client,
    DownloadError,
    parse_tokens,
    parse_url,
    parse_wanted_url,
    partial_path,
    printable_url,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._models import (
    FIRST_SEEN,
    Index,
    ModelsError,
    check_space,
    describe_failures,
    parse_account,
    parse_models,
    plan_models,
    put_models,
    summarise,
)
from support.hub import COMMIT, Hub

GIB = 1024**3


def safetensors(size: int) -> bytes:
    header = json.dumps({"__metadata__": {"format": "pt"}, "w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(index % 251 for index in range(size))


WEIGHTS = safetensors(300_000)
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
GATED = "needs/terms/resolve/main/w.safetensors"


@pytest.fixture(name="hub")
def fixture_hub(tmp_path):
    root = tmp_path / "hub"
    for place in ("a.safetensors", "org/repo/w.safetensors", "needs/terms/w.safetensors", "civitai/7/original name.safetensors"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(WEIGHTS)
    (root / "needs/terms/.gated").touch()
    with Hub(root) as hub:
        yield hub


@pytest.fixture(name="site")
def fixture_site(hub, tmp_path):
    """One machine: its store, its index, and what a run of the module does with them."""
    return Site(hub, tmp_path)


class Site:
    def __init__(self, hub, tmp_path):
        self.hub = hub
        self.store = tmp_path / "store"
        self.state = tmp_path / "state"
        self.pauses = []
        self.timeout = 10.0

    def entry(self, url="files/a.safetensors", **values):
        url = url if "://" in url else f"{self.hub.url}/{url}"
        return {"name": "a.safetensors", "directory": "checkpoints", "url": url, "sha256": None, "size": None, **values}

    def run(self, *entries, tokens=None, reserve=0, **values):
        client = Client(tokens or {}, self.timeout, pause=self.pauses.append)
        index = Index(self.state)
        models = plan_models(parse_models(self.store, entries or [self.entry(**values)]), index, client, 4)
        check_space(models, reserve)
        put_models(models, index, client, store=self.store, reserve=reserve, connections=4)
        index.save()
        return [model.result for model in models]

    def run_one(self, **values):
        return self.run(**values)[0]

    @property
    def path(self):
        return self.store / "checkpoints/a.safetensors"

    @property
    def bodies(self):
        """Requests for content, without the questions for a size."""
        return [request for request in self.hub.requests if request["headers"].get("Range") != "bytes=0-0"]

    def faults(self, **faults):
        (self.hub.root / "hub.json").write_text(
            json.dumps({"faults": {f"/files/{name}.safetensors": fault for name, fault in faults.items()}})
        )


# what is asked for


def parse_one(store, **values):
    entry = {"name": "a.safetensors", "directory": "checkpoints", "url": "https://h/a", "sha256": None, "size": None, **values}
    return parse_models(store, [entry])[0]


def test_a_model_gets_its_place_in_the_store(tmp_path):
    model = parse_one(tmp_path, directory="loras/portraits", sha256="AB" * 32)
    assert (model.path, model.sha256) == (tmp_path / "loras/portraits/a.safetensors", "ab" * 32)


@pytest.mark.parametrize(
    "values, message",
    [
        pytest.param({"name": ""}, "empty", id="no name"),
        pytest.param({"name": "../evil"}, "plain", id="a name that climbs"),
        pytest.param({"name": "/etc/passwd"}, "plain", id="an absolute name"),
        pytest.param({"name": "a/b"}, "plain", id="a name with a slash"),
        pytest.param({"name": "a\\b"}, "plain", id="a name with a backslash"),
        pytest.param({"name": ".hidden"}, "plain", id="a hidden name"),
        pytest.param({"name": " a"}, "plain", id="a name with a blank in front"),
        pytest.param({"name": "a\0b"}, "control", id="a name with a NUL"),
        pytest.param({"name": "a\nb"}, "control", id="a name with a line break"),
        pytest.param({"name": "a\u202eb"}, "control", id="a name that is read backwards"),
        pytest.param({"name": "é" * 128}, "255 bytes", id="a name too long in bytes"),
        pytest.param({"directory": ""}, "empty", id="no directory"),
        pytest.param({"directory": "/etc"}, "empty", id="an absolute directory"),
        pytest.param({"directory": "loras/../.."}, "plain", id="a directory that climbs"),
        pytest.param({"directory": "loras//x"}, "empty", id="a directory with an empty part"),
        pytest.param({"sha256": "ab" * 31}, "64 hex", id="a short digest"),
        pytest.param({"sha256": ""}, "64 hex", id="an empty digest"),
        pytest.param({"size": 0}, "positive", id="no bytes"),
        pytest.param({"url": "ftp://h/a"}, "neither http nor https", id="another protocol"),
        pytest.param({"url": "file:///etc/passwd"}, "neither http nor https", id="a local file"),
        pytest.param({"url": "https://user:pw@h/a"}, "password", id="a password in the url"),
        pytest.param({"url": "https://h/a?token=abc"}, "tokens", id="a token in the url"),
        pytest.param({"url": "https:///a"}, "host", id="no host"),
        pytest.param({"url": "https://[::1/a"}, "malformed", id="half an address"),
        pytest.param({"url": "https://h:99999/a"}, "malformed", id="no such port"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path, values, message):
    with pytest.raises(ModelsError, match=message) as caught:
        parse_one(tmp_path, **values)
    assert repr(values.get("name", "a.safetensors")) in str(caught.value)
    assert "abc" not in str(caught.value)


def test_every_culprit_of_a_list_is_in_one_message(tmp_path):
    entries = [{"name": name, "directory": "loras", "url": "https://h/a", "sha256": None, "size": None} for name in ("..", "good", "x/y")]
    with pytest.raises(ModelsError) as caught:
        parse_models(tmp_path, entries)
    assert "'..'" in str(caught.value) and "'x/y'" in str(caught.value) and "good" not in str(caught.value)


def test_a_link_inside_the_store_is_followed_and_one_that_leads_out_is_refused(tmp_path):
    store = tmp_path / "store"
    (store / "checkpoints").mkdir(parents=True)
    (store / "Stable-diffusion").symlink_to("checkpoints")
    (store / "out").symlink_to(tmp_path)
    assert parse_one(store, directory="Stable-diffusion").path == store / "Stable-diffusion/a.safetensors"
    with pytest.raises(ModelsError, match="out of the store"):
        parse_one(store, directory="out")


@pytest.mark.parametrize(
    "second",
    [
        pytest.param({"url": "https://h/b"}, id="another url"),
        pytest.param({"sha256": "cd" * 32}, id="another digest"),
        pytest.param({"directory": "alias", "url": "https://h/b"}, id="the same folder under another name"),
    ],
)
def test_one_target_with_two_contents_is_refused_naming_both(tmp_path, second):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "alias").symlink_to("checkpoints")
    first = {"name": "a", "directory": "checkpoints", "url": "https://h/a?sig=1", "sha256": "ab" * 32, "size": None}
    with pytest.raises(ModelsError, match="listed twice") as caught:
        parse_models(tmp_path, [first, {**first, **second}])
    changed = second.get("url", second.get("sha256"))
    assert "https://h/a" in str(caught.value) and changed in str(caught.value) and "sig=1" not in str(caught.value)


def test_the_same_model_listed_twice_is_one_model(tmp_path):
    entry = {"name": "a", "directory": "loras", "url": "https://h/a", "sha256": None, "size": None}
    assert len(parse_models(tmp_path, [entry, dict(entry)])) == 1


@pytest.mark.parametrize(
    "url, expected",
    [
        ("https://huggingface.co/o/r/blob/main/d/w.gguf", "https://huggingface.co/o/r/resolve/main/d/w.gguf"),
        ("https://huggingface.co/gpt2/blob/main/w.bin", "https://huggingface.co/gpt2/resolve/main/w.bin"),
        ("https://huggingface.co/datasets/o/r/blob/main/w", "https://huggingface.co/datasets/o/r/resolve/main/w"),
        ("https://hf.co/o/r/resolve/main/w", "https://huggingface.co/o/r/resolve/main/w"),
        ("https://huggingface.co/o/r/resolve/main/blob/w", "https://huggingface.co/o/r/resolve/main/blob/w"),
        ("https://Example.com/o/r/blob/main/w x#part", "https://example.com/o/r/blob/main/w%20x"),
        ("https://example.com/a%20b?x=é", "https://example.com/a%20b?x=%C3%A9"),
        ("https://example.com", "https://example.com/"),
    ],
)
def test_an_address_is_asked_for_as_it_was_meant(url, expected):
    assert parse_wanted_url(url) == expected


def test_a_printed_address_has_no_query_and_no_password():
    assert printable_url("https://u:secret@h:8/a\nb?X-Amz-Signature=secret#secret") == "https://h:8/ab"
    assert parse_url("https://h/a?X-Amz-Signature=s") == "https://h/a?X-Amz-Signature=s"


def test_a_token_that_is_no_token_is_refused_without_being_told():
    assert parse_tokens({"H": "abc", "i": "", "j": None}) == {"h": "abc"}
    for token in ("secret\r\nX: 1", 12345):
        with pytest.raises(DownloadError, match="token for h") as caught:
            parse_tokens({"h": token})
        assert "secret" not in str(caught.value) and "12345" not in str(caught.value)


# what bytes say


@pytest.mark.parametrize(
    "name, content, message",
    [
        pytest.param("a.safetensors", WEIGHTS, None, id="safetensors"),
        pytest.param("a.safetensors", WEIGHTS[:-1], "describes 30.* has 30", id="safetensors cut short"),
        pytest.param("a.safetensors", WEIGHTS[:40], "header alone", id="safetensors cut in its header"),
        pytest.param("a.safetensors", WEIGHTS + b"x", "describes", id="safetensors with more behind it"),
        pytest.param("a.safetensors", b"PK\3\4" + bytes(60), "begin as a safetensors", id="something else"),
        pytest.param("a.safetensors", (70).to_bytes(8, "little") + b"{" * 70, "cannot be read", id="a header that is no JSON"),
        pytest.param("a.safetensors", (2).to_bytes(8, "little") + b"{}", None, id="no tensors at all"),
        pytest.param("a.safetensors", b"", "begin as a safetensors", id="an empty file"),
        pytest.param("a.gguf", b"GGUF" + bytes(60), None, id="gguf"),
        pytest.param("a.gguf", b"GGML" + bytes(60), "GGUF", id="another magic"),
        pytest.param("a.ckpt", b"\xef\xbb\xbf \n<!DocType html><html>", "web page", id="a web page"),
        pytest.param("a.html", b"<!doctype html>", None, id="a wanted web page"),
        pytest.param("a.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS", id="an LFS pointer"),
        pytest.param("a.bin", bytes(600), None, id="anything"),
    ],
)
def test_content_is_judged_by_its_bytes(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with path.open("rb") as file:
        if message is None:
            check_file(name, file)
        else:
            with pytest.raises(ContentError, match=message):
                check_file(name, file)


def test_an_answer_is_judged_by_its_type():
    check_type("config.json", "application/json")
    check_type("a.ckpt", "application/octet-stream")
    check_type("a.ckpt", "")
    for kind in ("text/html; charset=utf-8", "Application/JSON"):
        with pytest.raises(ContentError, match="instead of a model"):
            check_type("a.ckpt", kind)


def test_a_huge_safetensors_header_is_refused_before_it_is_read():
    with pytest.raises(ContentError, match="begin as a safetensors"):
        check_head("a.safetensors", (2**40).to_bytes(8, "little") + b"{", None)


# a good download


@pytest.mark.parametrize(
    "url, tokens",
    [
        pytest.param("files/a.safetensors", False, id="plain"),
        pytest.param("org/repo/resolve/main/w.safetensors", True, id="Hugging Face"),
        pytest.param(f"org/repo/resolve/{COMMIT}/w.safetensors", False, id="Hugging Face at a commit, without a token"),
        pytest.param(GATED, True, id="Hugging Face, gated"),
        pytest.param("api/download/models/7", True, id="CivitAI"),
    ],
)
@pytest.mark.parametrize(
    "declared", [{}, {"sha256": SHA256.upper()}, {"size": len(WEIGHTS)}], ids=["nothing known", "digest known", "size known"]
)
def test_a_model_is_downloaded_once(site, url, tokens, declared):
    tokens = {site.hub.url.removeprefix("http://"): "secret"} if tokens else {}
    before = site.run_one(url=url, tokens=tokens, **declared)
    assert (before["state"], before["bytes"], before["sha256"]) == ("downloaded", len(WEIGHTS), SHA256)
    assert before["source"] == f"{site.hub.url}/{url}" and "error" not in before
    assert site.path.read_bytes() == WEIGHTS
    assert [path.name for path in site.path.parent.iterdir()] == ["a.safetensors"]
    assert (site.path.stat().st_mode & 0o777, site.path.parent.stat().st_mode & 0o777) == (0o644, 0o755)

    site.hub.requests.clear()
    again = site.run_one(url=url, tokens=tokens, **declared)
    assert {**again, "seconds": 0} == {**before, "seconds": 0, "state": "present"}
    assert site.hub.requests == []


def test_a_known_good_file_is_not_even_read(site):
    site.run_one()
    found = site.path.stat()
    with site.path.open("r+b") as file:
        file.write(b"x")
    os.utime(site.path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert (site.run_one()["state"], site.run_one()["sha256"]) == ("present", SHA256)


def test_several_models_come_side_by_side_and_a_failure_stops_no_other(site):
    entries = [site.entry(name=f"{number}.safetensors") for number in range(6)]
    entries[2] = site.entry("files/missing.safetensors", name="2.safetensors")
    results = site.run(*entries)
    assert [result["state"] for result in results] == ["downloaded"] * 2 + ["failed"] + ["downloaded"] * 3
    assert results[2]["error"] == f"there is no such file: 404, 'Not Found' ({site.hub.url}/files/missing.safetensors)"


def test_the_result_is_counted_and_told():
    wanted = SimpleNamespace(label="loras/x")
    models = [SimpleNamespace(state=state, bytes=5, wanted=wanted, error="why") for state in ("present", "downloaded", "failed", "failed")]
    assert summarise(models, 1.23456) == {"present": 1, "missing": 0, "downloaded": 1, "failed": 2, "bytes": 5, "seconds": 1.235}
    assert describe_failures(models) == "2 of 4 models failed:\nloras/x: why\nloras/x: why"
    assert describe_failures(models[:2]) is None


# tokens


def test_a_token_reaches_its_host_and_no_other(site):
    site.run_one(url=GATED, tokens={site.hub.url.removeprefix("http://"): "secret"})
    sent = {(request["port"] == site.hub.storage_port, request["headers"].get("Authorization")) for request in site.hub.requests}
    assert sent == {(False, "Bearer secret"), (True, None)}


def test_a_token_for_the_place_that_is_redirected_to_is_not_sent_either(site):
    tokens = {site.hub.storage_url.removeprefix("http://"): "storage", site.hub.url.removeprefix("http://"): "secret"}
    assert site.run_one(url=GATED, tokens=tokens)["state"] == "downloaded"
    assert [request["headers"].get("Authorization") for request in site.hub.requests if request["port"] == site.hub.storage_port] == [None]


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
    assert (Client({host: "secret"}, 1)._token_for(url) == "secret") is sent


def test_our_name_is_one_that_civitai_serves(site):
    site.run_one()
    assert {request["headers"]["User-Agent"] for request in site.hub.requests} == {"emprops.comfyui/0.1.0"}


# what is there already


def put(site, content, name="a.safetensors"):
    path = site.store / "checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize("declared", [{}, {"sha256": SHA256}, {"size": len(WEIGHTS)}])
def test_a_good_file_that_was_there_before_is_met_once(site, declared):
    put(site, WEIGHTS)
    for _run in range(2):
        result = site.run_one(**declared)
        assert (result["state"], result["source"], result["sha256"]) == ("present", FIRST_SEEN, SHA256)
    assert site.hub.requests == []


@pytest.mark.parametrize(
    "content, declared",
    [
        pytest.param(WEIGHTS[:-1] + b"x", {"sha256": SHA256}, id="another digest"),
        pytest.param(WEIGHTS[:-1], {"size": len(WEIGHTS)}, id="another size"),
        pytest.param(WEIGHTS[:1000], {}, id="cut short, nothing declared"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", {}, id="an LFS pointer, nothing declared"),
    ],
)
def test_a_bad_file_that_was_there_before_is_replaced(site, content, declared):
    put(site, content)
    assert site.run_one(**declared)["state"] == "downloaded"
    assert site.path.read_bytes() == WEIGHTS


def test_a_bad_file_stays_until_a_good_one_is_there(site):
    put(site, b"old")
    assert site.run_one(url="files/a.safetensors?fault=badhash", sha256=SHA256)["state"] == "failed"
    assert [path.name for path in site.path.parent.iterdir()] == ["a.safetensors"]
    assert site.path.read_bytes() == b"old"


def test_a_file_that_changed_since_is_hashed_again(site):
    site.run_one(sha256=SHA256)
    os.utime(site.path, ns=(1, 1))
    assert site.run_one(sha256=SHA256)["state"] == "present"
    site.path.write_bytes(WEIGHTS[:-1] + b"x")
    assert site.run_one(sha256=SHA256)["state"] == "downloaded"
    assert site.path.read_bytes() == WEIGHTS


def test_another_digest_means_another_file_and_another_address_does_not(site):
    site.run_one()
    site.hub.requests.clear()
    assert site.run_one(url="org/repo/resolve/main/w.safetensors")["state"] == "present"
    assert site.hub.requests == []
    other = safetensors(1000)
    (site.hub.root / "b.safetensors").write_bytes(other)
    assert site.run_one(url="files/b.safetensors", sha256=hashlib.sha256(other).hexdigest())["state"] == "downloaded"


def test_a_folder_in_the_place_of_a_model_is_told(site):
    site.path.mkdir(parents=True)
    assert "is there and is not a file" in site.run_one()["error"]


@pytest.mark.parametrize("content", ["", "not json", "[]", '{"files": {"x": {"size": 1}}}', '{"files": []}'])
def test_an_index_that_cannot_be_read_costs_a_hash_and_nothing_else(site, content):
    site.run_one(sha256=SHA256)
    (site.state / "models.json").write_text(content)
    assert site.run_one(sha256=SHA256)["state"] == "present"
    assert json.loads((site.state / "models.json").read_text())["files"][str(site.path)]["sha256"] == SHA256


def test_two_indexes_written_at_once_lose_nothing(site):
    put(site, WEIGHTS)
    found = site.path.stat()
    first, second = Index(site.state), Index(site.state)
    first.record(Path("/one"), found, SHA256, FIRST_SEEN)
    second.record(Path("/two"), found, SHA256, FIRST_SEEN)
    first.save()
    second.save()
    assert Index(site.state).known(Path("/one"), found) and Index(site.state).known(Path("/two"), found)


def test_a_read_only_index_writes_nothing(site):
    put(site, WEIGHTS)
    index = Index(site.state, read_only=True)
    index.record(site.path, site.path.stat(), SHA256, FIRST_SEEN)
    index.save()
    assert not site.state.exists()


def test_an_index_that_cannot_be_written_is_told(site):
    site.state.parent.mkdir(exist_ok=True)
    site.state.write_text("a file where a folder should be")
    with pytest.raises(ModelsError, match=r"cannot write .*models\.json"):
        site.run_one()


# bad answers


@pytest.mark.parametrize(
    "url, message",
    [
        pytest.param("files/a.safetensors?fault=html", "text/html instead of a model", id="a login page"),
        pytest.param("files/a.safetensors?fault=json", "application/json instead of a model", id="a JSON error"),
        pytest.param("files/a.safetensors?fault=lfs", "Git LFS pointer", id="an LFS pointer"),
        pytest.param(
            "org/repo/resolve/main/w.safetensors?fault=badhash", "has sha256 .*, wanted " + SHA256, id="not what the hub published"
        ),
        pytest.param("files/a.safetensors?fault=truncate", r"cut short: \d+ of 30\d+ bytes came \(tried 4 times\)", id="cut short"),
        pytest.param("files/a.safetensors?fault=loop", "more than 5 redirects", id="in circles"),
        pytest.param("files/a.safetensors?fault=500", r"answered 500, 'Asked for by the test' \(tried 4 times\)", id="an internal error"),
        pytest.param("files/a.safetensors?fault=429", r"answered 429, 'Too Many Requests' \(tried 4 times\)", id="too many requests"),
        pytest.param("files/a.safetensors?fault=410", "withdrawn by its publisher: 410", id="gone"),
        pytest.param("files/a.safetensors?fault=403", r"access is refused \(no token was sent to 127.0.0.1\): 403", id="forbidden"),
        pytest.param("files/a.safetensors?fault=451", "does not hand out the file: 451", id="some other refusal"),
        pytest.param("files/none.safetensors", "no such file: 404", id="not there"),
        pytest.param("org/repo/resolve/main/none", "the repository has no such file: 404", id="not in the repository"),
        pytest.param("org/repo/resolve/v9/w.safetensors", "no such revision: 404", id="no such revision"),
        pytest.param("org/none/resolve/main/w", r"no such repository, or it is private .*\(no token was sent", id="no such repository"),
        pytest.param(GATED, r"gated: accept its terms .*\(no token was sent to 127.0.0.1\): 401, 'Access to model", id="gated"),
        pytest.param("api/download/models/7", "a token is needed.*: 401, 'Unauthorized: The creator", id="CivitAI without a token"),
        pytest.param("http://127.0.0.1:1/a", r"cannot reach 127.0.0.1: Connection refused \(tried 4 times\)", id="nobody there"),
    ],
)
def test_a_bad_answer_is_told_and_leaves_no_litter(site, url, message):
    result = site.run_one(url=url, sha256=None if "badhash" in url else SHA256)
    assert result["state"] == "failed"
    assert re.search(message, result["error"])
    assert "fault=" not in result["error"]
    kept = [path.name for path in site.store.rglob("*") if path.is_file()]
    assert bool(kept) is ("truncate" in url)


@pytest.mark.parametrize(
    "url, message",
    [
        pytest.param(GATED, r"gated.*\(the token for 127.0.0.1 was sent\): 403", id="gated, not granted"),
        pytest.param("api/download/models/7", "the token for 127.0.0.1 was not accepted: 401", id="CivitAI"),
    ],
)
def test_a_wrong_token_is_told_without_being_shown(site, url, message):
    site.hub.token = "another"
    error = site.run_one(url=url, tokens={site.hub.url.removeprefix("http://"): "secret-token"})["error"]
    assert re.search(message, error)
    assert "secret-token" not in error


def test_a_digest_mismatch_tells_both_digests_and_deletes_what_came(site):
    wanted = "ab" * 32
    error = site.run_one(sha256=wanted)["error"]
    assert error == f"the file has sha256 {SHA256}, wanted {wanted} ({site.hub.url}/files/a.safetensors)"
    assert list(site.path.parent.iterdir()) == []


def test_another_size_than_declared_is_refused_before_the_first_byte(site):
    assert f"the server has {len(WEIGHTS)} bytes, wanted 5" in site.run_one(size=5)["error"]
    assert list(site.path.parent.iterdir()) == []


def test_a_passing_trouble_passes(site):
    site.faults(a=["500", "429", "503"])
    assert site.run_one(size=len(WEIGHTS))["state"] == "downloaded"
    assert site.pauses == [1.0, 1.0, 4.0]  # the second is what the server asked for


@pytest.mark.parametrize(
    "headers, expected",
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"RateLimit": '"resolvers";r=0;t=55'}, 55.0),
        ({}, None),
    ],
)
def test_the_asked_pause_is_understood(headers, expected):
    assert _model_download._asked_pause(SimpleNamespace(status=429, headers=headers)) == expected


def test_no_server_makes_us_wait_for_ever():
    client, pauses = Client({}, 1), []
    client._pause = pauses.append

    def ask():
        raise _model_download._Passing("later", pause=1e9)

    with pytest.raises(DownloadError, match=r"later \(tried 4 times\)"):
        client._patiently(ask)
    assert pauses == [_model_download.LONGEST_PAUSE] * 3


def test_a_server_that_falls_silent_is_left(site):
    site.timeout = 0.2
    site.faults(a=["stall"])
    assert site.run_one(size=len(WEIGHTS))["state"] == "downloaded"
    assert [request["headers"].get("Range") for request in site.bodies] == [None, f"bytes={len(WEIGHTS) // 2}-"]


def test_a_body_of_unknown_length_needs_something_to_be_proved_by(site):
    url = "files/a.safetensors?fault=nolength"
    assert "does not say how long the file is" in site.run_one(url=url)["error"]
    assert site.run_one(url=url, sha256=SHA256)["state"] == "downloaded"


@pytest.mark.parametrize(
    "size, message",
    [
        pytest.param(len(WEIGHTS) - 1, "sends more than", id="more than wanted"),
        pytest.param(len(WEIGHTS) + 1, "cut short", id="less than wanted"),
    ],
)
def test_a_body_of_unknown_length_must_have_the_wanted_size(site, size, message):
    (site.hub.root / "a.bin").write_bytes(WEIGHTS)
    assert message in site.run_one(name="a.bin", url="files/a.bin?fault=nolength", size=size)["error"]
    assert not (site.store / "checkpoints/a.bin").exists()


def test_what_is_not_the_model_is_not_read_to_its_end(site):
    site.timeout = 60
    assert "GGUF" in site.run_one(name="a.gguf", url="files/a.safetensors?fault=stall", size=len(WEIGHTS))["error"]
    assert list(site.path.parent.iterdir()) == []


# redirects


class Redirect:
    """A client that knows one redirect by heart, for addresses that no test can serve."""

    def __init__(self, location, status=302):
        self.asked = []
        self.client = Client({"first.example": "secret"}, 1)
        self.client._get = self.get
        self.location, self.status = location, status

    def get(self, url, headers, token):
        self.asked.append((url, token))
        first = len(self.asked) == 1
        return Answer(self.status if first else 200, {"Location": self.location} if first else {})


class Answer:
    def __init__(self, status, headers):
        self.status, self.headers = status, headers

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        pass


@pytest.mark.parametrize(
    "location, message",
    [
        pytest.param("http://first.example/b", "from https to http", id="no longer encrypted"),
        pytest.param("file:///etc/passwd", "unusable address: .*neither http nor https", id="a local file"),
        pytest.param("https://u:p@other.example/", "unusable address", id="with a password"),
        pytest.param("https://[::1/", "unusable address", id="malformed"),
    ],
)
def test_a_bad_redirect_is_refused(location, message):
    redirect = Redirect(location)
    with pytest.raises(DownloadError, match=message):
        redirect.client._ask("https://first.example/a", {})
    assert len(redirect.asked) == 1


@pytest.mark.parametrize(
    "location, there, token",
    [
        pytest.param("/b", "https://first.example/b", "secret", id="on the same host"),
        pytest.param("https://other.example/b", "https://other.example/b", None, id="to another host"),
        pytest.param("https://first.example:8443/b", "https://first.example:8443/b", None, id="to another port"),
        pytest.param("https://first.example.evil/", "https://first.example.evil/", None, id="to a host that looks alike"),
    ],
)
def test_a_redirect_is_followed_and_the_token_stays_home(location, there, token):
    redirect = Redirect(location, 307)
    redirect.client._ask("https://first.example/a", {})
    assert redirect.asked == [("https://first.example/a", "secret"), (there, token)]


def test_a_certificate_that_is_not_trusted_is_told_at_once(tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with Hub(tmp_path) as hub:
        hub._servers[0].socket = context.wrap_socket(hub._servers[0].socket, server_side=True)
        pauses = []
        client = Client({}, 10, pause=pauses.append)
        with pytest.raises(DownloadError, match="certificate of 127.0.0.1 is not trusted"):
            client.probe(hub.url.replace("http:", "https:") + "/files/a", "a")
    assert pauses == []


# resuming


def begin(site, **values):
    """Leave behind half a download, as a run does that ends too early."""
    site.faults(a="truncate")
    assert site.run_one(**values)["state"] == "failed"
    site.faults()
    site.hub.requests.clear()
    (partial,) = site.path.parent.glob(".*.part")
    return partial


@pytest.mark.parametrize("declared", [{}, {"sha256": SHA256}])
def test_the_next_run_goes_on_where_the_last_one_ended(site, declared):
    size = begin(site, **declared).stat().st_size
    assert 0 < size < len(WEIGHTS)
    result = site.run_one(**declared)
    assert (result["state"], result["sha256"]) == ("downloaded", SHA256)
    assert [request["headers"].get("Range") for request in site.bodies] == [f"bytes={size}-"]
    assert site.bodies[0]["headers"]["If-Range"].startswith('"')
    assert [path.name for path in site.path.parent.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda site, partial: os.utime(site.hub.root / "a.safetensors", ns=(1, 1)), id="the ETag changed"),
        pytest.param(lambda site, partial: site.faults(a="norange"), id="the range is ignored"),
        pytest.param(lambda site, partial: site.faults(a=["", "otherrange"]), id="another range is answered"),
        pytest.param(lambda site, partial: partial.with_name(f"{partial.name}.json").unlink(), id="nobody knows what the bytes are"),
        pytest.param(lambda site, partial: partial.with_name(f"{partial.name}.json").write_text("{}"), id="the notes are garbled"),
        pytest.param(lambda site, partial: partial.write_bytes(WEIGHTS + b"too long"), id="there is more than there can be"),
    ],
)
def test_what_is_not_the_same_file_starts_over(site, change):
    change(site, begin(site))
    result = site.run_one()
    assert (result["state"], result["sha256"]) == ("downloaded", SHA256)
    assert site.path.read_bytes() == WEIGHTS


def test_a_changed_etag_starts_over_even_where_if_range_is_not_heeded(site, monkeypatch):
    size = begin(site).stat().st_size
    site.faults(a=["", "etag"])  # the first request asks for the size
    get = Client._get

    def get_without_if_range(client, url, headers, token):
        return get(client, url, {name: value for name, value in headers.items() if name != "If-Range"}, token)

    monkeypatch.setattr(Client, "_get", get_without_if_range)
    assert site.run_one()["sha256"] == SHA256
    assert [request["headers"].get("Range") for request in site.bodies] == [f"bytes={size}-", None]


@pytest.mark.parametrize("size", [len(WEIGHTS), len(WEIGHTS) + 10], ids=["all of it is there", "more than all of it is there"])
def test_a_range_that_cannot_be_satisfied_is_understood(site, size):
    partial = begin(site, sha256=SHA256)
    partial.write_bytes((WEIGHTS + bytes(10))[:size])
    notes = partial.with_name(f"{partial.name}.json")
    notes.write_text(json.dumps({**json.loads(notes.read_text()), "total": None}))
    assert site.run_one(sha256=SHA256)["state"] == "downloaded"
    assert site.path.read_bytes() == WEIGHTS
    assert [request["headers"].get("Range") for request in site.bodies] == [f"bytes={size}-"] + [None] * (size > len(WEIGHTS))


def test_without_an_etag_only_a_known_digest_makes_a_partial_file_worth_anything(site):
    for declared, ranges in (({}, [None]), ({"sha256": SHA256}, ["bytes=150046-"])):
        partial = begin(site, **declared)
        partial.write_bytes(WEIGHTS[:150046])
        notes = partial.with_name(f"{partial.name}.json")
        notes.write_text(json.dumps({**json.loads(notes.read_text()), "etag": ""}))
        assert site.run_one(**declared)["state"] == "downloaded"
        assert [request["headers"].get("Range") for request in site.bodies] == ranges
        site.path.unlink()


def test_a_login_page_in_between_does_not_cost_what_is_there(site):
    partial = begin(site, size=len(WEIGHTS))
    content = partial.read_bytes()
    site.faults(a="html")
    assert "text/html" in site.run_one(size=len(WEIGHTS))["error"]
    assert partial.read_bytes() == content


def test_bytes_of_a_broken_run_that_went_bad_are_found_out(site):
    partial = begin(site, sha256=SHA256)
    content = bytearray(partial.read_bytes())
    content[-1] ^= 1
    partial.write_bytes(content)
    assert "has sha256" in site.run_one(sha256=SHA256)["error"]
    assert site.run_one(sha256=SHA256)["state"] == "downloaded"


def test_a_killed_run_leaves_nothing_under_the_final_name_and_the_next_one_goes_on(site):
    site.faults(a=["stall"])
    code = f"""
from pathlib import Path
from ansible_collections.emprops.comfyui.plugins.module_utils._models import *
from ansible_collections.emprops.comfyui.plugins.module_utils._model_download import Client
store, index, client = Path({str(site.store)!r}), Index(Path({str(site.state)!r})), Client({{}}, 60)
models = plan_models(parse_models(store, [{site.entry(size=len(WEIGHTS))!r}]), index, client, 1)
put_models(models, index, client, store=store, reserve=0, connections=1)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    partial = partial_path(site.path, site.entry()["url"])
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as process:
        deadline = time.monotonic() + 60
        while not (partial.exists() and partial.stat().st_size == len(WEIGHTS) // 2):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert not site.path.exists()
    assert site.run_one(size=len(WEIGHTS))["state"] == "downloaded"
    assert site.bodies[-1]["headers"]["Range"] == f"bytes={len(WEIGHTS) // 2}-"


# two at once


def test_a_second_run_waits_for_the_first_and_downloads_nothing(site):
    partial = partial_path(site.path, site.entry()["url"])
    partial.parent.mkdir(parents=True)
    with partial.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        results = []
        second = threading.Thread(target=lambda: results.append(site.run_one()))
        second.start()
        while not site.hub.requests:  # it has asked for the size, so its plan is made
            time.sleep(0.01)
        other.write(WEIGHTS)
        other.flush()
        partial.rename(site.path)
    second.join()
    assert (results[0]["state"], results[0]["sha256"]) == ("present", SHA256)
    assert site.bodies == []
    assert [path.name for path in site.path.parent.iterdir()] == ["a.safetensors"]


def test_a_partial_file_that_went_away_while_we_waited_is_begun_anew(site, monkeypatch):
    partial = partial_path(site.path, site.entry()["url"])
    flock = fcntl.flock

    def flock_late(handle, how):
        if not site.pauses:
            site.pauses.append("the other process discards its file")
            partial.unlink()
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock_late)
    assert site.run_one()["state"] == "downloaded"
    assert len(site.pauses) == 1


def test_an_answer_of_another_size_does_not_cost_what_is_there(site):
    partial = begin(site, size=len(WEIGHTS))
    content = partial.read_bytes()
    (site.hub.root / "a.safetensors").write_bytes(WEIGHTS + b"x")
    assert "wanted" in site.run_one(size=len(WEIGHTS))["error"]
    assert partial.read_bytes() == content


@pytest.mark.parametrize("kind", ["symlink", "hard link", "fifo"])
def test_a_partial_file_that_is_not_ours_is_left_alone(site, tmp_path, kind):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    partial = partial_path(site.path, site.entry()["url"])
    partial.parent.mkdir(parents=True)
    {"symlink": lambda: partial.symlink_to(victim), "hard link": lambda: partial.hardlink_to(victim), "fifo": lambda: os.mkfifo(partial)}[
        kind
    ]()
    assert site.run_one()["state"] == "failed"
    assert victim.read_bytes() == b"precious"


# room on the disk


def test_what_does_not_fit_is_refused_in_one_message_before_the_first_byte(site):
    entries = [site.entry(name="big.bin", size=2**60), site.entry(name="small.safetensors")]
    with pytest.raises(ModelsError, match="do not fit on the disk, nothing was downloaded") as caught:
        site.run(*entries, reserve=GIB)
    assert f"checkpoints/big.bin ({2**60}), checkpoints/small.safetensors ({len(WEIGHTS)})" in str(caught.value)
    assert not site.store.exists() and site.bodies == []


def test_the_reserve_is_not_for_models(site):
    free = os.statvfs(site.store.parent)
    with pytest.raises(ModelsError, match="of them reserved"):
        site.run_one(reserve=free.f_bavail * free.f_frsize)


def test_nothing_missing_needs_no_room(site):
    site.run_one()
    assert site.run_one(reserve=2**60)["state"] == "present"


def test_what_was_begun_counts_as_had(site, monkeypatch):
    held = begin(site, size=len(WEIGHTS)).stat().st_blocks * 512
    model = plan_models(parse_models(site.store, [site.entry(size=len(WEIGHTS))]), Index(site.state), Client({}, 1), 1)
    needed = len(WEIGHTS) - held
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=needed, f_frsize=1))
    check_space(model, 0)
    with pytest.raises(ModelsError, match=f"{needed} bytes are needed"):
        check_space(model, 1)


def test_a_disk_that_fills_is_named_and_gets_its_room_back(site, monkeypatch):
    real = os.write

    def full(handle, view):
        if len(view) > 1000 and Path(f"/proc/self/fd/{handle}").readlink().suffix == ".part":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, view)

    monkeypatch.setattr(os, "write", full)
    assert site.run_one()["error"].startswith(f"the disk of {site.path.parent} is full")
    assert list(site.path.parent.iterdir()) == []


def test_a_download_stops_at_the_reserve(site, monkeypatch):
    monkeypatch.setattr(_model_download, "SPACE_CHECK_INTERVAL", 1000)
    url = "files/a.safetensors?fault=nolength"  # so that nobody could ask before
    error = site.run_one(url=url, sha256=SHA256, reserve=2**60)["error"]
    assert "less than the reserve" in error
    assert list(site.path.parent.iterdir()) == []


# accounts


def test_accounts_are_looked_up_by_name():
    assert parse_account("root", "root") == (0, 0)
    assert parse_account(None, None) == (-1, -1)
    with pytest.raises(ModelsError, match="no account named nobody-of-that-name"):
        parse_account("nobody-of-that-name", None)
    with pytest.raises(ModelsError, match="no group named nobody-of-that-name"):
        parse_account(None, "nobody-of-that-name")


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_what_is_made_belongs_to_the_account_and_what_was_there_does_not(site):
    site.store.mkdir()
    index, client = Index(site.state), Client({}, 10)
    models = plan_models(parse_models(site.store, [site.entry(directory="loras/new")]), index, client, 1)
    put_models(models, index, client, store=site.store, reserve=0, connections=1, uid=65534, gid=65534)
    path = site.store / "loras/new/a.safetensors"
    assert {(place.stat().st_uid, place.stat().st_gid) for place in (path, path.parent, path.parent.parent)} == {(65534, 65534)}
    assert site.store.stat().st_uid == 0
