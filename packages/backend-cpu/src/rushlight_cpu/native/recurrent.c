/* LSTM and GRU cells of float32, and an LSTM layer over a whole sequence.

   The rows of a batch do not meet before the gradient of the weight.  So a task of the layer is a
   few rows through all steps, and threads never wait for each other between steps.  The weight is
   packed once, into panels of RL_NR columns that stay in the L2 cache. */
#include "rl.h"
#include "rl_math_types.h"
#include "rl_strips.h"

#define CACHED (3 << 19)    /* bytes of a weight that stay in a core's cache */
#define ROWS RL_MR          /* of a task, if they do */
#define ROWS_OF_LARGE 32    /* ... if not: then it is to be read less often */
#define WORTH_THREADS 20000 /* gates of a cell */

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/* Cells: one row. Gates lie side by side, `n` of each. */

/* Gates i, f, g, o from their sums x. */
static void lstm_row(int64_t n, const float *restrict x, const float *restrict c,
                     float *restrict h, float *restrict cell, float *restrict active) {
    for (int64_t j = 0; j < n; j++) {
        float i = rl_sigmoid_f32(x[j]), f = rl_sigmoid_f32(x[n + j]);
        float g = rl_tanh_f32(x[2 * n + j]), o = rl_sigmoid_f32(x[3 * n + j]);
        float new = f * c[j] + i * g;
        cell[j] = new;
        h[j] = o * rl_tanh_f32(new);
        active[j] = i, active[n + j] = f, active[2 * n + j] = g, active[3 * n + j] = o;
    }
}

/* Gradients of the gate sums, and of the old cell state, which may replace that of the new one. */
static void lstm_row_backward(int64_t n, const float *restrict gh, const float *gc,
                              const float *restrict c, const float *restrict cell,
                              const float *restrict active, float *restrict dgates, float *dc) {
#pragma GCC ivdep
    for (int64_t j = 0; j < n; j++) {
        float i = active[j], f = active[n + j], g = active[2 * n + j], o = active[3 * n + j];
        float t = rl_tanh_f32(cell[j]), d = gc[j] + gh[j] * o * (1 - t * t);
        dgates[j] = d * g * i * (1 - i);
        dgates[n + j] = d * c[j] * f * (1 - f);
        dgates[2 * n + j] = d * i * (1 - g * g);
        dgates[3 * n + j] = gh[j] * t * o * (1 - o);
        dc[j] = d * f;
    }
}

/* Gates r, z, n from the sums of the input and of the hidden state. */
static void gru_row(int64_t n, const float *restrict x, const float *restrict y,
                    const float *restrict h, float *restrict out, float *restrict active) {
    for (int64_t j = 0; j < n; j++) {
        float r = rl_sigmoid_f32(x[j] + y[j]), z = rl_sigmoid_f32(x[n + j] + y[n + j]);
        float new = rl_tanh_f32(x[2 * n + j] + r * y[2 * n + j]);
        out[j] = new + z * (h[j] - new);
        active[j] = r, active[n + j] = z, active[2 * n + j] = new;
    }
}

static void gru_row_backward(int64_t n, const float *restrict g, const float *restrict y,
                             const float *restrict h, const float *restrict active,
                             float *restrict dx, float *restrict dy, float *restrict dh) {
    for (int64_t j = 0; j < n; j++) {
        float r = active[j], z = active[n + j], new = active[2 * n + j];
        float dn = g[j] * (1 - z) * (1 - new * new);
        float dr = dn * y[2 * n + j] * r * (1 - r), dz = g[j] * (h[j] - new) * z * (1 - z);
        dx[j] = dy[j] = dr, dx[n + j] = dy[n + j] = dz;
        dx[2 * n + j] = dn, dy[2 * n + j] = dn * r;
        dh[j] = g[j] * z;
    }
}

/* Cells: kernels */

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
    gru_row_backward(n, in[0], in[1], in[2], in[3], out[0], out[1], out[2]);
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

/* Sequences */

/* An operand or result (steps, rows, columns), dense in the last axis; in floats. */
typedef struct {
    float *data;
    int64_t step, row;
    PyObject *array; /* new reference */
} sequence;

typedef struct {
    bool reverse;
    int64_t steps, rows, width, few; /* `few` rows in a task */
    const float *packed;             /* the weight */
    float *room;                     /* `room_size` floats for each task */
    int64_t room_size;
    sequence gates, out, cells, active, g, gc, weight, h, c, dgates, dweight, dh, dc;
    float *past; /* the hidden states before each step, rows as in dgates */
} lstm;

