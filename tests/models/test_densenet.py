"""Densely connected networks: published sizes, kapre's levels, waves of any length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.models import DenseMel, DenseWav
from advjax.models.densenet import LineConv, kapre_mel_db, pool_along_time
from tests.models.shapes import drawn, variable_shapes


def wave_shape(length):
    return jax.ShapeDtypeStruct((1, length), jnp.float32)


def num_parameters(network):
    found = variable_shapes(network(num_classes=41), wave_shape(64_000))
    return sum(leaf.size for leaf in jax.tree.leaves(found["params"]))


def test_full_width_has_the_published_parameters():
    assert num_parameters(DenseMel) == 11_092_200
    # Reconstructed, without a published number; this guards against changes.
    assert num_parameters(DenseWav) == 5_849_614


@pytest.mark.parametrize("network", [DenseMel, DenseWav])
def test_weights_fit_waves_of_any_length(network):
    module = network(num_classes=3, width=2)
    shapes = [variable_shapes(module, wave_shape(size)) for size in (5000, 70_000)]
    sizes = [jax.tree.map(lambda leaf: leaf.shape, found) for found in shapes]
    assert sizes[0] == sizes[1]
    rows = jax.jit(lambda v, x: module.apply(v, x, train=False))(
        drawn(shapes[0]), jax.random.normal(jax.random.key(0), (2, 9000))
    )
    # The logarithm of a mean of probabilities.
    np.testing.assert_allclose(jnp.exp(rows).sum(axis=1), 1.0, rtol=1e-5)


def test_mel_levels_equal_kapres_rules():
    rng = np.random.default_rng(0)
    wave = rng.normal(0, 0.1, 64_000).astype(np.float32)
    wave[20_000:30_000] = 0
    import librosa

    missing = 499 * 128 + 1024 - 64_000
    padded = np.pad(wave.astype(np.float64), (missing // 2, missing - missing // 2))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    power = np.stack(
        [
            np.abs(np.fft.rfft(padded[128 * t :][:1024] * window)) ** 2
            for t in range(500)
        ]
    )
    filters = librosa.filters.mel(sr=32_000, n_fft=1024, n_mels=64)
    levels = 10 * np.log10(np.maximum(np.sqrt(power @ filters.T), 1e-10))
    wanted = np.maximum(levels - levels.max(), -80)
    found = np.asarray(kapre_mel_db(jnp.asarray(wave)))
    part = np.asarray(kapre_mel_db(jnp.asarray(wave), jnp.int32(5)))
    assert part[:5].max() == 0 < part[5:].max()
    assert found.shape == (500, 64)
    assert (wanted == -80).any()
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_the_gradient_is_finite_at_silence():
    found = jax.grad(lambda x: kapre_mel_db(x).sum())(jnp.zeros(3000))
    assert np.isfinite(found).all()


def test_three_taps_along_time_equal_numpys_convolution():
    x = np.random.default_rng(0).normal(size=(1, 9, 1, 2)).astype(np.float32)
    layer = LineConv(1)
    params = layer.init(jax.random.key(0), jnp.asarray(x))["params"]
    kernel = np.asarray(params["kernel"])
    wanted = sum(
        np.convolve(x[0, :, 0, c], kernel[::-1, 0, c, 0], "same") for c in range(2)
    )
    found = layer.apply({"params": params}, jnp.asarray(x))[0, :, 0, 0]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_pooling_takes_the_rest_of_the_last_window():
    x = jnp.asarray([3.0, 1, 2, 4, -7, -8]).reshape(1, 6, 1, 1)
    np.testing.assert_array_equal(pool_along_time(x, 4).ravel(), [4.0, -7.0])
