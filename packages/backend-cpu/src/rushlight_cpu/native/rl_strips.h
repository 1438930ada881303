/* Products whose left operand is read where it lies: a strip of the result is 1 to RL_NV vectors
   wide, and each of its elements is a sum over `depth`.

       for k in 0..depth:  c[i][j] += a(i, k) * b[k][j]

   `rl_strip_rows`: a(i, k) = a[i * lda + k], a matrix as it is.
   `rl_strip_columns`: a(i, k) = a[k * lda + i], its transpose.
   Unlike rl_gemm.h nothing is packed, which pays where `a` is used only a few times. */
#ifndef RL_STRIPS_H
#define RL_STRIPS_H

#include "rl_gemm.h"

#define RL_STRIP_INLINE static inline __attribute__((always_inline))

/* `mr` and `nv` are constants where this is inlined, so that `s` is registers. */
RL_STRIP_INLINE void rl_strip_tile(const int mr, const int nv, const bool transposed,
                                   int64_t depth, const float *a, int64_t lda, const float *b,
                                   int64_t ldb, float *c, int64_t ldc, bool add) {
    rl_vector s[RL_MR][RL_NV];
    _Pragma("GCC unroll 8") for (int i = 0; i < mr; i++) {
        _Pragma("GCC unroll 3") for (int v = 0; v < nv; v++) s[i][v] = (rl_vector){0};
    }
    for (int64_t k = 0; k < depth; k++) {
        rl_vector x[RL_NV];
        _Pragma("GCC unroll 3") for (int v = 0; v < nv; v++) {
            x[v] = rl_load(b + k * ldb + v * RL_LANES);
        }
        /* The next tile's rows: its columns, or all that lies there if the matrix is dense. */
        if (mr == RL_MR) __builtin_prefetch(transposed ? a + k * lda + mr : a + mr * (lda + k));
        _Pragma("GCC unroll 8") for (int i = 0; i < mr; i++) {
            rl_vector w = rl_splat(transposed ? a[k * lda + i] : a[i * lda + k]);
            _Pragma("GCC unroll 3") for (int v = 0; v < nv; v++) s[i][v] += w * x[v];
        }
    }
    _Pragma("GCC unroll 8") for (int i = 0; i < mr; i++) {
        _Pragma("GCC unroll 3") for (int v = 0; v < nv; v++) {
            float *to = c + i * ldc + v * RL_LANES;
            rl_store(to, add ? s[i][v] + rl_load(to) : s[i][v]);
        }
    }
}

RL_STRIP_INLINE void rl_strip(const int nv, const bool transposed, int64_t rows, int64_t depth,
                              const float *a, int64_t lda, const float *b, int64_t ldb, float *c,
                              int64_t ldc, bool add) {
    const int64_t step = transposed ? 1 : lda;
    int64_t i = 0;
#define RL_STRIP_ROWS(MR)                                                                         \
    for (; rows - i >= MR; i += MR) {                                                             \
        rl_strip_tile(MR, nv, transposed, depth, a + i * step, lda, b, ldb, c + i * ldc, ldc, add); \
    }
    RL_STRIP_ROWS(RL_MR)
#if RL_MR > 4
    RL_STRIP_ROWS(4)
#endif
    RL_STRIP_ROWS(2)
    RL_STRIP_ROWS(1)
#undef RL_STRIP_ROWS
}

#define RL_STRIP_FUNCTION(NAME, NV, TRANSPOSED)                                                   \
    static __attribute__((noinline, unused)) void NAME(                                           \
        int64_t rows, int64_t depth, const float *a, int64_t lda, const float *b, int64_t ldb,    \
        float *c, int64_t ldc, bool add) {                                                        \
        rl_strip(NV, TRANSPOSED, rows, depth, a, lda, b, ldb, c, ldc, add);                       \
    }
RL_STRIP_FUNCTION(rl_strip_rows, RL_NV, false)
RL_STRIP_FUNCTION(rl_strip_columns, RL_NV, true)
RL_STRIP_FUNCTION(rl_strip_rows_1, 1, false)
RL_STRIP_FUNCTION(rl_strip_rows_2, 2, false)

/* c += a b for rows of b and c of any number of vectors. */
static inline __attribute__((unused)) void rl_strips_add(int64_t vectors, int64_t rows,
                                                         int64_t depth, const float *a,
                                                         int64_t lda, const float *b, int64_t ldb,
                                                         float *c, int64_t ldc) {
    for (int64_t v = 0; v < vectors;) {
        int64_t left = vectors - v;
        int some = left >= RL_NV && left != RL_NV + 1 ? RL_NV : left >= 2 ? 2 : 1; /* 4 is 2 + 2 */
        (some == RL_NV ? RL_NV == 2 ? rl_strip_rows_2 : rl_strip_rows
         : some == 2   ? rl_strip_rows_2
                       : rl_strip_rows_1)(rows, depth, a, lda, b + v * RL_LANES, ldb,
                                          c + v * RL_LANES, ldc, true);
        v += some;
    }
}

#endif
