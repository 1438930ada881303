"""Dialects: what the languages that kernels are printed in spell differently.

Kernels are written with the type names `i8 ... u64`, `f32`, `f64`, `c64`, `c128` (complex numbers,
with members `.x` and `.y`), `f16` and `bf16` (16 bits that are converted by the prelude), and the
macros that a dialect's header defines.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..._dtypes import DType

SUFFIXES = {
    "bool": "b", "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64", "int8": "i8",
    "int16": "i16", "int32": "i32", "int64": "i64", "float16": "f16", "bfloat16": "bf16",
    "float32": "f32", "float64": "f64", "complex64": "c64", "complex128": "c128",
}  # fmt: skip


def suffix(dtype: DType) -> str:
    """The kernel language's short name of a type, such as f32."""
    return SUFFIXES[dtype.name]


@dataclass(frozen=True)
class Dialect:
    """One language.

    Attributes:
        name: For messages and cache keys.
        kernel: What stands before the name of a kernel.
        device: What stands before a pointer into device memory.
        local: What stands before an array that a work-group shares.
        barrier: Waits for the work-group.
        function: What stands before a helper function.
        header: Types and macros: `i8 ... c128`, `MAKE_c64(a, b)`, `AS_f32(x)`, `AS_u32(x)`,
            `AS_f64`, `AS_u64`, and `GID(d)`, `LID(d)`, `GROUP(d)`, `LSIZE(d)`, `GROUPS(d)`;
            `FMA_f32(x, y, z)`, a product and a sum with one rounding (for `own_math`), and
            `FMA_f64` beside `f64`;
            `APART`, what stands before a function that is compiled by itself (for `strip`);
            `ATOMIC_MAX_u32(p, x)` and `ATOMIC_ADD_u32(p, x)` on device memory.
        header_double: The same for `f64` and `c128`, where the device has them.
        long_suffix: Ending of 64-bit literals.
        builtins: What a function of the prelude is called, where the language has another name or
            another definition is faster: ("floor", "f32") -> "__builtin_floorf".
        own_math: The prelude's polynomials serve instead of the language's functions.
        contract: What lets the compiler make one operation of a product and a sum, from there on.
        strip: What stands before a loop that is to be computed in vectors of `{width}` elements;
            flat kernels with functions of `own_math` then do such a loop in each work-item. ""
            where work-items do one element each.
        fence: Waits for the work-group, which then sees what it wrote to device memory too; ""
            where `barrier` does that.
    """

    name: str
    kernel: str
    device: str
    local: str
    barrier: str
    function: str
    header: str
    header_double: str
    long_suffix: str = "L"
    builtins: dict[tuple[str, str], str] = field(default_factory=dict)
    own_math: bool = False
    contract: str = ""
    strip: str = ""
    fence: str = ""
