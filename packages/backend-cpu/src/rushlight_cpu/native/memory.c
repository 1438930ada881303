/* Results and scratch: 64-byte aligned blocks that are kept for the next result of their size.

   Fresh memory is slow: each first touch of a page traps into the kernel, and arrays aligned to
   16 bytes halve the speed of vector loops in cache.  Blocks come in four sizes per power of two.
   All of this runs under the GIL. */
#include "rl.h"

#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

#define SMALLEST 8192           /* below, NumPy's own allocation is as good */
#define HUGE_FROM (4096 * 1024) /* from here, ask for huge pages */
#define HUGE_PAGE (2048 * 1024)
#define CLASSES 256
#define SLACK (8192 * 1024) /* idle bytes, or a sixteenth of the peak: see trim() */
#define OFTEN 8 /* times a size comes back before more of it may lie */
#define HEADER 64

/* Stands in front of the data, which keeps their alignment. */
typedef struct block {
    size_t bytes; /* of data */
    int class_;
    struct block *next_of_class;      /* idle blocks of a class: last in, first out */
    struct block *older, *newer;      /* all idle blocks by age */
} block;
_Static_assert(sizeof(block) <= HEADER, "a block's header must fit");

static block *idle[CLASSES];
static block *oldest, *newest;
static size_t live_bytes, peak_bytes, idle_bytes, idle_limit = (size_t)1 << 29;
static size_t regretted;
static int dropped[CLASSES], came_back[CLASSES];
static int64_t reused, fresh;

/* Rounds up to a quarter of a power of two, and numbers the result. */
static int class_of(size_t bytes, size_t *rounded) {
    if (bytes < SMALLEST) bytes = SMALLEST;
    int top = 63 - __builtin_clzll((unsigned long long)bytes);
    size_t quarter = (size_t)1 << (top - 2);
    *rounded = (bytes + quarter - 1) & ~(quarter - 1);
    top = 63 - __builtin_clzll((unsigned long long)*rounded);
    return 4 * top + (int)((*rounded >> (top - 2)) & 3);
}

static void leave_line(block *b) {
    *(b->older ? &b->older->newer : &oldest) = b->newer;
    *(b->newer ? &b->newer->older : &newest) = b->older;
    idle_bytes -= b->bytes;
}

static void drop_oldest(void) {
    block *b = oldest, **at = &idle[b->class_];
    while (*at != b) at = &(*at)->next_of_class;
    *at = b->next_of_class;
    leave_line(b);
    free(b);
}

/* Before a block is made: what is idle may be of sizes that do not come back, as after a model's
   initialisation, and goes but for a margin.  A size that comes back often, without more in use than
   ever, was dropped wrongly, and so much more may lie from then on, as long as no more is held than
   the peak of what was in use and the margin: a program that repeats itself soon finds its memory
   again. */
static void trim(int class_, size_t rounded) {
    if (dropped[class_]) {
        dropped[class_]--;
        if (++came_back[class_] > OFTEN) regretted += rounded;
    }
    const size_t margin = peak_bytes / 16 > SLACK ? peak_bytes / 16 : SLACK;
    const size_t wanted = live_bytes + rounded;
    const size_t room = wanted < peak_bytes ? peak_bytes - wanted : 0;
    const size_t allowed = margin + (regretted < room ? regretted : room);
    while (oldest && idle_bytes > allowed) {
        dropped[oldest->class_]++;
        drop_oldest();
    }
}

static void *take(size_t bytes) {
    if (bytes > ((size_t)1 << 60)) return NULL;
    size_t rounded;
    int class_ = class_of(bytes, &rounded);
    block *b = idle[class_];
    if (b) {
        idle[class_] = b->next_of_class;
        leave_line(b);
        reused++;
    } else {
        trim(class_, rounded);
        void *room;
        bool huge = rounded >= HUGE_FROM;
        while (posix_memalign(&room, huge ? HUGE_PAGE : 64, rounded + HEADER)) {
            if (!oldest) return NULL;
            drop_oldest();
        }
#ifdef MADV_HUGEPAGE
        if (huge) madvise(room, rounded + HEADER, MADV_HUGEPAGE);
#endif
        b = room;
        b->bytes = rounded;
        b->class_ = class_;
        fresh++;
    }
    live_bytes += b->bytes;
    if (live_bytes > peak_bytes) {
        peak_bytes = live_bytes;
        memset(dropped, 0, sizeof dropped);
    }
    return (char *)b + HEADER;
}

static void give(void *data) {
    block *b = (block *)((char *)data - HEADER);
    live_bytes -= b->bytes;
    if (b->bytes > idle_limit) {
        free(b);
        return;
    }
    b->next_of_class = idle[b->class_];
    idle[b->class_] = b;
    b->older = newest, b->newer = NULL;
    *(newest ? &newest->newer : &oldest) = b;
    newest = b;
    idle_bytes += b->bytes;
    while (idle_bytes > idle_limit) drop_oldest();
}

