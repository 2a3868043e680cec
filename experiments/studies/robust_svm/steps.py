"""Steps of the study of the classical pipeline: transfer, the machine, a figure.

Beside cell.json and a run for each attack, the folder of a classifier has transfer.tsv,
its predictions on others' examples, and machine.tsv, attacks on the machine's inputs.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from advjax import evaluation
from advjax.classifier import Classifier
from advjax.metrics.robustness import attackable
from advjax.models import SurfSvm
from advjax.reports import figures
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS
from advjax.surf_svm.attacks import evasion, flip_labels
from advjax.surf_svm.fitting import SvmRecipe, fit_machine
from advjax.surf_svm.machine import Machine, pair_decisions, sums_of_pairs
from experiments.lab import adversarial_examples, cached_rows, cell_files
from experiments.lab.grid import Job, Step
from experiments.lab.steps import attacked_points
from experiments.lab.task import Task


class Planned(NamedTuple):
    """An attack of the study.

    Attributes:
        title: its name in tables.
        text: a choice from `ATTACKS`.
        budgets: linf norms; none for what looks for the smallest perturbation.
    """

    title: str
    text: str
    budgets: tuple[float, ...] = ()


class Evaded(NamedTuple):
    """The result of an attack on the machine's own input.

    Attributes:
        attack: "evasion", "label flips" or "random flips".
        strength: the l2 norm as a share of the mean norm of the training set's inputs,
            or the share of flipped labels.
        accuracy: before, on the test clips.
        after: under the attack.
    """

    attack: str
    strength: float
    accuracy: float
    after: float


class Moved(NamedTuple):
    """One classifier's answers to an example of another one.

    Attributes:
        source: the cell that the example was made on.
        attack: how.
        id: the clip's.
        label: the clip's.
        clean: the answer to the clip.
        answer: the answer to the example.
    """

    source: str
    attack: str
    id: str
    label: int
    clean: int
    answer: int


def run_name(attack: str, budget: float | None) -> str:
    """The folder of one attack at one budget, within that of its cell."""
    return attack if budget is None else f"{attack}-{budget:g}"


@dataclasses.dataclass(frozen=True)
class Transfer(Step):
    """Predictions of one classifier on the examples of others.

    Attributes:
        victim: the classifier that is asked.
        task: its task.
        num_points: clips that were attacked.
        made: by classifier and attack, the name of the run's folder.
    """

    victim: str
    task: Task
    num_points: int
    made: Mapping[str, Mapping[str, str]]

    def given(self, job: Job) -> Any:
        """The settings of all examples that are there, once the victim is."""
        if not (job.folder.parent / self.victim / cell_files.FILE).exists():
            return None
        found = self._runs(job)
        return {
            source: {name: runs.description(f)["settings"] for name, f in each.items()}
            for source, each in found.items()
        }

    def run(self, job: Job) -> None:
        """Ask about what is there, unless the same is kept already."""
        if (given := self.given(job)) is None:
            return
        system = self.task.resolve()
        points = attacked_points(system, self.num_points)
        asked = [system.classifier.digest(), *(point.id for point in points)]
        for source, each in given.items():
            for name, described in each.items():
                asked += [source, name, json.dumps(described, sort_keys=True)]
        file = job.folder.parent / self.victim / "transfer.tsv"
        digest = cached_rows.digest_of(asked)
        if cached_rows.read(file, Moved, digest) is not None:
            return
        ask = functools.partial(
            evaluation.logits_of_batch, system.logits_fn(), batch_size=16
        )
        clean = ask(np.stack([point.x for point in points])).argmax(axis=1)
        position = {point.id: place for place, point in enumerate(points)}
        rows = []
        for source, each in self._runs(job).items():
            for name, folder in each.items():
                stored = adversarial_examples.examples(folder, position)
                answers = ask(np.stack([stored[p.id] for p in points])).argmax(axis=1)
                rows += [
                    Moved(source, name, p.id, p.label, int(before), int(after))
                    for p, before, after in zip(points, clean, answers, strict=True)
                ]
        if rows:
            cached_rows.write(file, rows, digest)

    def _runs(self, job: Job) -> dict[str, dict[str, pathlib.Path]]:
        """The finished runs of every source of which all are finished."""
        found = {}
        for source, names in self.made.items():
            folder = job.folder.parent / source
            every = {attack: folder / name for attack, name in names.items()}
            if all(read_attacked(run) is not None for run in every.values()):
                found[source] = every
        return found


@dataclasses.dataclass(frozen=True)
class Evade(Step):
    """Attacks on the machine itself: its inputs, and its training labels.

    Evasion moves the machine's input of a test clip, which no clip may have: an upper
    bound for an attacker of the machine. Flipped labels are those of training images,
    pitch-shifted copies each for themselves.

    Attributes:
        norms: of evasion, as shares of the training inputs' mean norm.
        flip_rates: shares of flipped labels.
    """

    norms: Sequence[float]
    flip_rates: Sequence[float]

    def run(self, job: Job) -> None:
        """Write machine.tsv, unless the same is kept already."""
        system = job.resolve()
        norms, flip_rates = self.norms, self.flip_rates
        file = job.folder / "machine.tsv"
        classifier = system.classifier
        asked = [classifier.digest(), str(norms), str(flip_rates)]
        digest = cached_rows.digest_of(asked)
        if cached_rows.read(file, Evaded, digest) is not None:
            return
        train, test = (
            system.data.dataset(split, system.stage.name) for split in ("train", "test")
        )
        seen, unseen = (_encoded(classifier, part.x) for part in (train, test))
        decide = _machine_logits(classifier.module, classifier.variables["params"])
        logits = evaluation.logits_of_batch(decide, unseen)
        right = float((logits.argmax(axis=1) == test.y).mean())
        attack = evasion(
            benign=seen, benign_labels=train.y, density_weight=1.0, num_steps=40
        )
        points = [
            evaluation.Point(i, str(i), x, int(label))
            for i, (x, label) in enumerate(zip(unseen, test.y, strict=True))
        ]
        scale = float(np.linalg.norm(seen, axis=1).mean())
        rows = []
        for share in norms:
            found = evaluation.attack_points(
                attack, decide, points, jax.random.key(0),
                budgets=[share * scale] * len(points), num_slots=16,
            )  # fmt: skip
            left = [
                each.row.clean == each.row.label and not each.row.success
                for each in found
            ]
            rows.append(Evaded("evasion", share, right, float(np.mean(left))))
        for rate in flip_rates:
            for name, y in _flipped(classifier.module, seen, train.y, rate).items():
                after = _refitted_accuracy(classifier, seen, y, unseen, test.y)
                rows.append(Evaded(name, rate, right, after))
        cached_rows.write(file, rows, digest)


def _encoded(classifier: Classifier, x) -> np.ndarray:
    """The machine's inputs, standardised."""
    module: SurfSvm = classifier.module

    def standardised(module, images):
        return jax.vmap(module.standardise)(module.encode(images))

    run = jax.jit(
        lambda images: module.apply(classifier.variables, images, method=standardised)
    )
    return np.concatenate([run(x[i : i + 30]) for i in range(0, len(x), 30)])


