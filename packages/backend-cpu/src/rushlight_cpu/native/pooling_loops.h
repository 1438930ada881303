/* The loops of pooling for one type: REAL, with names made by OF.  Included once per type.

   Windows are boxes: rows of a window are reduced first, over whole contiguous rows, and what is
   left is reduced along the row. */

/* Of two (value, position), the one a window in row-major order would end with: the first
   greatest, or the last NaN. */
#define BETTER(v, i, best, at)                                                                    \
    ((v > best) | ((v == best) & (i < at)) | ((v != v) & ((best == best) | (i > at))))

/* Maxima of the rows of a window, and where in the plane they are. */
static void OF(max_rows)(const pool *p, const REAL *x, const window *z, const window *y,
                         REAL *restrict best, int32_t *restrict at) {
    const int64_t n = p->size[2];
    bool first = true;
    for (int64_t a = z->lo; a < z->hi; a += p->dilation[0]) {
        for (int64_t b = y->lo; b < y->hi; b += p->dilation[1]) {
            const int32_t row = (int32_t)((a * p->size[1] + b) * n);
            const REAL *restrict from = x + row;
            if (first) {
                for (int64_t i = 0; i < n; i++) best[i] = from[i];
                if (at) {
                    for (int64_t i = 0; i < n; i++) at[i] = row + (int32_t)i;
                }
                first = false;
            } else if (at) {
                for (int64_t i = 0; i < n; i++) {
                    const bool take = (from[i] > best[i]) | (from[i] != from[i]);
                    best[i] = take ? from[i] : best[i];
                    at[i] = take ? row + (int32_t)i : at[i];
                }
            } else {
                for (int64_t i = 0; i < n; i++) {
                    best[i] = (from[i] > best[i]) | (from[i] != from[i]) ? from[i] : best[i];
                }
            }
        }
    }
}

/* Every step-th element of a row from -padding on; what lies outside is never chosen. */
static void OF(max_phase)(const pool *p, int64_t residue, const REAL *restrict best,
                          const int32_t *restrict at, REAL *restrict to,
                          int32_t *restrict to_at) {
    const int64_t step = p->stride[2], first = residue - p->padding[2], n = p->phase;
    int64_t lo = first < 0 ? (-first + step - 1) / step : 0;
    int64_t hi = first < p->size[2] ? (p->size[2] - 1 - first) / step + 1 : 0;
    hi = hi < n ? hi : n, lo = lo < hi ? lo : hi;
    for (int64_t i = 0; i < lo; i++) to[i] = -(REAL)INFINITY;
    for (int64_t i = hi; i < n; i++) to[i] = -(REAL)INFINITY;
    const REAL *from = best + first;
    if (step == 1) {
        for (int64_t i = lo; i < hi; i++) to[i] = from[i];
    } else if (step == 2) {
        for (int64_t i = lo; i < hi; i++) to[i] = from[2 * i];
    } else {
        for (int64_t i = lo; i < hi; i++) to[i] = from[step * i];
    }
    if (!at) return;
    const int32_t *from_at = at + first;
    for (int64_t i = 0; i < lo; i++) to_at[i] = INT32_MAX;
    for (int64_t i = hi; i < n; i++) to_at[i] = INT32_MAX;
    if (step == 1) {
        for (int64_t i = lo; i < hi; i++) to_at[i] = from_at[i];
    } else if (step == 2) {
        for (int64_t i = lo; i < hi; i++) to_at[i] = from_at[2 * i];
    } else {
        for (int64_t i = lo; i < hi; i++) to_at[i] = from_at[step * i];
    }
}

static void OF(max_row)(const pool *p, const REAL *phases, const int32_t *phases_at,
                        REAL *restrict out, int32_t *restrict out_at) {
    const int64_t n = p->out[2], step = p->stride[2];
    for (int64_t k = 0; k < p->kernel[2]; k++) {
        const int64_t tap = k * p->dilation[2], offset = tap % step * p->phase + tap / step;
        const REAL *restrict v = phases + offset;
        const int32_t *restrict i = phases_at ? phases_at + offset : NULL;
        if (!k) {
            memcpy(out, v, (size_t)n * sizeof *out);
            if (i) memcpy(out_at, i, (size_t)n * sizeof *out_at);
        } else if (i) {
            for (int64_t o = 0; o < n; o++) {
                const bool take = BETTER(v[o], i[o], out[o], out_at[o]);
                out[o] = take ? v[o] : out[o];
                out_at[o] = take ? i[o] : out_at[o];
            }
        } else {
            for (int64_t o = 0; o < n; o++) {
                out[o] = (v[o] > out[o]) | (v[o] != v[o]) ? v[o] : out[o];
            }
        }
    }
}

