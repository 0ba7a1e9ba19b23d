# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The fetching side of a source: one address of one model, what it offers, and the ways in which its bytes come.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol

from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import Link

# Ranges over HTTP, one stream from an offset, or a program that makes the whole file.
Transport = Literal["ranges", "stream", "file"]


@dataclass(frozen=True)
class Offer:
    """What a source says about a file before it is read; `address` is fit to print, and the most exact one there is."""

    size: int | None = None
    sha256: str | None = None
    etag: str = ""
    address: str = ""
    ranges: bool = True


class Stream(Protocol):
    """Bytes that come one after the other, inside a `with`."""

    def __enter__(self) -> Stream: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def readinto(self, view: memoryview) -> int:
        """How many bytes came, 0 at the end. Raises PassingError when it broke."""


class Download(Protocol):
    """One address of one model. Only the way that `transport` names is there; the others raise NotImplementedError."""

    source: str
    printable: str

    @property
    def transport(self) -> Transport:
        """May be another one after `look`."""

    def look(self, name: str) -> Offer:
        """Ask before the first byte. Raises DownloadError and ContentError."""

    def link(self) -> Link:
        """Where the ranges are to be had right now; asked again when that has expired. Raises DownloadError."""

    def stream(self, start: int) -> Stream:
        """Raises DownloadError."""

    def fetch(self, path: Path, progress: Callable[[int], None]) -> None:
        """Make the file at `path`, saying now and then how many bytes it has. Raises DownloadError."""
