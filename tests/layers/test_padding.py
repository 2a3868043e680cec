import jax.numpy as jnp
import numpy as np

from advjax.layers.padding import keep_own, own_means

MAPS = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 3, 5)), jnp.float32)


def test_maps_and_their_means_are_those_of_the_own_length():
    lengths = jnp.array([1, 4])
    kept, means = keep_own(MAPS, lengths), own_means(MAPS, lengths)
    for row, maps, mean, length in zip(MAPS, kept, means, (1, 4), strict=True):
        np.testing.assert_array_equal(maps[:length], row[:length])
        assert not maps[length:].any()
        wanted = row[:length].mean(axis=(0, 1))
        np.testing.assert_allclose(mean, wanted, rtol=1e-5, atol=1e-6)


def test_without_lengths_nothing_is_padding():
    assert keep_own(MAPS, None) is MAPS
    np.testing.assert_array_equal(own_means(MAPS, None), MAPS.mean(axis=(1, 2)))
