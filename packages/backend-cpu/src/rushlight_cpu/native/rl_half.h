/* float16 and bfloat16 to float and back, rounded to nearest, ties to even; NaN stays NaN. */
#ifndef RL_HALF_H
#define RL_HALF_H

#include <stdint.h>
#include <string.h>

#ifdef __F16C__
#include <immintrin.h>
#endif

static inline uint32_t rl_float_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float rl_float_of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float rl_f32_of_bf16_1(uint16_t x) { return rl_float_of_bits((uint32_t)x << 16); }

static inline uint16_t rl_bf16_of_f32_1(float x) {
    uint32_t bits = rl_float_bits(x), rounded = bits + 0x7fffu + (bits >> 16 & 1);
    return (uint16_t)((x != x ? bits | 0x00400000u : rounded) >> 16);
}

static inline float rl_f32_of_f16_1(uint16_t x) {
    uint32_t sign = (uint32_t)(x & 0x8000u) << 16, size = (uint32_t)(x & 0x7fffu) << 13;
    /* The exponents' biases differ by 112; the product is exact for denormals, too. */
    uint32_t finite = rl_float_bits(rl_float_of_bits(size) * 0x1p112f);
    return rl_float_of_bits(sign | ((x & 0x7c00u) == 0x7c00u ? size | 0x7f800000u : finite));
}

static inline uint16_t rl_f16_of_f32_1(float x) {
    uint32_t bits = rl_float_bits(x), size = bits & 0x7fffffffu;
    /* The last place of 0.5 is the smallest denormal: the addition rounds to it. */
    uint32_t tiny = rl_float_bits(rl_float_of_bits(size) + 0.5f) - 0x3f000000u;
    uint32_t normal = (size + 0xc8000fffu + (size >> 13 & 1)) >> 13;
    uint32_t half = size < 0x38800000u ? tiny : normal;
    half = size >= 0x477ff000u ? 0x7c00u : half;
    half = size > 0x7f800000u ? 0x7e00u : half;
    return (uint16_t)(half | (bits >> 16 & 0x8000u));
}

static inline void rl_f32_of_bf16(const uint16_t *restrict x, float *restrict y, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = rl_f32_of_bf16_1(x[i]);
}

static inline void rl_bf16_of_f32(const float *restrict x, uint16_t *restrict y, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = rl_bf16_of_f32_1(x[i]);
}

static inline void rl_f32_of_f16(const uint16_t *restrict x, float *restrict y, int64_t n) {
    int64_t i = 0;
#ifdef __F16C__
    for (; i + 8 <= n; i += 8) {
        _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i))));
    }
#endif
    for (; i < n; i++) y[i] = rl_f32_of_f16_1(x[i]);
}

static inline void rl_f16_of_f32(const float *restrict x, uint16_t *restrict y, int64_t n) {
    int64_t i = 0;
#ifdef __F16C__
    for (; i + 8 <= n; i += 8) {
        _mm_storeu_si128((__m128i *)(y + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), 0));
    }
#endif
    for (; i < n; i++) y[i] = rl_f16_of_f32_1(x[i]);
}

#endif
