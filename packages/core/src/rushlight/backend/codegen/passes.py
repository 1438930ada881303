"""The text of the kernel that takes lines through the passes of a Fourier transform."""

from __future__ import annotations

from .butterflies import WRITTEN, butterfly
from .dialect import Dialect
from .roots import SPLIT

#: Work-items of a group, and lines that it takes at most.
GROUP = 128
MOST_LINES = 64
#: Dimensions that lines are spread over, at most: two, and one more for each time that a line
#: was a matrix, which it is five times at the worst (powers of 23 in a GPU's float64).
RANK = 6
KINDS = ("complex", "parted", "joined")

_POINTERS = ("out", "x", "scratch", "w", "coarse", "fine")
_NUMBERS = (
    ("n", "plan", "lines", "lanes", "turns", "kind", "x_rows", "out_rows")
    + ("out_step", "out_real", "out_imag", "x_step", "x_real", "x_imag", "out_at", "x_at")
    + tuple(f"n{r}" for r in range(RANK))
    + tuple(f"{side}_s{r}" for side in ("out", "x", "turn") for r in range(RANK))
)


def signature(d: Dialect, part: str) -> tuple[str, str]:
    """The kernel's arguments, and their words for the launcher."""
    arguments = [
        f"{'' if name in ('out', 'scratch') else 'const '}{d.device} T* {name}"
        for name in _POINTERS
    ]
    arguments += ["const T scale", *[f"const i64 {name}" for name in _NUMBERS]]
    return ", ".join(arguments), " ".join(["p"] * len(_POINTERS) + [part] + ["i64"] * len(_NUMBERS))


def _places() -> str:
    """Where line `line`, the j-th here, lies in memory, and what it is turned by."""
    last = RANK - 1
    digits = [f"const i64 r{r} = line % n{r}; line /= n{r};" for r in range(last)]
    digits.append(f"const i64 r{last} = line;")
    for name, start, side in (
        ("from", "x_at", "x"),
        ("to", "out_at", "out"),
        ("turn", "0", "turn"),
    ):
        terms = " + ".join(f"r{r} * {side}_s{r}" for r in range(RANK))
        digits.append(f"{name}[j] = {start} + {terms};")
    return "\n".join(digits)


def turned(turn: str, part: str) -> str:
    """Statements that find the root that place `k` of a line is turned by, `tr` and `ti`."""
    return f"""const i64 e = k * {turn}, high = e / {SPLIT}, low = e % {SPLIT};
            const {part} cr = coarse[2 * high], ci = coarse[2 * high + 1];
            const {part} fr = fine[2 * low], fi = fine[2 * low + 1];
            const {part} tr = cr * fr - ci * fi, ti = cr * fi + ci * fr;"""


def _factors(r: int) -> str:
    """The roots that a butterfly's results are turned by."""
    lines = ["const i64 e = 2 * p * s;"]
    lines += [f"const T w{k}r = w[{k} * e], w{k}i = w[{k} * e + 1];" for k in range(1, r)]
    return "\n".join(lines)


def _moved(r: int, u: str, v: str, apart: str, near: str) -> str:
    """A butterfly from places `u` to places `v`, where elements are `apart` and `near`."""
    lines = []
    for k in range(r):
        at = f"{k} * {apart}"
        lines.append(f"const T x{k}r = {u.format(at)}, x{k}i = {u.format(f'plane + {at}')};")
    lines += [butterfly(r), f"{v.format('0')} = y0r; {v.format('plane')} = y0i;"]
    for k in range(1, r):
        at = f"{k} * {near}"
        lines.append(f"{v.format(at)} = y{k}r * w{k}r - y{k}i * w{k}i;")
        lines.append(f"{v.format(f'plane + {at}')} = y{k}r * w{k}i + y{k}i * w{k}r;")
    return "\n".join(lines)


def _first(a: str, ai: str, b: str, bi: str, kind: str) -> str:
    """What `_pair` is for frequencies 0 and `n`, whose imaginary parts are zero."""
    if kind == "parted":
        return f"const T s0 = {a}, s1 = {ai}; {a} = s0 + s1; {b} = s0 - s1; {ai} = {bi} = 0;"
    return f"const T s0 = {a}, s1 = {b}; {ai} = s0 + s1; {a} = s0 - s1;"


