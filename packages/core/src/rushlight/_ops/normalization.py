"""Layer, RMS and group norm: statistics of each sample.

Each operator returns its statistics beside the result, in at least single precision, and treats
them as results like any other: the backward operators are formulas in them, so a second derivative
reaches the input through the statistics too.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import ml_dtypes

from .._dispatch import Spec
from .._errors import error
from .._operator import operator
from .._tensor.tensor import Tensor
from ._normalizing import (
    Gradients,
    Needs,
    backward_spec,
    check_channels,
    check_float,
    count_of_each,
    given_shapes,
    moments,
    parameter_dtype,
    plus,
    row_gradient,
    scaled,
)
from ._precision import rounded, wide_dtype, widened
from ._public import export
from .elementwise import or_zeros

_STATS = "(Tensor, Tensor, Tensor)"
layer_norm_op = operator(
    f"native_layer_norm(Tensor x, Tensor? weight, Tensor? bias, *, int normalized_ndim, float eps)"
    f" -> {_STATS}"
)
layer_norm_backward_op = operator(
    "layer_norm_backward(Tensor g, Tensor x, Tensor mean, Tensor rstd, Tensor? weight, *, "
    f"int normalized_ndim, bool[] needs) -> {_STATS}"
)
rms_norm_op = operator(
    "native_rms_norm(Tensor x, Tensor? weight, *, int normalized_ndim, float eps) -> "
    "(Tensor, Tensor)"
)
rms_norm_backward_op = operator(
    "rms_norm_backward(Tensor g, Tensor x, Tensor rrms, Tensor? weight, *, int normalized_ndim, "
    "bool[] needs) -> (Tensor, Tensor)"
)
group_norm_op = operator(
    f"native_group_norm(Tensor x, Tensor? weight, Tensor? bias, *, int groups, float eps)"
    f" -> {_STATS}"
)
group_norm_backward_op = operator(
    "group_norm_backward(Tensor g, Tensor x, Tensor mean, Tensor rstd, Tensor? weight, *, "
    f"int groups, bool[] needs) -> {_STATS}"
)


# -- gradients through statistics ------------------------------------------------------------


def _through_statistics(
    g_mean: Tensor | None, g_rstd: Tensor | None, x: Tensor, mean: Tensor, rstd: Tensor
) -> Tensor | None:
    """Gradient of x from those of its mean and 1 / deviation, all broadcastable to x."""
    count = count_of_each(x.shape, mean)
    found = None
    if g_mean is not None:
        found = (g_mean / count).expand(x.shape)
    if g_rstd is not None:
        slope = g_rstd * rstd * rstd * rstd / -count
        found = plus(found, slope * (x - mean))
    return found


# -- layer norm -----------------------------------------------------------------------------


def _leading(x: Tensor, normalized_ndim: int) -> tuple[int, ...]:
    """The shape of statistics over the last dimensions."""
    return (*x.shape[: x.ndim - normalized_ndim], *(1,) * normalized_ndim)


def _last(x: Tensor, count: int) -> tuple[int, ...]:
    return tuple(range(x.ndim - count, x.ndim))


@layer_norm_op.meta
def _(
    x: Tensor, weight: Any, bias: Any, *, normalized_ndim: int, eps: float
) -> tuple[Spec, Spec, Spec]:
    check_float("layer_norm", x)
    stat = Spec(_leading(x, normalized_ndim), wide_dtype(x.dtype))
    return Spec(x.shape, x.dtype), stat, stat


@layer_norm_op.decomposition
def _(
    x: Tensor, weight: Any, bias: Any, *, normalized_ndim: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    mean, centred, variance = moments(widened(x), _last(x, normalized_ndim))
    rstd = (variance + eps).rsqrt()
    out = scaled(centred * rstd, weight, bias, x.shape[x.ndim - normalized_ndim :])
    return rounded(out, x.dtype), mean, rstd


@layer_norm_op.vjp
def _(
    g: Any,
    *,
    x: Tensor,
    weight: Any,
    out1: Tensor,
    out2: Tensor,
    normalized_ndim: int,
    needs: Needs,
) -> Gradients:
    found = layer_norm_backward_op(
        or_zeros(g[0], x), x, out1, out2, weight, normalized_ndim=normalized_ndim, needs=needs
    )
    if (g[1] is None and g[2] is None) or not needs[0]:
        return found  # type: ignore[no-any-return]
    more = _through_statistics(g[1], g[2], widened(x), out1, out2)
    return plus(found[0], more), found[1], found[2]


@layer_norm_backward_op.meta
def _(
    g: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, *, normalized_ndim: int,
    needs: Needs,
) -> tuple[Any, ...]:  # fmt: skip
    return backward_spec(x, x.shape[x.ndim - normalized_ndim :], needs)


@layer_norm_backward_op.decomposition
def _(
    g: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, *, normalized_ndim: int,
    needs: Needs,
) -> Gradients:  # fmt: skip
    tail = x.shape[x.ndim - normalized_ndim :]
    lead = tuple(range(x.ndim - normalized_ndim))
    g, hat = widened(g), (widened(x) - mean) * rstd
    gw = scaled(g, weight, None, tail)
    dx = row_gradient(gw, hat, rstd, _last(x, normalized_ndim)) if needs[0] else None
    dw = (g * hat).sum(lead) if needs[1] and lead else g * hat if needs[1] else None
    db = g.sum(lead) if needs[2] and lead else g if needs[2] else None
    return tuple(None if d is None else rounded(d, x.dtype) for d in (dx, dw, db))


# -- RMS norm -------------------------------------------------------------------------------


@rms_norm_op.meta
def _(x: Tensor, weight: Any, *, normalized_ndim: int, eps: float) -> tuple[Spec, Spec]:
    check_float("rms_norm", x)
    return Spec(x.shape, x.dtype), Spec(_leading(x, normalized_ndim), wide_dtype(x.dtype))


@rms_norm_op.decomposition
def _(x: Tensor, weight: Any, *, normalized_ndim: int, eps: float) -> tuple[Tensor, Tensor]:
    wide = widened(x)
    rrms = ((wide * wide).mean(_last(x, normalized_ndim), keepdim=True) + eps).rsqrt()
    out = scaled(wide * rrms, weight, None, x.shape[x.ndim - normalized_ndim :])
    return rounded(out, x.dtype), rrms


@rms_norm_op.vjp
def _(
    g: Any, *, x: Tensor, weight: Any, out1: Tensor, normalized_ndim: int, needs: Needs
) -> Gradients:
    found = rms_norm_backward_op(
        or_zeros(g[0], x), x, out1, weight, normalized_ndim=normalized_ndim, needs=needs
    )
    if g[1] is None or not needs[0]:
        return found  # type: ignore[no-any-return]
    slope = g[1] * out1 * out1 * out1 / -count_of_each(x.shape, out1)
    return plus(found[0], slope * widened(x)), found[1]


@rms_norm_backward_op.meta
def _(
    g: Tensor, x: Tensor, rrms: Tensor, weight: Any, *, normalized_ndim: int, needs: Needs
) -> tuple[Any, ...]:
    return backward_spec(x, x.shape[x.ndim - normalized_ndim :], needs)


@rms_norm_backward_op.decomposition
def _(
    g: Tensor, x: Tensor, rrms: Tensor, weight: Any, *, normalized_ndim: int, needs: Needs
) -> Gradients:
    lead = tuple(range(x.ndim - normalized_ndim))
    g, hat = widened(g), widened(x) * rrms
    dx = dw = None
    if needs[0]:
        gw = scaled(g, weight, None, x.shape[x.ndim - normalized_ndim :])
        mean = (gw * hat).mean(_last(x, normalized_ndim), keepdim=True)
        dx = rounded(rrms * (gw - hat * mean), x.dtype)
    if needs[1]:
        dw = rounded((g * hat).sum(lead) if lead else g * hat, x.dtype)
    return dx, dw


def _rms_norm(
    x: Tensor, weight: Tensor | None, *, normalized_ndim: int, eps: float
) -> tuple[Tensor, Tensor]:
    """RMS norm; of complex numbers by the formula, with squares as they are."""
    op: Any = rms_norm_op.decomposition_rule if x._k.is_complex else rms_norm_op
    return op(x, weight, normalized_ndim=normalized_ndim, eps=eps)  # type: ignore[no-any-return]


# -- group norm -----------------------------------------------------------------------------


def _grouped(x: Tensor, groups: int) -> Tensor:
    """(N, C, *size) as (N, groups, channels per group, pixels)."""
    return x.reshape(x.shape[0], groups, x.shape[1] // groups, prod(x.shape[2:]))


@group_norm_op.meta
def _(x: Tensor, weight: Any, bias: Any, *, groups: int, eps: float) -> tuple[Spec, Spec, Spec]:
    check_float("group_norm", x)
    stat = Spec((x.shape[0], groups), wide_dtype(x.dtype))
    return Spec(x.shape, x.dtype), stat, stat


@group_norm_op.decomposition
def _(
    x: Tensor, weight: Any, bias: Any, *, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    rows = _grouped(widened(x), groups)
    mean, centred, variance = moments(rows, (2, 3))
    rstd = (variance + eps).rsqrt()
    out = scaled(centred * rstd, weight, bias, (1, *rows.shape[1:3], 1))
    stat = (x.shape[0], groups)
    return rounded(out.reshape(x.shape), x.dtype), mean.reshape(stat), rstd.reshape(stat)


@group_norm_op.vjp
def _(
    g: Any, *, x: Tensor, weight: Any, out1: Tensor, out2: Tensor, groups: int, needs: Needs
) -> Gradients:
    found = group_norm_backward_op(
        or_zeros(g[0], x), x, out1, out2, weight, groups=groups, needs=needs
    )
    if (g[1] is None and g[2] is None) or not needs[0]:
        return found  # type: ignore[no-any-return]
    shape = (x.shape[0], groups, 1, 1)
    parts = [None if part is None else part.reshape(shape) for part in (g[1], g[2], out1, out2)]
    more = _through_statistics(parts[0], parts[1], _grouped(widened(x), groups), *parts[2:])  # type: ignore[arg-type]
    return plus(found[0], None if more is None else more.reshape(x.shape)), found[1], found[2]


@group_norm_backward_op.meta
def _(
    g: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, *, groups: int, needs: Needs
) -> tuple[Any, ...]:
    return backward_spec(x, (x.shape[1],), needs)


@group_norm_backward_op.decomposition
def _(
    g: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, *, groups: int, needs: Needs
) -> Gradients:
    stat = (x.shape[0], groups, 1, 1)
    rows, rstd = _grouped(widened(g), groups), rstd.reshape(stat)
    hat = (_grouped(widened(x), groups) - mean.reshape(stat)) * rstd
    dx = dw = db = None
    if needs[0]:
        gw = scaled(rows, weight, None, (1, *rows.shape[1:3], 1))
        dx = rounded(row_gradient(gw, hat, rstd, (2, 3)).reshape(x.shape), x.dtype)
    if needs[1]:
        dw = rounded((rows * hat).sum((0, 3)).reshape(x.shape[1]), x.dtype)
    if needs[2]:
        db = rounded(rows.sum((0, 3)).reshape(x.shape[1]), x.dtype)
    return dx, dw, db


for _op in (layer_norm_op, group_norm_op):
    export(_op.name, _op, "ops")
export("native_rms_norm", _rms_norm, "ops")


# -- functions ------------------------------------------------------------------------------


def _normalized_ndim(
    who: str, x: Tensor, normalized_shape: Sequence[int], weight: Any, bias: Any
) -> int:
    shape = tuple(normalized_shape)
    given = given_shapes(x, normalized_shape=shape, weight=weight, bias=bias)
    if not shape:
        raise error(
            RuntimeError, who, "Expected normalized_shape to be at least 1-dimensional", given=given
        )
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and tuple(value.shape) != shape:
            raise error(
                RuntimeError, who, f"Expected {name} to be of same shape as normalized_shape",
                given=given,
            )  # fmt: skip
    if tuple(x.shape[-len(shape) :]) != shape:
        raise error(
            RuntimeError,
            who,
            f"Given normalized_shape={list(shape)}, expected input with shape "
            f"[*, {', '.join(map(str, shape))}], but got input of size {list(x.shape)}",
            given=given,
        )
    return len(shape)


def native_layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Layer norm together with the means and the reciprocal deviations it used.

    Raises:
        RuntimeError: The shapes do not fit each other.
    """
    count = _normalized_ndim("native_layer_norm", input, normalized_shape, weight, bias)
    out, mean, rstd = layer_norm_op(input, weight, bias, normalized_ndim=count, eps=eps)
    dtype = parameter_dtype(input, weight)
    return out, rounded(mean, dtype), rounded(rstd, dtype)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
    cudnn_enable: bool = True,
) -> Tensor:
    """Normalises over the last dimensions; see `nn.functional.layer_norm`."""
    count = _normalized_ndim("layer_norm", input, normalized_shape, weight, bias)
    return layer_norm_op(input, weight, bias, normalized_ndim=count, eps=eps)[0]  # type: ignore[no-any-return]


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Divides by the root mean square of the last dimensions; see `nn.functional.rms_norm`."""
    count = _normalized_ndim("rms_norm", input, normalized_shape, weight, None)
    if eps is None:
        eps = float(ml_dtypes.finfo(input.dtype.numpy).eps)  # type: ignore[no-untyped-call]
    return _rms_norm(input, weight, normalized_ndim=count, eps=eps)[0]


def _check_groups(who: str, x: Tensor, groups: int, weight: Any, bias: Any) -> None:
    if x.ndim < 2:
        raise error(
            RuntimeError,
            who,
            "Expected at least 2 dimensions for input tensor",
            given=given_shapes(x),
        )
    if groups <= 0 or x.shape[1] % groups:
        raise error(
            RuntimeError,
            who,
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(x.shape)} and num_groups={groups}",
        )
    check_channels(who, x, weight=weight, bias=bias)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
    cudnn_enabled: bool = True,
) -> Tensor:
    """Normalises groups of channels; see `nn.functional.group_norm`."""
    _check_groups("group_norm", input, num_groups, weight, bias)
    return group_norm_op(input, weight, bias, groups=num_groups, eps=eps)[0]  # type: ignore[no-any-return]


def native_group_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    N: int,
    C: int,
    HxW: int,
    group: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Group norm of `N * C * HxW` elements, with its means and reciprocal deviations.

    Raises:
        RuntimeError: The sizes do not fit each other.
    """
    if input.numel() != N * C * HxW:
        raise error(
            RuntimeError, "native_group_norm", f"Expected input to have {N * C * HxW} elements",
            given=given_shapes(input, N=N, C=C, HxW=HxW),
        )  # fmt: skip
    x = input.reshape(N, C, HxW)
    _check_groups("native_group_norm", x, group, weight, bias)
    out, mean, rstd = group_norm_op(x, weight, bias, groups=group, eps=eps)
    return out.reshape(input.shape), mean, rstd


for _function in (native_layer_norm, layer_norm, rms_norm, group_norm, native_group_norm):
    export(_function.__name__, _function)
