/* Writing by index: rows that add up (index_add, index_put, embedding_backward), put, scatter,
   masked_scatter.

   Deterministic without atomics: values for one place are added in the order in which they stand,
   by one task.  Long rows are sorted by their place (by counting, stable), so that each row of the
   result is written once, be it the first operand's row, that plus some, or zeros; the first
   operand of a gradient is a number expanded to a shape, which is never read as an array. */
#include "indexed.h"

#define ANY "floating reduced integer bool complex"
#define NUMBERS "floating integer"

enum { BASE_DENSE, BASE_NUMBER, BASE_PRESENT }; /* x, a number, what `out` holds already */

typedef struct {
    const char *x, *src;
    char *out;
    int base, type;
    int64_t outer, n, inner, count; /* x is (outer, n, inner), src (outer, count, inner) */
    const int64_t *places;
    int64_t skip; /* a place that gets nothing, or -1 */
    const int32_t *starts, *order;
} adding;

#define RL_LOOPS "scattering_loops.h"
#include "rl_both_types.h"
#undef RL_LOOPS
#define T uint32_t
#define F(name) name##_i32
#include "scattering_loops.h"
#undef T
#undef F
#define T uint64_t
#define F(name) name##_i64
#include "scattering_loops.h"
#undef T
#undef F

#define BY_TYPE(type, call, ...)                                                                  \
    switch (type) {                                                                               \
        case NPY_FLOAT: call##_f32 __VA_ARGS__; break;                                            \
        case NPY_DOUBLE: call##_f64 __VA_ARGS__; break;                                           \
        case NPY_INT32: call##_i32 __VA_ARGS__; break;                                            \
        case NPY_INT64: call##_i64 __VA_ARGS__; break;                                            \
        default: break;                                                                           \
    }

static bool addable(int type) {
    return type == NPY_FLOAT || type == NPY_DOUBLE || type == NPY_INT32 || type == NPY_INT64;
}

/* The result of a call and where its values come from: `out`, x, or the number that x is. */
typedef struct {
    PyObject *out;
    int base;
    const char *x;
} target;

static bool find_target(target *t, PyArrayObject *x, PyObject *given) {
    t->x = PyArray_BYTES(x);
    if (given) {
        if (given != (PyObject *)x || !PyArray_IS_C_CONTIGUOUS(x) || !PyArray_ISWRITEABLE(x)) {
            return false;
        }
        t->base = BASE_PRESENT;
        t->out = Py_NewRef(given);
        return true;
    }
    if (PyArray_IS_C_CONTIGUOUS(x)) t->base = BASE_DENSE;
    else if (rl_is_spread(x)) t->base = BASE_NUMBER;
    else return false;
    t->out = rl_empty(PyArray_NDIM(x), PyArray_DIMS(x), PyArray_TYPE(x));
    return true;
}

static void sorted_piece(void *context, int64_t begin, int64_t end) {
    const adding *a = context;
    BY_TYPE(a->type, add_sorted, (a, begin, end))
}

static void in_turn(void *context, int64_t outer) {
    const adding *a = context;
    BY_TYPE(a->type, add_in_turn, (a, outer))
}

/* Counts how many rows go to each place, and lists them by place. */
static bool sort_rows(adding *a, int32_t **held) {
    size_t entries = (size_t)(a->n + 2 + a->count);
    int32_t *starts = *held = rl_scratch(sizeof(int32_t) * entries), *order = starts + a->n + 2;
    if (!starts) return false;
    memset(starts, 0, sizeof(int32_t) * (size_t)(a->n + 2));
    /* starts[p + 2] counts place p; shifted by one while filling, so that it ends as the start. */
    for (int64_t j = 0; j < a->count; j++) {
        if (a->places[j] != a->skip) starts[a->places[j] + 2]++;
    }
    for (int64_t p = 0; p < a->n; p++) starts[p + 2] += starts[p + 1];
    for (int64_t j = 0; j < a->count; j++) {
        if (a->places[j] != a->skip) order[starts[a->places[j] + 1]++] = (int32_t)j;
    }
    a->starts = starts, a->order = order;
    return true;
}

