# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import grp
import hashlib
import io
import json
import os
import pwd
import threading
import time
import zipfile
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._model_claims import Claims
from ansible_collections.emprops.comfyui.plugins.module_utils._model_index import FIRST_SEEN, Index
from ansible_collections.emprops.comfyui.plugins.module_utils._model_progress import Progress
from ansible_collections.emprops.comfyui.plugins.module_utils._model_put import Put
from ansible_collections.emprops.comfyui.plugins.module_utils._model_ranges import Engine
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._downloads import Downloads
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import Client
from ansible_collections.emprops.comfyui.plugins.module_utils._models import (
    QUESTIONS_AT_ONCE,
    ModelsError,
    Planner,
    check_space,
    describe_failures,
    parse_account,
    parse_models,
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

    def entry(self, url="files/a.safetensors", **values):
        url = url if url is None or ":" in url else f"{self.hub.url}/{url}"
        return {"name": "a.safetensors", "directory": "checkpoints", "url": url, **values}

    def plan(self, *entries, tokens=None, share=True, **values):
        client = Client(tokens or {}, 10, [self.hub.url, self.hub.storage_url], pause=lambda seconds: None)
        index = Index(self.state)
        models = parse_models(self.store, entries or [self.entry(**values)])
        Planner(index, Downloads(client), share=share).plan(models)
        return models, index, client

    def run(self, *entries, reserve=0, share=True, pause=time.sleep, **values):
        models, index, client = self.plan(*entries, share=share, **values)
        assert check_space(models, reserve)[1] is None
        with ExitStack() as stack:
            engine = stack.enter_context(Engine(client, pause=lambda seconds: None))
            claims = stack.enter_context(Claims(5))
            progress = stack.enter_context(Progress(self.state / "models.progress.json"))
            Put(self.store, index, engine, claims, progress, reserve=reserve, share=share, pause=pause).put(models)
        index.save()
        return [model.result for model in models]

    def run_one(self, **values):
        return self.run(**values)[0]

    def place(self, content, name="a.safetensors"):
        path = self.store / "checkpoints" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    @property
    def path(self):
        return self.store / "checkpoints/a.safetensors"


# what is asked for


def parse_one(store, **values):
    return parse_models(store, [{"name": "a.safetensors", "directory": "checkpoints", "url": "https://h/a", **values}])[0]


def test_a_model_gets_its_place_in_the_store(tmp_path):
    model = parse_one(tmp_path, directory="loras/portraits", name="xl\\a.safetensors", sha256="AB" * 32, urls=["https://h/a", "https://h/b"])
    assert (model.state, model.wanted.sha256, model.wanted.urls) == ("missing", "ab" * 32, ("https://h/a", "https://h/b"))
    assert model.wanted.path == tmp_path / "loras/portraits/xl/a.safetensors"


@pytest.mark.parametrize(
    "values, message",
    [
        pytest.param({"name": ""}, "empty", id="no name"),
        pytest.param({"name": "../evil"}, "straight down", id="a name that climbs"),
        pytest.param({"name": "/etc/passwd"}, "relative", id="an absolute name"),
        pytest.param({"name": "C:\\a"}, "relative", id="a drive"),
        pytest.param({"name": ".hidden"}, "dot", id="a hidden name"),
        pytest.param({"name": "a\0b"}, "control", id="a name with a NUL"),
        pytest.param({"name": "a\u202eb"}, "invisible", id="a name that is read backwards"),
        pytest.param({"name": "{{ a }}"}, "template", id="a template"),
        pytest.param({"name": "é" * 128}, "255 bytes", id="a name too long in bytes"),
        pytest.param({"directory": ""}, "empty", id="no directory"),
        pytest.param({"directory": "/etc"}, "relative", id="an absolute directory"),
        pytest.param({"directory": "loras/../.."}, "straight down", id="a directory that climbs"),
        pytest.param({"directory": "custom_nodes"}, "not a folder for models", id="where code is"),
        pytest.param({"directory": "user/default"}, "not a folder for models", id="where settings are"),
        pytest.param({"sha256": "ab" * 31}, "64 hex", id="a short digest"),
        pytest.param({"size": 0}, "positive", id="no bytes"),
        pytest.param({"name": "a.pth"}, "pickle", id="a pickle"),
        pytest.param({"name": "a.CKPT"}, "pickle", id="a pickle in capitals"),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_keeps_nothing_else_back(tmp_path, values, message):
    entries = [{"name": "a.safetensors", "directory": "loras", "url": "https://h/a", **values}, {"name": "good.gguf", "directory": "unet"}]
    refused, good = parse_models(tmp_path, entries)
    assert (refused.state, good.state) == ("failed", "missing")
    assert message in refused.error
    assert refused.result["name"].isprintable()


@pytest.mark.parametrize("allow", [{"allow_pickle": True}, {"entry": {"allow_pickle": True}}])
def test_a_pickle_comes_where_it_is_allowed(tmp_path, allow):
    entry = {"name": "a.pth", "directory": "upscale_models", "url": "https://h/a", **allow.get("entry", {})}
    assert parse_models(tmp_path, [entry], allow.get("allow_pickle", False))[0].state == "missing"


def test_a_relative_store_is_refused(tmp_path):
    with pytest.raises(ModelsError, match="absolute"):
        parse_models(tmp_path.relative_to("/"), [])


def test_a_link_inside_the_store_is_followed_and_one_that_leads_out_is_refused(tmp_path):
    store = tmp_path / "store"
    (store / "checkpoints").mkdir(parents=True)
    (store / "Stable-diffusion").symlink_to("checkpoints")
    (store / "out").symlink_to(tmp_path)
    assert parse_one(store, directory="Stable-diffusion").wanted.path == store / "Stable-diffusion/a.safetensors"
    assert "out of the store" in parse_one(store, directory="out").error


@pytest.mark.parametrize(
    "second",
    [
        pytest.param({"url": "https://h/b"}, id="another url"),
        pytest.param({"sha256": "cd" * 32}, id="another digest"),
        pytest.param({"directory": "alias", "url": "https://h/b"}, id="the same folder under another name"),
    ],
)
def test_one_target_with_two_contents_fails_for_both_naming_both(tmp_path, second):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "alias").symlink_to("checkpoints")
    first = {"name": "a", "directory": "checkpoints", "url": "https://h/a?sig=1", "sha256": "ab" * 32}
    rows = parse_models(tmp_path, [first, {**first, **second}])
    changed = second.get("url", second.get("sha256"))
    for row in rows:
        assert row.state == "failed" and "listed twice" in row.error
        assert "https://h/a" in row.error and changed in row.error and "sig=1" not in row.error


def test_the_same_model_listed_twice_is_one_model(tmp_path):
    entry = {"name": "a", "directory": "loras", "url": "https://h/a"}
    assert len(parse_models(tmp_path, [entry, dict(entry)])) == 1


# from nothing to present


@pytest.mark.parametrize("declared", [{}, {"sha256": SHA256}, {"size": len(WEIGHTS)}, {"sha256": SHA256, "size": len(WEIGHTS)}])
@pytest.mark.parametrize(
    "url, source",
    [
        pytest.param("files/a.safetensors", "files/a.safetensors", id="plain"),
        pytest.param("org/repo/resolve/main/w.safetensors", f"org/repo/resolve/{COMMIT}/w.safetensors", id="Hugging Face"),
        pytest.param("org/repo/blob/main/w.safetensors", f"org/repo/resolve/{COMMIT}/w.safetensors", id="its page"),
        pytest.param(GATED, f"needs/terms/resolve/{COMMIT}/w.safetensors", id="gated"),
    ],
)
def test_a_model_is_downloaded_once(site, url, source, declared):
    tokens = {site.hub.url.removeprefix("http://"): "secret"}
    before = site.run_one(url=url, tokens=tokens, **declared)
    assert (before["state"], before["how"], before["bytes"], before["sha256"]) == ("downloaded", "download", len(WEIGHTS), SHA256)
    assert before["source"] == f"{site.hub.url}/{source}" and "error" not in before
    assert before["first_seen"] is ("sha256" not in declared and url.startswith("files"))
    assert site.path.read_bytes() == WEIGHTS
    assert [path.name for path in site.path.parent.iterdir()] == ["a.safetensors"]
    assert (site.path.stat().st_mode & 0o777, site.path.parent.stat().st_mode & 0o777) == (0o644, 0o755)

    site.hub.requests.clear()
    again = site.run_one(url=url, tokens=tokens, **declared)
    assert {**again, "seconds": 0} == {**before, "seconds": 0, "state": "present", "how": "index"}
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
    address = f"{site.hub.url}/files/missing.safetensors"
    assert results[2]["error"] == f"there is no such file: 404, 'Not Found' ({address})"


@pytest.mark.parametrize(
    "first",
    [
        pytest.param("files/none.safetensors", id="not there"),
        pytest.param("files/a.safetensors?fault=html", id="a login page"),
        pytest.param("files/a.safetensors?fault=badhash", id="other bytes"),
        pytest.param("https://elsewhere.example/a.safetensors", id="a host that is not allowed"),
    ],
)
def test_the_next_source_is_tried(site, first):
    entry = site.entry(first, urls=[f"{site.hub.url}/org/repo/resolve/main/w.safetensors"], sha256=SHA256)
    result = site.run(entry)[0]
    assert (result["state"], "error" in result) == ("downloaded", False)
    assert result["source"].endswith(f"org/repo/resolve/{COMMIT}/w.safetensors")


def test_no_source_that_will_do_is_told_with_every_address(site):
    entry = site.entry("files/none.safetensors", urls=[f"{site.hub.url}/files/neither.safetensors"])
    error = site.run(entry)[0]["error"]
    assert f"({site.hub.url}/files/none.safetensors)" in error and f"({site.hub.url}/files/neither.safetensors)" in error


def test_a_source_that_publishes_another_file_is_refused_before_the_first_byte(site):
    error = site.run_one(url="org/repo/resolve/main/w.safetensors", sha256="ab" * 32)["error"]
    assert f"publishes the sha256 {SHA256}, wanted {'ab' * 32}" in error
    assert not [request for request in site.hub.requests if request["port"] == site.hub.storage_port]
    assert "wanted 5" in site.run_one(size=5)["error"]


# what is there already


@pytest.mark.parametrize("declared", [{}, {"sha256": SHA256}, {"size": len(WEIGHTS)}])
def test_a_good_file_that_was_there_before_is_met_once(site, declared):
    site.place(WEIGHTS)
    first = site.run_one(**declared)
    source = FIRST_SEEN if "sha256" in declared else f"{site.hub.url}/files/a.safetensors"
    assert (first["state"], first["how"], first["source"], first["sha256"]) == ("present", "met", source, SHA256)
    site.hub.requests.clear()
    assert {**site.run_one(**declared), "seconds": 0} == {**first, "seconds": 0, "how": "index"}
    assert site.hub.requests == []


def test_a_file_that_nobody_knew_is_compared_with_what_its_source_publishes(site):
    site.place(safetensors(1000))
    result = site.run_one(url="org/repo/resolve/main/w.safetensors")
    assert (result["state"], result["sha256"]) == ("downloaded", SHA256)
    site.state.joinpath("models.json").unlink()
    result = site.run_one(url="org/repo/resolve/main/w.safetensors")
    assert (result["state"], result["how"], result["first_seen"]) == ("present", "met", False)


@pytest.mark.parametrize("fault", ["404", "500"])
def test_a_source_that_says_nothing_costs_no_file_that_is_there_and_is_asked_again(site, fault):
    site.place(safetensors(1000))
    assert site.run_one(url=f"org/repo/resolve/main/w.safetensors?fault={fault}")["state"] == "present"
    assert site.run_one(url="org/repo/resolve/main/w.safetensors")["state"] == "downloaded"
    assert site.path.read_bytes() == WEIGHTS


def test_a_host_that_is_down_is_asked_about_one_file_that_is_there_and_not_about_all(site):
    entries = [site.entry(f"files/a.safetensors?fault=500&n={number}", name=f"{number}.safetensors") for number in range(40)]
    for entry in entries:
        site.place(WEIGHTS, entry["name"])
    assert {result["state"] for result in site.run(*entries)} == {"present"}
    assert len(site.hub.requests) <= QUESTIONS_AT_ONCE


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
    site.place(content)
    assert site.run_one(**declared)["state"] == "downloaded"
    assert site.path.read_bytes() == WEIGHTS


def test_a_bad_file_stays_until_a_good_one_is_there(site):
    site.place(b"old")
    assert site.run_one(url="files/a.safetensors?fault=badhash", sha256=SHA256)["state"] == "failed"
    assert [path.name for path in site.path.parent.iterdir()] == ["a.safetensors"]
    assert site.path.read_bytes() == b"old"


@pytest.mark.parametrize("declared", [{}, {"sha256": SHA256}])
def test_a_file_that_changed_since_is_hashed_again(site, declared):
    first = site.run_one(**declared)
    os.utime(site.path, ns=(1, 1))
    touched = site.run_one(**declared)
    assert (touched["state"], touched["source"], touched["first_seen"]) == ("present", first["source"], first["first_seen"])
    site.path.write_bytes(WEIGHTS[:-1] + b"x")
    assert site.run_one(**declared)["state"] == "downloaded"
    assert site.path.read_bytes() == WEIGHTS


def test_a_file_that_a_person_replaced_and_nobody_can_bring_is_met_anew(site):
    site.place(WEIGHTS)
    site.run_one(url=None)
    other = safetensors(500)
    site.path.write_bytes(other)
    result = site.run_one(url=None)
    assert (result["state"], result["sha256"]) == ("present", hashlib.sha256(other).hexdigest())


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


def test_without_an_address_a_model_must_be_there(site):
    assert "no source of it is known" in site.run_one(url=None)["error"]
    site.place(WEIGHTS)
    assert site.run_one(url=None)["state"] == "present"


# the same bytes once


def test_two_names_of_the_same_bytes_are_one_file_and_one_download(site):
    entries = [site.entry(sha256=SHA256, name=name) for name in ("a.safetensors", "b.safetensors", "c.safetensors")]
    results = site.run(*entries)
    assert sorted(result["how"] for result in results) == ["download", "hard link", "hard link"]
    assert len({(site.store / "checkpoints" / entry["name"]).stat().st_ino for entry in entries}) == 1
    assert site.hub.sent("/files/a.safetensors") <= len(WEIGHTS) + 3  # and a byte for each question
    assert [result["state"] for result in site.run(*entries)] == ["present"] * 3


def test_what_is_in_the_store_under_another_name_is_not_asked_for(site):
    site.run_one()
    site.hub.requests.clear()
    result = site.run_one(name="twin.safetensors", directory="loras", sha256=SHA256)
    assert (result["state"], result["how"], result["bytes"]) == ("downloaded", "hard link", len(WEIGHTS))
    assert site.hub.requests == []


def test_the_same_address_under_two_names_is_fetched_once_though_nobody_publishes_a_digest(site):
    results = site.run(site.entry(), site.entry(name="twin.safetensors"))
    assert [result["how"] for result in results] == ["download", "hard link"]
    assert site.hub.sent("/files/a.safetensors") <= len(WEIGHTS) + 2


def test_bytes_that_turn_out_to_be_there_already_take_no_second_place(site):
    site.run_one()
    result = site.run_one(name="twin.safetensors", url="files/a.safetensors")
    assert result["how"] == "download, hard link"
    assert (site.store / "checkpoints/twin.safetensors").stat().st_ino == site.path.stat().st_ino


def test_a_twin_that_failed_leaves_the_others_their_own_sources(site):
    entries = [
        site.entry("files/a.safetensors?fault=badhash", sha256=SHA256, name="one.safetensors"),
        site.entry("files/a.safetensors", sha256=SHA256, name="two.safetensors"),
        site.entry("files/a.safetensors", sha256=SHA256, name="three.safetensors"),
    ]
    results = site.run(*entries)
    assert [result["state"] for result in results] == ["failed", "downloaded", "downloaded"]
    assert [result["how"] for result in results[1:]] == ["download", "hard link"]


def test_copies_are_kept_apart_where_that_is_wanted(site):
    entries = [site.entry(sha256=SHA256, name=name) for name in ("a.safetensors", "b.safetensors")]
    assert [result["how"] for result in site.run(*entries, share=False)] == ["download", "download"]
    assert len({(site.store / "checkpoints" / entry["name"]).stat().st_ino for entry in entries}) == 2


# pickles


def archive(*names):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in names:
            file.writestr(name, b"x" * 100)
    return content.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x80\x04" + bytes(3000), id="bare"),
        pytest.param(archive("archive/data.pkl", "archive/data/0"), id="in an archive"),
    ],
)
@pytest.mark.parametrize("name", ["a.onnx", "a.dat", "a", "a.safetensors.bak"])
def test_a_pickle_under_another_name_is_refused_by_its_content(site, name, content):
    (site.hub.root / "odd").write_bytes(content)
    entry = site.entry("files/odd", name=name)
    assert "pickle" in site.run(entry)[0]["error"]
    assert list((site.store / "checkpoints").iterdir()) == []
    assert site.run({**entry, "allow_pickle": True})[0]["state"] == "downloaded"
    site.state.joinpath("models.json").unlink()
    assert "pickle" in site.run(entry)[0]["error"]


