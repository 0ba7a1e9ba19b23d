#!/usr/bin/env python3
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Write which inputs of custom-node packs name model files, and in which folder below models they lie.

A maintainer runs this by hand when packs have moved on:

    scripts/pack_loaders.py --comfyui <git clone> [--stars <github-stats.json>] owner/name=<git clone or folder> …

or with a folder of mirrors named `owner+name`. A pack may stand twice, as PATH@COMMIT, for classes that it has dropped.
Nothing of what it reads is imported or run: the evaluator of core_nodes.py walks the packs' syntax trees beside ComfyUI's
own, because packs build on its classes. What it cannot follow stays unknown, and an unknown input
is left out rather than guessed.

A class is not listed as a loader when its choices are names that it downloads by itself; those go to AUTO.
"""

from __future__ import annotations

import argparse
import ast
import functools
import gzip
import json
import posixpath
import re
import runpy
import subprocess
import sys
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import core_nodes as core
from core_nodes import Class, Function, Input, Module, Schema, Unknown, UnreadableError

DATA = Path(__file__).parents[1] / "plugins/module_utils/_data/pack_loaders.py"
CORE_NODES = DATA.with_name("core_nodes.py")
WEIGHTS = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx", ".pkl", ".engine", ".torchscript")
LARGEST = 2_000_000
# Where a pack would lie; paths are followed as texts below it.
ROOT = "/ComfyUI"
MODELS = f"{ROOT}/models"
# Folders of a repository that are no part of the pack.
APART = re.compile(r"(^|/)(\.|node_modules/|tests?/|docs?/|examples?/|venv/)")
FETCHES = re.compile(
    r"\b(hf_hub_download|snapshot_download|load_file_from_url|load_file_from_github_release|download_url_to_file|urlretrieve"
    r"|cached_download|custom_hf_download|download_models?|download_weights?|download_file|download_model_if_needed|gdown|wget)\b"
)
FROM_A_HUB = {"hf_hub_download", "snapshot_download", "cached_download"}
PRETRAINED = re.compile(r"""from_pretrained\(\s*(f?["'][\w.-]+/|repo_id|model_id|model_path|model_name|model\b)""")
# What following a strange source can end in.
FAILURES = (UnreadableError, RecursionError, TypeError, ValueError, LookupError, AttributeError, core._Returned, core._Raised)
# Inputs by which a node chooses what to download.
CHOOSES = re.compile(r"(?!.*(preset|_type|family))(.*)(model|ckpt|checkpoint|version|detector|estimator|weights)", re.IGNORECASE)


# --- reading ---


@dataclass(frozen=True)
class Pack:
    name: str
    commit: str
    python: dict[str, str]
    scripts: dict[str, str]


def read_pack(name: str, source: Path, revision: str = "HEAD") -> Pack:
    """Texts of a commit of a git repository, or of a folder."""
    git = next((place for place in (source / ".git", source) if (place / "HEAD").is_file()), None)
    if git is None:
        found = {path.relative_to(source).as_posix(): path for path in sorted(source.rglob("*")) if path.is_file()}
        texts = {key: path.read_text(errors="replace") for key, path in found.items() if _wanted(key) and path.stat().st_size <= LARGEST}
        return Pack(name, "", *_by_kind(texts))
    run = ["git", "--git-dir", str(git)]
    listed = subprocess.run([*run, "ls-tree", "-rlz", revision], capture_output=True, check=True).stdout.decode(errors="replace")
    rows = [(entry.split(), path) for entry, _, path in (line.partition("\t") for line in listed.split("\0") if line)]
    blobs = {
        path: parts[2] for parts, path in rows if parts[1] == "blob" and _wanted(path) and parts[3].isdigit() and int(parts[3]) <= LARGEST
    }
    commit = subprocess.run([*run, "log", "-1", "--format=%h %cs", revision], capture_output=True, check=True).stdout.decode().strip()
    return Pack(name, commit, *_by_kind(_read_blobs(run, blobs)))


def _read_blobs(run: list[str], blobs: Mapping[str, str]) -> dict[str, str]:
    asked = "\n".join(blobs.values()).encode()
    out = subprocess.run([*run, "cat-file", "--batch"], input=asked, capture_output=True, check=True).stdout
    texts, place = {}, 0
    for path in blobs:
        end = out.index(b"\n", place)
        _, kind, *size = out[place:end].split()
        place = end + 1
        if kind != b"missing":
            after = place + int(size[0])
            texts[path] = out[place:after].decode(errors="replace")
            place = after + 1
    return texts


def _wanted(path: str) -> bool:
    return path.endswith((".py", ".js", ".mjs")) and not APART.search(path)


def _by_kind(texts: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    return ({k: v for k, v in texts.items() if k.endswith(".py")}, {k: v for k, v in texts.items() if not k.endswith(".py")})


@functools.cache
def parse(text: str) -> ast.Module | None:
    try:
        return ast.parse(text.lstrip("\ufeff"))
    except (SyntaxError, ValueError, RecursionError):
        return None


# --- following ---


class PackTree(core.Tree):
    """ComfyUI with one pack in custom_nodes. Knows paths below models, folders that a pack registers, and closures."""

    def __init__(self, files: Mapping[str, str], home: str) -> None:
        super().__init__(files, parse)
        self.home = home
        self.registered: dict[str, list[str]] = {}
        self.failed: list[str] = []
        self._tails: dict[str, list[str]] = {}
        for path in sorted(files, key=lambda path: (path.count("/"), path)):
            if path.startswith(f"{home}/"):
                self._tails.setdefault(path.removesuffix("/__init__.py").removesuffix(".py").rpartition("/")[2], []).append(path)
        self._maybe: list[list[Any]] = [[]]

    def module(self, path: str) -> Module | None:
        """Each has its own budget, and one that fails keeps what it had until then."""
        if path in self.modules:
            return self.modules[path]
        steps, self.steps = self.steps, 0
        try:
            return super().module(path)
        except FAILURES as error:
            self.failed.append(f"{path}: {type(error).__name__} {error}"[:160])
            return self.modules.get(path)
        finally:
            self.steps = steps

    # imports

    def _import(self, dotted: str) -> Any:
        if dotted == "folder_paths":
            return Unknown(dotted)
        path = dotted.replace(".", "/")
        # The last: packs that put a folder of theirs on sys.path.
        below = [one for one in self._tails.get(path.rpartition("/")[2], []) if one.endswith((f"/{path}.py", f"/{path}/__init__.py"))]
        for candidate in (f"{path}.py", f"{path}/__init__.py", *below[:1]):
            if candidate in self.files and (found := self.module(candidate)):
                return found
        return Unknown(dotted)

    def _step(self, node: ast.stmt, module: Module, scope: dict[str, Any], owner: Class | None) -> None:
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            package = module.path.split("/")[:-1]
            base = (
                [*package[: len(package) + 1 - node.level], *([node.module] if node.module else [])] if node.level else [node.module or ""]
            )
            if isinstance(source := self._import(".".join(base)), Module):
                listed = source.values.get("__all__")
                names = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else None
                scope.update((k, v) for k, v in source.values.items() if (k in names if names is not None else not k.startswith("_")))
            return
        if isinstance(node, ast.Import):
            super()._step(node, module, scope, owner)
            for alias in node.names:
                key = (alias.asname or alias.name).split(".")[0]
                if isinstance(scope[key], Unknown) and isinstance(found := self._import(scope[key].name), Module):
                    scope[key] = found
            return
        inner = scope is not module.values and not (owner is not None and scope is owner.values)
        if inner and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            module = Module(self, module.path, ChainMap(scope, module.values))  # type: ignore[arg-type]
        if isinstance(node, ast.Try):
            self._try(node, module, scope, owner)
            return
        super()._step(node, module, scope, owner)

    def _try(self, node: ast.Try, module: Module, scope: dict[str, Any], owner: Class | None) -> None:
        try:
            self._run([*node.body, *node.orelse], module, scope, owner)
        except core._Raised:
            for handler in node.handlers[:1]:
                self._run(handler.body, module, scope, owner)
        self._run(node.finalbody, module, scope, owner)

    # what a function may give when nobody knows which way it goes

    def _branch(self, node: ast.If, test: Any, module: Module, scope: dict[str, Any], owner: Class | None) -> None:
        if not isinstance(test, (Unknown, Class, Function, core.Bound, Module, Schema, Input)):
            super()._branch(node, test, module, scope, owner)
            return
        for body in (node.body, node.orelse):
            try:
                self._run(body, module, scope, owner)
            except core._Returned as returned:
                self._maybe[-1].append(returned.value)
            except core._Raised:
                continue

    def _enter(self, function: Function, args: list[Any], named: dict[str, Any]) -> Any:
        names = {one.arg for one in [*function.node.args.posonlyargs, *function.node.args.args, *function.node.args.kwonlyargs]}
        positional = len(function.node.args.posonlyargs) + len(function.node.args.args)
        if rest := function.node.args.vararg:
            named = {**named, rest.arg: tuple(args[positional:])}
            names.add(rest.arg)
        if more := function.node.args.kwarg:
            extra = {key: value for key, value in named.items() if key not in names}
            named = {**{key: value for key, value in named.items() if key in names}, more.arg: extra}
        self._maybe.append([])
        try:
            sure = super()._enter(function, args, named)
        finally:
            maybes = self._maybe.pop()
        if core._folders(sure) or isinstance(sure, (dict, Class, Schema)) and sure:
            return sure
        better = [one for one in maybes if core._folders(one)] or ([] if sure else [one for one in maybes if one])
        return max(better, key=lambda one: len(core._folders(one))) if better else sure

    # folders and paths

    def _value(self, node: ast.expr, module: Module, scope: dict[str, Any], owner: Class | None) -> Any:
        match node:
            case ast.Name(id="__file__"):
                return f"{ROOT}/{module.path}"
            case ast.BinOp(op=ast.Div()):
                left = self._value(node.left, module, scope, owner)
                right = self._value(node.right, module, scope, owner)
                return (
                    posixpath.join(left, right)
                    if isinstance(left, str) and isinstance(right, str)
                    else Unknown(folders=core._folders([left, right]))
                )
            case ast.BinOp(op=ast.Add()):
                left = self._value(node.left, module, scope, owner)
                right = self._value(node.right, module, scope, owner)
                if isinstance(left, str) and isinstance(right, Unknown) and right.folders:
                    return _prefixed(left, right)
                return core._joined(left, right, node.op)
            case ast.BoolOp(op=ast.Or()):
                values = [self._value(one, module, scope, owner) for one in node.values]
                return next((one for one in values if core._folders(one) or (one and not isinstance(one, Unknown))), values[-1])
            case ast.JoinedStr(values=[ast.Constant(value=str() as start), ast.FormattedValue(value=inner)]):
                filled = self._value(inner, module, scope, owner)
                if isinstance(filled, Unknown) and filled.folders:
                    return _prefixed(start, filled)
            case ast.Subscript():
                holder = self._value(node.value, module, scope, owner)
                key = self._value(node.slice, module, scope, owner)
                if isinstance(holder, Unknown):
                    named = holder.name.endswith("folder_names_and_paths") and isinstance(key, str)
                    return Unknown(f"{holder.name}[]", (key,)) if named else Unknown(folders=holder.folders)
                if isinstance(holder, (dict, list, tuple)) and core._hashable(key):
                    try:
                        return holder[key]
                    except (LookupError, TypeError):
                        return Unknown()
                if isinstance(node.slice, ast.Slice) and isinstance(holder, (list, tuple)):
                    return holder  # a part of the choices says the same of the folder
                return Unknown(folders=core._folders(holder))
            case ast.DictComp():
                return self._dict_comprehension(node, module, scope, owner)
            case ast.Set():
                return [self._value(one, module, scope, owner) for one in node.elts]
            case ast.Lambda():
                made = ast.FunctionDef("lambda", node.args, [ast.Return(node.body)], [])
                return Function(made, Module(self, module.path, ChainMap(scope, module.values)))  # type: ignore[arg-type]
            case ast.NamedExpr():
                scope[node.target.id] = value = self._value(node.value, module, scope, owner)
                return value
        return super()._value(node, module, scope, owner)

    def _dict_comprehension(self, node: ast.DictComp, module: Module, scope: dict[str, Any], owner: Class | None) -> dict[Any, Any]:
        pair = ast.Tuple([node.key, node.value], ast.Load())
        rows = self._comprehension(ast.ListComp(pair, node.generators), module, scope, owner)
        return {key: value for key, value in rows if core._hashable(key)}

    def _attribute(self, holder: Any, name: str) -> Any:
        if isinstance(holder, str) and name == "parent":
            return posixpath.dirname(holder)
        if isinstance(holder, Unknown) and holder.name == "folder_paths" and name in {"models_dir", "base_path"}:
            return MODELS if name == "models_dir" else ROOT
        if isinstance(holder, Module) and name not in holder.values and holder.path.endswith("/__init__.py"):
            return self._import(f"{posixpath.dirname(holder.path)}/{name}".replace("/", "."))
        if (
            isinstance(holder, Unknown)
            and holder.name
            and name in self._tails
            and isinstance(found := self._import(f"{holder.name}.{name}"), Module)
        ):
            return found
        if isinstance(holder, Class) and name == "__name__":
            return holder.name
        if isinstance(holder, Class) and isinstance(found := holder.find(name), Function) and not _takes_itself(found):
            return found
        return super()._attribute(holder, name)

    def _assign(self, target: ast.expr, value: Any, value_of: Any, scope: dict[str, Any]) -> None:
        if (
            isinstance(target, ast.Name)
            and not isinstance(value, dict)
            and isinstance(scope.get(target.id), dict)
            and "MAPPINGS" in target.id
        ):
            return  # a step that is not followed, such as a function that adds to it
        if isinstance(target, ast.Subscript):
            holder, key = value_of(target.value), value_of(target.slice)
            if isinstance(holder, Unknown) and holder.name.endswith("folder_names_and_paths") and isinstance(key, str):
                self._register(key, value[0] if isinstance(value, (list, tuple)) and value else value)  # beside the paths: endings
                return
        if isinstance(target, (ast.Tuple, ast.List)) and isinstance(value, Unknown) and value.folders:
            value = [Unknown(folders=value.folders)] * len(target.elts)
        super()._assign(target, value, value_of, scope)

    def _register(self, key: str, value: Any) -> None:
        places = [text for text in _texts(value) if text.startswith("/")] or [folder for folder in core._folders(value) if folder != key]
        self.registered.setdefault(key, []).extend(places)

    def _call(self, node: ast.Call, module: Module, scope: dict[str, Any], owner: Class | None) -> Any:
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, (ast.Constant, ast.Name, ast.Attribute)):
            holder = self._value(node.func.value, module, scope, owner)
            args = [self._value(one, module, scope, owner) for one in node.args if not isinstance(one, ast.Starred)]
            found = _plain_method(holder, node.func.attr, args)
            if found is not NotImplemented:
                return found
        return super()._call(node, module, scope, owner)

    def _invoke(self, called: Any, args: list[Any], named: dict[str, Any]) -> Any:
        if isinstance(called, Unknown):
            found = self._known_call(called, args, named)
            if found is not NotImplemented:
                return found
        if isinstance(called, Class):
            return called
        return super()._invoke(called, args, named)

    def _known_call(self, called: Unknown, args: list[Any], named: dict[str, Any]) -> Any:
        last = called.name.rsplit(".", 1)[-1]
        first = args[0] if args else next((named[key] for key in ("folder_name", "path") if key in named), None)
        if last == "add_model_folder_path" and isinstance(first, str):
            self._register(first, args[1:2] or named.get("full_folder_path"))
            return None
        if last in {"append", "extend", "insert", "add"} and len(called.folders) == 1 and "folder_names_and_paths" in called.name:
            self._register(called.folders[0], args)
            return None
        if last in {"get", "setdefault", "pop"} and called.name.endswith(f"folder_names_and_paths.{last}") and isinstance(first, str):
            if last == "setdefault" and len(args) > 1:
                self._register(first, args[1][0] if isinstance(args[1], (list, tuple)) and args[1] else args[1])
            return Unknown("folder_names_and_paths[]", (first,))
        if last in {"get_filename_list", "get_folder_paths", "get_filename_list_", "cached_filename_list_"} and isinstance(first, str):
            return Unknown(last, (first,))
        if last == "join" and "path" in called.name:
            return posixpath.join(*args) if args and all(isinstance(one, str) for one in args) else Unknown(folders=core._folders(args))
        if last == "dirname":  # of a name of a file: no such name any more
            return posixpath.dirname(first) if isinstance(first, str) else Unknown()
        if last in {"abspath", "realpath", "normpath", "expanduser", "Path", "PurePath", "str", "fspath"} and isinstance(first, str):
            if last in {"Path", "PurePath"}:
                return posixpath.join(*args) if all(isinstance(one, str) for one in args) else Unknown(folders=core._folders(args))
            return first if last in {"expanduser", "str", "fspath"} else posixpath.normpath(first)
        if last in {"listdir", "scandir", "walk", "glob", "iglob", "recursive_search", "rglob", "iterdir"} and isinstance(first, str):
            return Unknown(last, _below(first))
        if last == "next" and isinstance(first, list):
            return first[0] if first else (args[1] if len(args) > 1 else Unknown())
        if last in {"deepcopy", "copy"} and isinstance(first, dict):
            return {key: dict(value) if isinstance(value, dict) else value for key, value in first.items()}
        if last in {"deepcopy", "copy"} and isinstance(first, list):
            return list(first)
        if last in {"list", "sorted", "tuple", "set", "frozenset", "reversed", "natsorted"} and isinstance(first, (list, tuple, dict)):
            return list(first)
        if last == "enumerate" and isinstance(first, (list, tuple, dict)):
            return list(enumerate(first))
        if last == "zip" and all(isinstance(one, (list, tuple, dict)) for one in args):
            return list(zip(*args, strict=False))
        if last == "getattr" and len(args) > 1 and isinstance(args[1], str) and isinstance(first, (Module, Class)):
            held = first.values.get(args[1]) if isinstance(first, Module) else first.find(args[1])
            return held if held is not None else (args[2] if len(args) > 2 else Unknown())
        if last == "import_module" and isinstance(first, str):
            name = first.lstrip(".")
            return self._import(f"{self.home.replace('/', '.')}.{name}") if first.startswith(".") else self._import(name)
        return NotImplemented


def _takes_itself(function: Function) -> bool:
    decorated = {one.id for one in function.node.decorator_list if isinstance(one, ast.Name)}
    names = [*function.node.args.posonlyargs, *function.node.args.args]
    return (
        "staticmethod" in decorated or "classmethod" in decorated or bool(names) and names[0].arg in {"self", "s", "cls", "c", "_", "this"}
    )


def _plain_method(holder: Any, name: str, args: list[Any]) -> Any:
    """Methods of texts, lists and dictionaries that nodes build their choices with."""
    plain = all(isinstance(one, (str, int)) for one in args)
    if isinstance(holder, str):
        if name == "joinpath" and args and plain:
            return posixpath.join(holder, *map(str, args))
        if name in {"resolve", "absolute", "as_posix", "expanduser"}:
            return posixpath.normpath(holder)
        if name in {"glob", "rglob", "iterdir"}:
            return Unknown(name, _below(holder))
        if name == "join" and args and isinstance(args[0], list) and all(isinstance(one, str) for one in args[0]):
            return holder.join(args[0])
        if plain and name in {
            "lower",
            "upper",
            "strip",
            "title",
            "startswith",
            "endswith",
            "split",
            "rsplit",
            "lstrip",
            "rstrip",
            "removesuffix",
        }:
            try:
                return getattr(holder, name)(*args)
            except TypeError:
                return Unknown()
    if isinstance(holder, dict):
        if name == "setdefault" and args and core._hashable(args[0]):
            return holder.setdefault(args[0], args[1] if len(args) > 1 else None)
        if name == "pop" and args and core._hashable(args[0]):
            return holder.pop(args[0], args[1] if len(args) > 1 else None)
        if name == "items":
            return list(holder.items())
        if name == "values":
            return list(holder.values())
    if isinstance(holder, list):
        if name in {"sort", "reverse", "remove"}:
            return None
        if name == "index":
            return 0
        if name == "copy":
            return list(holder)
    return NotImplemented


def _prefixed(start: str, names: Unknown) -> Unknown:
    """Names of files that are shown with something before them, such as `bbox/`."""
    return Unknown(names.name, tuple(f"{folder}\0{start}" for folder in names.folders))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, (list, tuple)):
        return [found for one in value for found in _texts(one)]
    return []


def _below(path: str) -> tuple[str, ...]:
    """A folder below models, marked as a path; nothing for any other place."""
    path = posixpath.normpath(re.split(r"[*?\[]", path, maxsplit=1)[0])
    return (path,) if path.startswith(f"{MODELS}/") else ()


# --- nodes ---


@dataclass
class Found:
    """What one pack says of its classes."""

    pack: str
    loads: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    widgets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    auto: dict[str, str] = field(default_factory=dict)
    classes: set[str] = field(default_factory=set)
    drawn: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def read_classes(pack: Pack, comfyui: Mapping[str, str]) -> Found:
    found = Found(pack.name)
    home = f"custom_nodes/{re.sub(r'[^A-Za-z0-9_]', '_', pack.name.rpartition('/')[2])}"
    files = {**comfyui, **{f"{home}/{path}": text for path, text in pack.python.items()}}
    tree = PackTree(files, home)
    own = sorted(
        (path for path in files if path.startswith(f"{home}/")), key=lambda path: (path != f"{home}/__init__.py", path.count("/"), path)
    )
    made: dict[str, Any] = {}
    for path in own:
        if (module := tree.module(path)) is not None:
            for name, one in _registered(module).items():
                made.setdefault(name, one)
    for name, one in made.items():
        _read_class(tree, found, name, one)
    for path in own:
        for one in list(tree.modules[path].values.values()) if path in tree.modules else []:
            if isinstance(one, Class) and one.module.path == path and "define_schema" in one.values:
                _read_schema(tree, found, one)
    found.notes.extend(tree.failed)
    return found


def _registered(module: Module) -> dict[str, Any]:
    """Mappings under any name of that kind: packs join them in ways that are not always followed."""
    found: dict[str, Any] = {}
    for key in sorted(module.values, key=lambda key: key != "NODE_CLASS_MAPPINGS"):
        value = module.values[key]
        if re.search(r"CLASS_MAPPINGS|^NODE_CLASS|_CLASSES$|^NODES?$|^NODE_CONFIG$", key) and isinstance(value, dict):
            for name, one in value.items():
                if isinstance(one, dict):  # {"Name": {"class": Class, "name": title}}
                    one = one.get("class")
                if isinstance(name, str) and isinstance(one, Class):
                    found.setdefault(name.strip(), one)
    return found


def _read_class(tree: PackTree, found: Found, name: str, made: Class) -> None:
    tree.steps = 0
    found.classes.add(name)
    if made.find("INPUT_TYPES") is None:
        if made.find("define_schema") is not None:
            _read_schema(tree, found, made)
        return
    try:
        types = tree._invoke(tree._attribute(made, "INPUT_TYPES"), [], {})
    except FAILURES as error:
        found.notes.append(f"{name}: {type(error).__name__} {error}"[:160])
        return
    if not isinstance(types, dict):
        found.notes.append(f"{name}: INPUT_TYPES is not understood")
        return
    rows = []
    for group in ("required", "optional"):
        inputs = types.get(group)
        for key, declared in inputs.items() if isinstance(inputs, dict) else ():
            if not isinstance(key, str):
                rows.append(Row("", None))
            elif isinstance(declared, (list, tuple)) and declared:
                options = declared[1] if len(declared) > 1 and isinstance(declared[1], dict) else {}
                rows.append(_row(key, declared[0], options))
            else:
                rows.append(Row(key, None, _followed(tree, core._folders(declared))))
    _keep(tree, found, name, made, rows)


def _read_schema(tree: PackTree, found: Found, made: Class) -> None:
    tree.steps = 0
    try:
        schema = tree._invoke(tree._attribute(made, "define_schema"), [], {})
    except FAILURES as error:
        found.notes.append(f"{made.name}: {type(error).__name__} {error}"[:160])
        return
    name = schema.values.get("node_id") if isinstance(schema, Schema) else None
    if not isinstance(name, str):
        return
    found.classes.add(name)
    inputs = schema.values.get("inputs")
    declared = [one for one in inputs if isinstance(one, Input)] if isinstance(inputs, list) else []
    ordered = sorted(declared, key=lambda one: one.options.get("optional") is True)
    rows = []
    for one in ordered:
        row = core._schema_row(one)
        listed = one.options.get("options", one.args[1] if len(one.args) > 1 else None)
        rows.append(Row(row.name, None if row.last else row.widget, row.folders, row.controls, _literals(listed)))
    _keep(tree, found, name, made, rows)


@dataclass(frozen=True)
class Row:
    """An input. `widget` is None where nobody knows whether it makes one."""

    name: str
    widget: bool | None
    folders: tuple[str, ...] = ()
    controls: int = 0
    literals: tuple[str, ...] = ()


def _row(name: str, declared: Any, options: Mapping[str, Any]) -> Row:
    if isinstance(declared, (str, Unknown)) and not core._folders(declared):
        kind = declared if isinstance(declared, str) else ""
        match = re.search(r"(?:^|\.)IO\.([A-Z_0-9]+)$", declared.name) if isinstance(declared, Unknown) else None
        kind = match[1] if match else kind
        if not kind and isinstance(declared, Unknown):
            # Choices of ComfyUI's own, such as samplers; anything else may be a socket of any type.
            return Row(name, True if re.search(r"comfy\.|SAMPLERS|SCHEDULERS|listdir|sorted|list\(\)|keys", declared.name) else None)
    elif isinstance(declared, Class):
        return Row(name, False)
    else:
        kind = "COMBO"
    listed = options.get("options") if kind == "COMBO" and isinstance(declared, str) else declared
    widget = kind.replace("_", "").upper() in core.WIDGETS and not _forced(options)
    return Row(name, widget, core._folders(listed), core._controls(name, kind, options), _literals(listed))


def _forced(options: Mapping[str, Any]) -> bool:
    return options.get("forceInput") is True or options.get("defaultInput") is True


def _literals(value: Any) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, (list, tuple)) else ()


