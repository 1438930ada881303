/* Matrix products by the OpenBLAS that NumPy brings, called from C.

   A private detail of NumPy's wheels: so it is looked up, tried on a small product, and not used
   if anything is unusual.  Kernels that need it decline where `rl_has_blas()` is false. */
#include "rl.h"

#include <dlfcn.h>
#include <pthread.h>

enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };

/* Without 64-bit integers the library's name has no suffix; only the usual one is supported. */
typedef void (*sgemm_function)(int, int, int, int64_t, int64_t, int64_t, float, const float *,
                               int64_t, const float *, int64_t, float, float *, int64_t);
typedef void (*dgemm_function)(int, int, int, int64_t, int64_t, int64_t, double, const double *,
                               int64_t, const double *, int64_t, double, double *, int64_t);
static sgemm_function sgemm;
static dgemm_function dgemm;
static int (*get_threads)(void);
static void (*set_threads)(int);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int users, saved_threads;

bool rl_has_blas(void) { return sgemm && dgemm; }

void rl_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha,
              const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
              int64_t ldc) {
    sgemm(ROW_MAJOR, trans_a ? TRANSPOSED : PLAIN, trans_b ? TRANSPOSED : PLAIN, m, n, k, alpha, a,
          lda, b, ldb, beta, c, ldc);
}

void rl_dgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, double alpha,
              const double *a, int64_t lda, const double *b, int64_t ldb, double beta, double *c,
              int64_t ldc) {
    dgemm(ROW_MAJOR, trans_a ? TRANSPOSED : PLAIN, trans_b ? TRANSPOSED : PLAIN, m, n, k, alpha, a,
          lda, b, ldb, beta, c, ldc);
}

void rl_blas_one_thread(void) {
    if (!set_threads) return;
    pthread_mutex_lock(&lock);
    if (!users++) {
        saved_threads = get_threads();
        if (saved_threads > 1) set_threads(1);
    }
    pthread_mutex_unlock(&lock);
}

void rl_blas_all_threads(void) {
    if (!set_threads) return;
    pthread_mutex_lock(&lock);
    if (!--users && saved_threads > 1) set_threads(saved_threads);
    pthread_mutex_unlock(&lock);
}

static void in_forked_child(void) {
    pthread_mutex_init(&lock, NULL);
    if (users && saved_threads > 1) set_threads(saved_threads);
    users = 0;
}

static bool works(void) {
    float a[6] = {1, 2, 3, 4, 5, 6}, c[4] = {1, 1, 1, 1};
    double x[6] = {1, 2, 3, 4, 5, 6}, z[4] = {1, 1, 1, 1};
    rl_sgemm(false, true, 2, 2, 3, 2, a, 3, a, 3, 1, c, 2);
    rl_dgemm(true, false, 2, 2, 3, 1, x, 2, x, 2, 0, z, 2);
    return c[0] == 29 && c[1] == 65 && c[2] == 65 && c[3] == 155 && z[0] == 35 && z[1] == 44 &&
           z[2] == 44 && z[3] == 56;
}

PyObject *rl_blas_find(PyObject *module, PyObject *path) {
    const char *name = PyUnicode_AsUTF8(path);
    if (!name) return NULL;
    /* Looking a symbol up in NumPy's extension also searches the libraries it is linked to. */
    void *library = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
    if (library && !rl_has_blas()) {
        sgemm = (sgemm_function)dlsym(library, "scipy_cblas_sgemm64_");
        dgemm = (dgemm_function)dlsym(library, "scipy_cblas_dgemm64_");
        get_threads = (int (*)(void))dlsym(library, "scipy_openblas_get_num_threads64_");
        set_threads = (void (*)(int))dlsym(library, "scipy_openblas_set_num_threads64_");
        if (!get_threads || !set_threads) get_threads = NULL, set_threads = NULL;
        if (!sgemm || !dgemm || !set_threads || !works()) sgemm = NULL, dgemm = NULL;
        if (sgemm) pthread_atfork(NULL, NULL, in_forked_child);
    }
    return PyBool_FromLong(rl_has_blas());
}
