"""The robust classical pipeline under attack: Esmaeilpour et al. (2019).

  python -m experiments.studies.robust_svm \\
      --esc50_dir=ESC-50 --urbansound8k_dir=UrbanSound8K --out=results

Fits the pipeline (enhancement, SVD, autoencoder, SURF codebook, polynomial SVM) with
both encoders, and beside it AlexNet, GoogLeNet, AlexNet behind the pipeline's
differentiable stages, and a plain SVM on pixels; attacks each of them by itself with
FGSM, BIM-a, BIM-b, JSMA, Carlini-Wagner, NES and PGD, where gradients go through the
pipeline by backward pass approximation (BPDA): an attacker who knows the defence. Asks
every classifier about all others' examples, which is all that the publication measures.
Then evasion of the machines and flipped training labels, the pipeline without each of
its stages, other inputs (STFT, cross-recurrence plots), accuracy certified by
randomized smoothing, and what everything costs.

Writes study.md, attacked.tsv with a line for every attack on every clip, and for each
corpus pgd_CORPUS.png (accuracy over the budget) and stages_CORPUS.png (images behind
each stage). A cell is called corpus/input/classifier; after a kill the same command
goes on inside of the cell it was in. --cells="esc50/dwt/*" runs a part, --share=0/2 and
--share=1/2 share the corpora and inputs among two starts with one --out; a start
afterwards writes the report.

At CPU size (images of 1/12, 16 clips, narrow networks, 200 steps) the default grid
takes about an hour on two cores. At full size, for an accelerator: --preset=publication
"""

import dataclasses
import fnmatch
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import jax

from advjax.runtime import failures
from advjax.training import Recipe
from experiments import app, flags
from experiments.lab import certification, preflight
from experiments.lab.console import say
from experiments.lab.data import spread
from experiments.lab.task import System, Task
from experiments.studies import robust_svm_cells as cells
from experiments.studies import robust_svm_figures, robust_svm_report
from experiments.studies.grid_flags import CORPORA, corpus_folders, parse_share, preset
from experiments.studies.robust_svm_cells import Planned

BUDGETS = (0.003, 0.01, 0.03, 0.1)
"""Of PGD, in units of an image within [0, 1]; the others have EPS."""
EPS = 0.03
SIGMA = 0.1
"""Of the certificates' noise."""
TRANSFERRED = ("fgsm", "bim_a", "bim_b", "jsma", "carlini_wagner")
"""The attacks of the publication, whose examples are handed on."""
STAGES = {
    "surf_svm_no_enhancement": {"boost": None},
    "surf_svm_no_svd": {"energy": 1},
    "surf_svm_no_autoencoder": {"denoise": False},
    "surf_svm_bare": {"boost": None, "energy": 1, "denoise": False},
}
"""The pipeline without a stage, or without all three before SURF."""
INPUTS = ("dwt", "stft", "crp")
SURVEYED = ("alexnet", "googlenet", "plain_svm", "surf_svm")


class Size(NamedTuple):
    """What suits a machine.

    Attributes:
        scale: every side of an image is divided by it.
        networks: AlexNet and GoogLeNet with their options.
        pipeline: options of the pipeline.
        pixels: entries of the image that the plain SVM sees.
        recipe: of networks and autoencoders.
        num_points: clips that are attacked, at most.
        num_slots: of them at once.
        attacks: options of attacks that are not run as their authors do.
        certification: how to certify.
    """

    scale: float
    networks: Mapping[str, str]
    pipeline: Mapping[str, object]
    pixels: int
    recipe: Recipe
    num_points: int
    num_slots: int
    attacks: Mapping[str, str]
    certification: certification.Certification


CPU = Size(
    scale=12,
    networks={
        "alexnet": "alexnet(width=24,resize=None)",
        "googlenet": "googlenet(width=8,resize=64)",
    },
    pipeline={"width": 8, "num_words": 128},
    pixels=512,
    recipe=Recipe(
        num_steps=200,
        batch_size=32,
        schedule="cosine",
        validate_every=25,
        stop_patience=0,
    ),
    num_points=16,
    num_slots=8,
    attacks={
        "jsma": "jsma(pairs=False,gamma=0.005)",
        "carlini_wagner": "carlini_wagner(num_searches=4,num_steps=80,initial_c=1.0)",
        "nes": "nes(max_queries=600)",
    },
    certification=certification.Certification(100, 1_000, radii=(0.05, 0.1, 0.2, 0.3)),
)
# The publication states no size. These are the group's images, the networks as
# published, and the pipeline's defaults.
PUBLICATION = Size(
    scale=1,
    networks={"alexnet": "alexnet", "googlenet": "googlenet"},
    pipeline={"width": 32, "num_words": 1024, "max_points": 1024},
    pixels=2_048,
    recipe=Recipe(num_steps=20_000, batch_size=32, validate_every=200),
    num_points=200,
    num_slots=32,
    attacks={
        "jsma": "jsma(pairs=False,gamma=0.01)",
        "carlini_wagner": "carlini_wagner(num_searches=9,num_steps=1000)",
        "nes": "nes(max_queries=10000)",
    },
    certification=certification.Certification(100, 10_000, radii=(0.05, 0.1, 0.2, 0.3)),
)

