#!/usr/bin/env python3
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Recall and precision of workflow_info against truths that were made without it. README.md says how to read the table."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from documents import FRONTEND_ONLY, plain, ui_nodes
from repositories import Shelf
from truths import (
    AS_CATALOGUE,
    Case,
    Identity,
    Registry,
    Source,
    bare,
    canonical,
    catalogue_of,
    every_case,
    read_registry,
    read_sources,
    templates_in,
    tidy,
)

HERE = Path(__file__).resolve().parent


@dataclass
class Score:
    right: int = 0
    wrong: int = 0
    missed: int = 0
    files: set[str] = field(default_factory=set)
    examples: list[str] = field(default_factory=list)

    @property
    def items(self) -> int:
        return self.right + self.missed

    def add(self, case: Case, item: str, outcome: str, expected: object = "", found: object = "") -> None:
        """right, missed, wrong (found beyond the truth) or mistaken (found as something else: missed and wrong)."""
        self.files.add(case.label)
        self.right += outcome == "right"
        self.missed += outcome in ("missed", "mistaken")
        self.wrong += outcome in ("wrong", "mistaken")
        if outcome != "right":
            self.examples.append(f"{outcome}: {case.label}: {item}: truth {expected or '-'}, module {found or '-'}")


def main() -> None:
    options = arguments()
    shelf = Shelf(dict(options.repository), options.repositories, options.cache, options.offline)
    registry = read_registry(options.registry)
    source = read_sources(shelf)
    cases = list(every_case(options.templates or templates_in(options.cache), shelf, source, registry))
    cases = [case for case in cases if not options.only or re.search(options.only, case.source)]
    print(f"{len(cases)} questions from {len({case.label for case in cases})} files", file=sys.stderr)
    catalogue = catalogue_of(shelf)
    scores: dict[tuple[str, str], Score] = {}
    confidence: Counter[str] = Counter()
    for name in dict.fromkeys(case.source for case in cases):
        group = [case for case in cases if case.source == name]
        answer = ask(group, options, catalogue if name.endswith(AS_CATALOGUE) else None)
        confidence.update(f"{pack['confidence']} confidence" for pack in answer["packs"])
        # One answer for all files, so a target has one address there, whichever of them declares it.
        addresses: dict[str, set[str]] = defaultdict(set)
        for case in group:
            for where, urls in case.urls.items():
                addresses[where] |= urls
        for number, case in enumerate(group):
            case.urls = {where: addresses[where] for where in case.urls}
            judge(case, number, answer, scores, source, registry)
    show(scores, cases, options.show)
    print("\npacks resolved: " + ", ".join(f"{count} with {word}" for word, count in confidence.items()))
    if options.json:
        options.json.write_text(json.dumps(as_data(scores, cases), indent=1) + "\n")


