/* The thread pool: workers spin briefly, then sleep; the caller takes part.

   One job at a time.  The caller opens it, works, closes it, and waits until no worker is inside;
   a worker that wakes late finds it closed.  Two pools that spin would take the cores from each
   other (BLAS has one too), hence the short spin.  Where jobs have been coming in quick succession
   a worker waits longer for the next, for waking it costs as much as a small job; but then it
   offers its core to others all the time, and no wait outlasts LONGEST_SPIN. */
#include "rl.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define MOST_THREADS 256
#define SHORT_SPIN 20000 /* nanoseconds */
#define LONGEST_SPIN 200000
#define PATIENCE 1000000 /* of a caller whose workers are at their last tasks */

static pthread_mutex_t entrance = PTHREAD_MUTEX_INITIALIZER; /* held by the thread inside */
static pthread_t workers[MOST_THREADS];
static int running = 0; /* workers that exist */
static atomic_int wanted = 1;
static _Thread_local bool inside = false;

static atomic_int generation = 0; /* one more with each job; workers sleep on it */
static atomic_int sleepers = 0;
static atomic_int open_ = 0, active = 0, leaving = 0;
static _Atomic int64_t next_task = 0;
static int64_t job_tasks;
static rl_task job_task;
static void *job_context;

#ifndef __linux__
static pthread_mutex_t bed = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t bell = PTHREAD_COND_INITIALIZER;
#endif

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool changes(atomic_int *word, int value) {
    for (int i = 0; i < 32; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) != value) return true;
        relax();
    }
    return false;
}

/* Spins until *word is no longer `value`, for `spin` nanoseconds at most; whether it changed. */
static bool spin_while(atomic_int *word, int value, int64_t spin) {
    int64_t start = now(), waited = 0;
    while (waited < spin) {
        if (changes(word, value)) return true;
        waited = now() - start;
        if (waited > SHORT_SPIN) sched_yield();
    }
    return false;
}

static void sleep_while(atomic_int *word, int value) {
    atomic_fetch_add(&sleepers, 1);
#ifdef __linux__
    while (atomic_load(word) == value) {
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
    }
#else
    pthread_mutex_lock(&bed);
    while (atomic_load(word) == value) pthread_cond_wait(&bell, &bed);
    pthread_mutex_unlock(&bed);
#endif
    atomic_fetch_sub(&sleepers, 1);
}

static void wake(atomic_int *word, int count) {
    if (!atomic_load(&sleepers)) return;
#ifdef __linux__
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
#else
    (void)count;
    pthread_mutex_lock(&bed);
    pthread_cond_broadcast(&bell);
    pthread_mutex_unlock(&bed);
#endif
}

/* Where workers sleep.  Schedulers like to wake a thread on the CPU where the one that wakes it goes
   on running, and there it may wait for milliseconds while others are idle.  So the caller takes its
   own CPU from those that a sleeping worker may use, and the worker takes it back when awake. */

enum { AWAKE, ASLEEP, MOVING, MOVED };
typedef struct {
    atomic_int state;
    int seen; /* the generation when its worker was started */
#ifdef __linux__
    cpu_set_t allowed; /* before it was MOVED */
#endif
} place;
static place places[MOST_THREADS];

static void move_sleepers(int count) {
#ifdef __linux__
    int cpu = atomic_load(&sleepers) ? sched_getcpu() : -1;
    if (cpu < 0 || cpu >= CPU_SETSIZE) return;
    for (int i = 0; i < running && count > 0; i++) {
        place *b = &places[i];
        int state = atomic_load(&b->state);
        if (state == AWAKE || !atomic_compare_exchange_strong(&b->state, &state, MOVING)) continue;
        count--;
        bool known = state == MOVED || !pthread_getaffinity_np(workers[i], sizeof b->allowed,
                                                               &b->allowed);
        cpu_set_t others = b->allowed;
        if (known) CPU_CLR(cpu, &others);
        bool moved = known && CPU_COUNT(&others) &&
                     !pthread_setaffinity_np(workers[i], sizeof others, &others);
        atomic_store(&b->state, moved ? MOVED : state);
    }
#else
    (void)count;
#endif
}

static void sleep_in(place *b, int seen) {
    atomic_store(&b->state, ASLEEP);
    sleep_while(&generation, seen);
    int state;
    do {
        while ((state = atomic_load(&b->state)) == MOVING) relax();
    } while (!atomic_compare_exchange_strong(&b->state, &state, AWAKE));
#ifdef __linux__
    if (state == MOVED) sched_setaffinity(0, sizeof b->allowed, &b->allowed);
#endif
}

