"""Kernels along rows on OpenCL against the CPU: softmax, norms and losses, in both flavours."""

import numpy as np
import pytest

import rushlight as rl
from rushlight._registered import operators

rushlight_opencl = pytest.importorskip("rushlight_opencl")
if not rushlight_opencl.devices():
    pytest.skip("no OpenCL device: pip install rushlight-opencl[pocl]", allow_module_level=True)

from rushlight.backend.codegen.rowwise import Map, Once, Rows, Sweep, added  # noqa: E402

TOLERANCE = {rl.float32: 3e-6, rl.bfloat16: 1e-2}
DTYPES = pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)


def normal(*shape: int, dtype: rl.dtype = rl.float32, seed: int = 0) -> rl.Tensor:
    values = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return rl.tensor(values.astype(np.float32)).to(dtype)


def agrees(name: str, *operands: rl.Tensor | None, **attributes: object) -> tuple:
    """Runs an operator on both devices, compares, and gives back the CPU's results."""
    there = [None if x is None else x.to("opencl") for x in operands]
    ours, theirs = operators[name](*there, **attributes), operators[name](*operands, **attributes)
    if not isinstance(theirs, tuple):
        ours, theirs = (ours,), (theirs,)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if b is not None:
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            expected = b.to(rl.float64).numpy()
            finite = np.abs(expected[np.isfinite(expected)])
            size = TOLERANCE[b.dtype] * max(1, finite.max(initial=0))
            np.testing.assert_allclose(a.cpu().to(rl.float64).numpy(), expected, 0, size)
    return theirs


@DTYPES
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_softmax_and_its_gradient(dtype: rl.dtype, dim: int) -> None:
    x, g = normal(5, 37, 3, dtype=dtype), normal(5, 37, 3, dtype=dtype, seed=1)
    x = x.transpose(0, 2)
    g = g.transpose(0, 2)
    for name in ("softmax", "log_softmax"):
        (y,) = agrees(name, x, dim=dim)
        agrees(f"{name}_backward", g, y, dim=dim)


def test_sums_of_exponentials_of_infinities_and_over_several_dimensions() -> None:
    x = normal(4, 6, 9)
    agrees("logsumexp", x, dim=(2,))
    agrees("logsumexp", x, dim=(0, 2), keepdim=True)
    inf = float("inf")
    rows = rl.tensor([[-inf, -inf], [inf, 1.0], [float("nan"), 0.0]], device="opencl")
    assert str(rows.logsumexp(1).tolist()) == "[-inf, inf, nan]"
    assert rl.zeros(2, 0, device="opencl").logsumexp(1).tolist() == [-inf, -inf]
    assert rl.softmax(rl.zeros(2, 0, device="opencl"), 1).shape == (2, 0)
    assert rl.softmax(rl.tensor(3.0, device="opencl"), 0).item() == 1


@DTYPES
def test_layer_and_rms_norm(dtype: rl.dtype) -> None:
    x, g = normal(3, 5, 40, dtype=dtype), normal(3, 5, 40, dtype=dtype, seed=1)
    w, b = normal(40, dtype=dtype), normal(40, dtype=dtype, seed=1)
    every = (True, True, True)
    _, mean, rstd = agrees("native_layer_norm", x, w, b, normalized_ndim=1, eps=1e-5)
    agrees("layer_norm_backward", g, x, mean, rstd, w, normalized_ndim=1, needs=every)
    _, rstd = agrees("native_rms_norm", x, w, normalized_ndim=1, eps=1e-5)
    agrees("rms_norm_backward", g, x, rstd, w, normalized_ndim=1, needs=every[:2])


def test_a_large_mean_costs_no_digits() -> None:
    x = normal(2, 500) + 1e4
    ours = rl.nn.functional.layer_norm(x.to("opencl"), (500,)).cpu()
    wide = x.to(rl.float64)
    expected = (wide - wide.mean(1, keepdim=True)) / wide.var(1, keepdim=True, correction=0).sqrt()
    np.testing.assert_allclose(ours.numpy(), expected.numpy(), 1e-3, 2e-3)


@DTYPES
def test_group_and_batch_norm(dtype: rl.dtype) -> None:
    shape = (3, 6, 5, 7)
    x, g = normal(*shape, dtype=dtype), normal(*shape, dtype=dtype, seed=1)
    w, b = normal(6, dtype=dtype), normal(6, dtype=dtype, seed=1)
    every = (True, True, True)
    _, mean, rstd = agrees("native_group_norm", x, w, b, groups=2, eps=1e-5)
    agrees("group_norm_backward", g, x, mean, rstd, w, groups=2, needs=every)
    mean, variance = agrees("batch_norm_stats", x)
    rstd = (variance + 1e-5).rsqrt()
    agrees("batch_norm_apply", x, mean, rstd, w, b)
    agrees("batch_norm_backward", g, x, mean, rstd, w, training=True, needs=every)
    agrees("batch_norm_backward", g, x, mean, rstd, None, training=False, needs=(True, True, False))


