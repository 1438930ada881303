/* The loops of reduction.c for one real type. */

#include "rl_rows.h"

#define LANES 64 /* accumulators: enough to hide the latency of additions */

/* NaN wins: a comparison with it is false, so it is kept once it is there. */
static inline T F(greater)(T a, T b) { return b > a || b != b ? b : a; }
static inline T F(lesser)(T a, T b) { return b < a || b != b ? b : a; }
static inline T F(times)(T a, T b) { return a * b; }

/* The sum, product or extreme of at most BLOCK elements. */
static T F(block)(const T *x, int64_t n, int which) {
    T lane[LANES];
    int64_t whole = n / LANES * LANES;
    T out = 0;
    if (which <= MEAN) {
        if (whole) {
            for (int k = 0; k < LANES; k++) lane[k] = x[k];
            for (int64_t i = LANES; i < whole; i += LANES) {
                for (int k = 0; k < LANES; k++) lane[k] += x[i + k];
            }
            for (int width = LANES / 2; width; width /= 2) {
                for (int k = 0; k < width; k++) lane[k] += lane[k + width];
            }
            out = lane[0];
        }
        for (int64_t i = whole; i < n; i++) out += x[i];
        return out;
    }
#define EXTREME(better)                                                                           \
    out = which == PROD ? 1 : x[0];                                                               \
    if (whole) {                                                                                  \
        for (int k = 0; k < LANES; k++) lane[k] = x[k];                                           \
        for (int64_t i = LANES; i < whole; i += LANES) {                                          \
            for (int k = 0; k < LANES; k++) lane[k] = better(lane[k], x[i + k]);                  \
        }                                                                                         \
        for (int width = LANES / 2; width; width /= 2) {                                          \
            for (int k = 0; k < width; k++) lane[k] = better(lane[k], lane[k + width]);           \
        }                                                                                         \
        out = better(out, lane[0]);                                                               \
    }                                                                                             \
    for (int64_t i = whole; i < n; i++) out = better(out, x[i]);
    if (which == AMAX) {
        EXTREME(F(greater))
    } else if (which == AMIN) {
        EXTREME(F(lesser))
    } else {
        EXTREME(F(times))
    }
#undef EXTREME
    return out;
}

static inline T F(join)(T a, T b, int which) {
    return which <= MEAN   ? a + b
           : which == AMAX ? F(greater)(a, b)
           : which == AMIN ? F(lesser)(a, b)
                           : a * b;
}

/* Blocks joined in pairs: the error grows with the logarithm of their number. */
static T F(row)(const T *x, int64_t n, int which) {
    if (n <= BLOCK) return F(block)(x, n, which);
    int64_t half = (n / 2 + BLOCK - 1) / BLOCK * BLOCK;
    return F(join)(F(row)(x, half, which), F(row)(x + half, n - half, which), which);
}

static T F(pairs)(const T *x, int64_t n, int which) {
    if (n == 1) return x[0];
    int64_t half = n / 2;
    return F(join)(F(pairs)(x, half, which), F(pairs)(x + half, n - half, which), which);
}

typedef struct {
    const T *x;
    T *out;
    int64_t outer, count, inner;
    int64_t rows, parts, columns, strips; /* of a task; how many of each */
    int which;
} F(job);

static void F(whole_rows)(void *context, int64_t begin, int64_t end) {
    const F(job) *j = context;
    for (int64_t i = begin; i < end; i++) {
        T y = F(row)(j->x + i * j->count, j->count, j->which);
        j->out[i] = j->which == MEAN ? y / (T)j->count : y;
    }
}

/* Part of a long row: its own slot of `out`. */
static void F(part_of_row)(void *context, int64_t i) {
    const F(job) *j = context;
    int64_t row = i / j->parts, begin = i % j->parts * j->rows;
    int64_t n = j->count - begin < j->rows ? j->count - begin : j->rows;
    j->out[i] = F(row)(j->x + row * j->count + begin, n, j->which);
}

