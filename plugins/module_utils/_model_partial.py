# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The bytes of one file on their way: written beside the target at any offset, hashed in order behind, resumed, published.

    .<name>.<key>.<nonce>.part        the bytes; the nonce makes it this process's alone
    .<name>.<key>.<nonce>.part.json   the journal: what of them is on the disk for certain

The journal is {"version", "key", "etag", "origin", "total", "extents": [[start, end], …], "checkpoints": {end: sha256 of all before}}.
An extent gets into it only after the fdatasync that made it durable, so that after a kill or a power cut it tells no lie.
Nothing that may be another process's is ever truncated or written to: who starts over begins a new file.
Private to this collection: it may change in any release.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import HEAD_SIZE
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError

MIB = 1024 * 1024
BLOCK_SIZE = MIB
# How far apart the checkpoints are; large files have them further apart, so that the journal stays small.
CHECKPOINT_STEP = 64 * MIB
MOST_CHECKPOINTS = 1024
SPACE_CHECK_INTERVAL = 64 * MIB
# Whoever hashes is woken for this much, or for the end, and looks up after that much.
HASH_BATCH = 4 * MIB
HASH_ROUND = 256 * MIB
# A journal of ours has a few extents and MOST_CHECKPOINTS; a larger one is not read.
LARGEST_JOURNAL = 256 * 1024

# What is missing after one of these is not known: nothing of the file can be trusted.
_LOST_BYTES = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
# With what is added to it, in all its variants, it stays below the 255 bytes that a name may have.
_LONGEST_STEM = 200
# The last two are drafts: of a journal, and of a file that another program makes.
_PARTIAL = re.compile(
    r"\.?\.(?P<stem>.+)\.(?P<key>[0-9a-f]{8})\.(?P<nonce>[0-9a-f]{8})\.part(?P<kind>|\.json|\.json\.partial|\.whole)", re.DOTALL
)


