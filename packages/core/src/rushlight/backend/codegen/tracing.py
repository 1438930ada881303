"""Recording a function of arrays: the array family's kernels become scalar expressions.

The kernels of `rushlight.backend.arrays` are NumPy-style functions. `Traced` stands for an array
of one element, `TracingModule` for NumPy. Running a kernel with them yields the expression graph
that one fused kernel is printed from, so that both families share one description.
Conditions of data can't be answered: `any()` says yes and `all()` no, so that `piecewise` records
both its sides, and `out[mask] = y` becomes a select.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..._dtypes import DType, bool_, float32, float64, from_numpy_dtype, int32, int64
from .expression import Expr, call, cast, computed, constant, select

PYTHON_NUMBERS = (bool, int, float, complex)


class Untraceable(TypeError):
    """A kernel asked for what is not known before it runs."""


class Traced:
    """An array of one element that is known by its expression; in-place operators rebind it."""

    shape: tuple[int, ...] = ()
    ndim = 0
    size = 1
    __array_ufunc__ = None

    __slots__ = ("e", "kind", "xp")

    def __init__(self, xp: TracingModule, e: Expr, kind: DType) -> None:
        self.xp = xp
        self.e = e
        self.kind = kind

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.kind.numpy

    def __bool__(self) -> bool:
        raise Untraceable("the truth of an element is not known before the kernel runs")

    def any(self) -> bool:
        return True

    def all(self) -> bool:
        return False

    def reshape(self, *shape: Any) -> Traced:
        return self

    def copy(self, order: str = "C") -> Traced:
        return Traced(self.xp, self.e, self.kind)

    def astype(self, dtype: Any, copy: bool = True, order: str = "C") -> Traced:
        kind = self.xp.limited(from_numpy_dtype(np.dtype(dtype)))
        return Traced(self.xp, cast(self.e, computed(kind)), kind)

    def __getitem__(self, key: Any) -> Traced:
        return self.copy()

    def __setitem__(self, key: Any, value: Any) -> None:
        other = cast(self.xp.traced(value, self.kind).e, self.e.type)
        self.e = select(key.e, other, self.e) if isinstance(key, Traced) else other

    @property
    def real(self) -> Traced:
        if not self.kind.is_complex:
            return self
        real = self.kind.to_real()
        return Traced(self.xp, call("real", real, self.e), real)

    @property
    def imag(self) -> Traced:
        real = self.kind.to_real()
        if not self.kind.is_complex:
            return self.xp.traced(0, self.kind)
        return Traced(self.xp, call("imag", real, self.e), real)

    def conj(self) -> Traced:
        return self.xp.conjugate(self)

    def __neg__(self) -> Traced:
        return self.xp.negative(self)

    def __abs__(self) -> Traced:
        return self.xp.absolute(self)

    def __invert__(self) -> Traced:
        return self.xp.invert(self)


_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide",
    "floordiv": "floor_divide", "mod": "remainder", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift", "pow": "power",
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal",
    "ne": "not_equal",
}  # fmt: skip


def _install_operators() -> None:
    def forward(name: str) -> Callable[[Traced, Any], Traced]:
        return lambda x, y: getattr(x.xp, name)(x, y)

    def backward(name: str) -> Callable[[Traced, Any], Traced]:
        return lambda x, y: getattr(x.xp, name)(y, x)

    def inplace(name: str) -> Callable[[Traced, Any], Traced]:
        def write(x: Traced, y: Any) -> Traced:
            x.e = cast(getattr(x.xp, name)(x, y).e, x.e.type)
            return x

        return write

    for short, name in _OPERATORS.items():
        setattr(Traced, f"__{short}__", forward(name))
        setattr(Traced, f"__r{short}__", backward(name))
        setattr(Traced, f"__i{short}__", inplace(name))
    Traced.__hash__ = object.__hash__  # type: ignore[method-assign]


_install_operators()


class _NdArray:
    """What kernels take from `xp.ndarray`."""

    @staticmethod
    def copy(x: Traced, order: str = "C") -> Traced:
        return x.copy()


_FLOAT_UNARY = {
    **dict.fromkeys("exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh sqrt".split()),
    "erf": "erf",
    **{f"arc{n}": f"a{n}" for n in "sin cos tan sinh cosh tanh".split()},
}  # fmt: skip
_ROUNDING = {"floor": "floor", "ceil": "ceil", "trunc": "trunc", "rint": "rint"}
_COMPARING = {
    "equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<=", "greater": ">",
    "greater_equal": ">=",
}  # fmt: skip
_ARITHMETIC = {"add": "+", "subtract": "-", "multiply": "*"}
_FUNCTIONS_OF_TWO = {
    "maximum": "maximum", "minimum": "minimum", "fmax": "nan_max", "fmin": "nan_min",
    "power": "power", "remainder": "remainder", "fmod": "modulo", "gcd": "gcd", "lcm": "lcm",
    "floor_divide": "floor_divide", "left_shift": "shift_left", "right_shift": "shift_right",
}  # fmt: skip
_FLOATS_OF_TWO = {
    "arctan2": "atan2", "hypot": "hypot", "copysign": "copysign", "nextafter": "nextafter",
    "logaddexp": "logaddexp", "logaddexp2": "logaddexp2",
}  # fmt: skip


class TracingModule:
    """NumPy's functions, recording.

    Args:
        double: The device computes in float64; float32 stands in where it does not.
    """

    ndarray = _NdArray

    def __init__(self, double: bool = True) -> None:
        self.double = double
        self._common: dict[Any, Expr] = {}

    def limited(self, kind: DType) -> DType:
        """A type as the device has it."""
        if self.double or kind.itemsize < 8:
            return kind
        if kind is float64:
            return float32
        return from_numpy_dtype(np.dtype(np.complex64)) if kind.name == "complex128" else kind

    def traced(self, value: Any, like: DType | None = None) -> Traced:
        """A value as a traced array; Python's numbers take the dtype `like` where they fit it."""
        if isinstance(value, Traced):
            return value
        if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and not value.ndim):
            kind = self.limited(from_numpy_dtype(value.dtype))
            return Traced(self, constant(value.item(), computed(kind)), kind)
        if not isinstance(value, PYTHON_NUMBERS):
            raise Untraceable(f"{type(value).__name__} in a kernel that is being recorded")
        kind = like if like is not None else float64
        if isinstance(value, float) and not kind.is_inexact:
            kind = float64
        if isinstance(value, int) and not isinstance(value, bool) and kind is bool_:
            kind = int64
        kind = self.limited(kind)
        if isinstance(value, complex) and not kind.is_complex:
            kind = kind.to_complex()
        return Traced(self, constant(value, computed(kind)), kind)

    def together(self, *values: Any) -> tuple[list[Expr], DType]:
        """The expressions of values in their common type, Python's numbers being weak."""
        kinds = [x.dtype for x in values if isinstance(x, (Traced, np.generic, np.ndarray))]
        common = from_numpy_dtype(np.result_type(*kinds)) if kinds else float64
        made = [self.traced(x, common) for x in values]
        for x in made:
            if x.kind is not common:
                common = from_numpy_dtype(np.result_type(common.numpy, x.dtype))
        common = self.limited(common)
        return [cast(x.e, computed(common)) for x in made], common

    def result(self, name: str, kind: DType, *args: Expr) -> Traced:
        """A recorded operation; one of the same operands is recorded once."""
        key = (name, kind, *map(id, args))
        found = self._common.get(key)
        if found is None or any(a is not b for a, b in zip(found.args, args, strict=True)):
            found = self._common[key] = call(name, computed(kind), *args)
        return Traced(self, found, kind)

    def floating(self, x: Any) -> Traced:
        """`x` as an inexact number, as NumPy's float functions make it."""
        made = self.traced(x)
        return made if made.kind.is_inexact else made.astype(np.float64)

    # -- selection and creation ------------------------------------------------------------

    def where(self, condition: Any, yes: Any, no: Any) -> Traced:
        (a, b), kind = self.together(yes, no)
        return Traced(self, select(self.traced(condition).e, a, b), kind)

    def full_like(self, x: Traced, value: Any) -> Traced:
        return Traced(self, cast(self.traced(value, x.kind).e, x.e.type), x.kind)

    def zeros_like(self, x: Traced) -> Traced:
        return self.full_like(x, 0)

    def ones_like(self, x: Traced) -> Traced:
        return self.full_like(x, 1)

    empty_like = zeros_like

    def full(self, shape: Any, value: Any, dtype: Any = np.float64) -> Traced:
        kind = self.limited(from_numpy_dtype(np.dtype(dtype)))
        return Traced(self, cast(self.traced(value, kind).e, computed(kind)), kind)

    def ones(self, shape: Any, dtype: Any = np.float64) -> Traced:
        return self.full(shape, 1, dtype)

    def zeros(self, shape: Any, dtype: Any = np.float64) -> Traced:
        return self.full(shape, 0, dtype)

    def asarray(self, x: Any) -> Traced:
        return self.traced(x)

    ascontiguousarray = asarray

    def broadcast_arrays(self, *arrays: Any) -> list[Traced]:
        return [self.traced(x).copy() for x in arrays]

    def broadcast_to(self, x: Any, shape: Any) -> Traced:
        return self.traced(x)

    # -- predicates and parts -----------------------------------------------------------------

    def _predicate(self, name: str, x: Traced, whole: bool, out: Traced | None) -> Traced:
        x = self.traced(x)
        if not x.kind.is_inexact:
            return self.full((), whole, np.bool_)
        return self._put(self.result(name, bool_, x.e), out)

    def isnan(self, x: Traced, out: Traced | None = None) -> Traced:
        return self._predicate("isnan", x, False, out)

    def isinf(self, x: Traced, out: Traced | None = None) -> Traced:
        return self._predicate("isinf", x, False, out)

    def isfinite(self, x: Traced, out: Traced | None = None) -> Traced:
        return self._predicate("isfinite", x, True, out)

    def signbit(self, x: Traced) -> Traced:
        return self.result("signbit", bool_, x.e)

    def frexp(self, x: Traced) -> tuple[Traced, Traced]:
        return self.result("mantissa", x.kind, x.e), self.result("exponent", int32, x.e)

    def absolute(self, x: Any, out: Traced | None = None) -> Traced:
        x = self.traced(x)
        return self._put(self.result("abs", x.kind.to_real(), x.e), out)

    def negative(self, x: Any, out: Traced | None = None) -> Traced:
        x = self.traced(x)
        return self._put(self.result("neg", x.kind, x.e), out)

    def square(self, x: Any, out: Traced | None = None) -> Traced:
        made: Traced = self.multiply(x, x, out=out)
        return made

    def conjugate(self, x: Traced) -> Traced:
        return self.result("conj", x.kind, x.e) if x.kind.is_complex else x

    def reciprocal(self, x: Any, out: Traced | None = None) -> Traced:
        return self.true_divide(1, x, out=out)

    def true_divide(self, x: Any, y: Any, out: Traced | None = None) -> Traced:
        (a, b), kind = self.together(x, y)
        if not kind.is_inexact:
            kind = self.limited(float64)
            a, b = cast(a, kind), cast(b, kind)
        return self._put(self.result("/", kind, a, b), out)

    def invert(self, x: Traced, out: Traced | None = None) -> Traced:
        return self._put(self.result("not" if x.kind is bool_ else "~", x.kind, x.e), out)

    def logical_not(self, x: Traced, out: Traced | None = None) -> Traced:
        return self._put(self.result("not", bool_, cast(self.traced(x).e, bool_)), out)

    @staticmethod
    def _put(made: Traced, out: Traced | None) -> Traced:
        if out is None:
            return made
        out.e = cast(made.e, out.e.type)
        return out

    def broadcast_shapes(self, *shapes: Any) -> tuple[int, ...]:
        return ()

    def __getattr__(self, name: str) -> Any:
        raise Untraceable(f"{name} is not recorded")


