# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a pack's source says of itself, read as a syntax tree and never run: the classes it registers, and the model
folder behind each of their inputs.

Three ways of registering are read: NODE_CLASS_MAPPINGS (whole, by key, by update, and tables of the form
{"Class": {"class": Class, ...}}), `node_id=` of a schema, and `node_id` or `NodeId` of a class; names made at run time are not seen, and
what is not seen is no truth.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

TABLE = re.compile(r"^(?!.*DISPLAY).*(CLASS_MAPPINGS|NODE_CONFIG|NODES_CONFIG)$")
SPEAKS_OF_NODES = re.compile(rb"models_dir|CLASS_MAPPINGS|NODES?_CONFIG|INPUT_TYPES|define_schema")


@dataclass
class PackSource:
    classes: set[str] = field(default_factory=set)
    folders: dict[str, dict[str, set[str]]] = field(default_factory=dict)  # class -> input -> folder keys
    opaque: set[str] = field(default_factory=set)  # classes with a list of choices that is made in a way not read here
    paths: dict[str, str] = field(default_factory=dict)  # folder key that the pack adds -> path below models


@dataclass
class Python:
    """A Python class of the pack, and what it needs for its inputs to be understood."""

    node: ast.ClassDef
    names: dict[str, list[ast.expr]]


def read_pack(files: Mapping[str, bytes]) -> PackSource:
    trees = dict(parsed(files))
    found = PackSource()
    here: dict[str, dict[str, Python]] = {path: dict(classes_of(tree)) for path, tree in trees.items()}
    everywhere: dict[str, list[Python]] = {}
    for classes in here.values():
        for name, python in classes.items():
            everywhere.setdefault(name, []).append(python)

    def named(path: str, name: str) -> Python | None:
        if name in here[path]:
            return here[path][name]
        several = everywhere.get(name, [])
        return several[0] if len(several) == 1 else None

    def inputs(path: str, python: Python, above: int = 0) -> dict[str, set[str]]:
        own = dict(inputs_of(python))
        for base in python.node.bases if above < 5 else ():
            parent = named(path, tail(base))
            if parent is not None and parent is not python and not any(map(says_inputs, python.node.body)):
                own = {**inputs(path, parent, above + 1), **own}
        return own

    for path, tree in trees.items():
        found.paths.update(added_folders(tree))
        registered = dict(tables(tree))
        registered.update((identity, name) for name, python in here[path].items() for identity in schema_ids(python.node))
        for identity, class_name in registered.items():
            found.classes.add(identity)
            python = named(path, class_name) if class_name else None
            if python is None or is_opaque(python):
                found.opaque.add(identity)
            for input_name, folders in (inputs(path, python) if python else {}).items():
                found.folders.setdefault(identity, {}).setdefault(input_name, set()).update(folders)
    return found


def parsed(files: Mapping[str, bytes]) -> Iterator[tuple[str, ast.Module]]:
    for path, data in files.items():
        if path.endswith(".py") and SPEAKS_OF_NODES.search(data):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    yield path, ast.parse(data)
            except (SyntaxError, ValueError, RecursionError):
                continue


def classes_of(tree: ast.Module) -> Iterator[tuple[str, Python]]:
    module_names: dict[str, list[ast.expr]] = {}
    for statement in tree.body:
        remember(statement, module_names)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(isinstance(item, ast.FunctionDef) for item in node.body):
            own: dict[str, list[ast.expr]] = {}
            for item in node.body:
                for inner in ast.walk(item) if says_inputs(item) else [item]:
                    remember(inner, own)
            yield node.name, Python(node, {**module_names, **own})


def remember(statement: ast.AST, names: dict[str, list[ast.expr]]) -> None:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target] if isinstance(statement, ast.AnnAssign) else []
    value = getattr(statement, "value", None)
    for target in targets:
        if isinstance(target, ast.Name) and isinstance(value, ast.expr):
            names.setdefault(target.id, []).append(value)


def tables(tree: ast.Module) -> Iterator[tuple[str, str | None]]:
    for node in ast.walk(tree):
        value: ast.expr | None = None
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Subscript) and TABLE.match(tail(target.value)) and text_of(target.slice):
                yield text_of(target.slice) or "", class_in(node.value)
            elif TABLE.match(tail(target)):
                value = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "update" and node.args:
            value = node.args[0] if TABLE.match(tail(node.func.value)) else None
        if isinstance(value, ast.Dict):
            for key, entry in zip(value.keys, value.values, strict=True):
                if key is not None and text_of(key) and not isinstance(entry, ast.Constant):
                    yield text_of(key) or "", class_in(entry)


def class_in(entry: ast.expr | None) -> str | None:
    if isinstance(entry, ast.Dict):
        for key, value in zip(entry.keys, entry.values, strict=True):
            if key is not None and text_of(key) == "class":
                return tail(value)
        return None
    return tail(entry) if entry is not None else None