/* Fills or adds to a->out. False with an error set. */
static bool add_rows(adding *a) {
    int64_t moved = a->outer * a->count * a->inner;
    int64_t size = a->outer * a->n * a->inner;
    int64_t item = a->type == NPY_FLOAT || a->type == NPY_INT32 ? 4 : 8;
    bool wide = a->inner * item >= 64 && a->outer * a->count > 16 && moved > 4096 &&
                (a->base != BASE_PRESENT || a->n < 8 * a->count) && a->count < INT32_MAX &&
                a->n < INT32_MAX;
    int32_t *held = NULL;
    if (wide && !sort_rows(a, &held)) return false;
    bool alone = a->outer == 1 && !wide;
    RL_RELEASE_GIL(moved + size > 1 << 14)
    if (wide) {
        rl_parallel_range(a->outer * a->n, rl_grain(a->inner * item), sorted_piece, a);
    } else if (alone && size > 1 << 16 && a->base != BASE_PRESENT) {
        if (a->base == BASE_DENSE) rl_copy(a->out, a->x, size * item);
        else rl_spread(a->out, a->x, size, item);
        a->base = BASE_PRESENT;
        in_turn(a, 0);
    } else if (moved + size <= 1 << 14) {
        for (int64_t o = 0; o < a->outer; o++) in_turn(a, o);
    } else {
        rl_parallel(a->outer, in_turn, a);
    }
    RL_TAKE_GIL
    rl_scratch_free(held);
    return true;
}

/* x + src at places around dims. `src` is dense of the size that they select. */
static PyObject *added(PyArrayObject *x, PyArrayObject *src, rl_around around,
                       const rl_places *p, PyObject *given) {
    target t;
    if (!find_target(&t, x, given)) return RL_DECLINE;
    if (!t.out) return NULL;
    PyObject *dense = PyArray_FROM_OF((PyObject *)src, NPY_ARRAY_C_CONTIGUOUS);
    if (!dense) {
        Py_DECREF(t.out);
        return NULL;
    }
    adding a = {t.x, PyArray_BYTES(RL_ARRAY(dense)), RL_DATA(t.out), t.base, PyArray_TYPE(x),
                around.outer, around.n, around.inner, p->count, p->at, -1, NULL, NULL};
    if (!add_rows(&a)) Py_CLEAR(t.out);
    Py_DECREF(dense);
    return t.out;
}

static PyObject *index_add(const rl_call *c) {
    int64_t dim, alpha = 1;
    PyObject *given = rl_keyword(c, "out");
    if (c->count != 3 || !rl_is_array(c->args[0]) || !rl_is_array(c->args[2]) ||
        !rl_int(c, "dim", &dim)) {
        return RL_DECLINE;
    }
    bool has_alpha = rl_keyword(c, "alpha") != NULL;
    if (rl_keywords(c) != 1 + has_alpha + (given != NULL)) return RL_DECLINE;
    if (has_alpha && (!rl_int(c, "alpha", &alpha) || alpha != 1)) return RL_DECLINE;
    PyArrayObject *x = RL_ARRAY(c->args[0]), *src = RL_ARRAY(c->args[2]);
    int nd = PyArray_NDIM(x), type = PyArray_TYPE(x);
    if (!nd || PyArray_NDIM(src) != nd || dim < 0 || dim >= nd || !addable(type) ||
        PyArray_TYPE(src) != type || !PyArray_SIZE(x)) {
        return RL_DECLINE;
    }
    rl_places p;
    npy_intp size = PyArray_DIM(x, dim);
    int good = rl_places_of(&p, c->args + 1, 1, &size, false);
    if (good <= 0) return good ? NULL : RL_DECLINE;
    bool fits = PyArray_DIM(src, dim) == p.count;
    for (int d = 0; d < nd; d++) fits &= d == dim || PyArray_DIM(src, d) == PyArray_DIM(x, d);
    PyObject *out = RL_DECLINE;
    if (fits) out = added(x, src, rl_around_dims(x, (int)dim, 1), &p, given);
    rl_places_free(&p);
    return out;
}

