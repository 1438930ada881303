"""The prelude: helper functions in the kernel language, of which a program gets those it uses.

A function is a template; `$T` is the type's name (and suffix), `$U` and `$I` the unsigned and
signed whole numbers of its width, `$R` the type of a complex number's parts. Functions refer to
each other by name and suffix, and are put in order by what they use.
"""

from __future__ import annotations

import re

from .dialect import Dialect
from .own_math import own_functions

FLOATS = ("f32", "f64")
WHOLE = ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")
COMPLEX = ("c64", "c128")
_UNSIGNED = {"f32": "u32", "f64": "u64", **{t: "u" + t[1:] for t in WHOLE}}
_SIGNED = {"f32": "i32", "f64": "i64", **{t: "i" + t[1:] for t in WHOLE}}
_PARTS = {"c64": "f32", "c128": "f64"}

# name -> language function of one argument, the same name where nothing is given
_LANGUAGE_UNARY = """exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh sqrt asin acos
    atan asinh acosh atanh erf floor ceil trunc rint""".split()
_LANGUAGE_BINARY = {"atan2": "atan2", "nextafter": "nextafter", "hypot": "hypot", "power": "pow"}

_FLOAT = {
    "isnan": "bool isnan_$T($T x) { return x != x; }",
    "isinf": "bool isinf_$T($T x) { return abs_$T(x) == ($T)INFINITY; }",
    "isfinite": "bool isfinite_$T($T x) { return abs_$T(x) < ($T)INFINITY; }",
    "signbit": "bool signbit_$T($T x) { return ($I)AS_$U(x) < 0; }",
    "copysign": """$T copysign_$T($T x, $T y) {
    const $U top = ($U)1 << (8 * sizeof($U) - 1);
    return AS_$T((AS_$U(x) & ~top) | (AS_$U(y) & top));
}""",
    "abs": "$T abs_$T($T x) { return AS_$T(AS_$U(x) & ~(($U)1 << (8 * sizeof($U) - 1))); }",
    "maximum": "$T maximum_$T($T x, $T y) { return (y > x) | (y != y) ? y : x; }",
    "minimum": "$T minimum_$T($T x, $T y) { return (y < x) | (y != y) ? y : x; }",
    "nan_max": "$T nan_max_$T($T x, $T y) { return (y > x) | (x != x) ? y : x; }",
    "nan_min": "$T nan_min_$T($T x, $T y) { return (y < x) | (x != x) ? y : x; }",
    "modulo": "$T modulo_$T($T x, $T y) { return fmod(x, y); }",
    "remainder": """$T remainder_$T($T x, $T y) {
    $T r = fmod(x, y);
    if (r == 0) return copysign_$T(0, y);
    return (r < 0) != (y < 0) ? r + y : r;
}""",
    "floor_divide": """$T floor_divide_$T($T x, $T y) {
    if (y == 0) return x / y;
    $T r = fmod(x, y);
    $T q = (x - r) / y;
    if (r != 0 && (r < 0) != (y < 0)) q -= 1;
    if (q == 0) return copysign_$T(0, x / y);
    $T whole = floor_$T(q);
    return q - whole > ($T)0.5 ? whole + 1 : whole;
}""",
    "logaddexp": """$T logaddexp_$T($T x, $T y) {
    if (x == y) return x + ($T)0.693147180559945309417;
    $T d = x - y;
    if (d != d) return d;
    return d > 0 ? x + log1p_$T(exp_$T(-d)) : y + log1p_$T(exp_$T(d));
}""",
    "logaddexp2": """$T logaddexp2_$T($T x, $T y) {
    if (x == y) return x + 1;
    $T d = x - y;
    if (d != d) return d;
    const $T e = ($T)1.442695040888963407360;
    return d > 0 ? x + e * log1p_$T(exp2_$T(-d)) : y + e * log1p_$T(exp2_$T(d));
}""",
}  # fmt: skip

