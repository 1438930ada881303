"""`Module`, the base class of all layers and models: conversion, modes, gradients and printing.

The rest of it stands in base classes, a story each: `_members` (what a module owns), `_calls`
(calling it, hooks) and `_state` (saving and loading).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, cast

import rushlight
from rushlight import Tensor
from rushlight._errors import error
from rushlight.utils.hooks import RemovableHandle as RemovableHandle

from ..parameter import Parameter, is_lazy
from ._global_hooks import (
    register_module_buffer_registration_hook as register_module_buffer_registration_hook,
)
from ._global_hooks import (
    register_module_forward_hook as register_module_forward_hook,
)
from ._global_hooks import (
    register_module_forward_pre_hook as register_module_forward_pre_hook,
)
from ._global_hooks import (
    register_module_full_backward_hook as register_module_full_backward_hook,
)
from ._global_hooks import (
    register_module_full_backward_pre_hook as register_module_full_backward_pre_hook,
)
from ._global_hooks import (
    register_module_module_registration_hook as register_module_module_registration_hook,
)
from ._global_hooks import (
    register_module_parameter_registration_hook as register_module_parameter_registration_hook,
)
from ._members import kind_of
from ._state import ModuleState
from ._state import _IncompatibleKeys as _IncompatibleKeys


class Module(ModuleState):
    """Base class of layers and models.

    Assign parameters, buffers and submodules as attributes in `__init__`, after
    `super().__init__()`, and define `forward`.

    Attributes:
        training: True in training mode; `train()` and `eval()` set it.
    Example:
        >>> class Scale(rushlight.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.factor = rushlight.nn.Parameter(rushlight.tensor(2.0))
        ...
        ...     def forward(self, x):
        ...         return self.factor * x
        >>> Scale()(rushlight.tensor([1.0, 3.0])).tolist()
        [2.0, 6.0]
    """

    dump_patches: bool = False

    # -- conversion ------------------------------------------------------------------------

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replaces the data of parameters, their gradients and buffers by `fn` of it."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for name, parameter in self._parameters.items():
            if parameter is not None:
                self._apply_to_parameter(name, parameter, fn)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
                self.__dict__[name] = self._buffers[name]
        return self

    def _apply_to_parameter(
        self, name: str, parameter: Parameter, fn: Callable[[Tensor], Tensor]
    ) -> None:
        with rushlight.no_grad():
            converted = fn(parameter)
        if converted is parameter:
            return
        if is_lazy(converted):
            self._parameters[name] = self.__dict__[name] = converted  # type: ignore[assignment]
            return
        # In place, so that optimisers and modules that share the parameter follow.
        gradient = parameter.grad
        if gradient is not None:
            with rushlight.no_grad():
                gradient = fn(gradient).requires_grad_(gradient.requires_grad)
            parameter.grad = None
        parameter.data = converted.detach()
        if gradient is not None:
            parameter.grad = gradient

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Calls `fn` on all submodules, innermost first, then on this module.

        Example:
            >>> model = rushlight.nn.Sequential(rushlight.nn.Linear(2, 2))
            >>> _ = model.apply(lambda module: print(type(module).__name__))
            Linear
            Sequential
        """
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Moves and converts parameters and buffers, in place.

        Called as `to(device=None, dtype=None, non_blocking=False)`, `to(dtype,
        non_blocking=False)`, `to(tensor, non_blocking=False)` or `to(memory_format=...)`. A dtype
        concerns floating point and complex tensors only; a memory format those of four or five
        dimensions.

        Returns:
            The module itself.
        Raises:
            TypeError: The dtype is neither floating point nor complex.
        Example:
            >>> rushlight.nn.Linear(2, 2).to(rushlight.float64).weight.dtype
            rushlight.float64
        """
        device, dtype, non_blocking, memory_format = _parse_to(*args, **kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise error(
                TypeError,
                f"{kind_of(self)}.to",
                "only floating point and complex dtypes are accepted",
                given=f"dtype={dtype}",
                fix="convert single tensors with Tensor.to",
            )

        def convert(tensor: Tensor) -> Tensor:
            options: dict[str, Any] = {"non_blocking": non_blocking}
            if device is not None:
                options["device"] = device
            if dtype is not None and (tensor.is_floating_point() or tensor.is_complex()):
                options["dtype"] = dtype
            if memory_format is not None and not is_lazy(tensor) and tensor.dim() in (4, 5):
                options["memory_format"] = memory_format
            return tensor.to(**options) if len(options) > 1 else tensor

        return self._apply(convert)

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Moves parameters and buffers to `device` without their values.

        Args:
            device: Where to; None for where they are.
            recurse: Submodules too.
        """
        return self._apply(lambda t: rushlight.empty_like(t, device=device), recurse=recurse)

    def type(self, dst_type: Any) -> Self:
        """Casts all parameters and buffers to `dst_type`, in place."""
        return self._apply(lambda t: t.to(dst_type))

    def _cast_floating(self, dtype: Any) -> Self:
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def float(self) -> Self:
        """Casts floating point parameters and buffers to float32, in place."""
        return self._cast_floating(rushlight.float32)

    def double(self) -> Self:
        """Casts floating point parameters and buffers to float64, in place."""
        return self._cast_floating(rushlight.float64)

    def half(self) -> Self:
        """Casts floating point parameters and buffers to float16, in place."""
        return self._cast_floating(rushlight.float16)

    def bfloat16(self) -> Self:
        """Casts floating point parameters and buffers to bfloat16, in place."""
        return self._cast_floating(rushlight.bfloat16)

    def cpu(self) -> Self:
        """Moves parameters and buffers to the CPU, in place."""
        return self._apply(lambda t: t.cpu())

    def share_memory(self) -> Self:
        """Moves parameters and buffers to memory that other processes can share."""
        return self._apply(lambda t: cast(Any, t).share_memory_())

    # -- modes and gradients ---------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Switches this module and those below to training mode, or to evaluation mode.

        Raises:
            ValueError: `mode` is no bool.
        """
        if not isinstance(mode, bool):
            raise error(
                ValueError,
                f"{kind_of(self)}.train",
                "training mode is expected to be boolean",
                given=f"mode={mode!r}",
            )
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """Switches to evaluation mode; the same as `train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Sets whether autograd records operations on the parameters, in place.

        Example:
            >>> frozen = rushlight.nn.Linear(2, 2).requires_grad_(False)
            >>> any(p.requires_grad for p in frozen.parameters())
            False
        """
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters, or fills them with zeros.

        Args:
            set_to_none: Drop them; False keeps the tensors and zeroes them.
        """
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
                continue
            gradient = parameter.grad
            if gradient is None:
                continue
            if gradient.grad_fn is not None:
                parameter.grad = rushlight.zeros_like(gradient.detach())
            else:
                gradient.requires_grad_(False)
                gradient.zero_()

    # -- printing --------------------------------------------------------------------------

    def _get_name(self) -> str:
        return self.__class__.__name__

    def extra_repr(self) -> str:
        """What to print between the parentheses; override it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        extra_lines = extra.split("\n") if extra else []
        lines = [f"({name}): {_indented(repr(module))}" for name, module in self._modules.items()]
        name = self._get_name()
        if len(extra_lines) == 1 and not lines:
            return f"{name}({extra_lines[0]})"
        if not extra_lines and not lines:
            return f"{name}()"
        return f"{name}(\n  " + "\n  ".join(extra_lines + lines) + "\n)"


def _indented(text: str, spaces: int = 2) -> str:
    """All lines but the first moved to the right."""
    return text.replace("\n", "\n" + " " * spaces)


def _parse_to(
    *args: Any,
    device: Any = None,
    dtype: Any = None,
    non_blocking: bool = False,
    memory_format: Any = None,
    tensor: Tensor | None = None,
) -> tuple[Any, Any, bool, Any]:
    """(device, dtype, non_blocking, memory_format) from the arguments of `Module.to`."""
    rest = list(args)
    first = rest[0] if rest else None
    if isinstance(first, Tensor):
        tensor = rest.pop(0)
    elif isinstance(first, rushlight.dtype):
        dtype = rest.pop(0)
    elif rest:
        device = rest.pop(0)
        if rest:
            dtype = rest.pop(0)
    if tensor is not None:
        device, dtype = tensor.device, tensor.dtype
    if rest:
        non_blocking = rest.pop(0)
    if len(rest) > 1 or (device is not None and not _names_a_device(device)):
        raise error(
            TypeError,
            "Module.to",
            "the arguments fit none of its forms",
            given=", ".join(repr(argument) for argument in args),
            expected="(device, dtype, non_blocking), (dtype, non_blocking), (tensor, non_blocking)",
        )
    return None if device is None else rushlight.device(device), dtype, non_blocking, memory_format


def _names_a_device(value: Any) -> bool:
    return isinstance(value, (str, int, rushlight.device)) and not isinstance(value, bool)
