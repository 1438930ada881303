"""Moving tensors: to other dtypes and devices, to NumPy, to Python numbers, through DLPack."""

from __future__ import annotations

import copy as python_copy
from typing import Any, SupportsIndex

import numpy as np

from .. import _dtypes
from .._device import device as Device
from .._dtypes import DType, is_dtype
from .._errors import error
from .._layout import contiguous_format, memory_format, preserve_format
from .._modes import STATE, with_modes
from .._registered import operators
from .._tensor.construction import as_tensor, from_host, from_numpy, tensor, to_host
from .._tensor.tensor import PLAIN, Tensor, native_of
from ..backend import backend_for, kind_of
from ._public import export, method, public

_ndarray, _bfloat16 = np.ndarray, _dtypes.bfloat16  # a name of this module is found faster

for _function in (tensor, as_tensor, from_numpy):
    export(_function.__name__, _function)


def _parse_to(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, Any, bool, bool]:
    """(device, dtype, non_blocking, copy) of a call of `Tensor.to`."""
    late = bool(keywords.pop("non_blocking", False))
    keywords.pop("memory_format", None)
    device = keywords.pop("device", None)
    dtype = keywords.pop("dtype", None)
    copy = keywords.pop("copy", False)
    other = keywords.pop("other", None)
    if keywords:
        raise error(TypeError, "to", f"unexpected keyword arguments {sorted(keywords)}")
    rest = list(arguments)
    if rest and isinstance(rest[0], Tensor):
        other = rest.pop(0)
    elif rest and (isinstance(rest[0], (str, Device)) or type(rest[0]) is int):
        device = rest.pop(0)
        if rest and (is_dtype(rest[0]) or rest[0] is None):
            dtype = rest.pop(0)
    elif rest and rest[0] is None:
        rest.pop(0)
        if rest and is_dtype(rest[0]):
            dtype = rest.pop(0)
    elif rest and is_dtype(rest[0]):
        dtype = rest.pop(0)
    if other is not None:
        device, dtype = other.device, other.dtype
    if len(rest) > 2 or any(not isinstance(flag, bool) for flag in rest):
        raise error(
            TypeError,
            "to",
            "received an invalid combination of arguments",
            given=", ".join(map(repr, arguments)),
            expected="(device), (dtype), (device, dtype) or (other)",
        )
    if len(rest) == 2:
        copy = rest[1]
    if rest:
        late = rest[0]
    return device, dtype, late, copy


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor with another dtype or device; itself if nothing changes.

    Args:
        *args: A dtype, a device, both, or a tensor whose dtype and device to take.
        **kwargs: `device`, `dtype`, `copy` (always copy), `non_blocking` (pinned memory may be
            copied later, so it must not be changed before), `memory_format`.
    Raises:
        RuntimeError: No such device.
    Example:
        >>> rushlight.tensor([1, 2]).to(rushlight.float32)
        tensor([1., 2.])
    """
    if len(args) == 1 and not kwargs and args[0] is self._k.dtype:
        return self  # the commonest question, which changes nothing
    device, dtype, late, copy = _parse_to(args, dict(kwargs))
    where = self.device if device is None else as_device(device)
    kind = kind_of(where, dtype or self.dtype)
    if self._k is kind:
        return operators["clone"](self) if copy else self
    return operators["to_kind"].function(self, kind, late)  # type: ignore[no-any-return]


def as_device(device: Any) -> Device:
    """A device from what users write for one."""
    if isinstance(device, Device):
        return device
    if isinstance(device, int):
        raise error(
            RuntimeError, "device", f"device index {device} without a device type",
            fix="write TYPE:INDEX, or rushlight.device(type, index)",
        )  # fmt: skip
    return Device(device)


method("to", to)
CASTS = {
    "float": _dtypes.float32, "double": _dtypes.float64, "half": _dtypes.float16,
    "bfloat16": _dtypes.bfloat16, "int": _dtypes.int32, "long": _dtypes.int64,
    "short": _dtypes.int16, "char": _dtypes.int8, "byte": _dtypes.uint8, "bool": _dtypes.bool_,
    "cfloat": _dtypes.complex64, "cdouble": _dtypes.complex128,
}  # fmt: skip


def _cast_method(name: str, dtype: DType) -> None:
    def cast(self: Tensor, memory_format: Any = preserve_format) -> Tensor:
        return self if self._k.dtype is dtype else to(self, dtype)

    cast.__name__ = cast.__qualname__ = name
    cast.__doc__ = f"The tensor as {dtype}."
    method(name, cast)


for _name, _dtype in CASTS.items():
    _cast_method(_name, _dtype)


@public(function=False)
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor with the dtype and device of another."""
    return to(self, other)


