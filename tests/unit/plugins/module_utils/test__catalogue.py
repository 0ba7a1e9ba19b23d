# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import (
    Catalogue,
    CatalogueError,
    CatalogueModel,
    model_path,
    parse_catalogue,
    same_directory,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._manifest import parse_packs

DIGEST = "ab" * 32


def pack(name="ComfyUI-GGUF", **values):
    return {"name": name, "url": f"https://github.com/us/{name}-fork", **values}


def model(name="x.safetensors", directory="loras", **values):
    return {"name": name, "directory": directory, **values}


def problems_of(**data):
    with pytest.raises(CatalogueError) as caught:
        parse_catalogue(data)
    return str(caught.value)


# --- packs ---


def test_a_pack_is_found_by_its_folder_in_any_case_and_by_its_classes():
    catalogue = parse_catalogue({"custom_nodes": [pack(classes=["UnetLoaderGGUF"], note="our fork", branch="main")]})
    found = catalogue.pack_named("comfyui-gguf")
    assert (found.name, found.url, found.classes) == ("ComfyUI-GGUF", "https://github.com/us/ComfyUI-GGUF-fork", ("UnetLoaderGGUF",))
    assert found.entry["branch"] == "main"
    assert catalogue.pack_for_class("UnetLoaderGGUF") is found
    assert catalogue.pack_for_class("unetloadergguf") is None
    assert catalogue.pack_named("another") is None
    assert catalogue.warnings == ()


def test_the_packs_of_a_catalogue_are_a_manifest_without_a_warning():
    _packs, warnings = parse_packs([pack(classes=["A"], note="why")], "the inventory", ("https",))
    assert warnings == []


def test_an_address_is_cleaned_as_a_manifests_is():
    assert parse_catalogue({"custom_nodes": [pack(url="git clone https://github.com/us/it/")]}).packs[0].url == "https://github.com/us/it"


def test_other_protocols_are_for_the_inventory_to_allow():
    data = {"custom_nodes": [pack(url="http://127.0.0.1:8100/it")]}
    assert parse_catalogue(data, ("http",)).packs[0].url == "http://127.0.0.1:8100/it"
    assert "no repository address that is allowed here" in problems_of(**data)


# --- models ---


@pytest.mark.parametrize(
    "directory, name",
    [
        pytest.param("loras", "SDXL/x.safetensors", id="sub-folder in the name"),
        pytest.param("loras/SDXL", "x.safetensors", id="sub-folder in the directory"),
        pytest.param("loras", "SDXL\\x.safetensors", id="backslash"),
    ],
)
def test_a_model_is_the_same_wherever_its_sub_folder_is_said(directory, name):
    for known in (model("SDXL/x.safetensors"), model(directory="loras/SDXL")):
        assert parse_catalogue({"models": [known]}).model(directory, name) is not None
    assert parse_catalogue({"models": [model()]}).model(directory, name) is None


@pytest.mark.parametrize(
    "one, other, same",
    [
        pytest.param("clip", "text_encoders", True, id="clip"),
        pytest.param("clip_gguf", "clip", True, id="two aliases of one"),
        pytest.param("unet", "diffusion_models", True, id="unet"),
        pytest.param("unet_gguf", "diffusion_models", True, id="unet_gguf"),
        pytest.param("t2i_adapter", "controlnet", True, id="t2i_adapter"),
        pytest.param("unet/FLUX1", "diffusion_models/FLUX1", True, id="below an alias"),
        pytest.param("loras/", "loras", True, id="slash at the end"),
        pytest.param("diffusion_models/FLUX1", "diffusion_models", False, id="a folder and what is in it"),
        pytest.param("loras/clip", "loras/text_encoders", False, id="an alias is one in front only"),
        pytest.param("clip_vision", "text_encoders", False, id="another type"),
        pytest.param("Loras", "loras", False, id="case counts on a disk"),
    ],
)
def test_directories_are_compared_as_comfyui_searches_them(one, other, same):
    assert same_directory(one, other) is same
    assert (parse_catalogue({"models": [model(directory=one)]}).model(other, "x.safetensors") is not None) is same


def test_the_path_of_a_model_has_one_spelling():
    assert model_path("clip", "a\\b.safetensors") == model_path("text_encoders/a", "b.safetensors") == "text_encoders/a/b.safetensors"


def test_models_are_found_by_the_names_of_their_files_too():
    catalogue = parse_catalogue({"models": [model("SDXL/x.safetensors"), model(directory="vae"), model("y.safetensors")]})
    assert [one.path for one in catalogue.models_named("other/x.safetensors")] == ["loras/SDXL/x.safetensors", "vae/x.safetensors"]


