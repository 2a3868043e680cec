"""The contract of an attack, and the loop that runs one.

An attack works on one example. It sees the classifier only as a function from the
example to logits, and that function decides which stage of the chain is perturbed. Like
an optimiser of optax, an attack is two pure functions over a state. Its loop is `run`,
for `vmap` and `jit`, or `batches.run_batch`, which reports progress and can resume.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from advjax.arguments import (
    check_key,
    check_labels,
    float_example,
    in_float32,
    inside_a_trace,
    is_traced,
    num_classes,
)
from advjax.attacks.checks import (
    PROBABILITIES,
    check_finite,
    check_finite_logits,
    check_in_bounds,
    look_like_probabilities,
)
from advjax.attacks.objectives import is_adversarial
from advjax.metrics.robustness import rounding_slack
from advjax.reprs import call_or_fields
from advjax.types import (
    AnyArray,
    AnyCallable,
    Bounds,
    Features,
    Key,
    Label,
    Logits,
    LogitsFn,
)

Budget = Float[Array, ""]
"""The largest perturbation, in the attack's norm and the units of the example."""


class Common(NamedTuple):
    """The part that the states of all attacks share.

    Attributes:
        x: the clean example.
        y: its label or, for a targeted attack, the target class.
        x_adv: the best adversarial candidate so far; `x` when there is none.
        budget: the budget given to `init`.
        done: whether the attack is finished; further steps leave the result unchanged.
        queries: forward passes spent.
    """

    x: Features
    y: Label
    x_adv: Features
    budget: Budget
    done: Bool[Array, ""]
    queries: Int[Array, ""]


def begin(x: Features, y: Label, budget: Budget) -> Common:
    """The common part of a state before the first query."""
    return Common(
        x=x,
        y=y,
        x_adv=x,
        budget=budget,
        done=jnp.bool_(False),
        queries=jnp.int32(0),
    )


@runtime_checkable
class State(Protocol):
    """The state of an attack on one example: a pytree of arrays.

    A `NamedTuple` whose first field is `common`, followed by the attack's own fields.
    Keep the order of its arrays: snapshots on disk have the same order.
    """

    common: Common


@runtime_checkable
class InitFn(Protocol):
    """A callable type for the `init` of an `Attack`.

    The function makes the state before the first step. It may query the classifier,
    counts each forward pass in `queries`, and may set `done`. The function is pure and
    is traced by `jit` and `vmap`: it may read shapes but not values.
    """

    def __call__(
        self, logits_fn: LogitsFn, x: Features, y: Label, key: Key, budget: Budget
    ) -> State:
        """Make the state before the first step.

        Args:
            logits_fn: the classifier, from one example to one row of logits.
            x: the clean example.
            y: its label or, for a targeted attack, the target class.
            key: root of all randomness of this example; deterministic attacks delete
                it.
            budget: largest perturbation in the norm of the attack; infinite for an
                attack that searches for the smallest perturbation.

        Returns:
            The state. Every step keeps its shapes and types.
        """


@runtime_checkable
class StepFn(Protocol):
    """A callable type for the `step` of an `Attack`.

    The function takes one iteration. Under `vmap` all examples of a batch step
    together, so a step may be computed on a finished state; its result is then
    discarded. The function is pure and keeps all shapes and types, so that a loop can
    carry the state.
    """

    def __call__(self, logits_fn: LogitsFn, state: State) -> State:
        """Advance the attack by one iteration.

        Args:
            logits_fn: the classifier given to `init`.
            state: the state returned by `init` or by the previous step.

        Returns:
            The next state, with every forward pass counted in its `queries`.
        """


class Ended(NamedTuple):
    """The fields of a finished state that its result is computed from; see `Common`."""

    x: Features
    x_adv: Features
    y: Label
    budget: Budget
    queries: Int[Array, ""]


