# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""CivitAI: the file behind a download address, a page, an AIR or a digest, and the way to its bytes.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import ContentError, check_type
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._base import (
    Answer,
    AskedModel,
    Key,
    SourceError,
    Suggestion,
    safe_file_name,
    scan_result,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._offer import Offer
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._plain import PlainDownload
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError, PassingError, origin_of
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import Client, Found
from ansible_collections.emprops.comfyui.plugins.module_utils._questions import (
    Questions,
    as_count,
    as_digest,
    as_object,
    as_objects,
    as_text,
)

BASE_URL = "https://civitai.com"
HOSTS = ("civitai.com", "www.civitai.com")
RED_URL = "https://civitai.red"
RED_HOSTS = ("civitai.red", "www.civitai.red")
SEARCH_LIMIT = 20

_AIR = re.compile(r"urn:air:[^:]*:[^:]*:civitai:(?P<model>[0-9]{1,18})@(?P<version>[0-9]{1,18})", re.IGNORECASE)
_DOWNLOAD = re.compile(r"/api/download/models/(?P<version>[0-9]{1,18})")
_PAGE = re.compile(r"/models/(?P<model>[0-9]{1,18})(?:/[^/]*)?")
_VERSION = re.compile(r"/api/v1/model-versions/(?P<version>[0-9]{1,18})")
# What a download address may ask for, and where a file of the answer says it.
_FILTERS = {"type": None, "format": "format", "size": "size", "fp": "fp", "quantType": "quantType"}


def is_air(url: str) -> bool:
    return _AIR.fullmatch(url) is not None


class CivitAI:
    name = "civitai"

    def __init__(self, questions: Questions, base: str = BASE_URL) -> None:
        self._questions = questions
        self._base = base

    def key(self, model: AskedModel) -> Key | None:
        """("civitai", base, what is known of it, its number or digest, the model it must be of)"""
        if model.url is None:
            return (self.name, self._base, "digest", model.sha256, "") if model.sha256 else None
        if match := _AIR.fullmatch(model.url):
            return self.name, self._base, "version", match["version"], match["model"]
        host = urlsplit(model.url).netloc
        if host not in (*HOSTS, *RED_HOSTS) and not model.url.startswith(f"{self._base}/"):
            return None
        base = RED_URL if host in RED_HOSTS and self._base == BASE_URL else self._base
        parts = urlsplit(model.url.removeprefix(self._base))
        path, query = parts.path.rstrip("/"), dict(parse_qsl(parts.query))
        if match := _DOWNLOAD.fullmatch(path) or _VERSION.fullmatch(path):
            return self.name, base, "version", match["version"], ""
        if match := _PAGE.fullmatch(path):
            version = query.get("modelVersionId", "")
            if version and not re.fullmatch(r"[0-9]{1,18}", version):
                raise SourceError("the url has a modelVersionId that is not a number")
            return (self.name, base, "version", version, match["model"]) if version else (self.name, base, "model", match["model"], "")
        if host in (*HOSTS, *RED_HOSTS):
            raise SourceError("the url is neither a download nor a model's page on CivitAI")
        return None

    def ask(self, key: Key, models: Sequence[AskedModel]) -> Sequence[Answer | SourceError]:
        _name, base, known, value, wanted_model = key
        version, warnings = self._version(base, known, value)
        if wanted_model and as_count(version.get("modelId")) not in (None, int(wanted_model)):
            raise SourceError(f"version {value} on CivitAI is of model {as_count(version.get('modelId'))}, not of {wanted_model}")
        number = as_count(version.get("id"))
        if number is None or (known == "version" and number != int(value)):
            raise SourceError("the answer of CivitAI is not about the version that was asked for")
        return [self._answer(base, number, version, model, warnings) for model in models]

    def propose(self, name: str) -> Sequence[Suggestion]:
        query = urlencode([("query", name.rpartition(".")[0] or name), ("limit", str(SEARCH_LIMIT))])
        suggestions = []
        for entry in as_objects(as_object(self._questions.ask(f"{self._base}/api/v1/models?{query}")).get("items"))[:SEARCH_LIMIT]:
            model = as_count(entry.get("id"))
            for version in as_objects(entry.get("modelVersions")):
                number = as_count(version.get("id"))
                for file in as_objects(version.get("files")):
                    if file.get("name") == name and None not in (model, number):
                        url = f"{self._base}/models/{model}?modelVersionId={number}"
                        suggestions.append(Suggestion(self.name, url, name, _sha256(file)))
        return suggestions[:SEARCH_LIMIT]

    def _version(self, base: str, known: str, value: str) -> tuple[dict[str, Any], tuple[str, ...]]:
        try:
            if known == "digest":
                return as_object(self._questions.ask(f"{base}/api/v1/model-versions/by-hash/{value.upper()}")), ()
            if known == "version":
                return as_object(self._questions.ask(f"{base}/api/v1/model-versions/{value}")), ()
            about = as_object(self._questions.ask(f"{base}/api/v1/models/{value}"))
        except DownloadError as error:
            if error.status == 404:
                raise SourceError(f"CivitAI knows no {'file with the digest' if known == 'digest' else known} {value}") from error
            raise
        versions = as_objects(about.get("modelVersions"))
        if not versions:
            raise SourceError(f"CivitAI has no version of model {value}")
        first = {"modelId": int(value), **versions[0]}
        return first, (f"the page names no version, and the first there today is {as_count(first.get('id'))}: name it with modelVersionId",)

    def _answer(
        self, base: str, number: int, version: dict[str, Any], model: AskedModel, warnings: tuple[str, ...]
    ) -> Answer | SourceError:
        try:
            file = _choose(as_objects(version.get("files")), model)
        except SourceError as error:
            return error
        file_id = as_count(file.get("id"))
        if file_id is None:
            return SourceError("CivitAI does not say which number the file has")
        status = as_text(version.get("status"))
        if status not in (None, "Published"):
            warnings += (f"CivitAI calls this version {status}",)
        scans = {scan_result(file.get("pickleScanResult")), scan_result(file.get("virusScanResult"))}
        # A name or a number of kilobytes is what its author typed and CivitAI rounded: neither is a measure of bytes.
        kilobytes: Any = file.get("sizeKB")
        is_size = isinstance(kilobytes, (int, float)) and not isinstance(kilobytes, bool) and 0 <= kilobytes < 2**50
        return Answer(
            url=f"{base}/api/download/models/{number}?fileId={file_id}",
            file_name=safe_file_name(file.get("name")),
            sha256=_sha256(file),
            approximate_size=round(kilobytes * 1024) if is_size else None,
            gated=True if version.get("paidAccess") else None,
            pickle_scan=next((word for word in ("unsafe", "unknown", "safe") if word in scans), None),
            warnings=warnings,
        )


def _choose(files: Sequence[dict[str, Any]], model: AskedModel) -> dict[str, Any]:
    """The file with the wanted digest, or else the one that the address means."""
    if not files:
        raise SourceError("CivitAI has no file of this version any more")
    query = dict(parse_qsl(urlsplit(model.url or "").query))
    proved = [file for file in files if model.sha256 and _sha256(file) == model.sha256]
    if proved and "fileId" not in query:
        return proved[0]
    if model.url is None:
        raise SourceError("the answer of CivitAI has no file with the digest")
    if "fileId" in query:
        files = [file for file in files if str(as_count(file.get("id"))) == query["fileId"]]
    for name in _FILTERS.keys() & query.keys():
        files = [file for file in files if _said(file, name) == query[name].casefold()]
    if not files:
        raise SourceError("the version on CivitAI has no file of the kind that the url asks for")
    primary = [file for file in files if file.get("primary") is True]
    if len(primary) != 1 and len(files) > 1:
        names = ", ".join(f"{as_count(file.get('id'))} ({as_text(file.get('name'))})" for file in files[:20])
        raise SourceError(f"the version on CivitAI has {len(files)} files and the url does not say which; add fileId= one of {names}")
    return primary[0] if primary else files[0]


def _said(file: dict[str, Any], name: str) -> str:
    place = _FILTERS[name]
    value = file.get(name) if place is None else as_object(file.get("metadata")).get(place)
    return value.casefold() if isinstance(value, str) else ""


def _sha256(file: dict[str, Any]) -> str | None:
    return as_digest(as_object(file.get("hashes")).get("SHA256"))


class CivitAIDownload(PlainDownload):
    """A file of a version; its digest, and for pages and AIRs its address too, come from the interface of the same server."""

    source = "civitai"

    def __init__(self, client: Client, questions: Questions, url: str, token: str | None, base: str = BASE_URL) -> None:
        super().__init__(client, url, token)
        if is_air(url):
            self.printable = url
        parts = urlsplit(url)
        known = is_air(url) or parts.netloc in (*HOSTS, *RED_HOSTS)
        self._hub = CivitAI(questions, base if known else f"{parts.scheme}://{parts.netloc}")
        self._is_address = _DOWNLOAD.fullmatch(parts.path.rstrip("/")) is not None
        self._answer: Answer | None = None

    @staticmethod
    def takes(url: str) -> bool:
        """Every address on the hub itself, and those of downloads in its form on other servers."""
        parts = urlsplit(url)
        return is_air(url) or parts.netloc in (*HOSTS, *RED_HOSTS) or _DOWNLOAD.fullmatch(parts.path.rstrip("/")) is not None

    def look(self, name: str) -> Offer:
        self._identify(name)
        found = self._client.patiently(self._ask_known)
        try:
            check_type(name, found.content_type)
        except ContentError as error:
            if self._link is None or self._link.token or self._link.redirected:
                raise
            raise DownloadError(f"CivitAI does not hand out the file without a token ({error})") from error
        offer = self._offer(found, self._answer.sha256 if self._answer else None)
        # Which file of the version it is, is no secret.
        return replace(offer, address=self._answer.url) if self._answer else offer

    def _identify(self, name: str) -> None:
        """Ask which file is meant. A download address is one without this too, as long as nobody wants to know its digest."""
        model = AskedModel(name, "", self._url)
        try:
            key = self._hub.key(model)
            (answer,) = self._hub.ask(key, [model]) if key else (SourceError("the url is not one of CivitAI"),)
            if isinstance(answer, SourceError):
                raise answer
        except (SourceError, DownloadError) as error:
            if isinstance(error, PassingError) and not self._client.patient:
                raise  # it is asked again, before this is given up
            if self._is_address:
                return
            raise error if isinstance(error, DownloadError) else DownloadError(str(error)) from error
        if is_air(self._url) or origin_of(answer.url) != origin_of(self._url):
            self._token = None
        self._answer, self._url, self._is_address = answer, answer.url, True

    def _ask_known(self) -> Found:
        try:
            return self._ask()
        except DownloadError as error:
            # Its storage fails in this way too.
            if error.status == 404 and self._answer:
                raise PassingError(f"{error}, though CivitAI lists the file") from error
            raise
