/* What kernels that read and write by index share: the shape around a dimension, checked places.

   An index out of range makes a kernel decline before anything that can be seen is written; the
   NumPy kernel then finds the index again and raises. */
#ifndef RL_INDEXED_H
#define RL_INDEXED_H

#include "rl.h"

#include <stdatomic.h>

#define RL_CHUNK (1 << 16) /* bytes that a task should move at least */

/* An array seen as (outer, n, inner) around one dimension, or several that follow each other. */
typedef struct {
    int64_t outer, n, inner;
} rl_around;

static inline rl_around rl_around_dims(PyArrayObject *x, int first, int count) {
    rl_around a = {1, 1, 1};
    for (int d = 0; d < PyArray_NDIM(x); d++) {
        *(d < first ? &a.outer : d < first + count ? &a.n : &a.inner) *= PyArray_DIM(x, d);
    }
    return a;
}

/* A positive number of units per task for pieces of about RL_CHUNK bytes. */
static inline int64_t rl_grain(int64_t bytes_per_unit) {
    int64_t grain = RL_CHUNK / (bytes_per_unit > 0 ? bytes_per_unit : 1);
    return grain > 0 ? grain : 1;
}

/* Places along the indexed dimensions, each in [0, n). */
typedef struct {
    const int64_t *at;
    int64_t count;
    int dims;
    npy_intp shape[RL_MAX_DIMS]; /* what the index tensors broadcast to */
    PyObject *held;              /* the array that `at` lies in, or NULL */
    int64_t *scratch;            /* or the block */
} rl_places;

/* Checks index tensors against their dimensions' sizes and combines them to places in the folded
   dimension.  1, 0 to decline (nothing is held then), -1 with an error set. */
int rl_places_of(rl_places *places, PyObject *const *indices, int count, const npy_intp *sizes,
                 bool negative);
void rl_places_free(rl_places *places);

/* An array as C-contiguous int64 (new reference); NULL with or without an error set. */
PyObject *rl_index_array(PyObject *index);

/* Copies, or spreads one element over, pieces of memory; in parallel where it pays. */
void rl_copy(char *out, const char *x, int64_t bytes);
void rl_spread(char *out, const char *element, int64_t count, int64_t size);

/* Whether all elements of an array are one: it was expanded from a number. */
static inline bool rl_is_spread(PyArrayObject *x) {
    for (int d = 0; d < PyArray_NDIM(x); d++) {
        if (PyArray_DIM(x, d) > 1 && PyArray_STRIDE(x, d)) return false;
    }
    return PyArray_SIZE(x) > 0;
}

#endif
