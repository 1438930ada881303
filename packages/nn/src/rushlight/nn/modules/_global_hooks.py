"""Hooks that act on every module, and the handle that removes a hook again."""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

Hook = Callable[..., Any]


class RemovableHandle:
    """What registering a hook returns: `remove()` undoes the registration.

    Also a context manager that removes the hook at the end of the block.

    Args:
        hooks_dict: The table the hook was put into, under `id`.
        extra_dict: One table, or several, that may hold a note under the same `id`.
    """

    _ids = itertools.count()

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None) -> None:
        self.id: int = next(RemovableHandle._ids)
        self.hooks_dict_ref = weakref.ref(hooks_dict)
        extra = () if extra_dict is None else extra_dict
        extra = extra if isinstance(extra, (list, tuple)) else (extra,)
        self.extra_dict_ref = tuple(weakref.ref(table) for table in extra)

    def remove(self) -> None:
        """Takes the hook out; a second call does nothing."""
        for reference in (self.hooks_dict_ref, *self.extra_dict_ref):
            table = reference()
            if table is not None:
                table.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def __getstate__(self) -> tuple[Any, ...]:
        return self.hooks_dict_ref(), self.id, tuple(ref() for ref in self.extra_dict_ref)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        hooks, self.id, extra = state
        # A table that was dropped before pickling comes back as an empty one nobody else holds.
        self.hooks_dict_ref = weakref.ref(OrderedDict() if hooks is None else hooks)
        self.extra_dict_ref = tuple(weakref.ref(table) for table in extra if table is not None)


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
    handle = RemovableHandle(table, extra_dict=list(extra))
    table[handle.id] = hook
    for note in extra:
        note[handle.id] = hook
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
