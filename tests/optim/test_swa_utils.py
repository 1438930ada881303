"""Averaged weights and their schedule."""

import math

import pytest

import rushlight
from rushlight import optim


def make_model():
    return rushlight.nn.Sequential(rushlight.nn.Linear(2, 3), rushlight.nn.BatchNorm1d(3))


def fill(model, value):
    with rushlight.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (lambda u: {}, 2.0),
        (lambda u: {"avg_fn": u.get_swa_avg_fn()}, 2.0),
        (lambda u: {"avg_fn": u.get_ema_avg_fn(0.5)}, 2.25),
        (lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.5)}, 2.25),
    ],
)
def test_weights_are_averaged(options, expected):
    model = make_model()
    averaged = optim.swa_utils.AveragedModel(model, **options(optim.swa_utils))
    for value in (1.0, 2.0, 3.0):
        fill(model, value)
        averaged.update_parameters(model)
    assert averaged.n_averaged.item() == 3
    for parameter in averaged.module.parameters():
        assert parameter.flatten()[0].item() == pytest.approx(expected)


def test_update_bn_computes_statistics_over_all_batches():
    model = rushlight.nn.BatchNorm1d(1)
    batches = [rushlight.tensor([[0.0], [2.0]]), rushlight.tensor([[4.0], [6.0]])]
    model.eval()
    optim.swa_utils.update_bn(batches, model)
    assert model.running_mean.item() == pytest.approx(3.0)
    assert model.momentum == 0.1 and not model.training


def test_swalr_moves_to_the_constant_rate():
    for strategy, share in (
        ("linear", lambda t: t / 4),
        ("cos", lambda t: (1 - math.cos(math.pi * t / 4)) / 2),
    ):
        optimizer = optim.SGD([rushlight.ones(1, requires_grad=True)], lr=1.0)
        scheduler = optim.swa_utils.SWALR(optimizer, 0.2, 4, strategy)
        rates = []
        for _ in range(7):
            rates += scheduler.get_last_lr()
            optimizer.step()
            scheduler.step()
        assert rates == pytest.approx([1 - 0.8 * share(min(t, 4)) for t in range(7)])


def test_misuse_is_refused():
    utils = optim.swa_utils
    optimizer = optim.SGD([rushlight.ones(1, requires_grad=True)])
    with pytest.raises(ValueError, match="cos"):
        utils.SWALR(optimizer, 0.1, anneal_strategy="x")
    with pytest.raises(ValueError, match="anneal_epochs"):
        utils.SWALR(optimizer, 0.1, anneal_epochs=-1)
    with pytest.raises(ValueError, match="decay"):
        utils.get_ema_avg_fn(1.5)
    with pytest.raises(ValueError, match="Only one"):
        utils.AveragedModel(
            make_model(), avg_fn=utils.get_swa_avg_fn(), multi_avg_fn=utils.get_swa_multi_avg_fn()
        )
