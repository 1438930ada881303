"""Running sums, products and extremes; and the finite differences that undo them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .._dispatch import Spec
from .._dtypes import DType, bool_, int64
from .._errors import error
from .._operator import Operator, operator
from .._registered import operators
from .._tensor.tensor import Tensor
from ._batching import over_dim
from ._geometry import check_tensor
from ._public import public
from ._results import result_type_named
from .creation import full
from .reduction import accumulated
from .sorting import selecting
from .views import check_dim, check_dims

cumsum_op = operator("cumsum(Tensor x, *, int dim) -> Tensor")
reverse_cumsum_op = operator("reverse_cumsum(Tensor x, *, int dim) -> Tensor")
cumprod_op = operator("cumprod(Tensor x, *, int dim) -> Tensor")
logcumsumexp_op = operator("logcumsumexp(Tensor x, *, int dim) -> Tensor")
cummax_op = operator("cummax(Tensor x, *, int dim) -> (Tensor, Tensor)", constant_outputs=(1,))
cummin_op = operator("cummin(Tensor x, *, int dim) -> (Tensor, Tensor)", constant_outputs=(1,))


def _same(x: Tensor, *, dim: int) -> Spec:
    return Spec(x.shape, x.dtype)


def _with_positions(x: Tensor, *, dim: int) -> Any:
    return Spec(x.shape, x.dtype), Spec(x.shape, int64)


for _op in (cumsum_op, reverse_cumsum_op, cumprod_op, logcumsumexp_op):
    _op.meta(_same)
    _op.batching(over_dim(_op))
for _op in (cummax_op, cummin_op):
    _op.meta(_with_positions)
    selecting(_op)


# -- derivatives ----------------------------------------------------------------------------


@reverse_cumsum_op.decomposition
def _(x: Tensor, *, dim: int) -> Tensor:
    """At each place the sum of what stands there and after it."""
    if x.ndim == 0:
        return operators["clone"](x)  # type: ignore[no-any-return]
    flipped = operators["flip"](x, dims=(dim,))
    return operators["flip"](cumsum_op(flipped, dim=dim), dims=(dim,))  # type: ignore[no-any-return]


cumsum_op.vjp(x=lambda g, dim: reverse_cumsum_op(g, dim=dim))
reverse_cumsum_op.vjp(x=lambda g, dim: cumsum_op(g, dim=dim))
reverse_cumsum_op.jvp("linear")
cumsum_op.jvp("linear")


def _shifted(x: Tensor, dim: int, by: int, fill: float) -> Tensor:
    """x moved by places along a dimension (to the front if positive), with a number behind."""
    n = x.shape[dim]
    shape = tuple(min(abs(by), n) if d == dim else m for d, m in enumerate(x.shape))
    rest = full(shape, fill, dtype=x.dtype, device=x.device)
    if abs(by) >= n:
        return rest
    if by > 0:
        return operators["cat"](x.narrow(dim, by, n - by), rest, dim=dim)  # type: ignore[no-any-return]
    return operators["cat"](rest, x.narrow(dim, 0, n + by), dim=dim)  # type: ignore[no-any-return]


def _affine_scan(a: Tensor, b: Tensor, dim: int, direction: int) -> Tensor:
    """s with s[i] = b[i] + a[i] * s[i + direction], in log2(n) steps of whole tensors.

    References:
        Blelloch (1990), Prefix sums and their applications. CMU-CS-90-190.
    """
    reach = 1
    while reach < b.shape[dim]:
        b = b + a * _shifted(b, dim, direction * reach, 0)
        a = a * _shifted(a, dim, direction * reach, 0)
        reach *= 2
    return b


@cumprod_op.vjp
def _(g: Tensor, *, x: Tensor, dim: int) -> Tensor:
    """The product up to an element times what follows from it; no division, so zeros are right."""
    if x.ndim == 0 or not x.numel():
        return g
    y = operators["conj"](x) if x.is_complex() else x
    before = _shifted(cumprod_op(y, dim=dim), dim, -1, 1)
    return before * _affine_scan(_shifted(y, dim, 1, 0), g, dim, 1)


@cumprod_op.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, dim: int) -> Tensor:
    x, t = primals[0], tangents[0]
    if x.ndim == 0 or not x.numel():
        return t  # type: ignore[no-any-return]
    before = _shifted(out, dim, -1, 1)
    return _affine_scan(x, before * t, dim, -1)


def _decays(low: Tensor, high: Tensor) -> Tensor:
    """exp(low - high), 0 where both are -infinity; for low <= high it can't overflow."""
    out = (low - high).exp()
    return out if out.is_complex() else out.masked_fill(out != out, 0)


