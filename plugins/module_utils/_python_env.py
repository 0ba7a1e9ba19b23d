# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The Python environment of a release: made by uv, and equal to its requirements.lock (which _resolution.py writes).

    <root>/cache/tools/uv-<version>/uv      the installer itself, from the package index
    <root>/cache/uv/                        its cache; environments are hard links into it
    <release>/requirements/<source>.txt     what the fork and each pack ask for, as handed to the resolver
    <release>/requirements/uv.toml          what packages need to be built, where packs say so
    <release>/requirements.lock             the one answer, with hashes, and by way of whom each package came

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._command import (
    Account,
    CommandError,
    package_index_environment,
    put_texts,
    remove_all,
    run,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._files import give
from ansible_collections.emprops.comfyui.plugins.module_utils._pack_requirements import name_of

OLDEST_PYTHON = (3, 10)
# What a build says that has not what it needs, and what would give it.
_LACKS = (
    (
        re.compile(r"No such file or directory: '[^']*(?:cc|c\+\+|gcc|clang|g\+\+)'|command '[^']*(?:cc|\+\+)' failed: No such file"),
        "a compiler is missing on this machine; workspace_packages brings one (build-essential)",
    ),
    (re.compile(r"Python\.h: No such file"), "Python's headers are missing; workspace_packages brings them (python3-dev)"),
    (re.compile(r"(?:cmake|ninja|nvcc|rustc|cargo)\b.{0,40}(?:not found|No such file)"), "a build tool is missing on this machine"),
)
# The registry, the network or the disk is what fails, and no requirement.
_UNREACHABLE = re.compile(
    r"error sending request|Failed to fetch: |[Cc]onnection refused|timed out|dns error|No space left|[Nn]etwork is unreachable"
)
_MISSING_MODULE = re.compile(r"ModuleNotFoundError: No module named '([A-Za-z0-9_.]+)'")


class PythonEnvError(Exception):
    """The environment cannot be made, resolved or installed."""


@dataclass(frozen=True)
class PythonOptions:
    """What shapes an environment besides the requirements; part of a release's identity."""

    interpreter: str = "python3"
    uv_version: str = ""
    index_url: str = ""
    torch_index_url: str = ""
    torch_wheels_dir: str = ""
    exclude_newer: str = ""
    constraints: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    # Indexes that packs may bring along.
    allowed_indexes: tuple[str, ...] = ()

    @staticmethod
    def of(values: dict[str, Any]) -> PythonOptions:
        """From a module's parameters or a lock; lists become tuples."""
        plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value or "" for key, value in values.items()}
        return PythonOptions(**plain)

    @property
    def base(self) -> PythonOptions:
        """What decides on the empty environment; the rest only matters when packages are resolved."""
        return replace(self, uv_version="", constraints=(), overrides=(), allowed_indexes=())

    @property
    def identity(self) -> PythonOptions:
        """What decides on the outcome: which version of the installer did it does not."""
        return replace(self, uv_version="")

    def as_dict(self) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def check_indexes(options: PythonOptions) -> PythonOptions:
    """The options, unless an index holds a password: they stand in the lock, which everybody may read. Raises PythonEnvError."""
    for name in ("index_url", "torch_index_url"):
        if "@" in urlsplit(getattr(options, name)).netloc:
            raise PythonEnvError(f"{name} holds a user name or password; put it into the machine's pip or uv configuration instead")
    return options


class BuildError(PythonEnvError):
    """A package could not be built or downloaded; `packs` are those that it is for."""

    def __init__(self, message: str, packs: Sequence[str]) -> None:
        super().__init__(message)
        self.packs = packs


