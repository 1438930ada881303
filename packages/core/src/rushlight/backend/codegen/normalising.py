"""Layer, RMS, group and batch norm, and their gradients.

Statistics are of rows: of layers and groups as they lie, of channels by rows of (sample, channel)
whose means and squares a second kernel merges by Chan's formula, so that no mean square is ever
subtracted from another. Gradients of parameters are sums over columns.

References:
    Chan, Golub and LeVeque (1983), Algorithms for computing the sample variance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from .array import DeviceArray
from .printing import loaded
from .registry import Family
from .rowwise import Let, Map, Once, RowKernels, Stage, Sweep, added, dense, entered

normalising = Family()
FLOATS = "floating reduced"
Results = tuple[DeviceArray | None, ...]


class Norm(RowKernels):
    """The kernels of one dtype, each made when it is first needed."""

    def rows(
        self,
        name: str,
        stages: Sequence[Stage],
        operands: dict[str, DeviceArray | None],
        results: Sequence[str],
        sizes: tuple[int, int, int],
        **scalars: Any,
    ) -> None:
        """Launches a kernel; scalars are whole numbers, or numbers of the kernel's type."""
        numbers = {k: ("i64" if isinstance(v, int) else self.t, v) for k, v in scalars.items()}
        self.launch(name, stages, operands, results, sizes, numbers)

    def read(self, name: str, x: DeviceArray, place: str = "$at") -> str:
        """An element of an operand, in the type that is computed in."""
        return f"({self.t})({loaded(f'{name}[{place}]', x.dtype)})"

    def affine(
        self, text: str, weight: DeviceArray | None, bias: DeviceArray | None, place: str
    ) -> str:
        """`text` times the weight plus the bias, of those that are given."""
        if weight is not None:
            text = f"{text} * {self.read('w', weight, place)}"
        if bias is not None:
            text = f"{text} + {self.read('b', bias, place)}"
        return text


def moments(norm: Norm, x: str) -> list[Stage]:
    """The mean of a row and the sum of the squares around it."""
    return [
        Sweep({"sum": added(x)}),
        Let("mean", f"$sum / ({norm.t})n"),
        Sweep({"square": added(f"({x} - $mean) * ({x} - $mean)")}),
    ]


def _inverse_deviation(norm: Norm) -> str:
    """Of a row, from the sum of the squares around its mean."""
    return f"({norm.t})1 / sqrt_{norm.t}($square / ({norm.t})n + eps)"


