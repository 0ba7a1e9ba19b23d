# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A file on this machine or on a share that is mounted here: `file:///folder/name`, or its absolute path as it is.

Nothing is read unless it lies, links resolved, below a `file:///folder` of allowed_hosts. `<name>.sha256` beside it, as sha256sum
writes it, is its published digest.
Private to this collection: it may change in any release.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._offer import Offer, Transport
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError, PassingError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import Link

DIGESTS_LIMIT = 1024 * 1024
_DIGEST_LINE = re.compile(r"(?P<digest>[0-9a-fA-F]{64})(?: [ *](?P<name>.+))?")


def is_file_address(url: str) -> bool:
    return url.startswith("/") or url.lower().startswith("file:")


def straight_path(text: str) -> str:
    """A path that leads straight down from its first slash. Raises DownloadError, which never holds the path."""
    if any(part in ("", ".", "..") for part in text[1:].split("/")) or not text.startswith("/"):
        raise DownloadError("the path leads straight down from /: no empty part, no '.' and no '..'")
    if not text.isprintable():
        raise DownloadError("the path has control, invisible or undecodable characters")
    return text


def parse_path(url: str) -> Path:
    """The path that an address stands for. Raises DownloadError."""
    if url.startswith("/"):
        return Path(straight_path(url))
    try:
        parts = urlsplit(url)
        path = unquote(parts.path, errors="strict")
    except ValueError:
        raise DownloadError("the url is malformed") from None
    if parts.scheme != "file" or parts.netloc or "?" in url or "#" in url:
        raise DownloadError("the address of a file is file:///folder/name, with %23 for # and %3F for ?")
    return Path(straight_path(path))


class FileDownload:
    source = "file"
    transport: Transport = "stream"

    def __init__(self, url: str, allowed_hosts: Sequence[str]) -> None:
        """Raises DownloadError where the list does not allow it."""
        self._url = url
        self._allowed_hosts = tuple(allowed_hosts)
        self._path = parse_path(url)
        self.printable = self._path.as_uri()
        self._etag = ""
        _find(url, allowed_hosts)

    def look(self, name: str) -> Offer:
        with _open(self._url, self._allowed_hosts) as file:
            found = os.fstat(file.fileno())
        self._etag = _etag(found)
        return Offer(size=found.st_size, sha256=self._published(), etag=self._etag, address=self.printable, ranges=False)

    def link(self) -> Link:
        raise NotImplementedError

    def fetch(self, path: Path, progress: Callable[[int], None]) -> None:
        raise NotImplementedError

    def stream(self, start: int) -> FileStream:
        return FileStream(lambda: _open(self._url, self._allowed_hosts), self.printable, start, self._etag)

    def _published(self) -> str | None:
        """The digest beside the file; one that cannot be read was put there to be checked, so it is an error."""
        beside = self._path.with_name(f"{self._path.name}.sha256")
        try:
            with _open(str(beside), self._allowed_hosts) as file:
                text = file.read(DIGESTS_LIMIT).decode("utf-8", "replace")
        except _MissingError:
            return None
        for line in text.splitlines():
            match = _DIGEST_LINE.fullmatch(line.strip())
            if match and match["name"] in (None, self._path.name, f"./{self._path.name}"):
                return match["digest"].lower()
        raise DownloadError(f"{beside} has no sha256 of {self._path.name}")


class FileStream:
    """The bytes from an offset on to the end; what was looked at before, or an error."""

    def __init__(self, opened: Callable[[], BinaryIO], where: str, start: int, etag: str) -> None:
        self._opened, self._where, self._start, self._etag = opened, where, start, etag

    def __enter__(self) -> FileStream:
        self._file = self._opened()
        self._begun = _etag(os.fstat(self._file.fileno()))
        if self._etag not in ("", self._begun):
            self._file.close()
            raise PassingError(f"{self._where} is another file now than a moment ago")
        self._left = max(0, os.fstat(self._file.fileno()).st_size - self._start)
        self._file.seek(self._start)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def readinto(self, view: memoryview) -> int:
        if not self._left:
            if _etag(os.fstat(self._file.fileno())) != self._begun:
                raise PassingError(f"{self._where} was written to while it was read")
            return 0
        try:
            count = os.readv(self._file.fileno(), [view[: self._left]])
        except OSError as error:
            raise PassingError(f"cannot read {self._where}: {error.strerror}") from error
        if not count:
            raise PassingError(f"{self._where} was cut short while it was read")
        self._left -= count
        return count


class _MissingError(DownloadError):
    """There is no such file."""


def _find(url: str, allowed_hosts: Sequence[str]) -> Path:
    """The real path, if it may be read. A link that leads out of the folders is refused like any other path there."""
    path = parse_path(url)
    real = _resolve(path)
    _check_place(real, path, allowed_hosts)
    return real


def _check_place(real: Path, path: Path, allowed_hosts: Sequence[str]) -> None:
    for entry in allowed_hosts:
        if entry.lower().startswith("file:"):
            folder = _resolve(Path("/") if entry.lower() == "file:///" else parse_path(entry.rstrip("/")))
            if real.is_relative_to(folder):
                return
    raise DownloadError(f"{path.as_uri()} is in no folder that allowed_hosts names (file:///folder)")


def _resolve(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, in older versions of Python
        raise DownloadError(f"cannot follow {path}: {error}") from error


def _open(url: str, allowed_hosts: Sequence[str]) -> BinaryIO:
    path = _find(url, allowed_hosts)
    try:
        # A pipe would keep us waiting, and a link that appeared after the look may lead anywhere.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _MissingError(f"there is no file {path} on this machine (is the share mounted?)") from None
    except OSError as error:
        raise DownloadError(f"cannot open {path}: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise DownloadError(f"{path} is not a file")
        # Asked of the file that is open, so that a folder which became a link since the look gains nothing.
        _check_place(Path(f"/proc/self/fd/{handle}").readlink(), path, allowed_hosts)
    except BaseException:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb", buffering=0)


def _etag(found: os.stat_result) -> str:
    return f'"{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ino:x}"'
