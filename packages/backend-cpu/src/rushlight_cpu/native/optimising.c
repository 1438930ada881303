/* Steps of optimisers: one pass over all elements of all tensors, whatever their number.

   Operands come in columns of `count`: parameters, gradients, each kind of state; results in the
   same order without the gradients, by default over new memory and with `out` where it says.
   Tasks are cut from the elements of all tensors put end to end. Contraction of a * b + c is off,
   so that a captured step, which runs the formula operator by operator, gives the same bits. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

#include "rl.h"
#include "rl_math_types.h"

#include <math.h>

#define MOST_COLUMNS 5
/* Elements per task: seven streams of 32768 floats are nearly a megabyte of traffic. */
#define GRAIN 32768

typedef struct {
    double lr, weight_decay, shrink, momentum, dampening, beta1, beta2, alpha, eps, lr_decay;
    bool penalty, maximize, first, nesterov, amsgrad, decoupled, centered;
} rule;

#define RL_LOOPS "optimising_loops.h"
#include "rl_both_types.h"
#undef RL_LOOPS

/* Works on elements [begin, end) of one tensor; `rate` are constants of its step. */
typedef void (*stepper)(const rule *r, const double *rate, char *const *x, char *const *y,
                        int64_t begin, int64_t end);

typedef struct {
    char *x[MOST_COLUMNS], *y[MOST_COLUMNS - 1];
    double rate[2];
    int64_t start; /* its first element, counted over all tensors */
} row;

typedef struct {
    const rule *rule;
    stepper step;
    const row *rows; /* one more than there are tensors, for the end */
    int64_t count;
} job;

static void run(void *context, int64_t begin, int64_t end) {
    const job *j = context;
    int64_t low = 0, high = j->count;
    while (high - low > 1) { /* the last row that starts at or before `begin` */
        int64_t middle = (low + high) / 2;
        if (j->rows[middle].start <= begin) low = middle;
        else high = middle;
    }
    for (const row *r = j->rows + low; begin < end; r++) {
        int64_t stop = r[1].start < end ? r[1].start : end;
        if (begin < stop) {
            j->step(j->rule, r->rate, r->x, r->y, begin - r->start, stop - r->start);
            begin = stop;
        }
    }
}

/* An operand or result of a row: dense, in the row's order (C or Fortran) and type. */
static bool fits(PyObject *x, PyArrayObject *lead, int layout) {
    return rl_is_array(x) && PyArray_TYPE(RL_ARRAY(x)) == PyArray_TYPE(lead) &&
           PyArray_NDIM(RL_ARRAY(x)) == PyArray_NDIM(lead) &&
           PyArray_CompareLists(PyArray_DIMS(RL_ARRAY(x)), PyArray_DIMS(lead),
                                PyArray_NDIM(lead)) &&
           PyArray_CHKFLAGS(RL_ARRAY(x), layout);
}

/* Fills `rows`; false where an operand is not of the usual kind. `copies` receives gradients that
   had to be laid out anew, whose number is counted. */
static bool collect(const rl_call *call, int64_t count, int columns, PyObject *const *results,
                    row *rows, PyObject **copies, int64_t *copied) {
    int type = PyArray_TYPE(RL_ARRAY(call->args[0]));
    int64_t start = 0;
    for (int64_t i = 0; i < count; i++) {
        row *r = rows + i;
        PyArrayObject *lead = RL_ARRAY(call->args[i]);
        if (!rl_is_array((PyObject *)lead) || PyArray_TYPE(lead) != type) return false;
        int layout = PyArray_IS_C_CONTIGUOUS(lead) ? NPY_ARRAY_C_CONTIGUOUS
                                                   : NPY_ARRAY_F_CONTIGUOUS;
        for (int k = 0; k < columns; k++) {
            PyObject *x = call->args[k * count + i];
            if (!fits(x, lead, layout)) {
                if (k != 1 || !fits(x, lead, 0)) return false;
                x = PyArray_FromArray(RL_ARRAY(x), NULL, layout | NPY_ARRAY_ALIGNED);
                if (!x) {
                    PyErr_Clear();
                    return false;
                }
                copies[(*copied)++] = x;
            }
            r->x[k] = RL_DATA(x);
        }
        for (int k = 0; k < columns - 1; k++) {
            PyObject *y = results[k * count + i];
            if (!fits(y, lead, layout) || !PyArray_ISWRITEABLE(RL_ARRAY(y))) return false;
            r->y[k] = RL_DATA(y);
        }
        r->start = start;
        start += PyArray_SIZE(lead);
    }
    rows[count].start = start;
    return true;
}

