# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Releases of one machine: complete installations side by side, one of them current.

    <root>/releases/<id>/opened.json     the fork and the environment are there; packs may be missing
    <root>/releases/<id>/filled.json     packs and Python packages are there
    <root>/releases/<id>/release.json    the lock, written last: its presence means sealed, never edited again
    <root>/candidate -> releases/<id>    the sealed release that the inventory asks for
    <root>/current -> releases/<id>      what the units run
    <root>/previous -> releases/<id>     what they ran before
    <root>/state/wanted.json             which commit each asked-for branch or version was settled on
    <root>/state/active.json             the release and settings that last proved to work
    <root>/state/packs.json              what the running program said of each pack (see _pack_truth.py)
    <root>/state/adopted_packs.json      entries of packs that were put there by hand and adopted
    <root>/state/scripts/                where a pack's install.py runs, gone afterwards

An id is the time of opening. At most one release is open; one that was opened for something else, or not to its
end, is removed by the next opening.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account, CommandError, put_texts, remove_all, run
from ansible_collections.emprops.comfyui.plugins.module_utils._files import LockedError, as_json, exclusive, give, put_json
from ansible_collections.emprops.comfyui.plugins.module_utils._git import (
    COMMIT,
    GitAccess,
    Mirror,
    follow_ref,
    same_repository,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._python_env import (
    PythonEnv,
    PythonOptions,
)

FORMAT = 1
PARALLEL = 8


class ReleaseError(Exception):
    """A release cannot be opened, filled, sealed or found."""


@dataclass(frozen=True)
class Fork:
    """ComfyUI itself: where from, which version was asked for, which commit that is."""

    repository: str
    version: str
    commit: str


@dataclass(frozen=True)
class LockedPack:
    """One pack at its commit, or (`cnr_id`) at its version in the Comfy registry and the digest of that archive."""

    name: str
    url: str = ""
    commit: str = ""
    branch: str | None = None
    cnr_id: str = ""
    version: str = ""
    sha256: str = ""
    # The version that was asked for; empty: whichever was the latest.
    version_asked: str = ""
    recursive: bool = False
    requirements: bool = True
    build_requirements: tuple[str, ...] = ()
    persist: tuple[str, ...] = ()
    skip_install_script: bool = False
    install_script_network: bool = False
    # Packages that its install.py brought beside the joint resolution: name==version.
    added: tuple[str, ...] = ()
    node_types: tuple[str, ...] = ()

    @property
    def at(self) -> str:
        """Which state of the pack this is, for people."""
        return f"{self.cnr_id}@{self.version}" if self.cnr_id else self.commit

    @property
    def wanted(self) -> LockedPack:
        """What was asked for, without what came of it."""
        return replace(self, added=(), node_types=())

    @staticmethod
    def of(data: dict[str, Any]) -> LockedPack:
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in dict(data).items()}
        return LockedPack(**values)


@dataclass(frozen=True)
class SkippedPack:
    """A pack that was asked for and is not in the release."""

    pack: LockedPack
    reason: str


@dataclass(frozen=True)
class Lock:
    """What a release was asked to be and became (release.json)."""

    id: str
    created: str
    fork: Fork
    python: PythonOptions
    python_version: str
    packs: tuple[LockedPack, ...] = ()
    skipped: tuple[SkippedPack, ...] = ()
    # Versions that had to outvote somebody: name==version.
    preferred: tuple[str, ...] = ()
    # Who outranked whom, where packs were skipped.
    ranked: tuple[str, ...] = ()
    comfyui_version: str = ""
    flags: tuple[str, ...] = ()
    digest: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self), "python": self.python.as_dict()}

    @staticmethod
    def of(data: dict[str, Any]) -> Lock:
        if not isinstance(data, dict):
            raise TypeError("it holds no object")
        values = {key: value for key, value in data.items() if key != "format"}
        return Lock(
            **{
                **values,
                "fork": Fork(**values["fork"]),
                "python": PythonOptions.of(values["python"]),
                "packs": tuple(map(LockedPack.of, values["packs"])),
                "skipped": tuple(SkippedPack(LockedPack.of(row["pack"]), row["reason"]) for row in values.get("skipped", ())),
                "preferred": tuple(values.get("preferred", ())),
                "ranked": tuple(values.get("ranked", ())),
                "flags": tuple(values["flags"]),
            }
        )


