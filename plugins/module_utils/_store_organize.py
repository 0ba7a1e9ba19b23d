# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Put every file of a store where ComfyUI looks for it: first a plan, then the same plan by handles on folders.

A file gets its new name first, then the links to it are turned, then its old name goes. Whatever happens in between,
the file has a name, no link dangles, and a second run finishes it. No name is ever taken from another file.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ansible_collections.emprops.comfyui.plugins.module_utils._model_claims import claim_path, holder
from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import hash_file
from ansible_collections.emprops.comfyui.plugins.module_utils._model_index import FIRST_SEEN, Index
from ansible_collections.emprops.comfyui.plugins.module_utils._same_bytes import SameBytesError, link_same
from ansible_collections.emprops.comfyui.plugins.module_utils._store import (
    Contents,
    Declarations,
    Declared,
    OpenFiles,
    StoreFile,
    canonical_directory,
    canonical_path,
    shown,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import RefusedError, check_directory, check_model_name

HOUR = 3600.0
CHUNK = 1024**2
# A claim gives a sign of life every few seconds; one that was silent for so long is dead, whatever the clocks say.
DEAD_CLAIM = 72 * HOUR

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)

HIDDEN_PROCESSES = "not every process could be asked what it has open; root sees more"

Protection = Literal["open", "young", "claimed"]


class OrganizeError(Exception):
    """One file cannot be where it should be; it stays as it was."""


# --- names, by handles: who may write in a folder could make its path lead elsewhere meanwhile ---------------------


@contextmanager
def opened_folder(root: Path, relative: str, *, make: bool = False) -> Iterator[int]:
    """A folder of the store, without following a link on the way. What is made belongs to whom the folder above belongs to."""
    handle = os.open(root, _FOLDER)
    try:
        for part in relative.split("/") if relative else ():
            handle = _step(handle, part, make)
        yield handle
    finally:
        os.close(handle)


def _step(handle: int, part: str, make: bool) -> int:
    """The folder below, by a new handle that takes the place of the old one."""
    made = False
    if make:
        with suppress(FileExistsError):
            os.mkdir(part, 0o755, dir_fd=handle)
            made = True
    inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
    if made:
        above = os.fstat(handle)
        with suppress(PermissionError):
            os.fchown(inner, above.st_uid, above.st_gid)
        os.fchmod(inner, stat.S_IMODE(above.st_mode))
    os.close(handle)
    return inner


def move_name(root: Path, old: str, new: str, expected: os.stat_result | None = None, between: Callable[[], None] | None = None) -> None:
    """Give a file or a link of the store another name that nobody has; `between` runs while it has both, where it can.

    Raises OSError, OrganizeError where the file is not the `expected` one any more.
    """
    (old_folder, old_name), (new_folder, new_name) = split(old), split(new)
    with opened_folder(root, old_folder) as source, opened_folder(root, new_folder, make=True) as target:
        found = os.stat(old_name, dir_fd=source, follow_symlinks=False)
        if expected is not None and look(found) != look(expected):
            raise OrganizeError("it was changed since it was looked at")
        both = _give_name(source, old_name, target, new_name, found)
        os.fsync(target)
        if between:
            between()
        if both:
            with suppress(FileNotFoundError):  # another run was faster
                os.unlink(old_name, dir_fd=source)
        os.fsync(source)


def replace_link(root: Path, old: str, new: str, expected: os.stat_result) -> None:
    """Let a file take the place of a link that leads to it, in one step."""
    (old_folder, old_name), (new_folder, new_name) = split(old), split(new)
    with opened_folder(root, old_folder) as source, opened_folder(root, new_folder) as target:
        unchanged = look(os.stat(old_name, dir_fd=source, follow_symlinks=False)) == look(expected)
        if not unchanged or _link_text(target, new_name) is None or look(os.stat(new_name, dir_fd=target)) != look(expected):
            raise OrganizeError("it was changed since it was looked at")
        os.rename(old_name, new_name, src_dir_fd=source, dst_dir_fd=target)
        os.fsync(target)
        os.fsync(source)


