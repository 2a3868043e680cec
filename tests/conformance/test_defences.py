"""Every defence keeps the contract of `GradFn`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.defences import DEFENCES
from advjax.smoothing import uniform
from advjax.types import Batch

OPTIONS = {
    "gaussian": {"sigma": 0.1},
    "noisy": {"law": uniform(0.1)},
    "fused_adversarial": {"eps": 0.1},
    "pgd_adversarial": {"eps": 0.1},
    "consistency": {"sigma": 0.1},
    "smooth_adv": {"sigma": 0.1, "eps": 0.1},
    "macer": {"sigma": 0.1},
}


def apply(params, batch_stats, x, key, *, train=True):
    del key, train
    return x @ params["w"], {"seen": batch_stats["seen"] + 1}


@pytest.mark.parametrize("name", DEFENCES)
def test_gradients_have_the_shape_of_the_parameters(name):
    gradients = DEFENCES[name](**OPTIONS.get(name, {}))
    params = {"w": jax.random.normal(jax.random.key(0), (4, 3))}
    x = jax.random.normal(jax.random.key(1), (8, 4))
    batch = Batch(x, jnp.arange(8) % 3)
    stats = {"seen": jnp.zeros((), jnp.int32)}
    step = jax.jit(lambda key: gradients(apply, params, stats, batch, key))
    found = step(jax.random.key(2))
    assert found.params["w"].shape == (4, 3)
    assert np.abs(found.params["w"]).max() > 0
    assert int(found.batch_stats["seen"]) == 1
    assert {"loss", "accuracy"} <= set(found.metrics)
    np.testing.assert_array_equal(
        found.params["w"], step(jax.random.key(2)).params["w"]
    )
