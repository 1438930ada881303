"""Sample inputs and references of all operators, one module per operator family.

A table is data: `samples("sum", reference, case(real(3, 4), dim=(0,)), ...)`.
"""

from __future__ import annotations

import importlib
import pkgutil

from ._table import Case as Case
from ._table import Group as Group
from ._table import Sample as Sample


def groups() -> dict[str, Group]:
    """The samples of every operator that has any, by operator name.

    Raises:
        ValueError: Two tables hold samples of one operator.
    """
    found: dict[str, Group] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        if module.name.startswith("_"):
            continue
        for group in importlib.import_module(f"{__name__}.{module.name}").SAMPLES:
            if group.name in found:
                raise ValueError(f"samples of {group.name!r} stand in two tables")
            found[group.name] = group
    return found
