"""Native kernels that read and write by index, against the NumPy tier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.backends.test_native_tier import NUMPY, native

import rushlight

__all__ = ["native"]  # fixtures

NUMBERS = (rushlight.float32, rushlight.float64, rushlight.int64, rushlight.int32)
COPIED = (*NUMBERS, rushlight.bool, rushlight.int8, rushlight.float16, rushlight.bfloat16,
          rushlight.complex128)  # fmt: skip
EXAMPLES = settings(max_examples=30, deadline=None)
SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)
SEEDS = st.integers(0, 2**32 - 1)


def kernel_of(backend: Any, name: str, dtype: Any) -> Any:
    return backend.find_kernel(name, dtype)


def real(rng: Any, shape: Any, dtype: Any) -> Any:
    """Small integers, whose sums are exact in any order."""
    return rng.integers(-9, 9, shape).astype(dtype.numpy)


def laid_out(rng: Any, x: np.ndarray) -> Any:
    """The array as it is, transposed in memory, with gaps, or backwards."""
    way = rng.integers(4)
    if way == 1:
        return np.ascontiguousarray(x.T).T
    if way == 2:
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if way == 3:
        return np.ascontiguousarray(x[::-1])[::-1]
    return x


def agree(native: Any, name: str, dtype: Any, *arrays: Any, **attributes: Any) -> None:
    """Both tiers give the same numbers in the same layout."""
    wanted = kernel_of(NUMPY, name, dtype)(*arrays, **attributes)
    got = kernel_of(native, name, dtype)(*arrays, **attributes)
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    np.testing.assert_array_equal(got, wanted)
    assert not any(np.shares_memory(got, x) for x in arrays)


def bases(rng: Any, shape: Any, dtype: Any) -> list[np.ndarray]:
    """First operands of an addition: any values, and a number that was expanded."""
    return [
        laid_out(rng, real(rng, shape, dtype)),
        np.broadcast_to(real(rng, (), dtype), shape),
        np.broadcast_to(np.zeros((), dtype.numpy), shape),
    ]


@given(shape=SHAPES, dtype=st.sampled_from(COPIED), seed=SEEDS)
@EXAMPLES
def test_rows_are_read_alike(native: Any, shape: Any, dtype: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = laid_out(rng, real(rng, shape, dtype))
    first = int(rng.integers(len(shape)))
    last = int(rng.integers(first, len(shape)))
    size = tuple(rng.integers(0, 4, rng.integers(0, 3)))
    indices = [
        rng.integers(-n, n, size if d == first or rng.integers(2) else (1,) * len(size))
        for d, n in enumerate(shape)
        if first <= d <= last
    ]
    agree(native, "index", dtype, x, *indices, dims=tuple(range(first, last + 1)))
    n = shape[first]
    vector = laid_out(rng, rng.integers(0, n, rng.integers(1, 7)))
    agree(native, "index_select", dtype, x, vector, dim=first)
    agree(native, "take", dtype, x, rng.integers(-x.size, x.size, (3, 2)))


@given(shape=SHAPES, dtype=st.sampled_from(COPIED), seed=SEEDS)
@EXAMPLES
def test_elements_and_masks_are_read_alike(native: Any, shape: Any, dtype: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = laid_out(rng, real(rng, shape, dtype))
    dim = int(rng.integers(len(shape)))
    size = [int(rng.integers(0, n + 1)) for n in shape]
    size[dim] = int(rng.integers(0, 7))
    index = laid_out(rng, rng.integers(0, shape[dim], size))
    agree(native, "gather", dtype, x, index, dim=dim)
    mask = rng.integers(0, 2, shape).astype(bool)
    agree(native, "masked_select", dtype, x, mask)
    agree(native, "masked_select", dtype, x, laid_out(rng, mask))
    source = real(rng, int(mask.sum()) + int(rng.integers(3)), dtype)
    for base in bases(rng, shape, dtype):
        agree(native, "masked_scatter", dtype, base, mask, source)


@given(shape=SHAPES, dtype=st.sampled_from(COPIED), seed=SEEDS)
@EXAMPLES
def test_scatters_agree(native: Any, shape: Any, dtype: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dim = int(rng.integers(len(shape)))
    size = list(shape) if rng.integers(3) else [int(rng.integers(0, n + 1)) for n in shape]
    size[dim] = int(rng.integers(0, 7))
    index = laid_out(rng, rng.integers(0, shape[dim], size))
    src = laid_out(rng, real(rng, size, dtype))
    reductions = ("sum", "prod") if dtype in NUMBERS else ()
    for base in bases(rng, shape, dtype):
        agree(native, "scatter", dtype, base, index, src, dim=dim)
        for reduce in reductions:
            for include_self in (True, False):
                settings = {"dim": dim, "reduce": reduce, "include_self": include_self}
                agree(native, "scatter", dtype, base, index, src, **settings)


@given(
    shape=SHAPES, wide=st.sampled_from([1, 3, 40, 300]), dtype=st.sampled_from(NUMBERS), seed=SEEDS
)
@EXAMPLES
def test_additions_agree(native: Any, shape: Any, wide: int, dtype: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (*shape[:2], wide)
    dim = int(rng.integers(len(shape)))
    count = int(rng.integers(0, 90))
    index = laid_out(rng, rng.integers(0, shape[dim], count))
    size = (*shape[:dim], count, *shape[dim + 1 :])
    src = laid_out(rng, real(rng, size, dtype))
    for base in bases(rng, shape, dtype):
        agree(native, "index_add", dtype, base, index, src, dim=dim, alpha=1)
        agree(native, "index_add", dtype, base, index, src, dim=dim, alpha=3)
        signed = index - shape[dim] * rng.integers(0, 2, count)
        settings = {"dims": (dim,), "accumulate": True}
        agree(native, "index_put", dtype, base, src, signed, **settings)
        places = rng.integers(-base.size, base.size, count)
        agree(native, "put", dtype, base, places, real(rng, count, dtype), accumulate=True)
    two = (rng.integers(-shape[0], shape[0], (2, 1)), rng.integers(0, shape[1], (2, 3)))
    base = real(rng, shape, dtype)
    values = real(rng, base[two].shape, dtype)
    agree(native, "index_put", dtype, base, values, *two, dims=(0, 1), accumulate=True)


@given(
    rows=st.integers(1, 9), wide=st.sampled_from([1, 7, 64]), count=st.integers(0, 99), seed=SEEDS
)
@EXAMPLES
def test_embeddings_agree(native: Any, rows: int, wide: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    index = rng.integers(0, rows, (count, 2)).astype(rng.choice(["int32", "int64"]))
    for dtype in (rushlight.float32, rushlight.float64, rushlight.bfloat16):
        table = real(rng, (rows, wide), dtype)
        padding = None if rng.integers(2) else int(rng.integers(rows))
        settings = {"padding_idx": padding, "scale_grad_by_freq": False}
        agree(native, "embedding", dtype, table, index, **settings)
        g = rng.integers(-1, 2, (count, 2, wide)).astype(dtype.numpy)
        agree(native, "embedding_backward", dtype, g, index, num_embeddings=rows, **settings)


# Many elements: several tasks


def large(rng: Any) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """Calls that are cut into tasks, with values whose sums depend on their order."""
    x = rng.standard_normal((300, 200)).astype(np.float32)
    rows = rng.integers(0, 300, 1500)
    g = rng.standard_normal((1500, 200)).astype(np.float32)
    index = rng.integers(0, 200, (300, 200))
    zero = np.broadcast_to(np.float32(0), x.shape)
    mask = x > 0
    settings = {"padding_idx": 3, "scale_grad_by_freq": False}
    return [
        ("index", (x, rows), {"dims": (0,)}),
        ("index", (x, index[0], index[1]), {"dims": (0, 1)}),
        ("take", (x, rng.integers(-60000, 60000, 90000)), {}),
        ("gather", (x, index), {"dim": 1}),
        ("gather", (x.T, index), {"dim": 0}),
        ("masked_select", (x, mask), {}),
        ("masked_scatter", (zero, mask, x[mask]), {}),
        ("index_add", (zero, rows, g), {"dim": 0, "alpha": 1}),
        ("index_add", (x, index[0], g[:300, :].copy()), {"dim": 1, "alpha": 1}),
        ("index_put", (x, g, rows), {"dims": (0,), "accumulate": True}),
        ("put", (x, rng.integers(0, 900, 90000), g.reshape(-1)[:90000]), {"accumulate": True}),
        ("embedding_backward", (g, rows), {"num_embeddings": 310, **settings}),
        ("scatter", (x, index, g[:300]), {"dim": 1, "reduce": "sum"}),
        ("scatter", (zero, index, g[:300]), {"dim": 0, "reduce": "sum"}),
        ("scatter", (x, index, g[:300]), {"dim": 1, "reduce": None}),
    ]


def test_large_calls_are_right_with_any_number_of_threads(native: Any) -> None:
    library = native.runtime(0).tier.library
    before = library.get_threads()
    try:
        for name, arrays, attributes in large(np.random.default_rng(5)):
            results = []
            for threads in (1, 2, 5):
                library.set_threads(threads)
                kernel = kernel_of(native, name, rushlight.float32)
                results.append(kernel(*arrays, **attributes))
            assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes(), name
            wanted = kernel_of(NUMPY, name, rushlight.float32)(*arrays, **attributes)
            np.testing.assert_allclose(results[0], wanted, rtol=1e-5, atol=1e-4, err_msg=name)
    finally:
        library.set_threads(before)


# Writing in place, and indices out of range


def writes(rng: Any) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    x = rng.standard_normal((9, 80)).astype(np.float32)
    index = rng.integers(0, 9, 40)
    src = rng.standard_normal((40, 80)).astype(np.float32)
    return [
        ("index_add", (x, index, src), {"dim": 0, "alpha": 1}),
        ("index_put", (x, src, index), {"dims": (0,), "accumulate": True}),
        ("put", (x, index, src[:, 0].copy()), {"accumulate": True}),
        ("scatter", (x, src[:9].argsort(1) % 80, src[:9]), {"dim": 1, "reduce": "sum"}),
        ("scatter", (x, index.reshape(40, 1).repeat(80, 1), src), {"dim": 0}),
        ("masked_scatter", (x, x > 0, src), {}),
    ]


@pytest.mark.parametrize("number", range(6))
def test_kernels_write_into_out(native: Any, number: int) -> None:
    name, arrays, attributes = writes(np.random.default_rng(7))[number]
    kernel = kernel_of(native, name, rushlight.float32)
    wanted = kernel(*arrays, **attributes)
    for x in (arrays[0].copy(), np.ascontiguousarray(arrays[0].T).T):
        got = kernel(x, *arrays[1:], out=x, **attributes)
        assert got is x
        np.testing.assert_allclose(x, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("bad", [80, -81])
def test_an_index_out_of_range_is_reported_alike_and_nothing_is_written(
    native: Any, number: int, bad: int
) -> None:
    name, arrays, attributes = writes(np.random.default_rng(7))[number]
    place = next(i for i, a in enumerate(arrays) if a.dtype == np.int64)
    index = arrays[place].copy()
    index.reshape(-1)[-1] = bad * 20 if name == "put" else bad
    told = []
    for backend in (NUMPY, native):
        operands = [a.copy() for a in arrays]
        operands[place] = index
        kernel = kernel_of(backend, name, rushlight.float32)
        with pytest.raises((IndexError, RuntimeError), match="is out of bounds for") as raised:
            kernel(*operands, out=operands[0], **attributes)
        np.testing.assert_array_equal(operands[0], arrays[0])
        told.append((raised.type, str(raised.value)))
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("name", "index", "attributes", "kind"),
    [
        ("index", [0, 3], {"dims": (0,)}, IndexError),
        ("index_select", [-1], {"dim": 0}, IndexError),
        ("take", [-7], {}, IndexError),
        ("gather", [[0, 1], [2, 3]], {"dim": 0}, RuntimeError),
        ("gather", [[0, 1], [-1, 1]], {"dim": 1}, RuntimeError),
        ("embedding", [3], {"padding_idx": None, "scale_grad_by_freq": False}, IndexError),
    ],
)
def test_reading_out_of_range_is_reported_alike(
    native: Any, name: str, index: Any, attributes: Any, kind: Any
) -> None:
    x, places = np.ones((3, 2), np.float32), np.asarray(index)
    told = []
    for backend in (NUMPY, native):
        with pytest.raises(kind) as raised:
            kernel_of(backend, name, rushlight.float32)(x, places, **attributes)
        told.append((raised.type, str(raised.value)))
    assert told[0] == told[1]


def test_gradients_of_reading_hold_no_zeros_that_are_written_first() -> None:
    """The gradient of rows that were read is made by one call, of the shape of the table."""
    x = rushlight.randn(50, 70, requires_grad=True)
    index = rushlight.tensor([3, 3, -1])
    x[index].sum().backward()
    assert x.grad is not None
    assert x.grad[3].tolist() == [2.0] * 70
    assert x.grad[49].tolist() == [1.0] * 70
    assert x.grad.sum().item() == 210.0
    assert x.grad.is_contiguous()
    x.grad.add_(1.0)  # it owns all of its memory
    assert x.grad[0].tolist() == [1.0] * 70
