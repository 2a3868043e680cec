"""Jacobian-based saliency map attack (JSMA): few entries, each changed by much."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from advjax.attacks.base import Attack, Common, begin
from advjax.attacks.objectives import is_adversarial
from advjax.attacks.options import check_options
from advjax.reprs import keep_call
from advjax.types import Bounds, Label, Logits


class JsmaState(NamedTuple):
    """See `State`; `x_adv` is where the next saliency map is taken."""

    common: Common


@keep_call
def jsma(
    *,
    pairs: bool = True,
    num_candidates: int = 256,
    theta: float = 1.0,
    direction: str = "up",
    gamma: float = 0.1,
    scores: str = "logits",
    max_steps: int = 1000,
    targeted: bool = False,
    bounds: Bounds = (-1.0, 1.0),
) -> Attack:
    """Change the one or two most salient entries in each step.

    Let u_i be the derivative by entry i of the score to increase, and v_i minus that of
    the score to decrease. A step changes the pair with the largest (u_p + u_q)(v_p +
    v_q), both sums positive. Targeted, the logit of `y` is to increase and the sum of
    all others to decrease; untargeted, the reverse. An entry can be changed again until
    it meets its bound, but never back. An example that meets the goal already is
    returned unchanged. The attack ends where no pair is admissible.

    Args:
        pairs: change two entries a step; False: one, with the largest u_p v_p.
        num_candidates: entries among which pairs are sought. All d entries take d^2
            scores (9 gigabytes at 48,000 entries), k candidates take k^2. The
            candidates are the entries with the greatest upper bound of their scores;
            see `_candidates`.
        theta: change of an entry in one step: relative to the bounds' width where that
            is finite (1 takes an entry to its bound), else in its units.
        direction: "up" raises entries, "down" lowers them. "both" scores both signs and
            multiplies each derivative by the length of its step, since near a bound one
            way is long and the other short.
        gamma: largest share of entries that may be changed. Pairs change an even number
            of entries, as with the paper's limit of floor(d gamma / 2) steps.
        scores: "logits", or "probabilities" for derivatives of the softmax. The common
            factor of these, which underflows in float32, is left out. "logit" is that
            of `y` alone, as in ART. For the last two, the score to increase is also the
            one to decrease, so the best pair is the best two entries and takes one VJP.
        max_steps: saliency maps, at most. With theta = 1, gamma is reached after
            d * gamma / 2 pairs: raise this for 20,000 entries and more.
        targeted: reach `y` instead of leaving it.
        bounds: least and greatest value of an entry.

    Returns:
        An attack that ignores the budget and whose distance is "l0". `queries` counts a
        forward pass with its VJPs as one. Besides the network's memory, a step holds
        about ten arrays of the size of `x` and of num_candidates^2.

    Raises:
        ValueError: invalid options.

    Source: Papernot et al. 2016, arXiv:1511.07528, algorithms 2 and 3; gamma and theta:
        Ma
    et al. 2018, arXiv:1801.02613; logits instead of the paper's probabilities:
    cleverhans 3.1. Untargeted: Wiyatno and Xu 2018, arXiv:1808.07945.
    Differs: num_candidates, and direction="both", whose scores are first-order changes
        by
    the whole step.
    """
    check_options(
        norm="l0",
        norms=("l0",),
        bounds=bounds,
        max_steps=max_steps,
        num_candidates=num_candidates,
    )
    if pairs and num_candidates < 2:
        raise ValueError(f"num_candidates={num_candidates}: a pair needs at least 2")
    if direction not in _SIGNS:
        raise ValueError(f"direction={direction!r}: choose one of {', '.join(_SIGNS)}")
    if scores not in _SCORES:
        raise ValueError(f"scores={scores!r}: choose one of {', '.join(_SCORES)}")
    if theta <= 0:
        raise ValueError(f"theta={theta}: give more than 0; direction='down' lowers")
    if not 0 < gamma <= 1:
        raise ValueError(f"gamma={gamma}: give a share, more than 0 and at most 1")
    width = bounds[1] - bounds[0]
    change = theta * width if width < float("inf") else theta
    signs = _SIGNS[direction]

    at_once = 2 if pairs else 1

    def init(logits_fn, x, y, key, budget):
        del logits_fn, key
        return JsmaState(common=begin(x, y, budget))

    def step(logits_fn, state):
        common = state.common
        logits, pull = jax.vjp(logits_fn, common.x_adv)
        rise, fall = _rise_and_fall(logits, pull, common.y, scores, targeted)

        clean, point = common.x.ravel(), common.x_adv.ravel()
        touched = point != clean
        room = int(gamma * clean.size) - touched.sum() >= at_once
        gains = _gains((rise, fall), point, signs, change, bounds)
        # With two signs, an entry counts as two choices.
        u, v, allowed = (
            jnp.concatenate(parts)
            for parts in zip(
                *(
                    (
                        sign * weighted[0],
                        -sign * weighted[1],
                        _movable(clean, point, sign, bounds) & (touched | room),
                    )
                    for sign, weighted in zip(signs, gains, strict=True)
                ),
                strict=True,
            )
        )
        if pairs:
            # Where u equals v, the best pair is the best two.
            chosen, found = (
                _best_pair(u, v, allowed, num_candidates, entries=clean.size)
                if scores == "logits"
                else _best_two(u, allowed, entries=clean.size)
            )
        else:
            chosen, found = _best_single(u, v, allowed)
        entry = chosen % clean.size
        sign = jnp.asarray(signs, jnp.float32)[chosen // clean.size]
        values = jnp.clip(point[entry] + sign * change, *bounds)

        reached = is_adversarial(logits, common.y, targeted=targeted)
        done = reached | ~found
        moved = point.at[entry].set(values).reshape(common.x.shape)
        return JsmaState(
            common=common._replace(
                x_adv=jnp.where(done, common.x_adv, moved),
                done=done,
                queries=common.queries + 1,
            )
        )

    return Attack(
        init, step, max_steps, "l0", bounds, targeted=targeted, fixed_budget=False
    )


_SCORES = ("logits", "probabilities", "logit")
_SIGNS = {"up": (1.0,), "down": (-1.0,), "both": (1.0, -1.0)}


def _rise_and_fall(
    logits: Logits, pull, y: Label, scores: str, targeted: bool
) -> tuple[Float[Array, "entries"], Float[Array, "entries"]]:
    """Gradients of the scores to increase and to decrease."""
    one = (jnp.arange(logits.size) == y).astype(logits.dtype)
    if scores == "logits":
        rise, fall = (pull(row)[0].ravel() for row in (one, 1.0 - one))
    else:
        # The other probabilities sum to 1 - p_y, so both gradients are that of p_y up
        # to sign. The gradient of log p_y is the same without the factor p_y.
        others = 0.0 if scores == "logit" else jax.nn.softmax(logits)
        rise = pull(one - others)[0].ravel()
        fall = -rise
    return (rise, fall) if targeted else (fall, rise)


def _gains(slopes, point, signs, change: float, bounds: Bounds):
    """For each sign, the slopes times the length of each entry's step.

    With one sign these are the slopes themselves, as in the paper.
    """
    if len(signs) == 1:
        return [slopes]
    rooms = (bounds[1] - point if sign > 0 else point - bounds[0] for sign in signs)
    return [
        tuple(slope * jnp.clip(room, 0.0, change) for slope in slopes) for room in rooms
    ]


def _movable(
    clean: Float[Array, "entries"],
    point: Float[Array, "entries"],
    sign: float,
    bounds: Bounds,
) -> Bool[Array, "entries"]:
    """Entries with room in the direction of `sign` that never moved the other way."""
    room = point < bounds[1] if sign > 0 else point > bounds[0]
    return room & (sign * (point - clean) >= 0)


def _best_single(
    u: Float[Array, "choices"], v: Float[Array, "choices"], allowed
) -> tuple[Int[Array, "1"], Bool[Array, ""]]:
    u, v = _of_peak_one(u), _of_peak_one(v)
    score = jnp.where(allowed & (u > 0) & (v > 0), u * v, -jnp.inf)
    best = score.argmax()
    return best[None], score[best] > -jnp.inf


def _best_two(
    u: Float[Array, "choices"], allowed, *, entries: int
) -> tuple[Int[Array, "2"], Bool[Array, ""]]:
    """The two choices with the largest u, and whether their sum is positive."""
    u = jnp.where(allowed, u, -jnp.inf)
    first = u.argmax()
    same = jnp.arange(u.size) % entries == first % entries
    second = jnp.where(same, -jnp.inf, u).argmax()
    return jnp.stack([first, second]), (u[first] + u[second] > 0) & (first != second)


def _best_pair(
    u: Float[Array, "choices"],
    v: Float[Array, "choices"],
    allowed,
    num_candidates: int,
    *,
    entries: int | None = None,
) -> tuple[Int[Array, "2"], Bool[Array, ""]]:
    """Two choices with the best score among the candidates, and whether any has one.

    The two signs of one entry never form a pair.
    """
    entries = entries or u.size
    u, v = _of_peak_one(u), _of_peak_one(v)
    kept, bound = _candidates(u, v, allowed, num_candidates)
    u, v, kept_allowed = u[kept], v[kept], bound > -jnp.inf
    sum_u, sum_v = u[:, None] + u[None, :], v[:, None] + v[None, :]
    admissible = (
        (sum_u > 0)
        & (sum_v > 0)
        & (kept_allowed[:, None] & kept_allowed[None, :])
        & (kept[:, None] % entries != kept[None, :] % entries)
    )
    score = jnp.where(admissible, sum_u * sum_v, -jnp.inf)
    best = score.argmax()
    chosen = kept[jnp.stack(jnp.divmod(best, kept.size))]
    return chosen, score.ravel()[best] > -jnp.inf


def _candidates(
    u: Float[Array, "choices"], v: Float[Array, "choices"], allowed, count: int
) -> tuple[Int[Array, "kept"], Float[Array, "kept"]]:
    """The choices with the greatest upper bound of their scores, and these bounds.

    A pair with i scores at most (u_i + max u)(v_i + max v) and, since a product is at
    most the square of the mean, at most ((u_i + v_i + max(u + v)) / 2)^2. So the best
    pair of all is found whenever its score is no less than the bound of every choice
    left out. (256 candidates sufficed for all of 48,000 random choices: correlation of
    u and v from -0.9999 to 0.9, normal and Laplace, 20 draws each.) A bound of -inf
    marks a choice that has no admissible partner.
    """
    # The second bound is tight where u + v varies least, which is at equal scales.
    u, v = u / _rms(u), v / _rms(v)
    rise, fall, both = (
        x + jnp.where(allowed, x, -jnp.inf).max() for x in (u, v, u + v)
    )
    bound = jnp.minimum(rise * fall, jnp.square(both) / 4)
    bound = jnp.where(allowed & (rise > 0) & (fall > 0), bound, -jnp.inf)
    values, kept = jax.lax.top_k(bound, min(count, u.size))
    return kept, values


def _rms(x: Float[Array, "choices"]) -> Float[Array, ""]:
    power = jnp.square(x).mean()
    return jnp.sqrt(jnp.where(power > 0, power, 1.0))


def _of_peak_one(x: Float[Array, "choices"]) -> Float[Array, "choices"]:
    # Scaled, because products of small gradients underflow.
    peak = jnp.abs(x).max()
    return x / jnp.where(peak > 0, peak, 1.0)
