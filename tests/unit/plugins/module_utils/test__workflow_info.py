# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
import math

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import parse_catalogue
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_file import Document, WorkflowError, WorkflowFile
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_needs import needed_models, needed_packs
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.workflows import (
    DEEPER,
    GITHUB,
    HUB,
    INSIDE,
    UNDEFINED,
    analysis,
    api,
    call,
    document,
    inner_link,
    needs,
    node,
    subgraph,
    ui,
    widget,
)

CHECKPOINT = "CheckpointLoaderSimple"
BOATS = f"{GITHUB}/maker/ComfyUI-Boats"
SHA256 = "ab" * 32
ROW_KEYS = {"valid", "format", "comfyui_classes", "custom_node_classes", "frontend_only_classes", "packs", "models", "unresolved"}


def lora(name="a.safetensors", **more):
    return node("LoraLoader", name, 1, 1, **more)


def declared(name="a.safetensors", url=None, directory="loras", **more):
    return {"models": [{"name": name, "url": url or f"{HUB}/{name}", "directory": directory, **more}]}


def labels(result):
    return [f"{row['directory']}/{row['name']}" for row in result["models"]]


def model_of(result):
    (row,) = result["models"]
    return row


def pack_of(result):
    (row,) = result["packs"]
    return row


def open_rows(result):
    return [row["class"] if "class" in row else row["model"] for row in result["unresolved"]]


def kinds(result):
    return [finding["kind"] for finding in result["findings"]]


def pin(**more):
    return {"models": [{"name": "a.safetensors", "directory": "loras", **more}]}


def test_the_whole_of_a_small_file():
    data = ui(
        node(CHECKPOINT, "base.safetensors", properties={"cnr_id": "comfy-core", **declared("base.safetensors", directory="checkpoints")}),
        node("Harbour", 5, id=2, properties={"cnr_id": "boats", "ver": "1.2.3"}),
        node("Note", "hello", id=3),
        node("Unheard", id=4),
        node(CHECKPOINT, "muted.safetensors", id=5, mode=2),
    )
    result = needs(data)
    assert {**result, "summary": {**result["summary"], "seconds": 0}, "registry": None} == {
        "files": {
            "a.json": {
                "valid": True,
                "format": {"container": "json", "documents": ["ui"], "primary": "ui"},
                "comfyui_classes": [CHECKPOINT],
                "custom_node_classes": ["Harbour", "Unheard"],
                "frontend_only_classes": ["Note"],
                "packs": ["ComfyUI-Boats"],
                "models": [0],
                "unresolved": ["Unheard"],
            }
        },
        "packs": [
            {
                "name": "ComfyUI-Boats",
                "repository": BOATS,
                "cnr_id": "boats",
                "versions_seen": ["1.2.3"],
                "classes": ["Harbour"],
                "confidence": "high",
                "how": ["cnr_id"],
                "seen_in": ["a.json"],
                "candidates": [],
                "installed": None,
            }
        ],
        "models": [
            {
                "name": "base.safetensors",
                "directory": "checkpoints",
                "url": f"{HUB}/base.safetensors",
                "sha256": None,
                "size": None,
                "source": "workflow",
                "confidence": "high",
                "active": True,
                "pickle": False,
                "seen_in": ["a.json"],
                "warnings": [],
            }
        ],
        "builtin_too_new": [],
        "unresolved": [{"class": "Unheard", "reason": "no known pack has it", "suggestion": None, "seen_in": ["a.json"]}],
        "findings": [],
        "summary": {"files": 1, "valid": 1, "invalid": 0, "packs": 1, "models": 1, "unresolved": 1, "seconds": 0},
        "registry": None,
    }


def test_files_are_put_together_and_their_numbers_point_at_the_right_rows():
    result = needs(
        files={
            "b.json": [ui(lora("z.safetensors"), lora("shared.safetensors", id=2), node("Harbour", id=3))],
            "a.json": [api(call("LoraLoader", lora_name="shared.safetensors"), call(CHECKPOINT, ckpt_name="base.ckpt"), call("Sail"))],
            "c.json": [ui(node("DualCLIPLoader", "l.safetensors", "shared.safetensors", "flux"))],
        }
    )
    assert labels(result) == sorted(labels(result)) and len(labels(result)) == 5
    by_file = {path: sorted(labels(result)[number] for number in row["models"]) for path, row in result["files"].items()}
    assert by_file == {
        "b.json": ["loras/shared.safetensors", "loras/z.safetensors"],
        "a.json": ["checkpoints/base.ckpt", "loras/shared.safetensors"],
        "c.json": ["text_encoders/l.safetensors", "text_encoders/shared.safetensors"],
    }
    seen = {label: row["seen_in"] for label, row in zip(labels(result), result["models"], strict=True)}
    assert seen["loras/shared.safetensors"] == ["a.json", "b.json"]
    assert (pack_of(result)["classes"], pack_of(result)["seen_in"]) == (["Harbour", "Sail"], ["a.json", "b.json"])