def _keep(tree: PackTree, found: Found, name: str, made: Class, rows: list[Row]) -> None:
    looked_up = _looked_up(tree, made)
    loads = {}
    for row in rows:
        folders = row.folders or (() if row.literals else looked_up.get(row.name, ()))
        if _holds_a_file(row) and (followed := _followed(tree, folders)):
            loads[row.name] = followed
    reason = _auto(tree, name, made, rows, loads)
    if reason:
        found.auto[name] = reason
        return
    if not loads:
        return
    found.loads[name] = loads
    order: list[str] = []
    for row in rows:
        if row.widget is None:
            break
        if row.widget:
            order.extend([row.name, *[""] * row.controls])
    if all(key in order for key in loads):
        found.widgets[name] = tuple(order)
    else:
        found.notes.append(f"{name}: the order of its widgets is not understood")


def _syntax(tree: PackTree, made: Class) -> ast.ClassDef | None:
    tops = parse(tree.files.get(made.module.path, ""))
    return next((one for one in (tops.body if tops else []) if isinstance(one, ast.ClassDef) and one.name == made.name), None)


def _looked_up(tree: PackTree, made: Class) -> dict[str, tuple[str, ...]]:
    """Inputs that the class asks ComfyUI's folders for under their own name: a text input may name a file too."""
    found: dict[str, tuple[str, ...]] = {}
    syntax = _syntax(tree, made)
    for call in ast.walk(syntax) if syntax else ():
        match call:
            case ast.Call(
                func=ast.Attribute(attr="get_full_path" | "get_full_path_or_raise"),
                args=[ast.Constant(value=str() as folder), ast.Name(id=name)],
            ):
                found[name] = tuple(dict.fromkeys([*found.get(name, ()), folder]))
    lists: dict[str, list[str]] = {}
    for one in ast.walk(syntax) if syntax else ():
        match one:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.List(elts=[ast.Name(), *_]) as listed):
                lists[name] = [inner.id for inner in listed.elts if isinstance(inner, ast.Name)]
    for loop in ast.walk(syntax) if syntax else ():
        if isinstance(loop, ast.For):  # for place, name in enumerate([name1, name2])
            mentioned = [inner.id for inner in ast.walk(loop.iter) if isinstance(inner, ast.Name)]
            several = [inner for name in mentioned for inner in lists.get(name, [name])]
            for target in ast.walk(loop.target):
                if isinstance(target, ast.Name) and target.id in found:
                    found.update(dict.fromkeys(several, found[target.id]))
    return found


