#!/usr/bin/python3
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Remove old outputs: those older than --max-days, then the oldest while a folder holds more than --max-bytes.

Run by comfyui-clean.service. 0 means no limit. Links are never followed, and a file younger than an hour is never
removed: somebody may be about to fetch it.
"""

from __future__ import annotations

import argparse
import os
import time
from contextlib import suppress
from pathlib import Path

YOUNG_SECONDS = 3600


def clean(folder: Path, max_days: float, max_bytes: int, now: float) -> tuple[int, int]:
    """Clean one folder; returns (files removed, bytes removed)."""
    files = sorted(_files(folder), key=lambda file: file[1])
    held = sum(size for _, _, size in files)
    removed = freed = 0
    for path, changed, size in files:
        age = now - changed
        too_old = max_days > 0 and age > max_days * 86400
        too_much = max_bytes > 0 and held - freed > max_bytes
        if age < YOUNG_SECONDS or not (too_old or too_much):
            continue
        try:
            path.unlink()
        except OSError as error:
            print(f"cannot remove {path}: {error.strerror}")
            continue
        removed, freed = removed + 1, freed + size
    for parent, _folders, _names in os.walk(folder, topdown=False):
        path = Path(parent)
        with suppress(OSError):  # somebody put a file there or removed the folder meanwhile
            if path != folder and now - path.stat().st_mtime > YOUNG_SECONDS:
                path.rmdir()
    return removed, freed


def _files(folder: Path) -> list[tuple[Path, float, int]]:
    found = []
    for parent, _folders, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            found.append((path, status.st_mtime, status.st_size))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Remove old outputs of ComfyUI.")
    parser.add_argument("--max-days", type=float, default=0)
    parser.add_argument("--max-bytes", type=int, default=0)
    parser.add_argument("folders", nargs="+", type=Path)
    arguments = parser.parse_args()
    for folder in arguments.folders:
        removed, freed = clean(folder, arguments.max_days, arguments.max_bytes, time.time())
        print(f"{folder}: removed {removed} files, {freed} bytes")


if __name__ == "__main__":
    main()
