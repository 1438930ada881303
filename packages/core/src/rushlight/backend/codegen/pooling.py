"""Pooling on a device: maxima and means over windows, and their gradients in a fixed order.

Windows come as tables (`windows`), so one kernel serves fixed and adaptive windows of any number
of dimensions. A gradient of means goes through the transposed table; that of maxima, which knows
positions only, is added up by one work-item for each plane.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ..._dtypes import DType, int64
from . import products as text
from .array import DeviceArray
from .dialect import suffix
from .expression import computed
from .printing import loaded, memory_type, program, stored
from .registry import Family, Kernel
from .windows import Sizes, Table, adaptive, joined, tables_of, turned

pooling = Family()
_REAL = "integer floating reduced"
_MAXIMA = "p p p i64 p i64 i64 i64 i64"
_MEANS = "p p i64 p p i64 i64 i64"
_SCATTER = "p p i64 p i64 i64 i64 i64"


def _maxima_text(dtype: DType, d: Any) -> str:
    type, kind = suffix(computed(dtype)), memory_type(dtype)
    nan = "| ((v != v) & (best == best))" if dtype.is_floating_point else ""
    lowest = "-INFINITY" if dtype.is_floating_point else str(np.iinfo(dtype.numpy).min)
    if lowest == str(-(1 << 63)):
        lowest = f"(-9223372036854775807{d.long_suffix} - 1)"
    return f"""{d.kernel} k_maxima({d.device} {kind}* out, {d.device} i64* at,
        const {d.device} {kind}* x, const i64 x_at, const {d.device} i32* table,
        const i64 positions, const i64 plane, const i64 taps, const i64 places) {{
    const i64 p = GID(0), c = GID(1);
    if (p >= positions) return;
    x += x_at + c * plane;
    {type} best = {lowest};
    i32 where = -1;
    for (i64 t = 0; t < taps; t++) {{
        const i32 place = table[t * positions + p];
        if (place < 0) continue;
        const {type} v = {loaded("x[place]", dtype)};
        if ((where < 0) | (v > best) {nan}) {{ best = v; where = place; }}
    }}
    out[c * positions + p] = {stored("best", computed(dtype), dtype)};
    if (places) at[c * positions + p] = where < 0 ? 0 : where;
}}"""


def _means_text(dtype: DType, d: Any, back: bool) -> str:
    """Sums of windows over their divisors; `back` every element is divided before it is added."""
    type, kind = text.wide(dtype), memory_type(dtype)
    if not dtype.is_floating_point:
        type = suffix(dtype) if dtype.itemsize == 8 else "i64"
    share = "float" if type == "f32" else "double" if type == "f64" else type
    share = {"float": "f32", "double": "f64"}.get(share, share)
    value = f"({type})({loaded('x[place]', dtype)})"
    step = f"{value} / shares[place]" if back else value
    end = "sum" if back else "sum / shares[p]"
    return f"""{d.kernel} k_means({d.device} {kind}* out, const {d.device} {kind}* x,
        const i64 x_at, const {d.device} i32* table, const {d.device} {share}* shares,
        const i64 positions, const i64 plane, const i64 taps) {{
    const i64 p = GID(0), c = GID(1);
    if (p >= positions) return;
    x += x_at + c * plane;
    {type} sum = 0;
    for (i64 t = 0; t < taps; t++) {{
        const i32 place = table[t * positions + p];
        if (place >= 0) sum += {step};
    }}
    out[c * positions + p] = {text.written(end, dtype)};
}}"""


def _scatter_text(dtype: DType, d: Any) -> str:
    type, kind = text.wide(dtype), memory_type(dtype)
    wide = dtype.is_reduced
    put = f"sums[c * plane + at[p]] += {text.read('g[p]', dtype)};"
    return f"""{d.kernel} k_scatter({d.device} {type if wide else kind}* sums,
        const {d.device} {kind}* g, const i64 g_at, const {d.device} i64* at, const i64 at_at,
        const i64 planes, const i64 plane, const i64 positions) {{
    const i64 c = GID(0);
    if (c >= planes) return;
    g += g_at + c * positions;
    at += at_at + c * positions;
    for (i64 q = 0; q < plane; q++) sums[c * plane + q] = 0;
    for (i64 p = 0; p < positions; p++) {put}
}}"""


class Pools:
    """Pooling of one dtype on one device."""

    def __init__(self, device: Any, dtype: DType) -> None:
        self.device = device
        self.dtype = dtype
        self.tables = tables_of(device)
        self._launches: dict[str, Any] = {}

    def launch(self, name: str, body: Callable[[], str], signature: str, key: str = "") -> Any:
        """A kernel, made when it is first needed."""
        found = self._launches.get(key or name)
        if found is None:
            source = program([body()], self.device.dialect, self.device.double)
            found = self.device.compile(source, {name: signature})[name]
            self._launches[key or name] = found
        return found

    def maxima(
        self, x: DeviceArray, table: DeviceArray, size: Sizes, places: bool
    ) -> tuple[DeviceArray, DeviceArray]:
        """Maxima of windows, and their places in the plane if wanted."""
        shape = (*x.shape[:2], *size)
        out = self.device.empty(shape, self.dtype)
        at = self.device.empty(shape, int64) if places else out
        if out.size:
            x = x.reshaped(x.shape)
            launch = self.launch(
                "k_maxima", lambda: _maxima_text(self.dtype, self.device.dialect), _MAXIMA
            )
            launch(
                (prod(size), prod(shape[:2])), None, out.buffer, at.buffer, x.buffer, x.offset,
                table.buffer, prod(size), prod(x.shape[2:]), table.shape[0], int(places),
            )  # fmt: skip
        return out, at

    def means(
        self, x: DeviceArray, table: DeviceArray, shares: DeviceArray, size: Sizes, back: bool
    ) -> DeviceArray:
        """Sums of windows over `shares`, or `back` sums of what is divided by its window's."""
        shape = (*x.shape[:2], *size)
        out: DeviceArray = self.device.empty(shape, self.dtype)
        if out.size:
            x = x.reshaped(x.shape)
            launch = self.launch(
                "k_means", lambda: _means_text(self.dtype, self.device.dialect, back), _MEANS,
                f"k_means {back}",
            )  # fmt: skip
            launch(
                (prod(size), prod(shape[:2])), None, out.buffer, x.buffer, x.offset, table.buffer,
                shares.buffer, prod(size), prod(x.shape[2:]), table.shape[0],
            )  # fmt: skip
        return out

    def shares(self, key: Any, counts: Callable[[], list[Any]], whole: int | None) -> DeviceArray:
        """The divisor of each window: the product of the dimensions' counts, or one number."""
        dtype = self.dtype
        host_dtype: Any = np.float32 if text.wide(dtype) == "f32" else dtype.numpy
        if not dtype.is_floating_point:
            host_dtype = np.uint64 if dtype.name == "uint64" else np.int64

        def make() -> Any:
            total = np.ones(1, np.int64)
            for row in counts():
                total = (total[:, None] * np.asarray(row, np.int64)).reshape(-1)
            return np.full_like(total, whole) if whole is not None else total

        return self.tables.get(("shares", key, whole, np.dtype(host_dtype).name), make, host_dtype)


