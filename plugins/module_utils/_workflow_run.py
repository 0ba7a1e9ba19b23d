# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Run one workflow on one instance and look at what came out.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.emprops.comfyui.plugins.module_utils._comfyui_api import ComfyUI, ComfyUIError, PromptRejectedError

# Loading a model can keep ComfyUI from answering for a while.
SILENCE_SECONDS = 30
WORKFLOW_LIMIT = 64 * 1024 * 1024
IMAGE_NODES = ("SaveImage", "PreviewImage")
# Nodes that save films list them under "images" too.
FILMS = (".mp4", ".webm", ".mov", ".mkv")


class WorkflowError(Exception):
    """The workflow did not run, or not to a good end; ``run`` is what is known of it."""

    def __init__(self, message: str, run: WorkflowRun | None = None) -> None:
        super().__init__(message)
        self.run = run or WorkflowRun()


@dataclass(frozen=True)
class NodeError:
    node_id: str
    node_class: str
    type: str
    message: str

    def __str__(self) -> str:
        return f"node {self.node_id} ({self.node_class}): {self.message}"


@dataclass(frozen=True)
class Image:
    """A file that a node wrote, as the instance hands it out. Films have no width and height here."""

    node_id: str
    filename: str
    subfolder: str
    type: str
    bytes: int
    width: int | None
    height: int | None


@dataclass(frozen=True)
class WorkflowRun:
    prompt_id: str | None = None
    seconds: float | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    images: tuple[Image, ...] = ()
    node_errors: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[NodeError, ...] = ()

    def to_result(self) -> dict[str, Any]:
        return {
            "prompt_id": self.prompt_id,
            "seconds": self.seconds,
            "outputs": dict(self.outputs),
            "images": [asdict(image) for image in self.images],
            "node_errors": dict(self.node_errors),
            "errors": [asdict(error) for error in self.errors],
        }


