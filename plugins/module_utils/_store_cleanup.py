# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Make room in a store: what nobody asked for, or has not used for the longest time, goes to quarantine, and from there for good.

    <store>/.quarantine/<UTC date>[.<n>]/<folder>/<name>    what was put away on that day, links to it included
    <store>/.quarantine/manifest.json                       since when, why, and its digest; what it lacks, the names themselves tell

A file is put away by giving it another name on the same filesystem, one at a time: links to it first, so that none
ever dangles. A second run finishes what a killed one began.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from pathlib import Path
from stat import S_ISDIR
from typing import Any, Literal

from ansible_collections.emprops.comfyui.plugins.module_utils._model_index import Index
from ansible_collections.emprops.comfyui.plugins.module_utils._model_progress import size_words
from ansible_collections.emprops.comfyui.plugins.module_utils._store import (
    QUARANTINE,
    QUARANTINE_MANIFEST,
    Contents,
    Declarations,
    Inode,
    Leftover,
    OpenFiles,
    StoreError,
    StoreFile,
    canonical_path,
    keeps_times_of_use,
    last_use,
    look_into,
    parse_time,
    shown,
    time_words,
    walk,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._store_organize import (
    HIDDEN_PROCESSES,
    HOUR,
    Busy,
    OrganizeError,
    look,
    move_name,
    opened_folder,
    remove_name,
    say,
    split,
)

DAY = 24 * HOUR
MANIFEST_LIMIT = 64 * 1024**2
SLOTS = 1000

_SLOT = re.compile(r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})(?:\.[0-9]+)?")

# What is kept for these reasons is counted, and needs no row of its own.
_OBVIOUS = ("declared", "no model")

Done = Literal["quarantined", "deleted", "restored", "kept"]


@dataclass(frozen=True)
class Limits:
    """What is asked for. With one of the bounds, only as much goes as it takes, the least recently used first."""

    keep: tuple[str, ...] = ()
    free_bytes: int = 0
    max_bytes: int = 0
    unreferenced: bool = True
    minimum_age: float = 24 * HOUR
    quarantine: float = 7 * DAY
    delete_quarantined: bool = True
    partial_age: float = 72 * HOUR

    @property
    def at_once(self) -> bool:
        """Whether files are deleted without lying in quarantine first."""
        return self.max_bytes > 0 or self.quarantine <= 0


@dataclass(frozen=True)
class PutAway:
    """A name in quarantine, `place` and `origin` both below the store."""

    place: str
    origin: str
    slot: str
    when: float
    why: str
    stat: os.stat_result = field(repr=False, compare=False)
    link: str | None = None


@dataclass
class Action:
    """What becomes of one name of the store. `links` go the same way before it."""

    path: str
    stat: os.stat_result = field(repr=False)
    reason: str
    action: Done
    why: str | None = None
    last_use: float | None = None
    to: str | None = None
    links: list[tuple[str, str | None]] = field(default_factory=list)  # name, and where it goes
    error: str | None = None

    @property
    def result(self) -> dict[str, Any]:
        row = {"path": shown(self.path), "bytes": self.stat.st_size, "reason": self.reason, "action": self.action}
        used = None if self.last_use is None else time_words(self.last_use)
        more = {"last_use": used, "why": self.why, "links": [shown(link) for link, _to in self.links] or None, "error": self.error}
        return {**row, **{name: value for name, value in more.items() if value is not None}}


