"""Names: the backend loads, says what it is, and has what it says under names that exist."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from ...._dtypes import ALL, DType, bool_, float32, int64
from ...._registered import operators
from ....backend import API_VERSION, DeviceRuntime, Manifest, backend_for
from ....backend._registry import normalized
from ...owed import is_optional, owed
from .._asking import backend_of, kernels_of
from .._case import Case, Missing, Skip
from ._table import PROGRAMS, program

_CLASSES = {"bool", "integer", "floating", "reduced", "complex", "default"}
#: What an array module may have beyond operators: parts of kernels that others are made of.
_PARTS = {"outer", "random_bits", "ldexp"}
_DUTIES = sorted(name for name in vars(DeviceRuntime) if not name.startswith("_"))


@program("names", needs=())
def loads(device: str) -> None:
    """The backend loads and speaks a protocol that the core speaks."""
    backend = backend_of(device)
    assert backend_for(backend.name) is backend
    major, minor = backend.api
    assert major == API_VERSION[0] and minor <= API_VERSION[1], f"protocol {backend.api}"


@program("names", needs=())
def manifest(device: str) -> None:
    """The manifest is one, and has the dtypes that nothing can do without."""
    found = backend_of(device).manifest
    assert isinstance(found, Manifest), f"the manifest is {type(found).__name__}"
    strange = [each for each in found.dtypes if each not in ALL]
    assert not strange, f"these are no dtypes of Rushlight: {strange}"
    lacking = [d.name for d in (bool_, int64, float32) if d not in found.dtypes]
    assert not lacking, f"tensors are made of bool, int64 and float32; without {lacking}"


@program("names", needs=())
def opens(device: str) -> None:
    """The device is there, and its runtime has all duties."""
    backend = backend_of(device)
    label = normalized(device)
    count = backend.count()
    assert (label.index or 0) < count, f"there are {count} devices"
    runtime = backend.runtime(label.index or 0)
    assert backend.runtime(label.index or 0) is runtime, "a device has two runtimes"
    lacking = [name for name in _DUTIES if not hasattr(runtime, name)]
    assert not lacking, f"the runtime lacks {', '.join(lacking)}"
    assert isinstance(runtime.infers_shapes, bool)
    assert isinstance(runtime.array_type, type)
    runtime.synchronize()


@program("names", needs=())
def kernel_names(device: str) -> None:
    """Every kernel stands under the name of an operator."""
    unknown = kernels_of(device) - operators.keys() - _PARTS
    told = []
    for name in sorted(unknown):
        near = difflib.get_close_matches(name, operators, 1)
        told.append(f"{name} (did you mean {near[0]}?)" if near else name)
    assert not unknown, f"there are no operators {', '.join(told)}"


@program("names", needs=())
def kernels_are_functions(device: str) -> None:
    """Every kernel can be called; tables have the classes of dtypes as keys."""
    backend = backend_of(device)
    for name, entries in backend._kernels.items():
        for found, dtypes in entries:
            table = found if isinstance(found, Mapping) else {"default": found}
            assert table.keys() <= _CLASSES, f"{name}: {sorted(table.keys() - _CLASSES)}"
            assert all(callable(kernel) for kernel in table.values()), f"{name} can't be called"
            assert dtypes is None or all(isinstance(d, DType) for d in dtypes), name


def _kernel(name: str, device: str) -> None:
    if name in kernels_of(device):
        return
    if is_optional(name):
        raise Skip(f"{name} is optional, and absent")
    raise Missing(
        f"the device has no kernel of {name}, and there is no decomposition: write one, or note "
        f"kernel-{name} in xfails.txt"
    )


def _enter(name: str) -> None:
    def call(device: str) -> None:
        _kernel(name, device)

    PROGRAMS.append(Case(f"kernel-{name}", "names", 1, 1, call, operator=name))


for _name in owed():
    _enter(_name)
