/* sort, argsort and topk of float32 and of integers of up to 32 bits.

   A key and its position share 64 bits, the key above: such words are all distinct, so that any
   order of them is the stable order of the keys.  Short rows are sorted by NumPy's vectorised sort
   of integers, long ones by radix, 8 bits at a time, in chunks whose number depends on the length
   only.  As in the NumPy tier, NaN counts as the greatest and -0 equals 0. */
#include "indexed.h"

#include <stdlib.h>

#define RADIX_FROM 8192 /* elements of a row from which on radix is faster */
#define DIGIT 8
#define BUCKETS (1 << DIGIT)
#define CHUNK (1 << 16)
#define CHUNKS 8
#define TOP_MOST 64 /* so many of a row are kept in order while it is read */
#define SHORT 24

typedef struct {
    const char *x;
    char *values;     /* or NULL */
    int64_t *indices;
    int type, size;
    bool descending;
    int64_t n, inner, k; /* of x along dim; elements after dim; kept of each row */
    PyArray_SortFunc *sort;
    PyObject *like; /* an array of int64, for `sort` */
    int64_t lines;
    uint64_t *scratch; /* of a single long row, else NULL */
    atomic_int failed;
} ordering;

/* The bits of a float as an integer of the same order: of negative ones they run backwards. */
static inline uint32_t float_key(float v) {
    int32_t bits;
    v = v + 0.0f; /* -0 becomes 0 */
    memcpy(&bits, &v, sizeof bits);
    bits = v != v ? 0x7FC00000 : bits;
    return (uint32_t)(bits ^ ((bits >> 31) & 0x7FFFFFFF)) ^ 0x80000000u;
}

/* Keys in ascending order of what comes first; `step` in elements. */
static void keys_of(const ordering *o, const char *row, int64_t step, int64_t first, int64_t n,
                    uint32_t *keys) {
    uint32_t flip = o->descending ? 0xFFFFFFFFu : 0;
#define KEYS(type, T, key)                                                                        \
    case type: {                                                                                  \
        const T *x = (const T *)row + first * step;                                               \
        if (step == 1) {                                                                          \
            for (int64_t i = 0; i < n; i++) {                                                     \
                T v = x[i];                                                                       \
                keys[i] = (key) ^ flip;                                                           \
            }                                                                                     \
        } else {                                                                                  \
            for (int64_t i = 0; i < n; i++) {                                                     \
                T v = x[i * step];                                                                \
                keys[i] = (key) ^ flip;                                                           \
            }                                                                                     \
        }                                                                                         \
        break;                                                                                    \
    }
    switch (o->type) {
        KEYS(NPY_FLOAT, float, float_key(v))
        KEYS(NPY_INT32, int32_t, (uint32_t)v ^ 0x80000000u)
        KEYS(NPY_INT16, int16_t, (uint32_t)(v + 0x8000))
        KEYS(NPY_INT8, int8_t, (uint32_t)(v + 0x80))
        KEYS(NPY_UINT8, uint8_t, v)
        default: break;
    }
#undef KEYS
}

#define PIECE 512

static void pack(const ordering *o, const char *row, int64_t step, int64_t begin, int64_t end,
                 uint64_t *words) {
    uint32_t keys[PIECE];
    for (int64_t at = begin; at < end; at += PIECE) {
        int64_t n = end - at < PIECE ? end - at : PIECE;
        keys_of(o, row, step, at, n, keys);
        /* As signed integers, which NumPy sorts, words keep the order of unsigned ones. */
        for (int64_t i = 0; i < n; i++) {
            words[at + i] = ((uint64_t)(keys[i] ^ 0x80000000u) << 32) | (uint64_t)(at + i);
        }
    }
}

