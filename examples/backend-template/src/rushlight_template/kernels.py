"""The kernels by operator name; what has none here, Rushlight composes of these.

A kernel takes the device's arrays by position and attributes by keyword. Operands have one dtype
and shapes that broadcast; dims are not negative. The result is a new array, never an operand or a
view of one, and has the operands' dtype (bool for comparisons, int64 for positions).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as xp  # put your module here

from rushlight import dtype as DType
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
REDUCTIONS = {"amax": "max", "amin": "min", "any": "any", "all": "all"}

# Written in the core, once for all modules like NumPy: what takes several functions, or more care
# than it seems (the sign of NaN, whole numbers divided by zero, equal random numbers anywhere).
# If the module has all of NumPy's functions, `KERNELS = array_kernels(xp)` is the whole file.
BORROWED = """sign pow floor_divide remainder erf flip constant_pad index_select index index_put
    scatter random_uniform random_normal random_bernoulli random_integers""".split()


def reduction(function: Kernel) -> Kernel:
    """The kernel of a reduction; `dim` is a tuple."""

    def kernel(x: Array, *, dim: Sequence[int], keepdim: bool) -> Array:
        return function(x, axis=tuple(dim), keepdims=keepdim)

    return kernel


KERNELS: dict[str, Kernel | dict[str, Kernel]] = {
    **{name: array_kernels(xp)[name] for name in BORROWED},
    **{name: getattr(xp, name) for name in SAME_NAME},
    **{name: getattr(xp, theirs) for name, theirs in RENAMED.items()},
    **{name: reduction(getattr(xp, theirs)) for name, theirs in REDUCTIONS.items()},
    # A dict has kernels by class of dtype: bool, integer, floating, reduced (16 bits), complex.
    **{name: dict.fromkeys(("bool", "integer"), getattr(xp, f)) for name, f in BITWISE.items()},
}


def kernel(name: str) -> Callable[[Kernel], Kernel]:
    """Puts a function into the table."""

    def add(function: Kernel) -> Kernel:
        KERNELS[name] = function
        return function

    return add


@kernel("full")
def full(*, shape: Sequence[int], value: Any, dtype: DType) -> Array:
    return xp.full(shape, value, dtype.numpy)


@kernel("arange")
def arange(*, start: Any, step: Any, length: int, dtype: DType) -> Array:
    return (start + step * xp.arange(length)).astype(dtype.numpy)


@kernel("clone")
def clone(x: Array) -> Array:
    return xp.array(x, order="C")


@kernel("cast")
def cast(x: Array, *, dtype: DType) -> Array:
    return x.astype(dtype.numpy)


@kernel("cat")
def cat(*arrays: Array, dim: int) -> Array:
    return xp.concatenate(arrays, axis=dim)


@kernel("sigmoid")
def sigmoid(x: Array) -> Array:
    return 1 / (1 + xp.exp(-x))


@kernel("rsqrt")
def rsqrt(x: Array) -> Array:
    return 1 / xp.sqrt(x)


@kernel("sum")
def sum_(x: Array, *, dim: Sequence[int], keepdim: bool) -> Array:
    return xp.sum(x, axis=tuple(dim), keepdims=keepdim, dtype=x.dtype)


@kernel("prod")
def prod(x: Array, *, dim: Sequence[int], keepdim: bool) -> Array:
    return xp.prod(x, axis=tuple(dim), keepdims=keepdim, dtype=x.dtype)


@kernel("argmax")
def argmax(x: Array, *, dim: int | None, keepdim: bool) -> Array:
    return xp.argmax(x, axis=dim if x.ndim else None, keepdims=keepdim)


@kernel("mm")
@kernel("bmm")
def matmul(x: Array, y: Array) -> Array:
    return xp.matmul(x, y)


@kernel("gather")
def gather(x: Array, index: Array, *, dim: int) -> Array:
    x, places = x.reshape(x.shape or (1,)), index.reshape(index.shape or (1,))
    if index.size and not (index.min() >= 0 and index.max() < x.shape[dim]):
        # An index out of range is the user's: say it before the device reads what is not there.
        raise RuntimeError(f"index out of bounds for dimension {dim} with size {x.shape[dim]}")
    within = tuple(slice(None if d == dim else n) for d, n in enumerate(places.shape))
    return xp.take_along_axis(x[within], places, axis=dim).reshape(index.shape)


@kernel("masked_fill")
def masked_fill(x: Array, mask: Array, value: Array) -> Array:
    return xp.where(mask, value, x)


# Rushlight can compose this one itself. A kernel makes it faster; its derivative stays as it is.
@kernel("softmax")
def softmax(x: Array, *, dim: int) -> Array:
    axis = dim if x.ndim else None
    out = xp.exp(x - xp.max(x, axis=axis, keepdims=True, initial=-xp.inf))  # x may be empty
    return out / xp.sum(out, axis=axis, keepdims=True)
