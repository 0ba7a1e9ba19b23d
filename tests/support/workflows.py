# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Workflows as the editor saves them and as it sends them to the server, in a few words; and who is asked about them."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import parse_catalogue
from ansible_collections.emprops.comfyui.plugins.module_utils._core_nodes import builtins, parse_object_info
from ansible_collections.emprops.comfyui.plugins.module_utils._registry import Registry, load_registry
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_file import Document, WorkflowFile
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_info import Analysis, Options
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import DEFAULT_HOSTS
from fuzz.seeds import png, text

GITHUB = "https://github.com"
HUB = "https://huggingface.co/example/repo/resolve/main"

INSIDE = "5d2b2e2c-6d3f-4b55-9a39-6f1f0a2c0001"
DEEPER = "5d2b2e2c-6d3f-4b55-9a39-6f1f0a2c0002"
UNDEFINED = "5d2b2e2c-6d3f-4b55-9a39-6f1f0a2c00ff"


def node(kind: Any, *values: Any, **more: Any) -> dict[str, Any]:
    """A node of a UI document; `values` are its widgets, in order."""
    return {"id": 1, "type": kind, "mode": 0, "inputs": [], "widgets_values": list(values), "properties": {}, **more}


def widget(name: str, link: Any = None) -> dict[str, Any]:
    """An input that a widget stands behind."""
    return {"name": name, "type": "COMBO", "widget": {"name": name}, "link": link}


def slot(name: str, link: Any = None) -> dict[str, Any]:
    return {"name": name, "type": "*", "link": link}


def link(key: Any, origin: Any, target: Any, origin_slot: int = 0, target_slot: int = 0) -> list[Any]:
    """A link as a document has it."""
    return [key, origin, origin_slot, target, target_slot, "*"]


def inner_link(key: Any, origin: Any, target: Any, origin_slot: int = 0, target_slot: int = 0) -> dict[str, Any]:
    """A link as a subgraph has it; -10 and -20 are its walls."""
    ends = {"origin_id": origin, "origin_slot": origin_slot, "target_id": target, "target_slot": target_slot}
    return {"id": key, **ends, "type": "*"}


def subgraph(key: str, *nodes: Any, inputs: Any = (), outputs: Any = (), links: Any = (), **more: Any) -> dict[str, Any]:
    """A definition; `inputs` and `outputs` are names."""
    return {
        "id": key,
        "name": "a subgraph",
        "inputNode": {"id": -10},
        "outputNode": {"id": -20},
        "inputs": [{"name": name, "type": "*"} for name in inputs],
        "outputs": [{"name": name, "type": "*"} for name in outputs],
        "nodes": list(nodes),
        "links": list(links),
        **more,
    }


def ui(*nodes: Any, links: Any = (), subgraphs: Any = (), groups: Any = None, **more: Any) -> dict[str, Any]:
    document: dict[str, Any] = {"nodes": list(nodes), "links": links or [], "version": 0.4, "extra": {}}
    if subgraphs:
        document["definitions"] = {"subgraphs": list(subgraphs)}
    if groups:
        document["extra"] = {"groupNodes": groups}
    return {**document, **more}


def call(kind: Any, **inputs: Any) -> dict[str, Any]:
    """A node of an API document."""
    return {"class_type": kind, "inputs": inputs}


def api(*calls: Any, **by_id: Any) -> dict[str, Any]:
    """An API document; without ids its nodes are numbered from 1."""
    return {**{str(number): entry for number, entry in enumerate(calls, start=1)}, **by_id}


def picture(workflow: Any = None, prompt: Any = None) -> bytes:
    """A PNG as ComfyUI saves it."""
    entries = ((b"prompt", prompt), (b"workflow", workflow))
    return png(*(text(key, json.dumps(value).encode()) for key, value in entries if value is not None))


def document(data: dict[str, Any]) -> Document:
    return Document("ui" if isinstance(data.get("nodes"), list) else "api", "", data)


