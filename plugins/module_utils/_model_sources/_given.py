# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A link that the controller signed, where the machine is not to have the token that it was signed with.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._offer import Offer, Stream, Transport
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import LinkExpiredError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import Link


class Given:
    """`{url, size, sha256, etag, expires, source}` of one model."""

    transport: Transport = "ranges"

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self._used = False
        self.source = "signed"
        self.printable = str(given["source"])

    def look(self, name: str) -> Offer:
        given = self._given
        return Offer(given.get("size"), given.get("sha256"), given.get("etag") or "", self.printable)

    def link(self) -> Link:
        """The one there is; a second one only the controller can make."""
        if self._used:
            raise LinkExpiredError("the link that the controller signed is not taken any more")
        self._used = True
        return Link(self._given["url"], expires=self._given.get("expires"))

    def stream(self, start: int) -> Stream:
        raise NotImplementedError

    def fetch(self, path: Path, progress: Callable[[int], None]) -> None:
        raise NotImplementedError
