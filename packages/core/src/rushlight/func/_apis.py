"""`vmap`, `jvp`, `grad`, `vjp`: functions of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._autograd.levels import gradients, is_recorded, reaches_outside, separate
from .._errors import error
from .._interpreters import Batched, Dual, Jvp, Vmap, batched, dual, pushed, zeros_like
from .._modes import STATE, with_modes
from .._registered import operators
from .._tensor.tensor import Tensor
from .._trees import broadcast_prefix, flatten


def _is_dim(value: Any) -> bool:
    return value is None or isinstance(value, int)


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The function over a batch: written for one item, run for all of them at once.

    Args:
        func: Function of tensors, and of structures of tensors.
        in_dims: For each argument, or part of it, the batch dimension; None for one that all
            items share.
        out_dims: Where the batch dimension of the results goes.
        randomness: Whether random draws are an "error", the "same" for all items or "different".
        chunk_size: Runs that many items at a time.
    Raises:
        ValueError: No batch dimension, or batches of several sizes.
    Example:
        >>> rushlight.func.vmap(lambda x: x.sum())(rushlight.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([3., 7.])
    """
    if randomness not in ("error", "same", "different"):
        raise error(
            RuntimeError,
            "vmap",
            f"Only allowed values for randomness are 'error', 'different', or 'same'. Got "
            f"{randomness}",
        )
    if chunk_size is not None and chunk_size < 1:
        raise error(ValueError, "vmap", f"chunk_size should be at least 1, got {chunk_size}")

    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, rebuild, dims, size = _batch(args, in_dims)
        if chunk_size is not None and size > chunk_size:
            return _chunked(mapped_once, leaves, rebuild, dims, size, chunk_size, kwargs, out_dims)
        return mapped_once(leaves, rebuild, dims, size, kwargs, out_dims)

    def mapped_once(
        leaves: list[Any], rebuild: Any, dims: list[Any], size: int, kwargs: Any, out: Any
    ) -> Any:
        level = Vmap(size, randomness)
        with pushed(level):
            wrapped = [
                x if d is None else batched(level, x, d) for x, d in zip(leaves, dims, strict=True)
            ]
            results = func(*rebuild(wrapped), **kwargs)
        return _unbatch(level, results, out)

    mapped.__name__ = getattr(func, "__name__", "mapped")
    return mapped


def _batch(args: tuple[Any, ...], in_dims: Any) -> tuple[list[Any], Any, list[Any], int]:
    """Flat arguments with their batch dimensions, and the size of the batch."""
    leaves, rebuild = flatten(args)
    prefix = tuple(in_dims) if isinstance(in_dims, list) else in_dims
    try:
        dims = broadcast_prefix(prefix, args, _is_dim)
    except ValueError:
        raise error(
            ValueError,
            "vmap",
            "in_dims is not compatible with the structure of inputs",
            given=f"in_dims={in_dims!r}, {len(args)} arguments",
            expected="a number, None, or a structure like that of the arguments",
        ) from None
    sizes = set()
    for place, (x, d) in enumerate(zip(leaves, dims, strict=True)):
        if d is None:
            continue
        if not isinstance(x, Tensor):
            if _is_dim(in_dims):
                dims[place] = None
                continue
            raise error(
                ValueError,
                "vmap",
                f"Got in_dim={d} for an input but the input is of type {type(x).__name__}",
                fix="use None as the respective in_dim",
            )
        if not -x.ndim <= d < x.ndim:
            raise error(
                ValueError,
                "vmap",
                f"Got in_dim={d} for some input, but that input is a Tensor of dimensionality "
                f"{x.ndim} so expected in_dim to satisfy -{x.ndim} <= in_dim < {x.ndim}",
            )
        dims[place] = d % x.ndim
        sizes.add(x.shape[dims[place]])
    if not sizes:
        raise error(
            ValueError, "vmap", "got no inputs with a batch dimension to map over",
            given=f"in_dims={in_dims!r}",
        )  # fmt: skip
    if len(sizes) > 1:
        raise error(
            ValueError,
            "vmap",
            "Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sorted(sizes)} for the mapped dimension",
        )
    return leaves, rebuild, dims, sizes.pop()


