# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._emprops_api import (
    EmpropsApiError,
    NoAnswerError,
    as_question,
    combine,
    keep_packs,
    parse_nodes,
    read_packs,
    recall_packs,
)
from ansible_collections.emprops.comfyui.plugins.module_utils._manifest import parse_packs
from ansible_collections.emprops.comfyui.plugins.module_utils._questions import Questions
from support.emprops_api import EmpropsApi, database_row, pack

URL = "https://github.com/example/a"
COMMIT = "14cfba14" + "0" * 32
QUESTION = as_question("http://api.example", ["w"], [])
TESTS = Path(__file__).resolve().parents[3]


@pytest.fixture(name="api")
def fixture_api():
    data = {
        "custom_nodes": [
            pack("Zebra", is_default=True),
            pack("alpha", is_default=True),
            pack("second", is_default=True, install_order=2, env={"KEY": "${KEY}"}),
            pack("first", install_order=1, commit=COMMIT, branch="main"),
            pack("extra", recursive=True),
            pack("other"),
        ],
        "workflows": {"txt 2 img": ["extra", "first", "ALPHA"], "img2img": ["other"]},
        "collections": {"c/1": "img2img"},
    }
    with EmpropsApi(data) as api:
        yield api


@pytest.fixture(name="read")
def fixture_read(api):
    def read(workflows=(), collections=(), timeout=10, token=None):
        questions = Questions({api.host: token}, timeout, [api.url], pause=lambda _seconds: None)
        return read_packs(questions, api.url, workflows=workflows, collections=collections)

    return read


def names(found):
    return [each["name"] for each in found[0]]


# --- one pack


@pytest.mark.parametrize(
    "field, spellings, value",
    [
        ("url", ["url", "repositoryUrl", "repository_url", "gitUrl", "git_url", "downloadUrl", "download_url"], URL),
        ("branch", ["branch"], "main"),
        ("commit", ["commit"], COMMIT),
        ("recursive", ["recursive"], True),
        ("requirements", ["requirements"], False),
        ("build_requirements", ["build_requirements", "buildRequirements"], ["torch"]),
        ("env", ["env", "env_conf", "envConf"], {"KEY": "${KEY}"}),
        ("install_order", ["install_order", "installOrder"], 0),
        ("enabled", ["enabled"], False),
        ("persist", ["persist"], ["settings.json"]),
        ("skip_install_script", ["skip_install_script", "skipInstallScript"], True),
    ],
)
def test_every_spelling_of_a_field_is_read(field, spellings, value):
    for spelling in spellings:
        base = {"name": "a"} if field == "url" else {"name": "a", "url": URL}
        [entry] = parse_nodes([{**base, spelling: value}], "x")
        assert entry.pack == {"name": "a", "url": URL, field: value}
        assert parse_packs([entry.pack], "the API", ["https"])[1] == []


def test_what_is_not_said_is_left_out():
    [entry] = parse_nodes([pack("a", branch="", description=None)], "x")
    assert entry.pack == {"name": "a", "url": URL, "recursive": False, "requirements": True}


def test_a_row_of_the_database_is_the_same_pack():
    node = pack("a", branch="main", commit=COMMIT, recursive=True, requirements=False, env={"A": "1"}, install_order=3)
    assert [each.pack for each in parse_nodes([database_row(node)], "x")] == [each.pack for each in parse_nodes([node], "x")]


@pytest.mark.parametrize(
    "values, message",
    [
        ({"name": None}, "(no name): it has no name"),
        ({"name": 3}, "(no name): name must be a text, not a number"),
        ({"name": "\ud800"}, "name must be a text, not a text with half a character"),
        ({"repositoryUrl": None}, "('a'): it has no url"),
        ({"repositoryUrl": [URL]}, "url must be a text, not a list"),
        ({"branch": {}}, "branch must be a text, not an object"),
        ({"commit": True}, "commit must be a text, not true or false"),
        ({"recursive": "yes"}, "recursive must be true or false, not a text"),
        ({"requirements": 1}, "requirements must be true or false, not a number"),
        ({"enabled": "false"}, "enabled must be true or false, not a text"),
        ({"skipInstallScript": []}, "skip_install_script must be true or false, not a list"),
        ({"is_default": "no"}, "is_default must be true or false, not a text"),
        ({"install_order": "1"}, "install_order must be a whole number, not a text"),
        ({"install_order": 1.5}, "install_order must be a whole number, not a number"),
        ({"installOrder": True, "install_order": None}, "install_order must be a whole number, not true or false"),
        ({"persist": "cache"}, "persist must be a list of texts"),
        ({"buildRequirements": [1]}, "build_requirements must be a list of texts"),
        ({"env": ["KEY"]}, "env must be an object, not a list"),
        ({"env": {"KEY": 3}}, "env: the value of 'KEY' must be a text, not a number"),
        ({"install_settings": "main"}, "its install_settings are no object but a text"),
    ],
)
def test_a_wrong_type_is_an_error_that_names_entry_and_place(values, message):
    with pytest.raises(EmpropsApiError) as caught:
        parse_nodes([pack("good"), {**pack("a"), **values}], "GET /somewhere")
    assert str(caught.value).startswith("GET /somewhere: entry 2 (")
    assert message in str(caught.value)


