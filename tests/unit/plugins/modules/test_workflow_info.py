# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from ansible_collections.emprops.comfyui.plugins.modules import workflow_info
from fixtures.run_module import run_module
from support.workflows import (
    DEEPER,
    GITHUB,
    HUB,
    INSIDE,
    LISTED_MODELS,
    NODE_MAP,
    api,
    call,
    inner_link,
    link,
    node,
    picture,
    slot,
    subgraph,
    ui,
    widget,
)

CHECKPOINT = "CheckpointLoaderSimple"
RESULT_KEYS = {
    *("files", "packs", "models", "builtin_too_new", "unresolved", "findings", "summary", "registry"),
    *("builtins", "warnings_of_catalogue", "changed"),
}
OBJECT_INFO = {
    "KSampler": {"python_module": "nodes", "input": {"required": {"sampler_name": [["euler"], {}]}}},
    CHECKPOINT: {"python_module": "nodes", "input": {"required": {"ckpt_name": [["base.safetensors"], {}]}}},
    "Private": {"python_module": "custom_nodes.private-pack", "input": {"required": {}}},
}


@pytest.fixture(name="flows")
def fixture_flows(tmp_path):
    """A folder of workflows: write into it what the test needs, data or bytes, by name; all of them are called .json."""
    folder = tmp_path / "flows"

    def write(**files):
        for name, data in files.items():
            path = folder / f"{name.replace('__', '/')}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        return folder

    return write


@pytest.fixture(name="registry")
def fixture_registry(tmp_path):
    """A folder with ComfyUI-Manager's files."""
    folder = tmp_path / "registry"
    folder.mkdir()
    entries = [{"title": url, "files": [url], "install_type": "git-clone"} for url in NODE_MAP]
    (folder / "extension-node-map.json").write_text(json.dumps(NODE_MAP))
    (folder / "custom-node-list.json").write_text(json.dumps({"custom_nodes": entries}))
    (folder / "model-list.json").write_text(json.dumps({"models": LISTED_MODELS}))
    (folder / "github-stats.json").write_text("{}")
    return str(folder)


def ask(*paths, registry="none", **options):
    return run_module(workflow_info, paths=[str(path) for path in paths], registry=[registry], **options)


@pytest.mark.parametrize("check_mode", [False, True])
def test_it_reads_and_changes_nothing(flows, registry, check_mode):
    data = ui(node(CHECKPOINT, "base.safetensors"), node("Harbour", id=2, properties={"cnr_id": "ComfyUI-Boats"}))
    folder = flows(a=data)
    before = (folder / "a.json").stat()
    result = ask(folder, registry=registry, check_mode=check_mode)
    assert result["changed"] is False and set(result) - {"invocation"} == RESULT_KEYS
    assert (folder / "a.json").stat().st_mtime_ns == before.st_mtime_ns
    assert [row["name"] for row in result["models"]] == ["base.safetensors"]
    assert [row["repository"] for row in result["packs"]] == [f"{GITHUB}/maker/ComfyUI-Boats"]
    assert (result["registry"]["kind"], result["registry"]["path"]) == ("folder", registry)


def test_files_folders_and_patterns_are_taken(flows):
    folder = flows(a=ui(node("A")), sub__b=ui(node("B")), sub__deep__c=ui(node("C")))
    assert sorted(ask(folder)["files"]) == [str(folder / name) for name in ("a.json", "sub/b.json", "sub/deep/c.json")]
    assert sorted(ask(folder / "a.json", f"{folder}/sub/*.json")["files"]) == [str(folder / name) for name in ("a.json", "sub/b.json")]


def test_a_path_that_is_not_there_is_a_row(tmp_path):
    result = ask(tmp_path / "nowhere.json")
    ((path, row),) = result["files"].items()
    assert path.endswith("nowhere.json") and row["valid"] is False and row["error"]
    assert result["summary"]["invalid"] == 1


def test_a_picture_has_both_documents(flows):
    workflow = ui(node("LoraLoader", "on.safetensors", 1, 1), node("LoraLoader", "off.safetensors", 1, 1, id=2))
    folder = flows(a=picture(workflow, {"1": call("LoraLoader", lora_name="on.safetensors")}), b=picture(workflow))
    result = ask(folder)
    rows = {Path(path).stem: row for path, row in result["files"].items()}
    assert rows["a"]["format"] == {"container": "png", "documents": ["ui", "api"], "primary": "ui"}
    assert [len(rows[name]["models"]) for name in "ab"] == [1, 2]


