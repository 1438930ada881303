"""Dropout layers: in training, random elements or channels are zeroed and the rest scaled up."""

from __future__ import annotations

from rushlight import Tensor
from rushlight._errors import error

from .. import functional as F
from ._members import kind_of
from .module import Module


class _DropoutNd(Module):
    """What all dropouts share.

    Args:
        p: Probability of dropping.
        inplace: Overwrite the input.
    Raises:
        ValueError: `p` is not between 0 and 1.
    """

    __constants__ = ["p", "inplace"]
    p: float
    inplace: bool

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise error(
                ValueError,
                kind_of(self),
                f"dropout probability has to be between 0 and 1, but got {p}",
            )
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """Zeroes elements with probability `p` in training; the others are divided by 1 - p.

    Args:
        p: Probability of dropping.
        inplace: Overwrite the input.
    References:
        Hinton et al. (2012), Improving neural networks by preventing co-adaptation of feature
        detectors.
    Example:
        >>> rushlight.nn.Dropout(0.2).eval()(rushlight.ones(2))
        tensor([1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """The input, with elements dropped in training."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_DropoutNd):
    """Zeroes whole channels of (N, C, L) or (C, L) with probability `p` in training."""

    def forward(self, input: Tensor) -> Tensor:
        """The input, with channels dropped in training."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_DropoutNd):
    """Zeroes whole channels of (N, C, H, W) with probability `p` in training."""

    def forward(self, input: Tensor) -> Tensor:
        """The input, with channels dropped in training."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_DropoutNd):
    """Zeroes whole channels of (N, C, D, H, W) or (C, D, H, W) with probability `p` in training."""

    def forward(self, input: Tensor) -> Tensor:
        """The input, with channels dropped in training."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_DropoutNd):
    """Dropout that goes with `SELU`: it keeps mean zero and variance one.

    References:
        Klambauer et al. (2017), Self-normalizing neural networks.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The input, with elements dropped in training."""
        return F.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_DropoutNd):
    """`AlphaDropout` of whole channels."""

    def forward(self, input: Tensor) -> Tensor:
        """The input, with channels dropped in training."""
        return F.feature_alpha_dropout(input, self.p, self.training)
