"""Projected gradient ascent in a ball (PGD), with FGSM and BIM as special cases."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from advjax.attacks.balls import ball
from advjax.attacks.base import Attack, Common, begin
from advjax.attacks.objectives import attack_loss, is_adversarial
from advjax.attacks.options import check_options
from advjax.padding import own
from advjax.reprs import keep_call
from advjax.types import Bounds, Features, Key


class GradientSignState(NamedTuple):
    """See `State`; the next gradient is taken at `current`."""

    common: Common
    current: Features
    key: Key
    step: Int[Array, ""]
    best_loss: Float[Array, ""]


@keep_call
def pgd(
    *,
    num_steps: int = 40,
    relative_step: float = 2.5,
    norm: str = "linf",
    random_start: bool = True,
    num_restarts: int = 1,
    stop: str = "first",
    loss: str = "cross_entropy",
    targeted: bool = False,
    bounds: Bounds = (-1.0, 1.0),
) -> Attack:
    """Projected gradient ascent on the loss, within the budget.

    Args:
        num_steps: gradients in one restart.
        relative_step: a step's length is relative_step * budget / num_steps.
        norm: "linf" or "l2".
        random_start: start at a uniform point of the ball instead of at `x`.
        num_restarts: starts, each with new randomness. The first successful restart is
            kept, or else the end point with the highest loss.
        stop: "first" returns the first adversarial iterate; "last" takes all steps of a
            restart, for adversarial examples that are to transfer.
        loss: the loss to increase, see `objectives.attack_loss`.
        targeted: reach `y` instead of leaving it.
        bounds: least and greatest value of an entry.

    Returns:
        An attack within a fixed budget.

    Raises:
        ValueError: invalid options.

    Source: Madry et al. 2018, arXiv:1706.06083, section 2.1 and, for the step, the rule
    2.5 * eps / num_steps of its appendix on l2 attacks, by which any point of the ball
    can be reached from any other.
    """
    check_options(
        norm=norm,
        norms=("linf", "l2"),
        bounds=bounds,
        loss=loss,
        num_steps=num_steps,
        num_restarts=num_restarts,
    )
    if stop not in ("first", "last"):
        raise ValueError(f"stop={stop!r}: choose first or last")
    if num_restarts > 1 and not random_start:
        raise ValueError(f"num_restarts={num_restarts} are alike without random_start")
    # Judging a restart's last iterate takes one more evaluation. The last iterate of
    # the last restart is judged by `run`.
    length = num_steps + 1

    def inside(x, budget, point):
        point = x + ball(norm, budget).project(point - x)
        return jnp.clip(point, *bounds)

    def start(logits_fn, x, budget, key):
        if not random_start:
            return x
        drawn = ball(norm, budget).sample(key, x, own(logits_fn))
        return inside(x, budget, x + drawn)

    def init(logits_fn, x, y, key, budget):
        current = start(logits_fn, x, budget, jax.random.fold_in(key, 0))
        return GradientSignState(
            common=begin(x, y, budget)._replace(x_adv=current),
            current=current,
            key=key,
            step=jnp.int32(0),
            best_loss=jnp.float32(-jnp.inf),
        )

    def step(logits_fn, state):
        common = state.common
        x, y, budget = common.x, common.y, common.budget

        def objective(point):
            logits = logits_fn(point)
            return attack_loss(logits, y, targeted=targeted, loss=loss), logits

        (value, logits), gradient = jax.value_and_grad(objective, has_aux=True)(
            state.current
        )
        at_end = state.step % length == num_steps
        judged = at_end | (stop == "first")
        done = judged & is_adversarial(logits, y, targeted=targeted)
        direction = ball(norm, budget).steepest(gradient)
        moved = state.current + budget * (relative_step / num_steps) * direction
        following = inside(x, budget, moved)
        if num_restarts > 1:
            fresh = jax.random.fold_in(state.key, state.step // length + 1)
            restarted = start(logits_fn, x, budget, fresh)
            following = jnp.where(at_end, restarted, following)
        # Without a success the result is the end point with the highest loss. A single
        # restart has one end point, which needs no comparison.
        ended_better = at_end & (value > state.best_loss)
        kept = jnp.where(ended_better, state.current, common.x_adv)
        x_adv = jnp.where(done, state.current, kept if num_restarts > 1 else following)
        return state._replace(
            common=common._replace(x_adv=x_adv, done=done, queries=common.queries + 1),
            current=following,
            step=state.step + 1,
            best_loss=jnp.where(ended_better, value, state.best_loss),
        )

    return Attack(
        init,
        step,
        num_restarts * length - (num_restarts == 1),
        norm,
        bounds,
        targeted,
        any_length=True,
    )


@keep_call
def fgsm(
    *,
    norm: str = "linf",
    loss: str = "cross_entropy",
    targeted: bool = False,
    bounds: Bounds = (-1.0, 1.0),
) -> Attack:
    """Fast gradient sign method: one step of the whole budget.

    The step follows the sign of the gradient for "linf", the gradient itself for "l2".

    Source: Goodfellow et al. 2015, arXiv:1412.6572, section 4.
    """
    return pgd(
        num_steps=1,
        relative_step=1.0,
        norm=norm,
        random_start=False,
        stop="last",
        loss=loss,
        targeted=targeted,
        bounds=bounds,
    )


@keep_call
def bim(
    *,
    num_steps: int = 10,
    relative_step: float = 1.0,
    norm: str = "linf",
    stop: str = "first",
    loss: str = "cross_entropy",
    targeted: bool = False,
    bounds: Bounds = (-1.0, 1.0),
) -> Attack:
    """Basic iterative method: repeated small steps from the example itself.

    Args:
        num_steps: gradients.
        relative_step: a step's length is relative_step * budget / num_steps. With 1, as
            in Kurakin's rule, the steps just reach the budget when all agree.
        norm: "linf" or "l2".
        stop: "first" for the first adversarial iterate (called BIM-a), "last" for the
            last iterate (BIM-b).
        loss: the loss to increase.
        targeted: reach `y` instead of leaving it.
        bounds: least and greatest value of an entry.

    Source: Kurakin et al. 2017, arXiv:1607.02533; both variants: Ma et al. 2018,
    arXiv:1801.02613.
    """
    return pgd(
        num_steps=num_steps,
        relative_step=relative_step,
        norm=norm,
        random_start=False,
        stop=stop,
        loss=loss,
        targeted=targeted,
        bounds=bounds,
    )
