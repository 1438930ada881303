"""Parametrizations: a parameter computed by modules from other parameters, at every access.

The module gets a class of its own, with a property in place of the parameter. The tensors behind
it stand in `module.parametrizations.<name>`, a `ParametrizationList`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import rushlight
from rushlight import Tensor
from rushlight._errors import error

from ..modules.container import ModuleDict, ModuleList
from ..modules.module import Module
from ..parameter import Parameter

_cache_depth = 0
_cache: dict[tuple[int, str], Any] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Computes each parametrized tensor only once inside the block.

    Example:
        >>> with rushlight.nn.utils.parametrize.cached():
        ...     pass
    """
    global _cache_depth
    _cache_depth += 1
    try:
        yield
    finally:
        _cache_depth -= 1
        if not _cache_depth:
            _cache.clear()


def _keep(module: Module, name: str, tensor: Tensor | Parameter) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, and the tensors they start from.

    Args:
        modules: The parametrizations, first to last.
        original: The tensor before.
        unsafe: Skip the checks that they keep shape and dtype.
    Attributes:
        original: What the first parametrization is applied to; or `original0`, `original1`, ...
            if its `right_inverse` returns several tensors.
        is_tensor: Whether it is a single one.
    """

    original: Tensor

    def __init__(
        self, modules: Sequence[Module], original: Tensor | Parameter, unsafe: bool = False
    ) -> None:
        if not modules:
            raise error(ValueError, "ParametrizationList", "requires one or more modules")
        super().__init__(modules)
        self.unsafe = unsafe
        new: Any = original
        with rushlight.no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    new = module.right_inverse(new)
        if not isinstance(new, Tensor) and not isinstance(new, Sequence):
            raise error(
                ValueError,
                "ParametrizationList",
                "'right_inverse' must return a tensor or a sequence of tensors",
                given=f"{type(new).__name__}",
            )
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if isinstance(new, Tensor) else len(new)
        if isinstance(new, Tensor):
            self._keep_original(original, new)
        else:
            for i, tensor in enumerate(new):
                if isinstance(original, Parameter):
                    tensor = Parameter(
                        tensor, tensor.is_floating_point() and original.requires_grad
                    )
                _keep(self, f"original{i}", tensor)
        if not unsafe:
            self._check(original)

    def _keep_original(self, original: Tensor, new: Tensor) -> None:
        if original.dtype != new.dtype:
            raise error(
                ValueError,
                "ParametrizationList",
                "'right_inverse' must return a tensor of the same dtype",
                given=f"{new.dtype} for a tensor of {original.dtype}",
                fix="pass unsafe=True if that is meant",
            )
        # In place, so that optimisers that know the parameter keep it.
        with rushlight.no_grad():
            original.data = new.detach()
        _keep(self, "original", original)

    def _check(self, original: Tensor) -> None:
        made = self()
        expected = (original.dtype, tuple(original.shape))
        if not isinstance(made, Tensor) or (made.dtype, tuple(made.shape)) == expected:
            if isinstance(made, Tensor):
                return
            raise error(
                ValueError, "register_parametrization", "a parametrization must return a tensor"
            )
        if self.is_tensor and hasattr(self[0], "right_inverse"):
            return
        raise error(
            ValueError,
            "register_parametrization",
            "the parametrization changes dtype or shape of the tensor",
            given=f"{made.dtype} of shape {tuple(made.shape)}",
            expected=f"{expected[0]} of shape {expected[1]}",
            fix="pass unsafe=True if that is meant",
        )

    def originals(self) -> list[Tensor]:
        """The tensors the value is computed from."""
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Sets the originals such that the parametrized tensor becomes `value`.

        Args:
            value: The new value; what assigning to the tensor passes on.
        """
        with rushlight.no_grad():
            new: Any = value
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise error(
                        RuntimeError,
                        "parametrization",
                        f"{type(module).__name__} does not implement right_inverse",
                        fix="define it to assign to the parametrized tensor",
                    )
                new = module.right_inverse(new)
            parts = [new] if self.is_tensor else list(new)
            for original, part in zip(self.originals(), parts, strict=True):
                if original.dtype != part.dtype:
                    raise error(
                        ValueError,
                        "parametrization",
                        f"the new value is of {part.dtype}, the tensor of {original.dtype}",
                    )
                original.data = part.detach()

    def forward(self) -> Tensor:
        """The parametrized tensor."""
        modules = list(self._modules.values())
        made = modules[0](*self.originals())
        for module in modules[1:]:
            made = module(made)
        return cast(Tensor, made)


def _inject_new_class(module: Module) -> None:
    """Gives the module a class of its own, to which properties can be added."""
    cls: Any = module.__class__

    def default_deepcopy(self: Any, memo: dict[int, Any]) -> Any:
        known = memo.get(id(self))
        if known is not None:
            return known
        made = self.__new__(self.__class__)
        memo[id(self)] = made
        made.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return made

    def getstate(self: Any) -> Any:
        raise error(
            RuntimeError,
            type(self).__name__,
            "parametrized modules cannot be pickled: their class is made at run time",
            fix="save state_dict() and load it into a module parametrized alike",
        )

    members: dict[str, Any] = {"__reduce_ex__": lambda self, protocol: getstate(self)}
    if not hasattr(cls, "__deepcopy__"):
        members["__deepcopy__"] = default_deepcopy
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), members)


