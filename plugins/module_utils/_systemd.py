# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What systemd knows about a unit, and which unit a process belongs to. Reads only.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.emprops.comfyui.plugins.module_utils._probe import Answer, ProbeError, probe

TIMEOUT_SECONDS = 20
PROC = Path("/proc")

_UNIT_NAME = re.compile(r"[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*\.(service|target|timer|socket|path|slice|scope|mount)")
_INVOCATION_ID = re.compile(r"[0-9a-f]{32}")

# Property of systemctl → field of UnitState.
_PROPERTIES = {
    "LoadState": "load_state",
    "ActiveState": "active_state",
    "SubState": "sub_state",
    "Result": "result",
    "UnitFileState": "unit_file_state",
    "InvocationID": "invocation_id",
}
_NUMBERS = {
    "MainPID": "main_pid",
    "NRestarts": "n_restarts",
    "ExecMainStatus": "exec_main_status",
    "ExecMainStartTimestampMonotonic": "exec_main_start_monotonic",
}


class SystemdError(Exception):
    """systemd could not be asked."""


@dataclass(frozen=True)
class UnitState:
    """A unit as `systemctl show` tells it; a unit that does not exist is "not-found" and "inactive"."""

    name: str
    load_state: str = ""
    active_state: str = ""
    sub_state: str = ""
    result: str = ""
    unit_file_state: str = ""
    invocation_id: str = ""
    main_pid: int = 0
    n_restarts: int = 0
    exec_main_status: int = 0
    exec_main_start_monotonic: int = 0  # microseconds since boot; 0: never started


def unit_name(name: str) -> str:
    """The full name, ".service" being what systemctl assumes; refuses what is no name, options and globs included."""
    full = name if re.search(r"\.[a-z]+$", name) else f"{name}.service"
    if not _UNIT_NAME.fullmatch(full) or len(full) > 255:
        raise SystemdError(f"{name!r} is not the name of a systemd unit")
    return full


def read_units(names: Iterable[str]) -> dict[str, UnitState]:
    """Every unit by the name it was asked with, in one call to systemctl."""
    wanted = {name: unit_name(name) for name in names}
    full_names = list(dict.fromkeys(wanted.values()))
    if not full_names:
        return {}
    properties = ",".join([*_PROPERTIES, *_NUMBERS])
    answer = _run(["systemctl", "show", "--no-pager", f"--property={properties}", "--", *full_names])
    states = parse_units(full_names, answer.stdout)
    return {name: states[full] for name, full in wanted.items()}


def parse_units(names: list[str], text: str) -> dict[str, UnitState]:
    """`systemctl show` prints one block per unit, in the order asked, with an empty line between."""
    blocks = [block for block in re.split(r"\n\s*\n", text.strip()) if block]
    if len(blocks) != len(names):
        raise SystemdError(f"systemctl described {len(blocks)} units where {len(names)} were asked for: {', '.join(names)}")
    return {name: _parse_unit(name, block) for name, block in zip(names, blocks, strict=True)}


def _parse_unit(name: str, block: str) -> UnitState:
    found = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
    texts = {field: found.get(key, "") for key, field in _PROPERTIES.items()}
    # Units that are not services lack the numbers; "[not set]" is systemd's word for none.
    numbers = {field: int(found.get(key, "")) if found.get(key, "").isdigit() else 0 for key, field in _NUMBERS.items()}
    return UnitState(name, **texts, **numbers)  # type: ignore[arg-type]


def journal(*, invocation_id: str | None = None, unit: str | None = None, lines: int | None = None, limit: int = 4 * 1024 * 1024) -> str:
    """Messages alone, oldest first: of one invocation or of a unit, the last ``lines`` or (None) from the start up to ``limit`` bytes."""
    command = ["journalctl", "--no-pager", "--quiet", "--output=cat"]
    if lines is not None:
        command.append(f"--lines={int(lines)}")
    if invocation_id is not None:
        if not _INVOCATION_ID.fullmatch(invocation_id):
            raise SystemdError(f"{invocation_id!r} is not the id of a unit's invocation")
        command.append(f"_SYSTEMD_INVOCATION_ID={invocation_id}")
    elif unit is not None:
        command.append(f"--unit={unit_name(unit)}")
    else:
        raise SystemdError("the journal is read for one invocation or for one unit")
    return _run(command, limit).stdout


def unit_of(pid: int, proc: Path = PROC) -> str | None:
    """The system unit whose control group holds the process; None for strangers to systemd and processes that are gone."""
    trees, roots = _cgroups(pid, proc), _cgroups(1, proc)
    # Version 1 keeps systemd's tree under a name of its own; version 2 has one tree without a name; some machines mount both.
    for tree in ("name=systemd", ""):
        unit = _first_unit(trees.get(tree, ""), roots.get(tree, ""))
        if unit is not None:
            return unit
    return None


def _cgroups(pid: int, proc: Path) -> dict[str, str]:
    try:
        lines = (proc / str(pid) / "cgroup").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return {controllers: path for controllers, _, path in (line.partition(":")[2].partition(":") for line in lines)}


def _first_unit(path: str, root: str) -> str | None:
    # In a container that sees its host's tree, the machine's own tree starts where its PID 1 is.
    root = re.sub(r"/(init\.scope|system\.slice)$", "", root).rstrip("/")
    if root and path.startswith(f"{root}/"):
        path = path[len(root) :]
    # The first part that is not a slice: what users and containers name inside their own units proves nothing.
    for part in path.strip("/").split("/"):
        if part.endswith((".service", ".scope")):
            return part
        if not part.endswith(".slice"):
            return None
    return None


def _run(command: list[str], limit: int = 16 * 1024 * 1024) -> Answer:
    try:
        answer = probe(command, TIMEOUT_SECONDS, limit)
    except ProbeError as error:
        raise SystemdError(str(error)) from error
    if answer.rc != 0:
        raise SystemdError(f"{command[0]} failed: {answer.said or f'exit {answer.rc}'}")
    return answer
