"""Adversarial training with projected gradient ascent."""

import functools
import math

import jax
import jax.numpy as jnp

from advjax.attacks.balls import ball
from advjax.defences.base import GradFn, cross_entropy_gradients
from advjax.defences.fused_adversarial import (
    budgets_of,
    check_adversarial,
    input_gradient,
    mixture,
)
from advjax.types import Bounds


def pgd_adversarial(
    *,
    eps: float | None = None,
    snr_db: float | None = None,
    num_steps: int = 7,
    relative_step: float = 2.5,
    norm: str = "linf",
    random_start: bool = True,
    alpha: float = 0.0,
    crafting: str = "training",
    bounds: Bounds = (-math.inf, math.inf),
) -> GradFn:
    """Train at the end of a PGD attack on the batch.

    The attack moves the whole batch at once, through the same `apply` that trains. All
    gradients of the ascent, and the last pass for the gradients of the weights, draw
    the same dropout mask, so one function is increased and then decreased. No gradient
    flows through the perturbation. Batch statistics of the ascent are discarded: the
    running ones see only the batches of the loss.

    Args:
        eps: the largest perturbation, in the norm and in the units of the stage that it
            enters at.
        snr_db: instead of eps, the least level of the example over that of the
            perturbation.
        num_steps: gradients of the ascent. A step of training costs num_steps + 1
            passes, and one more where alpha is between 0 and 1.
        relative_step: an ascent step's length is relative_step * eps / num_steps.
        norm: "linf" or "l2".
        random_start: start at a uniform point of the ball instead of at the example.
        alpha: weight of the clean loss; 0 leaves it out, as Madry et al. do.
        crafting: "training": the ascent normalises by the perturbed batch's own
            statistics, so a direction increases the loss of the whole batch.
            "evaluation": by the running statistics, without dropout, as an attacker
            meets the network; this calls `apply(..., train=False)`, which `fit`
            supports.
        bounds: least and greatest value of a perturbed entry.

    Returns:
        A defence. With alpha 0 its `accuracy` is the adversarial one; else a mixture,
        as in `fused_adversarial`.

    Raises:
        ValueError: invalid options.

    Source: Madry et al. 2018, arXiv:1706.06083, section 2.1; seven steps as in its
        training
    on CIFAR-10, whose steps are 1.75 * eps / num_steps; 2.5 is its rule for attacks.
    One step of relative_step=1.25 is the fast training of Wong et al. 2020,
    arXiv:2001.03994.
    """
    check_adversarial(
        eps=eps,
        snr_db=snr_db,
        alpha=alpha,
        norm=norm,
        crafting=crafting,
        bounds=bounds,
        num_steps=num_steps,
    )
    if not (math.isfinite(relative_step) and relative_step > 0):
        raise ValueError(f"relative_step must be positive, got {relative_step}")

    def inside(point, x, budget):
        return jnp.clip(x + ball(norm, budget).project(point - x), *bounds)

    def start_point(x, budget, key):
        return inside(x + ball(norm, budget).sample(key, x), x, budget)

    def move(point, x, budget, gradient):
        length = budget * (relative_step / num_steps)
        step = length * ball(norm, budget).steepest(gradient)
        return inside(point + step, x, budget)

    def gradients(apply, params, batch_stats, batch, key):
        key_start, key_apply = jax.random.split(key)
        budgets = budgets_of(batch.x, eps=eps, snr_db=snr_db, norm=norm)
        evaluate = functools.partial(apply, train=False)
        attacked = apply if crafting == "training" else evaluate

        def ascend(_, point):
            gradient = input_gradient(
                attacked, params, batch_stats, batch._replace(x=point), key_apply
            )
            return jax.vmap(move)(point, batch.x, budgets, gradient)

        start = batch.x
        if random_start:
            keys = jax.random.split(key_start, len(batch.y))
            start = jax.vmap(start_point)(batch.x, budgets, keys)
        x_adv = jax.lax.fori_loop(0, num_steps, ascend, start)
        found = [
            cross_entropy_gradients(
                apply, params, batch_stats, batch._replace(x=x), key_apply
            )
            for x in ((x_adv,) if alpha == 0 else (batch.x, x_adv))
        ]
        if alpha > 0:
            return mixture(*found, alpha)
        accuracy = {"adversarial_accuracy": found[0].metrics["accuracy"]}
        return found[0]._replace(metrics={**found[0].metrics, **accuracy})

    return gradients
