"""MACER: training that maximises a soft certified radius."""

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from advjax.defences.base import GradFn
from advjax.defences.noisy_copies import (
    check_copies,
    copies_defence,
)
from advjax.probabilities import log_mean_softmax

# Smaller shares are subnormal, which some devices flush to 0.
TINY = float(jnp.finfo(jnp.float32).tiny)


def macer(
    *,
    sigma: float,
    num_noises: int = 16,
    lbd: float = 12.0,
    gamma: float = 8.0,
    beta: float = 16.0,
) -> GradFn:
    """Minimise the soft-smoothed classifier's log-loss plus a penalty on short radii.

    J = -log of the true class's mean softmax over an example's noisy copies + lbd *
    sigma / 2 * max(0, gamma - margin), averaged over the examples; the second term is
    for correctly classified examples only. `margin` is the standard normal quantile of
    the first class's share minus that of the second's: twice the certified radius over
    sigma. The shares are mean softmaxes at the inverse temperature beta. A step costs
    as much as one of `gaussian` on num_noises times as many examples.

    Args:
        sigma: standard deviation, in the units of the stage that noise enters at.
        num_noises: copies of each example.
        lbd: weight of the penalty (lambda).
        gamma: margins above this have no penalty.
        beta: inverse temperature; the larger, the closer a softmax is to a vote.

    Returns:
        A defence. Its `accuracy` is the share of correctly classified noisy copies.

    Raises:
        ValueError: invalid options.

    Source: Zhai et al. 2020, arXiv:2001.02378, and its code github.com/RuntianZ/macer
    (macer.py), whose defaults these are. As there, examples with a margin that is not
    finite have no penalty.
    Differs: the log-loss is exact; that code adds 1e-10 to the mean.
    """
    check_copies(sigma=sigma, num_noises=num_noises, lbd=lbd, gamma=gamma, beta=beta)

    def loss(logits, y):
        logs = log_mean_softmax(logits)
        log_loss = -jnp.take_along_axis(logs, y[:, None], axis=1).mean()
        shares, classes = jax.lax.top_k(jax.nn.softmax(beta * logits).mean(axis=1), 2)
        # At 0 and 1 the quantile's derivative is infinite or NaN, and times a zero
        # gradient it stays NaN. Such shares are replaced before the quantile.
        inside = ((shares > TINY) & (shares < 1)).all(axis=1)
        found = margins(jnp.where(inside[:, None], shares, 0.5))
        counts = inside & (classes[:, 0] == y) & (found <= gamma)
        short = jnp.where(counts, gamma - found, 0.0)
        return log_loss + lbd * sigma / 2 * short.mean()

    return copies_defence(loss, sigma=sigma, num_noises=num_noises)


def margins(shares: Float[Array, "batch 2"]) -> Float[Array, "batch"]:
    """Quantile of the first share minus that of the second: 2 * radius / sigma."""
    return ndtri(shares[:, 0]) - ndtri(shares[:, 1])
