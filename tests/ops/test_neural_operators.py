"""Neural-network operators: kernel, decomposition, meta, derivatives and `vmap` tell one story."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import rushlight
from rushlight._modes import with_modes
from rushlight._registered import operators

RANDOM = np.random.default_rng(7)


@dataclass
class Case:
    """One call: arrays (None for an absent input) and attributes."""

    name: str
    arrays: tuple[Any, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    exact: bool = True  # whether the recorded gradient is that of the values

    def __str__(self) -> str:
        settings = "-".join(f"{v}" for k, v in self.attributes.items() if k != "eps")
        return f"{self.name}[{settings}]".replace(" ", "")


def real(*shape: int) -> np.ndarray[Any, Any]:
    return RANDOM.standard_normal(shape)


def case(name: str, *arrays: Any, exact: bool = True, **attributes: Any) -> Case:
    return Case(name, arrays, attributes, exact)


def result(name: str, *arrays: Any, **attributes: Any) -> tuple[np.ndarray[Any, Any], ...]:
    """What an operator gives, as arrays for the operands of another."""
    out = operators[name](*map(tensor, arrays), **attributes)
    return tuple(o.numpy() for o in (out if isinstance(out, tuple) else (out,)))


def tensor(array: Any, requires_grad: bool = False) -> Any:
    if array is None:
        return None
    made = rushlight.tensor(array)
    return made.requires_grad_(requires_grad and made.dtype.is_floating_point)


def convolutions() -> list[Case]:
    found = []
    for stride, groups in (((1, 1), 1), ((2, 1), 2)):
        settings: Any = {
            "stride": stride, "padding": (1, 0), "dilation": (1, 2), "groups": groups,
        }  # fmt: skip
        x, weight = real(2, 2, 5, 4), real(2, 2 // groups, 2, 2)
        (out,) = result("conv", x, weight, **settings)
        g = real(*out.shape)
        found += [
            case("conv", x, weight, **settings),
            case("conv_grad_input", g, weight, input_size=(5, 4), **settings),
            case("conv_grad_weight", g, x, kernel_size=(2, 2), **settings),
        ]
    return found


def poolings() -> list[Case]:
    x = real(1, 2, 5, 6)
    plain: Any = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0), "ceil_mode": False}
    hanging: Any = {"kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 1), "ceil_mode": True}
    found = []
    for window in (plain, hanging):
        found.append(case("max_pool", x, dilation=(1, 1), **window))
        found.append(case("max_pool_values", x, dilation=(1, 1), **window))
        values, indices = result("max_pool", x, dilation=(1, 1), **window)
        found.append(case("max_pool_backward", real(*values.shape), indices, input_size=(5, 6)))
        for include, divisor in ((True, None), (False, None), (True, 3)):
            mean: Any = {**window, "count_include_pad": include, "divisor_override": divisor}
            found.append(case("avg_pool", x, **mean))
            g = real(*values.shape)
            found.append(case("avg_pool_backward", g, input_size=(5, 6), **mean))
    for size in ((1, 1), (3, 4), (7, 2)):
        found.append(case("adaptive_avg_pool", x, output_size=size))
        found.append(case("adaptive_avg_pool_backward", real(1, 2, *size), input_size=(5, 6)))
        found.append(case("adaptive_max_pool", x, output_size=size))
    return found


def normalizations() -> list[Case]:
    x = real(2, 4, 3)
    found = []
    for weight, bias in ((True, True), (False, False), (True, False)):
        rows = [real(3) if given else None for given in (weight, bias)]
        channels = [real(4) if given else None for given in (weight, bias)]
        needs = (True, weight, bias)
        layer: Any = {"normalized_ndim": 1}
        _, mean, rstd = result("native_layer_norm", x, *rows, eps=1e-5, **layer)
        _, group_mean, group_rstd = result("native_group_norm", x, *channels, groups=2, eps=1e-5)
        stats = real(4), np.abs(real(4)) + 0.5
        g = real(2, 4, 3)
        found += [
            case("native_layer_norm", x, *rows, eps=1e-5, **layer),
            case("layer_norm_backward", g, x, mean, rstd, rows[0], needs=needs, **layer),
            case("native_rms_norm", x, rows[0], eps=1e-5, **layer),
            case("rms_norm_backward", g, x, rstd, rows[0], needs=needs[:2], **layer),
            case("native_group_norm", x, *channels, groups=2, eps=1e-5),
            case("group_norm_backward", g, x, group_mean, group_rstd, channels[0], groups=2,
                 needs=needs),
            case("batch_norm_train", x, *channels, eps=1e-5),
            case("batch_norm_apply", x, *stats, *channels),
        ]  # fmt: skip
        (mean, variance) = result("batch_norm_stats", x)
        for training in (True, False):
            found.append(
                case("batch_norm_backward", g, x, mean, 1 / np.sqrt(variance), channels[0],
                     training=training, needs=needs)
            )  # fmt: skip
    return [*found, case("batch_norm_stats", x)]


def losses() -> list[Case]:
    x, target, weight = real(4, 3), np.array([0, 2, -100, 1]), np.array([0.5, 1.0, 2.0])
    found = []
    for reduction in ("none", "mean", "sum"):
        how: Any = {"reduction": reduction, "ignore_index": -100}
        for w in (None, weight):
            loss, total = result("nll_loss", x, target, w, **how)
            found.append(case("nll_loss", x, target, w, exact=w is None, **how))
            g = real(*loss.shape)
            found.append(
                case("nll_loss_backward", g, target, w, total, shape=(4, 3), exact=False, **how)
            )
        loss, lse = result("cross_entropy", x, target, **how)
        found.append(case("cross_entropy", x, target, **how))
        found.append(case("cross_entropy_backward", real(*loss.shape), x, target, lse, **how))
    return found


def others() -> list[Case]:
    indices = np.array([[0, 2, 2], [1, 0, 3]])
    q, k, v = real(2, 3, 4), real(2, 5, 4), real(2, 5, 2)
    found = [
        case(name, *(real(2, 3) for _ in range(count)), dim=dim)
        for name, count in (("softmax", 1), ("log_softmax", 1), ("softmax_backward", 2),
                            ("log_softmax_backward", 2))
        for dim in (0, 1)
    ]  # fmt: skip
    for padding, by_frequency in ((None, False), (2, False), (None, True)):
        how: Any = {"padding_idx": padding, "scale_grad_by_freq": by_frequency}
        plain = padding is None and not by_frequency
        found.append(case("embedding", real(5, 3), indices, exact=plain, **how))
        found.append(case("embedding_backward", real(2, 3, 3), indices, num_embeddings=5, **how))
    hidden = np.array([[True, False, True, True, False]] * 2 + [[False] * 5])
    for mask, causal in ((None, False), (None, True), (hidden, False), (real(3, 5), False)):
        how = {"is_causal": causal, "scale": 0.7}
        out, lse = result("scaled_dot_product_attention", q, k, v, mask, **how)
        finite = bool(np.isfinite(lse).all())
        found.append(case("scaled_dot_product_attention", q, k, v, mask, exact=finite, **how))
        found.append(
            case("attention_backward", real(*out.shape), q, k, v, mask, out, lse, exact=finite,
                 **how)
        )  # fmt: skip
    gates, state = real(2, 12), real(2, 3)
    hidden_state, cell, active = result("lstm_pointwise", gates, state)
    found.append(case("lstm_pointwise", gates, state))
    found.append(case("lstm_pointwise_backward", real(2, 3), real(2, 3), state, cell, active))
    operands = (real(3, 2, 8), real(8, 2), real(2, 2), real(2, 2))
    for reverse in (False, True):
        states = result("lstm_sequence", *operands, reverse=reverse)
        found.append(case("lstm_sequence", *operands, reverse=reverse))
        for more in ((None, None), (real(3, 2, 2), None), (real(3, 2, 2), real(3, 2, 8))):
            backward = (real(3, 2, 2), *more, *operands[1:], *states)
            found.append(case("lstm_sequence_backward", *backward, reverse=reverse))
    operands = (real(3, 2, 6), real(6, 2), real(6), real(2, 2))
    for reverse in (False, True):
        states = result("gru_sequence", *operands, reverse=reverse)
        found.append(case("gru_sequence", *operands, reverse=reverse))
        for more in ((None, None), (real(3, 2, 6), None), (real(3, 2, 6), real(3, 2, 2))):
            backward = (real(3, 2, 2), *more, *operands[1:], *states)
            found.append(case("gru_sequence_backward", *backward, reverse=reverse))
    for relu, reverse in ((False, False), (False, True), (True, False)):
        operands = (real(3, 2, 4), real(4, 4), real(2, 4))
        how = {"relu": relu, "reverse": reverse}
        (out,) = result("rnn_sequence", *operands, **how)
        found.append(case("rnn_sequence", *operands, exact=not relu, **how))
        backward = (real(3, 2, 4), *operands[1:], out)
        found.append(case("rnn_sequence_backward", *backward, exact=not relu, **how))
    (_, active) = result("gru_pointwise", gates[:, :9], gates[:, 3:], hidden_state)
    found.append(case("gru_pointwise", gates[:, :9], gates[:, 3:], hidden_state))
    found.append(case("gru_pointwise_backward", real(2, 3), gates[:, 3:], hidden_state, active))
    return found


CASES = [*convolutions(), *poolings(), *normalizations(), *losses(), *others()]
everything = pytest.mark.parametrize("case", CASES, ids=str)


def outputs(out: Any) -> tuple[Any, ...]:
    return out if isinstance(out, tuple) else (out,)


@everything
def test_kernel_and_decomposition_agree_with_each_other_and_with_meta(case: Case) -> None:
    op, inputs = operators[case.name], [tensor(a) for a in case.arrays]
    with with_modes(grad=False):
        kernel = outputs(op(*inputs, **case.attributes))
        decomposed = outputs(op.decomposition_rule(*inputs, **case.attributes))
        specs = outputs(op.meta_rule(*inputs, **case.attributes))
    for got, wanted, spec in zip(kernel, decomposed, specs, strict=True):
        if got is None:
            assert wanted is None
            assert spec is None
            continue
        assert tuple(got.shape) == tuple(wanted.shape) == tuple(spec.shape)
        assert got.dtype is wanted.dtype is spec.dtype
        np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("case", [c for c in CASES if c.exact], ids=str)
def test_first_and_second_derivatives_are_those_of_the_values(case: Case) -> None:
    op, inputs = operators[case.name], [tensor(a, requires_grad=True) for a in case.arrays]
    smooth = [x for x in inputs if x is not None and x.requires_grad]

    def function(*values: Any) -> tuple[Any, ...]:
        rest = iter(values)
        operands = [next(rest) if x is not None and x.requires_grad else x for x in inputs]
        results = outputs(op(*operands, **case.attributes))
        return tuple(o for o in results if o is not None and o.requires_grad)

    rushlight.autograd.gradcheck(function, tuple(smooth))
    rushlight.autograd.gradgradcheck(function, tuple(smooth))


@everything
def test_vmap_over_every_input_equals_a_loop(case: Case) -> None:
    op, size = operators[case.name], 2
    places = [i for i, a in enumerate(case.arrays) if a is not None and a.dtype.kind == "f"]
    # All smooth inputs together, and each alone.
    for chosen in [tuple(places), *itertools.combinations(places, 1)]:
        inputs = [tensor(a) for a in case.arrays]
        for i in chosen:
            a = case.arrays[i]
            inputs[i] = tensor(np.stack([a, np.abs(a[::-1]) + 0.1 if a.ndim else a * 2]))

        def function(*values: Any, inputs: Any = inputs, chosen: Any = chosen) -> Any:
            operands = list(inputs)
            for i, value in zip(chosen, values, strict=True):
                operands[i] = value
            results = outputs(op(*operands, **case.attributes))
            return tuple(o for o in results if o is not None)

        together = rushlight.func.vmap(function)(*(inputs[i] for i in chosen))
        for row in range(size):
            alone = function(*(inputs[i][row] for i in chosen))
            for got, wanted in zip(together, alone, strict=True):
                np.testing.assert_allclose(
                    got[row].numpy(), wanted.numpy(), rtol=1e-9, atol=1e-11, err_msg=str(chosen)
                )
