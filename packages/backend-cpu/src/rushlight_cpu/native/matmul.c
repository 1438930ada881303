/* Products of matrices: BLAS on one thread for each tile of a result, the tiles on our pool.

   BLAS's own threads are not used: they spin beside ours, cannot share a stack of small products,
   and wait for a core that another program has.  Tiles are cut by sizes only, so that the number
   of threads changes no bit.  A few rows times a matrix, where BLAS would pack the matrix to use
   it once, read it where it lies.

   Vectors, and what is empty, go to NumPy. */
#include "large_product.h"
#include "rl.h"
#include "rl_strips.h"

#define DIRECT (1 << 18)    /* multiplications not worth a second thread */
#define TILE_WORK (1 << 22) /* multiplications a tile should have */
#define STACK_WORK (1 << 20)
#define FEW_ROWS 8
#define FEW_DIRECT (1 << 16) /* ... where a few rows meet a matrix, which memory has to deliver */
#define FEW_WORK (1 << 15)

typedef struct {
    const char *data;
    int64_t ld;     /* elements */
    bool turned;    /* stored as its transpose */
    PyObject *kept; /* new reference to the array, or its copy */
} matrix;

typedef struct {
    bool is_double;
    int64_t count, m, n, k; /* `count` products m x k by k x n */
    matrix a, b;
    char *c;
    const int64_t *offsets_a, *offsets_b; /* in bytes, of each product; NULL for one product */
    double alpha;
    /* What is added: a row (step 0) or a matrix, its steps in bytes; NULL for nothing. */
    const char *start;
    int64_t start_row, start_column;
    double beta;
    int64_t tile_m, tile_n, down, across; /* tiles of a result */
} product;

/* The matrix in the last two axes of an array, which is copied if BLAS cannot read it. */
static bool take_matrix(matrix *x, PyObject *array, int item) {
    for (int tries = 0;; tries++) {
        PyArrayObject *a = RL_ARRAY(array);
        int d = PyArray_NDIM(a);
        int64_t rows = PyArray_DIM(a, d - 2), columns = PyArray_DIM(a, d - 1);
        int64_t down = PyArray_STRIDE(a, d - 2), along = PyArray_STRIDE(a, d - 1);
        if (rows == 1) down = along == item ? columns * item : item;
        if (columns == 1) along = item;
        x->data = PyArray_DATA(a);
        x->kept = tries ? array : Py_NewRef(array);
        if (along == item && down >= columns * item && down % item == 0) {
            x->ld = down / item, x->turned = false;
            return true;
        }
        if (down == item && along >= rows * item && along % item == 0) {
            x->ld = along / item, x->turned = true;
            return true;
        }
        Py_CLEAR(x->kept);
        array = PyArray_NewCopy(a, NPY_CORDER);
        if (!array) return false;
    }
}

static inline float *at(const product *p, int64_t which, int64_t i, int64_t j) {
    size_t item = p->is_double ? 8 : 4;
    return (float *)(p->c + (size_t)(which * p->m * p->n + i * p->n + j) * item);
}

static inline const char *place(const product *p, const matrix *x, const int64_t *offsets,
                                int64_t which, int64_t row, int64_t column) {
    int64_t item = p->is_double ? 8 : 4;
    return x->data + (offsets ? offsets[which] : 0) +
           (x->turned ? column * x->ld + row : row * x->ld + column) * item;
}

/* Writes beta * start into a tile. */
static void begin_tile(const product *p, char *c, int64_t i, int64_t j, int64_t rows,
                       int64_t columns) {
    const char *from = p->start + i * p->start_row + j * p->start_column;
    for (int64_t r = 0; r < rows; r++, from += p->start_row) {
        if (p->is_double) {
            double *to = (double *)c + r * p->n;
            for (int64_t s = 0; s < columns; s++) {
                to[s] = p->beta * *(const double *)(from + s * p->start_column);
            }
        } else {
            float *to = (float *)c + r * p->n, beta = (float)p->beta;
            if (p->start_column == sizeof(float)) {
                const float *row = (const float *)from;
                for (int64_t s = 0; s < columns; s++) to[s] = beta * row[s];
                continue;
            }
            for (int64_t s = 0; s < columns; s++) {
                to[s] = beta * *(const float *)(from + s * p->start_column);
            }
        }
    }
}

