/* Copies of arrays of any strides into row-major ones: clone, cat, and what needs dense operands.

   Where the fastest axis of the source is not the last one, tiles are turned over in registers, so
   that both sides are read and written by whole lines of the cache. */
#include "rl.h"

#include <math.h>

/* Elements of a task, and of a tile's side. */
#define TASK 32768
#define SIDE 16

typedef struct {
    int dims, size; /* size of an element in bytes */
    int64_t shape[RL_MAX_DIMS + 1], from[RL_MAX_DIMS + 1], to[RL_MAX_DIMS + 1]; /* in bytes */
    const char *x;
    char *y;
    int across;     /* the source's fastest axis; the last one where that is it */
    int64_t pieces; /* tasks along it */
    int64_t width;  /* elements of `across` in a task's unit */
} copy;

static void copy_run(const char *x, int64_t step, char *y, int64_t n, int size) {
    if (step == size) {
        memcpy(y, x, (size_t)(n * size));
        return;
    }
#define RUN(type)                                                                                 \
    for (int64_t i = 0; i < n; i++) ((type *)y)[i] = *(const type *)(x + i * step)
    if (size == 4) RUN(uint32_t);
    else if (size == 8) RUN(uint64_t);
    else if (size == 2) RUN(uint16_t);
    else if (size == 1) RUN(uint8_t);
    else
        for (int64_t i = 0; i < n; i++) memcpy(y + i * size, x + i * step, (size_t)size);
#undef RUN
}

#ifdef __AVX2__
typedef int32_t v8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef int64_t v4 __attribute__((vector_size(32), aligned(8), may_alias));

/* Eight by eight elements of four bytes. */
static inline void turn_8(const char *x, int64_t from, char *y, int64_t to) {
    v8 a[8], b[8];
    for (int i = 0; i < 8; i++) a[i] = *(const v8 *)(x + i * from);
    for (int i = 0; i < 8; i += 2) {
        b[i] = __builtin_shuffle(a[i], a[i + 1], (v8){0, 8, 1, 9, 4, 12, 5, 13});
        b[i + 1] = __builtin_shuffle(a[i], a[i + 1], (v8){2, 10, 3, 11, 6, 14, 7, 15});
    }
    for (int i = 0; i < 8; i += 4) {
        for (int k = 0; k < 2; k++) {
            a[i + 2 * k] = __builtin_shuffle(b[i + k], b[i + k + 2],
                                             (v8){0, 1, 8, 9, 4, 5, 12, 13});
            a[i + 2 * k + 1] = __builtin_shuffle(b[i + k], b[i + k + 2],
                                                 (v8){2, 3, 10, 11, 6, 7, 14, 15});
        }
    }
    for (int i = 0; i < 4; i++) {
        *(v8 *)(y + i * to) = __builtin_shuffle(a[i], a[i + 4], (v8){0, 1, 2, 3, 8, 9, 10, 11});
        *(v8 *)(y + (i + 4) * to) =
            __builtin_shuffle(a[i], a[i + 4], (v8){4, 5, 6, 7, 12, 13, 14, 15});
    }
}

/* Four by four elements of eight bytes. */
static inline void turn_4(const char *x, int64_t from, char *y, int64_t to) {
    v4 a[4], b[4];
    for (int i = 0; i < 4; i++) a[i] = *(const v4 *)(x + i * from);
    for (int i = 0; i < 4; i += 2) {
        b[i] = __builtin_shuffle(a[i], a[i + 1], (v4){0, 4, 2, 6});
        b[i + 1] = __builtin_shuffle(a[i], a[i + 1], (v4){1, 5, 3, 7});
    }
    for (int i = 0; i < 2; i++) {
        *(v4 *)(y + i * to) = __builtin_shuffle(b[i], b[i + 2], (v4){0, 1, 4, 5});
        *(v4 *)(y + (i + 2) * to) = __builtin_shuffle(b[i], b[i + 2], (v4){2, 3, 6, 7});
    }
}
#endif

/* y[a][i] = x[i][a] for a < rows, i < columns: `step` along a and `from` along i in x, the element
   and `to` in y. */
