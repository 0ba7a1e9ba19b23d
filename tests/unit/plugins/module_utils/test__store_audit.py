# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import zipfile

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _store_audit
from ansible_collections.emprops.comfyui.plugins.module_utils._model_index import FIRST_SEEN, Index
from ansible_collections.emprops.comfyui.plugins.module_utils._store import Declared, StoreError
from ansible_collections.emprops.comfyui.plugins.module_utils._store_audit import DAMAGE, KINDS, audit, check_kinds, describe

WEIGHTS = b"GGUF\3\0\0\0" + bytes(5000)
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
HOUR = 3600


def safetensors(size):
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


def archive():
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as file:
        file.writestr("archive/data.pkl", bytes(5000))
    return buffer.getvalue()


class Site:
    """One machine: its store, its index, and what an audit finds there."""

    def __init__(self, folder):
        self.store = folder / "store"
        self.state = folder / "state"
        self.store.mkdir()

    def put(self, name, content=WEIGHTS):
        path = self.store / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def rot(self, path):
        """Other bytes, and nothing else that tells."""
        seen = path.stat()
        with path.open("r+b") as file:
            file.seek(2000)
            file.write(b"\1")
        os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))

    def link(self, name, target):
        (self.store / name).parent.mkdir(parents=True, exist_ok=True)
        (self.store / name).symlink_to(target)

    def run(self, declared=None, **options):
        index = Index(self.state)
        found = audit(self.store, declared, index, **{"jobs": 2, **options})
        index.save()
        return found

    def found(self, declared=None, **options):
        return {(finding.path, finding.kind) for finding in self.run(declared, **options).findings}

    def recorded(self):
        index = Index(self.state)
        paths = [path for path in sorted(self.store.rglob("*")) if path.is_file()]
        return {str(path.relative_to(self.store)): entry for path in paths if (entry := index.known(path, path.stat()))}


@pytest.fixture(name="site")
def fixture_site(tmp_path):
    return Site(tmp_path)


def test_a_sound_store_has_no_findings_and_every_digest_is_recorded_once(site):
    site.put("unet/a.gguf")
    site.put("loras/b.safetensors", safetensors(300_000))
    first = site.run([Declared("diffusion_models", "a.gguf", "workflow", sha256=SHA256), Declared("loras", "b.safetensors", "keep")])
    assert (first.findings, first.files, first.learned) == ([], 2, True)
    assert first.bytes == len(WEIGHTS) + (site.store / "loras/b.safetensors").stat().st_size
    recorded = site.recorded()
    assert recorded["unet/a.gguf"].sha256 == SHA256
    assert not recorded["unet/a.gguf"].first_seen and recorded["loras/b.safetensors"].first_seen
    assert {entry.source for entry in recorded.values()} == {FIRST_SEEN}  # so that `models` asks a source, once
    again = site.run()
    assert (again.findings, again.files, again.learned) == ([], 2, False)
    assert site.recorded() == recorded


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("a.gguf", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git LFS pointer", id="LFS pointer"),
        pytest.param("a.ckpt", b"<!DOCTYPE html><title>Sign in</title>", "web page", id="web page"),
        pytest.param("a.safetensors", safetensors(5000)[:-1], "describes", id="truncated safetensors"),
        pytest.param("a.safetensors", b"", "safetensors", id="empty"),
        pytest.param("a.gguf", WEIGHTS[1:], "GGUF", id="no GGUF"),
        pytest.param("a.pt", archive()[:-30], "ZIP", id="truncated ZIP"),
    ],
)
def test_a_file_whose_own_bytes_say_that_it_is_no_model_is_found(site, name, content, words):
    site.put(f"loras/{name}", content)
    [finding] = site.run().findings
    assert (finding.kind, finding.path) == ("content", f"loras/{name}") and words in finding.message
    assert site.recorded() == {}


def test_bytes_that_changed_silently_are_found_every_time(site):
    path = site.put("unet/a.gguf")
    site.run()
    site.rot(path)
    for _time in range(2):
        [finding] = site.run().findings
        assert finding.kind == "bit_rot" and SHA256 in finding.message and hashlib.sha256(path.read_bytes()).hexdigest() in finding.message


def test_a_file_that_changed_openly_is_told_with_both_digests_and_one_that_was_only_touched_is_known_again(site):
    path = site.put("unet/a.gguf")
    site.run()
    os.utime(path, ns=(1, 1))
    assert site.run().findings == [] and site.recorded()["unet/a.gguf"].mtime_ns == 1
    path.write_bytes(WEIGHTS + b"more")
    for _time in range(2):
        [finding] = site.run().findings
        assert finding.kind == "differs" and SHA256 in finding.message and hashlib.sha256(WEIGHTS + b"more").hexdigest() in finding.message