def _give_name(source: int, old: str, target: int, new: str, found: os.stat_result) -> bool:
    """Whether the old name is still there. Raises FileExistsError where the new one is another file's."""
    try:
        os.link(old, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        return True
    except FileExistsError:
        # A run that was killed in between got this far; a share may also say so when only its first answer was lost.
        there = os.stat(new, dir_fd=target, follow_symlinks=False)
        if (there.st_dev, there.st_ino) != (found.st_dev, found.st_ino):
            raise
        return True
    except OSError as error:
        if error.errno == errno.EXDEV and stat.S_ISREG(found.st_mode):
            _copy_across(source, old, target, new, found)
            return True
        if error.errno not in _NO_HARD_LINKS:
            raise
    if is_there(target, new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
    os.rename(old, new, src_dir_fd=source, dst_dir_fd=target)
    return False


def _copy_across(source: int, old: str, target: int, new: str, found: os.stat_result) -> None:
    """The file on another filesystem, under its name once what was written was read again and is the same."""
    room = os.fstatvfs(target)
    if room.f_bavail * room.f_frsize < found.st_size:
        raise OSError(errno.ENOSPC, f"it has {found.st_size} bytes, and {room.f_bavail * room.f_frsize} are free there")
    draft = f".moving.{secrets.token_hex(8)}.part"
    reader = os.open(old, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    try:
        if look(os.fstat(reader)) != look(found):
            raise OrganizeError("it was changed since it was looked at")
        writer = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target)
        try:
            digest = hashlib.sha256()
            while chunk := os.read(reader, CHUNK):
                digest.update(chunk)
                _write_all(writer, chunk)
            with suppress(PermissionError):
                os.fchown(writer, found.st_uid, found.st_gid)
            os.fchmod(writer, stat.S_IMODE(found.st_mode))
            os.utime(writer, ns=(found.st_atime_ns, found.st_mtime_ns))
            os.fsync(writer)
            os.posix_fadvise(writer, 0, 0, os.POSIX_FADV_DONTNEED)
            os.lseek(writer, 0, os.SEEK_SET)
            with os.fdopen(os.dup(writer), "rb") as copy:
                same = hash_file(copy) == digest.hexdigest()
            if not same or look(os.fstat(reader)) != look(found):
                raise OrganizeError("the copy on the other filesystem is not the same")
            _give_name(target, draft, target, new, os.fstat(writer))
        finally:
            with suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=target)
            os.close(writer)
    finally:
        os.close(reader)


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def put_link(root: Path, path: str, to: str, instead: str | None = None) -> None:
    """A relative link from one place of the store to another. `instead` is what the link says that may be replaced by it.

    Raises OSError, FileExistsError where anything else is in its place.
    """
    folder, name = split(path)
    text = os.path.relpath(root / to, root / folder)
    with opened_folder(root, folder, make=True) as handle:
        if instead is None:
            os.symlink(text, name, dir_fd=handle)
        else:
            if _link_text(handle, name) != instead:
                raise OrganizeError("it was changed since it was looked at")
            # The same for everybody, so that who finishes the work of a killed run also takes away its draft.
            draft = f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.link"
            with suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=handle)
            os.symlink(text, draft, dir_fd=handle)
            try:
                os.rename(draft, name, src_dir_fd=handle, dst_dir_fd=handle)
            except OSError:
                os.unlink(draft, dir_fd=handle)
                raise
        os.fsync(handle)


def remove_name(root: Path, path: str, expected: os.stat_result) -> os.stat_result:
    """Take a name away; says how the file was just before. Raises OSError, OrganizeError where it is another by now."""
    folder, name = split(path)
    with opened_folder(root, folder) as handle:
        found = os.stat(name, dir_fd=handle, follow_symlinks=False)
        if look(found) != look(expected):
            raise OrganizeError("it was changed since it was looked at")
        os.unlink(name, dir_fd=handle)
        os.fsync(handle)
    return found


def _link_text(handle: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=handle)
    except OSError:
        return None


