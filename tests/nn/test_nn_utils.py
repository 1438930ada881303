"""nn.utils: clipping, vectors, packed sequences, parametrizations, fusion, functional calls."""

import copy
import math
import pickle

import pytest

import rushlight as rl
from rushlight import nn
from rushlight.nn import utils
from rushlight.nn.utils import parametrizations, parametrize, rnn


def close(x, y, tol=1e-5):
    return float((x - y).abs().max()) < tol


def with_gradients(*values):
    parameters = [nn.Parameter(rl.zeros(len(v))) for v in values]
    for parameter, value in zip(parameters, values, strict=True):
        parameter.grad = rl.tensor(value)
    return parameters


def test_clip_by_norm():
    parameters = with_gradients([3.0], [0.0, 4.0])
    assert utils.clip_grad_norm_(parameters, 1.0).item() == 5
    assert close(parameters[1].grad, rl.tensor([0.0, 0.8]))
    assert utils.clip_grad_norm_(iter(parameters), 10.0).item() == pytest.approx(1.0, abs=1e-5)
    assert utils.clip_grad_norm_(with_gradients([3.0, -4.0]), 1.0, math.inf).item() == 4
    with pytest.raises(RuntimeError, match="non-finite"):
        utils.clip_grad_norm_(with_gradients([math.inf]), 1.0, error_if_nonfinite=True)


def test_clip_by_value():
    (parameter,) = with_gradients([-3.0, 0.5])
    utils.clip_grad_value_(parameter, 1.0)
    assert parameter.grad.tolist() == [-1.0, 0.5]


def test_vector_and_back():
    layer = nn.Linear(2, 3)
    vector = utils.parameters_to_vector(layer.parameters())
    utils.vector_to_parameters(vector.detach() * 0 + 2, layer.parameters())
    assert layer.weight.tolist() == [[2.0, 2.0]] * 3 and layer.bias.tolist() == [2.0] * 3


def test_packing_sorts_and_unpacks():
    sequences = [rl.arange(2.0), rl.arange(3.0) + 10, rl.arange(1.0) + 20]
    with pytest.raises(RuntimeError, match="sorted in decreasing order"):
        rnn.pack_sequence(sequences)
    packed = rnn.pack_sequence(sequences, enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [3, 2, 1]
    assert packed.data.tolist() == [10.0, 0.0, 20.0, 11.0, 1.0, 12.0]
    assert packed.sorted_indices.tolist() == [1, 0, 2]
    padded, lengths = rnn.pad_packed_sequence(
        packed, batch_first=True, padding_value=-1, total_length=4
    )
    assert padded.tolist()[2] == [20.0, -1.0, -1.0, -1.0] and lengths.tolist() == [2, 3, 1]
    assert [s.tolist() for s in rnn.unpack_sequence(packed)] == [s.tolist() for s in sequences]
    assert packed.double().data.dtype == rl.float64
    with pytest.raises(ValueError, match="total_length"):
        rnn.pad_packed_sequence(packed, total_length=2)
    with pytest.raises(RuntimeError, match="greater than 0"):
        rnn.pack_padded_sequence(rl.ones(2, 2), [2, 0])


def test_packing_is_differentiable():
    x = rl.ones(3, 2, requires_grad=True)
    rnn.pack_padded_sequence(x, [3, 1]).data.sum().backward()
    assert x.grad.tolist() == [[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]]


def test_padding_side():
    padded = rnn.pad_sequence([rl.ones(1), rl.ones(2)], batch_first=True, padding_side="left")
    assert padded.tolist() == [[0.0, 1.0], [1.0, 1.0]]


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).transpose(-1, -2)

    def right_inverse(self, x):
        return x.triu()


def test_parametrization_computes_assigns_and_leaves():
    layer = nn.Linear(3, 3)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    assert type(layer).__name__ == "ParametrizedLinear" and isinstance(layer, nn.Linear)
    assert list(dict(layer.named_parameters())) == ["bias", "parametrizations.weight.original"]
    assert close(layer.weight, layer.weight.T)
    value = rl.ones(3, 3)
    layer.weight = value
    assert close(layer.weight, value)
    layer(rl.ones(1, 3)).sum().backward()
    assert layer.parametrizations.weight.original.grad is not None
    twin = copy.deepcopy(layer)
    assert close(twin.weight, layer.weight) and twin.weight is not layer.weight
    with parametrize.cached():
        assert layer.weight is layer.weight
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear and isinstance(layer.weight, nn.Parameter)
    assert close(layer.weight, value)


