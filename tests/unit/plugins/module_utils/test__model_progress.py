# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
import os
import threading
import time

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._model_progress import (
    Progress,
    bytes_moved,
    failure_words,
    join_results,
    place_of,
    plan_lines,
    progress_line,
    read_progress,
    seconds_words,
    size_words,
    status_lines,
    table_lines,
)
from hypothesis import given
from hypothesis import strategies as st

MB, GB = 10**6, 10**9
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
# The keys that the lines look for, with anything in them.
ANYTHING = JSON | st.fixed_dictionaries(
    {},
    optional={key: JSON | st.fixed_dictionaries({"total": st.integers(), "done": st.floats()}) for key in ("files", "bytes", "summary")}
    | dict.fromkeys(("rate", "seconds_left", "plan"), JSON)
    | {key: st.lists(st.fixed_dictionaries({"name": JSON}) | JSON) for key in ("active", "slow", "waiting", "models")},
)


def row(name, state, size=None, **more):
    source = "https://huggingface.co/o/r/resolve/main/x"
    return {"directory": "loras", "name": name, "state": state, "bytes": size, "seconds": 2.0, "source": source, **more}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(name="progress")
def fixture_progress():
    progress = Progress(None)
    progress.plan(
        [("loras/a", 10 * GB, "https://huggingface.co/o/r/resolve/main/a?token=s3cret"), ("loras/b", 2 * GB, "https://u:p@[::1]:80/b")]
    )
    return progress


def test_a_line_says_how_far_it_is_how_fast_and_how_long_yet(progress):
    progress.begin("loras/a", 4 * GB)
    progress.snapshot(100.0)
    progress.moved("loras/a", 2 * GB)
    data = progress.snapshot(102.0)
    assert data["bytes"] == {"total": 12 * GB, "done": 6 * GB, "moved": 2 * GB}
    assert data["active"] == [{"name": "loras/a", "bytes": 6 * GB, "size": 10 * GB, "rate": GB, "source": "huggingface.co"}]
    assert progress_line(data) == "0/2 files, 6.0 of 12.0 GB, 1.0 GB/s, 6.0 s left"


def test_the_time_left_is_told_only_when_all_sizes_are_known(progress):
    progress.plan([("loras/c", None, "ssh://other/c")])
    progress.begin("loras/a", 0)
    progress.snapshot(0.0)
    progress.moved("loras/a", GB)
    assert progress.snapshot(1.0)["seconds_left"] is None
    progress.end("loras/c", "failed")
    assert progress.snapshot(2.0)["seconds_left"] == 22


def test_files_that_end_count_by_what_became_of_them(progress):
    progress.begin("loras/a", 0)
    progress.moved("loras/a", 3 * GB)
    progress.end("loras/a", "failed")
    progress.end("loras/b", "present")
    data = progress.snapshot(1.0, finished=True)
    assert data["files"] == {"total": 2, "done": 1, "failed": 1} and data["finished"]
    # What a failed file lacks is no longer on its way.
    assert data["bytes"]["total"] == data["bytes"]["done"] == 5 * GB
    assert progress_line(data).startswith("1/2 files, 1 failed, 5.0 of 5.0 GB, ")


def test_what_is_thrown_away_by_a_start_over_is_not_counted(progress):
    progress.begin("loras/a", 0)
    progress.moved("loras/a", 5 * GB)
    progress.snapshot(0.0)
    progress.moved("loras/a", -5 * GB)
    data = progress.snapshot(1.0)
    assert data["bytes"]["done"] == data["rate"] == 0
    assert bytes_moved(data) == 0


def test_a_file_that_crawls_while_the_others_run_is_named_once_it_had_its_time(progress):
    progress.begin("loras/a", 0)
    progress.begin("loras/b", 0)
    for second in range(11):
        progress.moved("loras/a", 200 * MB)
        progress.moved("loras/b", 2 * MB)
        data = progress.snapshot(float(second))
        assert data["slow"] == (["loras/b"] if second == 10 else [])
    assert "; slow: loras/b (2.0 MB/s from ::1:80)" in progress_line(data)


def test_who_is_waited_for_is_said_until_it_goes_on(progress):
    progress.waiting("loras/a", "gpu-2 downloads it")
    assert progress_line(progress.snapshot(0.0)).endswith("; waiting: loras/a (gpu-2 downloads it)")
    progress.begin("loras/a", 0)
    assert "waiting" not in progress_line(progress.snapshot(1.0))


def test_a_rate_is_that_of_the_last_seconds_and_not_of_the_whole_run(progress):
    progress.begin("loras/a", 0)
    progress.snapshot(0.0)
    progress.moved("loras/a", GB)
    for second in range(1, 13):
        data = progress.snapshot(float(second))
    assert data["rate"] == 0 and data["seconds_left"] is None


