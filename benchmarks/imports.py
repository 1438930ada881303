"""How long `import rushlight` takes beyond `import numpy`, and what an install weighs.

Run it as `python benchmarks/imports.py`.  Installers compile modules to bytecode, so imports from
bytecode are timed: a first one, which is not counted, leaves it to the others.
"""

from __future__ import annotations

import importlib.metadata
import os
import statistics
import subprocess
import sys
import tempfile

_TIMED = """
import time
start = time.perf_counter()
import {name}
print(time.perf_counter() - start)
"""


def import_seconds(names: list[str], rounds: int = 15) -> list[float]:
    """Median times that fresh interpreters take to import modules, which take turns."""
    times: list[list[float]] = [[] for _ in names]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for turn in range(rounds + 1):
            for name, taken in zip(names, times, strict=True):
                ran = subprocess.run(
                    [sys.executable, "-c", _TIMED.format(name=name)],
                    check=True, env=environment, stdout=subprocess.PIPE,
                )  # fmt: skip
                if turn:
                    taken.append(float(ran.stdout))
    return [statistics.median(taken) for taken in times]


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
    numpy, rushlight = import_seconds(["numpy", "rushlight"])
    print(f"import numpy      {numpy:.3f} s")
    print(f"import rushlight  {rushlight:.3f} s (+{rushlight - numpy:.3f} s)")
    total = 0
    for name in ("rushlight-core", "rushlight-cpu", "rushlight-nn", "pluggy", "ml_dtypes"):
        size = installed_bytes(name)
        if size < 2**14:  # pointers to a working tree
            print(f"{name:16} an editable install, which has no size: install the wheels")
            continue
        total += size
        print(f"{name:16} {size / 2**20:6.2f} MiB")
    print(f"{'sum':16} {total / 2**20:6.2f} MiB beyond NumPy")


if __name__ == "__main__":
    main()