def test_parametrization_refusals():
    layer = nn.Linear(2, 3)
    with pytest.raises(ValueError, match="does not have a parameter"):
        parametrize.register_parametrization(layer, "zork", nn.ReLU())
    with pytest.raises(ValueError, match="dtype or shape"):
        parametrize.register_parametrization(layer, "weight", nn.Flatten(0))
    assert type(layer) is nn.Linear and isinstance(layer.weight, nn.Parameter)
    with pytest.raises(ValueError, match="parametrization on weight"):
        parametrize.remove_parametrizations(layer, "weight")
    parametrizations.weight_norm(layer)
    with pytest.raises(RuntimeError, match="cannot be pickled"):
        pickle.dumps(layer)


def test_weight_norm_separates_length_and_direction():
    layer = nn.Linear(2, 3)
    before = layer.weight.detach().clone()
    parametrizations.weight_norm(layer)
    assert close(layer.weight, before)
    lengths = layer.parametrizations.weight.original0
    with rl.no_grad():
        lengths.fill_(2.0)
    assert close((layer.weight**2).sum(1), rl.full((3,), 4.0))


def test_spectral_norm_has_largest_singular_value_one():
    layer = parametrizations.spectral_norm(nn.Linear(4, 3), n_power_iterations=20)
    assert float(rl.linalg.svdvals(layer.weight)[0]) == pytest.approx(1.0, abs=1e-3)
    assert {"parametrizations.weight.0._u", "parametrizations.weight.0._v"} <= set(
        layer.state_dict()
    )


@pytest.mark.parametrize("size", [(3, 3), (3, 5), (5, 3)])
@pytest.mark.parametrize("kind", ["matrix_exp", "cayley", "householder", None])
def test_orthogonal(size, kind):
    layer = parametrizations.orthogonal(nn.Linear(*size), orthogonal_map=kind)
    w = layer.weight
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    assert close(product, rl.eye(product.shape[0]))


@pytest.mark.parametrize("transpose", [False, True])
def test_fusing_batch_norm(transpose):
    conv = (nn.ConvTranspose2d if transpose else nn.Conv2d)(2, 3, 3).eval()
    norm = nn.BatchNorm2d(3)
    norm(rl.randn(4, 3, 5, 5) * 2 + 1)
    norm.eval()
    x = rl.randn(1, 2, 6, 6)
    assert close(utils.fuse_conv_bn_eval(conv, norm, transpose)(x), norm(conv(x)))
    with pytest.raises(AssertionError, match="eval"):
        utils.fuse_conv_bn_eval(conv.train(), norm, transpose)


def test_fusing_batch_norm_into_linear():
    linear, norm = nn.Linear(2, 3, bias=False).eval(), nn.BatchNorm1d(3).eval()
    x = rl.randn(4, 2)
    assert close(utils.fuse_linear_bn_eval(linear, norm)(x), norm(linear(x)))


def test_skip_init():
    assert utils.skip_init(nn.Linear, 3, 4).weight.shape == (4, 3)
    with pytest.raises(RuntimeError, match="device"):
        utils.skip_init(nn.ReLU)


def test_functional_call_replaces_for_the_time():
    layer = nn.Linear(1, 1)
    before = layer.weight
    given = {"weight": rl.tensor([[3.0]], requires_grad=True), "bias": rl.zeros(1)}
    out = utils.stateless.functional_call(layer, given, rl.tensor([2.0]))
    assert out.item() == 6 and layer.weight is before
    out.backward()
    assert given["weight"].grad.item() == 2
    with pytest.raises(RuntimeError, match="Missing key"):
        utils.stateless.functional_call(layer, {}, rl.ones(1), strict=True)


def test_functional_call_follows_ties_and_returns_buffers():
    shared = nn.Linear(1, 1, bias=False)
    out = utils.stateless.functional_call(
        nn.Sequential(shared, shared), {"0.weight": rl.tensor([[2.0]])}, rl.ones(1)
    )
    assert out.item() == 4

    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", rl.zeros(1))

        def forward(self, x):
            self.count = self.count + x
            return self.count

    counter, state = Counter(), {"count": rl.ones(1)}
    utils.stateless.functional_call(counter, state, rl.ones(1))
    assert state["count"].item() == 2 and counter.count.item() == 0
