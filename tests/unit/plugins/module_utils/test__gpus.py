# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _gpus
from ansible_collections.emprops.comfyui.plugins.module_utils._gpus import (
    Gpu,
    GpuError,
    MigDevice,
    check_expected,
    find_nvidia_smi,
    mock_gpus,
    parse_gpus,
    parse_mig_devices,
    read_gpus,
    read_minor,
)

RECORDED = Path(__file__).parents[2] / "fixtures" / "nvidia_smi"
UUID_0 = "GPU-5d5a9d4b-8c34-4f0e-9a77-0c1a7c5b2f10"
UUID_1 = "GPU-b4895dbf-9a4f-4c0e-8e9c-6f3f2a1f0f5e"
H200 = Gpu(
    index=0,
    uuid=UUID_0,
    name="NVIDIA H200",
    memory_mib=143771,
    driver="580.159.03",
    mig_mode="disabled",
    pci_bus_id="00000000:19:00.0",
    compute_capability="9.0",
)


def recorded(name):
    return (RECORDED / name).read_text()


@pytest.fixture(name="nvidia_smi")
def fixture_nvidia_smi(tmp_path):
    """Makes an nvidia-smi that answers with a recording."""

    def make(answer, rc=0, listing="mig.list"):
        program = tmp_path / "nvidia-smi"
        program.write_text(f'#!/bin/sh\nif [ "$1" = -L ]; then exec cat {RECORDED / listing}; fi\ncat {RECORDED / answer}\nexit {rc}\n')
        program.chmod(0o755)
        return str(program)

    return make


@pytest.mark.parametrize(
    "answer, expected",
    [
        pytest.param("one_h200.csv", [H200], id="one H200"),
        pytest.param("inforom_warning.csv", [H200], id="a warning is not a GPU"),
        pytest.param(
            "two_gpus.csv",
            [
                Gpu(index, uuid, "NVIDIA H100 80GB HBM3", 81559, "570.86.15", "disabled", (), bus, "9.0")
                for index, uuid, bus in [(0, UUID_0, "00000000:19:00.0"), (1, UUID_1, "00000000:3B:00.0")]
            ],
            id="two GPUs",
        ),
        pytest.param(
            "not_supported.csv",
            [
                Gpu(0, UUID_0, "NVIDIA GB10", None, "580.95.05", None, (), "0000000F:01:00.0", "12.1"),
                Gpu(1, UUID_1, "Tesla M60", 7680, "535.216.01", None, (), "00000000:3B:00.0", "5.2"),
            ],
            id="what is not supported is not known",
        ),
    ],
)
def test_an_answer_of_nvidia_smi_is_understood(answer, expected):
    assert parse_gpus(recorded(answer)) == expected


def test_a_comma_in_a_name_stays_in_the_name():
    line = recorded("one_h200.csv").replace("NVIDIA H200", "NVIDIA H200, engineering sample")
    assert parse_gpus(line) == [replace(H200, name="NVIDIA H200, engineering sample")]


def test_a_gpu_that_fell_off_the_bus_is_named():
    with pytest.raises(GpuError, match=r"0000:3B:00\.0: Unknown Error"):
        parse_gpus(recorded("off_the_bus.csv"))


def test_mig_devices_belong_to_their_gpu():
    assert parse_mig_devices(recorded("mig.list")) == {
        UUID_0: (
            MigDevice("MIG-7089d0f3-293f-58c9-8f8c-5ea666eedbde", "3g.71gb"),
            MigDevice("MIG-56c30729-347f-5dd6-8da0-c3cc59e969e0", "1g.18gb+me"),
        )
    }


def test_mig_is_asked_for_only_where_it_is_on(nvidia_smi):
    gpus = read_gpus(nvidia_smi("mig.csv"))
    assert [(gpu.mig_mode, len(gpu.mig_devices)) for gpu in gpus] == [("enabled", 2), ("disabled", 0)]
    # This listing cannot be read: had it been asked for, the call would fail.
    assert read_gpus(nvidia_smi("one_h200.csv", listing="missing")) == [H200]


