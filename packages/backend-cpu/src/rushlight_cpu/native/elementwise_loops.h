/* Contiguous loops of elementwise.c for one real type: `p[0]` is the result, `a` the attributes.
   A result may be an operand's own memory, hence `ivdep` and not `restrict`. */

#define LOOP(name, result_type, expression)                                                       \
    static void F(name)(int64_t n, char *const *p, const double *a) {                             \
        result_type *out = (result_type *)p[0];                                                   \
        const T *xs = (const T *)p[1], *ys = (const T *)p[2], *zs = (const T *)p[3];              \
        (void)ys, (void)zs;                                                                       \
        const T attribute = (T)a[0];                                                              \
        (void)attribute;                                                                          \
        _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) {                                    \
            const T x = xs[i];                                                                    \
            out[i] = expression;                                                                  \
        }                                                                                         \
    }
#define Y ys[i]
#define Z zs[i]
#define UNARY(name, expression) LOOP(name, T, expression)
#define TEST(name, expression) LOOP(name, uint8_t, expression)

/* Half of erfc(|x| / sqrt(2)) for float, to 8e-8: Abramowitz and Stegun (1964), 7.1.26. */
#if !RL_IS_DOUBLE && !defined(OWN_GELU)
static inline T F(gauss_tail)(T size, T *density) {
    T s = size * 0.70710678118654752440f;
    T t = 1 / (s * 0.3275911f + 1);
    T e = F(rl_exp)(-s * s);
    T p = 0.5f * 1.061405429f;
    p = p * t - 0.5f * 1.453152027f;
    p = p * t + 0.5f * 1.421413741f;
    p = p * t - 0.5f * 0.284496736f;
    p = p * t + 0.5f * 0.254829592f;
    *density = e;
    return p * t * e;
}
static inline T F(gelu_of)(T x) {
    T size = F(rl_abs)(x), density;
    T tail = F(gauss_tail)(size, &density);
    /* Beyond 40 the tail is 0: the clamp keeps 0 * infinity away, except where torch has it. */
    T clamped = x > 40 ? 40 : size;
    return (x < 0 ? 0 : x) - clamped * tail;
}
static inline T F(gelu_slope)(T x) {
    T size = F(rl_abs)(x), density;
    T tail = F(gauss_tail)(size, &density);
    T below = x < 0 ? tail : 1 - tail;
    T c = x > 40 ? 40 : x;
    c = c < -40 ? -40 : c;
    return below + c * density * 0.39894228040143267794f;
}
UNARY(gelu, F(gelu_of)(x))
UNARY(gelu_backward, x * F(gelu_slope)(Y))
#endif

static inline T F(gelu_tanh_of)(T x) {
    T inner = (T)0.79788456080286535588 * x * (1 + (T)0.044715 * x * x);
    return (T)0.5 * x * (1 + F(rl_tanh)(inner));
}
static inline T F(gelu_tanh_slope)(T x) {
    T square = x * x;
    T t = F(rl_tanh)((T)0.79788456080286535588 * x * (1 + (T)0.044715 * square));
    T inner = (T)0.79788456080286535588 * (1 + (T)0.134145 * square);
    return (T)0.5 * ((1 + t) + x * (1 - t * t) * inner);
}
static inline T F(silu_slope)(T x) {
    T s = F(rl_sigmoid)(x);
    return s * (1 + x * (1 - s));
}
/* From the nearer end, so that both weights 0 and 1 are exact. */
static inline T F(lerp_of)(T x, T y, T w) {
    return F(rl_abs)(w) < (T)0.5 ? x + w * (y - x) : y + (w - 1) * (y - x);
}

UNARY(add, x + Y)
UNARY(sub, x - Y)
UNARY(mul, x *Y)
UNARY(div, x / Y)
/* NaN wins, as in NumPy. */
UNARY(maximum, x > Y || x != x ? x : Y)
UNARY(minimum, x < Y || x != x ? x : Y)
TEST(eq, x == Y)
TEST(ne, x != Y)
TEST(lt, x < Y)
TEST(le, x <= Y)
TEST(gt, x > Y)
TEST(ge, x >= Y)
TEST(isnan, x != x)

UNARY(neg, -x)
UNARY(abs, F(rl_abs)(x))
UNARY(square, x *x)
UNARY(cube, x *x *x)
UNARY(sqrt, F(rl_sqrt)(x))
UNARY(reciprocal, 1 / x)
UNARY(rsqrt, 1 / F(rl_sqrt)(x))
UNARY(relu, x < 0 ? 0 : x)
#if RL_IS_DOUBLE || !defined(OWN_EXP)
UNARY(exp, F(rl_exp)(x))
#endif
UNARY(expm1, F(rl_expm1)(x))
UNARY(log, F(rl_log)(x))
UNARY(tanh, F(rl_tanh)(x))
UNARY(sigmoid, F(rl_sigmoid)(x))
UNARY(silu, x *F(rl_sigmoid)(x))
UNARY(gelu_tanh, F(gelu_tanh_of)(x))
UNARY(leaky_relu, x > 0 ? x : x * attribute)

UNARY(relu_backward, Y > 0 ? x : 0)
UNARY(sigmoid_backward, x *(1 - Y) * Y)
UNARY(tanh_backward, x *(1 - Y * Y))
UNARY(silu_backward, x *F(silu_slope)(Y))
UNARY(gelu_tanh_backward, x *F(gelu_tanh_slope)(Y))

UNARY(addcmul, x + attribute * (Y * Z))
UNARY(addcdiv, x + attribute * (Y / Z))
UNARY(lerp, F(lerp_of)(x, Y, Z))
UNARY(lerp_by, F(lerp_of)(x, Y, attribute))
UNARY(clamp_low, x < Y || Y != Y ? Y : x)
UNARY(clamp_high, x > Y || Y != Y ? Y : x)
static inline T F(clamp_of)(T x, T low, T high) {
    T y = x < low || low != low ? low : x;
    return y > high || high != high ? high : y;
}
UNARY(clamp, F(clamp_of)(x, Y, Z))

/* The condition is the operand of bytes. */
static void F(where)(int64_t n, char *const *p, const double *a) {
    T *out = (T *)p[0];
    const uint8_t *condition = (const uint8_t *)p[1];
    const T *xs = (const T *)p[2], *ys = (const T *)p[3];
    (void)a;
    _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) out[i] = condition[i] ? xs[i] : ys[i];
}
static void F(masked_fill)(int64_t n, char *const *p, const double *a) {
    char *const swapped[4] = {p[0], p[2], p[3], p[1]};
    F(where)(n, swapped, a);
}

#undef LOOP
#undef UNARY
#undef TEST
#undef Y
#undef Z
