"""Group norm over groups of channels, batch norm over channels.

Every kernel walks blocks of rows that fit the cache: statistics, centring and scaling of a block
meet there. Gradients of weights are summed per block and then over blocks in order, so they do
not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np

from rushlight_cpu.kernels import _parallel
from rushlight_cpu.kernels._common import Array, Kernel, prod, reduced_precision, row_dots
from rushlight_cpu.kernels._memory import empty
from rushlight_cpu.kernels._rows import (
    inverse_deviations,
    row_blocks,
    rows_together,
    split_blocks,
)
from rushlight_cpu.kernels.softmax import row_sums

Needs = tuple[bool, bool, bool]
Gradients = tuple[Array | None, Array | None, Array | None]


def _column_sums(x: Array) -> Array:
    with _parallel.ONE_BLAS_THREAD:
        total: Array = np.ones(x.shape[0], x.dtype) @ x
    return total


def _normalize_rows(x: Array, eps: float, mean: Array, rstd: Array, out: Array) -> None:
    """Centres and scales rows into `out` and fills in their statistics."""
    np.divide(row_sums(x), x.shape[1], out=mean)
    np.subtract(x, mean[:, None], out=out)
    inverse_deviations(out, eps, rstd)
    out *= rstd[:, None]


def _row_gradient(gw: Array, hat: Array, rstd: Array, out: Array) -> None:
    """rstd * (gw - mean(gw) - hat * mean(gw * hat)) for rows; spoils `hat`."""
    n = hat.shape[1]
    hat *= (row_dots(gw, hat) / n)[:, None]
    np.subtract(gw, (row_sums(gw) / n)[:, None], out=out)
    out -= hat
    out *= rstd


@reduced_precision(keep=(1, 2))
def native_group_norm(
    x: Array, weight: Array | None, bias: Array | None, *, groups: int, eps: float
) -> tuple[Array, Array, Array]:
    """Normalises each group of channels of `x` (N, C, *size); statistics are (N, groups)."""
    batch, channels = x.shape[:2]
    out: Array = empty(x.shape, x.dtype)
    rows, n = batch * groups, prod(x.shape[1:]) // groups
    mean, rstd = np.zeros(rows, x.dtype), np.full(rows, np.nan, x.dtype)
    flat, into = x.reshape(rows, n), out.reshape(rows, n)
    # Row r holds group r % groups: the scales of its channels, spread over their pixels.
    scale = None if weight is None else weight.reshape(groups, channels // groups, 1)
    shift = None if bias is None else bias.reshape(groups, channels // groups, 1)

    def part(start: int, stop: int) -> None:
        for some in row_blocks(start, stop, n):
            block = into[some]
            _normalize_rows(flat[some], eps, mean[some], rstd[some], block)
            split = block.reshape(len(block), channels // groups, -1)
            which = np.arange(some.start, some.stop) % groups
            if scale is not None:
                split *= scale[which]
            if shift is not None:
                split += shift[which]

    if x.size:
        split_blocks(rows, n, 5.0 * x.size, part)
    return out, mean.reshape(batch, groups), rstd.reshape(batch, groups)


@reduced_precision()
def group_norm_backward(
    g: Array,
    x: Array,
    mean: Array,
    rstd: Array,
    weight: Array | None,
    *,
    groups: int,
    needs: Needs,
) -> Gradients:
    """Gradients of `native_group_norm` towards x, weight and bias, where `needs` says so."""
    batch, channels = x.shape[:2]
    dx: Array | None = empty(x.shape, x.dtype) if needs[0] else None
    if x.size == 0:
        none = np.zeros(channels, x.dtype)
        return dx, none if needs[1] else None, none.copy() if needs[2] else None
    rows, n, wide = batch * groups, prod(x.shape[1:]) // groups, channels // groups
    flat, grads = x.reshape(rows, n), g.reshape(rows, n)
    means, scales = mean.reshape(rows, 1), rstd.reshape(rows, 1)
    into = None if dx is None else dx.reshape(rows, n)
    scale = None if weight is None else weight.reshape(groups, wide, 1)
    dots, plain = empty((rows, wide), x.dtype), empty((rows, wide), x.dtype)

    def part(start: int, stop: int) -> None:
        rooms = empty((2, min(rows_together(n), stop - start), n), x.dtype)
        for some in row_blocks(start, stop, n):
            hat, weighted = rooms[:, : some.stop - some.start]
            gs = grads[some]
            np.subtract(flat[some], means[some], out=hat)
            hat *= scales[some]
            per_channel = gs.reshape(len(gs), wide, -1)
            dots[some] = row_dots(per_channel, hat.reshape(per_channel.shape))
            plain[some] = per_channel @ np.ones(per_channel.shape[2], x.dtype)
            if into is None:
                continue
            if scale is not None:
                which = np.arange(some.start, some.stop) % groups
                np.multiply(per_channel, scale[which], out=weighted.reshape(per_channel.shape))
                gs = weighted
            _row_gradient(gs, hat, scales[some], into[some])

    split_blocks(rows, n, 8.0 * x.size, part)
    dw = dots.reshape(batch, channels).sum(axis=0) if needs[1] else None
    db = plain.reshape(batch, channels).sum(axis=0) if needs[2] else None
    return dx, dw, db


# Batch norm. Rows are (image, channel) planes; with a single pixel per plane they are images and
# columns are channels, because planes of one element would cost a reduction each.


def _planes(x: Array) -> tuple[int, int, int]:
    return x.shape[0], x.shape[1], prod(x.shape[2:])


@reduced_precision(keep=(0, 1))
def batch_norm_stats(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each channel of `x` (N, C, *size)."""
    batch, channels, pixels = _planes(x)
    count = batch * pixels
    if x.size == 0:
        nothing = np.full(channels, np.nan, x.dtype)
        return nothing, nothing.copy()
    if pixels == 1:
        flat = x.reshape(batch, channels)
        mean = _column_sums(flat) / count
        centred = flat - mean
        return mean, np.einsum("ij,ij->j", centred, centred) / count
    planes = x.reshape(batch * channels, pixels)
    means, squares = np.empty(len(planes), x.dtype), np.empty(len(planes), x.dtype)

    def part(start: int, stop: int) -> None:
        room = empty((min(rows_together(pixels), stop - start), pixels), x.dtype)
        for some in row_blocks(start, stop, pixels):
            block = planes[some]
            means[some] = row_sums(block) / pixels
            centred = np.subtract(block, means[some, None], out=room[: len(block)])
            squares[some] = row_dots(centred, centred)

    split_blocks(len(planes), pixels, 3.0 * x.size, part)
    # Squares about each plane's own mean, moved to the channel's (Chan, Golub and LeVeque, 1979).
    per_image = means.reshape(batch, channels)
    mean = per_image.sum(axis=0) / batch
    away = per_image - mean
    spread = squares.reshape(batch, channels).sum(axis=0) / count
    return mean, spread + (away * away).sum(axis=0) / batch


