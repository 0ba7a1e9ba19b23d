# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What workflow_info found, workflow by workflow: does it run here, and what is missing?

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import Catalogue
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import printable

# With what Ansible indents it by, it fits 140 columns.
WIDTH = 130
SEVERITIES = ("error", "warning", "info")
KEYS = ("files", "packs", "models", "builtin_too_new", "unresolved", "findings", "summary", "registry", "builtins")
VERDICTS = {True: "runs here", False: "does not run", None: "unknown"}
UNREADABLE = "unreadable"


def workflow_report(result: Mapping[str, Any], asked: str, catalogue: Catalogue) -> dict[str, Any]:
    """The result, and beside it `workflows` (a verdict for each) and `open` (what is unresolved and not accepted).

    `asked` says which instance told what it has; empty where none did, and then nothing is known to run.
    """
    packs = {pack["name"].casefold(): pack for pack in result["packs"]}
    unresolved = [*result["unresolved"], *result["builtin_too_new"]]
    by_file: dict[str, list[Mapping[str, Any]]] = {}
    for row in unresolved:
        for path in row["seen_in"]:
            by_file.setdefault(path, []).append(row)
    workflows = []
    undecided = [printable(f"{row_name(row)}: {row_reason(row)}") for row in unresolved if not catalogue.accepts(row_name(row))]
    for path, file in sorted(result["files"].items()):
        if file["valid"]:
            needs = [
                *_pack_needs([packs[name.casefold()] for name in file["packs"]], asked),
                *_model_needs([result["models"][index] for index in file["models"]], by_file.get(path, ()), asked),
            ]
            workflows.append({"file": path, "valid": True, "runnable": _runnable(needs, asked), "reason": None, "needs": needs})
        else:
            workflows.append({"file": path, "valid": False, "runnable": False, "reason": file["error"], "needs": []})
            undecided += [] if file.get("other") or catalogue.accepts(path) else [printable(f"{path}: {file['error']}")]
    return {**{key: result[key] for key in KEYS}, "asked": printable(asked) or None, "workflows": workflows, "open": undecided}


def row_name(row: Mapping[str, Any]) -> str:
    """A class, or a model as directory/name: what an unresolved row is accepted by."""
    return str(row["class"] if "class" in row else row["model"])


def row_reason(row: Mapping[str, Any]) -> str:
    if row.get("reason"):
        return str(row["reason"])
    return f"needs ComfyUI {row['needs_version']}" if row.get("needs_version") else "newer than this ComfyUI"


