"""Gradients inside transforms: the engine below, `vmap` and `jvp` levels above.

The engine records raw tensors only.  So a gradient asked for inside a transform is taken level by
level: under `vmap` the items of a batch do not mix, and one pass over the whole batch gives every
item's gradient; under `jvp` the gradient of the tangent is the tangent of the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._errors import error
from .._interpreters import (
    Batched,
    Dual,
    Jvp,
    LevelTensor,
    Vmap,
    batched,
    dual,
    leading,
    zeros_like,
)
from .._modes import STATE, entered
from .._node import Node, Port
from .._registered import operators
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
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    create: bool,
    stack: Stack,
) -> list[Tensor]:
    """Gradients of outputs by separated inputs, zeros where there is no path.

    Args:
        outputs, inputs, cotangents: Tensors.
        create: Record the pass.
        stack: The levels that were active when the inputs were separated.  Levels entered since,
            such as a `vmap` over cotangents, stay active while the engine runs.
    Raises:
        RuntimeError: The transform that the inputs belong to has ended.
    """
    now = STATE.get().interpreters
    if now[: len(stack)] != stack:
        raise error(
            RuntimeError,
            "vjp",
            "a gradient was asked for outside the transform that the function ran in",
            fix="call the function that vjp returns inside the same transform",
        )
    found = _gradients(outputs, inputs, cotangents, create, stack, now[len(stack) :])
    return [zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True)]


def _gradients(
    outputs: Sequence[Any],
    inputs: Sequence[Any],
    cotangents: Sequence[Any],
    create: bool,
    stack: Stack,
    later: Stack,
) -> list[Any]:
    """One level after the other, innermost first; `later` are levels that the inputs don't know."""
    if not stack:
        return _raw(outputs, inputs, cotangents, create)
    level, below = stack[-1], stack[:-1]
    step = _batch if isinstance(level, Vmap) else _forward
    with entered(STATE.get().but(interpreters=(*below, *later))):
        return step(level, outputs, inputs, cotangents, create, below, later)


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
    level: Vmap,
    outputs: Any,
    inputs: Any,
    cotangents: Any,
    create: bool,
    below: Stack,
    later: Stack,
) -> list[Any]:
    """One pass for the whole batch: an output's item depends on the same item of the inputs."""
    values, seeds = [], []
    for out, g in zip(outputs, cotangents, strict=True):
        if not level.mine(out):
            continue  # computed without the inputs, which are all of this level
        seed, dim = _without_batch(level, later, g)
        if dim is None:
            seed = operators["unsqueeze"](seed, dim=out.bdim)
            size = list(out.shape)
            size.insert(out.bdim, level.size)
            seed = operators["expand"](seed, size=tuple(size))
        elif dim != out.bdim:
            order = [d for d in range(seed.ndim) if d != dim]
            order.insert(out.bdim, dim)
            seed = operators["permute"](seed, dims=tuple(order))
        values.append(out.value)
        seeds.append(seed)
    if not values:
        return [None] * len(inputs)
    found = _gradients(values, [x.value for x in inputs], seeds, create, below, later)
    return [
        None if g is None else _with_batch(level, later, g, x.bdim)
        for g, x in zip(found, inputs, strict=True)
    ]


def _without_batch(level: Vmap, later: Stack, g: Any) -> tuple[Any, int | None]:
    """A tensor without a level's wrapper, which may lie below those of later levels, and the place
    of the batch dimension."""
    if level.mine(g):
        return g.value, g.bdim
    if not _is_of(g, later):
        return g, None
    value, dim = _without_batch(level, later, g.value)
    if isinstance(g, Batched):
        if dim is None:
            return g, None
        own = g.bdim + (dim <= g.bdim)
        return batched(g.level, value, own), dim - (own < dim)
    assert isinstance(g, Dual)
    tangent, other = _without_batch(level, later, g.tangent)
    if dim is None and other is None:
        return g, None
    return dual(g.level, _spread(level, value, dim), _spread(level, tangent, other)), 0


