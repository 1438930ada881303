"""Sorting and selection: stable order, top k, medians, modes, binary search.

Elements become unsigned keys of the same order, NaN the greatest.  Those of up to 32 bits share a
64-bit number with their position, so that all are distinct; wider ones have it beside them.  Blocks
are sorted by insertion and merged in pairs, where each work-item finds by bisection what its
stretch of the result begins with (merge path), so all merges are parallel and stable.
Processors sort long rows digit by digit instead, with a table of counts for each work-item.

References:
    Green, McColl and Bader (2012), GPU merge path: a GPU merging algorithm. ICS.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from ..._dtypes import DType, bool_, int32, int64, uint32, uint64
from .array import DeviceArray, row_major
from .dialect import suffix
from .expression import computed
from .movement import host_number
from .printing import loaded, memory_type, program
from .registry import Family, Kernel
from .walking import WIDTHS, Walk, of_rows, turned_back

sorting = Family()
# From a place in the order to the text of the element there.
Read = Callable[[str], str]
REAL = "bool integer floating reduced"
_BLOCK = 32
# Digits of the sort of long rows, how long they are at least, and what a work-item takes.
_DIGITS = 2048
_LONG = 512
_STRETCH = 4096
# So many first of a row are kept in order by themselves, on processors.
_FEW = 64


def _sort_text(d: Any, pairs: bool) -> str:
    """The kernels "sort_block" and "sort_merge"."""
    more = f", {d.device} u32* pos" if pairs else ""
    ins = f"const {d.device} u64* key" + (f", const {d.device} u32* pos" if pairs else "")
    outs = f"{d.device} u64* key_out" + (f", {d.device} u32* pos_out" if pairs else "")
    take = "const u32 p = pos[j];" if pairs else ""
    shift = "pos[k] = pos[k - 1];" if pairs else ""
    drop = "pos[k] = p;" if pairs else ""
    rows = "key += r * n; key_out += r * n;" + (" pos += r * n; pos_out += r * n;" if pairs else "")
    left = "key_out[at] = key[i];" + (" pos_out[at] = pos[i];" if pairs else "")
    right = left.replace("[i]", "[j]")
    kind = "pairs" if pairs else "numbers"
    return f"""{d.kernel} sort_block_{kind}({d.device} u64* key{more}, const i64 rows,
        const i64 n) {{
    const i64 first = (i64)GID(0) * {_BLOCK}, r = GID(1);
    if (first >= n || r >= rows) return;
    key += r * n; {"pos += r * n;" if pairs else ""}
    const i64 last = first + {_BLOCK} < n ? first + {_BLOCK} : n;
    for (i64 j = first + 1; j < last; j++) {{
        const u64 mine = key[j]; {take}
        i64 k = j;
        for (; k > first && key[k - 1] > mine; k--) {{ key[k] = key[k - 1]; {shift} }}
        key[k] = mine; {drop}
    }}
}}