def _pair(a: str, ai: str, b: str, bi: str, kind: str) -> str:
    """Frequencies `k` and `n - k` of real lines, made in place.

    A line z of n complex numbers holds the even elements of a real line as real parts and the odd
    ones as imaginary parts.  Joined ones are stored with their parts changed over.
    """
    if kind == "parted":
        return f"""const T er = (T)0.5 * ({a} + {b}), ei = (T)0.5 * ({ai} - {bi});
            const T dr = (T)0.5 * ({ai} + {bi}), di = (T)0.5 * ({b} - {a});
            const T gr = dr * tr - di * ti, gi = dr * ti + di * tr;
            {a} = er + gr; {ai} = ei + gi; {b} = er - gr; {bi} = gi - ei;"""
    return f"""const T er = {a} + {b}, ei = {ai} - {bi}, dr = {a} - {b}, di = {ai} + {bi};
            const T gr = dr * tr + di * ti, gi = di * tr - dr * ti;
            {ai} = er - gi; {a} = ei + gr; {bi} = er + gi; {b} = gr - ei;"""


# -- the CPU's: a work-item has LANES lines side by side -------------------------------------------

#: What follows is a loop over lanes, and these do not touch each other.
_VECTOR = """#pragma clang loop vectorize(assume_safety)
                for (int j = 0; j < LANES; j++)"""


def _pass(d: Dialect, r: int) -> str:
    """A pass as a function; `r` of 0 is for primes without statements."""
    inner = f"""for (i64 q = 0; q < s; q++) {{
            const {d.device} T* u = a + (q + s * p) * LANES;
            {d.device} T* v = b + (q + s * r * p) * LANES;"""
    if r:
        moved = _moved(r, "u[j + {}]", "v[j + {}]", "m * s * LANES", "s * LANES")
        body = f"{_factors(r)}\n{inner}\n{_VECTOR} {{ {moved} }}\n}}"
    else:
        body = f"""{inner}
            for (i64 k = 0; k < r; k++) {{
                T sr[LANES], si[LANES];
                for (int j = 0; j < LANES; j++) sr[j] = si[j] = 0;
                i64 e = k * p * s;
                for (i64 l = 0; l < r; l++) {{
                    const T wr = w[2 * e], wi = w[2 * e + 1];
                    const {d.device} T* ul = u + l * m * s * LANES;
                    for (int j = 0; j < LANES; j++) {{
                        sr[j] += ul[j] * wr - ul[plane + j] * wi;
                        si[j] += ul[j] * wi + ul[plane + j] * wr;
                    }}
                    e += k * (n / r);
                    if (e >= n) e -= n;
                }}
                {d.device} T* vk = v + k * s * LANES;
                for (int j = 0; j < LANES; j++) {{ vk[j] = sr[j]; vk[plane + j] = si[j]; }}
            }}
        }}"""
    return f"""{d.function} void pass_{r}(const {d.device} T* restrict a,
    {d.device} T* restrict b, const {d.device} T* restrict w, const i64 n, const i64 s,
    const i64 m{"" if r else ", const i64 r"}) {{
    const i64 plane = (n + 1) * LANES{f", r = {r}" if r else ""};
    for (i64 p = 0; p < m; p++) {{
        {body}
    }}
}}"""


def _real(d: Dialect, kind: str) -> str:
    """What comes after the passes of real lines, or before them, as a function."""
    rows = "a[k * LANES + j]", "a[plane + k * LANES + j]"
    mirrored = "a[(n - k) * LANES + j]", "a[plane + (n - k) * LANES + j]"
    return f"""{d.function} void {kind}({d.device} T* restrict a,
    const {d.device} T* restrict coarse, const i64 n) {{
    const i64 plane = (n + 1) * LANES;
    {{
        const i64 k = 0;
        {_VECTOR} {{ {_first(*rows, *mirrored, kind)} }}
    }}
    for (i64 k = 1; 2 * k <= n; k++) {{
        const T tr = coarse[2 * k], ti = coarse[2 * k + 1];
        {_VECTOR} {{ {_pair(*rows, *mirrored, kind)} }}
    }}
}}"""


