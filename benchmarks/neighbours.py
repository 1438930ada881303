"""How much longer `import rushlight` takes with many backends installed, broken ones among them.

    python benchmarks/neighbours.py

Interpreters with and without the neighbours of tests/packaging/hostile start in turn; the figure
is the median of the differences. The budget is 20 ms.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/packaging/hostile"))

import neighbours
import wheels

ROUNDS = 21
PROGRAMS = {
    "import rushlight": "import rushlight",
    "and one CPU tensor": "import rushlight; rushlight.ones(2)",
    "and the report": "import rushlight; rushlight.ones(2); rushlight.backend.report()",
}


def seconds(folder: Path, code: str) -> float:
    """Time of a new interpreter."""
    start = time.perf_counter()
    wheels.python(folder, code).check_returncode()
    return time.perf_counter() - start


def main() -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        without, beside, built = folder / "without", folder / "beside", folder / "wheels"
        for each in (without, built):
            each.mkdir()
        wheels.install(neighbours.write_wheels(built), beside)
        for label, code in PROGRAMS.items():
            pairs = [(seconds(without, code), seconds(beside, code)) for _ in range(ROUNDS)]
            alone = statistics.median(a for a, _ in pairs)
            more = statistics.median(b - a for a, b in pairs)
            print(
                f"{label:20} {alone * 1e3:6.1f} ms alone, {more * 1e3:+5.1f} ms beside neighbours"
            )


if __name__ == "__main__":
    main()
