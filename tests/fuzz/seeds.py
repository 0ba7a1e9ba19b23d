# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Small files of every kind, built from nothing: what the fuzzer starts from, and what the tests of the reader are made of."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

UI: dict[str, Any] = {
    "nodes": [
        {
            "id": 1,
            "type": "VAELoader",
            "mode": 0,
            "inputs": [],
            "widgets_values": ["ae.safetensors"],
            "properties": {"cnr_id": "comfy-core"},
        }
    ],
    "links": [],
    "version": 0.4,
}
API: dict[str, Any] = {"1": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}, "_meta": {"title": "VAE"}}}
UI_TEXT = json.dumps(UI).encode()
API_TEXT = json.dumps(API).encode()

PIXELS = b"not a pixel" * 10


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def text(key: bytes, value: bytes) -> bytes:
    return chunk(b"tEXt", key + b"\0" + value)


def zipped_text(key: bytes, value: bytes) -> bytes:
    return chunk(b"zTXt", key + b"\0\0" + zlib.compress(value))


def international_text(key: bytes, value: bytes, compressed: bool = False) -> bytes:
    packed = b"\1\0" + b"en\0title\0" + zlib.compress(value) if compressed else b"\0\0" + b"en\0title\0" + value
    return chunk(b"iTXt", key + b"\0" + packed)


def comf(key: bytes, value: bytes) -> bytes:
    return chunk(b"comf", key + b"\0" + value)


