/* What the native kernels share: how one is written, parallel loops, memory, operands.

   A kernel is `PyObject *f(const rl_call *call)`: arrays by position, attributes by keyword.  It
   returns a new reference; RL_DECLINE (at any time before it writes anything) for operands that
   it does not cover, which then go to the NumPy kernel of the same operator; or NULL with an
   exception set.  Tables of `rl_kernel` at the end of each file are listed in module.c. */
#ifndef RL_H
#define RL_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define PY_ARRAY_UNIQUE_SYMBOL rushlight_cpu_numpy
#ifndef RL_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Calls */

typedef struct {
    PyObject *const *args; /* positional ones, then the values of keywords */
    Py_ssize_t count;      /* of positional ones */
    PyObject *names;       /* tuple of keywords, or NULL */
    const void *data;      /* from the table: lets one function serve many rows */
} rl_call;

typedef PyObject *(*rl_function)(const rl_call *call);

typedef struct {
    const char *name;    /* of the operator */
    const char *classes; /* of the first operand's dtype, separated by blanks: "floating",
                            "reduced", "integer", "bool", "complex" */
    rl_function function;
    const void *data;
} rl_kernel; /* a table ends with a row of zeros */

/* Not a new reference: a kernel that declines has no result. */
#define RL_DECLINE Py_NotImplemented

/* The value of a keyword (borrowed), or NULL; `known` counts how many of the call's keywords were
   asked for, so that `known != rl_keywords(call)` means one is not understood. */
PyObject *rl_keyword(const rl_call *call, const char *name);
static inline Py_ssize_t rl_keywords(const rl_call *call) {
    return call->names ? PyTuple_GET_SIZE(call->names) : 0;
}
/* Attributes; false where the keyword is absent or not of that type (then decline). */
bool rl_int(const rl_call *call, const char *name, int64_t *value);
bool rl_float(const rl_call *call, const char *name, double *value);
bool rl_bool(const rl_call *call, const char *name, bool *value);
/* A tuple of ints of at most `most` entries; their number, or -1. */
int rl_ints(const rl_call *call, const char *name, int64_t *values, int most);
/* NumPy's number of an attribute that is a dtype of ours, -1 if it is none. */
int rl_dtype(const rl_call *call, const char *name);
/* That of bfloat16, -1 where it has none. */
int rl_bfloat16(void);

/* Operands */

#define RL_MAX_DIMS 16
#define RL_MAX_OPERANDS 6

/* A NumPy array we can read: exactly ndarray, aligned, native byte order. */
static inline bool rl_is_array(PyObject *x) {
    return Py_IS_TYPE(x, &PyArray_Type) && PyArray_ISBEHAVED_RO((PyArrayObject *)x) &&
           PyArray_NDIM((PyArrayObject *)x) <= RL_MAX_DIMS;
}
/* ... of a dtype (NPY_FLOAT, NPY_DOUBLE, NPY_INT64, NPY_BOOL) and C-contiguous. */
static inline bool rl_is_dense(PyObject *x, int type) {
    return rl_is_array(x) && PyArray_TYPE((PyArrayObject *)x) == type &&
           PyArray_IS_C_CONTIGUOUS((PyArrayObject *)x);
}
#define RL_ARRAY(x) ((PyArrayObject *)(x))
#define RL_DATA(x) PyArray_DATA((PyArrayObject *)(x))

/* The array itself if it is C-contiguous, else a copy: new reference, or NULL with an error set. */
PyObject *rl_dense(PyObject *x);
/* A C-contiguous copy in another of the dtypes that casting.c knows. */
PyObject *rl_converted(PyObject *x, int type);

/* Operands broadcast against each other, axes sorted and merged so that few are left.
   Operand 0 is the result.  Steps are in bytes; 0 where an operand is broadcast. */
typedef struct {
    int operands, dims;
    int64_t size; /* elements in all */
    int64_t shape[RL_MAX_DIMS];
    int64_t steps[RL_MAX_OPERANDS][RL_MAX_DIMS];
    char *data[RL_MAX_OPERANDS];
} rl_plan;

/* Broadcasts `inputs[0..count)`; the result is `out` if that is not NULL, else a new array of
   dtype `type` laid out as NumPy would.  Returns the result (new reference), RL_DECLINE, or NULL
   with an error set.  Declines negative steps and a result that overlaps an input in part. */
PyObject *rl_plan_elementwise(rl_plan *plan, PyObject *const *inputs, int count, int type,
                              PyObject *out);
/* Runs `inner(n, data, steps, context)` over a plan, in parallel if `cost` (about nanoseconds per
   element times 100) times the size asks for it. The GIL may be released. */
typedef void (*rl_inner)(int64_t n, char *const *data, const int64_t *steps, const void *context);
void rl_run_plan(const rl_plan *plan, rl_inner inner, const void *context, int cost);

/* Memory */

/* A new C-contiguous array, its values undefined. Large ones come 64-byte aligned from the pool. */
PyObject *rl_empty(int dims, const npy_intp *shape, int type);
/* ... with the axes in memory order `order` (outermost first). */
PyObject *rl_empty_ordered(int dims, const npy_intp *shape, const int *order, int type);
/* 64-byte aligned scratch from the same pool; to be called with the GIL held. NULL sets
   MemoryError. */
void *rl_scratch(size_t bytes);
void rl_scratch_free(void *block);

/* Threads */

/* Calls task(context, i) for i in [0, tasks), on all threads of the pool; the caller takes part.
   Which thread runs which task is not determined, so results must not depend on it: cut the work
   by its size only, never by the number of threads.  Runs serially inside a task, and while
   another Python thread holds the pool. */
typedef void (*rl_task)(void *context, int64_t index);
void rl_parallel(int64_t tasks, rl_task task, void *context);
/* The same for consecutive pieces of [0, size) of `grain` units each. */
typedef void (*rl_range_task)(void *context, int64_t begin, int64_t end);
void rl_parallel_range(int64_t size, int64_t grain, rl_range_task task, void *context);
int rl_threads(void);
void rl_set_threads(int threads);

/* Releases the GIL around longer work; `if (!enough)` keeps it. */
#define RL_RELEASE_GIL(enough)                                                                    \
    {                                                                                             \
        PyThreadState *rl_saved_ = (enough) ? PyEval_SaveThread() : NULL;
#define RL_TAKE_GIL                                                                               \
    if (rl_saved_) PyEval_RestoreThread(rl_saved_);                                               \
    }

/* BLAS: C = alpha * op(A) op(B) + beta * C, row-major, in the library that NumPy uses. */

bool rl_has_blas(void);
void rl_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha,
              const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
              int64_t ldc);
void rl_dgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, double alpha,
              const double *a, int64_t lda, const double *b, int64_t ldb, double beta, double *c,
              int64_t ldc);
/* Holds BLAS to one thread, for calls from pool tasks. Process-wide, counted. */
void rl_blas_one_thread(void);
void rl_blas_all_threads(void);
PyObject *rl_blas_find(PyObject *module, PyObject *path); /* (path of NumPy's extension) -> bool */

/* Set up and statistics, for module.c */

int rl_memory_init(PyObject *module);
PyObject *rl_memory_stats(PyObject *module, PyObject *unused);
PyObject *rl_reset_peak(PyObject *module, PyObject *unused);
PyObject *rl_empty_cache(PyObject *module, PyObject *unused);
PyObject *rl_set_cache_limit(PyObject *module, PyObject *bytes);
PyObject *rl_empty_array(PyObject *module, PyObject *args);

#endif
