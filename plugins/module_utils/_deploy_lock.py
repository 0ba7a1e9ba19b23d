# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""One deployment at a time per machine: a file that says which run of Ansible, from where, is changing it.

A run is longer than any one process on the machine, so no lock of the kernel can stand for it. The file names the
controller's process instead: a later run from the same controller can see whether that one still lives.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

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


def hold(state: Path, run: Run, *, wait: float, gone: Run | None = None) -> None:
    """Take the machine for this run. `gone` is a run that is known to be dead. Raises DeployLockError."""
    state.mkdir(parents=True, exist_ok=True)
    path = state / FILE_NAME
    deadline = time.monotonic() + wait
    while True:
        holder = read_holder(state)
        if holder is not None and holder.is_same(run):
            return
        if holder is not None and gone is not None and holder.is_same(gone):
            path.unlink(missing_ok=True)
        elif holder is not None and time.monotonic() >= deadline:
            raise DeployLockError(f"this machine is being changed by {holder}; wait for it, or remove {path} if that run is dead")
        elif holder is not None:
            time.sleep(min(1, max(0.05, deadline - time.monotonic())))
            continue
        # Written aside and linked: whoever links first has it, and nobody ever reads half a file.
        partial = path.with_name(f".{FILE_NAME}.{threading.get_native_id()}")
        with partial.open("w", encoding="utf-8") as file:
            file.write(json.dumps(asdict(run)) + "\n")
            file.flush()
            os.fsync(file.fileno())  # an empty one after a power cut would need somebody to remove it
        try:
            os.link(partial, path)
        except FileExistsError:
            continue
        finally:
            partial.unlink()
        return


def release(state: Path, run: Run) -> bool:
    """Give the machine back, if this run holds it."""
    holder = read_holder(state)
    if holder is None or not holder.is_same(run):
        return False
    (state / FILE_NAME).unlink(missing_ok=True)
    return True


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
