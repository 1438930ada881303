"""Factories: tensors of one value, of no value yet, and like other tensors."""

from __future__ import annotations

from typing import Any

from .._config import settings
from .._dtypes import DType
from .._errors import error
from .._layout import contiguous_format, dense_strides, preserve_format, strided
from .._tensor.tensor import Tensor
from ._geometry import sizes_of
from ._making import (
    check_layout,
    default_kind,
    delivered,
    direct_filled,
    filled,
    filled_like,
    finished,
    kind_for,
    kind_like,
    new_filled,
    sizes_given,
    unfilled,
)
from ._public import export, method, public
from .creation import dtype_of_number

# -- one value ------------------------------------------------------------------------------


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
        if out is None and device is None and layout is strided and not keywords:
            direct = direct_filled(size, value, dtype)
            if direct is not None:
                return direct.requires_grad_(True) if requires_grad else direct
        sizes = sizes_given(name, size, keywords)
        check_layout(name, layout)
        if out is not None:
            made = filled(sizes, value, kind_for(name, out, dtype, device))
            return delivered(name, made, out, requires_grad)
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
        pin_memory: Accepted; `Tensor.pin_memory` makes a pinned copy.
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
        pin_memory: Accepted; `Tensor.pin_memory` makes a pinned copy.
    Raises:
        RuntimeError: A size is negative, or the dtype can't hold the number.
    Example:
        >>> rushlight.full((2,), 7)
        tensor([7, 7])
    """
    sizes = _sequence_of_sizes("full", size)
    check_layout("full", layout)
    if out is None and dtype is None:
        dtype = dtype_of_number(fill_value)
    made = filled(sizes, fill_value, kind_for("full", out, dtype, device))
    return delivered("full", made, out, requires_grad)


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
        pin_memory: Accepted; `Tensor.pin_memory` makes a pinned copy.
        memory_format: Order of the dimensions in memory.
    Example:
        >>> rushlight.empty(2, 3).shape
        rushlight.Size([2, 3])
    """
    sizes = sizes_given("empty", size, keywords)
    check_layout("empty", layout)
    kind = kind_for("empty", out, dtype, device)
    if out is not None:
        return delivered("empty", filled(sizes, 0, kind), out, requires_grad)
    strides = None if memory_format is None else memory_format.strides(sizes)
    return finished(unfilled(sizes, strides, kind), requires_grad)


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
    steps = dense_strides(sizes, reversed(order))
    return finished(unfilled(sizes, steps, default_kind(dtype, device)), requires_grad)


# -- like another tensor --------------------------------------------------------------------


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
        check_layout(name, layout)
        return finished(filled_like(input, value, dtype, device, memory_format), requires_grad)

    factory.__name__ = factory.__qualname__ = name
    factory.__doc__ = f"""A tensor {what} with the shape, dtype and device of another.

    Args:
        input: The tensor to take shape, dtype and device from.
        dtype: Another dtype.
        layout: `rushlight.strided`.
        device: Another device.
        requires_grad: Starts recording on the tensor.
        pin_memory: Accepted; `Tensor.pin_memory` makes a pinned copy.
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
    check_layout("full_like", layout)
    return finished(filled_like(input, fill_value, dtype, device, memory_format), requires_grad)


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
        sizes = sizes_given(name, size, keywords)
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