static PyObject *index_put(const rl_call *c) {
    int64_t dims[RL_MAX_DIMS];
    bool accumulate;
    PyObject *given = rl_keyword(c, "out");
    int count = rl_ints(c, "dims", dims, RL_MAX_DIMS);
    if (count < 1 || c->count != count + 2 || rl_keywords(c) != 2 + (given != NULL) ||
        !rl_is_array(c->args[0]) || !rl_is_array(c->args[1]) ||
        !rl_bool(c, "accumulate", &accumulate) || !accumulate) {
        return RL_DECLINE;
    }
    PyArrayObject *x = RL_ARRAY(c->args[0]), *values = RL_ARRAY(c->args[1]);
    int nd = PyArray_NDIM(x), type = PyArray_TYPE(x), first = (int)dims[0];
    if (!nd || !addable(type) || PyArray_TYPE(values) != type || !PyArray_SIZE(x)) {
        return RL_DECLINE;
    }
    for (int i = 0; i < count; i++) {
        if (dims[i] != first + i || dims[i] < 0 || dims[i] >= nd) return RL_DECLINE;
    }
    rl_places p;
    int good = rl_places_of(&p, c->args + 2, count, PyArray_DIMS(x) + first, true);
    if (good <= 0) return good ? NULL : RL_DECLINE;
    /* Only values of the very shape that is selected. */
    bool fits = PyArray_NDIM(values) == nd - count + p.dims;
    for (int d = 0; fits && d < PyArray_NDIM(values); d++) {
        npy_intp wanted = d < first            ? PyArray_DIM(x, d)
                          : d < first + p.dims ? p.shape[d - first]
                                               : PyArray_DIM(x, d - p.dims + count);
        fits = PyArray_DIM(values, d) == wanted;
    }
    PyObject *out = RL_DECLINE;
    if (fits) out = added(x, values, rl_around_dims(x, first, count), &p, given);
    rl_places_free(&p);
    return out;
}

static PyObject *put(const rl_call *c) {
    bool accumulate;
    PyObject *given = rl_keyword(c, "out");
    if (c->count != 3 || rl_keywords(c) != 1 + (given != NULL) || !rl_is_array(c->args[0]) ||
        !rl_is_array(c->args[2]) || !rl_bool(c, "accumulate", &accumulate) || !accumulate) {
        return RL_DECLINE;
    }
    PyArrayObject *x = RL_ARRAY(c->args[0]), *src = RL_ARRAY(c->args[2]);
    npy_intp size = PyArray_SIZE(x);
    if (!PyArray_NDIM(x) || !size || !addable(PyArray_TYPE(x)) ||
        PyArray_TYPE(src) != PyArray_TYPE(x)) {
        return RL_DECLINE;
    }
    rl_places p;
    int good = rl_places_of(&p, c->args + 1, 1, &size, true);
    if (good <= 0) return good ? NULL : RL_DECLINE;
    rl_around around = {1, size, 1};
    PyObject *out = RL_DECLINE;
    if (PyArray_SIZE(src) == p.count) out = added(x, src, around, &p, given);
    rl_places_free(&p);
    return out;
}

static PyObject *embedding_backward(const rl_call *c) {
    int64_t rows, padding = -1;
    bool scaled;
    PyObject *pad = rl_keyword(c, "padding_idx");
    if (c->count != 2 || rl_keywords(c) != 3 || !rl_is_array(c->args[0]) || !pad ||
        !rl_int(c, "num_embeddings", &rows) || rows < 0 ||
        !rl_bool(c, "scale_grad_by_freq", &scaled) || scaled ||
        (pad != Py_None && !rl_int(c, "padding_idx", &padding))) {
        return RL_DECLINE;
    }
    PyArrayObject *g = RL_ARRAY(c->args[0]);
    int nd = PyArray_NDIM(g), type = PyArray_TYPE(g);
    if (!nd || (type != NPY_FLOAT && type != NPY_DOUBLE)) return RL_DECLINE;
    npy_intp shape[2] = {rows, PyArray_DIM(g, nd - 1)}, size = rows;
    if (!rows || !shape[1]) return RL_DECLINE;
    rl_places p;
    int good = rl_places_of(&p, c->args + 1, 1, &size, false);
    if (good <= 0) return good ? NULL : RL_DECLINE;
    PyObject *out = RL_DECLINE, *dense = NULL;
    if (PyArray_SIZE(g) == p.count * shape[1]) {
        dense = PyArray_FROM_OF((PyObject *)g, NPY_ARRAY_C_CONTIGUOUS);
        out = dense ? rl_empty(2, shape, type) : NULL;
    }
    if (dense && out) {
        double zero = 0;
        adding a = {(char *)&zero, PyArray_BYTES(RL_ARRAY(dense)), RL_DATA(out), BASE_NUMBER,
                    type, 1, rows, shape[1], p.count, p.at, padding < 0 ? -1 : padding};
        if (!add_rows(&a)) Py_CLEAR(out);
    }
    Py_XDECREF(dense);
    rl_places_free(&p);
    return out;
}