/* Small tiles: BLAS spends much of its time around them, so b is packed a strip at a time into the
   first-level cache and a is read where it lies. */

#if defined(__FMA__)
#define STRIP_DEPTH 128 /* rows of a packed strip of b */
#define SMALL_SIDE 256  /* rows and columns of a tile */
#define SMALL_DEPTH 512
RL_STRIP_FUNCTION(rl_strip_columns_1, 1, true)
RL_STRIP_FUNCTION(rl_strip_columns_2, 2, true)

static bool is_small(const product *p, int64_t rows, int64_t columns) {
    return !p->is_double && p->alpha == 1 && columns % RL_LANES == 0 && columns <= SMALL_SIDE &&
           rows >= 32 && rows <= SMALL_SIDE && p->k >= 16 && p->k <= SMALL_DEPTH;
}

static void small_tile(const product *p, const float *a, const float *b, float *c, int64_t rows,
                       int64_t columns) {
    _Alignas(64) float strip[STRIP_DEPTH * RL_NR];
    for (int64_t k = 0; k < p->k; k += STRIP_DEPTH) {
        int64_t depth = p->k - k < STRIP_DEPTH ? p->k - k : STRIP_DEPTH;
        bool add = k || p->start;
        const float *from = a + (p->a.turned ? k * p->a.ld : k);
        for (int64_t j = 0; j < columns;) {
            int64_t width = rl_strip_width(columns - j), nv = width / RL_LANES;
            const float *columns_at = b + (p->b.turned ? j * p->b.ld + k : k * p->b.ld + j);
            rl_pack_columns(true, strip, columns_at, p->b.ld, p->b.turned, depth, width);
            (p->a.turned
                 ? nv == 3 ? rl_strip_columns : nv == 2 ? rl_strip_columns_2 : rl_strip_columns_1
             : nv == 3 ? rl_strip_rows
             : nv == 2 ? rl_strip_rows_2
                       : rl_strip_rows_1)(rows, depth, from, p->a.ld, strip, width, c + j, p->n,
                                          add);
            j += width;
        }
    }
}
#endif

static void one_tile(const product *p, int64_t which, int64_t i, int64_t j, int64_t rows,
                      int64_t columns) {
    float *c = at(p, which, i, j);
    const char *a = place(p, &p->a, p->offsets_a, which, i, 0);
    const char *b = place(p, &p->b, p->offsets_b, which, 0, j);
    if (p->start) begin_tile(p, (char *)c, i, j, rows, columns);
#if defined(__FMA__)
    if (is_small(p, rows, columns)) {
        small_tile(p, (const float *)a, (const float *)b, c, rows, columns);
        return;
    }
#endif
    double beta = p->start ? 1 : 0;
    if (p->is_double) {
        rl_dgemm(p->a.turned, p->b.turned, rows, columns, p->k, p->alpha, (const double *)a,
                 p->a.ld, (const double *)b, p->b.ld, beta, (double *)c, p->n);
    } else {
        rl_sgemm(p->a.turned, p->b.turned, rows, columns, p->k, (float)p->alpha, (const float *)a,
                 p->a.ld, (const float *)b, p->b.ld, (float)beta, c, p->n);
    }
}

/* A few rows */

static inline float sum_of(rl_vector v) {
    float lanes[RL_LANES];
    rl_store(lanes, v);
    for (int width = RL_LANES / 2; width; width /= 2) {
        for (int j = 0; j < width; j++) lanes[j] += lanes[j + width];
    }
    return lanes[0];
}

