/* What softmax.c lends to loss.c. */
#ifndef RL_SOFTMAX_H
#define RL_SOFTMAX_H

#include "rl.h"
#include "rl_math_types.h"

enum { SOFTMAX, LOG_SOFTMAX, LOG_SUM_EXP, SOFTMAX_BACKWARD, LOG_SOFTMAX_BACKWARD };

/* One of these along the middle axis of (outer, n, inner).  `unshifted`: the logarithm of a sum
   that is 0 or infinite is that; else rows whose maximum is infinite become NaN. */
void rl_softmax_along(int type, const void *g, const void *x, void *out, int64_t outer, int64_t n,
                      int64_t inner, int which, bool unshifted);

#endif
