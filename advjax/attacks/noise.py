"""Noise of a given norm: the attack that knows nothing."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from advjax.attacks.balls import norm2
from advjax.attacks.base import Attack, Budget, check_options
from advjax.attacks.objectives import is_adversarial
from advjax.types import Bounds, Features, Key, Label


class NoiseState(NamedTuple):
    """See `State`."""

    x: Features
    y: Label
    x_adv: Features
    budget: Budget
    done: Bool[Array, ""]
    queries: Int[Array, ""]
    key: Key
    draw: Int[Array, ""]


def noise(
    *,
    law: str = "gaussian",
    norm: str = "l2",
    num_draws: int = 1,
    targeted: bool = False,
    bounds: Bounds = (-1.0, 1.0),
) -> Attack:
    """White noise scaled to the budget, so that its norm or SNR is the one asked for.

    Where noise would leave `bounds` it is clipped, and then falls short of the budget.

    Args:
        law: "gaussian", "uniform" (on an interval around 0) or "sign" (entries of one
            magnitude and random sign).
        norm: "l2" or "linf", of the budget.
        num_draws: tries; the first that is adversarial is kept, or else the last.
        targeted: reach `y` instead of leaving it.
        bounds: least and greatest value of an entry.

    Source: Subramanian et al. 2019, arXiv:1907.02477, section 3, at 20 dB SNR.
    """
    check_options(norm=norm, norms=("linf", "l2"), bounds=bounds, num_draws=num_draws)
    laws = {
        "gaussian": lambda key, shape: jax.random.normal(key, shape, jnp.float32),
        "uniform": lambda key, shape: jax.random.uniform(
            key, shape, jnp.float32, minval=-1.0
        ),
        "sign": lambda key, shape: jax.random.rademacher(key, shape, jnp.float32),
    }
    if law not in laws:
        raise ValueError(f"law={law!r}: choose one of {', '.join(laws)}")

    def draw(state):
        key = jax.random.fold_in(state.key, state.draw)
        drawn = laws[law](key, state.x.shape)
        size = norm2(drawn) if norm == "l2" else jnp.max(jnp.abs(drawn))
        noisy = jnp.clip(state.x + drawn * (state.budget / size), *bounds)
        return state._replace(x_adv=noisy, draw=state.draw + 1)

    def init(logits_fn, x, y, key, budget):
        del logits_fn
        none = jnp.int32(0)
        return draw(NoiseState(x, y, x, budget, jnp.bool_(False), none, key, none))

    def step(logits_fn, state):
        done = is_adversarial(logits_fn(state.x_adv), state.y, targeted=targeted)
        again = draw(state)
        return again._replace(
            x_adv=jnp.where(done, state.x_adv, again.x_adv),
            done=done,
            queries=state.queries + 1,
        )

    return Attack(init, step, num_draws - 1, norm, bounds, targeted, black_box=True)
