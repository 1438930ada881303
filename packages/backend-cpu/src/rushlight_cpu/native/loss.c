/* Cross entropy with its log-softmax fused, and negative log likelihood, of float and double. */
#include "rl_softmax.h"

#define WIDEST 1024    /* pixels of a strip */
#define TASK (1 << 14) /* elements a task should have at least */

#define RL_LOOPS "loss_loops.h"
#include "rl_both_types.h"
#undef RL_LOOPS

enum { NONE, SUM, MEAN };

static int reduction_of(const rl_call *call) {
    PyObject *x = rl_keyword(call, "reduction");
    if (!x || !PyUnicode_Check(x)) return -1;
    static const char *const names[] = {"none", "sum", "mean"};
    for (int i = 0; i < 3; i++) {
        if (!PyUnicode_CompareWithASCIIString(x, names[i])) return i;
    }
    return -1;
}

/* The operands of a call, dense, and what they are. */
typedef struct {
    PyObject *x, *target, *lse, *weight, *g; /* new references or NULL */
    int type, reduction;
    int64_t outer, classes, pixels, ignore;
} operands;

static void release(operands *o) {
    Py_XDECREF(o->x);
    Py_XDECREF(o->target);
    Py_XDECREF(o->lse);
    Py_XDECREF(o->weight);
    Py_XDECREF(o->g);
}

static bool is_real(PyObject *x, int type) {
    return rl_is_array(x) && PyArray_TYPE(RL_ARRAY(x)) == type;
}

static bool is_target(PyObject *x) {
    return rl_is_array(x) &&
           (PyArray_TYPE(RL_ARRAY(x)) == NPY_INT64 || PyArray_TYPE(RL_ARRAY(x)) == NPY_UINT8);
}

/* Shape (N, C, *size) against a target (N, *size); classes out of range are NumPy's to explain. */
static bool measure(operands *o, const int64_t *shape, int nd, PyArrayObject *target) {
    if (nd < 2 || PyArray_NDIM(target) != nd - 1 || PyArray_DIM(target, 0) != shape[0]) {
        return false;
    }
    o->outer = shape[0], o->classes = shape[1], o->pixels = 1;
    for (int d = 2; d < nd; d++) {
        if (PyArray_DIM(target, d - 1) != shape[d]) return false;
        o->pixels *= shape[d];
    }
    return true;
}

static bool all_known(const operands *o) {
    int64_t size = o->outer * o->pixels;
    if (PyArray_TYPE(RL_ARRAY(o->target)) == NPY_UINT8) {
        const uint8_t *t = RL_DATA(o->target);
        for (int64_t i = 0; i < size; i++) if (t[i] != o->ignore && t[i] >= o->classes) return false;
        return true;
    }
    const int64_t *t = RL_DATA(o->target);
    for (int64_t i = 0; i < size; i++) {
        if (t[i] != o->ignore && (uint64_t)t[i] >= (uint64_t)o->classes) return false;
    }
    return true;
}

static bool is_weight(PyObject *x, int type, int64_t classes) {
    return x == Py_None || (is_real(x, type) && PyArray_NDIM(RL_ARRAY(x)) == 1 &&
                            PyArray_DIM(RL_ARRAY(x), 0) == classes);
}

/* A gradient per target (reduction "none") or one of no dimensions. */
static bool is_gradient(PyObject *g, const operands *o, PyArrayObject *target) {
    if (!is_real(g, o->type)) return false;
    if (o->reduction == NONE) return PyArray_SAMESHAPE(RL_ARRAY(g), target);
    return PyArray_NDIM(RL_ARRAY(g)) == 0;
}

static bool dense(PyObject *from, PyObject **to) {
    if (from == Py_None) return true;
    return (*to = rl_dense(from)) != NULL;
}

#define FILL(j, o)                                                                                \
    {                                                                                             \
        j.x = (o).x ? RL_DATA((o).x) : NULL;                                                      \
        j.target = RL_DATA((o).target);                                                           \
        j.bytes = PyArray_TYPE(RL_ARRAY((o).target)) == NPY_UINT8;                                \
        j.lse = (o).lse ? RL_DATA((o).lse) : NULL;                                                \
        j.weight = (o).weight ? RL_DATA((o).weight) : NULL;                                       \
        j.g = (o).g ? RL_DATA((o).g) : NULL;                                                      \
        j.outer = (o).outer, j.classes = (o).classes, j.pixels = (o).pixels;                      \
        j.ignore = (o).ignore;                                                                    \
        j.each = (o).reduction == NONE;                                                           \
    }