def is_there(handle: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=handle, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def look(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def split(path: str) -> tuple[str, str]:
    folder, _slash, name = path.rpartition("/")
    return folder, name


def say(error: Exception) -> str:
    """An error in words, for a row that names the file already."""
    if isinstance(error, FileNotFoundError):
        return "it is gone by now: another run may have been faster"
    if isinstance(error, FileExistsError):
        return "another file came into its place meanwhile"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)


# --- what must stay for now ----------------------------------------------------------------------------------------


class Busy:
    """Which files must not be touched now: open here, just come, or being fetched by some machine."""

    def __init__(self, contents: Contents, opened: OpenFiles, minimum_age: float, now: float) -> None:
        self._opened = opened.inodes
        self._minimum_age = minimum_age
        self._now = now
        self._claims = {leftover.path for leftover in contents.leftovers if leftover.kind == "claim" and leftover.age(now) < DEAD_CLAIM}

    def why(self, file: StoreFile) -> tuple[Protection, str] | None:
        if file.inode in self._opened:
            return "open", "a process has it open"
        # When it came here, or was last changed: its other times may be those that it had elsewhere.
        if self._minimum_age > 0 and self._now - file.ctime_ns / 1e9 < self._minimum_age:
            return "young", f"it came here, or was changed, less than {self._minimum_age / HOUR:g} hours ago"
        return self.claimed(file.path)

    def claimed(self, path: Path) -> tuple[Protection, str] | None:
        return ("claimed", f"a download has claimed it: {holder(path)}") if claim_path(path) in self._claims else None


# --- the plan ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wishes:
    static_models: Mapping[str, Any] = field(default_factory=dict)
    model_paths: Mapping[str, Any] = field(default_factory=dict)
    link_duplicates: bool = False
    minimum_age: float = 24 * HOUR


@dataclass
class Link:
    """A name that shall lead to a file, or be the same file: `same` says which."""

    path: str
    to: str
    reason: str
    instead: str | None = None  # the text of the link that is there
    same: StoreFile | None = None  # the file that is there, with the same bytes
    error: str | None = None

    @property
    def result(self) -> dict[str, Any]:
        return _row(path=shown(self.path), to=shown(self.to), reason=self.reason, error=self.error)


@dataclass
class Move:
    file: StoreFile
    to: str
    reason: str
    used_by: tuple[str, ...] = ()
    merge: StoreFile | None = None  # the same bytes are there already, so only the name goes
    replaced: StoreFile | None = None  # the link to this very file that is in its place
    links: list[Link] = field(default_factory=list)
    error: str | None = None

    @property
    def note(self) -> str | None:
        """What changes for those who name the file as ComfyUI shows it: by its type, then its path below."""
        old, new = (canonical_path(*split(path)).partition("/") for path in (self.file.relative, self.to))
        return (
            None if old == new else f"workflows knew it as {shown(old[2])} of {shown(old[0])}, now it is {shown(new[2])} of {shown(new[0])}"
        )

    @property
    def result(self) -> dict[str, Any]:
        row = {"from": self.file.label, "to": shown(self.to), "reason": self.reason, "bytes": self.file.size}
        return _row(**row, used_by=[shown(label) for label in self.used_by], note=self.note, error=self.error)


@dataclass
class Plan:
    store: Path
    moves: list[Move] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)
    waiting: list[dict[str, str]] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return Path(os.path.realpath(self.store))

    @property
    def rows(self) -> list[Move | Link]:
        return [*self.moves, *(link for move in self.moves for link in move.links), *self.links]

    @property
    def changes(self) -> bool:
        return any(row.error is None for row in self.rows)

    @property
    def failures(self) -> list[str]:
        return [f"{shown(row.file.relative if isinstance(row, Move) else row.path)}: {row.error}" for row in self.rows if row.error]

    @property
    def result(self) -> dict[str, Any]:
        links = [row.result for row in self.rows if isinstance(row, Link)]
        return {"moves": [move.result for move in self.moves], "links": links, "problems": self.problems, "waiting": self.waiting}

    def words(self, dry: bool) -> str:
        would = "would be" if dry else "were"
        links = [row for row in self.rows if isinstance(row, Link)]
        words = ["dry run: nothing was changed"] if dry else []
        words.append(f"files that {would} moved: {sum(not move.error for move in self.moves)}")
        words.append(f"links that {would} made or turned: {sum(not link.error for link in links)}")
        words += [f"files that stay for now: {len(self.waiting)}"] if self.waiting else []
        words += [f"problems: {len(self.problems)}"] if self.problems else []
        return "; ".join(words)

    def problem(self, path: str, message: str) -> None:
        self.problems.append({"path": shown(path), "message": message})


