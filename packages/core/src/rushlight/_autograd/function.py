"""`Function`: operators that users define in Python, with their own backward."""

from __future__ import annotations

from typing import Any

from .._errors import error
from .._modes import STATE, with_modes
from .._node import FREED, Node, Port, next_sequence_number
from .._operator import operators
from .._saving import keep
from .._tensor.tensor import Tensor, version_of

_new = object.__new__


class FunctionContext:
    """What forward leaves for backward."""

    def __init__(self) -> None:
        self.to_save: tuple[Any, ...] = ()
        self.to_save_forward: tuple[Any, ...] = ()
        self.non_differentiable: tuple[Tensor, ...] = ()
        self.dirty: tuple[Tensor, ...] = ()
        self.materialize_grads = True
        self.needs_input_grad: tuple[bool, ...] = ()
        self._node: Node | None = None
        self._own: dict[int, int] = {}

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps tensors for backward; read them there as `ctx.saved_tensors`."""
        self.to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keeps tensors for `jvp`."""
        self.to_save_forward = tensors

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Says of results that they have no derivative."""
        self.non_differentiable = args

    def mark_dirty(self, *args: Tensor) -> None:
        """Says of inputs that forward wrote to them."""
        self.dirty = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (the default) or None for results without a gradient."""
        self.materialize_grads = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` kept, checked for in-place writes.

        Raises:
            RuntimeError: The graph was freed, or a tensor was written in place.
        """
        from .._saving import unpack

        if self._node is None:
            return self.to_save
        if self._node.saved is FREED:
            unpack(self._node, 0)
        return tuple(unpack(self._node, place) for place in range(len(self._node.saved)))


class _Rule:
    """The vjp rule of a node made by a `Function`."""

    layout: list[str] = []

    def __init__(self, function: Any, context: FunctionContext, inputs: tuple[Any, ...]) -> None:
        self.function = function
        self.context = context
        self.places = [i for i, x in enumerate(inputs) if isinstance(x, Tensor)]
        self.count = len(inputs)
        self.outputs: list[tuple[tuple[int, ...], Any]] = []

    def __call__(self, node: Node, g: Any) -> tuple[Any, ...]:
        gradients = list(g) if isinstance(g, tuple) else [g]
        if self.context.materialize_grads:
            full = operators["full"].function
            for place, (shape, kind) in enumerate(self.outputs):
                if gradients[place] is None:
                    gradients[place] = full(shape, 0, dtype=kind.dtype, device=kind.device)
        found = self.function.backward(self.context, *gradients)
        found = found if isinstance(found, tuple) else (found,)
        if len(found) > self.count and all(x is None for x in found[self.count :]):
            found = found[: self.count]
        if len(found) != self.count:
            raise error(
                RuntimeError,
                f"{self.function.__name__}Backward",
                f"returned an incorrect number of gradients (expected {self.count}, got "
                f"{len(found)})",
                fix="return one gradient per argument of forward, None where there is none",
            )
        for place, x in enumerate(found):
            if x is not None and place not in self.places:
                raise error(
                    RuntimeError,
                    f"{self.function.__name__}Backward",
                    f"returned a gradient different than None at position {place}, but the "
                    "corresponding forward input was not a Tensor",
                )
        return tuple(found[place] for place in self.places)


class _Operation:
    """Stands where a node has its operator."""

    def __init__(self, function: Any, rule: _Rule) -> None:
        self.name = function.__name__
        self.backward_name = function.__name__ + "Backward"
        self.vjp_rule = rule

    saved_layout: list[str] = []


class Function:
    """An operator with a backward of its own.

    Subclasses give static methods `forward(ctx, *args)` and `backward(ctx, *grads)`; or
    `forward(*args)` and `setup_context(ctx, inputs, output)`.  Call it by `apply`.

    Example:
        >>> class Double(rushlight.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         return x * 2
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         return g * 2
        >>> x = rushlight.tensor(1.0, requires_grad=True)
        >>> Double.apply(x).backward()
        >>> x.grad
        tensor(2.)
    """

    generate_vmap_rule = False

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Computes the results."""
        raise NotImplementedError("You must implement the forward function of a Function")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Gradients of the arguments from those of the results."""
        raise NotImplementedError("You must implement either the backward or vjp method")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Saves what backward needs, when `forward` does not take `ctx`."""
        raise NotImplementedError("setup_context is not implemented")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs forward and records it."""
        context = FunctionContext()
        tensors = [x for x in args if isinstance(x, Tensor)]
        recording = STATE.get().grad and any(x.requires_grad for x in tensors)
        context.needs_input_grad = tuple(
            isinstance(x, Tensor) and x.requires_grad and STATE.get().grad for x in args
        )
        separate = cls.setup_context is not Function.setup_context
        versions = {id(x): version_of(x) for x in tensors}
        with with_modes(grad=False):
            if separate:
                outputs = cls.forward(*args, **kwargs)
                cls.setup_context(context, args, outputs)
            else:
                outputs = cls.forward(context, *args, **kwargs)
        del versions
        if not recording:
            return outputs
        return _record(cls, context, args, outputs)


def _record(cls: Any, context: FunctionContext, args: tuple[Any, ...], outputs: Any) -> Any:
    results = outputs if isinstance(outputs, tuple) else (outputs,)
    rule = _Rule(cls, context, args)
    node = _new(Node)
    node.sequence = next_sequence_number()
    node.op = _Operation(cls, rule)  # type: ignore[assignment]
    node.attributes = {}
    node.extra = {}
    node.shape = node.kind = None
    tensors = [x for x in args if isinstance(x, Tensor)]
    edges = tuple((x._node or x) if x.requires_grad else None for x in tensors)
    node.edges = edges
    made = []
    ports = []
    for index, out in enumerate(results):
        if not isinstance(out, Tensor):
            made.append(out)
            ports.append(None)
            rule.outputs.append(((), None))
            continue
        dirty = any(out is x for x in context.dirty)
        if not dirty and (any(out is x for x in args) or out._view is not None or out._node):
            # An input handed back is another tensor with the same data, as torch has it.
            out = out.detach()
        constant = any(results[index] is x for x in context.non_differentiable)
        if constant or not out._k.dtype.is_inexact:
            made.append(out)
            ports.append(None)
            rule.outputs.append((tuple(out.shape), out._k))
            continue
        port = Port(node, len(ports), tuple(out.shape), out._k)
        ports.append(port)
        rule.outputs.append((tuple(out.shape), out._k))
        out._node, out._req = port, True
        made.append(out)
    node.extra["ports"] = tuple(ports)
    keep(node, tuple(("input", i) for i in range(len(context.to_save))), context.to_save, None)
    own = {id(old): index for index, old in enumerate(results) if isinstance(old, Tensor)}
    _break_cycles(node, context, made, own)
    context._node = node
    context.to_save = ()
    return tuple(made) if isinstance(outputs, tuple) else made[0]


def _break_cycles(
    node: Node, context: FunctionContext, made: list[Any], own: dict[int, int]
) -> None:
    """Results that the function saved are kept as parts, not as tensors that hold their node."""
    from .._saving import saved_result

    saved = list(node.saved)
    versions = list(node.versions)
    for place, x in enumerate(context.to_save):
        index = own.get(id(x))
        if index is not None and made[index] is not None and isinstance(made[index]._node, Port):
            kept = saved_result(made[index], index)
            saved[place], versions[place] = kept, kept.storage.version
    node.saved, node.versions = tuple(saved), tuple(versions)


def once_differentiable(function: Any) -> Any:
    """Decorator of a backward whose result must not be differentiated again."""

    def wrapped(ctx: Any, *gradients: Any) -> Any:
        with with_modes(grad=False):
            return function(ctx, *gradients)

    return wrapped
