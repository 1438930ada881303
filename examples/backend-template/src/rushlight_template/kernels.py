"""The kernels by operator name; what has none here, Rushlight composes of these.

A kernel takes the device's arrays by position and attributes by keyword. Operands have one dtype
and shapes that broadcast; dims are not negative. The result is a new array, never an operand or a
view of one, and has the operands' dtype (bool for comparisons, int64 for positions).
"""

from collections.abc import Callable
from typing import Any

import numpy as xp  # put your module here

from rushlight.backend.arrays import array_kernels

Array = Any  # an array of your module
Kernel = Callable[..., Any]

# Elementwise: under the name that the module uses too, or under another.
SAME_NAME = "exp log sqrt sin cos tanh floor maximum minimum where".split()
RENAMED = {
    "add": "add", "sub": "subtract", "mul": "multiply", "div": "true_divide", "neg": "negative",
    "abs": "absolute", "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal",
    "gt": "greater", "ge": "greater_equal",
}  # fmt: skip
BITWISE = {"bitwise_and": "bitwise_and", "bitwise_or": "bitwise_or", "bitwise_not": "invert"}

# Written in the core, once for all modules like NumPy: what takes several functions, or more care
# than it seems (the sign of NaN, whole numbers divided by zero, equal random numbers anywhere).
# If the module has all of NumPy's functions, `KERNELS = array_kernels(xp)` is the whole file.
BORROWED = """sign pow floor_divide remainder erf erfc flip constant_pad index_select index
    index_put scatter random_uniform random_normal random_bernoulli random_integers""".split()


# One expression each. The dim of a reduction is a tuple, other dims are whole numbers.
WRITTEN: dict[str, Kernel] = {
    "full": lambda *, shape, value, dtype: xp.full(shape, value, dtype.numpy),
    "arange": lambda *, start, step, length, dtype: (start + step * xp.arange(length)).astype(
        dtype.numpy
    ),
    "clone": lambda x: xp.array(x, order="C"),
    "cast": lambda x, *, dtype: x.astype(dtype.numpy),
    "cat": lambda *arrays, dim: xp.concatenate(arrays, axis=dim),
    "sigmoid": lambda x: 1 / (1 + xp.exp(-x)),
    "rsqrt": lambda x: 1 / xp.sqrt(x),
    "sum": lambda x, *, dim, keepdim: xp.sum(x, axis=dim, dtype=x.dtype, keepdims=keepdim),
    "prod": lambda x, *, dim, keepdim: xp.prod(x, axis=dim, dtype=x.dtype, keepdims=keepdim),
    "amax": lambda x, *, dim, keepdim: xp.max(x, axis=dim, keepdims=keepdim),
    "amin": lambda x, *, dim, keepdim: xp.min(x, axis=dim, keepdims=keepdim),
    "any": lambda x, *, dim, keepdim: xp.any(x, axis=dim, keepdims=keepdim),
    "all": lambda x, *, dim, keepdim: xp.all(x, axis=dim, keepdims=keepdim),
    "argmax": lambda x, *, dim, keepdim: xp.argmax(x, axis=axis(x, dim), keepdims=keepdim),
    "argmin": lambda x, *, dim, keepdim: xp.argmin(x, axis=axis(x, dim), keepdims=keepdim),
    "masked_fill": lambda x, mask, value: xp.where(mask, value, x),
    "mm": xp.matmul,
    "bmm": xp.matmul,
}


def axis(x: Array, dim: int | None) -> int | None:
    """A dim as NumPy knows it: tensors of no dimension have dim 0 here."""
    return dim if x.ndim else None


def gather(x: Array, index: Array, *, dim: int) -> Array:
    """Elements at places along a dimension; `index` may be smaller than `x` in the others."""
    x, places = x.reshape(x.shape or (1,)), index.reshape(index.shape or (1,))
    if index.size and not (index.min() >= 0 and index.max() < x.shape[dim]):
        # Say it before the device reads what is not there.
        raise RuntimeError(f"index out of bounds for dimension {dim} with size {x.shape[dim]}")
    within = tuple(slice(None if d == dim else n) for d, n in enumerate(places.shape))
    return xp.take_along_axis(x[within], places, axis=dim).reshape(index.shape)


def softmax(x: Array, *, dim: int) -> Array:
    """Rushlight can compose this one; a kernel makes it faster. Its derivative stays as it is."""
    e = xp.exp(x - xp.max(x, axis=axis(x, dim), keepdims=True, initial=-xp.inf))  # x may be empty
    return e / xp.sum(e, axis=axis(x, dim), keepdims=True)


KERNELS: dict[str, Kernel | dict[str, Kernel]] = {
    **{name: array_kernels(xp)[name] for name in BORROWED},
    **{name: getattr(xp, name) for name in SAME_NAME},
    **{name: getattr(xp, theirs) for name, theirs in RENAMED.items()},
    # A dict has kernels by class of dtype: bool, integer, floating, reduced (16 bits), complex.
    **{name: dict.fromkeys(("bool", "integer"), getattr(xp, f)) for name, f in BITWISE.items()},
    **WRITTEN,
    "gather": gather,
    "softmax": softmax,
}
