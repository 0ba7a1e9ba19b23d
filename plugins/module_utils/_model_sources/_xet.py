# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A file that Hugging Face hands out in pieces of its Xet storage alone: hf_xet fetches it, in an environment and a process of its own.

    <tools_dir>/huggingface-<version>-<hf_xet's>/      the environment; it has its name once all of it is there and works
    .<name>.<key>.xet/  beside the file                what is on its way; the next run removes what a killed one left

The program gets its token in its environment, has no home but that folder, and does not resume: huggingface_hub throws away what it began.
Private to this collection: it may change in any release.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from ansible_collections.emprops.comfyui.plugins.module_utils._command import (
    CommandError,
    machine_environment,
    package_index_environment,
    run,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._file import straight_path
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError, PassingError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import _WORDS
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import printable

# Moved together.
HUB_VERSION = "2.4.0"
XET_VERSION = "1.8.0"

INSTALL_SECONDS = 900
STALL_SECONDS = 300.0
WATCH_SECONDS = 0.5
OUTPUT_LIMIT = 64 * 1024
# An environment that nobody finished within this time never will be.
LEFT_BEHIND_SECONDS = 24 * 3600

_PASSING_STATUS = (408, 425, 429)
_MAKING = threading.Lock()

# Ends with us, whatever ends us, for then its standard input does. Says on its last line what went wrong; the errors of
# huggingface_hub carry the server's answer, or are caused by one that does.
_PROGRAM = """
import json, os, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(3)), daemon=True).start()
kind, repository, revision, name, folder, seconds = sys.argv[1:]
try:
    from huggingface_hub import hf_hub_download
    hf_hub_download(repository, name, repo_type=kind, revision=revision, local_dir=folder, etag_timeout=float(seconds))
except Exception as error:
    told = error
    while getattr(told, "response", None) is None and told.__cause__ is not None:
        told = told.__cause__
    response = getattr(told, "response", None)
    headers = {} if response is None else response.headers
    print()
    print(json.dumps({
        "words": f"{type(told).__name__}: {told}"[:4000],
        "status": getattr(response, "status_code", None),
        "code": headers.get("X-Error-Code", ""),
        "pause": headers.get("Retry-After", ""),
        "errno": getattr(told, "errno", None),
        "final": isinstance(told, (ValueError, TypeError, ImportError)),
    }))
    sys.exit(1)
"""


@dataclass(frozen=True)
class XetFile:
    """One file of a repository, whose kind is model, dataset or space; `base` is the hub."""

    base: str
    kind: str
    repository: str
    revision: str
    path: str
    token: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.repository}/{self.path}"