def test_every_wrong_entry_is_listed_and_no_value_is_told():
    with pytest.raises(EmpropsApiError) as caught:
        parse_nodes(["a", None, pack("b", env={"KEY": ["s3cret"]})], "x")
    assert str(caught.value).splitlines() == [
        "x: entry 1 (no name): it is no object but a text",
        "x: entry 2 (no name): it is no object but nothing",
        "x: entry 3 ('b'): env: the value of 'KEY' must be a text, not a list",
    ]


# --- all of them together


@pytest.mark.parametrize(
    "first, second",
    [
        ({}, {"repositoryUrl": "git clone https://GitHub.com/example/a.git"}),
        ({"repositoryUrl": "git@github.com:example/a.git"}, {}),
        ({"name": "A"}, {"env": {"OTHER": "1"}, "install_order": 7, "recursive": True}),
    ],
)
def test_a_pack_that_two_have_is_one_and_the_default_one_stands(first, second):
    entries = parse_nodes([{**pack("a"), **second}], "theirs") + parse_nodes([{**pack("a"), **first}], "ours", default=True)
    packs, warnings = combine(entries)
    assert packs == [parse_nodes([{**pack("a"), **first}], "x")[0].pack]
    assert warnings == []


def test_a_pack_that_says_itself_that_it_is_a_default_one_is_believed():
    packs, _warnings = combine(parse_nodes([pack("a", env={"A": "1"}), pack("a", isDefault=True, is_default=None, env={"A": "2"})], "x"))
    assert packs[0]["env"] == {"A": "2"}


@pytest.mark.parametrize(
    "values, differing",
    [
        ({"repositoryUrl": "https://github.com/stranger/a"}, "url"),
        ({"repositoryUrl": "https://[::1"}, "url"),
        ({"branch": "next"}, "branch"),
        ({"commit": COMMIT}, "commit"),
        ({"branch": "next", "commit": COMMIT}, "branch and commit"),
    ],
)
def test_two_sources_that_disagree_about_a_pack_are_an_error_that_names_both(values, differing):
    entries = parse_nodes([pack("a", **values)], "the workflow") + parse_nodes([pack("A", repositoryUrl=URL)], "the defaults", default=True)
    with pytest.raises(EmpropsApiError) as caught:
        combine(entries)
    assert str(caught.value) == f"the pack 'a' has another {differing} in the workflow than in the defaults"


def test_a_script_is_never_run_but_told_of():
    nodes = [pack("a", custom_script="rm -rf /"), pack("b", customScript=["x"]), pack("c", custom_script=""), pack("d")]
    packs, warnings = combine(parse_nodes(nodes, "x"))
    assert warnings == [f"the pack {name!r} has a custom_script, which is not run" for name in "ab"]
    assert not any("custom_script" in each for each in packs)


# --- the API itself


def test_without_workflows_and_collections_there_are_the_default_packs(read, api):
    assert names(read()) == ["second", "alpha", "Zebra"]
    assert api.asked == ["GET /custom-nodes/defaults"]


def test_numbered_packs_come_first_and_the_others_by_name(read):
    found = read(["img2img", "txt 2 img"], ["c/1"])
    assert names(found) == ["first", "second", "alpha", "extra", "other", "Zebra"]
    assert found[0][0] == {
        "name": "first",
        "url": "https://github.com/example/first",
        "branch": "main",
        "commit": COMMIT,
        "recursive": False,
        "requirements": True,
        "install_order": 1,
    }
    packs, warnings = parse_packs(found[0], "the API", ["https"])
    assert ([each.name for each in packs], warnings) == (names(found), [])


def test_a_token_is_a_header(read, api):
    api.token = "very-s3cret"
    assert names(read(["img2img"], ["c/1"], token="very-s3cret"))
    assert {request.headers["Authorization"] for request in api.requests} == {"Bearer very-s3cret"}


def test_a_collection_that_is_not_served_is_read_by_its_workflow(read, api):
    served = read([], ["c/1"])
    api.data["collections_served"] = False
    api.data["custom_nodes"][5]["commit"] = COMMIT
    packs, _warnings = read([], ["c/1"])
    assert names(served) == [each["name"] for each in packs]
    assert packs[2] == {**served[0][2], "commit": COMMIT}
    assert json.loads(api.requests[-1].body) == {"workflow_ids": ["id-of-img2img"]}


