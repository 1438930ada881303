/* Sums, products, extremes, their positions, and variances, of float and double, over any axes.

   The order of additions depends on the shape only, never on the threads: rows are summed by
   16 lanes in blocks whose sums are added pairwise, columns in blocks of rows.  Axes are taken in
   the order they have in memory, so that transposed operands are as fast as others. */
#include "rl.h"
#include "rl_math_types.h"

enum { SUM, MEAN, AMAX, AMIN, PROD };

#define BLOCK 4096      /* elements of a row that are summed by lanes */
#define ROWS 256        /* rows of a column sum that are added one after the other */
#define COLUMNS 1024    /* columns per task */
#define TASK (1 << 15)  /* elements a task should have at least */

#define T float
#define INDEX int32_t
#define F(name) name##_f32
#include "reduction_loops.h"
#undef T
#undef INDEX
#undef F
#define T double
#define INDEX int64_t
#define F(name) name##_f64
#include "reduction_loops.h"
#undef T
#undef INDEX
#undef F

/* An operand with its axes in the order of memory, and what a reduction makes of them. */
typedef struct {
    PyObject *x; /* dense in some order of its axes: the operand or a copy; new reference */
    int order[RL_MAX_DIMS]; /* axes, outermost first */
    int groups;             /* runs of axes that are reduced, or are kept */
    int64_t size[RL_MAX_DIMS];
    bool reduced[RL_MAX_DIMS];
} layout;

static bool in_order(PyArrayObject *x, int *order) {
    int nd = PyArray_NDIM(x);
    for (int i = 0; i < nd; i++) { /* insertion by falling strides */
        int place = i;
        while (place && PyArray_STRIDE(x, order[place - 1]) < PyArray_STRIDE(x, i)) {
            order[place] = order[place - 1];
            place--;
        }
        order[place] = i;
    }
    npy_intp step = PyArray_ITEMSIZE(x);
    for (int i = nd; i--;) {
        int64_t size = PyArray_DIM(x, order[i]);
        if (size == 1) continue;
        if (PyArray_STRIDE(x, order[i]) != step) return false;
        step *= size;
    }
    return true;
}

/* False: an error is set. */
static bool lay_out(PyObject *x, const bool *reduced, layout *l) {
    l->x = Py_NewRef(x);
    int nd = PyArray_NDIM(RL_ARRAY(x));
    if (PyArray_IS_C_CONTIGUOUS(RL_ARRAY(x))) {
        for (int i = 0; i < nd; i++) l->order[i] = i;
    } else if (!in_order(RL_ARRAY(x), l->order)) {
        PyObject *copy = PyArray_NewCopy(RL_ARRAY(x), NPY_KEEPORDER);
        Py_SETREF(l->x, copy);
        if (!copy) return false;
        if (!in_order(RL_ARRAY(copy), l->order)) {
            PyErr_SetString(PyExc_SystemError, "a copy that is not dense");
            return false;
        }
    }
    l->groups = 0;
    for (int i = 0; i < nd; i++) {
        int axis = l->order[i];
        int64_t size = PyArray_DIM(RL_ARRAY(x), axis);
        if (size == 1) continue;
        if (l->groups && l->reduced[l->groups - 1] == reduced[axis]) {
            l->size[l->groups - 1] *= size;
            continue;
        }
        l->size[l->groups] = size;
        l->reduced[l->groups++] = reduced[axis];
    }
    return true;
}

/* The result of a reduction: its axes lie in memory as those of the operand do. */
static PyObject *result_of(const layout *l, const bool *reduced, bool keepdim, int type) {
    PyArrayObject *x = RL_ARRAY(l->x);
    npy_intp shape[RL_MAX_DIMS];
    int place[RL_MAX_DIMS], order[RL_MAX_DIMS], nd = 0, ordered = 0;
    for (int d = 0; d < PyArray_NDIM(x); d++) {
        place[d] = nd;
        if (!reduced[d]) shape[nd++] = PyArray_DIM(x, d);
        else if (keepdim) shape[nd++] = 1;
    }
    for (int i = 0; i < PyArray_NDIM(x); i++) {
        if (!reduced[l->order[i]] || keepdim) order[ordered++] = place[l->order[i]];
    }
    return rl_empty_ordered(nd, shape, order, type);
}

