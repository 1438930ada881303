/* The loops of batch_norm.c for one real type.

   A part is a plane (image, channel); where planes have one element it is ROWS images, whose
   channels lie side by side.  Parts have sums of their own, joined in their order. */
#include "rl_rows.h"

typedef struct {
    const T *x, *g, *weight, *bias;
    T *out, *mean, *rstd; /* `rstd` is the variance in the forward direction */
    T *dw, *db;
    int64_t batch, channels, pixels, parts;
    double *first, *second; /* of parts and channels: means and spreads, or sums of g and dots */
    T *scale, *slope, *shift, *centre; /* of channels: what their elements go through */
    double eps;
    bool training, dots;
} F(norm);

static inline int64_t F(images)(const F(norm) *j, int64_t part) {
    int64_t left = j->batch - part * ROWS;
    return left < ROWS ? left : ROWS;
}

/* ---- sums of parts ---- */

static void F(plane_moments)(const F(norm) *j, int64_t plane) {
    const T *x = j->x + plane * j->pixels;
    const T mean = (T)(F(row_sum)(x, j->pixels) / (double)j->pixels);
    j->first[plane] = mean;
    j->second[plane] = F(row_spread)(x, mean, j->pixels);
}

static void F(column_moments)(const F(norm) *j, int64_t part) {
    const int64_t n = j->channels, rows = F(images)(j, part);
    const T *restrict x = j->x + part * ROWS * n;
    double *restrict mean = j->first + part * n, *restrict spread = j->second + part * n;
    memset(mean, 0, (size_t)n * sizeof(double));
    memset(spread, 0, (size_t)n * sizeof(double));
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t k = 0; k < n; k++) mean[k] += x[r * n + k];
    }
    for (int64_t k = 0; k < n; k++) mean[k] /= (double)rows;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t k = 0; k < n; k++) {
            double d = x[r * n + k] - mean[k];
            spread[k] += d * d;
        }
    }
}

/* Chan, Golub and LeVeque (1983): spreads about the parts' means, and of the means. */
static void F(join_moments)(const F(norm) *j, int64_t c) {
    const double count = (double)j->batch * (double)j->pixels;
    double mean = 0, spread = 0;
    for (int64_t p = 0; p < j->parts; p++) {
        const double size = j->pixels > 1 ? (double)j->pixels : (double)F(images)(j, p);
        mean += size * j->first[p * j->channels + c];
    }
    mean /= count;
    for (int64_t p = 0; p < j->parts; p++) {
        const double size = j->pixels > 1 ? (double)j->pixels : (double)F(images)(j, p);
        const double d = j->first[p * j->channels + c] - mean;
        spread += j->second[p * j->channels + c] + size * d * d;
    }
    j->mean[c] = (T)mean;
    j->rstd[c] = (T)(spread / count);
}

static void F(plane_sums)(const F(norm) *j, int64_t plane) {
    const T *restrict g = j->g + plane * j->pixels, *restrict x = j->x + plane * j->pixels;
    const T mean = j->mean[plane % j->channels];
    double plain = 0, dots = 0;
    for (int64_t at = 0; at < j->pixels; at += ROW_BLOCK) {
        int64_t to = at + ROW_BLOCK < j->pixels ? at + ROW_BLOCK : j->pixels;
        T s1 = 0, s2 = 0;
        if (j->dots) {
#pragma omp simd reduction(+ : s1, s2)
            for (int64_t i = at; i < to; i++) {
                s1 += g[i];
                s2 += g[i] * (x[i] - mean);
            }
        } else {
            s1 = F(block_sum)(g + at, to - at);
        }
        plain += s1;
        dots += s2;
    }
    j->first[plane] = plain;
    j->second[plane] = dots;
}

static void F(column_sums)(const F(norm) *j, int64_t part) {
    const int64_t n = j->channels, rows = F(images)(j, part);
    const T *restrict x = j->x + part * ROWS * n, *restrict g = j->g + part * ROWS * n;
    const T *restrict mean = j->mean;
    double *restrict plain = j->first + part * n, *restrict dots = j->second + part * n;
    memset(plain, 0, (size_t)n * sizeof(double));
    memset(dots, 0, (size_t)n * sizeof(double));
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t k = 0; k < n; k++) plain[k] += g[r * n + k];
        for (int64_t k = 0; j->dots && k < n; k++) dots[k] += g[r * n + k] * (x[r * n + k] - mean[k]);
    }
}

/* Gradients of the parameters of a channel, and the line that its gradients go through. */
static void F(join_sums)(const F(norm) *j, int64_t c) {
    const double count = (double)j->batch * (double)j->pixels, rstd = j->rstd[c];
    double plain = 0, dots = 0;
    for (int64_t p = 0; p < j->parts; p++) {
        plain += j->first[p * j->channels + c];
        dots += j->second[p * j->channels + c];
    }
    if (j->dw) j->dw[c] = (T)(dots * rstd);
    if (j->db) j->db[c] = (T)plain;
    const double scale = j->weight ? rstd * j->weight[c] : rstd;
    j->scale[c] = (T)scale;
    j->slope[c] = j->training ? (T)(-scale * rstd * rstd * dots / count) : 0;
    j->shift[c] = j->training ? (T)(-scale * plain / count) : 0;
    j->centre[c] = j->mean[c];
}

