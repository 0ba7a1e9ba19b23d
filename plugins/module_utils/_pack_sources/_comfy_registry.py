# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The Comfy registry: packs by class and by id. Its install route is left alone, because asking there counts as an installation.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_sources._base import PackAnswer, PackError, PackVersion
from ansible_collections.emprops.comfyui.plugins.module_utils._questions import Questions, as_object, as_objects, as_text
from ansible_collections.emprops.comfyui.plugins.module_utils._registry import GIT_CLONE, repository_url
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import check_url

BASE_URL = "https://api.comfy.org"
ARCHIVE = "cnr"
VERSIONS_AT_ONCE = 50
MOST_DEPENDENCIES = 500

PACK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}")
_NODE_STATUS = {"NodeStatusActive": "active", "NodeStatusBanned": "banned", "NodeStatusDeleted": "deleted"}
_VERSION_STATUS = {
    "NodeVersionStatusActive": "active",
    "NodeVersionStatusBanned": "banned",
    "NodeVersionStatusDeleted": "deleted",
    "NodeVersionStatusFlagged": "flagged",
    "NodeVersionStatusPending": "pending",
}
_REFUSED = ("banned", "deleted")


class ComfyRegistry:
    name = "comfy_registry"

    def __init__(self, questions: Questions, base: str = BASE_URL) -> None:
        self._questions = questions
        self._base = base

    def id_of_class(self, class_name: str) -> str:
        # A dot or two would be taken for a place in the path.
        if class_name.strip() in ("", ".", "..") or not class_name.isprintable() or len(class_name) > 255:
            raise PackError("no class has such a name")
        answer = self._ask(f"/comfy-nodes/{quote(class_name, safe='')}/node", "the registry knows no pack with this class")
        return _pack_id(as_object(answer).get("id"))

    def pack(self, pack_id: str) -> PackAnswer:
        if not PACK_ID.fullmatch(pack_id):
            raise PackError("no pack has such an id")
        node = as_object(self._ask(f"/nodes/{pack_id}", "the registry knows no such pack"))
        known = _pack_id(node.get("id"))
        if known.casefold() != pack_id.casefold():
            raise PackError(f"the registry answers with another pack, {known}")
        status = _status(_NODE_STATUS, node.get("status"))
        if status in _REFUSED:
            raise PackError(f"the registry has {status} this pack")
        warnings = [] if status == "active" else [f"the registry calls this pack {status}"]
        latest = None
        if as_object(node.get("latest_version")):
            try:
                latest = parse_version(as_object(node["latest_version"]))
                warnings += latest.warnings
            except PackError as error:
                warnings.append(f"its latest version cannot be had: {error}")
        given = node.get("repository")
        repository = repository_url(given) if isinstance(given, str) else None
        name = repository.rpartition("/")[2] if repository else None
        if given and repository is None:
            warnings.append(f"its repository is none that is installed from: {as_text(given)}")
        archive = ARCHIVE if latest and latest.download_url else None
        return PackAnswer(
            id=known,
            name=name,
            title=as_text(node.get("name")),
            publisher=as_text(as_object(node.get("publisher")).get("id")),
            repository=repository,
            install_type=GIT_CLONE if repository else archive,
            latest=latest,
            warnings=tuple(warnings),
        )

    def versions(self, wanted: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], PackVersion | PackError]:
        found: dict[tuple[str, str], PackVersion | PackError] = {}
        for start in range(0, len(wanted), VERSIONS_AT_ONCE):
            some = wanted[start : start + VERSIONS_AT_ONCE]
            question = {"node_versions": [{"node_id": pack_id, "version": version} for pack_id, version in some]}
            answer = as_object(self._questions.ask(f"{self._base}/bulk/nodes/versions", json.dumps(question).encode()))
            said = {_identifier(entry): entry for entry in as_objects(answer.get("node_versions"))}
            for pack_id, version in some:
                found[pack_id, version] = _bulk_answer(said.get((pack_id.casefold(), version)), version)
        return found

    def _ask(self, path: str, missing: str) -> Any:
        try:
            return self._questions.ask(self._base + path)
        except DownloadError as error:
            if error.status == 404:
                raise PackError(missing) from error
            raise


def parse_version(data: Mapping[str, Any]) -> PackVersion:
    """A version as the registry describes it. Raises PackError for one that must not be installed."""
    version, status = data.get("version"), _status(_VERSION_STATUS, data.get("status"))
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise PackError("the registry does not say which version it is")
    if status in _REFUSED:
        raise PackError(f"the registry has {status} version {version}")
    warnings = [] if status == "active" else [f"the registry calls version {version} {status}"]
    if data.get("deprecated") is True:
        warnings.append(f"version {version} is deprecated")
    url = data.get("downloadUrl")
    try:
        # Whichever host the registry keeps its archives on; all other rules for addresses hold.
        url = check_url(url, [urlsplit(url).hostname or ""]).url if isinstance(url, str) and url else None
    except ValueError:
        url = None
        warnings.append(f"the archive of version {version} has an address that is refused")
    needs = data.get("dependencies")
    lines = [as_text(line) for line in needs[:MOST_DEPENDENCIES]] if isinstance(needs, list) else []
    return PackVersion(version, status, url, data.get("deprecated") is True, tuple(line for line in lines if line), tuple(warnings))


def _bulk_answer(entry: Mapping[str, Any] | None, version: str) -> PackVersion | PackError:
    if entry is None or entry.get("status") == "not_found":
        return PackError(f"the registry has no version {version}")
    if entry.get("status") != "success":
        return PackError(as_text(entry.get("error_message")) or "the registry could not say")
    try:
        return parse_version(as_object(entry.get("node_version")))
    except PackError as error:
        return error


def _identifier(entry: Mapping[str, Any]) -> tuple[str, str]:
    identifier = as_object(entry.get("identifier"))
    return (as_text(identifier.get("node_id")) or "").casefold(), as_text(identifier.get("version")) or ""


def _pack_id(value: object) -> str:
    if not isinstance(value, str) or not PACK_ID.fullmatch(value):
        raise PackError("the answer of the registry has no usable id")
    return value


def _status(words: Mapping[str, str], value: object) -> str:
    """The registry's word for it in one of ours; a new one is never taken for `active`."""
    return words.get(value, "unknown") if isinstance(value, str) else "unknown"
