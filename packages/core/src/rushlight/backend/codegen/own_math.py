"""Own float32 functions, for languages whose built-in ones are calls that do not vectorise.

Of operations that vectorise everywhere: no branches, no tables, no calls. Polynomials are those of
Moshier's Cephes library (1984-1992) where nothing else is said; results are within 4 ulp, and NaN,
infinities and signed zeros are those of C. `FMA_f32` is exact; other products and sums may become
one operation where the language can do that, which only makes them more exact.
"""

from __future__ import annotations

from .own_math_double import DOUBLE_APART, DOUBLE_WITH_NEAR, OWN_DOUBLE

_OWN = {
    # x = n log 2 + rest, and exp(r) - 1 for such a rest.
    "exp_rest": """f32 exp_rest_f32(f32 x, f32 n) {
    return x - n * 0.693359375f + n * 2.12194440e-4f;
}""",
    "exp_series": """f32 exp_series_f32(f32 r) {
    f32 p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f; p = p * r + 8.3334519073e-3f; p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f; p = p * r + 5.0000001201e-1f;
    return p * r * r + r;
}""",
    # x * 2^k, in two steps, for neither needs to be a number by itself.
    "scaled": """f32 scaled_f32(f32 x, i32 k) {
    i32 half_ = k >> 1;
    return x * AS_f32((u32)(half_ + 127) << 23) * AS_f32((u32)(k - half_ + 127) << 23);
}""",
    "exp": """f32 exp_f32(f32 x) {
    x = x > 89.0f ? 89.0f : x < -104.0f ? -104.0f : x;
    f32 n = rint_f32(x * 1.44269504088896341f);
    return scaled_f32(exp_series_f32(exp_rest_f32(x, n)) + 1.0f, (i32)n);
}""",
    # Half of it first, which does not overflow before the result does.
    "expm1": """f32 expm1_f32(f32 x) {
    f32 c = x > 89.0f ? 89.0f : x < -30.0f ? -30.0f : x;
    f32 n = rint_f32(c * 1.44269504088896341f), s = AS_f32((u32)((i32)n + 126) << 23);
    f32 y = exp_series_f32(exp_rest_f32(c, n)) * s + (s - 0.5f);
    return abs_f32(x) < 1e-8f ? x : y + y;
}""",
    # x = 2^exponent * (1 + rest), the rest from sqrt(1/2) - 1 to sqrt(2) - 1.
    "log_bits": """u32 log_bits_f32(f32 x) {
    return AS_u32(x < 0x1p-126f ? x * 0x1p23f : x) - 0x3f3504f3u;
}""",
    "log_exponent": """f32 log_exponent_f32(f32 x) {
    i32 k = (i32)log_bits_f32(x) >> 23;
    return (f32)(x < 0x1p-126f ? k - 23 : k);
}""",
    "log_rest": """f32 log_rest_f32(f32 x) {
    return AS_f32((log_bits_f32(x) & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
}""",
    # log(1 + r) - r
    "log_series": """f32 log_series_f32(f32 r) {
    f32 z = r * r, p = 7.0376836292e-2f;
    p = p * r - 1.1514610310e-1f; p = p * r + 1.1676998740e-1f; p = p * r - 1.2420140846e-1f;
    p = p * r + 1.4249322787e-1f; p = p * r - 1.6668057665e-1f; p = p * r + 2.0000714765e-1f;
    p = p * r - 2.4999993993e-1f; p = p * r + 3.3333331174e-1f;
    return p * r * z - 0.5f * z;
}""",
    # n log 2 + log(1 + r)
    "log_sum": """f32 log_sum_f32(f32 n, f32 r) {
    return log_series_f32(r) - 2.12194440e-4f * n + r + 0.693359375f * n;
}""",
    "log": """f32 log_f32(f32 x) {
    f32 y = log_sum_f32(log_exponent_f32(x), log_rest_f32(x));
    return x > 0 ? (x < INFINITY ? y : x) : x == 0 ? -INFINITY : NAN;
}""",
    # The same of a number that is not below 1.
    "log_above": """f32 log_above_f32(f32 x) {
    u32 u = AS_u32(x) - 0x3f3504f3u;
    f32 y = log_sum_f32((f32)((i32)u >> 23), AS_f32((u & 0x7fffffu) + 0x3f3504f3u) - 1.0f);
    return x < INFINITY ? y : x;
}""",
    # What 1 + x loses is added to the rest.
    "log1p": """f32 log1p_f32(f32 x) {
    f32 u = 1.0f + x, lost = x - (u - 1.0f), n = log_exponent_f32(u);
    f32 r = log_rest_f32(u) + lost * AS_f32((u32)(127 - (i32)(n > 64.0f ? 64.0f : n)) << 23);
    f32 y = log_sum_f32(n, r);
    y = u > 0 ? (u < INFINITY ? y : u) : u == 0 ? -INFINITY : NAN;
    return abs_f32(x) < 1e-8f ? x : y;
}""",
    # The ratio of polynomials that the array family has too: 4e-7 as it is evaluated here.
    "erf": """f32 erf_f32(f32 x) {
    x = x > 3.87298334620741689f ? 3.87298334620741689f : x;
    x = x < -3.87298334620741689f ? -3.87298334620741689f : x;
    f32 z = x * x, p = 2.0889053757855436e-06f, q = 3.851676228805445e-05f;
    p = p * z + 0.0002853661426343024f; q = q * z + 0.0011507964227348566f;
    p = p * z + 0.0037029460072517395f; q = q * z + 0.014843100681900978f;
    p = p * z + 0.05256418138742447f; q = q * z + 0.11344054341316223f;
    p = p * z + 0.18869836628437042f; q = q * z + 0.5005624294281006f;
    p = p * z + 1.1283791065216064f; q = q * z + 1.0f;
    f32 y = x * p / q;
    y = y > 1.0f ? 1.0f : y < -1.0f ? -1.0f : y;
    return z >= 14.99f ? copysign_f32(1.0f, x) : y;
}""",
    # By (exp(2x) - 1) / (exp(2x) + 1), the difference as in expm1: within 2 ulp everywhere.
    "tanh": """f32 tanh_f32(f32 x) {
    f32 a = abs_f32(x), y = a > 10.0f ? 20.0f : a + a;
    f32 n = rint_f32(y * 1.44269504088896341f);
    f32 p = exp_series_f32(exp_rest_f32(y, n));
    f32 s = AS_f32((u32)((i32)n + 127) << 23), e = p * s + (s - 1.0f);
    return copysign_f32(e / (e + 2.0f), x);
}""",
    "exp2": """f32 exp2_f32(f32 x) {
    x = x > 129.0f ? 129.0f : x < -151.0f ? -151.0f : x;
    f32 n = rint_f32(x);
    return scaled_f32(exp_series_f32((x - n) * 0.69314718055994530942f) + 1.0f, (i32)n);
}""",
    "log2": """f32 log2_f32(f32 x) {
    f32 n = log_exponent_f32(x), r = log_rest_f32(x), y = log_series_f32(r);
    y = y * 0.44269504088896340736f + r * 0.44269504088896340736f + y + r + n;
    return x > 0 ? (x < INFINITY ? y : x) : x == 0 ? -INFINITY : NAN;
}""",
    "log10": """f32 log10_f32(f32 x) {
    f32 n = log_exponent_f32(x), r = log_rest_f32(x), y = log_series_f32(r);
    y = (r + y) * 7.00731903251827651e-4f + y * 4.3359375e-1f + r * 4.3359375e-1f
        + n * 2.48745663981195214e-4f + n * 3.0078125e-1f;
    return x > 0 ? (x < INFINITY ? y : x) : x == 0 ? -INFINITY : NAN;
}""",
    # By e^|x| / 4, which does not overflow before the result does.
    "cosh": """f32 cosh_f32(f32 x) {
    f32 a = abs_f32(x), y = a > 89.5f ? 89.5f : a;
    f32 n = rint_f32(y * 1.44269504088896341f);
    f32 p = (exp_series_f32(exp_rest_f32(y, n)) + 1.0f) * AS_f32((u32)((i32)n + 125) << 23);
    return p + p + 0.125f / p;
}""",
    # By a quarter of expm1, which does not overflow before the result does.
    "sinh": """f32 sinh_f32(f32 x) {
    f32 a = abs_f32(x), y = a > 89.5f ? 89.5f : a;
    f32 n = rint_f32(y * 1.44269504088896341f);
    f32 p = exp_series_f32(exp_rest_f32(y, n));
    f32 s = AS_f32((u32)((i32)n + 125) << 23), t = p * s + (s - 0.25f);
    f32 u = t + t, v = u + t / (u + 0.5f);
    return copysign_f32(a < 1e-4f ? a : a == INFINITY ? a : v, x);
}""",
    # Of a large x it is log(2 x).
    "asinh": """f32 asinh_f32(f32 x) {
    f32 a = abs_f32(x), b = a > 1e8f ? 0.0f : a, z = b * b;
    f32 y = log_above_f32(a > 1e8f ? a : b + sqrt_f32(z + 1.0f));
    y = a > 1e8f ? y + 0.69314718055994530942f : y;
    f32 p = 5.47948293e-3f;
    p = p * z - 1.66184455e-2f; p = p * z + 2.89050713e-2f; p = p * z - 4.44606803e-2f;
    p = p * z + 7.49914944e-2f; p = p * z - 1.66666597e-1f;
    return copysign_f32(a < 0.75f ? p * z * a + a : y, x);
}""",
    "acosh": """f32 acosh_f32(f32 x) {
    f32 r = (x > 1e8f ? 1.0f : x) - 1.0f, s = sqrt_f32(x < 1.5f ? r : r * r + (r + r));
    f32 y = log_above_f32(x > 1e8f ? x : x + s);
    y = x > 1e8f ? y + 0.69314718055994530942f : y;
    f32 p = 1.7596881071e-3f;
    p = p * r - 7.5272886713e-3f; p = p * r + 2.6454905019e-2f;
    p = p * r - 1.1784741703e-1f; p = p * r + 1.4142135263f;
    return x < 1.5f ? s * p : y;  // NaN below 1, as the root is
}""",
    "atanh": """f32 atanh_f32(f32 x) {
    f32 a = abs_f32(x);
    return copysign_f32(0.5f * log1p_f32((a + a) / (1.0f - a)), x);
}""",
    "asin": """f32 asin_f32(f32 x) {
    f32 a = abs_f32(x), z = a > 0.5f ? 0.5f * (1.0f - a) : a * a;
    f32 r = a > 0.5f ? sqrt_f32(z) : a, y = asin_series_f32(r, z);
    return copysign_f32(a > 0.5f ? 1.57079632679489661923f - (y + y) : y, x);
}""",
    "acos": """f32 acos_f32(f32 x) {
    f32 a = abs_f32(x), z = a > 0.5f ? 0.5f * (1.0f - a) : a * a;
    f32 r = a > 0.5f ? sqrt_f32(z) : a, y = asin_series_f32(r, z);
    f32 near_ = x < 0 ? 3.14159265358979323846f - (y + y) : y + y;
    return a > 0.5f ? near_ : 1.57079632679489661923f - copysign_f32(y, x);
}""",
    "asin_series": """f32 asin_series_f32(f32 x, f32 z) {
    f32 p = 4.2163199048e-2f;
    p = p * z + 2.4181311049e-2f; p = p * z + 4.5470025998e-2f; p = p * z + 7.4953002686e-2f;
    return (p * z + 1.6666752422e-1f) * z * x + x;
}""",
    "atan": """f32 atan_f32(f32 x) {
    f32 a = abs_f32(x);
    i32 far_ = a > 2.414213562373095f, middle = a > 0.4142135623730950f;
    f32 base = far_ ? 1.57079632679489661923f : middle ? 0.78539816339744830962f : 0.0f;
    f32 r = (far_ ? -1.0f : middle ? a - 1.0f : a) / (far_ ? a : middle ? a + 1.0f : 1.0f);
    f32 z = r * r, p = 8.05374449538e-2f;
    p = p * z - 1.38776856032e-1f; p = p * z + 1.99777106478e-1f; p = p * z - 3.33329491539e-1f;
    return copysign_f32(base + (p * z * r + r), x);
}""",
    "atan2": """f32 atan2_f32(f32 y, f32 x) {
    f32 a = abs_f32(x), b = abs_f32(y), most = b > a ? b : a, least = b > a ? a : b;
    f32 t = atan_f32(least / most), same = most == 0 ? 0.0f : 0.78539816339744830962f;
    t = least == most ? same : t;
    t = b > a ? 1.57079632679489661923f - t : t;
    t = (i32)AS_u32(x) < 0 ? 3.14159265358979323846f - t : t;
    return copysign_f32(t, y);  // NaN, where an operand is
}""",
    "hypot": """f32 hypot_f32(f32 x, f32 y) {
    f32 a = abs_f32(x), b = abs_f32(y), most = b > a ? b : a;
    f32 up = most > 1e18f ? 0x1p-70f : most < 1e-18f ? 0x1p70f : 1.0f;
    f32 down = most > 1e18f ? 0x1p70f : most < 1e-18f ? 0x1p-70f : 1.0f;
    f32 s = a * up, t = b * up, r = sqrt_f32(s * s + t * t) * down;
    return (a == INFINITY) | (b == INFINITY) ? INFINITY : r;
}""",
    # Quarter turns taken out of |x|: by Cody and Waite (1980) with three parts of pi / 2 where
    # products with the first two are exact, else by Payne and Hanek (1983), with the 96 bits of
    # 2 / pi that matter to x.
    "turned": """f32 turned_f32(f32 x) {
    f32 a = abs_f32(x);
    u64 turn = turn_f32(a);
    i64 rest = (i64)(((turn + ((u64)1 << 61)) & (((u64)1 << 62) - 1)) - ((u64)1 << 61));
    f32 far_ = (f32)rest * 0x1p-62f * 1.57079632679489661923f;
    return a < 2048.0f ? near_turned_f32(x) : a < INFINITY ? far_ : NAN;
}""",
    "quarter": """i32 quarter_f32(f32 x) {
    f32 a = abs_f32(x);
    i32 far_ = (i32)((turn_f32(a) + ((u64)1 << 61)) >> 62);
    return a < 2048.0f ? near_quarter_f32(a < 2048.0f ? a : 0.0f) : far_;
}""",
    "turn": """u64 turn_f32(f32 a) {
    u32 u = AS_u32(a), m = (u & 0x7fffffu) | 0x800000u;
    i32 p = (i32)(u >> 23) - 120;
    i32 i = p >> 5;
    u32 s = (u32)p & 31u;
    u32 w0 = i < 1 ? 0u : i < 2 ? 0xa2f9836eu : i < 3 ? 0x4e441529u : i < 4 ? 0xfc2757d1u
        : 0xf534ddc0u;
    u32 w1 = i < 1 ? 0xa2f9836eu : i < 2 ? 0x4e441529u : i < 3 ? 0xfc2757d1u
        : i < 4 ? 0xf534ddc0u : 0xdb629599u;
    u32 w2 = i < 1 ? 0x4e441529u : i < 2 ? 0xfc2757d1u : i < 3 ? 0xf534ddc0u
        : i < 4 ? 0xdb629599u : 0x3c439041u;
    u32 w3 = i < 1 ? 0xfc2757d1u : i < 2 ? 0xf534ddc0u : i < 3 ? 0xdb629599u
        : i < 4 ? 0x3c439041u : 0xfe5163abu;
    u64 h0 = ((((u64)w0 << 32) | w1) << s) >> 32, h1 = ((((u64)w1 << 32) | w2) << s) >> 32;
    u64 h2 = ((((u64)w2 << 32) | w3) << s) >> 32;
    u64 middle = m * h1 + ((m * h2) >> 32), high = m * h0 + (middle >> 32);
    return (high << 32) | (middle & 0xffffffffu);
}""",
    # The same where every |x| is known to be below 2048, which `far` finds out.
    "far": "u32 far_f32(f32 x) { return abs_f32(x) >= 2048.0f; }",
    "near_turned": """f32 near_turned_f32(f32 x) {
    f32 a = abs_f32(x), n = rint_f32(a * 0.63661977236758134308f);
    return a - n * 1.5703125f - n * 4.837512969970703125e-4f - n * 7.54978995489188216e-8f;
}""",
    "near_quarter": """i32 near_quarter_f32(f32 x) {
    return (i32)rint_f32(abs_f32(x) * 0.63661977236758134308f);
}""",
    "sine": """f32 sine_f32(f32 r) {
    f32 z = r * r, p = -1.9515295891e-4f;
    p = p * z + 8.3321608736e-3f; p = p * z - 1.6666654611e-1f;
    return p * z * r + r;
}""",
    "cosine": """f32 cosine_f32(f32 r) {
    f32 z = r * r, p = 2.443315711809948e-5f;
    p = p * z - 1.388731625493765e-3f; p = p * z + 4.166664568298827e-2f;
    return p * z * z - 0.5f * z + 1.0f;
}""",
    # 2 to the power of y log2 |x|, which is kept in two parts: an error of the logarithm grows
    # with the exponent. log m = 2 artanh s, s = (m - 1) / (m + 1).
    "power": """f32 power_f32(f32 x, f32 y) {
    f32 a = abs_f32(x), n = log_exponent_f32(a), f = log_rest_f32(a);
    f32 d = 2.0f + f, d_low = f - (d - 2.0f), inverse = 1.0f / d, s = f * inverse;
    f32 s_low = (FMA_f32(-s, d, f) - s * d_low) * inverse, z = s * s;
    f32 q = 2.0f / 11.0f;
    q = q * z + 2.0f / 9.0f; q = q * z + 2.0f / 7.0f; q = q * z + 0.4f; q = q * z + 2.0f / 3.0f;
    q = q * z * s * 1.44269504088896341f;
    f32 h = s * 2.885390043f, h_low = FMA_f32(s, 2.885390043f, -h);
    h_low = h_low + s * 3.85192598e-08f + s_low * (2.885390043f + 2.885390043f * z) + q;
    f32 sum = n + h, e_low = (h - (sum - n)) + h_low, e = sum + e_low;
    e_low = e_low - (e - sum);
    e = a == 0 ? -INFINITY : a == INFINITY ? INFINITY : e;
    f32 g = y * e, g_low = FMA_f32(y, e, -g) + y * e_low;
    g_low = abs_f32(g) < 300.0f ? g_low : 0.0f;
    g = g > 300.0f ? 300.0f : g < -300.0f ? -300.0f : g;
    f32 k = rint_f32(g), r = (g - k) + g_low, p = 1.52527338e-5f;
    p = p * r + 1.54035304e-4f; p = p * r + 1.33335581e-3f;
    p = p * r + 9.61812911e-3f; p = p * r + 5.55041087e-2f;
    p = p * r + 2.40226507e-1f; p = p * r + 6.93147181e-1f; p = p * r + 1.0f;
    k = k > 140.0f ? 140.0f : k < -160.0f ? -160.0f : k;
    p = scaled_f32(p, (i32)k);
    i32 exact = floor_f32(y) == y, odd = exact & (abs_f32(y) < 16777216.0f);
    odd = odd & (i32)(odd ? y : 0.0f);
    p = (x < 0) & (exact == 0) & (a < INFINITY) ? NAN : p;
    p = a == 1.0f ? ((x < 0) & (exact == 0) ? NAN : 1.0f) : p;
    p = odd ? copysign_f32(p, x) : p;
    p = (x != x) | (y != y) ? NAN : p;
    return (x == 1.0f) | (y == 0) ? 1.0f : p;
}""",
    # The same where |x| and the result are normal: of positive x, and of any x where y is one
    # number for all, for whether that is odd costs 10 % otherwise.
    "near_power": """f32 near_power_f32(f32 x, f32 y) {
    f32 n = power_exponent_f32(x), f = power_rest_f32(x), h = log2_high_f32(f), e = n + h;
    f32 e_low = (h - (e - n)) + log2_low_f32(f, h);
    f32 g = y * e, g_low = FMA_f32(y, e_low, FMA_f32(y, e, -g));
    f32 k = rint_f32(g + g_low), r = (g - k) + g_low;
    f32 p = FMA_f32(FMA_f32(1.54535621e-4f, r, 1.33913232e-3f), r, 9.61808208e-3f);
    p = FMA_f32(FMA_f32(p, r, 5.55035621e-2f), r, 2.40226507e-1f);
    p = FMA_f32(FMA_f32(p, r, 6.93147182e-1f), r, 1.0f);
    return p * AS_f32((u32)((i32)k + 127) << 23);
}""",
    "far_power": "u32 far_power_f32(f32 x, f32 y) { return (x <= 0) | extreme_power_f32(x, y); }",
    "near_power_of_one": """f32 near_power_of_one_f32(f32 x, f32 y) {
    return AS_f32(AS_u32(near_power_f32(x, y)) ^ ((u32)(i32)y << 31 & AS_u32(x)));
}""",
    "far_power_of_one": """u32 far_power_of_one_f32(f32 x, f32 y) {
    return extreme_power_f32(x, y) | (x < 0) & ((f32)(i32)y != y);
}""",
    "extreme_power": """u32 extreme_power_f32(f32 x, f32 y) {
    f32 g = y * (power_exponent_f32(x) + log2_high_f32(power_rest_f32(x)));
    u32 extreme = (AS_u32(x) & 0x7fffffffu) - 0x00800000u >= 0x7f000000u;
    return extreme | !(abs_f32(g) < 124.0f);
}""",
    # log2 |x| of a normal x = n + log2(1 + f), the latter in two parts, by 2 artanh s with
    # s = f / (2 + f). What s lacks, because 1 / (2 + f) is a short series, is in s_low; f - 2 s
    # is exact.
    "power_exponent": """f32 power_exponent_f32(f32 x) {
    return (f32)((i32)((AS_u32(x) & 0x7fffffffu) - 0x3f3504f3u) >> 23);
}""",
    "power_rest": """f32 power_rest_f32(f32 x) {
    return AS_f32(((AS_u32(x) - 0x3f3504f3u) & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
}""",
    "half_inverse": """f32 half_inverse_f32(f32 f) {
    f32 p = FMA_f32(0.0279336702f, f, -0.0643396452f);
    p = FMA_f32(FMA_f32(p, f, 0.125342518f), f, -0.249953121f);
    return FMA_f32(p, f, 0.499996334f);
}""",
    "log2_high": "f32 log2_high_f32(f32 f) { return f * half_inverse_f32(f) * 2.885390043f; }",
    "log2_low": """f32 log2_low_f32(f32 f, f32 high) {
    f32 inverse = half_inverse_f32(f), s = f * inverse, z = s * s;
    f32 s_low = FMA_f32(-s, f, FMA_f32(-2.0f, s, f)) * inverse;
    f32 q = FMA_f32(FMA_f32(0.336604059f, z, 0.411900669f), z, 0.577079773f);
    q = FMA_f32(q, z, 0.961796701f) * z;
    f32 low = FMA_f32(s, 3.85192598e-08f, FMA_f32(s, 2.885390043f, -high));
    low = FMA_f32(q, s, low);
    return FMA_f32(s_low, FMA_f32(2.885390043f, FMA_f32(z, z, z), 2.885390043f), low);
}""",
    # The quotient is right but for one, and the rest is exact (a number of units of y).
    "near_modulo": """f32 near_modulo_f32(f32 x, f32 y) {
    f32 a = abs_f32(x), b = abs_f32(y), r = FMA_f32(-trunc_f32(a / b), b, a);
    r = r < 0 ? r + b : r;
    return copysign_f32(r >= b ? r - b : r, x);
}""",
    "far_quotient": """u32 far_quotient_f32(f32 x, f32 y) {
    return (abs_f32(x / y) >= 2097152.0f) | (abs_f32(y) == INFINITY);
}""",
    "near_remainder": """f32 near_remainder_f32(f32 x, f32 y) {
    f32 r = near_modulo_f32(x, y), moved = (r < 0) != (y < 0) ? r + y : r;
    return r == 0 ? copysign_f32(0.0f, y) : moved;
}""",
    "near_floor_divide": """f32 near_floor_divide_f32(f32 x, f32 y) {
    f32 r = near_modulo_f32(x, y), q = (x - r) / y;
    q = (r != 0) & ((r < 0) != (y < 0)) ? q - 1.0f : q;
    f32 whole = floor_f32(q);
    whole = q - whole > 0.5f ? whole + 1.0f : whole;
    return q == 0 ? copysign_f32(0.0f, x / y) : whole;
}""",
}  # fmt: skip

