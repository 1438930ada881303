"""One step of an optimiser for many tensors at once: the rules, and the way into the kernels.

Each operator takes its tensors as one list, in columns of `count`: all parameters, all gradients,
then each kind of state. It returns the new parameters and the new states in the same order, without
the gradients.  The decomposition defines what is computed, for every device.

A backend speeds up a whole step with one kernel that takes `out=`:

    @backend.kernel("fused_adam", dtypes=FLOATING, accepts_out=True)
    def fused_adam(*tensors, count, steps, lr, ..., out=None): ...

`out` is a tuple of arrays for the results, and they may be the operands themselves: elements are
independent, so a kernel reads an element of every column before it writes that element. Optimisers
call it that way (`step_in_place`); without a kernel they run their formulas operator by operator.
"""

from __future__ import annotations

from typing import Any

from .. import _writes
from .._dispatch import Spec
from .._modes import NO_GRAD, STATE
from .._operator import Operator, operator
from .._tensor.tensor import PLAIN, Tensor, native_of, storage_of
from ._public import export, public

Tensors = tuple[Tensor, ...]

fused_sgd_op = operator(
    "fused_sgd(Tensor[] tensors, *, int count, float lr, float momentum, float dampening, "
    "float weight_decay, bool nesterov, bool maximize, bool first) -> Tensor[]"
)
fused_adam_op = operator(
    "fused_adam(Tensor[] tensors, *, int count, float[] steps, float lr, float beta1, "
    "float beta2, float eps, float weight_decay, bool amsgrad, bool maximize, bool decoupled) -> "
    "Tensor[]"
)
fused_rmsprop_op = operator(
    "fused_rmsprop(Tensor[] tensors, *, int count, float lr, float alpha, float eps, "
    "float weight_decay, float momentum, bool centered, bool maximize) -> Tensor[]"
)
fused_adagrad_op = operator(
    "fused_adagrad(Tensor[] tensors, *, int count, float[] steps, float lr, float lr_decay, "
    "float eps, float weight_decay, bool maximize) -> Tensor[]"
)


def columns(tensors: tuple[Any, ...], count: int) -> list[tuple[Any, ...]]:
    """The flat list of an operator or kernel of this family as columns of `count`.

    Example:
        >>> from rushlight._ops.optimising import columns
        >>> columns(("p0", "p1", "g0", "g1"), 2)
        [('p0', 'p1'), ('g0', 'g1')]
    """
    return [tensors[start : start + count] for start in range(0, len(tensors), count)]


def _written(tensors: Tensors, count: int) -> Tensors:
    """The tensors that a step changes: all but the gradients."""
    return (*tensors[:count], *tensors[2 * count :])


def _same(*tensors: Tensor, count: int, **attributes: Any) -> tuple[Spec, ...]:
    return tuple(Spec(x.shape, x.dtype) for x in _written(tensors, count))


for _op in (fused_sgd_op, fused_adam_op, fused_rmsprop_op, fused_adagrad_op):
    _op.meta(_same)
    export(_op.name, _op, "ops")


# -- definitions ----------------------------------------------------------------------------


def _penalised(p: Tensor, g: Tensor, weight_decay: float, maximize: bool) -> Tensor:
    g = -g if maximize else g
    return g.add(p, alpha=weight_decay) if weight_decay else g


def _joined(rows: list[Tensors]) -> Tensors:
    """Results of each parameter, column by column."""
    return tuple(x for column in zip(*rows, strict=True) for x in column)


@fused_sgd_op.decomposition
def _(
    *tensors: Tensor, count: int, lr: float, momentum: float, dampening: float,
    weight_decay: float, nesterov: bool, maximize: bool, first: bool,
) -> Tensors:  # fmt: skip
    """Columns: parameters, gradients and, with momentum, velocities.

    In its `first` step a velocity becomes the whole gradient, whatever it held.
    """
    rows: list[Tensors] = []
    for p, g, *velocity in zip(*columns(tensors, count), strict=True):
        g = _penalised(p, g, weight_decay, maximize)
        states: Tensors = ()
        if momentum:
            v = g.clone() if first else (velocity[0] * momentum).add(g, alpha=1 - dampening)
            g = g.add(v, alpha=momentum) if nesterov else v
            states = (v,)
        rows.append((p.add(g, alpha=-lr), *states))
    return _joined(rows)