def _unbatch(level: Vmap, results: Any, out_dims: Any) -> Any:
    leaves, rebuild = flatten(results)
    prefix = tuple(out_dims) if isinstance(out_dims, list) else out_dims
    if isinstance(prefix, tuple) and not isinstance(results, tuple) and len(prefix) == 1:
        prefix = prefix[0]
    try:
        dims = broadcast_prefix(prefix, results, _is_dim)
    except ValueError:
        raise error(
            ValueError, "vmap", "out_dims is not compatible with the structure of outputs"
        ) from None
    return rebuild([_unwrapped(level, x, d) for x, d in zip(leaves, dims, strict=True)])


def _unwrapped(level: Vmap, x: Any, out_dim: int | None) -> Any:
    if not isinstance(x, Tensor):
        if x is None or out_dim is None:
            return x
        raise error(
            ValueError,
            "vmap",
            f"the function must only return Tensors, got type {type(x).__name__}",
        )
    if not (isinstance(x, Batched) and x.level is level):
        if out_dim is None:
            return x
        value = operators["expand"](x, size=(level.size, *x.shape))
        bdim = 0
    else:
        value, bdim = x.value, x.bdim
    if out_dim is None:
        raise error(
            ValueError, "vmap", "can not return a BatchedTensor when out_dim is None",
            fix="give an out_dim",
        )  # fmt: skip
    if not -value.ndim <= out_dim < value.ndim:
        raise error(
            IndexError, "vmap",
            f"Dimension out of range (out_dim={out_dim}, the result has {value.ndim} dimensions)",
        )  # fmt: skip
    target = out_dim % value.ndim
    if target == bdim:
        return value
    order = [d for d in range(value.ndim) if d != bdim]
    order.insert(target, bdim)
    return operators["permute"](value, dims=tuple(order))


def _chunked(
    run: Any, leaves: Any, rebuild: Any, dims: Any, size: int, chunk: int, kwargs: Any, out: Any
) -> Any:
    slice_ = operators["slice"]
    pieces = []
    for start in range(0, size, chunk):
        count = min(chunk, size - start)
        part = [
            x if d is None else slice_(x, dim=d, start=start, length=count, step=1)
            for x, d in zip(leaves, dims, strict=True)
        ]
        pieces.append(flatten(run(part, rebuild, dims, count, kwargs, 0)))
    cat = operators["cat"]
    joined = pieces[0][1](
        [cat(*column, dim=0) for column in zip(*(flat for flat, _ in pieces), strict=True)]
    )
    return _unbatch_moved(joined, out)


def _unbatch_moved(results: Any, out_dims: Any) -> Any:
    leaves, rebuild = flatten(results)
    dims = broadcast_prefix(out_dims, results, _is_dim)
    moved = []
    for x, d in zip(leaves, dims, strict=True):
        order = list(range(1, x.ndim))
        order.insert(d % x.ndim, 0)
        moved.append(operators["permute"](x, dims=tuple(order)))
    return rebuild(moved)