def _inject_property(module: Module, tensor_name: str) -> None:
    def get(self: Any) -> Tensor:
        if not _cache_depth:
            return cast(Tensor, self.parametrizations[tensor_name]())
        key = (id(self), tensor_name)
        if key not in _cache:
            _cache[key] = self.parametrizations[tensor_name]()
        return cast(Tensor, _cache[key])

    def put(self: Any, value: Tensor) -> None:
        self.parametrizations[tensor_name].right_inverse(value)

    # A property wins over the instance's `__dict__`, and `Module.__setattr__` leads to it.
    setattr(module.__class__, tensor_name, property(get, put))


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Lets `parametrization` compute a parameter or buffer of a module from its old value.

    Args:
        module: The module.
        tensor_name: Name of the parameter or buffer.
        parametrization: A module that maps the old tensor to the new one. With a method
            `right_inverse` the present value is kept as far as possible, and assigning to the
            tensor works.
        unsafe: Skip the checks that shape and dtype stay.
    Returns:
        The module.
    Raises:
        ValueError: The module has no such parameter or buffer, or shape or dtype change.
    Example:
        >>> class Symmetric(rushlight.nn.Module):
        ...     def forward(self, x):
        ...         return x.triu() + x.triu(1).transpose(-1, -2)
        >>> layer = rushlight.nn.Linear(3, 3)
        >>> _ = rushlight.nn.utils.parametrize.register_parametrization(
        ...     layer, "weight", Symmetric()
        ... )
        >>> bool((layer.weight == layer.weight.T).all())
        True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        _add(module, tensor_name, parametrization, unsafe)
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        made = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _inject_new_class(module)
            module.parametrizations = ModuleDict()
        _inject_property(module, tensor_name)
        module.parametrizations[tensor_name] = made
    else:
        raise error(
            ValueError,
            "register_parametrization",
            f"Module '{type(module).__name__}' does not have a parameter, a buffer, or a "
            f"parametrized element with name '{tensor_name}'",
        )
    return module


def _add(module: Module, tensor_name: str, parametrization: Module, unsafe: bool) -> None:
    existing: Any = module.parametrizations[tensor_name]
    if not unsafe:
        before = getattr(module, tensor_name)
        after = parametrization(before)
        if not isinstance(after, Tensor) or (after.dtype, after.shape) != (
            before.dtype,
            before.shape,
        ):
            raise error(
                ValueError,
                "register_parametrization",
                "the parametrization changes dtype or shape of the tensor",
                fix="pass unsafe=True if that is meant",
            )
    existing.append(parametrization)
    existing.unsafe |= unsafe


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has a parametrized tensor, or one of that name.

    Args:
        module: The module.
        tensor_name: The name; None for any.
    """
    parametrizations = module.__dict__.get("parametrizations")
    if not isinstance(parametrizations, ModuleDict):
        return False
    return len(parametrizations) > 0 if tensor_name is None else tensor_name in parametrizations


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Makes a parametrized tensor an ordinary one again.

    Args:
        module: The module.
        tensor_name: Name of the tensor.
        leave_parametrized: Keep the computed value; False goes back to the original one.
    Returns:
        The module.
    Raises:
        ValueError: The tensor is not parametrized, or has several originals to go back to.
    """
    who = "remove_parametrizations"
    if not is_parametrized(module, tensor_name):
        raise error(ValueError, who, f"Module does not have a parametrization on {tensor_name}")
    made: Any = module.parametrizations[tensor_name]
    if not made.is_tensor and not leave_parametrized:
        raise error(
            ValueError, who, "Cannot leave unparametrized a tensor that is parametrized in terms "
            "of a sequence of tensors",
        )  # fmt: skip
    original: Tensor = made.originals()[0]
    if leave_parametrized:
        with rushlight.no_grad():
            value = getattr(module, tensor_name)
        if made.is_tensor:
            original.data = value.detach()
        else:
            requires_grad = any(each.requires_grad for each in made.originals())
            is_parameter = isinstance(original, Parameter)
            original = Parameter(value.detach(), requires_grad) if is_parameter else value
    delattr(module.__class__, tensor_name)
    del module.parametrizations[tensor_name]
    _keep(module, tensor_name, original)
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        module.__class__ = module.__class__.__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class of a module before it was parametrized."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Gives a module copies of another one's parametrizations and parametrized tensors.

    Args:
        from_module: Whose.
        to_module: Who gets them.
        tensor_name: Only that tensor; None for all.
    Returns:
        `to_module`.
    """
    if not is_parametrized(from_module):
        return to_module
    names = list(from_module.parametrizations) if tensor_name is None else [tensor_name]
    for name in names:
        source: Any = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, copy.deepcopy(source.originals()[0]))
        for parametrization in source:
            register_parametrization(to_module, name, copy.deepcopy(parametrization), unsafe=True)
        target: Any = to_module.parametrizations[name]
        for ours, theirs in zip(target.originals(), source.originals(), strict=True):
            with rushlight.no_grad():
                ours.copy_(theirs)
    return to_module
