"""Staggered excerpts of one recording, as in O'Reilly (2020), and exact certificates.

Two excerpts a few samples apart sound the same and are far apart in l2 at the waveform:
such a norm says little about what is heard. The certificates are those of
`smoothing.certify_shift`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from advjax import evaluation
from advjax.metrics.clustered import clustered_share
from advjax.metrics.distortion import radius_snr_db
from advjax.reports import tables
from advjax.representations import Representation
from experiments.lab import caveats, shifts
from experiments.lab.grid import Job, Step
from experiments.lab.shifts import ShiftRequest
from experiments.lab.steps import attacked_points
from experiments.lab.task import System
from experiments.studies.speakers.changed_inputs import features_at

APART = (1, 5, 20, 80)
"""Samples between two excerpts. 80 leave crops of 25,800 samples 160 frames."""
PUBLISHED = ("5, publication's pair", "0.312", "13.6")
"""Source: the publication's page, "Evaluating Guarantees". The WAVs there are 5 samples
of 16 kHz apart and give 13.64."""
FIGURE = "shifts.png"


def staggered_table(
    system: System,
    points: Sequence[evaluation.Point],
    *,
    apart: Sequence[int] = APART,
) -> tables.Table:
    """Two excerpts of each crop, a few samples apart: a row for each distance.

    Both lie within the crop and are shorter than it by their distance, so that nothing
    is padded or wrapped around.

    Args:
        system: whose network it is, at the waveform.
        points: test points at the waveform.
        apart: samples from one excerpt to the other.

    Raises:
        ValueError: a distance that leaves the network fewer frames.
    """
    representation = system.representation
    stages = [stage.name for stage in representation.chain()]
    logits_fn = system.classifier.logits_fn(representation.name)
    labels = [point.label for point in points]
    utterances = [caveats.recording_of(point.id) for point in points]
    rate, rows = representation.sample_rate_hz, []
    for distance in apart:
        shorter = excerpt_of(representation, distance)
        first, second = (
            [point._replace(x=point.x[start:][: _length(shorter)]) for point in points]
            for start in (0, distance)
        )
        row = [f"{distance}", f"{1e3 * distance / rate:.3g}"]
        for name in stages:
            x, moved = (
                features_at(shorter.stage(name), pair) for pair in (first, second)
            )
            change = (moved - x).reshape(len(x), -1)
            norms = np.linalg.norm(change.astype(np.float64), axis=1)
            row.append(f"{norms.mean():.2f}")
            if name == stages[0]:
                pairs = zip(x, norms.tolist(), strict=True)
                snr_db = np.median([radius_snr_db(each, n) for each, n in pairs])
        before, after = (
            evaluation.logits_of_batch(logits_fn, each).argmax(axis=1)
            for each in (x, moved)
        )
        row += [
            f"{snr_db:.1f}",
            *(
                tables.share_text(clustered_share([hits], utterances))
                for hits in (before == labels, after == labels, before == after)
            ),
        ]
        rows.append(row)
        if distance == 5:
            rows.append([*PUBLISHED, *[""] * (len(row) - len(PUBLISHED))])
    return tables.Table(
        [
            *("samples apart", "in ms"),
            *(f"l2 at {name}" for name in stages),
            "SNR in dB",
            *("accuracy, first", "accuracy, second", "same prediction"),
        ],
        rows,
        [
            f"{len(points)} test crops of {len(set(utterances))} utterances, two "
            "excerpts of each; l2: mean norm of their difference; SNR: median at the "
            "waveform, the difference being the noise",
            tables.CLUSTERS_NOTE,
        ],
    )


def excerpt_of(representation: Representation, fewer: int) -> Representation:
    """The same chain for waveforms with so many samples less.

    Raises:
        ValueError: the network's input has another shape then.
    """
    changed = _shorten(representation, fewer)
    if changed.feature_shape != representation.feature_shape:
        raise ValueError(
            f"excerpts {fewer} samples apart have {changed.feature_shape} features, "
            f"and the network takes {representation.feature_shape}: give fewer samples"
        )
    return changed


def _shorten(representation: Representation, fewer: int) -> Representation:
    if representation.source is None:
        left = representation.num_samples - fewer
        return dataclasses.replace(representation, num_samples=left)
    source = _shorten(representation.source, fewer)
    return dataclasses.replace(representation, source=source)


def _length(representation: Representation) -> int:
    return representation.chain()[0].num_samples


@dataclasses.dataclass(frozen=True)
class Staggered(Step):
    """Staggered excerpts, and certificates against shifts.

    Attributes:
        num_points: at most so many test crops, for the excerpts.
        num_certified: at most so many for the certificates.
        request: of the certificates.
    """

    num_points: int = 300
    num_certified: int = 40
    request: ShiftRequest = ShiftRequest(160)

    def run(self, job: Job) -> dict[str, Any]:
        """Return the tables; certify in the folder of the cell; draw the figure."""
        system = job.task.at_waveform().resolve()
        points = attacked_points(system, self.num_points)
        staggered = staggered_table(system, points)
        folder = shifts.certify(
            system,
            self.request,
            num_points=min(self.num_certified, len(points)),
            workdir=job.folder / "shifts",
            environment=job.environment,
        )
        shifts.plot(folder, job.out / FIGURE)
        certified = (
            f"## Certified against time shifts\n\n{shifts.SENTENCE} They say nothing "
            "about a moved excerpt, where new samples enter: see the table above.\n\n"
            f"![certified accuracy over the shift]({FIGURE})"
        )
        return {
            "sections": [
                ("## Staggered excerpts", staggered),
                (certified, shifts.table(folder)),
            ]
        }
