"""What a node keeps for its vjp rule, and the check that it is still what it was."""

from __future__ import annotations

from typing import Any

from ._errors import error
from ._modes import STATE
from ._node import FREED, Node, Port
from ._tensor.tensor import PLAIN, Tensor, fresh, native_of, storage_of

#: For each place of a node's layout: whether to keep it, or how to derive what is kept.
Keeps = tuple[Any, ...]


class SavedResult:
    """A result kept by its own node.

    The tensor itself would make a cycle (tensor, node, tensor), and the memory would wait for the
    garbage collector; so its parts are kept, and a tensor is made of them when the rule asks.
    """

    __slots__ = ("index", "kind", "native", "shape", "storage")

    def __init__(self, out: Tensor, index: int) -> None:
        self.storage = storage_of(out)
        self.kind = out._k
        self.native = native_of(out) if not out._k.is_meta else None
        self.shape = out._shape
        self.index = index

    def tensor(self, node: Node) -> Tensor:
        """A tensor with the result's data and history."""
        made = fresh(self.kind, self.native)
        made._shape = self.shape
        made._storage = self.storage
        if self.native is None:
            made._strides = tuple(0 for _ in self.shape)
        else:
            made._strides = self.kind.runtime.strides_of(self.native)
        made._offset = 0
        if self.kind.dtype.is_inexact:
            made._req = True
            ports = (node.extra or {}).get("ports")
            made._node = ports[self.index] if ports else node
        return made


class Packed:
    """A saved tensor that the user's `saved_tensors_hooks` took into custody."""

    __slots__ = ("unpack", "value")

    def __init__(self, x: Tensor, hooks: Any) -> None:
        pack, self.unpack = hooks
        self.value = pack(x)

    def tensor(self, node: Node) -> Any:
        """What the user's unpack hook gives back."""
        return self.unpack(self.value)


def _saved(x: Any, hooks: Any) -> tuple[Any, Any]:
    """What to keep for an input, and its version."""
    if not isinstance(x, Tensor):
        return x, 0
    if hooks is not None:
        return Packed(x, hooks), 0
    storage = x._storage
    return x, 0 if storage is None else storage.version


def keep(node: Node, keeps: Keeps, inputs: tuple[Any, ...], outputs: Any) -> None:
    """Fills `saved` and `versions` of a node.

    Args:
        node: The node.
        keeps: One item per place of the operator's layout: None, or a tuple that says what to
            keep: ("input", i), ("inputs", i), ("out",), ("outs",), ("shape", i), ("dtype", i).
        inputs: The call's flat inputs.
        outputs: The call's result or results.
    """
    if keeps is None:
        node.saved = node.versions = ()
        return
    state = STATE.get()
    hooks = state.saved_hooks[-1] if state.saved_hooks else None
    saved: list[Any] = []
    versions: list[Any] = []
    for what in keeps:
        value: Any = None
        version: Any = 0
        if what is not None:
            form = what[0]
            if form == "input":
                value, version = _saved(inputs[what[1]], hooks)
            elif form == "out":
                value = SavedResult(outputs, 0)
                version = value.storage.version
                if hooks is not None:
                    value, version = Packed(outputs, hooks), 0
            elif form == "shape":
                value = tuple(inputs[what[1]].shape)
            elif form == "dtype":
                value = inputs[what[1]].dtype
            elif form == "device":
                value = inputs[what[1]].device
            elif form == "shapes":
                value = tuple(tuple(x.shape) for x in inputs[what[1] :])
            elif form == "inputs":
                pairs = [_saved(x, hooks) for x in inputs[what[1] :]]
                value = tuple(pair[0] for pair in pairs)
                version = tuple(pair[1] for pair in pairs)
            else:
                value = tuple(SavedResult(out, i) for i, out in enumerate(outputs))
                version = tuple(result.storage.version for result in value)
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
    if saved is FREED:
        raise error(
            RuntimeError,
            node.op.backward_name,
            "Trying to backward through the graph a second time (or directly access saved tensors "
            "after they have already been freed)",
            fix="call backward(retain_graph=True) the first time",
        )
    value, version = saved[place], node.versions[place]
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


def is_port(edge: Any) -> bool:
    """Whether an edge leads to one of several results."""
    return edge.__class__ is Port
