"""CuPy as the array family wants it: NumPy's functions with NumPy's answers.

CuPy has every function that `rushlight.backend.arrays` uses. Where one answers otherwise than
NumPy, or lacks a dtype, it is put right here; `tests/backends/test_cuda_cupy.py` compares the
lists below with the CuPy that is installed.

| Function                          | What CuPy does                                             |
|-----------------------------------|------------------------------------------------------------|
| `where`                           | no bfloat16                                                |
| `logical_*`                       | no complex numbers, partly no bfloat16                     |
| `any`, `all`                      | no bfloat16                                                |
| `floor_divide`, `remainder`       | floats by rounding the quotient, wrong where it is large   |
| `linalg.*`                        | a singular matrix gives numbers, no error                  |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

# An array of CuPy's.
Array = Any

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
#: Functions of `linalg` that look into the result of a factorization.
CHECKED = ("cholesky", "svd", "eigh", "eigvalsh", "eig", "eigvals", "inv", "solve")


class NumpyLike:
    """The module CuPy with its differences from NumPy put right.

    Args:
        cupy, cupyx: The modules.
    """

    def __init__(self, cupy: Any, cupyx: Any) -> None:
        self.cupy = cupy
        self.linalg = Linalg(cupy, cupyx)
        for name in ("logical_and", "logical_or", "logical_xor", "logical_not"):
            setattr(self, name, self._of_truths(getattr(cupy, name)))
        for name in ("any", "all"):
            setattr(self, name, self._of_bools(getattr(cupy, name)))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.cupy, name)
        setattr(self, name, found)
        return found

    def where(self, condition: Array, x: Any, y: Any) -> Array:
        """`cupy.where`, for bfloat16 too: its bits are chosen as whole numbers are."""
        if _is_bfloat16(x) or _is_bfloat16(y):
            return self.cupy.where(condition, self._bits(x), self._bits(y)).view(BFLOAT16)
        return self.cupy.where(condition, x, y)

    def _bits(self, x: Any) -> Any:
        """A bfloat16 as uint16; a number becomes one first."""
        if isinstance(x, self.cupy.ndarray):
            return x.astype(BFLOAT16, copy=False).view(np.uint16)
        return np.asarray(x).astype(BFLOAT16).view(np.uint16)[()]

    def _of_truths(self, ufunc: Any) -> Callable[..., Array]:
        """A logical ufunc for every dtype: what it has no loop for is compared with 0 first."""

        def logical(*operands: Array, out: Array | None = None) -> Array:
            return ufunc(*[x != 0 if x.dtype.kind in "cV" else x for x in operands], out=out)

        return logical

    def _of_bools(self, reduction: Any) -> Callable[..., Array]:
        def reduced(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
            return reduction(x != 0 if x.dtype.kind in "cV" else x, axis=axis, keepdims=keepdims)

        return reduced

    def floor_divide(self, x: Array, y: Array) -> Array:
        """The quotient rounded down; of floats by the exact `fmod`, as in NumPy and torch."""
        if x.dtype.kind in "iu":
            return self.cupy.floor_divide(x, y)
        xp = self.cupy
        rest = xp.fmod(x, y)
        quotient = (x - rest) / y
        quotient = self.where((rest != 0) & ((y < 0) != (rest < 0)), quotient - 1, quotient)
        whole = xp.floor(quotient)
        whole = self.where(quotient - whole > 0.5, whole + 1, whole)
        plain = x / y  # gives a zero its sign, and is the answer for a divisor of 0
        whole = self.where(quotient == 0, xp.copysign(xp.zeros_like(plain), plain), whole)
        return self.where(y == 0, plain, whole)

    def remainder(self, x: Array, y: Array) -> Array:
        """The rest of `floor_divide`, with the divisor's sign; of floats exact, as in NumPy."""
        if x.dtype.kind in "iu":
            return self.cupy.remainder(x, y)
        rest = self.cupy.fmod(x, y)
        rest = self.where((rest != 0) & ((y < 0) != (rest < 0)), rest + y, rest)
        return self.where(rest == 0, self.cupy.copysign(self.cupy.zeros_like(rest), y), rest)


class Linalg:
    """`cupy.linalg` that raises `LinAlgError`, as NumPy does.

    Args:
        cupy, cupyx: The modules.
    """

    def __init__(self, cupy: Any, cupyx: Any) -> None:
        self._cupy = cupy
        self._cupyx = cupyx
        for name in CHECKED:
            setattr(self, name, self._checked(getattr(cupy.linalg, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cupy.linalg, name)

    def _checked(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*operands: Array, **options: Any) -> Any:
            with self._cupyx.errstate(linalg="raise"):
                return function(*operands, **options)

        return checked


def _is_bfloat16(x: Any) -> bool:
    return bool(getattr(x, "dtype", None) == BFLOAT16)