def _holds_a_file(row: Row) -> bool:
    """Whether its value stays: a socket has none, and some lists only help to write a text and jump back to their title."""
    return bool(row.name) and row.widget is not False and not re.match(r"Select to add|insert_|add_(lora|embedding)|category", row.name)


def _followed(tree: PackTree, folders: Iterable[str]) -> tuple[str, ...]:
    """Keys become the folder that the pack registers for them, unless ComfyUI has a folder of that name."""
    result = []
    for folder in folders:
        folder, _, prefix = folder.partition("\0")
        if not folder.startswith("/"):
            places = tree.registered.get(folder, [])
            below = [path for one in places if (path := posixpath.normpath(one)).startswith(f"{MODELS}/") or not one.startswith("/")]
            if folder not in CORE_FOLDERS and places:
                if not below:
                    continue  # the pack's own directory
                folder = below[0]
        if folder.startswith("/"):
            folder = folder.removeprefix(f"{MODELS}/")
        if prefix:
            if not f"{folder}/".endswith(f"/{prefix}"):
                continue  # what is shown is no path of a file
            folder = folder.removesuffix(f"/{prefix.rstrip('/')}")
        if not re.fullmatch(r"[\w .()+/-]+", folder) or ".." in folder or folder in {"custom_nodes", "configs", "input", "output"}:
            continue
        result.append(folder)
    return tuple(dict.fromkeys(result))


