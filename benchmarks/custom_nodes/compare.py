#!/usr/bin/env python3
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""The same packs by our module and by what is used otherwise, in turns: from nothing, again without a change, and after one pack moved."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))

import contenders  # noqa: E402
import measure  # noqa: E402
from contenders import Contender  # noqa: E402
from measure import Cost  # noqa: E402
from world import MOVES, Place, World, many_packs, served  # noqa: E402

SCENES = {"first": "from nothing", "again": "again, no change", "moved": "one pack moved"}


@dataclass(frozen=True)
class Turn:
    cost: Cost
    requests: int  # that the git server answered
    modules: float | None = None  # seconds in Ansible's modules; the rest is ansible-playbook's own
    after: float | None = None  # seconds of what comes after, which is in none of the other figures


def main() -> None:
    options = arguments()
    everybody = contenders.contenders(options.cache)
    chosen = {name: everybody[name] for name in everybody if not options.only or name in options.only}
    turns: dict[str, dict[str, list[Turn]]] = {name: {scene: [] for scene in SCENES} for name in chosen}
    with tempfile.TemporaryDirectory(dir=options.scratch, prefix="packs-") as scratch:
        (Path(scratch) / "outside").mkdir()
        with served(Path(scratch) / "outside", options.packs, options.delay) as world:
            for _round in range(options.runs):
                for name, contender in chosen.items():
                    for scene, turn in play(contender, Place(Path(scratch) / name, world)).items():
                        turns[name][scene].append(turn)
                        print(f"{contender.name}, {SCENES[scene]}: {turn.cost.seconds:.2f} s", file=sys.stderr, flush=True)
    show(chosen, turns, options.packs, options.delay)
    if options.json:
        figures = {name: {scene: [asdict(turn) for turn in runs] for scene, runs in scenes.items()} for name, scenes in turns.items()}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=int, default=many_packs.COUNT)
    parser.add_argument("--runs", type=int, default=3, help="rounds in which everybody has a turn")
    parser.add_argument("--delay", type=float, default=0.04, metavar="SECONDS", help="a round trip to the git server")
    parser.add_argument("--only", nargs="+", choices=["ours", "loop", "comfy-cli"])
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/emprops-comfyui-benchmarks").expanduser(), metavar="DIR")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="where repositories and installations go, about 1 GB")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.packs <= MOVES:
        parser.error(f"pack {MOVES} is the one that moves, so there must be more packs than that")
    return options


def play(contender: Contender, place: Place) -> dict[str, Turn]:
    """All scenes of one contender, in a folder that is gone afterwards. Ends where what it left is not what was asked for."""
    place.home.mkdir(parents=True)
    log, turns = place.root / "log", {}
    measure.run(contender.before(place), place.environment(), log)
    for scene in SCENES:
        if scene == "moved":
            place.world.move()
        place.accounts.unlink(missing_ok=True)
        asked = place.world.asked()
        cost = measure.run(getattr(contender, scene)(place), place.environment(), log)
        turn = account(place, cost, place.world.asked() - asked)
        after = contender.after(place)
        turns[scene] = replace(turn, after=measure.run(after, place.environment(), log).seconds) if after else turn
        if problem := wrong(contender, place, moved=scene == "moved"):
            sys.exit(f"{contender.name}, {SCENES[scene]}: {problem}\n{log.read_text()[-3000:]}")
    shutil.rmtree(place.root)
    return turns


def account(place: Place, cost: Cost, requests: int) -> Turn:
    """With Ansible the memory is that of the modules: what ansible-playbook needs, it needs on another computer."""
    if not place.accounts.exists():
        return Turn(cost, requests)
    rows = [line.split() for line in place.accounts.read_text().splitlines()]
    peak = max(int(memory) for _seconds, memory in rows) / 1024
    return Turn(replace(cost, peak_mib=peak), requests, sum(float(seconds) for seconds, _memory in rows))


def wrong(contender: Contender, place: Place, moved: bool) -> str:
    """What is not as it should be: files of packs, the moved one among them, and packages that they ask for."""
    packs = contender.comfyui(place) / "custom_nodes"
    for number, entry in enumerate(place.world.entries):
        for path, content in many_packs.files_of(number).items():
            if (packs / entry["name"] / path).read_bytes() != (content if isinstance(content, bytes) else content.encode()):
                return f"{entry['name']}/{path} is another file"
    if any(entry.get("recursive") and not (packs / entry["name"] / "parts/__init__.py").is_file() for entry in place.world.entries):
        return "the submodule is not there"
    if moved and (packs / place.world.moving / "CHANGES.md").read_text() != newest(place.world):
        return f"{place.world.moving} did not move"
    count = len(place.world.entries)
    lines = [line for number, text in many_packs.REQUIREMENTS.items() if number < count for line in text.splitlines()]
    names = [match[0] for line in lines if (match := re.match(r"[A-Za-z0-9_.-]+", line))]
    code = "import sys, importlib.metadata as m\nfor name in sys.argv[1:]: m.version(name)"
    done = subprocess.run([str(contender.python(place)), "-c", code, *names], capture_output=True, text=True)
    return done.stderr


def newest(world: World) -> str:
    repository = str(world.repositories / f"{world.moving}.git")
    return subprocess.run(["git", f"--git-dir={repository}", "show", "main:CHANGES.md"], check=True, capture_output=True, text=True).stdout


def show(chosen: Mapping[str, Contender], turns: Mapping[str, Mapping[str, Sequence[Turn]]], count: int, delay: float) -> None:
    runs = len(next(iter(turns.values()))["first"])
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    print(f"{count} packs from a git server {delay * 1000:g} ms away; median of {runs}; {cores} cores, load {load:.1f}\n")
    print("| | | seconds | (spread) | times ours | in modules | then sealed | CPU s | peak MiB | git requests |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for scene, words in SCENES.items():
        costs = {name: [turn.cost for turn in turns[name][scene]] for name in chosen}
        ours = measure.median(costs["ours"]).seconds if "ours" in costs else 0.0
        for name, contender in chosen.items():
            cost, requests = measure.median(costs[name]), sorted({turn.requests for turn in turns[name][scene]})
            modules = [turn.modules for turn in turns[name][scene] if turn.modules is not None]
            cells = [
                words,
                contender.name,
                f"{cost.seconds:.2f}",
                measure.spread(costs[name]),
                f"{cost.seconds / ours:.1f}" if ours else "",
            ]
            after = [turn.after for turn in turns[name][scene] if turn.after is not None]
            cells += [f"{statistics.median(each):.2f}" if each else "" for each in (modules, after)]
            cells += [f"{cost.cpu:.1f}", f"{cost.peak_mib:.0f}"]
            print(f"| {' | '.join([*cells, ', '.join(map(str, requests))])} |")
    if "ours" in turns and any(turn.requests for turn in turns["ours"]["again"]):
        print("\nours asked the git server although nothing changed   NOT REACHED")


if __name__ == "__main__":
    main()
