"""Fourier transforms of lengths with a large prime factor, as convolutions with a chirp.

With j * k = (j * j + k * k - (j - k) ** 2) / 2 a transform becomes a convolution, and that is two
transforms of any length that is long enough.

References:
    Bluestein (1970), A linear filtering approach to the computation of discrete Fourier transform.
    IEEE Transactions on Audio and Electroacoustics 18(4).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from ..._dtypes import DType
from .array import row_major
from .dialect import suffix
from .roots import Roots, powers
from .stockham import Side
from .walking import Walk

#: Transforms lines: length, lines, where to, where from, scale.
Transform = Callable[[int, tuple[int, ...], Side, Side, float], None]


class Bluestein:
    """Transforms of any length on one device.

    Args:
        device: The launcher.
        part: Type of the parts.
        roots: Where tables are kept.
        transform: Transforms of lengths that are products of small primes.
    """

    def __init__(self, device: Any, part: DType, roots: Roots, transform: Transform) -> None:
        self.device = device
        self.part = part
        self.roots = roots
        self.transform = transform
        t = suffix(part)
        turned = f"const {t} wr = w[2 * k_i], wi = w[2 * k_i + 1];"
        self.enter = Walk(
            device, "k_chirp_in", {"out": t, "k": None, "x": t, "w": t},
            f"""{t} yr = 0, yi = 0;
    if (k_i < n) {{
        {turned}
        const {t} xr = real < 0 ? 0 : x[x_i + real], xi = imag < 0 ? 0 : x[x_i + imag];
        yr = xr * wr - xi * wi;
        yi = xr * wi + xi * wr;
    }}
    out[out_i] = yr;
    out[out_i + 1] = yi;""",
            "i64 n i64 real i64 imag",
        )  # fmt: skip
        self.times = Walk(
            device, "k_chirp_times", {"out": t, "k": None, "w": t},
            f"""{turned}
    const {t} xr = out[out_i], xi = out[out_i + 1];
    out[out_i] = xr * wr - xi * wi;
    out[out_i + 1] = xr * wi + xi * wr;""",
        )  # fmt: skip
        self.leave = Walk(
            device, "k_chirp_out", {"out": t, "k": None, "x": t, "w": t},
            f"""{turned}
    const {t} xr = x[x_i], xi = x[x_i + 1];
    if (real >= 0) out[out_i + real] = (xr * wr - xi * wi) * scale;
    if (imag >= 0) out[out_i + imag] = (xr * wi + xi * wr) * scale;""",
            f"i64 real i64 imag {t} scale",
        )  # fmt: skip

    def __call__(
        self, n: int, shape: tuple[int, ...], out: Side, x: Side, scale: float = 1.0
    ) -> None:
        """Transforms lines."""
        size = good_size(2 * n - 1)
        chirp = self.roots.kept(("chirp", n), lambda: _chirp(n))
        response = self.roots.kept(("response", n), lambda: _response(n, size))
        steps = tuple([2 * size * s for s in row_major(shape)])
        near = Side(self.device.empty((2 * size * math.prod(shape),), self.part), steps, 2)
        apart = (0,) * len(shape)
        number = (0, (*apart, 1))
        inside, whole = (*shape, n), (*shape, size)
        here = (near.array, (*steps, 2))
        self.enter(
            whole, here, number, (x.array, (*x.strides, x.step)), (chirp, (*apart, 0)),
            numbers=(n, x.real, x.imag),
        )  # fmt: skip
        self.transform(size, shape, near, near, 1.0)
        self.times(whole, here, number, (response, (*apart, 0)))
        self.transform(size, shape, near.swapped(), near.swapped(), 1.0)
        self.leave(
            inside, (out.array, (*out.strides, out.step)), number, here, (chirp, (*apart, 0)),
            numbers=(out.real, out.imag, scale),
        )  # fmt: skip


def _chirp(n: int) -> np.ndarray[Any, Any]:
    numbers = np.arange(n)
    return powers(numbers * numbers % (2 * n), 2 * n)


def _response(n: int, size: int) -> np.ndarray[Any, Any]:
    """The transform of what the chirped numbers are convolved with, and the inverse's scale."""
    back = np.zeros(size, np.complex128)
    back[:n] = _chirp(n).conj()
    back[size - n + 1 :] = back[1:n][::-1]
    made: np.ndarray[Any, Any] = np.fft.fft(back) / size
    return made


@lru_cache(maxsize=1024)
def good_size(least: int) -> int:
    """The smallest of 1, 3 and 5 times a power of two that is large enough.

    Example:
        >>> from rushlight.backend.codegen.bluestein import good_size
        >>> good_size(65), good_size(1025)
        (80, 1280)
    """
    found = 1 << (least - 1).bit_length()
    for odd in (3, 5):
        found = min(found, odd << (-(-least // odd) - 1).bit_length())
    return found


__all__ = ["Bluestein", "good_size"]
