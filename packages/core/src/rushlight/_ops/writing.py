"""Writing into tensors: one value everywhere, or the values of another tensor."""

from __future__ import annotations

from typing import Any

from .. import _writes
from .._errors import error
from .._modes import GRAD, NO_GRAD, STATE
from .._operator import operator
from .._registered import operators
from .._tensor.tensor import PLAIN, Tensor, native_of, refreshed, storage_of
from ..backend import Kind
from ._geometry import check_tensor, shape_of
from ._making import filled, filled_like, fitting
from ._public import public

#: Native zeros; a kind keeps no number that equals another with a different sign.
_ZEROS: dict[Kind, Any] = {}


def _native_number(kind: Kind, value: Any) -> Any:
    """A native 0-d array of a number, kept for the next time."""
    if value or value.__class__ is not int:
        return kind.scalar(value)
    found = _ZEROS.get(kind)
    if found is None:
        found = _ZEROS[kind] = kind.scalar(0)
    return found


def _filled_in_place(who: str, x: Tensor, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        if value.ndim:
            raise error(
                RuntimeError,
                who,
                "fill_ only supports 0-dimension value tensor but got tensor with "
                f"{value.ndim} dimensions.",
            )
        return _writes.write(x, value)
    kind = x._k
    value = fitting(value, kind.dtype)
    if x.__class__ in PLAIN and not kind.is_meta:
        state = STATE.get()
        recorded = state is GRAD and (x._req if x._view is None else refreshed(x))
        if (state is GRAD or state is NO_GRAD) and not recorded:
            # Elements that share a place may be filled: all get one value.
            kind.runtime.copy(native_of(x), _native_number(kind, value))
            storage_of(x).version += 1
            return x
    return _writes.write(x, filled((), value, kind))


@public(function=True)
def fill_(input: Tensor, value: Any) -> Tensor:
    """Writes one value into every element.

    Raises:
        RuntimeError: `value` is a tensor with dimensions, or the dtype can't hold it.
    Example:
        >>> rushlight.zeros(2).fill_(3)
        tensor([3., 3.])
    """
    return _filled_in_place("fill_", input, value)


@public(function=True)
def zero_(input: Tensor) -> Tensor:
    """Writes zero into every element.

    Example:
        >>> rushlight.ones(2).zero_()
        tensor([0., 0.])
    """
    return _filled_in_place("zero_", input, 0)


@public(function=False)
def copy_(self: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """Writes the values of another tensor, broadcast and converted, into this one.

    Raises:
        RuntimeError: The shapes do not fit.
    Example:
        >>> rushlight.zeros(2, 2).copy_(rushlight.tensor([1, 2]))
        tensor([[1., 2.],
                [1., 2.]])
    """
    if isinstance(src, (bool, int, float, complex)):
        return _filled_in_place("copy_", self, src)
    check_tensor("copy_", src, "other")
    shape, given = shape_of(self), shape_of(src)
    if shape != given:
        lead = len(shape) - len(given)
        for place, n in enumerate(given):
            wanted = shape[place + lead] if lead >= 0 else None
            if wanted is None or n not in (1, wanted):
                raise error(
                    RuntimeError,
                    "copy_",
                    f"The size of tensor a ({wanted}) must match the size of tensor b ({n}) at "
                    f"non-singleton dimension {place + lead}",
                    given=f"x of shape {tuple(shape)}, src of shape {tuple(given)}",
                )
    return _writes.write(self, src)


fill_op = operator("fill(Tensor x, Tensor value) -> Tensor")


@fill_op.decomposition
def _(x: Tensor, value: Tensor) -> Tensor:
    value = operators["to_kind"].function(value, x._k)
    return operators["clone"](operators["expand"](value, size=tuple(x.shape)))  # type: ignore[no-any-return]


# The old values do not matter, which is a gradient of zero rather than none.
fill_op.vjp(
    x=lambda g, x_shape: operators["full"].function(x_shape, 0, dtype=g.dtype, device=g.device),
    value=lambda g: g.sum(),
)


@public(methods=False)
def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor of one value with the shape and kind of another.

    Example:
        >>> rushlight.fill(rushlight.tensor([1, 2]), 5)
        tensor([5, 5])
    """
    if not isinstance(value, Tensor):
        if not input.requires_grad and not STATE.get().interpreters:
            return filled_like(input, value, None, None)
        value = filled((), fitting(value, input.dtype), input._k)
    elif value.ndim:
        raise error(
            RuntimeError,
            "fill",
            f"fill only supports 0-dimension value tensor but got tensor with {value.ndim} "
            "dimensions",
        )
    return fill_op(input, value)  # type: ignore[no-any-return]