void *rl_scratch(size_t bytes) {
    void *data = take(bytes);
    if (!data) PyErr_NoMemory();
    return data;
}

void rl_scratch_free(void *data) {
    if (data) give(data);
}

/* The base object of an array: gives the block back when the last view of it is gone. */
typedef struct {
    PyObject_HEAD
    void *data;
} owner;

static void owner_dealloc(PyObject *self) {
    give(((owner *)self)->data);
    PyObject_Free(self);
}

static PyTypeObject owner_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "rushlight_cpu.Block",
    .tp_basicsize = sizeof(owner),
    .tp_dealloc = owner_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Memory of an array, kept for the next one when it is free.",
};

static PyObject *empty(int dims, const npy_intp *shape, const npy_intp *strides, int type) {
    PyArray_Descr *descr = PyArray_DescrFromType(type);
    if (!descr) return NULL;
    size_t bytes = (size_t)PyDataType_ELSIZE(descr);
    for (int d = 0; d < dims; d++) {
        if (__builtin_mul_overflow(bytes, (size_t)shape[d], &bytes)) {
            Py_DECREF(descr);
            return PyErr_NoMemory();
        }
    }
    if (bytes < SMALLEST) {
        return PyArray_NewFromDescr(&PyArray_Type, descr, dims, shape, strides, NULL, 0, NULL);
    }
    owner *base = PyObject_New(owner, &owner_type);
    if (!base) {
        Py_DECREF(descr);
        return NULL;
    }
    base->data = take(bytes);
    if (!base->data) {
        PyObject_Free(base);
        Py_DECREF(descr);
        return PyErr_NoMemory();
    }
    PyObject *array = PyArray_NewFromDescr(&PyArray_Type, descr, dims, shape, strides, base->data,
                                           NPY_ARRAY_WRITEABLE, NULL);
    if (!array) {
        Py_DECREF(base);
        return NULL;
    }
    if (PyArray_SetBaseObject(RL_ARRAY(array), (PyObject *)base) < 0) {
        Py_DECREF(array);
        return NULL;
    }
    return array;
}

PyObject *rl_empty(int dims, const npy_intp *shape, int type) {
    return empty(dims, shape, NULL, type);
}

PyObject *rl_empty_ordered(int dims, const npy_intp *shape, const int *order, int type) {
    npy_intp strides[NPY_MAXDIMS];
    PyArray_Descr *descr = PyArray_DescrFromType(type);
    npy_intp step = PyDataType_ELSIZE(descr);
    Py_DECREF(descr);
    for (int i = dims; i--;) {
        strides[order[i]] = step;
        step *= shape[order[i]] ? shape[order[i]] : 1;
    }
    return empty(dims, shape, strides, type);
}

/* empty(shape, typenum): for Python code and tests. */
PyObject *rl_empty_array(PyObject *module, PyObject *args) {
    PyArray_Dims shape = {NULL, 0};
    int type;
    if (!PyArg_ParseTuple(args, "O&i", PyArray_IntpConverter, &shape, &type)) return NULL;
    PyObject *array = rl_empty(shape.len, shape.ptr, type);
    PyDimMem_FREE(shape.ptr);
    return array;
}

PyObject *rl_memory_stats(PyObject *module, PyObject *unused) {
    return Py_BuildValue("{s:n,s:n,s:n,s:n,s:L,s:L}", "allocated", (Py_ssize_t)live_bytes, "peak",
                         (Py_ssize_t)peak_bytes, "reserved", (Py_ssize_t)(live_bytes + idle_bytes),
                         "idle", (Py_ssize_t)idle_bytes, "reused", (long long)reused, "fresh",
                         (long long)fresh);
}

PyObject *rl_reset_peak(PyObject *module, PyObject *unused) {
    peak_bytes = live_bytes;
    Py_RETURN_NONE;
}

PyObject *rl_empty_cache(PyObject *module, PyObject *unused) {
    while (oldest) drop_oldest();
    Py_RETURN_NONE;
}

PyObject *rl_set_cache_limit(PyObject *module, PyObject *bytes) {
    Py_ssize_t limit = PyLong_AsSsize_t(bytes);
    if (limit == -1 && PyErr_Occurred()) return NULL;
    idle_limit = limit < 0 ? 0 : (size_t)limit;
    while (oldest && idle_bytes > idle_limit) drop_oldest();
    Py_RETURN_NONE;
}

int rl_memory_init(PyObject *module) {
#if defined(__linux__) && defined(_SC_PHYS_PAGES)
    /* An eighth of the machine's memory may lie idle. */
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0) idle_limit = (size_t)pages / 8 * (size_t)page;
#endif
    return PyType_Ready(&owner_type);
}
