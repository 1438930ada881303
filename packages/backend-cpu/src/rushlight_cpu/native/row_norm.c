/* Layer, RMS and group norm and their gradients, of float and double.

   A row meets its statistics, its scaling and its gradient while it lies in cache.  Gradients of
   weights are summed per task of a fixed number of rows, then over the tasks in their order. */
#include "rl.h"
#include "rl_math_types.h"

#define TASK (1 << 14)   /* elements a task should have at least */
#define STRIP 256        /* columns whose partial gradients are added by one task */
#define FEWEST_ROWS 8    /* of a task with partial gradients, which cost two rows more */
#define MOST_ROWS 256

typedef struct {
    const void *x, *weight, *bias, *g;
    void *out, *mean, *rstd, *dx, *dw, *db, *scratch;
    int64_t rows, n, per_task, groups, pixels;
    double eps;
} norm_call;

#define RL_LOOPS "row_norm_loops.h"
#include "rl_both_types.h"
#undef RL_LOOPS

enum { LAYER, RMS, GROUP };

/* None, or an array of a dtype with a number of elements. */
static bool fits(PyObject *x, int type, int64_t size, bool optional) {
    if (x == Py_None) return optional;
    return rl_is_array(x) && PyArray_TYPE(RL_ARRAY(x)) == type &&
           PyArray_SIZE(RL_ARRAY(x)) == size;
}

/* The rows that a kind of norm sees in x; the shape of their statistics.  False: decline. */
static bool measure(const rl_call *call, int kind, PyArrayObject *x, norm_call *c,
                    npy_intp *stat_shape, int *stat_dims) {
    int nd = PyArray_NDIM(x);
    int64_t count;
    if (!PyArray_SIZE(x)) return false;
    if (kind == GROUP) {
        if (!rl_int(call, "groups", &count) || nd < 2 || count < 1 || PyArray_DIM(x, 1) % count) {
            return false;
        }
        c->groups = count;
        c->rows = PyArray_DIM(x, 0) * count;
        c->n = PyArray_SIZE(x) / c->rows;
        c->pixels = PyArray_SIZE(x) / PyArray_DIM(x, 0) / PyArray_DIM(x, 1);
        stat_shape[0] = PyArray_DIM(x, 0), stat_shape[1] = count, *stat_dims = 2;
        return true;
    }
    if (!rl_int(call, "normalized_ndim", &count) || count < 0 || count > nd) return false;
    c->rows = c->n = 1;
    for (int d = 0; d < nd; d++) {
        bool leads = d < nd - count;
        *(leads ? &c->rows : &c->n) *= PyArray_DIM(x, d);
        stat_shape[d] = leads ? PyArray_DIM(x, d) : 1;
    }
    *stat_dims = nd;
    return true;
}

static inline int64_t parameters(const norm_call *c) {
    return c->groups ? c->groups * (c->n / c->pixels) : c->n;
}

#define DATA(x) ((x) ? RL_DATA(x) : NULL)

static PyObject *dense(PyObject *x, bool *failed) {
    if (x == Py_None) return NULL;
    PyObject *y = rl_dense(x);
    if (!y) *failed = true;
    return y;
}

/* native_layer_norm(x, weight, bias, *, normalized_ndim, eps) -> (out, mean, rstd)
   native_rms_norm(x, weight, *, normalized_ndim, eps) -> (out, rrms)
   native_group_norm(x, weight, bias, *, groups, eps) -> (out, mean, rstd) */
static PyObject *norm(const rl_call *call) {
    int kind = (int)(intptr_t)call->data, arrays = kind == RMS ? 2 : 3, dims;
    norm_call c = {0};
    npy_intp shape[RL_MAX_DIMS];
    PyObject *const *args = call->args;
    if (call->count != arrays || rl_keywords(call) != 2 || !rl_is_array(args[0]) ||
        !rl_float(call, "eps", &c.eps)) {
        return RL_DECLINE;
    }
    PyArrayObject *x = RL_ARRAY(args[0]);
    int type = PyArray_TYPE(x);
    if ((type != NPY_FLOAT && type != NPY_DOUBLE) || !measure(call, kind, x, &c, shape, &dims)) {
        return RL_DECLINE;
    }
    for (int i = 1; i < arrays; i++) {
        if (!fits(args[i], type, parameters(&c), true)) return RL_DECLINE;
    }
    bool failed = false;
    PyObject *xs = dense(args[0], &failed), *weight = dense(args[1], &failed);
    PyObject *bias = kind == RMS ? NULL : dense(args[2], &failed), *result = NULL;
    PyObject *out = failed ? NULL : rl_empty(PyArray_NDIM(x), PyArray_DIMS(x), type);
    PyObject *mean = out && kind != RMS ? rl_empty(dims, shape, type) : NULL;
    PyObject *rstd = out ? rl_empty(dims, shape, type) : NULL;
    if (rstd && (mean || kind == RMS)) {
        c.x = DATA(xs), c.weight = DATA(weight), c.bias = DATA(bias);
        c.out = DATA(out), c.mean = DATA(mean), c.rstd = DATA(rstd);
        RL_RELEASE_GIL(c.rows * c.n > TASK)
        if (type == NPY_FLOAT) run_forward_f32(&c);
        else run_forward_f64(&c);
        RL_TAKE_GIL
        result = mean ? PyTuple_Pack(3, out, mean, rstd) : PyTuple_Pack(2, out, rstd);
    }
    Py_XDECREF(xs);
    Py_XDECREF(weight);
    Py_XDECREF(bias);
    Py_XDECREF(out);
    Py_XDECREF(mean);
    Py_XDECREF(rstd);
    return result;
}