def test_a_collection_without_components_is_not_taken_for_one_without_packs(read, api):
    api.data["answers"] = {"/collections/c/1": {"data": {"id": "c/1", "title": "One"}, "error": None}}
    assert "other" in names(read([], ["c/1"]))


def test_packs_of_a_collection_may_be_a_plain_list(read, api):
    row = {"collection_id": "c/1", "models": [], "custom_nodes": [pack("other", branch="next")]}
    api.data["collections_served"] = False
    api.data["answers"] = {"/collections/dependencies": {"data": [row], "error": None}}
    assert read([], ["c/1"])[0][2]["branch"] == "next"


def test_a_name_in_the_place_of_a_pack_is_looked_up(read, api):
    row = {"workflow_id": "1", "workflow_name": "w", "custom_nodes": ["First"]}
    api.data["answers"] = {"/workflows/dependencies": {"data": [row], "error": None}}
    assert read(["w"])[0][0]["commit"] == COMMIT
    row["custom_nodes"] = ["no such", ".."]
    with pytest.raises(
        EmpropsApiError, match=r"pack 'no such' of workflow 'w' \(POST /workflows/dependencies\) .*does not know it \(404, "
    ):
        read(["w"])
    row["custom_nodes"] = [".."]
    with pytest.raises(EmpropsApiError, match=r"pack '\.\.' of workflow 'w' .*: nothing has such a name"):
        read(["w"])


def test_what_the_api_does_not_know_is_named_and_all_of_it_at_once(read):
    with pytest.raises(EmpropsApiError) as caught:
        read(["img2img", "no\nworkflow"], ["none"])
    assert str(caught.value).splitlines() == [
        "workflow 'no workflow' (POST /workflows/dependencies): the API does not know it",
        "collection 'none' (POST /collections/dependencies): the API knows no such collection, or no workflow of it",
    ]


@pytest.mark.parametrize("collection", ["", ".", ".."])
def test_an_id_is_no_way_to_another_place(read, api, collection):
    with pytest.raises(EmpropsApiError, match="nothing has such a name"):
        read([], [collection])
    assert api.asked == ["GET /custom-nodes/defaults"]


@pytest.mark.parametrize(
    "token, words", [(None, "a token is needed (401, 'Invalid API key')"), ("wrong-s3cret", "the token was not accepted")]
)
def test_who_is_not_let_in_is_told_so_and_the_token_is_not_repeated(read, api, token, words):
    api.token = "right"
    with pytest.raises(EmpropsApiError) as caught:
        read(token=token)
    assert f"GET /custom-nodes/defaults: {words}" in str(caught.value)
    assert caught.value.status is None and "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "fault, words",
    [
        ("403", "GET /custom-nodes/defaults: access is refused, and no token was given (403, 'Asked for by the test')"),
        ("404", "GET /custom-nodes/defaults: the API does not know it (404, 'Asked for by the test')"),
        ("400", "GET /custom-nodes/defaults: the API refuses (400, 'Asked for by the test')"),
        ("error", "GET /custom-nodes/defaults: the API refuses: the database is [31m on holiday"),
        ("huge", "GET /custom-nodes/defaults: the answer of 127.0.0.1 is larger than 8 MiB"),
        ("to:http://127.0.0.1:1/", "GET /custom-nodes/defaults: 127.0.0.1 redirects a question to 127.0.0.1, which is refused"),
    ],
)
def test_a_refusal_is_quoted_with_its_place(read, api, fault, words):
    api.data["faults"] = {"/custom-nodes/defaults": fault}
    with pytest.raises(EmpropsApiError) as caught:
        read(["img2img"])
    assert str(caught.value) == words


@pytest.mark.parametrize(
    "fault, words",
    [
        ("500", "answered 500, 'Asked for by the test' (tried 4 times)"),
        ("520", "520"),
        ("429", "answered 429"),
        ("html", "is not JSON"),
        ("broken", "is not JSON"),
        ("deep", "is not JSON"),
        ("hangup", "cannot reach"),
    ],
)
def test_silence_is_told_from_a_refusal(read, api, fault, words):
    api.data["faults"] = {"/custom-nodes/defaults": fault}
    with pytest.raises(NoAnswerError) as caught:
        read(["img2img"])
    assert str(caught.value).startswith("GET /custom-nodes/defaults: ") and words in str(caught.value)


def test_nobody_there_and_nothing_said_are_silence_too(read, api):
    api.data["faults"] = {"/custom-nodes/defaults": "silent"}
    with pytest.raises(NoAnswerError, match=r"did not answer within 0\.3 seconds"):
        read(timeout=0.3)
    api.stop()
    with pytest.raises(NoAnswerError, match="Connection refused"):
        read()


