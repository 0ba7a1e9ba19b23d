# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Git repositories of strangers: resolve a name to a commit, keep it in a mirror, check it out without history.

    <cache>/git/<repository>-<digest of the url>.git    bare, shallow, shared by all releases

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shlex
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account, CommandError, run

PROTOCOLS = ("https", "ssh")
COMMIT = re.compile(r"[0-9a-f]{40}")
# What `git check-ref-format` refuses, plus a leading dash, which git would read as an option.
BAD_REF = re.compile(r"^[-/.]|\.\.|//|@\{|[\x00-\x20\x7f~^:?*\[\\]|\.lock$|[/.]$")
_IN_USE: dict[Path, threading.Lock] = {}
SCP_LIKE = re.compile(r"(?P<user>[A-Za-z0-9_.-]+)@(?P<host>[A-Za-z0-9_.-]+):(?P<path>[^/:\s][^\s]*)")


class GitError(Exception):
    """A repository, a ref or a commit is not what was asked for."""


@dataclass(frozen=True)
class GitAccess:
    """How repositories are reached: as whom, by which protocols, with which secrets (kept out of every message)."""

    account: Account | None = None
    protocols: Sequence[str] = PROTOCOLS
    ssh_key_file: str | None = None
    ssh_known_hosts_file: str | None = None
    token: str | None = field(default=None, repr=False)
    token_url: str | None = None
    timeout: float = 900

    def environment(self, *, local: bool = False) -> dict[str, str]:
        """Variables for git: no prompts, no protocols beyond ours, secrets where `ps` does not show them."""
        environment = {
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ALLOW_PROTOCOL": ":".join((*self.protocols, "file") if local else self.protocols),
            "GIT_LFS_SKIP_SMUDGE": "1",
        }
        ssh = ["ssh", "-F", os.devnull, "-o", "BatchMode=yes", "-o", "ConnectTimeout=20"]
        if self.ssh_known_hosts_file:
            ssh += ["-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={self.ssh_known_hosts_file}"]
            ssh += ["-o", f"GlobalKnownHostsFile={os.devnull}"]
        if self.ssh_key_file:
            ssh += ["-o", "IdentitiesOnly=yes", "-i", self.ssh_key_file]
        environment["GIT_SSH_COMMAND"] = shlex.join(ssh)
        settings = {
            "core.hooksPath": os.devnull,
            "http.lowSpeedLimit": "1000",
            "http.lowSpeedTime": "60",
            "advice.detachedHead": "false",
            "gc.auto": "0",
            # Ours to read even where the account that fetched them is another one.
            "safe.directory": "*",
        }
        if self.token and self.token_url:
            basic = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
            settings[f"http.{self.token_url}.extraHeader"] = f"Authorization: Basic {basic}"
        environment["GIT_CONFIG_COUNT"] = str(len(settings))
        for number, (name, value) in enumerate(settings.items()):
            environment[f"GIT_CONFIG_KEY_{number}"] = name
            environment[f"GIT_CONFIG_VALUE_{number}"] = value
        return environment

    def git(self, *arguments: str, cwd: Path | None = None, local: bool = False) -> str:
        """Run git; `local` lets it read a repository on this machine. Raises CommandError."""
        return run(["git", *arguments], account=self.account, cwd=cwd, env=self.environment(local=local), timeout=self.timeout)


def clean_url(text: str, protocols: Sequence[str] = PROTOCOLS) -> str:
    """The address of a repository, without the `git clone ` that people paste in front of it.

    Raises GitError for other protocols, local paths, options in disguise and addresses that hold a password.
    """
    url = re.sub(r"^git\s+clone\s+", "", text.strip()).rstrip("/")
    shown = ", ".join(protocols)
    if re.search(r"://[^/]*:[^/]*@", url):
        raise GitError("the address of a repository holds a password; give a token apart from it")
    if not url or re.search(r"[\x00-\x20\x7f]", url) or url.startswith("-"):
        raise GitError(f"{text!r} is no repository address")
    if SCP_LIKE.fullmatch(url):
        if "ssh" not in protocols:
            raise GitError(f"{url} uses ssh; allowed are {shown}")
        return url
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise GitError(f"{text!r} is no repository address: {error}") from None
    if parts.scheme not in protocols:
        raise GitError(f"{text!r} is no repository address that is allowed here (allowed: {shown})")
    if parts.username and parts.scheme != "ssh":
        raise GitError(f"the address of {parts.hostname}{parts.path} holds a user name; give a token apart from it")
    if parts.scheme != "file" and (not parts.hostname or parts.hostname.startswith("-")):
        raise GitError(f"{text!r} names no host")
    if parts.query or parts.fragment:
        raise GitError(f"the address of {parts.hostname}{parts.path} holds a query or fragment, which no repository has")
    return url


