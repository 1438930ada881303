"""`Function`: operators that users define in Python, with their own backward."""

from __future__ import annotations

import functools
import weakref
from typing import Any

from .._errors import error
from .._modes import STATE, with_modes
from .._node import FREED, Node, Port, next_sequence_number, note_line
from .._registered import operators
from .._saving import keep
from .._tensor.tensor import Tensor, storage_of
from .._writes import check_history_writable, rewrite_history

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
        # Weak: the node holds the context, and memory must not wait for the garbage collector.
        self._node: weakref.ref[Node] | None = None
        self._forward: tuple[Any, ...] | None = None

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

        if self._forward is not None:
            return self._forward
        node = None if self._node is None else self._node()
        if node is None:
            return self.to_save
        if node.saved is FREED:
            unpack(node, 0)
        return tuple(unpack(node, place) for place in range(len(node.saved)))


class _Rule:
    """The vjp rule of a node made by a `Function`."""

    layout: list[str] = []
    holds_tensors = True

    def __init__(self, function: Any, context: FunctionContext, inputs: tuple[Any, ...]) -> None:
        self.function = function
        self.context = context
        self.shapes = [tuple(x.shape) if isinstance(x, Tensor) else None for x in inputs]
        self.outputs: list[tuple[tuple[int, ...], Any]] = []

    def __call__(self, node: Node, g: Any) -> tuple[Any, ...]:
        gradients = list(g) if isinstance(g, tuple) else [g]
        if self.context.materialize_grads:
            full = operators["full"].function
            for place, (shape, kind) in enumerate(self.outputs):
                if gradients[place] is None and kind is not None:
                    gradients[place] = full(shape, 0, dtype=kind.dtype, device=kind.device)
        found = self.function.backward(self.context, *gradients)
        found = found if isinstance(found, tuple) else (found,)
        count = len(self.shapes)
        if len(found) > count and all(x is None for x in found[count:]):
            found = found[:count]
        if len(found) != count:
            raise self._wrong(
                f"returned an incorrect number of gradients (expected {count}, got {len(found)})",
                "return one gradient per argument of forward, None where there is none",
            )
        for place, x in enumerate(found):
            if x is not None:
                self._check(place, x)
        return tuple(x for x, s in zip(found, self.shapes, strict=True) if s is not None)

    def _check(self, place: int, g: Any) -> None:
        shape = self.shapes[place]
        if shape is None:
            raise self._wrong(
                f"returned a gradient different than None at position {place}, but the "
                "corresponding forward input was not a Tensor",
                "return None there",
            )
        if not isinstance(g, Tensor):
            raise self._wrong(
                f"expected a Tensor or None as gradient {place}, got {type(g).__name__}", None
            )
        extra = len(g.shape) - len(shape)
        if extra < 0 or any(
            n not in (1, m) for n, m in zip(shape, tuple(g.shape)[extra:], strict=True)
        ):
            raise self._wrong(
                f"returned an invalid gradient at index {place} - got {list(g.shape)} but expected "
                f"shape compatible with {list(shape)}",
                "return a gradient of the argument's shape",
            )

    def _wrong(self, summary: str, fix: str | None) -> Exception:
        return error(RuntimeError, f"{self.function.__name__}Backward", summary, fix=fix)


