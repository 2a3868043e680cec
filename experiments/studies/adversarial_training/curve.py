"""The length of the trainings, chosen on validation clips alone.

One plain network of each kind is trained for several numbers of steps, and on a part of
the training recordings. The rule: of each corpus, the fewest steps whose validation
accuracy, the mean over its networks, is at most `MARGIN` below that of the best number.
No test clip is read.
"""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from advjax import catalog
from advjax.metrics.clustered import ClusteredMean
from advjax.reports import figures
from advjax.reports.page import Picture
from advjax.reports.tables import DASH, Table
from experiments.lab import cell_files, held_out
from experiments.lab.cells import Cell
from experiments.lab.grid import Job, Step
from experiments.lab.steps import Predict, predictions_file
from experiments.studies.adversarial_training.names import NAMES
from experiments.studies.adversarial_training.sizes import Curve, Size, of_length

MARGIN = 0.02
"""Accuracy that fewer steps may lose: our choice, about a clip of one network."""
REPRESENTATION = "stft"


def cells(size: Size, corpora: Sequence[str]) -> list[Cell]:
    """A cell for each corpus, network, length, and share of the recordings."""
    if size.curve is None:
        return []
    return [
        _cell(corpus, network, size.folds[corpus][0], steps, share)
        for corpus in corpora
        for steps, share in _points(size.curve)
        for network in size.networks
    ]


