# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The list of custom-node packs, in the owners' shape: `{"custom_nodes": [{"name", "url", …}, …]}`.

    name                    folder below custom_nodes/ (need not be the repository's name)
    url                     repository; also spelt gitUrl, repositoryUrl; a leading `git clone ` is dropped
    branch, commit          what to check out; neither: the default branch
    cnr_id                  instead of a url: a pack of the Comfy registry, `id` or `id@version`
    recursive               with submodules
    requirements            install its Python requirements (default true)
    build_requirements      what its packages need to be built, where they do not say so themselves
    env                     variables for the instances, values may hold ${NAME} of the inventory's secrets
    install_order           packs with a number come first, ascending
    persist                 files and folders of the pack that instances write to and that outlive a release
    skip_install_script     leave its install.py alone
    install_script_network  let its install.py reach the network
    enabled                 false: it stays listed and is in no release
    classes, note           what a catalogue says beside it (see _catalogue.py); they change nothing here

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
CNR = re.compile(r"(?P<id>[A-Za-z0-9][A-Za-z0-9._-]{0,99})(?:@(?P<version>[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}))?")
PERSIST_PART = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.][A-Za-z0-9._+ -]{0,199}")
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
    "cnr_id": "cnr_id",
    "recursive": "recursive",
    "requirements": "requirements",
    "build_requirements": "build_requirements",
    "env": "env",
    "install_order": "install_order",
    "persist": "persist",
    "skip_install_script": "skip_install_script",
    "install_script_network": "install_script_network",
    "enabled": "enabled",
    "classes": "classes",
    "note": "note",
}
SWITCHES = {"recursive": False, "requirements": True, "skip_install_script": False, "install_script_network": False, "enabled": True}


class ManifestError(ValueError):
    """The manifest cannot be used; the text lists every entry that is wrong and why."""


@dataclass(frozen=True)
class Pack:
    """One custom-node pack as it is wanted: of a repository, or (no url) of the Comfy registry."""

    name: str
    url: str = ""
    branch: str | None = None
    commit: str | None = None
    cnr_id: str = ""
    version: str | None = None
    recursive: bool = False
    requirements: bool = True
    build_requirements: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    install_order: int | None = None
    persist: tuple[str, ...] = ()
    skip_install_script: bool = False
    install_script_network: bool = False
    enabled: bool = True


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
    for key in SWITCHES:
        if not isinstance(given.get(key, True), bool):
            raise ValueError(f"{key} must be true or false, got {given[key]!r}")
    order = given.get("install_order")
    if order is not None and (not isinstance(order, int) or isinstance(order, bool)):
        raise ValueError(f"install_order must be a number, got {order!r}")
    for key in ("classes", "persist", "build_requirements"):
        names = given.get(key, [])
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise ValueError(f"{key} must be a list of names, got {names!r}")
    _check_persist(given.get("persist", []))
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
        **_origin(given, protocols),
        **{key: given.get(key, value) for key, value in SWITCHES.items()},
        build_requirements=tuple(given.get("build_requirements", ())),
        env=dict(env),
        install_order=order,
        persist=tuple(given.get("persist", ())),
    )


def _origin(given: Mapping[str, Any], protocols: Sequence[str]) -> dict[str, Any]:
    """Where a pack comes from: a repository at a ref, or a version in the Comfy registry."""
    if "cnr_id" in given:
        others = [key for key in ("url", "branch", "commit", "recursive") if given.get(key)]
        if others:
            raise ValueError(f"it has a cnr_id, so {' and '.join(others)} mean nothing; give one or the other")
        match = CNR.fullmatch(given["cnr_id"]) if isinstance(given["cnr_id"], str) else None
        if not match:
            raise ValueError(f"the cnr_id {given['cnr_id']!r} is not an id or id@version of the Comfy registry")
        return {"cnr_id": match["id"], "version": match["version"]}
    if not isinstance(given.get("url"), str):
        raise ValueError("it has no url")
    branch, commit = given.get("branch"), given.get("commit")
    if branch is not None:
        check_ref(branch if isinstance(branch, str) else "")
    if commit is not None and not (isinstance(commit, str) and COMMIT.fullmatch(commit)):
        raise ValueError(f"the commit {commit!r} is not the full 40 hexadecimal digits")
    return {"url": clean_url(given["url"], protocols), "branch": branch, "commit": commit}


def _check_persist(paths: Sequence[str]) -> None:
    places: list[list[str]] = []
    for path in paths:
        # A slash at the end says that it is a folder.
        parts = path.removesuffix("/").split("/")
        if not all(PERSIST_PART.fullmatch(part) for part in parts) or parts[0].startswith((".git", "__init__.py")):
            raise ValueError(f"persist: {path!r} is no file or folder below the pack's own")
        if any(parts[: len(place)] == place or place[: len(parts)] == parts for place in places):
            raise ValueError(f"persist: {path!r} is in another one of them, or holds it")
        places.append(parts)


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
    more = [pack for pack in needed if pack.name.casefold() not in names and not any(same_origin(pack, one) for one in packs)]
    return in_order([*packs, *more])


def same_origin(one: Any, other: Any) -> bool:
    """Whether two packs, wanted or locked, come from one repository or one entry of the registry."""
    if one.cnr_id or other.cnr_id:
        return bool(one.cnr_id.casefold() == other.cnr_id.casefold())
    return same_repository(one.url, other.url)


def resolve_env(packs: Sequence[Pack], secrets: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """One environment for all packs, and the names that had no value (they become empty).

    `${NAME}` is replaced from `secrets` alone, once; nothing is evaluated. Raises ManifestError where two packs
    want different values of one name: the instances are one process each and can hold only one. Values stay out
    of every message.
    """
    result: dict[str, str] = {}
    owner: dict[str, str] = {}
    unset: set[str] = set()
    for pack in (pack for pack in packs if pack.enabled):
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
