/* The loops of softmax.c for one real type. */
#include "rl_rows.h"

typedef struct {
    const T *x, *g; /* of a backward operator: x is the forward's result */
    T *out;
    int64_t rows, n, inner, strips, width; /* rows of n; columns, and how they are cut */
    bool unshifted;                  /* rows with an infinite maximum stay as they are */
    int which;
} F(job);

static void F(softmax_row)(const T *x, T *y, int64_t n, int which) {
    int64_t whole = n & -PADDED, rest = n - whole;
    T end[PADDED], top = F(row_max)(x, whole);
    if (rest) {
        F(pad)(x + whole, rest, end);
        for (int i = 0; i < PADDED; i++) top = end[i] > top ? end[i] : top;
    }
    if (which == SOFTMAX) {
        double sum = F(row_exp)(x, top, y, whole);
        if (rest) sum += F(row_exp)(end, top, end, PADDED);
        const T factor = (T)(1 / sum);
        for (int64_t i = 0; i < whole; i++) y[i] *= factor;
        for (int i = 0; rest && i < PADDED; i++) end[i] *= factor;
        memcpy(y + whole, end, (size_t)rest * sizeof(T));
        return;
    }
    double sum = F(row_exp_sum)(x, top, whole);
    if (rest) sum += F(row_exp_sum)(end, top, PADDED);
    const T log_sum = F(rl_log)((T)sum);
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - top) - log_sum;
}

static void F(backward_row)(const T *restrict g, const T *restrict y, T *restrict out, int64_t n,
                            int which) {
    if (which == SOFTMAX_BACKWARD) {
        const T dot = (T)F(row_dot)(g, y, n);
        for (int64_t i = 0; i < n; i++) out[i] = y[i] * (g[i] - dot);
        return;
    }
    int64_t whole = n & -PADDED, rest = n - whole;
    const T sum = (T)F(row_sum)(g, n);
    for (int64_t i = 0; i < whole; i++) out[i] = g[i] - F(rl_exp)(y[i]) * sum;
    if (!rest) return;
    T end[PADDED];
    F(pad)(y + whole, rest, end);
    for (int i = 0; i < PADDED; i++) end[i] = F(rl_exp)(end[i]);
    for (int64_t i = 0; i < rest; i++) out[whole + i] = g[whole + i] - end[i] * sum;
}

/* log(sum(exp(x))) of a row, read from memory once. */
static T F(log_sum_exp)(const T *x, int64_t n, bool unshifted) {
    T top = -F(rl_infinity)();
    double sum = 0;
    for (int64_t at = 0; at < n; at += ROW_BLOCK) {
        int64_t m = n - at < ROW_BLOCK ? n - at : ROW_BLOCK, whole = m & -PADDED;
        T end[PADDED], high = F(row_max)(x + at, whole);
        if (m > whole) {
            F(pad)(x + at + whole, m - whole, end);
            for (int i = 0; i < PADDED; i++) high = end[i] > high ? end[i] : high;
        }
        if (high > top) {
            if (sum != 0) sum *= F(rl_exp)(top - high);
            top = high;
        }
        /* Nothing but -infinity (and NaN) so far: no shift, and only NaN adds something. */
        const T shift = top == -F(rl_infinity)() ? 0 : top;
        sum += F(block_exp_sum)(x + at, shift, whole);
        if (m > whole) sum += F(block_exp_sum)(end, shift, PADDED);
    }
    if (F(rl_abs)(top) < F(rl_infinity)()) return top + F(rl_log)((T)sum);
    if (!unshifted) return F(rl_nan)();
    return F(rl_log)((T)F(row_exp_sum)(x, 0, n));
}

/* Sums run over GROUP rows before they join the total. */
#define EACH_GROUP(body)                                                                          \
    memset(total, 0, (size_t)width * sizeof(T));                                              \
    for (int64_t from = 0; from < n; from += GROUP) {                                             \
        int64_t to = from + GROUP < n ? from + GROUP : n;                                         \
        memset(sum, 0, (size_t)width * sizeof(T));                                              \
        for (int64_t r = from; r < to; r++) {                                                     \
            body                                                                                  \
        }                                                                                         \
        for (int64_t k = 0; k < width; k++) total[k] += sum[k];                                   \
    }

static void F(softmax_columns)(const T *restrict x, T *restrict out, int64_t n, int64_t inner,
                               int64_t width, const F(job) *j) {
    T top[WIDEST], sum[WIDEST], total[WIDEST];
    for (int64_t k = 0; k < width; k++) top[k] = -F(rl_infinity)();
    for (int64_t r = 0; r < n; r++) {
        const T *row = x + r * inner;
        for (int64_t k = 0; k < width; k++) top[k] = row[k] > top[k] ? row[k] : top[k];
    }
    if (j->unshifted) {
        for (int64_t k = 0; k < width; k++) {
            top[k] = F(rl_abs)(top[k]) < F(rl_infinity)() ? top[k] : 0;
        }
    }
    if (j->which == SOFTMAX) {
        EACH_GROUP(const T *row = x + r * inner; T *y = out + r * inner;
                   for (int64_t k = 0; k < width; k++) {
                       T e = F(rl_exp)(row[k] - top[k]);
                       y[k] = e;
                       sum[k] += e;
                   })
        for (int64_t k = 0; k < width; k++) total[k] = 1 / total[k];
        for (int64_t r = 0; r < n; r++) {
            T *y = out + r * inner;
            for (int64_t k = 0; k < width; k++) y[k] *= total[k];
        }
        return;
    }
    EACH_GROUP(const T *row = x + r * inner;
               for (int64_t k = 0; k < width; k++) sum[k] += F(rl_exp)(row[k] - top[k]);)
    for (int64_t k = 0; k < width; k++) total[k] = F(rl_log)(total[k]);
    if (j->which == LOG_SUM_EXP) {
        for (int64_t k = 0; k < width; k++) {
            /* A maximum of NaN alone, or one that is infinite, makes the softmax NaN. */
            out[k] = top[k] + total[k];
        }
        return;
    }
    for (int64_t r = 0; r < n; r++) {
        const T *row = x + r * inner;
        T *y = out + r * inner;
        for (int64_t k = 0; k < width; k++) y[k] = (row[k] - top[k]) - total[k];
    }
}