@dataclass
class Plan:
    store: Path
    actions: list[Action] = field(default_factory=list)
    kept_because: Counter[str] = field(default_factory=Counter)
    quarantine: list[PutAway] = field(default_factory=list)
    lacking: int = 0
    held_by: Counter[str] = field(default_factory=Counter)  # bytes
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    free_before: int = 0
    free_after: int | None = None

    @property
    def root(self) -> Path:
        return Path(os.path.realpath(self.store))

    @property
    def changes(self) -> bool:
        return any(action.action != "kept" and action.error is None for action in self.actions)

    @property
    def failures(self) -> list[str]:
        return [*self.problems, *(f"{shown(action.path)}: {action.error}" for action in self.actions if action.error)]

    def done(self, kind: Done) -> list[Action]:
        return [action for action in self.actions if action.action == kind and action.error is None]

    @property
    def freed(self) -> int:
        """Bytes that are free at once."""
        return _freed(action.stat for action in self.done("deleted"))

    @property
    def put_away(self) -> int:
        """Bytes that are free when all that this puts into quarantine is deleted."""
        return _freed(action.stat for action in [*self.done("deleted"), *self.done("quarantined")]) - self.freed

    def result(self, dry: bool) -> dict[str, Any]:
        gone = {action.path for action in [*self.done("deleted"), *self.done("restored")]}
        left = {_inode(one.stat): one.stat.st_blocks * 512 for one in self.quarantine if one.place not in gone}
        left |= {_inode(action.stat): action.stat.st_blocks * 512 for action in self.done("quarantined")}
        return {
            "message": self.words(dry),
            "would_free" if dry else "freed": self.freed,
            "would_quarantine" if dry else "quarantined": self.put_away,
            "files": [action.result for action in self.actions],
            "kept_because": dict(self.kept_because),
            "not_freed": {"bytes": self.lacking, "held_by": dict(self.held_by)} if self.lacking else None,
            "quarantine": {"files": len(left), "bytes": sum(left.values())},
            "free_before": self.free_before,
            **({} if self.free_after is None else {"free_after": self.free_after}),
            "notes": self.notes,
        }

    def words(self, dry: bool) -> str:
        would = "would be" if dry else "were"
        words = ["dry run: nothing was changed"] if dry else []
        for kind, outcome, count in (
            ("deleted", "deleted", self.freed),
            ("quarantined", "put into quarantine", self.put_away),
            ("restored", "restored", None),
        ):
            done = self.done(kind)  # type: ignore[arg-type]  # they are the three
            if done or kind == "deleted":
                words.append(f"files that {would} {outcome}: {len(done)}" + ("" if count is None else f" ({size_words(count)})"))
        if self.lacking:
            held = ", ".join(f"{reason}: {size_words(count)}" for reason, count in self.held_by.most_common())
            words.append(f"{size_words(self.lacking)} are lacking still; what is left is held back ({held or 'nothing'})")
        return "; ".join(words)


def _freed(gone: Iterable[os.stat_result]) -> int:
    """Bytes of the files that lose their last name."""
    names: Counter[Inode] = Counter()
    found: dict[Inode, os.stat_result] = {}
    for one in gone:
        names[_inode(one)] += 1
        found[_inode(one)] = one
    return sum(one.st_blocks * 512 for inode, one in found.items() if names[inode] >= one.st_nlink)


# --- the quarantine ------------------------------------------------------------------------------------------------


def read_quarantine(store: Path) -> list[PutAway]:
    """What lies in quarantine, the oldest first. Raises StoreError."""
    place = store / QUARANTINE
    if place.is_symlink():
        raise StoreError(f"the quarantine {place} is a link; remove it")
    if not place.is_dir():
        return []
    manifest = _read_manifest(place)
    found = []
    for file in walk(place).files:
        slot, _slash, origin = file.relative.partition("/")
        match = _SLOT.fullmatch(slot)
        if match and origin:
            words = manifest.get(file.relative, {})
            end, when, why = _end_of(match["date"]), parse_time(words.get("when")), words.get("why")
            when = end if when is None else min(when, end)
            why = why if isinstance(why, str) else ""
            with suppress(OSError):
                stat, link = (file.stat, None) if file.link is None else (file.path.lstat(), str(file.path.readlink()))
                found.append(PutAway(f"{QUARANTINE}/{file.relative}", origin, slot, when, why, stat, link))
    return sorted(found, key=lambda one: (one.when, one.place))


