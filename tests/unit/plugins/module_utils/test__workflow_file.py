# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import json
import os
import socket
import struct
import zlib
from pathlib import Path

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils import _workflow_file
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_file import (
    MAX_SIZE,
    NoWorkflowError,
    WorkflowError,
    find_files,
    read_workflow,
)
from fuzz.seeds import (
    API,
    API_TEXT,
    UI,
    UI_TEXT,
    chunk,
    comf,
    exif,
    international_text,
    png,
    riff,
    text,
    webp,
    zipped_text,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

BOTH = json.dumps({"prompt": API, "workflow": UI}).encode()
ODD_EXIF = next(riff(b"EXIF", data) for end in (b"", b" ") if len(data := exif({0x010F: b"workflow:" + UI_TEXT + end})) % 2)
OTHER = {"nodes": [], "links": []}


@pytest.fixture(name="read")
def fixture_read(tmp_path):
    """Read bytes as a file whose name says nothing."""

    def read(data):
        path = tmp_path / "file"
        path.write_bytes(data)
        return read_workflow(path)

    return read


@pytest.fixture(name="refusal")
def fixture_refusal(read):
    def refusal(data):
        with pytest.raises(WorkflowError) as caught:
            read(data)
        return str(caught.value)

    return refusal


@pytest.fixture(name="shared_path", scope="module")
def fixture_shared_path(tmp_path_factory):
    return tmp_path_factory.mktemp("read") / "file"


def outline(found):
    return [(document.kind, document.where) for document in found.documents]


def dumped(value, **options):
    return json.dumps(value, **options).encode()


@pytest.mark.parametrize(
    "value, expected",
    [
        pytest.param(UI, [("ui", "")], id="UI"),
        pytest.param(API, [("api", "")], id="API"),
        pytest.param({"nodes": []}, [("ui", "")], id="UI without nodes"),
        pytest.param({**API, "version": 1, "2": None}, [("api", "")], id="API with stray keys"),
        pytest.param({"nodes": {}, **API}, [("api", "")], id="nodes that are no list"),
        pytest.param({"prompt": API, "workflow": UI}, [("ui", "workflow"), ("api", "prompt")], id="both, the telling one first"),
        pytest.param({"input": {"workflow": API}}, [("api", "input.workflow")], id="RunPod"),
        pytest.param({"tests": [{"input": {"workflow": API}}]}, [("api", "tests[0].input.workflow")], id="RunPod's tests"),
        pytest.param(
            {"client_id": "x", "prompt": API, "extra_data": {"extra_pnginfo": {"workflow": UI}}},
            [("api", "prompt"), ("ui", "extra_data.extra_pnginfo.workflow")],
            id="what the frontend posts",
        ),
        pytest.param({"workflow": json.dumps(UI), "prompt": json.dumps(API)}, [("ui", "workflow"), ("api", "prompt")], id="texts"),
        pytest.param({"prompt": json.dumps({"prompt": API})}, [("api", "prompt.prompt")], id="a wrapper in a text"),
        pytest.param({"workflow": {}, "prompt": json.dumps(API)}, [("api", "prompt")], id="one of them empty, as in VHS"),
        pytest.param({"prompt": "{red|blue} hair", "workflow": UI}, [("ui", "workflow")], id="a text that only begins like JSON"),
        pytest.param([UI, 7, API], [("ui", "[0]"), ("api", "[2]")], id="a list"),
        pytest.param(json.dumps(UI), [("ui", "")], id="one text"),
        pytest.param({"data": {"data": {"data": {"data": UI}}}}, [("ui", "data.data.data.data")], id="four deep"),
        pytest.param({"nodes": [], "prompt": API}, [("ui", "")], id="nothing is looked for in a graph"),
    ],
)
def test_graphs_are_found_in_what_is_wrapped_around_them(read, value, expected):
    found = read(dumped(value))
    assert found.container == "json"
    assert outline(found) == expected


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(UI_TEXT, id="UTF-8"),
        pytest.param(b"\xef\xbb\xbf" + UI_TEXT, id="UTF-8 with a mark"),
        pytest.param(b" \r\n\t" + UI_TEXT + b"\n", id="blanks around"),
        pytest.param(json.dumps(UI).encode("utf-16"), id="UTF-16"),
        pytest.param(b"\xfe\xff" + json.dumps(UI).encode("utf-16-be"), id="UTF-16, the other way round"),
        pytest.param(json.dumps(UI).encode("utf-32"), id="UTF-32"),
        pytest.param(b"\x00\x00\xfe\xff" + json.dumps(UI).encode("utf-32-be"), id="UTF-32, the other way round"),
    ],
)
def test_every_encoding_that_says_what_it_is_is_read(read, data):
    assert read(data).documents[0].data == UI


