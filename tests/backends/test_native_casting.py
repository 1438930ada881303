"""The native copies and conversions, against NumPy's."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight
from rushlight_cpu import _native
from rushlight_cpu.device import make_backend

NUMPY = make_backend("cpu_plain", _native.Tier(None))
NAMES = "float32 float64 int64 int32 uint8 bool float16 bfloat16".split()
DTYPES = {name: getattr(rushlight, name) for name in NAMES}
HOST = {name: np.dtype(getattr(ml_dtypes, name, None) or name) for name in NAMES}
SPECIAL = [0.0, -0.0, 1.0, -1.5, 2.5, 0.1, 300.0, -3.0, 65519.0, 65520.0, 1e5, 6e-8, 2e-8, 1e-40]
SPECIAL += [np.inf, -np.inf, np.nan, 3e38, -1e20, 2049.0, 2051.0, 1 + 2**-8, 1 + 3 * 2**-8]


@pytest.fixture(scope="module", params=_native.VARIANTS)
def native(request: pytest.FixtureRequest) -> Any:
    """The backend of each variant that is built and that this CPU runs."""
    try:
        library = _native.load(request.param)
    except ImportError as raised:
        pytest.skip(str(raised))
    return make_backend("cpu_native", _native.Tier(library))


def kernel(native: Any, name: str) -> Any:
    """The native kernel, which here may not hand anything on."""
    library = native.runtime(0).tier.library
    index = [row[0] for row in library.kernels()].index(name)
    return library.bind(index, lambda *_, **__: "declined")


def same(got: Any, wanted: Any) -> None:
    assert not isinstance(got, str), got
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    assert got.flags.c_contiguous
    if got.dtype.kind in "fV":
        with np.errstate(invalid="ignore"):
            a, b = got.astype(np.float64), wanted.astype(np.float64)
        np.testing.assert_array_equal(a, b)
        there = ~np.isnan(b)
        np.testing.assert_array_equal(np.signbit(a)[there], np.signbit(b)[there])
    else:
        np.testing.assert_array_equal(got, wanted)


def values(name: str, size: int) -> np.ndarray:
    """Numbers of all kinds of a dtype."""
    rng = np.random.default_rng(3)
    with np.errstate(all="ignore"):
        x = np.concatenate([SPECIAL, rng.standard_normal(size) * 10.0 ** rng.integers(-9, 9, size)])
        if name == "bool":
            return x > 0
        if name.startswith(("int", "uint")):
            return rng.integers(0, 2**63, x.size).astype(HOST[name]) - HOST[name].type(0)
        return x.astype(np.float32 if "16" in name else HOST[name]).astype(HOST[name])


@pytest.mark.parametrize("to", NAMES)
@pytest.mark.parametrize("name", NAMES)
def test_conversions_are_those_of_the_numpy_tier(native: Any, name: str, to: str) -> None:
    if name == to:
        return
    x = values(name, 3000)
    with np.errstate(all="ignore"):
        wanted = NUMPY.find_kernel("cast", DTYPES[name])(x, dtype=DTYPES[to])
    same(kernel(native, "cast")(x, dtype=DTYPES[to]), wanted)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_every_16_bit_number_comes_back(native: Any, name: str) -> None:
    x = np.arange(2**16, dtype=np.uint16).view(HOST[name])
    wide = kernel(native, "cast")(x, dtype=rushlight.float32)
    same(wide, x.astype(np.float32))
    same(kernel(native, "cast")(wide, dtype=DTYPES[name]), x)
    # ... and the numbers halfway between two, and their neighbours.
    bits = np.sort(wide[np.isfinite(wide)]).astype(np.float64)
    half = ((bits[1:] + bits[:-1]) / 2).astype(np.float32)
    for y in (half, np.nextafter(half, np.float32(np.inf)), np.nextafter(half, np.float32(0))):
        with np.errstate(all="ignore"):
            same(kernel(native, "cast")(y, dtype=DTYPES[name]), y.astype(HOST[name]))


def test_float64_goes_to_float16_by_way_of_float32_as_in_torch(native: Any) -> None:
    x = np.array([1 + 2**-11 + 2**-40])
    for backend in (native, NUMPY):
        cast = backend.find_kernel("cast", rushlight.float64)
        assert cast(x, dtype=rushlight.float16).tolist() == [1.0]


@st.composite
def arrays(draw: st.DrawFn, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of a shape with strides of any kind."""
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from([1, 1, 1, 2, -1])) for _ in shape]
    sizes = [shape[axis] * abs(steps[axis]) for axis in order]
    x = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 255, sizes).astype(dtype)
    x = x.transpose(np.argsort(order).astype(int)) if shape else x
    x = np.asarray(x[tuple(slice(None, None, step) for step in steps)])
    if shape and draw(st.booleans()):
        x = np.broadcast_to(x[..., :1], x.shape)
    return x


SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 5, 16, 17, 40]), max_size=4).map(tuple)
KINDS = st.sampled_from([np.float32, np.float64, np.uint8, np.float16, np.complex128, np.int32])


@given(st.data(), SHAPES.filter(lambda s: np.prod(s) < 40000), KINDS)
@settings(max_examples=150)
def test_copies_of_every_layout(
    native: Any, data: st.DataObject, shape: tuple[int, ...], kind: Any
) -> None:
    x = data.draw(arrays(shape, kind))
    got = kernel(native, "clone")(x)
    same(got, np.array(x, order="C"))
    assert not np.shares_memory(got, x)


@given(st.data(), SHAPES.filter(lambda s: len(s) > 0 and np.prod(s) < 10000), KINDS)
@settings(max_examples=100)
def test_joined_arrays_of_every_layout(
    native: Any, data: st.DataObject, shape: tuple[int, ...], kind: Any
) -> None:
    dim = data.draw(st.integers(0, len(shape) - 1))
    parts = []
    for size in data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=4)):
        parts.append(data.draw(arrays((*shape[:dim], size, *shape[dim + 1 :]), kind)))
    same(kernel(native, "cat")(*parts, dim=dim), np.concatenate(parts, axis=dim))


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("shape", [(700, 301), (3, 64, 1000), (65, 3, 33, 17), (100001, 1)])
def test_large_copies_do_not_depend_on_the_number_of_threads(
    native: Any, shape: tuple[int, ...], kind: Any
) -> None:
    library = native.runtime(0).tier.library
    before = library.get_threads()
    x = np.random.default_rng(0).integers(0, 255, shape).astype(kind)
    try:
        for threads in (1, 3):
            library.set_threads(threads)
            for axes in (range(len(shape)), range(len(shape))[::-1], np.roll(range(len(shape)), 1)):
                same(kernel(native, "clone")(x.transpose(*axes)), x.transpose(*axes).copy())
            parts = [x, x[:0], x[..., :], x.T.copy().T]
            same(kernel(native, "cat")(*parts, dim=0), np.concatenate(parts))
            parts = [x, x[..., :0], x[..., :1]]
            same(kernel(native, "cat")(*parts, dim=-1), np.concatenate(parts, axis=-1))
            got = kernel(native, "cast")(x.T, dtype=rushlight.int32)
            same(got, x.T.astype(np.int32, order="C"))
    finally:
        library.set_threads(before)


def test_what_is_not_covered_goes_to_numpy(native: Any) -> None:
    x = np.ones((2, 3), np.float32)
    assert kernel(native, "cast")(x, dtype=rushlight.complex64) == "declined"
    assert kernel(native, "cast")(x.astype(np.int16), dtype=rushlight.float32) == "declined"
    assert kernel(native, "cat")(x, x.astype(np.float64), dim=0) == "declined"
    assert kernel(native, "cat")(x, x[:, :2], dim=0) == "declined"
    assert kernel(native, "cat")(dim=0) == "declined"
