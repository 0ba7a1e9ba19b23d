# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which custom-node pack a class comes from: evidence in the order in which it deserves trust.

    1 the running instance, else the classes that its version of ComfyUI has: builtin, whatever a workflow declares
    2 the operator's catalogue
    3 what the workflow declares for the node (cnr_id, aux_id), as far as the registry lists it
    4 the registry's lists of classes: one pack, else one that the same file needs anyway, else the one with most stars

Measured in WORKFLOWS 3.3 (shared notes): "first in the list" is wrong for more than half of the ambiguous classes.
Private to this collection: it may change in any release.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import Catalogue
from ansible_collections.emprops.comfyui.plugins.module_utils._core_nodes import FRONTEND_ONLY as FRONTEND_CLASSES
from ansible_collections.emprops.comfyui.plugins.module_utils._core_nodes import OLDEST, Builtins, ObjectInfo, builtins
from ansible_collections.emprops.comfyui.plugins.module_utils._data.pack_loaders import FRONTEND_ONLY
from ansible_collections.emprops.comfyui.plugins.module_utils._registry import Registry, RegistryPack
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import printable

CORE_ID = "comfy-core"
# A pack with fewer stars that alone claims a class says little: it may be an unknown new builtin.
FEW_STARS = 4
# Measured on files that nobody here had seen: between three and ten times as many stars, the choice was mostly wrong.
CLEAR_MARGIN = 10
LONGEST_CLASS = 256

# What GitHub allows as an owner and as a repository.
_AUX_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_CNR_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_VERSION_TEXT = re.compile(r"[0-9A-Za-z._+-]{1,64}")
_VERSION = re.compile(r"\d{1,6}(?:\.\d{1,6}){1,3}")

Kind = Literal["builtin", "frontend", "too_new", "pack", "unresolved"]
Ambiguous = Literal["fail", "best", "best_any"]


