"""Samples of softmax and its logarithm."""

from typing import Any

import numpy as np

from ..references import log_softmax, softmax
from ._inputs import chance, near, real, values, with_inf, with_nan
from ._table import FLOATING, case, samples

_CASES = (
    case(real(3, 4), dim=0),
    case(real(2, 3), dim=1),
    case(real(2, 2, 3), dim=1),
    case(real(), dim=0),
    case(real(2, 0, 3), dim=2),
    case(real(2, 0), dim=1),
    case(near(1e4, 5), dim=0, smooth=False),
    case(real(2, 131), dim=1, smooth=False),
    case(values(0.0, -200.0, 10.0), dim=0, smooth=False),
    case(values([[float("-inf")] * 3, [float("-inf"), 0.0, 1.0]]), dim=1, smooth=False),
    case(with_inf(4), dim=0, smooth=False),
    case(with_nan(2, 3), dim=1, smooth=False),
)
_BACKWARD = (
    case(real(2, 3), chance(2, 3), dim=1),
    case(real(2, 2, 3), chance(2, 2, 3), dim=1),
    case(real(0, 2), chance(0, 2), dim=1),
)


def _soft(x: Any, dim: Any) -> Any:
    return softmax(x, dim) if x.ndim else np.ones(())


def _log_soft(x: Any, dim: Any) -> Any:
    return log_softmax(x, dim) if x.ndim else np.zeros(())


SAMPLES = [
    samples("softmax", _soft, *_CASES, dtypes=FLOATING),
    samples("log_softmax", _log_soft, *_CASES, dtypes=FLOATING),
    samples(
        "softmax_backward",
        lambda g, out, dim: out * (g - np.sum(g * out, axis=dim, keepdims=True)),
        *_BACKWARD,
        tolerance=8.0,
    ),
    samples(
        "log_softmax_backward",
        lambda g, out, dim: g - np.exp(out) * np.sum(g, axis=dim, keepdims=True),
        *_BACKWARD,
        tolerance=8.0,
    ),
]