# hostile folders


def test_a_file_in_the_place_of_a_folder_fails_its_models_alone(site):
    site.store.mkdir()
    (site.store / "unet").write_bytes(b"a file")
    bad, good = site.run(site.entry(directory="unet"), site.entry(name="good.safetensors"), share=False)
    assert (bad["state"], good["state"]) == ("failed", "downloaded") and "unet" in bad["error"]


def test_a_folder_that_is_swapped_for_a_link_while_others_come_leads_nobody_out_of_the_store(site, tmp_path, monkeypatch):
    outside = tmp_path / "outside"
    outside.mkdir()
    (site.store / "unet").mkdir(parents=True)
    bring = Put._bring

    def swap(put, model):
        if not (site.store / "unet").is_symlink():
            (site.store / "unet").rename(site.store / "unet.old")
            (site.store / "unet").symlink_to(outside)
        return bring(put, model)

    monkeypatch.setattr(Put, "_bring", swap)
    result = site.run_one(directory="unet")
    assert result["state"] == "failed" and "out of the store" in result["error"]
    assert list(outside.iterdir()) == []


# a store that others work on too


def test_what_another_process_fetches_is_waited_for_and_not_fetched_again(site):
    site.path.parent.mkdir(parents=True)
    waits = []

    def publish(seconds):
        waits.append(seconds)
        if len(waits) == 2:
            site.path.write_bytes(WEIGHTS)
            other.release()

    with Claims(5) as claims:
        other = claims.take(site.path)
        result = site.run_one(sha256=SHA256, pause=publish)
    assert (result["state"], result["how"]) == ("present", "met")
    assert len(waits) == 2 and not site.hub.sent("/files/a.safetensors") > 1


