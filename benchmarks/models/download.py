#!/usr/bin/env python3
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The same files by our module and by other tools, in turns: on loopback, and on a link of 40 ms with a cap per connection."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import measure
import stage
import tools
from measure import Cost
from stage import MIB, Served
from tools import Tool

DELAY = 0.020  # each way
CAP = 20e6  # bytes a second and connection


@dataclass(frozen=True)
class Scene:
    name: str
    what: str
    far: bool
    files: Sequence[Served]
    others: Sequence[str]
    targets: Sequence[tuple[str, str, float]]  # whom, in what, how many times


def main() -> None:
    options = arguments()
    stage.need(tools.PROGRAMS)
    programs = tools.install(options.cache)
    stage.enclose()
    stage.mount_memory(3 * options.mib // 1024 + 2)
    stage.make_certificate()
    files = [stage.make_model(f"part{number}.safetensors", options.mib // 8 * MIB) for number in range(8)]
    one = stage.make_model("one.safetensors", options.mib * MIB)
    near = stage.start_nginx([*files, one])
    far = stage.start_nginx([*files, one], far=(DELAY, CAP))
    figures: dict[str, Any] = {}
    for scene in scenes(files, one):
        if scene.name in options.scenes:
            figures[scene.name] = play(scene, far if scene.far else near, programs, options)
            if options.json:
                options.json.write_text(json.dumps(figures, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each tool")
    parser.add_argument("--slow-runs", type=int, default=1, help="of those that take minutes on the link; 0 leaves them out")
    parser.add_argument("--mib", type=int, default=2048, help="size of the one file, and of the eight together")
    parser.add_argument(
        "--scenes", nargs="+", default=["loopback", "files", "file"], help="loopback, files (eight on the link), file (one)"
    )
    parser.add_argument("--only", nargs="+", metavar="TOOL", help="beside ours, by the names in tools.py")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/emprops-comfyui-benchmarks").expanduser(), metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def scenes(files: Sequence[Served], one: Served) -> list[Scene]:
    gigabytes = f"{one.size / 1e9:.2f} GB"
    link = f"a link of {2000 * DELAY:.0f} ms, {CAP / 1e6:.0f} MB/s for each connection"
    return [
        Scene(
            "loopback",
            f"loopback, one file of {gigabytes}",
            False,
            [one],
            ["curl", "curl openssl", "aria2c", "aria2c checksum", "get_url", "hub", "hf_transfer", "comfy-cli"],
            [
                ("curl openssl", "speed", 1),
                ("get_url", "speed", 3),
                ("aria2c", "cpu", 1),
                ("aria2c checksum", "cpu", 1),
                ("hub", "cpu", 1),
                ("get_url", "cpu", 1),
            ],
        ),
        Scene(
            "files",
            f"{link}, eight files, {gigabytes} in all",
            True,
            files,
            ["aria2c", "aria2c checksum", "curl parallel", "hub", "hf_transfer", "curl", "get_url", "comfy-cli"],
            [("aria2c", "speed", 2), ("aria2c checksum", "speed", 3), ("get_url", "speed", 15)],
        ),
        Scene(
            "file",
            f"{link}, one file of {gigabytes}",
            True,
            [one],
            ["aria2c", "aria2c checksum", "hf_transfer", "curl openssl"],
            [("aria2c", "speed", 1.2), ("aria2c checksum", "speed", 2)],
        ),
    ]


def play(scene: Scene, base: str, programs: dict[str, Path], options: argparse.Namespace) -> dict[str, Any]:
    """Rounds in which every tool has its turn."""
    listed = tools.others(programs)
    chosen = {"ours": tools.ours(), **{name: listed[name] for name in scene.others if not options.only or name in options.only}}
    costs: dict[str, list[Cost]] = {name: [] for name in chosen}
    for number in range(max(options.runs, options.slow_runs)):
        for name, tool in chosen.items():
            if number < (options.slow_runs if tool.slow and scene.far else options.runs):
                costs[name].append(turn(tool, base, scene.files, number == 0))
    costs = {name: runs for name, runs in costs.items() if runs}
    show(scene, chosen, costs)
    return {name: [asdict(cost) for cost in runs] for name, runs in costs.items()}


def turn(tool: Tool, base: str, files: Sequence[Served], verify: bool) -> Cost:
    shutil.rmtree(stage.TARGET)
    stage.TARGET.mkdir()
    environment = {**stage.environment(), "HF_ENDPOINT": base, **tool.environment}
    cost = measure.run(tool.ask(base, files), environment, stage.HOME / "log")
    for file in files:
        found = [path for path in stage.TARGET.rglob(file.name) if path.stat().st_size == file.size]
        if len(found) != 1 or (verify and sha256(found[0]) != file.sha256):
            raise SystemExit(f"{tool.name} did not bring {file.name} as it is: {(stage.HOME / 'log').read_text()[-2000:]}")
    return cost


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def show(scene: Scene, chosen: dict[str, Tool], costs: dict[str, list[Cost]]) -> None:
    medians = {name: measure.median(runs) for name, runs in costs.items()}
    ours, size = medians["ours"], sum(file.size for file in scene.files)
    rows = [["", "sha256", "runs", "seconds", "(spread)", "MB/s", "CPU s", "peak MiB", "ours is faster", "less CPU"]]
    for name, cost in sorted(medians.items(), key=lambda item: item[1].seconds):
        rows.append(
            [
                chosen[name].name,
                "yes" if chosen[name].verified else "no",
                f"{len(costs[name])}",
                f"{cost.seconds:.2f}",
                measure.spread(costs[name]),
                f"{size / cost.seconds / 1e6:.0f}",
                f"{cost.cpu:.2f}",
                f"{cost.peak_mib:.0f}",
                "" if name == "ours" else f"{cost.seconds / ours.seconds:.2f} x",
                "" if name == "ours" else f"{cost.cpu / ours.cpu:.2f} x",
            ]
        )
    load = os.getloadavg()[0]
    print(f"\n{scene.what}; TLS, to memory, {len(os.sched_getaffinity(0))} cores, load {load:.1f}\n\n{measure.table(rows)}\n")
    for name, what, wanted in scene.targets:
        if name in medians:
            other = medians[name]
            reached = other.seconds / ours.seconds if what == "speed" else other.cpu / ours.cpu
            words = "as fast as" if what == "speed" else "less of the processor than"
            print(
                f"{reached:6.2f} times {words} {chosen[name].name}; wanted {wanted:g}{'' if reached >= wanted else '   NOT REACHED'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