/* The losses of all targets into `losses`; the sum of the weights that count. */
static double fill_losses(const operands *o, void *losses) {
    int64_t size = o->outer * o->pixels;
    if (o->type == NPY_FLOAT) {
        loss_f32 j = {0};
        FILL(j, *o)
        j.out = losses;
        pick_f32(&j, 0, size);
        return weight_sum_f32(&j);
    }
    loss_f64 j = {0};
    FILL(j, *o)
    j.out = losses;
    pick_f64(&j, 0, size);
    return weight_sum_f64(&j);
}

static PyObject *scalar(int type, double value) {
    PyObject *x = rl_empty(0, NULL, type);
    if (!x) return NULL;
    if (type == NPY_FLOAT) *(float *)RL_DATA(x) = (float)value;
    else *(double *)RL_DATA(x) = value;
    return x;
}

/* The loss as the reduction wants it; `total`: the sum of weights, also for the caller. */
static PyObject *reduced(const operands *o, double *total) {
    PyArrayObject *target = RL_ARRAY(o->target);
    if (o->reduction == NONE) {
        PyObject *out = rl_empty(PyArray_NDIM(target), PyArray_DIMS(target), o->type);
        if (out) fill_losses(o, RL_DATA(out));
        *total = 0;
        return out;
    }
    int64_t size = o->outer * o->pixels;
    void *losses = rl_scratch((size_t)size * 8);
    if (!losses) return NULL;
    *total = fill_losses(o, losses);
    double sum = o->type == NPY_FLOAT ? row_sum_f32(losses, size) : row_sum_f64(losses, size);
    rl_scratch_free(losses);
    return scalar(o->type, o->reduction == MEAN ? sum / *total : sum);
}

/* What a call says of x and the target, which are operands `first` and the next; false: decline. */
static bool read_operands(const rl_call *call, operands *o, int first, int count) {
    PyObject *const *args = call->args + first;
    if (call->count != count || rl_keywords(call) != 2 || !rl_is_array(args[0]) ||
        !is_target(args[1]) || !rl_int(call, "ignore_index", &o->ignore)) {
        return false;
    }
    PyArrayObject *x = RL_ARRAY(args[0]);
    o->type = PyArray_TYPE(x);
    o->reduction = reduction_of(call);
    if ((o->type != NPY_FLOAT && o->type != NPY_DOUBLE) || o->reduction < 0) return false;
    int64_t shape[RL_MAX_DIMS];
    for (int d = 0; d < PyArray_NDIM(x); d++) shape[d] = PyArray_DIM(x, d);
    return measure(o, shape, PyArray_NDIM(x), RL_ARRAY(args[1]));
}

/* cross_entropy(x, target, *, ignore_index, reduction) -> (loss, lse) */
static PyObject *cross_entropy(const rl_call *call) {
    operands o = {0};
    if (!read_operands(call, &o, 0, 2) || !o.classes) return RL_DECLINE;
    PyArrayObject *target = RL_ARRAY(call->args[1]);
    PyObject *loss = NULL, *result = NULL;
    if (!dense(call->args[0], &o.x) || !dense(call->args[1], &o.target)) goto end;
    if (!all_known(&o)) {
        result = RL_DECLINE;
        goto end;
    }
    o.lse = rl_empty(PyArray_NDIM(target), PyArray_DIMS(target), o.type);
    if (!o.lse) goto end;
    rl_softmax_along(o.type, NULL, RL_DATA(o.x), RL_DATA(o.lse), o.outer, o.classes, o.pixels,
                     LOG_SUM_EXP, false);
    double total;
    loss = reduced(&o, &total);
    if (loss) result = PyTuple_Pack(2, loss, o.lse);
end:
    Py_XDECREF(loss);
    release(&o);
    return result;
}

/* cross_entropy_backward(g, x, target, lse, *, ignore_index, reduction) */
static PyObject *cross_entropy_backward(const rl_call *call) {
    operands o = {0};
    if (!read_operands(call, &o, 1, 4)) return RL_DECLINE;
    PyObject *const *args = call->args;
    PyArrayObject *x = RL_ARRAY(args[1]), *target = RL_ARRAY(args[2]);
    if (!is_gradient(args[0], &o, target) ||
        !is_real(args[3], o.type) || !PyArray_SAMESHAPE(RL_ARRAY(args[3]), target)) {
        return RL_DECLINE;
    }
    PyObject *out = NULL;
    if (!dense(args[0], &o.g) || !dense(args[1], &o.x) || !dense(args[2], &o.target) ||
        !dense(args[3], &o.lse)) {
        goto end;
    }
    if (!all_known(&o)) {
        out = RL_DECLINE;
        goto end;
    }
    out = rl_empty(PyArray_NDIM(x), PyArray_DIMS(x), o.type);
    if (!out) goto end;
    bool large = PyArray_SIZE(x) > TASK;
    if (o.type == NPY_FLOAT) {
        loss_f32 j = {0};
        FILL(j, o)
        j.out = RL_DATA(out);
        if (!j.each) j.slope = *j.g;
        if (o.reduction == MEAN) j.slope /= (float)weight_sum_f32(&j);
        RL_RELEASE_GIL(large)
        cross_backward_f32(&j);
        RL_TAKE_GIL
    } else {
        loss_f64 j = {0};
        FILL(j, o)
        j.out = RL_DATA(out);
        if (!j.each) j.slope = *j.g;
        if (o.reduction == MEAN) j.slope /= weight_sum_f64(&j);
        RL_RELEASE_GIL(large)
        cross_backward_f64(&j);
        RL_TAKE_GIL
    }
end:
    release(&o);
    return out;
}