# Of quarter turns and the rest: `$Nturned` and `$Nquarter`.
_TURNING = {
    "sin": """f32 $Nsin_f32(f32 x) {
    f32 r = $Nturned_f32(x);
    i32 q = $Nquarter_f32(x);
    f32 y = q & 1 ? cosine_f32(r) : sine_f32(r);
    return AS_f32(AS_u32(y) ^ ((u32)(q & 2) << 30) ^ (AS_u32(x) & 0x80000000u));
}""",
    "cos": """f32 $Ncos_f32(f32 x) {
    f32 r = $Nturned_f32(x);
    i32 q = $Nquarter_f32(x);
    f32 y = q & 1 ? sine_f32(r) : cosine_f32(r);
    return AS_f32(AS_u32(y) ^ ((u32)((q + 1) & 2) << 30));
}""",
    "tan": """f32 $Ntan_f32(f32 x) {
    f32 r = $Nturned_f32(x), s = sine_f32(r), c = cosine_f32(r);
    i32 q = $Nquarter_f32(x) & 1;
    f32 y = (q ? -c : s) / (q ? s : c);
    return AS_f32(AS_u32(y) ^ (AS_u32(x) & 0x80000000u));
}""",
}
for _name, _text in _TURNING.items():
    _OWN[_name] = _text.replace("$N", "")
    _OWN[f"near_{_name}"] = _text.replace("$N", "near_")

