"""What a node keeps for its vjp rule, and the check that it is still what it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._errors import error
from ._modes import STATE, with_modes
from ._node import FREED, NO_ATTRIBUTES, Node, next_sequence_number, port_of
from ._registered import operators
from ._storage import Storage
from ._tensor.tensor import (
    PLAIN,
    Tensor,
    contiguous_strides,
    fresh,
    over,
    storage_of,
    strides_of,
    version_of,
)

_new = object.__new__

#: For each place of a node's layout: whether to keep it, or how to derive what is kept.
Keeps = tuple[Any, ...]


class SavedResult:
    """A result kept by its own node.

    The tensor itself would make a cycle (tensor, node, tensor), and the memory would wait for the
    garbage collector; so its parts are kept, and a tensor is made of them when the rule asks.
    """

    __slots__ = ("index", "kind", "native", "shape", "storage")

    index: int
    kind: Any
    native: Any
    shape: Any
    storage: Storage

    def tensor(self, node: Node) -> Tensor:
        """A tensor with the result's data and history."""
        made = fresh(self.kind, self.native)
        made._shape = self.shape
        made._storage = self.storage
        made._strides = None if self.native is not None else contiguous_strides(self.shape)
        made._offset = 0
        if self.kind.dtype.is_inexact and self.index not in node.op.constant_outputs:
            made._req = True
            made._node = _port(node, self.index)
        return made


def _port(node: Node, index: int) -> Any:
    return port_of(node, index) if node.shape is None else node


def saved_result(out: Tensor, index: int) -> SavedResult:
    """What a node keeps of its own result."""
    made = _new(SavedResult)
    made.storage = storage_of(out)
    made.kind = out._k
    made.native = out._a
    made.shape = out._shape
    made.index = index
    return made


class Packed:
    """A saved tensor that the user's `saved_tensors_hooks` took into custody.

    The hooks see data only.  Its history is kept here, and given to what the unpack hook returns.

    Args:
        x: The tensor.
        hooks: The pack and the unpack hook.
        index: Which of the node's own results it is, None for an input.
    """

    __slots__ = ("edge", "index", "unpack", "value")

    def __init__(self, x: Tensor, hooks: Any, index: int | None = None) -> None:
        pack, self.unpack = hooks
        self.index = index
        self.edge = (x._node or x) if index is None and x.requires_grad else None
        data = detached(x)
        version = version_of(data)
        with with_modes(grad=False):
            self.value = pack(data)
        if version_of(data) != version:
            raise error(
                RuntimeError,
                "saved_tensors_hooks",
                "A saved tensor pack hook is modifying its input in place",
                given=f"a tensor of shape {tuple(x.shape)}",
                fix="clone() it in the pack hook before writing to it",
            )

    def tensor(self, node: Node) -> Any:
        """What the user's unpack hook gives back, with the history of what was saved."""
        with with_modes(grad=False):
            value = self.unpack(self.value)
        if not isinstance(value, Tensor):
            raise error(
                TypeError,
                "saved_tensors_hooks",
                "Output of saved tensor unpack_hook expected to be a Tensor but got result of "
                f"type {type(value).__name__}",
            )
        edge: Any = self.edge
        if self.index is not None:
            if not value._k.dtype.is_inexact or self.index in node.op.constant_outputs:
                return value
            edge = _port(node, self.index)
        if edge is None:
            return value
        made = detached(value)
        if isinstance(edge, Tensor):
            edge = _identity(edge)
        made._node, made._req = edge, True
        return made


def _identity(leaf: Tensor) -> Node:
    """A node that hands its gradient to a leaf."""
    node = _new(Node)
    node.sequence = next_sequence_number()
    node.op = operators["clone"]
    node.attributes = NO_ATTRIBUTES
    node.edges = (leaf,)
    node.kind = leaf._k
    node.extra = None
    node.shape = tuple(leaf.shape)
    node.saved = node.versions = ()
    return node


def detached(x: Tensor) -> Tensor:
    """The same memory without history; unlike dispatch's, of no interest to a recorder."""
    made = over(x._k, storage_of(x), x._offset, tuple(x.shape), strides_of(x))
    made._a = x._a
    return made