flags.declare(
    __name__,
    flags.NUM_STEPS,
    flags.BATCH_SIZE,
    flags.OUT,
    flags.CERTIFY,
    *flags.IMAGE_FLAGS,
    *flags.GRID_FLAGS,
    *flags.RUN_FLAGS,
)


def planned(size: Size) -> dict[str, Planned]:
    """The attacks by name.

    BIM-a stops at the first success and BIM-b takes all of its 10 steps (Ma et al.
    2018). PGD takes 40 steps from one random start.
    """
    return {
        "fgsm": Planned("FGSM", "fgsm", (EPS,)),
        "bim_a": Planned("BIM-a", "bim(num_steps=10,stop='first')", (EPS,)),
        "bim_b": Planned("BIM-b", "bim(num_steps=10,stop='last')", (EPS,)),
        "jsma": Planned("JSMA", size.attacks["jsma"]),
        "carlini_wagner": Planned("C&W", size.attacks["carlini_wagner"]),
        "nes": Planned("NES", size.attacks["nes"], (EPS,)),
        "pgd": Planned("PGD", "pgd(num_steps=40)", BUDGETS),
    }


def attacks_of(victim: str, input: str, size: Size) -> dict[str, Planned]:
    """Those that a cell is attacked with by itself."""
    everything = planned(size)
    if victim in STAGES:
        return {"pgd": everything["pgd"]}
    if input != INPUTS[0]:
        return {name: everything[name] for name in ("fgsm", "bim_b", "pgd")}
    return everything


def victims(size: Size, input: str) -> dict[str, str]:
    """The classifiers of an input by name, the sources of transfer first."""

    def spelled(**options) -> str:
        options = {**size.pipeline, **options}
        return f"surf_svm({','.join(f'{k}={v!r}' for k, v in options.items())})"

    found = {
        **size.networks,
        "plain_svm": (
            "surf_svm(boost=None,energy=1,denoise=False,encoder='pixels',"
            f"num_words={size.pixels})"
        ),
        "surf_svm": spelled(),
        "surf_svm_hard": spelled(encoder="hard"),
        "guarded_alexnet": (
            f"guarded(network={size.networks['alexnet']!r},"
            f"width={size.pipeline['width']})"
        ),
        **{name: spelled(**options) for name, options in STAGES.items()},
    }
    if input == INPUTS[0]:
        return found
    return {name: found[name] for name in SURVEYED}


def task_of(
    corpus: str, input: str, model: str, size: Size, *, home: pathlib.Path,
    corpus_dir: str, fold: int, pitch_shift: str, seed: int,
) -> Task:  # fmt: skip
    """The task of one cell."""
    options = {**CORPORA[corpus], "scale": size.scale}
    spelled = ",".join(f"{name}={value!r}" for name, value in options.items())
    shift = None if pitch_shift == "none" else pitch_shift
    return Task(
        home=home,
        corpus=f"{corpus}(fold={fold},pitch_shift={shift!r})",
        corpus_dir=corpus_dir,
        features=f"{input}({spelled})",
        at="image" if input != "crp" else "cross_recurrence",
        defence="plain",
        model=model,
        recipe=size.recipe,
        sigma=SIGMA,
        seed=seed,
    )


