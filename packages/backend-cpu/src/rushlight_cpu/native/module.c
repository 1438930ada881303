/* The extension module: the tables of kernels, and the object that stands for a kernel. */
#define RL_IMPORTS_NUMPY
#include "rl.h"

#include <structmember.h>

/* Two lines for each file of kernels. */
extern const rl_kernel rl_attention_kernels[];
extern const rl_kernel rl_batch_norm_kernels[];
extern const rl_kernel rl_casting_kernels[];
extern const rl_kernel rl_convolution_kernels[];
extern const rl_kernel rl_copying_kernels[];
extern const rl_kernel rl_elementwise_kernels[];
extern const rl_kernel rl_indexing_kernels[];
extern const rl_kernel rl_loss_kernels[];
extern const rl_kernel rl_matmul_kernels[];
extern const rl_kernel rl_optimising_kernels[];
extern const rl_kernel rl_pooling_kernels[];
extern const rl_kernel rl_random_kernels[];
extern const rl_kernel rl_reduced_kernels[];
extern const rl_kernel rl_recurrent_kernels[];
extern const rl_kernel rl_recurrent_layer_kernels[];
extern const rl_kernel rl_reduction_kernels[];
extern const rl_kernel rl_row_norm_kernels[];
extern const rl_kernel rl_scan_kernels[];
extern const rl_kernel rl_scattering_kernels[];
extern const rl_kernel rl_softmax_kernels[];
extern const rl_kernel rl_sorting_kernels[];
static const rl_kernel *const TABLES[] = {
    rl_attention_kernels,
    rl_batch_norm_kernels,
    rl_casting_kernels,
    rl_convolution_kernels,
    rl_copying_kernels,
    rl_elementwise_kernels,
    rl_indexing_kernels,
    rl_loss_kernels,
    rl_matmul_kernels,
    rl_optimising_kernels,
    rl_pooling_kernels,
    rl_random_kernels,
    rl_reduced_kernels,
    rl_recurrent_kernels,
    rl_recurrent_layer_kernels,
    rl_reduction_kernels,
    rl_row_norm_kernels,
    rl_scan_kernels,
    rl_scattering_kernels,
    rl_softmax_kernels,
    rl_sorting_kernels,
};
#define TABLE_COUNT (sizeof TABLES / sizeof *TABLES)

/* A callable: the native function, and the NumPy kernel for what it declines. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    const rl_kernel *kernel;
    PyObject *fallback;
} Kernel;

static PyObject *call_kernel(PyObject *self, PyObject *const *args, size_t flags,
                             PyObject *names) {
    Kernel *k = (Kernel *)self;
    rl_call call = {args, PyVectorcall_NARGS(flags), names, k->kernel->data};
    PyObject *result = k->kernel->function(&call);
    if (result == RL_DECLINE) return PyObject_Vectorcall(k->fallback, args, flags, names);
    return result;
}

static int kernel_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(((Kernel *)self)->fallback);
    return 0;
}

static int kernel_clear(PyObject *self) {
    Py_CLEAR(((Kernel *)self)->fallback);
    return 0;
}

static void kernel_dealloc(PyObject *self) {
    PyObject_GC_UnTrack(self);
    Py_CLEAR(((Kernel *)self)->fallback);
    PyObject_GC_Del(self);
}

static PyObject *kernel_repr(PyObject *self) {
    return PyUnicode_FromFormat("<native kernel '%s'>", ((Kernel *)self)->kernel->name);
}

static PyMemberDef kernel_members[] = {
    {"fallback", T_OBJECT, offsetof(Kernel, fallback), READONLY, "The NumPy kernel."}, {0}};

static PyTypeObject kernel_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "rushlight_cpu.Kernel",
    .tp_basicsize = sizeof(Kernel),
    .tp_vectorcall_offset = offsetof(Kernel, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_traverse = kernel_traverse,
    .tp_clear = kernel_clear,
    .tp_dealloc = kernel_dealloc,
    .tp_repr = kernel_repr,
    .tp_members = kernel_members,
    .tp_doc = "A kernel in C, with the NumPy kernel for what it does not cover.",
};

static const rl_kernel *find(int index) {
    for (size_t t = 0; t < TABLE_COUNT; t++) {
        for (const rl_kernel *k = TABLES[t]; k->name; k++) {
            if (!index--) return k;
        }
    }
    return NULL;
}

/* kernels() -> [(name, classes)], in the order that `bind` counts them. */
static PyObject *kernels(PyObject *module, PyObject *unused) {
    PyObject *list = PyList_New(0);
    const rl_kernel *k;
    for (int i = 0; list && (k = find(i)); i++) {
        PyObject *row = Py_BuildValue("(ss)", k->name, k->classes);
        if (!row || PyList_Append(list, row) < 0) Py_CLEAR(list);
        Py_XDECREF(row);
    }
    return list;
}

/* bind(index, fallback) -> Kernel */
static PyObject *bind(PyObject *module, PyObject *args) {
    int index;
    PyObject *fallback;
    if (!PyArg_ParseTuple(args, "iO", &index, &fallback)) return NULL;
    const rl_kernel *found = index < 0 ? NULL : find(index);
    if (!found) return PyErr_Format(PyExc_IndexError, "no native kernel number %d", index);
    Kernel *k = PyObject_GC_New(Kernel, &kernel_type);
    if (!k) return NULL;
    k->vectorcall = call_kernel;
    k->kernel = found;
    k->fallback = Py_NewRef(fallback);
    PyObject_GC_Track(k);
    return (PyObject *)k;
}

static PyObject *get_threads(PyObject *module, PyObject *unused) {
    return PyLong_FromLong(rl_threads());
}

static PyObject *set_threads(PyObject *module, PyObject *count) {
    long threads = PyLong_AsLong(count);
    if (threads == -1 && PyErr_Occurred()) return NULL;
    rl_set_threads(threads > 1 << 20 ? 1 << 20 : (int)threads);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"kernels", kernels, METH_NOARGS, "Names and dtype classes of all kernels."},
    {"bind", bind, METH_VARARGS, "The kernel with a number, with its fallback."},
    {"get_threads", get_threads, METH_NOARGS, "Threads of the pool, the caller's included."},
    {"set_threads", set_threads, METH_O, "Resizes the pool."},
    {"empty", rl_empty_array, METH_VARARGS, "An array from the pool of memory."},
    {"memory_stats", rl_memory_stats, METH_NOARGS, "Bytes and counts of the pool of memory."},
    {"reset_peak", rl_reset_peak, METH_NOARGS, "Counts the peak from now on."},
    {"empty_cache", rl_empty_cache, METH_NOARGS, "Frees idle memory."},
    {"set_cache_limit", rl_set_cache_limit, METH_O, "How many bytes may lie idle."},
    {"find_blas", rl_blas_find, METH_O, "Looks for BLAS below NumPy's extension."},
    {0}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "rushlight_cpu._native",
                                        .m_size = -1, .m_methods = methods};

#define PASTE(a, b) a##b
#define INIT(name) PASTE(PyInit_, name)

PyMODINIT_FUNC INIT(RL_MODULE)(void) {
    import_array();
    if (PyType_Ready(&kernel_type) < 0) return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (!module) return NULL;
    if (rl_memory_init(module) < 0 ||
        PyModule_AddStringConstant(module, "variant", RL_VARIANT) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
