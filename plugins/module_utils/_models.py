# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The model store of a machine: what is wanted, what is there and known good, and how to get from one to the other.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import json
import os
import pwd
import re
import stat
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, TypedDict

from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import ContentError, check_file
from ansible_collections.emprops.comfyui.plugins.module_utils._model_download import (
    Client,
    DownloadError,
    Offer,
    Partial,
    hash_file,
    parse_wanted_url,
    partial_path,
    printable_url,
)

LONGEST_NAME = 255
INDEX_NAME = "models.json"
SAVE_INTERVAL = 5.0
FIRST_SEEN = "first seen"
NO_SOURCE = "none"

State = Literal["present", "missing", "downloaded", "failed"]


class ModelsError(Exception):
    """The list of models cannot be had as it stands; nothing was downloaded."""


@dataclass(frozen=True)
class WantedModel:
    name: str
    directory: str
    url: str | None
    path: Path
    sha256: str | None = None
    size: int | None = None

    @property
    def label(self) -> str:
        return f"{self.directory}/{self.name}"


@dataclass
class Model:
    """What became of one wanted model."""

    wanted: WantedModel
    state: State
    source: str
    bytes: int | None = None
    seconds: float = 0.0
    sha256: str | None = None
    error: str | None = None
    seen: tuple[int, int, int] | None = None

    @property
    def result(self) -> dict[str, Any]:
        result = {
            "name": self.wanted.name,
            "directory": self.wanted.directory,
            "path": str(self.wanted.path),
            "state": self.state,
            "source": self.source,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "sha256": self.sha256,
        }
        return result if self.error is None else {**result, "error": self.error}

    def fail(self, error: Exception) -> None:
        words = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else str(error)
        self.state, self.error = "failed", f"{words} ({printable_url(self.wanted.url)})" if self.wanted.url else words


class WantedEntry(TypedDict):
    name: str
    directory: str
    url: str | None
    sha256: str | None
    size: int | None


@dataclass(frozen=True)
class IndexEntry:
    """A file whose digest was computed here, and how it looked then."""

    size: int
    mtime_ns: int
    inode: int
    sha256: str
    source: str
    when: str


