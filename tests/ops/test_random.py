"""Random operators: seeds, streams, distributions, and what vmap does with them."""

import numpy as np
import pytest

import rushlight as rl


def test_the_same_seed_gives_the_same_numbers():
    rl.manual_seed(3)
    first = rl.rand(5), rl.randn(3), rl.randint(9, (4,)), rl.randperm(6)
    rl.manual_seed(3)
    again = rl.rand(5), rl.randn(3), rl.randint(9, (4,)), rl.randperm(6)
    assert all(rl.equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_generator_of_ones_own_leaves_the_default_alone():
    state = rl.get_rng_state()
    rl.rand(5, generator=rl.Generator().manual_seed(1))
    assert rl.equal(state, rl.get_rng_state())


def test_fork_rng_puts_the_state_back():
    with rl.random.fork_rng():
        first = rl.rand(3)
    assert rl.equal(first, rl.rand(3))


@pytest.mark.parametrize("rate", [0.5, 5.0, 50.0, 5000.0])
def test_poisson_has_its_mean_and_variance(rate):
    rl.manual_seed(0)
    x = rl.poisson(rl.full((20_000,), rate, dtype=rl.float64)).numpy()
    assert abs(x.mean() - rate) < 5 * (rate / 20_000) ** 0.5
    assert abs(x.var() / rate - 1) < 0.06


def test_multinomial_without_replacement_repeats_nothing_and_follows_the_weights():
    rl.manual_seed(0)
    weights = rl.tensor([1.0, 2.0, 0.0, 5.0]).expand(4000, 4)
    picks = rl.multinomial(weights, 3).numpy()
    assert all(len(set(row)) == 3 for row in picks.tolist())
    assert not (picks[:, 0] == 2).any()
    np.testing.assert_allclose((picks[:, 0] == 3).mean(), 5 / 8, atol=0.03)


def test_multinomial_with_replacement_never_picks_weight_zero():
    rl.manual_seed(0)
    picks = rl.multinomial(rl.tensor([0.0, 1.0, 3.0, 0.0]), 20_000, True).numpy()
    shares = np.bincount(picks, minlength=4) / 20_000
    np.testing.assert_allclose(shares, [0, 0.25, 0.75, 0], atol=0.02)
    assert shares[0] == shares[3] == 0


def test_dropout_keeps_the_mean_and_its_gradient_uses_the_same_mask():
    rl.manual_seed(0)
    x = rl.ones(10_000, requires_grad=True)
    out = rl.dropout(x, 0.25, True)
    out.sum().backward()
    assert rl.equal(x.grad, out.detach())
    assert abs(out.mean().item() - 1) < 0.05


def test_dropout_keeps_no_result_that_later_writes_could_spoil():
    x = rl.ones(8, requires_grad=True)
    out = rl.dropout(x, 0.5, True)
    out.mul_(2)
    out.sum().backward()
    assert set(x.grad.tolist()) <= {0.0, 4.0}


def test_vmap_asks_how_to_draw():
    def noisy(x):
        return x + rl.rand(3)

    x = rl.zeros(4, 3)
    with pytest.raises(RuntimeError, match="randomness"):
        rl.func.vmap(noisy)(x)
    same = rl.func.vmap(noisy, randomness="same")(x)
    assert rl.equal(same[0], same[3])
    different = rl.func.vmap(noisy, randomness="different")(x)
    assert len(set(different.flatten().tolist())) == 12


def test_a_draw_under_vmap_takes_its_whole_part_of_the_stream():
    rl.manual_seed(0)
    batch = rl.func.vmap(lambda x: x + rl.rand(4), randomness="different")(rl.zeros(3, 4))
    later = rl.rand(12)
    assert not set(batch.flatten().tolist()) & set(later.tolist())


def test_refusals():
    x = rl.ones(2)
    for call in (
        lambda: x.uniform_(2, 1),
        lambda: x.normal_(0, -1),
        lambda: x.exponential_(-1),
        lambda: x.geometric_(0),
        lambda: x.bernoulli_(2),
        lambda: rl.randint(3, 3, (2,)),
        lambda: rl.randint(0, 300, (2,), dtype=rl.uint8),
        lambda: rl.randperm(-1),
        lambda: rl.multinomial(x, 3),
        lambda: rl.rand(2, dtype=rl.int64),
        lambda: rl.dropout(x, 1.5, True),
        lambda: rl.ones(2, requires_grad=True).uniform_(),
    ):
        with pytest.raises(RuntimeError):
            call()
    assert x.tolist() == [1.0, 1.0]
