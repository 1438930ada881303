/* Elementwise arithmetic and functions of float and double, operands broadcast.  16-bit floats go
   through the loops of float, block by block, and are rounded once at the end. */
#include "rl.h"
#include "rl_half.h"
#include "rl_math_types.h"

#ifdef __AVX512F__
#include <immintrin.h>

#include "rl_gauss.h"

/* rl_exp_f32, but the power of two in one instruction that knows denormals and infinity. */
static inline __m512 exp_of_16(__m512 x) {
    const __m512 magic = _mm512_set1_ps(12582912.0f);
    x = _mm512_max_ps(_mm512_set1_ps(-104.0f), x); /* in this order NaN passes */
    x = _mm512_min_ps(_mm512_set1_ps(89.0f), x);
    __m512 n = _mm512_fmadd_ps(x, _mm512_set1_ps(1.44269504088896340736f), magic);
    n = _mm512_sub_ps(n, magic);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e400p-1f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.7f7d1cp-20f), r);
    __m512 p = _mm512_set1_ps((float)(1.0 / 5040.0));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps((float)(1.0 / 720.0)));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps((float)(1.0 / 120.0)));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps((float)(1.0 / 24.0)));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps((float)(1.0 / 6.0)));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r);
    return _mm512_scalef_ps(_mm512_add_ps(p, _mm512_set1_ps(1.0f)), n);
}

static void exp_f32(int64_t n, char *const *p, const double *a) {
    float *out = (float *)p[0];
    const float *x = (const float *)p[1];
    int64_t i = 0;
    (void)a;
    for (; i + 16 <= n; i += 16) _mm512_storeu_ps(out + i, exp_of_16(_mm512_loadu_ps(x + i)));
    if (i < n) {
        __mmask16 rest = (__mmask16)((1u << (n - i)) - 1);
        _mm512_mask_storeu_ps(out + i, rest, exp_of_16(_mm512_maskz_loadu_ps(rest, x + i)));
    }
}

static rl_gauss_pieces gelu_part, gelu_slope;

static void fit_gelu(void) {
    if (gelu_part.of[0][0] > 0) return; /* a half, once it is there */
    rl_gauss_fit(rl_gauss_slope, &gelu_slope);
    rl_gauss_fit(rl_gauss_part, &gelu_part);
}

/* x times what was fitted at `from`, vector by vector. */
static inline __attribute__((always_inline)) void times_gauss(int64_t n, float *out, const float *x,
                                                              const float *from,
                                                              const rl_gauss_pieces *fitted) {
    const rl_gauss_pieces pieces = *fitted; /* that stores to `out` cannot change it */
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512 y = rl_gauss_at(&pieces, _mm512_loadu_ps(from + i));
        _mm512_storeu_ps(out + i, _mm512_mul_ps(_mm512_loadu_ps(x + i), y));
    }
    if (i < n) {
        __mmask16 rest = (__mmask16)((1u << (n - i)) - 1);
        __m512 y = rl_gauss_at(&pieces, _mm512_maskz_loadu_ps(rest, from + i));
        y = _mm512_mul_ps(_mm512_maskz_loadu_ps(rest, x + i), y);
        _mm512_mask_storeu_ps(out + i, rest, y);
    }
}

static void gelu_f32(int64_t n, char *const *p, const double *a) {
    (void)a;
    times_gauss(n, (float *)p[0], (const float *)p[1], (const float *)p[1], &gelu_part);
}
static void gelu_backward_f32(int64_t n, char *const *p, const double *a) {
    (void)a;
    times_gauss(n, (float *)p[0], (const float *)p[1], (const float *)p[2], &gelu_slope);
}
#define OWN_EXP 1
#define OWN_GELU 1
#define GELU_COST 60
#else
#define GELU_COST 90
#endif

#define T float
#define F(name) name##_f32
#define RL_IS_DOUBLE 0
#include "elementwise_loops.h"
#undef T
#undef F
#undef RL_IS_DOUBLE
#define T double
#define F(name) name##_f64
#define RL_IS_DOUBLE 1
#include "elementwise_loops.h"
#undef T
#undef F
#undef RL_IS_DOUBLE

typedef void (*loop)(int64_t n, char *const *data, const double *attributes);

typedef struct {
    loop loops[2]; /* float, double; NULL where not covered */
    int inputs;
    int bytes_at;          /* which input is bool, counted from 1; 0 for none */
    bool tests;            /* the result is bool */
    int cost;              /* nanoseconds per 100 elements, roughly */
    const char *attribute; /* a number that the loops take, 1 if it is not given */
} operation;