@dataclass
class Extents:
    """Half-open ranges of a file, in order and apart."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, ranges: Iterable[tuple[int, int]]) -> Extents:
        extents = cls()
        for start, end in ranges:
            extents.add(start, end)
        return extents

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(list(zip(self.starts, self.ends, strict=True)))

    def add(self, start: int, end: int) -> None:
        if start >= end:
            return
        first, last = bisect_left(self.ends, start), bisect_right(self.starts, end)
        if first < last:
            start, end = min(start, self.starts[first]), max(end, self.ends[last - 1])
        self.starts[first:last], self.ends[first:last] = [start], [end]

    def clipped(self, start: int, end: int | None = None) -> list[tuple[int, int]]:
        """The parts that lie between two places."""
        parts = ((max(first, start), last if end is None else min(last, end)) for first, last in self)
        return [(first, last) for first, last in parts if first < last]

    def without(self, gone: Iterable[tuple[int, int]]) -> Extents:
        left = list(self)
        for start, end in gone:
            left = [part for first, last in left for part in ((first, min(last, start)), (max(first, end), last)) if part[0] < part[1]]
        return Extents.of(left)

    def gaps(self, total: int) -> list[tuple[int, int]]:
        return list(Extents.of([(0, total)]).without(self))

    @property
    def prefix(self) -> int:
        """How far it goes on from the beginning without a gap."""
        return self.ends[0] if self.starts and self.starts[0] == 0 else 0

    @property
    def held(self) -> int:
        return sum(self.ends) - sum(self.starts)


@dataclass(frozen=True)
class _Journal:
    """What is known of a partial file."""

    etag: str = ""
    origin: str = ""
    total: int | None = None
    extents: tuple[tuple[int, int], ...] = ()
    checkpoints: tuple[tuple[int, str], ...] = ()


def _no_guard() -> None:
    """Nobody else wants the file."""


class Partial:
    """A partial file that this process has to itself. Any thread may write; one hashes; another saves the journal now and then."""

    def __init__(self, target: Path, key: str, reserve: int, guard: Callable[[], None] = _no_guard) -> None:
        """`guard` raises when the target is not ours to fetch any more; it is asked before each change."""
        self.target = target
        self.etag = ""
        self.origin = ""
        self.total: int | None = None
        self.resumed = False
        self.grown = threading.Condition()  # what whoever hashes waits for
        self._stem, self._key = _stem(target), _key(target, key)
        self._reserve, self._guard = reserve, guard
        self._books = threading.RLock()  # whoever saves the journal, and whoever ends or changes what it tells of
        self._handle = -1
        self._gone = False  # published or discarded
        self._lost = False  # the guard said so: what lies there may be another process's by now
        self._saved = False
        self._provable = True
        self._failed: DownloadError | None = None  # the disk's own word, once it has lost something
        self._written = 0
        self._held = Extents()
        self._old = Extents()  # what an earlier run wrote, and nobody has proved yet
        self._hash_lock = threading.Lock()
        self._buffer = memoryview(b"")
        self._digest = hashlib.sha256()
        self._hashed = 0
        self._proved = (0, hashlib.sha256())
        self._checkpoints: dict[int, str] = {}
        self._claimed: list[tuple[int, str]] = []  # checkpoints of an earlier run that are still to be met

    # life

    def __enter__(self) -> Partial:
        """Go on with the best leftover of the same target and key, or begin. Raises DownloadError, OSError."""
        self.check()
        leftovers = [(Extents.of(_read(path, self._key).extents).held, path) for path in _of_target(self.target, self._key)]
        if not any(self._adopt(path) for _held, path in sorted(leftovers, reverse=True)):
            self._begin()
        self._sweep(self._key)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave what is worth keeping, with a journal that says so."""
        with self._books:
            try:
                # Whatever the disk or the guard has to say now, the error that led here says more.
                with contextlib.suppress(Exception):
                    self._leave()
            finally:
                self._gone = True
                os.close(self._handle)

    @property
    def size(self) -> int:
        """The bytes that are there."""
        with self.grown:
            return self._held.held

    @property
    def prefix(self) -> int:
        """How many bytes are there from the beginning on."""
        with self.grown:
            return self._held.prefix

    @property
    def hashed(self) -> int:
        return self._hashed

    def resume(self, provable: bool) -> int:
        """Keep of an earlier run's bytes what can be proved, and return how many go.

        A digest that the whole file must have (provable) proves all of them at the end; without it, only what checkpoints cover
        and one strong ETag holds together is worth anything.
        """
        before = self.size
        self._provable = provable
        if not provable:
            self._claimed = [item for item in self._claimed if self.etag]
            covered = self._claimed[-1][0] if self._claimed else 0
            with self.grown:
                self._held, self._old = Extents.of([(0, covered)]), Extents.of([(0, covered)])
        if before and not self.size:
            self.start_over()
        self.resumed = self.size > 0
        return before - self.size

    def describe(self, etag: str, total: int | None, origin: str = "") -> None:
        """Note which answer the coming bytes belong to; `origin` tells addresses apart, whose ETags say nothing about each other."""
        self.etag, self.total, self.origin = etag, total, origin

    def missing(self) -> list[tuple[int, int]]:
        """The half-open ranges that are still to come, once the size is known."""
        with self.grown:
            return self._held.gaps(self.total or 0)

    def start_over(self) -> None:
        """Throw everything away. Nobody else may be writing."""
        self.check()
        with self._books:
            self._drop_files()
            self.describe("", None)
            with self.grown:
                self._held, self._old = Extents(), Extents()
            self.resumed = self._saved = False
            self._forget_hash()
            old = self._handle
            self._begin()
            os.close(old)

    def discard(self) -> None:
        """Give the room back."""
        with self._books:
            self._gone = True
            if self._drop_files() and not self._lost:
                # Unlinked, it takes its room until the last thread is done with it.
                with contextlib.suppress(OSError):
                    os.ftruncate(self._handle, 0)

    def publish(self, uid: int, gid: int) -> os.stat_result:
        """Give the file its name, once its bytes are on the disk. Raises DownloadError."""
        with self._books:
            if self._failed:
                raise self._failed
            try:
                self._publish(uid, gid)
            except OSError as error:
                if error.errno in _LOST_BYTES:
                    raise self._trouble(error) from error
                raise DownloadError(f"cannot put {self.target} in place: {error.strerror}") from error
            if self._stem == self.target.name:  # a name that was cut may be another file's too
                self._sweep()
            return os.fstat(self._handle)

    def _publish(self, uid: int, gid: int) -> None:
        self.check()
        os.fchmod(self._handle, 0o644)
        os.fchown(self._handle, uid, gid)
        os.fsync(self._handle)
        self.check()  # that may have taken minutes
        if not self._is_there():
            raise DownloadError(f"cannot put {self.target} in place: its partial file was taken away")
        self.path.replace(self.target)
        self._gone = True
        self.journal.unlink(missing_ok=True)
        _sync_folder(self.target.parent)

    # bytes

    def check(self) -> None:
        """Raise what the guard raises when the file is not ours any more."""
        try:
            self._guard()
        except BaseException:
            self._lost = True
            raise

    def write_at(self, offset: int, view: memoryview) -> None:
        """Put bytes in their place; a disk without room gets back what this file took of it. Raises DownloadError."""
        if self._failed:
            raise self._failed
        self.check()
        self._check_space(len(view))
        position = offset
        try:
            while view:
                count = os.pwrite(self._handle, view, position)
                view, position = view[count:], position + count
        except OSError as error:
            raise self._trouble(error) from error
        with self.grown:
            self._held.add(offset, position)
            # Most writers are ahead of the one who hashes, and leave it alone.
            if self._held.prefix - self._hashed >= HASH_BATCH or self._held.prefix == self.total:
                self.grown.notify_all()

    def take(self, path: Path) -> None:
        """Go on with a file that another program has made beside this one, as if its bytes had come here. Raises DownloadError."""
        self.check()
        try:
            handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise DownloadError(f"cannot open {path}, which should have been made there: {error.strerror}") from error
        found = os.fstat(handle)
        if not _is_ours(found):
            os.close(handle)
            raise DownloadError(f"{path} is not a plain file of its own")
        os.close(self._handle)
        self._handle = handle
        path.replace(self.path)
        self._forget_hash()
        with self.grown:
            self._held, self._old = Extents.of([(0, found.st_size)]), Extents()
        self.describe("", found.st_size)

    @property
    def draft(self) -> Path:
        """Where another program may make the whole file."""
        return self.path.with_name(f"{self.path.name}.whole")

    def head(self) -> bytes:
        """The first bytes, as far as they are there."""
        return os.pread(self._handle, min(HEAD_SIZE, self.prefix), 0)

    def open(self) -> BinaryIO:
        return os.fdopen(os.dup(self._handle), "rb")

    # digest

    def hash_on(self) -> list[tuple[int, int]]:
        """Hash what is there, in order. Returns what has to come again, for an earlier run's bytes are not what its checkpoints say."""
        prefix = min(self.prefix, self._hashed + HASH_ROUND)
        if not self._buffer:
            self._buffer = memoryview(bytearray(BLOCK_SIZE))
        while self._hashed < prefix:
            stop = self._claimed[0][0] if self._claimed else prefix
            end = min(prefix, stop, self._hashed + BLOCK_SIZE, (self._hashed // self._step + 1) * self._step)
            try:
                count = os.preadv(self._handle, [self._buffer[: end - self._hashed]], self._hashed)
            except OSError as error:
                # Only what was read from the disk can fail so; what was written just now is in memory.
                if error.errno != errno.EIO or not self._old.clipped(self._hashed):
                    raise
                count = 0
            if not count:
                return [] if self._gone else self._drop_old()
            with self._hash_lock:
                self._digest.update(self._buffer[:count])
                self._hashed += count
                if self._hashed % self._step == 0:
                    self._checkpoints[self._hashed] = self._digest.hexdigest()
            if self._claimed and self._claimed[0][0] == self._hashed:
                if self._claimed.pop(0)[1] != self._digest.hexdigest():
                    return self._drop_old()
                self._proved = (self._hashed, self._digest.copy())
        return []

    @property
    def behind(self) -> int:
        """The bytes that are there, in order, and not hashed yet."""
        return 0 if self._gone else self.prefix - self._hashed

    def hexdigest(self) -> str:
        """The sha256 of all that was hashed."""
        return self._digest.hexdigest()

    # journal

    def save(self) -> None:
        """Make what is there durable, then write down that it is. Raises OSError, DownloadError."""
        with self._books:
            self._save()

    def _save(self) -> None:
        if self._gone or self._lost:
            return
        self.check()
        with self._hash_lock:
            checkpoints = {**self._checkpoints, self._hashed: self._digest.hexdigest()} if self._hashed else {}
        # Those not reached yet still hold.
        checkpoints.update((end, digest) for end, digest in list(self._claimed))
        with self.grown:
            extents = list(self._held)
        if not extents:
            return
        try:
            os.fdatasync(self._handle)
        except OSError as error:
            # The kernel says so once; after that nobody would know that something is missing.
            raise self._trouble(error) from error
        self.check()
        if self._gone or not self._is_there():
            return
        self._write_journal(_Journal(self.etag, self.origin, self.total, tuple(extents), tuple(sorted(checkpoints.items()))))
        if not self._saved:
            _sync_folder(self.target.parent)
            self._saved = True

    def _leave(self) -> None:
        if self._gone or self._lost:
            return
        if self.size and (self._provable or self.etag):
            with contextlib.suppress(OSError, DownloadError):
                self.save()
        else:
            self._saved = False
        if not self._saved:
            self.discard()

    def _write_journal(self, journal: _Journal) -> None:
        data = {
            "version": 1,
            "key": self._key,
            "etag": journal.etag,
            "origin": journal.origin,
            "total": journal.total,
            "extents": journal.extents,
            "checkpoints": dict(journal.checkpoints),
        }
        draft = self.journal.with_name(f".{self.journal.name}.partial")
        draft.unlink(missing_ok=True)
        # Nothing that lies there is opened: the folder may be an account's that has fewer rights than we.
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "w") as file:
            json.dump(data, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.journal)

    # files

    def _name(self) -> None:
        self.path = self.target.with_name(f".{self._stem}.{self._key[:8]}.{secrets.token_hex(4)}.part")
        self.journal = _journal_of(self.path)

    def _begin(self) -> None:
        self._name()
        try:
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._trouble(error) from error

    def _adopt(self, old: Path) -> bool:
        """Take a leftover over, unless another process is faster or nothing is known about it."""
        journal = _read(old, self._key)
        try:
            handle = os.open(old, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        found = os.fstat(handle)
        extents = Extents.of(journal.extents).clipped(0, found.st_size)
        if not _is_ours(found) or not extents:
            os.close(handle)
            return False
        self._name()
        try:
            # The journal first: at no moment are there bytes that nobody knows.
            self._write_journal(journal)
            old.replace(self.path)
        except OSError as error:
            os.close(handle)
            self.journal.unlink(missing_ok=True)
            if isinstance(error, FileNotFoundError):
                return False
            raise DownloadError(f"cannot go on with {old}: {error.strerror}") from error
        _journal_of(old).unlink(missing_ok=True)
        self._handle = handle
        self._held, self._old = Extents.of(extents), Extents.of(extents)
        self.describe(journal.etag, journal.total, journal.origin)
        self._claimed = [item for item in journal.checkpoints if item[0] <= self._held.prefix]
        self.resumed = self._saved = True
        return True

    def _sweep(self, key: str | None = None) -> None:
        """Remove what others have left of this target (and key): they are dead, or have lost their claim."""
        for path in _of_target(self.target, key, every_kind=True):
            if self._gone or path not in (self.path, self.journal):
                with contextlib.suppress(OSError):
                    path.unlink()

    def _drop_files(self) -> bool:
        """Remove our names; says whether the file under ours was ours still."""
        ours = self._is_there()
        for path in (self.path, self.journal, self.draft):
            with contextlib.suppress(OSError):
                path.unlink()
        return ours

    def _is_there(self) -> bool:
        """Is the file under our name still the one we write to? Another process may have taken it over."""
        try:
            return os.path.samestat(os.fstat(self._handle), os.lstat(self.path))
        except OSError:
            return False

    def _drop_old(self) -> list[tuple[int, int]]:
        """Forget what an earlier run wrote behind the last place that was proved."""
        self._hashed, proved = self._proved
        self._digest = proved.copy()
        self._claimed = []
        with self.grown:
            gone = self._old.clipped(self._hashed)
            self._held = self._held.without(gone)
            self._old = self._old.without(gone)
        if not gone:
            raise DownloadError(f"{self.path} is shorter than what was written to it")
        self._checkpoints = {end: digest for end, digest in self._checkpoints.items() if end <= self._hashed}
        return gone

    def _forget_hash(self) -> None:
        self._digest, self._hashed = hashlib.sha256(), 0
        self._proved = (0, hashlib.sha256())
        self._checkpoints, self._claimed = {}, []

    @property
    def _step(self) -> int:
        return CHECKPOINT_STEP * (1 + (self.total or 0) // (CHECKPOINT_STEP * MOST_CHECKPOINTS))

    def _check_space(self, more: int) -> None:
        with self.grown:
            before = self._written
            self._written += more
        if before // SPACE_CHECK_INTERVAL == self._written // SPACE_CHECK_INTERVAL:
            return
        room = os.fstatvfs(self._handle)
        if room.f_bavail * room.f_frsize < self._reserve:
            # What came stays for the next run: there is room for the others' work.
            raise DownloadError(f"the disk of {self.target.parent} has less than the reserve of {self._reserve} bytes left")

    def _trouble(self, error: OSError) -> DownloadError:
        if error.errno not in _LOST_BYTES:
            return DownloadError(f"cannot write {self.path}: {error.strerror}")
        self.discard()
        if error.errno == errno.EIO:
            self._failed = DownloadError(f"the disk of {self.target.parent} reports an error: {self.target.name} could not be written")
        else:
            self._failed = DownloadError(f"the disk of {self.target.parent} is full: there is no room for {self.target.name}")
        return self._failed


def begun(target: Path, key: str) -> int:
    """The bytes of disk that an earlier run's part of this file holds."""
    size = 0
    for path in _of_target(target, _key(target, key)):
        with contextlib.suppress(OSError):
            size += path.lstat().st_blocks * 512
    return size


def leftovers(folder: Path) -> list[Path]:
    """All files in a folder that belong to downloads which have not ended, well or not; their mtime is their age."""
    return [path for path, _match in _partials(folder)]


def _stem(target: Path) -> str:
    """The target's name, or the beginning of a long one; the key keeps apart what begins alike."""
    return target.name.encode(errors="surrogateescape")[:_LONGEST_STEM].decode(errors="ignore")


def _key(target: Path, key: str) -> str:
    return hashlib.sha256(f"{target.name}\n{key}".encode(errors="surrogateescape")).hexdigest()


def _journal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _partials(folder: Path) -> list[tuple[Path, re.Match[str]]]:
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names are all that is needed
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [(folder / name, match) for name in names if (match := _PARTIAL.fullmatch(name))]


def _of_target(target: Path, key: str | None, every_kind: bool = False) -> list[Path]:
    stem = _stem(target)
    return [
        path
        for path, match in _partials(target.parent)
        if match["stem"] == stem and (key is None or match["key"] == key[:8]) and (every_kind or not match["kind"])
    ]


def _read(path: Path, key: str) -> _Journal:
    """The journal of a partial file; an empty one where it cannot be had or makes no sense."""
    try:
        with os.fdopen(os.open(_journal_of(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), encoding="utf-8") as file:
            text = file.read(LARGEST_JOURNAL + 1)
        data = json.loads(text) if len(text) <= LARGEST_JOURNAL else {}
        if data["version"] != 1 or data["key"] != key:
            return _Journal()
        total = None if data["total"] is None else _number(data["total"])
        extents = tuple((_number(start), _number(end)) for start, end in data["extents"])
        if any(start >= end or (total is not None and end > total) for start, end in extents):
            return _Journal()
        checkpoints = sorted((int(end), str(digest)) for end, digest in data["checkpoints"].items())
        return _Journal(str(data["etag"]), str(data["origin"]), total, extents, tuple(item for item in checkpoints if item[0] > 0))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return _Journal()


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("no size and no offset")
    return value


def _is_ours(found: os.stat_result) -> bool:
    """Not a link to, or another name of, a file that somebody else cares for."""
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
