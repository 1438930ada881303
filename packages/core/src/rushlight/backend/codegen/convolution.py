"""Convolutions on a device: as matrix products of gathered windows, or element by element.

Each of the three is a sum of products that a table of windows (`windows`) spells out. Where a
group has enough channels, floats are gathered into the layout of matrix products, which then do
the work: panels on a processor, a matrix of windows on a GPU; a few samples at a time, so that
what was gathered stays in cache. Everything else, depthwise convolution above all, is computed
by a kernel that goes through the table for each element of the result.
"""

from __future__ import annotations

from math import prod
from typing import Any

from ..._dtypes import DType, float32, float64
from . import products as text
from .array import DeviceArray
from .matmul import Matrix, Problem, Products
from .printing import memory_type, program
from .registry import Family, Kernel
from .windows import Sizes, tables_of

convolution = Family()
#: Elements that are gathered at a time, where that leaves at least one sample.
GATHERED = 1 << 20
_DIRECT = "p p i64 p i64 p i64 i64 i64 i64 i64 i64 i64 i64 i64 i64"
_WEIGHT = "p p i64 p i64 p i64 i64 i64 i64 i64 i64 i64"
_GATHER = "p p i64 p i64 i64 i64 i64 i64 i64 i64 i64 i64"


def _direct_text(dtype: DType, d: Any) -> str:
    """Kernels for one element of the result a work-item; for the two results that are planes, and
    for the weight."""
    type, kind = text.wide(dtype), memory_type(dtype)
    complex_ = dtype.is_complex
    zero = f"MAKE_{type}(0, 0)" if complex_ else "0"

    def step(sum_: str, x: str, y: str) -> str:
        x, y = text.read(x, dtype), text.read(y, dtype)
        if complex_:
            return f"add_{type}({sum_}, mul_{type}({x}, {y}))"
        return f"{sum_} + {x} * {y}"

    total = f"add_{type}(sum, part)" if complex_ else "sum + part"
    return f"""{d.kernel} k_planes({d.device} {kind}* out, const {d.device} {kind}* x,
        const i64 x_at, const {d.device} {kind}* w, const i64 w_at, const {d.device} i32* table,
        const i64 positions, const i64 plane, const i64 channels, const i64 made, const i64 inner,
        const i64 each, const i64 taps, const i64 w_group, const i64 w_made, const i64 w_inner) {{
    const i64 p = GID(0), c = GID(1), n = GID(2);
    if (p >= positions) return;
    const i64 group = c / each;
    x += x_at + (n * channels + group * inner) * plane;
    w += w_at + group * w_group + (c % each) * w_made;
    {type} sum = {zero};
    for (i64 i = 0; i < inner; i++)
        for (i64 t = 0; t < taps; t++) {{
            const i32 place = table[t * positions + p];
            if (place >= 0) sum = {step("sum", "x[i * plane + place]", "w[i * w_inner + t]")};
        }}
    out[(n * made + c) * positions + p] = {text.written("sum", dtype)};
}}
{d.kernel} k_weight({d.device} {kind}* out, const {d.device} {kind}* g, const i64 g_at,
        const {d.device} {kind}* x, const i64 x_at, const {d.device} i32* table,
        const i64 positions, const i64 plane, const i64 samples, const i64 outer, const i64 inner,
        const i64 groups, const i64 taps) {{
    const i64 q = GID(0), o = GID(1), group = o / outer;
    if (q >= inner * taps) return;
    const i64 c = group * inner + q / taps;
    table += (q % taps) * positions;
    {type} sum = {zero};
    for (i64 n = 0; n < samples; n++) {{
        const {d.device} {kind}* gs = g + g_at + (n * groups * outer + o) * positions;
        const {d.device} {kind}* xs = x + x_at + (n * groups * inner + c) * plane;
        {type} part = {zero};
        for (i64 p = 0; p < positions; p++)
            if (table[p] >= 0) part = {step("part", "gs[p]", "xs[table[p]]")};
        sum = {total};
    }}
    out[o * inner * taps + q] = {text.written("sum", dtype)};
}}"""