@dataclass(frozen=True)
class XetTools:
    """Where the environment is made, of which interpreter, and from which index besides the machine's own."""

    folder: Path | None
    interpreter: str = ""
    index_url: str = ""

    def python(self) -> Path:
        """The environment's interpreter; made by uv where that is, else by venv and pip. Raises DownloadError."""
        if self.folder is None:
            raise DownloadError("hf_xet is needed, and there is no tools_dir to install it into")
        target = self.folder / f"huggingface-{HUB_VERSION}-{XET_VERSION}"
        python = target / "bin/python"
        with _MAKING:
            if not _works(python):
                try:
                    self.folder.mkdir(parents=True, exist_ok=True)
                    _remove_left_behind(self.folder)
                    with tempfile.TemporaryDirectory(dir=self.folder, prefix=".huggingface-") as scratch:
                        self._make(Path(scratch) / "new")
                        self._put(Path(scratch), target)
                except OSError as error:
                    raise DownloadError(f"cannot install hf_xet into {self.folder}: {error.strerror or error}") from error
        return python

    def _make(self, place: Path) -> None:
        packages = [f"huggingface_hub[hf_xet]=={HUB_VERSION}", f"hf_xet=={XET_VERSION}"]
        interpreter = self.interpreter or "python3"
        uv = self._uv()
        if uv:
            commands = [
                [uv, "venv", "--quiet", "--no-project", "--python", interpreter, str(place)],
                [uv, "pip", "install", "--quiet", "--only-binary", ":all:", "--python", f"{place}/bin/python", *packages],
            ]
        else:
            commands = [
                [interpreter, "-m", "venv", str(place)],
                [f"{place}/bin/python", "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *packages],
            ]
        commands.append([f"{place}/bin/python", "-I", "-c", "import huggingface_hub, hf_xet"])
        try:
            for command in commands:
                run(command, env=self._environment(place.parent), timeout=INSTALL_SECONDS)
        except CommandError as error:
            said = printable(error.output.strip().rpartition("\n")[2]) or printable(str(error))
            raise DownloadError(f"cannot install hf_xet {XET_VERSION} from the package index: {said}") from error

    def _put(self, scratch: Path, target: Path) -> None:
        """Give the new environment its name, unless another process was faster; a broken one makes room."""
        if not _works(target / "bin/python"):
            with suppress(FileNotFoundError):
                target.rename(scratch / "broken")
            with suppress(FileExistsError):
                (scratch / "new").rename(target)

    def _uv(self) -> str | None:
        own = sorted(self.folder.glob("uv-*/uv")) if self.folder else []
        return str(own[-1]) if own else shutil.which("uv", path=machine_environment()["PATH"])

    def _environment(self, scratch: Path) -> dict[str, str]:
        index = package_index_environment()
        if self.index_url:
            index["UV_DEFAULT_INDEX"] = self.index_url
        pip = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_NO_CACHE_DIR": "1"}
        if index.get("UV_DEFAULT_INDEX"):
            pip["PIP_INDEX_URL"] = index["UV_DEFAULT_INDEX"]
        uv = {"UV_NO_CACHE": "1", "UV_NO_PROGRESS": "1", "UV_NATIVE_TLS": "1", "UV_SYSTEM_CERTS": "1", "UV_PYTHON_DOWNLOADS": "never"}
        return {**index, **pip, **uv, "HOME": str(scratch), "TMPDIR": str(scratch)}


def fetch(file: XetFile, tools: XetTools, path: Path, progress: Callable[[int], None]) -> None:
    """Make the whole file at `path`, saying now and then how many bytes there are. Raises DownloadError, OSError."""
    straight_path(f"/{file.path}")
    python = tools.python()
    work = work_folder(path)
    _remove(work)
    work.mkdir(mode=0o700)
    try:
        _download(file, python, work, progress)
        made = work / "file" / file.path
        found = made.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise DownloadError(f"{file}: huggingface_hub left no file")
        made.replace(path)
        progress(found.st_size)
    finally:
        _remove(work)


def work_folder(path: Path) -> Path:
    """Where the bytes are until they are all there: the same for the next process that fetches this file."""
    name = re.sub(r"\.[0-9a-f]{8}\.part(?:\.whole)?$", "", path.name)
    return path.with_name(f"{'' if name.startswith('.') else '.'}{name}.xet")


def _download(file: XetFile, python: Path, work: Path, progress: Callable[[int], None]) -> None:
    environment = {
        **machine_environment(),
        "HF_ENDPOINT": file.base.rstrip("/"),
        "HF_HOME": str(work / "home"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_XET_CHUNK_CACHE_SIZE_BYTES": "0",
        "HOME": str(work),
        "TMPDIR": str(work),
        **({"HF_TOKEN": file.token} if file.token else {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}),
    }
    arguments = [file.kind, file.repository, file.revision, file.path, str(work / "file"), "30"]
    try:
        process = subprocess.Popen(
            [str(python), "-I", "-c", _PROGRAM, *arguments],
            cwd="/",
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,
        )
    except OSError as error:
        raise DownloadError(f"cannot run {python}: {error.strerror}") from error
    with process:  # which closes its pipes and waits for its end
        try:
            said = _watch(process, cast(IO[bytes], process.stdout), work, progress)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise _explain(file, process.returncode, said, work)


def _watch(process: subprocess.Popen[bytes], output: IO[bytes], work: Path, progress: Callable[[int], None]) -> str:
    """Wait for the end of a process and return its last words; one whose file does not grow is given up."""
    os.set_blocking(output.fileno(), False)
    said = b""
    size, grown = 0, time.monotonic()
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(WATCH_SECONDS)
        with suppress(BlockingIOError):
            while chunk := os.read(output.fileno(), OUTPUT_LIMIT):
                said = (said + chunk)[-OUTPUT_LIMIT:]
        if process.returncode is not None:
            return said.decode("utf-8", "replace")
        now = _size(work)
        if now > size:
            size, grown = now, time.monotonic()
            progress(size)
        elif time.monotonic() - grown > STALL_SECONDS:
            raise PassingError(f"hf_xet brought nothing for {STALL_SECONDS:g} seconds after {size} bytes")


def _explain(file: XetFile, status: int, said: str, work: Path) -> Exception:
    try:
        told: dict[str, Any] = json.loads(said.strip().rpartition("\n")[2])
        words, answered = str(told["words"]), told["status"]
        number, code, final, pause = told["errno"], str(told["code"]), told["final"], str(told["pause"])
    except (ValueError, LookupError, TypeError):  # it was killed, or Rust ended it
        words, answered, number, code, final, pause = said.strip()[-300:] or f"it ended with {status}", None, None, "", False, ""
    if number in (errno.ENOSPC, errno.EDQUOT) or "os error 28" in words or "No space left on device" in words:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(work.parent))
    words = printable(words.replace(file.token, "***") if file.token else words).strip("\ufffd ")
    if answered is None:
        unreadable = isinstance(number, int) and number not in (errno.ECONNRESET, errno.ECONNREFUSED, errno.EPIPE, errno.ETIMEDOUT)
        kind = DownloadError if final or unreadable else PassingError
        return kind(f"{file}: hf_xet failed: {words}")
    if answered in _PASSING_STATUS or answered >= 500:
        return PassingError(f"{file}: the hub answered {answered}", float(pause) if pause.isdecimal() and len(pause) < 6 else None)
    given = "the token was sent" if file.token else "no token was sent"
    why = _WORDS.get(code) or ("a token is needed, or there is no such file" if answered == 401 else "the hub does not hand it out")
    error = DownloadError(f"{file}: {why}: {answered} ({given})")
    error.status, error.code = answered, code
    return error


def _size(work: Path) -> int:
    """How much has come; a file whose length was set in advance counts as far as it takes room."""
    total = 0
    with suppress(OSError):  # they come and go
        for path in (work / "file/.cache").rglob("*.incomplete"):
            found = path.lstat()
            total += min(found.st_size, found.st_blocks * 512)
    return total


def _works(python: Path) -> bool:
    """Whether there is an environment: its interpreter is a link to the machine's, which may have moved on."""
    return python.exists()


def _remove_left_behind(folder: Path) -> None:
    for path in folder.glob(".huggingface-*"):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > LEFT_BEHIND_SECONDS:
                _remove(path)


def _remove(folder: Path) -> None:
    """Never through a link."""
    if folder.is_symlink():
        folder.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