/* Dot products of `rows` rows of a with rows [j, j + columns) of the transposed b. */
static void few_dots(const product *p, const float *a, const float *b, float *c, int64_t columns,
                     bool add) {
    for (int64_t j = 0; j < columns; j += 2) {
        int some = columns - j < 2 ? 1 : 2;
        const float *w[2] = {b + j * p->b.ld, b + (j + some - 1) * p->b.ld};
        /* The processor foresees no further than the end of a page: ask for the next rows. */
        int64_t ahead = columns - j >= 4 ? 2 * p->b.ld : 0;
        for (int64_t i = 0; i < p->m; i++) {
            const float *x = a + i * p->a.ld;
            rl_vector sums[2][4] = {0};
            int64_t k = 0;
            for (; p->k - k >= 4 * RL_LANES; k += 4 * RL_LANES) {
                _Pragma("GCC unroll 4") for (int v = 0; v < 4; v++) {
                    rl_vector part = rl_load(x + k + v * RL_LANES);
                    _Pragma("GCC unroll 2") for (int l = 0; l < 2; l++) {
                        const float *from = w[l] + k + v * RL_LANES;
                        sums[l][v] += part * rl_load(from);
                        __builtin_prefetch(from + ahead);
                    }
                }
            }
            for (int l = 0; l < some; l++) {
                float sum = sum_of((sums[l][0] + sums[l][1]) + (sums[l][2] + sums[l][3]));
                for (int64_t r = k; r < p->k; r++) sum += x[r] * w[l][r];
                float *to = c + i * p->n + j + l;
                *to = (add ? *to : 0) + (float)p->alpha * sum;
            }
        }
    }
}

static void few_columns(void *context, int64_t begin, int64_t end) {
    const product *p = context;
    float *c = at(p, 0, 0, begin);
    const float *a = (const float *)p->a.data;
    const float *b = (const float *)place(p, &p->b, NULL, 0, 0, begin);
    int64_t columns = end - begin;
    bool add = p->start != NULL;
    if (add) begin_tile(p, (char *)c, 0, begin, p->m, columns);
    if (p->b.turned) {
        few_dots(p, a, b, c, columns, add);
        return;
    }
    int64_t j = 0;
    for (; columns - j >= RL_NR; j += RL_NR) {
        rl_strip_rows(p->m, p->k, a, p->a.ld, b + j, p->b.ld, c + j, p->n, add);
    }
    for (; columns - j >= RL_LANES; j += RL_LANES) {
        rl_strip_rows_1(p->m, p->k, a, p->a.ld, b + j, p->b.ld, c + j, p->n, add);
    }
    for (; j < columns; j++) {
        for (int64_t i = 0; i < p->m; i++) {
            float sum = 0;
            for (int64_t k = 0; k < p->k; k++) sum += a[i * p->a.ld + k] * b[k * p->b.ld + j];
            c[i * p->n + j] = (add ? c[i * p->n + j] : 0) + sum;
        }
    }
}

/* Tiles */

static void tiles(void *context, int64_t begin, int64_t end) {
    const product *p = context;
    int64_t each = p->down * p->across;
    for (int64_t t = begin; t < end; t++) {
        int64_t i = t % each / p->across * p->tile_m, j = t % p->across * p->tile_n;
        int64_t rows = p->m - i < p->tile_m ? p->m - i : p->tile_m;
        int64_t columns = p->n - j < p->tile_n ? p->n - j : p->tile_n;
        one_tile(p, t / each, i, j, rows, columns);
    }
}

/* Half of n, in whole vectors. */
static inline int64_t half(int64_t n) { return (n / 2 + 15) / 16 * 16; }

static void cut(product *p, double work) {
    double wanted = work / TILE_WORK;
    /* Large tiles are better, for BLAS packs the operands of each; but many cores want work. */
    double most = work > 4096.0 * TILE_WORK ? 64 : work > 1024.0 * TILE_WORK ? 16 : 4;
    if (wanted > most) wanted = most;
    p->tile_m = p->m, p->tile_n = p->n;
    p->down = p->across = 1;
    if (p->count >= 8 || work <= DIRECT) return;
    if (wanted < 2) wanted = 2;
    while ((double)(p->down * p->across * p->count) < wanted) {
        bool rows = p->tile_m > p->tile_n; /* else columns: every tile packs its part of b */
        if ((rows ? p->tile_m : p->tile_n) < 64) return;
        if (rows) p->tile_m = half(p->tile_m);
        else p->tile_n = half(p->tile_n);
        p->down = (p->m + p->tile_m - 1) / p->tile_m;
        p->across = (p->n + p->tile_n - 1) / p->tile_n;
    }
}

