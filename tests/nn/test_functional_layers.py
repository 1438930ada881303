"""`nn.functional` against plain NumPy: convolutions, pools, norms, padding, images."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight
import rushlight.nn.functional as F

RNG = np.random.default_rng(0)


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def tensor(array: np.ndarray) -> rushlight.Tensor:
    return rushlight.from_numpy(np.ascontiguousarray(array))


def close(actual: rushlight.Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=1e-6, atol=1e-7)


def naive_conv1d(x, w, stride, padding, dilation, groups):
    n, _, length = x.shape
    out, inner, k = w.shape
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding)))
    steps = (length + 2 * padding - dilation * (k - 1) - 1) // stride + 1
    y = np.zeros((n, out, steps))
    for o in range(out):
        first = o // (out // groups) * inner
        for t in range(steps):
            window = x[:, first : first + inner, t * stride :][:, :, : dilation * k : dilation]
            y[:, o, t] = (window[:, :, :k] * w[o]).sum((1, 2))
    return y


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_conv1d_equals_the_sum_over_windows(stride, padding, dilation, groups):
    x, w, b = real(2, 4, 9), real(6, 4 // groups, 3), real(6)
    y = F.conv1d(tensor(x), tensor(w), tensor(b), stride, padding, dilation, groups)
    close(y, naive_conv1d(x, w, stride, padding, dilation, groups) + b[:, None])


@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_same_padding_keeps_the_length_and_puts_the_odd_zero_last(kernel):
    x, w = real(1, 1, 6), real(1, 1, kernel)
    y = F.conv1d(tensor(x), tensor(w), padding="same")
    total = kernel - 1
    padded = np.pad(x, ((0, 0), (0, 0), (total // 2, total - total // 2)))
    close(y, naive_conv1d(padded, w, 1, 0, 1, 1))


@pytest.mark.parametrize(("groups", "extra"), [(1, 0), (2, 1)])
def test_conv_transpose2d_is_the_adjoint_of_conv2d(groups, extra):
    x, w = real(2, 4, 6, 7), real(6, 4 // groups, 3, 3)
    settings = {"stride": 2, "padding": 1, "groups": groups}
    y = F.conv2d(tensor(x), tensor(w), **settings)
    g = tensor(real(*y.shape))
    back = F.conv_transpose2d(g, tensor(w), output_padding=(1, 0), **settings)
    assert tuple(back.shape) == x.shape
    np.testing.assert_allclose(float((y * g).sum()), float((back * tensor(x)).sum()))


def test_unbatched_convolution_is_the_batched_one_of_a_single_sample():
    x, w = tensor(real(3, 5, 5)), tensor(real(2, 3, 2, 2))
    close(F.conv2d(x, w), F.conv2d(x.unsqueeze(0), w).squeeze(0).numpy())


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"stride": 0}, "non-positive stride"),
        ({"padding": -1}, "negative padding"),
        ({"padding": "same", "stride": 2}, "not supported for strided"),
        ({"padding": "other"}, "Invalid padding string"),
        ({"groups": 3}, "expected input to have 6 channels"),
        ({"dilation": 9}, "Kernel size can't be greater"),
    ],
)
def test_convolution_refuses_settings_that_do_not_fit(kwargs, match):
    with pytest.raises(RuntimeError, match=match):
        F.conv1d(rushlight.ones(1, 2, 8), rushlight.ones(2, 2, 3), **kwargs)


def test_unpooling_puts_maxima_back():
    x = tensor(real(2, 3, 6, 8))
    maxima, places = F.max_pool2d(x, 2, return_indices=True)
    back = F.max_unpool2d(maxima, places, 2)
    assert bool(((back == x) | (back == 0)).all())
    close(F.max_pool2d(back.abs(), 2), maxima.abs().numpy())


def test_pools_of_an_uneven_length_in_ceil_mode():
    x = rushlight.arange(5.0).reshape(1, 1, 5)
    assert F.max_pool1d(x, 2, ceil_mode=True).tolist() == [[[1.0, 3.0, 4.0]]]
    assert F.avg_pool1d(x, 2, ceil_mode=True).tolist() == [[[0.5, 2.5, 4.0]]]


def test_adaptive_pool_keeps_a_dimension_given_as_none():
    x = real(1, 4, 6)
    close(F.adaptive_avg_pool2d(tensor(x), (None, 2)), x.reshape(1, 4, 2, 3).mean(-1))


def test_fractional_pool_draws_windows_inside_the_image():
    x = tensor(real(2, 3, 11, 9))
    y, places = F.fractional_max_pool2d(x, 2, output_ratio=0.5, return_indices=True)
    assert tuple(y.shape) == (2, 3, 5, 4)
    close(x.flatten(2).gather(2, places.flatten(2)).reshape(y.shape), y.numpy())


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: F.max_pool2d(rushlight.ones(1, 4, 4), 5), RuntimeError),
        (lambda: F.avg_pool1d(rushlight.ones(1, 4), 2, padding=2), RuntimeError),
        (lambda: F.adaptive_avg_pool2d(rushlight.ones(4, 4), (2, 2)), ValueError),
        (lambda: F.fractional_max_pool2d(rushlight.ones(1, 4, 4), 2), ValueError),
        (lambda: F.pad(rushlight.ones(1, 3), (3, 3), "reflect"), RuntimeError),
        (lambda: F.pad(rushlight.ones(1, 1, 3), (1, 1), "other"), NotImplementedError),
        (lambda: F.interpolate(rushlight.ones(1, 1, 4)), ValueError),
        (lambda: F.interpolate(rushlight.ones(1, 1, 4), 3, mode="bilinear"), NotImplementedError),
        (lambda: F.dropout(rushlight.ones(3), 1.5), ValueError),
        (lambda: F.batch_norm(rushlight.ones(1, 3), None, None, training=True), ValueError),
        (lambda: F.layer_norm(rushlight.ones(2, 3), (4,)), RuntimeError),
        (lambda: F.one_hot(rushlight.tensor([-1])), RuntimeError),
        (lambda: F.embedding(rushlight.tensor([0]), rushlight.ones(2, 2), 7), AssertionError),
    ],
)
def test_errors_have_the_types_of_torch(call, kind):
    with pytest.raises(kind):
        call()


def test_batch_norm_normalises_and_updates_running_statistics():
    x = real(4, 3, 5)
    mean, var = rushlight.zeros(3, dtype=rushlight.float64), rushlight.ones(3).double()
    y = F.batch_norm(tensor(x), mean, var, training=True, momentum=0.25)
    m, v = x.mean((0, 2), keepdims=True), x.var((0, 2), keepdims=True)
    close(y, (x - m) / np.sqrt(v + 1e-5))
    close(mean, 0.25 * m.ravel())
    close(var, 0.75 + 0.25 * x.var((0, 2), ddof=1))


def test_instance_norm_averages_running_statistics_over_the_batch():
    x = real(2, 3, 5)
    mean, var = rushlight.zeros(3).double(), rushlight.ones(3).double()
    y = F.instance_norm(tensor(x), mean, var)
    m, v = x.mean(2, keepdims=True), x.var(2, keepdims=True)
    close(y, (x - m) / np.sqrt(v + 1e-5))
    close(mean, 0.1 * m.mean(0).ravel())


def test_group_norm_and_layer_norm_normalise_their_groups():
    x, w = real(2, 6, 5), real(6)
    grouped = x.reshape(2, 3, -1)
    expected = (grouped - grouped.mean(-1, keepdims=True)) / np.sqrt(
        grouped.var(-1, keepdims=True) + 1e-5
    )
    close(F.group_norm(tensor(x), 3, tensor(w)), expected.reshape(x.shape) * w[:, None])
    flat = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
    close(F.layer_norm(tensor(x), (6, 5)), flat)


@pytest.mark.parametrize(
    ("mode", "numpy_mode"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]
)
def test_padding_modes_equal_those_of_numpy(mode, numpy_mode):
    x = real(2, 3, 4, 5)
    y = F.pad(tensor(x), (1, 2, 3, 0), mode)
    close(y, np.pad(x, ((0, 0), (0, 0), (3, 0), (1, 2)), mode=numpy_mode))


def test_fold_undoes_unfold_up_to_the_number_of_overlaps():
    x = tensor(real(2, 3, 6, 5))
    settings = {"kernel_size": 3, "dilation": 1, "padding": 1, "stride": 2}
    columns = F.unfold(x, **settings)
    counts = F.fold(F.unfold(rushlight.ones_like(x), **settings), (6, 5), **settings)
    close(F.fold(columns, (6, 5), **settings) / counts, x.numpy())


@pytest.mark.parametrize("out", [3, 7, 12])
def test_linear_interpolation_equals_that_of_numpy(out):
    x = real(7)
    y = F.interpolate(tensor(x).reshape(1, 1, 7), out, mode="linear", align_corners=True)
    close(y.flatten(), np.interp(np.linspace(0, 6, out), np.arange(7), x))
    y = F.interpolate(tensor(x).reshape(1, 1, 7), out, mode="linear")
    close(y.flatten(), np.interp((np.arange(out) + 0.5) * 7 / out - 0.5, np.arange(7), x))


def test_cubic_interpolation_keeps_a_constant_and_antialias_averages():
    flat = rushlight.ones(1, 1, 8, 8)
    for antialias in (False, True):
        y = F.interpolate(flat, (3, 5), mode="bicubic", antialias=antialias)
        np.testing.assert_allclose(y.numpy(), 1.0, rtol=1e-6)
    stripes = rushlight.arange(64).remainder(2).float().reshape(1, 1, 1, 64)
    y = F.interpolate(stripes, (1, 8), mode="bilinear", antialias=True)
    np.testing.assert_allclose(y.numpy()[..., 1:-1], 0.5, atol=0.02)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("corners", [False, True])
def test_sampling_an_identity_grid_returns_the_image(mode, corners):
    x = tensor(real(2, 3, 4, 5))
    theta = rushlight.eye(2, 3, dtype=rushlight.float64).expand(2, 2, 3)
    grid = F.affine_grid(theta, x.shape, align_corners=corners)
    y = F.grid_sample(x, grid, mode, "border", align_corners=corners)
    np.testing.assert_allclose(y.numpy(), x.numpy(), atol=1e-6)


def test_grid_sample_pads_outside_places():
    x = rushlight.tensor([[[[1.0, 2.0]]]])
    grid = rushlight.tensor([[[[-3.0, 0.0], [3.0, 0.0]]]])
    sampled = [
        F.grid_sample(x, grid, "nearest", mode, align_corners=True).flatten().tolist()
        for mode in ("zeros", "border", "reflection")
    ]
    assert sampled == [[0.0, 0.0], [1.0, 2.0], [2.0, 1.0]]


def test_pixel_unshuffle_undoes_pixel_shuffle():
    x = tensor(real(2, 8, 3, 5))
    close(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2), x.numpy())


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bags_reduce_their_rows(mode):
    table = real(6, 3)
    bags = [[0, 2, 5], [], [1, 1]]
    reduce = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
    expected = np.stack([reduce(table[b], 0) if b else np.zeros(3) for b in bags])
    flat = rushlight.tensor([i for b in bags for i in b])
    offsets = rushlight.tensor([0, 3, 3])
    close(F.embedding_bag(flat, tensor(table), offsets, mode=mode), expected)


def test_max_norm_rescales_only_the_rows_that_are_used():
    table = tensor(np.array([[3.0, 4.0], [6.0, 8.0]]))
    F.embedding(rushlight.tensor([1]), table, max_norm=1.0)
    np.testing.assert_allclose(table.numpy(), [[3.0, 4.0], [0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize("name", ["relu", "silu", "elu", "mish", "hardswish", "leaky_relu"])
def test_inplace_activation_overwrites_and_keeps_the_gradient(name):
    function = getattr(F, name)
    leaf = tensor(real(7)).requires_grad_()
    (expected,) = rushlight.autograd.grad(function(leaf * 2).sum(), leaf)
    x = leaf * 2
    y = function(x, inplace=True)
    assert y is x
    (actual,) = rushlight.autograd.grad(y.sum(), leaf)
    close(actual, expected.numpy())


def test_channel_dropout_drops_whole_channels():
    rushlight.manual_seed(0)
    y = F.dropout2d(rushlight.ones(8, 16, 3, 3), 0.5).flatten(2)
    assert bool(((y == 0).all(-1) | (y == 2).all(-1)).all())
    assert 0 < float(y.mean()) < 2


def test_alpha_dropout_keeps_mean_and_variance():
    rushlight.manual_seed(0)
    y = F.alpha_dropout(rushlight.randn(50_000), 0.3, training=True)
    assert abs(float(y.mean())) < 0.03
    assert abs(float(y.var()) - 1) < 0.05


def test_softmax_without_dim_warns_and_guesses():
    with pytest.warns(UserWarning, match="Implicit dimension choice"):
        y = F.softmax(rushlight.zeros(2, 4))
    assert y.tolist() == [[0.25] * 4] * 2
