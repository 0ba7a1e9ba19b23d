#!/usr/bin/env python3
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Peak memory of the module with files of 1, 10 and 100 GB: sparse on the server, and compressed where they go."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import measure
import stage
import tools
from present import GREETING
from stage import MIB, Served

LIMIT_MB = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument(
        "--folder", type=Path, help="where the disk image is, which grows to a twentieth of the largest; the default is the temporary one"
    )
    options = parser.parse_args()
    sizes = sorted(gb * 10**9 for gb in options.gb)
    stage.need({**tools.PROGRAMS, "mkfs.btrfs": "btrfs-progs"})
    stage.enclose()
    stage.mount_memory(1)
    stage.make_certificate()
    image = mount_compressed(sizes[-1] * 5 // 4 + 4 * 10**9, options.folder)
    print("the digests of the files are computed first", flush=True)
    files = make_sparse(sizes)
    base = stage.start_nginx(files)
    rows = [["", "seconds", "MB/s", "CPU s", "peak MB", f"wanted under {LIMIT_MB}", "on the disk, MB"]]
    tool = tools.ours()
    for file in files:
        shutil.rmtree(stage.TARGET / "models", ignore_errors=True)
        cost = measure.run(tool.ask(base, [file]), {**stage.environment(), **tool.environment}, stage.HOME / "log")
        brought = stage.TARGET / "models/checkpoints" / file.name
        if brought.stat().st_size != file.size:
            sys.exit(f"{file.name} has another size")
        peak = cost.peak_mib * MIB / 1e6
        os.sync()
        used = os.fstat(image).st_blocks * 512 / 1e6
        reached = "yes" if peak < LIMIT_MB else "NO"
        figures = [f"{cost.seconds:.1f}", f"{file.size / cost.seconds / 1e6:.0f}", f"{cost.cpu:.1f}", f"{peak:.0f}", reached, f"{used:.0f}"]
        rows.append([f"{file.size / 1e9:.0f} GB", *figures])
        print(f"{rows[-1][0]}: {peak:.0f} MB", flush=True)
    print(f"\n{measure.table(rows)}")


def mount_compressed(size: int, folder: Path | None) -> int:
    """A compressing filesystem in a sparse file without a name, which is gone with the mount."""
    handle, name = tempfile.mkstemp(dir=folder)
    try:
        os.ftruncate(handle, size)
        subprocess.run(["mkfs.btrfs", "--quiet", name], check=True)
        subprocess.run(["mount", "-o", "loop,compress=zstd:1,noatime", name, str(stage.TARGET)], check=True)
    finally:
        Path(name).unlink()
    return handle


def make_sparse(sizes: list[int]) -> list[Served]:
    """A greeting and nothing, so that one pass gives the digests of all."""
    files, digest, zeros = [], hashlib.sha256(GREETING), memoryview(bytes(MIB))
    done = len(GREETING)
    for size in sizes:
        while done < size:
            part = zeros[: size - done]
            digest.update(part)
            done += len(part)
        name = f"zeros{size // 10**9}.gguf"
        with (stage.WWW / name).open("wb") as file:
            file.write(GREETING)
            file.truncate(size)
        files.append(Served(name, size, digest.hexdigest()))
    return files


if __name__ == "__main__":
    main()