static inline float *at(const sequence *x, int64_t t, int64_t row) {
    return x->data + t * x->step + row * x->row;
}

static void view(sequence *x) {
    PyArrayObject *a = RL_ARRAY(x->array);
    int d = PyArray_NDIM(a);
    x->data = PyArray_DATA(a);
    x->row = PyArray_STRIDE(a, d - 2) / (int64_t)sizeof(float);
    x->step = d == 3 ? PyArray_STRIDE(a, 0) / (int64_t)sizeof(float) : 0;
}

static bool take(sequence *x, PyObject *array) {
    PyArrayObject *a = RL_ARRAY(array);
    int d = PyArray_NDIM(a);
    bool dense = PyArray_DIM(a, d - 1) == 1 || PyArray_STRIDE(a, d - 1) == sizeof(float);
    x->array = dense ? Py_NewRef(array) : PyArray_NewCopy(a, NPY_CORDER);
    if (x->array) view(x);
    return x->array != NULL;
}

/* A result of all steps, its axes in memory in the order of those of `like`. */
static bool make(sequence *x, const lstm *p, const sequence *like, int64_t columns) {
    npy_intp shape[3] = {p->steps, p->rows, columns};
    const int batch_first[3] = {1, 0, 2}, time_first[3] = {0, 1, 2};
    bool turned = like->row > like->step && p->steps > 1;
    x->array = rl_empty_ordered(3, shape, turned ? batch_first : time_first, NPY_FLOAT);
    if (x->array) view(x);
    return x->array != NULL;
}

static bool make_plain(sequence *x, int64_t rows, int64_t columns) {
    npy_intp shape[2] = {rows, columns};
    x->array = rl_empty(2, shape, NPY_FLOAT);
    if (x->array) view(x);
    return x->array != NULL;
}

static void release(lstm *p) {
    sequence *all[] = {&p->gates, &p->out, &p->cells, &p->active, &p->g, &p->gc, &p->weight,
                       &p->h, &p->c, &p->dgates, &p->dweight, &p->dh, &p->dc};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) Py_CLEAR(all[i]->array);
    rl_scratch_free(p->room);
    rl_scratch_free((void *)p->packed);
    rl_scratch_free(p->past);
}

static bool shaped(PyObject *x, int d, int64_t a, int64_t b, int64_t c) {
    if (!rl_is_array(x) || PyArray_TYPE(RL_ARRAY(x)) != NPY_FLOAT) return false;
    PyArrayObject *y = RL_ARRAY(x);
    return PyArray_NDIM(y) == d && PyArray_DIM(y, d - 1) == c && PyArray_DIM(y, d - 2) == b &&
           (d == 2 || PyArray_DIM(y, 0) == a);
}

static void cut(lstm *p) {
    p->few = 16 * p->width * p->width > CACHED ? ROWS_OF_LARGE : ROWS;
}

static int64_t tasks_of(const lstm *p) { return (p->rows + p->few - 1) / p->few; }

typedef struct {
    const lstm *p;
    float *to;
    int64_t depth, columns;
    bool turned;
} packing;

/* Panels of RL_NR columns: of the weight's transpose (forward, `turned`), or of the weight. */
static void pack(void *context, int64_t begin, int64_t end) {
    const packing *k = context;
    const sequence *w = &k->p->weight;
    for (int64_t panel = begin; panel < end; panel++) {
        int64_t first = panel * RL_NR, some = least(RL_NR, k->columns - first);
        float *to = k->to + panel * k->depth * RL_NR;
        if (some < RL_NR) memset(to, 0, sizeof(float) * (size_t)(k->depth * RL_NR));
        if (!k->turned) {
            for (int64_t i = 0; i < k->depth; i++) {
                memcpy(to + i * RL_NR, at(w, 0, i) + first, sizeof(float) * (size_t)some);
            }
            continue;
        }
        for (int64_t i = 0; i < k->depth; i += 16) {
            int64_t last = least(i + 16, k->depth);
            for (int64_t j = 0; j < some; j++) {
                const float *from = at(w, 0, first + j);
                for (int64_t l = i; l < last; l++) to[l * RL_NR + j] = from[l];
            }
        }
    }
}

