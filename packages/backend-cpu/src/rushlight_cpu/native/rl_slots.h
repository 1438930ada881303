/* Workspace for tasks: a piece of scratch for each thread at work. */
#ifndef RL_SLOTS_H
#define RL_SLOTS_H

#include "rl.h"

#include <stdatomic.h>

#define RL_MOST_SLOTS 256 /* as many as threads.c starts */

/* A piece of scratch for each thread at work; what is in it is not to be relied upon. */
typedef struct {
    char *base;
    size_t bytes; /* of one */
    int count;
    atomic_flag busy[RL_MOST_SLOTS];
} rl_slots;

static inline bool rl_open_slots(rl_slots *slots, size_t bytes, int64_t tasks) {
    slots->bytes = (bytes + 127) & ~(size_t)63;
    int64_t count = rl_threads() < tasks ? rl_threads() : tasks;
    slots->count = (int)(count < 1 ? 1 : count > RL_MOST_SLOTS ? RL_MOST_SLOTS : count);
    for (int i = 0; i < slots->count; i++) atomic_flag_clear(&slots->busy[i]);
    slots->base = rl_scratch(slots->bytes * (size_t)slots->count);
    return slots->base != NULL;
}
static inline float *rl_take_slot(rl_slots *slots, int *index) {
    for (int i = 0;; i = i + 1 < slots->count ? i + 1 : 0) {
        if (!atomic_flag_test_and_set(&slots->busy[i])) {
            *index = i;
            return (float *)(slots->base + slots->bytes * (size_t)i);
        }
    }
}
static inline void rl_give_slot(rl_slots *slots, int index) {
    atomic_flag_clear(&slots->busy[index]);
}

#endif