def test_what_python_and_browsers_write_beyond_json_is_read(read):
    (document,) = read(b'{"nodes": [NaN, Infinity, -Infinity], "a": 1, "a": 2}').documents
    assert document.data["nodes"][1:] == [float("inf"), float("-inf")]
    assert document.data["a"] == 2


@pytest.mark.parametrize(
    "written, expected",
    [
        pytest.param(rb"\ud800", "\ufffd", id="the first half"),
        pytest.param(rb"\uDFFF", "\ufffd", id="the second half"),
        pytest.param(rb"\ud83d\ude00", "\U0001f600", id="a whole character"),
        pytest.param(rb"\ud83d\ud83d\ude00", "\ufffd\U0001f600", id="half a character before a whole one"),
        pytest.param(rb"\\ud83d\ude00", "\\ud83d\ufffd", id="half a character behind what looks like the other half"),
        pytest.param(rb"\\\ud83d\ude00", "\\\U0001f600", id="a backslash before a whole character"),
        pytest.param(b"\xff", "\ufffd", id="a byte that is no UTF-8"),
        pytest.param(b"\xed\xa0\x80", "\ufffd" * 3, id="half a character in UTF-8"),
    ],
)
def test_half_a_character_becomes_a_mark_that_can_be_written(read, written, expected):
    data = b'{"nodes": [["%s"], {"%s": "%s", "z": 1}]}' % (written, written, written)
    for wrapped in (data, dumped({"workflow": data.decode("latin-1")}) if written.isascii() else data):
        (document,) = read(wrapped).documents
        assert document.data["nodes"] == [[expected], {expected: expected, "z": 1}]
        assert list(document.data["nodes"][1]) == [expected, "z"]


@pytest.mark.parametrize(
    "data, reason",
    [
        pytest.param(b"", "is empty", id="nothing"),
        pytest.param(b" \n", "is empty", id="blanks"),
        pytest.param(b"\xef\xbb\xbf", "is empty", id="only a mark"),
        pytest.param(b"7", "a number, not a workflow", id="a number"),
        pytest.param(b"-0.5", "a number, not a workflow", id="a fraction"),
        pytest.param(b"NaN", "a number, not a workflow", id="NaN"),
        pytest.param(b"null", "null, not a workflow", id="null"),
        pytest.param(b"true", "true or false, not a workflow", id="true"),
        pytest.param(b'"x"', "a string, not a workflow", id="a string"),
        pytest.param(b"[]", "a list, not a workflow", id="an empty list"),
        pytest.param(b'[{"id": 1, "type": "VAELoader"}]', "a list, not a workflow", id="a list of nodes"),
        pytest.param(b"{}", "no workflow inside", id="nothing inside"),
        pytest.param(b'{"a": {"b": 1}}', "no workflow inside", id="something else"),
        pytest.param(b'{"a": {"class_type": 1}}', "no workflow inside", id="a class that is no text"),
        pytest.param(dumped({"data": {"data": {"data": {"data": {"data": UI}}}}}), "no workflow inside", id="five deep"),
        pytest.param(dumped({"elsewhere": UI}), "no workflow inside", id="under another key"),
        pytest.param(b"hello", "not JSON: expecting value at line 1 column 1", id="a text"),
        pytest.param(b'{"a": 1}\n{"b": 2}', "not JSON: extra data at line 2 column 1", id="two values"),
        pytest.param(b"{'nodes': []}", "not JSON: expecting property name enclosed in double quotes at line 1 column 2", id="Python"),
        pytest.param(b'{"nodes": [', "truncated: the JSON ends in the middle of what begins at line 1 column 12", id="cut in a list"),
        pytest.param(b'{"nodes": [' + b"9" * 5000 + b"]}", "has a number with too many digits", id="5,000 digits"),
        pytest.param(b"[" * 100_000, "is nested too deeply", id="100,000 deep"),
        pytest.param(b'{"nodes": ' * 100_000, "is nested too deeply", id="100,000 deep in objects"),
        pytest.param(dumped([0] * 100_001), "has more than 100000 values that could be workflows", id="a long list"),
        pytest.param(dumped(["{}"] * 1001), "has more than 1000 texts that could be workflows", id="a list of many texts"),
        pytest.param(dumped(["{"] * 1001), "has more than 1000 texts that could be workflows", id="a list of many broken texts"),
        pytest.param(dumped({"workflow": "[" * 100_000}), "no workflow inside (workflow: is nested too deeply)", id="deep in a text"),
        pytest.param(
            dumped({"prompt": "{", "data": "["}),
            "no workflow inside (prompt: truncated: the JSON ends in the middle of what begins at line 1 column 2)",
            id="the first of what was wrong",
        ),
    ],
)
def test_a_file_without_a_graph_says_which_way_it_is_wrong(refusal, data, reason):
    assert refusal(data) == reason


