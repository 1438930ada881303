"""Lines of numbers through all passes of a Fourier transform, in memory that is near.

Stockham's algorithm: every pass takes butterflies out of one buffer and lays them into another, so
that the last one leaves the frequencies in order.  One program serves all lengths; which
butterflies a length has is an argument.

In the CPU flavour a work-item takes 16 lines at a time, whose elements lie side by side in scratch
memory: compilers make vectors of them whatever the length is.  In the GPU flavour a work-group
shares as many lines as its local memory holds.

References:
    Stockham (1966), High-speed convolution and correlation. AFIPS Spring Joint Computer Conference.
    Van Loan (1992), Computational Frameworks for the Fast Fourier Transform. SIAM.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..._dtypes import DType, float32
from .array import DeviceArray, coalesced
from .butterflies import WRITTEN, butterfly
from .dialect import suffix
from .printing import program
from .roots import SPLIT, Roots

#: Work-items of a group, and lines that it takes at most.
GROUP = 128
_MOST_LINES = 64
#: Dimensions that lines are spread over, at most.
RANK = 4


@dataclass(frozen=True)
class Side:
    """Where lines are read or written; all numbers count parts, that is real numbers.

    Attributes:
        array: The memory, as an array of parts that begins where the first line does.
        strides: Steps from line to line, one for each dimension of lines.
        step: Steps along a line.
        real, imag: Where in an element its parts are, -1 for a part that is not there.
    """

    array: DeviceArray
    strides: tuple[int, ...]
    step: int
    real: int = 0
    imag: int = 1

    def swapped(self) -> Side:
        """The same with its parts changed over, which turns a transform into its inverse."""
        return Side(self.array, self.strides, self.step, self.imag, self.real)


@dataclass(frozen=True)
class Turn:
    """Results times `root ** (k * i)` of a longer transform, for `k` along a line.

    Attributes:
        length: Of the longer transform.
        strides: What a step from line to line adds to `i`.
    """

    length: int
    strides: tuple[int, ...]


_POINTERS = ("out", "x", "scratch", "w", "coarse", "fine")
_NUMBERS = (
    ("n", "plan", "lines", "lanes", "turns", "out_step", "out_real", "out_imag", "x_step")
    + ("x_real", "x_imag", "out_at", "x_at")
    + tuple(f"n{r}" for r in range(RANK))
    + tuple(f"{side}_s{r}" for side in ("out", "x", "turn") for r in range(RANK))
)  # fmt: skip


class Stockham:
    """The kernel for one device and type of parts.

    Args:
        device: The launcher.
        part: float32 or float64.
        roots: Tables of roots of one.
    """

    def __init__(self, device: Any, part: DType, roots: Roots) -> None:
        self.device = device
        self.part = part
        self.roots = roots
        self.gpu = device.flavour == "gpu"
        #: Lines side by side: 64 bytes of each part.
        self.lanes = 16 if part is float32 else 8
        #: The longest line that is near memory's.
        self.longest = 2048 if not self.gpu else 1024 if part is float32 else 512
        self._launch: Any = None

    def __call__(
        self,
        n: int,
        plan: tuple[int, ...],
        shape: tuple[int, ...],
        out: Side,
        x: Side,
        scale: float = 1.0,
        turn: Turn | None = None,
    ) -> None:
        """Transforms lines; `out` may be `x`.

        Args:
            n: Length of the lines.
            plan: Its butterflies.
            shape: The lines.
            out: Where to.
            x: Where from.
            scale: Factor of the results.
            turn: What they are turned by.
        """
        lines = math.prod(shape)
        turned = turn.strides if turn else (0,) * len(shape)
        order = sorted(range(len(shape)), key=lambda d: -abs(out.strides[d]))
        sizes, steps = coalesced(
            tuple([shape[d] for d in order]),
            [tuple([s[d] for d in order]) for s in (out.strides, x.strides, turned)],
        )
        missing = RANK - len(sizes)
        spread = [*sizes, *[1] * missing]
        for step in steps:
            spread += [*step, *[0] * missing]
        w = self.roots.all(n)
        coarse, fine = self.roots.split(turn.length) if turn else (w, w)
        code = 0
        for r in reversed(plan):
            code = code << 5 | r
        device = self.device
        if self.gpu:
            lanes = max(1, min(_MOST_LINES, self.longest // n))
            size, local, scratch = -(-lines // lanes) * GROUP, GROUP, w
        else:
            lanes = self.lanes
            size, local = min(-(-lines // lanes), max(1, device.parallelism // 4)), 1
            scratch = device.empty((size * 4 * n * lanes,), self.part)
        if self._launch is None:
            self._launch = self._compiled()
        self._launch(
            (size,), (local,), out.array.buffer, x.array.buffer,
            *[table.buffer for table in (scratch, w, coarse, fine)], scale,
            n, code, lines, lanes, int(turn is not None), out.step, out.real, out.imag, x.step,
            x.real, x.imag, out.array.offset, x.array.offset, *spread,
        )  # fmt: skip

    # -- text ------------------------------------------------------------------------------------

    def _compiled(self) -> Any:
        d, t = self.device.dialect, suffix(self.part)
        arguments = [f"{'' if k in (0, 2) else 'const '}{d.device} T* {name}"
                     for k, name in enumerate(_POINTERS)]  # fmt: skip
        arguments += ["const T scale", *[f"const i64 {name}" for name in _NUMBERS]]
        words = ["p"] * len(_POINTERS) + [t] + ["i64"] * len(_NUMBERS)
        body = self._group_text() if self.gpu else self._item_text()
        text = f"{d.kernel} k_lines({', '.join(arguments)}) {{\n{body}\n}}"
        functions = [] if self.gpu else [self._pass(r) for r in (*WRITTEN, 0)]
        # The product and the sum in one operation: faster, and closer.
        texts = [f"{d.contract}\n#define T {t}\n#define LANES {self.lanes}", *functions, text]
        source = program(texts, d, self.device.double)
        return self.device.compile(source, {"k_lines": " ".join(words)})["k_lines"]

    def _pass(self, r: int) -> str:
        """A pass of the CPU flavour as a function; `r` of 0 is for primes without statements."""
        d = self.device.dialect
        inner = f"""        for (i64 q = 0; q < s; q++) {{
            const {d.device} T* u = a + (q + s * p) * LANES;
            {d.device} T* v = b + (q + s * r * p) * LANES;"""
        if r:
            body = f"""        {_factors(r, "p * s")}
{inner}
            #pragma clang loop vectorize(assume_safety)
            for (int j = 0; j < LANES; j++) {{
                {_moved(r, "u[j + {}]", "v[j + {}]", "plane", "m * s * LANES", "s * LANES")}
            }}
        }}"""
        else:
            body = f"""{inner}
            for (i64 k = 0; k < r; k++) {{
                T sr[LANES], si[LANES];
                for (int j = 0; j < LANES; j++) sr[j] = si[j] = 0;
                const i64 turn = k * (n / r);
                i64 e = k * p * s;
                for (i64 l = 0; l < r; l++) {{
                    const T wr = w[2 * e], wi = w[2 * e + 1];
                    const {d.device} T* ul = u + l * m * s * LANES;
                    for (int j = 0; j < LANES; j++) {{
                        sr[j] += ul[j] * wr - ul[plane + j] * wi;
                        si[j] += ul[j] * wi + ul[plane + j] * wr;
                    }}
                    e += turn;
                    if (e >= n) e -= n;
                }}
                {d.device} T* vk = v + k * s * LANES;
                for (int j = 0; j < LANES; j++) {{ vk[j] = sr[j]; vk[plane + j] = si[j]; }}
            }}
        }}"""
        return f"""{d.function} void pass_{r}(const {d.device} T* restrict a,
    {d.device} T* restrict b, const {d.device} T* restrict w, const i64 n, const i64 s,
    const i64 m{", const i64 r" if not r else ""}) {{
    const i64 plane = n * LANES{f", r = {r}" if r else ""};
    for (i64 p = 0; p < m; p++) {{
{body}
    }}
}}"""

    def _item_text(self) -> str:
        """The kernel of the CPU flavour."""
        d = self.device.dialect
        cases = " ".join(f"case {r}: pass_{r}(a, b, w, n, s, m); break;" for r in WRITTEN)
        return f"""    const i64 plane = n * LANES;
    {d.device} T* a = scratch + (i64)GROUP(0) * 4 * plane;
    {d.device} T* b = a + 2 * plane;
    const i64 stride = (i64)GROUPS(0) * LANES;
    for (i64 first = (i64)GROUP(0) * LANES; first < lines; first += stride) {{
        i64 from[LANES], to[LANES], turn[LANES];
        bool from_near = true, to_near = true;
        const int count = lines - first < LANES ? (int)(lines - first) : LANES;
        for (int j = 0; j < LANES; j++) {{
            i64 line = first + (j < count ? j : count - 1);
            {_PLACES.format(j="j")}
            from_near = from_near && from[j] == from[0] + 2 * j;
            to_near = to_near && to[j] == to[0] + 2 * j;
        }}
        if (from_near && x_real >= 0 && x_imag >= 0) {{
            for (i64 i = 0; i < n; i++) {{
                const {d.device} T* u = x + from[0] + i * x_step;
                #pragma clang loop vectorize(assume_safety)
                for (int j = 0; j < LANES; j++) {{
                    a[i * LANES + j] = u[2 * j + x_real];
                    a[plane + i * LANES + j] = u[2 * j + x_imag];
                }}
            }}
        }} else {{
            // A cache line of every line of numbers at a time, however far apart they are.
            for (i64 start = 0; start < n; start += 8) {{
                const i64 stop = start + 8 < n ? start + 8 : n;
                for (int j = 0; j < LANES; j++)
                    for (i64 i = start; i < stop; i++) {{
                        const {d.device} T* u = x + from[j] + i * x_step;
                        a[i * LANES + j] = x_real < 0 ? 0 : u[x_real];
                        a[plane + i * LANES + j] = x_imag < 0 ? 0 : u[x_imag];
                    }}
            }}
        }}
        i64 s = 1, left = n;
        for (i64 rest = plan; rest; rest >>= 5) {{
            const i64 r = rest & 31, m = left / r;
            switch (r) {{ {cases} default: pass_0(a, b, w, n, s, m, r); }}
            left = m;
            s *= r;
            {d.device} T* c = a;
            a = b;
            b = c;
        }}
        if (turns) {{
            for (i64 k = 1; k < n; k++)
                for (int j = 0; j < LANES; j++) {{
                    {TURNED.format(turn="turn[j]", T="T")}
                    const T zr = a[k * LANES + j], zi = a[plane + k * LANES + j];
                    a[k * LANES + j] = zr * tr - zi * ti;
                    a[plane + k * LANES + j] = zr * ti + zi * tr;
                }}
        }}
        if (to_near && count == LANES && out_real >= 0 && out_imag >= 0) {{
            for (i64 i = 0; i < n; i++) {{
                {d.device} T* v = out + to[0] + i * out_step;
                #pragma clang loop vectorize(assume_safety)
                for (int j = 0; j < LANES; j++) {{
                    v[2 * j + out_real] = a[i * LANES + j] * scale;
                    v[2 * j + out_imag] = a[plane + i * LANES + j] * scale;
                }}
            }}
        }} else {{
            for (i64 start = 0; start < n; start += 8) {{
                const i64 stop = start + 8 < n ? start + 8 : n;
                for (int j = 0; j < count; j++)
                    for (i64 i = start; i < stop; i++) {{
                        {d.device} T* v = out + to[j] + i * out_step;
                        if (out_real >= 0) v[out_real] = a[i * LANES + j] * scale;
                        if (out_imag >= 0) v[out_imag] = a[plane + i * LANES + j] * scale;
                    }}
            }}
        }}
    }}"""

    def _group_text(self) -> str:
        """The kernel of the GPU flavour."""
        d = self.device.dialect
        near = "near_[u + {}]", "near_[v + {}]", "plane", "m * s * lanes", "s * lanes"
        cases = "\n".join(
            f"case {r}: for (i64 c = LID(0); c < butterflies; c += LSIZE(0)) {{ {_HERE}\n"
            f"{_factors(r, 'p * s')}\n"
            f"{_moved(r, *near)} }} break;"
            for r in WRITTEN
        )
        return f"""    {d.local} T near_[4 * {self.longest}];
    {d.local} i64 from[{_MOST_LINES}];
    {d.local} i64 to[{_MOST_LINES}];
    {d.local} i64 turn[{_MOST_LINES}];
    const i64 plane = n * lanes, first = (i64)GROUP(0) * lanes;
    const i64 count = lines - first < lanes ? lines - first : lanes;
    for (i64 j = LID(0); j < lanes; j += LSIZE(0)) {{
        i64 line = first + (j < count ? j : count - 1);
        {_PLACES.format(j="j")}
    }}
    {d.barrier}
    for (i64 c = LID(0); c < plane; c += LSIZE(0)) {{
        // Neighbours in memory go to neighbours among work-items.
        const i64 j = x_s0 < x_step ? c % lanes : c / n, i = x_s0 < x_step ? c / lanes : c % n;
        const i64 at = from[j] + i * x_step;
        near_[i * lanes + j] = x_real < 0 ? 0 : x[at + x_real];
        near_[plane + i * lanes + j] = x_imag < 0 ? 0 : x[at + x_imag];
    }}
    {d.barrier}
    i64 a = 0, b = 2 * plane, s = 1, left = n;
    for (i64 rest = plan; rest; rest >>= 5) {{
        const i64 r = rest & 31, m = left / r, butterflies = m * s * lanes;
        switch (r) {{
{cases}
default:
            for (i64 c = LID(0); c < butterflies * r; c += LSIZE(0)) {{
                const i64 k = c / butterflies, q = c % (s * lanes);
                const i64 p = c % butterflies / (s * lanes);
                T sr = 0, si = 0;
                i64 e = k * p * s;
                for (i64 l = 0; l < r; l++) {{
                    const T wr = w[2 * e], wi = w[2 * e + 1];
                    const i64 at = a + q + s * lanes * (p + l * m);
                    sr += near_[at] * wr - near_[at + plane] * wi;
                    si += near_[at] * wi + near_[at + plane] * wr;
                    e += k * (n / r);
                    if (e >= n) e -= n;
                }}
                const i64 at = b + q + s * lanes * (r * p + k);
                near_[at] = sr;
                near_[at + plane] = si;
            }}
        }}
        left = m;
        s *= r;
        const i64 other = a;
        a = b;
        b = other;
        {d.barrier}
    }}
    for (i64 c = LID(0); c < plane; c += LSIZE(0)) {{
        const i64 j = out_s0 < out_step ? c % lanes : c / n;
        const i64 k = out_s0 < out_step ? c / lanes : c % n;
        if (j >= count) continue;
        T zr = near_[a + k * lanes + j], zi = near_[a + plane + k * lanes + j];
        if (turns) {{
            {TURNED.format(turn="turn[j]", T="T")}
            const T yr = zr * tr - zi * ti;
            zi = zr * ti + zi * tr;
            zr = yr;
        }}
        const i64 at = to[j] + k * out_step;
        if (out_real >= 0) out[at + out_real] = zr * scale;
        if (out_imag >= 0) out[at + out_imag] = zi * scale;
    }}"""


# A line's place in memory, and what it is turned by.
_PLACES = """i64 r0 = line % n0; line /= n0; i64 r1 = line % n1; line /= n1;
            i64 r2 = line % n2; line /= n2;
            from[{j}] = x_at + r0 * x_s0 + r1 * x_s1 + r2 * x_s2 + line * x_s3;
            to[{j}] = out_at + r0 * out_s0 + r1 * out_s1 + r2 * out_s2 + line * out_s3;
            turn[{j}] = r0 * turn_s0 + r1 * turn_s1 + r2 * turn_s2 + line * turn_s3;"""
#: Statements that find the root a number is turned by: place `k` along the line times `{turn}`.
TURNED = f"""const i64 e = k * {{turn}}, high = e / {SPLIT}, low = e % {SPLIT};
            const {{T}} cr = coarse[2 * high], ci = coarse[2 * high + 1];
            const {{T}} fr = fine[2 * low], fi = fine[2 * low + 1];
            const {{T}} tr = cr * fr - ci * fi, ti = cr * fi + ci * fr;"""
_HERE = """const i64 q = c % (s * lanes), p = c / (s * lanes);
            const i64 u = a + q + s * lanes * p, v = b + q + s * lanes * r * p;"""


def _factors(r: int, power: str) -> str:
    """The roots that a butterfly's results are turned by."""
    lines = [f"const i64 e = 2 * ({power});"]
    lines += [f"const T w{k}r = w[{k} * e], w{k}i = w[{k} * e + 1];" for k in range(1, r)]
    return "\n".join(lines)


def _moved(r: int, u: str, v: str, plane: str, apart: str, near: str) -> str:
    """A butterfly from places `u` to places `v`, where elements are `apart` and `near`."""
    lines = []
    for k in range(r):
        at = f"{k} * {apart}"
        lines.append(f"const T x{k}r = {u.format(at)}, x{k}i = {u.format(f'{plane} + {at}')};")
    lines += [butterfly(r), f"{v.format('0')} = y0r; {v.format(plane)} = y0i;"]
    for k in range(1, r):
        at = f"{k} * {near}"
        lines.append(f"{v.format(at)} = y{k}r * w{k}r - y{k}i * w{k}i;")
        lines.append(f"{v.format(f'{plane} + {at}')} = y{k}r * w{k}i + y{k}i * w{k}r;")
    return "\n".join(lines)
