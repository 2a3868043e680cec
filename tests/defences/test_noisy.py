import jax
import jax.numpy as jnp
import numpy as np

from advjax.defences import gaussian, noisy
from advjax.defences.base import cross_entropy_gradients
from advjax.smoothing import Noise
from advjax.smoothing import gaussian as gaussian_law
from advjax.types import Batch

X = jax.random.normal(jax.random.key(1), (8, 4))
BATCH = Batch(X, jnp.arange(8) % 3)
PARAMS = {"w": jax.random.normal(jax.random.key(0), (4, 3))}


def apply(params, batch_stats, x, key):
    del key
    return x @ params["w"], batch_stats


def weights(defence, batch=BATCH):
    step = jax.jit(lambda key: defence(apply, PARAMS, {}, batch, key))
    return step(jax.random.key(2)).params["w"]


def test_the_network_sees_what_the_law_makes_of_each_example():
    def sample(key, x):
        return x + jax.random.bernoulli(key, 1.0, x.shape).astype(x.dtype)

    shifted = Batch(X + 1, BATCH.y)
    judge = cross_entropy_gradients(apply, PARAMS, {}, shifted, jax.random.key(0))
    found = weights(noisy(law=Noise(sample, None, "none")))
    np.testing.assert_allclose(found, judge.params["w"], rtol=1e-5)


def test_every_example_has_noise_of_its_own_in_the_law_s_scale():
    seen = []

    def watched(params, batch_stats, x, key):
        seen.append(x - X)
        return apply(params, batch_stats, x, key)

    noisy(law=gaussian_law(0.5))(watched, PARAMS, {}, BATCH, jax.random.key(3))
    (noise,) = seen
    assert len(np.unique(np.asarray(noise))) == noise.size
    assert 0.3 < float(noise.std()) < 0.7
    # Another draw than that of `gaussian`, of the same distribution.
    assert np.abs(weights(gaussian(sigma=0.5))).max() > 0
