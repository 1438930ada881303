"""Elementwise operators: promotion's edges, in-place forms, Python's operators, sub-gradients."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight


def gradient(function: Callable[..., Any], *values: float) -> list[float]:
    leaves = [rushlight.tensor([v], dtype=rushlight.float64, requires_grad=True) for v in values]
    function(*leaves).sum().backward()
    return [leaf.grad.item() for leaf in leaves]


# -- Python's operators -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"])
def test_a_stranger_beside_an_operator_is_pythons_type_error(name: str) -> None:
    x = rushlight.tensor([1.0])
    with pytest.raises(TypeError, match="unsupported operand"):
        getattr(operator, name)(x, None)
    with pytest.raises(TypeError):
        getattr(operator, "i" + name)(x, None)


def test_comparing_with_a_stranger_is_false_and_not_an_error() -> None:
    x = rushlight.tensor([1.0])
    assert (x == "a") is False
    assert (x != None) is True  # noqa: E711
    with pytest.raises(TypeError, match="not supported between"):
        x < "a"  # type: ignore[operator]  # noqa: B015


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("iadd", [5, 9]), ("isub", [1, 5]), ("imul", [6, 14]), ("ifloordiv", [1, 3]), ("imod", [1, 1]),
     ("ipow", [9, 49]), ("ilshift", [12, 28]), ("irshift", [0, 1]), ("iand", [2, 2]),
     ("ior", [3, 7]), ("ixor", [1, 5])],
)  # fmt: skip
def test_an_augmented_assignment_keeps_the_tensor(name: str, wanted: list[int]) -> None:
    x = rushlight.tensor([3, 7])
    y = getattr(operator, name)(x, 2)
    assert y is x
    assert x.tolist() == wanted


def test_reflected_operators_take_the_number_first() -> None:
    x = rushlight.tensor([2, 3])
    assert (10 - x).tolist() == [8, 7]
    assert (7 // x).tolist() == [3, 2]
    assert (7 % x).tolist() == [1, 1]
    assert (2**x).tolist() == [4, 8]
    assert (1 << x).tolist() == [4, 8]


# -- in place ---------------------------------------------------------------------------------


def test_an_in_place_result_of_another_category_is_refused_and_nothing_is_written() -> None:
    x = rushlight.tensor([1, 2])
    with pytest.raises(RuntimeError, match="can't be cast"):
        x.add_(1.5)
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        x.mul_(rushlight.tensor([[1], [2]]))
    assert x.tolist() == [1, 2]
    assert x._version == 0


def test_a_clamp_that_does_not_fit_leaves_the_tensor_as_it_was() -> None:
    x = rushlight.tensor([-1.0, 2.0])
    with pytest.raises(RuntimeError):
        x.clamp_(rushlight.tensor([0.0, 0.0]), rushlight.tensor([[1.0], [1.0]]))
    assert x.tolist() == [-1.0, 2.0]


def test_an_operand_in_the_same_memory_is_read_before_it_is_written() -> None:
    x = rushlight.tensor([1.0, 2.0, 3.0, 4.0])
    x[1:].add_(x[:-1])
    assert x.tolist() == [1.0, 3.0, 5.0, 7.0]


def test_writing_over_a_saved_value_is_noticed() -> None:
    x = rushlight.tensor([1.0], requires_grad=True)
    y = x.exp()
    z = y * 1
    with rushlight.no_grad():
        y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        z.backward()


def test_in_place_abs_of_complex_elements_is_refused() -> None:
    with pytest.raises(RuntimeError, match="complex"):
        rushlight.tensor([1j]).abs_()


# -- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rushlight.tensor(True) - rushlight.tensor(True), "bool"),
        (lambda: 1 - rushlight.tensor(True), "bool"),
        (lambda: -rushlight.tensor([True]), "Negation"),
        (lambda: rushlight.tensor([1]) // 0, "ZeroDivisionError"),
        (lambda: rushlight.tensor([1]) % rushlight.tensor([0]), "ZeroDivisionError"),
        (lambda: rushlight.tensor([2]) ** -1, "negative integer powers"),
        (lambda: rushlight.tensor([1.0]) & 1, "bitwise_and"),
        (lambda: rushlight.tensor([1j]) < 0, "complex"),
        (lambda: rushlight.div(rushlight.tensor([1]), 2, rounding_mode="up"), "rounding_mode"),
        (lambda: rushlight.clamp(rushlight.tensor([1])), "must not be None"),
        (lambda: rushlight.add(rushlight.tensor([1]), 1, alpha=0.5), "alpha"),
        (lambda: rushlight.tensor([1.0, 2.0]) + rushlight.tensor([1.0, 2.0, 3.0]), "must match"),
    ],
)
def test_what_has_no_result_is_a_runtime_error_that_says_why(
    call: Callable[[], Any], words: str
) -> None:
    with pytest.raises(RuntimeError, match=words):
        call()


def test_a_function_of_a_tensor_wants_a_tensor() -> None:
    with pytest.raises(TypeError, match="must be Tensor, not float"):
        rushlight.exp(1.0)
    with pytest.raises(TypeError, match="must be Tensor, not int"):
        rushlight.add(1, 2)


# -- values -----------------------------------------------------------------------------------


def test_integers_are_divided_as_floats_and_rounded_on_request() -> None:
    x = rushlight.tensor([-7, 7])
    assert (x / 2).tolist() == [-3.5, 3.5]
    assert rushlight.div(x, 2, rounding_mode="trunc").tolist() == [-3, 3]
    assert rushlight.div(x, 2, rounding_mode="floor").tolist() == [-4, 3]


def test_a_zero_operand_keeps_its_sign() -> None:
    x = rushlight.tensor([1.0])
    assert math.copysign(1, (x * -0.0).item()) == -1
    assert math.copysign(1, (x * 0.0).item()) == 1
    assert math.copysign(1, rushlight.copysign(x, -0.0).item()) == -1


def test_the_sign_of_nan_is_zero_and_its_maximum_is_nan() -> None:
    nan = rushlight.tensor([math.nan])
    assert nan.sign().item() == 0
    assert math.isnan(rushlight.maximum(nan, rushlight.tensor([1.0])).item())
    assert rushlight.fmax(nan, rushlight.tensor([1.0])).item() == 1


def test_where_without_values_is_nonzero() -> None:
    rows, columns = rushlight.where(rushlight.tensor([[True, False], [False, True]]))
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [0, 1])


def test_where_of_two_numbers_has_the_default_dtype() -> None:
    out = rushlight.where(rushlight.tensor([True, False]), 1.0, 0.0)
    assert out.dtype is rushlight.float32
    assert out.tolist() == [1.0, 0.0]


def test_a_16_bit_lerp_does_not_round_its_weight_first() -> None:
    x, y = rushlight.tensor([0.0]).half(), rushlight.tensor([1000.0]).half()
    assert rushlight.lerp(x, y, 0.1).item() == np.float16(100.0)


# -- derivatives ------------------------------------------------------------------------------


def test_tied_operands_of_an_extremum_share_the_gradient() -> None:
    assert gradient(rushlight.maximum, 2.0, 2.0) == [0.5, 0.5]
    assert gradient(rushlight.minimum, 1.0, 2.0) == [1.0, 0.0]


def test_bounds_belong_to_the_inside_of_a_clamp_and_to_the_outside_of_a_hardtanh() -> None:
    assert gradient(lambda x: x.clamp(0, 1), 1.0) == [1.0]
    assert gradient(rushlight.ops.hardtanh, 1.0) == [0.0]


def test_corners_have_the_gradient_zero() -> None:
    assert gradient(rushlight.abs, 0.0) == [0.0]
    assert gradient(rushlight.relu, 0.0) == [0.0]


def test_powers_of_zero_have_finite_gradients() -> None:
    assert gradient(lambda x: x**0, 0.0) == [0.0]
    assert gradient(rushlight.pow, 0.0, 2.0) == [0.0, 0.0]


def test_a_branch_that_overflows_does_not_spoil_the_gradient() -> None:
    assert gradient(rushlight.ops.elu, 1e4) == [1.0]
    assert gradient(rushlight.ops.softplus, 1e4) == [1.0]


def test_the_gradient_of_a_modulus_points_outwards() -> None:
    z = rushlight.tensor([3 + 4j], requires_grad=True)
    z.abs().sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), [0.6 + 0.8j], rtol=1e-6)
