"""`rushlight.autograd.functional`: Jacobians and products with them, through the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._autograd.engine import grad as gradient
from .._errors import error
from .._interpreters import zeros_like
from .._modes import with_modes
from .._registered import operators
from .._tensor.tensor import Tensor

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
Tensors = tuple[Tensor, ...]


def _as_tuple(value: Any, what: str, who: str) -> tuple[Tensors, bool]:
    """(tensors, whether there were several)."""
    several = isinstance(value, tuple)
    parts = value if several else (value,)
    for place, x in enumerate(parts):
        if not isinstance(x, Tensor):
            raise error(
                TypeError,
                who,
                f"The {what} given to {who} must be either a Tensor or a tuple of Tensors but the "
                f"value at index {place} has type {type(x).__name__}",
            )
    return parts, several


def _own(inputs: Tensors, create: bool) -> Tensors:
    """Inputs that gradients stop at; connected to the given ones if a graph is wanted."""
    return tuple(
        operators["view"](x, size=tuple(x.shape))
        if create and x.requires_grad
        else x.detach().requires_grad_(True)
        for x in inputs
    )


def _finished(tree: Any, create: bool) -> Any:
    if isinstance(tree, tuple):
        return tuple(_finished(part, create) for part in tree)
    return tree if create else tree.detach()


def _single(tree: tuple[Any, ...], several: bool) -> Any:
    return tree if several else tree[0]


def _rows(
    outputs: Tensors, inputs: Tensors, seeds: Tensors, create: bool, strict: bool, who: str
) -> Tensors:
    """Gradients, with zeros (or an error under `strict`) where there is no path."""
    smooth = [(o, g) for o, g in zip(outputs, seeds, strict=True) if o.requires_grad]
    if strict and len(smooth) < len(outputs):
        raise error(
            RuntimeError,
            who,
            "an output of the user-provided function does not require gradients. The outputs must "
            "be computed in a differentiable manner from the input when running in strict mode",
        )
    found: tuple[Any, ...] = (None,) * len(inputs)
    if smooth:
        found = gradient(
            [o for o, _ in smooth],
            inputs,
            [g for _, g in smooth],
            retain_graph=True,
            create_graph=create,
            allow_unused=True,
        )
    if strict and any(g is None for g in found):
        place = next(i for i, g in enumerate(found) if g is None)
        raise error(
            RuntimeError,
            who,
            f"the output of the user-provided function is independent of input {place}. This is "
            "not allowed in strict mode",
        )
    return tuple(zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True))


def _run(func: Callable[..., Any], inputs: Tensors, who: str) -> tuple[Tensors, bool]:
    return _as_tuple(func(*inputs), "outputs of the user-provided function", who)


def _vectors(v: Any, like: Tensors, what: str, who: str) -> Tensors:
    """The vector of a product, checked; ones for a single element."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise error(
                RuntimeError,
                who,
                f"The vector v can only be None if the {what} is a single Tensor with a single "
                "element",
                fix="pass v",
            )
        full: Callable[..., Tensor] = operators["full"].function
        return (full(tuple(like[0].shape), 1, dtype=like[0].dtype, device=like[0].device),)
    vectors, _ = _as_tuple(v, "vector v", who)
    shapes = [tuple(x.shape) for x in vectors], [tuple(x.shape) for x in like]
    if shapes[0] != shapes[1]:
        raise error(
            RuntimeError,
            who,
            f"v should have the same shapes as the {what}",
            given=str(shapes[0]),
            expected=str(shapes[1]),
        )
    return vectors


def vjp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The outputs, and a vector times the Jacobian.

    Args:
        func: Function of tensors.
        inputs: Its arguments, a tensor or a tuple.
        v: The vector, in the shape of the outputs; may be left out for one of one element.
        create_graph: Record the computation.
        strict: Independence of an input is an error instead of zeros.
    Example:
        >>> x = rushlight.tensor([1.0, 2.0])
        >>> rushlight.autograd.functional.vjp(lambda x: (x * x).sum(), x)
        (tensor(5.), tensor([2., 4.]))
    """
    given, several = _as_tuple(inputs, "inputs", "vjp")
    with with_modes(grad=True):
        own = _own(given, create_graph)
        outputs, many = _run(func, own, "vjp")
        seeds = _vectors(v, outputs, "output of the user-provided function", "vjp")
        found = _rows(outputs, own, seeds, create_graph, strict, "vjp")
    return (
        _single(_finished(outputs, create_graph), many),
        _single(_finished(found, create_graph), several),
    )


def jvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The outputs, and the Jacobian times a vector, by two reverse passes.

    Args, Example: See `vjp`; `v` has the shape of the inputs. `rushlight.func.jvp` does the same in
        one forward pass.
    """
    given, _ = _as_tuple(inputs, "inputs", "jvp")
    directions = _vectors(v, given, "input to the user-provided function", "jvp")
    with with_modes(grad=True):
        own = _own(given, create_graph)
        outputs, many = _run(func, own, "jvp")
        probes = tuple(zeros_like(o).requires_grad_(True) for o in outputs)
        pulled = _rows(outputs, own, probes, True, strict, "jvp")
        found = _rows(pulled, probes, directions, create_graph, False, "jvp")
    return (
        _single(_finished(outputs, create_graph), many),
        _single(_finished(found, create_graph), many),
    )


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian: of shape (output, input), for tuples a tuple of tuples by output and input.

    Args:
        func: Function of tensors.
        inputs: Its arguments, a tensor or a tuple.
        create_graph: Record the computation.
        strict: Independence of an input is an error instead of zeros.
        vectorize: Carry all rows along in one pass, with `vmap`.
        strategy: "reverse-mode", or "forward-mode" (with `vectorize` only).
    Example:
        >>> rushlight.autograd.functional.jacobian(lambda x: x * x, rushlight.tensor([1.0, 2.0]))
        tensor([[2., 0.],
                [0., 4.]])
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise error(
            ValueError, "jacobian",
            'Expected strategy to be either "forward-mode" or "reverse-mode".',
            given=repr(strategy),
        )  # fmt: skip
    given, several = _as_tuple(inputs, "inputs", "jacobian")
    if strategy == "forward-mode":
        return _forward_jacobian(func, given, several, create_graph, strict, vectorize)
    with with_modes(grad=True):
        own = _own(given, create_graph)
        outputs, many = _run(func, own, "jacobian")
        rows = tuple(_output_rows(o, own, create_graph, strict, vectorize) for o in outputs)
    parts = tuple(_single(row, several) for row in rows)
    return _single(_finished(parts, create_graph), many)


