"""What the study of the classical pipeline does with one classifier.

A cell is a folder: cell.json (accuracy and cost), a run for each attack, and lines on
the attacks that work on what the machine sees.
"""

import functools
import json
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from advjax import evaluation
from advjax.classifier import Classifier
from advjax.metrics.robustness import attackable
from advjax.models import SurfSvm
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS
from advjax.runtime.atomic import new_file
from advjax.surf_svm.attacks import evasion, flip_labels
from advjax.surf_svm.fitting import SvmRecipe, fit_machine
from advjax.surf_svm.machine import Machine, pair_decisions, sums_of_pairs
from experiments.lab import adversarial_examples, attack, cached_rows
from experiments.lab.task import System, Task


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
    """What an attack on the machine's own input came to.

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


def measure(task: Task, folder: pathlib.Path, environment) -> System:
    """The task's system; writes cell.json: accuracy on all test clips, and costs."""
    file = folder / "cell.json"
    begun, system = time.perf_counter(), task.resolve()
    classifier = system.classifier
    fit_seconds = None if system.found else round(time.perf_counter() - begun, 1)
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if before.get("classifier") == classifier.digest():
        return system
    points = system.test_points(None)
    x = np.stack([point.x for point in points])
    y = np.asarray([point.label for point in points])
    answers = functools.partial(
        evaluation.logits_of_batch, system.logits_fn(), x, batch_size=16
    )
    right = answers().argmax(axis=1) == y
    times = []
    for _ in range(5):
        start = time.perf_counter()
        answers()
        times.append((time.perf_counter() - start) / len(x))
    told = {
        "classifier": classifier.digest(),
        "model": str(classifier.module),
        "accuracy": float(right.mean()),
        "num_test": len(y),
        "fit_seconds": fit_seconds,
        "ms_a_clip": round(float(np.median(times)) * 1e3, 3),
        "num_parameters": classifier.num_parameters(),
        "environment": environment,
    }
    folder.mkdir(parents=True, exist_ok=True)
    with new_file(file) as aside:
        aside.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return system


def run_attacks(
    system: System,
    planned: Mapping[str, Planned],
    points: Sequence[evaluation.Point],
    folder: pathlib.Path,
    environment: Mapping[str, Any],
    *,
    num_slots: int,
) -> None:
    """Nothing; runs what `folder` lacks of the attacks, each at each of its budgets."""
    for name, each in planned.items():
        built = attack.build(system, each.text)
        for budget in each.budgets or (None,):
            prepared = attack.prepare(
                system,
                attack.AttackRequest(
                    each.text,
                    None if budget is None else f"{budget:g}",
                    num_slots=num_slots,
                ),  # fmt: skip
                points,
                workdir=run_folder(folder, name, budget),
                environment=environment,
                built=built,
            )
            attack.run(prepared)


def run_folder(folder: pathlib.Path, name: str, budget: float | None) -> pathlib.Path:
    """Of one attack at one budget."""
    return folder / (name if budget is None else f"{name}-{budget:g}")


def transfer(
    system: System,
    sources: Mapping[str, Mapping[str, pathlib.Path]],
    points: Sequence[evaluation.Point],
    file: pathlib.Path,
) -> None:
    """Nothing; asks the task's classifier about the examples of others.

    Args:
        system: whose classifier answers.
        sources: by cell and attack, the folder of the run.
        points: those that were attacked, in the runs' order.
        file: where the answers are kept.
    """
    asked = [system.classifier.digest(), *(point.id for point in points)]
    for source, found in sources.items():
        for name, folder in found.items():
            described = runs.description(folder)["settings"]
            asked += [source, name, json.dumps(described, sort_keys=True)]
    digest = cached_rows.digest_of(asked)
    if cached_rows.read(file, Moved, digest) is not None:
        return
    ask = functools.partial(
        evaluation.logits_of_batch, system.logits_fn(), batch_size=16
    )
    clean = ask(np.stack([point.x for point in points])).argmax(axis=1)
    position = {point.id: place for place, point in enumerate(points)}
    rows = []
    for source, found in sources.items():
        for name, folder in found.items():
            stored = adversarial_examples.examples(folder, position)
            answers = ask(np.stack([stored[p.id] for p in points])).argmax(axis=1)
            rows += [
                Moved(source, name, p.id, p.label, int(before), int(after))
                for p, before, after in zip(points, clean, answers, strict=True)
            ]
    cached_rows.write(file, rows, digest)


def evade(
    system: System,
    file: pathlib.Path,
    *,
    norms: Sequence[float],
    flip_rates: Sequence[float],
) -> None:
    """Nothing; attacks the machine itself: its inputs, and its training labels.

    Evasion moves what the machine sees of a test clip, which no clip may have: an upper
    bound of what an attacker of the machine can do. Flipped labels are those of
    training images, pitch-shifted copies each for themselves.

    Args:
        system: whose classifier has a machine.
        file: where the lines are kept.
        norms: of evasion, as shares of the training inputs' mean norm.
        flip_rates: shares of flipped labels.
    """
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
            each.row.clean == each.row.label and not each.row.success for each in found
        ]
        rows.append(Evaded("evasion", share, right, float(np.mean(left))))
    for rate in flip_rates:
        for name, y in _flipped(classifier.module, seen, train.y, rate).items():
            after = _refitted_accuracy(classifier, seen, y, unseen, test.y)
            rows.append(Evaded(name, rate, right, after))
    cached_rows.write(file, rows, digest)


def _encoded(classifier: Classifier, x) -> np.ndarray:
    """What the machine sees, standardised."""
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
    """What a run found; None while it lacks rows."""
    if not (folder / "run.json").exists() or runs.num_missing(folder):
        return None
    rows = ATTACK_ROWS.read(folder)
    return Attacked(
        np.asarray(attackable(rows.label, rows.clean, rows.target)),
        np.asarray(rows.success),
        np.asarray(rows.l2),
    )
