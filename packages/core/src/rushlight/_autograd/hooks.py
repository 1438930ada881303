"""The autograd side of Tensor: backward, hooks, retained gradients, saved-tensor hooks."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from .._errors import error
from .._hooks import RemovableHandle, add_hook
from .._modes import State
from .._node import Node, Port
from .._tensor.tensor import Tensor
from .engine import backward as run_backward
from .grad_modes import _Mode


def backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Adds the gradients of this tensor to the `.grad` of the leaves it was computed from.

    Args:
        gradient: Gradient of this tensor; may be left out for a tensor of one element.
        retain_graph: Keeps what the graph saved, for another pass.
        create_graph: Records the pass, for higher derivatives.
        inputs: Only these tensors receive a gradient.
    Raises:
        RuntimeError: The tensor does not require grad, or the graph was freed.
    """
    run_backward(self, gradient, retain_graph, create_graph, inputs)


def _node_and_index(x: Tensor) -> tuple[Node | None, int]:
    x.requires_grad  # noqa: B018  (brings the history of a view up to date)
    node = x._node
    return (node.node, node.index) if node.__class__ is Port else (node, 0)


def _check_requires_grad(x: Tensor, who: str) -> None:
    if not x.requires_grad:
        raise error(
            RuntimeError,
            who,
            "cannot register a hook on a tensor that doesn't require gradient",
            fix="call requires_grad_() first",
        )


def register_hook(self: Tensor, hook: Callable[[Tensor], Any]) -> RemovableHandle:
    """Calls `hook(grad)` when the gradient of this tensor is complete; may return another.

    Raises:
        RuntimeError: The tensor does not require grad.
    """
    _check_requires_grad(self, "register_hook")
    node, index = _node_and_index(self)
    if node is None:
        return add_hook(self.__dict__.setdefault("_tensor_hooks", OrderedDict()), hook)
    hooks = node.extras().setdefault("tensor_hooks", {}).setdefault(index, OrderedDict())
    return add_hook(hooks, hook)


def register_post_accumulate_grad_hook(
    self: Tensor, hook: Callable[[Tensor], None]
) -> RemovableHandle:
    """Calls `hook(tensor)` after a leaf's `.grad` was updated.

    Raises:
        RuntimeError: The tensor is not a leaf or does not require grad.
    """
    _check_requires_grad(self, "register_post_accumulate_grad_hook")
    if not self.is_leaf:
        raise error(
            RuntimeError,
            "register_post_accumulate_grad_hook",
            "post accumulate grad hooks cannot be registered on non-leaf tensors",
        )
    return add_hook(self.__dict__.setdefault("_post_accumulate_hooks", OrderedDict()), hook)


def retain_grad(self: Tensor) -> None:
    """Keeps the gradient of a tensor that is not a leaf in its `.grad`.

    Raises:
        RuntimeError: The tensor does not require grad.
    """
    if not self.requires_grad:
        raise error(
            RuntimeError, "retain_grad", "can't retain_grad on Tensor that has requires_grad=False"
        )
    node, index = _node_and_index(self)
    if node is not None:
        node.extras().setdefault("retained", {})[index] = weakref.ref(self)


def retains_grad(self: Tensor) -> bool:
    """Whether this is not a leaf and its gradient is kept."""
    node, index = _node_and_index(self)
    if node is None or node.extra is None:
        return False
    reference = node.extra.get("retained", {}).get(index)
    return reference is not None and reference() is self


def gradient_edge(x: Tensor) -> tuple[Any, int]:
    """(node, output index) of a tensor."""
    return _node_and_index(x)


class saved_tensors_hooks(_Mode):
    """What is saved in this block goes through `pack_hook`, and comes back through `unpack_hook`."""

    def __init__(
        self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]
    ) -> None:
        super().__init__()
        self.hooks = (pack_hook, unpack_hook)

    def clone(self) -> _Mode:
        return saved_tensors_hooks(*self.hooks)

    def changed(self, state: State) -> State:
        return state.but(saved_hooks=(*state.saved_hooks, self.hooks))


class save_on_cpu(saved_tensors_hooks):
    """What is saved in this block waits in host memory."""

    def __init__(self, pin_memory: bool = False, device_type: str | None = None) -> None:
        super().__init__(
            lambda x: (x.device, x.detach().cpu()), lambda packed: packed[1].to(packed[0])
        )


def install() -> None:
    """Makes the methods of Tensor."""
    methods = (backward, register_hook, register_post_accumulate_grad_hook, retain_grad)
    for function in methods:
        setattr(Tensor, function.__name__, function)
    Tensor.retains_grad = property(retains_grad)  # type: ignore[attr-defined]


install()
