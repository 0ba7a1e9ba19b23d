# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Keep ComfyUI-Manager's four files fresh. They belong together: a set is complete and checked before it takes its place.

    <folder>/
    ├── current -> set-…      what is read
    ├── set-…/                the four files, and state.json, written last: address, ETags, digests;
    │                         its time is when the server was last asked
    └── .lock

The set before the current one stays for those who are reading it; any other is a run that was killed, and goes.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._files import LockedError, exclusive
from ansible_collections.emprops.comfyui.plugins.module_utils._reach import describe
from ansible_collections.emprops.comfyui.plugins.module_utils._registry import (
    KINDS,
    MOST_BYTES,
    RegistryError,
    own_folder,
    parse_registry_file,
    unpack,
)

CHUNK = 256 * 1024
# A server that sends a little now and then is not silent, so there is an end to the whole file too.
LONGEST_SECONDS = 300


class RefreshError(Exception):
    """The registry cannot be kept here, or not from there; the text says why."""


@dataclass(frozen=True)
class File:
    """One of the four, as it is kept or as it was sent; `content` is None where the kept one is still right."""

    etag: str
    sha256: str
    size: int
    content: bytes | None = None

    @property
    def state(self) -> dict[str, Any]:
        return {"etag": self.etag, "sha256": self.sha256, "size": self.size}


@dataclass(frozen=True)
class Kept:
    """A whole set that lies in the folder."""

    path: Path
    base_url: str
    asked: float
    files: Mapping[str, File]


@dataclass(frozen=True)
class Refreshed:
    """What became of it.

    state     fresh (young enough, nobody was asked), unchanged, updated, stale (kept, because of `problem`) or none
    before, after   digests by file; None in `after` is a file whose new content check mode did not ask for
    """

    state: str
    before: Mapping[str, str]
    after: Mapping[str, str | None]
    problem: str = ""


def refresh(folder: Path, base_url: str, *, max_age_seconds: float, timeout: float, minimum_bytes: int, dry: bool = False) -> Refreshed:
    """Have the newest set in the folder, or the one that is there; `dry` asks the server and writes nothing. Raises RefreshError."""
    base_url = check_base_url(base_url)
    try:
        if dry:
            return _refresh(folder, base_url, max_age_seconds, timeout, minimum_bytes, dry)
        problem = own_folder(folder)
        if problem:
            raise RefreshError(f"the registry cannot be kept: {problem}")
        with exclusive(folder / ".lock", wait=2 * LONGEST_SECONDS):
            return _refresh(folder, base_url, max_age_seconds, timeout, minimum_bytes, dry)
    except LockedError as error:
        raise RefreshError(f"the registry is being refreshed by {error}") from None
    except OSError as error:
        raise RefreshError(f"the registry cannot be kept in {folder}: {error.strerror}") from None


