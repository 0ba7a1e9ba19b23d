# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _core_nodes
from ansible_collections.emprops.comfyui.plugins.module_utils._core_nodes import (
    FRONTEND_ONLY,
    NEWEST,
    OLDEST,
    VERSIONS,
    builtins,
    parse_object_info,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._data import core_nodes
from ansible_collections.emprops.comfyui.plugins.module_utils._data.core_loaders import LOADERS, WIDGETS
from hypothesis import given
from hypothesis import strategies as st

NEWER_CLASS = core_nodes.NEWER.splitlines()[0]


@pytest.fixture(name="small_data")
def fixture_small_data(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Four versions and a handful of classes, so that a test says all there is."""
    classes = "\n".join(["Always|-", "Gone|-1.1.0", "Late|1.2.0-", "Middle|1.1.0-1.1.0", "TwiceThere|-1.0.0,1.10.0-"])
    monkeypatch.setattr(core_nodes, "CLASSES", classes)
    monkeypatch.setattr(_core_nodes, "VERSIONS", ("1.0.0", "1.1.0", "1.2.0", "1.10.0"))
    monkeypatch.setattr(_core_nodes, "OLDEST", "1.0.0")
    monkeypatch.setattr(_core_nodes, "NEWEST", "1.10.0")
    monkeypatch.setattr(_core_nodes, "_NEWER", frozenset({"Tomorrow"}))
    monkeypatch.setattr(_core_nodes, "_OLDER", frozenset({"Yesterday"}))
    _core_nodes._spans.cache_clear()
    yield
    _core_nodes._spans.cache_clear()


@pytest.mark.usefixtures("small_data")
@pytest.mark.parametrize(
    ("version", "expected"),
    [
        pytest.param("1.0.0", {"Always", "Gone", "TwiceThere"}, id="the first version"),
        pytest.param("1.1.0", {"Always", "Gone", "Middle"}, id="one in between"),
        pytest.param("1.10.0", {"Always", "Late", "TwiceThere"}, id="the last version"),
        pytest.param("1.11.0", {"Always", "Late", "TwiceThere", "Tomorrow"}, id="a newer version has what is known of later ones"),
        pytest.param("0.9.0", {"Always", "Gone", "TwiceThere"}, id="an older version has what the oldest has"),
        pytest.param(None, {"Always", "Gone", "Late", "Middle", "TwiceThere", "Tomorrow", "Yesterday"}, id="no version has all"),
    ],
)
def test_a_version_has_the_classes_of_its_stretch(version: str | None, expected: set[str]) -> None:
    everything = ["Always", "Gone", "Late", "Middle", "TwiceThere", "Tomorrow", "Yesterday", "Nobody's", 7, None]
    assert {name for name in everything if name in builtins(version)} == expected


@pytest.mark.usefixtures("small_data")
@pytest.mark.parametrize(
    ("version", "class_name", "expected"),
    [
        pytest.param("1.1.0", "Late", "needs ComfyUI 1.2.0 or newer", id="added later"),
        pytest.param("1.0.0", "Middle", "needs ComfyUI 1.1.0 to 1.1.0", id="added later and removed again"),
        pytest.param("1.2.0", "Gone", "removed after 1.1.0", id="removed"),
        pytest.param("1.2.0", "TwiceThere", "needs ComfyUI 1.10.0 or newer", id="removed and brought back"),
        pytest.param("1.10.0", "Tomorrow", "newer than 1.10.0", id="newer than all versions"),
        pytest.param("1.0.0", "Yesterday", "removed before 1.0.0", id="older than all versions"),
        pytest.param("1.0.0", "Always", None, id="here, so not elsewhere"),
        pytest.param("1.0.0", "Nobody's", None, id="nowhere"),
        pytest.param(None, "Late", None, id="every version is meant"),
    ],
)
def test_a_class_of_another_version_is_told_with_that_version(version: str | None, class_name: str, expected: str | None) -> None:
    assert builtins(version).elsewhere(class_name) == expected


@pytest.mark.parametrize(
    ("written", "version", "exact", "note"),
    [
        pytest.param("0.3.12", "0.3.12", True, "", id="as ComfyUI writes it"),
        pytest.param(" v0.3.12\n", "0.3.12", True, "", id="as a tag in a file"),
        pytest.param("0.4", "0.4.0", True, "", id="short, and only one can be meant"),
        pytest.param("0.3", "0.3.76", False, "any of 0.3.10 to 0.3.76", id="short, and many can be meant"),
        pytest.param("v0.3.12-8-g3fb07a80", "0.3.12", False, "is taken for 0.3.12", id="as git describes a later commit"),
        pytest.param("0.3.12.1", "0.3.12", False, "0.3.12 is taken", id="a fourth part"),
        pytest.param("0.9.7", "0.9.2", False, "0.9.2 is taken", id="between two known ones"),
        pytest.param("0.2.7", OLDEST, False, "oldest known", id="older than all"),
        pytest.param("99.0.0", NEWEST, False, "newest known", id="newer than all"),
        pytest.param("unknown", None, False, "is no ComfyUI version", id="a word"),
        pytest.param("3064880a", None, False, "is no ComfyUI version", id="a git hash"),
        pytest.param("3\x1b[31m", None, False, "'3?[31m' is no", id="control characters do not reach the terminal"),
        pytest.param("", None, False, "no ComfyUI version is known", id="nothing"),
        pytest.param(None, None, False, "no ComfyUI version is known", id="none"),
    ],
)
def test_a_version_may_be_written_in_many_ways_and_the_note_says_how_it_was_read(
    written: str | None, version: str | None, exact: bool, note: str
) -> None:
    found = builtins(written)
    assert (found.version, found.exact) == (version, exact)
    assert note in found.note
    assert bool(found.note) is not exact


@given(st.text())
def test_any_text_as_a_version_is_answered(text: str) -> None:
    assert "KSampler" in builtins(text)


def test_the_shipped_data_says_what_is_known_of_comfyui() -> None:
    early, late = builtins("0.3.12"), builtins("0.33.0")
    assert "ApplyPulidFlux" not in builtins(None)
    assert "CreateHookLora" in early, "hooks are registered in a loop"
    assert "SaveImageWebsocket" in early, "ComfyUI ships it in custom_nodes"
    assert early.elsewhere("QuadrupleCLIPLoader") == "needs ComfyUI 0.3.29 or newer"
    assert late.elsewhere("Load3DAnimation") == "removed after 0.3.75"
    assert late.elsewhere(NEWER_CLASS) == f"newer than {NEWEST}"
    assert sorted(FRONTEND_ONLY) == ["MarkdownNote", "Note", "PrimitiveNode", "Reroute"]
    assert not any(name in builtins(None) for name in FRONTEND_ONLY)


def test_the_shipped_data_is_in_order_and_names_no_class_twice() -> None:
    names = [line.split("|")[0] for line in core_nodes.CLASSES.splitlines()]
    newer, older = core_nodes.NEWER.splitlines(), core_nodes.OLDER.splitlines()
    assert names == sorted(names)
    assert newer == sorted(newer)
    assert len({*names, *newer, *older}) == len(names) + len(newer) + len(older)
    assert list(VERSIONS) == sorted(VERSIONS, key=_core_nodes._key)
    for spans in _core_nodes._spans().values():
        places = [place for span in spans for place in span]
        assert places == sorted(places)


def test_the_shipped_loaders_are_builtin_and_load_from_the_folders_that_comfyui_searches() -> None:
    assert LOADERS["UNETLoader"] == {"unet_name": "diffusion_models"}
    assert LOADERS["VAELoader"] == {"vae_name": "vae"}
    assert LOADERS["LTXAVTextEncoderLoader"] == {"text_encoder": "text_encoders", "ckpt_name": "checkpoints"}
    assert all(name in builtins(None) for name in [*LOADERS, *WIDGETS])
    assert all(key in WIDGETS[name] for name, inputs in LOADERS.items() for key in inputs)


def test_the_shipped_widgets_leave_a_place_for_what_happens_after_a_run() -> None:
    assert WIDGETS["KSampler"] == ("seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise")
    assert WIDGETS["LoraLoader"] == ("lora_name", "strength_model", "strength_clip")
    assert WIDGETS["RandomNoise"] == ("noise_seed", "")


def described(module: object, **required: object) -> dict[str, object]:
    return {"python_module": module, "input": {"required": required}}


@pytest.mark.parametrize(
    ("module", "builtin", "pack"),
    [
        pytest.param("nodes", True, None, id="nodes.py"),
        pytest.param("comfy_extras.nodes_flux", True, None, id="an extra"),
        pytest.param("comfy_api_nodes.nodes_kling", True, None, id="an API node"),
        pytest.param("custom_nodes.ComfyUI-GGUF", False, "ComfyUI-GGUF", id="a pack"),
        pytest.param("custom_nodes.ComfyUI-Wan2.1", False, "ComfyUI-Wan2.1", id="a pack with a dot in its folder"),
        pytest.param("custom_nodes", False, None, id="a pack without a name"),
        pytest.param("custom_nodes...", False, None, id="a pack that is the folder above"),
        pytest.param("custom_nodes.../../etc", False, None, id="a pack elsewhere"),
        pytest.param("custom_nodes.a\nb", False, None, id="a pack with a line break"),
        pytest.param(f"custom_nodes.{'x' * 300}", False, None, id="a pack with an endless name"),
        pytest.param("comfy_extras", False, None, id="not quite an extra"),
        pytest.param("nodes.custom", False, None, id="not quite nodes.py"),
    ],
)
def test_the_module_of_a_class_tells_whose_it_is(module: str, builtin: bool, pack: str | None) -> None:
    found = parse_object_info({"Some": described(module)})
    assert ("Some" in found.builtin, found.packs.get("Some")) == (builtin, pack)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        pytest.param([["a", "b"], {"default": "a"}], ["a", "b"], id="a list as V1 nodes give it"),
        pytest.param([["a"]], ["a"], id="a list without options"),
        pytest.param([[]], [], id="a list of nothing"),
        pytest.param(["COMBO", {"options": ["a", "b"], "multiselect": False}], ["a", "b"], id="a list as V3 nodes give it"),
        pytest.param([["a", 512, None, ["b"]]], ["a"], id="only texts are choices"),
        pytest.param(["COMBO"], None, id="a list that is asked for later"),
        pytest.param(["COMBO", {"options": 7}], None, id="a list that is none"),
        pytest.param(["MODEL", {"tooltip": "a"}], None, id="no list"),
        pytest.param(["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "a", "inputs": {}}]}], None, id="choices with inputs of their own"),
    ],
)
def test_the_choices_of_an_input_are_read_in_both_shapes(declared: object, expected: list[str] | None) -> None:
    assert parse_object_info({"Some": described("nodes", one=declared)}).inputs == {"Some": {"one": expected}}


def test_inputs_keep_their_order_required_ones_first() -> None:
    some = {"input": {"optional": {"c": ["INT"]}, "hidden": {"d": "PROMPT"}, "required": {"b": ["INT"], "a": ["INT"]}}}
    assert list(parse_object_info({"Some": some}).inputs["Some"]) == ["b", "a", "c"]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(None, id="null"),
        pytest.param([], id="a list"),
        pytest.param({}, id="nothing"),
        pytest.param({"python_module": ["nodes"], "input": "none"}, id="members of other types"),
    ],
)
def test_a_class_that_is_not_described_is_left_out_and_the_others_stay(broken: object) -> None:
    found = parse_object_info({"Broken": broken, "x" * 300: described("nodes"), "Fine": described("nodes")})
    assert found.builtin == {"Fine"}
    assert list(found.inputs) == ["Fine"]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        pytest.param("none", {}, id="a text"),
        pytest.param({"required": ["a"], "optional": None}, {}, id="groups that are none"),
        pytest.param({"required": {"a": None, "b": [], "c": "INT", "d": ["INT"]}}, {"d": None}, id="inputs that are none"),
    ],
)
def test_inputs_that_are_not_declared_are_left_out(declared: object, expected: dict[str, None]) -> None:
    assert parse_object_info({"Some": {"python_module": "nodes", "input": declared}}).inputs["Some"] == expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param([], "this is a list", id="a list"),
        pytest.param("<html>", "this is a text", id="a page"),
        pytest.param(None, "this is null", id="null"),
        pytest.param({}, "nothing in it describes a node class", id="nothing"),
        pytest.param({"error": {"type": "not found"}}, "nothing in it describes a node class", id="an error of a proxy"),
    ],
)
def test_what_is_no_answer_of_object_info_is_refused(data: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_object_info(data)


KEYS = st.sampled_from(["input", "required", "python_module", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=15,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_no_json_breaks_the_reading_of_object_info(data: dict[str, object]) -> None:
    try:
        found = parse_object_info(data)
    except ValueError:
        return
    assert found.inputs.keys() <= data.keys()
    json.dumps([sorted(found.builtin), found.packs, found.inputs])
