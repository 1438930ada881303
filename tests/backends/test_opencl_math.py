"""The float32 functions of the kernel language on OpenCL against NumPy in float64."""

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
SMALLEST = np.finfo(np.float32).tiny


def numbers() -> np.ndarray:
    """Values of every size and sign."""
    rng = np.random.default_rng(0)
    wide = np.exp(rng.uniform(-85, 88, 20_000)) * rng.choice([-1, 1], 20_000)
    near = [rng.standard_normal(10_000) * scale for scale in (1e-5, 0.1, 1, 30, 2000)]
    return np.concatenate([wide, *near, rng.uniform(-1, 1, 10_000)]).astype(np.float32)


def within(found: np.ndarray, exact: np.ndarray, ulps: float) -> None:
    """Compares, denormal results only as far as that they are small."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        plain = np.isfinite(rounded) & (np.abs(rounded) >= SMALLEST)
        error = np.abs(found[plain] - exact[plain]) / np.spacing(np.abs(rounded[plain]))
    assert error.max() <= ulps
    small = np.abs(rounded) < SMALLEST
    assert (np.abs(found[small]) <= 2 * SMALLEST).all()
    assert (np.signbit(found) == np.signbit(rounded))[~np.isnan(rounded) & (found == 0)].all()
    rest = ~plain & ~small
    np.testing.assert_array_equal(found[rest], rounded[rest])


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_argument(name: str) -> None:
    x = np.concatenate([numbers(), SPECIAL])
    with np.errstate(all="ignore"):
        exact = UNARY[name](x.astype(np.float64))
    within(getattr(rl, name)(rl.from_numpy(x).to("opencl")).cpu().numpy(), exact, 4)


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_arguments(name: str) -> None:
    x, y = numbers(), np.random.default_rng(1).permutation(numbers())
    near = np.linspace(0.5, 2, 20_000, dtype=np.float32)
    powers = np.linspace(-900, 900, 20_000, dtype=np.float32)[::-1]
    x = np.concatenate([x, near, np.repeat(SPECIAL, SPECIAL.size)])
    y = np.concatenate([y, powers, np.tile(SPECIAL, SPECIAL.size)])
    with np.errstate(all="ignore"):
        exact = BINARY[name](x.astype(np.float64), y.astype(np.float64))
    a, b = (rl.from_numpy(v).to("opencl") for v in (x, y))
    within(getattr(rl, name)(a, b).cpu().numpy(), exact, 4)


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


REMAINDERS = {"fmod": np.fmod, "remainder": np.remainder, "floor_divide": np.floor_divide}


@pytest.mark.parametrize("few", [True, False], ids=["few far", "many far"])
@pytest.mark.parametrize("name", REMAINDERS)
def test_remainders_are_exact(name: str, few: bool) -> None:
    rng = np.random.default_rng(2)
    x, y = numbers(), rng.permutation(numbers())
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
