"""`rushlight.utils.checkpoint`: memory for time, by running forward again during backward."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, ref

from .._autograd.engine import CURRENT
from .._autograd.engine import backward as run_backward
from .._autograd.function import Function
from .._autograd.hooks import saved_tensors_hooks
from .._errors import error
from .._generator import Generator, default_generator, generator_of
from .._modes import STATE, entered
from .._tensor.tensor import Tensor
from .._trees import flatten

__all__ = [
    "CheckpointError", "checkpoint", "checkpoint_sequential", "noop_context_fn",
    "set_checkpoint_early_stop",
]  # fmt: skip

Contexts = tuple[AbstractContextManager[Any], AbstractContextManager[Any]]


class CheckpointError(RuntimeError):
    """The second run of a checkpointed function did not do what the first did."""


def noop_context_fn() -> Contexts:
    """Two contexts that do nothing."""
    return nullcontext(), nullcontext()


_early_stop = True


@contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Whether checkpoints made in this block stop running again at the last value they need."""
    global _early_stop
    before, _early_stop = _early_stop, enable
    try:
        yield
    finally:
        _early_stop = before


# -- what a second run must find as the first did ---------------------------------------------


def _generators(tensors: Sequence[Any]) -> list[Generator]:
    places = {x.device for x in tensors if isinstance(x, Tensor) and not x.is_meta}
    generators = [generator_of(place) for place in places]
    return generators if default_generator in generators else [default_generator, *generators]


class _World:
    """Modes and random streams as they are now."""

    def __init__(self, tensors: Sequence[Any], preserve_rng_state: bool) -> None:
        self.state = STATE.get()
        self.streams = (
            [(g, g.clone_state()) for g in _generators(tensors)] if preserve_rng_state else []
        )

    @contextmanager
    def restored(self) -> Iterator[None]:
        """The block runs in it; afterwards the streams go on where they were."""
        now = [(g, g.clone_state()) for g, _ in self.streams]
        changed = STATE.get().but(
            grad=True,
            autocast=self.state.autocast,
            device=self.state.device,
        )
        try:
            for generator, then in self.streams:
                generator.graphsafe_set_state(then)
            with entered(changed):
                yield
        finally:
            for generator, before in now:
                generator.graphsafe_set_state(before)


# -- without reentry: the saved tensors are made again when they are asked for ---------------


class _Stop(Exception):
    """Everything that backward needs has been made."""


class _Holder:
    """Stands in the graph for a saved tensor."""

    __slots__ = ("__weakref__", "index", "kind", "shape")

    def __init__(self, index: int, x: Tensor) -> None:
        self.index = index
        self.shape = tuple(x.shape)
        self.kind = x._k


class _Frame:
    """One checkpointed call: enough to run it again, and what the last run made."""

    def __init__(self, run: Callable[[], Any], world: _World, check: bool, early: bool) -> None:
        self.run = run
        self.world = world
        self.check = check
        self.early = early
        self.holders: list[ReferenceType[_Holder]] = []
        self.made: dict[int, Tensor] = {}

    def pack(self, x: Tensor) -> _Holder:
        """Forgets a tensor that was to be saved."""
        holder = _Holder(len(self.holders), x)
        self.holders.append(ref(holder))
        return holder

    def unpack(self, holder: _Holder) -> Tensor:
        """The tensor, made again if need be."""
        now = CURRENT.get()
        if now is None:
            return self.again()[holder.index]
        last = _last.get(now)
        if last is not self:
            if last is not None:
                last.made = {}  # backward has gone on to another call
            self.made = self.again()
            _last[now] = self
        return self.made[holder.index]

    def again(self) -> dict[int, Tensor]:
        """Runs forward and keeps what it saves."""
        made: dict[int, Tensor] = {}
        wanted = {h.index: h for r in self.holders if (h := r()) is not None}
        count, last = 0, max(wanted, default=-1)

        def pack(x: Tensor) -> Tensor:
            nonlocal count
            index, count = count, count + 1
            holder = wanted.get(index)
            if holder is not None:
                if self.check and (tuple(x.shape), x._k) != (holder.shape, holder.kind):
                    raise error(
                        CheckpointError,
                        "checkpoint",
                        "Recomputed values have different metadata than during the forward pass",
                        given=f"saved tensor {index}: {x._k.dtype} of shape {tuple(x.shape)}",
                        expected=f"{holder.kind.dtype} of shape {holder.shape}",
                        fix="let the function do the same each time it is called with the same "
                        "arguments",
                    )
                made[index] = x
            if self.early and index == last:
                raise _Stop
            return x

        try:
            with self.world.restored(), saved_tensors_hooks(pack, lambda x: x):
                self.run()
        except _Stop:
            pass
        if len(made) < len(wanted) or (not self.early and count != len(self.holders)):
            raise error(
                CheckpointError,
                "checkpoint",
                "A different number of tensors was saved during the original forward and "
                "recomputation",
                given=f"{count}",
                expected=f"{len(self.holders)}",
                fix="let the function do the same each time it is called with the same arguments",
            )
        return made


#: The frame that a running backward pass has made again last.
_last: WeakKeyDictionary[Any, _Frame] = WeakKeyDictionary()


def _without_reentry(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    preserve: bool,
    contexts: Contexts,
    check: bool,
    early: bool,
) -> Any:
    first, second = contexts
    leaves = [*flatten(args)[0], *flatten(kwargs)[0]]

    def run() -> Any:
        with second:
            return function(*args, **kwargs)

    frame = _Frame(run, _World(leaves, preserve), check, early)
    with saved_tensors_hooks(frame.pack, frame.unpack), first:
        return function(*args, **kwargs)