{d.kernel} sort_merge_{kind}({outs}, {ins}, const i64 rows, const i64 n, const i64 width,
        const i64 chunk) {{
    const i64 first = (i64)GID(0) * chunk, r = GID(1);
    if (first >= n || r >= rows) return;
    {rows}
    const i64 last = first + chunk < n ? first + chunk : n;
    const i64 start = first / (2 * width) * (2 * width), d = first - start;
    const i64 middle = start + width < n ? start + width : n;
    const i64 end = start + 2 * width < n ? start + 2 * width : n;
    i64 low = d > end - middle ? d - (end - middle) : 0;
    i64 high = d < middle - start ? d : middle - start;
    while (low < high) {{
        const i64 half_ = (low + high) / 2;
        if (key[start + half_] <= key[middle + d - 1 - half_]) low = half_ + 1; else high = half_;
    }}
    i64 i = start + low, j = middle + d - low;
    for (i64 at = first; at < last; at++) {{
        if (j >= end || (i < middle && key[i] <= key[j])) {{ {left} i++; }}
        else {{ {right} j++; }}
    }}
}}"""


def _radix_text(d: Any, pairs: bool) -> str:
    """The kernels "radix_count", "radix_scan" and "radix_move"."""
    kind = "pairs" if pairs else "numbers"
    ins = f"const {d.device} u64* key" + (f", const {d.device} u32* pos" if pairs else "")
    outs = f"{d.device} u64* key_out" + (f", {d.device} u32* pos_out" if pairs else "")
    start = """    const i64 part = GID(0), r = GID(1);
    if (part >= parts) return;
    const i64 first = part * chunk, last = first + chunk < n ? first + chunk : n;
    key += r * n; counts += r * DIGITS * parts + part;
    u32 at[DIGITS];""".replace("DIGITS", str(_DIGITS))
    digit = f"key[i] >> shift & {_DIGITS - 1}"
    numbers = "const i64 n, const i64 chunk, const i64 parts, const i64 shift"
    return f"""{d.kernel} radix_count_{kind}(const {d.device} u64* key, {d.device} u32* counts,
        {numbers}) {{
{start}
    for (int k = 0; k < {_DIGITS}; k++) at[k] = 0;
    for (i64 i = first; i < last; i++) at[{digit}]++;
    for (int k = 0; k < {_DIGITS}; k++) counts[k * parts] = at[k];
}}

{d.kernel} radix_scan_{kind}({d.device} u32* counts, const i64 rows, const i64 parts) {{
    const i64 r = GID(0);
    if (r >= rows) return;
    u32 before = 0;
    for (i64 k = r * {_DIGITS} * parts; k < (r + 1) * {_DIGITS} * parts; k++) {{
        const u32 count = counts[k];
        counts[k] = before;
        before += count;
    }}
}}

