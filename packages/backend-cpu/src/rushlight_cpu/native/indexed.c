/* Checked places, and plain copies in parallel. */
#include "indexed.h"

PyObject *rl_index_array(PyObject *index) {
    if (!rl_is_array(index) || !PyArray_ISINTEGER(RL_ARRAY(index))) return NULL;
    if (rl_is_dense(index, NPY_INT64)) return Py_NewRef(index);
    return PyArray_FROM_OTF(index, NPY_INT64, NPY_ARRAY_IN_ARRAY);
}

/* Whether places lie in [-n, n), and whether one is negative. */
typedef struct {
    const int64_t *at;
    int64_t n;
    atomic_int outside, negative;
} check;

static void check_piece(void *context, int64_t begin, int64_t end) {
    check *c = context;
    int64_t low = 0, high = -1;
    for (int64_t i = begin; i < end; i++) {
        low = c->at[i] < low ? c->at[i] : low;
        high = c->at[i] > high ? c->at[i] : high;
    }
    if (low < 0) atomic_store(&c->negative, 1);
    if (low < -c->n || high >= c->n) atomic_store(&c->outside, 1);
}

static void run_check(check *c, int64_t count) {
    if (count < 1 << 15) {
        check_piece(c, 0, count);
        return;
    }
    rl_parallel_range(count, 1 << 14, check_piece, c);
}

/* One index tensor: its own elements, or a copy where some count from the end. */
static int single(rl_places *p, PyObject *index, int64_t n, bool negative) {
    PyObject *array = rl_index_array(index);
    if (!array) return PyErr_Occurred() ? -1 : 0;
    p->held = array;
    p->at = RL_DATA(array);
    p->count = PyArray_SIZE(RL_ARRAY(array));
    p->dims = PyArray_NDIM(RL_ARRAY(array));
    memcpy(p->shape, PyArray_DIMS(RL_ARRAY(array)), sizeof(npy_intp) * (size_t)p->dims);
    check c = {p->at, n, 0, 0};
    RL_RELEASE_GIL(p->count > 1 << 14)
    run_check(&c, p->count);
    RL_TAKE_GIL
    if (atomic_load(&c.outside) || (atomic_load(&c.negative) && !negative)) {
        rl_places_free(p);
        return 0;
    }
    if (atomic_load(&c.negative)) {
        p->scratch = rl_scratch(sizeof(int64_t) * (size_t)p->count);
        if (!p->scratch) {
            rl_places_free(p);
            return -1;
        }
        for (int64_t i = 0; i < p->count; i++) {
            p->scratch[i] = p->at[i] + (p->at[i] < 0 ? n : 0);
        }
        p->at = p->scratch;
    }
    return 1;
}

int rl_places_of(rl_places *p, PyObject *const *indices, int count, const npy_intp *sizes,
                 bool negative) {
    memset(p, 0, sizeof *p);
    if (count == 1) return single(p, indices[0], sizes[0], negative);
    for (int i = 0; i < count; i++) {
        if (!rl_is_array(indices[i]) || PyArray_TYPE(RL_ARRAY(indices[i])) != NPY_INT64) return 0;
    }
    PyObject *found = PyArray_MultiIterFromObjects((PyObject **)indices, count, 0);
    if (!found) {
        PyErr_Clear(); /* they do not broadcast */
        return 0;
    }
    PyArrayMultiIterObject *all = (PyArrayMultiIterObject *)found;
    p->count = all->size;
    p->dims = all->nd;
    if (p->dims > RL_MAX_DIMS) {
        Py_DECREF(found);
        return 0;
    }
    memcpy(p->shape, all->dimensions, sizeof(npy_intp) * (size_t)p->dims);
    p->scratch = rl_scratch(sizeof(int64_t) * (size_t)(p->count ? p->count : 1));
    if (!p->scratch) {
        Py_DECREF(found);
        return -1;
    }
    p->at = p->scratch;
    bool good = true;
    for (int64_t i = 0; i < p->count; i++) {
        int64_t at = 0;
        for (int k = 0; k < count; k++) {
            int64_t j = *(const int64_t *)PyArray_MultiIter_DATA(all, k);
            if (j < 0 && negative) j += sizes[k];
            good &= j >= 0 && j < sizes[k];
            at = at * sizes[k] + j;
        }
        p->scratch[i] = at;
        PyArray_MultiIter_NEXT(all);
    }
    Py_DECREF(found);
    if (!good) rl_places_free(p);
    return good;
}

void rl_places_free(rl_places *p) {
    Py_CLEAR(p->held);
    rl_scratch_free(p->scratch);
    p->scratch = NULL;
}

typedef struct {
    char *out;
    const char *x;
    int64_t size;
} piece;

static void copy_piece(void *context, int64_t begin, int64_t end) {
    piece *p = context;
    memcpy(p->out + begin, p->x + begin, (size_t)(end - begin));
}

void rl_copy(char *out, const char *x, int64_t bytes) {
    if (bytes < 4 * RL_CHUNK) {
        memcpy(out, x, (size_t)bytes);
        return;
    }
    piece p = {out, x, 1};
    rl_parallel_range(bytes, 4 * RL_CHUNK, copy_piece, &p);
}

static void spread_piece(void *context, int64_t begin, int64_t end) {
    piece *p = context;
    char *out = p->out + begin * p->size;
    int64_t n = end - begin;
#define SPREAD(T)                                                                                 \
    case sizeof(T): {                                                                             \
        T v;                                                                                      \
        memcpy(&v, p->x, sizeof v);                                                               \
        for (int64_t i = 0; i < n; i++) ((T *)out)[i] = v;                                        \
        return;                                                                                   \
    }
    bool zero = true;
    for (int64_t i = 0; i < p->size; i++) zero &= !p->x[i];
    if (zero) {
        memset(out, 0, (size_t)(n * p->size));
        return;
    }
    switch (p->size) {
        SPREAD(uint8_t)
        SPREAD(uint16_t)
        SPREAD(uint32_t)
        SPREAD(uint64_t)
        default:
            for (int64_t i = 0; i < n; i++) memcpy(out + i * p->size, p->x, (size_t)p->size);
    }
#undef SPREAD
}

void rl_spread(char *out, const char *element, int64_t count, int64_t size) {
    piece p = {out, element, size};
    if (count * size < 4 * RL_CHUNK) spread_piece(&p, 0, count);
    else rl_parallel_range(count, 4 * RL_CHUNK / size, spread_piece, &p);
}
