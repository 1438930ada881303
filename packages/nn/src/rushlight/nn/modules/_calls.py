"""Calling a module: the fast path without hooks, and the order in which hooks run with them."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, cast

from rushlight import Tensor
from rushlight._errors import error, note_module
from rushlight.utils.hooks import RemovableHandle, add_hook

from . import _global_hooks
from ._backward_hooks import BackwardHooks
from ._global_hooks import Hook, active
from ._members import ModuleMembers, kind_of

if TYPE_CHECKING:
    from .module import Module


class ModuleCalls(ModuleMembers):
    """`__call__`, and registration of the hooks that run around `forward` and backward."""

    _backward_pre_hooks: OrderedDict[int, Hook]
    _backward_hooks: OrderedDict[int, Hook]
    _is_full_backward_hook: bool | None
    _forward_hooks: OrderedDict[int, Hook]
    _forward_hooks_with_kwargs: OrderedDict[int, bool]
    _forward_hooks_always_called: OrderedDict[int, bool]
    _forward_pre_hooks: OrderedDict[int, Hook]
    _forward_pre_hooks_with_kwargs: OrderedDict[int, bool]

    # True once any hook was registered on the instance: the one attribute a plain call reads.
    _hooked: bool = False

    # `Any`: each subclass's forward has a signature of its own.
    def _forward_missing(self, *input: Any) -> Any:
        raise error(
            NotImplementedError,
            kind_of(self),
            f'Module [{kind_of(self)}] is missing the required "forward" function',
            fix="define forward(self, ...) in the class",
        )

    forward: Any = _forward_missing

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if self._hooked or active.calls:
                return self._call_with_hooks(args, kwargs)
            return self.forward(*args, **kwargs)
        except Exception as raised:
            note_module(raised, self)
            raise

    def _functional_call(self, given: dict[str, Tensor], *args: Any, **options: Any) -> Any:
        """What `rushlight.func.functional_call` asks of a module."""
        from ..utils.stateless import functional_call

        return functional_call(cast("Module", self), given, *args, **options)

    # -- the way of a call with hooks ------------------------------------------------------

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        active.calls = _global_hooks.any_call_hooks()
        called: set[int] = set()
        result: Any = None
        try:
            args, kwargs = self._run_forward_pre_hooks(args, kwargs)
            backward = self._backward_hooks_in_force()
            if backward is not None:
                args = backward.tap_inputs(args)
            result = self.forward(*args, **kwargs)
            result = self._run_forward_hooks(args, kwargs, result, called)
            if backward is not None:
                result = backward.tap_outputs(result)
            self._attach_legacy_backward_hooks(result)
            return result
        except Exception:
            self._run_always_called(args, kwargs, result, called)
            raise

    def _run_forward_pre_hooks(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        for hook in list(_global_hooks.forward_pre_hooks.values()):
            args = _as_arguments(hook(self, args), args)
        for key, hook in list(self._forward_pre_hooks.items()):
            if key not in self._forward_pre_hooks_with_kwargs:
                args = _as_arguments(hook(self, args), args)
                continue
            replaced = hook(self, args, kwargs)
            if replaced is None:
                continue
            if not (isinstance(replaced, tuple) and len(replaced) == 2):
                raise error(
                    RuntimeError,
                    "forward pre-hook",
                    "must return None or a tuple of (new_args, new_kwargs)",
                    given=f"{replaced!r}",
                )
            args, kwargs = replaced
        return args, kwargs

    def _run_forward_hooks(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, called: set[int]
    ) -> Any:
        for table, with_kwargs, always in self._forward_hook_tables():
            for key, hook in list(table.items()):
                if key in always:
                    called.add(key)
                extra = (args, kwargs) if key in with_kwargs else (args,)
                replaced = hook(self, *extra, result)
                if replaced is not None:
                    result = replaced
        return result

    def _run_always_called(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, called: set[int]
    ) -> None:
        """After an error: the hooks that asked to run all the same; their errors are warnings."""
        for table, with_kwargs, always in self._forward_hook_tables():
            for key, hook in list(table.items()):
                if key not in always or key in called:
                    continue
                extra = (args, kwargs) if key in with_kwargs else (args,)
                try:
                    replaced = hook(self, *extra, result)
                except Exception as raised:
                    warnings.warn(
                        "module forward hook with always_call=True raised an exception that was "
                        f"silenced because another error was raised in forward: {raised}",
                        stacklevel=2,
                    )
                    continue
                if replaced is not None:
                    result = replaced

    def _forward_hook_tables(self) -> tuple[tuple[Any, Any, Any], ...]:
        return (
            (
                _global_hooks.forward_hooks,
                _global_hooks.forward_hooks_with_kwargs,
                _global_hooks.forward_hooks_always_called,
            ),
            (
                self._forward_hooks,
                self._forward_hooks_with_kwargs,
                self._forward_hooks_always_called,
            ),
        )

    def _backward_hooks_in_force(self) -> BackwardHooks | None:
        before = [*_global_hooks.backward_pre_hooks.values(), *self._backward_pre_hooks.values()]
        after = list(_global_hooks.backward_hooks.values())
        if self._is_full_backward_hook is not False:
            after += self._backward_hooks.values()
        return BackwardHooks(self, before, after) if before or after else None

    def _attach_legacy_backward_hooks(self, result: Any) -> None:
        if not self._backward_hooks or self._is_full_backward_hook is not False:
            return
        first = result
        while not isinstance(first, Tensor):
            first = next(iter(first.values())) if isinstance(first, dict) else first[0]
        node = first.grad_fn
        if node is not None:
            for hook in self._backward_hooks.values():
                node.register_hook(functools.partial(hook, self))

    # -- registration ----------------------------------------------------------------------

    def _add_hook(
        self, table: Any, hook: Any, prepend: bool, notes: dict[str, bool]
    ) -> RemovableHandle:
        tables = [getattr(self, name) for name, wanted in notes.items() if wanted]
        handle = add_hook(table, hook, *tables, prepend=prepend)
        self.__dict__["_hooked"] = True
        return handle

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Calls `hook(module, args)` before every `forward`.

        Args:
            hook: Returns None, or replacements for the arguments (a single value is wrapped in a
                tuple; with `with_kwargs`, a pair of arguments and keyword arguments).
            prepend: Run it before the hooks that are there already.
            with_kwargs: Call `hook(module, args, kwargs)`.
        Returns:
            A handle whose `remove()` takes the hook out.
        Example:
            >>> relu = rushlight.nn.ReLU()
            >>> handle = relu.register_forward_pre_hook(lambda module, args: (-args[0],))
            >>> relu(rushlight.tensor([-1.0, 1.0]))
            tensor([1., 0.])
        """
        notes = {"_forward_pre_hooks_with_kwargs": with_kwargs}
        return self._add_hook(self._forward_pre_hooks, hook, prepend, notes)

    def register_forward_hook(
        self,
        hook: Hook,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Calls `hook(module, args, output)` after every `forward`.

        Args:
            hook: Returns None, or a replacement for the output.
            prepend: Run it before the hooks that are there already.
            with_kwargs: Call `hook(module, args, kwargs, output)`.
            always_call: Call it even when `forward` raises.
        Returns:
            A handle whose `remove()` takes the hook out.
        """
        notes = {
            "_forward_hooks_with_kwargs": with_kwargs,
            "_forward_hooks_always_called": always_call,
        }
        return self._add_hook(self._forward_hooks, hook, prepend, notes)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Calls `hook(module, grad_output)` before the gradients of the inputs are computed.

        Args:
            hook: Returns None, or replacements for `grad_output`.
            prepend: Run it before the hooks that are there already.
        """
        return self._add_hook(self._backward_pre_hooks, hook, prepend, {})

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Calls `hook(module, grad_input, grad_output)` when the inputs' gradients are known.

        Args:
            hook: Returns None, or replacements for `grad_input`. Both arguments are tuples with an
                entry per positional argument or output, None where it is no tensor.
            prepend: Run it before the hooks that are there already.
        Raises:
            RuntimeError: The module has hooks of `register_backward_hook` already.
        """
        self._choose_backward_kind(full=True)
        return self._add_hook(self._backward_hooks, hook, prepend, {})

    def register_backward_hook(self, hook: Hook) -> RemovableHandle:
        """Deprecated; `hook` sees the gradients of the last operation only.

        Use `register_full_backward_hook`.
        """
        self._choose_backward_kind(full=False)
        return self._add_hook(self._backward_hooks, hook, False, {})

    def _choose_backward_kind(self, full: bool) -> None:
        if self._is_full_backward_hook is (not full):
            raise error(
                RuntimeError,
                kind_of(self),
                "cannot use both regular backward hooks and full backward hooks on one module",
                fix="use register_full_backward_hook for all of them",
            )
        self._is_full_backward_hook = full


def _as_arguments(replaced: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    if replaced is None:
        return args
    return replaced if isinstance(replaced, tuple) else (replaced,)
