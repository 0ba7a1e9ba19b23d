# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who listens on a TCP port of this machine. Reads /proc alone, asks no tool and touches no socket.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.emprops.comfyui.plugins.module_utils._systemd import PROC, unit_of

_LISTEN = "0A"


@dataclass(frozen=True)
class Listener:
    """One process on one address. Without the right to look, pid, program and cgroup_unit are None."""

    pid: int | None
    program: str | None
    cgroup_unit: str | None
    address: str

    def __str__(self) -> str:
        if self.pid is None:
            return "a process that cannot be seen from here"
        return f"{self.program or 'a process'} (pid {self.pid}{f', {self.cgroup_unit}' if self.cgroup_unit else ''})"


def listeners(ports: Iterable[int], proc: Path = PROC) -> dict[int, list[Listener]]:
    """For every port asked, who listens on it; an empty list is a free port."""
    found: dict[int, list[Listener]] = {port: [] for port in ports}
    sockets = [(port, address, inode) for port, address, inode in _listening_sockets(proc) if port in found]
    holders = _holders({inode for _, _, inode in sockets}, proc) if sockets else {}
    for port, address, inode in sockets:
        for pid in holders.get(inode, [None]):
            program = _program(pid, proc) if pid is not None else None
            unit = unit_of(pid, proc) if pid is not None else None
            found[port].append(Listener(pid, program, unit, address))
    return found


def _listening_sockets(proc: Path) -> Iterator[tuple[int, str, str]]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except FileNotFoundError:  # a kernel without IPv6
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTEN:
                address, _, port = fields[1].partition(":")
                yield int(port, 16), _address(address), fields[9]


def _address(text: str) -> str:
    """The kernel prints an address as 32-bit words in the byte order of the machine."""
    raw = bytes.fromhex(text)
    if sys.byteorder == "little":
        raw = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
    return str(ipaddress.ip_address(raw))


def _holders(inodes: set[str], proc: Path) -> dict[str, list[int | None]]:
    """Every process that holds one of the sockets: forked children share their parent's."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[str, list[int | None]] = {}
    for pid in sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()):
        for link in _open_files(proc / str(pid) / "fd") & wanted.keys():
            found.setdefault(wanted[link], []).append(pid)
    return found


def _open_files(folder: Path) -> set[str]:
    links = set()
    # Processes and their files may go away while we look; another user's are closed to us.
    with contextlib.suppress(OSError):
        for file in folder.iterdir():
            with contextlib.suppress(OSError):
                links.add(str(file.readlink()))
    return links


def _program(pid: int, proc: Path) -> str | None:
    """The program's name, with its script where an interpreter runs one. The other arguments may hold secrets."""
    try:
        arguments = (proc / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    name = Path(arguments[0]).name
    if re.match(r"(python|node|ruby|perl|bash|sh)[0-9.]*$", name):
        script = next((argument for argument in arguments[1:] if not re.match(r"-[bBEIOqsSum]+$", argument)), "-")
        if not script.startswith("-"):
            name = f"{name} {Path(script).name}"
    return re.sub(r"[^ -~]", "?", name)[:100] or None
