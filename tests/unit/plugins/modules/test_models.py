# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib
import json
import os

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.emprops.comfyui.plugins.modules import models
from support.hub import Hub

CONTENT = b"GGUF\x03\0\0\0" + bytes(5000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(name="hub")
def fixture_hub(tmp_path):
    root = tmp_path / "hub"
    root.mkdir()
    for name in "ab":
        (root / f"{name}.gguf").write_bytes(CONTENT)
    with Hub(root) as hub:
        yield hub


@pytest.fixture(name="run")
def fixture_run(hub, tmp_path, capsys):
    def run(*names, check=False, query="", **params):
        entries = [{"name": name, "directory": "unet", "url": f"{hub.url}/files/{name}{query}", "sha256": SHA256} for name in names]
        places = {"store": str(tmp_path / "store"), "state_dir": str(tmp_path / "state")}
        args = {**places, "models": entries, "reserve": 0, "allowed_hosts": [hub.url, hub.storage_url], **params}
        with patch_module_args({**args, "_ansible_check_mode": check}), pytest.raises(SystemExit) as ended:
            models.main()
        result = json.loads(capsys.readouterr().out)
        assert result.get("failed", False) is bool(ended.value.code)
        return result

    return run


def test_the_store_becomes_the_list_and_then_stays_it(run, tmp_path):
    first = run("a.gguf", "b.gguf")
    assert first["changed"] and [model["state"] for model in first["models"]] == ["downloaded", "downloaded"]
    assert {**first["summary"], "seconds": 0} == {
        "present": 0,
        "missing": 0,
        "downloaded": 2,
        "linked": 1,
        "failed": 0,
        "bytes": len(CONTENT),
        "seconds": 0,
    }
    assert first["plan"]["files"] == 2 and first["plan"]["filesystems"][0]["needed"] == len(CONTENT)
    assert first["models"][0]["path"] == str(tmp_path / "store/unet/a.gguf")
    assert (tmp_path / "store/unet/a.gguf").read_bytes() == CONTENT
    again = run("a.gguf", "b.gguf")
    assert not again["changed"] and [model["state"] for model in again["models"]] == ["present", "present"]
    assert again["diff"]["before"] == again["diff"]["after"] == "unet/a.gguf\nunet/b.gguf\n"


def test_a_model_without_an_address_must_be_there_and_the_others_are_brought(run, hub, tmp_path):
    lone = {"name": "own.gguf", "directory": "unet"}
    other = {"name": "a.gguf", "directory": "unet", "url": f"{hub.url}/files/a.gguf"}
    failed = run(models=[lone, other])
    assert failed["failed"] and "unet/own.gguf" in failed["msg"] and "no source" in failed["msg"]
    assert [model["state"] for model in failed["models"]] == ["failed", "downloaded"]
    (tmp_path / "store/unet/own.gguf").write_bytes(CONTENT)
    done = run(models=[lone, other])
    assert not done["changed"] and [model["state"] for model in done["models"]] == ["present", "present"]
    assert done["models"][0]["sha256"] == SHA256


def test_check_mode_tells_the_plan_and_touches_nothing(run, tmp_path):
    run("a.gguf")
    (tmp_path / "state/models.json").unlink()
    result = run("a.gguf", "b.gguf", check=True, owner="an-account-that-another-role-makes")
    assert result["changed"]
    assert [(model["state"], model["bytes"]) for model in result["models"]] == [("present", len(CONTENT)), ("missing", len(CONTENT))]
    assert result["plan"]["bytes"] == 0  # nothing to download where a link will do
    assert result["diff"] == {"before": "unet/a.gguf\n", "after": "unet/a.gguf\nunet/b.gguf\n"}
    assert result["summary"]["missing"] == 1
    assert [path.name for path in (tmp_path / "store/unet").iterdir()] == ["a.gguf"]
    assert not (tmp_path / "state/models.json").exists()
    assert not run("a.gguf", check=True)["changed"]


def test_check_mode_needs_nothing_to_be_there(run, tmp_path):
    assert run("a.gguf", check=True)["changed"]
    assert not (tmp_path / "store").exists() and not (tmp_path / "state").exists()


def test_the_task_fails_after_the_others_finished_and_names_the_culprit(run, hub):
    result = run("none.gguf", "a.gguf")
    assert result["failed"] and result["changed"]
    assert result["msg"] == f"1 of 2 models failed:\nunet/none.gguf: there is no such file: 404, 'Not Found' ({hub.url}/files/none.gguf)"
    assert [model["state"] for model in result["models"]] == ["failed", "downloaded"]
    assert result["diff"] == {"before": "", "after": "unet/a.gguf\n"}


def test_a_name_that_cannot_be_is_refused_and_the_others_come(run, tmp_path):
    result = run("a.gguf", "../b.gguf")
    assert result["failed"] and result["changed"]
    assert "unet/../b.gguf: a name leads straight down" in result["msg"]
    assert [path.name for path in (tmp_path / "store").rglob("*")] == ["unet", "a.gguf"]


def test_a_host_that_nobody_allowed_is_not_asked(run, hub):
    result = run("a.gguf", allowed_hosts=["default"])
    assert result["failed"] and "unet/a.gguf" in result["msg"] and "not on the list of allowed hosts" in result["msg"]
    assert hub.requests == []


def test_what_does_not_fit_is_refused_without_a_change(run, tmp_path):
    result = run("a.gguf", reserve=2**62)
    assert result["failed"] and not result["changed"]
    assert f"unet/a.gguf ({len(CONTENT)})" in result["msg"]
    assert not (tmp_path / "store").exists()


def test_an_account_that_is_not_there_is_named(run):
    assert "no account named nobody-of-that-name" in run("a.gguf", owner="nobody-of-that-name")["msg"]


@pytest.mark.parametrize("params", [{"connections": 0}, {"timeout_seconds": 0}, {"reserve": -1}])
def test_a_number_that_makes_no_sense_is_refused(run, params):
    assert "must be" in run("a.gguf", **params)["msg"]


def test_no_secret_is_in_the_result(run, hub, tmp_path):
    tokens = {hub.url.removeprefix("http://"): "very-s3cret", "other.example": "also-s3cret"}
    result = run("a.gguf", "none.gguf", query="?sig=signed-s3cret", tokens=tokens)
    assert [request["headers"].get("Authorization") for request in hub.requests] == ["Bearer very-s3cret"] * len(hub.requests)
    assert "s3cret" not in json.dumps(result)
    assert result["models"][0]["source"] == f"{hub.url}/files/a.gguf"
    assert "s3cret" not in "".join(path.read_text() for path in (tmp_path / "state").iterdir())


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_what_is_made_belongs_to_the_owner(run, tmp_path):
    run("a.gguf", owner="nobody", group="daemon")
    assert {((tmp_path / place).owner(), (tmp_path / place).group()) for place in ("store", "store/unet", "store/unet/a.gguf")} == {
        ("nobody", "daemon")
    }
