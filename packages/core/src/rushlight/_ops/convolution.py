"""Convolution: one trilinear form of input, weight and output, seen from its three sides.

    T(x, w, g) = sum of g * conv(x, w)

`conv` is its derivative by `g`, `conv_grad_input` by `x` (which is the transposed convolution) and
`conv_grad_weight` by `w`; so the derivative of each is one of the others, to any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from .._dispatch import Spec
from .._dtypes import float32
from .._errors import error
from .._modes import STATE, entered
from .._operator import Operator, operator, operators
from .._tensor.tensor import Tensor
from ._batching import front
from ._public import PUBLIC, export

Sizes = tuple[int, ...]
Ints = int | Sequence[int]

_SETTINGS = "int[] stride, int[] padding, int[] dilation, int groups"
conv_op = operator(f"conv(Tensor x, Tensor weight, *, {_SETTINGS}) -> Tensor")
conv_grad_input_op = operator(
    f"conv_grad_input(Tensor g, Tensor weight, *, int[] input_size, {_SETTINGS}) -> Tensor"
)
conv_grad_weight_op = operator(
    f"conv_grad_weight(Tensor g, Tensor x, *, int[] kernel_size, {_SETTINGS}) -> Tensor"
)


def output_size(
    size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Sizes:
    """Spatial sizes of a convolution's result."""
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )


# -- shapes ---------------------------------------------------------------------------------


def _check_operands(who: str, x: Tensor, weight: Tensor, spatial: int) -> None:
    if x.dtype is not weight.dtype:
        raise error(
            RuntimeError,
            who,
            f"Input type ({x.dtype}) and weight type ({weight.dtype}) should be the same",
            fix="convert one, or use autocast",
        )
    if weight.ndim != x.ndim or x.ndim != spatial + 2:
        raise error(
            RuntimeError,
            who,
            f"expected an input and a weight of {spatial + 2} dimensions",
            given=f"x of shape {tuple(x.shape)}, weight of shape {tuple(weight.shape)}",
        )


def check_settings(who: str, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int) -> None:
    """Raises for steps that do not move and paddings that are negative."""
    for name, values, least in (("stride", stride, 1), ("padding", padding, 0),
                                ("dilation", dilation, 1), ("groups", (groups,), 1)):  # fmt: skip
        if any(value < least for value in values):
            what = "negative" if least == 0 else "non-positive"
            raise error(
                RuntimeError, who, f"{what} {name} is not supported", given=f"{name}={values}"
            )


def _check_conv(who: str, x: Tensor, weight: Tensor, settings: dict[str, Any]) -> Sizes:
    """Checks operands of a convolution; returns the shape of its result."""
    _check_operands(who, x, weight, len(settings["stride"]))
    check_settings(who, **settings)
    groups = settings["groups"]
    given = f"x of shape {tuple(x.shape)}, weight of shape {tuple(weight.shape)}, groups={groups}"
    if x.shape[1] != weight.shape[1] * groups:
        raise error(
            RuntimeError,
            who,
            f"Given groups={groups}, weight of size {list(weight.shape)}, expected input to have "
            f"{weight.shape[1] * groups} channels, but got {x.shape[1]} channels instead",
            given=given,
        )
    if weight.shape[0] % groups:
        raise error(
            RuntimeError,
            who,
            "expected weight to be divisible by groups at dimension 0",
            given=given,
        )
    spans = [d * (k - 1) + 1 for k, d in zip(weight.shape[2:], settings["dilation"], strict=True)]
    padded = [n + 2 * p for n, p in zip(x.shape[2:], settings["padding"], strict=True)]
    if 0 in weight.shape[2:] or any(n < span for n, span in zip(padded, spans, strict=True)):
        raise error(
            RuntimeError,
            who,
            f"Calculated padded input size per channel: {tuple(padded)}. Kernel size: "
            f"{tuple(spans)}. Kernel size can't be greater than actual input size",
            given=given,
        )
    return output_size(x.shape[2:], weight.shape[2:], *_geometry(settings))


def _geometry(settings: dict[str, Any]) -> tuple[Sizes, Sizes, Sizes]:
    return settings["stride"], settings["padding"], settings["dilation"]


