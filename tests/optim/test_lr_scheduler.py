"""Schedules follow their formulas; misuse is told; state is restored."""

import math
import warnings

import pytest

import rushlight
from rushlight import optim
from rushlight.optim import lr_scheduler

STEPS = 25


def make_optimizer(kind=optim.SGD, lr=0.5, **options):
    groups = [rushlight.ones(1, requires_grad=True) for _ in range(2)]
    if kind is optim.SGD:
        options = {"momentum": 0.9, **options}
    return kind([{"params": groups[:1]}, {"params": groups[1:], "lr": lr / 2}], lr=lr, **options)


def drive(scheduler, steps=STEPS, arguments=lambda t: ()):
    optimizer = scheduler.optimizer
    rates = [float(optimizer.param_groups[0]["lr"])]
    for t in range(steps):
        optimizer.step()
        scheduler.step(*arguments(t))
        rates.append(float(optimizer.param_groups[0]["lr"]))
        assert [float(group["lr"]) for group in optimizer.param_groups] == [
            float(lr) for lr in scheduler.get_last_lr()
        ]
    return rates


def warm_restarts(t):
    start, length = 0, 4
    while t >= start + length:
        start, length = start + length, 2 * length
    return 0.1 + 0.4 * (1 + math.cos(math.pi * (t - start) / length)) / 2


def triangle(t, up=4, down=6):
    t %= up + down
    return 0.1 + 0.8 * (t / up if t <= up else 1 - (t - up) / down)


def one_cycle(t, total=30, peak=0.3 * 30 - 1):
    low, high, last = 0.04, 1.0, 0.04 / 1e4

    def cosine(a, b, share):
        return b + (a - b) / 2 * (math.cos(math.pi * share) + 1)

    if t <= peak:
        return cosine(low, high, t / peak)
    return cosine(high, last, (t - peak) / (total - 1 - peak))