def _forward_jacobian(
    func: Callable[..., Any],
    given: Tensors,
    several: bool,
    create: bool,
    strict: bool,
    vectorize: bool,
) -> Any:
    if strict or not vectorize or create:
        raise error(
            NotImplementedError,
            "jacobian",
            'strategy="forward-mode" needs vectorize=True, strict=False and create_graph=False',
        )
    from ..func._jacobians import jacfwd

    many = True

    def listed(*xs: Tensor) -> Tensors:
        nonlocal many
        outputs, many = _run(func, xs, "jacobian")
        return outputs

    found = jacfwd(listed, argnums=tuple(range(len(given))))(*(x.detach() for x in given))
    return _single(tuple(_single(row, several) for row in found), many)


def _output_rows(
    out: Tensor, inputs: Tensors, create: bool, strict: bool, vectorize: bool
) -> Tensors:
    """The Jacobian of one output by all inputs."""
    shape = tuple(out.shape)
    from ..func._jacobians import unit_vectors  # func loads after autograd

    basis = unit_vectors(out.numel(), out)
    if vectorize and out.requires_grad and out.numel():
        batch = operators["view"](basis, size=(out.numel(), *shape))
        found = gradient(
            out, inputs, batch, True, create, allow_unused=True, is_grads_batched=True,
            materialize_grads=True,
        )  # fmt: skip
        columns = [g for g in found if g is not None]
    else:
        select, view = operators["select"], operators["view"]
        rows = [
            _rows(
                (out,), inputs, (view(select(basis, dim=0, index=i), size=shape),), create, strict,
                "jacobian",
            )
            for i in range(out.numel())
        ]  # fmt: skip
        stack = operators["stack"].function
        full = operators["full"].function
        columns = [
            stack([row[place] for row in rows])
            if rows
            else full((0, *x.shape), 0, dtype=x.dtype, device=x.device)
            for place, x in enumerate(inputs)
        ]
    return tuple(
        column.reshape(*shape, *x.shape) for column, x in zip(columns, inputs, strict=True)
    )


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a function with one element as result.

    Args: See `jacobian`.

    Example:
        >>> rushlight.autograd.functional.hessian(lambda x: (x**3).sum(), rushlight.tensor([2.0]))
        tensor([[12.]])
    """
    _, several = _as_tuple(inputs, "inputs", "hessian")

    def gradient_of(*xs: Tensor) -> Any:
        out = func(*xs)
        _check_scalar(out, "hessian")
        found = _rows((out,), xs, _vectors(None, (out.detach(),), "", "hessian"), True, strict,
                      "hessian")  # fmt: skip
        return found if several else found[0]

    return jacobian(
        _reshaped(gradient_of), inputs, create_graph, strict, vectorize, outer_jacobian_strategy
    )


def _reshaped(function: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a function that differentiates on separate inputs of its own, with recording on."""

    def run(*xs: Tensor) -> Any:
        with with_modes(grad=True):
            return function(*(operators["view"](x, size=tuple(x.shape)) for x in xs))

    return run


def _check_scalar(out: Any, who: str) -> None:
    if not isinstance(out, Tensor) or out.numel() != 1:
        raise error(
            RuntimeError,
            who,
            "The Tensor returned by the function given to " + who + " should contain a single "
            "element",
            given=f"shape {tuple(getattr(out, 'shape', ()))}",
        )


def vhp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The output, and a vector times the Hessian.

    Args: See `vjp`; `v` has the shape of the inputs.

    Example:
        >>> x = rushlight.tensor([2.0, 3.0])
        >>> rushlight.autograd.functional.vhp(lambda x: (x**3).sum(), x, rushlight.ones(2))
        (tensor(35.), tensor([12., 18.]))
    """
    given, several = _as_tuple(inputs, "inputs", "vhp")
    vectors = _vectors(v, given, "input to the user-provided function", "vhp")
    with with_modes(grad=True):
        own = _own(given, create_graph)
        out = func(*own)
        _check_scalar(out, "vhp")
        seeds = _vectors(None, (out.detach(),), "", "vhp")
        first = _rows((out,), own, seeds, True, strict, "vhp")
        found = _rows(first, own, vectors, create_graph, strict, "vhp")
    return _finished(out, create_graph), _single(_finished(found, create_graph), several)


def hvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """The output, and the Hessian times a vector: as `vhp`, since Hessians are symmetric.

    Args: See `vhp`.

    Example:
        >>> x = rushlight.tensor([2.0, 3.0])
        >>> rushlight.autograd.functional.hvp(lambda x: (x**3).sum(), x, rushlight.ones(2))
        (tensor(35.), tensor([12., 18.]))
    """
    return vhp(func, inputs, v, create_graph, strict)
