"""The autograd side of Tensor: backward, hooks, retained gradients, saved-tensor hooks."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from .._errors import error
from .._hooks import RemovableHandle, add_hook
from .._modes import State
from .._node import AccumulateGrad, GradientEdge, Node, Port
from .._tensor.tensor import Tensor, storage_of
from .engine import CURRENT
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


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The place in the graph where the gradient of a tensor arrives.

    Raises:
        RuntimeError: The tensor does not require grad.
    Example:
        >>> x = rushlight.tensor(1.0, requires_grad=True)
        >>> rushlight.autograd.graph.get_gradient_edge(x * 2).output_nr
        0
    """
    if not tensor.requires_grad:
        raise error(
            RuntimeError,
            "get_gradient_edge",
            "It is not possible to get the gradient edge for a Tensor that does not require "
            "gradients",
            fix="call requires_grad_() first",
        )
    node, index = _node_and_index(tensor)
    return GradientEdge(AccumulateGrad(tensor) if node is None else node, index)


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Counts a write to tensors that autograd did not see, so that stale saved values are noticed.

    Example:
        >>> x = rushlight.zeros(2)
        >>> rushlight.autograd.graph.increment_version(x)
        >>> x._version
        1
    """
    for x in [tensor] if isinstance(tensor, Tensor) else list(tensor):
        storage_of(x).version += 1


class _MultiHandle:
    """Removes a hook from all its tensors."""

    def __init__(self, handles: Sequence[RemovableHandle]) -> None:
        self.handles = tuple(handles)

    def remove(self) -> None:
        """Takes the hook out; a second call does nothing."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> _MultiHandle:
        return self

    def __exit__(self, *raised: object) -> None:
        self.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[..., None], *, mode: str = "all"
) -> _MultiHandle:
    """Calls a function when the gradients of several tensors are complete.

    Args:
        tensors: The tensors.
        fn: With mode "all" it gets the list of gradients, None for tensors that the pass does not
            reach; with mode "any" it gets the first gradient that is complete.
        mode: "all" or "any".
    Returns:
        A handle whose `remove()` takes the hook out.
    Raises:
        ValueError: Another mode.
        RuntimeError: A tensor does not require grad.
    Example:
        >>> x = rushlight.tensor(1.0, requires_grad=True)
        >>> y = rushlight.tensor(2.0, requires_grad=True)
        >>> handle = rushlight.autograd.graph.register_multi_grad_hook((x, y), print)
        >>> (x * y).backward()
        [tensor(2.), tensor(1.)]
    """
    if mode not in ("all", "any"):
        raise error(
            ValueError, "register_multi_grad_hook",
            f"Expects mode to be one of ('all', 'any') but got {mode}",
        )  # fmt: skip
    for x in tensors:
        _check_requires_grad(x, "register_multi_grad_hook")
    targets = [x if node is None else node for x in tensors for node in [_node_and_index(x)[0]]]
    # What each running pass has brought so far; passes may run in several threads.
    seen: WeakKeyDictionary[Any, dict[int, Tensor]] = WeakKeyDictionary()
    lock = Lock()

    def hook_for(place: int) -> Callable[[Tensor], None]:
        def hook(g: Tensor) -> None:
            running = CURRENT.get()
            assert running is not None
            with lock:
                found = seen.setdefault(running, {})
                first = not found
                found[place] = g
            if mode == "any":
                if first:
                    fn(g)
                return
            reached = running.reaches()
            expected = [i for i, target in enumerate(targets) if id(target) in reached]
            if all(i in found for i in expected):
                fn([found.get(i) for i in range(len(targets))])

        return hook

    return _MultiHandle([register_hook(x, hook_for(i)) for i, x in enumerate(tensors)])


class saved_tensors_hooks(_Mode):
    """What is saved in this block goes through `pack_hook`, and comes back through `unpack_hook`.

    Both run with recording off; what they return gets the history of what was saved.

    Example:
        >>> x = rushlight.tensor(3.0, requires_grad=True)
        >>> with rushlight.autograd.graph.saved_tensors_hooks(lambda t: t * 10, lambda t: t / 10):
        ...     y = x * x
        >>> y.backward()
        >>> x.grad
        tensor(6.)
    """

    def __init__(
        self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]
    ) -> None:
        super().__init__()
        self.hooks = (pack_hook, unpack_hook)

    def clone(self) -> _Mode:
        return saved_tensors_hooks(*self.hooks)

    def changed(self, state: State) -> State:
        if state.saved_hooks and isinstance(state.saved_hooks[-1], str):
            raise error(
                RuntimeError,
                "saved_tensors_hooks",
                state.saved_hooks[-1],
                fix="leave the block of disable_saved_tensors_hooks first",
            )
        return state.but(saved_hooks=(*state.saved_hooks, self.hooks))


class disable_saved_tensors_hooks(_Mode):
    """Entering `saved_tensors_hooks` in this block is an error with that message."""

    def __init__(self, error_message: str) -> None:
        super().__init__()
        self.error_message = error_message

    def clone(self) -> _Mode:
        return disable_saved_tensors_hooks(self.error_message)

    def changed(self, state: State) -> State:
        if state.saved_hooks and not isinstance(state.saved_hooks[-1], str):
            raise error(
                RuntimeError, "disable_saved_tensors_hooks", self.error_message,
                given="a block of saved_tensors_hooks is active",
            )  # fmt: skip
        return state.but(saved_hooks=(*state.saved_hooks, self.error_message))


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
    Tensor.retains_grad = property(retains_grad)  # type: ignore[method-assign, assignment]


install()
