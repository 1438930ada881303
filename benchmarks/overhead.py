"""What one call costs beside the arithmetic: tensors of a few elements, compared with torch.

Run it as `python benchmarks/overhead.py [--rounds 15] [--json FILE]`: it is the group `overhead`
of run.py, whose other options it takes too.
"""

from __future__ import annotations

import importlib
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


def reshape(lib: Any) -> Any:
    x = lib.full((4,), 2.0)
    return lambda: x.reshape(2, 2)


def transpose(lib: Any) -> Any:
    x = lib.full((2, 2), 2.0)
    return lambda: x.transpose(0, 1)


def columns(lib: Any) -> Any:
    x = lib.full((2, 4), 2.0)
    return lambda: x[:, 1:]


def detach(lib: Any) -> Any:
    x = lib.full((4,), 2.0)
    return lambda: x.detach()


def shape(lib: Any) -> Any:
    x = lib.full((4,), 2.0)
    return lambda: x.shape[0]


def select(lib: Any) -> Any:
    x = lib.full((4,), 2.0)
    return lambda: x[0]


def total(lib: Any) -> Any:
    x = lib.full((4,), 2.0)
    return lambda: x.sum()


def mean(lib: Any) -> Any:
    x = lib.full((4,), 2.0)
    return lambda: x.mean()


def softmax(lib: Any) -> Any:
    x = lib.full((4,), 2.0)
    return lambda: x.softmax(0)


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


def create_scalar(lib: Any) -> Any:
    return lambda: lib.tensor(3.0)


def create_zeros(lib: Any) -> Any:
    return lambda: lib.zeros(4)


def linear(lib: Any) -> Any:
    layer, x = _nn(lib).Linear(16, 16), lib.full((16,), 2.0)
    for parameter in layer.parameters():
        _nn(lib).init.constant_(parameter, 0.5)  # results are compared
    return lambda: layer(x)


def linear_backward(lib: Any) -> Any:
    """Forward and backward, gradients accumulated."""
    layer, x = _nn(lib).Linear(16, 16), lib.full((4, 16), 2.0)
    return lambda: layer(x).sum().backward()


def _mlp(lib: Any) -> Any:
    nn = _nn(lib)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))


def mlp_step(lib: Any) -> Any:
    """A training step of a small network with Adam."""
    model, nn = _mlp(lib), _nn(lib)
    optim = importlib.import_module(f"{lib.__name__}.optim")
    optimiser = optim.Adam(model.parameters(), 1e-3)
    x, y = lib.full((8, 16), 0.5), lib.full((8,), 1).long()

    def run() -> Any:
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()

    return run


def zero_grad(lib: Any) -> Any:
    model = _mlp(lib)
    return lambda: model.zero_grad()


def _nn(lib: Any) -> Any:
    return importlib.import_module(f"{lib.__name__}.nn")


CASES = {
    "add": add,
    "add_recording": add_recording,
    "mul_recording": mul_recording,
    "scale_recording": scale_recording,
    "exp_recording": exp_recording,
    "add_in_place": add_in_place,
    "view": view,
    "reshape": reshape,
    "transpose": transpose,
    "columns": columns,
    "select": select,
    "detach": detach,
    "shape": shape,
    "sum": total,
    "mean": mean,
    "softmax_small": softmax,
    "item": item,
    "matmul": matmul,
    "chain": chain,
    "chain_backward": chain_backward,
    "no_grad_add": no_grad_add,
    "create_scalar": create_scalar,
    "create_zeros": create_zeros,
    "linear": linear,
    "linear_backward": linear_backward,
    "mlp_step": mlp_step,
    "zero_grad": zero_grad,
}


def main() -> None:
    """Measures and prints the table."""
    import run

    run.main(["--group", "overhead", *sys.argv[1:]])


if __name__ == "__main__":
    main()
