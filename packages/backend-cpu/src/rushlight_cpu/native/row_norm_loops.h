/* The loops of row_norm.c for one real type. */
#include "rl_rows.h"

typedef struct {
    const T *x, *weight, *bias; /* weight and bias may be NULL */
    T *out, *mean, *rstd;       /* mean is NULL in RMS norm */
    const T *g;                 /* of a backward operator, which reads mean and rstd */
    T *dx, *dw, *db;            /* NULL where not needed; dw and db a row for each task */
    int64_t rows, n, per_task;
    int64_t groups, pixels; /* of group norm: rows of channels of pixels */
    T *plain, *dots;        /* of group norm's backward: of each row and channel */
    double eps;
} F(norm);

/* ---- layer and RMS norm ---- */

static void F(normalize)(const T *restrict x, const T *restrict w, const T *restrict b,
                         T *restrict y, int64_t n, T mean, T rstd) {
    if (w && b) for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd * w[i] + b[i];
    else if (w) for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd * w[i];
    else if (b) for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd + b[i];
    else for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd;
}

static void F(statistics)(const F(norm) *j, int64_t r) {
    const T *x = j->x + r * j->n;
    const double n = (double)j->n;
    if (!j->mean) {
        j->rstd[r] = (T)(1 / __builtin_sqrt(F(row_dot)(x, x, j->n) / n + j->eps));
        return;
    }
    const T mean = (T)(F(row_sum)(x, j->n) / n);
    j->mean[r] = mean;
    j->rstd[r] = (T)(1 / __builtin_sqrt(F(row_spread)(x, mean, j->n) / n + j->eps));
}

static void F(forward)(void *context, int64_t begin, int64_t end) {
    const F(norm) *j = context;
    for (int64_t r = begin; r < end; r++) {
        F(statistics)(j, r);
        F(normalize)(j->x + r * j->n, j->weight, j->bias, j->out + r * j->n, j->n,
                     j->mean ? j->mean[r] : 0, j->rstd[r]);
    }
}

/* Sums of gw and of gw * hat over a row; adds g * hat to dw and g to db on the way. */
static inline __attribute__((always_inline)) void F(row_sums)(
    const T *restrict g, const T *restrict x, const T *restrict w, T *restrict dw,
    T *restrict db, int64_t n, T mean, T rstd, double *plain, double *dots, const bool weighted,
    const bool partial) {
    for (int64_t at = 0; at < n; at += ROW_BLOCK) {
        int64_t to = at + ROW_BLOCK < n ? at + ROW_BLOCK : n;
        T s1 = 0, s2 = 0;
#pragma omp simd reduction(+ : s1, s2)
        for (int64_t i = at; i < to; i++) {
            T hat = (x[i] - mean) * rstd, gw = weighted ? g[i] * w[i] : g[i];
            s1 += gw;
            s2 += gw * hat;
            if (partial) {
                dw[i] += g[i] * hat;
                db[i] += g[i];
            }
        }
        *plain += s1;
        *dots += s2;
    }
}

static void F(row_gradient)(const T *restrict g, const T *restrict x, const T *restrict w,
                            T *restrict dx, int64_t n, T mean, T rstd, T plain, T dots) {
    if (w) {
        for (int64_t i = 0; i < n; i++) {
            dx[i] = rstd * (g[i] * w[i] - plain - (x[i] - mean) * rstd * dots);
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            dx[i] = rstd * (g[i] - plain - (x[i] - mean) * rstd * dots);
        }
    }
}

static void F(backward)(void *context, int64_t task) {
    const F(norm) *j = context;
    const int64_t n = j->n, begin = task * j->per_task;
    const int64_t end = begin + j->per_task < j->rows ? begin + j->per_task : j->rows;
    T *dw = j->dw ? j->dw + task * n : NULL, *db = j->db ? j->db + task * n : NULL;
    if (dw) {
        memset(dw, 0, (size_t)n * sizeof(T));
        memset(db, 0, (size_t)n * sizeof(T));
    }
    for (int64_t r = begin; r < end; r++) {
        const T *g = j->g + r * n, *x = j->x + r * n, mean = j->mean ? j->mean[r] : 0;
        const T rstd = j->rstd[r];
        double plain = 0, dots = 0;
#define SUMS(weighted, partial)                                                                   \
    F(row_sums)(g, x, j->weight, dw, db, n, mean, rstd, &plain, &dots, weighted, partial)
        if (j->weight && dw) SUMS(true, true);
        else if (j->weight) SUMS(true, false);
        else if (dw) SUMS(false, true);
        else SUMS(false, false);
#undef SUMS
        if (!j->dx) continue;
        F(row_gradient)(g, x, j->weight, j->dx + r * n, n, mean, rstd,
                        j->mean ? (T)(plain / (double)n) : 0, (T)(dots / (double)n));
    }
}

/* out[i] = the sum of `rows` partial rows of n. */
typedef struct {
    const T *from;
    T *out;
    int64_t rows, n;
} F(partials);