@pytest.mark.parametrize("depth", [500, 900, 1000, 5000])
def test_a_deeply_nested_graph_is_read_or_refused(read, depth):
    data = b'{"nodes": ' + b"[" * depth + rb'"\ud800"' + b"]" * depth + b"}"
    try:
        assert outline(read(data)) == [("ui", "")]
    except WorkflowError as error:
        assert str(error) == "is nested too deeply"


@pytest.mark.parametrize("data", [UI_TEXT, API_TEXT, BOTH, rb'{"nodes": [true, false, null, "\u00e9", -1.5e7, NaN, -Infinity]}'])
def test_a_text_cut_anywhere_is_called_truncated(refusal, data):
    for length in range(1, len(data)):
        assert refusal(data[:length]).startswith("truncated: "), data[:length]


@pytest.mark.parametrize(
    "data, expected",
    [
        pytest.param(png(text(b"prompt", API_TEXT), text(b"workflow", UI_TEXT)), ["workflow", "prompt"], id="tEXt"),
        pytest.param(png(text(b"Workflow", UI_TEXT)), ["workflow"], id="tEXt with a capital"),
        pytest.param(png(text(b"parameters", b"a cat"), text(b"prompt", API_TEXT)), ["prompt"], id="beside another tool's"),
        pytest.param(png(zipped_text(b"workflow", UI_TEXT)), ["workflow"], id="zTXt"),
        pytest.param(png(international_text(b"workflow", UI_TEXT)), ["workflow"], id="iTXt"),
        pytest.param(png(international_text(b"workflow", UI_TEXT, compressed=True)), ["workflow"], id="iTXt, compressed"),
        pytest.param(png(after=(comf(b"prompt", API_TEXT), comf(b"workflow", UI_TEXT))), ["workflow", "prompt"], id="comf"),
        pytest.param(png(text(b"workflow", UI_TEXT), after=(text(b"prompt", API_TEXT),)), ["workflow", "prompt"], id="both sides"),
        pytest.param(png(text(b"workflow", dumped(OTHER)), text(b"workflow", UI_TEXT)), ["workflow"], id="the last of two"),
        pytest.param(png(zipped_text(b"prompt", API_TEXT)[:-30] + b"\0" * 30, text(b"workflow", UI_TEXT)), ["workflow"], id="one damaged"),
        pytest.param(png(text(b"workflow", UI_TEXT))[:-40], ["workflow"], id="pixels missing at the end"),
    ],
)
def test_graphs_are_found_in_png(read, data, expected):
    found = read(data)
    assert found.container == "png"
    assert [document.where for document in found.documents] == expected
    assert all(document.data == (UI if document.kind == "ui" else API) for document in found.documents)


def test_texts_in_png_are_utf8_or_else_latin1(read):
    for encoding in ("utf-8", "latin-1"):
        (document,) = read(png(text(b"workflow", '{"nodes": ["é"]}'.encode(encoding)))).documents
        assert document.data["nodes"] == ["é"]


