"""The text of convolutions' kernels; what they look at comes in tables (`windows`)."""

from __future__ import annotations

from typing import Any

from ..._dtypes import DType
from . import products
from .printing import memory_type

#: Arguments of each kernel.
DIRECT = "p p i64 p i64 p i64 i64 i64 i64 i64 i64 i64 i64 i64 i64"
WEIGHT = "p p i64 p i64 p i64 i64 i64 i64 i64 i64 i64"
RUNS = "p p i64 p p i64 i64 i64 i64 i64 i64 i64 i64"
TURN = "p p i64 i64 i64 i64"
FOLD = "p i64 p p i64 i64 i64"
GATHER = "p p i64 p i64 i64 i64 i64 i64 i64 i64 i64 i64"
#: Channels of a work-item that turns a weight.
TURNED = 8


def direct(dtype: DType, d: Any) -> str:
    """Kernels for one element of the result a work-item; for the two results that are planes, and
    for the weight."""
    type, kind = products.wide(dtype), memory_type(dtype)
    complex_ = dtype.is_complex
    zero = f"MAKE_{type}(0, 0)" if complex_ else "0"

    def step(sum_: str, x: str, y: str) -> str:
        x, y = products.read(x, dtype), products.read(y, dtype)
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
    out[(n * made + c) * positions + p] = {products.written("sum", dtype)};
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
    out[o * inner * taps + q] = {products.written("sum", dtype)};
}}"""


def gather(dtype: DType, d: Any) -> str:
    """Windows as the right operand of a product: rows (channel, tap), columns (sample, position),
    or with `turned` the other way."""
    kind = memory_type(dtype)
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
    const i64 columns = turned ? inner * taps : samples * positions;
    x += x_at + (n * channels + group * inner + c) * plane;
    const {kind} value = x[place < 0 ? 0 : place];
    out[group * group_step + row * columns + column] = place < 0 ? 0 : value;
}}"""


def runs(dtype: DType, d: Any) -> str:
    """The same for processors, for a row of a panel at a time, or of a matrix without `panels`.

    Neighbouring positions mostly look at neighbouring elements, so whole vectors are copied; what
    is written beyond a run is overwritten by the next.
    """
    kind = memory_type(dtype)
    vector, lanes = products.VECTORS[kind]
    width = 2 * lanes
    return f"""{d.kernel} k_runs({d.device} {kind}* out, const {d.device} {kind}* x, const i64 x_at,
        const {d.device} i32* table, const {d.device} i32* runs, const i64 positions,
        const i64 plane, const i64 channels, const i64 inner, const i64 taps, const i64 samples,
        const i64 panels, const i64 group_step) {{
    typedef {vector} unaligned __attribute__((aligned(sizeof({kind}))));
    const i64 block = GID(0), c = GID(1), group = GID(2);
    const i64 columns = samples * positions, rows = inner * taps, first = block * {width};
    const i64 count = columns - first < {width} ? columns - first : {width};
    x += x_at + (group * inner + c) * plane;
    out += group * group_step;
    for (i64 tap = 0; tap < taps; tap++) {{
        {kind} row[{width + lanes}];
        const {d.device} i32* places = table + tap * positions;
        const {d.device} i32* lengths = runs + tap * positions;
        i64 n = first / positions, p = first % positions, l = 0;
        while (l < count) {{
            const i64 place = places[p];
            const i64 m = lengths[p] < count - l ? lengths[p] : count - l;
            const {d.device} {kind}* from = x + n * channels * plane + place;
            if (place < 0) {{
                for (i64 j = 0; j < m; j += {lanes}) *(unaligned*)(row + l + j) = 0;
            }} else if (m == 1) {{
                row[l] = from[0];
            }} else {{
                for (i64 j = 0; j < m; j += {lanes})
                    *(unaligned*)(row + l + j) = *(const {d.device} unaligned*)(from + j);
            }}
            l += m;
            p += m;
            if (p == positions) {{ p = 0; n++; }}
        }}
        for (; l < {width}; l++) row[l] = 0;
        const i64 q = c * taps + tap;
        {d.device} {kind}* to = panels ? out + (block * rows + q) * {width}
            : out + q * columns + first;
        if (panels | (count == {width})) {{
            *({d.device} unaligned*)to = *(unaligned*)row;
            *({d.device} unaligned*)(to + {lanes}) = *(unaligned*)(row + {lanes});
        }} else for (l = 0; l < count; l++) to[l] = row[l];
    }}
}}"""


def fold(dtype: DType, d: Any) -> str:
    """Adds up what each tap of every window gives to an element of a plane."""
    kind = memory_type(dtype)
    return f"""{d.kernel} k_fold({d.device} {kind}* out, const i64 out_at,
        const {d.device} {kind}* x, const {d.device} i32* table, const i64 size,
        const i64 positions, const i64 taps) {{
    const i64 i = GID(0), c = GID(1);
    if (i >= size) return;
    x += c * taps * positions;
    {kind} sum = 0;
    for (i64 t = 0; t < taps; t++) {{
        const i32 place = table[t * size + i];
        if (place >= 0) sum += x[t * positions + place];
    }}
    out[out_at + c * size + i] = sum;
}}"""


def turn(dtype: DType, d: Any) -> str:
    """A weight (groups, outputs, channels, taps) with its channels before its outputs; some
    channels a work-item, whose taps are neighbours in memory."""
    kind = memory_type(dtype)
    return f"""{d.kernel} k_turn({d.device} {kind}* restrict out,
        const {d.device} {kind}* restrict w, const i64 w_at, const i64 outer,
        const i64 channels, const i64 taps) {{
    const i64 c = GID(0) * {TURNED}, group = GID(1);
    const i64 last = c + {TURNED} < channels ? c + {TURNED} : channels;
    w += w_at + group * outer * channels * taps;
    out += group * outer * channels * taps;
    for (i64 o = 0; o < outer; o++)
        for (i64 e = c; e < last; e++)
            for (i64 t = 0; t < taps; t++)
                out[(e * outer + o) * taps + t] = w[(o * channels + e) * taps + t];
}}"""
