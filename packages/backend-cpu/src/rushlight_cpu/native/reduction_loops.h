/* The loops of reduction.c for one real type. */

#define LANES 64 /* accumulators: enough to hide the latency of additions */

/* NaN wins: a comparison with it is false, so it is kept once it is there. */
static inline T F(greater)(T a, T b) { return b > a || b != b ? b : a; }
static inline T F(lesser)(T a, T b) { return b < a || b != b ? b : a; }

/* The sum or extreme of at most BLOCK elements. */
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
    out = x[0];                                                                                   \
    if (whole) {                                                                                  \
        for (int k = 0; k < LANES; k++) lane[k] = x[k];                                           \
        for (int64_t i = LANES; i < whole; i += LANES) {                                          \
            for (int k = 0; k < LANES; k++) lane[k] = better(lane[k], x[i + k]);                  \
        }                                                                                         \
        for (int k = 0; k < LANES; k++) out = better(out, lane[k]);                               \
    }                                                                                             \
    for (int64_t i = whole; i < n; i++) out = better(out, x[i]);
    if (which == AMAX) {
        EXTREME(F(greater))
    } else {
        EXTREME(F(lesser))
    }
#undef EXTREME
    return out;
}

static inline T F(join)(T a, T b, int which) {
    return which <= MEAN ? a + b : which == AMAX ? F(greater)(a, b) : F(lesser)(a, b);
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
            else
                for (int64_t k = 0; k < n; k++) sums[k] = F(lesser)(sums[k], y[k]);
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
#undef LANES
