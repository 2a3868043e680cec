"""Adversarially trained audio classifiers: the tables of Sallo et al. (2020).

  python -m experiments.studies.adversarial_training \\
      --esc50_dir=ESC-50 --urbansound8k_dir=UrbanSound8K --out=results

The grid {corpus} x {representation} x {network} x {plain, adversarial} x {six attacks}:
trains every network plainly and on a clean + FGSM loss, finds what perturbation each
attack needs to fool it, and writes study.md with the publication's three tables (and
the range of its own entries beside ours), success.png, and needed.tsv with a line for
every attack on every clip. A cell is called
corpus/representation/network/fold/training; after a kill the same command goes on
inside of the cell it was in. --cells="esc50/*/plain" runs a part of the grid.
--share=0/4 to --share=3/4 share it among four starts with one --out, on one host or on
several that see it; a start afterwards writes the report.

At CPU size (images of 1/14, narrow networks, three networks, two representations, one
fold) the default grid takes about three hours on two cores. The whole grid of the
publication at full size, for an accelerator:

  python -m experiments.studies.adversarial_training --preset=publication \\
      --esc50_dir=ESC-50 --urbansound8k_dir=UrbanSound8K
"""

import dataclasses
import fnmatch
import itertools
import json
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from advjax import catalog, evaluation
from advjax.models import MODELS
from advjax.representations import FRONT_ENDS
from advjax.runtime.atomic import new_file
from advjax.runtime.progress import duration
from advjax.training import Recipe
from experiments import app, flags
from experiments.lab.budget_scan import Scan, scan_budgets
from experiments.lab.console import say
from experiments.lab.data import spread
from experiments.lab.task import Task
from experiments.studies import adversarial_tables
from experiments.studies.grid_flags import CORPORA, corpus_folders, parse_share, preset

TRAININGS = ("plain", "adversarial")
REPRESENTATIONS = ("stft", "dwt", "stft_tonnetz", "dwt_tonnetz")
EPS = 0.03
"""linf norm of adversarial training, of images in [0, 1]."""
NETWORKS = ("googlenet", "alexnet", "resnet18", "resnet34", "resnet56", "vgg16")


class Size(NamedTuple):
    """What suits a machine.

    Attributes:
        scale: every side of an image is divided by it.
        representations: those of the grid.
        networks: the options of each network.
        recipe: of every training.
        num_points: clips that are attacked in a cell, at most.
        attacks: the options of attacks that are not run as their authors do.
    """

    scale: float
    representations: tuple[str, ...]
    networks: Mapping[str, str]
    recipe: Recipe
    num_points: int
    attacks: Mapping[str, str]


CPU = Size(
    scale=14,
    representations=("stft", "dwt_tonnetz"),
    networks={
        "alexnet": "alexnet(width=24,resize=None)",
        "resnet18": "resnet18(width=8,resize=None)",
        "resnet56": "resnet56(width=8,resize=32)",
    },
    recipe=Recipe(
        num_steps=300,
        batch_size=32,
        schedule="cosine",
        validate_every=30,
        stop_patience=0,
    ),
    num_points=20,
    attacks={
        "JSMA": "jsma(pairs=False,gamma=0.02)",
        # Networks trained for minutes are seldom sure enough for a loss of 0.2.
        "PIA": "partial_information(max_queries=3000,adv_thresh=1.0)",
        # Three searches reach from 0.25 to 100 times the first constant.
        "C&W": "carlini_wagner(num_searches=3,num_steps=200,initial_c=1.0)",
    },
)
# Adam at 1e-3 and early stopping after 20 validations: readings of ours, since the
# publication gives no recipe. Pairs of all of JSMA's 2 million entries cannot be
# scored, so single entries are taken.
PUBLICATION = Size(
    scale=1,
    representations=REPRESENTATIONS,
    networks={name: name for name in NETWORKS},
    recipe=Recipe(num_steps=20_000, batch_size=32, validate_every=200),
    num_points=200,
    attacks={
        "JSMA": "jsma(pairs=False,gamma=0.1,max_steps=20000)",
        "PIA": "partial_information(max_queries=100000)",
        "C&W": "carlini_wagner(num_searches=9,num_steps=1000)",
    },
)


