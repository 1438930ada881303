"""Samples of the optimisers' steps."""

from typing import Any

import numpy as np

from ._inputs import real, within
from ._table import FULL, case, samples

_OPTIONS = {"lr": 0.1, "weight_decay": 0.0, "maximize": False}
_SQUARE = within(0.5, 2.0)


def _rows(tensors: tuple[Any, ...], count: int) -> Any:
    columns = [tensors[start : start + count] for start in range(0, len(tensors), count)]
    return zip(*columns, strict=True)


def _by_column(rows: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(x for column in zip(*rows, strict=True) for x in column)


def _sgd(
    *tensors: Any, count: int, lr: float, momentum: float, dampening: float, weight_decay: float,
    nesterov: bool, maximize: bool, first: bool,
) -> tuple[Any, ...]:  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    for p, g, *v in _rows(tensors, count):
        g = (-g if maximize else g) + weight_decay * p
        if momentum:
            v = [g if first else momentum * v[0] + (1 - dampening) * g]
            g = g + momentum * v[0] if nesterov else v[0]
        rows.append((p - lr * g, *v))
    return _by_column(rows)


def _adam(
    *tensors: Any, count: int, steps: Any, lr: float, beta1: float, beta2: float, eps: float,
    weight_decay: float, amsgrad: bool, maximize: bool, decoupled: bool,
) -> tuple[Any, ...]:  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    for t, (p, g, m, v, *top) in zip(steps, _rows(tensors, count), strict=True):
        g = -g if maximize else g
        if decoupled:
            p = p * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * p
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        top = [np.maximum(top[0], v)] if amsgrad else []
        root = np.sqrt((top[0] if amsgrad else v) / (1 - beta2**t)) + eps
        rows.append((p - lr * m / (1 - beta1**t) / root, m, v, *top))
    return _by_column(rows)


def _rmsprop(
    *tensors: Any, count: int, lr: float, alpha: float, eps: float, weight_decay: float,
    momentum: float, centered: bool, maximize: bool,
) -> tuple[Any, ...]:  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    for p, g, v, *others in _rows(tensors, count):
        g = (-g if maximize else g) + weight_decay * p
        v = alpha * v + (1 - alpha) * g * g
        made = [v]
        if centered:
            made.append(alpha * others[0] + (1 - alpha) * g)
        step = g / (np.sqrt(v - made[1] ** 2 if centered else v) + eps)
        if momentum:
            step = momentum * others[-1] + step
            made.append(step)
        rows.append((p - lr * step, *made))
    return _by_column(rows)


def _adagrad(
    *tensors: Any, count: int, steps: Any, lr: float, lr_decay: float, eps: float,
    weight_decay: float, maximize: bool,
) -> tuple[Any, ...]:  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    for t, (p, g, total) in zip(steps, _rows(tensors, count), strict=True):
        g = (-g if maximize else g) + weight_decay * p
        total = total + g * g
        rows.append((p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(total) + eps), total))
    return _by_column(rows)


def _pairs(*makers: Any) -> list[Any]:
    """Two tensors of each column: a matrix and an empty one."""
    return [make(*shape) for make in makers for shape in ((2, 3), (0,))]


_SGD = {"count": 2, "momentum": 0.0, "dampening": 0.0, "nesterov": False, "first": False}
_ADAM = {
    "count": 2, "steps": (1.0, 3.0), "beta1": 0.8, "beta2": 0.95, "eps": 1e-6, "amsgrad": False,
    "decoupled": False,
}  # fmt: skip
_RMSPROP = {"count": 2, "alpha": 0.9, "eps": 1e-6, "momentum": 0.0, "centered": False}
_ADAGRAD = {"count": 2, "steps": (1.0, 3.0), "lr_decay": 0.1, "eps": 1e-6}
# Derivatives are those of the decomposition's operators, which have samples of their own.
_ALL: dict[str, Any] = {"dtypes": FULL, "tolerance": 64.0, "smooth": False}


def _case(own: dict[str, Any], *inputs: Any, **changes: Any) -> Any:
    return case(*inputs, **{**_OPTIONS, **own, **changes})


_PG = _pairs(real, real)

SAMPLES = [
    samples(
        "fused_sgd",
        _sgd,
        _case(_SGD, *_PG),
        _case(_SGD, *_PG, weight_decay=0.2, maximize=True),
        _case(_SGD, *_pairs(real, real, real), momentum=0.9, dampening=0.2, weight_decay=0.1),
        _case(_SGD, *_pairs(real, real, real), momentum=0.9, nesterov=True, maximize=True),
        _case(_SGD, *_pairs(real, real, real), momentum=0.9, nesterov=True, first=True),
        **_ALL,
    ),
    samples(
        "fused_adam",
        _adam,
        _case(_ADAM, *_pairs(real, real, real, _SQUARE)),
        _case(_ADAM, *_pairs(real, real, real, _SQUARE), weight_decay=0.1, maximize=True),
        _case(_ADAM, *_pairs(real, real, real, _SQUARE), weight_decay=0.1, decoupled=True),
        _case(_ADAM, *_pairs(real, real, real, _SQUARE, _SQUARE), amsgrad=True, maximize=True),
        **_ALL,
    ),
    samples(
        "fused_rmsprop",
        _rmsprop,
        _case(_RMSPROP, *_pairs(real, real, _SQUARE), weight_decay=0.1),
        _case(_RMSPROP, *_pairs(real, real, _SQUARE, real), momentum=0.9, maximize=True),
        _case(
            _RMSPROP,
            *_pairs(real, real, within(1.5, 2.0), within(-0.5, 0.5), real),
            momentum=0.5,
            centered=True,
        ),
        **_ALL,
    ),
    samples(
        "fused_adagrad",
        _adagrad,
        _case(_ADAGRAD, *_pairs(real, real, _SQUARE)),
        _case(_ADAGRAD, *_pairs(real, real, _SQUARE), weight_decay=0.1, maximize=True),
        **_ALL,
    ),
]
