"""Recurrent cells and sequences on OpenCL against the CPU, in both flavours."""

import numpy as np
import pytest

import rushlight as rl

rushlight_opencl = pytest.importorskip("rushlight_opencl")
if not rushlight_opencl.devices():
    pytest.skip("no OpenCL device: pip install rushlight-opencl[pocl]", allow_module_level=True)

from tests.backends.test_opencl_rows import DTYPES, agrees, normal  # noqa: E402

from rushlight._registered import operators  # noqa: E402
from rushlight.backend.codegen.recurrent import recurrent  # noqa: E402

# Rows of the operands of each cell, in widths.
CELLS = {
    "lstm_pointwise": (4, 1),
    "lstm_pointwise_backward": (1, 1, 1, 1, 4),
    "gru_pointwise": (3, 3, 1),
    "gru_pointwise_backward": (1, 3, 1, 3),
}


@DTYPES
@pytest.mark.parametrize("name", CELLS)
def test_cells(name: str, dtype: rl.dtype) -> None:
    for rows, width in ((1, 1), (5, 33), (2, 0)):
        operands = [normal(rows, 2 * width * n, dtype=dtype, seed=n) for n in CELLS[name]]
        agrees(name, *(x[:, : x.shape[1] // 2] for x in operands))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 9, 17), (4, 5, 40), (0, 2, 3), (2, 0, 3)])
def test_lstm_sequences(sizes: tuple[int, int, int], reverse: bool) -> None:
    steps, rows, n = sizes
    gates = normal(rows, steps, 4 * n).transpose(0, 1)
    weight = normal(n, 4 * n, seed=1).t() * 0.3
    h, c = normal(rows, n, seed=2), normal(1, n, seed=3).expand(rows, n)
    found = agrees("lstm_sequence", gates, weight, h, c, reverse=reverse)
    g = normal(rows, steps, n, seed=4).transpose(0, 1)
    more = normal(steps, rows, n, seed=5), normal(steps, rows, 4 * n, seed=6)
    for gc, ga in ((None, None), more) if steps and rows else ():
        agrees(
            "lstm_sequence_backward", g, gc, ga, weight, h, c, *found, reverse=reverse
        )  # fmt: skip


def test_sequences_in_the_gpu_flavour(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = rl.ones(1, device="opencl")._k.runtime
    monkeypatch.setattr(runtime, "flavour", "gpu")
    gates, weight = normal(3, 9, 68), normal(68, 17, seed=1)
    h, c, g = (normal(*shape, seed=2) for shape in ((9, 17), (9, 17), (3, 9, 17)))
    make = {name: entry["floating"].make for name, entry in recurrent.table.items()}
    there = [runtime.from_host(x.numpy()) for x in (gates, weight, h, c)]
    found = make["lstm_sequence"](runtime, rl.float32)(*there, reverse=True)
    expected = operators["lstm_sequence"](gates, weight, h, c, reverse=True)
    back = make["lstm_sequence_backward"](runtime, rl.float32)(
        runtime.from_host(g.numpy()), None, None, *there[1:], *found, reverse=True
    )
    wanted = operators["lstm_sequence_backward"](
        g, None, None, weight, h, c, *expected, reverse=True
    )
    for ours, theirs in zip((*found, *back), (*expected, *wanted), strict=True):
        np.testing.assert_allclose(runtime.to_host(ours), theirs.numpy(), rtol=1e-4, atol=1e-5)


def test_a_layer_learns_as_on_the_cpu() -> None:
    layer = rl.nn.LSTM(6, 20, num_layers=2, bidirectional=True)
    x = normal(7, 3, 6)
    expected = layer(x)[0].sum()
    expected.backward()
    gradients = [p.grad.numpy() for p in layer.parameters()]
    layer.zero_grad()
    layer.to("opencl")
    out = layer(x.to("opencl"))[0].sum()
    out.backward()
    np.testing.assert_allclose(out.item(), expected.item(), rtol=1e-4)
    for p, wanted in zip(layer.parameters(), gradients, strict=True):
        np.testing.assert_allclose(p.grad.cpu().numpy(), wanted, rtol=1e-3, atol=1e-4)


MASKS = {
    "none": lambda rows, keys: None,
    "bool": lambda rows, keys: normal(2, 1, rows, keys, seed=7) > -0.5,
    "row": lambda rows, keys: normal(keys, seed=7) > -0.5,
    "number": lambda rows, keys: normal(3, rows, keys, seed=7),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (9, 40, 17, 33), (70, 65, 64, 20), (33, 8, 3, 64)])
@pytest.mark.parametrize("is_causal", [False, True])
def test_attention(sizes: tuple[int, ...], mask: str, is_causal: bool) -> None:
    rows, keys, depth, tall = sizes
    q = normal(2, rows, 3, depth).transpose(1, 2)
    k, v = normal(2, 3, depth, keys, seed=1).transpose(2, 3), normal(2, 3, keys, tall, seed=2)
    settings = {"is_causal": is_causal, "scale": 0.3}
    hidden = MASKS[mask](rows, keys)
    found = agrees("scaled_dot_product_attention", q, k, v, hidden, **settings)
    g = normal(2, 3, rows, tall, seed=3)
    agrees("attention_backward", g, q, k, v, hidden, *found, **settings)


def test_attention_of_16_bits_of_nothing_and_of_queries_that_see_no_key() -> None:
    q, k, v = (normal(2, 12, 16, dtype=rl.bfloat16, seed=n) for n in range(3))
    settings = {"is_causal": False, "scale": 0.25}
    found = agrees("scaled_dot_product_attention", q, k, v, None, **settings)
    agrees("attention_backward", q, q, k, v, None, *found, **settings)
    blind = rl.ones(12, 12, dtype=rl.bool).tril(-1)
    q, k, v = (normal(2, 12, 16, seed=n) for n in range(3))
    found = agrees("scaled_dot_product_attention", q, k, v, blind, **settings)
    assert found[1][0, 0].item() == -float("inf")
    agrees("attention_backward", q, q, k, v, blind, *found, **settings)
    for rows, keys, depth in ((0, 3, 4), (3, 0, 4), (3, 4, 0)):
        q, k, v = normal(2, rows, depth), normal(2, keys, depth), normal(2, keys, 5)
        found = agrees("scaled_dot_product_attention", q, k, v, None, **settings)
        agrees("attention_backward", normal(2, rows, 5), q, k, v, None, *found, **settings)
