/* Scaled dot-product attention of float32, by tiles of queries: RL_NR queries stand side by side
   in vectors, keys go down.  So the statistics of the softmax are vertical, and the score matrix
   is never whole: a block of keys at a time, rescaled where a later block has a larger score.

   References: Milakov and Gimelshein (2018), Online normalizer calculation for softmax; Dao et al.
   (2022), FlashAttention (backward from the saved log-sum-exp).

   A task is some heads, or a part of a head's queries where there are few heads. */
#include "rl.h"
#include "rl_math_types.h"
#include "rl_strips.h"

#include <stdatomic.h>

#define KEYS 256          /* of a block: its scores take 48 KiB */
#define KEYS_BACKWARD 128 /* of a block, of which there are two */
#define TASKS 16          /* wanted at least */
#define TASK_WORK 1e6     /* multiplications a task should have */
#define FEW (RL_NR / 6)   /* queries, where tiles would be nearly empty */

/* Operands as heads of rows: rows `step` floats apart, their elements side by side. */
typedef struct {
    char *data;
    int64_t step;
    int64_t *offsets; /* of each head, in bytes */
    PyObject *array;  /* new reference */
} heads;

static inline float *head_of(const heads *x, int64_t head) {
    return (float *)(x->data + x->offsets[head]);
}

typedef struct {
    int lead; /* dimensions before the last two */
    int64_t count, queries, keys, depth, width;
    int64_t parts;    /* of a head's queries */
    int64_t part;     /* queries of a part */
    bool causal, has_mask, mask_is_bool;
    float scale;
    heads q, k, v, mask, out, lse, g, dq, dk, dv;
    int64_t mask_query, mask_key;  /* steps in bytes */
    int64_t lse_step;              /* in floats */
    int64_t *room;                 /* of all offsets */
    char *work;                    /* a piece for each thread */
    size_t work_bytes;
    int workers;
    atomic_flag *taken;
    float *partial;                /* of dk and dv, if heads are cut */
} attention;

static inline int64_t up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Set up */

/* The offsets of the heads of an array that broadcasts to `shape`, of which the last `own` axes
   of the array are not part. */
static void place_heads(heads *x, PyArrayObject *a, int lead, const npy_intp *shape, int own,
                        int64_t count, int64_t *offsets) {
    int64_t steps[RL_MAX_DIMS], at[RL_MAX_DIMS] = {0};
    int missing = lead - (PyArray_NDIM(a) - own);
    for (int d = 0; d < lead; d++) {
        steps[d] = d < missing || PyArray_DIM(a, d - missing) == 1
                       ? 0
                       : PyArray_STRIDE(a, d - missing);
    }
    x->data = PyArray_DATA(a);
    x->offsets = offsets;
    int64_t offset = 0;
    for (int64_t h = 0; h < count; h++) {
        offsets[h] = offset;
        for (int d = lead; d--;) {
            offset += steps[d];
            if (++at[d] < shape[d]) break;
            offset -= steps[d] * shape[d];
            at[d] = 0;
        }
    }
}

/* Takes an operand (..., rows, columns) of float32; copies it if its rows are not dense. */
static bool take_rows(heads *x, PyObject *array) {
    PyArrayObject *a = RL_ARRAY(array);
    int n = PyArray_NDIM(a);
    bool dense = PyArray_DIM(a, n - 1) == 1 || PyArray_STRIDE(a, n - 1) == sizeof(float);
    x->array = dense ? Py_NewRef(array) : PyArray_NewCopy(a, NPY_CORDER);
    if (!x->array) return false;
    x->step = PyArray_STRIDE(RL_ARRAY(x->array), n - 2) / (int64_t)sizeof(float);
    return true;
}

/* A result with the axes in the order in memory that `like` has. */
static bool make_rows(heads *x, PyObject *like, int64_t columns) {
    PyArrayObject *a = RL_ARRAY(like);
    int n = PyArray_NDIM(a), order[RL_MAX_DIMS];
    npy_intp shape[RL_MAX_DIMS];
    bool plain = false;
    for (int d = 0; d < n; d++) {
        shape[d] = d < n - 1 ? PyArray_DIM(a, d) : columns;
        order[d] = d;
        plain |= PyArray_STRIDE(a, d) <= 0;
    }
    for (int i = 1; i < n - 1 && !plain; i++) { /* the last axis stays last */
        int axis = order[i], j = i;
        for (; j && PyArray_STRIDE(a, order[j - 1]) < PyArray_STRIDE(a, axis); j--) {
            order[j] = order[j - 1];
        }
        order[j] = axis;
    }
    x->array = rl_empty_ordered(n, shape, order, NPY_FLOAT);
    if (!x->array) return false;
    x->step = PyArray_STRIDE(RL_ARRAY(x->array), n - 2) / (int64_t)sizeof(float);
    return true;
}