static void take_tasks(void) {
    for (;;) {
        int64_t i = atomic_fetch_add(&next_task, 1);
        if (i >= job_tasks) return;
        job_task(job_context, i);
    }
}

static void *work(void *argument) {
    place *own = argument;
    int seen = own->seen;
    inside = true; /* what a task starts runs serially */
    int64_t spin = SHORT_SPIN;
    for (;;) {
        int64_t start = now();
        if (!spin_while(&generation, seen, spin)) sleep_in(own, seen);
        /* Too long a wait halves the next; one that spinning would have spared doubles it. */
        int64_t waited = now() - start;
        if (waited > 2 * LONGEST_SPIN) spin = spin / 2 > SHORT_SPIN ? spin / 2 : SHORT_SPIN;
        else if (waited > spin / 2) spin = 2 * spin < LONGEST_SPIN ? 2 * spin : LONGEST_SPIN;
        seen = atomic_load(&generation);
        if (atomic_load(&leaving)) return NULL;
        atomic_fetch_add(&active, 1);
        if (atomic_load(&open_)) take_tasks();
        if (atomic_fetch_sub(&active, 1) == 1) wake(&active, 1);
    }
}

static void start_workers(int count) {
    sigset_t all, before;
    sigfillset(&all); /* signals are for Python's threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int seen = atomic_load(&generation);
    while (running < count) {
        places[running].seen = seen;
        atomic_store(&places[running].state, AWAKE);
        if (pthread_create(&workers[running], NULL, work, &places[running])) break;
        running++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void stop_workers(void) {
    atomic_store(&leaving, 1);
    atomic_fetch_add(&generation, 1);
    wake(&generation, MOST_THREADS);
    for (int i = 0; i < running; i++) pthread_join(workers[i], NULL);
    running = 0;
    atomic_store(&leaving, 0);
}

static void in_forked_child(void) {
    /* Its workers are gone, and whoever held the lock may be too. */
    pthread_mutex_init(&entrance, NULL);
#ifndef __linux__
    pthread_mutex_init(&bed, NULL);
    pthread_cond_init(&bell, NULL);
#endif
    running = 0;
    inside = false;
    atomic_store(&active, 0);
    atomic_store(&open_, 0);
    atomic_store(&leaving, 0);
    atomic_store(&sleepers, 0);
}

__attribute__((constructor)) static void watch_forks(void) {
    pthread_atfork(NULL, NULL, in_forked_child);
}

int rl_threads(void) { return atomic_load(&wanted); }

void rl_set_threads(int threads) {
    if (threads < 1) threads = 1;
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    pthread_mutex_lock(&entrance);
    atomic_store(&wanted, threads);
    if (running > threads - 1) stop_workers(); /* the next job starts those it needs */
    pthread_mutex_unlock(&entrance);
}

void rl_parallel(int64_t tasks, rl_task task, void *context) {
    int threads = atomic_load_explicit(&wanted, memory_order_relaxed);
    if (tasks <= 1 || threads <= 1 || inside || pthread_mutex_trylock(&entrance)) {
        for (int64_t i = 0; i < tasks; i++) task(context, i);
        return;
    }
    if (running < threads - 1) start_workers(threads - 1);
    job_task = task, job_context = context, job_tasks = tasks;
    atomic_store(&next_task, 0);
    atomic_store(&open_, 1);
    int helpers = tasks < threads ? (int)tasks - 1 : threads - 1;
    move_sleepers(helpers);
    atomic_fetch_add(&generation, 1);
    wake(&generation, helpers);
    inside = true;
    take_tasks();
    inside = false;
    atomic_store(&open_, 0);
    for (int left; (left = atomic_load(&active));) {
        if (!spin_while(&active, left, PATIENCE)) sleep_while(&active, left);
    }
    pthread_mutex_unlock(&entrance);
}

typedef struct {
    int64_t size, grain;
    rl_range_task task;
    void *context;
} pieces;

static void run_piece(void *context, int64_t i) {
    const pieces *p = context;
    int64_t begin = i * p->grain, end = begin + p->grain;
    p->task(p->context, begin, end < p->size ? end : p->size);
}

void rl_parallel_range(int64_t size, int64_t grain, rl_range_task task, void *context) {
    if (size <= 0) return;
    if (grain < 1) grain = 1;
    pieces p = {size, grain, task, context};
    rl_parallel((size + grain - 1) / grain, run_piece, &p);
}