def _row(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, [])}


def plan_organize(
    store: Path, contents: Contents, declarations: Declarations, wishes: Wishes, index: Index, opened: OpenFiles, now: float
) -> Plan:
    """What has to move and to be linked. Reads files only where two may be the same and nobody knows their digests."""
    return _Planner(store, contents, declarations, wishes, index, Busy(contents, opened, wishes.minimum_age, now)).plan()


class _Planner:
    def __init__(self, store: Path, contents: Contents, declarations: Declarations, wishes: Wishes, index: Index, busy: Busy) -> None:
        self._plan = Plan(store)
        self._root = self._plan.root
        self._declarations = declarations
        self._wishes = wishes
        self._index = index
        self._busy = busy
        self._files = contents.files
        self._places = {file.relative: file for file in contents.files}  # what will be where
        self._links_to: dict[Path, list[StoreFile]] = {}
        for file in contents.files:
            if file.link is not None:
                self._links_to.setdefault(file.link, []).append(file)
        self._turned: set[str] = set()
        for problem in contents.problems:
            self._plan.problem(problem.label, problem.message)

    def plan(self) -> Plan:
        static = self._static_links()
        staying = _Staying(self._root, self._wishes, [source for _target, source in static], self._declarations)
        self._plan_declared(staying)
        self._plan_folders(staying)
        for target, source in static:
            self._plan_static(target, source)
        self._plan_dangling()
        if self._wishes.link_duplicates:
            self._plan_duplicates()
        return self._plan

    # moves

    def _plan_declared(self, staying: _Staying) -> None:
        """What was declared and is missing may lie in another folder."""
        by_name: dict[str, list[StoreFile]] = {}
        for file in self._files:
            if file.link is None and not self._declarations.owners(file) and not staying.is_pinned(file):
                by_name.setdefault(file.name, []).append(file)
        missing: dict[str, list[Declared]] = {}
        for one in self._declarations.declared:
            if split(one.path)[1] in by_name and not self._declarations.places(one):
                missing.setdefault(one.path, []).append(one)
        for path, wanted in missing.items():
            found = [file for file in by_name[split(path)[1]] if self._places.get(file.relative) is file]
            sizes = {one.size for one in wanted if one.size}
            digests = {one.sha256 for one in wanted if one.sha256}
            agree = [file for file in found if sizes <= {file.size} and (not digests or digests <= {self._digest(file, read=True)})]
            if agree and not sizes and not digests:
                where = ", ".join(file.label for file in agree)
                self._plan.problem(path, f"{where} has its name, but no size or sha256 is declared that would tell whether it is the one")
            elif len({file.inode for file in agree}) > 1 and not digests:
                where = " and ".join(file.label for file in agree)
                self._plan.problem(path, f"{where} have its name and size; a declared sha256 would tell which one it is")
            elif agree:
                self._plan_move(agree[0], path, "it is declared there", tuple(one.label or one.owner for one in wanted))

    def _plan_folders(self, staying: _Staying) -> None:
        """Files in a folder that ComfyUI has another name for. What is not a model goes along with one, notes stay."""
        moved = {move.file.relative for move in self._plan.moves}
        wanted = []
        for file in self._files:
            directory = canonical_directory(file.directory)
            if file.link is None and directory != file.directory and file.relative not in moved and not staying.is_right(file):
                wanted.append((file, directory))
        stems = {(file.directory, PurePosixPath(file.name).stem) for file, _directory in wanted if file.is_model}
        held: dict[str, str] = {}  # what belongs together in a folder below moves together
        for file, _directory in wanted:
            why = self._busy.why(file)
            if why and "/" in file.directory:
                held.setdefault(_bundle(file), f"{file.name}: {why[1]}")
        for file, directory in wanted:
            if not (file.is_model or "/" in file.directory or (file.directory, PurePosixPath(file.name).stem) in stems):
                continue
            if "/" in file.directory and _bundle(file) in held:
                self._wait(file, held[_bundle(file)])
                continue
            owners = tuple(dict.fromkeys(one.label or one.owner for one in self._declarations.owners(file)))
            first = file.directory.partition("/")[0]
            reason = f"{shown(first)} is what other programs, or older versions, call {directory.partition('/')[0]}"
            self._plan_move(file, f"{directory}/{file.name}", reason, owners)

    def _plan_move(self, file: StoreFile, to: str, reason: str, used_by: tuple[str, ...]) -> None:
        try:
            to = self._real(to)
            why = self._busy.why(file) or self._busy.claimed(self._plan.store / to)
            if to == file.relative:
                return
            if why:
                self._wait(file, why[1])
                return
            move = Move(file, to, reason, used_by)
            there = self._places.get(to)
            if there is not None and there.link is not None:
                if there.link != self._root / file.relative:
                    raise OrganizeError(f"it belongs in {shown(to)}, where a link is that leads elsewhere")
                move.replaced = there
                self._turned.add(there.relative)
            elif there is not None:
                if not self._same(file, there):
                    raise OrganizeError(f"it belongs in {shown(to)}, where another file with other bytes is")
                move.merge = there
            elif os.path.lexists(self._root / to):
                if file.path.samefile(self._root / to):  # this filesystem takes both spellings for one
                    return
                raise OrganizeError(f"it belongs in {shown(to)}, where something else is that is no file")
        except (OSError, OrganizeError) as error:
            self._plan.problem(file.relative, say(error) if isinstance(error, OSError) else str(error))
            return
        self._places.pop(file.relative)
        self._places[to] = move.merge or file
        for link in self._links_to.get(self._root / file.relative, []):
            if link is not move.replaced:
                self._turned.add(link.relative)
                move.links.append(Link(link.relative, to, f"{file.label}, to which it led, moves there", _read_link(link.path)))
        self._plan.moves.append(move)

    def _real(self, to: str) -> str:
        """Where a place of the store really is, which may be behind a link to a folder."""
        folder, name = split(to)
        real = Path(os.path.realpath(self._root / folder))
        if not real.is_relative_to(self._root):
            raise OrganizeError(f"it belongs in {shown(to)}, but that folder is a link that leads out of the store")
        return (real.relative_to(self._root) / name).as_posix()

    def _wait(self, file: StoreFile, why: str) -> None:
        self._plan.waiting.append({"path": file.label, "message": f"it stays for now: {why}"})

    # links

    def _static_links(self) -> list[tuple[str, str]]:
        checked = []
        for number, entry in enumerate(_entries(self._wishes.static_models, "symlinks"), start=1):
            try:
                target, source = (_check_place(entry.get(name)) for name in ("target", "source"))
                checked.append((target, source))
            except RefusedError as error:
                self._plan.problem(f"static-models.json: symlinks entry {number}", str(error))
        return checked

    def _plan_static(self, target: str, source: str) -> None:
        try:
            place, original = self._real(target), os.path.realpath(self._root / source)
            there = self._places.get(place)
            text = None if there is not None and there.link is None else _read_link(self._root / place)
            if not Path(original).is_relative_to(self._root):
                raise OrganizeError(f"static-models.json links it to {shown(source)}, which leads out of the store")
            if not Path(original).exists():
                raise OrganizeError(f"static-models.json links it to {shown(source)}, which is missing")
            if os.path.realpath(self._root / place) == original or self._is_one(place, original):
                return
            if text is None and (there is not None or os.path.lexists(self._root / place)):
                raise OrganizeError(f"static-models.json links it to {shown(source)}, but a file of its own is there")
        except OrganizeError as error:
            self._plan.problem(target, str(error))
            return
        self._turned.add(place)
        was = f"; it led to {shown(text)}" if text is not None else ""
        to = Path(original).relative_to(self._root).as_posix()
        self._plan.links.append(Link(place, to, f"static-models.json asks for it{was}", text))

    def _is_one(self, place: str, original: str) -> bool:
        """Whether both are names of one file, as a hard link is."""
        there = self._places.get(place)
        return there is not None and there.link is None and Path(original).is_file() and there.path.samefile(original)

    def _plan_dangling(self) -> None:
        for file in self._files:
            if not file.dangling or file.relative in self._turned or file.link is None:
                continue
            gone = file.link.relative_to(self._root).as_posix() if file.link.is_relative_to(self._root) else ""
            to = canonical_path(*split(gone)) if gone else ""
            there = self._places.get(to)
            if there is not None and there.link is None and to != file.relative:
                reason = f"it led to {shown(gone)}, whose file is there now"
                self._plan.links.append(Link(file.relative, to, reason, _read_link(file.path)))
            else:
                self._plan.problem(file.relative, f"it is a link to {shown(gone or str(file.link))}, which is not there")

    def _plan_duplicates(self) -> None:
        groups: dict[str, list[tuple[str, StoreFile]]] = {}
        for place, file in self._places.items():
            digest = None if file.link is not None or file.size == 0 else self._digest(file, read=False)
            if digest:
                groups.setdefault(digest, []).append((place, file))
        for group in groups.values():
            group.sort(key=lambda item: (not self._declarations.owners(item[1]), item[1].mtime_ns, item[0]))
            kept_place, kept = group[0]
            for place, file in group[1:]:
                if file.inode == kept.inode:
                    continue
                why = self._busy.why(file) or self._busy.why(kept)
                if why:
                    self._wait(file, why[1])
                else:
                    self._plan.links.append(Link(place, kept_place, f"the same {file.size} bytes", same=file))

    # bytes

    def _digest(self, file: StoreFile, *, read: bool) -> str | None:
        entry = self._index.known(file.path, file.stat)
        if entry is None and read:
            try:
                with file.path.open("rb") as opened:
                    entry = self._index.record(file.path, os.fstat(opened.fileno()), hash_file(opened), FIRST_SEEN, True)
            except OSError as error:
                self._plan.problem(file.relative, f"it cannot be read: {say(error)}")
        return entry.sha256 if entry else None

    def _same(self, one: StoreFile, other: StoreFile) -> bool:
        if one.inode == other.inode:
            return True
        if one.size != other.size:
            return False
        digest = self._digest(one, read=True)
        return digest is not None and digest == self._digest(other, read=True)


