"""Convolution and its two gradients, for any number of spatial dimensions.

An image is copied into zero-padded planes, for stride s into s phase planes per dimension. Every
kernel tap is then a constant offset into a flattened plane, so the columns of the GEMM are plain
contiguous copies. Positions where a window wraps around the edge of a plane are rubbish: the
forward drops them, the gradients meet them with zeros. Where planes are small and rubbish would be
a large share of the work, columns hold exact windows instead of flattened runs. Without groups,
`_strips` (one and two dimensions) and `_windows` lay out images otherwise and do better still, and
`_winograd` multiplies less.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight_cpu.kernels import _parallel, _strips, _windows, _winograd
from rushlight_cpu.kernels._common import Array, Kernel, ending, prod, reduced_precision
from rushlight_cpu.kernels._memory import empty, zeros

Sizes = tuple[int, ...]

# Elements of the column buffer and of the padded planes in work at a time. Smaller ones would fit
# the L2 cache, but cost more in calls, and in waits of one thread for the other, than they save
# (gradients at 32x64x56x56: 63 ms with an eighth of it, 44 ms with these).
COLUMNS = 2**21
PLANES = 2**19
# Elements of the planes of depthwise taps in work at a time.
TILE = 2**18
# What it costs to start copying one run of a window, in multiply-adds of the GEMM: rubbish columns
# are cheaper than exact windows until they cost more than that per run.
RUN = 750
# Outputs per input up to which the gradient of the input is taken by windows of `g`.
FEW = 1.5


def _output_size(
    size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Sizes:
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )


class _Geometry:
    """Where each kernel tap finds its input: a phase plane and an offset in it."""

    def __init__(
        self,
        size: Sizes,
        kernel: Sizes,
        stride: Sizes,
        padding: Sizes,
        dilation: Sizes,
        rows: int,
    ) -> None:
        self.size, self.stride, self.padding = size, stride, padding
        padded = tuple(n + 2 * p for n, p in zip(size, padding, strict=True))
        self.out = _output_size(size, kernel, stride, padding, dilation)
        self.grid = tuple(-(-n // s) for n, s in zip(padded, stride, strict=True))
        self.plane = prod(self.grid)
        self.pixels = prod(self.out)
        self.steps = tuple(prod(self.grid[axis + 1 :]) for axis in range(len(self.grid)))
        # From the first to one past the last useful position of a flattened plane.
        self.reach = 1 + sum((n - 1) * t for n, t in zip(self.out, self.steps, strict=True))
        self.taps: list[tuple[int, Sizes]] = []
        phases: dict[Sizes, int] = {}
        for tap in itertools.product(*map(range, kernel)):
            at = [divmod(k * d, s) for k, d, s in zip(tap, dilation, stride, strict=True)]
            phase = phases.setdefault(tuple(rest for _, rest in at), len(phases))
            self.taps.append((phase, tuple(whole for whole, _ in at)))
        self.phases = list(phases)
        # Of `rows` multiply-adds per column, those on rubbish, in one run of a window.
        waste = (self.plane / max(1, self.pixels) - 1) * rows * self.out[-1]
        self.flat = waste <= RUN

    def regions(self) -> list[tuple[tuple[Any, ...], tuple[Any, ...]]]:
        """For each phase plane: which part of it holds pixels, and which pixels."""
        found = []
        for phase in self.phases:
            plane, image = [], []
            for f, n, s, p in zip(phase, self.size, self.stride, self.padding, strict=True):
                skip = max(0, -((f - p) // s))
                first = f - p + s * skip
                count = max(0, -((first - n) // s))
                plane.append(slice(skip, skip + count))
                image.append(slice(first, n, s) if count else slice(0, 0))
            found.append((tuple(plane), tuple(image)))
        return found

    def tap_views(self, planes: Array, images: int) -> list[Array]:
        """What each tap sees of `planes` (phase, channel, image, *grid), channels first."""
        if not self.flat:
            return [
                planes[phase][
                    (slice(None), slice(0, images))
                    + tuple(slice(o, o + n) for o, n in zip(offset, self.out, strict=True))
                ]
                for phase, offset in self.taps
            ]
        length = (images - 1) * self.plane + self.reach
        flat = planes.reshape(planes.shape[0], planes.shape[1], -1)
        views = []
        for phase, offset in self.taps:
            start = sum(o * t for o, t in zip(offset, self.steps, strict=True))
            views.append(flat[phase][:, start : start + length])
        return views


class _Lowering:
    """Workspace and steps that turn images into GEMM operands and back, for one thread."""

    def __init__(self, geo: _Geometry, dtype: Any, inner: int, outer: int, groups: int, batch: int):
        self.geo, self.groups, self.outer = geo, groups, outer
        self.regions = geo.regions()
        self.rows = inner // groups * len(geo.taps)
        room = PLANES // max(1, inner * geo.plane * len(geo.phases))
        if not geo.flat:
            room = min(room, COLUMNS // max(1, inner * len(geo.taps) * geo.pixels))
        self.images = max(1, min(batch, room))
        self.planes = zeros((len(geo.phases), inner, self.images, *geo.grid), dtype)
        width = geo.pixels if not geo.flat else geo.plane
        total = self.images * width
        if geo.flat:
            pieces = max(1, round(inner * len(geo.taps) * total / COLUMNS))
            self.step = max(1, -(-total // pieces))
        else:
            self.step = total
        self.columns = empty(groups * self.rows * min(self.step, total), dtype)
        self.pixels = zeros((outer, self.images, *(geo.grid if geo.flat else geo.out)), dtype)
        self.valid: tuple[Any, ...] = (slice(None), slice(None), *(slice(0, n) for n in geo.out))

    def chunks(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Runs of images worked on together."""
        return [(at, min(at + self.images, stop)) for at in range(start, stop, self.images)]

    def pieces(self, images: int) -> list[slice]:
        """Runs of columns that are multiplied together."""
        geo = self.geo
        length = (images - 1) * geo.plane + geo.reach if geo.flat else images * geo.pixels
        return [slice(a, min(a + self.step, length)) for a in range(0, length, self.step)]

    def load_images(self, x: Array) -> None:
        """Copies `x` (image, channel, *size) into the phase planes, whose borders stay zero."""
        swapped = x.swapaxes(0, 1)
        for plane, (inside, pixels) in zip(self.planes, self.regions, strict=True):
            plane[(slice(None), slice(0, len(x)), *inside)] = swapped[ending(pixels)]

    def store_images(self, dx: Array) -> None:
        """Copies the phase planes back into `dx` (image, channel, *size)."""
        swapped = dx.swapaxes(0, 1)
        for plane, (inside, pixels) in zip(self.planes, self.regions, strict=True):
            swapped[ending(pixels)] = plane[(slice(None), slice(0, len(dx)), *inside)]

    def load_columns(self, piece: slice, images: int) -> Array:
        """(groups, taps * channels, columns) of one piece."""
        width = piece.stop - piece.start
        columns = self.columns[: self.groups * self.rows * width]
        views = self._views(piece, images)
        shape = (self.groups, len(views), -1, *views[0].shape[1:])
        tapped = columns.reshape(shape)
        for tap, view in enumerate(views):
            tapped[:, tap] = view.reshape(self.groups, -1, *view.shape[1:])
        return columns.reshape(self.groups, self.rows, width)

    def add_columns(self, columns: Array, piece: slice, images: int) -> None:
        """Adds columns of gradients back onto the planes."""
        views = self._views(piece, images)
        tapped = columns.reshape(self.groups, len(views), -1, *views[0].shape[1:])
        for tap, view in enumerate(views):
            split = view.reshape(self.groups, -1, *view.shape[1:])
            split += tapped[:, tap]

    def _views(self, piece: slice, images: int) -> list[Array]:
        views = self.geo.tap_views(self.planes, images)
        return [view[:, piece] for view in views] if self.geo.flat else views

    def load_outputs(self, g: Array) -> Array:
        """(groups, channels, columns) of the output gradients of a chunk."""
        into = self.pixels[:, : len(g)]
        into[self.valid] = g.swapaxes(0, 1)
        return self._grouped(len(g))

    def outputs(self, images: int) -> Array:
        """Room for (groups, channels, columns) of outputs; `store_outputs` takes it away."""
        return self._grouped(images)

    def store_outputs(self, out: Array) -> None:
        """Copies the useful columns of a chunk into `out` (image, channel, *out)."""
        out.swapaxes(0, 1)[...] = self.pixels[:, : len(out)][self.valid]

    def _grouped(self, images: int) -> Array:
        flat = self.pixels.reshape(self.groups, self.outer // self.groups, -1)
        return flat[:, :, : images * (flat.shape[2] // self.images)]


def _pointwise(geo: _Geometry) -> bool:
    """Whether the convolution is one matrix product over pixels."""
    return len(geo.taps) == 1 and geo.out == geo.size and not any(geo.padding)


def _multiply(matrix: Array, pixels: Array, out: Array) -> None:
    """Fills `out` with the products of one matrix per group and the pixels of each image."""

    def part(start: int, stop: int) -> None:
        np.matmul(matrix, pixels[start:stop], out=out[start:stop])

    work = out.size * matrix.shape[-1] / 16
    _parallel.split(len(out), work, part, enough=_parallel.BLOCKS)


def _weight_matrix(weight: Array, groups: int) -> Array:
    """(groups, outputs, taps * inputs), the order in which columns are laid out."""
    outer, inner = weight.shape[:2]
    split = weight.reshape(groups, outer // groups, inner, -1)
    return np.ascontiguousarray(split.swapaxes(2, 3)).reshape(groups, outer // groups, -1)


@reduced_precision()
def conv(
    x: Array, weight: Array, *, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Array:
    """Cross-correlates `x` (N, C, *size) with `weight` (O, C / groups, *kernel)."""
    batch, inner, outer = x.shape[0], x.shape[1], weight.shape[0]
    size, kernel = x.shape[2:], weight.shape[2:]
    found = _output_size(size, kernel, stride, padding, dilation)
    out: Array = empty((batch, outer, *found), x.dtype)
    if out.size == 0:
        return out
    if weight.size == 0:
        out[...] = 0
        return out
    geo = _Geometry(size, kernel, stride, padding, dilation, outer // groups)
    if _pointwise(geo):
        flat = x.reshape(batch, groups, inner // groups, -1)
        matrix = weight.reshape(groups, outer // groups, inner // groups)
        _multiply(matrix, flat, out.reshape(batch, groups, outer // groups, -1))
        return out
    if groups == 1 and _winograd.suits(x, outer, found, kernel, stride, dilation):
        if _winograd.conv(x, weight, padding, out, _work(weight, out)):
            return out
    if _strips.suits(kernel, dilation, groups):
        return _strips.conv(x, weight, stride, padding, dilation, out, _work(weight, out))
    if groups == 1 and _windows.suits(size, found, stride, padding):
        return _windows.conv(x, weight, stride, padding, dilation, out, _work(weight, out))
    if weight.shape[1] == 1 and groups > 1:
        return _depthwise(x, weight, geo, out)
    matrix = _weight_matrix(weight, groups)

    def part(start: int, stop: int) -> None:
        low = _Lowering(geo, x.dtype, inner, outer, groups, stop - start)
        for first, last in low.chunks(start, stop):
            low.load_images(x[first:last])
            room = low.outputs(last - first)
            for piece in low.pieces(last - first):
                columns = low.load_columns(piece, last - first)
                np.matmul(matrix, columns, out=room[:, :, piece])
            low.store_outputs(out[first:last])

    _parallel.fixed_split(batch, _work(weight, out), part)
    return out


@reduced_precision()
def conv_grad_input(
    g: Array,
    weight: Array,
    *,
    input_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Array:
    """Gradient of `conv` towards its input, which is the transposed convolution of `g`."""
    batch, outer, inner = g.shape[0], g.shape[1], weight.shape[1] * groups
    shape = (batch, inner, *input_size)
    if g.size == 0 or weight.size == 0 or prod(shape) == 0:
        return zeros(shape, g.dtype)
    kernel = weight.shape[2:]
    geo = _Geometry(input_size, kernel, stride, padding, dilation, outer // groups)
    if _pointwise(geo):
        dx: Array = empty(shape, g.dtype)
        flat = g.reshape(batch, groups, outer // groups, -1)
        matrix = weight.reshape(groups, outer // groups, -1).swapaxes(1, 2)
        _multiply(matrix, flat, dx.reshape(batch, groups, inner // groups, -1))
        return dx
    # With a stride of one it is a convolution of `g` by the kernels turned about.
    around = tuple(d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding, strict=True))
    turned = groups == 1 and set(stride) == {1} and min(around) >= 0
    if turned and _winograd.suits(g, inner, input_size, kernel, stride, dilation):
        dx = empty(shape, g.dtype)
        if _winograd.conv(g, weight, around, dx, _work(weight, g), backwards=True):
            return dx
    # Single pixels of some rows only are no work for strips.
    if _strips.suits(kernel, dilation, groups) and prod(kernel) > 1:
        if set(stride) != {1} or _strips.suits_spread(input_size, g.shape[2:], outer):
            plain = (g, weight, stride, padding, dilation)
            return _strips.conv_grad_input(*plain, empty(shape, g.dtype), _work(weight, g))
    if turned:
        settings = (g, _windows.flipped(weight), stride, around, dilation)
        if _strips.suits(kernel, dilation, groups):
            return _strips.conv(*settings, empty(shape, g.dtype), _work(weight, g))
        # Windows are worth copying unless outputs are many more than inputs.
        if outer <= FEW * inner and _windows.suits(g.shape[2:], input_size, stride, around):
            return _windows.conv(*settings, empty(shape, g.dtype), _work(weight, g))
    # Phases that no tap reads keep their zeros.
    dx = empty(shape, g.dtype) if len(geo.phases) == prod(stride) else zeros(shape, g.dtype)
    if weight.shape[1] == 1 and groups > 1:
        return _depthwise_grad_input(g, weight, geo, dx)
    matrix = _weight_matrix(weight, groups).swapaxes(1, 2)

    def part(start: int, stop: int) -> None:
        low = _Lowering(geo, g.dtype, inner, outer, groups, stop - start)
        for first, last in low.chunks(start, stop):
            low.planes[...] = 0
            grouped = low.load_outputs(g[first:last])
            for piece in low.pieces(last - first):
                columns = low.columns[: groups * low.rows * (piece.stop - piece.start)]
                columns = columns.reshape(groups, low.rows, -1)
                np.matmul(matrix, grouped[:, :, piece], out=columns)
                low.add_columns(columns, piece, last - first)
            low.store_images(dx[first:last])

    _parallel.fixed_split(batch, _work(weight, g), part)
    return dx


@reduced_precision()
def conv_grad_weight(
    g: Array,
    x: Array,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Array:
    """Gradient of `conv` towards its weight."""
    batch, inner, outer = x.shape[0], x.shape[1], g.shape[1]
    shape = (outer, inner // groups, *kernel_size)
    if g.size == 0 or x.size == 0 or prod(shape) == 0:
        return zeros(shape, x.dtype)

    def split(part: Callable[[int, int], Array]) -> list[Array]:
        work = prod(kernel_size) * (inner // groups) * g.size / 16
        enough = _parallel.BLOCKS
        return _parallel.fixed_split(batch, work, part, length=prod(shape), enough=enough)

    tiled = kernel_size, stride, dilation, _winograd.SUMS
    if groups == 1 and _winograd.suits(x, outer, g.shape[2:], *tiled):
        found = _winograd.conv_grad_weight(g, x, padding, prod(shape[1:]) * g.size / 16)
        if found is not None:
            return found
    # Of few channels windows come in short runs; strips do not mind.
    short = prod(kernel_size) > 1 and not _windows.suits_weight(kernel_size, inner)
    if short and _strips.suits(kernel_size, dilation, groups):
        work = prod(kernel_size) * inner * g.size / 16
        return _strips.conv_grad_weight(g, x, kernel_size, stride, padding, dilation, work)
    if (
        groups == 1
        and prod(kernel_size) > 1
        and (
            _windows.suits_weight(kernel_size, inner)
            or _windows.suits(x.shape[2:], g.shape[2:], stride, padding)
        )
    ):
        return _windows.conv_grad_weight(g, x, kernel_size, stride, padding, dilation, split)
    geo = _Geometry(x.shape[2:], kernel_size, stride, padding, dilation, outer // groups)
    if inner == groups > 1:
        return _depthwise_grad_weight(g, x, geo, shape)
    taps = len(geo.taps)

    def part(start: int, stop: int) -> Array:
        dw: Array = np.zeros((groups, outer // groups, inner // groups * taps), x.dtype)
        room = empty(dw.shape, dw.dtype)
        if _pointwise(geo):
            for gi, xi in zip(g[start:stop], x[start:stop], strict=True):
                flat = xi.reshape(groups, inner // groups, -1).swapaxes(1, 2)
                dw += np.matmul(gi.reshape(groups, outer // groups, -1), flat, out=room)
            return dw
        low = _Lowering(geo, x.dtype, inner, outer, groups, stop - start)
        for first, last in low.chunks(start, stop):
            low.load_images(x[first:last])
            grouped = low.load_outputs(g[first:last])
            for piece in low.pieces(last - first):
                columns = low.load_columns(piece, last - first)
                dw += np.matmul(grouped[:, :, piece], columns.swapaxes(1, 2), out=room)
        return dw

    total = np.asarray(sum(split(part))).reshape(outer, taps, inner // groups)
    return np.ascontiguousarray(total.swapaxes(1, 2)).reshape(shape)


def _work(weight: Array, out: Array) -> float:
    """What the products cost, in elements passed through a ufunc (one costs about 16 madds)."""
    return float(out.size * (weight.size // max(1, weight.shape[0])) / 16)


# Depthwise: a GEMM would have one row, so taps are multiplied and added in tiles.


def _depthwise(x: Array, weight: Array, geo: _Geometry, out: Array) -> Array:
    batch, inner = x.shape[:2]
    many = weight.shape[0] // inner
    taps = weight.reshape(inner, many, 1, -1)
    valid: tuple[Any, ...] = tuple(slice(0, n) for n in geo.out)

    def part(start: int, stop: int) -> None:
        tile = _Tile(geo, x.dtype, inner)
        total = empty((tile.channels, many, geo.plane), x.dtype)
        room = empty((tile.channels, many, geo.reach), x.dtype)
        for image in range(start, stop):
            for channels in tile.runs(inner):
                views = tile.load(x[image, channels])
                count = len(views[0])
                sums, product = total[:count, :, : geo.reach], room[:count]
                for tap, view in enumerate(views):
                    w = taps[channels, :, :, tap]
                    if tap == 0:
                        np.multiply(view, w, out=sums)
                    else:
                        sums += np.multiply(view, w, out=product)
                grid = total[:count].reshape(count, many, *geo.grid)
                split = out[image].reshape(inner, many, *geo.out)
                split[channels] = grid[ending(valid)]

    _parallel.split(batch, 2.0 * len(geo.taps) * out.size, part)
    return out


def _depthwise_grad_input(g: Array, weight: Array, geo: _Geometry, dx: Array) -> Array:
    batch, inner = dx.shape[:2]
    many = weight.shape[0] // inner
    taps = weight.reshape(inner, many, 1, -1)

    def part(start: int, stop: int) -> None:
        tile = _Tile(geo, g.dtype, inner)
        grads = np.zeros((tile.channels, many, *geo.grid), g.dtype)
        room = empty((tile.channels, geo.reach), g.dtype)
        for image in range(start, stop):
            for channels in tile.runs(inner):
                split = g[image].reshape(inner, many, *geo.out)[channels]
                flat = tile.spread(grads, split, geo)
                tile.planes[...] = 0
                product = room[: len(split)]
                for tap, view in enumerate(tile.views(len(split))):
                    for m in range(many):
                        np.multiply(flat[:, m], taps[channels, m, :, tap], out=product)
                        view[:, 0] += product
                tile.store(dx[image, channels])

    _parallel.split(batch, 2.0 * len(geo.taps) * g.size, part)
    return dx


def _depthwise_grad_weight(g: Array, x: Array, geo: _Geometry, shape: Sizes) -> Array:
    batch, inner = x.shape[:2]
    many = shape[0] // inner

    def part(start: int, stop: int) -> Array:
        dw: Array = np.zeros((inner, many, len(geo.taps)), x.dtype)
        tile = _Tile(geo, x.dtype, inner)
        grads = np.zeros((tile.channels, many, *geo.grid), x.dtype)
        for image in range(start, stop):
            for channels in tile.runs(inner):
                split = g[image].reshape(inner, many, *geo.out)[channels]
                flat = tile.spread(grads, split, geo)
                for tap, view in enumerate(tile.load(x[image, channels])):
                    dw[channels, :, tap] += np.einsum("cmp,cp->cm", flat, view[:, 0])
        return dw

    work = 2.0 * len(geo.taps) * g.size
    total = sum(_parallel.fixed_split(batch, work, part, length=prod(shape)))
    return np.asarray(total).reshape(shape)


class _Tile:
    """A few channels of one image in padded planes, a cache's worth."""

    def __init__(self, geo: _Geometry, dtype: Any, inner: int) -> None:
        self.geo = geo
        self.regions = geo.regions()
        self.channels = max(1, min(inner, TILE // max(1, geo.plane * len(geo.phases))))
        self.planes = np.zeros((len(geo.phases), self.channels, 1, *geo.grid), dtype)

    def runs(self, inner: int) -> list[slice]:
        return [slice(a, min(a + self.channels, inner)) for a in range(0, inner, self.channels)]

    def views(self, channels: int) -> list[Array]:
        """(channels, 1, reach) as each tap sees it."""
        geo = self.geo
        flat = self.planes.reshape(*self.planes.shape[:3], -1)
        found = []
        for phase, offset in geo.taps:
            start = sum(o * t for o, t in zip(offset, geo.steps, strict=True))
            found.append(flat[phase, :channels, :, start : start + geo.reach])
        return found

    def load(self, x: Array) -> list[Array]:
        for plane, (inside, pixels) in zip(self.planes, self.regions, strict=True):
            plane[(slice(0, len(x)), 0, *inside)] = x[ending(pixels)]
        return self.views(len(x))

    def store(self, dx: Array) -> None:
        for plane, (inside, pixels) in zip(self.planes, self.regions, strict=True):
            dx[ending(pixels)] = plane[(slice(0, len(dx)), 0, *inside)]

    def spread(self, grads: Array, g: Array, geo: _Geometry) -> Array:
        """Output gradients in their places of the grid, as (channels, many, reach)."""
        room = grads[: len(g)]
        room[ending(slice(0, n) for n in geo.out)] = g
        return room.reshape(*room.shape[:2], -1)[:, :, : geo.reach]


KERNELS: dict[str, Kernel] = {
    "conv": conv,
    "conv_grad_input": conv_grad_input,
    "conv_grad_weight": conv_grad_weight,
}