def test_what_passes_is_tried_again(read, api):
    api.data["faults"] = {"/custom-nodes/defaults": "503*2"}
    assert names(read()) == ["second", "alpha", "Zebra"]
    assert len(api.requests) == 3


def test_a_refusal_counts_for_more_than_silence(read, api):
    api.data["faults"] = {"/custom-nodes/defaults": "500"}
    with pytest.raises(EmpropsApiError, match="workflow 'none'"):
        read(["none"])


@pytest.mark.parametrize(
    "path, answer, words",
    [
        ("/custom-nodes/defaults", [], "GET /custom-nodes/defaults: the answer is no object but a list"),
        ("/custom-nodes/defaults", {}, "GET /custom-nodes/defaults: where the list of packs should be is nothing"),
        ("/custom-nodes/defaults", {"data": {}, "error": None}, "where the list of packs should be is an object"),
        ("/custom-nodes/defaults", {"data": [], "error": {}}, "GET /custom-nodes/defaults: the API refuses: an object"),
        ("/workflows/dependencies", {"data": {}}, "workflow 'img2img' (POST /workflows/dependencies): where a list should be is an object"),
        ("/workflows/dependencies", {"data": ["img2img"]}, "(POST /workflows/dependencies): entry 1 is no object but a text"),
        (
            "/workflows/dependencies",
            {"data": [{"workflow_name": ["img2img"]}]},
            "workflow 'img2img' (POST /workflows/dependencies): the API",
        ),
        (
            "/workflows/dependencies",
            {"data": [{"workflow_name": "img2img", "custom_nodes": None}]},
            "workflow 'img2img' (POST /workflows/dependencies): where the list of packs should be is nothing",
        ),
        ("/collections/c/1", {"data": [1]}, "collection 'c/1' (GET /collections/c%2F1): where the collection should be is a list"),
        ("/collections/c/1", {"data": {"components": {}}}, "collection 'c/1', components (GET /collections/c%2F1): where a list should be"),
        (
            "/collections/c/1",
            {"data": {"components": [{"name": "x", "custom_nodes": [{"name": "a", "url": 1}]}]}},
            "collection 'c/1', component 'x' (GET /collections/c%2F1): entry 1 ('a'): url must be a text, not a number",
        ),
    ],
)
def test_an_answer_of_another_shape_is_an_error(read, api, path, answer, words):
    api.data["answers"] = {path: answer}
    with pytest.raises(EmpropsApiError) as caught:
        read(["img2img"], ["c/1"])
    assert words in str(caught.value)


# --- the last good answer


def test_an_answer_is_kept_for_the_same_question_alone(tmp_path):
    file = tmp_path / "new/packs.json"
    packs, _warnings = combine(parse_nodes([pack("b", install_order=1), pack("a", env={"A": "${A}"})], "x"))
    keep_packs(file, QUESTION, packs, "2026-11-02T09:30:00Z")
    assert file.stat().st_mode & 0o777 == 0o600
    assert recall_packs(file, as_question("http://api.example", ["w", "w"], [])) == (packs, "2026-11-02T09:30:00Z")
    for other in (as_question("http://api.example", [], ["w"]), as_question("http://other.example", ["w"], [])):
        assert recall_packs(file, other) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.unlink(),
        lambda file: file.chmod(0o666),
        lambda file: file.write_text("{"),
        lambda file: file.write_text("[]"),
        lambda file: file.write_bytes(b"\xff"),
        lambda file: file.write_text("[" * 500_000),
        lambda file: file.write_text(json.dumps({"question": QUESTION, "asked_at": 3, "packs": []})),
        lambda file: file.write_text(json.dumps({"question": QUESTION, "asked_at": "then", "packs": [{"name": "a", "url": 3}]})),
    ],
)
def test_a_spoilt_cache_is_none(tmp_path, change):
    file = tmp_path / "packs.json"
    keep_packs(file, QUESTION, [], "then")
    assert recall_packs(file, QUESTION) == ([], "then")
    change(file)
    assert recall_packs(file, QUESTION) is None


# --- the stand-in


def test_the_stand_in_runs_by_itself_and_reads_its_file_for_each_request(tmp_path):
    file = tmp_path / "data.json"
    file.write_text(json.dumps({"custom_nodes": [pack("a", is_default=True)]}))
    command = [sys.executable, "-m", "support.emprops_api", "--port", "0", "--data", str(file), "--token", "t"]
    with subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().split()[-1]
            questions = Questions({url.removeprefix("http://"): "t"}, 10, [url])
            assert names(read_packs(questions, url, workflows=[], collections=[])) == ["a"]
            file.write_text(json.dumps({"custom_nodes": [pack("b", is_default=True)]}))
            assert names(read_packs(questions, url, workflows=[], collections=[])) == ["b"]
            with urllib.request.urlopen(f"{url}/health") as answer:
                assert answer.read() == b"OK"
        finally:
            process.terminate()
