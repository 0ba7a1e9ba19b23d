# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A second, plain reading of workflow files, so that truth is not made by the code that it judges."""

from __future__ import annotations

import copy
import json
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

INACTIVE = (2, 4)
MODEL_ENDINGS = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx", ".engine")
FRONTEND_ONLY = frozenset({"Note", "MarkdownNote", "Reroute", "PrimitiveNode"})
DECLARATIONS = ("models", "cnr_id", "aux_id", "ver")


@dataclass(frozen=True)
class Node:
    """An active node, wherever in the file it lies."""

    type: str
    values: tuple[tuple[str | None, str], ...]  # (input name where the file tells it, literal text)
    properties: dict[str, Any]
    linked: frozenset[str]  # widgets whose value comes from another node
    promoted: frozenset[str]  # widgets whose value the subgraph's instance decides


def read(name: str, data: bytes) -> dict[str, dict[str, Any]]:
    """`ui` and `api`, as far as the file has them."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        texts = dict(png_texts(data))
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        texts = dict(webp_texts(data))
    else:
        try:
            return kinds(json.loads(data.decode("utf-8-sig")))
        except (ValueError, RecursionError):
            return {}
    found: dict[str, dict[str, Any]] = {}
    for key in ("workflow", "prompt"):
        try:
            found.update(kinds(json.loads(texts.get(key, "null"))))
        except ValueError:
            continue
    return found


def kinds(value: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict):
        return {}
    if isinstance(value.get("nodes"), list):
        return {"ui": value}
    if any(isinstance(node, dict) and isinstance(node.get("class_type"), str) for node in value.values()):
        return {"api": value}
    found: dict[str, dict[str, Any]] = {}
    for key in ("input", "workflow", "prompt"):
        found.update(kinds(value.get(key)))
    return found


def png_texts(data: bytes) -> Iterator[tuple[str, str]]:
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        chunk, at = data[at + 8 : at + 8 + length], at + 12 + length
        key, _, rest = chunk.partition(b"\0")
        if kind == b"tEXt":
            yield key.decode("latin-1"), rest.decode("utf-8", "replace")
        elif kind == b"iTXt" and len(rest) > 2:
            text = rest[2:].split(b"\0", 2)[2]
            yield key.decode("latin-1"), (zlib.decompress(text) if rest[0] else text).decode("utf-8", "replace")


def webp_texts(data: bytes) -> Iterator[tuple[str, str]]:
    start = data.find(b"EXIF")
    if start < 0:
        return
    for key in ("workflow", "prompt"):
        for spelling in (key, key.capitalize()):
            at = data.find(spelling.encode() + b":{", start)
            if at >= 0:
                yield key, data[at + len(key) + 1 : data.index(b"\0", at)].decode("utf-8", "replace")


def all_nodes(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    graphs = [document, *definitions(document).values(), *(document.get("extra") or {}).get("groupNodes", {}).values()]
    for graph in graphs:
        yield from (node for node in graph.get("nodes") or [] if isinstance(node, dict))


def definitions(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    waiting = list((document.get("definitions") or {}).get("subgraphs") or [])
    while waiting:
        graph = waiting.pop()
        if graph.get("id") not in found:
            found[graph.get("id")] = graph
            waiting += (graph.get("definitions") or {}).get("subgraphs") or []
    return found


def without_declarations(document: dict[str, Any]) -> dict[str, Any]:
    """The same workflow, saying nothing of where its packs and models come from."""
    bare = copy.deepcopy(document)
    for node in all_nodes(bare):
        for key in DECLARATIONS:
            if isinstance(node.get("properties"), dict):
                node["properties"].pop(key, None)
    bare.pop("models", None)
    if isinstance(bare.get("extra"), dict):
        bare["extra"].pop("node_versions", None)
    return bare


def ui_nodes(document: dict[str, Any]) -> Iterator[Node]:
    """Active nodes, those of instantiated subgraphs included. Group nodes are left closed: see has_group_nodes."""
    known = definitions(document)

    def walk(graph: dict[str, Any], above: tuple[str, ...]) -> Iterator[Node]:
        from_outside = {link["id"] for link in graph.get("links") or [] if isinstance(link, dict) and link.get("origin_id") == -10}
        for node in graph.get("nodes") or []:
            if not isinstance(node, dict) or node.get("mode") in INACTIVE or not isinstance(node.get("type"), str):
                continue
            kind = node["type"]
            if kind in known:
                if kind not in above:
                    yield from walk(known[kind], (*above, kind))
                continue
            wired = [
                (port["widget"].get("name"), port.get("link"))
                for port in node.get("inputs") or []
                if isinstance(port, dict) and isinstance(port.get("widget"), dict) and port.get("link") is not None
            ]
            yield Node(
                kind,
                tuple(literals(named(node))),
                node.get("properties") if isinstance(node.get("properties"), dict) else {},
                frozenset(name for name, link in wired if link not in from_outside),
                frozenset(name for name, link in wired if link in from_outside),
            )

    yield from walk(document, ())


def named(node: dict[str, Any]) -> Any:
    """The values by name, where the editor wrote every widget's name into the file; else as they are."""
    values = node.get("widgets_values")
    ports = [port for port in node.get("inputs") or [] if isinstance(port, dict) and isinstance(port.get("widget"), dict)]
    names = [port["widget"].get("name") for port in ports]
    return dict(zip(names, values, strict=True)) if isinstance(values, list) and len(names) == len(values) else values


def api_nodes(document: dict[str, Any]) -> Iterator[Node]:
    for node in document.values():
        if isinstance(node, dict) and isinstance(node.get("class_type"), str):
            yield Node(node["class_type"], tuple(literals(node.get("inputs"))), {}, frozenset(), frozenset())


def literals(values: Any) -> Iterator[tuple[str | None, str]]:
    """Texts, with the input's name where it is written beside them. What a switch says is off is left out."""
    if isinstance(values, dict):
        if values.get("on") is False:
            return
        for name, value in values.items():
            if isinstance(value, str):
                yield str(name).rsplit(".", 1)[-1], value
            elif isinstance(value, dict):
                yield from literals(value)
    elif isinstance(values, list):
        for value in values:
            if isinstance(value, str):
                yield None, value
            elif isinstance(value, dict):
                yield from literals(value)


def has_group_nodes(document: dict[str, Any]) -> bool:
    return any(str(node.get("type", "")).startswith(("workflow/", "workflow>")) for node in all_nodes(document))


def is_model_name(text: str) -> bool:
    return text.lower().endswith(MODEL_ENDINGS) and "\n" not in text and len(text) < 256 and not re.search("://|embedding:", text)


def plain(name: str) -> str:
    return name.replace("\\", "/")
