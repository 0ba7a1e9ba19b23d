# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the world knows about custom nodes: ComfyUI-Manager's four files, answered from an index that is made once.

    extension-node-map.json   {address: [[class, …], {"nodename_pattern"?, "title_aux"?}]}
    custom-node-list.json     {"custom_nodes": [{"title", "id"?, "files": [address, …], "install_type", …}]}
    model-list.json           {"models": [{"filename", "save_path", "type", "url", …}]}
    github-stats.json         {address: {"stars", "last_update"}}

Anybody may propose an entry of these files, so that each is judged by itself: an odd one is skipped and counted.
A pack is only one to install when custom-node-list has it and git can clone it over HTTPS from a known host. The node map
alone is no proof: it also holds ComfyUI itself, and accounts that the folder names of somebody's computer were taken for.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import itertools
import json
import os
import re
import stat
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard
from urllib.parse import urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._manifest import PACK_NAME

MAP, PACKS, MODELS, STATS = KINDS = ("extension-node-map", "custom-node-list", "model-list", "github-stats")
# A pack is made with its stars, and what the map alone has stays unlisted.
ADDED = (STATS, PACKS, MAP, MODELS)
PACKAGE = "comfyui-manager"
# The largest of the real files has 3 MB.
MOST_BYTES = 24 * 1024**2
MOST_ENTRIES = 100_000
LONGEST_CLASS = 200
LONGEST_TEXT = 1000
LONGEST_PATTERN = 400
MOST_PATTERNS = 500
MOST_ALTERNATIVES = 64
# Raise it with every change of what an index holds; an index of another format is made anew.
INDEX_FORMAT = 1

HOSTS = {"github.com", "gitlab.com", "codeberg.org", "bitbucket.org"}
# ComfyUI is in the node map like a pack, with more stars than any.
CORE = {"https://github.com/comfyanonymous/comfyui", "https://github.com/comfy-org/comfyui"}
GIT_CLONE = "git-clone"
UNLISTED = "unlisted"
# Where Manager puts a model of this type when its save_path is "default".
DEFAULT_DIRECTORIES = {
    "checkpoint": "checkpoints",
    "checkpoints": "checkpoints",
    "clip": "text_encoders",
    "text_encoders": "text_encoders",
    "clip_vision": "clip_vision",
    "controlnet": "controlnet",
    "diffusion_model": "diffusion_models",
    "unet": "diffusion_models",
    "embedding": "embeddings",
    "embeddings": "embeddings",
    "gligen": "gligen",
    "lora": "loras",
    "t2i-adapter": "controlnet",
    "t2i-style": "controlnet",
    "upscale": "upscale_models",
    "vae": "vae",
}

_NO_SEPARATORS = str.maketrans("", "", "-_. ")
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_SCP_LIKE = re.compile(r"(?:ssh://)?git@([^/:]+)[:/](.+)")


class RegistryError(Exception):
    """The registry that was asked for cannot be used; the text names the file and the reason."""


class RegistryPack(NamedTuple):
    """A pack that the registry knows.

    name           folder that a git clone makes below custom_nodes/
    install_type   git-clone, or why git cannot install it: copy, unzip, …, unlisted (in the node map alone)
    """

    name: str
    repository: str
    cnr_id: str | None
    title: str
    stars: int | None
    install_type: str


class ListedModel(NamedTuple):
    """A model of model-list; the directory may be a sub-folder, and all three are still to be judged."""

    name: str
    directory: str
    url: str


