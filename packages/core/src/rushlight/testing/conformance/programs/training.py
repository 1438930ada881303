"""Training: networks learn on the device what they learn in double precision on the host.

The core has no layers and no optimisers of its own, so the perceptron is written in operators, with
its reference in NumPy.  Where `rushlight.nn` is installed, its layers and optimisers train too.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator
from importlib.util import find_spec
from typing import Any

import numpy as np

import rushlight as rl

from ...._tensor.construction import from_host, to_host
from ....backend._registry import normalized
from .._asking import backend_of
from .._case import Skip
from ._table import program

HostArray = np.ndarray[Any, Any]
#: An optimiser of one weight, which is sent its gradients.
Update = Callable[[Any], Generator[None, Any, None]]
_STEPS = 20
_RATE = 0.1


def _task() -> tuple[HostArray, HostArray, list[HostArray]]:
    """Inputs, classes and first weights of a small classification."""
    random = np.random.default_rng(0)
    x = random.standard_normal((24, 5))
    classes = (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0.5)
    shapes = ((5, 16), (16,), (16, 3), (3,))
    return x, classes, [random.standard_normal(shape) * 0.4 for shape in shapes]


def _exact_losses(update: Update) -> list[float]:
    """The losses in double precision, with derivatives written out by hand."""
    x, classes, weights = _task()
    weights = [w.copy() for w in weights]
    rules = [update(w) for w in weights]
    for rule in rules:
        next(rule)
    losses = []
    for _ in range(_STEPS):
        w1, b1, w2, b2 = weights
        h = np.tanh(x @ w1 + b1)
        z = h @ w2 + b2
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        rows = np.arange(len(x))
        losses.append(float(-np.log(p[rows, classes]).mean()))
        gz = p.copy()
        gz[rows, classes] -= 1
        gz /= len(x)
        gh = (gz @ w2.T) * (1 - h * h)
        for rule, g in zip(rules, (x.T @ gh, gh.sum(0), h.T @ gz, gz.sum(0)), strict=True):
            rule.send(g)
    return losses


def _losses(device: str, update: Update) -> list[float]:
    """The losses on a device, with derivatives by autograd."""
    x, classes, weights = _task()
    where = normalized(device)
    inputs = from_host(x.astype(np.float32), where)
    target = from_host(classes, where).unsqueeze(1)
    leaves = [from_host(w.astype(np.float32), where).requires_grad_() for w in weights]
    rules = [update(w) for w in leaves]
    losses = []
    with rl.no_grad():
        for rule in rules:
            next(rule)
    for _ in range(_STEPS):
        w1, b1, w2, b2 = leaves
        z = (inputs @ w1 + b1).tanh() @ w2 + b2
        loss = -z.log_softmax(1).gather(1, target).mean()
        losses.append(loss.item())
        for w in leaves:
            w.grad = None
        loss.backward()
        with rl.no_grad():
            for rule, w in zip(rules, leaves, strict=True):
                rule.send(w.grad)
    return losses


# One text for both: arrays of NumPy and tensors have the same arithmetic.
def _sgd(w: Any) -> Generator[None, Any, None]:
    velocity = w * 0
    while True:
        g = yield
        velocity *= 0.9
        velocity += g
        w -= velocity * _RATE


def _adamw(w: Any) -> Generator[None, Any, None]:
    mean, square, step = w * 0, w * 0, 0
    while True:
        g = yield
        step += 1
        w *= 1 - _RATE * 0.01
        mean *= 0.9
        mean += g * 0.1
        square *= 0.999
        square += g * g * 0.001
        root = (square / (1 - 0.999**step)) ** 0.5 + 1e-8
        w -= mean / root * (_RATE / (1 - 0.9**step))


_OPTIMISERS = {"sgd": _sgd, "adamw": _adamw}


@program("training", level=2, over=_OPTIMISERS)
def perceptron(device: str, update: Update) -> None:
    """A perceptron's losses are those of double precision, and the same bits the second time."""
    exact = _exact_losses(update)
    assert exact[-1] < 0.7 * exact[0], "the task can't be learnt"
    found = _losses(device, update)
    assert np.allclose(found, exact, rtol=2e-4, atol=1e-5), f"{found}\nexpected {exact}"
    assert _losses(device, update) == found, "the second run differs"


# -- with layers --------------------------------------------------------------------------------


def _layers() -> Any:
    if find_spec("rushlight.nn") is None:
        raise Skip("layers are not installed: pip install rushlight-nn")
    return importlib.import_module("rushlight.nn")


def _convolutional(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, bias=False), nn.GELU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip


def _attention(nn: Any) -> Any:
    class Small(nn.Module):  # type: ignore[misc]
        """One block of a transformer over the rows of an image, and a classifier."""

        def __init__(self) -> None:
            super().__init__()
            self.norm, self.mix = nn.LayerNorm(8), nn.Linear(8, 24)
            self.out, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x: Any) -> Any:
            x = x.flatten(1, 2)
            q, k, v = (p.unflatten(-1, (2, 4)).transpose(1, 2)
                       for p in self.mix(self.norm(x)).chunk(3, -1))  # fmt: skip
            seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(seen.transpose(1, 2).flatten(2))
            return self.head(x.mean(1))

    return Small()


def _trained(
    device: str, make: Callable[[Any], Any], nn: Any, dtype: Any, name: str
) -> list[float]:
    random = np.random.default_rng(1)
    images = random.standard_normal((12, 1, 8, 8))
    model = make(nn)
    with rl.no_grad():
        for parameter in model.parameters():
            drawn = random.standard_normal(tuple(parameter.shape)) * 0.3
            parameter.copy_(from_host(drawn.astype(np.float32), normalized("cpu")))
    model = model.to(device, dtype)
    x = from_host(images.astype(dtype.numpy), normalized(device))
    target = from_host(np.arange(12) % 3, normalized(device))
    optim = importlib.import_module("rushlight.optim")
    makers = {
        "sgd": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3),
        "adamw": lambda p: optim.AdamW(p, lr=0.02),
    }
    optimizer = makers[name](model.parameters())
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
        losses.append(float(to_host(loss.detach())))
    return losses


_NETWORKS = {
    f"{network}-{optimiser}": (make, optimiser)
    for network, make in (("convolutional", _convolutional), ("attention", _attention))
    for optimiser in _OPTIMISERS
}


@program("training", step=1, level=2, over=_NETWORKS)
def network(device: str, which: tuple[Callable[[Any], Any], str]) -> None:
    """A network's losses are those of the host in double precision, and the same bits again."""
    nn = _layers()
    try:
        backend_of("cpu")
    except RuntimeError as raised:
        raise Skip("there is no host to compare with: pip install rushlight-cpu") from raised
    make, optimiser = which
    exact = _trained("cpu", make, nn, rl.float64, optimiser)
    found = _trained(device, make, nn, rl.float32, optimiser)
    assert exact[-1] < exact[0], "the task can't be learnt"
    assert np.allclose(found, exact, rtol=2e-3, atol=1e-4), f"{found}\nexpected {exact}"
    assert _trained(device, make, nn, rl.float32, optimiser) == found, "the second run differs"
