"""What the kernel families share: their types, 16-bit floats, bounds of indices, and blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from rushlight._errors import error

# An array of whichever module `xp` is, and such a module: there is no static type common to
# NumPy and CuPy.
Array: TypeAlias = Any
ArrayModule: TypeAlias = Any
Kernel: TypeAlias = Callable[..., Any]
# One kernel for all dtypes, or one for each class of them ("bool", "integer", "reduced",
# "floating", "complex"); "default" serves the classes that are not listed.
Entry: TypeAlias = Kernel | dict[str, Kernel]
Kernels: TypeAlias = dict[str, Entry]

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
INT64 = np.dtype(np.int64)


class Constant(dict[Any, Any]):
    """One number as a 0-d array of each dtype, made on first use: `zero[x.dtype]`.

    A ufunc takes half as long with a 0-d array as with a Python number. On other modules than
    NumPy, whose arrays belong to a device, it stays the number.
    """

    def __init__(self, xp: ArrayModule, value: float) -> None:
        super().__init__()
        self.host = xp is np
        self.value = value

    def __missing__(self, dtype: Any) -> Any:
        made = self[dtype] = np.array(self.value, dtype) if self.host else self.value
        return made


def merge(families: Iterable[Mapping[str, Entry]]) -> Kernels:
    """One table of several; a name that two families define is an error."""
    merged: Kernels = {}
    for family in families:
        twice = merged.keys() & family.keys()
        if twice:
            raise ValueError(f"two kernel families define {sorted(twice)}")
        merged.update(family)
    return merged


def widened(kernel: Kernel, wide: np.dtype[Any] = FLOAT32) -> Kernel:
    """A kernel that computes in `wide` and rounds once, to the dtype of its first operand.

    Operands and results of another dtype (masks, indices) pass unchanged.
    """

    def compute(*operands: Array, **attributes: Any) -> Any:
        dtype = operands[0].dtype
        given = [x.astype(wide) if x is not None and x.dtype == dtype else x for x in operands]
        reached = given[0].dtype  # a device without float64 records it as float32
        out = kernel(*given, **attributes)
        if isinstance(out, tuple):
            return tuple(y.astype(dtype) if y.dtype == reached else y for y in out)
        return out.astype(dtype) if out.dtype == reached else out

    return compute


def in_double(kernel: Kernel) -> Kernel:
    """A kernel of float64 made one of all floating dtypes: each rounds once, at the end."""
    wide = widened(kernel, FLOAT64)

    def compute(x: Array, *operands: Array, **attributes: Any) -> Any:
        chosen = kernel if x.dtype == FLOAT64 else wide
        return chosen(x, *operands, **attributes)

    return compute


def by_float(kernel: Kernel, **others: Kernel) -> dict[str, Kernel]:
    """The entry of a kernel written for float32 and wider: 16-bit floats go through float32."""
    return {"floating": kernel, "reduced": widened(kernel), **others}


def with_reduced(kernel: Kernel) -> dict[str, Kernel]:
    """The entry of a kernel for every dtype, 16-bit floats going through float32."""
    return {"default": kernel, "reduced": widened(kernel)}


def check_index(
    index: Array,
    size: int,
    dim: int,
    *,
    who: str,
    negative: bool = False,
    kind: type[Exception] = IndexError,
) -> None:
    """Raises unless every index lies in a dimension; cheap when all do."""
    if not index.size:
        return
    low = -size if negative else 0
    if index.dtype == INT64 and not negative:
        # Seen as unsigned, a negative index is huge: one pass checks both ends.
        if int(index.view(np.uint64).max()) < size:
            return
    elif int(index.max()) < size and int(index.min()) >= low:
        return
    bad = index[(index < low) | (index >= size)].reshape(-1)[0]
    raise error(
        kind,
        who,
        f"index {int(bad)} is out of bounds for dimension {dim} with size {size}",
        given=f"indices from {int(index.min())} to {int(index.max())}",
        expected=f"{low} <= index < {size}",
    )
