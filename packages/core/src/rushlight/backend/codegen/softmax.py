"""Softmax, its logarithm, their gradients, and the logarithm of a sum of exponentials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..._dtypes import DType
from .array import DeviceArray
from .dialect import suffix
from .expression import computed
from .printing import loaded, stored
from .registry import Family, Kernel
from .rowwise import Let, Map, Once, Rows, Stage, Sweep, added, dense, split_at

softmaxes = Family()
FLOATS = "floating reduced"


def greatest(x: str, t: str) -> Sweep:
    """The maximum of a row, `$top`, which is NaN where an element is."""
    merge = f"$a = maximum_{t}($a, $o);"
    return Sweep({"top": (f"-({t})INFINITY", f"$a = maximum_{t}($a, {x});", merge)})


def _softmax(dtype: DType, t: str) -> list[Stage]:
    type = computed(dtype)
    x = loaded("x[$at]", dtype)
    power = f"exp_{t}({x} - $top)"
    if dtype is not type:  # 16 bits do not hold a power in between
        scaled = stored(f"({power} / $total)", type, dtype)
        return [greatest(x, t), Sweep({"total": added(power)}), Map(f"out[$at] = {scaled};")]
    return [
        greatest(x, t),
        Map(f"out[$at] = {power};"),
        Sweep({"total": added("out[$at]")}),
        Let("share", f"({t})1 / $total"),
        Map("out[$at] *= $share;"),
    ]


def _log_softmax(dtype: DType, t: str) -> list[Stage]:
    type = computed(dtype)
    x = loaded("x[$at]", dtype)
    power = f"exp_{t}({x} - $top)"
    sums: list[Stage] = [Sweep({"total": added(power)})]
    if dtype is type:
        sums = [Map(f"out[$at] = {power};"), Sweep({"total": added("out[$at]")})]
    result = stored(f"(({x} - $top) - $log)", type, dtype)
    return [greatest(x, t), *sums, Let("log", f"log_{t}($total)"), Map(f"out[$at] = {result};")]


def _along(name: str, stages: Callable[[DType, str], list[Stage]]) -> None:
    @softmaxes.kernel(name, FLOATS)
    def make(device: Any, dtype: DType) -> Kernel:
        rows = Rows(
            device, name, dtype, {"out": dtype, "x": dtype}, ("out",),
            stages(dtype, suffix(computed(dtype))),
        )  # fmt: skip

        def kernel(x: DeviceArray, *, dim: int) -> DeviceArray:
            out: DeviceArray = device.empty(x.shape, dtype)
            if out.size:
                rows((out, dense(x)), *split_at(x.shape, dim))
            return out

        return kernel


_along("softmax", _softmax)
_along("log_softmax", _log_softmax)


def _backward(name: str, total: str, value: str) -> None:
    """A gradient of `g` and the result `y`, with a sum `$total`."""

    @softmaxes.kernel(name, FLOATS)
    def make(device: Any, dtype: DType) -> Kernel:
        type = computed(dtype)
        t = suffix(type)
        g, y = loaded("g[$at]", dtype), loaded("y[$at]", dtype)

        def put(text: str) -> str:
            return text.replace("G", g).replace("Y", y).replace("EXP", f"exp_{t}")

        rows = Rows(
            device, name, dtype, {"out": dtype, "g": dtype, "y": dtype}, ("out",),
            [Sweep({"total": added(put(total))}),
             Map(f"out[$at] = {stored(put(value), type, dtype)};")],
        )  # fmt: skip

        def kernel(g: DeviceArray, out: DeviceArray, *, dim: int) -> DeviceArray:
            if out.dtype is not dtype:
                out = device.movement.cast(out, dtype)
            made: DeviceArray = device.empty(out.shape, dtype)
            if made.size:
                rows((made, dense(g), dense(out)), *split_at(out.shape, dim))
            return made

        return kernel


_backward("softmax_backward", "G * Y", "(G * Y - Y * $total)")
_backward("log_softmax_backward", "G", "(G - EXP(Y) * $total)")


@softmaxes.kernel("logsumexp", FLOATS)
def _logsumexp(device: Any, dtype: DType) -> Kernel:
    type = computed(dtype)
    t = suffix(type)
    x = loaded("x[$at]", dtype)
    rows = Rows(
        device, "logsumexp", dtype, {"out": dtype, "x": dtype}, ("out",),
        [
            greatest(x, t),
            # A maximum that is infinite is not taken off: inf - inf would be NaN.
            Let("shift", f"isinf_{t}($top) ? 0 : $top"),
            Sweep({"total": added(f"exp_{t}({x} - $shift)")}),
            Once(f"out[$r] = {stored(f'(log_{t}($total) + $shift)', type, dtype)};"),
        ],
    )  # fmt: skip

    def kernel(x: DeviceArray, *, dim: Sequence[int], keepdim: bool = False) -> DeviceArray:
        inside = {d % len(x.shape) for d in dim} if x.shape else set()
        kept = [d for d in range(len(x.shape)) if d not in inside]
        shape = (
            tuple([1 if d in inside else n for d, n in enumerate(x.shape)])
            if keepdim
            else tuple([x.shape[d] for d in kept])
        )
        out: DeviceArray = device.empty(shape, dtype)
        if not out.size:
            return out
        if len(inside) == 1:
            sizes = split_at(x.shape, next(iter(inside)))
        else:
            axes = [*kept, *sorted(inside)]
            x = x.geometry(
                tuple([x.shape[d] for d in axes]), tuple([x.strides[d] for d in axes]), 0
            )
            n = 1
            for d in range(len(kept), len(axes)):
                n *= x.shape[d]
            sizes = (out.size, n, 1)
        rows((out, dense(x)), *sizes)
        return out

    return kernel
