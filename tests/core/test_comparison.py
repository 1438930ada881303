"""assert_close: what counts as close, and what the message says about the rest."""

import math
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.testing._comparison import assert_close

NAN, INF = math.nan, math.inf


def t(*values: Any, **kwargs: Any) -> Any:
    return rl.tensor(list(values), **kwargs)


@pytest.mark.parametrize(
    ("actual", "expected", "options"),
    [
        (t(1.0, 2.0), t(1.0, 2.000001), {}),
        (t(0.0), t(1e-5), {}),
        (t(1.0, dtype=rl.float64), t(1.0 + 1e-8, dtype=rl.float64), {}),
        (t(1.0, dtype=rl.float16), t(1.001, dtype=rl.float16), {}),
        (t(1.0, dtype=rl.bfloat16), t(1.0078125, dtype=rl.bfloat16), {}),
        (t(1 + 1j), t(1 + 1.000001j), {}),
        (t(NAN, 1.0), t(NAN, 1.0), {"equal_nan": True}),
        (t(INF, -INF), t(INF, -INF), {}),
        (t(1.0), t(1), {"check_dtype": False}),
        (t(1.0), t(1.4), {"rtol": 0.0, "atol": 0.5}),
        (t(10), t(12), {"rtol": 0.0, "atol": 2.0}),
        (t(), t(), {}),
        ([1, (2.0, None)], [1, [2.0, None]], {}),
        ({"a": t(1.0), "b": True}, {"b": True, "a": t(1.0)}, {}),
        (np.array([1.0]), np.array([1.0]), {}),
        (np.float64(1.0), 1.0, {}),
        (rl.empty(2, device="meta"), rl.empty(2, device="meta"), {}),
    ],
)
def test_close(actual: Any, expected: Any, options: dict[str, Any]) -> None:
    assert_close(actual, expected, **options)


@pytest.mark.parametrize(
    ("actual", "expected", "options", "message"),
    [
        (t(0.0), t(2e-5), {}, "Tensor-likes are not close!"),
        (t(1.0, dtype=rl.float64), t(1.0 + 1e-6, dtype=rl.float64), {}, "up to 1e-07 allowed"),
        (t(1.0, dtype=rl.float16), t(1.01, dtype=rl.float16), {}, "up to 0.001 allowed"),
        (t(1, 2), t(1, 3), {}, "Tensor-likes are not equal!\n\nMismatched elements: 1 / 2 (50.0%)"),
        (t(1.0, 2.0), t(1.0, 5.0), {}, "Greatest absolute difference: 3.0 at index (1,)"),
        (t(1.0, 2.0), t(1.0, 4.0), {}, "Greatest relative difference: 0.5 at index (1,)"),
        (t([1, 2], [3, 5]), t([1, 2], [3, 4]), {}, "difference: 1 at index (1, 1)"),
        (t(True), t(False), {}, "Greatest absolute difference: 1 at index (0,)"),
        (t(0, dtype=rl.uint8), t(2, dtype=rl.uint8), {}, "Greatest absolute difference: 2"),
        (t(NAN), t(NAN), {}, "Greatest absolute difference: nan"),
        (t(INF), t(3.0), {}, "Greatest absolute difference: inf"),
        (t(3.0), t(INF), {}, "Greatest absolute difference: inf"),
        (
            t(1.0),
            t(1.0, 2.0),
            {},
            "'shape' do not match: rushlight.Size([1]) != rushlight.Size([2])",
        ),
        (t(1.0), t(1), {}, "'dtype' do not match: rushlight.float32 != rushlight.int64"),
        (t(1.0), rl.empty(1, device="meta"), {}, "'device' do not match: cpu != meta"),
        (rl.ones(2, 3), rl.ones(3, 2).t(), {"check_stride": True}, "(3, 1) != (1, 2)"),
        (rl.tensor(1.0), rl.tensor(2.0), {}, "Scalars are not close!\n\nExpected 2.0 but got 1.0."),
        (1, 2, {}, "Scalars are not equal!\n\nExpected 2 but got 1.\nAbsolute difference: 1\n"),
        (NAN, NAN, {}, "Expected nan but got nan."),
        (1, 1.0, {}, "The (d)types do not match: <class 'int'> != <class 'float'>."),
        (True, False, {}, "Booleans mismatch: True is not False"),
        (None, 1, {}, "None mismatch: None is not 1"),
        ([1], [1, 2], {}, "The length of the sequences mismatch: 1 != 2"),
        ({"a": 1}, {"b": 1}, {}, "Missing keys in the actual mapping: ['b']"),
        ({"a": 1}, {"b": 1}, {}, "Additional keys in the actual mapping: ['a']"),
        ([{"w": (0, t(1.0))}], [{"w": (0, t(2.0))}], {}, "occurred for item [0]['w'][1]"),
        (t(1.0), t(2.0), {"msg": "they drifted"}, "they drifted"),
        (t(1.0), t(2.0), {"msg": lambda text: "step 3: " + text}, "step 3: Tensor-likes are not"),
    ],
)
def test_not_close(actual: Any, expected: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_close(actual, expected, **options)
    assert message in str(caught.value)


def test_differences_of_the_widest_integers_do_not_wrap() -> None:
    with pytest.raises(AssertionError, match=f"difference: {2**64 - 1} at index"):
        assert_close(t(0, dtype=rl.uint64), t(2**64 - 1, dtype=rl.uint64))


@pytest.mark.parametrize("tolerances", [{"rtol": 0.1}, {"atol": 0.1}])
def test_one_tolerance_alone_is_refused(tolerances: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="rtol and atol go together"):
        assert_close(t(1.0), t(1.0), **tolerances)


@pytest.mark.parametrize(
    ("actual", "expected"), [("a", "a"), (t(1.0), [1.0]), (t(1.0), 1.0), ({"a": 1}, [1])]
)
def test_what_can_not_be_compared_is_a_type_error(actual: Any, expected: Any) -> None:
    with pytest.raises(TypeError, match="these can't be compared"):
        assert_close(actual, expected)


def test_subclasses_are_compared_unless_told_not_to() -> None:
    class Mass(rl.Tensor):
        pass

    mass = t(1.0).as_subclass(Mass)
    assert_close(mass, t(1.0))
    with pytest.raises(TypeError, match="these can't be compared"):
        assert_close(mass, t(1.0), allow_subclasses=False)