@runtime_checkable
class FinishFn(Protocol):
    """A callable type for the `finish` of an `Attack`.

    The function changes an adversarial example before its success is measured. It is
    pure and is traced by `jit` and `vmap`.
    """

    def __call__(
        self, logits_fn: LogitsFn, ended: Ended
    ) -> tuple[Ended, Bool[Array, ""]]:
        """Finish one example.

        Args:
            logits_fn: the classifier.
            ended: the end of the attack.

        Returns:
            The end with another `x_adv` and more `queries`, and whether the given
            `x_adv` was adversarial.
        """


class Attack(NamedTuple):
    """An attack on one example: two pure functions and the attack's properties.

    Attributes:
        init: makes the state before any step; see `InitFn`.
        step: takes one iteration; see `StepFn`.
        max_steps: steps after which the loop stops, done or not.
        norm: the norm of the budget, or of the distance that a search minimises.
        bounds: least and greatest value of an entry of `x_adv`.
        targeted: whether `y` is the class to reach instead of the label to leave.
        fixed_budget: whether the attack stays within a budget. If False, the attack
            searches for the smallest perturbation and ignores the budget.
        black_box: whether the attack uses outputs only, never gradients.
        call: the call that made the attack, shown as its `repr`; see `keep_call`.
        finish: changes the example before its success is measured, as `on_pcm16` does;
            None leaves it.
        resolution: the step that `finish` rounds to. A finished example is within the
            budget up to half a step of each entry.
        any_length: whether a `Padded` example gives the result of its own length. The
            attack then draws and counts by `padding.own`, and moves else along
            gradients, which are zero in the padding.
    """

    init: InitFn
    step: StepFn
    max_steps: int
    norm: str
    bounds: Bounds
    targeted: bool = False
    fixed_budget: bool = True
    black_box: bool = False
    call: str = ""
    finish: FinishFn | None = None
    resolution: float = 0.0
    any_length: bool = False

    __repr__ = call_or_fields


class AttackResult(NamedTuple):
    """Result of an attack.

    Attributes:
        x_adv: the adversarial example; `x` itself where a search found none.
        success: whether `x_adv` is adversarial, measured on `x_adv`.
        queries: forward passes spent, without the one that measured success. A gradient
            counts as one.
        logits: of `x_adv`.
        unfinished: whether the example was adversarial before the attack's `finish`;
            None for an attack without one.
    """

    x_adv: Features
    success: Bool[Array, ""]
    queries: Int[Array, ""]
    logits: Logits
    unfinished: Bool[Array, ""] | None = None


def run(
    attack: Attack,
    logits_fn: AnyCallable,
    x: AnyArray,
    y: AnyArray,
    key: Key | Any,
    budget: AnyArray | None = None,
) -> AttackResult:
    """Attack one example, inside a compiled function or not; `vmap` it for many.

    Shapes and types are always checked. Values are checked outside of `jit` and `vmap`.
    Inside, a label that is no class, an example outside the bounds or a negative budget
    ends without success.

    Args:
        attack: the attack to run.
        logits_fn: any callable from one example to one row of logits.
        x: the clean example; float32, or cast to it.
        y: its label or, for a targeted attack, the target class.
        key: randomness; deterministic attacks ignore it.
        budget: largest perturbation in `attack.norm`; None only for attacks that search
            for the smallest perturbation.

    Raises:
        ValueError: an unusable function, example, label, key or budget, or no budget
            for an attack that needs one.
    """
    x = float_example(x)
    classes = num_classes(logits_fn, x)
    y = check_labels(y, classes, shape=())
    check_key(key)
    budget = float_budget(attack, budget)
    if budget.shape != ():
        raise ValueError(
            f"budget has shape {list(budget.shape)}: give one number for one example"
        )
    if not is_traced(x):
        check_finite(np.asarray(x)[None])
        check_in_bounds(np.asarray(x), attack.bounds)
    x, y, logits_fn = jnp.asarray(x), jnp.asarray(y), in_float32(logits_fn)
    state = attack.init(logits_fn, x, y, key, budget)

    def unfinished(carry):
        state, num_steps = carry
        return ~state.common.done & (num_steps < attack.max_steps)

    def advance(carry):
        state, num_steps = carry
        return attack.step(logits_fn, state), num_steps + 1

    state, _ = jax.lax.while_loop(unfinished, advance, (state, jnp.int32(0)))
    result = measure(attack, logits_fn, end_of(state.common))
    success = result.success & (y >= 0) & (y < classes)
    if attack.fixed_budget:
        success &= _within(attack, result.x_adv, x, budget)
    if not is_traced(result.logits) and not inside_a_trace():
        check_outputs(logits_fn, x, np.asarray(result.logits))
    return result._replace(success=success)


