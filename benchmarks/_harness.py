"""Interleaved comparison of libraries: one process each, one after the other, many rounds.

Two libraries in one process disturb each other (their thread pools spin), so each gets a process of
its own, and only one of them computes at a time.  A round measures every case once in each
process; a figure is the median over the rounds of the ratio within a round.
"""

from __future__ import annotations

import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Case = Callable[[Any], Callable[[], Any]]


def seconds_per_call(call: Callable[[], Any], budget: float) -> float:
    """Time of one call, from as many calls as fill the budget."""
    call()
    count = 1
    while True:
        start = time.perf_counter()
        for _ in range(count):
            call()
        elapsed = time.perf_counter() - start
        if elapsed >= budget:
            return elapsed / count
        count = max(count * 2, int(count * budget / max(elapsed, 1e-9)))


def serve(cases: dict[str, Case], library: str, threads: int) -> None:
    """The contender's side: answers lines `NAME BUDGET` with seconds, or null."""
    module = importlib.import_module(library)
    module.set_num_threads(threads)
    ready: dict[str, Any] = {}
    for line in sys.stdin:
        name, budget = line.split()
        try:
            if name not in ready:
                ready[name] = cases[name](module)
            answer: Any = seconds_per_call(ready[name], float(budget))
        except Exception as raised:
            answer = f"{type(raised).__name__}: {raised}"
        print(json.dumps(answer), flush=True)


class Contender:
    """One library in its own process."""

    def __init__(self, script: Path, library: str, threads: int) -> None:
        self.library = library
        self.process = subprocess.Popen(
            [sys.executable, str(script), "--serve", library, "--threads", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def measure(self, name: str, budget: float) -> Any:
        """Seconds per call, or the text of what went wrong."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(name, budget, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def compare(
    script: Path,
    names: list[str],
    *,
    reference: str = "torch",
    subject: str = "rushlight",
    rounds: int = 15,
    budget: float = 0.02,
    threads: int = 2,
) -> dict[str, dict[str, Any]]:
    """Figures of all cases: median seconds of both, and the median ratio."""
    contenders = [Contender(script, library, threads) for library in (reference, subject)]
    times: dict[str, list[list[Any]]] = {name: [] for name in names}
    try:
        for round_ in range(rounds + 1):
            for name in names:
                pair = [c.measure(name, budget) for c in contenders]
                if round_:
                    times[name].append(pair)
    finally:
        for contender in contenders:
            contender.close()
    return {name: _figures(pairs) for name, pairs in times.items()}


def _figures(pairs: list[list[Any]]) -> dict[str, Any]:
    wrong = [value for pair in pairs for value in pair if not isinstance(value, float)]
    if wrong:
        return {"error": wrong[0]}
    return {
        "reference": statistics.median(pair[0] for pair in pairs),
        "subject": statistics.median(pair[1] for pair in pairs),
        "ratio": statistics.median(pair[1] / pair[0] for pair in pairs),
    }


def table(figures: dict[str, dict[str, Any]], reference: str, subject: str) -> str:
    """The figures as Markdown, slowest ratio first."""
    rows = [
        f"| case | {reference}, us | {subject}, us | ratio |",
        "|---|---|---|---|",
    ]
    order = sorted(figures.items(), key=lambda item: -item[1].get("ratio", float("inf")))
    for name, found in order:
        if "error" in found:
            rows.append(f"| {name} | | | {found['error']} |")
        else:
            micro = [f"{found[side] * 1e6:.2f}" for side in ("reference", "subject")]
            rows.append(f"| {name} | {micro[0]} | {micro[1]} | {found['ratio']:.2f} |")
    ratios = [found["ratio"] for found in figures.values() if "ratio" in found]
    if ratios:
        rows.append(f"\ngeometric mean of the ratios: {statistics.geometric_mean(ratios):.2f}")
    return "\n".join(rows)