def test_of_a_declared_file_that_rotted_the_index_forgets_so_that_it_is_brought_again(site):
    path = site.put("unet/a.gguf")
    declared = [Declared("unet", "a.gguf", "workflow", sha256=SHA256)]
    site.run(declared)
    site.rot(path)
    assert site.found(declared) == {("unet/a.gguf", "bit_rot"), ("unet/a.gguf", "differs")}
    assert site.recorded() == {}
    assert site.found(declared) == {("unet/a.gguf", "differs")}
    site.put("unet/a.gguf")
    assert site.found(declared) == set() and "unet/a.gguf" in site.recorded()


def test_a_file_that_is_not_the_declared_one_says_who_asks_for_which(site):
    site.put("clip/a.gguf")
    site.put("clip/b.gguf")
    found = site.run(
        [
            Declared("text_encoders", "a.gguf", "workflow", "portrait.json", sha256="0" * 64),
            Declared("text_encoders", "b.gguf", "catalogue", size=7),
        ]
    )
    assert sorted((finding.kind, finding.path, finding.message) for finding in found.findings) == [
        ("differs", "clip/a.gguf", f"it has sha256 {SHA256}, portrait.json asks for {'0' * 64}"),
        ("size", "clip/b.gguf", f"it has {len(WEIGHTS)} bytes, the list of owner catalogue asks for 7"),
    ]
    assert site.recorded() == {}


def test_a_file_is_judged_by_what_was_declared_of_a_link_to_it(site):
    site.put("Stable-diffusion/a.gguf")
    site.link("checkpoints/a.gguf", "../Stable-diffusion/a.gguf")
    declared = [Declared("checkpoints", "a.gguf", "static", sha256="0" * 64)]
    assert {kind for _path, kind in site.found(declared)} == {"differs"}


def test_what_is_declared_and_what_is_there_are_compared(site):
    site.put("loras/a.gguf")
    site.put("loras/mine.gguf")
    site.put("loras/put_loras_here", b"")
    site.put("Lora/alias.gguf")
    site.link("vae/gone.gguf", "../nowhere.gguf")
    declared = [Declared("loras", name, "workflow") for name in ("a.gguf", "b.gguf", "alias.gguf")] + [
        Declared("vae", "gone.gguf", "static")
    ]
    assert site.found(declared) == {("loras/b.gguf", "missing"), ("loras/mine.gguf", "undeclared"), ("vae/gone.gguf", "dangling")}
    assert site.found() == {("vae/gone.gguf", "dangling")}


def test_what_only_a_catalogue_lists_need_not_be_there(site):
    listed = Declared("loras", "a.gguf", "catalogue")
    assert site.found([listed]) == set()
    assert site.found([listed, Declared("loras", "a.gguf", "workflow")]) == {("loras/a.gguf", "missing")}


def test_what_dead_downloads_left_is_found_and_what_moves_is_not(site):
    dead, alive = site.put("loras/.a.gguf.0a.1.part"), site.put("loras/.b.gguf.0b.1.part")
    os.utime(dead, (1000, dead.stat().st_mtime - 2 * HOUR))
    site.put("loras/c.gguf.aria2")
    assert site.found() == {("loras/.a.gguf.0a.1.part", "leftover"), ("loras/c.gguf.aria2", "leftover")}
    assert alive.exists() and dead.exists()


def test_a_link_out_of_the_store_is_told_and_not_read(site, tmp_path):
    (tmp_path / "secret.gguf").write_bytes(b"no model at all")
    site.link("unet/a.gguf", tmp_path / "secret.gguf")
    found = site.run()
    assert [(finding.kind, finding.path) for finding in found.findings] == [("outside", "unet/a.gguf")]
    assert (found.files, found.bytes) == (0, 0)


def test_one_file_with_many_names_is_read_once_and_known_by_each(site):
    path = site.put("unet/a.gguf")
    (site.store / "unet/b.gguf").hardlink_to(path)
    site.link("unet/c.gguf", "a.gguf")
    found = site.run()
    assert (found.findings, found.files, found.bytes) == ([], 3, len(WEIGHTS))
    assert set(site.recorded()) == {"unet/a.gguf", "unet/b.gguf", "unet/c.gguf"}


