"""Sampling images at arbitrary places: affine_grid and grid_sample."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from ._arguments import shape_of

_MODES = ("bilinear", "nearest", "bicubic")
_PADDING_MODES = ("zeros", "border", "reflection")


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
    if mode not in _MODES:
        raise error(
            ValueError,
            "grid_sample",
            f"expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: {mode!r}",
        )
    if padding_mode not in _PADDING_MODES:
        raise error(
            ValueError,
            "grid_sample",
            "expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"{padding_mode!r}",
        )
    corners = _corners("grid_sample", align_corners)
    return rushlight.grid_sampler(
        input, grid, _MODES.index(mode), _PADDING_MODES.index(padding_mode), corners
    )


def _corners(who: str, align_corners: bool | None) -> bool:
    if align_corners is None:
        warnings.warn(
            f"Default {who} behavior has changed to align_corners=False. Please specify "
            "align_corners=True if the old behavior is desired.",
            stacklevel=3,
        )
        return False
    return align_corners
