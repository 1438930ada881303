"""Steps of optimisers: one launch for each parameter, which reads and writes every array once.

The operators' definitions are in `_ops.optimising`; a kernel is printed for each set of options
that is used. What depends on the step's number is computed on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..._dtypes import DType
from .array import DeviceArray
from .dialect import suffix
from .expression import computed
from .printing import loaded, memory_type, program, stored
from .registry import Family, Kernel

optimising = Family()
#: Of a step: names of the columns, statements, and names and values of the numbers for one row.
Plan = tuple[Sequence[str], list[str], Sequence[str], Callable[[int], Sequence[float]]]


def source_of(dtype: DType, d: Any, names: Sequence[str], body: list[str],
              numbers: Sequence[str]) -> tuple[str, str]:  # fmt: skip
    """Text and signature of a step; the gradient, `g`, is the only column that is not written."""
    kind, type = memory_type(dtype), suffix(computed(dtype))
    results = [n for n in names if n != "g"]
    arguments = [f"{d.device} {kind}* out_{n}, const i64 out_{n}_at" for n in results]
    arguments += [f"const {d.device} {kind}* in_{n}, const i64 in_{n}_at" for n in names]
    arguments += ["const i64 count", *(f"const {type} {n}" for n in numbers)]
    reads = [f"{type} {n} = {loaded(f'in_{n}[in_{n}_at + i]', dtype)};" for n in names]
    writes = [f"out_{n}[out_{n}_at + i] = {stored(n, computed(dtype), dtype)};" for n in results]
    lines = "\n    ".join([*reads, *[line.replace("$T", type) for line in body], *writes])
    signature = " ".join(["p i64"] * (len(results) + len(names)) + ["i64"] + [type] * len(numbers))
    return (
        f"""{d.kernel} k_step({", ".join(arguments)}) {{
    const i64 i = GID(0);
    if (i >= count) return;
    {lines}
}}""",
        signature,
    )


class Steps:
    """Steps of one dtype on one device."""

    def __init__(self, device: Any, dtype: DType) -> None:
        self.device = device
        self.dtype = dtype
        self._launches: dict[Any, Any] = {}

    def run(
        self, plan: Plan, tensors: tuple[DeviceArray, ...], count: int,
        out: tuple[DeviceArray, ...] | None,
    ) -> tuple[DeviceArray, ...]:  # fmt: skip
        """All rows of a plan; results are written to `out` or new arrays, column by column."""
        names, body, numbers, values = plan
        key = (tuple(names), *body)
        launch = self._launches.get(key)
        if launch is None:
            source, signature = source_of(self.dtype, self.device.dialect, names, body, numbers)
            source = program([source], self.device.dialect, self.device.double)
            launch = self.device.compile(source, {"k_step": signature})["k_step"]
            self._launches[key] = launch
        columns = len(names)
        made: list[DeviceArray] = [None] * (count * (columns - 1))  # type: ignore[list-item]
        for row in range(count):
            inputs = [tensors[column * count + row].settled() for column in range(columns)]
            inputs = [x if x.dense else self.device.dense(x) for x in inputs]
            arguments: list[Any] = []
            late = []
            for column in range(columns - 1):
                place = column * count + row
                target = None if out is None else out[place].settled()
                if target is None or not target.dense:
                    fresh = self.device.empty(inputs[0].shape, self.dtype)
                    if target is not None:
                        late.append((target, fresh))
                    made[place] = target = fresh
                else:
                    made[place] = target
                arguments += (target.buffer, target.offset)
            for x in inputs:
                arguments += (x.buffer, x.offset)
            size = inputs[0].size
            if size:
                launch((size,), None, *arguments, size, *map(float, values(row)))
            for target, fresh in late:
                self.device.copy(target, fresh)
        return tuple(made) if out is None else out


def _penalty(weight_decay: float, maximize: bool) -> list[str]:
    """Statements that turn the gradient and add the parameter's decay to it."""
    return (["g = -g;"] if maximize else []) + (["g = g + decay * p;"] if weight_decay else [])


def _mean(name: str, weight: str) -> str:
    """Statement that moves a running mean towards the gradient, as `lerp` does."""
    return (
        f"{name} = {weight} < ($T)0.5 ? {name} + {weight} * (g - {name})"
        f" : g - (g - {name}) * (1 - {weight});"
    )


