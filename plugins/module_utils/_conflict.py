# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Why requirements cannot be met together: the smallest set of them that collides, in words, whatever order they came in.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ansible_collections.emprops.comfyui.plugins.module_utils._pack_requirements import name_of

T = TypeVar("T")


@dataclass(frozen=True, order=True)
class Ask:
    """One line and who asks for it. `limits`: it only limits what others ask for."""

    source: str
    line: str
    limits: bool = False


def smallest(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """A subset that fails and whose every proper subset does not, of items that fail together.

    Takes about `2 k log(n / k)` questions for a subset of k (U. Junker, QuickXplain, AAAI 2004). Empty where even nothing fails.
    """
    return [] if fails([]) else _explain([], False, list(items), fails)


def _explain(known: list[T], grown: bool, items: list[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    if grown and fails(known):
        return []
    if len(items) == 1:
        return items
    first, second = items[: len(items) // 2], items[len(items) // 2 :]
    late = _explain([*known, *first], bool(first), second, fails)
    early = _explain([*known, *late], bool(late), first, fails)
    return [*early, *late]


def explain(asks: Sequence[Ask], said: str, victim: str | None, *, skipping: bool = False) -> str:
    """What collides, the resolver's own words, and what could be done. `victim` is the pack that would be left out."""
    packages = sorted({name_of(ask.line) for ask in asks} - {""})
    rows = [f"  {ask.source} {'limits to' if ask.limits else 'asks for'} {ask.line}" for ask in sorted(asks)]
    if len(asks) == 1:
        ask = asks[0]
        head = f"{ask.source} asks for {ask.line}, which cannot be had"
        rows = []
    else:
        # In a line of three, the package in the middle is the one that nobody asks for.
        head = f"the Python requirements of {_and(sorted({ask.source for ask in asks}))} cannot be met together"
    tail = f"  ({' '.join(said.split())[:1500]})"
    return "\n".join([f"{head}:", *rows, tail, *([] if skipping else [_remedy(packages, victim, len(asks) == 1)])])


def _remedy(packages: Sequence[str], victim: str | None, alone: bool) -> str:
    package = packages[0] if packages else "package"
    ways = [] if alone else [f"custom_nodes_on_conflict: {{prefer: {{{package}: <version>}}}} outvotes whoever wants another"]
    if victim:
        ways.append(f"another commit of {victim}, or requirements: false if it does without")
        ways.append(f"custom_nodes_on_conflict: skip_pack leaves {victim} out")
    return f"  What could be done: {'; '.join(ways) or 'another version of ComfyUI, or other constraints'}."


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "nobody"
