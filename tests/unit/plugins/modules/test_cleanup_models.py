# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.emprops.comfyui.plugins.modules import cleanup_models
from unit.fixtures.run_module import run_module

BLOCK = 8192
WANTED = [{"directory": "loras", "name": "wanted.safetensors", "owner": "workflow"}]


@pytest.fixture(name="store")
def fixture_store(tmp_path):
    store = tmp_path / "store"
    (store / "loras").mkdir(parents=True)
    for name in ("old", "wanted"):
        (store / f"loras/{name}.safetensors").write_bytes(bytes(BLOCK))
    return store


@pytest.fixture(name="run")
def fixture_run(store, tmp_path):
    def run(check_mode=False, **options):
        given = {"store": str(store), "state_dir": str(tmp_path / "state"), "minimum_age_hours": 0, "declared": WANTED}
        return run_module(cleanup_models, check_mode, **{**given, **options})

    return run


def names(store):
    return sorted(path.name for path in (store / "loras").iterdir())


def test_by_default_it_is_a_dry_run_and_says_so(run, store, tmp_path):
    result = run()
    assert result["dry_run"] and not result["changed"] and result["message"].startswith("dry run: nothing was changed")
    assert (result["would_free"], result["would_quarantine"]) == (0, BLOCK) and result["kept_because"] == {"declared": 1}
    assert [(row["path"], row["action"]) for row in result["files"]] == [("loras/old.safetensors", "quarantined")]
    assert len(names(store)) == 2 and not (store / ".quarantine").exists() and not (tmp_path / "state").exists()


def test_check_mode_tells_the_change_and_makes_none(run, store):
    result = run(check_mode=True, dry_run=False)
    assert result["dry_run"] and result["changed"] and len(names(store)) == 2
    assert result["diff"]["before"] == "loras/old.safetensors\n" and result["diff"]["after"].endswith("/loras/old.safetensors\n")
    assert not run(check_mode=True)["changed"]


def test_a_real_run_does_it_and_the_next_one_has_nothing_to_do(run, store):
    first = run(dry_run=False)
    assert first["changed"] and not first["dry_run"] and first["quarantined"] == BLOCK and first["free_after"] > 0
    assert names(store) == ["wanted.safetensors"]
    again = run(dry_run=False)
    assert not again["changed"] and again["files"] == [] and again["quarantine"] == {"files": 1, "bytes": BLOCK}
    restored = run(restore=["loras/old.safetensors"], dry_run=False)
    assert restored["changed"] and restored["files"][0]["action"] == "restored" and len(names(store)) == 2


@pytest.mark.parametrize(
    ("options", "left"),
    [
        pytest.param({"quarantine_days": 0}, ["wanted.safetensors"], id="quarantine_days"),
        pytest.param({"max_bytes": 1}, ["wanted.safetensors"], id="max_bytes"),
        pytest.param({"max_bytes": 2 * BLOCK}, ["old.safetensors", "wanted.safetensors"], id="max_bytes that is room enough"),
        pytest.param({"free_bytes": 1}, ["old.safetensors", "wanted.safetensors"], id="free_bytes that are there"),
        pytest.param({"unreferenced": False}, ["old.safetensors", "wanted.safetensors"], id="unreferenced"),
        pytest.param({"keep": ["loras/o*"]}, ["old.safetensors", "wanted.safetensors"], id="keep"),
        pytest.param({"minimum_age_hours": 1}, ["old.safetensors", "wanted.safetensors"], id="minimum_age_hours"),
        pytest.param({"declared": [], "quarantine_days": 0}, [], id="declared"),
    ],
)
def test_every_option_arrives(run, store, options, left):
    run(dry_run=False, **options)
    assert names(store) == left


def test_room_that_cannot_be_made_is_told(run):
    result = run(max_bytes=1)
    assert result["not_freed"] == {"bytes": BLOCK - 1, "held_by": {"declared": BLOCK}} and not result.get("failed")


def test_what_is_not_in_quarantine_cannot_be_restored_and_the_rest_is(run, store):
    run(dry_run=False)
    result = run(restore=["loras/none.safetensors", "loras/old.safetensors"], dry_run=False)
    assert result["failed"] and "loras/none.safetensors is not in quarantine" in result["msg"] and len(names(store)) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"max_bytes": -1, "quarantine_days": -1}, "max_bytes and quarantine_days must be 0 or more", id="numbers"),
        pytest.param({"declared": [{"directory": "..", "name": "a"}]}, "entry 1 (../a)", id="a declaration"),
        pytest.param({"store": "/no such place"}, "the store /no such place cannot be read", id="the store"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(run, options, words):
    result = run(**options)
    assert result["failed"] and words in result["msg"]
