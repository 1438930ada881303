"""Lazy modules: layers that find out input sizes at their first call."""

from __future__ import annotations

import warnings
from typing import Any

from rushlight._errors import error

from ..parameter import is_lazy


class LazyModuleMixin:
    """Mixin of modules whose parameters wait for the first input.

    A lazy module makes its parameters as `UninitializedParameter`, and defines
    `initialize_parameters(*args, **kwargs)`, which gets the arguments of the first call. After it
    the module becomes an ordinary one, of the class `cls_to_become`.

    Example:
        >>> layer = rushlight.nn.LazyLinear(2)
        >>> _ = layer(rushlight.ones(1, 5))
        >>> layer
        Linear(in_features=5, out_features=2, bias=True)
    """

    cls_to_become: type[Any] | None = None

    # `Any`: as a mixin it stands before the class of the layer, whose arguments it passes on.
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._initialize_hook = self.register_forward_pre_hook(
            self._infer_parameters, with_kwargs=True
        )
        warnings.warn(
            "Lazy modules are a new feature under heavy development so changes to the API or "
            "functionality can happen at any moment.",
            stacklevel=3,
        )

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Materializes the parameters for these arguments of `forward`; to be overridden."""
        raise error(
            NotImplementedError,
            type(self).__name__,
            "initialize_parameters is not implemented",
            fix="define it in the lazy class",
        )

    def has_uninitialized_params(self: Any) -> bool:
        """Whether a parameter or buffer still waits for its shape."""
        members = (*self._parameters.values(), *self._buffers.values())
        return any(is_lazy(member) for member in members)

    @staticmethod
    def _infer_parameters(module: Any, args: tuple[Any, ...], kwargs: Any = None) -> None:
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise error(
                RuntimeError,
                type(module).__name__,
                "the module has not been fully initialized",
                expected="initialize_parameters materializes every parameter and buffer",
            )
        module._initialize_hook.remove()
        del module._initialize_hook
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become
