# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._probe import Answer, ProbeError, ProbeTimeout, probe


def test_both_streams_and_the_exit_code_come_back():
    answer = probe(["sh", "-c", "echo out; echo err >&2; exit 3"], 30)
    assert answer == Answer(3, "out\n", "err\n")
    assert answer.said == "err out"


def test_what_is_not_there_is_named():
    with pytest.raises(ProbeError, match="there is no nvidia-smi-of-nobody on this machine"):
        probe(["nvidia-smi-of-nobody"], 30)


def test_what_cannot_be_run_is_named(tmp_path):
    with pytest.raises(ProbeError, match=f"cannot run {tmp_path}: Permission denied"):
        probe([str(tmp_path)], 30)


def test_a_child_that_keeps_the_output_open_ends_with_the_program(tmp_path):
    pid_file = tmp_path / "pid"
    with pytest.raises(ProbeTimeout, match="did not finish within 0.5 seconds"):
        probe(["sh", "-c", f"sleep 600 & echo $! > {pid_file}; wait"], 0.5)
    status = Path("/proc", pid_file.read_text().strip(), "status")
    assert not status.exists() or "State:\tZ" in status.read_text()


def test_a_program_that_closes_its_output_and_stays_is_not_waited_for():
    with pytest.raises(ProbeTimeout, match="closed its output"):
        probe([sys.executable, "-c", "import os, time; os.close(1); time.sleep(600)"], 30)


def test_an_endless_answer_is_cut():
    assert probe(["yes"], 30, limit=10) == Answer(0, "y\n" * 5, "")


def test_a_language_is_not_inherited(monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert probe(["sh", "-c", "echo $LC_ALL"], 30).stdout == "C\n"
