#!/usr/bin/env python3
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Write what is known of ComfyUI's own node classes: which version has which, and what their inputs hold.

A maintainer runs this by hand when ComfyUI has moved on:

    scripts/core_nodes.py --repository <git clone of ComfyUI> --frontend <wheel or folder> --docs <wheel or folder>

Nothing of what it reads is imported or run. A small evaluator walks the syntax tree of nodes.py, comfy_extras and
comfy_api_nodes, as far as node names and inputs go; what it cannot follow stays unknown, and a node class whose name
stays unknown is an error. It reads, and ends in one of ComfyUI's three ways of registering a node:

    NODE_CLASS_MAPPINGS = {"Name": Class}                                 also built up by update(), |, loops, NodeId attributes
    comfy_entrypoint() -> get_node_list() -> define_schema() -> node_id   for modules without such a mapping
    custom_nodes/*.py of the repository itself                            shipped with ComfyUI, so never a pack

The wheels are comfyui-frontend-package (its English node definitions) and comfyui-embedded-docs. They tell of classes
that are newer than the newest tree.
"""

from __future__ import annotations

import argparse
import ast
import fnmatch
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "plugins/module_utils/_data"
# The frontend draws these itself; no Python class answers to them.
FRONTEND_ONLY = frozenset({"MarkdownNote", "Note", "PrimitiveNode", "Reroute"})
# Types that the frontend draws as a widget, in capitals and without underscores: V3 schemas name a class instead.
WIDGETS = frozenset(
    {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "MULTICOMBO", "COLOR", "COLORS", "BOUNDINGBOX", "BOUNDINGBOXES", "CURVE", "RANGE"}
    | {"WEBCAM", "LOAD3D", "LOAD3DANIMATION", "IMAGECOMPARE", "COMPOSITOR"}
)
MOST_STEPS = 100_000
MOST_CALLS = 30


class UnreadableError(Exception):
    """A tree registers nodes in a way that this script does not understand."""


# --- reading a git repository ---


@dataclass(frozen=True)
class Repository:
    path: Path

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(self.path), *arguments], capture_output=True, check=True)
        return done.stdout.decode(errors="replace")

    def files(self, commit: str) -> dict[str, str]:
        """Path to blob of every Python file that can register or describe a node."""
        listed = self.git("ls-tree", "-r", commit, "nodes.py", "comfy_extras/", "comfy_api_nodes/", "custom_nodes/").splitlines()
        rows = (line.split(None, 3) for line in listed)
        return {path: blob for _, kind, blob, path in rows if kind == "blob" and path.endswith(".py")}

    def releases(self) -> list[tuple[str, str, str]]:
        """(version, commit, date) of the first commit that carries each version, oldest first."""
        found: dict[str, tuple[str, str]] = {}
        log = self.git("log", "--first-parent", "--reverse", "--format=%H %cs", "--", "comfyui_version.py", "pyproject.toml")
        for line in log.splitlines():
            commit, date = line.split()
            version = self._version(commit)
            if version:
                found.setdefault(version, (commit, date))
        rows = [(version, commit, date) for version, (commit, date) in found.items()]
        return sorted(rows, key=lambda row: version_key(row[0]))

    def _version(self, commit: str) -> str | None:
        for name, pattern in (("comfyui_version.py", r'__version__ = "([0-9.]+)"'), ("pyproject.toml", r'^version = "([0-9.]+)"')):
            try:
                text = self.git("show", f"{commit}:{name}")
            except subprocess.CalledProcessError:
                continue
            if match := re.search(pattern, text, re.MULTILINE):
                return match[1]
        return None

    def before(self, commit: str) -> list[str]:
        """The last commit of each month before this one, oldest first."""
        months: dict[str, str] = {}
        for line in self.git("log", "--first-parent", "--format=%H %cs", f"{commit}~1").splitlines():
            sha, date = line.split()
            months.setdefault(date[:7], sha)
        return list(reversed(months.values()))


def version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


# --- evaluating without running ---


@dataclass(frozen=True)
class Unknown:
    """A value that is not followed: where it comes from, the model folders in it, and the inputs that were put into it."""

    name: str = ""
    folders: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()


@dataclass
class Input:
    """`io.Int.Input("seed", …)` of a V3 schema."""

    kind: str
    args: list[Any]
    options: dict[str, Any]

    @property
    def name(self) -> object:
        first = self.args[0] if self.args else self.options.get("id")
        return first.name if isinstance(first, Input) else first


@dataclass
class Schema:
    values: dict[str, Any]


@dataclass
class Class:
    name: str
    module: Module
    bases: list[Any]
    values: dict[str, Any]

    def find(self, name: str, skip_own: bool = False) -> Any:
        if not skip_own and name in self.values:
            return self.values[name]
        for base in self.bases:
            if isinstance(base, Class) and (found := base.find(name)) is not None:
                return found
        return None


@dataclass
class Function:
    node: ast.FunctionDef | ast.AsyncFunctionDef
    module: Module
    owner: Class | None = None


@dataclass
class Bound:
    """A function with what comes before its written arguments: the class it was asked of, or nothing for a static method."""

    function: Function
    me: Any


@dataclass
class Module:
    tree: Tree
    path: str
    values: dict[str, Any] = field(default_factory=dict)


class _Returned(Exception):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class _Raised(Exception):
    pass


class Tree:
    """The Python files of one commit. Modules are evaluated when somebody asks for them."""

    def __init__(self, files: Mapping[str, str], parse: Callable[[str], ast.Module | None]) -> None:
        self.files = files
        self.parse = parse
        self.modules: dict[str, Module] = {}
        self.steps = 0
        self.calls = 0

    def module(self, path: str) -> Module | None:
        if path in self.modules:
            return self.modules[path]
        syntax = self.parse(self.files[path]) if path in self.files else None
        if syntax is None:
            return None
        module = self.modules[path] = Module(self, path)
        self.steps = 0
        self._run(syntax.body, module, module.values, None)
        return module

    def _import(self, dotted: str) -> Any:
        path = f"{dotted.replace('.', '/')}.py"
        return self.module(path) or Unknown(dotted)

    # statements

    def _run(self, body: Iterable[ast.stmt], module: Module, scope: dict[str, Any], owner: Class | None) -> None:
        for statement in body:
            self._step(statement, module, scope, owner)

    def _step(self, node: ast.stmt, module: Module, scope: dict[str, Any], owner: Class | None) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise UnreadableError(f"{module.path} takes too many steps to evaluate")

        def value_of(expression: ast.expr) -> Any:
            return self._value(expression, module, scope, owner)

        match node:
            case ast.Import():
                for alias in node.names:
                    scope[(alias.asname or alias.name).split(".")[0]] = Unknown(alias.name if alias.asname else alias.name.split(".")[0])
            case ast.ImportFrom():
                package = module.path.split("/")[:-1]
                above = package[: len(package) + 1 - node.level] if node.level else []
                base = [*above, *([node.module] if node.module else [])]
                source = self._import(".".join(base))
                for alias in node.names:
                    known = source.values.get(alias.name) if isinstance(source, Module) else None
                    scope[alias.asname or alias.name] = known if known is not None else self._import(".".join([*base, alias.name]))
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                scope[node.name] = Function(node, module, owner)
            case ast.ClassDef():
                made = Class(node.name, module, [value_of(base) for base in node.bases], {})
                scope[node.name] = made
                # A name that the class body does not know is looked up in the module.
                self._run(node.body, module, made.values, made)
            case ast.Assign():
                value = value_of(node.value)
                for target in node.targets:
                    self._assign(target, value, value_of, scope)
            case ast.AnnAssign() if node.value is not None:
                self._assign(node.target, value_of(node.value), value_of, scope)
            case ast.AugAssign():
                before, more = value_of(node.target), value_of(node.value)
                self._assign(node.target, _joined(before, more, node.op), value_of, scope)
            case ast.Expr():
                value_of(node.value)
            case ast.Return():
                raise _Returned(value_of(node.value) if node.value else None)
            case ast.Raise():
                raise _Raised
            case ast.If():
                self._branch(node, value_of(node.test), module, scope, owner)
            case ast.For():
                for element in _elements(value_of(node.iter)):
                    self._assign(node.target, element, value_of, scope)
                    self._run(node.body, module, scope, owner)
            case ast.Try():
                self._run([*node.body, *node.orelse], module, scope, owner)
            case ast.With():
                self._run(node.body, module, scope, owner)

    def _branch(self, node: ast.If, test: Any, module: Module, scope: dict[str, Any], owner: Class | None) -> None:
        if not isinstance(test, (Unknown, Class, Function, Bound, Module, Schema, Input)):
            self._run(node.body if test else node.orelse, module, scope, owner)
            return
        # Nobody knows which way it goes: take in what both do, but do not leave by either.
        for body in (node.body, node.orelse):
            try:
                self._run(body, module, scope, owner)
            except (_Returned, _Raised):
                continue

    def _assign(self, target: ast.expr, value: Any, value_of: Callable[[ast.expr], Any], scope: dict[str, Any]) -> None:
        match target:
            case ast.Name():
                scope[target.id] = value
            case ast.Subscript():
                holder, key = value_of(target.value), value_of(target.slice)
                if isinstance(holder, dict) and _hashable(key):
                    holder[key] = value
            case ast.Attribute():
                holder = value_of(target.value)
                if isinstance(holder, (Schema, Class)):
                    holder.values[target.attr] = value
            case ast.Tuple() | ast.List():
                values = value if isinstance(value, (list, tuple)) and len(value) == len(target.elts) else [Unknown()] * len(target.elts)
                for one, part in zip(target.elts, values, strict=True):
                    self._assign(one, part, value_of, scope)

    # expressions

    def _value(self, node: ast.expr, module: Module, scope: dict[str, Any], owner: Class | None) -> Any:
        def value_of(expression: ast.expr) -> Any:
            return self._value(expression, module, scope, owner)

        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return scope[node.id] if node.id in scope else module.values.get(node.id, Unknown(node.id))
            case ast.Attribute():
                return self._attribute(value_of(node.value), node.attr)
            case ast.List() | ast.Tuple():
                return self._sequence(node, value_of)
            case ast.Dict():
                return _dictionary(node, value_of)
            case ast.JoinedStr():
                return _text("".join(_text_part(part, value_of) for part in node.values))
            case ast.BinOp():
                return _joined(value_of(node.left), value_of(node.right), node.op)
            case ast.Compare() if len(node.ops) == 1:
                return _compared(value_of(node.left), node.ops[0], value_of(node.comparators[0]))
            case ast.BoolOp():
                values = [value_of(one) for one in node.values]
                wanted = isinstance(node.op, ast.Or)
                return next((one for one in values if not isinstance(one, Unknown) and bool(one) is wanted), values[-1])
            case ast.IfExp():
                test = value_of(node.test)
                return value_of(node.body if isinstance(test, Unknown) or test else node.orelse)
            case ast.Subscript():
                holder, key = value_of(node.value), value_of(node.slice)
                if isinstance(holder, (dict, list, tuple)) and _hashable(key):
                    try:
                        return holder[key]
                    except (LookupError, TypeError):
                        return Unknown()
                return Unknown(folders=_folders(holder))
            case ast.ListComp() | ast.GeneratorExp() | ast.SetComp():
                return self._comprehension(node, module, scope, owner)
            case ast.Call():
                return self._call(node, module, scope, owner)
            case ast.Await() | ast.Starred():
                return value_of(node.value)
        return Unknown()

    def _sequence(self, node: ast.List | ast.Tuple, value_of: Callable[[ast.expr], Any]) -> Any:
        found: list[Any] = []
        for one in node.elts:
            value = value_of(one)
            if isinstance(one, ast.Starred):
                found.extend(_elements(value))
            else:
                found.append(value)
        return tuple(found) if isinstance(node, ast.Tuple) else found

    def _comprehension(
        self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp, module: Module, scope: dict[str, Any], owner: Class | None
    ) -> Any:
        def walk(generators: list[ast.comprehension], inner: dict[str, Any]) -> Iterator[Any]:
            if not generators:
                yield self._value(node.elt, module, inner, owner)
                return
            first, *rest = generators
            for element in _elements(self._value(first.iter, module, inner, owner)):
                here = dict(inner)
                self._assign(first.target, element, lambda _: Unknown(), here)
                if all(self._value(test, module, here, owner) for test in first.ifs):
                    yield from walk(rest, here)

        return list(walk(node.generators, dict(scope)))

    def _attribute(self, holder: Any, name: str) -> Any:
        match holder:
            case Module():
                return holder.values.get(name, Unknown(f"{holder.path}.{name}"))
            case Class():
                return _bind(holder.find(name), holder) if holder.find(name) is not None else Unknown(f"{holder.name}.{name}")
            case Schema():
                return holder.values.get(name, Unknown())
            case Unknown():
                dotted = f"{holder.name}.{name}"
                found = self._import(dotted) if dotted.replace(".", "/") + ".py" in self.files else None
                if isinstance(found, Module):
                    return found
                home = self.module(f"{holder.name.replace('.', '/')}.py")
                known = home.values.get(name) if home else None
                return known if known is not None else Unknown(dotted, holder.folders)
        return Unknown(f"{type(holder).__name__}.{name}")

    def _call(self, node: ast.Call, module: Module, scope: dict[str, Any], owner: Class | None) -> Any:
        def value_of(expression: ast.expr) -> Any:
            return self._value(expression, module, scope, owner)

        args = [part for one in node.args for part in (_elements(value_of(one)) if isinstance(one, ast.Starred) else [value_of(one)])]
        named: dict[str, Any] = {}
        for keyword in node.keywords:
            value = value_of(keyword.value)
            if keyword.arg:
                named[keyword.arg] = value
            elif isinstance(value, dict):
                named.update((key, one) for key, one in value.items() if isinstance(key, str))
        if isinstance(node.func, ast.Attribute):
            if _is_super(node.func.value) and owner is not None:
                found = owner.find(node.func.attr, skip_own=True)
                me = next((scope[name] for name in ("cls", "s", "self") if name in scope), owner)
                return self._invoke(_bind(found, me), args, named) if isinstance(found, Function) else Unknown()
            holder = value_of(node.func.value)
            if isinstance(holder, (dict, list, str)):
                return _method(holder, node.func.attr, args, named)
        return self._invoke(value_of(node.func), args, named)

    def _invoke(self, called: Any, args: list[Any], named: dict[str, Any]) -> Any:
        match called:
            case Bound():
                static = any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in called.function.node.decorator_list)
                return self._enter(called.function, args if static else [called.me, *args], named)
            case Function():
                return self._enter(called, args, named)
            case Class():
                return called
            case Unknown():
                return _outside(called.name, args, named)
        return Unknown(folders=_folders(args), inputs=_inputs((args, named)))

    def _enter(self, function: Function, args: list[Any], named: dict[str, Any]) -> Any:
        if self.calls >= MOST_CALLS:
            return Unknown()
        names = [*function.node.args.posonlyargs, *function.node.args.args]
        scope: dict[str, Any] = {one.arg: Unknown(one.arg) for one in [*names, *function.node.args.kwonlyargs]}
        defaults = function.node.args.defaults
        for one, default in zip(names[len(names) - len(defaults) :], defaults, strict=True):
            scope[one.arg] = self._value(default, function.module, {}, None)
        for one, default_or_none in zip(function.node.args.kwonlyargs, function.node.args.kw_defaults, strict=True):
            if default_or_none is not None:
                scope[one.arg] = self._value(default_or_none, function.module, {}, None)
        scope.update(zip((one.arg for one in names), args, strict=False))
        scope.update(named)
        self.calls += 1
        try:
            self._run(function.node.body, function.module, scope, function.owner)
        except _Returned as returned:
            return returned.value
        except _Raised:
            return Unknown()
        finally:
            self.calls -= 1
        return None


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def _bind(found: Any, me: Any) -> Any:
    return Bound(found, me) if isinstance(found, Function) else found


def _outside(name: str, args: list[Any], named: dict[str, Any]) -> Any:
    """What a call gives to something that is not in the tree."""
    last = name.rsplit(".", 1)[-1]
    if last in {"get_filename_list", "get_folder_paths"} and args and isinstance(args[0], str):
        return Unknown(last, folders=(args[0],))
    if last == "Input":
        return Input(name.split(".")[-2] if "." in name else "", args, named)
    if last == "Schema":
        return Schema(named)
    if last == "range" and all(isinstance(one, int) for one in args) and args:
        return list(range(*args))
    if last in {"list", "sorted", "tuple"} and len(args) == 1 and isinstance(args[0], (list, tuple, dict)):
        return list(args[0])
    if last == "dict" and not args:
        return dict(named)
    return Unknown(f"{name}()", _folders([*args, *named.values()]), _inputs((args, named)))


def _method(holder: Any, name: str, args: list[Any], named: dict[str, Any]) -> Any:
    if isinstance(holder, dict):
        if name == "update":
            for one in args:
                holder.update(one if isinstance(one, dict) else {})
            holder.update(named)
            return None
        if name in {"keys", "values", "items"}:
            return list(getattr(holder, name)())
        if name == "copy":
            return dict(holder)
        if name == "get" and args and _hashable(args[0]):
            return holder.get(args[0], args[1] if len(args) > 1 else None)
    if isinstance(holder, list):
        if name == "append" and args:
            holder.append(args[0])
            return None
        if name in {"extend", "__iadd__"} and args:
            holder.extend(_elements(args[0]))
            return None
        if name == "insert" and len(args) > 1 and isinstance(args[0], int):
            holder.insert(args[0], args[1])
            return None
    if isinstance(holder, str) and name == "format" and all(isinstance(one, (str, int, float)) for one in [*args, *named.values()]):
        try:
            return holder.format(*args, **named)
        except (LookupError, TypeError, ValueError):
            return Unknown()
    return Unknown(folders=_folders([holder, *args]))


def _joined(left: Any, right: Any, operator: ast.operator) -> Any:
    if isinstance(operator, ast.BitOr) and isinstance(left, dict) and isinstance(right, dict):
        return {**left, **right}
    if isinstance(operator, ast.Add):
        if isinstance(left, list) and isinstance(right, (list, Unknown)):
            return [*left, *(right if isinstance(right, list) else [right])]
        if isinstance(left, tuple) and isinstance(right, tuple):
            return (*left, *right)
        if isinstance(left, str) and isinstance(right, str):
            return left + right
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        match operator:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
    return Unknown(folders=_folders([left, right]), inputs=_inputs((left, right)))


def _compared(left: Any, operator: ast.cmpop, right: Any) -> Any:
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return Unknown()
    if isinstance(operator, (ast.Is, ast.Eq)):
        return left is right or left == right
    if isinstance(operator, (ast.IsNot, ast.NotEq)):
        return not (left is right or left == right)
    if isinstance(operator, (ast.In, ast.NotIn)) and isinstance(right, (list, tuple, dict, str)):
        return (left in right) is isinstance(operator, ast.In)
    return Unknown()


def _dictionary(node: ast.Dict, value_of: Callable[[ast.expr], Any]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key_node, value_node in zip(node.keys, node.values, strict=True):
        value = value_of(value_node)
        if key_node is None:
            found.update(value if isinstance(value, dict) else {Unknown("**"): value})
            continue
        key = value_of(key_node)
        found[key if _hashable(key) else Unknown()] = value
    return found


def _text_part(node: ast.expr, value_of: Callable[[ast.expr], Any]) -> str:
    value = value_of(node.value if isinstance(node, ast.FormattedValue) else node)
    return str(value) if isinstance(value, (str, int, float)) else "\0"


def _text(text: str) -> Any:
    """A text with a hole in it is not known."""
    return Unknown() if "\0" in text else text


def _elements(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple, dict)):
        return list(value)
    return [Unknown(folders=_folders(value))] if isinstance(value, Unknown) else []


def _hashable(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool, type(None), Unknown)) or (isinstance(value, tuple) and all(map(_hashable, value)))


def _folders(value: Any) -> tuple[str, ...]:
    """The model folders whose file names are part of this value, in order."""
    if isinstance(value, Unknown):
        return value.folders
    if isinstance(value, (list, tuple)):
        return tuple(dict.fromkeys(folder for one in value for folder in _folders(one)))
    return ()


def _inputs(value: Any) -> tuple[Input, ...]:
    if isinstance(value, Input):
        return (value,)
    if isinstance(value, Unknown):
        return value.inputs
    if isinstance(value, dict):
        value = list(value.values())
    return tuple(found for one in value for found in _inputs(one)) if isinstance(value, (list, tuple)) else ()


# --- nodes ---


@dataclass(frozen=True)
class Node:
    """A builtin class: its widget inputs in the order of the frontend, and the inputs that name a model file."""

    widgets: tuple[str, ...] = ()
    loads: tuple[tuple[str, tuple[str, ...]], ...] = ()


def read_nodes(files: Mapping[str, str], parse: Callable[[str], ast.Module | None]) -> dict[str, Node]:
    """Every class that a tree registers."""
    tree = Tree(files, parse)
    found: dict[str, Node] = {}
    for path in _registered(files, parse):
        module = tree.module(path)
        if module is None:
            raise UnreadableError(f"{path} cannot be parsed")
        tree.steps = 0
        mapping = module.values.get("NODE_CLASS_MAPPINGS")
        nodes = _mapped(mapping, tree, path) if mapping is not None else _listed(tree, module)
        for name, node in nodes.items():
            found.setdefault(name, node)
    return found


def _registered(files: Mapping[str, str], parse: Callable[[str], ast.Module | None]) -> list[str]:
    """nodes.py, the files that it names (or finds by a pattern that it names), and what ComfyUI keeps in custom_nodes."""
    syntax = parse(files["nodes.py"])
    if syntax is None:
        raise UnreadableError("nodes.py cannot be parsed")
    texts = {node.value for node in ast.walk(syntax) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    names = {text for text in texts if re.fullmatch(r"[\w*]+\.py", text)}
    found = ["nodes.py"]
    for path in sorted(files):
        folder, _, name = path.rpartition("/")
        named = folder in {"comfy_extras", "comfy_api_nodes"} and any(fnmatch.fnmatchcase(name, wanted) for wanted in names)
        if named or folder == "custom_nodes":
            found.append(path)
    return found


def _mapped(mapping: Any, tree: Tree, path: str) -> dict[str, Node]:
    if not isinstance(mapping, dict):
        raise UnreadableError(f"{path}: NODE_CLASS_MAPPINGS is built in a way that is not understood")
    found: dict[str, Node] = {}
    for name, made in mapping.items():
        if not isinstance(name, str):
            raise UnreadableError(f"{path}: a name in NODE_CLASS_MAPPINGS is not understood (beside {sorted(found)[-1:]})")
        found[name] = _node(tree, made)
    return found


def _listed(tree: Tree, module: Module) -> dict[str, Node]:
    """The way of V3: an entry point gives an extension, which lists classes, which have a schema."""
    start = module.values.get("comfy_entrypoint")
    if start is None:  # a file that registers nothing
        return {}
    extension = tree._invoke(start, [], {})
    listed = tree._invoke(tree._attribute(extension, "get_node_list"), [], {})
    if not isinstance(listed, list):
        raise UnreadableError(f"{module.path}: the list of nodes is not understood")
    found: dict[str, Node] = {}
    for made in listed:
        schema = tree._invoke(tree._attribute(made, "define_schema"), [], {})
        name = schema.values.get("node_id") if isinstance(schema, Schema) else None
        if not isinstance(name, str):
            raise UnreadableError(f"{module.path}: {getattr(made, 'name', made)} has a node_id that is not understood")
        found[name] = _schema_node(schema)
    return found


def _node(tree: Tree, made: Any) -> Node:
    if not isinstance(made, Class):
        return Node()
    if made.find("INPUT_TYPES") is None and made.find("define_schema") is not None:
        schema = tree._invoke(tree._attribute(made, "define_schema"), [], {})
        return _schema_node(schema) if isinstance(schema, Schema) else Node()
    types = tree._invoke(tree._attribute(made, "INPUT_TYPES"), [], {})
    if not isinstance(types, dict):
        return Node()
    rows = []
    for group in ("required", "optional"):
        inputs = types.get(group)
        for name, declared in inputs.items() if isinstance(inputs, dict) else ():
            if isinstance(name, str) and isinstance(declared, (list, tuple)) and declared:
                options = declared[1] if len(declared) > 1 and isinstance(declared[1], dict) else {}
                rows.append(_row(name, declared[0], options))
    return _collected(rows)


@dataclass(frozen=True)
class _Row:
    name: str
    widget: bool
    controls: int = 0
    folders: tuple[str, ...] = ()
    last: bool = False


def _row(name: str, declared: Any, options: Mapping[str, Any]) -> _Row:
    folders: tuple[str, ...] = ()
    if isinstance(declared, str):
        kind = declared
    elif isinstance(declared, Unknown) and (match := re.search(r"(?:^|\.)IO\.([A-Z_0-9]+)$", declared.name)):
        kind = match[1]
    else:
        kind, folders = "COMBO", _folders(declared)
    if kind == "COMBO":
        folders = folders or _folders(options.get("options"))
    widget = kind.replace("_", "") in WIDGETS and options.get("forceInput") is not True
    return _Row(name, widget, _controls(name, kind, options), folders)


def _controls(name: str, kind: str, options: Mapping[str, Any]) -> int:
    """How many values the frontend puts behind this one: what happens after a run, and for a list also a filter."""
    asked = options.get("control_after_generate")
    if kind == "INT" and (asked if asked is not None else name in {"seed", "noise_seed"}):
        return 1
    return 2 if kind == "COMBO" and asked else 0


def _schema_node(schema: Schema) -> Node:
    inputs = schema.values.get("inputs")
    declared = [one for one in inputs if isinstance(one, Input)] if isinstance(inputs, list) else []
    required = [one for one in declared if one.options.get("optional") is not True]
    return _collected([_schema_row(one) for one in [*required, *(one for one in declared if one not in required)]])


def _schema_row(declared: Input) -> _Row:
    name = declared.name if isinstance(declared.name, str) else ""
    kind = declared.kind.upper()
    if kind == "DYNAMICCOMBO":  # the widgets behind it depend on its value
        return _Row(name, True, last=True)
    if kind == "AUTOGROW":
        return _Row(name, False, last=any(_schema_row(one).widget for one in _inputs((declared.args, declared.options))))
    if kind == "MULTITYPE" and declared.args and isinstance(declared.args[0], Input):
        return _schema_row(declared.args[0])
    options = {"forceInput": declared.options.get("force_input"), "control_after_generate": declared.options.get("control_after_generate")}
    row = _row(name, kind, options)
    listed = declared.options.get("options", declared.args[1] if len(declared.args) > 1 else None)
    return _Row(row.name, row.widget, row.controls, _folders(listed) if kind == "COMBO" else ())


def _collected(rows: Iterable[_Row]) -> Node:
    widgets: list[str] = []
    loads: list[tuple[str, tuple[str, ...]]] = []
    ended = False
    for row in rows:
        if row.folders:
            loads.append((row.name, row.folders))
        if row.widget and not ended:
            widgets.extend([row.name, *[""] * row.controls])
        ended = ended or row.last
    return Node(tuple(widgets), tuple(loads))


# --- the packages ---


def read_files(source: Path, pattern: str) -> dict[str, bytes]:
    """Files of a wheel, or of a folder, by name."""
    if source.is_dir():
        paths = {path.relative_to(source).as_posix(): path for path in sorted(source.rglob("*"))}
        return {name: path.read_bytes() for name, path in paths.items() if fnmatch.fnmatch(name, pattern) and path.is_file()}
    with zipfile.ZipFile(source) as archive:
        return {name: archive.read(name) for name in sorted(archive.namelist()) if fnmatch.fnmatch(name, pattern)}


def read_locale(source: Path) -> set[str]:
    """Class names of the frontend's English node definitions; a dot in a name is written there as an underscore."""
    for text in read_files(source, "*/nodeDefs-*.js.map").values():
        content = json.loads(text)
        for name, original in zip(content["sources"], content.get("sourcesContent") or [], strict=False):
            if name.endswith("/locales/en/nodeDefs.json"):
                return set(json.loads(original))
    raise UnreadableError(f"{source} has no English node definitions")


