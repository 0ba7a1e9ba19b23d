# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The model store of a machine: what is wanted, what is there and known good, and where the rest will come from.

Each model ends as one row, whatever becomes of the others. `_model_put` brings what is missing.
Private to this collection: it may change in any release.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import os
import pwd
import re
import stat
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import (
    ContentError,
    check_file,
    check_no_pickle,
    hash_file,
    open_quietly,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._model_index import FIRST_SEEN, Index, IndexEntry, signature
from ansible_collections.emprops.comfyui.plugins.module_utils._model_inputs import PICKLES
from ansible_collections.emprops.comfyui.plugins.module_utils._model_partial import begun
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._downloads import Downloads
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._given import Given
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._offer import Download, Offer
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import (
    DownloadError,
    LinkExpiredError,
    PassingError,
    printable_url,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import FIRST_PAUSE, LONGEST_PAUSE
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import (
    RefusedError,
    check_directory,
    check_model_name,
    printable,
)

NO_SOURCE = "none"
# What a machine may read by itself where only the controller asks the hubs.
OWN_WAYS = ("file", "ssh")
QUESTIONS_AT_ONCE = 16

State = Literal["present", "missing", "downloaded", "failed"]


class ModelsError(Exception):
    """The list of models cannot be had as it stands; nothing was downloaded."""


@dataclass(frozen=True)
class WantedModel:
    name: str
    directory: str
    urls: tuple[str, ...]
    path: Path
    sha256: str | None = None
    size: int | None = None
    allow_pickle: bool = False

    @property
    def label(self) -> str:
        return f"{self.directory}/{self.name}"


@dataclass(frozen=True)
class Source:
    """One place that a model can be had from, and what it says about the file once it was asked."""

    download: Download
    offer: Offer | None = None


@dataclass
class Model:
    """What became of one wanted model."""

    wanted: WantedModel
    store: Path
    state: State = "missing"
    source: str = NO_SOURCE
    how: str = ""
    bytes: int | None = None
    seconds: float = 0.0
    sha256: str | None = None
    first_seen: bool = False
    error: str | None = None
    expired: bool = False
    seen: tuple[int, int, int] | None = None
    sources: list[Source] = field(default_factory=list)
    same_as: Model | Path | None = None  # whose bytes it will have
    not_before: float = 0.0  # when its source wants to be asked again, by our monotonic clock

    @property
    def result(self) -> dict[str, Any]:
        result = {
            "name": self.wanted.name,
            "directory": self.wanted.directory,
            "path": str(self.wanted.path),
            "state": self.state,
            "source": self.source,
            "how": self.how,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "sha256": self.sha256,
            "first_seen": self.first_seen,
        }
        if self.error is not None:
            result["error"] = self.error
        if self.expired:
            result["expired"] = True
        return result

    @property
    def digest(self) -> str | None:
        """The sha256 that the file must have, as far as anybody says."""
        offer = self.sources[0].offer if self.sources else None
        return self.wanted.sha256 or (offer.sha256 if offer else None)

    @property
    def key(self) -> str:
        """What its partial file is known by: its digest, or else the address that it begins to come from."""
        address = self.sources[0].download.printable if self.sources else ""
        return self.digest or f"address-{hashlib.sha256(address.encode()).hexdigest()}"

    def fail(self, error: Exception | str) -> None:
        words = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else str(error)
        # The store's folders are held open while something is done in them.
        words = re.sub(r"/proc/self/fd/[0-9]+", str(self.wanted.path.parent), words)
        self.state, self.error, self.same_as = "failed", words or type(error).__name__, None


def parse_models(store: Path, entries: Iterable[Mapping[str, Any]], allow_pickle: bool = False) -> list[Model]:
    """One row for each entry of the list; an entry that is refused says why and keeps no other from being had."""
    if not store.is_absolute():
        raise ModelsError(f"the store must be an absolute path, got {store}")
    real_store = os.path.realpath(store)
    rows: list[Model] = []
    first: dict[str, Model] = {}
    for entry in entries:
        model = _parse_model(store, real_store, entry, allow_pickle)
        if model.state == "failed":
            rows.append(model)
            continue
        other = first.setdefault(os.path.realpath(model.wanted.path), model)
        if other is model:
            rows.append(model)
        elif not _is_same(other.wanted, model.wanted):
            again = f"{_describe(other.wanted)}, and as {model.wanted.label}: {_describe(model.wanted)}"
            for row in (other, model):
                row.fail(f"it is listed twice, and not as the same file: {again}")
            rows.append(model)
    return rows


@dataclass(frozen=True)
class Planner:
    """Looks at the disk and asks the servers about what is missing; changes nothing but the index in memory."""

    index: Index
    downloads: Downloads
    links: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what the controller signed, by label
    ask_hubs: bool = True  # about what was not signed
    share: bool = True  # whether the same bytes are to be one file
    silent: set[str] = field(default_factory=set, init=False)  # hosts that are not asked again about what is there

    def plan(self, models: Sequence[Model]) -> None:
        rest = [model for model in models if model.state == "missing" and not self._is_known(model)]
        # A host that wants to be asked later keeps nobody else waiting: its models are asked about when their turn comes.
        with self.downloads.hurried(), ThreadPoolExecutor(QUESTIONS_AT_ONCE) as pool:
            list(pool.map(self._plan_one, rest))
        if self.share:
            self._share_bytes([model for model in models if model.state == "missing"])

    def _is_known(self, model: Model) -> bool:
        """Whether a stat is enough."""
        with contextlib.suppress(OSError):
            found = model.wanted.path.stat()
            if self.index.known(model.wanted.path, found) is not None:
                look(model, self.index)
        return model.state == "present" and not self._is_unasked(model)

    def _is_unasked(self, model: Model) -> bool:
        """Whether nobody has said yet that this is the wanted file: it was there, or an audit met it."""
        wanted = model.wanted
        return model.first_seen and model.source == FIRST_SEEN and wanted.sha256 is None and bool(wanted.urls) and self.ask_hubs

    def _plan_one(self, model: Model) -> None:
        started = time.monotonic()
        try:
            look(model, self.index)
            self.index.save_in_passing()
            if model.state == "present" and self._is_unasked(model):
                self._compare(model)
            if model.state == "missing":
                self._find(model)
        except Exception as error:  # whatever one model brings about, the others go on
            model.fail(error)
        model.seconds = time.monotonic() - started

    def _find(self, model: Model) -> None:
        """Where a missing model will come from: a file that is here already, or the first source that has it."""
        wanted = model.wanted
        if self.share and wanted.sha256 is not None and (twin := same_bytes(model, wanted.sha256, self.index)) is not None:
            model.same_as, model.bytes, model.source = twin, twin.stat().st_size, str(twin)
            with contextlib.suppress(DownloadError):  # only needed where the other file goes away meanwhile
                model.sources = self._open(wanted)
            return
        link = self.links.get(wanted.label)
        if not wanted.urls and link is None:
            raise ModelsError("it is not in the store, and no source of it is known: give it a url, or put the file there")
        model.bytes, model.source = wanted.size, printable_url(wanted.urls[0]) if wanted.urls else NO_SOURCE
        model.sources = self._open(wanted) if link is None else [Source(Given(link))]
        if not model.sources:
            return
        troubles: list[tuple[str, Exception]] = []
        while model.sources:
            download = model.sources[0].download
            model.source = download.printable
            try:
                offer = ask(wanted, download)
            except PassingError as error:
                pause = FIRST_PAUSE if error.pause is None else min(error.pause, LONGEST_PAUSE)
                model.not_before = time.monotonic() + pause
                return
            except (DownloadError, ContentError) as error:
                troubles.append((download.printable, error))
                model.sources.pop(0)
                continue
            model.sources[0] = Source(download, offer)
            model.bytes = wanted.size if offer.size is None else offer.size
            return
        raise together(troubles)

    def _open(self, wanted: WantedModel) -> list[Source]:
        """Those of its addresses that may be asked from here. Raises DownloadError where none may be used at all."""
        sources, troubles = [], []
        for url in wanted.urls:
            try:
                sources.append(Source(self.downloads.open(url)))
            except DownloadError as error:
                troubles.append((printable_url(url), error))
        if not sources:
            raise together(troubles)
        return [source for source in sources if self.ask_hubs or source.download.source in OWN_WAYS]

    def _compare(self, model: Model) -> None:
        """A file that nobody knew is what its source publishes, or not the wanted one. One that is silent proves nothing: later again."""
        for url in model.wanted.urls:
            address = printable_url(url)
            place = urlsplit(address).netloc
            if place in self.silent:
                continue
            try:
                download = self.downloads.open(url)
                offer = download.look(model.wanted.name)
            except PassingError:
                self.silent.add(place)
                continue
            except (DownloadError, ContentError):
                continue
            if offer.size not in (None, model.bytes) or offer.sha256 not in (None, model.sha256):
                self.index.forget(model.wanted.path)
                model.state, model.how, model.sha256 = "missing", "", None
            elif model.sha256 is not None:
                model.source, model.first_seen = offer.address or download.printable, offer.sha256 is None
                found = model.wanted.path.stat()
                self.index.record(model.wanted.path, found, model.sha256, model.source, model.first_seen)
            return

    def _share_bytes(self, missing: Sequence[Model]) -> None:
        """Of several that will have the same bytes one is downloaded, or none where they are here already."""
        leaders: dict[object, Model] = {}
        for model in missing:
            if model.same_as is None and (model.digest or model.wanted.urls):
                twin = same_bytes(model, model.digest, self.index) if model.digest else None
                # Without a digest the same addresses mean the same file.
                leader = leaders.setdefault(model.digest or (model.wanted.urls, model.wanted.size), model)
                model.same_as = twin if twin is not None else leader if leader is not model else None


def check_space(models: Iterable[Model], reserve: int) -> tuple[list[dict[str, Any]], str | None]:
    """What each filesystem needs and has. Where the reserve would not stay free, all that is missing fails, in one message."""
    models = [model for model in models if model.state == "missing" and model.same_as is None]
    places: dict[int, Path] = {}
    needs: dict[int, list[tuple[int, Model]]] = {}
    for model in models:
        place = next(parent for parent in model.wanted.path.parents if parent.is_dir())
        device = place.stat().st_dev
        places.setdefault(device, place)
        needs.setdefault(device, []).append((max(0, (model.bytes or 0) - begun(model.wanted.path, model.key)), model))
    filesystems, problems = [], []
    for device, wanted in needs.items():
        room = os.statvfs(places[device])
        free, needed = room.f_bavail * room.f_frsize, sum(need for need, _model in wanted)
        filesystems.append({"path": str(places[device]), "needed": needed, "free": free, "reserve": reserve})
        if needed > free - reserve:
            names = ", ".join(f"{model.wanted.label} ({need})" for need, model in sorted(wanted, key=lambda item: -item[0]))
            problems.append(
                f"on the filesystem of {places[device]} {needed} bytes are needed, {free} are free and {reserve} of them reserved: {names}"
            )
    if problems:
        for model in models:
            model.fail("not begun, for the models do not fit on the disk")
    return filesystems, "\n".join(["the models do not fit on the disk, nothing was downloaded:", *problems]) if problems else None


def look(model: Model, index: Index) -> None:
    """Say whether the file that is there is the wanted one. It goes by size and digest, never by where it came from."""
    wanted = model.wanted
    try:
        found = wanted.path.stat()
    except (FileNotFoundError, NotADirectoryError):
        model.seen = None
        return
    if not stat.S_ISREG(found.st_mode):
        raise ModelsError(f"{wanted.path} is there and is not a file")
    model.seen = signature(found)
    if wanted.size not in (None, found.st_size):
        return
    entry, how = index.known(wanted.path, found), "index"
    if entry is None:
        entry, how = _meet(wanted, index), "met"
    if entry is not None and wanted.sha256 in (None, entry.sha256):
        model.state, model.how, model.bytes, model.sha256 = "present", how, entry.size, entry.sha256
        model.source, model.first_seen = entry.source, entry.first_seen


def ask(wanted: WantedModel, download: Download) -> Offer:
    """What a source says about the file. Raises DownloadError and ContentError, also where it is another file than the wanted."""
    offer = download.look(wanted.name)
    if wanted.sha256 and offer.sha256 not in (None, wanted.sha256):
        raise DownloadError(f"the server publishes the sha256 {offer.sha256}, wanted {wanted.sha256}")
    if wanted.size is not None and offer.size not in (None, wanted.size):
        raise DownloadError(f"the server has {offer.size} bytes, wanted {wanted.size}")
    return offer


def together(troubles: Sequence[tuple[str, Exception]]) -> DownloadError:
    """Why none of the sources will do, as one error."""
    kind = LinkExpiredError if any(isinstance(error, LinkExpiredError) for _address, error in troubles) else DownloadError
    return kind("; ".join(f"{error} ({address})" for address, error in troubles))


def same_bytes(model: Model, digest: str, index: Index) -> Path | None:
    """Another file of the store that is known to have this digest."""
    for path in index.same_bytes(digest):
        # What is in a hidden folder is in quarantine, on its way out.
        hidden = not path.is_relative_to(model.store) or any(part.startswith(".") for part in path.relative_to(model.store).parts)
        if path != model.wanted.path and not hidden:
            return path
    return None


def seen(path: Path) -> tuple[int, int, int] | None:
    try:
        return signature(path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return None


def summarise(models: Iterable[Model], seconds: float) -> dict[str, Any]:
    """Counts by state, and the bytes that were downloaded (or, in check mode, would be)."""
    models = list(models)
    states = Counter(model.state for model in models)
    moved = [model for model in models if model.state == "missing" or (model.state == "downloaded" and model.how.startswith("download"))]
    return {
        "present": states["present"],
        "missing": states["missing"],
        "downloaded": states["downloaded"],
        "linked": sum(model.state == "downloaded" and model.how != "download" for model in models),
        "failed": states["failed"],
        "bytes": sum(model.bytes or 0 for model in moved if model.same_as is None),
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


def open_folder(store: Path, directory: Path, uid: int, gid: int) -> int:
    """A handle of a folder of the store, made with the store where it is missing; it may be reached through links inside the store.

    Step by step and by handles, so that an account which owns one of the folders cannot lead root elsewhere. Raises OSError, ModelsError.
    """
    store.parent.mkdir(parents=True, exist_ok=True)
    handle = _step(None, str(store), uid, gid)
    root = Path(f"/proc/self/fd/{handle}").readlink()
    for part in directory.relative_to(store).parts:
        try:
            inner = _step(handle, part, uid, gid)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(directory)) from error
        finally:
            os.close(handle)
        handle = inner
        place = Path(f"/proc/self/fd/{handle}").readlink()
        if not place.is_relative_to(root):
            os.close(handle)
            raise ModelsError(f"a symlink leads out of the store, to {place}")
    return handle


def _step(above: int | None, name: str, uid: int, gid: int) -> int:
    made = False
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=above)
        made = True
    handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (os.O_NOFOLLOW if made else 0), dir_fd=above)
    if made:
        os.fchmod(handle, 0o755)
        os.fchown(handle, uid, gid)
    return handle


def _parse_model(store: Path, real_store: str, entry: Mapping[str, Any], allow_pickle: bool) -> Model:
    name, directory = entry["name"], entry["directory"]
    listed = [entry.get("url"), *(entry.get("urls") or [])]
    sha256, size = entry.get("sha256"), entry.get("size")
    urls = tuple(dict.fromkeys(url for url in listed if url))
    pickle = bool(allow_pickle or entry.get("allow_pickle"))
    model = Model(WantedModel(name, directory, urls, store, sha256.lower() if sha256 else None, size, pickle), store)
    try:
        name, directory = check_model_name(name), check_directory(directory)
        model.wanted = replace(model.wanted, name=name, directory=directory, path=store / directory / name)
        if not Path(os.path.realpath(model.wanted.path)).is_relative_to(real_store):
            raise RefusedError(f"a symlink leads out of the store, to {os.path.realpath(model.wanted.path)}")
        if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
            raise RefusedError("a sha256 is 64 hexadecimal digits")
        if size is not None and size < 1:
            raise RefusedError("a size is a positive number of bytes")
        if name.lower().endswith(PICKLES) and not pickle:
            raise RefusedError("a pickle can run code when it is loaded: allow it with allow_pickle, for this model or for all")
    except RefusedError as error:
        model.wanted = replace(model.wanted, name=printable(str(entry["name"])), directory=printable(str(entry["directory"])))
        model.fail(error)
    return model


def _is_same(first: WantedModel, second: WantedModel) -> bool:
    return (first.urls, first.sha256, first.size) == (second.urls, second.sha256, second.size)


def _describe(wanted: WantedModel) -> str:
    addresses = ", ".join(printable_url(url) for url in wanted.urls) or "no url"
    return f"{addresses} (sha256 {wanted.sha256 or 'not given'}, size {wanted.size or 'not given'})"


def _meet(wanted: WantedModel, index: Index) -> IndexEntry | None:
    """Hash a file that nobody has looked at yet, once; None when its own bytes say that it is no whole model."""
    with os.fdopen(open_quietly(wanted.path), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ModelsError(f"{wanted.path} is there and is not a file")
        if not wanted.allow_pickle:
            check_no_pickle(file)
        if wanted.sha256 is None:
            try:
                check_file(wanted.name, file)
            except ContentError:
                return None
        sha256 = hash_file(file)
    before = index.last(wanted.path)
    if before is not None and before.sha256 == sha256:  # only touched
        return index.record(wanted.path, found, sha256, before.source, before.first_seen)
    if before is not None and wanted.urls and wanted.sha256 is None:
        return None  # other bytes than those that were good once
    return index.record(wanted.path, found, sha256, FIRST_SEEN, first_seen=wanted.sha256 is None)
