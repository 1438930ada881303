"""Matrix products on OpenCL: both flavours, every class of dtype, operands in any layout."""

import numpy as np
import pytest

import rushlight as rl

rushlight_opencl = pytest.importorskip("rushlight_opencl")
if not rushlight_opencl.devices():
    pytest.skip("no OpenCL device: pip install rushlight-opencl[pocl]", allow_module_level=True)

from rushlight.backend.codegen import Products  # noqa: E402
from rushlight.backend.codegen.matmul import _matmul  # noqa: E402

SIZES = [
    (3, 4, 5),
    (33, 70, 65),
    (8, 100, 32),
    (1, 200, 7),
    (100, 300, 1),
    (64, 33, 64),
    (20, 0, 7),
]


def normal(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def on(array):
    return rl.tensor(array, device="opencl")


def back(x):
    return x.cpu().numpy()


@pytest.mark.parametrize("flavour", ["cpu", "gpu"])
@pytest.mark.parametrize("turned", ["nn", "tn", "nt", "tt"])
def test_products_in_both_flavours(flavour: str, turned: str, monkeypatch) -> None:
    device = rl.ones(1, device="opencl")._k.runtime
    monkeypatch.setattr(device, "flavour", flavour)
    product = _matmul(Products(device, rl.float32))
    for m, k, n in SIZES:
        a, b = normal(m, k), normal(k, n) + 1
        left = device.from_host(a.T.copy() if turned[0] == "t" else a)
        right = device.from_host(b.T.copy() if turned[1] == "t" else b)
        if turned[0] == "t":
            left = left.geometry(left.shape[::-1], left.strides[::-1], 0)
        if turned[1] == "t":
            right = right.geometry(right.shape[::-1], right.strides[::-1], 0)
        found = device.to_host(product(left, right))
        np.testing.assert_allclose(found, a @ b, rtol=1e-4, atol=1e-4, err_msg=f"{m} {k} {n}")


@pytest.mark.parametrize("name", ["bool", "int8", "uint64", "int64", "bfloat16", "complex64"])
@pytest.mark.parametrize("flavour", ["cpu", "gpu"])
def test_products_of_other_dtypes(name: str, flavour: str, monkeypatch) -> None:
    device = rl.ones(1, device="opencl")._k.runtime
    monkeypatch.setattr(device, "flavour", flavour)
    dtype = getattr(rl, name)
    product = _matmul(Products(device, dtype))
    whole = np.random.default_rng(0).integers(-9, 9, (2, 40, 40))
    a, b = (
        rl.tensor(np.abs(h) if name == "uint64" else h).to(dtype).numpy()
        if name != "bfloat16" else rl.tensor(h).to(dtype).float().numpy()
        for h in whole
    )  # fmt: skip
    left, right = (device.from_host(h.astype(dtype.numpy)) for h in (a, b))
    expected = (a @ b).astype(dtype.numpy)
    np.testing.assert_array_equal(
        device.to_host(product(left, right)).astype("c8"), expected.astype("c8")
    )


def test_batches_broadcast_and_turn() -> None:
    a, b = normal(4, 3, 20, 30), normal(3, 30, 17)
    cases = [
        (on(a) @ on(b), a @ b),
        (on(a) @ on(b[0]), a @ b[0]),
        (on(a).transpose(0, 1) @ on(b[0]), a.swapaxes(0, 1) @ b[0]),
        (on(a)[:, :, ::2] @ on(b)[:, :, ::3], a[:, :, ::2] @ b[:, :, ::3]),
        (on(a[:, :1]) @ on(b), a[:, :1] @ b),
    ]
    for ours, theirs in cases:
        np.testing.assert_allclose(back(ours), theirs, rtol=1e-4, atol=1e-4)


def test_sums_of_many_products() -> None:
    a = normal(5, 40000)
    exact = a.astype(np.float64) @ a[0].astype(np.float64)
    np.testing.assert_allclose(back(on(a) @ on(a[0])), exact, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(back(on(a[0]).dot(on(a[1]))), exact[1], rtol=1e-5, atol=1e-3)


def test_what_is_added() -> None:
    a, b, c = normal(33, 20), normal(20, 40), normal(40)
    nan = on(np.full((33, 40), np.nan, np.float32))
    np.testing.assert_allclose(
        back(rl.addmm(on(c), on(a), on(b), beta=2, alpha=0.5)), 2 * c + (a @ b) / 2,
        rtol=1e-5, atol=1e-5,
    )  # fmt: skip
    assert rl.addmm(nan, on(a), on(b), beta=0).isfinite().all()
    column = on(c[:33].reshape(33, 1).copy())
    np.testing.assert_allclose(
        back(rl.addmm(column, on(a), on(b))), c[:33, None] + a @ b, rtol=1e-5, atol=1e-5
    )


def test_linear_and_its_gradients_equal_the_cpu() -> None:
    made = []
    for device in ("cpu", "opencl"):
        x = rl.tensor(normal(6, 7, 20), device=device, requires_grad=True)
        w = rl.tensor(normal(50, 20), device=device, requires_grad=True)
        bias = rl.tensor(normal(50), device=device, requires_grad=True)
        out = rl.ops.linear(x, w, bias)
        (out * out).sum().backward()
        made.append([back(v.detach()) for v in (out, x.grad, w.grad, bias.grad)])
    for ours, theirs in zip(*made, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_operands_that_do_not_fit_are_refused() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        on(normal(2, 3)) @ on(normal(4, 5))
    with pytest.raises(RuntimeError, match=r"broadcast|match"):
        on(normal(2, 3, 4)) @ on(normal(5, 4, 3))


def test_dense_copies_are_row_major() -> None:
    device = rl.ones(1, device="opencl")._k.runtime
    a = normal(2, 3, 4)
    turned = device.from_host(a).geometry((3, 2, 4), (4, 12, 1), 0)
    flat = turned.reshaped((6, 4))
    np.testing.assert_array_equal(device.to_host(flat), a.swapaxes(0, 1).reshape(6, 4))
