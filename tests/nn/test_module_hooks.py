"""Hooks around calls, backward passes and registrations."""

import pytest

import rushlight as rl
from rushlight import nn
from rushlight.nn.modules import module as global_hooks


class Double(nn.Module):
    def forward(self, x, fail=False):
        if fail:
            raise ValueError("boom")
        return x * 2


def test_forward_hooks_run_in_order_and_replace():
    module, log = Double(), []
    module.register_forward_pre_hook(lambda m, args: log.append("second"))
    first = module.register_forward_pre_hook(
        lambda m, args, kwargs: (log.append("first"), ((args[0] + 1,), kwargs))[1],
        prepend=True,
        with_kwargs=True,
    )
    module.register_forward_hook(lambda m, args, out: out + 10)
    assert module(rl.ones(1)).item() == 14
    assert log == ["first", "second"]
    first.remove()
    assert module(rl.ones(1)).item() == 12


def test_a_single_replacement_is_wrapped_in_a_tuple():
    module = Double()
    with module.register_forward_pre_hook(lambda m, args: rl.zeros(1)):
        assert module(rl.ones(1)).item() == 0
    assert module(rl.ones(1)).item() == 2


def test_a_pre_hook_with_kwargs_must_return_a_pair():
    module = Double()
    module.register_forward_pre_hook(lambda m, args, kwargs: 3, with_kwargs=True)
    with pytest.raises(RuntimeError, match="new_args, new_kwargs"):
        module(rl.ones(1))


def test_always_called_hooks_run_after_an_error_and_once_otherwise():
    module, log = Double(), []
    module.register_forward_hook(lambda m, args, out: log.append(out), always_call=True)
    with pytest.raises(ValueError, match="boom"):
        module(rl.ones(1), fail=True)
    assert log == [None]
    module(rl.ones(1))
    assert len(log) == 2


def test_full_backward_hooks_see_and_replace_gradients():
    module, seen = Double(), []
    module.register_full_backward_pre_hook(lambda m, grad_output: (grad_output[0] * 3,))
    module.register_full_backward_hook(lambda m, gi, go: seen.append((gi[0].item(), go[0].item())))
    module.register_full_backward_hook(lambda m, gi, go: (gi[0] + 1,))
    x = rl.ones(1, requires_grad=True)
    module(x).sum().backward()
    assert seen == [(6.0, 3.0)]
    assert x.grad.item() == 7


def test_full_backward_hook_where_no_input_needs_a_gradient():
    layer, seen = nn.Linear(1, 1), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go[0].item())))
    layer(rl.ones(1, 1)).sum().backward()
    assert seen == [((None,), 1.0)]
    layer.register_full_backward_hook(lambda m, gi, go: (rl.ones(1),))
    with pytest.raises(RuntimeError, match="no input requires"):
        layer(rl.ones(1, 1)).sum().backward()


def test_kinds_of_backward_hooks_do_not_mix():
    module = Double()
    module.register_full_backward_hook(lambda m, gi, go: None)
    with pytest.raises(RuntimeError, match="cannot use both"):
        module.register_backward_hook(lambda m, gi, go: None)


def test_global_hooks_reach_every_module_until_removed():
    seen = []
    handle = global_hooks.register_module_forward_hook(
        lambda m, args, out: seen.append(type(m).__name__)
    )
    nn.Sequential(nn.ReLU())(rl.ones(1))
    handle.remove()
    nn.ReLU()(rl.ones(1))
    assert seen == ["ReLU", "Sequential"]


def test_registration_hooks_may_replace():
    handle = global_hooks.register_module_parameter_registration_hook(
        lambda m, name, param: nn.Parameter(rl.zeros(2)) if name == "marked" else None
    )
    with handle:
        module = nn.Module()
        module.marked = nn.Parameter(rl.ones(2))
    assert module.marked.tolist() == [0.0, 0.0]
