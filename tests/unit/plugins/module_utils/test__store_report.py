# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _store_cleanup, _store_report
from ansible_collections.emprops.comfyui.plugins.module_utils._model_index import Index
from ansible_collections.emprops.comfyui.plugins.module_utils._store import Declared, OpenFiles, StoreError
from ansible_collections.emprops.comfyui.plugins.module_utils._store_cleanup import Limits
from ansible_collections.emprops.comfyui.plugins.module_utils._store_report import report, storage_table

DAY = 86400
BLOCK = 65536  # of every usual filesystem a whole number of blocks


class Site:
    def __init__(self, folder):
        self.store = folder / "store"
        self.state = folder / "state"
        self.store.mkdir()

    def put(self, name, blocks=1, days=0.0, known=False):
        path = self.store / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(8) * (blocks * BLOCK // 8))
        then = time.time() - days * DAY
        os.utime(path, (then, then))
        if known:
            self.record(path)
        return path

    def record(self, path):
        index = Index(self.state)
        index.record(path, path.stat(), hashlib.sha256(path.read_bytes()).hexdigest(), "audit", True)
        index.save()

    def report(self, *declared, **options):
        return report(self.store, declared, Index(self.state, read_only=True), **options)


@pytest.fixture(name="site")
def fixture_site(tmp_path):
    return Site(tmp_path)


def counts(rows, key):
    return {row[key]: (row["files"], row["bytes"] // BLOCK) for row in rows if row["files"]}


def test_the_parts_add_up_whatever_names_the_files_have(site):
    path = site.put("clip/a.gguf", 3)
    site.put("text_encoders/b.gguf", 2)
    site.put("loras/c.gguf", 1)
    site.put("loose.gguf", 1)
    (site.store / "text_encoders/hard.gguf").hardlink_to(path)
    (site.store / "audio_encoders").mkdir()
    (site.store / "audio_encoders/soft.gguf").symlink_to("../clip/a.gguf")
    (site.store / "loras/gone.gguf").symlink_to("nowhere")
    found = site.report()
    assert (found["files"], found["bytes"]) == (4, 7 * BLOCK)
    assert counts(found["by_type"], "type") == {"text_encoders": (2, 5), "loras": (1, 1), ".": (1, 1)}
    assert [row["type"] for row in found["by_type"]][0] == "text_encoders"
    for part in ("by_owner", "by_last_use"):
        assert sum(row["bytes"] for row in found[part]) == found["bytes"]


def test_a_file_counts_for_its_first_owner_and_links_pass_on_theirs(site):
    site.put("Stable-diffusion/a.gguf", 1)
    site.put("unet/b.gguf", 2)
    site.put("vae/c.gguf", 4)
    site.put("vae/d.gguf", 8)
    (site.store / "checkpoints").mkdir()
    (site.store / "checkpoints/a.gguf").symlink_to("../Stable-diffusion/a.gguf")
    found = site.report(
        Declared("checkpoints", "a.gguf", "static"),
        Declared("diffusion_models", "b.gguf", "catalogue"),
        Declared("unet", "b.gguf", "workflow"),
        Declared("vae", "c.gguf", "keep"),
    )
    assert [row["owner"] for row in found["by_owner"]] == ["workflow", "catalogue", "static", "keep", "nobody"]
    assert counts(found["by_owner"], "owner") == {"workflow": (1, 2), "static": (1, 1), "keep": (1, 4), "nobody": (1, 8)}
    assert {row["path"]: row["owners"] for row in found["largest"]}["unet/b.gguf"] == ["workflow", "catalogue"]


def test_files_are_told_apart_by_when_they_were_last_used(site):
    for blocks, days in enumerate((0.5, 2, 8, 31, 92, 4000), start=1):
        site.put(f"vae/{blocks}.gguf", blocks, days)
    assert counts(site.report()["by_last_use"], "last_use") == {
        "day": (1, 1),
        "week": (1, 2),
        "month": (1, 3),
        "quarter": (1, 4),
        "older": (2, 11),
    }


def test_what_was_recorded_lately_was_used_lately(site):
    site.put("vae/a.gguf", 1, 400, known=True)
    assert counts(site.report()["by_last_use"], "last_use") == {"day": (1, 1)}


def test_a_time_that_no_calendar_has_breaks_neither_the_report_nor_the_clean_up():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:  # where files may have such times
        site = Site(Path(folder))
        for name in ("vae/a.gguf", "loras/.b.gguf.0123abcd.89abcdef.part"):
            os.utime(site.put(name), (2**41, 2**41))
        found = site.report(limits=Limits(free_bytes=2**62, minimum_age=0))
    assert found["largest"][0]["last_use"][:4] == str(datetime.now(timezone.utc).year)
    assert found["leftovers"]["oldest_hours"] < 1 and found["cleanup"]["files"] == 1


def test_the_largest_are_listed_with_their_last_use(site):
    for blocks in range(1, 24):
        site.put(f"vae/{blocks}.gguf", blocks)
    os.utime(site.store / "vae/23.gguf", (0, 0))
    largest = site.report()["largest"]
    assert [row["path"] for row in largest] == [f"vae/{blocks}.gguf" for blocks in range(23, 3, -1)]
    assert largest[0] == {"path": "vae/23.gguf", "bytes": 23 * BLOCK, "owners": ["nobody"], "last_use": "1970-01-01T00:00:00+00:00"}


def test_the_same_bytes_are_seen_where_digests_are_known_and_links_are_no_duplicates(site):
    path = site.put("vae/a.gguf", 2, known=True)
    (site.store / "vae/hard.gguf").hardlink_to(path)
    (site.store / "vae/soft.gguf").symlink_to("a.gguf")
    assert site.report()["duplicates"] == []
    for name in ("b", "c", "unknown"):
        (site.store / f"vae/{name}.gguf").write_bytes(path.read_bytes())
    site.record(site.store / "vae/b.gguf")
    site.record(site.store / "vae/c.gguf")
    found = site.report()
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found["duplicates"] == [{"sha256": sha256, "bytes": 4 * BLOCK, "paths": ["vae/a.gguf", "vae/b.gguf", "vae/c.gguf"]}]
    assert any("no digest is known of 1 file," in note for note in found["notes"])


def test_a_digest_of_what_a_file_was_before_is_not_its_digest(site):
    site.put("vae/a.gguf", known=True)
    path = site.put("vae/b.gguf", known=True)
    path.write_bytes((site.store / "vae/a.gguf").read_bytes() + b"more")
    assert site.report()["duplicates"] == []


def test_leftovers_and_the_quarantine_are_counted_apart(site):
    site.put("vae/a.gguf")
    site.put("vae/.b.gguf.0a.1.part", 2, days=1)
    site.put("vae/.b.gguf.claim", 1)
    site.put(".quarantine/2026-11-20/vae/c.gguf", 4)
    site.put(".quarantine/manifest.json", 1)
    found = site.report()
    assert (found["files"], found["leftovers"], found["quarantine"]) == (
        1,
        {"files": 2, "bytes": 3 * BLOCK, "oldest_hours": 24.0},
        {"files": 1, "bytes": 4 * BLOCK},
    )


def test_every_kind_of_leftover_is_counted(site):
    for name in (".part", ".part.whole", ".part.json"):
        site.put(f"vae/.b.gguf.0123abcd.89abcdef{name}")
    site.put("vae/..b.gguf.0123abcd.89abcdef.part.json.partial")
    site.put("vae/.b.gguf.0123456789abcdef.link")
    site.put("vae/.b.gguf.0123abcd.xet/file/b", 4)
    found = site.report()["leftovers"]
    assert found["files"] == 6 and 9 * BLOCK <= found["bytes"] < 10 * BLOCK


def test_a_clean_up_would_free_what_nobody_wants_but_nothing_young_or_open(site):
    site.put("vae/wanted.gguf", 1, 10)
    site.put("vae/old.gguf", 2, 10)
    opened = site.put("vae/open.gguf", 4, 10)
    site.put("vae/.x.gguf.0a.1.part", 8, 10)
    site.put("vae/.y.gguf.0a.1.part", 16, 1)
    declared = Declared("vae", "wanted.gguf", "keep")
    # The time that nobody can set says that all of it came today.
    assert site.report(declared)["cleanup"] == {"files": 1, "bytes": 8 * BLOCK}
    with opened.open("rb"):
        assert site.report(declared, limits=Limits(minimum_age=0))["cleanup"] == {"files": 2, "bytes": 10 * BLOCK}


def test_notes_say_what_the_numbers_do_not(site, monkeypatch, tmp_path):
    site.put("vae/a.gguf")
    os.mkfifo(site.store / "vae/pipe")
    (site.store / "vae/out.gguf").symlink_to(tmp_path)
    (tmp_path / "x").write_bytes(b"x")
    (site.store / "vae/x.gguf").symlink_to(tmp_path / "x")
    monkeypatch.setattr(_store_cleanup, "keeps_times_of_use", lambda place: False)
    monkeypatch.setattr(_store_report, "open_inodes", lambda: OpenFiles(set(), complete=False))
    assert site.report()["notes"] == [
        "vae/pipe could not be looked at: it is neither a file nor a folder nor a link",
        "this filesystem does not keep times of use: last use is when a file was written",
        "not every process could be asked what it has open; root sees more",
        "no digest is known of 1 file, so duplicates of them are not seen; audit_models records digests",
        "what is outside of the store is not counted, and 1 link in it lead there",
    ]


def test_a_store_that_is_not_there_is_named(site):
    site.store.rmdir()
    with pytest.raises(StoreError, match="the store .*store cannot be read: No such file"):
        site.report()


def test_the_table_is_made_of_lines_for_people(site):
    path = site.put("checkpoints/a.gguf", 3, 400, known=True)
    (site.store / "checkpoints/b.gguf").write_bytes(path.read_bytes())
    site.record(site.store / "checkpoints/b.gguf")
    site.put("vae/.x.gguf.0a.1.part", 1, 3.5)
    lines = storage_table({**site.report(Declared("checkpoints", "a.gguf", "workflow")), "notes": ["see there"]})
    assert lines[0].startswith(f"{site.store}: 2 files, 393 kB; of the disk's ")
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert lines[1:] == [
        "By type:        files",
        "  checkpoints       2       393 kB",
        "By owner:       files",
        "  workflow          1       197 kB",
        "  catalogue         0      0 bytes",
        "  static            0      0 bytes",
        "  keep              0      0 bytes",
        "  nobody            1       197 kB",
        "By last use:    files",
        "  day               2       393 kB",
        "  week              0      0 bytes",
        "  month             0      0 bytes",
        "  quarter           0      0 bytes",
        "  older             0      0 bytes",
        "Largest:",
        f"       197 kB  checkpoints/a.gguf  (workflow; last used {today})",
        f"       197 kB  checkpoints/b.gguf  (nobody; last used {today})",
        "The same bytes more than once: 197 kB too many",
        "       197 kB  checkpoints/a.gguf = checkpoints/b.gguf",
        "Left by downloads: 1 file, 65.5 kB, up to 84.0 hours old",
        "In quarantine: 0 files, 0 bytes",
        "A clean-up would free: 1 file, 65.5 kB",
        "Note: see there",
    ]


def test_of_many_duplicates_the_table_shows_the_largest(site):
    rows = [{"sha256": "", "bytes": 1, "paths": [f"{number}", "x"]} for number in range(23)]
    lines = storage_table({**site.report(), "duplicates": rows})
    assert sum(" = " in line for line in lines) == 20 and "  and 3 more" in lines


def test_an_empty_store_is_a_short_table_and_long_lines_are_cut(site):
    lines = storage_table({**site.report(), "notes": []})
    assert len(lines) == 1 + 1 + 6 + 6 + 3 and lines[-1] == "A clean-up would free: 0 files, 0 bytes"
    site.put(f"vae/{'n' * 200}.gguf")
    assert max(len(line) for line in storage_table(site.report(), 100)) == 100