static bool prepare(lstm *p, int64_t depth, int64_t columns, bool turned, int64_t room) {
    int64_t panels = (columns + RL_NR - 1) / RL_NR;
    p->packed = rl_scratch(sizeof(float) * (size_t)(panels * RL_NR * depth));
    p->room_size = up(room, 16);
    p->room = rl_scratch(sizeof(float) * (size_t)(p->room_size * tasks_of(p)));
    if (!p->packed || !p->room) return false;
    packing k = {p, (float *)p->packed, depth, columns, turned};
    rl_parallel_range(panels, 4, pack, &k);
    return true;
}

/* c (rows x columns, up to whole panels) = a times the packed weight, plus c where `add`. */
static void times_weight(const lstm *p, int64_t rows, int64_t depth, int64_t columns,
                         const float *a, int64_t lda, float *c, int64_t ldc, bool add) {
    for (int64_t j = 0; j < columns; j += RL_NR) {
        rl_strip_rows(rows, depth, a, lda, p->packed + j * depth, RL_NR, c + j, ldc, add);
    }
}

static void forward_task(void *context, int64_t task) {
    const lstm *p = context;
    int64_t first = task * p->few, rows = least(p->few, p->rows - first);
    int64_t gates = 4 * p->width, wide = up(gates, RL_NR);
    float *sums = p->room + task * p->room_size;
    memset(sums, 0, sizeof(float) * (size_t)(rows * wide));
    const float *h = at(&p->h, 0, first), *c = at(&p->c, 0, first);
    int64_t h_row = p->h.row, c_row = p->c.row;
    for (int64_t s = 0; s < p->steps; s++) {
        int64_t t = p->reverse ? p->steps - 1 - s : s;
        for (int64_t r = 0; r < rows; r++) {
            memcpy(sums + r * wide, at(&p->gates, t, first + r), sizeof(float) * (size_t)gates);
        }
        times_weight(p, rows, p->width, gates, h, h_row, sums, wide, true);
        for (int64_t r = 0; r < rows; r++) {
            lstm_row(p->width, sums + r * wide, c + r * c_row, at(&p->out, t, first + r),
                     at(&p->cells, t, first + r), at(&p->active, t, first + r));
        }
        h = at(&p->out, t, first), h_row = p->out.row;
        c = at(&p->cells, t, first), c_row = p->cells.row;
    }
}

static PyObject *lstm_sequence(const rl_call *call) {
    lstm p = {0};
    PyObject *const *args = call->args;
    if (call->count != 4 || rl_keywords(call) != 1 || !rl_bool(call, "reverse", &p.reverse) ||
        !rl_is_array(args[0]) || !rl_is_array(args[3]) || PyArray_NDIM(RL_ARRAY(args[0])) != 3 ||
        PyArray_NDIM(RL_ARRAY(args[3])) != 2) {
        return RL_DECLINE;
    }
    p.steps = PyArray_DIM(RL_ARRAY(args[0]), 0);
    p.rows = PyArray_DIM(RL_ARRAY(args[0]), 1);
    p.width = PyArray_DIM(RL_ARRAY(args[3]), 1);
    if (!p.steps || !p.rows || !p.width || !shaped(args[0], 3, p.steps, p.rows, 4 * p.width) ||
        !shaped(args[1], 2, 0, 4 * p.width, p.width) || !shaped(args[2], 2, 0, p.rows, p.width) ||
        !shaped(args[3], 2, 0, p.rows, p.width)) {
        return RL_DECLINE;
    }
    PyObject *result = NULL;
    cut(&p);
    if (take(&p.gates, args[0]) && take(&p.weight, args[1]) && take(&p.h, args[2]) &&
        take(&p.c, args[3]) && make(&p.out, &p, &p.gates, p.width) &&
        make(&p.cells, &p, &p.gates, p.width) && make(&p.active, &p, &p.gates, 4 * p.width) &&
        prepare(&p, p.width, 4 * p.width, true, p.few * up(4 * p.width, RL_NR))) {
        RL_RELEASE_GIL(true)
        rl_parallel(tasks_of(&p), forward_task, &p);
        RL_TAKE_GIL
        result = PyTuple_Pack(3, p.out.array, p.cells.array, p.active.array);
    }
    release(&p);
    return result;
}

