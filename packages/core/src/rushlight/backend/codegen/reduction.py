"""Reductions over any set of dimensions, in a CPU-shaped and a GPU-shaped flavour.

Dimensions are coalesced into those that are kept and those that are reduced. Where one of each is
left and memory is contiguous along either, the fast kernels serve: "row" reduces along memory,
"column" across it, the latter also in slabs, one for each step of an outer dimension. Long
reductions are split into parts, whose accumulators a last kernel merges. Anything else is copied
densely and reduced as rows.

The CPU flavour keeps 16 accumulators in registers, so that compilers vectorise, and adds them up
every 4096 elements, which also bounds the rounding error. The GPU flavour reduces a row by a
work-group in local memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..._dtypes import DType, bool_, int64
from .array import DeviceArray, coalesced, row_major
from .dialect import suffix
from .expression import computed
from .printing import literal, loaded, memory_type, program, stored
from .registry import Family, Kernel
from .rowwise import few_rows

reductions = Family()
LANES = 16
#: Columns of a work-item in the CPU flavour: a long piece of every row, that fits a page.
STRIP = 128
_GROUP = 128
_MINIMUM = 4096
_STRETCH = 32


@dataclass(frozen=True)
class Fold:
    """What a reduction does, as text in the kernel language.

    Attributes:
        types: The accumulators' types.
        start: What each begins with.
        step: Statement that takes in element `x`, the `i`-th of its row.
        merge: Statement that takes in the accumulators `o`, of elements with higher or lower `i`.
        finish: The result of accumulators `a` over `n` elements.
        result: The result's dtype.
        lanes: Accumulators of one work-item in the CPU flavour.
        screen: Whether an element may change the accumulators. Where it is given, and there is
            one lane, stretches of which no element may are passed over.
        centre: Type of a number that every result has beforehand, a second operand; `$c` in `step`.

    In `step` and `merge`, `$a0`, `$a1` are the accumulators, `$o0`, `$o1` the others.  In `finish`,
    `n` is the number of elements.
    """

    types: tuple[DType, ...]
    start: tuple[str, ...]
    step: str
    merge: str
    finish: str
    result: DType
    lanes: int = LANES
    screen: str = ""
    centre: DType | None = None


def _put(text: str, a: Callable[[int], str], o: Callable[[int], str] | None = None) -> str:
    for k in range(2):
        text = text.replace(f"$a{k}", a(k))
        if o is not None:
            text = text.replace(f"$o{k}", o(k))
    return text


class Reduction:
    """A reduction on one device.

    Args:
        device: The launcher.
        name: The operator's name.
        dtype: The operand's dtype.
        fold: What it does.
    """

    def __init__(self, device: Any, name: str, dtype: DType, fold: Fold) -> None:
        self.device = device
        self.name = name
        self.dtype = dtype
        self.fold = fold
        self._launches: dict[str, Any] | None = None

    # -- text ------------------------------------------------------------------------------

    def _declare(self, name: str, lanes: int = 0) -> str:
        parts = []
        for k, (type, start) in enumerate(zip(self.fold.types, self.fold.start, strict=True)):
            c = memory_type(type)
            if lanes:
                parts.append(f"{c} {name}{k}[{lanes}]; ")
                parts.append(f"for (int j = 0; j < {lanes}; j++) {name}{k}[j] = {start};")
            else:
                parts.append(f"{c} {name}{k} = {start};")
        return " ".join(parts)

    def _outs(self, partial: bool) -> list[str]:
        d = self.device.dialect
        if partial:
            return [f"{d.device} {memory_type(t)}* out{k}" for k, t in enumerate(self.fold.types)]
        return [f"{d.device} {memory_type(self.fold.result)}* out0"]

    def _end(self, place: str, partial: bool, a: Callable[[int], str]) -> str:
        if partial:
            return " ".join(f"out{k}[{place}] = {a(k)};" for k in range(len(self.fold.types)))
        value = _put(self.fold.finish, a)
        return f"out0[{place}] = {stored_result(value, self.fold)};"

    def _text(self, kind: str, partial: bool) -> tuple[str, str, str]:
        """Name, text and signature of one kernel."""
        d = self.device.dialect
        name = f"{self.name}_{kind}{'_part' if partial else ''}"
        outs = self._outs(partial)
        if kind == "merge":
            sources = [
                f"const {d.device} {memory_type(t)}* x{k}" for k, t in enumerate(self.fold.types)
            ]
        else:
            sources = [f"const {d.device} {memory_type(self.dtype)}* x", "const i64 x_at"]
            if self.fold.centre:
                sources.append(f"const {d.device} {memory_type(self.fold.centre)}* c")
        numbers = {
            "row": "step kept n chunk parts", "column": "step kept n chunk parts slab",
            "merge": "step kept n chunk parts",
        }[kind].split()  # fmt: skip
        arguments = ", ".join([*outs, *sources, *[f"const i64 {w}" for w in numbers]])
        signature = " ".join(
            ["p"] * len(outs)
            + (["p"] * len(sources) if kind == "merge" else ["p", "i64", "p"][: len(sources)])
            + ["i64"] * len(numbers)
        )
        body = {"row": self._row, "column": self._column, "merge": self._merge}[kind](partial)
        return name, f"{d.kernel} {name}({arguments}) {{\n{body}\n}}", signature

    def _element(self, place: str) -> str:
        return loaded(f"x[{place}]", self.dtype)

    def _x(self, place: str) -> str:
        type = computed(self.dtype)
        c = "bool" if type is bool_ else suffix(type)
        return f"const {c} x_ = {self._element(place)};"

    def _step(self, a: Callable[[int], str], index: str, kept: str = "k") -> str:
        text = _put(self.fold.step, a).replace("$x", "x_").replace("$i", index)
        return text.replace("$c", f"c[{kept}]")

    def _row(self, partial: bool) -> str:
        one = lambda k: f"a{k}"
        lane = lambda k: f"l{k}[j]"
        place = "k * parts + p" if partial else "k"
        if self.device.flavour == "gpu":
            locals_ = " ".join(
                f"{self.device.dialect.local} {memory_type(t)} s{k}[{_GROUP}];"
                for k, t in enumerate(self.fold.types)
            )
            keep = " ".join(f"s{k}[j] = a{k};" for k in range(len(self.fold.types)))
            merge = _put(self.fold.merge, one, lambda k: f"s{k}[j + w]")
            return f"""    {locals_}
    const i64 k = GROUP(0), p = GROUP(1);
    const int j = LID(0);
    const i64 begin = x_at + k * step, first = p * chunk;
    const i64 end = first + chunk < n ? first + chunk : n;
    {self._declare("a")}
    for (i64 i = first + j; i < end; i += {_GROUP}) {{
        {self._x("begin + i")} {self._step(one, "i")}
    }}
    {keep}
    {self.device.dialect.barrier}
    for (int w = {_GROUP // 2}; w > 0; w >>= 1) {{
        if (j < w) {{ {merge} {keep} }}
        {self.device.dialect.barrier}
    }}
    if (j == 0) {{ {self._end(place, partial, one)} }}"""
        lanes = self.fold.lanes
        fast = (
            self._screened(one)
            if lanes == 1
            else f"""    while (i + {lanes} <= end) {{
        const i64 stop = i + {_MINIMUM} < end ? i + {_MINIMUM} : end;
        {self._declare("l", lanes)}
        for (; i + {lanes} <= stop; i += {lanes})
            for (int j = 0; j < {lanes}; j++) {{
                {self._x("begin + i + j")} {self._step(lane, "(i + j)")}
            }}
        for (int j = 0; j < {lanes}; j++) {{ {_put(self.fold.merge, one, lane)} }}
    }}
