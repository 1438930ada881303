"""The own functions of the kernel language on OpenCL against NumPy in a wider type."""

import numpy as np
import pytest

import rushlight as rl

rushlight_opencl = pytest.importorskip("rushlight_opencl")
if not rushlight_opencl.devices():
    pytest.skip("no OpenCL device: pip install rushlight-opencl[pocl]", allow_module_level=True)

UNARY = {
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "sinh": np.sinh, "cosh": np.cosh,
    "tanh": np.tanh, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "exp": np.exp,
    "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10,
    "log1p": np.log1p,
}  # fmt: skip
BINARY = {"pow": np.power, "atan2": np.arctan2, "hypot": np.hypot}
SPECIAL = np.array(
    [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 1, -1, 2, -2, 0.5, -0.5, 3, 1e30, -1e30,
     3e38, 88.5, 89.2, -89.2, 128, -150, 127.9, 16777216, 16777217],
    np.float32,
)  # fmt: skip
SPECIAL_DOUBLE = np.array(
    [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-310, -1e-310, 5e-324, 1, -1, 2, -2, 0.5, -0.5, 3,
     1e300, -1e300, 709, 710.5, -745, -750, 1023.5, 1024, -1074, -1080, 2.0**53, 2.0**52 + 1],
)  # fmt: skip


def numbers(reach: float = 85.0) -> np.ndarray:
    """Values of every size, up to e to the power of `reach`, and sign."""
    rng = np.random.default_rng(0)
    wide = np.exp(rng.uniform(-reach, reach, 20_000)) * rng.choice([-1, 1], 20_000)
    near = [rng.standard_normal(10_000) * scale for scale in (1e-5, 0.1, 1, 30, 2000)]
    return np.concatenate([wide, *near, rng.uniform(-1, 1, 10_000)])


def singles() -> np.ndarray:
    """The same in float32."""
    return numbers().astype(np.float32)


def within(found: np.ndarray, exact: np.ndarray, ulps: float) -> None:
    """Compares, denormal results only as far as that they are small."""
    smallest = np.finfo(found.dtype).tiny
    with np.errstate(all="ignore"):
        rounded = exact.astype(found.dtype)
        plain = np.isfinite(rounded) & (np.abs(rounded) >= smallest)
        error = np.abs(found[plain] - exact[plain]) / np.spacing(np.abs(rounded[plain]))
    assert error.max() <= ulps
    small = np.abs(rounded) < smallest
    assert (np.abs(found[small]) <= 2 * smallest).all()
    assert (np.signbit(found) == np.signbit(rounded))[~np.isnan(rounded) & (found == 0)].all()
    rest = ~plain & ~small
    np.testing.assert_array_equal(found[rest], rounded[rest])


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_argument(name: str) -> None:
    x = np.concatenate([singles(), SPECIAL])
    with np.errstate(all="ignore"):
        exact = UNARY[name](x.astype(np.float64))
    within(getattr(rl, name)(rl.from_numpy(x).to("opencl")).cpu().numpy(), exact, 4)


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_arguments(name: str) -> None:
    x, y = singles(), np.random.default_rng(1).permutation(singles())
    near = np.linspace(0.5, 2, 20_000, dtype=np.float32)
    powers = np.linspace(-900, 900, 20_000, dtype=np.float32)[::-1]
    x = np.concatenate([x, near, np.repeat(SPECIAL, SPECIAL.size)])
    y = np.concatenate([y, powers, np.tile(SPECIAL, SPECIAL.size)])
    with np.errstate(all="ignore"):
        exact = BINARY[name](x.astype(np.float64), y.astype(np.float64))
    a, b = (rl.from_numpy(v).to("opencl") for v in (x, y))
    within(getattr(rl, name)(a, b).cpu().numpy(), exact, 4)


@pytest.mark.parametrize("exponent", [3, -1, -2, 0.5, 2.5, -0.75, 1e9, 3e9, np.inf, np.nan])
def test_powers_of_numbers_of_every_sign(exponent: float) -> None:
    x = np.concatenate([singles(), np.linspace(-2, 2, 20_001, dtype=np.float32), SPECIAL])
    with np.errstate(all="ignore"):
        exact = np.power(x.astype(np.float64), np.full(x.shape, exponent))
    device = rl.from_numpy(x).to("opencl")
    within(rl.pow(device, exponent).cpu().numpy(), exact, 4)
    other = rl.full_like(device, exponent)
    within(rl.pow(device, other).cpu().numpy(), exact, 4)


WIDER = pytest.mark.skipif(
    np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps, reason="no wider type than float64"
)


@WIDER
@pytest.mark.parametrize("name", "exp exp2 expm1 log log1p sin cos tan".split())
def test_functions_of_one_double(name: str) -> None:
    x = np.concatenate([numbers(700.0), SPECIAL_DOUBLE])
    if name in ("sin", "cos", "tan"):
        x = x[~((np.abs(x) > 1e15) & np.isfinite(x))]  # NumPy's own are not exact there
    with np.errstate(all="ignore"):
        exact = getattr(np, name)(x.astype(np.longdouble))
    within(getattr(rl, name)(rl.from_numpy(x).to("opencl")).cpu().numpy(), exact, 3)