@fused_adam_op.decomposition
def _(
    *tensors: Tensor, count: int, steps: tuple[float, ...], lr: float, beta1: float, beta2: float,
    eps: float, weight_decay: float, amsgrad: bool, maximize: bool, decoupled: bool,
) -> Tensors:  # fmt: skip
    """Columns: parameters, gradients, their running means, those of their squares and, for
    `amsgrad`, the largest of the latter.

    `steps` counts this step. Decoupled weight decay shrinks the parameter, other decay joins the
    gradient.
    """
    rows: list[Tensors] = []
    for t, p, g, m, v, *largest in zip(steps, *columns(tensors, count), strict=True):
        g = _penalised(p, g, 0.0 if decoupled else weight_decay, maximize)
        if decoupled and weight_decay:
            p = p * (1 - lr * weight_decay)
        m = m.lerp(g, 1 - beta1)
        v = (v * beta2).addcmul(g, g, value=1 - beta2)
        states: Tensors = (m, v)
        root = v
        if amsgrad:
            root = largest[0].maximum(v)
            states = (m, v, root)
        root = root.sqrt() / (1 - beta2**t) ** 0.5 + eps
        rows.append((p.addcdiv(m, root, value=-lr / (1 - beta1**t)), *states))
    return _joined(rows)


@fused_rmsprop_op.decomposition
def _(
    *tensors: Tensor, count: int, lr: float, alpha: float, eps: float, weight_decay: float,
    momentum: float, centered: bool, maximize: bool,
) -> Tensors:  # fmt: skip
    """Columns: parameters, gradients, running means of their squares, of the gradients if
    `centered`, and velocities if there is a momentum."""
    rows: list[Tensors] = []
    for p, g, v, *others in zip(*columns(tensors, count), strict=True):
        g = _penalised(p, g, weight_decay, maximize)
        v = (v * alpha).addcmul(g, g, value=1 - alpha)
        states: Tensors = (v,)
        variance = v
        if centered:
            mean = others[0].lerp(g, 1 - alpha)
            variance = v.addcmul(mean, mean, value=-1)
            states = (v, mean)
        root = variance.sqrt() + eps
        if momentum:
            velocity = (others[-1] * momentum).addcdiv(g, root)
            rows.append((p.add(velocity, alpha=-lr), *states, velocity))
        else:
            rows.append((p.addcdiv(g, root, value=-lr), *states))
    return _joined(rows)


@fused_adagrad_op.decomposition
def _(
    *tensors: Tensor, count: int, steps: tuple[float, ...], lr: float, lr_decay: float, eps: float,
    weight_decay: float, maximize: bool,
) -> Tensors:  # fmt: skip
    """Columns: parameters, gradients, sums of their squares; `steps` counts this step."""
    rows: list[Tensors] = []
    for t, p, g, total in zip(steps, *columns(tensors, count), strict=True):
        g = _penalised(p, g, weight_decay, maximize)
        total = total.addcmul(g, g, value=1)
        rate = lr / (1 + (t - 1) * lr_decay)
        rows.append((p.addcdiv(g, total.sqrt() + eps, value=-rate), total))
    return _joined(rows)


# -- in place -------------------------------------------------------------------------------


@public(namespace="ops", methods=False)
def step_in_place(op: Operator, tensors: list[Tensor], count: int, **attributes: Any) -> bool:
    """Runs a whole step in one kernel that writes its results over the operands.

    Args:
        op: One of this family.
        tensors: Its operands.
        count: Number of parameters.
        **attributes: The operator's.
    Returns:
        False, with nothing changed, if there is no such kernel, the tensors are not plain ones of
        one kind and of fitting shapes, two of those to write share memory, or a transform, a
        capture or recording is active. The caller then takes the way of operators.
    """
    if STATE.get() is not NO_GRAD or not tensors or tensors[0].__class__ not in PLAIN:
        return False
    kind = tensors[0]._k
    if kind.is_meta:
        return False
    kernel = (kind.outs if kind.infers else kind.t)[op.index]
    if kernel is None:
        return False
    natives = []
    for x in tensors:
        if x.__class__ not in PLAIN or x._k is not kind:
            return False
        native = x._a
        natives.append(native_of(x) if native is None else native)
    shape_of = kind.runtime.shape_of
    shapes = [shape_of(native) for native in natives[:count]]
    for start in range(count, len(natives), count):
        if [shape_of(native) for native in natives[start : start + count]] != shapes:
            return False
    written = _written(tuple(tensors), count)
    storages = [storage_of(x) for x in written]
    if len(set(map(id, storages))) != len(storages):
        return False
    for x in written:
        if x._strides is not None:  # a kernel's result has no gaps and no overlaps
            _writes.check_writable(x)
    kernel(*natives, count=count, **attributes, out=_written(tuple(natives), count))
    for storage in storages:
        storage.version += 1
    return True