def _kernel(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return entered(normalising, Norm, name, FLOATS)


# -- layer and RMS norm -----------------------------------------------------------------------


def _tail(x: DeviceArray, count: int) -> tuple[int, int, tuple[int, ...], tuple[int, ...]]:
    """Rows, elements of each, and the shapes of statistics and parameters."""
    cut = len(x.shape) - count
    lead, tail = x.shape[:cut], x.shape[cut:]
    return prod(lead), prod(tail), (*lead, *(1,) * count), tail


@_kernel("native_layer_norm")
def _layer_norm(
    norm: Norm, x: DeviceArray, weight: DeviceArray | None = None, bias: DeviceArray | None = None,
    *, normalized_ndim: int, eps: float,
) -> Results:  # fmt: skip
    rows, n, stat, _ = _tail(x, normalized_ndim)
    out, mean, rstd = norm.empty(x.shape), norm.empty(stat, True), norm.empty(stat, True)
    value = norm.read("x", x)
    hat = norm.affine(f"({value} - $mean) * $rstd", weight, bias, "$i")
    stages: list[Stage] = [
        *moments(norm, value),
        Let("rstd", _inverse_deviation(norm)),
        Once("mean[$r] = $mean; rstd[$r] = $rstd;"),
        Map(norm.write("out", out, hat)),
    ]
    operands = {"out": out, "mean": mean, "rstd": rstd, "x": x, "w": weight, "b": bias}
    results = ("out", "mean", "rstd")
    norm.rows("layer_norm", stages, operands, results, (rows, n, 1), eps=float(eps))
    return out, mean, rstd


@_kernel("native_rms_norm")
def _rms_norm(
    norm: Norm, x: DeviceArray, weight: DeviceArray | None = None,
    *, normalized_ndim: int, eps: float,
) -> Results:  # fmt: skip
    rows, n, stat, _ = _tail(x, normalized_ndim)
    out, rstd = norm.empty(x.shape), norm.empty(stat, True)
    value = norm.read("x", x)
    stages: list[Stage] = [
        Sweep({"square": added(f"{value} * {value}")}),
        Let("rstd", _inverse_deviation(norm)),
        Once("rstd[$r] = $rstd;"),
        Map(norm.write("out", out, norm.affine(f"{value} * $rstd", weight, None, "$i"))),
    ]
    operands = {"out": out, "rstd": rstd, "x": x, "w": weight}
    norm.rows("rms_norm", stages, operands, ("out", "rstd"), (rows, n, 1), eps=float(eps))
    return out, rstd


def _layer_gradients(
    norm: Norm, g: DeviceArray, x: DeviceArray, mean: DeviceArray | None, rstd: DeviceArray,
    weight: DeviceArray | None, normalized_ndim: int, needs: Sequence[bool],
) -> Results:  # fmt: skip
    """Gradients of x, the weight, and with a mean the bias."""
    rows, n, _, tail = _tail(x, normalized_ndim)
    name = "rms_norm" if mean is None else "layer_norm"
    t = norm.t
    gx, value = norm.read("g", g), norm.read("x", x)
    found: list[DeviceArray | None] = [None] * len(needs)
    operands = {"g": g, "x": x, "mean": mean, "rstd": rstd}

    def hat(row: str) -> str:
        centred = value if mean is None else f"({value} - {norm.read('mean', mean, row)})"
        return f"({centred} * {norm.read('rstd', rstd, row)})"

    if needs[0]:
        dx = found[0] = norm.empty(x.shape)
        gw = norm.affine(gx, weight, None, "$i")
        sums = {"product": added(f"({gw}) * {hat('$r')}")}
        slope = f"{gw} - {hat('$r')} * ($product / ({t})n)"
        if mean is not None:
            sums["sum"] = added(gw)
            slope += f" - $sum / ({t})n"
        slope = f"{norm.read('rstd', rstd, '$r')} * ({slope})"
        stages: list[Stage] = [Sweep(sums), Map(norm.write("out", dx, slope))]
        norm.rows(
            f"{name}_dx", stages, {"out": dx, **operands, "w": weight}, ("out",), (rows, n, 1)
        )
    if any(needs[1:]):
        sums, stores, outs = {}, [], {}
        for k, step in ((1, f"{gx} * {hat('$i')}"), (2, gx)):
            if k < len(needs) and needs[k]:
                made = found[k] = outs[f"d{k}"] = norm.empty(tail)
                sums[f"s{k}"] = added(step)
                stores.append(norm.write(f"d{k}", made, f"$s{k}", "$r"))
        norm.rows(
            f"{name}_dw_{'_'.join(outs)}", [Sweep(sums), Once(" ".join(stores))],
            {**outs, **operands}, tuple(outs), (1, rows, n),
        )  # fmt: skip
    return tuple(found)


@_kernel("layer_norm_backward")
def _layer_norm_backward(
    norm: Norm, g: DeviceArray, x: DeviceArray, mean: DeviceArray, rstd: DeviceArray,
    weight: DeviceArray | None = None, *, normalized_ndim: int, needs: Sequence[bool],
) -> Results:  # fmt: skip
    return _layer_gradients(norm, g, x, mean, rstd, weight, normalized_ndim, needs)


@_kernel("rms_norm_backward")
def _rms_norm_backward(
    norm: Norm, g: DeviceArray, x: DeviceArray, rrms: DeviceArray,
    weight: DeviceArray | None = None, *, normalized_ndim: int, needs: Sequence[bool],
) -> Results:  # fmt: skip
    return _layer_gradients(norm, g, x, None, rrms, weight, normalized_ndim, needs)


# -- group and batch norm -----------------------------------------------------------------------


def _channels(x: DeviceArray) -> tuple[int, int, int]:
    """Samples, channels, and elements of each."""
    return x.shape[0], x.shape[1], prod(x.shape[2:])


def _by_channel(
    norm: Norm, x: DeviceArray, mean: DeviceArray, rstd: DeviceArray, weight: DeviceArray | None,
    bias: DeviceArray | None, statistic: str, per: int,
) -> DeviceArray:  # fmt: skip
    """(x - mean) * rstd * weight + bias; `statistic` is the place of a row's statistics."""
    samples, channels, n = _channels(x)
    out = norm.empty(x.shape)
    value = norm.read("x", x)
    stages: list[Stage] = [
        Let("mean", norm.read("mean", mean, statistic)),
        Let("rstd", norm.read("rstd", rstd, statistic)),
        Let("w", norm.read("w", weight, "$r % channels") if weight is not None else "1"),
        Let("b", norm.read("b", bias, "$r % channels") if bias is not None else "0"),
        Map(norm.write("out", out, f"({value} - $mean) * $rstd * $w + $b")),
    ]
    operands = {"out": out, "x": x, "mean": mean, "rstd": rstd, "w": weight, "b": bias}
    name = "apply_group" if "per" in statistic else "apply_channel"
    norm.rows(
        name, stages, operands, ("out",), (samples * channels, n, 1), channels=channels, per=per
    )
    return out


@_kernel("native_group_norm")
def _group_norm(
    norm: Norm, x: DeviceArray, weight: DeviceArray | None = None, bias: DeviceArray | None = None,
    *, groups: int, eps: float,
) -> Results:  # fmt: skip
    samples, channels, pixels = _channels(x)
    x = dense(x)
    per = channels // groups
    mean, rstd = norm.empty((samples, groups), True), norm.empty((samples, groups), True)
    stages: list[Stage] = [
        *moments(norm, norm.read("x", x)),
        Once(f"mean[$r] = $mean; rstd[$r] = {_inverse_deviation(norm)};"),
    ]
    norm.rows(
        "group_stats", stages, {"mean": mean, "rstd": rstd, "x": x}, ("mean", "rstd"),
        (samples * groups, per * pixels, 1), eps=float(eps),
    )  # fmt: skip
    return _by_channel(norm, x, mean, rstd, weight, bias, "$r / per", per), mean, rstd


@_kernel("batch_norm_apply")
def _batch_norm_apply(
    norm: Norm, x: DeviceArray, mean: DeviceArray, rstd: DeviceArray,
    weight: DeviceArray | None = None, bias: DeviceArray | None = None,
) -> DeviceArray:  # fmt: skip
    return _by_channel(norm, x, mean, rstd, weight, bias, "$r % channels", 1)


@_kernel("batch_norm_stats")
def _batch_norm_stats(norm: Norm, x: DeviceArray) -> Results:
    samples, channels, pixels = _channels(x)
    t = norm.t
    means, squares = norm.empty((samples, channels), True), norm.empty((samples, channels), True)
    norm.rows(
        "row_moments",
        [*moments(norm, norm.read("x", x)), Once("means[$r] = $mean; squares[$r] = $square;")],
        {"means": means, "squares": squares, "x": x}, ("means", "squares"),
        (samples * channels, pixels, 1),
    )  # fmt: skip
    mean, variance = norm.empty((channels,), True), norm.empty((channels,), True)
    apart = "(means[$at] - $mean)"
    stages: list[Stage] = [
        Sweep({"sum": added("means[$at]")}),
        Let("mean", f"$sum / ({t})n"),
        Sweep({"square": added(f"squares[$at] / ({t})pixels + {apart} * {apart}")}),
        Once(f"mean[$r] = $mean; variance[$r] = $square / ({t})n;"),
    ]
    norm.rows(
        "merge_moments", stages,
        {"mean": mean, "variance": variance, "means": means, "squares": squares},
        ("mean", "variance"), (1, samples, channels), pixels=pixels,
    )  # fmt: skip
    return mean, variance


def _row_sums(
    norm: Norm, g: DeviceArray, x: DeviceArray, mean: DeviceArray, rstd: DeviceArray,
    statistic: str, per: int,
) -> tuple[DeviceArray, DeviceArray]:  # fmt: skip
    """For each sample and channel the sums of g and of g times what the norm made of x."""
    samples, channels, n = _channels(x)
    plain, product = norm.empty((samples, channels), True), norm.empty((samples, channels), True)
    gx, value = norm.read("g", g), norm.read("x", x)
    stages: list[Stage] = [
        Let("mean", norm.read("mean", mean, statistic)),
        Let("rstd", norm.read("rstd", rstd, statistic)),
        Sweep({"s": added(gx), "p": added(f"{gx} * (({value} - $mean) * $rstd)")}),
        Once("plain[$r] = $s; product[$r] = $p;"),
    ]
    name = "sums_group" if "per" in statistic else "sums_channel"
    norm.rows(
        name, stages,
        {"plain": plain, "product": product, "g": g, "x": x, "mean": mean, "rstd": rstd},
        ("plain", "product"), (samples * channels, n, 1), channels=channels, per=per,
    )  # fmt: skip
    return plain, product


def _over_samples(norm: Norm, sums: DeviceArray, wide: bool = False) -> DeviceArray:
    """Sums of each channel from those of each sample and channel."""
    samples, channels = sums.shape
    out = norm.empty((channels,), wide)
    stages: list[Stage] = [Sweep({"s": added("x[$at]")}), Once(norm.write("out", out, "$s", "$r"))]
    name = "over_samples_wide" if wide else "over_samples"
    norm.rows(name, stages, {"out": out, "x": sums}, ("out",), (1, samples, channels))
    return out


def _input_gradient(
    norm: Norm, g: DeviceArray, x: DeviceArray, mean: DeviceArray, rstd: DeviceArray,
    weight: DeviceArray | None, plain: DeviceArray | None, product: DeviceArray | None,
    statistic: str, per: int, count: int,
) -> DeviceArray:  # fmt: skip
    """rstd (g w - plain/count - hat product/count), where the sums are of g w."""
    samples, channels, n = _channels(x)
    dx = norm.empty(x.shape)
    value = norm.read("x", x)
    stages: list[Stage] = [
        Let("rstd", norm.read("rstd", rstd, statistic)),
        Let("w", norm.read("w", weight, "$r % channels") if weight is not None else "1"),
    ]
    slope = f"{norm.read('g', g)} * $w"
    if plain is not None:
        stages += [
            Let("mean", norm.read("mean", mean, statistic)),
            Let("s", f"plain[{statistic}] / ({norm.t})count"),
            Let("p", f"product[{statistic}] / ({norm.t})count"),
        ]
        slope = f"{slope} - $s - ({value} - $mean) * $rstd * $p"
    stages.append(Map(norm.write("dx", dx, f"$rstd * ({slope})")))
    operands = {"dx": dx, "g": g, "rstd": rstd, "w": weight}
    name = "apply_gradient"
    if plain is not None:
        operands |= {"x": x, "mean": mean, "plain": plain, "product": product}
        name = "group_gradient" if "per" in statistic else "channel_gradient"
    norm.rows(
        name, stages, operands, ("dx",), (samples * channels, n, 1), channels=channels, per=per,
        count=count,
    )  # fmt: skip
    return dx


def _weighted(
    norm: Norm, sums: DeviceArray, weight: DeviceArray | None, sizes: tuple[int, int, int]
) -> DeviceArray:
    """Sums over the channels of each group, each times its weight."""
    rows, n, groups = sizes
    out = norm.empty((rows,), True)
    w = "1" if weight is None else norm.read("w", weight, "(($r % groups) * n + $i)")
    stages: list[Stage] = [Sweep({"s": added(f"x[$at] * {w}")}), Once("out[$r] = $s;")]
    operands = {"out": out, "x": sums, "w": weight}
    norm.rows("weighted", stages, operands, ("out",), (rows, n, 1), groups=groups)
    return out


@_kernel("group_norm_backward")
def _group_norm_backward(
    norm: Norm, g: DeviceArray, x: DeviceArray, mean: DeviceArray, rstd: DeviceArray,
    weight: DeviceArray | None = None, *, groups: int, needs: Sequence[bool],
) -> Results:  # fmt: skip
    samples, channels, pixels = _channels(x)
    g, x, per = dense(g), dense(x), channels // groups
    plain, product = _row_sums(norm, g, x, mean, rstd, "$r / per", per)
    dx = None
    if needs[0]:
        sizes = (samples * groups, per, groups)
        sums = [_weighted(norm, part, weight, sizes) for part in (plain, product)]
        dx = _input_gradient(
            norm, g, x, mean, rstd, weight, sums[0], sums[1], "$r / per", per, per * pixels
        )
    dw = _over_samples(norm, product) if needs[1] else None
    db = _over_samples(norm, plain) if needs[2] else None
    return dx, dw, db


@_kernel("batch_norm_backward")
def _batch_norm_backward(
    norm: Norm, g: DeviceArray, x: DeviceArray, mean: DeviceArray, rstd: DeviceArray,
    weight: DeviceArray | None = None, *, training: bool, needs: Sequence[bool],
) -> Results:  # fmt: skip
    samples, channels, pixels = _channels(x)
    g, x = dense(g), dense(x)
    dx = dw = db = None
    place = "$r % channels"
    if needs[1] or needs[2] or training:
        plain, product = _row_sums(norm, g, x, mean, rstd, place, 1)
        dw = _over_samples(norm, product) if needs[1] else None
        db = _over_samples(norm, plain) if needs[2] else None
    if needs[0]:
        sums: list[DeviceArray | None] = [None, None]
        if training:
            ones = (channels, 1, channels)
            sums = [
                _weighted(norm, _over_samples(norm, part, True), weight, ones)
                for part in (plain, product)
            ]
        dx = _input_gradient(
            norm, g, x, mean, rstd, weight, sums[0], sums[1], place, 1, samples * pixels
        )
    return dx, dw, db
