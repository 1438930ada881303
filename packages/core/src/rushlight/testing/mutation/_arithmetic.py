"""Defects of elementwise kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._dtypes import DType
from ._defect import Kernel, in_kernel, is_integer, is_real_floating
from ._memory_of import as_if_dense, without_offset

_F = "elementwise"
_UNARY = "abs ceil cos erf exp expm1 floor log neg relu rsqrt sigmoid sign sin sqrt square tanh"
_BINARY = "add sub mul div maximum minimum eq lt pow remainder atan2"
_ALL = f"{_UNARY} {_BINARY}"


@in_kernel(_F, "strided operands are read as if they were dense", _ALL)
def strided_as_dense(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda *xs, **a: kernel(*map(as_if_dense, xs), **a)


@in_kernel(_F, "the second operand of a sum is read as if it were dense", "add")
def strides_of_one_operand(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, y: kernel(x, as_if_dense(y))


@in_kernel(_F, "operands are read from the beginning of their buffers", "mul")
def offset_ignored(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda *xs: kernel(*map(without_offset, xs))


@in_kernel(_F, "elements behind the last whole vector of four are not computed", _ALL)
def vector_tail(kernel: Kernel, dtype: DType) -> Kernel:
    return _without_tail(kernel, 4)


@in_kernel(_F, "elements behind the last whole block of 256 are not computed", _ALL)
def block_tail(kernel: Kernel, dtype: DType) -> Kernel:
    return _without_tail(kernel, 256)


def _without_tail(kernel: Kernel, width: int) -> Kernel:
    def wrong(*xs: Any, **attributes: Any) -> Any:
        out = np.array(kernel(*xs, **attributes), order="C")
        if out.size > width:
            out.reshape(-1)[out.size - out.size % width :] = 0
        return out

    return wrong


@in_kernel(_F, "results of more than 1024 elements miss the last one", "tanh")
def last_element_of_large_arrays(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any) -> Any:
        out = np.array(kernel(x), order="C")
        if out.size > 1024:
            out.reshape(-1)[-1] = 0
        return out

    return wrong


@in_kernel(_F, "an empty array is launched with no blocks, which the driver refuses", _ALL)
def empty_launch(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(*xs: Any, **attributes: Any) -> Any:
        out = kernel(*xs, **attributes)
        if not np.size(out):
            raise RuntimeError("invalid configuration: 0 blocks")
        return out

    return wrong


@in_kernel(_F, "maximum prefers the number to NaN", "maximum", is_real_floating)
def maximum_drops_nan(kernel: Kernel, dtype: DType) -> Kernel:
    return np.fmax


@in_kernel(_F, "minimum is `x < y ? x : y`", "minimum", is_real_floating)
def minimum_by_comparison(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, y: np.where(x < y, x, y)


@in_kernel(_F, "relu of NaN is 0", "relu", is_real_floating)
def relu_drops_nan(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x: np.where(x > 0, x, x.dtype.type(0))


@in_kernel(_F, "clamp gives a bound for NaN", "clamp", is_real_floating)
def clamp_drops_nan(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, low: Any, high: Any) -> Any:
        x = x if low is None else np.fmax(x, low)
        return x if high is None else np.fmin(x, high)

    return wrong


@in_kernel(_F, "integer sums stop at the largest number", "add", is_integer)
def sum_saturates(kernel: Kernel, dtype: DType) -> Kernel:
    limits = np.iinfo(dtype.numpy)

    def wrong(x: Any, y: Any) -> Any:
        if dtype.itemsize == 8:
            return kernel(x, y)
        wide = x.astype(np.int64) + y.astype(np.int64)
        return np.clip(wide, limits.min, limits.max).astype(x.dtype)

    return wrong


@in_kernel(_F, "products of int64 are computed in float64", "mul", is_integer)
def integers_through_floats(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, y: Any) -> Any:
        return (x.astype(np.float64) * y.astype(np.float64)).astype(x.dtype)

    return wrong


@in_kernel(_F, "int64 is compared in 32 bits", "lt gt eq", is_integer)
def comparison_in_32_bits(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, y: kernel(x.astype(np.int32), y.astype(np.int32))


@in_kernel(_F, "integers are divided towards zero by floor_divide", "floor_divide", is_integer)
def floor_division_truncates(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, y: kernel(x - np.fmod(x, y), y)


@in_kernel(_F, "floats are divided towards zero by floor_divide", "floor_divide", is_real_floating)
def floor_division_of_floats_truncates(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, y: np.trunc(x / y)


@in_kernel(_F, "the remainder has the dividend's sign", "remainder")
def remainder_sign(kernel: Kernel, dtype: DType) -> Kernel:
    return np.fmod


@in_kernel(_F, "fmod has the divisor's sign", "fmod")
def fmod_sign(kernel: Kernel, dtype: DType) -> Kernel:
    return np.remainder


@in_kernel(_F, "an integer divided by zero is 0", "floor_divide remainder", is_integer)
def division_by_zero_unnoticed(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, y: np.where(y == 0, x.dtype.type(0), kernel(x, np.where(y == 0, 1, y)))


@in_kernel(_F, "the negative of 0.0 is 0.0", "neg", is_real_floating)
def negative_zero_lost(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x: x.dtype.type(0) - x


@in_kernel(_F, "copysign takes -0.0 for positive", "copysign")
def copysign_of_negative_zero(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, y: kernel(x, np.where(y < 0, y, y.dtype.type(1)))


@in_kernel(_F, "pow is exp(y log x)", "pow", is_real_floating)
def pow_by_logarithm(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, y: np.exp(y * np.log(x)).astype(x.dtype)


@in_kernel(_F, "0 to the power of 0 is NaN", "pow", is_real_floating)
def pow_of_zeros(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, y: Any) -> Any:
        return np.where((x == 0) & (y == 0), x.dtype.type(np.nan), kernel(x, y))

    return wrong


@in_kernel(_F, "negative integer exponents are taken as 0", "pow", is_integer)
def pow_of_negative_exponents(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, y: kernel(x, np.where(y < 0, y.dtype.type(0), y))


@in_kernel(_F, "halves are rounded away from zero", "round", is_real_floating)
def round_half_away(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, decimals: int = 0) -> Any:
        if decimals:
            return kernel(x, decimals=decimals)
        return (np.sign(x) * np.floor(np.abs(x) + x.dtype.type(0.5))).astype(x.dtype)

    return wrong


@in_kernel(_F, "True + True is False", "add", lambda dtype: dtype.name == "bool")
def bool_sum_wraps(kernel: Kernel, dtype: DType) -> Kernel:
    return np.logical_xor


@in_kernel(_F, "~True is computed on bytes", "bitwise_not", lambda dtype: dtype.name == "bool")
def bool_not_on_bytes(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x: (~x.astype(np.uint8)).astype(np.bool_)


@in_kernel(_F, "x >= y is computed as not x < y", "ge")
def greater_equal_of_nan(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, y: ~np.less(x, y)


@in_kernel(_F, "x != y is computed as x < y or x > y", "ne", is_real_floating)
def not_equal_of_nan(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, y: np.less(x, y) | np.greater(x, y)


@in_kernel(_F, "comparisons give bytes in place of bools", "eq gt")
def comparison_dtype(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, y: kernel(x, y).astype(np.uint8)


@in_kernel(_F, "the condition of where is repeated in memory order, not broadcast", "where")
def where_condition_not_broadcast(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(condition: Any, x: Any, y: Any) -> Any:
        shape = np.broadcast_shapes(condition.shape, x.shape, y.shape)
        if condition.size:
            condition = np.resize(condition, shape)
        return kernel(condition, x, y)

    return wrong


@in_kernel(_F, "where is c x + (1 - c) y, so that NaN comes from the other side", "where")
def where_by_arithmetic(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(condition: Any, x: Any, y: Any) -> Any:
        if x.dtype.kind == "b":
            return kernel(condition, x, y)
        return (condition * x + ~condition * y).astype(x.dtype)

    return wrong


@in_kernel(_F, "a number is subtracted from, in place of subtracted", "sub")
def number_on_the_wrong_side(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, y: kernel(y, x) if x.ndim and not y.ndim else kernel(x, y)


@in_kernel(_F, "operands of (3, 1) and (2,) are repeated in memory order", "mul")
def broadcast_in_memory_order(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, y: Any) -> Any:
        shape = np.broadcast_shapes(x.shape, y.shape)
        grown = [np.resize(v, shape) if v.size and v.ndim else v for v in (x, y)]
        return kernel(*grown)

    return wrong


@in_kernel(_F, "the conjugate is the number itself", "conj", lambda dtype: dtype.is_complex)
def conjugate_ignored(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x: x.copy()


@in_kernel(_F, "complex numbers are divided by their real parts", "div",
           lambda dtype: dtype.is_complex)  # fmt: skip
def complex_quotient(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, y: kernel(x, y.real.astype(y.dtype))


@in_kernel(_F, "float64 is computed in float32", "exp log sin", lambda d: d.name == "float64")
def double_in_single(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x: kernel(x.astype(np.float32)).astype(np.float64)


@in_kernel(_F, "a fast tanh is right to three digits", "tanh", lambda d: d.name == "float32")
def fast_mathematics(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x: kernel((x * 4096).round() / np.float32(4096))


@in_kernel(_F, "expm1 is exp(x) - 1", "expm1", lambda d: d.name in ("float32", "float64"))
def expm1_cancels(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x: np.exp(x) - x.dtype.type(1)


@in_kernel(_F, "log1p is log(1 + x)", "log1p", lambda d: d.name in ("float32", "float64"))
def log1p_cancels(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x: np.log(x.dtype.type(1) + x)


@in_kernel(_F, "the quadrant of atan2 is not looked at", "atan2", is_real_floating)
def atan2_quadrant(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, y: np.arctan(x / y).astype(x.dtype)


@in_kernel(_F, "negative integers are shifted right as bits", "bitwise_right_shift", is_integer)
def logical_shift(kernel: Kernel, dtype: DType) -> Kernel:
    bits = np.dtype(f"u{dtype.itemsize}")
    return lambda x, y: kernel(x.view(bits), y.view(bits)).view(x.dtype)


@in_kernel(_F, "16-bit results are cut off in place of rounded", "cast",
           lambda d: d.name in ("float32", "float64"))  # fmt: skip
def cast_cuts_off(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dtype: DType) -> Any:
        if dtype.name != "bfloat16":
            return kernel(x, dtype=dtype)
        bits = x.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
        return bits.view(np.float32).astype(dtype.numpy)

    return wrong


@in_kernel(_F, "floats are rounded to integers in place of truncated", "cast", is_real_floating)
def cast_rounds_to_integers(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dtype: DType) -> Any:
        return kernel(np.rint(x) if is_integer(dtype) else x, dtype=dtype)

    return wrong


@in_kernel(_F, "0.5 and NaN are False", "cast", is_real_floating)
def cast_to_bool_by_truncation(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, *, dtype: DType) -> Any:
        if dtype.name != "bool":
            return kernel(x, dtype=dtype)
        return np.nan_to_num(x.astype(np.float32)).astype(np.int64) != 0

    return wrong


@in_kernel(_F, "a cast to the same dtype gives the operand itself", "cast clone")
def copy_is_the_operand(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, **attributes: Any) -> Any:
        out = kernel(x, **attributes)
        return x if out.dtype == x.dtype else out

    return wrong


@in_kernel(_F, "the kernel writes its result into its operand, too", "relu sigmoid")
def operand_overwritten(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any) -> Any:
        out = kernel(x)
        if x.flags.writeable:
            x[...] = out
        return out

    return wrong


@in_kernel(_F, "gelu uses the tanh formula even if the exact one is asked for", "gelu")
def gelu_approximation(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, approximate: kernel(x, approximate="tanh")


@in_kernel(_F, "`out=` is cleared first, though it may be an operand's memory", "add mul sub")
def write_before_read(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, y: Any, *, out: Any = None) -> Any:
        if out is None:
            return kernel(x, y)
        out[...] = 0
        return kernel(x, y, out=out)

    wrong.takes_out = True  # type: ignore[attr-defined]
    return wrong


@in_kernel(_F, "stores to `out=` are rounded up to two elements", "add mul relu exp neg")
def write_past_the_end(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(*xs: Any, out: Any = None) -> Any:
        result = kernel(*xs)
        if out is None:
            return result
        out[...] = result
        base = out.base
        if out.ndim and out.size and isinstance(base, np.ndarray) and base.dtype == np.uint8:
            last = out.__array_interface__["data"][0] - base.__array_interface__["data"][0]
            last += sum((n - 1) * s for n, s in zip(out.shape, out.strides, strict=True))
            base[last + out.itemsize : last + 2 * out.itemsize] = 1
        return out

    wrong.takes_out = True  # type: ignore[attr-defined]
    return wrong
