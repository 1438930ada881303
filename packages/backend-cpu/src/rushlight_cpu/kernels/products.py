"""Matrix products into memory of the pool; what is not two matrices goes to the array family."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.backend.arrays import array_kernels
from rushlight_cpu.kernels import _memory, _parallel
from rushlight_cpu.kernels._common import Array, Kernel, prod

_FAMILY = array_kernels(np)
_dot = np.ndarray.dot


def _of_family(name: str) -> Kernel:
    entry: Any = _FAMILY[name]
    kernel: Kernel = entry["default"]
    return kernel


_matmul, _linear, _addmm = _of_family("matmul"), _of_family("linear"), _of_family("addmm")
_linear_weight, _bmm = _of_family("linear_weight"), _of_family("bmm")


# Multiply-adds from which BLAS would use threads of its own.
_THREADED = 2**16
# Rows or columns of a result that stay together: cuts at multiples of them do not change a number.
_ROWS = 64
# What a thread must get for a split to pay, in passes of an element (16 multiply-adds): 0.2 ms
# (128x784x256: 0.4 ms alone, 0.5 ms on two threads that had to be woken).
_ENOUGH = 1e6


def mm(x: Array, y: Array) -> Array:
    """The product of two matrices."""
    (rows, inner), columns = x.shape, y.shape[1]
    products = rows * columns * inner
    found: Array
    if products < _THREADED:
        found = _dot(x, y)
        return found
    found = _memory.empty((rows, columns), x.dtype)

    # Each part packs the other operand whole, so the longer side is cut.
    wide = columns > rows

    def part(start: int, stop: int) -> None:
        some = slice(start * _ROWS, stop * _ROWS)
        if wide:
            np.matmul(x, y[:, some], out=found[:, some])
        else:
            np.matmul(x[some], y, out=found[some])

    units = -(-(columns if wide else rows) // _ROWS)
    _parallel.split(units, products / 16, part, enough=_ENOUGH)
    return found


def matmul(x: Array, y: Array) -> Array:
    """`x @ y` with the rules of `rushlight.matmul`."""
    found: Array
    if x.ndim == y.ndim == 2:
        return mm(x, y)
    if y.ndim == 2 and x.ndim > 2 and x.size:
        # One product of a tall matrix, for which it pays to copy a transposed one: the narrower
        # of the operand and the result.
        order = _order(x) if y.shape[1] < x.shape[-1] else None
        if order is None:
            return mm(_as_rows(x), y).reshape(*x.shape[:-1], y.shape[1])
        found = _memory.empty((*x.shape[:-1], y.shape[1]), x.dtype)
        into = found.transpose(order)
        into[...] = mm(_as_rows(x.transpose(order)), y).reshape(into.shape)
        return found
    if x.ndim > 2 and y.ndim > 2:
        return bmm(x, y)
    found = _matmul(x, y)
    return found


def _order(x: Array) -> tuple[int, ...] | None:
    """How the dimensions of a transposed stack of rows lie in memory; None if it is not one."""
    if x.flags.c_contiguous:
        return None
    order = (*sorted(range(x.ndim - 1), key=lambda dim: -x.strides[dim]), x.ndim - 1)
    return order if x.transpose(order).flags.c_contiguous else None


def _as_rows(x: Array) -> Array:
    """The last dimension as rows of a matrix; a copy is made in memory of the pool."""
    shape = (prod(x.shape[:-1]), x.shape[-1])
    if not x.flags.c_contiguous and x.nbytes >= _memory.LEAST:
        whole = _memory.empty(x.shape, x.dtype)
        whole[...] = x
        x = whole
    return x.reshape(shape)


def bmm(x: Array, y: Array) -> Array:
    """Products of stacks of matrices, which broadcast."""
    products = prod(x.shape) * y.shape[-1]
    if products < _THREADED or x.shape[:-2] != y.shape[:-2]:
        found: Array = np.matmul(x, y)
        return found
    out = _memory.empty((*x.shape[:-1], y.shape[-1]), x.dtype)
    flat = [a.reshape(-1, *a.shape[-2:]) for a in (x, y, out)]

    def part(start: int, stop: int) -> None:
        a, b, into = (v[start:stop] for v in flat)
        np.matmul(a, b, out=into)

    _parallel.split(len(flat[2]), products / 16, part, enough=_ENOUGH)
    return out


def addmm(x: Array, a: Array, b: Array, *, beta: Any = 1, alpha: Any = 1) -> Array:
    """`beta * x + alpha * a @ b`."""
    if alpha != 1 or beta != 1 or a.shape[0] * b.shape[1] * a.itemsize < _memory.LEAST:
        found: Array = _addmm(x, a, b, beta=beta, alpha=alpha)
        return found
    return _add_to(mm(a, b), x)


def linear(x: Array, weight: Array, bias: Array | None) -> Array:
    """`x @ weight.T + bias`."""
    if bias is None:
        return matmul(x, weight.T)
    if x.ndim < 2 or weight.ndim != 2:
        found: Array = _linear(x, weight, bias)
        return found
    return _add_to(matmul(x, weight.T), bias)


def _add_to(out: Array, bias: Array) -> Array:
    """Adds a row, or a matrix, to the rows of a fresh result."""
    if out.nbytes < _memory.LEAST or not out.flags.c_contiguous or bias.ndim != 1:
        out += bias
        return out
    rows = out.reshape(-1, out.shape[-1])

    def part(start: int, stop: int) -> None:
        rows[start:stop] += bias

    _parallel.split(len(rows), float(out.size), part, enough=_parallel.PASSES)
    return out


def linear_weight(g: Array, x: Array) -> Array:
    """The gradient of `linear` towards its weight: products of rows, summed."""
    if x.ndim < 2:
        found: Array = _linear_weight(g, x)
        return found
    # The order of rows does not matter, so that of the wider operand is taken.
    order = _order(g if g.shape[-1] >= x.shape[-1] else x)
    if order is not None:
        g, x = g.transpose(order), x.transpose(order)
    return mm(_as_rows(g).T, _as_rows(x))


# Whole numbers, complex and 16-bit ones keep the array family's kernels.
KERNELS: dict[str, dict[str, Kernel]] = {
    kernel.__name__: {"floating": kernel}
    for kernel in (matmul, mm, bmm, addmm, linear, linear_weight)
}
