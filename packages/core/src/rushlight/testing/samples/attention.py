"""Samples of attention."""

from typing import Any

import numpy as np

from ..references import logsumexp
from ._inputs import real
from ._table import FLOATING, FULL, case, samples


def _attention(q: Any, k: Any, v: Any, mask: Any, is_causal: Any, scale: Any) -> Any:
    scores = q @ np.swapaxes(k, -1, -2) * scale
    if is_causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    if mask is not None:
        scores = scores + mask
    lse = logsumexp(scores, -1)
    return np.exp(scores - lse[..., None]) @ v, lse


SAMPLES = [
    samples(
        "scaled_dot_product_attention",
        _attention,
        case(real(1, 2, 2), real(1, 3, 2), real(1, 3, 2), None, is_causal=False, scale=0.7),
        case(real(1, 3, 2), real(1, 3, 2), real(1, 3, 2), None, is_causal=True, scale=1.0),
        case(real(1, 2, 2), real(1, 2, 2), real(1, 2, 2), real(2, 2), is_causal=False, scale=0.5),
        dtypes=FLOATING,
        result=("same", "wide"),
        tolerance=32.0,
    ),
    samples(
        "attention_backward",
        None,
        case(
            real(1, 2, 2), real(1, 2, 2), real(1, 3, 2), real(1, 3, 2), None, real(1, 2, 2),
            real(1, 2), is_causal=False, scale=0.7,
        ),
        dtypes=FULL,
        tolerance=64.0,
        smooth=False,
    ),
]  # fmt: skip