@conv_op.meta
def _(x: Tensor, weight: Tensor, **settings: Any) -> Spec:
    size = _check_conv("conv", x, weight, settings)
    return Spec((x.shape[0], weight.shape[0], *size), x.dtype)


@conv_grad_input_op.meta
def _(g: Tensor, weight: Tensor, *, input_size: Sizes, **settings: Any) -> Spec:
    _check_operands("conv_grad_input", g, weight, len(input_size))
    check_settings("conv_grad_input", **settings)
    if g.shape[1] != weight.shape[0] or g.shape[1] % settings["groups"]:
        raise error(
            RuntimeError,
            "conv_grad_input",
            f"Given transposed=1, weight of size {list(weight.shape)}, expected input to have "
            f"{weight.shape[0]} channels, but got {g.shape[1]} channels instead",
            given=f"groups={settings['groups']}",
        )
    expected = output_size(input_size, weight.shape[2:], *_geometry(settings))
    if tuple(g.shape[2:]) != expected:
        raise error(
            RuntimeError,
            "conv_grad_input",
            f"a result of size {tuple(input_size)} belongs to an operand of size {expected}",
            given=f"an operand of size {tuple(g.shape[2:])}",
        )
    return Spec((g.shape[0], weight.shape[1] * settings["groups"], *input_size), g.dtype)


