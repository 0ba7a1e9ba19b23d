# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Packs that come from the Comfy registry as an archive: which version, its bytes, and its files without what an archive may hide.

    <cache>/archives/<sha256>.zip    shared by all releases

The registry publishes no digest of its archives, so that ours is taken when a version is locked. Its archives hold the files of a pack
at their top, and are unpacked as they are. What is written belongs to whoever owns the folder that it lies in: that account may change
the folder meanwhile, and so nothing in it is reached through a link.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._files import as_json
from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import hash_file
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError, PassingError, host_of
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import Client, Link
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_sources._base import PackError
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_sources._comfy_registry import (
    BASE_URL,
    PACK_ID,
    VERSION,
    ComfyRegistry,
    parse_version,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._questions import Questions, as_object, as_text, base_origin, base_url
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import HostsError, check_url, is_private_host, printable

TRACKING = ".tracking"
# Which archive a folder came from; ours.
MARK = ".emprops-archive"
LARGEST_ARCHIVE = 512 * 1024**2
LARGEST_PACK = 4 * 1024**3
MOST_MEMBERS = 100_000
# Beyond a size that is no harm, nothing that people write shrinks to less than this part of itself.
HARMLESS = 100 * 1024**2
MOST_TIMES = 200
LONGEST_PART = 255
LONGEST_NAME = 1024

_BUFFER = 1024 * 1024
_SHA256 = re.compile("[0-9a-f]{64}")
_ENCRYPTED = 0x1 | 0x40 | 0x2000
# What zipfile and its decoders raise on bytes that are not what they say.
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OSError, RuntimeError, ValueError)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class ArchiveError(Exception):
    """An archive cannot be had, or is not unpacked; the text says why, without the name of the pack."""


@dataclass(frozen=True)
class Archive:
    """One version of a pack, and the bytes that it is."""

    cnr_id: str
    version: str
    sha256: str


@dataclass(frozen=True)
class RegistryAccess:
    """How the registry is asked and its archives are fetched.

    Archives come encrypted from whichever public host the registry names; an origin in `allowed_hosts` (scheme://host:port) may be
    private or unencrypted as well. `timeout` is for one answer, `archive_timeout` for one archive, repeated tries included.
    """

    base_url: str = BASE_URL
    allowed_hosts: Sequence[str] = ()
    tokens: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    timeout: float = 30
    archive_timeout: float = 900
    patient: bool = True


def resolve_archive(cnr_id: str, version: str | None, access: RegistryAccess) -> tuple[str, str, list[str]]:
    """The exact version (the latest one, if none is asked for), the address of its archive, and warnings. Raises ArchiveError."""
    _check_names(cnr_id, version)
    try:
        base = base_url(access.base_url)
        questions = Questions(access.tokens, access.timeout, [base_origin(base), *access.allowed_hosts])
        questions.patient = access.patient
        try:
            pack = ComfyRegistry(questions, base).pack(cnr_id)
            if version is None and pack.latest is None:
                raise ArchiveError("; ".join(["the registry has no version of it that can be had", *pack.warnings]))
            wanted = version or (pack.latest.version if pack.latest else "")
            data = _ask_version(questions, f"{base}/nodes/{pack.id}/versions/{wanted}", wanted)
        finally:
            questions.close()
        found = parse_version({**data, "downloadUrl": None})
    except (PackError, DownloadError, HostsError) as error:
        raise ArchiveError(str(error)) from error
    if (as_text(data.get("node_id")) or pack.id).casefold() != pack.id.casefold() or found.version != wanted:
        raise ArchiveError(f"the registry was asked for version {wanted} and answers with another one")
    about_latest = pack.latest.warnings if pack.latest else ()
    warnings = [text for text in pack.warnings if text not in about_latest] + list(found.warnings)
    return found.version, _archive_url(data.get("downloadUrl"), found.version, access.allowed_hosts), warnings


