"""The base class: groups, checks, hooks, state."""

import copy
import pickle
import warnings

import pytest

import rushlight
from rushlight import optim


def weight(*shape):
    return rushlight.ones(*(shape or (2,)), requires_grad=True)


def with_gradient(*shape):
    p = weight(*shape)
    p.grad = rushlight.ones_like(p).detach()
    return p


class Custom(optim.Optimizer):
    """An optimiser of a user's own."""

    def __init__(self, params, lr=optim.optimizer.required):
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        return "done"


@pytest.mark.parametrize(
    ("params", "kind", "text"),
    [
        (lambda: weight(), TypeError, "iterable of Tensors or dicts"),
        (list, ValueError, "empty parameter list"),
        (lambda: [1], TypeError, "can only optimize Tensors"),
        (lambda: [weight() * 2], ValueError, "non-leaf"),
        (lambda: [{"params": {weight()}}], TypeError, "ordered collections"),
        (lambda: [("a", weight()), weight()], ValueError, "Some param names are missing"),
        (
            lambda: [{"params": [("a", weight())]}, {"params": [weight()]}],
            ValueError,
            "cannot add param group without names",
        ),
    ],
)
def test_unusable_parameters_are_refused(params, kind, text):
    with pytest.raises(kind, match=text):
        optim.SGD(params())


def test_a_parameter_cannot_be_in_two_groups():
    p = weight()
    with pytest.raises(ValueError, match="more than one parameter group"):
        optim.SGD([{"params": [p]}, {"params": [p]}])


def test_a_duplicate_within_a_group_warns():
    p = weight()
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.SGD([p, p])


def test_a_refused_group_changes_nothing():
    p = weight()
    optimizer = optim.SGD([p])
    group = {"params": [p]}
    with pytest.raises(ValueError):
        optimizer.add_param_group(group)
    assert len(optimizer.param_groups) == 1
    assert group == {"params": [p]}


def test_groups_take_the_defaults_they_do_not_set():
    optimizer = optim.Adam([{"params": [weight()]}, {"params": weight(), "lr": 0.5}], lr=0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5]
    assert optimizer.param_groups[1]["betas"] == (0.9, 0.999)


def test_a_required_option_must_be_given():
    with pytest.raises(ValueError, match="required optimization parameter lr"):
        Custom([weight()])
    assert Custom([{"params": [weight()], "lr": 1}]).step() == "done"


