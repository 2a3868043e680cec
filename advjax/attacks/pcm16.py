"""Adversarial waveforms that hold in files of 16 bits.

A file rounds samples to steps of 1/32768, which undoes many small perturbations. The
search here moves a few samples by single steps until the rounded example is
adversarial. Carlini and Wagner 2017, arXiv:1608.04644, section V.C, have to do so for
pixels. Their search tries single entries; this one ranks all entries by the gradient.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from advjax.arguments import check_labels, float_example, in_float32, num_classes
from advjax.attacks.base import (
    Attack,
    AttackResult,
    Budget,
    Ended,
    FinishFn,
    measure,
)
from advjax.attacks.objectives import attack_loss, is_adversarial
from advjax.reprs import keep_call
from advjax.signal.samples import FULL_SCALE
from advjax.types import AnyArray, AnyCallable, Bounds, Features

_SURE = 1e-4
"""Least margin of a finished example, relative to its greatest logit.

It is about a thousand float32 roundings, so other programs and machines agree.
"""


@keep_call
def on_pcm16(attack: Attack, *, num_steps: int = 20) -> Attack:
    """An attack on waveforms whose results are files of 16 bits.

    The attack runs as it is. Its result is then rounded, and finished by
    `finish_pcm16` where it was adversarial. `run` and `run_batch` measure success on
    the finished example, so a success holds after writing and reading a WAV. Distances
    are those of the finished example, and `queries` count the search. The budget holds
    up to half a step of each sample, as it does for plain rounding.

    Args:
        attack: the attack to run, on waveforms of full scale 1.
        num_steps: steps of the search at most.

    Returns:
        An attack of the same budget. A black box is finished without gradients.

    Raises:
        ValueError: the attack's bounds are not those of a waveform, or `num_steps` is
            below 1.
    """
    _check_steps(num_steps)
    low, high = attack.bounds
    if low < -1 or high > 1:
        raise ValueError(
            f"bounds={attack.bounds}: give an attack on waveforms, with bounds in "
            "[-1, 1]"
        )
    options = _Options(attack.norm, attack.targeted, num_steps, not attack.black_box)
    finish = _finish(options, attack.bounds)
    return attack._replace(finish=finish, resolution=1 / FULL_SCALE)


def finish_pcm16(
    logits_fn: AnyCallable,
    x: AnyArray,
    x_adv: AnyArray,
    y: AnyArray | int,
    *,
    norm: str = "l2",
    budget: AnyArray | float | None = None,
    targeted: bool = False,
    num_steps: int = 20,
    gradients: bool = True,
) -> AttackResult:
    """Round an adversarial waveform to 16 bits so that it stays adversarial.

    Plain rounding comes first. Where it fails, each step ranks the samples by the
    gradient of the margin and moves the fewest of them, by 1/32768 each, that reach the
    decision boundary of the linearised classifier; each further step aims twice as far.
    The finished example is within the budget or, where plain rounding leaves it, as
    near as the plainly rounded one: at most half a step of each sample beyond. An
    example that is not adversarial is only rounded.

    Inside `jit` and `vmap` it works as `attacks.run` does.

    Args:
        logits_fn: any callable from one waveform to one row of logits.
        x: the clean waveform [time], full scale 1. Its own file is part of no distance,
            so give one of 16 bits.
        x_adv: the adversarial one.
        y: its label or, for a targeted attack, the target class.
        norm: "linf", "l2" or "l0". With "l0" only samples that the attack changed move.
        budget: largest perturbation in that norm. None is no limit; with "linf" a step
            then adds at most 1/32768 to the norm of `x_adv - x`.
        targeted: reach `y` instead of leaving it.
        num_steps: steps of the search at most. Each costs one gradient.
        gradients: False for a black box. Each step then rounds up or down at random, in
            proportion to the distance, so that the mean is `x_adv`.

    Returns:
        The finished example, its success, and the forward passes spent.

    Raises:
        ValueError: unusable arrays or label, an unknown norm, or `num_steps` below 1.
    """
    _check_steps(num_steps)
    if norm not in ("linf", "l2", "l0"):
        raise ValueError(f"norm={norm!r}: choose linf, l2 or l0")
    x, x_adv = (jnp.asarray(float_example(each)) for each in (x, x_adv))
    if x.shape != x_adv.shape:
        raise ValueError(f"x is {list(x.shape)} and x_adv {list(x_adv.shape)}")
    y = check_labels(y, num_classes(logits_fn, x), shape=())
    ended = Ended(
        x=x,
        x_adv=x_adv,
        y=jnp.asarray(y),
        budget=jnp.asarray(jnp.inf if budget is None else budget, jnp.float32),
        queries=jnp.int32(0),
    )
    attack = _FINISHED._replace(
        norm=norm,
        targeted=targeted,
        finish=_finish(_Options(norm, targeted, num_steps, gradients), (-1.0, 1.0)),
    )
    return measure(attack, in_float32(logits_fn), ended)


def _unused(*_: Any) -> Any:
    raise NotImplementedError("this attack has ended")


_FINISHED = Attack(_unused, _unused, 0, "l2", (-1.0, 1.0))
"""Stands for an attack that another program ran."""


class _Search(NamedTuple):
    """State of the search.

    Attributes:
        point: the next point to judge, in steps of 1/32768; at first `x_adv` itself.
        best: the point of the lattice with the greatest loss so far.
        best_loss: its loss.
        step: points judged.
        found: whether `x_adv` is adversarial.
        done: whether the search is over.
    """

    point: Features
    best: Features
    best_loss: Float[Array, ""]
    step: Int[Array, ""]
    found: Bool[Array, ""]
    done: Bool[Array, ""]


class _Options(NamedTuple):
    """See `finish_pcm16`."""

    norm: str
    targeted: bool
    num_steps: int
    gradients: bool


# Cached, so that equal options give equal attacks, which share compiled programs.
@functools.cache
def _finish(options: _Options, bounds: Bounds) -> FinishFn:
    """The `finish` of an attack."""
    norm, targeted, num_steps, gradients = options
    low = float(max(math.ceil(bounds[0] * FULL_SCALE), -FULL_SCALE))
    high = float(min(math.floor(bounds[1] * FULL_SCALE), FULL_SCALE - 1))

    def finish(logits_fn, ended: Ended):
        x, wanted = ended.x * FULL_SCALE, ended.x_adv * FULL_SCALE
        room = _Room(x, wanted, ended.budget * FULL_SCALE, norm, low, high)

        def look(point):
            def objective(point):
                logits = logits_fn(point / FULL_SCALE)
                loss = attack_loss(logits, ended.y, targeted=targeted, loss="margin")
                return loss, logits

            if not gradients:
                # The way back to the unrounded example stands for the gradient.
                return *objective(point), wanted - point
            (loss, logits), gain = jax.value_and_grad(objective, has_aux=True)(point)
            return loss, logits, jnp.where(jnp.isfinite(gain), gain, 0.0)

        def advance(state: _Search) -> _Search:
            loss, logits, gain = look(state.point)
            met = is_adversarial(logits, ended.y, targeted=targeted)
            first = state.step == 0
            sure = met & (loss > _SURE * jnp.abs(logits).max())
            if gradients:
                aim = _SURE * jnp.abs(logits).max() - loss
                # The exponent is bounded, or many steps would overflow.
                aim *= 2.0 ** jnp.clip(state.step - 1, 0, 60).astype(jnp.float32)
                moved = room.climb(state.point, gain, aim, state.step)
            else:
                key = jax.random.fold_in(jax.random.key(0), state.step)
                dither = jax.random.uniform(key, wanted.shape, jnp.float32)
                moved = jnp.floor(wanted + dither)
            moved = jnp.where(first, room.rounded(), moved)
            moved = room.project(moved, gain, state.step)
            better = ~first & (loss > state.best_loss)
            best = jnp.where(better, state.point, state.best)
            return _Search(
                point=moved,
                best=jnp.where(first, moved, best),
                best_loss=jnp.where(better, loss, state.best_loss),
                step=state.step + 1,
                found=jnp.where(first, met, state.found),
                done=jnp.where(first, ~met, sure),
            )

        begin = _Search(
            point=wanted,
            best=wanted,
            best_loss=jnp.float32(-jnp.inf),
            step=jnp.int32(0),
            found=jnp.bool_(False),
            done=jnp.bool_(False),
        )
        end = jax.lax.while_loop(
            lambda state: ~state.done & (state.step <= num_steps),
            advance,
            begin,
        )
        x_adv, queries = end.best / FULL_SCALE, ended.queries + end.step
        return ended._replace(x_adv=x_adv, queries=queries), end.found

    return finish


class _Room(NamedTuple):
    """Points of the lattice that a finished example may take; all in steps."""

    x: Features
    wanted: Features
    budget: Budget
    norm: str
    low: float
    high: float

    def rounded(self) -> Features:
        """The result of plain rounding."""
        return jnp.clip(jnp.rint(self.wanted), self.low, self.high)

    def limits(self, step: Int[Array, ""]) -> tuple[Features, Features]:
        """Least and greatest value of each sample."""
        low, high = self.low, self.high
        if self.norm == "linf":
            plain = self.rounded() - self.x
            size = jnp.max(jnp.abs(self.wanted - self.x)) + 0.5
            size += step.astype(size.dtype)
            # Budgets of whole steps may be a rounding error below them.
            reach = jnp.maximum(self.budget * (1 + 1e-6), jnp.max(jnp.abs(plain)))
            reach = jnp.where(jnp.isinf(self.budget), size, reach)
            low = jnp.maximum(jnp.ceil(self.x - reach), low)
            high = jnp.minimum(jnp.floor(self.x + reach), high)
        if self.norm == "l0":
            unchanged = self.wanted == self.x
            low = jnp.where(unchanged, jnp.rint(self.x), low)
            high = jnp.where(unchanged, jnp.rint(self.x), high)
        return jnp.broadcast_to(low, self.x.shape), jnp.broadcast_to(high, self.x.shape)

    def climb(
        self,
        point: Features,
        gain: Features,
        aim: Float[Array, ""],
        step: Int[Array, ""],
    ) -> Features:
        """Move the fewest samples by a step each that gain `aim`, or all that can."""
        low, high = self.limits(step)
        moved = point + jnp.sign(gain)
        each = jnp.where((moved >= low) & (moved <= high), jnp.abs(gain), 0.0)
        return jnp.where(_fewest(each, each, aim) & (each > 0), moved, point)

    def project(
        self, point: Features, gain: Features, step: Int[Array, ""]
    ) -> Features:
        """Bring a point within the limits and an l2 budget, where it loses least.

        At most all samples take a step back: no move of the search is longer.
        """
        point = jnp.clip(point, *self.limits(step))
        if self.norm != "l2":
            return point
        delta, plain = point - self.x, self.rounded() - self.x
        most = jnp.maximum(jnp.square(self.budget), jnp.sum(jnp.square(plain)))
        excess = jnp.sum(jnp.square(delta)) - most
        saved = jnp.maximum(2 * jnp.abs(delta) - 1, 0.0)
        lost = gain * jnp.sign(delta) / jnp.maximum(saved, 1e-3)
        rank = jnp.where(saved > 0, -lost, -jnp.inf)
        back = _fewest(rank, saved, excess) & (saved > 0) & (excess > 0)
        return jnp.where(back, point - jnp.sign(delta), point)


def _fewest(
    rank: Features, amount: Features, wanted: Float[Array, ""]
) -> Bool[Array, "..."]:
    """Mask of the first entries by falling rank whose amounts reach `wanted`."""
    order = jnp.argsort(-rank.ravel())
    amounts = amount.ravel()[order]
    before = jnp.cumsum(amounts) - amounts
    mask = jnp.zeros(order.shape, bool).at[order].set(before <= wanted)
    return mask.reshape(rank.shape)


def _check_steps(num_steps: int) -> None:
    if num_steps < 1:
        raise ValueError(f"num_steps={num_steps}: give at least 1")