/* Takes the last reduced group out: (outer, count, inner). False if there is none. */
static bool take_group(layout *l, int64_t *outer, int64_t *count, int64_t *inner) {
    int last = l->groups - 1;
    while (last >= 0 && !l->reduced[last]) last--;
    *outer = *count = *inner = 1;
    for (int i = 0; i < l->groups; i++) {
        *(i < last || last < 0 ? outer : i > last ? inner : count) *= l->size[i];
    }
    if (last < 0) return false;
    for (int i = last + 1; i < l->groups; i++) {
        l->size[i - 1] = l->size[i], l->reduced[i - 1] = l->reduced[i];
    }
    l->groups--;
    return true;
}

static bool has_reduced(const layout *l) {
    for (int i = 0; i < l->groups; i++) if (l->reduced[i]) return true;
    return false;
}

/* Which axes a call reduces; false: decline. */
static bool read_axes(const rl_call *call, PyArrayObject *x, bool *reduced, bool *keepdim) {
    int64_t dims[RL_MAX_DIMS];
    int n = rl_ints(call, "dim", dims, RL_MAX_DIMS);
    memset(reduced, 0, sizeof(bool) * RL_MAX_DIMS);
    if (n < 0 || !rl_bool(call, "keepdim", keepdim)) return false;
    for (int i = 0; i < n; i++) {
        if (dims[i] < 0 || dims[i] >= PyArray_NDIM(x)) return false;
        reduced[dims[i]] = true;
    }
    return true;
}

/* A float or double array that is not empty: identities and errors are NumPy's to know. */
static bool is_operand(const rl_call *call) {
    if (call->count != 1 || !rl_is_array(call->args[0])) return false;
    int type = PyArray_TYPE(RL_ARRAY(call->args[0]));
    return (type == NPY_FLOAT || type == NPY_DOUBLE) && PyArray_SIZE(RL_ARRAY(call->args[0]));
}

static bool run(int type, const void *x, void *out, int64_t outer, int64_t count, int64_t inner,
                int which) {
    return type == NPY_FLOAT ? reduce_f32(x, out, outer, count, inner, which)
                             : reduce_f64(x, out, outer, count, inner, which);
}

/* sum, mean, amax, amin, prod (x, *, dim, keepdim): groups of axes from the inside to the outside */
static PyObject *reduce(const rl_call *call) {
    int which = (int)(intptr_t)call->data;
    bool keepdim, reduced[RL_MAX_DIMS];
    if (!is_operand(call) || rl_keywords(call) != 2 ||
        !read_axes(call, RL_ARRAY(call->args[0]), reduced, &keepdim)) {
        return RL_DECLINE;
    }
    layout l;
    int type = PyArray_TYPE(RL_ARRAY(call->args[0]));
    PyObject *out = NULL;
    void *from = NULL, *between = NULL;
    bool done = lay_out(call->args[0], reduced, &l) &&
                (out = result_of(&l, reduced, keepdim, type)) != NULL;
    const void *x = done ? RL_DATA(l.x) : NULL;
    for (bool last = false; done && !last;) {
        int64_t outer, count, inner;
        take_group(&l, &outer, &count, &inner);
        last = !has_reduced(&l);
        if (!last) done = (between = rl_scratch((size_t)(outer * inner) * 8)) != NULL;
        done = done && run(type, x, last ? RL_DATA(out) : between, outer, count, inner, which);
        rl_scratch_free(from);
        x = from = between;
        between = NULL;
    }
    rl_scratch_free(from);
    Py_XDECREF(l.x);
    if (!done) Py_CLEAR(out);
    return out;
}

