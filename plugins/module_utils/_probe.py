# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Ask a program that may hang, even inside a driver, or answer without end.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

OUTPUT_LIMIT = 16 * 1024 * 1024
# A process stuck inside a driver ignores even SIGKILL; it is left behind rather than waited for.
KILL_SECONDS = 2


class ProbeError(Exception):
    """The program could not be run, or did not end in time."""


class ProbeTimeout(ProbeError):
    """It was still at work when the time was over."""


@dataclass(frozen=True)
class Answer:
    rc: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """What a person would have read, on one line: tools differ in which stream carries the error."""
        return " ".join(f"{self.stderr}\n{self.stdout}".split())[:1000]


def probe(command: Sequence[str], timeout: float, limit: int = OUTPUT_LIMIT) -> Answer:
    """Run to the end, or until ``limit`` bytes were read: that much is then the answer, with rc 0."""
    name = command[0]
    with tempfile.TemporaryFile() as stderr:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise ProbeError(f"there is no {name} on this machine") from error
        except OSError as error:
            raise ProbeError(f"cannot run {name}: {error.strerror or error}") from error
        assert process.stdout is not None  # noqa: S101  (for mypy: it was asked for above)
        output = bytearray()
        reader = threading.Thread(target=_read, args=(process.stdout, output, limit), daemon=True)
        reader.start()
        reader.join(timeout)
        try:
            if reader.is_alive():
                raise ProbeTimeout(f"{name} did not finish within {timeout:g} seconds")
            if len(output) >= limit:
                return Answer(0, output.decode(errors="replace"), "")
            try:
                rc = process.wait(KILL_SECONDS)
            except subprocess.TimeoutExpired as error:
                raise ProbeTimeout(f"{name} closed its output and did not end") from error
        finally:
            _end(process, reader)
        stderr.seek(0)
        return Answer(rc, output.decode(errors="replace"), stderr.read(64 * 1024).decode(errors="replace"))


def _read(source: IO[bytes], output: bytearray, limit: int) -> None:
    while len(output) < limit:
        chunk = os.read(source.fileno(), min(64 * 1024, limit - len(output)))
        if not chunk:
            return
        output += chunk


def _end(process: subprocess.Popen[bytes], reader: threading.Thread) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(KILL_SECONDS)
    reader.join(KILL_SECONDS)
    if process.stdout is not None and not reader.is_alive():
        process.stdout.close()
