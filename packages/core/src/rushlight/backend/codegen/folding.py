"""Folding values into places on processors: every work-item owns a part of the target.

Where values of one slice of the source go to a slice of the target that no other does (scatter
along an inner dimension), a work-item takes some slices. Else it takes a range of places, and goes
through all indices for those that lie in it. Either way each place is folded by one work-item in
the order of the values, so results are the same each time, and nothing has to be sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..._dtypes import DType, bool_
from .array import DeviceArray, coalesced
from .dialect import suffix
from .expression import computed
from .printing import loaded, memory_type, program, stored

Strides = tuple[int, ...]
SIGNATURE = "p i64 p i64 p i64 i64 i64 i64 i64 i64 i64 p i32 i32"


class Folding:
    """The kernels of one dtype on one device.

    Args:
        device: The launcher.
        dtype: Type of the elements.
        step: From a fold's name and the computed type to a statement that takes `x` into `acc`.
        helpers: Further functions of the kernels.
    """

    def __init__(
        self, device: Any, dtype: DType, step: Callable[[str, DType], str], helpers: dict[str, str]
    ) -> None:
        self.device = device
        self.dtype = dtype
        self.step = step
        self.helpers = helpers
        self._launches: dict[str, Any] = {}

    def __call__(
        self,
        reduce: str,
        out: DeviceArray,
        places: DeviceArray,
        lead: tuple[tuple[int, ...], Strides, int],
        src: DeviceArray,
        rest: tuple[tuple[int, ...], Strides],
        unit: int,
        slots: tuple[Any, int, int],
    ) -> bool:
        """Folds, if this is a processor and memory lies in a way that is served; whether it did.

        Args:
            reduce: "sum", "prod", "amax" or "amin".
            out: A dense array.
            places: Where each slice of `src` goes, in elements of `out`.
            lead: Sizes of the indices' dimensions, steps of `out` along them, and how far the
                indices themselves reach.
            src: The values: the indices' dimensions first.
            rest: The other dimensions: sizes, and steps of `out`.
            unit: What all places are multiples of.
            slots: Where faults are reported.
        """
        if self.device.flavour != "cpu" or reduce == "mean":
            return False
        shape, at, reach = lead
        sizes, out_steps = rest
        ahead = len(shape)
        _, (rows,) = coalesced(shape, [src.strides[:ahead]])
        many, (steps, src_steps) = coalesced(sizes, [out_steps, src.strides[ahead:]])
        if len(rows) > 1 or len(many) > 1:
            return False
        m, inside = places.size, reach
        inside += sum((n - 1) * step for n, step in zip(shape[1:], at[1:], strict=True))
        inside += sum((n - 1) * step for n, step in zip(sizes, out_steps, strict=True))
        owners = self._owners(many[0])
        each, span = m, -(-out.size // (owners * unit)) * unit
        if shape[0] > 1 and at[0] > inside:
            slices = -(-shape[0] // max(self.device.parallelism, 1))
            each, span = slices * (m // shape[0]), 0
            owners = -(-m // each)
        self._launch(reduce)(
            (owners,), (1,), out.buffer, out.offset, src.buffer, src.offset, places.buffer, m, each,
            span, rows[0], many[0], steps[0], src_steps[0], *slots,
        )  # fmt: skip
        return True

    def _owners(self, n: int) -> int:
        """Ranges of places; each goes through all indices, so few where little else is done."""
        most: int = self.device.parallelism
        return most if n >= 16 else max(most // 4, 1)

    def _launch(self, reduce: str) -> Any:
        found = self._launches.get(reduce)
        if found is None:
            name = f"k_own_{reduce}"
            source = program(
                [self._text(name, reduce)], self.device.dialect, self.device.double, self.helpers
            )
            found = self._launches[reduce] = self.device.compile(source, {name: SIGNATURE})[name]
        return found

    def _text(self, name: str, reduce: str) -> str:
        d, type, memory = self.device.dialect, computed(self.dtype), memory_type(self.dtype)
        c = "bool" if type is bool_ else suffix(type)

        def folded(target: str, value: str) -> str:
            return (
                f"{c} acc = {loaded(target, self.dtype)}; "
                f"const {c} x = {loaded(value, self.dtype)}; "
                f"{self.step(reduce, type)} {target} = {stored('acc', type, self.dtype)};"
            )

        return f"""{d.kernel} {name}({d.device} {memory}* restrict out, const i64 out_at,
        const {d.device} {memory}* restrict src, const i64 src_at,
        const {d.device} i64* restrict places, const i64 m, const i64 each, const i64 span,
        const i64 row, const i64 n, const i64 out_step, const i64 src_step,
        {d.device} i64* faults, const i32 first, const i32 slots) {{
    if (faulty_i32(faults, first, slots)) return;
    const i64 owner = GID(0), begin = span ? 0 : owner * each;
    const i64 end = begin + each < m ? begin + each : m;
    const i64 low = owner * span, high = span ? low + span : (i64)1 << 62;
    out += out_at;
    src += src_at;
    if (n == 1) {{
        for (i64 t = begin; t < end; t++) {{
            const i64 to = places[t];
            if ((to >= low) & (to < high)) {{ {folded("out[to]", "src[t * row]")} }}
        }}
        return;
    }}
    for (i64 t = begin; t < end; t++) {{
        const i64 to = places[t];
        if (to < low || to >= high) continue;
        if ((out_step == 1) & (src_step == 1)) {{
            for (i64 i = 0; i < n; i++) {{ {folded("out[to + i]", "src[t * row + i]")} }}
        }} else {{
            for (i64 i = 0; i < n; i++) {{
                {folded("out[to + i * out_step]", "src[t * row + i * src_step]")}
            }}
        }}
    }}
}}"""


def reach_of(sizes: Sequence[tuple[int, int, int]]) -> int:
    """The farthest place that indices lead to: of each the dimension, its size and step."""
    return sum((n - 1) * step for _, n, step in sizes)
