"""The operator families; importing this package defines every operator."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from ._public import METHODS as METHODS
from ._public import PUBLIC as PUBLIC

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def install(names: dict[str, Any], namespace: str = "") -> None:
    """Puts the public functions of a namespace into a module."""
    names.update(PUBLIC.get(namespace, {}))
