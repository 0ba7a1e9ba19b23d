# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""One deployment at a time per machine: a file that says which run of Ansible, from where, is changing it.

A run is longer than any one process on the machine, so no lock of the kernel can stand for it. The file names the
controller's process instead: a later run from the same controller can see whether that one still lives. For a run
from elsewhere nobody can tell, so its claim ends some hours after its last sign of life.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible_collections.emprops.comfyui.plugins.module_utils._files import put_json

FILE_NAME = "deploy.json"


class DeployLockError(Exception):
    """Another run holds the machine."""


@dataclass(frozen=True)
class Run:
    """One run of Ansible. `controller` tells apart machines, boots and containers; `process` is "pid:start time"."""

    controller: str
    process: str
    who: str
    since: str

    def is_same(self, other: Run) -> bool:
        return (self.controller, self.process) == (other.controller, other.process)

    def __str__(self) -> str:
        return f"{self.who} (process {self.process.partition(':')[0]} of the controller, since {self.since})"


def read_holder(state: Path) -> Run | None:
    """The run that holds the machine. Raises DeployLockError where the file cannot be understood."""
    path = state / FILE_NAME
    try:
        return Run(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise DeployLockError(f"{path} cannot be read: {error}; if no other run is under way, remove it") from error


def hold(state: Path, run: Run, *, wait: float, stale: float, gone: Run | None = None) -> Run | None:
    """Take the machine for this run; returns the run whose place was taken, if there was one.

    `gone` is a run that is known to be dead. One that nobody can ask counts as dead after `stale` seconds.
    Raises DeployLockError.
    """
    state.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait
    while True:
        with _alone(state):
            holder = read_holder(state)
            if holder is None or holder.is_same(run) or (gone and holder.is_same(gone)) or _age(state) > stale:
                put_json(state / FILE_NAME, asdict(run))
                return None if holder is None or holder.is_same(run) else holder
        if time.monotonic() >= deadline:
            raise DeployLockError(
                f"this machine is being changed by {holder}; wait for it, or remove {state / FILE_NAME} if that run is dead"
            )
        time.sleep(min(1, max(0.05, deadline - time.monotonic())))


def release(state: Path, run: Run) -> bool:
    """Give the machine back, if this run holds it."""
    if not state.is_dir():
        return False
    with _alone(state):
        holder = read_holder(state)
        if holder is None or not holder.is_same(run):
            return False
        (state / FILE_NAME).unlink()
        return True


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Looking and taking are one step: two runs that find a dead holder must not both take its place."""
    with (state / "deploy.lock").open("a", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _age(state: Path) -> float:
    """Seconds since the holder took the machine or last worked on its releases."""
    times = []
    for name in (FILE_NAME, "releases.lock"):
        with suppress(OSError):
            times.append((state / name).stat().st_mtime)
    return time.time() - max(times, default=0.0)


# --- on the controller -------------------------------------------------------------------------------------------


def this_run(pid: int, proc: Path = Path("/proc")) -> Run:
    """The run of Ansible whose main process is `pid`."""
    who = f"{os.environ.get('USER') or os.getuid()}@{os.uname().nodename}"
    return Run(_controller(proc), f"{pid}:{_start_time(pid, proc)}", who, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


def is_dead(run: Mapping[str, str], proc: Path = Path("/proc")) -> bool:
    """Whether a run was started from this very controller and its process is gone. In doubt it lives."""
    if run.get("controller") != _controller(proc):
        return False
    pid, _, started = str(run.get("process", "")).partition(":")
    return pid.isdigit() and _start_time(int(pid), proc) != started


def _controller(proc: Path) -> str:
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{os.uname().nodename}/{boot}/{(proc / 'self/ns/pid').readlink()}"
    except OSError:  # no Linux: nothing tells processes apart for certain, so no run is ever taken for dead
        return f"{os.uname().nodename}/{time.time_ns()}"


def _start_time(pid: int, proc: Path) -> str:
    try:
        # The name in parentheses may hold anything; the fields after it do not.
        return (proc / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "gone"
