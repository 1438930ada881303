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

/* Transposes a square of vectors: exchanges off-diagonal blocks of 2 x 2, of 4 x 4, ... */
static inline __attribute__((always_inline)) void rl_transpose(rl_vector *r) {
    typedef int32_t indices __attribute__((vector_size(4 * RL_LANES)));
    _Pragma("GCC unroll 4") for (int s = 1; s < RL_LANES; s *= 2) {
        indices low, high;
        for (int j = 0; j < RL_LANES; j++) {
            low[j] = j & s ? RL_LANES + j - s : j;
            high[j] = j & s ? RL_LANES + j : j + s;
        }
        _Pragma("GCC unroll 16") for (int i = 0; i < RL_LANES; i++) {
            if (i & s) continue;
            rl_vector x = r[i], y = r[i + s];
            r[i] = __builtin_shuffle(x, y, low);
            r[i + s] = __builtin_shuffle(x, y, high);
        }
    }
}

/* Rows that are asked for early: the processor foresees none in another page. */
#define RL_AHEAD 12

/* `some` columns of b, or rows if it is turned, side by side in as many vectors as they need:
   to[k][j] = b(k, j), for columns past the last 0.
   `far`: b comes from memory. */
static inline __attribute__((always_inline)) void rl_pack_columns(const bool far, float *to,
                                                                  const float *b, int64_t ldb,
                                                                  bool turned, int64_t depth,
                                                                  int64_t some) {
    int64_t width = (some + RL_LANES - 1) / RL_LANES * RL_LANES, whole = some / RL_LANES * RL_LANES;
    if (!turned) {
        for (int64_t k = 0; k < depth; k++, b += ldb, to += width) {
            for (int64_t j = 0; far && j < width; j += 16) {
                __builtin_prefetch(b + RL_AHEAD * ldb + j);
            }
            for (int64_t j = 0; j < whole; j += RL_LANES) rl_store(to + j, rl_load(b + j));
            for (int64_t j = whole; j < width; j++) to[j] = j < some ? b[j] : 0.0f;
        }
        return;
    }
    for (int64_t j = 0; j < width; j += RL_LANES, b += RL_LANES * ldb, to += RL_LANES) {
        int64_t k = 0;
        for (; j < whole && depth - k >= RL_LANES; k += RL_LANES) {
            rl_vector r[RL_LANES];
            _Pragma("GCC unroll 16") for (int i = 0; i < RL_LANES; i++) {
                r[i] = rl_load(b + i * ldb + k);
            }
            rl_transpose(r);
            _Pragma("GCC unroll 16") for (int i = 0; i < RL_LANES; i++) {
                rl_store(to + (k + i) * width, r[i]);
            }
        }
        for (; k < depth; k++) {
            for (int64_t i = 0; i < RL_LANES; i++) {
                to[k * width + i] = j + i < some ? b[i * ldb + k] : 0.0f;
            }
        }
    }
}

#endif