@pytest.mark.parametrize("shape", [(6, 10), (3, 7, 5)])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_losses_and_their_gradients(shape: tuple[int, ...], reduction: str) -> None:
    x, w = normal(*shape), normal(shape[1]).abs()
    target = rl.tensor(np.random.default_rng(1).integers(0, shape[1], (shape[0], *shape[2:])))
    target.reshape(-1)[1] = -100
    how = {"reduction": reduction, "ignore_index": -100}
    g = normal(*target.shape) if reduction == "none" else rl.tensor(1.5)
    _, lse = agrees("cross_entropy", x, target, **how)
    agrees("cross_entropy_backward", g, x, target, lse, **how)
    for weight in (None, w):
        _, total = agrees("nll_loss", x, target, weight, **how)
        agrees("nll_loss_backward", g, target, weight, total, shape=shape, **how)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize("bad", [10, -1])
def test_a_target_that_is_no_class_is_raised_with_its_line(name: str, bad: int) -> None:
    x, target = normal(6, 10).to("opencl"), rl.tensor([0, 1, bad, 3, 4, 5], device="opencl")
    weight = (None,) if name == "nll_loss" else ()
    with pytest.raises(IndexError, match=rf"{name}: Target {bad} is out of bounds") as caught:
        operators[name](x, target, *weight, reduction="sum", ignore_index=-100)[0].item()
    assert "test_opencl_rows.py:" in str(caught.value)
    assert rl.ones(2, device="opencl").sum().item() == 2


@pytest.mark.parametrize("flavour", ["cpu", "gpu"])
@pytest.mark.parametrize("sizes", [(3, 1000, 1), (3, 300, 21), (2, 5, 1)])
def test_both_flavours(flavour: str, sizes: tuple[int, int, int], monkeypatch) -> None:
    x = normal(*sizes)
    device = rl.ones(1, device="opencl")._k.runtime
    monkeypatch.setattr(device, "flavour", flavour)
    out, sums = device.empty(sizes, rl.float32), device.empty((sizes[0] * sizes[2],), rl.float32)
    stages = [
        Sweep({"s": added("x[$at]")}),
        Once("sums[$r] = $s;"),
        Map("out[$at] = x[$at] - $s * (f32)$i;"),
    ]
    operands = {"out": rl.float32, "sums": rl.float32, "x": rl.float32}
    rows = Rows(device, f"try_{flavour}", rl.float32, operands, ("out", "sums"), stages)
    values = x.numpy()
    rows((out, sums, device.from_host(values)), *sizes)
    total = values.sum(1)
    places = np.arange(sizes[1], dtype=np.float32)[:, None]
    np.testing.assert_allclose(device.to_host(sums), total.reshape(-1), 1e-5, 1e-4)
    np.testing.assert_allclose(device.to_host(out), values - total[:, None] * places, 1e-4, 0.2)


@DTYPES
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_is_one_kernel(dtype: rl.dtype, approximate: str) -> None:
    x = (normal(400) * 3).to(dtype)
    agrees("gelu", x, approximate=approximate)
    agrees("gelu_backward", normal(400, dtype=dtype, seed=1), x, approximate=approximate)


@DTYPES
def test_silu_is_one_kernel(dtype: rl.dtype) -> None:
    x = (normal(400) * 9).to(dtype)
    agrees("silu", x)
    agrees("silu_backward", normal(400, dtype=dtype, seed=1), x)


def test_erf_at_its_ends() -> None:
    x = rl.tensor([-float("inf"), -9.0, -0.0, 0.25, 9.0, float("inf"), float("nan")])
    assert str(rl.erf(x.to("opencl")).tolist()[:3]) == "[-1.0, -1.0, -0.0]"
    np.testing.assert_allclose(rl.erf(x.to("opencl")).cpu().numpy(), rl.erf(x).numpy(), 1e-6)


@pytest.mark.parametrize("shape", [(3, 70, 40), (2, 300, 17), (2, 3, 5, 200), (3, 0, 20)])
def test_reductions_over_a_dimension_in_the_middle(shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    there = x.to("opencl")
    for dim in range(1, len(shape) - 1):
        for name in ("sum", "amax", "argmax") if x.numel() else ("sum",):
            expected, found = (getattr(rl, name)(y, dim) for y in (x, there))
            np.testing.assert_allclose(found.cpu().numpy(), expected.numpy(), 1e-5, 1e-5)
