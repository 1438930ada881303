"""The elementwise operators: the array family's descriptions, recorded, and a few of our own."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from ..._dtypes import DType, bool_, complex64, complex128, float32, float64
from ..arrays._common import Kernels
from ..arrays.activation import activation_kernels
from ..arrays.elementwise import elementwise_kernels
from ..arrays.special_functions import special_function_kernels
from .array import DeviceArray
from .elementwise import Elementwise, of_operands, quick
from .expression import Expr, cast, computed, select
from .registry import CLASSES, Family, Kernel
from .tracing import Traced, TracingModule, Untraceable

elementwise = Family()
_ROOT_HALF = math.sqrt(0.5)
_DENSITY = 1 / math.sqrt(2 * math.pi)
_TANH_CUBE = 0.044715
_TANH_SLOPE = math.sqrt(2 / math.pi)
#: Operators whose float attributes shape the expression; a program is made for each value.
FIXED_FLOATS = frozenset(("nan_to_num",))


@functools.cache
def recorded_family(double: bool) -> Kernels:
    """The array family's elementwise kernels, against the module that records."""
    xp = TracingModule(double)
    table: Kernels = {}
    for family in (elementwise_kernels, special_function_kernels, activation_kernels):
        table.update(family(xp))
    return table


def recorded(
    function: Callable[..., Any],
    double: bool,
    dtypes: tuple[DType | None, ...],
    names: tuple[str, ...],
    fixed: tuple[tuple[str, Any], ...],
    passed: tuple[DType, ...],
) -> tuple[tuple[Expr, DType], ...]:
    """The expressions that a NumPy-style function computes.

    Args:
        function: The function.
        double: The device has float64.
        dtypes: Operands' dtypes, None for absent ones.
        names: Names of the attributes that are passed with each launch.
        fixed: Names and values of the others.
        passed: Types of the passed ones.
    """
    xp = TracingModule(double)
    leaves, params = of_operands(dtypes, passed)
    operands = [
        None if e is None or t is None else Traced(xp, e, t)
        for e, t in zip(leaves, dtypes, strict=True)
    ]
    attributes: dict[str, Any] = dict(fixed)
    for name, e in zip(names, params, strict=True):
        # Beside 16-bit operands an attribute is none that asks for more, though it has 32 bits.
        kind = e.type
        if kind is float32 and dtypes[0] is not None and dtypes[0].is_reduced:
            kind = dtypes[0]
        attributes[name] = Traced(xp, e, kind)
    results = function(*operands, **attributes)
    if not isinstance(results, tuple):
        results = (results,)
    return tuple((r.e, r.kind) for r in results)


def attribute_type(dtype: DType, double: bool) -> DType:
    """The type in which a float attribute is passed to a kernel of a dtype."""
    if dtype.is_complex:
        return dtype.to_real()
    if dtype.is_inexact:
        return computed(dtype)
    return float64 if double else float32


class Recorded:
    """A maker of kernels from a NumPy-style function; `pick(double, dtype)` gives the function."""

    def __init__(
        self, name: str, pick: Callable[[bool, DType], Callable[..., Any]], guarded: bool = False
    ) -> None:
        self.name = name
        self.pick = pick
        self.guarded = guarded

    def __call__(self, device: Any, dtype: DType) -> Kernel:
        """The kernel for one device and dtype."""
        pick, double = self.pick, device.double

        def describe(
            dtypes: tuple[DType | None, ...], fixed: tuple[Any, ...], passed: tuple[DType, ...]
        ) -> tuple[tuple[Expr, DType], ...]:
            names = fixed[0] if fixed else ()
            return recorded(pick(double, dtype), double, dtypes, names, fixed[1:], passed)

        kernel = Elementwise(device, self.name, describe, guarded=self.guarded)
        fixed_floats = self.name in FIXED_FLOATS
        short = quick(kernel, dtype)
        run, type = kernel.run, attribute_type(dtype, double)

        def call(
            *operands: DeviceArray | None, out: DeviceArray | None = None, **attributes: Any
        ) -> Any:
            if not attributes:
                if (
                    out is None
                    and short is not None
                    and (len(operands) == 1 or (len(operands) == 2 and operands[1] is not None))
                ):
                    made = short(*operands)
                    if made is not None:
                        return made
                return run(operands, out=out)
            names = tuple(
                [k for k, v in attributes.items() if v.__class__ is float and not fixed_floats]
            )
            rest = tuple([(k, v) for k, v in attributes.items() if k not in names])
            numbers = tuple([attributes[k] for k in names])
            return run(operands, (names, *rest), (type,) * len(names), numbers, out)

        return call


def _from_family(name: str, kernel_class: str) -> Callable[[bool, DType], Callable[..., Any]]:
    def pick(double: bool, dtype: DType) -> Callable[..., Any]:
        entry = recorded_family(double)[name]
        if not isinstance(entry, dict):
            return entry
        return entry.get(kernel_class, entry.get("default"))  # type: ignore[return-value]

    return pick


# -- our own descriptions --------------------------------------------------------------------------


def _lerp_by(x: Any, y: Any, *, weight: Any) -> Any:
    xp = x.xp
    step = y - x
    weight = xp.traced(weight, x.kind)
    return xp.where(xp.absolute(weight) < 0.5, x + step * weight, y + step * (weight - 1))


