"""Shares of examples that come in clusters, such as the crops of one utterance.

    share = clustered_share([rows.correct], [utterance_of(id) for id in rows.id])
    share.value, share.interval()

Crops of one utterance overlap and share a voice, a room and a sentence. An interval
that counts them as independent is too narrow, so whole clusters are resampled here.
Computed by NumPy in float64 on the host.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

_NUM_DRAWS, _SEED = 10_000, 0


class ClusteredShare(NamedTuple):
    """Hits of one or several runs on the same clusters, such as networks of many seeds.

    Attributes:
        hits: of each run in each cluster.
        totals: examples of each run in each cluster.
    """

    hits: Int[np.ndarray, "runs clusters"]
    totals: Int[np.ndarray, "runs clusters"]

    @property
    def total(self) -> int:
        """The number of examples of all runs."""
        return int(self.totals.sum())

    @property
    def value(self) -> float:
        """The mean of the runs' shares; NaN if there are no examples."""
        if not self.total:
            return float("nan")
        return float(np.mean(self.hits.sum(axis=1) / self.totals.sum(axis=1)))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The percentile interval of the bootstrap over clusters, and over runs.

        Clusters are resampled for all runs together, and runs independently of them.
        Resampling has a fixed seed. Two or three runs show less than their own spread:
        of S runs, the bootstrap sees (S - 1) / S of the variance among networks.

        Where all examples agree, no resample differs. Then the far end is that of the
        Clopper-Pearson interval for as many independent clusters that agree: it covers
        the probability that a whole cluster does, which is at most the share.

        Raises:
            ValueError: there are no examples, or the level is not between 0 and 1.

        Source: Field and Welsh 2007, J. R. Stat. Soc. B 69(3), 369-390 (clusters);
        Owen 2007, "The pigeonhole bootstrap", doi:10.1214/07-AOAS122 (two factors).
        The rule for examples that all agree is ours.
        """
        if not self.total or not 0 < level < 1:
            raise ValueError(
                "an interval needs examples and 0 < level < 1; got "
                f"{self.total} examples, level={level}"
            )
        tail = (1 - level) / 2
        num_runs, num_clusters = self.hits.shape
        if np.array_equal(self.hits, self.totals):
            return tail ** (1 / num_clusters), 1.0
        if not self.hits.any():
            return 0.0, 1 - tail ** (1 / num_clusters)
        if num_clusters == 1:
            return 0.0, 1.0
        of_runs, of_clusters = _weights(num_runs, "runs"), _weights(num_clusters)
        shares = (of_clusters @ self.hits.T) / (of_clusters @ self.totals.T)
        draws = (of_runs * shares).sum(axis=1) / num_runs
        low, high = np.quantile(draws, [tail, 1 - tail])
        return float(low), float(high)


def clustered_share(
    hits: Sequence[Bool[np.ndarray, "rows"]], clusters: Sequence[str]
) -> ClusteredShare:
    """The share of rows that are hits, in runs on the same examples.

    Args:
        hits: of each run, True for each row that is a hit.
        clusters: the cluster of each row, by name.

    Raises:
        ValueError: there are no runs, or rows and clusters differ in number.
    """
    if not hits or any(len(row) != len(clusters) for row in hits):
        raise ValueError(
            f"give runs with a hit or miss for each of {len(clusters)} examples; got "
            f"{[len(row) for row in hits]}"
        )
    names, places = np.unique(np.asarray(clusters, str), return_inverse=True)
    count = functools.partial(np.bincount, places, minlength=len(names))
    found = [count(weights=row).astype(np.int64) for row in hits]
    return ClusteredShare(np.stack(found), np.stack([count()] * len(hits)))


@functools.lru_cache(maxsize=8)
def _weights(
    num_units: int, factor: str = "clusters"
) -> Float[np.ndarray, "draws units"]:
    """The number of times that each unit is in each resample."""
    # The two factors are resampled independently, also where they have equal numbers.
    generator = np.random.default_rng((_SEED, factor == "runs"))
    equal = np.full(num_units, 1 / num_units)
    return generator.multinomial(num_units, equal, size=_NUM_DRAWS).astype(np.float64)
