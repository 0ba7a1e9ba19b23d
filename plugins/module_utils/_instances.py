# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which ComfyUI instances a machine runs: one per GPU, known by the GPU's UUID, on base port plus index.

Private to this collection: it may change in any release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

HIGHEST_PORT = 65535
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104
# What systemd would split, expand or end in a line of a settings file.
UNSAFE = re.compile(r"[\s\"'\\$`%\x00-\x1f\x7f]")
# The GPU is chosen by the environment, which prestartup scripts of packs see too; this flag would overwrite it.
REFUSED_FLAGS = {
    "--cuda-device": "the GPU is chosen by UUID through CUDA_VISIBLE_DEVICES",
    "--port": "the port is comfyui_instances_base_port plus the GPU's index",
    "--listen": "set comfyui_instances_listen",
    "--output-directory": "every instance has its own",
    "--input-directory": "every instance has its own",
    "--temp-directory": "every instance has its own, because it is emptied at every start",
    "--user-directory": "every instance has its own, because newer versions lock it",
    "--extra-model-paths-config": "set comfyui_instances_model_paths_file",
    "--cpu": "set docker_gpu_mock_gpus",
}


class PlanError(ValueError):
    """The wanted instances cannot exist together on one machine."""


def plan_instances(
    gpus: Sequence[Mapping[str, Any]],
    *,
    root: str,
    base_port: int,
    listen: str = "127.0.0.1",
    indexes: Sequence[int] = (),
    extra_args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    model_paths_file: str = "",
) -> list[dict[str, Any]]:
    """Give each GPU its instance; a GPU keeps its port whichever other GPUs are in use.

    `gpus` are as gpu_info returns them (index, uuid, name, mock); `indexes` picks some of them, none picks all.
    Returns {name, unit, url, gpu, uuid, port, dir, settings} by GPU index. Raises PlanError.
    """
    by_index = {int(gpu["index"]): gpu for gpu in gpus}
    wanted = sorted(int(index) for index in indexes) or sorted(by_index)
    if len(set(wanted)) != len(wanted):
        raise PlanError(f"each GPU can be listed once, got {list(indexes)}")
    absent = [index for index in wanted if index not in by_index]
    if absent:
        raise PlanError(f"the machine has no GPU {', '.join(map(str, absent))}; it has {sorted(by_index) or 'none'}")
    _check_arguments(extra_args)
    for text in (root, listen, model_paths_file, *(env or {}), *map(str, (env or {}).values())):
        if UNSAFE.search(text):
            raise PlanError(f"{text!r} holds a space, quote or other character that a unit's settings cannot carry")
    return [_instance(by_index[index], root, base_port, listen, extra_args, env or {}, model_paths_file) for index in wanted]


def _check_arguments(arguments: Sequence[str]) -> None:
    for argument in arguments:
        flag = argument.partition("=")[0]
        if flag in REFUSED_FLAGS:
            raise PlanError(f"{flag} does not belong in the extra arguments: {REFUSED_FLAGS[flag]}")
        if not argument or UNSAFE.search(argument):
            raise PlanError(f"the extra argument {argument!r} holds a space, quote or other character that a unit cannot carry")


def _instance(
    gpu: Mapping[str, Any],
    root: str,
    base_port: int,
    listen: str,
    extra_args: Sequence[str],
    env: Mapping[str, str],
    model_paths_file: str,
) -> dict[str, Any]:
    index = int(gpu["index"])
    name, port = f"gpu{index}", base_port + index
    if not 0 < port <= HIGHEST_PORT:
        raise PlanError(f"{name} would need port {port}, which does not exist")
    folder = f"{root}/comfyui_{name}"
    arguments = ["--listen", listen, "--port", str(port), "--disable-auto-launch"]
    arguments += ["--output-directory", f"{folder}/output", "--input-directory", f"{folder}/input"]
    # ComfyUI appends "temp" to this one.
    arguments += ["--temp-directory", folder, "--user-directory", f"{folder}/user"]
    if model_paths_file:
        arguments += ["--extra-model-paths-config", model_paths_file]
    if gpu.get("mock"):
        arguments.append("--cpu")
    settings = {
        **{key: str(value) for key, value in env.items()},
        "COMFYUI_ARGS": " ".join([*arguments, *extra_args]),
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "" if gpu.get("mock") else str(gpu["uuid"]),
    }
    return {
        "name": name,
        "unit": f"comfyui@{name}.service",
        "url": f"http://{ANY_ADDRESS.get(listen, f'[{listen}]' if ':' in listen else listen)}:{port}",
        "gpu": index,
        "uuid": gpu["uuid"],
        "port": port,
        "dir": folder,
        "settings": settings,
    }


HEADING = ("GPU", "UUID", "unit", "port", "state", "ComfyUI", "prompt s")


def instance_table(
    wanted: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]], prompts: Sequence[Mapping[str, Any]] = ()
) -> list[str]:
    """One aligned line per instance under a heading; `found` and `prompts` are in the order of `wanted`."""
    rows = [HEADING]
    for number, instance in enumerate(wanted):
        state = found[number]
        seconds = prompts[number].get("seconds") if number < len(prompts) else None
        rows.append(
            (
                str(instance["gpu"]),
                str(instance["uuid"]),
                str(instance["unit"]),
                str(instance["port"]),
                "ready" if state["ready"] else str(state["reason"]),
                str(state["comfyui_version"] or "-"),
                f"{seconds:.2f}" if seconds is not None else "-",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADING))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
