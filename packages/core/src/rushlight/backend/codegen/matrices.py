"""What linear algebra shares: the frame of kernels over batches of matrices, and their layout.

Texts are written once for both flavours and for real and complex numbers:

- `$T` is the type of elements, `$R` that of their parts, `$E` the half of their epsilon. Arithmetic
  is `add_$T`, `sub_$T`, `mul_$T`, `div_$T`, `less_$T` (x - a b), `scale_$T` (by a real number),
  `conj_$T`, `real_$T`, `imag_$T`, `of_$T` (of a real number), `join_$T` (of both parts),
  `square_$T` (|x|^2) and `size_$T` (|re| + |im|).
- `z` is the number of the matrix; the operands already point to it.
- A kernel for each matrix has one work-item in the CPU flavour and a work-group in the GPU's:
  `EACH(i, a, b)` shares a range out to the lanes, `SYNC` lets them see what others wrote, `ONE`
  guards what one of them does, `SUM(x)`, `SUM_T(x)` and `MOST(x)` combine what each has, and
  `PEAK(x, i)` finds the greatest `x` and its place, the first of equals. `STRIPS(j, a, b)` shares
  out strips of columns, `left` of them from `j` on, and `LANES(l)` goes over such a strip.
  No barrier (`SYNC` and what combines) may stand under a condition, though all lanes agree on it:
  compilers get that wrong. They also move conditions that stay the same out of loops, barriers
  and all: in such loops write `EACH(i, 0, condition ? n : 0)`.
- A kernel for strips has a work-item for a few neighbouring columns (`WIDE` of them, from column
  `c` on) of each matrix; `LANES(l)` goes over them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..._dtypes import DType, float32
from .array import DeviceArray, broadcast_shape, broadcast_strides, coalesced, row_major
from .dialect import suffix
from .matmul import Matrix, Problem, Products
from .printing import literal, program

GROUP = 64
STRIP = 16

_REAL = {
    "add": "$T add_$T($T x, $T y) { return x + y; }",
    "sub": "$T sub_$T($T x, $T y) { return x - y; }",
    "mul": "$T mul_$T($T x, $T y) { return x * y; }",
    "div": "$T div_$T($T x, $T y) { return x / y; }",
    "less": "$T less_$T($T x, $T a, $T b) { return x - a * b; }",
    "scale": "$T scale_$T($T x, $T r) { return x * r; }",
    "of": "$T of_$T($T r) { return r; }",
    "join": "$T join_$T($T a, $T b) { return a; }",
    "conj": "$T conj_$T($T x) { return x; }",
    "real": "$T real_$T($T x) { return x; }",
    "imag": "$T imag_$T($T x) { return 0; }",
    "square": "$T square_$T($T x) { return x * x; }",
    "size": "$T size_$T($T x) { return abs_$T(x); }",
}
_COMPLEX = {
    "less": """$T less_$T($T x, $T a, $T b) {
    return MAKE_$T(x.x - (a.x * b.x - a.y * b.y), x.y - (a.x * b.y + a.y * b.x));
}""",
    "scale": "$T scale_$T($T x, $R r) { return MAKE_$T(x.x * r, x.y * r); }",
    "of": "$T of_$T($R r) { return MAKE_$T(r, 0); }",
    "join": "$T join_$T($R a, $R b) { return MAKE_$T(a, b); }",
    "square": "$R square_$T($T x) { return x.x * x.x + x.y * x.y; }",
    "size": "$R size_$T($T x) { return abs_$R(x.x) + abs_$R(x.y); }",
}


def _words() -> dict[str, str]:
    made = {}
    for table, pairs in (
        (_REAL, {"f32": "f32", "f64": "f64"}),
        (_COMPLEX, {"c64": "f32", "c128": "f64"}),
    ):
        for type, part in pairs.items():
            for name, text in table.items():
                made[f"{name}_{type}"] = text.replace("$T", type).replace("$R", part)
    return made


WORDS = _words()

_LONE = """#define EACH(i, a, b) for (i64 i = (a); i < (b); i++)
#define STRIPS(j, a, b) for (i64 j = (a); j < (b); j += $S)
#define LANES(l) for (int l = 0; l < left; l++)
#define SYNC
#define ONE
#define SUM(x)
#define SUM_T(x)
#define MOST(x)
#define PEAK(x, i)"""

