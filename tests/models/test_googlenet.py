import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.models import GoogLeNet
from tests.models.shapes import drawn, heights, num_parameters, variable_shapes

# Table 1 of the paper: input channels, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool
# projection.
MODULES = [
    (192, 64, 96, 128, 16, 32, 32),
    (256, 128, 128, 192, 32, 96, 64),
    (480, 192, 96, 208, 16, 48, 64),
    (512, 160, 112, 224, 24, 64, 64),
    (512, 128, 128, 256, 24, 64, 64),
    (512, 112, 144, 288, 32, 64, 64),
    (528, 256, 160, 320, 32, 128, 128),
    (832, 256, 160, 320, 32, 128, 128),
    (832, 384, 192, 384, 48, 128, 128),
]


def layer(size, inputs, outputs):
    return size * size * inputs * outputs + outputs


def module(inputs, one, reduce3, three, reduce5, five, pool):
    return (
        layer(1, inputs, one)
        + layer(1, inputs, reduce3)
        + layer(3, reduce3, three)
        + layer(1, inputs, reduce5)
        + layer(5, reduce5, five)
        + layer(1, inputs, pool)
    )


def head(inputs):
    return layer(1, inputs, 128) + layer(1, 4 * 4 * 128, 1024) + layer(1, 1024, 1000)


def test_full_width_has_the_published_parameters():
    main = layer(7, 1, 64) + layer(1, 64, 64) + layer(3, 64, 192)
    main += sum(module(*sizes) for sizes in MODULES) + layer(1, 1024, 1000)
    # 6,998,552 is the count for three input channels, without auxiliary heads.
    assert main == 6_998_552 - 2 * 7 * 7 * 64
    expected = main + head(512) + head(528)
    assert expected == 13_372_008
    assert num_parameters(GoogLeNet(num_classes=1000), (300, 200)) == expected


def test_the_count_at_native_size_does_not_depend_on_the_size():
    network = GoogLeNet(num_classes=2, width=8, resize=None)
    assert num_parameters(network, (1, 1)) == num_parameters(network, (90, 70))


@pytest.mark.slow
def test_auxiliary_heads_speak_in_training_alone_and_reach_mid_network():
    network = GoogLeNet(num_classes=3, width=8, resize=16)
    x = jax.random.uniform(jax.random.key(0), (2, 16, 16, 1))
    variables = drawn(variable_shapes(network, x))

    @jax.jit
    def slopes(variables):
        """Gradients of each head's logits by all variables."""
        rngs = {"dropout": jax.random.key(2)}
        logits, pull_back = jax.vjp(
            lambda variables: network.apply(variables, x, train=True, rngs=rngs),
            variables,
        )
        each = jnp.eye(3)[:, :, None, None] * jnp.ones((2, 3))[None, None]
        assert len(logits) == 3
        return jax.vmap(pull_back)((each[0], each[1], each[2]))[0]["params"]

    found = slopes(variables)

    def reached(head):
        return {
            name
            for name, tree in found.items()
            if any(np.abs(leaf[head]).max() > 0 for leaf in jax.tree.leaves(tree))
        }

    assert "inception_5b" in reached(0)
    assert not any("Auxiliary" in name for name in reached(0))
    for head, last, beyond in ((1, "4a", "4b"), (2, "4d", "4e")):
        assert f"inception_{last}" in reached(head)
        assert f"inception_{beyond}" not in reached(head)


def test_maps_have_the_sizes_of_the_paper():
    maps = heights(GoogLeNet(num_classes=10, width=8), (300, 200))
    sizes = {name: maps[f"inception_{name}"] for name in ("3a", "4a", "5b")}
    assert sizes == {"3a": 28, "4a": 14, "5b": 7}
