"""Distances between vectors."""

from __future__ import annotations

from rushlight import Tensor

from .. import functional as F
from .module import Module


class PairwiseDistance(Module):
    """The p-norm of x1 - x2 + eps along the last dimension.

    Args:
        p: Which norm.
        eps: Keeps the gradient finite where both are equal.
        keepdim: Keep the last dimension with size 1.
    Example:
        >>> rushlight.nn.PairwiseDistance()(rushlight.ones(3, 2), rushlight.zeros(3, 2)).shape
        rushlight.Size([3])
    """

    __constants__ = ["norm", "eps", "keepdim"]

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The distances."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along a dimension.

    Args:
        dim: The dimension.
        eps: Least value of the product of norms that is divided by.
    Example:
        >>> rushlight.nn.CosineSimilarity()(rushlight.eye(2), rushlight.eye(2).flip(0))
        tensor([0., 0.])
    """

    __constants__ = ["dim", "eps"]

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The cosines."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)
