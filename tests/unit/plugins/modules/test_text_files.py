# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.emprops.comfyui.plugins.modules import text_files
from unit.fixtures.run_module import run_module


@pytest.fixture(name="folder")
def fixture_folder(tmp_path):
    """A folder with one file as it should be, one of other text and one of other permissions."""
    for name, text, mode in (("same", "same\n", 0o644), ("other", "old\n", 0o644), ("open", "open\n", 0o644)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    return tmp_path


def wanted(folder):
    return [
        {"path": str(folder / "same"), "content": "same\n"},
        {"path": str(folder / "other"), "content": "new\n"},
        {"path": str(folder / "open"), "content": "open\n", "mode": "0600"},
        {"path": str(folder / "deep/absent"), "content": "first\n", "mode": "0755"},
    ]


def found(folder):
    return {str(path.relative_to(folder)): (path.read_text(), path.stat().st_mode & 0o777) for path in folder.rglob("*") if path.is_file()}


def test_check_mode_says_what_would_be_written_and_writes_nothing(folder):
    before = found(folder)
    answer = run_module(text_files, check_mode=True, files=wanted(folder))
    assert answer["changed"] and answer["written"] == [str(folder / name) for name in ("other", "open", "deep/absent")]
    assert found(folder) == before


def test_what_differs_is_written_once_and_the_second_run_changes_nothing(folder):
    predicted = run_module(text_files, check_mode=True, files=wanted(folder))
    assert run_module(text_files, files=wanted(folder)) == predicted
    assert found(folder) == {
        "same": ("same\n", 0o644),
        "other": ("new\n", 0o644),
        "open": ("open\n", 0o600),
        "deep/absent": ("first\n", 0o755),
    }
    again = run_module(text_files, files=wanted(folder))
    assert (again["changed"], again["written"], again["diff"]) == (False, [], [])


def test_the_diff_shows_each_file_that_changes(folder):
    answer = run_module(text_files, files=wanted(folder))
    assert [(one["before_header"], one["before"], one["after"]) for one in answer["diff"]] == [
        (str(folder / "other"), "old\n", "new\n"),
        (str(folder / "open"), "open\n", "open\n"),
        (str(folder / "deep/absent"), "", "first\n"),
    ]


@pytest.mark.parametrize(
    "file, cause",
    [
        pytest.param({"path": "", "content": "x"}, "Is a directory", id="a folder in its place"),
        pytest.param({"path": "same/below", "content": "x"}, "Not a directory", id="a file where its folder should be"),
        pytest.param({"path": "new", "content": "x", "mode": "rw-r--r--"}, "invalid literal", id="permissions that are not octal"),
    ],
)
def test_a_file_that_cannot_be_written_is_named_with_what_was_done_before_it(folder, file, cause):
    path = str(folder / file["path"])
    answer = run_module(text_files, files=[*wanted(folder)[:2], {**file, "path": path}])
    assert answer["failed"] and cause in answer["msg"]
    assert f"cannot write {path}" in answer["msg"]
    assert answer["written"] == [str(folder / "other")]
