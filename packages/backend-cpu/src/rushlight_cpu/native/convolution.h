/* What the files of the convolution kernels share: shapes, register tiles, copies of rows.

   Convolution, transposed convolution and both gradients are matrix products whose operands are
   not matrices in memory:  c[i][j] += a_i[k] * b[k][j].  The rows of b lie at constant offsets in
   a copy of the image with zeros around it, so nothing is unrolled into columns except for small
   planes.  Arrays are float32. */
#ifndef RL_CONVOLUTION_H
#define RL_CONVOLUTION_H

#include "rl.h"
#include "rl_gemm.h"
#include "rl_slots.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define CONV_DIMS 3
#define CONV_MOST_TAPS 1024

/* A convolution; dimensions that it lacks have size 1 and come first. */
typedef struct {
    int64_t batch, inner, outer, groups; /* channels of the input and of the output */
    int64_t size[CONV_DIMS], out[CONV_DIMS], kernel[CONV_DIMS];
    int64_t stride[CONV_DIMS], padding[CONV_DIMS], dilation[CONV_DIMS];
    int64_t in_plane, out_plane, taps;
} conv_shape;

/* One convolution with few taps as the tiles see it.  Position j of a box reads the input at
   j * in_step + at[tap], which may lie outside, and writes to j * out_step + base. */
typedef struct {
    int64_t batch, groups, channels, rows; /* channels read and written, per group */
    int64_t in_size[CONV_DIMS], out_size[CONV_DIMS];
    int64_t count[CONV_DIMS]; /* the box */
    int64_t in_step[CONV_DIMS], out_step[CONV_DIMS], base[CONV_DIMS];
    int64_t taps;
    int64_t at[CONV_MOST_TAPS][CONV_DIMS];
    int64_t weight_at[CONV_MOST_TAPS];                /* of a tap in the weight */
    int64_t weight_row, weight_channel, weight_group; /* steps of the weight */
    const float *x, *weight;
    float *out;
} conv_pass;

/* Each returns false with an error set. */
bool conv_run_pass(const conv_pass *pass);
bool conv_depthwise_pass(const conv_pass *pass);
/* `done` says whether the result was written: not if another way is quicker, or if it would not be
   finite. */
bool conv_winograd_pass(const conv_pass *pass, bool *done);
bool conv_weight_gradient(const conv_shape *shape, const float *g, const float *x, float *dw);
bool conv_winograd_weight(const conv_shape *shape, const float *g, const float *x, float *dw,
                          bool *done);
bool conv_depthwise_weight(const conv_shape *shape, const float *g, const float *x, float *dw);

/* Tiles */

/* A tile sums rows[i][k] * x[offsets[k] + j] over k.  One loop with a table: two nested loops,
   over channels and taps, lose a tenth of the speed. */
typedef struct {
    int64_t length;
    const int32_t *offsets;
} conv_depth;

typedef void (*conv_tile)(const conv_depth *depth, const float *const *rows, const float *x,
                          float *c, int64_t ldc, bool add);

#define CONV_TILE(NAME, MR, NV)                                                                   \
    static void NAME(const conv_depth *depth, const float *const *rows, const float *x, float *c, \
                     int64_t ldc, bool add) {                                                     \
        rl_vector s[MR][NV];                                                                      \
        const float *row[MR];                                                                     \
        _Pragma("GCC unroll 8") for (int i = 0; i < MR; i++) row[i] = rows[i];                    \
        _Pragma("GCC unroll 8") for (int i = 0; i < MR; i++) {                                    \
            _Pragma("GCC unroll 6") for (int v = 0; v < NV; v++) {                                \
                s[i][v] = add ? rl_load(c + i * ldc + v * RL_LANES) : (rl_vector){0};             \
            }                                                                                     \
        }                                                                                         \
        const int64_t length = depth->length;                                                     \
        const int32_t *restrict offsets = depth->offsets;                                         \
        for (int64_t k = 0; k < length; k++) {                                                    \
            const float *b = x + offsets[k];                                                      \
            rl_vector y[NV];                                                                      \
            _Pragma("GCC unroll 6") for (int v = 0; v < NV; v++) y[v] = rl_load(b + v * RL_LANES); \
            _Pragma("GCC unroll 8") for (int i = 0; i < MR; i++) {                                \
                rl_vector w = rl_splat(row[i][k]);                                                \
                _Pragma("GCC unroll 6") for (int v = 0; v < NV; v++) s[i][v] += w * y[v];         \
            }                                                                                     \
        }                                                                                         \
        _Pragma("GCC unroll 8") for (int i = 0; i < MR; i++) {                                    \
            _Pragma("GCC unroll 6") for (int v = 0; v < NV; v++) {                                \
                rl_store(c + i * ldc + v * RL_LANES, s[i][v]);                                    \
            }                                                                                     \
        }                                                                                         \
    }

CONV_TILE(conv_tile_1, RL_MR, 1)
CONV_TILE(conv_tile_2, RL_MR, 2)
#if RL_NV == 3
CONV_TILE(conv_tile_3, RL_MR, 3)
static const conv_tile conv_tiles[] = {conv_tile_1, conv_tile_2, conv_tile_3};
#else
static const conv_tile conv_tiles[] = {conv_tile_1, conv_tile_2};
#endif

static inline int64_t conv_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t conv_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t conv_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Copies of rows */

#if defined(__AVX512F__)
/* Lane l is src[2 * l] where the mask has it, else 0; nothing else is read. */
static inline __m512 conv_load_pairs(__mmask16 mask, const float *src) {
    const uint32_t both = _pdep_u32(mask, 0x55555555);
    const __m512i even =
        _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    return _mm512_permutex2var_ps(_mm512_maskz_loadu_ps((__mmask16)both, src), even,
                                  _mm512_maskz_loadu_ps((__mmask16)(both >> 16), src + 16));
}
#endif

