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
from .array import DeviceArray, coalesced, row_major
from .bluestein import Bluestein
from .butterflies import radices
from .dialect import suffix
from .registry import Family, Kernel
from .roots import Roots
from .stockham import TURNED, Side, Stockham, Turn
from .walking import Walk

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
        self.part = dtype.to_real()
        self.lines = Lines(device, dtype)
        t = suffix(self.part)
        root = f"const i64 k = k_i, turn_ = 1; {TURNED.format(turn='turn_', T=t)}"
        # A line z of m complex numbers holds the even elements of a real line as real parts and
        # the odd ones as imaginary parts.
        self.parted = Walk(
            device, "k_fourier_parted", {"out": t, "k": None, "z": t, "coarse": t, "fine": t},
            f"""{root}
    const i64 a = z_i + (k == m ? 0 : k) * step, b = z_i + (k == 0 ? 0 : m - k) * step;
    const {t} er = z[a] + z[b], ei = z[a + 1] - z[b + 1];
    const {t} or_ = z[a + 1] + z[b + 1], oi = z[b] - z[a];
    out[out_i] = (er + (or_ * tr - oi * ti)) * half_;
    out[out_i + 1] = (ei + (or_ * ti + oi * tr)) * half_;""",
            f"i64 m i64 step {t} half_",
        )  # fmt: skip
        self.joined = Walk(
            device, "k_fourier_joined", {"out": t, "k": None, "x": t, "coarse": t, "fine": t},
            f"""{root}
    const i64 a = x_i + k * step, b = x_i + (m - k) * step;
    const {t} ai = k == 0 ? 0 : x[a + 1], bi = k == 0 ? 0 : x[b + 1];
    const {t} er = x[a] + x[b], ei = ai - bi, dr = x[a] - x[b], di = ai + bi;
    out[out_i] = er - (di * tr - dr * ti);
    out[out_i + 1] = ei + (dr * tr + di * ti);""",
            "i64 m i64 step",
        )  # fmt: skip
        self.mirrored = Walk(
            device, "k_fourier_mirrored", {"out": t, "k": None, "x": t},
            """const bool back = 2 * k_i > n;
    const i64 a = x_i + (back ? n - k_i : k_i) * step;
    out[out_i] = x[a];
    out[out_i + 1] = k_i == 0 ? 0 : back ? -x[a + 1] : x[a + 1];""",
            "i64 n i64 step",
        )  # fmt: skip

    # -- operators -------------------------------------------------------------------------------

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
            last = d == dims[-1]
            self._along(out, x, d, forward, scale if last else 1.0)
            x = out

    def _along(self, out: DeviceArray, x: DeviceArray, d: int, forward: bool, scale: float) -> None:
        shape, target, source = self._sides(out, x, d)
        if not forward:
            target, source = target.swapped(), source.swapped()
        self.lines(x.shape[d], shape, target, source, scale)

    def r2c(self, x: DeviceArray, dims: Sequence[int], onesided: bool, scale: float) -> DeviceArray:
        """Real numbers to complex numbers, in the last of the dimensions to half of them."""
        *others, d = dims
        n = x.shape[d]
        size = n // 2 + 1 if onesided else n
        out: DeviceArray = self.device.empty(_with_size(x.shape, d, size), self.dtype)
        if not out.size:
            return out
        first = scale if not others else 1.0
        if onesided and n % 2 == 0:
            self._halves(out, x, d, first)
        elif onesided:
            whole: DeviceArray = self.device.empty(x.shape, self.dtype)
            self._along(whole, x, d, True, first)
            out = self.device.dense(whole.geometry(out.shape, whole.strides, 0))
        else:
            self._along(out, x, d, True, first)
        if others:
            self._over(out, out, others, True, scale)
        return out

    def _halves(self, out: DeviceArray, x: DeviceArray, d: int, scale: float) -> None:
        n = x.shape[d]
        m = n // 2
        half: DeviceArray = self.device.empty(_with_size(x.shape, d, m), self.dtype)
        shape, target, source = self._sides(half, x, d)
        pairs = Side(source.array, source.strides, 2 * source.step, 0, source.step)
        self.lines(m, shape, target, pairs)
        steps = [2 * s for s in half.strides]
        step, steps[d] = steps[d], 0
        number = [0] * len(x.shape)
        coarse, fine = self.lines.roots.split(n)
        none = (0,) * len(x.shape)
        number[d] = 1
        self.parted(
            out.shape, (_parts(out), tuple([2 * s for s in out.strides])), (0, tuple(number)),
            (_parts(half), tuple(steps)), (_parts(coarse), none), (_parts(fine), none),
            numbers=(m, step, scale / 2),
        )  # fmt: skip

    def c2r(self, x: DeviceArray, dims: Sequence[int], n: int, scale: float) -> DeviceArray:
        """Half of a Hermitian-symmetric array to real numbers."""
        *others, d = dims
        out: DeviceArray = self.device.empty(_with_size(x.shape, d, n), self.part)
        if not out.size:
            return out
        if others:
            x = self.c2c(x, others, False, 1.0)
        x = x.settled()
        steps = [2 * s for s in x.strides]
        step, steps[d] = steps[d], 0
        number = [0] * len(x.shape)
        number[d] = 1
        none = (0,) * len(x.shape)
        m = n if n % 2 else n // 2
        whole: DeviceArray = self.device.empty(_with_size(x.shape, d, m), self.dtype)
        operands = (
            (_parts(whole), tuple([2 * s for s in whole.strides])), (0, tuple(number)),
            (_parts(x), tuple(steps)),
        )  # fmt: skip
        shape, target, source = self._sides(out, whole, d)
        if n % 2:
            self.mirrored(whole.shape, *operands, numbers=(n, step))
        else:
            coarse, fine = self.lines.roots.split(n)
            tables = ((_parts(coarse), none), (_parts(fine), none))
            self.joined(whole.shape, *operands, *tables, numbers=(m, step))
            target = Side(target.array, target.strides, 2 * target.step, 0, target.step)
        self.lines(m, shape, target.swapped(), source.swapped(), scale)
        return out

    # -- geometry ----------------------------------------------------------------------------------

    def _sides(
        self, out: DeviceArray, x: DeviceArray, d: int
    ) -> tuple[tuple[int, ...], Side, Side]:
        """The lines along a dimension, over at most two others, and where they lie."""
        sizes, strides = _lines(out, x, d)
        if len(sizes) > 2:
            x = self.device.dense(x)
            sizes, strides = _lines(out, x, d)
        sides = [
            Side(
                _parts(a), strides[k], _width(a) * a.strides[d], 0, 1 if a.dtype.is_complex else -1
            )
            for k, a in enumerate((out, x))
        ]
        return sizes, sides[0], sides[1]


def _width(x: DeviceArray) -> int:
    return 2 if x.dtype.is_complex else 1


def _parts(x: DeviceArray) -> DeviceArray:
    """The memory from an array's first element on, as real numbers."""
    x.settled()
    width = _width(x)
    return DeviceArray(
        x.device, x.buffer, x.offset * width, (x.size * width,), (1,), x.dtype.to_real(),
        x.size * width, True,
    )  # fmt: skip


def _lines(
    out: DeviceArray, x: DeviceArray, d: int
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    axes = [k for k in range(len(out.shape)) if k != d]
    sizes, steps = coalesced(
        tuple([out.shape[k] for k in axes]),
        [tuple([_width(a) * a.strides[k] for k in axes]) for a in (out, x)],
    )
    return tuple(sizes[::-1]), [tuple(step[::-1]) for step in steps]


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
