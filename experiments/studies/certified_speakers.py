"""Certified speakers: the tables of O'Reilly (2020), completed.

  python -m experiments.studies.certified_speakers \\
      --corpus=librispeech --corpus_dir=LibriSpeech --out=results

Noise at three stages and of several standard deviations, each on a plain network and on
one trained with that noise. A cell certifies its network by the sequential bound of at
most n = 10,000 votes, and measures its accuracy with and without noise. Further cells
train again with other seeds (`seed1/mfbe/gaussian/0.5`), certify the same crops with a
fixed n (`fixed/...`) or with as many votes as Cohen et al. (`many/...`), or split
LibriSpeech by chapter (`chapter/...`). The cell `inputs` has the effect of noise, of
random perturbations and of another STFT on the inputs.

--preset=small (width 8) takes about fifteen minutes a cell on two cores.
--engine=openvino --precision=bfloat16 counts votes up to five times as fast on CPUs
that multiply bfloat16. A first look takes minutes:

  python -m experiments.studies.certified_speakers --cells=mfbe/gaussian/0.5 \\
      --num_points=40 --num_steps=300 --votes=1000

The publication's table of 921 speakers:

  python -m experiments.studies.certified_speakers --preset=publication \\
      --corpus="librispeech(subsets=('train-clean-360',))" --corpus_dir=LibriSpeech

`defended_speakers` has better trainings, and attacks on the certificates.
"""

import dataclasses

from advjax import smoothing
from experiments import app, flags, requests
from experiments.lab import grid, steps
from experiments.lab.cells import Cell, product
from experiments.lab.smoothed_attack import differentiable_task
from experiments.lab.task import Task
from experiments.studies.speakers import certified_report, input_cells
from experiments.studies.speakers import certified_sizes as sizes
from experiments.studies.speakers.certified_sizes import Size

flags.declare(__name__, *sizes.FLAGS)


def cells(size: Size) -> list[Cell]:
    """Every stage, training and sigma; mel energies, the main result, come first."""
    every = {
        at: product(stage=[at], training=("gaussian", "plain"), sigma=sigmas)
        for at, sigmas in sizes.SIGMAS.items()
    }
    whole = [cell for of_stage in every.values() for cell in of_stage]
    gaussian = [cell for cell in whole if cell["training"] == "gaussian"]
    seeds = [
        Cell(f"seed{seed}/{cell.path}", (*cell.values, ("seed", seed)))
        for cell in gaussian
        if cell["stage"] == "mfbe" and cell["sigma"] in sizes.REPEATED
        for seed in range(1, size.seeds)
    ]
    checked = [
        cell for cell in gaussian if sizes.CHECKED[cell["stage"]] == cell["sigma"]
    ]
    return [
        *every["mfbe"],
        *seeds,
        *every["magnitude"],
        *every["waveform"],
        *(_below("fixed", cell, "bound") for cell in checked),
        _below("many", checked[0], "bound"),
        *input_cells.cells(),
        *(_below("chapter", cell, "split") for cell in whole if size.by_chapter),
    ]


def _below(name: str, cell: Cell, axis: str) -> Cell:
    return Cell(f"{name}/{cell.path}", (*cell.values, (axis, name)))


def task(cell: Cell, size: Size) -> Task:
    """The network of a cell, and the stage where noise enters."""
    at, base, more = cell["stage"], size.base, dict(cell.values)
    num_steps = size.stages[at].num_steps
    if cell.path in input_cells.STEPS:
        # Some of them attack the network.
        base = differentiable_task(base)
    return dataclasses.replace(
        base,
        at=at,
        sigma=cell["sigma"],
        defence=cell["training"],
        recipe=dataclasses.replace(base.recipe, num_steps=num_steps),
        seed=base.seed + more.get("seed", 0),
        corpus=size.by_chapter if "split" in more else base.corpus,
    )


def work(cell: Cell, size: Size) -> dict[str, grid.Step]:
    """Certificates and accuracies, or the tables of inputs."""
    if cell.path in input_cells.STEPS:
        return {"inputs": input_cells.STEPS[cell.path]}
    request = sizes.certification(size, cell["stage"], cell["sigma"])
    num_points = size.stages[cell["stage"]].num_points
    bound = dict(cell.values).get("bound")
    if bound is None:
        certify = steps.Certify(request, num_points)
        return {"certificates": certify, "accuracy": steps.HeldOut()}
    request = request._replace(bound=smoothing.ClopperPearson.name)
    if bound == "many":
        request = request._replace(num_estimation=size.num_many)
        num_points = min(num_points, size.num_points_many)
    return {"certificates": steps.Certify(request, num_points)}


STUDY = grid.Study(
    name="certified_speakers",
    cells=cells,
    presets=sizes.PRESETS,
    sized=sizes.sized,
    task=task,
    steps=work,
    report=certified_report.report,
    complete=steps.is_whole,
    costs={"small": grid.Cost(900, "two cores of an Intel Xeon with AMX")},
)


def main() -> None:
    """Run the cells that the flags choose, then report."""
    grid.run(STUDY, requests.study(STUDY.name), app.environment())


if __name__ == "__main__":
    app.run(main, device_per_core=True)