static bool is_float(PyObject *x) {
    return rl_is_array(x) && PyArray_TYPE(RL_ARRAY(x)) == NPY_FLOAT;
}

/* Reads what both directions share; false to decline. */
static bool read_call(attention *t, const rl_call *call, PyObject *q, PyObject *k, PyObject *v,
                      PyObject *mask) {
    double scale;
    if (rl_keywords(call) != 2 || !rl_bool(call, "is_causal", &t->causal) ||
        !rl_float(call, "scale", &scale)) {
        return false;
    }
    t->scale = (float)scale;
    if (!is_float(q) || !is_float(k) || !is_float(v)) return false;
    int n = PyArray_NDIM(RL_ARRAY(q));
    if (n < 2 || PyArray_NDIM(RL_ARRAY(k)) != n || PyArray_NDIM(RL_ARRAY(v)) != n) return false;
    t->lead = n - 2;
    const npy_intp *shape = PyArray_DIMS(RL_ARRAY(q));
    const npy_intp *ks = PyArray_DIMS(RL_ARRAY(k)), *vs = PyArray_DIMS(RL_ARRAY(v));
    t->count = 1;
    for (int d = 0; d < t->lead; d++) {
        if (ks[d] != shape[d] || vs[d] != shape[d]) return false;
        t->count *= shape[d];
    }
    t->queries = shape[n - 2], t->depth = shape[n - 1];
    t->keys = ks[n - 2], t->width = vs[n - 1];
    if (ks[n - 1] != t->depth || vs[n - 2] != t->keys) return false;
    if (!t->count || !t->queries || !t->keys || !t->depth || !t->width) return false;
    t->has_mask = mask != Py_None;
    if (!t->has_mask) return true;
    if (!rl_is_array(mask)) return false;
    PyArrayObject *m = RL_ARRAY(mask);
    t->mask_is_bool = PyArray_TYPE(m) == NPY_BOOL;
    int mn = PyArray_NDIM(m);
    if ((!t->mask_is_bool && PyArray_TYPE(m) != NPY_FLOAT) || mn > n) return false;
    npy_intp whole[RL_MAX_DIMS];
    memcpy(whole, shape, sizeof(npy_intp) * (size_t)(n - 1));
    whole[n - 1] = t->keys;
    for (int d = 0; d < mn; d++) {
        npy_intp size = PyArray_DIM(m, d);
        if (size != 1 && size != whole[n - mn + d]) return false;
    }
    t->mask_key = mn < 1 || PyArray_DIM(m, mn - 1) == 1 ? 0 : PyArray_STRIDE(m, mn - 1);
    t->mask_query = mn < 2 || PyArray_DIM(m, mn - 2) == 1 ? 0 : PyArray_STRIDE(m, mn - 2);
    t->mask.array = Py_NewRef(mask);
    return true;
}

static void release(attention *t) {
    heads *all[] = {&t->q, &t->k, &t->v, &t->mask, &t->out, &t->lse, &t->g, &t->dq, &t->dk, &t->dv};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) Py_CLEAR(all[i]->array);
    rl_scratch_free(t->room);
    rl_scratch_free(t->work);
    rl_scratch_free(t->partial);
    t->room = NULL, t->work = NULL, t->partial = NULL;
}

/* Offsets of the heads of all arrays, scratch for `floats` numbers in each thread, and how the
   queries are cut. */