class Index:
    """`models.json`: the known good files, so that each costs one stat. Without it every file is hashed once more."""

    def __init__(self, state_dir: Path, read_only: bool = False) -> None:
        self._path = state_dir / INDEX_NAME
        self._read_only = read_only
        self._entries = self._read()
        self._fresh: dict[str, IndexEntry] = {}
        self._saved = time.monotonic()
        self._lock = threading.Lock()

    def known(self, path: Path, found: os.stat_result) -> IndexEntry | None:
        entry = self._entries.get(str(path))
        return entry if entry and (entry.size, entry.mtime_ns, entry.inode) == _signature(found) else None

    def record(self, path: Path, found: os.stat_result, sha256: str, source: str) -> IndexEntry:
        size, mtime_ns, inode = _signature(found)
        when = datetime.now(timezone.utc).isoformat(timespec="seconds")
        entry = IndexEntry(size, mtime_ns, inode, sha256, source, when)
        with self._lock:
            self._entries[str(path)] = self._fresh[str(path)] = entry
        return entry

    def save(self) -> None:
        """Add what this run learned to what other runs have written meanwhile."""
        with self._lock:
            if self._fresh and not self._read_only:
                try:
                    self._write()
                except OSError as error:
                    raise ModelsError(f"cannot write {self._path}: {error.strerror}") from error

    def save_in_passing(self) -> None:
        """Save now and then, so that a run that is killed loses little; whether it can be saved is said at the end."""
        if time.monotonic() - self._saved > SAVE_INTERVAL:
            with contextlib.suppress(ModelsError):
                self.save()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(f"{INDEX_NAME}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            entries = {**self._read(), **self._fresh}
            draft = self._path.with_name(f"{INDEX_NAME}.new")
            with draft.open("w", encoding="utf-8") as file:
                json.dump({"version": 1, "files": {path: asdict(entry) for path, entry in sorted(entries.items())}}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            draft.chmod(0o644)
            draft.replace(self._path)
        self._fresh, self._saved = {}, time.monotonic()

    def _read(self) -> dict[str, IndexEntry]:
        try:
            files = json.loads(self._path.read_text(encoding="utf-8"))["files"]
            return {path: IndexEntry(**entry) for path, entry in files.items()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return {}


def parse_models(store: Path, entries: Iterable[WantedEntry]) -> list[WantedModel]:
    """Check a whole list, and refuse it in one message that names every culprit."""
    if not store.is_absolute():
        raise ModelsError(f"the store must be an absolute path, got {store}")
    models: dict[str, WantedModel] = {}
    problems = []
    for entry in entries:
        try:
            model = _parse_model(store, entry)
        except (ModelsError, DownloadError) as error:
            problems.append(f"{entry['directory']!r}/{entry['name']!r}: {error}")
            continue
        first = models.setdefault(os.path.realpath(model.path), model)
        if (first.url, first.sha256, first.size) != (model.url, model.sha256, model.size):
            problems.append(
                f"{first.label} is listed twice, and not as the same file: {_describe(first)}, and as {model.label}: {_describe(model)}"
            )
    if problems:
        raise ModelsError("\n".join(["the list of models cannot be used:", *problems]))
    return list(models.values())


def plan_models(wanted: Iterable[WantedModel], index: Index, client: Client, connections: int) -> list[Model]:
    """Look at the disk, and ask the servers about what is missing; change nothing but the index in memory."""
    with ThreadPoolExecutor(connections) as pool:
        return list(pool.map(lambda model: _plan_model(model, index, client), wanted))


def check_space(models: Iterable[Model], reserve: int) -> None:
    """Refuse, filesystem by filesystem, what would not leave the reserve free."""
    needs: dict[int, list[tuple[int, Model]]] = {}
    places: dict[int, Path] = {}
    for model in models:
        if model.state == "missing" and model.bytes is not None:
            place = next(parent for parent in model.wanted.path.parents if parent.is_dir())
            device = place.stat().st_dev
            places.setdefault(device, place)
            needs.setdefault(device, []).append((max(0, model.bytes - _begun(model.wanted)), model))
    problems = []
    for device, wanted in needs.items():
        room = os.statvfs(places[device])
        free, needed = room.f_bavail * room.f_frsize, sum(need for need, _model in wanted)
        if needed > free - reserve:
            names = ", ".join(f"{model.wanted.label} ({need})" for need, model in sorted(wanted, key=lambda item: -item[0]))
            problems.append(
                f"on the filesystem of {places[device]} {needed} bytes are needed, {free} are free and {reserve} of them reserved: {names}"
            )
    if problems:
        raise ModelsError("\n".join(["the models do not fit on the disk, nothing was downloaded:", *problems]))


def put_models(
    models: Iterable[Model], index: Index, client: Client, *, store: Path, reserve: int, connections: int, uid: int = -1, gid: int = -1
) -> None:
    """Download what is missing, side by side and the largest first; each model says for itself what became of it."""
    missing = sorted((model for model in models if model.state == "missing"), key=lambda model: -(model.bytes or 0))
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(lambda model: _put_model(model, index, client, store, reserve, uid, gid), missing))


def summarise(models: Iterable[Model], seconds: float) -> dict[str, Any]:
    """Counts by state, and the bytes that were downloaded (or, in check mode, would be)."""
    models = list(models)
    states = Counter(model.state for model in models)
    return {
        "present": states["present"],
        "missing": states["missing"],
        "downloaded": states["downloaded"],
        "failed": states["failed"],
        "bytes": sum(model.bytes or 0 for model in models if model.state in ("downloaded", "missing")),
        "seconds": round(seconds, 3),
    }


def describe_failures(models: Iterable[Model]) -> str | None:
    models = list(models)
    failed = [f"{model.wanted.label}: {model.error}" for model in models if model.state == "failed"]
    return "\n".join([f"{len(failed)} of {len(models)} models failed:", *failed]) if failed else None


def parse_account(owner: str | None, group: str | None) -> tuple[int, int]:
    """The numbers of an account and a group, -1 for what is left alone."""
    try:
        uid = pwd.getpwnam(owner).pw_uid if owner else -1
    except KeyError:
        raise ModelsError(f"this machine has no account named {owner}") from None
    try:
        gid = grp.getgrnam(group).gr_gid if group else -1
    except KeyError:
        raise ModelsError(f"this machine has no group named {group}") from None
    return uid, gid


def _parse_model(store: Path, entry: WantedEntry) -> WantedModel:
    _check_name(entry["name"])
    for part in entry["directory"].split("/"):
        _check_name(part)
    path = store / entry["directory"] / entry["name"]
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(store)):
        raise ModelsError(f"a symlink leads out of the store, to {os.path.realpath(path)}")
    sha256, size = entry["sha256"], entry["size"]
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ModelsError("a sha256 is 64 hexadecimal digits")
    if size is not None and size < 1:
        raise ModelsError("a size is a positive number of bytes")
    url = parse_wanted_url(entry["url"]) if entry["url"] else None
    return WantedModel(entry["name"], entry["directory"], url, path, sha256.lower() if sha256 else None, size)


def _check_name(name: str) -> None:
    """One plain name, whatever a server, a shell or a terminal might make of it."""
    if not name:
        raise ModelsError("a name or a part of the directory is empty")
    if name.startswith(".") or name != name.strip() or "/" in name or "\\" in name:
        raise ModelsError("a name is plain: no slash or backslash, no dot in front, no blank at either end; a directory is relative")
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in name):
        raise ModelsError("a name has no control or invisible characters")
    if len(name.encode()) > LONGEST_NAME:
        raise ModelsError(f"a name has at most {LONGEST_NAME} bytes")


