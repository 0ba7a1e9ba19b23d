# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the fork or a pack asks of Python: requirements.txt, else pyproject.toml, else setup.cfg, read and never run.

A pack does not choose where the machine installs from. What becomes of a line:

    name, extras, versions, marker       kept
    -r file                              followed, inside the pack's folder
    -c file                              counts where the pack itself asks for the package
    -e git+https://…#egg=x, git+https://… kept as `x @ git+https://…`, if its host is allowed
    https://….whl                        kept, if its host is allowed
    ./x.whl                              kept, inside the pack's folder
    -e ., .                              what its pyproject.toml or setup.cfg asks for
    --extra-index-url, -f, -i            kept if the inventory allows that index, else left out and said
    --hash                               dropped: the joint resolution has hashes of its own
    other options                        left out and said
    anything else                        refused with the pack's name

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import configparser
import importlib
import os
import re
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ansible_collections.emprops.comfyui.plugins.module_utils._git import GitError, check_host

NESTING = 5
# A line with hashes is long.
LONGEST_LINE = 20_000
MOST_LINES = 2000
LARGEST_FILE = 512 * 1024

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_EXTRAS = r"(?:\s*\[[A-Za-z0-9._,\s-]*\])?"
_VERSION = r"(?:===|~=|==|!=|<=|>=|<|>)\s*[A-Za-z0-9.*+!_-]+"
_VERSIONS = rf"(?:\s*\(?\s*{_VERSION}(?:\s*,\s*{_VERSION})*\s*,?\s*\)?)?"
_PLAIN = re.compile(rf"(?P<name>{_NAME}){_EXTRAS}{_VERSIONS}\s*(?:;.*)?")
_AT = re.compile(rf"(?P<name>{_NAME}){_EXTRAS}\s*@\s*(?P<url>\S+)\s*(?P<marker>;.*)?")
_OPTION = re.compile(r"(?P<option>--[A-Za-z][A-Za-z-]*|-[A-Za-z])(?:\s*=\s*|\s*)(?P<value>.*)")
_URL = re.compile(r"(?P<url>(?:git\+)?[a-z+]+://[^\s;]+)\s*(?P<marker>;.*)?", re.IGNORECASE)
_WHEEL = re.compile(rf"(?P<name>{_NAME})-[^-/]+(?:-\d[^-/]*)?-[^-/]+-[^-/]+-[^-/]+\.whl")
_INDEXES = ("-i", "--index-url", "--extra-index-url", "-f", "--find-links")


class RequirementsError(Exception):
    """What a pack asks for cannot be read or is refused; the text names the pack."""


@dataclass(frozen=True)
class Rules:
    """What lines may refer to: hosts of files and repositories, and package indexes."""

    hosts: Sequence[str] | None = ()
    indexes: Sequence[str] = ()


@dataclass(frozen=True)
class Source:
    """Somebody who asks for Python packages: the fork or a pack."""

    name: str
    folder: Path
    build_requirements: tuple[str, ...] = ()
    # Whose files they must be (a uid); root would read through a link whatever lies behind it.
    owner: int | None = None


@dataclass(frozen=True)
class Requirements:
    """What one source asks for, cleaned; the indexes that it was allowed; and what became of lines, in words."""

    source: str
    lines: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    build_requirements: tuple[str, ...] = ()


@dataclass
class _Reader:
    source: Source
    rules: Rules
    lines: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    count: int = 0

    def note(self, text: str) -> None:
        self.notes.append(f"{self.source.name}: {text}")

    def refuse(self, text: str) -> RequirementsError:
        return RequirementsError(f"{self.source.name}: {text}")


def read_requirements(source: Source, rules: Rules | None = None) -> Requirements:
    """The requirements of a fork or pack. Raises RequirementsError."""
    reader = _Reader(source, rules or Rules())
    folder = source.folder
    try:
        if (folder / "requirements.txt").is_file():
            _read_file(reader, folder / "requirements.txt", 0)
        elif not _read_project(reader) and (folder / "setup.py").is_file():
            reader.note("its setup.py is not run; requirements.txt would say what it needs")
    except (ValueError, TypeError, RuntimeError, OSError) as error:  # what hostile text makes of paths, addresses and tables
        raise reader.refuse(f"its requirements cannot be read: {error}") from error
    wanted = {name_of(line) for line in reader.lines}
    kept = [line for line in reader.constraints if name_of(line) in wanted]
    lines = tuple(dict.fromkeys([*reader.lines, *kept]))
    return Requirements(source.name, lines, tuple(reader.indexes), tuple(reader.notes), source.build_requirements)


