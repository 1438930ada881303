"""Lines of numbers through all passes of a Fourier transform, in memory that is near.

Stockham's algorithm: every pass takes butterflies out of one buffer and lays them into another, so
that the last one leaves the frequencies in order.  One program (`passes`) serves all lengths; which
butterflies a length has is an argument.

In the CPU flavour a work-item takes 16 lines at a time, whose elements lie side by side in scratch
memory: compilers make vectors of them whatever the length is.  In the GPU flavour a work-group
shares as many lines as its local memory holds.

References:
    Stockham (1966), High-speed convolution and correlation. AFIPS Spring Joint Computer Conference.
    Van Loan (1992), Computational Frameworks for the Fast Fourier Transform. SIAM.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..._dtypes import DType, float32
from .array import DeviceArray, coalesced
from .dialect import suffix
from .passes import GROUP, KINDS, MOST_LINES, RANK, group_text, item_texts, signature
from .printing import program
from .roots import Roots


@dataclass(frozen=True)
class Side:
    """Where lines are read or written; all numbers count parts, that is real numbers.

    Attributes:
        array: The memory, as an array of parts that begins where the first line does.
        strides: Steps from line to line, one for each dimension of lines.
        step: Steps along a line.
        real, imag: Where in an element its parts are, -1 for a part that is not there.
    """

    array: DeviceArray
    strides: tuple[int, ...]
    step: int
    real: int = 0
    imag: int = 1

    def swapped(self) -> Side:
        """The same with its parts changed over, which turns a transform into its inverse."""
        return Side(self.array, self.strides, self.step, self.imag, self.real)


def parts(x: DeviceArray) -> DeviceArray:
    """The memory from an array's first element on, as real numbers."""
    x.settled()
    width = 2 if x.dtype.is_complex else 1
    return DeviceArray(
        x.device, x.buffer, x.offset * width, (x.size * width,), (1,), x.dtype.to_real(),
        x.size * width, True,
    )  # fmt: skip


def sides(out: DeviceArray, x: DeviceArray, d: int) -> tuple[tuple[int, ...], Side, Side]:
    """The lines along a dimension, over at most two others, and where they lie in both arrays.

    Args:
        out: A dense array.
        x: Another of the same shape but for dimension `d`.
        d: The dimension.
    """
    widths = tuple([2 if a.dtype.is_complex else 1 for a in (out, x)])
    sizes, steps = _lines(out.shape, out.strides, x.strides, widths, d)
    if len(sizes) > 2:
        x = x.device.dense(x)
        sizes, steps = _lines(out.shape, out.strides, x.strides, widths, d)
    made = [
        Side(parts(a), step, width * a.strides[d], 0, 1 if width == 2 else -1)
        for a, step, width in zip((out, x), steps, widths, strict=True)
    ]
    return sizes, made[0], made[1]


@lru_cache(maxsize=512)
def _lines(
    shape: tuple[int, ...],
    out_strides: tuple[int, ...],
    x_strides: tuple[int, ...],
    widths: tuple[int, ...],
    d: int,
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    axes = [k for k in range(len(shape)) if k != d]
    strides = [
        tuple([width * steps[k] for k in axes])
        for width, steps in zip(widths, (out_strides, x_strides), strict=True)
    ]
    sizes, steps = coalesced(tuple([shape[k] for k in axes]), strides)
    return tuple(sizes[::-1]), [tuple(step[::-1]) for step in steps]


@dataclass(frozen=True)
class Turn:
    """Results times `root ** (k * i)` of a longer transform, for `k` along a line.

    Attributes:
        length: Of the longer transform.
        strides: What a step from line to line adds to `i`.
    """

    length: int
    strides: tuple[int, ...]


class Stockham:
    """The kernel for one device and type of parts.

    Args:
        device: The launcher.
        part: float32 or float64.
        roots: Tables of roots of one.
    """

    def __init__(self, device: Any, part: DType, roots: Roots) -> None:
        self.device = device
        self.part = part
        self.roots = roots
        self.gpu = device.flavour == "gpu"
        #: Lines side by side: 64 bytes of each part.
        self.lanes = 16 if part is float32 else 8
        #: The longest line that near memory holds.
        self.longest = 2048 if not self.gpu else 1024 if part is float32 else 512
        self._launch: Any = None

    def __call__(
        self,
        n: int,
        plan: tuple[int, ...],
        shape: tuple[int, ...],
        out: Side,
        x: Side,
        scale: float = 1.0,
        *,
        turn: Turn | None = None,
        kind: str = "complex",
        rows: int | None = None,
    ) -> None:
        """Transforms lines; `out` may be `x`.

        Args:
            n: Length of the lines.
            plan: Its butterflies.
            shape: The lines.
            out: Where to.
            x: Where from.
            scale: Factor of the results.
            turn: What they are turned by.
            kind: "parted" gives the first `n + 1` frequencies of `2 * n` real numbers, of which
                `x` has the even ones as real parts. "joined" is the inverse, for a swapped `out`.
            rows: How many numbers of the result are wanted, if not all.
        """
        lines = math.prod(shape)
        spread = _spread(shape, out.strides, x.strides, turn.strides if turn else ())
        w = self.roots.all(n)
        coarse = fine = w
        if turn is not None:
            coarse, fine = self.roots.split(turn.length)
        elif kind != "complex":
            coarse = self.roots.all(2 * n)
        code = 0
        for r in reversed(plan):
            code = code << 5 | r
        device = self.device
        if self.gpu:
            lanes = max(1, min(MOST_LINES, self.longest // n))
            size, local, scratch = -(-lines // lanes) * GROUP, GROUP, w
        else:
            lanes = self.lanes
            size, local = min(-(-lines // lanes), max(1, device.parallelism // 4)), 1
            scratch = device.empty((size * 4 * (n + 1) * lanes,), self.part)
        if self._launch is None:
            self._launch = self._compiled()
        self._launch(
            (size,), (local,), out.array.buffer, x.array.buffer, scratch.buffer, w.buffer,
            coarse.buffer, fine.buffer, scale, n, code, lines, lanes, int(turn is not None),
            KINDS.index(kind), n + 1 if kind == "joined" else n,
            rows or (n + 1 if kind == "parted" else n), out.step, out.real, out.imag, x.step,
            x.real, x.imag, out.array.offset, x.array.offset, *spread,
        )  # fmt: skip

    def _compiled(self) -> Any:
        d, t = self.device.dialect, suffix(self.part)
        arguments, words = signature(d, t)
        texts = [group_text(d, self.longest)] if self.gpu else item_texts(d)
        texts[-1] = f"{d.kernel} k_lines({arguments}) {{\n{texts[-1]}\n}}"
        # The product and the sum in one operation: faster, and closer.
        head = f"{d.contract}\n#define T {t}\n#define LANES {self.lanes}"
        source = program([head, *texts], d, self.device.double)
        return self.device.compile(source, {"k_lines": words})["k_lines"]


@lru_cache(maxsize=512)
def _spread(shape: tuple[int, ...], *strides: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes of the fewest dimensions that lines are spread over, and each operand's steps."""
    order = sorted(range(len(shape)), key=lambda d: -abs(strides[0][d]))
    sizes, steps = coalesced(
        tuple([shape[d] for d in order]),
        [tuple([s[d] for d in order]) if s else (0,) * len(order) for s in strides],
    )
    missing = [1] * (RANK - len(sizes))
    spread = [*sizes, *missing]
    for step in steps:
        spread += [*step, *[0 for _ in missing]]
    return tuple(spread)


__all__ = ["Side", "Stockham", "Turn", "parts", "sides"]