def fetch_archive(cnr_id: str, version: str, cache: Path, access: RegistryAccess, *, sha256: str | None = None) -> Archive:
    """Bring a version into the cache. One whose digest is known and there needs no network. Raises ArchiveError and OSError."""
    _check_names(cnr_id, version)
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise ArchiveError(f"version {version} is locked to {printable(sha256)!r}, which is no sha256")
    with _archives(cache) as folder:
        if sha256 is not None and (cached := _open_cached(folder, sha256)):
            cached.close()
            return Archive(cnr_id, version, sha256)
        _version, url, _warnings = resolve_archive(cnr_id, version, access)
        partial = f".{cnr_id.lower()}@{version}.partial"
        with suppress(FileNotFoundError):
            os.unlink(partial, dir_fd=folder)
        handle = os.open(partial, _NEW_FILE, 0o600, dir_fd=folder)
        try:
            with os.fdopen(handle, "w+b") as file:
                _download(url, file, access)
                _read_zip(file).close()
                found = hash_file(file)
                if sha256 not in (None, found):
                    raise ArchiveError(
                        f"version {version} was sha256 {sha256[:12]}… when it was locked and is {found[:12]}… now; "
                        "the bytes of a published version never change for a good reason, so it is not installed"
                    )
                _hand_over(handle, 0o644, os.fstat(folder))
            os.rename(partial, f"{found}.zip", src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(partial, dir_fd=folder)
            raise
    return Archive(cnr_id, version, found)


def unpack_archive(archive: Archive, cache: Path, target: Path) -> None:
    """Put the files of a cached archive at `target`, which must not exist; it appears whole or not at all. Raises ArchiveError, OSError."""
    with _archives(cache) as folder:
        file = _open_cached(folder, archive.sha256)
    if file is None:
        raise ArchiveError(f"the archive of version {archive.version}, sha256 {archive.sha256[:12]}…, is not in the cache")
    partial = f".{target.name}.partial"
    with file, _read_zip(file) as zipped, _opened(target.parent, os.O_NOFOLLOW) as parent:
        if _is_there(target.name, parent):
            raise ArchiveError(f"{target} is there already")
        _remove(partial, parent)
        # Nobody else gets into it until everything is there.
        os.mkdir(partial, 0o700, dir_fd=parent)
        try:
            with _opened(partial, os.O_NOFOLLOW, parent) as top:
                if os.fstat(top).st_uid != os.geteuid():
                    raise ArchiveError(f"{target.parent} is being changed by somebody else")
                _write_members(zipped, top, os.fstat(parent))
                with _new_file(MARK, top, 0o644, os.fstat(parent)) as mark:
                    mark.write(as_json(asdict(archive)).encode())
                _hand_over(top, 0o755, os.fstat(parent))
            os.rename(partial, target.name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            _remove(partial, parent)
            raise


def _check_names(cnr_id: str, version: str | None) -> None:
    """Both become parts of addresses and of a file's name."""
    if not PACK_ID.fullmatch(cnr_id):
        raise ArchiveError("no pack of the registry has such an id")
    if version is not None and not VERSION.fullmatch(version):
        raise ArchiveError(f"no version has the name {printable(version)!r}")


def _ask_version(questions: Questions, url: str, wanted: str) -> dict[str, Any]:
    try:
        return as_object(questions.ask(url))
    except DownloadError as error:
        if error.status == 404:
            raise ArchiveError(f"the registry has no version {wanted}") from error
        raise


def _archive_url(given: object, version: str, allowed_hosts: Sequence[str]) -> str:
    if not isinstance(given, str) or not given:
        raise ArchiveError(f"the registry has no archive of version {version}")
    try:
        host = host_of(given)
        # Any public host by https; what is more than that, the operator has to name.
        public = [host] if host and not is_private_host(host) else []
        return check_url(given, [*allowed_hosts, *public]).url
    except ValueError as error:
        raise ArchiveError(f"the archive of version {version} has an address that is refused: {error}") from error


def _download(url: str, file: BinaryIO, access: RegistryAccess) -> None:
    until = time.monotonic() + access.archive_timeout
    late = f"{urlsplit(url).hostname} did not send the archive within {access.archive_timeout:g} seconds"

    def once() -> None:
        try:
            _receive(client, url, file, until)
        except PassingError as error:
            if time.monotonic() >= until:
                raise DownloadError(late) from error
            raise

    try:
        client = Client(access.tokens, access.timeout, access.allowed_hosts)
        client.patient = access.patient
        try:
            client.patiently(once)
        finally:
            client.close()
    except (DownloadError, HostsError) as error:
        raise ArchiveError(str(error)) from error


def _receive(client: Client, url: str, file: BinaryIO, until: float) -> None:
    file.seek(0)
    file.truncate()
    with client.read(Link(url, client.token_for(url))) as reply:
        host = host_of(reply.url)
        if reply.status != 200:
            raise DownloadError(f"{host} was asked for an archive and answered {reply.status}")
        if reply.content_type.partition(";")[0].strip().lower() == "text/html":
            raise DownloadError(f"{host} sent a web page instead of an archive")
        if reply.content_encoding:
            raise DownloadError(f"{host} sent the archive compressed once more, which nobody asked for")
        # A byte now and then is no reason for the connection to end.
        timer = threading.Timer(max(0.0, until - time.monotonic()), reply.abort)
        timer.daemon = True
        timer.start()
        try:
            size, view = reply.length or 0, memoryview(bytearray(_BUFFER))
            while size <= LARGEST_ARCHIVE and (count := reply.readinto(view)):
                file.write(view[:count])
                size = max(size, file.tell())
        finally:
            timer.cancel()
    if size > LARGEST_ARCHIVE:
        raise DownloadError(f"the archive at {host} is larger than {LARGEST_ARCHIVE // 1024**2} MiB")
    file.flush()


def _read_zip(file: BinaryIO) -> zipfile.ZipFile:
    """The archive, once all that it says of its members is harmless. Raises ArchiveError."""
    try:
        zipped = zipfile.ZipFile(file)
    except _BROKEN as error:
        raise ArchiveError(f"what the registry calls an archive is no whole zip file: {printable(str(error))}") from error
    members = zipped.infolist()
    if len(members) > MOST_MEMBERS:
        raise ArchiveError(f"the archive has more than {MOST_MEMBERS:,} members")
    size = sum(info.file_size for info in members)
    if size > LARGEST_PACK:
        raise ArchiveError(f"the archive would unpack to more than {LARGEST_PACK // 1024**3} GiB")
    if size > HARMLESS and size > MOST_TIMES * os.fstat(file.fileno()).st_size:
        raise ArchiveError(f"the archive would unpack to more than {MOST_TIMES} times its size")
    files: set[str] = set()
    folders: set[str] = set()
    for info in members:
        problem = _problem(info)
        if problem:
            raise ArchiveError(f"the archive is refused: {printable(info.orig_filename)!r} {problem}")
        name = info.filename.removesuffix("/")
        if name in files or (name in folders and not info.is_dir()):
            raise ArchiveError(f"the archive is refused: {printable(name)!r} is in it twice")
        (folders if info.is_dir() else files).add(name)
        folders.update(_folders_above(name))
    if both := files & folders:
        raise ArchiveError(f"the archive is refused: {printable(min(both))!r} is a file and a folder in it")
    if not files:
        raise ArchiveError("the archive holds no file")
    return zipped


def _problem(info: zipfile.ZipInfo) -> str:
    """What is wrong with a member of an archive, if anything is."""
    # zipfile stops reading a name at a NUL, and may prefer another one that is hidden in the extra fields.
    if problem := _problem_of_name(info.orig_filename) or _problem_of_name(info.filename):
        return problem
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in an unusual way"
    return ""


def _problem_of_name(name: str) -> str:
    parts = name.removesuffix("/").split("/")
    if "\\" in name or any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "has a backslash or a control character in its name"
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        return "is an absolute path"
    if any(part in ("", ".", "..") for part in parts):
        return "does not lead straight down"
    if len(name.encode(errors="replace")) > LONGEST_NAME or any(len(part.encode(errors="replace")) > LONGEST_PART for part in parts):
        return "has too long a name"
    if any(part.lower() == ".git" for part in parts):
        return "would make a repository of it"
    return ""


def _folders_above(name: str) -> Iterator[str]:
    """The folders on the way to a member, outermost first."""
    parts = name.split("/")[:-1]
    return ("/".join(parts[:count]) for count in range(1, len(parts) + 1))


def _write_members(zipped: zipfile.ZipFile, top: int, owner: os.stat_result) -> None:
    made: set[str] = set()
    written = []
    for info in zipped.infolist():
        name = info.filename.removesuffix("/")
        if name in (TRACKING, MARK):
            continue
        for folder in [*_folders_above(name), *([name] if info.is_dir() else [])]:
            if folder not in made:
                os.mkdir(folder, dir_fd=top)
                with _opened(folder, os.O_NOFOLLOW, top) as handle:
                    _hand_over(handle, 0o755, owner)
                made.add(folder)
        if not info.is_dir():
            runnable = info.external_attr >> 16 & 0o111
            with _new_file(name, top, 0o755 if runnable else 0o644, owner) as file:
                _copy(zipped, info, file)
            written.append(name)
    with _new_file(TRACKING, top, 0o644, owner) as file:
        file.write("".join(f"{name}\n" for name in written).encode())


@contextmanager
def _new_file(name: str, top: int, mode: int, owner: os.stat_result) -> Iterator[BinaryIO]:
    with os.fdopen(os.open(name, _NEW_FILE, 0o600, dir_fd=top), "wb") as file:
        yield file
        _hand_over(file.fileno(), mode, owner)


def _copy(zipped: zipfile.ZipFile, info: zipfile.ZipInfo, file: BinaryIO) -> None:
    damaged = f"{printable(info.filename)!r} in the archive is damaged"
    try:
        source = zipped.open(info)
    except _BROKEN as error:
        raise ArchiveError(f"{damaged}: {printable(str(error))}") from error
    with source:
        left = info.file_size
        while True:
            try:
                content = source.read(_BUFFER)
            except _BROKEN as error:
                raise ArchiveError(f"{damaged}: {printable(str(error))}") from error
            if not content:
                break
            left -= len(content)
            file.write(content)
    if left:
        raise ArchiveError(f"{damaged}: it has another size than the archive says")


@contextmanager
def _archives(cache: Path) -> Iterator[int]:
    """The folder of the archives, made where it is missing."""
    with _opened(cache, 0) as above:
        with suppress(FileExistsError):
            os.mkdir("archives", dir_fd=above)
        with _opened("archives", os.O_NOFOLLOW, above) as folder:
            _hand_over(folder, 0o755, os.fstat(above))
            yield folder


def _open_cached(folder: int, sha256: str) -> BinaryIO | None:
    """The archive with this digest. A file that is not what its name says is as good as none."""
    try:
        handle = os.open(f"{sha256}.zip", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    file = os.fdopen(handle, "rb")
    if stat.S_ISREG(os.fstat(handle).st_mode) and hash_file(file) == sha256:
        return file
    file.close()
    return None


@contextmanager
def _opened(folder: Path | str, how: int, above: int | None = None) -> Iterator[int]:
    handle = os.open(folder, _FOLDER | how, dir_fd=above)
    try:
        yield handle
    finally:
        os.close(handle)


def _hand_over(handle: int, mode: int, owner: os.stat_result) -> None:
    """Give these permissions, whatever the umask says, and the owner of the folder around it."""
    os.fchmod(handle, mode)
    if os.geteuid() == 0:
        os.fchown(handle, owner.st_uid, owner.st_gid)


def _is_there(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _remove(name: str, folder: int) -> None:
    """What a run left behind that was killed, or a link in its place, which is not followed."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        shutil.rmtree(f"/proc/self/fd/{folder}/{name}")
