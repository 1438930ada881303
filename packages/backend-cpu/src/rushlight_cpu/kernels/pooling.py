"""Max and average pooling over sliding windows, for any number of spatial dimensions.

Windows are boxes, so they are reduced one dimension after the other: rows first, where whole
contiguous runs meet, then columns on what is left. A tap that would read padding is not read at
all: each tap has a range of outputs whose windows really hold it.
"""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np

from rushlight._errors import error
from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import Array, Kernel, prod, reduced_precision
from rushlight_cpu.kernels._memory import empty, zeros

Sizes: TypeAlias = tuple[int, ...]

# Elements of the planes worked on together: larger than L2 likes, because two threads wait for each
# other between short passes (3x3 maxima of 32x64x56x56: 31 ms with a quarter of it, 15 ms so).
TILE = 2**18


def pooled_size(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> int:
    """Windows along one dimension; with `ceil_mode` the last may hang over, not start, outside."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-span // stride) if ceil_mode else span // stride) + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return count


class _Axis:
    """One spatial dimension: for each tap, the outputs that read it and what they read."""

    def __init__(
        self, size: int, out: int, kernel: int, stride: int, padding: int, dilation: int
    ) -> None:
        self.size, self.out = size, out
        self.taps: list[tuple[int, slice, slice]] = []
        for tap in range(kernel):
            shift = tap * dilation - padding
            first = max(0, -(shift // stride))
            last = min(out, (size - 1 - shift) // stride + 1)
            if first < last:
                begin = first * stride + shift
                end = (last - 1) * stride + shift + 1
                self.taps.append((tap, slice(first, last), slice(begin, end, stride)))


def _axes(
    size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ceil_mode: bool
) -> list[_Axis]:
    rows = zip(size, kernel, stride, padding, dilation, strict=True)
    return [_Axis(n, pooled_size(n, k, s, p, d, ceil_mode), k, s, p, d) for n, k, s, p, d in rows]


def _at(axis: int, part: slice) -> tuple[Any, ...]:
    return (slice(None),) * axis + (part,)


def _lowest(dtype: np.dtype[Any]) -> Any:
    # bfloat16 is of no kind that NumPy knows.
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def _tiles(start: int, stop: int, plane: int) -> list[slice]:
    step = max(1, TILE // max(1, plane))
    return [slice(at, min(at + step, stop)) for at in range(start, stop, step)]


def _stage_shape(x: Array, place: int, axis: _Axis) -> Sizes:
    return (*x.shape[:place], axis.out, *x.shape[place + 1 :])


def _covers(axis: _Axis, outs: slice) -> bool:
    return bool(outs.start == 0 and outs.stop == axis.out)


def _maximum(x: Array, place: int, axis: _Axis) -> Array:
    """Maximum of the windows along dimension `place`."""
    best: Array = empty(_stage_shape(x, place, axis), x.dtype)
    taps = axis.taps
    whole = [tap for tap in taps if _covers(axis, tap[1])]
    if len(whole) >= 2:
        (_, _, a), (_, _, b) = whole[:2]
        np.maximum(x[_at(place, a)], x[_at(place, b)], out=best)
        taps = [tap for tap in taps if tap[0] not in (whole[0][0], whole[1][0])]
    elif whole:
        best[...] = x[_at(place, whole[0][2])]
        taps = [tap for tap in taps if tap[0] != whole[0][0]]
    else:
        best[...] = _lowest(x.dtype)
    for _, outs, ins in taps:
        part = best[_at(place, outs)]
        np.maximum(part, x[_at(place, ins)], out=part)
    return best


def _chosen(
    x: Array, best: Array, codes: Array | None, place: int, axis: _Axis, weight: int, top: int
) -> Array:
    """Which tap gave the maximum: `top` less its row-major number, so that the first one wins.

    Byte-sized codes and a maximum instead of masks keep every pass in vector instructions.
    """
    kind = np.uint8 if top <= 255 else np.uint32
    taps = axis.taps
    if codes is None and len(taps) == 2 and all(_covers(axis, outs) for _, outs, _ in taps):
        # One of two gave it, or both; NaN, which equals neither, is seen to elsewhere.
        (first, _, ins), (second, _, _) = taps
        found: Array = np.equal(x[_at(place, ins)], best).view(np.uint8).astype(kind, copy=False)
        found *= kind((second - first) * weight)
        found += kind(top - second * weight)
        return found
    found = np.zeros(best.shape, kind)
    for tap, outs, ins in taps:
        hit = (x[_at(place, ins)] == best[_at(place, outs)]).view(np.uint8)
        if codes is None:
            mark = hit * kind(top - tap * weight)
        else:
            mark = (codes[_at(place, ins)] - kind(tap * weight)) * hit
        part = found[_at(place, outs)]
        np.maximum(part, mark, out=part)
    return found


def _max_codes(x: Array, axes: list[_Axis], kernel: Sizes) -> tuple[Array, Array]:
    """Maxima of the windows of `x` (planes, *size) and the row-major tap each came from."""
    top = prod(kernel)
    codes: Array | None = None
    values = x
    for place, axis in enumerate(axes, 1):
        best = _maximum(values, place, axis)
        codes = _chosen(values, best, codes, place, axis, prod(kernel[place:]), top)
        values = best
    assert codes is not None
    return values, codes


def _pairs(x: Array, rows: int, columns: int) -> tuple[Array, Array]:
    """Maxima of windows of 2x2 side by side, and the steps from each one's corner to its maximum.

    For two columns that lie side by side, one number of 16 bits tells in which row each has its
    greater number: all passes but those over columns are vector instructions.
    """
    top, low = x[:, 0 : 2 * rows : 2, : 2 * columns], x[:, 1 : 2 * rows : 2, : 2 * columns]
    lower = np.greater(low, top, order="C").view(np.uint16)
    best = np.maximum(top, low)
    left, right = best[..., 0::2], best[..., 1::2]
    across = np.greater(right, left)
    # Of equal numbers the first counts: the right one if only the left one is in the lower row.
    tie = np.equal(left, right)
    across |= np.logical_and(tie, lower == 1, out=tie)
    steps = across.astype(np.uint16)
    steps <<= 3
    lower >>= steps
    lower &= 1
    lower *= np.uint16(x.shape[2])
    lower += across
    return np.maximum(left, right), lower


def _last_nan(x: Array, axes: list[_Axis], kernel: Sizes) -> Array:
    """Row-major tap of the last NaN of each window; torch lets a later NaN replace an earlier."""
    mirrored = np.isnan(x)[(slice(None), *(slice(None, None, -1),) * len(axes))].view(np.uint8)
    flipped = []
    for axis, size in zip(axes, kernel, strict=True):
        twin = object.__new__(_Axis)
        twin.size, twin.out = axis.size, axis.out
        twin.taps = [
            (size - 1 - tap, _mirror(outs, axis.out), _mirror(ins, axis.size))
            for tap, outs, ins in reversed(axis.taps)
        ]
        flipped.append(twin)
    _, codes = _max_codes(mirrored, flipped, kernel)
    found: Array = codes[(slice(None), *(slice(None, None, -1),) * len(axes))]
    # In the mirror tap t is tap top - 1 - t, so "top less the mirrored tap" is t + 1.
    return found - 1


def _mirror(part: slice, size: int) -> slice:
    step = part.step or 1
    last = part.start + (part.stop - 1 - part.start) // step * step
    return slice(size - 1 - last, size - part.start, step)


def max_pool(
    x: Array,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
) -> tuple[Array, Array]:
    """Maxima of windows over `x` (N, C, *size) and their flat positions in the input plane."""
    size = x.shape[2:]
    axes = _axes(size, kernel_size, stride, padding, dilation, ceil_mode)
    shape = (x.shape[0] * x.shape[1], *(axis.out for axis in axes))
    values: Array = empty(shape, x.dtype)
    indices: Array = empty(shape, np.int64)
    planes = x.reshape(shape[0], *size)
    base, offsets = _positions(axes, size, kernel_size, stride, padding, dilation)
    top = len(offsets)
    plain = kernel_size == stride == (2, 2) and padding == (0, 0) and dilation == (1, 1)
    inside = plain and all(2 * n <= s for n, s in zip(shape[1:], size, strict=True))
    pairs = inside and sys.byteorder == "little" and size[1] < 2**15
    # Indexed by code: `top` less the tap.
    by_code = np.concatenate([offsets[:1], offsets[::-1]])

    def part(start: int, stop: int) -> None:
        for tile in _tiles(start, stop, prod(size)):
            if pairs:
                best, steps = _pairs(planes[tile], *shape[1:])
                if not (best != best).any():
                    values[tile], indices[tile] = best, steps
                    indices[tile] += base
                    continue
            best, codes = _max_codes(planes[tile], axes, kernel_size)
            if best.dtype.kind not in "iu":
                lost = best != best
                if lost.any():
                    last = _last_nan(planes[tile], axes, kernel_size)
                    codes[lost] = (top - last[lost].astype(np.int64)).astype(codes.dtype)
            values[tile] = best
            np.take(by_code, codes, out=indices[tile], mode="clip")
            indices[tile] += base
            if codes.size and not codes.all():
                # Dilation can step a window over the whole input: it holds padding only.
                np.clip(indices[tile], 0, prod(size) - 1, out=indices[tile])

    _parallel.split(shape[0], 6.0 * x.size, part)
    out = (*x.shape[:2], *shape[1:])
    return values.reshape(out), indices.reshape(out)


def _positions(
    axes: list[_Axis],
    size: Sizes,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
) -> tuple[Array, Array]:
    """Flat input position of each window's corner, and what each row-major tap adds to it."""
    base = np.zeros((1,), np.int64)
    offsets = np.zeros((1,), np.int64)
    rows = zip(axes, size, kernel, stride, padding, dilation, strict=True)
    for axis, n, k, s, p, d in rows:
        base = base[..., None] * n + (np.arange(axis.out) * s - p)
        offsets = (offsets[:, None] * n + np.arange(k) * d).reshape(-1)
    return base, offsets


def max_pool_values(
    x: Array,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
) -> Array:
    """Maxima of windows over `x` (N, C, *size), without their positions."""
    size = x.shape[2:]
    axes = _axes(size, kernel_size, stride, padding, dilation, ceil_mode)
    shape = (x.shape[0] * x.shape[1], *(axis.out for axis in axes))
    out: Array = empty(shape, x.dtype)
    planes = x.reshape(shape[0], *size)

    def part(start: int, stop: int) -> None:
        for tile in _tiles(start, stop, prod(size)):
            values = planes[tile]
            for place, axis in enumerate(axes, 1):
                values = _maximum(values, place, axis)
            out[tile] = values

    _parallel.split(shape[0], 2.0 * x.size, part)
    return out.reshape(*x.shape[:2], *shape[1:])


@reduced_precision()
def max_pool_backward(g: Array, indices: Array, *, input_size: Sizes) -> Array:
    """Adds each gradient at the position its maximum came from; windows may overlap."""
    planes, plane = g.shape[0] * g.shape[1], prod(input_size)
    shape = (*g.shape[:2], *input_size)
    if g.size == 0 or prod(shape) == 0:
        return zeros(shape, g.dtype)
    out: Array = empty((planes, plane), g.dtype)
    flat, where = g.reshape(planes, prod(g.shape[2:])), indices.reshape(planes, prod(g.shape[2:]))
    where = where.astype(np.int64, copy=False)

    def part(start: int, stop: int) -> bool:
        for tile in _tiles(start, stop, max(plane, flat.shape[1])):
            # Seen as unsigned, a negative index is huge: one pass checks both ends.
            if where[tile].view(np.uint64).max() >= plane:
                return False
            out[tile] = 0
            spot = where[tile] + np.arange(tile.stop - tile.start)[:, None] * plane
            np.add.at(out[tile].reshape(-1), spot.reshape(-1), flat[tile].reshape(-1))
        return True

    if not all(_parallel.split(planes, 6.0 * g.size + out.size, part, enough=_parallel.BLOCKS)):
        raise error(
            ValueError,
            "max_pool_backward",
            "an index is negative or beyond its plane",
            given=f"indices from {where.min()} to {where.max()}, planes of {input_size}",
            expected=f"0 <= index < {plane}",
        )
    return out.reshape(shape)


def _divisor(
    axes: list[_Axis],
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    count_include_pad: bool,
    dtype: np.dtype[Any],
) -> Array:
    """How many elements each window counts, broadcastable over (planes, *out)."""
    total: Array = np.ones((1,), np.int64)
    for axis, k, s, p in zip(axes, kernel, stride, padding, strict=True):
        begin = np.arange(axis.out) * s - p
        end = np.minimum(begin + k, axis.size + p)
        if not count_include_pad:
            begin, end = np.maximum(begin, 0), np.minimum(end, axis.size)
        total = total[..., None] * (end - begin)
    if total.size and (total == total.flat[0]).all():
        total = total.reshape(-1)[:1]
    return total.astype(dtype)


@reduced_precision()
def avg_pool(
    x: Array,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """Means of windows over `x` (N, C, *size)."""
    size = x.shape[2:]
    axes = _axes(size, kernel_size, stride, padding, (1,) * len(size), ceil_mode)
    shape = (x.shape[0] * x.shape[1], *(axis.out for axis in axes))
    out: Array = empty(shape, x.dtype)
    planes = x.reshape(shape[0], *size)
    divisor = _window_divisor(
        axes, kernel_size, stride, padding, count_include_pad, divisor_override, x.dtype
    )

    def part(start: int, stop: int) -> None:
        for tile in _tiles(start, stop, prod(size)):
            values = planes[tile]
            for place, axis in enumerate(axes, 1):
                values = _sum(values, place, axis)
            if x.dtype.kind in "iu":
                out[tile] = np.trunc(values / divisor)
            else:
                np.divide(values, divisor, out=out[tile])

    _parallel.split(shape[0], 2.0 * x.size, part)
    return out.reshape(*x.shape[:2], *shape[1:])


def _window_divisor(
    axes: list[_Axis],
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    count_include_pad: bool,
    override: int | None,
    dtype: np.dtype[Any],
) -> Array:
    if override is not None:
        return np.array([override], dtype)
    divisor = _divisor(axes, kernel, stride, padding, count_include_pad, dtype)
    return divisor if divisor.size == 1 else divisor.reshape(1, *(axis.out for axis in axes))


def _sum(x: Array, place: int, axis: _Axis) -> Array:
    total: Array = zeros(_stage_shape(x, place, axis), x.dtype)
    for _, outs, ins in axis.taps:
        part = total[_at(place, outs)]
        part += x[_at(place, ins)]
    return total


@reduced_precision()
def avg_pool_backward(
    g: Array,
    *,
    input_size: Sizes,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """Spreads each window's gradient evenly over what it read."""
    axes = _axes(input_size, kernel_size, stride, padding, (1,) * len(input_size), ceil_mode)
    count = g.shape[0] * g.shape[1]
    out: Array = empty((count, *input_size), g.dtype)
    planes = g.reshape(count, *g.shape[2:])
    divisor = _window_divisor(
        axes, kernel_size, stride, padding, count_include_pad, divisor_override, g.dtype
    )

    def part(start: int, stop: int) -> None:
        for tile in _tiles(start, stop, prod(input_size)):
            values = planes[tile] / divisor
            for place, axis in reversed(list(enumerate(axes, 1))):
                values = _spread(values, place, axis)
            out[tile] = values

    _parallel.split(count, 2.0 * out.size, part)
    return out.reshape(*g.shape[:2], *input_size)


def _spread(g: Array, place: int, axis: _Axis) -> Array:
    total: Array = zeros((*g.shape[:place], axis.size, *g.shape[place + 1 :]), g.dtype)
    for _, outs, ins in axis.taps:
        part = total[_at(place, ins)]
        part += g[_at(place, outs)]
    return total


KERNELS: dict[str, Kernel] = {
    "max_pool": max_pool,
    "max_pool_values": max_pool_values,
    "max_pool_backward": max_pool_backward,
    "avg_pool": avg_pool,
    "avg_pool_backward": avg_pool_backward,
}