/* A plane in windows of 2 x 2 that do not overlap, padding aside. */
static void OF(max_pairs)(const pool *p, const REAL *x, REAL *restrict out, int64_t *index) {
    const int64_t width = p->size[2], n = p->out[2];
    for (int64_t y = 0; y < p->out[1]; y++, out += n) {
        const int64_t first = 2 * y * width;
        const REAL *upper = x + first, *lower = upper + width;
#if defined(__AVX512F__)
        if (sizeof(REAL) == sizeof(float)) {
            max_pairs_row((const float *)upper, (const float *)lower, n, (int32_t)first,
                          (int32_t)width, (float *)out, index);
            if (index) index += n;
            continue;
        }
#endif
        for (int64_t o = 0; o < n; o++) {
            const REAL b = upper[2 * o + 1], c = lower[2 * o], d = lower[2 * o + 1];
            REAL best = upper[2 * o];
            int64_t at = 2 * o;
            if ((b > best) | (b != b)) best = b, at = 2 * o + 1;
            if ((c > best) | (c != c)) best = c, at = width + 2 * o;
            if ((d > best) | (d != d)) best = d, at = width + 2 * o + 1;
            out[o] = best;
            if (index) index[o] = first + at;
        }
        if (index) index += n;
    }
}

static void OF(max_task)(void *context, int64_t begin, int64_t end) {
    pool *p = context;
    int slot;
    char *room = (char *)rl_take_slot(&p->slots, &slot);
    const int64_t wide = p->size[2] + 16, phases = p->stride[2] * p->phase + 16;
    REAL *best = (REAL *)room, *values = best + wide;
    int32_t *at = (int32_t *)(values + phases), *places = at + wide, *row_at = places + phases;
    if (!p->indices) at = places = NULL;
    for (int64_t plane = begin; plane < end; plane++) {
        const REAL *x = (const REAL *)p->x + plane * p->in_plane;
        REAL *out = (REAL *)p->values + plane * p->out_plane;
        int64_t *index = p->indices ? p->indices + plane * p->out_plane : NULL;
        if (p->pairs) {
            OF(max_pairs)(p, x, out, index);
            continue;
        }
        for (int64_t a = 0; a < p->out[0]; a++) {
            for (int64_t b = 0; b < p->out[1]; b++, out += p->out[2]) {
                OF(max_rows)(p, x, &p->windows[0][a], &p->windows[1][b], best, at);
                for (int64_t f = 0; f < p->stride[2]; f++) {
                    OF(max_phase)(p, f, best, at, values + f * p->phase,
                                  at ? places + f * p->phase : NULL);
                }
                OF(max_row)(p, values, places, out, row_at);
                if (index) {
                    for (int64_t o = 0; o < p->out[2]; o++) index[o] = row_at[o];
                    index += p->out[2];
                }
            }
        }
    }
    rl_give_slot(&p->slots, slot);
}

/* Windows of any sizes (adaptive pooling), an element at a time. */
static void OF(max_window_task)(void *context, int64_t begin, int64_t end) {
    const pool *p = context;
    for (int64_t plane = begin; plane < end; plane++) {
        const REAL *x = (const REAL *)p->x + plane * p->in_plane;
        int64_t o = plane * p->out_plane;
        for (int64_t a = 0; a < p->out[0]; a++) {
            for (int64_t b = 0; b < p->out[1]; b++) {
                for (int64_t c = 0; c < p->out[2]; c++, o++) {
                    const window *z = &p->windows[0][a], *y = &p->windows[1][b];
                    const window *w = &p->windows[2][c];
                    int64_t at = (z->lo * p->size[1] + y->lo) * p->size[2] + w->lo;
                    REAL best = x[at];
                    for (int64_t i = z->lo; i < z->hi; i++) {
                        for (int64_t j = y->lo; j < y->hi; j++) {
                            const int64_t row = (i * p->size[1] + j) * p->size[2];
                            for (int64_t k = w->lo; k < w->hi; k++) {
                                const REAL v = x[row + k];
                                if (v > best || v != v) best = v, at = row + k;
                            }
                        }
                    }
                    ((REAL *)p->values)[o] = best;
                    p->indices[o] = at;
                }
            }
        }
    }
}