def _loaded(d: Dialect, apart: int) -> str:
    """Reads lines that are one or two parts apart."""
    return f"""if (from_near == {apart}) {{
            for (i64 i = 0; i < x_rows; i++) {{
                const {d.device} T* u = x + from[0] + i * x_step;
                {_VECTOR} {{
                    a[i * LANES + j] = u[{apart} * j + x_real];
                    a[plane + i * LANES + j] = u[{apart} * j + x_imag];
                }}
            }}
        }}"""


def _stored(d: Dialect, apart: int) -> str:
    """Writes lines that are one or two parts apart."""
    return f"""if (to_near == {apart}) {{
            for (i64 i = 0; i < out_rows; i++) {{
                {d.device} T* v = out + to[0] + i * out_step;
                {_VECTOR} {{
                    v[{apart} * j + out_real] = a[i * LANES + j] * scale;
                    v[{apart} * j + out_imag] = a[plane + i * LANES + j] * scale;
                }}
            }}
        }}"""


def item_texts(d: Dialect) -> list[str]:
    """Functions, and the kernel's body."""
    passes = [_pass(d, r) for r in (*WRITTEN, 0)]
    cases = " ".join(f"case {r}: pass_{r}(a, b, w, n, s, m); break;" for r in WRITTEN)
    body = f"""    const i64 plane = (n + 1) * LANES, stride = (i64)GROUPS(0) * LANES;
    {d.device} T* a = scratch + (i64)GROUP(0) * 4 * plane;
    {d.device} T* b = a + 2 * plane;
    for (i64 first = (i64)GROUP(0) * LANES; first < lines; first += stride) {{
        i64 from[LANES], to[LANES], turn[LANES];
        // How far the lines are apart, if they all are that and it is little.
        i64 from_near = x_real >= 0 && x_imag >= 0 ? x_s0 : 0;
        i64 to_near = out_real >= 0 && out_imag >= 0 && lines - first >= LANES ? out_s0 : 0;
        const int count = lines - first < LANES ? (int)(lines - first) : LANES;
        for (int j = 0; j < LANES; j++) {{
            i64 line = first + (j < count ? j : count - 1);
            {_places()}
            if (from[j] != from[0] + from_near * j) from_near = 0;
            if (to[j] != to[0] + to_near * j) to_near = 0;
        }}
        {_loaded(d, 1)} else {_loaded(d, 2)} else {{
            // A cache line of every line of numbers at a time, however far apart they are.
            for (i64 start = 0; start < x_rows; start += 8) {{
                const i64 stop = start + 8 < x_rows ? start + 8 : x_rows;
                const bool whole = start + 8 <= x_rows && x_real >= 0 && x_imag >= 0;
                for (int j = 0; j < LANES; j++) {{
                    const {d.device} T* u = x + from[j] + start * x_step;
                    {d.device} T* v = a + start * LANES + j;
                    if (whole) {{
                        for (int i = 0; i < 8; i++) v[i * LANES] = u[i * x_step + x_real];
                        for (int i = 0; i < 8; i++) v[plane + i * LANES] = u[i * x_step + x_imag];
                    }} else {{
                        for (i64 i = 0; start + i < stop; i++) {{
                            v[i * LANES] = x_real < 0 ? 0 : u[i * x_step + x_real];
                            v[plane + i * LANES] = x_imag < 0 ? 0 : u[i * x_step + x_imag];
                        }}
                    }}
                }}
            }}
        }}
        if (kind == 2) joined(a, coarse, n);
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
        if (kind == 1) parted(a, coarse, n);
        if (turns) {{
            for (i64 k = 1; k < n; k++)
                {_VECTOR} {{
                    {turned("turn[j]", "T")}
                    const T zr = a[k * LANES + j], zi = a[plane + k * LANES + j];
                    a[k * LANES + j] = zr * tr - zi * ti;
                    a[plane + k * LANES + j] = zr * ti + zi * tr;
                }}
        }}
        {_stored(d, 1)} else {_stored(d, 2)} else {{
            for (i64 start = 0; start < out_rows; start += 8) {{
                const i64 stop = start + 8 < out_rows ? start + 8 : out_rows;
                for (int j = 0; j < count; j++)
                    for (i64 i = start; i < stop; i++) {{
                        {d.device} T* v = out + to[j] + i * out_step;
                        if (out_real >= 0) v[out_real] = a[i * LANES + j] * scale;
                        if (out_imag >= 0) v[out_imag] = a[plane + i * LANES + j] * scale;
                    }}
            }}
        }}
    }}"""
    return [*passes, _real(d, "parted"), _real(d, "joined"), body]


