"""Certified predictions of a classifier smoothed by noise.

    noise = gaussian(0.25)
    certificate = certify(logits_fn, x, jax.random.key(0), noise=noise)

The smoothed classifier predicts the class that the base classifier most probably gives
to a noisy copy. `certify` returns that class and a radius inside which no perturbation
changes it; the statement is wrong with probability at most alpha. The algorithm:

    1. count the votes of a few noisy copies; their most frequent class is the top class
    2. count the votes of many fresh copies
    3. bound the probability of the top class from below by its fresh votes
    4. abstain if the bound is below one half; else the noise turns it into a radius

A bound in `bounds` decides how many votes are counted, `counting` counts them.

What remains unsound. The theorem is about real numbers; this program computes in
floating point (Voracek and Hein 2022, arXiv:2207.07209). (1) The sum of input and noise
is rounded to the input's type, so the noise is not exactly Gaussian around x, and a
classifier built for the purpose can read x from the low bits of that sum; an ordinary
network does not, but the certificate does not exclude it. (2) The noise comes from a
finite set: float32 normals stop at 5.42 standard deviations, so events rarer than about
6e-8 an entry are never drawn. (3) The generator is pseudo-random and its draws are
taken as independent. (4) A network's logits may differ in the last bits between devices
and compilers, and the certificate holds for the compiled program that voted. Noise is
therefore drawn in float32, never lower, and cast after it is added. Nothing is
promised against an adversary who exploits rounding. For clips of 16 bits, `pcm16` is
noise without (1) and (2).
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh

from advjax.smoothing.bounds import ClopperPearson, VotePlan
from advjax.smoothing.bounds.clopper_pearson import check_alpha, top_two_p_value
from advjax.smoothing.bounds.reach import reach
from advjax.smoothing.counting.placement import (
    DEFAULT_CHUNK,
    DEFAULT_PLACEMENT,
    Placement,
    default_tile,
)
from advjax.smoothing.counting.tally import (
    NO_VOTES,
    Example,
    OnTally,
    Tally,
    refuse_no_votes,
)
from advjax.smoothing.counting.votes import count_votes
from advjax.smoothing.laws.base import AnyNoise, Noise, check_noise
from advjax.types import AnyArray, AnyCallable, Key

ABSTAIN = -1
"""The prediction of a smoothed classifier that cannot tell."""


class Certificate(NamedTuple):
    """What was proved about one example.

    Attributes:
        prediction: a class, or ABSTAIN.
        radius: the prediction is constant within it, in units of the example and in
            the norm of the noise; 0.0 when abstaining.
        p_lower: one-sided lower bound at level 1 - alpha on the probability that a
            noisy copy is given the selected class.
        votes: estimation votes for the selected class.
        num_estimation: estimation votes drawn.
    """

    prediction: int
    radius: float
    p_lower: float
    votes: int
    num_estimation: int

    def __repr__(self) -> str:
        """The fields; in words where nothing is certified."""
        said = (
            "abstains" if self.prediction == ABSTAIN
            else f"prediction={self.prediction}, radius={self.radius}"
        )  # fmt: skip
        return (
            f"Certificate({said}, p_lower={self.p_lower}, "
            f"votes={self.votes}, num_estimation={self.num_estimation})"
        )


class Prediction(NamedTuple):
    """The smoothed classifier's prediction for one example.

    Attributes:
        prediction: a class, or ABSTAIN.
        p_value: probability of so clear a lead, were the two best equally likely.
        votes: votes for the class that leads.
    """

    prediction: int
    p_value: float
    votes: int

    def __repr__(self) -> str:
        """The fields; in words where two classes compete."""
        abstains = self.prediction == ABSTAIN
        said = "abstains" if abstains else f"prediction={self.prediction}"
        return f"Prediction({said}, p_value={self.p_value}, votes={self.votes})"


def certify(
    logits_fn: AnyCallable,
    x: AnyArray,
    key: Key | Any,
    *,
    noise: AnyNoise,
    num_selection: int = 100,
    num_estimation: int = 100_000,
    alpha: float = 1e-3,
    tile: int | None = None,
    chunk: int | None = None,
    mesh: Mesh | None = None,
    tally: Tally = NO_VOTES,
    on_tally: Callable[[Tally], None] | None = None,
) -> Certificate:
    """The smoothed prediction at `x` and the radius within which it cannot change.

    Args:
        logits_fn: one example to one row of logits, see `count_votes`.
        x: one example, floating and finite, in the units of the noise.
        key: the example's key; selection and estimation each get their half.
        noise: the noise distribution, `gaussian(sigma)` for an l2 radius.
        num_selection: votes that choose the class (n0).
        num_estimation: fresh votes that bound its probability (n).
        alpha: probability that the certificate is wrong.
        tile: noisy copies evaluated at once; None for `default_tile()`.
        chunk: tiles per dispatch and device; does not change the result.
        mesh: devices that share the work; does not change the result.
        tally: where an earlier call with the same arguments stood.
        on_tally: called after each dispatch with the votes so far.

    Returns:
        The certificate; it abstains when the bound is below one half.

    Raises:
        ValueError: the request can only abstain, an argument or `x` is impossible, or
            the classifier gave finite logits on no noisy copy at all.
        MemoryError: a tile does not fit the device.

    Source: Cohen et al. 2019, arXiv:1902.02918, Certify.
    """
    ((_, found),) = certify_each(
        logits_fn,
        [Example(x, key, tally)],
        noise=noise,
        plan=VotePlan(num_selection, num_estimation, alpha, ClopperPearson()),
        placement=Placement(tile, chunk, mesh),
        on_tally=None if on_tally is None else lambda _, tally: on_tally(tally),
    )
    return found


def certify_each(
    logits_fn: AnyCallable,
    examples: Iterable[Example],
    *,
    noise: AnyNoise,
    plan: VotePlan,
    placement: Placement = DEFAULT_PLACEMENT,
    on_tally: OnTally | None = None,
) -> Iterator[tuple[int, Certificate]]:
    """Each example's number and certificate, as soon as its votes are counted.

    Args:
        logits_fn: one example to one row of logits, see `count_votes`.
        examples: what to certify; with a bound that stops early, all of one shape.
        noise: the noise distribution.
        plan: how many votes, and what bounds them.
        placement: the layout of the noisy copies on the devices.
        on_tally: called after each dispatch with a number and its votes so far.

    Raises:
        ValueError: the request can only abstain, an argument or an example is
            impossible, or the classifier gave finite logits on no noisy copy at all.
        MemoryError: a dispatch does not fit the device.

    Source: Cohen et al. 2019, arXiv:1902.02918, Certify.
    """
    reach(noise, plan)  # Refuses what can only abstain.
    for number, tally in plan.bound.count(
        logits_fn,
        examples,
        noise=noise,
        plan=plan,
        placement=placement,
        on_tally=on_tally,
    ):
        # The class of most selection votes; fresh votes bound its probability.
        top, p_lower = tally.top, plan.bound.p_lower(tally, plan)
        yield (
            number,
            _certificate(
                top, tally.votes, tally.num_estimation, p_lower=p_lower, noise=noise
            ),
        )


def certificate(
    top: int, votes: int, *, noise: Noise, num_estimation: int, alpha: float
) -> Certificate:
    """The certificate that `votes` of `num_estimation` fresh votes for `top` give.

    The class must have been chosen without looking at these votes, and their number
    fixed beforehand: otherwise alpha does not hold.

    Raises:
        ValueError: impossible counts or alpha, or noise without a certificate.
    """
    if noise.radius is None:
        raise ValueError("this noise has no known certificate: use predict.")
    p_lower = ClopperPearson.lower(votes, num_estimation, alpha)
    return _certificate(top, votes, num_estimation, p_lower=p_lower, noise=noise)


def _certificate(
    top: int, votes: int, num_estimation: int, *, p_lower: float, noise: Noise
) -> Certificate:
    """The certificate for `top` where a bound on its probability is known."""
    if p_lower < 0.5:
        return Certificate(ABSTAIN, 0.0, p_lower, votes, num_estimation)
    radius = noise.radius(p_lower)
    return Certificate(top, radius, p_lower, votes, num_estimation)


def predict(
    logits_fn: AnyCallable,
    x: AnyArray,
    key: Key | Any,
    *,
    noise: AnyNoise,
    num_samples: int = 1000,
    alpha: float = 1e-3,
    tile: int | None = None,
    chunk: int | None = None,
    mesh: Mesh | None = None,
) -> Prediction:
    """The smoothed classifier's class at `x`, or ABSTAIN where two classes compete.

    It is not the smoothed classifier's true class with probability at most alpha.
    Copies with logits that are not finite compete as a class of their own.

    Args:
        logits_fn: one example to one row of logits, see `count_votes`.
        x: one example, floating and finite.
        key: the example's key.
        noise: any noise distribution, with a certificate or without.
        num_samples: votes; at alpha 0.001 at least 11.
        alpha: probability of a wrong prediction.
        tile: noisy copies evaluated at once; None for `default_tile()`.
        chunk: tiles per dispatch and device; does not change the result.
        mesh: devices that share the work; does not change the result.

    Raises:
        ValueError: num_samples so small that only abstaining is possible, impossible
            arguments, or a classifier whose logits are never finite.
        MemoryError: a tile does not fit the device.

    Source: Cohen et al. 2019, arXiv:1902.02918, Predict.
    """
    check_noise(noise)
    check_alpha(alpha)
    if num_samples < 1 or top_two_p_value(num_samples, 0) > alpha:
        # A unanimous vote of n has the two-sided p-value 2 ** (1 - n).
        least = math.ceil(1.0 - math.log2(alpha))
        raise ValueError(
            f"num_samples={num_samples} can only abstain at alpha={alpha}: draw at "
            f"least {least} votes, or choose a larger alpha."
        )
    counts = count_votes(
        logits_fn,
        x,
        key,
        noise=noise,
        num_samples=num_samples,
        tile=default_tile() if tile is None else tile,
        chunk=DEFAULT_CHUNK if chunk is None else chunk,
        mesh=mesh,
    )
    refuse_no_votes(counts.tolist(), num_samples)
    top = int(counts.argmax())
    rivals = [*np.delete(counts, top), num_samples - counts.sum()]
    first, second = int(counts[top]), int(max(rivals))
    p_value = top_two_p_value(first, second)
    decided = first > second and p_value <= alpha
    return Prediction(top if decided else ABSTAIN, p_value, first)
