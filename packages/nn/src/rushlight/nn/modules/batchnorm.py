"""Batch normalization, and what it shares with instance normalization."""

from __future__ import annotations

from typing import Any

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from .. import functional as F
from .. import init
from ..parameter import Parameter, UninitializedBuffer, UninitializedParameter, is_lazy
from ._members import kind_of
from .lazy import LazyModuleMixin
from .module import Module


class _NormBase(Module):
    """Statistics per channel, and a scale and shift per channel."""

    _version = 2
    __constants__ = ["track_running_stats", "momentum", "eps", "num_features", "affine"]

    num_features: int
    eps: float
    momentum: float | None
    affine: bool
    track_running_stats: bool
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    # Numbers of dimensions of the inputs a subclass takes; None for any.
    _dims: tuple[int, ...] | None = None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            parameter = Parameter(rushlight.empty(num_features, **place)) if wanted else None
            self.register_parameter(name, parameter)
        tracked = track_running_stats
        self.register_buffer(
            "running_mean", rushlight.zeros(num_features, **place) if tracked else None
        )
        self.register_buffer(
            "running_var", rushlight.ones(num_features, **place) if tracked else None
        )
        self.register_buffer(
            "num_batches_tracked",
            rushlight.tensor(0, dtype=rushlight.int64, device=device) if tracked else None,
        )
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forgets the batches seen: mean 0, variance 1."""
        if self.track_running_stats:
            for buffer, value in (
                (self.running_mean, 0),
                (self.running_var, 1),
                (self.num_batches_tracked, 0),
            ):
                if buffer is not None:
                    buffer.fill_(value)

    def reset_parameters(self) -> None:
        """Sets the scale to 1, the shift to 0, and forgets the batches seen."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        if self._dims is not None and input.dim() not in self._dims:
            wanted = " or ".join(f"{n}D" for n in self._dims)
            raise error(
                ValueError,
                kind_of(self),
                f"expected {wanted} input (got {input.dim()}D input)",
                given=f"input of shape {tuple(input.shape)}",
            )

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], *rest: Any
    ) -> None:
        version = local_metadata.get("version")
        if (version is None or version < 2) and self.track_running_stats:
            # States of version 1 do not count batches: keep the count there is.
            count = self.num_batches_tracked
            if count is None or count.is_meta:
                count = rushlight.tensor(0, dtype=rushlight.int64)
            state_dict.setdefault(prefix + "num_batches_tracked", count)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class _BatchNorm(_NormBase):
    """Batch normalization; subclasses say how many dimensions the input has."""

    def forward(self, input: Tensor) -> Tensor:
        """The normalized input; in training, updates the running statistics."""
        self._check_input_dim(input)
        factor = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # a plain average over all batches
                factor = 1.0 / float(self.num_batches_tracked)
        by_batch = self.training or (self.running_mean is None and self.running_var is None)
        keep = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if keep else None,
            self.running_var if keep else None,
            self.weight,
            self.bias,
            by_batch,
            factor,
            self.eps,
        )


class _LazyNormBase(LazyModuleMixin, _NormBase):
    """Takes `num_features` from the first input."""

    weight: Any
    bias: Any

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        # Neither affine nor tracking: the real members are put in their places below.
        super().__init__(0, eps, momentum, False, False, device=device, dtype=dtype)
        self.affine = affine
        self.track_running_stats = track_running_stats
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        if affine:
            self.weight = UninitializedParameter(**place)
            if bias:
                self.bias = UninitializedParameter(**place)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(**place)
            self.running_var = UninitializedBuffer(**place)
            self.num_batches_tracked = rushlight.tensor(0, dtype=rushlight.int64, device=device)

    def reset_parameters(self) -> None:
        """As in the ordinary class, once there is something to reset."""
        if not self.has_uninitialized_params() and self.num_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        """Gives parameters and buffers their shapes."""
        if self.has_uninitialized_params():
            self.num_features = input.shape[1]
            member: Any
            for member in (self.weight, self.bias, self.running_mean, self.running_var):
                if is_lazy(member):
                    member.materialize((self.num_features,))
            self.reset_parameters()
        if self.num_features == 0 and self.weight is not None:
            # The parameters came from a state dict: the size follows from them.
            self.num_features = self.weight.shape[0]


_ARGUMENTS = """
    Each channel (dimension 1) is normalized by its mean and variance over the other dimensions:
    those of the batch in training, and running averages of them in evaluation mode.

    Args:
        num_features: Number of channels.
        eps: Added to the variance.
        momentum: Weight of a new batch in the running averages; None for a plain average.
        affine: Whether to learn a scale and a shift per channel.
        track_running_stats: Whether to keep running averages; without them the batch's own
            statistics are used in evaluation mode too.
        device: Where parameters and buffers are made.
        dtype: Their dtype; None for the default one.
        bias: Whether there is a shift.
    Attributes:
        weight: The scale, of shape (num_features,), at first 1; or None.
        bias: The shift, of shape (num_features,), at first 0; or None.
        running_mean: Running average of the means; or None.
        running_var: Running average of the unbiased variances; or None.
    References:
        Ioffe and Szegedy (2015), Batch normalization.
"""


class BatchNorm1d(_BatchNorm):
    __doc__ = f"""Batch normalization of (N, C) or (N, C, L).
{_ARGUMENTS}    Example:
        >>> rushlight.nn.BatchNorm1d(100)(rushlight.randn(20, 100)).shape
        rushlight.Size([20, 100])
    """
    _dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = f"""Batch normalization of (N, C, H, W).
{_ARGUMENTS}    Example:
        >>> rushlight.nn.BatchNorm2d(3)(rushlight.randn(2, 3, 4, 5)).shape
        rushlight.Size([2, 3, 4, 5])
    """
    _dims = (4,)


class BatchNorm3d(_BatchNorm):
    __doc__ = f"""Batch normalization of (N, C, D, H, W).
{_ARGUMENTS}    Example:
        >>> rushlight.nn.BatchNorm3d(3)(rushlight.randn(2, 3, 4, 5, 6)).shape
        rushlight.Size([2, 3, 4, 5, 6])
    """
    _dims = (5,)


class LazyBatchNorm1d(_LazyNormBase, _BatchNorm):
    """A `BatchNorm1d` that takes `num_features` from its first input; other arguments as there."""

    cls_to_become = BatchNorm1d
    _dims = (2, 3)


class LazyBatchNorm2d(_LazyNormBase, _BatchNorm):
    """A `BatchNorm2d` that takes `num_features` from its first input; other arguments as there."""

    cls_to_become = BatchNorm2d
    _dims = (4,)


class LazyBatchNorm3d(_LazyNormBase, _BatchNorm):
    """A `BatchNorm3d` that takes `num_features` from its first input; other arguments as there."""

    cls_to_become = BatchNorm3d
    _dims = (5,)
