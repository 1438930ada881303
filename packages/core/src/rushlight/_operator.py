"""Operator: a named operation, and the object its rules hang on.

    softmax = operator("softmax(Tensor x, *, int dim) -> Tensor")

    @softmax.decomposition
    def _(x, *, dim): ...
    @softmax.vjp
    def _(g, *, out, dim): ...

A vjp rule says what it needs by the names of its parameters, and that is what a recorded call
keeps: names of inputs, `out` or `outs` (or one of several results: `out0`, `out1`, ...),
attributes, `<input>_shape`, `<input>_dtype`, and `needs` (which inputs want a gradient).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, overload

from . import _dispatch, _entries, _failures, _views
from ._config import settings
from ._device import device
from ._dtypes import Category, DType, bool_, from_numpy_dtype, int64, promote_types
from ._errors import error
from ._modes import GRAD, NO_GRAD, STATE
from ._node import Node
from ._saving import Keeps, keeper, unpack
from ._schema import Schema, parse
from ._tensor.tensor import PLAIN, Tensor, fresh, meta_tensor
from .backend import Kind, kind_of
from .backend._kind import FLOATING_ONLY, OPERATOR_INDEX, refill

F = TypeVar("F", bound=Callable[..., Any])

#: All operators by name.
operators: dict[str, Operator] = {}


class Operator:
    """A named operation with its rules.

    Attributes:
        name, schema, index: Identity; the index is the place in every kernel list.
        check_rule: Refuses operands before promotion; asked only where operands are not of one
            kind with a kernel.
        meta_rule: Shapes and dtypes of the results, as `Spec`; raises the input errors.
        decomposition_rule: The operation in terms of other operators, None for a primitive.
        vjp_rule, jvp_rule, batching_rule: Derivatives and `vmap`.
        view_rule, view_kind: Geometry of a view, and its kind where that changes.
        scatter_rule: The inverse of a view: puts a value where the view looked.
        promotes: How operands of several dtypes are brought to one (see `promoted`).
        differentiable: False for operators such as `eq`, which are never recorded.
        constant_outputs: Results without derivative, such as the indices of `sort`.
        creates: Kernels take the device by keyword.
        compares: The result is bool.
        writes: The operator is `copy_`.
        is_random: Draws random numbers; `vmap` asks how.
        to_real: Of a complex operand the result is real.
        kept: Its decomposition moves data itself, so a capture keeps the operator.
        public: The public function of the operator, which overrides are told.
        function: A plain Python callable for use by layers below the operator families.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        kind: str = "generic",
        promotes: str | None = None,
        differentiable: bool = True,
        constant_outputs: tuple[int, ...] = (),
        creates: bool = False,
        writes: bool = False,
        is_random: bool = False,
        kept: bool = False,
        to_real: bool = False,
    ) -> None:
        self.schema = schema
        self.name = schema.name
        self.index = OPERATOR_INDEX.setdefault(schema.name, len(OPERATOR_INDEX))
        self.promotes = promotes
        if promotes == "float":
            FLOATING_ONLY.add(schema.name)
        self.compares = promotes == "compare"
        self.differentiable = differentiable and not self.compares
        self.constant_outputs = constant_outputs
        self.creates = creates
        self.writes = writes
        self.is_random = is_random
        self.kept = kept
        self.to_real = to_real
        self.is_elementwise = kind in ("unary", "binary", "elementwise")
        self.check_rule: Callable[..., Any] | None = None
        self.meta_rule: Callable[..., Any] | None = None
        self.decomposition_rule: Callable[..., Any] | None = None
        self.vjp_rule: VjpRule | None = None
        self.jvp_rule: Callable[..., Any] | str | None = None
        self.batching_rule: Callable[..., Any] | str | None = None
        self.view_rule: Callable[..., Any] | None = None
        self.view_kind: Callable[..., Kind] | None = None
        self.scatter_rule: Callable[..., Any] | None = None
        self.public: Any = None
        self.function: Any = self
        self.backward_name = "".join(p.title() for p in schema.name.split("_")) + "Backward0"
        self.keeps_one: Keeps | None = None
        self.keeper_one: Any = None
        self.keepers_two: tuple[Any, ...] = (None, None, None, None)
        if self.is_elementwise:
            self.meta_rule = self._elementwise_meta
            self.batching_rule = "elementwise"
            self.jvp_rule = "elementwise"
        makers = {
            "unary": _entries.unary_entry,
            "binary": _entries.binary_entry,
            "view": _entries.view_entry,
            "elementwise": _entries.elementwise_entry,
            "generic": _entries.generic_entry,
        }
        self.entry: Callable[..., Any] = makers[kind](self)

    def __call__(self, *inputs: Any, **attributes: Any) -> Any:
        return self.entry(*inputs, **attributes)

    def __repr__(self) -> str:
        return f"<operator {self.schema.text.strip()}>"

    @property
    def __name__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return operators.__getitem__, (self.name,)

    # -- rules ---------------------------------------------------------------------------

    def check(self, rule: F) -> F:
        """Sets the check of an elementwise operator's operands as they are given."""
        self.check_rule = rule
        return rule

    def meta(self, rule: F) -> F:
        """Sets the meta function."""
        self.meta_rule = rule
        return rule

    def decomposition(self, rule: F) -> F:
        """Sets the decomposition; the operator is then a composite."""
        self.decomposition_rule = rule
        return rule

    def view(self, rule: F) -> F:
        """Sets the geometry rule: (shape, strides, offset, **attributes) -> the same three."""
        self.view_rule = rule
        return rule

    def scatter(self, rule: F) -> F:
        """Sets the inverse of a view: (x, src, **attributes) -> x with src where the view looks."""
        self.scatter_rule = rule
        if self.vjp_rule is None:
            self._set_vjp(ScatterRule(self))
        return rule

    @overload
    def vjp(self, rule: F, /) -> F: ...
    @overload
    def vjp(self, rule: None = None, /, **formulas: Callable[..., Any]) -> None: ...
    def vjp(self, rule: F | None = None, /, **formulas: Callable[..., Any]) -> F | None:
        """Sets the reverse derivative.

        Either one rule for all inputs, a function `(g, *, ...)` that returns a gradient, a dict by
        input name or a tuple with one item per flat input; or one formula per input:
        `mul.vjp(x=lambda g, y: g * y, y=lambda g, x: g * x)`.
        """
        self._set_vjp(FormulaRule(self, formulas) if rule is None else JointRule(self, rule))
        return rule

    def _set_vjp(self, rule: VjpRule) -> None:
        self.vjp_rule = rule
        count = len(self.schema.inputs)
        if count == 1 and not self.schema.variadic:
            self.keeps_one = rule.keeps((True,))
            self.keeper_one = keeper(self.keeps_one)
        if count == 2 and not self.schema.variadic:
            self.keepers_two = tuple(
                keeper(rule.keeps(needs))
                for needs in ((False, False), (True, False), (False, True), (True, True))
            )

    def jvp(self, rule: Any) -> Any:
        """Sets the forward derivative: `(primals, tangents, out, **attributes)` -> tangent of out.

        Or a shorthand: "linear" (apply the operator to the tangents), "elementwise" (reuse the
        vjp: the Jacobian is diagonal).
        """
        self.jvp_rule = rule
        return rule

    def batching(self, rule: Any) -> Any:
        """Sets the `vmap` rule: `(inputs, dims, **attributes)` -> (out, dim of out).

        Or "elementwise": align the batch dimensions in front and apply the operator.
        """
        self.batching_rule = rule
        return rule

    # -- elementwise ---------------------------------------------------------------------

    def slow_entry(self, *inputs: Any, **attributes: Any) -> Any:
        """Entry with promotion: numbers become tensors, operands of several dtypes one."""
        state = STATE.get()
        if state.overrides:
            answer = _dispatch.overridden(self.public or self, inputs, attributes)
            if answer is not NotImplemented:
                return answer
        if self.check_rule is not None:
            self.check_rule(*inputs)
        inputs = promoted(self, inputs)
        if len(attributes) != len(self.schema.attributes):
            attributes = {**self.schema.defaults, **attributes}
        if state is GRAD or state is NO_GRAD:
            if all(x.__class__ in PLAIN or x is None for x in inputs):
                return _dispatch.run(self, inputs, attributes, state.grad)
        return _dispatch.slow(self, inputs, attributes)

    def _elementwise_meta(self, *inputs: Any, **attributes: Any) -> _dispatch.Spec:
        # Numbers come here too, when a kernel has refused them and is to be explained.
        tensors = [x for x in inputs if isinstance(x, Tensor)]
        shape = broadcast_shapes(self.name, *(x.shape for x in tensors))
        dtype = tensors[-1].dtype
        if self.compares:
            dtype = bool_
        elif self.to_real:
            dtype = dtype.to_real()
        return _dispatch.Spec(shape, dtype)

    # -- saved values --------------------------------------------------------------------

    @property
    def saved_layout(self) -> list[str]:
        """Names of the places in a node's `saved`."""
        return [] if self.vjp_rule is None else self.vjp_rule.layout

    def saved_value(self, node: Node, name: str) -> Any:
        """A value that a node of this operator keeps, by name."""
        return unpack(node, self.saved_layout.index(name))

    # -- views ---------------------------------------------------------------------------

    def review(self, x: Tensor, parent: Tensor, attributes: dict[str, Any]) -> None:
        """Gives a view the history that its parent has now."""
        storage = x._storage
        assert storage is not None
        x._view = (parent, self, attributes, storage.rewrites)
        if x._req and x._node is None:
            return  # requires_grad_() made it a leaf of its own
        if parent._req and x._k.dtype.is_inexact:
            _views.hang_view_node(self, parent, attributes, x)
        else:
            x._node, x._req = None, False


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
        self.plans = [
            (formula, self._places(names))
            for formula, names in zip(self.formulas, self.arguments, strict=True)
        ]

    def _places(self, names: list[str]) -> tuple[int, ...] | None:
        """Places of the names in the layout; None if one is an attribute or `needs`."""
        if all(name in self.places for name in names):
            return tuple(self.places[name] for name in names)
        return None

    def wanted(self, needs: tuple[bool, ...]) -> set[str]:
        """The names that the formulas of the wanted inputs ask for."""
        wanted: set[str] = set()
        for need, names in zip(needs, self.arguments, strict=False):
            if need:
                wanted.update(names)
        return wanted

    def __call__(self, node: Node, g: Any) -> Any:
        gradients: list[Any] = []
        place = 0
        for edge in node.edges:
            formula, places = self.plans[place]
            if edge is None or formula is None:
                gradients.append(None)
            elif places is None:
                names = self.arguments[place]
                gradients.append(formula(g, *[self.value(node, name) for name in names]))
            elif len(places) == 1:
                gradients.append(formula(g, unpack(node, places[0])))
            elif places:
                gradients.append(formula(g, *[unpack(node, p) for p in places]))
            else:
                gradients.append(formula(g))
            place += 1
        return gradients


