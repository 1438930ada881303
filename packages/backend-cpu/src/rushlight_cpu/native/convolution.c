/* Convolution and its two gradients: operands, and which passes they are made of. */
#include "convolution.h"

/* Sizes of the dimensions behind the first two, missing ones in front as 1. */
static void spatial_sizes(PyObject *array, int64_t *sizes) {
    const int dims = PyArray_NDIM(RL_ARRAY(array)) - 2;
    for (int d = 0; d < CONV_DIMS; d++) {
        int from = d - (CONV_DIMS - dims);
        sizes[d] = from < 0 ? 1 : PyArray_DIM(RL_ARRAY(array), from + 2);
    }
}

static bool spatial_ints(const rl_call *call, const char *name, int dims, int64_t fill,
                         int64_t *values) {
    int64_t found[CONV_DIMS];
    if (rl_ints(call, name, found, CONV_DIMS) != dims) return false;
    for (int d = 0; d < CONV_DIMS; d++) {
        int from = d - (CONV_DIMS - dims);
        values[d] = from < 0 ? fill : found[from];
    }
    return true;
}

static int64_t volume(const int64_t *sizes) { return sizes[0] * sizes[1] * sizes[2]; }

/* Reads what the three operators have in common; sizes and channels are the caller's. */
static bool read_settings(const rl_call *call, int dims, conv_shape *s) {
    return spatial_ints(call, "stride", dims, 1, s->stride) &&
           spatial_ints(call, "padding", dims, 0, s->padding) &&
           spatial_ints(call, "dilation", dims, 1, s->dilation) &&
           rl_int(call, "groups", &s->groups);
}

/* Whether two float32 operands of the same 3 to 5 dimensions are given. */
static bool suitable(const rl_call *call, Py_ssize_t keywords) {
    if (call->count != 2 || rl_keywords(call) != keywords) return false;
    for (int i = 0; i < 2; i++) {
        PyObject *x = call->args[i];
        if (!rl_is_array(x) || PyArray_TYPE(RL_ARRAY(x)) != NPY_FLOAT) return false;
    }
    const int dims = PyArray_NDIM(RL_ARRAY(call->args[0]));
    return dims == PyArray_NDIM(RL_ARRAY(call->args[1])) && dims >= 3 && dims <= 2 + CONV_DIMS;
}

/* Completes a shape; false where it is empty, inconsistent, or beyond what is covered. */
static bool complete(conv_shape *s) {
    s->in_plane = volume(s->size), s->out_plane = volume(s->out), s->taps = volume(s->kernel);
    if (s->taps < 1 || s->taps > CONV_MOST_TAPS || s->groups < 1) return false;
    if (s->batch < 1 || s->inner < 1 || s->outer < 1 || !s->in_plane || !s->out_plane) return false;
    if (s->inner % s->groups || s->outer % s->groups) return false;
    /* Offsets have 32 bits. */
    int64_t padded = 1;
    for (int d = 0; d < CONV_DIMS; d++) {
        if (__builtin_mul_overflow(padded, s->size[d] + 2 * s->padding[d] + s->out[d], &padded)) {
            return false;
        }
    }
    if (padded > INT32_MAX / 2 / conv_max(s->inner, s->outer)) return false;
    for (int d = 0; d < CONV_DIMS; d++) {
        if (s->stride[d] < 1 || s->dilation[d] < 1 || s->padding[d] < 0) return false;
        if (s->stride[d] > 1 << 20 || s->dilation[d] > 1 << 20 || s->padding[d] > 1 << 20) {
            return false;
        }
        int64_t span = s->size[d] + 2 * s->padding[d] - s->dilation[d] * (s->kernel[d] - 1) - 1;
        if (span < 0 || span / s->stride[d] + 1 != s->out[d]) return false;
    }
    return true;
}

static int64_t tap_coordinate(const conv_shape *s, int64_t tap, int dim) {
    for (int d = CONV_DIMS; --d > dim;) tap /= s->kernel[d];
    return tap % s->kernel[dim];
}

/* A new result of shape (first, second, *sizes). */
static PyObject *result(int dims, int64_t first, int64_t second, const int64_t *sizes) {
    npy_intp shape[2 + CONV_DIMS] = {first, second};
    for (int d = 0; d < dims; d++) shape[2 + d] = sizes[CONV_DIMS - dims + d];
    return rl_empty(2 + dims, shape, NPY_FLOAT);
}

static void fill_zeros(void *out, int64_t begin, int64_t end) {
    memset((float *)out + begin, 0, (size_t)(end - begin) * sizeof(float));
}

/* A pointwise convolution has no rows or columns: its plane is one row. */
static void flatten(conv_pass *p) {
    if (p->taps != 1) return;
    for (int d = 0; d < CONV_DIMS; d++) {
        if (p->at[0][d] || p->base[d] || p->in_step[d] != 1 || p->out_step[d] != 1) return;
        if (p->count[d] != p->in_size[d] || p->count[d] != p->out_size[d]) return;
    }
    const int64_t plane = volume(p->count);
    for (int d = 0; d < CONV_DIMS; d++) {
        p->count[d] = p->in_size[d] = p->out_size[d] = d == CONV_DIMS - 1 ? plane : 1;
    }
}

