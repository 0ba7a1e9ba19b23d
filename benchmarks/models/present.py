#!/usr/bin/env python3
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""A list of models that are all there and known: how long the module takes to say so, and that it reads none of them."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import stage
import tools
from stage import MIB

GREETING = b"GGUF\3\0\0\0"
NOWHERE = "https://127.0.0.1:9"  # nobody is asked for what is there


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--mib", type=int, default=2, help="size of each")
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    stage.need({})
    stage.enclose()
    stage.mount_memory(1)
    models = [make_file(stage.TARGET / "models", number, options.mib * MIB) for number in range(options.models)]
    asked = {"store": str(stage.TARGET / "models"), "state_dir": str(stage.TARGET / "state"), "models": models, "allowed_hosts": [NOWHERE]}
    first = run(asked, {"met"})
    later = [run(asked, {"index"}) for _ in range(options.runs)]
    inside, whole = (statistics.median(answer[key] for answer in later) for key in ("inside", "whole"))
    read, stored = max(answer["read"] for answer in later), options.models * options.mib * MIB
    print(f"{options.models} declared models of {options.mib} MiB, median of {options.runs} runs\n")
    print(f"met for the first time, all read      {first['inside']:8.3f} s, {first['read'] / 1e6:10,.0f} MB read by the process")
    print(f"known, in the module                  {inside:8.3f} s; wanted under 0.5{'' if inside < 0.5 else '   NOT REACHED'}")
    print(f"known, the whole process with Python  {whole:8.3f} s, {read / 1e6:10,.0f} MB read by the process, Python's own files included")
    if read > stored / 10:
        sys.exit("models were read again")


def make_file(store: Path, number: int, size: int) -> dict[str, str]:
    """Sparse, and no two alike; the digest is declared, for else its server would be asked."""
    folder, name = f"loras/{number % 10}", f"model{number:05}.gguf"
    content = (GREETING + number.to_bytes(8, "little")).ljust(size, b"\0")
    (store / folder).mkdir(parents=True, exist_ok=True)
    with (store / folder / name).open("wb") as file:
        file.write(content[:16])
        file.truncate(size)
    return {"name": name, "directory": folder, "url": f"{NOWHERE}/{name}", "sha256": hashlib.sha256(content).hexdigest()}


def run(options: dict[str, Any], how: set[str]) -> dict[str, float]:
    command = tools.module([str(tools.ROOT / "plugins/modules/models.py")], options)
    environment = {**stage.environment(), **tools.ours().environment}
    began = time.perf_counter()
    with subprocess.Popen(command.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True) as child:
        child.stdin.write(command.stdin)
        child.stdin.close()
        text = child.stdout.read()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        whole = time.perf_counter() - began
        counts = dict(line.split(": ") for line in Path(f"/proc/{child.pid}/io").read_text().splitlines())
    answer = json.loads(text)
    if answer.get("failed") or {model["how"] for model in answer["models"]} != how:
        sys.exit(f"the module did something else:\n{text[:2000]}")
    return {"inside": answer["summary"]["seconds"], "whole": whole, "read": int(counts["rchar"])}


if __name__ == "__main__":
    main()