/* Scatter */

typedef struct {
    const char *x, *src;
    char *out;
    const int64_t *index;
    int base, type, size;
    bool sum, include_self;
    int64_t outer, n, inner, count; /* x (outer, n, inner); index and src (outer, count, inner) */
    int64_t columns;                /* of a task; inner is cut into pieces of so many */
} scattering;

static void start_block(const scattering *s, int64_t outer, int64_t first, int64_t last) {
    int64_t row = s->inner * s->size, bytes = (last - first) * s->size;
    char *out = s->out + outer * s->n * row + first * s->size;
    const char *x = s->x + outer * s->n * row + first * s->size;
    if (s->base == BASE_PRESENT) return;
    bool whole = first == 0 && last == s->inner;
    for (int64_t k = 0; k < (whole ? 1 : s->n); k++) {
        int64_t n = whole ? s->n * bytes : bytes;
        if (s->base == BASE_DENSE) {
            memcpy(out + k * row, x + k * row, (size_t)n);
        } else {
            rl_spread(out + k * row, s->x, n / s->size, s->size);
        }
    }
}

static void scatter_task(void *context, int64_t task) {
    const scattering *s = context;
    int64_t pieces = (s->inner + s->columns - 1) / s->columns, outer = task / pieces;
    int64_t first = task % pieces * s->columns, last = first + s->columns;
    if (last > s->inner) last = s->inner;
    start_block(s, outer, first, last);
    int64_t inner = s->inner;
    char *out = s->out + outer * s->n * inner * s->size;
    const char *src = s->src + outer * s->count * inner * s->size;
    const int64_t *index = s->index + outer * s->count * inner;
#define EACH(statement)                                                                           \
    for (int64_t j = 0; j < s->count; j++) {                                                      \
        for (int64_t i = first; i < last; i++) {                                                  \
            int64_t at = index[j * inner + i] * inner + i, from = j * inner + i;                  \
            (void)from;                                                                           \
            statement;                                                                            \
        }                                                                                         \
    }
    if (s->sum) {
        if (!s->include_self) EACH(memset(out + at * s->size, 0, (size_t)s->size))
        if (inner == 1) {
            BY_TYPE(s->type, add_line, ((void *)out, (const void *)src, index, s->count))
        } else {
            BY_TYPE(s->type, add_columns,
                    ((void *)out, (const void *)src, index, s->count, inner, first, last))
        }
        return;
    }
    switch (s->size) {
        case 1: EACH(((uint8_t *)out)[at] = ((const uint8_t *)src)[from]) break;
        case 2: EACH(((uint16_t *)out)[at] = ((const uint16_t *)src)[from]) break;
        case 4: EACH(((uint32_t *)out)[at] = ((const uint32_t *)src)[from]) break;
        case 8: EACH(((uint64_t *)out)[at] = ((const uint64_t *)src)[from]) break;
        default: EACH(memcpy(out + at * s->size, src + from * s->size, (size_t)s->size))
    }
#undef EACH
}

static void scatter_tasks(void *context, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) scatter_task(context, i);
}

