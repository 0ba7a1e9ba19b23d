# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The real things that the tests of the core work with: git repositories, wheels, uv, a folder to install into."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from ansible_collections.emprops.comfyui.plugins.module_utils._command import Account, package_index_environment
from ansible_collections.emprops.comfyui.plugins.module_utils._git import GitAccess
from ansible_collections.emprops.comfyui.plugins.module_utils._python_env import PythonOptions, ensure_uv
from ansible_collections.emprops.comfyui.plugins.module_utils._release import Workspace
from unit.fixtures.release_machine import Machine

CHECKOUT = Path(__file__).parents[2]
SUPPORT = CHECKOUT / "tests/support"


@dataclass(frozen=True)
class Origin:
    """A repository of somebody else, reached by `url`."""

    path: Path

    @property
    def url(self) -> str:
        return self.path.as_uri()

    def git(self, *arguments: str) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "somebody",
            "GIT_AUTHOR_EMAIL": "somebody@example.com",
            "GIT_COMMITTER_NAME": "somebody",
            "GIT_COMMITTER_EMAIL": "somebody@example.com",
        }
        command = ["git", "-c", "protocol.file.allow=always", *arguments]
        done = subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str]) -> str:
        """Write these files and commit everything; returns the commit."""
        for name, text in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a change")
        return self.git("rev-parse", "HEAD")

    def vanish(self) -> None:
        """From now on nobody answers at the url."""
        self.path.rename(self.path.with_name(f"{self.path.name}.gone"))


@pytest.fixture(name="origin")
def fixture_origin(tmp_path: Path) -> Callable[..., Origin]:
    """Make a repository with one commit of these files (by default one of the sample packs of that name)."""

    def make(name: str, files: Mapping[str, str] | None = None) -> Origin:
        path = tmp_path / "origins" / name
        if files is None:
            shutil.copytree(SUPPORT / "packs" / name, path, ignore=shutil.ignore_patterns("__pycache__"))
        path.mkdir(parents=True, exist_ok=True)
        repository = Origin(path)
        repository.git("init", "--quiet", "--initial-branch=main")
        repository.commit(files or {})
        return repository

    return make


@pytest.fixture(name="fork")
def fixture_fork(tmp_path: Path) -> Origin:
    """A repository of the stand-in ComfyUI; it asks for the wheel `torch` below 9 instead of its real packages."""
    path = tmp_path / "origins/ComfyUI"
    shutil.copytree(SUPPORT / "comfyui", path, ignore=shutil.ignore_patterns("__pycache__"))
    repository = Origin(path)
    repository.git("init", "--quiet", "--initial-branch=main")
    repository.commit({"requirements.txt": "torch<9\n"})
    return repository


@pytest.fixture(name="access")
def fixture_access() -> GitAccess:
    return GitAccess(protocols=("file",), timeout=60)


@pytest.fixture(name="account")
def fixture_account() -> Account:
    return Account.named(None)


def write_wheel(folder: Path, name: str, version: str, requires: Sequence[str] = (), files: Mapping[str, str] | None = None) -> None:
    """The smallest package that installs; `import <name>` gives its version."""
    info = f"{name}-{version}.dist-info"
    needed = "".join(f"Requires-Dist: {line}\n" for line in requires)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}/__init__.py", f"version = {version!r}\n")
        for path, text in (files or {}).items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


BACKEND = """
import os, zipfile
{more}
def build_wheel(directory, settings=None, metadata=None):
    name = "{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as archive:
        archive.writestr("{name}.py", "version = '1.0'\\n")
        archive.writestr("{name}-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
        archive.writestr("{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("{name}-1.0.dist-info/RECORD", "")
    return name
"""


def write_sdist(folder: Path, name: str, more: str = "") -> None:
    """A package that is built from its source, by a backend that it brings along; `more` runs while it is built."""
    files = {
        "pyproject.toml": f'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "1.0"\n',
        "backend.py": BACKEND.format(name=name, more=more),
        "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: 1.0\n",
    }
    with tarfile.open(folder / f"{name}-1.0.tar.gz", "w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{name}-1.0/{path}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


@pytest.fixture(name="python", scope="session")
def fixture_python(tmp_path_factory: pytest.TempPathFactory) -> PythonOptions:
    """Options for environments out of a few wheels of ours: torch, shared_part and what needs an old shared_part."""
    place = tmp_path_factory.mktemp("packages")
    wheels, index = place / "wheels", place / "index"
    wheels.mkdir()
    index.mkdir()
    for version in ("1.0", "2.0", "9.0"):
        write_wheel(wheels, "torch", version)
    for version in ("1.0", "2.0"):
        write_wheel(wheels, "shared_part", version)
    write_wheel(wheels, "old_fashioned", "1.0", ["shared_part<2"])
    defaults = yaml.safe_load((CHECKOUT / "roles/comfyui_fork/defaults/main.yml").read_text())
    return PythonOptions(uv_version=defaults["comfyui_fork_uv_version"], index_url=index.as_uri(), torch_wheels_dir=str(wheels))


@pytest.fixture(name="tools", scope="session")
def fixture_tools(tmp_path_factory: pytest.TempPathFactory, python: PythonOptions) -> Path:
    """Folder with the real uv, brought once from the package index."""
    folder = tmp_path_factory.mktemp("tools")
    ensure_uv(folder, python.uv_version, Account.named(None), package_index_environment())
    return folder


@pytest.fixture(name="workspace")
def fixture_workspace(tmp_path: Path, account: Account, tools: Path) -> Workspace:
    """An empty machine, but for uv."""
    workspace = Workspace(tmp_path / "workspace", account)
    workspace.cache.mkdir(parents=True)
    (workspace.cache / "tools").symlink_to(tools)
    return workspace


@pytest.fixture(name="machine")
def fixture_machine(workspace: Workspace, fork: Origin, python: PythonOptions, access: GitAccess) -> Machine:
    """A machine that can be deployed to, step by step."""
    return Machine(workspace, fork, python, access)