_GROUPED = """#define EACH(i, a, b) for (i64 i = (a) + lane; i < (b); i += $G)
#define STRIPS(j, a, b) EACH(j, a, b)
#define LANES(l) for (int l = 0; l < 1; l++)
#define SYNC $B
#define ONE if (lane == 0)
#define FOLD(s, x, step) { s[lane] = x; $B \\
    for (int w = $G / 2; w > 0; w >>= 1) { if (lane < w) { step } $B } x = s[0]; $B }
#define SUM(x) FOLD(s_part, x, s_part[lane] += s_part[lane + w];)
#define SUM_T(x) FOLD(s_whole, x, s_whole[lane] = add_$T(s_whole[lane], s_whole[lane + w]);)
#define MOST(x) FOLD(s_part, x, s_part[lane] = maximum_$R(s_part[lane], s_part[lane + w]);)
#define PEAK(x, i) s_place[lane] = i; FOLD(s_part, x, if (s_part[lane + w] > s_part[lane] || \\
    (s_part[lane + w] == s_part[lane] && s_place[lane + w] < s_place[lane])) { \\
    s_part[lane] = s_part[lane + w]; s_place[lane] = s_place[lane + w]; }) i = s_place[0]; $B"""


class MatrixKernel:
    """A kernel over a batch of matrices.

    Args:
        device: The launcher.
        dtype: Type of elements, `$T`.
        name: The kernel's name.
        operands: Types in memory by name. Their arrays are (batch, ...), in any layout: the text
            works out the places from its scalars.
        scalars: Names of numbers, whole ones if not "name:type"; `columns` is one of a kernel for
            strips.
        body: Statements.
        strips: A work-item for every few columns, instead of what each matrix has.
        many: The kernel for each matrix is for `many` parts of it, whose number is `part`.
    """

    def __init__(
        self,
        device: Any,
        dtype: DType,
        name: str,
        operands: Mapping[str, str],
        scalars: str,
        body: str,
        strips: bool = False,
        many: bool = False,
    ) -> None:
        self.device = device
        self.dtype = dtype
        self.name = f"k_{name}"
        self.operands = dict(operands)
        pairs = [word.partition(":") for word in scalars.split()]
        self.scalars = {scalar: type or "i64" for scalar, _, type in pairs}
        self.body = body
        self.strips = strips
        self.many = many
        self._grouped = device.flavour == "gpu" and not strips
        self._launch: Any = None

    def _compiled(self) -> Any:
        d = self.device.dialect
        arguments, words, begin = [], [], []
        for name, type in self.operands.items():
            arguments += [
                f"{d.device} {type}* {name}",
                f"const i64 {name}_at",
                f"const i64 {name}_step",
            ]
            begin.append(f"{name} += {name}_at + z * {name}_step;")
            words += ["p", "i64", "i64"]
        arguments.append("const i64 count")
        words.append("i64")
        for name, type in self.scalars.items():
            arguments.append(f"const {type} {name}")
            words.append(type)
        head, macros, body = self._head(), "", self.body
        if self.strips:
            wide = 1 if self.device.flavour == "gpu" else STRIP
            macros = "#define LANES(l) for (int l = 0; l < WIDE; l++)"
            if wide == 1:
                body = f"#define WIDE 1\n{body}\n#undef WIDE"
            else:
                body = (
                    f"if (columns - c >= {wide}) {{\n#define WIDE {wide}\n{body}\n#undef WIDE\n}}"
                    f" else {{\nconst int left = (int)(columns - c);\n#define WIDE left\n{body}\n"
                    "#undef WIDE\n}"
                )
        else:
            macros = _GROUPED if self._grouped else _LONE
        text = (
            f"{d.contract}\n{macros}\n"
            f"{d.kernel} {self.name}({', '.join(arguments)}) {{\n{head}\n{' '.join(begin)}\n"
            f"{body}\n}}"
        )
        source = program([self.put(text)], d, self.device.double, WORDS)
        return self.device.compile(source, {self.name: self.put(" ".join(words))})[self.name]

    def _head(self) -> str:
        d = self.device.dialect
        if self.strips:
            wide = 1 if self.device.flavour == "gpu" else STRIP
            return (
                f"const i64 c = (i64)GID(0) * {wide}, z = GID(1); "
                "if (c >= columns || z >= count) return;"
            )
        part = " const i64 part = GROUP(1);" if self.many else ""
        if not self._grouped:
            return f"const i64 z = GROUP(0);{part}"
        return (
            f"const i64 z = GROUP(0); const int lane = LID(0);{part}\n"
            f"{d.local} $R s_part[$G]; {d.local} $T s_whole[$G]; {d.local} i64 s_place[$G];"
        )

    def put(self, text: str) -> str:
        """A text with the words of this kernel."""
        d = self.device.dialect
        for word, meaning in (
            ("$T", suffix(self.dtype)),
            ("$R", suffix(self.dtype.to_real())),
            ("$G", str(GROUP)),
            ("$S", str(1 if self.device.flavour == "gpu" else STRIP)),
            ("$B", d.fence or d.barrier),
            ("$D", d.device),
            (
                "$E",
                literal(
                    2.0 ** (-24 if self.dtype.to_real() is float32 else -53),
                    self.dtype.to_real(),
                    d,
                ),
            ),
        ):
            text = text.replace(word, meaning)
        return text

    def __call__(self, count: int, *arguments: Any, parts: int = 1) -> None:
        """Launches the kernel: number of matrices, operands, scalars."""
        if not count or not parts:
            return
        launch = self._launch
        if launch is None:
            launch = self._launch = self._compiled()
        place = len(self.operands)
        given: list[Any] = []
        for x in arguments[:place]:
            given += [x.settled().buffer, x.offset, x.strides[0] if len(x.shape) > 1 else 1]
        numbers = [int(n) if n is True or n is False else n for n in arguments[place:]]
        if self.strips:
            columns = numbers[list(self.scalars).index("columns")]
            if columns <= 0:
                return
            if self.device.flavour == "gpu":
                sizes, local = (columns, count), None
            else:
                sizes, local = (-(-columns // STRIP), count), (1, 1)
            launch(sizes, local, *given, count, *numbers)
            return
        width = GROUP if self._grouped else 1
        if self.many:
            launch((count * width, parts), (width, 1), *given, count, *numbers)
        else:
            launch((count * width,), (width,), *given, count, *numbers)


class Kernels:
    """Kernels of one dtype on one device, each made when it is first needed.

    Args:
        device: The launcher.
        dtype: Type of elements.
    """

    def __init__(self, device: Any, dtype: DType) -> None:
        self.device = device
        self.dtype = dtype
        self.part = dtype.to_real()
        self.products = Products(device, dtype)
        self._made: dict[str, MatrixKernel] = {}

    def kernel(
        self, name: str, operands: str, scalars: str, body: str, **how: bool
    ) -> MatrixKernel:
        """The kernel of a name; `operands` is pairs of type and name."""
        found = self._made.get(name)
        if found is None:
            words = operands.split()
            pairs = dict(zip(words[1::2], words[::2], strict=True))
            found = MatrixKernel(self.device, self.dtype, name, pairs, scalars, body, **how)
            self._made[name] = found
        return found

    def empty(self, *shape: int, dtype: DType | None = None) -> DeviceArray:
        """Unwritten memory."""
        made: DeviceArray = self.device.empty(shape, dtype or self.dtype)
        return made

    def operator(self, name: str, *operands: DeviceArray, **attributes: Any) -> Any:
        """Calls the kernel of another operator."""
        return self.device.kernels_of(name, operands[0].dtype)(*operands, **attributes)

    def adjoint(self, x: DeviceArray) -> DeviceArray:
        """The conjugate transpose of each matrix; a view where it can be."""
        flipped = transposed(x)
        return self.operator("conj", flipped) if self.dtype.is_complex and x.size else flipped

    def product(self, a: DeviceArray, b: DeviceArray) -> DeviceArray:
        """a b, of batches (batch, rows, columns)."""
        made: DeviceArray = self.operator("matmul", a, b)
        return made

    def subtract_product(self, x: DeviceArray, a: DeviceArray, b: DeviceArray) -> None:
        """x -= a b in place, where the last dimension of `x` is contiguous."""
        count, rows, columns = x.shape
        problem = Problem(
            rows, columns, a.shape[2], 1, count, c_batch=x.strides[0], c_row=x.strides[1],
            c_at=x.offset,
        )  # fmt: skip
        here = Matrix(x, x.strides[1], 1, 0, x.strides[0])
        left, right = (Matrix(y, y.strides[1], y.strides[2], 0, y.strides[0]) for y in (a, b))
        self.products.run(x, left, right, problem, here, -1, 1)


# -- layout -----------------------------------------------------------------------------------


def transposed(x: DeviceArray) -> DeviceArray:
    """Each matrix transposed, as a view."""
    *batch, rows, columns = x.shape
    *steps, row, column = x.strides
    return x.geometry((*batch, columns, rows), (*steps, column, row), 0)


def part(x: DeviceArray, top: int, bottom: int, left: int, right: int) -> DeviceArray:
    """Rows and columns of each matrix of (batch, rows, columns), as a view."""
    at = top * x.strides[1] + left * x.strides[2]
    return x.geometry((x.shape[0], bottom - top, right - left), x.strides, at)


def stacked(x: DeviceArray, kept: int = 2) -> DeviceArray:
    """An array as (batch, ...), its last `kept` dimensions as they are; a view where it can be."""
    x.settled()
    cut = len(x.shape) - kept
    shape, strides = x.shape[:cut], x.strides[:cut]
    sizes, (steps,) = coalesced(shape, [strides])
    if len(sizes) > 1 and x.size:
        x = x.device.dense(x)
        steps = [math.prod(x.shape[cut:])]
    return x.geometry((math.prod(shape), *x.shape[cut:]), (steps[0], *x.strides[cut:]), 0)


def copied(x: DeviceArray, kept: int = 2) -> DeviceArray:
    """A dense copy as (batch, ...), to be worked on."""
    x = x.settled()
    cut = len(x.shape) - kept
    shape = (math.prod(x.shape[:cut]), *x.shape[cut:])
    made: DeviceArray = x.device.dense(x) if x.size else x.device.empty(x.shape, x.dtype)
    return made.geometry(shape, row_major(shape), 0)


def restored(x: DeviceArray, batch: tuple[int, ...]) -> DeviceArray:
    """Undoes `stacked`, densely."""
    shape = (*batch, *x.shape[1:])
    if x.size and not x.dense:
        x = x.device.dense(x)
    return x.geometry(shape, row_major(shape), 0)


def stacked_rows(x: DeviceArray) -> DeviceArray:
    """(batch, n) of vectors, dense."""
    x.settled()
    return stacked(x, 1) if x.dense else copied(x, 1)


def numbers(x: DeviceArray, batch: tuple[int, ...]) -> DeviceArray:
    """One number for each matrix of a batch."""
    assert x.shape[0] == math.prod(batch)
    return x.geometry(batch, row_major(batch), 0)


def broadcast(x: DeviceArray, batch: tuple[int, ...], kept: int = 2) -> DeviceArray:
    """An array whose batch dimensions are broadcast, as a view."""
    shape = (*batch, *x.shape[len(x.shape) - kept :])
    return x.settled().geometry(shape, broadcast_strides(x, shape), 0)


def common_batch(*arrays: DeviceArray) -> tuple[int, ...]:
    """Batch dimensions of matrices, broadcast."""
    return broadcast_shape(*(x.shape[:-2] for x in arrays))