/* A strip of columns of a part of the rows. */
static void F(columns)(void *context, int64_t i) {
    const F(job) *j = context;
    int64_t strip = i % j->strips, part = i / j->strips % j->parts, o = i / j->strips / j->parts;
    int64_t c0 = strip * j->columns, r0 = part * j->rows;
    int64_t n = j->inner - c0 < j->columns ? j->inner - c0 : j->columns;
    int64_t rows = j->count - r0 < j->rows ? j->count - r0 : j->rows;
    T *out = j->out + (o * j->parts + part) * j->inner + c0, sums[COLUMNS];
    const T *x = j->x + (o * j->count + r0) * j->inner + c0;
    for (int64_t start = 0; start < rows; start += ROWS) {
        int64_t stop = start + ROWS < rows ? start + ROWS : rows;
        memcpy(sums, x + start * j->inner, n * sizeof(T));
        int64_t r = start + 1;
        if (j->which <= MEAN) {
            for (; r + 3 < stop; r += 4) {
                const T *a = x + r * j->inner, *b = a + j->inner, *c = b + j->inner,
                        *d = c + j->inner;
                for (int64_t k = 0; k < n; k++) sums[k] += (a[k] + b[k]) + (c[k] + d[k]);
            }
        }
        for (; r < stop; r++) {
            const T *y = x + r * j->inner;
            if (j->which <= MEAN) for (int64_t k = 0; k < n; k++) sums[k] += y[k];
            else if (j->which == AMAX)
                for (int64_t k = 0; k < n; k++) sums[k] = F(greater)(sums[k], y[k]);
            else if (j->which == AMIN)
                for (int64_t k = 0; k < n; k++) sums[k] = F(lesser)(sums[k], y[k]);
            else for (int64_t k = 0; k < n; k++) sums[k] *= y[k];
        }
        if (!start) memcpy(out, sums, n * sizeof(T));
        else for (int64_t k = 0; k < n; k++) out[k] = F(join)(out[k], sums[k], j->which);
    }
    if (j->which == MEAN && j->parts == 1) {
        for (int64_t k = 0; k < n; k++) out[k] /= (T)j->count;
    }
}

static bool F(reduce)(const T *x, T *out, int64_t outer, int64_t count, int64_t inner, int which) {
    F(job) j = {x, out, outer, count, inner, 1, 1, 1, 1, which};
    bool large = outer * count * inner > TASK;
    if (inner == 1 && (count <= 2 * TASK || outer >= 64)) {
        RL_RELEASE_GIL(large)
        rl_parallel_range(outer, TASK / count + 1, F(whole_rows), &j);
        RL_TAKE_GIL
        return true;
    }
    if (inner == 1) {
        j.rows = TASK;
    } else {
        j.columns = inner < COLUMNS ? inner : COLUMNS;
        j.strips = (inner + j.columns - 1) / j.columns;
        /* Rows are split where the strips alone give the threads too little to share. */
        j.rows = outer * j.strips >= 16 ? count : TASK / j.columns / ROWS * ROWS + ROWS;
    }
    j.parts = (count + j.rows - 1) / j.rows;
    T *partial = NULL;
    if (j.parts > 1) {
        partial = rl_scratch((size_t)(outer * j.parts * inner) * sizeof(T));
        if (!partial) return false;
        j.out = partial;
    }
    RL_RELEASE_GIL(large)
    rl_parallel(outer * j.parts * j.strips, inner == 1 ? F(part_of_row) : F(columns), &j);
    if (partial) {
        for (int64_t o = 0; o < outer; o++) {
            T *mine = partial + o * j.parts * inner;
            if (inner == 1) {
                T y = F(pairs)(mine, j.parts, which);
                out[o] = which == MEAN ? y / (T)count : y;
                continue;
            }
            for (int64_t width = 1; width < j.parts; width *= 2) {
                for (int64_t p = 0; p + width < j.parts; p += 2 * width) {
                    T *a = mine + p * inner, *b = a + width * inner;
                    for (int64_t k = 0; k < inner; k++) a[k] = F(join)(a[k], b[k], which);
                }
            }
            for (int64_t k = 0; k < inner; k++) {
                out[o * inner + k] = which == MEAN ? mine[k] / (T)count : mine[k];
            }
        }
    }
    RL_TAKE_GIL
    rl_scratch_free(partial);
    return true;
}

/* ---- positions ---- */

