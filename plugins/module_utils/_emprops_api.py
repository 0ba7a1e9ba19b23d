# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The list of custom-node packs as EmProps' own API has it, in the shape that _manifest.py reads.

    GET  /custom-nodes/defaults         packs that every machine has
    POST /workflows/dependencies        rows of workflows with their packs; a workflow that it does not know has no row
    GET  /collections/<id>              a collection with its components and their packs
    POST /collections/dependencies      where the one before has none: the workflow of a collection, and its packs without their refs
    GET  /custom-nodes/name/<name>      a pack as the database has it, where a list has its name alone

Every answer is `{"data", "error"}`. Names and addresses of packs are judged by the manifest's own parser, their types here.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ansible_collections.emprops.comfyui.plugins.module_utils._files import put_text
from ansible_collections.emprops.comfyui.plugins.module_utils._git import GitError, clean_url, same_repository
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError, PassingError
from ansible_collections.emprops.comfyui.plugins.module_utils._questions import Questions, as_text

CONNECTIONS = 8
DEFAULTS = "/custom-nodes/defaults"
WORKFLOWS = "/workflows/dependencies"
COLLECTIONS = "/collections/dependencies"

# How each field of a pack is spelt, the first that is there first.
SPELLINGS = {
    "name": ("name",),
    "url": ("url", "repositoryUrl", "repository_url", "gitUrl", "git_url", "downloadUrl", "download_url"),
    "branch": ("branch",),
    "commit": ("commit",),
    "recursive": ("recursive",),
    "requirements": ("requirements",),
    "build_requirements": ("build_requirements", "buildRequirements"),
    "env": ("env", "env_conf", "envConf"),
    "install_order": ("install_order", "installOrder"),
    "enabled": ("enabled",),
    "persist": ("persist",),
    "skip_install_script": ("skip_install_script", "skipInstallScript"),
}
SETTINGS = ("install_settings", "installSettings")
SCRIPT = ("custom_script", "customScript")
DEFAULT = ("is_default", "isDefault")
NODES = ("custom_nodes", "customNodes")

Pack = dict[str, Any]


class EmpropsApiError(Exception):
    """The API refuses a question, or its answer cannot be used; the text says which and why, `status` what the API called it."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class NoAnswerError(Exception):
    """The API did not answer, which says nothing about the question."""


@dataclass(frozen=True)
class Entry:
    """A pack, where it is listed, whether every machine has it, and whether it has a script of its own."""

    pack: Pack
    source: str
    default: bool = False
    script: bool = False


def read_packs(
    questions: Questions, base_url: str, *, workflows: Sequence[str], collections: Sequence[str]
) -> tuple[list[Pack], list[str]]:
    """The default packs and those of workflows and collections in install order, and warnings. Raises EmpropsApiError, NoAnswerError.

    All is asked, and a refusal counts for more than a question that has no answer.
    """
    api = _Api(questions, base_url)
    reads: list[Callable[[], list[Entry]]] = [api.defaults]
    reads += [partial(api.workflows, workflows)] if workflows else []
    reads += [partial(api.collection, collection) for collection in collections]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        found = list(pool.map(_or_error, reads))
    refusals = [str(each) for each in found if isinstance(each, EmpropsApiError)]
    if refusals:
        raise EmpropsApiError("\n".join(refusals))
    for each in found:
        if isinstance(each, NoAnswerError):
            raise each
    return combine([entry for each in found if isinstance(each, list) for entry in each])


def combine(entries: Sequence[Entry]) -> tuple[list[Pack], list[str]]:
    """Each pack once and in install order, and warnings. Raises EmpropsApiError where two sources disagree about one."""
    chosen: dict[str, Entry] = {}
    problems = []
    for entry in sorted(entries, key=lambda entry: not entry.default):
        first = chosen.setdefault(entry.pack["name"].casefold(), entry)
        if differing := _differing(first.pack, entry.pack):
            name = as_text(entry.pack["name"])
            problems.append(f"the pack {name!r} has another {' and '.join(differing)} in {entry.source} than in {first.source}")
    if problems:
        raise EmpropsApiError("\n".join(dict.fromkeys(problems)))
    scripts = {entry.pack["name"].casefold() for entry in entries if entry.script}
    warnings = [f"the pack {as_text(chosen[name].pack['name'])!r} has a custom_script, which is not run" for name in sorted(scripts)]
    return sorted((entry.pack for entry in chosen.values()), key=_place), warnings


def parse_nodes(nodes: object, source: str, *, default: bool = False) -> list[Entry]:
    """Packs from a list of the API. Raises EmpropsApiError listing every entry that is wrong."""
    if not isinstance(nodes, list):
        raise EmpropsApiError(f"{source}: where the list of packs should be is {_kind(nodes)}")
    entries, problems = [], []
    for number, node in enumerate(nodes, start=1):
        try:
            entries.append(_parse_node(node, source, default))
        except ValueError as error:
            name = as_text(node.get("name")) if isinstance(node, dict) else None
            problems.append(f"{source}: entry {number} ({'no name' if name is None else repr(name)}): {error}")
    if problems:
        raise EmpropsApiError("\n".join(problems))
    return entries


def as_question(base_url: str, workflows: Sequence[str], collections: Sequence[str]) -> dict[str, Any]:
    """What two askers must have in common for the answer to be the same."""
    return {"base_url": base_url, "workflows": sorted(set(workflows)), "collections": sorted(set(collections))}


def keep_packs(path: Path, question: Mapping[str, Any], packs: Sequence[Pack], asked_at: str) -> None:
    """Keep a good answer for `recall_packs`; the values of `env` are nobody else's to read. Raises OSError."""
    put_text(path, json.dumps({"question": question, "asked_at": asked_at, "packs": packs}, indent=2, sort_keys=True) + "\n", mode=0o600)


