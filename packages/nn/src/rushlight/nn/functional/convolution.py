"""Convolutions and transposed convolutions over one, two and three spatial dimensions."""

from __future__ import annotations

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from ._arguments import Ints, shape_of


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlates sequences of channels with learnt kernels.

    Args:
        input: Tensor of shape `(N, C_in, L)`, or `(C_in, L)` for a single sequence.
        weight: Kernels of shape `(C_out, C_in / groups, K)`.
        bias: Vector `(C_out,)`.
        stride: Step of the kernel.
        padding: Zeros added at both ends, or `"valid"` (none), or `"same"` (the output is as long
            as the input; stride 1 only).
        dilation: Distance between the kernel's elements.
        groups: Number of independent groups of channels.

    Raises:
        RuntimeError: Shapes, dtypes or settings do not fit each other.

    Example:
        >>> signal = rushlight.tensor([[1.0, 2.0, 4.0]])
        >>> rushlight.nn.functional.conv1d(signal, rushlight.tensor([[[-1.0, 1.0]]]))
        tensor([[1., 2.]])
    """
    return rushlight.conv1d(input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlates images of channels with learnt kernels.

    Args:
        input: Tensor of shape `(N, C_in, H, W)`, or `(C_in, H, W)` for a single image.
        weight: Kernels of shape `(C_out, C_in / groups, K_h, K_w)`.
        bias: Vector `(C_out,)`.
        stride: Step of the kernel; here and below an int or one per dimension.
        padding: Zeros added on both sides, or `"valid"` (none), or `"same"` (the output is as
            large as the input; stride 1 only).
        dilation: Distance between the kernel's elements.
        groups: Number of independent groups of channels.

    Raises:
        RuntimeError: Shapes, dtypes or settings do not fit each other.

    Example:
        >>> ones = rushlight.ones
        >>> rushlight.nn.functional.conv2d(ones(1, 3, 3), ones(1, 1, 2, 2)).shape
        rushlight.Size([1, 2, 2])
    """
    return rushlight.conv2d(input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlates volumes of channels with learnt kernels; arguments as in `conv2d`.

    Args:
        input: Tensor of shape `(N, C_in, D, H, W)`, or `(C_in, D, H, W)`.
        weight: Kernels of shape `(C_out, C_in / groups, K_d, K_h, K_w)`.
        bias: Vector `(C_out,)`.
        stride: Step of the kernel.
        padding: Zeros added on both sides, or `"valid"`, or `"same"`.
        dilation: Distance between the kernel's elements.
        groups: Number of independent groups of channels.

    Raises:
        RuntimeError: Shapes, dtypes or settings do not fit each other.

    Example:
        >>> ones = rushlight.ones
        >>> rushlight.nn.functional.conv3d(ones(1, 3, 3, 3), ones(1, 1, 2, 2, 2)).shape
        rushlight.Size([1, 2, 2, 2])
    """
    return rushlight.conv3d(input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """The transpose (not the inverse) of `conv1d` as a linear map; arguments as below.

    Args:
        input: Tensor of shape `(N, C_in, L)` or `(C_in, L)`.
        weight: Kernels of shape `(C_in, C_out / groups, K)`.
        bias: Vector `(C_out,)`.
        stride: Step of the kernel in the output.
        padding: Elements cut from both ends of the output.
        output_padding: Elements added at the far end, to choose among the possible lengths.
        groups: Number of independent groups of channels.
        dilation: Distance between the kernel's elements.

    Raises:
        RuntimeError: Shapes, dtypes or settings do not fit each other.

    Example:
        >>> ones = rushlight.ones
        >>> rushlight.nn.functional.conv_transpose1d(ones(1, 2), ones(1, 1, 2))
        tensor([[1., 2., 1.]])
    """
    return rushlight.conv_transpose1d(
        input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """The transpose (not the inverse) of `conv2d`; arguments as in `conv_transpose1d`.

    Example:
        >>> ones = rushlight.ones
        >>> rushlight.nn.functional.conv_transpose2d(ones(1, 2, 2), ones(1, 4, 2, 2)).shape
        rushlight.Size([4, 3, 3])
    """
    return rushlight.conv_transpose2d(
        input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """The transpose (not the inverse) of `conv3d`; arguments as in `conv_transpose1d`.

    Example:
        >>> ones = rushlight.ones
        >>> rushlight.nn.functional.conv_transpose3d(ones(1, 2, 2, 2), ones(1, 1, 2, 2, 2)).shape
        rushlight.Size([1, 3, 3, 3])
    """
    return rushlight.conv_transpose3d(
        input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """Convolves sequences laid out as (time, batch, channels).

    Args:
        input: Tensor of shape `(L, N, C_in)`.
        weight: Kernels of shape `(K, C_in, C_out)`.
        bias: Vector `(C_out,)`.
        pad: Zeros added at both ends.

    Raises:
        RuntimeError: A shape does not fit.

    Example:
        >>> ones = rushlight.ones
        >>> rushlight.nn.functional.conv_tbc(ones(3, 1, 1), ones(2, 1, 4), ones(4)).shape
        rushlight.Size([2, 1, 4])
    """
    if input.ndim != 3 or weight.ndim != 3 or bias.ndim != 1:
        raise error(
            RuntimeError,
            "conv_tbc",
            "Input and weight must have 3 dims: time, batch, channel, and bias one",
            given=f"input {shape_of(input)}, weight {shape_of(weight)}, bias {shape_of(bias)}",
        )
    out = conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad)
    return out.permute(2, 0, 1)
