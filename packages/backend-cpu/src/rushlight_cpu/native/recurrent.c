/* LSTM and GRU cells of float32: all of a step but its matrix products. */
#include "recurrent_rows.h"
#include "rl.h"

#define WORTH_THREADS 20000 /* gates of a cell */

typedef struct {
    int inputs, results;
    int in_gates[5], out_gates[3]; /* how many times the width a row is */
    void (*row)(int64_t n, const float *const *in, float *const *out);
} cell;

static void lstm_cell_row(int64_t n, const float *const *in, float *const *out) {
    lstm_row(n, in[0], in[1], out[0], out[1], out[2]);
}
static void lstm_cell_row_backward(int64_t n, const float *const *in, float *const *out) {
    lstm_row_backward(n, in[0], in[1], in[2], in[3], in[4], out[0], out[1]);
}
static void gru_cell_row(int64_t n, const float *const *in, float *const *out) {
    gru_row(n, in[0], in[1], in[2], out[0], out[1]);
}
static void gru_cell_row_backward(int64_t n, const float *const *in, float *const *out) {
    gru_row_backward(n, in[0], in[1] + 2 * n, in[2], in[3], out[0], out[1], out[2]);
}

typedef struct {
    const cell *kind;
    int64_t width;
    const float *in[5];
    int64_t in_steps[5];
    float *out[3];
} cell_call;

static void cell_rows(void *context, int64_t begin, int64_t end) {
    const cell_call *p = context;
    for (int64_t row = begin; row < end; row++) {
        const float *in[5];
        float *out[3];
        for (int i = 0; i < p->kind->inputs; i++) in[i] = p->in[i] + row * p->in_steps[i];
        for (int i = 0; i < p->kind->results; i++) {
            out[i] = p->out[i] + row * p->width * p->kind->out_gates[i];
        }
        p->kind->row(p->width, in, out);
    }
}

static PyObject *run_cell(const rl_call *call) {
    const cell *kind = call->data;
    cell_call p = {.kind = kind};
    if (call->count != kind->inputs || rl_keywords(call)) return RL_DECLINE;
    npy_intp rows = 0;
    for (int i = 0; i < kind->inputs; i++) {
        PyObject *x = call->args[i];
        if (!rl_is_array(x) || PyArray_TYPE(RL_ARRAY(x)) != NPY_FLOAT ||
            PyArray_NDIM(RL_ARRAY(x)) != 2) {
            return RL_DECLINE;
        }
        npy_intp n = PyArray_DIM(RL_ARRAY(x), 0), m = PyArray_DIM(RL_ARRAY(x), 1);
        if (!i) rows = n, p.width = m / kind->in_gates[0];
        if (n != rows || m != p.width * kind->in_gates[i] || !n || !m) return RL_DECLINE;
        if (m > 1 && PyArray_STRIDE(RL_ARRAY(x), 1) != sizeof(float)) return RL_DECLINE;
        p.in[i] = RL_DATA(x);
        p.in_steps[i] = PyArray_STRIDE(RL_ARRAY(x), 0) / (int64_t)sizeof(float);
    }
    PyObject *results = PyTuple_New(kind->results);
    for (int i = 0; results && i < kind->results; i++) {
        npy_intp shape[2] = {rows, p.width * kind->out_gates[i]};
        PyObject *y = rl_empty(2, shape, NPY_FLOAT);
        if (!y) Py_CLEAR(results);
        else {
            PyTuple_SET_ITEM(results, i, y);
            p.out[i] = RL_DATA(y);
        }
    }
    if (!results) return NULL;
    bool large = rows * p.width * 4 > WORTH_THREADS;
    RL_RELEASE_GIL(large)
    rl_parallel_range(rows, large ? 1 + WORTH_THREADS / (8 * p.width) : rows, cell_rows, &p);
    RL_TAKE_GIL
    return results;
}

static const cell lstm_cell = {2, 3, {4, 1}, {1, 1, 4}, lstm_cell_row};
static const cell lstm_cell_backward = {5, 2, {1, 1, 1, 1, 4}, {4, 1}, lstm_cell_row_backward};
static const cell gru_cell = {3, 2, {3, 3, 1}, {1, 3}, gru_cell_row};
static const cell gru_cell_backward = {4, 3, {1, 3, 1, 3}, {3, 3, 1}, gru_cell_row_backward};

const rl_kernel rl_recurrent_kernels[] = {
    {"lstm_pointwise", "floating", run_cell, &lstm_cell},
    {"lstm_pointwise_backward", "floating", run_cell, &lstm_cell_backward},
    {"gru_pointwise", "floating", run_cell, &gru_cell},
    {"gru_pointwise_backward", "floating", run_cell, &gru_cell_backward},
    {0},
};
