"""Shapes of a network that is not computed."""

import jax
import jax.numpy as jnp


def _variables(network, sizes):
    x = jax.ShapeDtypeStruct((1, *sizes, 1), jnp.float32)
    key = jax.random.key(0)
    return x, jax.eval_shape(lambda k, x: network.init(k, x, train=False), key, x)


def num_parameters(network, sizes):
    """Trainable parameters of a network for images of `sizes`."""
    _, variables = _variables(network, sizes)
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def shapes(network, sizes):
    """The height of what each layer returns, by its name."""
    x, variables = _variables(network, sizes)

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
