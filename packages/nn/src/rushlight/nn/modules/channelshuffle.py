"""Shuffling channels between groups."""

from __future__ import annotations

from rushlight import Tensor

from .. import functional as F
from .module import Module


class ChannelShuffle(Module):
    """Deals the channels of each of `groups` groups out to all of them.

    Args:
        groups: Number of groups.
    References:
        Zhang et al. (2018), ShuffleNet.
    Example:
        >>> x = rushlight.arange(4.0).reshape(1, 4, 1)
        >>> rushlight.nn.ChannelShuffle(2)(x).flatten().tolist()
        [0.0, 2.0, 1.0, 3.0]
    """

    __constants__ = ["groups"]

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        """The input with its channels in another order."""
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        """The number of groups."""
        return f"groups={self.groups}"