static bool run(conv_pass *p) {
    if (p->rows == 1 && p->channels == 1 && p->groups > 1) return conv_depthwise_pass(p);
    bool done;
    if (!conv_winograd_pass(p, &done)) return false;
    if (done) return true;
    flatten(p);
    return conv_run_pass(p);
}

/* out = conv(x, weight) */
static bool forward(const conv_shape *s, const float *x, const float *weight, float *out,
                    conv_pass *p) {
    p->batch = s->batch, p->groups = s->groups;
    p->channels = s->inner / s->groups, p->rows = s->outer / s->groups;
    p->taps = s->taps;
    for (int d = 0; d < CONV_DIMS; d++) {
        p->in_size[d] = s->size[d], p->out_size[d] = p->count[d] = s->out[d];
        p->in_step[d] = s->stride[d], p->out_step[d] = 1, p->base[d] = 0;
        for (int64_t t = 0; t < s->taps; t++) {
            p->at[t][d] = tap_coordinate(s, t, d) * s->dilation[d] - s->padding[d];
        }
    }
    for (int64_t t = 0; t < s->taps; t++) p->weight_at[t] = t;
    p->weight_channel = s->taps, p->weight_row = p->channels * s->taps;
    p->weight_group = p->rows * p->weight_row;
    p->x = x, p->weight = weight, p->out = out;
    return run(p);
}

/* Whether pixels of all residues are read by some tap: otherwise their gradient is 0. */
static bool every_pixel_is_met(const conv_shape *s) {
    for (int d = 0; d < CONV_DIMS; d++) {
        for (int64_t residue = 0; residue < s->stride[d]; residue++) {
            bool met = false;
            for (int64_t k = 0; k < s->kernel[d]; k++) {
                met |= k * s->dilation[d] % s->stride[d] == residue;
            }
            if (!met) return false;
        }
    }
    return true;
}

/* dx = sum over taps of weight * g; with strides, pixels of each residue see other taps. */
static bool backward(const conv_shape *s, const float *g, const float *weight, float *dx,
                     conv_pass *p) {
    p->batch = s->batch, p->groups = s->groups;
    p->channels = s->outer / s->groups, p->rows = s->inner / s->groups;
    p->weight_row = s->taps, p->weight_channel = p->rows * s->taps;
    p->weight_group = p->channels * p->weight_channel;
    p->x = g, p->weight = weight, p->out = dx;
    const int64_t passes = volume(s->stride);
    if (!every_pixel_is_met(s)) {
        rl_parallel_range(s->batch * s->inner * s->in_plane, 1 << 18, fill_zeros, dx);
    }
    for (int64_t n = 0; n < passes; n++) {
        const int64_t residue[CONV_DIMS] = {n / s->stride[2] / s->stride[1],
                                            n / s->stride[2] % s->stride[1], n % s->stride[2]};
        int64_t low[CONV_DIMS];
        bool empty = false;
        for (int d = 0; d < CONV_DIMS; d++) {
            /* Pixels y with y + padding = stride * j + residue. */
            const int64_t step = s->stride[d], shift = s->padding[d] - residue[d];
            low[d] = shift > 0 ? conv_ceil(shift, step) : 0;
            const int64_t last = s->size[d] - 1 + shift;
            p->count[d] = last < 0 ? 0 : last / step - low[d] + 1;
            p->base[d] = step * low[d] - shift;
            p->in_step[d] = 1, p->out_step[d] = step;
            p->in_size[d] = s->out[d], p->out_size[d] = s->size[d];
            if (p->count[d] <= 0) empty = true;
        }
        if (empty) continue;
        p->taps = 0;
        for (int64_t t = 0; t < s->taps; t++) {
            bool meets = true;
            for (int d = 0; d < CONV_DIMS; d++) {
                const int64_t ahead = tap_coordinate(s, t, d) * s->dilation[d] - residue[d];
                if (ahead < 0 || ahead % s->stride[d]) meets = false;
                p->at[p->taps][d] = low[d] - ahead / s->stride[d];
            }
            p->weight_at[p->taps] = t;
            if (meets) p->taps++;
        }
        if (p->taps && !run(p)) return false;
    }
    return true;
}

