"""Full backward hooks: two identities around a module, where gradients are seen and replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import rushlight
from rushlight import Tensor
from rushlight._errors import error

Gradients = tuple[Tensor | None, ...]


class _Tap(rushlight.autograd.Function):
    """Passes tensors on unchanged; in backward, hands their gradients to a function."""

    @staticmethod
    def forward(ctx: Any, seen: Callable[[Gradients], Gradients], *tensors: Tensor) -> Any:
        ctx.seen = seen
        ctx.set_materialize_grads(False)
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        return None, *ctx.seen(gradients)


class BackwardHooks:
    """The hooks of one call of one module.

    Args:
        module: The module.
        before: Called with (module, grad_output).
        after: Called with (module, grad_input, grad_output).
    """

    def __init__(
        self, module: Any, before: Sequence[Callable[..., Any]], after: Sequence[Callable[..., Any]]
    ) -> None:
        self.module = module
        self.before = before
        self.after = after
        self.n_inputs = -1
        self.n_outputs = -1
        self.input_places: list[int] | None = None
        self.output_places: list[int] = []
        self.grad_output: Gradients | None = None

    def tap_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Puts the inner identity before `forward`, if an argument needs a gradient."""
        self.n_inputs = len(args)
        places = _places(args)
        if not places:
            return args
        self.input_places = places
        return _tap(self._inputs_done, args, places)

    def tap_outputs(self, result: Any) -> Any:
        """Puts the outer identity behind `forward`; results other than tensors pass as they are."""
        single = not isinstance(result, tuple)
        outputs: tuple[Any, ...] = (result,) if single else result
        places = _places(outputs)
        if not places:
            return result
        self.n_outputs = len(outputs)
        self.output_places = places
        tapped = _tap(self._outputs_seen, outputs, places)
        return tapped[0] if single else type(result)(tapped)

    def _outputs_seen(self, gradients: Gradients) -> Gradients:
        full = _spread(gradients, self.output_places, self.n_outputs)
        for hook in self.before:
            full = _replaced(hook(self.module, full), full, "backward pre-hook", "grad_output")
        self.grad_output = full
        if self.input_places is None:
            self._no_input_gradients(full)
        return tuple(full[place] for place in self.output_places)

    def _no_input_gradients(self, grad_output: Gradients) -> None:
        for hook in self.after:
            given = hook(self.module, (None,) * self.n_inputs, grad_output)
            if given is not None and not (
                isinstance(given, tuple) and all(gradient is None for gradient in given)
            ):
                raise error(
                    RuntimeError,
                    "backward hook",
                    "a gradient was returned where no input requires one",
                    expected="None, or None for all gradients",
                )
        self.grad_output = None

    def _inputs_done(self, gradients: Gradients) -> Gradients:
        if self.grad_output is None:
            raise error(
                RuntimeError,
                "backward hook",
                "the gradients of the outputs are not known",
                expected="full backward hooks run when the module's own output is differentiated",
                fix="remove the hook, or return the output of forward() from the module",
            )
        places = self.input_places or []
        full = _spread(gradients, places, self.n_inputs)
        for hook in self.after:
            given = hook(self.module, full, self.grad_output)
            full = _replaced(given, full, "backward hook", "grad_input")
        self.grad_output = None
        return tuple(full[place] for place in places)


def _places(values: tuple[Any, ...]) -> list[int]:
    if not rushlight.is_grad_enabled():
        return []
    return [
        i for i, value in enumerate(values) if isinstance(value, Tensor) and value.requires_grad
    ]


def _tap(
    seen: Callable[[Gradients], Gradients], values: tuple[Any, ...], places: list[int]
) -> tuple[Any, ...]:
    tapped = _Tap.apply(seen, *(values[place] for place in places))
    result = list(values)
    for place, tensor in zip(places, tapped, strict=True):
        result[place] = tensor
    return tuple(result)


def _spread(gradients: Gradients, places: list[int], length: int) -> Gradients:
    full: list[Tensor | None] = [None] * length
    for place, gradient in zip(places, gradients, strict=True):
        full[place] = gradient
    return tuple(full)


def _replaced(given: Any, current: Gradients, who: str, what: str) -> Gradients:
    if given is None:
        return current
    new: Gradients = given if isinstance(given, tuple) else (given,)
    if len(new) != len(current):
        raise error(
            RuntimeError,
            who,
            f"returned an invalid number of gradients: {len(new)}",
            expected=f"{len(current)}, one for each entry of {what}",
        )
    return new
