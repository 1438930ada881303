"""Samples of looking up rows."""

from typing import Any

import numpy as np

from ._inputs import index, real
from ._table import FLOATING, FULL, case, samples


def _backward(
    g: Any, indices: Any, num_embeddings: Any, padding_idx: Any, scale_grad_by_freq: Any
) -> Any:
    out = np.zeros((num_embeddings, g.shape[-1]), g.dtype)
    flat = indices.ravel()
    for row, target in zip(g.reshape(len(flat), -1), flat, strict=True):
        if target != padding_idx:
            out[target] += row / (np.sum(flat == target) if scale_grad_by_freq else 1)
    return out


SAMPLES = [
    samples(
        "embedding",
        lambda weight, indices, padding_idx, scale_grad_by_freq: weight[indices],
        case(real(4, 3), index(4, 2, 2), padding_idx=None, scale_grad_by_freq=False),
        case(real(4, 3), index(4, 0), padding_idx=None, scale_grad_by_freq=False),
        dtypes=FLOATING,
        tolerance=0.0,
    ),
    samples(
        "embedding_backward",
        _backward,
        case(real(5, 2), index(3, 5), num_embeddings=3, padding_idx=1, scale_grad_by_freq=False),
        case(real(5, 2), index(3, 5), num_embeddings=3, padding_idx=None, scale_grad_by_freq=True),
        dtypes=FULL,
        tolerance=16.0,
    ),
]
