# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What each ComfyUI instance of a machine is doing, and whether it is ready. Reads only.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._comfyui_api import (
    ComfyUI,
    ComfyUIError,
    ImportFailure,
    is_loopback,
    parse_imports,
    parse_url,
    tells_of_imports,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._ports import Listener, listeners
from ansible_collections.emprops.comfyui.plugins.module_utils._systemd import (
    PROC,
    SystemdError,
    UnitState,
    journal,
    read_units,
    unit_name,
)

DIGEST_VARIABLE = b"EMPROPS_CONFIG_DIGEST"
LOG_LIMIT = 4 * 1024 * 1024
PARALLEL = 16
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  (what others listen on, not what we bind)


class InstanceStateError(Exception):
    """The instances are described in a way that cannot be looked at."""


@dataclass(frozen=True)
class InstanceSpec:
    """One instance as the inventory means it. ``log_file`` is read where the journal has nothing."""

    name: str
    unit: str
    url: str
    log_file: str | None = None


@dataclass(frozen=True)
class InstanceState:
    """One instance as it was found. What could not be found out is None, and why is in the errors."""

    spec: InstanceSpec
    port: int
    unit: UnitState | None = None
    listening: tuple[Listener, ...] = ()
    pid: int | None = None
    release: str | None = None
    config_digest: str | None = None
    comfyui_version: str | None = None
    devices: tuple[Mapping[str, Any], ...] = ()
    queue_running: int | None = None
    queue_pending: int | None = None
    # Class of each node to the module that brought it, such as "custom_nodes.<pack>"; None: not answered.
    node_types: Mapping[str, str] | None = field(default=None, repr=False)
    # None: neither the journal nor the log file could be read, so nothing is known.
    failed_imports: tuple[ImportFailure, ...] | None = None
    # What each pack added to the start, by the path that the log gives; None as above.
    import_seconds: Mapping[str, float] | None = field(default=None, repr=False)
    systemd_error: str | None = None
    answer_error: str | None = None
    log_error: str | None = None

    @property
    def ready(self) -> bool:
        return why_not_ready(self) is None


def unit_is_active(state: InstanceState) -> bool:
    return state.unit is not None and state.unit.active_state == "active"


def unit_gave_up(state: InstanceState) -> bool:
    """systemd will not try again by itself, so waiting is in vain."""
    return state.unit is not None and (state.unit.active_state == "failed" or state.unit.load_state in ("not-found", "masked"))


def belongs_to_unit(listener: Listener, state: InstanceState) -> bool:
    if listener.pid is None:
        return False
    main_pid = state.unit.main_pid if state.unit else 0
    return listener.pid == main_pid or listener.cgroup_unit == unit_name(state.spec.unit)


def strangers(state: InstanceState) -> list[Listener]:
    """Who holds the instance's port without being part of its unit."""
    return [listener for listener in state.listening if not belongs_to_unit(listener, state)]


def port_is_held(state: InstanceState) -> bool:
    return bool(state.listening) and not strangers(state)


def answers(state: InstanceState) -> bool:
    return state.comfyui_version is not None and state.node_types is not None


def missing_node_types(state: InstanceState, wanted: Iterable[str]) -> list[str]:
    return sorted(set(wanted) - set(state.node_types or {}))


def why_not_ready(state: InstanceState) -> str | None:
    """The first thing that stands between this instance and readiness, in words; None when it is ready."""
    if state.systemd_error is not None or state.unit is None:
        seen = "the instance itself answers" if answers(state) else (state.answer_error or _port_in_words(state))
        return f"the unit's state is unknown ({state.systemd_error}); {seen}"
    if state.unit.load_state == "not-found":
        return f"{state.unit.name} does not exist"
    if not unit_is_active(state):
        return _unit_in_words(state.unit)
    if not port_is_held(state):
        return _port_in_words(state)
    if not answers(state):
        return state.answer_error or "it does not answer"
    return None


def _unit_in_words(unit: UnitState) -> str:
    words = f"{unit.name} is {unit.active_state} ({unit.sub_state})"
    if unit.result not in ("", "success"):
        words += f", result {unit.result}, exit status {unit.exec_main_status}"
    return words + (f", {unit.n_restarts} restarts" if unit.n_restarts else "")


def _port_in_words(state: InstanceState) -> str:
    others = strangers(state)
    if others and state.unit is not None:
        return f"port {state.port} is held by {', '.join(map(str, others))}, not by {state.unit.name}"
    return f"nothing listens on port {state.port} yet" if not others else f"port {state.port} is held by {others[0]}"


def read_instances(specs: list[InstanceSpec], timeout: float = 5, proc: Path = PROC, *, ask: bool = True) -> list[InstanceState]:
    """Look at all instances at once, in the order given. ``timeout`` is for each request to an instance.

    Without ``ask`` only units, ports and processes are looked at: the list of node types is megabytes where there are many packs,
    and no prompt moves on while an instance writes it.
    """
    states = [InstanceState(spec, _port(spec)) for spec in specs]
    units, systemd_error = _read_units(specs)
    held = listeners([state.port for state in states], proc)
    states = [
        replace(
            state,
            unit=units.get(state.spec.unit),
            systemd_error=systemd_error,
            listening=_in_the_way(held[state.port], state.spec.url),
        )
        for state in states
    ]
    if not states:
        return []
    with ThreadPoolExecutor(max_workers=min(PARALLEL, len(states))) as pool:
        return list(pool.map(lambda state: _look(state, timeout, proc) if ask else _with_process(state, proc), states))


