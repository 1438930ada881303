"""Factories of ranges and patterns: arange, linspace, eye, triangles' indices."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from .._config import settings
from .._dtypes import Category, DType, int64
from .._errors import error
from .._layout import strided
from .._modes import GRAD, NO_GRAD, STATE
from .._registered import operators
from .._tensor.construction import convert, from_host
from .._tensor.tensor import Tensor, fresh
from ..backend import Kind
from ._making import default_kind, delivered, filled, kind_for
from ._public import export, public
from .creation import arange_op

_ARANGE = arange_op.index


def _number(who: str, name: str, value: Any) -> Any:
    """A Python number of what a user gives for one."""
    if isinstance(value, (bool, int, float, complex)):
        return value
    if isinstance(value, Tensor):
        if value.ndim:
            raise error(
                RuntimeError,
                who,
                f"{name} must be a 0-dimensional tensor, got {value.ndim} dimensions",
                given=f"{name} of shape {tuple(value.shape)}",
            )
        return value.item()
    if hasattr(value, "item"):
        return value.item()
    raise error(TypeError, who, f"argument '{name}' must be Number, not {type(value).__name__}")


def stepped(start: Any, step: Any, length: int, kind: Kind) -> Tensor:
    """A tensor of `start + i * step`."""
    state = STATE.get()
    if state is GRAD or state is NO_GRAD:
        kernel = None if kind.is_meta else kind.hot[_ARANGE]
        if kernel is not None:
            return fresh(kind, kernel(start=start, step=step, length=length, dtype=kind.dtype))
    return arange_op(start=start, step=step, length=length, dtype=kind.dtype, device=kind.device)  # type: ignore[no-any-return]


# -- arange ---------------------------------------------------------------------------------


def _ends(who: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, Any, Any]:
    """(start, end, step) of `arange(end)`, `arange(start, end)` and `arange(start, end, step)`."""
    names = ("end",) if len(args) == 1 and "end" not in keywords else ("start", "end", "step")
    if len(args) > 3:
        raise error(TypeError, who, f"takes at most 3 positional arguments, got {len(args)}")
    given = dict(zip(names, args, strict=False))
    for name in ("start", "end", "step"):
        if name in keywords:
            if name in given:
                raise error(TypeError, who, f"got multiple values for argument '{name}'")
            given[name] = keywords.pop(name)
    if keywords or "end" not in given:
        what = f"unexpected keyword arguments {sorted(keywords)}" if keywords else "end is missing"
        raise error(TypeError, who, what)
    start, step = given.get("start", 0), given.get("step", 1)
    return (
        _number(who, "start", start),
        _number(who, "end", given["end"]),
        _number(who, "step", step),
    )


def _check_range(who: str, start: Any, end: Any, step: Any) -> None:
    if step == 0:
        raise error(RuntimeError, who, "step must be nonzero", given=f"step={step}")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise error(RuntimeError, who, f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise error(
            RuntimeError,
            who,
            "upper bound and lower bound inconsistent with step sign",
            given=f"start={start}, end={end}, step={step}",
            fix="swap the bounds, or change the sign of step",
        )


@public(methods=False)
def arange(
    *args: Any,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    **keywords: Any,
) -> Tensor:
    """Numbers from `start` up to, but without, `end`.

    Args:
        *args: `end`; or `start, end`; or `start, end, step`.
        out: Tensor that receives the result.
        dtype: int64 for integers, else the default dtype.
        layout: `rushlight.strided`.
        device: The current default device by default.
        requires_grad: Starts recording on the tensor.
        pin_memory: Accepted; memory is pinned by devices that can.
        **keywords: `start`, `end`, `step`.
    Raises:
        RuntimeError: `step` is zero, or points away from `end`.
    Example:
        >>> rushlight.arange(1, 7, 2)
        tensor([1, 3, 5])
    """
    start, end, step = _ends("arange", args, keywords)
    if dtype is None and out is None:
        whole = all(isinstance(v, int) for v in (start, end, step))
        dtype = int64 if whole else settings.default_dtype
    kind = kind_for("arange", out, dtype, device)
    if kind.dtype is int64:
        start, end, step = int(start), int(end), int(step)
    _check_range("arange", start, end, step)
    if isinstance(start, int) and isinstance(end, int) and isinstance(step, int):
        length = -((start - end) // step)
    else:
        length = math.ceil((end - start) / step)
    if kind.dtype.category is Category.INTEGER:
        start, step = int(start), int(step)
    return delivered("arange", stepped(start, step, length, kind), out, requires_grad)


@public(methods=False)
def range(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from `start` to `end`, both included; `arange` is what to use instead.

    Raises:
        RuntimeError: `step` is zero, or points away from `end`.
    """
    warnings.warn(
        "rushlight.range is deprecated, because its behavior differs from Python's range; use "
        "rushlight.arange, which leaves end out",
        UserWarning,
        stacklevel=2,
    )
    if end is None:
        start, end = 0, start
    start, end, step = (
        _number("range", name, v) for name, v in (("start", start), ("end", end), ("step", step))
    )
    _check_range("range", start, end, step)
    kind = kind_for("range", out, dtype, device)
    if kind.dtype.category is Category.INTEGER:
        start, end, step = int(start), int(end), int(step)
    length = math.floor((end - start) / step) + 1
    return delivered("range", stepped(start, step, length, kind), out, requires_grad)


