# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.modules import gpu_info
from unit.fixtures.run_module import run_module

RECORDED = Path(__file__).parents[2] / "fixtures" / "nvidia_smi"


@pytest.fixture(name="nvidia_smi")
def fixture_nvidia_smi(tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nexec cat {RECORDED / 'one_h200.csv'}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize("check_mode", [False, True])
def test_it_lists_the_gpus_and_changes_nothing(nvidia_smi, check_mode):
    answer = run_module(gpu_info, check_mode, nvidia_smi=nvidia_smi, expected=1)
    assert (answer["changed"], answer["count"], answer["driver_version"]) == (False, 1, "580.159.03")
    assert answer["gpus"] == [
        {
            "index": 0,
            "uuid": "GPU-5d5a9d4b-8c34-4f0e-9a77-0c1a7c5b2f10",
            "name": "NVIDIA H200",
            "memory_mib": 143771,
            "driver": "580.159.03",
            "mig_mode": "disabled",
            "mig_devices": [],
            "pci_bus_id": "00000000:19:00.0",
            "compute_capability": "9.0",
            "minor": None,
            "mock": False,
        }
    ]


def test_mock_gpus_do_not_ask_nvidia_smi():
    answer = run_module(gpu_info, mock_gpus=2, nvidia_smi="/nonexistent/nvidia-smi")
    assert [(gpu["index"], gpu["mock"]) for gpu in answer["gpus"]] == [(0, True), (1, True)]
    assert answer["driver_version"] is None


@pytest.mark.parametrize(
    "options, message",
    [
        pytest.param({"mock_gpus": 1, "expected": 2}, "2 GPUs are expected and 1 found: 0 Mock GPU", id="fewer than expected"),
        pytest.param({"mock_gpus": -1}, "-1 mock GPUs", id="less than none"),
        pytest.param({"nvidia_smi": "/nonexistent/nvidia-smi"}, "/nonexistent/nvidia-smi is not a program", id="no such program"),
    ],
)
def test_a_failure_is_told_in_words(options, message):
    answer = run_module(gpu_info, **options)
    assert answer["failed"] and message in answer["msg"]
