# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The model files that the nodes of a workflow name: in which folder each is looked for, and where the workflow says it comes from.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from ansible_collections.emprops.comfyui.plugins.module_utils._core_nodes import FRONTEND_ONLY
from ansible_collections.emprops.comfyui.plugins.module_utils._data.pack_loaders import AUTO
from ansible_collections.emprops.comfyui.plugins.module_utils._model_inputs import (
    IMPLICIT,
    LONGEST_NAME,
    canonical,
    folder_by_input,
    folders_of,
    is_known_builtin,
    is_searched,
    looks_like_model,
    widgets_of,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_graph import Graph, Node, is_link
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import (
    CheckedUrl,
    RefusedError,
    check_directory,
    check_model_name,
    check_url,
    looks_like_secret,
    printable,
)

# Longer texts are embedded pictures and the like.
LONGEST_TEXT = 65536
LONGEST_TAG = 255

NOTES = frozenset({"Note", "MarkdownNote"})
DOWNLOADER = "EmProps_Asset_Downloader"
_DOWNLOADER_ORDER = ("url", "save_to", "filename", "token_provider", "token")

_EMBEDDING = re.compile(r"embedding:([^\s,():]+)")
_LORA_TAG = re.compile(r"<lora:([^:<>\n]+)[:>]")
_ADDRESS = re.compile(r"https?://[^\s<>()\[\]\"'`|*]+")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")

# Workflows repeat each other.
_check_name = functools.lru_cache(maxsize=4096)(check_model_name)
_check_directory = functools.lru_cache(maxsize=1024)(check_directory)
_looks_like_secret = functools.lru_cache(maxsize=4096)(looks_like_secret)
_check_url = functools.lru_cache(maxsize=4096)(check_url)

Say = Callable[[str, str, str, str], None]


@dataclass
class ModelUse:
    """One place of a workflow that names a model.

    directory   below the model store; None where nothing says it
    sure        the folder is known from the loader's source or was declared, not guessed from an input's name
    url         the workflow's own claim, checked
    source      who claims it: workflow (`models` of the node or the file), downloader, value
    refused     why the name cannot be used
    """

    name: str
    directory: str | None
    node: str
    active: bool
    sure: bool = True
    url: str | None = None
    sha256: str | None = None
    source: str = "none"
    refused: str = ""
    warning: str = ""


class ModelReader:
    """Reads one document. `folder_of_combo` says, by class and input, which folder a running instance offers files of."""

    def __init__(
        self,
        graph: Graph,
        say: Say,
        *,
        allowed_hosts: Sequence[str],
        allow_renames: bool,
        folder_of_combo: Callable[[str, str], str | None],
    ) -> None:
        self._say = say
        self._allowed_hosts = tuple(allowed_hosts)
        self._allow_renames = allow_renames
        self._folder_of_combo = folder_of_combo
        self._of_document = _declared(graph.document.data.get("models")) if graph.document.kind == "ui" else {}

    def read(self, nodes: Sequence[Node]) -> Iterator[ModelUse]:
        for node in nodes:
            if node.values or node.promoted:
                if node.type == DOWNLOADER:
                    yield from self._read_downloader(node)
                elif node.type not in FRONTEND_ONLY:
                    yield from self._read_node(node)

    def _read_node(self, node: Node) -> Iterator[ModelUse]:
        folders = folders_of(node.type)
        if node.type in IMPLICIT:
            self._say("implicit_models", "info", f"{node.type}: {IMPLICIT[node.type]}, which the workflow does not name", node.id)
        if folders is not None:
            yield from self._read_loader(node, folders)
        elif node.type in AUTO:
            self._say("fetches_itself", "info", f"{printable(node.type)} downloads its models when it runs: {AUTO[node.type]}", node.id)
        elif not is_known_builtin(node.type):
            yield from self._read_stranger(node)
        yield from self._read_texts(node)

    def _read_loader(self, node: Node, folders: Mapping[str, tuple[str, ...]]) -> Iterator[ModelUse]:
        """A class whose inputs are known."""
        declared = _declared(node.properties.get("models"))
        links = {name: origin for name, origin in node.links().items() if _input(name, folders)}
        for name, value, choices in self._loader_values(node, folders):
            if name in links:
                if _is_model(value):
                    self._say_stale(node, name, value)
            elif isinstance(value, dict):
                yield from self._read_entry(node, value, choices, declared)
            else:
                known = not name or bool(_input(name, folders))
                yield from self._use(node, value, choices, declared, sure=known, active=_is_enabled(node, name))
        for name, origin in links.items():
            if origin is not None:
                yield from self._read_origin(node, origin, _input(name, folders), declared)

    def _loader_values(self, node: Node, folders: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
        named = node.named_values(widgets_of(node.type))
        found = [(name, value, choices) for name, value in named.items() if (choices := _input(name, folders)) and not is_link(value)]
        if isinstance(node.values, list) and not any(_is_model(value) for _name, value, _folders in found):
            # No order is known, or the class had another one when this was saved.
            strings = [value for value in node.values if _is_model(value)]
            entries = [value for value in node.values if isinstance(value, dict)]
            choices = next(iter(folders.values()))
            if (strings or entries) and all(other == choices for other in folders.values()):
                found = [("", value, choices) for value in [*strings, *entries]]
            elif len(strings) == len(folders):
                found = [(name, value, folders[name]) for name, value in zip(folders, strings, strict=True)]
        elif isinstance(node.values, dict):
            found += [("", value, next(iter(folders.values()))) for value in node.values.values() if isinstance(value, dict)]
        if not is_known_builtin(node.type):
            # A pack may have called its inputs otherwise when this was saved.
            strays = {name: value for name, value in named.items() if _is_model(value) and not _input(name, folders)}
            found += [(name, value, _guess(name, node.type, folders)) for name, value in strays.items()]
        yield from found

    def _read_entry(
        self, node: Node, entry: Mapping[str, Any], folders: tuple[str, ...], declared: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[ModelUse]:
        """A row of a list of LoRAs, which can be switched off: {lora, on} or {name, active}."""
        if "lora" in entry:
            yield from self._use(node, entry["lora"], folders, declared, sure=True, active=entry.get("on") is not False)
        elif isinstance(entry.get("active"), bool) and isinstance(entry.get("name"), str) and "strength" in entry:
            for use in self._use_tag(node, entry["name"], "loras"):
                use.active = node.active and entry["active"]
                yield use

    def _read_origin(
        self, node: Node, origin: Node, folders: tuple[str, ...], declared: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[ModelUse]:
        """A name that comes along a link: what the text nodes at its other end hold."""
        if folders_of(origin.type) is not None or origin.type == DOWNLOADER:
            return
        for value in _strings(origin):
            if len(value) <= LONGEST_TEXT:
                for name in _names_in(value):
                    yield from self._use(node, name, folders, declared, sure=False)

    def _read_stranger(self, node: Node) -> Iterator[ModelUse]:
        """A class that nobody told us about: file names are known by their look, folders by what the input is called."""
        values = node.values
        pairs: list[tuple[str, Any]]
        if isinstance(values, list):
            if not (node.promoted or node.compiled) and not _may_name_models(values):
                return
            pairs = list(node.named_values().items()) if node.names() else [("", value) for value in values]
        else:
            pairs = list(node.named_values().items())
        declared = _declared(node.properties.get("models"))
        links: Mapping[str, Node | None] | None = None
        for name, value in pairs:
            if isinstance(value, dict):
                yield from self._read_entry(node, value, ("loras",), declared)
            elif _is_model(value) and len(_names_in(value)) == 1 and "embedding:" not in value:
                links = node.links() if links is None else links
                if name in links:
                    self._say_stale(node, name, value)
                    continue
                live = self._folder_of_combo(node.type, name)
                folder = live or folder_by_input(name, node.type)
                yield from self._use(node, value, (folder,) if folder else (), declared, sure=bool(live))

    def _say_stale(self, node: Node, name: str, value: str) -> None:
        self._say("stale_value", "info", printable(f"{node.type}.{name} shows {value!r}, and another node's value is used"), node.id)

    def _read_texts(self, node: Node) -> Iterator[ModelUse]:
        for value in _strings(node):
            if "embedding:" in value:
                for match in _EMBEDDING.finditer(value[:LONGEST_TEXT]):
                    yield from self._use_tag(node, match[1], "embeddings")
            if "<lora:" in value and not is_known_builtin(node.type):
                for match in _LORA_TAG.finditer(value[:LONGEST_TEXT]):
                    yield from self._use_tag(node, match[1], "loras")

    def _read_downloader(self, node: Node) -> Iterator[ModelUse]:
        values = node.named_values(_order_of_downloader(node))
        links = node.links()
        name, directory, url = values.get("filename"), values.get("save_to"), values.get("url")
        if not (isinstance(name, str) and isinstance(directory, str) and name.strip()) or "filename" in links or "save_to" in links:
            return
        use = self._named(node, name, (directory,), sure=True)
        if not use.refused and isinstance(url, str) and url.strip() and "url" not in links:
            self._claim(use, url, "downloader", None)
        yield use

    def _use(
        self,
        node: Node,
        value: Any,
        folders: tuple[str, ...],
        declared: Mapping[str, Mapping[str, Any]],
        *,
        sure: bool,
        active: bool = True,
    ) -> Iterator[ModelUse]:
        if not isinstance(value, str) or len(value) > LONGEST_NAME:
            return
        value = value.strip()
        if "://" in value:
            yield from self._use_address(node, value, folders, active)
            return
        if not looks_like_model(value):
            if value.startswith(("taesd", "taef")) and "vae" in folders:
                words = f"{value} needs vae_approx/{value}_encoder.* and {value}_decoder.*, which the workflow does not name"
                self._say("implicit_models", "info", printable(words), node.id)
            return
        entry = declared.get(value) or declared.get(value.replace("\\", "/").rpartition("/")[2]) or self._of_document.get(value)
        folder = self._declared_folder(node, entry, folders) if entry else None
        if entry and "directory" in entry and folder is None:
            entry = None  # it is about another file
        use = self._named(node, value, (folder,) if folder else folders, sure=sure or folder is not None)
        use.active = node.active and active
        if entry and not use.refused:
            self._claim(use, entry.get("url"), "workflow", _sha256(entry))
        yield use

    def _use_tag(self, node: Node, name: str, folder: str) -> Iterator[ModelUse]:
        """A name inside a text, mostly without its ending."""
        name = name.strip(" .")
        if 0 < len(name) <= LONGEST_TAG:
            use = self._named(node, name, (folder,), sure=True)
            use.warning = "" if looks_like_model(name) else f"the ending is not said; ComfyUI takes any {folder[:-1]} of this name"
            yield use

    def _use_address(self, node: Node, value: str, folders: tuple[str, ...], active: bool) -> Iterator[ModelUse]:
        """An address where a name should be, as some hosts allow."""
        checked = self._checked(value, node.id)
        name = checked.file_name if checked else None
        if name is None or not looks_like_model(name):
            use = ModelUse(printable(value), None, node.id, node.active and active)
            use.refused = "an address stands where a file name should, and no name is in it" if checked else "its address is refused"
            yield use
            return
        use = self._named(node, name, folders, sure=bool(folders))
        use.active = node.active and active
        use.url, use.source = checked.url if checked else None, "value"
        yield use

    def _named(self, node: Node, name: str, folders: tuple[str, ...], *, sure: bool) -> ModelUse:
        use = ModelUse(name, None, node.id, node.active, sure)
        try:
            use.name = _check_name(name)
        except RefusedError as error:
            use.name, use.refused = printable(name), str(error)
            self._say("refused_name", "error", f"the model name {printable(name)!r} is refused: {error}", node.id)
            return use
        if folders:
            folder = _choose(folders, use.name).strip().removeprefix("models/")
            try:
                use.directory = canonical(_check_directory(folder))
            except RefusedError as error:
                use.refused = f"its folder is refused: {error}"
                self._say("refused_directory", "error", f"the folder {printable(folder)!r} of {use.name} is refused: {error}", node.id)
                return use
            if not is_searched(use.directory):
                self._say("unsearched_directory", "warning", f"{use.name} is put in {use.directory}, where ComfyUI does not look", node.id)
        return use

    def _declared_folder(self, node: Node, entry: Mapping[str, Any], folders: tuple[str, ...]) -> str | None:
        """The folder that the workflow declares, unless the loader would not find the file there."""
        folder = entry.get("directory")
        if not isinstance(folder, str) or not folder.strip():
            return None
        try:
            found = canonical(_check_directory(folder))
        except RefusedError as error:
            self._say("refused_directory", "error", f"the folder {printable(folder)!r} is refused: {error}", node.id)
            return None
        searched = {canonical(choice).partition("/")[0] for choice in folders}
        if searched and found.partition("/")[0] not in searched:
            words = f"{printable(node.type)} looks in {', '.join(sorted(searched))}, and not in {found}, which the workflow declares"
            self._say("unsearched_directory", "warning", words, node.id)
            return None
        return found

    def _claim(self, use: ModelUse, url: Any, source: str, sha256: str | None) -> None:
        """Take the workflow's word for where a file comes from, as far as it can be taken."""
        use.sha256 = sha256
        if not isinstance(url, str) or not url.strip():
            return
        checked = self._checked(url, use.node)
        if checked is None:
            return
        wanted = use.name.rpartition("/")[2]
        if checked.file_name not in (None, wanted) and sha256 is None and not self._allow_renames:
            words = f"the address of {printable(checked.file_name or '')} is saved as {wanted}: it is not used"
            self._say("renamed_url", "warning", words, use.node)
            use.warning = "the workflow gives the address of another file's name"
            return
        use.url, use.source = checked.url, source

    def _checked(self, url: str, node: str) -> CheckedUrl | None:
        try:
            checked = _check_url(url, self._allowed_hosts)
        except RefusedError as error:
            self._say("refused_url", "warning", f"the address {printable(url)} is refused: {error}", node)
            return None
        if checked.secret_removed:
            self._say("token", "error", f"the address {printable(checked.url)} carried a secret: remove it from the workflow", node)
        return checked


def find_secrets(nodes: Sequence[Node], say: Say) -> None:
    """Tokens that somebody left in a widget; their values are never repeated."""
    for node in nodes:
        if node.type == DOWNLOADER:
            named: Iterable[tuple[str, Any]] = node.named_values(_order_of_downloader(node)).items()
        elif isinstance(node.values, list) and not is_known_builtin(node.type):
            names = node.names() or itertools.repeat("")
            named = zip(names, node.values, strict=False)
        elif isinstance(node.values, dict):
            named = node.values.items()
        else:
            named = [("", value) for value in _strings(node) if len(value) >= 16]
        if named and any(_is_secret(name, value) for name, value in named):
            words = f"{printable(node.type)} holds what looks like a secret: remove it from the workflow, and have it replaced"
            say("token", "error", words, node.id)


def note_texts(nodes: Sequence[Node]) -> Iterator[str]:
    """What people wrote beside the nodes."""
    for node in nodes:
        if node.type in NOTES:
            yield from _strings(node)


def addresses_in(texts: Iterator[str]) -> Iterator[str]:
    """The web addresses in texts for people."""
    for text in texts:
        if "://" in text:
            for match in _ADDRESS.finditer(text[:LONGEST_TEXT]):
                yield match[0].rstrip(".,;:!_")


def _declared(models: Any) -> dict[str, Mapping[str, Any]]:
    if not isinstance(models, list):
        return {}
    return {entry["name"]: entry for entry in models if isinstance(entry, dict) and isinstance(entry.get("name"), str)}


def _may_name_models(values: Sequence[Any]) -> bool:
    for value in values:
        kind = type(value)
        if kind is dict or (kind is str and looks_like_model(value)):
            return True
    return False


def _is_secret(name: str, value: Any) -> bool:
    # Without a name that says so, only long ones are told by their shape.
    return type(value) is str and (8 if name else 16) <= len(value) <= LONGEST_NAME and _looks_like_secret(name, value)


def _order_of_downloader(node: Node) -> Sequence[str] | None:
    return None if isinstance(node.values, dict) else _DOWNLOADER_ORDER


def _sha256(entry: Mapping[str, Any]) -> str | None:
    digest, kind = entry.get("hash"), entry.get("hash_type", "SHA256")
    if isinstance(digest, str) and _SHA256.fullmatch(digest) and isinstance(kind, str) and kind.upper() == "SHA256":
        return digest.lower()
    return None


def _is_model(value: Any) -> TypeGuard[str]:
    return type(value) is str and looks_like_model(value)


def _guess(name: str, class_name: str, folders: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The folder of an input that a known class has had, or has by now: the only one of the class, else what it is called."""
    choices = set(folders.values())
    folder = folder_by_input(name, class_name)
    return choices.pop() if len(choices) == 1 else (folder,) if folder else ()


def _is_enabled(node: Node, name: str) -> bool:
    """A row of a growing list of inputs can have a switch ("loras.0.enabled")."""
    row, dot, _input_name = name.rpartition(".")
    return not dot or not isinstance(node.values, dict) or node.values.get(f"{row}.enabled") is not False


def _input(name: str, folders: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The folders of an input; one of a growing list is called after its group and number ("loras.0.lora_name", "lora_name_2")."""
    found = folders.get(name)
    if found is None and "." in name:
        found = folders.get(name.rpartition(".")[2])
    if found is None and name[-1:].isdigit():
        found = folders.get(name.rstrip("0123456789").rstrip("_"))
    return found or ()


def _choose(folders: tuple[str, ...], name: str) -> str:
    """One of the folders that a loader looks in."""
    if len(folders) > 1:
        for folder in folders:
            if folder.rpartition("/")[2].lower() in name.lower():
                return folder
    return folders[0]


def _strings(node: Node) -> Iterator[str]:
    values = node.values.values() if isinstance(node.values, dict) else node.values
    for value in values if isinstance(values, (list, type({}.values()))) else ():
        if type(value) is str:
            yield value
    for value in (node.promoted or {}).values():
        if type(value) is str:
            yield value


def _names_in(text: str) -> Sequence[str]:
    """The file names in a text that is one, or a list of them."""
    lines = [line.strip() for line in text.splitlines()]
    names = [line for line in lines if line and len(line) <= LONGEST_NAME and looks_like_model(line)]
    if len(lines) == 1 and "," in text:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        if len(parts) > 1 and all(looks_like_model(part) for part in parts):
            return parts
    return names