@logcumsumexp_op.decomposition
def _(x: Tensor, *, dim: int) -> Tensor:
    if x.ndim == 0:
        return operators["clone"](x)  # type: ignore[no-any-return]
    reach = 1
    while reach < x.shape[dim]:
        # log(exp(x) + exp(y)) with the larger real part taken out.
        y = _shifted(x, dim, -reach, -math.inf)
        real_x, real_y = (x.real, y.real) if x.is_complex() else (x, y)
        top = operators["maximum"](real_x, real_y).detach()
        top = top.masked_fill(top.abs() == math.inf, 0)
        x = ((x - top).exp() + (y - top).exp()).log() + top
        reach *= 2
    return x


@logcumsumexp_op.vjp
def _(g: Tensor, *, x: Tensor, out: Tensor, dim: int) -> Tensor:
    """Each step back adds its gradient to what came so far, which decays by the growth of out."""
    if x.ndim == 0 or not x.numel():
        return g
    if x.is_complex():
        x, out = operators["conj"](x), operators["conj"](out)
    decay = _decays(out, _shifted(out, dim, 1, math.inf))
    return _decays(x, out) * _affine_scan(decay, g, dim, 1)


@logcumsumexp_op.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, dim: int) -> Tensor:
    x, t = primals[0], tangents[0]
    if x.ndim == 0 or not x.numel():
        return t  # type: ignore[no-any-return]
    return _affine_scan(
        _decays(_shifted(out, dim, -1, -math.inf), out), _decays(x, out) * t, dim, -1
    )


# -- cum* -----------------------------------------------------------------------------------


def _scan(op: Operator, input: Tensor, dim: int, dtype: DType | None) -> Tensor:
    check_tensor(op.name, input)
    place = check_dim(op.name, dim, input.ndim)
    return op(accumulated(input, dtype), dim=place)  # type: ignore[no-any-return]


@public(out=True, inplace=True, op=cumsum_op)
def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """Running sum along a dimension.

    Args:
        input: Tensor; integers and bool are added up as int64.
        dim: The dimension.
        dtype: Converts to this dtype before summing.
    Raises:
        IndexError: There is no such dimension.
    Example:
        >>> rushlight.cumsum(rushlight.tensor([1, 2, 3]), 0)
        tensor([1, 3, 6])
    """
    return _scan(cumsum_op, input, dim, dtype)


