/* Reading by index: rows (index, index_select, embedding, take), elements (gather), masks.

   All of these copy, so that a dtype matters by the size of its elements only. */
#include "indexed.h"

#define ANY "floating reduced integer bool complex"

/* Rows */

typedef struct {
    const char *x;
    char *out;
    const int64_t *places;
    int64_t n, count, bytes; /* rows of x, places, bytes of a row */
} row_copy;

static void copy_rows(void *context, int64_t begin, int64_t end) {
    const row_copy *c = context;
    int64_t bytes = c->bytes;
    while (begin < end) {
        int64_t outer = begin / c->count, j = begin % c->count;
        int64_t stop = end - begin < c->count - j ? j + end - begin : c->count;
        const char *x = c->x + outer * c->n * bytes;
        char *out = c->out + begin * bytes;
        const int64_t *places = c->places + j;
        int64_t rows = stop - j;
#define COPY(T)                                                                                   \
    case sizeof(T):                                                                               \
        for (int64_t i = 0; i < rows; i++) ((T *)out)[i] = ((const T *)x)[places[i]];             \
        break;
        switch (bytes) {
            COPY(uint8_t)
            COPY(uint16_t)
            COPY(uint32_t)
            COPY(uint64_t)
            default:
                for (int64_t i = 0; i < rows; i++) {
                    if (i + 3 < rows) {
                        const char *next = x + places[i + 3] * bytes;
                        for (int64_t b = 0; b < bytes && b < 1024; b += 64) {
                            __builtin_prefetch(next + b);
                        }
                    }
                    memcpy(out + i * bytes, x + places[i] * bytes, (size_t)bytes);
                }
        }
#undef COPY
        begin += rows;
    }
}

/* The rows of x, folded around dims, at places; the result's shape has the places' in between. */
static PyObject *take_rows(PyArrayObject *x, rl_around around, int first, int dims,
                           const rl_places *p) {
    npy_intp shape[RL_MAX_DIMS];
    int nd = 0, left = PyArray_NDIM(x) - dims + p->dims;
    if (left > RL_MAX_DIMS) return RL_DECLINE;
    for (int d = 0; d < first; d++) shape[nd++] = PyArray_DIM(x, d);
    for (int d = 0; d < p->dims; d++) shape[nd++] = p->shape[d];
    for (int d = first + dims; d < PyArray_NDIM(x); d++) shape[nd++] = PyArray_DIM(x, d);
    PyObject *out = rl_empty(nd, shape, PyArray_TYPE(x));
    if (!out) return NULL;
    int64_t bytes = around.inner * PyArray_ITEMSIZE(x), rows = around.outer * p->count;
    if (!rows || !bytes) return out;
    row_copy c = {PyArray_BYTES(x), RL_DATA(out), p->at, around.n, p->count, bytes};
    RL_RELEASE_GIL(rows * bytes > RL_CHUNK)
    if (rows * bytes <= 2 * RL_CHUNK) copy_rows(&c, 0, rows);
    else rl_parallel_range(rows, rl_grain(bytes), copy_rows, &c);
    RL_TAKE_GIL
    return out;
}

static PyObject *rows_at(PyObject *x_, PyObject *const *indices, int first, int count,
                         bool negative) {
    PyArrayObject *x = RL_ARRAY(x_);
    rl_around around = rl_around_dims(x, first, count);
    rl_places places;
    int good = rl_places_of(&places, indices, count, PyArray_DIMS(x) + first, negative);
    if (good <= 0) return good ? NULL : RL_DECLINE;
    PyObject *out = take_rows(x, around, first, count, &places);
    rl_places_free(&places);
    return out;
}

static bool readable(const rl_call *c, Py_ssize_t fewest) {
    return c->count >= fewest && rl_is_array(c->args[0]) &&
           PyArray_NDIM(RL_ARRAY(c->args[0])) > 0 &&
           PyArray_IS_C_CONTIGUOUS(RL_ARRAY(c->args[0])) &&
           !PyDataType_REFCHK(PyArray_DESCR(RL_ARRAY(c->args[0])));
}

static PyObject *index_rows(const rl_call *c) {
    int64_t dims[RL_MAX_DIMS];
    int count = rl_ints(c, "dims", dims, RL_MAX_DIMS);
    if (!readable(c, 2) || rl_keywords(c) != 1 || count < 1 || count != c->count - 1) {
        return RL_DECLINE;
    }
    for (int i = 0; i < count; i++) {
        if (dims[i] != dims[0] + i || dims[i] < 0 ||
            dims[i] >= PyArray_NDIM(RL_ARRAY(c->args[0]))) {
            return RL_DECLINE;
        }
    }
    return rows_at(c->args[0], c->args + 1, (int)dims[0], count, true);
}

