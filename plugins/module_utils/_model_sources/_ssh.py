# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A file on another machine, through the system's ssh.

    ssh://[user@]host[:port]/folder/name        any machine with a shell: stat and tail of its system read the file
    ssh+store://[user@]host[:port]/type/name    a machine whose key for us is bound to serve_models.py of the role models, which
                                                hands out what lies in its store and nothing else; the path is relative to that store

Both answer with the same: a line of mode, size, mtime and inode; the bytes; the line again, so that a file that was replaced or written
to meanwhile is noticed. The path of an address is written with %-escapes. An entry of allowed_hosts is an address without its path, and
means exactly that scheme, user, host and port. The host's key must be known; no password is ever asked for.
Private to this collection: it may change in any release.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import shlex
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import IO, cast
from urllib.parse import quote, unquote

from ansible_collections.emprops.comfyui.plugins.module_utils._command import machine_environment
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._file import straight_path
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._offer import Offer, Transport
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError, PassingError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import Link
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import printable

ALIVE_SECONDS = 15
# A machine that lets packets vanish is asked for no longer than this, each time.
CONNECT_SECONDS = 15
ERRORS_LIMIT = 64 * 1024
LINE_LIMIT = 100
PIPE_SIZE = 1024 * 1024
STORE_COMMAND = "emprops-models"

_ORIGIN = (
    r"(?P<scheme>ssh|ssh\+store)://(?:(?P<user>[A-Za-z_][A-Za-z0-9_.-]*)@)?"
    r"(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
)
_ADDRESS = re.compile(rf"{_ORIGIN}(?P<path>/[^?#]*)")
_ENTRY = re.compile(rf"{_ORIGIN}/?")
_OPTION_PATH = re.compile(r'/[^"%$\\\x00-\x1f\x7f]*')
_LINE = re.compile(rb"(?P<mode>[0-9a-f]{1,8}) (?P<size>[0-9]{1,18}) -?[0-9]{1,18} [0-9]{1,20}")

# What ssh itself says when another try would end the same; its other words are about connections.
_FINAL = {
    "REMOTE HOST IDENTIFICATION HAS CHANGED": "its host key is not the one that {known_hosts} has for it; if the machine was made anew, "
    "put the new key there",
    "REVOKED HOST KEY": "its host key was revoked",
    "Host key verification failed": "its host key is not in {known_hosts}",
    "UNPROTECTED PRIVATE KEY FILE": "ssh does not take {key}, because others may read it",
    "Permission denied (": "it does not let us in with {key}",
    "Too many authentication failures": "it does not let us in with {key}",
    "no matching ": "it and we have no way to connect in common",
}

# A client's patience: tries again what raised PassingError.
Patiently = Callable[[Callable[[], bytes]], bytes]


