# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is counted, is told by test__store_report.py."""

from __future__ import annotations

import json

import pytest
from ansible_collections.emprops.comfyui.plugins.filter import storage_table
from ansible_collections.emprops.comfyui.plugins.modules import storage_report
from unit.fixtures.run_module import run_module

TABLE = storage_table.FilterModule().filters()["storage_table"]


@pytest.fixture(name="store")
def fixture_store(tmp_path):
    store = tmp_path / "store"
    (store / "vae").mkdir(parents=True)
    (store / "vae/a.pt").write_bytes(bytes(100_000))
    return store


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_store_is_told_and_not_changed(store, tmp_path, check_mode):
    declared = [{"directory": "vae", "name": "a.pt", "owner": "workflow"}]
    result = run_module(storage_report, check_mode, store=str(store), state_dir=str(tmp_path / "state"), declared=declared)
    assert not result["changed"] and result["files"] == 1
    assert [row["owner"] for row in result["by_owner"] if row["files"]] == ["workflow"]
    assert not (tmp_path / "state").exists()
    assert "A clean-up would free: 0 files, 0 bytes" in TABLE(result)


def test_a_hostile_name_breaks_neither_the_answer_nor_the_table(store, tmp_path):
    (store / "vae" / "\x1b[2J\udcff\u202e.pt").write_bytes(b"x")
    result = run_module(storage_report, store=str(store), state_dir=str(tmp_path))
    assert "vae/\ufffd[2J\ufffd\ufffd.pt" in {row["path"] for row in result["largest"]}
    json.dumps(TABLE(result), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("options", "words"),
    [({"store": "/nowhere/at/all"}, "the store /nowhere/at/all cannot be read"), ({"declared": [{"name": "a"}]}, "entry 1 (None/a)")],
)
def test_what_makes_no_sense_is_refused_by_name(store, options, words):
    result = run_module(storage_report, **{"store": str(store), **options})
    assert result["failed"] and words in result["msg"]