def test_the_order_of_files_does_not_change_the_answer():
    files = {
        "a.json": [ui(lora(properties=declared(url=f"{HUB}/1/a.safetensors")), node("Boat", id=2))],
        "b.json": [ui(lora(properties=declared(url=f"{HUB}/2/a.safetensors")), node("Anchor", id=2), node("Boat", id=3))],
        "c.json": [ui(node("Unheard"), node("Tug", id=2))],
    }
    one, other = needs(files=files), needs(files=dict(reversed(files.items())))
    for key in ("models", "packs", "unresolved", "builtin_too_new"):
        assert one[key] == other[key]
    assert sorted(map(str, one["findings"])) == sorted(map(str, other["findings"]))


def test_nothing_is_needed_of_nothing():
    result = analysis().result()
    assert (result["files"], result["packs"], result["models"], result["unresolved"]) == ({}, [], [], [])


def test_a_file_that_was_refused_has_its_reason_and_no_more():
    asked = analysis()
    asked.refuse("x.json", "truncated")
    result = asked.result()
    assert result["files"] == {"x.json": {"valid": False, "error": "truncated", "other": False}}
    assert (result["summary"]["files"], result["summary"]["invalid"]) == (1, 1)


@pytest.mark.parametrize(
    "documents, formats, primary",
    [
        ([ui()], ["ui"], "ui"),
        ([api(call("A"))], ["api"], "api"),
        ([api(call("A")), ui()], ["api", "ui"], "ui"),
    ],
)
def test_the_row_says_what_was_in_the_file(documents, formats, primary):
    row = needs(*documents)["files"]["a.json"]
    assert (row["format"], set(row)) == ({"container": "json", "documents": formats, "primary": primary}, ROW_KEYS)


def both():
    workflow = ui(
        lora("on.safetensors", id=1),
        lora("off.safetensors", id=2),
        lora("muted-in-the-meantime.safetensors", id=3, mode=4),
        node("Note", "x", id=4),
    )
    prompt = {"1": call("LoraLoader", lora_name="on.safetensors"), "3": call("LoraLoader", lora_name="muted-in-the-meantime.safetensors")}
    return workflow, prompt


def test_of_two_documents_the_prompt_decides_what_runs():
    result = needs(*both())
    assert labels(result) == ["loras/muted-in-the-meantime.safetensors", "loras/on.safetensors"]
    assert result["files"]["a.json"]["frontend_only_classes"] == ["Note"]
    assert labels(needs(both()[0])) == ["loras/off.safetensors", "loras/on.safetensors"]


def test_of_two_documents_the_workflow_says_where_things_come_from():
    workflow = ui(lora(properties={"cnr_id": "comfy-core", **declared()}), node("Boat", id=2, properties={"cnr_id": "boats-again"}))
    prompt = {"1": call("LoraLoader", lora_name="a.safetensors"), "2": call("Boat")}
    result = needs(prompt, workflow)
    assert (model_of(result)["url"], pack_of(result)["repository"]) == (f"{HUB}/a.safetensors", f"{GITHUB}/copycat/boats-again")


def test_of_two_documents_the_prompt_has_the_value_that_ran():
    assert labels(needs(ui(lora("shown.safetensors")), {"1": call("LoraLoader", lora_name="ran.safetensors")})) == ["loras/ran.safetensors"]


def test_a_linked_value_that_the_prompt_resolved_is_known():
    workflow = ui(lora("stale.safetensors", inputs=[widget("lora_name", 1)]), node("Switch", id=2), links=[[1, 2, 0, 1, 0, "*"]])
    prompt = {"1": call("LoraLoader", lora_name="ran.safetensors"), "2": call("Switch")}
    assert labels(needs(workflow, prompt)) == ["loras/ran.safetensors"]


def test_a_prompt_of_another_workflow_is_read_for_itself():
    other = {"77": call("VAELoader", vae_name="v.safetensors"), "78": call("UNETLoader", unet_name="u.safetensors")}
    assert labels(needs(ui(lora()), other)) == ["diffusion_models/u.safetensors", "loras/a.safetensors", "vae/v.safetensors"]


def test_nodes_in_subgraphs_are_confirmed_by_their_path():
    inner = subgraph(INSIDE, lora("in.safetensors", id=3), lora("in-off.safetensors", id=4))
    prompt = {"9:3": call("LoraLoader", lora_name="in.safetensors")}
    assert "loras/in.safetensors" in labels(needs(ui(node(INSIDE, id=9), subgraphs=[inner]), prompt))


