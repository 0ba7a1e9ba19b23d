# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._ask_models import (
    describe_failures,
    mirror_hosts,
    parse_models,
    secret_urls,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._base import AskedModel, SourceError
from fixtures.scripted_server import scripted_server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.hub_api import Repository, civitai_file, civitai_version, stored_file

HUGGING_FACE = "https://huggingface.co/example/base/resolve/main/a.safetensors"
CIVITAI = "https://civitai.com/api/download/models/20"


def test_rows_come_in_the_order_of_the_models_and_each_fails_for_itself(hub, ask):
    hub.repositories["example/base"] = Repository({"a.safetensors": stored_file("ab" * 32, 5)})
    hub.civitai[20] = civitai_version(20, 10, civitai_file(1, "a.safetensors", "cd" * 32))
    hub.files["a.safetensors"] = (b"abc", {})
    plain = f"{hub.url}/files/a.safetensors"
    strange = ("https://other.example/a", "urn:air:x")
    rows = ask(CIVITAI, f"{CIVITAI}9", HUGGING_FACE, plain, f"{plain}.none", HUGGING_FACE, *strange, connections=4)
    assert [row["source"] for row in rows] == ["civitai", "civitai", "huggingface", "https", "https", "huggingface", None, None]
    assert [row["error"] is None for row in rows] == [True, False, True, True, False, True, False, False]
    told = describe_failures(rows)
    assert told.startswith("4 of 8 models could not be asked about:\ncheckpoints/a.safetensors: CivitAI knows no version 209")
    assert "not on the list of allowed hosts" in told


def test_a_model_without_evidence_is_not_looked_for_by_its_name(hub, ask_one):
    row = ask_one(None)
    assert row["error"] == "there is nothing to ask with: neither a url nor a sha256 is known"
    assert hub.requests == []


def test_a_secret_in_an_address_goes_nowhere(hub, ask_one):
    hub.files["a.safetensors"] = (b"abc", {})
    row = ask_one(f"{hub.url}/files/a.safetensors?token=very-s3cret")
    assert row["url"] == f"{hub.url}/files/a.safetensors"
    assert row["warnings"] == ["the url carried a secret, which was left out; give a token by host"]
    assert "s3cret" not in json.dumps(row) + str(hub.requests)


def test_a_token_goes_to_its_host_alone(hub, ask):
    with scripted_server({"GET /a.bin": b"abc"}) as other:
        hub.repositories["example/base"] = Repository()
        ask(HUGGING_FACE, tokens={hub.host: "one", other.url.removeprefix("http://"): "two", "huggingface.co": "three"})
        assert {request.headers.get("Authorization") for request in hub.requests} == {"Bearer one"}


def test_a_search_that_fails_is_a_warning(ask):
    with scripted_server({"GET /api/models": 403, "GET /api/v1/models": b"<html>"}) as server:
        (row,) = ask({"name": "a.bin"}, url=server.url, search=True)
    assert [warning.partition(" could not be searched")[0] for warning in row["warnings"]] == ["civitai", "huggingface"]


def test_rows_of_other_modules_are_understood():
    row = {"name": "sub/a.bin", "directory": "loras", "url": None, "size": "5", "sha256": "", "seen_in": ["x"], "pickle": True}
    assert parse_models([row]) == [AskedModel("sub/a.bin", "loras", None, None, 5)]


def test_every_row_that_is_none_is_named():
    rows = [{"name": "fine"}, {"name": ""}, {"name": "a", "url": 5}, {"name": "b", "size": "many"}, {"name": "c", "size": -1}]
    with pytest.raises(SourceError) as raised:
        parse_models(rows)
    told = str(raised.value)
    assert all(f"entry {number}" in told for number in (2, 3, 4, 5)) and "entry 1" not in told


def test_addresses_without_secrets_may_be_repeated():
    urls = [HUGGING_FACE, f"{CIVITAI}?fileId=5", f"{CIVITAI}?token=x", "https://u:p@huggingface.co/a", "https://x.example/?sig=5"]
    models = [AskedModel("a", "", url) for url in urls]
    assert secret_urls(models, ["huggingface.co", "civitai.com"]) == set(urls[2:])


def test_a_mirror_may_be_asked():
    assert mirror_hosts("https://huggingface.co/", "https://Mirror.example:8443/civitai") == ("https://mirror.example:8443",)


NAMES = ["id", "sha", "files", "path", "type", "lfs", "oid", "size", "name", "hashes", "SHA256", "sizeKB", "modelVersions", "siblings"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["file", "a.safetensors", "ab" * 32]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(about=JSON, paths=JSON, version=JSON, search=JSON)
def test_no_answer_is_an_exception(ask, script, about, paths, version, search):
    commit = "0" * 40
    answers = {
        "GET /api/models/example/base/revision/main": {**about, "sha": commit} if isinstance(about, dict) else about,
        f"POST /api/models/example/base/paths-info/{commit}": [{**paths, "path": "a.safetensors"}] if isinstance(paths, dict) else paths,
        "GET /api/v1/model-versions/20": {**version, "id": 20} if isinstance(version, dict) else version,
        "GET /api/v1/models/10": version,
        "GET /api/models": search,
        "GET /api/v1/models": search,
    }
    script.answers.update({key: json.dumps(answer).encode() for key, answer in answers.items()})
    rows = ask(HUGGING_FACE, CIVITAI, "https://civitai.com/models/10", {"name": "a.safetensors"}, url=script.url, search=True)
    json.dumps(rows)
    for row in rows:
        assert (row["url"] is None) == (row["error"] is not None)
        assert row["url"] is None or row["url"].startswith(script.url)


@pytest.fixture(name="script")
def fixture_script():
    with scripted_server({}) as server:
        yield server