def test_only_what_was_asked_for_is_looked_at(site):
    for name in ("loras/a.gguf", "loras/x/b.gguf", "vae/c.gguf"):
        site.put(name, b"no model at all")
    declared = [Declared("loras", "d.gguf", "keep"), Declared("vae", "e.gguf", "keep")]
    assert site.found(declared, only=["loras/*"]) == {
        ("loras/a.gguf", "content"),
        ("loras/a.gguf", "undeclared"),
        ("loras/x/b.gguf", "content"),
        ("loras/x/b.gguf", "undeclared"),
        ("loras/d.gguf", "missing"),
    }


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_read(site, monkeypatch):
    site.put("unet/a.gguf")
    bad = site.put("unet/b.gguf")
    os.mkfifo(site.store / "unet/pipe")
    really = os.open

    def failing(path, flags, *mode, **options):
        if path == bad:
            raise OSError(5, "Input/output error", str(path))
        return really(path, flags, *mode, **options)

    monkeypatch.setattr(_store_audit.os, "open", failing)  # a bad sector, which nobody can make on purpose
    found = site.run()
    assert {(finding.path, finding.kind, finding.message) for finding in found.findings} == {
        ("unet/b.gguf", "unreadable", "Input/output error"),
        ("unet/pipe", "unreadable", "it is neither a file nor a folder nor a link"),
    }
    assert found.files == 1


@pytest.mark.parametrize("change", ["written", "replaced", "removed"])
def test_nothing_is_said_of_a_file_that_changes_while_it_is_read(site, monkeypatch, change):
    path = site.put("unet/a.gguf")
    really = _store_audit.check_file if change == "written" else _store_audit.open_quietly

    def meanwhile(*arguments):
        if change == "written":
            path.write_bytes(b"GGUF\3\0\0\0 and so on")
        elif change == "replaced":
            new = path.with_name("new.gguf")
            new.write_bytes(b"<html>")
            new.replace(path)
        else:
            path.unlink()
        return really(*arguments)

    monkeypatch.setattr(_store_audit, really.__name__, meanwhile)
    expected = set() if change == "removed" else {("unet/a.gguf", "busy")}
    assert site.found() == expected and site.recorded() == {}


def test_reading_does_not_count_as_use(site):
    path = site.put("unet/a.gguf")
    os.utime(path, (1000, 2000))
    site.run()
    assert path.stat().st_atime == 1000


def test_files_are_read_side_by_side_and_the_largest_first(site, monkeypatch):
    for number in range(6):
        site.put(f"unet/{number}.gguf", WEIGHTS + bytes(number))
    order, together = [], threading.Barrier(3, timeout=30)
    really = _store_audit.open_quietly

    def noted(path):
        together.wait()  # goes on when three are here, and never if they come one by one
        order.append(path.name)
        return really(path)

    monkeypatch.setattr(_store_audit, "open_quietly", noted)
    assert site.run(jobs=3).files == 6
    assert set(order[:3]) == {"5.gguf", "4.gguf", "3.gguf"}


def test_findings_are_told_the_worst_first_and_counted(site):
    site.put("a.gguf", b"no")
    site.put("b.gguf")
    found = site.run([Declared("vae", "c.gguf", "keep")])
    assert [(row["kind"], row["severity"]) for row in found.result["findings"]] == [
        ("content", "error"),
        ("missing", "warning"),
        ("undeclared", "info"),
        ("undeclared", "info"),
    ]
    assert found.result["summary"] == {kind: {"content": 1, "missing": 1, "undeclared": 2}.get(kind, 0) for kind in KINDS}
    assert describe(found.findings, DAMAGE) == ("found in the store (1):\na.gguf: the content does not begin as a GGUF file does")
    assert describe(found.findings, ["bit_rot"]) is None


def test_a_kind_that_there_is_not_is_named():
    check_kinds(KINDS)
    with pytest.raises(StoreError, match="called typo; known are bit_rot, "):
        check_kinds(["content", "typo"])


@pytest.mark.parametrize("place", ["check_file", "hash_file", "_compare"])
@pytest.mark.parametrize("error", [OverflowError("too large\n\x1b[2J"), RecursionError("too deep"), ValueError("x" * 10_000)])
def test_a_file_that_cannot_be_judged_is_a_finding_and_the_others_are_read(site, monkeypatch, place, error):
    real = getattr(_store_audit, place)
    site.put("loras/good.gguf")
    site.put("loras/evil.gguf", WEIGHTS + b"evil")

    def judge(*args):
        size = args[1].stat.st_size if place == "_compare" else os.fstat(args[-1].fileno()).st_size
        if size != len(WEIGHTS):
            raise error
        return real(*args)

    monkeypatch.setattr(_store_audit, place, judge)
    found = site.run()
    [finding] = found.findings
    assert (finding.kind, finding.path) == ("unreadable", "loras/evil.gguf") and found.files == 1
    assert type(error).__name__ in finding.message and finding.message.isprintable() and len(finding.message) < 400
    assert list(site.recorded()) == ["loras/good.gguf"]
