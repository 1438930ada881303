"""Making tensors: the kind, the values and the memory of a new one, for all factories."""

from __future__ import annotations

import math
from typing import Any

from .. import _writes
from .._config import settings
from .._dtypes import Category, DType
from .._errors import error
from .._layout import contiguous_format, dense_strides, preserve_format, strided
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
from ._geometry import check_tensor, shape_of, sizes_of
from ._public import into
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


# -- what the user leaves open ---------------------------------------------------------------


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


def direct_filled(size: tuple[Any, ...], value: Any, dtype: DType | None) -> Tensor | None:
    """A tensor of 0 or 1 where the user leaves the device open and nothing stands between the call
    and the kernel.

    None for everything else, errors among it.
    """
    state = STATE.get()
    kind = _HOST_KINDS.get(settings.default_dtype if dtype is None else dtype)
    if kind is None or settings.default_device is not None:
        return None
    kernel = kind.hot[_FULL]
    if kernel is None or not (state is GRAD or state is NO_GRAD) or not size:
        return None
    if size[0].__class__ is tuple and len(size) == 1:
        size = size[0]
    for n in size:
        if n.__class__ is not int or n < 0:
            return None
    return fresh(kind, kernel(shape=size, value=value, dtype=kind.dtype))


def filled(size: tuple[int, ...], value: Any, kind: Kind) -> Tensor:
    """A tensor of one value."""
    for n in size:
        if n < 0:
            check_sizes(size)
    state = STATE.get()
    if state is GRAD or state is NO_GRAD:
        kernel = None if kind.is_meta else kind.hot[_FULL]
        if kernel is not None:
            if value.__class__ is not int or not 0 <= value <= 1:
                value = fitting(value, kind.dtype)
            return fresh(kind, kernel(shape=size, value=value, dtype=kind.dtype))
    value = fitting(value, kind.dtype)
    return full_op(shape=size, value=value, dtype=kind.dtype, device=kind.device)  # type: ignore[no-any-return]


def check_sizes(size: tuple[int, ...], who: str = "size") -> tuple[int, ...]:
    """The sizes, unless one is below zero."""
    for n in size:
        if n < 0:
            raise error(
                RuntimeError,
                who,
                f"Trying to create tensor with negative dimension {n}: {list(size)}",
                expected="sizes of at least 0",
            )
    return size


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


def check_layout(who: str, layout: Any) -> None:
    if layout is not None and layout is not strided:
        raise error(
            NotImplementedError, who, f"only layout=rushlight.strided is supported, got {layout}"
        )


def finished(made: Tensor, requires_grad: bool) -> Tensor:
    """The tensor, recorded from here on if the user asks for it."""
    return made.requires_grad_(True) if requires_grad else made


def kind_for(who: str, out: Any, dtype: DType | None, device: Any) -> Kind:
    """The kind of a result, which `out=` decides where it is given."""
    if out is None:
        return default_kind(dtype, device)
    check_tensor(who, out, "out")
    if dtype is not None and dtype is not out.dtype:
        raise error(
            RuntimeError,
            who,
            f"dtype {dtype.name} does not match dtype of out parameter ({out.dtype.name})",
            fix="leave dtype= out",
        )
    return out._k  # type: ignore[no-any-return]


def delivered(who: str, made: Tensor, out: Any, requires_grad: bool) -> Tensor:
    """The tensor, or `out=` with its values."""
    return finished(made, requires_grad) if out is None else into(who, made, out)


def sizes_given(who: str, size: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[int, ...]:
    """The sizes of a call with `*size, **keywords`: one by one, or a sequence, or by keyword.

    Raises:
        TypeError: There are none, or there is another keyword.
    """
    if "size" in keywords:
        if size:
            raise error(TypeError, who, "got multiple values for argument 'size'")
        size = (keywords.pop("size"),)
    elif not size:
        raise error(
            TypeError, who, "missing 1 required positional argument: 'size'",
            expected="sizes one by one, or a sequence of sizes",
        )  # fmt: skip
    keywords.pop("names", None)
    if keywords:
        raise error(TypeError, who, f"unexpected keyword arguments {sorted(keywords)}")
    return sizes_of(size)


# -- values and memory ------------------------------------------------------------------------


def unfilled(size: tuple[int, ...], strides: tuple[int, ...] | None, kind: Kind) -> Tensor:
    """A tensor whose values are whatever the memory holds."""
    check_sizes(size)
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
    if x._storage is None and x._k.infers:
        flags = getattr(x._a, "flags", None)  # arrays like NumPy's have it at hand
        if flags is not None and flags.c_contiguous:
            return None
    strides = strides_of(x)
    order = sorted(range(len(shape)), key=lambda d: (-strides[d], d))
    steps = dense_strides(shape, reversed(order))
    return steps if steps == tuple(strides) else None


def filled_like(
    x: Tensor, value: Any, dtype: DType | None, device: Any, memory_format: Any = preserve_format
) -> Tensor:
    """A tensor of one value with the shape, and where possible the layout, of another."""
    check_tensor("like", x)
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


def new_filled(
    x: Tensor, size: tuple[int, ...], value: Any, dtype: DType | None, device: Any
) -> Tensor:
    """A tensor of one value with the dtype and device of another."""
    kind = kind_like(x, dtype, device)
    if x.__class__ in PLAIN and not STATE.get().interpreters:
        return filled(size, value, kind)
    check_sizes(size)
    value = fitting(value, kind.dtype)
    return new_full_op(x, shape=size, value=value, dtype=kind.dtype, device=kind.device)  # type: ignore[no-any-return]
