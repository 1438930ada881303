"""The native steps of optimisers, against the NumPy kernels and against themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rushlight
from rushlight_cpu import _native
from rushlight_cpu.device import make_backend

NUMPY = make_backend("cpu_plain", _native.Tier(None))
TYPES = {np.dtype(np.float32): rushlight.float32, np.dtype(np.float64): rushlight.float64}
SGD = {
    "lr": 0.1,
    "momentum": 0.0,
    "dampening": 0.0,
    "weight_decay": 0.0,
    "nesterov": False,
    "maximize": False,
}
ADAM = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.0}
ADAM |= {"amsgrad": False, "maximize": False, "decoupled": False}
RMSPROP = {
    "lr": 0.1,
    "alpha": 0.9,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "momentum": 0.0,
    "centered": False,
}
RMSPROP |= {"maximize": False}
ADAGRAD = {"lr": 0.1, "lr_decay": 0.1, "eps": 1e-10, "weight_decay": 0.0, "maximize": False}
# Operator, columns, attributes.
CASES: list[tuple[str, int, dict[str, Any]]] = [
    ("fused_sgd", 2, SGD | {"first": False}),
    ("fused_sgd", 2, SGD | {"first": False, "weight_decay": 0.1, "maximize": True}),
    ("fused_sgd", 3, SGD | {"first": True, "momentum": 0.9, "dampening": 0.5}),
    ("fused_sgd", 3, SGD | {"first": False, "momentum": 0.9, "dampening": 0.5, "maximize": True}),
    ("fused_sgd", 3, SGD | {"first": False, "momentum": 0.9, "nesterov": True}),
    ("fused_adam", 4, ADAM),
    ("fused_adam", 4, ADAM | {"weight_decay": 0.1, "maximize": True}),
    ("fused_adam", 4, ADAM | {"weight_decay": 0.1, "decoupled": True}),
    ("fused_adam", 5, ADAM | {"amsgrad": True}),
    ("fused_rmsprop", 3, RMSPROP),
    ("fused_rmsprop", 4, RMSPROP | {"momentum": 0.9, "weight_decay": 0.1}),
    ("fused_rmsprop", 4, RMSPROP | {"centered": True, "maximize": True}),
    ("fused_rmsprop", 5, RMSPROP | {"centered": True, "momentum": 0.9}),
    ("fused_adagrad", 3, ADAGRAD | {"weight_decay": 0.1}),
    ("fused_adagrad", 3, ADAGRAD | {"maximize": True}),
]
cases = pytest.mark.parametrize(("name", "width", "attributes"), CASES)
SHAPES = [(3,), (), (0, 2), (7, 5), (5, 7), (40000,), (130, 130), (1,)]


@pytest.fixture(scope="module", params=_native.VARIANTS)
def native(request: pytest.FixtureRequest) -> Any:
    """The backend of each variant that is built and that this CPU runs."""
    try:
        library = _native.load(request.param)
    except ImportError as raised:
        pytest.skip(str(raised))
    return make_backend("cpu_native", _native.Tier(library))


def operands(width: int, dtype: Any, *, seed: int = 0) -> list[np.ndarray]:
    """Parameters, gradients and positive states, the first far above the squares of the others."""
    rng = np.random.default_rng(seed)
    made = []
    for column in range(width):
        for number, shape in enumerate(SHAPES):
            x = rng.standard_normal(shape)
            x = x if column < 2 else rng.random(shape) + (9 if column == 2 else 0.5)
            made.append(np.asarray(x, dtype, order="F" if number == 4 else "C"))
    return made


def call(backend: Any, name: str, arrays: list[np.ndarray], **attributes: Any) -> Any:
    count = len(SHAPES)
    if name in ("fused_adam", "fused_adagrad"):
        attributes["steps"] = tuple(float(1 + i // 3) for i in range(count))
    return backend.find_kernel(name, TYPES[arrays[0].dtype])(*arrays, count=count, **attributes)


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("declined")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@cases
def test_steps_are_those_of_the_numpy_tier(
    native: Any, name: str, width: int, attributes: dict[str, Any], dtype: Any
) -> None:
    arrays = operands(width, dtype)
    wanted = call(NUMPY, name, arrays, **attributes)
    got = call(native, name, arrays, **attributes)
    tol = 2e-6 if dtype == np.float32 else 1e-14
    assert len(got) == len(wanted) == (width - 1) * len(SHAPES)
    for a, b in zip(got, wanted, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape and a.strides == b.strides
        np.testing.assert_allclose(a, b, rtol=tol, atol=tol)


@cases
def test_steps_in_place_are_the_same_bits_with_any_number_of_threads(
    native: Any, name: str, width: int, attributes: dict[str, Any]
) -> None:
    library, count = native.runtime(0).tier.library, len(SHAPES)
    before, results = library.get_threads(), []
    try:
        for threads in (1, 2, 3):
            library.set_threads(threads)
            arrays = operands(width, np.float32)
            out = (*arrays[:count], *arrays[2 * count :])
            assert call(native, name, arrays, **attributes, out=out) is out
            results.append(np.concatenate([x.reshape(-1) for x in out]))
    finally:
        library.set_threads(before)
    fresh = call(native, name, operands(width, np.float32), **attributes)
    results.append(np.concatenate([x.reshape(-1) for x in fresh]))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_gradients_may_lie_in_another_order(native: Any) -> None:
    arrays = operands(4, np.float32)
    count = len(SHAPES)
    arrays[count + 3] = np.asfortranarray(arrays[count + 3])
    arrays[count + 5] = np.repeat(arrays[count + 5], 2)[::2]

    steps = (1.0,) * count
    library = native.runtime(0).tier.library
    index = [row[0] for row in library.kernels()].index("fused_adam")
    got = library.bind(index, refuse)(*arrays, count=count, steps=steps, **ADAM)
    wanted = NUMPY.find_kernel("fused_adam", TYPES[arrays[0].dtype])(
        *arrays, count=count, steps=steps, **ADAM
    )
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_steps_of_special_numbers(native: Any, value: float) -> None:
    arrays = operands(5, np.float32)
    arrays[len(SHAPES)][:] = value
    arrays[4 * len(SHAPES)][0] = value
    for name, width, attributes in CASES:
        with np.errstate(all="ignore"):
            wanted = call(NUMPY, name, arrays[: width * len(SHAPES)], **attributes)
        got = call(native, name, arrays[: width * len(SHAPES)], **attributes)
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)


def test_operands_that_are_not_covered_go_to_numpy(native: Any) -> None:
    arrays = operands(2, np.float32)
    library = native.runtime(0).tier.library
    index = [row[0] for row in library.kernels()].index("fused_sgd")
    kernel = library.bind(index, lambda *_, **__: "declined")
    attributes = SGD | {"first": False, "count": len(SHAPES)}
    read_only = arrays[0].copy()
    read_only.flags.writeable = False
    assert kernel(*arrays, **attributes, out=(read_only, *arrays[1 : len(SHAPES)])) == "declined"
    assert kernel(*arrays, **attributes, extra=1) == "declined"
    assert kernel(*arrays[:-1], **attributes) == "declined"
    assert kernel(*[x.astype(np.float16) for x in arrays], **attributes) == "declined"
    mixed = [arrays[0].astype(np.float64), *arrays[1:]]
    assert kernel(*mixed, **attributes) == "declined"
    assert kernel(**(attributes | {"count": 0})) == "declined"