static PyObject *scatter(const rl_call *c) {
    int64_t dim;
    bool include_self = true, sum = false;
    PyObject *given = rl_keyword(c, "out"), *reduce = rl_keyword(c, "reduce");
    if (c->count != 3 || !rl_is_array(c->args[0]) || !rl_is_array(c->args[1]) ||
        !rl_is_array(c->args[2]) || !rl_int(c, "dim", &dim)) {
        return RL_DECLINE;
    }
    bool has_self = rl_keyword(c, "include_self") != NULL;
    if (has_self && !rl_bool(c, "include_self", &include_self)) return RL_DECLINE;
    if (rl_keywords(c) != 1 + has_self + (reduce != NULL) + (given != NULL)) return RL_DECLINE;
    if (reduce && reduce != Py_None) {
        if (!PyUnicode_Check(reduce) || PyUnicode_CompareWithASCIIString(reduce, "sum")) {
            return RL_DECLINE;
        }
        sum = true;
    }
    PyArrayObject *x = RL_ARRAY(c->args[0]), *src = RL_ARRAY(c->args[2]);
    int nd = PyArray_NDIM(x), type = PyArray_TYPE(x);
    if (!nd || dim < 0 || dim >= nd || PyArray_NDIM(src) != nd || PyArray_TYPE(src) != type ||
        PyArray_NDIM(RL_ARRAY(c->args[1])) != nd || (sum && !addable(type)) ||
        PyDataType_REFCHK(PyArray_DESCR(x)) || !PyArray_SIZE(RL_ARRAY(c->args[1]))) {
        return RL_DECLINE;
    }
    for (int d = 0; d < nd; d++) {
        npy_intp m = PyArray_DIM(RL_ARRAY(c->args[1]), d);
        if (PyArray_DIM(src, d) != m || (d != dim && PyArray_DIM(x, d) != m)) return RL_DECLINE;
    }
    rl_places p; /* checked before anything is written */
    npy_intp size = PyArray_DIM(x, dim);
    int good = rl_places_of(&p, c->args + 1, 1, &size, false);
    if (good <= 0) return good ? NULL : RL_DECLINE;
    target t;
    PyObject *dense = NULL;
    if (!find_target(&t, x, given)) {
        rl_places_free(&p);
        return RL_DECLINE;
    }
    if (t.out) dense = PyArray_FROM_OF((PyObject *)src, NPY_ARRAY_C_CONTIGUOUS);
    if (!dense) {
        Py_CLEAR(t.out);
    } else {
        rl_around around = rl_around_dims(x, (int)dim, 1);
        int64_t total = PyArray_SIZE(x) + p.count;
        scattering s = {t.x, PyArray_BYTES(RL_ARRAY(dense)), RL_DATA(t.out), p.at, t.base, type,
                        (int)PyArray_ITEMSIZE(x), sum, include_self, around.outer, around.n,
                        around.inner, PyArray_DIM(src, dim), 512};
        int64_t tasks = s.outer * ((s.inner + s.columns - 1) / s.columns);
        RL_RELEASE_GIL(total > 1 << 14)
        if (s.outer == 1 && s.inner == 1 && s.base != BASE_PRESENT) {
            if (s.base == BASE_DENSE) rl_copy(s.out, s.x, s.n * s.size);
            else rl_spread(s.out, s.x, s.n, s.size);
            s.base = BASE_PRESENT;
        }
        int64_t each = total / tasks * s.size;
        if (total <= 1 << 14) scatter_tasks(&s, 0, tasks);
        else rl_parallel_range(tasks, rl_grain(each), scatter_tasks, &s);
        RL_TAKE_GIL
        Py_DECREF(dense);
    }
    rl_places_free(&p);
    return t.out;
}

/* Masks */

#define MASK_BLOCK 8192

typedef struct {
    const char *x, *src;
    char *out;
    const uint8_t *mask;
    int base;
    int64_t total, size, *starts;
} masking;

static void count_block(void *context, int64_t block) {
    const masking *m = context;
    int64_t begin = block * MASK_BLOCK, end = begin + MASK_BLOCK, n = 0;
    if (end > m->total) end = m->total;
    for (int64_t i = begin; i < end; i++) n += m->mask[i] != 0;
    m->starts[block] = n;
}

