/* sort, argsort and topk of float32 and of integers of up to 32 bits.

   A key and its position share 64 bits, the key above: such words are all distinct, so that any
   order of them is the stable order of the keys, and NumPy's vectorised sort of integers serves.  As
   in the NumPy tier, NaN counts as the greatest and -0 equals 0. */
#include "indexed.h"

#include <stdlib.h>

#define LONG (1 << 17)   /* a single row of so many is sorted by several threads */
#define PIECES (1 << 15) /* of which each packs so many at a time */
#define TOP_MOST 64      /* so many of a row are kept in order while it is read */
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
    uint64_t *scratch; /* of a single long row: its words, and as many merged; else NULL */
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

static void insertion(uint64_t *words, int64_t n) {
    for (int64_t i = 1; i < n; i++) {
        uint64_t word = words[i];
        int64_t j = i;
        for (; j && (int64_t)words[j - 1] > (int64_t)word; j--) words[j] = words[j - 1];
        words[j] = word;
    }
}

/* False if NumPy's sort fails. */
static bool sort_row(const ordering *o, uint64_t *words, int64_t n) {
    if (n > SHORT) return !o->sort(words, n, (void *)o->like);
    insertion(words, n);
    return true;
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
    uint64_t *words = top || o->n <= SHORT ? small : malloc(sizeof(uint64_t) * (size_t)o->n);
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
            sorted = words;
            if (!sort_row(o, words, o->n)) {
                atomic_store(&o->failed, 1);
                break;
            }
        }
        unpack(o, sorted, 0, o->k, row, o->values ? o->values + into * o->size : NULL,
               o->indices + into);
    }
    if (words != small) free(words);
}

/* One long row: packed and unpacked in pieces; its halves are sorted side by side and merged, each
   piece of the result by one task. */

static void pack_piece(void *context, int64_t begin, int64_t end) {
    const ordering *o = context;
    pack(o, o->x, 1, begin, end, o->scratch);
}

static void sort_half(void *context, int64_t half) {
    ordering *o = context;
    int64_t middle = o->n / 2;
    bool sorted = half ? sort_row(o, o->scratch + middle, o->n - middle)
                       : sort_row(o, o->scratch, middle);
    if (!sorted) atomic_store(&o->failed, 1);
}

/* How many of the first k words of the merged halves are from the first one. */
static int64_t from_first(const ordering *o, int64_t k) {
    const int64_t *a = (const int64_t *)o->scratch, *b = a + o->n / 2;
    int64_t size_a = o->n / 2, size_b = o->n - size_a;
    int64_t low = k > size_b ? k - size_b : 0, high = k < size_a ? k : size_a;
    while (low < high) {
        int64_t i = (low + high) / 2;
        if (a[i] < b[k - i - 1]) low = i + 1;
        else high = i;
    }
    return low;
}

static void merge_piece(void *context, int64_t begin, int64_t end) {
    const ordering *o = context;
    const int64_t *a = (const int64_t *)o->scratch, *b = a + o->n / 2;
    int64_t i = from_first(o, begin), j = begin - i;
    int64_t stop_i = from_first(o, end), stop_j = end - stop_i;
    uint64_t *merged = o->scratch + o->n, *out = merged + begin;
    while (i < stop_i && j < stop_j) {
        bool first = a[i] < b[j];
        *out++ = (uint64_t)(first ? a[i] : b[j]);
        i += first, j += !first;
    }
    memcpy(out, a + i, sizeof *a * (size_t)(stop_i - i));
    out += stop_i - i;
    memcpy(out, b + j, sizeof *b * (size_t)(stop_j - j));
    unpack(o, merged, begin, end, o->x, o->values, o->indices);
}

static void order_one(ordering *o) {
    rl_parallel_range(o->n, PIECES, pack_piece, o);
    rl_parallel(2, sort_half, o);
    rl_parallel_range(o->k, PIECES, merge_piece, o);
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
    bool alone = around.outer * around.inner == 1 && around.n >= LONG &&
                 (k > TOP_MOST || 4 * k > around.n);
    if (indices && alone) scratch = rl_scratch(2 * sizeof(uint64_t) * (size_t)around.n);
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
    o.scratch = scratch;
    if (alone) order_one(&o);
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