# Keys of ComfyUI-GGUF for folders of ComfyUI's own; other packs ask for them too.
GGUF_KEYS = frozenset(("unet_gguf", "clip_gguf"))
# Folders of ComfyUI's own: what a pack adds to them is another place for the same files.
CORE_FOLDERS = frozenset(
    ("checkpoints", "configs", "loras", "vae", "text_encoders", "clip", "diffusion_models", "unet", "clip_vision", "style_models")
    + ("embeddings", "diffusers", "vae_approx", "controlnet", "t2i_adapter", "gligen", "upscale_models", "latent_upscale_models")
    + ("hypernetworks", "photomaker", "classifiers", "model_patches", "audio_encoders", "background_removal")
    + ("frame_interpolation", "geometry_estimation", "detection", "optical_flow")
)


def _auto(tree: PackTree, name: str, made: Class, rows: list[Row], loads: Mapping[str, tuple[str, ...]]) -> str | None:
    """Why a class fetches its models by itself."""
    files = [row.name for row in rows if any(one.lower().endswith(WEIGHTS) for one in row.literals)]
    if files and not (set(loads) - set(files)):
        return f"{files[0]} is chosen from names that the class lists"
    if loads:
        return None
    if re.match(r"\(?Down[Ll]oad", name):
        return "downloads what it loads"
    names = [row.name for row in rows if CHOOSES.match(row.name) and len(row.literals) > 0]
    if names and (_fetches(tree, made)):
        return f"downloads what {names[0]} says"
    if (syntax := _syntax(tree, made)) and FROM_A_HUB & {one.attr if isinstance(one, ast.Attribute) else one.id for one in _called(syntax)}:
        return "downloads from a hub"
    return None