/* The attribute `needs`: booleans; false where it is not that. */
static bool read_needs(const rl_call *call, int count, bool *needs) {
    PyObject *x = rl_keyword(call, "needs");
    if (!x || !PyTuple_Check(x) || PyTuple_GET_SIZE(x) != count) return false;
    for (int i = 0; i < count; i++) {
        PyObject *item = PyTuple_GET_ITEM(x, i);
        if (item != Py_True && item != Py_False) return false;
        needs[i] = item == Py_True;
    }
    return true;
}

/* layer_norm_backward(g, x, mean, rstd, weight, *, normalized_ndim, needs) -> (dx, dw, db)
   rms_norm_backward(g, x, rrms, weight, *, normalized_ndim, needs) -> (dx, dw)
   group_norm_backward(g, x, mean, rstd, weight, *, groups, needs) -> (dx, dw, db) */
static PyObject *norm_backward(const rl_call *call) {
    int kind = (int)(intptr_t)call->data, arrays = kind == RMS ? 4 : 5, dims;
    int wanted = kind == RMS ? 2 : 3;
    norm_call c = {0};
    npy_intp shape[RL_MAX_DIMS];
    bool needs[3] = {false}, failed = false;
    PyObject *const *args = call->args;
    if (call->count != arrays || rl_keywords(call) != 2 || !rl_is_array(args[0]) ||
        !rl_is_array(args[1]) || !read_needs(call, wanted, needs)) {
        return RL_DECLINE;
    }
    PyArrayObject *x = RL_ARRAY(args[1]);
    int type = PyArray_TYPE(x);
    if ((type != NPY_FLOAT && type != NPY_DOUBLE) || PyArray_TYPE(RL_ARRAY(args[0])) != type ||
        !PyArray_SAMESHAPE(x, RL_ARRAY(args[0])) ||
        !measure(call, kind, x, &c, shape, &dims) ||
        !fits(args[arrays - 1], type, parameters(&c), true)) {
        return RL_DECLINE;
    }
    for (int i = 2; i < arrays - 1; i++) {
        if (!fits(args[i], type, c.rows, false)) return RL_DECLINE;
    }
    PyObject *operands[5] = {NULL}, *found[3] = {NULL}, *result = NULL;
    for (int i = 0; i < arrays && !failed; i++) operands[i] = dense(args[i], &failed);
    /* Gradients of parameters have the shape of the dimensions they scale. */
    npy_intp tail[RL_MAX_DIMS];
    int tails = 0;
    if (kind == GROUP) tail[tails++] = PyArray_DIM(x, 1);
    else {
        int64_t count;
        rl_int(call, "normalized_ndim", &count);
        for (int d = PyArray_NDIM(x) - (int)count; d < PyArray_NDIM(x); d++) {
            tail[tails++] = PyArray_DIM(x, d);
        }
    }
    for (int i = 0; i < wanted && !failed; i++) {
        if (!needs[i]) continue;
        found[i] = i ? rl_empty(tails, tail, type) : rl_empty(PyArray_NDIM(x), PyArray_DIMS(x), type);
        failed = !found[i];
    }
    if (!failed) {
        int64_t least = TASK / c.n > c.rows / 64 ? TASK / c.n : c.rows / 64, rooms = 0;
        c.per_task = least < FEWEST_ROWS ? FEWEST_ROWS : least > MOST_ROWS ? MOST_ROWS : least;
        if (kind == GROUP) rooms = 2 * c.rows * (c.n / c.pixels);
        else if (needs[1] || needs[2]) rooms = 2 * ((c.rows + c.per_task - 1) / c.per_task) * c.n;
        c.scratch = rooms ? rl_scratch((size_t)rooms * 8) : NULL;
        failed = rooms && !c.scratch;
    }
    if (!failed) {
        c.g = DATA(operands[0]), c.x = DATA(operands[1]), c.weight = DATA(operands[arrays - 1]);
        c.mean = kind == RMS ? NULL : DATA(operands[2]);
        c.rstd = DATA(operands[arrays - 2]);
        c.dx = DATA(found[0]), c.dw = DATA(found[1]), c.db = DATA(found[2]);
        RL_RELEASE_GIL(c.rows * c.n > TASK)
        if (type == NPY_FLOAT) run_backward_f32(&c);
        else run_backward_f64(&c);
        RL_TAKE_GIL
        rl_scratch_free(c.scratch);
        result = PyTuple_New(wanted);
        for (int i = 0; result && i < wanted; i++) {
            PyTuple_SET_ITEM(result, i, Py_NewRef(found[i] ? found[i] : Py_None));
        }
    }
    for (int i = 0; i < 5; i++) Py_XDECREF(operands[i]);
    for (int i = 0; i < 3; i++) Py_XDECREF(found[i]);
    return result;
}

#define ROW(name, function, kind) {name, "floating", function, (const void *)(intptr_t)(kind)}

const rl_kernel rl_row_norm_kernels[] = {
    ROW("native_layer_norm", norm, LAYER),
    ROW("native_rms_norm", norm, RMS),
    ROW("native_group_norm", norm, GROUP),
    ROW("layer_norm_backward", norm_backward, LAYER),
    ROW("rms_norm_backward", norm_backward, RMS),
    ROW("group_norm_backward", norm_backward, GROUP),
    {0},
};
