# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a catalogue should say after workflows were read: its rows as they stand, new ones, and what a person must decide.

A row that is there is never changed. What comes from a workflow becomes a row only when the evidence is strong and the row can
be used as it is; anything else becomes a question, which has no effect until a person answers it.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import (
    SECTIONS,
    CatalogueError,
    model_path,
    parse_model,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._git import PROTOCOLS, same_repository
from ansible_collections.emprops.comfyui.plugins.module_utils._manifest import ManifestError, parse_packs
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_report import row_name, row_reason
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import printable

MOST_FILES = 3
MOST_WARNINGS = 3
MOST_NAMES = 8
MOST_CHOICES = 5
OWNER_AND_NAME = re.compile(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+")
# Ansible would evaluate these in a variable that the inventory holds.
JINJA = re.compile(r"\{[{%#]")
SOURCES = {
    "catalogue": "the catalogue",
    "workflow": "the workflow's list of models",
    "downloader": "a downloader node",
    "value": "an address where the name should be",
    "model_list": "ComfyUI-Manager's list of models",
    "note": "a note",
}


@dataclass(frozen=True)
class Row:
    """A row of the catalogue; an open one is a question, and its entries are the possible answers."""

    order: tuple[str, ...]
    comments: tuple[str, ...]
    entries: tuple[Any, ...]
    open: bool = False


@dataclass
class _Kept:
    """A row that has effect, and who needs it."""

    entry: Any
    order: tuple[str, ...]
    seen_in: set[str] = field(default_factory=set)
    evidence: str = ""
    remarks: list[str] = field(default_factory=list)
    unlisted: set[str] = field(default_factory=set)

    def need(self, seen_in: Iterable[str], evidence: str = "", classes: Iterable[str] = ()) -> None:
        """Somebody needs it, for these classes too where it has a list of them."""
        self.seen_in |= set(seen_in)
        self.evidence = self.evidence or evidence
        if self.classes:
            self.unlisted |= set(classes)

    @property
    def classes(self) -> list[str]:
        value = self.entry.get("classes") if isinstance(self.entry, dict) else None
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

    @property
    def row(self) -> Row:
        first = f"{_where(self.seen_in)}{self.evidence}" if self.seen_in else "not needed by any workflow read"
        unlisted = [f"also used, and not among its classes: {_names(sorted(self.unlisted))}"] if self.unlisted else []
        return Row(self.order, (first, *self.remarks, *unlisted), (self.entry,))


@dataclass(frozen=True)
class _Known:
    """The rows that have effect, and how they are found."""

    packs: list[_Kept]
    models: list[_Kept]
    accepted: list[_Kept]

    def __post_init__(self) -> None:
        # Always asked in the same order, so that writing twice is writing once.
        for rows in (self.packs, self.models, self.accepted):
            rows.sort(key=lambda row: row.order)

    @property
    def by_class(self) -> dict[str, _Kept]:
        return {name: pack for pack in reversed(self.packs) for name in pack.classes}

    def pack(self, candidates: Iterable[Mapping[str, Any]]) -> _Kept | None:
        return next((row for candidate in candidates for row in self.packs if _same_pack(row.entry, candidate)), None)


def draft_catalogue(result: Mapping[str, Any], previous: Mapping[str, Any]) -> dict[str, list[Row]]:
    """The rows of each section, in order, from what workflow_info returned and from the catalogue as it is. Raises CatalogueError."""
    known = _Known(*(_kept(section, previous.get(section)) for section in SECTIONS))
    models: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for model in result["models"]:
        models.setdefault(_model_order(model["directory"], model["name"]), []).append(model)
    # What is certain first: it may be the answer to what is not.
    for pack in result["packs"]:
        known = _with_pack(known, pack)
    known = _with_models(known, models)

    reasons = {row_name(row): row_reason(row) for row in result["unresolved"]}
    by_path = {row.order: row for row in known.models}
    questions = {
        "custom_nodes": [row for pack in result["packs"] if (row := _ask_pack(pack, known))],
        "models": [row for order, group in models.items() if (row := _ask_model(order, group, by_path.get(order), reasons))],
        "accepted": [],
    }
    _ask_unresolved(result, known, questions)
    kept = zip(SECTIONS, (known.packs, known.models, known.accepted), strict=True)
    return {section: sorted([*(row.row for row in rows), *questions[section]], key=lambda row: row.order) for section, rows in kept}


def _kept(section: str, entries: Any) -> list[_Kept]:
    if not isinstance(entries or [], list):
        raise CatalogueError(f"{section} is no list")
    rows = []
    for number, entry in enumerate(entries or [], start=1):
        name = _accepted_name(entry) if section == "accepted" else entry.get("name") if isinstance(entry, dict) else None
        directory = entry.get("directory") if section == "models" and isinstance(entry, dict) else ""
        if not isinstance(name, str) or not isinstance(directory, str):
            raise CatalogueError(f"{section}: entry {number} has no name" + (" or no directory" if section == "models" else ""))
        rows.append(_Kept(entry, _model_order(directory, name) if section == "models" else _order(name)))
    return rows


def _with_pack(known: _Known, pack: Mapping[str, Any]) -> _Known:
    """A pack that is certain, and whose row can be used as it is, becomes one."""
    classes = _open_classes(pack, known)
    if not _is_sure(pack) or known.pack([pack]) or (pack["classes"] and not classes):
        return known
    entry = _pack_entry(pack, classes)
    return replace(known, packs=[*known.packs, _Kept(entry, _order(pack["name"]))]) if _is_usable_pack(entry) else known


def _with_models(known: _Known, models: Mapping[tuple[str, ...], Sequence[Mapping[str, Any]]]) -> _Known:
    there = {row.order for row in known.models}
    new = [_Kept(_model_entry(group[0]), order) for order, group in models.items() if order not in there and not _model_question(group, {})]
    return replace(known, models=[*known.models, *new])


def _ask_pack(pack: Mapping[str, Any], known: _Known) -> Row | None:
    """The question about a pack, or None where a row answers it, which then says who needs it."""
    candidates = [pack] if _is_sure(pack) else [pack, *(pack.get("candidates") or [])]
    evidence = f"; known by: {_names(pack['how'])}; confidence {pack['confidence']}"
    classes = _open_classes(pack, known)
    row = known.pack(candidates)
    if row is not None:
        row.need(pack["seen_in"], evidence if _same_pack(row.entry, pack) else "", classes)
        return None
    by_class = known.by_class
    for name in pack["classes"]:
        if name in by_class:
            by_class[name].need(pack["seen_in"])
    if pack["classes"] and not classes:
        return None
    entries = [_pack_entry({**pack, **candidate}, classes) for candidate in candidates if candidate.get("repository")]
    usable = [entry for number, entry in enumerate(entries) if _is_usable_pack(entry) and entry not in entries[:number]]
    stars = ", ".join(f"{one['name']} {one['stars']}" for one in candidates if one.get("stars") is not None)
    question = f"DECIDE: which pack has the class {_names(classes) or pack['name']}?"
    comments = (question, _where(pack["seen_in"]) + evidence, *([f"stars: {stars}"] if stars else []))
    blank = _pack_entry({"name": pack["name"] if _is_plain(pack["name"]) else "", "repository": ""}, classes)
    return Row(_order(pack["name"]), comments, tuple(usable[:MOST_CHOICES]) or (blank,), open=True)


def _ask_model(order: tuple[str, ...], group: Sequence[Mapping[str, Any]], row: _Kept | None, reasons: Mapping[str, str]) -> Row | None:
    """The same for all that was said about one model."""
    seen_in = [path for model in group for path in model["seen_in"]]
    evidence, remarks = _model_evidence(group)
    if row is None:
        entries = [_model_entry(model) for model in group]
        usable = [entry for number, entry in enumerate(entries) if _is_usable_model(entry) and entry not in entries[:number]]
        comments = (f"DECIDE: {_model_question(group, reasons)}", _where(seen_in) + evidence, *remarks)
        return Row(order, comments, tuple(usable[:MOST_CHOICES]), open=True)
    row.need(seen_in, evidence)
    own = row.entry.get("url")
    others = {model["url"] for model in group if own and model.get("url") and model["url"] != own}
    row.remarks += [*remarks, *(f"the workflows would have it from {url}" for url in sorted(others))]
    return None


def _ask_unresolved(result: Mapping[str, Any], known: _Known, questions: Mapping[str, list[Row]]) -> None:
    """Ask about each class and model that has no answer yet, and whether to go on without it."""
    accepted = {model_path("", _accepted_name(row.entry)): row for row in known.accepted}
    asked_packs = {question.order for question in questions["custom_nodes"]}
    unknown: dict[str, list[Mapping[str, Any]]] = {}
    for row, builtin in [*((row, False) for row in result["unresolved"]), *((row, True) for row in result["builtin_too_new"])]:
        acceptance = accepted.get(model_path("", row_name(row)))
        if acceptance is not None:
            acceptance.need(row["seen_in"])
        elif "model" in row:
            if _model_order("", row["model"]) not in {kept.order for kept in known.models}:
                _ask_folder(row, known, questions)
        elif not _is_answered(row, known):
            pack = next((pack for pack in result["packs"] if row["class"] in pack["classes"]), None)
            if pack is None and not builtin:
                unknown.setdefault(row.get("suggestion") or row["class"], []).append(row)
            if pack is None or _order(pack["name"]) in asked_packs:
                questions["accepted"].append(_acceptance(row))
    questions["custom_nodes"].extend(_unknown_classes(rows) for rows in unknown.values())


def _is_answered(row: Mapping[str, Any], known: _Known) -> bool:
    suggested = _suggested_pack(row)
    owner = known.by_class.get(row["class"]) or (known.pack([suggested]) if suggested else None)
    if owner is not None:
        owner.need(row["seen_in"], classes={row["class"]} - set(owner.classes))
    return owner is not None


def _suggested_pack(row: Mapping[str, Any]) -> dict[str, str] | None:
    """The repository that a suggestion names, as an address or as GitHub's owner/name."""
    text = str(row.get("suggestion") or "")
    url = text if text.startswith("https://") else f"https://github.com/{text}" if OWNER_AND_NAME.fullmatch(text) else ""
    pack = {"name": url.rpartition("/")[2].removesuffix(".git"), "repository": url}
    return pack if url and _is_usable_pack(_pack_entry(pack, [])) else None


def _ask_folder(row: Mapping[str, Any], known: _Known, questions: Mapping[str, list[Row]]) -> None:
    """A model that has no row of its own in the result is one whose folder nobody knows, or whose name was refused."""
    questions["accepted"].append(_acceptance(row))
    path = model_path("", row["model"])
    answers = [kept for kept in known.models if kept.order[1].endswith(f"/{path}")]
    for answer in answers:
        answer.need(row["seen_in"])
    if not answers and _order(path) not in {question.order for question in questions["models"]}:
        questions["models"].append(_unknown_model(row))


def _is_sure(pack: Mapping[str, Any]) -> bool:
    return pack["confidence"] == "high" and bool(pack["repository"])


def _open_classes(pack: Mapping[str, Any], known: _Known) -> list[str]:
    """Its classes that no row claims."""
    return sorted(set(pack["classes"]) - set(known.by_class))


def _pack_entry(pack: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    plain = [name for name in classes if _is_plain(name)]
    return {"name": pack["name"], "url": pack["repository"], **({"classes": plain} if plain else {})}


def _unknown_classes(rows: Sequence[Mapping[str, Any]]) -> Row:
    """One question about all classes for which the same pack is suggested, because it can have one row only."""
    names = sorted(row["class"] for row in rows)
    pack = _suggested_pack(rows[0])
    suggestion = [f"suggestion: {rows[0]['suggestion']}"] if rows[0].get("suggestion") else []
    question = f"DECIDE: which pack has the class {_names(names)}?"
    comments = (question, rows[0]["reason"], _where(path for row in rows for path in row["seen_in"]), *suggestion)
    entry = _pack_entry(pack or {"name": "", "repository": ""}, names)
    return Row(("\U0010ffff", *_order(names[0])), comments, (entry,) if "classes" in entry else (), open=True)


def _unknown_model(row: Mapping[str, Any]) -> Row:
    name = row["model"]
    suggestion = [f"suggestion: {row['suggestion']}"] if row.get("suggestion") else []
    entry = {"name": name, "directory": "", "url": ""}
    comments = (f"DECIDE: which folder does {name} belong to? {row['reason']}", _where(row["seen_in"]), *suggestion)
    usable = _is_usable_model({**entry, "directory": "unknown"})
    return Row(_model_order("", name), comments, (entry,) if usable else (), open=True)


def _model_evidence(group: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]]:
    origins = sorted({SOURCES.get(model["source"], str(model["source"])) for model in group if model.get("url")})
    evidence = f"; address from {' and from '.join(origins)}; confidence {group[0]['confidence']}" if origins else ""
    remarks = []
    if any(model.get("pickle") for model in group):
        remarks.append("a pickle, which can run code when it is loaded")
    if any(model.get("installed") for model in group):
        remarks.append("the instance that was asked has it")
    if not any(model.get("active", True) for model in group):
        remarks.append("only nodes that are muted or bypassed use it")
    warnings = sorted({warning for model in group for warning in model.get("warnings") or []})
    return evidence, [*remarks, *warnings[:MOST_WARNINGS]]


def _model_question(group: Sequence[Mapping[str, Any]], reasons: Mapping[str, str]) -> str:
    """What there is to ask about a model that the catalogue does not have; nothing where its row can be used as it is."""
    model = group[0]
    label = f"{model['directory']}/{model['name']}"
    if len({one.get("url") for one in group}) > 1:
        return f"which address is that of {label}?"
    if not model.get("url"):
        return f"where does {label} come from? {reasons.get(label, '')}".rstrip()
    if not _is_usable_model(_model_entry(model)):
        return f"what is to become of {label}? Its row cannot be used as it is."
    if any(one["confidence"] != "high" for one in group):
        return f"are the folder and the address of {label} right?"
    return ""


def _model_entry(model: Mapping[str, Any]) -> dict[str, Any]:
    facts = {key: model[key] for key in ("sha256", "size") if model.get(key)}
    return {"name": model["name"], "directory": model["directory"], "url": model.get("url") or "", **facts}


def _acceptance(row: Mapping[str, Any]) -> Row:
    name = row_name(row)
    entries = ({"name": name, "note": ""},) if _is_plain(name) else ()
    return Row(_order(name), (f"DECIDE: go on without {name}? {row_reason(row)}", _where(row["seen_in"])), entries, open=True)


def _accepted_name(entry: Any) -> Any:
    return entry.get("name") if isinstance(entry, dict) else entry


def _same_pack(entry: Mapping[str, Any], pack: Mapping[str, Any]) -> bool:
    """By folder, which a pack can have only once, or by repository."""
    if str(entry["name"]).casefold() == str(pack["name"]).casefold():
        return True
    url = next((entry[key] for key in ("url", "gitUrl", "repositoryUrl") if isinstance(entry.get(key), str)), None)
    try:
        return bool(url and pack.get("repository")) and same_repository(str(url), pack["repository"])
    except ValueError:
        return False


def _is_usable_pack(entry: Mapping[str, Any]) -> bool:
    try:
        parse_packs([dict(entry)], "", PROTOCOLS)
    except ManifestError:
        return False
    return _is_plain(entry["name"]) and _is_plain(entry["url"])


def _is_usable_model(entry: Mapping[str, Any]) -> bool:
    try:
        parse_model(entry)
    except ValueError:
        return False
    return all(_is_plain(value) for value in entry.values() if isinstance(value, str))


def _is_plain(text: str) -> bool:
    """Whether a text from outside may stand in a variable."""
    return text.isprintable() and len(text) <= 2000 and not JINJA.search(text)


def _where(paths: Iterable[str]) -> str:
    """A few names of files; their folders differ from one computer to the next, and would make every run a change."""
    return f"in {_names(sorted({PurePath(path).name for path in paths}), MOST_FILES)}"


def _names(names: Sequence[str], most: int = MOST_NAMES) -> str:
    shown = ", ".join(printable(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _order(name: str) -> tuple[str, ...]:
    return name.casefold(), name


def _model_order(directory: str, name: str) -> tuple[str, ...]:
    return _order(model_path(directory, name))