@dataclass(frozen=True)
class PythonEnv:
    """Everything about one release's environment; paths are those of the machine."""

    release: Path
    cache: Path
    options: PythonOptions
    account: Account
    timeout: float = 1800
    index_environment: dict[str, str] = field(default_factory=package_index_environment)
    # For requirements that are repositories; never with a token, which whatever is built could read.
    git_environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def venv(self) -> Path:
        return self.release / "venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin/python"

    @property
    def lock(self) -> Path:
        return self.release / "requirements.lock"

    def create(self, like: Path | None = None, version_of_like: str = "") -> str:
        """Make the environment and return its Python version: empty, or as that of another release (`like`). Raises PythonEnvError."""
        version = interpreter_version(self.options.interpreter)
        if not self.python.exists():
            self._clear()
            if like is None or version_of_like != version or not self._copy(like / "venv"):
                self._make()
        return version

    def _make(self) -> None:
        self._clear()
        self.run_uv(self.uv(), "venv", "--quiet", "--no-project", "--python", self.options.interpreter, str(self.venv))

    def _clear(self) -> None:
        try:
            remove_all([self.venv], self.account)
        except CommandError as error:
            raise PythonEnvError(str(error)) from error

    def _copy(self, old: Path) -> bool:
        """By hard links, bytecode included, so that only what differs must be installed and compiled. False where that cannot be done.

        Nothing writes into these files: installers and Python itself put new ones in their place.
        """
        try:
            run(["cp", "--archive", "--link", "--", str(old), str(self.venv)], account=self.account, timeout=self.timeout)
            programs = [path for path in (self.venv / "bin").iterdir() if path.is_file() and not path.is_symlink()]
            # They name their environment by its path. sed replaces a file, it does not write into it.
            run(["sed", "--in-place", f"s|{old}|{self.venv}|g", "--", *map(str, programs)], account=self.account, timeout=60)
            found = run([str(self.python), "-c", "import sys; print(sys.prefix)"], account=self.account, timeout=60).strip()
        except (CommandError, OSError):
            return False
        return found == str(self.venv)

    def install(self) -> None:
        """Make the environment equal to requirements.lock. Raises PythonEnvError, and BuildError where one package is to blame.

        Bytecode is compiled when the release is sealed, of all code at once.
        """
        uv = self.uv()
        arguments = ["pip", "sync", "--quiet", "--python", str(self.python)]
        begun = self.release / "installing"
        if begun.exists():
            # uv takes a package for whole by its name and version, also one that it was killed in.
            self._make()
        put_texts({begun: ""}, self.account)
        try:
            self.run_uv(uv, *arguments, *self._index_arguments(self.allowed_indexes()), str(self.lock), cwd=self.folder)
        except PythonEnvError as error:
            blamed = blame_build(str(error), self.lock.read_text(encoding="utf-8"), error)
            if isinstance(blamed, BuildError):
                remove_all([begun], self.account)  # all is built before anything is installed
            raise blamed from error
        remove_all([begun], self.account)

    @property
    def folder(self) -> Path:
        return self.release / "requirements"

    def uv(self) -> Path:
        return ensure_uv(self.cache / "tools", self.options.uv_version, self.account, self.index_environment)

    def compile(self, files: Sequence[Path], extra: Sequence[str], indexes: Sequence[str]) -> str:
        """One answer for these files, as text. Raises PythonEnvError in the resolver's words."""
        arguments = ["pip", "compile", "--quiet", "--no-header", "--python", str(self.python), *self._index_arguments(indexes), *extra]
        return self.run_uv(self.uv(), *arguments, *(path.name for path in files), cwd=self.folder)

    def allowed_indexes(self) -> list[str]:
        """The packs' own indexes that were allowed when requirements.lock was made."""
        try:
            return [str(line) for line in json.loads((self.folder / "indexes.json").read_text(encoding="utf-8"))]
        except (OSError, ValueError):
            return []

    def _index_environment(self) -> dict[str, str]:
        """The machine's indexes and, before them, those of the options."""
        environment = dict(self.index_environment)
        if self.options.index_url:
            environment["UV_DEFAULT_INDEX"] = self.options.index_url
        if self.options.torch_index_url:
            environment["UV_INDEX"] = f"{self.options.torch_index_url} {environment.get('UV_INDEX', '')}".strip()
        return environment

    def _index_arguments(self, indexes: Sequence[str] = ()) -> list[str]:
        options = self.options
        arguments = [word for url in indexes for word in ("--index", url)]
        if options.torch_index_url or indexes:
            # Such an index also carries old copies of common packages, so the best version of all indexes counts.
            arguments += ["--index-strategy", "unsafe-best-match"]
        if options.torch_wheels_dir:
            arguments += ["--find-links", options.torch_wheels_dir]
        if options.exclude_newer:
            arguments += ["--exclude-newer", options.exclude_newer]
        return arguments

    def run_uv(self, uv: Path, *arguments: str, cwd: Path | None = None) -> str:
        environment = {
            **self.git_environment,
            **self._index_environment(),
            "UV_CACHE_DIR": str(self.cache / "uv"),
            "UV_NO_PROGRESS": "1",
            "UV_NATIVE_TLS": "1",
            "UV_SYSTEM_CERTS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_HTTP_TIMEOUT": "120",
            "TMPDIR": str(self.cache / "tmp"),
        }
        make_dir(self.cache / "uv", self.account)
        make_dir(self.cache / "tmp", self.account)
        try:
            return run([str(uv), *arguments], account=self.account, cwd=cwd, env=environment, timeout=self.timeout)
        except CommandError as error:
            said = error.output.strip()[-4000:]
            raise PythonEnvError(f"uv {' '.join(arguments[:2])}: {said}" if said else str(error)) from error


