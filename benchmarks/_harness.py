"""Interleaved comparison of libraries: one process each, one after the other, many rounds.

Two libraries in one process disturb each other (their thread pools spin), so each gets a process of
its own, and only one of them computes at a time.  A round measures a row once in each process, in
alternating order; a figure is the median over the rounds of the ratio within a round.  Results are
compared before anything is timed: a wrong one gets no figure.  Rounds in which other programs took
the cores away are left out; where too few others remain, the least disturbed ones count and the row
is marked.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rows import Row, difference

HERE = Path(__file__).parent
PAUSE = 0.03  # seconds between two measurements: the other process's pool falls asleep in it
SPREAD = 0.25  # (third quartile - first quartile) / median from which a ratio is called unsteady


DISTURBED = 0.1  # part of a sample spent waiting for a core from which its round is not counted


@dataclass(frozen=True)
class Contender:
    """A library on a device, with the environment that selects its variant.

    `patience` multiplies the time allowed for an answer: some libraries compile before they start.
    """

    name: str
    library: str
    device: str = "cpu"
    environment: dict[str, str] = field(default_factory=dict)
    patience: float = 1.0


@dataclass(frozen=True)
class Effort:
    """How long a row may take.

    Args:
        rounds: Most rounds.
        fewest: Rounds that are made however long they take.
        sample: Seconds that one measurement should fill.
        row: Seconds for the rounds of one row, all contenders together.
        limit: Seconds after which an answer is no longer waited for.
    """

    rounds: int = 11
    fewest: int = 3
    sample: float = 0.02
    row: float = 3.0
    limit: float = 120.0


QUICK = Effort(rounds=5, fewest=2, sample=0.01, row=1.0)


class Failed(Exception):
    """A contender could not do what it was asked for; the message says why."""


class Worker:
    """A contender's process; started when first needed and again after it died."""

    def __init__(self, contender: Contender, threads: int, script: Path = HERE / "_worker.py"):
        self.contender, self.threads, self.script = contender, threads, script
        self.process: subprocess.Popen[str] | None = None

    def ask(self, limit: float, **request: Any) -> Any:
        """The process's answer to a request.

        Raises:
            Failed: It raised, died, or took longer than `limit` seconds.
        """
        process = self._running()
        limit *= self.contender.patience
        assert process.stdin is not None and process.stdout is not None
        timer = threading.Timer(limit, process.kill)
        timer.start()
        try:
            print(json.dumps(request), file=process.stdin, flush=True)
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            late = not timer.is_alive()
            timer.cancel()
        if not line:
            self.close()
            raise Failed(f"no answer in {limit:.0f} s" if late else "the process died")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def _running(self) -> subprocess.Popen[str]:
        if self.process is None:
            count = str(self.threads)
            pools = dict.fromkeys(
                ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), count
            )
            self.process = subprocess.Popen(
                [sys.executable, str(self.script), self.contender.library, self.contender.device],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **pools, **self.contender.environment, "BENCH_THREADS": count},
            )
        return self.process

    def close(self) -> None:
        """Ends the process."""
        if self.process is not None:
            assert self.process.stdin is not None
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


def contest(
    rows: Iterable[Row], workers: list[Worker], effort: Effort
) -> Iterator[tuple[Row, dict[str, Any]]]:
    """Measures row after row; yields each with its figures by contender's name.

    The first worker is the reference.  A figure is a dictionary with `seconds`, `ratio`, `spread`,
    `rounds` and `calm`, or with `error`.
    """
    for row in rows:
        figures: dict[str, Any] = {}
        ready = _prepare(row, workers, effort, figures)
        _measure(row, ready, effort, figures, workers[0].contender.name)
        for worker in ready:
            try:
                worker.ask(effort.limit, do="drop")
            except Failed:
                pass
        yield row, figures


def _prepare(
    row: Row, workers: list[Worker], effort: Effort, figures: dict[str, Any]
) -> dict[Worker, int]:
    """Prepares and compares; returns how many calls fill a sample, by worker."""
    ready: dict[Worker, int] = {}
    expected = None
    for worker in workers:
        name = worker.contender.name
        try:
            answer = worker.ask(effort.limit, do="prepare", row=row.name, sample=effort.sample)
        except Failed as failure:
            figures[name] = {"error": str(failure)}
            continue
        if worker is workers[0]:
            expected = answer["summary"]
        wrong = expected is not None and difference(row, expected, answer["summary"])
        if wrong:
            figures[name] = {"error": f"wrong result: {wrong}"}
            worker.ask(effort.limit, do="drop")
        else:
            ready[worker] = answer["calls"]
    return ready


def _measure(
    row: Row, ready: dict[Worker, int], effort: Effort, figures: dict[str, Any], reference: str
) -> None:
    rounds: list[dict[str, dict[str, Any]]] = []
    start = time.perf_counter()
    calm = 0
    while ready and calm < effort.rounds:
        if len(rounds) >= effort.fewest and time.perf_counter() - start > effort.row:
            break
        order = list(ready.items())
        answers: dict[str, dict[str, Any]] = {}
        for worker, calls in order if len(rounds) % 2 else order[::-1]:
            name = worker.contender.name
            time.sleep(PAUSE)
            try:
                answers[name] = worker.ask(effort.limit, do="measure", calls=calls)
            except Failed as failure:
                figures[name] = {"error": str(failure)}
                del ready[worker]
        rounds.append(answers)
        calm += _waited(answers) < DISTURBED
    rounds = [r for r in rounds if len(r) >= len(ready)]
    kept = [r for r in rounds if _waited(r) < DISTURBED]
    calm_enough = len(kept) >= effort.fewest
    if not calm_enough:
        kept = sorted(rounds, key=_waited)[: effort.fewest]
    for worker in ready:
        name = worker.contender.name
        times = [r[name]["seconds"] for r in kept]
        base = [] if reference in figures and "error" in figures[reference] else kept
        figures[name] = _figure(times, [r[reference]["seconds"] for r in base if reference in r])
        figures[name]["calm"] = calm_enough


def _waited(answers: dict[str, dict[str, Any]]) -> float:
    """How far other programs took the cores away in this round, at worst."""
    return max((answer.get("waited", 0.0) for answer in answers.values()), default=0.0)


def _figure(times: list[float], base: list[float]) -> dict[str, Any]:
    found: dict[str, Any] = {"seconds": statistics.median(times), "rounds": len(times)}
    if base:
        ratios = [mine / theirs for mine, theirs in zip(times, base, strict=True)]
        found["ratio"] = statistics.median(ratios)
        found["spread"] = _spread(ratios)
    return found


def _spread(values: list[float]) -> float:
    """Distance between the quartiles as a part of the median."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / middle


def seconds_of(call: Callable[[], Any], calls: int, finish: Callable[[Any], None]) -> float:
    """Time of one call, from `calls` in a row; asynchronous work is waited for."""
    start = time.perf_counter()
    for _ in range(calls):
        result = call()
    finish(result)
    return (time.perf_counter() - start) / calls