static void turn(const char *x, int64_t step, int64_t from, char *y, int64_t to, int64_t rows,
                 int64_t columns, int size) {
#ifdef __AVX2__
    if (step == size && rows == SIDE && columns == SIDE) {
        if (size == 4) {
            for (int i = 0; i < SIDE; i += 8) {
                for (int a = 0; a < SIDE; a += 8) {
                    turn_8(x + i * from + a * 4, from, y + a * to + i * 4, to);
                }
            }
            return;
        }
        if (size == 8) {
            for (int i = 0; i < SIDE; i += 4) {
                for (int a = 0; a < SIDE; a += 4) {
                    turn_4(x + i * from + a * 8, from, y + a * to + i * 8, to);
                }
            }
            return;
        }
    }
#endif
    for (int64_t a = 0; a < rows; a++) copy_run(x + a * step, from, y + a * to, columns, size);
}

/* Units [begin, end): each is a piece of `across` (and all of the last axis) at one place of the
   other axes. */
static void run(void *context, int64_t begin, int64_t end) {
    const copy *c = context;
    int last = c->dims - 1, across = c->across;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t rest = unit / c->pieces, start = unit % c->pieces * c->width;
        const char *x = c->x + start * c->from[across];
        char *y = c->y + start * c->to[across];
        for (int d = last; d >= 0; d--) {
            if (d == across || d == last) continue;
            int64_t place = rest % c->shape[d];
            rest /= c->shape[d];
            x += place * c->from[d];
            y += place * c->to[d];
        }
        int64_t n = c->shape[across] - start < c->width ? c->shape[across] - start : c->width;
        if (across == last) {
            copy_run(x, c->from[last], y, n, c->size);
            continue;
        }
        for (int64_t i = 0; i < c->shape[last]; i += SIDE) {
            int64_t columns = c->shape[last] - i < SIDE ? c->shape[last] - i : SIDE;
            for (int64_t a = 0; a < n; a += SIDE) {
                turn(x + i * c->from[last] + a * c->from[across], c->from[across], c->from[last],
                     y + i * c->size + a * c->to[across], c->to[across],
                     n - a < SIDE ? n - a : SIDE, columns, c->size);
            }
        }
    }
}

static int64_t distance(int64_t step) { return step < 0 ? -step : step; }

/* Drops axes of one element and joins those that are one run on both sides. */
static void simplify(copy *c) {
    int n = 0;
    for (int d = 0; d < c->dims; d++) {
        int64_t shape = c->shape[d], from = c->from[d], to = c->to[d];
        if (shape == 1) continue;
        if (n && c->from[n - 1] == from * shape && c->to[n - 1] == to * shape) {
            shape *= c->shape[--n];
        }
        c->shape[n] = shape, c->from[n] = from, c->to[n++] = to;
    }
    if (!n || c->to[n - 1] != c->size) { /* as where columns are joined side by side */
        c->shape[n] = 1, c->from[n] = INT32_MAX, c->to[n++] = c->size;
    }
    c->dims = n;
}

/* Copies `x` to `y`, whose steps are `to`, that of the last axis an element. */
static void copy_array(PyArrayObject *x, char *y, const int64_t *to) {
    copy c = {.dims = PyArray_NDIM(x), .size = (int)PyArray_ITEMSIZE(x), .x = PyArray_BYTES(x)};
    c.y = y;
    int64_t size = PyArray_SIZE(x), units = 1;
    if (!size) return;
    for (int d = 0; d < c.dims; d++) {
        c.shape[d] = PyArray_DIM(x, d);
        c.from[d] = PyArray_STRIDE(x, d);
        c.to[d] = to[d];
    }
    simplify(&c);
    int last = c.dims - 1;
    c.across = last;
    for (int d = last - 1; d >= 0; d--) { /* a short axis is not worth the turning */
        int64_t step = distance(c.from[d]);
        if (step && step < distance(c.from[c.across]) && c.shape[d] >= 4) c.across = d;
    }
    c.width = c.across == last ? TASK : 4 * SIDE;
    c.pieces = (c.shape[c.across] + c.width - 1) / c.width;
    for (int d = 0; d < c.dims; d++) {
        if (d != c.across && d != last) units *= c.shape[d];
    }
    units *= c.pieces;
    int64_t per_unit = size / units + 1, grain = TASK / per_unit + 1;
    bool enough = size > TASK;
    RL_RELEASE_GIL(enough)
    rl_parallel_range(units, grain, run, &c);
    RL_TAKE_GIL
}

static PyObject *new_copy(PyArrayObject *x) {
    int dims = PyArray_NDIM(x);
    PyObject *result = rl_empty(dims, PyArray_DIMS(x), PyArray_TYPE(x));
    if (!result) return NULL;
    int64_t to[RL_MAX_DIMS];
    for (int d = 0; d < dims; d++) to[d] = PyArray_STRIDE(RL_ARRAY(result), d);
    copy_array(x, RL_DATA(result), to);
    return result;
}

