"""Every network keeps the contract of `advjax.models`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.models import MODELS

SMALL = {"rescnn": {"width": 2, "embedding_size": 8}}


@pytest.mark.parametrize("name", MODELS)
def test_shapes_modes_and_a_gradient_for_every_weight(name):
    network = MODELS[name](num_classes=3, **SMALL[name])
    x = jax.random.normal(jax.random.key(0), (4, 160, 64, 1))
    variables = jax.jit(lambda k: network.init(k, x, train=False))(jax.random.key(1))

    def loss(params):
        logits, updated = network.apply(
            {**variables, "params": params},
            x,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(2)},
        )
        return jnp.sum(logits[:, 0] ** 2 + logits[:, 1] + logits[:, 2] ** 3), updated

    grads, updated = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        # The bias of a convolution before batch norm is cancelled by the mean.
        if "Conv_0" not in jax.tree_util.keystr(path) or "kernel" in str(path):
            assert np.abs(grad).max() > 0, path
    moved = jax.tree.map(
        lambda a, b: bool((a != b).any()),
        variables["batch_stats"],
        updated["batch_stats"],
    )
    assert all(jax.tree.leaves(moved))
    predict = jax.jit(lambda x: network.apply(variables, x, train=False))
    assert predict(x).shape == (4, 3)
    np.testing.assert_allclose(predict(x[:1]), predict(x)[:1], atol=1e-5)