class _Staying:
    """Files that are where somebody said that they are."""

    def __init__(self, root: Path, wishes: Wishes, sources: Sequence[str], declarations: Declarations) -> None:
        self._listed = {folder for listed in wishes.model_paths.values() for folder in _folders(listed)}
        self._pinned = set(sources)
        for entry in _entries(wishes.static_models, "no_index"):
            path = Path(os.path.realpath(root / str(entry.get("path", "")).rstrip("/")))
            if path.is_relative_to(root):
                self._pinned.add(path.relative_to(root).as_posix())
        self._literal = {f"{one.directory}/{one.name}" for one in declarations.declared}

    def is_pinned(self, file: StoreFile) -> bool:
        # A list that has it under its old name would only bring it there again.
        return file.relative in self._literal or _is_below(file, self._pinned)

    def is_right(self, file: StoreFile) -> bool:
        """Whether its folder may have another name than ComfyUI's own."""
        return self.is_pinned(file) or _is_below(file, self._listed)


def _is_below(file: StoreFile, places: set[str]) -> bool:
    return any(place.as_posix() in places for place in (PurePosixPath(file.relative), *PurePosixPath(file.relative).parents))


def _entries(static_models: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    listed = static_models.get(name)
    return [entry if isinstance(entry, Mapping) else {} for entry in listed] if isinstance(listed, list) else []


def _folders(listed: object) -> list[str]:
    lines = listed.split("\n") if isinstance(listed, str) else listed
    return [str(line).strip().rstrip("/") for line in lines or []] if isinstance(lines, Sequence) else []


def _bundle(file: StoreFile) -> str:
    return "/".join(file.relative.split("/")[:2])


def _check_place(path: object) -> str:
    place = check_model_name(path)  # type: ignore[arg-type]  # it checks that, too
    check_directory(place.partition("/")[0])
    if "/" not in place:
        raise RefusedError(f"{shown(place)} is in no folder of the store")
    return place


def _read_link(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:
        return None


# --- and the doing -------------------------------------------------------------------------------------------------


def put_organize(plan: Plan, index: Index) -> None:
    """Do what was planned, each for itself; what could not be done says so in its row. Raises ModelsIndexError."""
    for move in plan.moves:
        try:
            _put_move(plan, move, index)
        except (OSError, OrganizeError) as error:
            move.error = say(error)
    for link in plan.links:
        _put_link(plan, link, index)
    index.save()


def _put_move(plan: Plan, move: Move, index: Index) -> None:
    old, new = plan.store / move.file.relative, plan.store / move.to

    def turn_links() -> None:
        for link in move.links:
            _put_link(plan, link, index)
        if any(link.error for link in move.links):
            raise OrganizeError("a link to it could not be turned, so it keeps its old name, too")

    if move.merge is not None:
        if look(new.lstat()) != look(move.merge.stat):
            raise OrganizeError(f"{shown(move.to)} was changed since it was looked at")
        if move.file.inode != move.merge.inode:
            _check_same(plan, index, (move.file.relative, move.file.stat), (move.to, move.merge.stat))
        turn_links()
        remove_name(plan.root, move.file.relative, move.file.stat)
        index.forget(old)
        return
    if move.replaced is not None:
        turn_links()  # they lead to the file through that link until it is the file
        replace_link(plan.root, move.file.relative, move.to, move.file.stat)
    else:
        move_name(plan.root, move.file.relative, move.to, move.file.stat, turn_links)
    entry = index.known(old, move.file.stat)
    index.moved(old, new)
    if entry is not None and index.known(new, new.stat()) is None:  # on another filesystem it is another file
        index.record(new, new.stat(), entry.sha256, entry.source, entry.first_seen)


def _put_link(plan: Plan, link: Link, index: Index) -> None:
    try:
        if link.same is None:
            put_link(plan.root, link.path, link.to, link.instead)
        else:
            _put_same(plan.store / link.to, plan.store / link.path, link, plan, index)
    except (OSError, OrganizeError, SameBytesError) as error:
        link.error = say(error)


def _put_same(original: Path, place: Path, link: Link, plan: Plan, index: Index) -> None:
    original_stat, place_stat = original.lstat(), place.lstat()
    known, other = index.known(original, original_stat), index.known(place, place_stat)
    if known is None or other is None or known.sha256 != other.sha256:
        raise OrganizeError("one of the two was changed since it was looked at")
    _check_same(plan, index, (link.to, original_stat), (link.path, place_stat))
    link.reason += f", now a {link_same(original, place, plan.store)}"
    index.record(place, place.stat(), other.sha256, other.source, other.first_seen)


def _check_same(plan: Plan, index: Index, *files: tuple[str, os.stat_result]) -> None:
    """Read both before one of them goes: a disk may lose bytes without a change of size or time, and the index knows only those."""
    digests = set()
    for relative, found in files:
        sha256, known = _read_digest(plan.root, relative, found), index.known(plan.store / relative, found)
        if known is not None and known.sha256 != sha256:
            raise OrganizeError(f"{shown(relative)} is damaged: it has sha256 {sha256}, recorded on {known.when} was {known.sha256}")
        digests.add(sha256)
    if len(digests) > 1:
        raise OrganizeError(f"{' and '.join(shown(relative) for relative, _found in files)} do not have the same bytes")


def _read_digest(root: Path, path: str, expected: os.stat_result) -> str:
    folder, name = split(path)
    with opened_folder(root, folder) as handle:
        reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=handle)
    with os.fdopen(reader, "rb", buffering=0) as file:
        before = os.fstat(reader)
        sha256 = hash_file(file)
        if not look(before) == look(os.fstat(reader)) == look(expected):
            raise OrganizeError(f"{shown(path)} was changed since it was looked at")
    return sha256
