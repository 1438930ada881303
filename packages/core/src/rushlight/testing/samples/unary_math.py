"""Samples of functions of one element."""

from typing import Any

import numpy as np

from ..._dtypes import int32
from ._inputs import chance, positive, real, special, unit, values, within
from ._table import (
    BOOL,
    COMPLEX,
    FLOATING,
    INEXACT,
    NUMERIC,
    REAL,
    SOME_INTEGER,
    binary,
    case,
    samples,
    unary,
)

_FLOATS: dict[str, Any] = {"dtypes": (*INEXACT, *SOME_INTEGER, *BOOL), "result": "float"}
_REAL_FLOATS: dict[str, Any] = {"dtypes": (*FLOATING, *SOME_INTEGER), "result": "float"}


def _float(function: Any) -> Any:
    """A function that NumPy would compute in float16 for small integers."""
    return lambda x: function(x.astype(np.float64) if x.dtype.kind in "biu" else x)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _nan_to_num(x: Any, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Any:
    return np.nan_to_num(x, nan=nan or 0.0, posinf=posinf, neginf=neginf)


def _angle(x: Any) -> Any:
    if x.dtype.kind == "c":
        return np.angle(x)
    # Not np.angle: that of -0.0 is 0, as in torch.
    return np.where(np.isnan(x), x, np.where(x < 0, np.pi, 0))


def _sgn(x: Any) -> Any:
    if x.dtype.kind != "c":
        return np.where(np.isnan(x), 0, np.sign(x)) if x.dtype.kind == "f" else np.sign(x)
    return x / np.abs(x)


def _near_zero(name: str, reference: Any, *domain: Any, **options: Any) -> Any:
    """Samples of a function that exists because its formula cancels near 0."""
    options = options or _REAL_FLOATS
    plain = unary(name, reference, *domain, **options)
    tiny = case(values(1e-4, -3e-5, 2e-3, -1e-6), dtypes=FLOATING[:2], smooth=False)
    return samples(name, reference, *plain.cases, tiny, **options)


SAMPLES = [
    unary("neg", np.negative, dtypes=NUMERIC, signed_zeros=True),
    unary("exp", np.exp, **_FLOATS),
    unary("exp2", np.exp2, **_REAL_FLOATS),
    _near_zero("expm1", np.expm1),
    unary("log", np.log, positive, **_FLOATS),
    unary("log2", np.log2, positive, **_FLOATS),
    unary("log10", np.log10, positive, **_FLOATS),
    _near_zero("log1p", np.log1p, positive, **_FLOATS),
    unary("sin", np.sin, **_FLOATS),
    unary("cos", np.cos, **_FLOATS),
    unary("tan", np.tan, unit, tolerance=8.0, **_FLOATS),
    unary("asin", np.arcsin, unit, **_FLOATS),
    unary("acos", np.arccos, unit, **_FLOATS),
    unary("atan", np.arctan, unit, **_FLOATS),
    unary("sinh", np.sinh, **_FLOATS),
    unary("cosh", np.cosh, **_FLOATS),
    unary("tanh", np.tanh, **_FLOATS),
    unary("asinh", np.arcsinh, **_FLOATS),
    unary("acosh", np.arccosh, within(1.2, 3.0), **_FLOATS),
    unary("atanh", np.arctanh, unit, **_FLOATS),
    unary("sqrt", np.sqrt, positive, **_FLOATS),
    unary("rsqrt", lambda x: 1 / np.sqrt(x), positive, extremes=False, **_FLOATS),
    unary("reciprocal", lambda x: 1 / x, positive, **_FLOATS),
    unary("sigmoid", _sigmoid, **_FLOATS),
    unary("floor", np.floor, dtypes=REAL, signed_zeros=True),
    unary("ceil", np.ceil, dtypes=REAL, signed_zeros=True),
    unary("trunc", np.trunc, dtypes=REAL, signed_zeros=True),
    unary("frac", lambda x: x - np.trunc(x), extremes=False),
    unary("square", np.square, dtypes=NUMERIC),
    unary("sign", _sgn, dtypes=(*REAL,)),
    unary("sgn", _sgn, dtypes=NUMERIC),
    unary("abs", np.abs, dtypes=NUMERIC, result="real", signed_zeros=True),
    unary("angle", _angle, dtypes=INEXACT, result="real"),
    unary("conj", np.conj, dtypes=NUMERIC),
    samples(
        "round",
        lambda x, decimals=0: np.round(x, decimals),
        real(2, 3),
        case(values(0.5, 1.5, 2.5, -0.5), smooth=False),
        case(real(2, 3), decimals=2, dtypes=FLOATING[:2]),
        case(special(), dtypes=FLOATING, smooth=False),
        dtypes=REAL,
    ),
    samples(
        "nan_to_num",
        _nan_to_num,
        real(2, 3),
        case(special(), nan=7.0, posinf=8.0, neginf=9.0, dtypes=FLOATING, smooth=False),
        dtypes=REAL,
    ),
    samples("frexp", np.frexp, real(2, 3), real(0), dtypes=FLOATING[:3], result=("same", int32)),
    unary(
        "logit",
        lambda x: np.log(x / (1 - x)),
        chance,
        extremes=False,
        many=within(0.05, 0.4),
        tolerance=32.0,
    ),
    binary("sigmoid_backward", lambda x, y: x * y * (1 - y), dtypes=(*FLOATING, *COMPLEX)),
    binary("tanh_backward", lambda x, y: x * (1 - y * y), many=unit, dtypes=(*FLOATING, *COMPLEX)),
]
