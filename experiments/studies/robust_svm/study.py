"""The robust classical pipeline under attack: Esmaeilpour et al. (2019).

  python -m experiments.studies.robust_svm \\
      --esc50_dir=ESC-50 --urbansound8k_dir=UrbanSound8K --out=results

Chooses the settings of the pipeline (enhancement, SVD, autoencoder, SURF codebook,
polynomial SVM) on validation clips with every stage in place, in the cells
`selection/*`. Then fits it, with the chosen and with the other encoder, and beside it
AlexNet, GoogLeNet, AlexNet behind the pipeline's differentiable stages, and a plain SVM
on pixels. All folds with every class are tested in turn, and their clips are pooled.

FGSM, BIM-a, BIM-b, JSMA, Carlini-Wagner, NES and PGD with restarts attack each
classifier. Their gradients go through the pipeline by backward pass approximation
(BPDA): the attacker knows the defence. The cells `*/transfer` give examples made on one
classifier to every other; the publication measures this alone. Other steps attack the
SVMs by evasion and flipped training labels, leave out stages of the pipeline, take
other inputs (STFT, cross-recurrence plots), certify by randomized smoothing, and
measure costs.

study.md judges the claims of the publication, with intervals over recordings.
attacked.tsv has a line for every attack on every clip. Each corpus has figures of
accuracy over the budget, under transferred and under adaptive attacks, of clips and
their adversarial twins, and of the images behind each stage.

--preset=small (images of 1/12, 60 clips a row, narrow networks, 200 steps) takes about
five hours on 2 cores as two starts, --share=0/2 (ESC-10) and --share=1/2
(UrbanSound8K). A start that is killed continues when it is given again.
--preset=publication has the full size.
"""

from collections.abc import Mapping

from experiments import app, flags, requests
from experiments.lab import grid, steps
from experiments.lab.cells import Cell
from experiments.lab.certify_settings import Certification
from experiments.lab.task import Task
from experiments.studies import image_corpora
from experiments.studies.robust_svm import report, selection, victims
from experiments.studies.robust_svm.costs import COSTS
from experiments.studies.robust_svm.machine import Evade
from experiments.studies.robust_svm.selection import Choice, Chosen
from experiments.studies.robust_svm.sizes import PRESETS, Size, sized
from experiments.studies.robust_svm.steps import DrawStages, DrawTwins, Transfer
from experiments.studies.robust_svm.victims import EPS, INPUTS, run_name

SIGMA = 0.1
"""Standard deviation of the certificates' noise."""
FLAGS = (
    *(flags.NUM_STEPS, flags.BATCH_SIZE, flags.OUT, flags.CERTIFY),
    flags.NUM_POINTS,
    *flags.IMAGE_FLAGS,
    *flags.GRID_FLAGS,
    *flags.RUN_FLAGS,
)


def corpora() -> list[str]:
    """The corpora at hand: ESC-10, UrbanSound8K, and ESC-50 where it is whole."""
    given = image_corpora.folders()
    found = ["esc10"] if "esc50" in given else []
    found += ["urbansound8k"] if "urbansound8k" in given else []
    if "esc50" in given:
        most = image_corpora.NUM_CLASSES["esc50"]
        found += ["esc50"] * (image_corpora.num_classes_at_hand("esc50") == most)
    return found


def folds_of(corpus: str) -> tuple[int, ...]:
    """The folds of a corpus that the study tests on, in turn.

    Raises:
        ValueError: fewer than three folds are at hand, or --folds names another one.
    """
    every = image_corpora.whole_folds(corpus)
    title, least = image_corpora.TITLES[corpus], image_corpora.LEAST_CLIPS
    if len(every) < 3:
        raise ValueError(
            f"{title} has {len(every)} folds with {least} clips of each class at hand, "
            "and three are needed: to train, to validate and to test"
        )
    if unknown := [fold for fold in image_corpora.fold_numbers() if fold not in every]:
        raise ValueError(
            f"--folds: {title} has no fold {unknown[0]} with {least} clips of each "
            f"class; there are {', '.join(map(str, every))}"
        )
    return tuple(every)


def tested_folds(corpus: str) -> list[int]:
    """The folds that --folds names, or all."""
    return image_corpora.fold_numbers() or list(folds_of(corpus))


def cells(size: Size) -> list[Cell]:
    """The selection, the classifiers of each corpus, fold and input, their transfer.

    In the order of their worth: a run that is cut short has whole tables.
    """
    known = {corpus: folds_of(corpus) for corpus in corpora()}
    found = [
        cell
        for corpus, folds in known.items()
        for cell in selection.cells(corpus, folds)
    ]
    for input in INPUTS:
        first = input == INPUTS[0]
        transfers = victims.TRANSFERS if first else ["transfer"]
        names = (*victims.victims(size, input), *transfers)
        if not flags.CERTIFY.value:
            names = tuple(name for name in names if name not in victims.SMOOTHED)
        found += [
            Cell(
                f"{corpus}/fold{fold}/{input}/{name}",
                (
                    *(("corpus", corpus), ("fold", fold)),
                    *(("input", input), ("classifier", name)),
                ),
            )
            for name in sorted(names, key=victims.ORDER.index)
            for corpus in known
            for fold in tested_folds(corpus)
        ]
    return found


