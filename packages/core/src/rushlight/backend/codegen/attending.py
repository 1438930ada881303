"""The text of attention's kernels for processors: tiles of 8 queries by a panel of keys.

A tile of scores is a small matrix product, of operands packed as `products` packs them; it never
leaves the cache. The forward goes over the keys once, with a running maximum and sum for each
query: when the maximum grows, what was summed so far is scaled down. The gradients compute the
tiles again from the logarithms of the sums, once by blocks of queries and once by blocks of keys,
so that every result has one work-item that adds it up in a fixed order.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..._dtypes import DType
from . import products
from .dialect import Dialect
from .printing import loaded, memory_type, stored

ROWS = products.ROWS
#: Operands that are packed, of each kernel, in the order of its arguments.
PACKED = {
    "k_attend": ("q", "k", "v"),
    "k_attend_queries": ("q", "k", "g", "v", "kn"),
    "k_attend_keys": ("k", "q", "v", "g", "qn", "gn"),
}
#: What follows: results, and rows of numbers that are read.
RESULTS = {
    "k_attend": ("out", "sums"),
    "k_attend_queries": ("dq",),
    "k_attend_keys": ("dk", "dv"),
}
_SIZES = "rows length depth tall inner causal".split()


class Texts:
    """The kernels of one dtype and one kind of mask: none, of truth values, or of numbers.

    Args:
        dtype: Type of the operands.
        mask: The mask's dtype; None for no mask.
        d: The language.
    """

    def __init__(self, dtype: DType, wide: DType, mask: DType | None, d: Dialect) -> None:
        self.dtype = dtype
        self.wide = wide
        self.mask = mask
        self.d = d
        self.type = products.wide(dtype)
        self.vector, self.lanes = products.VECTORS[self.type]
        self.width = 2 * self.lanes

    def signature(self, name: str) -> str:
        """The types of a kernel's arguments."""
        words = ["p i64 i64 i64"] * len(PACKED[name]) + ["p"] * len(RESULTS[name])
        words += ["p"] if name == "k_attend" else ["p p p"]
        mask = [] if self.mask is None else ["p i64 i64 i64 i64 i64"]
        return " ".join([*words, *mask, self.type, *["i64"] * len(_SIZES)])

    def text(self, name: str) -> str:
        """A kernel."""
        d, type = self.d, self.type
        arguments = []
        for x in PACKED[name]:
            arguments += [f"const {d.device} {type}* {x}"]
            arguments += [f"const i64 {x}{end}" for end in ("_at", "_o", "_i")]
        for x in RESULTS[name]:
            kind = type if x == "sums" else memory_type(self.dtype)
            arguments.append(f"{d.device} {kind}* {x}")
        if name != "k_attend":
            arguments += [f"const {d.device} {type}* {x}" for x in ("sums", "deltas")]
        arguments.append(f"{d.device} {type}* scratch")
        if self.mask is not None:
            arguments.append(f"const {d.device} {memory_type(self.mask)}* mask")
            arguments += [f"const i64 mask_{end}" for end in ("at", "o", "i", "m", "n")]
        arguments += [f"const {type} scale", *(f"const i64 {x}" for x in _SIZES)]
        moved = [*PACKED[name], *(["mask"] if self.mask is not None else [])]
        begin = "\n".join(f"    {x} += {x}_at + zo * {x}_o + zi * {x}_i;" for x in moved)
        body = {
            "k_attend": self._forward, "k_attend_queries": self._queries,
            "k_attend_keys": self._keys,
        }[name]()  # fmt: skip
        return f"""{d.contract}
{d.kernel} {name}({", ".join(arguments)}) {{
    typedef {self.vector} unaligned __attribute__((aligned(sizeof({type}))));
    const i64 i = GID(0) * {ROWS}, z = GID(1), zo = z / inner, zi = z % inner;
{begin}
{body}
}}"""

    # -- pieces ------------------------------------------------------------------------------

    def _tile(self, a: str, b: str, n: str, into: str) -> str:
        """`into` = a tile: 8 packed rows at `a` times a panel at `b`, over `n` steps."""
        at = f"const {self.d.device} unaligned*"
        zeros = ", ".join(f"c{r}{h} = 0" for r in range(ROWS) for h in (0, 1))
        steps = " ".join(
            f"s = a_[t * {ROWS} + {r}]; c{r}0 += s * b0; c{r}1 += s * b1;" for r in range(ROWS)
        )
        kept = " ".join(
            f"*(unaligned*)({into} + {r * self.width + h * self.lanes}) = c{r}{h};"
            for r in range(ROWS) for h in (0, 1)
        )  # fmt: skip
        return f"""{{
            {self.vector} {zeros}; {self.type} s;
            const {self.d.device} {self.type}* a_ = {a};
            const {self.d.device} {self.type}* b_ = {b};
            for (i64 t = 0; t < {n}; t++, b_ += {self.width}) {{
                const {self.vector} b0 = *({at})b_, b1 = *({at})(b_ + {self.lanes});
                {steps}
            }}
            {kept}
        }}"""

    def _added(self, sums: str, tile: str, b: str, count: str, shrink: str = "") -> str:
        """Panel `sums` = itself (times `shrink` of each row) + tile (8, count) @ panel at `b`."""
        at = f"{self.d.device} unaligned*"
        places = [(r, h, r * self.width + h * self.lanes) for r in range(ROWS) for h in (0, 1)]
        taken = ", ".join(
            f"c{r}{h} = *(const {at})({sums} + {place})"
            + (f" * {shrink}[{r}]" if shrink else "")
            for r, h, place in places
        )  # fmt: skip
        steps = " ".join(
            f"s = {tile}[{r * self.width} + t]; c{r}0 += s * b0; c{r}1 += s * b1;"
            for r in range(ROWS)
        )
        kept = " ".join(f"*({at})({sums} + {place}) = c{r}{h};" for r, h, place in places)
        return f"""{{
            {self.vector} {taken}; {self.type} s;
            const {self.d.device} {self.type}* b_ = {b};
            for (i64 t = 0; t < {count}; t++, b_ += {self.width}) {{
                const {self.vector} b0 = *(const {at})b_, b1 = *(const {at})(b_ + {self.lanes});
                {steps}
            }}
            {kept}
        }}"""

    def _cleared(self, sums: str, count: str) -> str:
        size = ROWS * self.width
        return f"for (i64 t = 0; t < {count} * {size}; t++) {sums}[t] = 0;"

    def _stored(self, out: str, sums: str, count: str, n: str, factor: str = "") -> str:
        """Writes panels of sums as `count` rows of `n` elements from row `i` on."""
        value = f"{sums}[(c / {self.width}) * {ROWS * self.width} + r * {self.width}"
        value += f" + c % {self.width}]" + (f" * {factor}[r]" if factor else "")
        element = stored(f"({value})", self.wide, self.dtype)
        return f"""for (i64 r = 0; r < {ROWS} && i + r < {count}; r++)
        for (i64 c = 0; c < {n}; c++) {out}[(z * {count} + i + r) * {n} + c] = {element};"""

    def _seen(self, query: str, key: str, score: str, otherwise: str) -> str:
        """A score with scale and mask, or something else where the key is hidden."""
        test = f"(({query}) < rows) & (({key}) < length) & (!causal | (({key}) <= ({query})))"
        value = f"{score} * scale"
        if self.mask is not None:
            # Places beyond the end are not read.
            q, k = f"(({query}) < rows ? ({query}) : 0)", f"(({key}) < length ? ({key}) : 0)"
            element = loaded(f"mask[{q} * mask_m + {k} * mask_n]", self.mask)
            if self.mask.itemsize == 1:
                test += f" & {element}"
            else:
                value += f" + {element}"
        return f"({test} ? {value} : {otherwise})"

    def _panels(self, n: str) -> str:
        return f"(({n} + {self.width - 1}) / {self.width})"

    # -- kernels -----------------------------------------------------------------------------

    def _forward(self) -> str:
        type, width, lanes = self.type, self.width, self.lanes
        base = self.vector.rstrip("0123456789")
        folds = [f"{self.vector} w{lanes} = x0 > x1 ? x0 : x1;"]
        n = lanes
        while n > 1:
            half = base if n == 2 else f"{base}{n // 2}"
            folds.append(f"{half} w{n // 2} = w{n}.lo > w{n}.hi ? w{n}.lo : w{n}.hi;")
            n //= 2
        infinity = f"-({type})INFINITY"
        return f"""
    q += GID(0) * {ROWS} * depth;
    const i64 panels = {self._panels("tall")};
    scratch += (z * GROUPS(0) + GID(0)) * panels * {ROWS * width};
    {self._cleared("scratch", "panels")}
    {type} top[{ROWS}], shrink[{ROWS}];
    {self.vector} sum[{ROWS}];
    for (int r = 0; r < {ROWS}; r++) {{ top[r] = {infinity}; sum[r] = 0; }}
    const i64 end = causal && i + {ROWS} < length ? i + {ROWS} : length;
    for (i64 j = 0; j < end; j += {width}) {{
        {type} p[{ROWS * width}];
        {self._tile("q", "k + j * depth", "depth", "p")}
        const i64 whole = j + {width} <= length && (!causal || j + {width - 1} <= i){
            " && 0" if self.mask is not None else ""
        };
        if (whole) {{
            for (int e = 0; e < {ROWS * width}; e++) p[e] *= scale;
        }} else {{
            for (int r = 0; r < {ROWS}; r++) for (int l = 0; l < {width}; l++)
                p[r * {width} + l] = {
            self._seen("i + r", "j + l", f"p[r * {width} + l]", infinity)
        };
        }}
        for (int r = 0; r < {ROWS}; r++) {{
            const {self.vector} x0 = *(unaligned*)(p + r * {width});
            const {self.vector} x1 = *(unaligned*)(p + r * {width} + {lanes});
            {" ".join(folds)}
            const {type} now = w1 > top[r] ? w1 : top[r];
            const {type} zero = now == {infinity} ? 0 : now;
            for (int l = 0; l < {width}; l++)
                p[r * {width} + l] = exp_{type}(p[r * {width} + l] - zero);
            shrink[r] = exp_{type}(top[r] - zero);
            sum[r] = sum[r] * shrink[r] + *(unaligned*)(p + r * {width})
                + *(unaligned*)(p + r * {width} + {lanes});
            top[r] = now;
        }}
        const i64 count = end - j < {width} ? end - j : {width};
        for (i64 n = 0; n < panels; n++) {{
            {
            self._added(
                f"(scratch + n * {ROWS * width})",
                "p",
                f"v + (n * length + j) * {width}",
                "count",
                "shrink",
            )
        }
        }}
    }}
    {type} whole_[{ROWS}];
    for (int r = 0; r < {ROWS}; r++) {{
        {type} parts[{lanes}], total = 0;
        *(unaligned*)parts = sum[r];
        for (int l = 0; l < {lanes}; l++) total += parts[l];
        whole_[r] = total == 0 ? 0 : 1 / total;
        if (i + r < rows) sums[z * rows + i + r] =
            total == 0 ? {infinity} : top[r] + log_{type}(total);
    }}
    {self._stored("out", "scratch", "rows", "tall", "whole_")}"""

    def _weights(self, query: str, key: str, sum_: str) -> str:
        """Statement: tile `p` of scores becomes weights."""
        place = f"p[r * {self.width} + l]"
        none = f"-({self.type})INFINITY"
        return f"""for (int r = 0; r < {ROWS}; r++) for (int l = 0; l < {self.width}; l++) {{
            const {self.type} base = {sum_};
            const {self.type} score = {self._seen(query, key, place, none)};
            {place} = base == {none} ? 0 : exp_{self.type}(score - base);
        }}"""

    def _queries(self) -> str:
        type, width = self.type, self.width
        return f"""
    q += GID(0) * {ROWS} * depth;
    g += GID(0) * {ROWS} * tall;
    const i64 panels = {self._panels("depth")};
    scratch += (z * GROUPS(0) + GID(0)) * panels * {ROWS * width};
    {self._cleared("scratch", "panels")}
    {type} sum[{ROWS}], delta[{ROWS}];
    for (int r = 0; r < {ROWS}; r++) {{
        const i64 row = z * rows + (i + r < rows ? i + r : 0);
        sum[r] = sums[row]; delta[r] = deltas[row];
    }}
    const i64 end = causal && i + {ROWS} < length ? i + {ROWS} : length;
    for (i64 j = 0; j < end; j += {width}) {{
        {type} p[{ROWS * width}], slope[{ROWS * width}];
        {self._tile("q", "k + j * depth", "depth", "p")}
        {self._weights("i + r", "j + l", "sum[r]")}
        {self._tile("g", "v + j * tall", "tall", "slope")}
        for (int r = 0; r < {ROWS}; r++) for (int l = 0; l < {width}; l++)
            p[r * {width} + l] *= (slope[r * {width} + l] - delta[r]) * scale;
        const i64 count = end - j < {width} ? end - j : {width};
        for (i64 n = 0; n < panels; n++) {{
            {
            self._added(
                f"(scratch + n * {ROWS * width})", "p", f"kn + (n * length + j) * {width}", "count"
            )
        }
        }}
    }}
    {self._stored("dq", "scratch", "rows", "depth")}"""

    def _keys(self) -> str:
        type, width = self.type, self.width
        each = ROWS * width
        return f"""
    k += GID(0) * {ROWS} * depth;
    v += GID(0) * {ROWS} * tall;
    const i64 panels = {self._panels("depth")}, more = {self._panels("tall")};
    scratch += (z * GROUPS(0) + GID(0)) * (panels + more) * {each};
    {self._cleared("scratch", "(panels + more)")}
    for (i64 j = causal ? i / {width} * {width} : 0; j < rows; j += {width}) {{
        {type} p[{each}], slope[{each}], sum[{width}], delta[{width}];
        for (int l = 0; l < {width}; l++) {{
            const i64 row = z * rows + (j + l < rows ? j + l : 0);
            sum[l] = sums[row]; delta[l] = deltas[row];
        }}
        const i64 count = rows - j < {width} ? rows - j : {width};
        {self._tile("k", "q + j * depth", "depth", "p")}
        {self._weights("j + l", "i + r", "sum[l]")}
        for (i64 n = 0; n < more; n++) {{
            {
            self._added(
                f"(scratch + (panels + n) * {each})", "p", f"gn + (n * rows + j) * {width}", "count"
            )
        }
        }}
        {self._tile("v", "g + j * tall", "tall", "slope")}
        for (int r = 0; r < {ROWS}; r++) for (int l = 0; l < {width}; l++)
            p[r * {width} + l] *= (slope[r * {width} + l] - delta[l]) * scale;
        for (i64 n = 0; n < panels; n++) {{
            {self._added(f"(scratch + n * {each})", "p", f"qn + (n * rows + j) * {width}", "count")}
        }}
    }}
    {self._stored("dk", "scratch", "length", "depth")}
    {self._stored("dv", f"(scratch + panels * {each})", "length", "tall")}"""


__all__: Sequence[str] = ["PACKED", "RESULTS", "ROWS", "Texts"]
