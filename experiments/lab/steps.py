"""Steps of studies: accuracies, certificates and attacks in the folder of a cell."""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from advjax import evaluation
from advjax.records import spread
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS
from experiments.lab import (
    attack,
    attack_requests,
    cell_files,
    certify,
    held_out,
    preflight,
    smoothed_attack,
    smoothed_attack_report,
)
from experiments.lab.attack_requests import AttackRequest
from experiments.lab.budget_scan import Scan
from experiments.lab.certify_settings import Certification
from experiments.lab.console import say
from experiments.lab.grid import Job, Step
from experiments.lab.smoothed_attack import SmoothedAttackRequest
from experiments.lab.task import System

_NUM_TIMED = 64


def attacked_points(system: System, num_points: int) -> list[evaluation.Point]:
    """Test points spread over the split: `num_points` of them, or all if fewer."""
    return system.test_points(min(num_points, len(system.data.test)))


def is_whole(folder: pathlib.Path) -> bool:
    """True if a folder has a run with a row for each of its points."""
    return (folder / "run.json").exists() and not runs.num_missing(folder)


@dataclasses.dataclass(frozen=True)
class Measure(Step):
    """Accuracy on all test clips, and the cost of the classifier."""

    def run(self, job: Job) -> Mapping[str, Any]:
        """Train the classifier if need be, and time its predictions."""
        begun, system = time.perf_counter(), job.resolve()
        fit_seconds = cell_files.results(job.folder).get("fit_seconds")
        if not system.found:
            fit_seconds = round(time.perf_counter() - begun, 1)
        classifier = system.classifier
        right = held_out.is_right(system, batch_size=16)
        x, _ = next(held_out.clips_in_parts(system, _NUM_TIMED))
        predict = functools.partial(
            evaluation.logits_of_batch, system.logits_fn(), x, batch_size=16
        )
        times = []
        for _ in range(5):
            begun = time.perf_counter()
            predict()
            times.append((time.perf_counter() - begun) / len(x))
        return {
            "classifier": classifier.digest(),
            "model": str(classifier.module),
            "accuracy": float(right.mean()),
            "num_test": len(right),
            "num_entries": x[0].size,
            "num_parameters": classifier.num_parameters(),
            "fit_seconds": fit_seconds,
            "ms_a_clip": round(float(np.median(times)) * 1e3, 3),
        }


@dataclasses.dataclass(frozen=True)
class Predict(Step):
    """The prediction on each clip of a split, in `predictions_SPLIT.tsv`.

    Attributes:
        split: "test" or "validation".
    """

    split: str = "test"

    def run(self, job: Job) -> Mapping[str, Any]:
        """Train the classifier if need be; return classes, clips and right ones."""
        system = job.resolve()
        rows = held_out.predictions(system, self.split)
        job.folder.mkdir(parents=True, exist_ok=True)
        held_out.PREDICTIONS.write(predictions_file(job.folder, self.split), rows)
        return {
            "num_classes": len(system.data.labels),
            f"{self.split}_clips": len(rows),
            f"{self.split}_right": sum(row.predict == row.label for row in rows),
        }


def predictions_file(folder: pathlib.Path, split: str = "test") -> pathlib.Path:
    """The file of a cell's predictions on a split."""
    return folder / f"predictions_{split}.tsv"


@dataclasses.dataclass(frozen=True)
class HeldOut(Step):
    """Accuracy on all test clips, without and with one draw of noise."""

    def run(self, job: Job) -> Mapping[str, Any]:
        """Return pairs of right clips and all clips."""
        return held_out.held_out_accuracy(job.resolve())._asdict()