static void OF(max_back_task)(void *context, int64_t begin, int64_t end) {
    pool *p = context;
    for (int64_t plane = begin; plane < end; plane++) {
        const REAL *g = (const REAL *)p->x + plane * p->out_plane;
        const int64_t *index = p->indices + plane * p->out_plane;
        REAL *dx = (REAL *)p->values + plane * p->in_plane;
        memset(dx, 0, (size_t)p->in_plane * sizeof *dx);
        for (int64_t o = 0; o < p->out_plane; o++) {
            if ((uint64_t)index[o] >= (uint64_t)p->in_plane) {
                atomic_store_explicit(&p->outside, 1, memory_order_relaxed);
                break;
            }
            dx[index[o]] += g[o];
        }
    }
}

/* Sums of a contiguous run. */
static REAL OF(sum_run)(const REAL *x, int64_t n) {
    if (n < 32) {
        REAL total = 0;
        for (int64_t i = 0; i < n; i++) total += x[i];
        return total;
    }
    REAL part[32] = {0}, total = 0;
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        for (int l = 0; l < 32; l++) part[l] += x[i + l];
    }
    for (; i < n; i++) part[i & 31] += x[i];
    for (int l = 0; l < 32; l++) total += part[l];
    return total;
}

static void OF(mean_task)(void *context, int64_t begin, int64_t end) {
    pool *p = context;
    const int64_t n = p->size[2];
    int slot;
    REAL *sums = (REAL *)rl_take_slot(&p->slots, &slot);
    for (int64_t plane = begin; plane < end; plane++) {
        const REAL *x = (const REAL *)p->x + plane * p->in_plane;
        REAL *out = (REAL *)p->values + plane * p->out_plane;
        for (int64_t a = 0; a < p->out[0]; a++) {
            const window *z = &p->windows[0][a];
            for (int64_t b = 0; b < p->out[1]; b++, out += p->out[2]) {
                const window *y = &p->windows[1][b];
                const REAL *row = x + (z->lo * p->size[1] + y->lo) * n;
                if ((z->hi - z->lo) * (y->hi - y->lo) != 1) {
                    memset(sums, 0, (size_t)n * sizeof *sums);
                    for (int64_t i = z->lo; i < z->hi; i++) {
                        for (int64_t j = y->lo; j < y->hi; j++) {
                            const REAL *restrict from = x + (i * p->size[1] + j) * n;
                            for (int64_t k = 0; k < n; k++) sums[k] += from[k];
                        }
                    }
                    row = sums;
                }
                const REAL area = (REAL)(z->count * y->count);
                for (int64_t c = 0; c < p->out[2]; c++) {
                    const window *w = &p->windows[2][c];
                    const REAL divisor = p->divisor ? (REAL)p->divisor : area * (REAL)w->count;
                    out[c] = OF(sum_run)(row + w->lo, w->hi - w->lo) / divisor;
                }
            }
        }
    }
    rl_give_slot(&p->slots, slot);
}

static void OF(mean_back_task)(void *context, int64_t begin, int64_t end) {
    pool *p = context;
    const int64_t n = p->size[2];
    int slot;
    REAL *row = (REAL *)rl_take_slot(&p->slots, &slot);
    for (int64_t plane = begin; plane < end; plane++) {
        const REAL *g = (const REAL *)p->x + plane * p->out_plane;
        REAL *dx = (REAL *)p->values + plane * p->in_plane;
        memset(dx, 0, (size_t)p->in_plane * sizeof *dx);
        for (int64_t a = 0; a < p->out[0]; a++) {
            const window *z = &p->windows[0][a];
            for (int64_t b = 0; b < p->out[1]; b++, g += p->out[2]) {
                const window *y = &p->windows[1][b];
                const REAL area = (REAL)(z->count * y->count);
                memset(row, 0, (size_t)n * sizeof *row);
                for (int64_t c = 0; c < p->out[2]; c++) {
                    const window *w = &p->windows[2][c];
                    const REAL divisor = p->divisor ? (REAL)p->divisor : area * (REAL)w->count;
                    const REAL share = g[c] / divisor;
                    for (int64_t k = w->lo; k < w->hi; k++) row[k] += share;
                }
                for (int64_t i = z->lo; i < z->hi; i++) {
                    for (int64_t j = y->lo; j < y->hi; j++) {
                        REAL *restrict to = dx + (i * p->size[1] + j) * n;
                        for (int64_t k = 0; k < n; k++) to[k] += row[k];
                    }
                }
            }
        }
    }
    rl_give_slot(&p->slots, slot);
}

#undef BETTER
#undef REAL
#undef OF