# frexp by bits: denormals are scaled first.
_PARTS_OF_FLOAT = {
    "f32": """i32 exponent_f32(f32 x) {
    if (x == 0 || !isfinite_f32(x)) return 0;
    i32 low = abs_f32(x) < 0x1p-126f ? 24 : 0;
    return (i32)((AS_u32(low ? x * 0x1p24f : x) >> 23) & 255) - 126 - low;
}
FUNCTION f32 mantissa_f32(f32 x) {
    if (x == 0 || !isfinite_f32(x)) return x;
    u32 u = AS_u32(abs_f32(x) < 0x1p-126f ? x * 0x1p24f : x);
    return AS_f32((u & 0x807fffffu) | 0x3f000000u);
}""",
    "f64": """i32 exponent_f64(f64 x) {
    if (x == 0 || !isfinite_f64(x)) return 0;
    i32 low = abs_f64(x) < 0x1p-1022 ? 53 : 0;
    return (i32)((AS_u64(low ? x * 0x1p53 : x) >> 52) & 2047) - 1022 - low;
}
FUNCTION f64 mantissa_f64(f64 x) {
    if (x == 0 || !isfinite_f64(x)) return x;
    u64 u = AS_u64(abs_f64(x) < 0x1p-1022 ? x * 0x1p53 : x);
    return AS_f64((u & ~((u64)2047 << 52)) | ((u64)1022 << 52));
}""",
}

_WHOLE = {
    "maximum": "$T maximum_$T($T x, $T y) { return y > x ? y : x; }",
    "minimum": "$T minimum_$T($T x, $T y) { return y < x ? y : x; }",
    "nan_max": "$T nan_max_$T($T x, $T y) { return y > x ? y : x; }",
    "nan_min": "$T nan_min_$T($T x, $T y) { return y < x ? y : x; }",
    "abs": "$T abs_$T($T x) { return x < 0 ? ($T)(($U)0 - ($U)x) : x; }",
    # A divisor of zero is reported apart; of -1 it would overflow, which traps on some processors.
    "quotient": """$T quotient_$T($T x, $T y) {
    return y == 0 ? 0 : y == ($T)-1 && ($T)-1 < 0 ? ($T)(($U)0 - ($U)x) : x / y;
}""",
    "modulo": """$T modulo_$T($T x, $T y) {
    return y == 0 || (y == ($T)-1 && ($T)-1 < 0) ? 0 : x % y;
}""",
    "remainder": """$T remainder_$T($T x, $T y) {
    $T r = modulo_$T(x, y);
    return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}""",
    "floor_divide": """$T floor_divide_$T($T x, $T y) {
    $T q = quotient_$T(x, y);
    return modulo_$T(x, y) != 0 && (x < 0) != (y < 0) ? q - 1 : q;
}""",
    "power": """$T power_$T($T x, $T y) {
    $U out = 1, base = ($U)x;
    $U left = ($U)y;
    while (left) {
        if (left & 1) out *= base;
        base *= base;
        left >>= 1;
    }
    return ($T)out;
}""",
    "gcd": """$T gcd_$T($T x, $T y) {
    $U a = ($U)abs_$T(x), b = ($U)abs_$T(y);
    while (b) { $U r = a % b; a = b; b = r; }
    return ($T)a;
}""",
    "lcm": """$T lcm_$T($T x, $T y) {
    $T g = gcd_$T(x, y);
    return g == 0 ? 0 : abs_$T(($T)(($U)(x / g) * ($U)y));
}""",
    # A shift by the width or more, or by a negative count, shifts everything out.
    "shift_left": """$T shift_left_$T($T x, $T y) {
    return y < 0 || y >= ($T)(8 * sizeof($T)) ? 0 : ($T)(($U)x << y);
}""",
    "shift_right": """$T shift_right_$T($T x, $T y) {
    return y < 0 || y >= ($T)(8 * sizeof($T)) ? (x < 0 ? ($T)-1 : 0) : ($T)(x >> y);
}""",
    "signbit": "bool signbit_$T($T x) { return x < 0; }",
}  # fmt: skip

