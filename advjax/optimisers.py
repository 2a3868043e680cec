"""Optimisers of optax under strict dtype promotion."""

import jax
import optax


def with_dtype_promotion(
    optimiser: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """The optimiser, with JAX's standard dtype promotion inside its `update`.

    Optax raises floats to integer powers, which strict promotion refuses.
    """

    def update(updates, state, params=None):
        with jax.numpy_dtype_promotion("standard"):
            return optimiser.update(updates, state, params)

    return optax.GradientTransformation(optimiser.init, update)
