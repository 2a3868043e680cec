import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.defences import gaussian
from advjax.types import Batch


def test_noise_has_the_asked_deviation_and_is_fresh():
    seen = []

    def apply(params, batch_stats, x, key):
        del key
        seen.append(x)
        return x[:, :2] * params, batch_stats

    batch = Batch(jnp.full((2000, 5), 3.0), jnp.zeros(2000, jnp.int32))
    for seed in (0, 1):
        gaussian(sigma=0.5)(apply, jnp.ones(()), {}, batch, jax.random.key(seed))
    first, second = (np.asarray(jax.lax.stop_gradient(x)) - 3.0 for x in seen)
    assert first.std() == pytest.approx(0.5, rel=0.02)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_sigma_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma must be positive"):
        gaussian(sigma=sigma)
