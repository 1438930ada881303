"""Steps of optimisers on OpenCL, against the CPU backend, and a small network that learns."""

import numpy as np
import pytest

import rushlight as rl
from rushlight import nn

rushlight_opencl = pytest.importorskip("rushlight_opencl")
if not rushlight_opencl.devices():
    pytest.skip("no OpenCL device: pip install rushlight-opencl[pocl]", allow_module_level=True)

OPENCL = "opencl:0"
OPTIMISERS = {
    "sgd": lambda p: rl.optim.SGD(p, lr=0.1),
    "nesterov": lambda p: rl.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "dampened": lambda p: rl.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5, maximize=True),
    "adam": lambda p: rl.optim.Adam(p, lr=0.1, weight_decay=0.1),
    "amsgrad": lambda p: rl.optim.AdamW(p, lr=0.1, weight_decay=0.1, amsgrad=True, maximize=True),
    "rmsprop": lambda p: rl.optim.RMSprop(p, lr=0.1, centered=True, momentum=0.9),
    "adagrad": lambda p: rl.optim.Adagrad(p, lr=0.1, lr_decay=0.1, weight_decay=0.1),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_steps_equal_the_cpu(name: str) -> None:
    generator = np.random.default_rng(0)
    starts = [generator.standard_normal(s).astype(np.float32) for s in [(3, 5), (), (70,)]]
    grads = [[generator.standard_normal(p.shape).astype(np.float32) for p in starts]
             for _ in range(3)]  # fmt: skip
    ends = []
    for device in ("cpu", OPENCL):
        parameters = [nn.Parameter(rl.tensor(p, device=device)) for p in starts]
        parameters.append(nn.Parameter(rl.tensor(starts[0], device=device).t()))
        optimiser = OPTIMISERS[name](parameters)
        for row in grads:
            for p, g in zip(parameters, row, strict=False):
                p.grad = rl.tensor(g, device=device)
            parameters[3].grad = rl.tensor(row[0], device=device).t()
            optimiser.step()
        ends.append([p.detach().cpu().numpy() for p in parameters])
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(ends[1][3], ends[1][0].T)


def test_a_step_writes_nothing_beside_its_parameter() -> None:
    whole = rl.zeros(100, device=OPENCL)
    parameter = nn.Parameter(whole[10:20])
    parameter.grad = rl.ones(10, device=OPENCL)
    rl.optim.SGD([parameter], lr=1.0).step()
    assert whole.tolist() == [0] * 10 + [-1] * 10 + [0] * 80


def test_the_same_network_learns_the_same_on_both_devices() -> None:
    generator = np.random.default_rng(0)
    images = generator.standard_normal((16, 1, 12, 12)).astype(np.float32)
    labels = np.arange(16) % 4
    histories = []
    for device in ("cpu", OPENCL):
        rl.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3),
            nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32, 20), nn.ReLU(),
            nn.Linear(20, 4),
        ).to(device)  # fmt: skip
        optimiser = rl.optim.Adam(model.parameters(), lr=0.01)
        losses = []
        with rl.backend.fallback("error"):
            for _ in range(5):
                out = model(rl.tensor(images, device=device))
                loss = nn.functional.cross_entropy(out, rl.tensor(labels, device=device))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses.append(loss.item())
        histories.append(losses)
    np.testing.assert_allclose(*histories, rtol=1e-4)
    assert histories[1][-1] < histories[1][0]
