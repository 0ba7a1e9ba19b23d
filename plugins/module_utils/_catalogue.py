# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the operator knows about packs and models; it outranks what a workflow claims.

    custom_nodes   packs as in the manifest (see _manifest.py), each with the node classes it has, where that must be said
    models         name, directory, url, sha256, size; only the first two are needed
    accepted       classes, or models as directory/name, that may stay unresolved: names, or {name, note}

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._git import PROTOCOLS
from ansible_collections.emprops.comfyui.plugins.module_utils._manifest import ManifestError, parse_packs
from ansible_collections.emprops.comfyui.plugins.module_utils._model_url import DownloadError, parse_wanted_url
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import check_directory, check_model_name

SECTIONS = ("custom_nodes", "models", "accepted")
MODEL_KEYS = ("name", "directory", "url", "sha256", "size", "note")
SHA256 = re.compile(r"[0-9a-fA-F]{64}")
# Names under which ComfyUI, or a pack that loads another format, searches one and the same type of model.
ALIASES = {
    "clip": "text_encoders",
    "clip_gguf": "text_encoders",
    "unet": "diffusion_models",
    "unet_gguf": "diffusion_models",
    "t2i_adapter": "controlnet",
}


class CatalogueError(ValueError):
    """The catalogue cannot be used; the text lists every entry that is wrong and why."""


@dataclass(frozen=True)
class CataloguePack:
    name: str
    url: str
    classes: tuple[str, ...]
    entry: Mapping[str, Any]


@dataclass(frozen=True)
class CatalogueModel:
    name: str
    directory: str
    url: str | None = None
    sha256: str | None = None
    size: int | None = None

    @property
    def path(self) -> str:
        return model_path(self.directory, self.name)


class Catalogue:
    """The parsed lists, and the questions that are asked of them."""

    def __init__(
        self,
        packs: Sequence[CataloguePack] = (),
        models: Sequence[CatalogueModel] = (),
        accepted: Sequence[str] = (),
        warnings: Sequence[str] = (),
    ) -> None:
        self.packs = tuple(packs)
        self.models = tuple(models)
        self.accepted = tuple(accepted)
        self.warnings = tuple(warnings)
        self._by_name = {pack.name.casefold(): pack for pack in packs}
        self._by_class = {name: pack for pack in packs for name in pack.classes}
        self._by_path = {model.path: model for model in models}
        self._accepted = {*accepted, *(model_path("", name) for name in accepted)}

    def pack_named(self, name: str) -> CataloguePack | None:
        return self._by_name.get(name.casefold())

    def pack_for_class(self, class_name: str) -> CataloguePack | None:
        return self._by_class.get(class_name)

    def model(self, directory: str, name: str) -> CatalogueModel | None:
        """The very file, however its folder and name share the path between them."""
        return self._by_path.get(model_path(directory, name))

    def models_named(self, name: str) -> tuple[CatalogueModel, ...]:
        """Every model whose file has this name, whatever folder it is in."""
        wanted = _file_name(name)
        return tuple(model for model in self.models if _file_name(model.name) == wanted)

    def accepts(self, name: str) -> bool:
        """Whether this class, or this model as directory/name, may stay unresolved."""
        return name in self._accepted or model_path("", name) in self._accepted


def same_directory(one: str, other: str) -> bool:
    """Whether ComfyUI searches one type of model under both names; what is below the first part must be equal."""
    return model_path(one, "") == model_path(other, "")


def model_path(directory: str, name: str) -> str:
    """One spelling for a model's place below the models folder: ("clip", "a\\\\b") and ("text_encoders/a", "b") are the same."""
    parts = [part for part in f"{directory}/{name}".replace("\\", "/").split("/") if part]
    return "/".join([*(ALIASES.get(part, part) for part in parts[:1]), *parts[1:]])


