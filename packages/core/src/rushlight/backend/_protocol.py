"""The backend protocol: what a package with kernels for a device type provides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from .. import _dtypes
from .._dtypes import DType

#: (major, minor) of this protocol.  A minor version only adds; backends written for the two minors
#: before this one, with the same major, keep working, and others are refused when they are loaded.
API_VERSION = (1, 2)
Kernel = Callable[..., Any]
KernelEntry = Kernel | Mapping[str, Kernel]
K = TypeVar("K", bound=KernelEntry)


class DeviceRuntime(Protocol):
    """The duties of one device.  Native arrays and buffers are opaque to the core.

    A runtime may also have `bind(name, kernel, dtype)`, which gives the kernel as the core is to
    call it for operator `name` on this device and a first operand of `dtype`: loaded there, or
    with this device made the current one.  `_duties` lists what else a runtime may offer, and what
    the core does without it.
    """

    #: Kernels check operand shapes and dtypes themselves and find the result's; the core asks
    #: the meta function only to explain a failure.  Where this is False, the core asks the meta
    #: function first, allocates the results, and hands them to the kernel as `out=` (a native
    #: array; a tuple with None for absent ones where the operator has several results).  Only
    #: operators without meta function, whose results' shapes depend on data, return arrays then.
    infers_shapes: bool
    #: Class of native arrays; they have `.shape` and `.dtype` (NumPy's or rushlight's).
    array_type: type

    def allocate(self, nbytes: int) -> Any:
        """A buffer of at least `nbytes` bytes."""
        ...

    def view(
        self,
        buffer: Any,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        dtype: DType,
    ) -> Any:
        """The native array over a buffer; offset and strides count elements of `dtype`."""
        ...

    def buffer_of(self, native: Any) -> Any:
        """The buffer under a kernel's result, starting at its first element."""
        ...

    def shape_of(self, native: Any) -> tuple[int, ...]:
        """Shape of a native array."""
        ...

    def strides_of(self, native: Any) -> tuple[int, ...]:
        """Strides of a native array, in elements."""
        ...

    def nbytes_of(self, buffer: Any) -> int:
        """Size of a buffer."""
        ...

    def address_of(self, buffer: Any) -> int:
        """An integer that tells memory in use from all other memory in use; 0 if it is empty."""
        ...

    def wrap(self, result: Any, dtype: DType) -> Any:
        """A native array of what a kernel returned, which may be a host scalar for 0-d."""
        ...

    def copy(self, target: Any, source: Any) -> None:
        """Writes `source`, of a shape that broadcasts, into `target`, converting the dtype."""
        ...

    def from_host(self, array: np.ndarray[Any, Any]) -> Any:
        """A native array with a copy of a host array's values."""
        ...

    def to_host(self, native: Any) -> np.ndarray[Any, Any]:
        """A host array with the values; may share memory where the device is the host."""
        ...

    def synchronize(self) -> None:
        """Waits until every kernel has run."""
        ...


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a device can do; skips, docs and coverage tables follow from it.

    Attributes:
        dtypes: Types that tensors can have on a device of the type.  Making a tensor of another one
            raises `TypeError`, tests of it are skipped, `rushlight.preflight` calls it missing.  A
            device that has fewer says so by its runtime's `dtypes`.
        host_memory: Host arrays can be used without a copy (`from_numpy`, `Tensor.numpy`), and 0-d
            tensors of the device join those of any other.
        indexed: There can be several devices of the type, told apart by index.
        notes: Tier of the kernels and limits (largest buffer, precision) in words, for the report.
    """

    dtypes: frozenset[DType] = frozenset(_dtypes.ALL)
    host_memory: bool = False
    indexed: bool = True
    notes: str = ""


class Backend:
    """A device type with its kernels, as a plugin registers it.

    Args:
        name: The device type users write.
        device: Makes the runtime of the device with a given index.
        api: The protocol version the backend was written for.
        manifest: Dtypes and limits.
        kernels: Kernels by operator name: a callable, or callables by dtype class
            ("bool", "integer", "floating", "reduced", "complex", "default").
        accepts_out: Names of kernels that take `out=`, a native array to write into.
        count: How many devices of the type there are.
        threads: Functions that get and set the number of host threads, for a backend with any.
        namespace: What `rushlight.NAME` offers beside the names that all device types have.

    Example:
        >>> from rushlight.backend import Backend
        >>> Backend("toy", device=lambda index: None).name
        'toy'
    """

    def __init__(
        self,
        name: str,
        *,
        device: Callable[[int], Any],
        api: tuple[int, int] = API_VERSION,
        manifest: Manifest | None = None,
        kernels: Mapping[str, KernelEntry] | None = None,
        accepts_out: frozenset[str] = frozenset(),
        count: Callable[[], int] = lambda: 1,
        threads: tuple[Callable[[], int], Callable[[int], None]] | None = None,
        namespace: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.api = api
        self.manifest = manifest or Manifest()
        self.accepts_out = set(accepts_out)
        self.count = count
        self.threads = threads
        self.namespace = dict(namespace or {})
        self._make_device = device
        self._runtimes: dict[int, DeviceRuntime] = {}
        self._dtypes: dict[int, frozenset[DType]] = {}
        self._kernels: dict[str, list[tuple[KernelEntry, frozenset[DType] | None]]] = {}
        #: Called when a kernel is added after tensors of the device exist.
        self.listeners: list[Callable[[], None]] = []
        for kernel_name, kernel in (kernels or {}).items():
            self._kernels[kernel_name] = [(kernel, None)]

    def kernel(
        self, name: str, *, dtypes: frozenset[DType] | None = None, accepts_out: bool = False
    ) -> Callable[[K], K]:
        """Decorator that registers a kernel; a later one goes before an earlier one.

        Args:
            name: The operator's name.
            dtypes: Dtypes of the first operand the kernel is for; all by default.
            accepts_out: The kernel takes `out=`.
        """

        def register(function: K) -> K:
            self._kernels.setdefault(name, []).insert(0, (function, dtypes))
            (self.accepts_out.add if accepts_out else self.accepts_out.discard)(name)
            for listener in self.listeners:
                listener()
            return function

        return register

    def kernel_names(self) -> list[str]:
        """Names of all operators with a kernel."""
        return sorted(self._kernels)

    def find_kernel(self, name: str, dtype: DType) -> Kernel | None:
        """The kernel of an operator for a first operand of a dtype, if there is one."""
        for found, dtypes in self._kernels.get(name, ()):
            if dtypes is None or dtype in dtypes:
                if not isinstance(found, Mapping):
                    return found
                chosen = found.get(dtype.kernel_class, found.get("default"))
                if chosen is not None:
                    return chosen
        return None

    def runtime(self, index: int) -> DeviceRuntime:
        """The runtime of one device."""
        found = self._runtimes.get(index)
        if found is None:
            found = self._runtimes[index] = self._make_device(index)
        return found

    def opened(self, index: int) -> DeviceRuntime | None:
        """The runtime of one device if it was asked for before."""
        return self._runtimes.get(index)

    def dtypes(self, index: int) -> frozenset[DType]:
        """The manifest's dtypes that one device has; it is opened for that."""
        found = self._dtypes.get(index)
        if found is None:
            found = self.manifest.dtypes
            own = getattr(self.runtime(index), "dtypes", None)
            if callable(own):
                found &= own()
            self._dtypes[index] = found
        return found

    def index_of(self, runtime: DeviceRuntime | None) -> int | None:
        """The index of a runtime, None if it is another backend's."""
        return next((i for i, found in self._runtimes.items() if found is runtime), None)


class Failure(NamedTuple):
    """Why a plugin could not be loaded."""

    type: str
    distribution: str
    version: str
    cause: str
    traceback: str
