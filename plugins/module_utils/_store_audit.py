# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Read every byte of a store once, and say what is not as it was recorded or declared.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import ContentError, check_file, hash_file, open_quietly
from ansible_collections.emprops.comfyui.plugins.module_utils._model_index import FIRST_SEEN, Index
from ansible_collections.emprops.comfyui.plugins.module_utils._model_progress import size_words
from ansible_collections.emprops.comfyui.plugins.module_utils._store import (
    Contents,
    Declarations,
    Declared,
    Inode,
    StoreError,
    StoreFile,
    shown,
    walk,
)

# What can be found, and how bad it is: an error is damage.
KINDS = {
    "bit_rot": "error",
    "differs": "error",
    "size": "error",
    "content": "error",
    "unreadable": "error",
    "missing": "warning",
    "dangling": "warning",
    "busy": "warning",
    "leftover": "info",
    "undeclared": "info",
    "outside": "info",
}
DAMAGE = tuple(kind for kind, severity in KINDS.items() if severity == "error")
# A download that is alive writes, or renews its claim, far more often.
LEFTOVER_SECONDS = 3600.0
LONGEST_EXPLANATION = 300
# What other programs leave of downloads that they did not finish.
FOREIGN_LEFTOVERS = (".aria2", ".crdownload", ".download", ".incomplete", ".part", ".partial")
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass(frozen=True)
class Finding:
    kind: str
    path: str
    message: str

    @property
    def result(self) -> dict[str, str]:
        return {"kind": self.kind, "severity": KINDS[self.kind], "path": self.path, "message": self.message}


@dataclass
class Audit:
    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0
    learned: bool = False  # what the index did not know

    @property
    def result(self) -> dict[str, Any]:
        order = list(KINDS)
        found = sorted(self.findings, key=lambda finding: (order.index(finding.kind), finding.path))
        counts = Counter(finding.kind for finding in found)
        return {
            "findings": [finding.result for finding in found],
            "files": self.files,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "summary": {kind: counts[kind] for kind in KINDS},
        }


@dataclass
class _Unit:
    """One file of the disk, with all the names that it has in the store."""

    files: list[StoreFile] = field(default_factory=list)
    wanted: list[Declared] = field(default_factory=list)


class _Reading(NamedTuple):
    stat: os.stat_result
    sha256: str
    findings: list[Finding]


class _BusyError(Exception):
    """Somebody works on the file."""


def check_kinds(kinds: Iterable[str]) -> None:
    """Raise StoreError where somebody asks for a kind of finding that there is not."""
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise StoreError(f"there is no kind of finding called {', '.join(map(shown, unknown))}; known are {', '.join(KINDS)}")


def audit(store: Path, declared: Sequence[Declared] | None, index: Index, *, jobs: int, only: Sequence[str] = ()) -> Audit:
    """Look, read and compare; `declared` is None where nobody said what belongs here. Raises StoreError.

    The index learns the digests of sound files that it does not know; it is for the caller to save it.
    """
    started = time.monotonic()
    contents = walk(store)
    result = Audit()
    result.findings += _look(contents, only)
    declarations = Declarations(store, declared or ())
    if declared is not None:
        result.findings += _undeclared(contents.files, declarations, only)
    units = _units(contents.files, only)
    result.findings += _place(declarations, units, only)
    largest_first = sorted(units.values(), key=lambda unit: -unit.files[0].size)
    with ThreadPoolExecutor(jobs) as pool:
        readings = {pool.submit(_read, unit): unit for unit in largest_first}
        for future in as_completed(readings):
            unit = readings[future]
            try:
                reading = future.result()
                findings, learned = _compare(unit, reading, index)
            except FileNotFoundError:
                continue  # it went while we read others
            except Exception as error:  # whatever one file does to us, the others are read
                kind = "busy" if isinstance(error, _BusyError) else "unreadable"
                result.findings.append(Finding(kind, unit.files[0].label, _explain(error)))
                continue
            result.findings += findings
            result.files += len(unit.files)
            result.bytes += reading.stat.st_size
            result.learned = result.learned or learned
            index.save_in_passing()
    result.seconds = time.monotonic() - started
    return result


def describe(findings: Iterable[Finding], fail_on: Sequence[str]) -> str | None:
    """The message to fail with, if anything was found that the caller fails on."""
    bad = [finding for finding in findings if finding.kind in fail_on]
    lines = sorted(f"{finding.path}: {finding.message}" for finding in bad)
    return "\n".join([f"found in the store ({len(bad)}):", *lines]) if bad else None


def _is_asked(relative: str, only: Sequence[str]) -> bool:
    return not only or any(fnmatchcase(relative, pattern) for pattern in only)