/* The product for large_product.c, or false if that is not for it. */
static bool as_large(const product *p, rl_large_product *q) {
    if (p->count > 1 || p->is_double || p->alpha != 1 || !rl_is_large_product(p->m, p->n, p->k)) {
        return false;
    }
    if (p->start && (p->start_column != sizeof(float) || p->beta != 1 ||
                     p->start_row % (int64_t)sizeof(float))) {
        return false;
    }
    *q = (rl_large_product){p->m, p->n, p->k,
                             (const float *)p->a.data, (const float *)p->b.data, p->a.ld, p->b.ld,
                             p->a.turned, p->b.turned, (float *)p->c, p->n,
                             (const float *)p->start, p->start_row / (int64_t)sizeof(float)};
    return true;
}

/* False with an error set. */
static bool multiply(product *p) {
    double one = (double)p->m * (double)p->n * (double)p->k, work = one * (double)p->count;
    if (p->count == 1 && !p->is_double && p->m <= FEW_ROWS && !p->a.turned &&
        (p->b.turned || p->alpha == 1)) {
        int64_t unit = p->b.turned ? 16 : RL_NR; /* columns */
        int64_t grain = work > FEW_DIRECT ? FEW_WORK / (p->m * p->k) / unit * unit : p->n;
        RL_RELEASE_GIL(work > DIRECT)
        rl_parallel_range(p->n, grain < unit ? unit : grain, few_columns, p);
        RL_TAKE_GIL
        return true;
    }
    if (work <= DIRECT) {
        for (int64_t i = 0; i < p->count; i++) one_tile(p, i, 0, 0, p->m, p->n);
        return true;
    }
    rl_large_product large;
    if (as_large(p, &large)) return rl_multiply_large(&large);
    cut(p, work);
    int64_t grain = one < STACK_WORK ? 1 + (int64_t)(STACK_WORK / one) : 1;
    RL_RELEASE_GIL(true)
    rl_blas_one_thread();
    rl_parallel_range(p->count * p->down * p->across, grain, tiles, p);
    rl_blas_all_threads();
    RL_TAKE_GIL
    return true;
}

/* Calls */

static int type_of(PyObject *x) {
    int type = rl_is_array(x) ? PyArray_TYPE(RL_ARRAY(x)) : -1;
    return type == NPY_FLOAT || type == NPY_DOUBLE ? type : -1;
}

/* Byte offsets of the matrices of an array whose axes before them broadcast to `shape`. */
static void place_matrices(int64_t *offsets, PyArrayObject *a, int lead, const npy_intp *shape,
                           int64_t count) {
    int64_t steps[RL_MAX_DIMS], index[RL_MAX_DIMS] = {0}, offset = 0;
    int missing = lead - (PyArray_NDIM(a) - 2);
    for (int d = 0; d < lead; d++) {
        steps[d] = d < missing || PyArray_DIM(a, d - missing) == 1 ? 0
                                                                   : PyArray_STRIDE(a, d - missing);
    }
    for (int64_t i = 0; i < count; i++) {
        offsets[i] = offset;
        for (int d = lead; d--;) {
            offset += steps[d];
            if (++index[d] < shape[d]) break;
            offset -= steps[d] * shape[d];
            index[d] = 0;
        }
    }
}

static void drop(product *p) {
    Py_XDECREF(p->a.kept);
    Py_XDECREF(p->b.kept);
}

