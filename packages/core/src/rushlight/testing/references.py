"""References that several tables use: NumPy and Python's math, in higher precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def each(function: Callable[..., float]) -> Callable[..., Array]:
    """A function of Python numbers as a function of arrays; outside its domain it gives NaN."""

    def safe(*numbers: Any) -> float:
        try:
            return function(*(float(x) for x in numbers))
        except ValueError:
            return math.nan
        except OverflowError:
            return math.inf

    def over(*arrays: Array) -> Array:
        shaped = np.broadcast_arrays(*arrays)
        flat = [safe(*numbers) for numbers in zip(*(a.ravel() for a in shaped), strict=True)]
        return np.array(flat, np.float64).reshape(shaped[0].shape)

    return over


def in_double(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy's that takes nothing wider than double precision."""

    def reference(*arrays: Any, **attributes: Any) -> Any:
        narrow = []
        for x in arrays:
            kind = "" if x is None else x.dtype.kind
            wanted = {"f": np.float64, "c": np.complex128}.get(kind)
            narrow.append(x if wanted is None else x.astype(wanted))
        return function(*narrow, **attributes)

    return reference


def truncated_quotient(x: Array, y: Array) -> Array:
    """Quotients rounded towards zero."""
    if x.dtype.kind in "iu":
        return np.asarray(np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y)))
    return np.asarray(np.trunc(x / y))


def along(reduce: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's reduction by our attribute names."""

    def reference(x: Array, *, dim: Any, keepdim: bool = False) -> Any:
        return reduce(x, axis=dim, keepdims=keepdim)

    return reference


def logsumexp(x: Array, dim: Any, keepdim: bool = False) -> Array:
    """Logarithm of the sum of exponentials, by the definition around the maximum."""
    if x.size == 0:
        return np.asarray(np.log(np.sum(np.exp(x), axis=dim, keepdims=keepdim)))
    peak = np.max(np.real(x), axis=dim, keepdims=True)
    peak = np.where(np.isfinite(peak), peak, 0)
    total = np.log(np.sum(np.exp(x - peak), axis=dim, keepdims=True)) + peak
    return np.asarray(total if keepdim else np.squeeze(total, axis=dim))


def softmax(x: Array, dim: int) -> Array:
    """Exponentials over their sum."""
    e = np.exp(x - (np.max(x, axis=dim, keepdims=True) if x.size else 0))
    return np.asarray(e / np.sum(e, axis=dim, keepdims=True))


def log_softmax(x: Array, dim: int) -> Array:
    """Logarithm of `softmax`."""
    shifted = x - (np.max(x, axis=dim, keepdims=True) if x.size else 0)
    return np.asarray(shifted - np.log(np.sum(np.exp(shifted), axis=dim, keepdims=True)))