static void F(backward_columns)(const T *restrict g, const T *restrict x, T *restrict out,
                                int64_t n, int64_t inner, int64_t width, int which) {
    T sum[WIDEST], total[WIDEST];
    bool plain = which == SOFTMAX_BACKWARD;
    EACH_GROUP(const T *a = g + r * inner; const T *b = x + r * inner;
               if (plain) for (int64_t k = 0; k < width; k++) sum[k] += a[k] * b[k];
               else for (int64_t k = 0; k < width; k++) sum[k] += a[k];)
    for (int64_t r = 0; r < n; r++) {
        const T *a = g + r * inner, *b = x + r * inner;
        T *y = out + r * inner;
        if (plain) for (int64_t k = 0; k < width; k++) y[k] = b[k] * (a[k] - total[k]);
        else for (int64_t k = 0; k < width; k++) y[k] = a[k] - F(rl_exp)(b[k]) * total[k];
    }
}

static void F(columns)(void *context, int64_t begin, int64_t end) {
    const F(job) *j = context;
    for (int64_t i = begin; i < end; i++) {
        int64_t o = i / j->strips, first = i % j->strips * j->width;
        int64_t width = j->inner - first < j->width ? j->inner - first : j->width;
        int64_t at = o * j->n * j->inner + first;
        T *out = j->out + (j->which == LOG_SUM_EXP ? o * j->inner + first : at);
        if (j->g) {
            F(backward_columns)(j->g + at, j->x + at, out, j->n, j->inner, width, j->which);
        } else {
            F(softmax_columns)(j->x + at, out, j->n, j->inner, width, j);
        }
    }
}

static void F(rows)(void *context, int64_t begin, int64_t end) {
    const F(job) *j = context;
    for (int64_t r = begin; r < end; r++) {
        int64_t at = r * j->n;
        if (j->which == LOG_SUM_EXP) j->out[r] = F(log_sum_exp)(j->x + at, j->n, j->unshifted);
        else if (j->g) F(backward_row)(j->g + at, j->x + at, j->out + at, j->n, j->which);
        else F(softmax_row)(j->x + at, j->out + at, j->n, j->which);
    }
}

/* Short rows: TOGETHER of them turned over, so that they are columns. */
static void F(short_rows)(void *context, int64_t begin, int64_t end) {
    const F(job) *j = context;
    T x[SHORT * TOGETHER], g[SHORT * TOGETHER], y[SHORT * TOGETHER];
    const int64_t n = j->n;
    for (int64_t group = begin; group < end; group++) {
        int64_t first = group * TOGETHER, at = first * n;
        int rows = j->rows - first < TOGETHER ? (int)(j->rows - first) : TOGETHER;
        if (rows < TOGETHER) {
            memset(x, 0, sizeof x);
            memset(g, 0, sizeof g);
        }
        for (int64_t i = 0; i < n; i++) {
            for (int r = 0; r < rows; r++) x[i * TOGETHER + r] = j->x[at + r * n + i];
            if (!j->g) continue;
            for (int r = 0; r < rows; r++) g[i * TOGETHER + r] = j->g[at + r * n + i];
        }
        if (j->g) F(backward_columns)(g, x, y, n, TOGETHER, TOGETHER, j->which);
        else F(softmax_columns)(x, y, n, TOGETHER, TOGETHER, j);
        if (j->which == LOG_SUM_EXP) {
            memcpy(j->out + first, y, (size_t)rows * sizeof(T));
            continue;
        }
        for (int r = 0; r < rows; r++) {
            for (int64_t i = 0; i < n; i++) j->out[at + r * n + i] = y[i * TOGETHER + r];
        }
    }
}

/* x is seen as (outer, n, inner). */
static void F(along)(const T *g, const T *x, T *out, int64_t outer, int64_t n, int64_t inner,
                     int which, bool unshifted) {
    F(job) j = {x, g, out, outer, n, inner, 1, inner, unshifted, which};
    if (!outer || !n || !inner) return;
    int64_t units = outer, each = n;
    rl_range_task task = F(rows);
    if (inner > 1) {
        int64_t fit = CACHED / n & ~(int64_t)15;
        j.width = fit < 64 ? 64 : fit > WIDEST ? WIDEST : fit;
        if (j.width > inner) j.width = inner;
        j.strips = (inner + j.width - 1) / j.width;
        units = outer * j.strips, each = n * j.width, task = F(columns);
    } else if (n <= SHORT) {
        units = (outer + TOGETHER - 1) / TOGETHER, each = n * TOGETHER, task = F(short_rows);
    }
    RL_RELEASE_GIL(units * each > TASK)
    rl_parallel_range(units, TASK / each, task, &j);
    RL_TAKE_GIL
}
#undef EACH_GROUP
