# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
import re

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.emprops.comfyui.plugins.module_utils import _model_wire
from ansible_collections.emprops.comfyui.plugins.modules import emprops_packs_info
from fixtures.run_module import run_module
from support.emprops_api import EmpropsApi, pack


@pytest.fixture(name="api")
def fixture_api(monkeypatch):
    monkeypatch.setattr(_model_wire, "FIRST_PAUSE", 0.0)
    data = {
        "custom_nodes": [pack("manager", is_default=True, install_order=1), pack("extra", env={"KEY": "${KEY}"})],
        "workflows": {"w": ["extra"]},
        "collections": {"c": "w"},
    }
    with EmpropsApi(data) as api:
        yield api


@pytest.fixture(name="cache")
def fixture_cache(tmp_path):
    return tmp_path / "packs.json"


@pytest.fixture(name="run")
def fixture_run(api, cache, monkeypatch):
    def run(**options):
        # In a process that has loaded parts of the controller, warnings go to its display instead of the answer.
        told = []
        monkeypatch.setattr(AnsibleModule, "warn", lambda _self, text: told.append(text))
        return {**run_module(emprops_packs_info, **{"base_url": api.url, "cache_file": str(cache), **options}), "told": told}

    return run


def names(result):
    return [each["name"] for each in result["packs"]]


def said(result):
    return result["told"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_it_reads_and_keeps_the_answer_outside_check_mode(run, cache, check_mode):
    result = run(workflows=["w", "w"], collections=["c"], check_mode=check_mode)
    assert (result["changed"], result["stale"], names(result), said(result)) == (False, False, ["manager", "extra"], [])
    assert result["packs"][1]["env"] == {"KEY": "${KEY}"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", result["asked_at"])
    assert cache.exists() is not check_mode
    assert check_mode or cache.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("fault", ["500", "503", "429", "html", "hangup", "stopped"])
def test_the_last_answer_stands_while_the_api_does_not_answer(run, api, cache, fault):
    good = run(workflows=["w"])
    kept = cache.read_text()
    api.data["faults"] = {} if fault == "stopped" else {"*": fault}
    if fault == "stopped":
        api.stop()
    result = run(workflows=["w"], check_mode=True)
    assert (result["changed"], result["stale"]) == (False, True)
    assert (result["packs"], result["asked_at"]) == (good["packs"], good["asked_at"])
    [warning] = said(result)
    assert warning.startswith("the EmProps API did not answer (GET /custom-nodes/defaults: ")
    assert warning.endswith(f"); the packs are those of {good['asked_at']}, so the machine stays as it is")
    assert cache.read_text() == kept


@pytest.mark.parametrize(
    "options", [{"workflows": []}, {"collections": ["c"]}, {"cache_file": "/nonexistent/packs.json"}, {"cache_file": None}]
)
def test_without_an_answer_to_this_question_the_cause_is_told(run, api, options):
    run(workflows=["w"])
    api.data["faults"] = {"*": "500"}
    result = run(**{"workflows": ["w"], **options})
    assert result["failed"] and "packs" not in result
    assert "did not answer (GET /custom-nodes/defaults: 127.0.0.1 answered 500" in result["msg"]
    assert result["msg"].endswith("keeps an earlier answer to this question")


@pytest.mark.parametrize(
    "change, options, words",
    [
        (lambda api: api.data["workflows"].clear(), {}, "workflow 'w' (POST /workflows/dependencies): the API does not know it"),
        (lambda api: api.data["collections"].clear(), {}, "the API knows no such collection, or no workflow of it"),
        (lambda api: api.data.update(faults={"/collections/c": "403"}), {}, "collection 'c' (GET /collections/c): access is refused"),
        (lambda api: setattr(api, "token", "another"), {"token": "s3cret"}, "the token was not accepted (401, 'Invalid API key')"),
        (lambda api: api.data.update(answers={"/custom-nodes/defaults": {"data": [3]}}), {}, "entry 1 (no name): it is no object"),
        (lambda api: api.data.update(faults={"*": "error"}), {}, "the API refuses: the database is"),
    ],
)
def test_a_refusal_is_never_answered_from_the_cache(run, api, cache, change, options, words):
    assert run(workflows=["w"], collections=["c"])["stale"] is False
    kept = cache.read_text()
    change(api)
    result = run(workflows=["w"], collections=["c"], **options)
    assert result["failed"] and words in result["msg"] and "packs" not in result
    assert cache.read_text() == kept


def test_a_token_is_a_header_and_in_no_result_no_warning_and_no_file(run, api, cache):
    api.token = "very-s3cret"
    api.data["custom_nodes"][0] |= {"name": "very-s3cret", "custom_script": "echo"}
    result = run(workflows=["w"], token="very-s3cret")
    assert {request.headers["Authorization"] for request in api.requests} == {"Bearer very-s3cret"}
    assert said(result) == ["the pack '***' has a custom_script, which is not run"]
    assert "s3cret" not in json.dumps(result)
    api.data["custom_nodes"][0]["name"] = "manager"
    run(token="very-s3cret")
    assert "s3cret" not in cache.read_text()


def test_an_answer_that_cannot_be_kept_is_an_answer(run, cache):
    cache.mkdir()
    result = run()
    assert names(result) == ["manager"]
    assert said(result) == [f"the answer of the EmProps API cannot be kept in {cache}: Is a directory"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"timeout_seconds": 0}, "must be 1 or more"),
        ({"base_url": "https://user:s3cret@api.example"}, "cannot be asked"),
        ({"base_url": "api.example"}, "cannot be asked"),
        ({"base_url": "http://under_score.example"}, "under_score.example"),
        ({"base_url": "http://api.example", "token": "a-s3cret"}, "is not https, so the token would cross the network"),
        ({"token": "a s3cret"}, "another character that no token has"),
    ],
)
def test_what_cannot_be_is_refused(run, api, options, message):
    result = run(**options)
    assert result["failed"] and message in result["msg"]
    assert "s3cret" not in result["msg"]
    assert api.requests == []
