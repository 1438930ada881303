"""`import rushlight.TYPE` for the modules of device types, which no file holds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_PARENT = __name__.partition(".")[0]


class DeviceFinder:
    """Finds the module of a device type; it is asked when there is no file of that name.

    It is its own loader: the module is the one that `rushlight.TYPE` gives.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        parent, _, kind = name.rpartition(".")
        if parent != _PARENT or kind.startswith("_"):
            return None
        from ._device_module import is_device_type

        return ModuleSpec(name, self) if is_device_type(kind) else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """See `importlib.abc.Loader`."""
        from ._device_module import device_module

        return device_module(spec.name.rpartition(".")[2])

    def exec_module(self, module: ModuleType) -> None:
        """See `importlib.abc.Loader`; the module is complete."""


def install() -> None:
    """Lets import statements find the modules of device types."""
    sys.meta_path.append(DeviceFinder())