static bool prepare(attention *t, int64_t floats) {
    heads *rows[] = {&t->q, &t->k, &t->v, &t->out, &t->g, &t->dq, &t->dk, &t->dv};
    const npy_intp *shape = PyArray_DIMS(RL_ARRAY(t->q.array));
    size_t bytes = sizeof(int64_t) * (size_t)t->count * 10;
    t->workers = (int)least(rl_threads(), t->count * t->parts);
    t->room = rl_scratch(bytes + sizeof(atomic_flag) * (size_t)t->workers);
    if (!t->room) return false;
    t->taken = (atomic_flag *)((char *)t->room + bytes);
    for (int i = 0; i < t->workers; i++) atomic_flag_clear(&t->taken[i]);
    int64_t *offsets = t->room;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++, offsets += t->count) {
        if (!rows[i]->array) continue;
        place_heads(rows[i], RL_ARRAY(rows[i]->array), t->lead, shape, 2, t->count, offsets);
    }
    place_heads(&t->lse, RL_ARRAY(t->lse.array), t->lead, shape, 1, t->count, offsets);
    t->lse_step = PyArray_STRIDE(RL_ARRAY(t->lse.array), t->lead) / (int64_t)sizeof(float);
    offsets += t->count;
    if (t->has_mask) {
        PyArrayObject *m = RL_ARRAY(t->mask.array);
        int own = PyArray_NDIM(m) < 2 ? PyArray_NDIM(m) : 2;
        place_heads(&t->mask, m, t->lead, shape, own, t->count, offsets);
    }
    t->work_bytes = (size_t)up(floats, 16) * sizeof(float);
    t->work = rl_scratch(t->work_bytes * (size_t)t->workers);
    return t->work != NULL;
}

static void cut(attention *t) {
    int64_t tiles = (t->queries + RL_NR - 1) / RL_NR;
    int64_t parts = t->count >= TASKS ? 1 : least(tiles, (TASKS + t->count - 1) / t->count);
    t->part = (tiles + parts - 1) / parts * RL_NR;
    t->parts = (t->queries + t->part - 1) / t->part;
}

/* Scratch that no other thread uses now; which one makes no difference to the results. */
static float *take_work(attention *t, int *which) {
    for (int i = 0;; i = i + 1 < t->workers ? i + 1 : 0) {
        if (!atomic_flag_test_and_set(&t->taken[i])) {
            *which = i;
            return (float *)(t->work + t->work_bytes * (size_t)i);
        }
    }
}

static double work_of(const attention *t, double products) {
    double pairs = (double)t->queries * (double)t->keys;
    return products * pairs * (double)(t->depth + t->width) * (t->causal ? 0.5 : 1.0);
}

/* Tiles */

/* to[c][j] = factor * from[j][c] for the `some` rows there are, 0 for the others. */
static void turn_in(float *restrict to, const float *restrict from, int64_t step, int some,
                    int64_t columns, float factor) {
    if (some < RL_NR) memset(to, 0, sizeof(float) * (size_t)columns * RL_NR);
    for (int64_t c = 0; c < columns; c += 16) {
        int64_t end = least(c + 16, columns);
        for (int j = 0; j < some; j++) {
            for (int64_t e = c; e < end; e++) to[e * RL_NR + j] = from[j * step + e] * factor;
        }
    }
}

/* to[j][c] = factors[j] * from[c][j] */
static void turn_out(float *restrict to, int64_t step, const float *restrict from, int some,
                     int64_t columns, const float *factors) {
    for (int64_t c = 0; c < columns; c += 16) {
        int64_t end = least(c + 16, columns);
        for (int j = 0; j < some; j++) {
            float factor = factors[j];
            for (int64_t e = c; e < end; e++) to[j * step + e] = from[e * RL_NR + j] * factor;
        }
    }
}

/* Hides keys of the scores s[key][query] of keys from `key` and queries from `query`. */
static void hide(const attention *t, int64_t head, float *restrict s, int64_t key, int64_t keys,
                 int64_t query, int some) {
    if (t->has_mask) {
        const char *m = t->mask.data + t->mask.offsets[head] + query * t->mask_query +
                        key * t->mask_key;
        for (int64_t i = 0; i < keys; i += 16) {
            int64_t end = least(i + 16, keys);
            for (int j = 0; j < some; j++) {
                const char *row = m + j * t->mask_query;
                if (t->mask_is_bool) {
                    for (int64_t l = i; l < end; l++) {
                        float *x = &s[l * RL_NR + j];
                        *x = row[l * t->mask_key] ? *x : -rl_infinity_f32();
                    }
                } else {
                    for (int64_t l = i; l < end; l++) {
                        s[l * RL_NR + j] += *(const float *)(row + l * t->mask_key);
                    }
                }
            }
        }
    }
    if (t->causal) {
        for (int64_t i = query + 1 > key ? query + 1 - key : 0; i < keys; i++) {
            int64_t blind = least(key + i - query, RL_NR); /* the queries before the key */
            for (int64_t j = 0; j < blind; j++) s[i * RL_NR + j] = -rl_infinity_f32();
        }
    }
}

