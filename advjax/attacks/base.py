"""What an attack is, and the loop that runs one.

An attack works on one example and sees a function from it to logits, nothing else: the
stage of the chain at which it perturbs is the choice of that function. It is two pure
functions over a state, as in optax, so that the loop has one owner: `run` for `vmap`
and `jit`, or `batches.run_batch`, which can report, compact and resume.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from advjax.attacks.objectives import LOSSES, is_adversarial
from advjax.types import Bounds, Features, Key, Label, Logits, LogitsFn

Budget = Float[Array, ""]
"""The largest perturbation, in the attack's norm and the units of the example."""

NORMS = ("linf", "l2", "l0")


@runtime_checkable
class State(Protocol):
    """What every attack's state holds; each has more of its own.

    Attributes:
        x: the clean example.
        y: its label or, for a targeted attack, the class to reach.
        x_adv: the best adversarial candidate so far; `x` when there is none.
        budget: what `init` was given.
        done: nothing is left to do; further steps change nothing that counts.
        queries: forward passes spent.
    """

    x: Features
    y: Label
    x_adv: Features
    budget: Budget
    done: Bool[Array, ""]
    queries: Int[Array, ""]


class Attack(NamedTuple):
    """An attack on one example.

    Attributes:
        init: (logits_fn, x, y, key, budget) -> state, before any step.
        step: (logits_fn, state) -> state, one iteration. Never called on a state that
            is done, but may be computed on one and thrown away.
        max_steps: steps after which to stop, done or not.
        norm: the norm of the budget or of the distance that is made small.
        bounds: least and greatest value of an entry of `x_adv`.
        targeted: whether `y` is the class to reach instead of the one to leave.
        fixed_budget: whether the attack keeps within a budget; without, it looks for
            the smallest perturbation and ignores the budget.
        black_box: whether it only asks for outputs, never for gradients.
    """

    init: Callable[[LogitsFn, Features, Label, Key, Budget], Any]
    step: Callable[[LogitsFn, Any], Any]
    max_steps: int
    norm: str
    bounds: Bounds
    targeted: bool = False
    fixed_budget: bool = True
    black_box: bool = False


class AttackResult(NamedTuple):
    """What an attack came to.

    Attributes:
        x_adv: the adversarial example, `x` itself where a search found none.
        success: whether `x_adv` is adversarial, measured on it and never assumed.
        queries: forward passes spent, without the one that measured success. A
            gradient counts as one.
        logits: of `x_adv`.
    """

    x_adv: Features
    success: Bool[Array, ""]
    queries: Int[Array, ""]
    logits: Logits


def run(
    attack: Attack,
    logits_fn: LogitsFn,
    x: Features,
    y: Label,
    key: Key,
    budget: Budget | float | np.floating | None = None,
) -> AttackResult:
    """The result of attacking one example, inside the graph; `vmap` it for many.

    Args:
        attack: what to run.
        logits_fn: one example to one row of logits.
        x: the clean example.
        y: its label or, for a targeted attack, the class to reach.
        key: randomness; deterministic attacks ignore it.
        budget: largest perturbation in `attack.norm`; None only for attacks that look
            for the smallest.

    Raises:
        ValueError: an attack within a budget was given none.
    """
    state = attack.init(logits_fn, x, y, key, checked_budget(attack, budget))

    def unfinished(carry):
        state, num_steps = carry
        return ~state.done & (num_steps < attack.max_steps)

    def advance(carry):
        state, num_steps = carry
        return attack.step(logits_fn, state), num_steps + 1

    state, _ = jax.lax.while_loop(unfinished, advance, (state, jnp.int32(0)))
    ended = Ended(state.x_adv, state.y, state.queries)
    return measured(attack, logits_fn, ended)


class Ended(NamedTuple):
    """Of a finished state, what its result is made of."""

    x_adv: Features
    y: Label
    queries: Int[Array, ""]


def measured(attack: Attack, logits_fn: LogitsFn, ended: Ended) -> AttackResult:
    """The result of a finished attack, its success measured."""
    logits = logits_fn(ended.x_adv)
    success = is_adversarial(logits, ended.y, targeted=attack.targeted)
    return AttackResult(ended.x_adv, success, ended.queries, logits)


def checked_budget(
    attack: Attack,
    budget: Float[Array | np.ndarray, "*examples"] | float | np.floating | None,
) -> Float[Array, "..."]:
    """The budget in float32; infinite for an attack that needs none.

    Raises:
        ValueError: the attack needs one.
    """
    if budget is None and attack.fixed_budget:
        raise ValueError(
            f"this attack keeps within a budget: give the largest {attack.norm} norm "
            "of the perturbation, in the units of the example"
        )
    budget = jnp.inf if budget is None or not attack.fixed_budget else budget
    return jnp.asarray(budget, jnp.float32)


def check_options(
    *,
    norm: str,
    norms: tuple[str, ...],
    bounds: Bounds,
    loss: str = "cross_entropy",
    **counts: int,
) -> None:
    """Nothing; refuses options that no attack can run with.

    Raises:
        ValueError: an unknown norm or loss, empty bounds, or a count below 1.
    """
    if loss not in LOSSES:
        raise ValueError(f"loss={loss!r}: choose one of {', '.join(LOSSES)}")
    if norm not in norms:
        raise ValueError(f"norm={norm!r}: choose one of {', '.join(norms)}")
    if not bounds[0] < bounds[1]:
        raise ValueError(f"bounds={bounds}: give the least value, then the greatest")
    for name, value in counts.items():
        if not 1 <= value < 2**31:
            raise ValueError(f"{name}={value}: give at least 1, and less than 2^31")