def recall_packs(path: Path, question: Mapping[str, Any]) -> tuple[list[Pack], str] | None:
    """The packs that were the answer to this question, and when; None where nothing usable is kept."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            # What others can write decides which code they install here.
            if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
                return None
            kept = json.loads(file.read())
        packs, _warnings = combine(parse_nodes(kept["packs"], str(path)))
        asked_at = as_text(kept["asked_at"])
        return (packs, asked_at) if asked_at and kept["question"] == question else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError, EmpropsApiError):
        return None


class _Api:
    def __init__(self, questions: Questions, base_url: str) -> None:
        self._questions = questions
        self._base = base_url

    def defaults(self) -> list[Entry]:
        return self._entries(self._ask(DEFAULTS), f"GET {DEFAULTS}", default=True)

    def workflows(self, wanted: Sequence[str], field: str = "name", of: str = "") -> list[Entry]:
        """Packs of workflows by their names, or by their ids."""
        key = f"workflow_{field}"

        def named(texts: Sequence[object]) -> str:
            return f"{of}workflow {_quoted(texts)}"

        rows = _rows(self._ask(WORKFLOWS, {f"{key}s": list(wanted)}, named(wanted)), f"{named(wanted)} (POST {WORKFLOWS})")
        if missing := [text for text in wanted if text not in [row.get(key) for row in rows]]:
            raise EmpropsApiError(f"{named(missing)} (POST {WORKFLOWS}): the API does not know it", 404)
        entries = []
        for row in rows:
            if row.get(key) in wanted:
                entries += self._entries(_first(row, NODES), f"{named([row[key]])} (POST {WORKFLOWS})")
        return entries

    def collection(self, wanted: str) -> list[Entry]:
        about = f"collection {_quoted([wanted])}"
        path = f"/collections/{_segment(wanted, about)}"
        try:
            data = self._ask(path, about=about)
        except EmpropsApiError as error:
            if error.status != 404:
                raise
            data = {}
        if not isinstance(data, dict):
            raise EmpropsApiError(f"{about} (GET {path}): where the collection should be is {_kind(data)}")
        if data.get("components") is None:
            return self._workflow_of(wanted, about)
        entries = []
        for component in _rows(data["components"], f"{about}, components (GET {path})"):
            where = f"{about}, component {_quoted([component.get('name')])} (GET {path})"
            entries += self._entries(_first(component, NODES), where)
        return entries

    def _workflow_of(self, collection: str, about: str) -> list[Entry]:
        """Its packs as its workflow has them: here they come without branch and commit."""
        source = f"{about} (POST {COLLECTIONS})"
        data = self._ask(COLLECTIONS, {"collection_ids": [collection]}, about)
        rows = _rows(data.get("collections") if isinstance(data, dict) else data, source)
        row: dict[str, Any] = next((row for row in rows if row.get("collection_id") == collection), {})
        workflow = row.get("workflow_id")
        if isinstance(workflow, str) and workflow:
            return self.workflows([workflow], "id", f"{about}, ")
        if not _first(row, NODES):
            raise EmpropsApiError(f"{source}: the API knows no such collection, or no workflow of it", 404)
        return self._entries(_first(row, NODES), source)

    def _entries(self, nodes: object, source: str, *, default: bool = False) -> list[Entry]:
        if isinstance(nodes, list):
            nodes = [self._by_name(node, source) if isinstance(node, str) else node for node in nodes]
        return parse_nodes(nodes, source, default=default)

    def _by_name(self, name: str, source: str) -> Any:
        about = f"pack {_quoted([name])} of {source}"
        return self._ask(f"/custom-nodes/name/{_segment(name, about)}", about=about)

    def _ask(self, path: str, content: Mapping[str, Any] | None = None, about: str = "") -> Any:
        """What stands under `data` in an answer."""
        endpoint = f"{'GET' if content is None else 'POST'} {path}"
        source = f"{about} ({endpoint})" if about else endpoint
        url = self._base + path
        try:
            answer = self._questions.ask(url, None if content is None else json.dumps(content).encode())
        except DownloadError as error:
            if _is_silence(error):
                raise NoAnswerError(f"{endpoint}: {error}") from error
            raise EmpropsApiError(f"{source}: {_refusal(error, bool(self._questions.token_for(url)))}", error.status) from error
        if not isinstance(answer, dict):
            raise EmpropsApiError(f"{source}: the answer is no object but {_kind(answer)}")
        said = answer.get("error")
        if said is not None:
            raise EmpropsApiError(f"{source}: the API refuses: {as_text(said) or _kind(said)}")
        return answer.get("data")


def _or_error(read: Callable[[], list[Entry]]) -> list[Entry] | EmpropsApiError | NoAnswerError:
    try:
        return read()
    except (EmpropsApiError, NoAnswerError) as error:
        return error


def _is_silence(error: DownloadError) -> bool:
    """Does this failure say nothing about the question: nobody there, busy, broken, or another server's page in its place?"""
    cause = error.__cause__
    not_json = isinstance(cause, (json.JSONDecodeError, UnicodeDecodeError, RecursionError))
    return isinstance(error, PassingError) or isinstance(cause, PassingError) or (error.status or 0) >= 500 or not_json


