"""A contender's process: prepares, times and drops rows as the parent asks.

Requests and answers are lines of JSON.  `_worker.py LIBRARY DEVICE`.
"""

from __future__ import annotations

import gc
import glob
import importlib
import json
import math
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from _harness import seconds_of
from rows import Row, summary

SLOW = 5.0  # seconds of a call that is not made again to learn how long it takes


class Contestant:
    """What one process knows: its library, the rows, the row at hand."""

    def __init__(self, library: str, device: str, threads: int) -> None:
        self.adapter = adapter(library, device, threads)
        self.call: Callable[[], Any] | None = None

    def prepare(self, row: str, sample: float) -> dict[str, Any]:
        """Makes a row ready; answers with its result and the calls that fill a sample."""
        self.drop()
        spec, call = self.adapter.prepare(row)
        for _ in range(spec.calls):
            start = time.perf_counter()
            result = call()
            self.adapter.finish(result)
            once = time.perf_counter() - start
        found = summary(result) if spec.compared else []
        del result
        self.call = call
        if once < SLOW:  # else the last call will do
            seconds_of(call, 1, self.adapter.finish)
            once = seconds_of(call, 1, self.adapter.finish)
        if once < sample:  # a second look at the short ones
            once = seconds_of(call, max(1, int(sample / 4 / max(once, 1e-7))), self.adapter.finish)
        return {"summary": found, "calls": max(1, math.ceil(sample / max(once, 1e-7)))}

    def measure(self, calls: int) -> dict[str, Any]:
        """Seconds per call, and the part of the time that its threads waited for a core."""
        assert self.call is not None, "prepare comes first"
        before = waiting_seconds()
        seconds = seconds_of(self.call, calls, self.adapter.finish)
        waited = waiting_seconds() - before
        return {"seconds": seconds, "waited": max(waited, 0.0) / (seconds * calls)}

    def drop(self) -> dict[str, Any]:
        """Forgets the row at hand and its memory."""
        self.call = None
        gc.collect()
        return {}

    def memory(self, row: str, steps: int) -> dict[str, Any]:
        """Growth of the process's largest memory over some calls of a row, in bytes."""
        before = largest_memory()
        _, call = self.adapter.prepare(row)
        for _ in range(steps):
            self.adapter.finish(call())
        return {"bytes": largest_memory() - before}


class TorchLike:
    """torch, or a library whose names are torch's."""

    def __init__(self, library: str, device: str, threads: int) -> None:
        self.lib, self.device = importlib.import_module(library), device
        self.lib.set_num_threads(threads)
        if library == "rushlight":
            importlib.import_module("rushlight.nn")
            importlib.import_module("rushlight.optim")

    def prepare(self, name: str) -> tuple[Row, Callable[[], Any]]:
        """The row and its call."""
        import cases

        row = cases.ROWS[name]
        return row, row.prepare(self.lib, self.device)

    def finish(self, result: Any) -> None:
        """Waits for the device by reading an element of what was computed last."""
        if self.device == "cpu":
            return
        while isinstance(result, (list, tuple)):
            result = result[-1]
        if hasattr(result, "detach"):
            result.detach().reshape(-1)[:1].cpu()


def adapter(library: str, device: str, threads: int) -> Any:
    """What prepares rows for a library."""
    if library == "tinygrad":
        import _tinygrad

        return _tinygrad.Tinygrad()
    if library == "jax":
        import _jax

        return _jax.Jax(threads)
    return TorchLike(library, device, threads)


def largest_memory() -> int:
    """The most memory this process has held so far, in bytes."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return 1024 * next(int(line.split()[1]) for line in status if "VmHWM" in line)
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def waiting_seconds() -> float:
    """How long this process's threads have waited for a core so far; 0 where nobody counts it."""
    total = 0
    for path in glob.glob("/proc/self/task/*/schedstat"):
        try:
            with open(path, encoding="ascii") as counts:
                total += int(counts.read().split()[1])
        except OSError:  # the thread has just ended
            continue
    return total * 1e-9


def serve(contestant: Any, requests: TextIO, answers: TextIO) -> None:
    """Answers requests until there are no more."""
    for line in requests:
        request = json.loads(line)
        try:
            answer = getattr(contestant, request.pop("do"))(**request)
        except Exception as raised:
            text = str(raised).strip().splitlines()
            answer = {"error": f"{type(raised).__name__}: {text[0] if text else ''}"}
        print(json.dumps(answer), file=answers, flush=True)


def main() -> None:
    """Serves; what libraries print goes to the error stream."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    library, device = sys.argv[1:]
    contestant = Contestant(library, device, int(os.environ.get("BENCH_THREADS", "2")))
    serve(contestant, sys.stdin, answers)


if __name__ == "__main__":
    main()