# -- linspace -------------------------------------------------------------------------------


def _check_steps(who: str, steps: Any) -> int:
    if isinstance(steps, Tensor) or not hasattr(steps, "__index__"):
        raise error(TypeError, who, f"argument 'steps' must be int, not {type(steps).__name__}")
    count = int(steps.__index__())
    if count < 0:
        raise error(
            RuntimeError, who, "number of steps must be non-negative", given=f"steps={count}"
        )
    return count


def _dtype_between(dtype: DType | None, *ends: Any) -> DType:
    """The dtype of numbers between two: the default one, or its complex counterpart."""
    if dtype is not None:
        if any(isinstance(v, complex) for v in ends) and not dtype.is_complex:
            raise error(
                RuntimeError, "linspace", f"inferred dtype complex can't be safely cast to passed "
                f"dtype {dtype.name}",
            )  # fmt: skip
        return dtype
    if any(isinstance(v, complex) for v in ends):
        return settings.default_complex
    return settings.default_dtype


def _stretch(
    who: str, start: Any, end: Any, steps: Any, out: Any, dtype: DType | None, device: Any
) -> tuple[Any, Any, int, Kind]:
    """First number, last number, their count and their kind."""
    count = _check_steps(who, steps)
    first, last = _number(who, "start", start), _number(who, "end", end)
    if out is None:
        dtype = _dtype_between(dtype, first, last)
    kind = kind_for(who, out, dtype, device)
    if kind.dtype.category is Category.INTEGER:
        first, last = int(first), int(last)
    return first, last, count, kind


@public(methods=False)
def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """`steps` numbers at equal distances from `start` to `end`, both included.

    Raises:
        RuntimeError: `steps` is negative.
    Example:
        >>> rushlight.linspace(0, 1, 5)
        tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    first, last, count, kind = _stretch("linspace", start, end, steps, out, dtype, device)
    if kind.dtype.category is Category.BOOL:
        first, last = bool(first), bool(last)
    if count < 2:
        return delivered("linspace", filled((count,), first, kind), out, requires_grad)
    step = (last - first) / (count - 1)
    # Each half counts from its own end, so that both ends are met exactly.
    half = count // 2
    if isinstance(step, complex):
        front, back = complex(first), complex(last)
    else:
        front, back = float(first), float(last)
    lower = stepped(front, step, half, kind)
    upper = stepped(back, -step, count - half, kind)
    made = operators["cat"](lower, operators["flip"](upper, dims=(0,)), dim=0)
    return delivered("linspace", made, out, requires_grad)


@public(methods=False)
def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Powers of `base` with exponents at equal distances from `start` to `end`.

    Raises:
        RuntimeError: `steps` is negative.
    Example:
        >>> rushlight.logspace(0, 2, 3)
        tensor([  1.,  10., 100.])
    """
    first, last, count, kind = _stretch("logspace", start, end, steps, out, dtype, device)
    wide = np.complex128 if kind.dtype.is_complex else np.float64
    with np.errstate(all="ignore"):
        powers = np.power(np.array(base, wide), np.linspace(first, last, count, dtype=wide))
    made = from_host(convert(powers, kind.dtype), kind.device, copy=False)
    return delivered("logspace", made, out, requires_grad)


