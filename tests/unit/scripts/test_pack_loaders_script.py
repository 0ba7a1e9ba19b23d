# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Packs written here, as their authors write them, and what the generator says of them."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[3] / "scripts"
sys.path.insert(0, str(SCRIPTS))

import pack_loaders  # noqa: E402

DATA = SCRIPTS.parent / "plugins/module_utils/_data/pack_loaders.py"
COMFYUI = {
    "nodes.py": """
import folder_paths
class LoraLoader:
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"model": ("MODEL",), "lora_name": (folder_paths.get_filename_list("loras"),),
                             "strength": ("FLOAT", {"default": 1.0})}}
NODE_CLASS_MAPPINGS = {"LoraLoader": LoraLoader}
"""
}
HEAD = "import os, folder_paths\n"


def found_in(files: dict[str, str] | str) -> pack_loaders.Found:
    python = {"__init__.py": files} if isinstance(files, str) else files
    return pack_loaders.read_classes(pack_loaders.Pack("somebody/pack", "", python, {}), COMFYUI)


def node(inputs: str, before: str = "", optional: str = "") -> str:
    return f"""{HEAD}{before}
class Loader:
    @classmethod
    def INPUT_TYPES(cls):
        return {{"required": {{{inputs}}}, "optional": {{{optional}}}}}
NODE_CLASS_MAPPINGS = {{"Loader": Loader}}
"""


@pytest.mark.parametrize(
    ("choices", "before", "folders"),
    [
        pytest.param('folder_paths.get_filename_list("vae")', "", ("vae",), id="directly"),
        pytest.param('["None"] + folder_paths.get_filename_list("loras")', "", ("loras",), id="after a word of its own"),
        pytest.param(
            'folder_paths.get_filename_list("unet") + folder_paths.get_filename_list("checkpoints")',
            "",
            ("unet", "checkpoints"),
            id="two folders",
        ),
        pytest.param("NAMES", 'NAMES = folder_paths.get_filename_list("sams")', ("sams",), id="a variable of the module"),
        pytest.param("names()", 'def names():\n    return sorted(folder_paths.get_filename_list("sams"))', ("sams",), id="a helper"),
        pytest.param(
            'of("onnx")',
            "def inner(kind):\n    return folder_paths.get_filename_list(kind)\n"
            "def of(kind):\n    return [n for n in inner(kind) if n.endswith('.onnx')]",
            ("onnx",),
            id="two helpers, the folder handed on",
        ),
        pytest.param(
            "names()",
            'def names():\n    if os.path.exists("x"):\n        return folder_paths.get_filename_list("sams")\n    return []',
            ("sams",),
            id="a helper that may find nothing",
        ),
        pytest.param(
            'folder_paths.get_filename_list("mine")',
            'folder_paths.add_model_folder_path("mine", os.path.join(folder_paths.models_dir, "other/place"))',
            ("other/place",),
            id="a folder that the pack adds",
        ),
        pytest.param(
            'folder_paths.get_filename_list("mine")',
            'folder_paths.folder_names_and_paths["mine"] = ([os.path.join(folder_paths.models_dir, "other")], {".pt"})',
            ("other",),
            id="a folder that the pack writes",
        ),
        pytest.param(
            'folder_paths.get_filename_list("loras")',
            'folder_paths.add_model_folder_path("loras", os.path.join(folder_paths.models_dir, "other"))',
            ("loras",),
            id="a second place for a folder of ComfyUI's",
        ),
        pytest.param(
            "os.listdir(HERE)", 'HERE = os.path.join(folder_paths.models_dir, "LLM")', ("LLM",), id="a listing of a folder below models"
        ),
        pytest.param(
            '["bbox/" + n for n in folder_paths.get_filename_list("d_bbox")]',
            'folder_paths.add_model_folder_path("d_bbox", os.path.join(folder_paths.models_dir, "detectors", "bbox"))',
            ("detectors",),
            id="names shown with their folder",
        ),
        pytest.param("os.listdir(os.path.dirname(__file__))", "", None, id="the pack's own folder"),
        pytest.param('["a", "b"]', "", None, id="words"),
        pytest.param("unheard_of()", "", None, id="not understood"),
    ],
)
def test_the_folder_behind_the_choices(choices: str, before: str, folders: tuple[str, ...] | None) -> None:
    found = found_in(node(f'"model_name": ({choices},)', before))
    assert found.loads == ({} if folders is None else {"Loader": {"model_name": folders}})


