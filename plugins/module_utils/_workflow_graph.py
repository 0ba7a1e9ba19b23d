# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The nodes of a workflow, flat: subgraphs and group nodes opened, and for each node whether it runs.

Formats (ComfyUI's frontend, schema versions 0.4 and 1):

    UI    {"nodes": [{id, type, mode, inputs, widgets_values, properties, …}], "links": […], "definitions": {"subgraphs": […]}, …}
    API   {node id: {"class_type", "inputs", "_meta"?}}

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_file import Document, WorkflowError

MOST_NODES = 100_000
# A subgraph that is used again is read again, with its texts and lists: so much of them counts as one more node.
CHARACTERS_PER_NODE = 128
DEEPEST = 16
LONGEST_CHAIN = 64
LONGEST_ID = 64
MOST_PROBLEMS = 100

# Modes of LiteGraph whose nodes do not run: muted and bypassed.
_INACTIVE_MODES = (2, 4)
# Ends of a subgraph's own links that stand for its outside.
_OUTSIDE_INPUT = -10
_OUTSIDE_OUTPUT = -20

REROUTE = "Reroute"
PRIMITIVE = "PrimitiveNode"


class Node:
    """One node that is no subgraph or group.

    id         path through subgraphs and groups, as ComfyUI writes it in a compiled prompt ("12:5")
    type       name of its class
    active     it and all that it is in would run
    raw        the node as it stands in the document
    values     UI: `widgets_values`, a list or a dict by input; API: the inputs, links among them
    promoted   values by input that an outer node sets
    compiled   values by input that a compiled prompt of the same workflow has
    """

    __slots__ = ("active", "compiled", "id", "promoted", "raw", "scope", "type", "values")

    def __init__(self, key: str, kind: str, active: bool, raw: Mapping[str, Any], scope: Scope, values: Any) -> None:
        self.id = key
        self.type = kind
        self.active = active
        self.raw = raw
        self.scope = scope
        self.values = values
        self.promoted: Mapping[str, Any] | None = None
        self.compiled: Mapping[str, Any] | None = None

    @property
    def properties(self) -> Mapping[str, Any]:
        """Where the frontend keeps cnr_id, aux_id, ver and models; a prompt may have the first three in `_meta`."""
        found = self.raw.get("properties" if self.scope.is_ui else "_meta")
        return found if isinstance(found, dict) else {}

    def names(self, order: Sequence[str] | None = None) -> list[str] | None:
        """The inputs that the entries of a list of values belong to, by a known order or by what the document says."""
        if order is not None:
            return list(order)
        named = self.raw.get("widgets_values_named")
        if isinstance(named, dict) and len(named) == len(self.values):
            return list(named)
        names = [name for name, _entry in self.widget_inputs()]
        if len(names) == len(self.values):
            return names
        seeded = [part for name in names for part in ((name, "") if name in ("seed", "noise_seed") else (name,))]
        return seeded if len(seeded) == len(self.values) else None

    def named_values(self, order: Sequence[str] | None = None) -> dict[str, Any]:
        """Literal values by input, as far as their names are known; an outer node's value stands before the node's own."""
        values = self.values
        if isinstance(values, dict):
            result = dict(values)
        elif isinstance(values, list):
            # Where two orders of a class differ in length the shorter part is the same in both.
            result = {name: value for name, value in zip(self.names(order) or (), values, strict=False) if name}
        else:
            result = {}
        if self.promoted:
            result.update(self.promoted)
        if self.compiled:
            result.update(self.compiled)
        return result

    def widget_inputs(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The inputs of a UI node that a widget stands behind."""
        inputs = self.raw.get("inputs")
        for entry in inputs if isinstance(inputs, list) else ():
            if isinstance(entry, dict) and isinstance(entry.get("widget"), dict):
                name = entry["widget"].get("name")
                yield (name if isinstance(name, str) else ""), entry

    def links(self) -> dict[str, Node | None]:
        """Inputs whose value comes from another node, and which one. A link from nowhere is none in the frontend's eyes."""
        if not self.scope.is_ui:
            values = self.values if isinstance(self.values, dict) else {}
            return {name: self.scope.members.get(str(value[0])) for name, value in values.items() if is_link(value)}
        found: dict[str, Node | None] = {}
        for name, entry in self.widget_inputs():
            link = _link(entry)
            if link is not None and not (self.compiled and name in self.compiled):
                origin = self.scope.origin(link, 0)
                if isinstance(origin, Node):
                    found[name] = origin
        return found


class _Synced:
    """What a link leads to when the value beside the link is the one that counts."""


_SYNCED = _Synced()


class _Net:
    """The nodes and links of a document, a subgraph or a group as they stand, read once however often it is used."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw

    @functools.cached_property
    def nodes(self) -> Sequence[Any]:
        return _list(self.raw, "nodes")

    @functools.cached_property
    def objects(self) -> Sequence[Mapping[str, Any]]:
        return [node for node in self.nodes if isinstance(node, dict)]

    @functools.cached_property
    def weight(self) -> int:
        """What it costs to go through it once more, in nodes."""
        return len(json.dumps(self.raw)) // CHARACTERS_PER_NODE

    @functools.cached_property
    def inputs(self) -> Sequence[Any]:
        return _list(self.raw, "inputs")

    @functools.cached_property
    def links(self) -> dict[Any, tuple[Any, Any, Any, Any]]:
        """By id: where each link begins and ends, as (node, slot, node, slot)."""
        links = {}
        for entry in _list(self.raw, "links"):
            if isinstance(entry, list) and len(entry) >= 5:
                key, ends = entry[0], entry[1:5]
            elif isinstance(entry, dict):
                key, ends = entry.get("id"), [entry.get(end) for end in ("origin_id", "origin_slot", "target_id", "target_slot")]
            else:
                continue
            if not any(isinstance(end, (dict, list)) for end in (key, *ends)):
                links[key] = (ends[0], ends[1], ends[2], ends[3])
        return links

    @functools.cached_property
    def outputs(self) -> dict[Any, Any]:
        """The link behind each output of a subgraph."""
        return {slot: key for key, (_node, _slot, target, slot) in self.links.items() if target == _OUTSIDE_OUTPUT}

    @functools.cached_property
    def widget_slots(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """A subgraph's inputs that stand for widgets inside it: the input's name, and (node, input) of each."""
        nodes = {node["id"]: node for node in self.objects if isinstance(node.get("id"), (int, str))}
        targets: dict[Any, list[tuple[str, str]]] = {}
        for origin, slot, target, target_slot in self.links.values():
            if origin == _OUTSIDE_INPUT and target in nodes:
                widget = _at(_list(nodes[target], "inputs"), target_slot).get("widget")
                if isinstance(widget, dict) and isinstance(widget.get("name"), str):
                    targets.setdefault(slot, []).append((str(target), widget["name"]))
        named = [(_at(self.inputs, slot).get("name"), slot) for slot in range(len(self.inputs))]
        return [(name, targets[slot]) for name, slot in named if slot in targets and isinstance(name, str)]


class Scope:
    """The nodes that can be linked with each other: a document, or the inside of one instance of a subgraph."""

    def __init__(self, net: _Net, is_ui: bool, outer: Scope | None = None, instance: Mapping[str, Any] | None = None) -> None:
        self.net = net
        self.is_ui = is_ui
        self.outer = outer
        self._instance = instance or {}
        self.members: dict[str, Node] = {}
        self.inner: dict[str, Scope] = {}

    def origin(self, link: Any, steps: int) -> Node | _Synced | None:
        """The node that a link comes from, through reroutes and the walls of subgraphs."""
        ends = self.net.links.get(link)
        if ends is None or steps > LONGEST_CHAIN:
            return None
        node_id, slot = ends[0], ends[1]
        if node_id == _OUTSIDE_INPUT and self.outer is not None:
            return self._origin_outside(slot, steps)
        if str(node_id) in self.inner:
            inner = self.inner[str(node_id)]
            return inner.origin(inner.net.outputs.get(slot), steps + 1)
        node = self.members.get(str(node_id))
        if node is None or node.type == PRIMITIVE:
            return node and _SYNCED
        if node.type == REROUTE:
            inputs = node.raw.get("inputs")
            return self.origin(_link(_at(inputs, 0)), steps + 1) if isinstance(inputs, list) else None
        return node

    @functools.cached_property
    def _instance_links(self) -> dict[Any, Any]:
        """The links into the instance, by input."""
        entries = [entry for entry in _list(self._instance, "inputs") if isinstance(entry, dict)]
        return {entry["name"]: _link(entry) for entry in entries if isinstance(entry.get("name"), str)}

    def _origin_outside(self, slot: Any, steps: int) -> Node | _Synced | None:
        name = _at(self.net.inputs, slot).get("name")
        link = self._instance_links.get(name)
        if self.outer is not None and link is not None:
            return self.outer.origin(link, steps + 1)
        # Nothing comes from outside: the instance's own widget sets the value.
        return _SYNCED


class Graph:
    """What one document says.

    nodes       flat, in the document's order
    problems    (kind, words, node) of what is odd without making the document useless
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes: list[Node] = []
        self.problems: list[tuple[str, str, str]] = []
        self._seen = 0
        self._scopes: list[Scope] = []
        self._opened: set[str] = set()
        if document.kind == "ui":
            self._definitions = _definitions(document.data, {})
            extra = document.data.get("extra")
            groups = extra.get("groupNodes") if isinstance(extra, dict) else None
            self._groups = {f"workflow{mark}{name}": net for name, net in _groups(groups).items() for mark in "/>"}
            self._flatten(self._scope(Scope(_Net(document.data), True)), "", True, (), {})
        else:
            self._read_prompt(document.data)

    def _read_prompt(self, data: Mapping[str, Any]) -> None:
        scope = self._scope(Scope(_Net(data), False))
        self._count(len(data))
        for key, raw in data.items():
            if not isinstance(raw, dict):
                continue
            kind = raw.get("class_type")
            if not isinstance(kind, str):
                if "class_type" in raw or "inputs" in raw:
                    self._doubt(_short(key))
                continue
            inputs = raw.get("inputs")
            values = {name: _unwrap(value) for name, value in inputs.items()} if isinstance(inputs, dict) else None
            node = Node(_short(key), kind, True, raw, scope, values)
            self.nodes.append(node)
            scope.members[key] = node

    def _flatten(
        self, scope: Scope, prefix: str, active: bool, path: tuple[str, ...], promoted: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self._count(len(scope.net.nodes))
        for raw in scope.net.nodes:
            if not isinstance(raw, dict):
                self._doubt(f"{prefix}?")
                continue
            node_id, kind = raw.get("id"), raw.get("type")
            key = f"{prefix}{node_id}" if type(node_id) is int else f"{prefix}{_short(node_id)}"
            if not isinstance(kind, str):
                self._doubt(key)
                continue
            runs = active and raw.get("mode") not in _INACTIVE_MODES
            if kind in self._definitions:
                self._open_subgraph(scope, raw, kind, key, runs, path, promoted.get(str(node_id)))
            elif kind in self._groups:
                self._open_group(raw, raw.get("widgets_values"), kind, key, runs, path)
            else:
                node = Node(key, kind, runs, raw, scope, raw.get("widgets_values"))
                member = str(node_id)
                if promoted:
                    node.promoted = promoted.get(member)
                self.nodes.append(node)
                scope.members[member] = node

    def close(self) -> None:
        """Let go of what refers to each other, so that a document's memory is free at once and not when cycles are looked for."""
        for scope in self._scopes:
            scope.members.clear()
            scope.inner.clear()

    def _scope(self, scope: Scope) -> Scope:
        self._scopes.append(scope)
        return scope

    def _count(self, nodes: int = 1) -> None:
        """Subgraphs in subgraphs multiply: what is looked at counts, not what is written."""
        self._seen += nodes
        if self._seen > MOST_NODES:
            raise WorkflowError(f"more than {MOST_NODES} nodes, with what is in its subgraphs as often as they are used")

    def _reopen(self, kind: str, net: _Net) -> _Net:
        if kind in self._opened:
            self._count(net.weight)
        self._opened.add(kind)
        return net

    def _doubt(self, key: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(("odd_node", "a node without a class", key))

    def _go_in(self, name: str, path: tuple[str, ...]) -> tuple[str, ...]:
        if name in path:
            raise WorkflowError(f"recursion: the subgraph {name[:80]!r} contains itself")
        if len(path) >= DEEPEST:
            raise WorkflowError(f"recursion: subgraphs are nested more than {DEEPEST} deep")
        return (*path, name)

    def _open_subgraph(
        self,
        outer: Scope,
        raw: Mapping[str, Any],
        kind: str,
        key: str,
        active: bool,
        path: tuple[str, ...],
        promoted: Mapping[str, Any] | None,
    ) -> None:
        scope = self._scope(Scope(self._reopen(kind, self._definitions[kind]), True, outer, raw))
        outer.inner[str(raw.get("id"))] = scope
        values = _instance_values(raw, scope)
        if promoted:
            values.update(promoted)
        self._flatten(scope, f"{key}:", active, self._go_in(kind, path), _promote(scope, values))

    def _open_group(self, raw: Mapping[str, Any], values: Any, kind: str, key: str, active: bool, path: tuple[str, ...]) -> None:
        scope = self._scope(Scope(self._reopen(kind, self._groups[kind]), True))
        path = self._go_in(kind, path)
        templates = scope.net.objects
        self._count(len(templates))
        for index, (template, own) in enumerate(zip(templates, _group_values(templates, values), strict=True)):
            inner_key = f"{key}:{index}"
            inner_kind = template.get("type")
            runs = active and template.get("mode") not in _INACTIVE_MODES
            if not isinstance(inner_kind, str):
                self._doubt(inner_key)
            elif inner_kind in self._groups:
                self._open_group(template, own, inner_kind, inner_key, runs, path)
            else:
                self.nodes.append(Node(inner_key, inner_kind, runs, template, scope, own))


def is_link(value: Any) -> bool:
    """A value in a prompt that stands for another node's output."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], (str, int)) and type(value[1]) is int


def _definitions(data: Mapping[str, Any], found: dict[str, _Net], depth: int = 0) -> dict[str, _Net]:
    """Subgraphs by id, the outermost of a name; the schema allows definitions inside a definition."""
    definitions = data.get("definitions")
    entries = _list(definitions, "subgraphs") if isinstance(definitions, dict) else ()
    subgraphs = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
    for entry in subgraphs:
        found.setdefault(entry["id"], _Net(entry))
    if depth < DEEPEST:
        for entry in subgraphs:
            _definitions(entry, found, depth + 1)
    return found


def _instance_values(raw: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """The values that an instance sets for the widgets it shows, by the name of the subgraph's input."""
    values = raw.get("widgets_values")
    if not isinstance(values, list) or not values:
        return {}
    slots = scope.net.widget_slots
    return {name: value for (name, _targets), value in zip(slots, values, strict=True)} if len(slots) == len(values) else {}


def _promote(scope: Scope, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Values by node and input inside a subgraph."""
    result: dict[str, dict[str, Any]] = {}
    if values:
        for name, targets in scope.net.widget_slots:
            if name in values:
                for node, widget in targets:
                    result.setdefault(node, {})[widget] = values[name]
    return result


def _group_values(inner: Sequence[Mapping[str, Any]], values: Any) -> list[Any]:
    """The values of a group's nodes: an instance repeats them one after the other, without those that are linked."""
    own = [node.get("widgets_values") for node in inner]
    if not isinstance(values, list):
        return own
    lengths = [len(entry) if isinstance(entry, list) else 0 for entry in own]
    if sum(lengths) == len(values):
        rest = iter(values)
        return [[next(rest) for _entry in entry] if isinstance(entry, list) else entry for entry in own]
    # Widgets that were turned into inputs are missing, and nothing says which: file names are told by their look.
    names = [value for value in values if _is_file_name(value)]
    if sum(_is_file_name(value) for entry in own if isinstance(entry, list) for value in entry) != len(names):
        return own
    rest = iter(names)
    return [[next(rest) if _is_file_name(value) else value for value in entry] if isinstance(entry, list) else entry for entry in own]


def _is_file_name(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > 1024:
        return False
    stem, dot, suffix = value.rpartition(".")
    return bool(stem and dot and 2 <= len(suffix) <= 12 and suffix.isalnum() and not suffix.isdigit())


def _groups(groups: Any) -> dict[str, _Net]:
    return {name: _Net(group) for name, group in groups.items() if isinstance(group, dict)} if isinstance(groups, dict) else {}


def _short(node_id: Any) -> str:
    """An id for people; a path is made of many."""
    return str(node_id)[:LONGEST_ID] if isinstance(node_id, (int, str)) else "?"


def _link(entry: Mapping[str, Any]) -> Any:
    link = entry.get("link")
    return None if isinstance(link, (dict, list)) else link


def _unwrap(value: Any) -> Any:
    """A literal list is wrapped so that it cannot be taken for a link; a tuple cannot be either."""
    if not isinstance(value, dict) or "__value__" not in value:
        return value
    literal = value["__value__"]
    return tuple(literal) if isinstance(literal, list) else literal


def _list(data: Mapping[str, Any], key: str) -> Sequence[Any]:
    found = data.get(key)
    if isinstance(found, list):
        return found
    # Version 1 of the schema and some editors number the entries of a list.
    return list(found.values()) if isinstance(found, dict) else ()


def _at(entries: Sequence[Any], index: Any) -> Mapping[str, Any]:
    if isinstance(index, int) and 0 <= index < len(entries) and isinstance(entries[index], dict):
        return entries[index]  # type: ignore[no-any-return]
    return {}
