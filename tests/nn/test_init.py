"""Initial values: formulas, and refusals."""

import math

import pytest

import rushlight as rl
from rushlight import nn
from rushlight.nn import init


def spread(tensor):
    return float(tensor.abs().max()), float(tensor.std())


@pytest.mark.parametrize(
    ("fill", "bound"),
    [
        (lambda t: init.xavier_uniform_(t, gain=2.0), 2 * math.sqrt(6 / (40 + 100))),
        (lambda t: init.kaiming_uniform_(t, nonlinearity="relu"), math.sqrt(6 / 40)),
        (lambda t: init.kaiming_uniform_(t, mode="fan_out", nonlinearity="relu"),
         math.sqrt(6 / 100)),
        (lambda t: init.uniform_(t, -3, 3), 3.0),
    ],
)  # fmt: skip
def test_uniform_bounds(fill, bound):
    rl.manual_seed(0)
    largest, std = spread(fill(rl.empty(100, 40)))
    assert largest <= bound and largest > 0.98 * bound
    assert std == pytest.approx(bound / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (init.xavier_normal_, math.sqrt(2 / 140)),
        (lambda t: init.kaiming_normal_(t, a=1.0), math.sqrt(1 / 40)),
        (lambda t: init.normal_(t, 0.0, 0.3), 0.3),
    ],
)
def test_normal_deviations(fill, std):
    rl.manual_seed(0)
    assert spread(fill(rl.empty(100, 40)))[1] == pytest.approx(std, rel=0.05)


def test_truncated_normal_stays_inside():
    rl.manual_seed(0)
    tensor = init.trunc_normal_(rl.empty(5000), mean=1.0, std=2.0, a=0.0, b=2.0)
    assert float(tensor.min()) >= 0 and float(tensor.max()) <= 2
    assert float(tensor.mean()) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 3)])
def test_orthogonal_rows_or_columns(shape):
    matrix = init.orthogonal_(rl.empty(*shape), gain=2.0).reshape(shape[0], -1)
    product = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    assert float((product - 4 * rl.eye(product.shape[0])).abs().max()) < 1e-4


def test_constants_identity_dirac_and_sparse():
    assert init.constant_(rl.empty(2), 3.0).tolist() == [3.0, 3.0]
    assert init.eye_(rl.empty(2, 3)).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    conv = nn.Conv1d(4, 4, 3, padding=1, groups=2, bias=False)
    init.dirac_(conv.weight, groups=2)
    x = rl.randn(1, 4, 5)
    assert rl.equal(conv(x), x)
    zeros = (init.sparse_(rl.empty(10, 5), sparsity=0.3) == 0).sum(0)
    assert zeros.tolist() == [3] * 5


def test_parameters_are_filled_without_a_record():
    parameter = nn.Parameter(rl.empty(3, 3))
    assert init.normal_(parameter) is parameter and parameter.grad_fn is None


def test_gains():
    assert init.calculate_gain("leaky_relu", 0.2) == math.sqrt(2 / 1.04)
    assert init.calculate_gain("conv_transpose2d") == 1
    assert init.calculate_gain("tanh") == 5 / 3


@pytest.mark.parametrize(
    "act",
    [
        lambda: init.calculate_gain("zork"),
        lambda: init.calculate_gain("leaky_relu", "steep"),
        lambda: init.eye_(rl.empty(2)),
        lambda: init.dirac_(rl.empty(2, 2)),
        lambda: init.dirac_(rl.empty(3, 2, 2), groups=2),
        lambda: init.xavier_uniform_(rl.empty(2)),
        lambda: init.kaiming_normal_(rl.empty(2, 2), mode="fan"),
        lambda: init.orthogonal_(rl.empty(2)),
        lambda: init.sparse_(rl.empty(2), 0.1),
    ],
)
def test_refusals(act):
    with pytest.raises(ValueError):
        act()


@pytest.mark.parametrize("layer", [nn.Linear(50, 80), nn.Conv2d(2, 40, 5), nn.Conv1d(50, 80, 1)])
def test_default_values_of_layers(layer):
    bound = 1 / math.sqrt(layer.weight[0].numel())
    for parameter in (layer.weight, layer.bias):
        assert 0.8 * bound < float(parameter.abs().max()) <= bound
