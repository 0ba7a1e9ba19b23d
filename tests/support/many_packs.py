#!/usr/bin/env python3
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Many small custom-node packs, and broken ones of every kind, as bare repositories. The same call makes the same commits everywhere.

    python many_packs.py FOLDER --url http://outside.test/git [--count 60] [--broken gone install_fails …]

prints the manifest. A pack has some tens of files, a history of four commits, and in that history a megabyte that is not in its files.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

COUNT = 60
SIGNED = "EmProps sandbox <sandbox@outside.test> 1735689600 +0000"
# Nothing of this computer's git configuration.
ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
DELETED_BYTES = 1_000_000
PARTS = "many_parts"  # the submodule of one pack; no pack itself

# What packs of this kind ask for: small, without torch, as wheels, and all at once in one environment.
REQUIREMENTS = {
    1: "numpy>=1.24\nPillow>=9.0\n",
    4: "humanize\n",
    5: "tqdm\nrequests>=2.28\n",
    8: "pyyaml>=6.0\n",
    11: "einops\nnumpy\n",
    14: "# text\nftfy\nregex\n",
    16: "rich>=13.0.0\ntyper>=0.9\n",
    19: "jinja2\nmarkdown\n",
    22: "httpx>=0.25\nwebsockets\n",
    24: "pydantic>=2.0,<3\n",
    27: "psutil\npy-cpuinfo\n",
    30: "GitPython\ntoml\n",
    33: "imageio>=2.31\npiexif\n",
    36: "simpleeval\nnetworkx\n",
    39: "qrcode[pil]\nwebcolors\n",
    42: "beautifulsoup4\nxmltodict  # configuration files\n",
    45: "aiohttp>=3.9\naiofiles\n",
    48: "jsonschema\npackaging\n",
    51: "cachetools\nfilelock\nplatformdirs\n",
    54: "sortedcontainers\npython-dateutil\ntqdm>=4.64\n",
}
# Nothing beyond those, so that who reads only requirements.txt ends up with the same packages.
PYPROJECT = {10: ["requests", "tqdm"], 25: ["numpy>=1.24", "einops"], 41: ["pyyaml"]}
SETUP_CFG = {28: ["humanize", "rich"]}
INSTALLS = (3, 20, 37)
SUBMODULE, SLOW, NO_NODES = 13, 17, 23


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True)
class Submodule:
    """A commit of another repository."""

    commit: str


File = str | bytes | Link | Submodule


@dataclass(frozen=True)
class Fault:
    """One broken pack: what it has beside or instead of a plain pack's files, and what its entry says."""

    files: Mapping[str, File] = field(default_factory=dict)
    entry: Mapping[str, Any] = field(default_factory=dict)
    repository: bool = True
    classes: Sequence[str] | None = None  # by default one of its own


_NO_COMMIT = "0123456789abcdef" * 2 + "01234567"
_EDITS = """
from pathlib import Path
with (Path(__file__).parent.parent / "many_00" / "__init__.py").open("a") as neighbour:
    neighbour.write("# edited by somebody else's install.py\\n")
"""
_ADDS = """
import sysconfig
from pathlib import Path
(Path(sysconfig.get_path("purelib")) / "smuggled.py").write_text("HERE = True\\n")
"""
_CHANGES = """
import sysconfig
from pathlib import Path
with (Path(sysconfig.get_path("purelib")) / "yaml" / "__init__.py").open("a") as package:
    package.write("# changed by an install.py\\n")
"""
_FAILS = 'import sys\nprint("looking for the compiler")\nsys.stderr.write("there is no compiler here\\n")\nsys.exit(3)\n'
_HANGS = 'import time\nprint("this may take a while", flush=True)\ntime.sleep(3600)\n'
_NEEDS_ENV = 'import os\nos.environ["BROKEN_ENV_TOKEN"]\n'
# broken_<name>; one more fault is one more row.
FAULTS = {
    "gone": Fault(repository=False),
    "password": Fault(entry={"url": "../private/broken_password.git"}, repository=False),
    "commit": Fault(entry={"commit": _NO_COMMIT}),
    "rewritten": Fault(entry={"branch": "main"}),  # by rewrite(), when the test comes to it
    "branch": Fault(entry={"branch": "--upload-pack=touch /tmp/x"}),
    "submodule": Fault(
        {".gitmodules": '[submodule "parts"]\n\tpath = parts\n\turl = ../many_nobody.git\n', "parts": Submodule(_NO_COMMIT)},
        {"recursive": True},
    ),
    "link": Fault({"assets/passwd": Link("/etc/passwd")}),
    "requirements_syntax": Fault({"requirements.txt": "humanize >>= four\n"}),
    "requirements_unknown": Fault({"requirements.txt": "emprops-there-is-no-such-package\n"}),
    "contradicts_a": Fault({"requirements.txt": "humanize<4.10\n"}),
    "contradicts_b": Fault({"requirements.txt": "humanize>=4.11\n"}),
    "install_hangs": Fault({"install.py": _HANGS}),
    "install_fails": Fault({"install.py": _FAILS}),
    "install_edits_another": Fault({"install.py": _EDITS}),
    "install_adds_package": Fault({"install.py": _ADDS}),
    "install_changes_package": Fault({"install.py": _CHANGES}),
    "missing_module": Fault({"helpers.py": "import emprops_there_is_no_such_module\n"}),
    "same_class_a": Fault(classes=["BrokenSameClass"]),
    "same_class_b": Fault(classes=["BrokenSameClass"]),
    "env": Fault({"helpers.py": _NEEDS_ENV}, {"env": {"BROKEN_ENV_TOKEN": "${BROKEN_ENV_TOKEN}"}}),  # imports with the variable alone
}


