"""Attacks on the support vector machine of a pipeline, in machine.tsv of its cell."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from advjax import evaluation
from advjax.classifier import Classifier
from advjax.models import SurfSvm
from advjax.surf_svm.attacks import evasion, flip_labels
from advjax.surf_svm.fitting import SvmRecipe, fit_machine
from advjax.surf_svm.machine import Machine, pair_decisions, sums_of_pairs
from experiments.lab import cached_rows
from experiments.lab.grid import Job, Step


class Evaded(NamedTuple):
    """The result of one attack on a machine.

    Attributes:
        attack: "evasion", "label flips" or "random flips".
        strength: the l2 norm as a share of the mean norm of the training set's inputs,
            or the share of flipped labels.
        accuracy: on the test clips without attack.
        after: under the attack.
    """

    attack: str
    strength: float
    accuracy: float
    after: float


@dataclasses.dataclass(frozen=True)
class Evade(Step):
    """Attacks on a machine: on its inputs, and on its training labels.

    Evasion perturbs the machine's input of a test clip. No clip may have that input, so
    the result is an upper bound for an attacker of the machine. Flipped labels are of
    training images, where each pitch-shifted copy counts by itself.

    Attributes:
        norms: of evasion, as shares of the training inputs' mean norm.
        flip_rates: shares of flipped labels.
    """

    norms: Sequence[float]
    flip_rates: Sequence[float]

    def run(self, job: Job) -> None:
        """Write machine.tsv, unless it has the rows of these settings."""
        system = job.resolve()
        classifier, file = system.classifier, job.folder / "machine.tsv"
        digest = cached_rows.digest_of(
            [classifier.digest(), str(self.norms), str(self.flip_rates)]
        )
        if cached_rows.read(file, Evaded, digest) is not None:
            return
        train, test = (
            system.data.dataset(split, system.stage.name) for split in ("train", "test")
        )
        x, test_x = (_standardised_inputs(classifier, part.x) for part in (train, test))
        module, params = classifier.module, classifier.variables["params"]
        accuracy = _accuracy(module, params, test_x, test.y)
        attack = evasion(
            benign=x, benign_labels=train.y, density_weight=1.0, num_steps=40
        )
        points = [
            evaluation.Point(i, str(i), inputs, int(label))
            for i, (inputs, label) in enumerate(zip(test_x, test.y, strict=True))
        ]
        scale = float(np.linalg.norm(x, axis=1).mean())
        rows = []
        for norm in self.norms:
            attacked = evaluation.attack_points(
                attack, _machine_logits(module, params), points, jax.random.key(0),
                budgets=[norm * scale] * len(points), num_slots=16,
            )  # fmt: skip
            left = [
                each.row.clean == each.row.label and not each.row.success
                for each in attacked
            ]
            rows.append(Evaded("evasion", norm, accuracy, float(np.mean(left))))
        for rate in self.flip_rates:
            for name, y in _flipped_labels(module, x, train.y, rate).items():
                refitted = fit_machine(x, y, module, SvmRecipe())
                # `x` was standardised, and the refitted machine does so once more.
                seen = np.float32((test_x - refitted["mean"]) / refitted["deviation"])
                after = _accuracy(module, refitted, seen, test.y)
                rows.append(Evaded(name, rate, accuracy, after))
        cached_rows.write(file, rows, digest)


def _standardised_inputs(classifier: Classifier, x) -> np.ndarray:
    def standardised(module, images):
        return jax.vmap(module.standardise)(module.encode(images))

    apply = functools.partial(
        classifier.module.apply, classifier.variables, method=standardised
    )
    compiled = jax.jit(apply)
    return np.concatenate([compiled(x[i : i + 30]) for i in range(0, len(x), 30)])


def _machine_logits(module: SurfSvm, params):
    """Sums of a machine's decisions on its inputs: smooth, unlike votes."""

    def logits(machine, x):
        decisions = pair_decisions(machine, module.kernel, x)
        return sums_of_pairs(decisions, module.num_classes)

    machine = Machine(*(params[name] for name in Machine._fields))
    return jax.tree_util.Partial(logits, machine)


def _accuracy(module: SurfSvm, params, x, y) -> float:
    logits = evaluation.logits_of_batch(_machine_logits(module, params), x)
    return float((logits.argmax(axis=1) == y).mean())


def _flipped_labels(module: SurfSvm, x, y, rate: float) -> dict[str, np.ndarray]:
    worst = flip_labels(x, y, rate=rate, kernel=module.kernel, cost=1.0)
    chosen = np.random.default_rng(0).permutation(len(y))[: len(worst.flipped)]
    shifts = np.random.default_rng(1).integers(1, module.num_classes, len(chosen))
    random = np.array(y)
    random[chosen] = (random[chosen] + shifts) % module.num_classes
    return {"label flips": worst.y, "random flips": random}
