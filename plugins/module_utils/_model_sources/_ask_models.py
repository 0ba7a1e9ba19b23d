# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A list of models to the sources that know them, side by side; one row for each, whatever becomes of the others.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources import _civitai, _hugging_face
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._base import Answer, AskedModel, Key, Source, SourceError
from ansible_collections.emprops.comfyui.plugins.module_utils._model_sources._plain import Plain
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError
from ansible_collections.emprops.comfyui.plugins.module_utils._questions import Questions, as_count, as_digest, base_origin, base_url
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import RefusedError, check_url, printable

# CivitAI's sizes are rounded by at most this share.
ROUNDING = 0.01

Rows = list[dict[str, Any]]


def model_sources(questions: Questions, hugging_face_url: str, civitai_url: str) -> tuple[Source, ...]:
    """In the order in which they are offered an address; the last one takes what is left."""
    return (
        _civitai.CivitAI(questions, base_url(civitai_url)),
        _hugging_face.HuggingFace(questions, base_url(hugging_face_url)),
        Plain(questions),
    )


def mirror_hosts(*base_urls: str) -> tuple[str, ...]:
    """The operator's own servers in place of the usual ones, as entries of allowed_hosts."""
    usual = (_hugging_face.BASE_URL, _civitai.BASE_URL)
    return tuple(base_origin(url) for url in base_urls if base_url(url) not in usual)


def parse_models(rows: Iterable[Mapping[str, Any]]) -> list[AskedModel]:
    """Models out of what a person wrote or workflow_info found. Raises SourceError naming every row that is none."""
    models, problems = [], []
    for number, row in enumerate(rows, start=1):
        texts = {key: row.get(key) or "" for key in ("name", "directory", "url", "sha256")}
        size = row.get("size")
        if isinstance(size, str) and size.isascii() and size.isdigit() and len(size) < 20:
            size = int(size)
        wrong = [key for key, value in texts.items() if not isinstance(value, str) or (key == "name" and not value)]
        if wrong or (size is not None and as_count(size) is None):
            problems.append(f"entry {number} ({printable(str(texts['name']))}): {', '.join(wrong or ['size'])} cannot be used")
        else:
            models.append(AskedModel(texts["name"], texts["directory"], texts["url"] or None, texts["sha256"] or None, size))
    if problems:
        raise SourceError("\n".join(["the list of models cannot be used:", *problems]))
    return models


def secret_urls(models: Iterable[AskedModel], allowed_hosts: Sequence[str]) -> set[str]:
    """Addresses that may hold a secret, and so must not be repeated."""
    return {model.url for model in models if model.url and re.search("[?@]", model.url) and _holds_secret(model.url, allowed_hosts)}


def _holds_secret(url: str, allowed_hosts: Sequence[str]) -> bool:
    try:
        return check_url(url, allowed_hosts).secret_removed
    except RefusedError:
        return True


def ask_models(models: Iterable[AskedModel], sources: Sequence[Source], questions: Questions, connections: int, search: bool) -> Rows:
    """What the sources say, in the order of the models."""
    asked = list(models)
    rows: Rows = [_row(model) for model in asked]
    batches: dict[tuple[Source, Key], list[int]] = {}
    for number, model in enumerate(asked):
        try:
            asked[number], removed = _checked(model, questions)
            rows[number]["warnings"] += ["the url carried a secret, which was left out; give a token by host"] if removed else []
            source, key = _find(asked[number], sources)
        except SourceError as error:
            rows[number]["error"] = str(error)
        else:
            rows[number]["source"] = source.name
            batches.setdefault((source, key), []).append(number)

    def ask(batch: tuple[tuple[Source, Key], list[int]]) -> None:
        (source, key), numbers = batch
        for number, answer in zip(numbers, _ask(source, key, [asked[number] for number in numbers]), strict=True):
            _fill(rows[number], asked[number], answer)

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(ask, batches.items()))
        if search:
            list(pool.map(lambda row: _propose(row, sources), [row for row in rows if row["url"] is None]))
    return rows