def name_of(line: str) -> str:
    """The package that a requirement line is about, as indexes spell it; empty for what is none."""
    match = re.match(rf"\s*({_NAME})", line)
    return normal(match[1]) if match else ""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _text(reader: _Reader, path: Path) -> str:
    root, real = reader.source.folder.resolve(), path.resolve()
    if not real.is_relative_to(root) or not real.is_file():
        raise reader.refuse(f"its requirements refer to {path.name}, which is not in its folder")
    try:
        # What it is may change between two looks.
        handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            state = os.fstat(handle)
            if not stat.S_ISREG(state.st_mode) or reader.source.owner not in (None, state.st_uid):
                raise reader.refuse(f"{path.name} is not a file of its own")
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise reader.refuse(f"{path.name} is longer than anybody writes requirements")
        return content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise reader.refuse(f"{path.name} cannot be read as text: {error}") from error


def _read_file(reader: _Reader, path: Path, depth: int, *, as_constraints: bool = False) -> None:
    if depth > NESTING:
        raise reader.refuse(f"its requirements refer to {path.name} in a circle, or more than {NESTING} files deep")
    for raw in _text(reader, path).replace("\\\r\n", " ").replace("\\\n", " ").splitlines():
        reader.count += 1
        if len(raw) > LONGEST_LINE or reader.count > MOST_LINES:
            raise reader.refuse(f"{path.name} is longer than anybody writes requirements")
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        if line:
            _read_line(reader, re.sub(r"\s--hash[= ]\S+", "", line).rstrip(), path, depth, as_constraints)


def _read_line(reader: _Reader, line: str, path: Path, depth: int, as_constraints: bool) -> None:
    into = reader.constraints if as_constraints else reader.lines
    if not line.startswith("-"):
        into += _requirement(reader, line, path)
        return
    match = _OPTION.fullmatch(line)
    option, value = (match["option"], match["value"].strip().strip("\"'")) if match else (line, "")
    if option in ("-r", "--requirement"):
        _read_file(reader, path.parent / value, depth + 1, as_constraints=as_constraints)
    elif option in ("-c", "--constraint"):
        _read_file(reader, path.parent / value, depth + 1, as_constraints=True)
    elif option in ("-e", "--editable"):
        into += _requirement(reader, value, path)
    elif option in _INDEXES and value.rstrip("/") in {allowed.rstrip("/") for allowed in reader.rules.indexes}:
        reader.indexes.append(value)
    elif option in _INDEXES:
        reader.note(f"the line {line!r} of its requirements is ignored; custom_nodes_allowed_indexes could allow that index")
    else:
        reader.note(f"the line {line!r} of its requirements is ignored")


def _requirement(reader: _Reader, line: str, path: Path) -> list[str]:
    """The line as it goes to the resolver; none or several where it stands for something else. Raises RequirementsError."""
    if re.fullmatch(r"\.(\[[^]]*\])?/?", line):
        _read_project(reader)
        return []
    if at := _AT.fullmatch(line):
        return [f"{line[: at.start('url')].strip()} {_address(reader, at['url'])}{' ' + at['marker'] if at['marker'] else ''}"]
    if url := _URL.fullmatch(line):
        return [" ".join(filter(None, (_unnamed(reader, url["url"]), url["marker"])))]
    if _PLAIN.fullmatch(line):
        return [line]
    if line.startswith((".", "/", "file:")) or line.endswith((".whl", ".zip", ".tar.gz")):
        return [_local(reader, line, path.parent)]
    raise reader.refuse(f"the line {line!r} of {path.name} is no requirement")


def _address(reader: _Reader, url: str) -> str:
    """A file or repository that a requirement names. Raises RequirementsError."""
    parts = urlsplit(url.removeprefix("git+"))
    if url.startswith("file:") or not parts.scheme:
        return "file://" + str(_inside(reader, unquote(parts.path), reader.source.folder))
    good = ("https", "ssh") if url.startswith("git+") else ("https",)
    if parts.scheme not in good:
        raise reader.refuse(f"its requirements name {_shown(url)}; allowed are https, git+https and git+ssh")
    if parts.password or (parts.username and parts.scheme == "https"):
        raise reader.refuse(f"its requirements name an address of {parts.hostname} with a user name or password in it")
    try:
        check_host(f"{parts.scheme}://{parts.netloc}/", reader.rules.hosts)
    except GitError as error:
        raise reader.refuse(f"its requirements name {_shown(url)}: {error}") from error
    return url


