"""Batch normalization in evaluation mode, folded into the layer before it."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from ..modules.module import Module
from ..parameter import Parameter

M = TypeVar("M", bound=Module)


def _fused(
    weight: Tensor,
    bias: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    channel_dim: int,
) -> tuple[Parameter, Parameter]:
    scale = rushlight.rsqrt(bn_rv + bn_eps)
    if bn_w is not None:
        scale = scale * bn_w
    shape = [1] * weight.dim()
    shape[channel_dim] = -1
    new_weight = (weight * scale.reshape(shape)).to(weight.dtype)
    shift = -bn_rm if bias is None else bias - bn_rm
    new_bias = shift * scale if bn_b is None else shift * scale + bn_b
    bias_dtype = weight.dtype if bias is None else bias.dtype
    return (
        Parameter(new_weight.detach(), weight.requires_grad),
        Parameter(
            new_bias.to(bias_dtype).detach(),
            weight.requires_grad if bias is None else bias.requires_grad,
        ),
    )


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a convolution that does a batch normalization as well.

    Args:
        conv_w: Weight.
        conv_b: Bias, or None.
        bn_rm: Running mean.
        bn_rv: Running variance.
        bn_eps: What is added to it.
        bn_w: Scale, or None.
        bn_b: Shift, or None.
        transpose: Whether the convolution is a transposed one.
    """
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 1 if transpose else 0)


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a linear layer that does a batch normalization as well."""
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 0)


def _fuse(layer: M, bn: Any, channel_dim: int, who: str) -> M:
    if layer.training or bn.training:
        raise error(
            AssertionError, who, "fusion only for eval!", fix="call .eval() on both modules first"
        )
    if bn.running_mean is None or bn.running_var is None:
        raise error(AssertionError, who, "the normalization keeps no running statistics")
    fused = copy.deepcopy(layer)
    weight, bias = _fused(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias,
        channel_dim,
    )  # fmt: skip
    fused.weight, fused.bias = weight, bias
    return fused


def fuse_conv_bn_eval(conv: M, bn: Any, transpose: bool = False) -> M:
    """A copy of a convolution that does the batch normalization behind it as well.

    Args:
        conv: The convolution.
        bn: The batch normalization; both in evaluation mode.
        transpose: Whether the convolution is a transposed one.
    Example:
        >>> conv = rushlight.nn.Conv2d(1, 2, 3).eval()
        >>> rushlight.nn.utils.fuse_conv_bn_eval(conv, rushlight.nn.BatchNorm2d(2).eval())
        Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))
    """
    return _fuse(conv, bn, 1 if transpose else 0, "fuse_conv_bn_eval")


def fuse_linear_bn_eval(linear: M, bn: Any) -> M:
    """A copy of a linear layer that does the batch normalization behind it as well.

    Args:
        linear: The linear layer.
        bn: The batch normalization; both in evaluation mode.
    """
    return _fuse(linear, bn, 0, "fuse_linear_bn_eval")
