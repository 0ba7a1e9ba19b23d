# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What fills a store, for whom, and since when nobody used it; told from names, times and the index, without reading a file.

Bytes are those of the disk, so that the parts add up: a file with several names counts once, a sparse one for what it holds.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ansible_collections.emprops.comfyui.plugins.module_utils._model_index import Index
from ansible_collections.emprops.comfyui.plugins.module_utils._model_progress import size_words
from ansible_collections.emprops.comfyui.plugins.module_utils._store import (
    Declarations,
    Declared,
    Inode,
    Leftover,
    Owner,
    StoreFile,
    canonical_directory,
    count_words,
    keeps_times_of_use,
    last_use,
    open_inodes,
    time_words,
    walk,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._store_cleanup import Limits, Plan, plan_cleanup

NOBODY = "nobody"
OWNERS = (*get_args(Owner), NOBODY)
DAY = 86400
# The name of a span of time, and how many days it reaches back.
SPANS = (("day", 1), ("week", 7), ("month", 30), ("quarter", 91), ("older", None))
LARGEST = 20
WIDTH = 130
DEFAULTS = Limits()


@dataclass(frozen=True)
class _Held:
    """One file of the disk: its names in the store, who declared any of them, when it was last used."""

    files: tuple[StoreFile, ...]
    owners: tuple[str, ...]
    used: float

    @property
    def file(self) -> StoreFile:
        return self.files[0]

    @property
    def bytes(self) -> int:
        return self.file.allocated


def report(store: Path, declared: Sequence[Declared], index: Index, limits: Limits = DEFAULTS) -> dict[str, Any]:
    """The whole answer; `limits` are those of the clean-up that is foretold. Raises StoreError."""
    now = time.time()
    contents = walk(store)
    declarations = Declarations(store, declared)
    held = _held(contents.files, declarations, keeps_times_of_use(store))
    digests = {one.file.inode: digest for one in held if (digest := _digest(one, index))}
    plan = plan_cleanup(store, contents, declarations, limits, index, open_inodes(), now)
    notes = list(plan.notes)
    unknown = len(held) - len(digests)
    if unknown:
        notes.append(
            f"no digest is known of {count_words(unknown, 'file')}, so duplicates of them are not seen; audit_models records digests"
        )
    outside = sum(file.outside and not file.dangling for file in contents.files)
    if outside:
        notes.append(f"what is outside of the store is not counted, and {count_words(outside, 'link')} in it lead there")
    return {
        "store": str(store),
        "files": len(held),
        "bytes": sum(one.bytes for one in held),
        "by_type": _rows("type", held, lambda one: canonical_directory(one.file.directory).partition("/")[0] or "."),
        "by_owner": _in_order("owner", OWNERS, held, lambda one: one.owners[0]),
        "by_last_use": _in_order("last_use", [name for name, _days in SPANS], held, lambda one: _span(now - one.used)),
        "largest": [_describe(one) for one in sorted(held, key=lambda one: -one.bytes)[:LARGEST]],
        "duplicates": _duplicates(held, digests),
        "leftovers": _leftovers(contents.leftovers, now),
        "quarantine": _quarantine(plan),
        "cleanup": {"files": len(plan.done("deleted") + plan.done("quarantined")), "bytes": plan.freed + plan.put_away},
        "filesystem": _filesystem(store),
        "notes": notes,
    }


def _held(files: Iterable[StoreFile], declarations: Declarations, atime: bool) -> list[_Held]:
    names: dict[Inode, list[StoreFile]] = {}
    for file in files:
        if not file.dangling and not file.outside:
            names.setdefault(file.inode, []).append(file)
    held = []
    for same in names.values():
        same.sort(key=lambda file: file.link is not None)  # its own name before those that lead to it
        found = {one.owner for file in same for one in declarations.owners(file)}
        owners = tuple(owner for owner in OWNERS if owner in found) or (NOBODY,)
        held.append(_Held(tuple(same), owners, max(last_use(file, atime) for file in same)))
    return held


def _digest(held: _Held, index: Index) -> str | None:
    return next((entry.sha256 for file in held.files if (entry := index.known(file.path, file.stat))), None)


def _span(seconds: float) -> str:
    return next(name for name, days in SPANS if days is None or seconds <= days * DAY)


def _count(key: str, value: str, held: Sequence[_Held]) -> dict[str, Any]:
    return {key: value, "files": len(held), "bytes": sum(one.bytes for one in held)}


def _in_order(key: str, values: Iterable[str], held: Iterable[_Held], value_of: Callable[[_Held], str]) -> list[dict[str, Any]]:
    """A row for each of these values, those that nothing has among them."""
    groups: dict[str, list[_Held]] = {value: [] for value in values}
    for one in held:
        groups[value_of(one)].append(one)
    return [_count(key, value, group) for value, group in groups.items()]


def _rows(key: str, held: Sequence[_Held], value_of: Callable[[_Held], str]) -> list[dict[str, Any]]:
    """A row for each value that there is, the one that holds most first."""
    values = sorted({value_of(one) for one in held})
    return sorted(_in_order(key, values, held, value_of), key=lambda row: -row["bytes"])


def _describe(held: _Held) -> dict[str, Any]:
    return {"path": held.file.label, "bytes": held.bytes, "owners": list(held.owners), "last_use": time_words(held.used)}


def _duplicates(held: Iterable[_Held], digests: Mapping[Inode, str]) -> list[dict[str, Any]]:
    """Files with the same digest; `bytes` is what all but one of them hold."""
    groups: dict[str, list[_Held]] = {}
    for one in held:
        if one.file.inode in digests:
            groups.setdefault(digests[one.file.inode], []).append(one)
    rows = [
        {
            "sha256": digest,
            "bytes": sum(one.bytes for one in same) - max(one.bytes for one in same),
            "paths": [one.file.label for one in same],
        }
        for digest, same in groups.items()
        if len(same) > 1
    ]
    return sorted(rows, key=lambda row: -row["bytes"])


def _leftovers(leftovers: Sequence[Leftover], now: float) -> dict[str, Any]:
    hours = max((leftover.age(now) for leftover in leftovers), default=0) / 3600
    return {"files": len(leftovers), "bytes": sum(leftover.allocated for leftover in leftovers), "oldest_hours": round(hours, 1)}


def _quarantine(plan: Plan) -> dict[str, int]:
    files = {(one.stat.st_dev, one.stat.st_ino): one.stat.st_blocks * 512 for one in plan.quarantine if one.link is None}
    return {"files": len(files), "bytes": sum(files.values())}


def _filesystem(store: Path) -> dict[str, int]:
    room = os.statvfs(store)
    return {"total": room.f_blocks * room.f_frsize, "free": room.f_bavail * room.f_frsize}


def storage_table(found: Mapping[str, Any], width: int = WIDTH) -> list[str]:
    """The report as lines for people."""
    disk, leftovers, cleanup, quarantine = found["filesystem"], found["leftovers"], found["cleanup"], found["quarantine"]
    lines = [f"{found['store']}: {_amount(found)}; of the disk's {size_words(disk['total'])} are {size_words(disk['free'])} free"]
    parts = {"By type:": "type", "By owner:": "owner", "By last use:": "last_use"}
    names = max(len(text) for key in parts.values() for text in ("By last use:", *(f"  {row[key]}" for row in found[f"by_{key}"])))
    for heading, key in parts.items():
        lines.append(f"{heading:<{names}}  {'files':>6}")
        lines += [f"{f'  {row[key]}':<{names}}  {row['files']:>6}  {size_words(row['bytes']):>11}" for row in found[f"by_{key}"]]
    if found["largest"]:
        lines.append("Largest:")
    for row in found["largest"]:
        lines.append(f"  {size_words(row['bytes']):>11}  {row['path']}  ({', '.join(row['owners'])}; last used {row['last_use'][:10]})")
    if found["duplicates"]:
        lines.append(f"The same bytes more than once: {size_words(sum(row['bytes'] for row in found['duplicates']))} too many")
    lines += [f"  {size_words(row['bytes']):>11}  {' = '.join(row['paths'])}" for row in found["duplicates"][:LARGEST]]
    if len(found["duplicates"]) > LARGEST:
        lines.append(f"  and {len(found['duplicates']) - LARGEST} more")
    lines.append(
        f"Left by downloads: {_amount(leftovers)}" + (f", up to {leftovers['oldest_hours']} hours old" if leftovers["files"] else "")
    )
    lines.append(f"In quarantine: {_amount(quarantine)}")
    lines.append(f"A clean-up would free: {_amount(cleanup)}")
    # What a note says ends in what to do about it, and so is not cut.
    return [line if len(line) <= width else f"{line[: width - 1]}…" for line in lines] + [f"Note: {note}" for note in found["notes"]]


def _amount(row: Mapping[str, Any]) -> str:
    return f"{count_words(row['files'], 'file')}, {size_words(row['bytes'])}"