def _called(syntax: ast.AST) -> Iterator[ast.Attribute | ast.Name]:
    for one in ast.walk(syntax):
        if isinstance(one, ast.Call) and isinstance(one.func, (ast.Attribute, ast.Name)):
            yield one.func


def _fetches(tree: PackTree, made: Class) -> bool:
    text = tree.files.get(made.module.path, "")
    return bool(FETCHES.search(text) or PRETRAINED.search(text))


# --- node types that only the browser knows ---

# Of packs that build these names when they run.
BUILT_NAMES = {
    "rgthree/rgthree-comfy": (r"addRgthree\(\s*[\"']([^\"']+)[\"']\s*\)", "{} (rgthree)"),
}


def drawn_names(pack: Pack) -> set[str]:
    """Names that a pack's scripts give to LiteGraph.registerNodeType, as texts or through a constant or a class's static text."""
    found = set()
    texts = {
        path: text for path, text in pack.scripts.items() if "registerNodeType" in text and not path.endswith((".min.js", ".bundle.js"))
    }
    constants: dict[str, str] = {}
    for text in texts.values():
        constants.update(
            (name, value) for name, _, value in re.findall(r"\b(?:const|let|var)\s+(\w+)\s*=\s*([\"'`])([^\"'`$\n]{1,80})\2", text)
        )
    for text in texts.values():
        for match in re.finditer(r"registerNodeType\(\s*(?:([\"'`])([^\"'`$\n]{1,80})\1|([\w.]+))\s*,", text):
            if match[2]:
                found.add(match[2])
            elif match[3] in constants:
                found.add(constants[match[3]])
            elif member := re.fullmatch(r"(\w+)\.(type|title|nodeName|name|NAME|TYPE)", match[3]):
                found |= set(_static_texts(text, *member.groups()))
    if pack.name in BUILT_NAMES:
        pattern, shape = BUILT_NAMES[pack.name]
        found |= {shape.format(name) for text in pack.scripts.values() for name in re.findall(pattern, text)}
    return {name for name in found if re.fullmatch(r"[^;\n]*[A-Za-z][^;\n]*", name)}