class JointRule(VjpRule):
    """One rule for all inputs."""

    def __init__(self, op: Operator, rule: Callable[..., Any]) -> None:
        super().__init__(op, _parameters(rule))
        self.rule = rule

    def __call__(self, node: Node, g: Any) -> tuple[Any, ...]:
        gradients = self.rule(g, **{name: self.value(node, name) for name in self.names})
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


# -- definition -----------------------------------------------------------------------------


def operator(schema: str, **options: Any) -> Operator:
    """Defines an operator.

    Args:
        schema: See `_schema`.
        **options: See `Operator`.
    Raises:
        ValueError: The schema can't be read, or the name is taken.
    """
    parsed = parse(schema)
    if parsed.name in operators:
        raise error(ValueError, parsed.name, "there is an operator of this name already")
    made = operators[parsed.name] = Operator(parsed, **options)
    refill()
    return made


def unary(name: str, *, promotes: str = "float", **options: Any) -> Operator:
    """Defines an elementwise operator of one tensor; a "float" one computes integers as floats."""
    return operator(f"{name}(Tensor x) -> Tensor", kind="unary", promotes=promotes, **options)


def binary(name: str, *, promotes: str = "default", **options: Any) -> Operator:
    """Defines an elementwise operator of two tensors."""
    return operator(
        f"{name}(Tensor x, Tensor y) -> Tensor", kind="binary", promotes=promotes, **options
    )