def _out_size(
    size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ceil_mode: bool
) -> Sizes:
    """Windows along each dimension; with `ceil_mode` the last may hang over the end."""
    out = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        span = n + 2 * p - d * (k - 1) - 1
        count = (-(-span // s) if ceil_mode else span // s) + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1
        if count < 1:
            raise ValueError(f"windows of {kernel} do not fit planes of {size}")
        out.append(count)
    return tuple(out)


def _counts(
    size: Sizes, out: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, include_pad: bool
) -> list[Any]:
    """For each dimension and window: the elements that it counts."""
    rows = []
    for n, o, k, s, p in zip(size, out, kernel, stride, padding, strict=True):
        low, high = (-p, n + p) if include_pad else (0, n)
        start = np.arange(o) * s - p
        rows.append(np.minimum(start + k, high) - np.maximum(start, low))
    return rows


# -- operators --------------------------------------------------------------------------------


def _max_pool(made: Pools, places: bool) -> Kernel:
    def kernel(
        x: DeviceArray, *, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes,
        ceil_mode: bool,
    ) -> Any:  # fmt: skip
        window = tuple(kernel_size), tuple(stride), tuple(padding), tuple(dilation)
        out = _out_size(x.shape[2:], *window, ceil_mode)
        table = made.tables.windows(x.shape[2:], out, *window)
        both = made.maxima(x, table, out, places)
        return both if places else both[0]

    return kernel


@pooling.kernel("max_pool", _REAL)
def _(device: Any, dtype: DType) -> Kernel:
    return _max_pool(Pools(device, dtype), True)


@pooling.kernel("max_pool_values", _REAL)
def _(device: Any, dtype: DType) -> Kernel:
    return _max_pool(Pools(device, dtype), False)


@pooling.kernel("max_pool_backward", _REAL)
def _(device: Any, dtype: DType) -> Kernel:
    made = Pools(device, dtype)

    def kernel(g: DeviceArray, indices: DeviceArray, *, input_size: Sizes) -> DeviceArray:
        shape = (*g.shape[:2], *input_size)
        wide = made.dtype.is_reduced
        sums: DeviceArray = device.empty(shape, computed(dtype))
        if sums.size:
            g, indices = g.reshaped(g.shape), indices.reshaped(indices.shape)
            launch = made.launch(
                "k_scatter", lambda: _scatter_text(dtype, device.dialect), _SCATTER
            )
            launch(
                (prod(shape[:2]),), None, sums.buffer, g.buffer, g.offset, indices.buffer,
                indices.offset, prod(shape[:2]), prod(input_size), prod(g.shape[2:]),
            )  # fmt: skip
        return device.movement.cast(sums, dtype) if wide else sums

    return kernel


def _mean(made: Pools, back: bool) -> Kernel:
    def kernel(
        x: DeviceArray, *, kernel_size: Sizes, stride: Sizes, padding: Sizes, ceil_mode: bool,
        count_include_pad: bool, divisor_override: int | None, input_size: Sizes = (),
    ) -> DeviceArray:  # fmt: skip
        ones = (1,) * len(kernel_size)
        window = tuple(kernel_size), tuple(stride), tuple(padding)
        size = tuple(input_size) if back else x.shape[2:]
        out = x.shape[2:] if back else _out_size(size, *window, ones, ceil_mode)
        key = (size, out, *window, count_include_pad)
        shares = made.shares(
            key, lambda: _counts(size, out, *window, count_include_pad), divisor_override
        )
        find = made.tables.windows_back if back else made.tables.windows
        table = find(size, out, *window, ones)
        return made.means(x, table, shares, size if back else out, back)

    return kernel


@pooling.kernel("avg_pool", _REAL)
def _(device: Any, dtype: DType) -> Kernel:
    return _mean(Pools(device, dtype), False)


@pooling.kernel("avg_pool_backward", "floating reduced")
def _(device: Any, dtype: DType) -> Kernel:
    return _mean(Pools(device, dtype), True)


def _adaptive_tables(size: Sizes, out: Sizes) -> list[Table]:
    return [adaptive(n, o) for n, o in zip(size, out, strict=True)]


def _adaptive_mean(made: Pools, back: bool) -> Kernel:
    def run(x: DeviceArray, size: Sizes, out: Sizes) -> DeviceArray:
        def counts() -> list[Any]:
            return [(t >= 0).sum(0) for t in _adaptive_tables(size, out)]

        def make() -> Table:
            tables = _adaptive_tables(size, out)
            if back:
                return joined([turned(t, n) for t, n in zip(tables, size, strict=True)], out)
            return joined(tables, size)

        table = made.tables.get(("adaptive", back, size, out), make)
        shares = made.shares(("adaptive", size, out), counts, None)
        return made.means(x, table, shares, size if back else out, back)

    return run


@pooling.kernel("adaptive_avg_pool", "floating reduced")
def _(device: Any, dtype: DType) -> Kernel:
    run = _adaptive_mean(Pools(device, dtype), False)
    return lambda x, *, output_size: run(x, x.shape[2:], tuple(output_size))


@pooling.kernel("adaptive_avg_pool_backward", "floating reduced")
def _(device: Any, dtype: DType) -> Kernel:
    run = _adaptive_mean(Pools(device, dtype), True)
    return lambda g, *, input_size: run(g, tuple(input_size), g.shape[2:])


@pooling.kernel("adaptive_max_pool", _REAL)
def _(device: Any, dtype: DType) -> Kernel:
    made = Pools(device, dtype)

    def kernel(x: DeviceArray, *, output_size: Sizes) -> Any:
        size, out = x.shape[2:], tuple(output_size)
        table = made.tables.get(
            ("adaptive", False, size, out), lambda: joined(_adaptive_tables(size, out), size)
        )
        return made.maxima(x, table, out, True)

    return kernel
