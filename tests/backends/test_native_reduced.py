"""float16 and bfloat16 in the native kernels: computed in float32, rounded once."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import rushlight
from rushlight_cpu import _native
from rushlight_cpu.device import make_backend

NUMPY = make_backend("cpu_plain", _native.Tier(None))
HOST = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
# Two units in the last place: the tiers may round chains at different places.
CLOSE = {"float16": 2**-9, "bfloat16": 2**-6}
SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 6e-8, -6e-8, 1e-40, 60000.0, 0.1, -11.5]
UNARY = (
    """neg abs square sqrt reciprocal rsqrt relu exp expm1 log tanh sigmoid silu isnan""".split()
)
BINARY = "add sub mul div maximum minimum eq ne lt le gt ge".split()
names = pytest.mark.parametrize("name", list(HOST))


@pytest.fixture(scope="module", params=_native.VARIANTS)
def native(request: pytest.FixtureRequest) -> Any:
    """The backend of each variant that is built and that this CPU runs."""
    try:
        library = _native.load(request.param)
    except ImportError as raised:
        pytest.skip(str(raised))
    return make_backend("cpu_native", _native.Tier(library))


def kernel(native: Any, name: str, kernel_class: str = "reduced") -> Any:
    """The native kernel, which here may not hand anything on."""
    library = native.runtime(0).tier.library
    for index, (found, classes) in enumerate(library.kernels()):
        if found == name and kernel_class in classes.split():
            return library.bind(index, lambda *_, **__: "declined")
    raise LookupError(name)


def numbers(name: str, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32).astype(HOST[name])


def special(name: str) -> np.ndarray:
    with np.errstate(all="ignore"):
        many = np.random.default_rng(1).standard_normal(3000)
        return np.concatenate([SPECIAL, many, 20 * many]).astype(np.float32).astype(HOST[name])


def same(got: Any, wanted: Any) -> None:
    assert not isinstance(got, str), got
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(got.astype(np.float32), wanted.astype(np.float32))


def close(name: str, got: Any, wanted: Any, at_most: float = 1.0) -> None:
    assert not isinstance(got, str), got
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    with np.errstate(invalid="ignore"):
        a, b = got.astype(np.float32), wanted.astype(np.float32)
    tol = CLOSE[name] * at_most
    np.testing.assert_allclose(a, b, rtol=tol, atol=1e-6 * at_most)


@names
@pytest.mark.parametrize("function", UNARY)
def test_unary_functions(native: Any, name: str, function: str) -> None:
    x = special(name)
    with np.errstate(all="ignore"):
        wanted = NUMPY.find_kernel(function, getattr(rushlight, name))(x)
    close(name, kernel(native, function)(x), wanted)
    same(kernel(native, function)(x[::3]), kernel(native, function)(x)[::3])


@names
@pytest.mark.parametrize("function", BINARY)
def test_binary_functions_are_rounded_once(native: Any, name: str, function: str) -> None:
    x, y = (a.reshape(-1).astype(HOST[name]) for a in np.meshgrid(SPECIAL, SPECIAL))
    x, y = (
        np.concatenate([x, numbers(name, 3001)]),
        np.concatenate([y, numbers(name, 3001, seed=1)]),
    )
    with np.errstate(all="ignore"):
        wide = x.astype(np.float32), y.astype(np.float32)
        wanted = NUMPY.find_kernel(function, rushlight.float32)(*wide)
        wanted = wanted if wanted.dtype == bool else wanted.astype(HOST[name])
    same(kernel(native, function)(x, y), wanted)


@names
@pytest.mark.parametrize("function", ["add", "lt"])
def test_operands_of_every_layout(native: Any, name: str, function: str) -> None:
    call, plain = kernel(native, function), NUMPY.find_kernel(function, getattr(rushlight, name))
    x, y = numbers(name, 40, 60), numbers(name, 60, 40, seed=1)
    row, column = numbers(name, 60, seed=2), numbers(name, 40, 1, seed=3)
    for a, b in ((x, y.T), (x.T, y), (x, row), (column, row), (x, column), (x[:, ::2], row[30:])):
        same(call(a, b), plain(a, b))
    same(call(x, np.asarray(row[0])), plain(x, np.asarray(row[0])))
    same(call(np.asarray(row[0]), np.asarray(row[1])), np.asarray(plain(row[0], row[1])))
    same(call(x[:0], row), plain(x[:0], row))


@names
def test_results_in_place(native: Any, name: str) -> None:
    x, y = numbers(name, 5000), numbers(name, 5000, seed=1)
    wanted = x + y
    assert kernel(native, "add")(x, y, out=x) is x
    same(x, wanted)
    wide = np.zeros((5000, 2), HOST[name])
    kernel(native, "mul")(x, y, out=wide[:, 1])
    same(wide[:, 1], x * y)
    assert not wide[:, 0].astype(np.float32).any()


@names
def test_functions_of_three_operands_and_with_attributes(native: Any, name: str) -> None:
    x, y, z = (numbers(name, 33, 70, seed=seed) for seed in range(3))
    mask = y.astype(np.float32) > 0
    dtype = getattr(rushlight, name)
    for function, arrays, attributes in (
        ("addcmul", (x, y, z), {"value": 0.5}),
        ("addcdiv", (x, y, z), {"value": 0.5}),
        ("lerp", (x, y, z), {}),
        ("clamp", (x, y - 1, None), {}),
        ("leaky_relu", (x,), {"negative_slope": 0.1}),
        ("gelu", (x,), {"approximate": "none"}),
        ("gelu", (x,), {"approximate": "tanh"}),
        ("gelu_backward", (x, y), {"approximate": "none"}),
        ("silu_backward", (x, y), {}),
        ("relu_backward", (x, y), {}),
        ("pow", (x, np.asarray(3, HOST[name])), {}),
    ):
        wanted = NUMPY.find_kernel(function, dtype)(*arrays, **attributes)
        # Where two terms nearly cancel, an early rounding of one of them is what remains.
        got = kernel(native, function)(*arrays, **attributes)
        np.testing.assert_allclose(
            got.astype(np.float32), wanted.astype(np.float32), rtol=CLOSE[name], atol=CLOSE[name]
        )
    same(kernel(native, "where", "bool")(mask, x, y), np.where(mask, x, y))
    zero = np.asarray(0, HOST[name])
    same(kernel(native, "masked_fill")(x, mask, zero), np.where(mask, zero, x))


@names
def test_sums_accumulate_in_float32(native: Any, name: str) -> None:
    x = np.full((2, 5000), 1, HOST[name])
    got = kernel(native, "sum")(x, dim=(1,), keepdim=False)
    assert got.dtype == HOST[name]
    assert got.astype(np.float32).tolist() == [np.float32(5000).astype(HOST[name])] * 2


@names
def test_kernels_that_pass_through_float32(native: Any, name: str) -> None:
    dtype = getattr(rushlight, name)
    x, y = numbers(name, 6, 40, 64), numbers(name, 6, 64, 40, seed=1)
    weight, bias = numbers(name, 64, seed=2), numbers(name, 64, seed=3)
    for function, arrays, attributes in (
        ("softmax", (x,), {"dim": 2}),
        ("log_softmax", (x,), {"dim": 1}),
        ("softmax_backward", (x, x), {"dim": 2}),
        ("matmul", (x, y), {}),
        ("linear", (x, x[0], bias[:40]), {}),
        ("native_layer_norm", (x, weight, bias), {"normalized_ndim": 1, "eps": 1e-5}),
        ("mean", (x,), {"dim": (1, 2), "keepdim": True}),
    ):
        wanted = NUMPY.find_kernel(function, dtype)(*arrays, **attributes)
        got = kernel(native, function)(*arrays, **attributes)
        assert not isinstance(got, str), function
        pairs = zip(got, wanted, strict=True) if isinstance(got, tuple) else [(got, wanted)]
        for a, b in pairs:
            assert a.dtype == b.dtype, function
            np.testing.assert_allclose(
                a.astype(np.float32), b.astype(np.float32), rtol=CLOSE[name], atol=CLOSE[name]
            )


SUMS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((3, 5), (1,)),
    ((4, 1, 2100), (2,)),
    ((2, 3, 700), (1, 2)),
    ((150_001,), (0,)),
    ((3, 70_000), (1,)),
    ((6, 1, 5), (0, 1, 2)),
    ((7, 9), (0,)),
]


@names
@pytest.mark.parametrize("function", ["sum", "mean"])
@pytest.mark.parametrize(("shape", "dim"), SUMS)
def test_sums_over_the_last_axes_and_others(
    native: Any, name: str, function: str, shape: tuple[int, ...], dim: tuple[int, ...]
) -> None:
    x = numbers(name, *shape)
    for keepdim in (False, True):
        got = kernel(native, function)(x, dim=dim, keepdim=keepdim)
        exact = x.astype(np.float64)
        wanted = getattr(np, function)(exact, axis=dim, keepdims=keepdim)
        assert got.dtype == HOST[name]
        assert got.shape == wanted.shape
        # Sums in float32 may fall to the other side of a tie.
        np.testing.assert_allclose(got.astype(np.float32), wanted, rtol=CLOSE[name], atol=1e-4)
    x[(0,) * x.ndim] = np.nan
    got = kernel(native, function)(x, dim=dim, keepdim=False).astype(np.float32)
    assert np.isnan(got.reshape(-1)[0])
    assert not np.isnan(got.reshape(-1)[1:]).any()


@names
@pytest.mark.parametrize("shape", [(2, 3), (1, 1), (300, 17), (5, 49), (3, 4096), (2, 5000)])
def test_softmax_of_the_last_axis(native: Any, name: str, shape: tuple[int, ...]) -> None:
    x, g = numbers(name, *shape), numbers(name, *shape, seed=1)
    x[0, 0] = -np.inf
    for function in ("softmax", "log_softmax"):
        exact = NUMPY.find_kernel(function, rushlight.float64)
        out = kernel(native, function)(x, dim=1)
        close(name, out, exact(x.astype(np.float64), dim=1).astype(HOST[name]))
        function = f"{function}_backward"
        exact = NUMPY.find_kernel(function, rushlight.float64)
        wanted = exact(g.astype(np.float64), out.astype(np.float64), dim=1)
        got = kernel(native, function)(g, out, dim=1)
        assert got.dtype == HOST[name]
        np.testing.assert_allclose(
            got.astype(np.float32), wanted, rtol=CLOSE[name], atol=CLOSE[name]
        )
    x[-1, -1] = np.nan
    assert np.isnan(kernel(native, "softmax")(x, dim=1)[-1].astype(np.float32)).all()


@names
def test_running_sums_are_rounded_once(native: Any, name: str) -> None:
    x = numbers(name, 40, 300)
    for dim in (0, 1):
        got = kernel(native, "cumsum")(x, dim=dim)
        wanted = np.cumsum(x.astype(np.float32), axis=dim, dtype=np.float32)
        close(name, got, wanted.astype(HOST[name]), at_most=4)


@names
def test_results_do_not_depend_on_the_number_of_threads(native: Any, name: str) -> None:
    library = native.runtime(0).tier.library
    before, x = library.get_threads(), numbers(name, 300, 1001)
    try:
        results = []
        for threads in (1, 3):
            library.set_threads(threads)
            made = [kernel(native, "exp")(x.T), kernel(native, "softmax")(x, dim=1)]
            made += [kernel(native, "sum")(x, dim=dim, keepdim=False) for dim in ((1,), (0, 1))]
            results.append([result.tobytes() for result in made])
    finally:
        library.set_threads(before)
    assert results[0] == results[1]


def test_what_is_not_covered_goes_to_numpy(native: Any) -> None:
    x = numbers("bfloat16", 4)
    assert kernel(native, "add")(x, numbers("float16", 4)) == "declined"
    assert kernel(native, "pow")(x, np.asarray(1.5, HOST["bfloat16"])) == "declined"
    assert kernel(native, "softmax")(x, dim=0, unknown=1) == "declined"