def view_operator(schema: str, **options: Any) -> Operator:
    """Defines a view operator."""
    made = operator(schema, kind="view", **options)
    made.jvp_rule = "linear"
    return made


# -- promotion and broadcasting -------------------------------------------------------------


def result_type(*operands: Any) -> DType:
    """The dtype that operands are computed in, by PyTorch's rules.

    Tensors with dimensions count first, then 0-d tensors, then Python numbers; a lower rank only
    matters if its category is higher.

    Example:
        >>> rushlight.result_type(rushlight.tensor([1, 2], dtype=rushlight.int8), 3)
        rushlight.int8
    """
    from ._config import settings

    ranks: list[DType | None] = [None, None, None]
    for x in operands:
        if isinstance(x, Tensor):
            rank, dtype = (0 if x.ndim else 1), x.dtype
        elif isinstance(x, bool):
            rank, dtype = 2, bool_
        elif isinstance(x, int):
            rank, dtype = 2, int64
        elif isinstance(x, float):
            rank, dtype = 2, settings.default_dtype
        elif isinstance(x, complex):
            rank, dtype = 2, settings.default_complex
        else:
            rank, dtype = 2, _number_dtype(x)
        known = ranks[rank]
        ranks[rank] = dtype if known is None else promote_types(known, dtype)
    result: DType | None = None
    for dtype in ranks:  # type: ignore[assignment]
        if dtype is None:
            continue
        if result is None:
            result = dtype
        elif dtype.category > result.category:
            result = _with_category(result, dtype)
    assert result is not None
    return result


