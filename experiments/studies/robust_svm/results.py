"""Finished cells of the study, the folds of each classifier pooled."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from advjax.metrics.clustered import ClusteredMean, ClusteredShare, clustered_share
from advjax.metrics.robustness import attackable
from advjax.runs.columns import Rows, concatenate
from advjax.runs.row_types import ATTACK_ROWS
from experiments.lab import cached_rows, cell_files
from experiments.lab.held_out import PREDICTIONS
from experiments.lab.steps import is_whole, predictions_file
from experiments.studies.robust_svm.machine import FILE, Evaded
from experiments.studies.robust_svm.steps import Moved
from experiments.studies.robust_svm.victims import run_name

TITLES = {
    "alexnet": "AlexNet",
    "googlenet": "GoogLeNet",
    "plain_svm": "plain SVM",
    "surf_svm": "pipeline",
    "surf_svm_other": "pipeline, other encoder",
    "guarded_alexnet": "AlexNet behind enhancement, SVD, autoencoder",
    "surf_svm_no_enhancement": "pipeline, no enhancement",
    "surf_svm_no_svd": "pipeline, no SVD",
    "surf_svm_no_autoencoder": "pipeline, no autoencoder",
    "surf_svm_bare": "pipeline, none of the three",
}


@dataclasses.dataclass(frozen=True)
class Result:
    """The finished cells of a classifier on one input of a corpus.

    Attributes:
        name: of the classifier.
        folders: of its cells, by test fold.
    """

    name: str
    folders: Mapping[int, pathlib.Path]

    @property
    def title(self) -> str:
        """Name of the classifier in tables."""
        return TITLES[self.name]

    @functools.cached_property
    def predictions(self) -> Rows:
        """Those on all test clips."""
        files = map(predictions_file, self.folders.values())
        return concatenate([PREDICTIONS.read(file) for file in files])

    @functools.cached_property
    def recording_of(self) -> dict[str, str]:
        """The recording of each test clip, by its id."""
        found = self.predictions
        return dict(zip(found.id, found.recording, strict=True))

    def share(self, hits: Iterable[bool], ids: Sequence[str]) -> ClusteredShare:
        """The share of hits among clips, by recording."""
        clusters = [self.recording_of[id] for id in ids]
        return clustered_share([np.fromiter(hits, bool, len(ids))], clusters)

    def mean(self, values: Iterable[float], ids: Sequence[str]) -> ClusteredMean:
        """The mean of values of clips, by recording."""
        clusters = [self.recording_of[id] for id in ids]
        return ClusteredMean(np.fromiter(values, float, len(ids)), clusters)

    @property
    def right(self) -> dict[str, bool]:
        """True for each test clip that is classified right, by its id."""
        found = self.predictions
        return dict(zip(found.id, (found.label == found.predict).tolist(), strict=True))

    @functools.cached_property
    def accuracy(self) -> ClusteredShare:
        """On all test clips."""
        return self.share(self.right.values(), [*self.right])

    @functools.cached_property
    def costs(self) -> dict[str, Any]:
        """Means over the folds of what `Measure` returns."""
        every = [cell_files.results(folder) for folder in self.folders.values()]
        names = ("fit_seconds", "ms_a_clip", "num_parameters")
        return {
            name: float(np.mean([each[name] for each in every]))
            for name in names
            if all(each.get(name) is not None for each in every)
        }

    def rows(self, attack: str, budget: float | None = None) -> Rows | None:
        """The rows of one attack on all folds; None while one lacks some."""
        folders = [f / run_name(attack, budget) for f in self.folders.values()]
        if not all(map(is_whole, folders)):
            return None
        return concatenate([ATTACK_ROWS.read(folder) for folder in folders])

    def success(
        self, attack: str, budget: float | None = None
    ) -> dict[str, bool] | None:
        """Success on each clip that is classified right, by its id."""
        rows = self.rows(attack, budget)
        if rows is None:
            return None
        known = is_right(rows)
        pairs = zip(rows.id, known, rows.success, strict=True)
        return {id: bool(won) for id, right, won in pairs if right}

    def fooled(self, attack: str, budget: float | None = None) -> ClusteredShare | None:
        """The share of clips classified right on which an attack succeeds."""
        found = self.success(attack, budget)
        return None if found is None else self.share(found.values(), [*found])

    def under_attack(
        self, attack: str, budgets: Sequence[float]
    ) -> list[ClusteredShare] | None:
        """Accuracy on the attacked clips, without attack and at each rising budget.

        A clip that is misclassified within a budget is so within every larger one.
        """
        every = [self.rows(attack, budget) for budget in budgets]
        if None in every:
            return None
        left = is_right(every[0])
        found = [self.share(left, every[0].id)]
        for rows in every:
            left = left & ~rows.success
            found.append(self.share(left, rows.id))
        return found

    @functools.cached_property
    def moved(self) -> list[Moved] | None:
        """The answers to adversarial examples on the folds that have some, if any."""
        return self._pooled("transfer.tsv", Moved)

    @functools.cached_property
    def machine(self) -> list[Evaded] | None:
        """The attacks on the machine on the folds that have them, if any."""
        return self._pooled(FILE, Evaded)

    def _pooled(self, name: str, row_type: type) -> list[Any] | None:
        every = [cached_rows.read(f / name, row_type) for f in self.folders.values()]
        return [row for rows in every if rows for row in rows] or None


def is_right(rows: Rows) -> Bool[np.ndarray, "rows"]:
    """Clips that are classified right without attack."""
    return attackable(rows.label, rows.clean, rows.target)


class Transferred:
    """Answers of the classifiers of an input to examples made on others."""

    def __init__(self, every: Sequence[Result]):
        """Collect the answers, and the clips that each classifier has right."""
        self.results = [each for each in every if each.moved is not None]
        self.known = {
            each.name: {row.id for row in each.moved if row.clean == row.label}
            for each in self.results
        }

    def sources(self) -> list[str]:
        """The classifiers that examples were made on, in the order of `TITLES`."""
        made = {row.source for each in self.results for row in each.moved}
        return [name for name in TITLES if name in made]

    def fooled(
        self,
        each: Result,
        sources: Collection[str],
        runs: Collection[str] | None = None,
    ) -> ClusteredShare:
        """The share of misclassified examples of clips that both classify right.

        Args:
            each: the classifier that is asked.
            sources: the classifiers that were attacked.
            runs: names of the attacks' runs; None for all.
        """
        rows = [
            row
            for row in each.moved or ()
            if row.source in sources
            and (runs is None or row.attack in runs)
            and row.id in self.known[each.name] & self.known.get(row.source, set())
        ]
        hits = [row.answer != row.label for row in rows]
        return each.share(hits, [row.id for row in rows])

    def under_attack(
        self,
        each: Result,
        sources: Collection[str],
        attacks: Collection[str],
        budgets: Sequence[float],
    ) -> list[ClusteredShare] | None:
        """Accuracy on the attacked clips under the worst example within each budget.

        Without attack first. Examples count of all attacks on all sources but the
        classifier itself; None without examples.
        """
        others = {*sources} - {each.name}
        size_of = {run_name(a, b): b for a in attacks for b in budgets}
        rows = [
            row
            for row in each.moved or ()
            if row.source in others and row.attack in size_of
        ]
        if not rows:
            return None
        least: dict[str, float] = {}
        for row in rows:
            size = 0.0 if row.clean != row.label else np.inf
            if row.answer != row.label:
                size = min(size, size_of[row.attack])
            least[row.id] = min(least.get(row.id, np.inf), size)
        return [
            each.share([size > budget for size in least.values()], [*least])
            for budget in (0.0, *budgets)
        ]


def read(
    cells: Mapping[tuple[str, str, str], Mapping[int, pathlib.Path]],
    corpus: str,
    input: str,
) -> list[Result]:
    """The classifiers of one corpus and input, in the order of `TITLES`."""
    return [
        Result(name, cells[corpus, input, name])
        for name in TITLES
        if (corpus, input, name) in cells
    ]


Columns = dict[str, Callable[[Result], str | None]]