def same_repository(one: str, other: str) -> bool:
    """Whether two spellings mean one repository (.git suffix, scp form, case of the host)."""
    return _normal(one) == _normal(other)


def _normal(url: str) -> str:
    scp = SCP_LIKE.fullmatch(url)
    host, path = (scp["host"], scp["path"]) if scp else ((urlsplit(url).netloc.rpartition("@")[2]), urlsplit(url).path)
    return f"{host.lower()}/{path.strip('/').removesuffix('.git').lower()}"


def check_ref(ref: str) -> str:
    """A branch, tag or commit name that git may be handed. Raises GitError."""
    if not ref or len(ref) > 255 or BAD_REF.search(ref):
        raise GitError(f"{ref!r} is no branch, tag or commit")
    return ref


def resolve_ref(url: str, ref: str | None, access: GitAccess) -> str:
    """Ask the repository which commit a branch, a tag or (no ref) its default branch is at. Raises GitError."""
    if ref and COMMIT.fullmatch(ref):
        return ref
    heads = list_refs(url, access)
    if ref is None:
        if "HEAD" not in heads:
            raise GitError(f"{url} has no default branch")
        return heads["HEAD"]
    check_ref(ref)
    for name in (f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}"):
        if name in heads:
            return heads[name]
    branches = sorted(name.removeprefix("refs/heads/") for name in heads if name.startswith("refs/heads/"))
    known = ", ".join(branches[:12]) + (" …" if len(branches) > 12 else "")
    raise GitError(f"{url} has no branch or tag {ref!r}; its branches are: {known or 'none'}")


def list_refs(url: str, access: GitAccess) -> dict[str, str]:
    """Name → commit of everything the repository advertises. Raises GitError where it cannot be reached."""
    try:
        text = access.git("ls-remote", "--", url)
    except CommandError as error:
        raise GitError(f"cannot read {url}: {error}") from error
    pairs = (line.split("\t", 1) for line in text.splitlines() if "\t" in line)
    return {name: commit for commit, name in pairs if COMMIT.fullmatch(commit)}