# --- what the packs hold -------------------------------------------------------------------------------------------


def name_of(number: int) -> str:
    return f"many_{number:02}"


def classes_of(number: int) -> list[str]:
    """The node types that a pack brings."""
    return [] if number == NO_NODES else [f"Many{number:02}Node{suffix}" for suffix in ("", "Switch", "Merge")[: 1 + number % 3]]


def files_of(number: int) -> dict[str, File]:
    """The files of one pack, without its submodule."""
    name = name_of(number)
    files = _plain(name, classes_of(number))
    if number in REQUIREMENTS:
        files["requirements.txt"] = REQUIREMENTS[number]
    if number in PYPROJECT:
        files["pyproject.toml"] = (
            f'[project]\nname = "{name}"\nversion = "1.2.0"\ndependencies = {json.dumps(PYPROJECT[number])}\n\n'
            f'[tool.comfy]\nPublisherId = "sandbox"\nDisplayName = "{name}"\n'
        )
    if number in SETUP_CFG:
        wanted = "".join(f"\n    {line}" for line in SETUP_CFG[number])
        files["setup.cfg"] = f"[metadata]\nname = {name}\nversion = 1.2.0\n\n[options]\npy_modules = helpers\ninstall_requires ={wanted}\n"
        files["setup.py"] = "from setuptools import setup\n\nsetup()\n"
    if number in INSTALLS:
        files["install.py"] = (
            f'from pathlib import Path\n\nprint("{name} prepares itself")\nPath(__file__).with_name("prepared.txt").write_text("yes\\n")\n'
        )
    if number == SLOW:
        files["helpers.py"] = "import time\n\ntime.sleep(1)\n"
    if number % 4 == 0:
        files["assets/lookup.bin"] = _random(name, "lookup").randbytes(100_000 + 7_000 * (number % 30))
    return files