/* nll_loss(x, target, weight, *, reduction, ignore_index) -> (loss, total weight) */
static PyObject *nll_loss(const rl_call *call) {
    operands o = {0};
    if (!read_operands(call, &o, 0, 3) || !is_weight(call->args[2], o.type, o.classes)) {
        return RL_DECLINE;
    }
    PyObject *loss = NULL, *weights = NULL, *result = NULL;
    if (!dense(call->args[0], &o.x) || !dense(call->args[1], &o.target) ||
        !dense(call->args[2], &o.weight)) {
        goto end;
    }
    if (!all_known(&o)) {
        result = RL_DECLINE;
        goto end;
    }
    double total;
    loss = reduced(&o, &total);
    weights = loss ? scalar(o.type, total) : NULL;
    if (weights) result = PyTuple_Pack(2, loss, weights);
end:
    Py_XDECREF(loss);
    Py_XDECREF(weights);
    release(&o);
    return result;
}

/* nll_loss_backward(g, target, weight, total_weight, *, shape, reduction, ignore_index) */
static PyObject *nll_loss_backward(const rl_call *call) {
    operands o = {0};
    int64_t sizes[RL_MAX_DIMS];
    PyObject *const *args = call->args;
    if (call->count != 4 || rl_keywords(call) != 3 || !rl_is_array(args[0]) ||
        !is_target(args[1]) || !rl_int(call, "ignore_index", &o.ignore)) {
        return RL_DECLINE;
    }
    int nd = rl_ints(call, "shape", sizes, RL_MAX_DIMS);
    PyArrayObject *target = RL_ARRAY(args[1]);
    o.type = PyArray_TYPE(RL_ARRAY(args[0])), o.reduction = reduction_of(call);
    if ((o.type != NPY_FLOAT && o.type != NPY_DOUBLE) || o.reduction < 0 ||
        !measure(&o, sizes, nd, target) || !is_gradient(args[0], &o, target) ||
        !is_weight(args[2], o.type, o.classes) || !is_real(args[3], o.type) ||
        PyArray_SIZE(RL_ARRAY(args[3])) != 1) {
        return RL_DECLINE;
    }
    PyObject *out = NULL;
    if (!dense(args[0], &o.g) || !dense(args[1], &o.target) || !dense(args[2], &o.weight)) {
        goto end;
    }
    if (!all_known(&o)) {
        out = RL_DECLINE;
        goto end;
    }
    npy_intp shape[RL_MAX_DIMS];
    for (int d = 0; d < nd; d++) shape[d] = sizes[d];
    out = rl_empty(nd, shape, o.type);
    if (!out) goto end;
    int64_t each = o.classes * o.pixels, grain = each ? TASK / each : 1;
    bool large = o.outer > grain;
    if (o.type == NPY_FLOAT) {
        loss_f32 j = {0};
        FILL(j, o)
        j.out = RL_DATA(out);
        if (!j.each) j.slope = *j.g;
        if (o.reduction == MEAN) j.slope /= *(float *)RL_DATA(args[3]);
        RL_RELEASE_GIL(large)
        rl_parallel_range(o.outer, grain, scatter_f32, &j);
        RL_TAKE_GIL
    } else {
        loss_f64 j = {0};
        FILL(j, o)
        j.out = RL_DATA(out);
        if (!j.each) j.slope = *j.g;
        if (o.reduction == MEAN) j.slope /= *(double *)RL_DATA(args[3]);
        RL_RELEASE_GIL(large)
        rl_parallel_range(o.outer, grain, scatter_f64, &j);
        RL_TAKE_GIL
    }
end:
    release(&o);
    return out;
}

const rl_kernel rl_loss_kernels[] = {
    {"cross_entropy", "floating", cross_entropy, NULL},
    {"cross_entropy_backward", "floating", cross_entropy_backward, NULL},
    {"nll_loss", "floating", nll_loss, NULL},
    {"nll_loss_backward", "floating", nll_loss_backward, NULL},
    {0},
};
