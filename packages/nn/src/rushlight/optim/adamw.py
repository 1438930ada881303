"""AdamW: Adam whose weight decay does not pass through the running means."""

from __future__ import annotations

from typing import Any

from rushlight import Tensor
from rushlight.optim.adam import Adam
from rushlight.optim.optimizer import ParamsT


class AdamW(Adam):
    """Adam with decoupled weight decay: every step also multiplies `p` by `1 - lr * weight_decay`.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate.
        betas: Decay rates of the running means of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: Factor of the decay.
        amsgrad: Divides by the largest mean square seen so far.
        maximize: Ascends instead.
        foreach: Accepted for compatibility; the result is the same.
        capturable: Keeps step counts and learning rate on the device, for recorded steps.
        differentiable: Lets gradients flow through the step.
        fused: False updates tensor by tensor; else one kernel updates all where the device has it.

    Raises:
        ValueError: An option is out of range.

    References:
        Loshchilov, Hutter (2019), Decoupled weight decay regularization.

    Example:
        >>> w = rushlight.tensor([1.0], requires_grad=True)
        >>> optimizer = rushlight.optim.AdamW([w], lr=0.1, weight_decay=0.5)
        >>> w.grad = rushlight.zeros(1)
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.9500])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # a checkpoint of plain Adam does not undo the choice
            group["decoupled_weight_decay"] = True
