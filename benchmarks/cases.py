"""All rows of all groups, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import functions
import operators
import overhead
import scale
import training
from rows import Row

GROUPS = ("overhead", "operators", "functions", "models", "inference", "scale", "memory")


def _on_default_device(case: Any) -> Callable[[Any, str], Any]:
    return lambda lib, device: case(lib)


_OVERHEAD = [
    Row(name, "overhead", _on_default_device(case)) for name, case in overhead.CASES.items()
]

ROWS: dict[str, Row] = {
    row.name: row
    for row in [*_OVERHEAD, *operators.ROWS, *functions.ROWS, *training.ROWS, *scale.ROWS]
}
