"""Containers and lazy modules."""

import copy
import pickle

import pytest

import rushlight as rl
from rushlight import nn


def kinds(modules):
    return [type(module).__name__ for module in modules]


def test_sequential_is_a_list_of_modules():
    s = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.GELU())
    assert kinds(s[1:]) == ["Tanh", "GELU"] and list(s[1:]._modules) == ["1", "2"]
    del s[0]
    assert list(s._modules) == ["0", "1"]
    s.insert(1, nn.SiLU())
    s.append(nn.Mish())
    s.extend(nn.Sequential(nn.ELU()))
    assert kinds(s) == ["Tanh", "SiLU", "GELU", "Mish", "ELU"]
    assert kinds(s + s[:1])[-1] == "Tanh" and len(s * 2) == 10
    assert kinds([s.pop(0), s[-1]]) == ["Tanh", "ELU"]
    s[0] = nn.Identity()
    assert kinds(s)[0] == "Identity" and getattr(s, "0") is s[0]


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (lambda: nn.Sequential(3), TypeError),
        (lambda: nn.Sequential()[0], IndexError),
        (lambda: nn.Sequential() + 3, ValueError),
        (lambda: nn.Sequential() * 0, ValueError),
        (lambda: nn.Sequential() * 1.5, TypeError),
        (lambda: nn.Sequential().insert(5, nn.ReLU()), IndexError),
        (lambda: nn.Sequential().insert(0, 3), AssertionError),
        (lambda: nn.ModuleList().extend(3), TypeError),
        (lambda: nn.ModuleList()(1), NotImplementedError),
        (lambda: nn.ModuleDict(3), TypeError),
        (lambda: nn.ModuleDict([(1,)]), ValueError),
        (lambda: nn.ModuleDict({"keys": nn.ReLU()}), KeyError),
        (lambda: nn.ParameterList([1])[5], IndexError),
        (lambda: nn.ParameterList()(), RuntimeError),
        (lambda: nn.ParameterDict({3: 4}), TypeError),
        (lambda: nn.ParameterDict().popitem(), KeyError),
    ],
)
def test_refusals(act, kind):
    with pytest.raises(kind):
        act()


def test_module_list_and_dict():
    layers = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()])
    assert repr(layers) == "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n)"
    layers.insert(0, nn.GELU())
    assert kinds(layers + [nn.Mish()]) == ["GELU", "ReLU", "ReLU", "Tanh", "Mish"]
    named = nn.ModuleDict({"b": nn.ReLU(), "a": nn.Tanh()})
    assert list(named) == ["b", "a"] and "a" in named
    assert kinds([named.pop("b")]) == ["ReLU"] and len(named) == 1
    assert not hasattr(named, "b")
    named.clear()
    assert len(named) == 0


def test_parameter_list_and_dict():
    weights = nn.ParameterList([rl.ones(2), 3, nn.Parameter(rl.ones(2, 3))])
    assert [name for name, _ in weights.named_parameters()] == ["0", "2"]
    assert weights[1] == 3 and len(weights[1:]) == 2
    assert "(1): Object of type: int" in repr(weights)
    named = nn.ParameterDict({"b": rl.ones(2), "a": rl.ones(3)})
    assert list(named.state_dict()) == ["a", "b"]
    assert set((named | nn.ParameterDict({"c": rl.ones(1)})).keys()) == {"a", "b", "c"}
    named["a"] = rl.zeros(3)
    assert named.pop("a").tolist() == [0.0, 0.0, 0.0] and "a" not in named


@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.parametrize(
    ("lazy", "shape", "becomes"),
    [
        (lambda: nn.LazyLinear(3), (2, 5), nn.Linear(5, 3)),
        (lambda: nn.LazyConv2d(4, 3, groups=2), (1, 2, 5, 5), nn.Conv2d(2, 4, 3, groups=2)),
        (lambda: nn.LazyConvTranspose1d(4, 3), (1, 2, 5), nn.ConvTranspose1d(2, 4, 3)),
        (nn.LazyBatchNorm1d, (2, 5), nn.BatchNorm1d(5)),
        (nn.LazyInstanceNorm2d, (2, 5, 3, 3), nn.InstanceNorm2d(5, affine=True,
                                                               track_running_stats=True)),
    ],
)  # fmt: skip
def test_lazy_modules_become_ordinary_ones(lazy, shape, becomes):
    module = lazy()
    assert all(nn.parameter.is_lazy(parameter) for parameter in module.parameters())
    for twin in (module, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        twin(rl.randn(*shape))
        assert repr(twin) == repr(becomes) and type(twin) is type(becomes)
        assert [(k, v.shape) for k, v in twin.state_dict().items()] == [
            (k, v.shape) for k, v in becomes.state_dict().items()
        ]
        assert not twin._forward_pre_hooks


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_lazy_module_takes_its_shape_from_a_state():
    module = nn.LazyLinear(3)
    module.load_state_dict(nn.Linear(5, 3).state_dict())
    assert type(module.weight) is nn.Parameter
    module(rl.ones(1, 5))
    assert repr(module) == "Linear(in_features=5, out_features=3, bias=True)"
    with pytest.raises(RuntimeError):
        nn.Linear(5, 3).load_state_dict(nn.LazyLinear(3).state_dict())
    with pytest.raises(RuntimeError, match="not known"):
        _ = nn.LazyLinear(3).weight.shape
