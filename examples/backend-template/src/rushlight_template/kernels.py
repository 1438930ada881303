"""The kernels by operator name. What has none here is composed of these by Rushlight.

A kernel takes the device's arrays by position and attributes by keyword. Operands have one dtype
and shapes that broadcast; dims are not negative. The result is a new array, never an operand or a
view of one, and has the operands' dtype (bool for comparisons, int64 for positions).
"""

from collections.abc import Callable
from typing import Any

import numpy as xp  # put your module here

from rushlight.backend import Backend
from rushlight.backend.arrays import array_kernels

Array = Any  # xp.ndarray, as far as type checkers know it

# Elementwise: under the name that the module uses too, or under another.
SAME_NAME = "exp log sqrt rsqrt sin cos tanh floor maximum minimum where"
RENAMED = {
    "add": "add", "sub": "subtract", "mul": "multiply", "div": "true_divide", "neg": "negative",
    "abs": "absolute", "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal",
    "gt": "greater", "ge": "greater_equal", "bitwise_not": "invert",
    "bitwise_and": "bitwise_and", "bitwise_or": "bitwise_or",
}  # fmt: skip
REDUCTIONS = {"amax": "max", "amin": "min", "any": "any", "all": "all"}

# Written once for all NumPy-like modules, in the core: what needs more than one function, or more
# care than it seems (the sign of NaN, integer division by zero, the same random numbers anywhere).
# `Backend(kernels=array_kernels(xp))` takes all there are, if the module has all they use.
BORROWED = """sign pow floor_divide remainder erf flip constant_pad index index_put scatter
    random_uniform random_normal random_bernoulli random_integers random_permutation""".split()


def add_kernels(backend: Backend) -> None:
    """Registers every kernel. Of two for one operator, the later one is used."""
    ready = array_kernels(xp)
    for name in BORROWED:
        backend.kernel(name)(ready[name])
    for name in SAME_NAME.split():
        backend.kernel(name)(getattr(xp, name, None) or globals()[name])
    for name, theirs in RENAMED.items():
        backend.kernel(name)(getattr(xp, theirs))
    for name, theirs in REDUCTIONS.items():
        backend.kernel(name)(reduction(getattr(xp, theirs)))
    for kernel in (full, arange, clone, cast, sigmoid, sum, prod, argmax, cat):
        backend.kernel(kernel.__name__)(kernel)
    for kernel in (mm, bmm, gather, masked_fill, softmax):
        backend.kernel(kernel.__name__)(kernel)