/* The first of the best of n elements, NaN being the best. */
static int64_t F(position)(const T *x, int64_t n, int which) {
    int64_t chosen = 0;
    T best = x[0];
    for (int64_t at = 0; at < n; at += BLOCK) {
        T y = F(block)(x + at, n - at < BLOCK ? n - at : BLOCK, which);
        bool better = which == AMAX ? y > best : y < best;
        if (at == 0 || better || (y != y && best == best)) best = y, chosen = at;
        if (y != y) break;
    }
    int64_t end = n - chosen < BLOCK ? n - chosen : BLOCK, i = 0;
    const T *y = x + chosen;
    for (; i + LANES <= end; i += LANES) {
        int found = 0;
        for (int k = 0; k < LANES; k++) found |= (y[i + k] == best) | (y[i + k] != y[i + k]);
        if (found) break;
    }
    for (; i < end - 1; i++) if (y[i] == best || y[i] != y[i]) break;
    return chosen + i;
}

typedef struct {
    const T *x;
    int64_t *out;
    int64_t count, inner, strips, parts, size; /* parts of a row, of `size` elements */
    int which;
} F(search);

static void F(search_rows)(void *context, int64_t begin, int64_t end) {
    const F(search) *j = context;
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i / j->parts, at = i % j->parts * j->size;
        int64_t n = j->count - at < j->size ? j->count - at : j->size;
        j->out[i] = at + F(position)(j->x + row * j->count + at, n, j->which);
    }
}

static void F(search_columns)(void *context, int64_t begin, int64_t end) {
    const F(search) *j = context;
    T best[COLUMNS];
    INDEX where[COLUMNS];
    for (int64_t i = begin; i < end; i++) {
        int64_t o = i / j->strips, first = i % j->strips * COLUMNS;
        int64_t n = j->inner - first < COLUMNS ? j->inner - first : COLUMNS;
        const T *x = j->x + o * j->count * j->inner + first;
        memcpy(best, x, (size_t)n * sizeof(T));
        memset(where, 0, (size_t)n * sizeof(INDEX));
        for (INDEX r = 1; r < j->count; r++) {
            const T *y = x + r * j->inner;
#define PICK(relation)                                                                                for (int64_t k = 0; k < n; k++) {                                                                     bool better = (y[k] relation best[k]) | ((y[k] != y[k]) & (best[k] == best[k]));                  best[k] = better ? y[k] : best[k];                                                                where[k] = better ? r : where[k];                                                             }
            if (j->which == AMAX) {
                PICK(>)
            } else {
                PICK(<)
            }
#undef PICK
        }
        for (int64_t k = 0; k < n; k++) j->out[o * j->inner + first + k] = where[k];
    }
}

static bool F(search_all)(const T *x, int64_t *out, int64_t outer, int64_t count, int64_t inner,
                          int which) {
    F(search) j = {x, out, count, inner, (inner + COLUMNS - 1) / COLUMNS, 1, count, which};
    bool large = outer * count * inner > TASK;
    if (inner > 1) {
        int64_t each = count * (inner < COLUMNS ? inner : COLUMNS);
        RL_RELEASE_GIL(large)
        rl_parallel_range(outer * j.strips, TASK / each, F(search_columns), &j);
        RL_TAKE_GIL
        return true;
    }
    if (outer < 64 && count > 2 * TASK) {
        j.size = TASK, j.parts = (count + TASK - 1) / TASK;
        j.out = rl_scratch((size_t)(outer * j.parts) * sizeof(int64_t));
        if (!j.out) return false;
    }
    RL_RELEASE_GIL(large)
    rl_parallel_range(outer * j.parts, TASK / j.size + 1, F(search_rows), &j);
    for (int64_t o = 0; j.parts > 1 && o < outer; o++) {
        const T *row = x + o * count;
        int64_t best = j.out[o * j.parts];
        for (int64_t p = 1; p < j.parts; p++) {
            int64_t at = j.out[o * j.parts + p];
            bool better = which == AMAX ? row[at] > row[best] : row[at] < row[best];
            if (better || (row[at] != row[at] && row[best] == row[best])) best = at;
        }
        out[o] = best;
    }
    RL_TAKE_GIL
    if (j.out != out) rl_scratch_free(j.out);
    return true;
}

/* ---- variances: means are taken from the first element on, so that of equal ones they are exact
   and the variance is 0 ---- */

typedef struct {
    const T *x;
    T *out;
    double *means, *spreads; /* of parts of rows */
    int64_t count, inner, strips, width, parts, size;
    double freedom;
    bool root;
} F(moments);

static inline T F(variance)(const F(moments) *j, double spread) {
    double y = spread / j->freedom;
    return (T)(j->root ? __builtin_sqrt(y) : y);
}

