# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Between opening and sealing a release: every pack at its commit, one Python environment for all, their install.py, their lasting files.

    <release>/ComfyUI/custom_nodes/<name>/   a pack, whole or not there
    <release>/install_logs/<name>.log        what its install.py said
    <root>/persist/<name>/<path>             what a pack writes and keeps from release to release; the pack holds a link to it

A pack that fails is named and the others go on, so that one run tells everything that is wrong. A release with a failed pack is not sealed.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account, CommandError, put_texts, remove_all, run
from ansible_collections.emprops.comfyui.plugins.module_utils._files import as_json, give, put_json, read_own, read_text
from ansible_collections.emprops.comfyui.plugins.module_utils._git import (
    GitAccess,
    GitError,
    Mirror,
    check_host,
    follow_ref,
    head_of,
    resolve_ref,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._install_script import InstallScriptError, run_install_script
from ansible_collections.emprops.comfyui.plugins.module_utils._known_bad import bad_packages, judge_pack, refused_packages
from ansible_collections.emprops.comfyui.plugins.module_utils._manifest import ManifestError, Pack, parse_packs, same_origin
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_archive import (
    MARK,
    Archive,
    ArchiveError,
    RegistryAccess,
    fetch_archive,
    resolve_archive,
    unpack_archive,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_requirements import (
    Requirements,
    RequirementsError,
    Rules,
    Source,
    read_requirements,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._python_env import BuildError, PythonEnv, PythonOptions, make_dir, read_pins
from ansible_collections.emprops.comfyui.plugins.module_utils._release import (
    Fork,
    Lock,
    LockedPack,
    OpenPlan,
    ReleaseError,
    SkippedPack,
    Workspace,
    digest_of,
    drop_unsealed,
    open_release,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._resolution import Policy, Resolution, file_number, resolve

PARALLEL = 16
# Each runs a Python of its own, often with torch in it.
PARALLEL_SCRIPTS = 4
SCRIPT = "install.py"

T = TypeVar("T")
_FAILURES = (ArchiveError, CommandError, GitError, InstallScriptError, OSError, RequirementsError)


@dataclass(frozen=True)
class Outside:
    """How what is not on the machine is reached."""

    git: GitAccess
    registry: RegistryAccess = field(default_factory=RegistryAccess)


@dataclass(frozen=True)
class Choices:
    """What the inventory decides beside the list of packs. `update` and `accept_rewritten` hold pack names or `all`."""

    constraints: Sequence[str] = ()
    overrides: Sequence[str] = ()
    allowed_indexes: Sequence[str] = ()
    update: Sequence[str] = ()
    accept_rewritten: Sequence[str] = ()
    policy: Policy = field(default_factory=Policy)
    # The account that runs install.py, which is the one that runs the instances; None: the one that builds.
    runner: Account | None = None
    script_seconds: float = 600
    # Nothing is written, not even into the cache.
    dry: bool = False


@dataclass(frozen=True)
class FillPlan:
    """The step from the packs of the wanted release to those of the manifest."""

    fork: Fork
    python: PythonOptions
    packs: tuple[LockedPack, ...]
    found: Lock | None
    sealed: str | None = None
    opened: Path | None = None
    # Packs that cannot be planned, and why.
    problems: Mapping[str, str] = field(default_factory=dict)
    disabled: tuple[str, ...] = ()
    pinned: frozenset[str] = frozenset()
    # Who outranks whom where requirements collide: an install_order comes first, then the name, whatever order they are listed in.
    ranks: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    # Seconds that it took to know each pack's commit; a new pack is fetched then.
    fetched: Mapping[str, float] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return digest_of(self.fork, self.python, self.packs)

    @property
    def changed(self) -> bool:
        return self.sealed is None or self.found is None or self.sealed != self.found.id or self.opened is not None

    @property
    def ranked(self) -> tuple[str, ...]:
        """The packs by rank, the first before all."""
        return tuple(sorted((pack.name for pack in self.packs), key=lambda name: self.ranks[name]))

    @property
    def before(self) -> dict[str, LockedPack]:
        return {pack.name: pack for pack in self.found.packs} if self.found else {}

    @property
    def diff(self) -> dict[str, Any]:
        def shown(packs: Sequence[LockedPack]) -> dict[str, str]:
            return {pack.name: f"{pack.url}@{pack.commit}" if pack.url else pack.at for pack in packs}

        return {"before": shown(self.found.packs if self.found else ()), "after": shown(self.packs)}


@dataclass
class PackReport:
    """What happened to one pack. `state`: installed, skipped, disabled, failed or removed."""

    name: str
    commit: str = ""
    commit_before: str | None = None
    changed: bool = False
    state: str = "installed"
    seconds: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(("fetch", "install", "import")))
    added: list[str] = field(default_factory=list)
    error: str | None = None


@dataclass
class FillReport:
    packs: list[PackReport] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def row(self, name: str) -> PackReport:
        return next(row for row in self.packs if row.name == name)

    @property
    def problems(self) -> list[str]:
        return [row.error for row in self.packs if row.state == "failed" and row.error]


# --- planning ----------------------------------------------------------------------------------------------------


def plan_fill(workspace: Workspace, packs: Sequence[Pack], outside: Outside, choices: Choices | None = None) -> FillPlan:
    """Decide on every pack's commit: its pin, else the locked one, else (new, or in `update`) what its branch is at.

    A pack without an answer is in the plan's `problems`. Raises ReleaseError where there is nothing to fill.
    """
    choices = choices or Choices()
    opened = workspace.opened()
    found = workspace.wanted_lock()
    base = opened[1] if opened else found
    if base is None:
        raise ReleaseError(f"there is no release in {workspace.releases} to put custom nodes into; run the comfyui_fork role first")
    python = replace(
        base.python,
        constraints=tuple(choices.constraints),
        overrides=tuple(choices.overrides),
        allowed_indexes=tuple(choices.allowed_indexes),
    )
    unknown = sorted(set(choices.update) - {"all"} - {pack.name for pack in packs})
    if unknown:
        raise ReleaseError(f"asked to update {', '.join(unknown)}, which the manifest does not list")
    _fork, settled = workspace.settled()
    planner = _Planner(workspace, outside, choices, (*settled, *(_all_packs(found) if found else ())))
    enabled = [pack for pack in packs if pack.enabled]
    answers, problems = _each(enabled, planner.lock)
    locked = tuple(answers[pack.name] for pack in enabled if pack.name in answers)
    ranked = sorted(packs, key=lambda pack: (pack.install_order is None, pack.install_order or 0, pack.name.casefold()))
    bare = FillPlan(
        base.fork,
        python,
        locked,
        found,
        opened=opened[0] if opened else None,
        problems=problems,
        disabled=tuple(pack.name for pack in packs if not pack.enabled),
        pinned=frozenset(pack.name for pack in enabled if pack.commit or pack.version),
        ranks={pack.name: rank for rank, pack in enumerate(ranked)},
        warnings=tuple(planner.warnings),
        fetched=planner.seconds,
    )
    if problems:
        return bare
    known_bad = refuse_bad_packages(workspace, found.id) if found else []
    return replace(bare, sealed=_sealed_with(workspace, bare, choices), warnings=(*bare.warnings, *known_bad))


@dataclass
class _Planner:
    workspace: Workspace
    outside: Outside
    choices: Choices
    known: tuple[LockedPack, ...]
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def lock(self, pack: Pack) -> LockedPack:
        started = time.monotonic()
        refusal, warning = judge_pack(pack.name, pack.url, pack.cnr_id or None, version=pack.version)
        if refusal:
            raise ReleaseError(refusal)
        locked = self._of_registry(pack) if pack.cnr_id else self._of_repository(pack)
        if warning and (pack.name, locked.at) not in {(one.name, one.at) for one in self.known}:
            self.warnings.append(f"{pack.name}: {warning}")
        self.seconds[pack.name] = round(time.monotonic() - started, 3)
        return replace(
            locked,
            recursive=pack.recursive,
            requirements=pack.requirements,
            build_requirements=pack.build_requirements,
            persist=pack.persist,
            skip_install_script=pack.skip_install_script,
            install_script_network=pack.install_script_network,
        )

    def _is_in(self, pack: Pack, names: Sequence[str]) -> bool:
        return bool({pack.name, "all"} & set(names))

    def _of_repository(self, pack: Pack) -> LockedPack:
        access, cache = self.outside.git, self.workspace.cache
        check_host(pack.url, access.hosts)
        known = next((one for one in self.known if one.name == pack.name and one.branch == pack.branch and same_origin(one, pack)), None)
        if pack.commit:
            commit = pack.commit
        elif known and not self._is_in(pack, self.choices.update):
            commit = known.commit
        elif known:
            rewritten = self._is_in(pack, self.choices.accept_rewritten)
            commit = follow_ref(pack.url, pack.branch, known.commit, cache, access, accept_rewritten=rewritten)
        elif self.choices.dry:
            commit = resolve_ref(pack.url, pack.branch, access)
        else:
            commit = _first_commit(pack, cache, access)
        return LockedPack(pack.name, pack.url, commit, pack.branch)

    def _of_registry(self, pack: Pack) -> LockedPack:
        asked = pack.version or ""
        known = next((one for one in self.known if one.name == pack.name and same_origin(one, pack)), None)
        bare = LockedPack(pack.name, cnr_id=pack.cnr_id, version_asked=asked)
        is_it = asked in (known.version, known.version_asked) if known and asked else not self._is_in(pack, self.choices.update)
        if known and known.sha256 and is_it:
            return replace(bare, version=known.version, sha256=known.sha256)
        version, _url, warnings = resolve_archive(pack.cnr_id, pack.version, self.outside.registry)
        self.warnings += [f"{pack.name}: {warning}" for warning in warnings]
        before = known.sha256 if known and known.version == version else None
        if self.choices.dry:
            return replace(bare, version=version, sha256=before or "")
        archive = fetch_archive(pack.cnr_id, version, self.workspace.cache, self.outside.registry, sha256=before)
        return replace(bare, version=version, sha256=archive.sha256)


def _first_commit(pack: Pack, cache: Path, access: GitAccess) -> str:
    """One question instead of two, where the ref is a branch."""
    _make_git_cache(cache, access.account)
    try:
        return Mirror.of(cache, pack.url, access).fetch_head(pack.branch)
    except GitError:
        # A tag, or nothing: this one says which.
        return resolve_ref(pack.url, pack.branch, access)


def _make_git_cache(cache: Path, account: Account | None) -> None:
    if not (cache / "git").is_dir():
        make_dir(cache / "git", account or Account.named(None))


def _all_packs(lock: Lock) -> tuple[LockedPack, ...]:
    return (*lock.packs, *(one.pack for one in lock.skipped))


def _sealed_with(workspace: Workspace, plan: FillPlan, choices: Choices) -> str | None:
    """The newest sealed release that is what the plan wants, the wanted one before all."""
    preferred = {f"{name}=={version}" for name, version in choices.policy.prefer.items()}

    def fits(lock: Lock | None) -> bool:
        if lock is None or lock.digest != plan.digest or not set(lock.preferred) <= preferred:
            return False
        skipped = {one.pack.name for one in lock.skipped}
        if skipped and (choices.policy.on_conflict != "skip_pack" or (skipped | {"all"}) & set(choices.update)):
            return False
        if skipped and lock.ranked != plan.ranked:  # another one would be skipped
            return False
        if refuse_bad_packages(workspace, lock.id):
            return False
        folder = workspace.releases / lock.id / "ComfyUI/custom_nodes"
        return all((folder / pack.name).is_dir() for pack in lock.packs)

    if fits(plan.found):
        return plan.found.id if plan.found else None
    return next((name for name in reversed(workspace.sealed()) if fits(workspace.lock_of(name))), None)


def _each(packs: Sequence[Any], action: Callable[[Any], T], parallel: int = PARALLEL) -> tuple[dict[str, T], dict[str, str]]:
    """Do it for all packs side by side: the answers by name, and why there is none, by name."""

    def one(pack: Any) -> tuple[T | None, str | None]:
        try:
            return action(pack), None
        except (*_FAILURES, ReleaseError) as error:
            words = str(error)
            return None, words if words.startswith(f"{pack.name}: ") else f"{pack.name}: {words}"

    with ThreadPoolExecutor(parallel) as pool:
        results = dict(zip([pack.name for pack in packs], pool.map(one, packs), strict=True))
    answers = {name: answer for name, (answer, problem) in results.items() if problem is None}
    return answers, {name: problem for name, (_answer, problem) in results.items() if problem}


def unchanged_packs(workspace: Workspace, plan: FillPlan) -> FillReport:
    """What there is to report where nothing was done: the commits as they are and as they would become."""
    before = plan.before
    report = FillReport(warnings=list(plan.warnings))
    imports = _import_seconds(workspace)
    lock = workspace.lock_of(plan.sealed)
    skipped = {one.pack.name: one.reason for one in lock.skipped} if lock else {}
    for pack in plan.packs:
        old = before.get(pack.name)
        same = old is not None and old.wanted == replace(pack, branch=old.branch, version_asked=old.version_asked)
        row = PackReport(pack.name, pack.at, old.at if old else None, changed=not same)
        row.seconds["fetch"] = plan.fetched.get(pack.name)
        row.seconds["import"] = imports.get(pack.name)
        row.added = list(old.added) if old else []
        if pack.name in skipped:
            row.state, row.error, row.changed = "skipped", skipped[pack.name], False
        report.packs.append(row)
    for name, problem in plan.problems.items():
        report.packs.append(PackReport(name, "", before[name].at if name in before else None, state="failed", error=problem))
    for name in plan.disabled:
        report.packs.append(PackReport(name, "", before[name].at if name in before else None, name in before, "disabled"))
    listed = {row.name for row in report.packs}
    report.packs += [PackReport(name, "", old.at, True, "removed") for name, old in before.items() if name not in listed]
    return report


def _import_seconds(workspace: Workspace) -> dict[str, float | None]:
    """How long each pack took to import when the active release was started last (see _pack_truth.py)."""
    try:
        rows = json.loads((workspace.state / "packs.json").read_text(encoding="utf-8"))["packs"]
        return {row["name"]: row["import_seconds"] for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


# --- what was put there by hand ----------------------------------------------------------------------------------


def find_unlisted(workspace: Workspace, git: GitAccess) -> dict[str, Pack | None]:
    """What lies among the packs of the current release and is neither in its lock nor part of ComfyUI: by name, as a pack that a
    manifest could list, where it is a clone that git can tell the origin of. Raises CommandError."""
    current = workspace.link("current")
    lock = workspace.lock_of(current)
    if current is None or lock is None:
        return {}
    code = workspace.releases / current / "ComfyUI"
    listed = {pack.name for pack in lock.packs} | {"__pycache__"}
    try:
        there = {path.name for path in (code / "custom_nodes").iterdir() if path.is_dir() or path.suffix == ".py"}
    except OSError:
        return {}
    strays = {name for name in there - listed if not name.startswith(".")}
    if strays:
        own = git.git("ls-tree", "--name-only", "-z", "HEAD", "custom_nodes/", cwd=code)
        strays -= {path.rpartition("/")[2] for path in own.split("\0")}
    return {name: _as_pack(code / "custom_nodes" / name, git) for name in sorted(strays)}


def _as_pack(folder: Path, git: GitAccess) -> Pack | None:
    """By reading the clone's files and never running git in it: whoever put it there may have configured programs."""
    if folder.is_symlink() or not (folder / ".git/config").is_file():
        return None
    try:
        url = git.git("config", "--file", str(folder / ".git/config"), "--get", "remote.origin.url").strip()
        owner = folder.stat().st_uid
        head = read_own(folder / ".git/HEAD", owner).strip()
        ref = head.removeprefix("ref: ")
        if ref != head and re.fullmatch(r"refs/heads/[A-Za-z0-9._/-]+", ref) and ".." not in ref:
            packed = read_own(folder / ".git/packed-refs", owner).splitlines()
            refs = dict(line.split(" ")[::-1] for line in packed if line.count(" ") == 1)
            head = read_own(folder / ".git" / ref, owner).strip() or refs.get(ref, "")
        packs, _warnings = parse_packs([{"name": folder.name, "url": url, "commit": head}], "custom_nodes", git.protocols)
        check_host(packs[0].url, git.hosts)
    except (CommandError, GitError, ManifestError, OSError):
        return None
    return packs[0]


def adopted_packs(workspace: Workspace) -> list[dict[str, Any]]:
    """The entries that earlier runs adopted (nothing where unreadable)."""
    try:
        rows = json.loads((workspace.state / "adopted_packs.json").read_text(encoding="utf-8"))["custom_nodes"]
        return [dict(row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def adopt(workspace: Workspace, entries: Sequence[Mapping[str, Any]]) -> None:
    """Keep these entries, so that the next run has them too."""
    put_json(workspace.state / "adopted_packs.json", {"custom_nodes": [dict(entry) for entry in entries]})


def refuse_bad_packages(workspace: Workspace, release: str) -> list[str]:
    """Sentences about packages of a sealed release that have become known as bad since."""
    return bad_packages(read_pins(read_text(workspace.releases / release / "requirements.lock")))


# --- filling -----------------------------------------------------------------------------------------------------


def fill(workspace: Workspace, plan: FillPlan, outside: Outside, choices: Choices, report: FillReport) -> None:
    """Bring packs and Python packages of a plan into the open release (opened here if need be), and tell it to the report.

    What is wrong with single packs is in the report. Raises ReleaseError, GitError, PythonEnvError, OSError where nothing can go on;
    what runs is not touched by any of it.
    """
    if plan.sealed:
        # Everything that is asked for exists already, whole.
        drop_unsealed(workspace)
        workspace.settle(packs=_settled(workspace, plan))
        workspace.point("candidate", plan.sealed)
        return
    path = plan.opened or open_release(workspace, OpenPlan(plan.fork, plan.python, None, like=plan.found), outside.git)
    if path is None:
        raise ReleaseError("a release that nothing satisfies was not opened")
    remove_all([path / "filled.json"], workspace.account)
    filling = _Filling(workspace, path, plan, outside, choices, report)
    filling.timed("fetch", filling.put_packs)
    # A new pack need not be asked for again. What replaces a commit that serves, or was pinned, counts once it is sealed.
    workspace.settle(packs=_settled(workspace, plan, {*filling.gone, *plan.before, *plan.pinned}))
    filling.bring_packages()
    filling.timed("scripts", filling.run_scripts)
    filling.link_lasting()
    if not report.problems:
        filling.finish()


def keep_settled(workspace: Workspace, plan: FillPlan) -> None:
    """Where nothing is to be done: remember the commits all the same, since a branch may be named otherwise now. Raises OSError."""
    workspace.settle(packs=_settled(workspace, plan))


def _settled(workspace: Workspace, plan: FillPlan, gone: Collection[str] = ()) -> list[LockedPack]:
    """Commits to remember: those that are there, and for packs that are left out or could not be had those from before."""
    _fork, before = workspace.settled()
    kept = {*plan.disabled, *plan.problems, *gone}
    return [*(pack for pack in plan.packs if pack.name not in gone), *(pack for pack in before if pack.name in kept)]


@dataclass
class _Filling:
    """One release being filled; `gone` are the packs that are out of it, whatever the reason."""

    workspace: Workspace
    path: Path
    plan: FillPlan
    outside: Outside
    choices: Choices
    report: FillReport
    resolution: Resolution = field(default_factory=Resolution)
    gone: set[str] = field(default_factory=set)
    added: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.path / "ComfyUI/custom_nodes"

    @property
    def packs(self) -> list[LockedPack]:
        return [pack for pack in self.plan.packs if pack.name not in self.gone]

    def timed(self, name: str, action: Callable[[], None]) -> None:
        started = time.monotonic()
        action()
        self.report.seconds[name] = self.report.seconds.get(name, 0.0) + time.monotonic() - started

    def fail(self, problems: Mapping[str, str]) -> None:
        for name, problem in problems.items():
            self.gone.add(name)
            row = self.report.row(name)
            row.state, row.error = "failed", problem

    def leave_out(self, reasons: Mapping[str, str]) -> None:
        """Packs whose requirements cannot be met: a failure, or by the inventory's choice a release without them."""
        if self.choices.policy.on_conflict != "skip_pack":
            self.fail(reasons)
            return
        for name, reason in reasons.items():
            self.gone.add(name)
            row = self.report.row(name)
            row.state, row.error, row.changed = "skipped", reason, name in self.plan.before
            _discard(self.folder / name, self.workspace.account)

    # --- files ---

    def put_packs(self) -> None:
        _make_git_cache(self.workspace.cache, self.workspace.account)
        _remove_unlisted(self.folder, self.plan.packs, self.workspace.account)
        _done, problems = _each(self.plan.packs, self._put_pack)
        self.fail(problems)

    def _put_pack(self, pack: LockedPack) -> None:
        started = time.monotonic()
        target = self.folder / pack.name
        if target.exists() and not _is_ours(target):
            raise GitError(f"{target.name} is part of ComfyUI itself; give the pack another name")
        if not _is_at(target, pack, self.workspace.root / "persist"):
            _discard(target, self.workspace.account)
            if pack.cnr_id:
                self._unpack(pack, target)
            else:
                Mirror.of(self.workspace.cache, pack.url, self.outside.git).checkout(pack.commit, target, recursive=pack.recursive)
        row = self.report.row(pack.name)
        row.seconds["fetch"] = round((row.seconds["fetch"] or 0) + time.monotonic() - started, 3)

    def _unpack(self, pack: LockedPack, target: Path) -> None:
        registry = self.outside.registry
        archive = fetch_archive(pack.cnr_id, pack.version, self.workspace.cache, registry, sha256=pack.sha256 or None)
        unpack_archive(Archive(pack.cnr_id, pack.version, archive.sha256), self.workspace.cache, target)

    # --- Python packages ---

    def bring_packages(self) -> None:
        started = time.monotonic()
        git = {name: value for name, value in replace(self.outside.git, token=None).environment().items() if name.startswith("GIT_")}
        env = PythonEnv(self.path, self.workspace.cache, self.plan.python, self.workspace.account, git_environment=git)
        asked = self._asked()
        source = Source("ComfyUI", self.path / "ComfyUI", owner=self.workspace.account.uid)
        core = read_requirements(source, Rules(None, self.choices.allowed_indexes))
        while True:
            handed = asked
            self.resolution = resolve(env, core, handed, self.choices.policy, refused=refused_packages())
            self.leave_out(self.resolution.left_out)
            asked = [each for each in asked if each.source not in self.gone]
            self.report.seconds["resolve"] = self.report.seconds.get("resolve", 0.0) + time.monotonic() - started
            started = time.monotonic()
            try:
                env.install()
            except BuildError as error:
                numbers = [file_number(file) for file in error.packs]
                to_blame = [handed[number - 1].source for number in numbers if 0 < number <= len(handed)]
                if not to_blame:
                    raise
                self.leave_out({name: f"{name}: {error}" for name in to_blame})
                asked = [each for each in asked if each.source not in self.gone]
                continue
            break
        self.report.seconds["install"] = time.monotonic() - started
        self.report.warnings += self.resolution.notes

    def _asked(self) -> list[Requirements]:
        """What the packs ask for, by rank."""
        ranked = sorted(self.packs, key=lambda pack: self.plan.ranks[pack.name])
        rules = Rules(self.outside.git.hosts, self.choices.allowed_indexes)

        def read(pack: LockedPack) -> Requirements:
            source = Source(pack.name, self.folder / pack.name, pack.build_requirements, self.workspace.account.uid)
            return read_requirements(source, rules) if pack.requirements else Requirements(pack.name)

        answers, problems = _each(ranked, read)
        self.fail(problems)
        return [answers[pack.name] for pack in ranked if pack.name in answers]

    # --- install.py ---

    def _scripts(self) -> list[LockedPack]:
        return [pack for pack in self.packs if not pack.skip_install_script and (self.folder / pack.name / SCRIPT).is_file()]

    @property
    def scratch(self) -> Path:
        """In a folder of root's, where nobody else can put anything."""
        return self.workspace.state / "scripts"

    def run_scripts(self) -> None:
        if not self._scripts():
            return
        run(["mkdir", "-p", "--", str(self.path / "install_logs")], account=self.workspace.account)
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.scratch.chmod(0o711)
        scripts = [pack for pack in self._scripts() if not self._take_over(pack)]
        _done, problems = _each(scripts, self._run_script, PARALLEL_SCRIPTS)
        self.fail(problems)

    def _run_script(self, pack: LockedPack) -> None:
        account = self.workspace.account
        outcome = run_install_script(
            self.path,
            pack.name,
            root=self.workspace.root,
            builder=account,
            runner=self.choices.runner or account,
            scratch=self.scratch / pack.name,
            log_file=self.path / "install_logs" / f"{pack.name}.log",
            network=pack.install_script_network,
            timeout=self.choices.script_seconds,
        )
        row = self.report.row(pack.name)
        row.seconds["install"] = outcome.seconds
        row.added = list(outcome.added)
        self.added[pack.name] = outcome.added
        if outcome.added:
            self.report.warnings.append(
                f"{pack.name}: its install.py brought {', '.join(outcome.added)}, which no requirement names; it is kept and recorded"
            )
        if outcome.undone:
            self.report.warnings.append(
                f"{pack.name}: its install.py changed the environment, which is what requirements.lock says, so this was undone: "
                + "; ".join(outcome.undone)
            )
        if outcome.error:
            raise ReleaseError(outcome.error)
        put_texts({self.path / "install_logs" / f"{pack.name}.json": as_json({"at": pack.at})}, account)

    def _has_its_python(self, lock: Lock) -> bool:
        opened = self.workspace.opened()
        return opened is not None and opened[1].python_version == lock.python_version and self.plan.python.base == lock.python.base

    def _take_over(self, pack: LockedPack) -> bool:
        """The same pack in the same environment need not run its script again: what it made is taken from the release before."""
        before = self.plan.before.get(pack.name)
        if self.plan.found is None or before is None or before.wanted != pack or before.added or not self._has_its_python(self.plan.found):
            return False
        old = self.workspace.releases / self.plan.found.id
        logs, lock = "install_logs", "requirements.lock"
        if not (old / logs / f"{pack.name}.json").is_file() or self._read(old / lock) != self._read(self.path / lock):
            return False
        made, partial = old / "ComfyUI/custom_nodes" / pack.name, self.folder / f".{pack.name}.taken.partial"
        kept = [str(old / logs / f"{pack.name}.{ending}") for ending in ("json", "log")]
        account = self.workspace.account
        try:
            # As the account: what it finds under these names may be a link of its making.
            run(["cp", "--", *kept, str(self.path / logs)], account=account)
            # By hard links: no script can write to a file that is not its own.
            run(["cp", "--archive", "--link", "--", str(made), str(partial)], account=account)
            _discard(self.folder / pack.name, account)
            run(["mv", "-T", "--", str(partial), str(self.folder / pack.name)], account=account)
        except CommandError:
            remove_all([partial], account)
            if not (self.folder / pack.name).is_dir():
                raise
            return False
        return True

    def _read(self, path: Path) -> str:
        return read_own(path, self.workspace.account.uid)

    # --- what outlives a release ---

    def link_lasting(self) -> None:
        _done, problems = _each([pack for pack in self.packs if pack.persist], self._link_pack)
        self.fail(problems)

    def _link_pack(self, pack: LockedPack) -> None:
        runner = self.choices.runner or self.workspace.account
        home = self.workspace.root / "persist" / pack.name
        home.parent.mkdir(exist_ok=True, mode=0o755)
        home.mkdir(exist_ok=True, mode=0o755)
        if os.geteuid() == 0 and home.lstat().st_uid != runner.uid:
            give(home, runner.uid, runner.gid)
        for path in pack.persist:
            self._link(self.folder / pack.name / path.rstrip("/"), home / path.rstrip("/"), runner, folder=path.endswith("/"))

    def _link(self, inside: Path, lasting: Path, runner: Account, *, folder: bool) -> None:
        """As the accounts that own both ends, so that no link of theirs leads root anywhere."""
        builder = self.workspace.account
        if inside.is_symlink() and inside.readlink() == lasting:
            return
        run(["mkdir", "-p", "--", str(lasting.parent)], account=runner)
        if not os.path.lexists(lasting):
            if inside.exists():
                partial = lasting.with_name(f".{lasting.name}.partial")
                remove_all([partial], runner)
                run(["cp", "--recursive", "--no-target-directory", "--", str(inside), str(partial)], account=runner)
                run(["mv", "-T", "--", str(partial), str(lasting)], account=runner)
            elif folder:
                run(["mkdir", "--", str(lasting)], account=runner)
        run(["rm", "-rf", "--", str(inside)], account=builder)
        run(["mkdir", "-p", "--", str(inside.parent)], account=builder)
        run(["ln", "--symbolic", "--", str(lasting), str(inside)], account=builder)

    def finish(self) -> None:
        packs = [replace(pack, added=self._added(pack)) for pack in self.packs]
        skipped = [SkippedPack(pack, self.report.row(pack.name).error or "") for pack in self.plan.packs if pack.name in self.gone]
        filled = {
            "python": self.plan.python.as_dict(),
            "packs": [asdict(pack) for pack in packs],
            "skipped": [asdict(one) for one in skipped],
            "preferred": list(self.resolution.preferred),
            "ranked": list(self.plan.ranked),
            "settled": [asdict(pack.wanted) for pack in _settled(self.workspace, self.plan)],
        }
        put_texts({self.path / "filled.json": as_json(filled)}, self.workspace.account)

    def _added(self, pack: LockedPack) -> tuple[str, ...]:
        return self.added.get(pack.name, ())


def _remove_unlisted(folder: Path, packs: Sequence[LockedPack], account: Account) -> None:
    listed = {pack.name for pack in packs}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name.startswith(".") and path.name.endswith(".partial"):
            remove_all([path], account)
        elif path.name not in listed and path.is_dir() and _is_ours(path):
            _discard(path, account)


def _discard(pack: Path, account: Account) -> None:
    """Out of the way first: half a pack without its .git would pass for a part of ComfyUI. As the account whose folders they are."""
    if os.path.lexists(pack):
        partial = pack.with_name(f".{pack.name}.partial")
        remove_all([partial], account)
        run(["mv", "-T", "--", str(pack), str(partial)], account=account)
        remove_all([partial], account)


def _is_ours(pack: Path) -> bool:
    return (pack / ".git").is_dir() or (pack / MARK).is_file()


def _is_at(target: Path, pack: LockedPack, lasting: Path) -> bool:
    """Whether a folder of ours, which is whole since it has its name, is this state of the pack, as it came.

    Where a script ran, where there are submodules, and where a path was made a lasting one, the pack is put there anew.
    """
    if target.is_symlink() or not target.is_dir() or (target / SCRIPT).is_file() or (target / ".gitmodules").exists():
        return False
    if any(path.is_symlink() and path.readlink().is_relative_to(lasting) for path in target.rglob("*")):
        return False
    if not pack.cnr_id:
        return head_of(target) == pack.commit
    try:
        mark = json.loads(read_text(target / MARK))
    except ValueError:
        return False
    return bool(mark == {"cnr_id": pack.cnr_id, "version": pack.version, "sha256": pack.sha256})
