# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a file's own bytes say: weights are told apart from web pages, Git LFS pointers and files that were cut short.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import json
import os
from pathlib import PurePath
from typing import BinaryIO

HEAD_SIZE = 512
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
SAFETENSORS_HEADER_LIMIT = 100_000_000

# A body of this type is refused, unless the name says that this is what is wanted.
_NAMES_OF_TYPE = {"text/html": (".html", ".htm"), "application/json": (".json",)}


class ContentError(ValueError):
    """These bytes are not the model that the name promises."""


def check_type(name: str, content_type: str) -> None:
    """Judge an answer by its Content-Type, before its body is read."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _NAMES_OF_TYPE and PurePath(name).suffix.lower() not in _NAMES_OF_TYPE[kind]:
        raise ContentError(f"the server answered with {kind} instead of a model (often a login or error page)")


def check_head(name: str, head: bytes, size: int | None) -> None:
    """Judge a file by its first HEAD_SIZE bytes and, where it is known, its size."""
    suffix = PurePath(name).suffix.lower()
    if suffix not in _NAMES_OF_TYPE["text/html"] and head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html")):
        raise ContentError("the content is a web page (often a login or error page), not a model")
    if head.startswith(LFS_POINTER):
        raise ContentError("the content is a Git LFS pointer, not the model it stands for")
    if suffix == ".gguf" and not head.startswith(b"GGUF"):
        raise ContentError("the content does not begin as a GGUF file does")
    if suffix in (".safetensors", ".sft"):
        _check_safetensors_head(head, size)


def check_file(name: str, file: BinaryIO) -> None:
    """Judge a whole file: the head, and for safetensors that the tensors it lists are all there."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    head = file.read(HEAD_SIZE)
    check_head(name, head, size)
    if PurePath(name).suffix.lower() in (".safetensors", ".sft"):
        length = int.from_bytes(head[:8], "little")
        file.seek(8)
        described = 8 + length + _end_of_tensors(file.read(length))
        if described != size:
            raise ContentError(f"its safetensors header describes {described} bytes, the file has {size}")


def _check_safetensors_head(head: bytes, size: int | None) -> None:
    length = int.from_bytes(head[:8], "little")
    if head[8:9] != b"{" or length > SAFETENSORS_HEADER_LIMIT:
        raise ContentError("the content does not begin as a safetensors file does")
    if size is not None and 8 + length > size:
        raise ContentError(f"its safetensors header alone would be {8 + length} bytes, the file has {size}")


def _end_of_tensors(header: bytes) -> int:
    try:
        tensors = json.loads(header)
        return max((int(tensor["data_offsets"][1]) for name, tensor in tensors.items() if name != "__metadata__"), default=0)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ContentError("its safetensors header cannot be read") from error
