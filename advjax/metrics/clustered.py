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

from advjax.metrics.bootstrap import percentile_interval, resampled_weights


class ClusteredShare(NamedTuple):
    """Hits of one or several runs on the same examples, such as networks of many seeds.

    Attributes:
        hits: of each run, True for each example that is a hit.
        clusters: the cluster of each example.
    """

    hits: Bool[np.ndarray, "runs examples"]
    clusters: tuple[str, ...]

    @property
    def total(self) -> int:
        """The number of examples."""
        return len(self.clusters)

    @property
    def value(self) -> float:
        """The mean of the runs' shares; NaN if there are no examples."""
        return float(self.hits.mean()) if self.total else float("nan")

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The percentile interval of the bootstrap over clusters, and over runs.

        Clusters are resampled for all runs together, and runs independently of them.
        Two or three runs show less than their own spread: of S runs, the bootstrap sees
        (S - 1) / S of the variance among networks.

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
        num_clusters = len(set(self.clusters))
        far = ((1 - level) / 2) ** (1 / num_clusters)
        if self.hits.all():
            return far, 1.0
        if not self.hits.any():
            return 0.0, 1 - far
        if num_clusters == 1:
            return 0.0, 1.0
        weights, places = _cluster_weights(self.clusters)
        counts = [np.bincount(places, row, num_clusters) for row in self.hits]
        shares = weights @ np.stack(counts, axis=1)
        # Another seed: the two factors are resampled independently.
        of_runs = resampled_weights(range(len(self.hits)), seed=1)
        return percentile_interval((of_runs * shares).sum(axis=1), level=level)


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
    return ClusteredShare(np.stack(hits), tuple(clusters))


@functools.lru_cache(maxsize=4)  # tables have many shares of the same examples
def _cluster_weights(
    clusters: tuple[str, ...],
) -> tuple[Float[np.ndarray, "draws clusters"], Int[np.ndarray, "examples"]]:
    """The weight of each cluster's examples, and the place of each one's cluster."""
    _, first, places = np.unique(
        np.asarray(clusters), return_index=True, return_inverse=True
    )
    # Examples of one cluster have equal weights.
    return resampled_weights(clusters)[:, first], places
