"""Samples of activation functions."""

import math
from typing import Any

import numpy as np

from ..references import each
from ._inputs import positive, real, special, values, within
from ._table import COMPLEX, FLOATING, REAL, binary, case, samples, unary

_wide = within(-4.0, 4.0)
_erf = each(math.erf)
_NAN = float("nan")


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _gelu(x: Any, approximate: Any) -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x * 0.5 * (1 + _erf(x / math.sqrt(2)))


def _gelu_backward(g: Any, x: Any, approximate: Any) -> Any:
    if approximate == "tanh":
        inner = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
        slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
        return g * (0.5 * (1 + inner) + 0.5 * x * (1 - inner**2) * slope)
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return g * (0.5 * (1 + _erf(x / math.sqrt(2))) + x * density)


def _silu_backward(g: Any, y: Any) -> Any:
    s = _sigmoid(y)
    return g * s * (1 + y * (1 - s))


def _elu(x: Any, alpha: Any, scale: Any, input_scale: Any) -> Any:
    return np.where(x > 0, scale * x, scale * alpha * np.expm1(input_scale * x))


def _softplus(x: Any, beta: Any, threshold: Any) -> Any:
    return np.where(x * beta > threshold, x, np.logaddexp(0, x * beta) / beta)


def _with_nan(**attributes: Any) -> Any:
    return case(values(_NAN, 1.0, -1.0), dtypes=FLOATING, smooth=False, **attributes)


_ALL: dict[str, Any] = {"dtypes": FLOATING, "tolerance": 16.0}

SAMPLES = [
    unary("relu", lambda x: np.where(np.isnan(x), x, np.maximum(x, 0)), dtypes=REAL),
    binary("relu_backward", lambda g, y: np.where(y > 0, g, 0), extremes=False),
    samples(
        "leaky_relu",
        lambda x, negative_slope: np.where(x > 0, x, x * negative_slope),
        case(real(2, 3), negative_slope=0.1),
        case(real(0), negative_slope=0.1),
        case(special(), negative_slope=0.25, smooth=False),
        **_ALL,
    ),
    binary("prelu_kernel", lambda x, y: np.where(x > 0, x, x * y), y=positive, extremes=False),
    samples(
        "threshold",
        lambda x, threshold, value: np.where(x <= threshold, value, x),
        case(real(2, 3), threshold=0.05, value=-7),
        case(real(0, 3), threshold=0.05, value=-7),
        _with_nan(threshold=0.0, value=3.0),
        dtypes=REAL,
    ),
    samples(
        "elu",
        _elu,
        case(real(2, 3), alpha=1.5, scale=2.0, input_scale=0.5),
        case(_wide(4), alpha=1.0, scale=1.0, input_scale=1.0),
        _with_nan(alpha=1.0, scale=1.0, input_scale=1.0),
        **_ALL,
    ),
    unary("silu", lambda x: x * _sigmoid(x), dtypes=(*FLOATING, *COMPLEX), extremes=False),
    binary("silu_backward", _silu_backward, extremes=False, many=positive, tolerance=16.0),
    unary("mish", lambda x: x * np.tanh(np.logaddexp(0, x)), extremes=False, tolerance=16.0),
    unary("logsigmoid", lambda x: -np.logaddexp(0, -x), _wide, tolerance=16.0),
    samples(
        "softplus",
        _softplus,
        case(_wide(2, 3), beta=1.0, threshold=20.0),
        case(_wide(4), beta=2.0, threshold=1.0, smooth=False),
        _with_nan(beta=1.0, threshold=20.0),
        **_ALL,
    ),
    samples(
        "gelu",
        _gelu,
        case(real(2, 3), approximate="none"),
        case(real(4), approximate="tanh"),
        case(real(0, 3), approximate="none"),
        _with_nan(approximate="none"),
        **_ALL,
    ),
    samples(
        "gelu_backward",
        _gelu_backward,
        case(real(2, 3), real(2, 3), approximate="none"),
        case(real(4), real(4), approximate="tanh"),
        dtypes=FLOATING,
        tolerance=64.0,
    ),
    samples(
        "hardtanh",
        lambda x, low, high: np.minimum(np.maximum(x, low), high),
        case(_wide(2, 4), low=-1.0, high=1.0),
        case(_wide(0), low=-1.0, high=1.0),
        _with_nan(low=-1.0, high=1.0),
        dtypes=FLOATING,
    ),
    unary("hardsigmoid", lambda x: np.clip(x + 3, 0, 6) / 6, _wide, tolerance=16.0),
    unary(
        "hardswish", lambda x: x * np.clip(x + 3, 0, 6) / 6, _wide, extremes=False, tolerance=16.0
    ),
    samples(
        "hardshrink",
        lambda x, lambd: np.where((x >= -lambd) & (x <= lambd), 0, x),
        case(real(2, 4), lambd=0.75),
        case(real(0), lambd=0.75),
        _with_nan(lambd=0.5),
        dtypes=FLOATING,
    ),
    samples(
        "softshrink",
        lambda x, lambd: np.where(
            np.isnan(x), x, np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, 0))
        ),
        case(real(2, 4), lambd=0.75),
        case(real(0), lambd=0.75),
        _with_nan(lambd=0.5),
        **_ALL,
    ),
]
