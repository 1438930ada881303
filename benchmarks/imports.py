"""How long `import rushlight` takes beyond `import numpy`, and what an install weighs.

python benchmarks/imports.py
"""

from __future__ import annotations

import importlib.metadata
import statistics
import subprocess
import sys
import time


def import_seconds(name: str, rounds: int = 15) -> float:
    """Median time of a fresh interpreter that imports a module."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {name}"], check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def installed_bytes(distribution: str) -> int:
    """Size of a distribution's files, compiled Python files aside."""
    files = importlib.metadata.distribution(distribution).files or []
    return sum(
        path.stat().st_size
        for path in (file.locate() for file in files)
        if path.is_file() and path.suffix != ".pyc"
    )


def main() -> None:
    """Measures and prints."""
    numpy, rushlight = import_seconds("numpy"), import_seconds("rushlight")
    print(f"import numpy      {numpy:.3f} s")
    print(f"import rushlight  {rushlight:.3f} s (+{rushlight - numpy:.3f} s)")
    total = 0
    for name in ("rushlight-core", "rushlight-cpu", "rushlight-nn", "pluggy", "ml_dtypes"):
        size = installed_bytes(name)
        total += size
        print(f"{name:16} {size / 2**20:6.2f} MiB")
    print(f"{'sum':16} {total / 2**20:6.2f} MiB beyond NumPy")


if __name__ == "__main__":
    main()