def png(*before: bytes, after: tuple[bytes, ...] = ()) -> bytes:
    """An image as far as its chunks go, some of them before the pixels and some behind."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(before) + chunk(b"IDAT", PIXELS) + b"".join(after) + chunk(b"IEND", b"")


def riff(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def exif(entries: dict[int, bytes], order: str = ">", prefix: bytes = b"Exif\0\0") -> bytes:
    """A directory of texts."""
    directory = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(f"{order}IH", 8, len(entries))
    place = 8 + 2 + 12 * len(entries) + 4
    texts = b""
    for tag, value in entries.items():
        directory += struct.pack(f"{order}HHII", tag, 2, len(value) + 1, place + len(texts))
        texts += value + b"\0"
    return prefix + directory + struct.pack(f"{order}I", 0) + texts


def webp(*chunks: bytes) -> bytes:
    body = b"WEBP" + riff(b"VP8X", b"\0" * 10) + riff(b"VP8 ", PIXELS + b"!") + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def files() -> dict[str, bytes]:
    """One of every kind."""
    both = {"workflow": UI, "prompt": API}
    return {
        "ui": UI_TEXT,
        "api": API_TEXT,
        "bom": b"\xef\xbb\xbf" + UI_TEXT,
        "utf16": json.dumps(UI).encode("utf-16"),
        "utf32": json.dumps(API).encode("utf-32"),
        "both": json.dumps(both).encode(),
        "texts": json.dumps({key: json.dumps(value) for key, value in both.items()}).encode(),
        "posted": json.dumps({"prompt": API, "extra_data": {"extra_pnginfo": {"workflow": UI}}}).encode(),
        "tests": json.dumps({"tests": [{"input": {"workflow": API}}]}).encode(),
        "list": json.dumps([UI, API]).encode(),
        "surrogates": b'{"nodes": [{"type": "\\ud83d\\ude00 \\ud800 \\\\ud83d\\ude00", "\\udfff": NaN}]}',
        "numbers": b'{"nodes": [1e999, -Infinity, 123456789012345678901234567890, null, true]}',
        "png": png(text(b"prompt", API_TEXT), text(b"workflow", UI_TEXT)),
        "png-zipped": png(zipped_text(b"workflow", UI_TEXT)),
        "png-international": png(international_text(b"workflow", UI_TEXT), international_text(b"prompt", API_TEXT, compressed=True)),
        "png-animated": png(after=(comf(b"prompt", API_TEXT), comf(b"workflow", UI_TEXT))),
        "png-bare": png(),
        "webp": webp(riff(b"EXIF", exif({0x0110: b"prompt:" + API_TEXT, 0x010F: b"Workflow:" + UI_TEXT}))),
        "webp-little": webp(riff(b"EXIF", exif({0x010F: b"workflow:" + UI_TEXT}, order="<", prefix=b""))),
        "webp-bare": webp(),
        "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
        "safetensors": struct.pack("<Q", 2) + b'{"',
        "mp4": b"\0\0\0\x18ftypisom\0\0\0\0",
        "svg": b'<?xml version="1.0"?><svg/>',
        "empty": b"",
    }


def texts() -> dict[str, bytes]:
    """Names, folders, addresses and secrets, as workflows have them."""
    lines = {
        "name": "SDXL\\base (v2) é.safetensors",
        "escape": "a/../../x.pt",
        "drive": "C:\\x.pt",
        "template": "{{ x }}",
        "folder": "custom_nodes/x",
        "page": "https://huggingface.co/owner/repo/blob/main/a%20b.safetensors?download=true#x",
        "short": "https://hf.co/owner/repo/resolve/main/x.gguf",
        "civitai": "https://civitai.com/api/download/models/142421?type=Model&token=abcdefgh",
        "user": "https://me:word@huggingface.co:443/x",
        "number": "https://0x7f.1:8188/x",
        "six": "https://[::1]/x",
        "token": "api_key=hf_" + "aB3dE5gH7j" * 4,
        "bearer": "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    }
    return {name: line.encode() for name, line in lines.items()}


def workflows() -> dict[str, bytes]:
    """Small graphs with everything in them that the analysis goes into."""
    model = {"name": "a.safetensors", "url": "https://huggingface.co/o/r/resolve/main/a.safetensors", "directory": "vae", "hash": "0" * 64}
    inner = {
        "id": "sub",
        "inputs": [{"name": "vae", "linkIds": [1]}],
        "outputs": [{"name": "VAE", "linkIds": [2]}],
        "nodes": [
            {
                "id": 5,
                "type": "VAELoader",
                "inputs": [{"name": "vae_name", "widget": {"name": "vae_name"}, "link": 1}],
                "widgets_values": ["b.safetensors"],
                "properties": {"models": [model]},
            }
        ],
        "links": [
            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 5, "target_slot": 0},
            {"id": 2, "origin_id": 5, "origin_slot": 0, "target_id": -20, "target_slot": 0},
        ],
    }
    instance = {"id": 1, "type": "sub", "mode": 0, "inputs": [{"name": "vae", "link": None}], "widgets_values": ["a.safetensors"]}
    reroute = {"id": 2, "type": "Reroute", "inputs": [{"link": 1}]}
    strings = {"id": 3, "type": "Strings", "widgets_values": ["c.safetensors,d.ckpt"]}
    linked = {
        "id": 4,
        "type": "LoraLoader",
        "inputs": [{"name": "lora_name", "widget": {"name": "lora_name"}, "link": 2}],
        "widgets_values": ["old.safetensors", 1, 1],
    }
    group = {"nodes": [{"type": "CheckpointLoaderSimple", "widgets_values": ["e.ckpt"], "index": 0}], "links": []}
    downloader = {
        "id": 6,
        "type": "EmProps_Asset_Downloader",
        "widgets_values": ["https://civitai.com/api/download/models/1", "clip_gguf", "f.gguf", "CivitAI", "0123456789abcdef" * 2],
        "properties": {"aux_id": "owner/repository", "ver": "1.0"},
    }
    loras = {"id": 7, "type": "Power Lora Loader (rgthree)", "widgets_values": [{}, {"on": False, "lora": "x\\\\y.safetensors"}, ""]}
    texts = {"id": 8, "type": "CLIPTextEncode", "widgets_values": ["embedding:bad, <lora:nice:1>"], "mode": 4}
    note = {"id": 9, "type": "Note", "widgets_values": ["https://huggingface.co/o/r/resolve/main/e.ckpt"]}
    ui = {
        "nodes": [instance, reroute, strings, linked, {"id": 10, "type": "workflow>g", "widgets_values": ["g.ckpt"]}, downloader, loras],
        "links": [[1, 3, 0, 2, 0, "STRING"], [2, 2, 0, 4, 0, "STRING"]],
        "definitions": {"subgraphs": [inner]},
        "extra": {"groupNodes": {"g": group}},
        "models": [model],
    }
    api = {
        "1": {"class_type": "LoadLoraModel", "inputs": {"loras.0.lora_name": "a.safetensors", "loras.0.enabled": True, "model": ["2", 0]}},
        "2": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": ["3", 0]}, "_meta": {"cnr_id": "comfy-core"}},
        "3": {"class_type": "Text", "inputs": {"text": {"__value__": ["x"]}, "token": "hf_" + "a" * 34, "name": "../../a.ckpt"}},
        "4": {"class_type": "{{ x }}", "inputs": {"ckpt_name": "https://civitai.com/api/download/models/1"}},
        "5": {"class_type": "Loras", "inputs": {"lora_1": {"on": True, "lora": "l.pt"}}},
    }
    return {
        "ui": json.dumps(ui).encode(),
        "texts": json.dumps({"nodes": [texts, note, {"id": 1, "type": "sub"}]}).encode(),
        "api": json.dumps(api).encode(),
        "both": json.dumps({"workflow": ui, "prompt": {"1:5": {"class_type": "VAELoader", "inputs": {"vae_name": "h.sft"}}}}).encode(),
        "cyclic": json.dumps({"nodes": [instance], "definitions": {"subgraphs": [{**inner, "nodes": [instance]}]}}).encode(),
    }
