"""What one call costs beside the arithmetic: tensors of four elements, compared with torch.

Run it as `python benchmarks/overhead.py [--rounds 15] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import _harness  # noqa: E402 - the variables come first

CHAIN = 100


def add(lib: Any) -> Any:
    x, y = lib.full((4,), 2.0), lib.full((4,), 3.0)
    return lambda: x + y


def add_recording(lib: Any) -> Any:
    x, y = lib.full((4,), 2.0).requires_grad_(), lib.full((4,), 3.0)
    return lambda: x + y


def mul_recording(lib: Any) -> Any:
    x, y = lib.full((4,), 2.0).requires_grad_(), lib.full((4,), 3.0).requires_grad_()
    return lambda: x * y


def scale_recording(lib: Any) -> Any:
    x = lib.full((4,), 2.0).requires_grad_()
    return lambda: x * 2.0


def exp_recording(lib: Any) -> Any:
    x = lib.full((4,), 2.0).requires_grad_()
    return lambda: x.exp()


def add_in_place(lib: Any) -> Any:
    x, y = lib.full((4,), 2.0), lib.full((4,), 0.0)
    return lambda: x.add_(y)


def view(lib: Any) -> Any:
    x = lib.full((4,), 2.0)
    return lambda: x.view(2, 2)


def select(lib: Any) -> Any:
    x = lib.full((4,), 2.0)
    return lambda: x[0]


def total(lib: Any) -> Any:
    x = lib.full((4,), 2.0)
    return lambda: x.sum()


def item(lib: Any) -> Any:
    x = lib.full((), 2.0)
    return lambda: x.item()


def matmul(lib: Any) -> Any:
    x = lib.full((4, 4), 2.0)
    return lambda: x @ x


def chain(lib: Any) -> Any:
    """100 products recorded, no backward."""
    x, y = lib.full((4,), 1.0).requires_grad_(), lib.full((4,), 1.0)

    def run() -> Any:
        z = x
        for _ in range(CHAIN):
            z = z * y
        return z

    return run


def chain_backward(lib: Any) -> Any:
    """100 products recorded and sent back."""
    record = chain(lib)
    g = lib.full((4,), 1.0)
    return lambda: record().backward(g)


def no_grad_add(lib: Any) -> Any:
    x, y = lib.full((4,), 2.0).requires_grad_(), lib.full((4,), 3.0)

    def run() -> Any:
        with lib.no_grad():
            return x + y

    return run


CASES = {
    "add": add,
    "add_recording": add_recording,
    "mul_recording": mul_recording,
    "scale_recording": scale_recording,
    "exp_recording": exp_recording,
    "add_in_place": add_in_place,
    "view": view,
    "select": select,
    "sum": total,
    "item": item,
    "matmul": matmul,
    "chain": chain,
    "chain_backward": chain_backward,
    "no_grad_add": no_grad_add,
}


def per_node(figures: dict[str, Any]) -> dict[str, Any]:
    """Backward alone: the chain with backward less the chain without, per product."""
    both, forward = figures["chain_backward"], figures["chain"]
    if "error" in both or "error" in forward:
        return {"error": "chain failed"}
    sides = {s: (both[s] - forward[s]) / CHAIN for s in ("reference", "subject")}
    return {**sides, "ratio": sides["subject"] / sides["reference"]}


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.serve:
        _harness.serve(CASES, arguments.serve, arguments.threads)
        return
    figures = _harness.compare(
        Path(__file__), list(CASES), rounds=arguments.rounds, threads=arguments.threads
    )
    figures["backward_per_node"] = per_node(figures)
    print(_harness.table(figures, "torch", "rushlight"))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    sys.exit(main())