def _static_texts(text: str, owner: str, member: str) -> Iterator[str]:
    started = re.search(rf"\bclass\s+{re.escape(owner)}\b", text)
    if started and (inner := re.search(rf"\bstatic\s+{member}\s*=\s*[\"'`]([^\"'`$\n]+)", text[started.end() : started.end() + 20_000])):
        yield inner[1]
    for outer in re.finditer(rf"\b{re.escape(owner)}\.{member}\s*=\s*[\"'`]([^\"'`$\n]+)", text):
        yield outer[1]


# --- the data file ---


@dataclass
class Table:
    loads: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    widgets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    auto: dict[str, str] = field(default_factory=dict)
    drawn: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def folders(self) -> list[str]:
        named = {folder for inputs in self.loads.values() for folders in inputs.values() for folder in folders}
        return sorted(named - CORE_FOLDERS - GGUF_KEYS)


def joined(packs: list[tuple[int, Found]], builtin: Iterable[str]) -> Table:
    """One table. Where packs define one class, the pack with more stars is heard."""
    table = Table()
    heard: dict[str, str] = dict.fromkeys(builtin, "ComfyUI")
    every = {name for _, found in packs for name in found.classes} | heard.keys()
    for _, found in sorted(packs, key=lambda row: (-row[0], row[1].pack)):  # the same pack again: an older commit, heard after the newer
        for name in sorted(found.classes):
            if name in heard:
                if heard[name] != "ComfyUI" and (found.loads.get(name), name in found.auto) != (table.loads.get(name), name in table.auto):
                    table.notes.append(f"{name}: {heard[name]} is heard, not {found.pack} ({_told(found, name)})")
                continue
            heard[name] = found.pack
            if name in found.loads:
                table.loads[name] = found.loads[name]
            if name in found.widgets:
                table.widgets[name] = found.widgets[name]
            if name in found.auto:
                table.auto[name] = found.auto[name]
        for name in sorted(found.drawn - every):
            table.drawn.setdefault(name, found.pack)
        table.notes.extend(f"{found.pack}: {note}" for note in found.notes)
    return table