/* exp(x) for x <= 0, to which results below 1e-38 are 0. */
static inline float weight(float x) {
    float c = x < -87.0f ? -87.0f : x; /* NaN passes */
    float n = (c * 1.44269504088896340736f + 12582912.0f) - 12582912.0f;
    float r = (c - n * 0x1.62e400p-1f) - n * 0x1.7f7d1cp-20f;
    float y = (rl_expm1_near_0_f32(r) + 1) * rl_pow2_f32(n);
    return x < -87.0f ? 0.0f : y;
}

/* Forward */

static void forward_tile(const attention *t, int64_t head, int64_t query, float *room) {
    int some = (int)least(RL_NR, t->queries - query);
    int64_t seen = t->causal ? least(query + some, t->keys) : t->keys;
    const float *k = head_of(&t->k, head), *v = head_of(&t->v, head);
    float *qt = room, *acc = qt + t->depth * RL_NR, *s = acc + t->width * RL_NR;
    float top[RL_NR], total[RL_NR], shift[RL_NR];
    for (int j = 0; j < RL_NR; j++) top[j] = -rl_infinity_f32(), total[j] = 0;
    turn_in(qt, head_of(&t->q, head) + query * t->q.step, t->q.step, some, t->depth, t->scale);
    for (int64_t key = 0; key < seen; key += KEYS) {
        int64_t keys = least(KEYS, seen - key);
        rl_strip_rows(keys, t->depth, k + key * t->k.step, t->k.step, qt, RL_NR, s, RL_NR, false);
        hide(t, head, s, key, keys, query, some);
        float before[RL_NR];
        memcpy(before, top, sizeof top);
        for (int64_t i = 0; i < keys; i++) {
            for (int j = 0; j < RL_NR; j++) {
                float x = s[i * RL_NR + j];
                top[j] = x > top[j] ? x : top[j];
            }
        }
        /* Where no key was seen yet, nothing is subtracted: the weights are 0, not NaN. */
        for (int j = 0; j < RL_NR; j++) shift[j] = top[j] == -rl_infinity_f32() ? 0 : top[j];
        if (key) {
            float factor[RL_NR];
            for (int j = 0; j < RL_NR; j++) factor[j] = weight(before[j] - shift[j]);
            for (int j = 0; j < RL_NR; j++) total[j] *= factor[j];
            for (int64_t f = 0; f < t->width; f++) {
                for (int j = 0; j < RL_NR; j++) acc[f * RL_NR + j] *= factor[j];
            }
        }
        for (int64_t i = 0; i < keys; i++) {
            float *row = s + i * RL_NR;
            for (int j = 0; j < RL_NR; j++) {
                row[j] = weight(row[j] - shift[j]);
                total[j] += row[j];
            }
        }
        rl_strip_columns(t->width, keys, v + key * t->v.step, t->v.step, s, RL_NR, acc, RL_NR,
                         key > 0);
    }
    float *lse = head_of(&t->lse, head) + query;
    for (int j = 0; j < RL_NR; j++) {
        float x = rl_log_f32(total[j]) + shift[j];
        if (j < some) lse[j] = x;
        total[j] = total[j] == 0 ? 0 : 1 / total[j];
    }
    turn_out(head_of(&t->out, head) + query * t->out.step, t->out.step, acc, some, t->width, total);
}

static inline float dot(const float *x, const float *y, int64_t n) {
    rl_vector sum = {0};
    int64_t i = 0;
    for (; n - i >= RL_LANES; i += RL_LANES) sum += rl_load(x + i) * rl_load(y + i);
    float lanes[RL_LANES], rest = 0;
    rl_store(lanes, sum);
    for (int width = RL_LANES / 2; width; width /= 2) {
        for (int j = 0; j < width; j++) lanes[j] += lanes[j + width];
    }
    for (; i < n; i++) rest += x[i] * y[i];
    return lanes[0] + rest;
}

