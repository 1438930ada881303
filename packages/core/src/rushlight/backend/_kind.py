"""`Kind`: one device and one dtype with their kernels, the object every tensor points to.

Two tensors with the same kind need no promotion and no device check, and the kernel of operator
number `i` for them is `kind.t[i]`: no table lookup, no plugin call.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _dtypes
from .._device import device
from .._dtypes import DType
from .._errors import error
from ._current import chosen, current_index, moved
from ._protocol import Backend, DeviceRuntime, Kernel
from ._registry import backend_for, normalized

#: Number of each operator, which is its place in every kernel list.
OPERATOR_INDEX: dict[str, int] = {}
#: Operators whose operands are made floating before a kernel is asked.  Their kernels for integers
#: are left out of the lists: an entry would call them with operands that are not promoted.
FLOATING_ONLY: set[str] = set()
_SCALARS = 512


class Kind:
    """A (device, dtype) pair.

    Attributes:
        device, dtype: The pair.
        host: The dtype's host form, which kernels' results are compared with.
        backend: The backend, None for the meta device.
        runtime: The device's duties, None for the meta device.
        t: Kernels by operator number, None where there is none.
        hot: The same kernels where they check operands themselves, so that an entry may call them
            without asking the meta function.
        array: Class of the device's native arrays.
        outs: The same kernels where they take `out=`.
        numbers: Python types that join without promotion.
        scalars: Native 0-d arrays by Python value, for operands such as 2.0.
    """

    __slots__ = (
        "_bool_kind", "array", "backend", "device", "dtype", "host", "hot", "infers", "is_complex",
        "is_meta", "numbers", "outs", "runtime", "scalars", "t",
    )  # fmt: skip

    def __init__(self, where: device, dtype: DType, backend: Backend | None) -> None:
        self.device = where
        self.dtype = dtype
        self.backend = backend
        self.host = dtype.numpy
        self.is_meta = backend is None
        self.is_complex = dtype.is_complex
        self.runtime: DeviceRuntime = None  # type: ignore[assignment]
        self.infers = False
        if backend is not None:
            self.runtime = backend.runtime(where.index or 0)
            self.infers = self.runtime.infers_shapes
        self.numbers: frozenset[type] = frozenset(
            {
                _dtypes.Category.BOOL: (bool,),
                _dtypes.Category.INTEGER: (int, bool),
                _dtypes.Category.FLOATING: (float, int, bool),
                _dtypes.Category.COMPLEX: (complex, float, int, bool),
            }[dtype.category]
        )
        self.scalars: dict[Any, Any] = {}
        self.array: type = object if self.runtime is None else self.runtime.array_type
        self._bool_kind: Kind | None = None
        self.t: list[Kernel | None] = []
        self.hot: list[Kernel | None] = []
        self.outs: list[Kernel | None] = []
        if backend is not None:
            backend.listeners.append(self.fill)
        self.fill()

    def fill(self) -> None:
        """Makes the kernel lists anew, after operators or kernels were added."""
        names = sorted(OPERATOR_INDEX, key=OPERATOR_INDEX.__getitem__)
        self.scalars.clear()  # a device that was reset has lost them
        if self.backend is None:
            self.t[:] = self.hot[:] = self.outs[:] = [None] * len(names)
            return
        find, accepts = self.backend.find_kernel, self.backend.accepts_out
        skipped = frozenset() if self.dtype.is_inexact else FLOATING_ONLY
        self.t[:] = [None if name in skipped else find(name, self.dtype) for name in names]
        bind = getattr(self.runtime, "bind", None)
        if bind is not None:
            self.t[:] = [
                None if kernel is None else bind(name, kernel, self.dtype)
                for name, kernel in zip(names, self.t, strict=True)
            ]
        self.hot[:] = self.t if self.infers else [None] * len(names)
        self.outs[:] = [
            kernel if name in accepts else None for name, kernel in zip(names, self.t, strict=True)
        ]

    @property
    def bool_kind(self) -> Kind:
        """The kind of comparisons."""
        if self._bool_kind is None:
            self._bool_kind = kind_of(self.device, _dtypes.bool_)
        return self._bool_kind

    def scalar(self, value: Any) -> Any:
        """A native 0-d array of a Python number, kept for the next time."""
        # 0.0 equals -0.0 and NaN equals nothing, so neither may be looked up by value; and 1, 1.0
        # and True are one key, which is right: they all mean this kind's one.
        found = self.scalars.get(value) if value else self._zero(value)
        if found is None:
            found = self.runtime.from_host(_host_scalar(value, self.dtype))
            if value and value == value and len(self.scalars) < _SCALARS:
                self.scalars[value] = found
        return found

    def _zero(self, value: Any) -> Any:
        """The kept 0, for a zero without a sign."""
        cls = value.__class__
        if cls is not int and not (cls is float and math.copysign(1.0, value) > 0):
            return None
        found = self.scalars.get(None)
        if found is None:
            found = self.scalars[None] = self.runtime.from_host(np.zeros((), self.dtype.numpy))
        return found

    def __repr__(self) -> str:
        return f"Kind({self.device}, {self.dtype})"


def _host_scalar(value: Any, dtype: DType) -> np.ndarray[Any, Any]:
    """A host 0-d array of a Python number, rounded once, wrapped around as in C."""
    if dtype.category is _dtypes.Category.INTEGER:
        bits = 8 * dtype.itemsize
        low = -(1 << (bits - 1)) if dtype.is_signed else 0
        value = int(value)
        if not low <= value < low + (1 << bits):
            if not -(1 << 63) <= value < (1 << 64):
                raise error(
                    RuntimeError,
                    "scalar",
                    f"value cannot be converted to type {dtype.name} without overflow",
                    given=f"{value}",
                    expected=f"{low} to {low + (1 << bits) - 1}",
                )
            value = (value - low) % (1 << bits) + low
        return np.array(value, dtype.numpy)
    if dtype.category is _dtypes.Category.BOOL:
        return np.array(bool(value))
    with np.errstate(over="ignore"):
        return np.array(value).astype(dtype.numpy)


_kinds: dict[tuple[device, DType], Kind] = {}
_META = device("meta")


def kind_of(where: device, dtype: DType) -> Kind:
    """The kind of a device and dtype; loads the backend if need be.

    Raises:
        RuntimeError: No such device.
        TypeError: The device has no such dtype.
    """
    found = _kinds.get((where, dtype))
    if found is not None:
        return found
    if where.type == "meta":
        made = Kind(_META, dtype, None)
    else:
        label = normalized(where)
        if label != where:
            made = kind_of(label, dtype)
            if where.type not in moved:  # else it means one device now and another later
                _kinds[where, dtype] = made
            return made
        backend = backend_for(where.type)
        has = backend.dtypes(label.index or 0)
        if dtype not in has:
            raise error(
                TypeError,
                f"device '{where}'",
                f"it has no {dtype}",
                given=f"{dtype}",
                expected=", ".join(d.name for d in _dtypes.ALL if d in has),
                fix="convert to one of these first, for example x.to(rushlight.float32)",
            )
        made = Kind(label, dtype, backend)
    return _kinds.setdefault((where, dtype), made)


def set_current_index(kind: str, index: int) -> int:
    """Chooses the device that labels without index mean in this thread; returns the one before.

    Raises:
        RuntimeError: There is no such device.
    """
    before = current_index(kind)
    normalized(device(kind, index))
    if index != before:
        if index and kind not in moved:
            moved.add(kind)
            for place, dtype in list(_kinds):
                if (
                    place.type == kind
                    and place.index is None
                    and backend_for(kind).manifest.indexed
                ):
                    _kinds.pop((place, dtype), None)
        chosen.indices[kind] = index
    return before


def refill() -> None:
    """Brings all kernel lists up to date, and forgets kept numbers: a backend calls it when it has
    got other kernels, or after a device was reset."""
    for kind in set(_kinds.values()):
        kind.fill()
