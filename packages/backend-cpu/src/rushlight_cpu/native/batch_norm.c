/* Batch norm and its gradient, of float and double.

   Where a channel's elements of all images fit the cache, a task takes a channel: its results are
   written while its elements still lie there.  Elsewhere sums and results are two passes. */
#include "rl.h"
#include "rl_math_types.h"

#define TASK (1 << 14)            /* elements a task should have at least */
#define ROWS 64                   /* images of a part where planes have one element */
#define LONG_PLANE 512            /* elements; short planes of a channel lie too far apart */
#define CHANNEL_BYTES (512 << 10) /* of a channel that stays in cache */

#define RL_LOOPS "batch_norm_loops.h"
#include "rl_both_types.h"
#undef RL_LOOPS

/* The operands of a call: C-contiguous, as new references, or NULL. */
typedef struct {
    PyObject *x, *g, *mean, *rstd, *weight, *bias;
    int type;
    int64_t batch, channels, pixels;
} operands;

static void release(operands *o) {
    Py_XDECREF(o->x);
    Py_XDECREF(o->g);
    Py_XDECREF(o->mean);
    Py_XDECREF(o->rstd);
    Py_XDECREF(o->weight);
    Py_XDECREF(o->bias);
}

static bool measure(operands *o, PyObject *x) {
    if (!rl_is_array(x) || PyArray_NDIM(RL_ARRAY(x)) < 2 || !PyArray_SIZE(RL_ARRAY(x))) return false;
    o->type = PyArray_TYPE(RL_ARRAY(x));
    o->batch = PyArray_DIM(RL_ARRAY(x), 0);
    o->channels = PyArray_DIM(RL_ARRAY(x), 1);
    o->pixels = PyArray_SIZE(RL_ARRAY(x)) / o->batch / o->channels;
    return o->type == NPY_FLOAT || o->type == NPY_DOUBLE;
}

/* A vector of one value per channel, or None. */
static bool fits(PyObject *x, const operands *o, bool optional) {
    if (x == Py_None) return optional;
    return rl_is_array(x) && PyArray_TYPE(RL_ARRAY(x)) == o->type &&
           PyArray_NDIM(RL_ARRAY(x)) == 1 && PyArray_SIZE(RL_ARRAY(x)) == o->channels;
}

static bool dense(PyObject *from, PyObject **to) {
    if (from == Py_None) return true;
    return (*to = rl_dense(from)) != NULL;
}

#define DATA(x) ((x) ? RL_DATA(x) : NULL)

/* Runs the loops; false: no memory (the error is set).  `out`, `dw`, `db` may be NULL. */
static bool run(const operands *o, PyObject *out, PyObject *dw, PyObject *db, bool summed,
                bool training, double eps) {
    int64_t parts = o->pixels > 1 ? o->batch : (o->batch + ROWS - 1) / ROWS;
    int64_t sums = summed ? 2 * parts * o->channels : 0;
    double *scratch = rl_scratch((size_t)(sums + 4 * o->channels) * sizeof(double));
    if (!scratch) return false;
    bool dots = training || dw;
#define RUN(S, real)                                                                              \
    {                                                                                             \
        real *lines = (real *)(scratch + sums);                                                   \
        norm_##S j = {DATA(o->x), DATA(o->g), DATA(o->weight), DATA(o->bias),                     \
                      DATA(out), DATA(o->mean), DATA(o->rstd), DATA(dw), DATA(db),                \
                      o->batch, o->channels, o->pixels, parts, scratch,                           \
                      scratch + parts * o->channels, lines, lines + o->channels,                  \
                      lines + 2 * o->channels, lines + 3 * o->channels, eps, training, dots};     \
        RL_RELEASE_GIL(o->batch * o->channels * o->pixels > TASK)                                 \
        run_##S(&j, summed);                                                                      \
        RL_TAKE_GIL                                                                               \
    }
    if (o->type == NPY_FLOAT) RUN(f32, float)
    else RUN(f64, double)
    rl_scratch_free(scratch);
    return true;
}

static PyObject *like(PyObject *x, int type) {
    return rl_empty(PyArray_NDIM(RL_ARRAY(x)), PyArray_DIMS(RL_ARRAY(x)), type);
}

/* batch_norm_stats(x) -> (mean, variance);
   batch_norm_train(x, weight, bias, *, eps) -> (out, mean, variance) */
