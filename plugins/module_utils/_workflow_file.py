# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Workflow files of every kind: found, read within limits, and unwrapped down to the graphs inside.

    JSON   the graph itself, or a wrapper of known keys around it, in which a text may hold JSON again
    PNG    chunks tEXt, iTXt, zTXt and comf, with the same keys; ComfyUI puts comf behind the pixels of an animation
    WebP   texts `key:{json}` in the first directory of the EXIF chunk

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import json
import os
import re
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

MAX_SIZE = 64 * 1024 * 1024
MAX_CHUNKS = 100_000
MAX_DEPTH = 4
# What a list may offer: values to look at, and texts to parse as JSON.
MAX_VALUES = 100_000
MAX_TEXTS = 1_000
HEAD_SIZE = 64 * 1024
# A key of a PNG text has at most 79 bytes.
KEY_SIZE = 80

# Where a graph may be wrapped, in the order of trust: `workflow` knows more than `prompt`.
WRAPPERS = (
    "workflow",
    "prompt",
    "input",
    "output",
    "extra_data",
    "extra_pnginfo",
    "workflow_api",
    "template",
    "data",
    "graph",
    "tests",
)

SUFFIXES = {".json", ".png", ".webp"}
# ComfyUI hides workflows in these too; a folder that holds one shall not look empty.
UNSUPPORTED_SUFFIXES = {".avif", ".flac", ".glb", ".latent", ".m4v", ".mkv", ".mov", ".mp3", ".mp4", ".ogg", ".opus", ".svg", ".webm"}

_PNG = b"\x89PNG\r\n\x1a\n"
_TEXT_CHUNKS = (b"tEXt", b"iTXt", b"zTXt", b"comf")
_MAGIC = (
    (b"fLaC", "FLAC"),
    (b"OggS", "Ogg"),
    (b"ID3", "MP3"),
    (b"\xff\xfb", "MP3"),
    (b"\xff\xf3", "MP3"),
    (b"\xff\xf2", "MP3"),
    (b"\x1a\x45\xdf\xa3", "WebM or Matroska"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"glTF", "GLB"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"8BPS", "PSD"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"%PDF", "PDF"),
    (b"GGUF", "GGUF"),
    (b"\x80\x02", "pickle"),
    (b"version https://git-lfs.github.com/spec/", "Git LFS pointer"),
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIF", b"mif1": "HEIF", b"qt  ": "MOV", b"M4A ": "M4A"}
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:(?P<svg>\?xml[^>]*>\s*(?:<![^>]*>\s*)*<svg|svg)|!doctype html|html)\b", re.IGNORECASE)
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)