PyObject *rl_dense(PyObject *x) {
    return PyArray_IS_C_CONTIGUOUS(RL_ARRAY(x)) ? Py_NewRef(x) : new_copy(RL_ARRAY(x));
}

static PyObject *copied(const rl_call *call) {
    if (call->count != 1 || rl_keywords(call) || !rl_is_array(call->args[0]) ||
        PyDataType_REFCHK(PyArray_DESCR(RL_ARRAY(call->args[0])))) {
        return RL_DECLINE;
    }
    return new_copy(RL_ARRAY(call->args[0]));
}

static PyObject *cat(const rl_call *call) {
    int64_t dim;
    if (!call->count || rl_keywords(call) != 1 || !rl_int(call, "dim", &dim) ||
        !rl_is_array(call->args[0])) {
        return RL_DECLINE;
    }
    PyArrayObject *lead = RL_ARRAY(call->args[0]);
    int dims = PyArray_NDIM(lead), type = PyArray_TYPE(lead);
    if (dim < 0) dim += dims;
    if (dim < 0 || dim >= dims || PyDataType_REFCHK(PyArray_DESCR(lead))) return RL_DECLINE;
    npy_intp shape[RL_MAX_DIMS];
    memcpy(shape, PyArray_DIMS(lead), (size_t)dims * sizeof *shape);
    shape[dim] = 0;
    for (Py_ssize_t k = 0; k < call->count; k++) {
        PyObject *x = call->args[k];
        if (!rl_is_array(x) || PyArray_TYPE(RL_ARRAY(x)) != type ||
            PyArray_NDIM(RL_ARRAY(x)) != dims) {
            return RL_DECLINE;
        }
        for (int d = 0; d < dims; d++) {
            if (d != dim && PyArray_DIM(RL_ARRAY(x), d) != shape[d]) return RL_DECLINE;
        }
        shape[dim] += PyArray_DIM(RL_ARRAY(x), (int)dim);
    }
    PyObject *result = rl_empty(dims, shape, type);
    if (!result) return NULL;
    int64_t to[RL_MAX_DIMS];
    for (int d = 0; d < dims; d++) to[d] = PyArray_STRIDE(RL_ARRAY(result), d);
    char *y = RL_DATA(result);
    for (Py_ssize_t k = 0; k < call->count; k++) {
        copy_array(RL_ARRAY(call->args[k]), y, to);
        y += PyArray_DIM(RL_ARRAY(call->args[k]), (int)dim) * to[dim];
    }
    return result;
}

/* full(*, shape, value, dtype): small ones, of which only the call costs time. */
#define SMALL (1 << 16) /* bytes */

static PyObject *full(const rl_call *call) {
    int64_t sizes[RL_MAX_DIMS];
    npy_intp shape[RL_MAX_DIMS];
    double value;
    int dims = rl_ints(call, "shape", sizes, RL_MAX_DIMS), type = rl_dtype(call, "dtype");
    if (call->count || rl_keywords(call) != 3 || dims < 0 || !rl_float(call, "value", &value)) {
        return RL_DECLINE;
    }
    bool zero = value == 0 && !signbit(value); /* whose bits are 0 in every dtype */
    if (type < 0 || !(type == NPY_FLOAT || type == NPY_DOUBLE || zero)) return RL_DECLINE;
    int64_t count = 1;
    for (int d = 0; d < dims; d++) {
        if (sizes[d] < 0 || sizes[d] > SMALL || (count *= sizes[d]) > SMALL) return RL_DECLINE;
        shape[d] = sizes[d];
    }
    if (count * 16 > SMALL) return RL_DECLINE;
    PyObject *out = rl_empty(dims, shape, type);
    if (!out) return NULL;
    if (zero) memset(RL_DATA(out), 0, (size_t)PyArray_NBYTES(RL_ARRAY(out)));
    else if (type == NPY_FLOAT) {
        for (int64_t i = 0; i < count; i++) ((float *)RL_DATA(out))[i] = (float)value;
    } else {
        for (int64_t i = 0; i < count; i++) ((double *)RL_DATA(out))[i] = value;
    }
    return out;
}

#define ALL "floating reduced integer bool complex"

const rl_kernel rl_copying_kernels[] = {
    {"clone", ALL, copied, NULL},
    {"cat", ALL, cat, NULL},
    {"full", ALL, full, NULL},
    {0},
};
