"""The CPU under another name, `device="loopback"`, with a guard in front of every kernel.

It computes with the array family's kernels on arrays in host memory, as the backend of any
NumPy-like module does, on two devices. The guard holds the core to its side of the contract:
operands are this device's own arrays, promoted and of the kernel's dtype; attributes are complete
and normalised; and what the kernel gives is what the meta function says.

    pytest --device=loopback
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._device import device as Device
from .._dispatch import Spec
from .._dtypes import DType, from_numpy_dtype
from .._operator import Operator
from .._registered import operators
from .._schema import Parameter
from .._tensor.tensor import Tensor, meta_tensor
from ..backend import ArrayDevice, Backend, Manifest, hookimpl, kind_of
from ..backend.arrays import ACCEPTS_OUT, array_kernels

HostArray = np.ndarray[Any, Any]
_META = Device("meta")


class BrokenContract(AssertionError):
    """The core called a kernel as it must not."""


class LoopbackArray(np.ndarray[Any, Any]):
    """An array of a loopback device; it knows which."""

    device: Any = None  # NumPy 2 has an attribute of this name, always "cpu"

    def __array_finalize__(self, made_from: Any) -> None:
        self.device = getattr(made_from, "device", None)


class LoopbackDevice(ArrayDevice):
    """One device: host memory whose arrays are of a class of their own."""

    def __init__(self, index: int) -> None:
        super().__init__(np)
        self.array_type = LoopbackArray
        self.index = index

    def own(self, array: HostArray) -> LoopbackArray:
        """An array as one of this device."""
        made = array.view(LoopbackArray)
        made.device = self.index
        return made

    def allocate(self, nbytes: int) -> LoopbackArray:
        """See `DeviceRuntime.allocate`."""
        return self.own(np.empty(nbytes, np.uint8))

    def view(
        self,
        buffer: Any,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        dtype: DType,
    ) -> LoopbackArray:
        """See `DeviceRuntime.view`."""
        self.check_own("view", buffer)
        return self.own(super().view(_plain(buffer), offset, shape, strides, dtype))

    def buffer_of(self, native: Any) -> LoopbackArray:
        """See `DeviceRuntime.buffer_of`."""
        self.check_own("buffer_of", native)
        return self.own(super().buffer_of(_plain(native)))

    def wrap(self, result: Any, dtype: DType) -> LoopbackArray:
        """See `DeviceRuntime.wrap`."""
        return self.own(np.asarray(result, dtype.numpy))

    def copy(self, target: Any, source: Any) -> None:
        """See `DeviceRuntime.copy`."""
        self.check_own("copy", target)
        self.check_own("copy", source)
        super().copy(_plain(target), _plain(source))

    def from_host(self, array: HostArray) -> LoopbackArray:
        """See `DeviceRuntime.from_host`."""
        if isinstance(array, LoopbackArray):
            raise BrokenContract(f"from_host: an array of device {array.device} is not the host's")
        return self.own(np.array(array))

    def to_host(self, native: Any) -> HostArray:
        """See `DeviceRuntime.to_host`."""
        self.check_own("to_host", native)
        return np.array(_plain(native))

    def check_own(self, who: str, array: Any) -> None:
        """Raises for an array of the host, of the other device, or of another library."""
        if type(array) is not LoopbackArray or array.device != self.index:
            where = getattr(array, "device", "the host")
            raise BrokenContract(
                f"{who}: loopback:{self.index} was given {type(array).__name__} of {where}"
            )

    # -- kernels -------------------------------------------------------------------------

    def bind(self, name: str, kernel: Callable[..., Any], dtype: DType) -> Callable[..., Any]:
        """The kernel behind its guard."""
        op = operators.get(name)
        if op is None:
            return kernel

        def guarded(*operands: Any, **attributes: Any) -> Any:
            target = attributes.pop("out", None)
            check_operands(self, op, operands, dtype)
            check_attributes(op, attributes)
            expected = None if target is not None else told(op, self.index, operands, attributes)
            extra = {}
            if target is not None:
                self.check_own(f"{name}, out", target)
                extra["out"] = _plain(target)
            results = kernel(*map(_plain, operands), **attributes, **extra)
            if target is not None:
                return target
            check_results(op, results, expected)
            if isinstance(results, tuple):
                return tuple(None if r is None else self.own(np.asarray(r)) for r in results)
            return self.own(np.asarray(results))

        return guarded


def _plain(array: Any) -> Any:
    return array.view(np.ndarray) if isinstance(array, np.ndarray) else array


# -- the guard ----------------------------------------------------------------------------------


def check_operands(
    device: LoopbackDevice, op: Operator, operands: tuple[Any, ...], dtype: DType
) -> None:
    """Operands are the device's own, and promoted."""
    inputs = op.schema.inputs
    if not op.schema.variadic and len(operands) != len(inputs):
        raise BrokenContract(f"{op.name}: {len(operands)} operands, its schema has {len(inputs)}")
    for place, x in enumerate(operands):
        if x is None:
            if not op.schema.variadic and not inputs[place].is_optional and place == 0:
                raise BrokenContract(f"{op.name}: operand {place} is None")
            continue
        device.check_own(f"{op.name}, operand {place}", x)
    present = [x for x in operands if x is not None]
    if present and present[0] is operands[0] and present[0].dtype != dtype.numpy:
        raise BrokenContract(f"{op.name}: its kernel for {dtype.name} got {present[0].dtype}")
    if op.promotes in ("default", "float", "compare"):
        joined = [x for x in present if x is not operands[0] or inputs[0].name != "condition"]
        if len({x.dtype for x in joined}) > 1:
            raise BrokenContract(f"{op.name}: not promoted: {[str(x.dtype) for x in joined]}")
        if op.promotes == "float" and not dtype.is_inexact:
            raise BrokenContract(f"{op.name}: {dtype.name} operands, promotion makes them floats")


