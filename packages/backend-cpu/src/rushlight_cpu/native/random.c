/* Random draws and dropout: the bits that `rushlight._philox` defines, a draw in one pass.

   An element depends on its place in the stream alone, so the pieces may be drawn in any order. */

/* a * b + c is rounded twice, in every variant: the bits are the same on all devices. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

#include "rl.h"
#include "rl_philox.h"

/* Blocks of four words: those that stay in the first-level cache, and those of a task. */
#define PIECE 256
#define GRAIN 4096

typedef struct draw draw;
/* Makes elements [start, start + n) of the words of a piece. */
typedef void (*emitter)(const draw *d, const uint32_t *words, int64_t start, int64_t n);

struct draw {
    emitter emit;
    rl_stream stream;
    int64_t size, per_block; /* elements in all, and of a block */
    char *out;
    uint64_t low, span;  /* of integers */
    uint32_t threshold;  /* words below it are true ... */
    bool all;            /* ... or all are */
    const char *x;       /* what dropout keeps or not ... */
    char *kept;          /* ... which, and by what it multiplies that */
    double scale;
};

static void run(void *context, int64_t begin, int64_t end) {
    const draw *d = context;
    _Alignas(64) uint32_t words[4 * PIECE];
    for (int64_t first = begin; first < end; first += PIECE) {
        int64_t blocks = end - first < PIECE ? end - first : PIECE;
        int64_t start = first * d->per_block, n = blocks * d->per_block;
        rl_words(&d->stream, first, blocks, words);
        d->emit(d, words, start, n < d->size - start ? n : d->size - start);
    }
}

static void fill(const draw *d) {
    int64_t blocks = (d->size + d->per_block - 1) / d->per_block;
    bool enough = blocks > GRAIN;
    RL_RELEASE_GIL(enough)
    rl_parallel_range(blocks, GRAIN, run, (void *)d);
    RL_TAKE_GIL
}

/* Emitters */

#define EMIT(name, type, expression)                                                              \
    static void name(const draw *d, const uint32_t *words, int64_t start, int64_t n) {            \
        type *restrict out = (type *)d->out + start;                                              \
        for (int64_t i = 0; i < n; i++) out[i] = expression;                                      \
    }
#define WORD words[i]
#define LONG rl_long(words, i)
#define BELOW_ONE 0x7fffff80u
#define ODD ((WORD >> 1 | 1) < BELOW_ONE ? (WORD >> 1 | 1) : BELOW_ONE)
EMIT(uniform_f32, float, (float)(int32_t)(WORD >> 8) * 0x1p-24f)
EMIT(uniform_f64, double, (double)(int64_t)(LONG >> 11) * 0x1p-53)
EMIT(exponential_f32, float, rl_minus_two_log_f32(ODD) * 0.5f)
EMIT(exponential_f64, double, rl_minus_two_log_f64(LONG >> 11 | 1) * 0.5)

#define NORMALS(name, type, word, from)                                                           \
    static void name(const draw *d, const uint32_t *words, int64_t start, int64_t n) {            \
        type *restrict out = (type *)d->out + start;                                              \
        int64_t pairs = n / 2;                                                                    \
        for (int64_t i = 0; i < pairs; i++) {                                                     \
            type a, b;                                                                            \
            from(word(2 * i), word(2 * i + 1), &a, &b);                                           \
            out[2 * i] = a;                                                                       \
            out[2 * i + 1] = b;                                                                   \
        }                                                                                         \
        if (n & 1) {                                                                              \
            type unused;                                                                          \
            from(word(n - 1), word(n), &out[n - 1], &unused);                                     \
        }                                                                                         \
    }
#define WORD_AT(i) words[i]
#define LONG_AT(i) rl_long(words, i)
NORMALS(normal_f32, float, WORD_AT, rl_normals_f32)
NORMALS(normal_f64, double, LONG_AT, rl_normals_f64)

/* low + floor(word * span / 2^32), or with two words floor(long * span / 2^64). */
#define INTEGERS(name, type)                                                                      \
    static void name##_of_words(const draw *d, const uint32_t *words, int64_t start, int64_t n) { \
        type *restrict out = (type *)d->out + start;                                              \
        const uint32_t span = (uint32_t)d->span;                                                  \
        const uint64_t base = d->low;                                                             \
        for (int64_t i = 0; i < n; i++) {                                                         \
            out[i] = (type)(base + ((uint64_t)WORD * span >> 32));                                \
        }                                                                                         \
    }                                                                                             \
    static void name##_of_longs(const draw *d, const uint32_t *words, int64_t start, int64_t n) { \
        type *restrict out = (type *)d->out + start;                                              \
        const uint64_t span = d->span, base = d->low;                                             \
        for (int64_t i = 0; i < n; i++) {                                                         \
            uint64_t carry = words[2 * i] * span >> 32;                                           \
            out[i] = (type)(base + ((words[2 * i + 1] * span + carry) >> 32));                    \
        }                                                                                         \
    }