def read_documented(source: Path) -> set[str]:
    """Names of the folders that describe a node each."""
    names = {match[1] for name in read_files(source, "*/docs/*/*") if (match := re.search(r"/docs/([^/]+)/en\.md$", name))}
    if not names:
        raise UnreadableError(f"{source} describes no node")
    return names


def newer_names(known: Iterable[str], locale: set[str], documented: set[str]) -> list[str]:
    """What only the packages know. The documentation alone is no witness: it keeps old and misspelt names; it does know the dots."""
    dotted = {name.replace(".", "_"): name for name in documented if "." in name}
    escaped = {name.replace(".", "_") for name in known}
    return sorted(dotted.get(name, name) for name in locale if name not in escaped and name not in FRONTEND_ONLY)


# --- the data files ---


@dataclass
class Seen:
    versions: list[str]
    nodes: dict[str, Node] = field(default_factory=dict)
    spans: dict[str, list[list[int]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, place: int, nodes: Mapping[str, Node]) -> None:
        for name, node in nodes.items():
            spans = self.spans.setdefault(name, [])
            if spans and spans[-1][1] == place - 1:
                spans[-1][1] = place
            else:
                spans.append([place, place])
            self._note(name, node, place)
            # A node that could not be followed says nothing against an older one that could.
            if node.widgets or node.loads or name not in self.nodes:
                self.nodes[name] = node

    def _note(self, name: str, node: Node, place: int) -> None:
        before = dict(self.nodes[name].loads) if name in self.nodes else {}
        for key, folders in node.loads:
            if key in before and before[key] != folders:
                self.notes.append(f"{name} {key}: {before[key]} until {self.versions[place - 1]}, then {folders}")

    def written(self, name: str) -> str:
        return ",".join(self._span(first, last) for first, last in self.spans[name])

    def _span(self, first: int, last: int) -> str:
        start = self.versions[first] if first else ""
        end = self.versions[last] if last < len(self.versions) - 1 else ""
        return f"{start}-{end}"


def read_history(repository: Repository) -> tuple[Seen, list[str], list[str], list[tuple[str, str, str]], str]:
    """Everything of all versions; names gone before the first one; names after the last one; the versions; the newest commit."""
    syntax: dict[str, ast.Module | None] = {}

    def parse(blob: str) -> ast.Module | None:
        if blob not in syntax:
            try:
                syntax[blob] = ast.parse(repository.git("cat-file", "blob", blob))
            except (SyntaxError, ValueError, subprocess.CalledProcessError):
                syntax[blob] = None
        return syntax[blob]

    releases = repository.releases()
    seen = Seen([version for version, _, _ in releases])
    for place, (version, commit, _) in enumerate(releases):
        nodes = read_nodes(repository.files(commit), parse)
        seen.add(place, nodes)
        print(f"{version}: {len(nodes)} classes", file=sys.stderr)
    older: set[str] = set()
    for commit in repository.before(releases[0][1]):
        # One of them ended in a space once.
        older |= {name.strip() for name in read_nodes(repository.files(commit), parse)} - seen.spans.keys()
    head = repository.git("log", "-1", "--format=%h %cs").strip()
    newest = read_nodes(repository.files("HEAD"), parse)
    unreleased = sorted(newest.keys() - seen.spans.keys())
    for name in unreleased:
        seen.nodes[name] = newest[name]
    return seen, sorted(older), unreleased, releases, head


def core_nodes_text(seen: Seen, older: list[str], newer: list[str], sources: list[str]) -> str:
    """One class a line, so that a new version reads as a short difference."""
    _check_names([*seen.spans, *older, *newer])
    lines = [f"{name}|{seen.written(name)}" for name in sorted(seen.spans)]
    return "\n".join(
        [
            *_header("ComfyUI's own node classes, by version.", sources),
            "# Every version that the history carries, oldest first.",
            *_block("VERSIONS", _wrapped(seen.versions)),
            "",
            "# Class|versions that have it, as first-last; a side left empty reaches to the end of the known versions.",
            *_block("CLASSES", lines),
            "",
            "# Classes of the packages, and of the newest commit, that no version above has yet.",
            *_block("NEWER", newer),
            "",
            "# Classes that were gone before the first version above.",
            *_block("OLDER", older),
            "",
            "# The frontend draws these itself: no Python class answers to them.",
            *_block("FRONTEND_ONLY", sorted(FRONTEND_ONLY)),
            "",
        ]
    )


def core_loaders_text(seen: Seen, sources: list[str]) -> str:
    loads = {name: node.loads for name, node in seen.nodes.items() if node.loads}
    widgets = {name: node.widgets for name, node in seen.nodes.items() if node.widgets}
    _check_names([name for node in seen.nodes.values() for name in node.widgets])
    loaders = ["|".join([name, *(f"{key}={folders[0]}" for key, folders in loads[name])]) for name in sorted(loads)]
    ordered = ["|".join([name, *widgets[name]]) for name in sorted(widgets)]
    return "\n".join(
        [
            *_header("What the inputs of ComfyUI's own node classes hold, as the newest version that has the class says.", sources),
            "# Class|input=folder below models that its file names come from.",
            *_block("_LOADERS", loaders),
            "",
            "# Class|widgets in the order of widgets_values; an empty name is a value that the frontend adds (control_after_generate).",
            "# Behind a widget that brings others with it nothing is listed.",
            *_block("_WIDGETS", ordered),
            "",
            "LOADERS: dict[str, dict[str, str]] = {",
            '    line.split("|", 1)[0]: dict(pair.split("=", 1) for pair in line.split("|")[1:]) for line in _LOADERS.splitlines()',
            "}",
            'WIDGETS: dict[str, tuple[str, ...]] = {line.split("|", 1)[0]: tuple(line.split("|")[1:]) for line in _WIDGETS.splitlines()}',
            "",
        ]
    )


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if not re.fullmatch(r"[\w .()/&+:-]*", name, re.ASCII):
            raise UnreadableError(f"the name {name!r} does not fit the data file")


def _header(purpose: str, sources: list[str]) -> list[str]:
    return [
        "# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)",
        "",
        f'"""{purpose}',
        "",
        "Written by scripts/core_nodes.py, never by hand, from:",
        *(f"  {source}" for source in sources),
        '"""',
        "",
        "from __future__ import annotations",
        "",
    ]


def _block(name: str, lines: Iterable[str]) -> list[str]:
    return [f'{name} = """\\', *lines, '"""']


def _wrapped(words: Iterable[str], width: int = 110) -> list[str]:
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) + 1 > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, required=True, help="git clone of ComfyUI with its history")
    parser.add_argument("--frontend", type=Path, required=True, help="comfyui-frontend-package, wheel or folder")
    parser.add_argument("--docs", type=Path, required=True, help="comfyui-embedded-docs, wheel or folder")
    parser.add_argument("--into", type=Path, default=DATA, help="folder of the data files")
    options = parser.parse_args()
    seen, older, unreleased, releases, head = read_history(Repository(options.repository))
    locale, documented = read_locale(options.frontend), read_documented(options.docs)
    newer = sorted({*unreleased, *newer_names([*seen.spans, *unreleased, *older], locale, documented)})
    sources = [
        f"ComfyUI's history to commit {head}: {releases[0][0]} ({releases[0][2]}) to {releases[-1][0]} ({releases[-1][2]})",
        _package(options.frontend),
        _package(options.docs),
    ]
    options.into.mkdir(parents=True, exist_ok=True)
    (options.into / "core_nodes.py").write_text(core_nodes_text(seen, older, newer, sources))
    (options.into / "core_loaders.py").write_text(core_loaders_text(seen, sources))
    for note in seen.notes:
        print(f"changed: {note}")


def _package(source: Path) -> str:
    """Name and version of a package, as its metadata says."""
    for text in read_files(source, "*.dist-info/METADATA").values():
        words = {key: match[1] for key in ("Name", "Version") if (match := re.search(rf"^{key}: (\S+)", text.decode(), re.MULTILINE))}
        return f"{words.get('Name')} {words.get('Version')}"
    return source.name


if __name__ == "__main__":
    main()
