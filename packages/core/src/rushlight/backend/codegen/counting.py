"""Distinct elements and counts: unique, bincount, histc. How many there are is waited for."""

from __future__ import annotations

import math
from typing import Any

from ..._dtypes import DType, bool_, float32, float64, int64, uint32
from ..._errors import error
from .array import DeviceArray, row_major
from .dialect import suffix
from .expression import computed
from .gathering import Chosen
from .printing import loaded, memory_type
from .registry import Family, Kernel
from .sorting import REAL, Order
from .walking import WIDTHS, Walk

counting = Family()


class Distinct:
    """What the rows of a matrix are that differ from the row before, in a given order.

    Args:
        device: The launcher.
        dtype: Type of the elements.
    """

    def __init__(self, device: Any, dtype: DType) -> None:
        self.device = device
        self.dtype = dtype
        self.chosen = Chosen(device)
        type, memory, width = computed(dtype), memory_type(dtype), WIDTHS[dtype.itemsize]
        a = loaded("x[x_at + order[i] * columns + k]", dtype)
        b = loaded("x[x_at + order[i - 1] * columns + k]", dtype)
        differ = f"!eq_{suffix(type)}({a}, {b})" if type.is_complex else f"{a} != {b}"
        self.starts = Walk(
            device, "k_starts", {"out": "u8", "x": memory, "order": "i64"},
            f"""u8 starts = i == 0;
    for (i64 k = 0; k < columns && !starts; k++) starts = {differ};
    out[out_i] = starts;""",
            "i64 columns",
        )  # fmt: skip
        self.firsts = Walk(
            device, "k_firsts", {"out": "i64", "starts": "u8", "counts": "i64"},
            "if (starts[starts_i]) out[counts[counts_i] - 1] = i;",
        )  # fmt: skip
        self.inverse = Walk(
            device, "k_inverse", {"out": "i64", "order": "i64", "counts": "i64"},
            "out[order[order_i]] = counts[counts_i] - 1;",
        )  # fmt: skip
        self.lengths = Walk(
            device, "k_lengths", {"out": "i64", "first": "i64"},
            "out[out_i] = (i + 1 < m ? first[first_i + 1] : n) - first[first_i];", "i64 m i64 n",
        )  # fmt: skip
        self.rows = Walk(
            device, "k_distinct", {"out": width, "x": width, "order": "i64", "first": "i64"},
            "out[out_i] = x[x_i + order[first[first_i]] * columns];", "i64 columns",
        )  # fmt: skip

    def __call__(
        self,
        x: DeviceArray,
        rows: DeviceArray,
        order: DeviceArray,
        dim: int | None,
        return_inverse: bool,
        return_counts: bool,
    ) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
        """Values in the operand's layout, inverse and counts (empty unless asked for)."""
        device = self.device
        n, columns = rows.shape
        starts = device.empty((n,), bool_)
        self.starts((n,), (starts, (1,)), (rows, (0,)), (order, (1,)), numbers=(columns,))
        counts, m = self.chosen(starts)
        first = device.empty((m,), int64)
        self.firsts((n,), (first, (0,)), (starts, (1,)), (counts, (1,)))
        values = device.empty((m, columns), self.dtype)
        self.rows(
            (m, columns), (values, (columns, 1)), (rows, (0, 1)), (order, (0, 0)), (first, (1, 0)),
            numbers=(columns,),
        )  # fmt: skip
        inverse = lengths = device.empty((0,), int64)
        if return_inverse:
            inverse = device.empty(x.shape if dim is None else (n,), int64)
            self.inverse((n,), (inverse, (0,)), (order, (1,)), (counts, (1,)))
        if return_counts:
            lengths = device.empty((m,), int64)
            self.lengths((m,), (lengths, (1,)), (first, (1,)), numbers=(m, n))
        if dim is None:
            return values.geometry((m,), (1,), 0), inverse, lengths
        apart = (m, *x.shape[:dim], *x.shape[dim + 1 :])
        steps = row_major(apart)
        order_back = [*range(1, dim + 1), 0, *range(dim + 1, len(apart))]
        view = values.geometry(
            tuple([apart[d] for d in order_back]), tuple([steps[d] for d in order_back]), 0
        )
        return device.dense(view), inverse, lengths


def _matrix(x: DeviceArray, dim: int | None) -> DeviceArray:
    """The rows that are compared: elements, or slices along a dimension."""
    if dim is None:
        return x.settled().reshaped((x.size, 1))
    axes = [dim, *[d for d in range(len(x.shape)) if d != dim]]
    turned = x.settled().geometry(
        tuple([x.shape[d] for d in axes]), tuple([x.strides[d] for d in axes]), 0
    )
    columns = math.prod(turned.shape[1:])
    return turned.reshaped((x.shape[dim], columns))