CASES = {
    "LambdaLR": ((lambda t: 1 / (1 + t),), {}, lambda t: 0.5 / (1 + t)),
    "MultiplicativeLR": ((lambda t: 0.9,), {}, lambda t: 0.5 * 0.9**t),
    "StepLR": ((4,), {"gamma": 0.5}, lambda t: 0.5 * 0.5 ** (t // 4)),
    "MultiStepLR": (
        ([3, 9, 9],),
        {},
        lambda t: 0.5 * 0.1 ** sum(t >= m for m in (3, 9, 9)),
    ),
    "ConstantLR": ((), {"factor": 0.25, "total_iters": 6}, lambda t: 0.5 * (0.25 if t < 6 else 1)),
    "LinearLR": (
        (),
        {"start_factor": 0.5, "end_factor": 0.25, "total_iters": 8},
        lambda t: 0.5 * (0.5 - 0.25 * min(t, 8) / 8),
    ),
    "ExponentialLR": ((0.8,), {}, lambda t: 0.5 * 0.8**t),
    "PolynomialLR": (
        (),
        {"total_iters": 10, "power": 2.0},
        lambda t: 0.5 * (1 - min(t, 10) / 10) ** 2,
    ),
    "CosineAnnealingLR": (
        (7,),
        {"eta_min": 0.1},
        lambda t: 0.1 + 0.4 * (1 + math.cos(math.pi * t / 7)) / 2,
    ),
    "CosineAnnealingWarmRestarts": ((4,), {"T_mult": 2, "eta_min": 0.1}, warm_restarts),
    "CyclicLR": ((0.1, 0.9), {"step_size_up": 4, "step_size_down": 6}, triangle),
    "OneCycleLR": ((1.0,), {"total_steps": 30}, one_cycle),
}


@pytest.mark.parametrize("name", CASES)
def test_rates_follow_the_formula(name):
    arguments, options, formula = CASES[name]
    scheduler = getattr(lr_scheduler, name)(make_optimizer(), *arguments, **options)
    expected = [formula(t) for t in range(STEPS + 1)]
    assert drive(scheduler) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_tensor_rates_are_written_in_place(name):
    arguments, options, formula = CASES[name]
    lr = rushlight.tensor(0.5)
    optimizer = optim.SGD([rushlight.ones(1, requires_grad=True)], lr=lr, momentum=0.9)
    scheduler = getattr(lr_scheduler, name)(optimizer, *arguments, **options)
    expected = [formula(t) for t in range(STEPS + 1)]
    assert drive(scheduler) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert optimizer.param_groups[0]["lr"] is lr


@pytest.mark.parametrize("name", CASES)
def test_a_loaded_state_continues(name):
    arguments, options, formula = CASES[name]
    optimizer = make_optimizer()
    scheduler = getattr(lr_scheduler, name)(optimizer, *arguments, **options)
    drive(scheduler, 11)
    successor = make_optimizer()
    next_scheduler = getattr(lr_scheduler, name)(successor, *arguments, **options)
    successor.load_state_dict(optimizer.state_dict())
    next_scheduler.load_state_dict(scheduler.state_dict())
    expected = [formula(t) for t in range(11, 20)]
    assert drive(next_scheduler, 8) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_momentum_moves_against_the_rate():
    for kind, read in (
        (optim.SGD, lambda group: group["momentum"]),
        (optim.Adam, lambda group: group["betas"][0]),
    ):
        optimizer = make_optimizer(kind)
        scheduler = lr_scheduler.CyclicLR(optimizer, 0.1, 0.9, step_size_up=2)
        momenta = [read(optimizer.param_groups[0])]
        for _ in range(4):
            optimizer.step()
            scheduler.step()
            momenta.append(read(optimizer.param_groups[0]))
        assert momenta == pytest.approx([0.9, 0.85, 0.8, 0.85, 0.9])


def test_sequence_hands_over_at_milestones():
    optimizer = make_optimizer()
    parts = [
        lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=4),
        lr_scheduler.ExponentialLR(optimizer, 0.9),
    ]
    rates = drive(lr_scheduler.SequentialLR(optimizer, parts, milestones=[4]), 7)
    assert rates == pytest.approx([0.25, 0.3125, 0.375, 0.4375, 0.5, 0.45, 0.405, 0.3645])


def test_sequences_nest():
    optimizer = make_optimizer()
    inner = lr_scheduler.SequentialLR(
        optimizer,
        [
            lr_scheduler.ConstantLR(optimizer, 0.5, total_iters=2),
            lr_scheduler.ConstantLR(optimizer, 1.0),
        ],
        milestones=[2],
    )
    outer = lr_scheduler.SequentialLR(
        optimizer, [inner, lr_scheduler.ExponentialLR(optimizer, 0.5)], milestones=[4]
    )
    assert drive(outer, 5) == pytest.approx([0.25, 0.25, 0.5, 0.5, 0.5, 0.25])


def test_chained_factors_multiply():
    optimizer = make_optimizer()
    parts = [
        lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2),
        lr_scheduler.ExponentialLR(optimizer, 0.5),
    ]
    assert drive(lr_scheduler.ChainedScheduler(parts), 3) == pytest.approx(
        [0.25, 0.125, 0.125, 0.0625]
    )


