# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What moves while models are downloaded: a small file for whoever looks on, and words for the play.

`<state_dir>/models.progress.json` is written once a second while a run downloads, and a last time when it ends (`finished`).
It holds labels and hosts, never an address.
Private to this collection: it may change in any release.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

PROGRESS_NAME = "models.progress.json"
INTERVAL = 1.0
# A rate is that of the last ten seconds.
SAMPLES = 11
# Slow is who had this long to get going, and is below a floor or far below the others.
SLOW_SECONDS = 10.0
SLOW_RATE = 1e6
SLOW_SHARE = 0.25
LITTER_SECONDS = 60.0
# Lines are for people: what is left out is counted.
PLANNED_SHOWN = 20
NAMED = 2
LONGEST_TEXT = 1000

Row = tuple[str, "int | None", str]
State = Literal["planned", "active", "downloaded", "present", "failed"]
END_STATES = ("downloaded", "present", "failed")


class _Meter:
    """Bytes a second, from a count that is looked at now and then."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=SAMPLES)

    def look(self, now: float, count: int) -> int:
        self._seen.append((now, count))
        (start, before), (end, after) = self._seen[0], self._seen[-1]
        return max(0, round((after - before) / (end - start))) if end > start else 0


@dataclass
class _File:
    size: int | None
    source: str
    state: State = "planned"
    bytes: int = 0
    waits_for: str = ""
    since: float = math.inf
    meter: _Meter = field(default_factory=_Meter)

    @property
    def total(self) -> int:
        """What it comes to in the end, as far as that is known."""
        return self.bytes if self.state == "failed" else max(self.size or 0, self.bytes)


class Progress:
    """What a run downloads. Threads tell it; what goes wrong with its file is nobody's failure."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._files: dict[str, _File] = {}
        self._moved = 0
        self._meter = _Meter()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._run = uuid.uuid4().hex
        self._started = _now()
        self._writer = threading.Thread(target=self._keep_writing, name="models-progress", daemon=True)

    def __enter__(self) -> Progress:
        if self._path is not None:
            self._sweep(self._path)
            self._write()
            self._writer.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._path is not None:
            self._over.set()
            self._writer.join()
            self._write(finished=True)

    def plan(self, rows: Iterable[Row]) -> None:
        with self._lock:
            self._files.update({label: _File(size, place_of(source)) for label, size, source in rows})

    def begin(self, label: str, already: int) -> None:
        """A file is on its way; `already` bytes of it were there."""
        with self._lock:
            file = self._file(label)
            file.state, file.bytes, file.waits_for, file.since, file.meter = "active", already, "", math.inf, _Meter()

    def moved(self, label: str, count: int) -> None:
        """So many bytes more have arrived; fewer, where a start over throws some away."""
        with self._lock:
            self._file(label).bytes += count
            self._moved += count

    def waiting(self, label: str, words: str) -> None:
        with self._lock:
            self._file(label).waits_for = words

    def end(self, label: str, state: Literal["downloaded", "present", "failed"]) -> None:
        with self._lock:
            file = self._file(label)
            file.state, file.waits_for = state, ""
            if state != "failed":
                file.bytes = max(file.bytes, file.size or 0)

    def snapshot(self, now: float, finished: bool = False) -> dict[str, Any]:
        """How it stands; rates are measured from one snapshot to the next."""
        with self._lock:
            files = self._files.values()
            active = [self._active(label, file, now) for label, file in self._files.items() if file.state == "active"]
            waiting = [{"name": label, "for": file.waits_for} for label, file in self._files.items() if file.waits_for]
            slow = self._slow(active, now)
            rate = self._meter.look(now, self._moved)
            done, total = sum(file.bytes for file in files), sum(file.total for file in files)
            known = all(file.size is not None for file in files if file.state not in END_STATES)
            return {
                "version": 1,
                "run": self._run,
                "pid": os.getpid(),
                "started": self._started,
                "updated": _now(),
                "finished": finished,
                "files": {
                    "total": len(files),
                    "done": sum(file.state in ("downloaded", "present") for file in files),
                    "failed": sum(file.state == "failed" for file in files),
                },
                "bytes": {"total": total, "done": done, "moved": self._moved},
                "rate": rate,
                "seconds_left": round((total - done) / rate) if known and rate else None,
                "active": active,
                "slow": slow,
                "waiting": waiting,
            }

    def _file(self, label: str) -> _File:
        return self._files.setdefault(label, _File(None, ""))

    def _active(self, label: str, file: _File, now: float) -> dict[str, Any]:
        file.since = min(file.since, now)
        return {"name": label, "bytes": file.bytes, "size": file.size, "rate": file.meter.look(now, file.bytes), "source": file.source}

    def _slow(self, active: list[dict[str, Any]], now: float) -> list[str]:
        mean = sum(row["rate"] for row in active) / len(active) if active else 0
        floor = max(SLOW_RATE, mean * SLOW_SHARE)
        return [row["name"] for row in active if row["rate"] < floor and now - self._files[row["name"]].since >= SLOW_SECONDS]

    def _keep_writing(self) -> None:
        while not self._over.wait(INTERVAL):
            self._write()

    def _write(self, finished: bool = False) -> None:
        """The whole file or the one before; no fsync, after a power cut nobody looks on."""
        data = self.snapshot(time.monotonic(), finished)
        if self._path is None:
            return
        # Two runs may share the folder, and so not the draft.
        draft = self._path.with_name(f".{self._path.name}.{self._run}")
        with contextlib.suppress(OSError):
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with draft.open("x", encoding="utf-8") as file:
                    os.fchmod(file.fileno(), 0o644)
                    json.dump(data, file)
                draft.replace(self._path)
            except OSError:
                draft.unlink(missing_ok=True)

    @staticmethod
    def _sweep(path: Path) -> None:
        """Remove the drafts of runs that were killed."""
        with contextlib.suppress(OSError):
            for draft in path.parent.glob(f".{path.name}.*"):
                if time.time() - draft.lstat().st_mtime > LITTER_SECONDS:
                    draft.unlink(missing_ok=True)


