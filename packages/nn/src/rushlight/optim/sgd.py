"""Stochastic gradient descent, with momentum and Nesterov's variant of it."""

from __future__ import annotations

import rushlight
from rushlight import Tensor, ops
from rushlight._errors import error
from rushlight.optim._groupwise import (
    GroupwiseOptimizer,
    Options,
    Scalar,
    add_scaled,
    at_once,
    check_hyperparameters,
    check_implementation,
    scalar_options,
    with_penalty,
)
from rushlight.optim.optimizer import ParamGroup, ParamsT


class SGD(GroupwiseOptimizer):
    """Stochastic gradient descent.

    With gradient `g` (plus `weight_decay * p`), momentum `m` and dampening `d`, the velocity is
    `v = m * v + (1 - d) * g`, the first gradient taken whole, and the parameter becomes
    `p - lr * v`. Nesterov's form steps along `g + m * v`.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate.
        momentum: Share of the velocity that survives a step.
        dampening: Share of the gradient that does not enter the velocity.
        weight_decay: Factor of the L2 penalty.
        nesterov: Looks ahead along the velocity.
        maximize: Ascends instead.
        foreach: Accepted for compatibility; the result is the same.
        differentiable: Lets gradients flow through the step.
        fused: False updates tensor by tensor; else one kernel updates all where the device has it.

    Raises:
        ValueError: An option is out of range.

    References:
        Sutskever, Martens, Dahl, Hinton (2013), On the importance of initialization and momentum
        in deep learning; with the learning rate outside of the velocity.

    Example:
        >>> w = rushlight.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = rushlight.optim.SGD([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.8000, 1.6000])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_hyperparameters("SGD", lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise error(
                ValueError,
                "SGD",
                "Nesterov momentum requires a momentum and zero dampening",
                given=f"momentum={momentum}, dampening={dampening}",
            )
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        check_implementation("SGD", defaults)
        super().__init__(params, defaults)

    def _update_group(self, group: ParamGroup) -> None:
        params, grads = self._gradients(group)
        options = scalar_options(group, self.defaults)
        momentum = options.momentum
        if at_once(options) and self._update_at_once(params, grads, options):
            return
        for p, g in zip(params, grads, strict=True):
            g = with_penalty(-g if options.maximize else g, p, options.weight_decay)
            if momentum != 0:
                velocity = self._velocity(p, g, momentum, 1 - options.dampening)
                g = g.add(velocity, alpha=momentum) if options.nesterov else velocity
            add_scaled(p, g, -options.lr)

    def _update_at_once(self, params: list[Tensor], grads: list[Tensor], options: Options) -> bool:
        """Updates all parameters in one kernel, if they are all as far as each other."""
        tensors = [*params, *grads]
        first = False
        if options.momentum != 0:
            states = [self.state[p] for p in params]
            known = [state.get("momentum_buffer") for state in states]
            first = all(velocity is None for velocity in known)
            velocities = [rushlight.empty_like(p) for p in params] if first else known
            if any(velocity is None for velocity in velocities):
                return False
            tensors += velocities
        done = ops.step_in_place(
            ops.fused_sgd,
            tensors,
            len(params),
            lr=options.lr,
            momentum=options.momentum,
            dampening=options.dampening,
            weight_decay=options.weight_decay,
            nesterov=options.nesterov,
            maximize=options.maximize,
            first=first,
        )
        if done and first:
            for state, velocity in zip(states, velocities, strict=True):
                state["momentum_buffer"] = velocity
        return done

    def _velocity(self, p: Tensor, g: Tensor, momentum: Scalar, share: Scalar) -> Tensor:
        """The running sum of the gradients, which takes the first one whole."""
        state = self.state[p]
        velocity: Tensor | None = state.get("momentum_buffer")
        if velocity is None:
            velocity = state["momentum_buffer"] = g.detach().clone()
        else:
            velocity.mul_(momentum).add_(g, alpha=share)
        return velocity
