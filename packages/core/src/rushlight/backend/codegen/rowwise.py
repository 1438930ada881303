"""Kernels that work along rows: sums over a row, numbers made of them, and results by element.

A kernel is a list of stages, written once. `Sweep` runs along the row and fills accumulators,
`Let` computes a number of the row, `Once` and `Map` store, for the row and for every element.
In texts, `$name` is a number of the row, `$i` the place in the row, `$at` the element's place in
memory and `$r` the row's number.

An operand is (outer, n, inner), dense. Rows whose elements are neighbours (inner is 1) have one
work-item each in the CPU flavour, with 16 accumulators that compilers keep in vectors, and a
work-group each in the GPU flavour, which adds up in local memory. Other rows are columns: a
work-item has a strip of them, of 64 in the CPU flavour and of one in the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..._dtypes import DType
from .array import DeviceArray
from .dialect import suffix
from .expression import computed
from .printing import memory_type, program, stored
from .registry import Family, Kernel

LANES = 16
STRIP = 64
GROUP = 128
_WORD = re.compile(r"\$(\w+)")


@dataclass(frozen=True)
class Sweep:
    """Accumulators over a row: for each its start, a step, and how another is merged (`$o`)."""

    sums: Mapping[str, tuple[str, str, str]]


@dataclass(frozen=True)
class Let:
    """A number of the row, of the kernel's type or another."""

    name: str
    value: str
    type: str = ""


@dataclass(frozen=True)
class Once:
    """A statement for every row."""

    text: str


@dataclass(frozen=True)
class Map:
    """A statement for every element."""

    text: str


Stage = Sweep | Let | Once | Map


def added(step: str) -> tuple[str, str, str]:
    """The accumulator of a sum."""
    return "0", f"$a += {step};", "$a += $o;"


