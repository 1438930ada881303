/* Max and average pooling, fixed and adaptive, over one to three spatial dimensions. */
#include "rl.h"
#include "rl_slots.h"

#include <math.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define DIMS 3
#define GRAIN (1 << 14) /* elements per task */

/* What a window sees along one dimension. */
typedef struct {
    int64_t lo, hi; /* the input from lo (a tap) to hi */
    int64_t count;  /* what a mean divides by */
} window;

/* A call; dimensions that it lacks have size 1 and come first. */
typedef struct {
    int64_t planes, size[DIMS], out[DIMS], kernel[DIMS], stride[DIMS], padding[DIMS];
    int64_t dilation[DIMS], in_plane, out_plane;
    int64_t phase;   /* longest row of every stride-th element that is seen */
    int64_t divisor; /* 0: the sizes of windows */
    window *windows[DIMS];
    bool pairs; /* windows of 2 x 2 side by side */
    const void *x;
    void *values;
    int64_t *indices;
    atomic_int outside;
    rl_slots slots;
} pool;

#if defined(__AVX512F__)
/* A row of maxima of 2 x 2, and where in the plane they are. */
static void max_pairs_row(const float *upper, const float *lower, int64_t n, int32_t first,
                          int32_t width, float *out, int64_t *index) {
    const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i one = _mm512_set1_epi32(1), odd = _mm512_add_epi32(even, one);
    const __m512i below = _mm512_set1_epi32(width), beside = _mm512_set1_epi32(width + 1);
    for (int64_t o = 0; o < n; o += 16) {
        const int64_t some = n - o < 16 ? n - o : 16;
        const uint32_t both = (uint32_t)(((uint64_t)1 << 2 * some) - 1);
        const __mmask16 low = (__mmask16)both, high = (__mmask16)(both >> 16);
        const __m512 a = _mm512_maskz_loadu_ps(low, upper + 2 * o);
        const __m512 b = _mm512_maskz_loadu_ps(high, upper + 2 * o + 16);
        const __m512 c = _mm512_maskz_loadu_ps(low, lower + 2 * o);
        const __m512 d = _mm512_maskz_loadu_ps(high, lower + 2 * o + 16);
        const __m512 values[] = {_mm512_permutex2var_ps(a, odd, b),
                                 _mm512_permutex2var_ps(c, even, d),
                                 _mm512_permutex2var_ps(c, odd, d)};
        const __m512i places[] = {one, below, beside};
        __m512 best = _mm512_permutex2var_ps(a, even, b);
        __m512i at = _mm512_setzero_si512();
        for (int i = 0; i < 3; i++) {
            const __mmask16 take = _mm512_cmp_ps_mask(values[i], best, _CMP_GT_OQ) |
                                   _mm512_cmp_ps_mask(values[i], values[i], _CMP_UNORD_Q);
            best = _mm512_mask_mov_ps(best, take, values[i]);
            at = _mm512_mask_mov_epi32(at, take, places[i]);
        }
        const __mmask16 mask = (__mmask16)((1u << some) - 1);
        _mm512_mask_storeu_ps(out + o, mask, best);
        if (!index) continue;
        at = _mm512_add_epi32(_mm512_add_epi32(at, even),
                              _mm512_set1_epi32(first + (int32_t)(2 * o)));
        _mm512_mask_storeu_epi64(index + o, (__mmask8)mask,
                                 _mm512_cvtepi32_epi64(_mm512_castsi512_si256(at)));
        _mm512_mask_storeu_epi64(index + o + 8, (__mmask8)(mask >> 8),
                                 _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(at, 1)));
    }
}
#endif

#define REAL float
#define OF(name) name##_f32
#include "pooling_loops.h"
#define REAL double
#define OF(name) name##_f64
#include "pooling_loops.h"

/* Operands and attributes */

static bool read_ints(const rl_call *call, const char *name, int dims, int64_t fill,
                      int64_t *values) {
    int64_t found[DIMS];
    if (rl_ints(call, name, found, DIMS) != dims) return false;
    for (int d = 0; d < DIMS; d++) {
        const int from = d - (DIMS - dims);
        values[d] = from < 0 ? fill : found[from];
        if (values[d] < 0 || values[d] > 1 << 30) return false;
    }
    return true;
}

static void read_sizes(PyObject *array, int64_t *sizes) {
    const int dims = PyArray_NDIM(RL_ARRAY(array)) - 2;
    for (int d = 0; d < DIMS; d++) {
        const int from = d - (DIMS - dims);
        sizes[d] = from < 0 ? 1 : PyArray_DIM(RL_ARRAY(array), from + 2);
    }
}

