"""Reduced precision: computed in float32, rounded once at the end."""

from __future__ import annotations

from .._dtypes import DType, float32
from .._tensor.tensor import Tensor


def wide_dtype(dtype: DType) -> DType:
    """The dtype that values of a dtype are computed in."""
    return float32 if dtype.is_reduced else dtype


def widened(x: Tensor) -> Tensor:
    """A tensor in the dtype that it is computed in."""
    return x.to(float32) if x.dtype.is_reduced else x


def rounded(x: Tensor, dtype: DType) -> Tensor:
    """A result in the dtype that it is returned in."""
    return x if x.dtype is dtype else x.to(dtype)
