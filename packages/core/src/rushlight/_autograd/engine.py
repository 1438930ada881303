"""The engine: walks recorded calls from last to first and gives every leaf its gradient.

A heap ordered by sequence number replaces dependency counts: a node's consumers were all recorded
after it, so when it is the highest number left, its gradient is complete.  Nothing recurses, and
the state of a pass lives in the pass, so passes may nest and run in several threads.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextvars import ContextVar
from heapq import heappop, heappush
from typing import Any

import numpy as np

from .._errors import error
from .._modes import GRAD, NO_GRAD, STATE
from .._node import FREED, AccumulateGrad, GradientEdge, Node, Port, port_of
from .._registered import operators
from .._tensor.tensor import Tensor, fresh

_Edge = Any
#: The pass that runs now, for hooks that wait for several gradients.
CURRENT: ContextVar[Pass | None] = ContextVar("rushlight_pass", default=None)


def edge_of(x: Tensor) -> _Edge:
    """Where the gradient of a tensor, or of a `GradientEdge`, goes."""
    if isinstance(x, GradientEdge):
        if isinstance(x.node, AccumulateGrad):
            return x.node.variable
        return port_of(x.node, x.output_nr) if x.node.shape is None else x.node
    if x._view is not None:
        x.requires_grad  # noqa: B018  (brings the history of a view up to date)
    return x._node or x


def fitted(g: Tensor, shape: tuple[int, ...], kind: Any) -> Tensor:
    """A gradient in the shape and kind of what it belongs to: summed over broadcast dimensions."""
    if g._k is not kind:
        if g._k.is_complex and not kind.is_complex:
            g = operators["real"].function(g)
        if g._k.device != kind.device:
            g = _check_device(g, shape, kind.device)
        g = operators["to_kind"].function(g, kind)
    if shape_of(g) != shape:
        g = operators["sum_to"].function(g, shape)
    return g


def shape_of(x: Tensor) -> tuple[int, ...]:
    """The shape as it is stored, which nobody need make a `Size` of."""
    shape = x._shape
    return x._a.shape if shape is None else shape  # type: ignore[no-any-return]


def _check_device(g: Tensor, shape: tuple[int, ...], device: Any) -> Tensor:
    """A gradient that comes from another device: only that of a 0-d tensor may, which as an operand
    may lie on the host as well."""
    if g.shape != shape:
        g = operators["sum_to"].function(g, shape)
    if g.ndim:
        raise error(
            RuntimeError,
            "backward",
            f"invalid gradient: expected device {device} but got {g.device}",
            given=f"a gradient of shape {tuple(g.shape)} on {g.device}",
            expected=f"one on {device}, where the tensor lies that it belongs to",
            fix=f"move it with .to('{device}')",
        )
    return g


class Pass:
    """One backward pass.

    Args:
        retain: Keep what nodes saved for another pass.
        create: Record the pass itself.
        wanted: Edges whose gradients are returned instead of accumulated, None for a plain
            backward, which accumulates into every leaf.
    """

    def __init__(self, retain: bool, create: bool, wanted: Sequence[_Edge] | None) -> None:
        self.retain = retain
        self.create = create
        self.heap: list[tuple[int, Node]] = []
        self.pending: dict[Any, Any] = {}
        self.leaves: dict[Any, Tensor] = {}
        #: Gradients that this pass made of zeros for the views of a tensor, and may write to.
        self.buffers: dict[Any, Tensor] = {}
        self.wanted: set[_Edge] | None = None if wanted is None else set(map(_key, wanted))
        self.found: dict[_Edge, Tensor] = {}
        self.useful: set[Node] | None = None
        self.roots: list[_Edge] = []
        self._reached: set[int] | None = None

    # -- sending -------------------------------------------------------------------------

    def send(self, edge: _Edge, g: Tensor) -> None:
        """Adds a gradient to what an edge has received."""
        cls = edge.__class__
        if cls is Node:
            shape = g._shape
            if g._k is not edge.kind or (g._a.shape if shape is None else shape) != edge.shape:
                g = fitted(g, edge.shape, edge.kind)
            pending = self.pending
            known = pending.get(edge)
            if known is not None:
                pending[edge] = known + g
            elif self.useful is None or edge in self.useful:
                pending[edge] = g
                heappush(self.heap, (-edge.sequence, edge))
        elif cls is Port:
            if g._k is not edge.kind or shape_of(g) != edge.shape:
                g = fitted(g, edge.shape, edge.kind)
            self._send_to_port(edge, g)
        else:
            shape = shape_of(edge)
            if g._k is not edge._k or shape_of(g) != shape:
                g = fitted(g, shape, edge._k)
            known = self.leaves.get(edge)
            self.leaves[edge] = g if known is None else known + g

    def _send_to_port(self, port: Port, g: Tensor) -> None:
        node = port.node
        parts = self.pending.get(node)
        if parts is None:
            if self.useful is not None and node not in self.useful:
                return
            parts = self.pending[node] = [None] * len(node.kind)
            heappush(self.heap, (-node.sequence, node))
        known = parts[port.index]
        parts[port.index] = g if known is None else known + g

    def send_to_selection(self, node: Node, g: Tensor) -> bool:
        """Adds the gradient of a view to that of what it looked at, in place.

        Each of the many views that cut a tensor up would otherwise send a gradient of its full
        size, and their sum take quadratic time.  False if that is not possible here.
        """
        edge = node.edges[0]
        if edge is None or edge.__class__ is Port or g.__class__ is not Tensor:
            return False
        if STATE.get() is not NO_GRAD:
            return False
        is_node = edge.__class__ is Node
        if self.useful is not None and is_node and edge not in self.useful:
            return True
        received = self.pending if is_node else self.leaves
        known, buffer = received.get(edge), self.buffers.get(edge)
        if known is None:
            kind, shape = (edge.kind, edge.shape) if is_node else (edge._k, shape_of(edge))
            full = operators["full"].function
            buffer = full(tuple(shape), 0, dtype=kind.dtype, device=kind.device)
            self.send(edge, buffer)
        elif known is not buffer:
            buffer = received[edge] = operators["clone"](known)
        self.buffers[edge] = buffer
        part: Any = node.op(buffer, **node.attributes)
        if known is None:
            operators["copy_"](part, g)
        else:
            part.add_(g)
        return True

    # -- running -------------------------------------------------------------------------

    def run(self, roots: Sequence[tuple[_Edge, Tensor]]) -> None:
        """Sends the roots' gradients and runs every node they reach."""
        if self.wanted is not None:
            self.useful = _nodes_leading_to(self.wanted, [edge for edge, _ in roots])
        self.roots = [edge for edge, _ in roots]
        state = STATE.get()
        token = STATE.set(
            NO_GRAD if state is GRAD and not self.create else state.but(grad=self.create)
        )
        outer = CURRENT.set(self)
        try:
            for edge, g in roots:
                self.send(edge, g)
            self._run_nodes(self.wanted is None and not state.anomaly)
            for leaf, g in self.leaves.items():
                self.finish_leaf(leaf, g)
        finally:
            CURRENT.reset(outer)
            STATE.reset(token)

    def _run_nodes(self, plain: bool) -> None:
        """Runs what was sent to, the last recorded node first.

        A node that nobody else waits with needs no heap: in a chain, gradients go straight from one
        to the next.
        """
        heap, pending, send, retain = self.heap, self.pending, self.send, self.retain
        while heap:
            node = heappop(heap)[1]
            g = pending.pop(node)
            while True:
                following = None
                if self.buffers:
                    self.buffers.pop(node, None)  # from here on the gradient is others' too
                if not plain or node.extra is not None:
                    self.step(node, g)
                    break
                op = node.op
                if op.selects and self.send_to_selection(node, g):
                    break
                rule = op.vjp_rule
                if rule is None:
                    raise no_derivative(node)
                edges = node.edges
                place = 0
                if g.__class__ is list:  # of several results
                    g = tuple(g)
                for gradient in rule(node, g):
                    if gradient is not None:
                        edge = edges[place]
                        if edge is not None:
                            if (
                                edge.__class__ is Node
                                and following is None
                                and not heap
                                and gradient._k is edge.kind
                                and shape_of(gradient) == edge.shape
                            ):
                                following, waiting = edge, gradient
                            else:
                                send(edge, gradient)
                    place += 1
                if node.saved and not retain and rule.holds_tensors:
                    node.saved = FREED
                if following is None:
                    break
                if heap:  # others came after it: it has to wait for its turn
                    send(following, waiting)
                    break
                node, g = following, waiting

    def reaches(self) -> set[int]:
        """Identities of the nodes and leaves that this pass gives a gradient to."""
        if self._reached is None:
            found: set[int] = set()
            stack = list(self.roots)
            while stack:
                edge = stack.pop()
                target = edge.node if edge.__class__ is Port else edge
                if id(target) in found:
                    continue
                found.add(id(target))
                if target.__class__ is not Node:
                    continue
                if self.wanted is None:
                    stack.extend(e for e in target.edges if e is not None)
                elif self._leads_on(target):
                    stack.extend(e for e in target.edges if e is not None and self._takes(e))
            self._reached = found
        return self._reached

    def step(self, node: Node, g: Any) -> None:
        """Runs one node and sends its gradients on."""
        if node.extra is not None:
            g = self._before(node, g)
        if self.wanted is not None:
            g = self._collect(node, g)
            if g is None:
                return
        if node.op.selects and node.extra is None and self.send_to_selection(node, g):
            return
        rule = node.op.vjp_rule
        if rule is None:
            raise no_derivative(node)
        if g.__class__ is list:
            g = tuple(g)
        try:
            gradients = rule(node, g)
        except Exception as raised:
            _tell_origin(node, raised)
            raise
        if node.extra is not None:
            gradients = self._after(node, gradients, g)
        if STATE.get().anomaly:
            _check_nan(node, gradients)
        send = self.send
        for edge, gradient in zip(node.edges, gradients, strict=True):
            if gradient is not None and edge is not None:
                send(edge, gradient)
        if node.saved and not self.retain and rule.holds_tensors:
            node.saved = FREED

    def _before(self, node: Node, g: Any) -> Any:
        """Hooks and retained gradients of the node's results."""
        extra: dict[str, Any] = node.extra  # type: ignore[assignment]
        hooks = extra.get("tensor_hooks")
        if hooks:
            parts = g if g.__class__ is list else [g]
            for index, functions in hooks.items():
                if parts[index] is not None:
                    parts[index] = apply_hooks(functions, parts[index])
            g = g if g.__class__ is list else parts[0]
        for index, reference in extra.get("retained", {}).items():
            x = reference()
            part = g[index] if g.__class__ is list else g
            if x is not None and part is not None:
                known = x.grad
                # A clone: the same array may be on its way to another tensor.
                x._grad = operators["clone"](part) if known is None else known + part
        for hook in tuple(extra.get("prehooks", {}).values()):
            changed = hook(tuple(g) if g.__class__ is list else (g,))
            if changed is not None:
                changed = changed if isinstance(changed, tuple) else (changed,)
                g = list(changed) if g.__class__ is list else changed[0]
        return g

    def _after(self, node: Node, gradients: tuple[Any, ...], g: Any) -> tuple[Any, ...]:
        extra: dict[str, Any] = node.extra  # type: ignore[assignment]
        for hook in tuple(extra.get("posthooks", {}).values()):
            changed = hook(gradients, g if isinstance(g, tuple) else (g,))
            if changed is not None:
                gradients = changed if isinstance(changed, tuple) else (changed,)
        return gradients

    def _collect(self, node: Node, g: Any) -> Any:
        """Takes the gradients that were asked for; None if the node need not run."""
        wanted: set[_Edge] = self.wanted  # type: ignore[assignment]
        if node in wanted:
            self.found[node] = g
        if g.__class__ is list:
            for index, part in enumerate(g):
                if (node, index) in wanted and part is not None:
                    self.found[node, index] = part
        return g if self._leads_on(node) else None

    def _takes(self, edge: _Edge) -> bool:
        """Whether a pass for certain inputs sends gradients along an edge."""
        target = edge.node if edge.__class__ is Port else edge
        return target in self.useful if target.__class__ is Node else target in self.wanted  # type: ignore[operator]

    def _leads_on(self, node: Node) -> bool:
        wanted: set[_Edge] = self.wanted  # type: ignore[assignment]
        useful: set[Node] = self.useful  # type: ignore[assignment]
        for edge in node.edges:
            if edge is not None:
                key = _key(edge)
                target = edge.node if edge.__class__ is Port else edge
                if key in wanted or target in useful:
                    return True
        return False

    def finish_leaf(self, leaf: Tensor, g: Tensor) -> None:
        """Hooks of a leaf, then its `.grad`."""
        own = leaf.__dict__
        if own and own.get("_tensor_hooks"):
            g = apply_hooks(own["_tensor_hooks"], g)
        if self.wanted is not None:
            if leaf in self.wanted:
                self.found[leaf] = g
            return
        known = leaf.grad
        if known is None:
            # The array may be another tensor's too (add hands one gradient to both operands):
            # only a gradient that nobody else holds becomes the leaf's own without a copy.
            leaf._grad = g if _held_once(g) else operators["clone"](g)
        elif self.create:
            leaf._grad = known + g
        else:
            known.add_(g)
        if own:
            for hook in tuple(own.get("_post_accumulate_hooks", {}).values()):
                hook(leaf)


