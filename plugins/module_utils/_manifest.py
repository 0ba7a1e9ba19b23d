# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The list of custom-node packs, in the owners' shape: `{"custom_nodes": [{"name", "url", …}, …]}`.

    name              folder below custom_nodes/ (need not be the repository's name)
    url               repository; also spelt gitUrl, repositoryUrl; a leading `git clone ` is dropped
    branch, commit    what to check out; neither: the default branch
    recursive         with submodules
    requirements      install its Python requirements (default true)
    env               variables for the instances, values may hold ${NAME} of the inventory's secrets
    install_order     packs with a number come first, ascending
    classes, note     what a catalogue says beside it (see _catalogue.py); they change nothing here

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._files import environment_line
from ansible_collections.emprops.comfyui.plugins.module_utils._git import COMMIT, GitError, check_ref, clean_url, same_repository

PACK_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+ -]{0,199}(?<![ .])")
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Variables that would change which code or which GPU an instance uses, or where it keeps its files.
RESERVED_VARIABLE = re.compile(
    r"(LD_|PYTHON|CUDA_VISIBLE|CUDA_DEVICE|COMFYUI_|EMPROPS_CONFIG|GIT_|SYSTEMD_)\w*|PATH|HOME|USER|IFS|BASH_ENV|ENV"
)

KEYS = {
    "name": "name",
    "url": "url",
    "gitUrl": "url",
    "repositoryUrl": "url",
    "branch": "branch",
    "commit": "commit",
    "recursive": "recursive",
    "requirements": "requirements",
    "env": "env",
    "install_order": "install_order",
    "classes": "classes",
    "note": "note",
}


class ManifestError(ValueError):
    """The manifest cannot be used; the text lists every entry that is wrong and why."""


@dataclass(frozen=True)
class Pack:
    """One custom-node pack as it is wanted."""

    name: str
    url: str
    branch: str | None = None
    commit: str | None = None
    recursive: bool = False
    requirements: bool = True
    env: Mapping[str, str] = field(default_factory=dict)
    install_order: int | None = None


