"""Certified predictions of a classifier smoothed by noise.

    certificate = certify(logits_fn, x, jax.random.key(0), noise=gaussian(0.25))

The smoothed classifier predicts the class that the base classifier most probably gives
to a noisy copy. `certify` returns that class and a radius inside which no perturbation
changes it; the statement is wrong with probability at most alpha. The algorithm:

    1. count the votes of n0 noisy copies; their most frequent class is the top class
    2. count the votes of n fresh copies
    3. bound the probability of the top class from below by its fresh votes
    4. abstain if the bound is below one half; else the noise turns it into a radius

A bound in `bounds` decides how many votes are counted, `counting` counts them.

Limits. The theorem is about real numbers; this program computes in floating point
(Voracek and Hein 2022, arXiv:2207.07209). (1) The sum of input and noise is rounded to
the input's type, so the noise is not exactly Gaussian around x. A classifier built for
the purpose can read x from the low bits of that sum; an ordinary network does not, but
the certificate does not exclude it. (2) The noise comes from a finite set: float32
normals stop at 5.42 standard deviations, so events rarer than about 6e-8 an entry are
never drawn. (3) The generator is pseudo-random and its draws are taken as independent.
(4) A network's logits may differ in the last bits between devices and compilers; the
certificate holds for the compiled program that voted. Noise is therefore drawn in
float32, never lower, and cast after it is added. Nothing is promised against an
adversary who exploits rounding. For clips of 16 bits, `pcm16` is noise without (1) and
(2).
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from advjax.runtime.progress import Progress
from advjax.smoothing.bounds import ClopperPearson, VotePlan
from advjax.smoothing.bounds.reach import reach
from advjax.smoothing.counting.placement import (
    DEFAULT_PLACEMENT,
    Placement,
    whole_process,
)
from advjax.smoothing.counting.tally import Example, OnTally, Tally
from advjax.smoothing.noises.base import AnyNoise
from advjax.types import AnyArray, AnyCallable, Key

ABSTAIN = -1
"""The prediction of a smoothed classifier that abstains."""


class Certificate(NamedTuple):
    """Certified prediction for one example.

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
        """The fields, with an abstention in words."""
        abstains = self.prediction == ABSTAIN
        certified = f"prediction={self.prediction}, radius={self.radius}"
        return (
            f"Certificate({'abstains' if abstains else certified}, "
            f"p_lower={self.p_lower}, votes={self.votes}, "
            f"num_estimation={self.num_estimation})"
        )


def certify(
    logits_fn: AnyCallable,
    x: AnyArray,
    key: Key | Any,
    *,
    noise: AnyNoise,
    num_selection: int = 100,
    num_estimation: int = 10_000,
    alpha: float = 1e-3,
    placement: Placement | None = None,
    progress: bool = False,
) -> Certificate:
    """Certify the smoothed classifier's prediction at one example.

    The defaults are those of Cohen et al., but for n = 10,000 votes in place of their
    100,000, which take ten times as long and raise the largest radius from 3.20 to 3.81
    standard deviations. `certify_batch` certifies labelled examples.

    All devices of this process share the votes. A CPU is one device, unless
    `advjax.runtime.parallel.device_per_core()` makes it one for each core, before JAX
    is first used: the number of devices cannot be set later.

    Args:
        logits_fn: one example to one row of logits. A pytree callable (Flax NNX or
            Equinox module, `jax.tree_util.Partial` over weights, `functools.partial`)
            has its arrays traced: one program for all weights. Any other function is
            compiled once together with what it closes over, as under `jax.jit`: define
            it anew when the weights in its closure change.
        x: one example, floating and finite, in the units of the noise.
        key: the example's key; selection and estimation each get their half.
        noise: the noise distribution, `gaussian(sigma)` for an l2 radius.
        num_selection: votes that choose the class (n0).
        num_estimation: fresh votes that bound its probability (n).
        alpha: probability that the certificate is wrong.
        placement: the layout of noisy copies on the devices; None for all devices of
            this process, with the default tile of their kind.
        progress: show the votes counted so far, on standard error.

    Returns:
        The certificate; it abstains when the bound is below one half.

    Raises:
        ValueError: the request can only abstain, an argument or `x` is impossible, or
            the classifier gave finite logits on no noisy copy at all.
        MemoryError: a tile does not fit the device.

    Source: Cohen et al. 2019, arXiv:1902.02918, Certify.
    """
    total = num_selection + num_estimation
    line = Progress("certify", total=total, unit="votes") if progress else None

    def show(_: int, tally: Tally) -> None:
        line.advance(tally.num_selection + tally.num_estimation - line.done)

    with line or contextlib.nullcontext():
        ((_, certificate),) = certify_each(
            logits_fn,
            [Example(x, key)],
            noise=noise,
            plan=VotePlan(num_selection, num_estimation, alpha, ClopperPearson()),
            placement=whole_process() if placement is None else placement,
            on_tally=show if progress else None,
        )
    return certificate


def certify_each(
    logits_fn: AnyCallable,
    examples: Iterable[Example],
    *,
    noise: AnyNoise,
    plan: VotePlan,
    placement: Placement = DEFAULT_PLACEMENT,
    on_tally: OnTally | None = None,
) -> Iterator[tuple[int, Certificate]]:
    """Yield each example's number and certificate, as soon as its votes are counted.

    Args:
        logits_fn: one example to one row of logits, see `certify`.
        examples: examples to certify; with a bound that stops early, all of one shape.
        noise: the noise distribution.
        plan: the numbers of votes, and their bound.
        placement: the layout of the noisy copies on the devices.
        on_tally: called after each dispatch with a number and its votes so far.

    Raises:
        ValueError: the request can only abstain, an argument or an example is
            impossible, or the classifier gave finite logits on no noisy copy at all.
        MemoryError: a dispatch does not fit the device.

    Source: Cohen et al. 2019, arXiv:1902.02918, Certify.
    """
    reach(noise, plan)  # Refuses plans that can only abstain.
    counted = plan.bound.count(
        logits_fn,
        examples,
        noise=noise,
        plan=plan,
        placement=placement,
        on_tally=on_tally,
    )
    for number, tally in counted:
        # The selection votes chose `tally.top`; fresh votes bound its probability.
        p_lower = plan.bound.p_lower(tally, plan)
        prediction, radius = ABSTAIN, 0.0
        if p_lower >= 0.5:
            prediction, radius = tally.top, noise.radius(p_lower)
        n = tally.num_estimation
        yield number, Certificate(prediction, radius, p_lower, tally.votes, n)
