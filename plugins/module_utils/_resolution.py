# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""One joint resolution for ComfyUI and all packs: torch out of the packs' reach, one flavour of a kind, conflicts in words.

    <release>/requirements/<source>.txt     what the fork and each pack ask for, as handed to the resolver
    <release>/requirements/uv.toml          what packages need to be built, where packs say so
    <release>/requirements/indexes.json     the packs' own indexes that the inventory allows
    <release>/requirements.lock             the one answer, with hashes, and by way of whom each package came

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._command import put_texts, remove_all
from ansible_collections.emprops.comfyui.plugins.module_utils._conflict import Ask, explain, smallest
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_requirements import Requirements, name_of, normal
from ansible_collections.emprops.comfyui.plugins.module_utils._python_env import PythonEnv, PythonEnvError, is_unreachable, lacks, read_pins

# Moved together or not at all, and by the operator or the fork alone.
TORCH_FAMILY = ("torch", "torchvision", "torchaudio", "torchsde", "xformers", "triton")
# They bring the same module: one of them, or whichever was installed last wins.
OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
ONNXRUNTIME = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-training")
NEVER = "sys_platform == 'never'"


@dataclass(frozen=True)
class Policy:
    """What happens where requirements collide."""

    # fail, or skip_pack: the pack that comes last (by install_order, then name) of those that collide is left out.
    on_conflict: str = "fail"
    # Versions that outvote everybody where something collides: package -> version.
    prefer: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Resolution:
    """The one answer, and what it cost."""

    pins: dict[str, str] = field(default_factory=dict)
    # Packs that it is without, and why.
    left_out: dict[str, str] = field(default_factory=dict)
    preferred: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def parse_policy(given: Any) -> Policy:
    """From `fail`, `skip_pack` or `{prefer: {package: version}}`. Raises PythonEnvError."""
    if given in ("fail", "skip_pack"):
        return Policy(given)
    prefer = given.get("prefer") if isinstance(given, dict) and set(given) == {"prefer"} else None
    if not isinstance(prefer, dict) or not all(isinstance(one, str) for one in (*prefer, *prefer.values())):
        raise PythonEnvError(f"on_conflict is fail, skip_pack or {{prefer: {{package: version, as a text}}}}, not {given!r}")
    lines = {name: f"{name}=={version}" for name, version in prefer.items()}
    bad = [line for name, line in lines.items() if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+", line)]
    if bad:
        raise PythonEnvError(f"on_conflict prefers {bad[0]!r}, which is no version of a package")
    return Policy("fail", {normal(name): version for name, version in prefer.items()})


def resolve(
    env: PythonEnv, core: Requirements, packs: Sequence[Requirements], policy: Policy | None = None, *, refused: Sequence[str] = ()
) -> Resolution:
    """Write requirements.lock for ComfyUI and as many packs as can be met together. Raises PythonEnvError.

    `packs` come in the order of their rank: of those that collide the last is left out and named, with the reason. Whether that is
    a failure is the caller's to say. `refused` are limits too, of the list of known-bad packages.
    """
    return _Resolver(env, core, packs, policy or Policy(), refused).run()


@dataclass
class _Resolver:
    """One resolution: everything together first, and only where that fails the search for who is to blame."""

    env: PythonEnv
    core: Requirements
    packs: Sequence[Requirements]
    policy: Policy
    refused: Sequence[str] = ()
    torch: list[str] = field(default_factory=list)
    preferred: tuple[str, ...] = ()
    # Package that takes the place of others, and these.
    flavours: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def run(self) -> Resolution:
        core = self.resolve_core()
        self.torch = [f"{name}=={version}" for name, version in core.items() if name in TORCH_FAMILY]
        left, left_out = list(self.packs), dict[str, str]()
        while True:
            self._write_build_requirements(left)
            try:
                text = self._answer(left)
                break
            except PythonEnvError as error:
                culprit, why = self._blame(left, str(error))
                if culprit is None:  # the preferred versions have their turn
                    continue
                left = [each for each in left if each.source != culprit]
                left_out[culprit] = why
        indexes = sorted({url for each in left for url in each.indexes})
        self._write({self.env.lock: text.splitlines(), self.env.folder / "indexes.json": [json.dumps(indexes)]})
        notes = [note for each in (self.core, *self.packs) for note in each.notes]
        notes += [f"{', '.join(others)} give way to {winner}: they bring the same module" for winner, others in self.flavours.items()]
        return Resolution(read_pins(text), left_out, self.preferred, notes)

    def resolve_core(self) -> dict[str, str]:
        folder = self.env.folder
        remove_all([folder], self.env.account)
        sources = enumerate((self.core, *self.packs))
        files: dict[Path, Iterable[str]] = {folder / _file_name(number, each.source): each.lines for number, each in sources}
        self._write({**files, folder / "constraints.txt": self._limits(), folder / "overrides.txt": self.env.options.overrides})
        try:
            return read_pins(self.env.compile([folder / _file_name(0, self.core.source)], self._extra(), ()))
        except PythonEnvError as error:
            if is_unreachable(str(error)):
                raise
            asks = self._asks(self.core)
            raise PythonEnvError(explain(self._smallest_asks(asks, str(error)), str(error), None)) from error

    def _answer(self, packs: Sequence[Requirements]) -> str:
        text = self._compile(packs)
        flavours = choose_flavours(read_pins(text), [line for each in packs for line in each.lines], self.env.options.overrides)
        if flavours != self.flavours:
            self.flavours = flavours
            text = self._compile(packs)
        return text

    def _compile(self, packs: Sequence[Requirements]) -> str:
        folder = self.env.folder
        files: dict[Path, Iterable[str]] = {}
        for number, each in enumerate((self.core, *self.packs)):
            if number == 0 or each in packs:
                files[folder / _file_name(number, each.source)] = [self._renamed(line) for line in each.lines]
        if self.flavours:
            files[folder / "flavours.txt"] = list(self.flavours)
        self._write({**files, folder / "constraints.txt": self._limits(), folder / "overrides.txt": self._overrides()})
        indexes = sorted({url for each in packs for url in each.indexes})
        return self.env.compile(list(files), [*self._extra(), "--generate-hashes"], indexes)

    def _limits(self) -> list[str]:
        return [self._renamed(line) for line in (*self.env.options.constraints, *self.refused)]

    def _overrides(self) -> list[str]:
        losers = [f"{name} ; {NEVER}" for others in self.flavours.values() for name in others]
        outvoted = {name_of(line) for line in (*self.env.options.overrides, *self.preferred)}
        torch = [line for line in self.torch if name_of(line) not in outvoted]
        preferred = [line for line in self.preferred if name_of(line) not in {name_of(own) for own in self.env.options.overrides}]
        return [*torch, *losers, *preferred, *self.env.options.overrides]

    def _extra(self) -> list[str]:
        return ["--constraints", "constraints.txt", "--overrides", "overrides.txt"]

    def _renamed(self, line: str) -> str:
        for winner, others in self.flavours.items():
            if name_of(line) in others:
                return re.sub(r"^\s*[A-Za-z0-9._-]+(?<![._-])", winner, line)
        return line

    # --- who is to blame ---

    def _blame(self, packs: Sequence[Requirements], said: str) -> tuple[str | None, str]:
        """The pack to leave out, and why. Raises PythonEnvError where no pack is to blame."""
        if is_unreachable(said):
            raise PythonEnvError(said)
        if match := re.search(r"(?:parse requirement|invalid requirement|requirement) in `(\d{3})-[^`]*`", said):
            number = int(match[1])
            if 0 < number <= len(self.packs) and self.packs[number - 1] in packs:
                name = self.packs[number - 1].source
                return name, f"{name}: its requirements cannot be read: {said}"
        mentioned = _mentioned(said)
        near = [each for each in packs if any(name_of(line) in mentioned for line in each.lines)]
        suspects = near if near and self._fails(near) else list(packs)
        guilty = smallest(sorted(suspects, key=lambda each: each.source.casefold()), self._fails)
        if not guilty:
            raise PythonEnvError(explain(self._smallest_asks(self._asks(self.core), said), said, None))
        said = self._failure(guilty) or said
        asks = self._smallest_asks([ask for each in (*guilty, self.core) for ask in self._asks(each)], said)
        if self._prefer(asks):
            return None, ""
        victim = max(guilty, key=lambda each: self.packs.index(each)).source
        skipping = self.policy.on_conflict == "skip_pack"
        lack = "".join(f"\n  {sentence}" for sentence in lacks(said))
        return victim, explain(asks, said, victim, skipping=skipping) + lack

    def _prefer(self, asks: Sequence[Ask]) -> bool:
        """Let the preferred versions of what collides outvote everybody, once."""
        names = {name_of(ask.line) for ask in asks}
        fresh = [f"{name}=={version}" for name, version in sorted(self.policy.prefer.items()) if name in names]
        fresh = [line for line in fresh if line not in self.preferred]
        self.preferred = (*self.preferred, *fresh)
        return bool(fresh)

    def _fails(self, packs: Sequence[Requirements]) -> bool:
        return self._failure(packs) is not None

    def _failure(self, packs: Sequence[Requirements]) -> str | None:
        """What the resolver says against these packs together. Raises PythonEnvError where it cannot say."""
        try:
            self._compile(packs)
        except PythonEnvError as error:
            if is_unreachable(str(error)):
                raise
            return str(error)
        return None

    def _asks(self, each: Requirements) -> list[Ask]:
        own = [Ask(each.source, line) for line in each.lines]
        if each is not self.core:
            return own
        limits = {"the inventory": self.env.options.constraints, "the list of known-bad packages": self.refused}
        return own + [Ask(source, line, limits=True) for source, lines in limits.items() for line in lines]

    def _smallest_asks(self, asks: Sequence[Ask], said: str) -> list[Ask]:
        """Of all these lines, those that collide."""

        def fails(some: Sequence[Ask]) -> bool:
            probe = self.env.folder / "probe.txt"
            lines = {limits: [self._renamed(ask.line) for ask in some if ask.limits == limits] for limits in (False, True)}
            limits = self.env.folder / "probe-constraints.txt"
            self._write({probe: lines[False], limits: lines[True], self.env.folder / "overrides.txt": self._overrides()})
            indexes = sorted({url for each in self.packs for url in each.indexes})
            try:
                self.env.compile([probe], ["--constraints", "probe-constraints.txt", "--overrides", "overrides.txt"], indexes)
            except PythonEnvError as error:
                if is_unreachable(str(error)):
                    raise
                return True
            return False

        near = sorted(ask for ask in set(asks) if name_of(ask.line) in _mentioned(said))
        whole = near if near and fails(near) else sorted(set(asks))
        return smallest(whole, fails) if fails(whole) else list(whole)

    def _write_build_requirements(self, packs: Sequence[Requirements]) -> None:
        """uv reads uv.toml from the folder that it runs in, beside the machine's own settings."""
        pinned = {name_of(line): line for line in self.torch}
        needs: dict[str, list[str]] = {}
        for each in packs:
            for line in each.lines if each.build_requirements else ():
                needs.setdefault(name_of(line), []).extend(pinned.get(name_of(need), need) for need in each.build_requirements)
        rows = [f"{name} = {json.dumps(sorted(set(lines)))}" for name, lines in sorted(needs.items()) if name]
        self._write({self.env.folder / "uv.toml": ["[pip.extra-build-dependencies]", *rows] if rows else []})

    def _write(self, files: Mapping[Path, Iterable[str]]) -> None:
        """As the account: a package that was built may have left links in its folder."""
        put_texts({path: "".join(f"{line}\n" for line in lines) for path, lines in files.items()}, self.env.account)


def _mentioned(said: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+(?:[-.][a-z0-9]+)*", said.lower().replace("_", "-")))


def choose_flavours(pins: Mapping[str, str], lines: Sequence[str], overrides: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Winner → those that give way, for packages that bring one and the same module.

    opencv without windows, for servers have no libGL, and with contrib where anybody wants that. onnxruntime for GPUs where anybody
    wants that (it runs on the CPU as well) and there is one for this processor. An override of the inventory decides otherwise.
    """
    asked = {name_of(line) for line in lines} | set(pins)
    told = {name_of(line) for line in overrides if not line.rstrip().endswith(NEVER)}
    chosen: dict[str, tuple[str, ...]] = {}
    opencv = "opencv-contrib-python-headless" if any("contrib" in name for name in asked & set(OPENCV)) else "opencv-python-headless"
    gpu = "onnxruntime-gpu" in asked and platform.machine() == "x86_64"
    for family, winner in ((OPENCV, opencv), (ONNXRUNTIME, "onnxruntime-gpu" if gpu else "onnxruntime")):
        wanted = next((name for name in family if name in told), winner)
        others = tuple(name for name in family if name in asked and name != wanted)
        if others:
            chosen[wanted] = others
    return chosen


def file_number(file: str) -> int:
    """The place, from 1, of the pack that a file of requirements is of; 0 for ComfyUI, -1 for what is nobody's."""
    return int(file[:3]) if re.match(r"[0-9]{3}-", file) else -1


def _file_name(number: int, source: str) -> str:
    return f"{number:03d}-{re.sub(r'[^A-Za-z0-9._-]', '_', source)}.txt"