def parse_catalogue(data: Mapping[str, Any], protocols: Sequence[str] = PROTOCOLS) -> Catalogue:
    """Check a whole catalogue. Raises CatalogueError."""
    problems: list[str] = []
    warnings = [f"the catalogue's key {key!r} is ignored; known are {', '.join(SECTIONS)}" for key in data if key not in SECTIONS]
    lists: dict[str, list[Any]] = {}
    for section in SECTIONS:
        # A section whose rows are all comments is null in YAML.
        value = data.get(section)
        lists[section] = list(value) if isinstance(value, (list, tuple)) else []
        if value is not None and not isinstance(value, (list, tuple)):
            problems.append(f"the catalogue's {section} is no list but {type(value).__name__}")
    packs, more = _packs(lists["custom_nodes"], protocols, problems)
    models = _models(lists["models"], problems, warnings)
    accepted = _accepted(lists["accepted"], problems)
    if problems:
        raise CatalogueError("\n".join(["the catalogue cannot be used:", *problems]))
    return Catalogue(packs, models, accepted, [*warnings, *more])


def parse_model(entry: Mapping[str, Any]) -> CatalogueModel:
    """One row of `models`. Raises ValueError with what is wrong with it."""
    for key in ("name", "directory"):
        if not isinstance(entry.get(key), str):
            raise ValueError(f"it has no {key}")
    for key in ("url", "sha256"):
        if not isinstance(entry.get(key) or "", str):
            raise ValueError(f"its {key} is no text")
    url, sha256, size = entry.get("url") or None, entry.get("sha256") or None, entry.get("size")
    if sha256 is not None and not SHA256.fullmatch(sha256):
        raise ValueError("its sha256 is not 64 hexadecimal digits")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size <= 0):
        raise ValueError("its size is not a number of bytes")
    if url is not None:
        try:
            parse_wanted_url(url)
        except DownloadError as error:
            raise ValueError(str(error)) from None
    return CatalogueModel(
        check_model_name(entry["name"]), check_directory(entry["directory"]), url, sha256.lower() if sha256 else None, size
    )


def _packs(entries: list[Any], protocols: Sequence[str], problems: list[str]) -> tuple[list[CataloguePack], list[str]]:
    try:
        parsed, warnings = parse_packs(entries, "the catalogue's custom_nodes", protocols)
    except ManifestError as error:
        problems.append(str(error))
        return [], []
    given = {entry["name"]: entry for entry in entries}
    packs = [CataloguePack(pack.name, pack.url, tuple(given[pack.name].get("classes") or ()), given[pack.name]) for pack in parsed]
    owner: dict[str, str] = {}
    for pack in packs:
        for name in pack.classes:
            if owner.setdefault(name, pack.name) != pack.name:
                problems.append(f"the catalogue says of the class {name!r} both that {owner[name]} has it and that {pack.name} has it")
    return packs, warnings


def _models(entries: list[Any], problems: list[str], warnings: list[str]) -> list[CatalogueModel]:
    models: dict[str, CatalogueModel] = {}
    for number, entry in enumerate(entries, start=1):
        where = f"the catalogue's models: entry {number}"
        if not isinstance(entry, Mapping):
            problems.append(f"{where} is no object but {type(entry).__name__}")
            continue
        where = f"{where} ({entry.get('name')!r})"
        warnings += [f"{where}: unknown key {key!r} is ignored" for key in entry if key not in MODEL_KEYS]
        try:
            model = parse_model(entry)
        except ValueError as error:
            problems.append(f"{where}: {error}")
            continue
        first = models.setdefault(model.path, model)
        if (first.url, first.sha256, first.size) != (model.url, model.sha256, model.size):
            problems.append(f"{where}: {model.path} is in the catalogue twice, and not as the same file")
    return list(models.values())


def _accepted(entries: list[Any], problems: list[str]) -> list[str]:
    names = [entry.get("name") if isinstance(entry, Mapping) else entry for entry in entries]
    problems += [
        f"the catalogue's accepted: entry {number} has no name"
        for number, name in enumerate(names, start=1)
        if not isinstance(name, str) or not name
    ]
    return [name for name in names if isinstance(name, str)]


def _file_name(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]