def test_plateau_waits_reduces_and_cools_down():
    scheduler = lr_scheduler.ReduceLROnPlateau(
        make_optimizer(), factor=0.5, patience=1, cooldown=2, min_lr=0.2
    )
    losses = [3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    rates = drive(scheduler, len(losses), lambda t: (rushlight.tensor(losses[t]),))
    assert rates == [0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.2]


def test_plateau_in_absolute_terms_and_upwards():
    scheduler = lr_scheduler.ReduceLROnPlateau(
        make_optimizer(), mode="max", patience=0, threshold=0.5, threshold_mode="abs"
    )
    assert drive(scheduler, 3, lambda t: ([1.0, 1.6, 1.9][t],)) == pytest.approx(
        [0.5, 0.5, 0.5, 0.05]
    )


def test_stepping_before_the_optimizer_warns():
    scheduler = lr_scheduler.StepLR(make_optimizer(), 3)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()


def test_the_right_order_does_not_warn():
    optimizer = make_optimizer()
    scheduler = lr_scheduler.StepLR(optimizer, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drive(scheduler, 3)


def test_a_replaced_step_warns():
    optimizer = make_optimizer()
    scheduler = lr_scheduler.StepLR(optimizer, 3)
    optimizer.step = lambda: None
    with pytest.warns(UserWarning, match="overridden"):
        scheduler.step()


def test_an_explicit_epoch_warns_and_takes_the_closed_form():
    optimizer = make_optimizer()
    scheduler = lr_scheduler.StepLR(optimizer, 3)
    optimizer.step()
    with pytest.warns(UserWarning, match="deprecated"):
        scheduler.step(6)
    assert scheduler.get_last_lr()[0] == pytest.approx(0.005)


def test_get_lr_by_hand_warns():
    scheduler = lr_scheduler.StepLR(make_optimizer(), 3)
    with pytest.warns(UserWarning, match="get_last_lr"):
        scheduler.get_lr()


def parts(optimizer):
    return [lr_scheduler.StepLR(optimizer, 2), lr_scheduler.StepLR(optimizer, 2)]


@pytest.mark.parametrize(
    ("build", "kind", "text"),
    [
        (lambda o: lr_scheduler.StepLR(3, 2), TypeError, "not an Optimizer"),
        (lambda o: lr_scheduler.StepLR(o, 2, last_epoch=3), KeyError, "initial_lr"),
        (lambda o: lr_scheduler.LambdaLR(o, [abs]), ValueError, "Expected 2 lr_lambdas"),
        (lambda o: lr_scheduler.ConstantLR(o, 2), ValueError, "between 0 and 1"),
        (lambda o: lr_scheduler.LinearLR(o, 0), ValueError, "greater than 0"),
        (lambda o: lr_scheduler.LinearLR(o, 0.1, 2), ValueError, "between 0 and 1"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1), ValueError, "Factor"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, mode="x"), ValueError, "unknown"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, min_lr=[1]), ValueError, "min_lrs"),
        (lambda o: lr_scheduler.CyclicLR(o, 0.1, [0.2]), ValueError, "same length"),
        (lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.2, mode="x"), ValueError, "mode is invalid"),
        (
            lambda o: lr_scheduler.CyclicLR(make_optimizer(optim.Rprop), 0.1, 0.2),
            ValueError,
            "cycle_momentum",
        ),
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 0), ValueError, "T_0"),
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 1, 0), ValueError, "T_mult"),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1), ValueError, "either total_steps"),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1, 0), ValueError, "positive integer"),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1, 9, pct_start=2), ValueError, "pct_start"),
        (lambda o: lr_scheduler.SequentialLR(o, [], []), ValueError, "at least one"),
        (lambda o: lr_scheduler.SequentialLR(o, parts(o), []), ValueError, "milestones"),
        (
            lambda o: lr_scheduler.SequentialLR(o, parts(o)[:1] + parts(make_optimizer()), [1, 2]),
            ValueError,
            "same optimizer",
        ),
        (
            lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.ReduceLROnPlateau(o)]),
            ValueError,
            "metric",
        ),
        (lambda o: lr_scheduler.ChainedScheduler([3]), TypeError, "optimizer"),
    ],
)
def test_misuse_is_refused(build, kind, text):
    with pytest.raises(kind, match=text):
        build(make_optimizer())


def test_one_cycle_ends():
    scheduler = lr_scheduler.OneCycleLR(make_optimizer(), 0.1, total_steps=2)
    drive(scheduler, 2)
    with pytest.raises(ValueError, match="Tried to step 3 times"):
        scheduler.step()


def test_callable_objects_are_saved_with_a_schedule():
    class Decay:
        def __init__(self, base):
            self.base = base

        def __call__(self, epoch):
            return self.base**epoch

    first = lr_scheduler.LambdaLR(make_optimizer(), Decay(0.5))
    second = lr_scheduler.LambdaLR(make_optimizer(), Decay(0.9))
    second.load_state_dict(first.state_dict())
    assert second.lr_lambdas[0].base == 0.5
