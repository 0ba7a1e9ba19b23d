# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a set of workflow files needs: every file is read by itself, then packs and models are put together over all of them.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import Catalogue, model_path
from ansible_collections.emprops.comfyui.plugins.module_utils._core_nodes import FRONTEND_ONLY, Builtins, ObjectInfo
from ansible_collections.emprops.comfyui.plugins.module_utils._model_inputs import PICKLES, ComboFolders, looks_like_model
from ansible_collections.emprops.comfyui.plugins.module_utils._registry import Registry
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_file import (
    NoWorkflowError,
    WorkflowError,
    WorkflowFile,
    find_files,
    read_workflow,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_graph import Graph, Node, is_link
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_models import (
    ModelReader,
    ModelUse,
    Say,
    addresses_in,
    find_secrets,
    note_texts,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_packs import (
    CORE_ID,
    Ambiguous,
    Choice,
    Evidence,
    PackResolver,
    Verdict,
    class_problem,
    needed_version,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import (
    RefusedError,
    check_url,
    printable,
)

# More of one file is not for people to read.
MOST_FINDINGS = 200
MOST_ADDRESSES = 10
MOST_MODELS = 20_000
# What ComfyUI tries after a name in a text.
TAG_ENDINGS = (".safetensors", ".pt", ".bin")
# The claims of a model in the order in which they are believed; the catalogue stands before, the registry between.
_RANKS = ("workflow", "downloader", "value")


@dataclass(frozen=True)
class Options:
    """What the operator decided; see the module's documentation."""

    allowed_hosts: Sequence[str]
    ambiguous: Ambiguous = "best"
    include_inactive: bool = False
    include_frontend_only: bool = False
    allow_unlisted_packs: bool = False
    allow_renames: bool = False


@dataclass
class _Claims:
    """All that was said about one model."""

    name: str
    directory: str
    active: bool = False
    sure: bool = True
    seen_in: set[str] = field(default_factory=set)
    urls: Counter[tuple[str, str]] = field(default_factory=Counter)
    hashes: dict[str, str] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)


class Analysis:
    """Collects files one by one; `result` puts them together. Nothing in a file makes it raise."""

    def __init__(
        self, options: Options, *, builtins: Builtins, object_info: ObjectInfo | None, catalogue: Catalogue, registry: Registry
    ) -> None:
        self._options = options
        self._catalogue = catalogue
        self._registry = registry
        self._combos = ComboFolders(object_info.inputs if object_info else {})
        self._asked = object_info is not None
        self._packs_of = PackResolver(
            builtins=builtins,
            object_info=object_info,
            catalogue=catalogue,
            registry=registry,
            ambiguous=options.ambiguous,
            allow_unlisted=options.allow_unlisted_packs,
        )
        self._started = time.perf_counter()
        self._files: dict[str, dict[str, Any]] = {}
        self._findings: list[dict[str, str]] = []
        self._told: set[tuple[str, str]] = set()
        self._packs: dict[str, dict[str, Any]] = {}
        self._too_new: dict[str, dict[str, Any]] = {}
        self._unresolved_classes: dict[str, dict[str, Any]] = {}
        self._refused_models: dict[str, dict[str, Any]] = {}
        self._unplaced: dict[str, _Claims] = {}
        self._models: dict[str, _Claims] = {}
        self._models_of: dict[str, list[str]] = {}

    def read(self, path: Path, *, named: bool = True) -> None:
        """Read one file; whatever is wrong with it is said in its row. Who named a folder did not call all in it workflows."""
        key = printable_path(path)
        problem = ""
        other = False
        try:
            self.add(key, read_workflow(path))
        except NoWorkflowError as error:
            problem, other = str(error), not named
        except WorkflowError as error:
            problem = str(error)
        except RecursionError:
            problem = "recursion: it is nested too deep"
        except MemoryError:
            problem = "it is too large for the memory of this machine"
        # Outside, where what the error holds on to is free again.
        if problem:
            self.refuse(key, problem, other=other)

    def refuse(self, path: str, reason: str, *, other: bool = False) -> None:
        self._models_of.pop(path, None)
        self._files[path] = {"valid": False, "error": printable(reason), "other": other}

    def add(self, path: str, file: WorkflowFile) -> None:
        """Take a file that could be read. Raises WorkflowError before anything of it is taken."""
        graphs = [Graph(document) for document in file.documents]
        ui = [graph for graph in graphs if graph.document.kind == "ui"]
        say = self._teller(path)
        row: dict[str, Any] = {
            "valid": True,
            "format": {
                "container": file.container,
                "documents": [graph.document.kind for graph in graphs],
                "primary": "ui" if ui else "api",
            },
        }
        for graph in graphs:
            for kind, words, node in graph.problems:
                say(kind, "warning", words, node)
        prompts = [graph for graph in graphs if graph.document.kind == "api"]
        chosen = [*ui, *(prompt for prompt in prompts if not any(_confirm(graph, prompt) for graph in ui))]
        groups = [(graph, [node for node in graph.nodes if node.active or self._options.include_inactive]) for graph in chosen]
        self._files[path] = row
        row.update(self._judge_classes(path, [node for _graph, nodes in groups for node in nodes], say))
        self._take_models(path, self._read_models(groups, say), ui, row["unresolved"])
        for graph in graphs:
            find_secrets(graph.nodes, say)
        for graph in graphs:
            graph.close()

    def result(self) -> dict[str, Any]:
        """The whole answer, in a stable order."""
        models, unresolved = self._settle_models()
        packs = [self._packs[name] for name in sorted(self._packs, key=str.casefold)]
        for pack in packs:
            for key in ("classes", "seen_in", "versions_seen", "how"):
                pack[key] = sorted(pack[key])
        for row in (*self._too_new.values(), *self._unresolved_classes.values(), *unresolved):
            row["seen_in"] = sorted(row["seen_in"])
        unresolved = [*(self._unresolved_classes[name] for name in sorted(self._unresolved_classes)), *unresolved]
        invalid = sum(not row["valid"] for row in self._files.values())
        return {
            "files": self._files,
            "packs": packs,
            "models": models,
            "builtin_too_new": [self._too_new[name] for name in sorted(self._too_new)],
            "unresolved": unresolved,
            "findings": self._findings,
            "summary": {
                "files": len(self._files),
                "valid": len(self._files) - invalid,
                "invalid": invalid,
                "packs": len(packs),
                "models": len(models),
                "unresolved": len(unresolved),
                "seconds": round(time.perf_counter() - self._started, 3),
            },
            "registry": self._registry.origin.to_dict(),
        }

    def _read_models(self, groups: Sequence[tuple[Graph, Sequence[Node]]], say: Say) -> Iterator[ModelUse]:
        for graph, nodes in groups:
            reader = ModelReader(
                graph,
                say,
                allowed_hosts=self._options.allowed_hosts,
                allow_renames=self._options.allow_renames,
                folder_of_combo=self._combos.folder,
            )
            for use in reader.read(nodes):
                # A row of a list can be switched off in a node that runs.
                if use.active or self._options.include_inactive:
                    yield use

    def _teller(self, path: str) -> Say:
        told: set[tuple[str, str]] = set()

        def say(kind: str, severity: str, message: str, node: str) -> None:
            if (kind, message) in told or len(told) > MOST_FINDINGS:
                return
            told.add((kind, message))
            if len(told) > MOST_FINDINGS:
                kind, severity, message, node = "more", "info", f"more than {MOST_FINDINGS} findings; the rest is not listed", ""
            self._findings.append({"kind": kind, "severity": severity, "message": message, "file": path, "node": node})

        return say

    def _judge_classes(self, path: str, nodes: Sequence[Node], say: Say) -> dict[str, Any]:
        classes: dict[str, Evidence] = {}
        refused = []
        for node in nodes:
            evidence = classes.get(node.type)
            if evidence is None:
                problem = class_problem(node.type)
                if problem:
                    say("refused_name", "error", f"the class name {printable(node.type)!r} is refused: {problem}", node.id)
                    refused.append((printable(node.type), f"the class name is refused: {problem}"))
                    continue
                evidence = classes[node.type] = Evidence(node.id)
            evidence.add(node.properties)
        row: dict[str, Any] = {
            name: [] for name in ("comfyui_classes", "custom_node_classes", "frontend_only_classes", "packs", "models", "unresolved")
        }
        for name, reason in refused:
            self._note_unresolved(path, name, reason, None, row)
        for name, verdict in sorted(self._packs_of.judge(classes).items()):
            evidence = classes[name]
            if verdict.finding is not None:
                say(*verdict.finding, evidence.node)
            self._take_verdict(path, name, verdict, evidence, row)
        row["packs"] = sorted(set(row["packs"]), key=str.casefold)
        return row

    def _take_verdict(self, path: str, name: str, verdict: Verdict, evidence: Evidence, row: dict[str, Any]) -> None:
        if verdict.kind in ("builtin", "too_new"):
            row["comfyui_classes"].append(name)
        else:
            row["frontend_only_classes" if verdict.kind == "frontend" else "custom_node_classes"].append(name)
        if verdict.kind == "too_new":
            entry = self._too_new.setdefault(name, {"class": name, "seen_in": set(), "needs_version": None, "reason": verdict.words})
            entry["seen_in"].add(path)
            versions = evidence.versions.get(CORE_ID, set()) | ({entry["needs_version"]} if entry["needs_version"] else set())
            entry["needs_version"] = needed_version(versions)
        elif verdict.kind == "unresolved":
            self._note_unresolved(path, name, verdict.words, verdict.suggestion, row)
        if verdict.choice is not None and (verdict.kind != "frontend" or self._options.include_frontend_only):
            row["packs"].append(verdict.choice.name)
            self._take_pack(path, name, verdict.choice, evidence)

    def _note_unresolved(self, path: str, name: str, reason: str, suggestion: str | None, row: dict[str, Any]) -> None:
        entry: dict[str, Any] = {"class": name, "reason": reason, "suggestion": suggestion, "seen_in": set()}
        self._unresolved_classes.setdefault(name, entry)["seen_in"].add(path)
        row["unresolved"].append(name)

    def _take_pack(self, path: str, name: str, choice: Choice, evidence: Evidence) -> None:
        fresh: dict[str, Any] = {
            "name": choice.name,
            "repository": choice.repository,
            "cnr_id": choice.cnr_id,
            "versions_seen": set(),
            "classes": set(),
            "confidence": "high",
            "how": set(),
            "seen_in": set(),
            "candidates": [],
            "installed": choice.installed if self._asked else None,
        }
        pack = self._packs.setdefault(choice.name.casefold(), fresh)
        pack["classes"].add(name)
        pack["seen_in"].add(path)
        pack["how"].add(choice.how)
        pack["versions_seen"] |= self._packs_of.versions_of(choice, evidence)
        if choice.repository != pack["repository"]:
            words = f"two packs want the folder {choice.name}: {pack['repository']} is taken, and not {choice.repository}"
            self._find("conflicting_packs", "warning", words, path)
            pack["confidence"] = "low"
        if not choice.sure:
            pack["confidence"] = "low"
        known = {candidate["repository"] for candidate in pack["candidates"]}
        pack["candidates"] += [
            {"name": other.name, "repository": other.repository, "stars": other.stars}
            for other in choice.candidates
            if other.repository not in known
        ]

    def _take_models(self, path: str, uses: Iterable[ModelUse], ui: Sequence[Graph], unresolved: list[str]) -> None:
        keys: dict[str, None] = {}
        open_names: dict[str, dict[int, _Claims]] = {}
        names: set[str] = set()
        for use in uses:
            names.add(f"{use.directory}/{use.name}")
            if len(names) > MOST_MODELS:
                words = f"it names more than {MOST_MODELS} models; the rest is not read"
                self._refused_models[path] = {"model": path, "reason": words, "suggestion": None, "seen_in": {path}}
                unresolved.append(path)
                break
            if use.refused:
                entry: dict[str, Any] = {"model": use.name, "reason": use.refused, "suggestion": None, "seen_in": set()}
                self._refused_models.setdefault(use.name, entry)["seen_in"].add(path)
                unresolved.append(use.name)
                continue
            if use.directory is None:
                self._place(use)
            key = model_path(use.directory or "?", use.name)
            table = self._unplaced if use.directory is None else self._models
            claims = table.get(key)
            if claims is None:
                claims = table[key] = _Claims(use.name, use.directory or "", sure=use.sure)
            if use.directory is None:
                unresolved.append(use.name)
            else:
                keys[key] = None
            claims.active |= use.active
            claims.sure |= use.sure
            claims.seen_in.add(path)
            if use.warning and use.warning not in claims.warnings:
                claims.warnings.append(use.warning)
            if use.url:
                claims.urls[use.source, use.url] += 1
                if use.sha256:
                    claims.hashes[use.url] = use.sha256
            else:
                open_names.setdefault(use.name.rpartition("/")[2], {})[id(claims)] = claims
        self._models_of[path] = list(keys)
        if open_names:
            for name, urls in self._noted(ui, open_names.keys()).items():
                for claims in open_names[name].values():
                    claims.notes.update(urls)

    def _place(self, use: ModelUse) -> None:
        """Where nothing says which folder is meant, the only file of that name in the catalogue is."""
        pins = {pin.path: pin for pin in self._catalogue.models_named(use.name)}
        if len(pins) == 1:
            _path, pin = pins.popitem()
            use.directory, use.name = pin.directory, pin.name

    def _noted(self, ui: Sequence[Graph], names: Collection[str]) -> dict[str, set[str]]:
        """Links to exactly these files in what people wrote beside the nodes."""
        found: dict[str, set[str]] = {}
        for address in {address for graph in ui for address in addresses_in(note_texts(graph.nodes))}:
            try:
                name = unquote(urlsplit(address).path.rpartition("/")[2])
                if name in names and len(found.get(name, ())) < MOST_ADDRESSES:
                    found.setdefault(name, set()).add(check_url(address, self._options.allowed_hosts).url)
            except ValueError:  # no address at all, or a refused one
                continue
        return {name: urls for name, urls in found.items() if urls}

    def _settle_models(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        numbers: dict[str, int] = {}
        rows: list[dict[str, Any]] = []
        unresolved: list[dict[str, Any]] = list(self._refused_models.values())
        missing: set[str] = set()
        for key in sorted(self._models):
            claims = self._models[key]
            numbers[key] = len(rows)
            row, reason, suggestion = self._settle_model(claims)
            rows.append(row)
            if reason:
                label = f"{claims.directory}/{claims.name}"
                unresolved.append({"model": label, "reason": reason, "suggestion": suggestion, "seen_in": claims.seen_in})
                missing.add(key)
        for key in sorted(self._unplaced):
            claims = self._unplaced[key]
            listed = self._registry.models(claims.name.rpartition("/")[2])
            suggestion = f"{model_path(listed[0].directory, '')}: {printable(listed[0].url)}" if listed else None
            reason = "nothing says which folder its node looks in"
            unresolved.append({"model": claims.name, "reason": reason, "suggestion": suggestion, "seen_in": claims.seen_in})
        for path, keys in self._models_of.items():
            file = self._files[path]
            file["models"] = [numbers[key] for key in keys]
            file["unresolved"] = sorted({*file["unresolved"], *(model_label(rows[numbers[key]]) for key in keys if key in missing)})
        return rows, sorted(unresolved, key=lambda row: str(row["model"]))

    def _settle_model(self, claims: _Claims) -> tuple[dict[str, Any], str, str | None]:
        row: dict[str, Any] = {
            "name": claims.name,
            "directory": claims.directory,
            "url": None,
            "sha256": None,
            "size": None,
            "source": "none",
            "confidence": "high" if claims.sure else "low",
            "active": claims.active,
            "pickle": claims.name.lower().endswith(PICKLES),
            "seen_in": sorted(claims.seen_in),
            "warnings": list(claims.warnings),
        }
        if self._asked:
            row["installed"] = self._combos.has(claims.directory, claims.name)
        if row["pickle"]:
            words = f"{claims.directory}/{claims.name} is a pickle: loading it can run code that is in it"
            self._find("pickle", "warning", words, row["seen_in"][0])
        self._compare_urls(claims, row)
        if not looks_like_model(claims.name):
            self._complete_name(claims, row)
        reason, suggestion = self._find_source(claims, row)
        if reason and not looks_like_model(claims.name):
            # ComfyUI runs without it, and says so in its log.
            self._find("unknown_tag", "warning", f"{claims.directory}/{claims.name}, named in a text: {reason}", row["seen_in"][0])
            reason = ""
        return row, "" if row.get("installed") else reason, suggestion

    def _complete_name(self, claims: _Claims, row: dict[str, Any]) -> None:
        """A text names a file without its ending: the one that the catalogue or the registry has is meant."""
        for ending in TAG_ENDINGS:
            name = claims.name + ending
            listed = self._registry.models(name.rpartition("/")[2])
            if self._catalogue.model(claims.directory, name) or any(model_path(one.directory, "") == claims.directory for one in listed):
                row["name"] = claims.name = name
                return

    def _compare_urls(self, claims: _Claims, row: dict[str, Any]) -> None:
        urls = sorted({url for source, url in claims.urls if source in ("workflow", "downloader")})
        if len(urls) > 1:
            row["confidence"] = "low"
            row["warnings"].append(f"workflows name {len(urls)} addresses for it: {', '.join(printable(url) for url in urls[:5])}")
            words = f"{claims.directory}/{claims.name} has {len(urls)} addresses: {', '.join(printable(url) for url in urls[:5])}"
            self._find("conflicting_urls", "warning", words, row["seen_in"][0])

    def _find_source(self, claims: _Claims, row: dict[str, Any]) -> tuple[str, str | None]:
        """Fill in where the file comes from, or say why that is not known."""
        pin = self._catalogue.model(claims.directory, claims.name)
        if pin is not None:
            row.update(url=pin.url, sha256=pin.sha256, size=pin.size, source="catalogue", confidence="high")
            return ("", None) if pin.url else ("the catalogue has no address for it", None)
        for source in _RANKS:
            found = sorted((-count, url) for (kind, url), count in claims.urls.items() if kind == source)
            if found:
                row.update(url=found[0][1], sha256=claims.hashes.get(found[0][1]), source=source)
                return "", None
        pins = [pin for pin in self._catalogue.models_named(claims.name) if pin.url]
        near = [pin for pin in pins if model_path(pin.directory, "").partition("/")[0] == claims.directory.partition("/")[0]]
        if len({(pin.url, pin.sha256) for pin in near}) == 1:
            row.update(url=near[0].url, sha256=near[0].sha256, size=near[0].size, source="catalogue", confidence="low")
            row["warnings"].append(f"the catalogue's file of this name, which it has as {near[0].path}")
            return "", None
        reason, suggestion = self._ask_registry(claims, row)
        return reason, suggestion or (f"the catalogue has {pins[0].path}" if pins else None)

    def _ask_registry(self, claims: _Claims, row: dict[str, Any]) -> tuple[str, str | None]:
        wanted = claims.directory.partition("/")[0]
        urls: dict[str, bool] = {}
        for listed in self._registry.models(claims.name.rpartition("/")[2]):
            try:
                url = check_url(listed.url, self._options.allowed_hosts).url
            except RefusedError:
                continue
            urls[url] = urls.get(url, False) or model_path(listed.directory, "").partition("/")[0] == wanted
        fitting = [url for url, fits in urls.items() if fits]
        if len(fitting) == 1:
            row.update(url=fitting[0], source="model_list", confidence="low")
            row["warnings"].append("the registry's file of this name and folder; nothing else says that it is the same")
            return "", None
        if len(fitting) > 1:
            return f"the registry lists {len(fitting)} files of this name for this folder", printable(fitting[0])
        noted = sorted((-count, url) for url, count in claims.notes.items())
        if noted:
            row.update(url=noted[0][1], source="note", confidence="low")
            if len(noted) > 1:
                row["warnings"].append(f"notes name {len(noted)} addresses for it")
            return "", None
        return "no source is known", printable(next(iter(urls))) if urls else None

    def _find(self, kind: str, severity: str, message: str, path: str) -> None:
        """A finding about no node in particular, told of the first file that has it."""
        if (kind, message) not in self._told:
            self._told.add((kind, message))
            self._findings.append({"kind": kind, "severity": severity, "message": message, "file": path, "node": ""})


def analyse(
    paths: Sequence[str],
    options: Options,
    *,
    builtins: Builtins,
    object_info: ObjectInfo | None,
    catalogue: Catalogue,
    registry: Registry,
) -> dict[str, Any]:
    """The module's result for files, folders and globs."""
    analysis = Analysis(options, builtins=builtins, object_info=object_info, catalogue=catalogue, registry=registry)
    files, refused = find_files(paths)
    for name, reason in refused.items():
        analysis.refuse(printable(name), reason)
    with _without_cycles_collected():
        for path in files:
            analysis.read(path, named=str(path) in paths)
    return analysis.result()


def model_label(row: dict[str, Any]) -> str:
    return f"{row['directory']}/{row['name']}"


def printable_path(path: Path) -> str:
    """A file's name as a key of the result: bytes that are no text are shown as such."""
    return str(path).encode(errors="backslashreplace").decode()


@contextmanager
def _without_cycles_collected() -> Iterator[None]:
    """Reading JSON makes many objects and no garbage: looking for cycles among them costs more than reading."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _confirm(graph: Graph, prompt: Graph) -> bool:
    """Take the compiled prompt's word for what of a workflow runs, and with which values. False: it is another workflow's."""
    compiled = {node.id: node for node in prompt.nodes}
    classes = {node.type for node in prompt.nodes}
    twins = {node.id: twin for node in graph.nodes if (twin := compiled.get(node.id)) is not None and twin.type == node.type}
    if not twins or 2 * len(twins) < len(compiled):
        return False
    for node in graph.nodes:
        twin = twins.get(node.id)
        if twin is not None:
            node.active = True
            if isinstance(twin.values, dict):
                node.compiled = {name: value for name, value in twin.values.items() if not is_link(value)}
        elif ":" not in node.id or node.type not in classes:
            # Nodes inside a group had other ids in older frontends.
            node.active = node.active and node.type in FRONTEND_ONLY
    return True
