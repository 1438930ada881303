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
        high, wide = windows.two(windows.padded)
        buffer, at = x.buffer, x.offset
        if windows.padded != x.shape[2:]:
            full = device.empty((samples, channels, plane), self.dtype)
            tall, broad = windows.two(x.shape[2:])
            up, left = windows.low if len(windows.low) > 1 else (0, *windows.low)
            launches["k_pad"](
                (high, channels * samples), None, full.buffer, x.buffer, x.offset, tall, broad,
                high, wide, up, left,
            )  # fmt: skip
            buffer, at = full.buffer, 0
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

    def _compiled(self) -> dict[str, Any]:
        d = self.device.dialect
        body = [_pad(self.products.wide, d), _near(self.products.wide, d)]
        source = program(body, d, self.device.double)
        self._launches = self.device.compile(source, {"k_pad": _PAD, "k_near": _NEAR})
        return self._launches


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
