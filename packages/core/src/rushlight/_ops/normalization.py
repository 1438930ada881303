"""Layer, RMS, group and batch norm.

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
from .._dtypes import DType, bfloat16, float16, float32
from .._errors import error
from .._modes import with_modes
from .._operator import operator
from .._tensor.tensor import Tensor
from ._public import export, with_out

Needs = tuple[bool, ...]
Gradients = tuple[Tensor | None, ...]

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
batch_norm_stats_op = operator("batch_norm_stats(Tensor x) -> (Tensor, Tensor)")
batch_norm_apply_op = operator(
    "batch_norm_apply(Tensor x, Tensor mean, Tensor rstd, Tensor? weight, Tensor? bias) -> Tensor"
)
batch_norm_train_op = operator(
    f"batch_norm_train(Tensor x, Tensor? weight, Tensor? bias, *, float eps) -> {_STATS}"
)
batch_norm_backward_op = operator(
    "batch_norm_backward(Tensor g, Tensor x, Tensor mean, Tensor rstd, Tensor? weight, *, "
    f"bool training, bool[] needs) -> {_STATS}"
)


# -- what the families share ----------------------------------------------------------------


def _wide_dtype(dtype: DType) -> DType:
    """The dtype to compute in."""
    return float32 if dtype is float16 or dtype is bfloat16 else dtype


def _wide(x: Tensor) -> Tensor:
    wide = _wide_dtype(x.dtype)
    return x if x.dtype is wide else x.to(wide)


def _parameter_dtype(x: Tensor, weight: Tensor | None) -> DType:
    """The dtype that the public functions return statistics in."""
    return x.dtype if weight is None else weight.dtype


def _like(x: Tensor, dtype: DType) -> Tensor:
    return x if x.dtype is dtype else x.to(dtype)


def _moments(x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, centred values and biased variance over dimensions, which are kept."""
    mean = x.mean(dims, keepdim=True)
    centred = x - mean
    return mean, centred, (centred * centred).mean(dims, keepdim=True)


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None, shape: Any) -> Tensor:
    """x * weight + bias with the parameters seen in a shape."""
    if weight is not None:
        x = x * _wide(weight).reshape(shape)
    if bias is not None:
        x = x + _wide(bias).reshape(shape)
    return x