typedef struct {
    loop loop;
    int operands;
    int half; /* NumPy's number of the 16-bit dtype of operands of that size, 0 for none */
    int sizes[RL_MAX_OPERANDS];
    double attributes[1];
} job;

/* Operands that are not contiguous pass through buffers of this size. */
#define BUFFER 4096

static void copy_in(char *to, const char *from, int64_t step, int64_t n, int size) {
#define COPY(type)                                                                                \
    for (int64_t i = 0; i < n; i++) ((type *)to)[i] = *(const type *)(from + i * step);
    if (size == 4) { COPY(uint32_t) }
    else if (size == 8) { COPY(uint64_t) }
    else if (size == 2) { COPY(uint16_t) }
    else { COPY(uint8_t) }
#undef COPY
}

static void copy_out(char *to, int64_t step, const char *from, int64_t n, int size) {
#define COPY(type)                                                                                \
    for (int64_t i = 0; i < n; i++) *(type *)(to + i * step) = ((const type *)from)[i];
    if (size == 4) { COPY(uint32_t) }
    else if (size == 8) { COPY(uint64_t) }
    else if (size == 2) { COPY(uint16_t) }
    else { COPY(uint8_t) }
#undef COPY
}

static void widen(float *to, const char *from, int64_t step, int64_t n, int half) {
    uint16_t gathered[BUFFER / 4];
    const uint16_t *dense = (const uint16_t *)from;
    if (step != 2) {
        copy_in((char *)gathered, from, step, n, 2);
        dense = gathered;
    }
    if (half == NPY_HALF) rl_f32_of_f16(dense, to, n);
    else rl_f32_of_bf16(dense, to, n);
}

static void narrow(char *to, int64_t step, const float *from, int64_t n, int half) {
    uint16_t scattered[BUFFER / 4];
    uint16_t *dense = step == 2 ? (uint16_t *)to : scattered;
    if (half == NPY_HALF) rl_f16_of_f32(from, dense, n);
    else rl_bf16_of_f32(from, dense, n);
    if (step != 2) copy_out(to, step, (const char *)scattered, n, 2);
}

static void run(int64_t n, char *const *data, const int64_t *steps, const void *context) {
    const job *j = context;
    bool dense = !j->half;
    for (int k = 0; k < j->operands; k++) dense &= steps[k] == j->sizes[k];
    if (dense) {
        j->loop(n, data, j->attributes);
        return;
    }
    _Alignas(64) char buffers[4][BUFFER];
    int widest = j->half ? 4 : 1;
    for (int k = 0; k < j->operands; k++) widest = j->sizes[k] > widest ? j->sizes[k] : widest;
    int64_t most = BUFFER / widest;
    char *at[RL_MAX_OPERANDS];
    for (int64_t start = 0; start < n; start += most) {
        int64_t some = n - start < most ? n - start : most;
        for (int k = 0; k < j->operands; k++) {
            int size = j->sizes[k];
            bool wide = size != 2;
            if (steps[k] == size && wide) at[k] = data[k] + start * size;
            else {
                const char *from = data[k] + start * steps[k];
                at[k] = buffers[k];
                if (!k || !(steps[k] || !start)) continue; /* a result, or there already */
                if (wide) copy_in(buffers[k], from, steps[k], some, size);
                else widen((float *)buffers[k], from, steps[k], some, j->half);
            }
        }
        j->loop(some, at, j->attributes);
        if (at[0] != buffers[0]) continue;
        char *to = data[0] + start * steps[0];
        if (j->sizes[0] == 2) narrow(to, steps[0], (const float *)buffers[0], some, j->half);
        else copy_out(to, steps[0], buffers[0], some, j->sizes[0]);
    }
}

/* The usual case, decided quickly: dense operands of one shape, and 0-d ones. */
static bool plan_dense(rl_plan *p, PyObject *const *inputs, int count) {
    PyArrayObject *lead = RL_ARRAY(inputs[0]);
    for (int k = 1; k < count; k++) {
        if (PyArray_NDIM(RL_ARRAY(inputs[k])) > PyArray_NDIM(lead)) lead = RL_ARRAY(inputs[k]);
    }
    int dims = PyArray_NDIM(lead);
    p->size = PyArray_SIZE(lead);
    for (int k = 0; k < count; k++) {
        PyArrayObject *x = RL_ARRAY(inputs[k]);
        if (!PyArray_IS_C_CONTIGUOUS(x)) return false;
        if (PyArray_NDIM(x) == dims) {
            if (!PyArray_CompareLists(PyArray_DIMS(x), PyArray_DIMS(lead), dims)) return false;
            p->steps[k + 1][0] = PyArray_ITEMSIZE(x);
        } else if (PyArray_NDIM(x) == 0) p->steps[k + 1][0] = 0;
        else return false;
        p->data[k + 1] = PyArray_BYTES(x);
    }
    p->operands = count + 1;
    p->dims = 1;
    p->shape[0] = p->size;
    return true;
}