/* argmax, argmin (x, *, dim, keepdim); dim is None for the position in all elements */
static PyObject *position(const rl_call *call) {
    int which = (int)(intptr_t)call->data;
    int64_t dim;
    bool keepdim, reduced[RL_MAX_DIMS] = {false};
    if (!is_operand(call) || rl_keywords(call) != 2 || !rl_bool(call, "keepdim", &keepdim)) {
        return RL_DECLINE;
    }
    PyArrayObject *x = RL_ARRAY(call->args[0]);
    int type = PyArray_TYPE(x), nd = PyArray_NDIM(x);
    bool all = rl_keyword(call, "dim") == Py_None;
    if (!all && (!rl_int(call, "dim", &dim) || dim < -nd || dim >= nd)) return RL_DECLINE;
    for (int d = 0; d < nd; d++) reduced[d] = all || d == (dim < 0 ? dim + nd : dim);
    /* All elements are counted in C order, whatever they lie in. */
    PyObject *dense = all ? rl_dense(call->args[0]) : Py_NewRef(call->args[0]), *out = NULL;
    if (!dense) return NULL;
    layout l;
    if (lay_out(dense, reduced, &l)) {
        int64_t outer, count, inner;
        take_group(&l, &outer, &count, &inner);
        out = count > INT32_MAX && inner > 1 ? RL_DECLINE : result_of(&l, reduced, keepdim, NPY_INT64);
        if (out && out != RL_DECLINE) {
            bool done = type == NPY_FLOAT ? search_all_f32(RL_DATA(l.x), RL_DATA(out), outer, count,
                                                           inner, which)
                                          : search_all_f64(RL_DATA(l.x), RL_DATA(out), outer, count,
                                                           inner, which);
            if (!done) Py_CLEAR(out);
        }
    }
    Py_XDECREF(l.x);
    Py_DECREF(dense);
    return out;
}

/* A copy of x with the reduced axes last, dense. */
static PyObject *reduced_last(PyObject *x, const bool *reduced) {
    npy_intp axes[RL_MAX_DIMS];
    PyArray_Dims order = {axes, 0};
    for (int pass = 0; pass < 2; pass++) {
        for (int d = 0; d < PyArray_NDIM(RL_ARRAY(x)); d++) {
            if (reduced[d] == pass) axes[order.len++] = d;
        }
    }
    PyObject *turned = PyArray_Transpose(RL_ARRAY(x), &order);
    PyObject *copy = turned ? PyArray_NewCopy(RL_ARRAY(turned), NPY_CORDER) : NULL;
    Py_XDECREF(turned);
    return copy;
}

/* var, std (x, *, dim, correction=1, keepdim) */
static PyObject *variance(const rl_call *call) {
    bool root = call->data != NULL, keepdim, reduced[RL_MAX_DIMS];
    double correction = 1;
    int known = 2 + (rl_keyword(call, "correction") != NULL);
    if (!is_operand(call) || rl_keywords(call) != known ||
        (known == 3 && !rl_float(call, "correction", &correction)) ||
        !read_axes(call, RL_ARRAY(call->args[0]), reduced, &keepdim)) {
        return RL_DECLINE;
    }
    layout l;
    int type = PyArray_TYPE(RL_ARRAY(call->args[0]));
    PyObject *out = NULL, *copy = NULL;
    int64_t outer, count, inner;
    bool done = lay_out(call->args[0], reduced, &l);
    if (done) {
        take_group(&l, &outer, &count, &inner);
        if (has_reduced(&l)) { /* axes that lie apart: put side by side */
            for (int64_t more, a, b; take_group(&l, &a, &more, &b);) count *= more;
            outer = PyArray_SIZE(RL_ARRAY(l.x)) / count, inner = 1;
            for (int d = 0; d < PyArray_NDIM(RL_ARRAY(l.x)); d++) l.order[d] = d;
            done = (copy = reduced_last(l.x, reduced)) != NULL;
        }
    }
    done = done && (out = result_of(&l, reduced, keepdim, type)) != NULL;
    if (done) {
        const void *x = RL_DATA(copy ? copy : l.x);
        double freedom = (double)count - correction;
        if (freedom < 0) freedom = 0;
        done = type == NPY_FLOAT
                   ? variances_f32(x, RL_DATA(out), outer, count, inner, freedom, root)
                   : variances_f64(x, RL_DATA(out), outer, count, inner, freedom, root);
    }
    Py_XDECREF(l.x);
    Py_XDECREF(copy);
    if (!done) Py_CLEAR(out);
    return out;
}

#define ROW(name, function, which) {name, "floating", function, (const void *)(intptr_t)(which)}

const rl_kernel rl_reduction_kernels[] = {
    ROW("sum", reduce, SUM),
    ROW("mean", reduce, MEAN),
    ROW("amax", reduce, AMAX),
    ROW("amin", reduce, AMIN),
    ROW("prod", reduce, PROD),
    ROW("argmax", position, AMAX),
    ROW("argmin", position, AMIN),
    ROW("var", variance, false),
    ROW("std", variance, true),
    {0},
};