@conv_grad_weight_op.meta
def _(g: Tensor, x: Tensor, *, kernel_size: Sizes, **settings: Any) -> Spec:
    _check_operands("conv_grad_weight", g, x, len(kernel_size))
    return Spec((g.shape[1], x.shape[1] // settings["groups"], *kernel_size), g.dtype)


# -- decompositions: strided windows and matrix products -------------------------------------


def padded(x: Tensor, pads: Sequence[tuple[int, int]], value: Any = 0) -> Tensor:
    """The last dimensions with a value before and after; negative numbers crop."""
    if not any(before or after for before, after in pads):
        return x
    flat = [n for pair in reversed(pads) for n in pair]
    return PUBLIC[""]["constant_pad_nd"](x, flat, value)  # type: ignore[no-any-return]


def windows(x: Tensor, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Tensor:
    """A view (N, C, *windows, *kernel) of `x` (N, C, *size)."""
    for axis, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True), 2):
        span = d * (k - 1) + 1
        x = operators["unfold"](x, dim=axis, size=span, step=s)
        if d != 1:
            x = operators["slice"](x, dim=x.ndim - 1, start=0, length=k, step=d)
    return x


def _patches(x: Tensor, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes,
             groups: int) -> Tensor:  # fmt: skip
    """What each output looks at: (N, groups, windows, channels per group * taps)."""
    x = padded(x, [(p, p) for p in padding])
    seen = windows(x, kernel, stride, dilation)
    batch, channels, spatial = x.shape[0], x.shape[1], len(kernel)
    out = seen.shape[2 : 2 + spatial]
    seen = seen.reshape(batch, groups, channels // groups, *out, *kernel)
    order = (0, 1, *range(3, 3 + spatial), 2, *range(3 + spatial, 3 + 2 * spatial))
    return seen.permute(order).reshape(batch, groups, prod(out), channels // groups * prod(kernel))


@conv_op.decomposition
def _(
    x: Tensor, weight: Tensor, *, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    kernel = tuple(weight.shape[2:])
    size = output_size(x.shape[2:], kernel, stride, padding, dilation)
    patches = _patches(x, kernel, stride, padding, dilation, groups)
    outer = weight.shape[0] // groups
    matrix = weight.reshape(1, groups, outer, weight.shape[1] * prod(kernel))
    out = matrix.matmul(patches.transpose(2, 3))
    return out.reshape(x.shape[0], groups * outer, *size)


@conv_grad_weight_op.decomposition
def _(
    g: Tensor,
    x: Tensor,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Tensor:
    # The input's last elements may lie beyond the last window: unfold leaves them out.
    patches = _patches(x, kernel_size, stride, padding, dilation, groups)
    outer = g.shape[1] // groups
    rows = g.reshape(g.shape[0], groups, outer, prod(g.shape[2:]))
    out = rows.matmul(patches).sum(0)
    return out.reshape(g.shape[1], x.shape[1] // groups, *kernel_size)


@conv_grad_input_op.decomposition
def _(
    g: Tensor,
    weight: Tensor,
    *,
    input_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> Tensor:
    """A convolution with the mirrored kernel, over `g` with zeros between its elements."""
    spatial, kernel = len(input_size), weight.shape[2:]
    spread = g
    for axis, s in enumerate(stride, 2):
        spread = _interleaved(spread, axis, s)
    pads = []
    for n, k, p, d, m in zip(input_size, kernel, padding, dilation, spread.shape[2:], strict=True):
        before = d * (k - 1) - p
        # The result has m + before + after - d (k - 1) elements, and n of them are wanted.
        pads.append((before, n - m - before + d * (k - 1)))
    outer, inner = weight.shape[0] // groups, weight.shape[1]
    mirrored = weight.flip(tuple(range(2, 2 + spatial)))
    mirrored = mirrored.reshape(groups, outer, inner, *kernel).transpose(1, 2)
    ones = (1,) * spatial
    return conv_op(  # type: ignore[no-any-return]
        padded(spread, pads),
        mirrored.reshape(groups * inner, outer, *kernel),
        stride=ones,
        padding=(0,) * spatial,
        dilation=dilation,
        groups=groups,
    )


def _interleaved(x: Tensor, dim: int, step: int) -> Tensor:
    """`x` with step - 1 zeros between its elements along `dim`."""
    if step == 1 or x.shape[dim] == 0:
        return x
    n = x.shape[dim]
    pads = [(0, step - 1)] + [(0, 0)] * (x.ndim - dim - 1)
    wide = padded(x.unsqueeze(dim + 1), pads)
    wide = wide.reshape(*x.shape[:dim], n * step, *x.shape[dim + 1 :])
    length = (n - 1) * step + 1
    return operators["slice"](wide, dim=dim, start=0, length=length, step=1)  # type: ignore[no-any-return]


# -- derivatives ----------------------------------------------------------------------------


def _conj(x: Tensor) -> Tensor:
    return x.conj() if x._k.is_complex else x


def _towards_input(
    g: Tensor, weight: Tensor, x_shape: Sizes, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    return conv_grad_input_op(  # type: ignore[no-any-return]
        g, _conj(weight), input_size=tuple(x_shape[2:]),
        stride=stride, padding=padding, dilation=dilation, groups=groups,
    )  # fmt: skip


def _towards_weight(
    g: Tensor, x: Tensor, weight_shape: Sizes, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    return conv_grad_weight_op(  # type: ignore[no-any-return]
        g, _conj(x), kernel_size=tuple(weight_shape[2:]),
        stride=stride, padding=padding, dilation=dilation, groups=groups,
    )  # fmt: skip


def _forwards(
    x: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    return conv_op(  # type: ignore[no-any-return]
        x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups
    )


# The formulas take the settings one by one: a rule's parameters say what is handed to it.
conv_op.vjp(
    x=lambda g, weight, x_shape, stride, padding, dilation, groups: _towards_input(
        g, weight, x_shape, stride, padding, dilation, groups
    ),
    weight=lambda g, x, weight_shape, stride, padding, dilation, groups: _towards_weight(
        g, x, weight_shape, stride, padding, dilation, groups
    ),
)
conv_grad_input_op.vjp(
    g=lambda c, weight, stride, padding, dilation, groups: _forwards(
        c, _conj(weight), stride, padding, dilation, groups
    ),
    weight=lambda c, g, weight_shape, stride, padding, dilation, groups: conv_grad_weight_op(
        _conj(g), c, kernel_size=tuple(weight_shape[2:]),
        stride=stride, padding=padding, dilation=dilation, groups=groups,
    ),
)  # fmt: skip
conv_grad_weight_op.vjp(
    g=lambda c, x, stride, padding, dilation, groups: _forwards(
        _conj(x), c, stride, padding, dilation, groups
    ),
    x=lambda c, g, x_shape, stride, padding, dilation, groups: conv_grad_input_op(
        _conj(g), c, input_size=tuple(x_shape[2:]),
        stride=stride, padding=padding, dilation=dilation, groups=groups,
    ),
)  # fmt: skip


def _bilinear(op: Any) -> None:
    """The forward derivative of an operator that is linear in each of two operands."""

    def jvp(primals: Any, tangents: Any, out: Tensor, **settings: Any) -> Any:
        (x, y), (tx, ty) = primals, tangents
        first = None if tx is None else op(tx, y, **settings)
        second = None if ty is None else op(x, ty, **settings)
        return first if second is None else second if first is None else first + second

    op.jvp(jvp)


for _op in (conv_op, conv_grad_input_op, conv_grad_weight_op):
    _bilinear(_op)


# -- batching: a batch of operands is more samples, more channels, or more groups -------------


def _merged(x: Tensor, dim: int) -> Tensor:
    """Dimensions `dim` and `dim + 1` as one."""
    n, m = x.shape[dim : dim + 2]
    return x.reshape(*x.shape[:dim], n * m, *x.shape[dim + 2 :])


def _split(x: Tensor, dim: int, n: int) -> Tensor:
    """Dimension `dim` as (n, the rest)."""
    return x.reshape(*x.shape[:dim], n, x.shape[dim] // n, *x.shape[dim + 1 :])


def _into_channels(x: Tensor, dim: int, groups: int) -> Tensor:
    """The batch dimension, in front, as the slowest channels of each group of dimension `dim`.

    `dim` counts without the batch dimension.
    """
    x = _split(x, dim + 1, groups)  # B, ..., groups, channels
    order = list(range(1, x.ndim))
    order.insert(dim + 1, 0)  # ..., groups, B, channels
    return _merged(_merged(x.permute(order), dim), dim)


def _from_channels(out: Tensor, dim: int, groups: int, batch: int) -> Tensor:
    """Undoes `_into_channels` for a result."""
    out = _split(_split(out, dim, groups), dim + 1, batch)  # ..., groups, B, channels
    order = [dim + 1, *(d for d in range(out.ndim) if d != dim + 1)]
    return _merged(out.permute(order), dim + 1)


def _batched_by_weight(op: Operator, out_channels: int) -> None:
    """Batching of a convolution, plain or transposed; the dimension of the weight that makes the
    result's channels tells which."""

    def rule(inputs: Any, dims: Any, *, groups: int, **settings: Any) -> tuple[Tensor, int]:
        (x, weight), (dx, dw) = inputs, dims
        if dw is None:
            x = front(x, dx)
            out = op(_merged(x, 0), weight, groups=groups, **settings)
            return _split(out, 0, x.shape[0]), 0
        weight = front(weight, dw)
        batch = weight.shape[0]
        if dx is None:
            # The weight's first dimension runs over the groups, its second over one group only.
            weight = _into_channels(weight, out_channels, 1 if out_channels else groups)
            return _from_channels(op(x, weight, groups=groups, **settings), 1, groups, batch), 0
        x = _into_channels(front(x, dx), 1, 1)
        out = op(x, _merged(weight, 0), groups=batch * groups, **settings)
        return _split(out, 1, batch), 1

    op.batching(rule)


_batched_by_weight(conv_op, 0)
_batched_by_weight(conv_grad_input_op, 1)


@conv_grad_weight_op.batching
def _(inputs: Any, dims: Any, *, groups: int, **settings: Any) -> tuple[Tensor, int]:
    (g, x), (dg, dx) = inputs, dims
    if dx is None:
        g = front(g, dg)
        out = conv_grad_weight_op(_into_channels(g, 1, groups), x, groups=groups, **settings)
        return _from_channels(out, 0, groups, g.shape[0]), 0
    x = front(x, dx)
    batch = x.shape[0]
    if dg is None:
        out = conv_grad_weight_op(g, _into_channels(x, 1, groups), groups=groups, **settings)
        return _split(out, 1, batch), 1
    g, x = _into_channels(front(g, dg), 1, 1), _into_channels(x, 1, 1)
    out = conv_grad_weight_op(g, x, groups=batch * groups, **settings)
    return _split(out, 0, batch), 0


# -- functions ------------------------------------------------------------------------------


def _conv(
    x: Tensor, weight: Tensor, *, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    if x.dtype is not weight.dtype:
        _check_operands("conv", x, weight, len(stride))
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
        _check_operands("conv_grad_input", g, weight, len(stride))
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
        _check_conv(who, input, weight, settings)
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
    _check_operands(who, input, weight, weight.ndim - 2)
    check_settings(who, **settings)
    stride, padding, dilation = _geometry(settings)
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
    stride, padding, dilation = _geometry(settings)
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