# -- the GPU's: a group has its lines in local memory ----------------------------------------------


def _group_real(d: Dialect, kind: str) -> str:
    parts = "near_[u]", "near_[plane + u]", "near_[v]", "near_[plane + v]"
    return f"""for (i64 c = LID(0); c < (n / 2 + 1) * lanes; c += LSIZE(0)) {{
            const i64 k = c / lanes, u = a + c, v = a + (n - k) * lanes + c % lanes;
            if (k == 0) {{ {_first(*parts, kind)} }}
            else {{
                const T tr = coarse[2 * k], ti = coarse[2 * k + 1];
                {_pair(*parts, kind)}
            }}
        }}
        {d.barrier}"""


def group_text(d: Dialect, longest: int) -> str:
    """The kernel's body."""
    size = longest + MOST_LINES  # a real line has a number more
    here = """const i64 q = c % (s * lanes), p = c / (s * lanes);
            const i64 u = a + q + s * lanes * p, v = b + q + s * lanes * r * p;"""
    cases = "\n".join(
        f"case {r}: for (i64 c = LID(0); c < butterflies; c += LSIZE(0)) {{ {here} {_factors(r)}\n"
        + _moved(r, "near_[u + {}]", "near_[v + {}]", "m * s * lanes", "s * lanes")
        + "\n} break;"
        for r in WRITTEN
    )
    return f"""    {d.local} T near_[4 * {size}];
    {d.local} i64 from[{MOST_LINES}];
    {d.local} i64 to[{MOST_LINES}];
    {d.local} i64 turn[{MOST_LINES}];
    const i64 plane = (n + 1) * lanes, first = (i64)GROUP(0) * lanes;
    const i64 count = lines - first < lanes ? lines - first : lanes;
    for (i64 j = LID(0); j < lanes; j += LSIZE(0)) {{
        i64 line = first + (j < count ? j : count - 1);
        {_places()}
    }}
    {d.barrier}
    i64 a = 0, b = 2 * plane, s = 1, left = n;
    for (i64 c = LID(0); c < x_rows * lanes; c += LSIZE(0)) {{
        // Neighbours in memory go to neighbours among work-items.
        const i64 j = x_s0 < x_step ? c % lanes : c / x_rows;
        const i64 i = x_s0 < x_step ? c / lanes : c % x_rows;
        const i64 at = from[j] + i * x_step;
        near_[i * lanes + j] = x_real < 0 ? 0 : x[at + x_real];
        near_[plane + i * lanes + j] = x_imag < 0 ? 0 : x[at + x_imag];
    }}
    {d.barrier}
    if (kind == 2) {{
        {_group_real(d, "joined")}
    }}
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
    if (kind == 1) {{
        {_group_real(d, "parted")}
    }}
    for (i64 c = LID(0); c < out_rows * lanes; c += LSIZE(0)) {{
        const i64 j = out_s0 < out_step ? c % lanes : c / out_rows;
        const i64 k = out_s0 < out_step ? c / lanes : c % out_rows;
        if (j >= count) continue;
        T zr = near_[a + k * lanes + j], zi = near_[a + plane + k * lanes + j];
        if (turns) {{
            {turned("turn[j]", "T")}
            const T yr = zr * tr - zi * ti;
            zi = zr * ti + zi * tr;
            zr = yr;
        }}
        const i64 at = to[j] + k * out_step;
        if (out_real >= 0) out[at + out_real] = zr * scale;
        if (out_imag >= 0) out[at + out_imag] = zi * scale;
    }}"""
