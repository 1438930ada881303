"""The functions that convolve: `conv1d` to `conv_transpose3d`, and `convolution` behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._dtypes import float32
from .._errors import error
from .._modes import STATE, entered
from .._tensor.tensor import Tensor
from ._public import export
from .convolution import (
    Ints,
    Sizes,
    check_conv,
    check_operands,
    check_settings,
    conv_grad_input_op,
    conv_grad_weight_op,
    conv_op,
    geometry,
    padded,
)


def _conv(
    x: Tensor, weight: Tensor, *, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    if x.dtype is not weight.dtype:
        check_operands("conv", x, weight, len(stride))
    return conv_op.entry(  # type: ignore[no-any-return]
        x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups
    )


def _conv_grad_input(
    g: Tensor,
    weight: Tensor,
    *,
    input_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Tensor:
    """`input_size` is the whole shape (N, C, *size) of the result."""
    if g.dtype is not weight.dtype:
        check_operands("conv_grad_input", g, weight, len(stride))
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return _grown(g, weight, tuple(input_size[2:]), settings)


export("conv", _conv, "ops")
export("conv_grad_input", _conv_grad_input, "ops")
export("conv_grad_weight", conv_grad_weight_op, "ops")


def spread_ints(who: str, name: str, value: Ints, count: int) -> Sizes:
    """An int, or a sequence of one or `count` of them, as a tuple of `count`.

    Raises:
        RuntimeError: The sequence has another length.
    """
    items = (value,) if isinstance(value, int) else tuple(int(item) for item in value)
    if len(items) == 1:
        return items * count
    if len(items) != count:
        raise error(
            RuntimeError, who, f"expected {name} to be a single integer value or a list of {count} "
            f"values to match the convolution dimensions, but got {name}={list(items)}",
        )  # fmt: skip
    return items


def _same_padding(x: Tensor, weight: Tensor, dilation: Sizes) -> tuple[Tensor, Sizes]:
    """Padding that keeps the size; an odd total puts one more zero behind."""
    totals = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    return padded(x, [(0, total % 2) for total in totals]), tuple(t // 2 for t in totals)


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor:
    """Convolution, plain or transposed, over any number of spatial dimensions.

    Args:
        input: Tensor of shape `(N, C, *size)`.
        weight: Kernels, `(C_out, C / groups, *kernel)`; transposed `(C, C_out / groups, *kernel)`.
        bias: Vector of `C_out` elements, or None.
        stride: Steps of the kernel.
        padding: Zeros at both ends.
        dilation: Distances between elements of the kernel.
        transposed: Whether to apply the gradient of a convolution instead.
        output_padding: Elements that the result of a transposed convolution is longer.
        groups: Number of groups of channels.
    Raises:
        RuntimeError: Shapes, dtypes or settings do not fit each other.
    """
    settings = stride, padding, dilation, transposed, output_padding, groups
    return _convolution("convolution", input, weight, bias, *settings)


def _convolution(
    who: str,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor:
    spatial = weight.ndim - 2
    state = STATE.get()
    if state.autocast is not None:
        rest = stride, padding, dilation, transposed, output_padding, groups
        x, w, b = state.autocast.cast(conv_op, (input, weight, bias))
        with entered(state.but(autocast=None)):
            return _convolution(who, x, w, b, *rest)
    if bias is not None:
        _check_bias(who, bias, weight, weight.shape[1] * groups if transposed else weight.shape[0])
        if input.dtype.is_reduced:
            # The sum with the bias is rounded once, not twice.
            x, w, b = (
                operand.to(float32) if operand.dtype is input.dtype else operand
                for operand in (input, weight, bias)
            )
            rest = stride, padding, dilation, transposed, output_padding, groups
            return _convolution(who, x, w, b, *rest).to(input.dtype)
    settings: dict[str, Any] = {
        name: spread_ints(who, name, value, spatial)
        for name, value in (("stride", stride), ("padding", padding), ("dilation", dilation))
    }
    settings["groups"] = groups
    if transposed:
        extra = spread_ints(who, "output_padding", output_padding, spatial)
        out = _transposed(who, input, weight, extra, settings)
    else:
        check_conv(who, input, weight, settings)
        out = conv_op(input, weight, **settings)
    return out if bias is None else out + bias.reshape(-1, *(1,) * spatial)


def _check_bias(who: str, bias: Tensor, weight: Tensor, channels: int) -> None:
    if tuple(bias.shape) != (channels,):
        raise error(
            RuntimeError,
            who,
            f"expected bias to be 1-dimensional with {channels} elements",
            given=f"bias of shape {tuple(bias.shape)}, weight of shape {tuple(weight.shape)}",
        )
    if bias.dtype is not weight.dtype:
        raise error(
            RuntimeError,
            who,
            f"Input type ({weight.dtype}) and bias type ({bias.dtype}) should be the same",
            fix="convert one, or use autocast",
        )


def _transposed(
    who: str, input: Tensor, weight: Tensor, extra: Sizes, settings: dict[str, Any]
) -> Tensor:
    check_operands(who, input, weight, weight.ndim - 2)
    check_settings(who, **settings)
    stride, padding, dilation = geometry(settings)
    for more, s, d in zip(extra, stride, dilation, strict=True):
        if more < 0 or more >= max(s, d):
            raise error(
                RuntimeError, who, "output padding must be smaller than either stride or dilation",
                given=f"output_padding={extra}, stride={stride}, dilation={dilation}",
            )  # fmt: skip
    size = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + more + 1
        for n, s, p, d, k, more in zip(
            input.shape[2:], stride, padding, dilation, weight.shape[2:], extra, strict=True
        )
    )
    if any(n < 1 for n in size):
        raise error(
            RuntimeError,
            who,
            f"Given input size per channel: {tuple(input.shape[2:])}. Calculated output size per "
            f"channel: {size}. Output size is too small",
        )
    if input.shape[1] != weight.shape[0] or input.shape[1] % settings["groups"]:
        conv_grad_input_op.meta_rule(input, weight, input_size=size, **settings)  # type: ignore[misc]
    return _grown(input, weight, size, settings)


def _grown(g: Tensor, weight: Tensor, size: Sizes, settings: dict[str, Any]) -> Tensor:
    """A transposed convolution with a result of that size.

    The operator's sizes are those of a convolution's input, which are less than one stride apart.
    Where a transposed convolution is to be longer than that, all it has is computed, and then cut
    and filled up with zeros.
    """
    stride, padding, dilation = geometry(settings)
    inner, widths, pads = list(size), list(padding), [(0, 0)] * len(size)
    for axis, (n, m, k, s, p, d) in enumerate(
        zip(size, g.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    ):
        whole = (m - 1) * s + d * (k - 1) + 1
        if n + 2 * p - whole >= s:
            inner[axis], widths[axis], pads[axis] = whole, 0, (-p, n + p - whole)
    changed = {**settings, "padding": tuple(widths)}
    out = conv_grad_input_op.entry(g, weight, input_size=tuple(inner), **changed)
    return padded(out, pads)


def _check_ndim(who: str, spatial: int, input: Tensor, weight: Tensor) -> bool:
    """Whether the input is a single sample; raises unless it is one or a batch of them."""
    ndim = input.ndim
    if weight.ndim == spatial + 2 and spatial + 1 <= ndim <= spatial + 2:
        return bool(ndim == spatial + 1)
    raise error(
        RuntimeError,
        who,
        f"Expected {spatial + 1}D (unbatched) or {spatial + 2}D (batched) input, and a weight of "
        f"{spatial + 2} dimensions",
        given=f"input of shape {tuple(input.shape)}, weight of shape {tuple(weight.shape)}",
    )


def _define(spatial: int) -> None:
    """`conv1d` and `conv_transpose1d`, or those of two or three dimensions."""
    none = (0,) * spatial

    def conv(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Ints = 1,
        padding: str | Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
    ) -> Tensor:
        single = _check_ndim(name, spatial, input, weight)
        x = input.unsqueeze(0) if single else input
        steps = spread_ints(name, "dilation", dilation, spatial)
        if padding == "same":
            if any(s != 1 for s in spread_ints(name, "stride", stride, spatial)):
                raise error(
                    RuntimeError, name, "padding='same' is not supported for strided convolutions"
                )
            x, padding = _same_padding(x, weight, steps)
        elif padding == "valid":
            padding = none
        elif isinstance(padding, str):
            raise error(
                RuntimeError, name, f"Invalid padding string: {padding!r}",
                expected="'same' or 'valid'",
            )  # fmt: skip
        widths = spread_ints(name, "padding", padding, spatial)
        strides = spread_ints(name, "stride", stride, spatial)
        rest = strides, widths, steps, False, none, groups
        out = _convolution(name, x, weight, bias, *rest)
        return out.squeeze(0) if single else out

    def conv_transpose(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        dilation: Ints = 1,
    ) -> Tensor:
        single = _check_ndim(other, spatial, input, weight)
        x = input.unsqueeze(0) if single else input
        strides = spread_ints(other, "stride", stride, spatial)
        widths = spread_ints(other, "padding", padding, spatial)
        steps = spread_ints(other, "dilation", dilation, spatial)
        extra = spread_ints(other, "output_padding", output_padding, spatial)
        rest = strides, widths, steps, True, extra, groups
        out = _convolution(other, x, weight, bias, *rest)
        return out.squeeze(0) if single else out

    name = f"conv{spatial}d"
    conv.__name__ = conv.__qualname__ = name
    conv.__doc__ = f"Convolution over {spatial} spatial dimension(s); see `nn.functional.{name}`."
    export(name, conv)
    other = f"conv_transpose{spatial}d"
    conv_transpose.__name__ = conv_transpose.__qualname__ = other
    conv_transpose.__doc__ = f"Transpose of a `{name}`; see `nn.functional.{other}`."
    export(other, conv_transpose)


for _spatial in (1, 2, 3):
    _define(_spatial)
export("convolution", convolution)