@dataclass(frozen=True)
class Workspace:
    """The folders of one machine, and the account that builds in them."""

    root: Path
    account: Account

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def state(self) -> Path:
        return self.root / "state"

    def link(self, name: str) -> str | None:
        """Id that one of the links (`current`, `previous`, `candidate`) leads to, if that release is sealed."""
        try:
            target = (self.root / name).readlink()
        except OSError:
            return None
        return target.name if (self.releases / target.name / "release.json").is_file() else None

    def point(self, name: str, release: str) -> None:
        """Make a link lead to a release, in one step."""
        partial = self.root / f".{name}.partial"
        partial.unlink(missing_ok=True)
        partial.symlink_to(Path("releases", release))
        partial.replace(self.root / name)

    def lock_of(self, release: str | None) -> Lock | None:
        """The lock of a sealed release. Raises ReleaseError where it cannot be read."""
        if release is None:
            return None
        path = self.releases / release / "release.json"
        try:
            return Lock.of(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ReleaseError(f"{path} cannot be read as a release lock: {error}") from error

    def settled(self) -> tuple[Fork | None, tuple[LockedPack, ...]]:
        """The commits that earlier runs settled on, so that later ones need not ask (nothing where unreadable)."""
        try:
            data = json.loads((self.state / "wanted.json").read_text(encoding="utf-8"))
            packs = tuple(LockedPack.of(pack).wanted for pack in data["packs"])
            return Fork(**data["fork"]) if data["fork"] else None, packs
        except (OSError, ValueError, KeyError, TypeError):
            return None, ()

    def settle(self, *, fork: Fork | None = None, packs: Sequence[LockedPack] | None = None) -> None:
        """Remember commits that were fetched."""
        old_fork, old_packs = self.settled()
        new_fork, new_packs = fork or old_fork, tuple(packs) if packs is not None else old_packs
        if (new_fork, new_packs) != (old_fork, old_packs):
            chosen = {"fork": asdict(new_fork) if new_fork else None, "packs": [asdict(pack.wanted) for pack in new_packs]}
            put_json(self.state / "wanted.json", chosen)

    def wanted_lock(self) -> Lock | None:
        """The lock that commits are kept from: the candidate's, else the current one's."""
        return self.lock_of(self.link("candidate")) or self.lock_of(self.link("current"))

    def sealed(self) -> list[str]:
        """Ids of the sealed releases, oldest first."""
        return sorted(path.parent.name for path in self.releases.glob("*/release.json"))

    def unsealed(self) -> list[Path]:
        if not self.releases.is_dir():
            return []
        return sorted(path for path in self.releases.iterdir() if path.is_dir() and not (path / "release.json").is_file())

    def opened(self) -> tuple[Path, Lock] | None:
        """The open release, if there is one that was opened to the end."""
        for path in self.unsealed():
            try:
                return path, Lock.of(json.loads((path / "opened.json").read_text(encoding="utf-8")))
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return None

    @contextmanager
    def exclusive(self, wait: float, *, dry: bool = False) -> Iterator[None]:
        """Keep other processes of this machine away from the releases. Raises ReleaseError naming who is there.

        `dry` is for check mode, which changes nothing and so needs nobody away.
        """
        if dry:
            yield
            return
        self.state.mkdir(parents=True, exist_ok=True)
        try:
            with exclusive(self.state / "releases.lock", wait):
                yield
        except LockedError as error:
            raise ReleaseError(f"the releases are being changed by {error}") from error



def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def digest_of(fork: Fork, python: PythonOptions, packs: Sequence[LockedPack]) -> str:
    """Identity of a wanted set: two releases with the same digest were asked for the same thing."""
    told = ("branch", "version_asked", "added", "node_types")
    chosen = [{key: value for key, value in asdict(pack).items() if key not in told} for pack in packs]
    wanted = {
        "fork": {"repository": fork.repository, "commit": fork.commit},
        "python": python.identity.as_dict(),
        "packs": sorted(chosen, key=lambda pack: str(pack["name"])),
    }
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()


# --- the fork ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OpenPlan:
    """The step from what is there to the wanted fork and environment."""

    fork: Fork
    python: PythonOptions
    found: Lock | None
    keep: Path | None = None
    stale: bool = False
    # Where the environment may be taken from.
    like: Lock | None = None

    @property
    def changed(self) -> bool:
        return self.stale or (self.keep is None and not self.satisfied)

    @property
    def satisfied(self) -> bool:
        """The sealed release that is wanted has this fork and this environment already."""
        return self.found is not None and _is_built_of(self.found, self.fork, self.python)

    @property
    def diff(self) -> dict[str, Any]:
        before = {"fork": asdict(self.found.fork), "python": self.found.python.as_dict()} if self.found else {}
        return {"before": before, "after": {"fork": asdict(self.fork), "python": self.python.as_dict()}}


def _is_version_of(one: Fork, other: Fork) -> bool:
    return same_repository(one.repository, other.repository) and one.version == other.version


def _is_built_of(lock: Lock, fork: Fork, python: PythonOptions) -> bool:
    same = same_repository(lock.fork.repository, fork.repository) and lock.fork.commit == fork.commit
    return same and lock.python.base == python.base


def plan_open(
    workspace: Workspace,
    repository: str,
    version: str,
    python: PythonOptions,
    access: GitAccess,
    *,
    update: bool = False,
    accept_rewritten: bool = False,
) -> OpenPlan:
    """Decide on the commit and whether something must be built. Asks the network only where the lock has no answer."""
    found = workspace.wanted_lock()
    opened = workspace.opened()
    commit = version if COMMIT.fullmatch(version) else None
    settled, _packs = workspace.settled()
    known = [settled, found.fork if found else None, opened[1].fork if opened else None]
    same = [fork for fork in known if fork and same_repository(fork.repository, repository) and fork.version == version]
    if commit is None and same and not update:
        commit = same[0].commit
    if commit is None:
        old = same[0].commit if same else None
        commit = follow_ref(repository, version, old, workspace.cache, access, accept_rewritten=accept_rewritten)
    fork = Fork(repository, version, commit)
    if opened and _is_built_of(opened[1], fork, python):
        return OpenPlan(fork, python, found, keep=opened[0])
    return OpenPlan(fork, python, found, stale=bool(workspace.unsealed()), like=found)


def open_release(workspace: Workspace, plan: OpenPlan, access: GitAccess) -> Path | None:
    """Make the open release of a plan: checkout and empty environment. Raises GitError, PythonEnvError, ReleaseError.

    None where the sealed release that is wanted has both already.
    """
    if plan.keep:
        return plan.keep
    drop_unsealed(workspace)
    if plan.satisfied:
        workspace.settle(fork=plan.fork)
        return None
    path = _new_release(workspace)
    Mirror.of(workspace.cache, plan.fork.repository, access).checkout(plan.fork.commit, path / "ComfyUI")
    if not (path / "ComfyUI/main.py").is_file():
        raise ReleaseError(f"{plan.fork.repository} at {plan.fork.commit} has no main.py, so it is no ComfyUI")
    # An environment of the same making need not be installed and compiled once more.
    like = plan.like if plan.like and plan.like.python.base == plan.python.base else None
    env = PythonEnv(path, workspace.cache, plan.python, workspace.account)
    version = env.create(workspace.releases / like.id, like.python_version) if like else env.create()
    if plan.found is None or not _is_version_of(plan.found.fork, plan.fork):
        workspace.settle(fork=plan.fork)  # what replaces a commit that serves counts once it is sealed
    opened = Lock(path.name, _now(), plan.fork, plan.python, version)
    put_texts({path / "opened.json": as_json(opened.as_dict())}, workspace.account)
    return path


def drop_unsealed(workspace: Workspace) -> None:
    """Remove what was opened and never sealed; nothing runs it."""
    for path in workspace.unsealed():
        remove_all([path / "opened.json"], workspace.account)
        remove_all([path], workspace.account)


def _new_release(workspace: Workspace) -> Path:
    account = workspace.account
    for folder in (workspace.releases, workspace.cache):
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(folder, account.uid, account.gid)
    # Below a folder that is the account's, what looks like ours may be a link of its making.
    (workspace.cache / "git").mkdir(exist_ok=True)
    if os.geteuid() == 0:
        give(workspace.cache / "git", account.uid, account.gid)
    name = stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    number = 2
    while (workspace.releases / name).exists():
        name, number = f"{stamp}-{number}", number + 1
    path = workspace.releases / name
    path.mkdir(mode=0o755)
    if os.geteuid() == 0:
        give(path, account.uid, account.gid)
    return path


# --- sealing -----------------------------------------------------------------------------------------------------


def seal(workspace: Workspace) -> tuple[str | None, bool]:
    """Write the lock of the open release and make it the candidate; returns (id, changed).

    With nothing open the candidate (or current) release is the answer. Raises ReleaseError.
    """
    opened = workspace.opened()
    if opened is None:
        lock = workspace.wanted_lock()
        return (lock.id if lock else None), False
    path, lock = opened
    try:
        data = json.loads((path / "filled.json").read_text(encoding="utf-8"))
        settled = [LockedPack.of(pack) for pack in data.pop("settled")]
        filled = Lock.of({**lock.as_dict(), **data})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"release {path.name} has no custom nodes and Python packages yet; run the custom_nodes role first") from error
    code = path / "ComfyUI"
    flags = read_flags(path, workspace.account)
    python = str(path / "venv/bin/python")
    with suppress(CommandError):  # some packs carry files that are no Python of this version
        skip = "/site-packages/.*/tests/"  # which nobody runs here
        folders = [str(code), *_site_packages(path)]
        run([python, "-m", "compileall", "-q", "-j", "0", "-x", skip, *folders], account=workspace.account, timeout=1800)
    locked = tuple(replace(pack, node_types=tuple(declared_node_types(code / "custom_nodes" / pack.name))) for pack in filled.packs)
    final = replace(
        filled,
        packs=locked,
        flags=tuple(flags),
        comfyui_version=read_comfyui_version(code) or lock.fork.commit[:12],
        digest=digest_of(lock.fork, filled.python, [*locked, *(one.pack for one in filled.skipped)]),
        created=_now(),
    )
    # After a power cut the lock must not vouch for files that never reached the disk.
    run(["sync", "--file-system", str(path)], timeout=900)
    put_texts({path / "release.json": as_json(final.as_dict())}, workspace.account)
    workspace.settle(fork=lock.fork, packs=settled)
    workspace.point("candidate", path.name)
    return path.name, True


