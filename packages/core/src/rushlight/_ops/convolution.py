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
from .._errors import error
from .._operator import Operator, operator
from .._registered import operators
from .._tensor.tensor import Tensor
from ._batching import front
from ._public import PUBLIC
from .elementwise import conj

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


def check_operands(who: str, x: Tensor, weight: Tensor, spatial: int) -> None:
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


def check_conv(who: str, x: Tensor, weight: Tensor, settings: dict[str, Any]) -> Sizes:
    """Checks operands of a convolution; returns the shape of its result."""
    check_operands(who, x, weight, len(settings["stride"]))
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
    return output_size(x.shape[2:], weight.shape[2:], *geometry(settings))


def geometry(settings: dict[str, Any]) -> tuple[Sizes, Sizes, Sizes]:
    return settings["stride"], settings["padding"], settings["dilation"]


@conv_op.meta
def _(x: Tensor, weight: Tensor, **settings: Any) -> Spec:
    size = check_conv("conv", x, weight, settings)
    return Spec((x.shape[0], weight.shape[0], *size), x.dtype)


@conv_grad_input_op.meta
def _(g: Tensor, weight: Tensor, *, input_size: Sizes, **settings: Any) -> Spec:
    check_operands("conv_grad_input", g, weight, len(input_size))
    check_settings("conv_grad_input", **settings)
    if g.shape[1] != weight.shape[0] or g.shape[1] % settings["groups"]:
        raise error(
            RuntimeError,
            "conv_grad_input",
            f"Given transposed=1, weight of size {list(weight.shape)}, expected input to have "
            f"{weight.shape[0]} channels, but got {g.shape[1]} channels instead",
            given=f"groups={settings['groups']}",
        )
    expected = output_size(input_size, weight.shape[2:], *geometry(settings))
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
    check_operands("conv_grad_weight", g, x, len(kernel_size))
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


def _towards_input(
    g: Tensor, weight: Tensor, x_shape: Sizes, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    return conv_grad_input_op(  # type: ignore[no-any-return]
        g, conj(weight), input_size=tuple(x_shape[2:]),
        stride=stride, padding=padding, dilation=dilation, groups=groups,
    )  # fmt: skip


def _towards_weight(
    g: Tensor, x: Tensor, weight_shape: Sizes, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    return conv_grad_weight_op(  # type: ignore[no-any-return]
        g, conj(x), kernel_size=tuple(weight_shape[2:]),
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
        c, conj(weight), stride, padding, dilation, groups
    ),
    weight=lambda c, g, weight_shape, stride, padding, dilation, groups: conv_grad_weight_op(
        conj(g), c, kernel_size=tuple(weight_shape[2:]),
        stride=stride, padding=padding, dilation=dilation, groups=groups,
    ),
)  # fmt: skip
conv_grad_weight_op.vjp(
    g=lambda c, x, stride, padding, dilation, groups: _forwards(
        conj(x), c, stride, padding, dilation, groups
    ),
    x=lambda c, g, x_shape, stride, padding, dilation, groups: conv_grad_input_op(
        conj(g), c, input_size=tuple(x_shape[2:]),
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
