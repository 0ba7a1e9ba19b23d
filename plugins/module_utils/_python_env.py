# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The Python environment of a release: made by uv, resolved once for the fork and all packs, torch out of the packs' reach.

    <root>/cache/tools/uv-<version>/uv      the installer itself, from the package index
    <root>/cache/uv/                        its cache; environments are hard links into it
    <release>/requirements/<source>.txt     what the fork and each pack ask for, as handed to the resolver
    <release>/requirements.lock             the one answer, with hashes

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._command import (
    Account,
    CommandError,
    package_index_environment,
    run,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._files import give, put_text

# Moved together or not at all, and by the operator or the fork alone.
TORCH_FAMILY = ("torch", "torchvision", "torchaudio", "torchsde", "xformers", "triton")
NAME = re.compile(r"^\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
OLDEST_PYTHON = (3, 10)


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

    @staticmethod
    def of(values: dict[str, Any]) -> PythonOptions:
        """From a module's parameters or a lock; lists become tuples."""
        plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value or "" for key, value in values.items()}
        return PythonOptions(**plain)

    @property
    def base(self) -> PythonOptions:
        """What decides on the empty environment; the rest only matters when packages are resolved."""
        return replace(self, uv_version="", constraints=(), overrides=())

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


@dataclass(frozen=True)
class Source:
    """Somebody who asks for Python packages: the fork or a pack."""

    name: str
    folder: Path


@dataclass(frozen=True)
class Requirements:
    """What one source asks for, cleaned, and the lines that were left out."""

    source: str
    lines: tuple[str, ...]
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class PythonEnv:
    """Everything about one release's environment; paths are those of the machine."""

    release: Path
    cache: Path
    options: PythonOptions
    account: Account
    timeout: float = 1800
    index_environment: dict[str, str] = field(default_factory=package_index_environment)

    @property
    def venv(self) -> Path:
        return self.release / "venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin/python"

    @property
    def lock(self) -> Path:
        return self.release / "requirements.lock"

    def create(self) -> str:
        """Make the empty environment and return its Python version. Raises PythonEnvError."""
        uv = ensure_uv(self.cache / "tools", self.options.uv_version, self.account, self.index_environment)
        version = interpreter_version(self.options.interpreter)
        if not self.python.exists():
            shutil.rmtree(self.venv, ignore_errors=True)
            self._uv(uv, "venv", "--quiet", "--no-project", "--python", self.options.interpreter, str(self.venv))
        return version

    def resolve(self, fork: Source, packs: Sequence[Source]) -> list[str]:
        """Write requirements.lock for all of them together; return warnings. Raises PythonEnvError naming who collides."""
        uv = ensure_uv(self.cache / "tools", self.options.uv_version, self.account, self.index_environment)
        folder = self.release / "requirements"
        shutil.rmtree(folder, ignore_errors=True)
        if folder.is_symlink():
            folder.unlink()
        _make_dir(folder, self.account)
        asked = [read_requirements(fork), *(read_requirements(pack) for pack in packs)]
        files = [_write(folder / _file_name(number, each.source), each.lines) for number, each in enumerate(asked)]
        constraints = _write(folder / "constraints.txt", self.options.constraints)

        # The fork and the operator alone decide which torch there is; for everybody else that is an override.
        overrides = folder / "overrides.txt"
        extra = ["--constraints", str(constraints), "--overrides", str(overrides)]
        _write(overrides, self.options.overrides)
        core = self._compile(uv, files[:1], extra, asked[:1])
        torch = [line.split(";")[0].split("\\")[0].strip() for line in core.splitlines() if _name(line) in TORCH_FAMILY]
        _write(overrides, [*torch, *self.options.overrides])
        text = self._compile(uv, files, [*extra, "--generate-hashes"], asked)
        _write(self.lock, text.splitlines())
        return [f"{each.source}: the line {line!r} of its requirements is ignored" for each in asked for line in each.ignored]

    def install(self) -> None:
        """Make the environment equal to requirements.lock. Raises PythonEnvError."""
        uv = ensure_uv(self.cache / "tools", self.options.uv_version, self.account, self.index_environment)
        self._uv(uv, "pip", "sync", "--quiet", "--compile-bytecode", "--python", str(self.python), *self._index_arguments(), str(self.lock))

    def _compile(self, uv: Path, files: Sequence[Path], extra: Sequence[str], asked: Sequence[Requirements]) -> str:
        arguments = ["pip", "compile", "--quiet", "--no-header", "--python", str(self.python), *self._index_arguments(), *extra]
        try:
            return self._uv(uv, *arguments, *map(str, files), cwd=self.release / "requirements")
        except PythonEnvError as error:
            raise PythonEnvError(explain_conflict(str(error), asked)) from error

    def _index_environment(self) -> dict[str, str]:
        """The machine's indexes and, before them, those of the options."""
        environment = dict(self.index_environment)
        if self.options.index_url:
            environment["UV_DEFAULT_INDEX"] = self.options.index_url
        if self.options.torch_index_url:
            environment["UV_INDEX"] = f"{self.options.torch_index_url} {environment.get('UV_INDEX', '')}".strip()
        return environment

    def _index_arguments(self) -> list[str]:
        options = self.options
        arguments: list[str] = []
        if options.torch_index_url:
            # That index also carries old copies of common packages, so the best version of all indexes counts.
            arguments += ["--index-strategy", "unsafe-best-match"]
        if options.torch_wheels_dir:
            arguments += ["--find-links", options.torch_wheels_dir]
        if options.exclude_newer:
            arguments += ["--exclude-newer", options.exclude_newer]
        return arguments

    def _uv(self, uv: Path, *arguments: str, cwd: Path | None = None) -> str:
        environment = {
            **self._index_environment(),
            "UV_CACHE_DIR": str(self.cache / "uv"),
            "UV_NO_PROGRESS": "1",
            "UV_NATIVE_TLS": "1",
            "UV_SYSTEM_CERTS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_HTTP_TIMEOUT": "120",
            "TMPDIR": str(self.cache / "tmp"),
        }
        _make_dir(self.cache / "uv", self.account)
        _make_dir(self.cache / "tmp", self.account)
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
    _make_dir(target.parent, account)
    environment = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    if index_environment.get("UV_DEFAULT_INDEX"):
        environment["PIP_INDEX_URL"] = index_environment["UV_DEFAULT_INDEX"]
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as scratch:
        if os.geteuid() == 0:
            give(Path(scratch), account.uid, account.gid)
        try:
            run(["python3", "-m", "venv", f"{scratch}/venv"], account=account, timeout=120)
            run([f"{scratch}/venv/bin/pip", "install", "--quiet", f"uv=={version}"], account=account, env=environment, timeout=600)
            Path(scratch, "venv/bin/uv").rename(target)
        except CommandError as error:
            raise PythonEnvError(f"cannot install uv {version} from the package index: {error}") from error
    return target


def read_requirements(source: Source) -> Requirements:
    """The requirement lines of a fork or pack, `-r` files inside its folder included.

    Options (`--index-url`, `-e`, …) are left out and listed: a pack does not choose where the machine installs from.
    Raises PythonEnvError where `-r` leads out of the folder or nowhere.
    """
    top = source.folder / "requirements.txt"
    if not top.is_file():
        return Requirements(source.name, ())
    lines: list[str] = []
    ignored: list[str] = []
    _collect(source, top, lines, ignored, depth=0)
    return Requirements(source.name, tuple(lines), tuple(ignored))


def _collect(source: Source, path: Path, lines: list[str], ignored: list[str], depth: int) -> None:
    root = source.folder.resolve()
    if depth > 5 or not path.resolve().is_relative_to(root) or not path.is_file():
        raise PythonEnvError(f"{source.name}: its requirements refer to {path.name}, which is not in its folder")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PythonEnvError(f"{source.name}: {path.name} cannot be read as text: {error}") from error
    for raw in re.sub(r"\\\r?\n", " ", text).splitlines():
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        line = re.sub(r"\s+--hash=\S+", "", line)
        nested = re.fullmatch(r"(?:-r|--requirement)[ =]?\s*(\S+)", line)
        if nested:
            _collect(source, path.parent / nested[1], lines, ignored, depth + 1)
        elif line.startswith("-") or line.startswith((".", "/", "file:")):
            ignored.append(line)
        elif line:
            lines.append(line)


def explain_conflict(message: str, asked: Iterable[Requirements]) -> str:
    """The resolver's words, and under them who asks for what of every package that it mentions by name."""
    mentioned = set(re.findall(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*", message.lower().replace("_", "-")))
    wants: dict[str, list[str]] = {}
    for each in asked:
        for line in each.lines:
            name = _name(line)
            if name and name in mentioned:
                wants.setdefault(name, []).append(f"{each.source} asks for {line}")
    rows = [f"  {name}: {'; '.join(who)}" for name, who in sorted(wants.items())]
    blame = "\nWho asks for it:\n" + "\n".join(rows) if rows else ""
    return f"the Python requirements cannot be met together: {message.strip()}{blame}"


def _name(line: str) -> str:
    match = NAME.match(line)
    return re.sub(r"[-_.]+", "-", match[1]).lower() if match else ""


def _file_name(number: int, source: str) -> str:
    return f"{number:03d}-{re.sub(r'[^A-Za-z0-9._-]', '_', source)}.txt"


def _make_dir(path: Path, account: Account) -> None:
    if path.is_dir():
        return
    path.mkdir(parents=True, exist_ok=True, mode=0o755)
    if os.geteuid() == 0:
        give(path, account.uid, account.gid)


def _write(path: Path, lines: Iterable[str]) -> Path:
    """Replaced, never written through: the account, and so a package that it builds, could have left a link here."""
    put_text(path, "".join(f"{line}\n" for line in lines))
    return path
