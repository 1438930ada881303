"""Scatter: values written, or folded in, at the places that an index names element by element."""

from __future__ import annotations

from typing import Any

from .._dispatch import Spec
from .._errors import error
from .._operator import operator
from .._promotion import number_tensor
from .._registered import operators
from .._tensor.tensor import Tensor
from ._geometry import check_tensor
from ._indexed import (
    Call,
    at_least_rows,
    batch_size,
    check_index_dtype,
    check_same_dtype,
    fronted,
    indexed_write,
    number_of,
    spread_zero,
    zeros,
)
from .elementwise import conj
from .gathering import check_gather_shapes, gather_op
from .views import check_dim

scatter_op = operator(
    "scatter(Tensor x, Tensor index, Tensor src, *, int dim, str? reduce=None, "
    "bool include_self=True) -> Tensor"
)

#: Values of `reduce=` of `scatter`, and what they mean.
_SCATTER_REDUCE = {"add": "sum", "multiply": "prod"}
_REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


@scatter_op.meta
def _(
    x: Tensor,
    index: Tensor,
    src: Tensor,
    *,
    dim: int,
    reduce: str | None = None,
    include_self: bool = True,
) -> Spec:
    if index.numel():
        check_gather_shapes("scatter", x, index, dim, expected="self")
    return Spec(x.shape, x.dtype)


def _cleared(x: Tensor, index: Tensor, dim: int) -> Tensor:
    """A tensor with zeros where the index points."""
    return scatter_op(  # type: ignore[no-any-return]
        x, index, spread_zero(index.shape, x), dim=dim, reduce=None, include_self=True
    )


def _added(shape: Any, index: Tensor, src: Tensor, dim: int) -> Tensor:
    return scatter_op(  # type: ignore[no-any-return]
        zeros(shape, src), index, src, dim=dim, reduce="sum", include_self=True
    )


def fold_weights(
    x: Tensor, index: Tensor, src: Tensor, out: Tensor, dim: int, reduce: str, include_self: bool
) -> tuple[Tensor, Tensor]:
    """Derivatives of each result by its element of x, and by each element of src.

    They serve both directions: a tangent is their sum with the tangents, a gradient their product
    with the gradient.  Extremes share a derivative equally; a product's is out / element, and where
    the element is zero, the product of the others.
    """
    if reduce == "mean":
        counts = zeros(x.shape, x) + 1
        counts = counts if include_self else _cleared(counts, index, dim)
        counts = counts + _added(x.shape, index, zeros(index.shape, x) + 1, dim)
        weight_x = 1 / counts.masked_fill(counts == 0, 1)
        weight_src = gather_op(weight_x, index, dim=dim)
    elif reduce == "prod":
        one_x, zero_src = x.masked_fill(x == 0, 1), src == 0
        fold = {"dim": dim, "reduce": "prod", "include_self": include_self}
        weight_x = scatter_op(one_x, index, src, **fold) / one_x
        count = gather_op(_added(x.shape, index, zero_src.to(src.dtype), dim), index, dim=dim)
        single = operators["logical_and"](zero_src, count == 1)
        others = scatter_op(x, index, src.masked_fill(single, 1), **fold)
        weight_src = operators["where"](
            single,
            gather_op(others, index, dim=dim),
            gather_op(out, index, dim=dim) / src.masked_fill(zero_src, 1),
        )
    else:
        weight_x = (x == out).to(x.dtype)
        weight_src = (src == gather_op(out, index, dim=dim)).to(x.dtype)
        if not include_self:
            weight_x = _cleared(weight_x, index, dim)
        ties = weight_x + _added(x.shape, index, weight_src, dim)
        ties = ties.masked_fill(ties == 0, 1)
        weight_x = weight_x / ties
        return weight_x, weight_src / gather_op(ties, index, dim=dim)
    if not include_self:
        weight_x = _cleared(weight_x, index, dim)
    return weight_x, weight_src


@scatter_op.vjp
def _(
    g: Tensor,
    *,
    x: Tensor,
    index: Tensor,
    src: Tensor,
    out: Tensor,
    dim: int,
    reduce: str | None,
    include_self: bool,
    needs: tuple[bool, ...],
) -> dict[str, Any]:
    if reduce is None or reduce == "sum":
        keeps = reduce is not None and include_self
        return {
            "x": (g if keeps else _cleared(g, index, dim)) if needs[0] else None,
            "src": gather_op(g, index, dim=dim) if needs[2] else None,
        }
    weight_x, weight_src = fold_weights(x, index, src, out, dim, reduce, include_self)
    return {
        "x": g * conj(weight_x) if needs[0] else None,
        "src": gather_op(g, index, dim=dim) * conj(weight_src) if needs[2] else None,
    }


@scatter_op.jvp
def _(
    primals: Any, tangents: Any, out: Tensor, *, dim: int, reduce: str | None, include_self: bool
) -> Tensor:
    (x, index, src), (t_x, _, t_src) = primals, tangents
    t_x = zeros(x.shape, x) if t_x is None else t_x
    t_src = zeros(src.shape, src) if t_src is None else t_src
    if reduce in (None, "sum", "mean"):
        return scatter_op(  # type: ignore[no-any-return]
            t_x, index, t_src, dim=dim, reduce=reduce, include_self=include_self
        )
    assert reduce is not None
    weight_x, weight_src = fold_weights(x, index, src, out, dim, reduce, include_self)
    return weight_x * t_x + _added(x.shape, index, weight_src * t_src, dim)


