# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Classes and ids to packs, side by side; one row for each, whatever becomes of the others.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, TypeVar

from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_sources._base import PackAnswer, PackError, PackSource, PackVersion
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_sources._comfy_registry import VERSION
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import printable

T = TypeVar("T")
Rows = list[dict[str, Any]]


def ask_packs(classes: Iterable[str], packs: Iterable[str], source: PackSource, connections: int) -> tuple[Rows, Rows]:
    """A row for each class and one for each pack; `packs` are ids, or `id@version` where a version is to be looked at."""
    names = list(dict.fromkeys(classes))
    asked = [(text, *text.partition("@")[::2]) for text in dict.fromkeys(packs)]
    with ThreadPoolExecutor(connections) as pool:
        ids = list(pool.map(lambda name: _or_error(lambda: source.id_of_class(name)), names))
        class_rows = [_class_row(name, found) for name, found in zip(names, ids, strict=True)]
        # The registry tells ids apart without regard to case.
        rows: dict[str, dict[str, Any]] = {}
        for pack_id in [pack_id for _text, pack_id, _version in asked] + [found for found in ids if isinstance(found, str)]:
            rows.setdefault(pack_id.casefold(), _pack_row(pack_id))
        answers = pool.map(lambda row: _or_error(lambda: source.pack(row["id"])), rows.values())
        for row, answer in zip(rows.values(), answers, strict=True):
            _fill(row, answer)
    for name, found in zip(names, ids, strict=True):
        if isinstance(found, str):
            rows[found.casefold()]["classes"].append(name)
    _add_versions(rows, [(pack_id, version) for text, pack_id, version in asked if "@" in text], source)
    return class_rows, list(rows.values())


def describe_failures(class_rows: Rows, pack_rows: Rows) -> str | None:
    failed = [f"{printable(row['class'])}: {row['error']}" for row in class_rows if row["error"]]
    for row in pack_rows:
        failed += [f"{printable(row['id'])}: {row['error']}"] if row["error"] else []
        failed += [f"{printable(row['id'])} {printable(each['version'])}: {each['error']}" for each in row["versions"] if each["error"]]
    return "\n".join([f"{len(failed)} questions about packs have no usable answer:", *failed]) if failed else None


def _or_error(action: Callable[[], T]) -> T | Exception:
    try:
        return action()
    except (PackError, DownloadError) as error:
        return error


def _class_row(name: str, found: str | Exception) -> dict[str, Any]:
    failed = isinstance(found, Exception)
    return {"class": name, "pack": None if failed else found, "error": printable(str(found)) if failed else None}


def _pack_row(pack_id: str) -> dict[str, Any]:
    return {
        "id": pack_id,
        "name": None,
        "title": None,
        "publisher": None,
        "repository": None,
        "install_type": None,
        "latest": None,
        "versions": [],
        "classes": [],
        "warnings": [],
        "error": None,
    }


def _fill(row: dict[str, Any], answer: PackAnswer | Exception) -> None:
    if isinstance(answer, Exception):
        row["error"] = printable(str(answer))
        return
    for key in ("id", "name", "title", "publisher", "repository", "install_type"):
        row[key] = getattr(answer, key)
    row["latest"] = _version_row(answer.latest) if answer.latest else None
    row["warnings"] += answer.warnings


def _version_row(version: PackVersion) -> dict[str, Any]:
    row = asdict(version)
    return {**row, "dependencies": list(row["dependencies"]), "warnings": list(row["warnings"]), "error": None}


def _add_versions(rows: Mapping[str, dict[str, Any]], wanted: Sequence[tuple[str, str]], source: PackSource) -> None:
    """A version of a pack that is refused is refused as well, and not even asked about."""
    refused = {pair: rows[pair[0].casefold()]["error"] for pair in wanted}
    usable = [pair for pair in wanted if not refused[pair] and VERSION.fullmatch(pair[1])]
    found = _or_error(lambda: source.versions(usable)) if usable else {}
    for pair in wanted:
        answer: object = found if isinstance(found, Exception) else found.get(pair, "no version has such a name")
        if isinstance(answer, PackVersion):
            row = _version_row(answer)
        else:
            row = _unknown_version(pair[1], printable(str(refused[pair] or answer)))
        rows[pair[0].casefold()]["versions"].append(row)


def _unknown_version(version: str, error: str) -> dict[str, Any]:
    row = _version_row(PackVersion(version, "unknown"))
    return {**row, "error": error}
