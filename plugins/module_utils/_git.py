# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Git repositories of strangers: resolve a name to a commit, keep it in a mirror, check it out without history.

    <cache>/git/<repository>-<digest of the url>.git    bare, shallow, shared by all releases

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import re
import shlex
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urljoin, urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account, CommandError, remove_all, run

PROTOCOLS = ("https", "ssh")
COMMIT = re.compile(r"[0-9a-f]{40}")
# What `git check-ref-format` refuses, plus a leading dash, which git would read as an option.
BAD_REF = re.compile(r"^[-/.]|\.\.|//|@\{|[\x00-\x20\x7f~^:?*\[\\]|\.lock$|[/.]$")
SUBMODULE_DEPTH = 5
# Where packs come from, unless the inventory says otherwise.
HOSTS = ("github.com", "gitlab.com", "codeberg.org", "bitbucket.org", "huggingface.co")
_IN_USE: dict[Path, threading.Lock] = {}
SCP_LIKE = re.compile(r"(?P<user>[A-Za-z0-9_.-]+)@(?P<host>[A-Za-z0-9_.-]+):(?P<path>[^/:\s][^\s]*)")


class GitError(Exception):
    """A repository, a ref or a commit is not what was asked for."""


@dataclass(frozen=True)
class GitAccess:
    """How repositories are reached: as whom, by which protocols, at which hosts, with which secrets (kept out of every message)."""

    account: Account | None = None
    protocols: Sequence[str] = PROTOCOLS
    # The only hosts that are asked; None is any.
    hosts: Sequence[str] | None = None
    ssh_key_file: str | None = None
    ssh_known_hosts_file: str | None = None
    token: str | None = field(default=None, repr=False)
    token_url: str | None = None
    timeout: float = 900
    # Repositories that turned out to have another address: old to new.
    moved: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

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
            # Where a server sends us is judged here, not by git.
            "http.followRedirects": "false",
            "http.lowSpeedLimit": "1000",
            "http.lowSpeedTime": "60",
            "advice.detachedHead": "false",
            "gc.auto": "0",
            "maintenance.auto": "false",
            "fetch.writeCommitGraph": "false",
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

    def ask(self, url: str, *before: str, refs: Sequence[str] = ()) -> str:
        """Run a git command that talks to a repository: `git <before> -- <url> <refs>`. Raises CommandError, GitError.

        A repository that moved is followed once, to where it says, if that is allowed; `moved` then knows it.
        """
        here = self.moved.get(url, url)
        check_host(here, self.hosts)
        try:
            return self.git(*before, "--", here, *refs)
        except CommandError as error:
            if not re.search(r"returned error: 30[1278]\b", error.output):
                raise
            there = redirect_of(here, self.timeout)
            if there is None:
                raise GitError(f"{here} sends git elsewhere, and does not say where") from error
            try:
                there = clean_url(there, self.protocols)
                check_host(there, self.hosts)
            except GitError as refusal:
                raise GitError(f"{here} sends git elsewhere, which is refused: {refusal}") from error
            text = self.git(*before, "--", there, *refs)
            self.moved[url] = there
            return text


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        return None


def redirect_of(url: str, timeout: float) -> str | None:
    """Address of the repository that a server redirects this one to, unjudged; None where it does not."""
    service = "/info/refs?service=git-upload-pack"
    try:
        with urllib.request.build_opener(_NoRedirects).open(url + service, timeout=min(timeout, 60)):
            return None
    except urllib.error.HTTPError as error:
        there = urljoin(url + service, error.headers.get("Location", ""))
        return there.removesuffix(service) if error.code in (301, 302, 307, 308) and there.endswith(service) else None
    except (OSError, ValueError, http.client.HTTPException):
        return None


