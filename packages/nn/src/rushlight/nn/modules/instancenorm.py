"""Instance normalization: statistics per channel of each sample."""

from __future__ import annotations

import warnings
from typing import Any

from rushlight import Tensor
from rushlight._errors import error

from .. import functional as F
from ._members import kind_of
from .batchnorm import _LazyNormBase, _NormBase


class _InstanceNorm(_NormBase):
    """Instance normalization; subclasses say how many dimensions the input has."""

    # Number of dimensions of an input without batch.
    _unbatched: int

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def _check_input_dim(self, input: Tensor) -> None:
        n = self._unbatched
        if input.dim() not in (n, n + 1):
            raise error(
                ValueError,
                kind_of(self),
                f"expected {n}D or {n + 1}D input (got {input.dim()}D input)",
                given=f"input of shape {tuple(input.shape)}",
            )

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input."""
        self._check_input_dim(input)
        channel_dim = input.dim() - self._unbatched
        if input.size(channel_dim) != self.num_features:
            self._check_features(input, channel_dim)
        if channel_dim == 0:
            return self._normalized(input.unsqueeze(0)).squeeze(0)
        return self._normalized(input)

    def _check_features(self, input: Tensor, channel_dim: int) -> None:
        message = (
            f"expected input's size at dim={channel_dim} to match num_features "
            f"({self.num_features}), but got: {input.size(channel_dim)}."
        )
        if self.affine:
            raise error(ValueError, kind_of(self), message)
        warnings.warn(f"{message} It is not used because affine=False.", stacklevel=4)

    def _normalized(self, input: Tensor) -> Tensor:
        return F.instance_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum if self.momentum is not None else 0.0,
            self.eps,
        )

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        if local_metadata.get("version") is None and not self.track_running_stats:
            # Such states come from before running statistics became an option.
            held = [
                prefix + name
                for name in ("running_mean", "running_var")
                if prefix + name in state_dict
            ]
            if held:
                error_msgs.append(
                    f"Unexpected running stats buffer(s) {' and '.join(held)} for "
                    f"{kind_of(self)} with track_running_stats=False: remove them from the "
                    "state, or build the module with track_running_stats=True"
                )
            for key in held:
                state_dict.pop(key)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


_ARGUMENTS = """
    Each channel of each sample is normalized by its own mean and variance.

    Args:
        num_features: Number of channels.
        eps: Added to the variance.
        momentum: Weight of a new batch in the running averages.
        affine: Whether to learn a scale and a shift per channel.
        track_running_stats: Whether to keep running averages for evaluation mode.
        device: Where parameters and buffers are made.
        dtype: Their dtype; None for the default one.
        bias: Whether there is a shift.
    References:
        Ulyanov et al. (2016), Instance normalization: the missing ingredient for fast stylization.
"""


class InstanceNorm1d(_InstanceNorm):
    __doc__ = f"""Instance normalization of (N, C, L) or (C, L).
{_ARGUMENTS}    Example:
        >>> rushlight.nn.InstanceNorm1d(3)(rushlight.randn(2, 3, 8)).shape
        rushlight.Size([2, 3, 8])
    """
    _unbatched = 2


class InstanceNorm2d(_InstanceNorm):
    __doc__ = f"""Instance normalization of (N, C, H, W) or (C, H, W).
{_ARGUMENTS}    """
    _unbatched = 3


class InstanceNorm3d(_InstanceNorm):
    __doc__ = f"""Instance normalization of (N, C, D, H, W) or (C, D, H, W).
{_ARGUMENTS}    """
    _unbatched = 4


class _LazyInstanceNorm(_LazyNormBase):
    """Channels are counted at another dimension where the first input has no batch."""

    _unbatched: int

    def initialize_parameters(self, input: Tensor) -> None:
        """Gives parameters and buffers their shapes."""
        self._check_input_dim(input)
        batched = input if input.dim() > self._unbatched else input.unsqueeze(0)
        super().initialize_parameters(batched)


class LazyInstanceNorm1d(_LazyInstanceNorm, _InstanceNorm):
    """An `InstanceNorm1d` that takes `num_features` from its first input."""

    cls_to_become = InstanceNorm1d
    _unbatched = 2


class LazyInstanceNorm2d(_LazyInstanceNorm, _InstanceNorm):
    """An `InstanceNorm2d` that takes `num_features` from its first input."""

    cls_to_become = InstanceNorm2d
    _unbatched = 3


class LazyInstanceNorm3d(_LazyInstanceNorm, _InstanceNorm):
    """An `InstanceNorm3d` that takes `num_features` from its first input."""

    cls_to_become = InstanceNorm3d
    _unbatched = 4