@pytest.mark.parametrize(
    "data, reason",
    [
        pytest.param(png(), "no workflow inside", id="only pixels"),
        pytest.param(png(text(b"parameters", UI_TEXT)), "no workflow inside", id="under another key"),
        pytest.param(png(text(b"prompt", b"a cat")), "no workflow inside", id="a prompt for people"),
        pytest.param(
            png(text(b"workflow", UI_TEXT))[:80], "truncated: the image ends early, with no workflow before that", id="cut in the text"
        ),
        pytest.param(png()[:20], "truncated: the image ends early, with no workflow before that", id="cut in front"),
        pytest.param(png()[:8], "truncated: the image ends early, with no workflow before that", id="only the signature"),
        pytest.param(
            png(text(b"workflow", UI_TEXT[:30])),
            "no workflow inside (workflow: truncated: the JSON ends in the middle of what begins at line 1 column 30)",
            id="a text that was cut before",
        ),
        pytest.param(
            png(chunk(b"zTXt", b"workflow\0\0xyz")), "no workflow inside (workflow: its compressed text is damaged)", id="damaged"
        ),
        pytest.param(
            png(chunk(b"zTXt", b"workflow\0\0" + zlib.compress(UI_TEXT)[:-8])),
            "no workflow inside (workflow: truncated: its compressed text ends early)",
            id="compressed, then cut",
        ),
        pytest.param(
            png(chunk(b"zTXt", b"workflow\0\7xyz")),
            "no workflow inside (workflow: its text is compressed in an unknown way)",
            id="another compression",
        ),
        pytest.param(
            png(zipped_text(b"workflow", b" " * (MAX_SIZE + 1))),
            f"no workflow inside (workflow: unpacks to more than {MAX_SIZE} bytes)",
            id="a bomb",
        ),
        pytest.param(png(chunk(b"tEXt", b"workflow")), "no workflow inside", id="a key and nothing else"),
        pytest.param(png(chunk(b"iTXt", b"workflow\0")), "no workflow inside", id="an iTXt that is only a key"),
        pytest.param(png(*[chunk(b"teST", b"")] * 100_001), "has more than 100000 chunks", id="chunks without end"),
        pytest.param(
            png()[:33] + b"\xff\xff\xff\xfftEXtworkflow\0",
            "truncated: the image ends early, with no workflow before that",
            id="4 GB of text",
        ),
    ],
)
def test_png_without_a_graph_says_why(refusal, data, reason):
    assert refusal(data) == reason


def test_many_bombs_are_no_more_than_one(read, monkeypatch):
    monkeypatch.setattr(_workflow_file, "MAX_SIZE", 4096)
    bombs = [zipped_text(key, b" " * 3000) for key in (b"data", b"graph", b"workflow")]
    with pytest.raises(WorkflowError, match=r"graph: unpacks to more than 4096 bytes"):
        read(png(*bombs))


@pytest.mark.parametrize(
    "data, expected",
    [
        pytest.param(
            webp(riff(b"EXIF", exif({0x010F: b"workflow:" + UI_TEXT, 0x0110: b"prompt:" + API_TEXT}))), ["workflow", "prompt"], id="both"
        ),
        pytest.param(webp(riff(b"EXIF", exif({0x010F: b"Workflow:" + UI_TEXT}))), ["workflow"], id="with a capital"),
        pytest.param(webp(riff(b"EXIF", exif({0x010F: b"workflow:" + UI_TEXT}, order="<"))), ["workflow"], id="little-endian"),
        pytest.param(webp(riff(b"EXIF", exif({0x010F: b"workflow:" + UI_TEXT}, prefix=b""))), ["workflow"], id="without the word Exif"),
        pytest.param(
            webp(riff(b"EXIF", exif({0x010F: b"author:me", 0x010E: b"workflow:" + UI_TEXT, 0x0110: b"prompt:" + API_TEXT}))),
            ["workflow", "prompt"],
            id="another text has taken the usual tag",
        ),
        pytest.param(
            webp(riff(b"odd ", b"x"), riff(b"EXIF", exif({0x010F: b"workflow:" + UI_TEXT}))), ["workflow"], id="behind an odd chunk"
        ),
        pytest.param(webp(ODD_EXIF)[:-1], ["workflow"], id="the padding left out"),
    ],
)
def test_graphs_are_found_in_webp(read, data, expected):
    found = read(data)
    assert found.container == "webp"
    assert [document.where for document in found.documents] == expected
    assert all(document.data == (UI if document.kind == "ui" else API) for document in found.documents)


