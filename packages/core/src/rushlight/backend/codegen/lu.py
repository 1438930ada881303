"""LU factors with partial pivoting, and what comes of them: solutions, inverses, determinants."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._dtypes import DType, int32, int64
from .._singularities import singular, zero_pivot
from .array import DeviceArray, row_major
from .matrices import (
    Kernels,
    broadcast,
    common_batch,
    copied,
    numbers,
    part,
    restored,
    stacked,
    stacked_rows,
)
from .registry import Family, Kernel
from .triangular import Triangular

lu = Family()
_PANEL = 32

# The size of a complex number is LAPACK's, so that the pivots are those of other libraries.
_FACTOR = """
for (i64 k = start; k < stop; k++) {
    $R best = -1;
    i64 place = k;
    EACH(i, k, rows) {
        const $R size = size_$T(a[i * columns + k]);
        if (size > best) { best = size; place = i; }
    }
    PEAK(best, place)
    ONE pivots[k] = (i32)(place + 1);
    if (place != k) {
        EACH(j, 0, columns) {
            const $T kept = a[k * columns + j];
            a[k * columns + j] = a[place * columns + j];
            a[place * columns + j] = kept;
        }
    }
    SYNC
    const $T pivot = a[k * columns + k];
    if (size_$T(pivot) != 0) {  // else it heads a column of zeros: nothing to eliminate
        EACH(i, k + 1, rows) {
            const $T f = div_$T(a[i * columns + k], pivot);
            a[i * columns + k] = f;
            for (i64 j = k + 1; j < stop; j++)
                a[i * columns + j] = less_$T(a[i * columns + j], f, a[k * columns + j]);
        }
    }
    SYNC
}"""

_ORDER = """
EACH(i, 0, rows) order[i] = i;
SYNC
ONE for (i64 k = 0; k < n; k++) {
    const i64 other = pivots[k] - 1, kept = order[k];
    order[k] = order[other];
    order[other] = kept;
}"""

# Row i of the result is row order[i] of x, or backwards; without x, of the identity.
_PERMUTE = """
for (i64 i = 0; i < rows; i++) {
    const i64 from = back ? i : order[i], to = back ? order[i] : i;
    LANES(l) out[to * columns + c + l] = identity ? of_$T(from == c + l)
        : x[from * x_row + (c + l) * x_column];
}"""

_DETERMINANT = """
ONE {
    $T product = of_$T(1);
    for (i64 k = 0; k < n; k++) {
        product = mul_$T(product, a[k * n + k]);
        if (pivots[k] != k + 1) product = scale_$T(product, -1);
    }
    out[0] = product;
}"""

_LOGARITHM = """
ONE {
    $T sign = of_$T(1);
    $R sum = 0;
    for (i64 k = 0; k < n; k++) {
        const $T x = a[k * n + k];
        const $R size = abs_$T(x);
        sum += log_$R(size);
        sign = size == 0 ? of_$T(0) : mul_$T(sign, scale_$T(x, 1 / size));
        if (pivots[k] != k + 1) sign = scale_$T(sign, -1);
    }
    out[0] = sign;
    logarithm[0] = sum;
}"""

_ZEROS = "ONE for (i64 k = 0; k < n; k++) zero[k] = size_$T(a[k * columns + k]) == 0;"


class Permutations(Kernels):
    """Row exchanges as the order they lead to."""

    def order(self, pivots: DeviceArray, rows: int) -> DeviceArray:
        """Of (batch, n) 1-based pivots the order of rows, (batch, rows)."""
        count, n = pivots.shape
        made = self.empty(count, rows, dtype=int64)
        kernel = self.kernel("order", "i32 pivots i64 order", "n rows", _ORDER)
        kernel(count, pivots, made, n, rows)
        return made


class LU(Triangular, Permutations):
    """Factors of A = P L U in one matrix, and what is computed with them."""

    def factor(self, a: DeviceArray) -> DeviceArray:
        """Factors dense (batch, rows, columns) in place; returns the 1-based pivots."""
        count, rows, columns = a.shape
        rank = min(rows, columns)
        pivots = self.empty(count, rank, dtype=int32)
        panel = self.kernel("lu", "$T a i32 pivots", "rows columns start stop", _FACTOR)
        for start in range(0, rank, _PANEL):
            stop = min(start + _PANEL, rank)
            panel(count, a, pivots, rows, columns, start, stop)
            if stop < columns:
                right = part(a, start, stop, stop, columns)
                self.solve(part(a, start, stop, start, stop), right, False, True)
                if stop < rows:
                    left = part(a, stop, rows, start, stop)
                    self.subtract_product(part(a, stop, rows, stop, columns), left, right)
        return pivots

    def permuted(
        self, x: DeviceArray | None, order: DeviceArray, columns: int, back: bool = False
    ) -> DeviceArray:
        """Rows of (batch, rows, columns) in another order, or those of the identity."""
        count, rows = order.shape
        out = self.empty(count, rows, columns)
        kernel = self.kernel(
            "permute", "$T out $T x i64 order", "rows columns x_row x_column back identity",
            _PERMUTE, strips=True,
        )  # fmt: skip
        steps = (0, 0) if x is None else x.strides[1:]
        kernel(count, out, x or out, order, rows, columns, *steps, back, x is None)
        return out

    def solution(
        self, a: DeviceArray, pivots: DeviceArray, b: DeviceArray | None, adjoint: bool = False
    ) -> DeviceArray:
        """The solution of A x = b or A^H x = b (b is the identity if None), batches alike."""
        n = a.shape[-1]
        order = self.order(pivots, n)
        columns = n if b is None else b.shape[2]
        if not adjoint:
            x = self.permuted(b, order, columns)
            self.solve(a, x, False, True)
            self.solve(a, x, True, False)
            return x
        assert b is not None
        x = copied(b)
        flipped = self.adjoint(a)
        self.solve(flipped, x, False, False)
        self.solve(flipped, x, True, True)
        return self.permuted(x, order, columns, True)

    def zeros(self, a: DeviceArray) -> Any:
        """On the host: which elements of U's diagonal are zero, (batch, rank)."""
        count, rows, columns = a.shape
        rank = min(rows, columns)
        zero = self.empty(count, rank, dtype=int32)
        kernel = self.kernel("zero_pivots", "$T a i32 zero", "n columns", _ZEROS)
        kernel(count, a, zero, rank, columns)
        return np.asarray(self.device.to_host(zero))

    def regular(self, who: str, x: DeviceArray) -> tuple[DeviceArray, DeviceArray]:
        """Factors and pivots of matrices that have an inverse.

        Raises:
            LinAlgError: One has none.
        """
        a = copied(x)
        pivots = self.factor(a)
        zero = self.zeros(a)
        if zero.any():
            raise singular(who, x.shape, zero)
        return a, pivots


