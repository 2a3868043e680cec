"""Shapes and variables of a network without compiling it."""

import jax
import jax.numpy as jnp
import numpy as np


def variable_shapes(network, x):
    """The shapes of a network's variables for inputs like `x`."""
    init = lambda key, x: network.init(key, x, train=False)  # noqa: E731
    return jax.eval_shape(init, jax.random.key(0), x)


def drawn(shapes):
    """Variables of those shapes, which need no compilation."""
    rng = np.random.default_rng(0)

    def leaf(path, shape):
        if len(shape.shape) > 1:
            deviation = (2 / np.prod(shape.shape[:-1])) ** 0.5
            return jnp.asarray(rng.normal(0, deviation, shape.shape), jnp.float32)
        at_one = path[-1].key in ("var", "scale", "deviation")
        return (jnp.ones if at_one else jnp.zeros)(shape.shape)

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def _image(sizes):
    return jax.ShapeDtypeStruct((1, *sizes, 1), jnp.float32)


def num_parameters(network, sizes):
    """Trainable parameters of a network for images of `sizes`."""
    variables = variable_shapes(network, _image(sizes))
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def heights(network, sizes):
    """The height of each layer's output, by its name."""
    x = _image(sizes)
    variables = variable_shapes(network, x)

    def apply(variables, x):
        _, kept = network.apply(
            variables, x, train=False, capture_intermediates=True, mutable=True
        )
        return kept["intermediates"]

    found = jax.eval_shape(apply, variables, x)
    return {
        name: layer["__call__"][0].shape[1]
        for name, layer in found.items()
        if isinstance(layer, dict) and layer["__call__"][0].ndim == 4
    }
