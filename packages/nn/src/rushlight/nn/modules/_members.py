"""What a module owns: parameters, buffers and submodules, under attribute names.

Every member stands twice: in its registry (`_parameters`, `_buffers`, `_modules`) and, for speed,
in the instance `__dict__`, where attribute access finds it without a Python-level `__getattr__`
(27 ns against 643 ns). A `Registry` is a dict that keeps both in step, whoever writes to it.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from rushlight import Tensor
from rushlight._errors import error

from ..parameter import Buffer, Parameter
from . import _global_hooks

if TYPE_CHECKING:
    from .module import Module

V = TypeVar("V")

REGISTRIES = ("_parameters", "_buffers", "_modules")
HOOK_TABLES = (
    "_backward_pre_hooks",
    "_backward_hooks",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


class Registry(dict[str, V]):
    """Members of one kind by name; what is written here also appears in the owner's `__dict__`."""

    # A weak reference: a cycle would keep dropped models alive until the garbage collector runs.
    __slots__ = ("_owner",)

    def __init__(self, owner: object, members: dict[str, V] | None = None) -> None:
        super().__init__()
        self._owner = weakref.ref(owner)
        if members:
            self.update(members)

    def _mirror(self) -> dict[str, Any]:
        owner = self._owner()
        return {} if owner is None else owner.__dict__

    def __setitem__(self, name: str, member: V) -> None:
        super().__setitem__(name, member)
        self._mirror()[name] = member

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._mirror().pop(name, None)

    def pop(self, name: str, *default: Any) -> Any:
        member = super().pop(name, *default)
        self._mirror().pop(name, None)
        return member

    def popitem(self) -> tuple[str, V]:
        name, member = super().popitem()
        self._mirror().pop(name, None)
        return name, member

    def clear(self) -> None:
        for name in list(self):
            del self[name]

    def update(self, *args: Any, **kwargs: Any) -> None:
        for name, member in dict(*args, **kwargs).items():
            self[name] = member

    def __ior__(self, other: Any) -> Registry[V]:  # type: ignore[override,misc]
        self.update(other)
        return self

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]

    def copy(self) -> dict[str, V]:
        return dict(self)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # Copies and pickles hold plain dicts; the module that receives them wraps them again.
        return dict, (dict(self),)


def kind_of(value: object) -> str:
    """The type's name as error messages show it."""
    return type(value).__name__