@pytest.mark.parametrize("mode", [2, 4])
def test_what_does_not_run_is_left_out_unless_asked_for(mode):
    data = ui(node("Harbour", mode=mode), lora(id=2, mode=mode), node("Unheard", id=3, mode=mode))
    result = needs(data)
    assert (result["packs"], result["models"], result["unresolved"]) == ([], [], [])
    row = result["files"]["a.json"]
    assert row["comfyui_classes"] == row["custom_node_classes"] == []
    result = needs(data, include_inactive=True)
    assert (pack_of(result)["name"], model_of(result)["active"]) == ("ComfyUI-Boats", False)


def test_a_model_that_runs_once_is_active():
    assert model_of(needs(ui(lora(mode=4), lora(id=2)), include_inactive=True))["active"]


ROWS = ui(node("Power Lora Loader (rgthree)", {}, {"on": True, "lora": "on.safetensors"}, {"on": False, "lora": "off.safetensors"}))


def test_a_row_that_is_off_is_left_out_like_a_muted_node():
    assert labels(needs(ROWS)) == ["loras/on.safetensors"]
    assert "off.safetensors" not in json.dumps(needs(ROWS)["unresolved"])


def test_a_row_that_is_off_is_inactive_where_it_is_asked_for():
    result = needs(ROWS, include_inactive=True)
    assert {row["name"]: row["active"] for row in result["models"]} == {"on.safetensors": True, "off.safetensors": False}


def test_packs_for_the_editor_are_needed_only_to_open_a_file():
    data = ui(node("GetNode", properties={"cnr_id": "comfyui-kjnodes"}), node("Reroute", id=2))
    result = needs(data)
    assert (result["packs"], result["files"]["a.json"]["frontend_only_classes"]) == ([], ["GetNode", "Reroute"])
    assert result["unresolved"] == []
    result = needs(data, include_frontend_only=True)
    assert (pack_of(result)["repository"], result["files"]["a.json"]["packs"]) == (f"{GITHUB}/kijai/ComfyUI-KJNodes", ["ComfyUI-KJNodes"])


@pytest.mark.parametrize(
    "data, catalogue, source, url",
    [
        pytest.param(ui(lora(properties=declared())), pin(url=f"{HUB}/pin"), "catalogue", f"{HUB}/pin", id="a-pin-over-the-workflow"),
        pytest.param(ui(lora(properties=declared())), pin(), "catalogue", None, id="a-pin-without-an-address"),
        pytest.param(
            ui(lora("listed.safetensors", properties=declared("listed.safetensors", f"{HUB}/x/listed.safetensors"))),
            None,
            "workflow",
            f"{HUB}/x/listed.safetensors",
            id="the-workflow-over-the-list",
        ),
        pytest.param(
            ui(
                node("EmProps_Asset_Downloader", f"{HUB}/1/a.safetensors", "loras", "a.safetensors", "", ""),
                lora(id=2, properties=declared(url=f"{HUB}/2/a.safetensors")),
            ),
            None,
            "workflow",
            f"{HUB}/2/a.safetensors",
            id="a-declaration-over-a-downloader",
        ),
        pytest.param(
            ui(node("EmProps_Asset_Downloader", f"{HUB}/1/a.safetensors", "loras", "a.safetensors", "", "")),
            None,
            "downloader",
            f"{HUB}/1/a.safetensors",
            id="a-downloader",
        ),
        pytest.param(api(call("LoraLoader", lora_name=f"{HUB}/a.safetensors")), None, "value", f"{HUB}/a.safetensors", id="a-value"),
        pytest.param(
            ui(lora()),
            {"models": [{"name": "a.safetensors", "directory": "vae", "url": f"{HUB}/pin"}]},
            "none",
            None,
            id="the-catalogue-has-it-in-another-folder",
        ),
        pytest.param(ui(lora("listed.safetensors")), None, "model_list", f"{HUB}/listed.safetensors", id="the-list"),
        pytest.param(ui(lora("sub/listed.safetensors")), None, "model_list", f"{HUB}/listed.safetensors", id="the-list-and-a-sub-folder"),
        pytest.param(ui(lora("twice.safetensors")), None, "none", None, id="listed-twice"),
        pytest.param(ui(lora("elsewhere.safetensors")), None, "none", None, id="listed-for-another-folder"),
        pytest.param(ui(lora(), node("Note", f"get {HUB}/a.safetensors", id=2)), None, "note", f"{HUB}/a.safetensors", id="a-note"),
        pytest.param(ui(lora(), node("Note", f"get {HUB}/b.safetensors", id=2)), None, "none", None, id="a-note-about-another"),
        pytest.param(ui(lora(), node("Note", "https://evil.example/a.safetensors", id=2)), None, "none", None, id="a-note-of-a-stranger"),
        pytest.param(
            ui(lora("listed.safetensors"), node("Note", f"{HUB}/n/listed.safetensors", id=2)),
            None,
            "model_list",
            f"{HUB}/listed.safetensors",
            id="the-list-over-a-note",
        ),
        pytest.param(ui(lora()), None, "none", None, id="nobody"),
    ],
)
def test_a_source_is_believed_in_its_order(data, catalogue, source, url):
    result = needs(data, catalogue=catalogue)
    row = model_of(result)
    assert (row["source"], row["url"]) == (source, url)
    assert [row["model"] for row in result["unresolved"] if "model" in row] == ([] if url else labels(result))