def no_derivative(node: Node) -> Exception:
    """The error for an operator without a vjp rule."""
    return error(
        RuntimeError,
        node.op.name,
        f"derivative for {node.op.name} is not implemented",
        fix="detach() its inputs if no gradient is wanted",
    )


def _held_once(g: Tensor) -> bool:
    """Whether a gradient is a fresh array that only this pass refers to."""
    native = g._a
    if native is None or g._storage is not None or g._req:
        return False
    # The tensor itself, and the argument of the call.
    return sys.getrefcount(native) <= 3 and sys.getrefcount(g) <= 6


def _key(edge: _Edge) -> Any:
    return (edge.node, edge.index) if edge.__class__ is Port else edge


def apply_hooks(hooks: dict[int, Any], g: Tensor) -> Tensor:
    """A gradient after a tensor's hooks."""
    for hook in tuple(hooks.values()):
        changed = hook(g)
        if changed is not None:
            if not isinstance(changed, Tensor):
                raise error(
                    TypeError, "register_hook",
                    f"expected a Tensor, but a hook returned {type(changed).__name__}",
                )  # fmt: skip
            g = changed
    return g


def _nodes_leading_to(wanted: set[_Edge], roots: Sequence[_Edge]) -> set[Node]:
    """Nodes from which an asked-for edge can be reached; iterative, whatever the depth."""
    useful: set[Node] = set()
    targets = {key[0] if key.__class__ is tuple else key for key in wanted}
    done: set[Node] = set()
    stack: list[tuple[Node, bool]] = []
    for edge in roots:
        node = edge.node if edge.__class__ is Port else edge
        if node.__class__ is Node:
            stack.append((node, False))
    while stack:
        node, children_done = stack.pop()
        if children_done:
            if node in targets or any(
                (e.node if e.__class__ is Port else e) in useful or _key(e) in wanted
                for e in node.edges
                if e is not None
            ):
                useful.add(node)
            continue
        if node in done:
            continue
        done.add(node)
        stack.append((node, True))
        for e in node.edges:
            child = e.node if e.__class__ is Port else e
            if child.__class__ is Node and child not in done:
                stack.append((child, False))
    return useful