class ModuleMembers:
    """Registration, lookup and enumeration of parameters, buffers and submodules."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]

    call_super_init: bool = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init and (args or kwargs):
            unwanted = f"{len(args)} positional" if args else f"keyword {next(iter(kwargs))!r}"
            raise error(
                TypeError,
                f"{kind_of(self)}.__init__",
                f"Module.__init__() takes no arguments, but got {unwanted}",
                fix="call super().__init__() without arguments",
            )
        attributes = self.__dict__
        attributes["training"] = True
        attributes["_parameters"] = Registry(self)
        attributes["_buffers"] = Registry(self)
        attributes["_modules"] = Registry(self)
        attributes["_non_persistent_buffers_set"] = set()
        attributes["_is_full_backward_hook"] = None
        for table in HOOK_TABLES:
            attributes[table] = OrderedDict()
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    # -- attributes ------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        attributes = self.__dict__
        parameters = attributes.get("_parameters")
        if isinstance(value, Tensor) and isinstance(value, Parameter):
            self._check_initialized(parameters, "parameters")
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, ModuleMembers):
            self._check_initialized(parameters, "module")
            self._set_module(name, cast("Module", value))
        elif parameters is None:
            if isinstance(value, Tensor) and isinstance(value, Buffer):
                self._check_initialized(None, "buffer")
            object.__setattr__(self, name, value)
        elif name in parameters:
            if value is not None:
                raise self._wrong_kind(name, value, "parameter", "Parameter or None")
            self.register_parameter(name, None)
        elif name in attributes["_modules"]:
            if value is not None:
                raise self._wrong_kind(name, value, "child module", "Module or None")
            attributes["_modules"][name] = _global_hooks.on_module(self, name, None)
        elif name in attributes["_buffers"] or (
            isinstance(value, Tensor) and isinstance(value, Buffer)
        ):
            self._set_buffer(name, value)
        else:
            object.__setattr__(self, name, value)

    def _set_module(self, name: str, value: Module) -> None:
        if name in self._parameters:
            raise self._wrong_kind(name, value, "parameter", "Parameter or None")
        self._forget(name, "_modules")
        self._modules[name] = _global_hooks.on_module(self, name, value)
        self.__dict__[name] = self._modules[name]

    def _set_buffer(self, name: str, value: Any) -> None:
        if value is not None and not isinstance(value, Tensor):
            raise self._wrong_kind(name, value, "buffer", "Buffer, Tensor or None")
        if name in self._buffers:
            persistent = name not in self._non_persistent_buffers_set
        else:
            persistent = getattr(value, "persistent", True)
            self._forget(name, "_buffers")
        self.register_buffer(name, value, persistent)

    def _check_initialized(self, parameters: object, what: str) -> None:
        if parameters is None:
            raise error(
                AttributeError,
                kind_of(self),
                f"cannot assign {what} before Module.__init__() call",
                fix="call super().__init__() first in __init__",
            )

    def _wrong_kind(self, name: str, value: object, role: str, expected: str) -> TypeError:
        return error(
            TypeError,
            kind_of(self),
            f"cannot assign '{kind_of(value)}' as {role} '{name}' ({expected} expected)",
            fix=f"delete the attribute first (del module.{name}), or choose another name",
        )

    def _forget(self, name: str, keep: str) -> None:
        """Removes `name` wherever it stands, so that a member of another kind can take it."""
        attributes = self.__dict__
        for registry in REGISTRIES:
            if registry != keep and name in attributes[registry]:
                del attributes[registry][name]
        if name not in attributes[keep]:
            attributes.pop(name, None)
        attributes["_non_persistent_buffers_set"].discard(name)

    def __getattr__(self, name: str) -> Any:
        # Reached only for what `__dict__` lacks, such as members that a subclass's own
        # `__setstate__` restored into plain dicts.
        for registry in REGISTRIES:
            members = self.__dict__.get(registry)
            if members is not None and name in members:
                return members[name]
        raise AttributeError(f"'{kind_of(self)}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        for registry in REGISTRIES:
            members = self.__dict__.get(registry, ())
            if name in members:
                del members[name]
                self.__dict__.pop(name, None)
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__}
        for registry in REGISTRIES:
            names.update(self.__dict__.get(registry, ()))
        return sorted(name for name in names if not name[0].isdigit())

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for registry in REGISTRIES:
            members = state.get(registry, {})
            for name in members:
                state.pop(name, None)
            if registry in state:
                state[registry] = dict(members)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        attributes = self.__dict__
        attributes.update(state)
        attributes.setdefault("training", True)
        attributes.setdefault("_non_persistent_buffers_set", set())
        attributes.setdefault("_is_full_backward_hook", None)
        for table in HOOK_TABLES:
            attributes.setdefault(table, OrderedDict())
        for registry in REGISTRIES:
            attributes[registry] = Registry(self, attributes.get(registry))

    # -- registration ----------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter, reachable as an attribute.

        Args:
            name: Attribute name, without a dot.
            param: The parameter; None reserves the name and leaves it out of `state_dict`.
        Raises:
            KeyError: The name is empty, has a dot or is taken.
            TypeError: `param` is neither a `Parameter` nor None.
        Example:
            >>> module = rushlight.nn.Module()
            >>> module.register_parameter("scale", rushlight.nn.Parameter(rushlight.ones(1)))
            >>> module.scale.shape
            rushlight.Size([1])
        """
        self._check_initialized(self.__dict__.get("_parameters"), "parameter")
        self._check_name(name, "parameter", self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise error(
                TypeError,
                f"{kind_of(self)}.register_parameter",
                f"cannot assign '{kind_of(param)}' object to parameter '{name}' "
                "(Parameter or None required)",
                fix="wrap the tensor in rushlight.nn.Parameter(...)",
            )
        if param is not None and param.grad_fn is not None:
            raise error(
                ValueError,
                f"{kind_of(self)}.register_parameter",
                f"cannot assign a non-leaf tensor to parameter '{name}'",
                expected="a parameter created by the user, not computed by an operator",
                fix="compute the derived value in forward() from the leaf parameters",
            )
        param = _global_hooks.on_parameter(self, name, param)
        self._parameters[name] = param
        self.__dict__[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that belongs to the module's state but is no parameter.

        Args:
            name: Attribute name, without a dot.
            tensor: The tensor; None reserves the name and leaves it out of `state_dict`.
            persistent: Whether `state_dict` holds it.
        Raises:
            KeyError: The name is empty, has a dot or is taken.
            TypeError: `tensor` is neither a tensor nor None.
        Example:
            >>> module = rushlight.nn.Module()
            >>> module.register_buffer("count", rushlight.zeros(2))
            >>> list(module.state_dict())
            ['count']
        """
        self._check_initialized(self.__dict__.get("_buffers"), "buffer")
        self._check_name(name, "buffer", self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise error(
                TypeError,
                f"{kind_of(self)}.register_buffer",
                f"cannot assign '{kind_of(tensor)}' object to buffer '{name}' "
                "(Tensor or None required)",
            )
        tensor = _global_hooks.on_buffer(self, name, tensor)
        self._buffers[name] = tensor
        self.__dict__[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a submodule, reachable as an attribute.

        Raises:
            KeyError: The name is empty, has a dot or is taken.
            TypeError: `module` is neither a module nor None.
        Example:
            >>> outer = rushlight.nn.Module()
            >>> outer.add_module("act", rushlight.nn.ReLU())
            >>> outer.act
            ReLU()
        """
        if module is not None and not isinstance(module, ModuleMembers):
            raise error(
                TypeError,
                f"{kind_of(self)}.add_module",
                f"{_described(module)} is not a Module subclass",
            )
        self._check_name(name, "module", self._modules)
        module = _global_hooks.on_module(self, name, module)
        self._modules[name] = module
        self.__dict__[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """Alias of `add_module`."""
        self.add_module(name, module)

    def _check_name(self, name: object, role: str, members: dict[str, Any]) -> None:
        who = f"{kind_of(self)}.{'add' if role == 'module' else 'register'}_{role}"
        if not isinstance(name, str):
            raise error(TypeError, who, f"{role} name should be a string, got {_described(name)}")
        if "." in name:
            raise error(KeyError, who, f'{role} name can\'t contain ".", got: {name}')
        if name == "":
            raise error(KeyError, who, f'{role} name can\'t be empty string ""')
        if name not in members and hasattr(self, name):
            raise error(KeyError, who, f"attribute '{name}' already exists", fix="choose another")

    # -- lookup by dotted path -------------------------------------------------------------

    def get_submodule(self, target: str) -> Module:
        """The submodule at a dotted path; the module itself for the empty path.

        Raises:
            AttributeError: The path leads nowhere, or to something that is no module.
        Example:
            >>> model = rushlight.nn.Sequential(rushlight.nn.Sequential(rushlight.nn.ReLU()))
            >>> model.get_submodule("0.0")
            ReLU()
        """
        module: Any = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{kind_of(module)} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, ModuleMembers):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return cast("Module", module)

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Puts `module` at a dotted path.

        Args:
            target: The path.
            module: The new submodule.
            strict: Insist that a submodule stands there already.
        Raises:
            ValueError: The path is empty, or `module` is no module.
            AttributeError: The path's parent does not exist, or what is there is no module.
        """
        if not target:
            raise error(ValueError, "set_submodule", "cannot set the submodule without a name")
        if not isinstance(module, ModuleMembers):
            raise error(
                ValueError, "set_submodule", f"`module` is not an nn.Module, found {type(module)}"
            )
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{kind_of(parent)} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), ModuleMembers):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path.

        Raises:
            AttributeError: The path leads nowhere, or to something that is no parameter.
        """
        found = self._get_member(target)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{target.rpartition('.')[2]}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path.

        Raises:
            AttributeError: The path leads nowhere, or to something that is no buffer.
        """
        found = self._get_member(target)
        path, _, name = target.rpartition(".")
        if name not in self.get_submodule(path)._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return cast(Tensor, found)

    def _get_member(self, target: str) -> object:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{kind_of(module)} has no attribute `{name}`")
        return getattr(module, name)

    # -- enumeration -----------------------------------------------------------------------

    def _named_members(
        self,
        get_members_fn: Callable[[Module], Iterable[tuple[str, Any]]],
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        seen: set[Any] = set()
        modules: Iterable[tuple[str, Module]] = [(prefix, cast("Module", self))]
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for module_prefix, module in modules:
            for name, member in get_members_fn(module):
                if member is None or member in seen:
                    continue
                if remove_duplicate:
                    seen.add(member)
                yield module_prefix + ("." if module_prefix else "") + name, member

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once, in order of registration; of submodules too if `recurse`.

        Example:
            >>> [p.numel() for p in rushlight.nn.Linear(3, 2).parameters()]
            [6, 2]
        """
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names.

        Args:
            prefix: Stands before every name.
            recurse: Go into submodules.
            remove_duplicate: Give a shared parameter only under its first name.
        Example:
            >>> [name for name, _ in rushlight.nn.Linear(3, 2).named_parameters()]
            ['weight', 'bias']
        """
        yield from self._named_members(
            lambda module: module._parameters.items(), prefix, recurse, remove_duplicate
        )

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once; of submodules too if `recurse`."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """All buffers with their dotted names; arguments as of `named_parameters`."""
        yield from self._named_members(
            lambda module: module._buffers.items(), prefix, recurse, remove_duplicate
        )

    def children(self) -> Iterator[Module]:
        """The direct submodules, each once."""
        for _, module in self.named_children():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules with their names, each once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all modules below it, each once unless `remove_duplicate` is False."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_modules(
        self,
        memo: set[Module] | None = None,
        prefix: str = "",
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Module]]:
        """This module and all modules below it with their dotted names, parents first.

        Args:
            memo: Modules to leave out; grows as the walk goes on.
            prefix: The name of this module.
            remove_duplicate: Give a shared module only under its first name.
        Example:
            >>> model = rushlight.nn.Sequential(rushlight.nn.ReLU())
            >>> [name for name, _ in model.named_modules()]
            ['', '0']
        """
        memo = set() if memo is None else memo
        this = cast("Module", self)
        if this in memo:
            return
        if remove_duplicate:
            memo.add(this)
        yield prefix, this
        for name, module in self._modules.items():
            if module is not None:
                inner = prefix + ("." if prefix else "") + name
                yield from module.named_modules(memo, inner, remove_duplicate)


def _described(value: object) -> str:
    return value.__name__ if isinstance(value, type) else kind_of(value)