/* The axes before the last, outermost in memory first. */
static void lead_order(PyArrayObject *a, int *order) {
    int lead = PyArray_NDIM(a) - 1;
    for (int i = 0; i < lead; i++) {
        int j = i;
        for (; j && PyArray_STRIDE(a, order[j - 1]) < PyArray_STRIDE(a, i); j--) {
            order[j] = order[j - 1];
        }
        order[j] = i;
    }
    order[lead] = lead;
}

/* Whether the rows of (..., columns), taken in an order of the axes, are a constant step apart. */
static bool folds(matrix *x, PyArrayObject *a, const int *order, int item) {
    int d = PyArray_NDIM(a), last = -1;
    int64_t columns = PyArray_DIM(a, d - 1), step = columns * item;
    for (int i = d - 2; i >= 0; i--) {
        int axis = order[i];
        if (PyArray_DIM(a, axis) == 1) continue;
        if (last < 0) step = PyArray_STRIDE(a, axis);
        else if (PyArray_STRIDE(a, axis) != PyArray_STRIDE(a, last) * PyArray_DIM(a, last)) {
            return false;
        }
        last = axis;
    }
    x->data = PyArray_DATA(a);
    x->ld = step / item;
    x->turned = false;
    return (columns == 1 || PyArray_STRIDE(a, d - 1) == item) && step >= columns * item &&
           step % item == 0;
}

/* (..., m, k) times (k, n) as one product of a tall matrix.  The result is row-major, as programs
   that take views of it expect.  `y` is read as its transpose where `turn`. */
static PyObject *tall(product *p, PyObject *x, PyObject *y, bool turn, int type) {
    PyArrayObject *a = RL_ARRAY(x), *b = RL_ARRAY(y);
    int d = PyArray_NDIM(a), item = type == NPY_DOUBLE ? 8 : 4, order[RL_MAX_DIMS];
    npy_intp shape[RL_MAX_DIMS];
    memcpy(shape, PyArray_DIMS(a), sizeof(npy_intp) * (size_t)d);
    p->k = shape[d - 1];
    p->n = PyArray_DIM(b, turn ? 0 : 1);
    p->m = 1, p->count = 1;
    for (int i = 0; i < d - 1; i++) p->m *= shape[i];
    shape[d - 1] = p->n;
    if (!p->m || !p->n || !p->k) return RL_DECLINE;
    if ((p->m == 1 && p->is_double) || (p->n == 1 && p->m > FEW_ROWS)) return RL_DECLINE;
    for (int i = 0; i < d; i++) order[i] = i;
    if (d == 2) {
        if (!take_matrix(&p->a, x, item)) return NULL;
    } else if (folds(&p->a, a, order, item)) {
        p->a.kept = Py_NewRef(x);
    } else {
        p->a.kept = PyArray_NewCopy(a, NPY_CORDER);
        if (!p->a.kept) return NULL;
        p->a.data = RL_DATA(p->a.kept);
        p->a.ld = p->k;
    }
    if (!take_matrix(&p->b, y, item)) return NULL;
    if (turn) p->b.turned = !p->b.turned;
    PyObject *out = rl_empty(d, shape, type);
    if (!out) return NULL;
    p->c = RL_DATA(out);
    if (!multiply(p)) Py_CLEAR(out);
    return out;
}

