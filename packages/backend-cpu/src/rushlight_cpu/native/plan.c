/* Elementwise operands of any layout, broadcast: which axes to walk, and walking them. */
#include "rl.h"

/* Fewer elements than this per task, and handing it over costs more than it saves. */
#define TASK_COST (1 << 20)

static inline int64_t distance(int64_t step) { return step < 0 ? -step : step; }

/* Whether axis `outer` is better walked inside axis `inner`, over all inputs: 1 yes, 0 no, -1 they
   do not say.  Conflicts are decided for C order. */
static int out_of_order(const rl_plan *p, int outer, int inner) {
    int answer = -1;
    for (int k = 1; k < p->operands; k++) {
        int64_t a = distance(p->steps[k][outer]), b = distance(p->steps[k][inner]);
        if (!a || !b) continue;
        if (b <= a) answer = 0;
        else if (answer < 0) answer = 1;
    }
    return answer;
}

/* The order NumPy walks (and lays results out) in: outermost first, by insertion. */
static void sort_axes(const rl_plan *p, int dims, int *order) {
    for (int i = 0; i < dims; i++) order[i] = i;
    for (int i = dims - 2; i >= 0; i--) { /* axes i+1.. are sorted; put axis i among them */
        int axis = order[i], place = i;
        for (int j = i + 1; j < dims; j++) {
            int swap = out_of_order(p, axis, order[j]);
            if (swap == 0) break;
            if (swap == 1) place = j;
        }
        for (int j = i; j < place; j++) order[j] = order[j + 1];
        order[place] = axis;
    }
}

/* Puts axes into order, leaves out those of size 1, and merges those that are one run. */
static void simplify(rl_plan *p, int dims, const int *order) {
    int64_t shape[RL_MAX_DIMS], steps[RL_MAX_OPERANDS][RL_MAX_DIMS];
    int n = 0;
    for (int i = 0; i < dims; i++) {
        int axis = order[i];
        if (p->shape[axis] == 1) continue;
        bool joins = n > 0;
        for (int k = 0; joins && k < p->operands; k++) {
            joins = steps[k][n - 1] == p->steps[k][axis] * p->shape[axis];
        }
        if (joins) shape[n - 1] *= p->shape[axis];
        else shape[n++] = p->shape[axis];
        for (int k = 0; k < p->operands; k++) steps[k][n - 1] = p->steps[k][axis];
    }
    p->dims = n;
    memcpy(p->shape, shape, sizeof shape);
    memcpy(p->steps, steps, sizeof steps);
}

/* Whether the memory of two arrays may overlap in any other way than element by element. */
static bool clashes(PyArrayObject *out, PyArrayObject *x) {
    if (PyArray_DATA(out) == PyArray_DATA(x) && PyArray_NDIM(out) == PyArray_NDIM(x) &&
        PyArray_ITEMSIZE(out) == PyArray_ITEMSIZE(x) &&
        PyArray_CompareLists(PyArray_DIMS(out), PyArray_DIMS(x), PyArray_NDIM(x)) &&
        PyArray_CompareLists(PyArray_STRIDES(out), PyArray_STRIDES(x), PyArray_NDIM(x))) {
        return false;
    }
    char *low[2], *high[2];
    PyArrayObject *both[2] = {out, x};
    for (int i = 0; i < 2; i++) {
        low[i] = PyArray_BYTES(both[i]);
        high[i] = low[i] + PyArray_ITEMSIZE(both[i]);
        for (int d = 0; d < PyArray_NDIM(both[i]); d++) {
            int64_t reach = (PyArray_DIM(both[i], d) - 1) * PyArray_STRIDE(both[i], d);
            if (PyArray_DIM(both[i], d) == 0) return false;
            if (reach < 0) low[i] += reach;
            else high[i] += reach;
        }
    }
    return low[0] < high[1] && low[1] < high[0];
}

static bool is_fit_for_result(PyObject *out, int type, const rl_plan *p, int dims) {
    if (!rl_is_array(out) || PyArray_TYPE(RL_ARRAY(out)) != type ||
        !PyArray_ISWRITEABLE(RL_ARRAY(out)) || PyArray_NDIM(RL_ARRAY(out)) != dims) {
        return false;
    }
    for (int d = 0; d < dims; d++) {
        if (PyArray_DIM(RL_ARRAY(out), d) != p->shape[d]) return false;
        if (PyArray_STRIDE(RL_ARRAY(out), d) < 0) return false;
        /* Elements that share memory, as expanded ones do. */
        if (PyArray_STRIDE(RL_ARRAY(out), d) == 0 && p->shape[d] > 1) return false;
    }
    return true;
}

