"""3x3 convolution by Winograd's minimal filtering, all of whose steps are products of matrices.

A tile of 4x4 outputs sees 6x6 pixels.  With the matrices of Toom and Cook's products of polynomials
(Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016) it is
C [(G w G') * (B d B')] C': 36 multiplications per pair of channels where windows need 144.  One
matrix transforms some tiles of a row or column of pixels and leaves the padding out, so that BLAS
does all of it, and brings channels to the end and back on the way.

The points 0, 3/4, -3/4, 3/2, -3/2 and infinity keep errors three times smaller than the usual
whole ones.  What is not finite would spread over its tile and, through zeros of the matrices, on:
results with such numbers are left to others.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import Array, prod, row_dots
from rushlight_cpu.kernels._memory import empty

Sizes = tuple[int, ...]

KERNEL, TILE = 3, 4
POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
SPAN = len(POINTS) + 1
# Rows that a product of tiles and weights should have: fewer cost BLAS more than they save.
ROWS = 256
# What a tile costs in the products, and what a matrix costs to begin with, beside a tile's own
# columns in a transform.
COLUMNS = 20
# What there is to do, in multiply-adds: per number of an image or a result to transform it, and for
# the transforms of weights and to begin the products, as if so many tiles more were multiplied, or
# for sums of the gradients of weights. Those of windows include what it costs to lay them out.
TRANSFORM, WEIGHTS, SUMS, WINDOW = 110, 70, 60, 10


def _matrices() -> tuple[Array, Array, Array]:
    """C, G and B: outputs are C [(G w) * (B d)]."""
    powers = np.vander(POINTS, TILE, increasing=True)
    combine = np.vstack([powers, np.eye(TILE)[-1]]).T
    spread = np.vstack([powers[:, :KERNEL], np.eye(KERNEL)[-1]])
    analyse = np.zeros((SPAN, SPAN))
    for row, point in enumerate(POINTS):
        others = np.array([p for p in POINTS if p != point])
        spread[row] /= np.prod(point - others)
        analyse[row, :-1] = np.poly(others)[::-1]
    analyse[-1] = np.poly(POINTS)[::-1]
    return combine, spread, analyse


_COMBINE, _SPREAD, _ANALYSE = _matrices()
# From a kernel's 9 numbers to the 36 of its transform, those of a column of them together.
_KERNELS = np.einsum("ai,bj->baij", _SPREAD, _SPREAD).reshape(SPAN**2, -1).astype(np.float32)


class _Band(NamedTuple):
    """Some tiles along a dimension: what they see and give, and the matrices to and from them."""

    pixels: slice
    outs: slice
    analyse: Array  # (points * tiles, pixels)
    combine: Array  # (outs, points * tiles)


@functools.lru_cache(maxsize=128)
def _bands(size: int, padding: int) -> tuple[_Band, ...]:
    """Bands of equally many tiles, which may hang over at the end."""
    out = size + 2 * padding - KERNEL + 1
    whole = -(-out // TILE)

    def cost(tiles: int) -> int:
        return -(-whole // tiles) * (tiles * (COLUMNS + tiles) + COLUMNS)

    tiles = min(range(1, whole + 1), key=cost)
    return tuple(_band(size, out, padding, at, tiles) for at in range(0, whole, tiles))


def _band(size: int, out: int, padding: int, first: int, tiles: int) -> _Band:
    start, seen = first * TILE - padding, (tiles - 1) * TILE + SPAN
    low, high = min(size, max(0, start)), max(0, min(size, start + seen))
    outs = slice(first * TILE, min(out, (first + tiles) * TILE))
    analyse = np.zeros((SPAN, tiles, seen), np.float32)
    combine = np.zeros((tiles * TILE, SPAN, tiles), np.float32)
    for tile in range(tiles):
        at = tile * TILE
        analyse[:, tile, at : at + SPAN] = _ANALYSE
        combine[at : at + TILE, :, tile] = _COMBINE
    inside = analyse.reshape(-1, seen)[:, low - start : high - start]
    given = combine.reshape(tiles * TILE, -1)[: outs.stop - outs.start]
    return _Band(slice(low, high), outs, np.ascontiguousarray(inside), given)


def suits(
    x: Array,
    outer: int,
    out: Sizes,
    kernel: Sizes,
    stride: Sizes,
    dilation: Sizes,
    extra: int = WEIGHTS,
) -> bool:
    """Whether tiles are cheaper than windows, for a convolution without groups.

    Args:
        x: Images.
        outer, out: Channels and sizes of the results.
        kernel, stride, dilation: Settings of the convolution.
        extra: Costs `WEIGHTS`, or `SUMS` for the gradient of weights.
    """
    plain = kernel == (KERNEL, KERNEL) and stride == dilation == (1, 1)
    if not plain or x.dtype != np.float32:
        return False
    pixels, products = len(x) * prod(out), x.shape[1] * outer
    tiles = len(x) * -(-out[0] // TILE) * -(-out[1] // TILE)
    transforms = TRANSFORM * pixels * (x.shape[1] + outer)
    return bool(SPAN**2 * (tiles + extra) * products + transforms < WINDOW * pixels * products)


class _Tiles:
    """How images are cut into tiles, and the room for transforms of some of them.

    A transform is (column of a tile, band of rows, row of a tile, tiles and channels): the tiles of
    some images are the rows of a matrix, for each of 36 products.
    """

    def __init__(self, size: Sizes, padding: Sizes, batch: int) -> None:
        self.rows, self.columns = (_bands(n, p) for n, p in zip(size, padding, strict=True))
        self.down, self.across = (
            bands[0].combine.shape[1] // SPAN for bands in (self.rows, self.columns)
        )
        self.each = len(self.rows) * self.down * len(self.columns) * self.across
        self.images = max(1, min(batch, -(-ROWS // self.each)))

    def chunks(self, start: int, stop: int) -> list[slice]:
        """Runs of images worked on together."""
        return [slice(at, min(at + self.images, stop)) for at in range(start, stop, self.images)]

    def room(self, images: int, height: int, channels: int) -> tuple[Array, Array]:
        """Flat memory for the two steps of a transform, or back, of some images."""
        images = min(images, self.images)
        half = images * height * len(self.columns) * SPAN * self.across * channels
        return empty(half, np.float32), empty(SPAN**2 * images * self.each * channels, np.float32)

    def transform(
        self,
        x: Array,
        room: tuple[Array, Array],
        *,
        outs: bool = False,
        part: slice = slice(None),
    ) -> Array:
        """Transforms pixels or, on the way to weights, gradients of outputs; of images `part`."""
        half, full = self._views(x, room)
        turned, half, full = x.transpose(0, 2, 3, 1)[part], half[part], full[:, part]
        for number, (matrix, seen) in enumerate(_analysis(self.columns, outs)):
            np.matmul(matrix, turned[:, :, seen], out=half[:, :, number])
        lines = self._lines(half)
        for number, (matrix, seen) in enumerate(_analysis(self.rows, outs)):
            np.matmul(matrix, lines[..., seen, :], out=full[number])
        return self.products(room[1], *x.shape[:2])

    def restore(self, room: tuple[Array, Array], out: Array, part: slice = slice(None)) -> bool:
        """Fills `out`, or images `part` of it, with what is combined from products.

        Returns:
            Whether all of it is finite.
        """
        half, full = self._views(out, room)
        turned, half, full = out.transpose(0, 2, 1, 3)[part], half[part], full[:, part]
        lines = self._lines(half)
        for number, band in enumerate(self.rows):
            np.matmul(band.combine, full[number], out=lines[..., band.outs, :])
        for number, band in enumerate(self.columns):
            np.matmul(half[:, :, number].swapaxes(2, 3), band.combine.T, out=turned[..., band.outs])
        return _finite(out[part])

    def products(self, full: Array, images: int, channels: int) -> Array:
        """A transform as matrices: (36 of them in bands of rows, tiles, channels)."""
        shape = (SPAN, len(self.rows), SPAN, -1, channels)
        return full[: SPAN**2 * images * self.each * channels].reshape(shape)

    def _views(self, x: Array, room: tuple[Array, Array]) -> tuple[Array, Array]:
        """The room for images like `x` as

        (image, row of pixels, band of columns, columns of tiles, channels), and
        (band of rows, image, band of columns, column of a tile, rows of tiles, tiles and channels).
        """
        images, channels, height, _ = x.shape
        shape = (images, height, len(self.columns), SPAN * self.across, channels)
        half = room[0][: prod(shape)].reshape(shape)
        full = self.products(room[1], images, channels)
        full = full.reshape(SPAN, len(self.rows), SPAN * self.down, images, len(self.columns), -1)
        return half, full.transpose(1, 3, 4, 0, 2, 5)

    def _lines(self, half: Array) -> Array:
        """(image, band of columns, column of a tile, row of pixels, tiles and channels)."""
        spread = half.reshape(*half.shape[:3], SPAN, -1)
        return spread.transpose(0, 2, 3, 1, 4)


def _analysis(bands: tuple[_Band, ...], outs: bool) -> list[tuple[Array, slice]]:
    """For each band the matrix that transforms pixels, or gradients of outputs, and which."""
    if outs:
        return [(band.combine.T, band.outs) for band in bands]
    return [(band.analyse, band.pixels) for band in bands]


def _transformed(weight: Array, backwards: bool) -> Array:
    """(column of a tile, 1, row of a tile, channels seen, channels found).

    Backwards kernels are turned about, and what was found is seen.
    """
    kernels = np.ascontiguousarray(_KERNELS[:, ::-1]) if backwards else _KERNELS
    by_seen = weight if backwards else weight.swapaxes(0, 1)
    seen, outer = by_seen.shape[:2]
    found: Array = empty((SPAN, 1, SPAN, seen, outer), np.float32)
    into = found.reshape(SPAN**2, -1)

    def part(start: int, stop: int) -> None:
        flat = by_seen[start:stop].reshape(-1, KERNEL**2)
        np.matmul(kernels, flat.T, out=into[:, start * outer : stop * outer])

    _parallel.fixed_split(seen, 40.0 * found.size / 16, part, enough=_parallel.BLOCKS)
    return found


def conv(
    x: Array, weight: Array, padding: Sizes, out: Array, work: float, *, backwards: bool = False
) -> bool:
    """Fills `out` with the cross-correlation of `x` and `weight`; False if not all is finite.

    Backwards `x` are gradients of outputs, `out` those of inputs, and padding is theirs.
    """
    x, tiles = np.ascontiguousarray(x), _Tiles(x.shape[2:], padding, len(x))
    turned = _transformed(weight, backwards)
    if tiles.images == len(x):
        return _few(tiles, x, turned, out, work)

    def part(start: int, stop: int) -> bool:
        given, found = (tiles.room(stop - start, each.shape[2], each.shape[1]) for each in (x, out))
        fine = True
        for some in tiles.chunks(start, stop):
            images = some.stop - some.start
            left = tiles.transform(x[some], given)
            np.matmul(left, turned, out=tiles.products(found[1], images, out.shape[1]))
            fine = tiles.restore(found, out[some]) and fine
        return fine

    return all(_parallel.fixed_split(len(x), work, part, least=tiles.images))


def _few(tiles: _Tiles, x: Array, turned: Array, out: Array, work: float) -> bool:
    """`conv` of few images: the threads share the numbers of a transform, and so the weights."""
    given, found = (tiles.room(len(x), each.shape[2], each.shape[1]) for each in (x, out))
    left, product = (
        tiles.products(room[1], len(x), each.shape[1]) for room, each in ((given, x), (found, out))
    )

    def transform(start: int, stop: int) -> None:
        tiles.transform(x, given, part=slice(start, stop))

    def multiply(start: int, stop: int) -> None:
        np.matmul(left[start:stop], turned[start:stop], out=product[start:stop])

    def restore(start: int, stop: int) -> bool:
        return tiles.restore(found, out, slice(start, stop))

    enough = _parallel.BLOCKS
    _parallel.split(len(x), 4.0 * given[1].size, transform, enough=enough)
    _parallel.split(SPAN, work, multiply, enough=enough)
    return all(_parallel.split(len(x), 4.0 * found[1].size, restore, enough=enough))


def conv_grad_weight(g: Array, x: Array, padding: Sizes, work: float) -> Array | None:
    """The gradient of the weight; None if not all of it is finite."""
    g, x = np.ascontiguousarray(g), np.ascontiguousarray(x)
    tiles, outer, inner = _Tiles(x.shape[2:], padding, len(x)), g.shape[1], x.shape[1]
    sums = _few_sums if tiles.images == len(x) else _many_sums
    total = sums(tiles, g, x, work).reshape(SPAN**2, outer, inner)
    found: Array = empty((outer, inner * KERNEL**2), np.float32)

    def part(start: int, stop: int) -> bool:
        into = found[start:stop].reshape(-1, KERNEL**2)
        np.matmul(total[:, start:stop].reshape(SPAN**2, -1).T, _KERNELS, out=into)
        return _finite(into)

    fine = _parallel.fixed_split(outer, 10.0 * found.size, part, enough=_parallel.BLOCKS)
    return found.reshape(outer, inner, KERNEL, KERNEL) if all(fine) else None


def _few_sums(tiles: _Tiles, g: Array, x: Array, work: float) -> Array:
    """Products of all tiles of few images: the threads share the numbers of a transform."""
    given, seen = (tiles.room(len(x), each.shape[2], each.shape[1]) for each in (g, x))

    def transform(start: int, stop: int) -> None:
        part = slice(start, stop)
        tiles.transform(g, given, outs=True, part=part)
        tiles.transform(x, seen, part=part)

    passes = 4.0 * (given[1].size + seen[1].size)
    _parallel.split(len(x), passes, transform, enough=_parallel.BLOCKS)
    left = tiles.products(given[1], len(x), g.shape[1]).swapaxes(3, 4)
    right = tiles.products(seen[1], len(x), x.shape[1])
    total = empty((*left.shape[:4], right.shape[4]), np.float32)

    def multiply(start: int, stop: int) -> None:
        np.matmul(left[start:stop], right[start:stop], out=total[start:stop])

    _parallel.split(SPAN, work, multiply, enough=_parallel.BLOCKS)
    return total[:, 0] if len(tiles.rows) == 1 else np.add.reduce(total, axis=1)


def _many_sums(tiles: _Tiles, g: Array, x: Array, work: float) -> Array:
    """Sums of the products of all tiles: the threads share the images."""

    def part(start: int, stop: int) -> Array:
        given, seen = (tiles.room(stop - start, each.shape[2], each.shape[1]) for each in (g, x))
        shape = (SPAN, len(tiles.rows), SPAN, g.shape[1], x.shape[1])
        total, product = empty(shape, np.float32), empty(shape, np.float32)
        for some in tiles.chunks(start, stop):
            left = tiles.transform(g[some], given, outs=True).swapaxes(3, 4)
            right = tiles.transform(x[some], seen)
            if some.start == start:
                np.matmul(left, right, out=total)
            else:
                total += np.matmul(left, right, out=product)
        return np.add.reduce(total, axis=1)  # type: ignore[no-any-return]

    total, *others = _parallel.fixed_split(len(x), work, part, least=tiles.images)
    for other in others:
        total += other
    return total


def _finite(x: Array) -> bool:
    """Whether all is; numbers whose squares add up to too much pass for what is not."""
    flat = x.reshape(-1)
    return bool(np.isfinite(row_dots(flat, flat)))
