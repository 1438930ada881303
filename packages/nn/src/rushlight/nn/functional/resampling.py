"""Changing the size of images: interpolate and its older names."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import rushlight
from rushlight import Tensor
from rushlight._errors import error
from rushlight.ops import cubic_weight

from ._arguments import shape_of
from .adaptive_pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

# The mode's number of spatial dimensions, where it is fixed.
_SPATIAL = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}
_MODES = ("nearest", "nearest-exact", "area", *_SPATIAL)
# Keys' parameter: torch takes the common choice for plain cubic interpolation, and the one of
# image libraries (which reproduces quadratics) for the antialiased one.
_KEYS_PLAIN = -0.75
_KEYS_ANTIALIAS = -0.5

# Indices and weights of the elements that make up each element of the output.
Taps = list[tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class _Axis:
    """How one dimension is resampled."""

    size: int
    out: int
    # Input elements per output element.
    scale: float
    align_corners: bool


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resamples the spatial dimensions to a size, or by a factor.

    Args:
        input: Tensor of shape `(N, C, *)` with one to three spatial dimensions.
        size: Size of the output; or else
        scale_factor: its ratio to the input's size.
        mode: `"nearest"`, `"nearest-exact"`, `"linear"` (3-D input), `"bilinear"`, `"bicubic"`
            (4-D), `"trilinear"` (5-D) or `"area"`.
        align_corners: Lets the centres of the corner pixels coincide instead of their corners;
            for the linear and cubic modes only.
        recompute_scale_factor: Uses the ratio of the sizes, after rounding, instead of
            `scale_factor` as it was given.
        antialias: Widens the filter when shrinking; `"bilinear"` and `"bicubic"` only.

    Raises:
        ValueError: Arguments do not fit each other.
        NotImplementedError: `mode` is unknown or does not fit the number of dimensions.
        RuntimeError: The output would be empty.

    References:
        Keys (1981), Cubic convolution interpolation for digital image processing.

    Example:
        >>> row = rushlight.tensor([[[0.0, 4.0]]])
        >>> rushlight.nn.functional.interpolate(row, size=4, mode="linear")
        tensor([[[0., 1., 3., 4.]]])
    """
    _check_mode(input, mode, align_corners, antialias)
    spatial = input.ndim - 2
    sizes, factors = _output_sizes(input, size, scale_factor, recompute_scale_factor)
    if mode == "area":
        pools = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)
        return pools[spatial - 1](input, sizes)
    if min(sizes) < 1 or 0 in input.shape[1:]:
        raise error(
            RuntimeError,
            "interpolate",
            "Input and output sizes should be greater than 0",
            given=f"input of shape {shape_of(input)}, output size {sizes}",
        )
    corners = bool(align_corners)
    axes = [
        _Axis(n, out, _scale(n, out, factor, corners), corners)
        for n, out, factor in zip(input.shape[2:], sizes, factors)
    ]
    if mode.startswith("nearest"):
        for dim, axis in enumerate(axes, 2):
            input = input.index_select(dim, _nearest(axis, mode == "nearest-exact", input.device))
        return input
    return _filtered(input, axes, cubic=mode == "bicubic", antialias=antialias)