@public(function=False)
def cpu(self: Tensor, memory_format: Any = preserve_format) -> Tensor:
    """The tensor in host memory."""
    return self if self.device.type == "cpu" else to(self, "cpu")


@public(function=False)
def contiguous(self: Tensor, memory_format: memory_format = contiguous_format) -> Tensor:
    """The tensor with its elements in order in memory; itself if they are."""
    if self.is_contiguous(memory_format):
        return self
    return self.clone(memory_format=memory_format)


# -- the host ------------------------------------------------------------------------------


def _readable(self: Tensor, who: str) -> None:
    """Raises where the values cannot be handed out."""
    if getattr(self, "is_level_tensor", False):
        raise error(
            RuntimeError,
            who,
            "a value inside a transform can't be read as a Python number or an array",
            fix="compute with tensors only inside vmap, jvp and capture",
        )
    recorder = STATE.get().recorder
    if recorder is not None:
        recorder.read(self, who)


def numpy(self: Tensor, *, force: bool = False) -> np.ndarray[Any, Any]:
    """The values as a NumPy array, which shares memory with a tensor in host memory.

    Args:
        force: Detaches and moves the tensor to the host where that is needed.
    Raises:
        RuntimeError: The tensor is recorded (use `detach`).
        TypeError: The tensor lies on another device (use `cpu`).
    """
    _readable(self, "numpy")
    if force:
        self = self.detach().cpu()
    if self.requires_grad:
        raise error(
            RuntimeError,
            "numpy",
            "Can't call numpy() on Tensor that requires grad",
            fix="use tensor.detach().numpy() instead",
        )
    if not self.is_meta and not backend_for(self.device.type).manifest.host_memory:
        raise error(
            TypeError,
            "numpy",
            f"can't convert {self.device} device type tensor to numpy",
            fix="use Tensor.cpu() to copy the tensor to host memory first",
        )
    return to_host(self)


method("numpy", numpy)


def _array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
    array = numpy(self)
    if dtype is not None and array.dtype != dtype:
        return array.astype(dtype)
    return array.copy() if copy else array


method("__array__", _array)
Tensor.__array_priority__ = 1000  # type: ignore[attr-defined]


@public(function=False)
def item(self: Tensor) -> Any:
    """The value of a tensor of one element as a Python number.

    Raises:
        RuntimeError: The tensor has another number of elements.
    """
    native = self._a
    if native.__class__ is _ndarray and native.size == 1 and self.__class__ in PLAIN:
        if self._k.dtype is not _bfloat16 and STATE.get().recorder is None:  # the usual case
            return native.item()
    _readable(self, "item")
    if self.numel() != 1:
        raise error(
            RuntimeError,
            "item",
            f"a Tensor with {self.numel()} elements cannot be converted to Scalar",
            given=f"x of shape {tuple(self.shape)}",
        )
    if self.is_meta:
        raise error(
            RuntimeError, "item", "Tensor.item() cannot be called on meta tensors",
            fix="make the tensor on a device with memory",
        )  # fmt: skip
    array = self._k.runtime.to_host(native_of(self))
    return _plain(array).item()


def _plain(array: Any) -> Any:
    return array.astype(np.float32) if array.dtype == _dtypes.bfloat16.numpy else array


@public(function=False)
def tolist(self: Tensor) -> Any:
    """The values as nested Python lists, or a number for a 0-d tensor."""
    _readable(self, "tolist")
    native = native_of(self)
    return _plain(self._k.runtime.to_host(native)).tolist()


def _number(self: Tensor, kind: type, name: str) -> Any:
    native = self._a
    if native.__class__ is np.ndarray and native.size == 1:
        return kind(item(self))
    if self.numel() != 1:
        if kind is bool and self.numel() == 0:
            raise error(RuntimeError, "bool", "Boolean value of Tensor with no values is ambiguous")
        message = (
            "Boolean value of Tensor with more than one value is ambiguous"
            if kind is bool
            else "only one element tensors can be converted to Python scalars"
        )
        raise error(
            RuntimeError if kind is bool else ValueError,
            name,
            message,
            given=f"x of shape {tuple(self.shape)}",
            fix="use any() or all()" if kind is bool else None,
        )
    return kind(item(self))


