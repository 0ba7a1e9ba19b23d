# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts/core_nodes.py"


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


script = load(SCRIPT, "core_nodes_script")


def read(files: dict[str, str]) -> dict[str, Any]:
    """What the script finds in a tree of these files; nodes.py loads every extra unless it says otherwise."""
    texts = {"nodes.py": 'EXTRAS = ["nodes_*.py"]\n', **files}
    nodes: dict[str, Any] = script.read_nodes({path: path for path in texts}, lambda path: ast.parse(texts[path]))
    return nodes


V3 = """
from typing_extensions import override
from comfy_api.latest import ComfyExtension, io
import folder_paths

class Loader(io.ComfyNode):
    NAME = "FromAttribute"

    @classmethod
    def define_schema(cls):
        files = folder_paths.get_filename_list("upscale_models")
        return io.Schema(
            node_id=cls.NAME,
            inputs=[
                io.Int.Input("seed", control_after_generate=True, optional=True),
                io.Combo.Input("model_name", options=sorted(files)),
                io.Image.Input("image"),
                io.Float.Input("strength", force_input=True),
            ],
        )

class Heir(Loader):
    NAME = "Inherited"

class Changed(Loader):
    @classmethod
    def define_schema(cls):
        schema = super().define_schema()
        schema.node_id = "Changed"
        schema.inputs = [*schema.inputs, io.Boolean.Input("more")]
        return schema

class NotListed(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="NotListed", inputs=[])

class Extension(ComfyExtension):
    @override
    async def get_node_list(self):
        return [Loader, Heir] + [Changed]

async def comfy_entrypoint():
    return Extension()
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('class A: pass\nNODE_CLASS_MAPPINGS = {"A": A, "B two": A}', {"A", "B two"}, id="a mapping"),
        pytest.param('NODE_CLASS_MAPPINGS: dict[str, type] = {"A": object}', {"A"}, id="a mapping with a type"),
        pytest.param('X = {"A": 1}\nNODE_CLASS_MAPPINGS = {**X, "B": 2}', {"A", "B"}, id="a mapping in a mapping"),
        pytest.param('X = {"A": 1}\nNODE_CLASS_MAPPINGS = X | {"B": 2}', {"A", "B"}, id="two mappings in one"),
        pytest.param('NODE_CLASS_MAPPINGS = {}\nNODE_CLASS_MAPPINGS.update({"A": 1})', {"A"}, id="a mapping brought up to date"),
        pytest.param('NODE_CLASS_MAPPINGS = {}\nNODE_CLASS_MAPPINGS["A"] = 1', {"A"}, id="a mapping that is added to"),
        pytest.param(
            'class A:\n    NodeId = "A"\nclass B(A):\n    NodeId = "B"\nclass C(B): pass\n'
            "NODE_CLASS_MAPPINGS = {}\nfor node in [A, B]:\n    NODE_CLASS_MAPPINGS[node.NodeId] = node",
            {"A", "B"},
            id="classes that carry their name",
        ),
        pytest.param(V3, {"FromAttribute", "Inherited", "Changed"}, id="an entry point"),
        pytest.param("class Helper: pass", set(), id="a file that registers nothing"),
    ],
)
def test_every_way_of_registering_a_node_is_read(text: str, expected: set[str]) -> None:
    assert set(read({"comfy_extras/nodes_x.py": text})) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('import other\nNODE_CLASS_MAPPINGS = {"A": 1, other.NAME: 2}', id="a name from elsewhere"),
        pytest.param("import other\nNODE_CLASS_MAPPINGS = other.all_of_them()", id="a mapping from elsewhere"),
        pytest.param(V3.replace('NAME = "Inherited"', "NAME = io.name()"), id="a node_id from elsewhere"),
        pytest.param(V3.replace("[Loader, Heir] + [Changed]", "io.everything()"), id="a list from elsewhere"),
    ],
)
def test_a_name_that_cannot_be_read_is_an_error_and_not_a_missing_class(text: str) -> None:
    with pytest.raises(script.UnreadableError, match=r"comfy_extras/nodes_x\.py"):
        read({"comfy_extras/nodes_x.py": text})


def test_only_files_that_comfyui_loads_count() -> None:
    mapping = "NODE_CLASS_MAPPINGS = {{'{0}': 1}}"
    files = {
        "nodes.py": 'NODE_CLASS_MAPPINGS = {"Core": 1}\ndef init():\n    files = ["nodes_named.py"]\n',
        "comfy_extras/nodes_named.py": mapping.format("Named"),
        "comfy_extras/nodes_forgotten.py": mapping.format("Forgotten"),
        "comfy_extras/deeper/nodes_named.py": mapping.format("Deeper"),
        "custom_nodes/websocket.py": mapping.format("Shipped"),
    }
    assert set(read(files)) == {"Core", "Named", "Shipped"}


V1 = """
import folder_paths
from comfy.comfy_types import IO

