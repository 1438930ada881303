"""Containers: `Sequential`, `ModuleList`, `ModuleDict`, `ParameterList`, `ParameterDict`.

List-like containers name their items "0", "1", ...
"""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Self, overload

from rushlight import Tensor
from rushlight._errors import error

from ..parameter import Parameter
from ._members import kind_of
from .module import Module, _indented


def _position(index: Any, length: int, who: str) -> int:
    """`index` counted from the front."""
    position = operator.index(index)
    if not -length <= position < length:
        raise error(
            IndexError,
            who,
            f"index {position} is out of range",
            expected=f"from {-length} to {length - 1}",
        )
    return position % length


def _iterable(value: Any, who: str) -> list[Any]:
    if not isinstance(value, Iterable):
        raise error(TypeError, who, f"should be called with an iterable, but got {kind_of(value)}")
    return list(value)


class _Items(Module):
    """What `Sequential` and `ModuleList` share: modules by position."""

    _modules: dict[str, Module]  # type: ignore[assignment]

    def _at(self, index: Any) -> str:
        return str(_position(index, len(self._modules), kind_of(self)))

    def _replace_all(self, modules: Iterable[Module]) -> None:
        modules = list(modules)
        for name in list(self._modules):
            delattr(self, name)
        for position, module in enumerate(modules):
            self.add_module(str(position), module)

    def __setitem__(self, idx: Any, module: Module) -> None:
        setattr(self, self._name_at(idx), module)

    def _name_at(self, index: Any) -> str:
        place = _position(index, len(self._modules), kind_of(self))
        return next(islice(self._modules, place, None))

    def __delitem__(self, idx: Any) -> None:
        if isinstance(idx, slice):
            for name in list(self._modules)[idx]:
                delattr(self, name)
        else:
            delattr(self, self._name_at(idx))
        # The items behind close up, so that names stay 0, 1, ...
        self._replace_all(self._modules.values())

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def append(self, module: Module) -> Self:
        """Adds a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def _check_place(self, index: int) -> int:
        length = len(self._modules)
        if not -length <= index <= length:
            raise error(
                IndexError,
                f"{kind_of(self)}.insert",
                f"Index out of range: {index}",
                expected=f"from {-length} to {length}",
            )
        return index + length if index < 0 else index

    def pop(self, key: int | slice) -> Any:
        """Removes an item, or a slice of them, and returns it."""
        item = self[key]  # type: ignore[index]
        del self[key]
        return item


class Sequential(_Items):
    """Calls its modules one after the other.

    Args:
        *args: The modules, or one `OrderedDict` of them by name.
    Example:
        >>> model = rushlight.nn.Sequential(rushlight.nn.Linear(4, 3), rushlight.nn.ReLU())
        >>> model(rushlight.ones(2, 4)).shape
        rushlight.Size([2, 3])
    """

    @overload
    def __init__(self, *args: Module) -> None: ...

    @overload
    def __init__(self, arg: OrderedDict[str, Module], /) -> None: ...

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for position, module in enumerate(args):
                self.add_module(str(position), module)

    def __getitem__(self, idx: Any) -> Any:
        if isinstance(idx, slice):
            return self.__class__(OrderedDict(list(self._modules.items())[idx]))
        return self._modules[self._name_at(idx)]

    def __add__(self, other: Any) -> Sequential:
        self._check_operand(other, "add")
        joined = Sequential()
        joined._replace_all([*self, *other])
        return joined

    def __iadd__(self, other: Any) -> Self:
        self._check_operand(other, "add")
        return self.extend(other)

    def __mul__(self, other: Any) -> Sequential:
        repeated = Sequential()
        repeated._replace_all(list(self) * self._check_factor(other))
        return repeated

    def __rmul__(self, other: Any) -> Sequential:
        return self.__mul__(other)

    def __imul__(self, other: Any) -> Self:
        self._replace_all(list(self) * self._check_factor(other))
        return self

    def _check_operand(self, other: Any, operation: str) -> None:
        if not isinstance(other, Sequential):
            raise error(
                ValueError,
                "Sequential",
                f"{operation} operator supports only objects of Sequential class, "
                f"but {type(other)} is given.",
            )

    def _check_factor(self, other: Any) -> int:
        if not isinstance(other, int):
            raise error(TypeError, "Sequential", f"cannot be multiplied by {type(other)}")
        if other <= 0:
            raise error(ValueError, "Sequential", f"cannot be multiplied by {other}")
        return other

    def forward(self, input: Any) -> Any:
        """The output of the last module."""
        for module in self._modules.values():
            input = module(input)
        return input

    def insert(self, index: int, module: Module) -> Self:
        """Puts a module before position `index`."""
        if not isinstance(module, Module):
            raise error(AssertionError, "Sequential.insert", f"module should be of type: {Module}")
        place = self._check_place(index)
        modules = list(self)
        self._replace_all([*modules[:place], module, *modules[place:]])
        return self

    def extend(self, sequential: Iterable[Module]) -> Self:
        """Adds modules at the end."""
        for module in list(sequential):
            self.append(module)
        return self


class ModuleList(_Items):
    """A list of modules, whose parameters count as the owner's.

    Args:
        modules: The first items.
    Example:
        >>> layers = rushlight.nn.ModuleList([rushlight.nn.Linear(2, 2) for _ in range(3)])
        >>> layers
        ModuleList(
          (0-2): 3 x Linear(in_features=2, out_features=2, bias=True)
        )
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self += modules

    def __getitem__(self, idx: Any) -> Any:
        if isinstance(idx, slice):
            return self.__class__(list(self._modules.values())[idx])
        return self._modules[self._at(idx)]

    def __setitem__(self, idx: Any, module: Module) -> None:
        setattr(self, self._at(idx), module)

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def insert(self, index: int, module: Module) -> None:
        """Puts a module before position `index`."""
        length = len(self)
        place = max(index + length, 0) if index < 0 else min(index, length)
        modules = list(self)
        self._replace_all([*modules[:place], module, *modules[place:]])

    def extend(self, modules: Iterable[Module]) -> Self:
        """Adds modules at the end."""
        for module in _iterable(modules, "ModuleList.extend"):
            self.append(module)
        return self

    def __repr__(self) -> str:
        texts = [repr(module) for module in self]
        if not texts:
            return f"{self._get_name()}()"
        runs: list[list[Any]] = []  # [first position, last position, text]
        for position, text in enumerate(texts):
            if runs and runs[-1][2] == text:
                runs[-1][1] = position
            else:
                runs.append([position, position, text])
        lines = [
            f"({first}): {_indented(text)}"
            if first == last
            else f"({first}-{last}): {last - first + 1} x {_indented(text)}"
            for first, last, text in runs
        ]
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"