@dataclasses.dataclass(frozen=True)
class Certify(Step):
    """Certificates of test points.

    Attributes:
        request: how to certify.
        num_points: at most so many points.
        within: the folder of the run below the cell's; the cell's own if empty.
        defence: of the certified network, where it is not the cell's.
    """

    request: Certification
    num_points: int
    within: str = ""
    defence: str | None = None

    def run(self, job: Job) -> None:
        """Certify the points that have no row."""
        task, folder = job.task, job.folder / self.within
        if self.defence is not None:
            task = dataclasses.replace(task, defence=self.defence)
        preflight.check_certification(
            task.draft(), self.request, num_points=None, workdir=folder
        )
        system = job.resolve() if task is job.task else task.resolve()
        certify.certify(
            system,
            self.request,
            num_points=min(self.num_points, len(system.data.test)),
            workdir=folder,
            environment=job.environment,
        )


@dataclasses.dataclass(frozen=True)
class SmoothedAttack(Step):
    """Attacks on the smoothed classifier that the cell has certified.

    Attributes:
        request: the attacks.
        name: of the result that has the name of the run's folder.
    """

    request: SmoothedAttackRequest
    name: str = "smoothed_attacks"

    def run(self, job: Job) -> Mapping[str, Any]:
        """Attack the points that have no row; return the name of the run's folder.

        Raises:
            ValueError: attacks contradict more certificates than chance allows.
        """
        folder = smoothed_attack.run(
            job.resolve(), job.folder, self.request, environment=job.environment
        )
        say(smoothed_attack_report.report(folder))
        return {self.name: folder.name}


@dataclasses.dataclass(frozen=True)
class Attack(Step):
    """One attack on test points, once for each budget.

    Attributes:
        text: a choice from `ATTACKS`.
        runs: the budget of each run by the name of its folder; None for an attack that
            looks for the smallest perturbation.
        num_points: at most so many points.
        num_slots: points attacked at once; None for the backend's default.
        keep_examples: keep the adversarial examples.
    """

    text: str
    runs: Mapping[str, str | None]
    num_points: int
    num_slots: int | None = None
    keep_examples: bool = False

    def run(self, job: Job) -> None:
        """Attack the points that have no row, with one compiled program."""
        points = attacked_points(job.resolve(), self.num_points)
        built = attack_requests.build(job.resolve(), self.text)
        for name, budget in self.runs.items():
            request = AttackRequest(self.text, budget, num_slots=self.num_slots)
            _attack(job, request, built, points, name, keep_examples=self.keep_examples)


@dataclasses.dataclass(frozen=True)
class ScanBudgets(Step):
    """The smallest budget of an attack for each clip that the classifier is right on.

    Attributes:
        name: of the scan's folder.
        scan: the attack and its budgets.
        num_points: at most so many clips, spread over these.
        num_slots: clips attacked at once.
    """

    name: str
    scan: Scan
    num_points: int
    num_slots: int = 8

    def run(self, job: Job) -> None:
        """Attack the clips that have no row, with one compiled program."""
        system, scan = job.resolve(), self.scan
        known = np.flatnonzero(held_out.is_right(system, batch_size=50))
        chosen = known[spread(len(known), min(self.num_points, len(known)))]
        if not len(chosen):
            return
        say(f"{job.cell.path}: {self.name} on {len(chosen)} clips")
        left = list(system.each_test_point(chosen))
        built = attack_requests.build(system, scan.attack)
        for budget in scan.budgets or (None,):
            text = None if budget is None else f"{budget:.6g}"
            request = AttackRequest(scan.attack, text, num_slots=self.num_slots)
            folder = _attack(
                job, request, built, left, f"{self.name}/{text or 'smallest'}"
            )
            rows = ATTACK_ROWS.read(folder)
            fooled = {id for id, won in zip(rows.id, rows.success, strict=True) if won}
            left = [point for point in left if point.id not in fooled]
            if not left:
                return


def _attack(
    job: Job,
    request: AttackRequest,
    built: Any,
    points: Sequence[evaluation.Point],
    name: str,
    *,
    keep_examples: bool = False,
) -> pathlib.Path:
    """Run one attack at one budget in a folder of the cell; return the folder."""
    prepared = attack.prepare(
        job.resolve(),
        request,
        points,
        workdir=job.folder / name,
        environment=job.environment,
        built=built,
    )
    attack.run(prepared, keep_examples=keep_examples)
    return prepared.folder