def test_the_order_of_widgets_is_required_then_optional_and_a_seed_has_a_value_behind_it() -> None:
    inputs = '"model": ("MODEL",), "seed": ("INT", {}), "name": (folder_paths.get_filename_list("vae"),), '
    inputs += '"text": ("STRING", {"forceInput": True})'
    found = found_in(node(inputs, optional='"strength": ("FLOAT", {}), "mask": ("MASK",)'))
    assert found.widgets == {"Loader": ("seed", "", "name", "strength")}


def test_an_order_that_is_not_understood_before_the_file_is_not_given() -> None:
    found = found_in(node('"what": (strange,), "name": (folder_paths.get_filename_list("vae"),)'))
    assert found.loads == {"Loader": {"name": ("vae",)}}
    assert found.widgets == {}
    assert any("Loader" in note for note in found.notes)


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param('"name": (folder_paths.get_filename_list("vae"), {"forceInput": True})', id="a socket"),
        pytest.param('"Select to add LoRA": (["Select"] + folder_paths.get_filename_list("loras"),)', id="a list that only helps to write"),
    ],
)
def test_an_input_without_a_value_names_no_file(inputs: str) -> None:
    assert found_in(node(inputs)).loads == {}


REGISTERED = (
    "class A:\n    @classmethod\n    def INPUT_TYPES(s):\n        return {'required': {'name': (folder_paths.get_filename_list('vae'),)}}\n"
)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"__init__.py": HEAD + REGISTERED + "NODE_CLASS_MAPPINGS = {}\nNODE_CLASS_MAPPINGS.update({'A': A})"}, id="update"),
        pytest.param(
            {"__init__.py": "from .n import NODE_CLASS_MAPPINGS", "n.py": HEAD + REGISTERED + "NODE_CLASS_MAPPINGS = {'A': A}"},
            id="from a module",
        ),
        pytest.param(
            {"__init__.py": "from .n import *", "n/__init__.py": HEAD + REGISTERED + "NODE_CLASS_MAPPINGS = {'A': A}"},
            id="from a package, all of it",
        ),
        pytest.param(
            {
                "__init__.py": "from .a import M as one\nfrom .b import M as two\nNODE_CLASS_MAPPINGS = {**one, **two}",
                "a.py": HEAD + REGISTERED + "M = {'A': A}",
                "b.py": "M = {}",
            },
            id="joined",
        ),
        pytest.param(
            {"__init__.py": HEAD + REGISTERED + "NODE_CLASS_MAPPINGS = {name: made for name, made in [('A', A)]}"}, id="a comprehension"
        ),
        pytest.param({"__init__.py": HEAD + REGISTERED + "NODE_CONFIG = {'A': {'class': A, 'name': 'An A'}}"}, id="with titles"),
        pytest.param(
            {
                "__init__.py": "import importlib\nfor n in find():\n    importlib.import_module(n)",
                "deep/n.py": HEAD + REGISTERED + "NODE_CLASS_MAPPINGS = {'A': A}",
            },
            id="found when it runs",
        ),
    ],
)
def test_ways_of_registering(files: dict[str, str]) -> None:
    assert found_in(files).loads == {"A": {"name": ("vae",)}}


def test_a_v3_schema() -> None:
    text = """
import folder_paths
from comfy_api.latest import io
class A(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        choices = folder_paths.get_filename_list("vae")
        return io.Schema(node_id="Vee", inputs=[io.Model.Input("model"), io.Combo.Input("name", options=choices)])
"""
    found = found_in(text)
    assert (found.loads, found.widgets) == ({"Vee": {"name": ("vae",)}}, {"Vee": ("name",)})


def test_a_class_that_builds_on_one_of_comfyui() -> None:
    text = "import nodes\nclass Mine(nodes.LoraLoader):\n    pass\nNODE_CLASS_MAPPINGS = {'Mine': Mine}"
    assert found_in(text).widgets == {"Mine": ("lora_name", "strength")}


