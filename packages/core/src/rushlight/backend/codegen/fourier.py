"""Fourier transforms over one or several dimensions: complex, of real numbers, and to real ones.

Each dimension is a pass over the array. A line that is short is transformed by one kernel
(`stockham`); a long one is a matrix, of which columns and then rows are lines; one whose length has
a large prime factor becomes longer ones (`bluestein`).  A real line of even length is a complex
line of half the length, and what it takes to tell the two halves apart.

References:
    Bailey (1990), FFTs in external or hierarchical memory. Journal of Supercomputing 4(1).
    Sorensen, Jones, Heideman and Burrus (1987), Real-valued fast Fourier transform algorithms.
    IEEE Transactions on Acoustics, Speech, and Signal Processing 35(6).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ..._dtypes import DType
from .array import DeviceArray, row_major
from .bluestein import Bluestein
from .butterflies import radices
from .halves import Halves
from .registry import Family, Kernel
from .roots import Roots
from .stockham import Side, Stockham, Turn, sides

fourier = Family()


class Lines:
    """Transforms of lines of any length on one device.

    Args:
        device: The launcher.
        dtype: The complex type.
    """

    def __init__(self, device: Any, dtype: DType) -> None:
        self.device = device
        self.part = dtype.to_real()
        self.roots = Roots(device, dtype)
        self.near = Stockham(device, self.part, self.roots)
        self.any_length = Bluestein(device, self.part, self.roots, self)

    def __call__(
        self, n: int, shape: tuple[int, ...], out: Side, x: Side, scale: float = 1.0
    ) -> None:
        """Transforms lines of length `n`, one for each place of `shape`; `out` may be `x`."""
        plan = radices(n)
        if plan is None:
            self.any_length(n, shape, out, x, scale)
            return
        if n <= self.near.longest:
            self.near(n, plan, shape, out, x, scale)
            return
        first = rows_of(n, self.near.longest)
        # Element i of a line is row i // rest, column i % rest of a matrix.
        rest = n // first
        columns, rows = (*shape, rest), (*shape, first)
        steps = tuple([2 * n * s for s in row_major(shape)])
        memory = self.device.empty((2 * n * math.prod(shape),), self.part)
        self.near(
            first, radices(first) or (), columns,
            Side(memory, (*steps, 2), 2 * rest),
            Side(x.array, (*x.strides, x.step), x.step * rest, x.real, x.imag),
            turn=Turn(n, (*[0] * len(shape), 1)),
        )  # fmt: skip
        self(
            rest, rows,
            Side(out.array, (*out.strides, out.step), out.step * first, out.real, out.imag),
            Side(memory, (*steps, 2 * rest), 2),
            scale,
        )  # fmt: skip


@lru_cache(maxsize=256)
def rows_of(n: int, longest: int) -> int:
    """How many rows a long line has as a matrix, a divisor near the root of its length.

    Example:
        >>> from rushlight.backend.codegen.fourier import rows_of
        >>> rows_of(1 << 20, 2048), rows_of(3000, 1024)
        (1024, 60)
    """
    levels = math.ceil(math.log(n) / math.log(longest) - 1e-9)
    aim = n ** (1 / levels)
    divisors = [k for k in range(2, longest + 1) if n % k == 0]
    return min(divisors, key=lambda k: abs(math.log(k / aim)))


class Fourier:
    """The three operators on one device."""

    def __init__(self, device: Any, dtype: DType) -> None:
        self.device = device
        self.dtype = dtype
        self.lines = Lines(device, dtype)
        self.halves = Halves(device, dtype, self.lines)

    def c2c(self, x: DeviceArray, dims: Sequence[int], forward: bool, scale: float) -> DeviceArray:
        """Complex numbers to complex numbers."""
        out: DeviceArray = self.device.empty(x.shape, self.dtype)
        if out.size:
            self._over(out, x, dims, forward, scale)
        return out

    def _over(
        self, out: DeviceArray, x: DeviceArray, dims: Sequence[int], forward: bool, scale: float
    ) -> None:
        for d in dims:
            shape, target, source = sides(out, x, d)
            if not forward:
                target, source = target.swapped(), source.swapped()
            self.lines(x.shape[d], shape, target, source, scale if d == dims[-1] else 1.0)
            x = out

    def r2c(self, x: DeviceArray, dims: Sequence[int], onesided: bool, scale: float) -> DeviceArray:
        """Real numbers to complex numbers, in the last of the dimensions to half of them."""
        *others, d = dims
        n = x.shape[d]
        shape = _with_size(x.shape, d, n // 2 + 1 if onesided else n)
        out: DeviceArray = self.device.empty(shape, self.dtype)
        if out.size:
            first = 1.0 if others else scale
            if onesided:
                self.halves.parted(out, x, d, first)
            else:
                self._over(out, x, [d], True, first)
            self._over(out, out, others, True, scale)
        return out

    def c2r(self, x: DeviceArray, dims: Sequence[int], n: int, scale: float) -> DeviceArray:
        """Half of a Hermitian-symmetric array to real numbers."""
        *others, d = dims
        shape = _with_size(x.shape, d, n)
        out: DeviceArray = self.device.empty(shape, self.dtype.to_real())
        if out.size:
            if others:
                x = self.c2c(x, others, False, 1.0)
            self.halves.joined(out, x, d, scale)
        return out


def _with_size(shape: tuple[int, ...], d: int, n: int) -> tuple[int, ...]:
    return (*shape[:d], n, *shape[d + 1 :])


def _scale(norm: str, forward: bool, numbers: int) -> float:
    """The factor of a transform of so many numbers."""
    if norm == "ortho":
        return 1 / math.sqrt(numbers)
    return 1 / numbers if (norm == "forward") is forward else 1.0


def _sizes(x: DeviceArray, dims: Sequence[int]) -> int:
    return max(1, math.prod([x.shape[d] for d in dims]))


def _dims(x: DeviceArray, dim: Sequence[int]) -> list[int]:
    return [d % len(x.shape) for d in dim]


@fourier.kernel("fft_c2c", "complex")
def _c2c(device: Any, dtype: DType) -> Kernel:
    made = Fourier(device, dtype)

    def kernel(
        x: DeviceArray, *, dim: Sequence[int], norm: str = "backward", forward: bool
    ) -> DeviceArray:
        dims = _dims(x, dim)
        if not dims:
            copy: DeviceArray = device.dense(x)
            return copy
        return made.c2c(x, dims, forward, _scale(norm, forward, _sizes(x, dims)))

    return kernel


@fourier.kernel("fft_r2c", "floating")
def _r2c(device: Any, dtype: DType) -> Kernel:
    made = Fourier(device, dtype.to_complex())

    def kernel(
        x: DeviceArray, *, dim: Sequence[int], norm: str = "backward", onesided: bool = True
    ) -> DeviceArray:
        dims = _dims(x, dim)
        return made.r2c(x, dims, onesided, _scale(norm, True, _sizes(x, dims)))

    return kernel


@fourier.kernel("fft_c2r", "complex")
def _c2r(device: Any, dtype: DType) -> Kernel:
    made = Fourier(device, dtype)

    def kernel(
        x: DeviceArray, *, dim: Sequence[int], norm: str = "backward", last_dim_size: int
    ) -> DeviceArray:
        dims = _dims(x, dim)
        numbers = _sizes(x, dims[:-1]) * last_dim_size
        return made.c2r(x, dims, last_dim_size, _scale(norm, False, numbers))

    return kernel
