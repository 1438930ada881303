"""The native kernels of softmax and losses, against the NumPy tier and exact figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.backends.test_native_tier import NUMPY, TYPES, native, threads

import rushlight

__all__ = ["native", "threads"]  # fixtures

FLOATS = [np.dtype(np.float32), np.dtype(np.float64)]
LENGTHS = [0, 1, 2, 5, 16, 17, 48, 49, 100, 2100]


def compare(
    native: Any, name: str, *arrays: Any, tol: float = 0, size: float = 0, **attributes: Any
) -> Any:
    """Calls both tiers and compares everything they return; the native tier's results.

    `size` is that of the summands, where a result can be small because they cancel.
    """
    dtype = TYPES[arrays[0].dtype]
    with np.errstate(all="ignore"):
        wanted = NUMPY.find_kernel(name, dtype)(*arrays, **attributes)
        got = native.find_kernel(name, dtype)(*arrays, **attributes)
    if not isinstance(wanted, tuple):
        got, wanted = (got,), (wanted,)
    assert len(got) == len(wanted)
    tol = tol or (3e-6 if arrays[0].dtype == np.float32 else 1e-13)
    for mine, theirs in zip(got, wanted, strict=True):
        if theirs is None:
            assert mine is None
            continue
        assert (mine.dtype, mine.shape) == (theirs.dtype, np.shape(theirs))
        assert mine.flags.c_contiguous
        scale = np.abs(theirs[np.isfinite(theirs)]).max(initial=0) if np.size(theirs) else 0
        np.testing.assert_allclose(mine, theirs, rtol=tol, atol=tol * max(1, scale, size))
    return got if len(got) > 1 else got[0]


@st.composite
def array(draw: st.DrawFn, special: bool = True, most: int = 3) -> np.ndarray:
    """Rows, columns and bricks, of any strides, sometimes with NaN and infinities."""
    shape = draw(st.lists(st.sampled_from(LENGTHS), max_size=most).map(tuple))
    while np.prod(shape) > 200_000:
        shape = tuple(min(n, 100) for n in shape)[:2]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.standard_normal(shape) * draw(st.sampled_from([1, 30]))
    x += draw(st.sampled_from([0, 1e4]))
    if special and x.size and draw(st.booleans()):
        value = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
        for _ in range(draw(st.integers(1, 3))):
            x.reshape(-1)[draw(st.integers(0, x.size - 1))] = value
    if special and x.size and x.ndim and draw(st.booleans()):
        x[..., draw(st.integers(0, x.shape[-1] - 1))] = -np.inf
        x[draw(st.integers(0, x.shape[0] - 1))] = -np.inf
    return laid_out(draw, x.astype(draw(st.sampled_from(FLOATS))))


def laid_out(draw: Any, x: np.ndarray) -> np.ndarray:
    """The same values in C order, in Fortran's, or with gaps."""
    layout = draw(st.sampled_from(["C", "C", "F", "gaps"]))
    if layout != "gaps" or not x.ndim:
        return np.array(x, order="F" if layout == "F" else "C")
    room = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    room[..., ::2] = x
    return room[..., ::2]


def dimension(draw: Any, x: np.ndarray) -> int:
    return draw(st.integers(0, x.ndim - 1)) if x.ndim else 0


@given(st.data(), st.sampled_from(["softmax", "log_softmax"]))
@settings(max_examples=60, deadline=None)
def test_softmax_along_any_dimension(native: Any, data: st.DataObject, name: str) -> None:
    x = data.draw(array())
    compare(native, name, x, dim=dimension(data.draw, x))


@given(st.data(), st.sampled_from(["softmax", "log_softmax"]))
@settings(max_examples=60, deadline=None)
def test_softmax_backward_along_any_dimension(native: Any, data: st.DataObject, name: str) -> None:
    x = data.draw(array(special=False))
    dim = dimension(data.draw, x)
    y = NUMPY.find_kernel(name, TYPES[x.dtype])(x, dim=dim)
    g = np.random.default_rng(0).standard_normal(x.shape).astype(x.dtype)
    tol = 2e-5 if x.dtype == np.float32 else 1e-13
    compare(native, f"{name}_backward", laid_out(data.draw, g), y, dim=dim, tol=tol)
    spread = np.broadcast_to(np.array(0.5, x.dtype), x.shape)  # what a sum's gradient is
    compare(native, f"{name}_backward", spread, y, dim=dim, tol=tol)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_logsumexp_over_any_dimensions(native: Any, data: st.DataObject) -> None:
    x = data.draw(array())
    dims = tuple(d for d in range(x.ndim) if data.draw(st.booleans()))
    if 0 in x.shape or not dims:
        return
    compare(native, "logsumexp", x, dim=dims, keepdim=data.draw(st.booleans()))