/* One query at a time: keys are the vectors' places now. */
static void forward_query(const attention *t, int64_t head, int64_t query, float *s) {
    const float *q = head_of(&t->q, head) + query * t->q.step;
    const float *k = head_of(&t->k, head), *v = head_of(&t->v, head);
    float *out = head_of(&t->out, head) + query * t->out.step;
    int64_t seen = t->causal ? least(query + 1, t->keys) : t->keys;
    float top = -rl_infinity_f32(), total = 0;
    for (int64_t i = 0; i < seen; i++) s[i] = dot(q, k + i * t->k.step, t->depth) * t->scale;
    if (t->has_mask) {
        const char *m = t->mask.data + t->mask.offsets[head] + query * t->mask_query;
        for (int64_t i = 0; i < seen; i++, m += t->mask_key) {
            if (!t->mask_is_bool) s[i] += *(const float *)m;
            else if (!*m) s[i] = -rl_infinity_f32();
        }
    }
    for (int64_t i = 0; i < seen; i++) top = s[i] > top ? s[i] : top;
    float shift = top == -rl_infinity_f32() ? 0 : top;
    for (int64_t i = 0; i < seen; i++) s[i] = weight(s[i] - shift);
    for (int64_t i = 0; i < seen; i++) total += s[i];
    float factor = total == 0 ? 0 : 1 / total;
    memset(out, 0, sizeof(float) * (size_t)t->width);
    for (int64_t i = 0; i < seen; i++) {
        float w = s[i] * factor;
        for (int64_t f = 0; f < t->width; f++) out[f] += w * v[i * t->v.step + f];
    }
    head_of(&t->lse, head)[query] = rl_log_f32(total) + shift;
}

static void forward_task(void *context, int64_t begin, int64_t end) {
    attention *t = context;
    int which;
    float *room = take_work(t, &which);
    for (int64_t i = begin; i < end; i++) {
        int64_t head = i / t->parts, query = i % t->parts * t->part;
        int64_t last = least(query + t->part, t->queries);
        if (t->queries <= FEW) {
            for (; query < last; query++) forward_query(t, head, query, room);
        } else {
            for (; query < last; query += RL_NR) forward_tile(t, head, query, room);
        }
    }
    atomic_flag_clear(&t->taken[which]);
}

static PyObject *attend(const rl_call *call) {
    attention t = {0};
    if (call->count != 4 || !read_call(&t, call, call->args[0], call->args[1], call->args[2],
                                       call->args[3])) {
        release(&t);
        return RL_DECLINE;
    }
    PyObject *result = NULL;
    npy_intp shape[RL_MAX_DIMS];
    memcpy(shape, PyArray_DIMS(RL_ARRAY(call->args[0])), sizeof(npy_intp) * (size_t)(t.lead + 1));
    t.lse.array = rl_empty(t.lead + 1, shape, NPY_FLOAT);
    cut(&t);
    int64_t floats = (t.depth + t.width + least(KEYS, t.keys)) * RL_NR + t.keys;
    if (t.lse.array && take_rows(&t.q, call->args[0]) && take_rows(&t.k, call->args[1]) &&
        take_rows(&t.v, call->args[2]) && make_rows(&t.out, call->args[0], t.width) &&
        prepare(&t, floats)) {
        double work = work_of(&t, 1);
        int64_t tasks = t.count * t.parts;
        int64_t grain = 1 + (int64_t)(TASK_WORK * (double)t.parts / work);
        RL_RELEASE_GIL(work * (double)t.count > TASK_WORK)
        rl_parallel_range(tasks, grain, forward_task, &t);
        RL_TAKE_GIL
        result = PyTuple_Pack(2, t.out.array, t.lse.array);
    }
    release(&t);
    return result;
}

/* Backward */

