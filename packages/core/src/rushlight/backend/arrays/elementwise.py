"""Elementwise arithmetic and functions: mostly the module's own ufuncs, by torch's names.

A ufunc stands in the table itself, because a Python function around it would cost a quarter of
its call. NumPy's loops for float16 and bfloat16 compute in float32 and round once, so a single
ufunc needs no special version; what takes several steps is widened.
"""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from ._common import Array, ArrayModule, Constant, Entry, Kernel, Kernels, by_float, with_reduced
from ._strided_out import strided_out

# torch's name -> the array module's, where they differ.
SAME_FLOAT = """exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh sqrt""".split()
ARC = "sin cos tan sinh cosh tanh".split()
COMPARISONS = {
    "eq": "equal", "ne": "not_equal", "lt": "less",
    "le": "less_equal", "gt": "greater", "ge": "greater_equal",
}  # fmt: skip
LOGICAL = ("logical_and", "logical_or", "logical_xor", "logical_not")
BITWISE = {
    "bitwise_and": "bitwise_and", "bitwise_or": "bitwise_or", "bitwise_xor": "bitwise_xor",
    "bitwise_not": "invert",
}  # fmt: skip
ARITHMETIC = {
    "add": "add", "mul": "multiply", "maximum": "maximum", "minimum": "minimum",
    "fmax": "fmax", "fmin": "fmin",
}  # fmt: skip
# Complex numbers have no order; NumPy's would be that of their parts.
ORDERED = frozenset(("lt", "le", "gt", "ge", "maximum", "minimum", "fmax", "fmin"))
FLOAT_BINARY = {
    "atan2": "arctan2", "hypot": "hypot", "copysign": "copysign", "nextafter": "nextafter",
    "logaddexp": "logaddexp", "logaddexp2": "logaddexp2",
}  # fmt: skip

# Elementwise kernels that are ufuncs for every dtype they take, or end in one, and so write into
# `out=`.
ACCEPTS_OUT: frozenset[str] = frozenset(
    (*SAME_FLOAT, *("a" + name for name in ARC), *COMPARISONS, *LOGICAL, *BITWISE)
    + (*ARITHMETIC, *FLOAT_BINARY, "sub", "div", "neg", "square", "isnan", "isinf", "isfinite")
    + ("abs", "relu", "reciprocal", "floor", "ceil", "trunc")
    + ("clamp", "lerp_by", "addcmul", "addcdiv")
)


def elementwise_kernels(xp: ArrayModule) -> Kernels:
    """Kernels of unary, binary and ternary elementwise operators, special functions aside."""
    return {
        **_ufuncs(xp),
        **_rounding(xp),
        **_unary(xp),
        **_predicates(xp),
        **_division(xp),
        **_integers(xp),
        **_binary(xp),
        **_ternary(xp),
    }


def _ufuncs(xp: ArrayModule) -> Kernels:
    inexact = {name: getattr(xp, name) for name in SAME_FLOAT}
    inexact |= {"a" + name: getattr(xp, "arc" + name) for name in ARC}
    inexact |= {"div": xp.true_divide}
    table: Kernels = {
        name: {"floating": ufunc, "reduced": ufunc, "complex": ufunc}
        for name, ufunc in inexact.items()
    }
    for name, theirs in FLOAT_BINARY.items():
        ufunc = getattr(xp, theirs)
        table[name] = {"floating": ufunc, "reduced": ufunc}
    for name, theirs in (ARITHMETIC | COMPARISONS).items():
        ufunc = getattr(xp, theirs)
        table[name] = _all_but_complex(ufunc) if name in ORDERED else ufunc
    for name in LOGICAL:
        table[name] = getattr(xp, name)
    for name, theirs in BITWISE.items():
        table[name] = {"bool": getattr(xp, theirs), "integer": getattr(xp, theirs)}
    copy = _identity(xp)
    table["sub"] = _all_but_bool(xp.subtract)
    table["neg"] = _all_but_bool(strided_out(xp, "negative"))
    table["square"] = _all_but_bool(xp.square)
    table["abs"] = {"default": xp.absolute, "bool": copy}
    table["conj"] = {"default": copy, "complex": xp.conjugate}
    return table


def _identity(xp: ArrayModule) -> Kernel:
    """A copy that takes `out=` as ufuncs do, for dtypes on which a function changes nothing."""
    copy = xp.ndarray.copy

    def identity(x: Array, out: Array | None = None) -> Array:
        if out is None:
            return copy(x)
        out[...] = x
        return out

    return identity