def _told(found: Found, name: str) -> str:
    if name in found.auto:
        return found.auto[name]
    return ", ".join(f"{key}={'+'.join(folders)}" for key, folders in found.loads.get(name, {}).items()) or "no model"


def table_text(table: Table, sources: list[str]) -> str:
    lines = [
        "# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)",
        "",
        '"""Which inputs of custom-node packs name model files, and in which folder below models they lie.',
        "",
        "Written by scripts/pack_loaders.py, never by hand, from:",
        *(f"  {source}" for source in sources),
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "# Class;input=folder below models, or several in the order in which their files are listed. A line that starts with ; goes on.",
        *_block(
            "_LOADERS",
            (_line(name, (f"{key}={','.join(folders)}" for key, folders in inputs.items())) for name, inputs in table.loads.items()),
        ),
        "",
        "# Class;widgets in the order of widgets_values. An empty name is a value that the frontend adds (control_after_generate).",
        "# The list ends where the source does not tell how it goes on.",
        *_block("_WIDGETS", (_line(name, order) for name, order in table.widgets.items())),
        "",
        "# Class;why its values are no files to bring: the node fetches them itself.",
        *_block("_AUTO", (_line(name, [reason]) for name, reason in table.auto.items())),
        "",
        "# Node type that only the pack's script in the browser knows;the pack.",
        *_block("_FRONTEND_ONLY", (_line(name, [pack]) for name, pack in table.drawn.items())),
        "",
        "# Folders below models that packs make.",
        *_block("_FOLDERS", table.folders),
        "",
        "PACK_LOADERS: dict[str, dict[str, str | tuple[str, ...]]] = {",
        "    name: {",
        '        key: tuple(folder.split(",")) if "," in folder else folder',
        '        for key, _, folder in (one.partition("=") for one in rest.split(";"))',
        "    }",
        '    for name, _, rest in (line.partition(";") for line in _LOADERS.replace("\\n;", ";").splitlines())',
        "}",
        "PACK_WIDGETS: dict[str, tuple[str, ...]] = {",
        '    name: tuple(rest.split(";"))',
        '    for name, _, rest in (line.partition(";") for line in _WIDGETS.replace("\\n;", ";").splitlines())',
        "}",
        'AUTO: dict[str, str] = {name: reason for name, _, reason in (line.partition(";") for line in _AUTO.splitlines())}',
        'FRONTEND_ONLY: dict[str, str] = {name: pack for name, _, pack in (line.partition(";") for line in _FRONTEND_ONLY.splitlines())}',
        "FOLDERS: frozenset[str] = frozenset(_FOLDERS.splitlines())",
        "",
    ]
    return "\n".join(lines)


