/* Conversions between dtypes: every pair of the common ones. */
#include "rl.h"
#include "rl_half.h"

/* Elements of a task, and of those that pass through a buffer of floats. */
#define GRAIN 32768
#define BUFFER 1024

typedef void (*converter)(const void *x, void *y, int64_t n);

/* Floats to integers go as the processor truncates; those out of range have no defined value,
   except that small integers are the low bits of 32. */
#define TO_INTEGER(type, wide, x) (type)(wide)(x)
#define TO_FLOAT(type, wide, x) (type)(x)
#define TO_BOOL(type, wide, x) ((x) != 0)

#define CONVERTER(from, from_type, to, to_type, wide, CAST)                                       \
    static void from##_to_##to(const void *x_, void *y_, int64_t n) {                             \
        const from_type *restrict x = x_;                                                         \
        to_type *restrict y = y_;                                                                 \
        for (int64_t i = 0; i < n; i++) y[i] = CAST(to_type, wide, x[i]);                         \
    }
#define CONVERTERS(from, type, wide)                                                              \
    CONVERTER(from, type, f32, float, , TO_FLOAT)                                                 \
    CONVERTER(from, type, f64, double, , TO_FLOAT)                                                \
    CONVERTER(from, type, i64, int64_t, int64_t, TO_INTEGER)                                      \
    CONVERTER(from, type, i32, int32_t, wide, TO_INTEGER)                                         \
    CONVERTER(from, type, u8, uint8_t, wide, TO_INTEGER)                                          \
    CONVERTER(from, type, bool_, uint8_t, , TO_BOOL)
CONVERTERS(f32, float, int32_t)
CONVERTERS(f64, double, int32_t)
CONVERTERS(i64, int64_t, int64_t)
CONVERTERS(i32, int32_t, int32_t)
CONVERTERS(u8, uint8_t, int32_t)

#define ROW(from) {from##_to_f32, from##_to_f64, from##_to_i64, from##_to_i32, from##_to_u8,      \
                   from##_to_bool_}
enum { F32, F64, I64, I32, U8, BOOL, F16, BF16, KINDS, NONE = -1 };
static const converter CONVERT[BOOL + 1][BOOL + 1] = {ROW(f32), ROW(f64), ROW(i64),
                                                      ROW(i32), ROW(u8),  ROW(u8)};
static const int SIZES[KINDS] = {4, 8, 8, 4, 1, 1, 2, 2};

int rl_bfloat16(void) {
    static int type = 0; /* NumPy's number of the dtype, which ml_dtypes registers */
    if (type) return type;
    PyObject *module = PyImport_ImportModule("ml_dtypes"), *found = NULL;
    PyArray_Descr *descr = NULL;
    if (module) found = PyObject_GetAttrString(module, "bfloat16");
    if (found && PyArray_DescrConverter(found, &descr)) type = descr->type_num;
    else PyErr_Clear(), type = -1;
    Py_XDECREF(module);
    Py_XDECREF(found);
    Py_XDECREF((PyObject *)descr);
    return type;
}

static int kind_of(int type) {
    switch (type) {
    case NPY_FLOAT: return F32;
    case NPY_DOUBLE: return F64;
    case NPY_INT64: return I64;
    case NPY_INT32: return I32;
    case NPY_UINT8: return U8;
    case NPY_BOOL: return BOOL;
    case NPY_HALF: return F16;
    default: return type == rl_bfloat16() ? BF16 : NONE;
    }
}

typedef struct {
    int from, to;
    const char *x;
    char *y;
} job;

/* 16-bit kinds pass through floats, in a buffer unless they start or end as those. */
static void convert(const job *j, const char *x, char *y, int64_t n) {
    if (j->from <= BOOL && j->to <= BOOL) {
        CONVERT[j->from][j->to](x, y, n);
        return;
    }
    _Alignas(64) float buffer[BUFFER];
    for (int64_t start = 0; start < n; start += BUFFER) {
        int64_t some = n - start < BUFFER ? n - start : BUFFER;
        const void *source = x + start * SIZES[j->from];
        void *target = y + start * SIZES[j->to];
        const float *floats = j->from == F32 ? source : buffer;
        float *into = j->to == F32 ? target : buffer;
        if (j->from == F16) rl_f32_of_f16(source, into, some);
        else if (j->from == BF16) rl_f32_of_bf16(source, into, some);
        else if (j->from != F32) CONVERT[j->from][F32](source, into, some);
        if (j->to == F16) rl_f16_of_f32(floats, target, some);
        else if (j->to == BF16) rl_bf16_of_f32(floats, target, some);
        else if (j->to != F32) CONVERT[F32][j->to](floats, target, some);
    }
}

static void run(void *context, int64_t begin, int64_t end) {
    const job *j = context;
    convert(j, j->x + begin * SIZES[j->from], j->y + begin * SIZES[j->to], end - begin);
}

static PyObject *converted(PyObject *x, int type, job j) {
    x = rl_dense(x);
    if (!x) return NULL;
    PyObject *result = rl_empty(PyArray_NDIM(RL_ARRAY(x)), PyArray_DIMS(RL_ARRAY(x)), type);
    if (result) {
        int64_t size = PyArray_SIZE(RL_ARRAY(x));
        bool enough = size > GRAIN;
        j.x = RL_DATA(x), j.y = RL_DATA(result);
        RL_RELEASE_GIL(enough)
        rl_parallel_range(size, GRAIN, run, &j);
        RL_TAKE_GIL
    }
    Py_DECREF(x);
    return result;
}

PyObject *rl_converted(PyObject *x, int type) {
    return converted(x, type, (job){kind_of(PyArray_TYPE(RL_ARRAY(x))), kind_of(type)});
}

static PyObject *cast(const rl_call *call) {
    if (call->count != 1 || rl_keywords(call) != 1 || !rl_is_array(call->args[0])) {
        return RL_DECLINE;
    }
    int type = rl_dtype(call, "dtype");
    job j = {kind_of(PyArray_TYPE(RL_ARRAY(call->args[0]))), type < 0 ? NONE : kind_of(type)};
    if (j.from == NONE || j.to == NONE || j.from == j.to) return RL_DECLINE;
    return converted(call->args[0], type, j);
}

const rl_kernel rl_casting_kernels[] = {
    {"cast", "floating reduced integer bool", cast, NULL},
    {0},
};
