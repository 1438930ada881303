"""Factories: tensors of one value, of no value yet, and like other tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _writes
from .._config import settings
from .._dtypes import Category, DType, from_numpy_dtype
from .._errors import error
from .._layout import contiguous_format, preserve_format, strided
from .._modes import GRAD, NO_GRAD, STATE
from .._operator import operator
from .._tensor.construction import placed
from .._tensor.tensor import (
    PLAIN,
    Tensor,
    contiguous_strides,
    fresh,
    meta_tensor,
    native_of,
    over,
    strides_of,
)
from ..backend import Kind, kind_of
from ._batching import batch_size
from ._geometry import shape_of, sizes_of
from ._public import export, into, method, public
from .creation import full_op

_FULL = full_op.index
#: Kinds of tensors made where nobody has chosen a device.
_HOST_KINDS: dict[DType, Kind] = {}

# Made like a tensor: under `vmap` and `jvp` the result takes part as that tensor does, so that it
# can be written in place.
new_full_op = operator(
    "new_full(Tensor x, *, int[] shape, Scalar value, dtype dtype, Device device) -> Tensor"
)


@new_full_op.decomposition
def _(x: Tensor, *, shape: tuple[int, ...], value: Any, dtype: DType, device: Any) -> Tensor:
    return filled(shape, value, kind_of(device, dtype))


@new_full_op.batching
def _(inputs: Any, bdims: Any, *, shape: tuple[int, ...], **attributes: Any) -> Any:
    return new_full_op(inputs[0], shape=(batch_size(inputs, bdims), *shape), **attributes), 0


@new_full_op.jvp
def _(primals: Any, tangents: Any, out: Tensor, *, shape: Any, **attributes: Any) -> Any:
    if not out.dtype.is_inexact:
        return None
    return new_full_op(tangents[0], shape=shape, value=0, dtype=out.dtype, device=out.device)


# -- what all factories share ---------------------------------------------------------------


def default_kind(dtype: DType | None, device: Any = None) -> Kind:
    """The kind that a factory makes where the user leaves the choice open."""
    if dtype is None:
        dtype = settings.default_dtype
    if device is None and settings.default_device is None and STATE.get().device is None:
        found = _HOST_KINDS.get(dtype)
        if found is None:
            found = _HOST_KINDS[dtype] = kind_of(placed(None), dtype)
        return found
    return kind_of(placed(device), dtype)


def filled(size: tuple[int, ...], value: Any, kind: Kind) -> Tensor:
    """A tensor of one value."""
    for n in size:
        if n < 0:
            raise negative_size(size)
    state = STATE.get()
    if state is GRAD or state is NO_GRAD:
        kernel = None if kind.is_meta else kind.t[_FULL]
        if kernel is not None:
            if value.__class__ is not int or value:
                value = fitting(value, kind.dtype)
            return fresh(kind, kernel(shape=size, value=value, dtype=kind.dtype))
    value = fitting(value, kind.dtype)
    return full_op(shape=size, value=value, dtype=kind.dtype, device=kind.device)  # type: ignore[no-any-return]


def negative_size(size: tuple[int, ...]) -> Exception:
    """The error for a size below zero."""
    return error(
        RuntimeError,
        "size",
        f"Trying to create tensor with negative dimension {min(size)}: {list(size)}",
        expected="sizes of at least 0",
    )


def fitting(value: Any, dtype: DType) -> Any:
    """A Python number as a value of a dtype.

    Raises:
        RuntimeError: The dtype can't hold it.
        TypeError: Not a number.
    """
    if isinstance(value, Tensor) or hasattr(value, "dtype"):
        value = value.item()
    if not isinstance(value, (bool, int, float, complex)):
        raise error(
            TypeError, "full", f"argument 'fill_value' must be Number, not {type(value).__name__}"
        )
    category = dtype.category
    if category is Category.BOOL:
        return bool(value)
    if isinstance(value, complex) and category is not Category.COMPLEX:
        if value.imag:
            raise _too_large(value, dtype)
        value = value.real
    if category is Category.INTEGER:
        return _integer(value, dtype)
    if category is Category.FLOATING and dtype.itemsize == 4 and abs(value) > 3e38:
        if math.isfinite(value) and abs(value) > _largest(dtype):
            raise _too_large(value, dtype)
    return value


def _integer(value: Any, dtype: DType) -> int:
    if isinstance(value, float) and not math.isfinite(value):
        raise _too_large(value, dtype)
    bits = 8 * dtype.itemsize
    number = int(value)
    low, high = (
        (-(1 << (bits - 1)), 1 << (bits - 1)) if dtype.is_signed else (-(1 << bits), 1 << bits)
    )
    if not low <= number < high:
        raise _too_large(value, dtype)
    # A negative number in an unsigned dtype counts down from the top, as in C.
    return number if dtype.is_signed else number % (1 << bits)


def _largest(dtype: DType) -> float:
    from .._limits import finfo

    return float(finfo(dtype).max)


def _too_large(value: Any, dtype: DType) -> Exception:
    return error(
        RuntimeError, "full", f"value cannot be converted to type {dtype.name} without overflow",
        given=repr(value), fix="use a wider dtype",
    )  # fmt: skip


def _check_layout(who: str, layout: Any) -> None:
    if layout is not None and layout is not strided:
        raise error(
            NotImplementedError, who, f"only layout=rushlight.strided is supported, got {layout}"
        )


def finished(made: Tensor, requires_grad: bool) -> Tensor:
    """The tensor, recorded from here on if the user asks for it."""
    return made.requires_grad_(True) if requires_grad else made


def _check_out(who: str, out: Any, dtype: DType | None) -> None:
    if not isinstance(out, Tensor):
        raise error(TypeError, who, f"argument 'out' must be Tensor, not {type(out).__name__}")
    if dtype is not None and dtype is not out.dtype:
        raise error(
            RuntimeError,
            who,
            f"dtype {dtype.name} does not match dtype of out parameter ({out.dtype.name})",
            fix="leave dtype= out",
        )


def into_out(who: str, out: Tensor, size: tuple[int, ...], value: Any) -> Tensor:
    """Fills a tensor given as `out=`, resized if need be."""
    return into(who, filled(size, value, out._k), out)  # type: ignore[no-any-return]


# -- one value ------------------------------------------------------------------------------


def _sizes(who: str, size: tuple[Any, ...], keyword: Any) -> tuple[int, ...]:
    if keyword is not None:
        if size:
            raise error(TypeError, who, "got multiple values for argument 'size'")
        size = (keyword,)
    elif not size:
        raise error(
            TypeError, who, "missing 1 required positional argument: 'size'",
            expected="sizes one by one, or a sequence of sizes",
        )  # fmt: skip
    return sizes_of(size)


def _constant_factory(name: str, value: int) -> Any:
    """`zeros` and `ones`."""

    def factory(
        *size: Any,
        out: Tensor | None = None,
        dtype: DType | None = None,
        layout: Any = strided,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        **keywords: Any,
    ) -> Tensor:
        sizes = size
        if not sizes or sizes[0].__class__ is not int or keywords:
            sizes = _sizes(name, size, keywords.pop("size", None))
            keywords.pop("names", None)
            if keywords:
                raise error(TypeError, name, f"unexpected keyword arguments {sorted(keywords)}")
        else:
            for n in sizes:
                if n.__class__ is not int:
                    sizes = sizes_of(size)
                    break
        if layout is not strided:
            _check_layout(name, layout)
        if out is not None:
            _check_out(name, out, dtype)
            return into_out(name, out, sizes, value)
        made = filled(sizes, value, default_kind(dtype, device))
        return made.requires_grad_(True) if requires_grad else made

    factory.__name__ = factory.__qualname__ = name
    factory.accepts_out = True  # type: ignore[attr-defined]
    factory.__doc__ = f"""A tensor of {name}.

    Args:
        *size: Sizes one by one, or one sequence of them.
        out: Tensor that receives the result.
        dtype: The default dtype by default.
        layout: `rushlight.strided`.
        device: The current default device by default.
        requires_grad: Starts recording on the tensor.
        pin_memory: Accepted; memory is pinned by devices that can.
    Raises:
        RuntimeError: A size is negative.
    Example:
        >>> rushlight.{name}(2)
        tensor([{value}., {value}.])
    """
    export(name, factory)
    return factory


zeros = _constant_factory("zeros", 0)
ones = _constant_factory("ones", 1)


def dtype_of_number(value: Any) -> DType:
    """The dtype of a tensor made of a number."""
    if hasattr(value, "dtype"):
        dtype = value.dtype
        return dtype if dtype.__class__ is DType else from_numpy_dtype(dtype)
    if isinstance(value, bool):
        return _BOOL
    if isinstance(value, int):
        return _INT64
    return settings.default_complex if isinstance(value, complex) else settings.default_dtype


_BOOL, _INT64 = from_numpy_dtype(np.dtype(np.bool_)), from_numpy_dtype(np.dtype(np.int64))


def _sequence_of_sizes(who: str, size: Any) -> tuple[int, ...]:
    if isinstance(size, int) or not hasattr(size, "__iter__"):
        raise error(
            TypeError, who, f"argument 'size' must be tuple of ints, not {type(size).__name__}",
            fix=f"use {who}(({size},), ...)",
        )  # fmt: skip
    return sizes_of(tuple(size))


def full(
    size: Any,
    fill_value: Any,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of one value.

    Args:
        size: Sequence of sizes.
        fill_value: A number.
        out: Tensor that receives the result.
        dtype: By default that of the number.
        layout: `rushlight.strided`.
        device: The current default device by default.
        requires_grad: Starts recording on the tensor.
        pin_memory: Accepted; memory is pinned by devices that can.
    Raises:
        RuntimeError: A size is negative, or the dtype can't hold the number.
    Example:
        >>> rushlight.full((2,), 7)
        tensor([7, 7])
    """
    sizes = _sequence_of_sizes("full", size)
    _check_layout("full", layout)
    if out is not None:
        _check_out("full", out, dtype)
        return into_out("full", out, sizes, fill_value)
    kind = default_kind(dtype_of_number(fill_value) if dtype is None else dtype, device)
    return finished(filled(sizes, fill_value, kind), requires_grad)