/* The number of spatial dimensions of a float array with planes; 0 where there are none. */
static int spatial(const rl_call *call, Py_ssize_t operands, Py_ssize_t keywords) {
    if (call->count != operands || rl_keywords(call) != keywords) return 0;
    PyObject *x = call->args[0];
    if (!rl_is_array(x)) return 0;
    const int type = PyArray_TYPE(RL_ARRAY(x)), dims = PyArray_NDIM(RL_ARRAY(x)) - 2;
    if ((type != NPY_FLOAT && type != NPY_DOUBLE) || dims < 1 || dims > DIMS) return 0;
    return PyArray_SIZE(RL_ARRAY(x)) ? dims : 0;
}

/* Volumes, once sizes are known; false for those that are empty or too large for our positions. */
static bool measure(pool *p, PyObject *x) {
    p->planes = PyArray_DIM(RL_ARRAY(x), 0) * PyArray_DIM(RL_ARRAY(x), 1);
    p->in_plane = p->out_plane = 1;
    for (int d = 0; d < DIMS; d++) p->in_plane *= p->size[d], p->out_plane *= p->out[d];
    return p->planes > 0 && p->in_plane > 0 && p->out_plane > 0 && p->in_plane < INT32_MAX;
}

/* Output sizes of sliding windows, as torch counts them. */
static bool slide(pool *p, bool ceil_mode) {
    for (int d = 0; d < DIMS; d++) {
        if (p->kernel[d] < 1 || p->stride[d] < 1 || p->dilation[d] < 1) return false;
        const int64_t pad = p->padding[d], step = p->stride[d];
        const int64_t span = p->size[d] + 2 * pad - p->dilation[d] * (p->kernel[d] - 1) - 1;
        if (span < 0) return false;
        p->out[d] = (ceil_mode ? (span + step - 1) / step : span / step) + 1;
        if (ceil_mode && (p->out[d] - 1) * step >= p->size[d] + pad) p->out[d]--;
    }
    return true;
}

/* Room for the windows of all dimensions, in one block that the caller frees. */
static window *make_windows(pool *p) {
    window *all = rl_scratch((size_t)(p->out[0] + p->out[1] + p->out[2]) * sizeof *all);
    if (!all) return NULL;
    p->windows[0] = all, p->windows[1] = all + p->out[0];
    p->windows[2] = p->windows[1] + p->out[1];
    return all;
}

/* False if a window sees nothing but padding, which dilation allows. */
static bool sliding_windows(pool *p, bool count_padding) {
    for (int d = 0; d < DIMS; d++) {
        for (int64_t o = 0; o < p->out[d]; o++) {
            window *w = &p->windows[d][o];
            const int64_t step = p->dilation[d], begin = o * p->stride[d] - p->padding[d];
            int64_t end = begin + step * (p->kernel[d] - 1) + 1;
            w->lo = begin < 0 ? begin + (-begin + step - 1) / step * step : begin;
            w->hi = end < p->size[d] ? end : p->size[d];
            if (w->lo >= w->hi) return false;
            end = end < p->size[d] + p->padding[d] ? end : p->size[d] + p->padding[d];
            w->count = count_padding ? end - begin : w->hi - w->lo;
        }
    }
    return true;
}

static void adaptive_windows(pool *p) {
    for (int d = 0; d < DIMS; d++) {
        for (int64_t o = 0; o < p->out[d]; o++) {
            window *w = &p->windows[d][o];
            w->lo = o * p->size[d] / p->out[d];
            w->hi = ((o + 1) * p->size[d] + p->out[d] - 1) / p->out[d];
            w->count = w->hi - w->lo;
        }
    }
}

/* One window over everything: a plane is one row. */
static void flatten(pool *p) {
    if (p->out_plane != 1) return;
    for (int d = 0; d < DIMS; d++) {
        if (p->windows[d][0].hi - p->windows[d][0].lo != p->size[d]) return;
    }
    window *w = p->windows[2];
    w->hi = p->in_plane, w->count *= p->windows[0]->count * p->windows[1]->count;
    for (int d = 0; d < 2; d++) p->windows[d][0] = (window){0, 1, 1}, p->size[d] = 1;
    p->size[2] = p->in_plane;
}

static PyObject *result(PyObject *x, const int64_t *sizes, int type) {
    const int dims = PyArray_NDIM(RL_ARRAY(x)) - 2;
    npy_intp shape[2 + DIMS] = {PyArray_DIM(RL_ARRAY(x), 0), PyArray_DIM(RL_ARRAY(x), 1)};
    for (int d = 0; d < dims; d++) shape[2 + d] = sizes[DIMS - dims + d];
    return rl_empty(2 + dims, shape, type);
}

