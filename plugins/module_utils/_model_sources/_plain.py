# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Any other server: what the headers of a file say. An ETag is no digest, however much it looks like one.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import base64
import email.message
import re
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import ContentError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._base import (
    Answer,
    AskedModel,
    Key,
    SourceError,
    Suggestion,
    safe_file_name,
)
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
            offer, headers = self._questions.look(url, models[0].name)
        except ContentError as error:
            raise SourceError(str(error)) from error
        file_name = headers.get_filename() or unquote(urlsplit(url).path.rpartition("/")[2])
        digest = offer.sha256 or _digest(headers)
        return [Answer(url, safe_file_name(file_name), digest, offer.size, offer.size)] * len(models)

    def propose(self, name: str) -> Sequence[Suggestion]:
        return ()


def _digest(headers: email.message.Message) -> str | None:
    for name, pattern in _DIGESTS.items():
        if match := pattern.fullmatch(headers.get(name, "")):
            groups = match.groupdict()
            return base64.b64decode(groups["base64"]).hex() if "base64" in groups else as_digest(groups["hex"])
    return None