def _tell_origin(node: Node, raised: Exception) -> None:
    lines = (node.extra or {}).get("traceback")
    if lines and hasattr(raised, "add_note"):
        raised.add_note(
            f"Error detected in {node.op.backward_name}. Traceback of forward call that caused "
            "the error:\n" + "".join(lines)
        )


def _check_nan(node: Node, gradients: tuple[Any, ...]) -> None:
    if not STATE.get().anomaly_nan:
        return
    for place, g in enumerate(gradients):
        if isinstance(g, Tensor) and bool((g != g).any()):
            raised = error(
                RuntimeError,
                node.op.backward_name,
                f"Function '{node.op.backward_name}' returned nan values in its {place}th output",
                fix="look at the forward call named below",
            )
            _tell_origin(node, raised)
            raise raised


# -- the two ways in ------------------------------------------------------------------------


def _sequence(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, (Tensor, GradientEdge)) else tuple(value)


def _first_gradients(
    who: str, tensors: tuple[Tensor, ...], gradients: tuple[Any, ...], create: bool
) -> list[tuple[_Edge, Tensor]]:
    if gradients and len(gradients) != len(tensors):
        raise error(
            RuntimeError,
            who,
            f"got {len(tensors)} tensors and {len(gradients)} gradients",
        )
    roots: list[tuple[_Edge, Tensor]] = []
    for place, x in enumerate(tensors):
        g = gradients[place] if gradients else None
        if g is None and x.__class__ is Tensor and x._req and x._view is None:
            if not x._k.is_complex and shape_of(x) == ():  # a loss, the usual case
                roots.append((x._node or x, _one(x)))
                continue
        if isinstance(x, GradientEdge):
            if g is None:
                raise error(
                    RuntimeError, who, "a GradientEdge as output needs a gradient",
                    fix="pass it in grad_outputs",
                )  # fmt: skip
            roots.append((edge_of(x), g if create else g.detach() if g.requires_grad else g))
            continue
        if not isinstance(x, Tensor) or not x.requires_grad:
            raise error(
                RuntimeError,
                who,
                f"element {place} of tensors does not require grad and does not have a grad_fn",
                fix="compute it from a tensor with requires_grad=True, outside no_grad()",
            )
        if g is None:
            if x.numel() != 1:
                raise error(
                    RuntimeError,
                    who,
                    "grad can be implicitly created only for scalar outputs",
                    given=f"an output of shape {tuple(x.shape)}",
                    fix="reduce it first, for example with sum(), or pass a gradient of its shape",
                )
            if x.is_complex():
                raise error(
                    RuntimeError,
                    who,
                    "grad can be implicitly created only for real scalar outputs but got "
                    f"{x.dtype}",
                )
            g = _one(x)
        elif g.shape != x.shape:
            raise error(
                RuntimeError,
                who,
                f"Mismatch in shape: grad_output[{place}] has a shape of {tuple(g.shape)} and "
                f"output[{place}] has a shape of {tuple(x.shape)}",
            )
        elif g.is_complex() != x.is_complex():
            raise error(
                RuntimeError,
                who,
                "For complex Tensors, both grad_output and output are required to have the same "
                f"dtype. Mismatch in dtype: grad_output[{place}] has a dtype of {g.dtype} and "
                f"output[{place}] has a dtype of {x.dtype}",
            )
        roots.append((edge_of(x), g if create else g.detach() if g.requires_grad else g))
    return roots


