"""Filling, copying and converting: the primitives that make memory."""

from __future__ import annotations

from typing import Any

from .. import _views, _writes
from .._config import settings
from .._device import device as Device
from .._dispatch import Spec
from .._dtypes import DType, bool_, from_numpy_dtype, int64
from .._errors import error
from .._layout import preserve_format
from .._operator import operator
from .._registered import operators
from .._tensor.construction import placed
from .._tensor.pinning import carried
from .._tensor.tensor import Tensor, fresh, native_of, strides_of
from ..backend import Kind, kind_of
from ._public import public

full_op = operator(
    "full(*, int[] shape, Scalar value, dtype dtype, Device device) -> Tensor",
    creates=True,
    differentiable=False,
)
arange_op = operator(
    "arange(*, Scalar start, Scalar step, int length, dtype dtype, Device device) -> Tensor",
    creates=True,
    differentiable=False,
)
clone_op = operator("clone(Tensor x) -> Tensor")
cast_op = operator("cast(Tensor x, *, dtype dtype) -> Tensor")
copy_op = operator("copy_(Tensor(a!) x, Tensor src) -> Tensor(a!)", writes=True)


@full_op.meta
def _(*, shape: tuple[int, ...], value: Any, dtype: DType, device: Any) -> Spec:
    return Spec(shape, dtype)


@arange_op.meta
def _(*, start: Any, step: Any, length: int, dtype: DType, device: Any) -> Spec:
    return Spec((length,), dtype)


@clone_op.meta
def _(x: Tensor) -> Spec:
    return Spec(x.shape, x.dtype)


@cast_op.meta
def _(x: Tensor, *, dtype: DType) -> Spec:
    return Spec(x.shape, dtype)


clone_op.vjp(x=lambda g: g)
clone_op.jvp("linear")
clone_op.batching("elementwise")
# The engine brings a gradient to the dtype of the input it belongs to.
cast_op.vjp(x=lambda g: g)
cast_op.jvp("linear")
cast_op.batching("elementwise")


class WriteThrough:
    """The derivative of a write into a tensor (`copy_`): what the old contents and the value get.

    `path` leads from the base to the view that was written; the base's gradient is zero there, and
    the value's is what lies there.
    """

    layout: list[str] = []

    def keeps(self, needs: tuple[bool, ...]) -> None:
        """Nothing is kept."""
        return

    def __call__(self, node: Any, g: Tensor) -> tuple[Any, ...]:
        path = node.attributes["path"]
        if not path:
            return (g if node.edges[0] is not None else None,)
        seen = [g]
        for op, attributes in path:
            seen.append(op(seen[-1], **attributes))
        base = None
        if node.edges[0] is not None:
            base = full(tuple(seen[-1].shape), 0, dtype=g.dtype, device=g.device)
            for (op, attributes), above in zip(reversed(path), reversed(seen[:-1]), strict=True):
                base = op.scatter_rule(above, base, **attributes)
        return base, clone_op(seen[-1])


copy_op.vjp_rule = WriteThrough()  # type: ignore[assignment]
copy_op.backward_name = "CopySlices"
copy_op.entry = _writes.write


def full(
    size: tuple[int, ...], fill_value: Any, *, dtype: DType | None = None, device: Any = None
) -> Tensor:
    """A tensor of one value."""
    where = placed(device)
    if dtype is None:
        dtype = dtype_of_number(fill_value)
    return full_op(  # type: ignore[no-any-return]
        shape=tuple(size), value=fill_value, dtype=dtype, device=kind_of(where, dtype).device
    )


def dtype_of_number(value: Any) -> DType:
    """The dtype of a tensor made of a number."""
    if hasattr(value, "dtype"):
        dtype = value.dtype
        return dtype if dtype.__class__ is DType else from_numpy_dtype(dtype)
    if isinstance(value, bool):
        return bool_
    if isinstance(value, int):
        return int64
    return settings.default_complex if isinstance(value, complex) else settings.default_dtype


full_op.function = full


def to_kind(x: Tensor, kind: Kind, late: bool = False) -> Tensor:
    """A tensor with another dtype, another device, or both; recorded.

    Args:
        x: The tensor.
        kind: Device and dtype.
        late: Pinned memory may be copied when the device gets to it.
    """
    here = x._k
    if here is kind:
        return x
    if here.device == kind.device:
        return cast_op(x, dtype=kind.dtype)  # type: ignore[no-any-return]

    def moved(x: Tensor) -> Tensor:
        return transfer_op(x, device=kind.device, late=late)  # type: ignore[no-any-return]

    if here.dtype is kind.dtype:
        return moved(x)
    if _carried_first(here, kind):
        return cast_op(moved(x), dtype=kind.dtype)  # type: ignore[no-any-return]
    return moved(cast_op(x, dtype=kind.dtype))


def _carried_first(here: Kind, there: Kind) -> bool:
    """Whether to convert after the way to another device: where both dtypes exist on both, the
    smaller one travels."""
    if there.backend is None or here.dtype not in there.backend.dtypes(there.device.index or 0):
        return False
    if here.backend is None or there.dtype not in here.backend.dtypes(here.device.index or 0):
        return True
    return here.dtype.itemsize < there.dtype.itemsize


to_kind_op = operator("to_kind(Tensor x) -> Tensor")
to_kind_op.function = to_kind
transfer_op = operator("transfer(Tensor x, *, Device device, bool late=False) -> Tensor", kept=True)
transfer_op.jvp("linear")
transfer_op.batching("elementwise")


@transfer_op.decomposition
def _(x: Tensor, *, device: Device, late: bool = False) -> Tensor:
    kind = kind_of(device, x.dtype)
    if kind.is_meta:
        return Spec(x.shape, x.dtype).on(device)
    if x._k.is_meta:
        native_of(x)  # says that there is no data
    return fresh(kind, carried(x, kind, late=late))


transfer_op.vjp(x=lambda g, x_device: transfer_op(g, device=x_device))


@public()
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy, recorded.

    Args:
        input: Any tensor.
        memory_format: Order of the dimensions in memory; by default that of `input` where it is
            dense, else row-major.
    Raises:
        RuntimeError: `input` has another number of dimensions than the format.
    Example:
        >>> rushlight.tensor([[1, 2], [3, 4]]).t().clone().stride()
        (1, 2)
    """
    if memory_format is None or memory_format is preserve_format:
        if input.is_contiguous():
            return clone_op(input)  # type: ignore[no-any-return]
        order = _dense_order(tuple(input.shape), strides_of(input))
    elif memory_format.order is None:
        order = None
    elif len(memory_format.order) != input.ndim:
        raise error(
            RuntimeError,
            "clone",
            f"required rank {len(memory_format.order)} tensor to use {memory_format.name} format",
            given=f"input of {input.ndim} dimensions",
        )
    else:
        order = tuple(reversed(memory_format.order))
    if order is None:
        return clone_op(input)  # type: ignore[no-any-return]
    permute = operators["permute"]
    copy = clone_op(permute(input, dims=order))
    return permute(copy, dims=tuple(order.index(d) for d in range(input.ndim)))  # type: ignore[no-any-return]


def _dense_order(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...] | None:
    """Dimensions from the outermost to the innermost in memory; None if memory has gaps."""
    order = sorted(range(len(shape)), key=lambda d: (strides[d], shape[d]))
    step = 1
    for d in order:
        if shape[d] != 1:
            if strides[d] != step:
                return None
            step *= shape[d]
    return tuple(reversed(order))


detach_op = operator("detach(Tensor x) -> Tensor", differentiable=False)
detach_op.function = _views.detached
