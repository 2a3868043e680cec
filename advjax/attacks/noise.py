"""Random noise of a given norm, as a baseline attack."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from advjax.attacks.balls import norm2
from advjax.attacks.base import Attack, Common, begin
from advjax.attacks.objectives import is_adversarial
from advjax.attacks.options import check_options
from advjax.padding import own
from advjax.reprs import keep_call
from advjax.types import Bounds, Key


class NoiseState(NamedTuple):
    """See `State`; `num_draws` were drawn."""

    common: Common
    key: Key
    num_draws: Int[Array, ""]


@keep_call
def noise(
    *,
    law: str = "gaussian",
    norm: str = "l2",
    num_draws: int = 1,
    targeted: bool = False,
    bounds: Bounds = (-1.0, 1.0),
) -> Attack:
    """White noise, scaled to the norm or SNR of the budget.

    Noise is clipped to `bounds`; a clipped perturbation is smaller than the budget.

    Args:
        law: the distribution: "gaussian", "uniform" (on an interval around 0) or "sign"
            (entries of one magnitude and random sign).
        norm: "l2" or "linf", of the budget.
        num_draws: tries; the first adversarial draw is kept, or else the last draw.
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

    def draw(logits_fn, state):
        x, budget = state.common.x, state.common.budget
        key = jax.random.fold_in(state.key, state.num_draws)
        drawn = own(logits_fn).keep(laws[law](key, x.shape))
        size = norm2(drawn) if norm == "l2" else jnp.max(jnp.abs(drawn))
        noisy = jnp.clip(x + drawn * (budget / size), *bounds)
        return state._replace(
            common=state.common._replace(x_adv=noisy), num_draws=state.num_draws + 1
        )

    def init(logits_fn, x, y, key, budget):
        first = NoiseState(begin(x, y, budget), key, num_draws=jnp.int32(0))
        return draw(logits_fn, first)

    def step(logits_fn, state):
        common, again = state.common, draw(logits_fn, state)
        done = is_adversarial(logits_fn(common.x_adv), common.y, targeted=targeted)
        return again._replace(
            common=common._replace(
                x_adv=jnp.where(done, common.x_adv, again.common.x_adv),
                done=done,
                queries=common.queries + 1,
            )
        )

    return Attack(
        init,
        step,
        num_draws - 1,
        norm,
        bounds,
        targeted,
        black_box=True,
        any_length=True,
    )