/* Writes the first `k` of sorted words as values and indices. */
static void unpack(const ordering *o, const uint64_t *words, int64_t begin, int64_t end,
                   const char *row, char *values, int64_t *indices) {
    int64_t step = o->inner;
    for (int64_t i = begin; i < end; i++) indices[i * step] = (int64_t)(uint32_t)words[i];
    if (!values) return;
#define PICK(T)                                                                                   \
    case sizeof(T):                                                                               \
        for (int64_t i = begin; i < end; i++) {                                                   \
            ((T *)values)[i * step] = ((const T *)row)[(int64_t)(uint32_t)words[i] * step];       \
        }                                                                                         \
        break;
    switch (o->size) {
        PICK(uint8_t)
        PICK(uint16_t)
        PICK(uint32_t)
        default: break;
    }
#undef PICK
}

/* Radix */

typedef struct {
    const ordering *o;
    const uint64_t *from;
    uint64_t *to;
    int64_t n, chunk;
    int shift;
    uint32_t (*counts)[BUCKETS]; /* of each chunk; then where its words of a bucket begin */
} radix;

static void count_chunk(void *context, int64_t c) {
    const radix *r = context;
    uint32_t *counts = r->counts[c];
    int64_t end = (c + 1) * r->chunk < r->n ? (c + 1) * r->chunk : r->n;
    memset(counts, 0, sizeof *r->counts);
    for (int64_t i = c * r->chunk; i < end; i++) counts[r->from[i] >> r->shift & (BUCKETS - 1)]++;
}

static void move_chunk(void *context, int64_t c) {
    const radix *r = context;
    uint32_t *at = r->counts[c];
    int64_t end = (c + 1) * r->chunk < r->n ? (c + 1) * r->chunk : r->n;
    for (int64_t i = c * r->chunk; i < end; i++) {
        r->to[at[r->from[i] >> r->shift & (BUCKETS - 1)]++] = r->from[i];
    }
}

/* Sorts words by their upper 32 bits; the lower ones are in order. Returns where they end up. */
static uint64_t *radix_sort(uint64_t *words, uint64_t *other, int64_t n,
                            uint32_t (*counts)[BUCKETS]) {
    int64_t chunks = n >= 2 * CHUNK ? CHUNKS : 1;
    radix r = {NULL, words, other, n, (n + chunks - 1) / chunks, 32, counts};
    for (; r.shift < 64; r.shift += DIGIT) {
        rl_parallel(chunks, count_chunk, &r);
        uint32_t at = 0;
        bool same = false;
        for (int b = 0; b < BUCKETS; b++) {
            uint32_t before = at;
            for (int64_t c = 0; c < chunks; c++) {
                uint32_t count = counts[c][b];
                counts[c][b] = at;
                at += count;
            }
            same |= at - before == n;
        }
        if (same) continue; /* all share this digit */
        rl_parallel(chunks, move_chunk, &r);
        const uint64_t *sorted = r.to;
        r.to = (uint64_t *)r.from;
        r.from = sorted;
    }
    return (uint64_t *)r.from;
}

/* Turns the sign over before and after: radix takes words as unsigned. */
static void flip_signs(uint64_t *words, int64_t n) {
    for (int64_t i = 0; i < n; i++) words[i] ^= (uint64_t)1 << 63;
}

static void insertion(uint64_t *words, int64_t n) {
    for (int64_t i = 1; i < n; i++) {
        uint64_t word = words[i];
        int64_t j = i;
        for (; j && (int64_t)words[j - 1] > (int64_t)word; j--) words[j] = words[j - 1];
        words[j] = word;
    }
}

static size_t row_scratch(int64_t n) {
    size_t words = (size_t)n * (n >= RADIX_FROM ? 2 : 1);
    return words * 8 + (n >= RADIX_FROM ? sizeof(uint32_t[CHUNKS][BUCKETS]) : 0);
}

/* Sorts a packed row in scratch of row_scratch(n) bytes; NULL if NumPy's sort fails. */
static uint64_t *sort_row(const ordering *o, uint64_t *words, int64_t n) {
    if (n <= SHORT) {
        insertion(words, n);
        return words;
    }
    if (n >= RADIX_FROM) {
        flip_signs(words, n);
        return radix_sort(words, words + n, n, (uint32_t (*)[BUCKETS])(words + 2 * n));
    }
    return o->sort(words, n, (void *)o->like) ? NULL : words;
}