@pytest.mark.parametrize(
    "data, reason",
    [
        pytest.param(webp(), "no workflow inside", id="only pixels"),
        pytest.param(webp(riff(b"EXIF", exif({0x010F: b"Canon EOS"}))), "no workflow inside", id="a camera"),
        pytest.param(webp(riff(b"EXIF", b"Exif\0\0MM")), "no workflow inside (EXIF: damaged)", id="EXIF that ends early"),
        pytest.param(webp(riff(b"EXIF", b"")), "no workflow inside (EXIF: damaged)", id="EXIF that is empty"),
        pytest.param(
            webp(riff(b"EXIF", exif({0x010F: b"workflow:" + UI_TEXT})[:-20])),
            "no workflow inside (EXIF: damaged)",
            id="a text that ends early",
        ),
        pytest.param(
            webp(riff(b"EXIF", exif({0x010F: b"workflow:" + UI_TEXT})))[:-20],
            "truncated: the image ends early, with no workflow before that",
            id="cut",
        ),
        pytest.param(webp()[:33], "truncated: the image ends early, with no workflow before that", id="cut in front"),
    ],
)
def test_webp_without_a_graph_says_why(refusal, data, reason):
    assert refusal(data) == reason


def test_texts_in_webp_that_overlap_are_read_within_limits(refusal, monkeypatch):
    monkeypatch.setattr(_workflow_file, "MAX_SIZE", 100_000)
    value = b"workflow:" + b" " * 50_000
    directory = b"II*\0" + struct.pack("<IH", 8, 1000) + struct.pack("<HHII", 0x010F, 2, len(value), 8 + 2 + 12 * 1000) * 1000
    assert refusal(webp(riff(b"EXIF", directory + value))) == "its texts are more than 100000 bytes"


@pytest.mark.parametrize(
    "data, name",
    [
        pytest.param(b"fLaC\0\0\0\x22", "FLAC", id="FLAC"),
        pytest.param(b"OggS\0\2", "Ogg", id="Ogg"),
        pytest.param(b"ID3\4", "MP3", id="MP3"),
        pytest.param(b"\xff\xfb\x90", "MP3", id="MP3 without tags"),
        pytest.param(b"\0\0\0\x20ftypisom", "MP4", id="MP4"),
        pytest.param(b"\0\0\0\x14ftypqt  ", "MOV", id="MOV"),
        pytest.param(b"\0\0\0\x1cftypavif", "AVIF", id="AVIF"),
        pytest.param(b"\x1a\x45\xdf\xa3\x9f", "WebM or Matroska", id="WebM"),
        pytest.param(b"\xff\xd8\xff\xe0", "JPEG", id="JPEG"),
        pytest.param(b"GIF89a", "GIF", id="GIF"),
        pytest.param(b"glTF\2\0\0\0", "GLB", id="GLB"),
        pytest.param(b"RIFF\x24\0\0\0WAVEfmt ", "WAV", id="WAV"),
        pytest.param(b"<svg xmlns='x'></svg>", "SVG", id="SVG"),
        pytest.param(b"<?xml version='1.0'?>\n<!-- a -->\n<svg/>", "SVG", id="SVG behind XML"),
        pytest.param(b"<!DOCTYPE html><html>", "HTML", id="a web page"),
        pytest.param(struct.pack("<Q", 2) + b'{"a":1}', "safetensors", id="safetensors or .latent"),
        pytest.param(b"PK\3\4\x14\0", "zip", id="zip"),
        pytest.param(b"\x1f\x8b\x08\0", "gzip", id="gzip"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer", id="Git LFS"),
    ],
)
def test_other_containers_are_named_whatever_the_file_is_called(tmp_path, data, name):
    path = tmp_path / "workflow.json"
    path.write_bytes(data)
    with pytest.raises(WorkflowError, match=f"^unsupported container {name}$"):
        read_workflow(path)


def test_a_file_that_is_too_large_is_not_opened(tmp_path):
    path = tmp_path / "large.json"
    path.touch()
    os.truncate(path, MAX_SIZE + 1)
    path.chmod(0)
    with pytest.raises(WorkflowError, match=f"^is too large: {MAX_SIZE + 1} bytes, and {MAX_SIZE} are read at most$"):
        read_workflow(path)


def test_pixels_are_not_read(tmp_path):
    """Most of the file is a hole; reading it would show as memory, and this process may not have that much."""
    path = tmp_path / "large.png"
    size = MAX_SIZE - 1000
    head = png()[:33] + text(b"workflow", UI_TEXT) + struct.pack(">I", size - 4096) + b"IDAT"
    path.write_bytes(head)
    os.truncate(path, len(head) + size - 4096 + 4)
    with path.open("ab") as file:
        file.write(comf(b"prompt", API_TEXT) + chunk(b"IEND", b""))
    asked = []
    real = os.pread

    def counting(handle, length, offset):
        data = real(handle, length, offset)
        asked.append(len(data))
        return data

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pread", counting)
        assert outline(read_workflow(path)) == [("ui", "workflow"), ("api", "prompt")]
    assert sum(asked) < 10_000


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo.json")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.json"))
    (tmp_path / "gone.json").symlink_to("nowhere")
    (tmp_path / "circle.json").symlink_to("circle.json")
    reasons = {}
    for path in [tmp_path, *tmp_path.iterdir(), Path("/dev/zero"), tmp_path / "missing", tmp_path / "a\0b", tmp_path / ("x" * 300)]:
        with pytest.raises(WorkflowError) as caught:
            read_workflow(path)
        reasons[path.name[:12]] = str(caught.value)
    assert reasons == {
        tmp_path.name[:12]: "is a folder, not a file",
        "fifo.json": "is not a regular file",
        "socket.json": "is not a regular file",
        "gone.json": "no such file or directory",
        "circle.json": "too many levels of symbolic links",
        "zero": "is not a regular file",
        "missing": "no such file or directory",
        "a\0b": "the path is none that a file can have",
        "x" * 12: "file name too long",
    }


