"""The modes a call runs under, as one immutable object in one `ContextVar`.

The hot path reads the variable once. `GRAD` and `NO_GRAD`, the two states without interpreters,
hooks or other modes, are single objects, so the fast entries recognise them by identity and
everything else takes the slow path. A new thread starts with `GRAD`, as in torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final


class State:
    """Every mode at once; never changed.

    Attributes:
        grad: Operators record for reverse mode where an input requires grad.
        interpreters: Active transforms, outermost first.
        overrides: Tensor subclasses are asked through `__rushlight_function__`.
        anomaly: Nodes remember the line that made them.
        anomaly_nan: Backward stops at the first NaN.
        saved_hooks: (pack, unpack) pairs for saved tensors, innermost last; a text says that
            there must be none, and why.
        recorder: Receives every kernel call of a capture.
        autocast: Casting policy for operator inputs.
        device: Device that factories use instead of the default.
    """

    __slots__ = (
        "anomaly", "anomaly_nan", "autocast", "device", "grad", "interpreters", "overrides",
        "recorder", "saved_hooks",
    )  # fmt: skip

    def __init__(
        self,
        *,
        grad: bool = True,
        interpreters: tuple[Any, ...] = (),
        overrides: bool = True,
        anomaly: bool = False,
        anomaly_nan: bool = True,
        saved_hooks: tuple[tuple[Callable[[Any], Any], Callable[[Any], Any]] | str, ...] = (),
        recorder: Any = None,
        autocast: Any = None,
        device: Any = None,
    ) -> None:
        self.grad = grad
        self.interpreters = interpreters
        self.overrides = overrides
        self.anomaly = anomaly
        self.anomaly_nan = anomaly_nan
        self.saved_hooks = saved_hooks
        self.recorder = recorder
        self.autocast = autocast
        self.device = device

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    def but(self, **changes: Any) -> State:
        """This state with some modes changed; the two plain states come back as themselves."""
        if len(changes) == 1 and "grad" in changes and (self is GRAD or self is NO_GRAD):
            return GRAD if changes["grad"] else NO_GRAD
        values = {**self._values(), **changes}
        for plain in (GRAD, NO_GRAD):
            if values == plain._values():
                return plain
        return State(**values)


GRAD: Final = State()
NO_GRAD: Final = State(grad=False)
STATE: Final[ContextVar[State]] = ContextVar("rushlight_state", default=GRAD)


@contextmanager
def entered(state: State) -> Iterator[None]:
    """Runs a block under a state."""
    token = STATE.set(state)
    try:
        yield
    finally:
        STATE.reset(token)


def with_modes(**changes: Any) -> Any:
    """Context manager: the current state with some modes changed."""
    return entered(STATE.get().but(**changes))
