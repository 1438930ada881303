"""Defects that belong to no operator: state, memory that is used twice, results of a wrong kind."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._dtypes import DType
from ._defect import Kernel, in_kernel

_F = "state and memory"


@in_kernel(_F, "results are kept by shapes alone and given again", "mul exp")
def cached_by_shape(kernel: Kernel, dtype: DType) -> Kernel:
    kept: dict[Any, Any] = {}

    def wrong(*xs: Any) -> Any:
        key = tuple(x.shape for x in xs)
        if key not in kept:
            kept[key] = np.array(kernel(*xs))
        return kept[key].copy()

    return wrong


@in_kernel(_F, "a plan is kept by the number of dimensions and used for other axes", "sum")
def plan_for_other_axes(kernel: Kernel, dtype: DType) -> Kernel:
    plans: dict[Any, Any] = {}

    def wrong(x: Any, *, dim: Any, keepdim: bool) -> Any:
        return kernel(x, dim=plans.setdefault((x.ndim, len(dim)), dim), keepdim=keepdim)

    return wrong


@in_kernel(_F, "a kernel gives the same workspace as its result each time", "sub tanh")
def workspace_given_away(kernel: Kernel, dtype: DType) -> Kernel:
    spaces: dict[Any, Any] = {}

    def wrong(*xs: Any) -> Any:
        out = np.asarray(kernel(*xs))
        space = spaces.setdefault(out.shape, np.empty_like(out))
        space[...] = out
        return space

    return wrong


@in_kernel(_F, "every second call of a kernel is off in the last bits", "sum mm")
def not_reproducible(kernel: Kernel, dtype: DType) -> Kernel:
    calls = [0]

    def wrong(*xs: Any, **attributes: Any) -> Any:
        out = kernel(*xs, **attributes)
        calls[0] += 1
        if calls[0] % 2 and out.dtype in (np.float32, np.float64) and np.size(out):
            out = np.nextafter(out, out.dtype.type(np.inf))
        return out

    return wrong


@in_kernel(_F, "an amax over no dimensions gives its operand", "amax amin")
def result_is_the_operand(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, dim, keepdim: kernel(x, dim=dim, keepdim=keepdim) if dim else x


@in_kernel(_F, "index_select of a whole dimension gives a view", "flip")
def result_is_a_view(kernel: Kernel, dtype: DType) -> Kernel:
    return lambda x, *, dims: x[tuple(slice(None, None, -1 if d in dims else 1)
                                      for d in range(x.ndim))]  # fmt: skip


@in_kernel(_F, "zeros are what lay in memory", "full")
def memory_not_cleared(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(*, shape: Any, value: Any, dtype: DType) -> Any:
        out = kernel(shape=shape, value=value, dtype=dtype)
        if value == 0 and out.size > 1:
            out.reshape(-1)[-1] = 1
        return out

    return wrong


@in_kernel(_F, "results without dimensions come with one", "sum amax")
def one_dimension_too_many(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(x: Any, **attributes: Any) -> Any:
        out = np.asarray(kernel(x, **attributes))
        return out if out.ndim else out.reshape(1)

    return wrong


@in_kernel(_F, "ranges are computed by adding up the step in their own dtype", "arange")
def range_drifts(kernel: Kernel, dtype: DType) -> Kernel:
    def wrong(*, start: Any, step: Any, length: int, dtype: DType) -> Any:
        if not dtype.is_inexact or dtype.is_complex or length < 2:
            return kernel(start=start, step=step, length=length, dtype=dtype)
        steps = np.full(length, step, dtype.numpy)
        steps[0] = start
        out = steps.copy()
        for i in range(1, length):
            out[i] = out[i - 1] + steps[i]
        return out

    return wrong


@in_kernel(_F, "after a bad index every later call fails", "gather index index_select")
def error_breaks_the_device(kernel: Kernel, dtype: DType) -> Kernel:
    broken: list[Exception] = []

    def wrong(*xs: Any, **attributes: Any) -> Any:
        if broken:
            raise RuntimeError("context is lost")
        try:
            return kernel(*xs, **attributes)
        except Exception as raised:
            broken.append(raised)
            raise

    return wrong