static PyObject *apply(const rl_call *call, const operation *o, PyObject *const *inputs,
                       Py_ssize_t known) {
    int type = NPY_NOTYPE;
    for (int k = 0; k < o->inputs; k++) {
        if (!rl_is_array(inputs[k])) return RL_DECLINE;
        int found = PyArray_TYPE(RL_ARRAY(inputs[k]));
        if (k + 1 == o->bytes_at) {
            if (found != NPY_BOOL) return RL_DECLINE;
        } else if (type == NPY_NOTYPE) type = found;
        else if (type != found) return RL_DECLINE;
    }
    int half = type == NPY_HALF || type == rl_bfloat16() ? type : 0;
    if (type != NPY_FLOAT && type != NPY_DOUBLE && !half) return RL_DECLINE;
    bool is_double = type == NPY_DOUBLE;
    int size = half ? 2 : is_double ? 8 : 4;
    job j = {.loop = o->loops[is_double], .operands = o->inputs + 1, .half = half};
    j.attributes[0] = 1;
    if (!j.loop) return RL_DECLINE;
    PyObject *out = NULL;
    if (call->names) {
        out = rl_keyword(call, "out");
        if (out) known++;
        if (out == Py_None) out = NULL;
        if (o->attribute && rl_keyword(call, o->attribute)) {
            if (!rl_float(call, o->attribute, &j.attributes[0])) return RL_DECLINE;
            known++;
        }
        if (known != rl_keywords(call)) return RL_DECLINE;
    }
    j.sizes[0] = o->tests ? 1 : size;
    for (int k = 1; k <= o->inputs; k++) j.sizes[k] = k == o->bytes_at ? 1 : size;
    int result_type = o->tests ? NPY_BOOL : type;
    rl_plan plan;
    PyObject *result;
    if (!out && plan_dense(&plan, inputs, o->inputs)) {
        PyArrayObject *lead = RL_ARRAY(inputs[0]);
        for (int k = 1; k < o->inputs; k++) {
            if (PyArray_NDIM(RL_ARRAY(inputs[k])) > PyArray_NDIM(lead)) lead = RL_ARRAY(inputs[k]);
        }
        result = rl_empty(PyArray_NDIM(lead), PyArray_DIMS(lead), result_type);
        if (!result) return NULL;
        plan.data[0] = RL_DATA(result);
        plan.steps[0][0] = j.sizes[0];
    } else {
        result = rl_plan_elementwise(&plan, inputs, o->inputs, result_type, out);
        if (!result || result == RL_DECLINE) return result;
    }
    rl_run_plan(&plan, run, &j, o->cost);
    return result;
}

static PyObject *elementwise(const rl_call *call) {
    const operation *o = call->data;
    if (call->count != o->inputs) return RL_DECLINE;
    return apply(call, o, call->args, 0);
}

#define BOTH(name) {name##_f32, name##_f64}
#define OPERATION(name, inputs, cost) {BOTH(name), inputs, 0, false, cost, NULL}

/* gelu and its gradient: the form is an attribute. */
static const operation GELU[2][2] = {
    {{{gelu_f32, NULL}, 1, 0, false, GELU_COST, NULL}, OPERATION(gelu_tanh, 1, 90)},
    {{{gelu_backward_f32, NULL}, 2, 0, false, GELU_COST, NULL}, OPERATION(gelu_tanh_backward, 2, 110)},
};

static PyObject *gelu(const rl_call *call) {
    const operation *o = call->data;
#ifdef OWN_GELU
    fit_gelu();
#endif
    PyObject *form = rl_keyword(call, "approximate");
    if (!form || !PyUnicode_Check(form) || call->count != o->inputs) return RL_DECLINE;
    if (!PyUnicode_CompareWithASCIIString(form, "tanh")) o++;
    else if (PyUnicode_CompareWithASCIIString(form, "none")) return RL_DECLINE;
    return apply(call, o, call->args, 1);
}