/* Runs a task over planes, with `elements` of workspace each. */
static bool run(pool *p, rl_range_task task, size_t bytes) {
    const int64_t most = p->in_plane > p->out_plane ? p->in_plane : p->out_plane;
    const int64_t grain = most < GRAIN ? GRAIN / most : 1;
    const int64_t tasks = (p->planes + grain - 1) / grain;
    if (bytes && !rl_open_slots(&p->slots, bytes, tasks)) return false;
    const bool enough = p->planes * most > GRAIN;
    RL_RELEASE_GIL(enough)
    rl_parallel_range(p->planes, grain, task, p);
    RL_TAKE_GIL
    if (bytes) rl_scratch_free(p->slots.base);
    return true;
}

/* Operators */

/* Maxima, and their positions if `indexed`: what both operators do once windows are known. */
static PyObject *maxima(pool *p, PyObject *x, bool indexed, rl_range_task task, size_t bytes) {
    PyObject *dense = (PyObject *)PyArray_GETCONTIGUOUS(RL_ARRAY(x));
    PyObject *values = dense ? result(x, p->out, PyArray_TYPE(RL_ARRAY(x))) : NULL;
    PyObject *indices = values && indexed ? result(x, p->out, NPY_INT64) : NULL, *both = NULL;
    if (values && (indices || !indexed)) {
        p->x = RL_DATA(dense), p->values = RL_DATA(values);
        p->indices = indices ? RL_DATA(indices) : NULL;
        if (run(p, task, bytes)) {
            both = indexed ? PyTuple_Pack(2, values, indices) : Py_NewRef(values);
        }
    }
    Py_XDECREF(indices);
    Py_XDECREF(values);
    Py_XDECREF(dense);
    return both;
}

/* Whether windows are 2 x 2, side by side and within the plane. */
static bool in_pairs(const pool *p) {
    for (int d = 0; d < DIMS; d++) {
        const int64_t side = d ? 2 : 1;
        if (p->kernel[d] != side || p->stride[d] != side || p->padding[d]) return false;
        if (p->dilation[d] != 1 || p->out[d] * side > p->size[d]) return false;
    }
    return p->size[0] == 1;
}

static PyObject *max_pool(const rl_call *call) {
    const int dims = spatial(call, 1, 5);
    bool ceil_mode;
    pool p = {0};
    if (!dims || !read_ints(call, "kernel_size", dims, 1, p.kernel) ||
        !read_ints(call, "stride", dims, 1, p.stride) ||
        !read_ints(call, "padding", dims, 0, p.padding) ||
        !read_ints(call, "dilation", dims, 1, p.dilation) ||
        !rl_bool(call, "ceil_mode", &ceil_mode)) {
        return RL_DECLINE;
    }
    PyObject *x = call->args[0];
    read_sizes(x, p.size);
    if (!slide(&p, ceil_mode) || !measure(&p, x)) return RL_DECLINE;
    window *windows = make_windows(&p);
    if (!windows) return NULL;
    PyObject *out = RL_DECLINE;
    if (sliding_windows(&p, true)) {
        const bool wide = PyArray_TYPE(RL_ARRAY(x)) == NPY_DOUBLE;
        p.pairs = in_pairs(&p);
        p.phase = p.out[2] + (p.kernel[2] - 1) * p.dilation[2] / p.stride[2];
        const int64_t room = p.size[2] + p.stride[2] * p.phase + p.out[2] + 64;
        const size_t bytes = (size_t)room * (wide ? 12 : 8);
        out = maxima(&p, x, call->data != NULL, wide ? max_task_f64 : max_task_f32, bytes);
    }
    rl_scratch_free(windows);
    return out;
}

static PyObject *adaptive_max_pool(const rl_call *call) {
    const int dims = spatial(call, 1, 1);
    pool p = {0};
    if (!dims || !read_ints(call, "output_size", dims, 1, p.out)) return RL_DECLINE;
    PyObject *x = call->args[0];
    read_sizes(x, p.size);
    if (!measure(&p, x)) return RL_DECLINE;
    window *windows = make_windows(&p);
    if (!windows) return NULL;
    adaptive_windows(&p);
    const bool wide = PyArray_TYPE(RL_ARRAY(x)) == NPY_DOUBLE;
    PyObject *out = maxima(&p, x, true, wide ? max_window_task_f64 : max_window_task_f32, 0);
    rl_scratch_free(windows);
    return out;
}

