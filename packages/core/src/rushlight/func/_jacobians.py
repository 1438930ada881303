"""`jacrev`, `jacfwd`, `hessian`, `linearize`: whole Jacobians by `vmap` over unit vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._autograd.levels import is_recorded
from .._errors import error
from .._modes import with_modes
from .._registered import operators
from .._tensor.tensor import Tensor
from .._trees import flatten
from ._apis import jvp, vjp, vmap, without_history

Argnums = int | tuple[int, ...]


def unit_vectors(n: int, like: Tensor) -> Tensor:
    """The identity matrix in the kind of a tensor."""
    full: Callable[..., Tensor] = operators["full"].function
    made = full((n, n), 0, dtype=like.dtype, device=like.device)
    with with_modes(grad=False):
        operators["diagonal"](made, dim1=0, dim2=1, offset=0).fill_(1)
    return made


def _chosen(args: tuple[Any, ...], argnums: Argnums, who: str) -> tuple[int, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    if not numbers:
        raise error(RuntimeError, who, "argnums must be non-empty")
    for number in numbers:
        if not -len(args) <= number < len(args):
            raise error(
                RuntimeError,
                who,
                f"Got argnum={number}, but only {len(args)} positional inputs",
            )
    return tuple(number % len(args) for number in numbers)


def _with_arguments(
    func: Callable[..., Any], args: tuple[Any, ...], numbers: tuple[int, ...], kwargs: Any
) -> Callable[..., Any]:
    """The function of the chosen arguments alone."""

    def partial(*chosen: Any) -> Any:
        given = list(args)
        for number, x in zip(numbers, chosen, strict=True):
            given[number] = x
        return func(*given, **kwargs)

    return partial


def _basis(leaves: Sequence[Tensor]) -> list[Tensor]:
    """Unit vectors of all leaves together: one leaf's share each, batch in front."""
    total = sum(x.numel() for x in leaves)
    start, made = 0, []
    for x in leaves:
        rows = unit_vectors(total, x)
        part = operators["slice"](rows, dim=1, start=start, length=x.numel(), step=1)
        made.append(operators["clone"](part).reshape(total, *x.shape))
        start += x.numel()
    return made


def _parts(batch: Tensor, leaves: Sequence[Tensor], dim: int) -> list[Tensor]:
    """A batch over all unit vectors cut into the shares of the leaves."""
    start, parts = 0, []
    for x in leaves:
        parts.append(operators["slice"](batch, dim=dim, start=start, length=x.numel(), step=1))
        start += x.numel()
    return parts


