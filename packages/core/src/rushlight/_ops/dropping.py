"""Dropout in all its forms."""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._dtypes import bool_, float32
from .._errors import error
from .._operator import operator
from .._promotion import number_tensor
from .._tensor.tensor import Tensor
from ..backend import kind_of
from ._geometry import check_tensor
from ._public import assign, export, public
from .creation import cast_op
from .draws import draw_true, random_bernoulli_op, reserved, under_vmap

dropout_op = operator(
    "dropout(Tensor x, *, float p, int seed, int offset) -> (Tensor, Tensor)",
    constant_outputs=(1,),
)


@dropout_op.meta
def _(x: Tensor, *, p: float, seed: int, offset: int) -> Any:
    return Spec(x.shape, x.dtype), Spec(x.shape, bool_)


@dropout_op.decomposition
def _(x: Tensor, *, p: float, seed: int, offset: int) -> Any:
    chance = number_tensor(kind_of(x.device, float32), 1.0 - p)
    keep = random_bernoulli_op(chance, seed=seed, offset=offset, shape=tuple(x.shape))
    return _masked(x, keep, p), keep


def _masked(x: Tensor, keep: Tensor, p: float) -> Tensor:
    """x where it is kept, scaled so that its mean stays."""
    return x * (cast_op(keep, dtype=x.dtype) * _scale(p))  # type: ignore[no-any-return]


def _scale(p: float) -> float:
    return 1.0 / (1.0 - p) if p < 1 else 0.0


dropout_op.vjp(lambda g, out1, p: None if g[0] is None else _masked(g[0], out1.detach(), p))


@dropout_op.jvp
def _(primals: Any, tangents: Any, outs: Any, *, p: float, seed: int, offset: int) -> Any:
    return _masked(tangents[0], outs[1], p), None


def _check_p(who: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise error(
            RuntimeError,
            who,
            f"dropout probability has to be between 0 and 1, but got {p}",
            expected="0 <= p <= 1",
        )


@public(methods=False)
def dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Zeroes elements with probability `p` and scales the others by 1 / (1 - p).

    Args:
        input: Floating or complex tensor.
        p: Probability of an element to be zeroed.
        train: Without it the input comes back unchanged.
    Raises:
        RuntimeError: `p` lies outside [0, 1].
    References:
        Srivastava et al. (2014), Dropout: a simple way to prevent neural networks from overfitting.
        Journal of Machine Learning Research 15.
    Example:
        >>> rushlight.dropout(rushlight.ones(3), 1.0, True)
        tensor([0., 0., 0.])
    """
    check_tensor("dropout", input)
    _check_p("dropout", p)
    if not train or p == 0 or input.numel() == 0:
        return input
    if not input.dtype.is_inexact:
        raise error(
            RuntimeError,
            "dropout",
            f"result type Float can't be cast to the desired output type {input.dtype.name}",
            fix="convert the input to a floating dtype",
        )
    if p == 1:
        return input * 0.0
    shape = tuple(input.shape)
    if under_vmap():
        return _masked(input, draw_true("dropout", 1.0 - p, shape, input.device), p)
    place = reserved("dropout", "dropout", shape, None, input.device, None)
    return dropout_op(input, p=float(p), **place)[0]  # type: ignore[no-any-return]


export("dropout", dropout, "ops")


def _feature_shape(who: str, input: Tensor) -> tuple[int, ...]:
    """One element for each channel."""
    if input.ndim < 2:
        raise error(
            RuntimeError,
            who,
            "Feature dropout requires at least 2 dimensions in the input",
            given=f"x of shape {tuple(input.shape)}",
        )
    return (*input.shape[:2], *[1] * (input.ndim - 2))


@public(methods=False)
def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`dropout` of whole channels.

    Example:
        >>> rushlight.feature_dropout(rushlight.ones(1, 2), 1.0, True)
        tensor([[0., 0.]])
    """
    check_tensor("feature_dropout", input)
    _check_p("feature_dropout", p)
    if not train or p == 0 or input.numel() == 0:
        return input
    shape = _feature_shape("feature_dropout", input)
    if p == 1:
        return input * 0.0
    return _masked(input, draw_true("feature_dropout", 1.0 - p, shape, input.device), p)


# The value that SELU tends to, where alpha dropout puts dropped elements.
_SATURATED = -1.7580993408473766


def _alpha(who: str, input: Tensor, p: float, train: bool, shape: tuple[int, ...]) -> Tensor:
    """Alpha dropout: dropped elements saturate, then mean and variance are put right.

    References:
        Klambauer et al. (2017), Self-normalizing neural networks.
    """
    if not train or p == 0 or input.numel() == 0:
        return input
    if p == 1:
        return input * 0.0
    keep = draw_true(who, 1.0 - p, shape, input.device)
    scale = ((_SATURATED**2 * p + 1) * (1 - p)) ** -0.5
    kept = cast_op(keep, dtype=input.dtype)
    shift = (1.0 - kept) * (_SATURATED * scale) - _SATURATED * p * scale
    return input * (kept * scale) + shift  # type: ignore[no-any-return]


@public(methods=False)
def alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Dropout that keeps mean and variance of what SELU gives.

    Example:
        >>> rushlight.alpha_dropout(rushlight.ones(2), 0.5, False)
        tensor([1., 1.])
    """
    check_tensor("alpha_dropout", input)
    _check_p("alpha_dropout", p)
    return _alpha("alpha_dropout", input, p, train, tuple(input.shape))


@public(methods=False)
def feature_alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`alpha_dropout` of whole channels.

    Example:
        >>> rushlight.feature_alpha_dropout(rushlight.ones(1, 2), 0.5, False)
        tensor([[1., 1.]])
    """
    check_tensor("feature_alpha_dropout", input)
    _check_p("feature_alpha_dropout", p)
    shape = tuple(input.shape)
    if train and p > 0:
        shape = _feature_shape("feature_alpha_dropout", input)
    return _alpha("feature_alpha_dropout", input, p, train, shape)


def _inplace(function: Any) -> None:
    """The form that writes its result into the input."""
    name = function.__name__ + "_"

    def writing(input: Tensor, p: float, train: bool) -> Tensor:
        result = function(input, p, train)
        return input if result is input else assign(name, input, result)

    writing.__name__ = writing.__qualname__ = name
    writing.__doc__ = f"In-place version of `{function.__name__}`."
    export(name, writing)


for _function in (dropout, feature_dropout, alpha_dropout, feature_alpha_dropout):
    _inplace(_function)