@dataclass(frozen=True)
class Origin:
    """Where the answers come from.

    kind       folder, files, cache, package or none
    date       of the data, in UTC, and date_from says what tells it
    skipped    entries that were not as they should be
    notes      what was missed on the way here
    """

    kind: str
    path: str | None = None
    version: str | None = None
    date: str | None = None
    date_from: str | None = None
    packs: int = 0
    classes: int = 0
    models: int = 0
    skipped: int = 0
    notes: tuple[str, ...] = ()

    @property
    def age_days(self) -> int | None:
        if self.date is None:
            return None
        return max(0, int((time.time() - datetime.fromisoformat(self.date).timestamp()) // 86400))

    @property
    def words(self) -> str:
        if self.kind == "none":
            return "; ".join(("no registry: packs are known from the catalogue and the workflows alone", *self.notes))
        place = {"package": f"the package {PACKAGE} {self.version or '(version unknown)'}", "cache": f"the cache {self.path}"}
        what = f"{self.packs} packs, {self.classes} classes and {self.models} models from {place.get(self.kind, self.path)}"
        age = f"{self.date[:10]}, {self.age_days} days old ({self.date_from})" if self.date else "of unknown age"
        odd = (f"{self.skipped} odd entries were skipped",) if self.skipped else ()
        return "; ".join((f"{what}, {age}", *odd, *self.notes))

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "notes": list(self.notes), "age_days": self.age_days, "words": self.words}


class Registry:
    """Answers from an index (see `_Builder.index`); only packs that git can install are candidates."""

    def __init__(self, index: Mapping[str, Any], origin: Origin) -> None:
        self.origin = origin
        self._rows: list[list[Any]] = index["packs"]
        self._classes: dict[str, int | list[int]] = index["classes"]
        self._core: str = index["core"]
        self._patterns: list[tuple[str, int]] = index["patterns"]
        self._models: dict[str, list[list[str]]] = index["models"]

    def exact(self, class_name: str) -> tuple[RegistryPack, ...]:
        """Packs whose list of classes has this one, most stars first."""
        return self._ranked(row for row in self._having(class_name) if self._installable(row))

    def matching(self, class_name: str) -> tuple[RegistryPack, ...]:
        """Further packs, whose pattern the name matches."""
        name = class_name.strip()
        if len(name) > LONGEST_CLASS:
            return ()
        known = self._having(name)
        found = {row for alternatives, row in self._compiled if row not in known and any(one.matches(name) for one in alternatives)}
        return self._ranked(row for row in found if self._installable(row))

    def elsewhere(self, class_name: str) -> tuple[RegistryPack, ...]:
        """What else claims to have this class and must be looked at by a person: single files, archives, unlisted repositories."""
        return self._ranked(row for row in self._having(class_name) if not self._installable(row))

    def is_core(self, class_name: str) -> bool:
        """Whether the node map has this class among ComfyUI's own: a hint that a newer ComfyUI has it."""
        return f"\x7f{class_name.strip()}\x7f" in self._core

    def by_id(self, cnr_id: str) -> RegistryPack | None:
        """The pack of the Comfy registry's name: by its id in the list, else by its repository's name, exactly or nearly."""
        wanted = cnr_id.strip().casefold()
        ids, names, plain_names = self._by_name
        for table, key in ((ids, wanted), (names, wanted), (plain_names, _plain(wanted))):
            if key in table:
                return self._ranked(table[key])[0]
        return None

    def by_repository(self, address: str) -> RegistryPack | None:
        """The pack in this repository, given as any address of it or as "owner/name"."""
        row = self._by_key.get(repository_key(address))
        return None if row is None else self._pack(row)

    def models(self, file_name: str) -> tuple[ListedModel, ...]:
        return tuple(ListedModel(file_name, directory, url) for directory, url in self._models.get(file_name, ()))

    def _having(self, class_name: str) -> Sequence[int]:
        found = self._classes.get(class_name.strip(), ())
        return [found] if isinstance(found, int) else found

    def _installable(self, row: int) -> bool:
        return bool(self._rows[row][4] == GIT_CLONE)

    def _pack(self, row: int) -> RegistryPack:
        repository, cnr_id, title, stars, install_type = self._rows[row]
        name = repository.rsplit("/", 1)[-1]
        return RegistryPack(name, repository, cnr_id, title or name, stars, install_type)

    def _ranked(self, rows: Iterator[int] | Sequence[int]) -> tuple[RegistryPack, ...]:
        packs = [self._pack(row) for row in rows]
        return tuple(sorted(packs, key=lambda pack: (-1 if pack.stars is None else pack.stars, pack.repository.lower()), reverse=True))

    @functools.cached_property
    def _compiled(self) -> list[tuple[list[_Alternative], int]]:
        return [(parse_pattern(pattern), row) for pattern, row in self._patterns]

    @functools.cached_property
    def _by_key(self) -> dict[str, int]:
        return {row[0].casefold(): number for number, row in enumerate(self._rows) if row[4] == GIT_CLONE}

    @functools.cached_property
    def _by_name(self) -> tuple[dict[str, list[int]], dict[str, list[int]], dict[str, list[int]]]:
        ids: dict[str, list[int]] = {}
        names: dict[str, list[int]] = {}
        plain_names: dict[str, list[int]] = {}
        for key, row in self._by_key.items():
            name = key.rsplit("/", 1)[-1]
            names.setdefault(name, []).append(row)
            plain_names.setdefault(_plain(name), []).append(row)
            if self._rows[row][1]:
                ids.setdefault(self._rows[row][1].casefold(), []).append(row)
        return ids, names, plain_names


def load_registry(
    source: str | Sequence[str] = "auto", cache_dir: Path | None = None, index_dir: Path | None = None, *, write: bool = True
) -> Registry:
    """The registry of a folder, of files, or "auto": the cache, else the installed package, else none;
    "none" is asked for by name.

    `cache_dir` is where the role keeps the files, `index_dir` where the index is kept; both have a default. Without `write`
    the registry is read and no index is made.
    Raises RegistryError when a folder or files were asked for and cannot be used; "auto" always has an answer.
    """
    if source == "none":
        return Registry(_Builder().index(), Origin("none"))
    if source != "auto":
        if isinstance(source, str) and not Path(source).is_file():
            folder = Path(source)
            return _load(Origin("folder", str(folder)), _files_of(folder), index_dir, write)
        files = [Path(one) for one in ([source] if isinstance(source, str) else source)]
        return _load(Origin("files", ", ".join(map(str, files))), _by_kind(files), index_dir, write)

    notes: list[str] = []
    cache_dir = cache_dir or default_registry_dir()
    if cache_dir is not None:
        try:
            return _load(Origin("cache", str(cache_dir)), _files_of(cache_dir), index_dir, write)
        except RegistryError as error:
            notes.append(f"the cache is not used: {error}")
    package = _package_folder()
    if package is not None:
        try:
            origin = Origin("package", str(package), _package_version(package), notes=tuple(notes))
            return _load(origin, _files_of(package), index_dir, write)
        except RegistryError as error:
            notes.append(f"the package is not used: {error}")
    return Registry(_Builder().index(), Origin("none", notes=tuple(notes)))


def default_registry_dir() -> Path | None:
    """Where the role keeps the files; None for an account without a home."""
    cache = _user_cache()
    return None if cache is None else cache / "registry"


def repository_url(text: str) -> str | None:
    """The HTTPS address of a repository on a known host, from any way to write it; None for anything else."""
    text = re.sub(r"^git\s+clone\s+", "", text.strip())
    if _ODD.search(text) or len(text) > LONGEST_TEXT:
        return None
    scp = _SCP_LIKE.fullmatch(text)
    if scp:
        text = f"https://{scp[1]}/{scp[2]}"
    elif re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", text):
        text = f"https://github.com/{text}"
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").removeprefix("www.")
        plain = parts.scheme in ("http", "https") and parts.netloc.lower() in (host, f"www.{host}") and not parts.query
    except ValueError:
        return None
    *owner, name = parts.path.strip("/").removesuffix(".git").split("/")
    depth = range(1, 6) if host == "gitlab.com" else (1,)
    if not plain or host not in HOSTS or len(owner) not in depth or not PACK_NAME.fullmatch(name):
        return None
    if not all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", one) for one in (*owner, name)):
        return None
    return f"https://{host}/{'/'.join(owner)}/{name}"


def repository_key(text: str) -> str:
    """What two addresses of one repository have in common."""
    return (repository_url(text) or text.strip()).casefold()


def parse_registry_file(kind: str, content: bytes) -> int:
    """Check what a server sent for one of the four files; returns how many entries it has. Raises RegistryError."""
    builder = _Builder()
    builder.add(kind, _parse(unpack(content)))
    entries = {MAP: len(builder.classes), PACKS: builder.listed, MODELS: len(builder.models), STATS: len(builder.stars)}[kind]
    if not entries:
        raise RegistryError(f"it has none of the entries that a {kind}.json has")
    return entries


# Patterns. They come from strangers, so that Python's re, which a pattern can keep busy for years, never sees them.


@dataclass(frozen=True)
class _Alternative:
    """Texts that a name holds one after the other."""

    texts: tuple[str, ...]
    at_start: bool
    at_end: bool

    def matches(self, name: str) -> bool:
        first, last = self.texts[0], self.texts[-1]
        if self.at_start and not name.startswith(first):
            return False
        if self.at_end and not name.endswith(last):
            return False
        position = 0
        for text in self.texts[:-1] if self.at_end else self.texts:
            found = name.find(text, position)
            if found < 0:
                return False
            position = found + len(text)
        if self.at_end and self.at_start and len(self.texts) == 1:
            return name == first
        return not self.at_end or position <= len(name) - len(last)


_START, _END, _ANY = object(), object(), object()


def parse_pattern(pattern: str) -> list[_Alternative]:
    """A pattern's alternatives: it may hold text, `.*`, `^`, `$`, `|` and groups, which is all that packs use. Raises ValueError."""
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError("it is too long")
    tokens = re.findall(r"\\.|\.\*|\(\?:|.", pattern, re.DOTALL)
    sequences, rest = _parse_alternatives(tokens, depth=0)
    if rest:
        raise ValueError("a group is closed that was never opened")
    return [_parse_alternative(sequence) for sequence in sequences]


def _parse_alternatives(tokens: list[str], depth: int) -> tuple[list[list[Any]], list[str]]:
    """Every sequence that the tokens up to the end of the group stand for, and the tokens after it."""
    if depth > 4:
        raise ValueError("its groups are too deep")
    done: list[list[Any]] = []
    current: list[list[Any]] = [[]]
    while tokens and tokens[0] != ")":
        token, *tokens = tokens
        if token == "|":  # noqa: S105 - a token of the pattern
            done, current = done + current, [[]]
            continue
        if token in ("(", "(?:"):
            choices, tokens = _parse_alternatives(tokens, depth + 1)
            if not tokens:
                raise ValueError("a group is never closed")
            tokens = tokens[1:]
        else:
            choices = [[_parse_token(token)]]
        if len(done) + len(current) * len(choices) > MOST_ALTERNATIVES:
            raise ValueError("it stands for too many names")
        current = [[*left, *right] for left, right in itertools.product(current, choices)]
    return done + current, tokens


def _parse_token(token: str) -> Any:
    special = {"^": _START, "$": _END, ".*": _ANY}
    if token in special:
        return special[token]
    if token.startswith("\\"):
        token = token[1:]
        if not token or token.isalnum():
            raise ValueError(f"\\{token} is not understood")
    elif token in set(".*+?[]{}\\"):
        raise ValueError(f"{token} is not understood")
    return token


def _parse_alternative(sequence: list[Any]) -> _Alternative:
    at_start, at_end = sequence[:1] == [_START], sequence[-1:] == [_END]
    middle = sequence[at_start : len(sequence) - at_end]
    if _START in middle or _END in middle:
        raise ValueError("^ or $ is in the middle of it")
    # `.*` at an end takes back the anchor of that end.
    at_start, at_end = at_start and middle[:1] != [_ANY], at_end and middle[-1:] != [_ANY]
    groups = itertools.groupby(middle, key=lambda token: token is _ANY)
    texts = tuple("".join(group) for any_text, group in groups if not any_text)
    if sum(map(len, texts)) < 2:
        raise ValueError("it matches nearly every name")
    return _Alternative(texts, at_start, at_end)


# Reading the files.


def _files_of(folder: Path) -> dict[str, Path]:
    # The role's folder has the whole set behind one link.
    current = folder / "current"
    try:
        folder = current if current.is_dir() else folder
        found = {kind: path for kind in KINDS for path in (folder / f"{kind}.json.gz", folder / f"{kind}.json") if path.is_file()}
    except OSError as error:
        raise RegistryError(f"{folder} cannot be read: {error.strerror}") from None
    if not found:
        raise RegistryError(f"{folder} has none of the files {', '.join(f'{kind}.json' for kind in KINDS)}")
    return found


def _by_kind(files: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in files:
        kind = path.name.removesuffix(".gz").removesuffix(".json")
        if kind not in KINDS:
            raise RegistryError(f"{path} has the name of none of the files {', '.join(f'{kind}.json' for kind in KINDS)}")
        if kind in found:
            raise RegistryError(f"{path} and {found[kind]} are the same file of the registry")
        found[kind] = path
    if not found:
        raise RegistryError("the list of files is empty")
    return found


def _package_folder() -> Path | None:
    """Where the package's files are. It is not imported, because that would run it."""
    try:
        spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def _package_version(folder: Path) -> str | None:
    found = sorted(folder.parent.glob(f"{folder.name}-*.dist-info"))
    return found[-1].name.removesuffix(".dist-info").partition("-")[2] if found else None


def _read(path: Path) -> bytes:
    try:
        # What is no file must not be waited for.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise RegistryError(f"{path} is not a file")
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise RegistryError(f"{path} cannot be read: {error.strerror}") from None


def unpack(content: bytes) -> bytes:
    """The bytes of a plain or gzip file, if there are not too many."""
    if content[:2] == b"\x1f\x8b":
        unpack = zlib.decompressobj(wbits=31)
        try:
            content = unpack.decompress(content[: MOST_BYTES + 1], MOST_BYTES + 1)
        except zlib.error as error:
            raise RegistryError(f"it is no whole gzip file: {error}") from None
        if len(content) <= MOST_BYTES and not unpack.eof:
            raise RegistryError("it is no whole gzip file: its end is missing")
    if len(content) > MOST_BYTES:
        raise RegistryError(f"it has more than {MOST_BYTES} bytes")
    return content


def _parse(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        if content.lstrip()[:1] == b"<":
            raise RegistryError("it is a web page and not JSON") from None
        raise RegistryError(f"it is not JSON: {error or type(error).__name__}") from None


@dataclass
class _Builder:
    """Makes the index out of the files, entry by entry."""

    rows: list[list[Any]] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)
    classes: dict[str, list[int]] = field(default_factory=dict)
    core: set[str] = field(default_factory=set)
    patterns: list[tuple[str, int]] = field(default_factory=list)
    models: dict[str, list[list[str]]] = field(default_factory=dict)
    stars: dict[str, int] = field(default_factory=dict)
    newest: str | None = None
    listed: int = 0
    skipped: int = 0

    def add(self, kind: str, data: Any) -> None:
        """One of the files, in the order of ADDED."""
        if kind == STATS:
            self._add_stats(_expect(data, dict, kind))
        elif kind == PACKS:
            self._add_packs(_expect(_expect(data, dict, kind).get("custom_nodes"), list, kind))
        elif kind == MAP:
            self._add_map(_expect(data, dict, kind))
        else:
            self._add_models(_expect(_expect(data, dict, kind).get("models"), list, kind))

    def index(self) -> dict[str, Any]:
        """What the answers need: classes to rows of packs [repository, id, title, stars, install type], and so on."""
        return {
            "packs": self.rows,
            "classes": {name: rows[0] if len(rows) == 1 else rows for name, rows in self.classes.items()},
            "core": "\x7f".join(["", *sorted(self.core), ""]),
            "patterns": self.patterns,
            "models": self.models,
            "newest": self.newest,
            "skipped": self.skipped,
        }

    def _add_stats(self, stats: dict[str, Any]) -> None:
        times = []
        for address, entry in self._some(stats.items()):
            repository = repository_url(address)
            stars = entry.get("stars") if isinstance(entry, dict) else None
            if repository is None or type(stars) is not int or not 0 <= stars < 10**9:
                self.skipped += 1
                continue
            key = repository.casefold()
            self.stars[key] = max(stars, self.stars.get(key, 0))
            updated = entry.get("last_update")
            if isinstance(updated, str) and _TIME.fullmatch(updated):
                times.append(updated)
        # A date in the future is none of these files'.
        tomorrow = datetime.fromtimestamp(time.time() + 86400, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
        self.newest = max((one for one in times if one < tomorrow and _is_time(one)), default=None)

    def _add_packs(self, entries: list[Any]) -> None:
        for entry in self._some(entries):
            files = entry.get("files") if isinstance(entry, dict) else None
            addresses = [one for one in files if _is_text(one)][:20] if isinstance(files, list) else []
            if not addresses:
                self.skipped += 1
                continue
            self.listed += 1
            kind = entry.get("install_type")
            kind = kind.lower() if _is_text(kind, 20) else ""
            for address in addresses:
                if repository_key(address) in CORE:
                    continue
                row = self._row(address)
                if row[4] == UNLISTED:
                    # The address decides: some repositories are listed as "copy", which means single files.
                    row[4] = GIT_CLONE if repository_url(address) else kind if kind not in ("", "git", GIT_CLONE) else "unknown host"
                row[1] = row[1] or (entry["id"] if _is_text(entry.get("id"), 200) else None)
                row[2] = row[2] or (entry["title"] if _is_text(entry.get("title"), 200) else None)

    def _add_map(self, entries: dict[str, Any]) -> None:
        for address, entry in self._some(entries.items()):
            if not _is_text(address) or not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], list):
                self.skipped += 1
                continue
            key = repository_key(address)
            texts = [name for name in entry[0] if _is_text(name, LONGEST_CLASS)]
            self.skipped += len(entry[0]) - len(texts)
            names = dict.fromkeys(text.strip() for text in texts)
            if key in CORE:
                self.core.update(names)
                continue
            more = entry[1] if isinstance(entry[1], dict) else {}
            row = self._row(address)
            row[2] = row[2] or (more["title_aux"] if _is_text(more.get("title_aux"), 200) else None)
            number = self.keys[key]
            for name in names:
                rows = self.classes.setdefault(name, [])
                if number not in rows:
                    rows.append(number)
            pattern = more.get("nodename_pattern")
            if pattern is not None:
                self._add_pattern(pattern, number)

    def _add_pattern(self, pattern: Any, row: int) -> None:
        try:
            if not _is_text(pattern) or len(self.patterns) >= MOST_PATTERNS:
                raise ValueError("it is no pattern")
            parse_pattern(pattern)
        except ValueError:
            self.skipped += 1
        else:
            self.patterns.append((pattern, row))

    def _add_models(self, entries: list[Any]) -> None:
        for entry in self._some(entries):
            entry = entry if isinstance(entry, dict) else {}
            name, directory, url = (entry.get(key) for key in ("filename", "save_path", "url"))
            if directory == "default":
                directory = DEFAULT_DIRECTORIES.get(str(entry.get("type")).lower())
            if not (_is_text(name, 255) and _is_text(directory, 255) and _is_text(url) and url.startswith("https://")):
                self.skipped += 1
                continue
            places = self.models.setdefault(name, [])
            if [directory, url] not in places:
                places.append([directory, url])

    def _row(self, address: str) -> list[Any]:
        key = repository_key(address)
        if key not in self.keys:
            self.keys[key] = len(self.rows)
            self.rows.append([repository_url(address) or address, None, None, self.stars.get(key), UNLISTED])
        return self.rows[self.keys[key]]

    def _some(self, entries: Any) -> Iterator[Any]:
        """The entries, up to a limit far above what there is."""
        self.skipped += max(0, len(entries) - MOST_ENTRIES)
        return itertools.islice(entries, MOST_ENTRIES)


# The index: one line "format key digest", then JSON. It spares reading 7 MB of JSON again.


def _load(origin: Origin, files: Mapping[str, Path], index_dir: Path | None, write: bool) -> Registry:
    notes = [f"there is no {kind}.json" for kind in KINDS if kind not in files]
    key = _key(files)
    folder = index_dir or _user_cache()
    problem = "there is no home folder to keep it in" if folder is None else own_folder(folder) if write else ""
    path = None
    if folder is None or problem:
        notes.append(f"no index is kept: {problem}")
    else:
        name = hashlib.sha256("\n".join(str(file.absolute()) for file in files.values()).encode(errors="surrogateescape")).hexdigest()
        path = folder / f"registry-{name[:16]}.index"
    index = None if path is None else _read_index(path, key)
    if index is None:
        index = _build(files)
        # A file that was replaced meanwhile is read by the next run.
        if path is not None and write and _key(files) == key:
            notes += _put_index(path, key, index)
    date, date_from = index["newest"], "newest last_update in github-stats"
    if date is None:
        try:
            newest = max(file.stat().st_mtime for file in files.values())
        except OSError as error:
            raise RegistryError(f"{error.filename} cannot be read: {error.strerror}") from None
        date, date_from = datetime.fromtimestamp(newest, timezone.utc).strftime("%Y-%m-%d %H:%M:%S"), "time of the newest file"
    origin = replace(
        origin,
        date=f"{date.replace(' ', 'T')}+00:00",
        date_from=date_from,
        packs=sum(row[4] == GIT_CLONE for row in index["packs"]),
        classes=len(index["classes"]),
        models=len(index["models"]),
        skipped=index["skipped"],
        notes=(*origin.notes, *notes),
    )
    return Registry(index, origin)


def _build(files: Mapping[str, Path]) -> dict[str, Any]:
    builder = _Builder()
    for kind in ADDED:
        if kind in files:
            content = _read(files[kind])
            try:
                builder.add(kind, _parse(unpack(content)))
            except RegistryError as error:
                raise RegistryError(f"{files[kind]}: {error}") from None
    return builder.index()


def _key(files: Mapping[str, Path]) -> str:
    """What changes when a file does."""
    try:
        found = [(kind, str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for kind, path in files.items()]
    except OSError as error:
        raise RegistryError(f"{error.filename} cannot be read: {error.strerror}") from None
    return hashlib.sha256(repr(found).encode(errors="surrogateescape")).hexdigest()


def _user_cache() -> Path | None:
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # The specification of the variable says to ignore what is not absolute.
        return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "emprops.comfyui"
    except RuntimeError:
        return None


def own_folder(folder: Path) -> str:
    """Make a folder of this account's alone; returns why there is none."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        return f"{folder}: {error.strerror}"
    if not stat.S_ISDIR(found.st_mode) or not _is_ours(found):
        return f"{folder} belongs to another account, or others may write in it"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"{folder} cannot be written in"


def _is_ours(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _read_index(path: Path, key: str) -> dict[str, Any] | None:
    """The index, if it is whole, ours and of these files."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or not _is_ours(found):
                return None
            header, body = file.readline(200), file.read()
        index = json.loads(body) if header == _header(key, body) else None
    except (OSError, ValueError):
        return None
    return index if isinstance(index, dict) else None


def _put_index(path: Path, key: str, index: Mapping[str, Any]) -> list[str]:
    """Write the index for the next run; returns why not. Another process may do the same: the last one's stays."""
    body = json.dumps(index, ensure_ascii=False, separators=(",", ":")).encode()
    partial = None
    try:
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(_header(key, body) + body)
        Path(partial).replace(path)
    except OSError as error:
        if partial:
            Path(partial).unlink(missing_ok=True)
        return [f"no index is kept: {path.parent}: {error.strerror}"]
    return []


def _header(key: str, body: bytes) -> bytes:
    return f"{INDEX_FORMAT} {key} {hashlib.sha256(body).hexdigest()}\n".encode()


def _is_text(value: object, limit: int = LONGEST_TEXT) -> TypeGuard[str]:
    return isinstance(value, str) and value.strip() != "" and len(value) <= limit and not _ODD.search(value)


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _plain(name: str) -> str:
    return name.translate(_NO_SEPARATORS)


def _expect(value: Any, expected: type, kind: str) -> Any:
    if not isinstance(value, expected):
        raise RegistryError(f"it does not have the shape of {kind}.json")
    return value
