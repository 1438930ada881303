"""What a defect is, and the table of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._dtypes import DType

Array = np.ndarray[Any, Any]
Kernel = Callable[..., Any]
#: Makes the wrong kernel of the right one, for operands of a dtype.
Spoil = Callable[[Kernel, DType], Kernel]
#: Makes the runtime of a device by its label and index.
MakeRuntime = Callable[[str, int], Any]


@dataclass(frozen=True)
class Defect:
    """One mistake that a backend's author could make.

    Attributes:
        name: What it is called.
        family: Which part of a backend it is in.
        description: What is wrong, in one line.
        operators: The operators whose kernels are wrong; for a wrong device, those whose samples
            are tried first.
        spoil: Makes the wrong kernels; None for a wrong device.
        runtime: Makes the wrong device; None for wrong kernels.
    """

    name: str
    family: str
    description: str
    operators: tuple[str, ...]
    spoil: Spoil | None = None
    runtime: MakeRuntime | None = None


#: All defects by name, in the order of their definitions.
DEFECTS: dict[str, Defect] = {}


def _added(made: Defect) -> None:
    if made.name in DEFECTS:
        raise ValueError(f"two defects are called {made.name}")
    DEFECTS[made.name] = made


def in_kernel(
    family: str, description: str, operators: str, when: Callable[[DType], bool] | None = None
) -> Callable[[Spoil], Spoil]:
    """Decorator of a function that spoils the kernels of some operators.

    Args:
        family: Which part of a backend it is in.
        description: What is wrong.
        operators: Names of operators, with spaces between.
        when: For which dtypes; all by default.
    """

    def register(function: Spoil) -> Spoil:
        def spoil(kernel: Kernel, dtype: DType) -> Kernel:
            return kernel if when and not when(dtype) else writing(function(kernel, dtype))

        name = function.__name__.strip("_").replace("_", "-")
        _added(Defect(name, family, description, tuple(operators.split()), spoil))
        return function

    return register


def in_device(
    family: str, description: str, operators: str
) -> Callable[[MakeRuntime], MakeRuntime]:
    """Decorator of a runtime's class that neglects a duty; see `in_kernel`."""

    def register(make: Any) -> Any:
        # CamelCase to words.
        words = "".join("-" + c.lower() if c.isupper() else c for c in make.__name__)
        name = words.strip("-_")
        _added(Defect(name, family, description, tuple(operators.split()), runtime=make))
        return make

    return register


def writing(wrong: Kernel) -> Kernel:
    """The wrong kernel with `out=`, if it does not take that itself."""

    def kernel(*operands: Any, **attributes: Any) -> Any:
        out = attributes.pop("out", None)
        result = wrong(*operands, **attributes)
        if out is None:
            return result
        out[...] = result
        return out

    return wrong if getattr(wrong, "takes_out", False) else kernel


def is_reduced(dtype: DType) -> bool:
    """float16 or bfloat16."""
    return dtype.is_reduced


def is_real_floating(dtype: DType) -> bool:
    """A floating dtype, complex ones left out."""
    return dtype.is_inexact and not dtype.is_complex


def is_integer(dtype: DType) -> bool:
    """An integer dtype, not bool."""
    return not dtype.is_inexact and dtype.name != "bool"
