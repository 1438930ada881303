"""Making views: another geometry over the same storage, recorded if the tensor is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._failures import check_inside
from ._modes import STATE, State
from ._node import Node, next_sequence_number
from ._saving import keep
from ._size import Size
from ._tensor.tensor import (
    Tensor,
    over,
    refreshed,
    storage_of,
    strides_of,
)
from .backend import Kind

if TYPE_CHECKING:
    from ._operator import Operator

_new = object.__new__


def make_view(op: Operator, x: Tensor, attributes: dict[str, Any], state: State) -> Tensor:
    """A tensor over the same storage with another geometry, recorded if the tensor is."""
    strides = x._strides if x._storage is not None else None
    if strides is None:
        strides = strides_of(x)
    shape = x._shape
    if shape.__class__ is Size:
        shape = tuple(shape)  # items of a plain tuple are reached faster
    shape, strides, offset = op.view_rule(shape, strides, x._offset, **attributes)  # type: ignore[misc]
    kind = x._k if op.view_kind is None else op.view_kind(x._k, **attributes)
    out = placed_view(op, x, attributes, kind, shape, strides, offset, state.grad)
    if state.recorder is not None:
        state.recorder.view(op, x, attributes, out)
    return out


def placed_view(
    op: Operator,
    x: Tensor,
    attributes: dict[str, Any],
    kind: Kind,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    offset: int,
    grad: bool,
) -> Tensor:
    """A view of a tensor that has storage, when the geometry is known."""
    storage: Any = x._storage
    out = _new(Tensor)
    out._k = kind
    out._a = None
    out._storage = storage
    out._shape = shape
    out._strides = strides
    out._offset = offset
    out._view = (x, op, attributes, storage.rewrites)
    out._req = False
    out._node = None
    if grad and (x._req if x._view is None else refreshed(x)) and kind.dtype.is_inexact:
        hang_view_node(op, x, attributes, out)
    return out


def hang_view_node(op: Operator, x: Tensor, attributes: dict[str, Any], out: Tensor) -> None:
    """Records a view."""
    node = _new(Node)
    node.sequence = next_sequence_number()
    node.op = op
    node.attributes = attributes
    node.edges = (x._node or x,)
    node.kind = out._k
    node.extra = None
    node.shape = out._shape
    keep(node, op.keeps_one, (x,), out)
    out._node = node
    out._req = True


def detached(x: Tensor) -> Tensor:
    """The same memory without history; not a view in autograd's sense."""
    if getattr(x, "is_level_tensor", False):
        check_inside(x, "detach")
        return x.detached()  # type: ignore[attr-defined, no-any-return]
    storage = storage_of(x)
    out = over(x._k, storage, x._offset, x._shape, strides_of(x))
    out._a = x._a
    recorder = STATE.get().recorder
    if recorder is not None:
        recorder.alias(x, out)
    return out
