"""What is asked of a device beside its operators, one module per stage."""

import importlib
import pkgutil

from .._case import Case
from ._table import PROGRAMS as _PROGRAMS


def programs() -> list[Case]:
    """The programs of all modules."""
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        if not module.name.startswith("_"):
            importlib.import_module(f"{__name__}.{module.name}")
    return list(_PROGRAMS)