def _all_but_bool(kernel: Kernel) -> dict[str, Kernel]:
    return dict.fromkeys(("integer", "floating", "reduced", "complex"), kernel)


def _all_but_complex(kernel: Kernel) -> dict[str, Kernel]:
    return dict.fromkeys(("bool", "integer", "floating", "reduced"), kernel)


def _rounding(xp: ArrayModule) -> Kernels:
    copy = _identity(xp)

    def round_(x: Array, *, decimals: int = 0) -> Array:
        if decimals == 0:
            return xp.rint(x)
        scale = 10.0 ** abs(decimals)
        if decimals > 0:
            return xp.rint(x * scale) / scale
        return xp.rint(x / scale) * scale

    def round_integers(x: Array, *, decimals: int = 0) -> Array:
        if decimals >= 0:
            return x.copy()
        # Half to even without leaving the integers, which float64 would not hold exactly.
        scale = 10**-decimals
        if scale > np.iinfo(x.dtype).max:
            return xp.zeros_like(x)
        low = xp.floor_divide(x, scale)
        twice = 2 * xp.remainder(x, scale).astype(np.float64)
        up = (twice > scale) | ((twice == scale) & ((low & 1) == 1))
        return (low + up.astype(x.dtype)) * x.dtype.type(scale)

    def frac(x: Array) -> Array:
        return x - xp.trunc(x)

    table: Kernels = {}
    for name in ("floor", "ceil", "trunc"):
        ufunc = getattr(xp, name)
        table[name] = {"integer": copy, "floating": ufunc, "reduced": ufunc}
    table["round"] = by_float(round_, integer=round_integers)
    table["frac"] = {"floating": frac, "reduced": frac}
    return table


def _unary(xp: ArrayModule) -> Kernels:
    zero, one = Constant(xp, 0), Constant(xp, 1)

    def sign(x: Array) -> Array:
        # Not xp.sign: torch's sign of NaN is 0.
        return xp.greater(x, 0).astype(x.dtype) - xp.less(x, 0).astype(x.dtype)

    def complex_sign(x: Array) -> Array:
        size = xp.absolute(x)
        return xp.where(size == 0, x.dtype.type(0), x / xp.where(size == 0, 1, size))

    maximum = xp.maximum

    def relu(x: Array, out: Array | None = None) -> Array:
        # In this order the result of -0 is -0, as in torch.
        return maximum(zero[x.dtype], x, out=out)

    def rsqrt(x: Array) -> Array:
        return xp.reciprocal(xp.sqrt(x))

    def sigmoid(x: Array) -> Array:
        # exp overflows to infinity where the result is zero, so no case is told apart.
        out = xp.asarray(xp.negative(x))  # of a 0-d array NumPy makes a scalar
        xp.exp(out, out)
        xp.add(out, one[x.dtype], out)
        return xp.reciprocal(out, out)

    def sinc(x: Array) -> Array:
        scaled = x * math.pi
        at_zero = x == 0
        return xp.where(at_zero, x.dtype.type(1), xp.sin(scaled) / xp.where(at_zero, 1, scaled))

    def logit(x: Array, *, eps: float | None = None) -> Array:
        if eps is not None:
            x = xp.minimum(xp.maximum(x, eps), 1 - eps)
        return xp.log(x / (1 - x))

    def entr(x: Array) -> Array:
        inside = 0 - x * xp.log(xp.where(x > 0, x, 1))  # at 0 it is 0, not -0
        return xp.where(x < 0, x.dtype.type(-math.inf), inside)

    def angle(x: Array) -> Array:
        half_turn = xp.where(x < 0, x.dtype.type(math.pi), x.dtype.type(0))
        return xp.where(xp.isnan(x), x, half_turn)

    def complex_angle(x: Array) -> Array:
        return xp.arctan2(x.imag, x.real)

    def frexp(x: Array) -> tuple[Array, Array]:
        mantissa, exponent = xp.frexp(x)
        return mantissa, exponent.astype(np.int32, copy=False)

    reciprocal, copy = xp.reciprocal, xp.ndarray.copy
    signs = {"bool": copy, "integer": sign, "floating": sign, "reduced": sign}
    return {
        "sign": signs,
        "sgn": {**signs, "complex": complex_sign},
        "relu": _all_but_bool(relu),
        "reciprocal": {"floating": reciprocal, "reduced": reciprocal, "complex": reciprocal},
        "rsqrt": by_float(rsqrt, complex=rsqrt),
        "sigmoid": by_float(sigmoid, complex=sigmoid),
        "sinc": by_float(sinc, complex=sinc),
        "logit": by_float(logit),
        "entr": by_float(entr),
        "frexp": by_float(frexp),
        "angle": {"floating": angle, "reduced": angle, "complex": complex_angle},
        "nan_to_num": _nan_to_num(xp),
    }