def _site_packages(release: Path) -> list[str]:
    return [str(folder) for folder in (release / "venv/lib").glob("python3*/site-packages")]


def read_flags(release: Path, account: Account) -> list[str]:
    """The options that this checkout's own main.py knows. Raises ReleaseError where it does not even start."""
    try:
        text = run(
            [str(release / "venv/bin/python"), "main.py", "--help"],
            account=account,
            cwd=release / "ComfyUI",
            env={"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"},
            timeout=180,
        )
    except CommandError as error:
        raise ReleaseError(f"main.py of release {release.name} does not start: {error}") from error
    return sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z0-9_-]*", text)))


def read_comfyui_version(code: Path) -> str:
    """Version that a checkout says of itself, or an empty string."""
    for name, pattern in (("comfyui_version.py", r'__version__\s*=\s*"([^"]+)"'), ("pyproject.toml", r'(?m)^version\s*=\s*"([^"]+)"')):
        try:
            match = re.search(pattern, (code / name).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            continue
        if match:
            return match[1]
    return ""


def declared_node_types(pack: Path) -> list[str]:
    """Node types that a pack says, without running it, that it brings.

    Only what holds without conditions counts: a `NODE_CLASS_MAPPINGS = {…}` at the top of `__init__.py`, or of
    the one module of the pack that `__init__.py` imports it from there.
    """
    return sorted(_mappings(pack / "__init__.py", depth=0))


def _mappings(path: Path, depth: int) -> set[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # what the parser answers to hostile text
        return set()
    names: set[str] = set()
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        if any(isinstance(target, ast.Name) and target.id == "NODE_CLASS_MAPPINGS" for target in targets):
            keys = value.keys if isinstance(value, ast.Dict) else []
            names = {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module and depth < 3 and _brings_mappings(node):
            base = path.parent / node.module.replace(".", "/")
            module = base.with_name(f"{base.name}.py")
            names = _mappings(module if module.is_file() else base / "__init__.py", depth + 1)
    return names


def _brings_mappings(node: ast.ImportFrom) -> bool:
    return any(alias.name == "NODE_CLASS_MAPPINGS" and alias.asname in (None, alias.name) for alias in node.names)


def prune(workspace: Workspace, keep: int, *, dry: bool = False) -> list[str]:
    """Remove the oldest sealed releases beyond `keep`; never one that a link or the active state names."""
    held = {workspace.link(name) for name in ("current", "previous", "candidate")}
    with suppress(OSError, ValueError, AttributeError):
        held.add(json.loads((workspace.state / "active.json").read_text(encoding="utf-8")).get("release"))
    sealed = workspace.sealed()
    doomed = [name for name in sealed[: max(0, len(sealed) - keep)] if name not in held]
    for name in doomed if not dry else ():
        # Killed in between, this must not look like a release that is still open.
        for path in (workspace.releases / name / "opened.json", workspace.releases / name / "release.json", workspace.releases / name):
            remove_all([path], workspace.account)
    return doomed
