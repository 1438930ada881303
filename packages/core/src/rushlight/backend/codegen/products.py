"""The text of matrix products: kernels that share one signature, and what they are called with.

    out[z, i, j] = alpha * sum over t of a[z, i, t] * b[z, t, j] + beta * x[z, i, j]

Every operand has a step for each index, so transposed and broadcast ones are read where they lie.
A batch index `z` is split in two, outer and inner, each with a step per operand. Columns of the
result may be split too: `j` lies at (j / split) * c_split + j % split, which is how a convolution
writes the samples of a batch.

Whole numbers are multiplied as unsigned ones, which wrap around; 16-bit floats in float32.

CPU flavour: operands are packed into panels, [columns / P][k][P] of the right one, and a work-item
owns 8 rows of a panel in vector registers. Its text has the language's vectors. GPU flavour: a
work-group computes a tile of 64 by 64 elements from slices in local memory.
"""

from __future__ import annotations

from typing import Any

from ..._dtypes import DType, bool_
from .dialect import Dialect, suffix
from .printing import loaded, memory_type

ROWS = 8
TILE = 64
SLICE = 16
#: Steps that a work-item packs.
STEPS = 64
#: The vector type of a CPU's kernels, and its lanes; a panel is two of them wide.
VECTORS = {"f32": ("float16", 16), "f64": ("double8", 8), "u32": ("uint16", 16),
           "u64": ("ulong8", 8)}  # fmt: skip
_NUMBERS = (
    "rows columns k inner c_batch c_row split c_split c_at"  # sizes, and where the result lies
).split()
_STEPS = {"a": "am ak", "b": "bk bn", "x": "xm xn"}


def wide(dtype: DType) -> str:
    """The type that products of a dtype are summed in."""
    if dtype.is_complex or dtype.is_floating_point:
        return "f32" if dtype.is_reduced else suffix(dtype)
    return "u64" if dtype.itemsize == 8 else "u32"


def read(text: str, dtype: DType) -> str:
    """An element in memory as it is multiplied."""
    value = loaded(text, dtype)
    return value if dtype.is_complex else f"({wide(dtype)})({value})"


def written(text: str, dtype: DType) -> str:
    """A sum as memory of the dtype holds it."""
    if dtype is bool_:
        return f"(u8)(({text}) != 0)"
    if dtype.is_reduced:
        return f"f32_to_{suffix(dtype)}({text})"
    return text if dtype.is_complex else f"({memory_type(dtype)})({text})"


def _times(x: str, y: str, type: str) -> str:
    return f"mul_{type}({x}, {y})" if type in ("c64", "c128") else f"({x}) * ({y})"


def _plus(x: str, y: str, type: str) -> str:
    return f"add_{type}({x}, {y})" if type in ("c64", "c128") else f"{x} + {y}"


def signature(dtype: DType) -> str:
    """The arguments of every product: out; a, b, x with offset and steps; factors; sizes."""
    operand = "p i64 i64 i64 i64 i64"
    number = wide(dtype)
    return f"p {operand} {operand} {operand} {number} {number} " + " ".join(["i64"] * len(_NUMBERS))


def _head(name: str, dtype: DType, d: Dialect, packed: str) -> str:
    """The first lines of a product; operands named in `packed` are of the wide type."""
    kind = memory_type(dtype)
    arguments = [f"{d.device} {kind}* out"]
    for operand, steps in _STEPS.items():
        type = wide(dtype) if operand in packed else kind
        arguments.append(f"const {d.device} {type}* {operand}")
        names = [f"{operand}_at", f"{operand}o", f"{operand}i", *steps.split()]
        arguments += [f"const i64 {n}" for n in names]
    arguments += [f"const {wide(dtype)} {n}" for n in ("alpha", "beta")]
    arguments += [f"const i64 {n}" for n in _NUMBERS]
    return f"{d.kernel} {name}({', '.join(arguments)}) {{"


def _batch(z: str) -> str:
    return f"""    const i64 zo = ({z}) / inner, zi = ({z}) % inner;
    a += a_at + zo * ao + zi * ai;
    b += b_at + zo * bo + zi * bi;
    x += x_at + zo * xo + zi * xi;
    out += c_at + ({z}) * c_batch;"""


def _stores(i: str, j: str, place: str, value: str, dtype: DType) -> str:
    """Statements that finish one element; x is not read where beta is 0."""
    type = wide(dtype)
    scaled = _times("alpha", value, type)
    added = _plus(scaled, _times("beta", read(f"x[({i}) * xm + ({j}) * xn]", dtype), type), type)
    none = "(beta.x == 0 && beta.y == 0)" if dtype.is_complex else "beta == 0"
    return (
        f"if ({none}) out[{place}] = {written(scaled, dtype)};"
        f" else out[{place}] = {written(added, dtype)};"
    )