_HOST_ONES: dict[Any, Any] = {}


def _one(x: Tensor) -> Tensor:
    """The gradient of a tensor of one element by itself."""
    if x.__class__ is Tensor and shape_of(x) == () and not x._k.is_meta:
        state = STATE.get()
        kind = x._k
        # A device without that kernel takes the way that reports it.
        if (state is GRAD or state is NO_GRAD) and kind.t[operators["full"].index] is not None:
            one = _HOST_ONES.get(kind.dtype)
            if one is None:
                one = _HOST_ONES[kind.dtype] = np.ones((), kind.host)
            return fresh(kind, kind.runtime.from_host(one))
    return operators["full"].function(tuple(x.shape), 1, dtype=x.dtype, device=x.device)  # type: ignore[no-any-return]


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Adds the gradients of tensors to the `.grad` of the leaves they were computed from.

    Args:
        tensors: Results to differentiate.
        grad_tensors: Their gradients; may be left out for results of one element.
        retain_graph: Keeps what the graph saved, for another pass; `create_graph` by default.
        create_graph: Records the pass, for higher derivatives.
        inputs: Only these tensors receive a gradient.
    Raises:
        RuntimeError: A result does not require grad, a shape does not fit, or the graph was freed.
    Example:
        >>> x = rushlight.tensor(3.0, requires_grad=True)
        >>> rushlight.autograd.backward(x * x)
        >>> x.grad
        tensor(6.)
    """
    outputs = _sequence(tensors)
    retain = create_graph if retain_graph is None else retain_graph
    roots = _first_gradients("backward", outputs, _sequence(grad_tensors), create_graph)
    if inputs is None:
        Pass(retain, create_graph, None).run(roots)
        return
    targets = _sequence(inputs)
    if not targets:
        raise error(RuntimeError, "backward", "'inputs' argument to backward() cannot be empty.")
    edges = [edge_of(x) for x in targets]
    one = Pass(retain, create_graph, edges)
    one.run(roots)
    for x, edge in zip(targets, edges, strict=True):
        g = one.found.get(_key(edge))
        if g is not None:
            known = x.grad
            x._grad = operators["clone"](g) if known is None else known + g


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """Gradients of outputs by inputs, returned instead of accumulated.

    Args:
        outputs, inputs: Tensors or sequences of tensors.
        grad_outputs: Gradients of the outputs; may be left out for outputs of one element.
        retain_graph: Keeps what the graph saved, for another pass; `create_graph` by default.
        create_graph: Records the pass, for higher derivatives.
        allow_unused: An input that the outputs do not depend on gives None instead of an error.
        is_grads_batched: The first dimension of `grad_outputs` holds several gradients, each of
            which is sent back on its own.
        materialize_grads: Gives zeros instead of None.
    Raises:
        RuntimeError: An input was not used or does not require grad, or the graph was freed.
    Example:
        >>> x = rushlight.tensor(3.0, requires_grad=True)
        >>> rushlight.autograd.grad(x**3, x)
        (tensor(27.),)
    """
    results, targets = _sequence(outputs), _sequence(inputs)
    if materialize_grads and allow_unused is False:
        raise error(
            ValueError,
            "grad",
            "Expected allow_unused to be True or not passed when materialize_grads=True",
        )
    retain = create_graph if retain_graph is None else retain_graph
    for place, x in enumerate(targets):
        if not isinstance(x, GradientEdge) and not (isinstance(x, Tensor) and x.requires_grad):
            raise error(
                RuntimeError,
                "grad",
                f"One of the differentiated Tensors does not require grad (input {place})",
                fix="create it with requires_grad=True",
            )
    if is_grads_batched:
        return _batched(
            results, targets, grad_outputs, retain, create_graph, allow_unused, materialize_grads
        )
    roots = _first_gradients("grad", results, _sequence(grad_outputs), create_graph)
    edges = [edge_of(x) for x in targets]
    one = Pass(retain, create_graph, edges)
    one.run(roots)
    found: list[Tensor | None] = []
    for place, (x, edge) in enumerate(zip(targets, edges, strict=True)):
        g = one.found.get(_key(edge))
        if g is None and materialize_grads and isinstance(x, Tensor):
            g = operators["full"].function(tuple(x.shape), 0, dtype=x.dtype, device=x.device)
        if g is None and not allow_unused:
            raise error(
                RuntimeError,
                "grad",
                "One of the differentiated Tensors appears to not have been used in the graph",
                given=f"input {place}"
                + (f" of shape {tuple(x.shape)}" if isinstance(x, Tensor) else ""),
                fix="set allow_unused=True if this is the desired behavior",
            )
        found.append(g)
    return tuple(found)


def _batched(
    results: tuple[Tensor, ...],
    targets: tuple[Tensor, ...],
    gradients: Any,
    retain: bool,
    create: bool,
    allow_unused: bool | None,
    materialize: bool,
) -> tuple[Tensor | None, ...]:
    """One pass, in which `vmap` carries the first dimension of the gradients along."""
    from .._interpreters import Batched, Vmap, batched, leading, pushed

    given = [g for g in _sequence(gradients) if g is not None]
    if not given:
        raise error(RuntimeError, "grad", "is_grads_batched=True needs grad_outputs")
    level = Vmap(given[0].shape[0])
    with pushed(level):
        seeds = [None if g is None else batched(level, g, 0) for g in _sequence(gradients)]
        found = grad(results, targets, seeds, retain, create, allow_unused, False, materialize)

    def stacked(g: Any) -> Any:
        if g is None:
            return None
        if isinstance(g, Batched) and level.mine(g):
            return leading(g.value, g.bdim)
        return operators["expand"](g, size=(level.size, *g.shape))

    return tuple(map(stacked, found))
