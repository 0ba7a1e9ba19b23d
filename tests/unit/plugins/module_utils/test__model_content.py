# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile

import pytest
from ansible_collections.emprops.comfyui.plugins.module_utils._model_content import (
    HASH_BUFFER,
    HEAD_SIZE,
    ContentError,
    check_file,
    check_head,
    check_type,
    hash_file,
)


def safetensors(size: int) -> bytes:
    header = json.dumps({"__metadata__": {"format": "pt"}, "w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(index % 251 for index in range(size))


def archive(comment: bytes = b"", entries: int = 3, large: bool = False) -> bytes:
    """As torch saves weights."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as file:
        for number in range(entries):
            with file.open(f"archive/data/{number}", "w", force_zip64=large) as entry:
                entry.write(bytes(range(256)) * 8)
        file.comment = comment
    return body.getvalue()


def zip64(monkeypatch) -> bytes:
    """An archive whose directory is told by 64-bit numbers, without four gigabytes of it."""
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    content = bytearray(archive())
    end = content.rindex(b"PK\5\6")
    content[end + 12 : end + 20] = b"\xff" * 8
    return bytes(content)


WEIGHTS = safetensors(300_000)
ZIP = archive()
PICKLE = pickle.dumps({"w": list(range(1000))}, protocol=2)
GGUF = b"GGUF\3\0\0\0" + bytes(60)


def judge(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with path.open("rb") as file:
        check_file(name, file)


@pytest.mark.parametrize(
    "name, content",
    [
        pytest.param("a.safetensors", WEIGHTS, id="safetensors"),
        pytest.param("A.SFT", WEIGHTS, id="safetensors under its short name, in capitals"),
        pytest.param("a.safetensors", (2).to_bytes(8, "little") + b"{}", id="no tensors at all"),
        pytest.param("a.gguf", GGUF, id="GGUF"),
        pytest.param("a.gguf", b"GGUF\0\0\0\3" + bytes(60), id="GGUF for a machine of the other byte order"),
        pytest.param("a.pt", ZIP, id="torch, as an archive"),
        pytest.param("a.pth", archive(large=True), id="torch, as an archive with large entries"),
        pytest.param("a.ckpt", PICKLE, id="torch, as a pickle"),
        pytest.param("a.pkl", PICKLE, id="a pickle"),
        pytest.param("a.bin", ZIP, id="torch under any name"),
        pytest.param("a.bin", bytes(600), id="anything"),
        pytest.param("a.bin", b"PK" + bytes(600), id="anything that begins like the author of ZIP"),
        pytest.param("a.zip", archive(comment=b"PK\5\6 is how it ends" * 100), id="an archive whose comment looks like its end"),
        pytest.param("a.zip", archive(entries=0), id="an empty archive"),
        pytest.param("a.html", b"<!doctype html>", id="a wanted web page"),
        pytest.param("config.json", b'{"error": "none"}', id="wanted JSON"),
        pytest.param("a.onnx", b'{"w": 1}', id="braces"),
    ],
)
def test_a_model_is_known_by_its_bytes(tmp_path, name, content):
    judge(tmp_path, name, content)


@pytest.mark.parametrize(
    "name, content, message",
    [
        pytest.param("a.safetensors", WEIGHTS[:-1], "describes 30.* has 30", id="safetensors cut short"),
        pytest.param("a.safetensors", WEIGHTS[:40], "header alone", id="safetensors cut in its header"),
        pytest.param("a.safetensors", WEIGHTS + b"x", "describes", id="safetensors with more behind it"),
        pytest.param("a.safetensors", ZIP, "begin as a safetensors", id="something else"),
        pytest.param("a.safetensors", (70).to_bytes(8, "little") + b"{" * 70, "cannot be read", id="a header that is no JSON"),
        pytest.param("a.safetensors", (14).to_bytes(8, "little") + b'{"w":{"a":[]}}', "cannot be read", id="a header without offsets"),
        pytest.param("a.safetensors", b"", "begin as a safetensors", id="an empty file"),
        pytest.param("a.gguf", b"GGML" + bytes(60), "begin as a GGUF", id="another magic"),
        pytest.param("a.gguf", b"GGUF" + bytes(60), "names no version", id="GGUF of no version"),
        pytest.param("a.gguf", b"GGUF\3", "names no version", id="GGUF cut in its first line"),
        pytest.param("a.pt", ZIP[:-30], "no end: it was cut short", id="an archive cut short"),
        pytest.param("a.bin", ZIP[: len(ZIP) // 2], "no end: it was cut short", id="an archive cut short under any name"),
        pytest.param("a.zip", ZIP + b"more", "no end", id="an archive with more behind it"),
        pytest.param("a.ckpt", ZIP[:3000] + ZIP[3100:], "not where its end says", id="an archive with a hole"),
        pytest.param("a.zip", PICKLE, "begin as a ZIP", id="an archive that is none"),
        pytest.param("a.pt", b"just text", "neither as a ZIP archive nor as a pickle", id="weights that are text"),
        pytest.param("a.pkl", bytes(600), "neither as a ZIP archive nor as a pickle", id="a pickle of zeros"),
        pytest.param("a.pth", b"", "neither", id="an empty pickle"),
        pytest.param("a.ckpt", b"\xef\xbb\xbf \n<!DocType html><html>", "web page", id="a web page"),
        pytest.param("a.bin", b"<HTML><body>", "web page", id="a web page in capitals"),
        pytest.param("a.bin", b'{"error": "Unauthorized", "message": "log in"}', "error message in JSON", id="an error in JSON"),
        pytest.param("a.onnx", b'\n{ "message" : "gone"}', "error message in JSON", id="an error in spacious JSON"),
        pytest.param("a.bin", b"<?xml version='1.0'?>\n<Error><Code>Denied</Code>", "error message in XML", id="an error of a storage"),
        pytest.param("a.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS", id="an LFS pointer"),
    ],
)
def test_what_is_no_whole_model_is_told_in_words(tmp_path, name, content, message):
    with pytest.raises(ContentError, match=message):
        judge(tmp_path, name, content)


@pytest.mark.parametrize("size", range(len(ZIP) - 400, len(ZIP), 13))
def test_an_archive_that_was_cut_anywhere_is_found_out(tmp_path, size):
    with pytest.raises(ContentError):
        judge(tmp_path, "a.pt", ZIP[:size])


def test_an_archive_of_more_than_32_bits_is_found_whole_or_cut(tmp_path, monkeypatch):
    content = zip64(monkeypatch)
    assert b"PK\6\6" in content and b"PK\6\7" in content
    judge(tmp_path, "a.pt", content)
    broken = content.replace(b"PK\6\6", b"PK\0\0")
    with pytest.raises(ContentError, match="does not lead to its directory"):
        judge(tmp_path, "a.pt", broken)


def test_an_answer_is_judged_by_its_type():
    check_type("config.json", "application/json")
    check_type("a.ckpt", "application/octet-stream")
    check_type("a.ckpt", "")
    for kind in ("text/html; charset=utf-8", "Application/JSON"):
        with pytest.raises(ContentError, match="instead of a model"):
            check_type("a.ckpt", kind)


def test_a_huge_safetensors_header_is_refused_before_it_is_read():
    with pytest.raises(ContentError, match="begin as a safetensors"):
        check_head("a.safetensors", (2**40).to_bytes(8, "little") + b"{", None)


@pytest.mark.parametrize("name", ["a.safetensors", "a.gguf", "a.pt", "a.zip", "a.bin"])
@pytest.mark.parametrize("content", [WEIGHTS, GGUF, ZIP, PICKLE])
def test_the_beginning_alone_is_never_judged_harder_than_the_whole(tmp_path, name, content):
    try:
        judge(tmp_path, name, content)
    except ContentError:
        return
    check_head(name, content[:HEAD_SIZE], len(content))


@pytest.mark.parametrize("size", [0, 1, HASH_BUFFER - 1, HASH_BUFFER, HASH_BUFFER + 1, 3 * HASH_BUFFER + 7])
def test_a_file_is_hashed_whole_wherever_it_stands(tmp_path, size):
    content = bytes(index % 253 for index in range(253)) * (size // 253 + 1)
    path = tmp_path / "a"
    path.write_bytes(content[:size])
    wanted = hashlib.sha256(content[:size]).hexdigest()
    assert hash_file(path) == wanted
    with path.open("rb") as file:
        file.read(10)
        assert hash_file(file) == hash_file(file) == wanted
