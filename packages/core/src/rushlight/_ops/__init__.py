"""The operator families; importing this package defines every operator."""

from __future__ import annotations

import importlib
import os
from typing import Any

from ._public import METHODS as METHODS
from ._public import PUBLIC as PUBLIC

# Not by pkgutil: it would load what nothing else here needs.
for _file in sorted(os.listdir(__path__[0])):
    _family, _ending = os.path.splitext(_file)
    if _ending in (".py", ".pyc") and _family != "__init__":
        importlib.import_module(f"{__name__}.{_family}")


def install(names: dict[str, Any], namespace: str = "") -> None:
    """Puts the public functions of a namespace into a module."""
    names.update(PUBLIC.get(namespace, {}))
