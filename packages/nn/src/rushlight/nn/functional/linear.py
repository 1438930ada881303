"""Affine maps of the last dimension: linear and bilinear."""

from __future__ import annotations

import math

import rushlight
from rushlight import Tensor
from rushlight._errors import error
from rushlight.ops import linear as ops_linear

from ._arguments import shape_of, write_out


def linear(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, *, out: Tensor | None = None
) -> Tensor:
    """Applies an affine map to the last dimension: `input @ weight.T + bias`.

    Args:
        input: Tensor of shape `(*, in_features)`.
        weight: Matrix `(out_features, in_features)`, or a vector `(in_features,)`.
        bias: Vector `(out_features,)` (a scalar for a vector `weight`).
        out: Tensor that receives the result.

    Raises:
        RuntimeError: The last dimensions differ, or `weight` has more than two dimensions.

    Example:
        >>> rushlight.nn.functional.linear(rushlight.ones(2), rushlight.ones(3, 2))
        tensor([2., 2., 2.])
    """
    result = ops_linear(input, weight, bias)
    return result if out is None else write_out(result, out, "linear")


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Applies a bilinear form for every output feature: `input1 @ weight[o] @ input2 + bias[o]`.

    Args:
        input1: Tensor of shape `(*, in1_features)`.
        input2: Tensor of shape `(*, in2_features)` with the same leading dimensions.
        weight: Tensor of shape `(out_features, in1_features, in2_features)`.
        bias: Vector `(out_features,)`.

    Returns:
        Tensor of shape `(*, out_features)`.

    Raises:
        RuntimeError: The shapes do not fit each other.

    Example:
        >>> ones = rushlight.ones
        >>> rushlight.nn.functional.bilinear(ones(2), ones(3), ones(1, 2, 3))
        tensor([6.])
    """
    _check_bilinear(input1, input2, weight, bias)
    out_features, in1, in2 = weight.shape
    lead = tuple(input1.shape[:-1])
    batch = math.prod(lead)
    rows, columns = input1.reshape(batch, in1), input2.reshape(batch, in2)
    # (B, in1) @ (in1, out * in2), then the dot products with input2.
    forms = rushlight.matmul(rows, weight.permute(1, 0, 2).reshape(in1, out_features * in2))
    products = rushlight.matmul(forms.reshape(batch, out_features, in2), columns.unsqueeze(-1))
    result = products.squeeze(-1).reshape((*lead, out_features))
    return result if bias is None else result + bias


def _check_bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    given = f"input1 {shape_of(input1)}, input2 {shape_of(input2)}, weight {shape_of(weight)}"
    if input1.shape[:-1] != input2.shape[:-1]:
        raise error(RuntimeError, "bilinear", "leading dimensions differ", given=given)
    if weight.ndim != 3 or (input1.shape[-1], input2.shape[-1]) != tuple(weight.shape[1:]):
        raise error(
            RuntimeError,
            "bilinear",
            "feature sizes do not match weight",
            given=given,
            expected="weight of shape (out_features, in1_features, in2_features)",
        )
    if bias is not None and bias.shape[0] != weight.shape[0]:
        raise error(
            RuntimeError,
            "bilinear",
            f"bias has {bias.shape[0]} elements for {weight.shape[0]} output features",
            given=given,
        )
