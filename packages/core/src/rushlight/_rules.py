"""Vjp rules as the engine calls them, and what they say about what a call keeps."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._errors import error
from ._node import FREED, Node
from ._registered import operators
from ._saving import Keeps, unpack
from ._tensor.tensor import PLAIN

if TYPE_CHECKING:
    from ._operator import Operator


class VjpRule:
    """What the engine calls: `rule(node, g)` gives one gradient or None per edge."""

    def __init__(self, op: Operator, names: list[str]) -> None:
        self.op = op
        inputs = [p.name for p in op.schema.inputs]
        attributes = {p.name for p in op.schema.attributes}
        self.inputs = inputs
        self.layout: list[str] = [*inputs, "out"]
        for name in names:
            if name not in self.layout and name not in attributes and name != "needs":
                self.layout.append(name)
        self.places = {name: place for place, name in enumerate(self.layout)}
        self.names = names
        self.known_keeps: dict[tuple[bool, ...], Keeps | None] = {}
        #: Shapes and dtypes alone are not worth freeing: backward may run again without them.
        forms = [self.form(name) for name in names if name in self.places]
        self.holds_tensors = any(
            f[0] in ("input", "inputs", "out", "outs", "result") for f in forms
        )

    def form(self, name: str) -> tuple[Any, ...]:
        """How `keep` keeps the value of a name."""
        schema = self.op.schema
        if name in self.inputs:
            place = self.inputs.index(name)
            return ("inputs" if schema.inputs[place].is_list else "input", place)
        if name in ("out", "outs"):
            return (name, 0)
        if name.startswith("out") and name[3:].isdigit():
            return ("result", int(name[3:]))
        stem, _, suffix = name.rpartition("_")
        if stem in self.inputs and suffix in ("shape", "dtype", "shapes", "device"):
            return (suffix, self.inputs.index(stem))
        raise error(
            ValueError,
            self.op.name,
            f"its vjp rule asks for {name!r}",
            expected="g, needs, out, outs, out0 (out1, ...), an attribute, or INPUT, INPUT_shape, "
            "INPUT_dtype of " + ", ".join(self.inputs),
        )

    def keeps_names(self, names: set[str]) -> Keeps | None:
        """The forms of those names, in the order of the layout."""
        keeps = tuple(self.form(name) if name in names else None for name in self.layout)
        return keeps if any(k is not None for k in keeps) else None

    def keeps(self, needs: tuple[bool, ...]) -> Keeps | None:
        """What a call must keep when those inputs want a gradient."""
        if needs not in self.known_keeps:
            self.known_keeps[needs] = self.keeps_names(self.wanted(needs))
        return self.known_keeps[needs]

    def wanted(self, needs: tuple[bool, ...]) -> set[str]:
        """The names that the rule will ask for."""
        return set(self.names)

    def value(self, node: Node, name: str) -> Any:
        """A value for a parameter of the rule."""
        place = self.places.get(name)
        if place is not None:
            return unpack(node, place)
        if name == "needs":
            return tuple(edge is not None for edge in node.edges)
        return node.attributes[name]

    def __call__(self, node: Node, g: Any) -> tuple[Any, ...]:
        raise NotImplementedError


def _parameters(rule: Callable[..., Any]) -> list[str]:
    """Parameter names but for the first; `inspect.signature` would take 10 us a rule at import."""
    code = getattr(rule, "__code__", None)
    if code is None:
        return list(inspect.signature(rule).parameters)[1:]
    return list(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])


class FormulaRule(VjpRule):
    """One formula per input; only those of the wanted inputs run, and keep what they name."""

    def __init__(self, op: Operator, formulas: dict[str, Callable[..., Any]]) -> None:
        self.names_of = {name: _parameters(formula) for name, formula in formulas.items()}
        names = [n for ns in self.names_of.values() for n in ns]
        super().__init__(op, list(dict.fromkeys(names)))
        self.formulas = [formulas.get(p.name) for p in op.schema.inputs]
        self.arguments = [self.names_of.get(p.name, []) for p in op.schema.inputs]
        #: Per input a function of (node, g), or None.
        self.parts = [
            None if formula is None else self._part(formula, names)
            for formula, names in zip(self.formulas, self.arguments, strict=True)
        ]

    def _part(self, formula: Callable[..., Any], names: list[str]) -> Callable[[Node, Any], Any]:
        """A formula with its arguments taken from the node."""
        if not names:
            return lambda node, g: formula(g)
        if any(name not in self.places for name in names):  # an attribute, or `needs`

            def with_attributes(node: Node, g: Any) -> Any:
                known = node.attributes
                return formula(g, *[known[n] if n in known else self.value(node, n) for n in names])

            return with_attributes
        places = [self.places[name] for name in names]
        if len(places) > 1:
            return lambda node, g: formula(g, *[unpack(node, place) for place in places])
        place = places[0]

        def with_one(node: Node, g: Any) -> Any:
            saved = node.saved
            if saved is not FREED:
                # `unpack`, with its usual case here: an input that nothing has written to since.
                value: Any = saved[place]
                if value.__class__ in PLAIN:
                    storage = value._storage
                    if storage is None or storage.version == node.versions[place]:
                        return formula(g, value)
            return formula(g, unpack(node, place))

        return with_one

    def wanted(self, needs: tuple[bool, ...]) -> set[str]:
        """The names that the formulas of the wanted inputs ask for."""
        wanted: set[str] = set()
        for need, names in zip(needs, self.arguments, strict=False):
            if need:
                wanted.update(names)
        return wanted

    def __call__(self, node: Node, g: Any) -> Any:
        edges, parts = node.edges, self.parts
        if len(edges) == 2 == len(parts):  # written out: the usual number, and a hot path
            x, y = edges
            first, second = parts
            return (
                None if x is None or first is None else first(node, g),
                None if y is None or second is None else second(node, g),
            )
        gradients: list[Any] = []
        for edge in edges:
            part = parts[len(gradients)]
            gradients.append(None if edge is None or part is None else part(node, g))
        return gradients


class JointRule(VjpRule):
    """One rule for all inputs."""

    def __init__(self, op: Operator, rule: Callable[..., Any]) -> None:
        super().__init__(op, _parameters(rule))
        self.rule = rule

    def __call__(self, node: Node, g: Any) -> tuple[Any, ...]:
        attributes = node.attributes
        values = {n: attributes[n] if n in attributes else self.value(node, n) for n in self.names}
        gradients = self.rule(g, **values)
        if isinstance(gradients, dict):
            return tuple(gradients.get(name) for name in self.inputs)
        if isinstance(gradients, tuple):
            return gradients
        return (gradients,)


class ScatterRule(VjpRule):
    """The derivative of a view: the gradient scattered into zeros."""

    def __init__(self, op: Operator) -> None:
        stem = op.schema.inputs[0].name
        super().__init__(op, [f"{stem}_shape"])

    def __call__(self, node: Node, g: Any) -> tuple[Any, ...]:
        zeros = operators["full"].function(
            self.value(node, self.names[0]), 0, dtype=g.dtype, device=g.device
        )
        rule: Any = self.op.scatter_rule
        return (rule(zeros, g, **node.attributes),)
