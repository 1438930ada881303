"""A user's `Function` under `vmap` and `jvp`."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._errors import error
from .._interpreters import Batched, Dual, Jvp, Vmap, batched, leading, pushed, zeros_like
from .._modes import STATE
from .._registered import operators
from .._tensor.tensor import Tensor
from .function import Function, FunctionContext, run


class VmapInfo(NamedTuple):
    """What the `vmap` rule of a `Function` is told."""

    batch_size: int
    randomness: str


def apply_in_level(cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """One call of a `Function` under the innermost level."""
    level = STATE.get().interpreters[-1]
    if not any(level.mine(x) for x in args):
        with level.below():
            return cls.apply(*args, **kwargs)
    if isinstance(level, Jvp):
        return _forward(level, cls, args, kwargs)
    if cls.vmap is not Function.vmap:
        return _by_rule(level, cls, args)
    if cls.generate_vmap_rule:
        return _generated(level, cls, args, kwargs)
    raise error(
        RuntimeError,
        cls.__name__,
        f"You tried to vmap over {cls.__name__}, but it does not have vmap support",
        fix="give it a staticmethod vmap(info, in_dims, *args), or set generate_vmap_rule = True",
    )


def _forward(level: Jvp, cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    primals = tuple(x.value if level.mine(x) else x for x in args)
    tangents = [x.tangent if isinstance(x, Dual) and level.mine(x) else None for x in args]
    context = FunctionContext()
    with level.below():
        if STATE.get().interpreters:
            raise error(
                NotImplementedError,
                cls.__name__,
                "the jvp rule of a Function can't run inside another transform",
                fix="write the function in tensor operations, or use jvp outermost",
            )
        outputs = run(cls, context, primals, kwargs)
        if context.materialize_grads:
            tangents = [
                zeros_like(x) if t is None and isinstance(x, Tensor) and x.dtype.is_inexact else t
                for x, t in zip(primals, tangents, strict=True)
            ]
        context._forward = context.to_save_forward or context.saved_tensors
        moved = cls.jvp(context, *tangents)
        context._forward = None
        results = outputs if isinstance(outputs, tuple) else (outputs,)
        parts = moved if isinstance(moved, tuple) else (moved,)
        if len(parts) != len(results):
            raise error(
                RuntimeError,
                cls.__name__,
                f"jvp returned {len(parts)} tangents for {len(results)} results",
            )
        for out, t in zip(results, parts, strict=True):
            if isinstance(t, Tensor) and tuple(t.shape) != tuple(out.shape):
                raise error(
                    RuntimeError,
                    cls.__name__,
                    f"jvp returned a tangent of shape {tuple(t.shape)} for a result of shape "
                    f"{tuple(out.shape)}",
                )
    return level.wrap(outputs, parts if isinstance(outputs, tuple) else parts[0])


def _by_rule(level: Vmap, cls: Any, args: tuple[Any, ...]) -> Any:
    values = [x.value if level.mine(x) else x for x in args]
    dims = tuple(x.bdim if isinstance(x, Batched) and level.mine(x) else None for x in args)
    with level.below():
        answer = cls.vmap(VmapInfo(level.size, level.randomness), dims, *values)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise error(
                RuntimeError,
                f"{cls.__name__}.vmap",
                "expected to have two returns, (output, out_dims)",
                given=type(answer).__name__,
            )
    return level.wrap(*answer)


def _generated(level: Vmap, cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Forward and backward run as they are, each over a batch."""
    size, randomness = level.size, level.randomness

    def spread(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        if isinstance(x, Batched) and level.mine(x):
            return leading(x.value, x.bdim)
        # Recorded, so that the gradient of what all items share is summed over them.
        return operators["expand"](x, size=(size, *x.shape))

    def inside(inner: Vmap, x: Any) -> Any:
        return batched(inner, x, 0) if isinstance(x, Tensor) else x

    def outside(inner: Vmap, x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        if isinstance(x, Batched) and inner.mine(x):
            return leading(x.value, x.bdim)
        return operators["expand"](x, size=(size, *x.shape))

    class Mapped(Function):
        @staticmethod
        def forward(ctx: Any, *values: Any) -> Any:
            inner, own = Vmap(size, randomness), FunctionContext()
            own.needs_input_grad = ctx.needs_input_grad
            with pushed(inner):
                wrapped = tuple(inside(inner, x) for x in values)
                if cls.setup_context is not Function.setup_context:
                    outputs = cls.forward(*wrapped, **kwargs)
                    cls.setup_context(own, wrapped, outputs)
                else:
                    outputs = cls.forward(own, *wrapped, **kwargs)
            results = outputs if isinstance(outputs, tuple) else (outputs,)
            known = {id(w): x for w, x in zip(wrapped, values, strict=True)}
            made = {id(o): outside(inner, o) for o in results}
            known.update(made)
            saved = [known[id(x)] if id(x) in known else outside(inner, x) for x in own.to_save]
            ctx.save_for_backward(*saved)
            constant = [made[id(o)] for o in results if any(o is x for x in own.non_differentiable)]
            ctx.mark_non_differentiable(*constant)
            ctx.set_materialize_grads(own.materialize_grads)
            ctx.own = own
            own.to_save = ()
            parts = tuple(made[id(o)] for o in results)
            return parts if isinstance(outputs, tuple) else parts[0]

        @staticmethod
        def backward(ctx: Any, *gs: Any) -> Any:
            inner = Vmap(size, randomness)
            ctx.own._forward = tuple(inside(inner, x) for x in ctx.saved_tensors)
            try:
                with pushed(inner):
                    found = cls.backward(ctx.own, *(inside(inner, g) for g in gs))
            finally:
                ctx.own._forward = None
            if isinstance(found, tuple):
                return tuple(outside(inner, g) for g in found)
            return outside(inner, found)

    Mapped.__name__ = cls.__name__
    with level.below():
        outputs = Mapped.apply(*(spread(x) for x in args))
    return level.wrap(outputs, 0)
