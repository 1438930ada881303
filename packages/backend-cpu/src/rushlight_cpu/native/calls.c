/* Reading the attributes of a call. */
#include "rl.h"

PyObject *rl_keyword(const rl_call *call, const char *name) {
    Py_ssize_t n = rl_keywords(call);
    for (Py_ssize_t i = 0; i < n; i++) {
        if (!PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(call->names, i), name)) {
            return call->args[call->count + i];
        }
    }
    return NULL;
}

bool rl_int(const rl_call *call, const char *name, int64_t *value) {
    PyObject *x = rl_keyword(call, name);
    if (!x || !PyLong_Check(x)) return false;
    *value = PyLong_AsLongLong(x);
    if (*value == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    return true;
}

bool rl_float(const rl_call *call, const char *name, double *value) {
    PyObject *x = rl_keyword(call, name);
    if (!x || !(PyFloat_Check(x) || PyLong_Check(x))) return false;
    *value = PyFloat_AsDouble(x);
    if (*value == -1.0 && PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    return true;
}

bool rl_bool(const rl_call *call, const char *name, bool *value) {
    PyObject *x = rl_keyword(call, name);
    *value = x == Py_True;
    return *value || x == Py_False;
}

int rl_ints(const rl_call *call, const char *name, int64_t *values, int most) {
    PyObject *x = rl_keyword(call, name);
    if (!x || !PyTuple_Check(x) || PyTuple_GET_SIZE(x) > most) return -1;
    int n = (int)PyTuple_GET_SIZE(x);
    for (int i = 0; i < n; i++) {
        PyObject *item = PyTuple_GET_ITEM(x, i);
        if (!PyLong_Check(item)) return -1;
        values[i] = PyLong_AsLongLong(item);
        if (values[i] == -1 && PyErr_Occurred()) {
            PyErr_Clear();
            return -1;
        }
    }
    return n;
}

int rl_dtype(const rl_call *call, const char *name) {
    PyObject *dtype = rl_keyword(call, name);
    PyObject *descr = dtype ? PyObject_GetAttrString(dtype, "numpy") : NULL;
    int type = -1;
    if (!descr) PyErr_Clear();
    else if (PyArray_DescrCheck(descr)) type = ((PyArray_Descr *)descr)->type_num;
    Py_XDECREF(descr);
    return type;
}
