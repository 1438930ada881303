"""Writing into tensors: the end of every in-place operator, and what it does to history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._errors import error
from ._failures import check_inside, described
from ._modes import STATE
from ._node import Node, Port, next_sequence_number, note_line
from ._registered import operators
from ._storage import Storage
from ._tensor.pinning import carried
from ._tensor.tensor import (
    PLAIN,
    Tensor,
    base_of,
    dense,
    native_of,
    refreshed,
    storage_of,
    strides_of,
)
from .backend import Kind

if TYPE_CHECKING:
    pass

_new = object.__new__


def write(x: Tensor, value: Tensor, own: bool = False) -> Tensor:
    """Writes a tensor into another's memory: `copy_`, and the end of every in-place operator.

    The value broadcasts to `x` and is converted to its dtype and device.  Under recording `x` takes
    over the value's history; if `x` is a view, its base's history is rewritten.

    Args:
        x: The tensor to write to.
        value: What to write.
        own: Nothing else refers to the value, so `x` may take over its node.
    """
    state = STATE.get()
    if state.interpreters or x.__class__ not in PLAIN or value.__class__ not in PLAIN:
        if state.interpreters:
            return state.interpreters[-1].write(x, value)  # type: ignore[no-any-return]
        check_inside(x, "copy_")
        check_inside(value, "copy_")
    check_writable(x)
    tracked = False
    if state.grad:
        needs_x = x._req if x._view is None else refreshed(x)
        needs_value = value._req if value._view is None else refreshed(value)
        tracked = (needs_x or needs_value) and x._k.dtype.is_inexact
    if tracked:
        check_history_writable(x)
        fitted = state_fit(value, x)
    else:
        fitted = value
    transfer(x, fitted)
    if tracked:
        rewrite_history(x, fitted, own)
        if state.anomaly:
            base = x if x._view is None else base_of(x)
            note_line(base._node)  # type: ignore[union-attr]
    return x


def state_fit(value: Tensor, x: Tensor) -> Tensor:
    """The value in the kind and shape of `x`, recorded."""
    if value._k is not x._k:
        value = operators["to_kind"].function(value, x._k)
    if value.shape != x.shape:
        value = operators["expand"](value, size=tuple(x.shape))
    return value


def transfer(x: Tensor, value: Tensor) -> None:
    """Copies data, across devices if need be, and counts the write."""
    recorder = STATE.get().recorder
    if recorder is not None:
        recorder.write(x, value)
        return
    move_data(x, value)
    storage_of(x).version += 1


def move_data(x: Tensor, value: Tensor) -> None:
    """The part of `transfer` that touches data."""
    if x._k.is_meta:
        return
    if value._k.device == x._k.device:
        source = native_of(value)
    else:
        source = carried(value, x._k)
    try:
        x._k.runtime.copy(native_of(x), source)
    except ValueError as raised:
        raise error(
            RuntimeError,
            "copy_",
            f"the size of the value must match that of the tensor: {tuple(value.shape)} does "
            f"not broadcast to {tuple(x.shape)}",
            given=described((x, value)),
        ) from raised


def check_writable(x: Tensor) -> None:
    """Raises if several elements of a tensor lie in one place."""
    if x._storage is None or dense(x._shape, strides_of(x)) or 0 in x.shape:
        return
    for n, step in zip(x.shape, strides_of(x), strict=True):
        if step == 0 and n > 1:
            raise error(
                RuntimeError,
                "copy_",
                "unsupported operation: more than one element of the written-to tensor refers to "
                "a single memory location",
                given=f"x of shape {tuple(x.shape)} and strides {strides_of(x)}",
                fix="clone() the tensor before writing to it",
            )


def check_history_writable(x: Tensor) -> None:
    """Raises if an in-place write would destroy a leaf."""
    base, what = x, "a leaf Variable"
    while base._view is not None and (base._node is not None or not base._req):
        base, what = base._view[0], "a view of a leaf Variable"
    if base._req and base._node is None:
        raise error(
            RuntimeError,
            "copy_",
            f"{what} that requires grad is being used in an in-place operation",
            given=described((x,)),
            fix="write under rushlight.no_grad(), or use the operator that returns a new tensor",
        )


def rewrite_history(x: Tensor, value: Tensor, own: bool = False) -> None:
    """Makes the value's history the tensor's, and its base's."""
    storage = storage_of(x)
    if x._view is None:
        before = x._node
        if not value._req:
            x._node = _write_node((None,), (), x)
        elif own and value._node is not None:
            x._node = value._node
        else:
            # Hooks on `x` must not see what else the value is used for.
            x._node = _write_node((value._node or value,), (), x)
        x._req = True
        storage.rewrites += 1
        if before is not None:
            _move_retained(x, before)
        return
    path = []
    base = x
    while base._view is not None:
        parent, op, attributes, _ = base._view
        path.append((op, attributes))
        base = parent
    value_edge = (value._node or value) if value._req else None
    base_edge = (base._node or base) if base._req else None
    base._node = _write_node((base_edge, value_edge), tuple(reversed(path)), base)
    base._req = True
    storage.rewrites += 1


def _move_retained(x: Tensor, before: Any) -> None:
    """`retain_grad` follows a tensor through in-place writes."""
    node, index = (before.node, before.index) if before.__class__ is Port else (before, 0)
    retained = (node.extra or {}).get("retained")
    if retained and index in retained and retained[index]() is x:
        now: Any = x._node
        node, after = (now.node, now.index) if now.__class__ is Port else (now, 0)
        node.extras().setdefault("retained", {})[after] = retained.pop(index)


def _write_node(edges: tuple[Any, ...], path: tuple[Any, ...], x: Tensor) -> Node:
    node = _new(Node)
    node.sequence = next_sequence_number()
    node.op = operators["copy_"]
    node.attributes = {"path": path}
    node.edges = edges
    node.kind = x._k
    node.extra = None
    node.shape = tuple(x.shape)
    node.saved = node.versions = ()
    return node


def new_storage(kind: Kind, nbytes: int) -> Storage:
    """Uninitialised memory on a device."""
    if kind.is_meta:
        return Storage(kind.runtime, None)
    buffer = kind.runtime.allocate(nbytes)
    return Storage(kind.runtime, buffer, buffer)
