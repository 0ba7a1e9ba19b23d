# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which NVIDIA GPUs a machine has, as nvidia-smi tells it. Reads only.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from ansible_collections.emprops.comfyui.plugins.module_utils._probe import Answer, ProbeError, ProbeTimeout, probe

TIMEOUT_SECONDS = 20
USUAL_PLACES = ("/usr/bin", "/usr/local/bin", "/usr/local/nvidia/bin", "/opt/bin", "/usr/lib/wsl/lib")
DRIVER_GPUS = Path("/proc/driver/nvidia/gpus")

QUERY = ("index", "uuid", "name", "driver_version", "memory.total", "mig.mode.current", "pci.bus_id", "compute_cap")

_NO_DEVICES = "The driver runs but sees no GPU: look at `lspci -d 10de:` and `dmesg | grep -i nvrm`, then reboot the machine."
_HANGS = "A driver that hangs is cured by a reboot; `dmesg | grep -i xid` says what happened."
_MOCK_HINT = "For a machine without GPUs, ask for mock GPUs instead."
# What nvidia-smi says → what to do about it. First match wins.
_REMEDIES = (
    ("version mismatch", "The driver was upgraded under a running kernel module: reboot the machine."),
    ("couldn't communicate", "Install the NVIDIA driver, or reboot if it was just installed or the kernel was upgraded."),
    ("No devices were found", _NO_DEVICES),
    ("Unknown Error", "Access to the GPU was lost: restart the container, or reboot the machine."),
    ("not a valid field", "The driver is too old for this collection: install driver 525 or newer."),
)
# nvidia-smi's exit code for a corrupted infoROM: the GPUs work and are listed, with a warning.
_RC_INFOROM = 14


class GpuError(Exception):
    """The GPUs could not be read, or are not the ones that were asked for."""


@dataclass(frozen=True)
class MigDevice:
    uuid: str
    profile: str


@dataclass(frozen=True)
class Gpu:
    """One physical GPU. None is what the driver does not tell for this model."""

    index: int
    uuid: str
    name: str
    memory_mib: int | None = None
    driver: str | None = None
    mig_mode: str | None = None
    mig_devices: tuple[MigDevice, ...] = ()
    pci_bus_id: str | None = None
    compute_capability: str | None = None
    minor: int | None = None
    mock: bool = False


