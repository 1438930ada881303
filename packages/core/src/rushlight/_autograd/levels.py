"""Gradients inside transforms: the engine below, `vmap` and `jvp` levels above.

The engine records raw tensors only.  So a gradient asked for inside a transform is taken level by
level: under `vmap` the items of a batch do not mix, and one pass over the whole batch gives every
item's gradient; under `jvp` the gradient of the tangent is the tangent of the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._interpreters import Batched, Dual, Jvp, LevelTensor, Vmap, batched, dual, zeros_like
from .._modes import STATE, entered
from .._node import Node, Port
from .._operator import operators
from .._tensor.tensor import Tensor
from .engine import edge_of
from .engine import grad as raw_gradient

Stack = tuple[Any, ...]


def separate(x: Any) -> Any:
    """The tensor as a new one that gradients stop at, which stays connected to the old.

    A tensor that all items of a `vmap` share becomes one of its own for each: the gradient of one
    item is not that of the others.
    """
    return _separate(x, STATE.get().interpreters) if isinstance(x, Tensor) else x


def _separate(x: Tensor, stack: Stack) -> Tensor:
    if not stack:
        if x.requires_grad:
            return operators["view"](x, size=tuple(x.shape))  # type: ignore[no-any-return]
        return x.detach().requires_grad_(x.dtype.is_inexact)
    level, below = stack[-1], stack[:-1]
    with entered(STATE.get().but(interpreters=below)):
        if isinstance(level, Vmap):
            if level.mine(x):
                assert isinstance(x, Batched)
                return batched(level, _separate(x.value, below), x.bdim)
            shared = operators["expand"](x, size=(level.size, *x.shape))
            return batched(level, _separate(shared, below), 0)
        if isinstance(level, Jvp) and level.mine(x):
            assert isinstance(x, Dual)
            return dual(level, _separate(x.value, below), x.tangent)
        return _separate(x, below)


def raw_parts(x: Any) -> list[Tensor]:
    """The tensors without wrappers that a tensor consists of."""
    if isinstance(x, Batched):
        return raw_parts(x.value)
    if isinstance(x, Dual):
        return [*raw_parts(x.value), *raw_parts(x.tangent)]
    return [x] if isinstance(x, Tensor) else []


def is_recorded(x: Any) -> bool:
    """Whether any part of a tensor requires grad."""
    return any(part.requires_grad for part in raw_parts(x))


def reaches_outside(outputs: Sequence[Any], separated: Sequence[Any]) -> bool:
    """Whether outputs depend on a leaf other than those that `separate` made."""
    own = {id(part) for x in separated for part in raw_parts(x)}
    stack = [edge_of(p) for o in outputs for p in raw_parts(o) if p.requires_grad]
    done = set()
    while stack:
        edge = stack.pop()
        node = edge.node if edge.__class__ is Port else edge
        if id(node) in done:
            continue
        done.add(id(node))
        if node.__class__ is Node:
            stack.extend(e for e in node.edges if e is not None)
        elif id(node) not in own:
            return True
    return False


def gradients(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], cotangents: Sequence[Tensor], create: bool
) -> list[Tensor]:
    """Gradients of outputs by separated inputs, zeros where there is no path."""
    found = _gradients(outputs, inputs, cotangents, create, STATE.get().interpreters)
    return [zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True)]


def _gradients(
    outputs: Sequence[Any],
    inputs: Sequence[Any],
    cotangents: Sequence[Any],
    create: bool,
    stack: Stack,
) -> list[Any]:
    with entered(STATE.get().but(interpreters=stack[:-1])):
        if not stack:
            return _raw(outputs, inputs, cotangents, create)
        if isinstance(stack[-1], Vmap):
            return _batch(stack[-1], outputs, inputs, cotangents, create, stack[:-1])
        if isinstance(stack[-1], Jvp):
            return _forward(stack[-1], outputs, inputs, cotangents, create, stack[:-1])
        return _gradients(outputs, inputs, cotangents, create, stack[:-1])


def _raw(outputs: Any, inputs: Any, cotangents: Any, create: bool) -> list[Any]:
    pairs = [(o, g) for o, g in zip(outputs, cotangents, strict=True) if o.requires_grad]
    known = [x for x in inputs if x.requires_grad]
    if not pairs or not known:
        return [None] * len(inputs)
    results, seeds = [o for o, _ in pairs], [g for _, g in pairs]
    found = raw_gradient(results, known, seeds, True, create, allow_unused=True)
    given = iter(found)
    return [next(given) if x.requires_grad else None for x in inputs]


def _batch(
    level: Vmap, outputs: Any, inputs: Any, cotangents: Any, create: bool, below: Stack
) -> list[Any]:
    """One pass for the whole batch: an output's item depends on the same item of the inputs."""
    values, seeds = [], []
    for out, g in zip(outputs, cotangents, strict=True):
        if not level.mine(out):
            continue  # computed without the inputs, which are all of this level
        values.append(out.value)
        if level.mine(g):
            order = [d for d in range(g.value.ndim) if d != g.bdim]
            order.insert(out.bdim, g.bdim)
            seeds.append(operators["permute"](g.value, dims=tuple(order)))
        else:
            spread = operators["unsqueeze"](g, dim=out.bdim)
            seeds.append(operators["expand"](spread, size=tuple(out.value.shape)))
    if not values:
        return [None] * len(inputs)
    found = _gradients(values, [x.value for x in inputs], seeds, create, below)
    return [
        None if g is None else batched(level, g, x.bdim)
        for g, x in zip(found, inputs, strict=True)
    ]


def _forward(
    level: Jvp, outputs: Any, inputs: Any, cotangents: Any, create: bool, below: Stack
) -> list[Any]:
    """The gradient, and its tangent: that of the outputs' tangents, and of the cotangents'."""
    points = [_primal(level, x) for x in inputs]
    values = [_primal(level, out) for out in outputs]
    seeds = [_primal(level, g) for g in cotangents]
    # The second pass needs nothing of the first but the graph, which is retained.
    found = _gradients(values, points, seeds, create, below)
    pairs = [
        (out.tangent, g) for out, g in zip(outputs, seeds, strict=True) if level.mine(out)
    ] + [
        (out, g.tangent) for out, g in zip(values, cotangents, strict=True) if level.mine(g)
    ]
    if not pairs:
        return found
    moved = _gradients([o for o, _ in pairs], points, [g for _, g in pairs], create, below)
    return [
        g if t is None else dual(level, zeros_like(x) if g is None else g, t)
        for g, t, x in zip(found, moved, points, strict=True)
    ]


def _primal(level: Any, x: Any) -> Any:
    return x.value if isinstance(x, LevelTensor) and level.mine(x) else x