# -- with reentry: the call is one node, whose backward runs forward and backward again ------


class CheckpointFunction(Function):
    """The node of a checkpointed call."""

    @staticmethod
    def forward(ctx: Any, run: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        """Runs with recording off."""
        ctx.run = run
        ctx.world = _World(args, preserve)
        ctx.places = [i for i, x in enumerate(args) if isinstance(x, Tensor)]
        ctx.rest = [None if isinstance(x, Tensor) else x for x in args]
        ctx.save_for_backward(*(args[i] for i in ctx.places))
        return run(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Runs forward with recording on, and backward through it."""
        running = CURRENT.get()
        if running is not None and running.wanted is not None:
            raise error(
                RuntimeError,
                "checkpoint",
                "When use_reentrant=True, checkpoint is incompatible with .grad() or "
                "passing an `inputs` parameter to .backward()",
                fix="pass use_reentrant=False to checkpoint",
            )
        args = list(ctx.rest)
        for place, x in zip(ctx.places, ctx.saved_tensors, strict=True):
            args[place] = x.detach().requires_grad_(x.requires_grad)
        with ctx.world.restored():
            outputs = ctx.run(*args)
        results = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [
            (o, g)
            for o, g in zip(results, grads, strict=True)
            if isinstance(o, Tensor) and o.requires_grad and g is not None
        ]
        if not pairs:
            raise error(
                RuntimeError,
                "checkpoint",
                "none of output has requires_grad=True, this checkpoint() is not necessary",
            )
        run_backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, *(x.grad if isinstance(x, Tensor) else None for x in args))


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], Contexts] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """Calls a function without keeping what backward needs; backward calls it again.

    Args:
        function: The function; it must do the same when it is called again.
        *args: Its arguments.
        use_reentrant: True makes the call one node, whose backward runs a backward of its own; it
            needs an argument that requires grad. False saves nothing but runs the function again
            when backward asks for a saved tensor, and knows no such limits.
        context_fn: Makes the two contexts in which the first and the second run happen.
        determinism_check: "default" compares shapes and dtypes of the two runs, "none" nothing.
        debug: Accepted; errors always name the saved tensor.
        early_stop: The second run ends when it has made what backward needs.
        **kwargs: Further arguments of the function, and `preserve_rng_state` (True): the second run
            draws the same random numbers.
    Returns:
        What the function returns.
    Raises:
        ValueError: Arguments that exclude each other.
        CheckpointError: In backward, if the second run saved other tensors.
    Example:
        >>> from rushlight.utils.checkpoint import checkpoint
        >>> x = rushlight.tensor(2.0, requires_grad=True)
        >>> checkpoint(lambda x: x.exp().log() * x, x, use_reentrant=False).backward()
        >>> x.grad
        tensor(4.)
    """
    if use_reentrant is None:
        warnings.warn(
            "checkpoint: the use_reentrant parameter should be passed explicitly; it is True now. "
            "use_reentrant=False is recommended",
            UserWarning,
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if determinism_check not in ("default", "none"):
        raise error(
            ValueError,
            "checkpoint",
            f"determinism_check should be one of ['default', 'none'] but got {determinism_check}",
        )
    if not use_reentrant:
        early = early_stop and _early_stop
        check = determinism_check != "none"
        return _without_reentry(function, args, kwargs, preserve, context_fn(), check, early)
    if kwargs:
        raise error(
            ValueError, "checkpoint", "Unexpected keyword arguments: " + ",".join(kwargs),
            fix="pass use_reentrant=False, which takes them",
        )  # fmt: skip
    if context_fn is not noop_context_fn or debug:
        raise error(
            ValueError,
            "checkpoint",
            "Passing `context_fn` or `debug` is only supported when use_reentrant=False.",
        )
    if STATE.get().grad and not any(isinstance(x, Tensor) and x.requires_grad for x in args):
        warnings.warn(
            "checkpoint: None of the inputs have requires_grad=True. Gradients will be None",
            UserWarning,
            stacklevel=2,
        )
    return CheckpointFunction.apply(function, preserve, *args)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Runs functions one after the other in checkpointed segments, the last one as it is.

    Args:
        functions: Functions or modules, or an `nn.Sequential`.
        segments: How many segments to cut them into.
        input: Argument of the first.
        use_reentrant: See `checkpoint`.
        **kwargs: `preserve_rng_state`.
    Raises:
        ValueError: Another keyword argument.
    Example:
        >>> from rushlight.utils.checkpoint import checkpoint_sequential
        >>> x = rushlight.tensor(2.0, requires_grad=True)
        >>> checkpoint_sequential([rushlight.exp, rushlight.log], 2, x, use_reentrant=False)
        tensor(2., grad_fn=<LogBackward0>)
    """
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise error(
            ValueError, "checkpoint_sequential", "Unexpected keyword arguments: " + ",".join(kwargs)
        )
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)

    def segment(start: int, end: int) -> Callable[..., Any]:
        def run(x: Any) -> Any:
            for step in steps[start:end]:
                x = step(x)
            return x

        return run

    size, end = len(steps) // segments, 0
    for start in range(0, size * (segments - 1), size) if size else ():
        end = start + size
        input = checkpoint(
            segment(start, end), input, use_reentrant=use_reentrant, preserve_rng_state=preserve
        )
    return segment(end, len(steps))(input)