static PyObject *stacks(product *p, PyObject *x, PyObject *y, int type) {
    PyArrayObject *a = RL_ARRAY(x), *b = RL_ARRAY(y);
    int da = PyArray_NDIM(a), db = PyArray_NDIM(b), d = da > db ? da : db;
    int item = type == NPY_DOUBLE ? 8 : 4;
    npy_intp shape[RL_MAX_DIMS];
    p->count = 1;
    for (int i = 0; i < d - 2; i++) {
        npy_intp n = i < d - da ? 1 : PyArray_DIM(a, i - (d - da));
        npy_intp m = i < d - db ? 1 : PyArray_DIM(b, i - (d - db));
        if (n != m && n != 1 && m != 1) return RL_DECLINE; /* NumPy raises */
        shape[i] = n == 1 ? m : n;
        p->count *= shape[i];
    }
    p->m = shape[d - 2] = PyArray_DIM(a, da - 2);
    p->n = shape[d - 1] = PyArray_DIM(b, db - 1);
    p->k = PyArray_DIM(a, da - 1);
    if (!p->count || !p->m || !p->n || !p->k) return RL_DECLINE;
    if (!take_matrix(&p->a, x, item) || !take_matrix(&p->b, y, item)) return NULL;
    int64_t *offsets = rl_scratch(sizeof(int64_t) * 2 * (size_t)p->count);
    if (!offsets) return NULL;
    place_matrices(offsets, RL_ARRAY(p->a.kept), d - 2, shape, p->count);
    place_matrices(offsets + p->count, RL_ARRAY(p->b.kept), d - 2, shape, p->count);
    p->offsets_a = offsets, p->offsets_b = offsets + p->count;
    PyObject *out = rl_empty(d, shape, type);
    if (out) {
        p->c = RL_DATA(out);
        if (!multiply(p)) Py_CLEAR(out);
    }
    rl_scratch_free(offsets);
    return out;
}

static PyObject *matmul(const rl_call *call) {
    if (call->count != 2 || rl_keywords(call) || !rl_has_blas()) return RL_DECLINE;
    PyObject *x = call->args[0], *y = call->args[1];
    int type = type_of(x);
    if (type < 0 || type_of(y) != type) return RL_DECLINE;
    int da = PyArray_NDIM(RL_ARRAY(x)), db = PyArray_NDIM(RL_ARRAY(y));
    if (da < 2 || db < 2 || PyArray_DIM(RL_ARRAY(x), da - 1) != PyArray_DIM(RL_ARRAY(y), db - 2)) {
        return RL_DECLINE;
    }
    product p = {.is_double = type == NPY_DOUBLE, .alpha = 1};
    PyObject *out = db == 2 ? tall(&p, x, y, false, type) : stacks(&p, x, y, type);
    drop(&p);
    return out;
}

static PyObject *linear(const rl_call *call) {
    if (call->count != 3 || rl_keywords(call) || !rl_has_blas()) return RL_DECLINE;
    PyObject *x = call->args[0], *w = call->args[1], *bias = call->args[2];
    int type = type_of(x);
    if (type < 0 || type_of(w) != type) return RL_DECLINE;
    int d = PyArray_NDIM(RL_ARRAY(x));
    if (d < 1 || PyArray_NDIM(RL_ARRAY(w)) != 2 ||
        PyArray_DIM(RL_ARRAY(x), d - 1) != PyArray_DIM(RL_ARRAY(w), 1)) {
        return RL_DECLINE;
    }
    product p = {.is_double = type == NPY_DOUBLE, .alpha = 1, .beta = 1};
    if (bias != Py_None) {
        if (type_of(bias) != type || PyArray_NDIM(RL_ARRAY(bias)) != 1 ||
            PyArray_DIM(RL_ARRAY(bias), 0) != PyArray_DIM(RL_ARRAY(w), 0)) {
            return RL_DECLINE;
        }
        p.start = RL_DATA(bias);
        p.start_column = PyArray_STRIDE(RL_ARRAY(bias), 0);
    }
    PyObject *out = tall(&p, x, w, true, type);
    drop(&p);
    return out;
}

