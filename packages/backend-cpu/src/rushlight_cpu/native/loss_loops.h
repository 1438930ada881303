/* The loops of loss.c for one real type. */
#include "rl_rows.h"

/* x is (outer, classes, pixels); targets, losses and slopes are (outer, pixels). */
typedef struct {
    const T *x, *lse, *weight, *g;
    const void *target;
    bool bytes; /* targets are uint8, else int64 */
    T *out;
    int64_t outer, classes, pixels, ignore, strips, width;
    bool each; /* g has an element per target, else one for all */
    T slope;
} F(loss);

static inline int64_t F(class_of)(const F(loss) *j, int64_t i) {
    return j->bytes ? ((const uint8_t *)j->target)[i] : ((const int64_t *)j->target)[i];
}

/* Losses of targets begin to end, from the log-sum-exps. */
static void F(pick)(const F(loss) *j, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
        int64_t c = F(class_of)(j, i), o = i / j->pixels, p = i - o * j->pixels;
        if (c == j->ignore) {
            j->out[i] = 0;
            continue;
        }
        T x = j->x[(o * j->classes + c) * j->pixels + p];
        T loss = j->lse ? j->lse[i] - x : -x;
        j->out[i] = j->weight ? loss * j->weight[c] : loss;
    }
}

static inline T F(slope_of)(const F(loss) *j, int64_t i) {
    if (F(class_of)(j, i) == j->ignore) return 0;
    return j->each ? j->g[i] : j->slope;
}

/* softmax times the slope; a row that does not count is 0, whatever its logits are. */
static void F(cross_row)(const T *restrict x, T lse, T slope, T *restrict y, int64_t n) {
    int64_t whole = n & -PADDED;
    for (int64_t i = 0; i < whole; i++) y[i] = F(rl_exp)(x[i] - lse) * slope;
    if (whole == n) return;
    T end[PADDED];
    F(pad)(x + whole, n - whole, end);
    for (int i = 0; i < PADDED; i++) end[i] = F(rl_exp)(end[i] - lse) * slope;
    memcpy(y + whole, end, (size_t)(n - whole) * sizeof(T));
}

static void F(cross_rows)(void *context, int64_t begin, int64_t end) {
    const F(loss) *j = context;
    for (int64_t i = begin; i < end; i++) {
        T *y = j->out + i * j->classes;
        int64_t c = F(class_of)(j, i);
        if (c == j->ignore) {
            memset(y, 0, (size_t)j->classes * sizeof(T));
            continue;
        }
        const T slope = j->each ? j->g[i] : j->slope;
        F(cross_row)(j->x + i * j->classes, j->lse[i], slope, y, j->classes);
        y[c] -= slope;
    }
}

static void F(cross_columns)(void *context, int64_t begin, int64_t end) {
    const F(loss) *j = context;
    T slope[WIDEST], lse[WIDEST];
    for (int64_t s = begin; s < end; s++) {
        int64_t o = s / j->strips, first = s % j->strips * j->width;
        int64_t n = j->pixels - first < j->width ? j->pixels - first : j->width;
        int64_t at = o * j->classes * j->pixels + first, targets = o * j->pixels + first;
        bool ignored = false;
        for (int64_t k = 0; k < n; k++) {
            ignored |= F(class_of)(j, targets + k) == j->ignore;
            slope[k] = F(slope_of)(j, targets + k);
            lse[k] = j->lse[targets + k];
        }
        for (int64_t c = 0; c < j->classes; c++) {
            const T *restrict x = j->x + at + c * j->pixels;
            T *restrict y = j->out + at + c * j->pixels;
            for (int64_t k = 0; k < n; k++) y[k] = F(rl_exp)(x[k] - lse[k]) * slope[k];
            for (int64_t k = 0; ignored && k < n; k++) {
                if (F(class_of)(j, targets + k) == j->ignore) y[k] = 0;
            }
        }
        for (int64_t k = 0; k < n; k++) {
            int64_t c = F(class_of)(j, targets + k);
            if (c != j->ignore) j->out[at + c * j->pixels + k] -= slope[k];
        }
    }
}

static void F(cross_backward)(F(loss) *j) {
    int64_t units = j->outer, each = j->classes;
    if (!j->pixels) return;
    if (j->pixels > 1) {
        j->width = j->pixels < WIDEST ? j->pixels : WIDEST;
        j->strips = (j->pixels + j->width - 1) / j->width;
        units = j->outer * j->strips, each = j->classes * j->width;
    }
    rl_parallel_range(units, each ? TASK / each : 1,
                      j->pixels > 1 ? F(cross_columns) : F(cross_rows), j);
}

/* -slope (times the weight) at the targets of zeros. */
static void F(scatter)(void *context, int64_t begin, int64_t end) {
    const F(loss) *j = context;
    int64_t each = j->classes * j->pixels;
    memset(j->out + begin * each, 0, (size_t)((end - begin) * each) * sizeof(T));
    for (int64_t i = begin * j->pixels; i < end * j->pixels; i++) {
        int64_t c = F(class_of)(j, i), o = i / j->pixels, p = i - o * j->pixels;
        if (c == j->ignore) continue;
        T slope = j->each ? j->g[i] : j->slope;
        j->out[o * each + c * j->pixels + p] = j->weight ? -slope * j->weight[c] : -slope;
    }
}

/* The sum of the weights that count. */
static double F(weight_sum)(const F(loss) *j) {
    int64_t size = j->outer * j->pixels, kept = 0;
    double sum = 0;
    for (int64_t i = 0; i < size; i++) {
        int64_t c = F(class_of)(j, i);
        if (c == j->ignore) continue;
        kept++;
        if (j->weight) sum += j->weight[c];
    }
    return j->weight ? sum : (double)kept;
}
