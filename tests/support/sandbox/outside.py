# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the outside world serves. The same files always give the same commits and models, so a second run finds nothing new."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .commands import SUPPORT, SandboxError, run, say, succeeds

HOST = "outside.test"
SEED = "refs/sandbox/seed"
DATE = "2025-01-01T00:00:00+00:00"
# In a manifest of the shared repository: the commit made of that pack's folder.
PIN = re.compile(r"@commit:([A-Za-z0-9._-]+)@")
# Packs whose main branch has gone on to something that does not import: only who follows the pin or branch gets them to work.
PINNED = ("demo_slow",)
BRANCHED = {"demo_text": "with-humanize"}


@dataclass(frozen=True)
class Model:
    """A small real .safetensors file: one tensor of floats that its name decides."""

    name: str
    directory: str
    floats: int
    repository: str = "emprops/sandbox"

    @property
    def path(self):
        """Below the hub's root; the hub serves it as Hugging Face serves a repository of two names."""
        return f"{self.repository}/{self.name}"

    @property
    def url(self):
        return f"http://{HOST}:8100/{self.repository}/resolve/main/{self.name}"

    def content(self):
        seed = hashlib.sha256(self.name.encode()).digest()
        data = b"".join(hashlib.sha256(seed + block.to_bytes(4, "big")).digest() for block in range(self.floats // 8))
        tensor = {"dtype": "F32", "shape": [self.floats], "data_offsets": [0, len(data)]}
        header = json.dumps({"__metadata__": {"format": "pt"}, "weight": tensor}, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        return len(header).to_bytes(8, "little") + header + data


MODELS = (
    Model("sandbox_checkpoint.safetensors", "checkpoints", 256 * 1024),
    Model("sandbox_lora.safetensors", "loras", 16 * 1024),
)
# For the scenario models: behind a token, on CivitAI, as a plain file that nobody publishes a digest of, and for a share on the machine.
MORE_MODELS = (
    Model("sandbox_gated.safetensors", "vae", 16 * 1024, "emprops/gated"),
    Model("sandbox_civitai.safetensors", "text_encoders", 16 * 1024, "civitai/4711"),
    Model("sandbox_unpublished.safetensors", "loras", 16 * 1024),
    Model("sandbox_share.safetensors", "upscale_models", 16 * 1024, "emprops/share"),
)

# Nothing of this computer's git configuration, so that commits are the same everywhere.
ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "EmProps sandbox",
    "GIT_AUTHOR_EMAIL": "sandbox@outside.test",
    "GIT_AUTHOR_DATE": DATE,
    "GIT_COMMITTER_NAME": "EmProps sandbox",
    "GIT_COMMITTER_EMAIL": "sandbox@outside.test",
    "GIT_COMMITTER_DATE": DATE,
}


def git(repository, *argv, **variables):
    return run("git", f"--git-dir={repository}", *argv, env=ENVIRONMENT | variables).strip()


def seed(repository, folder, message="The sandbox's copy"):
    """Make the bare repository's main branch hold the folder; what tests have pushed since stays while the folder is the same.

    Returns the newest commit made of the folder.
    """
    if not repository.exists():
        run("git", "init", "--quiet", "--bare", "--initial-branch=main", repository, env=ENVIRONMENT)
    with tempfile.TemporaryDirectory() as scratch:
        ignored = Path(scratch) / "ignored"
        ignored.write_text("__pycache__/\n*.pyc\n")
        variables = {"GIT_INDEX_FILE": f"{scratch}/index"}
        # Permissions and line ends as in the folder, whatever a checkout of it may have configured.
        git(
            repository,
            "-c",
            f"core.excludesFile={ignored}",
            "-c",
            "core.autocrlf=false",
            f"--work-tree={folder}",
            "add",
            "--all",
            **variables,
        )
        _add_submodules(repository, folder, variables)
        tree = git(repository, "write-tree", **variables)
    known = git(repository, "for-each-ref", "--format=%(objectname)", SEED)
    if known and git(repository, "rev-parse", f"{known}^{{tree}}") == tree:
        return known
    parent = git(repository, "for-each-ref", "--format=%(objectname)", "refs/heads/main")
    commit = git(repository, "commit-tree", tree, "-m", message, *(["-p", parent] if parent else []))
    git(repository, "update-ref", "refs/heads/main", commit)
    git(repository, "update-ref", SEED, commit)
    return commit


def _add_submodules(repository, folder, variables):
    """Submodules named in .gitmodules by a relative URL point at the repository of that name beside this one."""
    if not (folder / ".gitmodules").exists():
        return
    listing = run("git", "config", "--file", folder / ".gitmodules", "--get-regexp", r"\.(path|url)$", env=ENVIRONMENT)
    values = dict(line.split(" ", 1) for line in listing.splitlines())
    for key, path in values.items():
        if key.endswith(".path"):
            target = repository.parent / Path(values[key.removesuffix(".path") + ".url"]).name
            commit = git(target, "rev-parse", "refs/heads/main")
            git(repository, "update-index", "--add", "--cacheinfo", f"160000,{commit},{path}", **variables)


def move_on(repository):
    """Let main go on, from the commit that was made of the folder, to one that raises when it is imported."""
    commit = git(repository, "rev-parse", SEED)
    if git(repository, "rev-parse", "refs/heads/main") != commit:
        return
    raising = 'raise RuntimeError("main has moved on; a pin or branch was not followed")\n'
    blob = run("git", f"--git-dir={repository}", "hash-object", "-w", "--stdin", stdin=raising, env=ENVIRONMENT).strip()
    with tempfile.TemporaryDirectory() as scratch:
        index = {"GIT_INDEX_FILE": f"{scratch}/index"}
        git(repository, "read-tree", commit, **index)
        git(repository, "update-index", "--add", "--cacheinfo", f"100644,{blob},__init__.py", **index)
        tree = git(repository, "write-tree", **index)
    newer = git(repository, "commit-tree", tree, "-m", "Move on", "-p", commit)
    git(repository, "update-ref", "refs/heads/main", newer)


def prepare(folder, comfyui_source=""):
    """Fill the outside folder; what is already right stays untouched. Returns the fork to deploy: URL and version."""
    for name in ("git", "private", "hub"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _prepare_keys(folder)
    packs = SUPPORT / "packs"
    # Those without submodules first: the others point at their commits.
    for pack in sorted(path for path in packs.glob("*") if path.is_dir() and not path.name.startswith(("_", "."))):
        if not (pack / ".gitmodules").exists():
            seed(folder / "git" / f"{pack.name}.git", pack)
    for modules in sorted(packs.glob("*/.gitmodules")):
        seed(folder / "git" / f"{modules.parent.name}.git", modules.parent)
    for name in PINNED:
        move_on(folder / "git" / f"{name}.git")
    for name, branch in BRANCHED.items():
        repository = folder / "git" / f"{name}.git"
        if not succeeds("git", f"--git-dir={repository}", "merge-base", "--is-ancestor", SEED, f"refs/heads/{branch}"):
            git(repository, "update-ref", f"refs/heads/{branch}", git(repository, "rev-parse", SEED))
        move_on(repository)
    seed(folder / "git" / "ComfyUI.git", SUPPORT / "comfyui")
    _seed_shared(folder)
    for model in MODELS + MORE_MODELS:
        target = folder / "hub" / model.path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(model.content())
    (folder / "hub/emprops/gated/.gated").touch()
    return _fork(folder, comfyui_source)


def _seed_shared(folder):
    """The shared repository, with the pins of its manifest filled in."""

    def fill(match):
        repository = folder / "git" / f"{match[1]}.git"
        if not repository.exists():
            raise SandboxError(f"tests/support/shared_repo pins {match[1]}, and there is no such pack in tests/support/packs")
        return git(repository, "rev-parse", SEED)

    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "shared"
        shutil.copytree(SUPPORT / "shared_repo", copy)
        for manifest in copy.glob("config_nodes*.json"):
            manifest.write_text(PIN.sub(fill, manifest.read_text()))
        seed(folder / "private" / "shared.git", copy)


def _prepare_keys(folder):
    for name, comment in (("deploy_key", "sandbox-deploy"), ("ssh_host_ed25519_key", HOST)):
        make_key(folder / name, comment)
    token = folder / "token"
    if not token.exists():
        token.touch(0o600)
        token.write_text(secrets.token_hex(20) + "\n")


def make_key(path, comment):
    if not path.exists():
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path)


def _fork(folder, source):
    """A path is mirrored into the outside world, a URL is passed on, nothing means the stand-in. The version is the branch it is on."""
    if not source:
        return f"http://{HOST}/git/ComfyUI.git", "main"
    if "://" in source or re.match(r"[^/]+@[^/]+:", source):
        head = run("git", "ls-remote", "--symref", source, "HEAD")
        branch = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", head, re.MULTILINE)
        return source, branch[1] if branch else head.split("\t")[0]
    path = Path(source).expanduser().resolve()
    if not path.exists():
        raise SandboxError(f"COMFYUI_SOURCE={source}: there is no such folder")
    mirror = folder / "git" / "comfyui-source.git"
    if not mirror.exists():
        run("git", "init", "--quiet", "--bare", mirror, env=ENVIRONMENT)
    say(f"mirroring {path}")
    # The source may be somebody else's folder.
    trusted = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}

    def ask(*argv):
        return run("git", "-C", path, "rev-parse", *argv, env=ENVIRONMENT | trusted).strip()

    # A remote's branches count too, because a clone usually has only one of its own; its own come last and win.
    fetch = ("fetch", "--quiet", "--no-tags", "--update-shallow", path)
    git(mirror, *fetch, "+refs/remotes/origin/*:refs/heads/*", "^refs/remotes/origin/HEAD", **trusted)
    git(mirror, *fetch, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", **trusted)
    branch, commit = ask("--abbrev-ref", "HEAD"), ask("HEAD")
    if branch == "HEAD":
        branch = "sandbox-source"
        git(mirror, "update-ref", f"refs/heads/{branch}", commit)
    git(mirror, "symbolic-ref", "HEAD", f"refs/heads/{branch}")
    return f"http://{HOST}/git/{mirror.name}", branch