@dataclass(frozen=True)
class Mirror:
    """The local copy of one repository, with the commits that were asked for and nothing else."""

    path: Path
    url: str
    access: GitAccess

    @staticmethod
    def of(cache: Path, url: str, access: GitAccess) -> Mirror:
        name = re.sub(r"[^A-Za-z0-9._-]", "_", url.rstrip("/").removesuffix(".git").rpartition("/")[2]) or "repository"
        digest = hashlib.sha256(url.encode()).hexdigest()[:12]
        return Mirror(cache / "git" / f"{name[:60]}-{digest}.git", url, access)

    def has(self, commit: str) -> bool:
        if not (self.path / "HEAD").is_file():
            return False
        try:
            # A shallow fetch that was killed leaves no ref, so the ref is the proof, not the object.
            return self._git("rev-parse", "--verify", "--quiet", f"refs/wanted/{commit}^{{tree}}") != ""
        except CommandError:
            return False

    def fetch(self, commit: str) -> None:
        """Bring one commit, without history. Raises GitError."""
        # Several packs may live in one repository, and they are fetched side by side.
        with _IN_USE.setdefault(self.path, threading.Lock()):
            if not self.has(commit):
                self._fetch(commit)

    def _fetch(self, commit: str) -> None:
        try:
            self._prepare()
            try:
                self._git("fetch", "--quiet", "--depth=1", "--no-tags", "--", self.url, commit)
            except CommandError as error:
                if not re.search(r"not our ref|unadvertised object|couldn't find remote ref", error.output):
                    raise
                # Older servers hand out only what a branch or tag points at or contains.
                self._git("fetch", "--quiet", "--no-tags", "--", self.url, "+refs/heads/*:refs/remotes/*", "+refs/tags/*:refs/tags/*")
            if self._git("cat-file", "-t", commit).strip() != "commit":
                raise GitError(f"{commit} of {self.url} is no commit")
            self._git("update-ref", f"refs/wanted/{commit}", commit)
        except CommandError as error:
            if re.search(r"could not get object info|Not a valid object name|not our ref|bad file", error.output):
                raise GitError(f"{self.url} has no commit {commit}; it may have been removed by a forced push") from error
            raise GitError(f"cannot fetch {commit} of {self.url}: {error}") from error

    def checkout(self, commit: str, target: Path, *, recursive: bool = False) -> None:
        """Put the files of a commit at `target`, which must not exist; it appears whole or not at all. Raises GitError."""
        self.fetch(commit)
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        git = self.access.git
        try:
            git("init", "--quiet", "--", str(partial))
            git("fetch", "--quiet", "--depth=1", "--", f"file://{self.path}", f"refs/wanted/{commit}", cwd=partial, local=True)
            git("checkout", "--quiet", "--detach", commit, "--", cwd=partial)
            git("remote", "add", "origin", self.url, cwd=partial)
            if recursive:
                git("submodule", "--quiet", "update", "--init", "--recursive", "--depth=1", cwd=partial)
            found = git("rev-parse", "HEAD", cwd=partial).strip()
        except CommandError as error:
            raise GitError(f"cannot check out {commit} of {self.url}: {error}") from error
        if found != commit:
            raise GitError(f"{self.url} was asked for {commit} and gave {found}")
        try:
            _refuse_links_out(partial, self.url)
        except GitError:
            shutil.rmtree(partial)
            raise
        partial.rename(target)

    def _prepare(self) -> None:
        for lock in [*self.path.glob("*.lock"), *self.path.glob("refs/**/*.lock")]:
            lock.unlink(missing_ok=True)  # left by a process that was killed; ours is the only one here
        # Also completes a mirror whose making was killed.
        self.access.git("init", "--quiet", "--bare", "--", str(self.path))
        self._git("config", "uploadpack.allowAnySHA1InWant", "true")

    def _git(self, *arguments: str) -> str:
        return self.access.git(f"--git-dir={self.path}", *arguments)


def _refuse_links_out(tree: Path, url: str) -> None:
    root = tree.resolve()
    for folder, names, files in os.walk(tree):
        for name in (*names, *files):
            path = Path(folder, name)
            if path.is_symlink() and not _stays_in(root, path):
                raise GitError(f"{url} holds the link {path.relative_to(tree)}, which leads out of the repository")


def _stays_in(root: Path, link: Path) -> bool:
    try:
        return (link.parent / link.readlink()).resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a link that leads to itself
        return False


def was_rewritten(url: str, old: str, new: str, ref: str | None, scratch: Path, access: GitAccess) -> bool:
    """Whether the branch no longer contains the commit it used to be at (a forced push). Raises GitError."""
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        access.git("init", "--quiet", "--bare", "--", str(scratch))
        # Commits alone tell ancestry: no trees, no files.
        access.git(f"--git-dir={scratch}", "fetch", "--quiet", "--filter=tree:0", "--no-tags", "--", url, ref or "HEAD")
        try:
            access.git(f"--git-dir={scratch}", "merge-base", "--is-ancestor", old, new)
        except CommandError:
            return True
        return False
    except CommandError as error:
        raise GitError(f"cannot read the history of {url}: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def follow_ref(url: str, ref: str | None, old: str | None, cache: Path, access: GitAccess, *, accept_rewritten: bool = False) -> str:
    """The commit that a branch, a tag or (no ref) the default branch is at now.

    Raises GitError also where it no longer contains `old`, the commit that is installed, unless that is accepted.
    """
    new = resolve_ref(url, ref, access)
    if old and new != old and not accept_rewritten:
        scratch = cache / "git" / f".history-{hashlib.sha256(url.encode()).hexdigest()[:12]}"
        if was_rewritten(url, old, new, ref, scratch, access):
            raise GitError(
                f"{ref or 'the default branch'} of {url} was rewritten: {old}, installed here, is no longer part of it "
                f"(it is at {new} now); look at what happened, then pin a commit or accept the rewritten history"
            )
    return new