/* The first k of a row, kept in order while the row is read: most words are beyond the last. */
static int64_t keep_first(const ordering *o, const char *row, uint64_t *best) {
    uint32_t keys[PIECE];
    int64_t k = o->k, kept = 0;
    uint32_t last = 0xFFFFFFFFu;
    for (int64_t at = 0; at < o->n; at += PIECE) {
        int64_t n = o->n - at < PIECE ? o->n - at : PIECE;
        keys_of(o, row, o->inner, at, n, keys);
        for (int64_t i = 0; i < n; i += 32) {
            int64_t stop = i + 32 < n ? i + 32 : n;
            if (kept == k) {
                if (stop == i + 32) {
                    uint32_t any = 0;
                    for (int64_t j = 0; j < 32; j++) any |= keys[i + j] < last;
                    if (!any) continue;
                }
            }
            for (int64_t j = i; j < stop; j++) {
                /* An equal key further on stands behind. */
                if (kept == k && keys[j] >= last) continue;
                uint64_t word = (uint64_t)keys[j] << 32 | (uint64_t)(at + j);
                int64_t place = kept < k ? kept++ : k - 1;
                for (; place && best[place - 1] > word; place--) best[place] = best[place - 1];
                best[place] = word;
                if (kept == k) last = (uint32_t)(best[k - 1] >> 32);
            }
        }
    }
    return kept;
}

static void order_lines(void *context, int64_t begin, int64_t end) {
    ordering *o = context;
    uint64_t best[TOP_MOST];
    bool top = o->k < o->n && o->k <= TOP_MOST && 4 * o->k <= o->n;
    uint64_t small[SHORT];
    uint64_t *words = top || o->n <= SHORT ? small : malloc(row_scratch(o->n));
    if (!words) {
        atomic_store(&o->failed, 1);
        return;
    }
    for (int64_t line = begin; line < end; line++) {
        int64_t outer = line / o->inner, at = line % o->inner;
        const char *row = o->x + (outer * o->n * o->inner + at) * o->size;
        int64_t into = outer * o->k * o->inner + at;
        const uint64_t *sorted = best;
        if (top) {
            keep_first(o, row, best);
        } else {
            pack(o, row, o->inner, 0, o->n, words);
            sorted = sort_row(o, words, o->n);
            if (!sorted) {
                atomic_store(&o->failed, 1);
                break;
            }
        }
        unpack(o, sorted, 0, o->k, row, o->values ? o->values + into * o->size : NULL,
               o->indices + into);
    }
    if (words != small) free(words);
}

/* One long row: each step in parallel. */

static void pack_piece(void *context, int64_t begin, int64_t end) {
    const ordering *o = context;
    pack(o, o->x, 1, begin, end, o->scratch);
    flip_signs(o->scratch + begin, end - begin);
}

static void unpack_piece(void *context, int64_t begin, int64_t end) {
    const ordering *o = context;
    unpack(o, o->scratch, begin, end, o->x, o->values, o->indices);
}

static void order_one(ordering *o, uint64_t *words) {
    o->scratch = words;
    rl_parallel_range(o->n, 1 << 15, pack_piece, o);
    o->scratch = radix_sort(words, words + o->n, o->n, (uint32_t (*)[BUCKETS])(words + 2 * o->n));
    rl_parallel_range(o->k, 1 << 15, unpack_piece, o);
}

