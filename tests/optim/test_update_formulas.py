"""Every optimiser follows its formula, written out again in NumPy for one array."""

import numpy as np
import pytest

import rushlight
from rushlight import optim

STEPS = 12
SHAPE = (4, 3)


def momentum_sgd(p, g, s, t, lr=0.1, m=0.9, d=0.2, wd=0.05):
    g = g + wd * p
    s["v"] = g if t == 1 else m * s["v"] + (1 - d) * g
    return p - lr * s["v"]


def nesterov(p, g, s, t, lr=0.1, m=0.9):
    s["v"] = g if t == 1 else m * s["v"] + g
    return p - lr * (g + m * s["v"])


def moments(g, s, b1, b2):
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["v"] = b2 * s.get("v", 0) + (1 - b2) * g * g


def adam(p, g, s, t, lr=0.1, b1=0.8, b2=0.95, eps=1e-6, wd=0.1):
    moments(g + wd * p, s, b1, b2)
    return p - lr * (s["m"] / (1 - b1**t)) / (np.sqrt(s["v"] / (1 - b2**t)) + eps)


def amsgrad(p, g, s, t, lr=0.1, b1=0.9, b2=0.999, eps=1e-8):
    moments(g, s, b1, b2)
    s["top"] = np.maximum(s.get("top", 0), s["v"])
    return p - lr * (s["m"] / (1 - b1**t)) / (np.sqrt(s["top"] / (1 - b2**t)) + eps)


def adamw(p, g, s, t, lr=0.1, b1=0.9, b2=0.999, eps=1e-8, wd=0.1):
    moments(g, s, b1, b2)
    step = lr * (s["m"] / (1 - b1**t)) / (np.sqrt(s["v"] / (1 - b2**t)) + eps)
    return p * (1 - lr * wd) - step


def adamax(p, g, s, t, lr=0.1, b1=0.9, b2=0.999, eps=1e-8):
    s["m"] = b1 * s.get("m", 0) + (1 - b1) * g
    s["u"] = np.maximum(b2 * s.get("u", 0), abs(g) + eps)
    return p - lr / (1 - b1**t) * s["m"] / s["u"]


def nadam(p, g, s, t, lr=0.1, b1=0.9, b2=0.999, eps=1e-8, decay=0.004):
    moments(g, s, b1, b2)
    mu, following = (b1 * (1 - 0.5 * 0.96 ** (k * decay)) for k in (t, t + 1))
    s["mu"] = s.get("mu", 1.0) * mu
    look_ahead = following * s["m"] / (1 - s["mu"] * following) + (1 - mu) * g / (1 - s["mu"])
    return p - lr * look_ahead / (np.sqrt(s["v"] / (1 - b2**t)) + eps)


def radam(p, g, s, t, lr=0.1, b1=0.9, b2=0.9, eps=1e-8):
    moments(g, s, b1, b2)
    limit = 2 / (1 - b2) - 1
    rho = limit - 2 * t * b2**t / (1 - b2**t)
    m = s["m"] / (1 - b1**t)
    if rho <= 5:
        return p - lr * m
    r = np.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
    return p - lr * m * r * np.sqrt(1 - b2**t) / (np.sqrt(s["v"]) + eps)


def rmsprop(p, g, s, t, lr=0.1, a=0.9, eps=1e-8, m=0.5):
    s["v"] = a * s.get("v", 0) + (1 - a) * g * g
    s["g"] = a * s.get("g", 0) + (1 - a) * g
    s["b"] = m * s.get("b", 0) + g / (np.sqrt(s["v"] - s["g"] ** 2) + eps)
    return p - lr * s["b"]


def adagrad(p, g, s, t, lr=0.1, decay=0.5, start=0.1, eps=1e-10):
    s["s"] = s.get("s", start) + g * g
    return p - lr / (1 + (t - 1) * decay) * g / (np.sqrt(s["s"]) + eps)