def describe_failures(rows: Sequence[Mapping[str, Any]]) -> str | None:
    failed = [f"{label(row)}: {row['error']}" for row in rows if row["error"]]
    return "\n".join([f"{len(failed)} of {len(rows)} models could not be asked about:", *failed]) if failed else None


def label(row: Mapping[str, Any]) -> str:
    return printable(f"{row['directory']}/{row['name']}" if row["directory"] else row["name"])


def _row(model: AskedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "directory": model.directory,
        "source": None,
        "url": None,
        "sha256": as_digest(model.sha256),
        "size": model.size,
        "approximate_size": model.size,
        "file_name": None,
        "gated": None,
        "pickle_scan": None,
        "suggestions": [],
        "warnings": [],
        "error": None,
    }


def _checked(model: AskedModel, questions: Questions) -> tuple[AskedModel, bool]:
    """The model as it may be asked about, and whether its address held a secret."""
    if model.sha256 and not as_digest(model.sha256):
        raise SourceError("a sha256 is 64 hexadecimal digits")
    model = replace(model, sha256=as_digest(model.sha256))
    if model.url is None or _civitai.is_air(model.url):
        return model, False
    try:
        checked = check_url(model.url, questions.allowed_hosts)
    except RefusedError as error:
        raise SourceError(str(error)) from error
    return replace(model, url=checked.url), checked.secret_removed


def _find(model: AskedModel, sources: Sequence[Source]) -> tuple[Source, Key]:
    for source in sources:
        key = source.key(model)
        if key is not None:
            return source, key
    raise SourceError("there is nothing to ask with: neither a url nor a sha256 is known")


def _ask(source: Source, key: Key, models: Sequence[AskedModel]) -> Sequence[Answer | SourceError]:
    try:
        return source.ask(key, models)
    except SourceError as error:
        return [error] * len(models)
    except DownloadError as error:
        return [SourceError(str(error))] * len(models)


def _fill(row: dict[str, Any], model: AskedModel, answer: Answer | SourceError) -> None:
    """What a source says beside what is known already; where they contradict each other nothing is filled in."""
    if isinstance(answer, SourceError):
        row["error"], row["gated"] = printable(str(answer)), answer.gated
        return
    row["warnings"] += answer.warnings
    row["gated"], row["pickle_scan"], row["file_name"] = answer.gated, answer.pickle_scan, answer.file_name
    if answer.pickle_scan == "unsafe":
        row["warnings"].append("the source's own scan calls this file unsafe")
    if answer.file_name is None:
        row["warnings"].append("the source's name for the file is none that a file may have here")
    elif answer.file_name != model.name.replace("\\", "/").rpartition("/")[2]:
        row["warnings"].append(f"the source calls the file {answer.file_name}")
    if model.sha256 and answer.sha256 not in (None, model.sha256):
        row["error"] = f"the source has a file with the sha256 {answer.sha256}, wanted is {model.sha256}"
    elif model.size is not None and not _same_size(model.size, answer):
        row["error"] = f"the source has {answer.approximate_size} bytes, wanted are {model.size}"
    else:
        row["url"] = answer.url
        row["sha256"] = model.sha256 or answer.sha256
        row["size"] = model.size if answer.size is None else answer.size
        row["approximate_size"] = row["size"] if answer.approximate_size is None else answer.approximate_size


def _same_size(wanted: int, answer: Answer) -> bool:
    if answer.size is not None:
        return answer.size == wanted
    return answer.approximate_size is None or abs(answer.approximate_size - wanted) <= wanted * ROUNDING


def _propose(row: dict[str, Any], sources: Sequence[Source]) -> None:
    name = row["name"].replace("\\", "/").rpartition("/")[2]
    for source in sources:
        try:
            row["suggestions"] += [asdict(suggestion) for suggestion in source.propose(name)]
        except DownloadError as error:
            row["warnings"].append(f"{source.name} could not be searched: {printable(str(error))}")
