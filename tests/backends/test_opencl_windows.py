"""Convolution and pooling on OpenCL, against the CPU backend; both flavours."""

import numpy as np
import pytest

import rushlight as rl

rushlight_opencl = pytest.importorskip("rushlight_opencl")
if not rushlight_opencl.devices():
    pytest.skip("no OpenCL device: pip install rushlight-opencl[pocl]", allow_module_level=True)

from rushlight.backend.codegen import convolution as family  # noqa: E402
from rushlight.backend.codegen import windows  # noqa: E402

OPENCL = rl.device("opencl:0")
CONVOLUTIONS = {
    "sequence": ((2, 3, 9), (8, 3, 3), 1, {}),
    "plane": ((2, 6, 9, 10), (8, 6, 3, 3), 1, {"padding": 1}),
    "grouped": ((3, 4, 9, 10), (8, 2, 3, 2), 2,
                {"stride": 2, "padding": (1, 0), "dilation": (1, 2)}),
    "depthwise": ((2, 6, 7, 8), (6, 1, 3, 3), 6, {"padding": 1}),
    "few": ((2, 1, 7, 8), (2, 1, 3, 3), 1, {}),
    "volume": ((2, 8, 4, 5, 6), (12, 2, 2, 3, 2), 4, {"stride": (1, 2, 1), "padding": 1}),
    "tiles": ((3, 16, 12, 12), (40, 16, 3, 3), 1, {"padding": 1}),
    "whole vectors": ((2, 5, 6, 16), (13, 5, 3, 3), 1, {"padding": 1}),
    "wide padding": ((2, 4, 5, 9), (9, 4, 3, 2), 1, {"padding": (4, 3), "dilation": (2, 1)}),
    "single taps": ((3, 7, 5, 9), (12, 7, 1, 1), 1, {}),
    "samples at a time": ((40, 32, 12, 12), (32, 32, 3, 3), 1, {"padding": 1}),
}  # fmt: skip
POOLS = {
    "hanging maxima": ("max_pool2d", (2, 3, 9, 10), 3, {"stride": 2, "padding": 1,
                                                        "ceil_mode": True}),
    "maxima of sequences": ("max_pool1d", (2, 3, 9), 2, {}),
    "spread maxima": ("max_pool3d", (2, 3, 6, 7, 8), 2, {"dilation": 2}),
    "hanging means": ("avg_pool2d", (2, 3, 9, 10), 3, {"stride": 2, "padding": 1,
                                                       "ceil_mode": True}),
    "means without padding": ("avg_pool2d", (2, 3, 9, 10), 3, {"padding": 1,
                                                               "count_include_pad": False}),
    "given divisor": ("avg_pool3d", (2, 3, 4, 5, 6), 2, {"divisor_override": 5}),
    "adaptive means": ("adaptive_avg_pool2d", (2, 3, 9, 10), (4, 3), {}),
    "more windows than elements": ("adaptive_avg_pool1d", (2, 3, 9), 12, {}),
    "adaptive maxima": ("adaptive_max_pool2d", (2, 3, 9, 10), (4, 3), {}),
}  # fmt: skip