_COMPLEX = {
    "real": "$R real_$T($T x) { return x.x; }",
    "imag": "$R imag_$T($T x) { return x.y; }",
    "conj": "$T conj_$T($T x) { return MAKE_$T(x.x, -x.y); }",
    "neg": "$T neg_$T($T x) { return MAKE_$T(-x.x, -x.y); }",
    "abs": "$R abs_$T($T x) { return hypot_$R(x.x, x.y); }",
    "add": "$T add_$T($T x, $T y) { return MAKE_$T(x.x + y.x, x.y + y.y); }",
    "sub": "$T sub_$T($T x, $T y) { return MAKE_$T(x.x - y.x, x.y - y.y); }",
    "mul": """$T mul_$T($T x, $T y) {
    return MAKE_$T(x.x * y.x - x.y * y.y, x.x * y.y + x.y * y.x);
}""",
    # Smith (1962): the larger part of the divisor is taken out.
    "div": """$T div_$T($T x, $T y) {
    if (abs_$R(y.x) >= abs_$R(y.y)) {
        if (y.x == 0 && y.y == 0) return MAKE_$T(x.x / abs_$R(y.x), x.y / abs_$R(y.x));
        $R r = y.y / y.x, s = 1 / (y.x + y.y * r);
        return MAKE_$T((x.x + x.y * r) * s, (x.y - x.x * r) * s);
    }
    $R r = y.x / y.y, s = 1 / (y.y + y.x * r);
    return MAKE_$T((x.x * r + x.y) * s, (x.y * r - x.x) * s);
}""",
    "eq": "bool eq_$T($T x, $T y) { return x.x == y.x && x.y == y.y; }",
    "isnan": "bool isnan_$T($T x) { return x.x != x.x || x.y != x.y; }",
    "isinf": "bool isinf_$T($T x) { return isinf_$R(x.x) || isinf_$R(x.y); }",
    "isfinite": "bool isfinite_$T($T x) { return isfinite_$R(x.x) && isfinite_$R(x.y); }",
    "exp": """$T exp_$T($T x) {
    $R e = exp_$R(x.x);
    if (x.y == 0) return MAKE_$T(e, x.y);
    if (x.x == -($R)INFINITY && !isfinite_$R(x.y)) return MAKE_$T(0, 0);
    return MAKE_$T(e * cos_$R(x.y), e * sin_$R(x.y));
}""",
    "exp2": """$T exp2_$T($T x) {
    const $R l = ($R)0.693147180559945309417;
    return exp_$T(MAKE_$T(x.x * l, x.y * l));
}""",
    "expm1": """$T expm1_$T($T x) {
    $R s = sin_$R(x.y / 2), e = expm1_$R(x.x);
    return MAKE_$T(e - 2 * s * s * (e + 1), (e + 1) * sin_$R(x.y));
}""",
    # log|x| by log1p where |x| is near 1.
    "log": """$T log_$T($T x) {
    $R a = abs_$R(x.x), b = abs_$R(x.y);
    $R big = a > b ? a : b, small = a > b ? b : a;
    $R size = big > ($R)0.5 && big < 2
        ? log1p_$R((big - 1) * (big + 1) + small * small) / 2
        : log_$R(hypot_$R(x.x, x.y));
    return MAKE_$T(size, atan2(x.y, x.x));
}""",
    "log2": """$T log2_$T($T x) {
    const $R l = ($R)1.442695040888963407360;
    $T y = log_$T(x);
    return MAKE_$T(y.x * l, y.y * l);
}""",
    "log10": """$T log10_$T($T x) {
    const $R l = ($R)0.434294481903251827651;
    $T y = log_$T(x);
    return MAKE_$T(y.x * l, y.y * l);
}""",
    "log1p": """$T log1p_$T($T x) {
    $R size = x.x * (x.x + 2) + x.y * x.y;
    if (abs_$R(size) < ($R)0.5) return MAKE_$T(log1p_$R(size) / 2, atan2(x.y, x.x + 1));
    return log_$T(MAKE_$T(x.x + 1, x.y));
}""",
    "sqrt": """$T sqrt_$T($T x) {
    if (x.x == 0 && x.y == 0) return MAKE_$T(0, x.y);
    if (isinf_$R(x.y)) return MAKE_$T(($R)INFINITY, x.y);
    if (isinf_$R(x.x)) {
        $R other = x.y - x.y;
        if (x.x > 0) return MAKE_$T(x.x, other == 0 ? copysign_$R(0, x.y) : other);
        return MAKE_$T(abs_$R(other), copysign_$R(x.x, x.y));
    }
    $R r = sqrt_$R((abs_$R(x.x) / 8 + hypot_$R(x.x / 8, x.y / 8))) * 2;
    $R s = abs_$R(x.y) / (2 * r);
    return x.x >= 0 ? MAKE_$T(r, copysign_$R(s, x.y)) : MAKE_$T(s, copysign_$R(r, x.y));
}""",
    "sin": """$T sin_$T($T x) {
    return MAKE_$T(sin_$R(x.x) * cosh_$R(x.y), cos_$R(x.x) * sinh_$R(x.y));
}""",
    "cos": """$T cos_$T($T x) {
    return MAKE_$T(cos_$R(x.x) * cosh_$R(x.y), -sin_$R(x.x) * sinh_$R(x.y));
}""",
    "sinh": """$T sinh_$T($T x) {
    return MAKE_$T(sinh_$R(x.x) * cos_$R(x.y), cosh_$R(x.x) * sin_$R(x.y));
}""",
    "cosh": """$T cosh_$T($T x) {
    return MAKE_$T(cosh_$R(x.x) * cos_$R(x.y), sinh_$R(x.x) * sin_$R(x.y));
}""",
    # Kahan (1987), Branch cuts for complex elementary functions.
    "tanh": """$T tanh_$T($T x) {
    if (abs_$R(x.x) > 20) {
        $R e = exp_$R(-abs_$R(x.x));
        return MAKE_$T(copysign_$R(1, x.x), 4 * sin_$R(x.y) * cos_$R(x.y) * e * e);
    }
    $R t = tan_$R(x.y), b = 1 + t * t, s = sinh_$R(x.x), r = sqrt_$R(1 + s * s);
    if (isinf_$R(t)) return MAKE_$T(r / s, 1 / t);
    return MAKE_$T(b * r * s / (1 + b * s * s), t / (1 + b * s * s));
}""",
    "tan": """$T tan_$T($T x) {
    $T t = tanh_$T(MAKE_$T(-x.y, x.x));
    return MAKE_$T(t.y, -t.x);
}""",
    "asinh": """$T asinh_$T($T x) {
    $T a = sqrt_$T(MAKE_$T(1 - x.y, x.x)), b = sqrt_$T(MAKE_$T(1 + x.y, -x.x));
    return MAKE_$T(asinh_$R(a.x * b.y * -1 + b.x * a.y), atan2(x.y, a.x * b.x - a.y * b.y));
}""",
    "asin": """$T asin_$T($T x) {
    $T t = asinh_$T(MAKE_$T(-x.y, x.x));
    return MAKE_$T(t.y, -t.x);
}""",
    "acos": """$T acos_$T($T x) {
    $T a = sqrt_$T(MAKE_$T(1 - x.x, -x.y)), b = sqrt_$T(MAKE_$T(1 + x.x, x.y));
    return MAKE_$T(2 * atan2(a.x, b.x), asinh_$R(b.x * a.y - b.y * a.x));
}""",
    "acosh": """$T acosh_$T($T x) {
    $T a = sqrt_$T(MAKE_$T(x.x - 1, x.y)), b = sqrt_$T(MAKE_$T(x.x + 1, x.y));
    return MAKE_$T(asinh_$R(a.x * b.x + a.y * b.y), 2 * atan2(a.y, b.x));
}""",
    "atanh": """$T atanh_$T($T x) {
    $R a = abs_$R(x.x), y2 = x.y * x.y;
    $R top = log1p_$R(4 * a / ((1 - a) * (1 - a) + y2)) / 4;
    return MAKE_$T(copysign_$R(top, x.x), atan2(2 * x.y, (1 - x.x) * (1 + x.x) - y2) / 2);
}""",
    "atan": """$T atan_$T($T x) {
    $T t = atanh_$T(MAKE_$T(-x.y, x.x));
    return MAKE_$T(t.y, -t.x);
}""",
    "power": """$T power_$T($T x, $T y) {
    if (y.x == 0 && y.y == 0) return MAKE_$T(1, 0);
    if (x.x == 0 && x.y == 0) {
        if (y.x > 0 && y.y == 0) return MAKE_$T(0, 0);
        return MAKE_$T(NAN, NAN);
    }
    if (y.y == 0 && y.x == trunc_$R(y.x) && abs_$R(y.x) <= 64) {
        i32 left = (i32)abs_$R(y.x);
        $T out = MAKE_$T(1, 0), base = x;
        while (left) {
            if (left & 1) out = mul_$T(out, base);
            base = mul_$T(base, base);
            left >>= 1;
        }
        return y.x < 0 ? div_$T(MAKE_$T(1, 0), out) : out;
    }
    return exp_$T(mul_$T(y, log_$T(x)));
}""",
}  # fmt: skip

