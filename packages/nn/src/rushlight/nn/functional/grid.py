"""Sampling images at arbitrary places: affine_grid and grid_sample."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from ._arguments import shape_of
from .resampling import cubic_weight

# Where to look along one dimension, and the weight of what is found there.
Tap = tuple[Tensor, Tensor | None]


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The places at which `grid_sample` applies affine maps to images.

    Args:
        theta: Matrices of shape `(N, 2, 3)`, or `(N, 3, 4)` for volumes.
        size: The wanted output's shape, `(N, C, H, W)` or `(N, C, D, H, W)`.
        align_corners: Places -1 and 1 at the centres of the corner pixels, not at their edges.

    Returns:
        Tensor of shape `(N, H, W, 2)` or `(N, D, H, W, 3)`.

    Raises:
        ValueError: The shapes do not fit each other, or `theta` is not floating point.
        NotImplementedError: `size` has another length.

    Example:
        >>> identity = rushlight.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
        >>> rushlight.nn.functional.affine_grid(identity, (1, 1, 1, 2), align_corners=True)
        tensor([[[[-1.,  0.],
                  [ 1.,  0.]]]])
    """
    align_corners = _corners("affine_grid", align_corners)
    given = f"theta of shape {shape_of(theta)}, size={tuple(size)}"
    if not theta.dtype.is_floating_point:
        raise error(
            ValueError, "affine_grid", "Expected theta to have floating point type", given=given
        )
    if len(size) not in (4, 5):
        raise error(
            NotImplementedError,
            "affine_grid",
            "only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively",
            given=given,
        )
    spatial = len(size) - 2
    if theta.ndim != 3 or tuple(theta.shape) != (size[0], spatial, spatial + 1):
        raise error(
            ValueError if tuple(theta.shape[1:]) != (spatial, spatial + 1) else RuntimeError,
            "affine_grid",
            f"Expected a batch of {spatial}D affine matrices of shape Nx{spatial}x{spatial + 1}",
            given=given,
        )
    if min(size) <= 0:
        raise error(ValueError, "affine_grid", "Expected non-zero, positive size", given=given)
    sizes = tuple(size[2:])
    coordinates = []
    # The last dimension of the image is the first coordinate.
    for dim in reversed(range(spatial)):
        steps = _places(sizes[dim], align_corners, theta)
        shape = [1] * spatial
        shape[dim] = -1
        coordinates.append(steps.reshape(shape).expand(sizes))
    coordinates.append(rushlight.ones_like(coordinates[0]))
    base = rushlight.stack(coordinates, -1).reshape(-1, spatial + 1)
    grid = rushlight.matmul(base, theta.transpose(1, 2))
    return grid.reshape((size[0], *sizes, spatial))


def _places(count: int, align_corners: bool, like: Tensor) -> Tensor:
    if count == 1:
        return like.new_zeros((1,))
    places = rushlight.linspace(-1, 1, count, dtype=like.dtype, device=like.device)
    return places if align_corners else places * ((count - 1) / count)


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Samples images at the places in `grid`.

    Args:
        input: Tensor of shape `(N, C, H, W)` or `(N, C, D, H, W)`.
        grid: Places `(x, y)` of shape `(N, H_out, W_out, 2)`, or `(x, y, z)` with one dimension
            more; -1 and 1 are the image's borders.
        mode: `"bilinear"` (trilinear for volumes), `"nearest"` or `"bicubic"` (images only).
        padding_mode: What lies outside: `"zeros"`, `"border"` or `"reflection"`.
        align_corners: Places -1 and 1 at the centres of the corner pixels, not at their edges.

    Raises:
        ValueError: A mode is unknown.
        RuntimeError: The shapes, dtypes or modes do not fit each other.

    Example:
        >>> image, place = rushlight.tensor([[[[0.0, 4.0]]]]), rushlight.zeros(1, 1, 1, 2)
        >>> rushlight.nn.functional.grid_sample(image, place, align_corners=True)
        tensor([[[[2.]]]])
    """
    _check_grid(input, grid, mode, padding_mode)
    corners = _corners("grid_sample", align_corners)
    sizes = tuple(input.shape[2:])
    spatial = len(sizes)
    dtype = input.dtype
    working = rushlight.promote_types(dtype, rushlight.float32)
    input, grid = input.to(working), grid.to(working)
    # Coordinate 0 belongs to the last dimension.
    places = [
        _unnormalized(grid[..., spatial - 1 - dim], sizes[dim], corners) for dim in range(spatial)
    ]
    if mode == "bicubic":
        # Every tap is moved into the image by itself; the weights stay those of the place.
        taps: list[list[Tap]] = [
            [(_into_image(at, n, padding_mode, corners), weight) for at, weight in _cubic_taps(x)]
            for x, n in zip(places, sizes)
        ]
    else:
        places = [_into_image(x, n, padding_mode, corners) for x, n in zip(places, sizes)]
        if mode == "nearest":
            taps = [[(x.round(), None)] for x in places]
        else:
            taps = [_linear_taps(x) for x in places]
    return _gathered(input, taps, tuple(grid.shape[1:-1])).to(dtype)


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
        for (at, share), size in zip(corner, sizes):
            within = (at >= 0) & (at <= size - 1)
            inside = within if inside is None else inside & within
            row = at.detach().clamp(0, size - 1).to(rushlight.int64)
            place = row if place is None else place * size + row
            if share is not None:
                weight = share if weight is None else weight * share
        assert place is not None and inside is not None
        index = place.reshape(batch, 1, -1).expand(batch, channels, math.prod(out))
        # What lies outside counts as zero, whatever the clamped index found.
        known = inside.reshape(batch, 1, -1)
        term = flat.gather(2, index)
        term = rushlight.where(known, term, rushlight.zeros_like(term))
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
    return rushlight.where(flips % 2 == 0, beyond + low, span - beyond + low)


def _linear_taps(x: Tensor) -> list[Tap]:
    low = x.floor().detach()
    return [(low, low + 1 - x), (low + 1, x - low)]


def _cubic_taps(x: Tensor) -> list[Tap]:
    low = x.floor().detach()
    return [(low + k, cubic_weight((x - low - k).abs())) for k in (-1, 0, 1, 2)]


def _corners(who: str, align_corners: bool | None) -> bool:
    if align_corners is None:
        warnings.warn(
            f"Default {who} behavior has changed to align_corners=False. Please specify "
            "align_corners=True if the old behavior is desired.",
            stacklevel=3,
        )
        return False
    return align_corners


def _check_grid(input: Tensor, grid: Tensor, mode: str, padding_mode: str) -> None:
    who = "grid_sample"
    given = f"input of shape {shape_of(input)}, grid of shape {shape_of(grid)}"
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise error(
            ValueError,
            who,
            f"expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: {mode!r}",
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise error(
            ValueError,
            who,
            "expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"{padding_mode!r}",
        )
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
