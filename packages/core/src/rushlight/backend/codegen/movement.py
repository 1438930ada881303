"""Kernels that make and move values: fills, ranges, copies, conversions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._dtypes import DType, bool_, complex128, float64, int32, int64
from .array import DeviceArray, keep_bounds, row_major
from .dialect import suffix
from .elementwise import Elementwise, of_operands
from .expression import Expr, cast
from .printing import memory_type, program, stored
from .registry import Family, Kernel

movement = Family()
_INDICES = (int64, int32)


def converted_to(
    dtypes: tuple[DType | None, ...], fixed: tuple[Any, ...], passed: tuple[DType, ...]
) -> tuple[tuple[Expr, DType], ...]:
    """The operand in the dtype `fixed[0]`."""
    (x,), _ = of_operands(dtypes, passed)
    assert x is not None
    target: DType = fixed[0]
    return (
        (cast(x, x.type if target.is_reduced and x.type.is_inexact else _wide(target)), target),
    )


def _wide(target: DType) -> DType:
    from .expression import computed

    return computed(target)


class Movement:
    """Copies on one device, which the runtime's duties use too."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self._convert = Elementwise(device, "convert", converted_to)

    def cast(self, x: DeviceArray, dtype: DType) -> DeviceArray:
        """A dense array of the values in a dtype."""
        if x.buffer is None or x.dense:
            made: DeviceArray = self._convert.run((x,), (dtype,))
            if dtype in _INDICES and x.dtype in _INDICES:
                keep_bounds(made.settled(), x)
            return made
        # Elementwise results keep the order that packed operands have in memory; this must not.
        out: DeviceArray = self.device.empty(x.shape, dtype)
        if out.size:
            self._convert.run((x,), (dtype,), out=out)
        if dtype in _INDICES and x.dtype in _INDICES:
            keep_bounds(out, x)
        return out

    def copy(self, target: DeviceArray, source: DeviceArray) -> None:
        """Writes `source`, of a shape that broadcasts, into `target`."""
        target.settled()
        if source.buffer is target.buffer and source.buffer is not None:
            source = self.cast(source, source.dtype)  # they may overlap
        if len(source.shape) > len(target.shape):  # leading dims of size 1
            source = source.reshaped(source.shape[len(source.shape) - len(target.shape) :])
        if source.buffer is not None and source.shape != target.shape:
            missing = len(target.shape) - len(source.shape)
            steps = (0,) * missing + tuple(
                [0 if n == 1 else s for n, s in zip(source.shape, source.strides, strict=True)]
            )
            source = source.geometry(target.shape, steps, 0)
        self._convert.run((source,), (target.dtype,), out=target)

    def fill(self, target: DeviceArray, value: Any) -> DeviceArray:
        """Writes a number everywhere."""
        number = host_number(self.device, value, target.dtype)
        self._convert.run((number,), (target.dtype,), out=target)
        return target


def host_number(device: Any, value: Any, dtype: DType) -> DeviceArray:
    """A 0-d array that is still a number on the host, rounded to the dtype."""
    with np.errstate(all="ignore"):
        host = np.asarray(value)
        if host.dtype.kind == "c" and not dtype.is_complex:
            host = host.real
        rounded = (host != 0) if dtype is bool_ else host.astype(dtype.numpy)
    return DeviceArray(
        device, None, 0, (), (), dtype, 1, True, kernel_number(rounded.reshape(()), dtype)
    )


def kernel_number(host: Any, dtype: DType) -> Any:
    """A host number as kernels take it."""
    if dtype is bool_:
        return int(host)
    if dtype.is_reduced:
        return float(host)
    return host.item() if not dtype.is_complex else host[()]


@movement.kernel("cast")
def cast_kernel(device: Any, dtype: DType) -> Kernel:
    move = device.movement.cast

    def kernel(x: DeviceArray, *, dtype: DType) -> DeviceArray:
        if dtype in (float64, complex128) and not device.double:
            raise TypeError(f"device '{device!r}' has no {dtype}")
        made: DeviceArray = move(x, dtype)
        return made

    return kernel


@movement.kernel("clone")
def clone_kernel(device: Any, dtype: DType) -> Kernel:
    move = device.movement.cast

    def kernel(x: DeviceArray) -> DeviceArray:
        made: DeviceArray = move(x, dtype)
        return made

    return kernel


@movement.kernel("full")
def full_kernel(device: Any, dtype: DType) -> Kernel:
    def kernel(*, shape: tuple[int, ...], value: Any, dtype: DType) -> DeviceArray:
        if not shape:
            return host_number(device, value, dtype)
        made: DeviceArray = device.movement.fill(device.empty(shape, dtype), value)
        return made

    return kernel


@movement.kernel("arange")
def arange_kernel(device: Any, dtype: DType) -> Kernel:
    launches: dict[DType, Any] = {}

    def compiled(wide: DType) -> Any:
        d, short = device.dialect, suffix(wide)
        value = stored("value", wide, dtype)
        text = f"""{d.kernel} arange({d.device} {memory_type(dtype)}* out, const {short} start,
        const {short} step, const i64 n) {{
    const i64 i = GID(0);
    if (i >= n) return;
    const {short} value = start + step * ({short})i;
    out[i] = {value};
}}"""
        source = program([text], d, device.double)
        return device.compile(source, {"arange": f"p {short} {short} i64"})["arange"]

    def kernel(*, start: Any, step: Any, length: int, dtype: DType) -> DeviceArray:
        whole = isinstance(start, int) and isinstance(step, int)
        if dtype.is_complex or not (whole or device.double):
            # Wider than the device computes: made on the host.
            host = start + step * np.arange(length)
            made: DeviceArray = device.from_host(host.astype(dtype.numpy))
            return made
        wide = int64 if whole else float64
        launch = launches.get(wide)
        if launch is None:
            launch = launches[wide] = compiled(wide)
        out: DeviceArray = device.empty((length,), dtype)
        if length:
            launch((length,), None, out.buffer, start, step, length)
        return out

    return kernel


__all__ = ["Movement", "host_number", "kernel_number", "movement", "row_major"]
