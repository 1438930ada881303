"""Losses of `nn.functional` against definitions written out in NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import rushlight
import rushlight.nn.functional as F

RNG = np.random.default_rng(1)


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def tensor(array: np.ndarray) -> rushlight.Tensor:
    return rushlight.from_numpy(np.ascontiguousarray(array))


def log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_of_classes(smoothing, weighted):
    x, classes = real(5, 4), np.array([0, 3, -100, 1, 3])
    weight = np.array([1.0, 2.0, 0.5, 3.0]) if weighted else np.ones(4)
    logs = log_softmax(x)
    kept = classes != -100
    rows, known = np.arange(5)[kept], classes[kept]
    hard = -logs[rows, known] * weight[known]
    smooth = -(logs[rows] * weight).sum(-1) / 4
    expected = ((1 - smoothing) * hard + smoothing * smooth).sum() / weight[known].sum()
    actual = F.cross_entropy(
        tensor(x),
        rushlight.tensor(classes.tolist()),
        tensor(weight) if weighted else None,
        label_smoothing=smoothing,
    )
    np.testing.assert_allclose(float(actual), expected)


def test_cross_entropy_of_probabilities_and_of_images():
    x, p = real(3, 4), np.exp(log_softmax(real(3, 4)))
    expected = -(log_softmax(x) * p).sum(-1)
    actual = F.cross_entropy(tensor(x), tensor(p), reduction="none")
    np.testing.assert_allclose(actual.numpy(), expected)
    images, classes = real(2, 4, 3, 3), RNG.integers(0, 4, (2, 3, 3))
    logs = log_softmax(np.moveaxis(images, 1, -1))
    expected = -np.take_along_axis(logs, classes[..., None], -1)[..., 0]
    actual = F.cross_entropy(tensor(images), tensor(classes), reduction="none")
    np.testing.assert_allclose(actual.numpy(), expected)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (rushlight.zeros(2, dtype=rushlight.int64), ValueError),
        (rushlight.zeros(3, dtype=rushlight.int32), RuntimeError),
        (rushlight.zeros(3, 4, dtype=rushlight.int64), RuntimeError),
    ],
)
def test_cross_entropy_refuses_targets_that_do_not_fit(target, kind):
    with pytest.raises(kind):
        F.cross_entropy(rushlight.zeros(3, 4), target)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_linear_cross_entropy_in_pieces_equals_the_whole(reduction):
    options = rushlight.nn.LinearCrossEntropyOptions(batch_chunk_size=2, chunking_method=None)
    x, w, b = (tensor(real(*s)).requires_grad_() for s in ((7, 3), (5, 3), (5,)))
    classes = rushlight.tensor([0, 4, -100, 2, 1, 1, 3])
    results = []
    for pieces in (None, options):
        loss = F.linear_cross_entropy(
            x, w, classes, linear_bias=b, reduction=reduction, options=pieces
        )
        results.append([loss.detach(), *rushlight.autograd.grad(loss.sum(), (x, w, b))])
    for whole, pieced in zip(*results):
        np.testing.assert_allclose(pieced.numpy(), whole.numpy(), atol=1e-12)


def brute_force_ctc(logs: np.ndarray, labels: list[int]) -> float:
    total = 0.0
    for path in itertools.product(range(logs.shape[1]), repeat=logs.shape[0]):
        merged = [c for c, _ in itertools.groupby(path)]
        if [c for c in merged if c != 0] == labels:
            total += np.exp(sum(logs[t, c] for t, c in enumerate(path)))
    return -np.log(total)


def test_ctc_sums_over_all_alignments():
    logs = log_softmax(real(5, 3, 3))
    targets = [[1, 2], [1, 1], [2]]
    lengths = [5, 5, 3]
    expected = [brute_force_ctc(logs[:n, i], t) for i, (n, t) in enumerate(zip(lengths, targets))]
    padded = rushlight.tensor([[1, 2], [1, 1], [2, 0]])
    flat = rushlight.tensor([1, 2, 1, 1, 2])
    counts = rushlight.tensor([2, 2, 1])
    for form in (padded, flat):
        actual = F.ctc_loss(tensor(logs), form, rushlight.tensor(lengths), counts, reduction="none")
        np.testing.assert_allclose(actual.numpy(), expected)


def test_ctc_gradient_through_log_softmax_is_the_derivative():
    x = real(4, 2, 3)
    targets, counts = rushlight.tensor([[1, 2], [2, 0]]), rushlight.tensor([2, 1])

    def loss(values: np.ndarray) -> rushlight.Tensor:
        logits = tensor(values).requires_grad_()
        logs = logits.log_softmax(2)
        return logits, F.ctc_loss(logs, targets, rushlight.tensor([4, 3]), counts)

    logits, value = loss(x)
    (gradient,) = rushlight.autograd.grad(value, logits)
    for place in [(0, 0, 0), (2, 0, 1), (1, 1, 2), (3, 1, 0)]:
        up, down = x.copy(), x.copy()
        up[place] += 1e-6
        down[place] -= 1e-6
        slope = (float(loss(up)[1]) - float(loss(down)[1])) / 2e-6
        np.testing.assert_allclose(float(gradient[place]), slope, atol=1e-7)


def test_ctc_of_an_impossible_target_is_infinite_or_zeroed():
    logs = tensor(log_softmax(real(2, 1, 3))).requires_grad_()
    arguments = (rushlight.tensor([[1, 1]]), rushlight.tensor([2]), rushlight.tensor([2]))
    assert float(F.ctc_loss(logs, *arguments)) == float("inf")
    loss = F.ctc_loss(logs, *arguments, zero_infinity=True)
    (gradient,) = rushlight.autograd.grad(loss, logs)
    assert float(loss) == 0.0
    assert not bool(gradient.any())


def test_binary_cross_entropy_stays_finite_at_certainty():
    p = rushlight.tensor([0.0, 1.0, 0.5]).requires_grad_()
    loss = F.binary_cross_entropy(p, rushlight.tensor([1.0, 1.0, 0.0]), reduction="none")
    np.testing.assert_allclose(loss.detach().numpy(), [100.0, 0.0, np.log(2)], rtol=1e-6)
    (gradient,) = rushlight.autograd.grad(loss.sum(), p)
    np.testing.assert_allclose(gradient.numpy(), [-1e12, 0.0, 2.0])


def test_logits_version_equals_the_probability_version():
    x, t, w = real(6), RNG.random(6), RNG.random(6)
    p = 1 / (1 + np.exp(-x))
    expected = -(w * t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
    actual = F.binary_cross_entropy_with_logits(tensor(x), tensor(t), pos_weight=tensor(w))
    np.testing.assert_allclose(float(actual), expected)


@pytest.mark.parametrize(
    ("name", "kwargs", "definition"),
    [
        ("l1_loss", {}, lambda d: np.abs(d)),
        ("mse_loss", {}, lambda d: d * d),
        ("huber_loss", {"delta": 0.7}, lambda d: np.where(
            np.abs(d) <= 0.7, 0.5 * d * d, 0.7 * (np.abs(d) - 0.35))),
        ("smooth_l1_loss", {"beta": 0.7}, lambda d: np.where(
            np.abs(d) < 0.7, 0.5 * d * d / 0.7, np.abs(d) - 0.35)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_regression_losses(name, kwargs, definition, reduction):
    x, y = real(5, 3), real(5, 3)
    reduce = {"none": lambda v: v, "mean": np.mean, "sum": np.sum}[reduction]
    actual = getattr(F, name)(tensor(x), tensor(y), reduction=reduction, **kwargs)
    np.testing.assert_allclose(actual.numpy(), reduce(definition(x - y)))


def test_weighted_mean_divides_by_the_weights():
    x, w = rushlight.tensor([1.0, 3.0]), rushlight.tensor([3.0, 1.0])
    assert float(F.mse_loss(x, rushlight.zeros(2), weight=w)) == 3.0


def test_multilabel_margin_reads_targets_up_to_the_first_minus_one():
    x = np.array([0.1, 0.2, 0.4, 0.8])
    expected = sum(max(0, 1 - x[t] + x[c]) for t in (3, 0) for c in (1, 2)) / 4
    actual = F.multilabel_margin_loss(tensor(x), rushlight.tensor([3, 0, -1, 1]))
    np.testing.assert_allclose(float(actual), expected)


@pytest.mark.parametrize("name", ["l1_loss", "mse_loss", "soft_margin_loss", "huber_loss"])
def test_unknown_reduction_is_a_value_error(name):
    with pytest.raises(ValueError, match="abc is not a valid value for reduction"):
        getattr(F, name)(rushlight.ones(2), rushlight.ones(2), reduction="abc")
