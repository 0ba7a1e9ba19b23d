# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""One file over HTTP: asked about, streamed into a partial file beside its target, resumed, checked, published.

The partial file is `.<name>.<digest>.part`; `.<name>.<digest>.part.json` beside it says which answer its bytes come from.
Private to this collection: it may change in any release.
"""

from __future__ import annotations

import contextlib
import email.message
import email.utils
import errno
import fcntl
import hashlib
import http.client
import json
import os
import random
import re
import ssl
import stat
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar
from urllib.parse import SplitResult, parse_qsl, quote, urljoin, urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import (
    HEAD_SIZE,
    ContentError,
    check_head,
    check_type,
)

# CivitAI sends browsers to a login page, and its front refuses Python's own name.
USER_AGENT = "emprops.comfyui/0.1.0"

CHUNK_SIZE = 1024 * 1024
SPACE_CHECK_INTERVAL = 64 * CHUNK_SIZE
MAX_REDIRECTS = 5
RETRIES = 3
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0

_HUGGING_FACE = ("huggingface.co", "hf.co")
_PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)
_SECRET_PARAMETERS = ("token", "api_key", "apikey", "access_token")
_WORDS = {
    "GatedRepo": "the repository is gated: accept its terms on its page, and give a token of the account that did",
    "RepoNotFound": "there is no such repository, or it is private and the token does not open it",
    "RevisionNotFound": "the repository has no such revision",
    "EntryNotFound": "the repository has no such file",
}

T = TypeVar("T")


class DownloadError(Exception):
    """The file cannot be had; the message says why, `status` and `code` what the server called it."""

    status: int | None = None
    code: str = ""


class _Passing(DownloadError):
    """What may be better in a moment."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


@dataclass(frozen=True)
class Offer:
    """What a server says about a file before it is read."""

    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class _Answer:
    response: http.client.HTTPResponse
    linked: Offer

    def header(self, name: str) -> str:
        return self.response.headers.get(name, "").strip()

    @property
    def content_range(self) -> tuple[int | None, int | None]:
        """Where the answered range begins, and the size of the whole file."""
        match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", self.header("Content-Range"))
        if match is None:
            return None, None
        return _number(match[1]), _number(match[2])


def parse_wanted_url(url: str) -> str:
    """The address to ask for what a person wrote."""
    parts = urlsplit(parse_url(url))
    if any(name.lower() in _SECRET_PARAMETERS for name, _value in parse_qsl(parts.query)):
        raise DownloadError("the url carries a token; give it by host in 'tokens' instead")
    if parts.hostname in _HUGGING_FACE:
        path = re.sub(r"^(/(?:(?:datasets|spaces)/)?[^/]+(?:/[^/]+)?)/blob/", r"\1/resolve/", parts.path)
        parts = parts._replace(netloc=_HUGGING_FACE[0], path=path)
    return parts.geturl()


def parse_url(url: str) -> str:
    """Check an address and quote what a request line cannot carry."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
        path = quote(parts.path, safe="/%:@!$&'()*+,;=~") or "/"
        query = quote(parts.query, safe="/%?:@!$&'()*+,;=~")
    except ValueError as error:
        raise DownloadError("the url is malformed") from error
    if parts.scheme not in ("http", "https"):
        raise DownloadError("the url is neither http nor https")
    if parts.username is not None or parts.password is not None:
        raise DownloadError("the url carries a user name or password; give a token by host in 'tokens' instead")
    if not re.fullmatch(r"[a-z0-9._:-]+", parts.hostname or "") or port == 0:
        raise DownloadError("the url has no usable host name")
    return parts._replace(netloc=parts.netloc.lower(), path=path, query=query, fragment="").geturl()


def printable_url(url: str) -> str:
    """The address without anything that may be a secret."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(a malformed url)"
    return quote(f"{parts.scheme}://{host}{parts.path}", safe="/%:@!$&'()*+,;=~[]")


