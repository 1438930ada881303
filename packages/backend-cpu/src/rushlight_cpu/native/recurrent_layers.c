/* LSTM, GRU and RNN layers of float32 over a whole sequence.

   The rows of a batch do not meet before the gradient of the weight.  So a task is a few rows
   through all steps, and threads never wait for each other between steps.  The weight is packed
   once, into panels of RL_NR columns that stay in the L2 cache. */
#include "large_product.h"
#include "recurrent_rows.h"
#include "rl.h"
#include "rl_strips.h"

#define CACHED (3 << 19)    /* bytes of a weight that stay in a core's cache */
#define ROWS RL_MR          /* of a task, if they do */
#define ROWS_OF_LARGE 32    /* ... if not: then it is to be read less often */

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/* An operand or result (steps, rows, columns), dense in the last axis; in floats. */
typedef struct {
    float *data;
    int64_t step, row;
    PyObject *array; /* new reference */
} sequence;

typedef struct layer layer;

typedef struct {
    int gates;
    bool apart; /* the hidden state's share of the sums begins with a bias, not with `gates` */
    /* One row of a step, from the sums and the states before it. */
    void (*forward)(const layer *p, int64_t t, int64_t row, const float *sums, const float *h,
                    const float *c);
    /* `g` is the gradient of the new hidden state; what of it reaches the old one directly
       replaces it. `dsums` is where the gradient of the hidden state's share goes. */
    void (*backward)(const layer *p, int64_t t, int64_t row, float *g, float *dc, const float *h,
                     const float *c, float *dsums);
} cell;

