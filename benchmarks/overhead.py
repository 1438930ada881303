"""What one call costs beside the arithmetic: tensors of four elements, compared with torch.

Run it as `python benchmarks/overhead.py [--rounds 15] [--json FILE]`: it is the group `overhead`
of run.py, whose other options it takes too.
"""

from __future__ import annotations

import sys
from typing import Any

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


def main() -> None:
    """Measures and prints the table."""
    import run

    run.main(["--group", "overhead", *sys.argv[1:]])


if __name__ == "__main__":
    main()
