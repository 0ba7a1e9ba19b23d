# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import Catalogue
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_report import workflow_report, workflow_table
from unit.fixtures.workflow_results import candidate, file, finding, model, pack, result, unresolved

URL = "http://127.0.0.1:8188"
PATH = "/w/a.json"
GROUNDS = ["Builtin classes: no version is known", "Registry: no registry"]


def report(found, asked="", accepted=()):
    return workflow_report(found, asked, Catalogue(accepted=accepted))


def one_file(asked="", rows=(), **values):
    """The verdict on a workflow that needs one pack and one model."""
    found = result({PATH: file(packs=["a_pack"], models=[0])}, packs=[pack(**values)], models=[model(**values)], unresolved=list(rows))
    return report(found, asked)["workflows"][0]


def table(found, asked="", width=130):
    return workflow_table(report(found, asked), width)


# --- verdicts ---


@pytest.mark.parametrize(
    "asked, values, runnable",
    [
        pytest.param(URL, {"installed": True}, True, id="all is there"),
        pytest.param(URL, {"installed": False}, False, id="all is missing"),
        pytest.param(URL, {"installed": None}, None, id="the instance could not say"),
        pytest.param("", {"installed": True}, None, id="no instance was asked"),
        pytest.param("", {}, None, id="nor is anything known of it"),
        pytest.param(URL, {"installed": True, "rows": [unresolved("X")]}, False, id="a class is missing"),
        pytest.param(URL, {"installed": True, "rows": [unresolved("X", seen_in=["/w/b.json"])]}, True, id="a class is missing elsewhere"),
        pytest.param(URL, {"installed": True, "rows": [unresolved("x.pt", "model")]}, False, id="a model without a folder"),
    ],
)
def test_a_workflow_runs_where_all_that_it_needs_is_there(asked, values, runnable):
    assert one_file(asked, **values)["runnable"] is runnable


def test_a_class_of_a_newer_comfyui_is_missing():
    too_new = {"class": "New", "reason": "needs ComfyUI 0.9 or newer", "needs_version": "0.9", "seen_in": [PATH]}
    workflow = report(result({PATH: file()}, builtin_too_new=[too_new]), URL)["workflows"][0]
    assert workflow["runnable"] is False
    assert workflow["needs"] == [{"kind": "class", "name": "New", "detail": "needs ComfyUI 0.9 or newer", "missing": True}]


def test_what_is_needed_says_from_where():
    found = result(
        {PATH: file(packs=["sure", "Doubtful"], models=[1, 0])},
        packs=[
            pack("sure"),
            pack("doubtful", confidence="low", candidates=[candidate("doubtful"), candidate("b", "else")]),
        ],
        models=[model(), model("b.pt", "sams", url=None)],
        unresolved=[unresolved("sams/b.pt", "model", reason="no source is known"), unresolved("X")],
    )
    assert [(need["kind"], need["name"], need["detail"]) for need in report(found)["workflows"][0]["needs"]] == [
        ("pack", "sure", "https://github.com/somebody/sure"),
        ("pack", "doubtful", "https://github.com/somebody/doubtful (not sure; or https://github.com/else/b)"),
        ("model", "sams/b.pt", "no source known"),
        ("model", "loras/a.safetensors", model()["url"]),
        ("class", "X", "no known pack has it"),
    ]


def test_a_file_that_cannot_be_read_does_not_run():
    workflow = report(result({PATH: {"valid": False, "error": "is not JSON"}}), URL)["workflows"][0]
    assert (workflow["runnable"], workflow["valid"], workflow["reason"]) == (False, False, "is not JSON")


def test_the_report_is_the_whole_result_and_more_and_is_json():
    found = {**result({PATH: file()}, findings=[finding()]), "changed": False, "invocation": {"module_args": {}}}
    made = json.loads(json.dumps(report(found, "https://me:hush@example.com")))
    assert {key: made[key] for key in result()} == {key: found[key] for key in result()}
    assert set(made) == {*result(), "asked", "workflows", "open"}
    assert made["asked"] == "https://***@example.com"


# --- what is open ---