def _addcmul(x: Any, a: Any, b: Any, *, value: Any = 1) -> Any:
    return x + (a * b if value.__class__ is int and value == 1 else a * b * value)


def _addcdiv(x: Any, a: Any, b: Any, *, value: Any = 1) -> Any:
    return x + (a / b if value.__class__ is int and value == 1 else a / b * value)


def _where(condition: Any, x: Any, y: Any) -> Any:
    return x.xp.where(condition, x, y)


def _masked_fill(x: Any, mask: Any, value: Any) -> Any:
    return x.xp.where(mask, value, x)


def _zero_divisor(function: str) -> Callable[..., Any]:
    def kernel(x: Any, y: Any) -> Any:
        return getattr(x.xp, function)(x, y)

    return kernel


def _trunc_divide(x: Any, y: Any) -> Any:
    return x.xp.result("quotient", x.kind, x.e, y.e)


def _erf(x: Any) -> Any:
    """erf in float32 is the prelude's, in float64 the array family's."""
    if x.kind is float64:
        return _from_family("erf", "floating")(True, float64)(x)
    return x.xp.erf(x)


def _gate(x: Any) -> Any:
    return x.xp.tanh((x + x * x * x * _TANH_CUBE) * _TANH_SLOPE)


def _gelu(x: Any, *, approximate: str) -> Any:
    gate = _gate(x) if approximate == "tanh" else _erf(x * _ROOT_HALF)
    return x * (gate + 1) * 0.5


def _gelu_backward(g: Any, x: Any, *, approximate: str) -> Any:
    if approximate == "tanh":
        gate = _gate(x)
        slope = (x * x * (3 * _TANH_CUBE) + 1) * _TANH_SLOPE
        return g * ((gate + 1 + x * (1 - gate * gate) * slope) * 0.5)
    probability = (_erf(x * _ROOT_HALF) + 1) * 0.5
    return g * (probability + x * x.xp.exp(x * x * -0.5) * _DENSITY)


def _silu(x: Any) -> Any:
    return x / (x.xp.exp(-x) + 1)


def _silu_backward(g: Any, x: Any) -> Any:
    unit = x.xp.reciprocal(x.xp.exp(-x) + 1)
    return g * (unit * (1 + x * (1 - unit)))


_OWN: dict[str, tuple[Callable[..., Any], str]] = {
    "lerp_by": (_lerp_by, "floating reduced complex"),
    "addcmul": (_addcmul, "integer floating reduced complex"),
    "addcdiv": (_addcdiv, "floating reduced complex"),
    "masked_fill": (_masked_fill, " ".join(CLASSES)),
    "where": (_where, " ".join(CLASSES)),
    "erf": (_erf, "floating reduced"),
    "gelu": (_gelu, "floating reduced"),
    "gelu_backward": (_gelu_backward, "floating reduced"),
    "silu": (_silu, "floating reduced"),
    "silu_backward": (_silu_backward, "floating reduced"),
}
_INTEGER_DIVISION: dict[str, Callable[..., Any]] = {
    "floor_divide": _zero_divisor("floor_divide"),
    "fmod": _zero_divisor("fmod"),
    "remainder": _zero_divisor("remainder"),
    "div_trunc": _trunc_divide,
}
#: In the array family, and recorded by nobody: loops whose length depends on data.
UNRECORDED = frozenset(
    ("igamma", "igammac", "hermite_polynomial_h", "hermite_polynomial_he")
    + ("laguerre_polynomial_l", "legendre_polynomial_p")
    + tuple(f"{p}chebyshev_polynomial_{k}" for p in ("", "shifted_") for k in "tuvw")
)


def _checked_division(name: str) -> Callable[[Any, DType], Kernel]:
    """Integer division, which raises where a divisor is zero, as the operator must."""
    maker = Recorded(name, lambda double, dtype: _INTEGER_DIVISION[name], guarded=True)

    def make(device: Any, dtype: DType) -> Kernel:
        divide = maker(device, dtype)

        def kernel(x: DeviceArray, y: DeviceArray) -> Any:
            if y.buffer is None:
                nonzero = bool(y.value)
            else:
                every = device.kernels_of("all", dtype)
                found = every(y, dim=tuple(range(len(y.shape))), keepdim=False)
                nonzero = bool(device.to_host(found))
            if not nonzero and y.size:
                raise RuntimeError("ZeroDivisionError")
            return divide(x, y)

        return kernel

    return make


def _always(function: Callable[..., Any]) -> Callable[[bool, DType], Callable[..., Any]]:
    return lambda double, dtype: function


def _install() -> None:
    table = recorded_family(True)
    for name, entry in table.items():
        if name in UNRECORDED or name in _OWN:
            continue
        if isinstance(entry, dict):
            classes = CLASSES if "default" in entry else tuple(entry)
        else:
            classes = CLASSES
        for kernel_class in classes:
            if kernel_class == "default":
                continue
            if name in _INTEGER_DIVISION and kernel_class == "integer":
                elementwise.add(name, _checked_division(name), "integer")
                continue
            pick = _from_family(name, kernel_class)
            elementwise.add(name, Recorded(name, pick), kernel_class)
    for name, (function, classes_) in _OWN.items():
        elementwise.add(name, Recorded(name, _always(function)), classes_)


_install()
__all__ = [
    "Recorded", "Untraceable", "bool_", "cast", "complex64", "complex128", "elementwise", "select",
]  # fmt: skip
