"""How cost grows: with the size of a tensor, the depth of a graph, the number of parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rows import Row, real

ROWS: list[Row] = []
GROUP = "scale"
DEPTH = 1000


def sized(exponent: int) -> None:
    """tanh(x * y) of 2**exponent elements."""

    def prepare(lib: Any, device: str) -> Callable[[], Any]:
        x, y = (lib.from_numpy(real(2**exponent, seed=n)).to(device) for n in range(2))
        return lambda: (x * y).tanh()

    ROWS.append(Row(f"size_2^{exponent}", GROUP, prepare))


def deep(lib: Any, device: str) -> Callable[[], Any]:
    """A chain of 1000 products, recorded and sent back."""
    x = lib.from_numpy(real(16)).to(device).requires_grad_()
    y = lib.from_numpy(1 + 1e-3 * real(16, seed=1)).to(device)

    def call() -> Any:
        x.grad = None
        z = x
        for _ in range(DEPTH):
            z = z * y
        z.sum().backward()
        return x.grad

    return call


def deep_modules(lib: Any, device: str) -> Callable[[], Any]:
    """100 small linear layers with tanh, forward and backward."""
    model = lib.nn.Sequential()
    for _ in range(100):
        model.append(lib.nn.Linear(16, 16))
        model.append(lib.nn.Tanh())
    with lib.no_grad():
        for number, parameter in enumerate(model.parameters()):
            value = 0.25 * real(*parameter.shape, seed=number)
            parameter.copy_(lib.from_numpy(value))
    model.to(device)
    x = lib.from_numpy(real(8, 16)).to(device)

    def call() -> Any:
        model.zero_grad()
        model(x).sum().backward()
        return [p.grad for p in model[0].parameters()]

    return call


def many_parameters(lib: Any, device: str) -> Callable[[], Any]:
    """1000 small tensors: one product each, backward, and a step of Adam."""
    parameters = [
        lib.from_numpy(real(32, seed=number)).to(device).requires_grad_() for number in range(1000)
    ]
    optim = lib.optim.Adam(parameters, lr=1e-3)

    def call() -> Any:
        optim.zero_grad()
        total = parameters[0] * parameters[0]
        for parameter in parameters[1:]:
            total = total + parameter * parameter
        total.sum().backward()
        optim.step()
        return parameters[:3]

    return call


for exponent in (0, 4, 8, 10, 12, 14, 16, 18, 20, 22, 24):
    sized(exponent)
ROWS += [
    Row("depth_1000", GROUP, deep),
    Row("depth_100_linear", GROUP, deep_modules),
    Row("parameters_1000", GROUP, many_parameters, calls=3),
]