def _row_gradient(gw: Tensor, hat: Tensor, rstd: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Gradient of hat = (x - mean) * rstd where both statistics follow x."""
    return rstd * (gw - gw.mean(dims, keepdim=True) - hat * (gw * hat).mean(dims, keepdim=True))


def _count(x_shape: tuple[int, ...], stat: Tensor) -> int:
    """Elements behind each statistic."""
    return prod(x_shape) // max(stat.numel(), 1)


def _plus(dx: Tensor | None, more: Tensor | None) -> Tensor | None:
    return more if dx is None else dx if more is None else dx + more


def _through_statistics(
    g_mean: Tensor | None, g_rstd: Tensor | None, x: Tensor, mean: Tensor, rstd: Tensor
) -> Tensor | None:
    """Gradient of x from those of its mean and 1 / deviation, all broadcastable to x."""
    count = _count(x.shape, mean)
    found = None
    if g_mean is not None:
        found = (g_mean / count).expand(x.shape)
    if g_rstd is not None:
        slope = g_rstd * rstd * rstd * rstd / -count
        found = _plus(found, slope * (x - mean))
    return found


def _zeros_if_none(g: Tensor | None, x: Tensor) -> Tensor:
    return x.new_zeros(x.shape) if g is None else g


# -- layer norm -----------------------------------------------------------------------------


def _check_float(who: str, x: Tensor) -> None:
    if not x.dtype.is_floating_point:
        raise error(
            NotImplementedError, who, f"not implemented for {x.dtype}", given=f"x of {x.dtype}",
            expected="a real floating dtype",
        )  # fmt: skip


def _leading(x: Tensor, normalized_ndim: int) -> tuple[int, ...]:
    """The shape of statistics over the last dimensions."""
    return (*x.shape[: x.ndim - normalized_ndim], *(1,) * normalized_ndim)


def _last(x: Tensor, count: int) -> tuple[int, ...]:
    return tuple(range(x.ndim - count, x.ndim))


@layer_norm_op.meta
def _(
    x: Tensor, weight: Any, bias: Any, *, normalized_ndim: int, eps: float
) -> tuple[Spec, Spec, Spec]:
    _check_float("layer_norm", x)
    stat = Spec(_leading(x, normalized_ndim), _wide_dtype(x.dtype))
    return Spec(x.shape, x.dtype), stat, stat


@layer_norm_op.decomposition
def _(
    x: Tensor, weight: Any, bias: Any, *, normalized_ndim: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    mean, centred, variance = _moments(_wide(x), _last(x, normalized_ndim))
    rstd = (variance + eps).rsqrt()
    out = _scaled(centred * rstd, weight, bias, x.shape[x.ndim - normalized_ndim :])
    return _like(out, x.dtype), mean, rstd


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
        _zeros_if_none(g[0], x), x, out1, out2, weight, normalized_ndim=normalized_ndim, needs=needs
    )
    if (g[1] is None and g[2] is None) or not needs[0]:
        return found  # type: ignore[no-any-return]
    more = _through_statistics(g[1], g[2], _wide(x), out1, out2)
    return _plus(found[0], more), found[1], found[2]


def _backward_spec(x: Tensor, shape: tuple[int, ...], needs: Needs) -> tuple[Any, ...]:
    specs = (Spec(x.shape, x.dtype), *(Spec(shape, x.dtype) for _ in needs[1:]))
    return tuple(spec if need else None for spec, need in zip(specs, needs, strict=True))


@layer_norm_backward_op.meta
def _(
    g: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, *, normalized_ndim: int,
    needs: Needs,
) -> tuple[Any, ...]:  # fmt: skip
    return _backward_spec(x, x.shape[x.ndim - normalized_ndim :], needs)


@layer_norm_backward_op.decomposition
def _(
    g: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, *, normalized_ndim: int,
    needs: Needs,
) -> Gradients:  # fmt: skip
    tail = x.shape[x.ndim - normalized_ndim :]
    lead = tuple(range(x.ndim - normalized_ndim))
    g, hat = _wide(g), (_wide(x) - mean) * rstd
    gw = _scaled(g, weight, None, tail)
    dx = _row_gradient(gw, hat, rstd, _last(x, normalized_ndim)) if needs[0] else None
    dw = (g * hat).sum(lead) if needs[1] and lead else g * hat if needs[1] else None
    db = g.sum(lead) if needs[2] and lead else g if needs[2] else None
    return tuple(None if d is None else _like(d, x.dtype) for d in (dx, dw, db))


# -- RMS norm -------------------------------------------------------------------------------


@rms_norm_op.meta
def _(x: Tensor, weight: Any, *, normalized_ndim: int, eps: float) -> tuple[Spec, Spec]:
    _check_float("rms_norm", x)
    return Spec(x.shape, x.dtype), Spec(_leading(x, normalized_ndim), _wide_dtype(x.dtype))


@rms_norm_op.decomposition
def _(x: Tensor, weight: Any, *, normalized_ndim: int, eps: float) -> tuple[Tensor, Tensor]:
    wide = _wide(x)
    rrms = ((wide * wide).mean(_last(x, normalized_ndim), keepdim=True) + eps).rsqrt()
    out = _scaled(wide * rrms, weight, None, x.shape[x.ndim - normalized_ndim :])
    return _like(out, x.dtype), rrms


@rms_norm_op.vjp
def _(
    g: Any, *, x: Tensor, weight: Any, out1: Tensor, normalized_ndim: int, needs: Needs
) -> Gradients:
    found = rms_norm_backward_op(
        _zeros_if_none(g[0], x), x, out1, weight, normalized_ndim=normalized_ndim, needs=needs
    )
    if g[1] is None or not needs[0]:
        return found  # type: ignore[no-any-return]
    slope = g[1] * out1 * out1 * out1 / -_count(x.shape, out1)
    return _plus(found[0], slope * _wide(x)), found[1]


@rms_norm_backward_op.meta
def _(
    g: Tensor, x: Tensor, rrms: Tensor, weight: Any, *, normalized_ndim: int, needs: Needs
) -> tuple[Any, ...]:
    return _backward_spec(x, x.shape[x.ndim - normalized_ndim :], needs)


@rms_norm_backward_op.decomposition
def _(
    g: Tensor, x: Tensor, rrms: Tensor, weight: Any, *, normalized_ndim: int, needs: Needs
) -> Gradients:
    lead = tuple(range(x.ndim - normalized_ndim))
    g, hat = _wide(g), _wide(x) * rrms
    dx = dw = None
    if needs[0]:
        gw = _scaled(g, weight, None, x.shape[x.ndim - normalized_ndim :])
        mean = (gw * hat).mean(_last(x, normalized_ndim), keepdim=True)
        dx = _like(rrms * (gw - hat * mean), x.dtype)
    if needs[1]:
        dw = _like((g * hat).sum(lead) if lead else g * hat, x.dtype)
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
    _check_float("group_norm", x)
    stat = Spec((x.shape[0], groups), _wide_dtype(x.dtype))
    return Spec(x.shape, x.dtype), stat, stat


@group_norm_op.decomposition
def _(
    x: Tensor, weight: Any, bias: Any, *, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    rows = _grouped(_wide(x), groups)
    mean, centred, variance = _moments(rows, (2, 3))
    rstd = (variance + eps).rsqrt()
    out = _scaled(centred * rstd, weight, bias, (1, *rows.shape[1:3], 1))
    stat = (x.shape[0], groups)
    return _like(out.reshape(x.shape), x.dtype), mean.reshape(stat), rstd.reshape(stat)


@group_norm_op.vjp
def _(
    g: Any, *, x: Tensor, weight: Any, out1: Tensor, out2: Tensor, groups: int, needs: Needs
) -> Gradients:
    found = group_norm_backward_op(
        _zeros_if_none(g[0], x), x, out1, out2, weight, groups=groups, needs=needs
    )
    if (g[1] is None and g[2] is None) or not needs[0]:
        return found  # type: ignore[no-any-return]
    shape = (x.shape[0], groups, 1, 1)
    parts = [None if part is None else part.reshape(shape) for part in (g[1], g[2], out1, out2)]
    more = _through_statistics(parts[0], parts[1], _grouped(_wide(x), groups), *parts[2:])  # type: ignore[arg-type]
    return _plus(found[0], None if more is None else more.reshape(x.shape)), found[1], found[2]


@group_norm_backward_op.meta
def _(
    g: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, *, groups: int, needs: Needs
) -> tuple[Any, ...]:
    return _backward_spec(x, (x.shape[1],), needs)


@group_norm_backward_op.decomposition
def _(
    g: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, *, groups: int, needs: Needs
) -> Gradients:
    stat = (x.shape[0], groups, 1, 1)
    rows, rstd = _grouped(_wide(g), groups), rstd.reshape(stat)
    hat = (_grouped(_wide(x), groups) - mean.reshape(stat)) * rstd
    dx = dw = db = None
    if needs[0]:
        gw = _scaled(rows, weight, None, (1, *rows.shape[1:3], 1))
        dx = _like(_row_gradient(gw, hat, rstd, (2, 3)).reshape(x.shape), x.dtype)
    if needs[1]:
        dw = _like((rows * hat).sum((0, 3)).reshape(x.shape[1]), x.dtype)
    if needs[2]:
        db = _like(rows.sum((0, 3)).reshape(x.shape[1]), x.dtype)
    return dx, dw, db


# -- batch norm -----------------------------------------------------------------------------


def _not_channels(x: Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _channels(stat: Tensor, x: Tensor) -> Tensor:
    """A vector of one value per channel, broadcastable to x."""
    return stat.reshape(1, -1, *(1,) * (x.ndim - 2))


@batch_norm_stats_op.meta
def _(x: Tensor) -> tuple[Spec, Spec]:
    _check_float("batch_norm", x)
    stat = Spec((x.shape[1],), _wide_dtype(x.dtype))
    return stat, stat


@batch_norm_stats_op.decomposition
def _(x: Tensor) -> tuple[Tensor, Tensor]:
    mean, _, variance = _moments(_wide(x), _not_channels(x))
    return mean.reshape(x.shape[1]), variance.reshape(x.shape[1])


@batch_norm_apply_op.meta
def _(x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, bias: Any) -> Spec:
    _check_float("batch_norm", x)
    return Spec(x.shape, x.dtype)


@batch_norm_apply_op.decomposition
def _(x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, bias: Any) -> Tensor:
    hat = (_wide(x) - _channels(_wide(mean), x)) * _channels(_wide(rstd), x)
    return _like(_scaled(hat, weight, bias, (1, -1, *(1,) * (x.ndim - 2))), x.dtype)


@batch_norm_apply_op.vjp
def _(g: Tensor, *, x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, needs: Needs) -> Gradients:
    dx, dw, db = batch_norm_backward_op(
        g, x, mean, rstd, weight, training=False, needs=(needs[0], needs[3], needs[4])
    )
    d_mean = d_rstd = None
    if needs[1] or needs[2]:
        dims = _not_channels(x)
        gw = _scaled(_wide(g), weight, None, (1, -1, *(1,) * (x.ndim - 2)))
        if needs[1]:
            d_mean = -(gw.sum(dims) * rstd)
        if needs[2]:
            d_rstd = (gw * (_wide(x) - _channels(mean, x))).sum(dims)
    return dx, d_mean, d_rstd, dw, db


@batch_norm_train_op.meta
def _(x: Tensor, weight: Any, bias: Any, *, eps: float) -> tuple[Spec, Spec, Spec]:
    mean, variance = batch_norm_stats_op.meta_rule(x)  # type: ignore[misc]
    return Spec(x.shape, x.dtype), mean, variance


@batch_norm_train_op.decomposition
def _(x: Tensor, weight: Any, bias: Any, *, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    mean, variance = batch_norm_stats_op(x)
    out = batch_norm_apply_op(x, mean, (variance + eps).rsqrt(), weight, bias)
    return out, mean, variance


@batch_norm_train_op.vjp
def _(
    g: Any, *, x: Tensor, weight: Any, out1: Tensor, out2: Tensor, eps: float, needs: Needs
) -> Gradients:
    rstd = (out2 + eps).rsqrt()
    found = batch_norm_backward_op(
        _zeros_if_none(g[0], x), x, out1, rstd, weight, training=True, needs=needs
    )
    if (g[1] is None and g[2] is None) or not needs[0]:
        return found  # type: ignore[no-any-return]
    count = _count(x.shape, out1)
    more = None if g[1] is None else _channels(g[1] / count, x).expand(x.shape)
    if g[2] is not None:
        centred = _wide(x) - _channels(out1, x)
        more = _plus(more, _channels(g[2] * (2 / max(count, 1)), x) * centred)
    return _plus(found[0], more), found[1], found[2]


@batch_norm_backward_op.meta
def _(
    g: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, *, training: bool, needs: Needs
) -> tuple[Any, ...]:
    return _backward_spec(x, (x.shape[1],), needs)


@batch_norm_backward_op.decomposition
def _(
    g: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, *, training: bool, needs: Needs
) -> Gradients:
    dims, scale = _not_channels(x), _channels(_wide(rstd), x)
    g, hat = _wide(g), (_wide(x) - _channels(_wide(mean), x)) * scale
    dx = dw = db = None
    if needs[0]:
        gw = _scaled(g, weight, None, (1, -1, *(1,) * (x.ndim - 2)))
        dx = _like(_row_gradient(gw, hat, scale, dims) if training else gw * scale, x.dtype)
    if needs[1]:
        dw = _like((g * hat).sum(dims), x.dtype)
    if needs[2]:
        db = _like(g.sum(dims), x.dtype)
    return dx, dw, db


def _batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    *,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """Batch norm; in training it also moves the running statistics towards the batch's."""
    if x.ndim < 2:
        return x.clone()  # no channels and, as the checks saw to, no elements
    if not training:
        assert running_mean is not None
        assert running_var is not None
        rstd = (_wide(running_var) + eps).rsqrt()
        return batch_norm_apply_op.entry(x, running_mean, rstd, weight, bias)  # type: ignore[no-any-return]
    out, mean, variance = batch_norm_train_op.entry(x, weight, bias, eps=eps)
    if running_mean is not None or running_var is not None:
        _update(running_mean, running_var, mean, variance, momentum, _count(x.shape, mean))
    return out  # type: ignore[no-any-return]


def _update(
    running_mean: Tensor | None,
    running_var: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    momentum: float,
    count: int,
) -> None:
    if not count:
        return  # nothing was seen
    with with_modes(grad=False):
        mean, variance = mean.detach(), variance.detach()
        if running_mean is not None:
            running_mean.copy_(running_mean * (1 - momentum) + mean * momentum)
        if running_var is not None:
            unbiased = count / (count - 1) if count > 1 else float("nan")
            running_var.copy_(running_var * (1 - momentum) + variance * (momentum * unbiased))


for _op in (layer_norm_op, group_norm_op):
    export(_op.name, _op, "ops")
export("native_rms_norm", _rms_norm, "ops")
export("batch_norm", _batch_norm, "ops")


# -- functions ------------------------------------------------------------------------------


def _given(x: Tensor, **others: Any) -> str:
    shapes = ", ".join(
        f"{name} {tuple(value.shape) if isinstance(value, Tensor) else value}"
        for name, value in others.items()
        if value is not None
    )
    return f"input of shape {tuple(x.shape)}, {shapes}"


def _normalized_ndim(
    who: str, x: Tensor, normalized_shape: Sequence[int], weight: Any, bias: Any
) -> int:
    shape = tuple(normalized_shape)
    given = _given(x, normalized_shape=shape, weight=weight, bias=bias)
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


def _check_channels(who: str, x: Tensor, **parameters: Any) -> None:
    channels = x.shape[1] if x.ndim > 1 else 0
    for name, value in parameters.items():
        if value is not None and value.numel() != channels:
            raise error(
                RuntimeError,
                who,
                f"{name} should contain {channels} elements not {value.numel()}",
                given=_given(x, **parameters),
            )


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
    dtype = _parameter_dtype(input, weight)
    return out, _like(mean, dtype), _like(rstd, dtype)


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
            RuntimeError, who, "Expected at least 2 dimensions for input tensor", given=_given(x)
        )
    if groups <= 0 or x.shape[1] % groups:
        raise error(
            RuntimeError,
            who,
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(x.shape)} and num_groups={groups}",
        )
    _check_channels(who, x, weight=weight, bias=bias)


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
            given=_given(input, N=N, C=C, HxW=HxW),
        )  # fmt: skip
    x = input.reshape(N, C, HxW)
    _check_groups("native_group_norm", x, group, weight, bias)
    out, mean, rstd = group_norm_op(x, weight, bias, groups=group, eps=eps)
    return out.reshape(input.shape), mean, rstd


