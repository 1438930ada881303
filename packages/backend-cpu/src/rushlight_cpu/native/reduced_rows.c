/* Sums and softmax of 16-bit floats along the last axes: blocks are widened to float where they
   stay in the first cache, so that memory sees 16 bits only.  What this declines is widened as a
   whole (reduced.c). */
#include "reduced_rows.h"

#include "rl_half.h"
#include "rl_softmax.h"

#define T float
#define F(name) name##_f32
#include "rl_rows.h"
#undef T
#undef F

#define PIECE (1 << 16) /* elements of a row that one task sums */
#define BLOCK 4096      /* elements of the rows that softmax widens together */

static inline void widen(bool brain, const uint16_t *x, float *y, int64_t n) {
    if (brain) rl_f32_of_bf16(x, y, n);
    else rl_f32_of_f16(x, y, n);
}
static inline void narrow(bool brain, const float *x, uint16_t *y, int64_t n) {
    if (brain) rl_bf16_of_f32(x, y, n);
    else rl_f16_of_f32(x, y, n);
}

static bool is_dense_half(PyObject *x, int type) {
    return rl_is_dense(x, type) && (type == NPY_HALF || type == rl_bfloat16());
}

/* Sums */

typedef struct {
    bool brain;
    const uint16_t *x;
    int64_t n, pieces;
    double *sums; /* of each piece of each row */
} sums;

static void sum_pieces(void *context, int64_t begin, int64_t end) {
    const sums *s = context;
    _Alignas(64) float floats[ROW_BLOCK];
    for (int64_t i = begin; i < end; i++) {
        int64_t first = i % s->pieces * PIECE, left = s->n - first < PIECE ? s->n - first : PIECE;
        const uint16_t *x = s->x + i / s->pieces * s->n + first;
        double sum = 0;
        for (int64_t at = 0; at < left; at += ROW_BLOCK) {
            int64_t some = left - at < ROW_BLOCK ? left - at : ROW_BLOCK;
            widen(s->brain, x + at, floats, some);
            sum += block_sum_f32(floats, some);
        }
        s->sums[i] = sum;
    }
}

/* The shape of the result, and how many elements each sum has; false if others than the last axes
   are summed over. */
static bool last_axes(const rl_call *call, PyArrayObject *x, npy_intp *shape, int *left,
                      int64_t *n) {
    int64_t dims[RL_MAX_DIMS];
    bool keepdim, reduced[RL_MAX_DIMS] = {false};
    int nd = PyArray_NDIM(x), count = rl_ints(call, "dim", dims, RL_MAX_DIMS);
    if (count < 1 || !rl_bool(call, "keepdim", &keepdim)) return false;
    for (int i = 0; i < count; i++) {
        if (dims[i] < 0 || dims[i] >= nd) return false;
        reduced[dims[i]] = true;
    }
    bool last = true;
    *left = 0, *n = 1;
    for (int d = nd; d--;) {
        int64_t size = PyArray_DIM(x, d);
        if (!reduced[d] && size != 1) last = false;
        if (reduced[d] && size != 1 && !last) return false;
        if (reduced[d]) *n *= size;
    }
    for (int d = 0; d < nd; d++) {
        if (!reduced[d]) shape[(*left)++] = PyArray_DIM(x, d);
        else if (keepdim) shape[(*left)++] = 1;
    }
    return true;
}

PyObject *rl_sum_reduced(const rl_call *call) {
    npy_intp shape[RL_MAX_DIMS];
    int left;
    sums s;
    if (call->count != 1 || rl_keywords(call) != 2 || !rl_is_array(call->args[0])) {
        return RL_DECLINE;
    }
    PyArrayObject *x = RL_ARRAY(call->args[0]);
    int type = PyArray_TYPE(x);
    int64_t size = PyArray_SIZE(x);
    if (!size || !is_dense_half(call->args[0], type) || !last_axes(call, x, shape, &left, &s.n)) {
        return RL_DECLINE;
    }
    int64_t rows = size / s.n;
    s.brain = type != NPY_HALF, s.x = PyArray_DATA(x), s.pieces = (s.n + PIECE - 1) / PIECE;
    s.sums = rl_scratch(sizeof(double) * (size_t)(rows * s.pieces));
    PyObject *out = s.sums ? rl_empty(left, shape, type) : NULL;
    if (out) {
        int64_t each = s.n < PIECE ? s.n : PIECE;
        uint16_t *to = RL_DATA(out);
        RL_RELEASE_GIL(size > PIECE)
        rl_parallel_range(rows * s.pieces, PIECE / each, sum_pieces, &s);
        for (int64_t row = 0; row < rows; row++) {
            double sum = 0;
            for (int64_t i = 0; i < s.pieces; i++) sum += s.sums[row * s.pieces + i];
            float total = (float)(call->data ? sum / (double)s.n : sum);
            narrow(s.brain, &total, to + row, 1);
        }
        RL_TAKE_GIL
    }
    rl_scratch_free(s.sums);
    return out;
}

/* Softmax */

typedef struct {
    bool brain;
    const uint16_t *x, *g;
    uint16_t *out;
    int64_t n;
    int which;
} rows;

static void softmax_rows(void *context, int64_t begin, int64_t end) {
    const rows *r = context;
    _Alignas(64) float x[BLOCK], g[BLOCK], y[BLOCK];
    int64_t each = BLOCK / r->n;
    for (int64_t row = begin; row < end; row += each) {
        int64_t some = end - row < each ? end - row : each, at = row * r->n, size = some * r->n;
        widen(r->brain, r->x + at, x, size);
        if (r->g) widen(r->brain, r->g + at, g, size);
        /* Too few to release the GIL, which this thread does not hold. */
        rl_softmax_along(NPY_FLOAT, r->g ? g : NULL, x, y, some, r->n, 1, r->which, false);
        narrow(r->brain, y, r->out + at, size);
    }
}

PyObject *rl_softmax_reduced(const rl_call *call) {
    int which = (int)(intptr_t)call->data, count = which >= SOFTMAX_BACKWARD ? 2 : 1;
    int64_t dim;
    if (call->count != count || rl_keywords(call) != 1 || !rl_int(call, "dim", &dim) ||
        !rl_is_array(call->args[0])) {
        return RL_DECLINE;
    }
    PyArrayObject *x = RL_ARRAY(call->args[count - 1]), *g = RL_ARRAY(call->args[0]);
    int nd = PyArray_NDIM(g), type = PyArray_TYPE(g);
    if (!is_dense_half(call->args[0], type) || nd < 1 || (dim != nd - 1 && dim != -1) ||
        (count == 2 && (!is_dense_half(call->args[1], type) || !PyArray_SAMESHAPE(x, g)))) {
        return RL_DECLINE;
    }
    int64_t size = PyArray_SIZE(x), n = PyArray_DIM(x, nd - 1);
    if (!size || n > BLOCK) return RL_DECLINE;
    PyObject *out = rl_empty(nd, PyArray_DIMS(x), type);
    if (!out) return NULL;
    rows r = {type != NPY_HALF, PyArray_DATA(x), count == 2 ? PyArray_DATA(g) : NULL,
              RL_DATA(out), n, which};
    RL_RELEASE_GIL(size > BLOCK)
    rl_parallel_range(size / n, 4 * BLOCK / n, softmax_rows, &r);
    RL_TAKE_GIL
    return out;
}
