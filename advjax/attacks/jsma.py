"""Attack along the saliency map of a Jacobian: few entries, changed by much."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from advjax.attacks.base import Attack, Common, begin, check_options
from advjax.attacks.objectives import is_adversarial
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
    """A perturbation of few entries, each step changing the most salient one or two.

    With u_i the derivative by entry i of what shall rise and v_i that of what shall
    fall, negated, a step changes the pair with the largest (u_p + u_q)(v_p + v_q), both
    sums positive. Targeted, the logit of `y` shall rise and the sum of all others fall;
    untargeted, the logit of `y` shall fall and the sum of all others rise. An entry can
    be changed again until it meets its bound, never back. An example that meets the
    goal already is returned as it is. Where no pair is admissible the attack gives up.

    Args:
        pairs: change two entries a step; False: one, with the largest u_p v_p.
        num_candidates: entries among which pairs are sought. All d entries would
            need d^2 scores, 9 gigabytes at 48,000; k of them need k^2. Kept are those
            with the greatest bound on any score they could have; see `_candidates`.
        theta: how far a step changes an entry: as a share of the bounds' width where
            that is finite (1 takes an entry to its bound), else in its units.
        direction: "up" raises entries, "down" lowers them, "both" scores both, each
            derivative times how far that step takes the entry: near a bound, one way is
            long and the other is short.
        gamma: largest share of entries that may be changed. Pairs change an even
            number, as the paper's limit of floor(d gamma / 2) steps does.
        scores: "logits", or "probabilities" for derivatives of the softmax. These are
            compared without their common factor, which would vanish in float32. "logit"
            is that of `y` alone, as ART has it. Of the last two, what rises is what
            falls, so that the best pair is the best two and takes one pull-back.
        max_steps: saliency maps before giving up. With theta = 1, gamma is reached
            after d * gamma / 2 pairs: raise this for 20,000 entries and more.
        targeted: reach `y` instead of leaving it.
        bounds: least and greatest value of an entry.

    Returns:
        An attack that ignores the budget and whose distance is "l0". `queries` counts a
        forward pass and the pull-backs through it as one. Beside what the network
        needs, a step holds about ten arrays the size of `x` and of num_candidates^2.

    Raises:
        ValueError: options that cannot run.

    Source: Papernot et al. 2016, arXiv:1511.07528, algorithms 2 and 3; gamma and theta:
    Ma et al. 2018, arXiv:1801.02613; logits instead of the paper's probabilities:
    cleverhans 3.1. Untargeted: Wiyatno and Xu 2018, arXiv:1808.07945.
    Differs: num_candidates, and direction="both", whose scores are first-order changes
    by the whole step.
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
        # An entry that may move both ways is two choices, one for each sign.
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
        # The others' sum is 1 - p_y, so that both are gradients of p_y, up to sign;
        # the gradient of its logarithm is the same without the factor p_y.
        others = 0.0 if scores == "logit" else jax.nn.softmax(logits)
        rise = pull(one - others)[0].ravel()
        fall = -rise
    return (rise, fall) if targeted else (fall, rise)


def _gains(slopes, point, signs, change: float, bounds: Bounds):
    """For each sign, the slopes times how far a step takes each entry.

    Of one direction, the slopes themselves, which the paper compares.
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
    """Entries with room that way, and not moved the other way before."""
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
    """The two largest of two entries, if their sum rises."""
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

    The two signs of one entry never pair.
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
    """The choices whose best conceivable score is greatest, and that score.

    A pair with i scores at most (u_i + max u)(v_i + max v), and since a product is at
    most the square of the mean, at most ((u_i + v_i + max(u + v)) / 2)^2. The best pair
    of all is therefore found whenever it scores no less than the bound of every choice
    left out. (Of 48,000 random ones, 256 always sufficed: correlation of u and v from
    -0.9999 to 0.9, normal and Laplace, 20 draws each.) -inf marks a choice that no
    partner makes admissible.
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
    # Products of small gradients would vanish; a common factor changes no choice.
    peak = jnp.abs(x).max()
    return x / jnp.where(peak > 0, peak, 1.0)