def scans(attacks: Mapping[str, str]) -> dict[str, Scan]:
    """The publication's six attacks, by their names there, and how they are scanned.

    Budgets of the sign attacks rise by a factor of the square root of 2 from 2^-14 of
    the range of an image. Those of the partial-information attack begin at the 0.05
    that its authors aim at.
    """
    rising = tuple(2.0 ** (step / 2) for step in range(-28, 0))
    return {
        "FGSM": Scan("fgsm", rising),
        "BIM": Scan("bim", rising),
        "JSMA": Scan(attacks.get("JSMA", "jsma")),
        "DeepFool": Scan("deepfool"),
        "PIA": Scan(
            attacks.get("PIA", "partial_information"), (0.05, 0.1, 0.2, 0.4, 0.8)
        ),
        "C&W": Scan(attacks.get("C&W", "carlini_wagner")),
    }


flags.declare(
    __name__,
    flags.NUM_STEPS,
    flags.BATCH_SIZE,
    flags.OUT,
    flags.REPRESENTATION,
    flags.NETWORK,
    flags.ATTACKS,
    flags.EPS,
    *flags.IMAGE_FLAGS,
    *flags.GRID_FLAGS,
    *flags.RUN_FLAGS,
)


_OF_THE_START = ("seconds", "environment")


class Cell(NamedTuple):
    """One classifier of the grid."""

    corpus: str
    representation: str
    network: str
    fold: int
    training: str

    @property
    def path(self) -> str:
        """The cell's name, which is also where its results lie."""
        name, _ = catalog.parse(self.network)
        return "/".join(
            [self.corpus, self.representation, name, f"fold{self.fold}", self.training]
        )


def cells(size: Size, folders: Mapping[str, str], folds: list[int]) -> Iterator[Cell]:
    """Every cell of the grid, a network's two trainings one after the other."""
    grid = itertools.product(
        folds, folders, size.representations, size.networks.values(), TRAININGS
    )
    for fold, corpus, representation, network, training in grid:
        yield Cell(corpus, representation, network, fold, training)


def task_of(
    cell: Cell, size: Size, *, home: pathlib.Path, corpus_dir: str, eps: float,
    pitch_shift: str, seed: int,
) -> Task:  # fmt: skip
    """The cell's task."""
    of_corpus = CORPORA[cell.corpus]
    options = {**of_corpus, "scale": size.scale}
    spelled = ",".join(f"{name}={value!r}" for name, value in options.items())
    features = f"{cell.representation}({spelled})"
    shift = None if pitch_shift == "none" else pitch_shift
    defence = f"fused_adversarial(eps={eps!r},bounds=(0.0,1.0))"
    return Task(
        home=home,
        corpus=f"{cell.corpus}(fold={cell.fold},pitch_shift={shift!r})",
        corpus_dir=corpus_dir,
        features=features,
        at=catalog.pick(features, FRONT_ENDS).name,
        defence="plain" if cell.training == "plain" else defence,
        model=cell.network,
        recipe=size.recipe,
        seed=seed,
    )


def run_cell(
    cell: Cell, task: Task, wanted: Mapping[str, Scan], folder: pathlib.Path,
    *, num_points: int, environment: Mapping[str, Any],
) -> None:  # fmt: skip
    """Nothing; trains, measures and attacks what `folder` lacks of the cell."""
    start = time.perf_counter()
    system = task.resolve()
    every = system.test_points(None)
    logits = evaluation.logits_of_batch(
        system.logits_fn(), np.stack([point.x for point in every])
    )
    right = logits.argmax(axis=1) == np.asarray([point.label for point in every])
    known = np.flatnonzero(right)
    places = spread(len(known), min(num_points, len(known)))
    chosen = [every[i] for i in known[places]]
    folder.mkdir(parents=True, exist_ok=True)
    for name, scan in wanted.items():
        if chosen:
            say(f"{cell.path}: {name} on {len(chosen)} clips")
            scan_budgets(
                task, scan, chosen, folder / name, num_slots=8, environment=environment
            )
    told = {
        **cell._asdict(),
        "accuracy": float(right.mean()),
        "num_test": len(every),
        "num_attacked": len(chosen),
        "num_entries": int(every[0].x.size),
        "num_parameters": system.classifier.num_parameters(),
        "seconds": time.perf_counter() - start,
        "environment": environment,
    }
    _tell(told, folder / "cell.json")


def _tell(told: dict[str, Any], file: pathlib.Path) -> None:
    """Nothing; writes `told` unless an earlier start has found the same.

    Its time and its versions are those of the work; this one's only those of looking.
    """
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if {**told, **{name: before.get(name) for name in _OF_THE_START}} != before:
        with new_file(file) as aside:
            aside.write_text(json.dumps(told, indent=2), encoding="utf-8")


