# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""From a sealed release to instances that run it and are proved to, and back if they are not.

    <settings_dir>/<instance>.env     what the unit of one instance reads; EMPROPS_CONFIG_DIGEST in it tells,
                                      in the environment of the running process, which settings that one has
    <root>/state/active.json          the release and the settings that last passed; where a failure goes back to
    <root>/state/packs.json           what the packs of the release that runs bring, and how long each took to import

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._command import CommandError, run
from ansible_collections.emprops.comfyui.plugins.module_utils._files import environment_line, put_json, put_text
from ansible_collections.emprops.comfyui.plugins.module_utils._instance_state import (
    DIGEST_VARIABLE,
    InstanceSpec,
    InstanceState,
    read_instances,
    strangers,
    unit_gave_up,
    why_not_ready,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_truth import PackTruth, judge_packs, read_packs
from ansible_collections.emprops.comfyui.plugins.module_utils._ports import Listener
from ansible_collections.emprops.comfyui.plugins.module_utils._release import Lock, Workspace
from ansible_collections.emprops.comfyui.plugins.module_utils._systemd import SystemdError, journal

# An instance that systemd had to start this many times again is not coming up.
HOPELESS_RESTARTS = 2
# A process that is just ending may still hold its port and no longer show whose it is, so one look proves nothing.
PATIENCE_LOOKS = 4
LOG_LINES = 20


class ActivationError(Exception):
    """The release is not serving; the text says what was wrong and what serves now."""


@dataclass(frozen=True)
class WantedInstance:
    """One instance: where it is, and the variables of its settings file."""

    name: str
    unit: str
    url: str
    settings: Mapping[str, str]

    @property
    def spec(self) -> InstanceSpec:
        return InstanceSpec(self.name, self.unit, self.url)


@dataclass(frozen=True)
class Target:
    """What shall run: one release, and each instance with its settings."""

    release: str
    instances: tuple[WantedInstance, ...]

    def as_dict(self) -> dict[str, Any]:
        rows = [{"name": one.name, "unit": one.unit, "url": one.url, "settings": dict(one.settings)} for one in self.instances]
        return {"release": self.release, "instances": rows}

    @staticmethod
    def of(data: Mapping[str, Any]) -> Target:
        return Target(str(data["release"]), tuple(WantedInstance(**row) for row in data["instances"]))


@dataclass(frozen=True)
class Plan:
    """The step from what runs to what is wanted."""

    target: Target
    current: str | None
    # Why an instance must be started anew, by name; one that runs what is wanted is not in it.
    restarts: Mapping[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return self.current != self.target.release or bool(self.restarts)

    @property
    def diff(self) -> dict[str, Any]:
        return {
            "before": {"release": self.current},
            "after": {"release": self.target.release, "restarts": dict(self.restarts)},
        }


@dataclass(frozen=True)
class Outcome:
    """How the instances of a release came up, and what they bring of its packs."""

    states: list[InstanceState]
    packs: list[PackTruth]
    problems: list[str]
    warnings: list[str]


@dataclass(frozen=True)
class Activation:
    """Where releases and settings of one machine are, and how long its instances may take."""

    workspace: Workspace
    settings_dir: Path
    # Files that the unit reads besides the settings; when their content changes, instances must be started anew.
    digest_files: tuple[Path, ...] = ()
    ready_seconds: float = 600
    missing_node_types: str = "fail"

    def plan(self, release: str, instances: Sequence[WantedInstance]) -> Plan:
        """Look at the running processes themselves and say which must be started anew.

        Raises ActivationError for arguments that the release's own main.py does not know.
        """
        target = Target(release, tuple(instances))
        lock = self.workspace.lock_of(release)
        if lock:
            check_flags(lock, target.instances)
        states = read_instances([one.spec for one in instances], ask=False)
        restarts = {}
        for one, state in zip(target.instances, states, strict=True):
            reason = self._why_restart(release, one, state)
            if reason:
                restarts[one.name] = reason
        return Plan(target, self.workspace.link("current"), restarts)

    def _why_restart(self, release: str, one: WantedInstance, state: InstanceState) -> str | None:
        if not state.pid:
            return "it does not run"
        if state.release != release:
            return f"it runs release {state.release}"
        if state.config_digest != self._digest(one):
            return "its settings changed"
        return None

    def apply(self, plan: Plan) -> Outcome:
        """Switch, start anew, wait, check; the outcome has no problems.

        Raises ActivationError; what served before serves again by then, or the text says that it does not.
        """
        self.refuse_taken_ports(plan)
        proved = self._proved()
        if plan.changed:
            try:
                self._switch(plan.target, plan.restarts)
            except (ActivationError, OSError) as error:
                raise ActivationError(f"{error}\n{self._go_back(plan.target, proved)}") from error
        outcome = self._wait(plan.target)
        if outcome.problems and plan.changed:
            raise ActivationError("\n".join([*outcome.problems, self._go_back(plan.target, proved)]))
        if outcome.problems:
            raise ActivationError("\n".join(outcome.problems))
        if proved != plan.target:
            if proved and proved.release != plan.target.release and self.workspace.lock_of(proved.release):
                self.workspace.point("previous", proved.release)
            put_json(self._state_file, plan.target.as_dict())
        return outcome

    @property
    def _state_file(self) -> Path:
        return self.workspace.state / "active.json"

    def _proved(self) -> Target | None:
        try:
            return Target.of(json.loads(self._state_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def refuse_taken_ports(self, plan: Plan) -> None:
        """Raises ActivationError naming who listens where an instance shall."""
        # Where the base port moves, one instance holds the port of another until both are started anew.
        moving = [one for one in plan.target.instances if one.name in plan.restarts]
        taken: list[str] = []
        for look in range(PATIENCE_LOOKS):
            states = read_instances([one.spec for one in plan.target.instances], ask=False)
            held = [(state, _foreigners(state, moving)) for state in states]
            taken = [f"port {state.port} of {state.spec.name} is held by {', '.join(map(str, who))}" for state, who in held if who]
            if not taken:
                return
            if look < PATIENCE_LOOKS - 1:
                time.sleep(1)
        raise ActivationError("\n".join(f"{line}; it was left alone" for line in taken))

    def _digest(self, one: WantedInstance) -> str:
        digest = hashlib.sha256(json.dumps(dict(one.settings), sort_keys=True).encode())
        for path in self.digest_files:
            digest.update(b"\0" + (path.read_bytes() if path.is_file() else b""))
        return digest.hexdigest()[:16]

    def _switch(self, target: Target, names: Iterable[str]) -> None:
        for one in target.instances:
            settings = {**one.settings, DIGEST_VARIABLE.decode(): self._digest(one)}
            text = "".join(environment_line(key, str(value)) for key, value in sorted(settings.items()))
            put_text(self.settings_dir / f"{one.name}.env", text)
        self.workspace.point("current", target.release)
        units = [one.unit for one in target.instances if one.name in set(names)]
        if not units:
            return
        # A run that ended after it wrote units and before systemd read them would leave that undone for good.
        with suppress(CommandError):  # it also fails at what others have written wrong
            run(["systemd-tmpfiles", "--create", f"--prefix={self.workspace.root}"], timeout=60)
        with suppress(CommandError):  # units that are not loaded have nothing to reset
            # A unit that gave up before counts its attempts from zero again.
            run(["systemctl", "reset-failed", "--", *units], timeout=60)
        try:
            run(["systemctl", "daemon-reload"], timeout=120)
            run(["systemctl", "restart", "--no-block", "--", *units], timeout=60)
        except CommandError as error:
            raise ActivationError(f"cannot start the instances: {error}") from error

    def _wait(self, target: Target) -> Outcome:
        """Wait until all are ready, or one is past hope, or time is up; then say what is wrong."""
        lock = self.workspace.lock_of(target.release)
        deadline = time.monotonic() + self.ready_seconds
        fewest: dict[str, int] = {}
        blocked: dict[str, int] = {}
        while True:
            states = read_instances([one.spec for one in target.instances])
            waits = [self._why_wait(target.release, one, state) for one, state in zip(target.instances, states, strict=True)]
            waiting = [state for state, why in zip(states, waits, strict=True) if why]
            for state in states:
                count = state.unit.n_restarts if state.unit else 0
                fewest[state.spec.name] = min(count, fewest.get(state.spec.name, count))
                blocked[state.spec.name] = blocked.get(state.spec.name, 0) + 1 if _foreigners(state, target.instances) else 0
            hopeless = [
                state for state in waiting if _is_hopeless(state, fewest[state.spec.name]) or blocked[state.spec.name] >= PATIENCE_LOOKS
            ]
            if not waiting or hopeless or time.monotonic() > deadline:
                break
            time.sleep(1)
        problems = [f"{state.spec.name} is not ready: {why}{_last_words(state)}" for state, why in zip(states, waits, strict=True) if why]
        ready = [state for state, why in zip(states, waits, strict=True) if not why]
        packs = read_packs(ready, lock) if ready and lock else []
        said = judge_packs(packs)
        warnings = list(said.remarks)
        problems += said.failed
        (problems if self.missing_node_types == "fail" else warnings).extend(said.missing)
        if ready and not waiting:
            self._record(target.release, states, packs)
        return Outcome(states, packs, problems, warnings)

    def _record(self, release: str, states: Sequence[InstanceState], packs: Sequence[PackTruth]) -> None:
        """Write down what the packs of the running release bring, also of one that is about to be taken back."""
        path = self.workspace.state / "packs.json"
        # A log that has forgotten the start knows less than what was written down then.
        if all(state.import_seconds is None for state in states) and _recorded(path) == release:
            return
        with suppress(OSError):  # a disk that is full is no reason to stop here, before anything is taken back
            put_json(path, {"release": release, "packs": [one.as_dict() for one in packs]})

    def _why_wait(self, release: str, one: WantedInstance, state: InstanceState) -> str | None:
        """Ready is not enough: for a moment after the restart was ordered, what answers is still the old process."""
        if reason := why_not_ready(state):
            return reason
        if state.release != release:
            return f"it runs release {state.release}, not {release}"
        return "it runs with other settings" if state.config_digest != self._digest(one) else None

    def _go_back(self, failed: Target, proved: Target | None) -> str:
        """Bring back what passed last and say how that went."""
        if proved is None or self.workspace.lock_of(proved.release) is None:
            return f"Nothing served before on this machine, so release {failed.release} was left as it is, to be looked at."
        if proved == failed:
            return f"Release {proved.release} is also what passed last, so there is nothing to go back to."
        wanted = Target(proved.release, tuple(one for one in proved.instances if one.name in {each.name for each in failed.instances}))
        try:
            plan = self.plan(wanted.release, wanted.instances)
            self._switch(wanted, plan.restarts)
        except (ActivationError, OSError) as error:
            return f"Going back to release {proved.release} failed: {error}"
        self._want_again(proved.release)
        outcome = self._wait(wanted)
        if outcome.problems:
            return f"Went back to release {proved.release}, which does not serve either: {'; '.join(outcome.problems)}"
        serving = ", ".join(f"{state.spec.name} on port {state.port}" for state in outcome.states)
        return f"Went back to release {proved.release}; it serves again: {serving}."

    def _want_again(self, release: str) -> None:
        """Branches count as settled where the release that serves has them, so that a plain run does not retry a failed update."""
        lock = self.workspace.lock_of(release)
        if lock:
            self.workspace.point("candidate", release)
            _fork, before = self.workspace.settled()
            served = (*lock.packs, *(one.pack for one in lock.skipped))
            others = [pack for pack in before if pack.name not in {one.name for one in served}]
            self.workspace.settle(fork=lock.fork, packs=[*served, *others])


def check_flags(lock: Lock, instances: Sequence[WantedInstance]) -> None:
    """Refuse what main.py would end at with exit status 2. Raises ActivationError."""
    for one in instances:
        flags = [word.partition("=")[0] for word in one.settings.get("COMFYUI_ARGS", "").split() if word.startswith("--")]
        unknown = [flag for flag in flags if flag not in lock.flags]
        if unknown:
            near = sorted({name for flag in unknown for name in difflib.get_close_matches(flag, lock.flags, 3)})
            hint = f"; it does know {', '.join(near)}" if near else ""
            raise ActivationError(f"main.py of release {lock.id} (ComfyUI {lock.comfyui_version}) does not know {', '.join(unknown)}{hint}")


def _recorded(path: Path) -> str | None:
    """The release that packs.json tells of; None where it cannot be read."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["release"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _foreigners(state: InstanceState, ours: Sequence[WantedInstance]) -> list[Listener]:
    """Who holds the instance's port and is no part of any of these."""
    units = {one.unit for one in ours}
    return [listener for listener in strangers(state) if listener.cgroup_unit not in units]


def _is_hopeless(state: InstanceState, restarts_before: int) -> bool:
    again = state.unit.n_restarts - restarts_before if state.unit else 0
    return unit_gave_up(state) or again >= HOPELESS_RESTARTS


def _last_words(state: InstanceState) -> str:
    try:
        text = journal(unit=state.spec.unit, lines=LOG_LINES).strip()
    except SystemdError:
        return ""
    return "\n" + "\n".join(f"    {line}" for line in text.splitlines()) if text else ""
