"""Layer and RMS norm over rows, in blocks that fit the cache.

A pass that multiplies each row by a number of its own begins anew in every row, which for some
hundred columns takes as long as the work. So such factors are spread over a block by BLAS, as the
product of a column and a row, and all passes are over whole blocks. Sums of rows and columns,
weighted ones too, are products of a matrix and a vector. Gradients of weights are summed per block
and then over blocks in order, so they do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import BLOCK, Array, Kernel, prod, reduced_precision
from rushlight_cpu.kernels._memory import empty, rooms
from rushlight_cpu.kernels._rows import inverse_deviations

Needs = tuple[bool, bool, bool]
Gradients = tuple[Array | None, Array | None, Array | None]

# Up to so many columns, spreading a factor and a pass over the block take less than a pass with a
# factor for each row (384 columns: 20 instead of 28 us for 100 k elements).
_NARROW = 640
# What a thread must get for a split to pay, in elements passed: between these short passes threads
# wait for the interpreter's lock (400 k elements: 0.5 ms alone, 0.7 ms on two threads).
_ENOUGH = 5e6


def _leading(x: Array, normalized_ndim: int) -> tuple[tuple[int, ...], int, int]:
    lead = x.shape[: x.ndim - normalized_ndim]
    return (*lead, *(1,) * normalized_ndim), prod(lead), prod(x.shape[len(lead) :])


class _Rows:
    """How rows are cut into blocks of about the same size, whatever the number of threads."""

    def __init__(self, rows: int, n: int) -> None:
        count = -(-rows * n // BLOCK)
        self.rows, self.n = rows, n
        self.step = max(1, -(-rows // (count + count % 2 if count > 1 else 1)))

    def walk(
        self, passes: float, task: Callable[[slice, list[Array]], Any], dtype: Any
    ) -> list[Any]:
        """Calls `task(rows, scratch)` on every block, side by side; two arrays are scratch."""

        def part(start: int, stop: int) -> list[Any]:
            scratch = rooms(dtype, *((min(self.step, self.rows), self.n),) * 2)
            found = []
            for at in range(start, stop):
                some = slice(at * self.step, min((at + 1) * self.step, self.rows))
                found.append(task(some, [room[: some.stop - some.start] for room in scratch]))
            return found

        parts = _parallel.split(
            -(-self.rows // self.step), passes * self.rows * self.n, part, enough=_ENOUGH
        )
        return [each for found in parts for each in found]


def _spread(column: Array, row: Array | None, room: Array) -> Array:
    """What broadcasts to the products of all pairs, a row of ones where there is none."""
    n = room.shape[1]
    if n > _NARROW:
        return column[:, None] if row is None else np.multiply(column[:, None], row, out=room)
    # BLAS is as fast as memory for two columns, and slow for one.
    left, right = np.zeros((len(column), 2), room.dtype), np.zeros((2, n), room.dtype)
    left[:, 0], right[0] = column, 1 if row is None else row
    return np.matmul(left, right, out=room)


def _totals(parts: list[Any], place: int, tail: tuple[int, ...]) -> Array:
    """Sum of what the blocks found, in their order."""
    total: Array = np.add.reduce([part[place] for part in parts], axis=0)
    return total.reshape(tail)


def _nothing(needs: tuple[bool, ...], tail: tuple[int, ...], dtype: Any) -> list[Array | None]:
    return [np.zeros(tail, dtype) if needed else None for needed in needs]


@reduced_precision(keep=(1, 2))
def native_layer_norm(
    x: Array, weight: Array | None, bias: Array | None, *, normalized_ndim: int, eps: float
) -> tuple[Array, Array, Array]:
    """Normalises the last dimensions; returns the result, the means and 1 / deviations."""
    shape, rows, n = _leading(x, normalized_ndim)
    out: Array = empty(x.shape, x.dtype)
    mean, rstd = np.zeros(rows, x.dtype), np.full(rows, np.nan, x.dtype)
    flat, into, ones = x.reshape(rows, n), out.reshape(rows, n), np.ones(n, x.dtype)
    scale = None if weight is None else weight.reshape(n)
    shift = None if bias is None else bias.reshape(n)

    def block(some: slice, scratch: list[Array]) -> None:
        made, room = into[some], scratch[0]
        np.divide(flat[some] @ ones, n, out=mean[some])
        np.subtract(flat[some], _spread(mean[some], None, room), out=made)
        inverse_deviations(made, eps, rstd[some])
        made *= _spread(rstd[some], scale, room)
        if shift is not None:
            every = np.ones(len(made), x.dtype)
            made += shift if n > _NARROW else _spread(every, shift, room)

    if x.size:
        _Rows(rows, n).walk(5.0, block, x.dtype)
    return out, mean.reshape(shape), rstd.reshape(shape)


@reduced_precision()
def layer_norm_backward(
    g: Array,
    x: Array,
    mean: Array,
    rstd: Array,
    weight: Array | None,
    *,
    normalized_ndim: int,
    needs: Needs,
) -> Gradients:
    """Gradients of `native_layer_norm` towards x, weight and bias, where `needs` says so."""
    _, rows, n = _leading(x, normalized_ndim)
    tail = x.shape[x.ndim - normalized_ndim :]
    dx: Array | None = empty(x.shape, x.dtype) if needs[0] else None
    if x.size == 0:
        return dx, *_nothing(needs[1:], tail, x.dtype)  # type: ignore[return-value]
    flat, grads, ones = x.reshape(rows, n), g.reshape(rows, n), np.ones(n, x.dtype)
    into = None if dx is None else dx.reshape(rows, n)
    means, scales = mean.reshape(rows), rstd.reshape(rows)
    scale = None if weight is None else weight.reshape(n)
    weights = ones if scale is None else scale

    def block(some: slice, scratch: list[Array]) -> tuple[Array | None, Array | None]:
        centred, room = scratch
        gs, slope = grads[some], scales[some]
        db = np.ones(len(gs), x.dtype) @ gs if needs[2] else None
        if not (needs[0] or needs[1]):
            return None, db
        np.subtract(flat[some], _spread(means[some], None, room), out=centred)
        products = np.multiply(gs, centred, out=room)
        dw = slope @ products if needs[1] else None
        if into is not None:
            # rstd * (gw - mean(gw) - hat * mean(gw * hat)) for gw = g * weight.
            curve, level = slope * (products @ weights) / n, slope * (gs @ weights) / n
            made = np.multiply(gs, _spread(slope, scale, into[some]), out=into[some])
            centred *= _spread(curve * slope * slope, None, room)
            made -= centred
            made -= _spread(level, None, room)
        return dw, db

    parts = _Rows(rows, n).walk(8.0, block, x.dtype)
    return (
        dx,
        _totals(parts, 0, tail) if needs[1] else None,
        _totals(parts, 1, tail) if needs[2] else None,
    )


@reduced_precision(keep=(1,))
def native_rms_norm(
    x: Array, weight: Array | None, *, normalized_ndim: int, eps: float
) -> tuple[Array, Array]:
    """Divides the last dimensions by their root mean square; returns 1 / it as well."""
    shape, rows, n = _leading(x, normalized_ndim)
    out: Array = empty(x.shape, x.dtype)
    rrms = np.full(rows, np.nan, x.dtype)
    flat, into = x.reshape(rows, n), out.reshape(rows, n)
    scale = None if weight is None else weight.reshape(n)

    def block(some: slice, scratch: list[Array]) -> None:
        inverse_deviations(flat[some], eps, rrms[some])
        np.multiply(flat[some], _spread(rrms[some], scale, scratch[0]), out=into[some])

    if x.size:
        _Rows(rows, n).walk(3.0, block, x.dtype)
    return out, rrms.reshape(shape)


@reduced_precision()
def rms_norm_backward(
    g: Array,
    x: Array,
    rrms: Array,
    weight: Array | None,
    *,
    normalized_ndim: int,
    needs: tuple[bool, bool],
) -> tuple[Array | None, Array | None]:
    """Gradients of `native_rms_norm` towards x and weight, where `needs` says so."""
    _, rows, n = _leading(x, normalized_ndim)
    tail = x.shape[x.ndim - normalized_ndim :]
    dx: Array | None = empty(x.shape, x.dtype) if needs[0] else None
    if x.size == 0:
        return dx, *_nothing(needs[1:], tail, x.dtype)  # type: ignore[return-value]
    flat, grads, scales = x.reshape(rows, n), g.reshape(rows, n), rrms.reshape(rows)
    into = None if dx is None else dx.reshape(rows, n)
    scale = None if weight is None else weight.reshape(n)
    weights = np.ones(n, x.dtype) if scale is None else scale

    def block(some: slice, scratch: list[Array]) -> tuple[Array | None]:
        products, room = scratch
        gs, slope = grads[some], scales[some]
        np.multiply(gs, flat[some], out=products)
        dw = slope @ products if needs[1] else None
        if into is not None:
            # rrms * (gw - hat * mean(gw * hat)) for gw = g * weight.
            curve = slope * (products @ weights) / n
            made = np.multiply(gs, _spread(slope, scale, into[some]), out=into[some])
            bent = _spread(curve * slope * slope, None, room)
            made -= np.multiply(flat[some], bent, out=room)
        return (dw,)

    parts = _Rows(rows, n).walk(6.0, block, x.dtype)
    return dx, _totals(parts, 0, tail) if needs[1] else None


KERNELS: dict[str, Kernel] = {
    "native_layer_norm": native_layer_norm,
    "layer_norm_backward": layer_norm_backward,
    "native_rms_norm": native_rms_norm,
    "rms_norm_backward": rms_norm_backward,
}
