"""Modules without the cost of initial values."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from rushlight._errors import error

from ..modules.module import Module

M = TypeVar("M", bound=Module)


def skip_init(module_cls: type[M], *args: Any, **kwargs: Any) -> M:
    """Builds a module whose parameters and buffers are uninitialized memory.

    Args:
        module_cls: A module class whose constructor takes `device`.
        *args: Its arguments.
        **kwargs: Its keyword arguments.
    Raises:
        RuntimeError: The class is no module class, or its constructor takes no `device`.
    Example:
        >>> rushlight.nn.utils.skip_init(rushlight.nn.Linear, 5, 1).weight.shape
        rushlight.Size([1, 5])
    """
    if not issubclass(module_cls, Module):
        raise error(RuntimeError, "skip_init", f"expected a Module; got {module_cls}")
    parameters = inspect.signature(module_cls).parameters
    if "device" not in parameters and not any(
        p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()
    ):
        raise error(RuntimeError, "skip_init", "the module must support a 'device' arg")
    device = kwargs.pop("device", "cpu")
    return module_cls(*args, **kwargs, device="meta").to_empty(device=device)
