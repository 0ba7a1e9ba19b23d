# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Hugging Face: the commit behind a revision, what paths-info says about files in it, and the way to their bytes.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import check_type
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._base import (
    Answer,
    AskedModel,
    Key,
    SourceError,
    Suggestion,
    safe_file_name,
    scan_result,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._offer import Offer, Transport
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._plain import PlainDownload
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._xet import XetFile, XetTools, fetch
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_wire import Client
from ansible_collections.emprops.comfyui.plugins.module_utils._questions import (
    FORM,
    Questions,
    as_count,
    as_digest,
    as_object,
    as_objects,
    as_text,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import RefusedError, check_model_name

BASE_URL = "https://huggingface.co"
HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
PATHS_AT_ONCE = 50
SEARCH_LIMIT = 20
# Beyond this its own library does not use plain HTTP.
LARGEST_PLAIN_FILE = 50 * 1000**3

_NO_FILE = "the url is not that of a file on Hugging Face (/<owner>/<repository>/resolve/<revision>/<path>)"
_REPOSITORY = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,95})?")
_ADDRESS = re.compile(
    r"/(?:(?P<kind>datasets|spaces)/)?(?P<repository>[^/]+(?:/[^/]+)?)/(?P<view>resolve|blob|raw)"
    r"/(?P<revision>refs/(?:pr|convert)/[^/]+|[^/]+)/(?P<path>.+)"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


class HuggingFace:
    name = "huggingface"

    def __init__(self, questions: Questions, base: str = BASE_URL) -> None:
        self._questions = questions
        self._base = base

    def key(self, model: AskedModel) -> Key | None:
        host = urlsplit(model.url or "").netloc
        if model.url is None or (host not in HOSTS and not model.url.startswith(f"{self._base}/")):
            return None
        match = self._match(model.url)
        if match is None and host in HOSTS:
            raise SourceError(_NO_FILE)
        if match is None:
            return None
        kind, repository, revision = match["kind"] or "models", unquote(match["repository"]), unquote(match["revision"])
        if not _REPOSITORY.fullmatch(repository):
            raise SourceError("the url has a repository that Hugging Face cannot have")
        if not revision.isprintable() or len(revision) > 255:
            raise SourceError("the url has a revision that no repository has")
        try:
            check_model_name(unquote(match["path"]))
        except RefusedError as error:
            raise SourceError(f"the url has a path that is refused: {error}") from error
        return self.name, kind, repository, revision

    def ask(self, key: Key, models: Sequence[AskedModel]) -> Sequence[Answer | SourceError]:
        _name, kind, repository, revision = key
        about = self._repository(kind, repository, revision)
        now, commit = about["id"], about["commit"]
        warnings = [f"the repository {repository} is called {now} now"] if now != repository else []
        if about["gated"]:
            warnings.append("the repository is gated: a download needs a token of an account that accepted its terms")
        paths = [unquote(match["path"]) for model in models if (match := self._match(model.url or ""))]
        found = self._files(kind, now, commit, paths)
        return [self._answer(kind, now, commit, path, found.get(path), about["gated"], tuple(warnings)) for path in paths]

    def propose(self, name: str) -> Sequence[Suggestion]:
        query = [("search", name.rpartition(".")[0] or name), ("limit", str(SEARCH_LIMIT)), ("full", "true")]
        suggestions = []
        for entry in as_objects(self._questions.ask(f"{self._base}/api/models?{urlencode(query)}"))[:SEARCH_LIMIT]:
            repository = as_text(entry.get("id")) or ""
            for path in (as_text(file.get("rfilename")) for file in as_objects(entry.get("siblings"))):
                if path and path.rpartition("/")[2] == name and safe_file_name(path) and _REPOSITORY.fullmatch(repository):
                    suggestions.append(Suggestion(self.name, f"{self._base}/{repository}/blob/main/{quote(path)}", name))
        return suggestions[:SEARCH_LIMIT]

    def _match(self, url: str) -> re.Match[str] | None:
        return _ADDRESS.fullmatch(urlsplit(url.removeprefix(self._base)).path)

    def _repository(self, kind: str, repository: str, revision: str) -> dict[str, Any]:
        """Its present name, the commit that the revision is, and whether it is gated."""
        query = "expand=sha&expand=gated&expand=disabled"
        url = f"{self._base}/api/{kind}/{quote(repository)}/revision/{quote(revision, safe='')}?{query}"
        about = as_object(self._ask(url))
        commit, now = about.get("sha"), about.get("id")
        if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
            raise SourceError("Hugging Face does not say which commit the revision is")
        if about.get("disabled") is True:
            raise SourceError("Hugging Face has disabled the repository")
        known = isinstance(now, str) and _REPOSITORY.fullmatch(now)
        return {"id": now if known else repository, "commit": commit, "gated": bool(about.get("gated"))}

    def _files(self, kind: str, repository: str, commit: str, paths: Sequence[str]) -> dict[str, dict[str, Any]]:
        url = f"{self._base}/api/{kind}/{quote(repository)}/paths-info/{commit}"
        wanted = sorted(set(paths))
        found = {}
        for start in range(0, len(wanted), PATHS_AT_ONCE):
            question = [("paths", path) for path in wanted[start : start + PATHS_AT_ONCE]]
            for entry in as_objects(self._ask(url, urlencode([*question, ("expand", "true")]).encode())):
                if isinstance(entry.get("path"), str):
                    found[entry["path"]] = entry
        return found

    def _ask(self, url: str, content: bytes | None = None) -> Any:
        try:
            return self._questions.ask(url, content, FORM)
        except DownloadError as error:
            if error.code == "GatedRepo":
                raise SourceError(str(error), gated=True) from error
            raise

    def _answer(
        self, kind: str, repository: str, commit: str, path: str, entry: dict[str, Any] | None, gated: bool, warnings: tuple[str, ...]
    ) -> Answer | SourceError:
        if entry is None:
            return SourceError(f"{repository} has no file {path}", gated)
        if entry.get("type") != "file":
            return SourceError(f"{path} in {repository} is not a file", gated)
        lfs = as_object(entry.get("lfs"))
        scan = scan_result(as_object(entry.get("securityFileStatus")).get("status"))
        prefix = "" if kind == "models" else f"{kind}/"
        size = as_count(lfs.get("size", entry.get("size")))
        return Answer(
            url=f"{self._base}/{prefix}{quote(repository)}/resolve/{commit}/{quote(path)}",
            file_name=path.rpartition("/")[2],
            sha256=as_digest(lfs.get("oid")),
            size=size,
            approximate_size=size,
            gated=gated,
            pickle_scan=scan,
            warnings=warnings,
        )


class HuggingFaceDownload(PlainDownload):
    """A file in a repository, at the commit that its revision was when it was first asked about."""

    source = "huggingface"

    def __init__(self, client: Client, url: str, token: str | None, tools: XetTools) -> None:
        """Raises DownloadError for a page of the hub that is no file."""
        match = _ADDRESS.fullmatch(urlsplit(url).path)
        if match is None:
            raise DownloadError(_NO_FILE)
        super().__init__(client, _with_parts(url, match, "resolve", match["revision"]), token)
        self._match = match
        self._tools = tools
        self._revision = unquote(match["revision"])
        self._needs_xet = False

    @staticmethod
    def takes(url: str) -> bool:
        """Every address on the hub itself, and those in its form on other servers."""
        match = _ADDRESS.fullmatch(urlsplit(url).path)
        return urlsplit(url).netloc in HOSTS or (match is not None and match["view"] == "resolve")

    @property
    def transport(self) -> Transport:
        return "file" if self._needs_xet else "ranges"

    def look(self, name: str) -> Offer:
        found = self._ask()
        check_type(name, found.content_type)
        if found.commit:
            self._revision = found.commit
            self._url = _with_parts(self._url, self._match, "resolve", found.commit)
        self._needs_xet = bool(found.xet_hash) and (found.size or 0) > LARGEST_PLAIN_FILE
        return self._offer(found, found.sha256)

    def fetch(self, path: Path, progress: Callable[[int], None]) -> None:
        parts = urlsplit(self._url)
        kind = {"datasets": "dataset", "spaces": "space"}.get(self._match["kind"] or "", "model")
        repository, name = unquote(self._match["repository"]), unquote(self._match["path"])
        token = self._token or self._client.token_for(self._url)
        fetch(XetFile(f"{parts.scheme}://{parts.netloc}", kind, repository, self._revision, name, token), self._tools, path, progress)


def _with_parts(url: str, match: re.Match[str], view: str, revision: str) -> str:
    kind = f"{match['kind']}/" if match["kind"] else ""
    return urlsplit(url)._replace(path=f"/{kind}{match['repository']}/{view}/{revision}/{match['path']}").geturl()
