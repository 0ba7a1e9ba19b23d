# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is found, is told by test__store_audit.py."""

from __future__ import annotations

import hashlib
import json

import pytest
from ansible_collections.emprops.comfyui.plugins.modules import audit_models
from unit.fixtures.run_module import run_module

CONTENT = b"GGUF\3\0\0\0" + bytes(5000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(name="run")
def fixture_run(tmp_path):
    (tmp_path / "store/unet").mkdir(parents=True)
    (tmp_path / "store/unet/a.gguf").write_bytes(CONTENT)

    def run(check_mode=False, **options):
        return run_module(audit_models, check_mode, store=str(tmp_path / "store"), state_dir=str(tmp_path / "state"), **options)

    return run


def test_the_first_audit_records_what_it_learned_and_the_second_changes_nothing(run, tmp_path):
    first = run()
    assert first["changed"] and (first["files"], first["bytes"], first["findings"]) == (1, len(CONTENT), [])
    [entry] = json.loads((tmp_path / "state/models.json").read_text())["files"].values()
    assert entry["sha256"] == SHA256
    assert not run()["changed"]


@pytest.mark.parametrize("options", [{"check_mode": True}, {"update_index": False}])
def test_the_index_stays_as_it_is_where_nothing_may_be_written(run, tmp_path, options):
    result = run(**options)
    assert result["changed"] is options.get("check_mode", False) and result["files"] == 1
    assert not (tmp_path / "state").exists()


def test_damage_fails_the_task_after_everything_was_read_and_the_index_was_saved(run, tmp_path):
    (tmp_path / "store/unet/b.gguf").write_bytes(b"<html>")
    result = run(declared=[{"directory": "unet", "name": "c.gguf", "owner": "workflow"}])
    assert result["failed"] and result["files"] == 2
    assert result["msg"] == ("found in the store (1):\nunet/b.gguf: the content is a web page (often a login or error page), not a model")
    assert [finding["kind"] for finding in result["findings"]] == ["content", "missing", "undeclared", "undeclared"]
    assert (tmp_path / "state/models.json").exists()


def test_what_fails_the_task_is_chosen(run, tmp_path):
    (tmp_path / "store/unet/b.gguf").write_bytes(b"<html>")
    assert "failed" not in run(fail_on=[])
    result = run(fail_on=["missing"], declared=[{"directory": "unet", "name": "c.gguf"}])
    assert (
        result["msg"]
        == "found in the store (1):\ndiffusion_models/c.gguf: the list of owner static asks for it, and it is not in the store"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"store": "/nowhere/at/all"}, "the store /nowhere/at/all cannot be read", id="store"),
        pytest.param({"fail_on": ["typo"]}, "no kind of finding called typo", id="kind"),
        pytest.param({"jobs": 0}, "jobs must be 1 or more", id="jobs"),
        pytest.param({"declared": [{"directory": "..", "name": "a"}]}, "entry 1 (../a)", id="declared"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(run, tmp_path, options, words):
    result = run_module(audit_models, **{"store": str(tmp_path / "store"), "state_dir": str(tmp_path / "state"), **options})
    assert result["failed"] and words in result["msg"]


def test_an_index_that_cannot_be_written_fails_the_task_with_what_was_found(run, tmp_path):
    (tmp_path / "state").write_text("a file in the way")
    result = run()
    assert result["failed"] and f"cannot write {tmp_path}/state/models.json" in result["msg"] and result["files"] == 1
