"""Convolutions on processors whose windows lie side by side: products without gathering.

With a stride of 1, neighbouring results look at neighbouring elements, for every channel and tap.
So the right operand of the product can be read where it lies, in planes with their padding written
out: a row of it is a plane from the tap's offset on. Where planes are not a multiple of a vector
wide, results are made for whole padded rows and those beyond the end of a row are dropped.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..._dtypes import DType
from . import products
from .array import DeviceArray
from .matmul import Matrix, Problem, Products
from .printing import program
from .windows import Sizes, Tables

_PAD = "p p i64 i64 i64 i64 i64 i64 i64"
_NEAR = "p p p i64 i64 p i64 i64 i64 i64 i64 i64 i64 i64 i64 i64"
_WEIGHT = "p p i64 i64 p i64 i64 p i64 i64 i64 i64 i64 i64 i64 i64 i64"
#: Elements of weights' gradients of parts of the samples, and positions of a part.
_PARTS = 1 << 22
_NEAR_STEPS = 4096
#: What gathering an element costs, in results that a product makes of it meanwhile.
_GATHERING = 45


class NearWindows:
    """The kernels of one dtype on one device.

    Args:
        made: Products of the type that is computed in.
        tables: Where tables of offsets are kept.
    """

    def __init__(self, made: Products, tables: Tables) -> None:
        self.device = made.device
        self.products = made
        self.dtype: DType = made.dtype
        self.tables = tables
        self._launches: dict[str, Any] | None = None

    def serves(self, size: Sizes, padded: Sizes, outputs: int) -> bool:
        """Whether dropped results cost less than gathering would."""
        if not self.products.vectors or len(size) > 2:
            return False
        wide = padded[-1] if size[-1] % self._lanes else size[-1]
        columns = -(-((size[0] if len(size) > 1 else 1) * wide) // self._lanes) * self._lanes
        return (columns / prod(size) - 1) * outputs < _GATHERING

    @property
    def _lanes(self) -> int:
        return self.products.width // 2

    def __call__(
        self, x: DeviceArray, weight: Matrix, shape: Sizes, windows: Windows
    ) -> DeviceArray:
        """A convolution.

        Args:
            x: (N, channels, *), dense.
            weight: Rows (outputs), columns (channels, taps).
            shape: Of the result.
            windows: Where taps lie.
        """
        device, launches = self.device, self._launches or self._compiled()
        samples, channels = x.shape[:2]
        taps = prod(windows.taps)
        plane, height, width = prod(windows.padded), *windows.two(shape[2:])
        wide = windows.padded[-1]
        buffer, at = self._padded(x, windows)
        k, problem = channels * taps, Problem(0, 0, 0)
        packed = self.products.pack(weight, shape[1], k, products.ROWS, problem)
        even = width % self._lanes == 0
        step = width if even else wide
        columns = (height - 1) * step + width
        offsets = self.tables.get(("near", windows), windows.offsets)
        out: DeviceArray = device.empty(shape, self.dtype)
        launches["k_near"](
            (-(-shape[1] // products.ROWS), -(-columns // self.products.width), samples), (1, 1, 1),
            out.buffer, packed.array.buffer, buffer, at, plane, offsets.buffer, taps, channels,
            shape[1], height, width, wide, step, columns, channels * plane, k,
        )  # fmt: skip
        return out

    def weight(self, g: DeviceArray, x: DeviceArray, shape: Sizes, windows: Windows) -> DeviceArray:
        """The gradient of a weight of some shape, for results like `g` of inputs like `x`."""
        device, launches = self.device, self._launches or self._compiled()
        samples, outputs = g.shape[:2]
        taps, positions = prod(windows.taps), prod(g.shape[2:])
        rows, plane = shape[1] * taps, prod(windows.padded)
        buffer, at = self._padded(x, windows)
        left = Matrix(g, positions, 1, outputs * positions)
        right = self.products.pack(
            left, outputs, positions, self.products.width, Problem(0, 0, 0, samples)
        )
        panels = -(-outputs // self.products.width)
        # What a part of the samples has of a panel stays in cache for all rows.
        most = max(_PARTS // (outputs * rows), 1)
        each = max(_NEAR_STEPS // positions, -(-samples // most), 1)
        parts = -(-samples // each)
        out: DeviceArray = device.empty(shape, self.dtype)
        sums = device.empty((parts, outputs * rows), self.dtype) if parts > 1 else out
        launches["k_near_weight"](
            (-(-rows // products.ROWS), panels, parts), (1, 1, 1), sums.buffer, buffer, at, plane,
            self.tables.get(("near", windows), windows.offsets).buffer, taps, rows,
            right.array.buffer, panels * self.products.width * positions, positions, outputs,
            *windows.two(g.shape[2:]), windows.padded[-1], shape[1] * plane, samples, each,
        )  # fmt: skip
        if parts > 1:
            launches["k_near_total"](
                (outputs * rows,), None, out.buffer, sums.buffer, outputs * rows, parts
            )
        return out

    def _padded(self, x: DeviceArray, windows: Windows) -> tuple[Any, int]:
        """Buffer and offset of planes with their padding written out."""
        if windows.padded == x.shape[2:]:
            return x.buffer, x.offset
        planes = x.shape[0] * x.shape[1]
        full = self.device.empty((planes, *windows.padded), self.dtype)
        up, left = windows.low if len(windows.low) > 1 else (0, *windows.low)
        high, wide = windows.two(windows.padded)
        assert self._launches is not None
        self._launches["k_pad"](
            (high, planes), None, full.buffer, x.buffer, x.offset, *windows.two(x.shape[2:]), high,
            wide, up, left,
        )  # fmt: skip
        return full.buffer, 0

    def _compiled(self) -> dict[str, Any]:
        d = self.device.dialect
        type = self.products.wide
        source = program([_pad(type, d), _near(type, d), _weight(type, d)], d, self.device.double)
        made: dict[str, Any] = self.device.compile(source, {
            "k_pad": _PAD, "k_near": _NEAR, "k_near_weight": _WEIGHT, "k_near_total": "p p i64 i64",
        })  # fmt: skip
        self._launches = made
        return made


class Windows:
    """Taps of a convolution with stride 1, seen from the first element of a padded plane.

    Args:
        size: Sizes of the result.
        given: Sizes of what is looked at.
        taps, padding, dilation: Of the convolution.
        back: The transposed convolution, in which taps go the other way.
    """

    def __init__(
        self, size: Sizes, given: Sizes, taps: Sizes, padding: Sizes, dilation: Sizes, back: bool
    ) -> None:
        self.taps = taps
        low, steps, padded = [], [], []
        for n, m, k, p, d in zip(size, given, taps, padding, dilation, strict=True):
            before = max(d * (k - 1) - p, 0) if back else p
            places = [before + p - t * d if back else t * d for t in range(k)]
            low.append(before)
            steps.append(places)
            padded.append(max(before + m, n + max(places, default=0)))
        self.low, self.steps, self.padded = tuple(low), steps, tuple(padded)
        self._key = (self.padded, tuple(map(tuple, steps)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Windows) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def offsets(self) -> np.ndarray[Any, Any]:
        """Offsets of all taps in a plane."""
        rows = self.steps[0] if len(self.steps) > 1 else [0]
        return np.array([r * self.padded[-1] + c for r in rows for c in self.steps[-1]])

    @staticmethod
    def two(size: Sizes) -> tuple[int, int]:
        """Sizes of one or two dimensions as those of two."""
        return (size[0], size[1]) if len(size) > 1 else (1, size[0])


def _pad(type: str, d: Any) -> str:
    """A row of a padded plane a work-item."""
    return f"""{d.kernel} k_pad({d.device} {type}* restrict out,
        const {d.device} {type}* restrict x, const i64 x_at, const i64 tall, const i64 broad,
        const i64 high, const i64 wide, const i64 up, const i64 left) {{
    const i64 row = GID(0), y = row - up;
    if (row >= high) return;
    out += (GID(1) * high + row) * wide;
    x += x_at + (GID(1) * tall + y) * broad;
    if (y < 0 || y >= tall) {{
        for (i64 c = 0; c < wide; c++) out[c] = 0;
        return;
    }}
    for (i64 c = 0; c < left; c++) out[c] = 0;
    for (i64 c = 0; c < broad; c++) out[left + c] = x[c];
    for (i64 c = left + broad; c < wide; c++) out[c] = 0;
}}"""


def _near(type: str, d: Any) -> str:
    """8 outputs by two vectors of positions a work-item."""
    vector, lanes = products.VECTORS[type]
    rows = products.ROWS
    zeros = ", ".join(f"c{r}{h} = 0" for r in range(rows) for h in (0, 1))
    steps = "\n".join(
        f"            s = a[{r}]; c{r}0 += s * b0; c{r}1 += s * b1;" for r in range(rows)
    )
    stores = "\n".join(_stored_half(type, d, half) for half in (0, 1))
    return f"""{d.contract}
{d.kernel} k_near({d.device} {type}* restrict out, const {d.device} {type}* restrict a,
        const {d.device} {type}* restrict x, const i64 x_at, const i64 plane,
        const {d.device} i32* restrict offsets, const i64 taps, const i64 channels,
        const i64 outputs, const i64 height, const i64 width, const i64 wide, const i64 step,
        const i64 columns, const i64 sample, const i64 k) {{
    typedef {vector} unaligned __attribute__((aligned(sizeof({type}))));
    const i64 i = GID(0) * {rows}, j0 = GID(1) * {2 * lanes}, n = GID(2);
    const i64 j1 = j0 + {lanes} < columns ? j0 + {lanes} : j0;
    a += GID(0) * k * {rows};
    x += x_at + n * sample;
    const {d.device} {type}* x0 = x + j0 / step * wide + j0 % step;
    const {d.device} {type}* x1 = x + j1 / step * wide + j1 % step;
    out += (n * outputs + i) * height * width;
    const int many = outputs - i < {rows} ? (int)(outputs - i) : {rows};
    {vector} {zeros};
    {type} s;
    for (i64 c = 0; c < channels; c++, x0 += plane, x1 += plane)
        for (i64 t = 0; t < taps; t++, a += {rows}) {{
            const {vector} b0 = *(const {d.device} unaligned*)(x0 + offsets[t]);
            const {vector} b1 = *(const {d.device} unaligned*)(x1 + offsets[t]);
{steps}
        }}
{stores}
}}"""


def _stored_half(type: str, d: Any, half: int) -> str:
    """Stores a vector of positions: at once where it lies in one row, else one by one."""
    _, lanes = products.VECTORS[type]
    rows = products.ROWS
    fast = " ".join(
        f"if ({r} < many) *({d.device} unaligned*)(to + {r} * height * width) = c{r}{half};"
        for r in range(rows)
    )
    kept = " ".join(f"*(unaligned*)(c + {r * lanes}) = c{r}{half};" for r in range(rows))
    condition = "1" if half == 0 else "j1 > j0"
    return f"""    if ({condition}) {{
        i64 y = j{half} / step, x_ = j{half} % step;
        if (x_ + {lanes} <= width) {{
            {d.device} {type}* to = out + y * width + x_;
            {fast}
        }} else {{
            {type} c[{rows * lanes}];
            {kept}
            for (int l = 0; l < {lanes}; l++) {{
                if ((x_ < width) & (y < height))
                    for (int r = 0; r < many; r++)
                        out[(r * height + y) * width + x_] = c[r * {lanes} + l];
                if (++x_ == step) {{ x_ = 0; y++; }}
            }}
        }}
    }}"""


def _weight(type: str, d: Any) -> str:
    """8 rows (channel, tap) of a gradient by a panel of outputs, over some samples, a work-item;
    and the sum of such parts."""
    vector, lanes = products.VECTORS[type]
    rows, width = products.ROWS, 2 * products.VECTORS[type][1]
    at = f"const {d.device} {type}*"
    places = "\n".join(
        f"    const i64 q{r} = i + {r} < rows ? i + {r} : rows - 1; "
        f"{at} p{r} = x + q{r} / taps * plane + offsets[q{r} % taps];"
        for r in range(rows)
    )
    zeros = ", ".join(f"c{r}{h} = 0" for r in range(rows) for h in (0, 1))
    lines = " ".join(f"{at} l{r} = p{r} + from;" for r in range(rows))
    steps = "\n".join(
        f"                s = l{r}[e]; c{r}0 += s * b0; c{r}1 += s * b1;" for r in range(rows)
    )
    kept = " ".join(
        f"*(unaligned*)(c + {r * width + h * lanes}) = c{r}{h};"
        for r in range(rows) for h in (0, 1)
    )  # fmt: skip
    return f"""{d.contract}
{d.kernel} k_near_weight({d.device} {type}* restrict out, {at} restrict x, const i64 x_at,
        const i64 plane, const {d.device} i32* restrict offsets, const i64 taps, const i64 rows,
        {at} restrict g, const i64 g_sample, const i64 positions, const i64 outputs,
        const i64 height, const i64 width, const i64 wide, const i64 sample, const i64 samples,
        const i64 each) {{
    typedef {vector} unaligned __attribute__((aligned(sizeof({type}))));
    const i64 i = GID(0) * {rows}, j = GID(1) * {width}, first = GID(2) * each;
    const i64 last = first + each < samples ? first + each : samples;
    x += x_at;
{places}
    {vector} {zeros};
    {type} s;
    for (i64 n = first; n < last; n++) {{
        {at} b = g + n * g_sample + GID(1) * positions * {width};
        for (i64 y = 0; y < height; y++) {{
            const i64 from = n * sample + y * wide;
            {lines}
            for (i64 e = 0; e < width; e++, b += {width}) {{
                const {vector} b0 = *(const {d.device} unaligned*)b;
                const {vector} b1 = *(const {d.device} unaligned*)(b + {lanes});
{steps}
            }}
        }}
    }}
    {type} c[{rows * width}];
    {kept}
    out += GID(2) * outputs * rows;
    const i64 many = rows - i < {rows} ? rows - i : {rows};
    for (i64 l = 0; l < {width} && j + l < outputs; l++)
        for (i64 r = 0; r < many; r++) out[(j + l) * rows + i + r] = c[r * {width} + l];
}}
{d.kernel} k_near_total({d.device} {type}* restrict out, {at} restrict parts, const i64 size,
        const i64 count) {{
    const i64 i = GID(0);
    if (i >= size) return;
    {type} sum = 0;
    for (i64 p = 0; p < count; p++) sum += parts[p * size + i];
    out[i] = sum;
}}"""
