"""Random numbers: the definitions of `rushlight._philox` in the kernel language, bit for bit.

A work-item makes one block of four words and the elements that they give.  The dialect forbids to
contract a * b + c, which the definitions need.  float64 needs a device that has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import _philox as spec
from ..._dtypes import DType, bool_, float32, float64, int64, uint32, uint64
from .array import DeviceArray, broadcast_strides, row_major
from .dialect import suffix
from .expression import computed
from .launcher import Launch
from .printing import literal, loaded, memory_type, program, stored
from .registry import Family, Kernel
from .sorting import sorted_numbers
from .walking import Walk

random = Family()


def _horner(coefficients: Sequence[float], dtype: DType, device: Any) -> str:
    lines = [f"    {suffix(dtype)} r = x * {literal(coefficients[-1], dtype, device.dialect)};"]
    for c in coefficients[-2:0:-1]:
        lines.append(f"    r = (r + {literal(c, dtype, device.dialect)}) * x;")
    lines.append(f"    return r + {literal(coefficients[0], dtype, device.dialect)};")
    return "\n".join(lines)


def _helpers(device: Any) -> dict[str, str]:
    """Functions by name: words, logarithm, sine and cosine."""
    first, second = spec.MULTIPLIERS
    steps = spec.KEY_STEPS
    table = {
        # Words of block `block`, into w.
        "philox_u32": f"""void philox_u32(u64 seed, u64 block, u32* w) {{
    u32 k0 = (u32)seed, k1 = (u32)(seed >> 32);
    u32 c0 = (u32)block, c1 = (u32)(block >> 32), c2 = 0, c3 = 0;
    for (int r = 0; r < {spec.ROUNDS}; r++) {{
        const u64 a = (u64)c0 * {first}u, b = (u64)c2 * {second}u;
        c0 = (u32)(b >> 32) ^ c1 ^ k0; c1 = (u32)b;
        c2 = (u32)(a >> 32) ^ c3 ^ k1; c3 = (u32)a;
        k0 += {steps[0]}u; k1 += {steps[1]}u;
    }}
    w[0] = c0; w[1] = c1; w[2] = c2; w[3] = c3;
}}""",
        "long_u64": "u64 long_u64(u32 low, u32 high) { return (u64)low | (u64)high << 32; }",
        "high_u64": """u64 high_u64(u64 a, u64 b) {
    const u64 a0 = a & 0xffffffffu, a1 = a >> 32, b0 = b & 0xffffffffu, b1 = b >> 32;
    const u64 middle = a1 * b0 + (a0 * b0 >> 32);
    return a1 * b1 + (middle >> 32) + (a0 * b1 + (middle & 0xffffffffu) >> 32);
}""",
    }
    for dtype, series, bits, shift, power in (
        (float32, (spec.LOG32, spec.SIN32, spec.COS32), spec.SQRT_HALF_BITS_32, 23, 31),
        (float64, (spec.LOG64, spec.SIN64, spec.COS64), spec.SQRT_HALF_BITS_64, 52, 53),
    ):
        f = suffix(dtype)
        i, u = f.replace("f", "i"), f.replace("f", "u")
        two = spec.TWO_LOG_2_32 if dtype is float32 else spec.TWO_LOG_2_64
        for name, coefficients in zip(("log", "sin", "cos"), series, strict=True):
            table[f"series_{name}_{f}"] = (
                f"{f} series_{name}_{f}({f} x) {{\n{_horner(coefficients, dtype, device)}\n}}"
            )
        ending = "u" if dtype is float32 else f"u{device.dialect.long_suffix}"
        tail = f"series_log_{f}(f) * f"
        if dtype is float64:
            tail = f"series_log_{f}(s * s) * s"
        s = "" if dtype is float32 else f"const {f} s = f / (f + 2.0);"
        table[f"minus_two_log_{f}"] = f"""{f} minus_two_log_{f}({u} odd) {{
    const {u} bits = AS_{u}(({f})odd);
    const {i} exponent = ({i})(bits - {bits}{ending}) >> {shift};
    const {f} f = AS_{f}(bits - (({u})exponent << {shift})) - ({f})1.0; {s}
    const {f} powers = ({f})({power} - exponent) * {literal(two, dtype, device.dialect)};
    return powers + {tail};
}}"""
        # Both of a pair of normals, from u (odd) and the angle's word.
        half = literal(2.0 ** -(31 if dtype is float32 else 63), dtype, device.dialect)
        top = 31 if dtype is float32 else 63
        table[f"normals_{f}"] = f"""void normals_{f}({u} odd, {u} word, {f}* pair) {{
    const {f} length = sqrt_{f}(minus_two_log_{f}(odd));
    const {f} x = ({f})({i})(word << 1) * {half}, radius = word >> {top} ? -length : length;
    const {f} y = x * x;
    pair[0] = radius * series_cos_{f}(y);
    pair[1] = radius * (series_sin_{f}(y) * x);
}}"""
    return table


class Draw:
    """A kernel that fills an array from words.

    Args:
        device: The launcher.
        name: The kernel's name.
        dtype: Type of the elements.
        each: Elements that a block gives.
        body: Statements that make values `v[0]`, ... of type `type` from words `w[0]` to `w[3]`.
        type: Type of the values.
        scalars: Further arguments, as pairs of type and name.
    """

    def __init__(
        self,
        device: Any,
        name: str,
        dtype: DType,
        each: int,
        body: str,
        type: DType,
        scalars: str = "",
    ) -> None:
        self.device = device
        self.name = name
        self.dtype = dtype
        self.each = each
        self.body = body
        self.type = type
        words = scalars.split()
        self.scalars = list(zip(words[::2], words[1::2], strict=True))
        self._launch: Launch | None = None

    def _compiled(self) -> Launch:
        d = self.device.dialect
        c = "bool" if self.type is bool_ else suffix(self.type)
        more = "".join(f", const {type} {name}" for type, name in self.scalars)
        text = f"""{d.kernel} {self.name}({d.device} {memory_type(self.dtype)}* out, const i64 n,
        const u64 seed, const u64 offset{more}) {{
    const i64 block = GID(0), at = block * {self.each};
    if (at >= n) return;
    u32 w[4];
    {c} v[{self.each}];
    philox_u32(seed, offset + (u64)block, w);
    {self.body}
    for (int k = 0; k < {self.each} && at + k < n; k++)
        out[at + k] = {stored("v[k]", self.type, self.dtype)};
}}"""
        source = program([text], d, self.device.double, _helpers(self.device))
        signature = " ".join(["p i64 u64 u64", *[type for type, _ in self.scalars]])
        launch: Launch = self.device.compile(source, {self.name: signature})[self.name]
        return launch

    def __call__(self, shape: Sequence[int], seed: int, offset: int, *numbers: Any) -> DeviceArray:
        """A new array of draws."""
        out: DeviceArray = self.device.empty(tuple(shape), self.dtype)
        if out.size:
            if self._launch is None:
                self._launch = self._compiled()
            blocks = -(-out.size // self.each)
            self._launch(
                (blocks,), None, out.buffer, out.size, seed & spec.LONG, offset & spec.LONG,
                *numbers,
            )  # fmt: skip
        return out


_LOOP32 = "for (int k = 0; k < 4; k++) v[k] = {};"
_LOOP64 = (
    "for (int k = 0; k < 2; k++) {{ const u64 l = long_u64(w[2 * k], w[2 * k + 1]); v[k] = {}; }}"
)


def _needs_double(device: Any, dtype: DType) -> None:
    if dtype is float64 and not device.double:
        raise TypeError(f"device '{device!r}' has no {dtype}")


def _by_dtype(name: str, body32: str, body64: str) -> None:
    """Enters a distribution whose attributes are the generator's, shape and dtype."""

    def make(device: Any, dtype: DType) -> Kernel:
        draws: dict[DType, Draw] = {}

        def kernel(*, seed: int, offset: int, shape: Sequence[int], dtype: DType) -> DeviceArray:
            draw = draws.get(dtype)
            if draw is None:
                _needs_double(device, dtype)
                wide = dtype is float64
                bits = {"float16": 11, "bfloat16": 8}.get(dtype.name, 24)
                body = (
                    body64
                    if wide
                    else body32.replace("$shift", str(32 - bits)).replace(
                        "$unit", literal(2.0**-bits, float32, device.dialect)
                    )
                )
                draw = draws[dtype] = Draw(
                    device, f"k_{name}", dtype, 2 if wide else 4, body, computed(dtype)
                )
            return draw(shape, seed, offset)

        return kernel

    random.add(name, make)