def normal(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def results(device, function, arrays):
    """Value and gradients on a device."""
    operands = [rl.tensor(a, device=device, requires_grad=True) for a in arrays]
    out = function(*operands)
    (out * out).sum().backward()
    return [x.detach().cpu().numpy() for x in (out, *(operand.grad for operand in operands))]


@pytest.fixture(params=["cpu", "gpu"])
def flavour(request, monkeypatch):
    """Both shapes of the three convolutions' kernels, on whatever device there is."""
    runtime = rl.ones(1, device="opencl")._k.runtime
    monkeypatch.setattr(runtime, "flavour", request.param)
    return runtime


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions_equal_the_cpu(case: str, flavour) -> None:
    shape, weight_shape, groups, settings = CONVOLUTIONS[case]
    spatial = len(shape) - 2
    ones = (1,) * spatial
    whole = {
        name: value if isinstance(value, tuple) else (value,) * spatial
        for name, value in
        {"stride": ones, "padding": (0,) * spatial, "dilation": ones, **settings}.items()
    }  # fmt: skip
    x, w = normal(*shape), normal(*weight_shape)
    make = family.table
    native = [flavour.from_host(a) for a in (x, w)]

    def kernel(name):
        return make[name]["floating"].make(flavour, rl.float32)

    out = kernel("conv")(*native, groups=groups, **whole)
    grads = (
        kernel("conv_grad_input")(
            out, native[1], input_size=shape[2:], groups=groups, **whole
        ),
        kernel("conv_grad_weight")(
            out, native[0], kernel_size=weight_shape[2:], groups=groups, **whole
        ),
    )  # fmt: skip
    ours = [flavour.to_host(a) for a in (out, *grads)]
    function = getattr(rl.nn.functional, f"conv{spatial}d")

    def halved(x, w):  # so that the gradient of the sum of squares is the result
        return function(x, w, groups=groups, **whole) / np.sqrt(2).item()

    theirs = results("cpu", halved, (x, w))
    theirs[0] = theirs[0] * np.sqrt(2)
    for mine, right in zip(ours, theirs, strict=True):
        size = max(np.abs(right).max(), 1)
        np.testing.assert_allclose(mine, right, rtol=1e-3, atol=1e-5 * size)


@pytest.mark.parametrize("name", ["int16", "bfloat16", "complex64"])
def test_convolutions_of_other_dtypes(name: str) -> None:
    dtype = getattr(rl, name)
    shape = (2, 6, 6, 5), (6, 6, 2, 3)
    x, w = (rl.from_numpy(np.rint(2 * normal(*s))).to(dtype) for s in shape)
    ours = rl.nn.functional.conv2d(x.to(OPENCL), w.to(OPENCL), padding=1)
    expected = rl.nn.functional.conv2d(x, w, padding=1)
    assert (ours.cpu() == expected).all()


@pytest.mark.parametrize("case", POOLS)
def test_pools_and_their_gradients_equal_the_cpu(case: str) -> None:
    name, shape, window, settings = POOLS[case]
    function = getattr(rl.nn.functional, name)

    def pool(x):
        return function(x, window, **settings)

    ours, theirs = (results(device, pool, (normal(*shape),)) for device in (OPENCL, "cpu"))
    for mine, right in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, right, rtol=1e-5, atol=1e-6)


def test_maxima_of_nan_ties_and_whole_numbers() -> None:
    nan = np.nan
    x = rl.tensor([[[1.0, 1.0, nan, 2.0, nan, nan, -np.inf, -np.inf]]], device=OPENCL)
    values, places = rl.nn.functional.max_pool1d(x, 2, return_indices=True)
    np.testing.assert_array_equal(values.cpu().numpy(), [[[1, nan, nan, -np.inf]]])
    assert places.tolist() == [[[0, 2, 4, 6]]]
    whole = rl.tensor([[[-128, -128, 3, -7]]], dtype=rl.int8, device=OPENCL)
    assert rl.nn.functional.max_pool1d(whole, 2).tolist() == [[[-128, 3]]]


def test_the_transposed_table_has_every_pair() -> None:
    for n, out, *window in [(7, 4, 3, 2, 1, 1), (9, 3, 3, 2, 0, 2), (5, 5, 1, 1, 0, 1)]:
        forth, back = (f(n, out, *window) for f in (windows.strided, windows.strided_back))
        pairs = {(t, i, w) for (t, w), i in np.ndenumerate(forth) if i >= 0}
        assert pairs == {(t, i, w) for (t, i), w in np.ndenumerate(back) if w >= 0}
    table = windows.adaptive(9, 4)
    pairs = {(i, w) for (_, w), i in np.ndenumerate(table) if i >= 0}
    back = windows.turned(table, 9)
    assert pairs == {(i, w) for (_, i), w in np.ndenumerate(back) if w >= 0}


def test_tables_do_not_pile_up(monkeypatch) -> None:
    runtime = rl.ones(1, device="opencl")._k.runtime
    monkeypatch.setattr(windows, "KEPT", 4096)
    tables = windows.Tables(runtime)
    for n in range(20, 60):
        tables.windows((n,), (n,), (3,), (1,), (1,), (1,))
        assert sum(t.nbytes for t in tables._kept.values()) <= 4096
