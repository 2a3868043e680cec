"""Certified predictions of a classifier smoothed by noise.

    noise = gaussian(0.25)
    certificate = certify(logits_fn, x, jax.random.key(0), noise=noise)

The smoothed classifier answers with the class that the base classifier most probably
gives to a noisy copy. `certify` returns that class and a radius inside which no
perturbation changes it; the statement is wrong with probability at most alpha.

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
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from advjax.arguments import check_key
from advjax.smoothing.bounds import (
    check_alpha,
    clopper_pearson_lower,
    top_two_p_value,
)
from advjax.smoothing.noise import AnyNoise, Noise, check_noise
from advjax.smoothing.planning import plan
from advjax.smoothing.votes import (
    DEFAULT_CHUNK,
    count_votes,
    default_tile,
    queue_votes,
    read_late,
)
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
    """The smoothed classifier's answer to one example.

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
        told = self.prediction
        said = "abstains" if told == ABSTAIN else f"prediction={told}"
        return f"Prediction({said}, p_value={self.p_value}, votes={self.votes})"


class Tally(NamedTuple):
    """The votes of one example so far, which a later start continues from.

    Attributes:
        num_selection: copies counted that choose the class.
        selection: their votes for each class; empty before the first.
        num_estimation: copies counted that bound the class's probability.
        estimation: their votes for each class; empty before the first.
        lower: what `certify_sequentially` has proved of the class's probability.
        ceiling: what it believes that more votes can prove at most.
    """

    num_selection: int = 0
    selection: tuple[int, ...] = ()
    num_estimation: int = 0
    estimation: tuple[int, ...] = ()
    lower: float = 0.0
    ceiling: float = 1.0


NO_VOTES = Tally()


class Example(NamedTuple):
    """One example to certify.

    Attributes:
        x: floating and finite, in the units of the noise.
        key: its key; selection and estimation each get their half.
        tally: votes that an earlier start has counted, with the same key and tile.
    """

    x: AnyArray
    key: Key | Any
    tally: Tally = NO_VOTES


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
        noise: the smoothing law, `gaussian(sigma)` for an l2 radius.
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
    (found,) = certify_each(
        logits_fn,
        [Example(x, key, tally)],
        noise=noise,
        num_selection=num_selection,
        num_estimation=num_estimation,
        alpha=alpha,
        tile=tile,
        chunk=chunk,
        mesh=mesh,
        on_tally=None if on_tally is None else lambda _, tally: on_tally(tally),
    )
    return found


def certify_each(
    logits_fn: AnyCallable,
    examples: Iterable[Example],
    *,
    noise: AnyNoise,
    num_selection: int = 100,
    num_estimation: int = 100_000,
    alpha: float = 1e-3,
    tile: int | None = None,
    chunk: int | None = None,
    mesh: Mesh | None = None,
    on_tally: Callable[[int, Tally], None] | None = None,
) -> Iterator[Certificate]:
    """The certificate of each example, in their order, as `certify` gives it.

    The next example's votes are queued on the device before the last ones of an example
    are read. Arguments and errors are those of `certify`; `on_tally` is also told the
    example's number.
    """
    plan(noise, num_selection=num_selection, num_estimation=num_estimation, alpha=alpha)
    options = {
        "noise": noise,
        "tile": default_tile() if tile is None else tile,
        "chunk": DEFAULT_CHUNK if chunk is None else chunk,
        "mesh": mesh,
    }
    tallies = {}

    def queued():
        for index, example in enumerate(examples):
            tallies[index] = tally = example.tally
            check_key(example.key)
            keys = jax.random.split(example.key)
            halves = (
                (0, keys[0], tally.num_selection, num_selection),
                (1, keys[1], tally.num_estimation, num_estimation),
            )
            for half, key, first, last in halves:
                if first == last:
                    continue
                rest = {"first": first, "num_samples": last - first}
                for part in queue_votes(logits_fn, example.x, key, **rest, **options):
                    yield (index, half), part
            yield (index, None), None

    for (index, half), counts, stop in read_late(queued()):
        if half is None:
            tally = tallies.pop(index)
            refuse_no_votes(tally.selection, num_selection)
            top = int(np.argmax(tally.selection))
            yield certificate(
                top,
                tally.estimation[top],
                noise=noise,
                num_estimation=num_estimation,
                alpha=alpha,
            )
            continue
        tallies[index] = added(tallies[index], half, counts, stop)
        if on_tally is not None:
            on_tally(index, tallies[index])


def added(tally: Tally, half: int, counts: np.ndarray, stop: int) -> Tally:
    """The tally with the votes of the copies up to `stop` of one half."""
    before = (tally.selection, tally.estimation)[half]
    votes = tuple(int(n) for n in (counts + np.asarray(before) if before else counts))
    if half == 0:
        return tally._replace(num_selection=stop, selection=votes)
    return tally._replace(num_estimation=stop, estimation=votes)


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
    p_lower = float(clopper_pearson_lower(votes, num_estimation, alpha))
    return certificate_from(top, votes, num_estimation, p_lower=p_lower, noise=noise)


def certificate_from(
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

    An answer differs from the smoothed classifier's true class with probability at most
    alpha. Copies with logits that are not finite compete as a class of their own.

    Args:
        logits_fn: one example to one row of logits, see `count_votes`.
        x: one example, floating and finite.
        key: the example's key.
        noise: any smoothing law, with a certificate or without.
        num_samples: votes; at alpha 0.001 at least 11.
        alpha: probability of a wrong answer.
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


def refuse_no_votes(counts: Sequence[int], num_samples: int) -> None:
    """Nothing; raises ValueError where no copy voted for any class."""
    if sum(counts) == 0:
        raise ValueError(
            f"the classifier gave no finite logits on any of {num_samples} noisy "
            "copies: its weights hold NaN, or the noise makes it overflow."
        )