class Base:
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"vae_name": (s.vaes(),), "vae": ("VAE",)}, "optional": {"noise_seed": ("INT", {"min": 0})}}

    @staticmethod
    def vaes():
        found = folder_paths.get_filename_list("vae")
        for one in folder_paths.get_filename_list("vae_approx"):
            if one.startswith("tae"):
                found.append(one)
        found.append("pixel_space")
        return found

class Heir(Base): pass

class Blocks:
    @classmethod
    def INPUT_TYPES(s):
        inputs = {"model": ("MODEL",), "text": (IO.STRING, {}), "linked": ("STRING", {"forceInput": True})}
        for i in range(2):
            inputs["blocks.{}.".format(i)] = ("FLOAT", {})
        return {"optional": {"last": (["a", "b"], {"control_after_generate": True})}, "required": inputs}

NODE_CLASS_MAPPINGS = {"Base": Base, "Heir": Heir, "Blocks": Blocks}
"""


@pytest.mark.parametrize(
    ("text", "name", "widgets", "loads"),
    [
        pytest.param(V1, "Base", ("vae_name", "noise_seed", ""), {"vae_name": "vae"}, id="the first folder of a list names it"),
        pytest.param(V1, "Heir", ("vae_name", "noise_seed", ""), {"vae_name": "vae"}, id="inputs of the base class"),
        pytest.param(V1, "Blocks", ("text", "blocks.0.", "blocks.1.", "last", "", ""), {}, id="inputs made in a loop"),
        pytest.param(V3, "FromAttribute", ("model_name", "seed", ""), {"model_name": "upscale_models"}, id="a schema, required first"),
        pytest.param(V3, "Changed", ("model_name", "more", "seed", ""), {"model_name": "upscale_models"}, id="a schema made from another"),
    ],
)
def test_widgets_and_model_folders_are_read(text: str, name: str, widgets: tuple[str, ...], loads: dict[str, str]) -> None:
    node = read({"comfy_extras/nodes_x.py": text})[name]
    assert node.widgets == widgets
    assert {key: folders[0] for key, folders in node.loads} == loads


def test_nothing_is_listed_behind_an_input_that_brings_others_with_it() -> None:
    inputs = 'io.String.Input("a"), io.DynamicCombo.Input("b", options=[]), io.Int.Input("c")'
    schema = f"""
from comfy_api.latest import ComfyExtension, io
class Node(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="Node", inputs=[{inputs}])
class Extension(ComfyExtension):
    async def get_node_list(self):
        return [Node]
def comfy_entrypoint():
    return Extension()
