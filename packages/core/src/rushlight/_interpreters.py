"""Interpreters: `vmap` and `jvp` levels that stand between an operator's entry and autograd.

While a level is active, calls reach its `process`.  It takes its own wrappers apart, applies the
operator's rule with itself off the stack, and wraps the results.  An operator without a rule runs
its decomposition with the level still on, so composites need no rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ._errors import error
from ._modes import STATE, entered
from ._operator import Operator
from ._registered import operators
from ._rules import FormulaRule
from ._size import Size
from ._tensor.tensor import Tensor, storage_of, strides_of
from ._views import detached
from ._writes import write

_new = object.__new__


class LevelTensor(Tensor):
    """A tensor of one level: what the level keeps, behind the interface of a tensor."""

    __slots__ = ("level", "value")

    is_level_tensor = True
    level: Any
    value: Tensor

    def __repr__(self) -> str:
        return f"{type(self).__name__}(value={self.value!r})"


class Batched(LevelTensor):
    """A tensor whose dimension `bdim` a `vmap` has taken out of sight."""

    __slots__ = ("bdim",)

    bdim: int

    def detached(self) -> Tensor:
        """The tensor without history."""
        return batched(self.level, detached(self.value), self.bdim)


class Dual(LevelTensor):
    """A tensor with the tangent that a `jvp` carries along."""

    __slots__ = ("tangent",)

    tangent: Tensor

    def detached(self) -> Tensor:
        """The tensor without history and, as in torch, without tangent."""
        return detached(self.value)


def _wrapper(cls: Any, level: Any, value: Tensor, shape: tuple[int, ...], strides: Any) -> Any:
    made = _new(cls)
    made.level, made.value = level, value
    made._k, made._a, made._node, made._view = value._k, None, None, None
    made._req = value._req
    made._shape, made._strides = Size(shape), strides
    made._storage = storage_of(value)
    made._offset = value._offset
    return made


def batched(level: Vmap, value: Tensor, bdim: int) -> Batched:
    """A wrapper around a tensor with a batch dimension."""
    shape, strides = tuple(value.shape), tuple(strides_of(value))
    made: Batched = _wrapper(
        Batched,
        level,
        value,
        shape[:bdim] + shape[bdim + 1 :],
        strides[:bdim] + strides[bdim + 1 :],
    )
    made.bdim = bdim
    return made


def dual(level: Jvp, value: Tensor, tangent: Tensor) -> Dual:
    """A wrapper around a primal and its tangent."""
    made: Dual = _wrapper(Dual, level, value, tuple(value.shape), tuple(strides_of(value)))
    made.tangent = tangent
    return made


@contextmanager
def pushed(level: Any) -> Iterator[None]:
    """A level on the stack."""
    state = STATE.get()
    with entered(state.but(interpreters=(*state.interpreters, level))):
        yield


class Level:
    """What all levels share: leaving the stack while a rule runs."""

    @contextmanager
    def below(self) -> Iterator[None]:
        """The state without this level and those above."""
        state = STATE.get()
        stack = state.interpreters
        with entered(state.but(interpreters=stack[: stack.index(self)])):
            yield

    def mine(self, x: Any) -> bool:
        """Whether a value is a wrapper of this level."""
        return isinstance(x, LevelTensor) and x.level is self


def leading(x: Tensor, bdim: int) -> Tensor:
    """A tensor with its batch dimension in front."""
    if bdim == 0:
        return x
    order = (bdim, *(d for d in range(x.ndim) if d != bdim))
    return operators["permute"](x, dims=order)  # type: ignore[no-any-return]


# -- vmap -----------------------------------------------------------------------------------


class Vmap(Level):
    """One `vmap`.

    Args:
        size: Number of items in the batch.
        randomness: "error", "same" or "different".
    """

    def __init__(self, size: int, randomness: str = "error") -> None:
        self.size = size
        self.randomness = randomness

    def wrap(self, out: Any, dim: Any) -> Any:
        """Results of a rule as wrappers."""
        if isinstance(out, tuple):
            dims = dim if isinstance(dim, tuple) else (dim,) * len(out)
            return tuple(self.wrap(o, d) for o, d in zip(out, dims, strict=True))
        return out if out is None or dim is None else batched(self, out, dim)

    def process(self, op: Operator, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        """One call under this level."""
        if op.is_random:
            return self._random(op, inputs, attributes)
        if not any(self.mine(x) for x in inputs):
            with self.below():
                return op(*inputs, **attributes)
        rule = op.batching_rule
        if rule is None and op.decomposition_rule is not None:
            return op.decomposition_rule(*inputs, **attributes)
        values = tuple(x.value if self.mine(x) else x for x in inputs)
        dims = tuple(x.bdim if self.mine(x) else None for x in inputs)
        with self.below():
            if rule == "elementwise":
                out = op(*aligned(values, dims), **attributes)
                dim: Any = 0
            elif callable(rule):
                out, dim = rule(values, dims, **attributes)
            else:
                out, dim = self._one_by_one(op, values, dims, attributes)
        return self.wrap(out, dim)

    def _one_by_one(
        self, op: Operator, values: tuple[Any, ...], dims: tuple[Any, ...], attributes: Any
    ) -> tuple[Any, Any]:
        """The items of the batch one after the other, for operators without a rule."""
        select = operators["select"]
        rows = [
            op(
                *(
                    x if d is None else select(x, dim=d, index=i)
                    for x, d in zip(values, dims, strict=True)
                ),
                **attributes,
            )
            for i in range(self.size)
        ]
        stack = operators["stack"].function
        if isinstance(rows[0], tuple):
            return tuple(stack(list(column)) for column in zip(*rows, strict=True)), 0
        return stack(rows), 0

    def _random(self, op: Operator, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        if self.randomness == "error":
            raise error(
                RuntimeError,
                op.name,
                "called random operation while in randomness error mode",
                fix='pass randomness="same" or randomness="different" to vmap',
            )
        if self.randomness == "same":
            if any(self.mine(x) for x in inputs):
                raise error(
                    RuntimeError,
                    op.name,
                    "the items of the batch have parameters of their own and can't draw the same",
                    fix='pass randomness="different" to vmap',
                )
            with self.below():
                return op(*inputs, **attributes)
        if "n" in attributes:
            return self._permutations(op, attributes)
        changed = {**attributes, "shape": (self.size, *attributes["shape"])}
        with self.below():
            values = [
                padded(leading(x.value, x.bdim), len(attributes["shape"])) if self.mine(x) else x
                for x in inputs
            ]
            return self.wrap(op(*values, **changed), 0)

    def _permutations(self, op: Operator, attributes: dict[str, Any]) -> Any:
        """A permutation for each item, from consecutive parts of the stream."""
        from ._philox import blocks

        step = blocks(op.name, (attributes["n"],))
        with self.below():
            rows = [
                op(**{**attributes, "offset": attributes["offset"] + i * step})
                for i in range(self.size)
            ]
            return self.wrap(operators["stack"].function(rows), 0)

    def write(self, x: Tensor, value: Tensor) -> Tensor:
        """An in-place write under this level."""
        if not self.mine(x):
            if self.mine(value):
                raise error(
                    RuntimeError,
                    "vmap",
                    "inplace arithmetic(self, *extra_args) is not possible because there exists a "
                    "Tensor in extra_args that has more elements than self",
                    given="a batched value written into a tensor that is not batched",
                    fix="make the tensor from a batched one, for example x.new_zeros(...), or use "
                    "the operator that returns a new tensor",
                )
            with self.below():
                return write(x, value)
        assert isinstance(x, Batched)
        with self.below():
            target = leading(x.value, x.bdim)
            if self.mine(value):
                assert isinstance(value, Batched)
                source = padded(leading(value.value, value.bdim), x.ndim)
            else:
                source = value
            write(target, source)
        return x


def padded(x: Tensor, ndim: int) -> Tensor:
    """A batch in front with its items brought to `ndim` dimensions by leading ones."""
    missing = ndim + 1 - x.ndim
    if missing <= 0:
        return x
    return x.reshape(x.shape[0], *([1] * missing), *x.shape[1:])


def aligned(values: tuple[Any, ...], dims: tuple[Any, ...]) -> list[Any]:
    """Operands of an elementwise operator with their batch dimensions in front, to broadcast."""
    ndim = max(
        (x.ndim - (d is not None) for x, d in zip(values, dims, strict=True) if x is not None),
        default=0,
    )
    return [
        x if d is None else padded(leading(x, d), ndim) for x, d in zip(values, dims, strict=True)
    ]


# -- jvp ------------------------------------------------------------------------------------


class Jvp(Level):
    """One `jvp`."""

    def process(self, op: Operator, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        """One call under this level."""
        if not any(self.mine(x) for x in inputs):
            with self.below():
                return op(*inputs, **attributes)
        rule = op.jvp_rule
        if rule == "elementwise" and not isinstance(op.vjp_rule, FormulaRule):
            rule = None
        if rule is None and op.decomposition_rule is not None:
            return op.decomposition_rule(*inputs, **attributes)
        primals = tuple(x.value if self.mine(x) else x for x in inputs)
        tangents = tuple(x.tangent if self.mine(x) else None for x in inputs)
        with self.below():
            out = op(*primals, **attributes)
            if not op.differentiable:
                return out
            if rule == "linear":
                tangent = op(*_with_zeros(primals, tangents), **attributes)
            elif rule == "elementwise":
                tangent = _elementwise(op, primals, tangents, out, attributes)
            elif callable(rule):
                tangent = rule(primals, tangents, out, **attributes)
            else:
                tangent = _through_vjp(op, primals, tangents, out, attributes)
        return self.wrap(out, tangent, op)

    def wrap(self, out: Any, tangent: Any, op: Operator | None = None) -> Any:
        """Results with their tangents as wrappers."""
        if isinstance(out, tuple):
            parts = tangent if isinstance(tangent, tuple) else (tangent,)
            return tuple(self.wrap(o, t) for o, t in zip(out, parts, strict=True))
        if out is None or tangent is None or not out.dtype.is_inexact:
            return out
        if tangent.shape != out.shape:
            tangent = operators["expand"](tangent, size=tuple(out.shape))
        if tangent.dtype is not out.dtype:
            tangent = operators["cast"](tangent, dtype=out.dtype)
        return dual(self, out, tangent)

    def write(self, x: Tensor, value: Tensor) -> Tensor:
        """An in-place write under this level."""
        if not self.mine(x):
            if self.mine(value):
                raise error(
                    RuntimeError,
                    "jvp",
                    "a value with a tangent can't be written into a tensor without one",
                    fix="make the tensor from one with a tangent, for example x.new_zeros(...), or "
                    "use the operator that returns a new tensor",
                )
            with self.below():
                return write(x, value)
        assert isinstance(x, Dual)
        with self.below():
            write(x.value, value.value if isinstance(value, Dual) and self.mine(value) else value)
            if isinstance(value, Dual) and self.mine(value):
                write(x.tangent, value.tangent)
            else:
                write(x.tangent, zeros_like(x.tangent))
        return x


def zeros_like(x: Tensor) -> Tensor:
    """Zeros of a tensor's shape and kind."""
    zeros: Callable[..., Tensor] = operators["full"].function
    return zeros(tuple(x.shape), 0, dtype=x.dtype, device=x.device)