def test_a_note_is_a_low_source():
    assert model_of(needs(ui(lora(), node("MarkdownNote", f"[x]({HUB}/a.safetensors)", id=2))))["confidence"] == "low"


def test_a_pin_brings_digest_and_size():
    row = model_of(needs(ui(lora(properties=declared())), catalogue=pin(url=f"{HUB}/pin.bin", sha256=SHA256, size=5)))
    assert (row["sha256"], row["size"], row["confidence"]) == (SHA256, 5, "high")


def test_a_pin_is_found_by_an_older_name_of_the_folder():
    catalogue = {"models": [{"name": "t.safetensors", "directory": "clip", "url": f"{HUB}/t.safetensors"}]}
    assert model_of(needs(ui(node("CLIPLoader", "t.safetensors", "sd3")), catalogue=catalogue))["source"] == "catalogue"


def test_two_names_of_one_folder_are_one_row():
    data = ui(
        node("CLIPLoader", "t.safetensors", "sd3"),
        node("EmProps_Asset_Downloader", f"{HUB}/t.safetensors", "clip", "t.safetensors", "", "", id=2),
        node("EmProps_Asset_Downloader", f"{HUB}/t.safetensors", "text_encoders", "t.safetensors", "", "", id=3),
    )
    result = needs(data)
    assert labels(result) == ["text_encoders/t.safetensors"] and model_of(result)["url"] == f"{HUB}/t.safetensors"


def test_one_name_in_two_folders_is_two_rows():
    assert labels(needs(ui(lora(), node("VAELoader", "a.safetensors", id=2)))) == ["loras/a.safetensors", "vae/a.safetensors"]


def test_two_addresses_for_one_file_are_told_of():
    files = {
        "a.json": [ui(lora(properties=declared(url=f"{HUB}/1/a.safetensors")))],
        "b.json": [ui(lora(properties=declared(url=f"{HUB}/2/a.safetensors")))],
        "c.json": [ui(lora(properties=declared(url=f"{HUB}/2/a.safetensors")))],
    }
    result = needs(files=files)
    row = model_of(result)
    assert row["url"] == f"{HUB}/2/a.safetensors" and row["warnings"]
    assert kinds(result) == ["conflicting_urls"]


def test_one_target_of_two_downloaders_is_told_of():
    data = ui(*(node("EmProps_Asset_Downloader", f"{HUB}/{n}/a.safetensors", "loras", "a.safetensors", "", "", id=n) for n in (1, 2)))
    assert "conflicting_urls" in kinds(needs(data))


@pytest.mark.parametrize(
    "ending, pickle",
    [("ckpt", True), ("pt", True), ("pth", True), ("bin", True), ("pkl", True), ("PTH", True), ("safetensors", False), ("gguf", False)],
)
def test_a_pickle_is_flagged_and_told_of(ending, pickle):
    result = needs(ui(lora(f"a.{ending}")))
    assert (model_of(result)["pickle"], "pickle" in kinds(result)) == (pickle, pickle)


@pytest.mark.parametrize(
    "data, kind",
    [
        pytest.param(ui(lora(properties=declared(url=f"{HUB}/other.safetensors"))), "renamed_url", id="renamed"),
        pytest.param(ui(node("KSampler", properties={"cnr_id": "boats"})), "misdeclared", id="a-builtin-declared-as-a-packs"),
        pytest.param(
            ui(node("EmProps_Asset_Downloader", f"{HUB}/a.pt", "my_own", "a.pt", "", "")), "unsearched_directory", id="where-nobody-looks"
        ),
        pytest.param(
            ui(lora(inputs=[widget("lora_name", 1)]), node("Switch", id=2), links=[[1, 2, 0, 1, 0, "*"]]), "stale_value", id="stale"
        ),
        pytest.param(api(call("Unheard", token="hf_" + "aB3dE5gH7j" * 4)), "token", id="token"),
        pytest.param(ui(node("Unheard", properties={"aux_id": "stranger/evil"})), "unlisted_pack", id="unlisted"),
        pytest.param(ui(lora("../a.safetensors")), "refused_name", id="refused"),
        pytest.param(ui(lora(properties=declared(url="http://10.0.0.1/a.safetensors"))), "refused_url", id="refused-address"),
        pytest.param(ui(lora(properties=declared(directory="custom_nodes"))), "refused_directory", id="refused-folder"),
        pytest.param(ui({"id": 1}), "odd_node", id="odd"),
        pytest.param(ui(node("VAELoader", "taesd")), "implicit_models", id="implicit"),
    ],
)
def test_what_is_odd_is_told_with_file_and_node(data, kind):
    (found,) = [finding for finding in needs(data)["findings"] if finding["kind"] == kind]
    assert set(found) == {"kind", "severity", "message", "file", "node"}
    assert (found["file"], found["node"], found["severity"] in ("info", "warning", "error")) == ("a.json", "1", True)