def adadelta(p, g, s, t, lr=1.0, rho=0.9, eps=1e-6):
    s["v"] = rho * s.get("v", 0) + (1 - rho) * g * g
    step = np.sqrt(s.get("u", 0) + eps) / np.sqrt(s["v"] + eps) * g
    s["u"] = rho * s.get("u", 0) + (1 - rho) * step * step
    return p - lr * step


def asgd(p, g, s, t, lr=0.125, lambd=0.1, alpha=0.75):
    eta = np.float32(s.get("eta", lr))
    s["eta"] = lr / (1 + lambd * lr * t) ** alpha
    return p * (1 - lambd * float(eta)) - float(eta) * g


def rprop(p, g, s, t, lr=0.1, shrink=0.5, grow=1.2):
    agreement = np.sign(g * s.get("before", 0))
    factor = np.where(agreement > 0, grow, np.where(agreement < 0, shrink, 1.0))
    s["size"] = np.clip(s.get("size", lr) * factor, 1e-6, 50)
    s["before"] = g = np.where(agreement < 0, 0.0, g)
    return p - np.sign(g) * s["size"]


def rms(x):
    return np.sqrt(np.mean(x * x))


def adafactor(p, g, s, t, lr=0.01, decay=-0.8, wd=0.1):
    eps1 = np.finfo(p.dtype).eps
    keep = 1 - t**decay
    s["r"] = keep * s.get("r", 0) + (1 - keep) * np.mean(g * g, axis=1, keepdims=True)
    s["c"] = keep * s.get("c", 0) + (1 - keep) * np.mean(g * g, axis=0, keepdims=True)
    v = s["r"] @ s["c"] / max(np.mean(s["r"]), eps1)
    update = g / np.sqrt(np.maximum(v, eps1**2))
    rate = max(1e-3, rms(p)) * min(lr, 1 / np.sqrt(t))
    return p * (1 - lr * wd) - rate * update / max(1.0, rms(update))


CASES = {
    "sgd": (momentum_sgd, optim.SGD, {"momentum": 0.9, "dampening": 0.2, "weight_decay": 0.05}),
    "nesterov": (nesterov, optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adam": (adam, optim.Adam, {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    "amsgrad": (amsgrad, optim.Adam, {"amsgrad": True}),
    "adamw": (adamw, optim.AdamW, {"weight_decay": 0.1}),
    "adamax": (adamax, optim.Adamax, {}),
    "nadam": (nadam, optim.NAdam, {}),
    "radam": (radam, optim.RAdam, {"betas": (0.9, 0.9)}),
    "rmsprop": (rmsprop, optim.RMSprop, {"alpha": 0.9, "momentum": 0.5, "centered": True}),
    "adagrad": (adagrad, optim.Adagrad, {"lr_decay": 0.5, "initial_accumulator_value": 0.1}),
    "adadelta": (adadelta, optim.Adadelta, {"lr": 1.0}),
    "asgd": (asgd, optim.ASGD, {"lr": 0.125, "lambd": 0.1}),
    "rprop": (rprop, optim.Rprop, {}),
    "adafactor": (adafactor, optim.Adafactor, {"lr": 0.01, "weight_decay": 0.1}),
}


def gradients(seed=0):
    return list(np.random.default_rng(seed).standard_normal((STEPS, *SHAPE)))


def start():
    return np.random.default_rng(1).standard_normal(SHAPE)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("maximize", [False, True])
def test_trajectory_follows_the_formula(name, maximize):
    formula, kind, options = CASES[name]
    expected, state = start(), {}
    parameter = rushlight.tensor(expected.tolist(), dtype=rushlight.float64, requires_grad=True)
    optimizer = kind([parameter], **{"lr": 0.1, "maximize": maximize, **options})
    for t, gradient in enumerate(gradients(), 1):
        expected = formula(expected, -gradient if maximize else gradient, state, t)
        parameter.grad = rushlight.from_numpy(gradient.copy())
        optimizer.step()
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_a_loaded_state_continues_as_if_never_interrupted(name):
    _, kind, options = CASES[name]

    def run(interrupt):
        parameter = rushlight.tensor(start().tolist(), dtype=rushlight.float64, requires_grad=True)
        optimizer = kind([parameter], **options)
        for t, gradient in enumerate(gradients()):
            if interrupt and t == STEPS // 2:
                saved = optimizer.state_dict()
                optimizer = kind([parameter], **options)
                optimizer.load_state_dict(saved)
            parameter.grad = rushlight.from_numpy(gradient.copy())
            optimizer.step()
        return parameter.detach().numpy()

    # Scalars in the state take the dtype of the parameter, so they may round differently.
    np.testing.assert_allclose(run(interrupt=True), run(interrupt=False), rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in CASES if name != "adafactor"])
