"""Fourier transforms of real lines, of which half of the frequencies say everything.

A line of even length is a complex line of half the length: its even elements are the real parts,
the odd ones the imaginary parts. The kernel of the passes (`stockham`) tells the two apart where
the line is short; for long lines, and odd lengths, there are kernels here.

References:
    Sorensen, Jones, Heideman and Burrus (1987), Real-valued fast Fourier transform algorithms.
    IEEE Transactions on Acoustics, Speech, and Signal Processing 35(6).
"""

from __future__ import annotations

from typing import Any

from ..._dtypes import DType
from .array import DeviceArray
from .butterflies import radices
from .dialect import suffix
from .passes import turned
from .stockham import Side, parts, sides
from .walking import Walk


class Halves:
    """Real transforms along one dimension on one device.

    Args:
        device: The launcher.
        dtype: The complex type.
        lines: Transforms of complex lines, `fourier.Lines`.
    """

    def __init__(self, device: Any, dtype: DType, lines: Any) -> None:
        self.device = device
        self.dtype = dtype
        self.lines = lines
        t = suffix(dtype.to_real())
        root = f"const i64 k = k_i, one = 1; {turned('one', t)}"
        self.part = Walk(
            device, "k_fourier_parted", {"out": t, "k": None, "x": t, "coarse": t, "fine": t},
            f"""{root}
    const i64 a = x_i + (k == m ? 0 : k) * step, b = x_i + (k == 0 ? 0 : m - k) * step;
    const {t} er = x[a] + x[b], ei = x[a + 1] - x[b + 1];
    const {t} dr = x[a + 1] + x[b + 1], di = x[b] - x[a];
    out[out_i] = (er + (dr * tr - di * ti)) * scale;
    out[out_i + 1] = (ei + (dr * ti + di * tr)) * scale;""",
            f"i64 m i64 step {t} scale",
        )  # fmt: skip
        self.join = Walk(
            device, "k_fourier_joined", {"out": t, "k": None, "x": t, "coarse": t, "fine": t},
            f"""{root}
    const i64 a = x_i + k * step, b = x_i + (m - k) * step;
    const {t} ai = k == 0 ? 0 : x[a + 1], bi = k == 0 ? 0 : x[b + 1];
    const {t} er = x[a] + x[b], ei = ai - bi, dr = x[a] - x[b], di = ai + bi;
    out[out_i] = er - (di * tr - dr * ti);
    out[out_i + 1] = ei + (dr * tr + di * ti);""",
            "i64 m i64 step",
        )  # fmt: skip
        self.mirror = Walk(
            device, "k_fourier_mirrored", {"out": t, "k": None, "x": t},
            """const bool back = 2 * k_i > n;
    const i64 a = x_i + (back ? n - k_i : k_i) * step;
    out[out_i] = x[a];
    out[out_i + 1] = k_i == 0 ? 0 : back ? -x[a + 1] : x[a + 1];""",
            "i64 n i64 step",
        )  # fmt: skip

    def parted(self, out: DeviceArray, x: DeviceArray, d: int, scale: float) -> None:
        """The first half of the frequencies of real lines."""
        n, near = x.shape[d], self.lines.near
        m = n if n % 2 else n // 2
        plan = radices(m)
        if plan is not None and m <= near.longest:
            shape, target, source = sides(out, x, d)
            if n % 2:
                near(n, plan, shape, target, source, scale, rows=n // 2 + 1)
            else:
                near(m, plan, shape, target, _pairs(source), scale, kind="parted")
            return
        whole: DeviceArray = self.device.empty((*x.shape[:d], m, *x.shape[d + 1 :]), self.dtype)
        shape, target, source = sides(whole, x, d)
        if n % 2:
            self.lines(n, shape, target, source, scale)
            self.device.movement.copy(out, whole.geometry(out.shape, whole.strides, 0))
            return
        self.lines(m, shape, target, _pairs(source))
        operands, step = _along(out, whole, d)
        self.part(out.shape, *operands, *self._roots(n, out), numbers=(m, step, scale / 2))

    def joined(self, out: DeviceArray, x: DeviceArray, d: int, scale: float) -> None:
        """Real lines of half of their frequencies; the inverse."""
        n, near = out.shape[d], self.lines.near
        m = n if n % 2 else n // 2
        plan = radices(m)
        if n % 2 == 0 and plan is not None and m <= near.longest:
            shape, target, source = sides(out, x, d)
            near(m, plan, shape, _pairs(target).swapped(), source, scale, kind="joined")
            return
        whole: DeviceArray = self.device.empty((*x.shape[:d], m, *x.shape[d + 1 :]), self.dtype)
        operands, step = _along(whole, x, d)
        shape, target, source = sides(out, whole, d)
        if n % 2:
            self.mirror(whole.shape, *operands, numbers=(n, step))
        else:
            self.join(whole.shape, *operands, *self._roots(n, x), numbers=(m, step))
            target = _pairs(target)
        self.lines(m, shape, target.swapped(), source.swapped(), scale)

    def _roots(self, n: int, x: DeviceArray) -> list[tuple[DeviceArray, tuple[int, ...]]]:
        return [(parts(table), (0,) * len(x.shape)) for table in self.lines.roots.split(n)]


def _pairs(side: Side) -> Side:
    """A side of real numbers as complex numbers, of two neighbours each."""
    return Side(side.array, side.strides, 2 * side.step, 0, side.step)


def _along(out: DeviceArray, x: DeviceArray, d: int) -> tuple[tuple[Any, ...], int]:
    """Operands of a walk over `out`, the place along `d` and the lines of `x`, and its step."""
    number = [0] * len(x.shape)
    number[d] = 1
    steps = [2 * s for s in x.strides]
    step, steps[d] = steps[d], 0
    places = (parts(out), tuple([2 * s for s in out.strides])), (0, tuple(number))
    return (*places, (parts(x), tuple(steps))), step


__all__ = ["Halves"]
