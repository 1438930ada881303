"""Pooling: maxima and means of windows, fixed and adaptive, and the operators that undo them.

All operators take (N, C, *size). The derivative of a maximum is a gather at the positions found,
its transpose a scatter; means are linear maps, whose transposes spread a gradient evenly.
"""

from __future__ import annotations

import itertools
from math import prod
from typing import Any

from .._dispatch import Spec
from .._dtypes import int64
from .._errors import error
from .._operator import Operator, operator
from .._tensor.construction import tensor
from .._tensor.tensor import Tensor
from ._batching import batch_size, front_or_expanded
from ._public import export
from .convolution import Ints, Sizes, conv_grad_input_op, padded, windows
from .extremes import lowest

_WINDOW = "int[] kernel_size, int[] stride, int[] padding"
_MEAN = f"{_WINDOW}, bool ceil_mode, bool count_include_pad, int? divisor_override"
max_pool_op = operator(
    f"max_pool(Tensor x, *, {_WINDOW}, int[] dilation, bool ceil_mode) -> (Tensor, Tensor)",
    constant_outputs=(1,),
)
max_pool_values_op = operator(
    f"max_pool_values(Tensor x, *, {_WINDOW}, int[] dilation, bool ceil_mode) -> Tensor"
)
max_pool_backward_op = operator(
    "max_pool_backward(Tensor g, Tensor indices, *, int[] input_size) -> Tensor"
)
avg_pool_op = operator(f"avg_pool(Tensor x, *, {_MEAN}) -> Tensor")
avg_pool_backward_op = operator(
    f"avg_pool_backward(Tensor g, *, int[] input_size, {_MEAN}) -> Tensor"
)
adaptive_avg_pool_op = operator("adaptive_avg_pool(Tensor x, *, int[] output_size) -> Tensor")
adaptive_avg_pool_backward_op = operator(
    "adaptive_avg_pool_backward(Tensor g, *, int[] input_size) -> Tensor"
)
adaptive_max_pool_op = operator(
    "adaptive_max_pool(Tensor x, *, int[] output_size) -> (Tensor, Tensor)", constant_outputs=(1,)
)


# -- shapes ---------------------------------------------------------------------------------