def _column(j: str) -> str:
    return f"(({j}) / split) * c_split + ({j}) % split"


def direct(dtype: DType, d: Dialect) -> str:
    """One element a work-item, for any dtype and size."""
    type = wide(dtype)
    step = _plus("sum", _times(read("a[t * ak]", dtype), read("b[t * bk]", dtype), type), type)
    zero = f"MAKE_{type}(0, 0)" if dtype.is_complex else "0"
    return f"""{_head("k_direct", dtype, d, "")}
    const i64 j = GID(0), i = GID(1), z = GID(2);
    if (j >= columns || i >= rows) return;
{_batch("z")}
    a += i * am;
    b += j * bn;
    {type} sum = {zero};
    for (i64 t = 0; t < k; t++) sum = {step};
    {_stores("i", "j", f"i * c_row + {_column('j')}", "sum", dtype)}
}}"""


def dots(dtype: DType, d: Dialect) -> str:
    """Rows of `a` times a column, both contiguous: part of a sum a work-item, then the total."""
    type, lanes = wide(dtype), 16
    step = _times(read("a[t + l]", dtype), read("b[t + l]", dtype), type)
    last = _times(read("a[t]", dtype), read("b[t]", dtype), type)
    kind = memory_type(dtype)
    return f"""{d.kernel} k_dots({d.device} {type}* parts, const {d.device} {kind}* a,
        const i64 a_at, const i64 am, const {d.device} {kind}* b, const i64 b_at,
        const i64 rows, const i64 k, const i64 chunk) {{
    const i64 i = GID(0), part = GID(1);
    if (i >= rows) return;
    a += a_at + i * am;
    b += b_at;
    i64 t = part * chunk;
    const i64 end = t + chunk < k ? t + chunk : k;
    {type} sums[{lanes}];
    for (int l = 0; l < {lanes}; l++) sums[l] = 0;
    for (; t + {lanes} <= end; t += {lanes})
        for (int l = 0; l < {lanes}; l++) sums[l] += {step};
    {type} sum = 0;
    for (; t < end; t++) sum += {last};
    for (int l = 0; l < {lanes}; l++) sum += sums[l];
    parts[part * rows + i] = sum;
}}
{d.kernel} k_total({d.device} {kind}* out, const {d.device} {type}* parts, const i64 rows,
        const i64 count) {{
    const i64 i = GID(0);
    if (i >= rows) return;
    {type} sum = 0;
    for (i64 p = 0; p < count; p++) sum += parts[p * rows + i];
    out[i] = {written("sum", dtype)};
}}"""


DOTS_SIGNATURES = {"k_dots": "p p i64 i64 p i64 i64 i64 i64", "k_total": "p p i64 i64"}


def pack(dtype: DType, d: Dialect) -> str:
    """Packs `STEPS` steps of a panel a work-item; lanes beyond the end become 0."""
    type = wide(dtype)
    near, far = read("from[l]", dtype), read("from[t * step]", dtype)
    # What is multiplied has the bits that lie in memory.
    same = type in VECTORS and int(type[1:]) == 8 * dtype.itemsize
    fast = _whole_panels(dtype, d) if same else ""
    return f"""{d.kernel} k_pack({d.device} {type}* out, const {d.device} {memory_type(dtype)}* x,
        const i64 x_at, const i64 xo, const i64 xi, const i64 inner, const i64 lane,
        const i64 lanes, const i64 k, const i64 step, const i64 width) {{
    const i64 z = GID(2), panel = GID(1), panels = GROUPS(1);
    const i64 start = GID(0) * {STEPS};
    i64 count = k - start < {STEPS} ? k - start : {STEPS};
    const i64 here = lanes - panel * width < width ? lanes - panel * width : width;
    x += x_at + (z / inner) * xo + (z % inner) * xi + panel * width * lane + start * step;
    out += ((z * panels + panel) * k + start) * width;
{fast}
    if (lane == 1) {{
        for (i64 t = 0; t < count; t++) {{
            const {d.device} {memory_type(dtype)}* from = x + t * step;
            for (i64 l = 0; l < here; l++) out[t * width + l] = {near};
        }}
    }} else {{  // along each lane, so that a line of the cache is used up before the next
        for (i64 l = 0; l < here; l++) {{
            const {d.device} {memory_type(dtype)}* from = x + l * lane;
            for (i64 t = 0; t < count; t++) out[t * width + l] = {far};
        }}
    }}
    for (i64 t = 0; t < count; t++)
        for (i64 l = here; l < width; l++) out[t * width + l] = 0;
}}"""


