/* Running sums from the front and from the end, of float, double and int64.

   Along the last dimension a vector is summed within itself by doubling steps, then takes the sum
   before it; a long row is cut into pieces that are scanned on their own and raised by what stands
   before them.  Along other dimensions rows are added as vectors.  All by size only. */
#include "indexed.h"

#define PIECE (1 << 14)
#define COLUMNS 256

#if defined(__AVX512F__)
#define WIDTH 64
#elif defined(__AVX2__)
#define WIDTH 32
#else
#define WIDTH 16
#endif

typedef struct {
    const void *x;
    void *out, *carries;
    int type;
    bool reversed;
    int64_t n, inner, blocks; /* blocks of columns */
} scan;

#define LANES ((int)(WIDTH / sizeof(T)))
#define T float
#define V floats
#define M float_mask
#define F(name) name##_f32
typedef float floats __attribute__((vector_size(WIDTH)));
typedef int32_t float_mask __attribute__((vector_size(WIDTH)));
#include "scan_loops.h"
#undef T
#undef V
#undef M
#undef F
#define T double
#define V doubles
#define M double_mask
#define F(name) name##_f64
typedef double doubles __attribute__((vector_size(WIDTH)));
typedef int64_t double_mask __attribute__((vector_size(WIDTH)));
#include "scan_loops.h"
#undef T
#undef V
#undef F
#define T uint64_t
#define V words
#define F(name) name##_i64
typedef uint64_t words __attribute__((vector_size(WIDTH)));
#include "scan_loops.h"

#define BY_TYPE(type, call, ...)                                                                  \
    switch (type) {                                                                               \
        case NPY_FLOAT: call##_f32 __VA_ARGS__; break;                                            \
        case NPY_DOUBLE: call##_f64 __VA_ARGS__; break;                                           \
        default: call##_i64 __VA_ARGS__; break;                                                   \
    }

static void rows(void *context, int64_t begin, int64_t end) {
    const scan *s = context;
    BY_TYPE(s->type, rows, (s, begin, end))
}

static void columns(void *context, int64_t task) {
    const scan *s = context;
    int64_t first = task % s->blocks * COLUMNS, last = first + COLUMNS;
    if (last > s->inner) last = s->inner;
    BY_TYPE(s->type, columns, (s, task / s->blocks, first, last))
}

static void piece(void *context, int64_t begin, int64_t end) {
    const scan *s = context;
    BY_TYPE(s->type, piece, (s, begin, end))
}

static void raised(void *context, int64_t begin, int64_t end) {
    const scan *s = context;
    BY_TYPE(s->type, raise, (s, begin, end))
}

static PyObject *cumsum(const rl_call *c) {
    int64_t dim;
    if (c->count != 1 || rl_keywords(c) != 1 || !rl_int(c, "dim", &dim) ||
        !rl_is_array(c->args[0]) || !PyArray_IS_C_CONTIGUOUS(RL_ARRAY(c->args[0]))) {
        return RL_DECLINE;
    }
    PyArrayObject *x = RL_ARRAY(c->args[0]);
    int nd = PyArray_NDIM(x), type = PyArray_TYPE(x);
    int64_t total = PyArray_SIZE(x);
    if (!nd || dim < 0 || dim >= nd || !total ||
        (type != NPY_FLOAT && type != NPY_DOUBLE && type != NPY_INT64)) {
        return RL_DECLINE;
    }
    rl_around around = rl_around_dims(x, (int)dim, 1);
    int64_t pieces = (around.n + PIECE - 1) / PIECE;
    bool pieced = around.outer * around.inner == 1 && pieces > 1;
    PyObject *out = rl_empty(nd, PyArray_DIMS(x), type);
    if (!out) return NULL;
    scan s = {RL_DATA(x), RL_DATA(out), NULL, type, c->data != NULL, around.n, around.inner,
              (around.inner + COLUMNS - 1) / COLUMNS};
    if (pieced && !(s.carries = rl_scratch(sizeof(double) * (size_t)pieces))) {
        Py_DECREF(out);
        return NULL;
    }
    RL_RELEASE_GIL(total > 1 << 13)
    if (pieced) {
        rl_parallel_range(s.n, PIECE, piece, &s);
        BY_TYPE(type, carries, (&s, pieces))
        rl_parallel_range(s.n, PIECE, raised, &s);
    } else if (s.inner == 1) {
        if (total <= 1 << 14) rows(&s, 0, around.outer);
        else rl_parallel_range(around.outer, rl_grain(8 * s.n), rows, &s);
    } else if (total <= 1 << 14) {
        for (int64_t i = 0; i < around.outer * s.blocks; i++) columns(&s, i);
    } else {
        rl_parallel(around.outer * s.blocks, columns, &s);
    }
    RL_TAKE_GIL
    rl_scratch_free(s.carries);
    return out;
}

const rl_kernel rl_scan_kernels[] = {
    {"cumsum", "floating integer", cumsum, NULL},
    {"reverse_cumsum", "floating integer", cumsum, "reversed"},
    {0},
};