def jvp(
    func: Callable[..., Any],
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> Any:
    """A function's value and its derivative in a direction, in one forward pass.

    Args:
        func: Function of tensors and structures of tensors.
        primals: Its arguments.
        tangents: The direction, of the same structure.
        strict: Accepted as torch accepts it.
        has_aux: The function returns (result, more); `more` comes back untouched.
    Returns:
        (value, derivative), or (value, derivative, more).
    Raises:
        RuntimeError: The structures or shapes differ.
    Example:
        >>> x = rushlight.tensor(3.0)
        >>> rushlight.func.jvp(lambda x: x * x, (x,), (rushlight.tensor(1.0),))
        (tensor(9.), tensor(6.))
    """
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple):
        raise error(
            RuntimeError, "jvp", "expected primals and tangents to be tuples",
            given=f"{type(primals).__name__} and {type(tangents).__name__}",
        )  # fmt: skip
    leaves, rebuild = flatten(primals)
    directions, _ = flatten(tangents)
    if len(leaves) != len(directions) or not leaves:
        raise error(
            RuntimeError,
            "jvp",
            "Expected primals and tangents to have the same python structure",
            given=f"{len(leaves)} primals and {len(directions)} tangents",
        )
    for x, t in zip(leaves, directions, strict=True):
        if not isinstance(x, Tensor) or not isinstance(t, Tensor):
            raise error(
                RuntimeError, "jvp", f"expected Tensors, got {type(x).__name__}, {type(t).__name__}"
            )
        if x.shape != t.shape or x.dtype is not t.dtype:
            raise error(
                RuntimeError,
                "jvp",
                "primal and tangent must have the same shape and dtype",
                given=f"{x.dtype} {tuple(x.shape)} and {t.dtype} {tuple(t.shape)}",
            )
    level = Jvp()
    with pushed(level):
        wrapped = [dual(level, x, t) for x, t in zip(leaves, directions, strict=True)]
        results = func(*rebuild(wrapped))
    more = None
    if has_aux:
        results, more = _pair(results, "jvp")
        more = _stripped(level, more)
    flat, build = flatten(results)
    for out in flat:
        if not isinstance(out, Tensor):
            raise error(
                RuntimeError, "jvp",
                f"expected the function to return only tensors, got {type(out).__name__}",
            )  # fmt: skip
    value = build([_primal(level, out) for out in flat])
    derivative = build(
        [
            out.tangent if isinstance(out, Dual) and out.level is level else zeros_like(out)
            for out in flat
        ]
    )
    return (value, derivative, more) if has_aux else (value, derivative)


def _primal(level: Jvp, x: Any) -> Any:
    return x.value if isinstance(x, Dual) and x.level is level else x


