"""Registration, lookup, enumeration, conversion and copies of modules."""

import copy
import gc
import pickle
import weakref

import pytest

import rushlight as rl
from rushlight import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.norm = nn.BatchNorm1d(3)
        self.scale = nn.Parameter(rl.ones(1))
        self.register_buffer("scratch", rl.zeros(2), persistent=False)

    def forward(self, x):
        return self.norm(self.first(x)) * self.scale


def test_names_in_order_of_registration_and_depth():
    names = [name for name, _ in Net().named_parameters()]
    assert names == ["scale", "first.weight", "first.bias", "norm.weight", "norm.bias"]
    assert [name for name, _ in Net().named_modules()] == ["", "first", "norm"]
    assert "scratch" in dict(Net().named_buffers())
    assert "scratch" not in Net().state_dict()


def test_shared_members_are_given_once_unless_asked():
    shared = nn.Linear(2, 2)
    pair = nn.Sequential(shared, shared)
    assert len(list(pair.parameters())) == 2
    assert len(list(pair.named_parameters(remove_duplicate=False))) == 4
    twin = copy.deepcopy(pair)
    assert twin[0] is twin[1] and twin[0].weight is not shared.weight


def test_registries_written_directly_are_seen_as_attributes():
    net = Net()
    net._modules["first"] = nn.Identity()
    assert isinstance(net.first, nn.Identity)
    del net._parameters["scale"]
    assert not hasattr(net, "scale")
    net._parameters.update(other=nn.Parameter(rl.zeros(1)))
    assert net.other is net._parameters["other"]


def test_assignment_moves_a_name_between_kinds():
    module = nn.Module()
    module.x = 3
    module.x = nn.Parameter(rl.ones(1))
    assert list(module._parameters) == ["x"]
    module.x = None
    assert module.x is None and list(module._parameters) == ["x"]
    del module.x
    module.x = nn.Buffer(rl.ones(1), persistent=False)
    module.x = rl.zeros(1)
    assert list(module._buffers) == ["x"] and list(module.state_dict()) == []


def test_a_dropped_module_is_freed_without_the_garbage_collector():
    gc.disable()
    try:
        module = nn.Linear(2, 2)
        seen = weakref.ref(module)
        del module
        assert seen() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("act", "kind", "message"),
    [
        (lambda m: m.register_parameter("a.b", None), KeyError, "can't contain"),
        (lambda m: m.register_parameter("", None), KeyError, "can't be empty"),
        (lambda m: m.register_parameter(3, None), TypeError, "should be a string"),
        (lambda m: m.register_parameter("forward", None), KeyError, "already exists"),
        (lambda m: m.register_parameter("p", rl.ones(1)), TypeError, "Parameter or None"),
        (lambda m: m.register_buffer("first", rl.ones(1)), KeyError, "already exists"),
        (lambda m: m.register_buffer("b", 4), TypeError, "Tensor or None"),
        (lambda m: m.add_module("m", 3), TypeError, "not a Module subclass"),
        (lambda m: setattr(m, "scale", rl.ones(1)), TypeError, "cannot assign"),
        (lambda m: setattr(m, "first", 3), TypeError, "child module"),
        (lambda m: setattr(m.norm, "running_mean", 3), TypeError, "as buffer"),
        (lambda m: m.missing, AttributeError, "'Net' object has no attribute 'missing'"),
        (lambda m: delattr(m, "missing"), AttributeError, "missing"),
        (lambda m: m.get_submodule("first.weight"), AttributeError, "not an nn.Module"),
        (lambda m: m.get_parameter("first"), AttributeError, "not an nn.Parameter"),
        (lambda m: m.get_buffer("scale"), AttributeError, "not a buffer"),
        (lambda m: m.set_submodule("", nn.ReLU()), ValueError, "without a name"),
        (lambda m: m.set_submodule("scale", nn.ReLU()), AttributeError, "not an nn.Module"),
        (lambda m: m.to(rl.int32), TypeError, "only floating point"),
        (lambda m: m.train(3), ValueError, "boolean"),
        (lambda m: nn.Module()(1), NotImplementedError, "forward"),
        (lambda m: nn.Module(3), TypeError, "takes no arguments"),
    ],
)
def test_refusals(act, kind, message):
    with pytest.raises(kind, match=message):
        act(Net())


@pytest.mark.parametrize("value", [lambda: nn.Parameter(rl.ones(1)), nn.ReLU])
def test_assignment_before_init_is_refused(value):
    class Early(nn.Module):
        def __init__(self):
            self.member = value()

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        Early()


def test_lookup_by_path():
    net = nn.Sequential(Net())
    assert net.get_submodule("0.first") is net[0].first
    assert net.get_parameter("0.scale") is net[0].scale
    assert net.get_buffer("0.scratch") is net[0].scratch
    net.set_submodule("0.first", nn.Identity())
    assert isinstance(net[0].first, nn.Identity)


def test_conversion_keeps_identity_and_converts_gradients():
    net = Net()
    parameter = net.scale
    parameter.grad = rl.ones(1)
    assert net.double() is net
    assert net.scale is parameter
    assert parameter.dtype == rl.float64 and parameter.grad.dtype == rl.float64
    assert net.norm.num_batches_tracked.dtype == rl.int64
    assert net.to(rl.ones(1, dtype=rl.float32)).first.weight.dtype == rl.float32
    assert net.scratch.dtype == rl.float32


def test_modes_and_gradients():
    net = Net()
    assert not net.eval().norm.training and net.train().norm.training
    net.requires_grad_(False)
    assert not any(parameter.requires_grad for parameter in net.parameters())
    net.scale.grad = rl.ones(1)
    net.zero_grad(set_to_none=False)
    assert net.scale.grad.item() == 0
    net.zero_grad()
    assert net.scale.grad is None


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_independent(duplicate):
    net = Net()
    twin = duplicate(net)
    assert list(twin.state_dict()) == list(net.state_dict())
    assert twin.scale is twin._parameters["scale"] and twin.scale is not net.scale
    with rl.no_grad():
        twin.scale.fill_(7)
    assert net.scale.item() == 1
    twin.scale = None
    assert twin._parameters["scale"] is None


def test_printing():
    assert repr(nn.Sequential(Net())) == (
        "Sequential(\n  (0): Net(\n    (first): Linear(in_features=2, out_features=3, bias=True)\n"
        "    (norm): BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, "
        "track_running_stats=True)\n  )\n)"
    )
    assert {"scale", "first", "scratch", "forward"} <= set(dir(Net()))


def test_an_error_names_the_module_it_passed():
    model = nn.Sequential(nn.Sequential(nn.BatchNorm2d(3)))
    with pytest.raises(ValueError, match=r"in Sequential\.0\.0"):
        model(rl.ones(2))


def test_parameter_is_a_plain_subclass():
    parameter = nn.Parameter(rl.ones(2))
    assert type(parameter) is nn.Parameter and parameter.requires_grad
    assert repr(parameter) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    assert type(parameter + 1) is rl.Tensor
    assert isinstance(nn.Buffer(rl.ones(1)), nn.Buffer)
    parameter.note = "kept"
    loaded = pickle.loads(pickle.dumps(parameter))
    assert type(loaded) is nn.Parameter and loaded.note == "kept"
    with pytest.raises(RuntimeError, match="floating point"):
        nn.Parameter(rl.ones(2, dtype=rl.int64))