def read_gpus(nvidia_smi: str | None = None) -> list[Gpu]:
    """Ask nvidia-smi; a second question, for MIG devices, only where MIG is on."""
    program = find_nvidia_smi(nvidia_smi)
    gpus = parse_gpus(_ask(program, f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader,nounits"))
    if not gpus:
        raise GpuError(f"{program} lists no GPU. {_NO_DEVICES} {_MOCK_HINT}")
    if any(gpu.mig_mode == "enabled" for gpu in gpus):
        devices = parse_mig_devices(_ask(program, "-L"))
        gpus = [replace(gpu, mig_devices=devices.get(gpu.uuid, ())) for gpu in gpus]
    return [replace(gpu, minor=read_minor(gpu.pci_bus_id)) for gpu in gpus]


def mock_gpus(count: int) -> list[Gpu]:
    """GPUs to plan with on a machine that has none; the same uuid for the same index, always."""
    if count < 1:
        raise GpuError(f"{count} mock GPUs cannot be made up")
    return [Gpu(index, f"MOCK-00000000-0000-0000-0000-{index:012d}", "Mock GPU", memory_mib=0, mock=True) for index in range(count)]


def check_expected(gpus: list[Gpu], expected: int) -> None:
    """More than expected is fine: the inventory then uses some of them."""
    if len(gpus) < expected:
        found = ", ".join(f"{gpu.index} {gpu.name} ({gpu.uuid})" for gpu in gpus) or "none"
        raise GpuError(f"{expected} GPUs are expected and {len(gpus)} found: {found}")


def find_nvidia_smi(given: str | None = None) -> str:
    if given is not None:
        if not os.access(given, os.X_OK):
            raise GpuError(f"{given} is not a program that can be run here")
        return given
    program = shutil.which("nvidia-smi") or shutil.which("nvidia-smi", path=":".join(USUAL_PLACES))
    if program is None:
        raise GpuError(
            f"there is no nvidia-smi on PATH nor in {', '.join(USUAL_PLACES)}. "
            f"Choose a machine image with the NVIDIA driver, or install the driver and reboot. {_MOCK_HINT}"
        )
    return program


def parse_gpus(text: str) -> list[Gpu]:
    """The answer to QUERY, one line per GPU. Warnings that nvidia-smi mixes in are not GPUs."""
    return [_parse_gpu(line) for line in text.splitlines() if line.strip() and not line.upper().startswith("WARNING")]


def _parse_gpu(line: str) -> Gpu:
    fields = [field.strip() for field in line.split(",")]
    # The format does not quote; only a name could hold a comma.
    if len(fields) < len(QUERY) or not fields[0].isdigit() or not re.fullmatch(r"GPU-[0-9A-Za-z-]+", fields[1]):
        raise GpuError(f"nvidia-smi described a GPU in a way that is not understood: {line.strip()[:300]!r}")
    driver, memory, mig_mode, pci_bus_id, compute_capability = (_known(field) for field in fields[-5:])
    return Gpu(
        index=int(fields[0]),
        uuid=fields[1],
        name=", ".join(fields[2:-5]),
        memory_mib=int(memory) if memory and memory.isdigit() else None,
        driver=driver,
        mig_mode=mig_mode.lower() if mig_mode else None,
        pci_bus_id=pci_bus_id,
        compute_capability=compute_capability,
    )


def _known(field: str) -> str | None:
    """"[N/A]", "[Not Supported]", "[Unknown Error]": a bracket where a value would be is no value."""
    return None if not field or field.startswith("[") or field == "N/A" else field


def parse_mig_devices(text: str) -> dict[str, tuple[MigDevice, ...]]:
    """MIG devices by the uuid of their GPU, from the answer to `nvidia-smi -L`."""
    found: dict[str, tuple[MigDevice, ...]] = {}
    gpu = None
    for line in text.splitlines():
        if match := re.match(r"GPU \d+: .*\(UUID: (GPU-[0-9A-Za-z-]+)\)", line):
            gpu = match[1]
        elif (match := re.match(r"\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[0-9A-Za-z/-]+)\)", line)) and gpu is not None:
            found[gpu] = (*found.get(gpu, ()), MigDevice(uuid=match[2], profile=match[1]))
    return found


def read_minor(pci_bus_id: str | None, driver_gpus: Path = DRIVER_GPUS) -> int | None:
    """N of the device file /dev/nvidiaN, which need not be the index."""
    # nvidia-smi prints eight digits of PCI domain, the kernel four.
    match = re.fullmatch(r"[0-9A-F]{4}([0-9A-F]{4}:[0-9A-F]{2}:[0-9A-F]{2}\.[0-9A-F])", pci_bus_id or "", re.IGNORECASE)
    if match is None:
        return None
    try:
        information = (driver_gpus / match[1].lower() / "information").read_text()
    except OSError:
        return None
    minor = re.search(r"^Device Minor:\s*(\d+)", information, re.MULTILINE)
    return int(minor[1]) if minor else None


def _ask(program: str, *arguments: str) -> str:
    try:
        answer = probe([program, *arguments], TIMEOUT_SECONDS)
    except ProbeTimeout as error:
        raise GpuError(f"{error}. {_HANGS}") from error
    except ProbeError as error:
        raise GpuError(f"{error}. {_MOCK_HINT}") from error
    if answer.rc not in (0, _RC_INFOROM) or "No devices were found" in answer.said:
        raise GpuError(_explain(program, answer))
    return answer.stdout


def _explain(program: str, answer: Answer) -> str:
    remedy = next((f" {what_to_do}" for words, what_to_do in _REMEDIES if words in answer.said), "")
    said = answer.said.rstrip(".") or "it said nothing"
    return f"{program} failed (exit {answer.rc}): {said}.{remedy} {_MOCK_HINT}"
