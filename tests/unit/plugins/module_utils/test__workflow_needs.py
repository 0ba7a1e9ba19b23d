# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.emprops.comfyui.plugins.filter import needed_models as needed_models_filter
from ansible_collections.emprops.comfyui.plugins.filter import workflow_open as workflow_open_filter
from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import Catalogue
from ansible_collections.emprops.comfyui.plugins.module_utils._core_nodes import builtins
from ansible_collections.emprops.comfyui.plugins.module_utils._manifest import ManifestError
from ansible_collections.emprops.comfyui.plugins.module_utils._registry import load_registry
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_info import Options, analyse
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_needs import (
    needed_models,
    needed_packs,
    open_models,
    open_packs,
    unsourced_models,
    with_manifests,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import DEFAULT_HOSTS
from support.workflows import needs, node, ui

OPTIONS = Options(DEFAULT_HOSTS)

HUB = "https://huggingface.co/example/repo/resolve/main"
PROTOCOLS = ("https", "ssh")


def declared(name, directory="loras"):
    return {"models": [{"name": name, "url": f"{HUB}/{name}", "directory": directory}]}


def test_a_class_without_a_pack_stands_in_the_way_until_it_is_accepted():
    result = needs(ui(node("Unheard")))
    (line,) = open_packs(result, Catalogue())
    assert line.startswith("Unheard: ") and "a.json" in line
    assert open_packs(result, Catalogue(accepted=["Unheard"])) == []
    assert open_models(result, Catalogue()) == []


def test_a_class_that_is_too_new_stands_in_the_way_too():
    result = needs(ui(node("Kling9", properties={"cnr_id": "comfy-core"})))
    assert [line.partition(":")[0] for line in open_packs(result, Catalogue())] == ["Kling9"]
    assert open_packs(result, Catalogue(accepted=["Kling9"])) == []


def test_a_file_that_cannot_be_read_stands_in_the_way_of_both():
    result = {**needs(ui()), "files": {"flows/b.json": {"valid": False, "error": "not JSON", "other": False}}}
    for ask in (open_packs, open_models):
        assert ask(result, Catalogue()) == ["flows/b.json: not JSON"]
        for accepted in ("flows/b.json", "b.json", "../flows/b.json"):
            assert ask(result, Catalogue(accepted=[accepted])) == []
        assert ask(result, Catalogue(accepted=["a.json", "lows/b.json", ".."])) != []


def test_a_file_of_a_folder_that_is_something_else_stands_in_nobodys_way(tmp_path):
    def ask(path):
        known = {"builtins": builtins(None), "object_info": None, "catalogue": Catalogue(), "registry": load_registry("none")}
        return open_packs(analyse([str(path)], OPTIONS, **known), Catalogue())

    (tmp_path / "package.json").write_text('{"name": "x"}')
    assert ask(tmp_path) == [] and ask(tmp_path / "package.json") == [f"{tmp_path}/package.json: no workflow inside"]
    (tmp_path / "cut.json").write_text('{"nodes": [')
    assert [line.partition(":")[0] for line in ask(tmp_path)] == [str(tmp_path / "cut.json")]


def test_a_model_without_a_source_may_be_in_the_store():
    result = needs(ui(node("LoraLoader", "own.safetensors", 1, 1)))
    assert open_models(result, Catalogue()) == []
    assert [line.partition(":")[0] for line in unsourced_models(result, Catalogue())] == ["loras/own.safetensors"]
    assert needed_models(result, [], Catalogue()) == [
        {"name": "own.safetensors", "directory": "loras", "url": None, "sha256": None, "size": None}
    ]
    assert needed_models(result, [], Catalogue(accepted=["loras/own.safetensors"])) == []


def test_a_model_whose_folder_nobody_knows_stands_in_the_way():
    result = needs(ui(node("Unheard", "what.safetensors")))
    assert [line.partition(":")[0] for line in open_models(result, Catalogue())] == ["what.safetensors"]
    assert needed_models(result, [], Catalogue()) == []


def test_a_model_is_brought_into_its_sub_folder_unless_it_is_listed():
    result = needs(ui(node("LoraLoader", "XL\\a.safetensors", 1, 1, properties={"models": declared("a.safetensors")["models"]})))
    (model,) = needed_models(result, [], Catalogue())
    assert (model["directory"], model["name"], model["url"]) == ("loras/XL", "a.safetensors", f"{HUB}/a.safetensors")
    for listed in ({"directory": "loras/XL", "name": "a.safetensors"}, {"directory": "loras", "name": "XL/a.safetensors"}):
        assert needed_models(result, [listed], Catalogue()) == []


def test_a_pack_of_the_catalogue_is_taken_as_it_stands_there():
    own = {"name": "boats", "url": "https://github.com/operator/boats", "branch": "stable", "classes": ["Harbour"]}
    result = needs(ui(node("Harbour")), catalogue={"custom_nodes": [own]})
    assert needed_packs(result, {"custom_nodes": [own]}) == [own]
    assert needed_packs(result, {}) == [{"name": "boats", "url": "https://github.com/operator/boats"}]
    assert needed_packs(result, {"custom_nodes": None}) == needed_packs(result, {})


def test_of_one_name_the_catalogue_stands_and_then_the_first_manifest():
    catalogue = {"custom_nodes": [{"name": "a", "url": "https://github.com/o/a"}], "models": []}
    listed = [{"name": "A", "url": "https://github.com/p/a"}, {"name": "b", "url": "https://github.com/p/b"}]
    text = json.dumps(
        {
            "custom_nodes": [
                {"name": "b", "url": "https://github.com/q/b", "classes": ["Sail"]},
                {"name": "c", "url": "git clone https://github.com/q/c", "classes": ["Keel"]},
            ]
        }
    )
    merged = with_manifests(catalogue, [listed, text], PROTOCOLS)
    assert [(entry["name"], entry["url"]) for entry in merged["custom_nodes"]] == [
        ("a", "https://github.com/o/a"),
        ("b", "https://github.com/p/b"),
        ("c", "https://github.com/q/c"),
    ]
    assert [entry.get("classes") for entry in merged["custom_nodes"]] == [None, [], ["Keel"]]
    assert merged["models"] == [] and with_manifests({"custom_nodes": None}, [], PROTOCOLS) == {"custom_nodes": []}


@pytest.mark.parametrize("manifest", ["no json", '{"custom_nodes": 1}', [{"name": "x"}], [{"name": "../x", "url": "https://github.com/o/x"}]])
def test_a_manifest_that_is_none_is_refused(manifest):
    with pytest.raises(ManifestError, match="manifest 1"):
        with_manifests({}, [manifest], PROTOCOLS)


def test_the_filters_take_what_is_accepted_as_the_catalogue_has_it():
    result = needs(ui(node("Unheard"), node("LoraLoader", "own.safetensors", 1, 1, id=2)))
    ask = workflow_open_filter.FilterModule().filters()["workflow_open"]
    assert len(ask(result, "packs")) == 1 and ask(result, "packs", [{"name": "Unheard", "note": "ours"}]) == []
    with pytest.raises(Exception, match="packs, models, sources"):
        ask(result, "nodes")
    bring = needed_models_filter.FilterModule().filters()["needed_models"]
    assert len(bring(result)) == 1 and bring(result, [], ["loras/own.safetensors"]) == []
    with pytest.raises(Exception, match="accepted"):
        bring(result, [], [{}])