def upsample(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """Older name of `interpolate`."""
    warnings.warn(
        "`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """Older name of `interpolate` with `mode="nearest"`."""
    warnings.warn(
        "`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """Older name of `interpolate` with `mode="bilinear"` and `align_corners=True`."""
    warnings.warn(
        "`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


def _filtered(input: Tensor, axes: list[_Axis], *, cubic: bool, antialias: bool) -> Tensor:
    """Filters one dimension after the other, in at least single precision."""
    dtype = input.dtype
    working = dtype if dtype == rushlight.float64 else rushlight.float32
    x = input.to(working)
    for dim, axis in enumerate(axes, 2):
        if antialias:
            matrix = _antialias_matrix(axis, cubic, x)
            x = rushlight.matmul(x.movedim(dim, -1), matrix).movedim(-1, dim)
        else:
            x = _apply(x, dim, _cubic_taps(axis, x) if cubic else _linear_taps(axis, x))
    if not dtype.is_floating_point:
        x = x.round().clamp(0, 255)
    return x.to(dtype)


def _apply(x: Tensor, dim: int, taps: Taps) -> Tensor:
    shape = [1] * x.ndim
    shape[dim] = -1
    total: Tensor | None = None
    for index, weight in taps:
        term = x.index_select(dim, index)
        if weight is not None:
            term = term * weight.reshape(shape)
        total = term if total is None else total + term
    assert total is not None
    return total


def _centres(axis: _Axis, like: Tensor) -> Tensor:
    """Where the output's elements lie in the input's coordinates."""
    places = rushlight.arange(axis.out, dtype=like.dtype, device=like.device)
    if axis.align_corners:
        return places * axis.scale
    return (places + 0.5) * axis.scale - 0.5


def _linear_taps(axis: _Axis, like: Tensor) -> Taps:
    if axis.size == axis.out:
        return [(rushlight.arange(axis.size, device=like.device), None)]
    source = _centres(axis, like).clamp_min(0)
    low = source.floor().to(rushlight.int64).clamp_max(axis.size - 1)
    share = (source - low.to(like.dtype)).clamp(0, 1)
    high = (low + 1).clamp_max(axis.size - 1)
    return [(low, 1 - share), (high, share)]


def _cubic_taps(axis: _Axis, like: Tensor) -> Taps:
    if axis.size == axis.out:
        return [(rushlight.arange(axis.size, device=like.device), None)]
    source = _centres(axis, like)
    low = source.floor()
    share = source - low
    first = low.to(rushlight.int64)
    return [
        ((first + k).clamp(0, axis.size - 1), cubic_weight((share - k).abs(), _KEYS_PLAIN))
        for k in (-1, 0, 1, 2)
    ]


def _antialias_matrix(axis: _Axis, cubic: bool, like: Tensor) -> Tensor:
    """Weights `(size, out)` of a filter as wide as an output element, when that is larger."""
    stretch = max(axis.scale, 1.0)
    support = (2.0 if cubic else 1.0) * stretch
    outs = rushlight.arange(axis.out, dtype=like.dtype, device=like.device)
    ins = rushlight.arange(axis.size, dtype=like.dtype, device=like.device).unsqueeze(1)
    # With aligned corners torch spaces the centres by the other scale, but starts half a step in.
    centres = axis.scale * (outs + 0.5)
    first = (centres - support + 0.5).to(rushlight.int64).clamp_min(0)
    end = (centres + support + 0.5).to(rushlight.int64).clamp_max(axis.size)
    distance = ((ins - centres + 0.5) / stretch).abs()
    weights = cubic_weight(distance, _KEYS_ANTIALIAS) if cubic else (1 - distance).clamp_min(0)
    inside = (ins >= first.to(like.dtype)) & (ins < end.to(like.dtype))
    weights = weights * inside.to(like.dtype)
    return weights / weights.sum(0)


def _nearest(axis: _Axis, exact: bool, device: rushlight.device) -> Tensor:
    # Single precision on purpose: the index must fall where torch's does.
    places = rushlight.arange(axis.out, dtype=rushlight.float32, device=device)
    source = (places + 0.5) * axis.scale if exact else places * axis.scale
    return source.floor().to(rushlight.int64).clamp_max(axis.size - 1)


def _scale(size: int, out: int, factor: float | None, align_corners: bool) -> float:
    if align_corners:
        return (size - 1) / (out - 1) if out > 1 else 0.0
    return 1.0 / factor if factor is not None and factor > 0 else size / out


def _output_sizes(
    input: Tensor,
    size: int | Sequence[int] | None,
    scale_factor: float | Sequence[float] | None,
    recompute: bool | None,
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The output's sizes, and the factors to sample by where they were given."""
    spatial = input.ndim - 2
    if (size is None) == (scale_factor is None):
        raise error(
            ValueError,
            "interpolate",
            "either size or scale_factor should be defined, and only one of them",
            given=f"size={size}, scale_factor={scale_factor}",
        )
    if size is not None:
        if recompute:
            raise error(
                ValueError,
                "interpolate",
                "recompute_scale_factor is not meaningful with an explicit size",
            )
        sizes = tuple(size) if isinstance(size, Sequence) else (size,) * spatial
        _check_count("size", sizes, spatial, input)
        return tuple(int(n) for n in sizes), (None,) * spatial
    assert scale_factor is not None
    factors = (
        tuple(scale_factor) if isinstance(scale_factor, Sequence) else (scale_factor,) * spatial
    )
    _check_count("scale_factor", factors, spatial, input)
    sizes = tuple(math.floor(n * f) for n, f in zip(input.shape[2:], factors))
    return sizes, (None,) * spatial if recompute else factors


def _check_count(name: str, values: Sequence[float], spatial: int, input: Tensor) -> None:
    if len(values) != spatial:
        raise error(
            ValueError,
            "interpolate",
            f"{name} has {len(values)} elements for {spatial} spatial dimension(s)",
            given=f"input of shape {shape_of(input)}, {name}={tuple(values)}",
        )


def _check_mode(input: Tensor, mode: str, align_corners: bool | None, antialias: bool) -> None:
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise error(
            ValueError,
            "interpolate",
            "align_corners option can only be set with the interpolating modes: linear | "
            "bilinear | bicubic | trilinear",
            given=f"mode={mode!r}",
        )
    if antialias and not (mode in ("bilinear", "bicubic") and input.ndim == 4):
        raise error(
            ValueError,
            "interpolate",
            "Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D "
            "tensor as input",
            given=f"mode={mode!r}, input of shape {shape_of(input)}",
        )
    if (
        mode not in _MODES
        or input.ndim not in (3, 4, 5)
        or input.ndim - 2 != _SPATIAL.get(mode, input.ndim - 2)
    ):
        raise error(
            NotImplementedError,
            "interpolate",
            f"mode {mode!r} does not take {input.ndim}-D input",
            given=f"input of shape {shape_of(input)}",
            expected="3-D for linear; 4-D for bilinear and bicubic; 5-D for trilinear; any of "
            "them for nearest, nearest-exact and area",
        )
