# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Any other server, signed links included: what the headers of a file say. An ETag is no digest, however much it looks like one.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import base64
import email.message
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import ContentError, check_type
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._base import (
    Answer,
    AskedModel,
    Key,
    SourceError,
    Suggestion,
    safe_file_name,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._offer import Offer, Stream, Transport
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import printable_url
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import Client, Found, Link
from ansible_collections.emprops.comfyui.plugins.module_utils._questions import Questions, as_digest

# Each is a digest of the whole file, also in the answer to a range.
_DIGESTS = {
    "Repr-Digest": re.compile(r"(?:.*,)?\s*sha-256=:(?P<base64>[A-Za-z0-9+/]{43}=):.*"),
    "Digest": re.compile(r"(?:.*,)?\s*sha-256=(?P<base64>[A-Za-z0-9+/]{43}=)(?:,.*)?", re.IGNORECASE),
    "X-Checksum-Sha256": re.compile(r"(?P<hex>[0-9a-fA-F]{64})"),
}


class Plain:
    name = "https"

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    def key(self, model: AskedModel) -> Key | None:
        return (self.name, model.url) if model.url else None

    def ask(self, key: Key, models: Sequence[AskedModel]) -> Sequence[Answer | SourceError]:
        url = key[1]
        try:
            found = self._questions.look(url, models[0].name)
        except ContentError as error:
            raise SourceError(str(error)) from error
        file_name = found.file_name or unquote(urlsplit(url).path.rpartition("/")[2])
        digest = found.sha256 or published_digest(found.headers)
        return [Answer(url, safe_file_name(file_name), digest, found.size, found.size)] * len(models)

    def propose(self, name: str) -> Sequence[Suggestion]:
        return ()


class PlainDownload:
    """A file at an address. A hub is this, with what it knows better."""

    source = "https"

    def __init__(self, client: Client, url: str, token: str | None) -> None:
        self.printable = printable_url(url)
        self._client = client
        self._url = url
        self._token = token
        self._link: Link | None = None

    @property
    def transport(self) -> Transport:
        return "ranges"

    def look(self, name: str) -> Offer:
        found = self._ask()
        check_type(name, found.content_type)
        return self._offer(found, found.sha256 or published_digest(found.headers))

    def link(self) -> Link:
        # The one that came with the answer to look() is good for one go.
        link, self._link = self._link, None
        return link or self._client.link(self._url, self._token)[0]

    def stream(self, start: int) -> Stream:
        raise NotImplementedError

    def fetch(self, path: Path, progress: Callable[[int], None]) -> None:
        raise NotImplementedError

    def _ask(self) -> Found:
        self._link, found = self._client.link(self._url, self._token)
        return found

    def _offer(self, found: Found, sha256: str | None) -> Offer:
        return Offer(found.size, sha256, found.etag, printable_url(self._url), found.ranges)


def published_digest(headers: email.message.Message) -> str | None:
    for name, pattern in _DIGESTS.items():
        if match := pattern.fullmatch(headers.get(name, "")):
            groups = match.groupdict()
            return base64.b64decode(groups["base64"]).hex() if "base64" in groups else as_digest(groups["hex"])
    return None