_TYPES: dict[str, Callable[[Any], bool]] = {
    "int": lambda v: type(v) is int,
    "bool": lambda v: type(v) is bool,
    "float": lambda v: type(v) in (float, int),
    "str": lambda v: type(v) is str,
    "dtype": lambda v: type(v) is DType,
    "Scalar": lambda v: type(v) in (bool, int, float, complex),
    "int[]": lambda v: type(v) is tuple and all(type(n) is int for n in v),
}


def check_attributes(op: Operator, attributes: dict[str, Any]) -> None:
    """Attributes are all there, of the schema's types, and dimensions count from the front."""
    expected = {p.name: p for p in op.schema.attributes if not (op.creates and p.name == "device")}
    if expected.keys() != attributes.keys():
        raise BrokenContract(
            f"{op.name}: attributes {sorted(attributes)}, its schema has {sorted(expected)}"
        )
    for name, value in attributes.items():
        _check_attribute(op, expected[name], value)


def _check_attribute(op: Operator, parameter: Parameter, value: Any) -> None:
    if value is None and parameter.type.endswith("?"):
        return
    fits = _TYPES.get(parameter.type.rstrip("?"))
    if fits is not None and not fits(value):
        raise BrokenContract(
            f"{op.name}: {parameter.name}={value!r} ({type(value).__name__}), "
            f"its schema says {parameter.type}"
        )
    if parameter.name in ("dim", "dims", "dim0", "dim1"):
        numbers = value if isinstance(value, tuple) else (value,)
        if any(type(n) is int and n < 0 for n in numbers):
            raise BrokenContract(f"{op.name}: {parameter.name}={value!r} is not normalised")


def told(op: Operator, index: int, operands: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
    """What the meta function says of the results; None where there is no such function."""
    if op.meta_rule is None:
        return None
    inputs: list[Tensor | None] = []
    for x in operands:
        if x is None:
            inputs.append(None)
        else:
            kind = kind_of(_META, from_numpy_dtype(x.dtype))
            inputs.append(meta_tensor(kind, x.shape, None))
    if op.creates:
        attributes = {**attributes, "device": _META}
    return op.meta_rule(*inputs, **attributes)


def check_results(op: Operator, results: Any, expected: Any) -> None:
    """Shapes and dtypes are what the meta function says."""
    if expected is None:
        return
    given = results if isinstance(results, tuple) else (results,)
    wanted: tuple[Spec | None, ...] = expected if isinstance(expected, tuple) else (expected,)
    shown = [None if r is None else (r.shape, str(r.dtype)) for r in given]
    said = [None if s is None else (s.shape, str(s.dtype.numpy)) for s in wanted]
    if shown != said:
        raise BrokenContract(f"{op.name}: its kernel gives {shown}, its meta function says {said}")


backend = Backend(
    "loopback",
    device=LoopbackDevice,
    manifest=Manifest(
        host_memory=False, indexed=True, notes="host memory behind guards, for tests"
    ),
    kernels=array_kernels(np),
    accepts_out=ACCEPTS_OUT,
    count=lambda: 2,
)


@hookimpl
def rushlight_backend() -> Backend:
    """The backend, for the plugin manager."""
    return backend