@pytest.mark.parametrize(
    "answer, rc, message",
    [
        pytest.param("no_devices.txt", 6, "No devices were found.*lspci", id="no devices"),
        pytest.param("no_devices.txt", 0, "No devices were found.*lspci", id="no devices, and no exit code either"),
        pytest.param("driver_mismatch.txt", 18, r"exit 18\).*version mismatch.*reboot the machine", id="driver upgraded"),
        pytest.param("no_driver.txt", 9, "couldn't communicate.*Install the NVIDIA driver", id="no driver"),
        pytest.param("/dev/null", 0, "lists no GPU", id="an empty answer"),
        pytest.param("/dev/null", 3, "it said nothing", id="a silent failure"),
    ],
)
def test_a_failure_says_what_to_do(nvidia_smi, answer, rc, message):
    with pytest.raises(GpuError, match=message) as raised:
        read_gpus(nvidia_smi(answer, rc))
    assert "mock GPUs" in str(raised.value)


def test_a_corrupted_inforom_is_no_reason_to_stop(nvidia_smi):
    assert read_gpus(nvidia_smi("inforom_warning.csv", rc=14)) == [H200]


def test_a_hung_driver_is_not_waited_for(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nsleep 600\n")
    program.chmod(0o755)
    monkeypatch.setattr(_gpus, "TIMEOUT_SECONDS", 0.2)
    with pytest.raises(GpuError, match="did not finish within 0.2 seconds. A driver that hangs is cured by a reboot"):
        read_gpus(str(program))


def test_no_nvidia_smi_anywhere(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_gpus, "USUAL_PLACES", (str(tmp_path / "usual"),))
    with pytest.raises(GpuError, match="no nvidia-smi on PATH nor in .*usual.*install the driver.*mock GPUs"):
        read_gpus()


def test_the_usual_places_are_looked_at_after_the_path(nvidia_smi, tmp_path, monkeypatch):
    program = nvidia_smi("one_h200.csv")
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(_gpus, "USUAL_PLACES", (str(tmp_path),))
    assert find_nvidia_smi() == program


def test_a_given_nvidia_smi_must_be_a_program(tmp_path):
    with pytest.raises(GpuError, match="nothing is not a program"):
        read_gpus(str(tmp_path / "nothing"))


def test_mock_gpus_are_the_same_every_time():
    assert mock_gpus(2) == mock_gpus(3)[:2]
    assert [gpu.uuid for gpu in mock_gpus(2)] == [
        "MOCK-00000000-0000-0000-0000-000000000000",
        "MOCK-00000000-0000-0000-0000-000000000001",
    ]
    assert all(gpu.mock and gpu.memory_mib == 0 for gpu in mock_gpus(2))


def test_fewer_gpus_than_expected_are_listed():
    with pytest.raises(GpuError, match=rf"2 GPUs are expected and 1 found: 0 NVIDIA H200 \({UUID_0}\)"):
        check_expected([H200], 2)
    check_expected([H200], 1)
    check_expected([H200], 0)


@pytest.mark.parametrize(
    "pci_bus_id, expected",
    [
        pytest.param("00000000:3B:00.0", 3, id="the kernel writes fewer digits, in small letters"),
        pytest.param("00000000:19:00.0", None, id="the kernel does not know it"),
        pytest.param(None, None, id="the driver does not tell where it is"),
        pytest.param("../../../../etc", None, id="not an address"),
    ],
)
def test_the_minor_number_comes_from_the_kernel(tmp_path, pci_bus_id, expected):
    (tmp_path / "0000:3b:00.0").mkdir()
    (tmp_path / "0000:3b:00.0" / "information").write_text("Model: \t\t NVIDIA H200\nIRQ:   \t\t 90\nDevice Minor: \t 3\n")
    assert read_minor(pci_bus_id, tmp_path) == expected
