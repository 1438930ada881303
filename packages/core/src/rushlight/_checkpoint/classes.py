"""Classes: which subclasses of Tensor come back from a file as themselves."""

from __future__ import annotations

from typing import Any

from .._errors import error

CLASSES: dict[str, type[Any]] = {}


def register_tensor_class(kind: str, cls: type[Any]) -> None:
    """Lets tensors of a class come back as that class: `cls(data, requires_grad)` builds one.

    Args:
        kind: Word the files use for the class.
        cls: Subclass of `rushlight.Tensor`.

    Raises:
        ValueError: The word stands for another class already.
    """
    if CLASSES.setdefault(kind, cls) is not cls or kind in ("tensor", "numpy"):
        raise error(
            ValueError,
            "register_tensor_class",
            f"{kind!r} is taken",
            given=f"{cls.__module__}.{cls.__qualname__}",
            fix="choose a longer word, such as 'mypackage.MyTensor'",
        )


def kind_of(tensor: Any) -> str:
    """The word for a tensor's class; our own unregistered classes are saved as plain tensors."""
    cls = type(tensor)
    for kind, registered in CLASSES.items():
        if cls is registered:
            return kind
    if cls.__module__.partition(".")[0] in ("rushlight", "torch"):
        return "tensor"
    raise error(
        TypeError,
        "save",
        f"tensors of the class {cls.__module__}.{cls.__qualname__} can't be saved as such",
        fix="save tensor.as_subclass(rushlight.Tensor), or make the class known with "
        "rushlight.serialization.register_tensor_class",
    )