static void F(add_partials)(void *context, int64_t begin, int64_t end) {
    const F(partials) *p = context;
    double sum[STRIP];
    int64_t n = end - begin;
    memset(sum, 0, sizeof sum);
    for (int64_t r = 0; r < p->rows; r++) {
        const T *row = p->from + r * p->n + begin;
        for (int64_t i = 0; i < n; i++) sum[i] += row[i];
    }
    for (int64_t i = 0; i < n; i++) p->out[begin + i] = (T)sum[i];
}

static void F(total)(const T *from, int64_t rows, int64_t n, T *out) {
    F(partials) p = {from, out, rows, n};
    rl_parallel_range(n, STRIP, F(add_partials), &p);
}

/* ---- group norm ---- */

static void F(group_forward)(void *context, int64_t begin, int64_t end) {
    const F(norm) *j = context;
    const int64_t wide = j->n / j->pixels, hw = j->pixels;
    for (int64_t r = begin; r < end; r++) {
        F(statistics)(j, r);
        const int64_t first = r % j->groups * wide;
        const T mean = j->mean[r], rstd = j->rstd[r];
        if (hw == 1) {
            F(normalize)(j->x + r * wide, j->weight ? j->weight + first : NULL,
                         j->bias ? j->bias + first : NULL, j->out + r * wide, wide, mean, rstd);
            continue;
        }
        for (int64_t c = 0; c < wide; c++) {
            const T *restrict x = j->x + (r * wide + c) * hw;
            T *restrict y = j->out + (r * wide + c) * hw;
            const T scale = j->weight ? rstd * j->weight[first + c] : rstd;
            const T shift = j->bias ? j->bias[first + c] : 0;
            for (int64_t i = 0; i < hw; i++) y[i] = (x[i] - mean) * scale + shift;
        }
    }
}

static void F(group_backward)(void *context, int64_t begin, int64_t end) {
    const F(norm) *j = context;
    const int64_t wide = j->n / j->pixels, hw = j->pixels;
    for (int64_t r = begin; r < end; r++) {
        const int64_t first = r % j->groups * wide;
        const T mean = j->mean[r], rstd = j->rstd[r];
        double plain = 0, dots = 0;
        for (int64_t c = 0; c < wide; c++) {
            const int64_t at = (r * wide + c) * hw;
            const T weight = j->weight ? j->weight[first + c] : 1;
            double s1 = 0, s2 = 0;
            F(row_sums)(j->g + at, j->x + at, NULL, NULL, NULL, hw, mean, rstd, &s1, &s2, false,
                        false);
            j->plain[r * wide + c] = (T)s1;
            j->dots[r * wide + c] = (T)s2;
            plain += weight * s1;
            dots += weight * s2;
        }
        if (!j->dx) continue;
        const T shift = (T)(plain / (double)j->n), slope = (T)(dots / (double)j->n);
        for (int64_t c = 0; c < wide; c++) {
            const T *restrict g = j->g + (r * wide + c) * hw, *restrict x = j->x + (r * wide + c) * hw;
            T *restrict dx = j->dx + (r * wide + c) * hw;
            const T weight = j->weight ? j->weight[first + c] : 1;
            for (int64_t i = 0; i < hw; i++) {
                dx[i] = rstd * (g[i] * weight - shift - (x[i] - mean) * rstd * slope);
            }
        }
    }
}

/* ---- what row_norm.c calls ---- */

static void F(run_forward)(const norm_call *c) {
    F(norm) j = {c->x, c->weight, c->bias, c->out, c->mean, c->rstd};
    j.rows = c->rows, j.n = c->n, j.groups = c->groups, j.pixels = c->pixels, j.eps = c->eps;
    rl_parallel_range(c->rows, TASK / c->n, c->groups ? F(group_forward) : F(forward), &j);
}

static void F(run_backward)(const norm_call *c) {
    F(norm) j = {c->x, c->weight, NULL, NULL, c->mean, c->rstd, c->g, c->dx};
    j.rows = c->rows, j.n = c->n, j.groups = c->groups, j.pixels = c->pixels;
    T *scratch = c->scratch;
    if (c->groups) {
        int64_t channels = c->groups * (c->n / c->pixels), batch = c->rows / c->groups;
        j.plain = scratch, j.dots = scratch + batch * channels;
        rl_parallel_range(c->rows, TASK / c->n, F(group_backward), &j);
        if (c->dw) F(total)(j.dots, batch, channels, c->dw);
        if (c->db) F(total)(j.plain, batch, channels, c->db);
        return;
    }
    int64_t tasks = (c->rows + c->per_task - 1) / c->per_task;
    j.per_task = c->per_task;
    if (scratch) j.dw = scratch, j.db = scratch + tasks * c->n;
    rl_parallel(tasks, F(backward), &j);
    if (c->dw) F(total)(j.dw, tasks, c->n, c->dw);
    if (c->db) F(total)(j.db, tasks, c->n, c->db);
}
