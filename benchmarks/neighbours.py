"""How much longer `import rushlight` takes with many backends installed, broken ones among them.

    python benchmarks/neighbours.py

Interpreters with and without the neighbours of tests/packaging/hostile start in turn. What counts
is the processor time of each, which other work on the machine hardly changes; the time by the
clock is shown beside it. Medians of the differences within a pair, and differences of the minima;
the budget is 20 ms.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/packaging/hostile"))

import neighbours
import wheels

ROUNDS = 21
BUDGET = 0.020
PROGRAMS = {
    "import rushlight": "import rushlight",
    "and one CPU tensor": "import rushlight; rushlight.ones(2)",
    "and the report": "import rushlight; rushlight.ones(2); rushlight.backend.report()",
}


class Cost(NamedTuple):
    """Seconds that a program took: of processors, and by the clock."""

    processor: float
    clock: float


def cost(folder: Path, code: str) -> Cost:
    """What a program takes in a new interpreter, which ends before this returns."""
    environment = wheels.environment(folder)
    # As after an installation, modules have been compiled: the first round does it.
    environment["PYTHONPYCACHEPREFIX"] = str(folder.parent / "bytecode")
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], cwd=folder, env=environment
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{code!r} ended with {child.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, time.perf_counter() - start)


def pairs(without: Path, beside: Path, code: str) -> list[tuple[Cost, Cost]]:
    """Costs alone and beside the neighbours, each first in half of the rounds."""
    found = []
    for turn in range(ROUNDS + 1):
        if turn % 2:
            alone, more = cost(without, code), cost(beside, code)
        else:
            more, alone = cost(beside, code), cost(without, code)
        if turn:
            found.append((alone, more))
    return found


def main() -> int:
    """Measures and prints; 1 if the budget is exceeded."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        without, beside, built = folder / "without", folder / "beside", folder / "wheels"
        for each in (without, built):
            each.mkdir()
        wheels.install(neighbours.write_wheels(built), beside)
        print(f"{len(neighbours.NEIGHBOURS)} neighbours; median (difference of minima), ms")
        print(f"{'':20} {'alone':>8} {'processor time more':>20} {'clock more':>20}")
        kept = True
        for label, code in PROGRAMS.items():
            found = pairs(without, beside, code)
            shown = []
            for which in range(2):
                median = statistics.median(more[which] - alone[which] for alone, more in found)
                least = min(m[which] for _, m in found) - min(a[which] for a, _ in found)
                shown.append(f"{median * 1e3:+.1f} ({least * 1e3:+.1f})")
                kept = kept and (which == 1 or median <= BUDGET)
            alone = statistics.median(a.processor for a, _ in found)
            print(f"{label:20} {alone * 1e3:8.1f} {shown[0]:>20} {shown[1]:>20}")
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main())