def interpreter_version(interpreter: str) -> str:
    """Version of a Python on the machine. Raises PythonEnvError where it is absent or too old."""
    code = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
    try:
        version = run([interpreter, "-c", code], timeout=60).strip()
    except CommandError as error:
        raise PythonEnvError(f"{interpreter} is no Python of this machine: {error}") from error
    if tuple(map(int, version.split(".")[:2])) < OLDEST_PYTHON:
        raise PythonEnvError(f"{interpreter} is Python {version}; ComfyUI needs {'.'.join(map(str, OLDEST_PYTHON))} or newer")
    return version


def ensure_uv(tools: Path, version: str, account: Account, index_environment: dict[str, str]) -> Path:
    """The uv program of one version, installed by pip into a folder of ours when absent. Raises PythonEnvError."""
    target = tools / f"uv-{version}" / "uv"
    if target.exists():
        return target
    make_dir(target.parent, account)
    environment = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    if index_environment.get("UV_DEFAULT_INDEX"):
        environment["PIP_INDEX_URL"] = index_environment["UV_DEFAULT_INDEX"]
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as scratch:
        if os.geteuid() == 0:
            give(Path(scratch), account.uid, account.gid)
        wanted, place = ["install", "--quiet", "--no-deps", f"uv=={version}"], f"{scratch}/venv"
        try:
            # The machine's own pip, where it has one, takes a third of the time.
            run(["python3", "-m", "pip", *wanted, "--target", place], account=account, env=environment, timeout=600)
        except CommandError:
            try:
                run(["python3", "-m", "venv", "--clear", place], account=account, timeout=120)
                run([f"{place}/bin/pip", *wanted], account=account, env=environment, timeout=600)
            except CommandError as error:
                raise PythonEnvError(f"cannot install uv {version} from the package index: {error}") from error
        Path(place, "bin/uv").rename(target)
    return target


def read_pins(text: str) -> dict[str, str]:
    """Package → version (or address) of a resolution's text."""
    pins = {}
    for line in text.splitlines():
        match = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?\s*(?:==\s*([^\s;\\]+)|@\s*(\S+))", line)
        if match:
            pins[name_of(match[1])] = match[2] or match[3]
    return pins


def who_needs(package: str, lock: str) -> list[str]:
    """The files of requirements (`003-x.txt`) by way of which a package came into a resolution, out of its notes."""
    parents: dict[str, list[str]] = {}
    here = ""
    for line in lock.splitlines():
        if re.match(r"[A-Za-z0-9]", line):
            here = name_of(line)
        elif here and (match := re.match(r"\s+#\s+(?:via\s*)?(.*)", line)) and match[1]:
            parents.setdefault(here, []).append(match[1].strip())
    seen: set[str] = set()
    files: set[str] = set()
    queue = [name_of(package)]
    while queue:
        name = queue.pop()
        if name not in seen:
            seen.add(name)
            ways = parents.get(name, [])
            files |= {way.removeprefix("-r ") for way in ways if way.startswith("-r ")}
            queue += [name_of(way) for way in ways if not way.startswith("-")]
    return sorted(files)


def is_unreachable(said: str) -> bool:
    """Whether the registry, the network or the disk failed, and not an address that a pack names itself or a package's own build."""
    own = re.search(r"`[^`]+ @ [^`]+`|Failed to build|build backend", said)
    return bool(_UNREACHABLE.search(said)) and not own


def blame_build(said: str, lock: str, error: PythonEnvError) -> PythonEnvError:
    """The same failure with the packs that it is for, where one package could not be built or had."""
    match = re.search(r"Failed to (?:download and )?build[^`]*`([A-Za-z0-9._-]+)", said) or re.search(
        r"Failed to (?:download|fetch)[^`]*`([A-Za-z0-9._-]+)==", said
    )
    if not match or is_unreachable(said):
        return error
    files = who_needs(match[1], lock)
    if any(file.startswith("000-") for file in files):  # ComfyUI's own
        return error
    lack = "".join(f"\n  {sentence}" for sentence in lacks(said))
    return BuildError(f"{match[1]} could not be built or installed: {said}{lack}", files)


def lacks(said: str) -> list[str]:
    """What a failed build wanted, and who would bring it."""
    found = [sentence for pattern, sentence in _LACKS if pattern.search(said)]
    if "build" in said and (match := _MISSING_MODULE.search(said)):
        found.append(f"it needs the module {match[1]} to be built, and does not say so; build_requirements of its pack can")
    return found


def make_dir(path: Path, account: Account) -> None:
    if path.is_dir():
        return
    path.mkdir(parents=True, exist_ok=True, mode=0o755)
    if os.geteuid() == 0:
        give(path, account.uid, account.gid)
