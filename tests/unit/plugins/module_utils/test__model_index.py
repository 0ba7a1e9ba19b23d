# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _model_index
from ansible_collections.emprops.comfyui.plugins.module_utils._deploy_lock import this_run
from ansible_collections.emprops.comfyui.plugins.module_utils._model_claims import Claims, claim_path
from ansible_collections.emprops.comfyui.plugins.module_utils._model_index import Index, ModelsIndexError

SHA256 = "ab" * 32
SOURCE = "https://huggingface.co/o/r/resolve/main/a.safetensors"


@pytest.fixture(name="state")
def fixture_state(tmp_path):
    return tmp_path / "state"


@pytest.fixture(name="model")
def fixture_model(tmp_path):
    path = tmp_path / "store/checkpoints/a.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    return path


def remember(state, *models):
    index = Index(state)
    for model in models:
        index.record(model, model.stat(), SHA256, SOURCE, False)
    index.save()
    return index


def known(state, model):
    return Index(state).known(model, model.stat())


def test_what_was_recorded_is_known_to_the_next_run(state, model):
    index = Index(state)
    assert index.known(model, model.stat()) is None
    entry = index.record(model, model.stat(), SHA256, SOURCE, True)
    assert index.known(model, model.stat()) == entry
    before = os.umask(0o077)
    try:
        index.save()
    finally:
        os.umask(before)
    assert known(state, model) == entry
    assert (entry.sha256, entry.source, entry.first_seen) == (SHA256, SOURCE, True)
    assert sorted(path.name for path in state.iterdir()) == ["models.json"]
    assert (state / "models.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda model: model.write_bytes(b"longer weights"), id="another size"),
        pytest.param(lambda model: os.utime(model, ns=(1, 1)), id="another time"),
        pytest.param(
            lambda model: (model.rename(model.with_name("b")), model.write_bytes(b"weights"), os.utime(model, ns=(7, 7))), id="another file"
        ),
    ],
)
def test_a_file_that_changed_since_is_not_known(state, model, change):
    os.utime(model, ns=(7, 7))
    remember(state, model)
    assert known(state, model) is not None
    change(model)
    assert known(state, model) is None
    assert Index(state).last(model).sha256 == SHA256


def test_a_name_that_is_no_text_is_kept_as_it_is(state, model):
    odd = model.rename(model.with_name(os.fsdecode(b"\xff\n'\"")))
    remember(state, odd)
    assert known(state, odd) is not None


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("not json", id="no JSON"),
        pytest.param("[" * 100_000, id="JSON without end"),
        pytest.param("[]", id="a list"),
        pytest.param('{"files": []}', id="a list of files"),
        pytest.param("\udcff", id="no text"),
    ],
)
def test_an_index_that_cannot_be_read_is_written_anew(state, model, content):
    state.mkdir()
    (state / "models.json").write_text(content, errors="surrogateescape")
    assert known(state, model) is None
    remember(state, model)
    assert known(state, model) is not None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"size": "7"}, id="a size that is a text"),
        pytest.param({"sha256": None}, id="no digest"),
        pytest.param({"first_seen": "yes"}, id="a mark that is a text"),
        pytest.param({"more": 1}, id="more than we know"),
        pytest.param(None, id="no entry at all"),
    ],
)
def test_a_garbled_entry_costs_no_other(state, model, change):
    other = model.with_name("b")
    other.write_bytes(b"b")
    remember(state, model, other)
    path = state / "models.json"
    data = json.loads(path.read_text())
    data["files"][str(model)] = None if change is None else {**data["files"][str(model)], **change}
    path.write_text(json.dumps(data))
    assert known(state, model) is None
    assert known(state, other) is not None


def test_an_entry_that_does_not_say_who_gave_the_digest_counts_as_first_seen(state, model):
    remember(state, model)
    path = state / "models.json"
    data = json.loads(path.read_text())
    del data["files"][str(model)]["first_seen"]
    path.write_text(json.dumps(data))
    assert known(state, model).first_seen


# the same bytes, other names


def test_files_with_the_same_bytes_are_found_as_long_as_they_are_what_they_were(state, model):
    models = [model, *(model.with_name(name) for name in "bcd")]
    for path in models:
        path.write_bytes(b"weights")
    remember(state, *models)
    models[1].unlink()
    models[2].write_bytes(b"other weights")
    index = Index(state)
    assert index.same_bytes(SHA256) == [models[0], models[3]]
    assert index.same_bytes("cd" * 32) == []


def test_what_was_moved_or_forgotten_stays_so(state, model):
    other = model.with_name("b")
    other.write_bytes(b"b")
    before = remember(state, model, other).known(model, model.stat())
    index = Index(state)
    new = model.rename(model.with_name("new"))
    index.moved(model, new)
    index.forget(other)
    index.moved(Path("/never/heard/of"), Path("/it"))
    assert index.known(new, new.stat()) == before
    index.save()
    assert known(state, new) == before
    assert list(json.loads((state / "models.json").read_text())["files"]) == [str(new)]
    index.record(other, other.stat(), SHA256, SOURCE, False)
    index.save()
    assert known(state, other) is not None


# many at once