def arguments() -> argparse.Namespace:
    def named(text: str) -> tuple[str, Path]:
        name, _, path = text.partition("=")
        return name, Path(path)

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--repository", type=named, action="append", default=[], metavar="OWNER/NAME=PATH", help="a clone or bare repository here"
    )
    parser.add_argument("--repositories", type=Path, metavar="DIR", help="a folder of them, named OWNER+NAME")
    parser.add_argument("--templates", type=Path, metavar="DIR", help="the unpacked templates package, instead of downloading it")
    parser.add_argument("--registry", type=Path, required=True, metavar="DIR", help="ComfyUI-Manager's four JSON files, plain or gzip")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/emprops-comfyui-benchmarks").expanduser(), metavar="DIR")
    parser.add_argument("--offline", action="store_true", help="leave out what is not here yet")
    parser.add_argument("--only", metavar="REGEX", help="of the sources' names")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="disagreements of each row")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def ask(cases: list[Case], options: argparse.Namespace, catalogue: dict[str, Any] | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(cases):
            (Path(folder) / f"{number:06}.json").write_text(json.dumps(case.document))
        wanted: dict[str, Any] = {"paths": [folder], "registry": [str(options.registry.resolve())], "ambiguous": "best_any"}
        if catalogue:
            wanted["catalogue"] = catalogue
        asked = json.dumps({"options": wanted})
        child = subprocess.run([sys.executable, str(HERE / "ask.py")], input=asked, capture_output=True, text=True, check=False)
        if child.returncode:
            sys.exit(child.stderr)
        answer: dict[str, Any] = json.loads(child.stdout)["answer"]
    if answer.get("failed") and "files" not in answer:
        sys.exit(f"workflow_info: {answer.get('msg')}")
    answer["files"] = {Path(path).name: row for path, row in answer["files"].items()}
    return answer


def judge(
    case: Case, number: int, answer: dict[str, Any], scores: dict[tuple[str, str], Score], source: Source, registry: Registry
) -> None:
    row = answer["files"][f"{number:06}.json"]

    def score(what: str) -> Score:
        return scores.setdefault((case.source, what), Score())

    if not row["valid"]:
        score("files").add(case, "the file", "missed", "a workflow", row.get("error"))
        return
    builtin, foreign, frontend = (set(row[key]) for key in ("comfyui_classes", "custom_node_classes", "frontend_only_classes"))
    if case.classes is not None:
        wanted = case.classes - FRONTEND_ONLY
        if "prompt" in case.source:  # a compiled prompt has no class that exists in the browser alone
            frontend = set()
        sets(score("classes"), case, wanted, (builtin | foreign | frontend) - FRONTEND_ONLY)
    for name in sorted(case.builtin - FRONTEND_ONLY):
        score("builtin").add(case, name, "right" if name in builtin else "mistaken", "builtin", "not builtin")

    packs = [pack for pack in answer["packs"] if pack["name"] in row["packs"]]
    truths: dict[str, Identity] = dict(case.packs)
    if case.listed:
        truths.update({name: Identity(case.listed[1]) for name in case.listed[0]})
    declaring = (
        {node.type for node in ui_nodes(case.document) if {"cnr_id", "aux_id"} & set(node.properties)} if "nodes" in case.document else ()
    )
    for name, identity in sorted(truths.items()):
        chosen = [pack for pack in packs if name in pack["classes"]]
        wrong = [pack for pack in chosen if not is_pack(pack, identity, registry)]
        expected = "a listed pack" if case.listed else str(identity)
        found = ", ".join(f"{pack['repository']} ({pack['confidence']})" for pack in chosen)
        findable = registry.claims(identity, name) or (name in declaring and registry.knows(identity))
        if name in frontend and "nodes" in case.document and not source.registering(name):
            case.excluded["class that exists in the browser alone"] += 1
        elif wrong and all(bare(str(pack["repository"]).split("/")[-1]) in source.registering(name) for pack in wrong):
            case.excluded["class that the chosen pack registers too, as its source says"] += 1
        elif not findable:
            # The one good answer is then none; another pack's name is the mistake that costs its users hours.
            score("packs not in the registry").add(case, name, "mistaken" if wrong else "right", expected, found)
        elif name in builtin | frontend:
            score("packs").add(case, name, "mistaken", expected, "builtin" if name in builtin else "for the browser alone")
        else:
            score("packs").add(case, name, "mistaken" if wrong else "right" if chosen else "missed", expected, found)

    models = [answer["models"][index] for index in row["models"]]
    if case.names is not None:
        sets(score("model names"), case, case.names, {plain(model["name"]) for model in models})
    judge_places(case, models, score)


def judge_places(case: Case, models: list[dict[str, Any]], score: Any) -> None:
    found: dict[str, set[str]] = defaultdict(set)
    rows: dict[str, dict[str, Any]] = {}
    for model in models:
        name, folder = plain(model["name"]), canonical(model.get("directory") or "")
        found[name].add(folder)
        rows[f"{folder}/{name}"] = model
    for what, truth in (("models", case.places), *((f"folders of {whose} loaders", names) for whose, names in case.loaders.items())):
        for name, folders in sorted(truth.items()):
            if name not in found:
                if what == "models" or name not in case.optional:
                    score(what).add(case, name, "missed", folders)
            else:
                good = found[name] <= folders
                score(what).add(case, name, "right" if good else "mistaken", folders, found[name])
    if case.complete:
        for name in sorted(set(found) - set(case.places) - case.doubtful):
            score("models").add(case, name, "wrong", "", found[name])
    for where, urls in sorted(case.urls.items()):
        if where in rows:
            given = rows[where].get("url")
            # What the registry's list says for a file name is one more publisher of it, and bytes are not compared here.
            what = "addresses by the model list" if rows[where]["source"] == "model_list" else "addresses"
            outcome = "missed" if given is None else "right" if tidy(given) in urls else "mistaken"
            score(what).add(case, where, outcome, " or ".join(sorted(urls)), given)


def sets(score: Score, case: Case, wanted: set[str], found: set[str]) -> None:
    for name in sorted(wanted | found):
        outcome = "right" if name in wanted & found else "missed" if name in wanted else "wrong"
        score.add(case, name, outcome, name if name in wanted else "", name if name in found else "")


def is_pack(pack: dict[str, Any], identity: Identity, registry: Registry) -> bool:
    where = re.sub(r"(\.git)?/*$", "", str(pack.get("repository") or "")).lower()
    names = {bare(pack["name"]), bare(where.split("/")[-1]), bare(str(pack.get("cnr_id") or ""))} - {""}
    # Two owners of one name are two packs, as long as the registry still lists the one that the truth names.
    if identity.repository and identity.repository in registry.repositories and not where.endswith(identity.repository):
        return False
    return bool(names & identity.names)


def show(scores: dict[tuple[str, str], Score], cases: Iterable[Case], examples: int) -> None:
    width = max((len(source) for source, _ in scores), default=0)
    print(f"{'source':{width}}  {'what':27} {'files':>5} {'items':>6} {'recall':>8} {'precision':>9} {'missed':>6} {'wrong':>5}")
    for (source, what), score in scores.items():
        line = f"{source:{width}}  {what:27} {len(score.files):5} {score.items:6} {share(score.right, score.items):>8}"
        print(f"{line} {share(score.right, score.right + score.wrong):>9} {score.missed:6} {score.wrong:5}")
        for example in score.examples[:examples]:
            print(f"    {example}")
    excluded = excluded_of(cases)
    if excluded:
        print("\nleft out of the truth:")
        for reason, count in excluded.most_common():
            print(f"  {count:6}  {reason}")


def excluded_of(cases: Iterable[Case]) -> Counter[str]:
    once = {(case.label, reason): count for case in cases for reason, count in case.excluded.items()}
    found: Counter[str] = Counter()
    for (_, reason), count in once.items():
        found[reason] += count
    return found


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "-"


def as_data(scores: dict[tuple[str, str], Score], cases: Iterable[Case]) -> dict[str, Any]:
    rows = [
        {
            "source": source,
            "what": what,
            "files": len(score.files),
            "items": score.items,
            "right": score.right,
            "missed": score.missed,
            "wrong": score.wrong,
            "disagreements": score.examples,
        }
        for (source, what), score in scores.items()
    ]
    return {"rows": rows, "excluded": dict(excluded_of(cases))}


if __name__ == "__main__":
    main()