def _install_functions() -> None:
    def unary(name: str, keeps_whole: bool) -> Callable[..., Traced]:
        def function(self: TracingModule, x: Any, out: Traced | None = None) -> Traced:
            made = self.traced(x)
            if keeps_whole and not made.kind.is_inexact:
                return made.copy()
            made = self.floating(made)
            return self._put(self.result(name, made.kind, made.e), out)

        return function

    def of_two(name: str, result: DType | None, inexact: bool) -> Callable[..., Traced]:
        def function(self: TracingModule, x: Any, y: Any, out: Traced | None = None) -> Traced:
            (a, b), kind = self.together(x, y)
            if inexact and not kind.is_inexact:
                kind = self.limited(float64)
                a, b = cast(a, kind), cast(b, kind)
            if kind is bool_ and name in ("+", "*", "maximum", "minimum", "nan_max", "nan_min"):
                either = name in ("+", "maximum", "nan_max")
                return self._put(self.result("|" if either else "&", kind, a, b), out)
            return self._put(self.result(name, result or kind, a, b), out)

        return function

    def logical(name: str) -> Callable[..., Traced]:
        def function(self: TracingModule, x: Any, y: Any, out: Traced | None = None) -> Traced:
            a, b = (cast(self.traced(v).e, bool_) for v in (x, y))
            return self._put(self.result(name, bool_, a, b), out)

        return function

    made: dict[str, Callable[..., Traced]] = {}
    for name, ours in _FLOAT_UNARY.items():
        made[name] = unary(ours or name, keeps_whole=False)
    for name, ours in _ROUNDING.items():
        made[name] = unary(ours, keeps_whole=True)
    for name, ours in _COMPARING.items():
        made[name] = of_two(ours, bool_, inexact=False)
    for name, ours in (_ARITHMETIC | _FUNCTIONS_OF_TWO).items():
        made[name] = of_two(ours, None, inexact=False)
    for name, ours in _FLOATS_OF_TWO.items():
        made[name] = of_two(ours, None, inexact=True)
    for name, ours in (("bitwise_and", "&"), ("bitwise_or", "|"), ("bitwise_xor", "^")):
        made[name] = of_two(ours, None, inexact=False)
    for name, ours in (("logical_and", "&"), ("logical_or", "|"), ("logical_xor", "^")):
        made[name] = logical(ours)
    for name, function in made.items():
        setattr(TracingModule, name, function)


_install_functions()
TracingModule.pi = math.pi  # type: ignore[attr-defined]