INTEGERS(int64, int64_t)
INTEGERS(int32, int32_t)
INTEGERS(uint8, uint8_t)

EMIT(below, uint8_t, WORD < d->threshold)

#define DROPOUT(name, type)                                                                       \
    static void name(const draw *d, const uint32_t *words, int64_t start, int64_t n) {            \
        const type *restrict x = (const type *)d->x + start;                                      \
        type *restrict out = (type *)d->out + start;                                              \
        uint8_t *restrict kept = (uint8_t *)d->kept + start;                                      \
        const type scale = (type)d->scale;                                                        \
        const uint32_t threshold = d->threshold;                                                  \
        if (d->all) {                                                                             \
            for (int64_t i = 0; i < n; i++) kept[i] = 1, out[i] = x[i] * scale;                   \
            return;                                                                               \
        }                                                                                         \
        for (int64_t i = 0; i < n; i++) kept[i] = words[i] < threshold;                           \
        for (int64_t i = 0; i < n; i++) out[i] = x[i] * (words[i] < threshold ? scale : 0);       \
    }
DROPOUT(dropout_f32, float)
DROPOUT(dropout_f64, double)

/* Keys of a permutation: longs whose lowest bits are the place. */
static void keys(const draw *d, const uint32_t *words, int64_t start, int64_t n) {
    uint64_t *restrict out = (uint64_t *)d->out + start;
    const uint64_t mask = d->span;
    for (int64_t i = 0; i < n; i++) out[i] = (LONG & ~mask) | (uint64_t)(start + i);
}

/* Attributes */

static bool read_word(const rl_call *call, const char *name, uint64_t *value) {
    PyObject *x = rl_keyword(call, name);
    if (!x || !PyLong_Check(x)) return false;
    *value = PyLong_AsUnsignedLongLongMask(x);
    return true;
}

static bool read_stream(const rl_call *call, draw *d) {
    uint64_t seed, offset;
    if (!read_word(call, "seed", &seed) || !read_word(call, "offset", &offset)) return false;
    d->stream = rl_stream_of(seed, offset);
    return true;
}

static PyObject *new_array(const rl_call *call, int type, draw *d) {
    int64_t shape[RL_MAX_DIMS];
    npy_intp sizes[RL_MAX_DIMS];
    int dims = rl_ints(call, "shape", shape, RL_MAX_DIMS);
    if (dims < 0) return RL_DECLINE;
    d->size = 1;
    for (int i = 0; i < dims; i++) {
        if (shape[i] < 0) return RL_DECLINE;
        sizes[i] = (npy_intp)shape[i];
        if (__builtin_mul_overflow(d->size, shape[i], &d->size)) return RL_DECLINE;
    }
    PyObject *out = rl_empty(dims, sizes, type);
    if (out) d->out = RL_DATA(out);
    return out;
}

/* Kernels */

static PyObject *floats(const rl_call *call) {
    const emitter *emitters = call->data;
    int type = rl_dtype(call, "dtype");
    draw d = {0};
    if (call->count || rl_keywords(call) != 4 || (type != NPY_FLOAT && type != NPY_DOUBLE) ||
        !read_stream(call, &d)) {
        return RL_DECLINE;
    }
    d.emit = emitters[type == NPY_DOUBLE];
    d.per_block = type == NPY_DOUBLE ? 2 : 4;
    PyObject *out = new_array(call, type, &d);
    if (out && out != RL_DECLINE) fill(&d);
    return out;
}

static PyObject *integers(const rl_call *call) {
    draw d = {0};
    uint64_t high;
    int type = rl_dtype(call, "dtype"), place = type == NPY_INT64   ? 0
                                         : type == NPY_INT32 ? 1
                                         : type == NPY_UINT8 ? 2
                                                             : -1;
    if (call->count || rl_keywords(call) != 6 || place < 0 || !read_stream(call, &d) || !read_word(call, "low", &d.low) ||
        !read_word(call, "high", &high)) {
        return RL_DECLINE;
    }
    /* The difference of the ends fits into a word of 64 bits unless they are as far apart as
       can be, which is then 0; it is no more than 2^32 for what one or two words serve. */
    d.span = high - d.low;
    if (!d.span || d.span > (uint64_t)1 << 32) return RL_DECLINE;
    bool one = d.span <= 1 << 16;
    static const emitter emitters[3][2] = {{int64_of_words, int64_of_longs},
                                           {int32_of_words, int32_of_longs},
                                           {uint8_of_words, uint8_of_longs}};
    d.emit = emitters[place][!one];
    d.per_block = one ? 4 : 2;
    PyObject *out = new_array(call, type, &d);
    if (out && out != RL_DECLINE) fill(&d);
    return out;
}

