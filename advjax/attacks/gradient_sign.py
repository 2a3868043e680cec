"""Steepest ascent inside a ball: PGD, and FGSM and BIM as special cases of it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from advjax.attacks.balls import ball
from advjax.attacks.base import Attack, Common, begin, check_options
from advjax.attacks.objectives import attack_loss, is_adversarial
from advjax.reprs import keep_call
from advjax.types import Bounds, Features, Key


class GradientSignState(NamedTuple):
    """See `State`; `current` is where the next gradient is taken."""

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
        relative_step: a step's length is relative_step * budget / num_steps, so that
            any point of the ball can be reached from any other.
        norm: "linf" or "l2".
        random_start: start at a uniform point of the ball instead of at `x`.
        num_restarts: starts, each with fresh randomness; the first that ends in success
            is kept, or else the point with the highest loss of any end.
        stop: "first" returns the first iterate that is adversarial; "last" always takes
            all steps of a restart, for examples that shall transfer.
        loss: what is raised, see `objectives.attack_loss`.
        targeted: reach `y` instead of leaving it.
        bounds: least and greatest value of an entry.

    Returns:
        An attack within a fixed budget.

    Raises:
        ValueError: options that cannot run.

    Source: Madry et al. 2018, arXiv:1706.06083, section 2.1 and, for the step, the
    rule 2.5 * eps / num_steps of its appendix on l2 attacks.
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
    # A restart's last iterate is judged by one evaluation more than there are steps;
    # the very last one by whoever runs the attack.
    length = num_steps + 1

    def inside(x, budget, point):
        point = x + ball(norm, budget).project(point - x)
        return jnp.clip(point, *bounds)

    def start(x, budget, key):
        if not random_start:
            return x
        return inside(x, budget, x + ball(norm, budget).sample(key, x))

    def init(logits_fn, x, y, key, budget):
        del logits_fn
        current = start(x, budget, jax.random.fold_in(key, 0))
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
            restarted = start(x, budget, fresh)
            following = jnp.where(at_end, restarted, following)
        # Where nothing succeeds, the answer is the end with the highest loss; of a
        # single restart, its end, which nobody has to judge here.
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
        init, step, num_restarts * length - (num_restarts == 1), norm, bounds, targeted
    )


@keep_call
def fgsm(
    *,
    norm: str = "linf",
    loss: str = "cross_entropy",
    targeted: bool = False,
    bounds: Bounds = (-1.0, 1.0),
) -> Attack:
    """One step of the whole budget along the gradient's sign, or along it for "l2".

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
    """Repeated small steps from the example itself.

    Args:
        num_steps: gradients.
        relative_step: a step's length is relative_step * budget / num_steps; 1 just
            reaches the budget when all steps agree, as Kurakin's rule does.
        norm: "linf" or "l2".
        stop: "first" for the first iterate that is adversarial (called BIM-a), "last"
            for the last one (BIM-b).
        loss: what is raised.
        targeted: reach `y` instead of leaving it.
        bounds: least and greatest value of an entry.

    Source: Kurakin et al. 2017, arXiv:1607.02533; the two readings: Ma et al. 2018,
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