/* New arrays like the written operands. */
static PyObject *like(const rl_call *call, int64_t count, int columns) {
    PyObject *results = PyTuple_New(count * (columns - 1));
    for (int64_t i = 0; results && i < count * (columns - 1); i++) {
        PyObject *x = call->args[i < count ? i : i + count], *y;
        if (!rl_is_array(x)) {
            Py_DECREF(results);
            return RL_DECLINE;
        }
        PyArrayObject *a = RL_ARRAY(x);
        if (PyArray_IS_C_CONTIGUOUS(a)) {
            y = rl_empty(PyArray_NDIM(a), PyArray_DIMS(a), PyArray_TYPE(a));
        } else {
            y = PyArray_NewLikeArray(a, NPY_KEEPORDER, NULL, 0);
        }
        if (!y) Py_CLEAR(results);
        else PyTuple_SET_ITEM(results, i, y);
    }
    return results;
}

/* The rates of each row's step, by the number that it has in `steps`. */
typedef void (*rating)(const rule *r, double step, double *rate);

static bool set_rates(const rl_call *call, const rule *r, rating rate, int64_t count, row *rows) {
    PyObject *steps = rl_keyword(call, "steps");
    if (!steps || !PyTuple_Check(steps) || PyTuple_GET_SIZE(steps) != count) return false;
    double last = -1;
    for (int64_t i = 0; i < count; i++) {
        PyObject *item = PyTuple_GET_ITEM(steps, i);
        double step = PyFloat_Check(item)  ? PyFloat_AS_DOUBLE(item)
                      : PyLong_Check(item) ? PyLong_AsDouble(item)
                                           : NAN;
        if (!(step > 0)) {
            PyErr_Clear();
            return false;
        }
        if (step == last) memcpy(rows[i].rate, rows[i - 1].rate, sizeof rows[i].rate);
        else rate(r, step, rows[i].rate);
        last = step;
    }
    return true;
}

/* `columns` of the operands that the rule makes of its flags; `known` keywords but `out` and
   `count`; `rate` is NULL where no step is counted. */
static PyObject *run_step(const rl_call *call, rule *r, int columns, int known, rating rate,
                          const stepper *steps) {
    int64_t count;
    PyObject *out = rl_keyword(call, "out");
    if (!rl_int(call, "count", &count) || count < 1 || call->count != columns * count ||
        known + 1 + (out != NULL) != rl_keywords(call) || !rl_is_array(call->args[0])) {
        return RL_DECLINE;
    }
    int type = PyArray_TYPE(RL_ARRAY(call->args[0]));
    if (type != NPY_FLOAT && type != NPY_DOUBLE) return RL_DECLINE;
    PyObject *results;
    if (out && out != Py_None) {
        if (!PyTuple_Check(out) || PyTuple_GET_SIZE(out) != count * (columns - 1)) {
            return RL_DECLINE;
        }
        results = Py_NewRef(out);
    } else {
        results = like(call, count, columns);
        if (!results || results == RL_DECLINE) return results;
    }
    r->penalty = r->weight_decay != 0 && !r->decoupled;
    r->shrink = r->decoupled ? 1 - r->lr * r->weight_decay : 1;
    row *rows = PyMem_Malloc((size_t)(count + 1) * sizeof *rows);
    PyObject **copies = PyMem_Malloc((size_t)count * sizeof *copies);
    int64_t copied = 0;
    PyObject *answer = RL_DECLINE;
    if (!rows || !copies) answer = PyErr_NoMemory();
    else if (collect(call, count, columns, PySequence_Fast_ITEMS(results), rows, copies,
                     &copied) &&
             (!rate || set_rates(call, r, rate, count, rows))) {
        job j = {r, steps[type == NPY_DOUBLE], rows, count};
        int64_t size = rows[count].start;
        RL_RELEASE_GIL(size > GRAIN)
        rl_parallel_range(size, GRAIN, run, &j);
        RL_TAKE_GIL
        answer = Py_NewRef(results);
    }
    while (copied) Py_DECREF(copies[--copied]);
    PyMem_Free(copies);
    PyMem_Free(rows);
    Py_DECREF(results);
    return answer;
}