def _spread(level: Vmap, x: Tensor, dim: int | None) -> Tensor:
    """The batch dimension in front, whether there was one or not."""
    if dim is None:
        return operators["expand"](x, size=(level.size, *x.shape))  # type: ignore[no-any-return]
    return leading(x, dim)


def _with_batch(level: Vmap, later: Stack, g: Any, dim: int) -> Any:
    """A level's wrapper put back, below those of later levels."""
    if not _is_of(g, later):
        return batched(level, g, dim)
    if isinstance(g, Batched):
        inner = dim + (g.bdim <= dim)
        return batched(
            g.level, _with_batch(level, later, g.value, inner), g.bdim - (inner < g.bdim)
        )
    parts = (_with_batch(level, later, part, dim) for part in (g.value, g.tangent))
    return dual(g.level, *parts)


def _forward(
    level: Jvp,
    outputs: Any,
    inputs: Any,
    cotangents: Any,
    create: bool,
    below: Stack,
    later: Stack,
) -> list[Any]:
    """The gradient, and its tangent: that of the outputs' tangents, and of the cotangents'."""
    points = [_split(level, later, x)[0] for x in inputs]
    results = [_split(level, later, out) for out in outputs]
    seeds = [_split(level, later, g) for g in cotangents]
    values = [value for value, _ in results]
    found = _gradients(values, points, [g for g, _ in seeds], create, below, later)
    pairs = [(t, g) for (_, t), (g, _) in zip(results, seeds, strict=True) if t is not None] + [
        (value, t) for value, (_, t) in zip(values, seeds, strict=True) if t is not None
    ]
    if not pairs:
        return found
    moved = _gradients([o for o, _ in pairs], points, [g for _, g in pairs], create, below, later)
    return [
        g if t is None else _with_tangent(level, later, zeros_like(x) if g is None else g, t)
        for g, t, x in zip(found, moved, points, strict=True)
    ]


def _split(level: Jvp, later: Stack, g: Any) -> tuple[Any, Any]:
    """(primal, tangent or None) of a level whose wrapper may lie below those of later levels."""
    if level.mine(g):
        return g.value, g.tangent
    if not _is_of(g, later):
        return g, None
    primal, tangent = _split(level, later, g.value)
    if isinstance(g, Batched):
        if tangent is None:
            return g, None
        return batched(g.level, primal, g.bdim), batched(g.level, tangent, g.bdim)
    assert isinstance(g, Dual)
    moved, twice = _split(level, later, g.tangent)
    if tangent is None and twice is None:
        return g, None
    tangent = zeros_like(primal) if tangent is None else tangent
    twice = zeros_like(moved) if twice is None else twice
    return dual(g.level, primal, moved), dual(g.level, tangent, twice)


def _with_tangent(level: Jvp, later: Stack, g: Any, t: Any) -> Any:
    """A level's wrapper put back, below those of later levels."""
    outer = g if _is_of(g, later) else t
    if not _is_of(outer, later):
        return dual(level, g, t)
    if isinstance(outer, Batched):
        pair = [
            leading(x.value, x.bdim)
            if isinstance(x, Batched) and x.level is outer.level
            else operators["expand"](x, size=(outer.level.size, *x.shape))
            for x in (g, t)
        ]
        return batched(outer.level, _with_tangent(level, later, *pair), 0)
    (a, b), (c, d) = (_parts(outer.level, x) for x in (g, t))
    return dual(outer.level, _with_tangent(level, later, a, c), _with_tangent(level, later, b, d))


def _parts(level: Jvp, x: Any) -> tuple[Any, Any]:
    """(primal, tangent), zeros if there is none."""
    return (x.value, x.tangent) if level.mine(x) else (x, zeros_like(x))


def _is_of(x: Any, later: Stack) -> bool:
    """Whether a tensor is the wrapper of one of those levels."""
    return isinstance(x, LevelTensor) and x.level in later