def test_another_process_that_gives_up_is_followed(site):
    site.path.parent.mkdir(parents=True)
    with Claims(5) as claims:
        other = claims.take(site.path)
        result = site.run_one(sha256=SHA256, pause=lambda seconds: other.release())
    assert (result["state"], result["how"]) == ("downloaded", "download")


def test_waiting_for_one_file_keeps_no_other_from_coming(site):
    site.path.parent.mkdir(parents=True)
    came = threading.Event()

    def release_late(seconds):
        came.set() if (site.store / "checkpoints/b.safetensors").exists() else time.sleep(0.01)
        if came.is_set():
            other.release()

    with Claims(5) as claims:
        other = claims.take(site.path)
        results = site.run(site.entry(), site.entry(name="b.safetensors"), pause=release_late, share=False)
    assert [result["state"] for result in results] == ["downloaded", "downloaded"]


# room


def test_what_does_not_fit_is_refused_in_one_message_before_the_first_byte(site):
    models, _index, _client = site.plan(site.entry(name="a.gguf", size=len(WEIGHTS)), site.entry(), share=False)
    (row,), words = check_space(models, 1 << 60)
    assert f"checkpoints/a.gguf ({len(WEIGHTS)})" in words and "checkpoints/a.safetensors" in words
    assert f"{2 * len(WEIGHTS)} bytes are needed" in words and row["needed"] == 2 * len(WEIGHTS)
    assert {model.state for model in models} == {"failed"} and not site.store.exists()