@WIDER
def test_powers_of_doubles() -> None:
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.uniform(0.5, 2, 20_000), np.exp(rng.uniform(-30, 30, 20_000))])
    x = np.concatenate([x, rng.standard_normal(20_000)])
    y = [rng.uniform(-900, 900, 20_000), rng.uniform(-20, 20, 20_000), rng.integers(-9, 9, 20_000)]
    x = np.concatenate([x, np.repeat(SPECIAL_DOUBLE, SPECIAL_DOUBLE.size)])
    y = np.concatenate([*y, np.tile(SPECIAL_DOUBLE, SPECIAL_DOUBLE.size)])
    with np.errstate(all="ignore"):
        exact = np.power(x.astype(np.longdouble), y.astype(np.longdouble))
    a, b = (rl.from_numpy(v).to("opencl") for v in (x, y))
    within(rl.pow(a, b).cpu().numpy(), exact, 8)
    many = slice(20_000, 60_000)  # no extremes among them
    within(rl.pow(a[many].clone(), b[many].clone()).cpu().numpy(), exact[many], 2)


@pytest.mark.parametrize("size", [5, 64, 65, 1000, 4096])
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_few_large_angles_among_small_ones(name: str, size: int) -> None:
    x = np.random.default_rng(size).standard_normal(size).astype(np.float32) * 10
    x[-1] = 1e10
    x[size // 2] = np.float32(-2048.5)
    x[size // 3] = np.nan
    exact = UNARY[name](x.astype(np.float64))
    device = rl.from_numpy(x).to("opencl")
    within(getattr(rl, name)(device).cpu().numpy(), exact, 4)
    every_other = getattr(rl, name)(device[::2]).cpu().numpy()
    within(every_other, exact[::2], 4)
    doubles = x.astype(np.float64)
    exact = UNARY[name](doubles)
    within(getattr(rl, name)(rl.from_numpy(doubles).to("opencl")).cpu().numpy(), exact, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["sin", "cos", "tan", "pow"])
def test_no_result_depends_on_its_neighbours(name: str, dtype: type) -> None:
    # A strip that has a rare argument is done again, another way for that argument only.
    x = np.random.default_rng(4).uniform(0.1, 90, 192).astype(dtype)
    exponents = (rl.from_numpy(x[::-1].copy() / 40).to("opencl"),) if name == "pow" else ()
    alone = getattr(rl, name)(rl.from_numpy(x).to("opencl"), *exponents).cpu().numpy()
    for rare in (1e30, np.inf, 0.0, -1.5):
        x[70] = rare
        beside = getattr(rl, name)(rl.from_numpy(x).to("opencl"), *exponents).cpu().numpy()
        np.testing.assert_array_equal(np.delete(beside, 70), np.delete(alone, 70))


REMAINDERS = {"fmod": np.fmod, "remainder": np.remainder, "floor_divide": np.floor_divide}


@pytest.mark.parametrize("few", [True, False], ids=["few far", "many far"])
@pytest.mark.parametrize("name", REMAINDERS)
def test_remainders_are_exact(name: str, few: bool) -> None:
    rng = np.random.default_rng(2)
    x, y = singles(), rng.permutation(singles())
    if few:  # moderate quotients, half of them whole or nearly so
        x = (rng.standard_normal(20_000) * 30).astype(np.float32)
        y = np.concatenate([rng.standard_normal(10_000), rng.integers(1, 9, 10_000) / 4])
        y = y.astype(np.float32)
        x[5_000:15_000] = np.rint(x[5_000:15_000]) * y[5_000:15_000]
    else:
        x = np.concatenate([x, np.repeat(SPECIAL, SPECIAL.size)])
        y = np.concatenate([y, np.tile(SPECIAL, SPECIAL.size)])
    a, b = (rl.from_numpy(v).to("opencl") for v in (x, y))
    with np.errstate(all="ignore"):
        exact = REMAINDERS[name](x, y)
    for step in (1, 2):
        found = getattr(rl, name)(a[::step], b[::step]).cpu().numpy()
        np.testing.assert_array_equal(found, exact[::step])
        zero = exact[::step] == 0
        assert (np.signbit(found) == np.signbit(exact[::step]))[zero].all()


def test_halves_and_back_are_exact() -> None:
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    wide = rl.from_numpy(halves).to("opencl").float().cpu().numpy()
    np.testing.assert_array_equal(wide, halves.astype(np.float32))
    assert (np.signbit(wide) == np.signbit(halves))[~np.isnan(halves)].all()
    bits = np.random.default_rng(0).integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32)
    finite = wide[np.isfinite(wide)]
    between = (finite[:-1] + finite[1:]) / 2  # ties
    x = np.concatenate([bits, between, np.array([65519.9, 65520, 65536, 2.9e-8], np.float32)])
    with np.errstate(all="ignore"):
        exact = x.astype(np.float16)
    found = rl.from_numpy(x).to("opencl").half().cpu().numpy()
    np.testing.assert_array_equal(found, exact)
    assert (np.signbit(found) == np.signbit(exact))[~np.isnan(exact)].all()