@dataclass(frozen=True)
class Patience:
    """How long to wait for a run, how often to look, and by which clock."""

    timeout: float = 300
    poll: float = 0.5
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def load_workflow(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            content = file.read(WORKFLOW_LIMIT + 1)
    except OSError as error:
        raise WorkflowError(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) > WORKFLOW_LIMIT:
        raise WorkflowError(f"{path} is larger than {WORKFLOW_LIMIT // 1024**2} MiB")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise WorkflowError(f"{path} is not JSON: {error}") from error


def check_workflow(workflow: Any, origin: str = "the workflow") -> dict[str, Any]:
    """The workflow if it is in API format: a mapping of node ids to nodes."""
    if isinstance(workflow, dict) and isinstance(workflow.get("nodes"), list):
        raise WorkflowError(
            f'{origin} is in the editor\'s format (it has a list of "nodes"); ComfyUI runs the API format: '
            "save it again in the editor with Export (API)"
        )
    if not isinstance(workflow, dict) or not workflow:
        raise WorkflowError(f"{origin} is not a workflow in API format: a mapping of node ids to nodes is wanted")
    for node_id, node in workflow.items():
        if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
            raise WorkflowError(f'{origin} is not a workflow in API format: "{str(node_id)[:80]}" is not a node with a class_type')
    return workflow


def run_workflow(client: ComfyUI, workflow: dict[str, Any], patience: Patience) -> WorkflowRun:
    """Submit, wait, look. Raises WorkflowError unless every output ran and every image is one."""
    started = patience.clock()
    try:
        answer = client.submit(workflow)
    except PromptRejectedError as error:
        run = WorkflowRun(node_errors=error.node_errors, errors=tuple(parse_node_errors(error.node_errors)))
        raise WorkflowError("; ".join([str(error), *map(str, run.errors)]), run) from error
    except ComfyUIError as error:
        raise WorkflowError(str(error)) from error
    # Outputs that failed validation are left out of a run that the others still get.
    node_errors = answer.get("node_errors")
    run = WorkflowRun(prompt_id=answer["prompt_id"], node_errors=node_errors if isinstance(node_errors, dict) else {})

    entry = _wait(client, run, patience)
    outputs = entry.get("outputs")
    run = replace(
        run,
        seconds=round(patience.clock() - started, 3),
        outputs=outputs if isinstance(outputs, dict) else {},
        errors=(*parse_node_errors(run.node_errors), *parse_execution_errors(entry)),
    )
    if run.errors:
        raise WorkflowError(f"{client.url}: prompt {run.prompt_id} failed: {'; '.join(map(str, run.errors))}", run)
    if not _succeeded(entry):
        raise WorkflowError(f"{client.url}: prompt {run.prompt_id} did not complete, and the instance does not say why", run)
    run = replace(run, images=tuple(_fetch_images(client, run)))
    if silent := silent_image_nodes(workflow, run.outputs):
        raise WorkflowError(f"{client.url}: prompt {run.prompt_id} succeeded, but {', '.join(silent)} wrote no image", run)
    return run


def _wait(client: ComfyUI, run: WorkflowRun, patience: Patience) -> dict[str, Any]:
    """The prompt's entry in the history, once it has one."""
    prompt_id, deadline = str(run.prompt_id), patience.clock() + patience.timeout
    place, silent_since = "waiting", None
    while True:
        try:
            if entry := client.history(prompt_id):
                return entry
            queue = client.queue()
            if prompt_id not in (*queue.running, *queue.pending):
                # It may have ended between the two questions.
                if entry := client.history(prompt_id):
                    return entry
                raise WorkflowError(
                    f"{client.url}: prompt {prompt_id} is lost: it is neither queued nor in the history. "
                    "The instance was restarted meanwhile, or somebody deleted the prompt",
                    run,
                )
            place, silent_since = "running" if prompt_id in queue.running else "waiting", None
        except ComfyUIError as error:
            silent_since = patience.clock() if silent_since is None else silent_since
            if patience.clock() - silent_since >= SILENCE_SECONDS:
                raise WorkflowError(f"prompt {prompt_id}: the instance stopped answering: {error}", run) from error
        if patience.clock() >= deadline:
            waited = f"{patience.timeout:g} seconds"
            raise WorkflowError(f"{client.url}: prompt {prompt_id} is still {place} after {waited}; it was left there", run)
        patience.sleep(patience.poll)


def _succeeded(entry: Mapping[str, Any]) -> bool:
    status = entry.get("status")
    return isinstance(status, dict) and status.get("status_str") == "success" and status.get("completed") is True


def parse_node_errors(node_errors: Mapping[str, Any]) -> Iterator[NodeError]:
    """What validation found, node by node."""
    for node_id, node in node_errors.items():
        if isinstance(node, dict):
            reasons = node.get("errors")
            for reason in reasons if isinstance(reasons, list) else []:
                if isinstance(reason, dict):
                    words = ": ".join(str(reason[key]) for key in ("message", "details") if reason.get(key))
                    yield _node_error(node_id, node.get("class_type"), reason.get("type"), words)


def parse_execution_errors(entry: Mapping[str, Any]) -> Iterator[NodeError]:
    """What a run died of. Messages are pairs of an event and its data."""
    status = entry.get("status")
    messages = status.get("messages") if isinstance(status, dict) else None
    for message in messages if isinstance(messages, list) else []:
        event, data = message if isinstance(message, list) and len(message) == 2 else (None, None)
        if not isinstance(data, dict):
            continue
        if event == "execution_error":
            words = f"{data.get('exception_type')}: {str(data.get('exception_message')).strip()}"
            yield _node_error(data.get("node_id"), data.get("node_type"), data.get("exception_type"), words)
        elif event == "execution_interrupted":
            yield _node_error(data.get("node_id"), data.get("node_type"), "interrupted", "the run was interrupted here")


def _node_error(node_id: Any, node_class: Any, kind: Any, words: str) -> NodeError:
    return NodeError(str(node_id), str(node_class), str(kind), words[:2000])


def silent_image_nodes(workflow: Mapping[str, Any], outputs: Mapping[str, Any]) -> list[str]:
    return [
        f"node {node_id} ({node['class_type']})"
        for node_id, node in workflow.items()
        if node["class_type"] in IMAGE_NODES and not any(True for _ in _listed_images({node_id: outputs.get(node_id)}))
    ]


def _listed_images(outputs: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for node_id, output in outputs.items():
        images = output.get("images") if isinstance(output, dict) else None
        for image in images if isinstance(images, list) else []:
            if isinstance(image, dict) and isinstance(image.get("filename"), str):
                yield node_id, image


def _fetch_images(client: ComfyUI, run: WorkflowRun) -> Iterator[Image]:
    for node_id, listed in _listed_images(run.outputs):
        filename, subfolder, kind = listed["filename"], str(listed.get("subfolder", "")), str(listed.get("type", "output"))
        try:
            content = client.view(filename, subfolder, kind)
        except ComfyUIError as error:
            raise WorkflowError(f"node {node_id} lists {filename!r}, which cannot be fetched: {error}", run) from error
        width: int | None = None
        height: int | None = None
        if not filename.lower().endswith(FILMS):
            try:
                width, height = image_size(content)
            except ValueError as error:
                raise WorkflowError(f"{client.url}: node {node_id} wrote {filename!r}, which is {error}", run) from error
        elif not content:
            raise WorkflowError(f"{client.url}: node {node_id} wrote {filename!r}, which is empty", run)
        yield Image(node_id, filename, subfolder, kind, len(content), width, height)


def image_size(content: bytes) -> tuple[int, int]:
    """Width and height of a complete PNG, JPEG or WebP. Raises ValueError saying what it is instead."""
    if not content:
        raise ValueError("empty")
    try:
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            size = _png_size(content)
        elif content.startswith(b"\xff\xd8\xff"):
            size = _jpeg_size(content)
        elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            size = _webp_size(content)
        else:
            raise ValueError("not a PNG, JPEG or WebP image")
    except (struct.error, IndexError) as error:
        raise ValueError("a broken image") from error
    if 0 in size:
        raise ValueError("an image without a size")
    return size


def _png_size(content: bytes) -> tuple[int, int]:
    if content[12:16] != b"IHDR" or b"IEND\xaeB`\x82" not in content[-64:]:
        raise ValueError("a PNG image that is cut off")
    width, height = struct.unpack_from(">II", content, 16)
    return width, height


def _jpeg_size(content: bytes) -> tuple[int, int]:
    if b"\xff\xd9" not in content[-64:]:
        raise ValueError("a JPEG image that is cut off")
    position = 2
    while True:
        if content[position] != 0xFF:
            raise ValueError("a broken JPEG image")
        marker = content[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", content, position + 5)
            return width, height
        (length,) = struct.unpack_from(">H", content, position + 2)
        position += 2 + length


def _webp_size(content: bytes) -> tuple[int, int]:
    (length,) = struct.unpack_from("<I", content, 4)
    if len(content) < length + 8:
        raise ValueError("a WebP image that is cut off")
    kind = content[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("a broken WebP image")
