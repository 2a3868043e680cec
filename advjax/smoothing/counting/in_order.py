"""A fixed number of votes for each example, in order, without idle devices."""

from collections.abc import Iterable, Iterator

import jax

from advjax.arguments import check_key
from advjax.smoothing.counting.placement import Placement
from advjax.smoothing.counting.tally import (
    Example,
    OnTally,
    Tally,
    add,
    refuse_no_votes,
)
from advjax.smoothing.counting.votes import queue_votes, read_late
from advjax.smoothing.noises.base import AnyNoise
from advjax.types import AnyCallable


def count_in_order(
    logits_fn: AnyCallable,
    examples: Iterable[Example],
    *,
    noise: AnyNoise,
    num_selection: int,
    num_estimation: int,
    placement: Placement,
    on_tally: OnTally | None = None,
) -> Iterator[tuple[int, Tally]]:
    """Yield each example's number and whole tally, in their order.

    The next example's votes are queued on the device before the last ones of an example
    are read.

    Args:
        logits_fn: one example to one row of logits, see `certify`.
        examples: each is counted on from its own tally.
        noise: the noise distribution.
        num_selection: votes that choose the class.
        num_estimation: fresh votes that bound its probability.
        placement: the layout of the copies on the devices.
        on_tally: called after each dispatch.

    Raises:
        ValueError: what `count_votes` refuses, or finite logits on no noisy copy.
        MemoryError: a tile does not fit the device.
    """
    tallies = {}

    def queued():
        for number, example in enumerate(examples):
            tallies[number] = tally = example.tally
            check_key(example.key)
            keys = _keys_of_halves(example.key)
            halves = (
                (0, keys[0], tally.num_selection, num_selection),
                (1, keys[1], tally.num_estimation, num_estimation),
            )
            for half, key, first, last in halves:
                if first == last:
                    continue
                for part in queue_votes(
                    logits_fn, example.x, key, noise=noise, num_samples=last - first,
                    placement=placement, first=first,
                ):  # fmt: skip
                    yield (number, half), part
            yield (number, None), None

    for (number, half), counts, stop in read_late(queued()):
        if half is None:
            tally = tallies.pop(number)
            refuse_no_votes(tally.selection, num_selection)
            yield number, tally
            continue
        tallies[number] = add(tallies[number], half, counts, stop)
        if on_tally is not None:
            on_tally(number, tallies[number])


@jax.jit
def _keys_of_halves(key):
    """Two keys, by one program: each that takes one from an array is compiled, too."""
    selection, estimation = jax.random.split(key)
    return selection, estimation
