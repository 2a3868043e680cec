"""The robust classical pipeline under attack: Esmaeilpour et al. (2019).

  python -m experiments.studies.robust_svm \\
      --esc50_dir=ESC-50 --urbansound8k_dir=UrbanSound8K --out=results

Fits the pipeline (enhancement, SVD, autoencoder, SURF codebook, polynomial SVM) with
both encoders, and beside it AlexNet, GoogLeNet, AlexNet behind the pipeline's
differentiable stages, and a plain SVM on pixels. FGSM, BIM-a, BIM-b, JSMA,
Carlini-Wagner, NES and PGD attack each classifier. Their gradients go through the
pipeline by backward pass approximation (BPDA): the attacker knows the defence.

The cells `*/transfer` give all examples to every classifier; the publication measures
this alone. Other steps attack the SVMs by evasion and flipped training labels, leave
out stages of the pipeline, take other inputs (STFT, cross-recurrence plots), certify by
randomized smoothing, and measure costs.

study.md has the tables, attacked.tsv a line for every attack on every clip. Each corpus
has pgd_CORPUS.png (accuracy over the budget) and stages_CORPUS.png.

--preset=small (images of 1/12, 16 clips, narrow networks, 200 steps) takes about an
hour on 2 cores. Expect PGD to fool the pipeline on most of the clips that it predicts
correctly, and examples made on the networks to fool it on one in eight.
--preset=publication has the full size.
"""

from experiments import app, flags, requests
from experiments.lab import cell_files, grid, steps
from experiments.lab.cells import Cell, product
from experiments.lab.certify_settings import Certification
from experiments.lab.task import Task
from experiments.studies import image_corpora
from experiments.studies.robust_svm import tables
from experiments.studies.robust_svm.machine import Evade
from experiments.studies.robust_svm.sizes import PRESETS, Size, sized
from experiments.studies.robust_svm.steps import DrawStages, Transfer
from experiments.studies.robust_svm.victims import (
    EPS,
    INPUTS,
    STAGES,
    TRANSFERRED,
    attacks_of,
    run_name,
    victims,
)

SIGMA = 0.1
"""Standard deviation of the certificates' noise."""
FLAGS = (
    *(flags.NUM_STEPS, flags.BATCH_SIZE, flags.OUT, flags.CERTIFY),
    flags.NUM_POINTS,
    *flags.IMAGE_FLAGS,
    *flags.GRID_FLAGS,
    *flags.RUN_FLAGS,
)


def cells(size: Size) -> list[Cell]:
    """The classifiers of each corpus and input, and then their transfer."""
    return [
        cell
        for corpus in image_corpora.folders()
        for input in INPUTS
        for cell in product(
            corpus=[corpus],
            input=[input],
            classifier=[*victims(size, input), "transfer"],
        )
    ]


def task(cell: Cell, size: Size) -> Task | None:
    """The classifier of a cell."""
    model = victims(size, cell["input"]).get(cell["classifier"])
    return None if model is None else _task(cell, model, size)


def _task(cell: Cell, model: str, size: Size) -> Task:
    (fold,) = image_corpora.fold_names()
    return image_corpora.task(
        cell["corpus"],
        cell["input"],
        fold=fold,
        scale=size.scale,
        defence="plain",
        model=model,
        recipe=size.recipe,
        sigma=SIGMA,
    )


def work(cell: Cell, size: Size) -> dict[str, grid.Step]:
    """Accuracy, attacks, the machine, a certificate; or the transfer of examples."""
    _, input, victim = cell.path.split("/")
    main = input == INPUTS[0]
    if victim == "transfer":
        every = victims(size, input)
        made = {
            source: {
                name: run_name(name, EPS if each.budgets else None)
                for name, each in attacks_of(source, input, size).items()
                if name in TRANSFERRED
            }
            for source in every
            if source not in STAGES
        }
        return {
            name: Transfer(name, _task(cell, model, size), size.num_points, made)
            for name, model in every.items()
        }
    found: dict[str, grid.Step] = {"measure": steps.Measure()}
    for name, each in attacks_of(victim, input, size).items():
        found[name] = steps.Attack(
            each.text,
            {run_name(name, b): b and f"{b:g}" for b in each.budgets or (None,)},
            size.num_points,
            num_slots=size.num_slots,
            keep_examples=True,
        )
    if main and victim in ("plain_svm", "surf_svm", "surf_svm_hard"):
        found["machine"] = Evade((0.05, 0.1, 0.2, 0.4), (0.05, 0.1, 0.2))
    if main and victim in ("alexnet", "surf_svm") and flags.CERTIFY.value:
        request = Certification(100, size.num_estimation, radii=(0.05, 0.1, 0.2, 0.3))
        found["certified"] = steps.Certify(
            request, size.num_points, within="certified", defence="gaussian"
        )
    if main and victim == "surf_svm":
        found["stages"] = DrawStages(size.num_points)
    return found


STUDY = grid.Study(
    name="robust_svm",
    cells=cells,
    presets=PRESETS,
    sized=sized,
    task=task,
    steps=work,
    report=tables.report,
    together=("classifier",),
    complete=cell_files.has_accuracy,
    costs={"small": grid.Cost(90, "2 cores of an AMD EPYC")},
)


def main() -> None:
    """Run the cells that the flags choose, then report."""
    grid.run(STUDY, requests.study(STUDY.name), app.environment())