def _stripped(level: Jvp, tree: Any) -> Any:
    leaves, rebuild = flatten(tree)
    return rebuild([_primal(level, x) for x in leaves])


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """A function's value, and a function that pulls gradients of the value back.

    Args:
        func: Function of tensors and structures of tensors.
        primals: Its arguments.
        has_aux: The function returns (result, more); `more` comes back untouched.
    Returns:
        (value, pull) or (value, pull, more); `pull(*cotangents)` gives one gradient per argument.
    Example:
        >>> value, pull = rushlight.func.vjp(lambda x: x * x, rushlight.tensor(3.0))
        >>> pull(rushlight.tensor(1.0))
        (tensor(6.),)
    """
    leaves, rebuild = flatten(primals)
    ambient, stack = STATE.get().grad, STATE.get().interpreters
    with with_modes(grad=True):
        inputs = [separate(x) for x in leaves]
        results = func(*rebuild(inputs))
    more = None
    if has_aux:
        results, more = _pair(results, "vjp")
    flat, build = flatten(results)
    for out in flat:
        if not isinstance(out, Tensor):
            raise error(
                RuntimeError,
                "vjp",
                f"expected the function to return only tensors, got {type(out).__name__}",
            )
    outer = ambient and reaches_outside(flat, inputs)

    def pull(*cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        tree = cotangents[0] if len(cotangents) == 1 else cotangents
        gs, _ = flatten(tree)
        if len(gs) != len(flat):
            raise error(
                RuntimeError,
                "vjp",
                "Expected pytree structure of cotangents to be the same as pytree structure of "
                "outputs to the function",
                given=f"{len(gs)} cotangents for {len(flat)} outputs",
            )
        for out, g in zip(flat, gs, strict=True):
            if tuple(g.shape) != tuple(out.shape):
                raise error(
                    RuntimeError,
                    "vjp",
                    "a cotangent must have the shape of its output",
                    given=f"{tuple(g.shape)} for an output of shape {tuple(out.shape)}",
                )
        create = outer or any(map(is_recorded, gs)) if create_graph is None else create_graph
        return rebuild(gradients(flat, inputs, gs, create and STATE.get().grad, stack))

    value = build(flat if outer else [without_history(o) for o in flat])
    return (value, pull, more) if has_aux else (value, pull)


def _pair(results: Any, who: str) -> tuple[Any, Any]:
    """(result, more) of a function with `has_aux`."""
    if not isinstance(results, tuple) or len(results) != 2:
        raise error(
            RuntimeError,
            who,
            "output of function f should be a tuple (output, aux) when has_aux is True",
            given=type(results).__name__,
        )
    return results


def without_history(x: Tensor) -> Tensor:
    """The same values and wrappers, with nothing recorded."""
    if isinstance(x, Batched):
        return batched(x.level, without_history(x.value), x.bdim)
    if isinstance(x, Dual):
        return dual(x.level, without_history(x.value), without_history(x.tangent))
    return x.detach() if x.requires_grad else x


def grad_and_value(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """As `grad`, and the value too: (gradient, value).

    Example:
        >>> rushlight.func.grad_and_value(lambda x: x**3)(rushlight.tensor(2.0))
        (tensor(12.), tensor(8.))
    """
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        arguments = list(args)
        asked = []
        ambient = STATE.get().grad
        for number in numbers:
            if not -len(args) <= number < len(args):
                raise error(
                    RuntimeError, "grad", f"Got argnum={number}, but only {len(args)} positional "
                    "inputs"
                )  # fmt: skip
        with with_modes(grad=True):
            for number in numbers:
                leaves, rebuild = flatten(arguments[number])
                inputs = [separate(x) for x in leaves]
                arguments[number] = rebuild(inputs)
                asked.append((inputs, rebuild))
            result = func(*arguments, **kwargs)
        more = None
        if has_aux:
            result, more = _pair(result, "grad")
        if not isinstance(result, Tensor) or result.ndim != 0:
            raise error(
                RuntimeError,
                "grad",
                "expected the function to return a scalar tensor",
                given=f"{getattr(result, 'shape', type(result).__name__)}",
                fix="reduce the result, for example with sum() or mean()",
            )
        every = [x for inputs, _ in asked for x in inputs]
        outer = ambient and reaches_outside([result], every)
        one = operators["full"].function((), 1, dtype=result.dtype, device=result.device)
        flat = gradients([result], every, [one], outer, STATE.get().interpreters)
        built, start = [], 0
        for inputs, rebuild in asked:
            built.append(rebuild(flat[start : start + len(inputs)]))
            start += len(inputs)
        found = built[0] if isinstance(argnums, int) else tuple(built)
        value = result if outer else without_history(result)
        return (found, (value, more)) if has_aux else (found, value)

    return differentiated


def grad(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The gradient of a function with a scalar result.

    Args:
        func: The function.
        argnums: Which arguments to differentiate by.
        has_aux: The function returns (result, more); `more` comes back beside the gradient.
    Example:
        >>> rushlight.func.grad(lambda x: x**3)(rushlight.tensor(2.0))
        tensor(12.)
    """
    both = grad_and_value(func, argnums, has_aux)

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        gradients, value = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return differentiated


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Calls a module with other parameters and buffers than its own.

    Args:
        module: The module.
        parameter_and_buffer_dicts: Tensors by name, or a sequence of such dictionaries.
        args, kwargs: Arguments of the call.
        tie_weights: A tensor given under one name of a shared parameter stands for all its names.
        strict: Every parameter and buffer must be given, and no other.
    """
    given: dict[str, Any] = {}
    dicts = parameter_and_buffer_dicts
    for each in [dicts] if isinstance(dicts, dict) else dicts:
        given.update(each)
    return module._functional_call(given, args, kwargs, tie_weights=tie_weights, strict=strict)