#: Functions of float32 with a shorter way, `near_`, and what tells arguments that can't take it.
_SINGLE_WITH_NEAR = {
    **dict.fromkeys(_TURNING, "far"),
    "power": "far_power",
    **dict.fromkeys(("modulo", "remainder", "floor_divide"), "far_quotient"),
}
#: The same by full name, with those of float64: the shorter way, and what tells.
WITH_NEAR = {
    f"{name}_{type_}": (f"near_{name}_{type_}", f"{far}_{type_}")
    for type_, table in (("f32", _SINGLE_WITH_NEAR), ("f64", DOUBLE_WITH_NEAR))
    for name, far in table.items()
}
#: Those with a better one where the last argument is the same for all elements.
WITH_NEAR_OF_ONE = {"power_f32": ("near_power_of_one_f32", "far_power_of_one_f32")}
#: Functions in which no product may be fused with a sum: they undo a rounding.
_APART = frozenset(
    {
        "power",
        "turn",
        "near_power",
        "extreme_power",
        "log2_high",
        "log2_low",
        "near_modulo",
        "near_floor_divide",
        "near_remainder",
    }
)


def own_functions(contract: str) -> dict[str, str]:
    """The functions by full name.

    Args:
        contract: What lets the compiler fuse products and sums.
    """
    return {
        f"{name}_{type_}": text if name in apart else text.replace("{", f"{{\n{contract}\n", 1)
        for type_, table, apart in (("f32", _OWN, _APART), ("f64", OWN_DOUBLE, DOUBLE_APART))
        for name, text in table.items()
    }


#: Every function, by full name, that is worth vectors of full width.
OWN = frozenset(own_functions("")) | frozenset(WITH_NEAR)