def _gather_text(dtype: DType, d: Any, width: int) -> str:
    """Windows as the right operand of a product: rows (channel, tap), columns (sample, position),
    or with `turned` the other way. Without a panel's width it becomes one matrix."""
    kind = memory_type(dtype)
    if width:
        place = f"((column / {width}) * rows + row) * {width} + column % {width}"
    else:
        place = "row * columns + column"
    return f"""{d.kernel} k_gather({d.device} {kind}* out, const {d.device} {kind}* x,
        const i64 x_at, const {d.device} i32* table, const i64 positions, const i64 plane,
        const i64 channels, const i64 inner, const i64 taps, const i64 samples, const i64 turned,
        const i64 group_step, const i64 groups) {{
    const i32 p = GID(0), q = GID(1), z = GID(2);
    if (p >= positions) return;
    const i32 c = q / (i32)taps, tap = q % (i32)taps, n = z / (i32)groups, group = z % (i32)groups;
    const i32 place = table[tap * positions + p];
    const i32 window = n * (i32)positions + p;
    const u32 row = turned ? window : q, column = turned ? q : window;
    const i64 rows = turned ? samples * positions : inner * taps;
    const i64 columns = turned ? inner * taps : samples * positions;
    x += x_at + (n * channels + group * inner + c) * plane;
    const {kind} value = x[place < 0 ? 0 : place];
    out[group * group_step + {place}] = place < 0 ? 0 : value;
}}"""


