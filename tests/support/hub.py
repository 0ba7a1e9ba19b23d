# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A stand-in for the places that models come from: one folder, served as plain files, as Hugging Face and as CivitAI.

    /files/<path>                              the file, with ranges and an ETag
    /<org>/<repo>/resolve/<revision>/<path>    Hugging Face: <root>/<org>/<repo>/<path>; redirects to signed storage
    /<org>/<repo>/blob/<revision>/<path>       its page about the file
    /api/download/models/<id>                  CivitAI: the one file in <root>/civitai/<id>/; redirects to signed storage
    /cdn/<path>?exp=&sig=                      the signed storage, on a port of its own; refuses an Authorization header

A repository with a file `.gated` in it wants a token. The token (any, unless one is set) opens everything.
A fault is asked for with `?fault=NAME`, or for whoever asks for a path in `<root>/hub.json`:
    {"faults": {"/files/a.gguf": "truncate", "/files/b.gguf": ["500", "429"]}}
where a list is used up, one fault per request. FAULTS says what there is.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

FAULTS = {
    "html": "a login page with status 200",
    "json": "a JSON error with status 200",
    "lfs": "a Git LFS pointer instead of the file",
    "badhash": "the last byte is another one",
    "truncate": "the body ends half-way",
    "stall": "the body stops half-way and the connection stays open",
    "norange": "a range is ignored",
    "otherrange": "a range is answered from the beginning of the file, as a 206",
    "etag": "the ETag is another one each time",
    "nolength": "the body has no declared length, and no ETag",
    "loop": "a redirect to itself",
    "429": "too many requests, come back in a second",
    "500": "an internal error",
    "503": "not available",
    "404": "not there",
    "410": "gone",
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOGIN_PAGE = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>\n"
LINK_SECONDS = 3600
SETTINGS_NAME = "hub.json"
BROWSERS = ("mozilla", "chrome", "safari", "firefox", "opera", "edge")


class Hub:
    """A running hub: `url` is where it listens, `requests` what it was asked."""

    def __init__(self, root: Path, listen: str = "127.0.0.1", port: int = 0, storage_port: int = 0, token: str | None = None) -> None:
        self.root = root
        self.token = token
        self.requests: list[dict] = []
        self.secret = secrets.token_bytes(16)
        self.closing = threading.Event()
        self._used: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._servers = [self._serve(listen, port), self._serve(listen, storage_port)]
        self.url, self.storage_url = (f"http://{listen}:{server.server_address[1]}" for server in self._servers)
        self.storage_port = self._servers[1].server_address[1]

    def __enter__(self) -> Hub:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.closing.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _serve(self, listen: str, port: int) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer((listen, port), functools.partial(_Handler, self))
        server.daemon_threads = True
        server.block_on_close = False
        return server

    def find(self, path: str) -> Path | None:
        """The file below the root that a decoded request path names; never a folder, a hidden file or one elsewhere."""
        parts = path.split("/")
        if any(not part or part.startswith(".") or "\\" in part or "\0" in part for part in parts) or path == SETTINGS_NAME:
            return None
        found = (self.root / path).resolve()
        return found if found.is_file() and found.is_relative_to(self.root.resolve()) else None

    def fault(self, path: str) -> str:
        """The fault that hub.json has for the next request of a path."""
        try:
            faults = json.loads((self.root / SETTINGS_NAME).read_text(encoding="utf-8"))["faults"].get(path, "")
        except FileNotFoundError:
            return ""
        if isinstance(faults, str):
            return faults
        with self._lock:
            self._used[path] += 1
            return faults[self._used[path] - 1] if self._used[path] <= len(faults) else ""

    def sign(self, path: str, expires: int) -> str:
        return hmac.new(self.secret, f"{path} {expires}".encode(), "sha256").hexdigest()[:32]


@functools.lru_cache(maxsize=256)
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: Hub, *args: object) -> None:
        self.hub = hub
        super().__init__(*args)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = unquote(parts.path)
        self.hub.requests.append(
            {"method": self.command, "port": self.server.server_address[1], "path": path, "headers": dict(self.headers)}
        )
        self.fault = self.query.get("fault") or self.hub.fault(path)
        storage = self.server.server_address[1] == self.hub.storage_port
        if storage != path.startswith("/cdn/"):
            self._refuse(404, "Not Found")
        elif storage:
            self._storage(path)
        elif path.startswith("/files/"):
            self._send_file(path.removeprefix("/files/"))
        elif match := re.fullmatch(r"/api/download/models/(\d+)", path):
            self._civitai(match[1])
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
        elif revision not in ("main", COMMIT):
            self._refuse(404, f"Invalid rev id: {revision}", {"X-Error-Code": "RevisionNotFound"})
        elif (file := self.hub.find(f"{repository}/{name}")) is None:
            self._refuse(404, "Entry not found", {"X-Error-Code": "EntryNotFound"})
        elif (folder / ".gated").exists() and not self._is_let_in():
            words = f"Access to model {repository} is restricted."
            self._refuse(403 if self._token() else 401, words, {"X-Error-Code": "GatedRepo", "X-Error-Message": words})
        elif view == "blob":
            self._send(200, LOGIN_PAGE, {"Content-Type": "text/html; charset=utf-8"})
        elif not self._fail_early():
            found = file.stat()
            digest = _sha256(file, found.st_size, found.st_mtime_ns)
            linked = {"X-Linked-Size": str(found.st_size), "X-Linked-Etag": f'"{digest}"', "X-Repo-Commit": COMMIT}
            self._send(302, b"", {**linked, "Location": self._storage_link(f"{repository}/{name}")})

    def _civitai(self, version: str) -> None:
        agent = self.headers.get("User-Agent", "").lower()
        if "python-urllib" in agent:
            self._send(403, b"error code: 1010", {"Content-Type": "text/plain"})
        elif any(browser in agent for browser in BROWSERS):
            self._send(200, LOGIN_PAGE, {"Content-Type": "text/html; charset=utf-8"})
        elif self.command == "HEAD" or not self._is_let_in():
            self._refuse(401, "Unauthorized", message="The creator of this asset requires you to be logged in to download it")
        elif not (files := sorted((self.hub.root / "civitai" / version).glob("[!.]*"))):
            self._refuse(404, "File not found")
        elif not self._fail_early():
            self._send(307, b"", {"Location": self._storage_link(f"civitai/{version}/{files[0].name}"), "Cache-Control": "no-store"})

    def _storage_link(self, path: str) -> str:
        host = self.headers.get("Host", "127.0.0.1").rpartition(":")[0] or "127.0.0.1"
        expires = int(time.time()) + LINK_SECONDS
        fault = f"&fault={quote(self.fault)}" if self.fault else ""
        return f"http://{host}:{self.hub.storage_port}/cdn/{quote(path)}?exp={expires}&sig={self.hub.sign(path, expires)}{fault}"

    def _storage(self, path: str) -> None:
        path = path.removeprefix("/cdn/")
        expires = self.query.get("exp", "0")
        if "Authorization" in self.headers:
            self._send(400, b"<Error><Code>InvalidArgument</Code></Error>", {"Content-Type": "application/xml"})
        elif not expires.isdigit() or int(expires) < time.time():
            self._send(403, b"<Error><Code>AccessDenied</Code></Error>", {"Content-Type": "application/xml"})
        elif not hmac.compare_digest(self.hub.sign(path, int(expires)), self.query.get("sig", "")):
            self._send(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", {"Content-Type": "application/xml"})
        else:
            self._send_file(path)

    def _send_file(self, path: str) -> None:
        file = self.hub.find(path)
        if file is None:
            self._refuse(404, "Not Found")
            return
        if self._fail_early():
            return
        content = file.read_bytes() if self.fault != "lfs" else self._pointer(file)
        if self.fault == "badhash":
            content = content[:-1] + bytes([content[-1] ^ 1])
        found = file.stat()
        # As long as a sha256, and not the file's: what looks like a digest in a storage's ETag is none.
        etag = '"' + hashlib.sha256(f"{path} {found.st_size} {found.st_mtime_ns}".encode()).hexdigest() + '"'
        if self.fault == "etag":
            etag = f'"{secrets.token_hex(32)}"'
        headers = {"Content-Type": "application/octet-stream", "ETag": etag, "Accept-Ranges": "bytes"}
        if self.fault == "nolength":
            self.close_connection = True
            self._begin(200, {"Content-Type": "application/octet-stream", "Connection": "close"})
            self._write(content)
            return
        wanted = self._range(len(content), etag)
        if wanted is None:
            self._send(200, content, headers)
        elif wanted[0] >= wanted[1]:
            self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        else:
            first, end = wanted if self.fault != "otherrange" else (0, wanted[1] - wanted[0])
            self._send(206, content[first:end], {**headers, "Content-Range": f"bytes {first}-{end - 1}/{len(content)}"})

    def _range(self, size: int, etag: str) -> tuple[int, int] | None:
        """The half-open range that is asked for; None for the whole file, an empty one when there is no such range."""
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if match is None or match[0] == "bytes=-" or self.fault == "norange" or self.headers.get("If-Range", etag) != etag:
            return None
        if not match[1]:
            return max(0, size - int(match[2])), size
        return int(match[1]), min(size, int(match[2]) + 1) if match[2] else size

    def _fail_early(self) -> bool:
        """Answer with a fault that has no file in it."""
        if self.fault == "html":
            self._send(200, LOGIN_PAGE, {"Content-Type": "text/html; charset=utf-8"})
        elif self.fault == "json":
            self._send(200, b'{"error": "try later"}', {"Content-Type": "application/json"})
        elif self.fault == "loop":
            self._send(302, b"", {"Location": self.path})
        elif self.fault == "429":
            self._refuse(429, "Too Many Requests", {"Retry-After": "1"})
        elif self.fault.isdigit():
            self._refuse(int(self.fault), "Asked for by the test")
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
        if status in (200, 206) and self.fault in ("truncate", "stall") and len(body) > 1:
            self.close_connection = True
            self._write(body[: len(body) // 2])
            if self.fault == "stall":
                self.hub.closing.wait()
        else:
            self._write(body)

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _write(self, body: bytes) -> None:
        if self.command == "HEAD":
            return
        try:
            self.wfile.write(body)
            self.wfile.flush()
        except ConnectionError:  # whoever asked has heard enough
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a request line may carry a signature."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a folder the way the model hubs do.")
    parser.add_argument("--listen", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--storage-port", type=int, default=0, help="port of the signed storage (default: a free one)")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--token", help="the one token that opens gated files (default: any)")
    options = parser.parse_args()
    with Hub(options.root, options.listen, options.port, options.storage_port, options.token) as hub:
        print(f"hub on {hub.url}, storage on {hub.storage_url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
