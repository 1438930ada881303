"""Where Rushlight's time goes in one row: kernels against Python, and the costliest functions."""

from __future__ import annotations

import cProfile
import importlib
import pstats
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rows import Row

SECONDS = 2.0


def profile(row: Row, device: str, threads: int, top: int = 25) -> None:
    """Runs a row for some seconds under cProfile and prints what it found."""
    lib = importlib.import_module("rushlight")
    importlib.import_module("rushlight.optim")
    lib.set_num_threads(threads)
    call = row.prepare(lib, device)
    call()
    plain = _seconds(call)
    calls = max(1, int(SECONDS / plain))
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(calls):
        call()
    profiler.disable()
    stats = pstats.Stats(profiler)
    print(f"{row.name}: {plain * 1e3:.3f} ms a call, {calls} calls profiled\n")
    print("own time by place (C functions are kernels, NumPy and small built-ins):")
    places = Counter[str]()
    for (file, _, function), (_, _, own, *_) in stats.stats.items():  # type: ignore[attr-defined]
        places[_place(file, function)] += own
    total = sum(places.values())
    for place, own in places.most_common(16):
        print(f"  {own / total:6.1%}  {own / calls * 1e6:10.1f} us  {place}")
    print()
    stats.strip_dirs().sort_stats("tottime").print_stats(top)


def _place(file: str, function: str) -> str:
    if file == "~":
        return f"C: {function.strip('<>')}"[:70]
    parts = Path(file).parts
    for package in ("rushlight_cpu", "rushlight_opencl", "rushlight_cuda", "rushlight"):
        if package in parts:
            return f"Python: {package}/{'/'.join(parts[parts.index(package) + 1 :][:2])}"
    return "Python: elsewhere"


def _seconds(call: Any) -> float:
    start = time.perf_counter()
    count = 0
    while time.perf_counter() - start < SECONDS / 4:
        call()
        count += 1
    return (time.perf_counter() - start) / count
