# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
import shlex
import subprocess

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._files import environment_line, give, put_json, put_text
from hypothesis import given, settings
from hypothesis import strategies as st


def mode_of(path):
    return path.stat().st_mode & 0o777


def test_a_file_is_written_once_and_then_left_alone(tmp_path):
    path = tmp_path / "new/folder/file"
    assert put_text(path, "text\n") is True
    inode = path.stat().st_ino
    assert put_text(path, "text\n") is False
    assert (path.read_text(), path.stat().st_ino) == ("text\n", inode)


@pytest.mark.parametrize(
    "before, mode, after, wanted_mode",
    [
        pytest.param(b"old\n", 0o644, "new\n", 0o644, id="other text"),
        pytest.param(b"new\n", 0o644, "new\n", 0o600, id="other permissions"),
        pytest.param(b"\xff\xfe", 0o644, "new\n", 0o644, id="no text at all"),
    ],
)
def test_a_difference_is_predicted_and_then_made(tmp_path, before, mode, after, wanted_mode):
    path = tmp_path / "file"
    path.write_bytes(before)
    path.chmod(mode)
    assert put_text(path, after, mode=wanted_mode, dry=True) is True
    assert (path.read_bytes(), mode_of(path)) == (before, mode)
    assert put_text(path, after, mode=wanted_mode) is True
    assert (path.read_text(), mode_of(path)) == (after, wanted_mode)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_a_dry_run_makes_no_folder(tmp_path):
    assert put_text(tmp_path / "folder/file", "text", dry=True) is True
    assert list(tmp_path.iterdir()) == []


def test_permissions_do_not_depend_on_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        put_text(tmp_path / "file", "text", mode=0o644)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "file") == 0o644


def test_what_a_killed_run_left_is_replaced_and_a_link_in_its_place_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / ".file.partial").symlink_to(victim)
    put_text(tmp_path / "file", "text", mode=0o600)
    assert victim.read_text() == "untouched"
    assert (tmp_path / "file").read_text() == "text"
    assert not (tmp_path / "file").is_symlink()


def test_a_link_under_the_final_name_is_replaced_and_not_written_through(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / "file").symlink_to(victim)
    put_text(tmp_path / "file", "text")
    assert victim.read_text() == "untouched"
    assert not (tmp_path / "file").is_symlink()


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        put_text(path, "\ud800")
    assert path.read_text() == "old"


def test_json_is_the_same_text_whatever_the_order_of_its_keys(tmp_path):
    assert put_json(tmp_path / "file", {"b": 1, "a": [2]}) is True
    assert put_json(tmp_path / "file", {"a": [2], "b": 1}) is False


def read_as_shell(tmp_path, text, name):
    """systemd reads double quotes as a shell does, but evaluates nothing; a shell shows the one and the other."""
    file = tmp_path / "settings.env"
    file.write_text(text, encoding="utf-8")
    script = f'. {shlex.quote(str(file))}; printf "%s" "${name}"'
    return subprocess.run(["sh", "-c", script], capture_output=True, check=True, cwd=tmp_path).stdout.decode()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "plain",
        "two words",
        "# no comment",
        'say "hi"',
        "it's",
        "C:\\new",
        "end\\",
        "$HOME",
        "${HOME}",
        "$(touch evil)",
        "`touch evil`",
        "ü\t€",
    ],
)
def test_a_value_arrives_as_it_is_and_nothing_in_it_is_evaluated(tmp_path, value):
    assert read_as_shell(tmp_path, environment_line("NAME", value), "NAME") == value
    assert not (tmp_path / "evil").exists()


@settings(max_examples=60, deadline=None)
@given(value=st.text(st.characters(codec="utf-8", exclude_categories=("Cc",))))
def test_any_value_arrives_as_it_is(tmp_path_factory, value):
    assert read_as_shell(tmp_path_factory.getbasetemp(), environment_line("NAME", value), "NAME") == value


def test_a_folder_is_given_away_and_a_link_never_followed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    give(tmp_path / "folder", os.getuid(), os.getgid())
    with pytest.raises(NotADirectoryError):
        give(tmp_path / "link", os.getuid(), os.getgid())
