"""Matrix products."""

from __future__ import annotations

import math
from typing import Any

from ._common import Array, ArrayModule, Kernels, with_reduced


def matmul_kernels(xp: ArrayModule) -> Kernels:
    """Kernels of products of matrices and vectors; 16-bit floats multiply in float32."""
    dot = xp.ndarray.dot  # for two matrices half the call cost of xp.matmul

    def matmul(x: Array, y: Array) -> Array:
        if x.ndim <= 2 and y.ndim <= 2:
            return dot(x, y)
        if y.ndim == 2 and x.flags.c_contiguous and x.size:
            # One product of a tall matrix instead of a batch of small ones.
            return dot(x.reshape(-1, x.shape[-1]), y).reshape(*x.shape[:-1], y.shape[-1])
        return xp.matmul(x, y)

    def addmm(x: Array, a: Array, b: Array, *, beta: Any = 1, alpha: Any = 1) -> Array:
        out = dot(a, b)
        if alpha != 1:
            out *= alpha
        if beta != 0:  # with beta 0, NaN and infinity in x do not count
            out += x if beta == 1 else x * beta
        return out

    def linear(x: Array, weight: Array, bias: Array | None) -> Array:
        out = matmul(x, weight.T)
        if bias is None:
            return out
        if out.ndim == 0:  # a vector times a vector is no array to add to in place
            return out + bias
        out += bias
        return out

    def linear_weight(g: Array, x: Array) -> Array:
        if g.ndim > 2:
            rows = math.prod(x.shape[:-1])
            g, x = g.reshape(rows, g.shape[-1]), x.reshape(rows, x.shape[-1])
        return dot(g.T, x.conj() if x.dtype.kind == "c" else x)

    return {
        "linear": with_reduced(linear),
        "linear_weight": with_reduced(linear_weight),
        "matmul": with_reduced(matmul),
        "mm": with_reduced(dot),
        "bmm": with_reduced(xp.matmul),
        "dot": with_reduced(dot),
        "outer": xp.multiply.outer if hasattr(xp.multiply, "outer") else xp.outer,
        "addmm": with_reduced(addmm),
    }
