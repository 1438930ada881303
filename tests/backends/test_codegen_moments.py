"""Means and spreads of the kernel-language family on OpenCL, against NumPy in float64."""

import functools

import numpy as np
import pytest

import rushlight as rl

rushlight_opencl = pytest.importorskip("rushlight_opencl")
if not rushlight_opencl.devices():
    pytest.skip("no OpenCL device: pip install rushlight-opencl[pocl]", allow_module_level=True)

from rushlight.backend.codegen.moments import moments  # noqa: E402

RUNTIME = rl.ones(1, device="opencl")._k.runtime
EPS = {rl.float16: 2e-3, rl.float32: 2e-6, rl.complex64: 2e-6}
#: Rows and columns, few and many, elements that lie apart, all of them, none of them.
CASES = {
    "rows": ((40, 300), (1,)), "long row": ((3, 70_000), (1,)), "columns": ((300, 40), (0,)),
    "tall columns": ((70_000, 3), (0,)), "between": ((5, 6, 7), (1,)), "slabs": ((5, 90, 40), (1,)),
    "all": ((5, 6, 7), (0, 1, 2)), "outer and inner": ((5, 6, 7), (0, 2)),
    "one number": ((), ()), "each": ((4, 5), ()), "no results": ((0, 5), (1,)),
    "of nothing": ((5, 0), (1,)),
}  # fmt: skip


@functools.cache
def kernel(name, flavour, dtype):
    before = RUNTIME.flavour
    RUNTIME.flavour = flavour
    try:
        kind = "complex" if dtype.is_complex else "floating"
        return moments.table[name][kind].make(RUNTIME, dtype)
    finally:
        RUNTIME.flavour = before


@pytest.fixture(params=["cpu", "gpu"])
def flavour(request, monkeypatch):
    monkeypatch.setattr(RUNTIME, "flavour", request.param)
    return request.param


@pytest.mark.parametrize("dtype", EPS, ids=str)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_moments_equal_numpys(case: str, dtype, flavour) -> None:
    shape, dim = CASES[case]
    draw = np.random.default_rng(len(shape))
    x = draw.standard_normal(shape) + 1j * draw.standard_normal(shape)
    x = rl.tensor(np.asarray(x if dtype.is_complex else x.real + 3)).to(dtype).numpy()
    wide = x.astype(np.complex128 if dtype.is_complex else np.float64)
    native = RUNTIME.from_host(np.asarray(x))
    axes = dim if dim or not shape else tuple(range(len(shape)))
    near = {"rtol": EPS[dtype], "atol": EPS[dtype]}

    def both(name, function, **more):
        for keepdim in (False, True):
            made = kernel(name, flavour, dtype)(native, dim=dim, keepdim=keepdim, **more)
            if dim or not shape:
                wanted = np.asarray(function(wide, axis=axes, keepdims=keepdim))
            else:  # over no dimensions; for NumPy that is over a new one
                wanted = np.asarray(function(wide[..., None], axis=-1))
            ours = RUNTIME.to_host(made)
            assert ours.dtype == (dtype if name == "mean" else dtype.to_real()).numpy
            np.testing.assert_allclose(ours.astype(wanted.dtype), wanted, **near)

    both("mean", np.mean)
    both("var", functools.partial(np.var, ddof=1), correction=1.0)
    both("std", np.std, correction=0.0)


def test_16_bits_hold_no_sums(flavour) -> None:
    x = RUNTIME.from_host(np.array([300, -300] * 50_000, np.float16))
    made = kernel("std", flavour, rl.float16)(x, dim=(0,), correction=0.0)
    assert float(RUNTIME.to_host(made)) == 300
    big = RUNTIME.from_host(np.full(100_000, 3, np.float16))
    assert float(RUNTIME.to_host(kernel("mean", flavour, rl.float16)(big, dim=(0,)))) == 3


def test_a_far_off_mean_costs_no_digits(flavour) -> None:
    x = np.random.default_rng(0).standard_normal((4, 5000)).astype(np.float32) + np.float32(1e4)
    made = kernel("var", flavour, rl.float32)(RUNTIME.from_host(x), dim=(1,))
    np.testing.assert_allclose(RUNTIME.to_host(made), x.astype(float).var(1, ddof=1), rtol=1e-4)


def test_numbers_that_are_all_the_same_have_no_spread(flavour) -> None:
    x = np.full((4, 9), np.float32(1000.1))
    made = kernel("std", flavour, rl.float32)(RUNTIME.from_host(x), dim=(1,))
    assert RUNTIME.to_host(made).max() < 1e-6


def test_nan_and_infinity_stay_in_their_rows(flavour) -> None:
    x = np.ones((40, 300), np.float32)
    x[3, 7], x[5, 9] = np.nan, np.inf
    rest = np.delete(np.arange(40), [3, 5])
    ours = RUNTIME.to_host(kernel("mean", flavour, rl.float32)(RUNTIME.from_host(x), dim=(1,)))
    assert np.isnan(ours[3])
    assert ours[5] == np.inf
    assert (ours[rest] == 1).all()
    ours = RUNTIME.to_host(kernel("var", flavour, rl.float32)(RUNTIME.from_host(x), dim=(1,)))
    assert np.isnan(ours[[3, 5]]).all()
    assert (ours[rest] == 0).all()


def test_the_operators_use_them() -> None:
    x = rl.tensor([60000.0, 50000.0, 1.0], dtype=rl.float16, device="opencl")
    assert x.mean().item() == 36672
    assert rl.full((1000,), 3, dtype=rl.bfloat16, device="opencl").mean().item() == 3