@scatter_op.batching
def _(inputs: Any, bdims: Any, *, dim: int, **attributes: Any) -> Any:
    size = batch_size(inputs, bdims)
    x, index, src = (fronted(v, d, size) for v, d in zip(inputs, bdims, strict=True))
    out = scatter_op(
        at_least_rows(x), at_least_rows(index), at_least_rows(src), dim=dim + 1, **attributes
    )
    return (operators["squeeze"](out, dims=(1,)) if x.ndim == 1 else out), 0


# -- functions ------------------------------------------------------------------------------


def _checked(
    who: str, input: Any, dim: int, index: Any, src: Any
) -> tuple[Tensor, int, Tensor, Tensor]:
    """Operands of a scatter, with the source cut to the index's shape."""
    check_tensor(who, input)
    dim = check_dim(who, dim, input.ndim)
    index = check_index_dtype(who, index)
    if not isinstance(src, Tensor):
        src = number_tensor(input._k, number_of(who, input, src))
        if index.numel():
            check_gather_shapes(who, input, index, dim, expected="self")
        return input, dim, index, operators["expand"](src, size=tuple(index.shape))
    check_same_dtype(who, input, src)
    if not index.numel():
        return input, dim, index, zeros(index.shape, src)
    check_gather_shapes(who, input, index, dim, expected="self")
    if max(src.ndim, 1) != max(index.ndim, 1):
        raise error(
            RuntimeError,
            who,
            "Index tensor must have the same number of dimensions as src tensor",
            given=f"index of shape {tuple(index.shape)}, src of shape {tuple(src.shape)}",
        )
    return input, dim, index, _cut(who, src, tuple(index.shape))


def _cut(who: str, src: Tensor, size: tuple[int, ...]) -> Tensor:
    """The part of a source that an index of that size reads."""
    shape = tuple(src.shape)
    if shape == size:
        return src
    if len(shape) != len(size):
        return src.reshape(size) if src.numel() == 1 else src
    for d, n in enumerate(size):
        if shape[d] < n:
            raise error(
                RuntimeError,
                who,
                f"Expected index {list(size)} to be no larger than src {list(shape)} in every "
                "dimension",
            )
        if shape[d] > n:
            src = operators["slice"](src, dim=d, start=0, length=n, step=1)
    return src


@indexed_write(out=True)
def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> Call:
    """A copy of the input with values written along a dimension where the index says.

    Args:
        input: The tensor to copy.
        dim: The dimension that the index counts along.
        index: Of as many dimensions as `input`; each element names the place of one of `src`.
        src: The values, of at least the index's size, or a number.
        value: A number for all places, instead of `src`.
        reduce: "add" or "multiply" combines with what is there; without it the place is
            overwritten, by one of the values if several meet.
    Raises:
        RuntimeError: The index lies outside, or the shapes or dtypes do not fit.
    Example:
        >>> rushlight.scatter(rushlight.zeros(3), 0, rushlight.tensor([2]), 1.0)
        tensor([0., 0., 1.])
    """
    if src is None and value is None:
        raise error(TypeError, "scatter", "missing required argument: src or value")
    if reduce is not None and reduce not in _SCATTER_REDUCE:
        raise error(
            RuntimeError,
            "scatter",
            "reduce argument must be either add or multiply",
            given=f"reduce={reduce!r}",
        )
    x, dim, index, src = _checked("scatter", input, dim, index, value if src is None else src)
    fold = None if reduce is None else _SCATTER_REDUCE[reduce]
    return Call(scatter_op, (x, index, src), {"dim": dim, "reduce": fold, "include_self": True})


@indexed_write(out=True)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Call:
    """A copy of the input with values added along a dimension where the index says.

    Example:
        >>> i = rushlight.tensor([0, 0, 1])
        >>> rushlight.scatter_add(rushlight.zeros(2), 0, i, rushlight.ones(3))
        tensor([2., 1.])
    """
    check_tensor("scatter_add", src, "src")
    x, dim, index, src = _checked("scatter_add", input, dim, index, src)
    return Call(scatter_op, (x, index, src), {"dim": dim, "reduce": "sum", "include_self": True})


@indexed_write(out=True)
def scatter_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Call:
    """A copy of the input with values folded in along a dimension where the index says.

    Args:
        input: The tensor to copy.
        dim: The dimension that the index counts along.
        index: Of as many dimensions as `input`; each element names the place of one of `src`.
        src: The values, of at least the index's size.
        reduce: "sum", "prod", "mean", "amax" or "amin".
        include_self: Whether the input's own values take part where the index points.
    Example:
        >>> i, src = rushlight.tensor([0, 0, 1]), rushlight.tensor([1.0, 2.0, 3.0])
        >>> rushlight.scatter_reduce(rushlight.zeros(2), 0, i, src, "amax")
        tensor([2., 3.])
    """
    check_reduction("scatter_reduce", reduce, _REDUCTIONS)
    check_tensor("scatter_reduce", src, "src")
    x, dim, index, src = _checked("scatter_reduce", input, dim, index, src)
    return fold_call(x, index, src, dim, reduce, include_self)


def check_reduction(who: str, reduce: Any, allowed: tuple[str, ...]) -> None:
    """Raises unless a reduction has one of those names."""
    if reduce not in allowed:
        raise error(
            RuntimeError,
            who,
            f"reduce argument must be either {', '.join(allowed[:-1])} or {allowed[-1]}, got "
            f"{reduce}",
        )


def fold_call(
    x: Tensor, index: Tensor, src: Tensor, dim: int, reduce: str, include_self: bool
) -> Call:
    """The call that folds values in."""
    attributes = {"dim": dim, "reduce": reduce, "include_self": bool(include_self)}
    return Call(scatter_op, (x, index, src), attributes)
