# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is fuzzed: by name, a function that takes any bytes and must neither raise nor hang, and what to begin with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.emprops.comfyui.plugins.module_utils._catalogue import Catalogue
from ansible_collections.emprops.comfyui.plugins.module_utils._core_nodes import builtins
from ansible_collections.emprops.comfyui.plugins.module_utils._registry import load_registry
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_file import WorkflowError, read_workflow
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_info import Analysis, Options
from ansible_collections.emprops.comfyui.plugins.module_utils._workflow_safety import (
    DEFAULT_HOSTS,
    LONGEST_MESSAGE,
    RefusedError,
    check_directory,
    check_model_name,
    check_url,
    looks_like_secret,
    printable,
)

from fuzz.seeds import files, texts, workflows

# Real to whoever opens it, and gone with the process.
_HANDLE = os.memfd_create("workflow")
_FILE = Path(f"/proc/self/fd/{_HANDLE}")
_BUILTINS = builtins(None)
_REGISTRY = load_registry("none")


def fuzz_reader(data: bytes) -> None:
    os.ftruncate(_HANDLE, 0)
    os.pwrite(_HANDLE, data, 0)
    try:
        found = read_workflow(_FILE)
    except WorkflowError as error:
        assert str(error) and str(error).isprintable(), repr(error)
        return
    assert found.documents
    for document in found.documents:
        assert isinstance(document.data.get("nodes"), list) == (document.kind == "ui")
        document.where.encode("ascii")
        json.dumps(document.data, ensure_ascii=False).encode()


def fuzz_analysis(data: bytes) -> None:
    os.ftruncate(_HANDLE, 0)
    os.pwrite(_HANDLE, data, 0)
    try:
        found = read_workflow(_FILE)
    except WorkflowError:
        return
    # Every file by itself: what one run remembers must not decide what the next one finds.
    analysis = Analysis(
        Options(DEFAULT_HOSTS, include_inactive=True, include_frontend_only=True, allow_unlisted_packs=True),
        builtins=_BUILTINS,
        object_info=None,
        catalogue=Catalogue(),
        registry=_REGISTRY,
    )
    try:
        analysis.add("file", found)
    except WorkflowError as error:
        assert str(error).isprintable(), repr(error)
        return
    result = analysis.result()
    json.dumps(result, ensure_ascii=False, allow_nan=False).encode()
    for model in result["models"]:
        path = Path("/models") / model["directory"] / model["name"]
        assert path.resolve().is_relative_to("/models/"), path
        assert model["url"] is None or check_url(model["url"], DEFAULT_HOSTS).url == model["url"]


def fuzz_gate(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for check in (check_model_name, check_directory):
        try:
            path = check(text)
        except RefusedError:
            continue
        assert check(path) == path and (Path("/models") / path).resolve().is_relative_to("/models/")
    try:
        checked = check_url(text, DEFAULT_HOSTS)
    except RefusedError:
        pass
    else:
        assert check_url(checked.url, DEFAULT_HOSTS).url == checked.url
        assert checked.file_name is None or "/" not in check_model_name(checked.file_name)
    shown = printable(text)
    assert len(shown) <= LONGEST_MESSAGE and len(shown.splitlines()) <= 1
    shown.encode()
    looks_like_secret(text[:20], text)


@dataclass(frozen=True)
class Target:
    run: Callable[[bytes], None]
    seeds: dict[str, bytes]


TARGETS = {
    "reader": Target(fuzz_reader, files()),
    "analysis": Target(fuzz_analysis, workflows()),
    "gate": Target(fuzz_gate, texts()),
}