def _points(curve: Curve) -> list[tuple[int, float]]:
    """Every length on all recordings, then each share of them at the middle one."""
    middle = curve.steps[len(curve.steps) // 2]
    parts = [share for share in curve.shares if share < 1]
    return [(n, 1.0) for n in curve.steps] + [(middle, share) for share in parts]


def _cell(corpus: str, network: str, fold: int, steps: int, share: float) -> Cell:
    return Cell(
        _path(corpus, network, steps, share),
        (
            *(("kind", "curve"), ("corpus", corpus), ("network", network)),
            *(("representation", REPRESENTATION), ("fold", fold)),
            *(("training", "plain"), ("steps", steps), ("share", share)),
        ),
    )


def _path(corpus: str, network: str, steps: int, share: float) -> str:
    of = "" if share == 1 else f"-{share:g}"
    return f"curve/{corpus}/{catalog.parse(network)[0]}/{steps}{of}"


def steps() -> dict[str, Step]:
    """The steps of a cell of the curve."""
    return {"validation": Predict("validation")}


def validation_accuracy(folder: pathlib.Path) -> float | None:
    """The accuracy of a finished cell on validation clips; None of another one."""
    found = cell_files.results(folder)
    if "validation_right" not in found:
        return None
    return found["validation_right"] / found["validation_clips"]


def chosen(
    out: pathlib.Path, corpus: str, networks: Sequence[str], lengths: Sequence[int]
) -> int | None:
    """The number of steps by the rule above; None before all trainings are there.

    Args:
        out: the folder of the study.
        corpus: of the trainings.
        networks: with their options.
        lengths: numbers of steps, rising.
    """
    means = []
    for length in lengths:
        folders = [out / "cells" / _path(corpus, n, length, 1.0) for n in networks]
        found = [validation_accuracy(folder) for folder in folders]
        if None in found:
            return None
        means.append(float(np.mean(found)))
    least = max(means) - MARGIN - 1e-9
    return next(n for n, mean in zip(lengths, means, strict=True) if mean >= least)


@dataclasses.dataclass(frozen=True)
class OfChosenLength(Step):
    """A step on the network that was trained for the chosen number of steps.

    Attributes:
        step: the step.
        corpus: whose number of steps is taken.
        networks: of the curve.
        lengths: of the curve.
    """

    step: Step
    corpus: str
    networks: tuple[str, ...]
    lengths: tuple[int, ...]

    def given(self, job: Job) -> int | None:
        """The chosen number of steps; another one runs the step again."""
        return chosen(job.out, self.corpus, self.networks, self.lengths)

    def run(self, job: Job) -> Mapping[str, Any] | None:
        """Run the step.

        Raises:
            ValueError: the trainings of the curve are not finished.
        """
        length = self.given(job)
        if length is None:
            raise ValueError(
                f"{job.cell.path} needs the number of training steps on {self.corpus}, "
                f"which is not chosen yet: run --cells='curve/{self.corpus}/*' first, "
                "or give --num_steps"
            )
        recipe = of_length(job.task.recipe, length)
        return self.step.run(job.on(dataclasses.replace(job.task, recipe=recipe)))


def finished(found: Mapping[Cell, pathlib.Path]) -> dict[Cell, pathlib.Path]:
    """The finished cells of the curve."""
    return {c: f for c, f in found.items() if dict(c.values).get("kind") == "curve"}


def table(out: pathlib.Path, size: Size, found: Mapping[Cell, pathlib.Path]) -> Table:
    """A line for each corpus, length and share: accuracies, their mean, the choice."""
    groups = collections.defaultdict(dict)
    for cell, folder in finished(found).items():
        rows = held_out.PREDICTIONS.read(predictions_file(folder, "validation"))
        key = (cell["corpus"], cell["share"], cell["steps"])
        groups[key][cell["network"]] = rows
    lines = []
    for (corpus, share, length), networks in sorted(groups.items()):
        right, recordings, strata = [], [], []
        for network, rows in networks.items():
            right += list(rows.predict == rows.label)
            recordings += list(rows.recording)
            strata += [network] * len(rows)
        mean = ClusteredMean(np.asarray(right, float), recordings, strata)
        low, high = mean.interval()
        each = []
        for network in size.networks:
            rows = networks.get(network)
            of_one = rows is not None and np.mean(rows.predict == rows.label)
            each.append(f"{100 * of_one:.0f}" if rows is not None else DASH)
        choice = chosen(out, corpus, size.networks, size.curve.steps)
        clips = len(next(iter(networks.values())))
        lines.append(
            [
                *(NAMES[corpus], f"{share:g}", f"{length}", f"{clips}", *each),
                f"{100 * mean.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]",
                "chosen" if (length, share) == (choice, 1.0) else "",
            ]
        )
    heads = [NAMES[catalog.parse(network)[0]] for network in size.networks]
    header = ["corpus", "share", "steps", "clips", *heads, "mean", "choice"]
    return Table(
        header,
        lines,
        [
            f"accuracy of plain networks on validation clips, {NAMES[REPRESENTATION]}, "
            "in %; these clips, of a fifth of the recordings beside the test fold, "
            "also chose the best of ten checkpoints of each training",
            "share: of the recordings that train, each clip with its versions in other "
            "pitches",
            "chosen: the fewest steps on all recordings whose mean is at most "
            f"{100 * MARGIN:g} points below the best; it is the length of all other "
            "trainings on the corpus",
            "in brackets or below a mean: its 95 % interval, by bootstrap over "
            "recordings",
        ]
        if lines
        else [],
    )


def draw(out: pathlib.Path, found: Mapping[Cell, pathlib.Path]) -> list[Picture]:
    """Draw validation accuracy over steps, and over shares; one file each."""
    every = [(c, validation_accuracy(f)) for c, f in finished(found).items()]
    lengths = {cell["steps"] for cell, _ in every if cell["share"] < 1}
    kinds = {
        "steps": [pair for pair in every if pair[0]["share"] == 1],
        "share": [pair for pair in every if pair[0]["steps"] in lengths],
    }
    labels = {
        "steps": "steps of training, on all training recordings",
        "share": "share of the training recordings, at the middle number of steps",
    }
    pictures = []
    for axis, pairs in kinds.items():
        lines = collections.defaultdict(list)
        for cell, value in pairs:
            network = NAMES[catalog.parse(cell["network"])[0]]
            lines[f"{NAMES[cell['corpus']]}, {network}"].append((cell[axis], value))
        if lines:
            file = out / f"curve_{axis}.png"
            figures.line_plot(
                {name: sorted(line) for name, line in lines.items()},
                file,
                x_label=labels[axis],
                y_label="accuracy on validation clips",
            )
            pictures.append(Picture(file, f"validation accuracy over {axis}"))
    return pictures