class Rows:
    """A kernel along rows on one device.

    Args:
        device: The launcher.
        name: The operator's name.
        type: What is computed in.
        operands: Buffers by name and their dtypes.
        results: Those that are written.
        stages: What is done.
        scalars: Further arguments: name and word of the signature.
        faults: The kernel reports to `faults` and `slot`.
    """

    def __init__(
        self,
        device: Any,
        name: str,
        type: DType,
        operands: Mapping[str, DType],
        results: Sequence[str],
        stages: Sequence[Stage],
        scalars: Mapping[str, str] | None = None,
        faults: bool = False,
    ) -> None:
        self.device = device
        self.name = f"k_{name}"
        self.type = suffix(computed(type))
        self.operands = operands
        self.results = results
        self.stages = stages
        self.scalars = dict(scalars or {})
        self.faults = faults
        self._launches: dict[str, Any] = {}

    def __call__(
        self,
        buffers: Sequence[DeviceArray],
        outer: int,
        n: int,
        inner: int,
        *scalars: Any,
        fault: tuple[Any, int] | None = None,
    ) -> None:
        """Launches the kernel over `outer * inner` rows of `n` elements."""
        if outer * inner == 0:
            return
        kind = "row" if inner == 1 else "column"
        launch = self._launches.get(kind)
        if launch is None:
            launch = self._launches[kind] = self._compiled(kind)
        gpu = self.device.flavour == "gpu"
        local: tuple[int, ...] | None
        size: tuple[int, ...]
        if gpu:
            size, local = ((outer * GROUP,), (GROUP,)) if kind == "row" else ((inner, outer), None)
        elif kind == "row":
            size, local = few_rows(outer, n)
        else:
            size, local = (-(-inner // STRIP), outer), (1, 1)
        arguments: list[Any] = []
        for x in buffers:
            x.settled()
            arguments += [x.buffer, x.offset]
        launch(size, local, *arguments, *(fault or ()), outer, n, inner, *scalars)

    # -- text ------------------------------------------------------------------------------

    def _compiled(self, kind: str) -> Any:
        d = self.device.dialect
        words, arguments, begin = [], [], []
        for name, dtype in self.operands.items():
            const = "" if name in self.results else "const "
            arguments += [
                f"{const}{d.device} {memory_type(dtype)}* restrict {name}",
                f"const i64 {name}_at",
            ]
            begin.append(f"{name} += {name}_at;")
            words += ["p", "i64"]
        if self.faults:
            arguments += [f"{d.device} long* faults", "const i32 slot"]
            words += ["p", "i32"]
        for name, word in (("outer", "i64"), ("n", "i64"), ("inner", "i64"), *self.scalars.items()):
            arguments.append(f"const {word} {name}")
            words.append(word)
        body = self._row_gpu() if kind == "row" and self.device.flavour == "gpu" else (
            self._row() if kind == "row" else self._column()
        )  # fmt: skip
        name = f"{self.name}_{kind}"
        text = f"{d.kernel} {name}({', '.join(arguments)}) {{\n{' '.join(begin)}\n{body}\n}}"
        source = program([text], d, self.device.double)
        return self.device.compile(source, {name: " ".join(words)})[name]

    def _put(self, text: str, words: Mapping[str, str], ending: str = "") -> str:
        return _WORD.sub(lambda m: words.get(m[1], f"{m[1]}_{ending}"), text)

    def _row(self) -> str:
        here = {"r": "row", "at": "(begin + i)", "i": "i"}
        lines = ["const i64 row = GID(0); if (row >= outer) return; const i64 begin = row * n;"]
        for stage in self.stages:
            if isinstance(stage, Let):
                value = self._put(stage.value, here)
                lines.append(f"const {stage.type or self.type} {stage.name}_ = {value};")
            elif isinstance(stage, Once):
                lines.append(self._put(stage.text, here))
            elif isinstance(stage, Map):
                lines.append(f"for (i64 i = 0; i < n; i++) {{ {self._put(stage.text, here)} }}")
            else:
                lines.append(self._swept(stage, "", "", "n", "row"))
        return "\n".join(lines)

    def _swept(self, stage: Sweep, index: str, bound: str, n: str, kind: str) -> str:
        """The loops of a sweep of the CPU's rows, and of columns."""
        lanes = str(self._strip) if kind == "column" else str(LANES)
        size = f"[{lanes}]"
        declare, clear, steps, merges = [], [], [], []
        for name, (start, step, merge) in stage.sums.items():
            fill = f"for (int j = 0; j < {lanes}; j++)"
            if kind == "row":
                declare.append(f"{self.type} {name}_ = {start};")
            else:
                declare.append(f"{self.type} {name}_{size}; {fill} {name}_[j] = {start};")
            clear.append(f"{self.type} l_{name}{size}; {fill} l_{name}[j] = {start};")
            at = {"r": "row", "at": "(begin + i + j)", "i": "(i + j)", "a": f"l_{name}[j]"}
            if kind == "column":
                at |= {"r": "(row + j)", "at": "(begin + i * inner + j)", "i": "i"}
            steps.append(self._put(step, at, index))
            merges.append(self._put(merge, {"a": f"{name}_{index}", "o": f"l_{name}[j]"}))
        step, merge = " ".join(steps), " ".join(merges)
        block = 4096 if kind == "row" else 256
        if kind == "row":
            loops = f"""for (; i + {LANES} <= stop; i += {LANES})
        for (int j = 0; j < {LANES}; j++) {{ {step} }}
    if (i < stop) {{
        const int left = (int)(stop - i);
        for (int j = 0; j < left; j++) {{ {step} }}
        i = stop;
    }}"""
        else:
            loops = f"for (; i < stop; i++) for (int j = 0; j < {bound}; j++) {{ {step} }}"
        return f"""{" ".join(declare) if bound != "left" else ""}
for (i64 i = 0; i < {n};) {{
    {" ".join(clear)}
    const i64 stop = i + {block} < n ? i + {block} : n;
    {loops}
    for (int j = 0; j < {lanes}; j++) {{ {merge} }}
}}"""

    @property
    def _strip(self) -> int:
        return 1 if self.device.flavour == "gpu" else STRIP

    def _column(self) -> str:
        wide = self._strip
        here = {"r": "(row + j)", "at": "(begin + i * inner + j)", "i": "i"}
        lines = [
            f"const i64 c = (i64)GID(0) * {wide}, o = GID(1); if (c >= inner || o >= outer) return;"
            "const i64 begin = o * n * inner + c, row = o * inner + c;"
            f"const int left = inner - c < {wide} ? (int)(inner - c) : {wide};"
        ]
        for stage in self.stages:
            if isinstance(stage, Let):
                value = self._put(stage.value, here, "[j]")
                lines.append(
                    f"{stage.type or self.type} {stage.name}_[{wide}]; "
                    f"for (int j = 0; j < left; j++) {stage.name}_[j] = {value};"
                )
            elif isinstance(stage, Once):
                text = self._put(stage.text, here, "[j]")
                lines.append(f"for (int j = 0; j < left; j++) {{ {text} }}")
            elif isinstance(stage, Map):
                text = self._put(stage.text, here, "[j]")
                full, rest = (
                    f"for (i64 i = 0; i < n; i++) for (int j = 0; j < {b}; j++) {{ {text} }}"
                    for b in (wide, "left")
                )
                lines.append(f"if (left == {wide}) {{ {full} }} else {{ {rest} }}")
            else:
                full = self._swept(stage, "[j]", str(wide), "n", "column")
                rest = self._swept(stage, "[j]", "left", "n", "column")
                declare, full = full.split("\n", 1)
                lines.append(f"{declare}\nif (left == {wide}) {{ {full} }} else {{ {rest} }}")
        return "\n".join(lines)

    def _row_gpu(self) -> str:
        d = self.device.dialect
        here = {"r": "row", "at": "(begin + i)", "i": "i"}
        head = ["const i64 row = GROUP(0), begin = row * n; const int lane = LID(0);"]
        lines: list[str] = []
        loop = f"for (i64 i = lane; i < n; i += {GROUP})"
        for stage in self.stages:
            if isinstance(stage, Let):
                value = self._put(stage.value, here)
                lines.append(f"const {stage.type or self.type} {stage.name}_ = {value};")
            elif isinstance(stage, Once):
                lines.append(f"if (lane == 0) {{ {self._put(stage.text, here)} }}")
            elif isinstance(stage, Map):
                lines.append(f"{loop} {{ {self._put(stage.text, here)} }}")
            else:
                steps, keep, merges, found = [], [], [], []
                for name, (start, step, merge) in stage.sums.items():
                    head.append(f"{d.local} {self.type} s_{name}[{GROUP}];")
                    lines.append(f"{self.type} {name}_ = {start};")
                    steps.append(self._put(step, here | {"a": f"{name}_"}))
                    keep.append(f"s_{name}[lane] = {name}_;")
                    merges.append(self._put(merge, {"a": f"{name}_", "o": f"s_{name}[lane + w]"}))
                    found.append(f"{name}_ = s_{name}[0];")
                lines.append(
                    f"{loop} {{ {' '.join(steps)} }} {' '.join(keep)} {d.barrier}\n"
                    f"for (int w = {GROUP // 2}; w > 0; w >>= 1) {{\n"
                    f"    if (lane < w) {{ {' '.join(merges)} {' '.join(keep)} }} {d.barrier}\n"
                    f"}}\n{' '.join(found)} {d.barrier}"
                )
        return "\n".join([*head, *lines])


class RowKernels:
    """What families of kernels along rows share: the kernels of one dtype, each made when it is
    first needed.

    Args:
        device: The launcher.
        dtype: Type of the elements.
    """

    def __init__(self, device: Any, dtype: DType) -> None:
        self.device = device
        self.dtype = dtype
        self.type = computed(dtype)
        self.t = suffix(self.type)
        self._made: dict[Any, Rows] = {}

    def launch(
        self,
        name: str,
        stages: Sequence[Stage],
        operands: Mapping[str, DeviceArray | None],
        results: Sequence[str],
        sizes: tuple[int, int, int],
        scalars: Mapping[str, tuple[str, Any]],
        fault: tuple[Any, int] | None = None,
    ) -> dict[str, DeviceArray]:
        """Launches a kernel; one program for each name and set of operands' dtypes.

        Args:
            name: Of the kernel.
            stages: What it does.
            operands: Arrays by name; those that are None are left out.
            results: Names of those that are written.
            sizes: (outer, n, inner).
            scalars: Further numbers by name: word of the signature, and value.
            fault: Where it reports.

        Returns:
            The operands, dense.
        """
        given = {k: dense(x) for k, x in operands.items() if x is not None}
        dtypes = {k: x.dtype for k, x in given.items()}
        key = (name, tuple(dtypes.items()))
        found = self._made.get(key)
        if found is None:
            words = {k: word for k, (word, _) in scalars.items()}
            found = self._made[key] = Rows(
                self.device, name, self.dtype, dtypes, results, stages, words, fault is not None
            )
        numbers = [value for _, value in scalars.values()]
        found(tuple(given.values()), *sizes, *numbers, fault=fault)
        return given

    def write(self, name: str, x: DeviceArray, value: str, place: str = "$at") -> str:
        """A statement that stores a result."""
        return f"{name}[{place}] = {stored(f'({value})', self.type, x.dtype)};"

    def empty(self, shape: Sequence[int], wide: bool = False) -> DeviceArray:
        """A new array in the operand's dtype, or the one that is computed in."""
        made: DeviceArray = self.device.empty(tuple(shape), self.type if wide else self.dtype)
        return made


def entered(
    family: Family, kernels: Callable[[Any, DType], RowKernels], name: str, classes: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: a function of what a dtype's kernels share, and of the operator's arguments,
    becomes the kernel of an operator."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        @family.kernel(name, classes)
        def make(device: Any, dtype: DType) -> Kernel:
            shared = kernels(device, dtype)
            return lambda *operands, **attributes: function(shared, *operands, **attributes)

        return function

    return enter


def few_rows(rows: int, n: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes of a launch over rows of `n` elements on a processor, and of its work-groups: small
    ones, so that all cores have work to the end and a row is still in cache in its next loop."""
    each = 1 if n >= 512 else 16 if n >= 32 else 64
    return (-(-rows // each) * each,), (each,)


def split_at(shape: tuple[int, ...], dim: int) -> tuple[int, int, int]:
    """(outer, n, inner) of a dense array around one of its dimensions."""
    if not shape:
        return 1, 1, 1
    dim %= len(shape)
    outer = inner = 1
    for size in shape[:dim]:
        outer *= size
    for size in shape[dim + 1 :]:
        inner *= size
    return outer, shape[dim], inner


def dense(x: DeviceArray) -> DeviceArray:
    """The array itself where it is dense, else a copy."""
    x.settled()
    made: DeviceArray = x if x.dense else x.device.dense(x)
    return made
