# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a file's own bytes say: weights are told apart from web pages, error messages, Git LFS pointers and files that were cut short.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from pathlib import Path, PurePath
from typing import BinaryIO

HEAD_SIZE = 512
HASH_BUFFER = 1024 * 1024
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
SAFETENSORS_HEADER_LIMIT = 100_000_000
PARSED_HEADER_LIMIT = 1024 * 1024
# Inside a text of the header its quotes would have backslashes in front.
_DATA_OFFSETS = re.compile(rb'"data_offsets"\s*:\s*\[\s*[0-9]{1,18}\s*,\s*([0-9]{1,18})\s*\]')

_SAFETENSORS = (".safetensors", ".sft")
_PICKLES = (".pt", ".pth", ".ckpt", ".pkl")
# Archives by their name, or by their beginning: torch writes weights as one.
_ARCHIVES = (".zip", ".pt", ".pth", ".ckpt", ".bin")
# A body of this type is refused, unless the name says that this is what is wanted.
_NAMES_OF_TYPE = {"text/html": (".html", ".htm"), "application/json": (".json",)}
# How servers begin when they say no in JSON.
_ERROR_BODY = re.compile(rb'\{\s*"(?:code|details?|errors?|error_?codes?|messages?|ok|status|statusCode|success)"\s*:')

_ZIP_MAGIC = b"PK\3\4"
_ZIP_END, _ZIP_END_SIZE = b"PK\5\6", 22
_ZIP64_LOCATOR, _ZIP64_LOCATOR_SIZE = b"PK\6\7", 20
_ZIP64_END, _ZIP64_END_SIZE = b"PK\6\6", 56
_ZIP_COMMENT_LIMIT = 65535


class ContentError(ValueError):
    """These bytes are not the model that the name promises."""


def hash_file(file: Path | BinaryIO) -> str:
    """The sha256 of a whole file, in large reads into one buffer. Raises OSError."""
    if isinstance(file, Path):
        with file.open("rb", buffering=0) as opened:
            return _hash(opened.fileno())
    return _hash(file.fileno())


def _hash(handle: int) -> str:
    digest, buffer, position = hashlib.sha256(), memoryview(bytearray(HASH_BUFFER)), 0
    while size := os.preadv(handle, [buffer], position):
        digest.update(buffer[:size])
        position += size
    return digest.hexdigest()


def check_type(name: str, content_type: str) -> None:
    """Judge an answer by its Content-Type, before its body is read."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _NAMES_OF_TYPE and _suffix(name) not in _NAMES_OF_TYPE[kind]:
        raise ContentError(f"the server answered with {kind} instead of a model (often a login or error page)")


def check_head(name: str, head: bytes, size: int | None) -> None:
    """Judge a file by its first HEAD_SIZE bytes and, where it is known, its size."""
    suffix = _suffix(name)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if suffix not in _NAMES_OF_TYPE["text/html"] and text.lower().startswith((b"<!doctype", b"<html")):
        raise ContentError("the content is a web page (often a login or error page), not a model")
    if suffix not in _NAMES_OF_TYPE["application/json"] and _ERROR_BODY.match(text):
        raise ContentError("the content is an error message in JSON, not a model")
    if text.startswith((b"<?xml", b"<Error>")) and b"<Error>" in text:
        raise ContentError("the content is an error message in XML (often of a storage), not a model")
    if head.startswith(LFS_POINTER):
        raise ContentError("the content is a Git LFS pointer, not the model it stands for")
    if suffix == ".gguf":
        _check_gguf_head(head)
    elif suffix in _SAFETENSORS:
        _check_safetensors_head(head, size)
    elif suffix in _PICKLES and not head.startswith((_ZIP_MAGIC, b"\x80")):
        raise ContentError(f"the content begins neither as a ZIP archive nor as a pickle, as a {suffix} file does")
    elif suffix == ".zip" and not head.startswith((_ZIP_MAGIC, _ZIP_END)):
        raise ContentError("the content does not begin as a ZIP archive does")


def check_file(name: str, file: BinaryIO) -> None:
    """Judge a whole file: the head, and that what a safetensors header or a ZIP directory promises is all there."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    head = file.read(HEAD_SIZE)
    check_head(name, head, size)
    suffix = _suffix(name)
    if suffix in _SAFETENSORS:
        length = int.from_bytes(head[:8], "little")
        file.seek(8)
        described = 8 + length + _end_of_tensors(file.read(length))
        if described != size:
            raise ContentError(f"its safetensors header describes {described} bytes, the file has {size}")
    elif suffix in _ARCHIVES and head.startswith((_ZIP_MAGIC, _ZIP_END)):
        _check_zip_end(file, size)