def main() -> None:
    """Run the cells, then report."""
    size = _chosen_size(preset({"small": CPU, "publication": PUBLICATION}))
    folders, wanted = corpus_folders(), _wanted(size)
    chosen = _chosen_cells(size, folders)
    out = pathlib.Path(
        flags.OUT.value
        or pathlib.Path(flags.HOME.value) / "studies/adversarial_training"
    )
    eps = flags.value_or(flags.EPS, EPS)
    begun, environment = time.perf_counter(), app.environment()
    for number, cell in enumerate(chosen, start=1):
        passed = time.perf_counter() - begun
        left = passed / max(number - 1, 1) * (len(chosen) - number + 1)
        ahead = f", about {duration(left)} left" if number > 1 else ""
        say(f"cell {number} of {len(chosen)}: {cell.path}{ahead}")
        task = task_of(
            cell,
            size,
            home=pathlib.Path(flags.HOME.value),
            corpus_dir=folders[cell.corpus],
            eps=eps,
            pitch_shift=flags.PITCH_SHIFT.value,
            seed=flags.SEED.value,
        )
        run_cell(
            cell, task, wanted, out / "cells" / cell.path,
            num_points=size.num_points, environment=environment,
        )  # fmt: skip
        adversarial_tables.write_report(out, eps=eps)
        # Half a gigabyte of programs that no other cell can use.
        jax.clear_caches()
    print((out / "study.md").read_text(encoding="utf-8"))


def _wanted(size: Size) -> dict[str, Scan]:
    """The attacks that --attacks names."""
    found = scans(size.attacks)
    if unknown := set(flags.ATTACKS.value or ()) - set(found):
        raise ValueError(
            f"--attacks: no {', '.join(sorted(unknown))}; there are: {', '.join(found)}"
        )
    return {name: found[name] for name in flags.ATTACKS.value or found}


def _chosen_cells(size: Size, folders: Mapping[str, str]) -> list[Cell]:
    """The cells of this start, which --folds, --share and --cells choose."""
    everything = list(cells(size, folders, [_fold(text) for text in flags.FOLDS.value]))
    chosen = [
        cell
        for cell in _shared(everything, flags.SHARE.value)
        if fnmatch.fnmatch(cell.path, flags.CELLS.value)
    ]
    if not chosen:
        raise ValueError(
            f"--cells={flags.CELLS.value!r} matches no cell; they are called like "
            "esc50/stft/resnet18/fold1/plain"
        )
    return chosen


def _chosen_size(size: Size) -> Size:
    """The machine's size with what the flags change."""
    steps, batch = flags.NUM_STEPS.value, flags.BATCH_SIZE.value
    changes = {"num_steps": steps, "batch_size": batch}
    recipe = dataclasses.replace(
        size.recipe, **{name: value for name, value in changes.items() if value}
    )
    networks = size.networks
    if flags.NETWORK.value:
        networks = {catalog.parse(text)[0]: text for text in flags.NETWORK.value}
        for text in networks.values():
            catalog.pick(text, MODELS, num_classes=2)  # a wrong one fails here
        if len(networks) < len(flags.NETWORK.value):
            raise ValueError(
                "--network: a network twice, with other options, would be two cells of "
                "one name; give each start an --out of its own"
            )
    for name in flags.REPRESENTATION.value or ():
        if name not in REPRESENTATIONS:
            raise ValueError(
                f"--representation: no {name!r}; there are: "
                f"{', '.join(REPRESENTATIONS)}"
            )
    return size._replace(
        scale=flags.SCALE.value or size.scale,
        representations=tuple(flags.REPRESENTATION.value or size.representations),
        networks=networks,
        recipe=recipe,
        num_points=flags.NUM_POINTS.value or size.num_points,
    )


def _shared(everything: list[Cell], text: str) -> list[Cell]:
    """The cells of one share; a network's two trainings stay together."""
    index, count = parse_share(text)
    return [
        cell
        for number, cell in enumerate(everything)
        if number // len(TRAININGS) % count == index
    ]


def _fold(text: str) -> int:
    if not text.strip().isdigit():
        raise ValueError(f"--folds: {text!r} is no number of a fold")
    return int(text)


if __name__ == "__main__":
    app.run(main)
