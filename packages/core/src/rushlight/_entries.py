"""Entries: the fast way of a call, one closure per operator.

An entry handles what nearly every call is: plain tensors of one kind under a plain state.  All the
rest goes through `_dispatch.slow`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._dispatch import record, run, slow, wrapped
from ._failures import explained
from ._modes import GRAD, NO_GRAD, STATE
from ._node import NO_ATTRIBUTES, Node, next_sequence_number
from ._tensor.tensor import (
    PLAIN,
    Tensor,
    native_of,
    refreshed,
)
from ._views import make_view

if TYPE_CHECKING:
    from ._operator import Operator

_new = object.__new__
Entry = Callable[..., Any]


def unary_entry(op: Operator) -> Entry:
    """Entry of an elementwise operator of one tensor, whose result has the operand's kind."""
    index = op.index

    def entry(x: Any) -> Any:
        if x.__class__ in PLAIN:
            kind = x._k
            state = STATE.get()
            kernel = kind.hot[index]
            if kernel is not None and (state is GRAD or state is NO_GRAD):
                native = x._a
                if native is None:
                    native = native_of(x)
                try:
                    result = kernel(native)
                except Exception as raised:
                    raise explained(op, (x,), NO_ATTRIBUTES, raised) from raised
                if result.__class__ is not kind.array:
                    result = kind.runtime.wrap(result, kind.dtype)
                out = _new(Tensor)
                out._k = kind
                out._a = result
                out._storage = out._view = out._shape = None
                if state is GRAD and (x._req if x._view is None else refreshed(x)):
                    out._req = True
                    keeps = op.keeper_one
                    node = _new(Node)
                    node.sequence = next_sequence_number()
                    node.op = op
                    node.attributes = NO_ATTRIBUTES
                    node.edges = (x._node or x,)
                    node.kind = kind
                    node.extra = None
                    node.shape = out._shape = result.shape
                    if keeps is None:
                        node.saved = node.versions = ()
                    else:
                        keeps(node, x, None, out)
                    out._node = node
                else:
                    out._req = False
                    out._node = None
                return out
        return op.slow_entry(x)

    return entry


def binary_entry(op: Operator, slow_entry: Entry | None = None) -> Entry:
    """Entry of an elementwise operator of two tensors, or a tensor and a number.

    Operands of one kind go straight to the kernel.  A kernel that refuses them is asked for the
    reason only then (`explained`), so a call that succeeds pays for no check.

    Args:
        op: The operator.
        slow_entry: What takes all other calls; the operator's own by default.
    """
    index = op.index
    compares = op.compares
    if slow_entry is None:

        def slow_entry(x: Any, y: Any) -> Any:
            return op.slow_entry(x, y)

    def entry(x: Any, y: Any) -> Any:
        if x.__class__ in PLAIN:
            kind = x._k
            kernel = kind.hot[index]
            if kernel is not None:
                state = STATE.get()
                a = x._a
                if a is None:
                    a = native_of(x)
                if y.__class__ in PLAIN:
                    if y._k is not kind:
                        return slow_entry(x, y)
                    b = y._a
                    if b is None:
                        b = native_of(y)
                    if state is GRAD:
                        needs_x = x._req if x._view is None else refreshed(x)
                        needs_y = y._req if y._view is None else refreshed(y)
                    elif state is NO_GRAD:
                        needs_x = needs_y = False
                    else:
                        return slow_entry(x, y)
                elif y.__class__ in kind.numbers:
                    b = kind.scalars.get(y) if y else None
                    if b is None:
                        b = kind.scalar(y)
                    if state is GRAD:
                        needs_x = x._req if x._view is None else refreshed(x)
                        needs_y = False
                    elif state is NO_GRAD:
                        needs_x = needs_y = False
                    else:
                        return slow_entry(x, y)
                else:
                    return slow_entry(x, y)
                try:
                    result = kernel(a, b)
                except Exception as raised:
                    raise explained(op, (x, y), NO_ATTRIBUTES, raised) from raised
                if compares:
                    kind = kind.bool_kind
                if result.__class__ is not kind.array:
                    result = kind.runtime.wrap(result, kind.dtype)
                out = _new(Tensor)
                out._k = kind
                out._a = result
                out._storage = out._view = out._shape = None
                if (needs_x or needs_y) and not compares:
                    out._req = True
                    node = _new(Node)
                    node.sequence = next_sequence_number()
                    node.op = op
                    node.attributes = NO_ATTRIBUTES
                    node.edges = (
                        (x._node or x) if needs_x else None,
                        (y._node or y) if needs_y else None,
                    )
                    node.kind = kind
                    node.extra = None
                    node.shape = out._shape = result.shape
                    keeps = op.keepers_two[needs_x + 2 * needs_y]
                    if keeps is None:
                        node.saved = node.versions = ()
                    else:
                        keeps(node, x, y, out)
                    out._node = node
                else:
                    out._req = False
                    out._node = None
                return out
        return slow_entry(x, y)

    return entry


