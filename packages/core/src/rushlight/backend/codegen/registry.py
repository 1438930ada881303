"""The table of kernels: what is made once for each device and dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..._dtypes import DType

Kernel = Callable[..., Any]
#: Makes the kernel of an operator for one device and the dtype of its first operand; None where
#: the device had better compose it.
Maker = Callable[[Any, DType], "Kernel | None"]
CLASSES = ("bool", "integer", "floating", "reduced", "complex")


class Made:
    """An entry of the table that a runtime's `bind` turns into a kernel, by `make(device, dtype)`.

    The maker is asked when the core makes its kernel list, so it must be quick: compile in the
    kernel's first call.
    """

    __slots__ = ("make",)

    def __init__(self, make: Maker) -> None:
        self.make = make

    def __call__(self, *operands: Any, **attributes: Any) -> Any:
        """Makes and calls; the way in for operators that a runtime has not bound."""
        first = next(x for x in operands if x is not None)
        kernel = self.make(first.device, first.dtype)
        if kernel is None:
            raise NotImplementedError("the device composes this operator")
        return kernel(*operands, **attributes)


Table = dict[str, dict[str, Made]]


class Family:
    """A collection of kernels under the names of operators.

    Example:
        >>> from rushlight.backend.codegen import Family
        >>> family = Family()
        >>> @family.kernel("twice", "floating")
        ... def twice(device, dtype):
        ...     return lambda x: x
        >>> list(family.table["twice"])
        ['floating']
    """

    def __init__(self) -> None:
        self.table: Table = {}

    def kernel(self, name: str, classes: str = " ".join(CLASSES)) -> Callable[[Maker], Maker]:
        """Decorator that enters a maker.

        Args:
            name: The operator's name.
            classes: Classes of dtypes it is for, separated by blanks.
        """

        def enter(make: Maker) -> Maker:
            self.table.setdefault(name, {}).update(dict.fromkeys(classes.split(), Made(make)))
            return make

        return enter

    def add(self, name: str, make: Maker, classes: str = " ".join(CLASSES)) -> None:
        """Enters a maker."""
        self.kernel(name, classes)(make)