static PyObject *index_select(const rl_call *c) {
    int64_t dim;
    if (!readable(c, 2) || c->count != 2 || rl_keywords(c) != 1 || !rl_int(c, "dim", &dim) ||
        dim < 0 || dim >= PyArray_NDIM(RL_ARRAY(c->args[0])) || !rl_is_array(c->args[1]) ||
        PyArray_NDIM(RL_ARRAY(c->args[1])) != 1) {
        return RL_DECLINE;
    }
    return rows_at(c->args[0], c->args + 1, (int)dim, 1, false);
}

static PyObject *embedding(const rl_call *c) {
    if (!readable(c, 2) || c->count != 2 || PyArray_NDIM(RL_ARRAY(c->args[0])) != 2) {
        return RL_DECLINE;
    }
    return rows_at(c->args[0], c->args + 1, 0, 1, false); /* its settings concern the gradient */
}

static PyObject *take(const rl_call *c) {
    if (!readable(c, 2) || c->count != 2 || rl_keywords(c)) return RL_DECLINE;
    PyArrayObject *x = RL_ARRAY(c->args[0]);
    npy_intp size = PyArray_SIZE(x);
    rl_around around = {1, size, 1};
    rl_places places;
    int good = rl_places_of(&places, c->args + 1, 1, &size, true);
    if (good <= 0) return good ? NULL : RL_DECLINE;
    PyObject *out = take_rows(x, around, 0, PyArray_NDIM(x), &places);
    rl_places_free(&places);
    return out;
}

/* Elements along a dimension */

typedef struct {
    const char *x;
    char *out;
    const int64_t *index;
    int dims, dim, size;
    int64_t n, line; /* of x along dim; elements in a line of the index */
    npy_intp shape[RL_MAX_DIMS], steps[RL_MAX_DIMS];
    atomic_int outside;
} gathering;

static void gather_lines(void *context, int64_t begin, int64_t end) {
    gathering *g = context;
    int last = g->dims - 1;
    int64_t step = g->steps[g->dim], along = g->dim == last ? 0 : g->steps[last];
    for (int64_t line = begin; line < end; line++) {
        const int64_t *index = g->index + line * g->line;
        char *out = g->out + line * g->line * g->size;
        const char *x = g->x;
        int64_t left = line;
        for (int d = last - 1; d >= 0; d--) {
            int64_t at = left % g->shape[d];
            left /= g->shape[d];
            if (d != g->dim) x += at * g->steps[d];
        }
        uint64_t greatest = 0;
        for (int64_t i = 0; i < g->line; i++) {
            greatest = (uint64_t)index[i] > greatest ? (uint64_t)index[i] : greatest;
        }
        if (greatest >= (uint64_t)g->n) {
            atomic_store(&g->outside, 1);
            return;
        }
#define GATHER(T)                                                                                 \
    case sizeof(T):                                                                               \
        if (!along && step == sizeof(T)) {                                                        \
            for (int64_t i = 0; i < g->line; i++) ((T *)out)[i] = ((const T *)x)[index[i]];       \
        } else {                                                                                  \
            for (int64_t i = 0; i < g->line; i++) {                                               \
                ((T *)out)[i] = *(const T *)(x + index[i] * step + i * along);                    \
            }                                                                                     \
        }                                                                                         \
        break;
        switch (g->size) {
            GATHER(uint8_t)
            GATHER(uint16_t)
            GATHER(uint32_t)
            GATHER(uint64_t)
            default:
                for (int64_t i = 0; i < g->line; i++) {
                    memcpy(out + i * g->size, x + index[i] * step + i * along, (size_t)g->size);
                }
        }
#undef GATHER
    }
}

