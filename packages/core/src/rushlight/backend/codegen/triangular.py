"""Triangular systems: substitution in strips of columns, products between blocks of rows."""

from __future__ import annotations

from typing import Any

from ..._dtypes import DType
from .array import DeviceArray
from .matrices import (
    Kernels,
    broadcast,
    common_batch,
    copied,
    part,
    restored,
    stacked,
    transposed,
)
from .registry import Family, Kernel

triangular = Family()
_BLOCK = 64

_SUBSTITUTE = """
for (i64 t = 0; t < n; t++) {
    const i64 i = upper ? n - 1 - t : t;
    $T sum[$S];
    LANES(l) sum[l] = x[i * x_row + c + l];
    for (i64 s = 0; s < t; s++) {
        const i64 j = upper ? n - 1 - s : s;
        const $T f = a[i * a_row + j * a_column];
        LANES(l) sum[l] = less_$T(sum[l], f, x[j * x_row + c + l]);
    }
    if (!unit) {
        const $T f = a[i * a_row + i * a_column];
        LANES(l) sum[l] = div_$T(sum[l], f);
    }
    LANES(l) x[i * x_row + c + l] = sum[l];
}"""


class Triangular(Kernels):
    """Solves a x = b for triangular a."""

    def solve(self, a: DeviceArray, x: DeviceArray, upper: bool, unit: bool) -> None:
        """Solves in place of the right-hand side.

        Args:
            a: (batch, n, n), of which one triangle is read (without its diagonal, if unit).
            x: (batch, n, columns), contiguous along the columns.
            upper, unit: Which triangle, and whether its diagonal is of ones.
        """
        n, columns = x.shape[1:]
        if n > 2 * _BLOCK and columns >= 8:
            half = n // 2
            first, second = ((half, n), (0, half)) if upper else ((0, half), (half, n))
            solved, rest = part(x, *first, 0, columns), part(x, *second, 0, columns)
            self.solve(part(a, *first, *first), solved, upper, unit)
            self.subtract_product(rest, part(a, *second, *first), solved)
            self.solve(part(a, *second, *second), rest, upper, unit)
            return
        substitute = self.kernel(
            "substitute", "$T a $T x", "n columns x_row a_row a_column upper unit",
            _SUBSTITUTE, strips=True,
        )  # fmt: skip
        substitute(x.shape[0], a, x, n, columns, x.strides[1], *a.strides[1:], upper, unit)

    def solved(self, a: DeviceArray, b: DeviceArray, upper: bool, unit: bool) -> DeviceArray:
        """The solution for operands whose batches are broadcast."""
        batch = common_batch(a, b)
        x = copied(broadcast(b, batch))
        if x.size:
            self.solve(stacked(broadcast(a, batch)), x, upper, unit)
        return x.geometry((*batch, *x.shape[1:]), restored(x, batch).strides, 0)


@triangular.kernel("linalg_solve_triangular", "floating complex")
def _(device: Any, dtype: DType) -> Kernel:
    solver = Triangular(device, dtype)

    def kernel(
        a: DeviceArray,
        b: DeviceArray,
        *,
        upper: bool,
        left: bool = True,
        unitriangular: bool = False,
    ) -> DeviceArray:
        if left:
            return solver.solved(a, b, upper, unitriangular)
        # x a = b is a' x' = b', and transposing swaps the triangles.
        flipped = solver.solved(transposed(a), transposed(b), not upper, unitriangular)
        made: DeviceArray = device.dense(transposed(flipped))
        return made

    return kernel
