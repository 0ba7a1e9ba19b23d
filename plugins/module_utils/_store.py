# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What lies in a model store, who asked for it, and who uses it. Nothing here opens a file or changes one.

    <store>/<folder>/.../<name>      a file, or a link to one; links to folders are not followed
    <store>/.../.<name>.part         what a download left or is at; likewise .part.whole, .part.json (its journal) and .claim (who is at it)
    <store>/.../.<name>.<key>.xet/   the same of one that another program does
    <store>/.../.<name>.<hex>.link   a name on its way to be another's
    <store>/.../.<anything else>     not looked at, folders included

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import SHA256, model_path
from ansible_collections.emprops.comfyui.plugins.module_utils._model_inputs import CORE_FOLDERS, looks_like_model
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import RefusedError, check_directory, check_model_name

Owner = Literal["workflow", "catalogue", "static", "keep"]
Inode = tuple[int, int]

# Folders of other programs and what ComfyUI calls them: from its own example of shared folders, and Stability Matrix's names.
# Compared without regard to case.
LEGACY_FOLDERS = {
    "stable-diffusion": "checkpoints",
    "stablediffusion": "checkpoints",
    "lora": "loras",
    "lycoris": "loras",
    "esrgan": "upscale_models",
    "realesrgan": "upscale_models",
    "swinir": "upscale_models",
    "textualinversion": "embeddings",
    "hypernetwork": "hypernetworks",
    "vae-approx": "vae_approx",
    "approxvae": "vae_approx",
    "text_encoder": "text_encoders",
    "textencoders": "text_encoders",
    "diffusionmodels": "diffusion_models",
    "clipvision": "clip_vision",
}
_LEFTOVER = re.compile(
    r"\..+\.(?P<kind>part(?:\.whole|\.json(?:\.partial)?)?|claim|(?<=\.[0-9a-f]{16}\.)link|(?<=\.[0-9a-f]{8}\.)xet)", re.DOTALL
)
# A smaller file is not worth a word, unless its name says that it holds weights: notes, previews, "put models here".
SMALL = 1024**2
# Where a clean-up puts things aside, below the store: <day>/<path in the store>, and a list of them.
QUARANTINE = ".quarantine"
QUARANTINE_MANIFEST = "manifest.json"
LONGEST_CHAIN = 40  # of links; the kernel follows no more
LATEST_TIME = 253402300799.0  # of the calendar, which ends with the year 9999; a disk may tell any


class StoreError(Exception):
    """The store, or what was declared of it, cannot be read as it stands."""


@dataclass(frozen=True)
class StoreFile:
    """A file of the store. For a link everything but its path is its target's, or its own where it dangles."""

    path: Path
    relative: str
    stat: os.stat_result = field(repr=False, compare=False)
    link: Path | None = None  # where a link leads in the end
    dangling: bool = False
    outside: bool = False  # a link that leads out of the store

    @property
    def directory(self) -> str:
        return self.relative.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def label(self) -> str:
        """The path below the store, for people and results."""
        return shown(self.relative)

    @property
    def size(self) -> int:
        return self.stat.st_size

    @property
    def allocated(self) -> int:
        """Bytes of the disk that are free again when the last name of the file is gone; a sparse file has few."""
        return self.stat.st_blocks * 512

    @property
    def mtime_ns(self) -> int:
        return self.stat.st_mtime_ns

    @property
    def atime_ns(self) -> int:
        return self.stat.st_atime_ns

    @property
    def ctime_ns(self) -> int:
        """When it came here, at the latest: a copy may bring old times of its own, but not this one."""
        return self.stat.st_ctime_ns

    @property
    def inode(self) -> Inode:
        return self.stat.st_dev, self.stat.st_ino

    @property
    def nlink(self) -> int:
        return self.stat.st_nlink

    @property
    def is_model(self) -> bool:
        """Whether it is more than a note or a picture beside the models."""
        return self.size >= SMALL or looks_like_model(self.name)