def _describe(model: WantedModel) -> str:
    return f"{printable_url(model.url) if model.url else 'no url'} (sha256 {model.sha256 or 'not given'}, size {model.size or 'not given'})"


def _plan_model(wanted: WantedModel, index: Index, client: Client) -> Model:
    started = time.monotonic()
    model = Model(wanted, "missing", printable_url(wanted.url) if wanted.url else NO_SOURCE)
    try:
        _look(model, index)
        index.save_in_passing()
        if model.state == "missing" and wanted.url is None:
            raise ModelsError("it is not in the store, and no source of it is known: give it a url, or put the file there")
        if model.state == "missing" and wanted.url is not None:
            offer = Offer(wanted.size, wanted.sha256) if wanted.size is not None else client.probe(wanted.url, wanted.name)
            model.bytes = offer.size
    except (DownloadError, ContentError, ModelsError, OSError) as error:
        model.fail(error)
    model.seconds = time.monotonic() - started
    return model


def _look(model: Model, index: Index) -> None:
    """Say whether the file that is there is the wanted one. It goes by size and digest, never by where it came from."""
    wanted = model.wanted
    try:
        found = wanted.path.stat()
    except (FileNotFoundError, NotADirectoryError):
        model.seen = None
        return
    if not stat.S_ISREG(found.st_mode):
        raise ModelsError(f"{wanted.path} is there and is not a file")
    model.seen = _signature(found)
    if wanted.size not in (None, found.st_size):
        return
    entry = index.known(wanted.path, found) or _meet(wanted, index)
    if entry is not None and wanted.sha256 in (None, entry.sha256):
        model.state, model.bytes, model.sha256, model.source = "present", entry.size, entry.sha256, entry.source


def _meet(wanted: WantedModel, index: Index) -> IndexEntry | None:
    """Hash a file that nobody has looked at yet, once; None when its own bytes say that it is no whole model."""
    with wanted.path.open("rb") as file:
        found = os.fstat(file.fileno())
        if wanted.sha256 is None:
            try:
                check_file(wanted.name, file)
            except ContentError:
                return None
        return index.record(wanted.path, found, hash_file(file), FIRST_SEEN)


def _put_model(model: Model, index: Index, client: Client, store: Path, reserve: int, uid: int, gid: int) -> None:
    started = time.monotonic()
    wanted, url = model.wanted, str(model.wanted.url)  # without one it would have failed before
    try:
        _make_directories(store, wanted.path.parent, uid, gid)
        with Partial(wanted.path, url, reserve) as partial:
            if _seen(wanted.path) != model.seen:  # another run was here while we looked elsewhere or waited
                _look(model, index)
            if model.state == "missing":
                expected = client.download(url, partial, wanted.name, Offer(wanted.size, wanted.sha256))
                _check_partial(partial, wanted.name, expected.sha256)
                found = partial.publish(uid, gid)
                index.record(wanted.path, found, partial.hexdigest(), model.source)
                model.state, model.bytes, model.sha256 = "downloaded", found.st_size, partial.hexdigest()
        index.save_in_passing()
    except (DownloadError, ContentError, ModelsError, OSError) as error:
        model.fail(error)
    model.seconds += time.monotonic() - started


def _check_partial(partial: Partial, name: str, sha256: str | None) -> None:
    """Prove the whole file before it gets its name."""
    try:
        with partial.open() as file:
            check_file(name, file)
        if sha256 is not None and partial.hexdigest() != sha256:
            raise ContentError(f"the file has sha256 {partial.hexdigest()}, wanted {sha256}")
    except ContentError:
        partial.discard()
        raise


def _make_directories(store: Path, directory: Path, uid: int, gid: int) -> None:
    """Make what is missing of the way from the store to a directory, the store included."""
    store.parent.mkdir(parents=True, exist_ok=True)
    for part in [*reversed(directory.relative_to(store).parents), directory.relative_to(store)]:
        place = store / part
        try:
            place.mkdir()
        except FileExistsError:
            continue
        # Not by its path, which the owner of the folder above could make lead elsewhere by now.
        handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchmod(handle, 0o755)
            os.fchown(handle, uid, gid)
        finally:
            os.close(handle)


def _begun(wanted: WantedModel) -> int:
    """Bytes of the disk that an earlier, unfinished download of this model holds already."""
    try:
        return partial_path(wanted.path, str(wanted.url)).lstat().st_blocks * 512
    except OSError:
        return 0


def _seen(path: Path) -> tuple[int, int, int] | None:
    try:
        return _signature(path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _signature(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ino