@public(out=True, inplace=True, op=cumprod_op)
def cumprod(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """Running product along a dimension.

    Example:
        >>> rushlight.cumprod(rushlight.tensor([1, 2, 3]), 0)
        tensor([1, 2, 6])
    """
    return _scan(cumprod_op, input, dim, dtype)


@public(out=True, op=logcumsumexp_op)
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """Logarithm of the running sum of exponentials, without overflow.

    Example:
        >>> rushlight.logcumsumexp(rushlight.tensor([1000.0, 1000.0]), 0)
        tensor([1000.0000, 1000.6932])
    """
    check_tensor("logcumsumexp", input)
    place = check_dim("logcumsumexp", dim, input.ndim)
    if not input.dtype.is_inexact:
        raise error(RuntimeError, "logcumsumexp", f"not implemented for {input.dtype.name}")
    return logcumsumexp_op(input, dim=place)  # type: ignore[no-any-return]


def _running_extreme(op: Operator, input: Tensor, dim: int) -> Any:
    check_tensor(op.name, input)
    place = check_dim(op.name, dim, input.ndim)
    if input.dtype.is_complex:
        raise error(RuntimeError, op.name, "complex numbers have no order", given=f"{input.dtype}")
    return result_type_named(op.name, ("values", "indices"))(*op(input, dim=place))


@public(out=True, op=cummax_op)
def cummax(input: Tensor, dim: int) -> Any:
    """Running maximum along a dimension, and the position of each.

    Example:
        >>> rushlight.cummax(rushlight.tensor([1, 3, 2]), 0).values
        tensor([1, 3, 3])
    """
    return _running_extreme(cummax_op, input, dim)


@public(out=True, op=cummin_op)
def cummin(input: Tensor, dim: int) -> Any:
    """Running minimum along a dimension, and the position of each.

    Example:
        >>> rushlight.cummin(rushlight.tensor([2, 1, 3]), 0).values
        tensor([2, 1, 1])
    """
    return _running_extreme(cummin_op, input, dim)


# -- differences ----------------------------------------------------------------------------


@public(out=True)
def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """Differences of neighbours along a dimension, `n` times.

    Args:
        input: Tensor.
        n: How many times.
        dim: The dimension.
        prepend, append: Joined before and behind the input first.
    Raises:
        RuntimeError: The input has no dimension, or what is joined does not fit.
    Example:
        >>> rushlight.diff(rushlight.tensor([1, 4, 9]))
        tensor([3, 5])
    """
    check_tensor("diff", input)
    if input.ndim == 0:
        raise error(RuntimeError, "diff", "diff expects input to be at least one-dimensional")
    place = check_dim("diff", dim, input.ndim)
    if n < 0:
        raise error(RuntimeError, "diff", f"order must be non-negative but got {n}")
    for name, part in (("prepend", prepend), ("append", append)):
        if part is None:
            continue
        if part.ndim != input.ndim:
            raise error(
                RuntimeError,
                "diff",
                f"expected {name} to have the same number of dimensions as input",
                given=f"shapes {tuple(part.shape)} and {tuple(input.shape)}",
            )
        for d in range(input.ndim):
            if d != place and part.shape[d] != input.shape[d]:
                raise error(
                    RuntimeError,
                    "diff",
                    f"expected the shape of input and {name} to match along dimension {d}",
                    given=f"shapes {tuple(input.shape)} and {tuple(part.shape)}",
                )
    parts = [part for part in (prepend, input, append) if part is not None]
    joined = input if len(parts) == 1 else operators["cat"](*parts, dim=place)
    for _ in range(min(n, joined.shape[place])):
        size = joined.shape[place] - 1
        after, before = joined.narrow(place, 1, size), joined.narrow(place, 0, size)
        joined = after.logical_xor(before) if joined.dtype is bool_ else after - before
    return joined.clone() if n == 0 else joined


# -- integrals ------------------------------------------------------------------------------


def _steps(who: str, y: Tensor, x: Tensor | None, dx: Any, dim: int) -> tuple[Any, int]:
    """The widths of the intervals, to multiply slices of y with; and the dimension."""
    place = check_dim(who, dim, y.ndim)
    if y.dtype is bool_ or (x is not None and x.dtype is bool_):
        raise error(RuntimeError, who, "received a bool input for `x` or `y`, but bool is not "
            "supported")  # fmt: skip
    if x is None:
        return dx, place
    if x.ndim == 0:
        raise error(RuntimeError, who, "The provided `x` is expected to be at least 1-dimensional")
    if x.ndim == 1:
        if x.shape[0] != y.shape[place]:
            raise error(
                RuntimeError,
                who,
                "There must be one `x` value for each sample point",
                given=f"x of {x.shape[0]} elements, y of shape {tuple(y.shape)}",
            )
        widths = diff(x)
        return widths.reshape([-1 if d == place else 1 for d in range(y.ndim)]), place
    if x.ndim < y.ndim:
        x = x.reshape(tuple([1] * (y.ndim - x.ndim)) + tuple(x.shape))
    return diff(x, dim=dim if dim < 0 else dim - y.ndim), place


def _areas(who: str, y: Tensor, x: Tensor | None, dx: Any, dim: int) -> tuple[Tensor, int]:
    """The trapezoids' areas along a dimension, counted from the end."""
    steps, place = _steps(who, y, x, dx, dim)
    size = max(y.shape[place] - 1, 0)
    if size == 0:
        both = y.narrow(place, 0, 0)
    else:
        both = y.narrow(place, 1, size) + y.narrow(place, 0, size)
    return both * steps / 2.0, place - y.ndim


@public(aliases=("trapz",), methods=False)
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = 1, dim: int = -1) -> Tensor:
    """Integral along a dimension by the trapezoidal rule.

    Args:
        y: Values.
        x: Their positions; or `dx`, their distance.
        dx: Distance of neighbouring values.
        dim: Dimension to integrate along.
    Example:
        >>> rushlight.trapezoid(rushlight.tensor([1.0, 2.0, 3.0]))
        tensor(4.)
    """
    check_tensor("trapezoid", y)
    areas, place = _areas("trapezoid", y, x, dx, dim)
    return areas.sum(place)


@public(methods=False)
def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: Any = 1, dim: int = -1
) -> Tensor:
    """Running integral along a dimension by the trapezoidal rule.

    Example:
        >>> rushlight.cumulative_trapezoid(rushlight.tensor([1.0, 2.0, 3.0]))
        tensor([1.5000, 4.0000])
    """
    check_tensor("cumulative_trapezoid", y)
    areas, place = _areas("cumulative_trapezoid", y, x, dx, dim)
    return areas.cumsum(place)


# -- gradient -------------------------------------------------------------------------------


