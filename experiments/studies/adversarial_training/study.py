"""Adversarially trained audio classifiers: the tables of Sallo et al. (2020).

  python -m experiments.studies.adversarial_training \\
      --esc50_dir=ESC-50 --urbansound8k_dir=UrbanSound8K --out=results

Trains each network on images of sound plainly and on a clean + FGSM loss, and searches
the perturbation that each of six attacks needs: to reach a class that is drawn for each
clip or, by DeepFool, to leave its own. study.md has the publication's three tables with
its entries beside ours, its claims with a verdict each, and intervals over recordings.
success.png is success over the budget; needed.tsv has a line for every attack on every
clip, predictions.tsv for every network on every test clip, and each cell.json the
commit, versions and times of its steps.

The cells run in this order: trainings of several lengths, of which validation clips
choose one (`curve/*`); the grid {corpus} x {fold} x {representation} x {network} x
{plain, adversarial} with five attacks; ResNet-56 at another input size (`resolution/*`)
and other weights of the clean loss (`alpha/*`); attacks without a target
(`untargeted/*`); and the partial-information attack (`pia/*`). A study that is stopped
reports what it has.

--preset=small (ESC-10 on three folds, UrbanSound8K on one; images of 1/14, narrow
AlexNet and ResNet-18, ResNet-56 of its own width) takes 15 to 20 core-hours, by the
length that is chosen: --dry_run has the sum. --share=0/2 and --share=1/2 divide the
cells between two starts, after `--cells='curve/*'`. Expect adversarial training to
lower the fooling rate of most networks, at a loss of accuracy.
The publication's grid, for an accelerator: --preset=publication.
"""

from collections.abc import Mapping

from advjax import catalog
from experiments import app, flags, requests
from experiments.lab import grid, steps
from experiments.lab.cells import Cell
from experiments.lab.task import Task
from experiments.studies import image_corpora
from experiments.studies.adversarial_training import curve, tables
from experiments.studies.adversarial_training.costs import COSTS
from experiments.studies.adversarial_training.sizes import (
    ATTACKS,
    EARLY,
    PRESETS,
    UNTARGETED,
    VALIDATION_SHARE,
    Size,
    of_length,
    scans,
    sized,
)

FLAGS = (
    *(flags.NUM_STEPS, flags.BATCH_SIZE, flags.OUT, flags.REPRESENTATION),
    *(flags.NETWORK, flags.ATTACKS, flags.EPS, flags.NUM_POINTS),
    *flags.IMAGE_FLAGS,
    *flags.GRID_FLAGS,
    *flags.RUN_FLAGS,
)
TRAININGS = ("plain", "adversarial")
OF_ALPHA = ("FGSM", "BIM", "DeepFool")
"""Attacks on networks with another weight of the clean loss: the quickest."""


def corpora(size: Size) -> list[str]:
    """The corpora of a size whose folder a flag gives."""
    folders = image_corpora.folders()
    given = set(folders) | ({"esc10"} if "esc50" in folders else set())
    return [corpus for corpus in size.folds if corpus in given]


def cells(size: Size) -> list[Cell]:
    """Every cell, those of the greatest worth first."""
    there = corpora(size)
    every = [
        (corpus, representation, network, fold)
        for corpus in there
        for fold in size.folds[corpus]
        for representation in size.representations
        for network in size.networks
    ]

    def comes_late(point: tuple) -> bool:
        corpus, _, network, _ = point
        return catalog.parse(network)[0] in size.later.get(corpus, ())

    soon = [point for point in every if not comes_late(point)]
    late = [point for point in every if comes_late(point)]
    found = curve.cells(size, there)
    found += [_cell("grid", *point, t) for point in soon for t in TRAININGS]
    if there and size.other_resolution:
        network = size.other_resolution
        found += [
            _cell("resolution", there[0], representation, network, fold, "plain")
            for representation in size.representations
            for fold in size.folds[there[0]]
        ]
    found += [
        _cell("alpha", *point, f"{alpha:g}")
        for alpha in size.alphas
        for point in every
        if point[:3] == (there[0], size.representations[0], size.networks[0])
    ]
    found += [_cell("grid", *point, t) for point in late for t in TRAININGS]
    one = {(there[0], size.folds[there[0]][0])} if there else set()
    found += [
        _cell("untargeted", *point, t)
        for point in every
        if (point[0], point[3]) in one
        for t in TRAININGS
    ]
    found += [_cell("pia", *point, t) for point in soon + late for t in TRAININGS]
    wanted = attacks()
    drop = {"pia": {"PIA"}, "untargeted": set(UNTARGETED)}
    return [
        cell
        for cell in found
        if cell["kind"] not in drop or drop[cell["kind"]] & set(wanted)
    ]


