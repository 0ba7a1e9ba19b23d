# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib
import json

import pytest
from ansible_collections.emprops.comfyui.plugins.modules import organize_models
from unit.fixtures.run_module import run_module

STATIC = {"symlinks": [{"source": "old/b.ckpt", "target": "checkpoints/b.ckpt", "description": ""}], "no_index": []}


@pytest.fixture(name="store")
def fixture_store(tmp_path):
    store = tmp_path / "store"
    for name in ("clip/a.safetensors", "old/b.ckpt"):
        (store / name).parent.mkdir(parents=True)
        (store / name).write_bytes(b"weights")
    return store


@pytest.fixture(name="run")
def fixture_run(store, tmp_path):
    def run(check_mode=False, **options):
        given = {"store": str(store), "state_dir": str(tmp_path / "state"), "minimum_age_hours": 0, "static_models": STATIC}
        return run_module(organize_models, check_mode, **{**given, **options})

    return run


def test_by_default_it_is_a_dry_run_and_says_so(run, store, tmp_path):
    result = run()
    assert result["dry_run"] and not result["changed"] and result["message"].startswith("dry run: nothing was changed")
    assert [move["to"] for move in result["moves"]] == ["text_encoders/a.safetensors"]
    assert [link["path"] for link in result["links"]] == ["checkpoints/b.ckpt"]
    assert sorted(path.name for path in store.iterdir()) == ["clip", "old"] and not (tmp_path / "state").exists()


def test_check_mode_tells_the_change_and_makes_none(run, store):
    result = run(check_mode=True, dry_run=False)
    assert result["dry_run"] and result["changed"] and (store / "clip/a.safetensors").exists()
    assert result["diff"] == {
        "before": "clip/a.safetensors\n",
        "after": "text_encoders/a.safetensors\ncheckpoints/b.ckpt -> old/b.ckpt\n",
    }
    assert not run(check_mode=True)["changed"]


def test_a_real_run_does_it_and_the_next_one_has_nothing_to_do(run, store):
    first = run(dry_run=False)
    assert first["changed"] and not first["dry_run"] and first["message"].startswith("files that were moved: 1")
    assert (store / "text_encoders/a.safetensors").exists() and str((store / "checkpoints/b.ckpt").readlink()) == "../old/b.ckpt"
    again = run(dry_run=False)
    assert not again["changed"] and again["moves"] == again["links"] == []


def test_every_option_arrives(run, store):
    (store / "vae").mkdir()
    (store / "vae/c.safetensors").write_bytes(b"right")
    declared = [{"directory": "loras", "name": "c.safetensors", "sha256": hashlib.sha256(b"right").hexdigest(), "owner": "workflow"}]
    result = run(declared=declared, model_paths={"clip": ["clip"]}, static_models={})
    assert [(move["from"], move["used_by"]) for move in result["moves"]] == [("vae/c.safetensors", ["workflow"])] and not result["links"]
    assert [row["path"] for row in run(minimum_age_hours=1)["waiting"]] == ["clip/a.safetensors"]


def test_what_cannot_be_done_is_named_after_the_rest_was_done(run, store):
    (store / "text_encoders").write_text("no folder")
    result = run(dry_run=False)
    assert result["failed"] and result["changed"] and "clip/a.safetensors: " in result["msg"]
    assert (store / "checkpoints/b.ckpt").exists() and (store / "clip/a.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"declared": [{"directory": "..", "name": "a"}]}, "entry 1 (../a)", id="a declaration"),
        pytest.param({"store": "/no such place"}, "the store /no such place cannot be read", id="the store"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(run, options, words):
    result = run(**options)
    assert result["failed"] and words in result["msg"]


def test_an_index_that_cannot_be_written_fails_after_the_moves(run, store, tmp_path):
    (tmp_path / "state").write_text("a file")
    result = run(dry_run=False, declared=[{"directory": "vae", "name": "b.ckpt", "sha256": hashlib.sha256(b"weights").hexdigest()}])
    assert result["failed"] and "models.json" in result["msg"] and (store / "text_encoders/a.safetensors").exists()


def test_static_models_can_come_as_the_file_that_the_machine_has(store, tmp_path):
    file = tmp_path / "static-models.json"

    def run():
        return run_module(organize_models, store=str(store), state_dir=str(tmp_path / "state"), static_models_file=str(file))

    missing = run()
    assert missing["links"] == [] and missing["problems"] == []
    file.write_text(json.dumps(STATIC))
    assert [link["path"] for link in run()["links"]] == ["checkpoints/b.ckpt"]
    for content, words in ((b"{", "is not JSON"), (b"\xff", "is not UTF-8"), (b'{"symlinks": [{"source": "../a"}]}', "symlinks entry 1")):
        file.write_bytes(content)
        failed = run()
        assert failed["failed"] and words in failed["msg"] and str(file) in failed["msg"]