def test_what_fits_is_told_by_filesystem(site):
    models, _index, _client = site.plan(site.entry())
    (row,), words = check_space(models, 7)
    assert words is None
    assert (row["needed"], row["reserve"]) == (len(WEIGHTS), 7) and row["free"] > 0


# words, accounts


def test_the_result_is_counted_and_told():
    wanted = SimpleNamespace(label="loras/x")
    states = [("present", "index"), ("downloaded", "download"), ("downloaded", "hard link"), ("failed", ""), ("failed", "")]
    models = [SimpleNamespace(state=state, how=how, bytes=5, wanted=wanted, error="why", same_as=None) for state, how in states]
    counted = {"present": 1, "missing": 0, "downloaded": 2, "linked": 1, "failed": 2, "bytes": 5, "seconds": 1.235}
    assert summarise(models, 1.23456) == counted
    assert describe_failures(models) == "2 of 5 models failed:\nloras/x: why\nloras/x: why"
    assert describe_failures(models[:2]) is None


def test_accounts_are_looked_up_by_name():
    me, mine = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    assert parse_account(me, mine) == (os.getuid(), os.getgid())
    assert parse_account(None, None) == (-1, -1)
    with pytest.raises(ModelsError, match="no account named nobody-of-that-name"):
        parse_account("nobody-of-that-name", None)
    with pytest.raises(ModelsError, match="no group named no-group-of-that-name"):
        parse_account(None, "no-group-of-that-name")
