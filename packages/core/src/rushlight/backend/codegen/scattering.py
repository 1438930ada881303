"""Writing by index: scatter, index_add, index_copy, index_fill, index_put, put.

First the places are worked out and checked; a kernel that writes does nothing once a fault has
been reported, so that bad indices change nothing.  Where several values have one place, the last
one is written; those that are folded are folded in their order, so results are the same each time:
on processors by the one work-item that owns the place (`folding`), else sorted by place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..._dtypes import DType, bool_, int64, uint32, uint64
from ..._errors import error
from .array import DeviceArray, broadcast_strides, coalesced, row_major
from .dialect import suffix
from .expression import computed
from .folding import Folding, reach_of
from .gathering import (
    are_suspect,
    as_index,
    broadcast_to,
    index_layout,
    index_lines,
    index_numbers,
    index_scalars,
    without,
)
from .movement import host_number
from .printing import literal, loaded, memory_type, stored
from .registry import Family, Kernel
from .sorting import sorted_numbers
from .walking import WIDTHS, Walk

scattering = Family()
Strides = tuple[int, ...]
# Up to this many values are compared with each other, instead of being marked in a table.
_FEW = 128


class Writer:
    """Writes values, or folds them into what is there, at indices of one array.

    Args:
        device: The launcher.
        who: The operator, for faults.
        dtype: Type of the elements.
        negative: Indices may count from the end.
        kind: What an index out of bounds raises.
    """

    def __init__(
        self, device: Any, who: str, dtype: DType, negative: bool, kind: type[Exception]
    ) -> None:
        self.device = device
        self.who = who
        self.dtype = dtype
        self.negative = negative
        self.kind = kind
        self._walks: dict[Any, Walk] = {}
        self._folding = Folding(device, dtype, self._step, self._helpers())

    # -- kernels -----------------------------------------------------------------------------

    def _places(self, count: int) -> Walk:
        sign = "n" if self.negative else "p"
        lines = index_lines(count, self.negative, "v$k = 0;")
        body = f"i64 place = at_i;\n    {lines}\n    out[out_i] = place;"
        operands: dict[str, str | None] = {"out": "i64", "at": None}
        operands |= {f"j{k}": "i64" for k in range(count)}
        return Walk(
            self.device, f"k_places_{count}{sign}", operands, body, index_scalars(count)
        )  # fmt: skip

    def _late(self) -> Walk:
        """Of few places, those that come again are made -1."""
        body = """i64 place = given[given_i];
    for (i64 k = i + 1; k < n; k++) if (given[given_at + k] == place) { place = -1; break; }
    out[out_i] = place;"""
        return Walk(self.device, "k_late", {"out": "i64", "given": "i64"}, body, "i64 n")

    def _claim(self) -> Walk:
        body = "ATOMIC_MAX_u32(claims + place[place_i] / unit, (u32)i + 1);"
        return Walk(
            self.device, "k_claim", {"claims": "u32", "place": "i64"}, body, "i64 unit"
        )  # fmt: skip

    def _claimed(self) -> Walk:
        body = """const i64 at = place[place_i];
    place[place_i] = claims[at / unit] == (u32)i + 1 ? at : -1;"""
        return Walk(
            self.device, "k_claimed", {"place": "i64", "claims": "u32"}, body, "i64 unit"
        )  # fmt: skip

    def _write(self) -> Walk:
        type = WIDTHS[self.dtype.itemsize]
        body = """if (faulty_i32(faults, first, slots)) return;
    if (place[place_i] >= 0) out[out_i + place[place_i]] = src[src_i];"""
        return Walk(
            self.device, "k_write", {"out": type, "src": type, "place": "i64"}, body,
            "p faults i32 first i32 slots", self._helpers(),
        )  # fmt: skip

    def _helpers(self) -> dict[str, str]:
        d = self.device.dialect.device
        return {
            "faulty_i32": f"""bool faulty_i32({d} i64* faults, i32 first, i32 slots) {{
    for (i32 k = 0; k < slots; k++) if (faults[2 * (first + k)]) return 1;
    return 0;
}}"""
        }

    def _pack(self) -> Walk:
        body = "out[out_i] = (u64)(place[place_i] / unit) << 32 | (u64)i;"
        return Walk(self.device, "k_pack", {"out": "u64", "place": "i64"}, body, "i64 unit")

    def _fold(self, reduce: str, include_self: bool) -> Walk:
        type, memory = computed(self.dtype), memory_type(self.dtype)
        c, s = ("bool" if type is bool_ else suffix(type)), suffix(type)
        finish = "acc"
        if reduce == "mean":
            real = suffix(type.to_real() if type.is_complex else type)
            count = f"(({real})(many + {int(include_self)}))"
            if type.is_complex:
                finish = f"div_{s}(acc, MAKE_{s}({count}, 0))"
            elif type.is_floating_point:
                finish = f"(acc / {count})"
            elif type is not bool_:
                finish = f"floor_divide_{s}(acc, {count})"
        value = loaded("src[src_i + (i64)(u32)order[t] * row]", self.dtype)
        begin = (
            f"{c} acc = {loaded('out[at]', self.dtype)}; i64 t = s;"
            if include_self
            else f"i64 t = s; {c} acc = {value}; t++;"
        )
        body = f"""if (faulty_i32(faults, first, slots)) return;
    const i64 s = order_i - order_at;
    const u64 mine = order[s] >> 32;
    if (s > 0 && order[s - 1] >> 32 == mine) return;
    const i64 at = out_i + (i64)mine * unit;
    {begin}
    for (; t < n && order[t] >> 32 == mine; t++) {{
        const {c} x = {value};
        {self._step(reduce, type)}
    }}
    const i64 many = t - s;
    const {c} total = {finish};
    out[at] = {stored("total", type, self.dtype)};"""
        kind = f"{reduce}{'' if include_self else '_apart'}"
        return Walk(
            self.device, f"k_fold_{kind}", {"out": memory, "src": memory, "order": "u64"}, body,
            "i64 row i64 n i64 unit p faults i32 first i32 slots", self._helpers(),
        )  # fmt: skip

    @staticmethod
    def _step(reduce: str, type: DType) -> str:
        s = suffix(type)
        if type is bool_:
            return f"acc {'|' if reduce in ('sum', 'mean', 'amax') else '&'}= x;"
        if reduce in ("sum", "mean"):
            return f"acc = add_{s}(acc, x);" if type.is_complex else f"acc = ({s})(acc + x);"
        if reduce == "prod":
            return f"acc = mul_{s}(acc, x);" if type.is_complex else f"acc = ({s})(acc * x);"
        return f"acc = {'maximum' if reduce == 'amax' else 'minimum'}_{s}(acc, x);"

    def _walk(self, kind: str, *details: Any) -> Walk:
        found = self._walks.get((kind, *details))
        if found is None:
            found = self._walks[(kind, *details)] = getattr(self, f"_{kind}")(*details)
        return found

    # -- call --------------------------------------------------------------------------------

    def __call__(
        self,
        out: DeviceArray,
        shape: tuple[int, ...],
        strides: Strides,
        at: Strides,
        indices: Sequence[tuple[DeviceArray, Strides]],
        sizes: Sequence[tuple[int, int, int]],
        src: DeviceArray,
        unit: int,
        *,
        reduce: str | None = None,
        include_self: bool = True,
    ) -> DeviceArray:
        """Writes.

        Args:
            out: A dense array.
            shape: Dimensions of the indices, without the others.
            strides: Steps of `out` along all dimensions of `src`, 0 along those of the indices.
            at: Steps of `out` that go with the index's place, along the indices' dimensions.
            indices: Indices with their steps along these.
            sizes: Dimension, size and step for each index.
            src: The values: the indices' dimensions first, then the others.
            unit: What all places are multiples of.
            reduce: "sum", "prod", "mean", "amax" or "amin"; None replaces.
            include_self: What is there is part of the fold.
        """
        device = self.device
        m = math.prod(shape)
        if not m or not src.size:
            return out
        numbers = index_numbers(device, self.who, sizes, self.kind)
        slots = (numbers[0], numbers[1], len(sizes))
        places = device.empty(shape, int64)
        self._walk("places", len(indices))(
            shape, (places, places.strides), (0, at), *indices, numbers=numbers
        )
        device.launched(are_suspect(indices, sizes, self.negative))
        flat = places.geometry((m,), (1,), 0)
        ndim = len(src.shape)
        inner = (0,) * (ndim - len(shape))
        if reduce is None:
            flat = self._last_ones(flat, m, out.size // unit, unit)
            self._walk("write")(
                src.shape, (out, strides), (src, src.strides),
                (flat, (*row_major(shape), *inner)), numbers=slots,
            )  # fmt: skip
            return out
        ahead = len(shape)
        if include_self and self._folding(
            reduce, out, flat, (shape, at, reach_of(sizes)), src,
            (src.shape[ahead:], strides[ahead:]), unit, slots,
        ):  # fmt: skip
            return out
        if out.size // unit >> 32 or m >> 32:
            raise error(
                RuntimeError,
                self.who,
                "values at more than 2^32 places can't be folded on this device",
                given=f"{m} values, {out.size // unit} places",
            )
        order = device.empty((m,), uint64)
        self._walk("pack")((m,), (order, (1,)), (flat, (1,)), numbers=(unit,))
        bits = (32, 32 + (out.size // unit).bit_length())
        order = sorted_numbers(device, order.geometry((1, m), (m, 1), 0), bits)
        _, (steps,) = coalesced(shape, [src.strides[: len(shape)]])
        if len(steps) > 1:
            src = device.dense(src)
            steps = [math.prod(src.shape[len(shape) :])]
        rest = src.shape[len(shape) :]
        self._walk("fold", reduce, include_self)(
            (m, *rest), (out, (0, *strides[len(shape) :])),
            (src, (0, *src.strides[len(shape) :])), (order, (1, *inner)),
            numbers=(steps[0], m, unit, *slots),
        )  # fmt: skip
        return out

    def _last_ones(self, flat: DeviceArray, m: int, units: int, unit: int) -> DeviceArray:
        """Places, -1 where a later value has the same one."""
        device = self.device
        if m == 1:
            return flat
        if m <= _FEW:
            late: DeviceArray = device.empty((m,), int64)
            self._walk("late")((m,), (late, (1,)), (flat, (1,)), numbers=(m,))
            return late
        claims = device.movement.fill(device.empty((units,), uint32), 0)
        self._walk("claim")((m,), (claims, (0,)), (flat, (1,)), numbers=(unit,))
        self._walk("claimed")((m,), (flat, (1,)), (claims, (0,)), numbers=(unit,))
        return flat


def _target(device: Any, x: DeviceArray, out: DeviceArray | None) -> DeviceArray:
    """The dense array that is written to: `out` itself or a copy."""
    if out is not None and out.settled().dense:
        return out
    made: DeviceArray = device.dense(x)
    return made


def _done(device: Any, written: DeviceArray, out: DeviceArray | None) -> DeviceArray:
    if out is None or written is out:
        return written
    device.movement.copy(out, written)
    return out


def _rows(x: DeviceArray, dim: int) -> tuple[Strides, Strides]:
    """Shape and steps of an array with a dimension in front."""
    order = [dim, *[d for d in range(len(x.shape)) if d != dim]]
    return tuple([x.shape[d] for d in order]), tuple([x.strides[d] for d in order])


class _AlongDim:
    """Writes slices at the indices of one dimension."""

    def __init__(self, device: Any, who: str, dtype: DType, negative: bool = False) -> None:
        self.device = device
        self.write = Writer(device, who, dtype, negative, IndexError)

    def __call__(
        self,
        x: DeviceArray,
        index: DeviceArray,
        src: DeviceArray | None,
        dim: int,
        out: DeviceArray | None,
        value: Any = None,
        reduce: str | None = None,
    ) -> DeviceArray:
        device = self.device
        written = _target(device, x, out)
        whole = written if written.shape else written.geometry((1,), (1,), 0)
        index = as_index(index).settled()
        index = index if len(index.shape) == 1 else index.reshaped((index.size,))
        shape, strides = _rows(whole, dim)
        m = index.size
        if src is None:
            one = host_number(device, value, x.dtype).settled()
            src = one.geometry((m, *shape[1:]), (0,) * len(shape), 0)
        elif not src.shape:
            src = src.settled().geometry((1,), (1,), 0)
        else:
            src = src.settled().geometry(*_rows(src, dim), 0)
        if src.shape != (m, *shape[1:]):
            src = broadcast_to(src, (m, *shape[1:]))
        step = whole.strides[dim]
        self.write(
            whole, (m,), (0, *strides[1:]), (0,), [(index, index.strides)],
            [(dim, whole.shape[dim], step)], src, max(step, 1), reduce=reduce,
        )  # fmt: skip
        return _done(device, written, out)


@scattering.kernel("index_add")
def index_add_kernel(device: Any, dtype: DType) -> Kernel:
    along = _AlongDim(device, "index_add", dtype)
    type = computed(dtype)
    c, s = ("bool" if type is bool_ else suffix(type)), suffix(type)
    product = f"mul_{s}(v, by)" if type.is_complex else f"({c})(v * by)"
    memory = memory_type(dtype)
    scaled = Walk(
        device, "k_scaled", {"out": memory, "x": memory},
        f"const {c} v = {loaded('x[x_i]', dtype)}; const {c} r = {product}; "
        f"out[out_i] = {stored('r', type, dtype)};",
        f"{'u8' if type is bool_ else s} by",
    )  # fmt: skip

    def kernel(
        x: DeviceArray,
        index: DeviceArray,
        src: DeviceArray,
        *,
        dim: int,
        alpha: Any = 1,
        out: DeviceArray | None = None,
    ) -> DeviceArray:
        if alpha != 1:
            factor = host_number(device, alpha, dtype).value
            product = device.empty(src.shape, dtype)
            scaled(src.shape, (product, product.strides), (src, src.strides), numbers=(factor,))
            src = product
        return along(x, index, src, dim, out, reduce="sum")

    return kernel


@scattering.kernel("index_copy")
def index_copy_kernel(device: Any, dtype: DType) -> Kernel:
    along = _AlongDim(device, "index_copy", dtype)

    def kernel(
        x: DeviceArray,
        index: DeviceArray,
        src: DeviceArray,
        *,
        dim: int,
        out: DeviceArray | None = None,
    ) -> DeviceArray:
        return along(x, index, src, dim, out)

    return kernel


@scattering.kernel("index_fill")
def index_fill_kernel(device: Any, dtype: DType) -> Kernel:
    along = _AlongDim(device, "index_fill", dtype, negative=True)

    def kernel(
        x: DeviceArray,
        index: DeviceArray,
        *,
        dim: int,
        value: Any,
        out: DeviceArray | None = None,
    ) -> DeviceArray:
        return along(x, index, None, dim, out, value=value)

    return kernel


@scattering.kernel("scatter")
def scatter_kernel(device: Any, dtype: DType) -> Kernel:
    write = Writer(device, "scatter", dtype, False, RuntimeError)

    def kernel(
        x: DeviceArray,
        index: DeviceArray,
        src: DeviceArray,
        *,
        dim: int,
        reduce: str | None = None,
        include_self: bool = True,
        out: DeviceArray | None = None,
    ) -> DeviceArray:
        written = _target(device, x, out)
        index, src = as_index(index).settled(), src.settled()
        whole = written
        if not whole.shape:
            whole = whole.geometry((1,), (1,), 0)
        if len(index.shape) != len(whole.shape):
            index = index.reshaped((index.size,))
        if len(src.shape) != len(whole.shape):
            src = src.reshaped((src.size,))
        for d, (n, m, k) in enumerate(zip(index.shape, src.shape, whole.shape, strict=True)):
            if n > m or (d != dim and n > k):
                raise ValueError(f"index {index.shape} is larger than {src.shape} or {whole.shape}")
        src = src.geometry(index.shape, src.strides, 0)
        write(
            whole, index.shape, (0,) * len(index.shape), without(whole.strides, (dim,)),
            [(index, index.strides)], [(dim, whole.shape[dim], whole.strides[dim])], src, 1,
            reduce=reduce, include_self=include_self,
        )  # fmt: skip
        return _done(device, written, out)

    return kernel


@scattering.kernel("index_put")
def index_put_kernel(device: Any, dtype: DType) -> Kernel:
    write = Writer(device, "index_put", dtype, True, IndexError)

    def kernel(
        x: DeviceArray,
        values: DeviceArray,
        *indices: DeviceArray,
        dims: Sequence[int],
        accumulate: bool = False,
        out: DeviceArray | None = None,
    ) -> DeviceArray:
        written = _target(device, x, out)
        shape, strides, placed, sizes, first, count = index_layout(
            written.shape, written.strides, [as_index(i).settled() for i in indices], dims
        )
        values = values.settled()
        if len(values.shape) > len(shape):  # leading dims of size 1
            if values.shape[: -len(shape) or None].count(1) != len(values.shape) - len(shape):
                raise ValueError(f"{values.shape} does not broadcast to {shape}")
            values = values.reshaped(values.shape[len(values.shape) - len(shape) :])
        src = broadcast_to(values, shape)
        # The indices' dimensions to the front.
        run = list(range(first, first + count))
        order = [*run, *[d for d in range(len(shape)) if d not in run]]
        src = src.geometry(
            tuple([shape[d] for d in order]), tuple([src.strides[d] for d in order]), 0
        )
        write(
            written, shape[first : first + count], tuple([strides[d] for d in order]),
            (0,) * count, [(j, s[first : first + count]) for j, s in placed], sizes, src,
            max(1, min(step for _, _, step in sizes)), reduce="sum" if accumulate else None,
        )  # fmt: skip
        return _done(device, written, out)

    return kernel


@scattering.kernel("put")
def put_kernel(device: Any, dtype: DType) -> Kernel:
    write = Writer(device, "put", dtype, True, IndexError)

    def kernel(
        x: DeviceArray,
        index: DeviceArray,
        src: DeviceArray,
        *,
        accumulate: bool = False,
        out: DeviceArray | None = None,
    ) -> DeviceArray:
        written = _target(device, x, out)
        flat = written.geometry((written.size,), (1,), 0)
        index = as_index(index).settled().reshaped((index.size,))
        src = src.settled().reshaped((src.size,))
        if src.size != index.size:
            raise ValueError(f"{src.size} values do not fit {index.size} places")
        write(
            flat, index.shape, (0,), (0,), [(index, (1,))], [(0, flat.size, 1)], src, 1,
            reduce="sum" if accumulate else None,
        )  # fmt: skip
        return _done(device, written, out)

    return kernel


__all__ = ["Writer", "broadcast_strides", "literal", "scattering"]