Kept = tuple[Any, Any]  # a value and its version
Hooks = Any


def shape_of(x: Tensor) -> tuple[int, ...]:
    """The shape as a plain tuple."""
    shape = x._shape
    if shape is None:
        return x._a.shape  # type: ignore[no-any-return]
    return shape if shape.__class__ is tuple else tuple(shape)


def _input(place: int, inputs: tuple[Any, ...], outputs: Any, hooks: Hooks) -> Kept:
    x = inputs[place]
    if not isinstance(x, Tensor):
        return x, 0
    if hooks is not None:
        return Packed(x, hooks), 0
    storage = x._storage
    return x, 0 if storage is None else storage.version


def _inputs(first: int, inputs: tuple[Any, ...], outputs: Any, hooks: Hooks) -> Kept:
    pairs = [_input(place, inputs, outputs, hooks) for place in range(first, len(inputs))]
    return tuple([pair[0] for pair in pairs]), tuple([pair[1] for pair in pairs])


def _out(place: int, inputs: tuple[Any, ...], outputs: Any, hooks: Hooks) -> Kept:
    if hooks is not None:
        return Packed(outputs, hooks, 0), 0
    value = saved_result(outputs, 0)
    return value, value.storage.version


def _result(place: int, inputs: tuple[Any, ...], outputs: Any, hooks: Hooks) -> Kept:
    if hooks is not None:
        return Packed(outputs[place], hooks, place), 0
    value = saved_result(outputs[place], place)
    return value, value.storage.version


def _outs(place: int, inputs: tuple[Any, ...], outputs: Any, hooks: Hooks) -> Kept:
    pairs = [
        (None, 0) if out is None else _result(at, inputs, outputs, hooks)
        for at, out in enumerate(outputs)
    ]
    return tuple([pair[0] for pair in pairs]), tuple([pair[1] for pair in pairs])


#: What a rule may ask for, by the first item of its form: see `VjpRule.form`.
FORMS: dict[str, Callable[[int, tuple[Any, ...], Any, Hooks], Kept]] = {
    "input": _input,
    "inputs": _inputs,
    "out": _out,
    "result": _result,
    "outs": _outs,
    "shape": lambda place, inputs, outputs, hooks: (shape_of(inputs[place]), 0),
    "dtype": lambda place, inputs, outputs, hooks: (inputs[place].dtype, 0),
    "device": lambda place, inputs, outputs, hooks: (inputs[place].device, 0),
    "shapes": lambda place, inputs, outputs, hooks: (
        tuple(tuple(x.shape) for x in inputs[place:]),
        0,
    ),
}


def keep(node: Node, keeps: Keeps | None, inputs: tuple[Any, ...], outputs: Any) -> None:
    """Fills `saved` and `versions` of a node.

    Args:
        node: The node.
        keeps: One item per place of the operator's layout: None, or (form, place).
        inputs: The call's flat inputs.
        outputs: The call's result or results.
    """
    if keeps is None:
        node.saved = node.versions = ()
        return
    stack = STATE.get().saved_hooks
    hooks: Hooks = stack[-1] if stack else None
    if hooks.__class__ is str:  # disabled, with that message
        hooks = None
    saved: list[Any] = []
    versions: list[Any] = []
    for what in keeps:
        version: Any = 0
        value: Any = None
        if what is not None:
            form, place = what
            if form == "input" and hooks is None:  # as `_input`: the usual case
                value = inputs[place]
                if value.__class__ in PLAIN:
                    storage = value._storage
                    if storage is not None:
                        version = storage.version
                else:
                    value, version = _input(place, inputs, outputs, None)
            elif form == "shape":
                value = shape_of(inputs[place])
            else:
                value, version = FORMS[form](place, inputs, outputs, hooks)
        saved.append(value)
        versions.append(version)
    node.saved = tuple(saved)
    node.versions = tuple(versions)


