"""SmoothAdv: adversarial training of the smoothed classifier."""

import functools

import jax
import jax.numpy as jnp
import optax

from advjax.attacks.balls import l2
from advjax.defences.base import GradFn
from advjax.defences.noisy_copies import (
    check_copies,
    gradients_of_copies,
    logits_of_copies,
    noisy_copies,
)
from advjax.probabilities import log_mean_softmax


def smooth_adv(
    *, sigma: float, eps: float, num_steps: int = 2, num_noises: int = 2
) -> GradFn:
    """Train at the end of an attack on the smoothed classifier.

    Gradient ascent in the l2 ball increases -log of the true class's mean softmax over
    the noisy copies of an example, all moved by one perturbation. The loss is then the
    mean cross-entropy of the moved copies, with the same noise. The ascent starts at
    the example and attacks the network in evaluation mode, with its running statistics
    and without dropout; it calls `apply(..., train=False)`, which `fit` supports. No
    gradient flows through the perturbation. A step costs as much as one of `gaussian`
    on (num_steps + 1) * num_noises times as many examples.

    Args:
        sigma: standard deviation, in the units of the stage that noise enters at.
        eps: the largest l2 norm of a perturbation, in the same units.
        num_steps: steps of the ascent, each of length 2 * eps / num_steps.
        num_noises: copies of each example.

    Returns:
        A defence. Its `accuracy` is the share of correctly classified noisy copies at
        the end of the attack.

    Raises:
        ValueError: invalid options.

    Source: Salman et al. 2019, arXiv:1906.04584, SmoothAdv_PGD, and its code
    github.com/Hadisalman/smoothing-adversarial (code/attacks.py, code/train_pgd.py with
    --train-multi-noise).
    Differs: that code lets eps grow over its first epochs, divides a batch by
    num_noises and takes a step with each part, and moves an example whose gradient is
    zero at random. Perturbed values are not clipped.
    """
    check_copies(sigma=sigma, num_noises=num_noises, eps=eps)
    if num_steps < 1:
        raise ValueError(f"num_steps={num_steps}: give at least 1")

    def move(delta, gradient):
        ball = l2(jnp.float32(eps))
        return ball.project(delta + 2 * eps / num_steps * ball.steepest(gradient))

    def loss(logits, y):
        labels = jnp.broadcast_to(y[:, None], logits.shape[:2])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean()

    def gradients(apply, params, batch_stats, batch, key):
        key_noise, key_apply = jax.random.split(key)
        copies = noisy_copies(batch.x, key_noise, sigma=sigma, num_noises=num_noises)
        evaluate = functools.partial(apply, train=False)

        def smoothed_loss(delta):
            (logits, *_), _ = logits_of_copies(
                evaluate, params, batch_stats, copies + delta[:, None], key_apply
            )
            logs = log_mean_softmax(logits)
            # A sum, so that gradients do not shrink with the size of the batch.
            return -jnp.take_along_axis(logs, batch.y[:, None], axis=1).sum()

        def ascend(_, delta):
            return jax.vmap(move)(delta, jax.grad(smoothed_loss)(delta))

        delta = jax.lax.fori_loop(0, num_steps, ascend, jnp.zeros_like(batch.x))
        return gradients_of_copies(
            loss,
            apply,
            params,
            batch_stats,
            copies + delta[:, None],
            batch.y,
            key_apply,
        )

    return gradients
