# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""HTTP as the model hubs speak it: connections that are kept, redirects, tokens, private addresses, and refusals in words.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import contextlib
import email.message
import email.utils
import http.client
import io
import ipaddress
import json
import math
import random
import re
import select
import socket
import ssl
import threading
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import (
    DownloadError,
    LinkExpiredError,
    PassingError,
    expires_at,
    host_of,
    is_signed,
    origin_of,
    parse_tokens,
    parse_url,
    printable_url,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._reach import HIDDEN
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import (
    RefusedError,
    check_hosts,
    check_url,
    is_named_origin,
    is_private_host,
    printable,
)

# CivitAI sends browsers to a login page, and its front refuses Python's own name.
USER_AGENT = "emprops.comfyui/0.1.0"

MAX_REDIRECTS = 5
RETRIES = 3
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0
# An address that does not answer at all is given up sooner while the host has others.
NEXT_ADDRESS_SECONDS = 10.0
# A connection that lay idle for longer may be closed at the other end just when it is used.
IDLE_SECONDS = 30.0
MOST_IDLE = 64
# A reader that has something gets it after this long, though its buffer is not full.
FILL_SECONDS = 0.5
SMALL_BODY = 64 * 1024

_REDIRECTS = (301, 302, 303, 307, 308)
# What servers answer that mind the question for a part of a file.
_NO_RANGES_STATUS = (400, 405, 501)
_PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)
_WORDS = {
    "GatedRepo": "the repository is gated: accept its terms on its page, and give a token of the account that did",
    "RepoNotFound": "there is no such repository, or it is private and the token does not open it",
    "RevisionNotFound": "the repository has no such revision",
    "EntryNotFound": "the repository has no such file",
    "Early Access": "the file is in early access, for those who paid for it",
}
_ENDED = re.compile(r"expired|ExpiredToken|not valid in the specified time frame", re.IGNORECASE)
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]*"')
# Addresses of IPv6 that stand for one of IPv4, which is what must be judged.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
# Not public either, whatever this version of Python knows: carriers' own, of protocols, for tests, for examples, of sites.
_NOT_PUBLIC = tuple(map(ipaddress.ip_network, ("100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "3fff::/20", "fec0::/10")))

T = TypeVar("T")
Key = tuple[str, str, int]
_Address = tuple[socket.AddressFamily, Any]


@dataclass(frozen=True)
class Link:
    """Where the bytes of a file are right now. The address may be signed, and the token is one: neither is ever printed."""

    url: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    expires: float | None = None
    redirected: bool = False

    @property
    def host(self) -> str:
        _scheme, host, port = origin_of(self.url)
        return f"{host}:{port}"

    @property
    def fleeting(self) -> bool:
        """May another link to the same file be taken where this one is not?"""
        return self.redirected or self.expires is not None or is_signed(self.url)


@dataclass(frozen=True)
class Found:
    """What the servers on the way to a file say about it. Only the first one's word is taken for its digest."""

    size: int | None
    sha256: str | None
    etag: str
    commit: str
    xet_hash: str
    content_type: str
    ranges: bool
    file_name: str | None
    headers: email.message.Message


class Reply:
    """An answer whose body is still to be read, inside a `with`. What is left unread costs the connection."""

    def __init__(self, client: Client, connection: _Connection, response: http.client.HTTPResponse, url: str) -> None:
        self.url = url
        self.status = response.status
        self.headers: email.message.Message = response.headers
        self.start, self.total = _content_range(response)
        # How many bytes this body has, if the server said so.
        self.length: int | None = response.length
        self._client = client
        self._connection = connection
        self._response = response
        self._left = response.length
        # Beyond what came together with the headers, a body of declared or open end is read past http.client.
        self._direct = not response.chunked
        self._buffered = True
        self._closed = False

    def __enter__(self) -> Reply:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def header(self, name: str) -> str:
        return str(self.headers.get(name, "")).strip()

    @property
    def etag(self) -> str:
        """Only one that promises the same bytes."""
        text = self.header("ETag")
        return text if _STRONG_ETAG.fullmatch(text) else ""

    @property
    def content_type(self) -> str:
        return self.header("Content-Type")

    @property
    def content_encoding(self) -> str:
        text = self.header("Content-Encoding").lower()
        return "" if text == "identity" else text

    def readinto(self, view: memoryview) -> int:
        """Fill the view as far as the body reaches, or as far as it came in a moment; 0 is the end. Raises PassingError."""
        if self._left is not None and len(view) > self._left:
            view = view[: self._left]
        if not view:
            return 0
        try:
            count = self._fill(view) if self._direct else self._response.readinto(view)
        except TimeoutError as error:
            raise PassingError(f"{host_of(self.url)} sent nothing for {self._client.timeout:g} seconds") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise PassingError(f"the connection to {host_of(self.url)} broke") from error
        if self._left is not None:
            self._left -= count
            if not count:
                raise PassingError(f"{host_of(self.url)} ended its answer {self._left} bytes too soon")
        elif not count and not self._direct:
            self._left = 0  # the last chunk was seen
        return count

    def read(self, limit: int) -> bytes:
        """At most so many bytes of a body that is small."""
        content = bytearray(limit if self._left is None else min(limit, self._left))
        count = 0
        until = time.monotonic() + self._client.timeout
        # Chunks are put together where this loop has no say.
        with memoryview(content) as view, self._connection.within(until):
            while count < len(content) and (more := self.readinto(view[count:])):
                count += more
                if time.monotonic() > until:
                    raise PassingError(f"{host_of(self.url)} did not answer within {self._client.timeout:g} seconds")
        return bytes(content[:count])

    def abort(self) -> None:
        """End a read that another thread is waiting in: it raises PassingError."""
        self._connection.abort()

    def close(self) -> None:
        """Give the connection back if all of the body was read."""
        if self._closed:
            return
        self._closed = True
        whole = self._left == 0 and not self._response.will_close
        self._response.close()
        if whole:
            self._client.keep(self._connection)
        else:
            self._connection.end()

    def _fill(self, view: memoryview) -> int:
        count = 0
        if self._buffered:
            self._buffered = False
            with memoryview(self._response.fp.read1(min(len(view), io.DEFAULT_BUFFER_SIZE))) as first:
                count = len(first)
                view[:count] = first
            if not count:
                return 0
            # A view that was smaller than what http.client had read leaves some of it there.
            self._buffered = count == len(view) < io.DEFAULT_BUFFER_SIZE
        receive = self._connection.receive
        end = len(view)
        enough = time.monotonic() + FILL_SECONDS
        try:
            while count < end:
                got = receive(view[count:])
                if not got:
                    break
                count += got
                if time.monotonic() > enough:
                    break
        except OSError:  # the next call meets it again
            if not count:
                raise
        return count


class _Connection:
    """A connection to one server, in the place of the socket that http.client expects."""

    def __init__(self, key: Key, sock: socket.socket, timeout: float) -> None:
        self.key = key
        self.sock = sock
        self.idle_since = 0.0
        self.receive: Callable[[memoryview], int] = sock.recv_into
        self._timeout = timeout
        self._deadline = 0.0

    def ask(self, request: bytes, method: str) -> http.client.HTTPResponse:
        """Send a request and read the head of its answer, which may take one timeout in all however it is doled out."""
        with self.within(time.monotonic() + self._timeout):
            self.sock.sendall(request)
            response = http.client.HTTPResponse(self, method=method)  # type: ignore[arg-type]
            try:
                response.begin()
            except BaseException:
                response.close()
                raise
        return response

    @contextlib.contextmanager
    def within(self, deadline: float) -> Iterator[None]:
        """What http.client reads inside of the `with` ends with TimeoutError once it is too late."""
        self._deadline = deadline
        try:
            yield
        finally:
            self._deadline = 0.0

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Received(self))

    def read_buffered(self, buffer: memoryview) -> int:
        if self._deadline and time.monotonic() > self._deadline:
            raise TimeoutError
        return self.receive(buffer)

    def is_stale(self) -> bool:
        """Has the other end said something since, which can only be good-bye?"""
        try:
            poll = select.poll()
            poll.register(self.sock, select.POLLIN)
            return time.monotonic() - self.idle_since > IDLE_SECONDS or bool(poll.poll(0))
        except (OSError, ValueError):
            return True

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            # Not SSLSocket's own: it takes the encryption away from under whoever is reading.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()


class _Received(io.RawIOBase):
    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._connection.read_buffered(buffer)


def _pause(seconds: float) -> None:
    """Wait, and a little longer by chance, so that those who were turned away together do not come back together."""
    time.sleep(seconds + random.uniform(0, min(seconds / 4, 1)))  # noqa: S311 - nothing secret depends on it


class Client:
    """Asks servers for files, and gives a token to the origin it belongs to and to nobody else. Threads may share one.

    A token is kept by `host` (https on its usual port) or by `host:port` (whatever the scheme); one with a colon in it is a user and
    a password. Servers that `allowed_hosts` names are asked, and public ones that they redirect to.
    """

    def __init__(
        self,
        tokens: Mapping[str, str | None],
        timeout: float,
        allowed_hosts: Sequence[str],
        pause: Callable[[float], None] = _pause,
    ) -> None:
        self.timeout = timeout
        self.patient = True
        self.allowed_hosts = tuple(allowed_hosts)
        check_hosts(self.allowed_hosts)
        self._tokens = parse_tokens(tokens)
        self._pause = pause
        self._proxies = urllib.request.getproxies()
        self._context: ssl.SSLContext | None = None
        self._sessions: dict[Key, ssl.SSLSession] = {}
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()

    def check_host(self, url: str) -> None:
        """Raise DownloadError where the operator's list does not have the server."""
        try:
            # A signed query may be longer than what strangers may write.
            check_url(url.partition("?")[0], self.allowed_hosts)
        except RefusedError as error:
            raise DownloadError(f"{printable_url(url)} is not asked: {error}") from error

    def link(self, url: str, token: str | None = None) -> tuple[Link, Found]:
        """Where the file is right now, and what is said about it. A hub that says all on its redirect is believed. Raises DownloadError.

        The question is for the first byte, for CivitAI does not answer HEAD.
        """
        self.check_host(url)
        _check_expiry(url)
        return self.patiently(lambda: self._link(url, token or self.token_for(url)))

    def read(self, link: Link, start: int = 0, end: int | None = None, etag: str = "") -> Reply:
        """The bytes from start to before end, or to the last one: 206, or 200 with all of it, or 416. One try.

        Raises PassingError for what may be better in a moment, LinkExpiredError where another link may help, DownloadError for the rest.
        """
        headers = {}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
            if _STRONG_ETAG.fullmatch(etag):
                headers["If-Range"] = etag
        url = here = parse_url(link.url)
        token, fleeting = link.token, link.fleeting
        for _hop in range(MAX_REDIRECTS + 1):
            reply = self._get(here, headers, token)
            if reply.status in (200, 206, 416):
                return reply
            with reply:
                there = next_address(reply, here, token, fleeting)
            self._check_redirect(here, there)
            if origin_of(there) != origin_of(url):
                token, fleeting = None, True
            here = there
        raise DownloadError(f"more than {MAX_REDIRECTS} redirects, the last one to {host_of(here)}")

    def patiently(self, action: Callable[[], T]) -> T:
        """Try again what may be better in a moment, after the pause that the server asked for or growing ones of our own."""
        if not self.patient:
            return action()
        for pause in (FIRST_PAUSE * 2**retry for retry in range(RETRIES)):
            try:
                return action()
            except PassingError as error:
                self._pause(pause if error.pause is None else min(error.pause, LONGEST_PAUSE))
        try:
            return action()
        except PassingError as error:
            raise DownloadError(f"{error} (tried {RETRIES + 1} times)") from error

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.end()

    def keep(self, connection: _Connection) -> None:
        """A connection that has no more to say can be used again."""
        connection.idle_since = time.monotonic()
        with self._lock:
            self._idle.append(connection)
            old = self._idle.pop(0) if len(self._idle) > MOST_IDLE else None
        if isinstance(connection.sock, ssl.SSLSocket) and connection.sock.session is not None:
            self._sessions[connection.key] = connection.sock.session
        if old:
            old.end()

    def _link(self, url: str, token: str | None) -> tuple[Link, Found]:
        """A token stays with the first origin, and only that one's word on the file's digest counts."""
        here, known, headers = url, _Linked(), {"Range": "bytes=0-0"}
        for _hop in range(MAX_REDIRECTS + 1):
            with self._get(here, headers, token) as reply:
                if headers and (reply.status in _NO_RANGES_STATUS or (reply.status == 416 and reply.total is None)):
                    headers = {}  # the file as a whole, whose head alone is read here
                    continue
                home = origin_of(here) == origin_of(url)
                known = known.and_from(reply) if home else known
                if reply.status in (200, 206) or (headers and reply.status == 416):
                    return self._final(here, url, token), known.found(reply)
                there = next_address(reply, here, token, is_signed(url))
            self._check_redirect(here, there)
            if origin_of(there) != origin_of(url):
                token = None  # for good, even if the way leads back
                if known.size is not None:
                    return self._final(there, url, token), known.found(reply)
            here = there
        raise DownloadError(f"more than {MAX_REDIRECTS} redirects, the last one to {host_of(here)}")

    def _final(self, here: str, url: str, token: str | None) -> Link:
        return Link(here, token, expires_at(here), redirected=origin_of(here) != origin_of(url))

    def _check_redirect(self, here: str, there: str) -> None:
        """Raise DownloadError where a redirect must not be followed; a file may come from wherever its host says, encrypted and public."""
        if not there.startswith("https:") and origin_of(here) != origin_of(there) and not self._is_named(there):
            raise DownloadError(f"{host_of(here)} redirects to {printable_url(there)}, which is refused: it is not https")

    def _is_named(self, url: str) -> bool:
        return is_named_origin(origin_of(url), self.allowed_hosts)

    def token_for(self, url: str) -> str | None:
        scheme, host, port = origin_of(url)
        if f"{host}:{port}" in self._tokens:
            return self._tokens[f"{host}:{port}"]
        return self._tokens.get(host) if (scheme, port) == ("https", 443) else None

    def _get(self, url: str, headers: Mapping[str, str], token: str | None, content: bytes | None = None) -> Reply:
        """One request to one server. Raises PassingError, and DownloadError where it is not to be asked or not to be trusted."""
        parts = urlsplit(url)
        proxy = self._proxy_for(url)
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        lines = {"Host": parts.netloc, "User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        if token:
            lines["Authorization"] = _authorization(token)
        if content is not None:
            lines["Content-Length"] = str(len(content))
        if proxy and parts.scheme == "http":
            target = f"http://{parts.netloc}{target}"
            lines.update(_proxy_headers(proxy))
        method = "GET" if content is None else "POST"
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        request = f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (content or b"")
        try:
            connection, response = self._ask(url, proxy, request, method)
        except DownloadError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise self._unreached(url, error) from error
        return Reply(self, connection, response, url)

    def _ask(self, url: str, proxy: str, request: bytes, method: str) -> tuple[_Connection, http.client.HTTPResponse]:
        while connection := self._take(origin_of(url)):
            # The server may have closed it in this very moment, without having read the question.
            try:
                return connection, connection.ask(request, method)
            except (ConnectionError, http.client.HTTPException, ssl.SSLError):
                connection.end()
            except BaseException:
                connection.end()
                raise
        connection = self._connect(url, proxy)
        try:
            return connection, connection.ask(request, method)
        except BaseException:
            connection.end()
            raise

    def _take(self, key: Key) -> _Connection | None:
        """An idle connection to this origin, the one that was used last."""
        while True:
            with self._lock:
                number = next((number for number in reversed(range(len(self._idle))) if self._idle[number].key == key), None)
                if number is None:
                    return None
                connection = self._idle.pop(number)
            if not connection.is_stale():
                return connection
            connection.end()

    def _connect(self, url: str, proxy: str) -> _Connection:
        key = scheme, host, port = origin_of(url)
        named = self._is_named(url)
        if proxy:
            # The proxy resolves names, so that only a literal address can be judged here.
            if not named and is_private_host(host):
                raise DownloadError(f"{host} is not asked: it is an IP address or a name of a private network")
            parts = urlsplit(proxy)
            addresses = _resolve(parts.hostname or "", parts.port or 80)
        else:
            addresses = _resolve(host.strip("[]"), port)
            public = [address for address in addresses if named or not _is_private(address[1][0])]
            if not public:
                raise DownloadError(
                    f"{host} is not asked: it stands for {addresses[0][1][0]}, a private address; "
                    f"where that is meant, name {scheme}://{host}:{port} in allowed_hosts"
                )
            addresses = public
        sock = self._reach(addresses)
        try:
            if scheme == "https":
                if proxy:
                    _tunnel(sock, host, port, proxy)
                sock = self._encrypt(sock, key)
            return _Connection(key, sock, self.timeout)
        except BaseException:
            sock.close()
            raise

    def _reach(self, addresses: Sequence[_Address]) -> socket.socket:
        """The first of a host's addresses that answers."""
        for number, (family, address) in enumerate(addresses, start=1):
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                last = number == len(addresses)
                sock.settimeout(self.timeout if last else min(self.timeout, NEXT_ADDRESS_SECONDS))
                sock.connect(address)
                sock.settimeout(self.timeout)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
            except OSError:
                sock.close()
                if last:
                    raise
        raise OSError("it has no address")

    def _encrypt(self, sock: socket.socket, key: Key) -> ssl.SSLSocket:
        with self._lock:
            if self._context is None:
                self._context = ssl.create_default_context()
                self._context.set_alpn_protocols(["http/1.1"])
        return self._context.wrap_socket(sock, server_hostname=key[1].strip("[]"), session=self._sessions.get(key))

    def _proxy_for(self, url: str) -> str:
        """What the environment says about this server, as urllib reads it."""
        scheme, host, port = origin_of(url)
        proxy = self._proxies.get(scheme, "")
        if not proxy or urllib.request.proxy_bypass(f"{host}:{port}"):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"

    def _unreached(self, url: str, error: Exception) -> DownloadError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return DownloadError(f"the certificate of {host_of(url)} is not trusted: {error.verify_message}")
        if isinstance(error, TimeoutError):
            return PassingError(f"{host_of(url)} did not answer within {self.timeout:g} seconds")
        words = getattr(error, "strerror", None) or (error if isinstance(error, OSError) else type(error).__name__)
        return PassingError(f"cannot reach {host_of(url)}: {words}")


@dataclass(frozen=True)
class _Linked:
    """What a hub says on its redirect; the ETag of its storage is no sha256, though it looks like one."""

    size: int | None = None
    sha256: str | None = None
    commit: str = ""
    xet_hash: str = ""

    def and_from(self, reply: Reply) -> _Linked:
        digest = reply.header("X-Linked-Etag").removeprefix("W/").strip('"').lower()
        size = _number(reply.header("X-Linked-Size"))
        commit, xet_hash = reply.header("X-Repo-Commit"), reply.header("X-Xet-Hash")
        return _Linked(
            self.size if size is None else size,
            digest if re.fullmatch("[0-9a-f]{64}", digest) else self.sha256,
            commit if re.fullmatch("[0-9a-f]{40}", commit) else self.commit,
            xet_hash if re.fullmatch("[0-9a-f]{64}", xet_hash) else self.xet_hash,
        )

    def found(self, reply: Reply) -> Found:
        """Together with what the last server says about the file it has."""
        file = reply.status in (200, 206)
        return Found(
            size=reply.total if self.size is None else self.size,
            sha256=self.sha256,
            etag=reply.etag if file else "",
            commit=self.commit,
            xet_hash=self.xet_hash,
            content_type=reply.content_type if file else "",
            ranges=reply.status != 200,
            file_name=_file_name(reply.headers),
            headers=reply.headers,
        )


def next_address(reply: Reply, here: str, token: str | None, fleeting: bool = False) -> str:
    """Where an answer without a file sends us; raises why the server says no when it does not."""
    if reply.status not in _REDIRECTS:
        raise _refusal(reply, here, token, fleeting)
    location = reply.header("Location").encode("latin-1", errors="replace").decode("utf-8", errors="replace")
    try:
        there = parse_url(urljoin(here, location))
    except (DownloadError, ValueError) as error:
        raise DownloadError(f"{host_of(here)} redirects to an unusable address: {error}") from error
    if here.startswith("https:") and not there.startswith("https:"):
        raise DownloadError(f"{host_of(here)} redirects from https to http, which is refused")
    if reply.length is not None and reply.length <= SMALL_BODY:
        with contextlib.suppress(PassingError):  # it only costs the connection
            reply.read(SMALL_BODY)
    return there


def _refusal(reply: Reply, url: str, token: str | None, fleeting: bool) -> DownloadError:
    """Why the server says no, in words that tell what to do about it."""
    status, host = reply.status, host_of(url)
    code, words = _said(reply)
    if token:
        for secret in _secrets_in(token):
            words = words.replace(secret, HIDDEN)
    said = f", '{printable(words)}'" if words else ""
    if status in _PASSING_STATUS:
        passing = PassingError(f"{host} answered {status}{said}", _asked_pause(reply))
        passing.status = status
        return passing
    given = f"the token for {host} was sent" if token else f"no token was sent to {host}"
    error = DownloadError
    if fleeting and (status in (401, 403) or (status == 400 and _ENDED.search(words))):
        why, error = f"the signed link is not taken by {host} any more", LinkExpiredError
    elif code in _WORDS and status in (401, 403, 404):
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
    refusal = error(f"{why}: {status}{said}")
    refusal.status, refusal.code = status, code
    return refusal


def _said(reply: Reply) -> tuple[str, str]:
    """The server's own code and words for a refusal: Hugging Face has them in headers, CivitAI in JSON, storages in XML."""
    code, words = reply.header("X-Error-Code"), reply.header("X-Error-Message")
    if words or not re.search("json|xml", reply.content_type):
        return code, words
    with contextlib.suppress(PassingError, ValueError, RecursionError):
        body = reply.read(4096)
        if "json" in reply.content_type:
            answer = json.loads(body)
            answer = answer if isinstance(answer, dict) else {}
            parts = [answer[key] for key in ("error", "message", "deadline") if isinstance(answer.get(key), str)]
        else:
            text = body.decode(errors="replace")
            parts = [match[1] for key in ("Code", "Message") if (match := re.search(f"<{key}>([^<]*)</{key}>", text))]
        code = code or next((part for part in parts[:1] if part in _WORDS), "")
        words = ": ".join(parts)
    return code, words


def _asked_pause(reply: Reply) -> float | None:
    """Seconds the server asks us to wait: Retry-After, or t= of Hugging Face's RateLimit."""
    text = reply.header("Retry-After")
    if not text:
        match = re.search(r";\s*t=(\d{1,9})", reply.header("RateLimit")) if reply.status == 429 else None
        return float(match[1]) if match else None
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        # A date has lost its part of a second.
        return max(0.0, math.ceil(email.utils.parsedate_to_datetime(text).timestamp() - time.time()))
    except (ValueError, OverflowError):
        return None


def _content_range(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """Where the answered bytes begin in the file, -1 if that is not said, and how many the whole file has."""
    if response.status == 200:
        return 0, response.length
    match = re.fullmatch(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18}|\*)", response.headers.get("Content-Range", "").strip())
    if match is None:
        return -1, None
    return int(match[1] or -1), _number(match[2])


def _file_name(headers: email.message.Message) -> str | None:
    try:
        return headers.get_filename()
    except (ValueError, LookupError, TypeError):  # what a server writes there may be anything
        return None


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def _check_expiry(url: str) -> None:
    ended = expires_at(url)
    if ended is not None and ended < time.time():
        when = datetime.fromtimestamp(ended, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
        raise LinkExpiredError(f"the signed link to {host_of(url)} ended at {when}: a new one is needed")


def _authorization(token: str) -> str:
    return f"Basic {b64encode(token.encode()).decode()}" if ":" in token else f"Bearer {token}"


def _secrets_in(token: str) -> list[str]:
    """What of it must not be repeated: the password, the user, which may be the token, and what both are sent as; the longest first."""
    user, _colon, password = token.partition(":")
    return sorted(filter(None, (user, password, _authorization(token).partition(" ")[2])), key=len, reverse=True)


def _proxy_headers(proxy: str) -> dict[str, str]:
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    return {"Proxy-Authorization": _authorization(f"{unquote(parts.username)}:{unquote(parts.password or '')}")}


def _tunnel(sock: socket.socket, host: str, port: int, proxy: str) -> None:
    """Ask the proxy for a way through. Nothing follows its answer before we speak, so none of it can be read too far."""
    head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": f"{host}:{port}", **_proxy_headers(proxy)}.items())
    sock.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\n{head}\r\n".encode("latin-1"))
    response = http.client.HTTPResponse(sock, method="CONNECT")
    try:
        response.begin()
        if response.status != 200:
            raise OSError(f"the proxy answers {response.status}")
    finally:
        response.close()


def _resolve(host: str, port: int) -> list[_Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _type, _protocol, _name, address in found]


def _is_private(address: str) -> bool:
    """Is this IP address, or the one that it stands for, anything but one of the public internet?"""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64 or (found in _COMPATIBLE and int(found) > 1):
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            found = inner
    return not found.is_global or found.is_multicast or found.is_reserved or any(found in network for network in _NOT_PUBLIC)