_OPENS = re.compile(r"\s*[\[{]")
_UNFINISHED_NUMBER = re.compile(r"\.|[eE][+-]?")
_WORDS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
# Half of a surrogate pair, or a pair that only looks like one because its first backslash is a character itself.
_LONE = re.compile(r"\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|[c-fC-F](?<!\\u[dD][89abAB]..\\u[dD].)|(?<=\\\\u[dD]))", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")

_NO_PATH = "the path is none that a file can have"

Kind = Literal["ui", "api"]
Container = Literal["json", "png", "webp"]


# What stands beside "nodes" in the graphs of other programs (n8n, InvokeAI, Dify, glTF), where ComfyUI has "links".
_OTHER_GRAPHS = ("connections", "edges", "asset", "scenes")


class WorkflowError(Exception):
    """This file is not usable; the message is the reason, in words for its row."""


class NoWorkflowError(WorkflowError):
    """The file is whole, and is something else."""


@dataclass(frozen=True)
class Document:
    """One graph, as the frontend saves it (ui) or as it sends it to the server (api)."""

    kind: Kind
    where: str
    data: dict[str, Any]


@dataclass(frozen=True)
class WorkflowFile:
    container: Container
    documents: tuple[Document, ...]


@dataclass
class _Found:
    documents: list[Document] = field(default_factory=list)
    problem: str = ""
    values: int = 0
    texts: int = 0

    def note(self, where: str, problem: object) -> None:
        """Keep the first thing that was wrong, for a file in which nothing was right."""
        self.problem = self.problem or f"{where}: {problem}"


def read_workflow(path: Path) -> WorkflowFile:
    """All graphs of a file, the most telling first. Raises WorkflowError, and nothing else."""
    try:
        handle = _open(path)
        try:
            return _read(handle, os.fstat(handle).st_size)
        finally:
            os.close(handle)
    except OSError as error:
        raise WorkflowError(_reason(error)) from error
    except MemoryError:
        raise WorkflowError("needs more memory than there is") from None


def find_files(paths: Sequence[str]) -> tuple[list[Path], dict[str, str]]:
    """The files that these files, folders and globs stand for, each once, and why some stand for none.

    A folder stands for the workflow files anywhere below it, without hidden ones; folders behind links are not entered.
    """
    files: dict[str, Path] = {}
    refused: dict[str, str] = {}
    for path in paths:
        found = False
        try:
            for match in [Path(path)] if os.path.lexists(path) else _expand(path, refused):
                for file in _list_folder(match, refused) if match.is_dir() else [match]:
                    files.setdefault(os.path.abspath(file), file)  # noqa: PTH100 - a link is a file of its own
                    found = True
            if not found:
                refused.setdefault(path, _why_nothing(path))
        except OSError as error:
            refused[path] = _reason(error)
        except ValueError:
            refused[path] = _NO_PATH
    return list(files.values()), {_SURROGATE.sub("\ufffd", path): reason for path, reason in refused.items()}


def _open(path: Path) -> int:
    try:
        # Before it is opened: opening a device can do something, and opening a FIFO waits.
        _check_kind(path.stat())
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except ValueError:
        raise WorkflowError(_NO_PATH) from None
    try:
        _check_kind(os.fstat(handle))
    except BaseException:
        os.close(handle)
        raise
    return handle


def _reason(error: OSError) -> str:
    return (error.strerror or "cannot be read").lower()


def _check_kind(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise WorkflowError("is a folder, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise WorkflowError("is not a regular file")
    if found.st_size > MAX_SIZE:
        raise WorkflowError(f"is too large: {found.st_size} bytes, and {MAX_SIZE} are read at most")


def _read(handle: int, size: int) -> WorkflowFile:
    head = os.read(handle, HEAD_SIZE)
    if head.startswith(_PNG):
        return _unwrap_texts("png", *_read_png(handle, size))
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _unwrap_texts("webp", *_read_webp(handle, size))
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        name = _foreign_container(head, size)
        if name:
            raise NoWorkflowError(f"unsupported container {name}")
    data = head + os.read(handle, size - len(head)) if size > len(head) else head
    return _read_json(_decode(data))


def _foreign_container(head: bytes, size: int) -> str | None:
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head.startswith(b"RIFF"):
        return {b"WAVE": "WAV", b"AVI ": "AVI"}.get(head[8:12], "RIFF")
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "MP4")
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") <= size:
        return "safetensors"
    markup = _MARKUP.match(head)
    if markup:
        return "SVG" if markup["svg"] else "HTML"
    return None


def _decode(data: bytes) -> str:
    """A byte that is not UTF-8 becomes U+FFFD, as in a browser: it spoils one name, not the file."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data[len(bom) :].decode(encoding, "replace")
    return data.decode("utf-8", "replace")


def _read_json(text: str) -> WorkflowFile:
    if not text or text.isspace():
        raise WorkflowError("is empty")
    value = _parse(text)
    found = _Found()
    _unwrap(value, "", 0, found)
    if found.documents:
        return WorkflowFile("json", tuple(found.documents))
    if not isinstance(value, dict):
        raise NoWorkflowError(f"{_describe(value)}, not a workflow")
    raise _nothing_inside(found)


def _unwrap_texts(container: Container, texts: Mapping[str, str], found: _Found, whole: bool) -> WorkflowFile:
    _unwrap(dict(texts), "", 0, found)
    if found.documents:
        return WorkflowFile(container, tuple(found.documents))
    raise _nothing_inside(found) if whole else WorkflowError("truncated: the image ends early, with no workflow before that")


def _nothing_inside(found: _Found) -> WorkflowError:
    return WorkflowError(f"no workflow inside ({found.problem})") if found.problem else NoWorkflowError("no workflow inside")


def _unwrap(value: Any, where: str, depth: int, found: _Found) -> None:
    """Collect the graphs in a value. Every value is looked at once, and too many of them are refused."""
    found.values += 1
    if found.values > MAX_VALUES:
        raise WorkflowError(f"has more than {MAX_VALUES} values that could be workflows")
    if isinstance(value, str):
        if not _OPENS.match(value):
            return
        found.texts += 1
        if found.texts > MAX_TEXTS:
            raise WorkflowError(f"has more than {MAX_TEXTS} texts that could be workflows")
        try:
            value = _parse(value)
        except WorkflowError as error:
            found.note(where or "its text", error)
            return
    if isinstance(value, dict):
        kind = _graph_kind(value)
        if kind:
            found.documents.append(Document(kind, where, value))
        elif depth < MAX_DEPTH:
            for key in WRAPPERS:
                if key in value:
                    _unwrap(value[key], f"{where}.{key}" if where else key, depth + 1, found)
    elif isinstance(value, list) and depth < MAX_DEPTH:
        for position, item in enumerate(value):
            _unwrap(item, f"{where}[{position}]", depth + 1, found)


def _graph_kind(value: dict[str, Any]) -> Kind | None:
    if isinstance(value.get("nodes"), list) and ("links" in value or not any(key in value for key in _OTHER_GRAPHS)):
        return "ui"
    # One is enough: real prompts carry other keys beside their nodes.
    if any(isinstance(node, dict) and isinstance(node.get("class_type"), str) for node in value.values()):
        return "api"
    return None


def _parse(text: str) -> Any:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise WorkflowError(_explain(error)) from None
    except RecursionError:
        raise WorkflowError("is nested too deeply") from None
    except ValueError:
        raise WorkflowError("has a number with too many digits") from None
    if ("\\ud" in text or "\\uD" in text) and _LONE.search(text):
        return _replace_surrogates(value)
    return value


def _explain(error: json.JSONDecodeError) -> str:
    place = f"line {error.lineno} column {error.colno}"
    rest = error.doc[error.pos : error.pos + 16].rstrip()
    unfinished = (
        error.pos >= len(error.doc.rstrip())
        or error.msg.startswith("Unterminated string")
        or (error.msg.startswith("Invalid \\u") and error.pos + 5 >= len(error.doc))
        or _UNFINISHED_NUMBER.fullmatch(rest)
        or any(word.startswith(rest) for word in _WORDS)
    )
    if unfinished and _OPENS.match(error.doc):
        return f"truncated: the JSON ends in the middle of what begins at {place}"
    return f"not JSON: {error.msg.lower()} at {place}"


def _describe(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    return "a list" if isinstance(value, list) else "a string" if isinstance(value, str) else "a number"


def _replace_surrogates(value: Any) -> Any:
    """Half a character cannot be written anywhere; in the keys and strings of this value U+FFFD takes its place."""
    holder = [value]
    waiting: list[Any] = [holder]
    while waiting:
        parent = waiting.pop()
        items: Iterable[tuple[Any, Any]]
        if isinstance(parent, dict):
            items = [(_SURROGATE.sub("\ufffd", key), item) for key, item in parent.items()]
            parent.clear()
        else:
            items = enumerate(parent)
        for key, item in items:
            parent[key] = _SURROGATE.sub("\ufffd", item) if isinstance(item, str) else item
            if isinstance(item, (dict, list)):
                waiting.append(item)
    return holder[0]


def _read_png(handle: int, size: int) -> tuple[dict[str, str], _Found, bool]:
    """The texts under known keys, of which the last one counts; pixels are stepped over."""
    texts: dict[str, str] = {}
    found = _Found()
    room = MAX_SIZE
    offset = len(_PNG)
    for _chunk in range(MAX_CHUNKS):
        head = os.pread(handle, 8 + KEY_SIZE, offset)
        if len(head) < 8:
            return texts, found, False
        length, kind = struct.unpack_from(">I4s", head)
        if kind == b"IEND":
            return texts, found, True
        if kind in _TEXT_CHUNKS:
            key, _zero, _text = head[8 : 8 + length].partition(b"\0")
            name = key.decode("latin-1").lower()
            if name in WRAPPERS:
                if offset + 8 + length > size:
                    found.note(name, "truncated")
                    return texts, found, False
                try:
                    text = _inflate(kind, os.pread(handle, length, offset + 8)[len(key) + 1 :], room)
                    room -= len(text)
                    texts[name] = _decode_text(text)
                except WorkflowError as error:
                    found.note(name, error)
        offset += 12 + length
    raise WorkflowError(f"has more than {MAX_CHUNKS} chunks")


def _inflate(kind: bytes, text: bytes, room: int) -> bytes:
    """What follows the key of a text chunk, unpacked to no more than there is room for."""
    compressed = kind == b"zTXt"
    if compressed:
        method, text = text[:1], text[1:]
    elif kind == b"iTXt":
        compressed, method = text[:1] == b"\x01", text[1:2]
        _language, _zero, text = text[2:].partition(b"\0")
        _translated_key, _zero, text = text.partition(b"\0")
    if not compressed:
        return text
    if method != b"\0":
        raise WorkflowError("its text is compressed in an unknown way")
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(text, room + 1)
    except zlib.error:
        raise WorkflowError("its compressed text is damaged") from None
    if len(unpacked) > room:
        raise WorkflowError(f"unpacks to more than {MAX_SIZE} bytes")
    if not unpacker.eof:
        raise WorkflowError("truncated: its compressed text ends early")
    return unpacked


def _decode_text(text: bytes) -> str:
    """The standard says Latin-1, ComfyUI's frontend reads UTF-8."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _read_webp(handle: int, size: int) -> tuple[dict[str, str], _Found, bool]:
    texts: dict[str, str] = {}
    found = _Found()
    room = MAX_SIZE
    offset = 12
    for _chunk in range(MAX_CHUNKS):
        if offset >= size:
            return texts, found, offset <= size + 1  # some writers leave out the last padding byte
        head = os.pread(handle, 8, offset)
        if len(head) < 8:
            return texts, found, False
        kind, length = struct.unpack("<4sI", head)
        if kind == b"EXIF":
            if offset + 8 + length > size:
                found.note("EXIF", "truncated")
                return texts, found, False
            try:
                for name, text in _read_exif(os.pread(handle, length, offset + 8)):
                    room -= len(text)
                    if room < 0:
                        raise WorkflowError(f"its texts are more than {MAX_SIZE} bytes")
                    texts[name] = _decode_text(text)
            except struct.error:
                found.note("EXIF", "damaged")
        offset += 8 + length + length % 2
    raise WorkflowError(f"has more than {MAX_CHUNKS} chunks")


def _read_exif(exif: bytes) -> Iterator[tuple[str, bytes]]:
    """The texts `key:value` under known keys of the first directory, whatever their tags: extra ones shift them."""
    start = 6 if exif.startswith(b"Exif\0\0") else 0
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[start : start + 4])
    if order is None:
        raise struct.error
    directory = start + struct.unpack_from(f"{order}I", exif, start + 4)[0]
    (entries,) = struct.unpack_from(f"{order}H", exif, directory)
    for entry in range(entries):
        _tag, kind, count, offset = struct.unpack_from(f"{order}HHII", exif, directory + 2 + 12 * entry)
        # ASCII, and too long to stand in the entry itself
        if kind == 2 and count > 4:
            offset += start
            key, colon, _text = exif[offset : offset + min(count, KEY_SIZE)].partition(b":")
            name = key.decode("latin-1").lower()
            if colon and name in WRAPPERS:
                if offset + count > len(exif):
                    raise struct.error
                yield name, exif[offset + len(key) + 1 : offset + count].rstrip(b"\0")


def _list_folder(top: Path, refused: dict[str, str]) -> Iterator[Path]:
    """The files below a folder whose names could be workflows', folder by folder in the order of their names."""
    suffixes = SUFFIXES | UNSUPPORTED_SUFFIXES
    for _folder, entries in _walk(top, refused):
        for entry in entries:
            if Path(entry.name).suffix.lower() in suffixes and not entry.is_dir():
                yield Path(entry)


def _walk(top: Path, refused: dict[str, str]) -> Iterator[tuple[Path, list[os.DirEntry[str]]]]:
    """A folder and all below it, without hidden ones and links; strangers nest deeper than Python calls itself."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        entries = _entries(folder, refused)
        yield folder, entries
        waiting += [Path(entry) for entry in reversed(entries) if entry.is_dir(follow_symlinks=False)]


def _entries(folder: Path, refused: dict[str, str]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        refused[str(folder)] = _reason(error)
        return []


def _expand(pattern: str, refused: dict[str, str]) -> Iterator[Path]:
    """What a glob names: `**` stands for any number of folders. Nothing follows links in circles, as glob would."""
    path = Path(pattern)
    if _is_glob(pattern):
        yield from _expand_parts(Path(path.anchor), path.parts[1:] if path.anchor else path.parts, refused)


def _expand_parts(folder: Path, parts: Sequence[str], refused: dict[str, str]) -> Iterator[Path]:
    if not parts or parts == ("**",):
        yield folder
        return
    part, rest = parts[0], parts[1:]
    if not _is_glob(part):
        if os.path.lexists(folder / part):
            yield from _expand_parts(folder / part, rest, refused)
    elif part == "**":
        for place, _entries_of_it in _walk(folder, refused):
            yield from _expand_parts(place, rest, refused)
    elif folder.is_dir():
        for entry in _entries(folder, refused):
            if fnmatchcase(entry.name, part) and not (entry.is_symlink() and entry.is_dir()):
                yield from _expand_parts(folder / entry.name, rest, refused)


def _is_glob(text: str) -> bool:
    return any(character in text for character in "*?[")


def _why_nothing(path: str) -> str:
    if os.path.isdir(path):  # noqa: PTH112 - a path that cannot be looked at is no folder
        return "the folder has no workflow files in it"
    if _is_glob(path):
        return "nothing matches"
    try:
        os.lstat(path)
    except OSError as error:
        return _reason(error)
    return "cannot be read"
