"""Hooks that act on every module."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from rushlight.utils.hooks import RemovableHandle, add_hook

Hook = Callable[..., Any]
Table = OrderedDict[int, Hook]

forward_pre_hooks: Table = OrderedDict()
forward_hooks: Table = OrderedDict()
forward_hooks_with_kwargs: Table = OrderedDict()
forward_hooks_always_called: Table = OrderedDict()
backward_pre_hooks: Table = OrderedDict()
backward_hooks: Table = OrderedDict()
parameter_hooks: Table = OrderedDict()
buffer_hooks: Table = OrderedDict()
module_hooks: Table = OrderedDict()


class _Active:
    """Whether a call of a module must look at the tables above; one attribute on the hot path."""

    calls = False


active = _Active()


def any_call_hooks() -> bool:
    return bool(forward_pre_hooks or forward_hooks or backward_pre_hooks or backward_hooks)


def _register(table: Table, hook: Hook, *extra: Table) -> RemovableHandle:
    handle = add_hook(table, hook, *extra)
    active.calls = any_call_hooks()
    return handle


def _run_registration(table: Table, module: Any, name: str, member: Any) -> Any:
    for hook in table.values():
        replacement = hook(module, name, member)
        if replacement is not None:
            member = replacement
    return member


def on_parameter(module: Any, name: str, parameter: Any) -> Any:
    return _run_registration(parameter_hooks, module, name, parameter)


def on_buffer(module: Any, name: str, buffer: Any) -> Any:
    return _run_registration(buffer_hooks, module, name, buffer)


def on_module(module: Any, name: str, submodule: Any) -> Any:
    return _run_registration(module_hooks, module, name, submodule)


def register_module_parameter_registration_hook(hook: Hook) -> RemovableHandle:
    """Calls `hook(module, name, param)` at every registration; it may return a replacement."""
    return _register(parameter_hooks, hook)


def register_module_buffer_registration_hook(hook: Hook) -> RemovableHandle:
    """Calls `hook(module, name, buffer)` at every registration; it may return a replacement."""
    return _register(buffer_hooks, hook)


def register_module_module_registration_hook(hook: Hook) -> RemovableHandle:
    """Calls `hook(module, name, submodule)` at every registration; it may replace the submodule."""
    return _register(module_hooks, hook)


def register_module_forward_pre_hook(hook: Hook) -> RemovableHandle:
    """Calls `hook(module, args)` before the `forward` of every module."""
    return _register(forward_pre_hooks, hook)


def register_module_forward_hook(
    hook: Hook, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Calls `hook(module, args, output)` after the `forward` of every module.

    Args:
        hook: Returns None, or a replacement for the output.
        with_kwargs: Call `hook(module, args, kwargs, output)` instead.
        always_call: Call it even when `forward` raises.
    """
    extra = []
    if with_kwargs:
        extra.append(forward_hooks_with_kwargs)
    if always_call:
        extra.append(forward_hooks_always_called)
    return _register(forward_hooks, hook, *extra)


def register_module_full_backward_pre_hook(hook: Hook) -> RemovableHandle:
    """Calls `hook(module, grad_output)` before the backward of every module."""
    return _register(backward_pre_hooks, hook)


def register_module_full_backward_hook(hook: Hook) -> RemovableHandle:
    """Calls `hook(module, grad_input, grad_output)` after the backward of every module."""
    return _register(backward_hooks, hook)
