# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import os
import runpy
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "roles/comfyui_instances/files/clean_outputs.py"
clean = runpy.run_path(str(PROGRAM))["clean"]
NOW = 1_800_000_000
DAY = 86400


@pytest.fixture(name="outputs")
def fixture_outputs(tmp_path):
    """Files named after their age in days, 100 bytes each."""
    folder = tmp_path / "output"
    for name, days in {"video/9.mp4": 9, "5.png": 5, "1.png": 1, "0.png": 0}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 100)
        os.utime(path, (NOW - days * DAY, NOW - days * DAY))
    return folder


def left(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "days, limit, expected",
    [
        pytest.param(0, 0, ["0.png", "1.png", "5.png", "9.mp4"], id="off"),
        pytest.param(4, 0, ["0.png", "1.png"], id="by age"),
        pytest.param(0, 250, ["0.png", "1.png"], id="the oldest until it fits"),
        pytest.param(0, 10, ["0.png"], id="never the young"),
        pytest.param(8, 350, ["0.png", "1.png", "5.png"], id="both"),
    ],
)
def test_what_is_left(outputs, days, limit, expected):
    clean(outputs, days, limit, NOW)
    assert left(outputs) == expected


def test_empty_folders_go_with_their_files_and_the_top_stays(outputs):
    clean(outputs, 0.5, 0, NOW)
    assert [path.name for path in outputs.iterdir()] == ["0.png"]


def test_a_link_is_removed_and_never_followed(outputs, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("keep")
    link = outputs / "link.png"
    link.symlink_to(precious)
    os.utime(link, (NOW - 9 * DAY, NOW - 9 * DAY), follow_symlinks=False)
    (outputs / "folder").symlink_to(tmp_path)
    clean(outputs, 1, 0, NOW)
    assert not link.is_symlink()
    assert precious.read_text() == "keep"