def test_a_complex_parameter_is_two_real_ones(name):
    _, kind, options = CASES[name]
    values = start() + 1j * start()[::-1]
    whole = rushlight.from_numpy(values.copy()).requires_grad_()
    parts = rushlight.from_numpy(np.stack([values.real, values.imag], -1)).requires_grad_()
    optimizers = [kind([whole], **options), kind([parts], **options)]
    for gradient, other in zip(gradients(), gradients(7)):
        whole.grad = rushlight.from_numpy(gradient + 1j * other)
        parts.grad = rushlight.from_numpy(np.stack([gradient, other], -1))
        for optimizer in optimizers:
            optimizer.step()
    found = whole.detach().numpy()
    np.testing.assert_allclose(
        np.stack([found.real, found.imag], -1), parts.detach().numpy(), rtol=1e-9
    )


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop", "adagrad"])
def test_a_tensor_learning_rate_is_as_good_as_a_number(name):
    _, kind, options = CASES[name]
    results = []
    for lr in (0.25, rushlight.tensor(0.25)):
        parameter = rushlight.tensor(start().tolist(), dtype=rushlight.float64, requires_grad=True)
        optimizer = kind([parameter], **{**options, "lr": lr})
        for gradient in gradients():
            parameter.grad = rushlight.from_numpy(gradient.copy())
            optimizer.step()
        results.append(parameter.detach().numpy())
    np.testing.assert_allclose(results[0], results[1], rtol=1e-12)


def test_muon_moves_along_a_nearly_orthogonal_matrix():
    parameter = rushlight.zeros(6, 4, requires_grad=True)
    gradient = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    parameter.grad = rushlight.from_numpy(gradient)
    optim.Muon([parameter], lr=1.0, weight_decay=0.0).step()
    singular_values = np.linalg.svd(parameter.detach().numpy(), compute_uv=False)
    # The rate grows by sqrt(6 / 4); five iterations bring singular values between 0.7 and 1.2.
    assert np.all(abs(singular_values / np.sqrt(1.5) - 0.95) < 0.3)


def test_asgd_averages_from_t0_on():
    parameter = rushlight.zeros(1, dtype=rushlight.float64, requires_grad=True)
    optimizer = optim.ASGD([parameter], lr=0.1, lambd=0.0, t0=2)
    seen = []
    for _ in range(6):
        parameter.grad = rushlight.ones(1, dtype=rushlight.float64)
        optimizer.step()
        seen.append(parameter.item())
    assert optimizer.state[parameter]["ax"].item() == pytest.approx(np.mean(seen[3:]), abs=1e-7)


def test_differentiable_steps_pass_gradients_to_the_gradient():
    start = rushlight.tensor([1.0], dtype=rushlight.float64, requires_grad=True)
    slope = rushlight.tensor([2.0], dtype=rushlight.float64, requires_grad=True)
    lr = rushlight.tensor(0.5, dtype=rushlight.float64, requires_grad=True)
    parameter = start.clone()
    parameter.grad = slope
    optim.SGD([parameter], lr=lr, differentiable=True).step()
    found = rushlight.autograd.grad(parameter.sum(), [start, slope, lr])
    assert [g.item() for g in found] == [1.0, -0.5, -2.0]
