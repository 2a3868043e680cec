"""Noise augmentation with any noise distribution."""

import jax

from advjax.defences.base import GradFn, cross_entropy_gradients
from advjax.smoothing import Noise


def noisy(*, law: Noise) -> GradFn:
    """Train on inputs with new noise of `law` in every step.

    Args:
        law: the noise distribution, in the units of the stage that noise enters at.

    Source: Yang et al. 2020, arXiv:2002.08118, section 6: a noise distribution
        certifies
    more if the classifier was trained on it.
    """

    def gradients(apply, params, batch_stats, batch, key):
        key_noise, key_apply = jax.random.split(key)
        keys = jax.random.split(key_noise, len(batch.x))
        noisy = batch._replace(x=jax.vmap(law.sample)(keys, batch.x))
        return cross_entropy_gradients(apply, params, batch_stats, noisy, key_apply)

    return gradients