static PyObject *order(const rl_call *c, int64_t dim, int64_t k, bool descending, bool values) {
    if (!rl_is_array(c->args[0]) || !PyArray_IS_C_CONTIGUOUS(RL_ARRAY(c->args[0]))) {
        return RL_DECLINE;
    }
    PyArrayObject *x = RL_ARRAY(c->args[0]);
    int nd = PyArray_NDIM(x), type = PyArray_TYPE(x);
    if (!nd || dim < 0 || dim >= nd || !PyArray_SIZE(x) ||
        (type != NPY_FLOAT && type != NPY_INT32 && type != NPY_INT16 && type != NPY_INT8 &&
         type != NPY_UINT8)) {
        return RL_DECLINE;
    }
    rl_around around = rl_around_dims(x, (int)dim, 1);
    if (k < 0) k = around.n;
    if (around.n > INT32_MAX || k > around.n || !k) return RL_DECLINE;
    npy_intp shape[RL_MAX_DIMS];
    for (int d = 0; d < nd; d++) shape[d] = d == dim ? k : PyArray_DIM(x, d);
    npy_intp one = 1;
    PyObject *like = PyArray_SimpleNew(1, &one, NPY_INT64), *indices = NULL, *out = NULL;
    if (like) indices = rl_empty(nd, shape, NPY_INT64);
    if (indices && values) out = rl_empty(nd, shape, type);
    uint64_t *scratch = NULL;
    bool alone = around.outer * around.inner == 1 && around.n >= 2 * CHUNK &&
                 (k > TOP_MOST || 4 * k > around.n);
    if (indices && alone) scratch = rl_scratch(row_scratch(around.n));
    if (!indices || (values && !out) || (alone && !scratch)) {
        Py_XDECREF(like);
        Py_XDECREF(indices);
        Py_XDECREF(out);
        return NULL;
    }
    ordering o = {PyArray_BYTES(x), out ? RL_DATA(out) : NULL, RL_DATA(indices), type,
                  (int)PyArray_ITEMSIZE(x), descending, around.n, around.inner, k,
                  PyDataType_GetArrFuncs(PyArray_DESCR(RL_ARRAY(like)))->sort[NPY_QUICKSORT],
                  like, around.outer * around.inner};
    int64_t total = PyArray_SIZE(x), grain = (1 << 14) / around.n;
    RL_RELEASE_GIL(total > 2048)
    if (alone) order_one(&o, scratch);
    else if (total <= 4096) order_lines(&o, 0, o.lines);
    else rl_parallel_range(o.lines, grain, order_lines, &o);
    RL_TAKE_GIL
    rl_scratch_free(scratch);
    Py_DECREF(like);
    if (atomic_load(&o.failed)) {
        Py_DECREF(indices);
        Py_XDECREF(out);
        return RL_DECLINE;
    }
    if (!values) return indices;
    PyObject *both = PyTuple_Pack(2, out, indices);
    Py_DECREF(out);
    Py_DECREF(indices);
    return both;
}

static PyObject *sort(const rl_call *c) {
    int64_t dim;
    bool descending = false, stable;
    int known = 1;
    if (c->count != 1 || !rl_int(c, "dim", &dim)) return RL_DECLINE;
    if (rl_keyword(c, "descending")) {
        if (!rl_bool(c, "descending", &descending)) return RL_DECLINE;
        known++;
    }
    if (rl_keyword(c, "stable")) {
        if (!rl_bool(c, "stable", &stable)) return RL_DECLINE;
        known++;
    }
    if (rl_keywords(c) != known) return RL_DECLINE;
    return order(c, dim, -1, descending, c->data != NULL);
}

static PyObject *topk(const rl_call *c) {
    int64_t dim, k;
    bool largest = true, sorted;
    int known = 2;
    if (c->count != 1 || !rl_int(c, "dim", &dim) || !rl_int(c, "k", &k) || k < 1) {
        return RL_DECLINE;
    }
    if (rl_keyword(c, "largest")) {
        if (!rl_bool(c, "largest", &largest)) return RL_DECLINE;
        known++;
    }
    if (rl_keyword(c, "sorted")) { /* they always are */
        if (!rl_bool(c, "sorted", &sorted)) return RL_DECLINE;
        known++;
    }
    if (rl_keywords(c) != known) return RL_DECLINE;
    return order(c, dim, k, largest, true);
}

const rl_kernel rl_sorting_kernels[] = {
    {"sort", "floating integer", sort, "values"},
    {"argsort", "floating integer", sort, NULL},
    {"topk", "floating integer", topk, NULL},
    {0},
};
