"""Convolution over strips: an image copied once per kernel column, whose rows are kernel rows.

Row y of the workspace holds, for each kernel column and channel, what this column sees of row y of
some images, next to each other.  The rows that a kernel spans follow each other in memory, so what
an output row needs is a matrix that lies there already: kernel height * kernel width * channels
rows, and a column per pixel.  Only one copy per kernel column is made, not one per tap, no column
is rubbish, and the product of each output row is a call of BLAS.
"""

from __future__ import annotations

import numpy as np

from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import Array, prod
from rushlight_cpu.kernels._memory import empty

Sizes = tuple[int, ...]

# Elements of the strips and their products in work at a time (32x64x32x32, 3x3: 13.3 ms with
# these, 15 ms with a quarter; smaller ones make more and smaller products).
STRIPS = 2**20
# What a thread must get for a split to pay, in elements passed through a ufunc.
ENOUGH = 7e5


def suits(kernel: Sizes, dilation: Sizes, groups: int) -> bool:
    """Whether a convolution is one over strips: kernel rows must be neighbours."""
    return groups == 1 and len(kernel) <= 2 and (len(kernel) == 1 or dilation[0] == 1)


class _Strips:
    """Sizes of a two-dimensional convolution, and its workspace for one thread."""

    def __init__(
        self, x: Array, weight: Array, stride: Sizes, padding: Sizes, dilation: Sizes, out: Array
    ) -> None:
        self.x, self.out = x, out
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.outer, self.channels, self.height, self.width = weight.shape
        # (outputs, kernel row * kernel column * channels)
        self.matrix = np.ascontiguousarray(weight.transpose(0, 2, 3, 1)).reshape(self.outer, -1)
        self.rows, self.columns = out.shape[2:]
        line = self.columns * (self.width * self.channels * stride[0] + self.outer)
        rest = self.columns * self.width * self.channels * max(0, self.height - stride[0])
        whole = self.rows * line + rest
        self.images = max(1, STRIPS // max(1, whole))
        # Of a single image that is too large, so many rows at a time.
        self.band = self.rows if whole <= STRIPS else max(1, (STRIPS - rest) // line)

    def span(self, rows: int) -> int:
        """Input rows that `rows` output rows see."""
        return int((rows - 1) * self.stride[0] + self.height)

    def run(self, start: int, stop: int) -> None:
        """Computes some images."""
        images = min(self.images, stop - start)
        length = images * self.columns
        strips = empty(self.span(self.band) * self.width * self.channels * length, self.x.dtype)
        room = empty(self.band * self.outer * length, self.x.dtype)
        for first in range(start, stop, images):
            some = slice(first, min(first + images, stop))
            for top in range(0, self.rows, self.band):
                self._compute(some, slice(top, min(top + self.band, self.rows)), strips, room)

    def _compute(self, some: slice, rows: slice, strips: Array, room: Array) -> None:
        count, lines = some.stop - some.start, rows.stop - rows.start
        shape = (self.span(lines), self.width, self.channels, count, self.columns)
        loaded = strips[: prod(shape)].reshape(shape)
        self._load(some, rows.start * self.stride[0] - self.padding[0], loaded)
        length = count * self.columns
        line, one = loaded.strides[0], loaded.itemsize
        seen: Array = np.ndarray(
            (lines, self.matrix.shape[1], length),
            loaded.dtype,
            loaded,
            0,
            (line * self.stride[0], length * one, one),
        )
        product = room[: lines * self.outer * length].reshape(lines, self.outer, length)
        np.matmul(self.matrix, seen, out=product)
        found = product.reshape(lines, self.outer, count, self.columns)
        self.out[some, :, rows] = found.transpose(2, 1, 0, 3)

    def _load(self, some: slice, top: int, strips: Array) -> None:
        """Fills strips from row `top` of the images on; what lies outside of them is zero."""
        source = self.x[some].transpose(2, 1, 0, 3)
        size, width = source.shape[0], source.shape[3]
        low, high = min(len(strips), max(0, -top)), max(0, min(len(strips), size - top))
        high = max(low, high)
        strips[:low], strips[high:] = 0, 0
        step = self.stride[1]
        for column in range(self.width):
            shift = column * self.dilation[1] - self.padding[1]
            left = min(self.columns, max(0, -(shift // step)))
            right = max(left, min(self.columns, (width - 1 - shift) // step + 1))
            into = strips[low:high, column]
            into[..., :left], into[..., right:] = 0, 0
            if left < right and low < high:
                begin = left * step + shift
                end = (right - 1) * step + shift + 1
                into[..., left:right] = source[top + low : top + high, :, :, begin:end:step]


def conv(
    x: Array, weight: Array, stride: Sizes, padding: Sizes, dilation: Sizes, out: Array, work: float
) -> Array:
    """Fills `out` (image, output, *out) with the cross-correlation of `x` and `weight`."""
    if weight.ndim == 3:
        x, weight, flat = x[:, :, None], weight[:, :, None], out[:, :, None]
        stride, padding, dilation = (1, *stride), (0, *padding), (1, *dilation)
    else:
        flat = out
        if weight.shape[2] == 1 and stride[0] > 1 and padding[0] == 0:
            x, stride = x[:, :, :: stride[0]], (1, stride[1])  # other rows are not seen
    strips = _Strips(x, weight, stride, padding, dilation, flat)
    _parallel.split(len(x), work, strips.run, enough=ENOUGH)
    return out
