"""Adversarially trained audio classifiers: the tables of Sallo et al. (2020).

  python -m experiments.studies.adversarial_training \\
      --esc50_dir=ESC-50 --urbansound8k_dir=UrbanSound8K --out=results

The grid {corpus} x {representation} x {network} x {plain, adversarial} x {six attacks}:
trains every network plainly and on a clean + FGSM loss, and searches the perturbation
that each attack needs to change its prediction. study.md has the publication's three
tables with the range of its own entries, success.png success over the budget, and
needed.tsv a line for every attack on every clip.

--preset=small (images of 1/14, narrow networks, one fold) takes about eight minutes a
cell on 2 cores; --share=0/4 to --share=3/4 divide the cells among starts. Expect
adversarial training to lower the fooling rate of most networks, at a loss of accuracy.
The publication's grid, for an accelerator: --preset=publication.
"""

from experiments import app, flags, requests
from experiments.lab import cell_files, grid, steps
from experiments.lab.cells import Cell, product
from experiments.lab.task import Task
from experiments.studies import image_corpora
from experiments.studies.adversarial_training import tables
from experiments.studies.adversarial_training.sizes import PRESETS, Size, scans, sized

FLAGS = (
    *(flags.NUM_STEPS, flags.BATCH_SIZE, flags.OUT, flags.REPRESENTATION),
    *(flags.NETWORK, flags.ATTACKS, flags.EPS, flags.NUM_POINTS),
    *flags.IMAGE_FLAGS,
    *flags.GRID_FLAGS,
    *flags.RUN_FLAGS,
)


def cells(size: Size) -> list[Cell]:
    """Every cell of the grid; a network's two trainings follow each other."""
    return product(
        corpus=image_corpora.folders(),
        representation=size.representations,
        network=size.networks,
        fold=image_corpora.fold_names(),
        training=("plain", "adversarial"),
    )


def task(cell: Cell, size: Size) -> Task:
    """The network of a cell."""
    defence = f"fused_adversarial(eps={size.eps!r},bounds=(0.0,1.0))"
    return image_corpora.task(
        cell["corpus"],
        cell["representation"],
        fold=cell["fold"],
        scale=size.scale,
        defence="plain" if cell["training"] == "plain" else defence,
        model=cell["network"],
        recipe=size.recipe,
    )


def work(cell: Cell, size: Size) -> dict[str, grid.Step]:
    """Accuracy, then every attack that --attacks names.

    Raises:
        ValueError: --attacks names an unknown attack.
    """
    found = scans(size.attacks)
    wanted = flags.ATTACKS.value or found
    if unknown := ", ".join(sorted(set(wanted) - set(found))):
        raise ValueError(f"--attacks: no {unknown}; there are: {', '.join(found)}")
    return {"measure": steps.Measure()} | {
        name: steps.ScanBudgets(name, found[name], size.num_points) for name in wanted
    }


STUDY = grid.Study(
    name="adversarial_training",
    cells=cells,
    presets=PRESETS,
    sized=sized,
    task=task,
    steps=work,
    report=tables.report,
    together=("training",),
    complete=cell_files.has_accuracy,
    costs={"small": grid.Cost(525, "2 cores of an AMD EPYC")},
)


def main() -> None:
    """Run the cells that the flags choose, then report."""
    grid.run(STUDY, requests.study(STUDY.name), app.environment())