def _port(spec: InstanceSpec) -> int:
    try:
        unit_name(spec.unit)
        return parse_url(spec.url)[1]
    except (ComfyUIError, SystemdError) as error:
        raise InstanceStateError(f"{spec.name}: {error}") from error


def _read_units(specs: list[InstanceSpec]) -> tuple[dict[str, UnitState], str | None]:
    try:
        return read_units([spec.unit for spec in specs]), None
    except SystemdError as error:
        return {}, str(error)


def _in_the_way(found: list[Listener], url: str) -> tuple[Listener, ...]:
    """The listeners that a client of this URL could reach: the same port on another address is another's business."""
    host = parse_url(url)[0]
    return tuple(
        listener
        for listener in found
        if listener.address in (*_WILDCARDS, host) or (host == "localhost" and is_loopback(listener.address)) or not _is_address(host)
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _look(state: InstanceState, timeout: float, proc: Path) -> InstanceState:
    state = _with_process(state, proc)
    # Without systemd nobody can say whose port it is; asking shows at least whether ComfyUI answers.
    if state.listening and (state.unit is None or port_is_held(state)):
        state = _with_answers(state, timeout)
    return _with_log(state)


def _with_process(state: InstanceState, proc: Path) -> InstanceState:
    pid = state.unit.main_pid if state.unit is not None else next((listener.pid for listener in state.listening), None)
    if not pid:
        return state
    return replace(state, pid=pid, release=_release(proc / str(pid)), config_digest=_config_digest(proc / str(pid)))


def _release(process: Path) -> str | None:
    """The id in …/releases/<id>/ComfyUI, which is where the process was started, wherever `current` points by now."""
    try:
        place = PurePosixPath(str((process / "cwd").readlink()).removesuffix(" (deleted)"))
    except OSError:
        return None
    return place.parent.name if place.name == "ComfyUI" and place.parent.parent.name == "releases" else None


def _config_digest(process: Path) -> str | None:
    try:
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    values = [value for name, _, value in (variable.partition(b"=") for variable in variables) if name == DIGEST_VARIABLE]
    return values[0].decode(errors="replace")[:200] if values else None


def _with_answers(state: InstanceState, timeout: float) -> InstanceState:
    client = ComfyUI(state.spec.url, timeout)
    try:
        stats = client.system_stats()
        state = replace(
            state,
            comfyui_version=str(stats["system"].get("comfyui_version", "unknown")),
            devices=tuple(device for device in stats["devices"] if isinstance(device, dict)),
        )
        queue = client.queue()
        state = replace(state, queue_running=len(queue.running), queue_pending=len(queue.pending))
        info = client.object_info()
        modules = {name: str(node.get("python_module", "")) for name, node in info.items() if isinstance(node, dict)}
        return replace(state, node_types=modules)
    except ComfyUIError as error:
        return replace(state, answer_error=str(error))


def _with_log(state: InstanceState) -> InstanceState:
    problems = []
    for read in (_read_journal, _read_log_file):
        try:
            text = read(state)
        except (SystemdError, OSError) as error:
            problems.append(str(error))
            continue
        imports = parse_imports(text)
        if imports.failures or tells_of_imports(text):
            return replace(state, failed_imports=imports.failures, import_seconds=imports.seconds)
    return replace(state, log_error="; ".join(problems) or "no log tells how the imports went")


def _read_journal(state: InstanceState) -> str:
    started = state.unit is not None and state.unit.invocation_id
    return journal(invocation_id=started, limit=LOG_LIMIT) if started else ""


def _read_log_file(state: InstanceState) -> str:
    return _tail(Path(state.spec.log_file)) if state.spec.log_file else ""


def _tail(path: Path) -> str:
    """The end of a regular file: a pipe or a device under this name would make us wait."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is not a regular file")
        file.seek(max(0, status.st_size - LOG_LIMIT))
        return file.read(LOG_LIMIT).decode(errors="replace")


def to_result(state: InstanceState) -> dict[str, Any]:
    """The state as a module returns it: plain values, and the node types as their number."""
    reason = why_not_ready(state)
    failed = state.failed_imports
    return {
        "name": state.spec.name,
        "unit": state.spec.unit,
        "unit_state": state.unit.active_state if state.unit else "unknown",
        "sub_state": state.unit.sub_state if state.unit else "unknown",
        "restarts": state.unit.n_restarts if state.unit else None,
        "pid": state.pid,
        "port": state.port,
        "url": state.spec.url,
        "listening": [
            {
                "address": listener.address,
                "pid": listener.pid,
                "program": listener.program,
                "unit": listener.cgroup_unit,
                "ours": belongs_to_unit(listener, state),
            }
            for listener in state.listening
        ],
        "ready": reason is None,
        "reason": reason,
        "comfyui_version": state.comfyui_version,
        "devices": [dict(device) for device in state.devices],
        "queue_running": state.queue_running,
        "queue_pending": state.queue_pending,
        "node_types": None if state.node_types is None else len(state.node_types),
        "release": state.release,
        "config_digest": state.config_digest,
        "failed_imports": None
        if failed is None
        else [{"pack": one.pack, "error": one.error, "missing_module": one.missing_module, "traceback": one.traceback} for one in failed],
        "import_seconds": None if state.import_seconds is None else dict(state.import_seconds),
        "log_error": state.log_error,
    }