"""
    assert read({"comfy_extras/nodes_x.py": schema})["Node"].widgets == ("a", "b")


def test_code_that_is_read_is_never_run(tmp_path: Path) -> None:
    proof = tmp_path / "it ran"
    text = f"from pathlib import Path\nPath({str(proof)!r}).touch()\nNODE_CLASS_MAPPINGS = {{'A': Path({str(proof)!r}).touch()}}"
    assert set(read({"comfy_extras/nodes_x.py": text})) == {"A"}
    assert not proof.exists()


def test_a_loop_without_end_is_given_up() -> None:
    loops = "for a in range(1000):\n    for b in range(1000):\n        x = a"
    with pytest.raises(script.UnreadableError, match="too many steps"):
        read({"comfy_extras/nodes_x.py": loops})


def release(version: str, **classes: str) -> dict[str, str]:
    method = "    @classmethod\n    def INPUT_TYPES(s):\n        return"
    mapping = "".join(f"class {name}:\n{method} {body}\n" for name, body in classes.items())
    names = ", ".join(f'"{name}": {name}' for name in classes)
    return {
        "nodes.py": f"import folder_paths\n{mapping}NODE_CLASS_MAPPINGS = {{{names}}}\n",
        **({"comfyui_version.py": f'__version__ = "{version}"\n'} if version else {}),
    }


@pytest.fixture(name="sources")
def fixture_sources(origin: Callable[..., Any], tmp_path: Path) -> list[str]:
    """A small ComfyUI through five commits, a frontend of a later day, and a documentation with an old name in it."""
    loader = '{"required": {"name": (folder_paths.get_filename_list("vae"),)}}'
    renamed = '{"required": {"new": (folder_paths.get_filename_list("vae"),), "seed": ("INT",)}}'
    repository = origin("ComfyUI", release("", Kept="{}", LongGone="{}"))
    repository.commit(release("0.9.0", Kept="{}", Short="{}", Loader=loader))
    repository.commit(release("0.9.0", Kept="{}", Short="{}", Loader=loader, BetweenReleases="{}"))
    repository.commit(release("0.10.0", Kept="{}", Loader=renamed))
    repository.commit(release("0.11.0", Kept="{}", Loader=renamed, Added="{}"))
    repository.commit(release("0.11.0", Kept="{}", Loader=renamed, Added="{}", Unreleased=loader))
    assets = tmp_path / "frontend/package/static/assets"
    assets.mkdir(parents=True)
    for language, names in (("en", ["Kept", "Future", "Version1_5Future"]), ("de", ["Zukunft"])):
        content = {"sources": [f"../../src/locales/{language}/nodeDefs.json"], "sourcesContent": [json.dumps(dict.fromkeys(names, {}))]}
        (assets / f"nodeDefs-{language}.js.map").write_text(json.dumps(content))
    docs = tmp_path / "docs/package/docs"
    for name in ("Kept", "Note", "Misspelt", "Version1.5Future"):
        (docs / name).mkdir(parents=True)
        (docs / name / "en.md").write_text("words")
    return ["--repository", str(repository.path), "--frontend", str(tmp_path / "frontend"), "--docs", str(tmp_path / "docs")]


def generate(sources: list[str], into: Path) -> tuple[ModuleType, ModuleType]:
    subprocess.run([sys.executable, str(SCRIPT), *sources, "--into", str(into)], check=True, capture_output=True)
    return load(into / "core_nodes.py", "generated_nodes"), load(into / "core_loaders.py", "generated_loaders")


def test_a_history_becomes_the_versions_of_each_class(sources: list[str], tmp_path: Path) -> None:
    nodes, _ = generate(sources, tmp_path / "data")
    assert nodes.VERSIONS.split() == ["0.9.0", "0.10.0", "0.11.0"]
    assert nodes.CLASSES.splitlines() == ["Added|0.11.0-", "Kept|-", "Loader|-", "Short|-0.9.0"]
    assert nodes.NEWER.splitlines() == ["Future", "Unreleased", "Version1.5Future"]
    assert nodes.OLDER.splitlines() == ["LongGone"]


def test_the_newest_version_says_what_inputs_hold(sources: list[str], tmp_path: Path) -> None:
    _, loaders = generate(sources, tmp_path / "data")
    assert loaders.LOADERS == {"Loader": {"new": "vae"}, "Unreleased": {"name": "vae"}}
    assert loaders.WIDGETS == {"Loader": ("new", "seed", ""), "Unreleased": ("name",)}


def test_the_same_sources_give_the_same_files(sources: list[str], tmp_path: Path) -> None:
    generate(sources, tmp_path / "one")
    generate(sources, tmp_path / "two")
    for name in ("core_nodes.py", "core_loaders.py"):
        assert (tmp_path / "one" / name).read_text() == (tmp_path / "two" / name).read_text()


def test_a_package_is_named_by_its_metadata_in_a_wheel_and_in_a_folder(tmp_path: Path) -> None:
    metadata = "Metadata-Version: 2.1\nName: some-package\nVersion: 1.2.3\n"
    with zipfile.ZipFile(tmp_path / "any.whl", "w") as archive:
        archive.writestr("some_package-1.2.3.dist-info/METADATA", metadata)
    folder = tmp_path / "folder/some_package-1.2.3.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(metadata)
    assert script._package(tmp_path / "any.whl") == "some-package 1.2.3"
    assert script._package(tmp_path / "folder") == "some-package 1.2.3"