def _with_category(strong: DType, weak: DType) -> DType:
    """The weak dtype's category; a complex one keeps the precision of a strong float."""
    if weak.category is Category.COMPLEX and strong.category is Category.FLOATING:
        return strong.to_complex()
    return weak


def _number_dtype(x: Any) -> DType:
    dtype = getattr(x, "dtype", None)
    if dtype is not None and hasattr(dtype, "itemsize"):
        return from_numpy_dtype(dtype)
    raise error(
        TypeError,
        "result_type",
        f"expected Tensors or numbers, got {type(x).__name__}",
        given=repr(x),
    )


def promoted(op: Operator, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Operands brought to one kind: dtypes promoted, numbers and 0-d host tensors moved along.

    `op.promotes` says how: "default"; "float" (integers become the default float); "compare" (the
    result is bool); "complex_to_real"; "none" (operands stay as they are).
    """
    alike = _of_one_kind(op, inputs)
    if alike is not None:
        return alike
    for x in inputs:
        if x is None:
            continue
        if not isinstance(x, (Tensor, bool, int, float, complex)) and not hasattr(x, "dtype"):
            raise error(
                TypeError,
                op.name,
                f"expected a Tensor or a number, got {type(x).__name__}",
                given=", ".join(type(x).__name__ for x in inputs),
                expected=op.schema.text,
            )
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    if op.promotes == "none" and len(tensors) == len(inputs):
        return inputs
    dtype = result_type(*[x for x in inputs if x is not None])
    if op.promotes == "float" and dtype.category < Category.FLOATING:
        dtype = settings.default_dtype
    place = _common_device(op, tensors)
    to_kind = operators["to_kind"].function
    kind = kind_of(place, dtype)
    result: list[Tensor | None] = []
    for x in inputs:
        if x is None:
            result.append(None)
        elif not isinstance(x, Tensor):
            result.append(number_tensor(kind, x))
        elif x._k is not kind:
            result.append(to_kind(x, kind))
        else:
            result.append(x)
    return tuple(result)


def _of_one_kind(op: Operator, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """What promotion gives for tensors of one kind and numbers that join it; else None."""
    kind: Any = inputs[0]._k if isinstance(inputs[0], Tensor) else None
    if kind is None or (op.promotes == "float" and not kind.dtype.is_inexact):
        return None
    result: list[Any] = []
    for x in inputs:
        if isinstance(x, Tensor):
            if x._k is not kind:
                return None
            result.append(x)
        elif x is None:
            result.append(None)
        elif x.__class__ in kind.numbers:
            result.append(number_tensor(kind, x))
        else:
            return None
    return tuple(result)


def number_tensor(kind: Kind, value: Any) -> Tensor:
    """A 0-d tensor of a Python number."""
    if kind.is_meta:
        return meta_tensor(kind, (), None)
    return fresh(kind, kind.scalar(value))


def _common_device(op: Operator, tensors: list[Tensor]) -> Any:
    """The device to compute on; 0-d tensors in host memory join any other."""
    places = {x._k.device for x in tensors}
    if len(places) > 1:
        places = {x._k.device for x in tensors if x.ndim or not _in_host_memory(x)}
        if len(places) > 1:
            raise _failures.wrong_device(op, tuple(tensors))
        if not places:
            places = {tensors[0]._k.device}
    if not places:
        return settings.default_device or device("cpu")
    return places.pop()


def _in_host_memory(x: Tensor) -> bool:
    backend = x._k.backend
    return backend is not None and backend.manifest.host_memory


def broadcast_shapes(who: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that shapes broadcast to.

    Raises:
        RuntimeError: Two sizes differ and neither is 1.
    """
    result: list[int] = []
    for shape in shapes:
        padded = list(shape)
        if len(padded) < len(result):
            padded = [1] * (len(result) - len(padded)) + padded
        else:
            result = [1] * (len(padded) - len(result)) + result
        for place, (a, b) in enumerate(zip(result, padded, strict=True)):
            if a != b and a != 1 and b != 1:
                raise error(
                    RuntimeError,
                    who,
                    f"The size of tensor a ({a}) must match the size of tensor b ({b}) at "
                    f"non-singleton dimension {place}",
                    given="shapes " + " and ".join(str(tuple(s)) for s in shapes),
                    expected="sizes that are equal, or 1",
                )
            result[place] = b if a == 1 else a
    return tuple(result)
