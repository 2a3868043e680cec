"""One row of `studies.certified_speakers` with as many votes as Cohen et al."""

from collections.abc import Iterator

import jax

from advjax import smoothing
from advjax.evaluation import certify_points
from advjax.evaluation.points import Point
from advjax.runtime import parallel
from experiments.benchmarks import problems
from experiments.benchmarks.parts import Row, Size

NUM_SELECTION, NUM_ESTIMATION, ALPHA = 100, 100_000, 1e-3
"""Votes and failure probability. Source: Cohen et al. 2019, arXiv:1902.02918."""


def clip(size: Size) -> Iterator[Row]:
    """Yield the seconds of two rows at mfbe in bfloat16; the first compiles."""
    (x,) = problems.clip("mfbe")
    logits_fn = problems.fresh_rescnn(size.width).logits_fn(
        "mfbe", precision="bfloat16"
    )
    num_votes = 200 if size.small else NUM_ESTIMATION
    rows = certify_points(
        logits_fn,
        [Point(idx=number, id=f"clip-{number}", x=x, label=0) for number in range(3)],
        jax.random.key(0),
        noise=smoothing.gaussian(problems.SIGMAS["mfbe"]),
        plan=smoothing.VotePlan(
            NUM_SELECTION, num_votes, ALPHA, smoothing.ClopperPearson()
        ),
        placement=smoothing.Placement(mesh=parallel.local_mesh()),
    )
    first, *others = rows
    for row in others:
        note = f"n = {row.n:,}, {row.votes:,} votes, radius {row.radius:.3f}"
        work = f"a certificate, width {size.width}, bfloat16"
        yield Row(work, row.id, "ours", row.time, "s", first.time, note)
