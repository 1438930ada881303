"""Recording switched on and off: context managers that are decorators too."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, TypeVar

from .._modes import STATE, State

F = TypeVar("F", bound=Callable[..., Any])


class _Mode:
    """A change of the state for a block or a function."""

    def __init__(self) -> None:
        self._tokens: list[Token[State]] = []

    def changed(self, state: State) -> State:
        """The state inside the block."""
        raise NotImplementedError

    def clone(self) -> _Mode:
        """A mode for another block: a decorated function may run in several threads."""
        return type(self)()

    def __enter__(self) -> Any:
        self._tokens.append(STATE.set(self.changed(STATE.get())))
        return None

    def __exit__(self, *raised: object) -> None:
        STATE.reset(self._tokens.pop())

    def __call__(self, function: F) -> F:
        if inspect.isgeneratorfunction(function):
            return self._wrap_generator(function)  # type: ignore[return-value]

        @functools.wraps(function)
        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            with self.clone():
                return function(*arguments, **keywords)

        return wrapped  # type: ignore[return-value]

    def _wrap_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The mode holds while the generator runs, not while its consumer does."""

        @functools.wraps(function)
        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            generator = function(*arguments, **keywords)
            try:
                with self.clone():
                    item = generator.send(None)
                while True:
                    try:
                        request = yield item
                    except GeneratorExit:
                        with self.clone():
                            generator.close()
                        raise
                    except BaseException as raised:
                        with self.clone():
                            item = generator.throw(raised)
                    else:
                        with self.clone():
                            item = generator.send(request)
            except StopIteration as end:
                return end.value

        return wrapped


class no_grad(_Mode):
    """Nothing is recorded in this block or function.

    Example:
        >>> x = rushlight.tensor(1.0, requires_grad=True)
        >>> with rushlight.no_grad():
        ...     (x * 2).requires_grad
        False
    """

    def __new__(cls, function: Any = None) -> Any:
        made = super().__new__(cls)
        if callable(function):
            made.__init__()  # type: ignore[misc]
            return made(function)
        return made

    def __init__(self, function: Any = None) -> None:
        super().__init__()

    def changed(self, state: State) -> State:
        return state.but(grad=False)


class enable_grad(no_grad):
    """Calls are recorded again, inside a block without recording."""

    def changed(self, state: State) -> State:
        return state.but(grad=True)


class set_grad_enabled(_Mode):
    """Switches recording, for a block or, called as a function, from now on."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.mode = bool(mode)
        self.before = STATE.get()
        STATE.set(self.changed(self.before))

    def changed(self, state: State) -> State:
        return state.but(grad=self.mode)

    def clone(self) -> _Mode:
        return _Switched(self.mode)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *raised: object) -> None:
        STATE.set(STATE.get().but(grad=self.before.grad))

    def __call__(self, function: F) -> F:
        STATE.set(STATE.get().but(grad=self.before.grad))
        return super().__call__(function)


class _Switched(_Mode):
    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.mode = mode

    def changed(self, state: State) -> State:
        return state.but(grad=self.mode)


#: Beside the state, so that a call in inference mode takes the fast way of `no_grad`.
_INFERENCE: ContextVar[bool] = ContextVar("rushlight_inference", default=False)


class inference_mode(_Mode):
    """As `no_grad`; says besides that nothing made here will be recorded later.

    Example:
        >>> with rushlight.inference_mode():
        ...     rushlight.is_inference_mode_enabled()
        True
    """

    def __new__(cls, mode: Any = True) -> Any:
        made = super().__new__(cls)
        if callable(mode):
            made.__init__()  # type: ignore[misc]
            return made(mode)
        return made

    def __init__(self, mode: Any = True) -> None:
        super().__init__()
        self.mode = bool(mode)
        self._marks: list[Token[bool]] = []

    def clone(self) -> _Mode:
        return inference_mode(self.mode)

    def changed(self, state: State) -> State:
        if self.mode:
            return state.but(grad=False)
        # Leaving inference mode gives recording back; elsewhere it changes nothing, as in torch.
        return state.but(grad=True) if _INFERENCE.get() else state

    def __enter__(self) -> None:
        super().__enter__()
        self._marks.append(_INFERENCE.set(self.mode))

    def __exit__(self, *raised: object) -> None:
        _INFERENCE.reset(self._marks.pop())
        super().__exit__(*raised)


def is_grad_enabled() -> bool:
    """Whether calls are recorded now.

    Example:
        >>> rushlight.is_grad_enabled()
        True
    """
    return STATE.get().grad


def is_inference_mode_enabled() -> bool:
    """Whether an `inference_mode` block is active."""
    return _INFERENCE.get()


class set_detect_anomaly(_Mode):
    """Anomaly mode for a block, or from now on: errors in backward name the forward line."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        super().__init__()
        self.mode, self.check_nan = mode, check_nan
        self.before = STATE.get()
        STATE.set(self.changed(self.before))

    def changed(self, state: State) -> State:
        return state.but(anomaly=self.mode, anomaly_nan=self.check_nan)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *raised: object) -> None:
        before = self.before
        STATE.set(STATE.get().but(anomaly=before.anomaly, anomaly_nan=before.anomaly_nan))


class detect_anomaly(_Mode):
    """Context manager: errors in backward name the forward line, NaN in a gradient is an error."""

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__()
        self.check_nan = check_nan

    def changed(self, state: State) -> State:
        return state.but(anomaly=True, anomaly_nan=self.check_nan)


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on."""
    return STATE.get().anomaly
