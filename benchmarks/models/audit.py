#!/usr/bin/env python3
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""audit_models beside as many `openssl dgst -sha256` as there are cores, on the same files, from memory and from the disk."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tools
from stage import MIB, make_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=24)
    parser.add_argument("--mib", type=int, default=256, help="size of each")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="on the disk to read from; the default is the temporary one")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        work = Path(scratch)
        folder = work / "models/loras"
        folder.mkdir(parents=True)
        files = [folder / make_model(f"{number}.safetensors", options.mib * MIB, folder).name for number in range(options.files)]
        for file in files:
            handle = os.open(file, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        size = options.files * options.mib * MIB
        print(f"{options.files} files, {size / 1e9:.2f} GB, {cores} cores, medians of {options.runs} runs in turns\n")
        for place, prepare in (("from memory", warm), ("from the disk", drop)):
            seconds: dict[str, list[float]] = {"reading": [], "openssl": [], "module": [], "process": []}
            for _run in range(options.runs):
                prepare(files)
                seconds["reading"].append(on_all_cores(files, cores, "cat"))
                prepare(files)
                seconds["openssl"].append(on_all_cores(files, cores, "openssl", "dgst", "-sha256"))
                prepare(files)
                inside, whole = audit(work, options.files)
                seconds["module"].append(inside)
                seconds["process"].append(whole)
            show(place, size, {name: statistics.median(values) for name, values in seconds.items()})


def show(place: str, size: int, seconds: dict[str, float]) -> None:
    labels = {
        "reading": "reading alone (cat)",
        "openssl": "openssl dgst, one a core",
        "module": "audit_models",
        "process": "audit_models, with Python's start",
    }
    for name, label in labels.items():
        ratio = seconds["openssl"] / seconds[name]
        print(f"{place:14} {label:34} {seconds[name]:7.2f} s {size / seconds[name] / 1e6:7.0f} MB/s {ratio:6.2f} of openssl")
    reached = max(seconds["openssl"], seconds["reading"]) / seconds["module"]
    print(f"{place:14} wanted 0.9 of openssl, or of the disk's limit{'' if reached >= 0.9 else '   NOT REACHED'}\n", flush=True)


def warm(files: list[Path]) -> None:
    for file in files:
        with file.open("rb", buffering=0) as opened:
            while opened.read(MIB):
                pass


def drop(files: list[Path]) -> None:
    """Out of memory with these files, and with no others."""
    for file in files:
        handle = os.open(file, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def on_all_cores(files: list[Path], cores: int, *command: str) -> float:
    """A process a file, as many at once as there are cores."""
    names = "\0".join(map(str, files)).encode()
    began = time.perf_counter()
    subprocess.run(["xargs", "-0", "-n", "1", "-P", str(cores), *command], input=names, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def audit(work: Path, files: int) -> tuple[float, float]:
    """With an index that knows nothing yet."""
    shutil.rmtree(work / "state", ignore_errors=True)
    command = tools.module(
        [str(tools.ROOT / "plugins/modules/audit_models.py")], {"store": str(work / "models"), "state_dir": str(work / "state")}
    )
    environment = {**os.environ, **tools.ours().environment}
    began = time.perf_counter()
    done = subprocess.run(command.words, input=command.stdin, env=environment, capture_output=True, text=True)
    whole = time.perf_counter() - began
    if done.returncode or (answer := json.loads(done.stdout))["files"] != files:
        sys.exit(f"the audit went wrong:\n{done.stdout[:2000]}{done.stderr[:2000]}")
    return answer["seconds"], whole


if __name__ == "__main__":
    main()