def test_the_file_is_there_from_the_first_moment_and_says_when_it_is_over(tmp_path):
    path = tmp_path / "state/models.progress.json"
    with Progress(path) as progress:
        first = json.loads(path.read_text())
        progress.plan([("loras/a", 10, "https://huggingface.co/a?sig=s3cret")])
        progress.begin("loras/a", 0)
        progress.moved("loras/a", 10)
        progress.end("loras/a", "downloaded")
    last = read_progress(path.read_text())
    assert (first["finished"], last["finished"]) == (False, True)
    assert first["run"] == last["run"] and last["pid"] == os.getpid() and last["files"]["done"] == 1
    assert path.stat().st_mode & 0o777 == 0o644
    assert names(path.parent) == [path.name]
    assert "s3cret" not in path.read_text()


def test_the_file_is_written_again_while_the_run_goes_on(tmp_path):
    path = tmp_path / "models.progress.json"
    with Progress(path) as progress:
        progress.plan([("loras/a", 10, "")])
        while json.loads(path.read_text())["files"]["total"] == 0:
            time.sleep(0.02)


def test_many_threads_lose_no_byte():
    progress = Progress(None)

    def move():
        for _turn in range(2000):
            progress.moved("loras/a", 3)

    threads = [threading.Thread(target=move) for _thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert progress.snapshot(0.0)["bytes"]["moved"] == 8 * 2000 * 3


def test_a_place_that_takes_no_file_fails_nobody(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file/models.progress.json", tmp_path / "folder"):
        with Progress(path) as progress:
            progress.begin("loras/a", 0)
    assert names(tmp_path) == ["file", "folder"]


def test_two_runs_in_one_folder_never_show_half_a_file(tmp_path):
    path = tmp_path / "models.progress.json"
    with Progress(path) as one, Progress(path) as other:
        for progress in (one, other):
            progress.plan([(f"loras/{number}", 10, "") for number in range(500)])
            assert json.loads(path.read_text())["version"] == 1
    assert names(tmp_path) == [path.name]


def test_the_drafts_of_killed_runs_are_removed_and_those_of_living_ones_stay(tmp_path):
    path = tmp_path / "models.progress.json"
    for name in ("old", "new"):
        (tmp_path / f".{path.name}.{name}").write_text("{")
    os.utime(tmp_path / f".{path.name}.old", (0, 0))
    with Progress(path):
        pass
    assert names(tmp_path) == [f".{path.name}.new", path.name]


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"a"', "[" * 100_000])
def test_what_is_no_progress_file_is_read_as_nothing(text):
    assert read_progress(text) == {} and progress_line(read_progress(text)) == ""


@given(ANYTHING)
def test_whatever_a_machine_says_becomes_lines_that_a_terminal_only_shows(value):
    data = read_progress(json.dumps(value))
    for line in [progress_line(data), *plan_lines(data), *table_lines(data)]:
        assert line.isprintable() or "\n" not in line and "\x1b" not in line


def test_a_name_cannot_paint_the_terminal():
    lines = table_lines({"models": [row("\x1b[2Jx\r\n", "downloaded", 5), row("y", "failed", error="no\x1b]0;")]})
    assert all(line.isprintable() for line in lines) and "loras/\ufffd[2Jx\ufffd\ufffd" in lines[1]


def test_a_plan_names_what_is_missing_the_largest_first_and_says_whether_it_fits():
    found = {
        "models": [
            row("here", "present", 5),
            row("small", "missing", 2 * MB),
            row("large", "missing", 60 * GB),
            row("same", "missing", GB),
            row("odd", "missing"),
        ],
        "plan": {"bytes": 60 * GB, "filesystems": [{"path": "/workspace", "needed": 60 * GB, "free": 60 * GB, "reserve": GB}]},
    }
    assert plan_lines(found) == [
        "models: 4 of 5 are missing: 60.0 GB to download, and 1 of unknown size",
        "  loras/large  60.0 GB from huggingface.co",
        "  loras/same  1.0 GB from huggingface.co",
        "  loras/small  2.0 MB from huggingface.co",
        "  loras/odd  size unknown from huggingface.co",
        "  filesystem of /workspace: 60.0 GB needed, 60.0 GB free, 1.0 GB of them reserved: this does not fit",
    ]


def test_a_long_plan_is_cut_and_what_is_left_out_is_counted():
    lines = plan_lines({"models": [row(str(number), "missing", number) for number in range(100)]})
    assert len(lines) == 22 and lines[-1] == "  and 80 more, smaller ones"


def test_where_nothing_happens_nothing_is_said():
    found = {"models": [row("here", "present", 5)], "summary": {"seconds": 0.1}}
    assert plan_lines(found) == table_lines(found) == []


def test_the_table_shows_each_file_that_came_and_each_that_did_not():
    result = {
        "models": [
            row("here", "present", 5),
            row("b", "downloaded", 100 * MB, seconds=50.0),
            row("a-long-name", "downloaded", 2 * GB, seconds=2.0, how="download, hard link"),
            row("c", "downloaded", GB, how="hard link"),
            row("gone", "failed", error="there is no such file: 404"),
        ],
        "summary": {"seconds": 52.0},
    }
    assert table_lines(result) == [
        "models: 3 brought, 1 present, 1 failed; 2.1 GB in 52 s, 40.4 MB/s",
        "  loras/a-long-name  huggingface.co  2.0 GB  2.0 s   1.0 GB/s",
        "  loras/c            huggingface.co  1.0 GB         hard link",
        "  loras/b            huggingface.co  100 MB   50 s   2.0 MB/s",
        "  failed: loras/gone: there is no such file: 404",
    ]


def test_two_rounds_are_told_as_one():
    first = {
        "changed": True,
        "failed": True,
        "msg": "1 of 2 models failed",
        "models": [row("a", "downloaded", 5), row("b", "failed", error="the link expired", expired=True)],
        "summary": {"present": 0, "downloaded": 1, "failed": 1, "bytes": 5, "seconds": 1.5},
        "diff": {"before": "", "after": "loras/a\n"},
    }
    second = {
        "changed": True,
        "models": [row("a", "present", 5), row("b", "downloaded", 7)],
        "summary": {"present": 1, "downloaded": 1, "failed": 0, "bytes": 7, "seconds": 2.0},
        "diff": {"before": "loras/a\n", "after": "loras/a\nloras/b\n"},
    }
    assert join_results(first, second) == {
        "changed": True,
        "models": [row("a", "downloaded", 5), row("b", "downloaded", 7)],
        "summary": {"present": 0, "downloaded": 2, "failed": 0, "bytes": 12, "seconds": 3.5},
        "diff": {"before": "", "after": "loras/a\nloras/b\n"},
    }
    assert join_results(first, {"failed": True, "msg": "it was killed"}) == {**first, "msg": "it was killed"}


def test_failures_are_told_by_name():
    assert failure_words([row("a", "present"), row("b", "failed", error="why")]) == "1 of 2 models failed:\nloras/b: why"
    assert failure_words([row("a", "present")]) == ""


@pytest.mark.parametrize(
    "source, place",
    [
        pytest.param("https://huggingface.co/a?token=x", "huggingface.co", id="an address"),
        pytest.param("https://user:word@hub.example:8443/a", "hub.example:8443", id="a port, and no password"),
        pytest.param("file:///mnt/share/a", "file", id="a share"),
        pytest.param("first seen", "first seen", id="words"),
        pytest.param("https://[broken/a?token=x", "an address that cannot be read", id="no address"),
        pytest.param("https://h:99999/a?token=x", "an address that cannot be read", id="no port"),
    ],
)
def test_a_place_is_a_word_and_holds_no_secret(source, place):
    assert place_of(source) == place


@pytest.mark.parametrize(
    "count, words",
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (63.44 * GB, "63.4 GB"),
        (812 * MB, "812 MB"),
        (999.96 * MB, "1.0 GB"),
        (9e15, "9000 TB"),
    ],
)
def test_sizes_are_told_as_disks_are_sold(count, words):
    assert size_words(count) == words


@pytest.mark.parametrize(
    "seconds, words",
    [(0, "0.0 s"), (9.9, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 0 s"), (62, "1 min 2 s"), (7500, "2 h 5 min"), (3 * 86400, "3 days 0 h")],
)
def test_durations_are_told_in_two_units(seconds, words):
    assert seconds_words(seconds) == words


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"], ids=["none", "half a file", "a list", "an empty one"])
def test_somebody_who_comes_by_is_told_that_nothing_is_known(text):
    assert status_lines(text) == ["no download of models is known here"]


def test_somebody_who_comes_by_sees_each_file_on_its_way_and_later_how_it_ended(tmp_path):
    file = tmp_path / "state" / "models.progress.json"
    with Progress(file) as progress:
        progress.plan([("loras/a", 10 * MB, "https://hub.example/a?token=x"), ("loras/b", None, "file:///b")])
        progress.begin("loras/a", 0)
        progress.moved("loras/a", 4 * MB)
        progress.begin("loras/b", 3)
        first, *rows = status_lines(json.dumps(progress.snapshot(time.monotonic())))
        assert first.startswith("models are downloaded since 2") and "0/2 files, 4.0 of 10.0 MB" in first
        assert rows == ["  loras/a  4.0 of 10.0 MB  0 bytes/s from hub.example", "  loras/b  3 bytes  0 bytes/s from file"]
        progress.end("loras/a", "downloaded")
        progress.end("loras/b", "failed")
    [line] = status_lines(file.read_text())
    assert line.startswith("the last download of models ended at 2") and "1/2 files, 1 failed" in line
