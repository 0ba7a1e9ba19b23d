# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A stand-in for the places that models come from: one folder, served as plain files, as Hugging Face and as CivitAI.

    /files/<path>                              the file, with ranges and an ETag
    /<org>/<repo>/resolve/<revision>/<path>    Hugging Face: <root>/<org>/<repo>/<path>; redirects to signed storage
    /<org>/<repo>/blob/<revision>/<path>       its page about the file
    /api/download/models/<id>[?fileId=]        CivitAI: a file in <root>/civitai/<id>/; redirects to signed storage
    /api/v1/model-versions/<id>                its files and their digests; /api/v1/models/<id> is the model with that one version
    /cdn/<path>?X-Amz-…                        the signed storage, on a port of its own; refuses an Authorization header

A repository with a file `.gated` in it wants a token; a file `.moved` holds its new name. The token (any, unless one is set) opens
everything. A file `.<name>.sha256` is the digest of the file beside it, for those too large to be read for it.

A fault is asked for with `?fault=NAME`, or for whoever asks for a path, in `hub.faults` or in `<root>/hub.json`:
    {"faults": {"/files/a.gguf": "truncate", "/files/b.gguf": ["500", "429"], "/files/c.gguf": "reset25*3"}}
A list is used up, one fault per request; `NAME*3` is for the first three requests that it can spoil; `NAME+NAME` is both at once.
FAULTS says what there is; `to:URL` redirects there. Faults of a body come with the signed link to the storage.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import functools
import gzip
import hashlib
import hmac
import json
import os
import re
import secrets
import socket
import ssl
import struct
import termios
import threading
import time
from collections import Counter
from datetime import datetime, timezone
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

FAULTS = {
    "html": "a login page with status 200",
    "json": "a JSON error with status 200",
    "lfs": "a Git LFS pointer instead of the file",
    "badhash": "the last byte is another one",
    "longer": "the file is seven bytes longer",
    "shorter": "the file is a quarter shorter",
    "overlong": "the body is said to be a thousand bytes longer than it is",
    "truncate": "the body ends half-way",
    "stall": "the body stops half-way and the connection stays open",
    "slow": "one byte a second",
    "reset0": "the connection is reset after the headers",
    "reset25": "the connection is reset after a quarter of the body",
    "reset50": "half of it",
    "reset75": "three quarters of it",
    "reset100": "all of it",
    "hangup": "the connection is reset instead of an answer",
    "silent": "no answer comes",
    "norange": "a range is ignored",
    "noaccept": "a range is ignored, and nothing says that there are any",
    "range416": "any range is refused: there is none",
    "range403": "any range is refused: forbidden",
    "otherrange": "a range is answered from the beginning of the file, as a 206",
    "otherbytes": "a range other than the first is answered with other bytes",
    "total": "a range is said to be of a file that is a byte longer each time",
    "etag": "the ETag is another one each time",
    "weak": "the ETag is a weak one",
    "noetag": "there is no ETag",
    "nolength": "the body has no declared length, and no ETag",
    "chunked": "the body comes in chunks, and has no ETag",
    "gzip": "the body is compressed, though nobody asked for that",
    "disposition": "the file is said to be named ../../evil.gguf",
    "linkedsize": "Hugging Face says another size",
    "linkedhash": "Hugging Face says another digest",
    "loop": "a redirect to itself",
    "expired": "the signed link is no longer taken",
    "gated": "403, as for a gated repository",
    "early": "403, as CivitAI's early access",
    "ratelimit": "429, with Hugging Face's RateLimit",
    "429": "too many requests, come back in a second",
    "429date": "the same, as a date",
    "500": "an internal error",
    "503": "not available",
    "busy": "not available, come back in a second",
    "401": "who are you?",
    "403": "forbidden",
    "404": "not there",
    "410": "gone",
    "416": "no such range",
}
# They spoil a body, and so not the question for its first byte.
BODY_FAULTS = {name for name in FAULTS if name.startswith("reset")} | {"truncate", "stall", "slow", "overlong", "otherbytes", "otherrange"}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOGIN_PAGE = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>\n"
LINK_SECONDS = 3600
SETTINGS_NAME = "hub.json"
BROWSERS = ("mozilla", "chrome", "safari", "firefox", "opera", "edge")
PIECE = 1 << 20
# Hugging Face keeps such files in git itself and hands them out without a redirect.
PLAIN_SUFFIXES = (".json", ".md", ".txt", ".yaml")
INVERTED = bytes(255 - value for value in range(256))