@reduced_precision()
def batch_norm_apply(
    x: Array, mean: Array, rstd: Array, weight: Array | None, bias: Array | None
) -> Array:
    """Centres and scales each channel of `x` (N, C, *size)."""
    batch, channels, pixels = _planes(x)
    scale = rstd if weight is None else rstd * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    scale, shift = scale.astype(x.dtype, copy=False), shift.astype(x.dtype, copy=False)
    out: Array = empty(x.shape, x.dtype)
    if pixels == 1:
        np.multiply(x.reshape(batch, channels), scale, out=out.reshape(batch, channels))
        out.reshape(batch, channels)[...] += shift
        return out
    flat, into = x.reshape(batch * channels, pixels), out.reshape(batch * channels, pixels)
    scales, shifts = np.tile(scale, batch)[:, None], np.tile(shift, batch)[:, None]

    def part(start: int, stop: int) -> None:
        for some in row_blocks(start, stop, pixels):
            np.multiply(flat[some], scales[some], out=into[some])
            into[some] += shifts[some]

    if x.size:
        split_blocks(len(flat), pixels, 2.0 * x.size, part)
    return out


@reduced_precision(keep=(1, 2))
def batch_norm_train(
    x: Array, weight: Array | None, bias: Array | None, *, eps: float
) -> tuple[Array, Array, Array]:
    """Normalises each channel by the statistics of the batch; returns mean and variance as well."""
    mean, variance = batch_norm_stats(x)
    rstd = (1 / np.sqrt(variance + eps)).astype(x.dtype, copy=False)
    return batch_norm_apply(x, mean, rstd, weight, bias), mean, variance


