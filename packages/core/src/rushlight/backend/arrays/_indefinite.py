"""Factorization of symmetric and Hermitian indefinite matrices, P L D L^T P^T, and its solver.

D is made of blocks of one and two rows; the rows and columns are exchanged by diagonal pivoting.
The layout is LAPACK's (`sytrf`, lower): a pivot p > 0 belongs to a block of one row exchanged with
row p, two equal pivots -p to a block of two rows, the second of them exchanged with row p.

References:
    Bunch and Kaufman (1977), Some stable methods for calculating inertia and solving symmetric
    linear systems. Mathematics of Computation 31(137).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._common import Array, ArrayModule

_ALPHA = (1 + 17**0.5) / 8


class Indefinite:
    """The two kernels for one array module."""

    def __init__(self, xp: ArrayModule) -> None:
        self.xp = xp

    def factor(self, x: Array, *, hermitian: bool = False) -> tuple[Array, Array, Array]:
        """(LD, pivots, info) of the lower triangles of a batch of matrices."""
        xp = self.xp
        n = x.shape[-1]
        count = math.prod(x.shape[:-2])
        out = xp.tril(x).reshape(count, n, n)
        pivots = xp.zeros((len(out), n), np.int32)
        info = xp.zeros(len(out), np.int32)
        for matrix, places, item in zip(out, pivots, range(len(out)), strict=True):
            info[item] = self._factor_one(matrix, places, hermitian and x.dtype.kind == "c")
        batch = x.shape[:-2]
        return out.reshape(x.shape), pivots.reshape(*batch, n), info.reshape(batch)

    def _factor_one(self, a: Array, places: Array, hermitian: bool) -> int:
        n, k, info = len(a), 0, 0
        while k < n:
            if hermitian:
                a[k, k] = a[k, k].real
            pivot, step = self._pivot(a, k)
            if pivot < 0:  # a column of zeros: nothing to eliminate
                info = info or k + 1
                places[k] = k + 1
                k += 1
                continue
            self._exchange(a, k, k + step - 1, pivot, hermitian)
            rest = slice(k + step, n)
            block, below = self._block(a, k, step, hermitian), a[rest, k : k + step].copy()
            scaled = self.xp.linalg.solve(block.T, below.T).T if len(below) else below
            mirrored = below.conj().T if hermitian else below.T
            a[rest, rest] -= self.xp.tril(scaled @ mirrored)
            a[rest, k : k + step] = scaled
            places[k : k + step] = pivot + 1 if step == 1 else -(pivot + 1)
            k += step
        return info

    def _pivot(self, a: Array, k: int) -> tuple[int, int]:
        """Row to exchange, -1 for a column of zeros, and the number of rows of the block."""
        size = _size(a)
        here = size[k, k]
        below = size[k + 1 :, k]
        largest = below.max() if len(below) else 0
        if max(here, largest) == 0:
            return -1, 1
        if not here < _ALPHA * largest:
            return k, 1
        other = k + 1 + int(below.argmax())
        row = size[other, k:other].max()
        if other + 1 < len(a):
            row = max(row, size[other + 1 :, other].max())
        if here >= _ALPHA * largest * (largest / row):
            return k, 1
        return other, (1 if size[other, other] >= _ALPHA * row else 2)

    def _exchange(self, a: Array, k: int, at: int, pivot: int, hermitian: bool) -> None:
        """Exchanges rows and columns `at` and `pivot` of the part that is left."""
        if pivot == at:
            return
        _swap(a, (slice(pivot + 1, None), at), (slice(pivot + 1, None), pivot))
        between = slice(at + 1, pivot)
        _swap(a, (between, at), (pivot, between))
        if hermitian:
            a[between, at] = a[between, at].conj()
            a[pivot, between] = a[pivot, between].conj()
            a[pivot, at] = a[pivot, at].conj()
        _swap(a, (at, at), (pivot, pivot))
        if at != k:
            _swap(a, (at, k), (pivot, k))

    def _block(self, a: Array, k: int, step: int, hermitian: bool) -> Array:
        """The block of D that starts at row `k`."""
        block = a[k : k + step, k : k + step].copy()
        if step == 2:
            block[0, 1] = block[1, 0].conj() if hermitian else block[1, 0]
            if hermitian:
                block[1, 1] = block[1, 1].real
                a[k + 1, k + 1] = block[1, 1]
        return block

    def solve(self, ld: Array, pivots: Array, b: Array, *, hermitian: bool = False) -> Array:
        """The solution of A x = b from the factors of A."""
        xp = self.xp
        batch = np.broadcast_shapes(ld.shape[:-2], b.shape[:-2])
        n, k = b.shape[-2:]
        count = math.prod(batch)
        out = xp.broadcast_to(b, (*batch, n, k)).astype(b.dtype, order="C").reshape(count, n, k)
        factors = xp.broadcast_to(ld, (*batch, n, n)).reshape(count, n, n)
        places = xp.broadcast_to(pivots, (*batch, n)).reshape(count, n)
        for a, p, x in zip(factors, places, out, strict=True):
            self._solve_one(a, p, x, hermitian and b.dtype.kind == "c")
        return out.reshape(*batch, n, k)

    def _solve_one(self, a: Array, p: Array, x: Array, hermitian: bool) -> None:
        blocks = []
        k, n = 0, len(a)
        while k < n:
            step = 1 if p[k] > 0 else 2
            blocks.append((k, step))
            _swap(x, k + step - 1, abs(int(p[k])) - 1)
            rows = slice(k, k + step)
            x[k + step :] -= a[k + step :, rows] @ x[rows]
            block = a[rows, rows].copy()
            if step == 2:
                block[0, 1] = block[1, 0].conj() if hermitian else block[1, 0]
            # A zero on D's diagonal gives infinities, as in LAPACK.
            x[rows] = x[rows] / block if step == 1 else self.xp.linalg.solve(block, x[rows])
            k += step
        for k, step in reversed(blocks):
            columns = a[k + step :, k : k + step]
            x[k : k + step] -= (columns.conj() if hermitian else columns).T @ x[k + step :]
            _swap(x, k + step - 1, abs(int(p[k])) - 1)


def _size(a: Array) -> Array:
    """LAPACK's size of numbers, so that the pivots are those of other libraries."""
    return abs(a.real) + abs(a.imag) if a.dtype.kind == "c" else abs(a)


def _swap(x: Array, one: Any, other: Any) -> None:
    kept = x[one].copy()
    x[one] = x[other]
    x[other] = kept