class Hub:
    """A running hub: `url` is where it listens, `requests` what it was asked and gave.

    A request is a dict: method, port, path, target (with the query), headers (as they came), and as they become known status, range (the
    half-open one that was answered with 206), sent (bytes of the body). `rate` (bytes a second and connection), `delay` (seconds before
    each answer), `link_seconds` and `faults` can be changed at any time.
    """

    def __init__(
        self,
        root: Path,
        listen: str = "127.0.0.1",
        port: int = 0,
        storage_port: int = 0,
        token: str | None = None,
        tls: tuple[Path, Path] | None = None,
        rate: float | None = None,
    ) -> None:
        self.root = root
        self.token = token
        self.rate = rate
        self.delay = 0.0
        self.link_seconds = LINK_SECONDS
        self.faults: dict[str, str | list[str]] = {}
        self.requests: list[dict] = []
        self.open: Counter[int] = Counter()
        self.most_open: Counter[int] = Counter()
        self.secret = secrets.token_bytes(16)
        self.closing = threading.Event()
        self._used: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._tls = tls
        self._servers = [self._serve(listen, port), self._serve(listen, storage_port)]
        self.port, self.storage_port = (server.server_address[1] for server in self._servers)
        self.scheme = "https" if tls else "http"
        host = f"[{listen}]" if ":" in listen else listen
        self.url, self.storage_url = f"{self.scheme}://{host}:{self.port}", f"{self.scheme}://{host}:{self.storage_port}"

    def __enter__(self) -> Hub:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.closing.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _serve(self, listen: str, port: int) -> _Server:
        server = _Server((listen, port), functools.partial(_Handler, self))
        if self._tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._tls)
            # The handshake is the connection's own thread's business.
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        return server

    def find(self, path: str) -> Path | None:
        """The file below the root that a decoded request path names; never a folder, a hidden file or one elsewhere."""
        parts = path.split("/")
        if any(not part or part.startswith(".") or "\\" in part or "\0" in part for part in parts) or path == SETTINGS_NAME:
            return None
        found = (self.root / path).resolve()
        return found if found.is_file() and found.is_relative_to(self.root.resolve()) else None

    def fault(self, path: str, asked: str = "", probe: bool = False) -> str:
        """The fault of the next request of a path: the one that it asks for, else the one that was set for the path."""
        faults: str | list[str] = asked or self.faults.get(path, "")
        if not faults:
            with contextlib.suppress(FileNotFoundError):
                faults = json.loads((self.root / SETTINGS_NAME).read_text(encoding="utf-8"))["faults"].get(path, "")
        with self._lock:
            if isinstance(faults, list):
                self._used[path] += 1
                return faults[self._used[path] - 1] if self._used[path] <= len(faults) else ""
            name, star, times = faults.rpartition("*")
            if not star or not times.isdigit():
                return faults
            if probe and BODY_FAULTS.intersection(name.split("+")):
                return ""
            self._used[f"{path} {faults}"] += 1
            return name if self._used[f"{path} {faults}"] <= int(times) else ""

    def sent(self, *paths: str) -> int:
        """Bytes of bodies that left for these request paths (all of them without any), the storage's included."""
        return sum(request["sent"] for request in list(self.requests) if not paths or request["path"] in paths)

    def ranges(self, *paths: str) -> list[tuple[int, int]]:
        """The parts of files that left for these request paths: where each answer began, and where it had come to."""
        return [
            (first, first + request["sent"])
            for request in list(self.requests)
            if request["sent"] and request["status"] in (200, 206) and (not paths or request["path"] in paths)
            for first in [request["range"][0] if request["range"] else 0]
        ]

    def sign(self, path: str, date: str, seconds: str) -> str:
        return hmac.new(self.secret, f"{path} {date} {seconds}".encode(), "sha256").hexdigest()

    def link(self, path: str) -> str:
        """A signed link's path and query, for `link_seconds` from now on."""
        date, seconds = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ"), str(self.link_seconds)
        query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={date}&X-Amz-Expires={seconds}"
        return f"/cdn/{quote(path)}?{query}&X-Amz-Signature={self.sign(path, date, seconds)}"

    def connected(self, port: int, by: int) -> None:
        with self._lock:
            self.open[port] += by
            self.most_open[port] = max(self.most_open[port], self.open[port])


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # Dozens of connections arrive at once; one that finds no room waits a second for its second try.
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], handler: object) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def handle_error(self, *_arguments: object) -> None:
        """Say nothing: whoever asked hangs up in the middle in every other test."""


