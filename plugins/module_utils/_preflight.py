# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What keeps a machine from becoming what its inventory asks. Facts in, problems out.

Runs on Python 3.8 too, so that the preflight can say which Python is missing.
Private to this collection: it may change in any release.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ansible_collections.emprops.comfyui.plugins.module_utils._reach import (
    HIDDEN,
    Address,
    AddressError,
    hide_credentials,
    parse_address,
)

if TYPE_CHECKING:
    # What is wrong and what to do about it, once for each thing; None where the check could not be made.
    Answer = list[tuple[str, str]] | None

MINIMUM_CORE = (2, 17)
MINIMUM_PYTHON = (3, 10)
ARCHITECTURES = ("x86_64", "aarch64")
HIGHEST_PORT = 65535
MOST_GPUS = 64
OUR_UNITS = "comfyui@"
GIB = 1024**3
# A machine sold with 8 GiB shows its kernel's share less than that.
KERNEL_SHARE = 0.1


@dataclass(frozen=True)
class Problem:
    check: str
    message: str
    fix: str


@dataclass(frozen=True)
class Disk:
    """The file system that a path is, or will be, on."""

    path: str
    free: int


@dataclass(frozen=True)
class Wanted:
    """What the inventory asks, as it stands there: nothing in it is trusted yet."""

    controller_version: str = "2.17.0"
    supported_os: Sequence[str] = ("ubuntu 22.04", "ubuntu 24.04", "debian 12", "debian 13")
    disk_gib: float = 40
    deployed_disk_gib: float = 5
    memory_gib: float = 8
    root: Any = "/workspace"
    base_port: Any = 8188
    gpus: Any = None
    mock_gpus: Any = 0
    expected_gpus: Any = None
    paths: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    urls: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    secrets: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Found:
    """What the machine is. None: it could not be looked at, so nothing is said about it."""

    os: Mapping[str, str]
    python: tuple[int, int]
    architecture: str
    systemd: bool
    uid: int
    memory: int
    deployed: bool = False
    disk: Disk | None = None
    gpus: int | None = None
    gpu_error: str = ""
    listeners: Mapping[int, Sequence[Any]] | None = None
    answers: Mapping[Address, str] | None = None


def check_all(wanted: Wanted, found: Found) -> tuple[list[Problem], list[str]]:
    """Every problem, and the names of the checks that could be made."""
    problems: list[Problem] = []
    made: list[str] = []
    for name, check in _CHECKS.items():
        answer = check(wanted, found)
        if answer is not None:
            made.append(name)
            problems += [Problem(name, message, fix) for message, fix in answer]
    return problems, made


def report(problems: Sequence[Problem]) -> str:
    """The one message that a person reads."""
    if not problems:
        return "This machine can become what the inventory asks."
    count = "1 thing is" if len(problems) == 1 else f"{len(problems)} things are"
    lines = [f"{number}. {problem.check}: {problem.message}.\n   Fix: {problem.fix}." for number, problem in enumerate(problems, 1)]
    return "\n".join([f"This machine is not ready: {count} wrong. Nothing on it was changed.", *lines])


def read_found(wanted: Wanted) -> Found:
    """The part of the facts that needs no other tool and no network."""
    root = str(wanted.root) if not _path_problem(wanted.root) else ""
    return Found(
        os=read_os_release(),
        python=(sys.version_info[0], sys.version_info[1]),
        architecture=platform.machine(),
        systemd=Path("/run/systemd/system").is_dir(),
        uid=os.geteuid(),
        memory=read_memory(),
        deployed=bool(root) and os.path.lexists(f"{root}/current"),
        disk=read_disk(root) if root else None,
    )


def read_os_release(path: Path = Path("/etc/os-release")) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}


def read_memory(path: Path = Path("/proc/meminfo")) -> int:
    total = re.search(r"^MemTotal:\s+(\d+) kB$", path.read_text(encoding="ascii"), re.MULTILINE)
    return int(total.group(1)) * 1024 if total else 0