"""
        )
        return f"""    const i64 k = GID(0), p = GID(1);
    if (k >= kept || p >= parts) return;
    const i64 begin = x_at + k * step, first = p * chunk;
    const i64 end = first + chunk < n ? first + chunk : n;
    {self._declare("a")}
    i64 i = first;
{fast}    for (; i < end; i++) {{
        {self._x("begin + i")} {self._step(one, "i")}
    }}
    {self._end(place, partial, one)}"""

    def _screened(self, one: Callable[[int], str]) -> str:
        """The loop of a single lane, which looks only at stretches in which something counts."""
        if not self.fold.screen:
            return ""
        test = _put(self.fold.screen, one).replace("$x", "x_")
        return f"""    if (i < end) {{ {self._x("begin + i")} {self._step(one, "i")} i++; }}
    for (; i + {_STRETCH} <= end; i += {_STRETCH}) {{
        int counts = 0;
        for (int j = 0; j < {_STRETCH}; j++) {{ {self._x("begin + i + j")} counts |= {test}; }}
        if (counts) for (int j = 0; j < {_STRETCH}; j++) {{
            {self._x("begin + i + j")} {self._step(one, "(i + j)")}
        }}
    }}
"""

    def _column(self, partial: bool) -> str:
        wide = STRIP if self.device.flavour == "cpu" else 1
        total = lambda k: f"t{k}[j]"
        lane = lambda k: f"l{k}[j]"
        place = "(p * GROUPS(2) + z) * kept + k + j" if partial else "z * kept + k + j"

        def rows(bound: str) -> str:
            return f"""for (i64 i = first; i < end;) {{
            const i64 stop = i + 256 < end ? i + 256 : end;
            {self._declare("l", wide)}
            for (; i < stop; i++) {{
                const i64 begin = x_at + z * slab + i * step + k;
                for (int j = 0; j < {bound}; j++) {{
                    {self._x("begin + j")} {self._step(lane, "i", "z * kept + k + j")}
                }}
            }}
            for (int j = 0; j < {bound}; j++) {{ {_put(self.fold.merge, total, lane)} }}
        }}"""

        return f"""    const i64 k = (i64)GID(0) * {wide}, p = GID(1), z = GID(2);
    if (k >= kept || p >= parts) return;
    const i64 first = p * chunk, end = first + chunk < n ? first + chunk : n;
    const int left = kept - k < {wide} ? (int)(kept - k) : {wide};
    {self._declare("t", wide)}
    if (left == {wide}) {{
        {rows(str(wide))}
    }} else {{
        {rows("left")}
    }}
    for (int j = 0; j < left; j++) {{ {self._end(place, partial, total)} }}"""

    def _merge(self, partial: bool) -> str:
        one = lambda k: f"a{k}"
        other = lambda k: f"x{k}[k * step + p * chunk]"
        return f"""    const i64 k = GID(0);
    if (k >= kept) return;
    {self._declare("a")}
    for (i64 p = 0; p < parts; p++) {{ {_put(self.fold.merge, one, other)} }}
    {self._end("k", False, one)}"""

    def launches(self) -> dict[str, Any]:
        """The compiled kernels by kind."""
        if self._launches is None:
            kinds = [
                ("row", False), ("row", True), ("column", False), ("column", True),
                ("merge", False),
            ]  # fmt: skip
            texts = [self._text(kind, partial) for kind, partial in kinds]
            source = program([t for _, t, _ in texts], self.device.dialect, self.device.double)
            compiled = self.device.compile(source, {name: s for name, _, s in texts})
            self._launches = {
                f"{kind}{'+' if partial else ''}": compiled[name]
                for (kind, partial), (name, _, _) in zip(kinds, texts, strict=True)
            }
        return self._launches

    # -- call --------------------------------------------------------------------------------

    def __call__(
        self,
        x: DeviceArray,
        dim: tuple[int, ...],
        keepdim: bool,
        centre: DeviceArray | None = None,
    ) -> DeviceArray:
        """Reduces over dimensions; `centre` is dense and has an element for each result."""
        x.settled()
        inside = set(dim)
        kept = [d for d in range(len(x.shape)) if d not in inside]
        shape = tuple([x.shape[d] for d in kept])
        final = (
            tuple([1 if d in inside else n for d, n in enumerate(x.shape)]) if keepdim else shape
        )
        out: DeviceArray = self.device.empty(final, self.fold.result)
        if not out.size:
            return out
        # As they follow each other in memory: folds of several dimensions have no other order.
        order = sorted(inside, key=lambda d: -x.strides[d])
        n = math.prod([x.shape[d] for d in order])
        if n == 0:
            self._launch("row", out, x, centre, 0, out.size, 0, 1)
            return out
        k_sizes, (k_steps,) = coalesced(shape, [tuple([x.strides[d] for d in kept])])
        r_sizes, (r_steps,) = coalesced(
            tuple([x.shape[d] for d in order]), [tuple([x.strides[d] for d in order])]
        )
        if len(k_sizes) == 1 and len(r_sizes) == 1:
            if r_steps[0] == 1 or n == 1:
                return self._launch("row", out, x, centre, k_steps[0], k_sizes[0], n, 0)
            if k_steps[0] == 1 and k_sizes[0] > 1:
                return self._launch("column", out, x, centre, r_steps[0], k_sizes[0], n, 0)
        if len(k_sizes) == 2 and len(r_sizes) == 1 and k_steps[0] == 1 and k_sizes[0] >= LANES:
            (kept_, slabs), (_, slab) = k_sizes, k_steps
            return self._launch("column", out, x, centre, r_steps[0], kept_, n, 0, slabs, slab)
        x = self._rows_first(x, kept, order)
        return self._launch("row", out, x, centre, n, out.size, n, 0)

    def _rows_first(self, x: DeviceArray, kept: list[int], order: list[int]) -> DeviceArray:
        """A dense copy whose last dimensions are those that are reduced."""
        axes = [*kept, *order]
        turned = x.geometry(
            tuple([x.shape[d] for d in axes]), tuple([x.strides[d] for d in axes]), 0
        )
        made: DeviceArray = turned if turned.dense else self.device.dense(turned)
        return made

    def _launch(
        self, kind: str, out: DeviceArray, x: DeviceArray, centre: DeviceArray | None, step: int,
        kept: int, n: int, parts: int, slabs: int = 1, slab: int = 0,
    ) -> DeviceArray:  # fmt: skip
        """Launches a kind of kernel; that of columns serves several slabs of rows and columns."""
        gpu = self.device.flavour == "gpu"
        wide = 1 if gpu or kind == "row" else STRIP
        items = -(-kept // wide)
        if not parts:
            least = _MINIMUM if kind == "row" else 64
            wanted = self.device.parallelism // (items * slabs)
            parts = max(1, min(wanted, n // least, 256))
        chunk = -(-n // parts) if n else 1
        parts = max(1, -(-n // chunk))
        launches = self.launches()
        size: tuple[int, ...] = (items, parts)
        local: tuple[int, ...] | None = None
        if gpu and kind == "row":
            size, local = (items * _GROUP, parts), (_GROUP, 1)
        elif not gpu:
            (first,), (each,) = few_rows(items, chunk if kind == "row" else _MINIMUM)
            size, local = (first, parts), (each, 1)
        more: tuple[int, ...] = ()
        total = kept * slabs
        if kind == "column":
            size, local, more = (*size, slabs), local and (*local, 1), (slab,)
        given = () if centre is None else (centre.buffer,)
        numbers = (x.buffer, x.offset, *given, step, kept, n, chunk, parts, *more)
        if parts == 1:
            launches[kind](size, local, out.buffer, *numbers)
            return out
        made = [self.device.empty((parts * total,), t) for t in self.fold.types]
        buffers = [m.buffer for m in made]
        launches[kind + "+"](size, local, *buffers, *numbers)
        steps = (parts, 1) if kind == "row" else (1, total)
        launches["merge"]((total,), None, out.buffer, *buffers, steps[0], total, n, steps[1], parts)
        return out


def stored_result(value: str, fold: Fold) -> str:
    """A finished accumulator as memory of the result's dtype."""
    type = fold.types[0] if fold.result is not int64 else int64
    if type is bool_:
        return f"(u8)({value})"
    return stored(value, type, fold.result)


