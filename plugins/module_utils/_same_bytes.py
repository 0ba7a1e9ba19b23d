# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The same bytes under two names are one file: a hard link, a copy that shares its blocks, or a symlink, as the file system can.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from ansible_collections.emprops.comfyui.plugins.module_utils._model_claims import fit_name

Manner = Literal["hard link", "reflink", "symlink"]

TRIES = 5
LONGEST_STEM = 255 - len("..link") - 17

_FICLONE = 0x40049409  # linux/fs.h


class SameBytesError(Exception):
    """The two names cannot be made one file; the text names both."""


def link_same(source: Path, target: Path, store: Path) -> Manner:
    """Make `target` the file that `source` is; says how. What is there is replaced at once or not at all.

    The target's folder is there already. After a reflink it is a file of its own (another inode). Raises SameBytesError.
    """
    try:
        return _link_same(source, target, store)
    except OSError as error:
        raise SameBytesError(f"{target} cannot be made the same file as {source}: {error.strerror or error}") from error


def _link_same(source: Path, target: Path, store: Path) -> Manner:
    original, folder, home = (Path(os.path.realpath(path, strict=True)) for path in (source, target.parent, store))
    for place in (original, folder):
        if not place.is_relative_to(home):
            raise SameBytesError(f"{target} cannot be made the same file as {source}: {place} is not in the store {home}")
    if not original.is_file():
        raise SameBytesError(f"{target} cannot be made the same file as {source}: that is not a file")
    target = folder / target.name
    for _try in range(TRIES):
        _sweep(target)
        if target == original or (target.is_file() and target.samefile(original)):
            return "symlink" if target.is_symlink() else "hard link"
        # Another process at the same target may take ours for what a dead one left.
        with suppress(FileNotFoundError):
            return _replace(original, target)
        original.stat()
    raise SameBytesError(f"{target} cannot be made the same file as {source}: another process keeps changing it")


def _replace(original: Path, target: Path) -> Manner:
    manners: list[tuple[Manner, Callable[[Path, Path], None]]] = [("hard link", os.link), ("reflink", _reflink), ("symlink", _symlink)]
    draft = target.with_name(f"{_stem(target)}.{secrets.token_hex(8)}.link")
    try:
        for manner, make in manners:
            try:
                make(original, draft)
            except OSError:
                if manner == "symlink":
                    raise
                continue
            if draft.stat().st_size != original.stat().st_size:  # raises when a symlink leads nowhere
                raise OSError(f"the {manner} is not the same file")
            draft.replace(target)
            _sync_folder(target.parent)
            return manner
        raise AssertionError("the last manner returns or raises")
    finally:
        with suppress(OSError):
            draft.unlink()


def _reflink(original: Path, draft: Path) -> None:
    with original.open("rb") as source:
        found = os.fstat(source.fileno())
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.ioctl(handle, _FICLONE, source.fileno())
            with suppress(PermissionError):
                os.fchown(handle, found.st_uid, found.st_gid)
            os.fchmod(handle, stat.S_IMODE(found.st_mode))
            os.fsync(handle)
        except OSError:
            draft.unlink()
            raise
        finally:
            os.close(handle)


def _symlink(original: Path, draft: Path) -> None:
    draft.symlink_to(os.path.relpath(original, draft.parent))


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(target: Path) -> None:
    """Remove what killed processes left beside the target: it would keep the bytes on the disk when all their names are gone."""
    litter = re.compile(re.escape(_stem(target)) + r"\.[0-9a-f]{16}\.link")
    with os.scandir(target.parent) as entries:
        for entry in entries:
            if litter.fullmatch(entry.name):
                Path(entry.path).unlink(missing_ok=True)


def _stem(target: Path) -> str:
    return f".{fit_name(target.name, LONGEST_STEM)}"