@pytest.mark.parametrize(
    "data, reason",
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b'{"nodes": [', "truncated", id="truncated"),
        pytest.param(b"hello", "not JSON", id="no-json"),
        pytest.param(b"5", "number", id="number"),
        pytest.param(b"null", "null", id="null"),
        pytest.param(b"[]", "list", id="list"),
        pytest.param(b"{}", "no workflow", id="nothing-inside"),
        pytest.param(picture(), "no workflow", id="a-picture-of-nothing"),
        pytest.param(b"\xff\xd8\xff\xe0\0\x10JFIF\0", "JPEG", id="another-container"),
        pytest.param(b"[" * 100_000, "", id="nested-brackets"),
        pytest.param(b'{"a":' * 100_000, "", id="nested-braces"),
    ],
)
def test_a_bad_file_gets_its_reason_and_the_others_are_read(flows, data, reason):
    folder = flows(bad=data, good=ui(node("VAELoader", "v.safetensors")))
    result = ask(folder)
    row = result["files"][str(folder / "bad.json")]
    assert row["valid"] is False and reason.lower() in row["error"].lower() and row["error"].isprintable()
    assert [model["name"] for model in result["models"]] == ["v.safetensors"]
    assert {**result["summary"], "seconds": 0} == {
        **{"files": 2, "valid": 1, "invalid": 1, "packs": 0, "models": 1},
        **{"unresolved": len(result["unresolved"]), "seconds": 0},
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_texts_of_every_kind_are_read(flows, encoding):
    folder = flows(a=json.dumps(ui(node("VAELoader", "é.safetensors")), ensure_ascii=False).encode(encoding))
    assert ask(folder)["models"][0]["name"] == "é.safetensors"


def test_without_a_version_all_versions_count_and_it_says_so(flows):
    folder = flows(a=ui(node("LatentUpscaleModelLoader", "u.safetensors")))
    assert ask(folder)["builtins"]["exact"] is False and ask(folder)["builtins"]["note"]
    result = ask(folder, comfyui_version="0.3.12")
    assert (result["builtins"]["version"], result["builtins"]["exact"]) == ("0.3.12", True)
    assert [row["class"] for row in result["builtin_too_new"]] == ["LatentUpscaleModelLoader"]


@pytest.fixture(name="instance")
def fixture_instance():
    """A server that answers /object_info and nothing else."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            body = json.dumps(OBJECT_INFO).encode() if self.path == "/object_info" else b"{}"
            self.send_response(200 if self.path == "/object_info" else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("ending", ["", "/", "/object_info"])
def test_an_instance_is_asked(flows, instance, ending):
    folder = flows(a=api(call(CHECKPOINT, ckpt_name="base.safetensors"), call("Private")))
    result = ask(folder, object_info=instance + ending)
    assert [(row["name"], row["installed"]) for row in result["packs"]] == [("private-pack", True)]
    assert result["models"][0]["installed"] is True and result["unresolved"] == []
    assert result["builtins"]["exact"] is True


def test_a_saved_answer_is_as_good(flows, tmp_path):
    saved = tmp_path / "object_info.json"
    saved.write_text(json.dumps(OBJECT_INFO))
    assert ask(flows(a=api(call("Private"))), object_info=str(saved))["packs"][0]["name"] == "private-pack"


@pytest.mark.parametrize(
    "options, words",
    [
        pytest.param({"object_info": "nowhere.json"}, "object_info cannot be used", id="no-such-answer"),
        pytest.param({"object_info": "http://127.0.0.1:9"}, "object_info cannot be used", id="nobody-there"),
        pytest.param({"registry": "/nowhere/at-all"}, "/nowhere/at-all", id="no-such-registry"),
        pytest.param({"catalogue": {"models": [{"name": "x"}]}}, "the catalogue cannot be used", id="a-wrong-catalogue"),
        pytest.param({"allowed_hosts": ["no host"]}, "allowed_hosts", id="a-wrong-host"),
        pytest.param({"ambiguous": "maybe"}, "ambiguous", id="a-wrong-choice"),
    ],
)
def test_what_the_operator_got_wrong_fails_the_task(flows, options, words):
    result = ask(flows(a=ui()), **options)
    assert result["failed"] and words in result["msg"]


@pytest.mark.parametrize("data", [[], 5, {}, {"a": 5}], ids=str)
def test_a_saved_answer_that_is_none_fails_the_task(flows, tmp_path, data):
    saved = tmp_path / "object_info.json"
    saved.write_text(json.dumps(data))
    assert "object_info cannot be used" in ask(flows(a=ui()), object_info=str(saved))["msg"]


def test_the_options_reach_what_they_are_for(flows, registry):
    url = "http://127.0.0.1:8080/other.safetensors"
    data = ui(
        node("LoraLoader", "a.safetensors", 1, 1, mode=4, properties={"models": [{"name": "a.safetensors", "url": url}]}),
        node("Unheard", id=2, properties={"aux_id": "stranger/thing"}),
        node("GetNode", id=3),
        node("Float", id=4),
    )
    result = ask(
        flows(a=data),
        registry=registry,
        include_inactive=True,
        include_frontend_only=True,
        allow_unlisted_packs=True,
        allow_renames=True,
        allowed_hosts=["http://127.0.0.1:8080"],
        ambiguous="best_any",
        catalogue={"custom_nodes": [{"name": "unrated-too", "url": f"{GITHUB}/us/fork"}], "unknown": []},
    )
    assert result["models"][0]["url"] == url
    assert {row["repository"] for row in result["packs"]} == {
        *(f"{GITHUB}/stranger/thing", f"{GITHUB}/kijai/ComfyUI-KJNodes", f"{GITHUB}/us/fork")
    }
    assert "unknown" in result["warnings_of_catalogue"][0]


def test_no_secret_is_in_the_answer(flows):
    secret = "hf_" + "aB3dE5gH7j" * 4
    data = ui(
        node("EmProps_Asset_Downloader", f"{HUB}/a.pt?token={secret}", "loras", "a.pt", "HF", secret),
        node("Anything", secret, id=2),
        node("Note", f"token: {secret}", id=3),
        node("LoraLoader", f"https://u:{secret}@huggingface.co/x.pt", 1, 1, id=4),
        node("LoraLoader", f"../{secret}.pt", 1, 1, id=5),
    )
    result = ask(flows(a=data))
    assert secret not in json.dumps(result) and {"token"} <= {finding["kind"] for finding in result["findings"]}


# In a process of its own, so that an answer that never comes and memory without end are seen as such.
CHILD = """
import json, resource, sys
limit = 1536 * 1024 * 1024
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from ansible_collections.emprops.comfyui.plugins.modules import workflow_info
from fixtures.run_module import run_module
json.dump(run_module(workflow_info, paths=sys.argv[1:], registry=["none"]), sys.stdout)
"""
WATCHDOG = 60


def ask_process(path):
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=WATCHDOG,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def loader(key, name="a.safetensors", **more):
    return {"id": key, "type": "LoraLoader", "widgets_values": [name, 1, 1], **more}


def instances(many, inner, **more):
    """As many instances of one subgraph, with these nodes inside."""
    return ui(*({"id": key, "type": INSIDE} for key in range(many)), subgraphs=[subgraph(INSIDE, *inner, **more)])


def nested(levels, **more):
    """Subgraphs in each other, the innermost with a loader."""
    inside = [subgraph(f"s{n}", node(f"s{n + 1}", **more), inputs=["x"]) for n in range(levels)]
    return ui(node("s0", **more), subgraphs=[*inside, subgraph(f"s{levels}", loader(1))])


def reroutes(length, loaders):
    """Loaders at the end of a chain of reroutes that begins at a switch."""
    chain = [{"id": f"r{n}", "type": "Reroute", "inputs": [slot("", n)]} for n in range(length)]
    links = [link(0, "switch", "r0"), *(link(n, f"r{n - 1}", f"r{n}") for n in range(1, length))]
    ends = [loader(n, inputs=[widget("lora_name", "end")]) for n in range(loaders)]
    return ui(node("Switch", id="switch"), *chain, *ends, links=[*links, link("end", f"r{length - 1}", 0)])


def promoted(slots, many):
    """Instances that set many widgets of one node inside."""
    names = [f"w{n}" for n in range(slots)]
    inner = node("Strange", *["x"] * slots, inputs=[widget(name, n) for n, name in enumerate(names)])
    definition = subgraph(INSIDE, inner, inputs=names, links=[inner_link(n, -10, 1, n, n) for n in range(slots)])
    entries = [widget(name) for name in names]
    return ui(*({"id": n, "type": INSIDE, "inputs": entries, "widgets_values": ["y"] * slots} for n in range(many)), subgraphs=[definition])


VALID = {
    "hundred-thousand-nodes": lambda: ui(*(loader(n) for n in range(100_000))),
    "many-models": lambda: ui(*(loader(n, f"{n}.pt") for n in range(20_000))),
    "many-classes": lambda: ui(*({"id": n, "type": f"C{n}"} for n in range(20_000))),
    "many-bad-classes": lambda: ui(*({"id": n, "type": "{{" + str(n)} for n in range(20_000))),
    "a-million-links": lambda: ui(loader(1, inputs=[widget("lora_name", 7)]), links=[link(n, n, n) for n in range(1_000_000)]),
    "long-ids": lambda: {**nested(14, id="i" * 100_000), "links": []},
    "long-ids-many": lambda: ui(*({"id": f"{n}" * 20_000, "type": "A"} for n in range(500))),
    "long-names-everywhere": lambda: ui({"id": 1, "type": "x" * 10_000_000, "properties": {"cnr_id": "y" * 10_000_000}}),
    "base64-in-texts": lambda: ui(*(node(kind, "iVBORw0KGgo+/" * 800_000) for kind in ("CLIPTextEncode", "Strange", "Note", "LoraLoader"))),
    "base64-in-a-prompt": lambda: api(call("Strange", image="data:image/png;base64," + "QUJD" * 2_500_000)),
    "ten-megabytes-of-almost-tags": lambda: ui(node("Strange", "<lora:" * 1_600_000), node("A", "embedding:" * 1_000_000, id=2)),
    "ten-megabytes-of-almost-addresses": lambda: ui(node("Note", "https://@" * 1_100_000), node("Strange", "://@" * 2_500_000, id=2)),
    "many-texts-of-almost-addresses": lambda: ui(*(node("Note", "https://huggingface.co/" + "a@" * 2000, id=n) for n in range(2000))),
    "reroutes": lambda: reroutes(60, 20_000),
    "reroutes-without-end": lambda: reroutes(50_000, 1000),
    "links-of-one-id": lambda: ui(*(loader(n, inputs=[widget("lora_name", 1)]) for n in range(20_000)), links=[link(1, 1, 2)] * 20_000),
    "notes-about-the-same-file": lambda: ui(
        *(loader(n) for n in range(30_000)), *(node("Note", f"{HUB}/a.safetensors\n" * 1000, id=f"n{n}") for n in range(30))
    ),
    "many-nodes-of-many-declared-models": lambda: ui(
        *(loader(n, f"{n}.pt", properties={"models": [{"name": f"{m}.pt"} for m in range(1000)]}) for n in range(300))
    ),
    "odd-ids": lambda: ui(*(loader(key) for key in (1, "1", 1.5, None, True, [1], {"a": 1}, 1, -10, -20, 10**300, "", "1:1"))),
    "no-types": lambda: ui(*({"id": n} for n in range(50_000)), loader(1)),
    "nesting-inside-a-widget": lambda: ui(node("Strange", json.loads("[" * 900 + "]" * 900))),
    "unused-cycle": lambda: ui(loader(1), subgraphs=[subgraph(INSIDE, node(INSIDE))]),
}  # fmt: skip
# What multiplies may be refused, but has to come to an end.
ANY = {
    "widgets-inside-instances": lambda: instances(40_000, [node("Strange", *["x"] * 100_000)]),
    "files-inside-instances": lambda: instances(40_000, [node("Strange", *[f"{n}.pt" for n in range(10_000)])]),
    "named-widgets-inside-instances": lambda: instances(40_000, [node("Strange", widgets_values={f"k{n}": "x" for n in range(50_000)})]),
    "inputs-inside-instances": lambda: instances(40_000, [loader(1, inputs=[widget(f"w{n}", n) for n in range(50_000)])]),
    "declared-inside-instances": lambda: instances(
        40_000, [loader(1, properties={"models": [{"name": f"{n}.pt"} for n in range(50_000)]})]
    ),
    "texts-inside-instances": lambda: instances(40_000, [node("Strange", "embedding:a <lora:b:1> " * 2000)]),
    "notes-inside-instances": lambda: instances(20_000, [loader(1), node("Note", f"{HUB}/a.safetensors\n" * 900, id=2)]),
    "links-inside-instances": lambda: instances(40_000, [loader(1)], links=[inner_link(n, n, n) for n in range(50_000)]),
    "slots-of-instances": lambda: promoted(1000, 3000),
    "inputs-of-instances": lambda: ui(
        *({"id": n, "type": INSIDE, "inputs": [slot("x", 1)] * 200} for n in range(5000)),
        subgraphs=[subgraph(INSIDE, loader(1), inputs=["x"])],
    ),
    "values-of-groups": lambda: ui(
        *({"id": n, "type": "workflow/g"} for n in range(40_000)), groups={"g": {"nodes": [node("Strange", *["x"] * 50_000)]}}
    ),
    "values-of-instances-in-a-nest": lambda: ui(
        *({"id": n, "type": INSIDE} for n in range(40_000)),
        subgraphs=[
            subgraph(INSIDE, node(DEEPER, *["y"] * 5000, id=2)),
            subgraph(
                DEEPER,
                node("Strange", inputs=[widget(f"w{n}", n) for n in range(5000)]),
                inputs=[f"w{n}" for n in range(5000)],
                links=[inner_link(n, -10, 1, n, n) for n in range(5000)],
            ),
        ],
    ),
}
INVALID = {
    "too-many-nodes": (lambda: ui(*({"id": n, "type": "A"} for n in range(100_001))), "more than 100000 nodes"),
    "too-deep": (lambda: nested(1000), "recursion"),
    "a-cycle": (lambda: ui(node(INSIDE), subgraphs=[subgraph(INSIDE, node(INSIDE))]), "recursion"),
    "a-cycle-over-two": (
        lambda: ui(node(INSIDE), subgraphs=[subgraph(INSIDE, node(DEEPER)), subgraph(DEEPER, node(INSIDE))]),
        "recursion",
    ),
    "a-cycle-of-groups": (
        lambda: ui(node("workflow/a"), groups={"a": {"nodes": [node("workflow>b")]}, "b": {"nodes": [node("workflow/a")]}}),
        "recursion",
    ),
    "a-billion-laughs": (
        lambda: ui(node("s0"), subgraphs=[subgraph(f"s{n}", *[node(f"s{n + 1}", id=k) for k in range(10)]) for n in range(12)]),
        "more than",
    ),
    "a-billion-groups": (
        lambda: ui(node("workflow/0"), groups={str(n): {"nodes": [node(f"workflow/{n + 1}")] * 10} for n in range(12)}),
        "more than",
    ),
    "a-billion-empty-subgraphs": (
        lambda: ui(
            node("s0"),
            subgraphs=[*[subgraph(f"s{n}", *[node(f"s{n + 1}", id=k) for k in range(10)]) for n in range(12)], subgraph("s12")],
        ),
        "more than",
    ),
}


@pytest.mark.parametrize("build", [pytest.param(build, id=name) for name, build in VALID.items()])
def test_a_large_or_odd_file_is_read(flows, build):
    folder = flows(a=build())
    row = ask_process(folder)["files"][str(folder / "a.json")]
    assert row["valid"], row


@pytest.mark.parametrize("build", [pytest.param(build, id=name) for name, build in ANY.items()])
def test_a_file_that_multiplies_comes_to_an_end(flows, build):
    folder = flows(a=build())
    row = ask_process(folder)["files"][str(folder / "a.json")]
    assert row["valid"] or "MemoryError" not in row["error"]


@pytest.mark.parametrize("build, reason", [pytest.param(*case, id=name) for name, case in INVALID.items()])
def test_a_file_without_an_end_is_refused(flows, build, reason):
    folder = flows(a=build())
    row = ask_process(folder)["files"][str(folder / "a.json")]
    assert row["valid"] is False and reason in row["error"]


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    row = ask_process(path)["files"][str(path)]
    assert row["valid"] is False and "large" in row["error"]


def test_numbers_that_json_does_not_have_are_read(flows):
    text = json.dumps(ui(loader(1), {"id": float("nan"), "type": "A", "widgets_values": [float("inf"), -float("inf")]}))
    assert "NaN" in text and "Infinity" in text
    folder = flows(a=text.encode())
    assert ask_process(folder)["files"][str(folder / "a.json")]["valid"]