struct layer {
    const cell *kind;
    bool reverse, relu;
    int64_t steps, rows, width, few; /* `few` rows in a task */
    const float *packed;             /* the weight */
    float *room;                     /* `room_size` floats for each task */
    int64_t room_size;
    sequence gates, out, cells, active, shares, g, gc, weight, bias, h, c;
    sequence dgates, dweight, dbias, dh, dc;
    /* Rows as in dgates: gradients of the hidden state's share of the sums (those of all, if it
       does not stand apart), and the hidden states before each step. */
    float *dsums, *past;
};

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
static bool make(sequence *x, const layer *p, const sequence *like, int64_t columns) {
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

static void release(layer *p) {
    sequence *all[] = {&p->gates, &p->out, &p->cells, &p->active, &p->shares, &p->g,
                       &p->gc, &p->weight, &p->bias, &p->h, &p->c, &p->dgates,
                       &p->dweight, &p->dbias, &p->dh, &p->dc};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) Py_CLEAR(all[i]->array);
    if (p->kind->apart) rl_scratch_free(p->dsums);
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

static void cut(layer *p) {
    p->few = 4 * p->kind->gates * p->width * p->width > CACHED ? ROWS_OF_LARGE : ROWS;
}

static int64_t tasks_of(const layer *p) { return (p->rows + p->few - 1) / p->few; }

typedef struct {
    const layer *p;
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

static bool prepare(layer *p, int64_t depth, int64_t columns, bool turned, int64_t room) {
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
static void times_weight(const layer *p, int64_t rows, int64_t depth, int64_t columns,
                         const float *a, int64_t lda, float *c, int64_t ldc, bool add) {
    for (int64_t j = 0; j < columns; j += RL_NR) {
        rl_strip_rows(rows, depth, a, lda, p->packed + j * depth, RL_NR, c + j, ldc, add);
    }
}

/* Kinds of cells */

static void lstm_forward(const layer *p, int64_t t, int64_t row, const float *sums, const float *h,
                         const float *c) {
    (void)h;
    lstm_row(p->width, sums, c, at(&p->out, t, row), at(&p->cells, t, row), at(&p->active, t, row));
}
static void lstm_backward(const layer *p, int64_t t, int64_t row, float *g, float *dc,
                          const float *h, const float *c, float *dsums) {
    (void)h;
    if (p->gc.array) {
        const float *gc = at(&p->gc, t, row);
        for (int64_t j = 0; j < p->width; j++) dc[j] += gc[j];
    }
    lstm_row_backward(p->width, g, dc, c, at(&p->cells, t, row), at(&p->active, t, row), dsums, dc);
}
static const cell lstm = {4, false, lstm_forward, lstm_backward};

static void gru_forward(const layer *p, int64_t t, int64_t row, const float *sums, const float *h,
                        const float *c) {
    (void)c;
    gru_row(p->width, at(&p->gates, t, row), sums, h, at(&p->out, t, row), at(&p->active, t, row));
    memcpy(at(&p->shares, t, row), sums + 2 * p->width, sizeof(float) * (size_t)p->width);
}
static void gru_backward(const layer *p, int64_t t, int64_t row, float *g, float *dc,
                         const float *h, const float *c, float *dsums) {
    (void)c, (void)dc;
    gru_row_backward(p->width, g, at(&p->shares, t, row), h, at(&p->active, t, row),
                     at(&p->dgates, t, row), dsums, g);
}
static const cell gru = {3, true, gru_forward, gru_backward};

static void rnn_forward(const layer *p, int64_t t, int64_t row, const float *sums, const float *h,
                        const float *c) {
    (void)h, (void)c;
    rnn_row(p->width, p->relu, sums, at(&p->out, t, row));
}
static void rnn_backward(const layer *p, int64_t t, int64_t row, float *g, float *dc,
                         const float *h, const float *c, float *dsums) {
    (void)h, (void)c, (void)dc;
    rnn_row_backward(p->width, p->relu, g, at(&p->out, t, row), dsums);
}
static const cell rnn = {1, false, rnn_forward, rnn_backward};

/* Forward */

static void forward_task(void *context, int64_t task) {
    const layer *p = context;
    int64_t first = task * p->few, rows = least(p->few, p->rows - first);
    int64_t gates = p->kind->gates * p->width, wide = up(gates, RL_NR);
    float *sums = p->room + task * p->room_size;
    memset(sums, 0, sizeof(float) * (size_t)(rows * wide));
    sequence h = p->h, c = p->c;
    for (int64_t s = 0, past = 0; s < p->steps; s++) {
        int64_t t = p->reverse ? p->steps - 1 - s : s;
        for (int64_t r = 0; r < rows; r++) {
            const float *from = p->kind->apart ? p->bias.data : at(&p->gates, t, first + r);
            memcpy(sums + r * wide, from, sizeof(float) * (size_t)gates);
        }
        times_weight(p, rows, p->width, gates, at(&h, past, first), h.row, sums, wide, true);
        for (int64_t r = 0; r < rows; r++) {
            p->kind->forward(p, t, first + r, sums + r * wide, at(&h, past, first + r),
                             c.data ? at(&c, past, first + r) : NULL);
        }
        h = p->out, c = p->cells, past = t;
    }
}

/* Sizes from the gates and the first hidden state, and whether they and the weight fit them. */
static bool fits(layer *p, PyObject *gates, PyObject *weight, PyObject *h) {
    if (!rl_is_array(gates) || PyArray_NDIM(RL_ARRAY(gates)) != 3 || !rl_is_array(h) ||
        PyArray_NDIM(RL_ARRAY(h)) != 2) {
        return false;
    }
    int64_t t = p->steps = PyArray_DIM(RL_ARRAY(gates), 0);
    int64_t rows = p->rows = PyArray_DIM(RL_ARRAY(gates), 1);
    int64_t n = p->width = PyArray_DIM(RL_ARRAY(h), 1), all = p->kind->gates * n;
    cut(p);
    return t && rows && n && shaped(gates, 3, t, rows, all) && shaped(weight, 2, 0, all, n) &&
           shaped(h, 2, 0, rows, n);
}

static bool walk_forward(layer *p) {
    int64_t gates = p->kind->gates * p->width;
    if (!make(&p->out, p, &p->gates, p->width) ||
        !prepare(p, p->width, gates, true, p->few * up(gates, RL_NR))) {
        return false;
    }
    RL_RELEASE_GIL(true)
    rl_parallel(tasks_of(p), forward_task, p);
    RL_TAKE_GIL
    return true;
}

static PyObject *lstm_sequence(const rl_call *call) {
    layer p = {.kind = &lstm};
    PyObject *const *args = call->args, *result = NULL; /* gates, weight, h, c */
    if (call->count != 4 || rl_keywords(call) != 1 || !rl_bool(call, "reverse", &p.reverse) ||
        !fits(&p, args[0], args[1], args[2]) || !shaped(args[3], 2, 0, p.rows, p.width)) {
        return RL_DECLINE;
    }
    if (take(&p.gates, args[0]) && take(&p.weight, args[1]) && take(&p.h, args[2]) &&
        take(&p.c, args[3]) && make(&p.cells, &p, &p.gates, p.width) &&
        make(&p.active, &p, &p.gates, 4 * p.width) && walk_forward(&p)) {
        result = PyTuple_Pack(3, p.out.array, p.cells.array, p.active.array);
    }
    release(&p);
    return result;
}

/* A bias as a matrix of one row. */
static bool take_bias(layer *p, PyObject *bias) {
    npy_intp sizes[2] = {1, PyArray_DIM(RL_ARRAY(bias), 0)};
    PyArray_Dims shape = {sizes, 2};
    PyObject *row = PyArray_Newshape(RL_ARRAY(bias), &shape, NPY_CORDER);
    bool taken = row && take(&p->bias, row);
    Py_XDECREF(row);
    return taken;
}

static bool is_bias(PyObject *x, int64_t n) {
    return rl_is_array(x) && PyArray_TYPE(RL_ARRAY(x)) == NPY_FLOAT &&
           PyArray_NDIM(RL_ARRAY(x)) == 1 && PyArray_DIM(RL_ARRAY(x), 0) == n;
}

static PyObject *gru_sequence(const rl_call *call) {
    layer p = {.kind = &gru};
    PyObject *const *args = call->args, *result = NULL; /* gates, weight, bias, h */
    if (call->count != 4 || rl_keywords(call) != 1 || !rl_bool(call, "reverse", &p.reverse) ||
        !fits(&p, args[0], args[1], args[3]) || !is_bias(args[2], 3 * p.width)) {
        return RL_DECLINE;
    }
    if (take(&p.gates, args[0]) && take(&p.weight, args[1]) && take_bias(&p, args[2]) &&
        take(&p.h, args[3]) && make(&p.active, &p, &p.gates, 3 * p.width) &&
        make(&p.shares, &p, &p.gates, p.width) && walk_forward(&p)) {
        result = PyTuple_Pack(3, p.out.array, p.active.array, p.shares.array);
    }
    release(&p);
    return result;
}

static PyObject *rnn_sequence(const rl_call *call) {
    layer p = {.kind = &rnn};
    PyObject *const *args = call->args, *result = NULL; /* gates, weight, h */
    if (call->count != 3 || rl_keywords(call) != 2 || !rl_bool(call, "reverse", &p.reverse) ||
        !rl_bool(call, "relu", &p.relu) || !fits(&p, args[0], args[1], args[2])) {
        return RL_DECLINE;
    }
    if (take(&p.gates, args[0]) && take(&p.weight, args[1]) && take(&p.h, args[2]) &&
        walk_forward(&p)) {
        result = Py_NewRef(p.out.array);
    }
    release(&p);
    return result;
}

/* Backward */

static void backward_task(void *context, int64_t task) {
    const layer *p = context;
    int64_t n = p->width, first = task * p->few, rows = least(p->few, p->rows - first);
    int64_t wide = up(n, RL_NR);
    float *gh = p->room + task * p->room_size, *dc = gh + p->few * wide;
    memset(gh, 0, sizeof(float) * (size_t)(p->few * (wide + n)));
    for (int64_t s = p->steps - 1; s >= 0; s--) {
        int64_t t = p->reverse ? p->steps - 1 - s : s, before = p->reverse ? t + 1 : t - 1;
        const sequence *h = s ? &p->out : &p->h, *c = s ? &p->cells : &p->c;
        float *dsums = p->dsums + (at(&p->dgates, t, first) - p->dgates.data);
        for (int64_t r = 0; r < rows; r++) {
            int64_t row = first + r, place = r * p->dgates.row;
            const float *g = at(&p->g, t, row), *old = at(h, before, row);
            float *sum = gh + r * wide;
            for (int64_t j = 0; j < n; j++) sum[j] += g[j];
            p->kind->backward(p, t, row, sum, dc + r * n, old,
                              c->data ? at(c, before, row) : NULL, dsums + place);
            memcpy(p->past + (dsums + place - p->dsums) / p->kind->gates, old,
                   sizeof(float) * (size_t)n);
        }
        times_weight(p, rows, p->kind->gates * n, n, dsums, p->dgates.row, gh, wide,
                     p->kind->apart);
    }
    for (int64_t r = 0; r < rows; r++) {
        memcpy(at(&p->dh, 0, first + r), gh + r * wide, sizeof(float) * (size_t)n);
        if (p->dc.array) memcpy(at(&p->dc, 0, first + r), dc + r * n, sizeof(float) * (size_t)n);
    }
}

/* The gradient of rows of the weight: of all steps in one product. */
static void weight_task(void *context, int64_t begin, int64_t end) {
    const layer *p = context;
    rl_sgemm(true, false, end - begin, p->width, p->steps * p->rows, 1, p->dsums + begin,
             p->kind->gates * p->width, p->past, p->width, 0, at(&p->dweight, 0, begin), p->width);
}

/* That of the bias: sums of columns. */
static void bias_task(void *context, int64_t begin, int64_t end) {
    const layer *p = context;
    float *to = p->dbias.data;
    memset(to + begin, 0, sizeof(float) * (size_t)(end - begin));
    for (int64_t row = 0; row < p->steps * p->rows; row++) {
        const float *from = p->dsums + row * p->kind->gates * p->width;
        for (int64_t j = begin; j < end; j++) to[j] += from[j];
    }
}

static bool walk_backward(layer *p) {
    int64_t n = p->width, all = p->kind->gates * n, count = p->steps * p->rows;
    if (!make(&p->dgates, p, p->active.array ? &p->active : &p->out, all) ||
        !make_plain(&p->dweight, all, n) || !make_plain(&p->dh, p->rows, n) ||
        !(p->past = rl_scratch(sizeof(float) * (size_t)(count * n)))) {
        return false;
    }
    p->dsums = p->kind->apart ? rl_scratch(sizeof(float) * (size_t)(count * all)) : p->dgates.data;
    if (!p->dsums || !prepare(p, all, n, false, p->few * (up(n, RL_NR) + n))) return false;
    bool large = rl_is_large_product(all, n, count);
    RL_RELEASE_GIL(true)
    rl_parallel(tasks_of(p), backward_task, p);
    if (p->dbias.array) rl_parallel_range(all, 64, bias_task, p);
    if (!large) {
        rl_blas_one_thread();
        rl_parallel_range(all, up(n, 64), weight_task, p);
        rl_blas_all_threads();
    }
    RL_TAKE_GIL
    rl_large_product weight = {all, n, count, p->dsums, p->past, all, n, true, false,
                               p->dweight.data, n, NULL, 0};
    return !large || rl_multiply_large(&weight);
}

/* Whether an operand is absent, or a sequence of the layer. */
static bool is_states(const layer *p, PyObject *x, bool may_miss) {
    return (may_miss && x == Py_None) || shaped(x, 3, p->steps, p->rows, p->width);
}

static PyObject *lstm_sequence_backward(const rl_call *call) {
    layer p = {.kind = &lstm};
    PyObject *const *args = call->args, *result = NULL;
    /* g, gc, ga, weight, h, c, out, cells, active */
    if (call->count != 9 || rl_keywords(call) != 1 || !rl_bool(call, "reverse", &p.reverse) ||
        args[2] != Py_None || !rl_has_blas() || !fits(&p, args[8], args[3], args[4]) ||
        !is_states(&p, args[0], false) || !is_states(&p, args[1], true) ||
        !shaped(args[5], 2, 0, p.rows, p.width) || !is_states(&p, args[6], false) ||
        !is_states(&p, args[7], false)) {
        return RL_DECLINE;
    }
    if (take(&p.g, args[0]) && (args[1] == Py_None || take(&p.gc, args[1])) &&
        take(&p.weight, args[3]) && take(&p.h, args[4]) && take(&p.c, args[5]) &&
        take(&p.out, args[6]) && take(&p.cells, args[7]) && take(&p.active, args[8]) &&
        make_plain(&p.dc, p.rows, p.width) && walk_backward(&p)) {
        result = PyTuple_Pack(4, p.dgates.array, p.dweight.array, p.dh.array, p.dc.array);
    }
    release(&p);
    return result;
}

static PyObject *gru_sequence_backward(const rl_call *call) {
    layer p = {.kind = &gru};
    PyObject *const *args = call->args, *result = NULL;
    /* g, ga, gs, weight, bias, h, out, active, shares */
    if (call->count != 9 || rl_keywords(call) != 1 || !rl_bool(call, "reverse", &p.reverse) ||
        args[1] != Py_None || args[2] != Py_None || !rl_has_blas() ||
        !fits(&p, args[7], args[3], args[5]) || !is_states(&p, args[0], false) ||
        !is_bias(args[4], 3 * p.width) || !is_states(&p, args[6], false) ||
        !is_states(&p, args[8], false)) {
        return RL_DECLINE;
    }
    if (take(&p.g, args[0]) && take(&p.weight, args[3]) && take(&p.h, args[5]) &&
        take(&p.out, args[6]) && take(&p.active, args[7]) && take(&p.shares, args[8]) &&
        make_plain(&p.dbias, 1, 3 * p.width) && walk_backward(&p)) {
        npy_intp size = 3 * p.width;
        PyArray_Dims shape = {&size, 1};
        PyObject *dbias = PyArray_Newshape(RL_ARRAY(p.dbias.array), &shape, NPY_CORDER);
        if (dbias) {
            result = PyTuple_Pack(4, p.dgates.array, p.dweight.array, dbias, p.dh.array);
            Py_DECREF(dbias);
        }
    }
    release(&p);
    return result;
}

static PyObject *rnn_sequence_backward(const rl_call *call) {
    layer p = {.kind = &rnn};
    PyObject *const *args = call->args, *result = NULL; /* g, weight, h, out */
    if (call->count != 4 || rl_keywords(call) != 2 || !rl_bool(call, "reverse", &p.reverse) ||
        !rl_bool(call, "relu", &p.relu) || !rl_has_blas() ||
        !fits(&p, args[3], args[1], args[2]) || !is_states(&p, args[0], false)) {
        return RL_DECLINE;
    }
    if (take(&p.g, args[0]) && take(&p.weight, args[1]) && take(&p.h, args[2]) &&
        take(&p.out, args[3]) && walk_backward(&p)) {
        result = PyTuple_Pack(3, p.dgates.array, p.dweight.array, p.dh.array);
    }
    release(&p);
    return result;
}

const rl_kernel rl_recurrent_layer_kernels[] = {
    {"lstm_sequence", "floating", lstm_sequence, NULL},
    {"lstm_sequence_backward", "floating", lstm_sequence_backward, NULL},
    {"gru_sequence", "floating", gru_sequence, NULL},
    {"gru_sequence_backward", "floating", gru_sequence_backward, NULL},
    {"rnn_sequence", "floating", rnn_sequence, NULL},
    {"rnn_sequence_backward", "floating", rnn_sequence_backward, NULL},
    {0},
};