def main() -> None:
    """Run the cells, then report."""
    failures.need("sklearn", "array_record", "importlib_resources")
    size = _chosen_size(preset({"small": CPU, "publication": PUBLICATION}))
    folders, fold = corpus_folders(), _fold()
    home = pathlib.Path(flags.HOME.value)
    out = pathlib.Path(flags.OUT.value or home / "studies/robust_svm")
    index, count = parse_share(flags.SHARE.value)
    grids = [(corpus, input) for corpus in folders for input in INPUTS]
    mine = grids[index::count]
    wanted = {grid: chosen for grid in mine if (chosen := _chosen_victims(size, *grid))}
    if not wanted:
        raise ValueError(
            f"--cells={flags.CELLS.value!r} matches no cell; they are called like "
            "esc50/dwt/surf_svm"
        )
    environment = app.environment()
    for (corpus, input), models in wanted.items():
        tasks = {
            name: task_of(
                corpus, input, model, size, home=home, corpus_dir=folders[corpus],
                fold=fold, pitch_shift=flags.PITCH_SHIFT.value, seed=flags.SEED.value,
            )
            for name, model in models.items()
        }  # fmt: skip
        _run_grid(tasks, corpus, input, size, out, environment)
    if flags.SHARE.value != "0/1":
        say("this share is done; a start without --share writes the report")
        return
    robust_svm_report.write(
        out, planned(size), list(grids), eps=EPS, transferred=TRANSFERRED
    )
    print((out / "study.md").read_text(encoding="utf-8"))


def _fold() -> int:
    if len(flags.FOLDS.value) != 1 or not flags.FOLDS.value[0].strip().isdigit():
        raise ValueError(
            f"--folds={','.join(flags.FOLDS.value)}: this study tests on one fold"
        )
    return int(flags.FOLDS.value[0])


def _chosen_victims(size: Size, corpus: str, input: str) -> dict[str, str]:
    return {
        name: model
        for name, model in victims(size, input).items()
        if fnmatch.fnmatch(f"{corpus}/{input}/{name}", flags.CELLS.value)
    }


def _run_grid(
    tasks: Mapping[str, Task], corpus: str, input: str, size: Size,
    out: pathlib.Path, environment,
) -> None:  # fmt: skip
    """Nothing; what is missing of one corpus and input."""
    where = out / "cells" / corpus / input
    systems: dict[str, System] = {}
    points = None
    for number, (name, task) in enumerate(tasks.items(), start=1):
        say(f"cell {number} of {len(tasks)}: {corpus}/{input}/{name}")
        system = systems[name] = cells.measure(task, where / name, environment)
        if points is None:
            everything = system.test_points(None)
            chosen = spread(len(everything), min(size.num_points, len(everything)))
            points = [everything[i] for i in chosen]
        cells.run_attacks(
            task, attacks_of(name, input, size), points, where / name, environment,
            num_slots=size.num_slots,
        )  # fmt: skip
        if name in ("plain_svm", "surf_svm", "surf_svm_hard") and input == INPUTS[0]:
            cells.evade(
                task, where / name / "machine.tsv",
                norms=(0.05, 0.1, 0.2, 0.4), flip_rates=(0.05, 0.1, 0.2),
            )  # fmt: skip
        # Programs of one classifier serve no other.
        jax.clear_caches()
    sources = {
        name: {
            attack: cells.run_folder(
                where / name, attack, EPS if each.budgets else None
            )
            for attack, each in attacks_of(name, input, size).items()
            if attack in TRANSFERRED
        }
        for name in tasks
        if name not in STAGES
    }
    for name, system in systems.items():
        cells.transfer(system, sources, points, where / name / "transfer.tsv")
    if flags.CERTIFY.value and input == INPUTS[0]:
        for name in ("alexnet", "surf_svm"):
            if name in tasks:
                _certify(
                    tasks[name], size, len(points), where / name / "certified",
                    environment,
                )  # fmt: skip
    if input == INPUTS[0] and "surf_svm" in tasks:
        robust_svm_figures.draw_stages(
            systems["surf_svm"].classifier, points, out / f"stages_{corpus}.png"
        )
    jax.clear_caches()


def _certify(
    task: Task, size: Size, num_points: int, folder: pathlib.Path, environment
) -> None:
    """Certifies a classifier of the same kind that has seen the noise in training."""
    noisy = dataclasses.replace(task, defence="gaussian").draft()
    where = {"num_points": num_points, "workdir": folder}
    preflight.check_certification(noisy, size.certification, **where)
    certification.certify(
        noisy.resolve(), size.certification, environment=environment, **where
    )


def _chosen_size(size: Size) -> Size:
    changes = {"num_steps": flags.NUM_STEPS.value, "batch_size": flags.BATCH_SIZE.value}
    recipe = dataclasses.replace(
        size.recipe, **{name: value for name, value in changes.items() if value}
    )
    return size._replace(
        scale=flags.SCALE.value or size.scale,
        recipe=recipe,
        num_points=flags.NUM_POINTS.value or size.num_points,
    )


if __name__ == "__main__":
    app.run(main)
