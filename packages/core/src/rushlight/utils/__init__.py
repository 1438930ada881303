"""`rushlight.utils`; the nn distribution adds `rushlight.utils.data`."""

import os.path
from typing import Any

# In an editable install nn's part of this folder lies elsewhere; wheels share one folder, and then
# nothing may be added, or a folder named `rushlight` in the working directory would join.
if not os.path.isdir(os.path.join(os.path.dirname(__file__), "data")):
    from pkgutil import extend_path

    __path__ = extend_path(__path__, __name__)


def __getattr__(name: str) -> Any:
    if name in ("checkpoint", "data", "hooks"):
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'rushlight.utils' has no attribute {name!r}")
