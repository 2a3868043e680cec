"""Bootstrap intervals of averages over rows that come in groups.

Crops of one recording resemble each other, and so do all rows of one trained network.
The bootstrap therefore draws whole groups. Computed by NumPy in float64 on the host.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float

NUM_RESAMPLES = 10_000


def resampled_weights(
    groups: Sequence[Hashable], *, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> Float[np.ndarray, "resamples rows"]:
    """Weights of rows in bootstrap samples that draw whole groups with replacement.

    A sample has as many groups as there are. `weights @ values` are the averages of the
    samples. Rows that are groups of their own give the ordinary bootstrap.

    Args:
        groups: the group of each row, such as its recording.
        num_resamples: number of bootstrap samples.
        seed: of the draws.

    Returns:
        Weights that sum to 1 in each sample; rows of one group have equal weights.

    Raises:
        ValueError: there are no rows.

    Source: Davison and Hinkley 1997, Bootstrap Methods and their Application, section
    3.8 (sampling of clusters); Efron 1979.
    """
    if not len(groups):
        raise ValueError("there are no rows to resample")
    names = list(dict.fromkeys(groups))
    place = {name: index for index, name in enumerate(names)}
    count, share = len(names), np.full(len(names), 1 / len(names))
    drawn = np.random.default_rng(seed).multinomial(count, share, size=num_resamples)
    rows = drawn[:, [place[name] for name in groups]].astype(np.float64)
    return rows / rows.sum(axis=1, keepdims=True)


def percentile_interval(
    values: Float[np.ndarray, "resamples"], *, level: float = 0.95
) -> tuple[float, float]:
    """The interval between two percentiles of a statistic over bootstrap samples.

    Raises:
        ValueError: the level is not between 0 and 1.

    Source: Efron 1979.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level}: give a number between 0 and 1")
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