@dataclass(frozen=True)
class Leftover:
    """A download's own file: its bytes so far, its journal, or its claim. It may be alive: its claim tells.

    A folder ("xet") is one: its bytes and its times are those of what is in it.
    """

    path: Path
    relative: str
    kind: str  # "part", "part.whole", "part.json", "part.json.partial" (a draft of the latter), "claim", "link", "xet"
    stat: os.stat_result = field(repr=False, compare=False)
    inodes: frozenset[Inode] = field(default=frozenset(), repr=False, compare=False)

    @property
    def label(self) -> str:
        return shown(self.relative)

    @property
    def download(self) -> str:
        """The beginning of the name that all files of one download share."""
        folder, slash, name = self.relative.removesuffix(f".{self.kind}").rpartition("/")
        return f"{folder}{slash}{name[1:] if name.startswith('..') else name}"

    @property
    def allocated(self) -> int:
        """Bytes of the disk, unless they are another name's too."""
        return self.stat.st_blocks * 512 if self.stat.st_nlink == 1 else 0

    def age(self, now: float) -> float:
        """Seconds since it was last written. What is another file's name as well has that one's time of writing."""
        written = self.stat.st_ctime if self.kind == "link" else min(self.stat.st_mtime, self.stat.st_ctime)
        return max(0.0, now - written)


class Problem(NamedTuple):
    """A place of the store that could not be looked at."""

    path: Path
    label: str
    message: str