class Evidence:
    """What the nodes of one class in one file declare. Only what has the form of an identity or a version counts.

    cnr_ids, aux_ids   by how often
    versions           by identity
    node               where the first of them stands
    """

    def __init__(self, node: str) -> None:
        self.node = node
        self._declared: dict[tuple[Any, Any, Any], int] = {}

    def add(self, properties: Mapping[str, Any]) -> None:
        declared = (properties.get("cnr_id"), properties.get("aux_id"), properties.get("ver"))
        try:
            self._declared[declared] = self._declared.get(declared, 0) + 1
        except TypeError:
            return  # lists and the like

    @property
    def key(self) -> tuple[Any, Any] | None:
        """What is declared, if it is one thing."""
        found = {declared[:2] for declared in self._declared}
        return found.pop() if len(found) == 1 else None

    @functools.cached_property
    def cnr_ids(self) -> Counter[str]:
        """The registry's ids, in small letters: their case varies, and means nothing."""
        return self._ids(0, _CNR_ID, str.lower)

    @functools.cached_property
    def aux_ids(self) -> Counter[str]:
        """Repositories of GitHub as owner/name; the name becomes a folder."""
        return self._ids(1, _AUX_ID, str)

    @property
    def versions(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for *ids, version in self._declared:
            if isinstance(version, str) and _VERSION_TEXT.fullmatch(version):
                for identity in ids:
                    if isinstance(identity, str):
                        found.setdefault(identity.lower(), set()).add(version)
        return found

    def _ids(self, place: int, form: re.Pattern[str], spell: Callable[[str], str]) -> Counter[str]:
        found: Counter[str] = Counter()
        for declared, count in self._declared.items():
            identity = declared[place]
            if isinstance(identity, str) and form.fullmatch(identity):
                found[spell(identity)] += count
        return found


@dataclass(frozen=True)
class Choice:
    """A pack, and why it is this one."""

    name: str
    repository: str | None
    cnr_id: str | None
    how: str
    sure: bool
    candidates: tuple[RegistryPack, ...] = ()
    installed: bool = False


@dataclass(frozen=True)
class Verdict:
    """What a class is. `words` says why it is unresolved or too new, or what is odd about it."""

    kind: Kind
    choice: Choice | None = None
    words: str = ""
    suggestion: str | None = None
    finding: tuple[str, str, str] | None = None


class PackResolver:
    """Judges the classes of one file at a time, and remembers what it found."""

    def __init__(
        self,
        *,
        builtins: Builtins,
        object_info: ObjectInfo | None,
        catalogue: Catalogue,
        registry: Registry,
        ambiguous: Ambiguous,
        allow_unlisted: bool,
    ) -> None:
        self._builtins = builtins
        self._object_info = object_info
        self._catalogue = catalogue
        self._registry = registry
        self._ambiguous = ambiguous
        self._allow_unlisted = allow_unlisted
        self._known: dict[tuple[str, tuple[Any, Any]], Verdict] = {}

    def judge(self, classes: Mapping[str, Evidence]) -> dict[str, Verdict]:
        verdicts = {name: self._recall(name, evidence) for name, evidence in classes.items()}
        open_questions = [name for name, verdict in verdicts.items() if verdict.choice and len(verdict.choice.candidates) > 1]
        if open_questions:
            needed = {
                verdict.choice.repository
                for verdict in verdicts.values()
                if verdict.choice and len(verdict.choice.candidates) <= 1 and verdict.choice.sure
            }
            for name in open_questions:
                choice = verdicts[name].choice
                if choice is not None:
                    verdicts[name] = self._settle(name, choice.candidates, needed)
        return verdicts

    def versions_of(self, choice: Choice, evidence: Evidence) -> set[str]:
        """The versions that nodes declare together with this very pack."""
        found: set[str] = set()
        for identity, versions in evidence.versions.items():
            listed = self._registry.by_repository(identity) if "/" in identity else self._registry.by_id(identity)
            names = {identity.rpartition("/")[2]} | ({listed.name.casefold()} if listed else set())
            if identity != CORE_ID and choice.name.casefold() in names:
                found |= versions
        return found

    def _recall(self, name: str, evidence: Evidence) -> Verdict:
        declared = evidence.key
        if declared is None:
            return self._look(name.strip(), evidence)
        key = (name, declared)
        if key not in self._known:
            # ComfyUI once had a class with a blank at its end, and files still name it.
            self._known[key] = self._look(name.strip(), evidence)
        return self._known[key]

    def _look(self, name: str, evidence: Evidence) -> Verdict:
        if name in FRONTEND_CLASSES:
            return Verdict("frontend")
        verdict = self._look_in_target(name, evidence)
        if verdict is not None:
            return verdict
        own = self._catalogue.pack_for_class(name)
        if own is not None:
            return Verdict("pack", Choice(own.name, own.url, None, "catalogue", True))
        too_new = self._elsewhere(name)
        if too_new is not None:
            return Verdict("too_new", words=too_new)
        if name in FRONTEND_ONLY:
            return Verdict("frontend", self._listed(self._registry.by_repository(FRONTEND_ONLY[name]), "frontend table", True))
        verdict = self._look_at_declared(name, evidence)
        if verdict is not None:
            return verdict
        if CORE_ID in evidence.cnr_ids:
            return Verdict("too_new", words="the workflow declares it as ComfyUI's own, and no known version has it")
        return self._look_in_registry(name)

    def _look_in_target(self, name: str, evidence: Evidence) -> Verdict | None:
        """The running instance knows best; without one the version's own list does."""
        info = self._object_info
        # ComfyUI brings a node or two of its own below custom_nodes.
        builtin = (name in self._builtins and (info is None or name in info.packs)) or (info is not None and name in info.builtin)
        if builtin:
            others = sorted({*evidence.cnr_ids, *evidence.aux_ids} - {CORE_ID})
            if not others:
                return Verdict("builtin")
            words = f"{printable(name)} is ComfyUI's own, and the workflow declares it as {', '.join(others)}'s"
            return Verdict("builtin", finding=("misdeclared", "info", words))
        if info is not None and name in info.packs:
            folder = info.packs[name]
            own = self._catalogue.pack_named(folder)
            listed = self._registry.by_id(folder)
            repository = own.url if own else listed.repository if listed else None
            return Verdict("pack", Choice(folder, repository, listed.cnr_id if listed else None, "running instance", True, installed=True))
        return None

    def _elsewhere(self, name: str) -> str | None:
        """For a class of ComfyUI that the target does not have: which versions do."""
        if self._object_info is None:
            return self._builtins.elsewhere(name)
        if name not in self._builtins:
            return None
        return builtins(OLDEST).elsewhere(name) or "the running instance does not have it"

    def _look_at_declared(self, name: str, evidence: Evidence) -> Verdict | None:
        found: list[tuple[RegistryPack | None, str, str]] = []
        for identity, _count in evidence.aux_ids.most_common():
            found.append((self._registry.by_repository(identity), "aux_id", identity))
        for identity, _count in evidence.cnr_ids.most_common():
            if identity != CORE_ID:
                found.append((self._registry.by_id(identity), "cnr_id", identity))
        if not found:
            return None
        listed = [(pack, how) for pack, how, _identity in found if pack is not None]
        if listed:
            # Nodes of one class that name several packs: the one that the registry has it in.
            having = self._registry.exact(name)
            exact = {pack.repository for pack in having}
            pack, how = next(((pack, how) for pack, how in listed if pack.repository in exact), listed[0])
            if having and pack.repository not in exact and not any(_are_alike(pack.name, other.name) for other in having):
                return self._dispute(name, pack, how, having[0])
            return Verdict("pack", self._listed(pack, how, True))
        for _pack, how, identity in found:
            own = self._catalogue.pack_named(identity.rpartition("/")[2])
            if own is not None:
                return Verdict("pack", Choice(own.name, own.url, identity if how == "cnr_id" else None, f"{how}, catalogue", True))
        return self._judge_unlisted(name, *found[0][1:])

    def _dispute(self, name: str, pack: RegistryPack, how: str, other: RegistryPack) -> Verdict:
        """The workflow says one pack and the registry others: an old list, or somebody who wants theirs to be installed."""
        words = f"the workflow declares {printable(name)} as {pack.repository}'s, and the registry has it in {other.repository}"
        choice = self._listed(pack, how, (pack.stars or 0) >= (other.stars or 0))
        if choice is None or choice.sure or self._ambiguous == "best_any":
            return Verdict("pack", choice, finding=("disputed_pack", "info", words))
        return Verdict("unresolved", choice, words=words, suggestion=other.repository, finding=("disputed_pack", "warning", words))

    def _judge_unlisted(self, name: str, how: str, identity: str) -> Verdict | None:
        """Only the workflow itself vouches for this pack: a stranger must not be able to name what we clone and run."""
        alike = next((pack for pack in self._registry.exact(name) if _are_alike(pack.name, identity.rpartition("/")[2])), None)
        if alike is not None:
            # The registry has it under a name like this one, and with this class.
            choice = self._listed(alike, f"{how}, by name", True)
            words = f"the workflow names {identity} for {printable(name)}, and the registry lists {alike.repository}, which is taken"
            return Verdict("pack", choice, finding=("unlisted_pack", "info", words))
        words = f"only the workflow names {identity} ({how}) for {printable(name)}: neither the registry nor the catalogue lists it"
        finding = ("unlisted_pack", "warning", words)
        if how == "aux_id" and self._allow_unlisted:
            pack = identity.rpartition("/")[2].removesuffix(".git")
            choice = self._own(Choice(pack, f"https://github.com/{identity}", None, "aux_id, not listed", False))
            return Verdict("pack", choice, finding=finding)
        reason = f"the pack {identity} is named by the workflow only; add it to the catalogue if it is to be trusted"
        return Verdict("unresolved", words=reason, suggestion=identity, finding=finding)

    def _look_in_registry(self, name: str) -> Verdict:
        candidates = (*self._registry.exact(name), *self._registry.matching(name))
        if len(candidates) == 1:
            return self._settle_one(name, candidates[0])
        if candidates:
            # Which one it is depends on the rest of the file.
            return Verdict("pack", Choice(candidates[0].name, candidates[0].repository, None, "", False, candidates))
        if _UUID.fullmatch(name):
            return Verdict("unresolved", words="the subgraph is not defined in the file")
        if name.startswith(("workflow/", "workflow>")):
            return Verdict("unresolved", words="the group node is not defined in the file")
        if name.startswith("## "):
            return Verdict("unresolved", words="a component of ComfyUI-Manager's old kind, which nothing can open any more")
        others = self._registry.elsewhere(name)
        if others:
            return Verdict("unresolved", words="it is known only from what git cannot install", suggestion=others[0].repository)
        if self._registry.is_core(name):
            return Verdict("too_new", words="the registry has it among ComfyUI's own, and no known version has it")
        return Verdict("unresolved", words="no known pack has it")

    def _settle_one(self, name: str, pack: RegistryPack) -> Verdict:
        choice = self._listed(pack, "node map", (pack.stars or 0) >= FEW_STARS)
        return self._decide(name, choice) if choice else Verdict("unresolved", words="no known pack has it")

    def _settle(self, name: str, candidates: tuple[RegistryPack, ...], needed: Iterable[str | None]) -> Verdict:
        owned = [pack for pack in candidates if self._catalogue.pack_named(pack.name)]
        siblings = [pack for pack in candidates if pack.repository in needed]
        ranked = sorted(candidates, key=lambda pack: -(pack.stars or 0))
        if owned:
            pack, how, sure = owned[0], "catalogue", True
        elif siblings:
            pack, how, sure = max(siblings, key=lambda pack: pack.stars or 0), "sibling", True
        else:
            pack, how = ranked[0], "stars"
            sure = (ranked[0].stars or 0) >= max(FEW_STARS, CLEAR_MARGIN * (ranked[1].stars or 0))
        choice = self._listed(pack, how, sure, tuple(ranked))
        return self._decide(name, choice) if choice else Verdict("unresolved", words="no known pack has it")

    def _decide(self, name: str, choice: Choice) -> Verdict:
        """Apply what the operator wants done with doubt."""
        if self._ambiguous == "best_any" or (choice.sure and (self._ambiguous == "best" or len(choice.candidates) <= 1)):
            return Verdict("pack", choice)
        if choice.how == "catalogue" or choice.how == "sibling":
            return Verdict("pack", choice)
        packs = [f"{pack.repository} ({'unknown' if pack.stars is None else pack.stars} stars)" for pack in choice.candidates[:5]]
        if packs:
            words = f"{len(choice.candidates)} packs claim it: {', '.join(packs)}"
        else:
            words = f"only {choice.repository} claims it, and few people use that"
        return Verdict("unresolved", choice if self._ambiguous == "best" else None, words=words, suggestion=choice.repository)

    def _listed(self, pack: RegistryPack | None, how: str, sure: bool, candidates: tuple[RegistryPack, ...] = ()) -> Choice | None:
        if pack is None:
            return None
        return self._own(Choice(pack.name, pack.repository, pack.cnr_id, how, sure, candidates))

    def _own(self, choice: Choice) -> Choice:
        """A pack is its folder: where the operator has one of this name, that is it, from wherever it comes."""
        own = self._catalogue.pack_named(choice.name)
        if own is None:
            return choice
        how = choice.how if "catalogue" in choice.how else f"{choice.how}, catalogue"
        return Choice(own.name, own.url, choice.cnr_id, how, True, choice.candidates, choice.installed)


def _are_alike(one: str, other: str) -> bool:
    """Whether two names of packs differ only in how they say that they are for ComfyUI."""
    plain = [re.sub("[^a-z0-9]|comfyui|comfy", "", name.lower()) for name in (one, other)]
    return plain[0] == plain[1] and bool(plain[0])


@functools.lru_cache(maxsize=8192)
def class_problem(name: str) -> str:
    """Why a text cannot be the name of a class; nothing when it can."""
    if not name.strip():
        return "it is empty"
    if len(name) > LONGEST_CLASS:
        return f"it is longer than {LONGEST_CLASS} characters"
    if not name.isprintable():
        return "it has characters that cannot be printed"
    if any(mark in name for mark in "=:") and printable(name) != name:
        return "it holds what looks like a secret"
    return "it holds what Ansible would take for a template" if any(mark in name for mark in ("{{", "{%", "{#")) else ""


def needed_version(versions: Iterable[str]) -> str | None:
    """The lowest of the versions of ComfyUI that nodes were saved with: it had the class."""
    found = [version for version in versions if _VERSION.fullmatch(version)]
    return min(found, key=lambda version: tuple(int(part) for part in version.split("."))) if found else None