/* Which words are true for a probability: a number or a 0-d array. */
static bool read_threshold(PyObject *p, draw *d) {
    double value, largest = 4294967295.0;
    if (PyFloat_Check(p) || PyLong_Check(p)) value = PyFloat_AsDouble(p);
    else if (rl_is_array(p) && PyArray_NDIM(RL_ARRAY(p)) == 0) {
        int type = PyArray_TYPE(RL_ARRAY(p));
        if (type == NPY_FLOAT) value = *(float *)RL_DATA(p), largest = 4294967040.0;
        else if (type == NPY_DOUBLE) value = *(double *)RL_DATA(p);
        else return false;
    } else return false;
    if (!(value >= 0 && value <= 1)) {
        PyErr_Clear();
        return false;
    }
    double scaled = value * 4294967296.0;
    d->all = value >= 1;
    d->threshold = (uint32_t)(scaled < largest ? scaled : largest);
    return true;
}

static PyObject *bernoulli(const rl_call *call) {
    draw d = {.emit = below, .per_block = 4};
    if (call->count != 1 || rl_keywords(call) != 3 || !read_stream(call, &d) ||
        !read_threshold(call->args[0], &d)) {
        return RL_DECLINE;
    }
    PyObject *out = new_array(call, NPY_BOOL, &d);
    if (!out || out == RL_DECLINE) return out;
    if (d.all) memset(d.out, 1, (size_t)d.size);
    else fill(&d);
    return out;
}

static PyObject *dropout(const rl_call *call) {
    draw d = {.per_block = 4};
    double p;
    if (call->count != 1 || rl_keywords(call) != 3 || !read_stream(call, &d) ||
        !rl_float(call, "p", &p) || !(p >= 0 && p <= 1)) {
        return RL_DECLINE;
    }
    PyObject *x = call->args[0];
    bool is_float = rl_is_dense(x, NPY_FLOAT);
    if (!is_float && !rl_is_dense(x, NPY_DOUBLE)) return RL_DECLINE;
    d.emit = is_float ? dropout_f32 : dropout_f64;
    double keep = (1.0 - p) * 4294967296.0;
    d.all = keep >= 4294967296.0;
    d.threshold = d.all ? 0 : (uint32_t)keep;
    d.scale = p < 1 ? 1.0 / (1.0 - p) : 0;
    PyArrayObject *a = RL_ARRAY(x);
    PyObject *out = rl_empty(PyArray_NDIM(a), PyArray_DIMS(a), PyArray_TYPE(a));
    PyObject *kept = out ? rl_empty(PyArray_NDIM(a), PyArray_DIMS(a), NPY_BOOL) : NULL;
    PyObject *both = kept ? PyTuple_New(2) : NULL;
    if (!both) {
        Py_XDECREF(out);
        Py_XDECREF(kept);
        return NULL;
    }
    PyTuple_SET_ITEM(both, 0, out);
    PyTuple_SET_ITEM(both, 1, kept);
    d.size = PyArray_SIZE(a);
    d.x = RL_DATA(x), d.out = RL_DATA(out), d.kept = RL_DATA(kept);
    fill(&d);
    return both;
}

static PyObject *permutation(const rl_call *call) {
    draw d = {.emit = keys, .per_block = 2};
    int type = rl_dtype(call, "dtype");
    Py_ssize_t known = 3 + (rl_keyword(call, "dtype") != NULL);
    if (call->count || rl_keywords(call) != known || (known == 4 && type != NPY_INT64) ||
        !read_stream(call, &d) || !rl_int(call, "n", &d.size) || d.size < 0) {
        return RL_DECLINE;
    }
    while (d.span + 1 < (uint64_t)d.size) d.span = 2 * d.span + 1;
    PyObject *out = rl_empty(1, (npy_intp[]){(npy_intp)d.size}, NPY_UINT64);
    if (!out) return NULL;
    d.out = RL_DATA(out);
    fill(&d);
    if (PyArray_Sort(RL_ARRAY(out), 0, NPY_QUICKSORT) < 0) {
        Py_DECREF(out);
        return NULL;
    }
    uint64_t *values = RL_DATA(out);
    for (int64_t i = 0; i < d.size; i++) values[i] &= d.span;
    PyObject *whole = PyArray_View(RL_ARRAY(out), PyArray_DescrFromType(NPY_INT64), NULL);
    Py_DECREF(out);
    return whole;
}

static const emitter UNIFORM[2] = {uniform_f32, uniform_f64};
static const emitter NORMAL[2] = {normal_f32, normal_f64};
static const emitter EXPONENTIAL[2] = {exponential_f32, exponential_f64};

const rl_kernel rl_random_kernels[] = {
    {"random_uniform", "floating", floats, UNIFORM},
    {"random_normal", "floating", floats, NORMAL},
    {"random_exponential", "floating", floats, EXPONENTIAL},
    {"random_integers", "integer", integers, NULL},
    {"random_bernoulli", "floating", bernoulli, NULL},
    {"random_permutation", "integer", permutation, NULL},
    {"dropout", "floating", dropout, NULL},
    {0},
};
