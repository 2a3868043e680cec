"""Attacks on the support vector machine of a pipeline, in machine.tsv of its cell."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from advjax import evaluation
from advjax.classifier import Classifier
from advjax.models import SurfSvm
from advjax.surf_svm.attacks import evasion, flip_labels
from advjax.surf_svm.fitting import SvmRecipe, fit_machine
from advjax.surf_svm.machine import (
    Machine,
    logits_of_pairs,
    pair_decisions,
    sums_of_pairs,
)
from advjax.training import Dataset
from experiments.lab import cached_rows, trainers
from experiments.lab.grid import Job, Step

FILE = "machine.tsv"
_PLAIN_COST = 1.0  # scikit-learn's default, where no C was chosen


class Evaded(NamedTuple):
    """The answer of a machine to one test clip, without attack and under one.

    Attributes:
        attack: "evasion", "refitted", "label flips" or "random flips".
        strength: the l2 norm as a share of the mean norm of the training set's inputs,
            or the share of flipped labels.
        id: the clip's.
        clean: True where the machine is right without attack.
        after: likewise under the attack.
    """

    attack: str
    strength: float
    id: str
    clean: bool
    after: bool


@dataclasses.dataclass(frozen=True)
class Evade(Step):
    """Attacks on a machine: on its inputs, and on its training labels.

    Evasion perturbs the machine's input of a test clip. No clip may have that input, so
    the result is an upper bound for an attacker of the machine. Flipped labels are of
    training images, where each pitch-shifted copy counts by itself. The control is a
    machine that is fitted again with no label flipped: the same one.

    Attributes:
        norms: of evasion, as shares of the training inputs' mean norm.
        flip_rates: shares of flipped labels.
    """

    norms: Sequence[float]
    flip_rates: Sequence[float]

    def run(self, job: Job) -> None:
        """Write machine.tsv, unless it has the rows of these settings."""
        system = job.resolve()
        classifier, file = system.classifier, job.folder / FILE
        digest = cached_rows.digest_of(
            [classifier.digest(), str(self.norms), str(self.flip_rates)]
        )
        if cached_rows.read(file, Evaded, digest) is not None:
            return
        source = system.data.test
        ids = [str(source[place]["id"]) for place in range(len(source))]
        train, test = (
            system.data.dataset(split, system.stage.name) for split in ("train", "test")
        )
        encoded, test_encoded = (_inputs(classifier, part) for part in (train, test))
        module, params = classifier.module, classifier.variables["params"]
        labels, seen = np.asarray(test.y), _standardised(params, test_encoded)
        clean = _answers(module, params, seen) == labels
        rows = []

        def add(attack: str, strength: float, after) -> None:
            for each in zip(ids, clean.tolist(), after.tolist(), strict=True):
                rows.append(Evaded(attack, strength, *each))

        x, y = _standardised(params, encoded), np.asarray(train.y)
        attack = evasion(benign=x, benign_labels=y, density_weight=1.0, num_steps=40)
        points = [
            evaluation.Point(i, ids[i], inputs, int(labels[i]))
            for i, inputs in enumerate(seen)
        ]
        scale = float(np.linalg.norm(x, axis=1).mean())
        for norm in self.norms:
            attacked = evaluation.attack_points(
                attack, _smooth_logits(module, params), points, jax.random.key(0),
                budgets=[norm * scale] * len(points), num_slots=16,
            )  # fmt: skip
            left = {
                each.row.id: each.row.clean == each.row.label and not each.row.success
                for each in attacked
            }
            add("evasion", norm, np.array([left[id] for id in ids]))
        add("refitted", 0.0, _refitted(module, encoded, y, test_encoded) == labels)
        for rate in self.flip_rates:
            for name, flipped in _flipped_labels(module, x, y, rate).items():
                after = _refitted(module, encoded, flipped, test_encoded)
                add(name, rate, after == labels)
        cached_rows.write(file, rows, digest)


def _inputs(classifier: Classifier, part: Dataset) -> np.ndarray:
    """The machine's inputs for images, before standardisation."""
    images = trainers.images_of(classifier.representation, part)
    apply = functools.partial(
        classifier.module.apply, classifier.variables, method=SurfSvm.encode
    )
    compiled = jax.jit(apply)
    return np.concatenate(
        [compiled(images[i : i + 30]) for i in range(0, len(images), 30)]
    )


def _standardised(params: Any, encoded: np.ndarray) -> np.ndarray:
    return np.float32((encoded - params["mean"]) / params["deviation"])


def _smooth_logits(module: SurfSvm, params):
    """The pipeline's logits, with the gradient of the sums of decisions.

    Evasion needs a smooth margin, and votes have none; the answers are the pipeline's.
    """

    def logits(machine, x):
        decisions = pair_decisions(machine, module.kernel, x)
        sums = sums_of_pairs(decisions, module.num_classes)
        votes = logits_of_pairs(decisions, module.num_classes)
        return sums + jax.lax.stop_gradient(votes - sums)

    machine = Machine(*(params[name] for name in Machine._fields))
    return jax.tree_util.Partial(logits, machine)


def _answers(module: SurfSvm, params, x) -> np.ndarray:
    logits = evaluation.logits_of_batch(_smooth_logits(module, params), x)
    return logits.argmax(axis=1)


def _refitted(module: SurfSvm, encoded, y, test_encoded) -> np.ndarray:
    """The answers of a machine that is fitted to these labels as the pipeline was."""
    params = fit_machine(encoded, y, module, SvmRecipe())
    return _answers(module, params, _standardised(params, test_encoded))


def _flipped_labels(module: SurfSvm, x, y, rate: float) -> dict[str, np.ndarray]:
    cost = _PLAIN_COST if module.cost is None else module.cost
    worst = flip_labels(x, y, rate=rate, kernel=module.kernel, cost=cost)
    chosen = np.random.default_rng(0).permutation(len(y))[: len(worst.flipped)]
    shifts = np.random.default_rng(1).integers(1, module.num_classes, len(chosen))
    random = np.array(y)
    random[chosen] = (random[chosen] + shifts) % module.num_classes
    return {"label flips": worst.y, "random flips": random}
