"""Modes: recording, inference, anomaly; as blocks, decorators, and in threads."""

import threading
from collections.abc import Iterator

import pytest

import rushlight as rl
from rushlight import Tensor


def leaf(*values: float) -> Tensor:
    return rl.tensor(values, requires_grad=True)


def test_blocks_nest_and_restore() -> None:
    states = [rl.is_grad_enabled()]
    with rl.no_grad():
        states.append(rl.is_grad_enabled())
        with rl.enable_grad():
            states.append(rl.is_grad_enabled())
        states.append(rl.is_grad_enabled())
        with rl.set_grad_enabled(True):
            states.append(rl.is_grad_enabled())
        states.append(rl.is_grad_enabled())
    states.append(rl.is_grad_enabled())
    assert states == [True, False, True, False, True, False, True]


def test_block_restores_after_an_exception() -> None:
    with pytest.raises(KeyError), rl.no_grad():
        raise KeyError
    assert rl.is_grad_enabled()


def test_set_grad_enabled_as_a_call() -> None:
    try:
        rl.set_grad_enabled(False)
        assert not (leaf(1.0) * 2).requires_grad
    finally:
        rl.set_grad_enabled(True)
    assert (leaf(1.0) * 2).requires_grad


@pytest.mark.parametrize("decorate", [rl.no_grad, rl.no_grad(), rl.inference_mode])
def test_decorated_function(decorate: object) -> None:
    @decorate
    def double(x: Tensor) -> Tensor:
        """Its own docstring."""
        return x * 2

    assert not double(leaf(1.0)).requires_grad
    assert double.__doc__ == "Its own docstring."
    assert rl.is_grad_enabled()


def test_set_grad_enabled_as_a_decorator_changes_nothing_outside() -> None:
    @rl.set_grad_enabled(False)
    def double(x: Tensor) -> Tensor:
        return x * 2

    assert rl.is_grad_enabled()
    assert not double(leaf(1.0)).requires_grad


def test_decorated_generator_leaves_the_consumer_alone() -> None:
    log = []

    @rl.no_grad()
    def numbers(x: Tensor) -> Iterator[Tensor]:
        try:
            received = yield x * 1
            while True:
                log.append(received)
                try:
                    received = yield x * 2
                except ValueError:
                    log.append(("caught", rl.is_grad_enabled()))
                    received = yield x * 3
        finally:
            log.append(("closed", rl.is_grad_enabled()))

    x = leaf(1.0)
    generator = numbers(x)
    assert not next(generator).requires_grad
    assert rl.is_grad_enabled()
    assert generator.send("sent").item() == 2.0
    assert generator.throw(ValueError).item() == 3.0
    assert rl.is_grad_enabled()
    generator.close()
    assert log == ["sent", ("caught", False), ("closed", False)]


def test_decorated_generator_returns_its_value() -> None:
    @rl.no_grad()
    def one() -> Iterator[int]:
        yield 1
        return 5

    generator = one()
    next(generator)
    with pytest.raises(StopIteration) as end:
        next(generator)
    assert end.value.value == 5


def test_inference_mode() -> None:
    assert not rl.is_inference_mode_enabled()
    x = leaf(1.0)
    with rl.inference_mode():
        assert rl.is_inference_mode_enabled()
        assert not rl.is_grad_enabled()
        y = x * 2
        with rl.inference_mode(False):
            assert not rl.is_inference_mode_enabled()
            assert (x * 2).requires_grad
    assert not rl.is_inference_mode_enabled()
    assert not y.requires_grad
    with rl.no_grad(), rl.inference_mode(False):
        assert not rl.is_grad_enabled()


def test_new_thread_starts_recording() -> None:
    found = []
    with rl.no_grad():
        thread = threading.Thread(target=lambda: found.append(rl.is_grad_enabled()))
        thread.start()
        thread.join()
    assert found == [True]


def test_anomaly_names_the_forward_line_of_a_nan() -> None:
    x = leaf(0.0)
    with rl.autograd.detect_anomaly():
        y = (x * 0).sqrt()  # here it begins
        with pytest.raises(RuntimeError, match="returned nan values in its 0th output") as raised:
            (y * 0).sum().backward()
    assert "SqrtBackward0" in str(raised.value)
    assert "here it begins" in "".join(raised.value.__notes__)


def test_anomaly_without_nan_check() -> None:
    x = leaf(0.0)
    with rl.autograd.detect_anomaly(check_nan=False):
        ((x * 0).sqrt() * 0).sum().backward()
    assert x.grad.isnan().item()


def test_anomaly_names_the_line_of_a_view_and_of_a_write() -> None:
    x = leaf(1.0, 2.0)
    with rl.autograd.detect_anomaly():
        part = x.view(2, 1)  # a view
        base = rl.zeros(2)
        base[0] = part[0, 0]  # a write
    lines = "".join(part.grad_fn.extra["traceback"])
    assert "# a view" in lines
    assert "# a write" in "".join(base.grad_fn.extra["traceback"])


def test_anomaly_shows_the_forward_line_of_a_stale_value() -> None:
    x = leaf(1.0)
    with rl.autograd.set_detect_anomaly(True):
        assert rl.is_anomaly_enabled()
        y = x.exp()  # recorded here
        y.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation") as raised:
            y.sum().backward()
    assert not rl.is_anomaly_enabled()
    assert "recorded here" in str(raised.value) + "".join(raised.value.__notes__)


def test_default_device_and_dtype_are_used_by_factories() -> None:
    assert rl.get_default_dtype() is rl.float32
    rl.set_default_dtype(rl.float64)
    try:
        assert rl.tensor([1.0]).dtype is rl.float64
        assert rl.zeros(1).dtype is rl.float64
        assert (rl.tensor([1]) / 2).dtype is rl.float64
        assert rl.tensor([1j]).dtype is rl.complex128
    finally:
        rl.set_default_dtype(rl.float32)
    with pytest.raises(TypeError, match="floating"):
        rl.set_default_dtype(rl.int32)
