"""Placement of votes on this machine: devices, processes and tiles that fit.

On Linux a CPU's cores each get a process, where the classifier can be sent to it and
the votes take long enough. One device counts the others, by the same programs. What
cannot be sent is counted by a device for each core in this process.
"""

import contextlib
import functools
import sys
import time
from collections.abc import Iterator, Sequence

import jax
from jax.sharding import Mesh

from advjax import smoothing
from advjax.callables import is_array, split
from advjax.classifier import BaseClassifier
from advjax.evaluation import Point
from advjax.runtime import compilation, memory, parallel, targets, usage
from advjax.runtime.progress import duration
from advjax.smoothing.counting import workers
from advjax.types import Key, LogitsFn
from experiments.lab.certify_settings import Certification
from experiments.lab.console import say

_TIMED_TILES = 5
_MOST_PROCESSES = 8
"""As many as `parallel.device_per_core` makes devices; more were not tried."""
REPAID_S = {"small": 30.0, "large": 120.0}
"""Time in one process from which others are started, by the size of the network.

On two cores they save half of it where the weights fit the cache, else 10 to 15 %. They
take 8 s to start, and 25 s where they compile: JAX's cache on disk has other entries
for processes of another number of devices. Meanwhile they share the cores with it.
"""


def can_share(logits_fn: LogitsFn, noise: smoothing.Noise) -> bool:
    """Tell whether processes on the cores of this machine can count the votes."""
    alone = parallel.process().count == 1 and parallel.num_cores() > 1
    if not (targets.on_cpu() and sys.platform == "linux" and alone):
        return False
    # Arrays always can, and are large.
    parts = jax.tree.map(lambda leaf: None if is_array(leaf) else leaf, logits_fn)
    try:
        workers.as_pickle(parts, noise)
    except workers.CannotBeSent:
        return False
    return True


def num_processes() -> int:
    """Most processes that the cores and the free memory hold, 1 for this one alone.

    Each has as many cores as the others, and together they have as many as possible.
    One needs at most the memory that this one has needed to count a tile.
    """
    cores = parallel.num_cores()
    room = memory.free_host_memory() / usage.process_peak_bytes()
    most = int(min(cores, _MOST_PROCESSES, max(1, room)))
    return max(range(1, most + 1), key=lambda count: (cores // count * count, count))


def mesh_for(classifier: BaseClassifier, engine: str) -> Mesh | None:
    """The devices of this process that share a point's votes: all of them, as a rule.

    On a CPU a device is a thread. Small networks measured a fifth to a half faster with
    one for each core, and one whose weights fill the cache a little slower. OpenVINO
    has threads of its own.
    """
    small = classifier.num_parameters() <= compilation.MOST_SMALL and engine == "jax"
    if targets.on_cpu() and not small:
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


@contextlib.contextmanager
def placed(
    placement: smoothing.Placement,
    most_processes: int,
    logits_fn: LogitsFn,
    points: Sequence[Point],
    key: Key,
    noise: smoothing.Noise,
    request: Certification,
) -> Iterator[smoothing.Placement]:
    """The placement with dispatches that take about a second; says the time of all.

    A few tiles of the very program that will run are timed, and traced on request. If
    all votes of the points take so long that it repays their start, processes count
    them, until the context ends; this one counts until they are ready. With a bound
    that stops early, the default of tiles per dispatch stays.
    """
    plan = request.plan
    early = plan.bound.stops_early
    if not points or (early and most_processes == 1):
        yield placement
        return
    rate = _votes_per_s(
        logits_fn, points[0], key, noise, placement, profile=request.profile
    )
    total = len(points) * (plan.num_selection + plan.num_estimation)
    size = "small" if compilation.is_small(split(logits_fn)[0]) else "large"
    with contextlib.ExitStack() as stack:
        if most_processes > 1 and total / rate > REPAID_S[size]:
            started = _started(logits_fn, noise, most_processes)
            if started is not None:
                placement = placement._replace(workers=stack.enter_context(started))
        if not early:
            shared = placement.workers is not None
            most, alone = ("At most", " in one process") if shared else ("About", "")
            time_left = duration(total / rate)
            say(f"            {most} {time_left} ({rate:,.0f} votes/s{alone}).")
            chunk = round(rate / (placement.tile * placement.num_devices))
            placement = placement._replace(chunk=max(1, chunk))
        yield placement


def _votes_per_s(logits_fn, point, key, noise, placement, profile=None):
    """Votes a second with this placement; traced into a folder if one is given.

    They are counted in tiles of as many copies as are evaluated side by side, by the
    program that `fit` has compiled.
    """
    tile = placement.tile * (placement.tiles_at_once or 1)
    row = tile * placement.num_devices
    votes = functools.partial(
        smoothing.count_votes, logits_fn, point.x, key, noise=noise,
        placement=smoothing.Placement(tile, mesh=placement.mesh),
    )  # fmt: skip
    votes(num_samples=row)
    copies = _TIMED_TILES * row
    if profile is not None:
        with jax.profiler.trace(profile):
            votes(num_samples=copies)
        say(f"profile     {profile}")
    start = time.perf_counter()
    votes(num_samples=copies)
    return copies / (time.perf_counter() - start)


def _started(
    logits_fn: LogitsFn, noise: smoothing.Noise, count: int
) -> workers.Workers | None:
    """Processes that will count; None where they cannot be sent the classifier."""
    try:
        started = workers.Workers(logits_fn, noise=noise, num_workers=count, wait=False)
    except workers.CannotBeSent:
        return None
    cores = parallel.num_cores() // count
    say(f"workers     {count} processes, {cores} core{'s' * (cores > 1)} each")
    return started
