"""Rates, means and their differences of examples that come in clusters.

    share = clustered_share([rows.correct], [utterance_of(id) for id in rows.id])
    share.value, share.interval()

    defended = ClusteredMean(fooled, recordings)
    clustered_difference(defended, ClusteredMean(fooled_plain, recordings_plain))

Crops of one utterance overlap and share a voice, a room and a sentence. An interval
that counts them as independent is too narrow, so whole clusters are resampled here: for
a rate, for a mean, and for two means together, whose difference is then paired.
Computed by NumPy in float64 on the host.
"""

import functools
from collections.abc import Hashable, Sequence
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


class ClusteredMean(NamedTuple):
    """A mean over examples that come in clusters, or the mean of means of strata.

    Attributes:
        values: of each example; hits are ones and zeros.
        clusters: the cluster of each example, such as its recording.
        strata: the stratum of each example, such as an attack or a network; each counts
            alike, whatever its number of examples. None for one stratum.
    """

    values: Float[np.ndarray, "examples"]
    clusters: Sequence[str]
    strata: Sequence[Hashable] | None = None

    @property
    def value(self) -> float:
        """The mean; NaN if there are no examples."""
        names = sorted(set(self.clusters))
        return float(self.weighted(np.ones((1, len(names))), names)[0])

    def weighted(
        self, weights: Float[np.ndarray, "draws clusters"], names: Sequence[str]
    ) -> Float[np.ndarray, "draws"]:
        """The mean under other weights of clusters; NaN where no example has any.

        A stratum without weight is left out.

        Args:
            weights: of each cluster's examples, not negative.
            names: of the clusters.
        """
        if not len(self.clusters):
            return np.full(len(weights), np.nan)
        index = {name: place for place, name in enumerate(names)}
        places = np.array([index[name] for name in self.clusters])
        values, means = np.asarray(self.values, np.float64), []
        strata = self.strata or [None] * len(places)
        for stratum in dict.fromkeys(strata):
            inside = np.array([each == stratum for each in strata])
            sums, counts = (
                np.bincount(places[inside], of, len(names))
                for of in (values[inside], None)
            )
            with np.errstate(invalid="ignore", divide="ignore"):
                means.append((weights @ sums) / (weights @ counts))
        return _mean_of_known(np.stack(means))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The percentile interval of the bootstrap over clusters.

        Raises:
            ValueError: there are no examples, or the level is not between 0 and 1.

        Source: as of `ClusteredShare.interval`.
        """
        return percentile_interval(_resampled(self)[0], level=level)


class Contrast(NamedTuple):
    """A difference or ratio of two means, with its interval.

    Attributes:
        value: of the examples as they are.
        low: end of the 95 % interval by bootstrap over clusters; NaN without one.
        high: likewise.
        num_clusters: that were resampled.
    """

    value: float
    low: float
    high: float
    num_clusters: int


def clustered_difference(first: ClusteredMean, second: ClusteredMean) -> Contrast:
    """The first mean minus the second one; clusters are resampled for both together.

    On the same examples this is the interval of the paired difference. The examples may
    also differ, such as the clips that each of two networks knows, of the same clusters
    in part.

    Raises:
        ValueError: a mean has no examples.

    Source: Davison and Hinkley 1997, Bootstrap Methods and their Application, section
    3.8 (sampling of clusters).
    """
    one, other = _resampled(first, second)
    return _contrast(first.value - second.value, one - other, (first, second))


def clustered_ratio(first: ClusteredMean, second: ClusteredMean) -> Contrast:
    """The first mean over the second one; clusters are resampled for both together.

    Raises:
        ValueError: a mean has no examples.

    Source: as of `clustered_difference`.
    """
    return clustered_mean_ratio([(first, second)])


def clustered_mean_ratio(
    pairs: Sequence[tuple[ClusteredMean, ClusteredMean]],
) -> Contrast:
    """The mean over pairs of the first mean over the second one.

    Clusters are resampled for all pairs together. A pair is left out of the samples in
    which one of its means has no examples.

    Raises:
        ValueError: there are no pairs, or a mean has no examples.

    Source: as of `clustered_difference`.
    """
    means = [mean for pair in pairs for mean in pair]
    drawn = _resampled(*means)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = [np.divide(one.value, other.value) for one, other in pairs]
        ratios = drawn[::2] / drawn[1::2]
    return _contrast(float(np.mean(values)), _mean_of_known(ratios), means)


def _contrast(
    value: float, drawn: Float[np.ndarray, "draws"], means: Sequence[ClusteredMean]
) -> Contrast:
    known = drawn[np.isfinite(drawn)]
    low, high = percentile_interval(known) if len(known) else (np.nan, np.nan)
    return Contrast(value, low, high, len({n for each in means for n in each.clusters}))


def _mean_of_known(
    values: Float[np.ndarray, "parts draws"],
) -> Float[np.ndarray, "draws"]:
    """The mean of the finite values of each draw; NaN where there are none."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0)


def _resampled(*means: ClusteredMean) -> Float[np.ndarray, "means draws"]:
    """The means in bootstrap samples of clusters that all of them share."""
    if not means or not all(len(each.clusters) for each in means):
        raise ValueError("an interval needs examples; a mean has none")
    names = tuple(sorted({name for each in means for name in each.clusters}))
    drawn = _drawn(len(names))
    return np.stack([each.weighted(drawn, names) for each in means])


@functools.lru_cache(maxsize=16)  # draws take longer than all that follows
def _drawn(num_clusters: int) -> Float[np.ndarray, "draws clusters"]:
    """The weights of so many clusters in each sample."""
    return resampled_weights(range(num_clusters))


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