def open_quietly(path: Path) -> int:
    """For reading, without waiting for a pipe's other end, and with the time of use left as it is: the clean-up goes by it."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        return os.open(path, flags)


def check_no_pickle(file: BinaryIO) -> None:
    """Refuse what unpickling would run, whatever its name says: a bare pickle, or a ZIP archive with one in it."""
    file.seek(0)
    head = file.read(4)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise ContentError("the content is a pickle, which can run code when it is loaded: allow it with allow_pickle")
    if head == _ZIP_MAGIC:
        try:
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError) as error:
            raise ContentError("the content begins as a ZIP archive does, and cannot be read as one") from error
        if any(name.endswith((".pkl", ".pickle")) for name in names):
            raise ContentError("the content is an archive with a pickle, which can run code when it is loaded: allow it with allow_pickle")


def _suffix(name: str) -> str:
    return PurePath(name).suffix.lower()


def _check_gguf_head(head: bytes) -> None:
    if not head.startswith(b"GGUF"):
        raise ContentError("the content does not begin as a GGUF file does")
    # A file for a machine of the other byte order has its version the other way round.
    version = min(int.from_bytes(head[4:8], "little"), int.from_bytes(head[4:8], "big"))
    if len(head) < 8 or not 1 <= version < 1000:
        raise ContentError("the content begins as a GGUF file does, but names no version of it")


def _check_safetensors_head(head: bytes, size: int | None) -> None:
    length = int.from_bytes(head[:8], "little")
    if head[8:9] != b"{" or length > SAFETENSORS_HEADER_LIMIT:
        raise ContentError("the content does not begin as a safetensors file does")
    if size is not None and 8 + length > size:
        raise ContentError(f"its safetensors header alone would be {8 + length} bytes, the file has {size}")


def _end_of_tensors(header: bytes) -> int:
    """Where the last tensor ends. A large header is not parsed, which takes many times its size of memory."""
    try:
        if len(header) > PARSED_HEADER_LIMIT:
            return max((int(end) for end in _DATA_OFFSETS.findall(header)), default=0)
        tensors = json.loads(header)
        return max((int(tensor["data_offsets"][1]) for name, tensor in tensors.items() if name != "__metadata__"), default=0)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError) as error:
        raise ContentError("its safetensors header cannot be read") from error


def _check_zip_end(file: BinaryIO, size: int) -> None:
    """A ZIP archive ends with a record that says where its directory is; one that was cut short has neither."""
    tail_at = max(0, size - _ZIP_END_SIZE - _ZIP_COMMENT_LIMIT - _ZIP64_LOCATOR_SIZE)
    file.seek(tail_at)
    tail = file.read(size - tail_at)
    at = tail.rfind(_ZIP_END)
    while at >= 0 and at + _ZIP_END_SIZE + int.from_bytes(tail[at + 20 : at + 22], "little") != len(tail):
        at = tail.rfind(_ZIP_END, 0, at)
    if at < 0:
        raise ContentError("the ZIP archive has no end: it was cut short")
    length, start = (int.from_bytes(tail[at + first : at + first + 4], "little") for first in (12, 16))
    end = tail_at + at
    if 0xFFFFFFFF in (length, start):
        locator = tail[max(0, at - _ZIP64_LOCATOR_SIZE) : at]
        file.seek(min(int.from_bytes(locator[8:16], "little"), size))
        record = file.read(_ZIP64_END_SIZE)
        if not locator.startswith(_ZIP64_LOCATOR) or not record.startswith(_ZIP64_END) or len(record) < _ZIP64_END_SIZE:
            raise ContentError("the ZIP archive's end does not lead to its directory")
        length, start = int.from_bytes(record[40:48], "little"), int.from_bytes(record[48:56], "little")
    file.seek(min(start, size))
    if start + length > end or (length and not file.read(4).startswith(b"PK\1\2")):
        raise ContentError("the ZIP archive's directory is not where its end says")