def _refusal(error: DownloadError, has_token: bool) -> str:
    """Why the API says no, which is not about a file as the client's own words are."""
    if error.status is None:
        return str(error)
    why = {
        401: "the token was not accepted" if has_token else "a token is needed",
        403: "access is refused" if has_token else "access is refused, and no token was given",
        404: "the API does not know it",
    }.get(error.status, "the API refuses")
    said = str(error).partition(f": {error.status}, ")[2]
    return f"{why} ({error.status}{', ' if said else ''}{said})"


def _rows(value: object, source: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise EmpropsApiError(f"{source}: where a list should be is {_kind(value)}")
    for number, row in enumerate(value, start=1):
        if not isinstance(row, dict):
            raise EmpropsApiError(f"{source}: entry {number} is no object but {_kind(row)}")
    return value


def _parse_node(node: object, source: str, default: bool) -> Entry:
    if not isinstance(node, dict):
        raise ValueError(f"it is no object but {_kind(node)}")
    settings = _first(node, SETTINGS)
    if settings is not None and not isinstance(settings, dict):
        raise ValueError(f"its install_settings are no object but {_kind(settings)}")
    node = {**(settings or {}), **{key: value for key, value in node.items() if value is not None}}
    pack = {}
    for field, spellings in SPELLINGS.items():
        value = _first(node, spellings)
        # The database has an empty text where nothing was filled in.
        if value is not None and value != "":
            _check(field, value)
            pack[field] = value
    for field in ("name", "url"):
        if field not in pack:
            raise ValueError(f"it has no {field}")
    said = _first(node, DEFAULT)
    if said is not None and not isinstance(said, bool):
        raise ValueError(f"is_default must be true or false, not {_kind(said)}")
    return Entry(pack, source, default or said is True, bool(_first(node, SCRIPT)))


def _check(field: str, value: object) -> None:
    """Raise ValueError for a value of the wrong type. No value is repeated: those of `env` may be secrets."""
    if field in ("name", "url", "branch", "commit"):
        if not _is_text(value):
            raise ValueError(f"{field} must be a text, not {_kind(value)}")
    elif field == "install_order":
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"install_order must be a whole number, not {_kind(value)}")
    elif field in ("persist", "build_requirements"):
        if not isinstance(value, list) or not all(map(_is_text, value)):
            raise ValueError(f"{field} must be a list of texts")
    elif field == "env":
        if not isinstance(value, dict):
            raise ValueError(f"env must be an object, not {_kind(value)}")
        for name, text in value.items():
            if not _is_text(name) or not _is_text(text):
                raise ValueError(f"env: the value of {as_text(name)!r} must be a text, not {_kind(text)}")
    elif not isinstance(value, bool):
        raise ValueError(f"{field} must be true or false, not {_kind(value)}")


def _is_text(value: object) -> bool:
    """JSON can hold halves of characters, which no file and no command line can."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _first(node: Mapping[str, Any], spellings: Sequence[str]) -> Any:
    return next((node[spelling] for spelling in spellings if node.get(spelling) is not None), None)


def _differing(one: Pack, other: Pack) -> list[str]:
    try:
        same = same_repository(clean_url(one["url"]), clean_url(other["url"]))
    except (GitError, ValueError):  # the manifest's parser says what is wrong with it
        same = one["url"] == other["url"]
    return ([] if same else ["url"]) + [key for key in ("branch", "commit") if one.get(key) != other.get(key)]


def _place(pack: Pack) -> tuple[bool, int, str, str]:
    order = pack.get("install_order")
    return order is None, order or 0, pack["name"].casefold(), pack["name"]


def _segment(text: str, about: str) -> str:
    """One part of a path; a dot or two would be taken for a place in it."""
    if text in ("", ".", "..") or not _is_text(text):
        raise EmpropsApiError(f"{about}: nothing has such a name")
    return quote(text, safe="")


def _quoted(texts: Sequence[object]) -> str:
    return ", ".join(repr(as_text(text)) for text in texts)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a text" if _is_text(value) else "a text with half a character"
    words = {dict: "an object", list: "a list", int: "a number", float: "a number", type(None): "nothing"}
    return words.get(type(value), "something else")
