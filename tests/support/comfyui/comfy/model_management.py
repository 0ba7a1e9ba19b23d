# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The device that is claimed, and the flag that interrupts a running prompt."""

from __future__ import annotations

import os
import threading
from typing import Any

from comfy.cli_args import args

_interrupted = threading.Event()


class InterruptProcessingException(Exception):
    pass


def interrupt_current_processing(value: bool = True) -> None:
    if value:
        _interrupted.set()
    else:
        _interrupted.clear()


def throw_exception_if_processing_interrupted() -> None:
    if _interrupted.is_set():
        _interrupted.clear()
        raise InterruptProcessingException


def ram() -> tuple[int, int]:
    """Bytes of memory, all and free."""
    page = os.sysconf("SC_PAGE_SIZE")
    return page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")


def device() -> dict[str, Any]:
    if args.cpu:
        total, free = ram()
        name, kind, index = "cpu", "cpu", None
    else:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
        if not visible:
            raise RuntimeError("No CUDA GPUs are available")
        total = free = 24 * 1024**3
        name, kind, index = f"cuda:0 {visible} : stand-in", "cuda", 0
    return {
        "name": name,
        "type": kind,
        "index": index,
        "vram_total": total,
        "vram_free": free,
        "torch_vram_total": total,
        "torch_vram_free": free,
    }