def _nan_to_num(xp: ArrayModule) -> Entry:
    def nan_to_num(
        x: Array,
        *,
        nan: float | None = None,
        posinf: float | None = None,
        neginf: float | None = None,
    ) -> Array:
        limits: Any = ml_dtypes.finfo(x.dtype)  # type: ignore[no-untyped-call]
        high = limits.max if posinf is None else posinf
        low = limits.min if neginf is None else neginf
        kind = x.dtype.type
        out = xp.where(xp.isnan(x), kind(0.0 if nan is None else nan), x)
        out = xp.where(x == math.inf, kind(high), out)
        return xp.where(x == -math.inf, kind(low), out)

    def complex_nan_to_num(x: Array, **replacements: Any) -> Array:
        out = x.copy()
        out.real = nan_to_num(x.real, **replacements)
        out.imag = nan_to_num(x.imag, **replacements)
        return out

    def unchanged(x: Array, **replacements: Any) -> Array:
        return x.copy()

    return {
        "default": unchanged,
        "floating": nan_to_num,
        "reduced": nan_to_num,
        "complex": complex_nan_to_num,
    }


def _predicates(xp: ArrayModule) -> Kernels:
    def never(x: Array) -> Array:
        return xp.zeros(x.shape, np.bool_)

    def always(x: Array) -> Array:
        return xp.ones(x.shape, np.bool_)

    def is_positive_infinity(x: Array) -> Array:
        return xp.equal(x, math.inf)

    def is_negative_infinity(x: Array) -> Array:
        return xp.equal(x, -math.inf)

    def below_zero(x: Array) -> Array:
        return xp.less(x, 0)

    def exact(whole: Kernel, fractional: Kernel) -> dict[str, Kernel]:
        return {"default": fractional, "bool": whole, "integer": whole}

    return {
        "isnan": _with_out(xp, strided_out(xp, "isnan"), False),
        "isinf": _with_out(xp, strided_out(xp, "isinf"), False),
        "isfinite": _with_out(xp, strided_out(xp, "isfinite"), True),
        "isposinf": exact(never, is_positive_infinity),
        "isneginf": exact(never, is_negative_infinity),
        "signbit": {
            "bool": never,
            "integer": below_zero,
            "floating": xp.signbit,
            "reduced": xp.signbit,
        },
    }


def _with_out(xp: ArrayModule, ufunc: Kernel, whole: bool) -> dict[str, Kernel]:
    """A predicate whose answer for all whole numbers is the constant `whole`."""

    def constant(x: Array, out: Array | None = None) -> Array:
        if out is None:
            return xp.full(x.shape, whole, np.bool_)
        out[...] = whole
        return out

    return {"default": ufunc, "bool": constant, "integer": constant}


def _division(xp: ArrayModule) -> Kernels:
    def check_divisor(y: Array) -> None:
        if not y.all():
            raise RuntimeError("ZeroDivisionError")

    def checked(ufunc: Kernel) -> Kernel:
        def divide(x: Array, y: Array) -> Array:
            check_divisor(y)
            return ufunc(x, y)

        return divide

    def integer_div_trunc(x: Array, y: Array) -> Array:
        check_divisor(y)
        return xp.floor_divide(x - xp.fmod(x, y), y)  # exact, so the floor does nothing

    def div_trunc(x: Array, y: Array) -> Array:
        return xp.trunc(xp.true_divide(x, y))

    table: Kernels = {
        name: {"integer": checked(ufunc), **by_float(ufunc)}
        for name, ufunc in (
            ("floor_divide", xp.floor_divide),
            ("fmod", xp.fmod),
            ("remainder", xp.remainder),
        )
    }
    table["div_trunc"] = {"integer": integer_div_trunc, **by_float(div_trunc)}
    return table


