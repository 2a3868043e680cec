"""Expectation over transformations (EOT): attacks on randomised classifiers."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from advjax.attacks.base import Attack, Common, State
from advjax.probabilities import log_mean_softmax
from advjax.reprs import keep_call
from advjax.types import Features, Key, Logits, LogitsFn


class ExpectationState(NamedTuple):
    """State of the wrapped attack, and the randomness of the next step.

    Attributes:
        inner: the wrapped attack's state; its queries count means.
        queries: forward passes, `num_samples` for one inner query.
        key: root of all transformations.
        step: steps taken.
    """

    inner: State
    queries: Int[Array, ""]
    key: Key
    step: Int[Array, ""]

    @property
    def common(self) -> Common:
        """The wrapped attack's common part, with all forward passes counted."""
        return self.inner.common._replace(queries=self.queries)


@keep_call
def expectation(
    attack: Attack,
    *,
    sample: Callable[[Key, Features], Features],
    num_samples: int = 16,
) -> Attack:
    """Attack the mean output over random transformations (EOT).

    Every step sees the log of the mean softmax over `num_samples` transformations,
    drawn anew for the step. All points within one step share the transformations, so
    that differences between points are free of their noise. A gradient is that of the
    mean.

    `run` and `run_batch` judge success on the untransformed `logits_fn`, not on these
    means. To attack a smoothed or randomised classifier, give them its base network,
    and judge `x_adv` by the classifier's own vote. An attack that stops at its first
    success stops at a success by the means of one step; where that is too early, give
    the attack `stop="last"` or a `margin` loss.

    Args:
        attack: the attack to run; its options apply to the means. A limit on queries
            counts means, each of which takes `num_samples` forward passes.
        sample: (key, x) to a transformed x, such as `Noise.sample`. Must be
            differentiable for an attack that uses gradients.
        num_samples: transformations in a mean.

    Returns:
        An attack of the same norm, bounds and number of steps, whose `queries` count
        every forward pass.

    Raises:
        ValueError: `num_samples` is below 1.

    Source: Athalye et al. 2018, arXiv:1707.07397, section 2; for randomised defences
    arXiv:1802.00420, section 4.
    Differs: the log of the mean probability, which the share of votes estimates,
        instead
    of the mean of the log probabilities.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples={num_samples}: give at least 1")

    def mean(logits_fn: LogitsFn, key: Key) -> LogitsFn:
        keys = jax.random.split(key, num_samples)

        def mean_of(x: Features) -> Logits:
            return log_mean_softmax(
                jax.vmap(lambda key: logits_fn(sample(key, x)))(keys)
            )

        return mean_of

    def init(logits_fn, x, y, key, budget):
        key_attack, key_sample = jax.random.split(key)
        first = mean(logits_fn, jax.random.fold_in(key_sample, 0))
        inner = attack.init(first, x, y, key_attack, budget)
        return ExpectationState(
            inner=inner,
            queries=inner.common.queries * num_samples,
            key=key_sample,
            step=jnp.int32(0),
        )

    def step(logits_fn, state):
        number = state.step + 1
        seen = mean(logits_fn, jax.random.fold_in(state.key, number))
        inner = attack.step(seen, state.inner)
        return state._replace(
            inner=inner, queries=inner.common.queries * num_samples, step=number
        )

    # The transformations may differ between lengths.
    return attack._replace(init=init, step=step, any_length=False)
