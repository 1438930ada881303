"""Own float64 functions, for languages whose built-in ones are calls that do not vectorise.

As those of float32 in `own_math`: no branches, no tables, no calls. Whole numbers are taken from
floats by adding 1.5 * 2^52, for conversions between the two do not vectorise everywhere. Series
were fitted for this library at Chebyshev's nodes in 40 digits; results are within 2 ulp, those of
`near_power` near the ends of the range within 8. Special functions of float32 are computed with
these too, so what is slow here is slow there.
"""

from __future__ import annotations

OWN_DOUBLE = {
    "exp_rest": """f64 exp_rest_f64(f64 x, f64 n) {
    return x - n * 0.693145751953125 - n * 1.42860682030941723212e-6;
}""",
    "exp_series": """f64 exp_series_f64(f64 r) {
    f64 p = 2.0914686968086876e-09;
    p = p * r + 2.5105217004720745e-08; p = p * r + 2.75572736431103e-07;
    p = p * r + 2.7557255400206422e-06; p = p * r + 2.4801587325547743e-05;
    p = p * r + 0.00019841269874820627; p = p * r + 0.0013888888888883748;
    p = p * r + 0.008333333333326136; p = p * r + 0.04166666666666667;
    p = p * r + 0.1666666666666667; p = p * r + 0.5;
    return p * r * r + r;
}""",
    # 2^n of a whole number from -1022 to 1023, and x * 2^n in two steps.
    "two_to": """f64 two_to_f64(f64 n) {
    return AS_f64((AS_u64(n + 0x1.8p52) << 52) + 0x3ff0000000000000ul);
}""",
    "scaled": """f64 scaled_f64(f64 x, f64 n) {
    f64 half_ = rint_f64(n * 0.5);
    return x * two_to_f64(half_) * two_to_f64(n - half_);
}""",
    "exp": """f64 exp_f64(f64 x) {
    x = x > 710.0 ? 710.0 : x < -746.0 ? -746.0 : x;
    f64 n = rint_f64(x * 1.4426950408889634);
    return scaled_f64(exp_series_f64(exp_rest_f64(x, n)) + 1.0, n);
}""",
    "exp2": """f64 exp2_f64(f64 x) {
    x = x > 1025.0 ? 1025.0 : x < -1077.0 ? -1077.0 : x;
    f64 n = rint_f64(x);
    return scaled_f64(exp_series_f64((x - n) * 0.6931471805599453) + 1.0, n);
}""",
    # Half of it first, which does not overflow before the result does.
    "expm1": """f64 expm1_f64(f64 x) {
    f64 c = x > 710.0 ? 710.0 : x < -60.0 ? -60.0 : x;
    f64 n = rint_f64(c * 1.4426950408889634), s = two_to_f64(n - 1.0);
    f64 y = exp_series_f64(exp_rest_f64(c, n)) * s + (s - 0.5);
    return abs_f64(x) < 1e-17 ? x : y + y;
}""",
    # x = 2^exponent * (1 + rest) of a positive normal x, the rest from sqrt(1/2) - 1 to
    # sqrt(2) - 1.
    "log_bits": """u64 log_bits_f64(f64 x) {
    return AS_u64(x) + (0x3ff0000000000000ul - 0x3fe6a09e667f3bcdul);
}""",
    "log_exponent": """f64 log_exponent_f64(f64 x) {
    return AS_f64((log_bits_f64(x) >> 52) | 0x4330000000000000ul) - (0x1p52 + 1023.0);
}""",
    "log_rest": """f64 log_rest_f64(f64 x) {
    return AS_f64((log_bits_f64(x) & 0xffffffffffffful) + 0x3fe6a09e667f3bcdul) - 1.0;
}""",
    # (log m - 2 s) / s with s = (m - 1) / (m + 1), of the square of s.
    "log_series": """f64 log_series_f64(f64 z) {
    f64 p = 0.13088034850927555;
    p = p * z + 0.13268638369266825; p = p * z + 0.15386244737621665;
    p = p * z + 0.18181795547521137; p = p * z + 0.22222222392581045;
    p = p * z + 0.28571428570799784; p = p * z + 0.40000000000000885;
    p = p * z + 0.6666666666666666;
    return p * z;
}""",
    # n log 2 + log(1 + f)
    "log_sum": """f64 log_sum_f64(f64 n, f64 f) {
    f64 s = f / (2.0 + f), h = 0.5 * f * f;
    f64 low = s * (h + log_series_f64(s * s)) + n * 1.90821492927058770002e-10;
    return n * 6.93147180369123816490e-01 - ((h - low) - f);
}""",
    "log": """f64 log_f64(f64 x) {
    f64 low = x < 0x1p-1022 ? 54.0 : 0.0, a = x < 0x1p-1022 ? x * 0x1p54 : x;
    f64 y = log_sum_f64(log_exponent_f64(a) - low, log_rest_f64(a));
    return x > 0 ? (x < INFINITY ? y : x) : x == 0 ? -INFINITY : NAN;
}""",
    # What 1 + x loses is added to the rest.
    "log1p": """f64 log1p_f64(f64 x) {
    f64 u = 1.0 + x, lost = x - (u - 1.0), n = log_exponent_f64(u);
    f64 y = log_sum_f64(n, log_rest_f64(u) + lost * two_to_f64(n > 1000.0 ? -1000.0 : -n));
    y = u > 0 ? (u < INFINITY ? y : u) : u == 0 ? -INFINITY : NAN;
    return abs_f64(x) < 1e-17 ? x : y;
}""",
    # Quarter turns taken out of |x| by Cody and Waite (1980), where |x| is below a million.
    "far": """u32 far_f64(f64 x) { f64 a = abs_f64(x); return (a >= 1e6) & (a < INFINITY); }""",
    "near_turned": """f64 near_turned_f64(f64 x) {
    f64 a = abs_f64(x), n = rint_f64(a * 0.6366197723675814);
    f64 r = FMA_f64(-n, 6.123233995736766e-17, FMA_f64(-n, 1.5707963267948966, a));
    return FMA_f64(n, 1.497384905065873e-33, r);
}""",
    "near_quarter": """u64 near_quarter_f64(f64 x) {
    return AS_u64(rint_f64(abs_f64(x) * 0.6366197723675814) + 0x1.8p52);
}""",
    "sine": """f64 sine_f64(f64 r) {
    f64 z = r * r, p = 1.591810123027412e-10;
    p = p * z - 2.5051131455427946e-08; p = p * z + 2.755731610068303e-06;
    p = p * z - 0.0001984126983675497; p = p * z + 0.008333333333330946;
    p = p * z - 0.16666666666666666;
    return p * z * r + r;
}""",
    "cosine": """f64 cosine_f64(f64 r) {
    f64 z = r * r, p = -1.1382614868556325e-11;
    p = p * z + 2.0876146024689747e-09; p = p * z - 2.7557317270560326e-07;
    p = p * z + 2.4801587298763433e-05; p = p * z - 0.0013888888888887395;
    p = p * z + 0.041666666666666664;
    f64 h = 0.5 * z, w = 1.0 - h;
    return w + ((1.0 - w - h) + p * z * z);
}""",
    "near_sin": """f64 near_sin_f64(f64 x) {
    f64 r = near_turned_f64(x);
    u64 q = near_quarter_f64(x);
    f64 y = q & 1 ? cosine_f64(r) : sine_f64(r);
    return AS_f64(AS_u64(y) ^ ((q & 2) << 62) ^ (AS_u64(x) & 0x8000000000000000ul));
}""",
    "near_cos": """f64 near_cos_f64(f64 x) {
    f64 r = near_turned_f64(x);
    u64 q = near_quarter_f64(x);
    f64 y = q & 1 ? sine_f64(r) : cosine_f64(r);
    return AS_f64(AS_u64(y) ^ (((q + 1) & 2) << 62));
}""",
    "near_tan": """f64 near_tan_f64(f64 x) {
    f64 r = near_turned_f64(x), s = sine_f64(r), c = cosine_f64(r);
    u64 q = near_quarter_f64(x) & 1;
    f64 y = (q ? -c : s) / (q ? s : c);
    return AS_f64(AS_u64(y) ^ (AS_u64(x) & 0x8000000000000000ul));
}""",
    # 2 to the power of y log2 |x|, which is kept in two parts, of |x| that is 0 or normal, where
    # the result is finite and normal, too.
    "near_power": """f64 near_power_f64(f64 x, f64 y) {
    f64 a = abs_f64(x), n = log_exponent_f64(a), f = log_rest_f64(a);
    f64 inverse = 1.0 / (2.0 + f), s = f * inverse;
    f64 s_low = FMA_f64(-s, f, FMA_f64(-2.0, s, f)) * inverse, z = s * s;
    f64 h = s * 2.8853900817779268, h_low = FMA_f64(s, 2.8853900817779268, -h);
    h_low = FMA_f64(s, 4.0710547481862066e-17, h_low);
    h_low = FMA_f64(s_low, FMA_f64(2.8853900817779268, z, 2.8853900817779268), h_low);
    h_low = FMA_f64(log_series_f64(z), s * 1.4426950408889634, h_low);
    f64 sum = n + h, e_low = (h - (sum - n)) + h_low, e = sum + e_low;
    e_low = e_low - (e - sum);
    f64 g = y * e, g_low = FMA_f64(y, e_low, FMA_f64(y, e, -g));
    f64 k = rint_f64(g);
    f64 p = two_to_series_f64((g - k) + g_low) * two_to_f64(k);
    p = a == 0 ? (y > 0 ? 0.0 : y < 0 ? INFINITY : y == 0 ? 1.0 : y) : p;
    bool whole = floor_f64(y) == y;
    p = AS_f64(AS_u64(p) ^ (whole ? AS_u64(y + 0x1.8p52) << 63 & AS_u64(x) : 0));
    return (x < 0) & !whole ? NAN : p;
}""",
    "two_to_series": """f64 two_to_series_f64(f64 r) {
    f64 p = 1.371701341040781e-12;
    p = p * r + 2.5733678739192404e-11; p = p * r + 4.4455302771875135e-10;
    p = p * r + 7.054894317261137e-09; p = p * r + 1.017808602125736e-07;
    p = p * r + 1.3215486816155575e-06; p = p * r + 1.5252733804051059e-05;
    p = p * r + 0.00015403530393362603; p = p * r + 0.0013333558146428445;
    p = p * r + 0.009618129107628484; p = p * r + 0.05550410866482158;
    p = p * r + 0.24022650695910072; p = p * r + 0.6931471805599453;
    return p * r + 1.0;
}""",
    "far_power": """u32 far_power_f64(f64 x, f64 y) {
    f64 a = abs_f64(x), n = log_exponent_f64(a);
    u32 extreme = (a < 0x1p-1022) | !(a < INFINITY) | !(abs_f64(y) * (abs_f64(n) + 1.0) < 1020.0);
    return (a == 0 ? 0u : extreme) | (abs_f64(y) >= 1e15);
}""",
}  # fmt: skip

#: Those with a shorter way, `near_`; the long way is the language's own function.
DOUBLE_WITH_NEAR = {**dict.fromkeys(("sin", "cos", "tan"), "far"), "power": "far_power"}
#: Functions in which no product may be fused with a sum.
DOUBLE_APART = frozenset({"near_power"})
