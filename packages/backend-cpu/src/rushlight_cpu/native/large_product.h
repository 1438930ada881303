/* One large product of float32 matrices, by tiles of the result. */
#ifndef RL_LARGE_PRODUCT_H
#define RL_LARGE_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t m, n, k; /* m x k by k x n */
    const float *a, *b;
    int64_t lda, ldb;
    bool turned_a, turned_b; /* stored as its transpose */
    float *c;
    int64_t ldc;
    /* What is added: rows `start_row` floats apart (0: one row for all), or NULL. */
    const float *start;
    int64_t start_row;
} rl_large_product;

/* Whether this is the way for a product of these sizes. */
bool rl_is_large_product(int64_t m, int64_t n, int64_t k);
/* With the GIL held, which it releases. False with an error set if there is no memory. */
bool rl_multiply_large(const rl_large_product *p);

#endif
