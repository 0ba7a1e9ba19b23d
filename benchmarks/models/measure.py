# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What commands cost: seconds, seconds of the processor, and memory, of them and of all that they started and waited for."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    seconds: float
    cpu: float
    peak_mib: float  # of the largest process; never less than this script's own, which the kernel counts from the fork on


@dataclass(frozen=True)
class Command:
    words: Sequence[str]
    stdin: str = ""


def run(commands: Iterable[Command], environment: Mapping[str, str], log: Path) -> Cost:
    """One after the other. Ends with what it said when one fails."""
    cpu, peak, began = 0.0, 0, time.perf_counter()
    for command in commands:
        with log.open("w+") as output:
            child = subprocess.Popen(
                command.words, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=environment, text=True
            )
            child.stdin.write(command.stdin)
            child.stdin.close()
            _pid, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                output.seek(0)
                sys.exit(f"{command.words[0]} ended with {child.returncode}:\n{output.read()[-4000:]}")
        cpu += usage.ru_utime + usage.ru_stime
        peak = max(peak, usage.ru_maxrss)
    return Cost(time.perf_counter() - began, cpu, peak / 1024)


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in ("seconds", "cpu", "peak_mib")))


def spread(costs: Sequence[Cost]) -> str:
    seconds = [cost.seconds for cost in costs]
    return f"{min(seconds):.2f}-{max(seconds):.2f}" if len(seconds) > 1 else "one run"


def table(rows: Sequence[Sequence[str]]) -> str:
    """The first row is the heading; the first column leans left, the others right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        return "  ".join([row[0].ljust(widths[0]), *cells])

    return "\n".join([line(rows[0]), "  ".join("-" * width for width in widths), *map(line, rows[1:])])
