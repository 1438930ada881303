"""The way of a call: subclasses, interpreters, autocast, autograd record, kernel.

The entries of `_entries` handle plain calls themselves and end in `run` or a kernel; all other
calls come to `slow`, which asks in one fixed order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._detour import detour
from ._dtypes import DType, from_numpy_dtype
from ._errors import error
from ._failures import check_inside, explained, missing_kernel, out_of_memory, wrong_device
from ._modes import STATE
from ._node import Node, Port, next_sequence_number, note_line
from ._saving import keep
from ._tensor.tensor import (
    PLAIN,
    Tensor,
    contiguous_strides,
    fresh,
    meta_tensor,
    native_of,
    refreshed,
)
from ._views import make_view
from ._writes import write
from .backend import Kind, kind_of

if TYPE_CHECKING:
    from ._operator import Operator

_new = object.__new__
PYTHON_NUMBERS = frozenset((bool, int, float, complex))


def slow(op: Operator, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
    """One call in full: subclasses, interpreters, autocast, autograd and device, in this order."""
    state = STATE.get()
    if state.overrides:
        answer = overridden(op.public or op, inputs, attributes)
        if answer is not NotImplemented:
            return answer
    if state.interpreters:
        return state.interpreters[-1].process(op, inputs, attributes)
    if state.autocast is not None:
        inputs = state.autocast.cast(op, inputs)
    for x in inputs:
        if x is not None and not isinstance(x, Tensor):
            raise error(
                TypeError,
                op.name,
                f"expected a Tensor, got {type(x).__name__}",
                expected=op.schema.text,
            )
        check_inside(x, op.name)
    if op.view_rule is not None:
        view = make_view(op, inputs[0], attributes, state)
        if state.anomaly and view._node is not None:
            note_line(view._node)
        return view
    if op.writes:
        return write(inputs[0], inputs[1])
    return run(op, inputs, attributes, state.grad)


def overridden(function: Any, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
    """The answer of a tensor subclass that overrides a call, else `NotImplemented`."""
    found: list[Any] = []
    for x in inputs:
        cls = x.__class__
        if cls not in PLAIN and cls not in PYTHON_NUMBERS and x is not None:
            if getattr(cls, "is_level_tensor", False):
                continue
            method = getattr(cls, "__rushlight_function__", None) or getattr(
                cls, "__torch_function__", None
            )
            if method is not None and all(type(other) is not cls for other, _ in found):
                found.append((x, method))
    types = tuple(type(x) for x, _ in found)
    for _, method in found:
        answer = method(function, types, inputs, attributes)
        if answer is not NotImplemented:
            return answer
    if found:
        raise error(
            TypeError,
            getattr(function, "__name__", str(function)),
            "no implementation found for the given tensor types",
            given=", ".join(cls.__name__ for cls in types),
            expected="one whose __rushlight_function__ answers",
        )
    return NotImplemented


def run(op: Operator, inputs: tuple[Any, ...], attributes: dict[str, Any], grad: bool) -> Any:
    """Autograd and device: records the call if an input requires grad, and executes it."""
    if grad and op.differentiable:
        needs = [
            False if x is None else x._req if x._view is None else refreshed(x) for x in inputs
        ]
        if True in needs:
            if op.vjp_rule is None and op.decomposition_rule is not None:
                return op.decomposition_rule(*inputs, **attributes)
            return record(op, inputs, attributes, execute(op, inputs, attributes), tuple(needs))
    return execute(op, inputs, attributes)


def record(
    op: Operator,
    inputs: tuple[Any, ...],
    attributes: dict[str, Any],
    outputs: Any,
    needs: tuple[bool, ...],
) -> Any:
    """Hangs a node onto the results of a call."""
    node = _new(Node)
    node.sequence = next_sequence_number()
    node.op = op
    node.attributes = attributes
    if len(inputs) == 1:
        node.edges = (inputs[0]._node or inputs[0],)
    else:
        node.edges = tuple(
            [(x._node or x) if need else None for x, need in zip(inputs, needs, strict=True)]
        )
    node.extra = None
    if outputs.__class__ is tuple:
        node.shape = None
        results: list[Any] = []
        for index, out in enumerate(outputs):
            results.append(((), None) if out is None else (tuple(out.shape), out._k))
            if out is None or index in op.constant_outputs:
                continue
            if out._k.dtype.is_inexact:
                out._node, out._req = Port(node, index, *results[-1]), True
        node.kind = tuple(results)
    else:
        kind, shape = outputs._k, outputs._shape
        if not kind.dtype.is_inexact:
            return outputs
        node.shape, node.kind = outputs._a.shape if shape is None else tuple(shape), kind
        outputs._node, outputs._req = node, True
    if op.vjp_rule is None:
        node.saved = node.versions = ()
    else:
        keep(node, op.vjp_rule.keeps(needs), inputs, outputs)
    state = STATE.get()
    if state.anomaly:
        note_line(node)
    return outputs


def execute(op: Operator, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
    """Kernel, or decomposition where the device has no kernel."""
    kind = device_kind(op, inputs, attributes)
    recorder = STATE.get().recorder
    if recorder is not None:
        return recorder.execute(op, inputs, attributes, kind)
    return execute_kernel(op, inputs, attributes, kind)


def execute_kernel(
    op: Operator, inputs: tuple[Any, ...], attributes: dict[str, Any], kind: Kind
) -> Any:
    """The part of `execute` that touches data."""
    if kind.is_meta:
        return execute_meta(op, inputs, attributes, kind)
    kernel = kind.t[op.index]
    if kernel is None:
        if op.decomposition_rule is None:
            return detour(op, inputs, attributes, kind)
        return without_recording(op.decomposition_rule, inputs, attributes)
    if not kind.infers and op.meta_rule is not None:
        return launched(op, inputs, attributes, kind, kernel)
    natives = [None if x is None else native_of(x) for x in inputs]
    try:
        if op.creates:
            # The kernel belongs to one device already; it only makes the array.
            results = kernel(**{k: v for k, v in attributes.items() if k != "device"})
        else:
            results = kernel(*natives, **attributes)
    except Exception as raised:
        raise explained(op, inputs, attributes, raised) from raised
    if results.__class__ is tuple:
        return tuple(None if r is None else wrapped(kind, r) for r in results)
    return wrapped(kind, results)


def launched(
    op: Operator, inputs: tuple[Any, ...], attributes: dict[str, Any], kind: Kind, kernel: Any
) -> Any:
    """Runs a kernel of a device that does not infer shapes: it writes into memory made for it."""
    specs = op.meta_rule(*inputs, **attributes)  # type: ignore[misc]
    several = specs.__class__ is tuple
    made = [None if s is None else unwritten(kind, s) for s in (specs if several else (specs,))]
    natives = [None if x is None else native_of(x) for x in inputs]
    out = tuple(None if x is None else x._a for x in made)
    if op.creates:
        attributes = {k: v for k, v in attributes.items() if k != "device"}
    try:
        kernel(*natives, out=out if several else out[0], **attributes)
    except Exception as raised:
        raise explained(op, inputs, attributes, raised) from raised
    return tuple(made) if several else made[0]


def unwritten(kind: Kind, spec: Spec) -> Tensor:
    """A tensor of unwritten memory on the device of a kind."""
    if spec.dtype is not kind.dtype:
        kind = kind_of(kind.device, spec.dtype)
    runtime, shape = kind.runtime, spec.shape
    count = 1
    for n in shape:
        count *= n
    nbytes = count * spec.dtype.itemsize
    try:
        buffer = runtime.allocate(nbytes)
    except MemoryError as raised:
        raise out_of_memory(f"{nbytes} bytes on {kind.device}", raised, ()) from raised
    return fresh(kind, runtime.view(buffer, 0, shape, contiguous_strides(shape), spec.dtype))


def without_recording(
    rule: Callable[..., Any], inputs: tuple[Any, ...], attributes: dict[str, Any]
) -> Any:
    """Runs a rule with recording off."""
    state = STATE.get()
    if not state.grad:
        return rule(*inputs, **attributes)
    token = STATE.set(state.but(grad=False))
    try:
        return rule(*inputs, **attributes)
    finally:
        STATE.reset(token)


def wrapped(kind: Kind, result: Any) -> Tensor:
    """A tensor around what a kernel returned."""
    host = result.dtype
    if host is not kind.host:  # else a result of the operands' kind, as most are
        dtype: DType = host if host.__class__ is DType else from_numpy_dtype(host)
        if dtype is not kind.dtype:
            kind = kind_of(kind.device, dtype)
    if result.__class__ is not kind.array:
        result = kind.runtime.wrap(result, kind.dtype)
    return fresh(kind, result)


def execute_meta(
    op: Operator, inputs: tuple[Any, ...], attributes: dict[str, Any], kind: Kind
) -> Any:
    """Shapes and dtypes only."""
    if op.meta_rule is None:
        if op.decomposition_rule is None:
            raise missing_kernel(op, kind)
        return without_recording(op.decomposition_rule, inputs, attributes)
    specs = op.meta_rule(*inputs, **attributes)
    if specs.__class__ is tuple:
        return tuple(None if s is None else s.on(kind.device) for s in specs)
    return specs.on(kind.device)


class Spec:
    """What a meta function returns: shape and dtype of a result."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: DType) -> None:
        self.shape = tuple(shape)
        self.dtype = dtype

    def on(self, where: Any) -> Tensor:
        """A tensor of that shape and dtype without data."""
        return meta_tensor(kind_of(where, self.dtype), self.shape, None)


def device_kind(op: Operator, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Kind:
    """The kind that chooses the kernel: the first input's; checks that devices agree."""
    first: Kind | None = None
    for x in inputs:
        if x is not None:
            if first is None:
                first = x._k
            elif x._k.device != first.device:
                raise wrong_device(op, inputs)
    if first is None:
        return kind_of(attributes["device"], attributes["dtype"])
    return first
