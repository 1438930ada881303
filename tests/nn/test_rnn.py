"""Recurrent layers against their equations in NumPy, and against themselves packed."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight
from rushlight import nn
from rushlight.nn.utils.rnn import pack_sequence, pad_packed_sequence


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def step(kind, x, state, wi, wh, bi, bh):
    h = state[0]
    a, b = x @ wi.T + bi, h @ wh.T + bh
    if kind == "RNN":
        return (np.tanh(a + b),)
    if kind == "LSTM":
        i, f, g, o = np.split(a + b, 4, -1)
        c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    (ar, az, an), (br, bz, bn) = np.split(a, 3, -1), np.split(b, 3, -1)
    r, z = sigmoid(ar + br), sigmoid(az + bz)
    n = np.tanh(an + r * bn)
    return ((1 - z) * n + z * h,)


def reference(kind, model, x, hidden):
    """Two layers in two directions, written as loops."""
    p = {name: value.detach().numpy() for name, value in model.named_parameters()}
    finals = []
    for layer in range(2):
        outs = []
        for suffix in (f"_l{layer}", f"_l{layer}_reverse"):
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            weights = [p[name + suffix] for name in names]
            state = tuple(h[len(finals)] for h in hidden)
            steps = range(len(x))
            out = [None] * len(x)
            for t in reversed(steps) if "reverse" in suffix else steps:
                state = step(kind, x[t], state, *weights)
                out[t] = state[0]
            outs.append(np.stack(out))
            finals.append(state)
        x = np.concatenate(outs, -1)
    return x, [np.stack(part) for part in zip(*finals)]


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_two_layers_in_two_directions(kind):
    rng = np.random.default_rng(0)
    model = getattr(nn, kind)(4, 6, 2, bidirectional=True, dtype=rushlight.float64)
    x = rng.standard_normal((5, 3, 4))
    hidden = [rng.standard_normal((4, 3, 6)) for _ in range(2 if kind == "LSTM" else 1)]
    states = [rushlight.from_numpy(h) for h in hidden]
    out, final = model(rushlight.from_numpy(x), tuple(states) if kind == "LSTM" else states[0])
    expected, expected_final = reference(kind, model, x, hidden)
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=1e-9)
    for actual, wanted in zip(final if kind == "LSTM" else (final,), expected_final):
        np.testing.assert_allclose(actual.detach().numpy(), wanted, rtol=1e-9)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_packed_sequences_equal_the_sequences_one_by_one(kind):
    rushlight.manual_seed(0)
    model = getattr(nn, kind)(4, 6, 2, bidirectional=True)
    sequences = [rushlight.randn(n, 4) for n in (2, 5, 3)]
    packed, final = model(pack_sequence(sequences, enforce_sorted=False))
    out, lengths = pad_packed_sequence(packed)
    assert lengths.tolist() == [2, 5, 3]
    for i, sequence in enumerate(sequences):
        alone, alone_final = model(sequence)
        np.testing.assert_allclose(
            out[: len(sequence), i].detach().numpy(), alone.detach().numpy(), atol=1e-6
        )
        hidden = final[0] if kind == "LSTM" else final
        alone_hidden = alone_final[0] if kind == "LSTM" else alone_final
        np.testing.assert_allclose(
            hidden[:, i].detach().numpy(), alone_hidden.detach().numpy(), atol=1e-6
        )


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_cell_is_one_step_of_the_layer(kind):
    layer, cell = getattr(nn, kind)(4, 6), getattr(nn, kind + "Cell")(4, 6)
    cell.load_state_dict({name[:-3]: value for name, value in layer.state_dict().items()})
    x = rushlight.randn(3, 4)
    out, _ = layer(x.unsqueeze(0))
    result = cell(x)
    hidden = result[0] if kind == "LSTM" else result
    np.testing.assert_allclose(hidden.detach().numpy(), out[0].detach().numpy(), atol=1e-6)


def test_projection_narrows_the_hidden_state_only():
    model = nn.LSTM(4, 6, 2, proj_size=2, batch_first=True)
    out, (hidden, cell) = model(rushlight.randn(3, 5, 4))
    assert [tuple(t.shape) for t in (out, hidden, cell)] == [(3, 5, 2), (2, 3, 2), (2, 3, 6)]
    assert tuple(model.weight_hr_l1.shape) == (2, 6)


def test_state_dict_names_are_those_of_torch():
    names = list(nn.LSTM(2, 3, proj_size=1, bidirectional=True).state_dict())
    stems = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"]
    assert names == [s + end for end in ("_l0", "_l0_reverse") for s in stems]


def test_gradients_reach_all_parameters_and_the_initial_state():
    model = nn.GRU(2, 3, 2, bidirectional=True)
    start = rushlight.zeros(4, 1, 3, requires_grad=True)
    out, final = model(rushlight.randn(4, 1, 2), start)
    (out.sum() + final.sum()).backward()
    assert start.grad is not None
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.parameters())


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: nn.LSTM(2, 3, proj_size=3), ValueError),
        (lambda: nn.GRU(2, 3, proj_size=1), ValueError),
        (lambda: nn.RNN(2, 3, nonlinearity="other"), ValueError),
        (lambda: nn.RNN(2, 0), ValueError),
        (lambda: nn.RNN(2.0, 3), TypeError),
        (lambda: nn.LSTM(2, 3, dropout=2), ValueError),
        (lambda: nn.LSTM(2, 3)(rushlight.ones(5)), ValueError),
        (lambda: nn.LSTM(2, 3)(rushlight.ones(5, 1, 4)), RuntimeError),
        (lambda: nn.GRU(2, 3)(rushlight.ones(5, 1, 2), rushlight.ones(1, 2, 3)), RuntimeError),
        (lambda: nn.GRU(2, 3)(rushlight.ones(5, 2), rushlight.ones(1, 1, 3)), RuntimeError),
        (lambda: nn.GRU(2, 3)(rushlight.ones(5, 2).double()), ValueError),
        (lambda: nn.LSTMCell(2, 3)(rushlight.ones(1, 1, 2)), ValueError),
        (lambda: nn.GRUCell(2, 3)(rushlight.ones(1, 4)), RuntimeError),
    ],
)
def test_errors_have_the_types_of_torch(call, kind):
    with pytest.raises(kind):
        call()


def test_states_of_another_dtype_are_refused():
    start = rushlight.ones(1, 1, 3).double()
    with pytest.raises(RuntimeError, match="Input and hidden tensors are not the same dtype"):
        nn.GRU(2, 3)(rushlight.ones(5, 1, 2), start)


def test_dropout_with_one_layer_warns():
    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        nn.LSTM(2, 3, dropout=0.5)