method("__bool__", lambda self: _number(self, bool, "bool"))
method("__float__", lambda self: _number(self, float, "float"))
method("__int__", lambda self: _number(self, int, "int"))
method("__complex__", lambda self: _number(self, complex, "complex"))


def _index(self: Tensor) -> int:
    if self.dtype.is_inexact or self.numel() != 1:
        raise error(
            TypeError,
            "index",
            "only integer tensors of a single element can be converted to an index",
            given=f"{self.dtype} of shape {tuple(self.shape)}",
        )
    return int(item(self))


method("__index__", _index)


def _format(self: Tensor, spec: str) -> str:
    if self.ndim == 0 and not self.is_meta:
        return format(item(self), spec)
    return object.__format__(self, spec) if spec else repr(self)


method("__format__", _format)


def _iterate(self: Tensor) -> Any:
    if self.ndim == 0:
        raise TypeError("iteration over a 0-d tensor")
    return iter(operators["select"].function(self, 0))


method("__iter__", _iterate)
# NumPy must not take `array + tensor` element by element.
Tensor.__array_ufunc__ = None  # type: ignore[attr-defined]


# -- copying -------------------------------------------------------------------------------


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Any:
    if id(self) in memo:
        return memo[id(self)]
    if not self.is_leaf:
        raise error(
            RuntimeError,
            "deepcopy",
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
            "protocol at the moment",
            fix="copy x.detach() instead",
        )
    with with_modes(grad=False):
        made = operators["clone"](self) if not self.is_meta else self.detach()
    made = made.as_subclass(type(self)) if type(self) is not Tensor else made
    memo[id(self)] = made
    made._req = self._req
    if self.grad is not None:
        made._grad = python_copy.deepcopy(self.grad, memo)
    made.__dict__.update(python_copy.deepcopy(_own_attributes(self), memo))
    return made


def _own_attributes(self: Tensor) -> dict[str, Any]:
    """What the user set on a tensor; hooks stay with the original, as in torch."""
    hooks = ("_tensor_hooks", "_post_accumulate_hooks")
    return {key: value for key, value in self.__dict__.items() if key not in hooks}


method("__deepcopy__", _deepcopy)


def _rebuilt(
    cls: Any, array: Any, dtype: str, device: str, requires_grad: bool, attributes: dict[str, Any]
) -> Any:
    """The tensor of a pickle."""
    host = array.view(_dtypes.dtype_named(dtype).numpy)
    made = from_host(host, Device(device), copy=False)
    if cls is not Tensor:
        made = made.as_subclass(cls)
    made._req = requires_grad
    made.__dict__.update(attributes)
    return made


def _reduce(self: Tensor, protocol: SupportsIndex) -> Any:
    if not self.is_leaf:
        raise error(
            RuntimeError, "pickle", "only leaf tensors can be pickled", fix="pickle x.detach()"
        )
    host = np.ascontiguousarray(to_host(self.detach())).reshape(tuple(self.shape))
    if self.dtype is _dtypes.bfloat16:
        host = host.view(np.uint16)
    return _rebuilt, (
        type(self), host, self.dtype.name, str(self.device), self._req, _own_attributes(self),
    )  # fmt: skip


method("__reduce_ex__", _reduce)


# -- DLPack --------------------------------------------------------------------------------


def _dlpack(self: Tensor, **keywords: Any) -> Any:
    if self.requires_grad:
        raise error(
            BufferError,
            "dlpack",
            "Can't export tensors that require gradient",
            fix="use tensor.detach()",
        )
    native = native_of(self)
    if self.dtype is _dtypes.bfloat16:
        raise error(BufferError, "dlpack", "the host's array library can't export bfloat16")
    if hasattr(native, "flags") and not native.flags.writeable:
        raise error(BufferError, "dlpack", "a read-only array can't be exported", fix="clone() it")
    return native.__dlpack__(**keywords)


method("__dlpack__", _dlpack)
method("__dlpack_device__", lambda self: native_of(self).__dlpack_device__())


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor over the memory of another library's array, without a copy.

    Raises:
        TypeError: The object does not speak DLPack.
    Example:
        >>> import numpy
        >>> rushlight.from_dlpack(numpy.arange(3))
        tensor([0, 1, 2])
    """
    if not hasattr(ext_tensor, "__dlpack__"):
        raise error(
            TypeError, "from_dlpack", f"{type(ext_tensor).__name__} has no __dlpack__ method"
        )
    return from_host(np.from_dlpack(ext_tensor), Device("cpu"), copy=False)


export("from_dlpack", from_dlpack)
