"""Placement of votes on this machine: devices, tiles that fit, tiles per dispatch."""

import functools
import time
from collections.abc import Sequence

import jax
from jax.sharding import Mesh

from advjax import smoothing
from advjax.classifier import BaseClassifier
from advjax.evaluation import Point
from advjax.runtime import parallel, targets
from advjax.runtime.progress import duration
from advjax.types import Key, LogitsFn
from experiments.lab.certify_settings import Certification
from experiments.lab.console import say

_CACHE_BYTES = 32 * 2**20
_TIMED_TILES = 5


def mesh_for(classifier: BaseClassifier) -> Mesh | None:
    """The devices that share a point's votes: all of this process's, as a rule.

    On a CPU a device is a thread. Small networks measured a fifth to a half faster with
    one for each core, and one whose weights fill the cache a little slower.
    """
    weights = 4 * classifier.num_parameters()
    if targets.on_cpu() and weights > _CACHE_BYTES:
        return None
    return parallel.local_mesh()


def fit(
    mesh: Mesh | None,
    logits_fn: LogitsFn,
    point: Point,
    noise: smoothing.Noise,
    request: Certification,
) -> smoothing.Placement:
    """Tiles of the requested size, as many side by side as fit the memory."""
    bound = request.plan.bound
    tile = bound.default_tile() if request.tile is None else request.tile
    wanted = bound.copies_at_once(tile)
    fitting = smoothing.fitting_tile(
        logits_fn, point.x, noise=noise, tile=wanted, mesh=mesh
    )
    if fitting < wanted:
        say(f"memory      holds {fitting} noisy copies at once, not {wanted}")
    tile = min(tile, fitting)
    return smoothing.Placement(tile, mesh=mesh, tiles_at_once=fitting // tile)


def with_chunk(
    placement: smoothing.Placement,
    logits_fn: LogitsFn,
    points: Sequence[Point],
    key: Key,
    noise: smoothing.Noise,
    request: Certification,
) -> smoothing.Placement:
    """The placement with dispatches that take about a second; says the time of all.

    A few tiles of the very program that will run are timed, and traced on request. With
    a bound that stops early, and without points, the default stays.
    """
    plan = request.plan
    if plan.bound.stops_early or not points:
        return placement
    copies = _TIMED_TILES * placement.num_devices * placement.tile
    votes = functools.partial(
        smoothing.count_votes, logits_fn, points[0].x, key, noise=noise,
        num_samples=copies, placement=placement,
    )  # fmt: skip
    votes()
    if request.profile is not None:
        with jax.profiler.trace(request.profile):
            votes()
        say(f"profile     {request.profile}")
    start = time.perf_counter()
    votes()
    rate = copies / (time.perf_counter() - start)
    total = len(points) * (plan.num_selection + plan.num_estimation)
    say(f"            About {duration(total / rate)} ({rate:,.0f} votes/s).")
    chunk = max(1, round(rate / (placement.tile * placement.num_devices)))
    return placement._replace(chunk=chunk)
