# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What every source of packs is: it knows packs by the classes in them and by their ids.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class PackError(Exception):
    """Nothing can be said about a class, a pack or a version, or it is refused; the message says why."""


@dataclass(frozen=True)
class PackVersion:
    """One published version; `download_url` is None where it must not be had."""

    version: str
    status: str
    download_url: str | None = None
    deprecated: bool = False
    dependencies: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class PackAnswer:
    """What a source says about one pack."""

    id: str
    name: str | None
    title: str | None
    publisher: str | None
    repository: str | None
    install_type: str | None
    latest: PackVersion | None
    warnings: tuple[str, ...] = ()


class PackSource(Protocol):
    name: str

    def id_of_class(self, class_name: str) -> str:
        """The id of the pack that has this class. Raises PackError and DownloadError."""

    def pack(self, pack_id: str) -> PackAnswer:
        """Raises PackError, for packs that are refused too, and DownloadError."""

    def versions(self, wanted: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], PackVersion | PackError]:
        """These versions of packs. Raises DownloadError."""
