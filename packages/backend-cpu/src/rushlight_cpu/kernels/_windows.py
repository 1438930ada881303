"""Convolution with every window copied whole into a row: for small planes, and weight gradients.

Images are padded with their channels last. What one kernel row sees of a window is then one
contiguous run of `kernel width * channels` numbers, so a single strided copy per run of images
fills a matrix with a row per window, and one GEMM does the rest. No column is rubbish, which pays
where planes are so small that the padding of flattened planes is a good part of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import Array, prod
from rushlight_cpu.kernels._memory import empty, zeros

Sizes = tuple[int, ...]

# Elements of the matrix of windows in work at a time (16x64x14x64: 3.1 ms with these, 3.3 ms with
# four times more or less).
WINDOWS = 2**19
# Share of useful positions in flattened planes below which windows are cheaper (8x8 images with a
# padding of one: 64 %, and 1.7 instead of 2.1 ms for 128 of 16 channels; at 28x28, 87 %, and 2.4
# instead of 2.0 ms for 8 of 32 channels).
DENSE = 1 / 1.3
# Runs of fewer elements are slower to copy than flattened planes, however few of those are useful.
SHORT = 8


class Windows:
    """Turns images into rows of windows, in a workspace for one thread."""

    def __init__(
        self,
        size: Sizes,
        channels: int,
        kernel: Sizes,
        stride: Sizes,
        padding: Sizes,
        dilation: Sizes,
        dtype: Any,
        batch: int,
    ) -> None:
        padded = tuple(n + 2 * p for n, p in zip(size, padding, strict=True))
        self.out = tuple(
            (n - d * (k - 1) - 1) // s + 1
            for n, k, s, d in zip(padded, kernel, stride, dilation, strict=True)
        )
        self.pixels, self.length = prod(self.out), channels * prod(kernel)
        self.images = max(1, min(batch, WINDOWS // max(1, self.pixels * self.length)))
        self.inside = (slice(None), *(slice(p, p + n) for n, p in zip(size, padding, strict=True)))
        self.last = (0, *range(2, len(size) + 2), 1)  # the order that puts channels last
        # The borders stay zero from one run of images to the next.
        self.planes: Array = zeros((self.images, *padded, channels), dtype)
        image, *steps, one = self.planes.strides
        self.shape = (*self.out, *kernel, channels)
        self.strides = (
            image,
            *(t * s for t, s in zip(steps, stride, strict=True)),
            *(t * d for t, d in zip(steps, dilation, strict=True)),
            one,
        )
        self.rows: Array = empty((self.images * self.pixels, self.length), dtype)

    def chunks(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Runs of images worked on together."""
        return [(at, min(at + self.images, stop)) for at in range(start, stop, self.images)]

    def load(self, x: Array) -> Array:
        """(images * pixels, kernel * channels) of `x` (image, channel, *size)."""
        images = len(x)
        self.planes[:images][self.inside] = x.transpose(self.last)
        seen: Array = np.ndarray(
            (images, *self.shape), self.planes.dtype, self.planes, 0, self.strides
        )
        rows = self.rows[: images * self.pixels]
        rows.reshape(seen.shape)[...] = seen
        return rows


def suits(size: Sizes, out: Sizes, stride: Sizes, padding: Sizes) -> bool:
    """Whether flattened planes would be too much padding for a convolution of images of `size`."""
    grid = (-(-(n + 2 * p) // s) for n, p, s in zip(size, padding, stride, strict=True))
    return prod(out) < DENSE * prod(tuple(grid))


def suits_weight(kernel: Sizes, channels: int) -> bool:
    """Whether windows come in runs long enough for the gradient of the weight."""
    return kernel[-1] * channels >= SHORT


def matrix_of(weight: Array) -> Array:
    """(outputs, kernel * channels), in the order of a window."""
    order = (0, *range(2, weight.ndim), 1)
    return np.ascontiguousarray(weight.transpose(order)).reshape(weight.shape[0], -1)


def weight_of(matrix: Array, kernel: Sizes, channels: int) -> Array:
    """The weight that a matrix is of; the inverse."""
    spread = matrix.reshape(len(matrix), *kernel, channels)
    return np.ascontiguousarray(np.moveaxis(spread, -1, 1))


def conv(
    x: Array, weight: Array, stride: Sizes, padding: Sizes, dilation: Sizes, out: Array, work: float
) -> Array:
    """Fills `out` (image, output, *out) with the cross-correlation of `x` and `weight`."""
    matrix = matrix_of(weight)
    outer, kernel = weight.shape[0], weight.shape[2:]

    def part(start: int, stop: int) -> None:
        settings = kernel, stride, padding, dilation
        windows = Windows(x.shape[2:], x.shape[1], *settings, x.dtype, stop - start)
        room = empty(outer * windows.images * windows.pixels, x.dtype)
        for first, last in windows.chunks(start, stop):
            rows = windows.load(x[first:last])
            product = room[: outer * len(rows)].reshape(outer, len(rows))
            np.matmul(matrix, rows.T, out=product)
            found = product.reshape(outer, last - first, *windows.out)
            out[first:last] = found.swapaxes(0, 1)

    _parallel.fixed_split(len(x), work, part)
    return out


def conv_grad_weight(
    g: Array,
    x: Array,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    split: Callable[..., list[Array]],
) -> Array:
    """The gradient of the weight, whose parts, that are added up, `split` has computed."""
    outer, channels = g.shape[1], x.shape[1]

    def part(start: int, stop: int) -> Array:
        settings = kernel, stride, padding, dilation
        windows = Windows(x.shape[2:], channels, *settings, x.dtype, stop - start)
        dw: Array = np.zeros((outer, windows.length), x.dtype)
        room = empty(dw.shape, dw.dtype)
        grads = empty(outer * windows.images * windows.pixels, x.dtype)
        for first, last in windows.chunks(start, stop):
            rows = windows.load(x[first:last])
            flat = grads[: outer * len(rows)]
            flat.reshape(outer, last - first, *windows.out)[...] = g[first:last].swapaxes(0, 1)
            dw += np.matmul(flat.reshape(outer, len(rows)), rows, out=room)
        return dw

    return weight_of(np.asarray(sum(split(part))), kernel, channels)


def flipped(weight: Array) -> Array:
    """The kernels that take gradients of outputs back to inputs, for a stride of one."""
    backwards = (slice(None, None, -1),) * (weight.ndim - 2)
    return weight[(slice(None), slice(None), *backwards)].swapaxes(0, 1)
