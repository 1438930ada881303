/* 16-bit floats in kernels that know float: operands widened before, results rounded once after.

   Sums thus accumulate in float.  What is elementwise needs no copies: see elementwise.c, and for
   the usual sums and softmax reduced_rows.c. */
#include "reduced_rows.h"
#include "rl.h"
#include "rl_softmax.h"

extern const rl_kernel rl_attention_kernels[];
extern const rl_kernel rl_convolution_kernels[];
extern const rl_kernel rl_matmul_kernels[];
extern const rl_kernel rl_reduction_kernels[];
extern const rl_kernel rl_row_norm_kernels[];
extern const rl_kernel rl_scan_kernels[];
extern const rl_kernel rl_softmax_kernels[];

#define MOST_ARGUMENTS 24

typedef struct {
    const rl_kernel *table;
    const char *name;
    int keep;           /* bits of the results that stay float: saved statistics */
    rl_function direct; /* what is tried first, with its data; or NULL */
    const void *data;
} widening;

static bool is_half(PyObject *x, int type) {
    return rl_is_array(x) && PyArray_TYPE(RL_ARRAY(x)) == type;
}

/* The result in 16 bits; takes over the reference, and is NULL if that is. */
static PyObject *narrowed(PyObject *x, int type) {
    if (!x || !rl_is_array(x) || PyArray_TYPE(RL_ARRAY(x)) != NPY_FLOAT) return x;
    PyObject *half = rl_converted(x, type);
    Py_DECREF(x);
    return half;
}

static PyObject *narrow_results(PyObject *result, int type, int keep) {
    if (!PyTuple_Check(result)) return keep & 1 ? result : narrowed(result, type);
    Py_ssize_t n = PyTuple_GET_SIZE(result);
    PyObject *all = PyTuple_New(n);
    for (Py_ssize_t i = 0; all && i < n; i++) {
        PyObject *x = Py_NewRef(PyTuple_GET_ITEM(result, i));
        if (!(keep >> i & 1)) x = narrowed(x, type);
        if (x) PyTuple_SET_ITEM(all, i, x);
        else Py_CLEAR(all);
    }
    Py_DECREF(result);
    return all;
}

static PyObject *widened(const rl_call *call) {
    const widening *w = call->data;
    Py_ssize_t all = call->count + rl_keywords(call);
    PyObject *args[MOST_ARGUMENTS], *out = rl_keyword(call, "out");
    if (!call->count || all > MOST_ARGUMENTS || (out && out != Py_None) ||
        !rl_is_array(call->args[0])) {
        return RL_DECLINE;
    }
    int type = PyArray_TYPE(RL_ARRAY(call->args[0]));
    if (type != NPY_HALF && type != rl_bfloat16()) return RL_DECLINE;
    if (w->direct) {
        const rl_call same = {call->args, call->count, call->names, w->data};
        PyObject *result = w->direct(&same);
        if (result != RL_DECLINE) return result;
    }
    Py_ssize_t ready = 0;
    bool failed = false;
    for (; ready < all && !failed; ready++) {
        PyObject *x = call->args[ready];
        bool half = ready < call->count && is_half(x, type);
        args[ready] = half ? rl_converted(x, NPY_FLOAT) : Py_NewRef(x);
        if (!args[ready]) {
            failed = true;
            break;
        }
    }
    PyObject *result = NULL;
    if (!failed) {
        const rl_kernel *k = w->table;
        while (strcmp(k->name, w->name)) k++;
        const rl_call inner = {args, call->count, call->names, k->data};
        result = k->function(&inner);
    }
    while (ready) Py_DECREF(args[--ready]);
    return !result || result == RL_DECLINE ? result : narrow_results(result, type, w->keep);
}

#define ROW(table, name, keep)                                                                    \
    {name, "reduced", widened, &(const widening){rl_##table##_kernels, name, keep, NULL, NULL}}
#define DIRECT(table, name, direct, data)                                                         \
    {name, "reduced", widened,                                                                    \
     &(const widening){rl_##table##_kernels, name, 0, direct, (const void *)(intptr_t)(data)}}

const rl_kernel rl_reduced_kernels[] = {
    ROW(attention, "scaled_dot_product_attention", 1 << 1),
    ROW(attention, "attention_backward", 0),
    ROW(convolution, "conv", 0),
    ROW(convolution, "conv_grad_input", 0),
    ROW(convolution, "conv_grad_weight", 0),
    ROW(matmul, "matmul", 0),
    ROW(matmul, "mm", 0),
    ROW(matmul, "bmm", 0),
    ROW(matmul, "linear", 0),
    ROW(matmul, "addmm", 0),
    DIRECT(reduction, "sum", rl_sum_reduced, 0),
    DIRECT(reduction, "mean", rl_sum_reduced, 1),
    ROW(reduction, "amax", 0),
    ROW(reduction, "amin", 0),
    ROW(row_norm, "native_layer_norm", 1 << 1 | 1 << 2),
    ROW(row_norm, "native_rms_norm", 1 << 1),
    ROW(row_norm, "native_group_norm", 1 << 1 | 1 << 2),
    ROW(row_norm, "layer_norm_backward", 0),
    ROW(row_norm, "rms_norm_backward", 0),
    ROW(row_norm, "group_norm_backward", 0),
    ROW(scan, "cumsum", 0),
    ROW(scan, "reverse_cumsum", 0),
    DIRECT(softmax, "softmax", rl_softmax_reduced, SOFTMAX),
    DIRECT(softmax, "log_softmax", rl_softmax_reduced, LOG_SOFTMAX),
    DIRECT(softmax, "softmax_backward", rl_softmax_reduced, SOFTMAX_BACKWARD),
    DIRECT(softmax, "log_softmax_backward", rl_softmax_reduced, LOG_SOFTMAX_BACKWARD),
    ROW(softmax, "logsumexp", 0),
    {0},
};