static void backward_tile(const attention *t, int64_t head, int64_t query, float *room, float *dk,
                          float *dv) {
    int some = (int)least(RL_NR, t->queries - query);
    int64_t seen = t->causal ? least(query + some, t->keys) : t->keys;
    int64_t depth = t->depth, width = t->width;
    int64_t wide_depth = up(depth, RL_LANES), wide_width = up(width, RL_LANES);
    const float *k = head_of(&t->k, head), *v = head_of(&t->v, head);
    const float *q = head_of(&t->q, head) + query * t->q.step;
    const float *g = head_of(&t->g, head) + query * t->g.step;
    const float *lse = head_of(&t->lse, head) + query * t->lse_step;
    float *qt = room, *gt = qt + depth * RL_NR, *dq = gt + width * RL_NR;
    float *rows_q = dq + (depth > width ? depth : width) * RL_NR;
    float *rows_g = rows_q + wide_depth * RL_NR;
    float *s = rows_g + wide_width * RL_NR, *d = s + KEYS_BACKWARD * RL_NR;
    float shift[RL_NR], delta[RL_NR] = {0}, factors[RL_NR];
    turn_in(qt, q, t->q.step, some, depth, t->scale);
    turn_in(gt, g, t->g.step, some, width, 1);
    turn_in(dq, head_of(&t->out, head) + query * t->out.step, t->out.step, some, width, 1);
    for (int64_t f = 0; f < width; f++) {
        for (int j = 0; j < RL_NR; j++) delta[j] += gt[f * RL_NR + j] * dq[f * RL_NR + j];
    }
    for (int j = 0; j < RL_NR; j++) {
        /* exp(-infinity) is 0 for the queries that saw no key, and those there are not. */
        shift[j] = j < some && lse[j * t->lse_step] != -rl_infinity_f32() ? lse[j * t->lse_step]
                                                                          : rl_infinity_f32();
        factors[j] = t->scale;
    }
    for (int j = 0; j < some; j++) {
        for (int64_t e = 0; e < depth; e++) {
            rows_q[j * wide_depth + e] = q[j * t->q.step + e] * t->scale;
        }
        for (int64_t e = depth; e < wide_depth; e++) rows_q[j * wide_depth + e] = 0;
        memcpy(rows_g + j * wide_width, g + j * t->g.step, sizeof(float) * (size_t)width);
        for (int64_t f = width; f < wide_width; f++) rows_g[j * wide_width + f] = 0;
    }
    for (int64_t key = 0; key < seen; key += KEYS_BACKWARD) {
        int64_t keys = least(KEYS_BACKWARD, seen - key);
        const float *ks = k + key * t->k.step, *vs = v + key * t->v.step;
        rl_strip_rows(keys, depth, ks, t->k.step, qt, RL_NR, s, RL_NR, false);
        hide(t, head, s, key, keys, query, some);
        rl_strip_rows(keys, width, vs, t->v.step, gt, RL_NR, d, RL_NR, false);
        for (int64_t i = 0; i < keys * RL_NR; i += RL_NR) {
            for (int j = 0; j < RL_NR; j++) {
                float w = weight(s[i + j] - shift[j]);
                s[i + j] = w;
                d[i + j] = w * (d[i + j] - delta[j]);
            }
        }
        rl_strips_add(wide_width / RL_LANES, keys, some, s, RL_NR, rows_g, wide_width,
                      dv + key * wide_width, wide_width);
        rl_strips_add(wide_depth / RL_LANES, keys, some, d, RL_NR, rows_q, wide_depth,
                      dk + key * wide_depth, wide_depth);
        rl_strip_columns(depth, keys, ks, t->k.step, d, RL_NR, dq, RL_NR, key > 0);
    }
    turn_out(head_of(&t->dq, head) + query * t->dq.step, t->dq.step, dq, some, depth, factors);
}

static inline int64_t sums_size(const attention *t) {
    return t->keys * (up(t->depth, RL_LANES) + up(t->width, RL_LANES));
}

/* Stores the sum of the sums of a head's parts: in their order, whoever computed them. */
static void store_sums(const attention *t, int64_t head, const float *sums, int64_t parts) {
    int64_t wide_depth = up(t->depth, RL_LANES), wide_width = up(t->width, RL_LANES);
    const float *dk = sums, *dv = sums + t->keys * wide_depth;
    int64_t size = sums_size(t);
    for (int64_t i = 0; i < t->keys; i++) {
        float *to_k = head_of(&t->dk, head) + i * t->dk.step;
        float *to_v = head_of(&t->dv, head) + i * t->dv.step;
        memcpy(to_k, dk + i * wide_depth, sizeof(float) * (size_t)t->depth);
        memcpy(to_v, dv + i * wide_width, sizeof(float) * (size_t)t->width);
        for (int64_t p = 1; p < parts; p++) {
            const float *more_k = dk + p * size + i * wide_depth;
            const float *more_v = dv + p * size + i * wide_width;
            for (int64_t e = 0; e < t->depth; e++) to_k[e] += more_k[e];
            for (int64_t f = 0; f < t->width; f++) to_v[f] += more_v[f];
        }
    }
}