_STORAGE = {
    # Values first, then the choice: what is computed in a choice is a branch, and not vectorised.
    "f16_to_f32": """f32 f16_to_f32(u16 x) {
    u32 h = x, m = (h & 0x7fffu) << 13, e = h & 0x7c00u;
    u32 small = AS_u32(AS_f32(m + (113u << 23)) - AS_f32(113u << 23));
    u32 special = m | 0x7f800000u, u = m + (112u << 23);
    u = e == 0 ? small : u;
    u = e == 0x7c00u ? special : u;
    return AS_f32(u | ((h & 0x8000u) << 16));
}""",
    "f32_to_f16": """u16 f32_to_f16(f32 x) {
    u32 u = AS_u32(x), s = (u >> 16) & 0x8000u;
    u &= 0x7fffffffu;
    u32 small = AS_u32(AS_f32(u) + 0.5f) - 0x3f000000u;
    u32 h = (u - (112u << 23) + 0xfffu + ((u >> 13) & 1u)) >> 13;
    h = u < 0x38800000u ? small : h;
    h = u >= 0x47800000u ? 0x7c00u : h;
    h = u > 0x7f800000u ? 0x7e00u : h;
    return (u16)(h | s);
}""",
    "bf16_to_f32": "f32 bf16_to_f32(u16 x) { return AS_f32((u32)x << 16); }",
    "f32_to_bf16": """u16 f32_to_bf16(f32 x) {
    u32 u = AS_u32(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (u16)((u >> 16) | 0x40u);
    return (u16)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}""",
    # A float beyond the range of a whole number has no defined conversion; these are NumPy's
    # on most machines.
    "to_u64_f32": "u64 to_u64_f32(f32 x) { return x < 0 ? (u64)(i64)x : (u64)x; }",
    "to_u64_f64": "u64 to_u64_f64(f64 x) { return x < 0 ? (u64)(i64)x : (u64)x; }",
}


