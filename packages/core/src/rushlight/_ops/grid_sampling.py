"""Sampling images and volumes at arbitrary places."""

from __future__ import annotations

import itertools
import math
from typing import Any

from .._dtypes import float32, int64, promote_types
from .._errors import error
from .._registered import operators
from .._tensor.tensor import Tensor
from ._public import export, public

# Where to look along one dimension, and the weight of what is found there.
Tap = tuple[Tensor, Any]
MODES = ("bilinear", "nearest", "bicubic")
PADDING_MODES = ("zeros", "border", "reflection")
_KEYS = -0.75  # the parameter of Keys' kernel that image libraries use


@public(methods=False)
def grid_sampler(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """Samples images at the places in `grid`; `nn.functional.grid_sample` with modes as numbers.

    Args:
        input: Tensor of shape `(N, C, H, W)` or `(N, C, D, H, W)`.
        grid: Places of shape `(N, H_out, W_out, 2)` or `(N, D_out, H_out, W_out, 3)`; -1 and 1 are
            the image's borders.
        interpolation_mode: 0 for bilinear, 1 for nearest, 2 for bicubic (images only).
        padding_mode: What lies outside: 0 for zeros, 1 for the border, 2 for the reflection.
        align_corners: Places -1 and 1 at the centres of the corner pixels, not at their edges.
    Raises:
        RuntimeError: The shapes, dtypes or modes do not fit each other.
    References:
        Keys (1981), Cubic convolution interpolation for digital image processing.
    Example:
        >>> image, place = rushlight.tensor([[[[0.0, 4.0]]]]), rushlight.zeros(1, 1, 1, 2)
        >>> rushlight.grid_sampler(image, place, 0, 0, True)
        tensor([[[[2.]]]])
    """
    mode, padding = MODES[interpolation_mode], PADDING_MODES[padding_mode]
    _check_grid(input, grid, mode)
    sizes = tuple(input.shape[2:])
    spatial = len(sizes)
    dtype = input.dtype
    working = promote_types(dtype, float32)
    input, grid = input.to(working), grid.to(working)
    # Coordinate 0 belongs to the last dimension.
    places = [
        _unnormalized(grid[..., spatial - 1 - dim], sizes[dim], align_corners)
        for dim in range(spatial)
    ]
    if mode == "bicubic":
        # Every tap is moved into the image by itself; the weights stay those of the place.
        taps: list[list[Tap]] = [
            [(_into_image(at, n, padding, align_corners), weight) for at, weight in _cubic_taps(x)]
            for x, n in zip(places, sizes, strict=True)
        ]
    else:
        places = [
            _into_image(x, n, padding, align_corners) for x, n in zip(places, sizes, strict=True)
        ]
        if mode == "nearest":
            taps = [[(x.round(), None)] for x in places]
        else:
            taps = [_linear_taps(x) for x in places]
    return _gathered(input, taps, tuple(grid.shape[1:-1])).to(dtype)


for _name in ("grid_sampler_2d", "grid_sampler_3d"):
    export(_name, grid_sampler)


def _gathered(input: Tensor, taps: list[list[Tap]], out: tuple[int, ...]) -> Tensor:
    """The weighted sum over all combinations of taps, one from each dimension."""
    batch, channels = input.shape[:2]
    sizes = tuple(input.shape[2:])
    flat = input.flatten(2)
    total: Tensor | None = None
    for corner in itertools.product(*taps):
        place: Tensor | None = None
        weight: Tensor | None = None
        inside: Tensor | None = None
        for (at, share), size in zip(corner, sizes, strict=True):
            within = (at >= 0) & (at <= size - 1)
            inside = within if inside is None else inside & within
            row = at.detach().clamp(0, size - 1).to(int64)
            place = row if place is None else place * size + row
            if share is not None:
                weight = share if weight is None else weight * share
        assert place is not None and inside is not None
        index = place.reshape(batch, 1, -1).expand(batch, channels, math.prod(out))
        # What lies outside counts as zero, whatever the clamped index found.
        known = inside.reshape(batch, 1, -1)
        term = flat.gather(2, index)
        term = operators["where"](known, term, term.new_zeros(()))
        if weight is not None:
            term = term * weight.reshape(batch, 1, -1)
        total = term if total is None else total + term
    assert total is not None
    return total.reshape((batch, channels, *out))


def _unnormalized(x: Tensor, size: int, align_corners: bool) -> Tensor:
    return (x + 1) / 2 * (size - 1) if align_corners else ((x + 1) * size - 1) / 2


def _into_image(x: Tensor, size: int, padding_mode: str, align_corners: bool) -> Tensor:
    """Moves places outside as the padding mode says; zeros leave them outside."""
    if padding_mode == "zeros":
        return x
    if padding_mode == "reflection":
        low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
        x = _reflected(x, low, high)
    return x.clamp(0, size - 1)


def _reflected(x: Tensor, low: float, high: float) -> Tensor:
    span = high - low
    if span == 0:
        return x * 0
    distance = (x - low).abs()
    flips = (distance / span).floor().detach()
    beyond = distance - flips * span
    out: Tensor = operators["where"](flips % 2 == 0, beyond + low, span - beyond + low)
    return out


def _linear_taps(x: Tensor) -> list[Tap]:
    low = x.floor().detach()
    return [(low, low + 1 - x), (low + 1, x - low)]


def _cubic_taps(x: Tensor) -> list[Tap]:
    low = x.floor().detach()
    return [(low + k, cubic_weight((x - low - k).abs())) for k in (-1, 0, 1, 2)]


def cubic_weight(distance: Tensor, a: float = _KEYS) -> Tensor:
    """Keys' cubic kernel at distances from 0 to 2; zero beyond."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    where = operators["where"]
    return where(distance <= 1, near, where(distance < 2, far, far.new_zeros(())))  # type: ignore[no-any-return]


export("cubic_weight", cubic_weight, "ops")


def _check_grid(input: Tensor, grid: Tensor, mode: str) -> None:
    who = "grid_sampler"
    given = f"input of shape {tuple(input.shape)}, grid of shape {tuple(grid.shape)}"
    if input.dtype != grid.dtype:
        raise error(
            RuntimeError,
            who,
            "expected input and grid to have same dtype",
            given=f"input of dtype {input.dtype}, grid of dtype {grid.dtype}",
        )
    if (
        input.ndim not in (4, 5)
        or grid.ndim != input.ndim
        or grid.shape[0] != input.shape[0]
        or grid.shape[-1] != input.ndim - 2
        or 0 in input.shape[2:]
    ):
        raise error(
            RuntimeError,
            who,
            "input and grid do not fit each other",
            given=given,
            expected="input (N, C, H, W) with grid (N, H_out, W_out, 2), or input "
            "(N, C, D, H, W) with grid (N, D_out, H_out, W_out, 3), nothing empty but N and C",
        )
    if mode == "bicubic" and input.ndim == 5:
        raise error(RuntimeError, who, "bicubic interpolation only supports 4D input", given=given)
