"""The backend protocol: everything a package with kernels for a device type imports."""

from typing import TYPE_CHECKING, Any

from .._dtypes import DType as DType
from .._errors import OutOfMemoryError as OutOfMemoryError
from ._array_device import ArrayDevice as ArrayDevice
from ._duties import OptionalDuties as OptionalDuties
from ._duties import optional_duties as optional_duties
from ._fallback import Ledger as Ledger
from ._fallback import LedgerRow as LedgerRow
from ._fallback import fallback as fallback
from ._fallback import fallback_policy as fallback_policy
from ._fallback import ledger as ledger
from ._kind import Kind as Kind
from ._kind import kind_of as kind_of
from ._kind import refill as refill
from ._protocol import API_VERSION as API_VERSION
from ._protocol import Backend as Backend
from ._protocol import DeviceRuntime as DeviceRuntime
from ._protocol import KernelEntry as KernelEntry
from ._protocol import Manifest as Manifest
from ._registry import backend_for as backend_for
from ._registry import installed_types as installed_types
from ._registry import loaded as loaded
from ._registry import register as register
from ._report import report as report

if TYPE_CHECKING:
    from ._hooks import hookimpl as hookimpl
else:

    def __getattr__(name: str) -> Any:
        if name == "hookimpl":
            from ._hooks import hookimpl

            return hookimpl
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
