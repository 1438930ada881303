"""Scans, sorting, searching and counting on OpenCL: the CPU's results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight._registered import operators

rushlight_opencl = pytest.importorskip("rushlight_opencl")
if not rushlight_opencl.devices():
    pytest.skip("no OpenCL device: pip install rushlight-opencl[pocl]", allow_module_level=True)

VALUES = np.random.default_rng(0).integers(-3, 4, (5, 70)).astype(np.float32)
VALUES[0, [3, 9]] = np.nan
VALUES[1, 5] = -0.0
VALUES[2] = np.inf
LONG = np.random.default_rng(0).standard_normal(10001).astype(np.float32)


def same(function: Callable[[str], Any]) -> None:
    """Asserts that a function of the device gives the same on both."""
    expected, found = function("cpu"), function("opencl")
    several = isinstance(expected, tuple)
    for a, b in zip(
        expected if several else (expected,), found if several else (found,), strict=True
    ):
        assert (b.shape, b.dtype) == (a.shape, a.dtype)
        np.testing.assert_array_equal(b.cpu().numpy(), a.numpy())


def values(device: str, dtype: str = "float32") -> Any:
    x = rl.tensor(VALUES, device=device)
    return x if dtype == "float32" else x.nan_to_num(posinf=5).to(getattr(rl, dtype))


def long(device: str, dtype: str = "float32") -> Any:
    return rl.tensor(LONG, device=device).to(getattr(rl, dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool", "bfloat16"])
@pytest.mark.parametrize("descending", [False, True])
def test_sort_is_stable_and_knows_nan(dtype: str, descending: bool) -> None:
    def run(device: str) -> Any:
        x, at = rl.sort(values(device, dtype), dim=1, descending=descending, stable=True)
        return (x.float() if dtype == "bfloat16" else x), at

    same(run)


@pytest.mark.parametrize("flavour", ["cpu", "gpu"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_long_rows(flavour: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rl.ones(1, device="opencl")._k.runtime, "flavour", flavour)
    same(lambda device: tuple(rl.sort(long(device, dtype), descending=True, stable=True)))
    same(lambda device: tuple(rl.sort(long(device, dtype)[:3000].reshape(5, 600), stable=True)))


CALLS: dict[str, Callable[[str], Any]] = {
    "argsort of columns": lambda d: rl.argsort(values(d), dim=0, stable=True),
    "topk": lambda d: tuple(rl.topk(values(d), 7, dim=1)),
    "kthvalue": lambda d: tuple(rl.kthvalue(values(d), 3, dim=1)),
    "median": lambda d: tuple(rl.median(values(d), dim=1)),
    "median of all": lambda d: rl.median(values(d)),
    "nanmedian": lambda d: tuple(rl.nanmedian(values(d), dim=1, keepdim=True)),
    "mode": lambda d: tuple(rl.mode(values(d), dim=1)),
    "searchsorted": lambda d: rl.searchsorted(rl.sort(long(d))[0], values(d)),
    "searchsorted rows": lambda d: rl.searchsorted(
        rl.sort(values(d, "int64"))[0], values(d, "int64"), right=True, out_int32=True
    ),
    "unique": lambda d: tuple(rl.unique(values(d), return_inverse=True, return_counts=True)),
    "unique rows": lambda d: tuple(
        rl.unique(values(d, "int8")[:, :3].sign(), dim=0, return_inverse=True, return_counts=True)
    ),
    "unique columns": lambda d: tuple(
        rl.unique(values(d, "int8")[:2].sign(), dim=1, return_inverse=True, return_counts=True)
    ),
    "unique_consecutive": lambda d: tuple(
        rl.unique_consecutive(values(d).flatten(), return_inverse=True, return_counts=True)
    ),
    "bincount": lambda d: rl.bincount(values(d, "int64").abs().flatten(), minlength=9),
    "bincount of weights": lambda d: rl.bincount(
        values(d, "int64").abs().flatten(), values(d, "int64").flatten().float()
    ),
    "histc": lambda d: rl.histc(values(d)[3:], bins=7),
    "cumsum": lambda d: values(d, "int64").cumsum(0),
    "cumprod": lambda d: values(d).cumprod(1),
    "cummax": lambda d: tuple(values(d).cummax(1)),
    "cummin": lambda d: tuple(values(d).t().cummin(0)),
    "cumsum from the end": lambda d: operators["reverse_cumsum"](values(d, "int64"), dim=1),
    "cumsum of many from the end": lambda d: operators["reverse_cumsum"](
        rl.arange(100_000, device=d), dim=0
    ),
    "cumsum of many": lambda d: rl.arange(100_000, device=d).cumsum(0),
    "cummax of many": lambda d: tuple(long(d).cummax(0)),
}


@pytest.mark.parametrize("name", CALLS)
def test_same_as_the_processor(name: str) -> None:
    same(CALLS[name])


def test_logcumsumexp() -> None:
    x = long("cpu")[:2000]
    np.testing.assert_allclose(
        rl.logcumsumexp(x.to("opencl"), 0).cpu().numpy(), rl.logcumsumexp(x, 0).numpy(), rtol=1e-5
    )


def test_bad_counts_are_refused() -> None:
    with pytest.raises(RuntimeError, match="-3 can't be counted"):
        rl.bincount(values("opencl", "int64").flatten())
    with pytest.raises(RuntimeError, match=r"range of \[.*\] is not finite"):
        rl.histc(values("opencl"))


X = np.linspace(-1.5, 1.5, 13)
DEGREES = np.array([0, 1, 2, 5, 9, 12.7, -1, 60, np.inf, np.nan])[:, None]
A = np.array([0, 0.1, 1, 3, 11, 12, 40, 50, 70, 1000, np.inf])
UPTO = np.array([0, 1e-5, 0.3, 1, 5, 10, 45, 60, 1100, np.inf, -1, np.nan])[:, None]
PAIRS = {
    **{f"{p}chebyshev_polynomial_{k}": (X, DEGREES) for p in ("", "shifted_") for k in "tuvw"},
    "hermite_polynomial_h": (X, DEGREES),
    "hermite_polynomial_he": (X, DEGREES),
    "laguerre_polynomial_l": (X, DEGREES),
    "legendre_polynomial_p": (X, DEGREES),
    "gammainc": (A, UPTO),
    "gammaincc": (A, UPTO),
}


@pytest.mark.parametrize("name", PAIRS)
def test_functions_with_loops(name: str) -> None:
    a, b = (rl.tensor(x, dtype=rl.float32) for x in PAIRS[name])
    function = getattr(rl.special, name)
    np.testing.assert_allclose(
        function(a.to("opencl"), b.to("opencl")).cpu().numpy(), function(a, b).numpy(),
        rtol=2e-6, atol=1e-30,
    )  # fmt: skip


@pytest.mark.parametrize(("n", "k"), [(100, 7), (100, 64), (100, 65), (16, 16), (33, 1), (5, 0)])
@pytest.mark.parametrize("name", ["float32", "bfloat16", "int64"])
def test_the_first_of_rows_are_those_of_their_stable_order(name: str, n: int, k: int) -> None:
    values = np.rint(np.random.default_rng(n).standard_normal((6, n)) * 5).astype(np.float32)
    if name == "float32":
        values[0, n // 2] = np.nan
    x = rl.from_numpy(values).to(getattr(rl, name))
    for largest in (True, False):
        found, places = x.to("opencl").topk(k, 1, largest)
        order = x.argsort(dim=1, descending=largest, stable=True)[:, :k]
        np.testing.assert_array_equal(places.cpu().numpy(), order.numpy())
        expected = x.gather(1, order).float().numpy()
        np.testing.assert_array_equal(found.cpu().float().numpy(), expected)
