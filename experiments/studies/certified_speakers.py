"""Certified speakers: the tables of O'Reilly (2020), completed.

  python -m experiments.studies.certified_speakers \\
      --corpus=librispeech --corpus_dir=LibriSpeech --out=results

Noise at three stages and of five standard deviations, each on a plain network and on
one trained with that noise. A cell certifies its network and measures its accuracy with
and without noise; the last cell, `inputs`, has the effect of noise, of random
perturbations and of another STFT on the inputs.

--preset=small (width 8, 40 points, n = 1,000) takes about eight minutes a cell on one
core. Expect 85 % of the crops certified at l2 = 1 at mfbe, sigma = 0.5, and 55 % at
l2 = 0.05 at the waveform, sigma = 0.05. The publication's table of 921 speakers:

  python -m experiments.studies.certified_speakers --preset=publication \\
      --corpus="librispeech(subsets=('train-clean-360',))" --corpus_dir=LibriSpeech

`defended_speakers` has better trainings, and attacks on the certificates.
"""

import dataclasses

from experiments import app, flags, requests
from experiments.lab import grid, steps
from experiments.lab.cells import Cell, product
from experiments.lab.task import Task
from experiments.studies.speakers import certified_report, sizes
from experiments.studies.speakers.inputs import Inputs
from experiments.studies.speakers.sizes import Speakers

flags.declare(__name__, *sizes.FLAGS)


def cells(size: Speakers) -> list[Cell]:
    """Every stage, training and sigma; mel energies, the main result, come first."""
    return [
        *product(
            stage=("mfbe", "magnitude", "waveform"),
            training=("gaussian", "plain"),
            sigma=(0.5, 0.25, 0.1, 0.05, 0.01),
        ),
        Cell("inputs", (("stage", "mfbe"), ("training", "plain"), ("sigma", 0.25))),
    ]


def task(cell: Cell, size: Speakers) -> Task:
    """The network of a cell, and the stage where noise enters."""
    return dataclasses.replace(
        size.base, at=cell["stage"], sigma=cell["sigma"], defence=cell["training"]
    )


def work(cell: Cell, size: Speakers) -> dict[str, grid.Step]:
    """Certificates and accuracies, or the tables of inputs."""
    if cell.path == "inputs":
        return {"inputs": Inputs()}
    certify = steps.Certify(size.certification, size.num_points)
    return {"certificates": certify, "accuracy": steps.HeldOut()}


STUDY = grid.Study(
    name="certified_speakers",
    cells=cells,
    presets=sizes.PRESETS,
    sized=sizes.sized,
    task=task,
    steps=work,
    report=certified_report.report,
    complete=steps.is_whole,
    costs={"small": grid.Cost(480, "a core of an AMD EPYC")},
)


def main() -> None:
    """Run the cells that the flags choose, then report."""
    grid.run(STUDY, requests.study(STUDY.name), app.environment())


if __name__ == "__main__":
    app.run(main, device_per_core=True)
