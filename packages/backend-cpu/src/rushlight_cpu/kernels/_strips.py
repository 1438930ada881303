"""Convolution over strips: an image copied once per kernel column, whose rows are kernel rows.

Row y of the workspace holds, for each kernel column and channel, what this column sees of row y of
some images, next to each other.  The rows that a kernel spans follow each other in memory, so what
an output row needs is a matrix that lies there already: kernel height * kernel width * channels
rows, and a column per pixel.  Only one copy per kernel column is made, not one per tap, no column
is rubbish, and the product of each output row is a call of BLAS.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import Array, prod
from rushlight_cpu.kernels._memory import empty
from rushlight_cpu.kernels._windows import matrix_of, weight_of

Sizes = tuple[int, ...]

# Elements of the strips and their products in work at a time (32x64x32x32, 3x3: 13.3 ms with
# these, 15 ms with a quarter; smaller ones make more and smaller products).
STRIPS = 2**20
# Columns that a product should have at least (32x512x4x4: 22 ms with 64 of them, 34 ms with 16).
WIDE = 128
# Elements of the strips that gradients are spread to, at a time (128x32x10x10 to 16x14x14, 5x5:
# 3.9 ms with these, 5.2 ms with a quarter; 32x512x4x4 to 256x8x8, 3x3 by 2: 9.4 and 14 ms).
SPREAD = 2**19
# What it costs to add a product to a strip, in multiply-adds.
ADDED = 16


def suits(kernel: Sizes, dilation: Sizes, groups: int) -> bool:
    """Whether a convolution is one over strips: kernel rows must be neighbours."""
    return groups == 1 and len(kernel) <= 2 and (len(kernel) == 1 or dilation[0] == 1)


class _Strips:
    """Sizes of a two-dimensional convolution, and its workspace for one thread."""

    def __init__(
        self, x: Array, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, out: Array
    ) -> None:
        self.x, self.out = x, out
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.outer, self.channels = out.shape[1], x.shape[1]
        self.height, self.width = kernel
        self.taps = self.channels * self.height * self.width
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

    def convolve(self, matrix: Array, start: int, stop: int) -> None:
        """Computes `out` of some images; the matrix is (outputs, kernel * inputs)."""
        strips, room = self._workspace(stop - start)
        for some, rows in self._chunks(start, stop):
            seen = self._seen(some, rows, strips)
            lines, _, length = seen.shape
            product = room[: lines * self.outer * length].reshape(lines, self.outer, length)
            np.matmul(matrix, seen, out=product)
            found = product.reshape(lines, self.outer, -1, self.columns)
            self.out[some, :, rows] = found.transpose(2, 1, 0, 3)

    def correlate(self, start: int, stop: int) -> Array:
        """The gradient of the matrix that some images give, `out` being the gradients of theirs."""
        strips, room = self._workspace(stop - start)
        total: Array = np.zeros((self.outer, self.taps), self.x.dtype)
        for some, rows in self._chunks(start, stop):
            seen = self._seen(some, rows, strips)
            lines, _, length = seen.shape
            grads = room[: lines * self.outer * length].reshape(lines, self.outer, length)
            into = grads.reshape(lines, self.outer, -1, self.columns)
            into[...] = self.out[some, :, rows].transpose(2, 1, 0, 3)
            total += np.matmul(grads, seen.swapaxes(1, 2)).sum(axis=0)
        return total

    def spread(self, matrices: list[Array], start: int, stop: int) -> None:
        """Fills `x` of some images with what reaches them of `out`, by matrices of `_turned`."""
        height, step = self.x.shape[2], self.width * self.channels
        many = max(1, min(stop - start, SPREAD // (height * step * self.columns)))
        strips = empty(height * step * many * self.columns, self.x.dtype)
        for first in range(start, stop, many):
            some = slice(first, min(first + many, stop))
            length = (some.stop - first) * self.columns
            grads = np.ascontiguousarray(self.out[some].transpose(2, 1, 0, 3))
            flat = grads.reshape(-1, length)
            lines = strips[: height * step * length].reshape(height, step, length)
            for which, matrix, low, count in self._sources(matrices):
                rows, row = matrix.shape[1], self.outer * length * flat.itemsize
                seen: Array = np.ndarray(
                    (count, rows, length), flat.dtype, flat, low * row, (row, *flat.strides)
                )
                np.matmul(matrix, seen, out=lines[which])
            shape = (height, self.width, self.channels, some.stop - first, self.columns)
            self._unload(some, lines.reshape(shape))

    def _sources(self, matrices: list[Array]) -> Iterator[tuple[slice, Array, int, int]]:
        """Rows of `x` that see as many rows of `out`: their matrix, the first of these, how many.

        Of rows of `x` a stride apart, each sees rows of `out` that begin one later.
        """
        height, stride = self.x.shape[2], self.stride[0]
        for top in range(min(height, stride)):
            last, kernel_row = divmod(top + self.padding[0], stride)
            matrix = matrices[kernel_row]
            seeing = matrix.shape[1] // self.outer
            count = len(range(top, height, stride))
            # All that these see lies inside from the first to before the last of these.
            inside = max(0, seeing - 1 - last), min(count, self.rows - last)
            if inside[0] < inside[1]:
                which = slice(top + inside[0] * stride, top + inside[1] * stride, stride)
                yield which, matrix, last + inside[0] - seeing + 1, inside[1] - inside[0]
            for at in range(count):
                if not inside[0] <= at < inside[1]:
                    first, line = last + at - seeing + 1, top + at * stride
                    low, high = max(0, first), min(self.rows, last + at + 1)
                    if low >= high:
                        low = high = first = 0
                    part = slice((low - first) * self.outer, (high - first) * self.outer)
                    yield slice(line, line + 1), matrix[:, part], low, 1

    def _unload(self, some: slice, strips: Array) -> None:
        """Adds up in the images what kernel columns gave them; what lies outside is dropped."""
        target = self.x[some].transpose(2, 1, 0, 3)
        target[...] = 0
        for column, (outs, pixels) in enumerate(self._reach(target.shape[3])):
            if outs.start < outs.stop:
                into = target[..., pixels]
                into += strips[:, column, :, :, outs]

    def _reach(self, width: int) -> Iterator[tuple[slice, slice]]:
        """For each kernel column: the columns of outputs that see pixels of a row, and those."""
        step = self.stride[1]
        for column in range(self.width):
            shift = column * self.dilation[1] - self.padding[1]
            left = min(self.columns, max(0, -(shift // step)))
            right = max(left, min(self.columns, (width - 1 - shift) // step + 1))
            pixels = slice(left * step + shift, max(0, (right - 1) * step + shift + 1), step)
            yield slice(left, right), pixels

    def _workspace(self, images: int) -> tuple[Array, Array]:
        length = min(self.images, images) * self.columns
        size = self.span(self.band) * self.width * self.channels * length
        dtype = self.x.dtype
        return empty(size, dtype), empty(self.band * self.outer * length, dtype)

    def _chunks(self, start: int, stop: int) -> Iterator[tuple[slice, slice]]:
        """Images and rows worked on together."""
        for first in range(start, stop, self.images):
            for top in range(0, self.rows, self.band):
                rows = slice(top, min(top + self.band, self.rows))
                yield slice(first, min(first + self.images, stop)), rows

    def _seen(self, some: slice, rows: slice, strips: Array) -> Array:
        """(rows, kernel rows * columns * inputs, pixels) that the images show."""
        lines, count = rows.stop - rows.start, some.stop - some.start
        shape = (self.span(lines), self.width, self.channels, count, self.columns)
        loaded = strips[: prod(shape)].reshape(shape)
        self._load(some, rows.start * self.stride[0] - self.padding[0], loaded)
        length, one = count * self.columns, loaded.itemsize
        steps = (loaded.strides[0] * self.stride[0], length * one, one)
        seen: Array = np.ndarray((lines, self.taps, length), loaded.dtype, loaded, 0, steps)
        return seen

    def _load(self, some: slice, top: int, strips: Array) -> None:
        """Fills strips from row `top` of the images on; what lies outside of them is zero."""
        source = self.x[some].transpose(2, 1, 0, 3)
        size, width = source.shape[0], source.shape[3]
        low, high = min(len(strips), max(0, -top)), max(0, min(len(strips), size - top))
        high = max(low, high)
        strips[:low], strips[high:] = 0, 0
        for column, (outs, pixels) in enumerate(self._reach(width)):
            into = strips[low:high, column]
            into[..., : outs.start], into[..., outs.stop :] = 0, 0
            if outs.start < outs.stop and low < high:
                into[..., outs] = source[top + low : top + high, :, :, pixels]


def _flat(
    x: Array, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, out: Array
) -> _Strips:
    """The same convolution in two dimensions, without rows that are not seen."""
    if len(kernel) == 1:
        x, out = x[:, :, None], out[:, :, None]
        kernel, stride, padding, dilation = (
            (1, *kernel), (1, *stride), (0, *padding), (1, *dilation)
        )  # fmt: skip
    elif kernel[0] == 1 and stride[0] > 1 and padding[0] == 0:
        x, stride = x[:, :, :: stride[0]], (1, stride[1])
    return _Strips(x, kernel, stride, padding, dilation, out)


def conv(
    x: Array, weight: Array, stride: Sizes, padding: Sizes, dilation: Sizes, out: Array, work: float
) -> Array:
    """Fills `out` (image, output, *out) with the cross-correlation of `x` and `weight`."""
    strips = _flat(x, weight.shape[2:], stride, padding, dilation, out)
    task = functools.partial(strips.convolve, matrix_of(weight))
    least = WIDE // max(1, strips.columns)
    _parallel.fixed_split(len(x), work, task, least=least, enough=_parallel.BLOCKS)
    return out


def suits_spread(size: Sizes, out: Sizes, outputs: int) -> bool:
    """Whether spreading gradients is cheaper than a convolution of them, for a stride of one.

    It has a product per output pixel instead of per input pixel, but must add each up.
    """
    return prod(size) * outputs > prod(out) * (outputs + ADDED)


def conv_grad_input(
    g: Array, weight: Array, stride: Sizes, padding: Sizes, dilation: Sizes, dx: Array, work: float
) -> Array:
    """Fills `dx` with the gradient of the input: rows of `g` are spread to strips of it."""
    if weight.ndim == 3:
        strips = _flat(dx, weight.shape[2:], stride, padding, dilation, g)
    else:
        strips = _Strips(dx, weight.shape[2:], stride, padding, dilation, g)
    task = functools.partial(strips.spread, _turned(weight, strips.stride[0]))
    least = WIDE // max(1, strips.columns)
    _parallel.fixed_split(len(g), work, task, least=least, enough=_parallel.BLOCKS)
    return dx


def _turned(weight: Array, stride: int) -> list[Array]:
    """Matrices (kernel column * inputs, kernel rows * outputs), by their least kernel row.

    The rows of each are a stride apart, the last one first: it belongs to the first of the rows of
    gradients.
    """
    if weight.ndim == 3:
        weight = weight[:, :, None]
    found = []
    for least in range(stride):
        rows = weight[:, :, least::stride][:, :, ::-1].transpose(3, 1, 2, 0)
        found.append(np.ascontiguousarray(rows).reshape(rows.shape[0] * rows.shape[1], -1))
    return found


def conv_grad_weight(
    g: Array,
    x: Array,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    work: float,
) -> Array:
    """The gradient of the weight: what each run of images gives, summed in their order."""
    strips = _flat(x, kernel, stride, padding, dilation, g)
    runs = -(-len(x) // strips.images)
    many = -(-len(x) // (runs + runs % 2))  # an even number, so that two threads get the same
    runs = -(-len(x) // many)

    def part(start: int, stop: int) -> list[Array]:
        return [
            strips.correlate(run * many, min((run + 1) * many, len(x)))
            for run in range(start, stop)
        ]

    parts = [
        each
        for found in _parallel.split(runs, work, part, enough=_parallel.BLOCKS)
        for each in found
    ]
    return weight_of(np.add.reduce(parts), kernel, x.shape[1])