def test_a_class_made_by_a_function_around_another() -> None:
    text = """
import copy, nodes
def wrapped(base):
    class Made(base):
        @classmethod
        def INPUT_TYPES(s):
            types = copy.deepcopy(base.INPUT_TYPES())
            types["optional"] = {"device": (["a"],)}
            return types
    return Made
NODE_CLASS_MAPPINGS = {"Made": wrapped(nodes.LoraLoader)}
"""
    found = found_in(text)
    assert (found.loads, found.widgets) == ({"Made": {"lora_name": ("loras",)}}, {"Made": ("lora_name", "strength", "device")})


def test_text_inputs_that_the_class_looks_up_in_a_loop() -> None:
    body = "        names = [a, b]\n        for n, name in enumerate(names):\n            folder_paths.get_full_path('clip', name)\n"
    text = node('"a": ("STRING", {}), "b": ("STRING", {}), "c": ("STRING", {})').replace(
        "NODE_CLASS", f"    def load(self, a, b, c):\n{body}NODE_CLASS"
    )
    assert found_in(text).loads == {"Loader": {"a": ("clip",), "b": ("clip",)}}


def test_a_text_input_that_the_class_looks_up_in_a_folder() -> None:
    text = node('"ckpt_name": ("STRING", {})').replace(
        "NODE_CLASS", "    def load(self, ckpt_name):\n        folder_paths.get_full_path('checkpoints', ckpt_name)\nNODE_CLASS"
    )
    assert found_in(text).loads == {"Loader": {"ckpt_name": ("checkpoints",)}}


@pytest.mark.parametrize(
    ("name", "inputs", "body"),
    [
        pytest.param("Interpolate", '"ckpt_name": (["rife47.pth", "rife49.pth"],)', "", id="names of files"),
        pytest.param("DownloadAndLoadThing", '"precision": (["fp16"],)', "", id="says so"),
        pytest.param("Segment", '"model_name": (["vit_h (2.56GB)"],)', "hf_hub_download('a/b')", id="fetches what is chosen"),
    ],
)
def test_a_class_that_fetches_by_itself_is_no_loader(name: str, inputs: str, body: str) -> None:
    found = found_in(node(inputs).replace("Loader", name) + f"\ndef get():\n    {body or 'pass'}\n")
    assert list(found.auto) == [name]
    assert found.loads == {}


def test_a_class_that_downloads_what_its_texts_say() -> None:
    text = node('"repo": ("STRING", {}), "file": ("STRING", {})').replace(
        "NODE_CLASS", "    def load(self, repo, file):\n        hf_hub_download(repo, file)\nNODE_CLASS"
    )
    assert found_in(text).auto == {"Loader": "downloads from a hub"}


def test_a_file_that_cannot_be_followed_leaves_the_others() -> None:
    endless = "for a in range(1000):\n    for b in range(1000):\n        c = 1\n"
    found = found_in(
        {
            "__init__.py": "from . import bad, good",
            "bad.py": endless,
            "worse.py": "def (",
            "good.py": HEAD + REGISTERED + "NODE_CLASS_MAPPINGS = {'A': A}",
        }
    )
    assert found.loads == {"A": {"name": ("vae",)}}
    assert any("bad.py" in note for note in found.notes)


def test_nothing_of_a_pack_is_run(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    found_in(f"import os\nos.system('touch {trace}')\nopen({str(trace)!r}, 'w').write('x')\n")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("script", "names"),
    [
        pytest.param('LiteGraph.registerNodeType("Sticky", Sticky);', {"Sticky"}, id="a text"),
        pytest.param('const KIND = "Sticky";\nLiteGraph.registerNodeType(KIND, Sticky);', {"Sticky"}, id="a constant"),
        pytest.param(
            'class Sticky extends LGraphNode { static type = "Sticky Note"; }\nLiteGraph.registerNodeType(Sticky.type, Sticky);',
            {"Sticky Note"},
            id="a static text",
        ),
        pytest.param("LiteGraph.registerNodeType(made(), Sticky);", set(), id="not understood"),
    ],
)
def test_names_that_only_the_browser_knows(script: str, names: set[str]) -> None:
    assert pack_loaders.drawn_names(pack_loaders.Pack("somebody/pack", "", {}, {"web/a.js": script})) == names


