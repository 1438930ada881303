"""The way of a call: subclasses, kernels that refuse, devices, and the fast entries' exits."""

from typing import Any

import pytest

import rushlight as rl
from rushlight import Tensor


def test_subclass_is_asked_with_the_public_function() -> None:
    calls = []

    class Logged(Tensor):
        @classmethod
        def __rushlight_function__(
            cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            calls.append(func.__name__)
            return super().__rushlight_function__(func, types, args, kwargs)

    x = rl.ones(2).as_subclass(Logged)
    out = (x + 1).exp()
    assert type(out) is Logged
    assert type(rl.ones(2) * x) is Logged
    assert calls == ["add", "exp", "mul"]


def test_torch_function_is_understood_too() -> None:
    class Other(Tensor):
        __rushlight_function__ = None

        @classmethod
        def __torch_function__(
            cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            return "answered"

    assert rl.ones(2).as_subclass(Other) + 1 == "answered"


def test_subclass_that_does_not_answer() -> None:
    class Silent(Tensor):
        @classmethod
        def __rushlight_function__(cls, *args: Any, **kwargs: Any) -> Any:
            return NotImplemented

    with pytest.raises(TypeError, match="no implementation found"):
        rl.ones(2).as_subclass(Silent) + 1


def test_parameter_takes_the_plain_way() -> None:
    p = rl.nn.Parameter(rl.ones(2))
    assert type(p * 2) is Tensor
    (p * 2).sum().backward()
    assert p.grad.tolist() == [2.0, 2.0]


def test_refused_operands_are_explained_in_the_users_terms() -> None:
    with pytest.raises(RuntimeError) as raised:
        rl.ones(2, 3) + rl.ones(4)
    text = str(raised.value)
    assert text.startswith("add: The size of tensor a (3) must match the size of tensor b (4) at")
    assert "given:    shapes (2, 3) and (4,)" in text
    assert "expected: sizes that are equal, or 1" in text


def test_operands_that_are_no_tensors() -> None:
    with pytest.raises(TypeError, match=r"unsupported operand|expected a Tensor or a number"):
        rl.ones(2) + "text"
    with pytest.raises(TypeError, match="must be Tensor, not str"):
        rl.exp("text")  # type: ignore[arg-type]


def test_zero_keeps_its_sign_and_nan_its_place() -> None:
    x = rl.tensor([1.0])
    assert str((x * -0.0).item()) == "-0.0"
    assert str((x * 0.0).item()) == "0.0"
    assert (x * float("nan")).isnan().item()
    assert (x * float("nan")).isnan().item()


def test_same_number_of_other_types_is_not_confused() -> None:
    x = rl.tensor([2.0])
    assert (x * 1).item() == (x * 1.0).item() == (x * True).item() == 2.0
    i = rl.tensor([2])
    assert [(i * n).dtype for n in (1, 1.0, True)] == [rl.int64, rl.float32, rl.int64]


def test_results_are_fresh_memory() -> None:
    x = rl.ones(2)
    for y in (x + 0, x * 1, x.relu(), x.clone(), x.abs(), x.to(rl.float32, copy=True)):
        y.add_(1)
        assert x.tolist() == [1.0, 1.0]


def test_meta_tensors_know_shapes_and_refuse_alike() -> None:
    x, y = rl.ones(2, 1, device="meta"), rl.ones(3, device="meta", dtype=rl.float64)
    assert ((x + y).shape, (x + y).dtype) == ((2, 3), rl.float64)
    assert (x > y).dtype is rl.bool
    assert x.sum(0).shape == (1,)
    assert x.expand(2, 5)[1:].shape == (1, 5)
    with pytest.raises(RuntimeError, match="must match the size of tensor b"):
        y + rl.ones(2, device="meta")
    assert x.add_(1) is x


def test_out_receives_the_result() -> None:
    out = rl.empty(2)
    assert rl.add(rl.ones(2), 1, out=out) is out
    assert out.tolist() == [2.0, 2.0]
    with pytest.raises(RuntimeError, match="automatic differentiation"):
        rl.add(rl.ones(2, requires_grad=True), 1, out=out)
    with pytest.raises(RuntimeError, match="can't be cast"):
        rl.add(rl.ones(2), 1.5, out=rl.empty(2, dtype=rl.int64))
    with pytest.raises(TypeError, match="must be Tensor, not list"):
        rl.add(rl.ones(2), 1, out=[1.0])
    with pytest.warns(UserWarning, match="was resized"):
        rl.add(rl.ones(3), 1, out=out)
    assert out.shape == (3,)