def _unnamed(reader: _Reader, line: str) -> str:
    """`git+https://…#egg=x` and `https://…/x-1-py3-none-any.whl` carry their name somewhere."""
    url = _address(reader, line.partition("#")[0])
    egg = re.search(rf"#(?:.*&)?egg=({_NAME})", line)
    wheel = _WHEEL.fullmatch(unquote(urlsplit(url).path.rpartition("/")[2]))
    subfolder = re.search(r"#(?:.*&)?(subdirectory=[A-Za-z0-9._/-]+)", line)
    whole = f"{url}#{subfolder[1]}" if subfolder else url
    name = egg[1] if egg else wheel["name"] if wheel else None
    return f"{name} @ {whole}" if name else whole


def _local(reader: _Reader, line: str, beside: Path) -> str:
    place = _inside(reader, unquote(urlsplit(line).path) if line.startswith("file:") else line.partition(" ")[0], beside)
    wheel = _WHEEL.fullmatch(place.name)
    return f"{wheel['name']} @ file://{place}" if wheel else f"file://{place}"


def _inside(reader: _Reader, path: str, beside: Path) -> Path:
    place = (beside / path).resolve()
    if not place.is_relative_to(reader.source.folder.resolve()) or not place.exists():
        raise reader.refuse(f"its requirements name {path}, which is not in its folder")
    return place


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


# --- files that declare a project --------------------------------------------------------------------------------


def _read_project(reader: _Reader) -> bool:
    """What pyproject.toml asks for, else setup.cfg; whether either says anything. Raises RequirementsError."""
    folder = reader.source.folder
    readers: list[tuple[str, Callable[[_Reader, Path], bool]]] = [("pyproject.toml", _read_pyproject), ("setup.cfg", _read_setup_cfg)]
    return any((folder / name).is_file() and read(reader, folder / name) for name, read in readers)


def _read_pyproject(reader: _Reader, path: Path) -> bool:
    try:
        data = _parse_toml(_text(reader, path))
    except ValueError as error:
        raise reader.refuse(f"pyproject.toml cannot be read: {error}") from error
    project, tool = _table(data, "project"), _table(data, "tool")
    if "dependencies" in project:
        _take(reader, project["dependencies"], path)
        return True
    dynamic = _table(_table(_table(tool, "setuptools"), "dynamic"), "dependencies")
    if "dependencies" in (project.get("dynamic") or ()) and dynamic.get("file"):
        files = dynamic["file"]
        for name in [files] if isinstance(files, str) else files:
            _read_file(reader, path.parent / str(name), 1)
        return True
    if _table(_table(tool, "poetry"), "dependencies"):
        reader.note("what its pyproject.toml says to poetry is not read; requirements.txt would be")
    return False


def _table(data: Any, key: str) -> dict[str, Any]:
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, dict) else {}


def _take(reader: _Reader, lines: Any, path: Path) -> None:
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise reader.refuse(f"the dependencies in {path.name} are no list of texts")
    for line in lines:
        _read_line(reader, line.strip(), path, 0, False)


def _read_setup_cfg(reader: _Reader, path: Path) -> bool:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(_text(reader, path))
    except configparser.Error as error:
        raise reader.refuse(f"setup.cfg cannot be read: {error}") from error
    text = parser.get("options", "install_requires", fallback="").strip()
    if text.startswith("file:"):
        for name in text.removeprefix("file:").split(","):
            _read_file(reader, path.parent / name.strip(), 1)
    else:
        _take(reader, [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")], path)
    return bool(text)


def _parse_toml(text: str) -> dict[str, Any]:
    """Raises ValueError, also where this Python has no reader of TOML (3.10 without pip)."""
    for name in ("tomllib", "tomli", "pip._vendor.tomli"):
        with suppress(ImportError):
            reader = importlib.import_module(name)
            break
    else:
        raise ValueError("this Python has no reader of TOML; python3-pip brings one")
    try:
        data: dict[str, Any] = reader.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    return data