def test_no_file_stays_open(tmp_path, read, refusal):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for data in (UI_TEXT, png(), webp(), b"[", b"\xff\xd8\xff"):
        try:
            read(data)
        except WorkflowError:
            continue
    assert len(list(Path("/proc/self/fd").iterdir())) == before


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[]), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["workflow", "prompt", "nodes", "class_type", "tests", "\ud800", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(values)
@example({"workflow": {"nodes": [{"\ud800": "\udfff"}]}})
def test_any_json_is_read_or_refused_and_what_is_read_can_be_written(shared_path, value):
    shared_path.write_bytes(dumped(value))
    try:
        found = read_workflow(shared_path)
    except WorkflowError as error:
        assert str(error).isprintable()
        return
    for document in found.documents:
        json.dumps(document.data, ensure_ascii=False).encode()
    assert outline(read_workflow(shared_path)) == outline(found)


@settings(max_examples=300)
@given(
    st.sampled_from([UI_TEXT, BOTH, png(zipped_text(b"workflow", UI_TEXT)), webp(riff(b"EXIF", exif({0x010F: b"workflow:" + UI_TEXT})))]),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=4)), min_size=1, max_size=4),
)
def test_damaged_files_are_read_or_refused(shared_path, data, damage):
    for place, replacement in damage:
        place %= len(data) + 1
        data = data[:place] + replacement + data[place + len(replacement) :]
    shared_path.write_bytes(data)
    try:
        assert read_workflow(shared_path).documents
    except WorkflowError as error:
        assert str(error).isprintable()


@pytest.fixture(name="tree")
def fixture_tree(tmp_path, monkeypatch):
    """A folder with files of these names, and the tests stand in it."""

    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return make