def parse_manifest(text: str, source: str, protocols: Sequence[str]) -> tuple[list[Pack], list[str]]:
    """Packs and warnings from the text of a manifest file named `source`. Raises ManifestError."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{source} is not JSON: {error}") from error
    if isinstance(data, dict):
        if not isinstance(data.get("custom_nodes"), list):
            raise ManifestError(f"{source} has no list 'custom_nodes'")
        warnings = [f"{source}: unknown key {key!r} beside 'custom_nodes' is ignored" for key in data if key != "custom_nodes"]
        entries = data["custom_nodes"]
    elif isinstance(data, list):
        warnings, entries = [], data
    else:
        raise ManifestError(f"{source} holds neither a list nor an object with 'custom_nodes'")
    packs, more = parse_packs(entries, source, protocols)
    return packs, warnings + more


def parse_packs(entries: Sequence[Any], source: str, protocols: Sequence[str]) -> tuple[list[Pack], list[str]]:
    """Packs in install order, and warnings. Raises ManifestError listing every entry that is wrong."""
    packs: list[Pack] = []
    problems: list[str] = []
    warnings: list[str] = []
    taken: dict[str, int] = {}
    for number, entry in enumerate(entries, start=1):
        where = f"{source}: entry {number}"
        if not isinstance(entry, dict):
            problems.append(f"{where} is no object but {type(entry).__name__}")
            continue
        where = f"{where} ({entry.get('name')!r})"
        warnings += [f"{where}: unknown key {key!r} is ignored" for key in entry if key not in KEYS]
        try:
            pack = _pack(entry, protocols)
        except (ValueError, GitError) as error:
            problems.append(f"{where}: {error}")
            continue
        first = taken.setdefault(pack.name.casefold(), number)
        if first != number:
            problems.append(f"{where}: the name is already that of entry {first}")
        packs.append(pack)
    if problems:
        raise ManifestError("\n".join(problems))
    return in_order(packs), warnings


def in_order(packs: Sequence[Pack]) -> list[Pack]:
    """Packs with a number first, ascending; the others as they stand."""
    numbered = sorted((pack for pack in packs if pack.install_order is not None), key=lambda pack: (pack.install_order or 0, pack.name))
    return numbered + [pack for pack in packs if pack.install_order is None]


def _pack(entry: Mapping[str, Any], protocols: Sequence[str]) -> Pack:
    given: dict[str, Any] = {KEYS[key]: value for key, value in entry.items() if key in KEYS and value is not None}
    name = given.get("name")
    if not isinstance(name, str) or not PACK_NAME.fullmatch(name):
        raise ValueError(f"the name {name!r} cannot be a folder below custom_nodes (one plain name, no path)")
    if not isinstance(given.get("url"), str):
        raise ValueError("it has no url")
    url = clean_url(given["url"], protocols)
    branch, commit = given.get("branch"), given.get("commit")
    if branch is not None:
        check_ref(branch if isinstance(branch, str) else "")
    if commit is not None and not (isinstance(commit, str) and COMMIT.fullmatch(commit)):
        raise ValueError(f"the commit {commit!r} is not the full 40 hexadecimal digits")
    for key in ("recursive", "requirements"):
        if not isinstance(given.get(key, True), bool):
            raise ValueError(f"{key} must be true or false, got {given[key]!r}")
    order = given.get("install_order")
    if order is not None and (not isinstance(order, int) or isinstance(order, bool)):
        raise ValueError(f"install_order must be a number, got {order!r}")
    classes = given.get("classes", [])
    if not isinstance(classes, list) or not all(isinstance(name, str) and name for name in classes):
        raise ValueError(f"classes must be a list of names, got {classes!r}")
    env = given.get("env", {})
    if not isinstance(env, dict):
        raise ValueError("env must be an object of names and values")
    for variable, value in env.items():
        if not VARIABLE_NAME.fullmatch(variable):
            raise ValueError(f"env: {variable!r} is no variable name")
        if RESERVED_VARIABLE.fullmatch(variable):
            raise ValueError(f"env: {variable} decides how an instance runs and is not a pack's to set")
        if not isinstance(value, str):
            raise ValueError(f"env: the value of {variable} must be a string")
    return Pack(
        name=name,
        url=url,
        branch=branch,
        commit=commit,
        recursive=given.get("recursive", False),
        requirements=given.get("requirements", True),
        env=dict(env),
        install_order=order,
    )


def read_manifest(path: str | None, protocols: Sequence[str]) -> tuple[list[Pack], list[str]]:
    """The same from a file; no file named is no packs. Raises ManifestError."""
    if not path:
        return [], []
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"the manifest {path} cannot be read: {error}") from error
    return parse_manifest(text, path, protocols)


def merge_packs(listed: Sequence[Pack], entries: Sequence[Any], protocols: Sequence[str]) -> tuple[list[Pack], list[str]]:
    """The inventory's own packs beside the manifest's; where both have a name, the inventory's stands. Raises ManifestError."""
    own, warnings = parse_packs(entries, "custom_nodes_packs", protocols)
    names = {pack.name.casefold() for pack in own}
    return in_order([*(pack for pack in listed if pack.name.casefold() not in names), *own]), warnings


def add_needed(packs: Sequence[Pack], entries: Sequence[Any], protocols: Sequence[str]) -> list[Pack]:
    """Packs that workflows need beside those that are listed: a listed name or repository stands. Raises ManifestError."""
    needed, _warnings = parse_packs(entries, "the workflows", protocols)
    names = {pack.name.casefold() for pack in packs}
    more = [pack for pack in needed if pack.name.casefold() not in names and not any(same_repository(pack.url, one.url) for one in packs)]
    return in_order([*packs, *more])


def resolve_env(packs: Sequence[Pack], secrets: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """One environment for all packs, and the names that had no value (they become empty).

    `${NAME}` is replaced from `secrets` alone, once; nothing is evaluated. Raises ManifestError where two packs
    want different values of one name: the instances are one process each and can hold only one. Values stay out
    of every message.
    """
    result: dict[str, str] = {}
    owner: dict[str, str] = {}
    unset: set[str] = set()
    for pack in packs:
        for name, template in pack.env.items():
            unset |= {reference for reference in REFERENCE.findall(template) if not secrets.get(reference)}
            value = REFERENCE.sub(lambda match: secrets.get(match[1], ""), template)
            if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
                raise ManifestError(f"the value of {name} for {pack.name} holds a control character or a line break")
            if result.setdefault(name, value) != value:
                raise ManifestError(f"{owner[name]} and {pack.name} want different values of {name}, and an instance can hold only one")
            owner.setdefault(name, pack.name)
    return result, sorted(unset)


def render_env(environment: Mapping[str, str]) -> str:
    """The text of a systemd EnvironmentFile."""
    lines = [environment_line(name, value) for name, value in sorted(environment.items())]
    return "".join(["# Written by emprops.comfyui.custom_nodes.\n", *lines])