def _gradient_spacing(input: Tensor, spacing: Any, dims: tuple[int, ...]) -> list[Any]:
    """For each dimension a step, or the tensor of coordinates."""
    if spacing is None:
        spacing = 1
    if isinstance(spacing, (int, float, complex)):
        return [spacing] * len(dims)
    given = [spacing] if isinstance(spacing, Tensor) else list(spacing)
    if len(given) != len(dims):
        raise error(
            RuntimeError,
            "gradient",
            f"expected spacing to be unspecified, a scalar, or a list of length equal to 'dim', "
            f"which is {len(dims)}; got {len(given)}",
        )
    for step, dim in zip(given, dims, strict=True):
        if isinstance(step, Tensor) and (step.ndim != 1 or step.shape[0] != input.shape[dim]):
            raise error(
                RuntimeError,
                "gradient",
                "expected each tensor of spacing to have one coordinate per element of its "
                f"dimension, {input.shape[dim]}",
                given=f"shape {tuple(step.shape)} for dimension {dim}",
            )
    return given


def _central(y: Tensor, step: Any, dim: int, edge_order: int) -> Tensor:
    """Second-order differences inside, of order `edge_order` at the two ends."""
    n = y.shape[dim]

    def at(start: int, length: int) -> Tensor:
        return y.narrow(dim, start, length)

    if not isinstance(step, Tensor):
        inner = (at(2, n - 2) - at(0, n - 2)) / (2 * step)
        if edge_order == 1:
            first, last = (at(1, 1) - at(0, 1)) / step, (at(n - 1, 1) - at(n - 2, 1)) / step
        else:
            first = (at(0, 1) * -1.5 + at(1, 1) * 2 - at(2, 1) * 0.5) / step
            last = (at(n - 3, 1) * 0.5 - at(n - 2, 1) * 2 + at(n - 1, 1) * 1.5) / step
        return operators["cat"](first, inner, last, dim=dim)  # type: ignore[no-any-return]
    widths = diff(step).reshape([-1 if d == dim else 1 for d in range(y.ndim)])

    def width(start: int, length: int) -> Tensor:
        return widths.narrow(dim, start, length)

    left, right = width(0, n - 2), width(1, n - 2)
    inner = (
        at(0, n - 2) * (-right / (left * (left + right)))
        + at(1, n - 2) * ((right - left) / (left * right))
        + at(2, n - 2) * (left / (right * (left + right)))
    )
    if edge_order == 1:
        first = (at(1, 1) - at(0, 1)) / width(0, 1)
        last = (at(n - 1, 1) - at(n - 2, 1)) / width(n - 2, 1)
    else:
        a, b = width(0, 1), width(1, 1)
        first = (
            at(0, 1) * (-(2 * a + b) / (a * (a + b)))
            + at(1, 1) * ((a + b) / (a * b))
            - at(2, 1) * (a / (b * (a + b)))
        )
        a, b = width(n - 3, 1), width(n - 2, 1)
        last = (
            at(n - 3, 1) * (b / (a * (a + b)))
            - at(n - 2, 1) * ((a + b) / (a * b))
            + at(n - 1, 1) * ((2 * b + a) / (b * (a + b)))
        )
    return operators["cat"](first, inner, last, dim=dim)  # type: ignore[no-any-return]


@public(methods=False)
def gradient(
    input: Tensor, *, spacing: Any = 1, dim: int | Sequence[int] | None = None, edge_order: int = 1
) -> list[Tensor]:
    """The derivative of sampled values along dimensions, by central differences.

    Args:
        input: Values.
        spacing: Distance of samples: a number, one for each dimension, or coordinates.
        dim: Dimensions; all by default.
        edge_order: 1 or 2, the order of the one-sided differences at the ends.
    Raises:
        RuntimeError: A dimension is too short, or an option does not fit.
    References:
        Fornberg (1988), Generation of finite difference formulas on arbitrarily spaced grids.
        Mathematics of Computation 51.
    Example:
        >>> rushlight.gradient(rushlight.tensor([1.0, 4.0, 9.0]))[0]
        tensor([3., 4., 5.])
    """
    check_tensor("gradient", input)
    if edge_order not in (1, 2):
        raise error(
            RuntimeError,
            "gradient",
            f"only supports edge_order=1 and edge_order=2 but got {edge_order}",
        )
    dims = check_dims("gradient", dim, input.ndim)
    steps = _gradient_spacing(input, spacing, dims)
    for d in dims:
        if input.shape[d] <= edge_order:
            raise error(
                RuntimeError,
                "gradient",
                "expected each dimension size to be at least edge_order+1",
                given=f"x of shape {tuple(input.shape)}, edge_order={edge_order}",
            )
    return [_central(input, step, d, edge_order) for step, d in zip(steps, dims, strict=True)]