@dataclass(frozen=True)
class Address:
    scheme: str
    user: str
    host: str
    port: int
    path: str = ""

    @property
    def place(self) -> str:
        """The host as messages name it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (f"{self.user}@" if self.user else "") + host + (f":{self.port}" if self.port != 22 else "")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}{quote(self.path)}"


def is_ssh_address(url: str) -> bool:
    return url.lower().startswith(("ssh:", "ssh+store:"))


def is_allowed(url: str, allowed_hosts: Sequence[str]) -> bool:
    """Whether an entry of the list is this address up to its path."""
    try:
        _check_allowed(parse_address(url), allowed_hosts)
    except DownloadError:
        return False
    return True


def parse_address(url: str) -> Address:
    """Raises DownloadError, whose text never holds the address: it may have a password in it."""
    match = _ADDRESS.fullmatch(url)
    if match is None:
        raise DownloadError("the address is not ssh://[user@]host[:port]/path (without a password, and with %23 for # and %3F for ?)")
    try:
        path = straight_path(unquote(match["path"], errors="strict"))
    except UnicodeDecodeError:
        raise DownloadError("the path of the address is not UTF-8") from None
    origin = _origin(match)
    if not 0 < origin.port < 65536:
        raise DownloadError("the address has a port that there is not")
    if origin.scheme == "ssh+store" and any(part.startswith(".") for part in path.split("/")):
        raise DownloadError("a store hands out no hidden files")
    return replace(origin, path=path)


@dataclass(frozen=True)
class SshOptions:
    """Files of ours; without them ssh looks where it usually does."""

    key_file: Path | None = None
    known_hosts_file: Path | None = None
    timeout: float = 60.0
    # Machines that could not be reached, and why: one file's patience with them is enough for all.
    lost: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def names(self) -> dict[str, str]:
        """What messages call them."""
        return {"key": str(self.key_file or "our usual keys"), "known_hosts": str(self.known_hosts_file or "our known_hosts")}

    def argv(self, address: Address, command: str) -> list[str]:
        """The whole command line; `--` and what parse_address lets pass keep the address from being an option. Raises DownloadError."""
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "ConnectTimeout": str(max(1, min(CONNECT_SECONDS, round(self.timeout)))),
            "ServerAliveInterval": str(ALIVE_SECONDS),
            "ServerAliveCountMax": "3",
            "LogLevel": "ERROR",
            "Port": str(address.port),
        }
        if self.known_hosts_file:
            options |= {"UserKnownHostsFile": _quoted(self.known_hosts_file), "GlobalKnownHostsFile": "none"}
        if self.key_file:
            if not os.access(self.key_file, os.R_OK):
                raise DownloadError(f"the key {self.key_file} for ssh cannot be read")
            options |= {"IdentityFile": _quoted(self.key_file), "IdentitiesOnly": "yes", "IdentityAgent": "none"}
        if address.user:
            options["User"] = address.user
        given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        # No configuration file adds a proxy command, a shared connection or another name for the host.
        return ["ssh", "-F", "none", "-T", *given, "--", address.host, command]


class SshDownload:
    source = "ssh"
    transport: Transport = "stream"

    def __init__(self, url: str, allowed_hosts: Sequence[str], options: SshOptions, patiently: Patiently) -> None:
        """Raises DownloadError where the list does not allow it."""
        self._address = parse_address(url)
        _check_allowed(self._address, allowed_hosts)
        self.printable = str(self._address)
        self._options = options
        self._patiently = patiently
        self._line = b""

    def look(self, name: str) -> Offer:
        place = self._address.place
        if place in self._options.lost:
            raise DownloadError(self._options.lost[place])
        try:
            self._line = self._patiently(self._look)
        except DownloadError as error:
            if isinstance(error.__cause__, _LostError):
                self._options.lost[place] = str(error)
            raise
        return Offer(size=_size(self._line), etag=_etag(self._line), address=self.printable, ranges=False)

    def link(self) -> Link:
        raise NotImplementedError

    def fetch(self, path: Path, progress: Callable[[int], None]) -> None:
        raise NotImplementedError

    def stream(self, start: int) -> SshStream:
        return SshStream(_Session(self._address, self._options, read_command(self._address, start)), start, self._line)

    def _look(self) -> bytes:
        with _Session(self._address, self._options, look_command(self._address)) as session:
            line = session.describe()
            session.end()
            return line


class SshStream:
    """The bytes from an offset on to the end; what was looked at before, or an error."""

    def __init__(self, session: _Session, start: int, expected: bytes) -> None:
        self._session, self._start, self._line = session, start, expected
        self._left = 0

    def __enter__(self) -> SshStream:
        self._session.__enter__()
        try:
            line = self._session.describe()
            if self._line not in (b"", line):
                raise PassingError(f"{self._session.where} is another file now than a moment ago")
            self._line = line
            self._left = max(0, _size(line) - self._start)
        except BaseException:
            self._session.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._session.__exit__(kind, error, trace)

    def readinto(self, view: memoryview) -> int:
        if self._left:
            count = self._session.readinto(view[: self._left])
            if not count:
                self._session.end()
                raise PassingError(f"{self._session.where} was cut short while it was read")
            self._left -= count
            return count
        if not self._session.ended:
            line = self._session.read_line()
            if not line:
                self._session.end()
            if line != self._line:
                raise PassingError(f"{self._session.where} was written to while it was read")
            self._session.end()
        return 0


class _LostError(PassingError):
    """It is the connection that failed, not the file."""


class _Session:
    """One command on the other machine; its process is ended and reaped whatever happens."""

    def __init__(self, address: Address, options: SshOptions, command: str) -> None:
        self._address, self._options, self._command = address, options, command
        self.where = str(address)
        self.ended = False

    def __enter__(self) -> _Session:
        argv = self._options.argv(self._address, self._command)
        try:
            self._process = subprocess.Popen(
                argv,
                cwd="/",
                env=machine_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise DownloadError("there is no ssh on this machine; its package is openssh-client") from None
        except OSError as error:
            raise DownloadError(f"cannot run ssh: {error.strerror}") from error
        self._output, self._errors = cast(IO[bytes], self._process.stdout), cast(IO[bytes], self._process.stderr)
        with suppress(OSError):  # an account may have used up its share of large pipes
            fcntl.fcntl(self._output, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        self._said = b""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._listener.join(1)
        self._output.close()
        self._errors.close()

    def readinto(self, view: memoryview) -> int:
        """What is there, and at least a byte before the end."""
        waiting = select.poll()  # select() takes no number above 1023
        waiting.register(self._output, select.POLLIN)
        if not waiting.poll(self._options.timeout * 1000):
            raise PassingError(f"{self._address.place} sent nothing for {self._options.timeout:g} seconds")
        return os.readv(self._output.fileno(), [view])

    def read_line(self) -> bytes:
        """Byte by byte, for what follows it is for somebody else's buffer."""
        line, byte = bytearray(), bytearray(1)
        while len(line) < LINE_LIMIT and self.readinto(memoryview(byte)) and byte != b"\n":
            line += byte
        return bytes(line)

    def describe(self) -> bytes:
        """The line about the file, which is in front of everything else."""
        line = self.read_line()
        if not line:
            self.end()
        match = _LINE.fullmatch(line)
        if match is None:
            raise DownloadError(f"{self._address.place} does not answer as agreed (does a login script print something there?)")
        if not stat.S_ISREG(int(match["mode"], 16)):
            raise DownloadError(f"{self.where} is not a file")
        return line

    def end(self) -> None:
        """Wait for its end, and raise what was wrong."""
        try:
            status = self._process.wait(self._options.timeout)
        except subprocess.TimeoutExpired:
            raise PassingError(f"{self._address.place} does not end the connection") from None
        self.ended = True
        if status:
            raise self._explain(status)

    def _listen(self) -> None:
        """Keep the last of its errors; unread, they would stop it."""
        while chunk := os.read(self._errors.fileno(), ERRORS_LIMIT):
            self._said = (self._said + chunk)[-ERRORS_LIMIT:]

    def _explain(self, status: int) -> DownloadError:
        self._listener.join(1)
        said = self._said.decode("utf-8", "replace")
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        words = printable(lines[-1] if lines else f"exit {status}")
        place = self._address.place
        if status not in (255, -signal.SIGHUP, -signal.SIGTERM, -signal.SIGKILL):
            return DownloadError(f"{self.where} cannot be read: {words}")
        for mark, why in _FINAL.items():
            if mark in said:
                return DownloadError(f"ssh to {place}: {why.format(**self._options.names)} ({words})")
        return _LostError(f"ssh to {place} broke: {words}")


