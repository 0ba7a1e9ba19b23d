# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.emprops.comfyui.plugins.modules import model_source_info
from fixtures.run_module import run_module
from support.hub_api import COMMIT, HubApi, Repository, civitai_file, civitai_version, stored_file

SHA256 = "ab" * 32
HUGGING_FACE = {"name": "a.safetensors", "directory": "loras", "url": "https://huggingface.co/example/base/resolve/main/a.safetensors"}
CIVITAI = {"name": "a.safetensors", "directory": "loras", "url": "https://civitai.com/api/download/models/20?fileId=1"}


@pytest.fixture(name="hub")
def fixture_hub():
    with HubApi() as hub:
        hub.repositories["example/base"] = Repository({"a.safetensors": stored_file(SHA256, 5000)})
        hub.civitai[20] = civitai_version(20, 10, civitai_file(1, "a.safetensors", SHA256))
        yield hub


@pytest.fixture(name="run")
def fixture_run(hub):
    def run(*models, **options):
        return run_module(model_source_info, **{"models": list(models), "hugging_face_url": hub.url, "civitai_url": hub.url, **options})

    return run


@pytest.mark.parametrize("check_mode", [False, True])
def test_it_reads_and_changes_nothing(hub, run, check_mode):
    result = run(HUGGING_FACE, CIVITAI, check_mode=check_mode)
    assert (result["changed"], result["failed_models"]) == (False, 0)
    assert [(row["url"], row["sha256"]) for row in result["models"]] == [
        (f"{hub.url}/example/base/resolve/{COMMIT}/a.safetensors", SHA256),
        (f"{hub.url}/api/download/models/20?fileId=1", SHA256),
    ]


def test_it_takes_its_own_answer(run):
    rows = run(HUGGING_FACE, CIVITAI)["models"]
    assert run(*rows)["models"] == rows


def test_the_task_fails_only_when_asked_to_and_names_the_culprit(run):
    bad = {"name": "b.safetensors", "directory": "vae"}
    result = run(bad, HUGGING_FACE)
    assert "failed" not in result and result["failed_models"] == 1
    failed = run(bad, HUGGING_FACE, fail_on_error=True)
    assert failed["failed"] and failed["msg"].startswith("1 of 2 models could not be asked about:\nvae/b.safetensors: there is nothing")
    assert failed["models"] == result["models"]


def test_no_secret_is_in_the_result(hub, run):
    secret = {**HUGGING_FACE, "url": f"{HUGGING_FACE['url']}?token=very-s3cret"}
    refused = {**HUGGING_FACE, "url": "https://me:very-s3cret@huggingface.co/example/base/resolve/main/a.safetensors"}
    result = run(secret, refused, CIVITAI, tokens={hub.host: "other-s3cret"})
    assert {request.headers.get("Authorization") for request in hub.requests} == {"Bearer other-s3cret"}
    assert "s3cret" not in json.dumps(result)
    assert [row["error"] is None for row in result["models"]] == [True, False, True]
    assert result["models"][2]["url"].endswith("?fileId=1")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"connections": 0}, "must be 1 or more"),
        ({"timeout_seconds": 0}, "must be 1 or more"),
        ({"tokens": {"hub.example": "two words"}}, "the token for hub.example contains a space"),
        ({"allowed_hosts": ["not a host"]}, "allowed_hosts: 'not a host'"),
        ({"civitai_url": "ftp://hub.example"}, "ftp://hub.example cannot be asked"),
        ({"models": [{"url": "https://huggingface.co/"}]}, "entry 1 (): name cannot be used"),
    ],
)
def test_what_cannot_be_is_refused(hub, run, options, message):
    result = run(**options)
    assert result["failed"] and message in result["msg"]
    assert hub.requests == []