@dataclass
class Contents:
    """All that is in a store, each list in the order of the paths."""

    files: list[StoreFile] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def walk(store: Path) -> Contents:
    """Look at every name in the store once. Links to folders are not followed. Raises StoreError."""
    root = os.path.realpath(store)
    contents = Contents()
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(store / folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    relative = f"{folder}/{entry.name}" if folder else entry.name
                    try:
                        _add(contents, folders, entry, relative, root)
                    except FileNotFoundError:
                        continue  # it went while we looked
                    except OSError as error:
                        contents.problems.append(Problem(Path(entry.path), shown(relative), _words(error)))
        except OSError as error:
            if not folder:
                raise StoreError(f"the store {store} cannot be read: {_words(error)}") from error
            if not isinstance(error, FileNotFoundError):
                contents.problems.append(Problem(store / folder, shown(folder), _words(error)))
    contents.files.sort(key=lambda file: file.relative)
    contents.leftovers.sort(key=lambda leftover: leftover.relative)
    return contents


def _add(contents: Contents, folders: list[str], entry: os.DirEntry[str], relative: str, root: str) -> None:
    if entry.name.startswith("."):
        match = _LEFTOVER.fullmatch(entry.name)
        if match:
            _add_leftover(contents, entry, relative, match["kind"])
    elif entry.is_symlink():
        _add_link(contents, entry, relative, root)
    elif entry.is_dir(follow_symlinks=False):
        folders.append(relative)
    elif entry.is_file(follow_symlinks=False):
        contents.files.append(StoreFile(Path(entry.path), relative, entry.stat(follow_symlinks=False)))
    else:
        contents.problems.append(Problem(Path(entry.path), shown(relative), "it is neither a file nor a folder nor a link"))


def _add_leftover(contents: Contents, entry: os.DirEntry[str], relative: str, kind: str) -> None:
    if kind == "xet":
        if entry.is_dir(follow_symlinks=False):
            contents.leftovers.append(Leftover(Path(entry.path), relative, kind, *look_into(Path(entry.path))))
    elif entry.is_file(follow_symlinks=False) or (kind == "link" and entry.is_symlink()):
        found = entry.stat(follow_symlinks=False)
        contents.leftovers.append(Leftover(Path(entry.path), relative, kind, found, frozenset({(found.st_dev, found.st_ino)})))


def look_into(folder: Path) -> tuple[os.stat_result, frozenset[Inode]]:
    """A folder as if it were one file: all that is in it, and when the last of that was written. Raises OSError."""
    own = folder.lstat()
    inside = []
    folders = [os.fspath(folder)]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:  # it went while we looked, or is closed to us
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    inside.append(entry.stat(follow_symlinks=False))
                    folders += [entry.path] if entry.is_dir(follow_symlinks=False) else []
    plain = [one for one in inside if not stat.S_ISDIR(one.st_mode)]
    # Not a folder's times: they change when the clean-up is killed amid of it.
    mtime, ctime = (max(getattr(one, name) for one in plain or [own]) for name in ("st_mtime_ns", "st_ctime_ns"))
    times = {"st_mtime": mtime / 1e9, "st_mtime_ns": mtime, "st_ctime": ctime / 1e9, "st_ctime_ns": ctime}
    blocks = own.st_blocks + sum(one.st_blocks for one in inside)
    size = sum(one.st_size for one in plain)
    fields = (own.st_mode, own.st_ino, own.st_dev, 1, own.st_uid, own.st_gid, size, own.st_atime, mtime / 1e9, ctime / 1e9)
    return os.stat_result(fields, {**times, "st_blocks": blocks}), frozenset((one.st_dev, one.st_ino) for one in plain)


def _add_link(contents: Contents, entry: os.DirEntry[str], relative: str, root: str) -> None:
    target = Path(os.path.realpath(entry.path))
    outside = not target.is_relative_to(root)
    try:
        found = entry.stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        link = StoreFile(Path(entry.path), relative, entry.stat(follow_symlinks=False), target, dangling=True, outside=outside)
        contents.files.append(link)
        return
    if stat.S_ISREG(found.st_mode):
        contents.files.append(StoreFile(Path(entry.path), relative, found, target, outside=outside))
    elif not stat.S_ISDIR(found.st_mode):
        contents.problems.append(Problem(Path(entry.path), shown(relative), "it leads to neither a file nor a folder"))


def canonical_directory(directory: str) -> str:
    """A folder by the name that ComfyUI has for it now: "clip" and "Stable-diffusion/xl" are "text_encoders" and "checkpoints/xl"."""
    first, slash, below = model_path(directory, "").partition("/")
    if first not in CORE_FOLDERS:
        folded = first.casefold()
        folded = model_path(LEGACY_FOLDERS.get(folded, folded), "")
        first = folded if folded in CORE_FOLDERS else first
    return f"{first}{slash}{below}"


def canonical_path(directory: str, name: str) -> str:
    """One spelling of a model's place, however folder and name share the path and whichever alias it is under."""
    return canonical_directory(model_path(directory, name))


@dataclass(frozen=True)
class Declared:
    """A model that somebody asked for: `label` says which workflow or list. The name may lead through sub-folders, or be a folder.

    A catalogue asks for nothing to be there; it says what a file of this name is, and that it may stay.
    """

    directory: str
    name: str
    owner: Owner
    label: str = ""
    sha256: str | None = None
    size: int | None = None

    @property
    def path(self) -> str:
        return canonical_path(self.directory, self.name)


def parse_declared(entries: Iterable[Any]) -> list[Declared]:
    """Check a whole list, and refuse it in one message that names every wrong entry. Raises StoreError."""
    declared = []
    problems = []
    for number, entry in enumerate(entries, start=1):
        try:
            declared.append(_parse_declared(entry))
        except ValueError as error:
            name = f" ({shown(str(entry.get('directory')))}/{shown(str(entry.get('name')))})" if isinstance(entry, Mapping) else ""
            problems.append(f"entry {number}{name}: {error}")
    if problems:
        raise StoreError("\n".join(["the declared models cannot be used:", *problems]))
    return declared


def _parse_declared(entry: Any) -> Declared:
    if not isinstance(entry, Mapping):
        raise ValueError(f"it is no object but {type(entry).__name__}")
    owner = entry.get("owner") or "static"
    if owner not in get_args(Owner):
        raise ValueError(f"its owner is {', '.join(get_args(Owner)[:-1])} or {get_args(Owner)[-1]}, not {owner!r}")
    sha256, size, label = entry.get("sha256") or None, entry.get("size"), entry.get("label") or ""
    if sha256 is not None and not (isinstance(sha256, str) and SHA256.fullmatch(sha256)):
        raise ValueError("its sha256 is not 64 hexadecimal digits")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise ValueError("its size is not a number of bytes")
    try:
        directory, name = check_directory(cast(str, entry.get("directory"))), check_model_name(cast(str, entry.get("name")))
    except RefusedError as error:
        raise ValueError(str(error)) from error
    return Declared(directory, name, cast(Owner, owner), str(label), sha256.lower() if sha256 else None, size)


class Declarations:
    """Who declared what is there. A link's target, and every link on the way to it, is declared through the link."""

    def __init__(self, store: Path, declared: Iterable[Declared]) -> None:
        self._store = store
        self._root = Path(os.path.realpath(store))
        self.declared = tuple(declared)
        self._spellings = _spellings(store)
        self._by_path: dict[str, list[Declared]] = {}
        self._by_place: dict[Path, list[Declared]] = {}
        for one in self.declared:
            self._by_path.setdefault(one.path, []).append(one)
            for place in self.places(one):
                for step in _way(place):
                    self._by_place.setdefault(step, []).append(one)

    def owners(self, file: StoreFile) -> tuple[Declared, ...]:
        """All who declared this file, or a folder that it is in."""
        relative = canonical_directory(file.relative)
        found = [one for place in _with_parents(relative) for one in self._by_path.get(place, ())]
        place = self._root / file.relative
        while place != self._root:
            found += self._by_place.get(place, ())
            place = place.parent
        return tuple(dict.fromkeys(found))

    def places(self, declared: Declared) -> list[Path]:
        """Where it is in this store: as a rule one path, more where a folder and its alias both have it, none when it is missing."""
        folder, _slash, below = declared.path.partition("/")
        spelled = [self._store / spelling / below for spelling in self._spellings.get(folder, [folder])]
        return [path for path in spelled if os.path.lexists(path)]


def _spellings(store: Path) -> dict[str, list[str]]:
    """The store's folders by the name that ComfyUI has for each, that very name first."""
    try:
        names = sorted(entry.name for entry in os.scandir(store) if not entry.name.startswith("."))
    except OSError as error:
        raise StoreError(f"the store {store} cannot be read: {_words(error)}") from error
    spellings: dict[str, list[str]] = {}
    for name in names:
        folder = canonical_directory(name)
        spellings.setdefault(folder, []).insert(0 if folder == name else LONGEST_CHAIN, name)
    return spellings


def _with_parents(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]


def _way(path: Path) -> Iterator[Path]:
    """The path, and what it leads to link by link, each with its real folder."""
    for _step in range(LONGEST_CHAIN):
        path = Path(os.path.realpath(path.parent)) / path.name
        yield path
        try:
            path = path.parent / path.readlink()
        except OSError:
            return


class OpenFiles(NamedTuple):
    """Files that processes of this machine have open or mapped; not complete where we may not look at some process."""

    inodes: set[Inode]
    complete: bool


def open_inodes() -> OpenFiles:
    """Look through all processes. What another machine has open on a shared disk nobody here can see."""
    inodes: set[Inode] = set()
    mapped: dict[str, Inode | None] = {}
    complete = os.geteuid() == 0
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            # By its own path each: the names that a container's process sees are not ours.
            inodes.update(filter(None, (_inode(descriptor) for descriptor in (process / "fd").iterdir())))
            inodes.update(_mapped(process, mapped))
        except PermissionError:
            complete = False
        except OSError:
            continue  # it has ended
    return OpenFiles(inodes, complete)


def _mapped(process: Path, known: dict[str, Inode | None]) -> Iterator[Inode]:
    """The files a process has mapped. `known` spares looking at each library once per process."""
    for line in (process / "maps").read_bytes().split(b"\n"):  # a name may have in it whatever else ends a line
        span, _mode, _offset, device, number, *_path = [*line.decode("ascii", "replace").split(maxsplit=5), *[""] * 5][:6]
        if number in ("", "0"):
            continue
        file = f"{device} {number}"
        if file not in known:
            try:
                # The device in `maps` is not everywhere the one that stat tells, but better than nothing.
                major, minor = (int(part, 16) for part in device.split(":"))
                known[file] = _inode(process / "map_files" / _unpadded(span)) or (os.makedev(major, minor), int(number))
            except (ValueError, OverflowError):
                known[file] = None  # no line that we understand
        inode = known[file]
        if inode:
            yield inode


def _unpadded(span: str) -> str:
    """`maps` writes addresses with leading zeros, `map_files` without."""
    return "-".join(f"{int(address, 16):x}" for address in span.split("-"))


def _inode(path: Path) -> Inode | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def keeps_times_of_use(place: Path) -> bool:
    """Whether this filesystem notes when a file was last read."""
    return not os.statvfs(place).f_flag & os.ST_NOATIME


def last_use(file: StoreFile, atime: bool = True) -> float:
    """When the file was last read or written, as far as anybody knows; seconds since the epoch.

    `atime` is what `keeps_times_of_use` says of its filesystem. When it was recorded says nothing: an audit records everything.
    """
    times = [file.stat.st_mtime, *([file.stat.st_atime] if atime else [])]
    return max((time for time in times if 0 <= time <= LATEST_TIME), default=file.stat.st_ctime)


def parse_time(text: object) -> float | None:
    """Seconds since the epoch; None where a hand wrote what is no time since then."""
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return time if 0 <= time <= LATEST_TIME else None


def time_words(seconds: float) -> str:
    """A time as results tell it, or the nearest one of the calendar."""
    return datetime.fromtimestamp(min(max(seconds, 0.0), LATEST_TIME), timezone.utc).isoformat(timespec="seconds")


def count_words(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shown(text: str) -> str:
    """A name for people and results: what would break a terminal or is no text at all is replaced."""
    return "".join("\ufffd" if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") else character for character in text)


def _words(error: OSError) -> str:
    return error.strerror or str(error)
