"""Indexing and rearranging on OpenCL: the CPU's results, in any layout; faults change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as rl

rushlight_opencl = pytest.importorskip("rushlight_opencl")
if not rushlight_opencl.devices():
    pytest.skip("no OpenCL device: pip install rushlight-opencl[pocl]", allow_module_level=True)

VALUES = np.random.default_rng(0).integers(-20, 20, (5, 6, 7)).astype(np.float32)
PLACES = np.random.default_rng(1).integers(0, 5, (5, 6, 7))
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "dense": lambda x: x,
    "permuted": lambda x: x.permute(2, 0, 1),
    "transposed": lambda x: x.transpose(0, 2),
    "sliced": lambda x: x[:, 1:, ::2],
}


def same(function: Callable[[str], Any]) -> None:
    """Asserts that a function of the device gives the same on both."""
    expected, found = function("cpu"), function("opencl")
    several = isinstance(expected, tuple)
    for a, b in zip(
        expected if several else (expected,), found if several else (found,), strict=True
    ):
        assert (b.shape, b.dtype) == (a.shape, a.dtype)
        np.testing.assert_array_equal(b.cpu().numpy(), a.numpy())


def values(device: str, layout: str = "dense") -> Any:
    return LAYOUTS[layout](rl.tensor(VALUES, device=device))


def places(device: str, n: int = 5) -> Any:
    return rl.tensor(PLACES % n, device=device)


def of(device: str, *numbers: Any) -> Any:
    return rl.tensor(list(numbers), device=device)


READS: dict[str, Callable[[Any, str], Any]] = {
    "gather": lambda x, d: rl.gather(x, 1, places(d, 3)[: x.shape[0], :4, : x.shape[2]]),
    "index_select": lambda x, d: x.index_select(2, of(d, 1, 3, 3, 0)),
    "take": lambda x, d: rl.take(x, of(d, [3, -1], [0, 17])),
    "one index": lambda x, d: x[:, of(d, [1, -2], [0, 0])],
    "two beside": lambda x, d: x[:, of(d, 1, -2, 0), of(d, 3, 0, -1)],
    "two apart": lambda x, d: x[of(d, 1, -2, 0), :, of(d, 3, 0, -1)],
    "mask": lambda x, d: x[x > 0],
    "nonzero": lambda x, d: (x > 3).nonzero(),
    "flip": lambda x, d: x.flip(0, 2),
    "roll": lambda x, d: x.roll((2, -3), (0, 1)),
    "cat": lambda x, d: rl.cat([x, x[:, :2] * 2, x[:, :0]], 1),
    "pad": lambda x, d: rl.nn.functional.pad(x, (1, 2, -1, 3), value=2.5),
    "tril": lambda x, d: x.tril(-1),
    "triu": lambda x, d: x.triu(1),
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_reads(name: str, layout: str) -> None:
    same(lambda device: READS[name](values(device, layout), device))


def many(device: str, *shape: int) -> Any:
    return rl.arange(int(np.prod(shape)), dtype=rl.float32, device=device).reshape(shape)


WRITES: dict[str, Callable[[Any, str], Any]] = {
    "scatter": lambda x, d: x.scatter_(1, places(d, 3)[: x.shape[0], :4, : x.shape[2]], x * 2),
    "index_add": lambda x, d: x.index_add_(0, of(d, 2, 0, 2), many(d, 3, *x.shape[1:]), alpha=2),
    "index_copy": lambda x, d: x.index_copy_(2, of(d, 1, 0, 1), many(d, *x.shape[:2], 3)),
    "index_fill": lambda x, d: x.index_fill_(1, of(d, -1, 0), 9.0),
    "put": lambda x, d: x.put_(of(d, 3, -1, 3), of(d, 1.0, 2.0, 3.0), accumulate=True),
    "masked_scatter": lambda x, d: x.masked_scatter_(x > 0, many(d, *x.shape)),
    "masked_fill": lambda x, d: x.masked_fill_(x > 0, 7.0),
    "put one": lambda x, d: x.index_put_((of(d, 1, 0, 1),), of(d, 5.0)),
    "put two": lambda x, d: x.index_put_(
        (of(d, [1], [0]), of(d, 2, 2, -1)), many(d, 2, 3, x.shape[2]), accumulate=True
    ),
}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_writes_in_place_and_beside(name: str, layout: str) -> None:
    def run(device: str) -> Any:
        whole = rl.tensor(VALUES, device=device)
        x = LAYOUTS[layout](whole)
        WRITES[name](x, device)
        return whole, x

    same(run)


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("dtype", ["float32", "int64", "bfloat16"])
def test_folds_of_values_with_one_place(reduce: str, dtype: str) -> None:
    def run(device: str, include: bool) -> Any:
        x = (values(device) % 4).to(getattr(rl, dtype))
        return x.scatter_reduce(1, places(device), x + 1, reduce, include_self=include).float()

    for include in (True, False):
        same(lambda device, include=include: run(device, include))


@pytest.mark.parametrize("reduce", ["sum", "amax"])
@pytest.mark.parametrize("shape", [(300,), (17, 33), (5, 9, 20)])
def test_folds_along_every_dimension(shape: tuple[int, ...], reduce: str) -> None:
    rng = np.random.default_rng(0)
    for dim in range(len(shape)):
        index = rng.integers(0, shape[dim], shape)
        x, src = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
        slices = rng.integers(0, shape[dim], 2 * shape[dim])
        tall = rng.standard_normal(
            (*shape[:dim], slices.size, *shape[dim + 1 :])
        ).astype(np.float32)  # fmt: skip
        results = []
        for device in ("cpu", "opencl"):
            a, i, b, j, c = (rl.from_numpy(v).to(device) for v in (x, index, src, slices, tall))
            results.append([
                a.scatter_reduce(dim, i, b, reduce).cpu().numpy(),
                a.index_add(dim, j, c).cpu().numpy(),
            ])  # fmt: skip
        for ours, theirs in zip(*results, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_the_last_of_many_values_is_kept() -> None:
    # More than are compared with each other, so that they are marked in a table.
    index = np.random.default_rng(2).integers(0, 50, 1000)

    def run(device: str) -> Any:
        x = rl.zeros(50, device=device)
        return x.index_copy(0, rl.tensor(index, device=device), many(device, 1000))

    same(run)


def test_gradients_of_an_embedding_are_the_same_each_time() -> None:
    def run(device: str) -> Any:
        weight = values(device)[:, 0].clone().requires_grad_()
        out = rl.nn.functional.embedding(places(device)[0], weight, padding_idx=1)
        (out * out).sum().backward()
        return weight.grad

    same(run)
    first = run("opencl").tolist()
    assert all(run("opencl").tolist() == first for _ in range(3))


BAD: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "index": (lambda x: x[of("opencl", 9)], IndexError, "index 9 is out of bounds"),
    "take": (lambda x: x.take(of("opencl", -211)), IndexError, "index -211 is out of bounds"),
    "gather": (
        lambda x: x.gather(0, places("opencl") * 0 + 17),
        RuntimeError,
        "index 17 is out of bounds for dimension 0 with size 5",
    ),
    "index_fill_": (lambda x: x.index_fill_(0, of("opencl", 1, 77), 7.0), IndexError, "index 77"),
    "scatter_": (
        lambda x: x.scatter_(0, places("opencl") + 1, x * 0),
        RuntimeError,
        "index 5 is out of bounds",
    ),
    "index_add_": (
        lambda x: x.index_add_(1, of("opencl", 0, -1), x[:, :2] * 1),
        IndexError,
        "index -1 is out of bounds for dimension 1 with size 6",
    ),
    "masked_scatter_": (
        lambda x: x.masked_scatter_(x < 99, of("opencl", 1.0)),
        RuntimeError,
        "source has 1 elements",
    ),
    "put_": (
        lambda x: x.put_(of("opencl", 500), of("opencl", 1.0), accumulate=True),
        IndexError,
        "index 500",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_index_is_named_and_nothing_changes(name: str) -> None:
    call, kind, message = BAD[name]
    x = values("opencl")
    with pytest.raises(kind, match=message):
        call(x).cpu()
    np.testing.assert_array_equal(x.cpu().numpy(), VALUES)


def test_a_fault_shows_when_a_number_is_read() -> None:
    bad = values("opencl")[of("opencl", 8) + 1]
    with pytest.raises(IndexError, match="index 9"):
        rl.tensor(3.0, device="opencl").item()
    del bad


def test_in_place_operators_need_no_further_memory() -> None:
    x = values("opencl")
    x += 1
    device = x._k.runtime
    allocate, asked = device.memory.allocate, []
    device.memory.allocate = lambda nbytes: asked.append(nbytes) or allocate(nbytes)
    try:
        x += 1
        x.mul_(2).sqrt_()
        with rl.no_grad():
            x.transpose(0, 1).add_(3.0)
    finally:
        device.memory.allocate = allocate
    assert not asked


def test_rows_are_read_whole() -> None:
    index = np.random.default_rng(0).integers(0, 20, (4, 3))
    table = np.random.default_rng(1).standard_normal((20, 32)).astype(np.float32)

    def run(device: str) -> Any:
        x, j = rl.from_numpy(table).to(device), rl.from_numpy(index).to(device)
        slabs = x.reshape(20, 2, 16).permute(1, 0, 2)
        return x[j], x[:, 3:20][j - 20], x.to(rl.bfloat16)[j].float(), slabs.index_select(1, j[0])

    same(run)
    with pytest.raises(IndexError, match="23"):
        rl.from_numpy(table).to("opencl")[rl.tensor([1, 23], device="opencl")].cpu()