def test_a_finding_is_told_once_a_file_and_a_flood_is_cut():
    assert kinds(needs(ui(*(lora("../a.safetensors", id=n) for n in range(50))))) == ["refused_name"]
    found = needs(ui(*(lora(f"../{n}.safetensors", id=n) for n in range(5000))))["findings"]
    assert len(found) < 300 and found[-1]["kind"] == "more"


def test_what_is_too_new_says_which_version_had_it():
    newer = "LatentUpscaleModelLoader"
    files = {
        "a.json": [ui(node(newer, "u.safetensors", properties={"cnr_id": "comfy-core", "ver": "0.9.1"}))],
        "b.json": [ui(node(newer, "u.safetensors", properties={"cnr_id": "comfy-core", "ver": "0.8.2"}))],
    }
    result = needs(files=files, version="0.3.12")
    (row,) = result["builtin_too_new"]
    assert (row["class"], row["seen_in"], row["needs_version"]) == (newer, ["a.json", "b.json"], "0.8.2")
    assert result["packs"] == [] and open_rows(result) == ["latent_upscale_models/u.safetensors"]


def test_a_fork_in_the_catalogue_is_the_same_pack():
    fork = {"custom_nodes": [{"name": "ComfyUI-Boats", "url": f"{GITHUB}/us/boats-fork"}]}
    data = ui(node("Harbour"), node("Sail", id=2, properties={"cnr_id": "boats"}), node("Boat", id=3))
    row = pack_of(needs(data, catalogue=fork))
    assert (row["name"], row["repository"], row["classes"]) == ("ComfyUI-Boats", f"{GITHUB}/us/boats-fork", ["Boat", "Harbour", "Sail"])


def test_doubt_makes_a_pack_low_and_its_class_unresolved():
    result = needs(ui(node("Tug")))
    assert (pack_of(result)["confidence"], open_rows(result)) == ("low", ["Tug"])
    assert [entry["stars"] for entry in pack_of(result)["candidates"]] == [50, 40]
    assert needs(ui(node("Tug")), ambiguous="fail")["packs"] == []
    result = needs(ui(node("Tug")), ambiguous="best_any")
    assert (pack_of(result)["confidence"], open_rows(result)) == ("low", [])


def test_two_packs_that_want_one_folder_are_not_taken_for_one():
    text = json.dumps(needs(ui(node("Tug", properties={"aux_id": "maker/tugs"}), node("Raft", id=2))))
    assert f"{GITHUB}/maker/tugs" in text and f"{GITHUB}/other/tugs" in text


def test_versions_are_those_of_the_pack_itself():
    data = ui(
        node("Harbour", properties={"cnr_id": "boats", "ver": "1.0.0"}),
        node("Harbour", id=2, properties={"cnr_id": "boats", "ver": "2.0.0"}),
        node("Harbour", id=3, properties={"cnr_id": "comfyui-kjnodes", "ver": "9.9.9"}),
        node("Sail", id=4, properties={"cnr_id": "comfy-core", "ver": "0.3.64"}),
    )
    assert pack_of(needs(data))["versions_seen"] == ["1.0.0", "2.0.0"]


OBJECT_INFO = {
    "KSampler": {"python_module": "nodes", "input": {}},
    "LoraLoader": {"python_module": "nodes", "input": {"required": {"lora_name": [["a.safetensors", "b\\c.safetensors"]]}}},
    "VAELoader": {"python_module": "nodes", "input": {"required": {"vae_name": [["v.safetensors"]]}}},
    "Strange": {"python_module": "custom_nodes.strange-pack", "input": {"required": {"thing": [["b\\c.safetensors", "a.safetensors"]]}}},
}


def test_the_running_instance_says_what_is_installed():
    result = needs(api(call("Strange", thing="a.safetensors"), call("Harbour"), call("KSampler")), object_info=OBJECT_INFO)
    assert {row["name"]: row["installed"] for row in result["packs"]} == {"ComfyUI-Boats": False, "strange-pack": True}
    assert result["files"]["a.json"]["comfyui_classes"] == ["KSampler"]


def test_the_running_instance_tells_folders_by_what_it_offers():
    result = needs(api(call("Strange", thing="a.safetensors")), object_info=OBJECT_INFO)
    assert labels(result) == ["loras/a.safetensors"] and result["models"][0]["confidence"] == "high"


