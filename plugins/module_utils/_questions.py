# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Questions to servers on the network, and what may be believed of their answers.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import concurrent.futures
import json
import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._comfyui_api import is_loopback
from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import check_type
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import (
    DownloadError,
    PassingError,
    origin_of,
    parse_url,
    printable_url,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import MAX_REDIRECTS, Client, Found, Reply, next_address

ANSWER_LIMIT = 8 * 1024 * 1024
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
LONGEST_TEXT = 500

T = TypeVar("T")


class Questions(Client):
    """Asks with the patience and the tokens of downloads; each try is bounded as a whole, and each answer in size.

    Nothing but `allowed_hosts` is contacted, and the answer to a question comes from the host that was asked.
    """

    @classmethod
    def like(cls, client: Client) -> Questions:
        """Questions with the tokens, the patience and the allowed hosts of another client."""
        return cls(client._tokens, client.timeout, client.allowed_hosts, client._pause)

    def ask(self, url: str, content: bytes | None = None, kind: str = JSON) -> Any:
        """The JSON that a server answers to GET or, with content, to POST. Raises DownloadError."""
        self.check_host(url)
        return self.patiently(lambda: self._within(url, lambda: self._ask_json(url, content, kind)))

    def look(self, url: str, name: str) -> Found:
        """What a server says about a file. Raises DownloadError and ContentError."""
        self.check_host(url)
        _link, found = self.patiently(lambda: self._within(url, lambda: self._link(url, self.token_for(url))))
        check_type(name, found.content_type)
        return found

    def _within(self, url: str, action: Callable[[], T]) -> T:
        """Leave behind what takes too long: a byte now and then, or a resolver that hangs, outlasts every socket's timeout."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def work() -> None:
            try:
                future.set_result(action())
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        try:
            return future.result(self.timeout)
        except concurrent.futures.TimeoutError:
            raise PassingError(f"{urlsplit(url).hostname} did not answer within {self.timeout:g} seconds") from None

    def _ask_json(self, url: str, content: bytes | None, kind: str) -> Any:
        headers = {"Accept": JSON, **({} if content is None else {"Content-Type": kind})}
        token = self.token_for(url)
        here = url
        for _hop in range(MAX_REDIRECTS + 1):
            with self._get(here, headers, token, content) as reply:
                if reply.status == 200:
                    return self._read(reply)
                there = next_address(reply, here, token)
            if origin_of(there) != origin_of(url):
                raise DownloadError(f"{urlsplit(url).hostname} redirects a question to {urlsplit(there).hostname}, which is refused")
            here = there
        raise DownloadError(f"{urlsplit(url).hostname} redirects more than {MAX_REDIRECTS} times")

    def _read(self, reply: Reply) -> Any:
        host = urlsplit(reply.url).hostname
        content = reply.read(ANSWER_LIMIT + 1)
        if len(content) > ANSWER_LIMIT:
            raise DownloadError(f"the answer of {host} is larger than {ANSWER_LIMIT // 1024**2} MiB")
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DownloadError(f"the answer of {host} is not JSON") from error

    def token_for(self, url: str) -> str | None:
        """As for downloads, but unencrypted to this machine alone."""
        parts = urlsplit(url)
        return super().token_for(url) if parts.scheme == "https" or is_loopback(parts.hostname or "") else None

    def _check_redirect(self, here: str, there: str) -> None:
        """Strangers' addresses are asked here too, so that they must not lead elsewhere."""
        if origin_of(here) != origin_of(there):
            self.check_host(there)


def base_url(url: str) -> str:
    """The address that questions are appended to. Raises DownloadError for what cannot be one."""
    try:
        parts = urlsplit(parse_url(url))
    except DownloadError as error:
        raise DownloadError(f"{printable_url(url)} cannot be asked: {error}") from error
    if parts.query:
        raise DownloadError(f"{printable_url(url)} cannot be asked: it has a query")
    return parts.geturl().rstrip("/")


def base_origin(url: str) -> str:
    """The same as an entry of allowed_hosts."""
    parts = urlsplit(base_url(url))
    return f"{parts.scheme}://{parts.netloc}"


def as_object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_objects(value: object) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def as_text(value: object) -> str | None:
    """One line of reasonable length, without what moves a cursor."""
    if not isinstance(value, str):
        return None
    return "".join(character if character.isprintable() else " " for character in value[:LONGEST_TEXT]).strip() or None


def as_count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def as_digest(value: object) -> str | None:
    return value.lower() if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{64}", value) else None