def workflow_table(report: Mapping[str, Any], width: int = WIDTH) -> list[str]:
    """The report as lines for people."""
    workflows = report["workflows"]
    folder = _common_folder([one["file"] for one in workflows])
    lines = [_summary(report), *_grounds(report, width), *([f"In {folder}:"] if folder else [])]
    for one in workflows:
        shown = [need for need in one["needs"] if need["missing"] is not False]
        words = one["reason"] or ("" if shown or one["runnable"] else "it needs nothing beside ComfyUI")
        lines.append(f"{_verdict(one):<12}  {one['file'].removeprefix(folder)}" + (f"  {words}" if words else ""))
        names = min(max((len(need["name"]) for need in shown), default=0), width // 2)
        for need in shown:
            start = f"    {need['kind']:<5}  {_cut(need['name'], names):<{names}}  "
            lines.append(start + _cut(need["detail"], width - len(start)))
    lines = [printable(line) for line in lines]
    lines = [line if len(line) <= width else f"{line[: width - 1]}…" for line in lines]
    # What a finding says ends in what to do about it, and so is not cut.
    return lines + _finding_lines(report["findings"], folder, width)


def _pack_needs(packs: Iterable[Mapping[str, Any]], asked: str) -> list[dict[str, Any]]:
    return [_need("pack", pack["name"], pack, _pack_origin(pack), asked) for pack in packs]


def _model_needs(models: Sequence[Mapping[str, Any]], unresolved: Iterable[Mapping[str, Any]], asked: str) -> list[dict[str, Any]]:
    """The models of a file, and what is unresolved in it; a model that is both is told once."""
    needs = {}
    for model in models:
        name = f"{model['directory']}/{model['name']}"
        needs[name] = _need("model", name, model, model.get("url") or "no source known", asked)
    for row in unresolved:
        name, kind = row_name(row), "class" if "class" in row else "model"
        needs.setdefault(name, {"kind": kind, "name": name, "detail": row_reason(row), "missing": True})
    return list(needs.values())


def _need(kind: str, name: str, row: Mapping[str, Any], detail: str, asked: str) -> dict[str, Any]:
    """Whether it is missing is null where the instance, if one was asked, could not say."""
    installed = row.get("installed") if asked else None
    return {"kind": kind, "name": name, "detail": detail, "missing": None if installed is None else not installed}


def _pack_origin(pack: Mapping[str, Any]) -> str:
    origin = pack["repository"] or "no repository is known"
    if pack["confidence"] == "high":
        return origin
    others = ", ".join(one["repository"] or one["name"] for one in pack.get("candidates") or [] if one["repository"] != pack["repository"])
    return f"{origin} (not sure{f'; or {others}' if others else ''})"


def _runnable(needs: Iterable[Mapping[str, Any]], asked: str) -> bool | None:
    if not asked:
        return None
    missing = {need["missing"] for need in needs}
    return False if True in missing else None if None in missing else True


def _summary(report: Mapping[str, Any]) -> str:
    verdicts = [_verdict(one) for one in report["workflows"]]
    counts = ", ".join(f"{words}: {verdicts.count(words)}" for words in (*VERDICTS.values(), UNREADABLE) if words in verdicts)
    asked = f"{report['asked']} was asked what it has" if report["asked"] else "no instance was asked, so this is what they need"
    return f"{len(verdicts)} workflows{f' ({counts})' if counts else ''}; {asked}."


def _grounds(report: Mapping[str, Any], width: int) -> list[str]:
    """What the answers rest on, and how old it is."""
    builtins, words = report["builtins"], report["registry"]["words"]
    version = [f"ComfyUI {builtins['version']}"] if builtins["version"] else []
    told = [f"Builtin classes: {'; '.join([*version, *filter(None, [builtins['note']])])}", f"Registry: {words}"]
    return [line for text in told for line in textwrap.wrap(text, width, subsequent_indent="    ")]


def _verdict(workflow: Mapping[str, Any]) -> str:
    return VERDICTS[workflow["runnable"]] if workflow["valid"] else UNREADABLE


def _finding_lines(findings: Iterable[Mapping[str, Any]], folder: str, width: int) -> list[str]:
    """The same finding in many files is one line."""
    places: dict[tuple[int, str, str], list[str]] = {}
    for finding in findings:
        key = (SEVERITIES.index(finding["severity"]), finding["kind"], finding["message"])
        place = finding["file"].removeprefix(folder)
        places.setdefault(key, []).append(f"{place} node {finding['node']}" if finding["node"] else place)
    lines = []
    for (severity, kind, message), where in sorted(places.items()):
        more = f" and {len(where) - 1} more" if len(where) > 1 else ""
        line = f"{SEVERITIES[severity]:<7}  {kind}  {printable(where[0])}{more}: {printable(message)}"
        lines += textwrap.wrap(line, width, subsequent_indent=" " * 9)
    return ["Findings:", *lines] if lines else []


def _common_folder(paths: Sequence[str]) -> str:
    """The folder that all of them are in, with a slash; nothing where there is none."""
    folder = os.path.commonprefix([path[: path.rfind("/") + 1] for path in paths])
    return folder[: folder.rfind("/") + 1]


def _cut(text: str, width: int) -> str:
    """Without its middle where it is too long: an address is told by its host and its file name."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"