def _whole_panels(dtype: DType, d: Dialect) -> str:
    """Packing by whole vectors: rows that lie as they will, or blocks that are transposed."""
    vector, lanes = VECTORS[wide(dtype)]
    half = vector.replace("16", "8") if lanes == 16 else vector
    pointer = f"{d.device} unaligned*"

    def copied(kind: str, width: int, at: int = 0) -> str:
        return (
            f"*({d.device} {kind}*)(out + t * {width} + {at}) ="
            f" *(const {d.device} {kind}*)(x + t * step + {at});"
        )

    def block(rows: int, width: int, at: int) -> str:
        """Transposes `rows` lanes of as many steps as a vector has."""
        names = [f"v{n}" for n in range(rows)]
        lines = [f"const {vector} {v} = *(const {pointer})(from + {n} * lane);"
                 for n, v in enumerate(names)]  # fmt: skip
        # Each round moves the highest bit of a row's number below the bits of the column's.
        for turn in range(rows.bit_length() - 1):
            made = [f"{chr(ord('a') + turn)}{n}" for n in range(rows)]
            for n in range(rows):
                x, y = names[n // 2], names[n // 2 + rows // 2]
                first = n % 2 * lanes // 2
                pairs = ", ".join(
                    f"{v}.s{m:x}" for m in range(first, first + lanes // 2) for v in (x, y)
                )
                lines.append(f"const {vector} {made[n]} = ({vector})({pairs});")
            names = made
        step = lanes if width == rows else width
        lines += [f"*({pointer})(to + {at} + {n} * {step}) = {v};" for n, v in enumerate(names)]
        return "\n            ".join(lines)

    return f"""    typedef {vector} unaligned __attribute__((aligned(sizeof({wide(dtype)}))));
    typedef {half} unaligned_half __attribute__((aligned(sizeof({wide(dtype)}))));
    if (lane == 1 && here == width) {{
        if (width == {ROWS}) {{
            for (i64 t = 0; t < count; t++) {{ {copied("unaligned_half", ROWS)} }}
        }} else {{
            for (i64 t = 0; t < count; t++) {{
                {copied("unaligned", 2 * lanes)} {copied("unaligned", 2 * lanes, lanes)}
            }}
        }}
        return;
    }}
    if (step == 1 && here == width && count >= {lanes}) {{
        const i64 whole = count / {lanes} * {lanes};
        for (int l = 0; l < width; l += width == {ROWS} ? {ROWS} : {lanes})
        for (i64 t = 0; t < whole; t += {lanes}) {{
            const {d.device} {memory_type(dtype)}* from = x + l * lane + t;
            {d.device} {wide(dtype)}* to = out + t * width + l;
            if (width == {ROWS}) {{
            {block(ROWS, ROWS, 0)}
            }} else {{
            {block(lanes, 2 * lanes, 0)}
            }}
        }}
        x += whole;
        out += whole * width;
        count -= whole;
    }}"""


PACK_SIGNATURE = "p p i64 i64 i64 i64 i64 i64 i64 i64 i64"


def _finished_half(dtype: DType, d: Dialect, half: int) -> str:
    """Stores half the columns of a tile: whole vectors where they stay in one piece and nothing,
    or a row that is contiguous, is added; else element by element."""
    type = wide(dtype)
    lanes = VECTORS[type][1]
    saved = " ".join(f"*(unaligned*)(c + {r * lanes}) = c{r}{half};" for r in range(ROWS))
    store = _stores("i + r", "j + l", "i * c_row + at + r * c_row", f"c[r * {lanes} + l]", dtype)
    fast = ""
    if memory_type(dtype) == type:
        plain, added = (
            " ".join(
                f"if ({r} < height) *({d.device} unaligned*)(to + {r} * c_row) = alpha * c{r}{half}"
                f"{more.format(r=r)};"
                for r in range(ROWS)
            )
            for more in ("", f" + beta * *(const {d.device} unaligned*)(add + {{r}} * xm)")
        )
        fast = f"""if (whole && (beta == 0 || xn == 1)) {{
            {d.device} {type}* to = out + i * c_row + {_column("j")};
            if (beta == 0) {{ {plain} }}
            else {{
                const {d.device} {type}* add = x + i * xm + j;
                {added}
            }}
        }} else """
    return f"""    if (columns > first + {half * lanes}) {{
        const i64 j = first + {half * lanes};
        const i64 many = columns - j < {lanes} ? columns - j : {lanes};
        const int whole = many == {lanes} && (split == columns || j % split + {lanes} <= split);
        {fast}{{
            {type} c[{ROWS * lanes}];
            {saved}
            for (i64 l = 0; l < many; l++) {{
                const i64 at = {_column("j + l")};
                for (i64 r = 0; r < height; r++) {{ {store} }}
            }}
        }}
    }}"""


def panel_tile(dtype: DType, d: Dialect, packed_rows: bool) -> str:
    """8 rows of a panel a work-item. The left operand is packed in panels of 8 rows, or has rows
    that are contiguous in memory and of the wide type."""
    type = wide(dtype)
    vector, lanes = VECTORS[type]
    width = 2 * lanes
    left = "ab" if packed_rows else "b"
    accumulators = ", ".join(f"c{r}{h} = 0" for r in range(ROWS) for h in (0, 1))
    if packed_rows:
        places = "    a += GID(0) * k * am;"
        element = "a[t * 8 + {r}]"
    else:
        places = "\n".join(
            f"    const i64 r{r} = (i + {r} < rows ? i + {r} : rows - 1) * am;" for r in range(ROWS)
        )
        element = "a[r{r} + t]"
    steps = "\n".join(
        f"        s = {element.format(r=r)}; c{r}0 += s * b0; c{r}1 += s * b1;" for r in range(ROWS)
    )
    halves = "\n".join(_finished_half(dtype, d, half) for half in (0, 1))
    name = "k_tile_packed" if packed_rows else "k_tile_rows"
    return f"""{d.contract}
{_head(name, dtype, d, left)}
    typedef {vector} unaligned __attribute__((aligned(sizeof({type}))));
    const i64 i = GID(0) * {ROWS}, first = GID(1) * {width};
{_batch("GID(2)")}
    b += GID(1) * k * {width};
{places}
    {vector} {accumulators};
    {type} s;
    for (i64 t = 0; t < k; t++, b += {width}) {{
        const {vector} b0 = *(const {d.device} unaligned*)b;
        const {vector} b1 = *(const {d.device} unaligned*)(b + {lanes});
{steps}
    }}
    const i64 height = rows - i < {ROWS} ? rows - i : {ROWS};
{halves}
}}"""


def local_tile(dtype: DType, d: Dialect) -> str:
    """A tile of 64 by 64 elements a work-group of 16 by 16, 4 by 4 a work-item."""
    type = wide(dtype)
    zero = f"MAKE_{type}(0, 0)" if dtype.is_complex else "0"
    side = TILE // 4
    step = _plus("sums[r][q]", _times("left[r]", "right[q]", type), type)
    a, b = (
        read("a[(i + e) * am + (t + u) * ak]", dtype),
        read("b[(t + u) * bk + (j + e) * bn]", dtype),
    )
    return f"""{_head("k_tile", dtype, d, "")}
    {d.local} {type} as[{SLICE}][{TILE + 1}];
    {d.local} {type} bs[{SLICE}][{TILE + 1}];
    const i64 j = GROUP(0) * {TILE}, i = GROUP(1) * {TILE};
    const int lx = LID(0), ly = LID(1), me = ly * {side} + lx;
{_batch("GROUP(2)")}
    {type} sums[4][4];
    for (int r = 0; r < 4; r++) for (int q = 0; q < 4; q++) sums[r][q] = {zero};
    for (i64 t = 0; t < k; t += {SLICE}) {{
        for (int n = me; n < {TILE * SLICE}; n += {side * side}) {{
            {{
                const int e = ak == 1 ? n / {SLICE} : n % {TILE};
                const int u = ak == 1 ? n % {SLICE} : n / {TILE};
                as[u][e] = {zero};
                if (i + e < rows && t + u < k) as[u][e] = {a};
            }}
            {{
                const int e = bk == 1 ? n / {SLICE} : n % {TILE};
                const int u = bk == 1 ? n % {SLICE} : n / {TILE};
                bs[u][e] = {zero};
                if (j + e < columns && t + u < k) bs[u][e] = {b};
            }}
        }}
        {d.barrier}
        for (int u = 0; u < {SLICE}; u++) {{
            {type} left[4], right[4];
            for (int r = 0; r < 4; r++) left[r] = as[u][ly + {side} * r];
            for (int q = 0; q < 4; q++) right[q] = bs[u][lx + {side} * q];
            for (int r = 0; r < 4; r++) for (int q = 0; q < 4; q++) sums[r][q] = {step};
        }}
        {d.barrier}
    }}
    for (int r = 0; r < 4; r++) for (int q = 0; q < 4; q++) {{
        const i64 row = i + ly + {side} * r, column = j + lx + {side} * q;
        if (row < rows && column < columns) {{
            {_stores("row", "column", f"row * c_row + {_column('column')}", "sums[r][q]", dtype)}
        }}
    }}
}}"""


__all__: list[Any] = [
    "DOTS_SIGNATURES", "PACK_SIGNATURE", "ROWS", "SLICE", "STEPS", "TILE", "VECTORS", "direct",
    "dots", "local_tile", "pack", "panel_tile", "read", "signature", "wide", "written",
]  # fmt: skip