def jacrev(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable[..., Any]:
    """The Jacobian by reverse mode: one pull per element of the result.

    Args:
        func: Function of tensors and structures of tensors.
        argnums: Which arguments to differentiate by.
        has_aux: The function returns (result, more); `more` comes back beside the Jacobian.
        chunk_size: Pulls that many rows at a time.
    Example:
        >>> rushlight.func.jacrev(lambda x: x * x)(rushlight.tensor([1.0, 2.0]))
        tensor([[2., 0.],
                [0., 4.]])
    """

    def jacobian(*args: Any, **kwargs: Any) -> Any:
        numbers = _chosen(args, argnums, "jacrev")
        chosen = tuple(args[n] for n in numbers)
        answer = vjp(_with_arguments(func, args, numbers, kwargs), *chosen, has_aux=has_aux)
        value, pull = answer[:2]
        outputs, build_out = flatten(value)

        def pulled(*cotangents: Tensor) -> Any:
            return tuple(flatten(pull(build_out(list(cotangents))))[0])

        rows = vmap(pulled, chunk_size=chunk_size)(*_basis(outputs))
        inputs, build_in = flatten(chosen)
        table = [_parts(row, outputs, 0) for row in rows]  # by input, then by output
        found = []
        for place, out in enumerate(outputs):
            pieces = [table[i][place].reshape(*out.shape, *x.shape) for i, x in enumerate(inputs)]
            tree = build_in(pieces)
            found.append(tree[0] if isinstance(argnums, int) else tree)
        jacobians = build_out(found)
        return (jacobians, answer[2]) if has_aux else jacobians

    return jacobian


def jacfwd(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
) -> Callable[..., Any]:
    """The Jacobian by forward mode: one push per element of the arguments.

    Args:
        func: Function of tensors and structures of tensors.
        argnums: Which arguments to differentiate by.
        has_aux: The function returns (result, more); `more` comes back beside the Jacobian.
        randomness: As for `vmap`.
    Example:
        >>> rushlight.func.jacfwd(lambda x: x * x)(rushlight.tensor([1.0, 2.0]))
        tensor([[2., 0.],
                [0., 4.]])
    """

    def jacobian(*args: Any, **kwargs: Any) -> Any:
        numbers = _chosen(args, argnums, "jacfwd")
        chosen = tuple(args[n] for n in numbers)
        inputs, build_in = flatten(chosen)
        partial = _with_arguments(func, args, numbers, kwargs)
        structure: list[Any] = []

        def pushed(*tangents: Tensor) -> Any:
            answer = jvp(partial, chosen, build_in(list(tangents)), has_aux=has_aux)
            leaves, build_out = flatten(answer[1])
            structure[:] = [build_out, flatten(answer[2]) if has_aux else None]
            return (*leaves, *(structure[1][0] if has_aux else ()))

        flat = vmap(pushed, randomness=randomness)(*_basis(inputs))
        build_out, more = structure
        count = len(flat) - (len(more[0]) if more else 0)
        found = []
        for column in flat[:count]:
            shape = tuple(column.shape)[1:]
            pieces = []
            for part, x in zip(_parts(column, inputs, 0), inputs, strict=True):
                order = (*range(1, part.ndim), 0)
                pieces.append(operators["permute"](part, dims=order).reshape(*shape, *x.shape))
            tree = build_in(pieces)
            found.append(tree[0] if isinstance(argnums, int) else tree)
        jacobians = build_out(found)
        if not has_aux:
            return jacobians
        # The same for every direction: the first will do.
        aux = more[1]([operators["select"](x, dim=0, index=0) for x in flat[count:]])
        return jacobians, aux

    return jacobian


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The second derivatives: forward over reverse.

    Args:
        func: Function with a scalar result.
        argnums: Which arguments to differentiate by.
    Example:
        >>> rushlight.func.hessian(lambda x: (x**3).sum())(rushlight.tensor([2.0]))
        tensor([[12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The value, and the function that maps a direction to the derivative along it.

    Example:
        >>> value, push = rushlight.func.linearize(lambda x: x * x, rushlight.tensor(3.0))
        >>> value, push(rushlight.tensor(2.0))
        (tensor(9.), tensor(12.))
    """
    value, pull = vjp(func, *primals)
    outputs, build_out = flatten(value)
    probes = [operators["full"].function(
        tuple(o.shape), 0, dtype=o.dtype, device=o.device
    ) for o in outputs]  # fmt: skip
    # A pull is linear in its cotangents: its own pull, wherever taken, is the push.
    _, push = vjp(lambda *gs: pull(build_out(list(gs))), *probes)

    recorded = any(map(is_recorded, outputs))

    def pushed(*tangents: Any) -> Any:
        moved = push(tangents)
        return build_out([t if recorded else without_history(t) for t in moved])

    return value, pushed


def stack_module_state(models: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and buffers of modules of one kind, stacked for `vmap` over an ensemble.

    Args:
        models: Modules with parameters of the same names and shapes.
    Returns:
        (parameters by name, buffers by name), each with the models along dimension 0.
    Raises:
        RuntimeError: No modules, or modules of several classes.
    """
    modules = list(models)
    if not modules:
        raise error(RuntimeError, "stack_module_state", "Expected at least one model, got 0.")
    if any(type(m) is not type(modules[0]) for m in modules):
        raise error(
            RuntimeError,
            "stack_module_state",
            "Expected all models to be of the same class.",
            given=", ".join(sorted({type(m).__name__ for m in modules})),
        )
    stack = operators["stack"].function

    def stacked(named: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        made = {}
        for name in named[0]:
            joined = stack([values[name] for values in named]).detach()
            made[name] = joined.requires_grad_(named[0][name].requires_grad)
        return made

    return (
        stacked([dict(m.named_parameters()) for m in modules]),
        stacked([dict(m.named_buffers()) for m in modules]),
    )
