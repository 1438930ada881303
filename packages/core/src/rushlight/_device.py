"""`rushlight.device`: the label of a place where tensors live."""

from __future__ import annotations

from typing import Any

from ._errors import error
from ._modes import STATE, entered


class device:
    """A device type and, where there are several of the type, an index.

    Args:
        type: "cpu", "meta" or another installed type, with an index ("sim:1") if you like; or a
            device.
        index: Index, when `type` has none.
    Raises:
        RuntimeError: The text is not a device.
    Example:
        >>> rushlight.device("cpu")
        device(type='cpu')
        >>> rushlight.device("meta").type
        'meta'
    """

    __slots__ = ("_token", "index", "type")

    type: str
    index: int | None

    def __init__(self, type: str | device, index: int | None = None) -> None:
        if isinstance(type, device):
            index = type.index if index is None else index
            type = type.type
        if not isinstance(type, str):
            raise error(
                TypeError, "device", f"can't make a device of {type!r}", expected="text or a device"
            )
        kind, colon, number = type.partition(":")
        if colon:
            if index is not None or not number.isdigit():
                raise error(
                    RuntimeError,
                    "device",
                    f"Invalid device string: '{type}'",
                    expected="TYPE or TYPE:INDEX",
                )
            index = int(number)
        if not kind or (index is not None and index < 0):
            raise error(RuntimeError, "device", f"Invalid device string: '{type}'")
        self.type, self.index = kind, index

    def __repr__(self) -> str:
        number = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{number})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and self.type == other.type and self.index == other.index

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (self.type, self.index)

    def __enter__(self) -> device:
        scope = entered(STATE.get().but(device=self))
        scope.__enter__()
        self._token = scope
        return self

    def __exit__(self, *raised: Any) -> None:
        self._token.__exit__(*raised)
