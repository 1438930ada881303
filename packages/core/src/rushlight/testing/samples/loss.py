"""Samples of losses over classes."""

from typing import Any

import numpy as np

from ..references import log_softmax, logsumexp
from ._inputs import constant, fixed, index, positive, real
from ._table import FLOATING, FULL, case, samples


def _nll(x: Any, target: Any, weight: Any, reduction: Any, ignore_index: Any) -> Any:
    kept = target != ignore_index
    safe = np.where(kept, target, 0)
    weights = kept * (np.ones(x.shape[1]) if weight is None else weight)[safe]
    loss = -np.take_along_axis(x, safe[:, None], 1)[:, 0] * weights
    if reduction == "none":
        return loss, 0.0
    total = weights.sum()
    return loss.sum() / (total if reduction == "mean" else 1), total


def _cross_entropy(x: Any, target: Any, ignore_index: Any, reduction: Any) -> Any:
    loss, _ = _nll(log_softmax(x, 1), target, None, reduction, ignore_index)
    return loss, logsumexp(x, 1)


_MEAN: dict[str, Any] = {"reduction": "mean", "ignore_index": -100}
_ALL: dict[str, Any] = {"dtypes": FLOATING, "tolerance": 16.0}

SAMPLES = [
    samples(
        "nll_loss",
        _nll,
        case(real(3, 4), index(4, 3), constant(positive(4)), **_MEAN),
        case(real(3, 4), fixed(0, 2, 1), None, reduction="sum", ignore_index=2),
        case(real(3, 4), fixed(0, 2, 1), None, reduction="mean", ignore_index=2),
        case(real(2, 3, 2), index(3, 2, 2), None, reduction="none", ignore_index=-100),
        # torch has no derivative by the weights.
        **_ALL,
    ),
    samples(
        "cross_entropy",
        _cross_entropy,
        case(real(3, 4), index(4, 3), **_MEAN),
        case(real(3, 4), fixed(0, 2, 1), reduction="sum", ignore_index=2),
        case(real(3, 4), fixed(0, 2, 1), reduction="mean", ignore_index=2),
        case(real(2, 3, 2), index(3, 2, 2), reduction="none", ignore_index=-100),
        result=("same", "wide"),
        **_ALL,
    ),
    # Gradients, which gradcheck of the losses compares with differences.
    samples(
        "nll_loss_backward",
        None,
        case(real(), index(4, 3), None, positive(), shape=(3, 4), **_MEAN),
        dtypes=FULL,
        tolerance=16.0,
        smooth=False,
    ),
    samples(
        "cross_entropy_backward",
        None,
        case(real(), real(3, 4), index(4, 3), real(3), **_MEAN),
        dtypes=FULL,
        tolerance=16.0,
    ),
]
