/* Softmax, its logarithm, their gradients, and log-sum-exp, of float and double.

   Rows of the last dimension stay in cache between their passes; along another dimension the work
   is cut into strips of columns that do. */
#include "rl_softmax.h"

#define CACHED (1 << 16) /* elements of a strip of columns */
#define WIDEST 1024      /* columns of a strip */
#define GROUP 256        /* rows of a column that are added one after the other */
#define SHORT 48         /* elements of a row that is handled together with others */
#define TOGETHER 16
#define TASK (1 << 14)   /* elements a task should have at least */

#define RL_LOOPS "softmax_loops.h"
#include "rl_both_types.h"
#undef RL_LOOPS

void rl_softmax_along(int type, const void *g, const void *x, void *out, int64_t outer, int64_t n,
                      int64_t inner, int which, bool unshifted) {
    if (type == NPY_FLOAT) along_f32(g, x, out, outer, n, inner, which, unshifted);
    else along_f64(g, x, out, outer, n, inner, which, unshifted);
}

/* softmax(x, *, dim), log_softmax, softmax_backward(g, out, *, dim), log_softmax_backward */
static PyObject *softmax(const rl_call *call) {
    int which = (int)(intptr_t)call->data, count = which >= SOFTMAX_BACKWARD ? 2 : 1;
    int64_t dim;
    if (call->count != count || rl_keywords(call) != 1 || !rl_int(call, "dim", &dim)) {
        return RL_DECLINE;
    }
    PyObject *const *args = call->args;
    if (!rl_is_array(args[0])) return RL_DECLINE;
    PyArrayObject *first = RL_ARRAY(args[0]);
    int type = PyArray_TYPE(first), nd = PyArray_NDIM(first);
    if (type != NPY_FLOAT && type != NPY_DOUBLE) return RL_DECLINE;
    if (count == 2 && (!rl_is_array(args[1]) || PyArray_TYPE(RL_ARRAY(args[1])) != type ||
                       !PyArray_SAMESHAPE(first, RL_ARRAY(args[1])))) {
        return RL_DECLINE;
    }
    if (dim < 0) dim += nd ? nd : 1;
    if (dim < 0 || dim >= (nd ? nd : 1)) return RL_DECLINE;
    int64_t outer = 1, n = 1, inner = 1;
    for (int d = 0; d < nd; d++) *(d < dim ? &outer : d > dim ? &inner : &n) *= PyArray_DIM(first, d);
    PyObject *a = rl_dense(args[0]), *b = a && count == 2 ? rl_dense(args[1]) : NULL;
    PyObject *out = a && (count == 1 || b) ? rl_empty(nd, PyArray_DIMS(first), type) : NULL;
    if (out) {
        rl_softmax_along(type, b ? RL_DATA(a) : NULL, RL_DATA(b ? b : a), RL_DATA(out), outer, n,
                         inner, which, false);
    }
    Py_XDECREF(a);
    Py_XDECREF(b);
    return out;
}

/* logsumexp(x, *, dim, keepdim), over one dimension or several that lie together */
static PyObject *logsumexp(const rl_call *call) {
    int64_t dims[RL_MAX_DIMS], outer = 1, n = 1, inner = 1;
    bool keepdim, reduced[RL_MAX_DIMS] = {false};
    if (call->count != 1 || rl_keywords(call) != 2 || !rl_bool(call, "keepdim", &keepdim) ||
        !rl_is_array(call->args[0])) {
        return RL_DECLINE;
    }
    PyArrayObject *x = RL_ARRAY(call->args[0]);
    int type = PyArray_TYPE(x), nd = PyArray_NDIM(x), count = rl_ints(call, "dim", dims, nd);
    if ((type != NPY_FLOAT && type != NPY_DOUBLE) || count < 1 || !PyArray_SIZE(x)) {
        return RL_DECLINE;
    }
    for (int i = 0; i < count; i++) {
        if (dims[i] < 0 || dims[i] >= nd) return RL_DECLINE;
        reduced[dims[i]] = true;
    }
    npy_intp shape[RL_MAX_DIMS];
    int stage = 0, left = 0;
    for (int d = 0; d < nd; d++) {
        int64_t size = PyArray_DIM(x, d);
        if (!reduced[d]) shape[left++] = size;
        else if (keepdim) shape[left++] = 1;
        if (size == 1) continue;
        if (stage == 1 && !reduced[d]) stage = 2;
        if (stage == 0 && reduced[d]) stage = 1;
        if (stage == 2 && reduced[d]) return RL_DECLINE;
        *(stage == 0 ? &outer : stage == 1 ? &n : &inner) *= size;
    }
    PyObject *dense = rl_dense(call->args[0]);
    PyObject *out = dense ? rl_empty(left, shape, type) : NULL;
    if (out) {
        rl_softmax_along(type, NULL, RL_DATA(dense), RL_DATA(out), outer, n, inner, LOG_SUM_EXP,
                         true);
    }
    Py_XDECREF(dense);
    return out;
}

#define ROW(name, function, which) {name, "floating", function, (const void *)(intptr_t)(which)}

const rl_kernel rl_softmax_kernels[] = {
    ROW("softmax", softmax, SOFTMAX),
    ROW("log_softmax", softmax, LOG_SOFTMAX),
    ROW("softmax_backward", softmax, SOFTMAX_BACKWARD),
    ROW("log_softmax_backward", softmax, LOG_SOFTMAX_BACKWARD),
    ROW("logsumexp", logsumexp, 0),
    {0},
};