def _unique(name: str, consecutive: bool) -> Any:
    def make(device: Any, dtype: DType) -> Kernel:
        distinct = Distinct(device, dtype)
        order_of = None if consecutive else Order(device, dtype)
        number = Walk(device, "k_places", {"out": "i64"}, "out[out_i] = i;")
        through = Walk(
            device, "k_through", {"out": "i64", "order": "i64", "by": "i64"},
            "out[out_i] = order[by[by_i]];",
        )  # fmt: skip
        type = WIDTHS[dtype.itemsize]
        column = Walk(
            device, "k_column", {"out": type, "x": type, "order": "i64"},
            "out[out_i] = x[x_i + order[order_i] * columns];", "i64 columns",
        )  # fmt: skip

        def lexical(rows: DeviceArray, order: DeviceArray) -> DeviceArray:
            """The stable order of rows by their first, then second, ... element."""
            n, columns = rows.shape
            assert order_of is not None
            for c in range(columns - 1, -1, -1):
                key = device.empty((1, n), dtype)
                start = rows.geometry((n,), (0,), c)
                column((n,), (key, (1,)), (start, (0,)), (order, (1,)), numbers=(columns,))
                by, after = order_of(key), device.empty((n,), int64)
                through((n,), (after, (1,)), (order, (0,)), (by, (1,)))
                order = after
            return order

        def kernel(
            x: DeviceArray,
            *,
            dim: int | None = None,
            return_inverse: bool = False,
            return_counts: bool = False,
        ) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
            rows = _matrix(x, dim)
            n = rows.shape[0]
            order = device.empty((n,), int64)
            number((n,), (order, (1,)))
            if order_of is not None and rows.size:
                order = lexical(rows, order)
            return distinct(x, rows, order, dim, return_inverse, return_counts)

        return kernel

    return make


counting.add("unique", _unique("unique", False), REAL)
counting.add("unique_consecutive", _unique("unique_consecutive", True))


class _Counted:
    """Counts of whole numbers, by atomic additions: the order does not matter."""

    def __init__(self, device: Any, memory: str, place: str, scalars: str) -> None:
        self.device = device
        self.walk = Walk(
            device, "k_count", {"out": "u32", "x": memory},
            f"{place} if (at >= 0) ATOMIC_ADD_u32(out + at, 1);", scalars,
        )  # fmt: skip

    def __call__(self, x: DeviceArray, bins: int, dtype: DType, *numbers: Any) -> DeviceArray:
        device = self.device
        counts = device.movement.fill(device.empty((bins,), uint32), 0)
        x.settled()
        self.walk(x.shape, (counts, (0,) * len(x.shape)), (x, x.strides), numbers=numbers)
        made: DeviceArray = device.movement.cast(counts, dtype)
        return made


def _bound(device: Any, name: str, x: DeviceArray) -> Any:
    """The smallest or largest element, waited for."""
    found = device.kernels_of(name, x.dtype)(x, dim=tuple(range(len(x.shape))), keepdim=False)
    return device.to_host(found)[()]


@counting.kernel("bincount", "bool integer")
def bincount_kernel(device: Any, dtype: DType) -> Kernel:
    memory = memory_type(dtype)
    counted = _Counted(device, memory, "const i64 at = (i64)x[x_i];", "")

    def kernel(
        x: DeviceArray, weights: DeviceArray | None = None, *, minlength: int = 0
    ) -> DeviceArray:
        bins = minlength
        if x.size:
            least = int(_bound(device, "amin", x))
            if least < 0:
                raise error(
                    RuntimeError,
                    "bincount",
                    f"{least} can't be counted",
                    expected="non-negative integers",
                )
            bins = max(bins, int(_bound(device, "amax", x)) + 1)
        if weights is None:
            return counted(x, bins, int64)
        wide = float64 if device.double else float32
        zeros = device.movement.fill(device.empty((bins,), wide), 0)
        added = device.movement.cast(weights, wide)
        index = device.movement.cast(x, int64)
        total: DeviceArray = device.kernels_of("index_add", wide)(zeros, index, added, dim=0)
        result = float32 if weights.dtype is float32 else wide
        return total if result is wide else device.movement.cast(total, result)

    return kernel


@counting.kernel("histc", REAL)
def histc_kernel(device: Any, dtype: DType) -> Kernel:
    wide = float64 if device.double else float32
    s = suffix(wide)
    place = f"""const {s} v = ({s}){loaded("x[x_i]", dtype)};
    i64 at = -1;
    if (v >= low && v <= high) {{
        at = (i64)((v - low) / (high - low) * ({s})bins);
        at = at < bins - 1 ? at : bins - 1;
    }}"""
    counted = _Counted(device, memory_type(dtype), place, f"{s} low {s} high i64 bins")

    def kernel(x: DeviceArray, *, bins: int = 100, min: float = 0, max: float = 0) -> DeviceArray:
        low, high = float(min), float(max)
        if low == high and x.size:
            low, high = float(_bound(device, "amin", x)), float(_bound(device, "amax", x))
        if low == high:
            low, high = low - 1, high + 1
        if not (math.isfinite(low) and math.isfinite(high)):
            raise error(
                RuntimeError,
                "histc",
                f"range of [{low}, {high}] is not finite",
                fix="give finite min and max, or remove inf and nan from the input",
            )
        return counted(x, bins, dtype, low, high, bins)

    return kernel
