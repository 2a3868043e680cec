import jax
import jax.numpy as jnp
import pytest

from advjax.models import ResCNN


@pytest.mark.parametrize(
    ("num_classes", "count"), [(10, 24_177_418), (921, 24_644_761)]
)
def test_full_width_has_the_published_parameters(num_classes, count):
    network = ResCNN(num_classes=num_classes)
    init = lambda key, x: network.init(key, x, train=False)  # noqa: E731
    x = jax.ShapeDtypeStruct((1, 160, 64, 1), jnp.float32)
    shapes = jax.eval_shape(init, jax.random.key(0), x)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == count
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["batch_stats"])) == 13_440
