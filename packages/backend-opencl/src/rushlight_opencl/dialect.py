"""OpenCL C as a dialect of the core's kernel language. Version 1.2 of it is enough."""

from __future__ import annotations

from rushlight.backend.codegen import Dialect

_HEADER = """#pragma OPENCL FP_CONTRACT OFF
typedef char i8; typedef uchar u8; typedef short i16; typedef ushort u16; typedef int i32;
typedef uint u32; typedef long i64; typedef ulong u64; typedef float f32; typedef float2 c64;
#define MAKE_c64(a, b) ((float2)((a), (b)))
#define AS_f32(x) as_float(x)
#define AS_u32(x) as_uint(x)
#define GID(d) get_global_id(d)
#define LID(d) get_local_id(d)
#define GROUP(d) get_group_id(d)
#define LSIZE(d) get_local_size(d)
#define GROUPS(d) get_num_groups(d)
#define POINTER_f32(p) (p)
#define FMA_f32(x, y, z) FMA(x, y, z)
#define APART static __attribute__((noinline))
#define ATOMIC_MAX_u32(p, x) atomic_max((volatile global uint*)(p), (x))
#define ATOMIC_ADD_u32(p, x) atomic_add((volatile global uint*)(p), (x))
static inline void report(volatile global long* faults, int slot, long value) {
    faults[2 * slot + 1] = value;
    faults[2 * slot] = 1;
}
"""
_HEADER_DOUBLE = """#pragma OPENCL EXTENSION cl_khr_fp64 : enable
typedef double f64; typedef double2 c128;
#define MAKE_c128(a, b) ((double2)((a), (b)))
#define AS_f64(x) as_double(x)
#define AS_u64(x) as_ulong(x)
#define FMA_f64(x, y, z) FMA(x, y, z)
"""

# Compilers made of clang for processors have these, and PoCL 3.0 does not inline OpenCL's own.
_CLANG = {
    (name, type): f"__builtin_{name}{'f' if type == 'f32' else ''}"
    for name in ("floor", "ceil", "trunc", "rint", "sqrt")
    for type in ("f32", "f64")
}


def opencl_c(clang: bool) -> Dialect:
    """The dialect.

    Args:
        clang: The compiler is clang for a processor, whose built-in functions vectorise where
            OpenCL's are calls.
    """
    return Dialect(
        name="OpenCL C",
        kernel="kernel void",
        device="global",
        local="local",
        barrier="barrier(CLK_LOCAL_MEM_FENCE);",
        # A loop with calls, however few, is not vectorised.
        function="static inline __attribute__((always_inline))" if clang else "static inline",
        header=_HEADER.replace("FMA(", "__builtin_fmaf(" if clang else "fma("),
        header_double=_HEADER_DOUBLE.replace("FMA(", "__builtin_fma(" if clang else "fma("),
        builtins=_CLANG if clang else {},
        own_math=clang,
        contract="#pragma OPENCL FP_CONTRACT ON",
        # By themselves, compilers for newer processors stay at half of their vectors' width.
        strip="#pragma clang loop vectorize_width({width})" if clang else "",
        fence="barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);",
    )
