"""The native kernels, in C: how they are bound to operators.

Each `<family>.c` beside this file has a table of kernels (operator, dtype classes, function); they
need no Python.  What is easier begun in Python stands in `<family>.py`, in a table `KERNELS`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

#: The NumPy kernel of (operator, dtype class), None where there is none.
Fallback = Callable[[str, str], Any]
#: Makes the kernel of one dtype class of the extension module and the NumPy kernel.
Maker = Callable[[Any, Any], Any]


def python_kernels() -> dict[tuple[str, str], Maker]:
    """Makers by (operator, dtype classes separated by blanks), from the families in Python."""
    return {}


def native_kernels(library: Any, fallback: Fallback) -> dict[str, dict[str, Any]]:
    """Kernels by operator and dtype class, each with the NumPy kernel for what it declines.

    Args:
        library: The extension module.
        fallback: Finds NumPy kernels.
    """
    made: dict[str, dict[str, Any]] = {}

    def add(operator: str, classes: str, make: Callable[[Any], Any]) -> None:
        for kernel_class in classes.split():
            entry = made.setdefault(operator, {})
            if kernel_class in entry:
                raise ValueError(f"two native kernels for {operator!r} of {kernel_class} tensors")
            behind = fallback(operator, kernel_class)
            if behind is None:
                raise ValueError(f"{operator!r} of {kernel_class} tensors has no NumPy kernel")
            entry[kernel_class] = make(behind)

    for index, (operator, classes) in enumerate(library.kernels()):
        add(operator, classes, functools.partial(library.bind, index))
    for (operator, classes), maker in python_kernels().items():
        add(operator, classes, functools.partial(maker, library))
    return made