def _check_batch_norm(
    who: str, x: Tensor, weight: Any, bias: Any, mean: Any, var: Any, training: bool
) -> None:
    if x.ndim < 2:
        raise error(RuntimeError, who, "expected an input with channels", given=_given(x))
    if not training and (mean is None or var is None):
        raise error(
            RuntimeError,
            who,
            "Expected running_mean and running_var to be defined in evaluation mode",
            fix="pass both, or training=True",
        )
    _check_channels(who, x, weight=weight, bias=bias, running_mean=mean, running_var=var)


def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """Normalises each channel; see `nn.functional.batch_norm`."""
    _check_batch_norm("batch_norm", input, weight, bias, running_mean, running_var, training)
    return _batch_norm(
        input, weight, bias, running_mean, running_var,
        training=training, momentum=momentum, eps=eps,
    )  # fmt: skip


def native_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch norm together with the means and reciprocal deviations of the batch.

    In evaluation mode, where the batch's statistics are not computed, both are empty.
    """
    who = "native_batch_norm"
    _check_batch_norm(who, input, weight, bias, running_mean, running_var, training)
    dtype = _parameter_dtype(input, weight)
    if not training:
        out = _batch_norm(
            input, weight, bias, running_mean, running_var,
            training=False, momentum=momentum, eps=eps,
        )  # fmt: skip
        return out, input.new_empty((0,), dtype=dtype), input.new_empty((0,), dtype=dtype)
    out, mean, variance = batch_norm_train_op(input, weight, bias, eps=eps)
    _update(running_mean, running_var, mean, variance, momentum, _count(input.shape, mean))
    return out, _like(mean, dtype), _like((variance + eps).rsqrt(), dtype)


def instance_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """Normalises each channel of each sample; see `nn.functional.instance_norm`."""
    who = "instance_norm"
    _check_batch_norm(who, input, weight, bias, running_mean, running_var, use_input_stats)
    batch, channels = input.shape[:2]
    # All samples' channels side by side are the channels of one big sample.
    stats = [running_mean, running_var]
    copies = [None if stat is None else stat.detach().repeat(batch) for stat in stats]
    out = _batch_norm(
        input.reshape(1, batch * channels, *input.shape[2:]),
        None if weight is None else weight.repeat(batch),
        None if bias is None else bias.repeat(batch),
        *copies,
        training=use_input_stats,
        momentum=momentum,
        eps=eps,
    )
    if use_input_stats:
        with with_modes(grad=False):
            for stat, copy in zip(stats, copies, strict=True):
                if stat is not None and copy is not None:
                    stat.copy_(copy.reshape(batch, channels).mean(0))
    return out.reshape(input.shape)


for _function in (
    native_layer_norm, layer_norm, rms_norm, group_norm, native_group_norm, batch_norm,
    instance_norm,
):  # fmt: skip
    export(_function.__name__, _function)
export("native_batch_norm", with_out(native_batch_norm))
