"""The array family: every kernel, written once against a NumPy-like module `xp`.

`array_kernels(xp)` gives a backend its table. A kernel takes arrays by position and attributes by
keyword, and returns fresh arrays. Where dtypes need different kernels the table has a dict by class
of the first operand's dtype ("bool", "integer", "reduced" for 16-bit floats, "floating",
"complex"); "default" serves the classes that are not listed, and without it they have no kernel.

An overflow, an invalid operation or a division by zero that IEEE 754 answers is not an error here,
and the core silences NumPy's warnings of this package by one filter: `errstate` would cost more
than most calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ._common import ArrayModule, Entry, Kernel, Kernels, merge
from .activation import activation_kernels
from .counting import counting_kernels
from .creation import creation_kernels
from .elementwise import ACCEPTS_OUT as ELEMENTWISE_OUT
from .elementwise import elementwise_kernels
from .fft import fft_kernels
from .indexing import indexing_kernels
from .linalg import linalg_kernels
from .matmul import matmul_kernels
from .random import random_kernels
from .reduction import reduction_kernels
from .scan import scan_kernels
from .scattering import WRITES_IN_PLACE, scattering_kernels
from .sorting import sorting_kernels
from .special_functions import special_function_kernels

__all__ = ["ACCEPTS_OUT", "ArrayModule", "Entry", "Kernel", "Kernels", "array_kernels"]

#: Kernels that take `out=`: any fitting array for the elementwise ones, for those that write by
#: index only their first operand.
ACCEPTS_OUT: frozenset[str] = ELEMENTWISE_OUT | WRITES_IN_PLACE

_FAMILIES: tuple[Callable[[ArrayModule], Mapping[str, Entry]], ...] = (
    creation_kernels,
    elementwise_kernels,
    special_function_kernels,
    activation_kernels,
    reduction_kernels,
    scan_kernels,
    sorting_kernels,
    counting_kernels,
    indexing_kernels,
    scattering_kernels,
    matmul_kernels,
    linalg_kernels,
    fft_kernels,
    random_kernels,
)


def array_kernels(xp: ArrayModule) -> Kernels:
    """All kernels of the array family for one module, by operator name.

    Args:
        xp: A module with NumPy's functions, such as `numpy` or `cupy`.
    """
    return merge(family(xp) for family in _FAMILIES)
