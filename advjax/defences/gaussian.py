"""Gaussian augmentation: train on the noise of the smoothed classifier."""

import math

import jax
import jax.numpy as jnp

from advjax.defences.base import GradFn, cross_entropy_gradients


def gaussian(*, sigma: float) -> GradFn:
    """Train on inputs with new Gaussian noise in every step.

    Args:
        sigma: standard deviation, in the units of the stage that noise enters at.

    Raises:
        ValueError: sigma is not positive and finite.

    Source: Cohen et al. 2019, arXiv:1902.02918, section 3.3. Noise is never clipped.
    """
    if not (math.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma must be positive and finite, got {sigma}")

    def gradients(apply, params, batch_stats, batch, key):
        key_noise, key_apply = jax.random.split(key)
        noise = sigma * jax.random.normal(key_noise, batch.x.shape, jnp.float32)
        noisy = batch._replace(x=batch.x + noise.astype(batch.x.dtype))
        return cross_entropy_gradients(apply, params, batch_stats, noisy, key_apply)

    return gradients