def check_host(url: str, hosts: Sequence[str] | None) -> None:
    """Refuse an address whose host (with its port, where it has one) is not on the list. Raises GitError."""
    scp = SCP_LIKE.fullmatch(url)
    parts = urlsplit(url)
    if hosts is None or parts.scheme == "file":
        return
    host = scp["host"] if scp else parts.netloc.rpartition("@")[2]
    if host.lower() not in {name.lower() for name in hosts}:
        raise GitError(f"{host} is not among the hosts that packs may come from ({', '.join(hosts) or 'none'})")


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
    if ref is None:
        heads = list_refs(url, access, "HEAD")
        if "HEAD" not in heads:
            raise GitError(f"{url} has no default branch")
        return heads["HEAD"]
    check_ref(ref)
    names = (f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}")
    heads = list_refs(url, access, *names)
    for name in names:
        if name in heads:
            return heads[name]
    branches = sorted(name.removeprefix("refs/heads/") for name in list_refs(url, access) if name.startswith("refs/heads/"))
    known = ", ".join(branches[:12]) + (" …" if len(branches) > 12 else "")
    raise GitError(f"{url} has no branch or tag {ref!r}; its branches are: {known or 'none'}")


def list_refs(url: str, access: GitAccess, *patterns: str) -> dict[str, str]:
    """Name → commit of what the repository advertises, of these names or of all. Raises GitError where it cannot be reached."""
    try:
        text = access.ask(url, "ls-remote", refs=patterns)
    except CommandError as error:
        raise GitError(f"cannot read {url}: {_words(error)}") from error
    pairs = (line.split("\t", 1) for line in text.splitlines() if "\t" in line)
    return {name: commit for commit, name in pairs if COMMIT.fullmatch(commit)}


