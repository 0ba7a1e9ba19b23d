# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A few seconds of what `python -m fuzz` does for as long as one likes."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.targets import TARGETS

CHECKOUT = Path(__file__).parents[2]


BEGINNINGS = [pytest.param(target, data, id=f"{target}-{name}") for target in TARGETS for name, data in TARGETS[target].seeds.items()]


@pytest.mark.parametrize("target, data", BEGINNINGS)
def test_a_target_takes_what_the_fuzzer_starts_from(target, data):
    TARGETS[target].run(data)


@pytest.mark.parametrize("target", TARGETS)
def test_the_fuzzer_finds_nothing_in_a_few_seconds(target, tmp_path):
    if importlib.util.find_spec("atheris") is None:
        reason = "atheris is not installed here, so NOTHING WAS FUZZED"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    path = os.pathsep.join([str(CHECKOUT / "tests"), str(CHECKOUT / ".ansible/collections")])
    command = [sys.executable, "-m", "fuzz", target, str(tmp_path), "-seed=1", "-runs=20000", "-max_total_time=5"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    assert not list(tmp_path.glob("found-*"))
    # That it ran, and that it saw into the code: without coverage it would be throwing dice.
    runs = re.search(r"Done (\d+) runs", done.stderr)
    covered = re.findall(r"cov: (\d+)", done.stderr)
    assert runs and int(runs[1]) > len(TARGETS[target].seeds)
    assert int(covered[-1]) > 100
