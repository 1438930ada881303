"""The array family's kernels, called directly on NumPy arrays."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import rushlight
from rushlight import _dtypes
from rushlight.backend.arrays import array_kernels
from rushlight.backend.arrays._common import merge
from rushlight.backend.arrays.elementwise import ACCEPTS_OUT
from rushlight.backend.arrays.scattering import WRITES_IN_PLACE

# Kernels are silent under the core's own filter; here NumPy warns in this module's name too.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

KERNELS = array_kernels(np)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = [np.dtype(np.float64), np.dtype(np.float32), np.dtype(np.float16), BFLOAT16]
INTEGERS = [np.dtype(np.int64), np.dtype(np.int32), np.dtype(np.int8), np.dtype(np.uint8)]
COMPLEX = [np.dtype(np.complex128), np.dtype(np.complex64)]
TOLERANCE = {"float64": 1e-13, "float32": 1e-6, "float16": 1e-3, "bfloat16": 8e-3}

shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5)
quick = settings(max_examples=60, deadline=None)


def kernel(name: str, dtype: np.dtype[Any]) -> Any:
    """The kernel the core's table builder picks."""
    entry = KERNELS[name]
    if not isinstance(entry, dict):
        return entry
    found = entry.get(_dtypes.from_numpy_dtype(dtype).kernel_class)
    return found or entry["default"]


def run(name: str, *arrays: np.ndarray[Any, Any], **attributes: Any) -> Any:
    return kernel(name, arrays[0].dtype)(*arrays, **attributes)


