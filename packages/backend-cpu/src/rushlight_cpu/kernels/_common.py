"""What the NumPy kernels share: the array type, reduced precision, and cache-sized blocks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Kernel: TypeAlias = Callable[..., Any]

# Elements per block of a pointwise chain: the three or four arrays of a block stay in L1/L2, so
# only the first and the last pass of a chain touch memory.
BLOCK = 16384

REDUCED = frozenset({np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)})


def reduced_precision(*, keep: tuple[int, ...] = ()) -> Callable[[Kernel], Kernel]:
    """Runs a kernel in float32 when its first operand is float16 or bfloat16.

    Results are rounded once, at the end; those whose position is in `keep` (saved statistics)
    stay in float32.
    """

    def decorate(kernel: Kernel) -> Kernel:
        @functools.wraps(kernel)
        def run(*arrays: Any, **attributes: Any) -> Any:
            dtype = arrays[0].dtype
            if dtype not in REDUCED:
                return kernel(*arrays, **attributes)
            result = kernel(*map(_widen, arrays), **attributes)
            if isinstance(result, tuple):
                return tuple(
                    part if place in keep else _narrow(part, dtype)
                    for place, part in enumerate(result)
                )
            return _narrow(result, dtype)

        return run

    return decorate


def _widen(operand: Any) -> Any:
    if isinstance(operand, np.ndarray) and operand.dtype in REDUCED:
        return operand.astype(np.float32)
    return operand


def _narrow(result: Any, dtype: np.dtype[Any]) -> Any:
    if result is not None and result.dtype == np.float32:
        return result.astype(dtype)
    return result


def blocks(size: int, step: int = BLOCK) -> Iterator[slice]:
    """Slices of at most `step` that cover `range(size)`."""
    for start in range(0, size, step):
        yield slice(start, min(start + step, size))


def prod(sizes: tuple[int, ...]) -> int:
    """Product of sizes, 1 for none."""
    out = 1
    for size in sizes:
        out *= size
    return out


def rows_first(x: Array, dim: int) -> Array:
    """A contiguous `(rows, n)` copy or view of `x` with dimension `dim` last."""
    moved = np.ascontiguousarray(np.moveaxis(x, dim, -1)) if x.ndim else x.reshape(1)
    return moved.reshape(prod(moved.shape[:-1]), moved.shape[-1])
