"""Losses over classes: cross entropy and negative log likelihood, with their gradients.

A target that is no class is reported by the kernel that reads it, and raised at the next
synchronisation with the line of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .array import DeviceArray, beyond
from .printing import loaded
from .registry import Family
from .rowwise import Let, Map, Once, RowKernels, Stage, Sweep, added, entered, split_at
from .softmax import FLOATS, greatest

losses = Family()
_OUT_OF_BOUNDS = "Target {value} is out of bounds."
# A target is a class, or ignored, or a fault, which counts as ignored until it is raised.
_TARGET = Let("t", "(i64)target[$r]", "i64")
_GOOD = Let("good", "($t != ignored) & ($t >= 0) & ($t < n)", "i32")
_REPORT = Once("if (($t != ignored) & !$good) report(faults, slot, $t);")


class Loss(RowKernels):
    """What the losses of one dtype share."""

    def run(
        self,
        name: str,
        stages: Sequence[Stage],
        operands: dict[str, DeviceArray | None],
        results: Sequence[str],
        sizes: tuple[int, int, int],
        ignored: int | None = None,
        who: str = "",
    ) -> None:
        """Runs a kernel; `who` is the operator whose faults it reports."""
        scalars = {} if ignored is None else {"ignored": ("i64", ignored)}
        fault = self.device.fault(who, _OUT_OF_BOUNDS, IndexError) if who else None
        given = self.launch(name, stages, operands, results, sizes, scalars, fault)
        if fault is not None:
            self.device.launched(beyond(given["target"], 0, sizes[1] - 1, ignored))

    def reduced(
        self, name: str, loss: DeviceArray, count: DeviceArray, mean: bool
    ) -> tuple[DeviceArray, DeviceArray]:
        """The sum or the mean of losses, and the sum of what they count for."""
        out, total = self.empty(()), self.empty(())
        value = "$s / $c" if mean else "$s"
        stages: list[Stage] = [
            Sweep({"s": added("loss[$at]"), "c": added("count[$at]")}),
            Once(self.write("out", out, value, "$r") + self.write("total", total, "$c", "$r")),
        ]
        self.run(
            f"{name}_{'mean' if mean else 'sum'}", stages,
            {"out": out, "total": total, "loss": loss, "count": count}, ("out", "total"),
            (1, loss.size, 1),
        )  # fmt: skip
        return out, total


def _kernel(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return entered(losses, Loss, name, FLOATS)


@_kernel("cross_entropy")
def _cross_entropy(
    self: Loss, x: DeviceArray, target: DeviceArray, *, ignore_index: int, reduction: str
) -> tuple[DeviceArray, DeviceArray]:
    none, t = reduction == "none", self.t
    lse, loss = self.empty(target.shape, True), self.empty(target.shape, not none)
    count = None if none else self.empty(target.shape, True)
    value = loaded("x[$at]", self.dtype)
    sizes = split_at(x.shape, 1)
    picked = loaded("x[$r / inner * n * inner + $r % inner + $t * inner]", self.dtype)
    keep = "" if none else " count[$r] = $good;"
    stages: list[Stage] = [
        _TARGET, _GOOD, _REPORT,
        greatest(value, t),
        Let("shift", f"isinf_{t}($top) ? 0 : $top"),
        Sweep({"total": added(f"exp_{t}({value} - $shift)")}),
        Let("lse", f"log_{t}($total) + $shift"),
        Once(
            f"{t} loss_ = 0; if ($good) loss_ = $lse - {picked}; lse[$r] = $lse; "
            f"{self.write('loss', loss, 'loss_', '$r')}{keep}"
        ),
    ]  # fmt: skip
    self.run(
        "cross_entropy" + ("_none" if none else ""), stages,
        {"loss": loss, "lse": lse, "count": count, "x": x, "target": target},
        ("loss", "lse", "count"), sizes, ignore_index, "cross_entropy",
    )  # fmt: skip
    if count is None:
        return loss, lse
    return self.reduced("reduced", loss, count, reduction == "mean")[0], lse


@_kernel("cross_entropy_backward")
def _cross_entropy_backward(
    self: Loss, g: DeviceArray, x: DeviceArray, target: DeviceArray, lse: DeviceArray,
    *, ignore_index: int, reduction: str,
) -> DeviceArray:  # fmt: skip
    t, mean = self.t, reduction == "mean"
    dx: DeviceArray = self.device.empty(x.shape, x.dtype)
    count = None
    if mean:
        count = self.empty((), True)
        self.run(
            "targets",
            [Sweep({"c": added("(target[$at] != ignored)")}), Once("count[$r] = $c;")],
            {"count": count, "target": target}, ("count",), (1, target.size, 1), ignore_index,
        )  # fmt: skip
    slope = loaded("g[$r]" if reduction == "none" else "g[0]", g.dtype)
    if mean:
        slope = f"{slope} / count[0]"
    power = f"exp_{t}({loaded('x[$at]', x.dtype)} - $lse)"
    stages: list[Stage] = [
        _TARGET, _GOOD, _REPORT,
        Let("lse", "lse[$r]"),
        Let("slope", slope),
        Let("kept", "$t != ignored", "i32"),
        Map(self.write("dx", dx, f"$kept ? {power} * $slope - ($i == $t ? $slope : 0) : 0", "$at")),
    ]  # fmt: skip
    self.run(
        f"cross_entropy_backward_{reduction}", stages,
        {"dx": dx, "g": g, "x": x, "target": target, "lse": lse, "count": count}, ("dx",),
        split_at(x.shape, 1), ignore_index, "cross_entropy_backward",
    )  # fmt: skip
    return dx


@_kernel("nll_loss")
def _nll_loss(
    self: Loss, x: DeviceArray, target: DeviceArray, weight: DeviceArray | None = None,
    *, reduction: str, ignore_index: int,
) -> tuple[DeviceArray, DeviceArray]:  # fmt: skip
    none, t = reduction == "none", self.t
    loss = self.empty(target.shape, not none)
    count = self.empty(target.shape, True)
    picked = loaded("x[$r / inner * n * inner + $r % inner + $t * inner]", self.dtype)
    w = "1" if weight is None else loaded("w[$t]", weight.dtype)
    stages: list[Stage] = [
        _TARGET, _GOOD, _REPORT,
        Once(
            f"{t} w_ = 0, loss_ = 0; if ($good) {{ w_ = {w}; loss_ = -{picked} * w_; }} "
            f"count[$r] = w_; {self.write('loss', loss, 'loss_', '$r')}"
        ),
    ]  # fmt: skip
    self.run(
        "nll_loss" + ("_none" if none else ""), stages,
        {"loss": loss, "count": count, "x": x, "target": target, "w": weight},
        ("loss", "count"), split_at(x.shape, 1), ignore_index, "nll_loss",
    )  # fmt: skip
    if none:
        return loss, self.device.movement.fill(self.empty(()), 0)
    return self.reduced("reduced", loss, count, reduction == "mean")


@_kernel("nll_loss_backward")
def _nll_loss_backward(
    self: Loss, g: DeviceArray, target: DeviceArray, weight: DeviceArray | None,
    total_weight: DeviceArray, *, shape: Sequence[int], reduction: str, ignore_index: int,
) -> DeviceArray:  # fmt: skip
    dx = self.empty(shape)
    slope = loaded("g[$r]" if reduction == "none" else "g[0]", self.dtype)
    mean = reduction == "mean"
    if mean:
        slope = f"{slope} / {loaded('total[0]', total_weight.dtype)}"
    w = "1" if weight is None else f"($good ? {loaded('w[$good ? $t : 0]', weight.dtype)} : 0)"
    stages: list[Stage] = [
        _TARGET, _GOOD, _REPORT,
        Let("slope", f"$good ? -({slope}) * {w} : 0"),
        Let("place", "$good ? $t : -1", "i64"),
        Map(self.write("dx", dx, "$i == $place ? $slope : 0", "$at")),
    ]  # fmt: skip
    operands = {"dx": dx, "g": g, "target": target, "w": weight}
    if mean:
        operands["total"] = total_weight
    self.run(
        f"nll_loss_backward_{reduction}", stages, operands, ("dx",),
        split_at(tuple(shape), 1), ignore_index, "nll_loss_backward",
    )  # fmt: skip
    return dx