def elementwise_entry(op: Operator) -> Entry:
    """Entry of an elementwise operator of any number of tensors, with or without attributes.

    Where nothing is recorded, operands of one kind and numbers that join them go straight to the
    kernel.
    """
    index = op.index
    defaults = op.schema.defaults
    count = len(op.schema.attributes)

    def entry(*inputs: Any, **attributes: Any) -> Any:
        if len(attributes) != count:
            attributes = {**defaults, **attributes}
        kind: Any = inputs[0]._k if inputs and inputs[0].__class__ in PLAIN else None
        kernel = None if kind is None else kind.hot[index]
        if kernel is not None:
            state = STATE.get()
            natives = (
                joined(kind, inputs, state is GRAD) if state is GRAD or state is NO_GRAD else None
            )
            if natives is not None:
                try:
                    results = kernel(*natives, **attributes)
                except Exception as raised:
                    raise explained(op, inputs, attributes, raised) from raised
                if results.__class__ is tuple:
                    return tuple(wrapped(kind, r) for r in results)
                return wrapped(kind, results)
        return op.slow_entry(*inputs, **attributes)

    return entry


def joined(kind: Any, inputs: tuple[Any, ...], grad: bool) -> list[Any] | None:
    """Native arrays of operands of one kind and of numbers that join them without promotion.

    None if there are other operands, or one that wants a gradient.
    """
    natives: list[Any] = []
    for x in inputs:
        if x.__class__ in PLAIN:
            if x._k is not kind or (grad and (x._req or x._view is not None)):
                return None
            native = x._a
            natives.append(native_of(x) if native is None else native)
        elif x.__class__ in kind.numbers:
            natives.append(kind.scalar(x))
        elif x is None:
            natives.append(None)
        else:
            return None
    return natives


def view_entry(op: Operator) -> Entry:
    """Entry of a view operator: geometry only, no kernel."""

    def entry(x: Any, **attributes: Any) -> Any:
        if x.__class__ in PLAIN:
            state = STATE.get()
            if state is GRAD or state is NO_GRAD:
                return make_view(op, x, attributes, state)
        return slow(op, (x,), attributes)

    return entry


def generic_entry(op: Operator) -> Entry:
    """Entry of any other operator: inputs by position, attributes by keyword."""
    defaults = op.schema.defaults
    count = len(op.schema.attributes)
    index = op.index
    creates = op.creates
    differentiable = op.differentiable

    def general(inputs: tuple[Any, ...], attributes: dict[str, Any], grad: bool) -> Any:
        for x in inputs:
            if x.__class__ not in PLAIN and x is not None:
                return slow(op, inputs, attributes)
        return run(op, inputs, attributes, grad)

    def entry(*inputs: Any, **attributes: Any) -> Any:
        if len(attributes) != count:
            attributes = {**defaults, **attributes}
        state = STATE.get()
        if state is not GRAD and state is not NO_GRAD:
            return slow(op, inputs, attributes)
        recording = state is GRAD and differentiable
        recorded = False
        kind: Any = None
        kernel: Any = None
        natives: list[Any] = []
        for x in inputs:
            if x.__class__ in PLAIN:
                if kind is None:
                    kind = x._k
                    kernel = kind.hot[index]
                if kernel is None or (x._k is not kind and x._k.device != kind.device):
                    return general(inputs, attributes, recording)
                native = x._a
                natives.append(native_of(x) if native is None else native)
                if recording and not recorded:
                    recorded = x._req if x._view is None else refreshed(x)
            elif x is None:
                natives.append(None)
            else:
                return slow(op, inputs, attributes)
        if kernel is None or creates:
            return general(inputs, attributes, recording)
        if recorded and op.vjp_rule is None and op.decomposition_rule is not None:
            return op.decomposition_rule(*inputs, **attributes)
        try:
            results = kernel(*natives, **attributes)
        except Exception as raised:
            raise explained(op, inputs, attributes, raised) from raised
        outputs: Any
        if results.__class__ is tuple:
            outputs = tuple([None if r is None else wrapped(kind, r) for r in results])
        else:
            outputs = wrapped(kind, results)
        if recorded:
            needs = [
                x is not None and (x._req if x._view is None else refreshed(x)) for x in inputs
            ]
            return record(op, inputs, attributes, outputs, tuple(needs))
        return outputs

    return entry
