"""Samples of the pointwise parts of recurrent cells, and of layers over sequences."""

from typing import Any

import numpy as np

from ._inputs import real
from ._table import FULL, case, samples


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _lstm(gates: Any, c: Any) -> Any:
    i, f, g, o = np.split(gates, 4, axis=-1)
    i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
    cell = f * c + i * g
    return o * np.tanh(cell), cell, np.concatenate([i, f, g, o], -1)


def _gru(gi: Any, gh: Any, h: Any) -> Any:
    (ir, iz, new_i), (hr, hz, new_h) = np.split(gi, 3, axis=-1), np.split(gh, 3, axis=-1)
    r, z = _sigmoid(ir + hr), _sigmoid(iz + hz)
    new = np.tanh(new_i + r * new_h)
    return (1 - z) * new + z * h, np.concatenate([r, z, new], -1)


def _lstm_sequence(gates: Any, weight: Any, h: Any, c: Any, reverse: bool) -> Any:
    found = []
    for x in gates[::-1] if reverse else gates:
        h, c, active = _lstm(x + h @ weight.T, c)
        found.append((h, c, active))
    return tuple(np.stack(parts) for parts in zip(*found[:: -1 if reverse else 1], strict=True))


def _gru_sequence(gates: Any, weight: Any, bias: Any, h: Any, reverse: bool) -> Any:
    found = []
    for x in gates[::-1] if reverse else gates:
        share = h @ weight.T + bias
        h, active = _gru(x, share, h)
        found.append((h, active, np.split(share, 3, axis=-1)[2]))
    return tuple(np.stack(parts) for parts in zip(*found[:: -1 if reverse else 1], strict=True))


def _rnn_sequence(gates: Any, weight: Any, h: Any, relu: bool, reverse: bool) -> Any:
    found = []
    for x in gates[::-1] if reverse else gates:
        sums = x + h @ weight.T
        h = np.maximum(sums, 0) if relu else np.tanh(sums)
        found.append(h)
    return np.stack(found[:: -1 if reverse else 1])


_ALL: dict[str, Any] = {"dtypes": FULL, "tolerance": 64.0}

SAMPLES = [
    samples("lstm_pointwise", _lstm, case(real(2, 8), real(2, 2)), **_ALL),
    samples(
        "lstm_sequence",
        _lstm_sequence,
        case(real(3, 2, 8), real(8, 2), real(2, 2), real(2, 2), reverse=False),
        case(real(2, 1, 4), real(4, 1), real(1, 1), real(1, 1), reverse=True),
        **_ALL,
    ),
    samples(
        "gru_sequence",
        _gru_sequence,
        case(real(3, 2, 6), real(6, 2), real(6), real(2, 2), reverse=False),
        case(real(2, 1, 3), real(3, 1), real(3), real(1, 1), reverse=True),
        **_ALL,
    ),
    samples(
        "rnn_sequence",
        _rnn_sequence,
        case(real(3, 2, 2), real(2, 2), real(2, 2), relu=False, reverse=False),
        case(real(2, 1, 1), real(1, 1), real(1, 1), relu=False, reverse=True),
        case(real(3, 2, 2), real(2, 2), real(2, 2), relu=True, reverse=False),
        **_ALL,
    ),
    samples("gru_pointwise", _gru, case(real(2, 6), real(2, 6), real(2, 2)), **_ALL),
    # Gradients, which gradcheck of the cells compares with differences.
    samples(
        "lstm_pointwise_backward",
        None,
        case(real(2, 2), real(2, 2), real(2, 2), real(2, 2), real(2, 8)),
        **_ALL,
    ),
    samples(
        "lstm_sequence_backward",
        None,
        case(
            *(real(3, 2, 2), real(3, 2, 2), None, real(8, 2), real(2, 2), real(2, 2)),
            *(real(3, 2, 2), real(3, 2, 2), real(3, 2, 8)),
            reverse=False,
        ),
        **_ALL,
    ),
    samples(
        "gru_sequence_backward",
        None,
        case(
            *(real(3, 2, 2), None, None, real(6, 2), real(6), real(2, 2)),
            *(real(3, 2, 2), real(3, 2, 6), real(3, 2, 2)),
            reverse=False,
        ),
        **_ALL,
    ),
    samples(
        "rnn_sequence_backward",
        None,
        case(*(real(3, 2, 2), real(2, 2), real(2, 2), real(3, 2, 2)), relu=False, reverse=True),
        **_ALL,
    ),
    samples(
        "gru_pointwise_backward",
        None,
        case(real(2, 2), real(2, 6), real(2, 2), real(2, 6)),
        **_ALL,
    ),
]
