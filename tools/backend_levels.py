"""Finds which kernels a backend needs for what, and writes the table of docs/write-a-backend.md.

    python tools/backend_levels.py          # prints the table
    python tools/backend_levels.py --write  # and puts it into the page

A backend starts without kernels. A level's program runs on it; whenever it asks for a kernel that
nothing can be composed for, the array family's is added and the program starts again. What was
added in the end is what the level needs: no order of trying gives another list.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

import rushlight as rl
from rushlight import nn
from rushlight.backend import ArrayDevice, Backend, refill, register
from rushlight.backend.arrays import array_kernels

PAGE = Path(__file__).parents[1] / "docs/write-a-backend.md"
MARKS = ("<!-- levels: written by tools/backend_levels.py -->", "<!-- end of levels -->")


class SeparateMemory(ArrayDevice):
    """A device whose arrays are not the host's."""

    def to_host(self, native: np.ndarray) -> np.ndarray:
        """Copies."""
        return np.array(native)


def memory(device: str) -> None:
    """Make tensors, copy, convert, view, write, print."""
    x = rl.tensor([[1.0, 2.5], [3.0, 4.0]]).to(device)
    rl.zeros(2, device=device), rl.full((2,), 3.0, device=device), rl.empty(2, device=device)
    rl.arange(5, device=device)
    y = x.clone().t().contiguous().reshape(4)
    y[1:3] = 7.0
    x.copy_(rl.ones(2, 2))
    x.fill_(2).zero_()
    assert [repr(x), x.cpu(), x.tolist(), x[0, 1].item()]
    assert x.double().dtype is rl.float64


def arithmetic(device: str) -> None:
    """Arithmetic, comparisons, functions, reductions, indexing, joining."""
    x = rl.tensor([[1.0, 2.5], [3.0, 4.0]]).to(device)
    y = x * 2 + 1
    for result in (x - y, x / y, x**y, x // y, x % y, -x, abs(x)):
        result += 1
    masks = [x < y, x <= y, x > y, x >= y, x == y, x != y]
    assert not (masks[0] & masks[2] | ~masks[1]).any()
    for name in "exp log sqrt rsqrt sin cos tanh sigmoid relu floor sign erf".split():
        getattr(x, name)()
    x.clamp(0, 1), rl.where(masks[0], x, y), x.masked_fill(masks[0], 0)
    for name in "sum mean prod var std amax amin max min argmax all softmax".split():
        getattr(x, name)(1)
    x[[1, 0]], x.gather(1, rl.zeros(1, 1, dtype=rl.int64, device=device)), x[0, 1]
    rl.cat([x, y]), rl.stack([x, y]), x @ y, rl.linspace(0, 1, 5, device=device)


def train(model: nn.Module, x: rl.Tensor, optimizer: rl.optim.Optimizer) -> None:
    """Two steps of a classifier, and its predictions."""
    target = rl.arange(x.shape[0]).to(x.device) % 3
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), target).backward()
        optimizer.step()
    model.eval()
    assert (model(x).argmax(1) == target).float().mean().item() >= 0


def mlp(device: str) -> None:
    """Train a multilayer perceptron with SGD and AdamW, its weights drawn on the device."""
    for make in (lambda p: rl.optim.SGD(p, 0.1, momentum=0.9), rl.optim.AdamW):
        model = nn.Sequential(
            nn.Linear(4, 8, device=device), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 3)
        ).to(device)
        train(model, rl.randn(6, 4, device=device), make(model.parameters()))


def cnn(device: str) -> None:
    """Train a convolutional network with batch normalisation and pooling."""
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.GELU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, bias=False), nn.SiLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 3),
    ).to(device)  # fmt: skip
    train(model, rl.randn(6, 1, 8, 8).to(device), rl.optim.AdamW(model.parameters()))


LEVELS: tuple[Callable[[str], None], ...] = (memory, arithmetic, mlp, cnn)


def bare(name: str) -> Backend:
    """A backend without kernels."""
    backend = Backend(name, device=lambda index: SeparateMemory(np))
    register(backend)
    return backend


@cache
def needed() -> dict[Callable[[str], None], list[str]]:
    """The kernels that each level needs beyond those of the levels before it."""
    backend = bare("levels")
    return {level: sorted(grown(backend, level)) for level in LEVELS}


@cache
def fewest(level: Callable[[str], None]) -> list[str]:
    """The kernels that a level needs by itself."""
    return sorted(grown(bare(level.__name__), level))


def grown(backend: Backend, level: Callable[[str], None]) -> list[str]:
    """Adds kernels until a level's program runs; their names."""
    family = array_kernels(np)
    added: list[str] = []
    while True:
        try:
            level(backend.name)
            return added
        except NotImplementedError as raised:
            name = str(raised).split(":")[0]
            if name in added or name not in family:
                raise
        added.append(name)
        backend.kernel(name)(family[name])
        refill()


def table() -> str:
    """The levels as a table in Markdown."""
    lines = ["| Level | What works then | Kernels it needs |", "|---|---|---|"]
    for number, (level, names) in enumerate(needed().items(), 1):
        told = ", ".join(f"`{name}`" for name in names)
        lines.append(f"| {number} | {level.__doc__} | {len(names)}: {told} |")
    told = ", ".join(f"`{name}`" for name in fewest(mlp))
    lines += [
        "",
        f"Without the levels before it, level 3 needs {len(fewest(mlp))} kernels, and level 4 "
        f"{len(fewest(cnn))}. The perceptron's are {told}.",
    ]
    return "\n".join(lines)


def page_with(text: str) -> str:
    """The page with another table."""
    before, rest = PAGE.read_text("utf-8").split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    return f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}"


if __name__ == "__main__":
    found = table()
    print(found)
    if "--write" in sys.argv:
        PAGE.write_text(page_with(found), "utf-8")
