"""The kernel-language family: kernels printed in a C dialect from one description.

A backend gives a `Dialect` (how its language spells things) and a runtime that is a `Launcher`
(memory, compiling, launching); the kernels come from here. The way of a kernel:

    description (`operations`: array family, recorded by `tracing`)
        -> expression (`expression`) -> text (`printing`, `prelude`) -> launch (`elementwise`)

`reduction`, `movement` and `matmul` print their own loops. `kernel_table()` has all of them, for
`Backend(kernels=...)`; each entry is made for a device and dtype by the runtime's `bind`.
"""

from __future__ import annotations

from ..arrays import ACCEPTS_OUT as ARRAYS_ACCEPT_OUT
from .array import (
    DeviceArray,
    broadcast_shape,
    broadcast_strides,
    coalesced,
    is_dense,
    note_bounds,
    row_major,
)
from .attention import attention
from .cholesky import cholesky
from .convolution import convolution
from .counting import counting
from .dialect import Dialect, suffix
from .elementwise import Elementwise, launch_range, of_operands
from .expression import Expr, cast, computed, constant, load, param, select
from .fourier import fourier
from .gathering import gathering
from .general_eigen import general_eigen
from .indefinite import indefinite
from .launcher import FLAT, PADDING, Launch, Launcher
from .losses import losses
from .lu import lu
from .matmul import Matrix, Products, matmul
from .matrix_exponential import matrix_exponential
from .moments import moments
from .movement import Movement, host_number, kernel_number, movement
from .normalising import normalising
from .operations import Recorded, elementwise
from .optimising import IN_PLACE, optimising
from .polynomials import polynomials
from .pooling import pooling
from .printing import literal, loaded, memory_type, program, statements, stored
from .qr import qr
from .random import random
from .rearranging import rearranging
from .recurrent import recurrent
from .reduction import Fold, Reduction, reductions
from .registry import CLASSES, Family, Kernel, Made, Table
from .scan import scans
from .scattering import scattering
from .singular_values import singular_values
from .softmax import softmaxes
from .sorting import sorting
from .symmetric_eigen import symmetric_eigen
from .triangular import triangular
from .walking import Walk

FAMILIES: tuple[Family, ...] = (
    (movement, elementwise, reductions, moments, matmul, rearranging, scans)
    + (gathering, scattering, sorting, counting, random, polynomials, convolution, pooling)
    + (optimising, softmaxes, normalising, losses, fourier, recurrent, attention)
    + (triangular, cholesky, lu, qr, symmetric_eigen, singular_values)
    + (matrix_exponential, indefinite, general_eigen)
)  # fmt: skip
#: Kernels that take `out=`: any fitting array for the elementwise ones and optimisers' steps, for
#: those that write by index their first operand.
ACCEPTS_OUT: frozenset[str] = frozenset(
    name for name in ARRAYS_ACCEPT_OUT if name in elementwise.table or name in scattering.table
) | {"masked_scatter", *IN_PLACE}


def kernel_table(*more: Family) -> Table:
    """All kernels of the family by operator name, and those of `more`, which go before them."""
    table: Table = {}
    for family in (*FAMILIES, *more):
        for name, entries in family.table.items():
            table.setdefault(name, {}).update(entries)
    return table


__all__ = [
    "ACCEPTS_OUT", "CLASSES", "FAMILIES", "FLAT", "PADDING", "DeviceArray", "Dialect",
    "Elementwise", "Expr", "Family", "Fold", "Kernel", "Launch", "Launcher", "Made", "Matrix",
    "Movement", "Products", "Recorded", "Reduction", "Table", "Walk", "broadcast_shape",
    "broadcast_strides", "cast", "coalesced", "computed", "constant", "elementwise",
    "host_number", "is_dense", "kernel_number", "kernel_table", "launch_range", "literal",
    "load", "loaded", "matmul", "memory_type", "movement", "note_bounds", "of_operands",
    "param", "program", "reductions", "row_major", "select", "statements", "stored", "suffix",
]  # fmt: skip