static PyObject *max_pool_backward(const rl_call *call) {
    const int dims = spatial(call, 2, 1);
    pool p = {0};
    if (!dims || !read_ints(call, "input_size", dims, 1, p.size)) return RL_DECLINE;
    PyObject *g = call->args[0], *indices = call->args[1];
    if (!rl_is_dense(indices, NPY_INT64) ||
        !PyArray_SAMESHAPE(RL_ARRAY(g), RL_ARRAY(indices))) {
        return RL_DECLINE;
    }
    read_sizes(g, p.out);
    if (!measure(&p, g)) return RL_DECLINE;
    PyObject *dense = (PyObject *)PyArray_GETCONTIGUOUS(RL_ARRAY(g));
    PyObject *dx = dense ? result(g, p.size, PyArray_TYPE(RL_ARRAY(g))) : NULL;
    if (dx) {
        p.x = RL_DATA(dense), p.values = RL_DATA(dx), p.indices = RL_DATA(indices);
        const bool wide = PyArray_TYPE(RL_ARRAY(g)) == NPY_DOUBLE;
        run(&p, wide ? max_back_task_f64 : max_back_task_f32, 0);
        if (atomic_load(&p.outside)) { /* indices that are no positions are NumPy's to refuse */
            Py_DECREF(dx);
            dx = RL_DECLINE;
        }
    }
    Py_XDECREF(dense);
    return dx;
}

/* Means or their gradients, once windows are known; `to` are the sizes of the result. */
static PyObject *means(pool *p, PyObject *x, const int64_t *to, bool back) {
    int64_t sizes[DIMS];
    memcpy(sizes, to, sizeof sizes); /* before they are made flat */
    flatten(p);
    PyObject *dense = (PyObject *)PyArray_GETCONTIGUOUS(RL_ARRAY(x));
    PyObject *out = dense ? result(x, sizes, PyArray_TYPE(RL_ARRAY(x))) : NULL;
    if (out) {
        p->x = RL_DATA(dense), p->values = RL_DATA(out);
        const bool wide = PyArray_TYPE(RL_ARRAY(x)) == NPY_DOUBLE;
        const rl_range_task tasks[] = {mean_task_f32, mean_task_f64, mean_back_task_f32,
                                       mean_back_task_f64};
        if (!run(p, tasks[2 * back + wide], (size_t)p->size[2] * sizeof(double))) Py_CLEAR(out);
    }
    Py_XDECREF(dense);
    return out;
}

/* With data: the gradient. */
static PyObject *avg_pool(const rl_call *call) {
    const bool back = call->data != NULL;
    const int dims = spatial(call, 1, back ? 7 : 6);
    bool ceil_mode, count_padding;
    pool p = {.dilation = {1, 1, 1}};
    PyObject *divisor = rl_keyword(call, "divisor_override");
    if (!dims || !read_ints(call, "kernel_size", dims, 1, p.kernel) ||
        !read_ints(call, "stride", dims, 1, p.stride) ||
        !read_ints(call, "padding", dims, 0, p.padding) ||
        !rl_bool(call, "ceil_mode", &ceil_mode) ||
        !rl_bool(call, "count_include_pad", &count_padding) || !divisor ||
        (divisor != Py_None && !rl_int(call, "divisor_override", &p.divisor))) {
        return RL_DECLINE;
    }
    PyObject *x = call->args[0];
    int64_t seen[DIMS];
    read_sizes(x, back ? seen : p.size);
    if (back && !read_ints(call, "input_size", dims, 1, p.size)) return RL_DECLINE;
    if (!slide(&p, ceil_mode) || (back && memcmp(seen, p.out, sizeof seen))) return RL_DECLINE;
    if (!measure(&p, x) || (divisor != Py_None && !p.divisor)) return RL_DECLINE;
    window *windows = make_windows(&p);
    if (!windows) return NULL;
    PyObject *out = RL_DECLINE;
    if (sliding_windows(&p, count_padding)) out = means(&p, x, back ? p.size : p.out, back);
    rl_scratch_free(windows);
    return out;
}

static PyObject *adaptive_avg_pool(const rl_call *call) {
    const bool back = call->data != NULL;
    const int dims = spatial(call, 1, 1);
    pool p = {0};
    PyObject *x = call->args[0];
    const char *name = back ? "input_size" : "output_size";
    if (!dims || !read_ints(call, name, dims, 1, back ? p.size : p.out)) {
        return RL_DECLINE;
    }
    read_sizes(x, back ? p.out : p.size);
    if (!measure(&p, x)) return RL_DECLINE;
    window *windows = make_windows(&p);
    if (!windows) return NULL;
    adaptive_windows(&p);
    PyObject *out = means(&p, x, back ? p.size : p.out, back);
    rl_scratch_free(windows);
    return out;
}

const rl_kernel rl_pooling_kernels[] = {
    {"max_pool", "floating", max_pool, "indices"},
    {"max_pool_values", "floating", max_pool, NULL},
    {"max_pool_backward", "floating", max_pool_backward, NULL},
    {"adaptive_max_pool", "floating", adaptive_max_pool, NULL},
    {"avg_pool", "floating", avg_pool, NULL},
    {"avg_pool_backward", "floating", avg_pool, "gradient"},
    {"adaptive_avg_pool", "floating", adaptive_avg_pool, NULL},
    {"adaptive_avg_pool_backward", "floating", adaptive_avg_pool, "gradient"},
    {0}};
