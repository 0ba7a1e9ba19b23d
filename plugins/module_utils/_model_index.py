# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""`models.json`: which files of the store are known to be good, so that each costs one stat instead of a hash.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._model_claims import Claim, ClaimError, Claims

INDEX_NAME = "models.json"
# The source of a file that was there before anybody asked one.
FIRST_SEEN = "first seen"
SAVE_INTERVAL = 5.0
LEASE = 10.0
LONGEST_WAIT = 2 * LEASE
LITTER_AGE = 3600.0


class ModelsIndexError(Exception):
    """The index cannot be written; the text names it."""


@dataclass(frozen=True)
class IndexEntry:
    """A file whose digest was computed here, and how it looked then."""

    size: int
    mtime_ns: int
    inode: int
    sha256: str
    source: str
    when: str
    first_seen: bool = True  # nobody had published the digest: it only says that the file is still what it was


class Index:
    """Many processes may have it open at once: each adds what it learned. A lost or garbled entry costs one hash."""

    def __init__(self, state_dir: Path, read_only: bool = False) -> None:
        self._path = state_dir / INDEX_NAME
        self._read_only = read_only
        self._entries = self._read()
        self._news: dict[str, IndexEntry | None] = {}  # None: forgotten
        self._saved = time.monotonic()
        self._lock = threading.Lock()
        self._saving = threading.Lock()

    def known(self, path: Path, found: os.stat_result) -> IndexEntry | None:
        """What is known about a file, if it is still the one that was looked at."""
        entry = self._entries.get(str(path))
        return entry if entry and (entry.size, entry.mtime_ns, entry.inode) == signature(found) else None

    def last(self, path: Path) -> IndexEntry | None:
        """What was known about a file when it was looked at last, whatever became of it since."""
        return self._entries.get(str(path))

    def record(self, path: Path, found: os.stat_result, sha256: str, source: str, first_seen: bool) -> IndexEntry:
        """Remember a digest. `source` is kept and printed: an address without its secrets."""
        when = datetime.now(timezone.utc).isoformat(timespec="seconds")
        entry = IndexEntry(*signature(found), sha256, source, when, first_seen)
        self._note(path, entry)
        return entry

    def same_bytes(self, sha256: str) -> list[Path]:
        """The files with this digest that are there and still as they were."""
        with self._lock:
            paths = [Path(name) for name, entry in self._entries.items() if entry.sha256 == sha256]
        return [path for path in sorted(paths) if self._is_current(path)]

    def forget(self, path: Path) -> None:
        self._note(path, None)

    def moved(self, old: Path, new: Path) -> None:
        """A file got another name; where it became another file too (another inode), it has to be recorded anew."""
        entry = self._entries.get(str(old))
        self._note(old, None)
        if entry is not None:
            self._note(new, entry)

    def refresh(self) -> None:
        """Learn what other runs have written meanwhile."""
        with self._lock:
            entries = self._read()
            _apply(self._news, entries)
            self._entries = entries

    def save(self) -> None:
        """Add what this run learned to what other runs have written meanwhile. Raises ModelsIndexError."""
        with self._saving:
            self._save(patient=True)

    def save_in_passing(self) -> None:
        """Save now and then, so that a run that is killed loses little; whether it can be saved is said at the end."""
        if time.monotonic() - self._saved > SAVE_INTERVAL and self._saving.acquire(blocking=False):
            try:
                with contextlib.suppress(ModelsIndexError):
                    self._save(patient=False)
            finally:
                self._saved = time.monotonic()
                self._saving.release()

    def _note(self, path: Path, entry: IndexEntry | None) -> None:
        with self._lock:
            self._news[str(path)] = entry
            _apply({str(path): entry}, self._entries)

    def _is_current(self, path: Path) -> bool:
        try:
            return self.known(path, path.stat()) is not None
        except OSError:
            return False

    def _save(self, patient: bool) -> None:
        with self._lock:
            news = dict(self._news)
        if not news or self._read_only:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with _claimed(self._path, patient) as ours:
                if not ours and not patient:
                    return
                entries = self._read()
                _apply(news, entries)
                self._write(entries)
        except OSError as error:
            raise ModelsIndexError(f"cannot write {self._path}: {error.strerror}") from error
        except ClaimError as error:
            raise ModelsIndexError(f"cannot write {self._path}: {error}") from error
        with self._lock:  # what was learned meanwhile is for the next time
            self._news = {path: entry for path, entry in self._news.items() if path not in news or news[path] is not entry}

    def _write(self, entries: dict[str, IndexEntry]) -> None:
        draft = self._path.with_name(f".{INDEX_NAME}.{secrets.token_hex(8)}.new")
        try:
            with draft.open("x", encoding="ascii") as file:
                files = {path: asdict(entry) for path, entry in sorted(entries.items())}
                file.write(json.dumps({"version": 1, "files": files}, indent=1) + "\n")
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            _sweep(draft)
            draft.replace(self._path)
        finally:
            draft.unlink(missing_ok=True)

    def _read(self) -> dict[str, IndexEntry]:
        try:
            files = json.loads(self._path.read_bytes())["files"]
            return {path: entry for path, words in files.items() if (entry := _parse(words)) is not None}
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return {}


def signature(found: os.stat_result) -> tuple[int, int, int]:
    """What changes when a file is written or replaced."""
    return found.st_size, found.st_mtime_ns, found.st_ino


def _parse(words: dict[str, Any]) -> IndexEntry | None:
    """One entry; None where it is garbled."""
    try:
        entry = IndexEntry(**words)
    except TypeError:
        return None
    numbers, texts = (entry.size, entry.mtime_ns, entry.inode), (entry.sha256, entry.source, entry.when)
    good = all(type(number) is int for number in numbers) and all(type(text) is str for text in texts)
    return entry if good and type(entry.first_seen) is bool else None


def _apply(news: dict[str, IndexEntry | None], entries: dict[str, IndexEntry]) -> None:
    for path, entry in news.items():
        if entry is None:
            entries.pop(path, None)
        else:
            entries[path] = entry


@contextlib.contextmanager
def _claimed(path: Path, patient: bool) -> Iterator[bool]:
    """Reading, adding and writing are one step. Whether we are alone: nobody waits for ever for the sake of a few hashes."""
    deadline = time.monotonic() + (LONGEST_WAIT if patient else 0)
    with Claims(LEASE) as claims:
        claim: Claim | None = claims.take(path)
        while claim is None and time.monotonic() < deadline:
            time.sleep(0.05)
            claim = claims.take(path)
        yield claim is not None


def _sweep(draft: Path) -> None:
    """Remove what killed processes left. Both times are the file system's."""
    litter = re.compile(re.escape(f".{INDEX_NAME}.") + r"[0-9a-f]{16}\.new")
    now = draft.stat().st_mtime
    for path in draft.parent.iterdir():
        if litter.fullmatch(path.name):
            with contextlib.suppress(FileNotFoundError):
                if now - path.lstat().st_mtime > LITTER_AGE:
                    path.unlink()
