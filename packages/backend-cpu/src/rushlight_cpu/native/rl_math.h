/* Functions of one real type, written so that compilers turn loops over them into vector code: no
   branches, no calls, and NaN, infinities, -0 and denormals as C's own functions treat them.

   Included twice, for float and double (see rl_math_types.h); `F(name)` is the name for the type.
   References: Muller (2016), Elementary Functions, chapters 4 and 11. */

/* 2^n for whole n in the range of normal exponents: adding MAGIC leaves n in the lowest bits. */
static inline T F(rl_pow2)(T n) {
    return F(rl_from_bits)((F(rl_bits)(n + MAGIC) + EXPONENT_BIAS) << MANTISSA_BITS);
}

/* exp(r) - 1 for |r| <= log(2) / 2, by Taylor's series: short enough, and no fitting needed. */
static inline T F(rl_expm1_near_0)(T r) {
#if RL_IS_DOUBLE
    T p = (T)(1.0 / 87178291200.0);
    p = p * r + (T)(1.0 / 6227020800.0);
    p = p * r + (T)(1.0 / 479001600.0);
    p = p * r + (T)(1.0 / 39916800.0);
    p = p * r + (T)(1.0 / 3628800.0);
    p = p * r + (T)(1.0 / 362880.0);
    p = p * r + (T)(1.0 / 40320.0);
    p = p * r + (T)(1.0 / 5040.0);
#else
    T p = (T)(1.0 / 5040.0);
#endif
    p = p * r + (T)(1.0 / 720.0);
    p = p * r + (T)(1.0 / 120.0);
    p = p * r + (T)(1.0 / 24.0);
    p = p * r + (T)(1.0 / 6.0);
    p = p * r + (T)0.5;
    return p * (r * r) + r;
}

static inline T F(rl_exp)(T x) {
    T c = x > EXP_HIGH ? EXP_HIGH : x; /* NaN passes */
    c = c < EXP_LOW ? EXP_LOW : c;
    T n = (c * LOG2_E + MAGIC) - MAGIC;
    T r = (c - n * LN2_HIGH) - n * LN2_LOW;
    T half = (n * (T)0.5 + MAGIC) - MAGIC; /* 2^n in two factors reaches denormals and infinity */
    return (F(rl_expm1_near_0)(r) + 1) * F(rl_pow2)(half) * F(rl_pow2)(n - half);
}

static inline T F(rl_expm1)(T x) {
    T c = x > EXP_HIGH ? EXP_HIGH : x;
    c = c < EXPM1_LOW ? EXPM1_LOW : c;
    T n = (c * LOG2_E + MAGIC) - MAGIC;
    T r = (c - n * LN2_HIGH) - n * LN2_LOW;
    T half = (n * (T)0.5 + MAGIC) - MAGIC;
    T a = F(rl_pow2)(half), b = F(rl_pow2)(n - half);
    T y = (F(rl_expm1_near_0)(r) * a + (a - F(rl_pow2)(half - n))) * b;
    return x == 0 ? x : y;
}

static inline T F(rl_log)(T x) {
    bool tiny = x < SMALLEST_NORMAL;
    T scaled = tiny ? x * TWO_TO_MANTISSA : x;
    /* x = 2^e m with m from sqrt(1/2) to sqrt(2) */
    U bits = F(rl_bits)(scaled) - ROOT_HALF_BITS + (EXPONENT_BIAS << MANTISSA_BITS);
    U shifted = bits >> MANTISSA_BITS;
    T e = F(rl_from_bits)(F(rl_bits)(MAGIC) + shifted) - MAGIC - (T)EXPONENT_BIAS;
    e = tiny ? e - MANTISSA_BITS : e;
    T m = F(rl_from_bits)((bits & MANTISSA_MASK) + ROOT_HALF_BITS);
    T f = m - 1, s = f / (m + 1), z = s * s, half = (T)0.5 * f * f;
    /* log(m) = 2 atanh(s) */
#if RL_IS_DOUBLE
    T p = (T)(2.0 / 23);
    p = p * z + (T)(2.0 / 21);
    p = p * z + (T)(2.0 / 19);
    p = p * z + (T)(2.0 / 17);
    p = p * z + (T)(2.0 / 15);
    p = p * z + (T)(2.0 / 13);
    p = p * z + (T)(2.0 / 11);
#else
    T p = (T)(2.0 / 11);
#endif
    p = p * z + (T)(2.0 / 9);
    p = p * z + (T)(2.0 / 7);
    p = p * z + (T)(2.0 / 5);
    p = p * z + (T)(2.0 / 3);
    T y = e * LN2_HIGH - ((half - (s * (half + p * z) + e * LN2_LOW)) - f);
    y = x == 0 ? -F(rl_infinity)() : y;
    y = x < 0 ? F(rl_nan)() : y;
    return x < F(rl_infinity)() ? y : x + x; /* +infinity and NaN; -infinity is below 0 */
}

static inline T F(rl_tanh)(T x) {
    T size = F(rl_abs)(x);
    T twice = size > TANH_ONE ? 2 * TANH_ONE : 2 * size;
    T n = (twice * LOG2_E + MAGIC) - MAGIC;
    T r = (twice - n * LN2_HIGH) - n * LN2_LOW;
    T power = F(rl_pow2)(n);
    T e = power * F(rl_expm1_near_0)(r) + (power - 1); /* exp(2 |x|) - 1 */
    return F(rl_copysign)(e / (e + 2), x);
}

static inline T F(rl_sigmoid)(T x) { return 1 / (1 + F(rl_exp)(-x)); }
