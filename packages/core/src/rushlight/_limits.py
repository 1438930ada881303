"""`finfo` and `iinfo`: limits of the number types."""

from __future__ import annotations

from typing import Any

import ml_dtypes

from ._config import settings
from ._dtypes import Category, DType
from ._errors import error


class finfo:
    """Limits of a floating-point type.

    Args:
        type: A floating-point or complex type; the default type by default.
    Raises:
        TypeError: Not a floating-point type.
    Example:
        >>> rushlight.finfo(rushlight.float32).eps
        1.1920928955078125e-07
    """

    def __init__(self, type: DType | None = None) -> None:
        if type is None:
            type = settings.default_dtype
        if type.category < Category.FLOATING:
            raise error(
                TypeError,
                "finfo",
                "requires a floating point input type",
                given=repr(type),
                fix="use rushlight.iinfo to query integer types",
            )
        limits: Any = ml_dtypes.finfo(type.to_real().numpy)  # type: ignore[no-untyped-call]
        self.dtype = type.to_real().name
        self.bits = 8 * type.to_real().itemsize
        self.eps = float(limits.eps)
        self.max = float(limits.max)
        self.min = float(limits.min)
        self.tiny = float(limits.tiny)
        self.smallest_normal = float(limits.tiny)
        self.resolution = float(f"1e-{limits.precision}")

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, "
            f"dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer type.

    Args:
        type: An integer type.
    Raises:
        TypeError: Not an integer type.
    Example:
        >>> rushlight.iinfo(rushlight.int8)
        iinfo(min=-128, max=127, dtype=int8)
    """

    def __init__(self, type: DType) -> None:
        if type.category is not Category.INTEGER:
            raise error(
                TypeError,
                "iinfo",
                "requires an integer input type",
                given=repr(type),
                fix="use rushlight.finfo to query floating-point types",
            )
        self.dtype = type.name
        self.bits = 8 * type.itemsize
        self.min = -(1 << (self.bits - 1)) if type.is_signed else 0
        self.max = self.min + (1 << self.bits) - 1

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
