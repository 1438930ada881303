"""The kernels of rushlight-cuda with NumPy in the place of CuPy: every sample of every operator."""

from __future__ import annotations

from collections import defaultdict
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight
from rushlight.backend.arrays._folding import fold_at
from rushlight.testing import conformance
from rushlight.testing.suite import Call, calls

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

BY_OPERATOR: dict[str, list[Call]] = defaultdict(list)
for _kind in ("value", "inplace", "out"):
    for _call in calls(_kind):
        BY_OPERATOR[_call.sample.group.name].append(_call)


@pytest.mark.parametrize("operator", BY_OPERATOR)
def test_operator(operator: str, cupy_standin: ModuleType) -> None:
    ran = 0
    for call in BY_OPERATOR[operator]:
        try:
            call(device="standin")
            ran += 1
        except pytest.skip.Exception:
            continue
    assert ran or not BY_OPERATOR[operator]


def test_a_singular_matrix_is_told(cupy_standin: ModuleType) -> None:
    x = rushlight.zeros(2, 2, device="standin")
    with pytest.raises(rushlight.linalg.LinAlgError, match="singular"):
        rushlight.linalg.inv(x)
    with pytest.raises(rushlight.linalg.LinAlgError, match="not positive-definite"):
        rushlight.linalg.cholesky(-x - 1)


@pytest.mark.parametrize(
    ("x", "y"),
    [(1.0, 0.1), (-7.0, 2.0), (7.0, -2.0), (0.0, -3.0), (1e9, 0.3), (-1.0, float("inf"))],
)
def test_rests_of_divisions_are_those_of_the_cpu(
    x: float, y: float, cupy_standin: ModuleType
) -> None:
    for dtype in (rushlight.float32, rushlight.float64, rushlight.bfloat16):
        a, b = rushlight.tensor([x], dtype=dtype), rushlight.tensor([y], dtype=dtype)
        there = (a.to("standin"), b.to("standin"))
        for function in (rushlight.remainder, rushlight.floor_divide):
            expected, found = function(a, b), function(*there).cpu()
            assert found.tolist() == expected.tolist()
            assert found.signbit().tolist() == expected.signbit().tolist()


def test_indices_out_of_range_are_told_though_the_module_wraps_around(
    cupy_standin: ModuleType,
) -> None:
    x = rushlight.arange(4, device="standin")
    bad = rushlight.tensor([1, 4], device="standin")
    raw = x._k.runtime.xp.asarray([0, 1, 2, 3])
    assert raw.take(cupy_standin.cupy.asarray([4])).get().tolist() == [0]
    for read in (
        lambda: x[bad],
        lambda: x.take(bad),
        lambda: x.gather(0, bad),
        lambda: x.index_select(0, bad),
        lambda: x.index_put((bad,), bad),
        lambda: x.scatter(0, bad, 1),
        lambda: x.index_add(0, bad, bad),
    ):
        with pytest.raises((IndexError, RuntimeError), match="index 4 is out of bounds"):
            read()


FOLDS = {"add": np.add, "multiply": np.multiply, "maximum": np.maximum, "minimum": np.minimum}


@settings(max_examples=60, deadline=None)
@given(
    index=st.lists(st.integers(0, 4), max_size=40), rows=st.sampled_from([(), (2,), (2, 3)]),
    name=st.sampled_from(sorted(FOLDS)), dtype=st.sampled_from("bB?lfdF"), seed=st.integers(0, 9),
)  # fmt: skip
def test_folding_at_equal_indices_is_numpys_at(
    index: list[int], rows: tuple[int, ...], name: str, dtype: str, seed: int
) -> None:
    import sys

    cupy = sys.modules["cupy_standin"].cupy
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 5, (len(index), *rows)).astype(dtype)
    out = rng.integers(0, 5, (5, *rows)).astype(dtype)
    expected = out.copy()
    places = np.array(index, np.int64)
    FOLDS[name].at(expected, places, values)
    there = cupy.array(out)
    fold_at(cupy, name, there, cupy.asarray(places), cupy.asarray(values))
    assert there.dtype == out.dtype
    np.testing.assert_allclose(there.get(), expected, rtol=1e-5)


@pytest.fixture(autouse=True)
def _with_standin(cupy_standin: ModuleType) -> None:
    """The stand-in is loaded before anything here runs."""


@pytest.mark.parametrize("stage", ["memory", "errors", "training", "reproducibility", "devices"])
def test_stage_of_the_conformance_suite(stage: str) -> None:
    results: list[conformance.Result] = []
    conformance.run("standin", stages=[stage], keep_going=True, listener=results.append)
    assert results
    assert [r for r in results if r.outcome not in ("passed", "skipped")] == []


def test_the_same_seed_gives_the_same_bits() -> None:
    for draw in (
        lambda **k: rushlight.rand(101, **k),
        lambda **k: rushlight.randn(101, **k),
        lambda **k: rushlight.randn(101, dtype=rushlight.float64, **k),
        lambda **k: rushlight.randint(-5, 1 << 40, (101,), **k),
        lambda **k: rushlight.randperm(101, **k),
    ):
        found = []
        for device in ("cpu", "standin"):
            generator = rushlight.Generator(device=device).manual_seed(7)
            found.append(draw(generator=generator, device=device).cpu().numpy().tobytes())
        assert found[0] == found[1]


def test_a_network_trains_as_on_the_cpu() -> None:
    from rushlight import nn

    def trained(device: str) -> list[float]:
        rushlight.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.GELU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(12, 4), nn.LayerNorm(4), nn.Linear(4, 2),
        ).to(device)  # fmt: skip
        optimizer = rushlight.optim.AdamW(model.parameters(), lr=0.01)
        x = rushlight.linspace(-1, 1, 144).sin().reshape(4, 1, 6, 6).to(device)
        y = rushlight.tensor([0, 1, 1, 0], device=device)
        losses: list[Any] = []
        for _ in range(4):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    assert trained("standin") == pytest.approx(trained("cpu"), rel=1e-4)


def test_bfloat16_keeps_its_bits_where_the_module_has_no_loop() -> None:
    x = rushlight.tensor([1.0, float("nan"), -0.0], dtype=rushlight.bfloat16, device="standin")
    found = rushlight.where(x > 0, x, x * 2).cpu()
    assert found.isnan().tolist() == [False, True, False]
    assert found.signbit().tolist()[2]
    assert np.dtype(ml_dtypes.bfloat16) == found.dtype.numpy