def _read_manifest(place: Path) -> Mapping[str, Any]:
    """Who may write there may write anything: it is asked for words and times only."""
    try:
        handle = os.open(place / QUARANTINE_MANIFEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            files = json.loads(file.read(MANIFEST_LIMIT))["files"]
        return {name: words for name, words in files.items() if isinstance(words, dict)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _end_of(date: str) -> float:
    """When whatever was put away on that day is sure to lie there."""
    try:
        return (datetime.fromisoformat(f"{date}T00:00:00+00:00") + timedelta(days=1)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


# --- the plan ------------------------------------------------------------------------------------------------------


def plan_cleanup(
    store: Path, contents: Contents, declarations: Declarations, limits: Limits, index: Index, opened: OpenFiles, now: float
) -> Plan:
    """What has to go so that the limits are kept, and why the rest stays. Raises StoreError."""
    return _Planner(store, contents, declarations, limits, index, opened, now).plan()


class _Planner:
    def __init__(
        self, store: Path, contents: Contents, declarations: Declarations, limits: Limits, index: Index, opened: OpenFiles, now: float
    ) -> None:
        self._plan = Plan(store, quarantine=read_quarantine(store), free_before=_room(store))
        self._contents = contents
        self._declarations = declarations
        self._limits = limits
        self._index = index
        self._opened = opened.inodes
        self._busy = Busy(contents, opened, limits.minimum_age, now)
        self._now = now
        self._device = store.stat().st_dev
        self._links_to: dict[Path, list[StoreFile]] = {}
        for file in contents.files:
            if file.link is not None:
                self._links_to.setdefault(file.link, []).append(file)
        self._files = [file for file in contents.files if file.link is None]
        self._today = datetime.fromtimestamp(now, timezone.utc).date().isoformat()
        self._atime = keeps_times_of_use(store)
        self._plan.notes = _notes(store, contents, opened)

    def plan(self) -> Plan:
        self._plan_quarantined()
        self._plan_leftovers()
        protected = {file.relative: self._protection(file) for file in self._files}
        self._plan.kept_because.update(why[0] for why in protected.values() if why)
        limits = self._limits
        if limits.max_bytes or limits.free_bytes:
            self._plan_bounds(protected)
        elif limits.unreferenced:
            for file in self._files:
                why = protected[file.relative]
                if why is None:
                    self._evict(file, "nobody declared it")
                elif why[0] not in _OBVIOUS:
                    self._keep(file, "nobody declared it", why[1])
        return self._plan

    def _plan_quarantined(self) -> None:
        if not self._limits.delete_quarantined:
            return
        missing = {one.path for one in self._declarations.declared if not self._declarations.places(one)}
        root = self._plan.root
        for one in self._plan.quarantine:
            if self._now - one.when < self._limits.quarantine:
                continue
            reason = f"it was put into quarantine on {time_words(one.when)[:10]}"
            action = Action(one.place, one.stat, reason, "deleted")
            if _inode(one.stat) in self._opened:
                action.action, action.why = "kept", "a process has it open"
            elif self._links_to.get(root / one.place):
                action.action, action.why = "kept", f"{self._links_to[root / one.place][0].label} leads to it"
            elif canonical_path(*split(one.origin)) in missing:
                action.action, action.why = "kept", "it is declared by now, and missing: restore it"
            elif self._matches(one.origin):
                action.action, action.why = "kept", "it is on the list of what is kept"
            self._plan.actions.append(action)

    def _plan_leftovers(self) -> None:
        """What dead downloads left. A claim that was given no sign of life for so long is dead, too."""
        old = {one.relative for one in self._contents.leftovers if one.age(self._now) >= self._limits.partial_age}
        fresh = [one for one in self._contents.leftovers if one.relative not in old]
        claims = [one for one in fresh if one.kind == "claim"]
        downloads = {one.download for one in fresh if one.kind != "claim"}
        for one in self._contents.leftovers:
            alive = (one.download in downloads and one.kind != "claim") or any(_may_claim(claim, one) for claim in claims)
            if one.relative in old and not alive and one.inodes.isdisjoint(self._opened):
                hours = one.age(self._now) / HOUR
                self._plan.actions.append(
                    Action(one.relative, one.stat, f"a download that is dead left it {hours:.0f} hours ago", "deleted")
                )

    def _protection(self, file: StoreFile) -> tuple[str, str] | None:
        """Why a file stays: in one word, and in words."""
        owners = self._declarations.owners(file)
        if owners:
            return "declared", f"it is declared by {shown(owners[0].label or owners[0].owner)}"
        if not file.is_model:
            return "no model", "it is no model"
        names = [file, *self._links_to.get(self._plan.root / file.relative, [])]
        if any(self._matches(name.relative) for name in names):
            return "kept", "it is on the list of what is kept"
        if not self._limits.at_once and file.stat.st_dev != self._device:
            return "elsewhere", "it is on another filesystem than the quarantine; with quarantine_days 0 it would be deleted at once"
        return self._busy.why(file)

    def _matches(self, relative: str) -> bool:
        places = (relative, canonical_path(*split(relative)))
        patterns = [pattern for given in self._limits.keep for pattern in (given, f"{given.rstrip('/')}/*")]
        return any(fnmatchcase(place, pattern) for place in places for pattern in patterns)

    def _plan_bounds(self, protected: Mapping[str, tuple[str, str] | None]) -> None:
        lacking = self._lacking()
        if lacking <= 0:
            return
        by_inode: dict[Inode, list[StoreFile]] = {}
        for file in self._files:
            by_inode.setdefault(file.inode, []).append(file)
        groups = [(max(map(self._last_use, group)), group) for group in by_inode.values()]
        # Names that a killed run put away, and did not take away here.
        put_away = Counter(_inode(one.stat) for one in self._plan.quarantine)
        held: list[tuple[StoreFile, tuple[str, str]]] = []
        for _used, group in sorted(groups, key=lambda item: (item[0], item[1][0].relative)):
            why = next((why for file in group if (why := protected[file.relative])), None)
            if why is None and group[0].nlink > len(group) + put_away[group[0].inode]:
                why = "other names", "names that it has out of the store hold its bytes"
                self._plan.kept_because[why[0]] += len(group)
            if why is not None:
                held.append((group[0], why))
            elif lacking > 0:
                for file in group:
                    self._evict(file, "least recently used")
                lacking -= group[0].allocated
        if lacking > 0:
            self._plan.lacking = lacking
            for file, why in held:
                self._plan.held_by[why[0]] += file.allocated
                if why[0] not in _OBVIOUS:
                    self._keep(file, "least recently used", why[1])

    def _lacking(self) -> int:
        """Bytes that are lacking still when what is planned so far is done. What lies in quarantine will be free in time."""
        limits, lacking = self._limits, 0
        leaving = {action.path: action.stat for action in self._plan.done("deleted")}
        if limits.max_bytes:
            held = {_inode(one.stat): one.allocated for one in self._contents.leftovers if one.relative not in leaving}
            held |= {file.inode: file.allocated for file in self._files}
            lacking = sum(held.values()) - limits.max_bytes
        if limits.free_bytes:
            coming = leaving | {one.place: one.stat for one in self._plan.quarantine}
            lacking = max(lacking, limits.free_bytes - self._plan.free_before - _freed(coming.values()))
        return lacking

    def _last_use(self, file: StoreFile) -> float:
        return last_use(file, self._atime)

    def _keep(self, file: StoreFile, reason: str, why: str) -> None:
        self._plan.actions.append(Action(file.relative, file.stat, reason, "kept", why, self._last_use(file)))

    def _evict(self, file: StoreFile, reason: str) -> None:
        action = Action(file.relative, file.stat, reason, "deleted", last_use=self._last_use(file))
        links = [link.relative for link in self._links_to.get(self._plan.root / file.relative, [])]
        if self._limits.at_once:
            action.links = [(link, None) for link in links]
        else:
            slot = self._free_slot([file.relative, *links])
            action.action, action.to = "quarantined", f"{slot}/{file.relative}"
            action.links = [(link, f"{slot}/{link}") for link in links]
        self._plan.actions.append(action)

    def _free_slot(self, names: Sequence[str]) -> str:
        """Where none of these names is taken; a run that was killed may have brought them there already."""
        for number in range(SLOTS):
            slot = f"{QUARANTINE}/{self._today}" + (f".{number}" if number else "")
            if not any(_is_taken(self._plan.root / slot / name, self._plan.root / name) for name in names):
                return slot
        raise StoreError(f"{shown(names[0])} was put into quarantine {SLOTS} times today; something brings it back each time")


def _is_taken(place: Path, name: Path) -> bool:
    try:
        return _inode(place.lstat()) != _inode(name.lstat())
    except FileNotFoundError:
        return False


def _inode(found: os.stat_result) -> Inode:
    return found.st_dev, found.st_ino


def _room(store: Path) -> int:
    room = os.statvfs(store)
    return room.f_bavail * room.f_frsize


def _notes(store: Path, contents: Contents, opened: OpenFiles) -> list[str]:
    notes = [f"{problem.label} could not be looked at: {problem.message}" for problem in contents.problems]
    if not keeps_times_of_use(store):
        notes.append("this filesystem does not keep times of use: last use is when a file was written")
    if not opened.complete:
        notes.append(HIDDEN_PROCESSES)
    return notes


def _may_claim(claim: Leftover, leftover: Leftover) -> bool:
    """Whether a claim may be of the download that left this. Long names are cut in both, so the beginning decides."""
    if split(claim.relative)[0] != split(leftover.relative)[0]:
        return False
    stem = claim.path.name.removesuffix(".claim")
    return split(leftover.download)[1].startswith((stem.rpartition("~")[0] or stem)[:200])


def plan_restore(store: Path, names: Iterable[str], contents: Contents, opened: OpenFiles) -> Plan:
    """Bring these names back from quarantine, as they were last, with the links that went along. Raises StoreError."""
    plan = Plan(store, quarantine=read_quarantine(store), free_before=_room(store), notes=_notes(store, contents, opened))
    for name in dict.fromkeys(names):
        found = [one for one in plan.quarantine if one.origin == name]
        if not found:
            plan.problems.append(f"{shown(name)} is not in quarantine")
        elif _is_taken(plan.root / name, plan.root / found[-1].place):
            plan.problems.append(f"{shown(name)} cannot be restored: another file is in its place")
        else:
            one = found[-1]
            action = Action(one.place, one.stat, "it was asked for", "restored", to=one.origin)
            links = [link for link in plan.quarantine if link.slot == one.slot and _leads_to(link, one, plan.root)]
            action.links = [(link.place, link.origin) for link in links]
            plan.actions.append(action)
    return plan


def _leads_to(link: PutAway, one: PutAway, root: Path) -> bool:
    """Whether a link led to this file when both were in their places."""
    return link.link is not None and os.path.normpath((root / link.origin).parent / link.link) == str(root / one.origin)


# --- and the doing -------------------------------------------------------------------------------------------------


def put_cleanup(plan: Plan, index: Index, now: float) -> None:
    """Do what was planned, each for itself; what could not be done says so in its row. Raises ModelsIndexError."""
    digests = {}
    try:
        for action in plan.actions:
            if action.action == "kept":
                continue
            entry = index.known(plan.store / action.path, action.stat)
            if entry and action.to:
                digests[action.to] = entry.sha256
            try:
                _put(plan, action, index)
            except FileNotFoundError as error:
                action.action, action.why = "kept", say(error)
            except (OSError, OrganizeError, RecursionError) as error:  # a folder may be deeper than we can go
                action.error = say(error)
    finally:
        try:
            _tidy(plan, digests, now)
        except (OSError, StoreError) as error:
            plan.notes.append(f"the quarantine's {QUARANTINE_MANIFEST} could not be written: {say(error)}")
        plan.free_after = _room(plan.store)
    index.save()


def _put(plan: Plan, action: Action, index: Index) -> None:
    if action.action == "restored":
        _rename(plan, action.path, str(action.to), action.stat, index)
        for link, to in action.links:
            _rename(plan, link, str(to), (plan.root / link).lstat(), index)
        return
    for link, to in action.links:
        found = (plan.root / link).lstat()
        if os.path.realpath(plan.root / link) != str(plan.root / action.path):
            raise OrganizeError(f"the link {shown(link)} was changed since it was looked at")
        if to is None:
            remove_name(plan.root, link, found)
            index.forget(plan.store / link)
        else:
            _rename(plan, link, to, found, index)
    if S_ISDIR(action.stat.st_mode):
        _remove_folder(plan.root, action.path, action.stat)
    elif action.to is None:
        action.stat = remove_name(plan.root, action.path, action.stat)
        index.forget(plan.store / action.path)
    else:
        _rename(plan, action.path, action.to, action.stat, index)


def _remove_folder(root: Path, path: str, expected: os.stat_result) -> None:
    above, name = split(path)
    with opened_folder(root, above) as handle:
        place = Path(f"/proc/self/fd/{handle}/{name}")
        if look(look_into(place)[0]) != look(expected):
            raise OrganizeError("it was changed since it was looked at")
        shutil.rmtree(place)  # which follows no link
        os.fsync(handle)


def _rename(plan: Plan, old: str, new: str, found: os.stat_result, index: Index) -> None:
    move_name(plan.root, old, new, found)
    index.moved(plan.store / old, plan.store / new)


def _tidy(plan: Plan, digests: Mapping[str, str], now: float) -> None:
    """Write down what lies in quarantine now, and drop the folders that became empty."""
    if not (plan.root / QUARANTINE).is_dir():
        return
    left = [action.path for action in plan.actions if action.action in ("deleted", "restored") and action.path.startswith(f"{QUARANTINE}/")]
    left += [link for action in plan.done("restored") for link, _to in action.links]
    for folder in sorted({folder for path in left for folder in _folders(path)}, key=len, reverse=True):
        above, name = split(folder)
        with suppress(OSError), opened_folder(plan.root, above) as handle:
            os.rmdir(name, dir_fd=handle)
    fresh = {to: action.reason for action in plan.done("quarantined") for to in (action.to, *(to for _link, to in action.links)) if to}
    before = _read_manifest(plan.root / QUARANTINE)
    files = {}
    for one in read_quarantine(plan.store):
        name = one.place.removeprefix(f"{QUARANTINE}/")
        when = time_words(now if one.place in fresh else one.when)
        words = {"from": one.origin, "when": when, "why": fresh.get(one.place, one.why), "size": one.stat.st_size}
        sha256 = before.get(name, {}).get("sha256")
        files[name] = {**words, "sha256": digests.get(one.place) or (sha256 if isinstance(sha256, str) else None)}
    with opened_folder(plan.root, QUARANTINE) as handle:
        if files or before:
            _write(handle, QUARANTINE_MANIFEST, json.dumps({"version": 1, "files": files}, indent=1))


def _folders(path: str) -> Iterator[str]:
    """The folders of quarantine that a name is in."""
    folder = split(path)[0]
    while folder != QUARANTINE:
        yield folder
        folder = split(folder)[0]


def _write(handle: int, name: str, text: str) -> None:
    draft = f".{name}.{secrets.token_hex(8)}.new"
    try:
        writer = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=handle)
        with os.fdopen(writer, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(writer)
        os.rename(draft, name, src_dir_fd=handle, dst_dir_fd=handle)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=handle)
