"""Convolutions and transposed convolutions over one, two and three spatial dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import rushlight
from rushlight import Tensor, ops
from rushlight._errors import error

from ._arguments import Ints, check_positive, int_tuple, shape_of


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
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


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
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


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
    return _convolve("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


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
    settings = (stride, padding, output_padding, dilation)
    return _transposed("conv_transpose1d", 1, input, weight, bias, settings, groups)


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
    settings = (stride, padding, output_padding, dilation)
    return _transposed("conv_transpose2d", 2, input, weight, bias, settings, groups)


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
    settings = (stride, padding, output_padding, dilation)
    return _transposed("conv_transpose3d", 3, input, weight, bias, settings, groups)


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


def _convolve(
    who: str,
    spatial: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: str | Ints,
    dilation: Ints,
    groups: int,
) -> Tensor:
    _check_tensors(who, spatial, input, weight, bias)
    strides = int_tuple(stride, spatial, who, "stride")
    dilations = int_tuple(dilation, spatial, who, "dilation")
    check_positive(who, stride=strides, dilation=dilations)
    channel_dim = input.ndim - spatial - 1
    _check_groups(who, groups, input, weight, channel_dim, transposed=False)
    _check_bias(who, bias, weight.shape[0])
    kernel = tuple(weight.shape[2:])
    if isinstance(padding, str):
        input, paddings = _resolve_padding(who, input, kernel, padding, strides, dilations)
    else:
        paddings = _checked_padding(who, padding, spatial)
    _check_kernel_fits(who, input, kernel, paddings, dilations)
    batched = input if channel_dim else input.unsqueeze(0)
    out = ops.conv(
        batched, weight, stride=strides, padding=paddings, dilation=dilations, groups=groups
    )
    return _finish(out, bias, spatial, batched=channel_dim == 1)


def _transposed(
    who: str,
    spatial: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    settings: tuple[Ints, Ints, Ints, Ints],
    groups: int,
) -> Tensor:
    _check_tensors(who, spatial, input, weight, bias)
    strides = int_tuple(settings[0], spatial, who, "stride")
    paddings = _checked_padding(who, settings[1], spatial)
    extra = int_tuple(settings[2], spatial, who, "output_padding")
    dilations = int_tuple(settings[3], spatial, who, "dilation")
    check_positive(who, stride=strides, dilation=dilations)
    channel_dim = input.ndim - spatial - 1
    _check_groups(who, groups, input, weight, channel_dim, transposed=True)
    channels = weight.shape[1] * groups
    _check_bias(who, bias, channels)
    _check_output_padding(who, extra, strides, dilations)
    sizes = tuple(
        (size - 1) * s - 2 * p + d * (k - 1) + e + 1
        for size, k, s, p, e, d in zip(
            input.shape[-spatial:], weight.shape[2:], strides, paddings, extra, dilations
        )
    )
    if any(size <= 0 for size in sizes):
        raise error(
            RuntimeError,
            who,
            f"calculated output size {sizes} is too small",
            given=f"input {shape_of(input)}, weight {shape_of(weight)}, padding={paddings}",
            fix="use less padding or a larger output_padding",
        )
    batched = input if channel_dim else input.unsqueeze(0)
    out = ops.conv_grad_input(
        batched,
        weight,
        input_size=(batched.shape[0], channels, *sizes),
        stride=strides,
        padding=paddings,
        dilation=dilations,
        groups=groups,
    )
    return _finish(out, bias, spatial, batched=channel_dim == 1)


def _finish(out: Tensor, bias: Tensor | None, spatial: int, *, batched: bool) -> Tensor:
    if bias is not None:
        out = out + bias.reshape((-1,) + (1,) * spatial)
    return out if batched else out.squeeze(0)


def _resolve_padding(
    who: str,
    input: Tensor,
    kernel: tuple[int, ...],
    padding: str,
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> tuple[Tensor, tuple[int, ...]]:
    """The symmetric part of a named padding; an odd zero is put at the far end of the input."""
    if padding == "valid":
        return input, (0,) * len(kernel)
    if padding != "same":
        raise error(
            RuntimeError,
            who,
            f"Invalid padding string: {padding!r}",
            expected="'valid', 'same', or ints",
        )
    if any(step != 1 for step in strides):
        raise error(
            RuntimeError,
            who,
            "padding='same' is not supported for strided convolutions",
            given=f"stride={strides}",
            fix="use stride=1, or give the padding as ints",
        )
    totals = [d * (k - 1) for d, k in zip(dilations, kernel)]
    odd = [total % 2 for total in totals]
    if any(odd):
        far_ends = [amount for one in reversed(odd) for amount in (0, one)]
        input = rushlight.constant_pad_nd(input, far_ends, 0)
    return input, tuple(total // 2 for total in totals)


def _checked_padding(who: str, padding: Ints, spatial: int) -> tuple[int, ...]:
    paddings = int_tuple(padding, spatial, who, "padding")
    if any(amount < 0 for amount in paddings):
        raise error(
            RuntimeError, who, "negative padding is not supported", given=f"padding={paddings}"
        )
    return paddings


def _check_tensors(
    who: str, spatial: int, input: Tensor, weight: Tensor, bias: Tensor | None
) -> None:
    given = f"input of shape {shape_of(input)}, weight of shape {shape_of(weight)}"
    if weight.ndim != spatial + 2:
        raise error(
            RuntimeError,
            who,
            f"weight should have {spatial + 2} dimensions, not {weight.ndim}",
            given=given,
        )
    if input.ndim not in (spatial + 1, spatial + 2):
        raise error(
            RuntimeError,
            who,
            f"Expected {spatial + 1}D (unbatched) or {spatial + 2}D (batched) input",
            given=given,
        )
    dtypes = {input.dtype, weight.dtype} | (set() if bias is None else {bias.dtype})
    if len(dtypes) > 1:
        raise error(
            RuntimeError,
            who,
            "the dtypes of input, weight and bias should be the same",
            given=f"input {input.dtype}, weight {weight.dtype}"
            + ("" if bias is None else f", bias {bias.dtype}"),
            fix="convert them with .to(dtype)",
        )


def _check_groups(
    who: str,
    groups: int,
    input: Tensor,
    weight: Tensor,
    channel_dim: int,
    *,
    transposed: bool,
) -> None:
    given = f"groups={groups}, input of shape {shape_of(input)}, weight of shape {shape_of(weight)}"
    if groups <= 0:
        raise error(RuntimeError, who, "non-positive groups is not supported", given=given)
    if weight.shape[0] < groups or weight.shape[0] % groups:
        raise error(
            RuntimeError,
            who,
            f"expected weight to be at least {groups} at dimension 0, and divisible by it",
            given=given,
        )
    channels = input.shape[channel_dim]
    wanted = weight.shape[0] if transposed else weight.shape[1] * groups
    if channels != wanted:
        raise error(
            RuntimeError,
            who,
            f"expected input to have {wanted} channels, but got {channels} channels instead",
            given=given,
        )


def _check_bias(who: str, bias: Tensor | None, channels: int) -> None:
    if bias is not None and tuple(bias.shape) != (channels,):
        raise error(
            RuntimeError,
            who,
            f"expected bias to be 1-dimensional with {channels} elements",
            given=f"bias of shape {shape_of(bias)}",
        )


def _check_kernel_fits(
    who: str,
    input: Tensor,
    kernel: tuple[int, ...],
    paddings: tuple[int, ...],
    dilations: tuple[int, ...],
) -> None:
    padded = [size + 2 * amount for size, amount in zip(input.shape[-len(kernel) :], paddings)]
    spans = [d * (k - 1) + 1 for d, k in zip(dilations, kernel)]
    if any(span > size for span, size in zip(spans, padded)):
        raise error(
            RuntimeError,
            who,
            "Kernel size can't be greater than actual input size",
            given=f"padded input size {tuple(padded)}, kernel spanning {tuple(spans)}",
            fix="add padding, or use a smaller kernel or dilation",
        )


def _check_output_padding(
    who: str, extra: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> None:
    if any(e < 0 or e >= max(s, d) for e, s, d in zip(extra, strides, dilations)):
        raise error(
            RuntimeError,
            who,
            "output padding must be non-negative and smaller than either stride or dilation",
            given=f"output_padding={extra}, stride={strides}, dilation={dilations}",
        )
