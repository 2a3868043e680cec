"""Targeted attacks between pairs of classes, all networks together."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from advjax.reports.tables import DASH, Table
from advjax.runs.columns import concatenate
from experiments.studies.sound_events.examples import ClipRun


def pooled(runs: Sequence[ClipRun]) -> ClipRun:
    """The runs of several networks under one attack as one."""
    return runs[0]._replace(rows=concatenate([run.rows for run in runs]))


class Pairs(NamedTuple):
    """One targeted attack on all networks, from each class to each other class.

    Attributes:
        classes: names of the classes.
        success: shares, [from, to]; NaN without clips.
        snr_db: means over the successes, [from, to]; NaN without one.
    """

    classes: list[str]
    success: Float[np.ndarray, "classes classes"]
    snr_db: Float[np.ndarray, "classes classes"]

    @classmethod
    def of(cls, runs: Sequence[ClipRun]) -> "Pairs":
        """The pairs of classes in the runs of one attack."""
        ids = runs[0].settings["jobs"]
        targets = list(dict.fromkeys(id.partition(">")[2] for id in ids))
        # The first clips are of the first class, and lead to all others.
        classes, rows = [targets[-1], *targets[:-1]], pooled(runs).rows
        names = [id.partition(">")[2] for id in rows.id]
        places = dict(zip(names, rows.target.tolist(), strict=True))
        success, snr_db = np.full((2, len(classes), len(classes)), np.nan)
        for i, j in np.ndindex(success.shape):
            source, target = (places.get(classes[k], -1) for k in (i, j))
            at = rows.take((rows.label == source) & (rows.target == target))
            if len(at):
                success[i, j] = at.success.mean()
            if at.success.any():
                snr_db[i, j] = at.snr_db[at.success].mean()
        return cls(classes, success, snr_db)

    def texts(self, between: str) -> list[list[str]]:
        """The success and mean SNR of each pair, with a text between them."""
        return [
            [
                DASH
                if np.isnan(share)
                else f"{100 * share:.0f} %"
                + ("" if np.isnan(snr_db) else f"{between}{snr_db:.0f} dB")
                for share, snr_db in zip(*row, strict=True)
            ]
            for row in zip(self.success, self.snr_db, strict=True)
        ]

    def table(self, published: Mapping[tuple[str, str], float] | None = None) -> Table:
        """A row for each first class, a column for each target.

        Args:
            published: mean SNRs of the publication in dB, by label and target; a row of
                theirs stands below each of ours.
        """
        rows = []
        for name, row in zip(self.classes, self.texts(", "), strict=True):
            rows.append([name, *row])
            if published:
                theirs = [published.get((name, target)) for target in self.classes]
                texts = [DASH if snr is None else f"{snr:.1f} dB" for snr in theirs]
                rows.append([f"{name}, publication", *texts])
        return Table(["success, mean SNR", *self.classes], rows)
