# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What every source of models is: it knows its addresses, and answers what is asked about the files behind them.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import RefusedError, check_model_name

# Models with the same key are asked about together.
Key = tuple[str, ...]


class SourceError(Exception):
    """Nothing can be said about a model; the message says why."""

    def __init__(self, message: str, gated: bool | None = None) -> None:
        super().__init__(message)
        self.gated = gated


@dataclass(frozen=True)
class AskedModel:
    name: str
    directory: str
    url: str | None = None
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Answer:
    """What a source says about one file; None is what it does not say."""

    url: str
    file_name: str | None
    sha256: str | None = None
    size: int | None = None
    approximate_size: int | None = None
    gated: bool | None = None
    pickle_scan: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suggestion:
    """A file of the same name, which may be another one: for a person to look at."""

    source: str
    url: str
    file_name: str
    sha256: str | None = None


class Source(Protocol):
    name: str

    def key(self, model: AskedModel) -> Key | None:
        """What to ask to learn about this model; None when it is not of this source. Raises SourceError."""

    def ask(self, key: Key, models: Sequence[AskedModel]) -> Sequence[Answer | SourceError]:
        """One answer for each model of the key. Raises SourceError and DownloadError where there is none for all of them."""

    def propose(self, name: str) -> Sequence[Suggestion]:
        """Files of exactly this name. Raises DownloadError."""


def safe_file_name(text: object) -> str | None:
    """The last part of a path or name that a server gave, if it can be a file's name."""
    try:
        return check_model_name(text).rpartition("/")[2] if isinstance(text, str) else None
    except RefusedError:
        return None


def scan_result(status: object) -> str | None:
    """What a source's own scan for code in a file found, in three words for all sources."""
    if not isinstance(status, str):
        return None
    return {"safe": "safe", "success": "safe", "unsafe": "unsafe", "danger": "unsafe"}.get(status.lower(), "unknown")
