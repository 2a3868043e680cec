"""Certificates of many points, one row each."""

import math
import time
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from advjax.evaluation.points import Point, example_key
from advjax.metrics.distortion import radius_snr_db
from advjax.runs.row_types import CertificateRow
from advjax.smoothing import (
    Example,
    Noise,
    Placement,
    Tally,
    VotePlan,
    certify_each,
)
from advjax.smoothing.counting.placement import DEFAULT_PLACEMENT
from advjax.smoothing.counting.tally import NO_VOTES
from advjax.types import AnyCallable, Key


class CertifyResume(NamedTuple):
    """Certificates and votes of an earlier start, and a callback that keeps votes.

    Attributes:
        done: ids that need no row.
        tallies: by id, votes that an earlier start has counted.
        on_tally: called after each dispatch with a point's id and its votes so far.
    """

    done: Collection[str] = ()
    tallies: Mapping[str, Tally] = types.MappingProxyType({})
    on_tally: Callable[[str, Tally], None] | None = None


ANEW = CertifyResume()


def certify_points(
    logits_fn: AnyCallable,
    points: Iterable[Point],
    key: Key,
    *,
    noise: Noise,
    plan: VotePlan,
    placement: Placement = DEFAULT_PLACEMENT,
    waveform_bound: float = math.nan,
    resume: CertifyResume = ANEW,
) -> Iterator[CertificateRow]:
    """Yield a row for each unfinished point, as soon as it is certified.

    With a bound that stops early, points that need few votes overtake others. The time
    of a row starts at the row before: the device works on the next point while the last
    votes of a point are read.

    Args:
        logits_fn: the classifier after the stage of the points.
        points: points to certify.
        key: root of all noise; a point's own key follows from its id.
        noise: the noise distribution.
        plan: the numbers of votes, and their bound.
        placement: the layout of the noisy copies on the devices.
        waveform_bound: Lipschitz constant of the stage as a function of the waveform,
            see `lipschitz_bound`; NaN for none. With it, points need their `wave_l2`.
        resume: finished points, and votes of the others.

    Raises:
        ValueError: what `certify_each` refuses.
    """
    points = [point for point in points if point.id not in resume.done]
    examples = (
        Example(
            point.x, example_key(key, point.id), resume.tallies.get(point.id, NO_VOTES)
        )
        for point in points
    )
    keep = resume.on_tally
    start = time.perf_counter()
    for number, found in certify_each(
        logits_fn,
        examples,
        noise=noise,
        plan=plan,
        placement=placement,
        on_tally=keep and (lambda number, tally: keep(points[number].id, tally)),
    ):
        point = points[number]
        radius_wave, radius_wave_snr_db = _at_waveform(
            found.radius, waveform_bound, point.wave_l2
        )
        yield CertificateRow(
            idx=point.idx,
            label=point.label,
            predict=found.prediction,
            radius=found.radius,
            correct=found.prediction == point.label,
            time=time.perf_counter() - start,
            id=point.id,
            p_lower=found.p_lower,
            votes=found.votes,
            n=found.num_estimation,
            snr_db=(
                radius_snr_db(point.x, found.radius) if noise.norm == "l2" else math.nan
            ),
            radius_wave=radius_wave,
            radius_wave_snr_db=radius_wave_snr_db,
        )
        start = time.perf_counter()


def _at_waveform(radius: float, bound: float, wave_l2: float) -> tuple[float, float]:
    """A stage's radius as one at the waveform, and its SNR there in dB."""
    if math.isnan(bound):
        return math.nan, math.nan
    return radius / bound, radius_snr_db(np.array([wave_l2]), radius / bound)