@functools.lru_cache(maxsize=256)
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    with contextlib.suppress(FileNotFoundError):
        return path.with_name(f".{path.name}.sha256").read_text(encoding="ascii").strip()
    with path.open("rb") as file:
        digest = hashlib.sha256()
        for chunk in iter(lambda: file.read(PIECE), b""):
            digest.update(chunk)
    return digest.hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, hub: Hub, *args: object) -> None:
        self.hub = hub
        super().__init__(*args)

    def handle(self) -> None:
        port = self.server.server_address[1]
        self.hub.connected(port, 1)
        try:
            super().handle()
        except (OSError, ValueError):  # a reset, a handshake that failed, a socket that this side has closed
            self.close_connection = True
        finally:
            self.hub.connected(port, -1)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = unquote(parts.path)
        port = self.server.server_address[1]
        self.record = {"method": self.command, "port": port, "path": path, "target": self.path, "headers": dict(self.headers)}
        self.record.update(status=None, range=None, sent=0)
        self.hub.requests.append(self.record)
        self.fault = self.hub.fault(path, self.query.get("fault", ""), self.headers.get("Range") == "bytes=0-0")
        # A plus is a blank in a query.
        self.faults = {self.fault} if self.fault.startswith("to:") else set(re.split("[+ ]", self.fault))
        if self.hub.delay:
            self.hub.closing.wait(self.hub.delay)
        storage = port == self.hub.storage_port
        if self.hub.closing.is_set() or "hangup" in self.faults:
            self._reset()
        elif "silent" in self.faults:
            self.hub.closing.wait()
            self._reset()
        elif storage != path.startswith("/cdn/"):
            self._refuse(404, "Not Found")
        elif storage:
            self._storage(path)
        elif path.startswith("/files/"):
            self._send_file(path.removeprefix("/files/"))
        elif match := re.fullmatch(r"/api/download/models/(\d+)", path):
            self._civitai(match[1])
        elif match := re.fullmatch(r"/api/v1/(models|model-versions)/(\d+)", path):
            self._civitai_api(match[1], match[2])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/(resolve|blob)/([^/]+)/(.+)", path):
            self._hugging_face(*match.groups())
        else:
            self._refuse(404, "Not Found")

    do_HEAD = do_GET

    def _hugging_face(self, repository: str, view: str, revision: str, name: str) -> None:
        folder = self.hub.root / repository
        hidden = ".." in repository or not folder.is_dir()
        if hidden:
            self._refuse(404 if self._token() else 401, "Repository not found", {"X-Error-Code": "RepoNotFound"})
        elif (folder / ".moved").exists():
            there = (folder / ".moved").read_text(encoding="utf-8").strip()
            self._send(307, b"", {"Location": f"/{there}/{view}/{revision}/{quote(name)}"})
        elif revision not in ("main", COMMIT):
            self._refuse(404, f"Invalid rev id: {revision}", {"X-Error-Code": "RevisionNotFound"})
        elif (file := self.hub.find(f"{repository}/{name}")) is None:
            self._refuse(404, "Entry not found", {"X-Error-Code": "EntryNotFound"})
        elif (folder / ".gated").exists() and not self._is_let_in():
            words = f"Access to model {repository} is restricted."
            self._refuse(403 if self._token() else 401, words, {"X-Error-Code": "GatedRepo", "X-Error-Message": words})
        elif view == "blob":
            self._send(200, LOGIN_PAGE, {"Content-Type": "text/html; charset=utf-8"})
        elif name.endswith(PLAIN_SUFFIXES):
            self._send_file(f"{repository}/{name}", {"X-Repo-Commit": COMMIT})
        elif not self._fail_early():
            found = file.stat()
            digest = _sha256(file, found.st_size, found.st_mtime_ns) if "linkedhash" not in self.faults else "f" * 64
            size = found.st_size + ("linkedsize" in self.faults)
            linked = {"X-Linked-Size": str(size), "X-Linked-Etag": f'"{digest}"', "X-Repo-Commit": COMMIT}
            xet = {"X-Xet-Hash": hashlib.sha256(f"xet {digest}".encode()).hexdigest()}
            self._send(302, b"", {**linked, **xet, "Location": self._storage_link(f"{repository}/{name}")})

    def _civitai(self, version: str) -> None:
        files = self._civitai_files(version)
        if wanted := self.query.get("fileId"):
            files = {number: file for number, file in files.items() if number == int(wanted)}
        if self._is_turned_away():
            return
        if self.command == "HEAD" or not self._is_let_in():
            self._refuse(401, "Unauthorized", message="The creator of this asset requires you to be logged in to download it")
        elif not files:
            self._refuse(404, "File not found")
        elif not self._fail_early():
            name = next(iter(files.values())).name
            self._send(307, b"", {"Location": self._storage_link(f"civitai/{version}/{name}"), "Cache-Control": "no-store"})

    def _civitai_api(self, view: str, version: str) -> None:
        if self._is_turned_away() or self._fail_early():
            return
        files = self._civitai_files(version)
        if not files:
            self._refuse(404, "Model not found")
            return
        answer = {"id": int(version), "modelId": int(version), "name": "v1", "model": {"name": "A", "type": "Checkpoint"}}
        answer["files"] = [
            {
                "id": number,
                "name": file.name,
                "type": "Model",
                "sizeKB": found.st_size / 1024,
                "hashes": {"SHA256": _sha256(file, found.st_size, found.st_mtime_ns).upper()},
                "primary": number == min(files),
                "downloadUrl": f"{self.hub.scheme}://{self.headers.get('Host')}/api/download/models/{version}",
            }
            for number, file in files.items()
            for found in [file.stat()]
        ]
        body = answer if view == "model-versions" else {"id": int(version), "modelVersions": [answer]}
        self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _civitai_files(self, version: str) -> dict[int, Path]:
        files = sorted((self.hub.root / "civitai" / version).glob("[!.]*"))
        return {int(version) * 100 + number: file for number, file in enumerate(files)}

    def _is_turned_away(self) -> bool:
        """CivitAI is in front of a wall that lets neither browsers nor Python's own library through."""
        agent = self.headers.get("User-Agent", "").lower()
        if "python-urllib" in agent:
            self._send(403, b"error code: 1010", {"Content-Type": "text/plain"})
            return True
        if any(browser in agent for browser in BROWSERS):
            self._send(200, LOGIN_PAGE, {"Content-Type": "text/html; charset=utf-8"})
            return True
        return False

    def _storage_link(self, path: str) -> str:
        host = self.headers.get("Host", "127.0.0.1").rpartition(":")[0] or "127.0.0.1"
        fault = f"&fault={quote(self.fault)}" if self.fault else ""
        return f"{self.hub.scheme}://{host}:{self.hub.storage_port}{self.hub.link(path)}{fault}"

    def _storage(self, path: str) -> None:
        path = path.removeprefix("/cdn/")
        date, seconds = self.query.get("X-Amz-Date", ""), self.query.get("X-Amz-Expires", "")
        if "Authorization" in self.headers:
            self._send_xml(400, "InvalidArgument", "Only one auth mechanism allowed")
        elif not hmac.compare_digest(self.hub.sign(path, date, seconds), self.query.get("X-Amz-Signature", "")):
            self._send_xml(403, "SignatureDoesNotMatch", "The request signature we calculated does not match")
        # The date has lost its part of a second.
        elif "expired" in self.faults or time.time() > _epoch(date) + int(seconds) + 1:
            self._send_xml(403, "AccessDenied", "Request has expired")
        else:
            self._send_file(path)

    def _send_xml(self, status: int, code: str, message: str) -> None:
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
        self._send(status, body.encode(), {"Content-Type": "application/xml"})

    def _send_file(self, path: str, headers: dict[str, str] | None = None) -> None:
        file = self.hub.find(path)
        if file is None:
            self._refuse(404, "Not Found")
            return
        if self._fail_early():
            return
        with file.open("rb") as opened:
            self._send_opened(path, file, opened.fileno(), headers or {})

    def _send_opened(self, path: str, file: Path, source: int, more: dict[str, str]) -> None:
        found = os.fstat(source)
        pointer = self._pointer(file) if "lfs" in self.faults else b""
        size = len(pointer) or found.st_size
        size += 7 * ("longer" in self.faults) - size // 4 * ("shorter" in self.faults)
        # As long as a sha256, and not the file's: what looks like a digest in a storage's ETag is none.
        etag = '"' + hashlib.sha256(f"{path} {found.st_size} {found.st_mtime_ns}".encode()).hexdigest() + '"'
        if "etag" in self.faults:
            etag = f'"{secrets.token_hex(32)}"'
        headers = {"Content-Type": "application/octet-stream", "ETag": etag, "Accept-Ranges": "bytes"}
        if "weak" in self.faults:
            headers["ETag"] = f"W/{etag}"
        if self.faults & {"noetag", "nolength", "chunked"}:
            del headers["ETag"]
        if self.faults & {"noaccept", "nolength", "chunked"}:
            del headers["Accept-Ranges"]
        if "disposition" in self.faults:
            headers["Content-Disposition"] = 'attachment; filename="../../evil.gguf"'
        if "gzip" in self.faults:
            self._send(200, gzip.compress(file.read_bytes()), {**headers, **more, "Content-Encoding": "gzip"})
            return
        wanted = self._range(size, etag)
        status, (first, end) = (200, (0, size)) if wanted is None else (206, wanted)
        if wanted is not None and self.faults & {"range416", "range403"}:
            self._refuse(416 if "range416" in self.faults else 403, "Ranges are not for you")
            return
        if status == 206 and first >= end:
            self._send(416, b"", {"Content-Range": f"bytes */{size}"})
            return
        if status == 206:
            if "otherrange" in self.faults:
                first, end = 0, end - first
            self.record["range"] = (first, end)
            total = size + (len(self.hub.requests) if "total" in self.faults else 0)
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{total}"
        if "nolength" in self.faults:
            self.close_connection = True
            headers["Connection"] = "close"
        elif "chunked" in self.faults:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(end - first + 1000 * ("overlong" in self.faults))
        self._begin(status, {**headers, **more})
        if self.command != "HEAD":
            self._send_body(source, first, end, size, pointer)

    def _send_body(self, source: int, first: int, end: int, size: int, pointer: bytes) -> None:
        """The bytes of a file from one offset to another, as far as the fault lets them."""
        stop = end
        if self.faults & {"truncate", "stall"} and end - first > 1:
            stop = first + (end - first) // 2
        percent = next((int(fault.removeprefix("reset")) for fault in self.faults if fault.startswith("reset")), None)
        if percent is not None:
            stop = first + (end - first) * percent // 100
        try:
            while first < stop and not self.hub.closing.is_set():
                piece = min(stop - first, PIECE)
                if "slow" in self.faults:
                    piece = 1
                elif self.hub.rate:
                    piece = min(piece, max(1, int(self.hub.rate / 50)))
                first += self._send_piece(source, first, first + piece, size, pointer)
                if "slow" in self.faults:
                    self.hub.closing.wait(1)
                elif self.hub.rate:
                    time.sleep(piece / self.hub.rate)
            if "stall" in self.faults and stop < end:
                self.hub.closing.wait()
            if percent is not None:
                self._reset()
            elif stop < end or self.faults & {"stall", "overlong"}:
                self.close_connection = True
            elif "chunked" in self.faults:
                self.wfile.write(b"0\r\n\r\n")
        except OSError:  # whoever asked has heard enough
            self.close_connection = True

    def _send_piece(self, source: int, first: int, end: int, size: int, pointer: bytes) -> int:
        spoilt = "otherbytes" in self.faults and self.record["range"] and self.record["range"][0] > 0
        plain = not (pointer or spoilt or self.faults & {"badhash", "longer", "chunked"} or isinstance(self.connection, ssl.SSLSocket))
        if plain:
            count = os.sendfile(self.connection.fileno(), source, first, end - first)
            if not count:
                raise OSError("the file has become shorter")
        else:
            body = pointer[first:end] if pointer else os.pread(source, end - first, first).ljust(end - first, b"\0")
            if spoilt:
                body = body.translate(INVERTED)
            if "badhash" in self.faults and end == size:
                body = body[:-1] + bytes([body[-1] ^ 1])
            count = len(body)
            self.wfile.write(body if "chunked" not in self.faults else b"%x\r\n%s\r\n" % (count, body))
        self.record["sent"] += count
        return count

    def _range(self, size: int, etag: str) -> tuple[int, int] | None:
        """The half-open range that is asked for; None for the whole file, an empty one when there is no such range."""
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        ignored = self.faults & {"norange", "noaccept", "nolength", "chunked"}
        if match is None or match[0] == "bytes=-" or ignored or self.headers.get("If-Range", etag) != etag:
            return None
        if not match[1]:
            return max(0, size - int(match[2])), size
        return int(match[1]), min(size, int(match[2]) + 1) if match[2] else size

    def _fail_early(self) -> bool:
        """Answer with a fault that has no file in it."""
        now = time.time()
        if "html" in self.faults:
            self._send(200, LOGIN_PAGE, {"Content-Type": "text/html; charset=utf-8"})
        elif "json" in self.faults:
            self._send(200, b'{"error": "try later"}', {"Content-Type": "application/json"})
        elif "loop" in self.faults:
            self._send(302, b"", {"Location": self.path})
        elif self.fault.startswith("to:"):
            self._send(302, b"", {"Location": self.fault.removeprefix("to:")})
        elif "gated" in self.faults:
            words = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this model is restricted."}
            self._refuse(403, "Access to this model is restricted.", words)
        elif "early" in self.faults:
            deadline = datetime.fromtimestamp(now + 86400, timezone.utc).isoformat()
            body = {"error": "Early Access", "deadline": deadline, "message": "This asset is in Early Access."}
            self._send(403, json.dumps(body).encode(), {"Content-Type": "application/json"})
        elif self.faults & {"429", "busy"}:
            words = "Too Many Requests" if "429" in self.faults else "Service Unavailable"
            self._refuse(429 if "429" in self.faults else 503, words, {"Retry-After": "1"})
        elif "429date" in self.faults:
            self._refuse(429, "Too Many Requests", {"Retry-After": formatdate(now + 1, usegmt=True)})
        elif "ratelimit" in self.faults:
            policy = {"RateLimit": '"resolvers";r=0;t=1', "RateLimit-Policy": '"fixed window";"resolvers";q=3000;w=300'}
            self._refuse(429, "Too Many Requests", policy)
        elif status := next((fault for fault in self.faults if fault.isdigit()), None):
            self._refuse(int(status), "Asked for by the test")
        else:
            return False
        return True

    def _pointer(self, file: Path) -> bytes:
        found = file.stat()
        digest = _sha256(file, found.st_size, found.st_mtime_ns)
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {found.st_size}\n".encode()

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _is_let_in(self) -> bool:
        return bool(self._token()) and self.hub.token in (None, self._token())

    def _refuse(self, status: int, error: str, headers: dict[str, str] | None = None, message: str | None = None) -> None:
        body = {"error": error, **({"message": message} if message else {})}
        self._send(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._begin(status, {**headers, "Content-Length": str(len(body))})
        if self.command == "HEAD":
            return
        try:
            self.wfile.write(body)
            self.record["sent"] += len(body)
        except OSError:  # whoever asked has heard enough
            self.close_connection = True

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.record["status"] = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _reset(self) -> None:
        """Break the connection off, once what was sent has arrived."""
        self.close_connection = True
        given_up = time.monotonic() + 5
        with contextlib.suppress(OSError):
            while time.monotonic() < given_up and struct.unpack("i", fcntl.ioctl(self.connection, termios.TIOCOUTQ, bytes(4)))[0]:
                time.sleep(0.001)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # A close, not a shutdown: the latter would say good-bye.
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a request line may carry a signature."""


def _epoch(date: str) -> float:
    return datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a folder the way the model hubs do.")
    parser.add_argument("--listen", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--storage-port", type=int, default=0, help="port of the signed storage (default: a free one)")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--token", help="the one token that opens gated files (default: any)")
    parser.add_argument("--tls", nargs=2, type=Path, metavar=("CERTIFICATE", "KEY"), help="serve https (default: http)")
    parser.add_argument("--rate", type=float, help="bytes a second and connection (default: as fast as it goes)")
    options = parser.parse_args()
    with Hub(options.root, options.listen, options.port, options.storage_port, options.token, options.tls, options.rate) as hub:
        print(f"hub on {hub.url}, storage on {hub.storage_url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