def _line(name: str, parts: Iterable[str]) -> str:
    return ";".join([name, *parts])


def _block(name: str, lines: Iterable[str]) -> list[str]:
    return [f'{name} = """\\', *(part for line in sorted(lines) for part in _wrapped(line)), '"""']


def _wrapped(line: str, width: int = 130) -> list[str]:
    """A line that starts with the separator goes on with the one before it."""
    first, *rest = line.split(";")
    parts = [first]
    for one in rest:
        if len(parts[-1]) + len(one) + 1 > width:
            parts.append("")
        parts[-1] += f";{one}"
    return parts


def fits(name: str) -> bool:
    """Whether a name can stand in a line of the data file."""
    return bool(name) and not re.search(r'[;=\n\r\x00-\x1f]|"""|"$|\\', name)


def cleaned(found: Found) -> Found:
    """Without names that the data file cannot hold."""
    odd = {name for name in found.classes | found.drawn if not fits(name)}
    odd |= {name for name, inputs in found.loads.items() if not all(map(fits, inputs))}
    odd |= {name for name, reason in found.auto.items() if not fits(reason)}
    found.notes.extend(f"{name!r}: a name that the data file cannot hold" for name in sorted(odd))
    for name, order in list(found.widgets.items()):
        if not all(fits(one) or not one for one in order):
            del found.widgets[name]
    for rows in (found.loads, found.widgets, found.auto):
        for name in odd & rows.keys():
            del rows[name]
    found.classes -= odd
    found.drawn -= odd
    return found


def builtin_names() -> set[str]:
    """Every name of ComfyUI's own that scripts/core_nodes.py has found."""
    known = runpy.run_path(str(CORE_NODES))
    return {line.partition("|")[0] for key in ("CLASSES", "NEWER", "OLDER", "FRONTEND_ONLY") for line in known[key].splitlines()}


def comfyui_files(repository: Path) -> tuple[dict[str, str], str]:
    """ComfyUI's own nodes at the newest commit: what packs inherit from."""
    pack = read_pack("ComfyUI", repository)
    return {path: text for path, text in pack.python.items() if path == "nodes.py" or path.startswith("comfy_extras/")}, pack.commit


def sources_of(arguments: Iterable[str], known: Iterable[str]) -> list[tuple[str, Path, str]]:
    """`owner/name=PATH[@COMMIT]`; of a folder of mirrors `owner+name` (or `owner+name/repo`) all but forks of what is known."""
    found = []
    titles = {one.rpartition("/")[2] for one in known}
    for argument in arguments:
        name, equals, place = argument.partition("=")
        if equals:
            path, _, revision = place.partition("@")
            found.append((name, Path(path), revision or "HEAD"))
            continue
        for folder in sorted(Path(argument).glob("[!.]*+*")):
            name = folder.name.replace("+", "/", 1)
            fork = name.lower() not in known and name.lower().rpartition("/")[2] in titles
            if not fork:
                found.append((name, folder / "repo" if (folder / "repo").is_dir() else folder, "HEAD"))
    return found


def read_stars(path: Path | None) -> dict[str, int]:
    if path is None:
        return {}
    raw = path.read_bytes()
    text = gzip.decompress(raw) if path.suffix == ".gz" else raw
    return {url.removeprefix("https://github.com/").lower(): row.get("stars") or 0 for url, row in json.loads(text).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packs", nargs="+", help="owner/name=PATH, or a folder of mirrors")
    parser.add_argument("--comfyui", type=Path, required=True, help="git clone of ComfyUI: its classes are left out, packs build on them")
    parser.add_argument("--stars", type=Path, help="ComfyUI-Manager's github-stats.json")
    parser.add_argument("--into", type=Path, default=DATA)
    options = parser.parse_args()
    files, commit = comfyui_files(options.comfyui)
    stars = read_stars(options.stars)
    read, sources = [], [f"ComfyUI {commit}"]
    for name, place, revision in sources_of(options.packs, stars):
        pack = read_pack(name, place, revision)
        if any(path.startswith("comfy_extras/") for path in pack.python):
            continue  # ComfyUI itself
        found = read_classes(pack, files)
        found.drawn = drawn_names(pack)
        found = cleaned(found)
        print(
            f"{name}: {len(found.classes)} classes, {len(found.loads)} load, {len(found.auto)} fetch, {len(found.drawn)} drawn",
            file=sys.stderr,
        )
        if found.classes or found.drawn:
            read.append((stars.get(name.lower(), 0), found))
        if found.loads or found.auto or found.drawn:
            sources.append(f"{name} {pack.commit}".rstrip())
    table = joined(read, builtin_names())
    options.into.write_text(table_text(table, sources))
    for note in table.notes:
        print(note)


if __name__ == "__main__":
    main()