def _sgd(
    *, lr: float, momentum: float, dampening: float, weight_decay: float, nesterov: bool,
    maximize: bool, first: bool,
) -> Plan:  # fmt: skip
    body = _penalty(weight_decay, maximize)
    if momentum:
        body.append("v = g;" if first else "v = v * momentum + share * g;")
        body.append("g = g + momentum * v;" if nesterov else "g = v;")
    body.append("p = p - lr * g;")
    numbers = (lr, weight_decay, momentum, 1 - dampening)
    return (
        ("p", "g", "v") if momentum else ("p", "g"), body, ("lr", "decay", "momentum", "share"),
        lambda row: numbers,
    )  # fmt: skip


def _adam(
    *, steps: Sequence[float], lr: float, beta1: float, beta2: float, eps: float,
    weight_decay: float, amsgrad: bool, maximize: bool, decoupled: bool,
) -> Plan:  # fmt: skip
    body = _penalty(0.0 if decoupled else weight_decay, maximize)
    if decoupled and weight_decay:
        body.append("p = p * shrink;")
    body += [_mean("m", "w1"), "v = v * beta2 + w2 * (g * g);"]
    if amsgrad:
        body.append("most = maximum_$T(most, v);")
    root = "most" if amsgrad else "v"
    body.append(f"p = p + rate * (m / (sqrt_$T({root}) / scale + eps));")
    names = ("p", "g", "m", "v", "most") if amsgrad else ("p", "g", "m", "v")

    def values(row: int) -> Sequence[float]:
        t = steps[row]
        rate, scale = -lr / (1 - beta1**t), (1 - beta2**t) ** 0.5
        return (
            weight_decay, 1 - lr * weight_decay, 1 - beta1, beta2, 1 - beta2, rate, scale, eps
        )  # fmt: skip

    return names, body, "decay shrink w1 beta2 w2 rate scale eps".split(), values


def _rmsprop(
    *, lr: float, alpha: float, eps: float, weight_decay: float, momentum: float, centered: bool,
    maximize: bool,
) -> Plan:  # fmt: skip
    body = [*_penalty(weight_decay, maximize), "v = v * alpha + w * (g * g);"]
    names = ["p", "g", "v"]
    if centered:
        names.append("mean")
        body.append(_mean("mean", "w"))
    variance = "v - mean * mean" if centered else "v"
    body.append(f"const $T root = sqrt_$T({variance}) + eps;")
    if momentum:
        names.append("velocity")
        body += ["velocity = velocity * momentum + g / root;", "p = p - lr * velocity;"]
    else:
        body.append("p = p - lr * (g / root);")
    numbers = (lr, weight_decay, alpha, 1 - alpha, eps, momentum)
    return names, body, "lr decay alpha w eps momentum".split(), lambda row: numbers


def _adagrad(
    *, steps: Sequence[float], lr: float, lr_decay: float, eps: float, weight_decay: float,
    maximize: bool,
) -> Plan:  # fmt: skip
    body = [
        *_penalty(weight_decay, maximize), "total = total + g * g;",
        "p = p - rate * (g / (sqrt_$T(total) + eps));",
    ]  # fmt: skip
    return (
        ("p", "g", "total"), body, ("rate", "decay", "eps"),
        lambda row: (lr / (1 + (steps[row] - 1) * lr_decay), weight_decay, eps),
    )  # fmt: skip


_PLANS: dict[str, Callable[..., Plan]] = {
    "fused_sgd": _sgd, "fused_adam": _adam, "fused_rmsprop": _rmsprop, "fused_adagrad": _adagrad,
}  # fmt: skip
#: These kernels take `out=`.
IN_PLACE = frozenset(_PLANS)


def _enter(name: str, plan: Callable[..., Plan]) -> None:
    @optimising.kernel(name, "floating reduced")
    def make(device: Any, dtype: DType) -> Kernel:
        steps = Steps(device, dtype)

        def kernel(
            *tensors: DeviceArray, count: int, out: tuple[DeviceArray, ...] | None = None,
            **attributes: Any,
        ) -> tuple[DeviceArray, ...]:  # fmt: skip
            return steps.run(plan(**attributes), tensors, count, out)

        return kernel


for _name, _plan in _PLANS.items():
    _enter(_name, _plan)