class Convolutions:
    """Convolutions of one dtype on one device."""

    def __init__(self, device: Any, dtype: DType) -> None:
        self.device = device
        self.dtype = dtype
        self.products = Products(device, float32 if dtype.is_reduced else dtype)
        self.tables = tables_of(device)
        self._launches: dict[str, Any] = {}

    def kernel(self, name: str) -> Any:
        """A kernel of this family by name."""
        if name not in self._launches:
            d, double = self.device.dialect, self.device.double
            if name == "k_gather":
                width = self.products.width if self.products.vectors else 0
                body = _gather_text(self.products.dtype, d, width)
                signatures = {name: _GATHER}
            else:
                body = _direct_text(self.dtype, d)
                signatures = {"k_planes": _DIRECT, "k_weight": _WEIGHT}
            self._launches.update(self.device.compile(program([body], d, double), signatures))
        return self._launches[name]

    def by_products(self, rows: int) -> bool:
        """Whether a result with so many channels in a group is computed by matrix products."""
        most = 4 if self.products.vectors else 16
        return self.products.dtype in (float32, float64) and rows >= most

    def wide(self, x: DeviceArray) -> DeviceArray:
        """A dense array of the dtype that products are computed in."""
        if x.dtype is not self.products.dtype:
            x = self.device.movement.cast(x, self.products.dtype)
        return x.reshaped(x.shape)

    def narrow(self, x: DeviceArray) -> DeviceArray:
        """A result of products in the dtype of the operands."""
        return x if x.dtype is self.dtype else self.device.movement.cast(x, self.dtype)

    def planes(
        self, x: DeviceArray, weight: DeviceArray, table: DeviceArray, size: Sizes, groups: int,
        back: bool,
    ) -> DeviceArray:  # fmt: skip
        """A convolution, or `back` the transposed one: sums over the channels of `x` and taps.

        Args:
            x: (N, channels, *), of which the table gives places.
            weight: (outputs, inputs per group, *).
            table: Taps, and positions of the result.
            size: Spatial sizes of the result.
            groups: Number of groups.
            back: Channels of `x` are the weight's outputs.
        """
        taps = prod(weight.shape[2:])
        outer, channels = weight.shape[0] // groups, weight.shape[1]
        inner, each = (outer, channels) if back else (channels, outer)
        out_shape = (x.shape[0], each * groups, *size)
        if not prod(out_shape) or not inner:
            out = self.device.empty(out_shape, self.dtype)
            return self.device.movement.fill(out, 0) if out.size else out  # type: ignore[no-any-return]
        if self.by_products(each):
            return self.narrow(
                self._planes(self.wide(x), self.wide(weight), table, out_shape, groups, back)
            )
        x, weight = x.reshaped(x.shape), weight.reshaped(weight.shape)
        out = self.device.empty(out_shape, self.dtype)
        steps = (channels * taps, taps) if not back else (taps, channels * taps)
        self.kernel("k_planes")(
            (prod(size), each * groups, x.shape[0]), None, out.buffer, x.buffer, x.offset,
            weight.buffer, weight.offset, table.buffer, prod(size), prod(x.shape[2:]), x.shape[1],
            each * groups, inner, each, taps, outer * channels * taps, *steps,
        )  # fmt: skip
        return out  # type: ignore[no-any-return]

    def _planes(
        self, x: DeviceArray, weight: DeviceArray, table: DeviceArray, shape: Sizes, groups: int,
        back: bool,
    ) -> DeviceArray:  # fmt: skip
        outer, channels, taps = weight.shape[0] // groups, weight.shape[1], prod(weight.shape[2:])
        inner, each = (outer, channels) if back else (channels, outer)
        if back:  # outputs of a group last, before the taps
            whole = (groups, channels, outer, taps)
            step = channels * taps
            weight = weight.geometry(whole, (outer * step, taps, step, 1), 0).reshaped(whole)
        k, positions = inner * taps, prod(shape[2:])
        out: DeviceArray = self.device.empty(shape, self.products.dtype)
        left = Matrix(weight, k, 1, 0, each * k)
        chunk = max(min(GATHERED // max(k * positions * groups, 1), shape[0]), 1)
        for start in range(0, shape[0], chunk):
            samples = min(chunk, shape[0] - start)
            right = self.gathered(x, table, (start, samples), inner, groups, False)
            problem = Problem(
                each, samples * positions, k, 1, groups, each * positions, positions, positions,
                shape[1] * positions, start * shape[1] * positions,
            )  # fmt: skip
            self.products.run(out, left, right, problem)
        return out

    def gathered(
        self, x: DeviceArray, table: DeviceArray, part: tuple[int, int], inner: int, groups: int,
        turned: bool,
    ) -> Matrix:  # fmt: skip
        """The windows of some samples as the right operand of a product, one for each group."""
        start, samples = part
        taps, positions = table.shape
        rows, columns = inner * taps, samples * positions
        if turned:
            rows, columns = columns, rows
        vectors = self.products.vectors
        width = self.products.width if vectors else 1
        each = -(-columns // width) * width * rows
        out = self.device.empty((groups, each), self.products.dtype)
        plane = prod(x.shape[2:])
        self.kernel("k_gather")(
            (positions, inner * taps, samples * groups), None, out.buffer, x.buffer,
            x.offset + start * x.shape[1] * plane, table.buffer, positions, plane, x.shape[1],
            inner, taps, samples, int(turned), each, groups,
        )  # fmt: skip
        if vectors:
            return Matrix(out, width, 1, 0, each, 0, True)
        return Matrix(out, columns, 1, 0, each)

    def weight(
        self, g: DeviceArray, x: DeviceArray, table: DeviceArray, kernel: Sizes, groups: int
    ) -> DeviceArray:
        """The gradient of the weight."""
        outer, inner = g.shape[1] // groups, x.shape[1] // groups
        taps, positions = table.shape
        shape = (g.shape[1], inner, *kernel)
        if not (prod(shape) and g.size and x.size):
            out = self.device.empty(shape, self.dtype)
            return self.device.movement.fill(out, 0) if out.size else out  # type: ignore[no-any-return]
        if self.by_products(outer):
            return self.narrow(self._weight(self.wide(g), self.wide(x), table, shape, groups))
        g, x = g.reshaped(g.shape), x.reshaped(x.shape)
        out = self.device.empty(shape, self.dtype)
        self.kernel("k_weight")(
            (inner * taps, g.shape[1]), None, out.buffer, g.buffer, g.offset, x.buffer, x.offset,
            table.buffer, positions, prod(x.shape[2:]), g.shape[0], outer, inner, groups, taps,
        )  # fmt: skip
        return out  # type: ignore[no-any-return]

    def _weight(
        self, g: DeviceArray, x: DeviceArray, table: DeviceArray, shape: Sizes, groups: int
    ) -> DeviceArray:
        taps, positions = table.shape
        batch, channels = g.shape[:2]
        outer, inner = channels // groups, shape[1]
        out: DeviceArray = self.device.empty(shape, self.products.dtype)
        columns = inner * taps
        chunk = max(min(GATHERED // max(columns * positions * groups, 1), batch), 1)
        whole = Matrix(out, columns, 1, 0, outer * columns)
        for start in range(0, batch, chunk):
            samples = min(chunk, batch - start)
            k = samples * positions
            # Channels first, so that what is summed over is contiguous.
            left = g.geometry(
                (channels, samples, positions), (positions, channels * positions, 1),
                start * channels * positions,
            ).reshaped((channels, k))  # fmt: skip
            right = self.gathered(x, table, (start, samples), inner, groups, True)
            problem = Problem(outer, columns, k, 1, groups)
            self.products.run(
                out, Matrix(left, k, 1, 0, outer * k), right, problem,
                whole if start else None,
            )  # fmt: skip
        return out


# -- operators --------------------------------------------------------------------------------


@convolution.kernel("conv")
def _(device: Any, dtype: DType) -> Kernel:
    made = Convolutions(device, dtype)

    def kernel(
        x: DeviceArray, weight: DeviceArray, *, stride: Sizes, padding: Sizes, dilation: Sizes,
        groups: int,
    ) -> DeviceArray:  # fmt: skip
        size, taps = x.shape[2:], weight.shape[2:]
        out = tuple(
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(size, taps, stride, padding, dilation, strict=True)
        )
        if x.shape[1] != weight.shape[1] * groups or min(out, default=1) < 1:
            raise ValueError(f"an input {x.shape} and a weight {weight.shape} do not fit")
        table = made.tables.windows(size, out, taps, tuple(stride), tuple(padding), tuple(dilation))
        return made.planes(x, weight, table, out, groups, False)

    return kernel


@convolution.kernel("conv_grad_input")
def _(device: Any, dtype: DType) -> Kernel:
    made = Convolutions(device, dtype)

    def kernel(
        g: DeviceArray, weight: DeviceArray, *, input_size: Sizes, stride: Sizes, padding: Sizes,
        dilation: Sizes, groups: int,
    ) -> DeviceArray:  # fmt: skip
        if g.shape[1] != weight.shape[0]:
            raise ValueError(f"an operand {g.shape} and a weight {weight.shape} do not fit")
        size = tuple(input_size)
        table = made.tables.windows_back(
            size, g.shape[2:], weight.shape[2:], tuple(stride), tuple(padding), tuple(dilation)
        )
        return made.planes(g, weight, table, size, groups, True)

    return kernel


@convolution.kernel("conv_grad_weight")
def _(device: Any, dtype: DType) -> Kernel:
    made = Convolutions(device, dtype)

    def kernel(
        g: DeviceArray, x: DeviceArray, *, kernel_size: Sizes, stride: Sizes, padding: Sizes,
        dilation: Sizes, groups: int,
    ) -> DeviceArray:  # fmt: skip
        taps = tuple(kernel_size)
        table = made.tables.windows(
            x.shape[2:], g.shape[2:], taps, tuple(stride), tuple(padding), tuple(dilation)
        )
        return made.weight(g, x, table, taps, groups)

    return kernel