def _definitions(dialect: Dialect) -> dict[str, str]:
    """Every function by its full name, such as exp_f32, as text without what stands before."""
    made: dict[str, str] = dict(_STORAGE)

    def add(name: str, type_: str, template: str) -> None:
        words = {
            "$T": type_, "$U": _UNSIGNED.get(type_, ""), "$I": _SIGNED.get(type_, ""),
            "$R": _PARTS.get(type_, ""),
        }  # fmt: skip
        for word, meaning in words.items():
            template = template.replace(word, meaning)
        made[f"{name}_{type_}"] = template

    for type_ in FLOATS:
        for name in _LANGUAGE_UNARY:
            theirs = dialect.builtins.get((name, type_), name)
            add(name, type_, f"$T {name}_$T($T x) {{ return {theirs}(x); }}")
        for name, function in _LANGUAGE_BINARY.items():
            theirs = dialect.builtins.get((name, type_), function)
            add(name, type_, f"$T {name}_$T($T x, $T y) {{ return {theirs}(x, y); }}")
        for name, template in _FLOAT.items():
            add(name, type_, template)
        made[f"mantissa_{type_}"] = made[f"exponent_{type_}"] = _PARTS_OF_FLOAT[type_]
    for type_ in WHOLE:
        for name, template in _WHOLE.items():
            add(name, type_, template)
    for type_ in COMPLEX:
        for name, template in _COMPLEX.items():
            add(name, type_, template)
    if dialect.own_math:
        made |= own_functions(dialect.contract)
    return made


_TABLES: dict[int, dict[str, str]] = {}
_NAME = re.compile(r"\b[a-z0-9_]+_(?:[iuf]\d+|bf16|c\d+)\b")


def helpers(body: str, dialect: Dialect, more: dict[str, str] | None = None) -> str:
    """The functions of the prelude that a text uses, in the order of their use.

    Args:
        body: The kernels' text.
        dialect: The language.
        more: Further functions by full name, of a family of kernels.
    """
    table = _TABLES.get(id(dialect))
    if table is None:
        table = _TABLES[id(dialect)] = _definitions(dialect)
    if more:
        table = {**table, **more}
    written: list[str] = []
    seen: set[str] = set()

    def visit(text: str) -> None:
        for name in _NAME.findall(text):
            if name in seen or name not in table:
                continue
            seen.add(name)
            definition = table[name]
            visit(definition)
            line = f"{dialect.function} {definition.replace('FUNCTION', dialect.function)}"
            if line not in written:
                written.append(line)

    visit(body)
    return "\n".join(written)