def test_two_indexes_written_at_once_lose_nothing(state, model):
    second_model = model.with_name("b")
    second_model.write_bytes(b"b")
    first, second = Index(state), Index(state)
    first.record(model, model.stat(), SHA256, SOURCE, False)
    second.record(second_model, second_model.stat(), SHA256, SOURCE, False)
    first.save()
    second.save()
    assert known(state, model) and known(state, second_model)


def test_many_that_save_at_the_same_moment_lose_nothing(state, model):
    indexes = [Index(state) for _ in range(8)]
    for number, index in enumerate(indexes):
        index.record(Path(f"/{number}"), model.stat(), SHA256, SOURCE, False)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(Index.save, indexes))
    assert all(Index(state).known(Path(f"/{number}"), model.stat()) for number in range(8))


def test_threads_that_record_while_another_saves_lose_nothing(state, model):
    index, found = Index(state), model.stat()

    def learn(number):
        index.record(Path(f"/{number}"), found, SHA256, SOURCE, False)
        index.save()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(learn, range(40)))
    assert all(Index(state).known(Path(f"/{number}"), found) for number in range(40))


def test_what_is_learned_while_it_is_saved_is_for_the_next_time(state, model, monkeypatch):
    index = Index(state)
    write = Index._write

    def write_slowly(self, entries):
        index.record(model, model.stat(), "cd" * 32, SOURCE, False)
        write(self, entries)

    index.record(model, model.stat(), SHA256, SOURCE, False)
    with monkeypatch.context() as patch:
        patch.setattr(Index, "_write", write_slowly)
        index.save()
    assert known(state, model).sha256 == SHA256
    index.save()
    assert known(state, model).sha256 == "cd" * 32


def test_a_run_that_is_killed_while_it_saves_costs_nothing(state, model):
    remember(state, model)
    code = f"""
import os
from pathlib import Path
from ansible_collections.emprops.comfyui.plugins.module_utils._model_index import *
index = Index(Path({str(state)!r}))
index.record(Path("/b"), os.stat({str(model)!r}), {SHA256!r}, "", False)
os.fsync = lambda handle: print(flush=True) or input()
index.save()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert known(state, model) is not None
    left = [path for path in state.iterdir() if path.suffix == ".new"]
    assert len(left) == 1 and claim_path(state / "models.json").exists()
    os.utime(left[0], (time.time() - 7200,) * 2)
    remember(state, model)
    assert [path.name for path in state.iterdir()] == ["models.json"]


def test_somebody_who_is_at_it_and_does_not_end_is_not_waited_for_for_ever(state, model, monkeypatch):
    monkeypatch.setattr(_model_index, "LONGEST_WAIT", 0.2)
    state.mkdir()
    with Claims(60, replace(this_run(os.getpid()), controller="elsewhere")) as there:
        there.take(state / "models.json")
        remember(state, model)
    assert known(state, model) is not None


# saving in passing


def test_saving_in_passing_happens_now_and_then(state, model, monkeypatch):
    index = Index(state)
    index.record(model, model.stat(), SHA256, SOURCE, False)
    index.save_in_passing()
    assert not state.exists()
    monkeypatch.setattr(_model_index, "SAVE_INTERVAL", -1)
    index.save_in_passing()
    assert known(state, model) is not None


def test_saving_in_passing_waits_for_nobody_and_never_fails(state, model, monkeypatch):
    monkeypatch.setattr(_model_index, "SAVE_INTERVAL", -1)
    index = Index(state)
    index.record(model, model.stat(), SHA256, SOURCE, False)
    state.mkdir()
    with Claims(60) as claims:
        claims.take(state / "models.json")
        index.save_in_passing()
        assert not (state / "models.json").exists()
    state.rmdir()
    state.write_text("a file where a folder should be")
    index.save_in_passing()
    state.unlink()
    index.save()
    assert known(state, model) is not None


# where it cannot be written


def test_a_read_only_index_writes_nothing(state, model):
    index = Index(state, read_only=True)
    index.record(model, model.stat(), SHA256, SOURCE, False)
    index.save()
    assert index.known(model, model.stat()) is not None
    assert not state.exists()


def test_an_index_with_nothing_new_is_not_written(state, model):
    remember(state, model)
    before = (state / "models.json").stat().st_ctime_ns
    Index(state).save()
    assert (state / "models.json").stat().st_ctime_ns == before


def test_an_index_that_cannot_be_written_is_told(state, model):
    state.write_text("a file where a folder should be")
    with pytest.raises(ModelsIndexError, match=r"cannot write .*models\.json: File exists"):
        remember(state, model)


def test_a_full_disk_is_told_and_keeps_what_was_there(state, model, monkeypatch):
    index = remember(state, model)

    def fsync(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    other = model.with_name("b")
    other.write_bytes(b"b")
    index.record(other, other.stat(), SHA256, SOURCE, False)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(ModelsIndexError, match=r"cannot write .*models\.json: No space left on device"):
            index.save()
    assert known(state, model) is not None and known(state, other) is None
    assert [path.name for path in state.iterdir()] == ["models.json"]
    index.save()
    assert known(state, other) is not None