def found_as(pack: str, **values: object) -> pack_loaders.Found:
    found = pack_loaders.Found(pack)
    for key, value in values.items():
        setattr(found, key, value)
    return found


def test_the_pack_with_more_stars_is_heard_and_the_difference_noted() -> None:
    famous = found_as("a/famous", classes={"X"}, loads={"X": {"name": ("vae",)}})
    copy = found_as("b/copy", classes={"X", "Y"}, loads={"X": {"name": ("loras",)}, "Y": {"name": ("loras",)}})
    table = pack_loaders.joined([(1, copy), (900, famous)], builtin=[])
    assert table.loads == {"X": {"name": ("vae",)}, "Y": {"name": ("loras",)}}
    assert table.notes == ["X: a/famous is heard, not b/copy (name=loras)"]


def test_classes_of_comfyui_and_drawn_names_with_a_python_class_are_left_out() -> None:
    found = found_as(
        "a/pack", classes={"VAELoader", "Both"}, loads={"VAELoader": {"vae_name": ("elsewhere",)}}, drawn={"Both", "Note", "Only"}
    )
    table = pack_loaders.joined([(1, found)], builtin=["VAELoader", "Note"])
    assert (table.loads, table.drawn) == ({}, {"Only": "a/pack"})


def test_what_is_written_reads_back_as_it_was(tmp_path: Path) -> None:
    table = pack_loaders.Table(
        loads={"A (x)": {"name": ("vae",), "other name": ("unet", "made/here")}, "B|y": {"z": ("loras",)}},
        widgets={"A (x)": ("seed", "", "name", "other name"), "B|y": ("seed", "", *(f"lora_name_{n}" for n in range(50)), "", "z")},
        auto={"C": "downloads what it loads"},
        drawn={"D": "somebody/pack"},
    )
    data = tmp_path / "data.py"
    data.write_text(pack_loaders.table_text(table, ["somebody/pack 1234567 2026-01-01"]))
    read = runpy.run_path(str(data))
    assert read["PACK_LOADERS"] == {"A (x)": {"name": "vae", "other name": ("unet", "made/here")}, "B|y": {"z": "loras"}}
    assert read["PACK_WIDGETS"] == table.widgets
    assert max(map(len, data.read_text().splitlines())) <= 140
    assert (read["AUTO"], read["FRONTEND_ONLY"], read["FOLDERS"]) == (table.auto, table.drawn, frozenset({"made/here"}))


def test_names_that_would_break_the_data_file_are_dropped_and_noted() -> None:
    found = pack_loaders.cleaned(
        found_as("a/b", classes={"A;B", "ok"}, loads={"A;B": {"x": ("vae",)}, "ok": {"x": ("vae",)}}, drawn={'q"""'})
    )
    assert (set(found.loads), found.drawn) == ({"ok"}, set())
    assert len(found.notes) == 2


def test_a_repository_is_read_at_the_commit_that_is_named(tmp_path: Path) -> None:
    run = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@example.com"]
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for text in ("first = 1", "second = 2"):
        (tmp_path / "__init__.py").write_text(text)
        subprocess.run([*run, "add", "."], check=True)
        subprocess.run([*run, "commit", "-qm", text], check=True)
    assert pack_loaders.read_pack("a/b", tmp_path).python == {"__init__.py": "second = 2"}
    assert pack_loaders.read_pack("a/b", tmp_path, "HEAD~1").python == {"__init__.py": "first = 1"}


def test_the_shipped_table_is_whole() -> None:
    data = runpy.run_path(str(DATA))
    loaders, widgets = data["PACK_LOADERS"], data["PACK_WIDGETS"]
    assert loaders["UltralyticsDetectorProvider"] == {"model_name": "ultralytics"}
    assert loaders["LoadFluxControlNet"] == {"controlnet_path": "xlabs/controlnets"}
    assert not loaders.keys() & data["AUTO"].keys()
    assert widgets.keys() <= loaders.keys()
    assert all(name in order for kind, order in widgets.items() for name in loaders[kind])
    named = {
        one for inputs in loaders.values() for folder in inputs.values() for one in (folder if isinstance(folder, tuple) else (folder,))
    }
    assert all(".." not in one and not one.startswith("/") and one for one in named)
    assert named >= data["FOLDERS"]