/* ---- elements ---- */

/* The line that elements of a channel go through forwards; `rstd` of the operator that is given
   it, else from the variance. */
static void F(prepare)(const F(norm) *j, int64_t c) {
    const double rstd = j->training ? 1 / __builtin_sqrt((double)j->rstd[c] + j->eps) : j->rstd[c];
    j->scale[c] = (T)(j->weight ? rstd * j->weight[c] : rstd);
    j->shift[c] = j->bias ? j->bias[c] : 0;
    j->centre[c] = j->mean[c];
}

static void F(plane_out)(const F(norm) *j, int64_t plane) {
    const int64_t c = plane % j->channels, n = j->pixels;
    const T *restrict x = j->x + plane * n;
    T *restrict y = j->out + plane * n;
    const T a = j->scale[c], b = j->shift[c], m = j->centre[c];
    if (!j->g) {
        for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m) * a + b;
        return;
    }
    const T *restrict g = j->g + plane * n, s = j->slope[c];
    if (j->training) for (int64_t i = 0; i < n; i++) y[i] = g[i] * a + ((x[i] - m) * s + b);
    else for (int64_t i = 0; i < n; i++) y[i] = g[i] * a;
}

static void F(column_out)(const F(norm) *j, int64_t part) {
    const int64_t n = j->channels, rows = F(images)(j, part), at = part * ROWS * n;
    const T *restrict a = j->scale, *restrict b = j->shift, *restrict m = j->centre;
    const T *restrict s = j->slope;
    for (int64_t r = 0; r < rows; r++) {
        const T *restrict x = j->x + at + r * n;
        T *restrict y = j->out + at + r * n;
        if (!j->g) {
            for (int64_t k = 0; k < n; k++) y[k] = (x[k] - m[k]) * a[k] + b[k];
            continue;
        }
        const T *restrict g = j->g + at + r * n;
        if (j->training) {
            for (int64_t k = 0; k < n; k++) y[k] = g[k] * a[k] + ((x[k] - m[k]) * s[k] + b[k]);
        } else {
            for (int64_t k = 0; k < n; k++) y[k] = g[k] * a[k];
        }
    }
}

/* ---- tasks ---- */

static void F(sum_parts)(void *context, int64_t begin, int64_t end) {
    const F(norm) *j = context;
    for (int64_t i = begin; i < end; i++) {
        if (j->pixels > 1) j->g ? F(plane_sums)(j, i) : F(plane_moments)(j, i);
        else j->g ? F(column_sums)(j, i) : F(column_moments)(j, i);
    }
}

static void F(write_parts)(void *context, int64_t begin, int64_t end) {
    const F(norm) *j = context;
    for (int64_t i = begin; i < end; i++) {
        if (j->pixels > 1) F(plane_out)(j, i);
        else F(column_out)(j, i);
    }
}

static void F(join)(const F(norm) *j, int64_t c) {
    if (j->g) {
        F(join_sums)(j, c);
        return;
    }
    F(join_moments)(j, c);
    if (j->out) F(prepare)(j, c);
}

/* A channel whole, which stays in cache from its sums to its results. */
static void F(channels)(void *context, int64_t begin, int64_t end) {
    const F(norm) *j = context;
    for (int64_t c = begin; c < end; c++) {
        for (int64_t b = 0; b < j->batch; b++) {
            F(sum_parts)(context, b * j->channels + c, b * j->channels + c + 1);
        }
        F(join)(j, c);
        for (int64_t b = 0; j->out && b < j->batch; b++) F(plane_out)(j, b * j->channels + c);
    }
}

/* `summed`: whether sums come first (else scale and shift follow from what is given). */
static void F(run)(F(norm) *j, bool summed) {
    const int64_t channel = j->batch * j->pixels;
    const bool planes = j->pixels > 1;
    const int64_t units = planes ? j->batch * j->channels : j->parts;
    const int64_t each = planes ? j->pixels : j->channels * ROWS;
    if (summed && j->pixels >= LONG_PLANE && j->channels >= 8 &&
        channel * (int64_t)sizeof(T) <= CHANNEL_BYTES) {
        rl_parallel_range(j->channels, TASK / channel, F(channels), j);
        return;
    }
    if (summed) rl_parallel_range(units, TASK / each, F(sum_parts), j);
    for (int64_t c = 0; c < j->channels; c++) summed ? F(join)(j, c) : F(prepare)(j, c);
    if (j->out) rl_parallel_range(units, TASK / each, F(write_parts), j);
}
