"""Augmentation by any smoothing law: train on the noise that smoothing will add."""

import jax

from advjax.defences.base import GradFn, cross_entropy_gradients
from advjax.smoothing import Noise


def noisy(*, law: Noise) -> GradFn:
    """The gradients of the loss on inputs with fresh noise of `law` in every step.

    `gaussian` for other laws than the Gaussian one.

    Args:
        law: the smoothing law, in the units of the stage that noise enters at.

    Source: Yang et al. 2020, arXiv:2002.08118, section 6: a law certifies the more, the
    more the classifier was trained on it.
    """

    def gradients(apply, params, batch_stats, batch, key):
        key_noise, key_apply = jax.random.split(key)
        keys = jax.random.split(key_noise, len(batch.x))
        noisy = batch._replace(x=jax.vmap(law.sample)(keys, batch.x))
        return cross_entropy_gradients(apply, params, batch_stats, noisy, key_apply)

    return gradients