static PyObject *conv(const rl_call *call) {
    if (!suitable(call, 4)) return RL_DECLINE;
    PyObject *x = call->args[0], *weight = call->args[1];
    const int dims = PyArray_NDIM(RL_ARRAY(x)) - 2;
    conv_shape s;
    if (!read_settings(call, dims, &s)) return RL_DECLINE;
    s.batch = PyArray_DIM(RL_ARRAY(x), 0), s.inner = PyArray_DIM(RL_ARRAY(x), 1);
    s.outer = PyArray_DIM(RL_ARRAY(weight), 0);
    spatial_sizes(x, s.size), spatial_sizes(weight, s.kernel);
    for (int d = 0; d < CONV_DIMS; d++) {
        if (s.stride[d] < 1) return RL_DECLINE;
        int64_t span = s.size[d] + 2 * s.padding[d] - s.dilation[d] * (s.kernel[d] - 1) - 1;
        s.out[d] = span < 0 ? 0 : span / s.stride[d] + 1;
    }
    if (!complete(&s) || PyArray_DIM(RL_ARRAY(weight), 1) * s.groups != s.inner) return RL_DECLINE;
    PyObject *a = (PyObject *)PyArray_GETCONTIGUOUS(RL_ARRAY(x));
    PyObject *b = (PyObject *)PyArray_GETCONTIGUOUS(RL_ARRAY(weight));
    PyObject *out = a && b ? result(dims, s.batch, s.outer, s.out) : NULL;
    conv_pass *pass = out ? rl_scratch(sizeof *pass) : NULL;
    if (!pass || !forward(&s, RL_DATA(a), RL_DATA(b), RL_DATA(out), pass)) Py_CLEAR(out);
    rl_scratch_free(pass);
    Py_XDECREF(a);
    Py_XDECREF(b);
    return out;
}

static PyObject *conv_grad_input(const rl_call *call) {
    if (!suitable(call, 5)) return RL_DECLINE;
    PyObject *g = call->args[0], *weight = call->args[1];
    const int dims = PyArray_NDIM(RL_ARRAY(g)) - 2;
    conv_shape s;
    if (!read_settings(call, dims, &s) || !spatial_ints(call, "input_size", dims, 1, s.size)) {
        return RL_DECLINE;
    }
    s.batch = PyArray_DIM(RL_ARRAY(g), 0), s.outer = PyArray_DIM(RL_ARRAY(g), 1);
    s.inner = PyArray_DIM(RL_ARRAY(weight), 1) * s.groups;
    spatial_sizes(g, s.out), spatial_sizes(weight, s.kernel);
    if (!complete(&s) || PyArray_DIM(RL_ARRAY(weight), 0) != s.outer) return RL_DECLINE;
    /* With long strides most passes are a few strided stores. */
    if (volume(s.stride) > 16) return RL_DECLINE;
    PyObject *a = (PyObject *)PyArray_GETCONTIGUOUS(RL_ARRAY(g));
    PyObject *b = (PyObject *)PyArray_GETCONTIGUOUS(RL_ARRAY(weight));
    PyObject *dx = a && b ? result(dims, s.batch, s.inner, s.size) : NULL;
    conv_pass *pass = dx ? rl_scratch(sizeof *pass) : NULL;
    if (!pass || !backward(&s, RL_DATA(a), RL_DATA(b), RL_DATA(dx), pass)) Py_CLEAR(dx);
    rl_scratch_free(pass);
    Py_XDECREF(a);
    Py_XDECREF(b);
    return dx;
}

static bool weight_gradient(const conv_shape *s, bool depthwise, const float *g, const float *x,
                            float *dw) {
    if (depthwise) return conv_depthwise_weight(s, g, x, dw);
    bool done;
    if (!conv_winograd_weight(s, g, x, dw, &done)) return false;
    return done || conv_weight_gradient(s, g, x, dw);
}

static PyObject *conv_grad_weight(const rl_call *call) {
    if (!suitable(call, 5)) return RL_DECLINE;
    PyObject *g = call->args[0], *x = call->args[1];
    const int dims = PyArray_NDIM(RL_ARRAY(g)) - 2;
    conv_shape s;
    if (!read_settings(call, dims, &s) || !spatial_ints(call, "kernel_size", dims, 1, s.kernel)) {
        return RL_DECLINE;
    }
    s.batch = PyArray_DIM(RL_ARRAY(x), 0), s.inner = PyArray_DIM(RL_ARRAY(x), 1);
    s.outer = PyArray_DIM(RL_ARRAY(g), 1);
    spatial_sizes(x, s.size), spatial_sizes(g, s.out);
    if (!complete(&s) || PyArray_DIM(RL_ARRAY(g), 0) != s.batch) return RL_DECLINE;
    PyObject *a = (PyObject *)PyArray_GETCONTIGUOUS(RL_ARRAY(g));
    PyObject *b = (PyObject *)PyArray_GETCONTIGUOUS(RL_ARRAY(x));
    PyObject *dw = a && b ? result(dims, s.outer, s.inner / s.groups, s.kernel) : NULL;
    const bool depthwise = s.groups > 1 && s.groups == s.inner && s.outer == s.inner;
    if (dw && !weight_gradient(&s, depthwise, RL_DATA(a), RL_DATA(b), RL_DATA(dw))) Py_CLEAR(dw);
    Py_XDECREF(a);
    Py_XDECREF(b);
    return dw;
}

const rl_kernel rl_convolution_kernels[] = {{"conv", "floating", conv, NULL},
                                            {"conv_grad_input", "floating", conv_grad_input, NULL},
                                            {"conv_grad_weight", "floating", conv_grad_weight, NULL},
                                            {0}};