def schema_ids(node: ast.ClassDef) -> Iterator[str]:
    for item in node.body:
        if isinstance(item, ast.Assign) and tail(item.targets[0]) in ("node_id", "NodeId") and text_of(item.value):
            yield text_of(item.value) or ""
    for call in (call for item in node.body if says_inputs(item) for call in ast.walk(item)):
        if isinstance(call, ast.Call) and tail(call.func).endswith("Schema"):
            for keyword in call.keywords:
                if keyword.arg == "node_id" and text_of(keyword.value):
                    yield text_of(keyword.value) or ""


def says_inputs(item: ast.stmt) -> bool:
    return isinstance(item, ast.FunctionDef) and item.name in ("INPUT_TYPES", "define_schema", "DEFINE_SCHEMA")


def inputs_of(python: Python) -> Iterator[tuple[str, set[str]]]:
    for function in python.node.body:
        if not says_inputs(function):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    # "Select to add ..." helps the person typing, and is no input of the node.
                    if (
                        key is not None
                        and not isinstance(value, ast.Dict)
                        and not (text_of(key) or "Select to add").startswith("Select to add")
                    ):
                        folders = folders_in(value, python.names)
                        if folders:
                            yield text_of(key) or "", folders
            elif isinstance(node, ast.Call) and tail(node.func) == "Input" and node.args and text_of(node.args[0]):
                lists = [folders_in(word.value, python.names) for word in node.keywords if word.arg == "options"]
                folders = set[str]().union(*lists)
                if folders:
                    yield text_of(node.args[0]) or "", folders


def is_opaque(python: Python) -> bool:
    """Whether an input's choices may be file names of a folder that this reading does not find."""
    for item in (node for function in python.node.body if says_inputs(function) for node in ast.walk(function)):
        choices: list[ast.expr] = []
        if isinstance(item, ast.Dict):
            specs = [value for value in item.values if isinstance(value, (ast.Tuple, ast.List)) and value.elts]
            choices = [spec.elts[0] for spec in specs if not isinstance(spec.elts[0], ast.Starred)]
        elif isinstance(item, ast.Call) and tail(item.func) == "Input":
            choices = [word.value for word in item.keywords if word.arg == "options"]
        for choice in choices:
            # A list that is written out, a type's name and a constant such as IO.MODEL are no folder.
            known = isinstance(choice, (ast.Constant, ast.List, ast.Tuple)) or (isinstance(choice, ast.Attribute) and choice.attr.isupper())
            written = isinstance(choice, ast.Name) and all(
                isinstance(value, (ast.List, ast.Constant)) for value in python.names.get(choice.id, [choice])
            )
            if not known and not written and not folders_in(choice, python.names):
                return True
    return False


def folders_in(value: ast.expr, names: dict[str, list[ast.expr]], depth: int = 0) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(value):
        if isinstance(node, ast.Call) and tail(node.func) == "get_filename_list" and node.args and text_of(node.args[0]):
            found.add(text_of(node.args[0]) or "")
        elif isinstance(node, ast.Name) and depth < 3:
            for meaning in names.get(node.id, []):
                found |= folders_in(meaning, names, depth + 1)
    return found


def added_folders(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Keys that are given a folder of another name: folder_names_and_paths[key] = ..., add_model_folder_path(key, ...)."""
    names: dict[str, list[ast.expr]] = {}
    for statement in ast.walk(tree):
        remember(statement, names)
        key, value = None, None
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Subscript):
            if tail(statement.targets[0].value) == "folder_names_and_paths":
                key, value = text_of(statement.targets[0].slice), statement.value
        elif isinstance(statement, ast.Call) and "folder_path" in tail(statement.func) and len(statement.args) > 1:
            key, value = text_of(statement.args[0]), statement.args[1]
        path = below_models(value, names) if key and value is not None else None
        if key and path:
            yield key, path


def below_models(value: ast.expr, names: dict[str, list[ast.expr]], depth: int = 0) -> str | None:
    """The path of the first os.path.join(models_dir, ...) in an expression, through names and joins of joins."""
    for node in ast.walk(value):
        if isinstance(node, ast.Call) and tail(node.func) == "join" and node.args:
            start = "" if tail(node.args[0]) == "models_dir" else below_models(node.args[0], names, depth + 1) if depth < 4 else None
            parts = [text_of(part) for part in node.args[1:]]
            if start is not None:
                return "/".join(part for part in (start, *parts) if part) if all(parts) else None
        elif isinstance(node, ast.Name) and depth < 4:
            for meaning in names.get(node.id, []):
                path = below_models(meaning, names, depth + 1)
                if path:
                    return path
    return None


def tail(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def text_of(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