def is_selection(cell: Cell) -> bool:
    """True for a cell that validates candidates."""
    return "pair" in dict(cell.values)


def task(cell: Cell, size: Size) -> Task | None:
    """The classifier of a cell, without what is chosen for it."""
    if is_selection(cell):
        first, second = cell["pair"]
        return _task(cell["corpus"], INPUTS[0], first, second, victims.base(size), size)
    victim = victims.victims(size, cell["input"]).get(cell["classifier"])
    return None if victim is None else _victim_task(cell, victim, size)


def _victim_task(cell: Cell, victim: victims.Victim, size: Size) -> Task:
    folds, fold = folds_of(cell["corpus"]), cell["fold"]
    # The fold behind it validates, and the last one's is the first.
    behind = folds[(folds.index(fold) + 1) % len(folds)]
    return _task(
        cell["corpus"], cell["input"], fold, behind, victim.model, size,
        defence=victim.defence,
    )  # fmt: skip


def _task(
    corpus: str, input: str, fold: int, behind: int, model: str, size: Size,
    defence: str = "plain",
) -> Task:  # fmt: skip
    return image_corpora.task(
        corpus,
        input,
        fold=f"fold{fold}",
        options=f"validation_fold={behind},",
        scale=size.scale,
        defence=defence,
        model=model,
        recipe=size.recipe,
        sigma=SIGMA,
    )


def _choice(cell: Cell, victim: victims.Victim, size: Size) -> Choice | None:
    """The choice of a classifier's setting; None if it has none."""
    if not victim.encoders:
        return None
    return Choice(
        corpus=cell["corpus"],
        fold=cell["fold"],
        folds=folds_of(cell["corpus"]),
        encoders=victim.encoders,
        others=victim.others,
        only=victim.only,
        changes=victim.changes,
        num_candidates=size.candidates.count,
    )


def num_attacked(corpus: str, size: Size) -> int:
    """The clips of each fold that are attacked."""
    return -(-size.num_points // len(folds_of(corpus)))


def work(cell: Cell, size: Size) -> dict[str, grid.Step]:
    """Validation; or accuracy, attacks, the machine, a certificate; or the transfer."""
    if is_selection(cell):
        return selection.steps(
            victims.base(size), victims.pixels(size), size.candidates
        )
    input, name = cell["input"], cell["classifier"]
    every = victims.victims(size, input)
    if name in victims.TRANSFERS:
        asked = {each: every[each] for each in victims.TRANSFERS[name]}
        return _transfers(cell, asked, size)
    choice, found = _choice(cell, every[name], size), _steps(cell, size)
    if choice is None:
        return found
    return {key: Chosen(step, choice) for key, step in found.items()}


def _transfers(
    cell: Cell, asked: Mapping[str, victims.Victim], size: Size
) -> dict[str, grid.Step]:
    input = cell["input"]
    made = {
        source: tuple(
            run_name(name, budget)
            for name, each in victims.attacks_of(source, input, size).items()
            if name in victims.TRANSFERRED
            for budget in each.budgets or (None,)
        )
        for source in (victims.SURVEYED if input == INPUTS[0] else victims.NETWORKS)
    }
    return {
        name: Transfer(
            name, _victim_task(cell, victim, size), _choice(cell, victim, size),
            num_attacked(cell["corpus"], size), made,
        )
        for name, victim in asked.items()
    }  # fmt: skip


def _steps(cell: Cell, size: Size) -> dict[str, grid.Step]:
    corpus, input, name = cell["corpus"], cell["input"], cell["classifier"]
    count, first = num_attacked(corpus, size), tested_folds(corpus)[0]
    if name in victims.SMOOTHED:
        request = Certification(100, size.num_estimation, radii=(0.05, 0.1, 0.2, 0.3))
        return {"certified": steps.Certify(request, count, within="certified")}
    found: dict[str, grid.Step] = {
        "measure": steps.Measure(),
        "predict": steps.Predict(),
    }
    for attack, each in victims.attacks_of(name, input, size).items():
        found[attack] = steps.Attack(
            each.text,
            {run_name(attack, b): b and f"{b:g}" for b in each.budgets or (None,)},
            count,
            num_slots=size.num_slots,
            keep_examples=attack in (*victims.TRANSFERRED, "pgd"),
        )
    if input == INPUTS[0] and name in victims.MACHINES:
        found["machine"] = Evade((0.05, 0.1, 0.2, 0.4), (0.05, 0.1, 0.2))
    if input == INPUTS[0] and name == "surf_svm" and cell["fold"] == first:
        found["stages"] = DrawStages(count)
        runs = {
            "AlexNet": f"alexnet/{run_name('bim_b', EPS)}",
            "pipeline": f"surf_svm/{run_name('pgd', EPS)}",
        }
        found["twins"] = DrawTwins(runs, count)
    return found


STUDY = grid.Study(
    name="robust_svm",
    cells=cells,
    presets=PRESETS,
    sized=sized,
    task=task,
    steps=work,
    report=report.report,
    # A start has a corpus of its own, as cells read those before them.
    together=("pair", "fold", "input", "classifier"),
    costs=COSTS,
)


def main() -> None:
    """Run the cells that the flags choose, then report."""
    grid.run(STUDY, requests.study(STUDY.name), app.environment())