/* dst[i] = src[i * step] for i in [lo, hi), else 0, for i in [0, n); up to RL_LANES - 1 more
   values behind dst[n) are undefined afterwards.  Nothing else of src is read. */
static inline void conv_copy_row(float *dst, const float *src, int64_t lo, int64_t hi, int64_t n,
                                 int64_t step) {
#if defined(__AVX512F__)
    for (int64_t i = 0; i < n; i += 16) {
        int64_t from = conv_min(conv_max(lo - i, 0), 16), to = conv_min(conv_max(hi - i, 0), 16);
        if (from >= to) {
            _mm512_storeu_ps(dst + i, _mm512_setzero_ps());
            continue;
        }
        const __mmask16 mask = (__mmask16)(((1u << to) - 1) & ~((1u << from) - 1));
        if (step == 1) {
            _mm512_storeu_ps(dst + i, _mm512_maskz_loadu_ps(mask, src + i));
        } else if (step == 2) {
            _mm512_storeu_ps(dst + i, conv_load_pairs(mask, src + 2 * i));
        } else {
            const __m512i lane = _mm512_mullo_epi32(
                _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                _mm512_set1_epi32((int)step));
            const __m512 zero = _mm512_setzero_ps();
            _mm512_storeu_ps(dst + i,
                             _mm512_mask_i32gather_ps(zero, mask, lane, src + i * step, 4));
        }
    }
#else
    hi = conv_max(conv_min(hi, n), 0), lo = conv_min(conv_max(lo, 0), hi);
    for (int64_t i = 0; i < lo; i++) dst[i] = 0;
    if (step == 1) {
        memcpy(dst + lo, src + lo, (size_t)(hi - lo) * sizeof *dst);
    } else {
        for (int64_t i = lo; i < hi; i++) dst[i] = src[i * step];
    }
    for (int64_t i = hi; i < n; i++) dst[i] = 0;
#endif
}

/* The same for many rows with the same range. */
typedef struct {
    int64_t lo, hi, n, step;
#if defined(__AVX512F__)
    int chunks;
    __mmask16 masks[8];
#endif
} conv_row;

static inline conv_row conv_plan_row(int64_t lo, int64_t hi, int64_t n, int64_t step) {
    conv_row row = {.lo = lo, .hi = hi, .n = n, .step = step};
#if defined(__AVX512F__)
    const int64_t chunks = conv_ceil(n, 16);
    row.chunks = step <= 2 && chunks <= 8 ? (int)chunks : 0;
    for (int i = 0; i < row.chunks; i++) {
        const int64_t begin = conv_min(conv_max(lo - 16 * i, 0), 16);
        const int64_t end = conv_min(conv_max(hi - 16 * i, begin), 16);
        row.masks[i] = (__mmask16)(((1u << end) - 1) & ~((1u << begin) - 1));
    }
#endif
    return row;
}

/* `inside`: whether the row is one of the image, else it is all zeros. */
static inline void conv_copy_planned(const conv_row *row, float *dst, const float *src,
                                     bool inside) {
#if defined(__AVX512F__)
    if (row->chunks) {
        for (int i = 0; i < row->chunks; i++, dst += 16, src += 16 * row->step) {
            const __mmask16 mask = inside ? row->masks[i] : 0;
            _mm512_storeu_ps(dst, row->step == 1 ? _mm512_maskz_loadu_ps(mask, src)
                                                 : conv_load_pairs(mask, src));
        }
        return;
    }
#endif
    conv_copy_row(dst, src, row->lo, inside ? row->hi : 0, row->n, row->step);
}

/* dst[i] = src[i] for i in [0, n), and nothing else is touched. */
static inline void conv_store_row(float *dst, const float *src, int64_t n) {
#if defined(__AVX512F__)
    for (; n >= 16; n -= 16, dst += 16, src += 16) _mm512_storeu_ps(dst, _mm512_loadu_ps(src));
    const __mmask16 mask = (__mmask16)((1u << n) - 1);
    if (n) _mm512_mask_storeu_ps(dst, mask, _mm512_maskz_loadu_ps(mask, src));
#else
    memcpy(dst, src, (size_t)n * sizeof *dst);
#endif
}

#if defined(__AVX512F__)
/* to[i * ld + j] = x[j * step + i] for 16 x 16: both sides by whole rows. */
static inline void conv_transpose_16(float *to, int64_t ld, const float *x, int64_t step) {
    rl_transpose_square(to, ld, x, step);
}
#endif

#if defined(__AVX512F__)
/* dst[2 * i] = src[i] for i in [0, min(n, 8)), and nothing else is touched. */
static inline void conv_store_pairs(float *dst, const float *src, int64_t n) {
    const __m512i twice = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    const __mmask16 mask = (__mmask16)(n < 8 ? (1u << n) - 1 : 0xff);
    const __m512 x = _mm512_maskz_loadu_ps(mask, src);
    _mm512_mask_storeu_ps(dst, (__mmask16)_pdep_u32(mask, 0x5555), _mm512_permutexvar_ps(twice, x));
}
#endif

/* The i in [lo, hi) for which first + i * step lies in [0, size); hi may be below lo. */
static inline void conv_inside(int64_t first, int64_t step, int64_t size, int64_t *lo,
                               int64_t *hi) {
    *lo = first < 0 ? conv_ceil(-first, step) : 0;
    *hi = first < size ? (size - 1 - first) / step + 1 : 0;
}

#endif