def look_command(address: Address) -> str:
    if address.scheme == "ssh+store":
        return shlex.join([STORE_COMMAND, "look", address.path[1:]])
    return f"env LC_ALL=C stat -L -c '%f %s %Y %i' -- {shlex.quote(address.path)}"


def read_command(address: Address, start: int) -> str:
    if address.scheme == "ssh+store":
        return shlex.join([STORE_COMMAND, "read", str(start), address.path[1:]])
    look = look_command(address)
    return f"{look} && env LC_ALL=C tail -c +{start + 1} -- {shlex.quote(address.path)} && {look}"


def _check_allowed(address: Address, allowed_hosts: Sequence[str]) -> None:
    origins = [_origin(match) for match in map(_ENTRY.fullmatch, allowed_hosts) if match]
    if replace(address, path="") not in origins:
        raise DownloadError(f"{address.scheme}://{address.place} is not on the list of allowed hosts")


def _origin(match: re.Match[str]) -> Address:
    return Address(match["scheme"], match["user"] or "", match["host"].strip("[]").lower(), int(match["port"] or 22))


def _size(line: bytes) -> int:
    return int(line.split()[1])


def _etag(line: bytes) -> str:
    return f'"{line.decode().partition(" ")[2].replace(" ", "-")}"'


def _quoted(path: Path) -> str:
    """A path as a value of an option of ssh, which expands % and ${} and splits at blanks. Raises DownloadError."""
    if not _OPTION_PATH.fullmatch(str(path)):
        raise DownloadError(f'ssh cannot be told the path {path}: it must be absolute, without " % $ and \\')
    return f'"{path}"'