def test_names_of_parameters_are_kept():
    optimizer = optim.SGD([("a", weight()), ("b", weight())])
    assert optimizer.param_groups[0]["param_names"] == ["a", "b"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        (optim.SGD, {"lr": -1}, "Invalid learning rate: -1"),
        (optim.SGD, {"nesterov": True}, "Nesterov"),
        (optim.SGD, {"lr": [0.1, 0.2]}, "1-element"),
        (optim.Adam, {"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
        (optim.Adam, {"eps": -1}, "Invalid epsilon value: -1"),
        (optim.Adam, {"weight_decay": -1}, "Invalid weight_decay value: -1"),
        (optim.Adadelta, {"rho": 1.1}, "Invalid rho value: 1.1"),
        (optim.Rprop, {"etas": (1.0, 0.5)}, "Invalid eta values: 1.0, 0.5"),
        (optim.Adafactor, {"d": 0.0}, "Clipping threshold"),
        (optim.Muon, {"adjust_lr_fn": "other"}, "other is not supported"),
        (optim.LBFGS, {"lr": -1}, "Invalid learning rate"),
    ],
)
def test_options_out_of_range_are_refused(kind, options, text):
    if isinstance(options.get("lr"), list):
        options = {"lr": rushlight.tensor(options["lr"])}
    with pytest.raises(ValueError, match=text):
        kind([weight(2, 2)], **options)


def test_tensor_betas_come_in_pairs():
    with pytest.raises(ValueError, match="both floats or both Tensors"):
        optim.Adam([weight()], betas=(0.9, rushlight.tensor(0.99)))


def test_fused_excludes_foreach_and_differentiable():
    with pytest.raises(RuntimeError, match="foreach"):
        optim.Adam([weight()], fused=True, foreach=True)
    with pytest.raises(RuntimeError, match="differentiable"):
        optim.SGD([weight()], fused=True, differentiable=True)


def test_a_step_cannot_be_captured_on_the_host():
    optimizer = optim.Adam([with_gradient()], capturable=True)
    with pytest.raises(AssertionError, match="capturable"):
        optimizer.step()


def test_muon_wants_matrices():
    with pytest.raises(ValueError, match="2D"):
        optim.Muon([weight(3)])


def test_parameters_without_gradient_are_left_alone():
    p, q = with_gradient(), weight()
    optimizer = optim.Adam([p, q])
    optimizer.step()
    assert p in optimizer.state and q not in optimizer.state
    assert q.tolist() == [1.0, 1.0]


def test_zero_grad_drops_or_clears():
    p = with_gradient()
    gradient = p.grad
    optimizer = optim.SGD([p])
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is gradient and gradient.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert p.grad is None


def test_step_evaluates_its_closure_with_gradients():
    p = weight()
    optimizer = optim.SGD([p], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with rushlight.no_grad():
        assert optimizer.step(closure).item() == 2.0
    assert p.tolist() == [0.0, 0.0]


def test_hooks_run_around_a_step_and_may_replace_its_arguments():
    optimizer = optim.SGD([with_gradient()], lr=0.1)
    calls = []

    def before(which, args, kwargs):
        calls.append(("before", which is optimizer, len(args), kwargs))
        return (which, lambda: "loss"), {}

    handle = optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(lambda which, args, kwargs: calls.append(len(args)))
    assert optimizer.step() == "loss"
    assert calls == [("before", True, 1, {}), 2]
    handle.remove()
    assert optimizer.step() is None


def test_a_pre_hook_that_returns_something_else_is_an_error():
    optimizer = optim.SGD([with_gradient()])
    optimizer.register_step_pre_hook(lambda *_: 3)
    with pytest.raises(RuntimeError, match="None or a tuple"):
        optimizer.step()


def test_hooks_of_all_optimizers():
    calls = []
    handle = optim.optimizer.register_optimizer_step_post_hook(lambda *_: calls.append(1))
    with handle:
        optim.SGD([weight()]).step()
    optim.SGD([weight()]).step()
    assert calls == [1]


def test_a_subclass_that_calls_super_runs_hooks_once():
    class Loud(optim.SGD):
        def step(self, closure=None):
            return super().step(closure)

    calls = []
    optimizer = Loud([weight()])
    optimizer.register_step_pre_hook(lambda *_: calls.append(1))
    optimizer.step()
    assert calls == [1]


def test_state_dict_hooks_see_and_replace_the_dict():
    optimizer = optim.SGD([weight()])
    order = []
    optimizer.register_state_dict_pre_hook(lambda _: order.append("pre"))
    optimizer.register_state_dict_post_hook(lambda _, found: order.append("post"))
    optimizer.register_state_dict_post_hook(lambda _, found: {**found, "extra": 1}, prepend=True)
    assert optimizer.state_dict()["extra"] == 1
    assert order == ["pre", "post"]
    optimizer.register_load_state_dict_pre_hook(
        lambda _, saved: {key: saved[key] for key in ("state", "param_groups")}
    )
    optimizer.register_load_state_dict_post_hook(lambda _: order.append("loaded"))
    optimizer.load_state_dict(optimizer.state_dict())
    assert order[-1] == "loaded"


def test_state_dict_has_numbers_for_parameters():
    p, q = with_gradient(), with_gradient(3)
    optimizer = optim.Adam([{"params": [p]}, {"params": [q]}])
    optimizer.step()
    saved = optimizer.state_dict()
    assert [group["params"] for group in saved["param_groups"]] == [[0], [1]]
    assert list(saved["state"]) == [0, 1]
    assert list(saved["state"][0]) == ["step", "exp_avg", "exp_avg_sq"]
    assert saved["state"][0]["step"].dtype == rushlight.float32
    assert saved["state"][0]["step"].item() == 1.0


def test_loading_casts_state_to_the_parameter_but_not_the_step():
    p = with_gradient()
    optimizer = optim.Adam([p])
    optimizer.step()
    q = weight().detach().to(rushlight.float64).requires_grad_()
    successor = optim.Adam([q])
    successor.load_state_dict(optimizer.state_dict())
    assert successor.state[q]["exp_avg"].dtype == rushlight.float64
    assert successor.state[q]["step"].dtype == rushlight.float32


def test_loading_a_state_of_other_groups_is_refused_and_changes_nothing():
    p = with_gradient()
    optimizer = optim.Adam([p], lr=0.5)
    optimizer.step()
    two = optim.Adam([weight(), weight()]).state_dict()
    with pytest.raises(ValueError, match="doesn't match the size"):
        optimizer.load_state_dict(two)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict({"state": {}, "param_groups": []})
    assert optimizer.param_groups[0]["lr"] == 0.5 and p in optimizer.state


def test_copies_and_pickles_are_independent():
    p = with_gradient()
    optimizer = optim.Adam([p], lr=0.1)
    optimizer.step()
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        (own,) = other.param_groups[0]["params"]
        assert own is not p
        assert other.state[own]["step"].item() == 1.0
        own.grad = rushlight.ones(2)
        other.step()
    assert optimizer.state[p]["step"].item() == 1.0


def test_repr_lists_the_options_of_every_group():
    text = repr(optim.SGD([{"params": [weight()]}, {"params": [weight()], "lr": 2}], lr=1))
    assert text.splitlines()[:3] == ["SGD (", "Parameter Group 0", "    dampening: 0"]
    assert "    lr: 2" in text and text.endswith(")")


def test_swapped_in_parameters_are_stepped_instead():
    p = with_gradient()
    optimizer = optim.SGD([p], lr=1.0, momentum=0.5)
    q = with_gradient()
    with pytest.raises(RuntimeError, match="no state yet"):
        with optim.swap_in_optimizer_params_and_state(optimizer, {"w": q}, optimizer.state_dict()):
            pass
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    saved["param_groups"][0]["lr"] = 2.0
    with optim.swap_in_optimizer_params_and_state(optimizer, {"w": q}, saved):
        optimizer.step()
    assert p.tolist() == [0.0, 0.0] and q.tolist() == [-2.0, -2.0]
    assert saved["state"][0]["momentum_buffer"].tolist() == [1.5, 1.5]
    assert optimizer.state[p]["momentum_buffer"].tolist() == [1.0, 1.0]
    assert optimizer.param_groups[0]["lr"] == 1.0


def rosenbrock(optimizer, p):
    def closure():
        optimizer.zero_grad()
        loss = (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
        loss.backward()
        return loss

    return closure


def test_lbfgs_finds_the_minimum_of_a_curved_valley():
    p = rushlight.tensor([-1.2, 1.0], dtype=rushlight.float64, requires_grad=True)
    optimizer = optim.LBFGS([p], max_iter=100, line_search_fn="strong_wolfe")
    first = optimizer.step(rosenbrock(optimizer, p))
    assert first.item() == pytest.approx(24.2)
    assert p.tolist() == pytest.approx([1.0, 1.0], abs=1e-4)
    assert optimizer.state[p]["func_evals"] < 100


def test_lbfgs_takes_one_group_and_known_searches():
    with pytest.raises(ValueError, match="parameter groups"):
        optim.LBFGS([{"params": [weight()]}, {"params": [weight()]}])
    p = weight()
    with pytest.raises(RuntimeError, match="strong_wolfe"):
        optim.LBFGS([p], line_search_fn="other").step(lambda: p.sum())


def test_steps_emit_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optim.Adam([with_gradient()]).step()
