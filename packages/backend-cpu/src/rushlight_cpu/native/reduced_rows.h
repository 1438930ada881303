/* What reduced_rows.c lends to reduced.c: rows of 16-bit floats, widened in the first cache. */
#ifndef RL_REDUCED_ROWS_H
#define RL_REDUCED_ROWS_H

#include "rl.h"

/* sum and mean (`data`: not NULL) over the last axes of a dense array. */
PyObject *rl_sum_reduced(const rl_call *call);
/* The softmax family along the last axis of dense arrays; `data` is its number in rl_softmax.h. */
PyObject *rl_softmax_reduced(const rl_call *call);

#endif
