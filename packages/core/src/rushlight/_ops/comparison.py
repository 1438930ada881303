"""Comparisons, tests for NaN and infinity, and logic on truth values."""

from __future__ import annotations

from typing import Any

from .._config import settings
from .._dtypes import bool_
from .._errors import error
from .._operator import Operator, binary, operator
from .._registered import operators
from .._tensor.tensor import Tensor
from . import arithmetic, unary_math
from ._public import public
from .elementwise import (
    is_complex,
    operator_method,
    public_binary,
    public_unary,
    require_tensor,
)

_ORDERED = ("lt", "le", "gt", "ge")
COMPARISONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "eq": ("input == other", ()),
    "ne": ("input != other", ("not_equal",)),
    "lt": ("input < other", ("less",)),
    "le": ("input <= other", ("less_equal",)),
    "gt": ("input > other", ("greater",)),
    "ge": ("input >= other", ("greater_equal",)),
}


def _refuse_complex(op: Operator) -> None:
    """Makes an operator refuse complex operands, which have no order."""

    def check(*operands: Any) -> None:
        if any(is_complex(x) for x in operands):
            raise error(
                NotImplementedError,
                op.name,
                f'"{op.name}_cpu" not implemented for complex numbers, which have no order',
                fix="compare magnitudes: x.abs()",
            )

    op.check(check)


for _name, (_doc, _aliases) in COMPARISONS.items():
    _op = binary(_name, promotes="compare")
    if _name in _ORDERED:
        _refuse_complex(_op)
    public_binary(_op, f"Whether {_doc}, element by element.", aliases=_aliases)
    operator_method(_name, _op)
for _name in ("maximum", "minimum", "fmax", "fmin"):
    _refuse_complex(getattr(arithmetic, f"{_name}_op"))
_refuse_complex(unary_math.sign_op)


# -- logic ------------------------------------------------------------------------------------

for _name, _doc in (
    ("logical_and", "Whether both elements are true, that is, not zero."),
    ("logical_or", "Whether one of two elements is true, that is, not zero."),
    ("logical_xor", "Whether exactly one of two elements is true, that is, not zero."),
):
    public_binary(binary(_name, promotes="compare"), _doc, tensors_only=True)


def _predicate(name: str, doc: str, *, inplace: bool = False, **more: Any) -> Operator:
    """An operator of one tensor whose result is bool."""
    op = operator(f"{name}(Tensor x) -> Tensor", kind="elementwise", promotes="compare")
    public_unary(op, doc, inplace=inplace, **more)
    return op


_predicate("logical_not", "Whether each element is false, that is, zero.", inplace=True)

# -- NaN, infinity, sign ----------------------------------------------------------------------

_predicate("isnan", "Whether each element is NaN; of a complex one, a part of it.")
_predicate("isinf", "Whether each element is infinite; of a complex one, a part of it.")
_predicate("isfinite", "Whether each element is neither NaN nor infinite.")
_refuse_complex(_predicate("isposinf", "Whether each element is plus infinity."))
_refuse_complex(_predicate("isneginf", "Whether each element is minus infinity."))
_refuse_complex(_predicate("signbit", "Whether the sign of each element is minus, also of -0.0."))


@public()
def isreal(input: Tensor) -> Tensor:
    """Whether the imaginary part of each element is zero.

    Example:
        >>> rushlight.isreal(rushlight.tensor([1 + 0j, 1j]))
        tensor([ True, False])
    """
    require_tensor("isreal", "input", input)
    if input._k.is_complex:
        return operators["eq"](operators["imag"](input), 0)  # type: ignore[no-any-return]
    full = operators["full"].function
    return full(tuple(input.shape), True, dtype=bool_, device=input.device)  # type: ignore[no-any-return]


# -- closeness --------------------------------------------------------------------------------


def _check_tolerances(who: str, input: Tensor, other: Any, rtol: float, atol: float) -> None:
    require_tensor(who, "input", input)
    require_tensor(who, "other", other)
    if input.dtype is not other.dtype:
        raise error(
            RuntimeError,
            who,
            f"{input.dtype.name} did not match {other.dtype.name}",
            given=f"input of {input.dtype}, other of {other.dtype}",
            fix="convert one of them",
        )
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not value >= 0:
            raise error(
                RuntimeError, who, f"{name} must be greater than or equal to zero, but got {value}"
            )


@public()
def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Whether elements are within a tolerance, `|input - other| <= atol + rtol * |other|`.

    Args:
        input: A tensor.
        other: A tensor of the same dtype.
        rtol: Relative tolerance.
        atol: Absolute tolerance.
        equal_nan: NaN is close to NaN.
    Raises:
        RuntimeError: The dtypes differ, or a tolerance is negative.
    Example:
        >>> rushlight.isclose(rushlight.tensor([1.0, 2.0]), rushlight.tensor([1.0, 2.1]))
        tensor([ True, False])
    """
    _check_tolerances("isclose", input, other, rtol, atol)
    eq, isfinite = operators["eq"], operators["isfinite"]
    close = eq(input, other)
    inexact = input.dtype.is_inexact
    if equal_nan and inexact:
        close = close | (operators["ne"](input, input) & operators["ne"](other, other))
    if rtol == 0 and atol == 0:
        return close  # type: ignore[no-any-return]
    a, b = input, other
    if not inexact:
        a, b = a.to(settings.default_dtype), b.to(settings.default_dtype)
    allowed = atol + operators["abs"](b * rtol)
    actual = operators["abs"](a - b)
    return close | (isfinite(actual) & (actual <= allowed))  # type: ignore[no-any-return]


@public()
def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are close, in the sense of `isclose`.

    Args:
        input: A tensor.
        other: A tensor of the same dtype.
        rtol: Relative tolerance.
        atol: Absolute tolerance.
        equal_nan: NaN is close to NaN.
    Example:
        >>> rushlight.allclose(rushlight.tensor([1.0]), rushlight.tensor([1.0 + 1e-9]))
        True
    """
    return _all_true(isclose(input, other, rtol, atol, equal_nan))


@public()
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and elements.

    Example:
        >>> rushlight.equal(rushlight.tensor([1, 2]), rushlight.tensor([1, 2]))
        True
    """
    require_tensor("equal", "input", input)
    require_tensor("equal", "other", other)
    if input.shape != other.shape:
        return False
    return _all_true(operators["eq"](input, other))


def _all_true(x: Tensor) -> bool:
    every = operators["all"]
    return bool(every(x, dim=tuple(range(x.ndim)), keepdim=False).item())