NODE_MAP = {
    f"{GITHUB}/maker/ComfyUI-Boats": [["Boat", "Sail ", "Harbour"], {}],
    f"{GITHUB}/copycat/boats-again": [["Boat", "Anchor", "Rope"], {}],
    f"{GITHUB}/maker/tugs": [["Tug"], {}],
    f"{GITHUB}/copycat/tugs-too": [["Tug"], {}],
    f"{GITHUB}/other/tugs": [["Raft"], {}],
    f"{GITHUB}/hidden/unrated": [["Float", "Buoy"], {}],
    f"{GITHUB}/hidden/unrated-too": [["Float"], {}],
    f"{GITHUB}/lonely/kayak": [["Kayak"], {}],
    f"{GITHUB}/maker/rowing": [["Oar"], {"nodename_pattern": r" \(rowing\)$"}],
    f"{GITHUB}/lonely/greedy": [["KSampler", "Greedy"], {"nodename_pattern": "VAE|Boat"}],
    f"{GITHUB}/maker/ComfyUI-GGUF": [["UnetLoaderGGUF"], {}],
    f"{GITHUB}/comfyanonymous/ComfyUI": [["KSampler"], {}],
    f"{GITHUB}/kijai/ComfyUI-KJNodes": [["INTConstant"], {}],
    f"{GITHUB}/rgthree/rgthree-comfy": [["Seed (rgthree)"], {"nodename_pattern": r" \(rgthree\)$"}],
}
STARS = {
    "maker/ComfyUI-Boats": 100,
    "copycat/boats-again": 10,
    "maker/tugs": 50,
    "copycat/tugs-too": 40,
    "other/tugs": 30,
    "lonely/kayak": 1,
    "maker/rowing": 300,
    "lonely/greedy": 0,
    "maker/ComfyUI-GGUF": 900,
    "kijai/ComfyUI-KJNodes": 900,
    "rgthree/rgthree-comfy": 900,
}
IDS = {"maker/ComfyUI-Boats": "boats", "kijai/ComfyUI-KJNodes": "comfyui-kjnodes"}
LISTED_MODELS = [
    {"filename": "listed.safetensors", "save_path": "loras/SDXL", "type": "lora", "url": f"{HUB}/listed.safetensors"},
    {"filename": "twice.safetensors", "save_path": "loras", "type": "lora", "url": f"{HUB}/1/twice.safetensors"},
    {"filename": "twice.safetensors", "save_path": "loras", "type": "lora", "url": f"{HUB}/2/twice.safetensors"},
    {"filename": "elsewhere.safetensors", "save_path": "vae", "type": "VAE", "url": f"{HUB}/elsewhere.safetensors"},
]


@functools.lru_cache(maxsize=1)
def sample_registry() -> Registry:
    """A small registry with everything that makes the real one hard."""
    entries = [
        {"title": name, "id": IDS.get(name), "files": [f"{GITHUB}/{name}"], "install_type": "git-clone"}
        for name in [address.removeprefix(f"{GITHUB}/") for address in NODE_MAP]
    ]
    files = {
        "extension-node-map": NODE_MAP,
        "custom-node-list": {"custom_nodes": entries},
        "model-list": {"models": LISTED_MODELS},
        "github-stats": {f"{GITHUB}/{name}": {"stars": stars, "last_update": "2026-01-01 00:00:00"} for name, stars in STARS.items()},
    }
    with tempfile.TemporaryDirectory() as place:
        for name, data in files.items():
            (Path(place) / f"{name}.json").write_text(json.dumps(data))
        return load_registry(place, write=False)


def analysis(*, catalogue: Any = None, object_info: Any = None, version: str | None = None, **options: Any) -> Analysis:
    """Something to add files to; the rest are the fields of Options."""
    return Analysis(
        Options(**{"allowed_hosts": DEFAULT_HOSTS, **options}),
        builtins=builtins(version),
        object_info=parse_object_info(object_info) if object_info is not None else None,
        catalogue=parse_catalogue(catalogue or {}),
        registry=sample_registry(),
    )


def needs(*documents: Any, files: Any = None, **options: Any) -> dict[str, Any]:
    """What one file `a.json` with these documents needs, or every one of `files`, documents by path."""
    asked = analysis(**options)
    for path, inside in (files or {"a.json": documents}).items():
        asked.add(path, WorkflowFile("json", tuple(document(data) for data in inside)))
    return asked.result()