/* clamp(x, low, high): either end may be None, by position. */
static PyObject *clamp(const rl_call *call) {
    static const operation both = OPERATION(clamp, 3, 25), low = OPERATION(clamp_low, 2, 25),
                           high = OPERATION(clamp_high, 2, 25);
    if (call->count < 2 || call->count > 3) return RL_DECLINE;
    bool has_low = call->args[1] != Py_None;
    bool has_high = call->count == 3 && call->args[2] != Py_None;
    if (has_low && has_high) return apply(call, &both, call->args, 0);
    if (has_low) return apply(call, &low, call->args, 0);
    if (!has_high) return RL_DECLINE;
    PyObject *const inputs[2] = {call->args[0], call->args[2]};
    return apply(call, &high, inputs, 0);
}

/* pow(x, y) for the exponents that need no logarithm, given as a 0-d array. */
static PyObject *power(const rl_call *call) {
    static const operation square = OPERATION(square, 1, 25), cube = OPERATION(cube, 1, 25),
                           inverse = OPERATION(reciprocal, 1, 30);
    if (call->count != 2 || !rl_is_array(call->args[0]) || !rl_is_array(call->args[1])) {
        return RL_DECLINE;
    }
    PyArrayObject *y = RL_ARRAY(call->args[1]);
    int type = PyArray_TYPE(y);
    if (PyArray_NDIM(y) || type != PyArray_TYPE(RL_ARRAY(call->args[0]))) return RL_DECLINE;
    double e = type == NPY_FLOAT       ? *(float *)PyArray_DATA(y)
               : type == NPY_DOUBLE    ? *(double *)PyArray_DATA(y)
               : type == NPY_HALF      ? rl_f32_of_f16_1(*(uint16_t *)PyArray_DATA(y))
               : type == rl_bfloat16() ? rl_f32_of_bf16_1(*(uint16_t *)PyArray_DATA(y))
                                       : 0;
    if (e == 2) return apply(call, &square, call->args, 0);
    if (e == 3) return apply(call, &cube, call->args, 0);
    if (e == -1) return apply(call, &inverse, call->args, 0);
    return RL_DECLINE;
}

#define ROW(name, inputs, cost)                                                                   \
    {#name, "floating reduced", elementwise, &(const operation)OPERATION(name, inputs, cost)}
#define TEST_ROW(name, inputs)                                                                    \
    {#name, "floating reduced", elementwise, &(const operation){BOTH(name), inputs, 0, true, 20, NULL}}
#define ATTRIBUTE_ROW(name, inputs, attribute)                                                    \
    {#name, "floating reduced", elementwise,                                                              \
     &(const operation){BOTH(name), inputs, 0, false, 30, attribute}}
#define MASK_ROW(name, classes, at)                                                               \
    {#name, classes, elementwise, &(const operation){BOTH(name), 3, at, false, 30, NULL}}

const rl_kernel rl_elementwise_kernels[] = {
    ROW(add, 2, 25),
    ROW(sub, 2, 25),
    ROW(mul, 2, 25),
    ROW(div, 2, 30),
    ROW(maximum, 2, 25),
    ROW(minimum, 2, 25),
    TEST_ROW(eq, 2),
    TEST_ROW(ne, 2),
    TEST_ROW(lt, 2),
    TEST_ROW(le, 2),
    TEST_ROW(gt, 2),
    TEST_ROW(ge, 2),
    TEST_ROW(isnan, 1),
    ROW(neg, 1, 20),
    ROW(abs, 1, 20),
    ROW(square, 1, 20),
    ROW(sqrt, 1, 40),
    ROW(reciprocal, 1, 30),
    ROW(rsqrt, 1, 50),
    ROW(relu, 1, 20),
    ROW(exp, 1, 50),
    ROW(expm1, 1, 50),
    ROW(log, 1, 50),
    ROW(tanh, 1, 60),
    ROW(sigmoid, 1, 60),
    ROW(silu, 1, 60),
    ATTRIBUTE_ROW(leaky_relu, 1, "negative_slope"),
    {"gelu", "floating reduced", gelu, GELU[0]},
    {"gelu_backward", "floating reduced", gelu, GELU[1]},
    ROW(relu_backward, 2, 25),
    ROW(sigmoid_backward, 2, 30),
    ROW(tanh_backward, 2, 30),
    ROW(silu_backward, 2, 70),
    ATTRIBUTE_ROW(addcmul, 3, "value"),
    ATTRIBUTE_ROW(addcdiv, 3, "value"),
    ROW(lerp, 3, 30),
    ATTRIBUTE_ROW(lerp_by, 2, "weight"),
    {"clamp", "floating reduced", clamp, NULL},
    {"pow", "floating reduced", power, NULL},
    MASK_ROW(where, "bool", 1),
    MASK_ROW(masked_fill, "floating reduced", 2),
    {0},
};