# -- matrices -------------------------------------------------------------------------------


def _count(who: str, name: str, n: Any) -> int:
    if isinstance(n, (bool, float)) or not hasattr(n, "__index__"):
        raise error(TypeError, who, f"argument '{name}' must be int, not {type(n).__name__}")
    if n < 0:
        raise error(RuntimeError, who, f"{name} must be greater or equal to 0, got {n}")
    return int(n)


@public(methods=False)
def eye(
    n: int,
    m: int | None = None,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A matrix with ones on the diagonal and zeros elsewhere.

    Args:
        n: Number of rows.
        m: Number of columns, `n` by default.
        out: Tensor that receives the result.
        dtype: The default dtype by default.
        layout: `rushlight.strided`.
        device: The current default device by default.
        requires_grad: Starts recording on the tensor.
        pin_memory: Accepted; memory is pinned by devices that can.
    Raises:
        RuntimeError: A count is negative.
    Example:
        >>> rushlight.eye(2)
        tensor([[1., 0.],
                [0., 1.]])
    """
    rows = _count("eye", "n", n)
    columns = rows if m is None else _count("eye", "m", m)
    kind = kind_for("eye", out, dtype, device)
    made = filled((rows, columns), 0, kind)
    if rows and columns:
        line = operators["diagonal"](made, offset=0, dim1=0, dim2=1)
        operators["copy_"](line, filled((), 1, kind))
    return delivered("eye", made, out, requires_grad)


def _triangle_indices(name: str, lower: bool, example: str) -> None:
    """`tril_indices` and `triu_indices`."""

    def indices(
        row: int,
        col: int,
        offset: int = 0,
        *,
        dtype: DType = int64,
        device: Any = None,
        layout: Any = strided,
        pin_memory: bool = False,
    ) -> Tensor:
        rows, columns = _count(name, "row", row), _count(name, "col", col)
        if isinstance(offset, float):
            raise error(TypeError, name, "argument 'offset' must be int, not float")
        difference = np.arange(columns) - np.arange(rows)[:, None]
        places = np.nonzero(difference <= offset if lower else difference >= offset)
        kind = default_kind(dtype, device)
        return from_host(convert(np.stack(places), kind.dtype), kind.device, copy=False)

    indices.__name__ = indices.__qualname__ = name
    which = "lower" if lower else "upper"
    indices.__doc__ = f"""Row and column numbers of the {which} triangle of a matrix.

    Raises:
        RuntimeError: A count is negative.
    Example:
        >>> rushlight.{name}(2, 2)
        {example}
    """
    export(name, indices)


_triangle_indices("tril_indices", True, "tensor([[0, 1, 1],\n                [0, 0, 1]])")
_triangle_indices("triu_indices", False, "tensor([[0, 0, 1],\n                [0, 1, 1]])")


@public(methods=False)
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The matrix of the powers of a vector's elements.

    Args:
        x: Vector.
        N: Number of columns, as many as rows by default.
        increasing: Powers rise from left to right.
    Raises:
        RuntimeError: Not a vector, or `N` is negative.
    Example:
        >>> rushlight.vander(rushlight.tensor([1, 2, 3]))
        tensor([[1, 1, 1],
                [4, 2, 1],
                [9, 3, 1]])
    """
    if x.ndim != 1:
        raise error(RuntimeError, "vander", "x must be a one-dimensional tensor.")
    columns = x.shape[0] if N is None else N
    if columns < 0:
        raise error(RuntimeError, "vander", "N must be non-negative.")
    ones = operators["new_full"](
        x, shape=(x.shape[0], min(columns, 1)), value=1, dtype=x.dtype, device=x.device
    )
    column = operators["unsqueeze"](x, dim=1)
    factors = operators["expand"](column, size=(x.shape[0], max(columns - 1, 0)))
    powers: Tensor = operators["cat"](ones, operators["cumprod"](factors, dim=1), dim=1)
    return powers if increasing else operators["flip"](powers, dims=(1,))


for _function in (arange, range, linspace, logspace, eye):
    setattr(_function, "accepts_out", True)  # noqa: B010
