/* A matrix product by tiles, for operands that are not matrices in memory (convolution,
   attention) or whose result is not simply stored.  Plain products are BLAS's (rl.h).

   The tile is RL_MR x RL_NR accumulators that stay in registers:

       for k in 0..depth:  c[i][j] += a[k * RL_MR + i] * b[k][j]

   `a` is packed (RL_MR values for each k), `b` is one pointer per k or rows `ldb` apart.  Vectors
   are GCC's: one source for all instruction sets.  Everything is static: include and use. */
#ifndef RL_GEMM_H
#define RL_GEMM_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX__
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define RL_LANES 16
#define RL_MR 8
#define RL_NV 3
#elif defined(__AVX__)
#define RL_LANES 8
#define RL_MR 4
#define RL_NV 3
#else
#define RL_LANES 4
#define RL_MR 4
#define RL_NV 2
#endif
#define RL_NR (RL_LANES * RL_NV) /* 48, 24 or 8 columns */

typedef float rl_vector __attribute__((vector_size(4 * RL_LANES)));
typedef float rl_vector_u __attribute__((vector_size(4 * RL_LANES), aligned(4), may_alias));

static inline rl_vector rl_load(const float *x) { return *(const rl_vector_u *)x; }
static inline void rl_store(float *x, rl_vector v) { *(rl_vector_u *)x = v; }
/* A literal: `(rl_vector){0} + x` would add a scalar addition to each broadcast. */
static inline rl_vector rl_splat(float x) {
#if RL_LANES == 16
    return (rl_vector){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
#elif RL_LANES == 8
    return (rl_vector){x, x, x, x, x, x, x, x};
#else
    return (rl_vector){x, x, x, x};
#endif
}

#define RL_TILE_BODY(ROW)                                                                         \
    rl_vector s[RL_MR][RL_NV];                                                                    \
    if (add) {                                                                                    \
        _Pragma("GCC unroll 8") for (int i = 0; i < RL_MR; i++) {                                 \
            _Pragma("GCC unroll 3") for (int v = 0; v < RL_NV; v++) {                             \
                s[i][v] = rl_load(c + i * ldc + v * RL_LANES);                                    \
            }                                                                                     \
        }                                                                                         \
    } else {                                                                                      \
        memset(s, 0, sizeof s);                                                                   \
    }                                                                                             \
    for (int64_t k = 0; k < depth; k++) {                                                         \
        const float *row = ROW;                                                                   \
        rl_vector x[RL_NV];                                                                       \
        _Pragma("GCC unroll 3") for (int v = 0; v < RL_NV; v++) x[v] = rl_load(row + v * RL_LANES); \
        _Pragma("GCC unroll 8") for (int i = 0; i < RL_MR; i++) {                                 \
            rl_vector w = rl_splat(a[k * RL_MR + i]);                                             \
            _Pragma("GCC unroll 3") for (int v = 0; v < RL_NV; v++) s[i][v] += w * x[v];          \
        }                                                                                         \
    }                                                                                             \
    _Pragma("GCC unroll 8") for (int i = 0; i < RL_MR; i++) {                                     \
        _Pragma("GCC unroll 3") for (int v = 0; v < RL_NV; v++) {                                 \
            rl_store(c + i * ldc + v * RL_LANES, s[i][v]);                                        \
        }                                                                                         \
    }

/* c[RL_MR][RL_NR] = a * b, plus c where `add`; rows of b are `ldb` floats apart. */
static inline void rl_tile(int64_t depth, const float *a, const float *b, int64_t ldb, float *c,
                           int64_t ldc, bool add) {
    RL_TILE_BODY(b + k * ldb)
}

/* The same with row k of b at x + offsets[k]. */
static inline void rl_tile_offsets(int64_t depth, const float *a, const float *x,
                                   const int64_t *offsets, float *c, int64_t ldc, bool add) {
    RL_TILE_BODY(x + offsets[k])
}

/* Packs rows [0, rows) of a (element (i, k) at a[i * row + k * column]) for the tiles above: the
   panel of rows i..i+RL_MR-1 starts at to + i * depth; rows past the last are 0. */
static inline void rl_pack_rows(float *to, const float *a, int64_t rows, int64_t depth,
                                int64_t row, int64_t column) {
    for (int64_t i = 0; i < rows; i += RL_MR) {
        int some = rows - i < RL_MR ? (int)(rows - i) : RL_MR;
        for (int64_t k = 0; k < depth; k++, to += RL_MR) {
            for (int m = 0; m < RL_MR; m++) {
                to[m] = m < some ? a[(i + m) * row + k * column] : 0.0f;
            }
        }
    }
}
static inline int64_t rl_packed_size(int64_t rows, int64_t depth) {
    return (rows + RL_MR - 1) / RL_MR * RL_MR * depth;
}

/* A quad of floats from each of RL_LANES / 4 rows: loads put them into their lanes. */
static inline __attribute__((always_inline)) rl_vector rl_load_quads(const float *b, int64_t step) {
#if RL_LANES == 16
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(b));
    v = _mm512_insertf32x4(v, _mm_loadu_ps(b + step), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(b + 2 * step), 2);
    return (rl_vector)_mm512_insertf32x4(v, _mm_loadu_ps(b + 3 * step), 3);
#elif RL_LANES == 8
    __m256 v = _mm256_castps128_ps256(_mm_loadu_ps(b));
    return (rl_vector)_mm256_insertf128_ps(v, _mm_loadu_ps(b + step), 1);
#else
    (void)step;
    return rl_load(b);
#endif
}

