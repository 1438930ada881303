"""Distances and similarities between vectors."""

from __future__ import annotations

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from ._arguments import shape_of


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The `p`-norm of the difference of corresponding vectors.

    Args:
        x1: Vectors along the last dimension.
        x2: Vectors along the last dimension; the two broadcast.
        p: Order of the norm.
        eps: Added to every difference, which keeps the derivative finite at zero.
        keepdim: Keeps the last dimension, with size one.

    Example:
        >>> rushlight.nn.functional.pairwise_distance(
        ...     rushlight.tensor([3.0, 4.0]), rushlight.zeros(2)
        ... )
        tensor(5.0000)
    """
    inner = max(x1.ndim, x2.ndim) - 1
    return rushlight.norm(x1 - x2 + eps, p, inner, keepdim=keepdim)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along `dim`.

    Args:
        x1: Floating point tensor.
        x2: Floating point tensor; the two broadcast.
        dim: Dimension of the vectors, of the broadcast shape.
        eps: Each norm is taken to be at least this.

    Raises:
        RuntimeError: An input is not floating point.

    Example:
        >>> rushlight.nn.functional.cosine_similarity(
        ...     rushlight.tensor([1.0, 0.0]), rushlight.tensor([1.0, 0.0]), dim=0
        ... )
        tensor(1.)
    """
    dtype = rushlight.promote_types(x1.dtype, x2.dtype)
    if not dtype.is_floating_point:
        raise error(
            RuntimeError,
            "cosine_similarity",
            f"expected common dtype to be floating point, yet common dtype is {dtype}",
            fix="convert the inputs with .to(rushlight.float32)",
        )
    x1, x2 = rushlight.broadcast_tensors(x1.to(dtype), x2.to(dtype))
    norm1 = rushlight.linalg.vector_norm(x1, 2, dim, keepdim=True)
    norm2 = rushlight.linalg.vector_norm(x2, 2, dim, keepdim=True)
    # Dividing before multiplying keeps the products of large vectors finite.
    return ((x1 / norm1.clamp_min(eps)) * (x2 / norm2.clamp_min(eps))).sum(dim)


def pdist(input: Tensor, p: float = 2) -> Tensor:
    """Distances between all pairs of rows, as a vector ordered like the upper triangle.

    Args:
        input: Matrix `(N, M)`.
        p: Order of the norm, zero or positive.

    Returns:
        Vector of `N * (N - 1) / 2` distances.

    Raises:
        RuntimeError: The input is not a matrix, or `p` is negative.

    Example:
        >>> rushlight.nn.functional.pdist(rushlight.tensor([[0.0], [1.0], [3.0]]))
        tensor([1., 3., 2.])
    """
    if input.ndim != 2:
        raise error(
            RuntimeError,
            "pdist",
            f"only supports 2D tensors, got: {input.ndim}D",
            given=f"input of shape {shape_of(input)}",
        )
    if p < 0:
        raise error(RuntimeError, "pdist", f"only supports non-negative p values, not {p}")
    rows, columns = rushlight.triu_indices(
        input.shape[0], input.shape[0], 1, device=input.device
    ).unbind(0)
    difference = input.index_select(0, rows) - input.index_select(0, columns)
    return rushlight.linalg.vector_norm(difference, p, -1)