def parse_tokens(tokens: Mapping[str, str | None]) -> dict[str, str]:
    """Tokens by host, without the empty ones; what cannot be a header is refused by the name of its host."""
    for host, token in tokens.items():
        if token is not None and not isinstance(token, str):
            raise DownloadError(f"the token for {host} is not a text")
        if token and not re.fullmatch(r"[!-~]*", token):
            raise DownloadError(f"the token for {host} contains a space, a line break or another character that no token has")
    return {host.lower(): token for host, token in tokens.items() if token}


def hash_file(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    for chunk in iter(lambda: file.read(CHUNK_SIZE), b""):
        digest.update(chunk)
    return digest.hexdigest()


def partial_path(target: Path, url: str) -> Path:
    """Where the bytes of this address wait until the file is whole; a long name is cut, its digest keeps it apart."""
    digest = hashlib.sha256(f"{target.name}\n{url}".encode(errors="surrogateescape")).hexdigest()[:8]
    name = target.name.encode(errors="surrogateescape")[:220].decode(errors="ignore")
    return target.with_name(f".{name}.{digest}.part")


class Partial:
    """A partial file that this process has to itself, its digest computed while it grows."""

    def __init__(self, target: Path, url: str, reserve: int) -> None:
        self.target = target
        self.path = partial_path(target, url)
        self.sidecar = self.path.with_name(f"{self.path.name}.json")
        self.etag = ""
        self.total: int | None = None
        self._url_digest = hashlib.sha256(url.encode()).hexdigest()
        self._reserve = reserve
        self._handle = -1
        self._gone = False  # published or discarded: the path may be another process's by now

    def __enter__(self) -> Partial:
        """Wait until no other process has the file, then take it."""
        while True:
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX)
                found = os.fstat(self._handle)
                if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
                    raise DownloadError(f"{self.path} is not a partial file of ours; remove it")
                # Whoever had the file before may have published or removed it.
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(found, os.lstat(self.path)):
                        self._forget()
                        return self
            except BaseException:
                os.close(self._handle)
                raise
            os.close(self._handle)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._gone and os.fstat(self._handle).st_size == 0:
            self.discard()
        os.close(self._handle)

    def resume(self, provable: bool) -> None:
        """Go on from the bytes that are there, or from nothing when it is not clear what they are.

        Without an ETag only a digest that the whole file must have (provable) shows that two answers were one file.
        """
        try:
            notes = json.loads(self.sidecar.read_text(encoding="utf-8"))
            etag, total = str(notes["etag"]), notes["total"]
            known = notes["url"] == self._url_digest and (total is None or isinstance(total, int))
        except (OSError, ValueError, LookupError, TypeError):
            known = False
        size = os.fstat(self._handle).st_size
        if not known or not (etag or provable) or (total is not None and size > total):
            self.start_over()
            return
        self.etag, self.total = etag, total
        os.lseek(self._handle, 0, os.SEEK_SET)
        for chunk in iter(lambda: os.read(self._handle, CHUNK_SIZE), b""):
            self._count(chunk)

    def start_over(self) -> None:
        os.ftruncate(self._handle, 0)
        os.lseek(self._handle, 0, os.SEEK_SET)
        self.sidecar.unlink(missing_ok=True)
        self._forget()

    def describe(self, etag: str, total: int | None) -> None:
        """Note which answer the coming bytes belong to, before the first of them."""
        self.etag, self.total = etag, total
        notes = {"url": self._url_digest, "etag": etag, "total": total}
        fresh = self.sidecar.with_name(f"{self.sidecar.name}.new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(notes, file)
        fresh.replace(self.sidecar)

    def write(self, chunk: bytes) -> None:
        """Add bytes; a disk without room gets back what the partial file took of it."""
        if self.position // SPACE_CHECK_INTERVAL != (self.position + len(chunk)) // SPACE_CHECK_INTERVAL:
            room = os.fstatvfs(self._handle)
            if room.f_bavail * room.f_frsize < self._reserve:
                self.discard()
                raise DownloadError(f"the disk of {self.target.parent} has less than the reserve of {self._reserve} bytes left")
        view = memoryview(chunk)
        try:
            while view:
                view = view[os.write(self._handle, view) :]
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                self.discard()
                raise DownloadError(f"the disk of {self.target.parent} is full") from error
            raise DownloadError(f"cannot write {self.path}: {error.strerror}") from error
        self._count(chunk)

    def publish(self, uid: int, gid: int) -> os.stat_result:
        """Give the file its name, once its bytes are on the disk."""
        os.fchmod(self._handle, 0o644)
        os.fchown(self._handle, uid, gid)
        os.fsync(self._handle)
        self.path.replace(self.target)
        self._gone = True
        self.sidecar.unlink(missing_ok=True)
        directory = os.open(self.target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return os.fstat(self._handle)

    def discard(self) -> None:
        self._gone = True
        self.sidecar.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        os.ftruncate(self._handle, 0)

    def open(self) -> BinaryIO:
        return os.fdopen(os.dup(self._handle), "rb")

    def hexdigest(self) -> str:
        return self._digest.hexdigest()

    def _forget(self) -> None:
        self.position = 0
        self.head = b""
        self.etag, self.total = "", None
        self._digest = hashlib.sha256()

    def _count(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self.position += len(chunk)
        if len(self.head) < HEAD_SIZE:
            self.head += chunk[: HEAD_SIZE - len(self.head)]


def _pause(seconds: float) -> None:
    """Wait, and a little longer by chance, so that those who were turned away together do not come back together."""
    time.sleep(seconds + random.uniform(0, min(seconds / 4, 1)))  # noqa: S311 - nothing secret depends on it


class Client:
    """Asks servers for files, with patience, and gives a token to the host it belongs to and to nobody else.

    A token is kept by `host` (https on its usual port) or by `host:port` (whatever the scheme).
    """

    def __init__(self, tokens: Mapping[str, str | None], timeout: float, pause: Callable[[float], None] = _pause) -> None:
        self._tokens = parse_tokens(tokens)
        self._timeout = timeout
        self._pause = pause
        # Without urllib's own redirects, which would carry the token along, and its errors, which know less than ours.
        self._opener = urllib.request.OpenerDirector()
        for handler in (urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler()):
            self._opener.add_handler(handler)

    def probe(self, url: str, name: str) -> Offer:
        """Ask how large the file is; HEAD would be shorter, but CivitAI does not answer it."""
        return self._patiently(lambda: self._probe(url, name))[0]

    def download(self, url: str, partial: Partial, name: str, wanted: Offer) -> Offer:
        """Bring the partial file to its full length, and return what the file is known to be, or should be."""
        partial.resume(provable=wanted.sha256 is not None)
        return self._patiently(lambda: self._stream(url, partial, name, wanted))

    def _patiently(self, action: Callable[[], T]) -> T:
        for pause in (FIRST_PAUSE * 2**retry for retry in range(RETRIES)):
            try:
                return action()
            except _Passing as error:
                self._pause(pause if error.pause is None else min(error.pause, LONGEST_PAUSE))
        try:
            return action()
        except _Passing as error:
            raise DownloadError(f"{error} (tried {RETRIES + 1} times)") from error

    def _probe(self, url: str, name: str) -> tuple[Offer, email.message.Message]:
        answer = self._ask(url, {"Range": "bytes=0-0"}, enough_if_linked=True)
        with answer.response as response:
            if answer.linked.size is not None:
                return answer.linked, response.headers
            check_type(name, answer.header("Content-Type"))
            size = _number(answer.header("Content-Length")) if response.status == 200 else answer.content_range[1]
            return Offer(size, answer.linked.sha256), response.headers

    def _stream(self, url: str, partial: Partial, name: str, wanted: Offer) -> Offer:
        headers = {}
        if partial.position:
            headers["Range"] = f"bytes={partial.position}-"
            if partial.etag:
                headers["If-Range"] = partial.etag
        answer = self._ask(url, headers)
        with answer.response as response:
            wanted = Offer(wanted.size or answer.linked.size, wanted.sha256 or answer.linked.sha256)
            start, total = answer.content_range
            if response.status == 416:
                if total != partial.position:
                    partial.start_over()
                    raise _Passing("the server has another file now than the one that was begun", pause=0)
                return wanted
            if answer.header("Content-Encoding").lower() not in ("", "identity"):
                raise DownloadError("the server sent the file compressed, though asked not to")
            check_type(name, answer.header("Content-Type"))
            etag = answer.header("ETag")
            if response.status == 206:
                other_etag = partial.etag and etag not in ("", partial.etag)
                if start != partial.position or other_etag or partial.total not in (None, total):
                    partial.start_over()
                    raise _Passing("the server has another file now than the one that was begun", pause=0)
            else:
                total = _number(answer.header("Content-Length"))
            if wanted.size is not None and total not in (None, wanted.size):
                raise DownloadError(f"the server has {total} bytes, wanted {wanted.size}")
            if total is None and wanted == Offer() and answer.header("Transfer-Encoding").lower() != "chunked":
                raise DownloadError("the server does not say how long the file is; give its size or sha256")
            if response.status == 200:
                partial.start_over()
                partial.describe("" if etag.startswith("W/") else etag, total)
            self._receive(response, partial, name, total, wanted.size)
            return wanted

    def _receive(self, response: http.client.HTTPResponse, partial: Partial, name: str, declared: int | None, wanted: int | None) -> None:
        """Read to the end that the server declared, or else to the end there is."""
        total = declared if declared is not None else wanted
        checked = False
        while declared is None or partial.position < declared:
            try:
                chunk = response.read1(CHUNK_SIZE if declared is None else min(CHUNK_SIZE, declared - partial.position))
            except TimeoutError as error:
                raise _Passing(f"the server sent nothing for {self._timeout:g} seconds after {partial.position} bytes") from error
            except (OSError, http.client.HTTPException) as error:
                raise _Passing(f"the connection broke after {partial.position} bytes") from error
            if not chunk:
                break
            partial.write(chunk)
            if total is not None and partial.position > total:
                partial.discard()
                raise DownloadError(f"the server sends more than {total} bytes")
            if not checked and len(partial.head) == HEAD_SIZE:
                _check_begin(partial, name, total)
                checked = True
        if total is not None and partial.position < total:
            raise _Passing(f"the file was cut short: {partial.position} of {total} bytes came")

    def _ask(self, url: str, headers: Mapping[str, str], enough_if_linked: bool = False) -> _Answer:
        """GET, following redirects by hand; a token stays with the first host, and only that host's word on the file counts."""
        here = url
        token = self._token_for(url)
        linked = Offer()
        for _hop in range(MAX_REDIRECTS + 1):
            response = self._get(here, headers, token)
            if origin_of(here) == origin_of(url):
                linked = _linked(response, linked)
            answer = _Answer(response, linked)
            if response.status in (200, 206, 416) or (enough_if_linked and linked.size is not None and response.status < 400):
                return answer
            with response:
                there = next_address(response, here, token)
            self._check_redirect(here, there)
            if origin_of(there) != origin_of(url):
                token = None  # for good, even if the way leads back
            here = there
        raise DownloadError(f"more than {MAX_REDIRECTS} redirects, the last one to {_host(here)}")

    def _check_redirect(self, here: str, there: str) -> None:
        """Raise DownloadError where a redirect must not be followed; a file may come from wherever its host says."""

    def _get(self, url: str, headers: Mapping[str, str], token: str | None, content: bytes | None = None) -> http.client.HTTPResponse:
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        request = urllib.request.Request(url, data=content, headers=headers)  # noqa: S310 - parse_url let it pass
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            response: http.client.HTTPResponse = self._opener.open(request, timeout=self._timeout)
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise DownloadError(f"the certificate of {_host(url)} is not trusted: {reason.verify_message}") from error
            if isinstance(reason, TimeoutError):
                raise _Passing(f"{_host(url)} did not answer within {self._timeout:g} seconds") from error
            words = getattr(reason, "strerror", None) or (reason if isinstance(reason, OSError) else type(reason).__name__)
            raise _Passing(f"cannot reach {_host(url)}: {words}") from error
        return response

    def _token_for(self, url: str) -> str | None:
        parts = urlsplit(url)
        name = f"{_host(url)}:{_port(parts)}"
        if name in self._tokens:
            return self._tokens[name]
        return self._tokens.get(_host(url)) if name.endswith(":443") and parts.scheme == "https" else None


def _check_begin(partial: Partial, name: str, total: int | None) -> None:
    try:
        check_head(name, partial.head, total)
    except ContentError:
        partial.discard()
        raise


def next_address(response: http.client.HTTPResponse, here: str, token: str | None) -> str:
    """Where an answer without a file sends us; raises why the server says no when it does not."""
    if response.status not in (301, 302, 303, 307, 308):
        raise _refusal(response, here, token)
    location = response.headers.get("Location", "").strip().encode("latin-1", errors="replace").decode("utf-8", errors="replace")
    try:
        there = parse_url(urljoin(here, location))
    except (DownloadError, ValueError) as error:
        raise DownloadError(f"{_host(here)} redirects to an unusable address: {error}") from error
    if here.startswith("https:") and not there.startswith("https:"):
        raise DownloadError(f"{_host(here)} redirects from https to http, which is refused")
    return there


def _refusal(response: http.client.HTTPResponse, url: str, token: str | None) -> DownloadError:
    """Why the server says no, in words that tell what to do about it."""
    status, host = response.status, _host(url)
    code = response.headers.get("X-Error-Code", "")
    said = _said(response)
    if token:
        said = said.replace(token, "***")
    if status in _PASSING_STATUS:
        return _Passing(f"{host} answered {status}{said}", _asked_pause(response))
    given = f"the token for {host} was sent" if token else f"no token was sent to {host}"
    if code in _WORDS and status in (401, 403, 404):
        why = _WORDS[code] + (f" ({given})" if status != 404 else "")
    elif status == 401 and token:
        why = f"the token for {host} was not accepted"
    elif status == 401:
        why = f"a token is needed, or there is no such file ({given})"
    elif status == 403:
        why = f"access is refused ({given})"
    elif status == 404:
        why = "there is no such file"
    elif status == 410:
        why = "the file was withdrawn by its publisher"
    else:
        why = f"{host} does not hand out the file"
    error = DownloadError(f"{why}: {status}{said}")
    error.status, error.code = status, code
    return error


def _said(response: http.client.HTTPResponse) -> str:
    """The server's own words, if it has any fit to print."""
    words = response.headers.get("X-Error-Message", "")
    if not words and "json" in response.headers.get("Content-Type", ""):
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError, RecursionError):
            body = json.loads(response.read(4096))
            if isinstance(body, dict):
                words = ": ".join(str(body[key]) for key in ("error", "message") if isinstance(body.get(key), str))
    words = "".join(character if character.isprintable() else " " for character in words)[:200].strip()
    return f", '{words}'" if words else ""


def _asked_pause(response: http.client.HTTPResponse) -> float | None:
    """Seconds the server asks us to wait: Retry-After, or t= of Hugging Face's RateLimit."""
    text = response.headers.get("Retry-After", "").strip()
    if not text:
        match = re.search(r";\s*t=(\d+)", response.headers.get("RateLimit", "")) if response.status == 429 else None
        return float(match[1]) if match else None
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _linked(response: http.client.HTTPResponse, known: Offer) -> Offer:
    """What Hugging Face says on its redirect; the ETag of its storage is no sha256, though it looks like one."""
    digest = response.headers.get("X-Linked-Etag", "").removeprefix("W/").strip('"').lower()
    size = _number(response.headers.get("X-Linked-Size"))
    return Offer(known.size if size is None else size, digest if re.fullmatch(r"[0-9a-f]{64}", digest) else known.sha256)


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text) else None


def origin_of(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, _host(url), _port(parts)


def _host(url: str) -> str:
    host = urlsplit(url).hostname or ""
    return f"[{host}]" if ":" in host else host


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)