/* Writes the transpose of a square of RL_LANES rows, `ldb` apart, to rows `width` apart. */
static inline __attribute__((always_inline)) void rl_transpose_square(float *to, int64_t width,
                                                                      const float *b, int64_t ldb) {
    typedef int32_t indices __attribute__((vector_size(4 * RL_LANES)));
    indices low, high, pairs_low, pairs_high; /* of two vectors, within each four lanes */
    for (int j = 0; j < RL_LANES; j++) {
        int lane = j / 4 * 4, second = j % 2 * RL_LANES;
        low[j] = lane + j % 4 / 2 + second, high[j] = low[j] + 2;
        pairs_low[j] = lane + j % 2 + j % 4 / 2 * RL_LANES, pairs_high[j] = pairs_low[j] + 2;
    }
    _Pragma("GCC unroll 4") for (int q = 0; q < RL_LANES; q += 4) {
        rl_vector x[4];
        _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) {
            x[i] = rl_load_quads(b + q + i * ldb, 4 * ldb);
        }
        rl_vector a = __builtin_shuffle(x[0], x[1], low), c = __builtin_shuffle(x[0], x[1], high);
        rl_vector d = __builtin_shuffle(x[2], x[3], low), e = __builtin_shuffle(x[2], x[3], high);
        rl_store(to + q * width, __builtin_shuffle(a, d, pairs_low));
        rl_store(to + (q + 1) * width, __builtin_shuffle(a, d, pairs_high));
        rl_store(to + (q + 2) * width, __builtin_shuffle(c, e, pairs_low));
        rl_store(to + (q + 3) * width, __builtin_shuffle(c, e, pairs_high));
    }
}

/* How many columns of `left` the next strip takes: whole vectors, and the last not alone. */
static inline int64_t rl_strip_width(int64_t left) {
    int64_t vectors = (left + RL_LANES - 1) / RL_LANES;
    int64_t some = vectors >= RL_NV && vectors != RL_NV + 1 ? RL_NV : vectors >= 2 ? 2 : 1;
    return some * RL_LANES < left ? some * RL_LANES : left;
}

/* Rows that are asked for early: the processor foresees none in another page. */
#define RL_AHEAD 12

/* `nv` is a constant where this is inlined: compilers would call a copy of memory for a loop. */
static inline __attribute__((always_inline)) void rl_pack_vectors(const int nv, const bool far,
                                                                  float *to, const float *b,
                                                                  int64_t ldb, bool turned,
                                                                  int64_t depth) {
    const int64_t width = nv * RL_LANES;
    if (!turned) {
        for (int64_t k = 0; k < depth; k++, b += ldb, to += width) {
            _Pragma("GCC unroll 3") for (int v = 0; v < nv; v++) {
                if (far) __builtin_prefetch(b + RL_AHEAD * ldb + v * RL_LANES);
                rl_store(to + v * RL_LANES, rl_load(b + v * RL_LANES));
            }
        }
        return;
    }
    for (int v = 0; v < nv; v++, b += RL_LANES * ldb, to += RL_LANES) {
        int64_t k = 0;
        for (; depth - k >= RL_LANES; k += RL_LANES) {
            rl_transpose_square(to + k * width, width, b + k, ldb);
        }
        for (; k < depth; k++) {
            for (int i = 0; i < RL_LANES; i++) to[k * width + i] = b[i * ldb + k];
        }
    }
}

/* `some` columns of b, or rows if it is turned, side by side in as many vectors as they need:
   to[k][j] = b(k, j), for columns past the last 0.
   `far`: b comes from memory. */
static inline __attribute__((always_inline)) void rl_pack_columns(const bool far, float *to,
                                                                  const float *b, int64_t ldb,
                                                                  bool turned, int64_t depth,
                                                                  int64_t some) {
    if (some == 3 * RL_LANES) rl_pack_vectors(3, far, to, b, ldb, turned, depth);
    else if (some == 2 * RL_LANES) rl_pack_vectors(2, far, to, b, ldb, turned, depth);
    else if (some == RL_LANES) rl_pack_vectors(1, far, to, b, ldb, turned, depth);
    else {
        int64_t width = (some + RL_LANES - 1) / RL_LANES * RL_LANES;
        int64_t down = turned ? 1 : ldb, along = turned ? ldb : 1;
        for (int64_t k = 0; k < depth; k++, to += width) {
            for (int64_t j = 0; j < width; j++) to[j] = j < some ? b[k * down + j * along] : 0.0f;
        }
    }
}

#endif