def test_what_is_known_of_a_model_is_kept():
    given = model(url="https://example.com/x?id=3", sha256=DIGEST.upper(), size=7, note="why")
    catalogue = parse_catalogue({"models": [given, model("y.safetensors", url="", sha256=None)]})
    assert catalogue.models[0] == CatalogueModel("x.safetensors", "loras", "https://example.com/x?id=3", DIGEST, 7)
    assert catalogue.models[1] == CatalogueModel("y.safetensors", "loras")
    assert catalogue.warnings == ()


def test_the_same_model_may_be_listed_twice_as_the_same_file_only():
    assert len(parse_catalogue({"models": [model("a/x.pt"), model("x.pt", "loras/a")]}).models) == 1
    assert "loras/a/x.pt is in the catalogue twice" in problems_of(models=[model("a/x.pt"), model("x.pt", "loras/a", size=3)])


# --- accepted ---


def test_accepted_are_names_or_rows_with_a_note():
    rows = ["XY Input: Lora Block Weight //Inspire", {"name": "unet/a/x.gguf", "note": "built on the host"}]
    catalogue = parse_catalogue({"accepted": rows})
    for name in ("XY Input: Lora Block Weight //Inspire", "unet/a/x.gguf", "diffusion_models/a/x.gguf"):
        assert catalogue.accepts(name)
    for name in ("XY Input", "x.gguf", ""):
        assert not catalogue.accepts(name)


# --- what is wrong ---


def test_every_wrong_entry_is_named_in_one_message():
    said = problems_of(
        custom_nodes=[{"name": "../evil", "url": "https://github.com/us/it"}, pack("fine"), pack("other", classes="X")],
        models=[model("../x"), model(directory="custom_nodes"), model(sha256="ab"), model(size=True), model(url="file:///etc/passwd"), 7],
        accepted=["", {"note": "no name"}],
    )
    for words in (
        "entry 1 ('../evil'): the name '../evil' cannot be a folder",
        "entry 3 ('other'): classes must be a list of names, got 'X'",
        "models: entry 1 ('../x'): a name leads straight down",
        "models: entry 2 ('x.safetensors'): it is not a folder for models",
        "models: entry 3 ('x.safetensors'): its sha256 is not 64 hexadecimal digits",
        "models: entry 4 ('x.safetensors'): its size is not a number of bytes",
        "models: entry 5 ('x.safetensors'): the url is neither http nor https",
        "models: entry 6 is no object but int",
        "accepted: entry 1 has no name",
        "accepted: entry 2 has no name",
    ):
        assert words in said


@pytest.mark.parametrize(
    "data, words",
    [
        pytest.param({"models": {"a": 1}}, "models is no list but dict", id="no list"),
        pytest.param({"models": [{"directory": "loras"}]}, "entry 1 (None): it has no name", id="no name"),
        pytest.param({"models": [{"name": "x"}]}, "entry 1 ('x'): it has no directory", id="no directory"),
        pytest.param({"models": [model(url=7)]}, "its url is no text", id="a number as url"),
        pytest.param({"models": [model(url="https://me:pw@example.com/x")]}, "carries a user name or password", id="password"),
        pytest.param({"models": [model(url="https://example.com/x?token=hush")]}, "carries a token", id="token"),
        pytest.param({"custom_nodes": [pack("a", classes=["X"]), pack("b", classes=["X"])]}, "a has it and that b has it", id="one class"),
        pytest.param({"custom_nodes": [pack("a"), pack("A")]}, "the name is already that of entry 1", id="one folder"),
    ],
)
def test_what_is_wrong_is_said_without_secrets(data, words):
    said = problems_of(**data)
    assert words in said
    assert "hush" not in said and "pw" not in said


def test_what_is_not_understood_becomes_a_warning():
    catalogue = parse_catalogue({"modles": [], "models": [model(sha="ab")], "custom_nodes": [pack(odd=1)]})
    assert [warning.partition(";")[0] for warning in catalogue.warnings] == [
        "the catalogue's key 'modles' is ignored",
        "the catalogue's models: entry 1 ('x.safetensors'): unknown key 'sha' is ignored",
        "the catalogue's custom_nodes: entry 1 ('ComfyUI-GGUF'): unknown key 'odd' is ignored",
    ]


@pytest.mark.parametrize("data", [{}, {"custom_nodes": None, "models": [], "accepted": None}], ids=["nothing", "only comments"])
def test_an_empty_catalogue_knows_nothing(data):
    for catalogue in (parse_catalogue(data), Catalogue()):
        assert (catalogue.packs, catalogue.models, catalogue.pack_named("a"), catalogue.model("loras", "x")) == ((), (), None, None)
        assert not catalogue.accepts("loras/x")
