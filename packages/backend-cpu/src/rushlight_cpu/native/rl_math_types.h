/* rl_math.h for float (suffix _f32) and double (_f64). */
#ifndef RL_MATH_TYPES_H
#define RL_MATH_TYPES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define RL_BASICS(T, U, S, SUFFIX, ABS)                                                           \
    static inline U rl_bits_##S(T x) {                                                            \
        U bits;                                                                                   \
        memcpy(&bits, &x, sizeof bits);                                                           \
        return bits;                                                                              \
    }                                                                                             \
    static inline T rl_from_bits_##S(U bits) {                                                    \
        T x;                                                                                      \
        memcpy(&x, &bits, sizeof x);                                                              \
        return x;                                                                                 \
    }                                                                                             \
    static inline T rl_infinity_##S(void) { return __builtin_inf##SUFFIX(); }                     \
    static inline T rl_nan_##S(void) { return __builtin_nan##SUFFIX(""); }                        \
    static inline T rl_abs_##S(T x) { return __builtin_fabs##SUFFIX(x); }                         \
    static inline T rl_sqrt_##S(T x) { return __builtin_sqrt##SUFFIX(x); }                        \
    static inline T rl_copysign_##S(T x, T y) { return __builtin_copysign##SUFFIX(x, y); }
RL_BASICS(float, uint32_t, f32, f, 0)
RL_BASICS(double, uint64_t, f64, , 0)

#define T float
#define U uint32_t
#define F(name) name##_f32
#define RL_IS_DOUBLE 0
#define MAGIC 12582912.0f /* 1.5 * 2^23 */
#define MANTISSA_BITS 23
#define MANTISSA_MASK 0x007fffffu
#define EXPONENT_BIAS 127u
#define ROOT_HALF_BITS 0x3f3504f3u
#define TWO_TO_MANTISSA 0x1p23f
#define SMALLEST_NORMAL 0x1p-126f
#define LOG2_E 1.44269504088896340736f
#define LN2_HIGH 0x1.62e400p-1f
#define LN2_LOW 0x1.7f7d1cp-20f
#define EXP_HIGH 89.0f
#define EXP_LOW -104.0f
#define EXPM1_LOW -18.0f
#define TANH_ONE 10.0f
#include "rl_math.h"
#include "rl_math_undef.h"

#define T double
#define U uint64_t
#define F(name) name##_f64
#define RL_IS_DOUBLE 1
#define MAGIC 6755399441055744.0 /* 1.5 * 2^52 */
#define MANTISSA_BITS 52
#define MANTISSA_MASK 0x000fffffffffffffull
#define EXPONENT_BIAS 1023ull
#define ROOT_HALF_BITS 0x3fe6a09e667f3bcdull
#define TWO_TO_MANTISSA 0x1p52
#define SMALLEST_NORMAL 0x1p-1022
#define LOG2_E 1.44269504088896340736
#define LN2_HIGH 0x1.62e42fee00000p-1
#define LN2_LOW 0x1.a39ef35793c76p-33
#define EXP_HIGH 710.0
#define EXP_LOW -746.0
#define EXPM1_LOW -40.0
#define TANH_ONE 20.0
#include "rl_math.h"
#include "rl_math_undef.h"

#endif