static void put_block(void *context, int64_t block) {
    const masking *m = context;
    int64_t begin = block * MASK_BLOCK, end = begin + MASK_BLOCK, k = m->starts[block];
    if (end > m->total) end = m->total;
#define PUT(T)                                                                                    \
    case sizeof(T): {                                                                             \
        T *out = (T *)m->out;                                                                     \
        const T *src = (const T *)m->src, *x = (const T *)m->x;                                   \
        int64_t stop = m->starts[block + 1], i = begin;                                           \
        T number = m->base == BASE_NUMBER ? *x : 0;                                               \
        for (; k < stop; i++) {                                                                   \
            T other = m->base == BASE_DENSE ? x[i] : m->base == BASE_NUMBER ? number : out[i];    \
            T keep = (T)((T)(m->mask[i] != 0) - 1), value = src[k]; /* no branch to mispredict */ \
            out[i] = (T)((value & (T)~keep) | (other & keep));                                    \
            k += m->mask[i] != 0;                                                                 \
        }                                                                                         \
        if (m->base == BASE_DENSE) {                                                              \
            memcpy(out + i, x + i, sizeof(T) * (size_t)(end - i));                                \
        } else if (m->base == BASE_NUMBER) {                                                      \
            for (; i < end; i++) out[i] = number;                                                 \
        }                                                                                         \
        break;                                                                                    \
    }
    switch (m->size) {
        PUT(uint8_t)
        PUT(uint16_t)
        PUT(uint32_t)
        PUT(uint64_t)
        default: break;
    }
#undef PUT
}

static PyObject *masked_scatter(const rl_call *c) {
    PyObject *given = rl_keyword(c, "out");
    if (c->count != 3 || rl_keywords(c) != (given != NULL) || !rl_is_array(c->args[0]) ||
        !rl_is_dense(c->args[1], NPY_BOOL) || !rl_is_array(c->args[2])) {
        return RL_DECLINE;
    }
    PyArrayObject *x = RL_ARRAY(c->args[0]), *src = RL_ARRAY(c->args[2]);
    if (!PyArray_SAMESHAPE(x, RL_ARRAY(c->args[1])) || !PyArray_IS_C_CONTIGUOUS(src) ||
        PyArray_TYPE(src) != PyArray_TYPE(x) || PyArray_ITEMSIZE(x) > 8 || !PyArray_NDIM(x) ||
        PyDataType_REFCHK(PyArray_DESCR(x))) {
        return RL_DECLINE;
    }
    int64_t total = PyArray_SIZE(x), blocks = (total + MASK_BLOCK - 1) / MASK_BLOCK, found = 0;
    masking m = {PyArray_BYTES(x), PyArray_BYTES(src), NULL, RL_DATA(c->args[1]), 0, total,
                 PyArray_ITEMSIZE(x)};
    m.starts = rl_scratch(sizeof(int64_t) * (size_t)(blocks + 1));
    if (!m.starts) return NULL;
    RL_RELEASE_GIL(total > 1 << 14)
    rl_parallel(blocks, count_block, &m);
    for (int64_t b = 0; b < blocks; b++) {
        int64_t n = m.starts[b];
        m.starts[b] = found;
        found += n;
    }
    m.starts[blocks] = found;
    RL_TAKE_GIL
    target t;
    if (found > PyArray_SIZE(src) || !find_target(&t, x, given)) {
        rl_scratch_free(m.starts);
        return RL_DECLINE;
    }
    if (t.out) {
        m.out = RL_DATA(t.out), m.base = t.base;
        RL_RELEASE_GIL(total > 1 << 14)
        rl_parallel(blocks, put_block, &m);
        RL_TAKE_GIL
    }
    rl_scratch_free(m.starts);
    return t.out;
}

const rl_kernel rl_scattering_kernels[] = {
    {"index_add", NUMBERS, index_add, NULL},
    {"index_put", NUMBERS, index_put, NULL},
    {"put", NUMBERS, put, NULL},
    {"embedding_backward", "floating", embedding_backward, NULL},
    {"scatter", ANY, scatter, NULL},
    {"masked_scatter", ANY, masked_scatter, NULL},
    {0},
};
