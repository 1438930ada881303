"""Data types: what an element is, and the type two operands are computed in."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import ml_dtypes
import numpy as np

from ._errors import error


class Category(IntEnum):
    """PyTorch's type categories; a higher category wins over a lower one in promotion."""

    BOOL = 0
    INTEGER = 1
    FLOATING = 2
    COMPLEX = 3


class DType:
    """The type of a tensor's elements, such as `rushlight.float32`.

    There is one object per type, so `is` and `==` agree.

    Attributes:
        name: Bare name, "float32".
        numpy: The NumPy dtype of the host form (`bfloat16` is ml_dtypes').
        itemsize: Bytes per element.
        category: Place in the promotion order.
        is_floating_point, is_complex, is_signed: As in torch.

    Example:
        >>> rushlight.float32, rushlight.float32.itemsize, rushlight.int8.is_signed
        (rushlight.float32, 4, True)
    """

    __slots__ = (
        "category",
        "is_complex",
        "is_floating_point",
        "is_inexact",
        "is_reduced",
        "is_signed",
        "itemsize",
        "kernel_class",
        "name",
        "numpy",
    )

    def __init__(self, name: str, host: Any, category: Category) -> None:
        self.name: Final = name
        self.numpy: np.dtype[Any] = np.dtype(host)
        self.itemsize: int = self.numpy.itemsize
        self.category: Category = category
        self.is_floating_point: bool = category is Category.FLOATING
        self.is_complex: bool = category is Category.COMPLEX
        self.is_inexact: bool = category >= Category.FLOATING
        self.is_signed: bool = not name.startswith("u") and name != "bool"
        self.is_reduced: bool = self.is_floating_point and self.itemsize == 2
        # The class under which array kernels are registered: see `backend/arrays`.
        self.kernel_class: str = (
            "reduced" if self.is_reduced else ("bool", "integer", "floating", "complex")[category]
        )

    def __repr__(self) -> str:
        return f"rushlight.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return dtype_named, (self.name,)

    def __deepcopy__(self, memo: object) -> DType:
        return self

    def __copy__(self) -> DType:
        return self

    def to_complex(self) -> DType:
        """The complex type whose parts have this type's precision."""
        return _TO_COMPLEX.get(self, complex64)

    def to_real(self) -> DType:
        """The type of the real and imaginary parts; any real type is its own."""
        return _TO_REAL.get(self, self)


# bool is spelt with an underscore here and exported as `rushlight.bool`: the builtin stays itself.
bool_ = DType("bool", np.bool_, Category.BOOL)
uint8 = DType("uint8", np.uint8, Category.INTEGER)
uint16 = DType("uint16", np.uint16, Category.INTEGER)
uint32 = DType("uint32", np.uint32, Category.INTEGER)
uint64 = DType("uint64", np.uint64, Category.INTEGER)
int8 = DType("int8", np.int8, Category.INTEGER)
int16 = DType("int16", np.int16, Category.INTEGER)
int32 = DType("int32", np.int32, Category.INTEGER)
int64 = DType("int64", np.int64, Category.INTEGER)
float16 = DType("float16", np.float16, Category.FLOATING)
bfloat16 = DType("bfloat16", ml_dtypes.bfloat16, Category.FLOATING)
float32 = DType("float32", np.float32, Category.FLOATING)
float64 = DType("float64", np.float64, Category.FLOATING)
complex64 = DType("complex64", np.complex64, Category.COMPLEX)
complex128 = DType("complex128", np.complex128, Category.COMPLEX)

ALL: Final[tuple[DType, ...]] = (
    bool_, uint8, uint16, uint32, uint64, int8, int16, int32, int64,
    float16, bfloat16, float32, float64, complex64, complex128,
)  # fmt: skip

ALIASES: Final[dict[str, DType]] = {
    "bool": bool_, "short": int16, "int": int32, "long": int64,
    "half": float16, "float": float32, "double": float64,
    "cfloat": complex64, "cdouble": complex128,
}  # fmt: skip

_BY_NAME: Final[dict[str, DType]] = {dtype.name: dtype for dtype in ALL}
_BY_NUMPY: Final[dict[np.dtype[Any], DType]] = {dtype.numpy: dtype for dtype in ALL}
_TO_COMPLEX: Final[dict[DType, DType]] = {
    float64: complex128,
    complex64: complex64,
    complex128: complex128,
}
_TO_REAL: Final[dict[DType, DType]] = {complex64: float32, complex128: float64}
BARE_UNSIGNED: Final = frozenset((uint16, uint32, uint64))


def dtype_named(name: str) -> DType:
    """The type with a bare name such as "int64"."""
    return _BY_NAME[name]


def from_numpy_dtype(host: np.dtype[Any]) -> DType:
    """The type whose host form a NumPy dtype is.

    Raises:
        TypeError: No rushlight type has that host form.
    """
    found = _BY_NUMPY.get(host.newbyteorder("=") if host.byteorder in "<>" else host)
    if found is None:
        raise error(
            TypeError,
            "from_numpy",
            f"can't convert an array of dtype {host}",
            expected="one of " + ", ".join(_BY_NAME),
            fix="convert the array first, for example array.astype(numpy.float32)",
        )
    return found


def _promote(a: DType, b: DType) -> DType:
    if a is b:
        return a
    if a.category != b.category and Category.COMPLEX not in (a.category, b.category):
        return a if a.category > b.category else b
    if a.is_complex or b.is_complex:
        double = float64 in (a, b) or complex128 in (a, b)
        return complex128 if double else complex64
    if a.is_floating_point:
        return float32 if a.itemsize == b.itemsize else max(a, b, key=lambda d: d.itemsize)
    if a in BARE_UNSIGNED or b in BARE_UNSIGNED:
        raise error(
            RuntimeError,
            "promote_types",
            f"promotion between {a} and {b} is not supported",
            fix="convert one operand explicitly with .to(dtype)",
        )
    wide, narrow = (a, b) if a.itemsize >= b.itemsize else (b, a)
    if uint8 in (a, b) and wide.itemsize == narrow.itemsize:
        return int16
    return wide


_PROMOTED: Final[dict[tuple[DType, DType], DType]] = {}


def promote_types(type1: DType, type2: DType) -> DType:
    """The smallest type that both types can be converted to, by PyTorch's rules.

    Raises:
        RuntimeError: One is uint16, uint32 or uint64 and the other a different integer type.
    Example:
        >>> rushlight.promote_types(rushlight.int32, rushlight.float16)
        rushlight.float16
    """
    found = _PROMOTED.get((type1, type2))
    if found is None:
        found = _PROMOTED[type1, type2] = _promote(type1, type2)
    return found


def can_cast(from_: DType, to: DType) -> bool:
    """Whether a value of one type may be written into a tensor of another (casting down a
    category, as from float to int, is refused).

    Example:
        >>> rushlight.can_cast(rushlight.float32, rushlight.int32)
        False
    """
    return from_.category <= to.category


def is_dtype(value: object) -> bool:
    """Whether a value is a `DType`."""
    return value.__class__ is DType