static void F(moments_of_rows)(void *context, int64_t begin, int64_t end) {
    const F(moments) *j = context;
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i / j->parts, at = i % j->parts * j->size;
        int64_t n = j->count - at < j->size ? j->count - at : j->size;
        const T *x = j->x + row * j->count + at;
        const T mean = x[0] + (T)(F(row_sum_from)(x, x[0], n) / (double)n);
        const double spread = F(row_spread)(x, mean, n);
        if (j->parts == 1) j->out[row] = F(variance)(j, spread);
        else j->means[i] = mean, j->spreads[i] = spread;
    }
}

static void F(moments_of_columns)(void *context, int64_t begin, int64_t end) {
    const F(moments) *j = context;
    double total[COLUMNS];
    T sum[COLUMNS], mean[COLUMNS];
    for (int64_t i = begin; i < end; i++) {
        int64_t o = i / j->strips, first = i % j->strips * j->width;
        int64_t n = j->inner - first < j->width ? j->inner - first : j->width;
        const T *x = j->x + o * j->count * j->inner + first;
        for (int pass = 0; pass < 2; pass++) {
            for (int64_t k = 0; k < n; k++) total[k] = 0;
            for (int64_t from = 0; from < j->count; from += ROWS) {
                int64_t to = from + ROWS < j->count ? from + ROWS : j->count;
                for (int64_t k = 0; k < n; k++) sum[k] = 0;
                for (int64_t r = from; r < to; r++) {
                    const T *y = x + r * j->inner;
                    if (pass == 0) for (int64_t k = 0; k < n; k++) sum[k] += y[k] - x[k];
                    else for (int64_t k = 0; k < n; k++) sum[k] += (y[k] - mean[k]) * (y[k] - mean[k]);
                }
                for (int64_t k = 0; k < n; k++) total[k] += sum[k];
            }
            for (int64_t k = 0; pass == 0 && k < n; k++) {
                mean[k] = x[k] + (T)(total[k] / (double)j->count);
            }
        }
        T *out = j->out + o * j->inner + first;
        for (int64_t k = 0; k < n; k++) out[k] = F(variance)(j, total[k]);
    }
}

static bool F(variances)(const T *x, T *out, int64_t outer, int64_t count, int64_t inner,
                         double freedom, bool root) {
    F(moments) j = {x, out, NULL, NULL, count, inner, 1, 1, 1, count, freedom, root};
    bool large = outer * count * inner > TASK;
    if (inner > 1) {
        int64_t fit = (1 << 16) / count & ~(int64_t)15; /* a strip stays in cache */
        j.width = fit < 64 ? 64 : fit > COLUMNS ? COLUMNS : fit;
        j.strips = (inner + j.width - 1) / j.width;
        RL_RELEASE_GIL(large)
        rl_parallel_range(outer * j.strips, TASK / (count * j.width), F(moments_of_columns), &j);
        RL_TAKE_GIL
        return true;
    }
    if (outer < 64 && count > 2 * TASK) {
        j.size = TASK, j.parts = (count + TASK - 1) / TASK;
        j.means = rl_scratch((size_t)(2 * outer * j.parts) * sizeof(double));
        if (!j.means) return false;
        j.spreads = j.means + outer * j.parts;
    }
    RL_RELEASE_GIL(large)
    rl_parallel_range(outer * j.parts, TASK / j.size + 1, F(moments_of_rows), &j);
    for (int64_t o = 0; j.parts > 1 && o < outer; o++) {
        /* Chan, Golub and LeVeque (1983): spreads about the parts' means, and of the means. */
        const double *means = j.means + o * j.parts, *spreads = j.spreads + o * j.parts;
        double mean = 0, spread = 0;
        for (int64_t p = 0; p < j.parts; p++) {
            mean += (means[p] - means[0]) * (double)(p + 1 < j.parts ? TASK : count - p * TASK);
        }
        mean = means[0] + mean / (double)count;
        for (int64_t p = 0; p < j.parts; p++) {
            const double d = means[p] - mean;
            spread += spreads[p] + d * d * (double)(p + 1 < j.parts ? TASK : count - p * TASK);
        }
        out[o] = F(variance)(&j, spread);
    }
    RL_TAKE_GIL
    rl_scratch_free(j.means);
    return true;
}
#undef LANES