def _machine_logits(module: SurfSvm, params):
    """Sums of a machine's decisions, of what it sees: smooth, where votes are not."""

    def logits(machine, x):
        decisions = pair_decisions(machine, module.kernel, x)
        return sums_of_pairs(decisions, module.num_classes)

    machine = Machine(*(params[name] for name in Machine._fields))
    return jax.tree_util.Partial(logits, machine)


def _flipped(module: SurfSvm, x, y, rate: float) -> dict[str, np.ndarray]:
    worst = flip_labels(x, y, rate=rate, kernel=module.kernel, cost=1.0)
    chosen = np.random.default_rng(0).permutation(len(y))[: len(worst.flipped)]
    shifts = np.random.default_rng(1).integers(1, module.num_classes, len(chosen))
    random = np.array(y)
    random[chosen] = (random[chosen] + shifts) % module.num_classes
    return {"label flips": worst.y, "random flips": random}


def _refitted_accuracy(classifier: Classifier, x, y, test_x, test_y) -> float:
    params = fit_machine(x, y, classifier.module, SvmRecipe())
    # `x` was standardised, and the refitted machine standardises it once more.
    seen = np.float32((test_x - params["mean"]) / params["deviation"])
    decide = _machine_logits(classifier.module, params)
    answers = evaluation.logits_of_batch(decide, seen).argmax(axis=1)
    return float((answers == test_y).mean())


class Attacked(NamedTuple):
    """Of one run: which clips could be attacked, and which attacks succeeded.

    Attributes:
        right: by clip, whether it is `attackable`: its clean answer is its label.
        fooled: by clip, whether the attack succeeded.
        size: by clip, the l2 norm of what was added.
    """

    right: np.ndarray
    fooled: np.ndarray
    size: np.ndarray


def read_attacked(folder: pathlib.Path) -> Attacked | None:
    """The result of a run; None while it lacks rows."""
    if not (folder / "run.json").exists() or runs.num_missing(folder):
        return None
    rows = ATTACK_ROWS.read(folder)
    return Attacked(
        np.asarray(attackable(rows.label, rows.clean, rows.target)),
        np.asarray(rows.success),
        np.asarray(rows.l2),
    )


@dataclasses.dataclass(frozen=True)
class DrawStages(Step):
    """A figure of three images as they are, and behind each stage of the pipeline."""

    num_points: int

    def run(self, job: Job) -> None:
        """Draw it into the folder of the study."""
        system = job.resolve()
        classifier, points = system.classifier, attacked_points(system, self.num_points)
        module: SurfSvm = classifier.module
        chosen = [points[i] for i in np.linspace(0, len(points) - 1, 3).astype(int)]
        x = jnp.asarray(np.stack([point.x for point in chosen])[..., 0])
        enhance = module.front._replace(energy=1).reduce
        enhanced = jax.jit(jax.vmap(enhance))(x)
        reduced = jax.jit(jax.vmap(module.front.reduce))(x)
        purify = functools.partial(module.apply, method=SurfSvm.purify)
        purified = jax.jit(purify)(classifier.variables, x)
        images = np.stack([x, enhanced, reduced, purified], axis=1)
        titles = ["image", "enhanced", f"{module.energy:.0%} of the energy", "denoised"]
        figures.image_grid_plot(
            np.asarray(images),
            job.out / f"stages_{job.cell['corpus']}.png",
            row_labels=[classifier.labels[point.label] for point in chosen],
            titles=[titles] * len(chosen),
            units="level within [0, 1]",
            title="Behind each stage of the pipeline",
        )