def _plain(name: str, classes: Sequence[str]) -> dict[str, File]:
    """A pack that works: nodes, helpers, and what else lies about in a repository."""
    chosen = _random(name, "files")
    mappings = "".join(f'    "{one}": {one},\n' for one in classes)
    nodes = "".join(_NODE.format(name=one, category=name) for one in classes)
    files: dict[str, File] = {
        "__init__.py": f"from . import helpers  # noqa: F401\n\n{nodes}\nNODE_CLASS_MAPPINGS = {{\n{mappings}}}\n",
        "helpers.py": "",
        "README.md": f"# {name}\n\n{_words(chosen, 300)}",
        "LICENSE": _words(chosen, 150),
        ".gitignore": "__pycache__/\n*.pyc\n",
    }
    for folder, ending, comment, count in (
        ("src", "py", "#", 12),
        ("web/js", "js", "//", 6),
        ("examples", "json", "", 8),
        ("docs", "md", "", 4),
    ):
        for number in range(chosen.randrange(count // 2, count + 1)):
            text = _words(chosen, chosen.randrange(60, 900))
            lines = "".join(f"{comment} {line}\n" for line in text.splitlines())
            files[f"{folder}/part{number}.{ending}"] = lines if comment else text if ending == "md" else json.dumps({"note": text}) + "\n"
    return files


_NODE = """
class {name}:
    CATEGORY = "{category}"
    FUNCTION = "run"
    RETURN_TYPES = ("STRING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {{"required": {{"text": ("STRING", {{"default": ""}})}}}}

    def run(self, text):
        return (text,)

"""


def _random(name: str, what: str) -> random.Random:
    return random.Random(f"{name} {what}")


def _words(chosen: random.Random, count: int) -> str:
    rows = [" ".join(chosen.choices(_VOCABULARY, k=12)) for _ in range(max(1, count // 12))]
    return "\n".join(rows) + "\n"


_VOCABULARY = (
    "latent",
    "image",
    "mask",
    "model",
    "sampler",
    "prompt",
    "noise",
    "tensor",
    "batch",
    "scale",
    "seed",
    "step",
    "the",
    "of",
    "a",
)


# --- repositories --------------------------------------------------------------------------------------------------


def make(folder: Path, base: str, count: int = COUNT) -> list[dict[str, Any]]:
    """Bare repositories of that many packs below `folder`, which is served at `base`; returns their manifest entries.

    What is there already is as at the beginning again.
    """
    entries: list[dict[str, Any]] = []
    parts = _write(folder / f"{PARTS}.git", _plain(PARTS, []), PARTS) if count > SUBMODULE else ""
    for number in range(count):
        name, files = name_of(number), files_of(number)
        entry: dict[str, Any] = {"name": name, "url": f"{base}/{name}.git"}
        if number == SUBMODULE:
            files |= {".gitmodules": f'[submodule "parts"]\n\tpath = parts\n\turl = ../{PARTS}.git\n', "parts": Submodule(parts)}
            entry["recursive"] = True
        _write(folder / f"{name}.git", files, name)
        entries.append(entry)
    return entries


def make_broken(folder: Path, base: str, faults: Sequence[str] = tuple(FAULTS)) -> list[dict[str, Any]]:
    """The same for packs with these faults, which are called `broken_<fault>`."""
    entries = []
    for fault in faults:
        row, name = FAULTS[fault], f"broken_{fault}"
        if row.repository:
            classes = row.classes or ["Broken" + "".join(word.capitalize() for word in fault.split("_"))]
            _write(folder / f"{name}.git", {**_plain(name, classes), **row.files}, name)
        given = {"url": f"{name}.git", **row.entry}
        entries.append({"name": name, **given, "url": urljoin(f"{base}/", given["url"])})
    return entries


def advance(repository: Path) -> str:
    """Let main go on by one commit; returns it."""
    return _import(repository, [("Say more", {"CHANGES.md": f"After {head(repository)}\n"}, [])], onto="refs/heads/main^0")


def rewrite(repository: Path) -> str:
    """Let main be another history with almost the same files, as after a forced push; returns the commit.

    The old commits stay in the repository and no ref leads to them, as it is at most hosts.
    """
    tree = _git(repository, "rev-parse", "refs/heads/main^{tree}").decode().strip()
    return _import(repository, [("Start anew", {"CHANGES.md": "History was rewritten\n"}, [])], tree=tree)


def head(repository: Path) -> str:
    return _git(repository, "rev-parse", "refs/heads/main").decode().strip()


def _write(repository: Path, files: Mapping[str, File], name: str) -> str:
    """A bare repository whose main ends with exactly these files; returns that commit."""
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", repository], env=ENVIRONMENT, check=True)
    deleted = _random(name, "deleted").randbytes(DELETED_BYTES)
    first = {
        path: content for path, content in files.items() if path not in ("README.md", ".gitmodules") and not isinstance(content, Submodule)
    }
    rest = {path: content for path, content in files.items() if path not in first}
    commits: list[tuple[str, Mapping[str, File], Sequence[str]]] = [
        ("First version", {**first, "weights/first.bin": deleted}, []),
        ("Weights do not belong here", {}, ["weights/first.bin"]),
        ("A first word", {"README.md": f"# {name}\n"}, []),
        ("Version 1.2", rest, []),
    ]
    return _import(repository, commits)


def _import(repository: Path, commits: Sequence[tuple[str, Mapping[str, File], Sequence[str]]], *, onto: str = "", tree: str = "") -> str:
    """Commits (message, files, removed paths) that main becomes: on `onto`, or a history of their own that may begin with a tree."""
    stream = [] if onto else [b"reset refs/heads/main\n"]
    for number, (message, files, removed) in enumerate(commits):
        stream += [f"commit refs/heads/main\ncommitter {SIGNED}\n".encode(), _data(message)]
        if number == 0 and onto:
            stream.append(f"from {onto}\n".encode())
        if number == 0 and tree:
            stream.append(f'M 040000 {tree} ""\n'.encode())
        stream += [f"D {path}\n".encode() for path in removed]
        for path, content in files.items():
            if isinstance(content, Submodule):
                stream.append(f"M 160000 {content.commit} {path}\n".encode())
            else:
                mode, data = ("120000", content.target) if isinstance(content, Link) else ("100644", content)
                stream += [f"M {mode} inline {path}\n".encode(), _data(data)]
    # Always a pack, as a server keeps what was pushed to it.
    _git(repository, "-c", "fastimport.unpackLimit=1", "fast-import", "--quiet", "--force", stdin=b"".join(stream))
    return head(repository)


def _data(content: str | bytes) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return b"data %d\n%s\n" % (len(raw), raw)


def _git(repository: Path, *words: str, stdin: bytes = b"") -> bytes:
    command = ["git", f"--git-dir={repository}", *words]
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, env=ENVIRONMENT, check=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the repositories go")
    parser.add_argument("--url", required=True, help="where the folder is served")
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--broken", nargs="*", choices=list(FAULTS), default=[], metavar="FAULT", help=", ".join(FAULTS))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    entries = make(options.folder, options.url, options.count) + make_broken(options.folder, options.url, options.broken)
    print(json.dumps({"custom_nodes": entries}, indent=1))


if __name__ == "__main__":
    main()
