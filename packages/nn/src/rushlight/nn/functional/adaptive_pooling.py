"""Pooling to a size of output: adaptive windows, and windows of random size."""

from __future__ import annotations

import rushlight
from rushlight import Tensor, ops
from rushlight._errors import error

from ._arguments import Ints, OptionalInts, int_tuple, shape_of


def adaptive_avg_pool1d(input: Tensor, output_size: OptionalInts) -> Tensor:
    """Averages a sequence down (or up) to `output_size` windows of nearly equal size.

    Args:
        input: Tensor of shape `(N, C, L)` or `(C, L)`.
        output_size: Number of windows.

    Raises:
        RuntimeError: `output_size` is negative, or the input has an empty dimension.

    Example:
        >>> rushlight.nn.functional.adaptive_avg_pool1d(rushlight.tensor([[1.0, 2.0, 6.0]]), 2)
        tensor([[1.5000, 4.0000]])
    """
    return _adaptive_avg("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: OptionalInts) -> Tensor:
    """Averages an image down to `output_size`.

    Args:
        input: Tensor of shape `(N, C, H, W)` or `(C, H, W)`.
        output_size: An int, or one per dimension; None keeps the input's size.

    Raises:
        ValueError: The input has too few dimensions.
        RuntimeError: `output_size` does not fit.

    Example:
        >>> rushlight.nn.functional.adaptive_avg_pool2d(rushlight.ones(1, 5, 7), (None, 2)).shape
        rushlight.Size([1, 5, 2])
    """
    return _adaptive_avg("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: OptionalInts) -> Tensor:
    """Averages a volume down to `output_size`; arguments as in `adaptive_avg_pool2d`."""
    return _adaptive_avg("adaptive_avg_pool3d", 3, input, output_size)


def adaptive_max_pool1d(
    input: Tensor, output_size: OptionalInts, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Takes the maxima of `output_size` windows of nearly equal size.

    Args:
        input: Tensor of shape `(N, C, L)` or `(C, L)`.
        output_size: Number of windows.
        return_indices: Returns also where the maxima lie.

    Example:
        >>> rushlight.nn.functional.adaptive_max_pool1d(rushlight.tensor([[1.0, 2.0, 6.0]]), 2)
        tensor([[2., 6.]])
    """
    result = adaptive_max_pool1d_with_indices(input, output_size)
    return result if return_indices else result[0]


def adaptive_max_pool2d(
    input: Tensor, output_size: OptionalInts, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Takes maxima of an image down to `output_size`; sizes as in `adaptive_avg_pool2d`."""
    result = adaptive_max_pool2d_with_indices(input, output_size)
    return result if return_indices else result[0]


def adaptive_max_pool3d(
    input: Tensor, output_size: OptionalInts, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Takes maxima of a volume down to `output_size`; sizes as in `adaptive_avg_pool2d`."""
    result = adaptive_max_pool3d_with_indices(input, output_size)
    return result if return_indices else result[0]


def adaptive_max_pool1d_with_indices(
    input: Tensor, output_size: OptionalInts, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool1d` that always returns the indices too."""
    return _adaptive_max("adaptive_max_pool1d", 1, input, output_size)


def adaptive_max_pool2d_with_indices(
    input: Tensor, output_size: OptionalInts, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool2d` that always returns the indices too."""
    return _adaptive_max("adaptive_max_pool2d", 2, input, output_size)


def adaptive_max_pool3d_with_indices(
    input: Tensor, output_size: OptionalInts, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool3d` that always returns the indices too."""
    return _adaptive_max("adaptive_max_pool3d", 3, input, output_size)


def _adaptive_avg(who: str, spatial: int, input: Tensor, output_size: OptionalInts) -> Tensor:
    sizes = _adaptive_sizes(who, spatial, input, output_size)
    batch = input.unsqueeze(0) if input.ndim == spatial + 1 else input
    out: Tensor = ops.adaptive_avg_pool(batch, output_size=sizes)
    return out if batch is input else out.squeeze(0)


def _adaptive_max(
    who: str, spatial: int, input: Tensor, output_size: OptionalInts
) -> tuple[Tensor, Tensor]:
    sizes = _adaptive_sizes(who, spatial, input, output_size)
    batched = input.unsqueeze(0) if input.ndim == spatial + 1 else input
    values, indices = ops.adaptive_max_pool(batched, output_size=sizes)
    if input.ndim == spatial + 1:
        return values.squeeze(0), indices.squeeze(0)
    return values, indices


def _adaptive_sizes(
    who: str, spatial: int, input: Tensor, output_size: OptionalInts
) -> tuple[int, ...]:
    """The output's sizes, where None stands for the input's."""
    given = f"input of shape {shape_of(input)}, output_size={output_size}"
    if input.ndim not in (spatial + 1, spatial + 2):
        raise error(
            # torch finds too few dimensions in two places, with two types.
            ValueError
            if spatial > 1 and not isinstance(output_size, int | None) and input.ndim <= spatial
            else RuntimeError,
            who,
            f"Input dimension should be at least {spatial + 1} and at most {spatial + 2}",
            given=given,
        )
    items = (output_size,) * spatial if isinstance(output_size, int | None) else output_size
    if len(items) != spatial:
        raise error(RuntimeError, who, f"output_size must be {spatial} ints", given=given)
    sizes = tuple(
        size if item is None else item for item, size in zip(items, input.shape[-spatial:])
    )
    if min(sizes) < 0:
        raise error(
            RuntimeError,
            who,
            "elements of output_size must be greater than or equal to 0",
            given=given,
        )
    if 0 in input.shape[-spatial - 1 :]:
        raise error(
            RuntimeError,
            who,
            "Expected input to have non-zero size for non-batch dimensions",
            given=given,
        )
    return sizes


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: float | tuple[float, float] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Takes maxima of windows at pseudo-random steps, so that sizes shrink by any ratio.

    Args:
        input: Tensor of shape `(N, C, H, W)` or `(C, H, W)`.
        kernel_size: Size of the window.
        output_size: Size of the result; or else
        output_ratio: its ratio to the input's size, between 0 and 1.
        return_indices: Returns also where the maxima lie.

    Raises:
        ValueError: Neither `output_size` nor `output_ratio` is given, or a ratio is not in (0, 1).
        RuntimeError: The windows do not fit.

    References:
        Graham (2014), Fractional max-pooling.

    Example:
        >>> rushlight.nn.functional.fractional_max_pool2d(rushlight.ones(1, 5, 5), 2, 3).shape
        rushlight.Size([1, 3, 3])
    """
    result = fractional_max_pool2d_with_indices(
        input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )
    return result if return_indices else result[0]


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: float | tuple[float, float, float] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """`fractional_max_pool2d` for volumes."""
    result = fractional_max_pool3d_with_indices(
        input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )
    return result if return_indices else result[0]


def fractional_max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: float | tuple[float, ...] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`fractional_max_pool2d` that always returns the indices too."""
    sizes = _fractional_sizes("fractional_max_pool2d", 2, input, output_size, output_ratio)
    # torch draws the number for the last dimension first, in the plane only.
    order = (1, 0)
    return _fractional("fractional_max_pool2d", input, kernel_size, sizes, order, _random_samples)


def fractional_max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: float | tuple[float, ...] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`fractional_max_pool3d` that always returns the indices too."""
    sizes = _fractional_sizes("fractional_max_pool3d", 3, input, output_size, output_ratio)
    order = (0, 1, 2)
    return _fractional("fractional_max_pool3d", input, kernel_size, sizes, order, _random_samples)


def _fractional_sizes(
    who: str,
    spatial: int,
    input: Tensor,
    output_size: Ints | None,
    output_ratio: float | tuple[float, ...] | None,
) -> tuple[int, ...]:
    if input.ndim not in (spatial + 1, spatial + 2):
        raise error(
            RuntimeError,
            who,
            f"Expected {spatial + 1}D or {spatial + 2}D input",
            given=f"input of shape {shape_of(input)}",
        )
    if output_size is not None:
        return int_tuple(output_size, spatial, who, "output_size")
    if output_ratio is None:
        raise error(ValueError, who, "requires specifying either an output_size or an output_ratio")
    ratios = output_ratio if isinstance(output_ratio, tuple | list) else (output_ratio,) * spatial
    if not all(0 < ratio < 1 for ratio in ratios):
        raise error(
            ValueError,
            who,
            "output_ratio must be between 0 and 1, both excluded",
            given=f"output_ratio={output_ratio}",
        )
    return tuple(int(size * ratio) for size, ratio in zip(input.shape[-spatial:], ratios))


def _fractional(
    who: str,
    input: Tensor,
    kernel_size: Ints,
    sizes: tuple[int, ...],
    order: tuple[int, ...],
    samples: Tensor | None,
) -> tuple[Tensor, Tensor]:
    spatial = len(sizes)
    kernel = int_tuple(kernel_size, spatial, who, "kernel_size")
    extents = tuple(input.shape[-spatial:])
    if any(n < 1 or k < 1 or n + k - 1 > e for n, k, e in zip(sizes, kernel, extents)):
        raise error(
            RuntimeError,
            who,
            "kernel_size and output_size are too large relative to the input",
            given=f"input of shape {shape_of(input)}, kernel_size={kernel}, output_size={sizes}",
            expected="output_size + kernel_size - 1 <= input size in every dimension",
        )
    batched = input.unsqueeze(0) if input.ndim == spatial + 1 else input
    lead = tuple(batched.shape[:2])
    if samples is None:
        samples = rushlight.rand((*lead, spatial), dtype=input.dtype, device=input.device)
    samples = _samples_for(who, samples, (*lead, spatial))
    places = input.new_zeros((*lead,) + (1,) * (2 * spatial), dtype=rushlight.int64)
    for dim in range(spatial):
        starts = _fractional_starts(samples[..., order[dim]], extents[dim], sizes[dim], kernel[dim])
        offsets = rushlight.arange(kernel[dim], device=input.device)
        # (N, C, 1.., size, 1.., kernel, 1..): row-major place within the volume.
        shape = [1] * (2 * spatial)
        shape[dim], shape[spatial + dim] = sizes[dim], kernel[dim]
        rows = (starts.unsqueeze(-1) + offsets).reshape((*lead, *shape))
        places = places * extents[dim] + rows
    windows = places.flatten(2 + spatial).flatten(2, 1 + spatial)
    flat = batched.flatten(2)
    found = flat.gather(2, windows.flatten(2)).reshape(windows.shape)
    values, which = found.max(-1)
    indices = windows.gather(-1, which.unsqueeze(-1)).squeeze(-1)
    shape_out = (*input.shape[:-spatial], *sizes)
    return values.reshape(shape_out), indices.reshape(shape_out)


def _samples_for(who: str, samples: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The random numbers of a batch: the first of those given, which may be more."""
    given = f"_random_samples of shape {shape_of(samples)}"
    if samples.ndim != 3 or tuple(samples.shape[1:]) != shape[1:]:
        raise error(
            RuntimeError,
            who,
            "_random_samples do not fit the input",
            given=given,
            expected=f"(at least {shape[0]}, {shape[1]} channels, {shape[2]} spatial dimensions)",
        )
    if samples.shape[0] < shape[0]:
        raise error(
            RuntimeError,
            who,
            "expected _random_samples.size(0) no less than the input's batch size",
            given=given,
            expected=f"at least {shape[0]} in dimension 0",
        )
    return samples[: shape[0]]


def _fractional_starts(sample: Tensor, extent: int, size: int, kernel: int) -> Tensor:
    """Where the windows start: steps between two integers, the last window at the end."""
    last = rushlight.full_like(sample, extent - kernel).to(rushlight.int64).unsqueeze(-1)
    if size == 1:
        return last
    alpha = (extent - kernel) / (size - 1)
    steps = rushlight.arange(size - 1, dtype=sample.dtype, device=sample.device)
    u = sample.unsqueeze(-1)
    starts = ((steps + u) * alpha).to(rushlight.int64) - (u * alpha).to(rushlight.int64)
    return rushlight.cat([starts, last], -1)