def check_base_url(text: str) -> str:
    """The address that the names of the files are added to."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or not re.fullmatch(r"[!-~]+", text):
        raise RefreshError("the base URL is no address that starts with https:// (or http://)")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise RefreshError(f"the base URL at {parts.hostname} has a user name, a query or a fragment, which would be in every log")
    return text.rstrip("/")


def read_kept(folder: Path) -> Kept | None:
    """The current set, if each file is what it was when it came."""
    try:
        path = (folder / "current").resolve(strict=True)
        state = json.loads((path / "state.json").read_bytes())
        files = {kind: File(**{key: state["files"][kind][key] for key in ("etag", "sha256", "size")}) for kind in KINDS}
        for kind, file in files.items():
            content = (path / f"{kind}.json").read_bytes()
            if hashlib.sha256(content).hexdigest() != file.sha256:
                return None
        return Kept(path, str(state["base_url"]), (path / "state.json").stat().st_mtime, files)
    except (OSError, ValueError, LookupError, TypeError, RuntimeError):
        return None


def _refresh(folder: Path, base_url: str, max_age_seconds: float, timeout: float, minimum_bytes: int, dry: bool) -> Refreshed:
    kept = read_kept(folder)
    before = {kind: file.sha256 for kind, file in kept.files.items()} if kept else {}
    usable = kept if kept and kept.base_url == base_url else None
    # An age below nothing is a clock that was wrong.
    if usable and 0 <= time.time() - usable.asked < max_age_seconds:
        return Refreshed("fresh", before, before)
    found, problems = _ask(base_url, usable, timeout, minimum_bytes, dry)
    if problems:
        return Refreshed("stale" if kept else "none", before, before, "; ".join(problems))
    if dry:
        after = {kind: None if file.content is not None else file.sha256 for kind, file in found.items()}
        return Refreshed("updated" if None in after.values() else "unchanged", before, after)
    after = {kind: file.sha256 for kind, file in found.items()}
    if usable and after == before and all(file.etag == usable.files[kind].etag for kind, file in found.items()):
        os.utime(usable.path / "state.json")
    else:
        _publish(folder, base_url, found, kept)
    return Refreshed("unchanged" if after == before else "updated", before, after)


def _ask(base_url: str, usable: Kept | None, timeout: float, minimum_bytes: int, dry: bool) -> tuple[dict[str, File], list[str]]:
    """All four at once, each only if it changed; and for each that cannot be had, why."""
    opener = urllib.request.build_opener(_Redirects)

    def ask(kind: str) -> File | str:
        known = usable.files[kind] if usable else None
        try:
            return _fetch(opener, f"{base_url}/{kind}.json", kind, known, timeout, minimum_bytes, dry)
        except RegistryError as error:
            return f"{kind}.json: {error}"
        except (OSError, http.client.HTTPException) as error:
            return f"{kind}.json: {describe(error, timeout)}"

    with ThreadPoolExecutor(len(KINDS)) as threads:
        answers = dict(zip(KINDS, threads.map(ask, KINDS), strict=True))
    files = {kind: answer for kind, answer in answers.items() if isinstance(answer, File)}
    return files, [answer for answer in answers.values() if isinstance(answer, str)]


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Followed, but never to where others can read and change what comes."""

    def redirect_request(self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        to = urlsplit(newurl).scheme
        if to != "https" and to != urlsplit(req.full_url).scheme:
            raise RegistryError(f"the server redirects from {req.type} to {to or 'nowhere'}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(
    opener: urllib.request.OpenerDirector, url: str, kind: str, known: File | None, timeout: float, minimum_bytes: int, dry: bool
) -> File:
    headers = {"User-Agent": "emprops.comfyui", "Accept-Encoding": "gzip"}
    if known and known.etag:
        headers["If-None-Match"] = known.etag
    request = urllib.request.Request(url, headers=headers, method="HEAD" if dry else "GET")  # noqa: S310 - see check_base_url
    try:
        with opener.open(request, timeout=timeout) as answer:
            etag = answer.headers.get("ETag", "")
            content = b"" if dry else unpack(_read_all(answer))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 304 and known and known.etag:
            return known
        raise RegistryError(f"the server answers {error.code}") from None
    # What cannot be sent back is as good as none.
    etag = etag if re.fullmatch(r"[!-~]{1,200}", etag) else ""
    if not dry:
        # First what it is, which says more about a short answer than its length.
        parse_registry_file(kind, content)
        if len(content) < minimum_bytes:
            raise RegistryError(f"it has {len(content)} bytes only, at least {minimum_bytes} are expected")
    return File(etag, hashlib.sha256(content).hexdigest(), len(content), content)


def _read_all(answer: Any) -> bytes:
    chunks, total, deadline = [], 0, time.monotonic() + LONGEST_SECONDS
    while chunk := answer.read1(CHUNK):
        chunks.append(chunk)
        total += len(chunk)
        if total > MOST_BYTES:
            raise RegistryError(f"it has more than {MOST_BYTES} bytes")
        if time.monotonic() > deadline:
            raise RegistryError(f"it has not come within {LONGEST_SECONDS} seconds")
    return b"".join(chunks)


def _publish(folder: Path, base_url: str, files: Mapping[str, File], kept: Kept | None) -> None:
    fresh = Path(tempfile.mkdtemp(dir=folder, prefix="set-"))
    for kind, file in files.items():
        content = file.content
        if content is None and kept:
            content = (kept.path / f"{kind}.json").read_bytes()
        _write(fresh / f"{kind}.json", content or b"")
    state = {"base_url": base_url, "files": {kind: file.state for kind, file in files.items()}}
    _write(fresh / "state.json", json.dumps(state, indent=2, sort_keys=True).encode() + b"\n")
    link = fresh / "link"
    link.symlink_to(fresh.name)
    link.replace(folder / "current")
    for path in folder.glob("set-*"):
        if path.name not in (fresh.name, kept.path.name if kept else ""):
            with contextlib.suppress(OSError):
                shutil.rmtree(path)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
