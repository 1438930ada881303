"""The way of a call: entry, interpreters, autograd record, kernel.

Each operator gets one entry, a closure made here when the operator is defined.  It handles what
nearly every call is: plain tensors of one kind under a plain state.  All the rest goes, in this
fixed order, through `slow`: tensor subclasses, interpreters, autocast, autograd, device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._dtypes import DType, from_numpy_dtype
from ._errors import Explained, error
from ._modes import GRAD, NO_GRAD, STATE, State
from ._node import NO_ATTRIBUTES, Node, Port, next_sequence_number
from ._saving import keep
from ._size import Size
from ._storage import Storage
from ._tensor.tensor import (
    PLAIN,
    Tensor,
    base_of,
    contiguous_strides,
    dense,
    fresh,
    meta_tensor,
    native_of,
    over,
    refreshed,
    storage_of,
    strides_of,
)
from .backend import Kind, kind_of

if TYPE_CHECKING:
    from ._operator import Operator

_new = object.__new__
Entry = Callable[..., Any]
PYTHON_NUMBERS = frozenset((bool, int, float, complex))


# -- entries: the fast way ------------------------------------------------------------------


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
                result = kernel(native)
                if result.__class__ is not kind.array:
                    result = kind.runtime.wrap(result, kind.dtype)
                out = _new(Tensor)
                out._k = kind
                out._a = result
                out._storage = out._view = out._shape = None
                if state is GRAD and (
                    x._req if x._view is None else refreshed(x)
                ):
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
        kind = inputs[0]._k if inputs and inputs[0].__class__ in PLAIN else None
        kernel = None if kind is None else kind.hot[index]
        if kernel is not None:
            state = STATE.get()
            natives = joined(kind, inputs, state is GRAD) if state is GRAD or state is NO_GRAD else None
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

    def entry(*inputs: Any, **attributes: Any) -> Any:
        if len(attributes) != count:
            attributes = {**defaults, **attributes}
        state = STATE.get()
        if state is GRAD or state is NO_GRAD:
            for x in inputs:
                if x.__class__ not in PLAIN and x is not None:
                    return slow(op, inputs, attributes)
            return run(op, inputs, attributes, state.grad)
        return slow(op, inputs, attributes)

    return entry


# -- the slow way ---------------------------------------------------------------------------


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


def check_inside(x: Any, who: str) -> None:
    """Raises if a tensor is the wrapper of a transform that is not active."""
    if getattr(x, "is_level_tensor", False) and x.level not in STATE.get().interpreters:
        raise error(
            RuntimeError,
            who,
            "a tensor has left the transform that made it",
            fix="return it from the transformed function instead of keeping it aside",
        )


def overridden(function: Any, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
    """The answer of a tensor subclass that overrides a call, else `NotImplemented`."""
    found = []
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
    node.edges = tuple(
        [(x._node or x) if need else None for x, need in zip(inputs, needs, strict=True)]
    )
    node.extra = None
    if outputs.__class__ is tuple:
        node.shape = node.kind = None
        results: list[Any] = []
        for index, out in enumerate(outputs):
            results.append(((), None) if out is None else (tuple(out.shape), out._k))
            if out is None or index in op.constant_outputs:
                continue
            if out._k.dtype.is_inexact:
                out._node, out._req = Port(node, index, *results[-1]), True
        node.extra = {"results": tuple(results)}
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


def note_line(node: Node) -> None:
    """Remembers where a node was made, for anomaly mode."""
    import traceback

    node.extras()["traceback"] = traceback.format_stack()[:-3]


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
            if op.meta_rule is not None:
                op.meta_rule(*inputs, **attributes)  # knows better words, if the operands are bad
            raise missing_kernel(op, kind)
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
    buffer = runtime.allocate(count * spec.dtype.itemsize)
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


def wrong_device(op: Operator, inputs: tuple[Any, ...]) -> Exception:
    """The error for operands on several devices."""
    places = sorted({str(x.device) for x in inputs if x is not None})
    return error(
        RuntimeError,
        op.name,
        "Expected all tensors to be on the same device, but found at least two devices, "
        + " and ".join(places),
        given=described(inputs),
        expected="all tensors on one device",
        fix=f"move one, for example x.to('{places[0]}')",
    )


def missing_kernel(op: Operator, kind: Kind) -> Exception:
    """The error for an operator that a device does not have."""
    place = f"device '{kind.device}'"
    return error(
        NotImplementedError,
        op.name,
        f"{place} has no kernel for {kind.dtype}, and there is no decomposition",
        given=f"{kind.dtype} on {kind.device}",
        fix="convert the operands to another dtype, or compute this operator on another device",
    )


def described(inputs: tuple[Any, ...]) -> str:
    """Inputs as they appear in errors."""
    parts = []
    for x in inputs:
        if isinstance(x, Tensor):
            parts.append(f"{x.dtype.name} of shape {tuple(x.shape)} on {x.device}")
        elif x is not None:
            parts.append(repr(x))
    return ", ".join(parts)


def explained(
    op: Operator, inputs: tuple[Any, ...], attributes: dict[str, Any], raised: Exception
) -> Exception:
    """What to raise when a kernel refused its operands.

    The meta function knows what is wrong in the user's terms; if it finds nothing, the kernel's
    own words stand, with the operator and the operands.
    """
    if isinstance(raised, Explained):
        return raised
    if op.meta_rule is not None:
        try:
            op.meta_rule(*inputs, **attributes)
        except Exception as better:
            return better
    kind = type(raised)
    if kind not in (ValueError, TypeError, IndexError, RuntimeError, MemoryError):
        kind = NotImplementedError if isinstance(raised, NotImplementedError) else RuntimeError
    return error(kind, op.name, str(raised), given=described(inputs))


# -- views ----------------------------------------------------------------------------------


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


# -- writes ---------------------------------------------------------------------------------


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
    from ._operator import operators

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
    source = native_of(value)
    if value._k.device != x._k.device:
        source = x._k.runtime.from_host(value._k.runtime.to_host(source))
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
    if x._storage is None or 0 in x.shape or dense(x._shape, strides_of(x)):
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
    from ._operator import operators

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


def new_storage(kind: Kind, nbytes: int) -> Storage:
    """Uninitialised memory on a device."""
    if kind.is_meta:
        return Storage(kind.runtime, None)
    buffer = kind.runtime.allocate(nbytes)
    return Storage(kind.runtime, buffer, buffer)
