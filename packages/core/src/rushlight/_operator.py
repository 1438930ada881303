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

from collections.abc import Callable
from typing import Any, TypeVar, overload

from . import _dispatch, _entries, _views
from ._dtypes import bool_
from ._errors import error
from ._modes import GRAD, NO_GRAD, STATE
from ._node import Node
from ._promotion import broadcast_shapes, promoted
from ._registered import operators
from ._rules import FormulaRule, JointRule, ScatterRule, VjpRule
from ._saving import Keeps, keeper, unpack
from ._schema import Schema, parse
from ._tensor.tensor import PLAIN, Tensor
from .backend import Kind
from .backend._kind import FLOATING_ONLY, OPERATOR_INDEX, refill

F = TypeVar("F", bound=Callable[..., Any])


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
        selects: A view of some elements, each once: backward may add to them in place.
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
        self.selects = False
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