_by_dtype(
    "random_uniform",
    _LOOP32.format("(f32)(i32)(w[k] >> $shift) * $unit"),
    _LOOP64.format("(f64)(i64)(l >> 11) * 0x1p-53"),
)
_by_dtype(
    "random_normal",
    "normals_f32(w[0] >> 1 | 1, w[1], v); normals_f32(w[2] >> 1 | 1, w[3], v + 2);",
    "normals_f64(long_u64(w[0], w[1]) >> 11 | 1, long_u64(w[2], w[3]), v);",
)
_ODD = f"(w[k] >> 1 | 1) > {spec.BELOW_ONE}u ? {spec.BELOW_ONE}u : (w[k] >> 1 | 1)"
_by_dtype(
    "random_exponential",
    _LOOP32.format(f"minus_two_log_f32({_ODD}) * 0.5f"),
    _LOOP64.format("minus_two_log_f64(l >> 11 | 1) * 0.5"),
)


@random.kernel("random_integers")
def random_integers_kernel(device: Any, dtype: DType) -> Kernel:
    draws: dict[tuple[DType, int], Draw] = {}
    word = "v[k] = (i64)(((u64)w[k] * span >> 32) + low);"
    long = """const u64 carry = (u64)w[2 * k] * span >> 32;
        v[k] = (i64)(((u64)w[2 * k + 1] * span + carry >> 32) + low);"""
    quad = """const u64 l = long_u64(w[0], w[1]), h = long_u64(w[2], w[3]);
        const u64 carry = high_u64(l, span), total = h * span + carry;
        v[k] = (i64)((span == 0 ? h : high_u64(h, span) + (total < carry)) + low);"""

    def kernel(
        *, seed: int, offset: int, shape: Sequence[int], low: int, high: int, dtype: DType
    ) -> DeviceArray:
        width = spec.words_per_element("random_integers", span=high - low)
        draw = draws.get((dtype, width))
        if draw is None:
            _needs_double(device, dtype)
            each = 4 // width
            step = {1: word, 2: long, 4: quad}[width]
            body = f"for (int k = 0; k < {each}; k++) {{ {step} }}"
            type = uint64 if dtype is uint64 else int64
            draw = draws[dtype, width] = Draw(
                device, f"k_random_integers_{width}", dtype, each, body, type, "u64 span u64 low"
            )
        # A span of 2^64 is passed as 0.
        return draw(shape, seed, offset, (high - low) & spec.LONG, low & spec.LONG)

    return kernel