/* (..., n) and (..., k) to (n, k), a sum over all rows: any order of the rows will do. */
static PyObject *linear_weight(const rl_call *call) {
    if (call->count != 2 || rl_keywords(call) || !rl_has_blas()) return RL_DECLINE;
    PyObject *g = call->args[0], *x = call->args[1];
    int type = type_of(g), order[RL_MAX_DIMS];
    if (type < 0 || type_of(x) != type) return RL_DECLINE;
    PyArrayObject *first = RL_ARRAY(g), *second = RL_ARRAY(x);
    int d = PyArray_NDIM(first), item = type == NPY_DOUBLE ? 8 : 4;
    if (d < 2 || PyArray_NDIM(second) != d ||
        !PyArray_CompareLists(PyArray_DIMS(first), PyArray_DIMS(second), d - 1)) {
        return RL_DECLINE;
    }
    product p = {.is_double = type == NPY_DOUBLE, .alpha = 1, .count = 1, .k = 1};
    p.m = PyArray_DIM(first, d - 1), p.n = PyArray_DIM(second, d - 1);
    for (int i = 0; i < d - 1; i++) p.k *= PyArray_DIM(first, i);
    if (!p.m || !p.n || !p.k) return RL_DECLINE;
    lead_order(second, order);
    PyObject *copy_g = NULL, *copy_x = NULL, *out = NULL;
    if (!folds(&p.a, first, order, item) || !folds(&p.b, second, order, item)) {
        copy_g = PyArray_NewCopy(first, NPY_CORDER);
        copy_x = PyArray_NewCopy(second, NPY_CORDER);
        if (copy_g) p.a.data = RL_DATA(copy_g), p.a.ld = p.m;
        if (copy_x) p.b.data = RL_DATA(copy_x), p.b.ld = p.n;
    }
    if (!copy_g == !copy_x) {
        npy_intp shape[2] = {p.m, p.n};
        p.a.turned = true, p.b.turned = false;
        out = PyErr_Occurred() ? NULL : rl_empty(2, shape, type);
    }
    if (out) {
        p.c = RL_DATA(out);
        if (!multiply(&p)) Py_CLEAR(out);
    }
    Py_XDECREF(copy_g);
    Py_XDECREF(copy_x);
    return out;
}

static PyObject *addmm(const rl_call *call) {
    if (call->count != 3 || !rl_has_blas()) return RL_DECLINE;
    PyObject *x = call->args[0], *a = call->args[1], *b = call->args[2];
    int type = type_of(a), known = 0;
    product p = {.is_double = type == NPY_DOUBLE, .alpha = 1, .beta = 1};
    if (rl_keyword(call, "alpha")) {
        if (!rl_float(call, "alpha", &p.alpha)) return RL_DECLINE;
        known++;
    }
    if (rl_keyword(call, "beta")) {
        if (!rl_float(call, "beta", &p.beta)) return RL_DECLINE;
        known++;
    }
    if (known != rl_keywords(call) || !(p.alpha != 0)) return RL_DECLINE;
    if (type < 0 || type_of(b) != type || type_of(x) != type) return RL_DECLINE;
    if (PyArray_NDIM(RL_ARRAY(a)) != 2 || PyArray_NDIM(RL_ARRAY(b)) != 2 ||
        PyArray_DIM(RL_ARRAY(a), 1) != PyArray_DIM(RL_ARRAY(b), 0)) {
        return RL_DECLINE;
    }
    if (p.beta != 0) { /* with beta 0, NaN and infinity in x do not count */
        PyArrayObject *s = RL_ARRAY(x);
        int d = PyArray_NDIM(s);
        npy_intp n = d > 0 ? PyArray_DIM(s, d - 1) : 1, m = d > 1 ? PyArray_DIM(s, d - 2) : 1;
        if (d > 2 || (n != 1 && n != PyArray_DIM(RL_ARRAY(b), 1)) ||
            (m != 1 && m != PyArray_DIM(RL_ARRAY(a), 0))) {
            return RL_DECLINE;
        }
        p.start = PyArray_DATA(s);
        p.start_column = n == 1 ? 0 : PyArray_STRIDE(s, d - 1);
        p.start_row = m == 1 ? 0 : PyArray_STRIDE(s, d - 2);
    }
    PyObject *out = tall(&p, a, b, false, type);
    drop(&p);
    return out;
}

const rl_kernel rl_matmul_kernels[] = {
    {"matmul", "floating", matmul, NULL}, {"mm", "floating", matmul, NULL},
    {"bmm", "floating", matmul, NULL},    {"linear", "floating", linear, NULL},
    {"addmm", "floating", addmm, NULL},   {"linear_weight", "floating", linear_weight, NULL},
    {0},
};