@pytest.mark.parametrize(
    "paths, expected",
    [
        pytest.param(["w"], ["w/b.PNG", "w/c.webp", "w/v.mp4", "w/a/d.json", "w/a/x/e.json"], id="a folder, and all below"),
        pytest.param(["w/"], ["w/b.PNG", "w/c.webp", "w/v.mp4", "w/a/d.json", "w/a/x/e.json"], id="a slash behind it"),
        pytest.param(["w/a/d.json"], ["w/a/d.json"], id="a file"),
        pytest.param(["w/notes.md", "w/.hidden.json"], ["w/notes.md", "w/.hidden.json"], id="a file that is named is taken as it is"),
        pytest.param(["w/*.json"], [], id="a glob without a match"),
        pytest.param(
            ["w/*"], ["w/a/d.json", "w/a/x/e.json", "w/b.PNG", "w/c.webp", "w/notes.md", "w/v.mp4"], id="a glob for all, folders too"
        ),
        pytest.param(["w/?.PNG", "w/[a-c].*"], ["w/b.PNG", "w/c.webp"], id="overlapping globs"),
        pytest.param(["w/**/*.json"], ["w/a/d.json", "w/a/x/e.json"], id="a glob at any depth"),
        pytest.param(["**/x"], ["w/a/x/e.json"], id="a glob for folders"),
        pytest.param(["w/**"], ["w/b.PNG", "w/c.webp", "w/v.mp4", "w/a/d.json", "w/a/x/e.json"], id="a glob that means the folder"),
        pytest.param(["*/a/../c.webp"], ["w/a/../c.webp"], id="a glob that goes back"),
        pytest.param(["w/a", "w/a/d.json", "./w/a"], ["w/a/d.json", "w/a/x/e.json"], id="each file once"),
        pytest.param(["odd [1].json"], ["odd [1].json"], id="a name that looks like a glob"),
    ],
)
def test_paths_stand_for_files(tree, paths, expected):
    names = ["w/b.PNG", "w/c.webp", "w/v.mp4", "w/notes.md", "w/a/d.json", "w/a/x/e.json", "odd [1].json"]
    top = tree(*names, "w/.hidden.json", "w/.git/f.json", "w/a/model.safetensors")
    assert [str(path) for path in find_files(paths)[0]] == expected
    absolute, refused = find_files([str(top / path) for path in paths])
    assert [path.relative_to(top) for path in absolute] == [Path(name) for name in expected]
    assert bool(refused) == (not expected)


def test_paths_that_stand_for_nothing_say_why(tree):
    tree("empty/readme.md")
    files, refused = find_files(["missing", "empty", "*.json", "a\0b", "\ud800", "x" * 300, ""])
    assert not files
    assert refused == {
        "missing": "no such file or directory",
        "empty": "the folder has no workflow files in it",
        "*.json": "nothing matches",
        "a\0b": "the path is none that a file can have",
        "\ufffd": "the path is none that a file can have",
        "x" * 300: "file name too long",
        "": "no such file or directory",
    }


def test_links_to_files_are_followed_and_links_to_folders_lead_nowhere(tree):
    top = tree("w/a.json", "else/b.json")
    (top / "w/link.json").symlink_to("../else/b.json")
    (top / "w/else").symlink_to("../else")
    for name in ("one", "two", "circle.json"):
        (top / "w" / name).symlink_to(".")
    for path in ("w", "w/**/*.json"):
        assert {"w/a.json", "w/link.json"} == {str(file) for file in find_files([path])[0] if file.name != "circle.json"}
    assert [str(file) for file in find_files(["w/else"])[0]] == ["w/else/b.json"]


def test_what_strangers_put_into_a_folder_gets_its_row(tree):
    top = tree("w/a.json")
    os.mkfifo(top / "w/fifo.json")
    (top / "w/broken.json").symlink_to("nowhere")
    (top / os.fsdecode(b"w/\xff.json")).touch()
    assert [os.fsencode(file.name) for file in find_files(["w"])[0]] == [b"a.json", b"broken.json", b"fifo.json", b"\xff.json"]


def test_folders_may_be_nested_deeper_than_python_calls_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    levels = 1200
    for _level in range(levels):
        Path("d").mkdir()
        os.chdir("d")
    Path("deep.json").touch()
    os.chdir(tmp_path)
    try:
        for path in (".", "**/*.json"):
            files, refused = find_files([path])
            assert [file.name for file in files] == ["deep.json"]
            assert not refused
    finally:  # pytest, which calls itself for each level, could not remove them
        os.chdir("d/" * levels)
        Path("deep.json").unlink()
        for _level in range(levels):
            os.chdir("..")
            Path("d").rmdir()


@pytest.mark.parametrize("beside", ["connections", "edges", "asset", "scenes"])
def test_the_graph_of_another_program_is_no_workflow(tmp_path, beside):
    path = tmp_path / "graph.json"
    path.write_text(json.dumps({"nodes": [{"id": "1", "type": "httpRequest"}], beside: {}}))
    with pytest.raises(NoWorkflowError, match="no workflow inside"):
        read_workflow(path)
    path.write_text(json.dumps({"nodes": [{"id": 1, "type": "A"}], "links": [], beside: {}}))
    assert read_workflow(path).documents[0].kind == "ui"
