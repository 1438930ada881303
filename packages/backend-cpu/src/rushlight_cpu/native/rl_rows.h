/* Sums, dot products and extremes of one row, for one real type: included once per type, with T,
   F(name) and rl_math_types.h in place.

   The pragmas let the compiler add in lanes; four streams hide the latency of additions.  Blocks
   of ROW_BLOCK elements are added up in double.  The order depends on the length only. */

#ifndef ROW_BLOCK
#define ROW_BLOCK 2048
#define PADDED 16 /* what a row's end is filled up to, where leftover elements would be slow */
#endif

/* The sum of E(i) for i in [0, n), n <= ROW_BLOCK. */
#define SUM_OF(E, n)                                                                              \
    T s0 = 0, s1 = 0, s2 = 0, s3 = 0;                                                             \
    const int64_t q = (n) / 4 & ~(int64_t)15;                                                     \
    _Pragma("omp simd reduction(+ : s0, s1, s2, s3)") for (int64_t i = 0; i < q; i++) {           \
        s0 += E(i);                                                                               \
        s1 += E(i + q);                                                                           \
        s2 += E(i + 2 * q);                                                                       \
        s3 += E(i + 3 * q);                                                                       \
    }                                                                                             \
    _Pragma("omp simd reduction(+ : s0)") for (int64_t i = 4 * q; i < (n); i++) s0 += E(i);       \
    return (s0 + s1) + (s2 + s3);

static inline T F(block_sum)(const T *restrict x, int64_t n) {
#define E(i) x[i]
    SUM_OF(E, n)
#undef E
}

static inline T F(block_dot)(const T *restrict x, const T *restrict y, int64_t n) {
#define E(i) (x[i] * y[i])
    SUM_OF(E, n)
#undef E
}

/* Of distances from `c`. */
static inline T F(block_sum_from)(const T *restrict x, T c, int64_t n) {
#define E(i) (x[i] - c)
    SUM_OF(E, n)
#undef E
}

/* Of squares of distances from `c`. */
static inline T F(block_spread)(const T *restrict x, T c, int64_t n) {
#define E(i) ((x[i] - c) * (x[i] - c))
    SUM_OF(E, n)
#undef E
}

#define IN_BLOCKS(n, call)                                                                        \
    double total = 0;                                                                             \
    for (int64_t at = 0; at < (n); at += ROW_BLOCK) {                                             \
        int64_t m = (n)-at < ROW_BLOCK ? (n)-at : ROW_BLOCK;                                      \
        total += call;                                                                            \
    }                                                                                             \
    return total;

static inline double F(row_sum)(const T *x, int64_t n) {
    IN_BLOCKS(n, F(block_sum)(x + at, m))
}
static inline double F(row_sum_from)(const T *x, T c, int64_t n) {
    IN_BLOCKS(n, F(block_sum_from)(x + at, c, m))
}
static inline double F(row_dot)(const T *x, const T *y, int64_t n) {
    IN_BLOCKS(n, F(block_dot)(x + at, y + at, m))
}
static inline double F(row_spread)(const T *x, T c, int64_t n) {
    IN_BLOCKS(n, F(block_spread)(x + at, c, m))
}

/* The largest element; NaN is passed over, and -infinity is that of nothing. */
static inline T F(row_max)(const T *restrict x, int64_t n) {
    T m0 = -F(rl_infinity)(), m1 = m0, m2 = m0, m3 = m0;
    const int64_t q = n / 4 & ~(int64_t)15;
#pragma omp simd reduction(max : m0, m1, m2, m3)
    for (int64_t i = 0; i < q; i++) {
        m0 = x[i] > m0 ? x[i] : m0;
        m1 = x[i + q] > m1 ? x[i + q] : m1;
        m2 = x[i + 2 * q] > m2 ? x[i + 2 * q] : m2;
        m3 = x[i + 3 * q] > m3 ? x[i + 3 * q] : m3;
    }
#pragma omp simd reduction(max : m0)
    for (int64_t i = 4 * q; i < n; i++) m0 = x[i] > m0 ? x[i] : m0;
    m0 = m1 > m0 ? m1 : m0;
    m2 = m3 > m2 ? m3 : m2;
    return m2 > m0 ? m2 : m0;
}

/* The sum of exp(x - c), without and with keeping the terms. */
static inline T F(block_exp_sum)(const T *restrict x, T c, int64_t n) {
    T s = 0;
#pragma omp simd reduction(+ : s)
    for (int64_t i = 0; i < n; i++) s += F(rl_exp)(x[i] - c);
    return s;
}
static inline T F(block_exp)(const T *restrict x, T c, T *restrict y, int64_t n) {
    T s = 0;
#pragma omp simd reduction(+ : s)
    for (int64_t i = 0; i < n; i++) {
        T e = F(rl_exp)(x[i] - c);
        y[i] = e;
        s += e;
    }
    return s;
}
static inline double F(row_exp_sum)(const T *x, T c, int64_t n) {
    IN_BLOCKS(n, F(block_exp_sum)(x + at, c, m))
}
static inline double F(row_exp)(const T *x, T c, T *y, int64_t n) {
    IN_BLOCKS(n, F(block_exp)(x + at, c, y + at, m))
}

/* The end of a row in a buffer of PADDED elements, filled up with -infinity. */
static inline void F(pad)(const T *x, int64_t n, T *buffer) {
    for (int i = 0; i < PADDED; i++) buffer[i] = -F(rl_infinity)();
    memcpy(buffer, x, (size_t)n * sizeof(T));
}
