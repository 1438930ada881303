"""Batch and instance norm: statistics of each channel, of the batch or running along with it."""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._errors import error
from .._modes import with_modes
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
from ._public import export, with_out
from .elementwise import or_zeros

batch_norm_stats_op = operator("batch_norm_stats(Tensor x) -> (Tensor, Tensor)")
batch_norm_apply_op = operator(
    "batch_norm_apply(Tensor x, Tensor mean, Tensor rstd, Tensor? weight, Tensor? bias) -> Tensor"
)
batch_norm_train_op = operator(
    "batch_norm_train(Tensor x, Tensor? weight, Tensor? bias, *, float eps) -> "
    "(Tensor, Tensor, Tensor)"
)
batch_norm_backward_op = operator(
    "batch_norm_backward(Tensor g, Tensor x, Tensor mean, Tensor rstd, Tensor? weight, *, "
    "bool training, bool[] needs) -> (Tensor, Tensor, Tensor)"
)


# -- operators ------------------------------------------------------------------------------


def _not_channels(x: Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _channels(stat: Tensor, x: Tensor) -> Tensor:
    """A vector of one value per channel, broadcastable to x."""
    return stat.reshape(1, -1, *(1,) * (x.ndim - 2))


@batch_norm_stats_op.meta
def _(x: Tensor) -> tuple[Spec, Spec]:
    check_float("batch_norm", x)
    stat = Spec((x.shape[1],), wide_dtype(x.dtype))
    return stat, stat


@batch_norm_stats_op.decomposition
def _(x: Tensor) -> tuple[Tensor, Tensor]:
    mean, _, variance = moments(widened(x), _not_channels(x))
    return mean.reshape(x.shape[1]), variance.reshape(x.shape[1])


@batch_norm_apply_op.meta
def _(x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, bias: Any) -> Spec:
    check_float("batch_norm", x)
    return Spec(x.shape, x.dtype)


@batch_norm_apply_op.decomposition
def _(x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, bias: Any) -> Tensor:
    hat = (widened(x) - _channels(widened(mean), x)) * _channels(widened(rstd), x)
    return rounded(scaled(hat, weight, bias, (1, -1, *(1,) * (x.ndim - 2))), x.dtype)


@batch_norm_apply_op.vjp
def _(g: Tensor, *, x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, needs: Needs) -> Gradients:
    dx, dw, db = batch_norm_backward_op(
        g, x, mean, rstd, weight, training=False, needs=(needs[0], needs[3], needs[4])
    )
    d_mean = d_rstd = None
    if needs[1] or needs[2]:
        dims = _not_channels(x)
        gw = scaled(widened(g), weight, None, (1, -1, *(1,) * (x.ndim - 2)))
        if needs[1]:
            d_mean = -(gw.sum(dims) * rstd)
        if needs[2]:
            d_rstd = (gw * (widened(x) - _channels(mean, x))).sum(dims)
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
        or_zeros(g[0], x), x, out1, rstd, weight, training=True, needs=needs
    )
    if (g[1] is None and g[2] is None) or not needs[0]:
        return found  # type: ignore[no-any-return]
    count = count_of_each(x.shape, out1)
    more = None if g[1] is None else _channels(g[1] / count, x).expand(x.shape)
    if g[2] is not None:
        centred = widened(x) - _channels(out1, x)
        more = plus(more, _channels(g[2] * (2 / max(count, 1)), x) * centred)
    return plus(found[0], more), found[1], found[2]


@batch_norm_backward_op.meta
def _(
    g: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, *, training: bool, needs: Needs
) -> tuple[Any, ...]:
    return backward_spec(x, (x.shape[1],), needs)


@batch_norm_backward_op.decomposition
def _(
    g: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Any, *, training: bool, needs: Needs
) -> Gradients:
    dims, scale = _not_channels(x), _channels(widened(rstd), x)
    g, hat = widened(g), (widened(x) - _channels(widened(mean), x)) * scale
    dx = dw = db = None
    if needs[0]:
        gw = scaled(g, weight, None, (1, -1, *(1,) * (x.ndim - 2)))
        dx = rounded(row_gradient(gw, hat, scale, dims) if training else gw * scale, x.dtype)
    if needs[1]:
        dw = rounded((g * hat).sum(dims), x.dtype)
    if needs[2]:
        db = rounded(g.sum(dims), x.dtype)
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
        rstd = (widened(running_var) + eps).rsqrt()
        return batch_norm_apply_op.entry(x, running_mean, rstd, weight, bias)  # type: ignore[no-any-return]
    out, mean, variance = batch_norm_train_op.entry(x, weight, bias, eps=eps)
    if running_mean is not None or running_var is not None:
        _update(running_mean, running_var, mean, variance, momentum, count_of_each(x.shape, mean))
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


export("batch_norm", _batch_norm, "ops")


# -- functions ------------------------------------------------------------------------------


def _check_batch_norm(
    who: str, x: Tensor, weight: Any, bias: Any, mean: Any, var: Any, training: bool
) -> None:
    if x.ndim < 2:
        raise error(RuntimeError, who, "expected an input with channels", given=given_shapes(x))
    if not training and (mean is None or var is None):
        raise error(
            RuntimeError,
            who,
            "Expected running_mean and running_var to be defined in evaluation mode",
            fix="pass both, or training=True",
        )
    check_channels(who, x, weight=weight, bias=bias, running_mean=mean, running_var=var)


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
    dtype = parameter_dtype(input, weight)
    if not training:
        out = _batch_norm(
            input, weight, bias, running_mean, running_var,
            training=False, momentum=momentum, eps=eps,
        )  # fmt: skip
        return out, input.new_empty((0,), dtype=dtype), input.new_empty((0,), dtype=dtype)
    out, mean, variance = batch_norm_train_op(input, weight, bias, eps=eps)
    _update(running_mean, running_var, mean, variance, momentum, count_of_each(input.shape, mean))
    return out, rounded(mean, dtype), rounded((variance + eps).rsqrt(), dtype)


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


for _function in (batch_norm, instance_norm):
    export(_function.__name__, _function)
export("native_batch_norm", with_out(native_batch_norm))
