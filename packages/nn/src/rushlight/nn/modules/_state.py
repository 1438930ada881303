"""Saving and loading a module's state: `state_dict`, `load_state_dict` and their hooks.

Loading looks before it leaps: it walks the modules first, noting what to copy and what is wrong,
and copies only when nothing is. A refused state leaves the module as it was.
"""

from __future__ import annotations

import functools
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, cast

import rushlight
from rushlight import Tensor
from rushlight._errors import error
from rushlight.utils.hooks import RemovableHandle, add_hook

from ..parameter import Parameter, UninitializedTensorMixin, is_lazy
from ._calls import ModuleCalls
from ._global_hooks import Hook
from ._members import kind_of

EXTRA_STATE_KEY = "_extra_state"

# Copies noted by the walk in progress; None outside `load_state_dict`, where
# `_load_from_state_dict` then copies at once.
_pending: ContextVar[list[Callable[[], None]] | None] = ContextVar("_pending", default=None)


class _IncompatibleKeys(namedtuple("_IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What a state lacked, and what it had too much."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class ModuleState(ModuleCalls):
    """`state_dict`, `load_state_dict`, and what subclasses override to take part in them."""

    _version: int = 1
    _state_dict_hooks: OrderedDict[int, Hook]
    _state_dict_pre_hooks: OrderedDict[int, Hook]
    _load_state_dict_pre_hooks: OrderedDict[int, Hook]
    _load_state_dict_post_hooks: OrderedDict[int, Hook]

    # -- extra state -----------------------------------------------------------------------

    def get_extra_state(self) -> Any:
        """What else to keep in `state_dict`; override together with `set_extra_state`."""
        raise error(RuntimeError, kind_of(self), "the module has no extra state")

    def set_extra_state(self, state: Any) -> None:
        """Receives from `load_state_dict` what `get_extra_state` gave."""
        raise error(
            RuntimeError,
            kind_of(self),
            "the module has no extra state to set",
            fix="define set_extra_state beside get_extra_state",
        )

    def _has_extra_state(self, method: str = "get_extra_state") -> bool:
        return getattr(type(self), method) is not getattr(ModuleState, method)

    # -- saving ----------------------------------------------------------------------------

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """The parameters and persistent buffers of this module and those below, by dotted name.

        Args:
            *args: Deprecated: the arguments below by position.
            destination: A dict to fill and return; a new one if None.
            prefix: Stands before every name.
            keep_vars: Give the tensors themselves, not detached ones that share their memory.
        Returns:
            An `OrderedDict`, whose `_metadata` holds a version for each module.
        Example:
            >>> list(rushlight.nn.Linear(3, 2).state_dict())
            ['weight', 'bias']
        """
        given = (*args, *(None, None, None)[len(args) :])
        destination = given[0] if destination is None else destination
        prefix = given[1] if given[1] and not prefix else prefix
        keep_vars = keep_vars or bool(given[2])
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for hook in self._state_dict_hooks.values():
            replaced = hook(self, destination, prefix, local_metadata)
            if replaced is None:
                continue
            if not getattr(hook, "_from_private_api", False):
                raise error(RuntimeError, kind_of(self), "state_dict post-hook must return None")
            destination = replaced
        return cast("dict[str, Any]", destination)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Writes the state of this module alone, not of its submodules, to `destination`."""
        for name, parameter in self._parameters.items():
            if parameter is not None:
                destination[prefix + name] = parameter if keep_vars else parameter.detach()
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = buffer if keep_vars else buffer.detach()
        if self._has_extra_state():
            destination[prefix + EXTRA_STATE_KEY] = self.get_extra_state()

    def register_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Calls `hook(module, prefix, keep_vars)` before `state_dict` collects the module."""
        return add_hook(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Calls `hook(module, state_dict, prefix, local_metadata)` afterwards, to change it."""
        return add_hook(self._state_dict_hooks, hook)

    def _register_state_dict_hook(self, hook: Hook) -> RemovableHandle:
        """As `register_state_dict_post_hook`, but the hook may return another dict."""
        hook._from_private_api = True  # type: ignore[attr-defined]
        return add_hook(self._state_dict_hooks, hook)

    # -- loading ---------------------------------------------------------------------------

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Copies parameters and buffers from a state into this module and those below.

        Args:
            state_dict: Tensors by dotted name, as `state_dict` gives them.
            strict: Insist that the names agree exactly.
            assign: Take the tensors themselves instead of copying their values; dtype and device
                then become the state's.
        Returns:
            The names that were missing and those that were not expected.
        Raises:
            TypeError: `state_dict` is no mapping.
            RuntimeError: Names (if `strict`) or shapes do not agree. Nothing was copied then.
        Example:
            >>> first, second = rushlight.nn.Linear(3, 2), rushlight.nn.Linear(3, 2)
            >>> second.load_state_dict(first.state_dict())
            <All keys matched successfully>
        """
        if not isinstance(state_dict, Mapping):
            raise error(
                TypeError,
                f"{kind_of(self)}.load_state_dict",
                f"expected state_dict to be dict-like, got {type(state_dict)}",
            )
        found = _IncompatibleKeys([], [])
        problems: list[str] = []
        metadata = getattr(state_dict, "_metadata", None)
        state: OrderedDict[str, Any] = OrderedDict(state_dict)
        if metadata is not None:
            state._metadata = metadata  # type: ignore[attr-defined]
        copies: list[Callable[[], None]] = []
        token = _pending.set(copies)
        try:
            has_post_hooks = self._walk_state(state, "", assign, found, problems)
        finally:
            _pending.reset(token)
        # Post-hooks may excuse missing and unexpected names, but want to see the values loaded.
        if problems or not has_post_hooks:
            self._refuse(found, problems, strict)
        for copy in copies:
            copy()
        if has_post_hooks:
            self._run_load_post_hooks(found)
            self._refuse(found, problems, strict)
        return found

    def _walk_state(
        self,
        state: OrderedDict[str, Any],
        prefix: str,
        assign: bool,
        found: _IncompatibleKeys,
        problems: list[str],
    ) -> bool:
        """Visits the module and those below; returns whether one of them has post-hooks."""
        metadata = getattr(state, "_metadata", None)
        local_metadata = dict({} if metadata is None else metadata.get(prefix[:-1], {}))
        if assign:
            local_metadata["assign_to_params_buffers"] = assign
        # Names are always reported; whether they are an error is decided at the end.
        self._load_from_state_dict(
            state, prefix, local_metadata, True, found.missing_keys, found.unexpected_keys, problems
        )
        has_post_hooks = bool(self._load_state_dict_post_hooks)
        for name, module in self._modules.items():
            if module is None:
                continue
            below = f"{prefix}{name}."
            part = OrderedDict((k, v) for k, v in state.items() if k.startswith(below))
            if metadata is not None:
                part._metadata = metadata  # type: ignore[attr-defined]
            has_post_hooks |= module._walk_state(part, below, assign, found, problems)
        return has_post_hooks

    def _run_load_post_hooks(self, found: _IncompatibleKeys) -> None:
        for module in self._modules.values():
            if module is not None:
                module._run_load_post_hooks(found)
        for hook in self._load_state_dict_post_hooks.values():
            if hook(self, found) is not None:
                raise error(
                    AssertionError,
                    kind_of(self),
                    "hooks of register_load_state_dict_post_hook must return None",
                    fix="change incompatible_keys in place",
                )

    def _refuse(self, found: _IncompatibleKeys, problems: list[str], strict: bool) -> None:
        problems = list(problems)
        if strict:
            for label, names in (("Unexpected", found[1]), ("Missing", found[0])):
                if names:
                    listed = ", ".join(f'"{name}"' for name in names)
                    problems.insert(0, f"{label} key(s) in state_dict: {listed}. ")
        if not problems:
            return
        only_names = strict and (found.missing_keys or found.unexpected_keys)
        raise error(
            RuntimeError,
            "",
            f"Error(s) in loading state_dict for {kind_of(self)}:\n\t" + "\n\t".join(problems),
            fix="load with strict=False to leave out what does not match by name"
            if only_names
            else "build the module with the sizes of the saved one",
        )

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Takes the state of this module alone from `state_dict`; override to convert old states.

        Args:
            state_dict: May be changed; it is a copy.
            prefix: Stands before this module's names.
            local_metadata: What `state_dict` noted for this module, such as its version.
            strict: Whether to report names that were not expected.
            missing_keys: Names to add to.
            unexpected_keys: Names to add to.
            error_msgs: Other problems to add to.
        """
        for hook in self._load_state_dict_pre_hooks.values():
            hook(
                state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                error_msgs,
            )  # fmt: skip
        assign = local_metadata.get("assign_to_params_buffers", False)
        local: dict[str, Any] = {name: p for name, p in self._parameters.items() if p is not None}
        local |= {
            name: b
            for name, b in self._buffers.items()
            if b is not None and name not in self._non_persistent_buffers_set
        }
        for name, target in local.items():
            key = prefix + name
            if key not in state_dict:
                if strict:
                    missing_keys.append(key)
                continue
            problem = _mismatch(key, target, state_dict[key])
            if problem:
                error_msgs.append(problem)
            else:
                _do(functools.partial(self._take, name, target, state_dict[key], assign))
        self._load_extra_state(state_dict, prefix, strict, missing_keys, unexpected_keys)
        if strict:
            unexpected_keys += self._unexpected(state_dict, prefix, local)

    def _take(self, name: str, target: Any, value: Any, assign: bool) -> None:
        if not is_lazy(target) and not is_lazy(value) and value.shape != target.shape:
            value = value.reshape(target.shape)
        if assign:
            if isinstance(target, Parameter) and not isinstance(value, Parameter):
                value = Parameter(value, requires_grad=target.requires_grad)
            elif isinstance(target, Parameter):
                value.requires_grad_(target.requires_grad)
            setattr(self, name, value)
            return
        if is_lazy(value):
            return
        with rushlight.no_grad():
            if isinstance(target, UninitializedTensorMixin):
                target.materialize(value.shape)
            target.copy_(value)

    def _load_extra_state(
        self,
        state_dict: Any,
        prefix: str,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
    ) -> None:
        key = prefix + EXTRA_STATE_KEY
        if self._has_extra_state("set_extra_state"):
            if key in state_dict:
                _do(functools.partial(self.set_extra_state, state_dict[key]))
            elif strict:
                missing_keys.append(key)
        elif strict and key in state_dict:
            unexpected_keys.append(key)

    def _unexpected(self, state_dict: Any, prefix: str, local: dict[str, Any]) -> list[str]:
        names = []
        for key in state_dict:
            if not key.startswith(prefix) or key == prefix + EXTRA_STATE_KEY:
                continue
            first, dot, _ = key[len(prefix) :].partition(".")
            if first not in (self._modules if dot else local):
                names.append(key)
        return names

    def register_load_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Calls `hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)` before the module takes its state."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(
        self, hook: Hook, with_module: bool = False
    ) -> RemovableHandle:
        wrapped = _WithModule(hook, self) if with_module else hook
        return add_hook(self._load_state_dict_pre_hooks, wrapped)

    def register_load_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Calls `hook(module, incompatible_keys)` after loading; it may change the lists."""
        return add_hook(self._load_state_dict_post_hooks, hook)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for hook in self._load_state_dict_pre_hooks.values():
            if isinstance(hook, _WithModule):
                hook.module = self


class _WithModule:
    """A hook that gets its module first; a copied module rebinds it to the copy."""

    def __init__(self, hook: Hook, module: object) -> None:
        self.hook = hook
        self.module = module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.hook(self.module, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {"hook": self.hook, "module": None}


def _do(copy: Callable[[], None]) -> None:
    pending = _pending.get()
    if pending is None:
        copy()
    else:
        pending.append(copy)


def _mismatch(key: str, target: Any, value: Any) -> str | None:
    """Why `value` cannot be loaded into `target`, or None."""
    if not isinstance(value, Tensor):
        return (
            f'While copying the parameter named "{key}", expected a Tensor from the checkpoint '
            f"but received {type(value)}"
        )
    if is_lazy(target):
        return None
    if is_lazy(value):
        return (
            f'While copying the parameter named "{key}", found an uninitialized tensor in the '
            "checkpoint: run the saved module once before saving it"
        )
    if tuple(target.shape) == tuple(value.shape):
        return None
    # Old checkpoints keep scalars as tensors of one element.
    if target.ndim == 0 and tuple(value.shape) == (1,):
        return None
    return (
        f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, "
        f"the shape in current model is {target.shape}."
    )
