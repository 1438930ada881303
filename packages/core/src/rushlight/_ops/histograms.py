"""Counting into bins: bincount, histc, histogram, histogramdd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._dispatch import Spec
from .._dtypes import float32, float64, int64
from .._errors import error
from .._operator import operator
from .._registered import operators
from .._tensor.tensor import Tensor
from ._geometry import check_tensor
from ._public import public
from ._results import result_type_named
from .creation import full
from .sorting import searchsorted_op

bincount_op = operator(
    "bincount(Tensor x, Tensor? weights, *, int minlength=0) -> Tensor", differentiable=False
)
histc_op = operator(
    "histc(Tensor x, *, int bins=100, Scalar min=0, Scalar max=0) -> Tensor", differentiable=False
)


@histc_op.meta
def _(x: Tensor, *, bins: int = 100, min: Any = 0, max: Any = 0) -> Spec:
    return Spec((bins,), x.dtype)


@public()
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 to the largest occurs.

    Args:
        input: Vector of non-negative integers.
        weights: What each element adds instead of 1.
        minlength: Least length of the result.
    Raises:
        RuntimeError: The input is not such a vector, or the weights do not fit.
    Example:
        >>> rushlight.bincount(rushlight.tensor([0, 2, 2]))
        tensor([1, 0, 2])
    """
    check_tensor("bincount", input)
    if input.ndim != 1 or input.dtype.is_inexact or input.dtype.name == "bool":
        raise error(
            RuntimeError,
            "bincount",
            "bincount only supports 1-d non-negative integral inputs.",
            given=f"{input.dtype} of shape {tuple(input.shape)}",
        )
    if minlength < 0:
        raise error(RuntimeError, "bincount", "minlength should be >= 0", given=f"{minlength}")
    if weights is not None and weights.shape != input.shape:
        raise error(
            RuntimeError,
            "bincount",
            "weights should be 1-d and have the same length as input",
            given=f"shapes {tuple(weights.shape)} and {tuple(input.shape)}",
        )
    return bincount_op(input, weights, minlength=minlength)  # type: ignore[no-any-return]


