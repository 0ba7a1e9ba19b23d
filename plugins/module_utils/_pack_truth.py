# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the running program says of the packs of its release, which is the only proof that a pack is installed.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._comfyui_api import ImportFailure
from ansible_collections.emprops.comfyui.plugins.module_utils._instance_state import InstanceState, missing_node_types
from ansible_collections.emprops.comfyui.plugins.module_utils._release import Lock, LockedPack

MODULES = "custom_nodes."  # what ComfyUI puts before a pack's folder to name the module of a class
COMFYUI = "ComfyUI"
TRACEBACK_LINES = 30
HEADING = ("pack", "version", "import s", "node types", "what is wrong")


@dataclass(frozen=True)
class PackTruth:
    """One pack of the release, as all instances together know it."""

    pack: LockedPack
    # None: no log tells.
    import_seconds: float | None = None
    # Classes that the running program has from this pack.
    node_types: tuple[str, ...] = ()
    # Classes that the pack declares and nobody brings.
    missing: tuple[str, ...] = ()
    # Classes that the pack declares and somebody else brings, and who: another pack, or ComfyUI itself.
    shadowed: Mapping[str, str] = field(default_factory=dict)
    failure: ImportFailure | None = None

    @property
    def silent(self) -> bool:
        return not self.node_types and self.failure is None

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.pack.name,
            "version": self.pack.version,
            "commit": self.pack.commit,
            "import_seconds": self.import_seconds,
            "node_types": list(self.node_types),
            "missing": list(self.missing),
            "shadowed": [{"class": name, "by": by} for name, by in self.shadowed.items()],
            "error": self.failure.error if self.failure else None,
            "missing_module": self.failure.missing_module if self.failure else None,
            "silent": self.silent,
        }


@dataclass(frozen=True)
class Judgement:
    """What there is to say against packs, in words."""

    failed: list[str]
    missing: list[str]
    remarks: list[str]


def read_packs(states: Sequence[InstanceState], lock: Lock) -> list[PackTruth]:
    """One for each pack of the lock, from instances that run its release and answer."""
    seconds: dict[str, float] = {}
    failures: dict[str, ImportFailure] = {}
    brought: dict[str, set[str]] = defaultdict(set)
    for state in states:
        for path, spent in (state.import_seconds or {}).items():
            if name := _pack_at(path, lock):
                seconds[name] = max(spent, seconds.get(name, 0))
        for failure in state.failed_imports or ():
            if name := _pack_at(failure.path, lock):
                failures.setdefault(name, failure)
        for node_type, module in (state.node_types or {}).items():
            brought[module].add(node_type)
    return [
        PackTruth(
            pack,
            seconds.get(pack.name),
            tuple(sorted(brought[MODULES + pack.name])),
            # Of a pack that could not be imported these say nothing new.
            *(_against(states, pack) if pack.name not in failures else ((), {})),
            failure=failures.get(pack.name),
        )
        for pack in lock.packs
    ]


def _pack_at(path: str, lock: Lock) -> str | None:
    """The folder name of a pack of this release; packs elsewhere may have the same name and are not ours."""
    place, _, name = path.rpartition("/")
    return name if place.endswith(f"/{lock.id}/ComfyUI/custom_nodes") else None


def _against(states: Iterable[InstanceState], pack: LockedPack) -> tuple[tuple[str, ...], dict[str, str]]:
    """The classes that a pack declares and an instance has not, or has from somebody else, and from whom."""
    missing: set[str] = set()
    shadowed: dict[str, str] = {}
    for state in states:
        missing.update(missing_node_types(state, pack.node_types))
        for name in pack.node_types:
            module = (state.node_types or {}).get(name, MODULES + pack.name)
            if module != MODULES + pack.name:
                shadowed[name] = module.removeprefix(MODULES) if module.startswith(MODULES) else COMFYUI
    return tuple(sorted(missing)), dict(sorted(shadowed.items()))


def judge_packs(packs: Iterable[PackTruth]) -> Judgement:
    """Imports that failed, node types that are missing, and what is only worth a remark."""
    said = Judgement([], [], [])
    silent = []
    for one in packs:
        name = one.pack.name
        if one.failure:
            said.failed.append(_failed(name, one.failure, one.import_seconds))
        if one.missing:
            absent = ", ".join(one.missing)
            said.missing.append(f"the pack {name} should bring node types that the running program does not have: {absent}")
        for by, names in _by_winner(one.shadowed).items():
            other = f"{COMFYUI} itself" if by == COMFYUI else f"the pack {by}"
            said.remarks.append(f"the pack {name} and {other} both bring {', '.join(names)}; {by} won")
        if one.silent and not one.missing and not one.shadowed:
            silent.append(name)
    if silent:
        said.remarks.append(f"no node type comes from {', '.join(silent)}: right for a pack that only adds to the web interface")
    return said


def _failed(name: str, failure: ImportFailure, seconds: float | None) -> str:
    facts = [f"{failure.missing_module} is missing"] if failure.missing_module else []
    facts += [f"after {seconds:.1f} s"] if seconds is not None else []
    told = f" ({', '.join(facts)})" if facts else ""
    shown = "\n".join(f"    {line}" for line in failure.traceback.strip().splitlines()[-TRACEBACK_LINES:])
    return f"the pack {name} could not be imported: {failure.error}{told}\n{shown}".rstrip()


def _by_winner(shadowed: Mapping[str, str]) -> dict[str, list[str]]:
    won: dict[str, list[str]] = defaultdict(list)
    for name, by in shadowed.items():
        won[by].append(name)
    return dict(sorted(won.items()))


def pack_table(packs: Sequence[Mapping[str, Any]]) -> list[str]:
    """One aligned line per pack, as `PackTruth.as_dict` has it, under a heading; what took longest comes first. No packs, no lines."""
    if not packs:
        return []
    slowest_first = sorted(packs, key=lambda pack: (-(pack["import_seconds"] or 0), pack["name"]))
    rows = [HEADING, *(_row(pack) for pack in slowest_first)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADING))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(pack: Mapping[str, Any]) -> tuple[str, ...]:
    seconds = pack["import_seconds"]
    return (
        pack["name"],
        pack["version"] or pack["commit"][:12],
        f"{seconds:.1f}" if seconds is not None else "-",
        str(len(pack["node_types"])),
        _wrong(pack),
    )


def _wrong(pack: Mapping[str, Any]) -> str:
    words = [f"could not be imported: {pack['error'][:100]}"] if pack["error"] else []
    words += [f"lacks {_few(pack['missing'])}"] if pack["missing"] else []
    shadowed = _by_winner({row["class"]: row["by"] for row in pack["shadowed"]})
    words += [f"{by} won {_few(names)}" for by, names in shadowed.items()]
    if pack["silent"] and not words:
        words = ["brings no node type"]
    return "; ".join(words)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