def read_disk(root: str) -> Disk:
    """Ask the nearest parent that exists: the folder itself comes with the first installation."""
    path = Path(root)
    while not path.exists():
        path = path.parent
    return Disk(path=str(path), free=shutil.disk_usage(str(path)).free)


def wanted_ports(wanted: Wanted, found_gpus: int | None) -> list[int]:
    """The port of each instance; none where the inventory's own values make no sense."""
    base = _integer(wanted.base_port)
    if base is None or _value_problems(wanted):
        return []
    ports = [base + index for index in _gpu_indexes(wanted, found_gpus)]
    return [port for port in ports if 0 < port <= HIGHEST_PORT]


def wanted_mock_gpus(wanted: Wanted) -> int | None:
    """None where the inventory's value makes no sense, so that the machine is not asked on its account."""
    number = _integer(wanted.mock_gpus)
    return number if number is not None and 0 <= number <= MOST_GPUS else None


def wanted_addresses(wanted: Wanted) -> dict[Address, list[str]]:
    """Each server once, with the variables that name it."""
    addresses: dict[Address, list[str]] = {}
    for variable, urls in wanted.urls.items():
        for url in urls:
            try:
                names = addresses.setdefault(parse_address(str(url)), [])
            except AddressError:
                continue
            if variable not in names:
                names.append(variable)
    return addresses


def _check_controller(wanted: Wanted, _found: Found) -> Answer:
    numbers = tuple(int(number) for number in re.findall(r"\d+", wanted.controller_version)[:2])
    if numbers >= MINIMUM_CORE:
        return []
    return [
        (
            f"the controller runs ansible-core {wanted.controller_version}, the oldest that works is {_dotted(MINIMUM_CORE)}",
            "run the playbook with the ansible-core that `make setup` installs",
        )
    ]


def _check_user(_wanted: Wanted, found: Found) -> Answer:
    if found.uid == 0:
        return []
    return [(f"tasks run with user id {found.uid} instead of root", "set become: true for this machine and let its user use sudo")]


def _check_os(wanted: Wanted, found: Found) -> Answer:
    name = f"{found.os.get('ID', '')} {found.os.get('VERSION_ID', '')}".strip()
    if name in wanted.supported_os:
        return []
    return [
        (
            f"{found.os.get('PRETTY_NAME') or name or 'an operating system without /etc/os-release'} is not supported",
            f"use one of {', '.join(wanted.supported_os)}, or add '{name}' to preflight_supported_os",
        )
    ]


def _check_architecture(_wanted: Wanted, found: Found) -> Answer:
    if found.architecture in ARCHITECTURES:
        return []
    return [(f"the processor is {found.architecture}", f"use a machine with {' or '.join(ARCHITECTURES)}")]


def _check_python(_wanted: Wanted, found: Found) -> Answer:
    if found.python >= MINIMUM_PYTHON:
        return []
    return [
        (
            f"Python on the machine is {_dotted(found.python)}, the oldest that works is {_dotted(MINIMUM_PYTHON)}",
            "install a newer Python and name it in ansible_python_interpreter",
        )
    ]


def _check_systemd(_wanted: Wanted, found: Found) -> Answer:
    if found.systemd:
        return []
    return [("systemd does not run here, and the instances are its units", "use a machine, or a container, that boots with systemd")]


def _check_memory(wanted: Wanted, found: Found) -> Answer:
    if found.memory >= wanted.memory_gib * GIB * (1 - KERNEL_SHARE):
        return []
    return [
        (
            f"the machine has {found.memory / GIB:.1f} GiB of memory, {wanted.memory_gib:g} are needed",
            "use a larger machine, or lower preflight_memory_gib",
        )
    ]