def read_progress(text: str) -> dict[str, Any]:
    """What a progress file says; empty when it is none."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def bytes_moved(data: Mapping[str, Any]) -> int:
    """Bytes that arrived in the run."""
    return int(_number(_part(data, "bytes").get("moved")))


def progress_line(data: Mapping[str, Any]) -> str:
    """How it stands, on one line; empty while nothing is known. The file comes from a machine, and may hold anything."""
    files, moved = _part(data, "files"), _part(data, "bytes")
    total, failed, rate = _number(files.get("total")), _number(files.get("failed")), _number(data.get("rate"))
    if not total:
        return ""
    words = [
        f"{_number(files.get('done')):.0f}/{total:.0f} files",
        *([f"{failed:.0f} failed"] if failed else []),
        _of_words(_number(moved.get("done")), _number(moved.get("total"))),
        f"{size_words(rate)}/s",
    ]
    left = data.get("seconds_left")
    if left is not None:
        words.append(f"{seconds_words(_number(left))} left")
    active = {str(row.get("name")): row for row in _rows(data, "active")}
    slow = data.get("slow")
    slow_words = [_slow_words(active[str(name)]) for name in (slow if isinstance(slow, list) else []) if str(name) in active]
    waiting = [f"{_shown(row.get('name'))} ({_shown(row.get('for'))})" for row in _rows(data, "waiting")]
    return "; ".join([", ".join(words), *_some("slow", slow_words), *_some("waiting", waiting)])


def status_lines(text: str) -> list[str]:
    """What a progress file says to somebody who comes by: which run it tells of, how that stands, and each file on its way."""
    data = read_progress(text)
    line = progress_line(data)
    if not line:
        return ["no download of models is known here"]
    if data.get("finished"):
        return [f"the last download of models ended at {_shown(data.get('updated'))}: {line}"]
    since = f"since {_shown(data.get('started'))}, last sign of life at {_shown(data.get('updated'))}"
    lines = [f"models are downloaded {since}: {line}"]
    for row in _rows(data, "active"):
        moved = _of_words(_number(row.get("bytes")), _number(row.get("size"))) if row.get("size") else size_words(_number(row.get("bytes")))
        lines.append(f"  {_shown(row.get('name'))}  {moved}  {size_words(_number(row.get('rate')))}/s from {_shown(row.get('source'))}")
    return lines


def plan_lines(result: Mapping[str, Any]) -> list[str]:
    """What a run in check mode would bring; nothing where nothing is missing."""
    missing = [row for row in _rows(result, "models") if row.get("state") == "missing"]
    if not missing:
        return []
    missing.sort(key=lambda row: -_number(row.get("bytes")))
    unknown = sum(row.get("bytes") is None for row in missing)
    # What is to be linked to bytes that are there is missing and costs none.
    count = _number(_part(result, "plan").get("bytes", sum(_number(row.get("bytes")) for row in missing)))
    size = f"{size_words(count)} to download{f', and {unknown} of unknown size' if unknown else ''}"
    lines = [f"models: {len(missing)} of {len(_rows(result, 'models'))} are missing: {size}"]
    for row in missing[:PLANNED_SHOWN]:
        lines.append(f"  {_label(row)}  {_size(row)} from {place_of(_shown(row.get('source')))}")
    if len(missing) > PLANNED_SHOWN:
        lines.append(f"  and {len(missing) - PLANNED_SHOWN} more, smaller ones")
    for room in _rows(_part(result, "plan"), "filesystems"):
        needed, free, reserve = (_number(room.get(key)) for key in ("needed", "free", "reserve"))
        fits = "" if needed <= free - reserve else ": this does not fit"
        lines.append(
            f"  filesystem of {_shown(room.get('path'))}: {size_words(needed)} needed,"
            f" {size_words(free)} free, {size_words(reserve)} of them reserved{fits}"
        )
    return lines


def table_lines(result: Mapping[str, Any]) -> list[str]:
    """What a run brought, and what it could not; nothing where it did nothing."""
    rows = _rows(result, "models")
    brought = [row for row in rows if row.get("state") == "downloaded"]
    failed = [row for row in rows if row.get("state") == "failed"]
    if not brought and not failed:
        return []
    present = len(rows) - len(brought) - len(failed)
    counts = [f"{len(brought)} brought", f"{present} present", *([f"{len(failed)} failed"] if failed else [])]
    moved = sum(_number(row.get("bytes")) for row in brought if not _is_linked(row))
    seconds = _number(_part(result, "summary").get("seconds"))
    lines = [f"models: {', '.join(counts)}; {size_words(moved)} in {seconds_words(seconds)}{_rate_words(moved, seconds, ', {}')}"]
    table = [_table_row(row) for row in sorted(brought, key=lambda row: -_number(row.get("bytes")))]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    for name, source, size, took, pace in table:
        lines.append(
            f"  {name:<{widths[0]}}  {source:<{widths[1]}}  {size:>{widths[2]}}  {took:>{widths[3]}}  {pace:>{widths[4]}}".rstrip()
        )
    return lines + [f"  failed: {_label(row)}: {_shown(row.get('error'))}" for row in failed]


def join_results(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Two runs, one after the other, told as one: what the first brought is there when the second looks."""
    first = {_label(row): row for row in _rows(earlier, "models") if row.get("state") == "downloaded"}
    rows = [first.get(_label(row), row) if row.get("state") == "present" else row for row in _rows(later, "models")]
    changed = bool(earlier.get("changed")) or bool(later.get("changed"))
    if not rows:  # it did not get so far as to look at the list
        return {**earlier, **later, "changed": changed}
    before, after = _part(earlier, "summary"), _part(later, "summary")
    summary = {**after, "present": sum(row.get("state") == "present" for row in rows)}
    for key in ("downloaded", "linked", "bytes", "seconds"):
        if key in after:
            summary[key] = _number(before.get(key)) + _number(after.get(key))
    diff = {**_part(later, "diff"), **{key: text for key, text in _part(earlier, "diff").items() if key == "before"}}
    return {**later, "changed": changed, "models": rows, "summary": summary, **({"diff": diff} if diff else {})}


