"""Mixup, and the masking of losses of unverified labels."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from advjax.defences.base import AUXILIARY_WEIGHT, GradFn, Gradients


def mixup(*, alpha: float = 1.0, masking: float | None = None) -> GradFn:
    """Train on mixtures of the two halves of a batch.

    Example i of the first half is mixed with example i of the second, in shares drawn
    from Beta(alpha, alpha), and so are their labels: a batch of 2 B examples gives B
    mixtures. An odd batch leaves out its last example.

    Args:
        alpha: of the Beta distribution; 1 draws shares uniformly.
        masking: the loss of a mixture with more than a tenth of unverified labels
            (`Batch.verified`) is set to zero if it exceeds this share of the greatest
            loss in the batch; 0.8 is Jeong and Lim's. None: never.

    Returns:
        A defence. Its `accuracy` counts the label with the greater share. Select
        weights by unmixed examples: see `Objective.judge`.

    Raises:
        ValueError: alpha or masking is out of range.

    Source: Zhang et al. 2018, arXiv:1710.09412; two independent halves and alpha = 1:
        Iqbal
    et al. 2018; masking: Jeong and Lim 2018, both of the DCASE workshop.
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be positive, got {alpha}")
    if masking is not None and not 0 < masking <= 1:
        raise ValueError(
            f"masking={masking}: give a share of the greatest loss, as 0.8"
        )

    def gradients(apply, params, batch_stats, batch, key):
        size = len(batch.y) // 2
        if size == 0:
            raise ValueError("mixup takes batches of at least two examples")
        if masking is not None and batch.verified is None:
            raise ValueError(
                f"masking={masking} needs `verified` for every example, which this "
                "dataset does not have: leave it out"
            )
        key_share, key_apply = jax.random.split(key)
        share = jax.random.beta(key_share, alpha, alpha, (size,))
        x = _mix(share, batch.x[:size], batch.x[size : 2 * size])
        first, second = batch.y[:size], batch.y[size : 2 * size]

        def mixture_losses(logits):
            of = optax.softmax_cross_entropy_with_integer_labels
            return _mix(share, of(logits, first), of(logits, second))

        def loss_fn(params):
            found, stats = apply(params, batch_stats, x, key_apply)
            logits, *auxiliary = found if isinstance(found, tuple) else (found,)
            losses = mixture_losses(logits)
            for others in auxiliary:
                losses = losses + AUXILIARY_WEIGHT * mixture_losses(others)
            if masking is not None:
                doubt = 1.0 - batch.verified.astype(jnp.float32)
                doubt = _mix(share, doubt[:size], doubt[size : 2 * size])
                kept = (doubt <= 0.1) | (losses <= masking * losses.max())
                losses = jnp.where(jax.lax.stop_gradient(kept), losses, 0.0)
            answer = jnp.where(share >= 0.5, first, second)
            accuracy = (logits.argmax(axis=-1) == answer).mean()
            return losses.mean(), (stats, accuracy)

        (loss, (stats, accuracy)), grads = jax.value_and_grad(loss_fn, has_aux=True)(
            params
        )
        return Gradients(grads, stats, {"loss": loss, "accuracy": accuracy})

    return gradients


def _mix(
    share: Float[Array, "size"],
    first: Float[Array, "size *shape"],
    second: Float[Array, "size *shape"],
) -> Float[Array, "size *shape"]:
    share = share.reshape(-1, *(1,) * (first.ndim - 1))
    return share * first + (1 - share) * second
