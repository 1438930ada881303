"""The base class of all optimisers: parameter groups, state, its saving and loading, hooks."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from copy import deepcopy
from itertools import chain
from typing import Any, TypeAlias

import rushlight
from rushlight import Tensor
from rushlight._errors import error
from rushlight.utils.hooks import RemovableHandle, add_hook

# A group's options have any type: an optimiser, or a user's own, decides what they are.
ParamGroup: TypeAlias = dict[str, Any]
StateDict: TypeAlias = dict[str, Any]
Hook: TypeAlias = Callable[..., Any]
# Hooks by number, in the order in which they run.
HookTable: TypeAlias = OrderedDict[int, Hook]
ParamsT: TypeAlias = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]

_global_pre_hooks: HookTable = OrderedDict()
_global_post_hooks: HookTable = OrderedDict()

_HOOK_TABLES = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)


class _Required:
    """Marks an option without a default."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def register_optimizer_step_pre_hook(hook: Hook) -> RemovableHandle:
    """Registers `hook(optimizer, args, kwargs)` to run before every optimiser's `step`."""
    return add_hook(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Hook) -> RemovableHandle:
    """Registers `hook(optimizer, args, kwargs)` to run after every optimiser's `step`."""
    return add_hook(_global_post_hooks, hook)


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """A class's own `step` with the hooks around it."""

    @functools.wraps(step)
    def hooked(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if type(self).step is not hooked:  # super().step() of a subclass: its hooks run there
            return step(self, *args, **kwargs)
        self._opt_called = True
        if not (
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or _global_pre_hooks
            or _global_post_hooks
        ):
            return step(self, *args, **kwargs)
        given = (self, *args)
        for hook in (*_global_pre_hooks.values(), *self._optimizer_step_pre_hooks.values()):
            replaced = hook(self, given, kwargs)
            if replaced is not None:
                given, kwargs = _checked_arguments(self, replaced)
        result = step(*given, **kwargs)
        for hook in (*self._optimizer_step_post_hooks.values(), *_global_post_hooks.values()):
            hook(self, given, kwargs)
        return result

    return hooked


def _checked_arguments(optimizer: Optimizer, replaced: Any) -> tuple[Any, Any]:
    if isinstance(replaced, tuple) and len(replaced) == 2:
        return replaced
    raise error(
        RuntimeError,
        f"{type(optimizer).__name__}.step",
        "a step pre-hook must return None or a tuple of (new_args, new_kwargs)",
        given=f"the hook returned {replaced!r}",
    )


class Optimizer:
    """Base class of all optimisers.

    A subclass passes its options' defaults here and defines `step`.

    Args:
        params: Tensors, `(name, tensor)` pairs, or dicts that each describe a parameter group:
            `"params"` and any option that differs from the default. The order must be the same in
            every run, because saved state is matched by position.
        defaults: Options of groups that do not set their own.

    Raises:
        TypeError: `params` is a tensor, or holds something other than tensors.
        ValueError: `params` is empty, or holds a tensor that is no leaf, or one tensor in two
            groups, or names for only some of the tensors.

    Example:
        >>> w = rushlight.ones(2, requires_grad=True)
        >>> class SignDescent(rushlight.optim.Optimizer):
        ...     @rushlight.no_grad()
        ...     def step(self, closure=None):
        ...         for group in self.param_groups:
        ...             for p in group["params"]:
        ...                 p.add_(p.grad.sign(), alpha=-group["lr"])
        >>> optimizer = SignDescent([w], {"lr": 0.5})
        >>> w.grad = rushlight.tensor([3.0, -2.0])
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.5000, 1.5000])
    """

    defaults: dict[str, Any]
    state: defaultdict[Tensor, Any]
    param_groups: list[ParamGroup]

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        name = type(self).__name__
        if isinstance(params, Tensor):
            raise error(
                TypeError,
                name,
                "params argument given to the optimizer should be an iterable of Tensors or dicts",
                given=f"one tensor of shape {tuple(params.shape)}",
                fix="pass [tensor]",
            )
        self.defaults = defaults
        self._make_hook_tables()
        self.state = defaultdict(dict)
        self.param_groups = []
        given: list[Any] = list(params)
        if not given:
            raise error(
                ValueError,
                name,
                "optimizer got an empty parameter list",
                fix="an iterator such as model.parameters() can be used only once; call it again",
            )
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__.get("step")
        if own is not None:
            cls.step = _with_hooks(own)  # type: ignore[method-assign]

    def _make_hook_tables(self) -> None:
        for table in _HOOK_TABLES:
            if table not in self.__dict__:
                setattr(self, table, OrderedDict())

    # Hooks stay behind when an optimiser is copied or pickled: they belong to the program.
    def __getstate__(self) -> dict[str, Any]:
        return {
            "defaults": self.defaults,
            "state": self.state,
            "param_groups": self.param_groups,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._make_hook_tables()

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        lines.append(")")
        return "\n".join(lines)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates the parameters once.

        Args:
            closure: Evaluates the model again and returns the loss. Optional for most optimisers.

        Returns:
            What `closure` returned, or None without one.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define step()")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Resets the gradients of all parameters.

        Args:
            set_to_none: Drop the gradients, which frees memory; otherwise fill them with zeros.
                Optimisers skip a parameter whose gradient is None.
        """
        for parameter in self._parameters():
            if set_to_none:
                parameter.grad = None
                continue
            gradient = parameter.grad
            if gradient is None:
                continue
            if gradient.grad_fn is not None:
                gradient.detach_()
            else:
                gradient.requires_grad_(False)
            gradient.zero_()

    def _parameters(self) -> Iterator[Tensor]:
        return chain.from_iterable(group["params"] for group in self.param_groups)

    # Parameter groups ----------------------------------------------------------------------

    def add_param_group(self, param_group: ParamGroup) -> None:
        """Adds a parameter group, such as the layers that fine-tuning has just unfrozen.

        Args:
            param_group: A dict with `"params"` and the options that differ from the defaults. It
                becomes the group itself: the defaults are filled in.

        Raises:
            TypeError: It is no dict, or its parameters are a set or not all tensors.
            ValueError: A parameter is no leaf, or is in another group already; an option without a
                default is missing; or only one of this and the other groups has names.
        """
        if not isinstance(param_group, dict):
            raise error(
                TypeError,
                f"{type(self).__name__}.add_param_group",
                f"param_group must be a dict, but got {type(param_group)}",
                fix='pass {"params": [...]}',
            )
        parameters, names = self._check_parameters(param_group["params"])
        has_names = bool(names) or "param_names" in param_group
        self._check_against_groups(parameters, has_names)
        missing = [
            key
            for key, default in self.defaults.items()
            if default is required and key not in param_group
        ]
        if missing:
            raise error(
                ValueError,
                type(self).__name__,
                f"parameter group didn't specify a value of required optimization parameter "
                f"{missing[0]}",
            )
        param_group["params"] = parameters
        if names:
            param_group["param_names"] = names
        for key, default in self.defaults.items():
            param_group.setdefault(key, default)
        if len(set(parameters)) != len(parameters):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; each of them is "
                "updated more than once per step",
                stacklevel=3,
            )
        self.param_groups.append(param_group)

    def _check_parameters(self, given: Any) -> tuple[list[Tensor], list[str]]:
        """The tensors of a new group, and their names if they have any."""
        if isinstance(given, Tensor):
            given = [given]
        elif isinstance(given, (set, frozenset)):
            raise error(
                TypeError,
                type(self).__name__,
                "optimizer parameters need to be organized in ordered collections",
                given="a set, whose order changes between runs",
                fix="use a list instead",
            )
        entries = list(given)
        named = [entry for entry in entries if isinstance(entry, tuple)]
        if named and len(named) != len(entries):
            raise error(
                ValueError,
                type(self).__name__,
                "all optimizer params should be with/without names. Some param names are missing",
                given=f"{len(named)} of {len(entries)} parameters with a name",
            )
        names = [entry[0] for entry in named]
        parameters = [entry[1] for entry in named] if named else entries
        for parameter in parameters:
            self._check_parameter(parameter)
        return parameters, names

    def _check_parameter(self, parameter: Any) -> None:
        if not isinstance(parameter, Tensor):
            raise error(
                TypeError,
                type(self).__name__,
                "optimizer can only optimize Tensors, but one of the params is "
                f"{type(parameter).__name__}",
            )
        if self.defaults.get("differentiable"):
            return
        if not (parameter.is_leaf or parameter.retains_grad):
            raise error(
                ValueError,
                type(self).__name__,
                "can't optimize a non-leaf Tensor",
                given=f"the result of an operation, of shape {tuple(parameter.shape)}",
                fix="pass the tensor it was computed from, or x.detach().requires_grad_()",
            )

    def _check_against_groups(self, parameters: list[Tensor], has_names: bool) -> None:
        if self.param_groups and has_names != ("param_names" in self.param_groups[0]):
            which = "with" if has_names else "without"
            raise error(
                ValueError,
                type(self).__name__,
                "all optimizer param groups should be with/without names. "
                f"cannot add param group {which} names to the optimizer",
            )
        if not set(parameters).isdisjoint(self._parameters()):
            raise error(
                ValueError,
                type(self).__name__,
                "some parameters appear in more than one parameter group",
                fix="put each parameter into one group only",
            )

    # Saving and loading --------------------------------------------------------------------

    def state_dict(self) -> StateDict:
        """The state and the options as a dict in which numbers stand for the parameters.

        Returns:
            `{"state": {number: {...}}, "param_groups": [{..., "params": [number, ...]}]}`. Tensors
            are not copied.
        """
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [
                numbers.setdefault(id(parameter), len(numbers)) for parameter in group["params"]
            ]
            groups.append(packed)
        state = {
            numbers[id(key)] if isinstance(key, Tensor) else key: value
            for key, value in self.state.items()
        }
        result: StateDict = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            replaced = hook(self, result)
            if replaced is not None:
                result = replaced
        return result

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Continues from a saved state.

        State tensors go to the device of their parameter, and to its dtype if that is floating
        point; `"step"` keeps its own dtype. Parameters are matched by position, not by name.

        Args:
            state_dict: What `state_dict()` returned. It is not changed.

        Raises:
            ValueError: The number of groups, or of parameters in a group, is different.
        """
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            replaced = hook(self, state_dict)
            if replaced is not None:
                state_dict = replaced
        saved_groups = deepcopy(state_dict["param_groups"])
        self._check_saved_groups(saved_groups)
        numbers = chain.from_iterable(group["params"] for group in saved_groups)
        owners = dict(zip(numbers, self._parameters(), strict=True))
        options = {number: group for group in saved_groups for number in group["params"]}
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in owners:
                state[owners[key]] = _adapted(owners[key], value, options[key])
            else:
                state[key] = value
        groups = []
        for own, saved in zip(self.param_groups, saved_groups, strict=True):
            saved["params"] = own["params"]
            if "param_names" in own and "param_names" not in saved:
                saved["param_names"] = own["param_names"]
            groups.append(saved)
        self.__setstate__({"state": state, "param_groups": groups})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def _check_saved_groups(self, saved_groups: list[ParamGroup]) -> None:
        who = f"{type(self).__name__}.load_state_dict"
        if len(saved_groups) != len(self.param_groups):
            raise error(
                ValueError,
                who,
                "loaded state dict has a different number of parameter groups",
                given=f"{len(saved_groups)} groups, where the optimizer has "
                f"{len(self.param_groups)}",
            )
        for number, (own, saved) in enumerate(zip(self.param_groups, saved_groups, strict=True)):
            if len(own["params"]) != len(saved["params"]):
                raise error(
                    ValueError,
                    who,
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    "optimizer's group",
                    given=f"{len(saved['params'])} parameters in group {number}, where the "
                    f"optimizer has {len(own['params'])}",
                )

    # Registering hooks ---------------------------------------------------------------------

    def register_step_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Registers `hook(optimizer, args, kwargs)`, which may return new `(args, kwargs)`."""
        return add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Hook) -> RemovableHandle:
        """Registers `hook(optimizer, args, kwargs)` to run after `step`."""
        return add_hook(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Registers `hook(optimizer)` to run before `state_dict`."""
        return add_hook(self._optimizer_state_dict_pre_hooks, hook, prepend=prepend)

    def register_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Registers `hook(optimizer, state_dict)`, which may return another dict."""
        return add_hook(self._optimizer_state_dict_post_hooks, hook, prepend=prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Hook, prepend: bool = False
    ) -> RemovableHandle:
        """Registers `hook(optimizer, state_dict)`, which may return another dict to load."""
        return add_hook(self._optimizer_load_state_dict_pre_hooks, hook, prepend=prepend)

    def register_load_state_dict_post_hook(
        self, hook: Hook, prepend: bool = False
    ) -> RemovableHandle:
        """Registers `hook(optimizer)` to run after `load_state_dict`."""
        return add_hook(self._optimizer_load_state_dict_post_hooks, hook, prepend=prepend)

    _optimizer_step_pre_hooks: HookTable
    _optimizer_step_post_hooks: HookTable
    _optimizer_state_dict_pre_hooks: HookTable
    _optimizer_state_dict_post_hooks: HookTable
    _optimizer_load_state_dict_pre_hooks: HookTable
    _optimizer_load_state_dict_post_hooks: HookTable
    # Whether step() ran, for the schedulers' warning about the order of the two step() calls.
    _opt_called: bool


def _adapted(parameter: Tensor, value: Any, options: ParamGroup, key: Hashable = None) -> Any:
    """A saved value with its tensors on the parameter's device and in its dtype."""
    if isinstance(value, Tensor):
        if key == "step":
            if options.get("capturable") or options.get("fused"):
                return value.to(dtype=rushlight.float32, device=parameter.device)
            return value
        if parameter.is_floating_point():
            return value.to(dtype=parameter.dtype, device=parameter.device)
        return value.to(device=parameter.device)
    if isinstance(value, dict):
        return {name: _adapted(parameter, item, options, name) for name, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return type(value)(_adapted(parameter, item, options) for item in value)
    return value