PyObject *rl_plan_elementwise(rl_plan *p, PyObject *const *inputs, int count, int type,
                              PyObject *out) {
    int dims = 0;
    p->operands = count + 1;
    for (int k = 0; k < count; k++) {
        if (PyArray_NDIM(RL_ARRAY(inputs[k])) > dims) dims = PyArray_NDIM(RL_ARRAY(inputs[k]));
    }
    p->size = 1;
    for (int d = 0; d < dims; d++) {
        p->shape[d] = 1;
        for (int k = 0; k < count; k++) {
            PyArrayObject *x = RL_ARRAY(inputs[k]);
            int own = d - (dims - PyArray_NDIM(x));
            int64_t size = own < 0 ? 1 : PyArray_DIM(x, own);
            p->steps[k + 1][d] = size == 1 ? 0 : PyArray_STRIDE(x, own);
            if (p->steps[k + 1][d] < 0) return RL_DECLINE;
            if (size == 1) continue;
            if (p->shape[d] != 1 && p->shape[d] != size) return RL_DECLINE; /* an error: explained */
            p->shape[d] = size;
        }
        p->size *= p->shape[d];
    }
    int order[RL_MAX_DIMS];
    sort_axes(p, dims, order);
    PyObject *result;
    if (out) {
        if (!is_fit_for_result(out, type, p, dims)) return RL_DECLINE;
        for (int k = 0; k < count; k++) {
            if (clashes(RL_ARRAY(out), RL_ARRAY(inputs[k]))) return RL_DECLINE;
        }
        result = Py_NewRef(out);
    } else {
        npy_intp shape[RL_MAX_DIMS];
        for (int d = 0; d < dims; d++) shape[d] = p->shape[d];
        result = rl_empty_ordered(dims, shape, order, type);
        if (!result) return NULL;
    }
    for (int d = 0; d < dims; d++) p->steps[0][d] = PyArray_STRIDE(RL_ARRAY(result), d);
    p->data[0] = RL_DATA(result);
    for (int k = 0; k < count; k++) p->data[k + 1] = RL_DATA(inputs[k]);
    simplify(p, dims, order);
    return result;
}

typedef struct {
    const rl_plan *plan;
    rl_inner inner;
    const void *context;
    int64_t width, pieces; /* of the innermost axis, per call and in all */
} walk;

static void run_calls(void *argument, int64_t begin, int64_t end) {
    const walk *w = argument;
    const rl_plan *p = w->plan;
    int last = p->dims - 1;
    int64_t steps[RL_MAX_OPERANDS];
    for (int k = 0; k < p->operands; k++) steps[k] = p->dims ? p->steps[k][last] : 0;
    /* Where the walk begins: place in each axis, and the addresses that follow from it. */
    int64_t place[RL_MAX_DIMS], rest = begin / w->pieces, piece = begin % w->pieces;
    char *row[RL_MAX_OPERANDS], *data[RL_MAX_OPERANDS];
    memcpy(row, p->data, sizeof row);
    for (int d = last - 1; d >= 0; d--) {
        place[d] = rest % p->shape[d];
        rest /= p->shape[d];
        for (int k = 0; k < p->operands; k++) row[k] += place[d] * p->steps[k][d];
    }
    int64_t length = p->dims ? p->shape[last] : 1;
    for (int64_t i = begin; i < end; i++) {
        int64_t start = piece * w->width, n = length - start;
        for (int k = 0; k < p->operands; k++) data[k] = row[k] + start * steps[k];
        w->inner(n < w->width ? n : w->width, data, steps, w->context);
        if (++piece < w->pieces) continue;
        piece = 0;
        for (int d = last - 1; d >= 0; d--) { /* the next row */
            for (int k = 0; k < p->operands; k++) row[k] += p->steps[k][d];
            if (++place[d] < p->shape[d]) break;
            place[d] = 0;
            for (int k = 0; k < p->operands; k++) row[k] -= p->shape[d] * p->steps[k][d];
        }
    }
}

void rl_run_plan(const rl_plan *p, rl_inner inner, const void *context, int cost) {
    if (!p->size) return;
    int64_t most = TASK_COST / cost & ~(int64_t)15; /* elements of a task */
    int64_t length = p->dims ? p->shape[p->dims - 1] : 1;
    walk w = {p, inner, context, length};
    if (length > most) { /* an even number of equal parts: two cores should end together */
        int64_t parts = ((length + most - 1) / most + 1) & ~(int64_t)1;
        w.width = ((length + parts - 1) / parts + 15) & ~(int64_t)15;
    }
    w.pieces = (length + w.width - 1) / w.width;
    int64_t calls = p->size / length * w.pieces;
    int64_t per_task = most / w.width;
    bool enough = p->size > most;
    RL_RELEASE_GIL(enough)
    rl_parallel_range(calls, per_task, run_calls, &w);
    RL_TAKE_GIL
}