def _look(contents: Contents, only: Sequence[str]) -> list[Finding]:
    """What the names alone tell."""
    now = time.time()
    findings = [Finding("unreadable", problem.label, problem.message) for problem in contents.problems]
    for leftover in contents.leftovers:
        age = leftover.age(now)
        if age > LEFTOVER_SECONDS and _is_asked(leftover.relative, only):
            words = f"a download left it, last written {_age_words(age)} ago; it holds {size_words(leftover.allocated)}"
            findings.append(Finding("leftover", leftover.label, words))
    for file in contents.files:
        if not _is_asked(file.relative, only):
            continue
        if file.dangling:
            findings.append(Finding("dangling", file.label, f"it leads to {shown(str(file.link))}, where nothing is"))
        elif file.outside:
            findings.append(Finding("outside", file.label, f"it leads out of the store, to {shown(str(file.link))}, and was not read"))
        if file.name.endswith(FOREIGN_LEFTOVERS):
            findings.append(
                Finding("leftover", file.label, f"another program left it of a download; it holds {size_words(file.allocated)}")
            )
    return findings


def _undeclared(files: Iterable[StoreFile], declarations: Declarations, only: Sequence[str]) -> list[Finding]:
    return [
        Finding("undeclared", file.label, f"nobody asks for it; it holds {size_words(file.allocated)}")
        for file in files
        if file.is_model and not file.dangling and _is_asked(file.relative, only) and not declarations.owners(file)
    ]


def _units(files: Iterable[StoreFile], only: Sequence[str]) -> dict[Inode, _Unit]:
    units: dict[Inode, _Unit] = {}
    for file in files:
        if not file.dangling and not file.outside and _is_asked(file.relative, only):
            units.setdefault(file.inode, _Unit()).files.append(file)
    return units


def _place(declarations: Declarations, units: dict[Inode, _Unit], only: Sequence[str]) -> list[Finding]:
    """Tell each file what was declared of it, and find what is not there."""
    missing: dict[str, Declared] = {}
    for one in declarations.declared:
        places = declarations.places(one)
        if not places and one.owner != "catalogue" and _is_asked(one.path, only):
            missing.setdefault(one.path, one)
        for place in places:
            try:
                found = place.stat()
            except OSError:
                continue  # a link that dangles, or a folder that cannot be read: told by its own name
            unit = units.get((found.st_dev, found.st_ino))
            if unit and one not in unit.wanted:
                unit.wanted.append(one)
    return [Finding("missing", shown(path), f"{_who(one)} asks for it, and it is not in the store") for path, one in missing.items()]


def _read(unit: _Unit) -> _Reading:
    """Read a file from its first byte to its last. Raises OSError, and _BusyError where it does not hold still."""
    first = unit.files[0]
    with os.fdopen(open_quietly(first.path), "rb", buffering=0) as file:
        before = os.fstat(file.fileno())
        if (before.st_dev, before.st_ino) != first.inode:
            raise _BusyError("another file took its place while the store was read")
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        findings = []
        for named in unit.files:
            try:
                check_file(named.name, file)
            except ContentError as error:
                findings.append(Finding("content", named.label, str(error)))
        sha256 = hash_file(file)
        if before.st_size > MEMORY:
            # All of it is not kept in any case; what others have there may be.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise _BusyError("it was written while it was read, so nothing can be said of it")
    return _Reading(after, sha256, findings)


def _compare(unit: _Unit, reading: _Reading, index: Index) -> tuple[list[Finding], bool]:
    """What its bytes say beside what was declared and recorded, and whether the index had to learn it."""
    findings, label, found, sha256 = list(reading.findings), unit.files[0].label, reading.stat, reading.sha256
    for one in unit.wanted:
        if one.size not in (None, found.st_size):
            findings.append(Finding("size", label, f"it has {found.st_size} bytes, {_who(one)} asks for {one.size}"))
        elif one.sha256 not in (None, sha256):
            findings.append(Finding("differs", label, f"it has sha256 {sha256}, {_who(one)} asks for {one.sha256}"))
    is_good = not findings
    is_published = any(one.sha256 for one in unit.wanted)
    learned = False
    for file in unit.files:
        known, last = index.known(file.path, found), index.last(file.path)
        if known is None and last is not None and last.sha256 == sha256:  # only touched
            index.record(file.path, found, sha256, last.source, last.first_seen)
            learned = True
        elif known is None and last is not None and not is_published:
            findings.append(Finding("differs", file.label, f"it has sha256 {sha256}, recorded on {last.when} was {last.sha256}"))
        elif known is None and is_good:
            index.record(file.path, found, sha256, FIRST_SEEN, not is_published)
            learned = True
        elif known is not None and known.sha256 != sha256:
            words = f"its bytes changed, its size and time did not: it has sha256 {sha256}, recorded on {known.when} was {known.sha256}"
            findings.append(Finding("bit_rot", file.label, words))
            if is_published or not known.first_seen:
                # Known no longer, it is compared with what was published, and brought again. Where nobody published a digest,
                # only the recorded one tells that it is bad.
                index.forget(file.path)
                learned = True
    return findings, learned


def _explain(error: Exception) -> str:
    if isinstance(error, (_BusyError, OSError)):
        return getattr(error, "strerror", None) or str(error)
    return shown(f"it cannot be judged: {type(error).__name__}: {error}"[:LONGEST_EXPLANATION])


def _age_words(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"


def _who(declared: Declared) -> str:
    return shown(declared.label) or f"the list of owner {declared.owner}"