class ModuleDict(Module):
    """A dict of modules, whose parameters count as the owner's; keeps the order of insertion.

    Args:
        modules: The first items, as a mapping or as pairs.
    Example:
        >>> choices = rushlight.nn.ModuleDict({"conv": rushlight.nn.Conv2d(1, 2, 3)})
        >>> list(choices)
        ['conv']
    """

    _modules: dict[str, Module]  # type: ignore[assignment]

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]
        self.__dict__.pop(key, None)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Removes all items."""
        for key in list(self._modules):
            del self[key]

    def pop(self, key: str) -> Module:
        """Removes an item and returns it."""
        module = self[key]
        del self[key]
        return module

    def keys(self) -> Any:
        """The names."""
        return self._modules.keys()

    def items(self) -> Any:
        """Pairs of name and module."""
        return self._modules.items()

    def values(self) -> Any:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Any) -> None:
        """Adds the items of a mapping, or pairs; those with known names are replaced."""
        if isinstance(modules, (OrderedDict, ModuleDict, Mapping)):
            pairs = list(modules.items())
        else:
            pairs = [
                _pair(item, i, "ModuleDict")
                for i, item in enumerate(_iterable(modules, "ModuleDict.update"))
            ]
        for key, module in pairs:
            self[key] = module


def _pair(item: Any, position: int, who: str) -> tuple[str, Any]:
    if not isinstance(item, Iterable):
        raise error(
            TypeError,
            f"{who}.update",
            f"sequence element #{position} should be Iterable; is {kind_of(item)}",
        )
    pair = tuple(item)
    if len(pair) != 2:
        raise error(
            ValueError,
            f"{who}.update",
            f"sequence element #{position} has length {len(pair)}; 2 is required",
        )
    return pair


def _as_parameter(value: Any) -> Any:
    """Tensors become parameters; anything else is kept as it is."""
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        return Parameter(value)
    return value


def _listed(items: Iterable[tuple[Any, Any]], name: str) -> str:
    """The lines that `ParameterList` and `ParameterDict` print."""
    lines = []
    for key, value in items:
        if not isinstance(value, Tensor):
            lines.append(f"  ({key}): Object of type: {kind_of(value)}")
            continue
        kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
        size = "x".join(str(length) for length in value.shape)
        dtype = str(value.dtype)
        where = "" if value.device.type == "cpu" else f" ({value.device})"
        lines.append(f"  ({key}): {kind} containing: [{dtype} of size {size}{where}]")
    if not lines:
        return f"{name}()"
    return f"{name}(\n" + "\n".join("  " + line for line in lines) + "\n)"


class ParameterList(Module):
    """A list of parameters, which count as the owner's; may hold other values too.

    Args:
        values: The first items; tensors become parameters.
    Example:
        >>> weights = rushlight.nn.ParameterList([rushlight.ones(2), rushlight.ones(3)])
        >>> [name for name, _ in weights.named_parameters()]
        ['0', '1']
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self += values

    def __getitem__(self, idx: Any) -> Any:
        if isinstance(idx, slice):
            made = self.__class__()
            made += [self[i] for i in range(*idx.indices(len(self)))]
            return made
        return getattr(self, str(_position(idx, len(self), kind_of(self))))

    def __setitem__(self, idx: int, param: Any) -> None:
        name = str(_position(idx, len(self), kind_of(self)))
        setattr(self, name, _as_parameter(param))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter(self[i] for i in range(len(self)))

    def __iadd__(self, parameters: Iterable[Any]) -> Self:
        return self.extend(parameters)

    def append(self, value: Any) -> Self:
        """Adds a value at the end; a tensor becomes a parameter."""
        position = len(self)
        self._size += 1
        self[position] = value
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Adds values at the end; tensors become parameters."""
        if isinstance(values, Tensor):  # iterable, but its slices would be no leaves
            raise error(TypeError, "ParameterList.extend", "a tensor is no list of parameters")
        for value in _iterable(values, "ParameterList.extend"):
            self.append(value)
        return self

    def __repr__(self) -> str:
        return _listed(enumerate(self), self._get_name())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise error(RuntimeError, "ParameterList", "should not be called")


class ParameterDict(Module):
    """A dict of parameters, which count as the owner's; may hold other values too.

    Args:
        parameters: The first items, as a mapping or as pairs; tensors become parameters.
    Example:
        >>> weights = rushlight.nn.ParameterDict({"left": rushlight.ones(2)})
        >>> [name for name, _ in weights.named_parameters()]
        ['left']
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def _attribute(self, key: Any) -> str:
        if not isinstance(key, str):
            raise error(
                TypeError,
                "ParameterDict",
                f"index given is {key!r} of type {kind_of(key)}, but keys are strings",
            )
        return key

    def __getitem__(self, key: str) -> Any:
        return getattr(self, self._attribute(key))

    def __setitem__(self, key: str, value: Any) -> None:
        name = self._attribute(key)
        setattr(self, name, _as_parameter(value))
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        name = self._attribute(key)
        del self._keys[key]
        delattr(self, name)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._keys))

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def copy(self) -> ParameterDict:
        """Another dict of the same parameters."""
        return ParameterDict(OrderedDict((key, self[key]) for key in self._keys))

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The item, which is set to `default` first if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def clear(self) -> None:
        """Removes all items."""
        for key in list(self._keys):
            del self[key]

    def pop(self, key: str) -> Any:
        """Removes an item and returns it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Removes the item set last and returns it with its key."""
        if not self._keys:
            raise error(KeyError, "ParameterDict.popitem", "the dict is empty")
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def get(self, key: str, default: Any = None) -> Any:
        """The item, or `default` if there is none."""
        return self[key] if key in self else default  # noqa: SIM401 - this is what `get` does

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A new dict with these keys and the same value for each."""
        return ParameterDict((key, default) for key in keys)

    def keys(self) -> Any:
        """The keys."""
        return self._keys.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Pairs of key and value."""
        return ((key, self[key]) for key in self._keys)

    def values(self) -> Iterable[Any]:
        """The values."""
        return (self[key] for key in self._keys)

    def update(self, parameters: Any) -> None:
        """Adds the items of a mapping, or pairs; those with known keys are replaced."""
        if isinstance(parameters, (ParameterDict, OrderedDict)):
            pairs = list(parameters.items())
        elif isinstance(parameters, Mapping):
            pairs = sorted(parameters.items())
        else:
            pairs = [
                _pair(item, i, "ParameterDict")
                for i, item in enumerate(_iterable(parameters, "ParameterDict.update"))
            ]
        for key, value in pairs:
            self[key] = value

    def __repr__(self) -> str:
        return _listed(self.items(), self._get_name())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise error(RuntimeError, "ParameterDict", "should not be called")

    def __or__(self, other: ParameterDict) -> ParameterDict:
        joined = self.copy()
        joined.update(other)
        return joined

    def __ror__(self, other: ParameterDict) -> ParameterDict:
        joined = other.copy()
        joined.update(self)
        return joined

    def __ior__(self, other: ParameterDict) -> Self:
        self.update(other)
        return self
