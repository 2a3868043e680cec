"""Consistency regularisation: predictions that agree under noise."""

import jax.numpy as jnp
import optax

from advjax.defences.base import GradFn
from advjax.defences.noisy_copies import (
    check_copies,
    copies_defence,
)
from advjax.probabilities import log_mean_softmax


def consistency(
    *, sigma: float, num_noises: int = 2, lbd: float = 10.0, eta: float = 0.5
) -> GradFn:
    """Gaussian augmentation plus a penalty on the disagreement of noisy copies.

    J = CE of each noisy copy + lbd * KL(mean || each) + eta * entropy(mean), averaged
    over copies and examples, where `mean` is an example's mean softmax over its copies.
    A step costs as much as one of `gaussian` on num_noises times as many examples.

    Args:
        sigma: standard deviation, in the units of the stage that noise enters at.
        num_noises: copies of each example.
        lbd: weight of the divergence (lambda); with lbd=0 and eta=0 this is `gaussian`.
        eta: weight of the mean's entropy, which keeps a large lbd from making all
            predictions uniform.

    Returns:
        A defence. Its `accuracy` is the share of correctly classified noisy copies.

    Raises:
        ValueError: invalid options.

    Source: Jeong and Shin 2020, arXiv:2006.04062, and its code
    github.com/jh-jeong/smoothing-consistency (code/consistency.py), with two noises,
    eta = 0.5 and lbd from 5 to 20.
    Differs: that code divides a batch by num_noises and takes a step with each part;
        here a
    step takes the whole batch. The logarithm of the mean is exact; that code clamps the
    mean at 1e-20.
    """
    check_copies(sigma=sigma, num_noises=num_noises, lbd=lbd, eta=eta)

    def loss(logits, y):
        log_mean = log_mean_softmax(logits)
        mean = jnp.exp(log_mean)
        entropy = -(mean * log_mean).sum(axis=-1).mean()
        each = optax.softmax_cross_entropy(logits, mean[:, None])
        labels = jnp.broadcast_to(y[:, None], logits.shape[:2])
        right = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        # The cross-entropy is the divergence plus the mean's entropy.
        return right.mean() + lbd * (each.mean() - entropy) + eta * entropy

    return copies_defence(loss, sigma=sigma, num_noises=num_noises)