def _with_zeros(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> list[Any]:
    return [
        p if p is None or not p.dtype.is_inexact else zeros_like(p) if t is None else t
        for p, t in zip(primals, tangents, strict=True)
    ]


def _conj(x: Any) -> Any:
    return operators["conj"](x) if isinstance(x, Tensor) and x.is_complex() else x


def _elementwise(
    op: Operator, primals: tuple[Any, ...], tangents: tuple[Any, ...], out: Any, attributes: Any
) -> Any:
    """Sum over the operands: the Jacobian is diagonal, so forward is reverse, up to conjugation."""
    rule = op.vjp_rule
    assert isinstance(rule, FormulaRule)
    total: Any = None
    for place, tangent in enumerate(tangents):
        formula = rule.formulas[place]
        if tangent is None or formula is None:
            continue
        known = dict(zip(rule.inputs, primals, strict=True))
        values = [_rule_value(name, known, out, attributes) for name in rule.arguments[place]]
        part = _conj(formula(_conj(_as(tangent, out)), *values))
        total = part if total is None else total + part
    return total


def _as(tangent: Tensor, out: Tensor) -> Tensor:
    if tangent.shape != out.shape:
        return operators["expand"](tangent, size=tuple(out.shape))  # type: ignore[no-any-return]
    return tangent


def _rule_value(name: str, known: dict[str, Any], out: Any, attributes: dict[str, Any]) -> Any:
    """A value for a parameter of a formula, outside the engine."""
    if name in known:
        return known[name]
    if name in ("out", "outs"):
        return out
    if name in attributes:
        return attributes[name]
    stem, _, suffix = name.rpartition("_")
    return getattr(known[stem], suffix)


def _through_vjp(
    op: Operator, primals: tuple[Any, ...], tangents: tuple[Any, ...], out: Any, attributes: Any
) -> Any:
    """The forward derivative from the reverse one: it is linear in its cotangent, and the
    derivative of that linear map, applied to the tangents, is what is sought."""
    from ._autograd.levels import gradients, reaches_outside, separate

    ambient = STATE.get().grad
    with entered(STATE.get().but(grad=True)):
        inputs = tuple(
            separate(p) if t is not None else p for p, t in zip(primals, tangents, strict=True)
        )
        outs = op(*inputs, **attributes)
        results = outs if isinstance(outs, tuple) else (outs,)
        smooth = [
            o for i, o in enumerate(results)
            if o is not None and o.dtype.is_inexact and i not in op.constant_outputs
        ]  # fmt: skip
        probes = [separate(zeros_like(o)) for o in smooth]
        asked = [(x, t) for x, t in zip(inputs, tangents, strict=True) if t is not None]
        points = [x for x, _ in asked]
        outer = ambient and reaches_outside(smooth, points)
        stack = STATE.get().interpreters
        pulled = gradients(smooth, points, probes, True, stack)
        pieces = gradients(pulled, probes, [t for _, t in asked], outer or ambient, stack)
    by_output = {id(o): t for o, t in zip(smooth, pieces, strict=True)}
    parts = tuple(
        by_output.get(id(o))
        if by_output.get(id(o)) is not None
        else (zeros_like(o) if o is not None and id(o) in by_output else None)
        for o in results
    )
    return parts if isinstance(outs, tuple) else parts[0]
