# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which node classes are ComfyUI's own: by version from what scripts/core_nodes.py wrote down, or as a running ComfyUI says.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from ansible_collections.emprops.comfyui.plugins.module_utils._data import core_nodes

VERSIONS: tuple[str, ...] = tuple(core_nodes.VERSIONS.split())
OLDEST, NEWEST = VERSIONS[0], VERSIONS[-1]
FRONTEND_ONLY = frozenset(core_nodes.FRONTEND_ONLY.splitlines())
"""Nodes that the frontend draws itself: no Python class answers to them, in no version."""

_NEWER = frozenset(core_nodes.NEWER.splitlines())
_OLDER = frozenset(core_nodes.OLDER.splitlines())
_LONGEST_NAME = 255

Span = tuple[int, int]


@dataclass(frozen=True)
class Builtins:
    """The classes of one version of ComfyUI. Not exact: of the nearest version, or of all of them, and `note` says so."""

    version: str | None
    exact: bool
    note: str
    # Where the version stands among the known ones: None for all of them, one past the end for a newer one.
    _place: int | None

    def __contains__(self, class_name: object) -> bool:
        if self._place is None:
            return class_name in _spans() or class_name in _NEWER or class_name in _OLDER
        if self._place == len(VERSIONS):
            return class_name in _NEWER or any(last == len(VERSIONS) - 1 for _, last in _spans_of(class_name))
        return any(first <= self._place <= last for first, last in _spans_of(class_name))

    def elsewhere(self, class_name: str) -> str | None:
        """For a class of other versions only: which these are, in words."""
        if self._place is None or class_name in self:
            return None
        if class_name in _NEWER:
            return f"newer than {NEWEST}"
        if class_name in _OLDER:
            return f"removed before {OLDEST}"
        spans = _spans_of(class_name)
        for first, last in spans:
            if first > self._place:
                return f"needs ComfyUI {VERSIONS[first]} {'or newer' if last == len(VERSIONS) - 1 else f'to {VERSIONS[last]}'}"
        return f"removed after {VERSIONS[spans[-1][1]]}" if spans else None


def builtins(version: str | None) -> Builtins:
    """What is known of a version, however it is written: 0.3.12, v0.3.12, 0.3, what git describe says; None is all of them."""
    written = re.sub(r"[^ -~]", "?", (version or "").strip())[:60]
    if not written:
        return Builtins(None, False, "no ComfyUI version is known: the classes of all versions count as builtin", None)
    # A git hash may begin with digits, but holds no dot.
    match = re.match(r"[vV]?(\d{1,6}(?:\.\d{1,6}){1,3})(?!\d)", written)
    if match is None:
        return Builtins(None, False, f"{written!r} is no ComfyUI version: the classes of all versions count as builtin", None)
    key = _key(match[1])
    alike = [place for place, known in enumerate(VERSIONS) if _key(known)[: len(key)] == key]
    rest = written[match.end() :]
    if not alike:
        return _nearest(match[1], key)
    place = alike[-1]
    if len(alike) > 1:
        note = f"{written} may be any of {VERSIONS[alike[0]]} to {VERSIONS[place]}: the newest of them is taken"
    else:
        note = f"{written} is taken for {VERSIONS[place]}" if rest else ""
    return Builtins(VERSIONS[place], not note, note, place)


def _nearest(version: str, key: tuple[int, ...]) -> Builtins:
    place = bisect_right([_key(known) for known in VERSIONS], key)
    if place == len(VERSIONS):
        note = f"ComfyUI {version} is newer than {NEWEST}, the newest known: what is known of later ones counts as builtin too"
        return Builtins(NEWEST, False, note, place)
    if place == 0:
        return Builtins(OLDEST, False, f"ComfyUI {version} is older than {OLDEST}, the oldest known, which is taken for it", 0)
    return Builtins(VERSIONS[place - 1], False, f"ComfyUI {version} is not known: {VERSIONS[place - 1]} is taken for it", place - 1)


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _spans_of(class_name: object) -> tuple[Span, ...]:
    return _spans().get(class_name, ()) if isinstance(class_name, str) else ()


@lru_cache(maxsize=1)
def _spans() -> dict[str, tuple[Span, ...]]:
    """First and last place in VERSIONS, for every stretch of versions that has the class."""
    places = {version: place for place, version in enumerate(VERSIONS)}
    found = {}
    for line in core_nodes.CLASSES.splitlines():
        name, _, written = line.partition("|")
        pairs = (span.partition("-") for span in written.split(","))
        found[name] = tuple((places[first] if first else 0, places[last] if last else len(VERSIONS) - 1) for first, _, last in pairs)
    return found


@dataclass(frozen=True)
class ObjectInfo:
    """What a running ComfyUI has: its own classes, the folder below custom_nodes of the others, the choices of their inputs."""

    builtin: frozenset[str]
    packs: dict[str, str]
    inputs: dict[str, dict[str, list[str] | None]]


def parse_object_info(data: object) -> ObjectInfo:
    """An answer of /object_info. What is not as it should be in there is left out, one class at a time."""
    if not isinstance(data, Mapping):
        raise ValueError(f"an answer of /object_info is an object with a member for each class, and this is {_kind(data)}")
    builtin: set[str] = set()
    packs: dict[str, str] = {}
    inputs: dict[str, dict[str, list[str] | None]] = {}
    for name, described in data.items():
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or not isinstance(described, Mapping):
            continue
        module, declared = described.get("python_module"), described.get("input")
        if not isinstance(module, str) and not isinstance(declared, Mapping):
            continue
        inputs[name] = _inputs(declared)
        if not isinstance(module, str):
            continue
        if module == "nodes" or module.startswith(("comfy_extras.", "comfy_api_nodes.")):
            builtin.add(name)
        elif (folder := _pack_folder(module)) is not None:
            packs[name] = folder
    if not inputs:
        raise ValueError("this is no answer of /object_info: nothing in it describes a node class")
    return ObjectInfo(frozenset(builtin), packs, inputs)


def _kind(data: object) -> str:
    names = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false", type(None): "null"}
    return names.get(type(data), "something else")


def _pack_folder(module: str) -> str | None:
    """ComfyUI writes custom_nodes.<folder>, and the folder's own name may hold dots."""
    kind, _, folder = module.partition(".")
    plain = 0 < len(folder) <= _LONGEST_NAME and folder.strip(". ") and not re.search(r"[/\\\x00-\x1f\x7f]", folder)
    return folder if kind == "custom_nodes" and plain else None


def _inputs(declared: object) -> dict[str, list[str] | None]:
    found: dict[str, list[str] | None] = {}
    for group in ("required", "optional"):
        members = declared.get(group) if isinstance(declared, Mapping) else None
        for name, described in members.items() if isinstance(members, Mapping) else ():
            if isinstance(name, str) and isinstance(described, (list, tuple)) and described:
                found.setdefault(name, _choices(described))
    return found


def _choices(described: list[object] | tuple[object, ...]) -> list[str] | None:
    """[[…], {}] as V1 nodes say it, ["COMBO", {"options": […]}] as V3 nodes do."""
    values = described[0]
    if values == "COMBO":
        options = described[1] if len(described) > 1 else None
        values = options.get("options") if isinstance(options, Mapping) else None
    return [value for value in values if isinstance(value, str)] if isinstance(values, (list, tuple)) else None