static PyObject *train(const rl_call *call) {
    bool whole = call->data != NULL;
    operands o = {0};
    double eps = 0;
    PyObject *const *args = call->args;
    if (call->count != (whole ? 3 : 1) || rl_keywords(call) != whole || !measure(&o, args[0])) {
        return RL_DECLINE;
    }
    if (whole && (!fits(args[1], &o, true) || !fits(args[2], &o, true) ||
                  !rl_float(call, "eps", &eps))) {
        return RL_DECLINE;
    }
    PyObject *out = NULL, *result = NULL;
    npy_intp channels = o.channels;
    if (!dense(args[0], &o.x)) goto end;
    if (whole && (!dense(args[1], &o.weight) || !dense(args[2], &o.bias))) goto end;
    if (!(o.mean = rl_empty(1, &channels, o.type)) || !(o.rstd = rl_empty(1, &channels, o.type))) {
        goto end;
    }
    if (whole && !(out = like(args[0], o.type))) goto end;
    if (!run(&o, out, NULL, NULL, true, true, eps)) goto end;
    result = whole ? PyTuple_Pack(3, out, o.mean, o.rstd) : PyTuple_Pack(2, o.mean, o.rstd);
end:
    Py_XDECREF(out);
    release(&o);
    return result;
}

/* batch_norm_apply(x, mean, rstd, weight, bias) */
static PyObject *apply(const rl_call *call) {
    operands o = {0};
    PyObject *const *args = call->args;
    if (call->count != 5 || rl_keywords(call) || !measure(&o, args[0]) ||
        !fits(args[1], &o, false) || !fits(args[2], &o, false) || !fits(args[3], &o, true) ||
        !fits(args[4], &o, true)) {
        return RL_DECLINE;
    }
    PyObject *out = NULL;
    if (dense(args[0], &o.x) && dense(args[1], &o.mean) && dense(args[2], &o.rstd) &&
        dense(args[3], &o.weight) && dense(args[4], &o.bias) && (out = like(args[0], o.type)) &&
        !run(&o, out, NULL, NULL, false, false, 0)) {
        Py_CLEAR(out);
    }
    release(&o);
    return out;
}

/* batch_norm_backward(g, x, mean, rstd, weight, *, training, needs) -> (dx, dw, db) */
static PyObject *backward(const rl_call *call) {
    operands o = {0};
    bool training, needs[3];
    PyObject *const *args = call->args;
    if (call->count != 5 || rl_keywords(call) != 2 || !measure(&o, args[1]) ||
        !rl_is_array(args[0]) || PyArray_TYPE(RL_ARRAY(args[0])) != o.type ||
        !PyArray_SAMESHAPE(RL_ARRAY(args[0]), RL_ARRAY(args[1])) || !fits(args[2], &o, false) ||
        !fits(args[3], &o, false) || !fits(args[4], &o, true) ||
        !rl_bool(call, "training", &training)) {
        return RL_DECLINE;
    }
    PyObject *said = rl_keyword(call, "needs");
    if (!said || !PyTuple_Check(said) || PyTuple_GET_SIZE(said) != 3) return RL_DECLINE;
    for (int i = 0; i < 3; i++) {
        PyObject *item = PyTuple_GET_ITEM(said, i);
        if (item != Py_True && item != Py_False) return RL_DECLINE;
        needs[i] = item == Py_True;
    }
    PyObject *found[3] = {NULL}, *result = NULL;
    npy_intp channels = o.channels;
    if (!dense(args[0], &o.g) || !dense(args[1], &o.x) || !dense(args[2], &o.mean) ||
        !dense(args[3], &o.rstd) || !dense(args[4], &o.weight)) {
        goto end;
    }
    for (int i = 0; i < 3; i++) {
        if (!needs[i]) continue;
        found[i] = i ? rl_empty(1, &channels, o.type) : like(args[1], o.type);
        if (!found[i]) goto end;
    }
    bool summed = training || needs[1] || needs[2];
    if (!summed && !needs[0]) summed = true; /* nothing is asked for, and nothing is written */
    if (!summed) o.bias = NULL;
    if (!run(&o, found[0], found[1], found[2], summed, training, 0)) goto end;
    result = PyTuple_New(3);
    for (int i = 0; result && i < 3; i++) {
        PyTuple_SET_ITEM(result, i, Py_NewRef(found[i] ? found[i] : Py_None));
    }
end:
    for (int i = 0; i < 3; i++) Py_XDECREF(found[i]);
    release(&o);
    return result;
}

const rl_kernel rl_batch_norm_kernels[] = {
    {"batch_norm_stats", "floating", train, NULL},
    {"batch_norm_train", "floating", train, "with its result"},
    {"batch_norm_apply", "floating", apply, NULL},
    {"batch_norm_backward", "floating", backward, NULL},
    {0},
};