@reduced_precision()
def batch_norm_backward(
    g: Array,
    x: Array,
    mean: Array,
    rstd: Array,
    weight: Array | None,
    *,
    training: bool,
    needs: Needs,
) -> Gradients:
    """Gradients of batch norm; in training the statistics depend on `x`, else they are given."""
    batch, channels, pixels = _planes(x)
    dx: Array | None = empty(x.shape, x.dtype) if needs[0] else None
    if x.size == 0:
        none = np.zeros(channels, x.dtype)
        return dx, none if needs[1] else None, none.copy() if needs[2] else None
    count = batch * pixels
    plain, dots = _channel_sums(g, x, mean, needs[1] or training)
    if dx is not None:
        scale = rstd if weight is None else rstd * weight
        if training:
            slope = -scale * rstd * rstd * dots / count
            shift = -scale * plain / count - mean * slope
            _affine2(g, x, scale, slope, shift, dx)
        else:
            shape = (channels, *(1,) * (x.ndim - 2))
            np.multiply(g, scale.astype(x.dtype, copy=False).reshape(shape), out=dx)
    dw = (dots * rstd).astype(x.dtype, copy=False) if needs[1] else None
    return dx, dw, plain if needs[2] else None


def _channel_sums(g: Array, x: Array, mean: Array, dots: bool) -> tuple[Array, Array]:
    """Per channel: sum of g, and sum of g * (x - mean)."""
    batch, channels, pixels = _planes(x)
    nothing = np.zeros(channels, x.dtype)
    if pixels == 1:
        flat = g.reshape(batch, channels)
        plain = _column_sums(flat)
        if not dots:
            return plain, nothing
        return plain, np.einsum("ij,ij->j", flat, x.reshape(batch, channels) - mean)
    planes, grads = x.reshape(-1, pixels), g.reshape(-1, pixels)
    centre = np.tile(mean.astype(x.dtype, copy=False), batch)[:, None]
    sums, found = np.empty(len(planes), x.dtype), np.empty(len(planes), x.dtype)

    def part(start: int, stop: int) -> None:
        room = (
            empty((min(rows_together(pixels), stop - start), pixels), x.dtype) if dots else nothing
        )
        for some in row_blocks(start, stop, pixels):
            block = grads[some]
            sums[some] = row_sums(block)
            if dots:
                centred = np.subtract(planes[some], centre[some], out=room[: len(block)])
                found[some] = row_dots(block, centred)

    split_blocks(len(planes), pixels, 3.0 * x.size, part)
    plain = sums.reshape(batch, channels).sum(axis=0)
    return plain, found.reshape(batch, channels).sum(axis=0) if dots else nothing


def _affine2(g: Array, x: Array, a: Array, b: Array, c: Array, out: Array) -> None:
    """out = a * g + b * x + c, with a, b and c per channel."""
    batch, channels, pixels = _planes(x)
    if pixels == 1:
        out[...] = (g.reshape(batch, channels) * a + (x.reshape(batch, channels) * b + c)).reshape(
            x.shape
        )
        return
    a, b, c = (np.tile(v.astype(x.dtype, copy=False), batch)[:, None] for v in (a, b, c))
    gs, xs, into = (v.reshape(-1, pixels) for v in (g, x, out))

    def part(start: int, stop: int) -> None:
        room = empty((min(rows_together(pixels), stop - start), pixels), x.dtype)
        for some in row_blocks(start, stop, pixels):
            other = np.multiply(xs[some], b[some], out=room[: some.stop - some.start])
            other += c[some]
            np.multiply(gs[some], a[some], out=into[some])
            into[some] += other

    split_blocks(len(gs), pixels, 4.0 * x.size, part)


KERNELS: dict[str, Kernel] = {
    "native_group_norm": native_group_norm,
    "group_norm_backward": group_norm_backward,
    "batch_norm_stats": batch_norm_stats,
    "batch_norm_train": batch_norm_train,
    "batch_norm_apply": batch_norm_apply,
    "batch_norm_backward": batch_norm_backward,
}