static PyObject *gather(const rl_call *c) {
    int64_t dim;
    if (c->count != 2 || rl_keywords(c) != 1 || !rl_int(c, "dim", &dim) ||
        !rl_is_array(c->args[0]) || !rl_is_array(c->args[1])) {
        return RL_DECLINE;
    }
    PyArrayObject *x = RL_ARRAY(c->args[0]);
    int nd = PyArray_NDIM(x);
    if (!nd || PyArray_NDIM(RL_ARRAY(c->args[1])) != nd || dim < 0 || dim >= nd ||
        !PyArray_SIZE(RL_ARRAY(c->args[1])) || PyDataType_REFCHK(PyArray_DESCR(x))) {
        return RL_DECLINE;
    }
    PyObject *index = rl_index_array(c->args[1]);
    if (!index) return PyErr_Occurred() ? NULL : RL_DECLINE;
    gathering g = {PyArray_BYTES(x), NULL, RL_DATA(index), nd, (int)dim, (int)PyArray_ITEMSIZE(x),
                   PyArray_DIM(x, dim), PyArray_DIM(RL_ARRAY(index), nd - 1)};
    for (int d = 0; d < nd; d++) {
        g.shape[d] = PyArray_DIM(RL_ARRAY(index), d);
        g.steps[d] = PyArray_STRIDE(x, d);
        if (d != dim && g.shape[d] > PyArray_DIM(x, d)) {
            Py_DECREF(index);
            return RL_DECLINE;
        }
    }
    PyObject *out = rl_empty(nd, g.shape, PyArray_TYPE(x));
    if (!out) {
        Py_DECREF(index);
        return NULL;
    }
    g.out = RL_DATA(out);
    int64_t total = PyArray_SIZE(RL_ARRAY(out)), lines = total / g.line;
    RL_RELEASE_GIL(total > 1 << 13)
    if (total <= 1 << 14) gather_lines(&g, 0, lines);
    else rl_parallel_range(lines, rl_grain(4 * g.line), gather_lines, &g);
    RL_TAKE_GIL
    Py_DECREF(index);
    if (atomic_load(&g.outside)) {
        Py_DECREF(out);
        return RL_DECLINE;
    }
    return out;
}

/* Masks */

#define MASK_BLOCK 8192 /* elements whose selected ones are counted together */

typedef struct {
    const char *x;
    char *out;
    const uint8_t *mask;
    int64_t total, size;
    int64_t *starts; /* selected before each block */
} selection;

static void count_block(void *context, int64_t block) {
    const selection *s = context;
    int64_t begin = block * MASK_BLOCK, end = begin + MASK_BLOCK, n = 0;
    if (end > s->total) end = s->total;
    for (int64_t i = begin; i < end; i++) n += s->mask[i] != 0;
    s->starts[block] = n;
}

static void select_block(void *context, int64_t block) {
    const selection *s = context;
    int64_t begin = block * MASK_BLOCK, end = begin + MASK_BLOCK, k = s->starts[block];
    int64_t stop = s->starts[block + 1];
    if (end > s->total) end = s->total;
#define SELECT(T)                                                                                 \
    case sizeof(T): {                                                                             \
        T *out = (T *)s->out;                                                                     \
        const T *x = (const T *)s->x;                                                             \
        for (int64_t i = begin; k < stop; i++) { /* ends before it writes past its part */        \
            out[k] = x[i];                                                                        \
            k += s->mask[i] != 0;                                                                 \
        }                                                                                         \
        break;                                                                                    \
    }
    switch (s->size) {
        SELECT(uint8_t)
        SELECT(uint16_t)
        SELECT(uint32_t)
        SELECT(uint64_t)
        default:
            for (int64_t i = begin; i < end; i++) {
                if (s->mask[i]) memcpy(s->out + k++ * s->size, s->x + i * s->size, (size_t)s->size);
            }
    }
#undef SELECT
}

static PyObject *masked_select(const rl_call *c) {
    if (!readable(c, 2) || c->count != 2 || rl_keywords(c) || !rl_is_dense(c->args[1], NPY_BOOL)) {
        return RL_DECLINE;
    }
    PyArrayObject *x = RL_ARRAY(c->args[0]), *mask = RL_ARRAY(c->args[1]);
    if (!PyArray_SAMESHAPE(x, mask)) return RL_DECLINE;
    int64_t total = PyArray_SIZE(x), blocks = (total + MASK_BLOCK - 1) / MASK_BLOCK;
    selection s = {PyArray_BYTES(x), NULL, RL_DATA(mask), total, PyArray_ITEMSIZE(x)};
    s.starts = rl_scratch(sizeof(int64_t) * (size_t)(blocks + 1));
    if (!s.starts) return NULL;
    npy_intp found = 0;
    RL_RELEASE_GIL(total > 1 << 14)
    rl_parallel(blocks, count_block, &s);
    for (int64_t b = 0; b < blocks; b++) {
        int64_t n = s.starts[b];
        s.starts[b] = found;
        found += n;
    }
    s.starts[blocks] = found;
    RL_TAKE_GIL
    PyObject *out = rl_empty(1, &found, PyArray_TYPE(x));
    if (out && found) {
        s.out = RL_DATA(out);
        RL_RELEASE_GIL(total > 1 << 14)
        rl_parallel(blocks, select_block, &s);
        RL_TAKE_GIL
    }
    rl_scratch_free(s.starts);
    return out;
}

const rl_kernel rl_indexing_kernels[] = {
    {"index", ANY, index_rows, NULL},   {"index_select", ANY, index_select, NULL},
    {"take", ANY, take, NULL},          {"embedding", "floating reduced", embedding, NULL},
    {"gather", ANY, gather, NULL},      {"masked_select", ANY, masked_select, NULL},
    {0},
};
