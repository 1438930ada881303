"""Calling a module with other parameters and buffers than its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rushlight import Tensor
from rushlight._errors import error

from ..modules.module import Module


def _tied(module: Module, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """`given`, with what it says of one name also under the other names of the same tensor."""
    names: dict[int, list[str]] = {}
    for name, tensor in (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ):
        names.setdefault(id(tensor), []).append(name)
    full = dict(given)
    for group in names.values():
        values = {id(given[name]): given[name] for name in group if name in given}
        if len(values) > 1:
            raise error(
                ValueError,
                "functional_call",
                f"got several values for tied keys: {', '.join(group)}",
                fix="give one of them only, or pass tie_weights=False",
            )
        for value in values.values():
            full.update(dict.fromkeys(group, value))
    return full


def _check_keys(module: Module, given: dict[str, Tensor]) -> None:
    known = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    known |= {name for name, _ in module.named_buffers(remove_duplicate=False)}
    problems = []
    for label, names in (("Unexpected", given.keys() - known), ("Missing", known - given.keys())):
        if names:
            problems.append(f"{label} key(s): {', '.join(sorted(names))}.")
    if problems:
        raise error(
            RuntimeError,
            "functional_call",
            f"Error(s) in reparametrizing for {type(module).__name__}: " + " ".join(problems),
        )


def _registry_of(module: Module, path: str) -> tuple[Any, str] | None:
    """The owner of a parameter or buffer and its name there; None if there is none."""
    parent, _, name = path.rpartition(".")
    try:
        owner = module.get_submodule(parent)
    except AttributeError:
        return None
    return (owner, name) if name in owner._parameters or name in owner._buffers else None


def _exchange(owner: Any, name: str, value: Any) -> Any:
    """Puts `value` in the place of a parameter or buffer; returns what stood there."""
    registry = owner._parameters if name in owner._parameters else owner._buffers
    old = registry[name]
    registry[name] = value
    owner.__dict__[name] = value
    return old


@contextmanager
def _reparametrize_module(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    tie_weights: bool = False,
    strict: bool = False,
) -> Iterator[None]:
    given = parameters_and_buffers
    if tie_weights:
        given = _tied(module, given)
    if strict:
        _check_keys(module, given)
    undo: list[tuple[str, Any, str, Any]] = []
    try:
        for path, value in given.items():
            place = _registry_of(module, path)
            if place is not None:
                undo.append((path, *place, _exchange(*place, value)))
        yield
    finally:
        for path, owner, name, old in reversed(undo):
            # What forward assigned to a buffer is a result, as it is in PyTorch.
            result = _exchange(owner, name, old)
            if path in parameters_and_buffers:
                parameters_and_buffers[path] = result


def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    args: Any | tuple[Any, ...] | None = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Calls a module with some of its parameters and buffers replaced for the time.

    Args:
        module: The module.
        parameters_and_buffers: The tensors to use, by dotted name.
        args: Its arguments; a single one need not be in a tuple.
        kwargs: Its keyword arguments.
        tie_weights: Replace a tensor that has several names under all of them.
        strict: Insist that all names are given, and no others.
    Returns:
        What the module returns.
    Example:
        >>> layer = rushlight.nn.Linear(1, 1, bias=False)
        >>> rushlight.nn.utils.stateless.functional_call(
        ...     layer, {"weight": rushlight.tensor([[3.0]])}, rushlight.tensor([2.0])
        ... )
        tensor([6.])
    """
    if args is None:
        args = ()
    elif not isinstance(args, tuple):
        args = (args,)
    with _reparametrize_module(module, parameters_and_buffers, tie_weights, strict):
        return module(*args, **(kwargs or {}))