def _check_disk(wanted: Wanted, found: Found) -> Answer:
    if found.disk is None:
        return None
    floor, variable = (
        (wanted.deployed_disk_gib, "preflight_deployed_disk_gib") if found.deployed else (wanted.disk_gib, "preflight_disk_gib")
    )
    if found.disk.free >= floor * GIB:
        return []
    return [
        (
            f"{wanted.root} would be on a disk (at {found.disk.path}) with {found.disk.free / GIB:.1f} GiB free, {floor:g} are needed",
            f"make room, move comfyui_root to a larger disk, or lower {variable}",
        )
    ]


def _check_values(wanted: Wanted, _found: Found) -> Answer:
    return _value_problems(wanted)


def _check_gpus(wanted: Wanted, found: Found) -> Answer:
    if found.gpu_error:
        return [(found.gpu_error, "install the NVIDIA driver, or set docker_gpu_mock_gpus for a machine without GPUs")]
    if found.gpus is None:
        return None
    declared = _integer(wanted.expected_gpus)
    missing = [index for index in _gpu_indexes(wanted, found.gpus) if index >= found.gpus] if wanted.gpus else []
    if declared is not None and declared > found.gpus:
        return [
            (
                f"the inventory declares {_counted(declared)}, the machine shows {found.gpus}",
                "look at nvidia-smi -L on the machine, or correct docker_gpu_expected_gpus",
            )
        ]
    if missing:
        return [
            (
                f"the inventory wants an instance on GPU {', '.join(map(str, missing))}, the machine shows {_counted(found.gpus)}",
                "look at nvidia-smi -L on the machine, or correct comfyui_instances_gpus",
            )
        ]
    return []


def _check_ports(_wanted: Wanted, found: Found) -> Answer:
    if found.listeners is None or found.uid != 0:  # only root sees who holds a port
        return None
    strangers: dict[int, list[str]] = {}
    for port, listeners in found.listeners.items():
        for listener in listeners:
            name = str(listener)
            if not (listener.cgroup_unit or "").startswith(OUR_UNITS) and name not in strangers.setdefault(port, []):
                strangers[port].append(name)
    return [
        (f"port {port} is held by {' and '.join(names)}", "stop that program yourself, or choose another comfyui_instances_base_port")
        for port, names in strangers.items()
        if names
    ]


def _check_secrets(wanted: Wanted, _found: Found) -> Answer:
    return [
        (f"{secret['name']} is not set and is needed for {secret['needed_for']}", f"set {secret['name']}, best from a vault")
        for secret in wanted.secrets
        if not secret["present"]
    ]


def _check_servers(wanted: Wanted, found: Found) -> Answer:
    if found.answers is None:
        return None
    return [
        (
            f"{address} cannot be reached from the machine: {found.answers[address]}",
            f"check {', '.join(variables)} and the machine's network, name server and proxy settings",
        )
        for address, variables in wanted_addresses(wanted).items()
        if found.answers.get(address)
    ]


# What is wrong with the controller and the inventory comes first, then the machine, then the world around it.
_CHECKS: dict[str, Callable[[Wanted, Found], Answer]] = {
    "controller": _check_controller,
    "inventory": _check_values,
    "secrets": _check_secrets,
    "user": _check_user,
    "os": _check_os,
    "architecture": _check_architecture,
    "python": _check_python,
    "systemd": _check_systemd,
    "memory": _check_memory,
    "disk": _check_disk,
    "gpus": _check_gpus,
    "ports": _check_ports,
    "servers": _check_servers,
}


def _value_problems(wanted: Wanted) -> list[tuple[str, str]]:
    problems = _number_problems(wanted)
    for variable, path in {"comfyui_root": wanted.root, **wanted.paths}.items():
        reason = _path_problem(path)
        if not reason and variable == "comfyui_root" and _is_the_systems(path):
            reason = "is a folder of the system or somebody's home, which is not ours to own"
        if reason:
            problems.append((f"{variable} ({path!r}) {reason}", "give an absolute path such as /workspace"))
    for variable, names in wanted.names.items():
        for name in names:
            reason = _name_problem(name)
            if reason:
                problems.append((f"{variable} has the name {name!r}, which {reason}", "give a name, perhaps with folders in front"))
    for variable, urls in wanted.urls.items():
        for url in urls:
            problems += _url_problems(variable, str(url))
    return problems


