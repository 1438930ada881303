"""Rearranging: joining, turning, rolling, padding, triangles.

All but the triangles are copies between views, for which the family has kernels already.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from ..._dtypes import DType
from .array import DeviceArray, row_major
from .registry import Family, Kernel
from .walking import WIDTHS, Walk

rearranging = Family()


def part(x: DeviceArray, spans: Sequence[tuple[int, int]]) -> DeviceArray:
    """The block of an array from a first to before a last place in each dimension."""
    offset = sum(first * s for (first, _), s in zip(spans, x.strides, strict=True))
    return x.geometry(tuple([last - first for first, last in spans]), x.strides, offset)


@rearranging.kernel("cat")
def cat_kernel(device: Any, dtype: DType) -> Kernel:
    def kernel(*arrays: DeviceArray, dim: int) -> DeviceArray:
        shape = list(arrays[0].shape)
        shape[dim] = sum(x.shape[dim] for x in arrays)
        for x in arrays:
            if (*x.shape[:dim], shape[dim], *x.shape[dim + 1 :]) != tuple(shape):
                raise ValueError(f"{x.shape} does not fit {arrays[0].shape} beside {dim}")
        out: DeviceArray = device.empty(tuple(shape), dtype)
        at = 0
        for x in arrays:
            spans = [(0, n) for n in shape]
            spans[dim] = (at, at + x.shape[dim])
            at += x.shape[dim]
            if x.size:
                device.movement.copy(part(out, spans), x)
        return out

    return kernel


@rearranging.kernel("flip")
def flip_kernel(device: Any, dtype: DType) -> Kernel:
    def kernel(x: DeviceArray, *, dims: Sequence[int]) -> DeviceArray:
        turned = {d for d in dims if x.shape and x.shape[d]}
        strides = tuple([-s if d in turned else s for d, s in enumerate(x.strides)])
        offset = sum((x.shape[d] - 1) * x.strides[d] for d in turned)
        made: DeviceArray = device.dense(x.geometry(x.shape, strides, offset))
        return made

    return kernel


@rearranging.kernel("roll")
def roll_kernel(device: Any, dtype: DType) -> Kernel:
    def kernel(x: DeviceArray, *, shifts: Sequence[int], dims: Sequence[int]) -> DeviceArray:
        x.settled()
        total = dict.fromkeys(range(len(x.shape)), 0)
        for shift, d in zip(shifts, dims, strict=True):
            if x.shape:
                total[d] += shift
        out: DeviceArray = device.empty(x.shape, dtype)
        if not x.size:
            return out
        # In each dimension, what comes from its front and what from behind the end.
        choices = []
        for d, n in enumerate(x.shape):
            shift = total[d] % n
            spans = [((0, n - shift), (shift, n))]
            if shift:
                spans.append(((n - shift, n), (0, shift)))
            choices.append(spans)
        for chosen in itertools.product(*choices):
            source = part(x, [a for a, _ in chosen])
            device.movement.copy(part(out, [b for _, b in chosen]), source)
        return out

    return kernel


@rearranging.kernel("constant_pad")
def constant_pad_kernel(device: Any, dtype: DType) -> Kernel:
    def kernel(x: DeviceArray, *, pad: Sequence[tuple[int, int]], value: Any = 0) -> DeviceArray:
        sizes = [n + before + after for n, (before, after) in zip(x.shape, pad, strict=True)]
        out: DeviceArray = device.empty(tuple(sizes), dtype)
        if not out.size:
            return out
        device.movement.fill(out, value)
        into, source = [], []
        for n, size, (before, _) in zip(x.shape, sizes, pad, strict=True):
            # A negative amount crops: what stays is the same span of both arrays.
            first, stop = max(before, 0), max(min(before + n, size), max(before, 0))
            into.append((first, stop))
            source.append((first - before, stop - before))
        kept = part(x, source)
        if kept.size:
            device.movement.copy(part(out, into), kept)
        return out

    return kernel


def _triangle(lower: bool) -> Any:
    def make(device: Any, dtype: DType) -> Kernel:
        type = WIDTHS[dtype.itemsize]
        zero = "MAKE_c128(0, 0)" if type == "c128" else "0"
        walk = Walk(
            device,
            "k_tril" if lower else "k_triu",
            {"out": type, "x": type, "gap": None},
            f"out[out_i] = gap_i {'<=' if lower else '>='} diagonal ? x[x_i] : {zero};",
            "i64 diagonal",
        )

        def kernel(x: DeviceArray, *, diagonal: int = 0) -> DeviceArray:
            out: DeviceArray = device.empty(x.shape, dtype)
            gap = (0,) * (len(x.shape) - 2) + (-1, 1)  # column - row
            walk(x.shape, (out, out.strides), (x, x.strides), (0, gap), numbers=(diagonal,))
            return out

        return kernel

    return make


rearranging.add("tril", _triangle(True))
rearranging.add("triu", _triangle(False))
__all__ = ["part", "rearranging", "row_major"]
