# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The modules' real results in words."""

from __future__ import annotations

import os

import pytest
from ansible_collections.emprops.comfyui.plugins.filter.store_table import FilterModule
from ansible_collections.emprops.comfyui.plugins.modules import audit_models, cleanup_models, organize_models
from unit.fixtures.run_module import run_module

TABLE = FilterModule().filters()["store_table"]
DRY = "This was a dry run. To do it: -e models_dry_run=false, and no --check."


@pytest.fixture(name="run")
def fixture_run(tmp_path):
    for name in ("clip/a.gguf", "loras/b.gguf"):
        (tmp_path / "store" / name).parent.mkdir(parents=True)
        (tmp_path / "store" / name).write_bytes(b"GGUF\3\0\0\0" + os.urandom(2000))

    def run(module, **options):
        return run_module(module, store=str(tmp_path / "store"), state_dir=str(tmp_path / "state"), **options)

    return run


def test_a_plan_to_organize_names_each_file_and_where_it_goes(run):
    lines = TABLE(run(organize_models, minimum_age_hours=0))
    assert lines[0].startswith("dry run: nothing was changed; files that would be moved: 1")
    assert lines[1].startswith("  move: clip/a.gguf to text_encoders/a.gguf (2.0 kB; clip is what other programs")
    assert DRY in lines
    assert DRY not in TABLE(run(organize_models, minimum_age_hours=0, dry_run=False))


def test_what_waits_and_what_is_a_problem_is_named(run):
    static = {"symlinks": [{"source": "loras/gone.gguf", "target": "loras/c.gguf", "description": ""}]}
    lines = TABLE(run(organize_models, static_models=static))
    assert "  problem: loras/c.gguf: static-models.json links it to loras/gone.gguf, which is missing" in lines
    assert "  clip/a.gguf: it stays for now: it came here, or was changed, less than 24 hours ago" in lines


def test_a_clean_up_says_what_goes_what_stays_and_how_much_that_is(run):
    declared = [{"directory": "text_encoders", "name": "a.gguf"}]
    planned = TABLE(run(cleanup_models, declared=declared, minimum_age_hours=0))
    assert any(line.startswith("  quarantined: loras/b.gguf (2.0 kB, last used 2") for line in planned)
    assert "kept: 1 declared" in planned
    done = TABLE(run(cleanup_models, declared=declared, minimum_age_hours=0, dry_run=False))
    assert any(line.startswith("in quarantine: 1 file, ") for line in done)
    assert any(line.startswith("free on the disk: ") for line in done)


def test_an_audit_says_what_it_read_and_what_it_found(run, tmp_path):
    assert TABLE(run(audit_models))[0].endswith("; nothing is wrong")
    (tmp_path / "store/loras/page.safetensors").write_text("<!DOCTYPE html><html></html>")
    lines = TABLE(run(audit_models, fail_on=[]))
    assert lines[0].startswith("3 files read, 4.0 kB in ") and lines[0].endswith("; content: 1")
    assert lines[1].startswith("  error: loras/page.safetensors: ") and lines[1].endswith(" (content)")


def test_a_long_list_is_cut_and_counted():
    rows = [{"path": f"loras/{number}", "message": "no"} for number in range(5)]
    assert TABLE({"message": "done", "problems": rows}, 3) == [
        "done",
        *(f"  problem: loras/{number}: no" for number in range(3)),
        "  and 2 more",
    ]


def test_what_failed_is_marked():
    link = {"path": "loras/a", "to": "loras/b", "reason": "asked for", "error": "Read-only file system"}
    assert TABLE({"message": "done", "links": [link]})[1] == "  link: loras/a to loras/b (asked for); FAILED: Read-only file system"