full.accepts_out = True  # type: ignore[attr-defined]
export("full", full)


@public(methods=False)
def scalar_tensor(
    s: Any,
    *,
    dtype: DType | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A 0-d tensor of a number, of the default dtype.

    Example:
        >>> rushlight.scalar_tensor(3)
        tensor(3.)
    """
    if dtype is None and isinstance(s, complex):
        dtype = settings.default_complex
    return finished(filled((), s, default_kind(dtype, device)), requires_grad)


# -- no value yet ---------------------------------------------------------------------------


def unfilled(size: tuple[int, ...], strides: tuple[int, ...] | None, kind: Kind) -> Tensor:
    """A tensor whose values are whatever the memory holds."""
    for n in size:
        if n < 0:
            raise negative_size(size)
    state = STATE.get()
    if state.recorder is not None:
        return filled(size, 0, kind)  # a captured program has no instruction for leaving memory be
    if kind.is_meta:
        return meta_tensor(kind, size, strides)
    steps = contiguous_strides(size) if strides is None else strides
    span = 0 if 0 in size else 1
    for n, step in zip(size, steps, strict=True):
        span += (n - 1) * step if span else 0
    storage = _writes.new_storage(kind, span * kind.dtype.itemsize)
    return over(kind, storage, 0, size, steps)


@public(methods=False)
def empty(
    *size: Any,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = contiguous_format,
    **keywords: Any,
) -> Tensor:
    """A tensor whose values are not set.

    Args:
        *size: Sizes one by one, or one sequence of them.
        out: Tensor that receives the result.
        dtype: The default dtype by default.
        layout: `rushlight.strided`.
        device: The current default device by default.
        requires_grad: Starts recording on the tensor.
        pin_memory: Accepted; memory is pinned by devices that can.
        memory_format: Order of the dimensions in memory.
    Example:
        >>> rushlight.empty(2, 3).shape
        rushlight.Size([2, 3])
    """
    sizes = _sizes("empty", size, keywords.pop("size", None))
    keywords.pop("names", None)
    if keywords:
        raise error(TypeError, "empty", f"unexpected keyword arguments {sorted(keywords)}")
    _check_layout("empty", layout)
    if out is not None:
        _check_out("empty", out, dtype)
        return into_out("empty", out, sizes, 0)
    strides = None if memory_format is None else memory_format.strides(sizes)
    return finished(unfilled(sizes, strides, default_kind(dtype, device)), requires_grad)


empty.accepts_out = True  # type: ignore[attr-defined]


def _check_strides(who: str, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
    if len(size) != len(stride):
        raise error(
            RuntimeError,
            who,
            f"dimensionality of sizes ({len(size)}) must match dimensionality of strides "
            f"({len(stride)})",
        )
    if any(step < 0 for step in stride):
        raise error(
            RuntimeError, who, "as_strided: Negative strides are not supported at the moment",
            given=f"strides {list(stride)}",
        )  # fmt: skip


@public(methods=False)
def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: DType | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor with given strides whose values are not set.

    Raises:
        RuntimeError: Not one stride per size, or a stride is negative.
    Example:
        >>> rushlight.empty_strided((2, 3), (1, 2)).stride()
        (1, 2)
    """
    sizes, steps = sizes_of(tuple(size)), sizes_of(tuple(stride))
    _check_strides("empty_strided", sizes, steps)
    return finished(unfilled(sizes, steps, default_kind(dtype, device)), requires_grad)


@public(methods=False)
def empty_permuted(
    size: Any,
    physical_layout: Any,
    *,
    dtype: DType | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A dense tensor with its dimensions in memory as `physical_layout` says, outermost first.

    Raises:
        RuntimeError: `physical_layout` does not name every dimension once.
    Example:
        >>> rushlight.empty_permuted((2, 3), (1, 0)).stride()
        (1, 2)
    """
    sizes, order = sizes_of(tuple(size)), sizes_of(tuple(physical_layout))
    if len(sizes) != len(order):
        raise error(
            RuntimeError,
            "empty_permuted",
            "Number of dimensions in size does not match the length of the physical_layout; i.e. "
            f"len(size) = {len(sizes)} is not equal to len(physical_layout) = {len(order)}",
        )
    for place, d in enumerate(order):
        if not 0 <= d < len(sizes):
            raise error(
                RuntimeError,
                "empty_permuted",
                f"Dimension out of range (expected to be between 0 and {len(sizes) - 1}, but got "
                f"{d} at index {place}).  NB: negative dims not currently supported",
            )
        if d in order[:place]:
            raise error(
                RuntimeError, "empty_permuted", "Duplicate dim not allowed", given=f"{order}"
            )
    steps = [0] * len(sizes)
    step = 1
    for d in reversed(order):
        steps[d] = step
        step *= max(sizes[d], 1)
    return finished(unfilled(sizes, tuple(steps), default_kind(dtype, device)), requires_grad)


# -- like another tensor --------------------------------------------------------------------


def kind_like(x: Tensor, dtype: DType | None, device: Any) -> Kind:
    """The kind of a tensor, but for what the user chooses."""
    if dtype is None and device is None:
        return x._k
    return kind_of(x.device if device is None else placed(device), dtype or x._k.dtype)


def _strides_like(x: Tensor, memory_format: Any) -> tuple[int, ...] | None:
    """Strides of a dense tensor laid out as another, None for row-major."""
    if memory_format is contiguous_format:
        return None
    shape = shape_of(x)
    if memory_format is not None and memory_format is not preserve_format:
        return memory_format.strides(shape)  # type: ignore[no-any-return]
    if x._storage is None and x._k.infers and x._a.flags.c_contiguous:
        return None
    strides = strides_of(x)
    order = sorted(range(len(shape)), key=lambda d: (-strides[d], d))
    steps = [0] * len(shape)
    step = 1
    for d in reversed(order):
        steps[d] = step
        step *= max(shape[d], 1)
    return tuple(steps) if any(steps[d] != strides[d] for d in order) is False else None


def filled_like(
    x: Tensor, value: Any, dtype: DType | None, device: Any, memory_format: Any = preserve_format
) -> Tensor:
    """A tensor of one value with the shape, and where possible the layout, of another."""
    if not isinstance(x, Tensor):
        raise error(TypeError, "like", f"argument 'input' must be Tensor, not {type(x).__name__}")
    kind = kind_like(x, dtype, device)
    state = STATE.get()
    if state.interpreters:
        return new_full_op(  # type: ignore[no-any-return]
            x, shape=tuple(x.shape), value=fitting(value, kind.dtype), dtype=kind.dtype,
            device=kind.device,
        )  # fmt: skip
    size = tuple(shape_of(x))
    strides = _strides_like(x, memory_format)
    if strides is None or strides == contiguous_strides(size) or state.recorder is not None:
        return filled(size, value, kind)
    made = unfilled(size, strides, kind)
    if not kind.is_meta:
        kind.runtime.copy(native_of(made), kind.scalar(fitting(value, kind.dtype)))
    return made


def _like_factory(name: str, value: int, what: str) -> None:
    """`zeros_like`, `ones_like` and `empty_like`."""

    def factory(
        input: Tensor,
        *,
        dtype: DType | None = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format: Any = preserve_format,
    ) -> Tensor:
        _check_layout(name, layout)
        return finished(filled_like(input, value, dtype, device, memory_format), requires_grad)

    factory.__name__ = factory.__qualname__ = name
    factory.__doc__ = f"""A tensor {what} with the shape, dtype and device of another.

    Args:
        input: The tensor to take shape, dtype and device from.
        dtype: Another dtype.
        layout: `rushlight.strided`.
        device: Another device.
        requires_grad: Starts recording on the tensor.
        pin_memory: Accepted; memory is pinned by devices that can.
        memory_format: Order of the dimensions in memory, by default that of `input`.
    Example:
        >>> rushlight.{name}(rushlight.tensor([[1, 2]])).shape
        rushlight.Size([1, 2])
    """
    export(name, factory)


_like_factory("zeros_like", 0, "of zeros")
_like_factory("ones_like", 1, "of ones")
_like_factory("empty_like", 0, "of no particular values")


@public(methods=False)
def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = preserve_format,
) -> Tensor:
    """A tensor of one value with the shape, dtype and device of another.

    Example:
        >>> rushlight.full_like(rushlight.tensor([1, 2]), 7)
        tensor([7, 7])
    """
    _check_layout("full_like", layout)
    return finished(filled_like(input, fill_value, dtype, device, memory_format), requires_grad)


def new_filled(
    x: Tensor, size: tuple[int, ...], value: Any, dtype: DType | None, device: Any
) -> Tensor:
    """A tensor of one value with the dtype and device of another."""
    kind = kind_like(x, dtype, device)
    if x.__class__ in PLAIN and not STATE.get().interpreters:
        return filled(size, value, kind)
    for n in size:
        if n < 0:
            raise negative_size(size)
    value = fitting(value, kind.dtype)
    return new_full_op(x, shape=size, value=value, dtype=kind.dtype, device=kind.device)  # type: ignore[no-any-return]


def _new_method(name: str, value: int) -> None:
    """`new_zeros`, `new_ones` and `new_empty`."""

    def factory(
        self: Tensor,
        *size: Any,
        dtype: DType | None = None,
        layout: Any = strided,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        **keywords: Any,
    ) -> Tensor:
        sizes = _sizes(name, size, keywords.pop("size", None))
        if keywords:
            raise error(TypeError, name, f"unexpected keyword arguments {sorted(keywords)}")
        return finished(new_filled(self, sizes, value, dtype, device), requires_grad)

    factory.__name__ = factory.__qualname__ = name
    factory.__doc__ = f"`rushlight.{name[4:]}` with this tensor's dtype and device."
    method(name, factory)


_new_method("new_zeros", 0)
_new_method("new_ones", 1)
_new_method("new_empty", 0)


@public(function=False)
def new_full(
    self: Tensor,
    size: Any,
    fill_value: Any,
    *,
    dtype: DType | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """`rushlight.full` with this tensor's dtype and device."""
    sizes = _sequence_of_sizes("new_full", size)
    return finished(new_filled(self, sizes, fill_value, dtype, device), requires_grad)


@public(function=False)
def new_empty_strided(
    self: Tensor,
    size: Any,
    stride: Any,
    dtype: DType | None = None,
    layout: Any = strided,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """`rushlight.empty_strided` with this tensor's dtype and device."""
    kind = kind_like(self, dtype, device)
    return empty_strided(
        size, stride, dtype=kind.dtype, device=kind.device, requires_grad=requires_grad
    )