def test_a_model_that_the_instance_has_needs_no_source():
    data = api(call("LoraLoader", lora_name="b/c.safetensors"), call("VAELoader", vae_name="w.safetensors"))
    result = needs(data, object_info=OBJECT_INFO)
    assert {row["name"]: row["installed"] for row in result["models"]} == {"b/c.safetensors": True, "w.safetensors": False}
    assert open_rows(result) == ["vae/w.safetensors"]


def test_a_model_without_a_folder_is_unresolved_and_no_row():
    result = needs(api(call("Strange", thing="a.safetensors")))
    assert (result["models"], result["files"]["a.json"]["models"]) == ([], [])
    assert "a.safetensors" in open_rows(result) and "a.safetensors" in result["files"]["a.json"]["unresolved"]


def test_every_open_question_of_a_file_is_in_its_row():
    result = needs(ui(node("Unheard"), lora("../x.pt", id=2), lora("b.safetensors", id=3), node(UNDEFINED, id=4), node("{{ x }}", id=5)))
    assert set(result["files"]["a.json"]["unresolved"]) == set(open_rows(result))
    assert len(open_rows(result)) == 5 == result["summary"]["unresolved"]


@pytest.mark.parametrize("name", ["{{ lookup('pipe', 'id') }}", "{% raw %}", "{# x #}", "a\nb", "a\x1b[31m", "", "x" * 5000])
def test_a_hostile_class_is_refused(name):
    result = needs(ui(node(name)))
    row = result["files"]["a.json"]
    assert row["comfyui_classes"] == row["custom_node_classes"] == result["packs"] == []
    assert kinds(result) == ["refused_name"]
    assert all(text.isprintable() and len(text) <= 250 for text in open_rows(result))


MARKS = ("{{", "{%", "{#")
TEMPLATE = "{{lookup('pipe','id')}}"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(ui(lora(properties=declared(url=f"https://huggingface.co/{TEMPLATE}/a.safetensors"))), id="path-of-an-address"),
        pytest.param(ui(lora(properties=declared(url=f"{HUB}/a.safetensors?x={TEMPLATE}"))), id="query-of-an-address"),
        pytest.param(api(call("LoraLoader", lora_name=f"https://huggingface.co/{TEMPLATE}/a.safetensors")), id="address-as-value"),
        pytest.param(ui(lora(), node("Note", f"https://huggingface.co/{TEMPLATE}/a.safetensors", id=2)), id="note"),
        pytest.param(ui(node("EmProps_Asset_Downloader", f"{HUB}/a.pt", f"loras/{TEMPLATE}", "a.pt", "", "")), id="folder"),
        pytest.param(ui(lora(f"{TEMPLATE}.safetensors")), id="name"),
        pytest.param(ui(node("CLIPTextEncode", f"embedding:{TEMPLATE}")), id="tag"),
        pytest.param(ui(node("Boat", properties={"cnr_id": TEMPLATE, "aux_id": f"a/{TEMPLATE}", "ver": TEMPLATE})), id="identity"),
        pytest.param(ui(node("Boat", properties={"cnr_id": "boats", "ver": TEMPLATE})), id="version"),
    ],
)
def test_no_template_is_in_what_is_installed_and_downloaded(data):
    result = needs(data, allow_unlisted_packs=True, ambiguous="best_any")
    text = json.dumps([result["models"], result["packs"]])
    assert not any(mark in text for mark in MARKS)


@pytest.mark.parametrize("aux_id", ["owner/..", "owner/.", "owner/.git", "owner/..git"])
def test_no_pack_has_a_name_that_leads_elsewhere(aux_id):
    result = needs(ui(node("Unheard", properties={"aux_id": aux_id})), allow_unlisted_packs=True)
    assert all(row["name"].strip(".") for row in result["packs"])


def test_a_file_too_deep_leaves_nothing_behind():
    asked = analysis()
    levels = [subgraph(str(n), lora("x.safetensors", id=n), node("Harbour", id=100), node(str(n + 1), id=200)) for n in range(1000)]
    with pytest.raises(WorkflowError):
        asked.add("deep.json", WorkflowFile("json", (document(ui(node("0"), subgraphs=levels)),)))
    result = asked.result()
    assert (result["packs"], result["models"], result["findings"]) == ([], [], [])