def _words(error: CommandError) -> str:
    """What git says, after what it means."""
    for pattern, meaning in (
        (
            r"could not read (Username|Password)|Authentication failed|returned error: 40[13]",
            "it asks for a password, so it is private, or gone",
        ),
        (r"returned error: 404|repository .* not found|does not appear to be a git repository", "there is no such repository"),
        (r"No space left on device", "the disk is full"),
    ):
        if re.search(pattern, error.output, re.IGNORECASE):
            return f"{meaning} ({error})"
    return str(error)


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
        # A shallow fetch that was killed leaves no ref, so the ref is the proof, not the object.
        return (self.path / "refs/wanted" / commit).is_file()

    def fetch(self, commit: str) -> None:
        """Bring one commit, without history. Raises GitError."""
        # Several packs may live in one repository, and they are fetched side by side.
        with _IN_USE.setdefault(self.path, threading.Lock()):
            if not self.has(commit):
                self._fetch(commit)

    def fetch_head(self, ref: str | None) -> str:
        """Bring what a branch or (no ref) the default branch is at, and say which commit that is: one question instead of two.

        Raises GitError, also for what is no branch: `resolve_ref` knows tags.
        """
        name = f"refs/heads/{check_ref(ref)}" if ref else "HEAD"
        with _IN_USE.setdefault(self.path, threading.Lock()):
            try:
                self._prepare()
                self._bring(name)
                return self._keep("refs/asked")
            except CommandError as error:
                raise GitError(f"cannot read {self.url}: {_words(error)}") from error

    def _fetch(self, commit: str) -> None:
        try:
            self._prepare()
            try:
                self._bring(commit)
            except CommandError as error:
                if not re.search(r"not our ref|unadvertised object|couldn't find remote ref", error.output):
                    raise
                # Older servers hand out only what a branch or tag points at or contains.
                self._talk("+refs/heads/*:refs/remotes/*", "+refs/tags/*:refs/tags/*")
            if self._git("cat-file", "-t", commit).strip() != "commit":
                raise GitError(f"{commit} of {self.url} is no commit")
            self._keep(commit)
        except CommandError as error:
            if re.search(r"could not get object info|[Nn]ot a valid object name|not our ref|bad file", error.output):
                raise GitError(f"{self.url} has no commit {commit}; it may have been removed by a forced push") from error
            if re.search(r"trying to write non-commit", error.output):
                raise GitError(f"{commit} of {self.url} is no commit") from error
            raise GitError(f"cannot fetch {commit} of {self.url}: {_words(error)}") from error

    def _keep(self, name: str) -> str:
        """Give a fetched commit the ref that proves it, and say which one it is."""
        # Read as the file that it is, where it is one: programs cost more than all else here.
        commit = name if COMMIT.fullmatch(name) else _line(self.path / name)
        if not COMMIT.fullmatch(commit):
            commit = self._git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()
        self._git("update-ref", f"refs/wanted/{commit}", commit)
        return commit

    def _bring(self, name: str) -> None:
        self._talk(f"+{name}:refs/asked", depth=("--depth=1",))

    def _talk(self, *refspecs: str, depth: Sequence[str] = ()) -> None:
        fetch = (f"--git-dir={self.path}", "fetch", "--quiet", *depth, "--no-tags", "--no-write-fetch-head")
        try:
            self.access.ask(self.url, *fetch, refs=refspecs)
        except CommandError:
            self._sweep()
            raise

    def checkout(self, commit: str, target: Path, *, recursive: bool = False) -> None:
        """Put the files of a commit at `target`, which must not exist; it appears whole or not at all. Raises GitError."""
        partial = target.with_name(f".{target.name}.partial")
        account = self.access.account
        try:
            remove_all([partial], account)
            self._put(commit, partial, recursive, depth=0)
            _refuse_links_out(partial, self.url)
            run(["mv", "-T", "--", str(partial), str(target)], account=account)
        except CommandError as error:
            remove_all([partial], account)
            raise GitError(f"cannot check out {commit} of {self.url}: {_words(error)}") from error
        except (GitError, OSError):
            remove_all([partial], account)
            raise

    def _put(self, commit: str, place: Path, recursive: bool, depth: int) -> None:
        self.fetch(commit)
        try:
            # Another pack of the same repository may be fetched meanwhile.
            with _IN_USE.setdefault(self.path, threading.Lock()):
                self._put_files(commit, place)
        except CommandError as error:
            if re.search(r"unable to read|missing (blob|tree)|bad object|corrupt|inflate", error.output):
                # The cache is damaged, not the repository.
                remove_all([self.path, place], self.access.account)
                self.fetch(commit)
            else:
                raise GitError(f"cannot check out {commit} of {self.url}: {_words(error)}") from error
            try:
                self._put_files(commit, place)
            except CommandError as again:
                raise GitError(f"cannot check out {commit} of {self.url}: {_words(again)}") from again
        if recursive:
            self._put_submodules(place, depth)

    def _put_files(self, commit: str, place: Path) -> None:
        """A repository of its own, whose objects are those of the mirror by hard links (they never change)."""
        git = (f"--git-dir={place / '.git'}", f"--work-tree={place}")
        # As the account, in one go: nothing that root writes in its folders is sure to get where it should.
        script = (
            'mkdir -p -- "$2" && cp --archive --link -- "$1" "$2/.git" && cd -- "$2/.git" && printf %s "$3" > new && mv -f -T new config'
        )
        run(["sh", "-c", script, "sh", str(self.path), str(place), _config(self.url)], account=self.access.account, timeout=300)
        self.access.git(*git, "checkout", "--quiet", "--force", "--detach", commit, "--")
        if head_of(place) != commit:
            raise GitError(f"{self.url} was asked for {commit} and gave {head_of(place) or 'something else'}")

    def _put_submodules(self, place: Path, depth: int) -> None:
        """Each at the commit that the repository names, out of mirrors too, so that a second release needs no network."""
        if depth >= SUBMODULE_DEPTH:
            raise GitError(f"{self.url} nests submodules more than {SUBMODULE_DEPTH} deep")
        git = (f"--git-dir={place / '.git'}", f"--work-tree={place}")
        try:
            listed = self.access.git(*git, "ls-files", "--stage", "-z")
        except CommandError as error:
            raise GitError(f"cannot list the submodules of {self.url}: {error}") from error
        rows = (row.partition("\t") for row in listed.split("\0") if row.startswith("160000 "))
        links = {path: head.split()[1] for head, _tab, path in rows}
        urls = self._submodule_urls(place) if links else {}
        for path, commit in links.items():
            if path not in urls:
                raise GitError(f"{self.url} has the submodule {path}, and its .gitmodules does not say from where")
            mirror = Mirror.of(self.path.parent.parent, urls[path], self.access)
            try:
                mirror._put(commit, place / path, True, depth + 1)
            except GitError as error:
                head = head_of(place)
                raise GitError(f"cannot check out {head} of {self.url}: the submodule {path}: {error}") from error

    def _submodule_urls(self, place: Path) -> dict[str, str]:
        """Path → address out of .gitmodules; a relative address is one beside the repository's own."""
        file = place / ".gitmodules"
        if file.is_symlink() or not file.is_file():
            return {}
        try:
            text = self.access.git("config", "--file", str(file), "--null", "--get-regexp", r"^submodule\..*\.(path|url)$")
        except CommandError as error:
            raise GitError(f"the .gitmodules of {self.url} cannot be read: {error}") from error
        values = {key: value for key, _newline, value in (row.partition("\n") for row in text.split("\0") if row)}
        urls = {}
        for key, path in values.items():
            url = values.get(key.removesuffix("path") + "url") if key.endswith(".path") else None
            if url is None:
                continue
            if url.startswith(("./", "../")):
                url = _beside(self.access.moved.get(self.url, self.url), url)
            try:
                urls[str(PurePosixPath(path))] = clean_url(url, self.access.protocols)
                check_host(url, self.access.hosts)
            except GitError as error:
                raise GitError(f"the submodule {path}: {error}") from error
        return urls

    def _sweep(self) -> None:
        """Away with what a process that was killed, or had no room left, did not finish; ours is the only one here."""
        for pattern in ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*", "objects/[0-9a-f][0-9a-f]/tmp_obj_*"):
            remove_all(self.path.glob(pattern), self.access.account)

    def _prepare(self) -> None:
        self._sweep()
        if not (self.path / "HEAD").is_file() or not (self.path / "objects").is_dir():
            # Also completes a mirror whose making was killed. No template: its sample hooks are of no use.
            self.access.git("init", "--quiet", "--bare", "--template=", "--", str(self.path))

    def _git(self, *arguments: str) -> str:
        return self.access.git(f"--git-dir={self.path}", *arguments)


