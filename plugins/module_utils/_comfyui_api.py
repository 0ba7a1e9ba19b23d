# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""One ComfyUI instance over HTTP, and what its log says about loading the custom nodes.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

ANSWER_LIMIT = 64 * 1024 * 1024
TRACEBACK_LIMIT = 20_000


class ComfyUIError(Exception):
    """The instance did not answer, or not as ComfyUI does."""

    def __init__(self, url: str, what: str) -> None:
        super().__init__(f"{url}: {what}")
        self.url = url
        self.what = what


class PromptRejectedError(ComfyUIError):
    """The instance refused a workflow before running it."""

    def __init__(self, url: str, what: str, node_errors: Mapping[str, Any]) -> None:
        super().__init__(url, what)
        self.node_errors = node_errors


@dataclass(frozen=True)
class Queue:
    """Ids of the prompts that run and of those that wait."""

    running: tuple[str, ...]
    pending: tuple[str, ...]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        return None


class ComfyUI:
    """A client for one instance. ``timeout`` holds for each request as a whole."""

    def __init__(self, url: str, timeout: float = 5) -> None:
        self.url = url.rstrip("/")
        self.host, self.port = parse_url(url)
        self.timeout = timeout
        # A proxy cannot reach this machine's own loopback.
        proxies = urllib.request.ProxyHandler({} if is_loopback(self.host) else None)
        self._opener = urllib.request.build_opener(proxies, _NoRedirects)

    def system_stats(self) -> dict[str, Any]:
        stats = self._json("/system_stats")
        if not isinstance(stats.get("system"), dict) or not isinstance(stats.get("devices"), list):
            raise ComfyUIError(f"{self.url}/system_stats", "the answer is not ComfyUI's")
        return stats

    def object_info(self) -> dict[str, Any]:
        return self._json("/object_info")

    def queue(self) -> Queue:
        answer = self._json("/queue")
        try:
            return Queue(*(tuple(str(entry[1]) for entry in answer[key]) for key in ("queue_running", "queue_pending")))
        except (KeyError, IndexError, TypeError) as error:
            raise ComfyUIError(f"{self.url}/queue", "the answer is not ComfyUI's") from error

    def history(self, prompt_id: str) -> dict[str, Any] | None:
        """What became of a prompt; None while it has not ended, and when the instance does not know it."""
        entry = self._json(f"/history/{urllib.parse.quote(prompt_id, safe='')}").get(prompt_id)
        return entry if isinstance(entry, dict) else None

    def submit(self, workflow: Mapping[str, Any], client_id: str | None = None) -> dict[str, Any]:
        """Queue a workflow; the answer has prompt_id, number and node_errors (of the outputs that will not run)."""
        body: dict[str, Any] = {"prompt": workflow}
        if client_id is not None:
            body["client_id"] = client_id
        url = f"{self.url}/prompt"
        status, content = self._request("/prompt", json.dumps(body).encode())
        answer = _parse_json(url, content, status)
        if status != 200:
            node_errors = answer.get("node_errors")
            raise PromptRejectedError(url, _rejection(status, answer), node_errors if isinstance(node_errors, dict) else {})
        if not isinstance(answer.get("prompt_id"), str):
            raise ComfyUIError(url, "the answer has no prompt_id")
        return answer

    def view(self, filename: str, subfolder: str = "", kind: str = "output") -> bytes:
        """The bytes of a file that a workflow wrote."""
        path = "/view?" + urllib.parse.urlencode({"filename": filename, "subfolder": subfolder, "type": kind})
        status, content = self._request(path)
        if status != 200:
            raise ComfyUIError(self.url + path, f"HTTP status {status}")
        return content

    def _json(self, path: str) -> dict[str, Any]:
        status, content = self._request(path)
        if status != 200:
            raise ComfyUIError(self.url + path, f"HTTP status {status}")
        return _parse_json(self.url + path, content, status)

    def _request(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        url = self.url + path
        headers = {"Accept": "application/json"} if body is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310  (parse_url let http and https through)
        deadline = time.monotonic() + self.timeout
        try:
            try:
                response = self._opener.open(request, timeout=self.timeout)
            except urllib.error.HTTPError as error:  # an answer as well: ComfyUI explains a refusal in it
                response = error
            with response:
                return response.status, self._read(url, response, deadline)
        except urllib.error.URLError as error:
            raise ComfyUIError(url, _words(error.reason, self.timeout)) from error
        except (OSError, http.client.HTTPException) as error:
            raise ComfyUIError(url, _words(error, self.timeout)) from error

    def _read(self, url: str, response: Any, deadline: float) -> bytes:
        """All of it, unless that is too much or comes too slowly."""
        content = bytearray()
        while chunk := response.read1(256 * 1024):
            content += chunk
            if len(content) > ANSWER_LIMIT:
                raise ComfyUIError(url, f"the answer is larger than {ANSWER_LIMIT // 1024**2} MiB")
            if time.monotonic() > deadline:
                raise ComfyUIError(url, f"the answer was not complete within {self.timeout:g} seconds")
        if response.length:
            raise ComfyUIError(url, "the answer ended early")
        return bytes(content)


def parse_url(url: str) -> tuple[str, int]:
    """Host and port of an instance's base URL. Raises ComfyUIError for what is not one."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ComfyUIError(url, f"this is not a URL ({error})") from error
    if parts.username is not None or parts.password is not None:
        raise ComfyUIError(f"{parts.scheme}://…@{host}", "a URL must not carry a user name or password")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or re.search(r"[\x00-\x20]", url):
        raise ComfyUIError(url, "this is not the address of an instance, such as http://127.0.0.1:8188")
    return host, port or (443 if parts.scheme == "https" else 80)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parse_json(url: str, content: bytes, status: int) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ComfyUIError(url, f"the answer is not JSON (HTTP status {status})") from error
    if not isinstance(answer, dict):
        raise ComfyUIError(url, f"the answer is not a JSON object (HTTP status {status})")
    return answer


def _rejection(status: int, answer: dict[str, Any]) -> str:
    """ComfyUI's error is an object, and for an empty request a string."""
    error = answer.get("error")
    if isinstance(error, dict):
        parts = [str(error[key]) for key in ("message", "details") if error.get(key)]
        return "the workflow was refused: " + (": ".join(parts) or str(error.get("type")))[:2000]
    return f"the workflow was refused: {str(error)[:2000] if error else f'HTTP status {status}'}"


def _words(error: object, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} seconds"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"the answer is not HTTP ({type(error).__name__})" if isinstance(error, http.client.HTTPException) else str(error)


@dataclass(frozen=True)
class ImportFailure:
    """A pack of custom nodes that the instance started without."""

    pack: str
    path: str
    error: str
    traceback: str = ""

    @property
    def missing_module(self) -> str | None:
        """The module, or the shared library, that was not there; None where the failure was another one."""
        raised = [line for line in self.traceback.splitlines() if _IMPORT_ERROR.match(line)]
        # A pack may put words of its own in the place of what it met.
        return next((missing for line in (self.error, *reversed(raised)) if (missing := _missing_in(line))), None)


@dataclass(frozen=True)
class Imports:
    """What the last start that a log tells of said about the packs of custom nodes."""

    failures: tuple[ImportFailure, ...] = ()
    # What each pack added to the start, its prestartup script and its import together, by its path.
    seconds: Mapping[str, float] = field(default_factory=dict)


_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_CANNOT_IMPORT = re.compile(r"Cannot import (?P<path>/.+?) module for custom nodes: ?(?P<error>.*)")
_SKIPPED = re.compile(r"Skip (?P<path>/.+?) module for custom nodes (?P<error>due to .+)")
_PRESTARTUP = re.compile(r"Failed to execute startup-script: (?P<path>/.+?)/(?P<error>prestartup_script\.py / .*)")
_HEADING = re.compile(r"(?P<stage>Import|Prestartup) times for custom nodes:")
_VERDICT = re.compile(r"\s*(?P<seconds>[0-9]+\.[0-9]+) seconds(?: \((?P<failed>IMPORT|PRESTARTUP) FAILED\))?: ?(?P<path>/.+)")
_STARTED = re.compile(r"Starting server|To see the GUI go to:")
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")
# ComfyUI's own optional nodes fail in the same words, and a start without them is a normal one.
_BUILT_IN = ("comfy_extras", "comfy_api_nodes")
_IMPORT_ERROR = re.compile(r"(ModuleNotFoundError|ImportError|OSError): ")
_NO_MODULE = re.compile(r"No module named '([^']+)'")
_NO_LIBRARY = re.compile(r"(\S+): cannot open shared object file")
# Where two modules import each other the name is there, only not yet, and the words differ.
_NO_NAME = re.compile(r"cannot import name '([^']+)' from '([^']+)'")


def _missing_in(error: str) -> str | None:
    if match := _NO_MODULE.search(error) or _NO_LIBRARY.search(error):
        return match[1]
    match = _NO_NAME.search(error)
    return f"{match[2]}.{match[1]}" if match else None


@dataclass
class _Stage:
    """What happened to the packs in one of the two stages of a start, by path."""

    failures: dict[str, ImportFailure] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class _Start:
    """What the log of one start has said so far."""

    imports: _Stage = field(default_factory=_Stage)
    prestartups: _Stage = field(default_factory=_Stage)
    finished: bool = False
    prestartups_again: bool = False

    def importing(self) -> _Start:
        """The start that a line about imports belongs to: a new one once this one was finished."""
        return _Start(prestartups=self.prestartups if self.prestartups_again else _Stage()) if self.finished else self

    def prestarting(self) -> _Stage:
        """Lines about prestartup scripts are printed, not logged, and may come late: they never begin a new start."""
        if self.finished and not self.prestartups_again:
            self.prestartups, self.prestartups_again = _Stage(), True
        return self.prestartups


def tells_of_imports(log_text: str) -> bool:
    """Whether the log reaches the point where imports are over; without it, no failure proves nothing."""
    return any(line.startswith("Import times for custom nodes:") or _STARTED.match(line) for line in log_text.splitlines())


def parse_imports(log_text: str) -> Imports:
    """What the last start that the log tells of did with the packs; the failures by name.

    A process that restarts itself logs several starts under one systemd invocation, and a log file all of them.
    """
    start = _Start()
    stage = ""
    trace: list[str] = []
    for line in _ANSI.sub("", log_text).splitlines():
        if line.startswith("Traceback (most recent call last):"):
            # An exception raised while another one was handled belongs to the same story.
            if not any(told.startswith(_CHAINED) for told in trace[-2:]):
                trace = []
            trace.append(line)
        elif match := _CANNOT_IMPORT.match(line) or _SKIPPED.match(line):
            start = start.importing()
            told = "\n".join(trace).strip()
            _note(start.imports.failures, match["path"], match["error"], told if match["path"] in told else "")
            trace = []
        elif match := _HEADING.match(line):
            stage = match["stage"].upper()
            if stage == "IMPORT":
                start = start.importing()
                trace = []
        elif match := _PRESTARTUP.match(line):
            _note(start.prestarting().failures, match["path"], match["error"])
        elif (match := _VERDICT.match(line)) and (match["failed"] or stage):
            told_of = start.imports if (match["failed"] or stage) == "IMPORT" else start.prestarting()
            told_of.seconds[match["path"]] = float(match["seconds"])
            if match["failed"] and match["path"] not in told_of.failures:
                _note(told_of.failures, match["path"], f"{match['failed'].lower()} failed, the log does not say why")
        elif _STARTED.match(line):
            start.finished = True
            stage = ""
            trace = []
        elif trace:
            trace.append(line)
    # A pack that fails twice is told once, by the later failure, which has the traceback.
    failures = {**start.prestartups.failures, **start.imports.failures}.values()
    seconds = dict(start.imports.seconds)
    for path, more in start.prestartups.seconds.items():
        seconds[path] = round(seconds.get(path, 0) + more, 1)
    return Imports(tuple(sorted(failures, key=lambda failure: failure.pack)), seconds)


def _note(failures: dict[str, ImportFailure], path: str, error: str, traceback: str = "") -> None:
    place = PurePosixPath(path)
    if place.parent.name not in _BUILT_IN:
        pack = place.name.removesuffix(".py")
        failures[path] = ImportFailure(pack, path, error[:2000], traceback[-TRACEBACK_LIMIT:])
