"""The device by itself: memory, limits, errors, training."""

import pytest

import rushlight as rl
from rushlight import nn
from rushlight.testing import assert_close


def ones(*shape: int) -> rl.Tensor:
    return rl.ones(*shape, device="template")


def test_memory_is_not_the_host_s() -> None:
    x = ones(3)
    host = x.cpu()
    host[0] = 5
    assert x.tolist() == [1, 1, 1]
    x.copy_(host)
    assert x.tolist() == [5, 1, 1] and str(x.device) == "template:0"
    with pytest.raises(TypeError, match=r"cpu\(\)"):
        x.numpy()


def test_views_share_memory() -> None:
    x = ones(2, 3)
    x.t()[1] = 0
    assert x.tolist() == [[1, 0, 1], [1, 0, 1]]


def test_limits_are_told() -> None:
    with pytest.raises(TypeError, match=r"it has no rushlight.float16"):
        ones(2).half()
    with pytest.raises(
        NotImplementedError, match=r"'template:0' has no kernel .* no decomposition"
    ):
        ones(2, 2).cumsum(0)
    with pytest.raises(RuntimeError, match="out of bounds"):
        ones(2, 2).gather(0, rl.full((1, 1), 7).to("template"))


def test_softmax_kernel_agrees_with_the_composed_one() -> None:
    x, weights = (rl.randn(4, 5).to("template").requires_grad_() for _ in range(2))
    e = (x - x.amax(1, keepdim=True)).exp()
    own, composed = x.softmax(1), e / e.sum(1, keepdim=True)
    assert_close(own, composed)
    (found,), (wanted,) = (rl.autograd.grad((y * weights).sum(), x) for y in (own, composed))
    assert_close(found, wanted)


def train(device: str) -> list[float]:
    rl.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(36, 3),
    ).to(device)  # fmt: skip
    x, target = rl.randn(16, 1, 8, 8).to(device), (rl.arange(16) % 3).to(device)
    optimizer = rl.optim.AdamW(model.parameters(), lr=0.01)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_training_goes_as_on_the_cpu() -> None:
    losses = train("template")
    assert losses == pytest.approx(train("cpu"), rel=1e-3)
    assert losses[-1] < losses[0]
