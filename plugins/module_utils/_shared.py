# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The shared repository on a machine: one commit of it in a folder that holds more than its files.

    <path>/.git/emprops.json    which commit the asked-for version was settled on, and whether it is all there
    <path>/models/              not the repository's, like everything else that it does not track: never touched
    <path>/local_changes/       what was changed here and had to give way, when that was asked for

Files lie in <path> byte for byte as they are in the commit. Before a file is replaced, what is there is looked
up in the commits that could have put it there; anything else is somebody's work.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account, CommandError, put_texts, remove_all, run
from ansible_collections.emprops.comfyui.plugins.module_utils._files import LockedError, as_json, exclusive
from ansible_collections.emprops.comfyui.plugins.module_utils._git import (
    COMMIT,
    GitAccess,
    GitError,
    Mirror,
    follow_ref,
    same_repository,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._manifest import ManifestError, parse_manifest
from ansible_collections.emprops.comfyui.plugins.module_utils._model_paths import ModelPathsError, check_relative

STATIC_MODELS = "static-models.json"
WORKFLOWS = "workflows"
TREE_ENTRY = re.compile(r"(?P<mode>[0-7]{6}) (?P<type>\w+) (?P<id>[0-9a-f]{40})\t(?P<name>.+)", re.DOTALL)
SHOWN = 20

# Name → id of every file of a commit; the id of a link starts with "link:".
Tree = Mapping[str, str]


class SharedError(Exception):
    """The shared repository cannot be had as it stands; the files on the machine are as they were."""


# --- what is in it -----------------------------------------------------------------------------------------------


@dataclass
class Content:
    """What the repository says, checked."""

    packs: list[str] = field(default_factory=list)
    static_models: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    workflows: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_content(folder: Path, names: Iterable[str], manifest: str, protocols: Sequence[str]) -> Content:
    """Read and check the files of the repository that others rely on. Raises SharedError listing all that is wrong."""
    known = set(names)
    content = Content(static_models={"symlinks": [], "no_index": []})
    problems: list[str] = []
    try:
        if manifest not in known:
            raise SharedError(f"{manifest} is not in the repository")
        packs, warnings = parse_manifest(_read(folder, manifest), manifest, protocols)
        content.packs = [pack.name for pack in packs]
        content.warnings += warnings
    except (ManifestError, SharedError) as error:
        problems.append(str(error))
    if STATIC_MODELS in known:
        try:
            content.static_models, warnings = parse_static_models(_read(folder, STATIC_MODELS), STATIC_MODELS)
            content.warnings += warnings
        except SharedError as error:
            problems.append(str(error))
    for name in sorted(known):
        if not _is_workflow(name):
            continue
        try:
            if not isinstance(json.loads(_read(folder, name)), dict):
                raise SharedError(f"{name} is JSON, but no object")
            content.workflows.append(name)
        except (ValueError, RecursionError) as error:
            content.warnings.append(f"{name} is no workflow, because it is not JSON: {error}")
        except SharedError as error:
            content.warnings.append(f"{error}, so it is no workflow")
    if problems:
        raise SharedError("\n".join(problems))
    return content


def _is_workflow(name: str) -> bool:
    # Names may hold blanks, parentheses and colons, even as a folder called "http:".
    parts = name.split("/")
    return parts[0] == WORKFLOWS and name.endswith(".json") and not any(part.startswith(".") for part in parts)


def _read(folder: Path, name: str) -> str:
    path = folder / name
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise SharedError(f"{name} is a link, not a file")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SharedError(f"{name} is not UTF-8: {error.reason} at byte {error.start}") from error


def parse_static_models(text: str, source: str) -> tuple[dict[str, list[dict[str, str]]], list[str]]:
    """Links to make between models and folders not to index, and warnings. Raises SharedError listing every wrong entry."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SharedError(f"{source} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise SharedError(f"{source} holds no object")
    # Comments are keys that start with slashes.
    warnings = [f"{source}: unknown key {key!r} is ignored" for key in data if key not in ("symlinks", "no_index") and key[:2] != "//"]
    problems: list[str] = []
    symlinks = list(_entries(data, "symlinks", ("source", "target"), "description", source, problems, warnings))
    no_index = list(_entries(data, "no_index", ("path",), "reason", source, problems, warnings))
    taken: dict[str, int] = {}
    for number, link in symlinks:
        first = taken.setdefault(link["target"], number)
        if first != number:
            problems.append(f"{source}: symlinks entry {number}: {link['target']!r} is already the target of entry {first}")
    if problems:
        raise SharedError("\n".join(problems))
    return {"symlinks": [link for _number, link in symlinks], "no_index": [folder for _number, folder in no_index]}, warnings


def _entries(
    data: Mapping[str, Any], key: str, paths: Sequence[str], remark: str, source: str, problems: list[str], warnings: list[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    listed = data.get(key, [])
    if not isinstance(listed, list):
        problems.append(f"{source}: {key} must be a list")
        return
    for number, entry in enumerate(listed, start=1):
        where = f"{source}: {key} entry {number}"
        try:
            if not isinstance(entry, dict):
                raise SharedError("it is no object")
            warnings += [f"{where}: unknown key {name!r} is ignored" for name in entry if name not in (*paths, remark)]
            found = {name: _static_path(entry.get(name), name) for name in paths}
            if found.get("source") == found.get("target", ""):
                raise SharedError(f"{found['source']!r} would be a link to itself")
            if not isinstance(entry.get(remark, ""), str):
                raise SharedError(f"{remark} must be text")
        except SharedError as error:
            problems.append(f"{where}: {error}")
            continue
        yield number, {**found, remark: entry.get(remark, "")}


def _static_path(value: object, name: str) -> str:
    if value is None:
        raise SharedError(f"it has no {name}")
    # Folders that are not indexed are named from the root of the machine; links stay below the models.
    absolute = name == "path" and isinstance(value, str) and value.startswith("/")
    try:
        return f"/{check_relative(str(value)[1:])}" if absolute else check_relative(value)
    except ModelPathsError as error:
        raise SharedError(f"{name}: {error}") from error


# --- what is on the machine --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settled:
    """The commit that a version was settled on (emprops.json)."""

    url: str
    version: str | None
    commit: str
    complete: bool = True


@dataclass(frozen=True)
class Conflict:
    """Something on the machine that is not the repository's and stands where one of its files belongs."""

    name: str
    reason: str
    is_file: bool = True


@dataclass(frozen=True)
class Comparison:
    """A commit and the files on the machine: what must be written or removed for it, and what would be lost by that."""

    stale: tuple[str, ...]
    conflicts: tuple[Conflict, ...]


def compare(root: Path, wanted: Tree, others: Sequence[Tree] = (), *, installed: Container[str] = ()) -> Comparison:
    """Compare a folder with a commit. `others` may have put files there before, `installed` names those that were last."""
    stale: list[str] = []
    conflicts: dict[str, Conflict] = {}
    names = set(wanted).union(*others)
    for name in sorted(names):
        known = {tree[name] for tree in (wanted, *others) if name in tree}
        kind, found = _look(root, name)
        if kind == "file" and found == wanted.get(name):
            continue
        if kind != "nothing" or name in wanted:
            stale.append(name)
        if kind == "blocked" and found not in names:
            conflicts[found] = Conflict(found, f"is in the way of {name}", is_file=False)
        elif kind == "folder" and (stray := next(_strays(root, name, names), None)):
            conflicts[name] = Conflict(name, f"is a folder here, and holds {stray}", is_file=False)
        elif kind == "file" and found not in known and found != EMPTY:
            conflicts[name] = Conflict(name, "was changed here" if name in installed else "is in the way and differs from the repository's")
        elif kind == "device":
            conflicts[name] = Conflict(name, "is neither a file nor a folder", is_file=False)
    return Comparison(tuple(stale), tuple(conflicts[name] for name in sorted(conflicts)))


def _look(root: Path, name: str) -> tuple[str, str]:
    """What is at a path: file and its id, folder, device, nothing, or blocked by what is at a folder of its path."""
    path = root / name
    try:
        for folder in reversed(PurePosixPath(name).parents[:-1]):
            if not stat.S_ISDIR((root / folder).lstat().st_mode):
                return "blocked", str(folder)
        status = path.lstat()
    except FileNotFoundError:
        return "nothing", ""
    if stat.S_ISLNK(status.st_mode):
        return "file", f"link:{_blob_id(os.fsencode(path.readlink()))}"
    if stat.S_ISDIR(status.st_mode):
        return "folder", ""
    if not stat.S_ISREG(status.st_mode):
        return "device", ""
    return "file", _blob_id(path.read_bytes())


def _blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


# There is nothing to lose in an empty file, and a git that was killed leaves some.
EMPTY = _blob_id(b"")


def _strays(root: Path, name: str, names: set[str]) -> Iterator[str]:
    for folder, folders, files in os.walk(root / name):
        links = [entry for entry in folders if Path(folder, entry).is_symlink()]
        for entry in sorted((*files, *links)):
            found = Path(folder, entry).relative_to(root).as_posix()
            if found not in names:
                yield found


@dataclass(frozen=True)
class Shared:
    """The folder, the cache that commits come from, and how git is run."""

    path: Path
    cache: Path
    access: GitAccess

    @property
    def account(self) -> Account:
        return self.access.account or Account.named(None)

    @property
    def git_dir(self) -> Path:
        return self.path / ".git"

    @property
    def record(self) -> Path:
        return self.git_dir / "emprops.json"

    def git(self, *arguments: str, local: bool = False) -> str:
        return self.access.git(f"--git-dir={self.git_dir}", f"--work-tree={self.path}", *arguments, cwd=self.path, local=local)

    def settled(self) -> Settled | None:
        """What an earlier run settled on (nothing where that cannot be read)."""
        try:
            settled = Settled(**json.loads(self.record.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return settled if COMMIT.fullmatch(str(settled.commit)) else None

    def settle(self, settled: Settled) -> None:
        """Remember it. Raises CommandError."""
        give_folder(self.path, ".git", self.account)
        put_texts({self.record: as_json(asdict(settled))}, self.account)

    def head(self) -> str | None:
        """The commit that git says is checked out."""
        try:
            found = self.git("rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip() if (self.git_dir / "HEAD").is_file() else ""
        except CommandError:
            return None
        return found if COMMIT.fullmatch(found) else None

    def tree(self, commit: str | None, mirror: Mirror | None = None) -> Tree | None:
        """The files of a commit that is on this machine, None where it is not. Raises SharedError."""
        if commit is None:
            return None
        for git_dir in (self.git_dir, *([mirror.path] if mirror else [])):
            if (git_dir / "HEAD").is_file():
                with suppress(CommandError):
                    return parse_tree(self.access.git(f"--git-dir={git_dir}", "ls-tree", "-r", "-z", "--full-tree", commit))
        return None

    @contextmanager
    def exclusive(self, wait: float, *, dry: bool = False) -> Iterator[None]:
        """Keep other runs away. Raises SharedError naming who is there. `dry` is for check mode, which changes nothing."""
        if dry:
            yield
            return
        # What is below a folder that is the account's may be a link of its making.
        for root, name in ((self.cache, "."), (self.cache, "git"), (self.path, ".")):
            (root / name).mkdir(parents=True, exist_ok=True)
            give_folder(root, name, self.account)
        try:
            with exclusive(self.cache / "shared.lock", wait):
                yield
        except LockedError as error:
            raise SharedError(f"{self.path} is being changed by {error}") from error



def parse_tree(listing: str) -> Tree:
    """The answer of `git ls-tree -r -z`. Raises SharedError for names that cannot be files here."""
    tree: dict[str, str] = {}
    for line in filter(None, listing.split("\0")):
        entry = TREE_ENTRY.fullmatch(line)
        if not entry or "\ufffd" in entry["name"]:
            raise SharedError(f"the repository holds a file whose name is not UTF-8: {line!r}")
        if entry["type"] == "blob":  # the other type is a submodule, which stays an empty folder
            tree[entry["name"]] = ("link:" if entry["mode"] == "120000" else "") + entry["id"]
    return tree


def give_folder(root: Path, name: str, account: Account) -> None:
    """Make the deepest folder there is on the way to `name` the account's, so that its git can write there.

    Nothing is followed that is a link: this runs as root in folders that the account may have filled.
    """
    if os.geteuid() != 0:
        return
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            for part in name.split("/"):
                deeper = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
                os.close(handle)
                handle = deeper
        if os.fstat(handle).st_uid != account.uid:
            os.fchown(handle, account.uid, account.gid)
    finally:
        os.close(handle)


# --- from one to the other ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """The step from what is on the machine to the wanted commit."""

    wanted: Settled
    found: Settled | None
    before: str | None
    mirror: Mirror
    # None: the commit is not on the machine, and check mode does not fetch it.
    comparison: Comparison | None = None
    content: Content | None = None

    @property
    def interrupted(self) -> bool:
        return self.found is not None and not self.found.complete

    @property
    def moves(self) -> bool:
        """Whether files must be written or removed."""
        return self.before != self.wanted.commit or self.interrupted or self.comparison is None or bool(self.comparison.stale)

    @property
    def base(self) -> str | None:
        """The commit whose files are on the machine; what somebody committed there since counts as changed there."""
        return self.found.commit if self.found and self.found.complete else self.before

    @property
    def diff(self) -> dict[str, Any]:
        # A folder that nobody settled may hold another repository's clone.
        before = {"repository": self.found.url if self.found else None, "commit": self.before} if self.before else {}
        return {"before": before, "after": {"repository": self.wanted.url, "commit": self.wanted.commit}}


def plan_shared(
    shared: Shared,
    url: str,
    version: str | None,
    manifest: str,
    *,
    update: bool = False,
    accept_rewritten: bool = False,
    discard_changes: bool = False,
    dry: bool = False,
) -> Plan:
    """Decide on the commit, bring it to the machine and check it; the files there stay. Raises GitError, SharedError.

    The network is asked only where an earlier run has not settled the matter. `dry` brings nothing.
    """
    _refuse_strange_git_dir(shared)
    found, before = shared.settled(), shared.head()
    wanted = Settled(url, version, _choose_commit(shared, found, url, version, update, accept_rewritten))
    mirror = Mirror.of(shared.cache, url, shared.access)
    tree = shared.tree(wanted.commit, mirror)
    if tree is None and not dry:
        mirror.fetch(wanted.commit)
        tree = shared.tree(wanted.commit, mirror)
    plan = Plan(wanted, found, before, mirror)
    if tree is None:
        return plan
    installed = tree if plan.base == wanted.commit else shared.tree(plan.base, mirror) or {}
    unfinished = shared.tree(found.commit, mirror) or {} if found and plan.interrupted else {}
    comparison = compare(shared.path, tree, [installed, unfinished], installed=installed)
    plan = replace(plan, comparison=comparison)
    problems: list[str] = []
    content = None
    try:
        content = _content(shared, plan, tree, manifest, dry)
    except SharedError as error:
        problems += str(error).splitlines()
    blocking = [conflict for conflict in comparison.conflicts if not (discard_changes and conflict.is_file)]
    problems += [f"{conflict.name} {conflict.reason}" for conflict in blocking]
    if problems:
        raise SharedError(_explain(shared, wanted, problems, blocking))
    return replace(plan, content=content)


def _refuse_strange_git_dir(shared: Shared) -> None:
    git_dir = shared.git_dir
    if git_dir.is_symlink() or (git_dir.exists() and not git_dir.is_dir()):
        raise SharedError(f"{git_dir} is no folder, so {shared.path} belongs to another repository")


def _choose_commit(shared: Shared, found: Settled | None, url: str, version: str | None, update: bool, accept_rewritten: bool) -> str:
    same = found if found and same_repository(found.url, url) and found.version == version else None
    if version and COMMIT.fullmatch(version):
        return version
    if same and not update:
        return same.commit
    return follow_ref(url, version, same.commit if same else None, shared.cache, shared.access, accept_rewritten=accept_rewritten)



def _content(shared: Shared, plan: Plan, tree: Tree, manifest: str, dry: bool) -> Content | None:
    """Checked content: from the folder where it has the commit already, else from a copy of the commit."""
    protocols = shared.access.protocols
    if not plan.moves:
        return read_content(shared.path, tree, manifest, protocols)
    if dry:
        return None
    copy = shared.cache / "git" / f".shared-{plan.wanted.commit[:12]}"
    remove_all([copy], shared.account)
    try:
        plan.mirror.checkout(plan.wanted.commit, copy)
        return read_content(copy, tree, manifest, protocols)
    finally:
        remove_all([copy], shared.account)


def _explain(shared: Shared, wanted: Settled, problems: Sequence[str], blocking: Sequence[Conflict]) -> str:
    lines = [f"{wanted.url} at {wanted.commit} cannot be used in {shared.path}, which stays as it is:"]
    lines += [f"- {problem}" for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"- and {len(problems) - SHOWN} more")
    if any(conflict.is_file for conflict in blocking):
        lines.append("Move what was changed here away or into the repository, or choose to discard changes, which saves them first.")
    if any(not conflict.is_file for conflict in blocking):
        lines.append("Move away what is in the way.")
    return "\n".join(lines)


def put_shared(shared: Shared, plan: Plan) -> str | None:
    """Bring the folder to the planned commit; returns where files that had to give way were saved. Raises GitError, SharedError."""
    if not plan.moves or plan.comparison is None:
        if plan.found != plan.wanted:
            shared.settle(plan.wanted)
        return None
    commit = plan.wanted.commit
    try:
        _prepare(shared, plan)
        saved = _save(shared, [conflict.name for conflict in plan.comparison.conflicts if conflict.is_file])
        # From here on a killed run is known to the next one, which may find files of either commit.
        shared.settle(replace(plan.wanted, complete=False))
        base = plan.base
        if plan.interrupted and plan.found and plan.found.commit != commit and shared.tree(plan.found.commit):
            _move(shared, base, plan.found.commit)
            base = plan.found.commit
        _move(shared, base, commit)
    except CommandError as error:
        raise GitError(f"cannot bring {shared.path} to {commit}: {error}") from error
    left = compare(shared.path, shared.tree(commit) or {}).stale
    if left:
        raise SharedError(f"git left these files of {commit} other than they should be in {shared.path}: {', '.join(left[:SHOWN])}")
    shared.settle(plan.wanted)
    return saved


def _prepare(shared: Shared, plan: Plan) -> None:
    """Make the folder a repository that has the commit, and the account's where git must write."""
    if os.geteuid() == 0 and shared.git_dir.is_dir():
        # A clone that somebody made or used as another account.
        for _folder, folders, files, handle in os.fwalk(shared.git_dir):
            for name in (".", *folders, *files):
                os.chown(name, shared.account.uid, shared.account.gid, dir_fd=handle, follow_symlinks=False)
    shared.access.git("init", "--quiet", cwd=shared.path)
    # Left by a process that was killed; ours is the only one here.
    remove_all(shared.git_dir.glob("*.lock"), shared.account)
    # No conversions, so that files are byte for byte those of the commit.
    put_texts({shared.git_dir / "info/attributes": "* -text -eol -filter -ident -working-tree-encoding\n"}, shared.account)
    shared.git("config", "remote.origin.url", plan.wanted.url)
    plan.mirror.fetch(plan.wanted.commit)
    mirrored = (f"file://{plan.mirror.path}", f"refs/wanted/{plan.wanted.commit}")
    shared.git("fetch", "--quiet", "--depth=1", "--no-tags", "--", *mirrored, local=True)
    for folder in {name.rpartition("/")[0] or "." for name in plan.comparison.stale} if plan.comparison else ():
        give_folder(shared.path, folder, shared.account)


def _save(shared: Shared, names: Sequence[str]) -> str | None:
    if not names:
        return None
    folder = shared.path / "local_changes" / time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    run(["mkdir", "-p", "--", str(folder)], account=shared.account)
    run(["cp", "--archive", "--parents", "--", *names, str(folder)], account=shared.account, cwd=shared.path)
    return str(folder)


def _move(shared: Shared, base: str | None, commit: str) -> None:
    """Let git write the files of a commit and remove those of the one before.

    Forced: what that could cost was looked at before. The index is made anew, so that files which somebody
    added here count as untracked and stay.
    """
    shared.git("read-tree", base or "--empty")
    with suppress(CommandError):
        # Files that are as they should be are then not written again; it fails where some are not.
        shared.git("update-index", "-q", "--refresh")
    shared.git("checkout", "--quiet", "--force", "--detach", commit, "--")
