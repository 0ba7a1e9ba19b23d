#!/usr/bin/env python3
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Workflows a second on one core, loading the registry, peak memory, and the peers' command lines on the same files."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import sources
from documents import read
from repositories import Shelf
from truths import IMAGES, templates_in

HERE = Path(__file__).resolve().parent
PEERS = ("comfy-cli==1.23.0", "comfyui-manager==4.3", "aiohttp", "PyYAML")
NOWHERE = "http://127.0.0.1:9"  # a proxy that is not there: peers work from their own files, as --mode local says


def main() -> None:
    options = arguments()
    shelf = Shelf({}, options.repositories, options.cache, options.offline)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        files, documents = write_files(work / "files", options, shelf)
        figures["files"], figures["documents"], figures["bytes"] = len(files), documents, sum(path.stat().st_size for path in files)
        print(f"{len(files)} files with {documents} workflows, {figures['bytes'] / 1e6:.0f} MB")
        figures.update(ours(work, files, documents, options))
        if not options.no_peers:
            figures.update(peers(work, files, options, shelf))
            for peer in ("cm-cli", "comfy-cli"):
                figures[f"ratio to {peer}"] = round(figures["files a second"] * figures[f"{peer} seconds a file"])
    for name, value in figures.items():
        print(f"{name:44} {value:>12,}" if isinstance(value, int) else f"{name:44} {value:>12,.3f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repositories", type=Path, metavar="DIR", help="a folder of clones or bare repositories, named OWNER+NAME")
    parser.add_argument("--templates", type=Path, metavar="DIR", help="the unpacked templates package, instead of downloading it")
    parser.add_argument("--registry", type=Path, required=True, metavar="DIR")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/emprops-comfyui-benchmarks").expanduser(), metavar="DIR")
    parser.add_argument("--offline", action="store_true")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--peer-files", type=int, default=10, help="how many of them the peers are given")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--cpu", type=int, default=0, help="the one core that ours may use")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def write_files(folder: Path, options: argparse.Namespace, shelf: Shelf) -> tuple[list[Path], int]:
    """Real files; when there are fewer than wanted, they come round again."""
    folder.mkdir()
    real = [(path.suffix, path.read_bytes()) for path in sorted((options.templates or templates_in(options.cache)).rglob("*.json"))]
    for repository in (*sources.COLLECTIONS, *sources.RECIPES):
        found = shelf.read(repository, lambda path: path.lower().endswith((".json", *IMAGES)) and "/poses/" not in path)
        real += [(Path(path).suffix, data) for path, data in found.items()]
    usable = [(suffix, data, len(kinds)) for suffix, data in real if (kinds := read("x", data))]
    files, documents = [], 0
    for number in range(options.files):
        suffix, data, count = usable[number % len(usable)]
        path = folder / f"{number:06}{suffix}"
        path.write_bytes(data)
        files.append(path)
        documents += count
    return files, documents


def ours(work: Path, files: list[Path], documents: int, options: argparse.Namespace) -> dict[str, Any]:
    one = work / "one"
    one.mkdir()
    small = min(files, key=lambda path: path.stat().st_size)
    (one / small.name).write_bytes(small.read_bytes())
    cache = {**os.environ, "XDG_CACHE_HOME": str(work / "index")}

    def ask(paths: Path, registry: str) -> dict[str, Any]:
        wanted = {"paths": [str(paths)], "registry": [registry], "ambiguous": "best_any"}
        asked = json.dumps({"options": wanted, "cpu": options.cpu, "keep": False})
        child = subprocess.run([sys.executable, str(HERE / "ask.py")], input=asked, capture_output=True, text=True, check=False, env=cache)
        if child.returncode:
            sys.exit(child.stderr)
        figures: dict[str, Any] = json.loads(child.stdout)
        return figures

    registry = str(options.registry.resolve())
    without = [ask(one, "none") for _ in range(3)]
    first = ask(one, registry)
    later = [ask(one, registry) for _ in range(3)]
    ask(work / "files", registry)  # warms the files
    runs = [ask(work / "files", registry) for _ in range(3)]

    def best(answers: list[dict[str, Any]], clock: str = "seconds") -> float:
        return float(min(answer[clock] for answer in answers))

    return {
        "files a second": len(files) / best(runs),
        "workflows a second": documents / best(runs),
        "workflows a second, slowest of three": documents / max(run["seconds"] for run in runs),
        "workflows a second of the processor": documents / best(runs, "cpu_seconds"),
        "registry, first time, ms": 1000 * (first["seconds"] - best(without)),
        "registry, later, ms": 1000 * (best(later) - best(without)),
        "registry, later, ms of the processor": 1000 * (best(later, "cpu_seconds") - best(without, "cpu_seconds")),
        "peak memory, all files, MB": max(run["peak_kib"] for run in runs) / 1024,
        "peak memory, one file and no registry, MB": max(run["peak_kib"] for run in without) / 1024,
    }


def peers(work: Path, files: list[Path], options: argparse.Namespace, shelf: Shelf) -> dict[str, Any]:
    programs = options.cache / "peers"
    if not (programs / "bin" / "cm-cli").exists():
        subprocess.run([sys.executable, "-m", "venv", str(programs)], check=True)
        subprocess.run([str(programs / "bin" / "pip"), "install", "--quiet", *PEERS], check=True, capture_output=True)
    tree = work / "ComfyUI"
    for path, data in shelf.read(sources.CORE[0], lambda path: not path.startswith("tests")).items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(data)
    environment = {**os.environ, "COMFYUI_PATH": str(tree), "HOME": str(work / "home"), "https_proxy": NOWHERE, "http_proxy": NOWHERE}
    step = max(1, len(files) // options.peer_files)
    sample = [path for path in files[::step] if path.suffix == ".json"][: options.peer_files]
    commands = {
        "cm-cli": [str(programs / "bin" / "cm-cli"), "deps-in-workflow"],
        "comfy-cli": [str(programs / "bin" / "comfy"), "--skip-prompt", "--workspace", str(tree), "node", "deps-in-workflow"],
    }
    figures: dict[str, Any] = {"files given to the peers": len(sample)}
    for peer, command in commands.items():
        seconds, failed = [], 0
        for path in sample:
            answer = work / "answer.json"
            answer.unlink(missing_ok=True)
            before = time.perf_counter()
            words = [*command, "--workflow", str(path), "--output", str(answer), "--mode", "local"]
            subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=300)
            seconds.append(time.perf_counter() - before)
            failed += not answer.exists()
        if failed == len(sample):
            sys.exit(f"{peer} answered for none of its {failed} files, so its time says nothing")
        figures[f"{peer} seconds a file"] = statistics.median(seconds)
        figures[f"{peer} files without an answer"] = failed
    return figures


if __name__ == "__main__":
    main()