def failure_words(rows: Iterable[Mapping[str, Any]]) -> str:
    """Who failed, and why; empty when nobody did."""
    rows = list(rows)
    failed = [f"{_label(row)}: {row.get('error')}" for row in rows if row.get("state") == "failed"]
    return "\n".join([f"{len(failed)} of {len(rows)} models failed:", *failed]) if failed else ""


def place_of(source: str) -> str:
    """Where something comes from, in a word or two: the host of an address, never the rest of it."""
    if "://" not in source:
        return source
    try:
        parts = urlsplit(source)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.hostname}{port}" if parts.hostname else parts.scheme
    except ValueError:
        return "an address that cannot be read"


def size_words(count: float) -> str:
    """A number of bytes as disks are sold: 63.4 GB."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor * 0.9995:
            return f"{_digits(count / factor)} {unit}"
    return f"{count:.0f} bytes"


def seconds_words(seconds: float) -> str:
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} days {whole % 86400 // 3600} h"


def _is_linked(row: Mapping[str, Any]) -> bool:
    """Whether its bytes were there, under another name."""
    return not str(row.get("how") or "download").startswith("download")


def _table_row(row: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    count, seconds = _number(row.get("bytes")), _number(row.get("seconds"))
    source = place_of(_shown(row.get("source")))
    if _is_linked(row):
        return _label(row), source, _size(row), "", _shown(row.get("how"))
    return _label(row), source, _size(row), seconds_words(seconds), _rate_words(count, seconds)


def _rate_words(count: float, seconds: float, form: str = "{}") -> str:
    return form.format(f"{size_words(count / seconds)}/s") if count and seconds else ""


def _slow_words(row: Mapping[str, Any]) -> str:
    source = f" from {_shown(row.get('source'))}" if row.get("source") else ""
    return f"{_shown(row.get('name'))} ({size_words(_number(row.get('rate')))}/s{source})"


def _some(title: str, words: list[str]) -> list[str]:
    more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
    return [f"{title}: {', '.join(words[:NAMED])}{more}"] if words else []


def _of_words(done: float, total: float) -> str:
    done_words, total_words = size_words(done), size_words(total)
    number, unit = done_words.split(" ")
    return f"{number if total_words.endswith(f' {unit}') else done_words} of {total_words}"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}"


def _label(row: Mapping[str, Any]) -> str:
    return _shown(f"{row.get('directory')}/{row.get('name')}")


def _size(row: Mapping[str, Any]) -> str:
    return "size unknown" if row.get("bytes") is None else size_words(_number(row.get("bytes")))


def _shown(text: object) -> str:
    """On one line, and nothing in it that a terminal would obey."""
    return "".join(character if character.isprintable() else "\ufffd" for character in str(text)[:LONGEST_TEXT])


def _part(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = data.get(key)
    return part if isinstance(part, Mapping) else {}


def _rows(data: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    rows = data.get(key)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _number(value: object) -> int | float:
    return value if isinstance(value, (int, float)) and 0 <= value < 1e18 else 0


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