static PyObject *sgd(const rl_call *call) {
    static const stepper steps[2] = {sgd_f32, sgd_f64};
    rule r = {0};
    if (!rl_float(call, "lr", &r.lr) || !rl_float(call, "momentum", &r.momentum) ||
        !rl_float(call, "dampening", &r.dampening) ||
        !rl_float(call, "weight_decay", &r.weight_decay) ||
        !rl_bool(call, "nesterov", &r.nesterov) || !rl_bool(call, "maximize", &r.maximize) ||
        !rl_bool(call, "first", &r.first)) {
        return RL_DECLINE;
    }
    return run_step(call, &r, 2 + (r.momentum != 0), 7, NULL, steps);
}

/* The corrections of the two means, moved to where they are constants:
   m / c1 / (sqrt(v / c2) + eps) = sqrt(c2) / c1 * m / (sqrt(v) + eps * sqrt(c2)). */
static void adam_rates(const rule *r, double step, double *rate) {
    double root = sqrt(1 - pow(r->beta2, step));
    rate[0] = r->lr * root / (1 - pow(r->beta1, step));
    rate[1] = r->eps * root;
}

static PyObject *adam(const rl_call *call) {
    static const stepper steps[2] = {adam_f32, adam_f64};
    rule r = {0};
    if (!rl_float(call, "lr", &r.lr) || !rl_float(call, "beta1", &r.beta1) ||
        !rl_float(call, "beta2", &r.beta2) || !rl_float(call, "eps", &r.eps) ||
        !rl_float(call, "weight_decay", &r.weight_decay) ||
        !rl_bool(call, "amsgrad", &r.amsgrad) || !rl_bool(call, "maximize", &r.maximize) ||
        !rl_bool(call, "decoupled", &r.decoupled)) {
        return RL_DECLINE;
    }
    return run_step(call, &r, 4 + r.amsgrad, 9, adam_rates, steps);
}

static PyObject *rmsprop(const rl_call *call) {
    static const stepper steps[2] = {rmsprop_f32, rmsprop_f64};
    rule r = {0};
    if (!rl_float(call, "lr", &r.lr) || !rl_float(call, "alpha", &r.alpha) ||
        !rl_float(call, "eps", &r.eps) || !rl_float(call, "weight_decay", &r.weight_decay) ||
        !rl_float(call, "momentum", &r.momentum) || !rl_bool(call, "centered", &r.centered) ||
        !rl_bool(call, "maximize", &r.maximize)) {
        return RL_DECLINE;
    }
    return run_step(call, &r, 3 + r.centered + (r.momentum != 0), 7, NULL, steps);
}

static void adagrad_rates(const rule *r, double step, double *rate) {
    rate[0] = r->lr / (1 + (step - 1) * r->lr_decay);
}

static PyObject *adagrad(const rl_call *call) {
    static const stepper steps[2] = {adagrad_f32, adagrad_f64};
    rule r = {0};
    if (!rl_float(call, "lr", &r.lr) || !rl_float(call, "lr_decay", &r.lr_decay) ||
        !rl_float(call, "eps", &r.eps) || !rl_float(call, "weight_decay", &r.weight_decay) ||
        !rl_bool(call, "maximize", &r.maximize)) {
        return RL_DECLINE;
    }
    return run_step(call, &r, 3, 6, adagrad_rates, steps);
}

const rl_kernel rl_optimising_kernels[] = {
    {"fused_sgd", "floating", sgd, NULL},
    {"fused_adam", "floating", adam, NULL},
    {"fused_rmsprop", "floating", rmsprop, NULL},
    {"fused_adagrad", "floating", adagrad, NULL},
    {0},
};