@public(out=True)
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Counts of elements in equal bins between two bounds, as a tensor of the input's dtype.

    Args:
        input: Floating tensor.
        bins: Number of bins.
        min, max: The bounds; if they are equal, those of the data.
    Raises:
        RuntimeError: `max` lies below `min`, or a bound is not finite.
    Example:
        >>> rushlight.histc(rushlight.tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3)
        tensor([0., 2., 1., 0.])
    """
    check_tensor("histc", input)
    if bins <= 0:
        raise error(RuntimeError, "histc", f"bins must be > 0, but got {bins}")
    if max < min:
        raise error(RuntimeError, "histc", f"max must be larger than min, but got {min} and {max}")
    if input.dtype.is_complex or input.dtype.name == "bool":
        raise error(RuntimeError, "histc", f"not implemented for {input.dtype.name}")
    return histc_op(input, bins=int(bins), min=min, max=max)  # type: ignore[no-any-return]


# -- histogram ------------------------------------------------------------------------------


def _bounds(who: str, column: Tensor, bounds: Sequence[float] | None) -> tuple[float, float]:
    """Lowest and highest edge of one dimension."""
    if bounds is None:
        if column.numel() == 0:
            return 0.0, 1.0
        low, high = float(column.min()), float(column.max())
    else:
        low, high = float(bounds[0]), float(bounds[1])
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        raise error(RuntimeError, who, f"range of [{low}, {high}] is not finite")
    if low > high:
        raise error(RuntimeError, who, f"min should not exceed max, but got {low} and {high}")
    if low == high:
        low, high = low - 0.5, high + 0.5
    return low, high


def _edges(who: str, column: Tensor, bins: Any, bounds: Sequence[float] | None) -> Tensor:
    """The edges of one dimension's bins."""
    if isinstance(bins, Tensor):
        if bins.ndim != 1 or bins.numel() == 0:
            raise error(
                RuntimeError, who, "bins tensor should have one dimension, and some elements",
                given=f"shape {tuple(bins.shape)}",
            )  # fmt: skip
        if bins.dtype is not column.dtype:
            raise error(
                RuntimeError,
                who,
                "input tensor and bins tensors should have the same dtype, but got input with "
                f"dtype {column.dtype.name} and bins with dtype {bins.dtype.name}",
            )
        return bins
    if bins <= 0:
        raise error(RuntimeError, who, f"bins must be > 0, but got {bins}")
    low, high = _bounds(who, column, bounds)
    steps = operators["arange"](
        start=0, step=1, length=bins + 1, dtype=float64, device=column.device
    )
    step = (high - low) / bins
    # From both ends, so that the last edge is the bound itself.
    behind = (steps >= (bins + 1) // 2).to(float64)
    exact = (low + steps * step) * (1 - behind) + (high - (bins - steps) * step) * behind
    return exact.to(column.dtype)  # type: ignore[no-any-return]


def _cells(column: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """The bin of each value, and whether it lies in one; the last bin includes its end."""
    place = searchsorted_op(edges, column, right=True) - 1
    count = edges.shape[0] - 1
    inside = (column >= edges[0]) & (column <= edges[count])
    return place.clamp(0, max(count - 1, 0)), inside & (count > 0)


def _widths(edges: Tensor) -> Tensor:
    size = edges.shape[0] - 1
    return edges.narrow(0, 1, size) - edges.narrow(0, 0, size)


def _counted(x: Tensor, edges: list[Tensor], weight: Tensor | None, density: bool) -> Tensor:
    """The histogram of the rows of a matrix."""
    sizes = [int(e.shape[0]) - 1 for e in edges]
    flat: Any = full((x.shape[0],), 0, dtype=int64, device=x.device)
    kept: Any = full((x.shape[0],), True, device=x.device)
    for d, (size, edge) in enumerate(zip(sizes, edges, strict=True)):
        place, inside = _cells(x.select(1, d).contiguous(), edge)
        flat, kept = flat * size + place, kept & inside
    amounts = kept.to(x.dtype)
    if weight is not None:
        amounts = weight.reshape(-1).masked_fill(~kept, 0)
    total = 1
    for size in sizes:
        total *= size
    out = full((max(total, 1),), 0, dtype=x.dtype, device=x.device).scatter_add(0, flat, amounts)
    out = out.narrow(0, 0, total).reshape(sizes)
    if density:
        out = out / out.sum()
        for d, edge in enumerate(edges):
            out = out / _widths(edge).reshape([-1 if e == d else 1 for e in range(len(sizes))])
    return out


def _check_values(who: str, input: Tensor, weight: Tensor | None, rows: tuple[int, ...]) -> None:
    check_tensor(who, input)
    if input.dtype not in (float32, float64):
        raise error(RuntimeError, who, f"not implemented for {input.dtype.name}")
    if weight is None:
        return
    if weight.dtype is not input.dtype:
        raise error(
            RuntimeError,
            who,
            "if weight tensor is provided, input tensor and weight tensor should have the same "
            f"dtype, but got {input.dtype.name} and {weight.dtype.name}",
        )
    if tuple(weight.shape) != rows:
        raise error(
            RuntimeError,
            who,
            "if weight tensor is provided it should have the same shape as the input tensor "
            "excluding its innermost dimension",
            given=f"shapes {tuple(weight.shape)} and {rows}",
        )


@public(out=True)
def histogram(
    input: Tensor,
    bins: Any,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Any:
    """A histogram of all elements, and the edges of its bins.

    Args:
        input: float32 or float64 tensor.
        bins: Number of equal bins, or their edges in ascending order.
        range: Bounds of the bins; by default those of the data.
        weight: What each element adds instead of 1.
        density: Scales the result to an integral of 1.
    Raises:
        RuntimeError: An argument does not fit.
    Example:
        >>> rushlight.histogram(rushlight.tensor([1.0, 2.0, 1.0]), bins=2).hist
        tensor([2., 1.])
    """
    _check_values("histogram", input, weight, tuple(input.shape))
    column = input.detach().reshape(-1)
    edges = _edges("histogram", column, bins, range)
    hist = _counted(column.reshape(-1, 1), [edges], weight, density)
    return result_type_named("histogram", ("hist", "bin_edges"))(hist, edges)


@public(methods=True)
def histogramdd(
    input: Tensor,
    bins: Any,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Any:
    """A histogram of points, the rows of the input, and the edges of its bins.

    Args:
        input: float32 or float64 tensor whose last dimension holds coordinates.
        bins: Number of bins of all dimensions, or of each; or the edges of each.
        range: Lowest and highest edge of each dimension, one after the other.
        weight: What each point adds instead of 1.
        density: Scales the result to an integral of 1.
    Raises:
        RuntimeError: An argument does not fit.
    Example:
        >>> x = rushlight.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> rushlight.histogramdd(x, bins=[2, 2]).hist
        tensor([[0., 1.],
                [1., 1.]])
    """
    check_tensor("histogramdd", input)
    if input.ndim < 2:
        raise error(RuntimeError, "histogramdd", "input tensor should have at least 2 dimensions")
    _check_values("histogramdd", input, weight, tuple(input.shape[:-1]))
    size = input.shape[-1]
    count_all = 1
    for n in input.shape[:-1]:
        count_all *= n
    points = input.detach().reshape(count_all, size)
    each = [bins] * size if isinstance(bins, int) else list(bins)
    if len(each) != size:
        raise error(
            RuntimeError,
            "histogramdd",
            f"bins tensors must have one sequence of bins for each of the {size} dimensions, got "
            f"{len(each)}",
        )
    if range is not None and len(range) != 2 * size:
        raise error(
            RuntimeError,
            "histogramdd",
            f"range should have {2 * size} elements, a minimum and a maximum for each dimension, "
            f"but got {len(range)}",
        )
    edges = [
        _edges(
            "histogramdd",
            points.select(1, d),
            each[d],
            None if range is None else range[2 * d : 2 * d + 2],
        )
        for d, _ in enumerate(each)
    ]
    hist = _counted(points, edges, weight, density)
    return result_type_named("histogramdd", ("hist", "bin_edges"))(hist, tuple(edges))
