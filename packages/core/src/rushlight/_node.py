"""Node: one recorded call, the unit of reverse-mode differentiation.

An edge says where the gradient of one input goes: to the `Node` that made it, to a `Port` where
that node has several results, to the tensor itself if it is a leaf, or nowhere (`None`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from ._hooks import RemovableHandle, add_hook

if TYPE_CHECKING:
    from ._operator import Operator
    from ._tensor.tensor import Tensor

next_sequence_number = count(1).__next__
NO_ATTRIBUTES: dict[str, Any] = {}
FREED: tuple[Any, ...] = ("freed",)


class Node:
    """A recorded call; also what `Tensor.grad_fn` gives.

    Attributes:
        sequence: Number in order of recording; backward runs from high to low.
        op: The operator, whose vjp rule backward runs.
        edges: One per flat input.
        saved: What the rule asked to keep: inputs, results, extras (see `Operator.saved_layout`).
        versions: Storage versions of what is kept.
        shape, kind: Of the result. With several results `shape` is None, and `kind` a tuple of
            (shape, kind) pairs.
        extra: Hooks, metadata and the like, None until there are any.
    """

    __slots__ = (
        "__weakref__", "attributes", "edges", "extra", "kind", "op", "saved",
        "sequence", "shape", "versions",
    )  # fmt: skip

    sequence: int
    op: Operator
    edges: tuple[Any, ...]
    saved: tuple[Any, ...]
    versions: tuple[int, ...]
    attributes: dict[str, Any]
    shape: Any
    kind: Any
    extra: dict[str, Any] | None

    def name(self) -> str:
        """Name as torch prints it, such as "AddBackward0"."""
        return self.op.backward_name

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary for the user's own notes."""
        found: dict[Any, Any] = self.extras().setdefault("metadata", {})
        return found

    def extras(self) -> dict[str, Any]:
        """The dictionary of rare attributes, made on first use."""
        if self.extra is None:
            self.extra = {}
        return self.extra

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """(node, output index) for each input, with `AccumulateGrad` standing for a leaf."""
        return tuple(_public_edge(edge) for edge in self.edges)

    def register_hook(self, fn: Callable[..., Any]) -> RemovableHandle:
        """Calls `fn(grad_inputs, grad_outputs)` after the node has run; may replace the first."""
        return add_hook(self.extras().setdefault("posthooks", OrderedDict()), fn)

    def register_prehook(self, fn: Callable[..., Any]) -> RemovableHandle:
        """Calls `fn(grad_outputs)` before the node runs; may replace them."""
        return add_hook(self.extras().setdefault("prehooks", OrderedDict()), fn)

    def __repr__(self) -> str:
        return f"<{self.op.backward_name} object at {id(self):#x}>"


class Port:
    """One result of a node that has several."""

    __slots__ = ("index", "kind", "node", "shape")

    def __init__(self, node: Node, index: int, shape: tuple[int, ...], kind: Any) -> None:
        self.node = node
        self.index = index
        self.shape = shape
        self.kind = kind


def port_of(node: Node, index: int) -> Port:
    """One result of a node.

    Made when it is needed: a node that held its ports would wait for the garbage collector.
    """
    shape, kind = node.kind[index]
    return Port(node, index, shape, kind)


class GradientEdge(NamedTuple):
    """A place in a graph that receives a gradient: a node, and which of its results."""

    node: Any
    output_nr: int
    ownership_token: Any = None


class AccumulateGrad:
    """Stands for a leaf in `next_functions`; made when asked for, and equal for one leaf."""

    __slots__ = ("variable",)

    def __init__(self, variable: Tensor) -> None:
        self.variable = variable

    next_functions: tuple[()] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccumulateGrad) and other.variable is self.variable

    def __hash__(self) -> int:
        return hash(("AccumulateGrad", id(self.variable)))

    def name(self) -> str:
        """Name as torch prints it."""
        return "AccumulateGrad"

    def register_hook(self, fn: Callable[..., Any]) -> RemovableHandle:
        """Calls `fn` after the gradient has been added to the leaf's."""
        variable: Tensor = self.variable
        return variable.register_post_accumulate_grad_hook(lambda leaf: fn((), (leaf.grad,)))

    def register_prehook(self, fn: Callable[..., Any]) -> RemovableHandle:
        """Calls `fn((grad,))` before the gradient is added; may replace it."""

        def hook(g: Tensor) -> Any:
            changed = fn((g,))
            return changed[0] if isinstance(changed, tuple) else changed

        variable: Tensor = self.variable
        return variable.register_hook(hook)


def _public_edge(edge: Any) -> tuple[Any, int]:
    if edge is None or edge.__class__ is Node:
        return edge, 0
    if edge.__class__ is Port:
        return edge.node, edge.index
    return AccumulateGrad(edge), 0


def note_line(node: Node) -> None:
    """Remembers where a node was made, for anomaly mode."""
    import traceback

    node.extras()["traceback"] = traceback.format_stack()[:-3]