def _number_problems(wanted: Wanted) -> list[tuple[str, str]]:
    problems = []
    for variable, value in {"docker_gpu_mock_gpus": wanted.mock_gpus, "docker_gpu_expected_gpus": wanted.expected_gpus}.items():
        number = _integer(value)
        if value is not None and (number is None or not 0 <= number <= MOST_GPUS):
            problems.append((f"{variable} is {value!r}", f"give a whole number from 0 to {MOST_GPUS}"))
    indexes = wanted.gpus if isinstance(wanted.gpus, list) else [wanted.gpus] if wanted.gpus is not None else []
    numbers = [_integer(index) for index in indexes]
    if any(number is None or not 0 <= number < MOST_GPUS for number in numbers) or len(set(numbers)) < len(numbers):
        problems.append((f"comfyui_instances_gpus is {wanted.gpus!r}", "list each GPU index once, such as [0, 1]"))
        numbers = []
    base = _integer(wanted.base_port)
    last = (base or 0) + max((number for number in numbers if number is not None), default=0)
    if base is None or not 0 < base <= HIGHEST_PORT:
        problems.append((f"comfyui_instances_base_port is {wanted.base_port!r}", f"give a port from 1 to {HIGHEST_PORT}"))
    elif last > HIGHEST_PORT:
        problems.append((f"GPU {last - base} would need port {last}, which does not exist", "lower comfyui_instances_base_port"))
    return problems


def _path_problem(path: Any) -> str:
    if not isinstance(path, str) or not path.startswith("/"):
        return "is not an absolute path"
    if any(character.isspace() or not character.isprintable() for character in path):
        return "has spaces or control characters in it"
    if ".." in PurePosixPath(path).parts:
        return "goes back with .."
    if not path.strip("/."):
        return "is the root of the whole machine"
    return ""


def _is_the_systems(path: str) -> bool:
    parts = PurePosixPath(path).parts[1:]
    # Below these nothing stays, or nobody but root may enter.
    if parts[:1] and parts[0] in {"tmp", "run", "dev", "proc", "sys", "root", "boot"}:
        return True
    return len(parts) < 2 and parts[0] in {"bin", "etc", "home", "lib", "media", "mnt", "opt", "sbin", "srv", "usr", "var"} or (
        len(parts) == 2 and parts[0] == "home"
    )


def _name_problem(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        return "is empty or no name"
    if any(part in {"", ".", ".."} for part in name.replace("\\", "/").split("/")):
        return "does not lead straight down"
    if not name.isprintable():
        return "has control characters in it"
    return ""


def _url_problems(variable: str, url: str) -> list[tuple[str, str]]:
    shown = hide_credentials(url)
    problems = []
    try:
        parse_address(url)
    except AddressError as error:
        problems.append((f"{variable}: '{shown}' {error}", f"correct {variable}"))
    if HIDDEN in shown:
        problems.append((f"{variable}: '{shown}' carries a credential", "take it out of the address, which ends in logs"))
    return problems


def _gpu_indexes(wanted: Wanted, found_gpus: int | None) -> list[int]:
    if wanted.gpus:
        listed = wanted.gpus if isinstance(wanted.gpus, list) else [wanted.gpus]
        return [number for number in map(_integer, listed) if number is not None]
    count = _integer(wanted.mock_gpus) or _integer(wanted.expected_gpus) or found_gpus or 0
    return list(range(min(count, MOST_GPUS)))


def _integer(value: Any) -> int | None:
    """A whole number, also as text: a value given with --extra-vars comes as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
        return int(value)
    return None


def _counted(gpus: int) -> str:
    return "1 GPU" if gpus == 1 else f"{gpus} GPUs"


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
