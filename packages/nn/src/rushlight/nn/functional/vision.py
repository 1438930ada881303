"""Rearrangements of images: pixel and channel shuffles, sliding blocks."""

from __future__ import annotations

import math

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from ._arguments import Ints, check_positive, int_tuple, shape_of


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Moves blocks of channels into space: `(*, C r r, H, W)` becomes `(*, C, H r, W r)`.

    Args:
        input: Tensor with at least three dimensions.
        upscale_factor: The factor `r`.

    Raises:
        RuntimeError: The channels can't be divided.

    References:
        Shi et al. (2016), Real-time single image and video super-resolution using an efficient
        sub-pixel convolutional neural network.

    Example:
        >>> rushlight.nn.functional.pixel_shuffle(rushlight.arange(4).reshape(4, 1, 1), 2)
        tensor([[[0, 1],
                 [2, 3]]])
    """
    r = upscale_factor
    _check_shuffle("pixel_shuffle", input, "upscale_factor", r)
    channels, height, width = input.shape[-3:]
    if channels % (r * r):
        raise error(
            RuntimeError,
            "pixel_shuffle",
            "expects its input's 'channel' dimension to be divisible by the square of "
            "upscale_factor",
            given=f"input of shape {shape_of(input)}, upscale_factor={r}",
        )
    lead = tuple(input.shape[:-3])
    blocks = input.reshape((*lead, channels // (r * r), r, r, height, width))
    n = len(lead)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return blocks.permute(order).reshape((*lead, channels // (r * r), height * r, width * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """The inverse of `pixel_shuffle`: `(*, C, H r, W r)` becomes `(*, C r r, H, W)`.

    Args:
        input: Tensor with at least three dimensions.
        downscale_factor: The factor `r`.

    Raises:
        RuntimeError: Height or width can't be divided.

    Example:
        >>> rushlight.nn.functional.pixel_unshuffle(rushlight.ones(1, 4, 4), 2).shape
        rushlight.Size([4, 2, 2])
    """
    r = downscale_factor
    _check_shuffle("pixel_unshuffle", input, "downscale_factor", r)
    channels, height, width = input.shape[-3:]
    if height % r or width % r:
        raise error(
            RuntimeError,
            "pixel_unshuffle",
            "expects height and width to be divisible by downscale_factor",
            given=f"input of shape {shape_of(input)}, downscale_factor={r}",
        )
    lead = tuple(input.shape[:-3])
    blocks = input.reshape((*lead, channels, height // r, r, width // r, r))
    n = len(lead)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return blocks.permute(order).reshape((*lead, channels * r * r, height // r, width // r))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Interleaves groups of channels.

    Args:
        input: Tensor of shape `(N, C, *)` with at least three dimensions.
        groups: Number of groups; it divides `C`.

    Raises:
        RuntimeError: The channels can't be divided.

    References:
        Zhang et al. (2018), ShuffleNet.

    Example:
        >>> channels = rushlight.arange(4).reshape(1, 4, 1)
        >>> rushlight.nn.functional.channel_shuffle(channels, 2).flatten()
        tensor([0, 2, 1, 3])
    """
    given = f"input of shape {shape_of(input)}, groups={groups}"
    if input.ndim < 3:
        raise error(
            RuntimeError,
            "channel_shuffle",
            f"expects input with > 2 dims, but got {input.ndim} dims",
            given=given,
        )
    if groups <= 0 or input.shape[1] % groups:
        raise error(
            RuntimeError,
            "channel_shuffle",
            "Number of channels must be divisible by groups, a positive number",
            given=given,
        )
    batch, channels = input.shape[:2]
    rest = tuple(input.shape[2:])
    grouped = input.reshape((batch, groups, channels // groups, *rest))
    return grouped.transpose(1, 2).reshape(input.shape)


def native_channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """`channel_shuffle` under the name of torch's inference kernel."""
    return channel_shuffle(input, groups)


def unfold(
    input: Tensor,
    kernel_size: Ints,
    dilation: Ints = 1,
    padding: Ints = 0,
    stride: Ints = 1,
) -> Tensor:
    """Lays every sliding block of an image out as a column.

    Args:
        input: Tensor of shape `(N, C, H, W)` or `(C, H, W)`.
        kernel_size: Size of the blocks.
        dilation: Distance between a block's elements.
        padding: Zeros added on both sides.
        stride: Step of the blocks.

    Returns:
        Tensor of shape `(N, C * kernel elements, number of blocks)`.

    Raises:
        RuntimeError: The blocks do not fit.

    Example:
        >>> rushlight.nn.functional.unfold(rushlight.ones(1, 1, 3, 3), 2).shape
        rushlight.Size([1, 4, 4])
    """
    blocks = _Blocks("unfold", kernel_size, dilation, padding, stride)
    if input.ndim not in (3, 4) or 0 in input.shape[-3:]:
        raise error(
            RuntimeError,
            "unfold",
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero "
            "dimensions for input",
            given=f"input of shape {shape_of(input)}",
        )
    counts = blocks.counts((input.shape[-2], input.shape[-1]))
    (kh, kw), (ph, pw) = blocks.kernel, blocks.padding
    x = input if input.ndim == 4 else input.unsqueeze(0)
    if ph or pw:
        x = rushlight.constant_pad_nd(x, [pw, pw, ph, ph], 0)
    batch, channels = x.shape[:2]
    rows = blocks.places(0, counts[0], x.device)
    columns = blocks.places(1, counts[1], x.device)
    x = x.index_select(2, rows).index_select(3, columns)
    x = x.reshape(batch, channels, kh, counts[0], kw, counts[1]).permute(0, 1, 2, 4, 3, 5)
    out = x.reshape(batch, channels * kh * kw, counts[0] * counts[1])
    return out if input.ndim == 4 else out.squeeze(0)


def fold(
    input: Tensor,
    output_size: Ints,
    kernel_size: Ints,
    dilation: Ints = 1,
    padding: Ints = 0,
    stride: Ints = 1,
) -> Tensor:
    """Adds the columns that `unfold` makes up to an image again; overlaps sum.

    Args:
        input: Tensor of shape `(N, C * kernel elements, number of blocks)`, or without `N`.
        output_size: Size of the image.
        kernel_size: Size of the blocks.
        dilation: Distance between a block's elements.
        padding: Zeros that `unfold` added on both sides.
        stride: Step of the blocks.

    Raises:
        RuntimeError: The shapes do not fit each other.

    Example:
        >>> rushlight.nn.functional.fold(rushlight.ones(4, 4), (3, 3), 2)
        tensor([[[1., 2., 1.],
                 [2., 4., 2.],
                 [1., 2., 1.]]])
    """
    height, width = int_tuple(output_size, 2, "fold", "output_size")
    blocks = _Blocks("fold", kernel_size, dilation, padding, stride)
    counts = blocks.counts((height, width))
    (kh, kw), (ph, pw) = blocks.kernel, blocks.padding
    if (
        input.ndim not in (2, 3)
        or input.shape[-2] % (kh * kw)
        or input.shape[-1] != math.prod(counts)
        or 0 in input.shape[-2:]
    ):
        raise error(
            RuntimeError,
            "fold",
            "input does not match the blocks",
            given=f"input of shape {shape_of(input)}",
            expected=f"({'N, '}a multiple of {kh * kw}, {math.prod(counts)}), with or without N",
        )
    x = input if input.ndim == 3 else input.unsqueeze(0)
    batch, channels = x.shape[0], x.shape[1] // (kh * kw)
    x = x.reshape(batch, channels, kh, kw, *counts).permute(0, 1, 2, 4, 3, 5)
    rows = blocks.places(0, counts[0], x.device)
    columns = blocks.places(1, counts[1], x.device)
    x = x.reshape(batch, channels, rows.shape[0], columns.shape[0])
    wide = x.new_zeros((batch, channels, rows.shape[0], width + 2 * pw))
    wide = wide.index_add(3, columns, x)
    out = x.new_zeros((batch, channels, height + 2 * ph, width + 2 * pw))
    out = out.index_add(2, rows, wide)[:, :, ph : ph + height, pw : pw + width]
    return out if input.ndim == 3 else out.squeeze(0)


class _Blocks:
    """The geometry of sliding blocks."""

    def __init__(self, who: str, kernel: Ints, dilation: Ints, padding: Ints, stride: Ints) -> None:
        self.who = who
        self.kernel = int_tuple(kernel, 2, who, "kernel_size")
        self.dilation = int_tuple(dilation, 2, who, "dilation")
        self.padding = int_tuple(padding, 2, who, "padding")
        self.stride = int_tuple(stride, 2, who, "stride")
        check_positive(who, kernel_size=self.kernel, dilation=self.dilation, stride=self.stride)
        if min(self.padding) < 0:
            raise error(
                RuntimeError, who, "padding should be non-negative", given=f"{self.padding}"
            )

    def counts(self, sizes: tuple[int, int]) -> tuple[int, ...]:
        """How many blocks fit along each dimension."""
        result = tuple(
            (size + 2 * p - d * (k - 1) - 1) // s + 1
            for size, k, d, p, s in zip(
                sizes, self.kernel, self.dilation, self.padding, self.stride
            )
        )
        if min(result) < 1:
            raise error(
                RuntimeError,
                self.who,
                "calculated shape of the array of sliding blocks is too small",
                given=f"image of size {sizes}, kernel_size={self.kernel}, "
                f"dilation={self.dilation}, padding={self.padding}, stride={self.stride}",
            )
        return result

    def places(self, dim: int, count: int, device: rushlight.device) -> Tensor:
        """Row (or column) of every kernel element in every block, kernel elements first."""
        inner = rushlight.arange(self.kernel[dim], device=device) * self.dilation[dim]
        starts = rushlight.arange(count, device=device) * self.stride[dim]
        return (inner.unsqueeze(1) + starts).reshape(-1)


def _check_shuffle(who: str, input: Tensor, name: str, factor: int) -> None:
    if input.ndim < 3:
        raise error(
            RuntimeError,
            who,
            f"expects input to have at least 3 dimensions, but got input with {input.ndim} "
            "dimension(s)",
            given=f"input of shape {shape_of(input)}",
        )
    if factor <= 0:
        raise error(RuntimeError, who, f"expects a positive {name}, but got {factor}")