# -- the operators ---------------------------------------------------------------------------------


def sum_fold(device: Any, dtype: DType, count: int = 0) -> Fold:
    """Adds up; `count` divides, for the mean."""
    type = computed(dtype)
    zero = literal(0, type, device.dialect)
    s = suffix(type)
    if type.is_complex:
        add = f"$a0 = add_{s}($a0, $x);"
        finish = "$a0"
        return Fold((type,), (zero,), add, add.replace("$x", "$o0"), finish, dtype)
    return Fold((type,), (zero,), "$a0 += $x;", "$a0 += $o0;", "$a0", dtype)


def _maker(name: str, fold: Callable[[Any, DType], Fold]) -> Callable[[Any, DType], Kernel]:
    def make(device: Any, dtype: DType) -> Kernel:
        reduction = Reduction(device, name, dtype, fold(device, dtype))

        def kernel(x: DeviceArray, *, dim: tuple[int, ...], keepdim: bool = False) -> DeviceArray:
            return reduction(x, dim, keepdim)

        return kernel

    return make


def _prod(device: Any, dtype: DType) -> Fold:
    type = computed(dtype)
    one, s = literal(1, type, device.dialect), suffix(type)
    if type is bool_:
        return Fold((bool_,), ("1",), "$a0 &= $x;", "$a0 &= $o0;", "$a0", dtype)
    step = f"$a0 = mul_{s}($a0, $x);" if type.is_complex else "$a0 *= $x;"
    return Fold((type,), (one,), step, step.replace("$x", "$o0"), "$a0", dtype)