class _Bernoulli:
    """Truths with a probability that is a number or an array."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self.words = Draw(device, "k_random_bits", uint32, 4, _LOOP32.format("w[k]"), uint32)
        self.below = Draw(
            device, "k_bernoulli", bool_, 4, _LOOP32.format("(u64)w[k] < threshold"), bool_,
            "u64 threshold",
        )  # fmt: skip
        self._walks: dict[DType, Walk] = {}

    def __call__(
        self, p: DeviceArray | float, seed: int, offset: int, shape: Sequence[int]
    ) -> DeviceArray:
        """The draws."""
        device, shape = self.device, tuple(shape)
        if isinstance(p, float | int):
            return self.below(shape, seed, offset, spec.bernoulli_threshold(p))
        words = self.words(shape, seed, offset)
        type = computed(p.dtype)
        walk = self._walks.get(p.dtype)
        if walk is None:
            s = suffix(type)
            # The largest number of the type below 2^32: the conversion is defined where p is 1.
            largest = literal(
                4294967040.0 if type.itemsize == 4 else 4294967295.0, type, device.dialect
            )
            body = f"""const {s} p = {loaded("x[x_i]", p.dtype)}, scaled = p * ({s})4294967296.0;
    out[out_i] = word[word_i] < (u32)(scaled < {largest} ? scaled : {largest}) || p >= 1;"""
            walk = self._walks[p.dtype] = Walk(
                device, "k_below", {"out": "u8", "x": memory_type(p.dtype), "word": "u32"}, body
            )
        out: DeviceArray = device.empty(shape, bool_)
        steps = row_major(shape)
        walk(shape, (out, steps), (p.settled(), broadcast_strides(p, shape)), (words, steps))
        return out


@random.kernel("random_bernoulli")
def random_bernoulli_kernel(device: Any, dtype: DType) -> Kernel:
    draw = _Bernoulli(device)

    def kernel(
        p: DeviceArray | float, *, seed: int, offset: int, shape: Sequence[int]
    ) -> DeviceArray:
        return draw(p, seed, offset, shape)

    return kernel


@random.kernel("random_permutation")
def random_permutation_kernel(device: Any, dtype: DType) -> Kernel:
    draw = Draw(device, "k_longs", uint64, 2, _LOOP64.format("l"), uint64)
    marked = Walk(
        device, "k_marked", {"out": "u64"}, "out[out_i] = (out[out_i] & ~mask) | (u64)i;",
        "u64 mask",
    )  # fmt: skip
    taken = Walk(
        device, "k_taken", {"out": "i64", "key": "u64"},
        "out[out_i] = (i64)(key[key_i] & mask);", "u64 mask",
    )  # fmt: skip

    def kernel(*, seed: int, offset: int, n: int, dtype: DType | None = None) -> DeviceArray:
        mask = (1 << max(n - 1, 0).bit_length()) - 1
        keys = draw((1, n), seed, offset)
        marked((n,), (keys, (1,)), numbers=(mask,))
        keys = sorted_numbers(device, keys, (mask.bit_length(), 64))
        out: DeviceArray = device.empty((n,), int64)
        taken((n,), (out, (1,)), (keys, (1,)), numbers=(mask,))
        return out

    return kernel


@random.kernel("dropout", "floating reduced complex")
def dropout_kernel(device: Any, dtype: DType) -> Kernel:
    draw = _Bernoulli(device)
    type, memory = computed(dtype), memory_type(dtype)
    real = type.to_real() if type.is_complex else type
    s, r = suffix(type), suffix(real)
    factor = f"(({r})(keep[keep_i] != 0) * scale)"
    value = f"mul_{s}(x_, MAKE_{s}({factor}, 0))" if type.is_complex else f"x_ * {factor}"
    walk = Walk(
        device, "k_dropout", {"out": memory, "x": memory, "keep": "u8"},
        f"const {s} x_ = {loaded('x[x_i]', dtype)}; const {s} y = {value}; "
        f"out[out_i] = {stored('y', type, dtype)};",
        f"{r} scale",
    )  # fmt: skip

    def kernel(
        x: DeviceArray, *, p: float, seed: int, offset: int
    ) -> tuple[DeviceArray, DeviceArray]:
        keep = draw(1.0 - p, seed, offset, x.shape)
        scale = 1.0 / (1.0 - p) if p < 1 else 0.0
        out: DeviceArray = device.empty(x.shape, dtype)
        steps = row_major(x.shape)
        walk(x.shape, (out, steps), (x.settled(), x.strides), (keep, steps), numbers=(scale,))
        return out, keep

    return kernel


__all__ = ["Draw", "random"]