{d.kernel} radix_move_{kind}({outs}, {ins}, {d.device} u32* counts, {numbers}) {{
{start}
    key_out += r * n;{" pos += r * n; pos_out += r * n;" if pairs else ""}
    for (int k = 0; k < {_DIGITS}; k++) at[k] = counts[k * parts];
    for (i64 i = first; i < last; i++) {{
        const u32 to = at[{digit}]++;
        key_out[to] = key[i];{" pos_out[to] = pos[i];" if pairs else ""}
    }}
}}"""


def _by_digits(
    device: Any, have: list[DeviceArray], spare: list[DeviceArray], bits: tuple[int, int]
) -> list[DeviceArray]:
    """Sorts by some bits of the keys, from the lowest digit up: each work-item has a stretch."""
    rows, n = have[0].shape
    kind, p = ("pairs", "p p") if len(have) == 2 else ("numbers", "p")
    launches = device.compile(
        program([_radix_text(device.dialect, len(have) == 2)], device.dialect, device.double),
        {
            f"radix_count_{kind}": "p p i64 i64 i64 i64",
            f"radix_scan_{kind}": "p i64 i64",
            f"radix_move_{kind}": f"{p} {p} p i64 i64 i64 i64",
        },
    )
    parts = max(1, min(device.parallelism // rows, n // _STRETCH))
    chunk = -(-n // parts)
    parts = -(-n // chunk)
    counts = device.empty((rows * parts * _DIGITS,), uint32)
    for shift in range(bits[0], bits[1], _DIGITS.bit_length() - 1):
        numbers = (n, chunk, parts, shift)
        # Work-groups of one: they are what a processor's threads take.
        launches[f"radix_count_{kind}"](
            (parts, rows), (1, 1), have[0].buffer, counts.buffer, *numbers
        )
        launches[f"radix_scan_{kind}"]((rows,), (1,), counts.buffer, rows, parts)
        launches[f"radix_move_{kind}"](
            (parts, rows), (1, 1), *_buffers(spare), *_buffers(have), counts.buffer, *numbers
        )
        have, spare = spare, have
    return have


def _sorted(
    device: Any, key: DeviceArray, pos: DeviceArray | None, bits: tuple[int, int] = (0, 64)
) -> tuple[DeviceArray, DeviceArray | None]:
    """Rows of keys in order, and what goes with them.

    Args:
        device: The launcher.
        key: Keys; they may be overwritten.
        pos: What goes with them.
        bits: Keys differ in these alone, or else they are in the order of the lower ones.
    """
    rows, n = key.shape
    if not key.size or n == 1:
        return key, pos
    have = [x for x in (key, pos) if x is not None]
    spare = [device.empty(x.shape, x.dtype) for x in have]
    if device.flavour == "cpu" and n >= _LONG:
        have = _by_digits(device, have, spare, bits)
        return have[0], have[1] if pos is not None else None
    kind, p = ("pairs", "p p") if pos is not None else ("numbers", "p")
    launches = device.compile(
        program([_sort_text(device.dialect, pos is not None)], device.dialect, device.double),
        {f"sort_block_{kind}": f"{p} i64 i64", f"sort_merge_{kind}": f"{p} {p} i64 i64 i64 i64"},
    )
    launches[f"sort_block_{kind}"]((-(-n // _BLOCK), rows), None, *_buffers(have), rows, n)
    largest, width = (16 if device.flavour == "gpu" else 1024), _BLOCK
    while width < n:
        chunk = min(2 * width, largest)
        launches[f"sort_merge_{kind}"](
            (-(-n // chunk), rows), None, *_buffers(spare), *_buffers(have), rows, n, width, chunk
        )
        have, spare = spare, have
        width *= 2
    return have[0], have[1] if pos is not None else None


def _buffers(arrays: list[DeviceArray]) -> list[Any]:
    return [x.buffer for x in arrays]


def sorted_numbers(device: Any, key: DeviceArray, bits: tuple[int, int] = (0, 64)) -> DeviceArray:
    """Rows of uint64 in order; `key` may be overwritten, and lies at its buffer's start.

    Args:
        device: The launcher.
        key: The numbers.
        bits: They differ in these alone, or else they are in the order of the lower ones.
    """
    return _sorted(device, key, None, bits)[0]


def _key(type: DType, descending: bool) -> str:
    """The key of `e`, u32 for types of up to 32 bits, else u64."""
    wide = type.itemsize == 8
    u = "u64" if wide else "u32"
    top = f"(({u})1 << {63 if wide else 31})"
    if type.is_floating_point:
        bits = f"(e == 0 ? ({u})0 : e != e ? ({u}){_NAN[wide]} : AS_{u}(e))"
        text = f"({bits} & {top} ? ~{bits} : {bits} | {top})"
    elif type is bool_ or not type.is_signed:
        text = f"({u})e"
    else:
        text = f"(({u})({u.replace('u', 'i')})e ^ {top})"
    return f"({'~' if descending else ''}({text}))"


_NAN = {False: "0x7fc00000u", True: "0x7ff8000000000000UL"}


def _first_text(d: Any) -> str:
    """The kernel "k_first": the least `k` keys of a row, in order, a row a work-item."""
    return f"""{d.kernel} k_first({d.device} i64* out, const {d.device} u64* key, const i64 rows,
        const i64 n, const i64 k) {{
    const i64 r = GID(0);
    if (r >= rows) return;
    key += r * n;
    u64 best[{_FEW}], most = ~(u64)0;
    i64 have = 0, i = 0;
    while (i < n) {{
        if (have == k && i + 16 <= n) {{  // mostly there is nothing in 16 of them
            u64 counts = 0;
            for (int j = 0; j < 16; j++) counts |= (u64)(key[i + j] < most);
            if (!counts) {{ i += 16; continue; }}
        }}
        const i64 end = i + 16 < n ? i + 16 : n;
        for (; i < end; i++) {{
            const u64 mine = key[i];
            if (have == k && mine >= most) continue;
            i64 at = have < k ? have++ : k - 1;
            for (; at > 0 && best[at - 1] > mine; at--) best[at] = best[at - 1];
            best[at] = mine;
            most = best[have - 1];
        }}
    }}
    for (i64 j = 0; j < k; j++) out[r * k + j] = (i64)(u32)best[j];
}}"""


class Order:
    """The stable order of rows on one device.

    Args:
        device: The launcher.
        dtype: Type of the elements.
    """

    def __init__(self, device: Any, dtype: DType) -> None:
        self.device = device
        self.dtype = dtype
        self.type = computed(dtype)
        self.pairs = self.type.itemsize == 8
        self._walks: dict[Any, Walk] = {}
        self._first: Any = None

    def _keys(self, descending: bool) -> Walk:
        c = "bool" if self.type is bool_ else suffix(self.type)
        read = f"const {c} e = {loaded('x[x_i]', self.dtype)}; const"
        key = _key(self.type, descending)
        kind = "descending" if descending else "ascending"
        operands: dict[str, str | None] = {"key": "u64", "x": memory_type(self.dtype)}
        operands["place"] = None
        body = f"{read} u64 k = {key}; key[key_i] = k;"
        if not self.pairs:
            body = f"{read} u32 k = {key}; key[key_i] = (u64)k << 32 | (u64)place_i;"
        return Walk(self.device, f"k_keys_{kind}", operands, body)

    def _finish(self) -> Walk:
        operands = {"position": "i64", "order": "u32" if self.pairs else "u64"}
        body = "const i64 p = (i64)(u32)order[order_i]; position[position_i] = p;"
        return Walk(self.device, "k_positions", operands, body)

    def _values(self) -> Walk:
        type = WIDTHS[self.dtype.itemsize]
        return Walk(
            self.device, "k_sorted_values", {"out": type, "x": type, "position": "i64"},
            "out[out_i] = x[x_i + position[position_i]];",
        )  # fmt: skip

    def _number(self) -> Walk:
        return Walk(self.device, "k_number", {"out": "u32", "place": None}, "out[out_i] = place_i;")

    def _walk(self, kind: str, *details: Any) -> Walk:
        found = self._walks.get((kind, *details))
        if found is None:
            found = self._walks[(kind, *details)] = getattr(self, f"_{kind}")(*details)
        return found

    def __call__(self, x: DeviceArray, descending: bool = False) -> DeviceArray:
        """The positions, int64, of dense rows in their order."""
        device, strides = self.device, row_major(x.shape)
        key = self._filled(x, descending)
        if self.pairs:
            pos = device.empty(x.shape, uint32)
            self._walk("number")(x.shape, (pos, strides), (0, (0, 1)))
            _, found = _sorted(device, key, pos)
        else:
            found, _ = _sorted(device, key, None, (32, 64))
        out: DeviceArray = device.empty(x.shape, int64)
        self._walk("finish")(x.shape, (out, strides), (found or x, strides))
        return out

    def _filled(self, x: DeviceArray, descending: bool) -> DeviceArray:
        """Keys of rows."""
        if x.shape[1] >> 32:
            raise ValueError(f"a row of {x.shape[1]} elements is longer than can be sorted")
        key: DeviceArray = self.device.empty(x.shape, uint64)
        where = (key, row_major(x.shape))
        self._walk("keys", descending)(x.shape, where, (x, x.strides), (0, (0, 1)))
        return key

    def first(self, x: DeviceArray, k: int, descending: bool) -> DeviceArray:
        """The positions of the first `k` of dense rows in their order."""
        device, (rows, n) = self.device, x.shape
        out: DeviceArray = device.empty((rows, k), int64)
        if not out.size:
            return out
        if self.pairs or k > _FEW or device.flavour != "cpu":
            positions = self(x, descending)
            made: DeviceArray = device.dense(positions.geometry((rows, k), positions.strides, 0))
            return made
        if self._first is None:
            source = program([_first_text(device.dialect)], device.dialect, device.double)
            self._first = device.compile(source, {"k_first": "p p i64 i64 i64"})["k_first"]
        key = self._filled(x, descending)
        self._first((rows,), (1,), out.buffer, key.buffer, rows, n, k)
        return out

    def values(self, x: DeviceArray, positions: DeviceArray) -> DeviceArray:
        """Elements of rows at positions."""
        out: DeviceArray = self.device.empty(positions.shape, self.dtype)
        self._walk("values")(
            positions.shape, (out, out.strides), (x, (x.shape[1], 0)),
            (positions, positions.strides),
        )  # fmt: skip
        return out


@sorting.kernel("argsort", REAL)
def argsort_kernel(device: Any, dtype: DType) -> Kernel:
    order = Order(device, dtype)

    def kernel(
        x: DeviceArray, *, dim: int, descending: bool = False, stable: bool = False
    ) -> DeviceArray:
        return turned_back(order(of_rows(x, dim), descending), x.shape, dim)

    return kernel


@sorting.kernel("sort", REAL)
def sort_kernel(device: Any, dtype: DType) -> Kernel:
    order = Order(device, dtype)

    def kernel(
        x: DeviceArray, *, dim: int, descending: bool = False, stable: bool = False
    ) -> tuple[DeviceArray, DeviceArray]:
        rows = of_rows(x, dim)
        positions = order(rows, descending)
        values = order.values(rows, positions)
        return turned_back(values, x.shape, dim), turned_back(positions, x.shape, dim)

    return kernel


@sorting.kernel("topk", REAL)
def topk_kernel(device: Any, dtype: DType) -> Kernel:
    order = Order(device, dtype)

    def kernel(
        x: DeviceArray, *, k: int, dim: int, largest: bool = True, sorted: bool = True
    ) -> tuple[DeviceArray, DeviceArray]:
        rows = of_rows(x, dim)
        first = order.first(rows, k, largest)
        values = order.values(rows, first)
        return turned_back(values, x.shape, dim), turned_back(first, x.shape, dim)

    return kernel


def _single(
    x: DeviceArray, values: DeviceArray, positions: DeviceArray, dim: int, keepdim: bool
) -> tuple[DeviceArray, DeviceArray]:
    """One element of each row, its dimension kept or dropped."""
    shape: tuple[int, ...] = ()
    if x.shape:
        kept = (1,) if keepdim else ()
        shape = (*x.shape[:dim], *kept, *x.shape[dim + 1 :])
    steps = row_major(shape)
    return values.geometry(shape, steps, 0), positions.geometry(shape, steps, 0)


@sorting.kernel("kthvalue", REAL)
def kthvalue_kernel(device: Any, dtype: DType) -> Kernel:
    order = Order(device, dtype)

    def kernel(
        x: DeviceArray, *, k: int, dim: int, keepdim: bool = False
    ) -> tuple[DeviceArray, DeviceArray]:
        rows = of_rows(x, dim)
        positions = order(rows)
        one = device.dense(positions.geometry((rows.shape[0], 1), positions.strides, k - 1))
        return _single(x, order.values(rows, one), one, dim, keepdim)

    return kernel


def _chooser(name: str, choice: Callable[[str, Read], str]) -> Callable[[Any, DType], Kernel]:
    """A maker of kernels that choose one place in each row that is in order."""

    def make(device: Any, dtype: DType) -> Kernel:
        order, type = Order(device, dtype), computed(dtype)
        c = "bool" if type is bool_ else suffix(type)
        read = functools.partial(_read, dtype)
        walk = Walk(
            device,
            f"k_{name}",
            {"out": "i64", "order": "i64", "x": memory_type(dtype)},
            choice(c, read) + "\n    out[out_i] = order[order_i + chosen];",
            "i64 n",
        )

        def kernel(x: DeviceArray, *, dim: int | None = None, keepdim: bool = False) -> Any:
            if dim is None:
                if not x.size:
                    return host_number(device, math.nan if type.is_inexact else 0, dtype)
                return kernel(x.settled().reshaped((x.size,)), dim=0)[0]
            rows = of_rows(x, dim)
            positions = order(rows)
            n = rows.shape[1]
            one = device.empty((rows.shape[0], 1), int64)
            along = (n, 0)
            walk(one.shape, (one, (1, 0)), (positions, along), (rows, along), numbers=(n,))
            return _single(x, order.values(rows, one), one, dim, keepdim)

        return kernel

    return make


def _read(dtype: DType, place: str) -> str:
    return loaded(f"x[x_i + order[order_i + {place}]]", dtype)


def _middle(of_numbers: bool) -> Callable[[str, Read], str]:
    chosen = "numbers > 0 ? (numbers - 1) / 2 : 0" if of_numbers else (
        "numbers < n ? numbers : (n - 1) / 2"
    )  # fmt: skip

    def choice(c: str, read: Read) -> str:
        return f"""i64 numbers = 0, high = n;
    while (numbers < high) {{
        const i64 half_ = (numbers + high) / 2;
        const {c} v = {read("half_")};
        if (v == v) numbers = half_ + 1; else high = half_;
    }}
    const i64 chosen = {chosen};"""

    return choice


def _commonest(c: str, read: Read) -> str:
    # The first longest run, at its end: the smallest of the commonest, its last occurrence.
    return f"""i64 chosen = 0, longest = 0, start = 0;
    {c} before = {read("0")};
    for (i64 k = 1; k < n; k++) {{
        const {c} v = {read("k")};
        if (!(v == before)) start = k;
        before = v;
        if (k - start > longest) {{ longest = k - start; chosen = k; }}
    }}"""


def _register() -> None:
    for name, choice in (
        ("median", _middle(False)), ("nanmedian", _middle(True)), ("mode", _commonest),
    ):  # fmt: skip
        sorting.add(name, _chooser(name, choice), REAL)


_register()


@sorting.kernel("searchsorted", REAL)
def searchsorted_kernel(device: Any, dtype: DType) -> Kernel:
    type = computed(dtype)
    c, memory = ("bool" if type is bool_ else suffix(type)), memory_type(dtype)
    walks: dict[tuple[bool, bool], Walk] = {}

    def made(right: bool, short: bool) -> Walk:
        # Nothing is greater or equal to NaN: it goes to the end.
        body = f"""const {c} v = {loaded("values[values_i]", dtype)};
    i64 low = 0, high = n;
    while (low < high) {{
        const i64 half_ = (low + high) / 2;
        const {c} probe = {loaded("ordered[ordered_i + half_ * step]", dtype)};
        if (!(probe {">" if right else ">="} v)) low = half_ + 1; else high = half_;
    }}
    out[out_i] = low;"""
        kind = f"{'right' if right else 'left'}{'_32' if short else ''}"
        out = "i32" if short else "i64"
        return Walk(
            device, f"k_search_{kind}", {"out": out, "ordered": memory, "values": memory}, body,
            "i64 n i64 step",
        )  # fmt: skip

    def kernel(
        ordered: DeviceArray, values: DeviceArray, *, right: bool = False, out_int32: bool = False
    ) -> DeviceArray:
        walk = walks.get((right, out_int32))
        if walk is None:
            walk = walks[right, out_int32] = made(right, out_int32)
        if values.dtype is not dtype:
            values = device.movement.cast(values, dtype)
        ordered.settled()
        shape = values.shape
        along = (0,) * len(shape)
        if len(ordered.shape) > 1:
            along = (*ordered.strides[:-1], 0)
        out: DeviceArray = device.empty(shape, int32 if out_int32 else int64)
        walk(
            shape, (out, out.strides), (ordered, along), (values, values.settled().strides),
            numbers=(ordered.shape[-1], ordered.strides[-1]),
        )  # fmt: skip
        return out

    return kernel


__all__ = ["Order", "sorted_numbers", "sorting"]
