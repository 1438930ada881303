"""Pooling over windows of fixed size: maximum, average and power average; and unpooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rushlight import Tensor, ops
from rushlight._errors import error

from ._arguments import (
    Ints,
    check_positive,
    int_tuple,
    shape_of,
    stride_tuple,
    write_out,
)


def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Takes the maximum of every window of a sequence.

    Args:
        input: Tensor of shape `(N, C, L)` or `(C, L)`.
        kernel_size: Size of the window.
        stride: Step of the window; the window's size unless given.
        padding: Implicit minus infinities at both ends, at most half a window.
        dilation: Distance between the elements of a window.
        ceil_mode: Also uses a last window that hangs over the end.
        return_indices: Returns also where the maxima lie, as `max_unpool1d` wants it.

    Raises:
        RuntimeError: The window does not fit.

    Example:
        >>> rushlight.nn.functional.max_pool1d(rushlight.tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
        tensor([[3., 2.]])
    """
    windows = (kernel_size, stride, padding, dilation)
    pool = _max_pool if return_indices else _max_pool_values
    return pool("max_pool1d", 1, input, windows, ceil_mode)


def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Takes the maximum of every window of an image; arguments as in `max_pool1d`.

    Args:
        input: Tensor of shape `(N, C, H, W)` or `(C, H, W)`.
        kernel_size: Size of the window; an int, or one per dimension, as in all that follow.
        stride: Step of the window.
        padding: Implicit minus infinities on both sides.
        dilation: Distance between the elements of a window.
        ceil_mode: Also uses last windows that hang over the end.
        return_indices: Returns also where the maxima lie, counted within each image.

    Example:
        >>> rushlight.nn.functional.max_pool2d(rushlight.ones(1, 4, 4), 2).shape
        rushlight.Size([1, 2, 2])
    """
    windows = (kernel_size, stride, padding, dilation)
    pool = _max_pool if return_indices else _max_pool_values
    return pool("max_pool2d", 2, input, windows, ceil_mode)


def max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Takes the maximum of every window of a volume; arguments as in `max_pool2d`.

    Example:
        >>> rushlight.nn.functional.max_pool3d(rushlight.ones(1, 4, 4, 4), 2).shape
        rushlight.Size([1, 2, 2, 2])
    """
    windows = (kernel_size, stride, padding, dilation)
    pool = _max_pool if return_indices else _max_pool_values
    return pool("max_pool3d", 3, input, windows, ceil_mode)


def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """`max_pool1d` that always returns the indices too."""
    windows = (kernel_size, stride, padding, dilation)
    return _max_pool("max_pool1d", 1, input, windows, ceil_mode)


def max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """`max_pool2d` that always returns the indices too."""
    windows = (kernel_size, stride, padding, dilation)
    return _max_pool("max_pool2d", 2, input, windows, ceil_mode)


def max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """`max_pool3d` that always returns the indices too."""
    windows = (kernel_size, stride, padding, dilation)
    return _max_pool("max_pool3d", 3, input, windows, ceil_mode)