def unpack(node: Node, place: int) -> Any:
    """A kept value, checked.

    Raises:
        RuntimeError: The graph was freed, or the tensor was written in place since.
    """
    saved = node.saved
    if place < len(saved):
        # The usual case first: an input that nothing has written to since.
        value: Any = saved[place]
        if value.__class__ in PLAIN:
            storage = value._storage
            if storage is None or storage.version == node.versions[place]:
                return value
        elif value.__class__ is tuple and saved is not FREED and node.versions[place] == 0:
            return value  # a shape
    if saved is FREED:
        raise error(
            RuntimeError,
            node.op.backward_name,
            "Trying to backward through the graph a second time (or directly access saved tensors "
            "after they have already been freed)",
            fix="call backward(retain_graph=True) the first time",
        )
    value = saved[place]
    version: Any = node.versions[place]
    if value.__class__ is tuple and version.__class__ is tuple:
        return tuple(_checked(node, v, n) for v, n in zip(value, version, strict=True))
    return _checked(node, value, version)


def _checked(node: Node, value: Any, version: int) -> Any:
    cls = value.__class__
    if cls in PLAIN or isinstance(value, Tensor):
        storage = value._storage
        if storage is not None and storage.version != version:
            raise _modified(node, value.shape, storage.version, version)
        return value
    if cls is SavedResult:
        if value.storage.version != version:
            raise _modified(node, value.shape, value.storage.version, version)
        return value.tensor(node)
    if cls is Packed:
        return value.tensor(node)
    return value


def _modified(node: Node, shape: Any, now: int, then: int) -> Exception:
    made_at = "".join((node.extra or {}).get("traceback", ())[-1:]).strip()
    return error(
        RuntimeError,
        node.op.backward_name,
        "one of the variables needed for gradient computation has been modified by an inplace "
        "operation",
        given=f"a tensor of shape {tuple(shape)}, which is at version {now}",
        expected=f"version {then}" + (f"; recorded at {made_at}" if made_at else ""),
        fix="clone() it before the in-place operation, or use the operator that returns a new "
        "tensor; rushlight.autograd.set_detect_anomaly(True) shows the recorded line",
    )


def keeper(keeps: Keeps | None) -> Any:
    """`keep` for an elementwise operator in the plain state, as a closure without loops.

    Returns None where nothing is kept, else a function of (node, x, y, out).
    """
    if keeps is None:
        return None
    two = len(keeps) == 3
    if any(k is not None and k[0] not in ("input", "out") for k in keeps) or len(keeps) > 3:
        return lambda node, x, y, out: keep(node, keeps, (x, y) if two else (x,), out)
    keeps_x = keeps[0] is not None
    keeps_y = two and keeps[1] is not None
    keeps_out = keeps[-1] is not None
    if not two and not keeps_x:
        return _keep_result

    def fill(node: Node, x: Any, y: Any, out: Tensor) -> None:
        saved_x = saved_y = saved_out = None
        version_x = version_y = 0
        if keeps_x:
            saved_x = x
            storage = x._storage
            if storage is not None:
                version_x = storage.version
        if keeps_y:
            saved_y = y
            if y.__class__ in PLAIN:
                storage = y._storage
                if storage is not None:
                    version_y = storage.version
        if keeps_out:
            saved_out = saved_result(out, 0)
        if two:
            node.saved = (saved_x, saved_y, saved_out)
            node.versions = (version_x, version_y, 0)
        else:
            node.saved = (saved_x, saved_out)
            node.versions = (version_x, 0)

    return fill


def _keep_result(node: Node, x: Any, y: Any, out: Tensor) -> None:
    """Keeps the fresh result of an operator of one tensor; written out, for it is a hot path."""
    storage = _new(Storage)
    storage.runtime = out._k.runtime
    storage.native = native = out._a
    storage._buffer = None
    storage.version = storage.rewrites = 0
    out._storage = storage
    out._strides = None
    out._offset = 0
    made = _new(SavedResult)
    made.storage = storage
    made.kind = out._k
    made.native = native
    made.shape = out._shape
    made.index = 0
    node.saved = (None, made)
    node.versions = (0, 0)
