"""Scans: running sums, products, extremes with positions, log-sums of exponentials.

A work-item goes along a stretch of a line.  Where there are few lines, each is cut into stretches:
one kernel folds each, one runs over the folds, and the last goes along again from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..._dtypes import DType, bool_, int64
from .array import DeviceArray
from .dialect import suffix
from .expression import computed
from .printing import literal, loaded, memory_type, program, stored
from .registry import Family, Kernel

scans = Family()
_LEAST = 512
REAL = "bool integer floating reduced"


@dataclass(frozen=True)
class Running:
    """A running fold, as text.

    Attributes:
        type: The accumulator's type.
        start: What it begins with.
        step: Statement that takes in `x` (the later one, at position `i`) into `a` (and `p`).
        positions: The position of the extreme is a second result, `p`, -1 at the start.
        backward: It goes from the end of a line to its beginning.
    """

    type: DType
    start: str
    step: str
    positions: bool = False
    backward: bool = False


class Scan:
    """A scan on one device.

    Args:
        device: The launcher.
        name: The operator's name.
        dtype: The operand's dtype.
        running: What is done.
    """

    def __init__(self, device: Any, name: str, dtype: DType, running: Running) -> None:
        self.device = device
        self.name = name
        self.dtype = dtype
        self.running = running
        self._launches: dict[str, Any] | None = None

    def launches(self) -> dict[str, Any]:
        """The compiled kernels: "totals", "carry", "run"."""
        if self._launches is not None:
            return self._launches
        d, run, two = self.device.dialect, self.running, self.running.positions
        c = memory_type(run.type)
        begin = f"{c} a = {run.start};" + (" i64 p = -1;" if two else "")
        i = "(n - 1 - i)" if run.backward else "i"
        element = loaded(f"x[at + {i} * inner]", self.dtype)
        local = "bool" if run.type is bool_ else c
        place = """    const i64 k = GID(0), part = GID(1), o = GID(2);
    if (k >= inner || part >= parts) return;
    const i64 at = o * n * inner + k, line = (o * inner + k) * parts + part;
    const i64 first = part * chunk, last = first + chunk < n ? first + chunk : n;"""
        totals_in = f", {d.device} {c}* total" + (f", {d.device} i64* place" if two else "")
        numbers = ", const i64 n, const i64 inner, const i64 chunk, const i64 parts"
        outs = f"{d.device} {memory_type(self.dtype)}* out" + (
            f", {d.device} i64* where" if two else ""
        )
        source = f"const {d.device} {memory_type(self.dtype)}* x, const i64 x_at"
        keep = "total[line] = a;" + (" place[line] = p;" if two else "")
        take = "a = total[line];" + (" p = place[line];" if two else "")
        write = f"out[at + {i} * inner] = {stored('a', run.type, self.dtype)};" + (
            f" where[at + {i} * inner] = p;" if two else ""
        )
        loop = f"for (i64 i = first; i < last; i++) {{ const {local} x_ = {element}; {run.step}"
        later = f"const {local} x_ = total[line];" + (" const i64 i = place[line];" if two else "")
        text = [
            f"""{d.kernel} {self.name}_totals({source}{totals_in}{numbers}) {{
{place}
    x += x_at;
    {begin}
    {loop} }}
    {keep}
}}""",
            f"""{d.kernel} {self.name}_carry({totals_in[2:]}, const i64 lines, const i64 parts) {{
    const i64 l = GID(0);
    if (l >= lines) return;
    {begin}
    for (i64 line = l * parts; line < (l + 1) * parts; line++) {{
        {later}
        {keep}
        {run.step}
    }}
}}""",
            f"""{d.kernel} {self.name}_run({outs}, {source}{totals_in}{numbers}) {{
{place}
    x += x_at;
    {begin}
    if (parts > 1) {{ {take} }}
    {loop} {write} }}
}}""",
        ]
        p = "p p" if two else "p"
        compiled = self.device.compile(
            program(text, d, self.device.double),
            {
                f"{self.name}_totals": f"p i64 {p} i64 i64 i64 i64",
                f"{self.name}_carry": f"{p} i64 i64",
                f"{self.name}_run": f"{p} p i64 {p} i64 i64 i64 i64",
            },
        )
        self._launches = {k: compiled[f"{self.name}_{k}"] for k in ("totals", "carry", "run")}
        return self._launches

    def __call__(self, x: DeviceArray, dim: int) -> Any:
        """Scans along a dimension."""
        device, two = self.device, self.running.positions
        x = x.settled() if x.dense else device.dense(x)
        outs = [device.empty(x.shape, self.dtype)]
        if two:
            outs.append(device.empty(x.shape, int64))
        if x.size:
            shape = x.shape or (1,)
            n, inner = shape[dim], math.prod(shape[dim + 1 :])
            lines = x.size // n
            parts = max(1, min(device.parallelism // lines, n // _LEAST))
            chunk = -(-n // parts)
            parts = -(-n // chunk)
            outer = lines // inner
            launches = self.launches()
            totals = [device.empty((lines * parts if parts > 1 else 1,), self.running.type)]
            if two:
                totals.append(device.empty(totals[0].shape, int64))
            kept = [t.buffer for t in totals]
            size = (inner, parts, outer)
            if parts > 1:
                launches["totals"](size, None, x.buffer, x.offset, *kept, n, inner, chunk, parts)
                launches["carry"]((lines,), None, *kept, lines, parts)
            launches["run"](
                size, None, *[y.buffer for y in outs], x.buffer, x.offset, *kept, n, inner,
                chunk, parts,
            )  # fmt: skip
        return tuple(outs) if two else outs[0]


def _sum(device: Any, dtype: DType) -> Running:
    type = computed(dtype)
    if type is bool_:
        return Running(bool_, "0", "a |= x_;")
    step = (
        f"a = add_{suffix(type)}(a, x_);" if type.is_complex else f"a = ({suffix(type)})(a + x_);"
    )
    return Running(type, literal(0, type, device.dialect), step)


def _sum_from_the_end(device: Any, dtype: DType) -> Running:
    return replace(_sum(device, dtype), backward=True)


def _product(device: Any, dtype: DType) -> Running:
    type = computed(dtype)
    if type is bool_:
        return Running(bool_, "1", "a &= x_;")
    step = (
        f"a = mul_{suffix(type)}(a, x_);" if type.is_complex else f"a = ({suffix(type)})(a * x_);"
    )
    return Running(type, literal(1, type, device.dialect), step)


def _log_sum(device: Any, dtype: DType) -> Running:
    type = computed(dtype)
    start = literal(-math.inf, type, device.dialect)
    return Running(type, start, f"a = logaddexp_{suffix(type)}(a, x_);")


def _extreme(op: str) -> Callable[[Any, DType], Running]:
    def running(device: Any, dtype: DType) -> Running:
        type = computed(dtype)
        start = "0" if type is bool_ else literal(0, type, device.dialect)
        # The last of equals wins, and NaN stays.
        return Running(
            type, start, f"if (p < 0 || x_ {op}= a || x_ != x_) {{ a = x_; p = i; }}", True
        )

    return running


def _maker(name: str, running: Callable[[Any, DType], Running]) -> Callable[[Any, DType], Kernel]:
    def make(device: Any, dtype: DType) -> Kernel:
        scan = Scan(device, f"k_{name}", dtype, running(device, dtype))

        def kernel(x: DeviceArray, *, dim: int) -> Any:
            return scan(x, dim)

        return kernel

    return make


for _name, _running, _classes in (
    ("cumsum", _sum, REAL + " complex"),
    ("reverse_cumsum", _sum_from_the_end, REAL + " complex"),
    ("cumprod", _product, REAL + " complex"),
    ("logcumsumexp", _log_sum, "floating reduced"),
    ("cummax", _extreme(">"), REAL),
    ("cummin", _extreme("<"), REAL),
):
    scans.add(_name, _maker(_name, _running), _classes)
