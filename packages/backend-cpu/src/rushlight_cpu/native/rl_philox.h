/* The generator of random words and what is made of them, bit for bit as `rushlight._philox`
   defines it.  Each operation has to be rounded by itself: the file that includes this one turns
   the contraction of a * b + c off. */
#ifndef RL_PHILOX_H
#define RL_PHILOX_H

#include <stdint.h>
#include <string.h>

#define RL_PHILOX_ROUNDS 10

typedef struct {
    uint32_t keys[RL_PHILOX_ROUNDS][2];
    uint64_t offset; /* of its first block in the stream of the seed */
} rl_stream;

static inline rl_stream rl_stream_of(uint64_t seed, uint64_t offset) {
    rl_stream s = {.offset = offset};
    for (uint32_t r = 0; r < RL_PHILOX_ROUNDS; r++) {
        s.keys[r][0] = (uint32_t)seed + r * 0x9E3779B9u;
        s.keys[r][1] = (uint32_t)(seed >> 32) + r * 0xBB67AE85u;
    }
    return s;
}

/* Words 4 * first .. of the stream, `blocks` times four. */
static inline void rl_words(const rl_stream *s, int64_t first, int64_t blocks, uint32_t *words) {
    const uint64_t start = s->offset + (uint64_t)first;
    const rl_stream own = *s;
    for (int64_t j = 0; j < blocks; j++) {
        uint64_t block = start + (uint64_t)j;
        uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32), c2 = 0, c3 = 0;
#define ROUND(r)                                                                                  \
    {                                                                                             \
        uint64_t a = (uint64_t)c0 * 0xD2511F53u, b = (uint64_t)c2 * 0xCD9E8D57u;                  \
        c0 = (uint32_t)(b >> 32) ^ c1 ^ own.keys[r][0];                                           \
        c1 = (uint32_t)b;                                                                         \
        c2 = (uint32_t)(a >> 32) ^ c3 ^ own.keys[r][1];                                           \
        c3 = (uint32_t)a;                                                                         \
    }
        ROUND(0) ROUND(1) ROUND(2) ROUND(3) ROUND(4) ROUND(5) ROUND(6) ROUND(7) ROUND(8) ROUND(9)
#undef ROUND
        words[4 * j] = c0;
        words[4 * j + 1] = c1;
        words[4 * j + 2] = c2;
        words[4 * j + 3] = c3;
    }
}

static inline uint64_t rl_long(const uint32_t *words, int64_t i) {
    return words[2 * i] | (uint64_t)words[2 * i + 1] << 32;
}

#define NEXT(c) p = (p + c) * x;

/* -2 log(odd * 2^-31) of an odd number below 2^31. */
static inline float rl_minus_two_log_f32(uint32_t odd) {
    float value = (float)(int32_t)odd, x;
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    int32_t exponent = (bits - 0x3F3504F4) >> 23;
    bits -= (int32_t)((uint32_t)exponent << 23);
    memcpy(&x, &bits, sizeof x);
    x -= 1;
    float p = x * -0.17444735765457153f;
    NEXT(0.2873370349407196f)
    NEXT(-0.29904529452323914f)
    NEXT(0.33124780654907227f)
    NEXT(-0.39913666248321533f)
    NEXT(0.5000414848327637f)
    NEXT(-0.6666837334632874f)
    NEXT(0.9999997615814209f)
    p = (p + -2.0f) * x;
    return (float)(31 - exponent) * 1.3862943649291992f + p;
}

static inline float rl_sin_f32(float x) { /* of pi/2 x, divided by the x it is given the square of */
    float p = x * 0.00015592922864016145f;
    NEXT(-0.00468310434371233f)
    NEXT(0.0796959325671196f)
    NEXT(-0.6459650993347168f)
    return p + 1.5707963705062866f;
}

static inline float rl_cos_f32(float x) { /* of pi/2 times the root of x */
    float p = x * -2.340222090424504e-05f;
    NEXT(0.000916733464691788f)
    NEXT(-0.020861899480223656f)
    NEXT(0.2536690831184387f)
    NEXT(-1.2337005138397217f)
    return p + 1.0f;
}

/* Two normals of two words. */
static inline void rl_normals_f32(uint32_t word, uint32_t angle, float *a, float *b) {
    float length = __builtin_sqrtf(rl_minus_two_log_f32(word >> 1 | 1));
    float radius = angle >> 31 ? -length : length;
    float x = (float)(int32_t)(angle << 1) * 0x1p-31f, y = x * x;
    *a = radius * rl_cos_f32(y);
    *b = radius * (rl_sin_f32(y) * x);
}

/* -2 log(odd * 2^-53) of an odd number below 2^53. */
static inline double rl_minus_two_log_f64(uint64_t odd) {
    double value = (double)(int64_t)odd, f;
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    int64_t exponent = (bits - 0x3FE6A09E667F3BCD) >> 52;
    bits -= (int64_t)((uint64_t)exponent << 52);
    memcpy(&f, &bits, sizeof f);
    f -= 1;
    double s = f / (f + 2), x = s * s;
    double p = x * -0.29590733866235536;
    NEXT(-0.3062822112153931)
    NEXT(-0.3636712380163901)
    NEXT(-0.44444397243376654)
    NEXT(-0.5714285748378467)
    NEXT(-0.7999999999883409)
    NEXT(-1.3333333333333468)
    p = (p + -4.0) * s;
    return (double)(53 - exponent) * 1.3862943611198906 + p;
}

static inline double rl_sin_f64(double x) {
    double p = x * 4.245653538798076e-12;
    NEXT(-6.618439096605533e-10)
    NEXT(5.691047527843777e-08)
    NEXT(-3.598833639249097e-06)
    NEXT(0.00016044118022159914)
    NEXT(-0.004681754134131782)
    NEXT(0.07969262624601454)
    NEXT(-0.6459640975062387)
    return p + 1.5707963267948966;
}

static inline double rl_cos_f64(double x) {
    double p = x * 6.328344618458847e-11;
    NEXT(-6.382114517251841e-09)
    NEXT(4.7108290386701245e-07)
    NEXT(-2.520203966510217e-05)
    NEXT(0.0009192602739043677)
    NEXT(-0.02086348076317424)
    NEXT(0.2536695079010315)
    NEXT(-1.2337005501361693)
    return p + 1.0;
}

static inline void rl_normals_f64(uint64_t word, uint64_t angle, double *a, double *b) {
    double length = __builtin_sqrt(rl_minus_two_log_f64(word >> 11 | 1));
    double radius = angle >> 63 ? -length : length;
    double x = (double)(int64_t)(angle << 1) * 0x1p-63, y = x * x;
    *a = radius * rl_cos_f64(y);
    *b = radius * (rl_sin_f64(y) * x);
}

#undef NEXT
#endif
