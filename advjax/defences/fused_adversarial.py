"""Adversarial training that reuses the clean gradient pass for its FGSM step."""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from advjax.attacks.balls import ball, eps_for_snr
from advjax.attacks.options import check_options
from advjax.defences.base import Apply, GradFn, Gradients, cross_entropy_gradients
from advjax.types import Batch, Bounds, Key, PyTree


def fused_adversarial(
    *,
    eps: float | None = None,
    snr_db: float | None = None,
    alpha: float = 0.5,
    norm: str = "linf",
    crafting: str = "training",
    bounds: Bounds = (-math.inf, math.inf),
) -> GradFn:
    """Mix the clean loss with the loss after one FGSM step.

    J = alpha * CE(x, y) + (1 - alpha) * CE(x_adv, y), where x_adv = x + eps * sign of
    the gradient of CE(x, y) by x. One backward pass over the clean batch gives both its
    parameter gradient and the direction, so the step costs two passes instead of three.
    No gradient flows through the perturbation: x_adv is a constant in J.

    Each of the two batches is normalised by its own statistics, because the clean pass
    has to end before x_adv exists. Running statistics move once in a step, towards the
    mixture of both. The direction comes from one of two passes:

    * crafting="training": the network in training mode. Examples depend on each other
      through the batch statistics, so a direction increases the loss of the whole
      batch.
    * crafting="evaluation": the network as an attacker meets it, with its running
      statistics and no dropout. This takes a third pass and calls
      `apply(..., train=False)`, which `fit` supports.

    Both passes draw the same dropout mask, so the direction increases the same loss
    that the step decreases.

    Args:
        eps: the perturbation's norm, in the units of the stage that it enters at.
        snr_db: instead of eps, the level of the example over that of the perturbation.
        alpha: weight of the clean loss.
        norm: "linf" (a sign step) or "l2" (along the gradient).
        crafting: "training" or "evaluation", see above.
        bounds: least and greatest value of an entry of x_adv.

    Returns:
        A defence. Its `loss` and `accuracy` are mixtures by alpha, so that `fit` keeps
        the weights of the best mixture. `clean_accuracy` and `adversarial_accuracy` are
        their parts.

    Raises:
        ValueError: invalid options.

    Source: Goodfellow et al. 2015, arXiv:1412.6572, section 6, with its alpha. A
        network
    trained on one step without a random start can learn to mask its gradient (Wong et
    al. 2020, arXiv:2001.03994): evaluate it with PGD, never by `adversarial_accuracy`.
    """
    check_adversarial(
        eps=eps,
        snr_db=snr_db,
        alpha=alpha,
        norm=norm,
        crafting=crafting,
        bounds=bounds,
    )

    def gradients(apply, params, batch_stats, batch, key):
        def of_both(params_and_x, batch_stats, x, key):
            del x
            return apply(params_and_x[0], batch_stats, params_and_x[1], key)

        clean = cross_entropy_gradients(
            of_both, (params, batch.x), batch_stats, batch, key
        )
        clean, direction = clean._replace(params=clean.params[0]), clean.params[1]
        if crafting == "evaluation":
            direction = input_gradient(
                functools.partial(apply, train=False), params, batch_stats, batch, key
            )

        def perturb(x, direction, budget):
            return jnp.clip(
                x + budget * ball(norm, budget).steepest(direction), *bounds
            )

        budgets = budgets_of(batch.x, eps=eps, snr_db=snr_db, norm=norm)
        x_adv = jax.vmap(perturb)(batch.x, direction, budgets)
        adversarial = cross_entropy_gradients(
            apply, params, batch_stats, batch._replace(x=x_adv), key
        )
        return mixture(clean, adversarial, alpha)

    return gradients


def check_adversarial(
    *,
    eps: float | None,
    snr_db: float | None,
    alpha: float,
    norm: str,
    crafting: str,
    bounds: Bounds,
    **counts: int,
) -> None:
    """Refuse invalid options of adversarial training.

    Raises:
        ValueError: an option is out of range; the message names it.
    """
    check_options(norm=norm, norms=("linf", "l2"), bounds=bounds, **counts)
    if (eps is None) == (snr_db is None):
        raise ValueError(
            f"eps={eps} and snr_db={snr_db}: give one of the two, eps in the units of "
            "the stage or snr_db relative to each example"
        )
    if eps is not None and not (math.isfinite(eps) and eps > 0):
        raise ValueError(f"eps must be positive and finite, got {eps}")
    if snr_db is not None and not math.isfinite(snr_db):
        raise ValueError(f"snr_db must be finite, got {snr_db}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha={alpha}: give the clean loss a weight between 0 and 1")
    if crafting not in ("training", "evaluation"):
        raise ValueError(f"crafting={crafting!r}: choose training or evaluation")


def budgets_of(
    x: Float[Array, "batch *features"],
    *,
    eps: float | None,
    snr_db: float | None,
    norm: str,
) -> Float[Array, "batch"]:
    """The largest perturbation of each example: `eps`, or the one at `snr_db`."""
    if snr_db is None:
        return jnp.full(x.shape[:1], eps, jnp.float32)
    return jax.vmap(functools.partial(eps_for_snr, snr_db=snr_db, norm=norm))(x)


def input_gradient(
    apply: Apply, params: PyTree, batch_stats: PyTree, batch: Batch, key: Key
) -> Float[Array, "batch *features"]:
    """The gradient of the mean cross-entropy by `batch.x` alone.

    The mean scales each example's gradient by 1 / batch; a sign or a unit vector is not
    affected.
    """

    def of_input(x, batch_stats, _, key):
        return apply(params, batch_stats, x, key)

    return cross_entropy_gradients(of_input, batch.x, batch_stats, batch, key).params


def mixture(clean: Gradients, adversarial: Gradients, alpha: float) -> Gradients:
    """`alpha` of `clean` and the rest of `adversarial`: gradients, statistics, metrics.

    Both must start from the same batch statistics. Integer leaves are taken from
    `clean`. The two accuracies are kept beside the mixed one.
    """

    def mix(first, second):
        # A part without weight is left out, so that the compiler can drop it.
        if alpha == 1 or not jnp.issubdtype(first.dtype, jnp.inexact):
            return first
        return second if alpha == 0 else alpha * first + (1 - alpha) * second

    found = jax.tree.map(mix, clean, adversarial)
    parts = {
        "clean_accuracy": clean.metrics["accuracy"],
        "adversarial_accuracy": adversarial.metrics["accuracy"],
    }
    return found._replace(metrics={**found.metrics, **parts})
