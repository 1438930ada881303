"""Softmax, log-softmax and log-sum-exp: exponentials kept in cache between their two passes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import BLOCK, Array, Kernel, prod, reduced_precision, row_dots
from rushlight_cpu.kernels._memory import empty

# Fills the second argument from the first; the third is scratch of the same shape.
Rows = Callable[[tuple[Array, ...], Array, Array], None]


def _along(dim: int, arrays: tuple[Array, ...], rows: Rows, columns: Rows) -> Array:
    """Calls `rows` on (rows, n) blocks where `dim` is last, else `columns` on (n, columns)."""
    x = arrays[0]
    out: Array = empty(x.shape, x.dtype)
    if out.size == 0:
        return out
    dim = dim if x.ndim else 0
    shape = x.shape or (1,)
    outer, n, inner = prod(shape[:dim]), shape[dim], prod(shape[dim + 1 :])
    cubes = tuple(a.reshape(outer, n, inner) for a in arrays)
    into = out.reshape(outer, n, inner)

    def part(start: int, stop: int) -> None:
        if inner == 1:
            step = min(stop - start, max(1, BLOCK // n))
            room = empty((step, n), out.dtype)
            for at in range(start, stop, step):
                some = slice(at, min(at + step, stop))
                block = tuple(cube[some, :, 0] for cube in cubes)
                rows(block, into[some, :, 0], room[: len(block[0])])
            return
        step = min(inner, max(64, BLOCK // n))
        room = empty((n, step), out.dtype)
        for at in range(start, stop):
            for first in range(0, inner, step):
                some = slice(first, first + step)
                block = tuple(cube[at, :, some] for cube in cubes)
                columns(block, into[at, :, some], room[:, : block[0].shape[1]])

    _parallel.split(outer, 5.0 * x.size, part)
    return out


def row_sums(x: Array) -> Array:
    """Sums of the rows of a matrix; BLAS does it four times faster than a reduction."""
    total: Array = x @ np.ones(x.shape[1], x.dtype)
    return total


def _softmax_rows(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    (x,) = blocks
    np.subtract(x, x.max(axis=1, keepdims=True), out=out)
    np.exp(out, out=out)
    out /= row_sums(out)[:, None]


def _softmax_columns(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    (x,) = blocks
    np.subtract(x, x.max(axis=0), out=out)
    np.exp(out, out=out)
    out /= out.sum(axis=0)


def _log_softmax_rows(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    (x,) = blocks
    np.subtract(x, x.max(axis=1, keepdims=True), out=out)
    out -= np.log(row_sums(np.exp(out, out=room)))[:, None]


def _log_softmax_columns(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    (x,) = blocks
    np.subtract(x, x.max(axis=0), out=out)
    out -= np.log(np.exp(out, out=room).sum(axis=0))


def _softmax_backward_rows(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    g, y = blocks
    np.subtract(g, row_dots(g, y)[:, None], out=out)
    out *= y


def _softmax_backward_columns(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    g, y = blocks
    np.multiply(g, y, out=out)
    total = out.sum(axis=0)
    np.subtract(g, total, out=out)
    out *= y


def _log_softmax_backward_rows(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    g, y = blocks
    np.exp(y, out=out)
    out *= row_sums(g)[:, None]
    np.subtract(g, out, out=out)


def _log_softmax_backward_columns(blocks: tuple[Array, ...], out: Array, room: Array) -> None:
    g, y = blocks
    np.exp(y, out=out)
    out *= g.sum(axis=0)
    np.subtract(g, out, out=out)


@reduced_precision()
def softmax(x: Array, *, dim: int) -> Array:
    """exp(x) over its sum along `dim`; a row of -inf gives NaN."""
    return _along(dim, (x,), _softmax_rows, _softmax_columns)


@reduced_precision()
def log_softmax(x: Array, *, dim: int) -> Array:
    """Logarithm of the softmax along `dim`."""
    return _along(dim, (x,), _log_softmax_rows, _log_softmax_columns)


@reduced_precision()
def softmax_backward(g: Array, out: Array, *, dim: int) -> Array:
    """Gradient of `softmax` from its result."""
    return _along(dim, (g, out), _softmax_backward_rows, _softmax_backward_columns)


@reduced_precision()
def log_softmax_backward(g: Array, out: Array, *, dim: int) -> Array:
    """Gradient of `log_softmax` from its result."""
    return _along(dim, (g, out), _log_softmax_backward_rows, _log_softmax_backward_columns)


@reduced_precision()
def logsumexp(x: Array, *, dim: tuple[int, ...], keepdim: bool) -> Array:
    """Logarithm of the sum of exp(x) over the dimensions `dim`; -inf where there is nothing."""
    if not x.ndim:
        return np.array(x)
    if x.dtype.kind == "c":
        top = x.real.max(axis=dim, keepdims=True, initial=-np.inf)
    else:
        top = x.max(axis=dim, keepdims=True, initial=-np.inf)
    # An infinite maximum would turn into inf - inf; unshifted it stays what it is.
    top = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    total = x - top
    np.exp(total, out=total)
    out: Array = np.log(total.sum(axis=dim, keepdims=True)) + top
    return out if keepdim else out.squeeze(axis=dim)


KERNELS: dict[str, Kernel] = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "softmax_backward": softmax_backward,
    "log_softmax_backward": log_softmax_backward,
    "logsumexp": logsumexp,
}
