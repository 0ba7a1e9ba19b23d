# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.emprops.comfyui.plugins.modules import pack_source_info
from fixtures.run_module import run_module
from support.hub_api import HubApi, registry_node


@pytest.fixture(name="hub")
def fixture_hub():
    with HubApi() as hub:
        hub.nodes["good-pack"] = registry_node("good-pack")
        hub.classes["GoodNode"] = "good-pack"
        yield hub


@pytest.fixture(name="run")
def fixture_run(hub):
    return lambda **options: run_module(pack_source_info, **{"registry_url": hub.url, **options})


@pytest.mark.parametrize("check_mode", [False, True])
def test_it_reads_and_changes_nothing(run, hub, check_mode):
    result = run(classes=["GoodNode"], packs=["good-pack"], check_mode=check_mode)
    assert result["changed"] is False
    assert [(pack["id"], pack["repository"]) for pack in result["packs"]] == [("good-pack", "https://github.com/example/good-pack")]
    assert result["classes"] == [{"class": "GoodNode", "pack": "good-pack", "error": None}]
    assert hub.installations == 0


def test_nothing_asked_is_nothing_answered(run, hub):
    assert (run()["packs"], hub.requests) == ([], [])


def test_the_task_fails_only_when_asked_to_and_names_the_culprit(run):
    assert "failed" not in run(classes=["NoNode", "GoodNode"])
    failed = run(classes=["NoNode", "GoodNode"], fail_on_error=True)
    assert failed["failed"] and "NoNode: the registry knows no pack with this class" in failed["msg"]
    assert [pack["id"] for pack in failed["packs"]] == ["good-pack"]


def test_a_token_is_a_header_and_not_in_the_result(run, hub):
    result = run(packs=["good-pack"], tokens={hub.host: "very-s3cret"})
    assert hub.requests[0].headers["Authorization"] == "Bearer very-s3cret"
    assert "s3cret" not in json.dumps(result)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"connections": 0}, "must be 1 or more"),
        ({"timeout_seconds": 0}, "must be 1 or more"),
        ({"registry_url": "https://user:s3cret@hub.example"}, "cannot be asked"),
        ({"registry_url": "hub.example"}, "cannot be asked"),
    ],
)
def test_what_cannot_be_is_refused(run, hub, options, message):
    result = run(**options)
    assert result["failed"] and message in result["msg"]
    assert hub.requests == []