class _Operation:
    """Stands where a node has its operator."""

    def __init__(self, function: Any, rule: _Rule) -> None:
        self.name = function.__name__
        self.backward_name = function.__name__ + "Backward"
        self.vjp_rule = rule

    constant_outputs: tuple[int, ...] = ()
    selects = False
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
        ...
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

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Tangents of the results from those of the arguments."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with "
            "forward mode AD."
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        """(results, their batch dimensions) of arguments with batch dimensions."""
        raise NotImplementedError("vmap is not implemented")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs forward and records it."""
        if STATE.get().interpreters:
            from ._function_levels import apply_in_level

            return apply_in_level(cls, args, kwargs)
        return run(cls, FunctionContext(), args, kwargs)


def run(cls: Any, context: FunctionContext, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Forward with recording off, then one node for the whole call."""
    grad = STATE.get().grad
    needs = tuple(isinstance(x, Tensor) and grad and x.requires_grad for x in args)
    context.needs_input_grad = needs
    with with_modes(grad=False):
        if cls.setup_context is not Function.setup_context:
            outputs = cls.forward(*args, **kwargs)
            cls.setup_context(context, args, outputs)
        else:
            outputs = cls.forward(context, *args, **kwargs)
    if not any(needs):
        return outputs
    for x in context.dirty:
        check_history_writable(x)
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
    node.edges = tuple(
        ((x._node or x) if x.requires_grad else None) for x in args if isinstance(x, Tensor)
    )
    made: list[Any] = []
    for out in results:
        if not isinstance(out, Tensor):
            made.append(out)
            rule.outputs.append(((), None))
            continue
        rule.outputs.append((tuple(out.shape), out._k))
        constant = not out._k.dtype.is_inexact or any(out is x for x in context.non_differentiable)
        port = None if constant else Port(node, len(made), tuple(out.shape), out._k)
        made.append(_recorded(out, port, args, context))
    node.kind = tuple(rule.outputs)
    keep(node, tuple(("input", i) for i in range(len(context.to_save))), context.to_save, None)
    own = {id(old): index for index, old in enumerate(results) if isinstance(old, Tensor)}
    _break_cycles(node, context, made, own)
    context._node = weakref.ref(node)
    context.to_save = ()
    if STATE.get().anomaly:
        note_line(node)
    return tuple(made) if isinstance(outputs, tuple) else made[0]


def _recorded(
    out: Tensor, port: Port | None, args: tuple[Any, ...], context: FunctionContext
) -> Tensor:
    """A result with its place in the graph."""
    if any(out is x for x in context.dirty):
        if port is not None and out._view is not None:
            value = out.detach()
            value._node, value._req = port, True
            rewrite_history(out, value)
        elif port is not None:
            out._node, out._req = port, True
            storage_of(out).rewrites += 1
        return out
    if any(out is x for x in args) or out._view is not None or out._req:
        # A tensor from elsewhere handed back is another tensor with the same data, as in torch.
        out = out.detach()
    if port is not None:
        out._node, out._req = port, True
    return out


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


class _Refusal:
    """Stands where the node of a result that must not be differentiated has its operator."""

    saved_layout: list[str] = []
    constant_outputs: tuple[int, ...] = ()
    selects = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.backward_name = "Error"

    def vjp_rule(self, node: Node, g: Any) -> Any:
        """Says why there is no derivative."""
        raise error(
            RuntimeError,
            self.name,
            "trying to differentiate twice a function that was marked with @once_differentiable",
            fix="remove the decorator, and write backward in differentiable operators",
        )


def once_differentiable(fn: Any) -> Any:
    """Decorator of a backward whose result must not be differentiated again.

    Example:
        >>> from rushlight.autograd.function import once_differentiable
        >>> class Double(rushlight.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         return x * 2
        ...
        ...     @staticmethod
        ...     @once_differentiable
        ...     def backward(ctx, g):
        ...         return g * 2
    """

    @functools.wraps(fn)
    def wrapped(ctx: Any, *args: Any) -> Any:
        recording = STATE.get().grad
        with with_modes(grad=False):
            found = fn(ctx, *args)
        if not recording or not any(isinstance(g, Tensor) and g.requires_grad for g in args):
            return found
        edges = tuple((g._node or g) for g in args if isinstance(g, Tensor) and g.requires_grad)
        parts = found if isinstance(found, tuple) else (found,)
        refusing = tuple(_refusing(x, fn.__qualname__, edges) for x in parts)
        return refusing if isinstance(found, tuple) else refusing[0]

    return wrapped


def _refusing(x: Any, name: str, edges: tuple[Any, ...]) -> Any:
    """A tensor that looks recorded, and raises when backward comes through."""
    if not isinstance(x, Tensor) or not x._k.dtype.is_inexact:
        return x
    out = x.detach()
    node = _new(Node)
    node.sequence = next_sequence_number()
    node.op = _Refusal(name)  # type: ignore[assignment]
    node.attributes = {}
    node.edges = edges
    node.kind, node.shape = out._k, tuple(out.shape)
    node.extra = None
    node.saved = node.versions = ()
    out._node, out._req = node, True
    return out