def pooled_size(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> int:
    """Windows along one dimension; with `ceil_mode` the last may hang over, not start, outside."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-span // stride) if ceil_mode else span // stride) + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return count


def _pooled(
    who: str,
    x: Tensor,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
) -> Sizes:
    """Shape of a pooled tensor, after the checks."""
    for name, values in (("kernel_size", kernel), ("stride", stride), ("dilation", dilation)):
        if any(value <= 0 for value in values):
            raise error(
                RuntimeError, who, f"{name} should be greater than zero", given=f"{name}={values}"
            )
    if any(p < 0 or p > (d * (k - 1) + 1) // 2
           for k, p, d in zip(kernel, padding, dilation, strict=True)):  # fmt: skip
        raise error(
            RuntimeError, who, "pad should be at least 0 and at most half of effective kernel size",
            given=f"padding={padding}, kernel_size={kernel}, dilation={dilation}",
        )  # fmt: skip
    size = tuple(
        pooled_size(*numbers, ceil_mode)
        for numbers in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    )
    if any(n < 1 for n in size):
        raise error(
            RuntimeError,
            who,
            f"Given input size {tuple(x.shape)}. Calculated output size {size}. Output size is too "
            "small",
            given=f"kernel_size={kernel}, padding={padding}",
        )
    return (*x.shape[:2], *size)


@max_pool_op.meta
def _(
    x: Tensor, *, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Spec, Spec]:
    shape = _pooled("max_pool", x, kernel_size, stride, padding, dilation, ceil_mode)
    return Spec(shape, x.dtype), Spec(shape, int64)


@max_pool_values_op.meta
def _(x: Tensor, **window: Any) -> Spec:
    return max_pool_op.meta_rule(x, **window)[0]  # type: ignore[misc,no-any-return]


@max_pool_backward_op.meta
def _(g: Tensor, indices: Tensor, *, input_size: Sizes) -> Spec:
    return Spec((*g.shape[:2], *input_size), g.dtype)


@avg_pool_op.meta
def _(
    x: Tensor,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Spec:
    ones = (1,) * len(kernel_size)
    if divisor_override == 0:
        raise error(
            RuntimeError, "avg_pool", "divisor must be not zero", given="divisor_override=0"
        )
    return Spec(_pooled("avg_pool", x, kernel_size, stride, padding, ones, ceil_mode), x.dtype)


@avg_pool_backward_op.meta
def _(g: Tensor, *, input_size: Sizes, **window: Any) -> Spec:
    return Spec((*g.shape[:2], *input_size), g.dtype)


@adaptive_avg_pool_op.meta
def _(x: Tensor, *, output_size: Sizes) -> Spec:
    return Spec((*x.shape[:2], *output_size), x.dtype)


@adaptive_avg_pool_backward_op.meta
def _(g: Tensor, *, input_size: Sizes) -> Spec:
    return Spec((*g.shape[:2], *input_size), g.dtype)


@adaptive_max_pool_op.meta
def _(x: Tensor, *, output_size: Sizes) -> tuple[Spec, Spec]:
    shape = (*x.shape[:2], *output_size)
    return Spec(shape, x.dtype), Spec(shape, int64)


# -- decompositions of maxima ---------------------------------------------------------------


def _hanging(
    size: Sizes, out: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> list[tuple[int, int]]:
    """What to put before and after each dimension so that all windows lie inside."""
    return [
        (p, max((o - 1) * s + d * (k - 1) + 1 - n - p, 0))
        for n, o, k, s, p, d in zip(size, out, kernel, stride, padding, dilation, strict=True)
    ]


def _maxima(
    seen: Tensor, places: list[list[list[int]]], size: Sizes, out: Sizes
) -> tuple[Tensor, Tensor]:
    """Maxima of windows (N, C, *out, *kernel), and their flat positions in the plane.

    Args:
        seen: The windows.
        places: For each dimension, window and tap: the coordinate looked at.
        size: Spatial sizes of the input.
        out: Spatial sizes of the result.
    """
    spatial = len(out)
    flat = seen.reshape(*seen.shape[: 2 + spatial], prod(seen.shape[2 + spatial :]))
    values, tap = flat.max(-1)
    position: Any = 0
    for axis, table in enumerate(places):
        # Broadcasts over the windows and taps of the other dimensions.
        shape = [1] * (2 * spatial)
        shape[axis], shape[spatial + axis] = len(table), len(table[0])
        along = tensor(table, dtype=int64, device=seen.device).reshape(*shape)
        position = position + along * prod(size[axis + 1 :])
    taps = seen.shape[2 + spatial :]
    position = position.expand(*out, *taps).reshape(1, 1, *out, prod(taps))
    position = position.expand(*flat.shape)
    return values, position.gather(-1, tap.unsqueeze(-1)).squeeze(-1)


@max_pool_op.decomposition
def _(
    x: Tensor, *, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Tensor, Tensor]:
    size = tuple(x.shape[2:])
    out = _pooled("max_pool", x, kernel_size, stride, padding, dilation, ceil_mode)[2:]
    pads = _hanging(size, out, kernel_size, stride, padding, dilation)
    whole = padded(x, pads, lowest(x.dtype))
    seen = windows(whole, kernel_size, stride, dilation)
    for axis, n in enumerate(out, 2):
        if seen.shape[axis] != n:
            seen = seen.narrow(axis, 0, n)
    places = [
        [[min(max(i * s - p + t * d, 0), n - 1) for t in range(k)] for i in range(o)]
        for n, o, k, s, p, d in zip(size, out, kernel_size, stride, padding, dilation, strict=True)
    ]
    return _maxima(seen, places, size, out)


@max_pool_values_op.decomposition
def _(x: Tensor, **window: Any) -> Tensor:
    return max_pool_op(x, **window)[0]  # type: ignore[no-any-return]


@max_pool_backward_op.decomposition
def _(g: Tensor, indices: Tensor, *, input_size: Sizes) -> Tensor:
    batch, channels = g.shape[:2]
    count = prod(g.shape[2:])
    zeros = g.new_zeros((batch, channels, prod(input_size)))
    rows = indices.reshape(batch, channels, count), g.reshape(batch, channels, count)
    return zeros.scatter_add(2, *rows).reshape(batch, channels, *input_size)


def _window(n: int, out: int) -> list[tuple[int, int]]:
    """Start and stop of the adaptive windows along a dimension; neighbours may overlap."""
    return [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]


@adaptive_max_pool_op.decomposition
def _(x: Tensor, *, output_size: Sizes) -> tuple[Tensor, Tensor]:
    size, spatial = tuple(x.shape[2:]), len(output_size)
    places = []
    for n, o in zip(size, output_size, strict=True):
        cuts = _window(n, o)
        taps = max((stop - start for start, stop in cuts), default=1)
        # Shorter windows look at their last element again, which changes no maximum.
        places.append([[min(start + t, stop - 1) for t in range(taps)] for start, stop in cuts])
    if 0 in output_size:
        empty = x.new_zeros((*x.shape[:2], *output_size))
        return empty, empty.to(int64)
    seen = x
    for axis, table in enumerate(places):
        dim = 2 + 2 * axis
        index = tensor([n for row in table for n in row], dtype=int64, device=x.device)
        seen = seen.index_select(dim, index)
        seen = seen.reshape(*seen.shape[:dim], len(table), len(table[0]), *seen.shape[dim + 1 :])
    order = (0, 1, *range(2, 2 + 2 * spatial, 2), *range(3, 3 + 2 * spatial, 2))
    return _maxima(seen.permute(order), places, size, tuple(output_size))


# -- decompositions of means ----------------------------------------------------------------


def _divisor(
    like: Tensor,
    size: Sizes,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    out: Sizes,
    include_pad: bool,
) -> Any:
    """How many elements each window counts: a number, or a tensor that broadcasts to `out`."""
    counts = []
    for n, k, s, p, o in zip(size, kernel, stride, padding, out, strict=True):
        low, high = (-p, n + p) if include_pad else (0, n)
        counts.append([min(i * s - p + k, high) - max(i * s - p, low) for i in range(o)])
    if all(len(set(row)) == 1 for row in counts):
        return prod(row[0] for row in counts)
    products = [prod(cell) for cell in itertools.product(*counts)]
    return tensor(products, dtype=like.dtype, device=like.device).reshape(*out)


@avg_pool_op.decomposition
def _(
    x: Tensor,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    size, spatial = tuple(x.shape[2:]), len(kernel_size)
    ones = (1,) * spatial
    out = _pooled("avg_pool", x, kernel_size, stride, padding, ones, ceil_mode)[2:]
    whole = padded(x, _hanging(size, out, kernel_size, stride, padding, ones), 0)
    seen = windows(whole, kernel_size, stride, ones)
    for axis, n in enumerate(out, 2):
        if seen.shape[axis] != n:
            seen = seen.narrow(axis, 0, n)
    total = seen.sum(tuple(range(2 + spatial, 2 + 2 * spatial)))
    divisor = divisor_override
    if divisor is None:
        divisor = _divisor(x, size, kernel_size, stride, padding, out, count_include_pad)
    rounding = None if x.dtype.is_inexact else "trunc"
    return total.div(divisor, rounding_mode=rounding)


@avg_pool_backward_op.decomposition
def _(
    g: Tensor,
    *,
    input_size: Sizes,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    """The gradient of a sum of windows is a transposed convolution with a kernel of ones."""
    out, spatial = tuple(g.shape[2:]), len(kernel_size)
    divisor = divisor_override
    if divisor is None:
        divisor = _divisor(g, input_size, kernel_size, stride, padding, out, count_include_pad)
    covered = tuple((o - 1) * s + k for o, s, k in zip(out, stride, kernel_size, strict=True))
    planes = (g / divisor).reshape(g.shape[0] * g.shape[1], 1, *out)
    ones, none = (1,) * spatial, (0,) * spatial
    whole = conv_grad_input_op(
        planes, g.new_ones((1, 1, *kernel_size)), input_size=covered,
        stride=stride, padding=none, dilation=ones, groups=1,
    )  # fmt: skip
    pads = [(-p, n + p - m) for n, p, m in zip(input_size, padding, covered, strict=True)]
    return padded(whole, pads, 0).reshape(*g.shape[:2], *input_size)


def _averaging(like: Tensor, n: int, out: int) -> Tensor:
    """The matrix (out, n) that averages over adaptive windows."""
    rows = [
        [1 / (stop - start) if start <= j < stop else 0.0 for j in range(n)]
        for start, stop in _window(n, out)
    ]
    return tensor(rows, dtype=like.dtype, device=like.device).reshape(out, n)


def _along(x: Tensor, dim: int, matrix: Tensor) -> Tensor:
    """Applies a matrix to the vectors along a dimension."""
    last = x.ndim - 1
    return x.transpose(dim, last).matmul(matrix.transpose(0, 1)).transpose(dim, last)


@adaptive_avg_pool_op.decomposition
def _(x: Tensor, *, output_size: Sizes) -> Tensor:
    for dim, o in enumerate(output_size, 2):
        x = _along(x, dim, _averaging(x, x.shape[dim], o))
    return x


@adaptive_avg_pool_backward_op.decomposition
def _(g: Tensor, *, input_size: Sizes) -> Tensor:
    for dim, n in enumerate(input_size, 2):
        g = _along(g, dim, _averaging(g, n, g.shape[dim]).transpose(0, 1))
    return g


# -- derivatives ----------------------------------------------------------------------------


def _at(x: Tensor, indices: Tensor) -> Tensor:
    """The elements (N, C, *) of planes at flat positions."""
    batch, channels = x.shape[:2]
    flat = x.reshape(batch, channels, prod(x.shape[2:]))
    return flat.gather(2, indices.reshape(batch, channels, -1)).reshape(tuple(indices.shape))


def _with_positions(op: Operator) -> None:
    """The derivatives of a maximum that says where it was found."""

    def vjp(g: Any, *, out1: Tensor, x_shape: Sizes) -> Tensor:
        return max_pool_backward_op(g[0], out1, input_size=tuple(x_shape[2:]))  # type: ignore[no-any-return]

    def jvp(primals: Any, tangents: Any, out: Any, **attributes: Any) -> Any:
        return _at(tangents[0], out[1]), None

    op.vjp(vjp)
    op.jvp(jvp)


_with_positions(max_pool_op)
_with_positions(adaptive_max_pool_op)
max_pool_backward_op.vjp(g=lambda c, indices: _at(c, indices))
adaptive_avg_pool_op.vjp(
    x=lambda g, x_shape: adaptive_avg_pool_backward_op(g, input_size=tuple(x_shape[2:]))
)
adaptive_avg_pool_backward_op.vjp(
    g=lambda c, g_shape: adaptive_avg_pool_op(c, output_size=tuple(g_shape[2:]))
)


@avg_pool_op.vjp
def _(
    g: Tensor, *, x_shape: Sizes, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
    count_include_pad: bool, divisor_override: int | None,
) -> Any:  # fmt: skip
    return avg_pool_backward_op(
        g,
        input_size=tuple(x_shape[2:]),
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


@avg_pool_backward_op.vjp
def _(
    c: Tensor, *, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
    count_include_pad: bool, divisor_override: int | None,
) -> Any:  # fmt: skip
    return avg_pool_op(
        c,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


for _op in (
    max_pool_backward_op, avg_pool_op, avg_pool_backward_op,
    adaptive_avg_pool_op, adaptive_avg_pool_backward_op,
):  # fmt: skip
    _op.jvp("linear")


# -- batching: a batch is more samples ------------------------------------------------------


def _more_samples(op: Operator) -> None:
    def rule(inputs: Any, dims: Any, **attributes: Any) -> tuple[Any, Any]:
        size = batch_size(inputs, dims)
        folded = []
        for x, d in zip(inputs, dims, strict=True):
            x = front_or_expanded(x, d, size)
            folded.append(x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]))
        out = op(*folded, **attributes)
        if isinstance(out, tuple):
            return tuple(o.reshape(size, -1, *o.shape[1:]) for o in out), (0,) * len(out)
        return out.reshape(size, -1, *out.shape[1:]), 0

    op.batching(rule)


for _op in (
    max_pool_op, max_pool_values_op, max_pool_backward_op, avg_pool_op, avg_pool_backward_op,
    adaptive_avg_pool_op, adaptive_avg_pool_backward_op, adaptive_max_pool_op,
):  # fmt: skip
    _more_samples(_op)
    export(_op.name, _op, "ops")


# -- functions ------------------------------------------------------------------------------


def _sizes(who: str, name: str, value: Ints, count: int) -> Sizes:
    items = (value,) if isinstance(value, int) else tuple(int(item) for item in value)
    if len(items) == 1:
        return items * count
    if len(items) != count:
        raise error(
            RuntimeError, who, f"{name} must either be a single int, or a tuple of {count} ints",
            given=f"{name}={items}",
        )  # fmt: skip
    return items


def _samples(who: str, input: Tensor, spatial: int) -> tuple[Tensor, bool]:
    """The input with a dimension of samples, and whether it had none."""
    if input.ndim not in (spatial + 1, spatial + 2):
        raise error(
            RuntimeError,
            who,
            f"Expected {spatial + 1}D or {spatial + 2}D input",
            given=f"input of shape {tuple(input.shape)}",
        )
    single = input.ndim == spatial + 1
    return (input.unsqueeze(0) if single else input), single


def _max_pool(
    who: str,
    spatial: int,
    op: Operator,
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints,
    dilation: Ints,
    ceil_mode: bool,
) -> Any:
    kernel = _sizes(who, "kernel_size", kernel_size, spatial)
    steps = kernel if stride is None or stride == () or stride == [] else stride
    window = {
        "kernel_size": kernel,
        "stride": _sizes(who, "stride", steps, spatial),
        "padding": _sizes(who, "padding", padding, spatial),
        "dilation": _sizes(who, "dilation", dilation, spatial),
        "ceil_mode": ceil_mode,
    }
    x, single = _samples(who, input, spatial)
    op.meta_rule(x, **window)  # type: ignore[misc]
    out = op(x, **window)
    if not single:
        return out
    return tuple(o.squeeze(0) for o in out) if isinstance(out, tuple) else out.squeeze(0)


def _define(spatial: int, name: str, op: Operator) -> None:
    def pool(
        input: Tensor,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
    ) -> Any:
        return _max_pool(
            name, spatial, op, input, kernel_size, stride, padding, dilation, ceil_mode
        )

    pool.__name__ = pool.__qualname__ = name
    what = "Maxima of windows" + (" and their positions" if op is max_pool_op else "")
    pool.__doc__ = f"{what} over {spatial} spatial dimension(s); see `nn.functional.{name}`."
    export(name, pool)


for _spatial in (1, 2, 3):
    _define(_spatial, f"max_pool{_spatial}d", max_pool_values_op)
_define(1, "max_pool1d_with_indices", max_pool_op)


def avg_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Means of windows over sequences; see `nn.functional.avg_pool1d`."""
    who = "avg_pool1d"
    kernel = _sizes(who, "kernel_size", kernel_size, 1)
    steps = kernel if stride is None or stride == () or stride == [] else stride
    window = {
        "kernel_size": kernel,
        "stride": _sizes(who, "stride", steps, 1),
        "padding": _sizes(who, "padding", padding, 1),
        "ceil_mode": ceil_mode,
        "count_include_pad": count_include_pad,
        "divisor_override": None,
    }
    x, single = _samples(who, input, 1)
    avg_pool_op.meta_rule(x, **window)  # type: ignore[misc]
    out: Tensor = avg_pool_op(x, **window)
    return out.squeeze(0) if single else out


def adaptive_avg_pool1d(input: Tensor, output_size: Ints) -> Tensor:
    """Means of as many windows as asked for; see `nn.functional.adaptive_avg_pool1d`."""
    size = _sizes("adaptive_avg_pool1d", "output_size", output_size, 1)
    x, single = _samples("adaptive_avg_pool1d", input, 1)
    out: Tensor = adaptive_avg_pool_op(x, output_size=size)
    return out.squeeze(0) if single else out


def adaptive_max_pool1d(input: Tensor, output_size: Ints) -> tuple[Tensor, Tensor]:
    """Maxima of as many windows as asked for; see `nn.functional.adaptive_max_pool1d`."""
    size = _sizes("adaptive_max_pool1d", "output_size", output_size, 1)
    x, single = _samples("adaptive_max_pool1d", input, 1)
    values, indices = adaptive_max_pool_op(x, output_size=size)
    return (values.squeeze(0), indices.squeeze(0)) if single else (values, indices)


for _function in (avg_pool1d, adaptive_avg_pool1d, adaptive_max_pool1d):
    export(_function.__name__, _function)