def _cell(
    kind: str, corpus: str, representation: str, network: str, fold: int, training: str
) -> Cell:
    """A cell on a network; a grid's has no kind in its name."""
    name = catalog.parse(network)[0]
    path = f"{corpus}/{representation}/{name}/fold{fold}/{training}"
    return Cell(
        path if kind == "grid" else f"{kind}/{path}",
        (
            *(("kind", kind), ("corpus", corpus), ("representation", representation)),
            *(("network", network), ("fold", fold), ("training", training)),
        ),
    )


def attacks() -> list[str]:
    """The attacks that --attacks names, by default all.

    Raises:
        ValueError: it names an unknown attack.
    """
    wanted = flags.ATTACKS.value or ATTACKS
    if unknown := ", ".join(sorted(set(wanted) - set(ATTACKS))):
        raise ValueError(f"--attacks: no {unknown}; there are: {', '.join(ATTACKS)}")
    return list(wanted)


def task(cell: Cell, size: Size) -> Task:
    """The network of a cell, validated on recordings that neither train nor test."""
    share = "" if cell["kind"] != "curve" else f"train_share={cell['share']!r},"
    recipe = size.recipe
    if cell["kind"] == "curve":
        recipe = of_length(recipe, cell["steps"])
    return image_corpora.task(
        cell["corpus"],
        cell["representation"],
        fold=f"fold{cell['fold']}",
        scale=size.scale,
        options=f"validation_share={VALIDATION_SHARE!r},{share}",
        defence=_defence(cell["training"], size),
        model=cell["network"],
        recipe=recipe,
    )


def _defence(training: str, size: Size) -> str:
    """The defence of a training: a name, or the weight of the clean loss."""
    if training == "plain":
        return "plain"
    alpha = "" if training == "adversarial" else f",alpha={training}"
    return f"fused_adversarial(eps={size.eps!r},bounds=(0.0,1.0){alpha})"


def work(cell: Cell, size: Size) -> Mapping[str, grid.Step]:
    """The steps of a cell: accuracy, attacks, or both."""
    kind, corpus, found = cell["kind"], cell["corpus"], {}
    if kind == "curve":
        return curve.steps()
    if kind in ("grid", "resolution", "alpha"):
        found |= {"measure": steps.Measure(), "predictions": steps.Predict()}
    names = {"grid": EARLY, "alpha": OF_ALPHA, "pia": ("PIA",)}.get(kind, ())
    every = scans(size.attacks)
    if kind == "untargeted":
        names, every = UNTARGETED, scans(size.attacks, targeted=False)
    wanted = attacks()
    points = size.num_pia_points if kind == "pia" else size.num_points
    found |= {
        name: steps.ScanBudgets(name, every[name], points[corpus])
        for name in names
        if name in wanted
    }
    if size.curve is None:
        return found
    settings = (corpus, size.networks, size.curve.steps)
    return {name: curve.OfChosenLength(step, *settings) for name, step in found.items()}


STUDY = grid.Study(
    name="adversarial_training",
    cells=cells,
    presets=PRESETS,
    sized=sized,
    task=task,
    steps=work,
    report=tables.report,
    together=("training",),
    costs=COSTS,
)


def main() -> None:
    """Run the cells that the flags choose, then report."""
    grid.run(STUDY, requests.study(STUDY.name), app.environment())
