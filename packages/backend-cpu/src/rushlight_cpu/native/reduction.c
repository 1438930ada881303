/* Sums and extremes of float and double over consecutive axes of dense arrays.

   The order of additions depends on the shape only, never on the threads: rows are summed by
   16 lanes in blocks whose sums are added pairwise, columns in blocks of rows. */
#include "rl.h"
#include "rl_math_types.h"

enum { SUM, MEAN, AMAX, AMIN };

#define BLOCK 4096      /* elements of a row that are summed by lanes */
#define ROWS 256        /* rows of a column sum that are added one after the other */
#define COLUMNS 1024    /* columns per task */
#define TASK (1 << 15)  /* elements a task should have at least */

#define T float
#define F(name) name##_f32
#include "reduction_loops.h"
#undef T
#undef F
#define T double
#define F(name) name##_f64
#include "reduction_loops.h"
#undef T
#undef F

/* The reduced axes as one: x seen as (outer, count, inner). False if they do not lie together. */
static bool fold(PyArrayObject *x, const int64_t *dims, int n, int64_t *outer, int64_t *count,
                 int64_t *inner, bool *reduced) {
    int nd = PyArray_NDIM(x);
    memset(reduced, 0, sizeof(bool) * RL_MAX_DIMS);
    for (int i = 0; i < n; i++) {
        if (dims[i] < 0 || dims[i] >= nd) return false;
        reduced[dims[i]] = true;
    }
    *outer = *count = *inner = 1;
    int stage = 0;
    for (int d = 0; d < nd; d++) {
        int64_t size = PyArray_DIM(x, d);
        if (size == 1) continue;
        if (stage == 0 && reduced[d]) stage = 1;
        if (stage == 1 && !reduced[d]) stage = 2;
        if (stage == 2 && reduced[d]) return false;
        *(stage == 0 ? outer : stage == 1 ? count : inner) *= size;
    }
    return true;
}

static PyObject *reduce(const rl_call *call) {
    int which = (int)(intptr_t)call->data;
    int64_t dims[RL_MAX_DIMS];
    bool keepdim, reduced[RL_MAX_DIMS];
    if (call->count != 1 || rl_keywords(call) != 2 || !rl_is_array(call->args[0]) ||
        !rl_bool(call, "keepdim", &keepdim)) {
        return RL_DECLINE;
    }
    PyArrayObject *x = RL_ARRAY(call->args[0]);
    int n = rl_ints(call, "dim", dims, RL_MAX_DIMS), type = PyArray_TYPE(x);
    if (n < 0 || !PyArray_IS_C_CONTIGUOUS(x) || (type != NPY_FLOAT && type != NPY_DOUBLE)) {
        return RL_DECLINE;
    }
    int64_t outer, count, inner;
    if (!fold(x, dims, n, &outer, &count, &inner, reduced)) return RL_DECLINE;
    if (!PyArray_SIZE(x)) return RL_DECLINE; /* identities and errors are NumPy's to know */
    npy_intp shape[RL_MAX_DIMS];
    int nd = 0;
    for (int d = 0; d < PyArray_NDIM(x); d++) {
        if (!reduced[d]) shape[nd++] = PyArray_DIM(x, d);
        else if (keepdim) shape[nd++] = 1;
    }
    PyObject *out = rl_empty(nd, shape, type);
    if (!out) return NULL;
    bool done = type == NPY_FLOAT
                    ? reduce_f32(RL_DATA(x), RL_DATA(out), outer, count, inner, which)
                    : reduce_f64(RL_DATA(x), RL_DATA(out), outer, count, inner, which);
    if (!done) Py_CLEAR(out);
    return out;
}

#define ROW(name, which) {name, "floating", reduce, (const void *)(intptr_t)(which)}

const rl_kernel rl_reduction_kernels[] = {
    ROW("sum", SUM), ROW("mean", MEAN), ROW("amax", AMAX), ROW("amin", AMIN), {0},
};