def _config(url: str) -> str:
    quoted = url.replace("\\", "\\\\").replace('"', '\\"')
    core = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"
    return f'{core}[remote "origin"]\n\turl = "{quoted}"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n'


def _beside(url: str, relative: str) -> str:
    """`../x.git` seen from a repository's address, as git reads it: the repository's own name counts as a folder."""
    base = url.rstrip("/")
    while relative.startswith(("./", "../")):
        if relative.startswith("../"):
            head, slash, _name = base.rpartition("/")
            base = head if slash else base.rpartition(":")[0]
        relative = relative.partition("/")[2]
    return f"{base}/{relative}"


def head_of(checkout: Path) -> str:
    """The commit that a checkout of ours is at (its HEAD is detached), or an empty string."""
    text = _line(checkout / ".git/HEAD")
    return text if COMMIT.fullmatch(text) else ""


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


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
    try:
        remove_all([scratch], access.account)
        access.git("init", "--quiet", "--bare", "--", str(scratch))
        # Commits alone tell ancestry: no trees, no files.
        access.ask(url, f"--git-dir={scratch}", "fetch", "--quiet", "--filter=tree:0", "--no-tags", refs=(ref or "HEAD",))
        try:
            access.git(f"--git-dir={scratch}", "merge-base", "--is-ancestor", old, new)
        except CommandError:
            return True
        return False
    except CommandError as error:
        raise GitError(f"cannot read the history of {url}: {error}") from error
    finally:
        remove_all([scratch], access.account)


def follow_ref(url: str, ref: str | None, old: str | None, cache: Path, access: GitAccess, *, accept_rewritten: bool = False) -> str:
    """The commit that a branch, a tag or (no ref) the default branch is at now.

    Raises GitError also where it no longer contains `old`, the commit that is installed, unless that is accepted.
    """
    new = resolve_ref(url, ref, access)
    if old and new != old and not accept_rewritten:
        # Several packs may follow branches of one repository at once.
        scratch = cache / "git" / f".history-{hashlib.sha256(f'{url} {ref} {old}'.encode()).hexdigest()[:12]}"
        if was_rewritten(url, old, new, ref, scratch, access):
            raise GitError(
                f"{ref or 'the default branch'} of {url} was rewritten: {old}, installed here, is no longer part of it "
                f"(it is at {new} now); look at what happened, then pin a commit or accept the rewritten history"
            )
    return new