def _integers(xp: ArrayModule) -> Kernels:
    def pow_(x: Array, y: Array) -> Array:
        if y.dtype.kind == "u" or not (y < 0).any():
            return xp.power(x, y)
        # Of the reciprocals only those of 1 and -1 are whole; the others truncate to zero.
        odd = (y & 1) == 1
        unit = xp.where(x == 1, 1, xp.where(x == -1, xp.where(odd, -1, 1), 0))
        return xp.where(y < 0, unit.astype(x.dtype), xp.power(x, xp.where(y < 0, 0, y)))

    def boolean_pow(x: Array, y: Array) -> Array:
        return x | ~y

    def shift(ufunc: Kernel, fill: Kernel) -> Kernel:
        # NumPy defines a shift by the width or more, or by a negative count, as torch does; on
        # other modules it is what the hardware makes of it.
        if isinstance(ufunc, np.ufunc):
            return ufunc

        def guarded(x: Array, y: Array) -> Array:
            width = 8 * x.dtype.itemsize
            fits = (y >= 0) & (y < width)
            return xp.where(fits, ufunc(x, xp.where(fits, y, 0)), fill(x))

        return guarded

    def zeros(x: Array) -> Array:
        return xp.zeros((), x.dtype)

    def sign_fill(x: Array) -> Array:
        return -(x < 0).astype(x.dtype)

    return {
        "pow": {
            "default": xp.power,
            "bool": boolean_pow,
            "integer": pow_,
            "reduced": by_float(xp.power)["reduced"],
        },
        "bitwise_left_shift": {"integer": shift(xp.left_shift, zeros)},
        "bitwise_right_shift": {"integer": shift(xp.right_shift, sign_fill)},
        "gcd": {"integer": xp.gcd},
        "lcm": {"integer": xp.lcm},
    }


def _binary(xp: ArrayModule) -> Kernels:
    def times_log(log: Kernel) -> Kernel:
        def kernel(x: Array, y: Array) -> Array:
            # A zero factor wins over an infinite logarithm, but not over NaN.
            zero = (x == 0) & ~xp.isnan(y)
            return xp.where(zero, x.dtype.type(0), x * log(y))

        return kernel

    def heaviside(x: Array, values: Array) -> Array:
        return xp.where(x == 0, values, (x > 0).astype(x.dtype))  # torch: of NaN it is 0

    def ldexp(x: Array, y: Array) -> Array:
        return x * xp.exp2(y)

    def relu_backward(g: Array, y: Array) -> Array:
        return xp.where(xp.greater(y, zero[y.dtype]), g, zero[g.dtype])

    def sigmoid_backward(g: Array, y: Array) -> Array:
        out = xp.subtract(one[y.dtype], y)
        out *= y
        return xp.multiply(out, g)

    def tanh_backward(g: Array, y: Array) -> Array:
        return xp.multiply(g, xp.subtract(one[y.dtype], xp.square(y)))

    zero, one = Constant(xp, 0), Constant(xp, 1)
    return {
        "relu_backward": relu_backward,
        "sigmoid_backward": by_float(sigmoid_backward, complex=sigmoid_backward),
        "tanh_backward": by_float(tanh_backward, complex=tanh_backward),
        "xlogy": by_float(times_log(xp.log)),
        "xlog1py": by_float(times_log(xp.log1p)),
        "heaviside": heaviside,
        "ldexp": by_float(ldexp, complex=ldexp),
    }


def _ternary(xp: ArrayModule) -> Kernels:
    def clamp(
        x: Array, low: Array | None = None, high: Array | None = None, *, out: Array | None = None
    ) -> Array:
        if low is None:
            return xp.minimum(x, high, out=out)
        if high is None:
            return xp.maximum(x, low, out=out)
        return xp.minimum(xp.maximum(x, low), high, out=out)

    def lerp(x: Array, y: Array, weight: Array) -> Array:
        # From the nearer end, so that both weights 0 and 1 are exact.
        near = xp.absolute(weight) < 0.5
        return xp.where(near, x, y) + xp.where(near, weight, weight - 1) * (y - x)

    def lerp_by(x: Array, y: Array, *, weight: Any, out: Array | None = None) -> Array:
        step = xp.subtract(y, x)
        if abs(weight) < 0.5:
            return xp.add(x, step * weight, out=out)
        return xp.add(y, step * (weight - 1), out=out)

    def addcmul(x: Array, a: Array, b: Array, *, value: Any = 1, out: Array | None = None) -> Array:
        product = xp.multiply(a, b)
        return xp.add(x, product if value == 1 else product * value, out=out)

    def addcdiv(x: Array, a: Array, b: Array, *, value: Any = 1, out: Array | None = None) -> Array:
        quotient = xp.true_divide(a, b)
        return xp.add(x, quotient if value == 1 else quotient * value, out=out)

    return {
        "where": xp.where,
        "clamp": _all_but_complex(clamp),
        "lerp": by_float(lerp, complex=lerp),
        "lerp_by": by_float(lerp_by, complex=lerp_by),
        "addcmul": with_reduced(addcmul),
        "addcdiv": by_float(addcdiv, complex=addcdiv),
    }
