"""Functions whose loops' lengths depend on the data: polynomials, incomplete gamma functions.

The formulas are those of `backend.arrays`, in float64 where the device has it, else in float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..._dtypes import DType, float32, float64
from ..arrays._chebyshev import LGAMMA_ONE, LGAMMA_TWO
from ..arrays._gamma import _BERNOULLI
from ..arrays._polynomials import _HERMITE_LIMIT, _TRIGONOMETRIC
from .dialect import suffix
from .elementwise import Elementwise, of_operands, plain
from .expression import Expr, call, cast
from .registry import Family, Kernel

polynomials = Family()

# name -> first polynomial, next one from `newer`, `older` and k, and the closed form inside (-1, 1)
_CHEBYSHEV = {
    "t": ("x", "cos_$T(n * angle)"),
    "u": ("2 * x", "sin_$T((n + 1) * angle) / sin_$T(angle)"),
    "v": ("2 * x - 1", "cos_$T((n + ($T)0.5) * angle) / cos_$T(angle / 2)"),
    "w": ("2 * x + 1", "sin_$T((n + ($T)0.5) * angle) / sin_$T(angle / 2)"),
}
_CLASSICAL = {
    "hermite_polynomial_h": ("2 * x", "2 * x * newer - 2 * k * older", _HERMITE_LIMIT),
    "hermite_polynomial_he": ("x", "x * newer - k * older", _HERMITE_LIMIT),
    "laguerre_polynomial_l": ("1 - x", "((2 * k + 1 - x) * newer - k * older) / (k + 1)", 0),
    "legendre_polynomial_p": ("x", "((2 * k + 1) * x * newer - k * older) / (k + 1)", 0),
}


def _recurrence(name: str, first: str, step: str, before: str = "") -> str:
    return f"""$T {name}_$T($T x, $T n) {{
    {before}
    n = trunc_$T(n);
    if (n == 0) return 1;
    if (!(n > 0) || isinf_$T(n)) return 0;
    $T older = 1, newer = {first};
    // A float would stop growing at 2^24, and NaN stays what it is.
    for (i64 k = 1; k < n && newer == newer; k++) {{
        const $T next = {step};
        older = newer;
        newer = next;
    }}
    return newer;
}}"""


def _texts() -> dict[str, str]:
    """Templates of all functions by name."""
    table: dict[str, str] = {}
    for kind, (first, closed) in _CHEBYSHEV.items():
        for prefix in ("", "shifted_"):
            name = f"{prefix}chebyshev_polynomial_{kind}"
            before = "x = 2 * x - 1;\n    " if prefix else ""
            before += f"""n = trunc_$T(n);
    if (abs_$T(x) < 1 && n > {_TRIGONOMETRIC}) {{
        const $T angle = acos_$T(x);
        return {closed};
    }}"""
            table[name] = _recurrence(name, first, "2 * x * newer - older", before)
    for name, (first, step, limit) in _CLASSICAL.items():
        before = f"if (trunc_$T(n) > {limit}) return ($T)NAN;" if limit else ""
        table[name] = _recurrence(name, first, step, before)
    return table | _incomplete()


def _number(value: float) -> str:
    return f"($T)({value!r})"


def _chebyshev_sum(name: str, series: tuple[float, ...]) -> str:
    terms = "\n    ".join(
        f"next = 2 * t * newer - older + {_number(c)}; older = newer; newer = next;"
        for c in series[:0:-1]
    )
    return f"""$T {name}_$T($T t) {{
    $T older = 0, newer = 0, next;
    {terms}
    return t * newer - older + {_number(series[0])};
}}"""


def _incomplete() -> dict[str, str]:
    """The regularised incomplete gamma functions and what they rest on."""
    nodes, weights = np.polynomial.legendre.leggauss(48)
    half = [((float(n) + 1) / 2, float(w) / 2) for n, w in zip(nodes, weights, strict=True)]
    rest = "0"
    for k in range(8, 0, -1):
        rest = f"({rest} * z + {_number(_BERNOULLI[k - 1] / (2 * k * (2 * k - 1)))})"
    quadrature = "\n    ".join(
        f"w = stretch * {_number(n)}; total += {_number(w)} * exp_$T(-gap * w "
        f"- x * (expm1_$T(sign * w) - sign * w));"
        for n, w in half
    )
    table = {
        "lgamma_one": _chebyshev_sum("lgamma_one", LGAMMA_ONE),
        "lgamma_two": _chebyshev_sum("lgamma_two", LGAMMA_TWO),
        "stirling": f"""$T stirling_$T($T x) {{
    const $T z = 1 / (x * x);
    return {rest} / x;
}}""",
        # Of arguments above 0.
        "lgamma_of": f"""$T lgamma_of_$T($T x) {{
    if (x < ($T)0.5) return x * lgamma_one_$T(2 * x) - log_$T(x);
    if (x < ($T)1.5) return (x - 1) * lgamma_one_$T(2 * (x - 1));
    if (x < 12) {{
        $T product = 1;
        while (x >= ($T)2.5) {{ x -= 1; product *= x; }}
        return (x - 2) * lgamma_two_$T(2 * (x - 2)) + log_$T(product);
    }}
    return (x - ($T)0.5) * (log_$T(x) - 1) + {_number(0.5 * math.log(2 * math.pi) - 0.5)}
        + stirling_$T(x);
}}""",
        # x**a exp(-x) / Gamma(a), without cancellation of large logarithms.
        "gamma_density": f"""$T gamma_density_$T($T a, $T x) {{
    if (a < 12) return exp_$T(a * log_$T(x) - x - lgamma_of_$T(a));
    const $T excess = (x - a) / a;
    const $T e = -a * (excess - log1p_$T(excess)) - stirling_$T(a);
    return sqrt_$T(a / {_number(2 * math.pi)}) * exp_$T(e);
}}""",
        # The smaller of P(a, x) and Q(a, x): by series, continued fraction or quadrature.
        "gamma_part": f"""$T gamma_part_$T($T a, $T x, bool upper) {{
    if (a >= 50) {{
        const $T gap = abs_$T(x - a), sign = x > a ? 1 : -1;
        const $T one = 11 / sqrt_$T(x), other = 40 / (gap > $tiny ? gap : $tiny);
        const $T stretch = one < other ? one : other;
        $T total = 0, w;
        {quadrature}
        return total * stretch * gamma_density_$T(a, x);
    }}
    if (!upper) {{
        $T term = 1 / a, total = term;
        for (i32 n = 1; n < 500 && term > $small * total; n++) {{
            term *= x / (a + n);
            total += term;
        }}
        return total * gamma_density_$T(a, x);
    }}
    $T b = x + 1 - a, c = $big, d = 1 / b, total = d;
    for (i32 n = 1; n < 500; n++) {{
        const $T weight = -n * (n - a);
        b += 2;
        d = 1 / (weight * d + b);
        c = b + weight / c;
        total *= c * d;
        if (abs_$T(c * d - 1) < $small) break;
    }}
    return total * gamma_density_$T(a, x);
}}""",
    }
    for name, upper in (("igamma", 0), ("igammac", 1)):
        table[name] = f"""$T {name}_$T($T a, $T x) {{
    const bool a_inf = isinf_$T(a), x_inf = isinf_$T(x);
    if (!(a >= 0) || !(x >= 0) || (a == 0 && x == 0) || (a_inf && x_inf)) return ($T)NAN;
    if (a == 0 || x_inf) return {1 - upper};
    if (x == 0 || a_inf) return {upper};
    const bool above = a < 50 ? x > a + 1 : x > a;
    const $T y = gamma_part_$T(a, x, above);
    return above == {upper} ? y : 1 - y;
}}"""
    return table


def _for(dtype: DType) -> dict[str, str]:
    """The functions of a type by full name."""
    s, wide = suffix(dtype), dtype is float64
    words = {
        "$tiny": "1e-300" if wide else "1e-30f", "$big": "1e300" if wide else "1e30f",
        "$small": "1e-17" if wide else "1e-8f", "$T": s,
    }  # fmt: skip
    made = {}
    for name, text in _texts().items():
        for word, meaning in words.items():
            text = text.replace(word, meaning)
        made[f"{name}_{s}"] = text
    return made


def _maker(name: str) -> Any:
    def make(device: Any, dtype: DType) -> Kernel:
        wide = float64 if device.double else float32

        def describe(
            dtypes: tuple[DType | None, ...], fixed: tuple[Any, ...], passed: tuple[DType, ...]
        ) -> tuple[tuple[Expr, DType], ...]:
            leaves, _ = of_operands(dtypes, passed)
            a, b = [cast(e, wide) for e in leaves if e is not None]
            return ((call(name, wide, a, b), dtype),)

        # What lies beyond the end could be an order that takes for ever.
        return plain(Elementwise(device, name, describe, more=_functions(wide), guarded=True))

    return make


_MADE: dict[DType, dict[str, str]] = {}


def _functions(dtype: DType) -> dict[str, str]:
    found = _MADE.get(dtype)
    if found is None:
        found = _MADE[dtype] = _for(dtype)
    return found


def _register() -> None:
    kinds = [f"{p}chebyshev_polynomial_{k}" for p in ("", "shifted_") for k in _CHEBYSHEV]
    for name in (*kinds, *_CLASSICAL, "igamma", "igammac"):
        polynomials.add(name, _maker(name), "floating reduced")


_register()