static void sums_task(void *context, int64_t begin, int64_t end) {
    attention *t = context;
    for (int64_t head = begin; head < end; head++) {
        store_sums(t, head, t->partial + head * t->parts * sums_size(t), t->parts);
    }
}

static void backward_task(void *context, int64_t begin, int64_t end) {
    attention *t = context;
    int which;
    float *room = take_work(t, &which);
    int64_t size = sums_size(t);
    for (int64_t i = begin; i < end; i++) {
        int64_t head = i / t->parts, query = i % t->parts * t->part;
        int64_t last = least(query + t->part, t->queries);
        float *sums = t->parts > 1 ? t->partial + i * size : room;
        float *rest = t->parts > 1 ? room : room + size;
        memset(sums, 0, sizeof(float) * (size_t)size);
        for (; query < last; query += RL_NR) {
            backward_tile(t, head, query, rest, sums, sums + t->keys * up(t->depth, RL_LANES));
        }
        if (t->parts == 1) store_sums(t, head, sums, 1);
    }
    atomic_flag_clear(&t->taken[which]);
}

static PyObject *attend_backward(const rl_call *call) {
    attention t = {0};
    PyObject *const *args = call->args;
    bool fits = call->count == 7 && read_call(&t, call, args[1], args[2], args[3], args[4]) &&
                is_float(args[0]) && is_float(args[5]) && is_float(args[6]);
    if (fits) {
        int n = t.lead + 2;
        for (int i = 0; i < 6 && fits; i += 5) { /* g and out */
            PyArrayObject *x = RL_ARRAY(args[i]);
            fits = PyArray_NDIM(x) == n && PyArray_DIM(x, n - 1) == t.width &&
                   PyArray_CompareLists(PyArray_DIMS(x), PyArray_DIMS(RL_ARRAY(args[1])), n - 1);
        }
        fits = fits && PyArray_NDIM(RL_ARRAY(args[6])) == n - 1 &&
               PyArray_CompareLists(PyArray_DIMS(RL_ARRAY(args[6])),
                                    PyArray_DIMS(RL_ARRAY(args[1])), n - 1);
    }
    if (!fits) {
        release(&t);
        return RL_DECLINE;
    }
    PyObject *result = NULL;
    t.lse.array = Py_NewRef(args[6]);
    cut(&t);
    int64_t widest = t.depth > t.width ? t.depth : t.width;
    int64_t floats = (t.depth + t.width + widest + up(t.depth, RL_LANES) +
                      up(t.width, RL_LANES) + 2 * KEYS_BACKWARD) * RL_NR;
    int64_t tasks = t.count * t.parts;
    if (t.parts == 1) floats += sums_size(&t);
    if (take_rows(&t.g, args[0]) && take_rows(&t.q, args[1]) && take_rows(&t.k, args[2]) &&
        take_rows(&t.v, args[3]) && take_rows(&t.out, args[5]) &&
        make_rows(&t.dq, args[1], t.depth) && make_rows(&t.dk, args[2], t.depth) &&
        make_rows(&t.dv, args[3], t.width) && prepare(&t, floats) &&
        (t.parts == 1 ||
         (t.partial = rl_scratch(sizeof(float) * (size_t)(tasks * sums_size(&t)))))) {
        double work = work_of(&t, 2.5);
        int64_t grain = 1 + (int64_t)(TASK_WORK * (double)t.parts / work);
        RL_RELEASE_GIL(work * (double)t.count > TASK_WORK)
        rl_parallel_range(tasks, grain, backward_task, &t);
        if (t.parts > 1) rl_parallel_range(t.count, 1, sums_task, &t);
        RL_TAKE_GIL
        result = PyTuple_Pack(3, t.dq.array, t.dk.array, t.dv.array);
    }
    release(&t);
    return result;
}

const rl_kernel rl_attention_kernels[] = {
    {"scaled_dot_product_attention", "floating", attend, NULL},
    {"attention_backward", "floating", attend_backward, NULL},
    {0},
};