@pytest.mark.parametrize("n", [1, 3, 16, 100, 5000])
def test_softmax_of_rows_without_a_finite_maximum_is_nan_and_others_are_exact(
    native: Any, n: int
) -> None:
    softmax = native.find_kernel("softmax", rushlight.float32)
    rows = np.full((20, n), -np.inf, np.float32)
    assert np.isnan(softmax(rows, dim=1)).all()
    rows[3] = 1e30
    rows[4], rows[5, 0] = -1e30, np.inf
    out = softmax(rows, dim=1)
    np.testing.assert_allclose(out[3:5], 1 / n, rtol=2e-7)
    assert np.isnan(out[5]).all()


@pytest.mark.parametrize("dim", [0, 1])
def test_softmax_is_as_exact_as_its_dtype(native: Any, dim: int) -> None:
    x = np.random.default_rng(0).standard_normal((1000, 1001)) * 4
    exact = np.exp(x.astype(np.float32).astype(np.float64))
    exact /= exact.sum(dim, keepdims=True)
    out = native.find_kernel("softmax", rushlight.float32)(x.astype(np.float32), dim=dim)
    np.testing.assert_allclose(out, exact, rtol=4e-6)
    logs = native.find_kernel("log_softmax", rushlight.float32)(x.astype(np.float32), dim=dim)
    np.testing.assert_allclose(logs, np.log(exact), rtol=5e-7, atol=3e-6)


# Losses


@st.composite
def classified(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Logits, targets and the class to ignore."""
    batch, classes = draw(st.sampled_from([0, 1, 7, 70])), draw(st.sampled_from([1, 2, 10, 16, 90]))
    size = draw(st.sampled_from([(), (1,), (5,), (3, 40), (0,), (1100,)]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    dtype = draw(st.sampled_from(FLOATS))
    x = rng.standard_normal((min(batch, 7) if size else batch, classes, *size)).astype(dtype)
    target = rng.integers(0, classes, (x.shape[0], *size))
    ignore = draw(st.sampled_from([-100, 0, classes - 1, -1]))
    if target.size and draw(st.booleans()):
        target.reshape(-1)[:: draw(st.sampled_from([1, 2, 3]))] = ignore
    if target.min(initial=0) >= 0 and draw(st.booleans()):
        target = target.astype(np.uint8)
    if x.size and draw(st.booleans()):
        x.reshape(-1)[draw(st.integers(0, x.size - 1))] = draw(
            st.sampled_from([np.nan, np.inf, -np.inf])
        )
    return laid_out(draw, x), laid_out(draw, target), ignore


REDUCTIONS = st.sampled_from(["none", "sum", "mean"])


def gradient(draw: Any, target: np.ndarray, reduction: str, dtype: Any) -> np.ndarray:
    rng = np.random.default_rng(5)
    if reduction == "none":
        return laid_out(draw, rng.standard_normal(target.shape).astype(dtype))
    return np.array(rng.standard_normal(), dtype)


@given(st.data(), classified(), REDUCTIONS)
@settings(max_examples=60, deadline=None)
def test_cross_entropy(native: Any, data: st.DataObject, given: Any, reduction: str) -> None:
    x, target, ignore = given
    said = {"ignore_index": ignore, "reduction": reduction}
    # One -inf is enough for a row whose sum is 0: its log-sum-exp is NaN in both.
    _, lse = compare(native, "cross_entropy", x, target, **said)
    g = gradient(data.draw, target, reduction, x.dtype)
    compare(native, "cross_entropy_backward", g, x, target, lse, **said)


@given(st.data(), classified(), REDUCTIONS, st.booleans())
@settings(max_examples=60, deadline=None)
def test_nll_loss(
    native: Any, data: st.DataObject, given: Any, reduction: str, weighted: bool
) -> None:
    x, target, ignore = given
    said = {"ignore_index": ignore, "reduction": reduction}
    weight = np.linspace(0.5, 2, x.shape[1]).astype(x.dtype) if weighted else None
    size = np.abs(x[np.isfinite(x)]).max(initial=0)
    _, total = compare(native, "nll_loss", x, target, weight, size=float(size), **said)
    g = gradient(data.draw, target, reduction, x.dtype)
    compare(native, "nll_loss_backward", g, target, weight, total, shape=x.shape, **said)


def test_a_class_that_does_not_exist_is_refused(native: Any) -> None:
    x, target = np.zeros((3, 4), np.float32), np.array([0, 4, 1])
    said = {"ignore_index": -100, "reduction": "mean"}
    for name, arrays in {"cross_entropy": (x, target), "nll_loss": (x, target, None)}.items():
        with pytest.raises(IndexError, match="Target 4 is out of bounds"):
            native.find_kernel(name, rushlight.float32)(*arrays, **said)


def test_results_do_not_depend_on_the_number_of_threads(native: Any, threads: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((130, 2001)).astype(np.float32)
    target = rng.integers(0, 2001, 130)
    said = {"ignore_index": -100, "reduction": "mean"}
    find = native.find_kernel
    results = []
    for count in (1, 2, 3, 7):
        threads(count)
        found = [find(n, rushlight.float32)(x, dim=d) for n in ("softmax", "log_softmax")
                 for d in (0, 1)]  # fmt: skip
        found += find("cross_entropy", rushlight.float32)(x, target, **said)
        results.append([np.array(a) for a in found])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