def _sum(device: Any, dtype: DType) -> Fold:
    if dtype is bool_:
        return Fold((bool_,), ("0",), "$a0 |= $x;", "$a0 |= $o0;", "$a0", dtype)
    return sum_fold(device, dtype)


def _nansum(device: Any, dtype: DType) -> Fold:
    fold = _sum(device, dtype)
    if not dtype.is_inexact:
        return fold
    s = suffix(computed(dtype))
    return Fold(
        fold.types, fold.start, f"if (!isnan_{s}($x)) {{ {fold.step} }}", fold.merge, fold.finish,
        dtype,
    )  # fmt: skip


def _extreme(greatest: bool) -> Callable[[Any, DType], Fold]:
    def fold(device: Any, dtype: DType) -> Fold:
        type, s = computed(dtype), suffix(computed(dtype))
        if type is bool_:
            op, start = ("|", "0") if greatest else ("&", "1")
            return Fold((bool_,), (start,), f"$a0 {op}= $x;", f"$a0 {op}= $o0;", "$a0", dtype)
        start = literal(lowest(type, greatest), type, device.dialect)
        name = "maximum" if greatest else "minimum"
        step = f"$a0 = {name}_{s}($a0, $x);"
        return Fold((type,), (start,), step, step.replace("$x", "$o0"), "$a0", dtype)

    return fold