static void backward_task(void *context, int64_t task) {
    const lstm *p = context;
    int64_t n = p->width, first = task * p->few, rows = least(p->few, p->rows - first);
    int64_t wide = up(n, RL_NR);
    float *gh = p->room + task * p->room_size, *dc = gh + p->few * wide;
    memset(gh, 0, sizeof(float) * (size_t)(p->few * (wide + n)));
    for (int64_t s = p->steps - 1; s >= 0; s--) {
        int64_t t = p->reverse ? p->steps - 1 - s : s, before = p->reverse ? t + 1 : t - 1;
        const sequence *h = s ? &p->out : &p->h, *c = s ? &p->cells : &p->c;
        for (int64_t r = 0; r < rows; r++) {
            int64_t row = first + r;
            const float *g = at(&p->g, t, row);
            float *dgates = at(&p->dgates, t, row), *sum = gh + r * wide, *dcr = dc + r * n;
            for (int64_t j = 0; j < n; j++) sum[j] += g[j];
            if (p->gc.array) {
                const float *gc = at(&p->gc, t, row);
                for (int64_t j = 0; j < n; j++) dcr[j] += gc[j];
            }
            lstm_row_backward(n, sum, dcr, at(c, before, row), at(&p->cells, t, row),
                              at(&p->active, t, row), dgates, dcr);
            memcpy(p->past + (dgates - p->dgates.data) / 4, at(h, before, row),
                   sizeof(float) * (size_t)n);
        }
        times_weight(p, rows, 4 * n, n, at(&p->dgates, t, first), p->dgates.row, gh, wide, false);
    }
    for (int64_t r = 0; r < rows; r++) {
        memcpy(at(&p->dh, 0, first + r), gh + r * wide, sizeof(float) * (size_t)n);
        memcpy(at(&p->dc, 0, first + r), dc + r * n, sizeof(float) * (size_t)n);
    }
}

/* The gradient of rows of the weight: of all steps in one product. */
static void weight_task(void *context, int64_t begin, int64_t end) {
    const lstm *p = context;
    rl_sgemm(true, false, end - begin, p->width, p->steps * p->rows, 1, p->dgates.data + begin,
             4 * p->width, p->past, p->width, 0, at(&p->dweight, 0, begin), p->width);
}

static PyObject *lstm_sequence_backward(const rl_call *call) {
    lstm p = {0};
    PyObject *const *args = call->args; /* g, gc, ga, weight, h, c, out, cells, active */
    if (call->count != 9 || rl_keywords(call) != 1 || !rl_bool(call, "reverse", &p.reverse) ||
        args[2] != Py_None || !rl_has_blas() || !rl_is_array(args[0]) ||
        PyArray_NDIM(RL_ARRAY(args[0])) != 3) {
        return RL_DECLINE;
    }
    int64_t t = p.steps = PyArray_DIM(RL_ARRAY(args[0]), 0);
    int64_t rows = p.rows = PyArray_DIM(RL_ARRAY(args[0]), 1);
    int64_t n = p.width = PyArray_DIM(RL_ARRAY(args[0]), 2);
    if (!t || !rows || !n || !shaped(args[0], 3, t, rows, n) ||
        (args[1] != Py_None && !shaped(args[1], 3, t, rows, n)) ||
        !shaped(args[3], 2, 0, 4 * n, n) || !shaped(args[4], 2, 0, rows, n) ||
        !shaped(args[5], 2, 0, rows, n) || !shaped(args[6], 3, t, rows, n) ||
        !shaped(args[7], 3, t, rows, n) || !shaped(args[8], 3, t, rows, 4 * n)) {
        return RL_DECLINE;
    }
    PyObject *result = NULL;
    cut(&p);
    if (take(&p.g, args[0]) && (args[1] == Py_None || take(&p.gc, args[1])) &&
        take(&p.weight, args[3]) && take(&p.h, args[4]) && take(&p.c, args[5]) &&
        take(&p.out, args[6]) && take(&p.cells, args[7]) && take(&p.active, args[8]) &&
        make(&p.dgates, &p, &p.active, 4 * n) && make_plain(&p.dweight, 4 * n, n) &&
        make_plain(&p.dh, rows, n) && make_plain(&p.dc, rows, n) &&
        (p.past = rl_scratch(sizeof(float) * (size_t)(t * rows * n))) &&
        prepare(&p, 4 * n, n, false, p.few * (up(n, RL_NR) + n))) {
        RL_RELEASE_GIL(true)
        rl_parallel(tasks_of(&p), backward_task, &p);
        rl_blas_one_thread();
        rl_parallel_range(4 * n, up(n, 64), weight_task, &p);
        rl_blas_all_threads();
        RL_TAKE_GIL
        result = PyTuple_Pack(4, p.dgates.array, p.dweight.array, p.dh.array, p.dc.array);
    }
    release(&p);
    return result;
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
    {"lstm_sequence", "floating", lstm_sequence, NULL},
    {"lstm_sequence_backward", "floating", lstm_sequence_backward, NULL},
    {0},
};