def numbers(rng: np.random.Generator, shape: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    if dtype.kind == "b":
        return rng.random(shape) > 0.5
    if dtype.kind in "iu":
        return rng.integers(0 if dtype.kind == "u" else -9, 10, shape).astype(dtype)
    if dtype.kind == "c":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


@st.composite
def arrays(draw: st.DrawFn, dtypes: list[np.dtype[Any]], nan: bool = True) -> Any:
    """Arrays of any layout: dense, transposed, reversed, expanded; with NaN and infinities."""
    dtype = draw(st.sampled_from(dtypes))
    shape = draw(shapes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    layout = draw(st.sampled_from(["dense", "transposed", "reversed", "expanded", "strided"]))
    if layout == "transposed":
        x = numbers(rng, shape[::-1], dtype).T
    elif layout == "reversed":
        x = numbers(rng, shape, dtype)[::-1]
    elif layout == "expanded":
        x = np.broadcast_to(numbers(rng, (1, *shape[1:]), dtype), shape)
    elif layout == "strided":
        x = numbers(rng, (*shape[:-1], 2 * shape[-1]), dtype)[..., ::2]
    else:
        x = numbers(rng, shape, dtype)
    if nan and dtype.kind not in "biuc" and draw(st.booleans()):
        x = x.copy()
        x.reshape(-1)[:: draw(st.integers(1, 4))] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    return x


def wide(x: Any) -> Any:
    return np.asarray(x).astype(np.float64) if np.asarray(x).dtype == BFLOAT16 else np.asarray(x)


def close(got: Any, want: Any, dtype: np.dtype[Any], factor: float = 1) -> None:
    tolerance = factor * TOLERANCE.get(dtype.name, 1e-5 if dtype.kind == "c" else 0)
    np.testing.assert_allclose(wide(got), wide(want), rtol=tolerance, atol=tolerance)


# The table


def test_two_families_may_not_define_one_name() -> None:
    with pytest.raises(ValueError, match="'add'"):
        merge([{"add": np.add}, {"add": np.subtract}])


def test_entries_are_kernels_or_kernels_by_class() -> None:
    classes = {"default", "bool", "integer", "reduced", "floating", "complex"}
    for name, entry in KERNELS.items():
        if isinstance(entry, dict):
            assert set(entry) <= classes, name
            assert all(callable(one) for one in entry.values()), name
        else:
            assert callable(entry), name


# Elementwise kernels of more than two operands, or with attributes that have no default.
SIGNATURES: dict[str, tuple[int, dict[str, Any]]] = {
    "addcdiv": (3, {"value": 1}),
    "addcmul": (3, {"value": 1}),
    "clamp": (3, {}),
    "lerp_by": (2, {"weight": 1}),
}


@pytest.mark.parametrize("name", sorted(ACCEPTS_OUT))
def test_kernels_named_so_write_into_out(name: str) -> None:
    entry = KERNELS[name]
    for dtype in [*FLOATS, *INTEGERS, *COMPLEX, np.dtype(bool)]:
        kind = _dtypes.from_numpy_dtype(dtype).kernel_class
        if isinstance(entry, dict) and kind not in entry and "default" not in entry:
            continue
        if kind == "complex" and name in ("maximum", "minimum", "fmax", "fmin", "lt", "le"):
            continue
        x = np.ones((2, 3), dtype)
        one = kernel(name, dtype)
        count, attributes = SIGNATURES.get(name, (getattr(one, "nin", 1), {}))
        operands = [x] * count
        expected = one(*operands, **attributes)
        out = np.zeros_like(expected)
        assert one(*operands, **attributes, out=out) is out
        np.testing.assert_array_equal(wide(out), wide(expected))


# Elementwise


@quick
@given(arrays([*FLOATS, *COMPLEX]))
def test_unary_functions_keep_the_dtype_and_compute_wide(x: Any) -> None:
    for name, reference in {
        "exp": np.exp, "tanh": np.tanh, "sin": np.sin, "square": np.square,
        "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    }.items():  # fmt: skip
        got = run(name, x)
        assert got.dtype == x.dtype
        assert not np.shares_memory(got, x)
        want = reference(x.astype(np.complex128 if x.dtype.kind == "c" else np.float64))
        close(got, want.astype(x.dtype), x.dtype, 2)


@quick
@given(arrays(FLOATS))
def test_predicates_agree_with_the_values(x: Any) -> None:
    v = x.astype(np.float64)
    np.testing.assert_array_equal(run("isnan", x), np.isnan(v))
    np.testing.assert_array_equal(run("isposinf", x), v == np.inf)
    np.testing.assert_array_equal(run("isneginf", x), v == -np.inf)
    np.testing.assert_array_equal(run("signbit", x), np.signbit(x))
    np.testing.assert_array_equal(
        wide(run("sign", x)), np.where(np.isnan(v), 0, np.sign(np.nan_to_num(v)))
    )


@quick
@given(arrays(INTEGERS), st.integers(1, 9))
def test_integer_division_obeys_its_identities(x: Any, divisor: int) -> None:
    for signed in (divisor, -divisor) if x.dtype.kind == "i" else (divisor,):
        y = np.full((), signed, x.dtype)
        wide_x = x.astype(np.int64)
        np.testing.assert_array_equal(run("floor_divide", x, y), wide_x // signed)
        np.testing.assert_array_equal(run("remainder", x, y), wide_x % signed)
        quotient, rest = run("div_trunc", x, y), run("fmod", x, y)
        np.testing.assert_array_equal(quotient, np.trunc(wide_x / signed))
        np.testing.assert_array_equal(quotient.astype(np.int64) * signed + rest, wide_x)


@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod", "div_trunc"])
def test_integer_division_by_zero_raises(name: str) -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        run(name, np.array([1, 2]), np.array([1, 0]))


def test_integer_powers_wrap_and_reciprocals_truncate() -> None:
    base, exponent = np.array([1, -1, -1, 2, 0, 3]), np.array([-2, -3, -2, -1, -1, 41])
    wrapped = (3**41 + 2**63) % 2**64 - 2**63
    np.testing.assert_array_equal(run("pow", base, exponent), [1, -1, 1, 0, 0, wrapped])


def test_shifts_by_the_width_or_more() -> None:
    x, by = np.array([5, -5, 5, -5]), np.array([64, 70, 1, 1])
    np.testing.assert_array_equal(run("bitwise_left_shift", x, by), [0, 0, 10, -10])
    np.testing.assert_array_equal(run("bitwise_right_shift", x, by), [0, -1, 2, -3])


def test_zero_factor_wins_over_infinite_logarithm_but_not_over_nan() -> None:
    x, y = np.zeros(3), np.array([0.0, np.inf, np.nan])
    np.testing.assert_array_equal(run("xlogy", x, y), [0, 0, np.nan])
    np.testing.assert_array_equal(run("xlog1py", x, y - 1), [0, 0, np.nan])


def test_heaviside_of_nan_is_zero() -> None:
    got = run("heaviside", np.array([np.nan, 0, -1, 1]), np.array(5.0))
    np.testing.assert_array_equal(got, [0, 5, 0, 1])


@pytest.mark.parametrize("dtype", [*FLOATS, *COMPLEX])
def test_lerp_is_exact_at_both_ends(dtype: np.dtype[Any]) -> None:
    rng = np.random.default_rng(0)
    x, y = numbers(rng, 50, dtype), numbers(rng, 50, dtype)
    for weight, want in ((0, x), (1, y)):
        np.testing.assert_array_equal(run("lerp", x, y, np.full((), weight, dtype)), want)


@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_of_products_round_once(dtype: np.dtype[Any]) -> None:
    rng = np.random.default_rng(1)
    x, a, b = (numbers(rng, 100, dtype) for _ in range(3))
    exact = x.astype(float) + 0.5 * a.astype(float) * b.astype(float)
    got = run("addcmul", x, a, b, value=0.5)
    assert got.dtype == dtype
    close(got, exact.astype(dtype), dtype)


def test_round_halves_to_even_at_any_place() -> None:
    np.testing.assert_array_equal(run("round", np.array([0.5, 1.5, -2.5])), [0, 2, -2])
    np.testing.assert_array_equal(run("round", np.array([15.0, 25]), decimals=-1), [20, 20])
    np.testing.assert_array_equal(run("round", np.array([15, 25, -7]), decimals=-1), [20, 20, -10])


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_to_num_uses_the_limits_of_the_dtype(dtype: np.dtype[Any]) -> None:
    got = run("nan_to_num", np.array([np.nan, np.inf, -np.inf, 1], dtype))
    limits = ml_dtypes.finfo(dtype)
    assert got.dtype == dtype
    np.testing.assert_array_equal(wide(got), [0, float(limits.max), float(limits.min), 1])


# Special functions: known values, identities, Python's own math


def test_error_and_gamma_functions_agree_with_the_standard_library() -> None:
    x = np.concatenate([np.linspace(-6, 6, 401), [1e-20, 25.0, np.inf, -np.inf]])
    for name, scalar in (("erf", math.erf), ("erfc", math.erfc)):
        np.testing.assert_allclose(run(name, x), [scalar(v) for v in x], rtol=4e-15)
    y = np.concatenate(
        [np.linspace(0.01, 30, 301), [1e-10, 1e5, 1e300], -np.linspace(0.1, 9.73, 30)]
    )
    want = [math.lgamma(v) for v in y]
    np.testing.assert_allclose(run("lgamma", y), want, rtol=1e-12, atol=2e-15)


@pytest.mark.parametrize("dtype", FLOATS)
def test_erf_is_accurate_in_every_dtype(dtype: np.dtype[Any]) -> None:
    x = np.linspace(-5, 5, 999).astype(dtype)
    want = np.array([math.erf(float(v)) for v in x])
    got = run("erf", x)
    assert got.dtype == dtype
    np.testing.assert_allclose(wide(got), want, rtol=TOLERANCE[dtype.name])


# Computed with mpmath in 40 digits, and rounded to float64.
KNOWN = [
    ("digamma", 0.3, -3.502524222200133),
    ("digamma", -1.5, 0.7031566406452432),
    ("erfcx", 10.0, 0.05614099274382259),
    ("erfcx", -3.0, 16205.988853999586),
    ("erfinv", 0.9, 1.1630871536766743),
    ("erfinv", -1e-09, -8.86226925452758e-10),
    ("ndtri", 1e-300, -37.0470962993612),
    ("log_ndtr", -40.0, -804.6084420137538),
    ("i0", 3.0, 4.8807925858650245),
    ("i0e", 20.0, 0.08978031188482602),
    ("i1", -3.0, -3.9533702174026093),
    ("i1e", 50.0, 0.0559931238928954),
    ("bessel_j0", 2.5, -0.048383776468198),
    ("bessel_j0", 20.0, 0.16702466434058316),
    ("bessel_j1", -2.5, -0.49709410246427405),
    ("bessel_j1", 20.0, 0.06683312417585005),
]


@pytest.mark.parametrize(("name", "x", "want"), KNOWN)
def test_special_functions_at_known_points(name: str, x: float, want: float) -> None:
    np.testing.assert_allclose(run(name, np.array([x])), [want], rtol=3e-15)
    single = run(name, np.array([x], np.float32))
    assert single.dtype == np.float32


def test_inverse_error_function_inverts() -> None:
    x = np.linspace(-3, 3, 601)
    np.testing.assert_allclose(run("erfinv", run("erf", x)), x, rtol=1e-11, atol=1e-15)
    np.testing.assert_array_equal(
        run("erfinv", np.array([-1, 1, 2, np.nan])), [-np.inf, np.inf, np.nan, np.nan]
    )


def test_zeta_and_polygamma_at_known_points() -> None:
    s, q = np.array([2.0, 4.0, 2.0, 3.0, 1.0, 2.5]), np.array([1.0, 1.0, 0.5, -0.5, 1.0, -0.5])
    want = [math.pi**2 / 6, math.pi**4 / 90, math.pi**2 / 2, 0.41439832211716, np.inf, np.nan]
    np.testing.assert_allclose(run("zeta", s, q), want, rtol=1e-13)
    trigamma = run("polygamma", np.array([1.0, 0.5]), n=1)
    np.testing.assert_allclose(trigamma, [math.pi**2 / 6, math.pi**2 / 2], rtol=1e-14)


def test_incomplete_gamma_functions() -> None:
    x = np.linspace(0.01, 30, 200)
    np.testing.assert_allclose(run("igamma", np.ones_like(x), x), -np.expm1(-x), rtol=1e-13)
    # Q(n, x) is the probability of fewer than n events of a Poisson variable.
    for n in (3, 40, 75):
        events = np.arange(n)[:, None]
        logs = events * np.log(x) - x - np.array([[math.lgamma(k + 1)] for k in range(n)])
        np.testing.assert_allclose(
            run("igammac", np.full_like(x, n), x), np.exp(logs).sum(0), rtol=1e-11
        )
    a, x = np.array([0.0, 0, 1, 1, -1, np.inf, np.inf]), np.array([0.0, 1, 0, np.inf, 1, 1, np.inf])
    np.testing.assert_array_equal(run("igamma", a, x), [np.nan, 1, 0, 1, np.nan, 0, np.nan])


def test_long_arrays_go_through_in_blocks() -> None:
    x = np.linspace(-4, 4, 30000).reshape(3, -1).T
    np.testing.assert_array_equal(run("erfc", x)[:5], run("erfc", x[:5]))
    assert run("erfc", x).shape == x.shape


# Reductions and scans


@quick
@given(arrays([*FLOATS, *COMPLEX]), st.booleans(), st.data())
def test_sums_and_moments_over_any_dimensions(x: Any, keepdim: bool, data: st.DataObject) -> None:
    chosen = data.draw(st.sets(st.integers(0, x.ndim - 1)))
    dim = tuple(sorted(chosen))
    v = x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
    options = {"dim": dim, "keepdim": keepdim}
    for name, want in {
        "sum": v.sum(dim, keepdims=keepdim),
        "mean": v.mean(dim, keepdims=keepdim),
        "var": v.var(dim, ddof=0, keepdims=keepdim),
    }.items():
        got = run(name, x, **options, **({"correction": 0} if name == "var" else {}))
        assert got.dtype == (x.real.dtype if name == "var" else x.dtype)
        with np.errstate(all="ignore"):
            close(got, want.astype(got.dtype), x.dtype, 30)


@quick
@given(arrays([*FLOATS, *INTEGERS]), st.data())
def test_extremes_and_their_positions(x: Any, data: st.DataObject) -> None:
    dim = data.draw(st.integers(0, x.ndim - 1))
    v = x.astype(np.float64)
    for name, position, fold in (("amax", "argmax", np.max), ("amin", "argmin", np.min)):
        got = run(name, x, dim=(dim,), keepdim=True)
        assert got.dtype == x.dtype
        np.testing.assert_array_equal(wide(got), fold(v, axis=dim, keepdims=True))
        place = run(position, x, dim=dim, keepdim=True)
        assert place.dtype == np.int64
        np.testing.assert_array_equal(np.take_along_axis(v, place, dim), wide(got))


def test_sum_of_many_rows_stays_accurate() -> None:
    x = np.full((60000, 3), 0.1, np.float32)
    got = run("sum", x, dim=(0,), keepdim=False)
    np.testing.assert_allclose(got, 60000 * float(np.float32(0.1)), rtol=5e-6)
    half = run("sum", np.ones(5000, np.float16), dim=(0,), keepdim=False)
    assert half == 5000


def test_reductions_over_nothing() -> None:
    x = np.zeros((2, 0))
    for name, want in {
        "sum": 0,
        "prod": 1,
        "any": False,
        "all": True,
        "logsumexp": -np.inf,
    }.items():
        np.testing.assert_array_equal(run(name, x, dim=(1,), keepdim=False), [want, want])
    assert np.isnan(run("mean", x, dim=(1,), keepdim=False)).all()


def test_logsumexp_of_infinities() -> None:
    x = np.array([[-np.inf, -np.inf], [np.inf, 1], [1000.0, 1000]])
    got = run("logsumexp", x, dim=(1,), keepdim=False)
    np.testing.assert_allclose(got, [-np.inf, np.inf, 1000 + math.log(2)])


@quick
@given(arrays([*FLOATS, *INTEGERS]), st.data())
def test_running_extremes_take_the_last_of_equals_and_keep_nan(x: Any, data: st.DataObject) -> None:
    dim = data.draw(st.integers(0, x.ndim - 1))
    values, places = run("cummax", x, dim=dim)
    rows = np.moveaxis(x.astype(np.float64), dim, -1).reshape(-1, x.shape[dim])
    got = np.moveaxis(wide(values), dim, -1).reshape(rows.shape)
    where = np.moveaxis(places, dim, -1).reshape(rows.shape)
    for row, value, place in zip(rows, got, where, strict=True):
        best, at = row[0], 0
        for i, v in enumerate(row):
            if np.isnan(v) or (not np.isnan(best) and v >= best):
                best, at = v, i
            np.testing.assert_array_equal(value[i], best)
            assert place[i] == at


def test_logcumsumexp_does_not_overflow() -> None:
    got = run("logcumsumexp", np.array([1000.0, 1000, -np.inf]), dim=0)
    np.testing.assert_allclose(got, [1000, 1000 + math.log(2), 1000 + math.log(2)])


# Sorting


@quick
@given(arrays([*FLOATS, *INTEGERS, np.dtype(bool)]), st.booleans(), st.data())
def test_sort_is_stable_with_nan_as_the_greatest(x: Any, down: bool, data: st.DataObject) -> None:
    dim = data.draw(st.integers(0, x.ndim - 1))
    values, order = run("sort", x, dim=dim, descending=down, stable=True)
    v = x.astype(np.float64)
    rank = np.where(np.isnan(v), np.inf, v), np.isnan(v)
    sign = -1 if down else 1
    moved = [np.moveaxis(sign * part.astype(float), dim, -1) for part in rank]
    want = np.moveaxis(np.lexsort(tuple(moved), axis=-1), -1, dim)
    np.testing.assert_array_equal(order, want)
    np.testing.assert_array_equal(wide(values), np.take_along_axis(v, want, dim))
    k = data.draw(st.integers(0, x.shape[dim]))
    top, _ = run("topk", x, k=k, dim=dim, largest=down)
    np.testing.assert_array_equal(wide(top), np.take(wide(values), range(k), axis=dim))


def test_topk_of_long_rows_partitions() -> None:
    x = np.random.default_rng(0).permutation(5000).astype(np.float32).reshape(2, 2500)
    values, places = run("topk", x, k=3, dim=1)
    np.testing.assert_array_equal(values, -np.sort(-x, axis=1)[:, :3])
    np.testing.assert_array_equal(np.take_along_axis(x, places, 1), values)
    kth, _ = run("kthvalue", x, k=7, dim=1)
    np.testing.assert_array_equal(kth, np.sort(x, axis=1)[:, 6])


def test_zeros_of_both_signs_are_equal_in_order() -> None:
    x = np.array([0.0, -0.0, 0.0, -1], np.float32)
    np.testing.assert_array_equal(run("argsort", x, dim=0), [3, 0, 1, 2])


def test_medians_and_modes() -> None:
    x = np.array([[3.0, 1, 2, 4], [np.nan, 1, 2, np.nan], [np.nan] * 4])
    values, places = run("median", x, dim=1)
    np.testing.assert_array_equal(values, [2, np.nan, np.nan])
    np.testing.assert_array_equal(places, [2, 0, 0])
    np.testing.assert_array_equal(run("nanmedian", x, dim=1)[0], [2, 1, np.nan])
    values, places = run("mode", np.array([3, 1, 1, 3, 2]), dim=0)
    assert (values, places) == (1, 2)


@quick
@given(arrays(FLOATS, nan=False), st.booleans())
def test_searchsorted_in_batches(x: Any, right: bool) -> None:
    ordered = np.sort(x.astype(np.float64), axis=-1).astype(x.dtype)
    values = ordered[..., :2].copy()
    got = run("searchsorted", ordered, values, right=right)
    rows = zip(ordered.reshape(-1, x.shape[-1]), values.reshape(-1, values.shape[-1]), strict=True)
    want = [np.searchsorted(row.astype(float), v.astype(float), "right" if right else "left")
            for row, v in rows]  # fmt: skip
    np.testing.assert_array_equal(got.reshape(-1, values.shape[-1]), want)


def test_unique_by_element_and_by_slice() -> None:
    x = np.array([[2, 1, 2], [0, 5, 0]])
    values, inverse, counts = run("unique", x, return_inverse=True, return_counts=True)
    np.testing.assert_array_equal(values, [0, 1, 2, 5])
    np.testing.assert_array_equal(values[inverse], x)
    np.testing.assert_array_equal(counts, [2, 1, 2, 1])
    values, inverse, _ = run("unique", x, dim=1, return_inverse=True)
    np.testing.assert_array_equal(values, [[1, 2], [5, 0]])
    np.testing.assert_array_equal(inverse, [1, 0, 1])
    assert len(run("unique", np.array([np.nan, 1, np.nan]))[0]) == 3
    np.testing.assert_array_equal(run("unique_consecutive", np.array([1, 1, 2, 1]))[0], [1, 2, 1])


def test_histograms() -> None:
    np.testing.assert_array_equal(
        run("bincount", np.array([1, 1, 3]), minlength=6), [0, 2, 0, 1, 0, 0]
    )
    with pytest.raises(RuntimeError, match="-1"):
        run("bincount", np.array([-1]))
    np.testing.assert_array_equal(
        run("histc", np.array([0.0, 1, 2, 3, 9, np.nan]), bins=3, min=0, max=3), [1, 1, 2]
    )


# Indexing


@quick
@given(arrays([*FLOATS, *INTEGERS]), st.data())
def test_gather_and_scatter_of_part_of_the_shape(x: Any, data: st.DataObject) -> None:
    dim = data.draw(st.integers(0, x.ndim - 1))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shape = tuple(data.draw(st.integers(1, n)) for n in x.shape)
    index = rng.integers(0, x.shape[dim], shape)
    part = x[tuple(slice(None) if d == dim else slice(n) for d, n in enumerate(shape))]
    want = np.take_along_axis(part, index, dim)
    np.testing.assert_array_equal(wide(run("gather", x, index, dim=dim)), wide(want))
    src = numbers(rng, x.shape, x.dtype)
    plain, added = x.copy(), x.astype(np.float64)
    for place in np.ndindex(shape):
        target = tuple(index[place] if d == dim else p for d, p in enumerate(place))
        plain[target] = src[place]
        added[target] += float(src[place])
    np.testing.assert_array_equal(wide(run("scatter", x, index, src, dim=dim)), wide(plain))
    got = run("scatter", x, index, src, dim=dim, reduce="sum")
    if x.dtype.kind in "iu":
        np.testing.assert_array_equal(got, added.astype(np.int64).astype(x.dtype))
    else:
        close(got, added.astype(x.dtype), x.dtype, 10)


@pytest.mark.parametrize(
    ("reduce", "with_self", "without"),
    [("prod", [6, 20], [6, 10]), ("amax", [3, 5], [3, 5]), ("amin", [1, 2], [2, 2]),
     ("mean", [2, 3], [2, 3])],
)  # fmt: skip
def test_scatter_reductions(reduce: str, with_self: list[int], without: list[int]) -> None:
    x, index, src = np.array([1, 2]), np.array([0, 1, 0, 1]), np.array([2, 2, 3, 5])
    got = run("scatter", x, index, src, dim=0, reduce=reduce)
    np.testing.assert_array_equal(got, with_self)
    got = run("scatter", x, index, src, dim=0, reduce=reduce, include_self=False)
    np.testing.assert_array_equal(got, without)


@quick
@given(st.sampled_from([*FLOATS, *INTEGERS]), st.integers(0, 300), st.integers(0, 2), st.data())
def test_index_add_adds_up_equal_indices(
    dtype: np.dtype[Any], count: int, dim: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    x = numbers(rng, (4, 3, 5), dtype)
    # Skewed, so that some indices occur more often than there are rounds.
    index = np.minimum(rng.geometric(0.6, count), x.shape[dim]) - 1
    src = numbers(rng, tuple(count if d == dim else n for d, n in enumerate(x.shape)), dtype)
    want = np.moveaxis(x.astype(np.float64), dim, 0).copy()
    np.add.at(want, index, np.moveaxis(src.astype(np.float64), dim, 0))
    want = np.moveaxis(want, 0, dim)
    got = run("index_add", x, index, src, dim=dim)
    if dtype.kind in "iu":
        np.testing.assert_array_equal(got, want.astype(np.int64).astype(dtype))
    else:
        close(got, want.astype(dtype), dtype, 30)


@pytest.mark.parametrize("dims", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("dtype", [np.dtype(np.float32), BFLOAT16, np.dtype(np.int64)])
def test_advanced_indexing_reads_and_writes_as_numpy_does(
    dims: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    rng = np.random.default_rng(3)
    x = numbers(rng, (4, 5, 6), dtype)
    indices = [rng.integers(-x.shape[d], x.shape[d], (2, 3) if d else (3,)) for d in dims]
    key = tuple(indices[dims.index(d)] if d in dims else slice(None) for d in range(3))
    np.testing.assert_array_equal(wide(run("index", x, *indices, dims=dims)), wide(x[key]))
    values = numbers(rng, x[key].shape, dtype)
    want = x.copy()
    want[key] = values
    np.testing.assert_array_equal(
        wide(run("index_put", x, values, *indices, dims=dims)), wide(want)
    )
    total = x.astype(np.float64)
    np.add.at(total, key, values.astype(np.float64))
    got = run("index_put", x, values, *indices, dims=dims, accumulate=True)
    assert got.dtype == dtype
    close(got, total.astype(dtype), dtype, 20)


@pytest.mark.parametrize(
    ("name", "kind", "arrays_", "attributes"),
    [
        ("index", IndexError, ([7],), {"dims": (0,)}),
        ("index", IndexError, ([7], [0]), {"dims": (0, 1)}),
        ("index_select", IndexError, ([7],), {"dim": 0}),
        ("index_fill", IndexError, ([7],), {"dim": 0, "value": 1}),
        ("gather", RuntimeError, ([[7]],), {"dim": 0}),
        ("scatter", RuntimeError, ([[7]], [[1.0]]), {"dim": 0}),
        ("index_add", IndexError, ([7], [[1.0] * 3]), {"dim": 0}),
        ("index_copy", IndexError, ([7], [[1.0] * 3]), {"dim": 0}),
    ],
)
def test_an_index_out_of_bounds_is_named(
    name: str, kind: type[Exception], arrays_: Any, attributes: Any
) -> None:
    x = np.zeros((5, 3))
    with pytest.raises(kind, match="index 7 is out of bounds for dimension 0 with size 5"):
        run(name, x, *[np.array(a) for a in arrays_], **attributes)


def test_negative_indices_count_from_the_end_only_where_they_do_in_torch() -> None:
    x = np.arange(5.0)
    np.testing.assert_array_equal(run("index", x, np.array([-1]), dims=(0,)), [4])
    np.testing.assert_array_equal(run("take", x, np.array([[-2]])), [[3]])
    with pytest.raises(RuntimeError, match="index -1 is out of bounds"):
        run("gather", x, np.array([-1]), dim=0)
    with pytest.raises(IndexError, match="index -6 is out of bounds"):
        run("index", x, np.array([-6]), dims=(0,))


def test_masks() -> None:
    x, mask = np.arange(6).reshape(2, 3), np.array([True, False, True])
    np.testing.assert_array_equal(run("masked_select", x, mask), [0, 2, 3, 5])
    np.testing.assert_array_equal(run("masked_fill", x, mask, np.array(9)), [[9, 1, 9], [9, 4, 9]])
    got = run("masked_scatter", x, mask, np.arange(10, 20))
    np.testing.assert_array_equal(got, [[10, 1, 11], [12, 4, 13]])
    with pytest.raises(RuntimeError, match="source has 3 elements and the mask selects 4"):
        run("masked_scatter", x, mask, np.arange(3))
    np.testing.assert_array_equal(run("nonzero", x[:, :2]), [[0, 1], [1, 0], [1, 1]])
    assert run("nonzero", np.array(1)).shape == (1, 0)


def test_padding_may_crop() -> None:
    x = np.arange(12.0).reshape(3, 4)
    got = run("constant_pad", x, pad=[(1, -1), (-2, 1)], value=7)
    np.testing.assert_array_equal(got, [[7, 7, 7], [2, 3, 7], [6, 7, 7]])


@quick
@given(arrays([*FLOATS, *INTEGERS, *COMPLEX, np.dtype(bool)]), st.integers(-3, 3))
def test_rearrangements_keep_dtype_and_values(x: Any, by: int) -> None:
    every = tuple(range(x.ndim))
    for name, attributes, want in (
        ("flip", {"dims": every}, np.flip(x)),
        ("roll", {"shifts": (by,), "dims": (0,)}, np.roll(x, by, 0)),
        ("clone", {}, x),
    ):
        got = run(name, x, **attributes)
        assert got.dtype == x.dtype
        assert not np.shares_memory(got, x)
        np.testing.assert_array_equal(wide(got), wide(want))
    if x.ndim > 1:
        np.testing.assert_array_equal(wide(run("tril", x, diagonal=by)), np.tril(wide(x), by))


# Creation and casts


@quick
@given(arrays([*FLOATS, *INTEGERS, *COMPLEX, np.dtype(bool)]), st.sampled_from(_dtypes.ALL))
def test_cast_gives_a_fresh_array_of_the_dtype(x: Any, dtype: _dtypes.DType) -> None:
    got = run("cast", x, dtype=dtype)
    assert got.dtype == dtype.numpy
    assert not np.shares_memory(got, x)
    if dtype.name == "bool":
        np.testing.assert_array_equal(got, wide(x) != 0)


def test_arange_rounds_once() -> None:
    full = KERNELS["arange"]
    got = full(start=0.0, step=0.1, length=1001, dtype=_dtypes.float32)
    np.testing.assert_array_equal(got, (np.arange(1001) * 0.1).astype(np.float32))
    got = full(start=2**60, step=1, length=3, dtype=_dtypes.int64)
    np.testing.assert_array_equal(got, [2**60, 2**60 + 1, 2**60 + 2])


# Matrices


@pytest.mark.parametrize("dtype", [*FLOATS, *COMPLEX, np.dtype(np.int64)])
@pytest.mark.parametrize(
    ("left", "right"),
    [((4,), (4,)), ((3, 4), (4, 5)), ((4,), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (5, 4, 2)),
     ((0, 4), (4, 3)), ((3, 0), (0, 3)), ((2, 3, 4), (4,))],
)  # fmt: skip
def test_products(dtype: np.dtype[Any], left: Any, right: Any) -> None:
    rng = np.random.default_rng(5)
    x, y = numbers(rng, left, dtype), numbers(rng, right, dtype)
    exact = np.complex128 if dtype.kind == "c" else np.float64
    got = run("matmul", x, y)
    assert got.dtype == dtype
    close(got, (x.astype(exact) @ y.astype(exact)).astype(dtype), dtype, 20)


def test_addmm_with_beta_zero_ignores_the_addend() -> None:
    x = np.full((2, 2), np.nan)
    np.testing.assert_array_equal(
        run("addmm", x, np.eye(2), np.eye(2), beta=0, alpha=3), 3 * np.eye(2)
    )


@pytest.mark.parametrize("dtype", [np.dtype(np.float64), np.dtype(np.complex128)])
@pytest.mark.parametrize("shape", [(2, 50, 50), (7, 4), (3, 4, 7), (1, 1)])
def test_lu_factors_rebuild_the_matrix(dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    x = numbers(np.random.default_rng(7), shape, dtype)
    lu, pivots = run("linalg_lu_factor", x)
    rank = min(shape[-2:])
    lower = np.tril(lu[..., :, :rank], -1) + np.eye(shape[-2], rank)
    product = lower @ np.triu(lu[..., :rank, :])
    for k in range(rank - 1, -1, -1):
        for at in np.ndindex(shape[:-2]):
            other = pivots[(*at, k)] - 1
            product[at][[k, other]] = product[at][[other, k]]
    np.testing.assert_allclose(product, x, atol=1e-12)
    assert np.abs(lower).max() <= math.sqrt(2)


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("unit", [False, True])
def test_triangular_solves_read_one_triangle(upper: bool, left: bool, unit: bool) -> None:
    rng = np.random.default_rng(9)
    a = rng.standard_normal((2, 70, 70)) * 0.1 + 2 * np.eye(70)
    b = rng.standard_normal((2, 70, 70))
    x = run("linalg_solve_triangular", a, b, upper=upper, left=left, unitriangular=unit)
    triangle = np.triu(a) if upper else np.tril(a)
    if unit:
        triangle[:, range(70), range(70)] = 1
    np.testing.assert_allclose(triangle @ x if left else x @ triangle, b, rtol=1e-9, atol=1e-9)


def test_lu_solve_on_all_sides() -> None:
    rng = np.random.default_rng(11)
    a = rng.standard_normal((3, 6, 6)) + 1j * rng.standard_normal((3, 6, 6))
    b = rng.standard_normal((3, 6, 6)) + 0j
    factors = run("linalg_lu_factor", a)
    for adjoint, matrix in ((False, a), (True, a.conj().swapaxes(-1, -2))):
        x = run("linalg_lu_solve", *factors, b, left=True, adjoint=adjoint)
        np.testing.assert_allclose(matrix @ x, b, atol=1e-12)
        x = run("linalg_lu_solve", *factors, b, left=False, adjoint=adjoint)
        np.testing.assert_allclose(x @ matrix, b, atol=1e-12)


def test_cholesky_says_which_minor_fails() -> None:
    good = np.eye(3) * 4 + 1
    bad = good.copy()
    bad[1, 1] = -1
    for upper in (False, True):
        factor, info = run("linalg_cholesky", np.stack([good, bad]), upper=upper)
        np.testing.assert_array_equal(info, [0, 2])
        first = factor[0].T @ factor[0] if upper else factor[0] @ factor[0].T
        np.testing.assert_allclose(first, good)


@pytest.mark.parametrize("name", ["linalg_inv", "linalg_solve"])
def test_a_singular_matrix_is_named(name: str) -> None:
    x = np.stack([np.eye(2), np.array([[1.0, 2], [2, 4]])])
    operands = (x,) if name == "linalg_inv" else (x, x)
    with pytest.raises(
        rushlight.linalg.LinAlgError, match=r"batch element 1\) the diagonal element 2 is zero"
    ):
        run(name, *operands)


def test_matrix_exponentials() -> None:
    turn = np.array([[0.0, -1], [1, 0]])
    angles = np.array([0.0, 1e-9, 1, 30])
    got = run("linalg_matrix_exp", angles[:, None, None] * turn)
    want = np.cos(angles)[:, None, None] * np.eye(2) + np.sin(angles)[:, None, None] * turn
    np.testing.assert_allclose(got, want, atol=1e-13)


def test_orthogonal_factors_and_least_squares() -> None:
    rng = np.random.default_rng(13)
    a, b = rng.standard_normal((2, 7, 3)), rng.standard_normal((2, 7, 2))
    reflectors, tau = run("geqrf", a)
    q = run("householder_product", reflectors, tau)
    np.testing.assert_allclose(q @ np.triu(reflectors[..., :3, :]), a, atol=1e-13)
    solution, residuals, rank, _ = run("linalg_lstsq", a, b)
    np.testing.assert_allclose(a.swapaxes(-1, -2) @ (a @ solution - b), 0, atol=1e-12)
    np.testing.assert_allclose(residuals, np.square(a @ solution - b).sum(-2))
    np.testing.assert_array_equal(rank, [3, 3])


def test_eigenvalues_are_complex_even_where_they_are_real() -> None:
    w, v = run("linalg_eig", np.diag([1.0, 2]).astype(np.float32))
    assert w.dtype == v.dtype == np.complex64


@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
@pytest.mark.parametrize("dtype", [np.dtype(np.float64), np.dtype(np.float32)])
def test_transforms_invert_each_other(norm: str, dtype: np.dtype[Any]) -> None:
    x = numbers(np.random.default_rng(15), (3, 4, 7), dtype)
    half = run("fft_r2c", x, dim=(0, 2), norm=norm, onesided=True)
    whole = run("fft_r2c", x, dim=(0, 2), norm=norm, onesided=False)
    assert half.dtype.itemsize == 2 * dtype.itemsize
    np.testing.assert_allclose(whole[..., :4], half, atol=1e-5)
    back = run("fft_c2r", half, dim=(0, 2), norm=norm, last_dim_size=7)
    assert back.dtype == dtype
    close(back, x, dtype, 10)
    back = run("fft_c2c", whole, dim=(0, 2), norm=norm, forward=False)
    np.testing.assert_allclose(back, x, atol=1e-5)


# Modules that have less than NumPy


class PlainUfunc:
    """A ufunc with what CuPy's have: no `accumulate`, and `reduce` for sums and products only."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self.ufunc = ufunc
        self.nin = ufunc.nin
        if ufunc in (np.add, np.multiply):
            self.reduce = ufunc.reduce

    def __call__(self, *operands: Any, **options: Any) -> Any:
        return self.ufunc(*operands, **options)

    def at(self, out: Any, index: Any, values: Any) -> None:
        self.ufunc.at(out, index, values)


class PlainModule:
    """NumPy seen through the parts of its interface that CuPy has."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        return PlainUfunc(found) if isinstance(found, np.ufunc) else found


@quick
@given(arrays([*FLOATS, *INTEGERS]), st.data())
def test_kernels_need_no_more_of_a_module_than_it_has(x: Any, data: st.DataObject) -> None:
    plain = array_kernels(PlainModule())
    dim = data.draw(st.integers(0, x.ndim - 1))
    index = np.arange(x.shape[dim])[::-1].copy()
    src = np.ones_like(x)

    def both(name: str, *operands: Any, **attributes: Any) -> None:
        entry = plain[name]
        kind = _dtypes.from_numpy_dtype(x.dtype).kernel_class
        if isinstance(entry, dict) and kind not in entry and "default" not in entry:
            return
        one = (entry.get(kind) or entry["default"]) if isinstance(entry, dict) else entry
        got, want = one(*operands, **attributes), run(name, *operands, **attributes)
        if not isinstance(got, tuple):
            got, want = (got,), (want,)
        for a, b in zip(got, want, strict=True):
            assert a.dtype == b.dtype
            close(a, b, x.dtype)

    for name in ("sum", "amax", "amin", "any", "all"):
        both(name, x, dim=(dim,), keepdim=True)
    for name in ("cummax", "cummin", "cumsum", "logcumsumexp", "sort", "mode", "median"):
        both(name, x, dim=dim)
    both("index", x, index, dims=(dim,))
    both("index_add", x, index, src, dim=dim)
    both("index_put", x, src, index, dims=(dim,), accumulate=True)
    for name in ("relu", "sigmoid", "erfc", "lgamma"):
        both(name, x)
    both("bitwise_left_shift", x, np.full((), 3, x.dtype))
    both("bitwise_right_shift", x, np.full((), 3, x.dtype))


@pytest.mark.parametrize("dtype", [*FLOATS, np.dtype(np.int8), np.dtype(np.complex64)], ids=str)
@pytest.mark.parametrize("name", sorted(WRITES_IN_PLACE))
def test_writes_by_index_in_place_are_the_functional_ones(name: str, dtype: Any) -> None:
    index, rows = np.array([2, 0]), np.arange(6, dtype=np.float32).reshape(2, 3).astype(dtype)
    operands, attributes = {
        "scatter": ((np.array([[2], [0]]), rows), {"dim": 1, "reduce": "sum"}),
        "index_add": ((index, rows), {"dim": 0, "alpha": 2}),
        "index_copy": ((index, rows), {"dim": 0}),
        "index_fill": ((index,), {"dim": 1, "value": 3}),
        "index_put": ((rows, index), {"dims": (0,), "accumulate": True}),
        "put": ((index, rows[0, :2]), {"accumulate": True}),
        "masked_fill": ((np.eye(4, 3, dtype=bool), rows[1, 1]), {}),
        "masked_scatter": ((np.eye(4, 3, dtype=bool), rows), {}),
    }[name]
    x = np.arange(24, dtype=np.float32).reshape(4, 6).astype(dtype)
    expected = kernel(name, dtype)(x[:, ::2].copy(), *operands, **attributes)
    view = x[:, ::2]  # not dense: what lies between must stay
    assert kernel(name, dtype)(view, *operands, out=view, **attributes) is view
    np.testing.assert_array_equal(view, expected)
    np.testing.assert_array_equal(x[:, 1::2].astype(np.complex64).real.ravel(), np.arange(1, 24, 2))


def strided(values: np.ndarray[Any, Any], step: int) -> np.ndarray[Any, Any]:
    """The values, `step` elements apart in memory."""
    room = np.zeros(values.size * abs(step), values.dtype)
    view = room[::step][: values.size]
    view[...] = values
    return view


@pytest.mark.parametrize("name", ["abs", "isfinite", "isinf", "isnan", "neg", "relu", "square"])
@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS], ids=str)
def test_out_may_have_any_steps_in_memory(name: str, dtype: np.dtype[Any]) -> None:
    # NumPy itself gets some of these wrong: see arrays/_strided_out.py.
    values = np.arange(70).astype(dtype)
    if dtype.kind not in "iu":
        values[::3], values[1::7] = np.nan, -np.inf
    expected = run(name, values)
    for step in (1, 2, 4, 8, -1, -4, -8):
        x = strided(values, step)
        for out_step in (1, 3, 8, -1, -2):
            out = strided(np.zeros(70, expected.dtype), out_step)
            assert run(name, x, out=out) is out
            assert out.tolist() == pytest.approx(expected.tolist(), rel=0, nan_ok=True)
        if expected.dtype == dtype:
            run(name, x, out=x)
            assert x.tolist() == pytest.approx(expected.tolist(), rel=0, nan_ok=True)


def test_columns_are_negated_in_place() -> None:
    x = rushlight.arange(12.0, device="cpu_numpy").reshape(3, 4)
    with rushlight.no_grad():
        x[:, 1:2].neg_()
    assert x[:, 1].tolist() == [-1.0, -5.0, -9.0]