def lowest(type: DType, greatest: bool) -> Any:
    """What any element of a type exceeds or equals (or, for minima, falls below or equals)."""
    if type.is_floating_point:
        return -math.inf if greatest else math.inf
    bits = 8 * type.itemsize
    low = -(1 << (bits - 1)) if type.is_signed else 0
    return low if greatest else low + (1 << bits) - 1


def _truth(every: bool) -> Callable[[Any, DType], Fold]:
    def fold(device: Any, dtype: DType) -> Fold:
        s = suffix(computed(dtype))
        nonzero = {True: f"!eq_{s}($x, MAKE_{s}(0, 0))", False: "($x != 0)"}[dtype.is_complex]
        op, start = ("&", "1") if every else ("|", "0")
        return Fold((bool_,), (start,), f"$a0 {op}= {nonzero};", f"$a0 {op}= $o0;", "$a0", bool_)

    return fold


def _count(device: Any, dtype: DType) -> Fold:
    s = suffix(computed(dtype))
    nonzero = {True: f"!eq_{s}($x, MAKE_{s}(0, 0))", False: "($x != 0)"}[dtype.is_complex]
    return Fold((int64,), ("0",), f"$a0 += {nonzero};", "$a0 += $o0;", "$a0", int64)


def _position(greatest: bool) -> Callable[[Any, DType], Fold]:
    op = ">" if greatest else "<"

    def fold(device: Any, dtype: DType) -> Fold:
        type = computed(dtype)
        start = "0" if type is bool_ else literal(0, type, device.dialect)
        nan = type.is_floating_point
        better = f"$x {op} $a0" + (" || ($x != $x && $a0 == $a0)" if nan else "")
        same = "$x == $a0" + (" || ($x != $x && $a0 != $a0)" if nan else "")
        step = f"if ($a1 < 0 || {better}) {{ $a0 = $x; $a1 = $i; }}"
        merge = (
            f"if ($o1 >= 0 && ($a1 < 0 || {better} || (({same}) && $o1 < $a1)))"
            " { $a0 = $o0; $a1 = $o1; }"
        ).replace("$x", "$o0")
        screen = f"($x {op} $a0)" + (" | ($x != $x)" if nan else "")
        return Fold((type, int64), (start, "-1"), step, merge, "$a1", int64, 1, screen)

    return fold


REAL = "bool integer floating reduced"
for _name, _fold, _classes in (
    ("sum", _sum, "bool integer floating reduced complex"),
    ("nansum", _nansum, "bool integer floating reduced complex"),
    ("prod", _prod, "bool integer floating reduced complex"),
    ("amax", _extreme(True), REAL),
    ("amin", _extreme(False), REAL),
    ("any", _truth(False), "bool integer floating reduced complex"),
    ("all", _truth(True), "bool integer floating reduced complex"),
    ("count_nonzero", _count, "bool integer floating reduced complex"),
):
    reductions.add(_name, _maker(_name, _fold), _classes)


def _position_maker(name: str, greatest: bool) -> Callable[[Any, DType], Kernel]:
    def make(device: Any, dtype: DType) -> Kernel:
        reduction = Reduction(device, name, dtype, _position(greatest)(device, dtype))

        def kernel(x: DeviceArray, *, dim: int | None, keepdim: bool = False) -> DeviceArray:
            if dim is None:
                out = reduction(x.reshaped((x.size,)), (0,), False)
                shape = (1,) * len(x.shape) if keepdim else ()
                return out.geometry(shape, row_major(shape), 0)
            if not x.shape:
                return reduction(x.reshaped((1,)), (0,), False)
            return reduction(x, (dim,), keepdim)

        return kernel

    return make


reductions.add("argmax", _position_maker("argmax", True), REAL)
reductions.add("argmin", _position_maker("argmin", False), REAL)
