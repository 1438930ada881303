"""Pooling to a wanted output size: window i covers floor(i n / out) to ceil((i + 1) n / out)."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import Array, Kernel, ending, prod, reduced_precision
from rushlight_cpu.kernels._memory import empty, zeros
from rushlight_cpu.kernels.pooling import Sizes, avg_pool, avg_pool_backward, max_pool


def _windows(size: int, out: int) -> list[slice]:
    return [slice(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


def _even(size: Sizes, out: Sizes) -> Sizes | None:
    """The window size if all windows are equal and do not overlap."""
    if any(o == 0 or n == 0 or n % o for n, o in zip(size, out, strict=True)):
        return None
    return tuple(n // o for n, o in zip(size, out, strict=True))


def _fixed(kernel: Sizes) -> dict[str, Any]:
    none = (0,) * len(kernel)
    return {"kernel_size": kernel, "stride": kernel, "padding": none, "ceil_mode": False}


_PLAIN: dict[str, Any] = {"count_include_pad": True, "divisor_override": None}


@reduced_precision()
def adaptive_avg_pool(x: Array, *, output_size: Sizes) -> Array:
    """Means of windows over `x` (N, C, *size) that give exactly `output_size` of them."""
    size = x.shape[2:]
    if x.dtype.kind == "f" and prod(output_size) == 1 and x.size:
        # A matrix-vector product sums many short rows faster than a reduction does.
        flat = x.reshape(-1, prod(size))
        with _parallel.ONE_BLAS_THREAD:
            mean: Array = flat @ np.full(flat.shape[1], 1.0 / flat.shape[1], x.dtype)
        return mean.reshape(*x.shape[:2], *output_size)
    kernel = _even(size, output_size)
    if kernel is not None:
        pooled: Array = avg_pool(x, **_fixed(kernel), **_PLAIN)
        return pooled
    out = x
    for axis, (n, o) in enumerate(zip(size, output_size, strict=True), 2):
        lead: tuple[Any, ...] = (slice(None),) * axis
        stage: Array = empty((*out.shape[:axis], o, *out.shape[axis + 1 :]), x.dtype)
        for i, window in enumerate(_windows(n, o)):
            stage[(*lead, i)] = np.mean(out[(*lead, window)], axis=axis)
        out = stage
    return out


@reduced_precision()
def adaptive_avg_pool_backward(g: Array, *, input_size: Sizes) -> Array:
    """Spreads each window's gradient evenly over what it read."""
    output_size = g.shape[2:]
    if prod(output_size) == 1:
        out: Array = empty((*g.shape[:2], *input_size), g.dtype)
        out[...] = g / prod(input_size)
        return out
    kernel = _even(input_size, output_size)
    if kernel is not None:
        spread: Array = avg_pool_backward(g, input_size=input_size, **_fixed(kernel), **_PLAIN)
        return spread
    out = g
    for axis, (n, o) in reversed(list(enumerate(zip(input_size, output_size, strict=True), 2))):
        lead: tuple[Any, ...] = (slice(None),) * axis
        stage: Array = zeros((*out.shape[:axis], n, *out.shape[axis + 1 :]), g.dtype)
        for i, window in enumerate(_windows(n, o)):
            share = out[(*lead, slice(i, i + 1))] / (window.stop - window.start)
            stage[(*lead, window)] += share
        out = stage
    return out


def adaptive_max_pool(x: Array, *, output_size: Sizes) -> tuple[Array, Array]:
    """Maxima of windows over `x` (N, C, *size) and their flat positions in the input plane."""
    size = x.shape[2:]
    kernel = _even(size, output_size)
    if kernel is not None:
        return max_pool(x, dilation=(1,) * len(size), **_fixed(kernel))
    values: Array = empty((*x.shape[:2], *output_size), x.dtype)
    indices: Array = empty(values.shape, np.int64)
    windows = [_windows(n, o) for n, o in zip(size, output_size, strict=True)]
    for cell in itertools.product(*map(range, output_size)):
        box: tuple[Any, ...] = tuple(along[i] for along, i in zip(windows, cell, strict=True))
        inside = x[ending(box)]
        flat = inside.reshape(*x.shape[:2], prod(inside.shape[2:]))
        at = _argmax(flat)
        values[ending(cell)] = np.take_along_axis(flat, at[..., None], 2)[..., 0]
        place = np.unravel_index(at, inside.shape[2:])
        where: Any = 0
        for along, position, n in zip(box, place, size, strict=True):
            where = where * n + position + along.start
        indices[ending(cell)] = where
    return values, indices


def _argmax(flat: Array) -> Array:
    """First maximum of each row, or the last NaN, which is the one torch names."""
    at: Array = flat.argmax(axis=2)
    if flat.dtype.kind not in "iu":
        lost = np.isnan(flat)
        last = flat.shape[2] - 1 - lost[:, :, ::-1].argmax(axis=2)
        at = np.where(lost.any(axis=2), last, at)
    return at


KERNELS: dict[str, Kernel] = {
    "adaptive_avg_pool": adaptive_avg_pool,
    "adaptive_avg_pool_backward": adaptive_avg_pool_backward,
    "adaptive_max_pool": adaptive_max_pool,
}