@pytest.mark.parametrize("value", [math.nan, math.inf, 10**400, True, None, [], {}], ids=repr)
def test_odd_values_everywhere_do_no_harm(value):
    entry = dict.fromkeys(("id", "mode", "inputs", "widgets_values", "widgets_values_named", "properties", "pos", "order"), value)
    data = ui(
        {"type": CHECKPOINT, **entry},
        {**node(INSIDE), **dict.fromkeys(("id", "inputs", "widgets_values"), value)},
        lora(properties=dict.fromkeys(("cnr_id", "aux_id", "ver", "models", "proxyWidgets"), value)),
        lora(properties=declared(url=value, directory=value, hash=value, hash_type=value), id=7),
        node("EmProps_Asset_Downloader", value, value, value, value, value),
        node("Power Lora Loader (rgthree)", {"on": value, "lora": value}, value),
        links=[[value] * 6, value],
        subgraphs=[subgraph(INSIDE, lora(id=value, inputs=[{"widget": value, "link": value}, value]), inputs=[value], links=[value])],
        models=value,
        extra=value,
    )
    prompt = {"1": call(CHECKPOINT, ckpt_name=value), "2": {"class_type": CHECKPOINT, "inputs": value, "_meta": value}, "3": value}
    json.dumps(needs(data, prompt), allow_nan=False)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        [
            *(1, 2, 3, -10, -20, "1", "2", "1:2", "//", f"{HUB}/a.safetensors", "https://[::1"),
            *("a.safetensors", "sub\\b.ckpt", "../c.pt", "{{ x }}.bin", "None", "taesd", "embedding:x", "<lora:y:1>"),
            *("loras", "clip", "custom_nodes", "checkpoints/sub", "comfy-core", "boats", "maker/tugs", "stranger/..", "1.2.3"),
        ]
    ),
)
SECRETS = st.sampled_from([f"{HUB}/other.safetensors?token=abcdefgh", "https://user:pw@huggingface.co/x.pt"])
CLASSES = st.one_of(
    st.sampled_from(
        [
            *(CHECKPOINT, "LoraLoader", "VAELoader", "CLIPTextEncode", "KSampler", "LoadLoraModel", "Note", "MarkdownNote", "Reroute"),
            *("PrimitiveNode", "EmProps_Asset_Downloader", "Power Lora Loader (rgthree)", "GetNode", "Boat", "Tug", "Anchor", "Unheard"),
            *(INSIDE, DEEPER, UNDEFINED, "workflow/g", "workflow>h", "{{ x }}"),
        ]
    ),
    SCALARS,
)
NAMES = st.sampled_from(
    [
        *("name", "link", "widget", "lora", "on", "url", "directory", "hash", "models", "cnr_id", "aux_id", "ver", "proxyWidgets", "id"),
        *("lora_name", "ckpt_name", "loras.0.lora_name", "loras.0.enabled", "vae_name", "text", "token", "filename", "save_to"),
        "__value__",
    ]
)
VALUES = st.recursive(
    SCALARS | SECRETS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
WIDGETS = st.fixed_dictionaries({"name": NAMES})
INPUTS = st.lists(
    st.fixed_dictionaries({}, optional={"name": NAMES | VALUES, "link": SCALARS, "widget": WIDGETS | VALUES}),
    max_size=3,
)
NODES = st.lists(
    st.fixed_dictionaries(
        {"type": CLASSES},
        optional={
            "id": SCALARS,
            "mode": st.sampled_from([0, 2, 4]) | VALUES,
            "inputs": INPUTS | VALUES,
            "widgets_values": st.lists(VALUES, max_size=5) | VALUES,
            "widgets_values_named": st.dictionaries(NAMES, VALUES, max_size=3) | VALUES,
            "properties": st.dictionaries(NAMES, VALUES, max_size=4) | VALUES,
        },
    )
    | VALUES,
    max_size=4,
)
LINKS = st.lists(
    st.lists(SCALARS, min_size=5, max_size=6)
    | st.fixed_dictionaries(dict.fromkeys(("id", "origin_id", "origin_slot", "target_id", "target_slot"), SCALARS)),
    max_size=4,
)
SUBGRAPHS = st.lists(
    st.fixed_dictionaries(
        {"id": st.sampled_from([INSIDE, DEEPER]), "nodes": NODES, "links": LINKS},
        optional={"inputs": INPUTS | VALUES, "definitions": VALUES},
    )
    | VALUES,
    max_size=2,
)
GROUPS = st.dictionaries(st.sampled_from("gh"), st.fixed_dictionaries({"nodes": NODES | VALUES}) | VALUES, max_size=2)
EDITED = st.fixed_dictionaries(
    {"nodes": NODES},
    optional={
        "links": LINKS | VALUES,
        "definitions": st.fixed_dictionaries({"subgraphs": SUBGRAPHS | VALUES}) | VALUES,
        "extra": st.fixed_dictionaries({"groupNodes": GROUPS | VALUES}) | VALUES,
        "models": VALUES,
    },
)
SENT = st.dictionaries(
    st.sampled_from(["1", "2", "1:2"]) | st.text(max_size=4),
    st.fixed_dictionaries({"class_type": CLASSES}, optional={"inputs": st.dictionaries(NAMES, VALUES), "_meta": VALUES}) | VALUES,
    max_size=4,
)
ASKED = {name: st.booleans() for name in ("include_inactive", "include_frontend_only", "allow_unlisted_packs", "allow_renames")}


@given(
    st.lists(EDITED.map(lambda data: Document("ui", "", data)) | SENT.map(lambda data: Document("api", "", data)), min_size=1, max_size=3),
    st.fixed_dictionaries({**ASKED, "ambiguous": st.sampled_from(["fail", "best", "best_any"])}),
    st.sampled_from([None, OBJECT_INFO]),
)
@example([document(two) for two in both()], {}, None)
@example([document(ui(node(INSIDE), subgraphs=[subgraph(INSIDE, lora(), inputs=["x"], links=[inner_link(1, -10, 1)])]))], {}, None)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_in_a_file_the_answer_can_be_written_down(documents, options, object_info):
    asked = analysis(object_info=object_info, **options)
    try:
        asked.add("a.json", WorkflowFile("json", tuple(documents)))
    except WorkflowError as error:
        asked.refuse("a.json", str(error))
    result = asked.result()
    text = json.dumps(result, allow_nan=False)
    text.encode()
    (row,) = result["files"].values()
    assert set(row) == (ROW_KEYS if row["valid"] else {"valid", "error"})
    for model in result["models"]:
        place = f"{model['directory']}/{model['name']}"
        assert not place.startswith("/") and ".." not in place.split("/") and "\\" not in place and "{{" not in place
        assert model["url"] is None or model["url"].startswith("https://huggingface.co/")
    assert all(row["name"] not in ("", ".", "..") and "/" not in row["name"] for row in result["packs"])
    assert "abcdefgh" not in text and "user:pw" not in text


TOKEN = "hf_" + "A1b2" * 9


def loader(url):
    return ui(node(CHECKPOINT, "a.safetensors", properties=declared(url=url, directory="checkpoints")))


def test_a_class_that_may_stay_without_a_pack_brings_no_doubtful_one():
    result = needs(ui(node("Kayak")))
    assert [row["class"] for row in result["unresolved"]] == ["Kayak"]
    assert needed_packs(result, {"accepted": ["Kayak"]}) == []


def test_a_workflow_cannot_make_a_pack_with_few_stars_certain_that_does_not_list_the_class():
    result = needs(ui(node("Boat", properties={"cnr_id": "kayak"})))
    assert [(pack["repository"], pack["confidence"]) for pack in result["packs"]] != [(f"{GITHUB}/lonely/kayak", "high")]


@pytest.mark.parametrize("mode", [pytest.param(2, id="muted"), pytest.param(4, id="bypassed")])
def test_a_token_in_a_downloader_that_does_not_run_is_found(mode):
    result = needs(ui(node("EmProps_Asset_Downloader", f"{HUB}/a.safetensors", "loras", "a.safetensors", "hf", TOKEN, mode=mode)))
    assert [finding["kind"] for finding in result["findings"]] == ["token"]


def test_what_most_files_say_is_not_certain_where_another_says_otherwise():
    files = {"a.json": [loader(f"{HUB}/a.safetensors")]}
    files |= {f"{name}.json": [loader("https://huggingface.co/stranger/x/resolve/main/a.safetensors")] for name in "bc"}
    (row,) = needs(files=files)["models"]
    assert row["confidence"] == "low"


def test_the_catalogues_file_of_this_name_in_another_folder_is_another_file():
    name = "diffusion_pytorch_model.safetensors"
    pin = {"name": name, "directory": "controlnet", "url": f"{HUB}/{name}"}
    (row,) = needs(api(call("VAELoader", vae_name=name)), catalogue={"models": [pin]})["models"]
    assert (row["url"], row["confidence"]) != (pin["url"], "high")


def test_an_address_for_a_file_in_another_folder_is_not_taken():
    entry = {"name": "a.safetensors", "url": f"{HUB}/vae/a.safetensors", "directory": "vae"}
    (row,) = needs(ui(node("CheckpointLoaderSimple", "a.safetensors"), models=[entry]))["models"]
    assert (row["url"], row["confidence"]) != (entry["url"], "high")


def test_an_embedding_named_without_its_ending_is_the_file_that_is_listed():
    listed = [{"name": "style.safetensors", "directory": "embeddings", "url": f"{HUB}/style.safetensors"}]
    result = needs(api(call("CLIPTextEncode", text="a boat, embedding:style, calm")))
    assert needed_models(result, listed, parse_catalogue({})) == []


def test_a_file_that_is_refused_late_leaves_an_answer_that_can_be_given():
    asked = analysis()
    asked.add("a.json", WorkflowFile("json", (document(ui(lora())),)))
    asked.refuse("a.json", "it is too large for the memory of this machine")
    assert asked.result()["files"]["a.json"]["valid"] is False


def test_two_packs_that_want_one_folder_are_told_of_once():
    data = ui(node("Tug", properties={"aux_id": "maker/tugs"}), node("Raft", id=2))
    assert kinds(needs(files={"a.json": [data], "b.json": [data]})).count("conflicting_packs") == 1
