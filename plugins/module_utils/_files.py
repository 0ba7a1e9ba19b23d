# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Files that are whole or as they were, also after a power cut.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def put_text(path: Path, text: str, *, mode: int = 0o644, dry: bool = False) -> bool:
    """Make a file hold `text` with these permissions; returns whether that is a change. Raises OSError."""
    try:
        same = path.read_text(encoding="utf-8") == text and path.stat().st_mode & 0o777 == mode
    except (FileNotFoundError, UnicodeDecodeError):
        same = False
    if same or dry:
        return not same
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    # Never readable by others, not even while it is being written.
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fchmod(handle, mode)  # what open() gave it went through the umask
        os.fsync(handle)
    partial.replace(path)
    return True


def put_json(path: Path, data: Any) -> bool:
    """The same for a value as JSON."""
    return put_text(path, as_json(data))


def as_json(data: Any) -> str:
    """A value as the text of a file that people read too."""
    return json.dumps(data, indent=2, sort_keys=True) + "\n"


class LockedError(Exception):
    """Another process has it; the text says which one, and which file is locked."""


@contextmanager
def exclusive(path: Path, wait: float) -> Iterator[None]:
    """Hold the lock of a file, which names its holder; the kernel ends it with the process. Raises LockedError, OSError."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    holder = os.pread(handle, 200, 0).decode("utf-8", "replace").strip() or "another process"
                    raise LockedError(f"{holder}; {path} is locked") from None
                time.sleep(0.2)
        os.truncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} since {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def read_text(path: Path) -> str:
    """What a file holds; nothing where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def read_own(path: Path, uid: int) -> str:
    """What a regular file of this account holds, read as root without being led elsewhere; nothing where there is none such.

    A link there could lead to what that account may not read, and a pipe would hang.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(handle, encoding="utf-8", errors="replace") as file:
        state = os.fstat(handle)
        return file.read() if stat.S_ISREG(state.st_mode) and state.st_uid == uid else ""


def give(folder: Path, uid: int, gid: int) -> None:
    """Make a folder an account's. Never through a link, which that account may have put there. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(handle, uid, gid)
    finally:
        os.close(handle)


def environment_line(name: str, value: str) -> str:
    """One line of a systemd EnvironmentFile; systemd evaluates nothing in it, but it reads backslashes and quotes."""
    escape = str.maketrans({"\\": "\\\\", '"': '\\"', "$": "\\$", "`": "\\`"})
    return f'{name}="{value.translate(escape)}"\n'