@lu.kernel("linalg_lu_factor", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    factors = LU(device, dtype)

    def kernel(x: DeviceArray, *, check_errors: bool = False) -> tuple[DeviceArray, DeviceArray]:
        a = copied(x)
        pivots = factors.factor(a)
        if check_errors and a.size:
            zero = factors.zeros(a)
            if zero.any():
                raise zero_pivot(x.shape, zero)
        return restored(a, x.shape[:-2]), restored(pivots, x.shape[:-2])

    return kernel


@lu.kernel("lu_permutation", "integer")
def _(device: Any, dtype: DType) -> Kernel:
    # The texts have real arithmetic in them that pivots don't use.
    from ..._dtypes import float32

    permutations = Permutations(device, float32)

    def kernel(pivots: DeviceArray, *, rows: int) -> DeviceArray:
        whole = pivots if dtype is int32 else device.movement.cast(pivots, int32)
        order = permutations.order(stacked_rows(whole), rows)
        return restored(order, pivots.shape[:-1])

    return kernel


@lu.kernel("linalg_lu_solve", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    factors = LU(device, dtype)

    def solved(a: DeviceArray, pivots: DeviceArray, b: DeviceArray, adjoint: bool) -> DeviceArray:
        batch = common_batch(a, b)
        places = broadcast(pivots, batch, 1)
        x = factors.solution(
            stacked(broadcast(a, batch)), copied(places, 1), stacked(broadcast(b, batch)), adjoint
        )
        return restored(x, batch)

    def kernel(
        a: DeviceArray,
        pivots: DeviceArray,
        b: DeviceArray,
        *,
        left: bool = True,
        adjoint: bool = False,
    ) -> DeviceArray:
        if left:
            return solved(a, pivots, b, adjoint)
        # x a = b is a^H x^H = b^H.
        flipped = solved(a, pivots, factors.adjoint(b), not adjoint)
        made: DeviceArray = device.dense(factors.adjoint(flipped))
        return made

    return kernel


@lu.kernel("linalg_solve", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    factors = LU(device, dtype)

    def kernel(a: DeviceArray, b: DeviceArray) -> DeviceArray:
        vector = len(b.shape) == len(a.shape) - 1 and a.shape[:-1] == b.shape
        if vector:
            b = b.settled().geometry((*b.shape, 1), (*b.strides, 1), 0)
        batch = common_batch(a, b)
        # Factored before it is broadcast: one matrix may have many right-hand sides.
        own, pivots = factors.regular("linalg.solve", a)
        whole = broadcast(own.geometry(a.shape, row_major(a.shape), 0), batch)
        places = (*a.shape[:-2], pivots.shape[1])
        pivots = broadcast(pivots.geometry(places, row_major(places), 0), batch, 1)
        x = factors.solution(stacked(whole), copied(pivots, 1), stacked(broadcast(b, batch)))
        out = restored(x, batch)
        return out.geometry(out.shape[:-1], out.strides[:-1], 0) if vector else out

    return kernel


@lu.kernel("linalg_inv", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    factors = LU(device, dtype)

    def kernel(x: DeviceArray) -> DeviceArray:
        a, pivots = factors.regular("linalg.inv", x)
        return restored(factors.solution(a, pivots, None), x.shape[:-2])

    return kernel


@lu.kernel("linalg_det", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    factors = LU(device, dtype)

    def kernel(x: DeviceArray) -> DeviceArray:
        a = copied(x)
        pivots = factors.factor(a)
        out = factors.empty(a.shape[0], 1)
        determinant = factors.kernel("determinant", "$T out $T a i32 pivots", "n", _DETERMINANT)
        determinant(a.shape[0], out, a, pivots, a.shape[1])
        return numbers(out, x.shape[:-2])

    return kernel


@lu.kernel("linalg_slogdet", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    factors = LU(device, dtype)

    def kernel(x: DeviceArray) -> tuple[DeviceArray, DeviceArray]:
        a = copied(x)
        pivots = factors.factor(a)
        out, size = factors.empty(a.shape[0], 1), factors.empty(a.shape[0], 1, dtype=factors.part)
        logarithm = factors.kernel(
            "logarithm", "$T out $R logarithm $T a i32 pivots", "n", _LOGARITHM
        )
        logarithm(a.shape[0], out, size, a, pivots, a.shape[1])
        return numbers(out, x.shape[:-2]), numbers(size, x.shape[:-2])

    return kernel