def test_open_is_what_is_unresolved_and_not_accepted():
    found = result(
        {"/w/bad.json": {"valid": False, "error": "is empty"}},
        unresolved=[unresolved("X"), unresolved("Y\n"), unresolved("unet/x.gguf", "model")],
        builtin_too_new=[{"class": "New", "needs_version": None, "reason": "newer than all", "seen_in": [PATH]}],
    )
    assert report(found)["open"] == [
        "X: no known pack has it",
        "Y\ufffd: no known pack has it",
        "unet/x.gguf: no known pack has it",
        "New: newer than all",
        "/w/bad.json: is empty",
    ]
    accepted = ["X", "New", "diffusion_models/x.gguf", "/w/bad.json"]
    assert report(found, accepted=accepted)["open"] == ["Y\ufffd: no known pack has it"]


# --- the table ---


def test_a_workflow_that_misses_nothing_is_one_line():
    found = result(
        {"/w/a.json": file(packs=["a_pack"], models=[0]), "/w/sub/b.json": file(), "/w/c.json": file(packs=["b_pack"])},
        packs=[pack(installed=True), pack("b_pack", installed=False)],
        models=[model(installed=True)],
    )
    assert table(found, URL) == [
        f"3 workflows (runs here: 2, does not run: 1); {URL} was asked what it has.",
        *GROUNDS,
        "In /w/:",
        "runs here     a.json",
        "does not run  c.json",
        "    pack   b_pack  https://github.com/somebody/b_pack",
        "runs here     sub/b.json",
    ]


def test_without_an_instance_it_says_what_is_needed_and_that_it_does_not_know():
    found = result({PATH: file(models=[0]), "/w/b.json": file(), "/w/c.json": {"valid": False, "error": "is a list"}}, models=[model()])
    assert table(found) == [
        "3 workflows (unknown: 2, unreadable: 1); no instance was asked, so this is what they need.",
        *GROUNDS,
        "In /w/:",
        "unknown       a.json",
        f"    model  loras/a.safetensors  {model()['url']}",
        "unknown       b.json  it needs nothing beside ComfyUI",
        "unreadable    c.json  is a list",
    ]


def test_it_says_what_the_answers_rest_on():
    builtins = {"version": "0.3.64", "exact": False, "note": "0.3.64.1 is taken for 0.3.64"}
    lines = table(result(builtins=builtins, registry={"words": "3 packs from the cache, 2026-08-19, 94 days old"}))
    assert lines[1:] == [
        "Builtin classes: ComfyUI 0.3.64; 0.3.64.1 is taken for 0.3.64",
        "Registry: 3 packs from the cache, 2026-08-19, 94 days old",
    ]


def test_findings_are_told_once_the_worst_first():
    found = result(
        {PATH: file(), "/w/b.json": file()},
        findings=[finding(), finding("bad", severity="error", node=""), finding(file="/w/b.json"), finding("so so", severity="warning")],
    )
    assert table(found)[-4:] == [
        "Findings:",
        "error    odd  a.json: bad",
        "warning  odd  a.json node 7: so so",
        "info     odd  a.json node 7 and 1 more: something is odd",
    ]


def test_a_long_line_keeps_its_ends_and_an_address_its_host_and_file():
    long = model("x" * 90 + ".safetensors", url="https://huggingface.co/some/repo/" + "y" * 200 + "/end.safetensors")
    found = result({f"/w/{'z' * 300}.json": file(models=[0])}, models=[long], findings=[finding("w" * 500)])
    lines = table(found, width=120)
    assert max(map(len, lines)) == 120
    need = next(line for line in lines if line.startswith("    model"))
    assert lines[-1].endswith("www…")
    assert need.startswith("    model  loras/xxx") and "  https://huggingface.co/" in need and need.endswith("end.safetensors")


def test_hostile_texts_stay_on_their_line_and_secrets_out_of_it():
    secret = "hf_" + "a1" * 20
    found = result(
        {"/w/a\n\x1b[2Jb.json": file(packs=["p\u2028q"]), "c.json": {"valid": False, "error": f"oh\n{secret}"}},
        packs=[pack("p\u2028q")],
        findings=[finding(f"a\r{secret}")],
    )
    lines = table(found)
    assert all(line.isprintable() for line in lines)
    assert secret not in "\n".join(lines)
    assert len(lines) == 8


def test_no_workflows_are_a_table_too():
    assert table(result()) == ["0 workflows; no instance was asked, so this is what they need.", *GROUNDS]