def _within(
    attack: Attack, x_adv: Features, x: Features, budget: Budget
) -> Bool[Array, ""]:
    """True if the perturbation is within the budget, up to rounding."""

    def size(a):
        if attack.norm == "l0":
            return jnp.sum(a != 0, dtype=jnp.float32)
        l2 = attack.norm == "l2"
        return jnp.sqrt(jnp.sum(jnp.square(a))) if l2 else jnp.max(jnp.abs(a))

    changed = jnp.sum(x_adv != x, dtype=jnp.float32)
    slack = 1e-5 * budget + 1e-6 + (0 if attack.norm == "l0" else 4e-7 * size(x))
    slack += rounding_slack(attack.norm, changed, attack.resolution)
    return (budget >= 0) & (size(x_adv - x) <= budget + slack)


def check_outputs(
    logits_fn: LogitsFn, x: Features, logits: Float[np.ndarray, "classes"]
) -> None:
    """Refuse a classifier whose logits are not finite or are probabilities.

    The classifier is evaluated again only where the given logits look wrong.

    Args:
        logits_fn: the classifier.
        x: a clean example.
        logits: of the result of an attack on it.

    Raises:
        ValueError: logits of the clean example are not finite, or are probabilities.
    """
    if not np.isfinite(logits).all():
        check_finite_logits(np.asarray(logits_fn(x))[None])
    # Logits of one example may sum to 1 by chance; those of three do not.
    elif look_like_probabilities(logits[None]):
        rows = np.stack([np.asarray(logits_fn(point)) for point in (x, x / 2)])
        if look_like_probabilities(rows):
            raise ValueError(PROBABILITIES)


def end_of(common: Common) -> Ended:
    """The end of an attack."""
    return Ended(*(getattr(common, name) for name in Ended._fields))


def measure(attack: Attack, logits_fn: LogitsFn, ended: Ended) -> AttackResult:
    """The result of an ended attack, finished, with its success measured on `x_adv`."""
    unfinished = None
    if attack.finish is not None:
        ended, unfinished = attack.finish(logits_fn, ended)
    logits = logits_fn(ended.x_adv)
    success = is_adversarial(logits, ended.y, targeted=attack.targeted)
    return AttackResult(ended.x_adv, success, ended.queries, logits, unfinished)


def float_budget(attack: Attack, budget: AnyArray | None) -> Float[Array, "..."]:
    """The budget in float32; infinite for an attack that needs none.

    Raises:
        ValueError: the attack needs a budget and has none, or a budget is not a number,
            negative, NaN or infinite.
    """
    if budget is None and attack.fixed_budget:
        raise ValueError(
            f"this attack keeps within a budget: give the largest {attack.norm} norm "
            "of the perturbation, in the units of the example"
        )
    if budget is None or not attack.fixed_budget:
        return jnp.asarray(jnp.inf, jnp.float32)
    given = budget if hasattr(budget, "dtype") else np.asarray(budget)
    if not any(jnp.issubdtype(given.dtype, k) for k in (jnp.floating, jnp.integer)):
        raise ValueError(f"budget={budget!r}: give a number")
    if not is_traced(given):
        numbers = np.asarray(given, np.float32)
        wrong = numbers[~(np.isfinite(numbers) & (numbers >= 0))]
        if wrong.size:
            raise ValueError(
                f"budget={wrong.flat[0]:g}: give a finite {attack.norm} norm, 0 or "
                "more, in the units of the example"
            )
    return jnp.asarray(given, jnp.float32)


def choose(chosen: Bool[Array, ""], these: Any, those: Any) -> Any:
    """The first pytree where `chosen` is true, else the second."""
    return jax.tree.map(lambda a, b: jnp.where(chosen, a, b), these, those)
