# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where ComfyUI looks for each type of model: the file of its option --extra-model-paths-config.

    comfyui:                       any name
      base_path: /srv/shared       what the folders below are relative to
      is_default: true             these folders come before ComfyUI's own
      checkpoints: models/checkpoints
      loras: |                     several folders are lines of one text; a list would crash ComfyUI
        models/loras2
        models/loras

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

TYPE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# ComfyUI would make a type of model of each of these; what they promise they do not do, except custom_nodes, which runs code.
NOT_MODELS = {"custom_nodes", "input", "output", "temp", "user", "workflows"}
OPTIONS = {"base_path", "is_default"}
# Plain words that YAML reads as something other than text.
YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


class ModelPathsError(ValueError):
    """ComfyUI would crash on these paths, or look where it should not; the text lists all that is wrong."""


def check_relative(path: object) -> str:
    """A path that stays below the folder it is joined to, without slashes at its end. Raises ModelPathsError."""
    if not isinstance(path, str):
        raise ModelPathsError(f"a path must be text, not {_kind(path)}")
    if not path or path != path.strip() or CONTROL.search(path):
        raise ModelPathsError(f"{path!r} is no path")
    if path[0] in "/~" or "\\" in path or "$" in path:
        raise ModelPathsError(f"{path!r} is no relative path")
    parts = path.rstrip("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ModelPathsError(f"{path!r} does not lead straight down")
    return "/".join(parts)


def render_model_paths(table: Mapping[str, Sequence[str]], base_path: str) -> str:
    """The file for a table of folders by type, the folder that new models go to first. Raises ModelPathsError."""
    problems = [] if _is_base(base_path) else [f"the base path {base_path!r} is no absolute path"]
    if not isinstance(table, Mapping) or not table:
        raise ModelPathsError("the table of model paths is empty, and ComfyUI crashes on an empty file")
    lines = ["# Written by emprops.comfyui.emprops_shared.", "comfyui:", f"  base_path: {_quoted(base_path)}", "  is_default: true"]
    for name, folders in table.items():
        try:
            lines += _entry(_check_type(name), folders)
        except ModelPathsError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise ModelPathsError("\n".join(problems))
    return "\n".join(lines) + "\n"


def _check_type(name: object) -> str:
    if not isinstance(name, str) or not TYPE_NAME.fullmatch(name) or name.casefold() in YAML_WORDS:
        raise ModelPathsError("this cannot be the name of a type of model")
    if name in NOT_MODELS | OPTIONS:
        raise ModelPathsError("this is no type of model")
    return name


def _entry(name: str, folders: object) -> list[str]:
    listed = folders.split("\n") if isinstance(folders, str) else folders
    if not isinstance(listed, Sequence) or not listed:
        raise ModelPathsError("it has no folder")
    # ComfyUI puts each default folder before those it knows, so the last line becomes the first choice.
    checked = list(reversed(dict.fromkeys(check_relative(folder) for folder in listed)))
    if len(checked) == 1:
        return [f"  {name}: {_quoted(checked[0])}"]
    return [f"  {name}: |", *(f"    {folder}" for folder in checked)]


def _is_base(path: object) -> bool:
    return isinstance(path, str) and path.startswith("/") and not CONTROL.search(path) and "$" not in path


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def check_model_paths(data: Any, base_path: str | None = None) -> list[str]:
    """Warnings about the parsed text of such a file that was written by others. Raises ModelPathsError.

    `base_path` is where the models are, to warn of a file that does not look there.
    """
    if not isinstance(data, dict) or not data:
        raise ModelPathsError(f"the file must hold at least one section, not {_kind(data)}; ComfyUI crashes on it")
    problems: list[str] = []
    warnings: list[str] = []
    bases: list[str] = []
    for section, entries in data.items():
        if not isinstance(entries, dict) or not entries:
            problems.append(f"{section}: a section must hold paths by type, not {_kind(entries)}")
            continue
        for name, value in entries.items():
            where = f"{section}.{name}"
            if name in NOT_MODELS:
                warnings.append(f"{where} is no type of model" + ("; ComfyUI runs the code in there" if name == "custom_nodes" else ""))
            try:
                _check_value(name, value)
            except ModelPathsError as error:
                problems.append(f"{where}: {error}")
        bases.append(str(entries.get("base_path", "")).rstrip("/"))
    if problems:
        raise ModelPathsError("\n".join(problems))
    if base_path and base_path.rstrip("/") not in bases:
        warnings.append(f"no section has {base_path} as its base_path, so the models there are not found")
    return warnings


def _check_value(name: object, value: object) -> None:
    if name == "is_default":
        if not isinstance(value, bool):
            raise ModelPathsError(f"must be true or false, not {_kind(value)}")
        return
    if not isinstance(value, str) or not value.strip():
        raise ModelPathsError(f"must be text with a path, not {_kind(value)}; ComfyUI crashes on it")
    if name == "base_path":
        if not _is_base(value):
            raise ModelPathsError(f"{value!r} is no absolute path")
        return
    if not isinstance(name, str) or not TYPE_NAME.fullmatch(name):
        raise ModelPathsError("this cannot be the name of a type of model")
    for line in value.split("\n"):
        if line:
            check_relative(line)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if value in ("", {}, []):
        return "nothing"
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object", str: "text"}
    return names.get(type(value), type(value).__name__)