def avg_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Averages every window of a sequence.

    Args:
        input: Tensor of shape `(N, C, L)` or `(C, L)`.
        kernel_size: Size of the window.
        stride: Step of the window; the window's size unless given.
        padding: Implicit zeros at both ends, at most half a window.
        ceil_mode: Also uses a last window that hangs over the end.
        count_include_pad: Counts the implicit zeros in the average.

    Raises:
        RuntimeError: The window does not fit.

    Example:
        >>> rushlight.nn.functional.avg_pool1d(rushlight.tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
        tensor([[2., 1.]])
    """
    windows = (kernel_size, stride, padding)
    return _avg_pool("avg_pool1d", 1, input, windows, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Averages every window of an image; arguments as in `avg_pool1d`.

    Args:
        input: Tensor of shape `(N, C, H, W)` or `(C, H, W)`.
        kernel_size: Size of the window.
        stride: Step of the window.
        padding: Implicit zeros on both sides.
        ceil_mode: Also uses last windows that hang over the end.
        count_include_pad: Counts the implicit zeros in the average.
        divisor_override: Divides the windows' sums by this instead of by their size.
        out: Tensor that receives the result.

    Example:
        >>> rushlight.nn.functional.avg_pool2d(rushlight.ones(1, 2, 2), 2, divisor_override=1)
        tensor([[[4.]]])
    """
    windows = (kernel_size, stride, padding)
    result = _avg_pool(
        "avg_pool2d", 2, input, windows, ceil_mode, count_include_pad, divisor_override
    )
    return write_out(result, out, "avg_pool2d")


def avg_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Averages every window of a volume; arguments as in `avg_pool2d`.

    Example:
        >>> rushlight.nn.functional.avg_pool3d(rushlight.ones(1, 4, 4, 4), 2).shape
        rushlight.Size([1, 2, 2, 2])
    """
    windows = (kernel_size, stride, padding)
    result = _avg_pool(
        "avg_pool3d", 3, input, windows, ceil_mode, count_include_pad, divisor_override
    )
    return write_out(result, out, "avg_pool3d")


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: int,
    stride: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Takes the `norm_type`-th root of every window's sum of powers.

    Args:
        input: Tensor of shape `(N, C, L)` or `(C, L)`.
        norm_type: The power: 1 gives sums, infinity would give maxima.
        kernel_size: Size of the window.
        stride: Step of the window; the window's size unless given.
        ceil_mode: Also uses a last window that hangs over the end.

    Example:
        >>> rushlight.nn.functional.lp_pool1d(rushlight.tensor([[3.0, 4.0]]), 2, 2)
        tensor([[5.]])
    """
    means = avg_pool1d(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
    return _root_of_sums(means, int_tuple(kernel_size, 1, "lp_pool1d", "kernel_size"), norm_type)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: Ints,
    stride: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The power average of every window of an image; arguments as in `lp_pool1d`.

    Example:
        >>> rushlight.nn.functional.lp_pool2d(rushlight.ones(1, 2, 2), 2, 2)
        tensor([[[2.]]])
    """
    means = avg_pool2d(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
    return _root_of_sums(means, int_tuple(kernel_size, 2, "lp_pool2d", "kernel_size"), norm_type)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: Ints,
    stride: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The power average of every window of a volume; arguments as in `lp_pool1d`.

    Example:
        >>> rushlight.nn.functional.lp_pool3d(rushlight.ones(1, 2, 2, 2), 1, 2)
        tensor([[[[8.]]]])
    """
    means = avg_pool3d(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
    return _root_of_sums(means, int_tuple(kernel_size, 3, "lp_pool3d", "kernel_size"), norm_type)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts maxima back where `max_pool1d` found them, among zeros.

    Args:
        input: Maxima, of shape `(N, C, L)` or `(C, L)`.
        indices: Their places, as `max_pool1d` returns them.
        kernel_size: Size of the window they were taken from.
        stride: Step of the window; the window's size unless given.
        padding: Padding of the pooling.
        output_size: Size of the result, where several are possible.

    Raises:
        ValueError: `output_size` is impossible.
        RuntimeError: `indices` has another shape than `input`, or points outside the result.

    Example:
        >>> maxima, places = rushlight.nn.functional.max_pool1d(
        ...     rushlight.tensor([[1.0, 3.0, 2.0, 0.0]]), 2, return_indices=True
        ... )
        >>> rushlight.nn.functional.max_unpool1d(maxima, places, 2)
        tensor([[0., 3., 2., 0.]])
    """
    windows = (kernel_size, stride, padding)
    return _max_unpool("max_unpool1d", 1, input, indices, windows, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts maxima back where `max_pool2d` found them; arguments as in `max_unpool1d`."""
    windows = (kernel_size, stride, padding)
    return _max_unpool("max_unpool2d", 2, input, indices, windows, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Puts maxima back where `max_pool3d` found them; arguments as in `max_unpool1d`."""
    windows = (kernel_size, stride, padding)
    return _max_unpool("max_unpool3d", 3, input, indices, windows, output_size)


def _max_pool(
    who: str,
    spatial: int,
    input: Tensor,
    windows: tuple[Ints, Ints | None, Ints, Ints],
    ceil_mode: bool,
) -> tuple[Tensor, Tensor]:
    settings = _max_settings(who, spatial, input, windows, ceil_mode)
    values, indices = ops.max_pool(_batched(input, spatial), **settings)
    if input.ndim == spatial + 1:
        return values.squeeze(0), indices.squeeze(0)
    return values, indices


def _max_pool_values(
    who: str,
    spatial: int,
    input: Tensor,
    windows: tuple[Ints, Ints | None, Ints, Ints],
    ceil_mode: bool,
) -> Tensor:
    """As `_max_pool`, but where nothing is recorded no indices are made."""
    settings = _max_settings(who, spatial, input, windows, ceil_mode)
    values: Tensor = ops.max_pool_values(_batched(input, spatial), **settings)
    return values.squeeze(0) if input.ndim == spatial + 1 else values


def _max_settings(
    who: str,
    spatial: int,
    input: Tensor,
    windows: tuple[Ints, Ints | None, Ints, Ints],
    ceil_mode: bool,
) -> dict[str, Any]:
    """The operators' attributes, checked."""
    kernel = int_tuple(windows[0], spatial, who, "kernel_size")
    strides = stride_tuple(windows[1], kernel, who)
    paddings = int_tuple(windows[2], spatial, who, "padding")
    dilations = int_tuple(windows[3], spatial, who, "dilation")
    check_positive(who, kernel_size=kernel, stride=strides, dilation=dilations)
    spans = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilations))
    _check_windows(who, spatial, input, spans, strides, paddings, ceil_mode)
    return {
        "kernel_size": kernel,
        "stride": strides,
        "padding": paddings,
        "dilation": dilations,
        "ceil_mode": ceil_mode,
    }


def _avg_pool(
    who: str,
    spatial: int,
    input: Tensor,
    windows: tuple[Ints, Ints | None, Ints],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    kernel = int_tuple(windows[0], spatial, who, "kernel_size")
    strides = stride_tuple(windows[1], kernel, who)
    paddings = int_tuple(windows[2], spatial, who, "padding")
    check_positive(who, kernel_size=kernel, stride=strides)
    _check_windows(who, spatial, input, kernel, strides, paddings, ceil_mode)
    if divisor_override == 0:
        raise error(RuntimeError, who, "divisor must be not zero", given="divisor_override=0")
    out: Tensor = ops.avg_pool(
        _batched(input, spatial),
        kernel_size=kernel,
        stride=strides,
        padding=paddings,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )
    return out.squeeze(0) if input.ndim == spatial + 1 else out


def _batched(input: Tensor, spatial: int) -> Tensor:
    return input.unsqueeze(0) if input.ndim == spatial + 1 else input


def _check_windows(
    who: str,
    spatial: int,
    input: Tensor,
    spans: tuple[int, ...],
    strides: tuple[int, ...],
    paddings: tuple[int, ...],
    ceil_mode: bool,
) -> None:
    """Refuses inputs, paddings and windows that leave nothing to pool."""
    given = f"input of shape {shape_of(input)}, window {spans}, padding={paddings}"
    if any(p < 0 for p in paddings):
        raise error(RuntimeError, who, "pad must be non-negative", given=given)
    if any(2 * p > span for p, span in zip(paddings, spans)):
        raise error(
            RuntimeError,
            who,
            "pad should be at most half of effective kernel size",
            given=given,
            fix="use less padding, or F.pad first",
        )
    if input.ndim not in (spatial + 1, spatial + 2) or 0 in input.shape[-spatial - 1 :]:
        raise error(
            RuntimeError,
            who,
            f"Expected {spatial + 1}D or {spatial + 2}D (batch mode) tensor with optional 0 dim "
            "batch size for input, and no other empty dimension",
            given=given,
        )
    sizes = [
        pooled_size(size, span, step, p, ceil_mode)
        for size, span, step, p in zip(input.shape[-spatial:], spans, strides, paddings)
    ]
    if min(sizes) < 1:
        raise error(
            RuntimeError,
            who,
            f"Output size is too small; Invalid computed output size: {tuple(sizes)}",
            given=given,
            fix="use a smaller window or more padding",
        )


def pooled_size(size: int, span: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """How many windows fit; in `ceil_mode` the last one may hang over, but must start inside."""
    room = size + 2 * padding - span
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return count


def _root_of_sums(means: Tensor, kernel: tuple[int, ...], norm_type: float) -> Tensor:
    # A negative mean (odd powers) has no real root; torch drops it to zero by its sign.
    positive = ops.relu(means.abs()) * means.sign()
    return (positive * math.prod(kernel)).pow(1.0 / norm_type)


def _max_unpool(
    who: str,
    spatial: int,
    input: Tensor,
    indices: Tensor,
    windows: tuple[Ints, Ints | None, Ints],
    output_size: Sequence[int] | None,
) -> Tensor:
    kernel = int_tuple(windows[0], spatial, who, "kernel_size")
    strides = stride_tuple(windows[1], kernel, who)
    paddings = int_tuple(windows[2], spatial, who, "padding")
    given = f"input of shape {shape_of(input)}, indices of shape {shape_of(indices)}"
    if input.ndim not in (spatial + 1, spatial + 2):
        raise error(
            RuntimeError, who, f"Expected {spatial + 1}D or {spatial + 2}D input", given=given
        )
    if indices.shape != input.shape:
        raise error(
            RuntimeError,
            who,
            "Expected shape of indices to be the same as that of the input tensor",
            given=given,
        )
    check_positive(who, stride=strides)
    sizes = _unpooled_sizes(who, input, kernel, strides, paddings, output_size)
    lead = tuple(input.shape[:-spatial])
    flat = input.new_zeros((*lead, math.prod(sizes)))
    filled = flat.scatter(-1, indices.flatten(-spatial), input.flatten(-spatial))
    return filled.reshape((*lead, *sizes))


def _unpooled_sizes(
    who: str,
    input: Tensor,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    paddings: tuple[int, ...],
    output_size: Sequence[int] | None,
) -> tuple[int, ...]:
    spatial = len(kernel)
    default = tuple(
        (size - 1) * s + k - 2 * p
        for size, s, k, p in zip(input.shape[-spatial:], strides, kernel, paddings)
    )
    if output_size is None:
        return default
    sizes = tuple(output_size)
    if len(sizes) == spatial + 2:
        sizes = sizes[2:]
    if len(sizes) != spatial:
        raise error(
            ValueError,
            who,
            f"output_size should hold {spatial} or {spatial + 2} elements, not {len(sizes)}",
            given=f"output_size={tuple(output_size)}",
        )
    if any(not d - s < size < d + s for size, d, s in zip(sizes, default, strides)):
        raise error(
            ValueError,
            who,
            f"invalid output_size {sizes}",
            expected=f"each within less than stride={strides} of {default}",
        )
    return sizes
