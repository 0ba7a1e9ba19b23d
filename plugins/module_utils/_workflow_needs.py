# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the roles take from workflow_info's result: packs and models to bring, and what stands in the way.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import Catalogue, model_path
from ansible_collections.emprops.comfyui.plugins.module_utils._manifest import parse_manifest, parse_packs
from ansible_collections.emprops.comfyui.plugins.module_utils._model_inputs import looks_like_model
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_report import row_name, row_reason
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import printable


def open_packs(result: Mapping[str, Any], catalogue: Catalogue) -> list[str]:
    """A line for each class that no pack can be brought for, and that nobody accepted."""
    rows = [*(row for row in result["unresolved"] if "class" in row), *result["builtin_too_new"]]
    return [*_lines(rows, catalogue), *_unreadable(result, catalogue)]


def open_models(result: Mapping[str, Any], catalogue: Catalogue) -> list[str]:
    """The same for models. One without a known source is not among them: it may be in the store."""
    rows = [row for row in result["unresolved"] if "model" in row and not _is_placed(row, result)]
    return [*_lines(rows, catalogue), *_unreadable(result, catalogue)]


def unsourced_models(result: Mapping[str, Any], catalogue: Catalogue) -> list[str]:
    """A line for each model that has a place and no known source."""
    return _lines([row for row in result["unresolved"] if "model" in row and _is_placed(row, result)], catalogue)


def needed_packs(result: Mapping[str, Any], catalogue: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Packs in the manifest's shape, with all that the catalogue's own entry says of them."""
    entries = {str(entry["name"]).casefold(): dict(entry) for entry in catalogue.get("custom_nodes") or []}
    # A pack that is only a guess for classes that nobody decided about is not brought, accepted as they may be.
    unresolved = {row["class"] for row in result["unresolved"] if "class" in row}
    known = [pack for pack in result["packs"] if pack["repository"] or pack["name"].casefold() in entries]
    packs = [pack for pack in known if not unresolved.issuperset(pack["classes"])]
    return [entries.get(pack["name"].casefold(), {"name": pack["name"], "url": pack["repository"]}) for pack in packs]


def needed_models(result: Mapping[str, Any], listed: Sequence[Mapping[str, Any]], catalogue: Catalogue) -> list[dict[str, Any]]:
    """Models for the module models, beside those that are listed already."""
    known = {model_path(str(entry.get("directory")), str(entry.get("name"))) for entry in listed}
    wanted = []
    for model in result["models"]:
        path = model_path(model["directory"], model["name"])
        # Without a source a name in a text, whose ending nobody knows, cannot be looked for either.
        hopeless = model["url"] is None and (not looks_like_model(path) or catalogue.accepts(f"{model['directory']}/{model['name']}"))
        if path not in known and not hopeless:
            directory, _slash, name = path.rpartition("/")
            wanted.append({"name": name, "directory": directory, **{key: model[key] for key in ("url", "sha256", "size")}})
    return wanted


def declared_models(
    listed: Sequence[Mapping[str, Any]], result: Mapping[str, Any], catalogue: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Who asks for which model, for the modules that look after the store: the inventory's list, workflows, the catalogue."""
    known = ("directory", "name", "sha256", "size")
    static = [{**{key: model.get(key) for key in known}, "owner": "static", "label": "models_list"} for model in listed]
    # A muted node's model too: it is one click away from being needed.
    needed = [
        {**{key: model.get(key) for key in known}, "owner": "workflow", "label": ", ".join(model["seen_in"])}
        for model in result.get("models", ())
        if model.get("directory")
    ]
    decided = [{**{key: model.get(key) for key in known}, "owner": "catalogue", "label": "catalogue"} for model in catalogue]
    return static + needed + decided


def with_manifests(catalogue: Mapping[str, Any], manifests: Sequence[Any], protocols: Sequence[str]) -> dict[str, Any]:
    """A catalogue's data with the packs of manifests, each a file's text or a list; of one name the first stands.

    Raises ManifestError.
    """
    entries = list(catalogue.get("custom_nodes") or [])
    names = {str(entry.get("name")).casefold() for entry in entries if isinstance(entry, Mapping)}
    for number, manifest in enumerate(manifests, start=1):
        source = f"manifest {number}"
        if isinstance(manifest, str):
            packs, _warnings = parse_manifest(manifest, source, protocols)
            data = json.loads(manifest)
            listed = data["custom_nodes"] if isinstance(data, dict) else data
        else:
            packs, _warnings = parse_packs(manifest, source, protocols)
            listed = manifest
        classes = {entry["name"]: entry.get("classes") or [] for entry in listed}
        fresh = [pack for pack in packs if pack.name.casefold() not in names]
        origins = [{"cnr_id": pack.cnr_id} if pack.cnr_id else {"url": pack.url} for pack in fresh]
        entries += [{"name": pack.name, **origin, "classes": classes[pack.name]} for pack, origin in zip(fresh, origins, strict=True)]
        names |= {pack.name.casefold() for pack in fresh}
    return {**catalogue, "custom_nodes": entries}


def _is_placed(row: Mapping[str, Any], result: Mapping[str, Any]) -> bool:
    path = model_path("", row["model"])
    return any(model_path(model["directory"], model["name"]) == path for model in result["models"])


def _lines(rows: Sequence[Mapping[str, Any]], catalogue: Catalogue) -> list[str]:
    return [_line(row) for row in rows if not catalogue.accepts(row_name(row))]


def _line(row: Mapping[str, Any]) -> str:
    more = len(row["seen_in"]) - 1
    suggestion = f"; perhaps {row['suggestion']}" if row.get("suggestion") else ""
    return printable(f"{row_name(row)}: {row_reason(row)}{suggestion}") + f" [{row['seen_in'][0]}{f' and {more} more' if more else ''}]"


def _unreadable(result: Mapping[str, Any], catalogue: Catalogue) -> list[str]:
    rows = [(path, row) for path, row in sorted(result["files"].items()) if not row["valid"] and not row["other"]]
    return [f"{path}: {row['error']}" for path, row in rows if not _accepts_file(catalogue, path)]


def _accepts_file(catalogue: Catalogue, path: str) -> bool:
    """A file may be accepted by the end of its path, which is the same on every controller."""
    parts = Path(path).parts
    ends = [tuple(part for part in Path(name).parts if part not in (".", "..")) for name in catalogue.accepted]
    return any(end and parts[-len(end) :] == end for end in ends)
