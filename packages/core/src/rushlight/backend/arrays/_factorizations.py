"""Factorizations and triangular solves that NumPy's linalg lacks, over batches of matrices.

The loops run over columns and panels of one matrix, never over the batch; most of the arithmetic
is in matrix products.

References:
    Golub and Van Loan (2013), Matrix Computations, 4th edition, 3.1 to 3.4, 4.2 and 5.1.
"""

from __future__ import annotations

import math

import numpy as np

from ._common import Array, ArrayModule

_PANEL = 32


class Factorizations:
    """LU, Cholesky with its failure, triangular solves, products of reflectors."""

    def __init__(self, xp: ArrayModule) -> None:
        self.xp = xp

    def adjoint(self, x: Array) -> Array:
        """The conjugate transpose of each matrix; a view where it can be."""
        flipped = x.swapaxes(-1, -2)
        return flipped.conj() if x.dtype.kind == "c" else flipped

    def diagonal(self, x: Array) -> Array:
        """The diagonal of each matrix, as a view."""
        return self.xp.diagonal(x, axis1=-2, axis2=-1)

    def cholesky_with_info(self, x: Array) -> tuple[Array, Array]:
        """Lower factors, and per matrix the order of the first minor that is not positive, or 0."""
        xp = self.xp
        n = x.shape[-1]
        lower = xp.zeros_like(x)
        info = xp.zeros(x.shape[:-2], np.int32)
        for j in range(n):
            row = lower[..., j, :j]
            column = x[..., j:, j] - xp.matmul(lower[..., j:, :j], row.conj()[..., None])[..., 0]
            pivot = column[..., 0].real
            good = (pivot > 0) & (info == 0)
            info = xp.where((info == 0) & ~good, np.int32(j + 1), info)
            root = xp.sqrt(xp.where(good, pivot, 1))[..., None]
            lower[..., j:, j] = xp.where(good[..., None], column / root, 0)
        return lower, info

    def lu(self, x: Array) -> tuple[Array, Array]:
        """L and U in one matrix, and the 1-based pivots; partial pivoting, panel by panel."""
        xp = self.xp
        rows, columns = x.shape[-2:]
        rank = min(rows, columns)
        lu = x.reshape(-1, rows, columns).copy() if x.size else x.copy()
        pivots = xp.zeros((*x.shape[:-2], rank), np.int32)
        if not x.size:
            return lu, pivots
        places = pivots.reshape(-1, rank)
        for start in range(0, rank, _PANEL):
            stop = min(start + _PANEL, rank)
            for k in range(start, stop):
                self._eliminate(lu, places, k, stop)
            if stop < columns:
                corner = lu[:, start:stop, start:stop]
                right = lu[:, start:stop, stop:]
                right[...] = self.solve_triangular(corner, right, False, True)
                lu[:, stop:, stop:] -= xp.matmul(lu[:, stop:, start:stop], right)
        return lu.reshape(x.shape), pivots

    def _eliminate(self, lu: Array, places: Array, k: int, stop: int) -> None:
        """One column: brings its largest element up, and updates the panel to the right of it."""
        xp = self.xp
        batch = xp.arange(len(lu))
        column = lu[:, k:, k]
        # LAPACK's size of a complex number, so that the pivots are those of other libraries.
        size = abs(column.real) + abs(column.imag) if lu.dtype.kind == "c" else abs(column)
        pivot = k + xp.argmax(size, axis=1)
        places[:, k] = pivot + 1
        upper = lu[batch, pivot]
        lu[batch, pivot] = lu[:, k]
        lu[:, k] = upper
        divisor = lu[:, k, k]
        # A zero pivot heads a column of zeros: nothing to eliminate.
        lu[:, k + 1 :, k] /= xp.where(divisor == 0, 1, divisor)[:, None]
        update = lu[:, k + 1 :, k, None] * lu[:, k, None, k + 1 : stop]
        lu[:, k + 1 :, k + 1 : stop] -= update

    def solve_triangular(self, a: Array, b: Array, upper: bool, unit: bool) -> Array:
        """The solution of a x = b, reading one triangle of a (without its diagonal, if unit)."""
        xp = self.xp
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        out = xp.broadcast_to(b, (*batch, *b.shape[-2:])).astype(b.dtype, order="C")
        if out.size:
            self._substitute(a, out, upper, unit)
        return out

    def _substitute(self, a: Array, x: Array, upper: bool, unit: bool) -> None:
        """Solves in place: halves while large, then row by row."""
        xp = self.xp
        n = a.shape[-1]
        if n > _PANEL:
            half = n // 2
            head, tail = slice(0, half), slice(half, n)
            first, second = (tail, head) if upper else (head, tail)
            self._substitute(a[..., first, first], x[..., first, :], upper, unit)
            x[..., second, :] -= xp.matmul(a[..., second, first], x[..., first, :])
            self._substitute(a[..., second, second], x[..., second, :], upper, unit)
            return
        for i in range(n - 1, -1, -1) if upper else range(n):
            done = slice(i + 1, n) if upper else slice(0, i)
            row = xp.matmul(a[..., i, None, done], x[..., done, :])[..., 0, :]
            x[..., i, :] -= row
            if not unit:
                x[..., i, :] /= a[..., i, i, None]

    def permutation(self, pivots: Array, rows: int) -> Array:
        """The order of rows that a sequence of 1-based pivot swaps makes."""
        xp = self.xp
        flat = pivots.reshape(math.prod(pivots.shape[:-1]), pivots.shape[-1])
        order = xp.broadcast_to(xp.arange(rows), (len(flat), rows)).copy()
        batch = xp.arange(len(flat))
        for k in range(flat.shape[1]):
            other = flat[:, k] - 1
            swapped = order[batch, other]
            order[batch, other] = order[:, k]
            order[:, k] = swapped
        return order.reshape(*pivots.shape[:-1], rows)

    def lu_solve(self, lu: Array, pivots: Array, b: Array, adjoint: bool) -> Array:
        """The solution of a x = b, or of a^H x = b, from the factors of a."""
        xp = self.xp
        order = self.permutation(pivots, lu.shape[-1])[..., None]
        batch = np.broadcast_shapes(lu.shape[:-2], b.shape[:-2])
        order = xp.broadcast_to(order, (*batch, *order.shape[-2:]))
        b = xp.broadcast_to(b, (*batch, *b.shape[-2:]))
        if not adjoint:
            moved = xp.take_along_axis(b, order, axis=-2)
            return self.solve_triangular(
                lu, self.solve_triangular(lu, moved, False, True), True, False
            )
        flipped = self.adjoint(lu)
        inner = self.solve_triangular(flipped, b, False, False)
        inner = self.solve_triangular(flipped, inner, True, True)
        return xp.take_along_axis(inner, xp.argsort(order, axis=-2), axis=-2)

    def householder_product(self, reflectors: Array, tau: Array) -> Array:
        """The first columns of the product of reflectors 1 - tau v v^H, last applied first."""
        xp = self.xp
        rows, columns = reflectors.shape[-2:]
        out = xp.broadcast_to(
            xp.eye(rows, columns, dtype=reflectors.dtype), reflectors.shape
        ).copy()
        for k in range(tau.shape[-1] - 1, -1, -1):
            v = reflectors[..., k:, k].copy()
            v[..., 0] = 1
            shadow = xp.matmul(v.conj()[..., None, :], out[..., k:, :])
            out[..., k:, :] -= tau[..., k, None, None] * v[..., :, None] * shadow
        return out
