"""Adam, with AMSGrad's maximum and with decoupled weight decay on request."""

from __future__ import annotations

import rushlight
from rushlight import Tensor, ops
from rushlight._errors import error
from rushlight.optim._groupwise import (
    FormulaOptimizer,
    Options,
    Scalar,
    add_quotient,
    as_real,
    check_hyperparameters,
    check_implementation,
    decayed,
    mean_of,
    mean_of_square,
    settled,
)
from rushlight.optim.optimizer import ParamGroup, ParamsT


class Adam(FormulaOptimizer):
    """Adam: steps along the gradient's running mean over the root of its running mean square.

    With `m = b1 * m + (1 - b1) * g` and `v = b2 * v + (1 - b2) * g * g`, both divided by
    `1 - b ** t` because they start at zero, the parameter becomes
    `p - lr * m / (sqrt(v) + eps)`.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate.
        betas: Decay rates `(b1, b2)` of the two running means; both floats or both tensors.
        eps: Added to the denominator.
        weight_decay: Factor of the L2 penalty.
        amsgrad: Divides by the largest `v` seen so far.
        foreach: Accepted for compatibility; the result is the same.
        maximize: Ascends instead.
        capturable: Keeps step counts and learning rate on the device, for recorded steps.
        differentiable: Lets gradients flow through the step.
        fused: False updates tensor by tensor; else one kernel updates all where the device has it.
        decoupled_weight_decay: Shrinks the parameter itself by `lr * weight_decay`, as `AdamW`.

    Raises:
        ValueError: An option is out of range.

    References:
        Kingma, Ba (2015), Adam: A method for stochastic optimization. Reddi, Kale, Kumar (2018),
        On the convergence of Adam and beyond.

    Example:
        >>> w = rushlight.tensor([1.0, -2.0], requires_grad=True)
        >>> optimizer = rushlight.optim.Adam([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([ 0.9000, -1.9000])
    """

    _moments = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        who = type(self).__name__
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        check_hyperparameters(who, lr=lr, eps=eps)
        _check_tensor_scalars(who, defaults)
        check_hyperparameters(who, betas=betas, weight_decay=weight_decay)
        check_implementation(who, defaults)
        super().__init__(params, defaults)

    def _new_state(self, p: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        state = super()._new_state(p, group)
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = rushlight.zeros_like(p)
        return state

    def _update_at_once(
        self,
        params: list[Tensor],
        grads: list[Tensor],
        states: list[dict[str, Tensor]],
        steps: list[float],
        options: Options,
    ) -> bool:
        names = ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if options.amsgrad else ()))
        beta1, beta2 = options.betas
        return ops.step_in_place(
            ops.fused_adam,
            [*params, *grads, *(state[name] for name in names for state in states)],
            len(params),
            steps=tuple(steps),
            lr=options.lr,
            beta1=beta1,
            beta2=beta2,
            eps=options.eps,
            weight_decay=options.weight_decay,
            amsgrad=options.amsgrad,
            maximize=options.maximize,
            decoupled=options.decoupled_weight_decay,
        )

    def _update(
        self, p: Tensor, g: Tensor, t: Scalar, state: dict[str, Tensor], options: Options
    ) -> None:
        p, g = as_real(p), as_real(decayed(p, g, options))
        m, v = as_real(state["exp_avg"]), as_real(state["exp_avg_sq"])
        beta1, beta2 = options.betas
        mean_of(m, g, 1 - beta1)
        mean_of_square(v, g, beta2)
        if options.amsgrad:
            largest = as_real(state["max_exp_avg_sq"])
            largest.copy_(rushlight.maximum(settled(largest, options.differentiable), v))
            v = largest
        # Both means start at zero; dividing by what a constant gradient would have reached by
        # now removes that bias (section 3 of the paper).
        correction1 = 1 - beta1**t
        correction2 = 1 - beta2**t
        root = (settled(v, options.differentiable).sqrt() / correction2**0.5).add_(options.eps)
        add_quotient(p, settled(m, options.differentiable), root, -(options.lr / correction1))


def _check_tensor_scalars(who: str, group: ParamGroup) -> None:
    """Learning rate and betas may be tensors, but not in every combination."""
    betas = group["betas"]
    needs_numbers = group["foreach"] and not group["capturable"]
    if isinstance(betas[0], Tensor) != isinstance(betas[1], Tensor):
        raise error(
            ValueError,
            who,
            "betas must be either both floats or both Tensors",
            given=f"betas of types {type(betas[0]).__name__} and {type(betas[1]).__name__}",
        )
    for name, value in (("lr", group["lr"]), ("betas[0]", betas[0]), ("betas[1]", betas[1])):
        if not isinstance(value, Tensor):
            continue
        if needs_numbers:
            raise error(
                ValueError,
                who,
                f"{name} as a Tensor is not supported for capturable=False and foreach=True",
                fix="leave foreach at None, or pass a float",
            )
        if value.numel() != 1:
            raise error(
                ValueError,
                who,
                f"Tensor {name} must be 1-element",
                given=f"shape {tuple(value.shape)}",
            )
