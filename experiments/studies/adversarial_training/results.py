"""Finished cells of the study on adversarial training, and their rows.

A row is a corpus, a representation and a network; it pools the folds. A clip counts
from the smallest budget at which an attack reaches its goal.
"""

import collections
import math
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from advjax import catalog
from advjax.metrics.clustered import ClusteredMean
from advjax.metrics.robustness import budget_for_auc
from advjax.runs.columns import Rows
from experiments.lab import cell_files, held_out
from experiments.lab.budget_scan import Needed, read_scan
from experiments.lab.cells import Cell
from experiments.lab.steps import predictions_file
from experiments.studies.adversarial_training.names import NAMES
from experiments.studies.adversarial_training.sizes import ATTACKS

LEVEL = 0.9
"""Area under success that defines a budget, the publication's; and the share of the
plain network's clips at the equal-success budget."""
L0_SHARE = 0.01
"""Limit of attacks that count entries, as a share of them: our choice."""
_SLACK = 1 + 1e-5
"""Norms were measured in float32 and budgets written to six digits."""


class Result(NamedTuple):
    """The finished cells of one network on one fold.

    Attributes:
        kind: of the cell, such as grid or alpha.
        corpus: its name.
        representation: its name.
        network: its name, without options.
        fold: tested on.
        training: plain, adversarial, or the weight of the clean loss.
        results: of `cell.json`.
        attacks: what each needed.
        predictions: on the test clips; None in cells of attacks alone.
        model: the network with its options.
    """

    kind: str
    corpus: str
    representation: str
    network: str
    fold: int
    training: str
    results: dict[str, Any]
    attacks: dict[str, Needed]
    predictions: Rows | None
    model: str = ""

    @property
    def key(self) -> tuple:
        """The network and its fold, without the training."""
        return self[1:5]


def read(cell: Cell, folder: pathlib.Path) -> Result:
    """A finished cell of another kind than the curve."""
    file = predictions_file(folder)
    return Result(
        cell["kind"],
        cell["corpus"],
        cell["representation"],
        catalog.parse(cell["network"])[0],
        cell["fold"],
        cell["training"],
        cell_files.results(folder),
        {
            name: read_scan(folder / name)
            for name in ATTACKS
            if any(folder.glob(f"{name}/*"))
        },
        held_out.PREDICTIONS.read(file) if file.exists() else None,
        cell["network"],
    )


def read_all(found: Mapping[Cell, pathlib.Path]) -> list[Result]:
    """The finished cells; PIA's are merged into those of the grid."""
    every = [
        read(cell, folder) for cell, folder in found.items() if cell["kind"] != "curve"
    ]
    apart = {(r.key, r.training): r.attacks for r in every if r.kind == "pia"}
    return [
        each._replace(
            attacks=_in_order(each.attacks | apart.get((each.key, each.training), {}))
        )
        if each.kind == "grid"
        else each
        for each in every
        if each.kind != "pia"
    ]


def _in_order(attacks: Mapping[str, Needed]) -> dict[str, Needed]:
    return {name: attacks[name] for name in ATTACKS if name in attacks}


def recordings(results: Iterable[Result]) -> dict[tuple[str, str], str]:
    """The recording of each test clip, by corpus and id."""
    return {
        (each.corpus, id): recording
        for each in results
        if each.predictions is not None
        for id, recording in zip(
            each.predictions.id, each.predictions.recording, strict=True
        )
    }


class Sizes(NamedTuple):
    """Sizes that an attack needed on the clips of all folds of a row.

    Attributes:
        sizes: of the perturbation; inf where it failed.
        clips: their recordings.
        clean_doubt: as in `Needed`.
        doubt: likewise.
        norm: of the sizes.
        entries: of an input.
        queries: mean of a clip.
    """

    sizes: Float[np.ndarray, "clips"]
    clips: tuple[str, ...]
    clean_doubt: Float[np.ndarray, "clips"]
    doubt: Float[np.ndarray, "clips"]
    norm: str
    entries: int
    queries: float

    def within(self, limit: float) -> Bool[np.ndarray, "clips"]:
        """True for each clip that is fooled within a limit."""
        return self.sizes <= limit * _SLACK

    def rate(self, limit: float) -> ClusteredMean:
        """The fooling rate within a limit."""
        return _mean(self.within(limit), self.clips)

    @property
    def ever(self) -> ClusteredMean:
        """The share of clips that are fooled at any size."""
        return _mean(np.isfinite(self.sizes), self.clips)


class Row(NamedTuple):
    """A corpus, a representation and a network, with both trainings on some folds.

    Attributes:
        corpus: its name.
        representation: its name.
        network: its name.
        plain: the plain networks, one a fold.
        adversarial: those trained adversarially, on the same folds.
        recordings: of test clips, by corpus and id.
    """

    corpus: str
    representation: str
    network: str
    plain: tuple[Result, ...]
    adversarial: tuple[Result, ...]
    recordings: Mapping[tuple[str, str], str]

    @property
    def title(self) -> list[str]:
        """Titles of the corpus, the representation and the network."""
        return [NAMES[each] for each in self[:3]]

    @property
    def attacks(self) -> list[str]:
        """The attacks that all networks of the row have been through."""
        every = (*self.plain, *self.adversarial)
        return [name for name in ATTACKS if all(name in r.attacks for r in every)]

    def sizes(self, attack: str) -> tuple[Sizes, Sizes]:
        """Sizes that an attack needed: on the plain networks, and on the others."""
        return self._pooled(self.plain, attack), self._pooled(self.adversarial, attack)

    def _pooled(self, results: Sequence[Result], attack: str) -> Sizes:
        found = [each.attacks[attack] for each in results]
        ids = [id for each in found for id in each.ids]
        columns = (
            np.concatenate([getattr(each, name) for each in found])
            for name in ("sizes", "clean_doubt", "doubt", "queries")
        )
        sizes, clean_doubt, doubt, queries = columns
        return Sizes(
            sizes,
            tuple(self.recordings[self.corpus, id] for id in ids),
            clean_doubt,
            doubt,
            found[0].norm,
            results[0].results["num_entries"],
            float(queries.mean()) if len(queries) else math.nan,
        )

    def accuracy(self, training: str) -> ClusteredMean:
        """The accuracy of a training on the test clips of all folds."""
        return accuracy(self.plain if training == "plain" else self.adversarial)


def accuracy(results: Sequence[Result]) -> ClusteredMean:
    """The accuracy of networks on the test clips of their folds, all pooled."""
    rows = [each.predictions for each in results]
    right = np.concatenate([each.predict == each.label for each in rows])
    return _mean(right, [name for each in rows for name in each.recording])


def _mean(values: np.ndarray, clips: Sequence[str]) -> ClusteredMean:
    return ClusteredMean(values.astype(float), clips)


def pooled(means: Sequence[ClusteredMean]) -> ClusteredMean:
    """The mean of means, each a stratum of its own."""
    return ClusteredMean(
        np.concatenate([each.values for each in means]),
        [clip for each in means for clip in each.clusters],
        [place for place, each in enumerate(means) for _ in each.clusters],
    )


def rows_of(results: Sequence[Result]) -> list[Row]:
    """The rows that have both trainings on a fold at least."""
    of_clips = recordings(results)
    grid = [each for each in results if each.kind == "grid"]
    twins = {each.key: each for each in grid if each.training == "adversarial"}
    groups: dict[tuple, list[Result]] = collections.defaultdict(list)
    for each in grid:
        if each.training == "plain" and each.key in twins:
            groups[each[1:4]].append(each)
    return [
        Row(*key, tuple(every), tuple(twins[each.key] for each in every), of_clips)
        for key, every in groups.items()
    ]


class EqualSuccess(NamedTuple):
    """The budget at which an attack fools `LEVEL` of the plain networks' clips.

    Attributes:
        budget: the smallest such size or, if there is none, the one of the greatest
            success; NaN if no clip was fooled.
        reached: there is such a size.
    """

    budget: float
    reached: bool


def equal_success(sizes: Float[np.ndarray, "clips"]) -> EqualSuccess:
    """The equal-success budget of the sizes that plain networks' clips needed."""
    known = np.sort(sizes[np.isfinite(sizes)])
    needed = math.ceil(LEVEL * len(sizes) - 1e-9)
    if len(known) >= max(1, needed):
        return EqualSuccess(float(known[max(1, needed) - 1]), True)
    return EqualSuccess(float(known[-1]) if len(known) else math.nan, False)


class Rates(NamedTuple):
    """Fooling rates of the attacks of rows, each attack of a row a stratum.

    Attributes:
        plain: of the plain networks.
        adversarial: of those trained adversarially.
        num_attacks: of a row, as text.
        count: of attacks on networks.
        missed: the limit of an attack is not the one that was meant.
    """

    plain: ClusteredMean
    adversarial: ClusteredMean
    num_attacks: str
    count: int
    missed: bool


def rates(some: Sequence[Row], limit: Callable[[Sizes], EqualSuccess]) -> Rates | None:
    """Fooling rates within limits that the plain networks' sizes give."""
    sides, missed, counts = ([], []), False, set()
    for row in some:
        counts.add(len(row.attacks))
        for name in row.attacks:
            plain, other = row.sizes(name)
            if not len(plain.sizes) or not len(other.sizes):
                continue
            budget, reached = limit(plain)
            missed |= not reached
            for side, sizes in zip(sides, (plain, other), strict=True):
                side.append(sizes.rate(budget))
    if not sides[0]:
        return None
    number = " or ".join(map(str, sorted(counts)))
    return Rates(*map(pooled, sides), number, len(sides[0]), missed)


def fixed_limit(sizes: Sizes, eps: float) -> float:
    """The limit of an attack that does not depend on its success.

    It is `eps` in linf, eps * sqrt(entries) in l2 (the norm of a step of eps along
    every sign), and in l0, which has no such relation, `L0_SHARE` of the entries.
    """
    entries = sizes.entries
    return {"linf": eps, "l2": eps * entries**0.5, "l0": L0_SHARE * entries}[sizes.norm]


def roc_budget(sizes: Sizes, level: float = LEVEL) -> float:
    """The smallest size at which doubts tell attacked clips from clean ones.

    The score is one minus the probability of the clip's class: `level` is the area
    under its receiver operating characteristic, all attacked clips against all clean
    ones. A clip that is not fooled within the size stays clean.

    Returns:
        The size; inf where no size has that area.
    """
    count = len(sizes.sizes)
    for size in np.unique(sizes.sizes[np.isfinite(sizes.sizes)]):
        attacked = np.where(sizes.within(size), sizes.doubt, sizes.clean_doubt)
        # Mann and Whitney's statistic over all pairs is the area.
        ranks = stats.rankdata(np.concatenate([attacked, sizes.clean_doubt]))
        area = (ranks[:count].sum() - count * (count + 1) / 2) / count**2
        if area >= level:
            return float(size)
    return math.inf


READINGS = {
    "area under success": lambda sizes: budget_for_auc(sizes.sizes, LEVEL),
    "area under ROC": roc_budget,
}
"""Budgets by the two readings of the rule AUC > 0.9."""


class Ratio(NamedTuple):
    """The sizes whose means' ratio is that of an attack.

    Attributes:
        adversarial: sizes that count, of networks trained adversarially.
        plain: likewise of plain ones.
        whole: the rule has a budget for both; otherwise all fooled clips count.
    """

    adversarial: ClusteredMean
    plain: ClusteredMean
    whole: bool


def ratio_of(row: Row, attack: str, reading: str) -> Ratio | None:
    """The sizes of an attack under a reading of the rule; None if it is left out.

    It is left out where it never fools `LEVEL` of the plain networks' clips: no budget
    then makes attacks equally strong. It is also left out where no clip is fooled.
    """
    plain, other = row.sizes(attack)
    if not len(plain.sizes) or not equal_success(plain.sizes).reached:
        return None
    means, whole = [], True
    for side in (other, plain):
        if not np.isfinite(side.sizes).any():
            return None
        budget = READINGS[reading](side)
        whole &= math.isfinite(budget)
        counted = side.within(budget) & np.isfinite(side.sizes)
        clips = [c for c, counts in zip(side.clips, counted, strict=True) if counts]
        means.append(_mean(side.sizes[counted], clips))
    return Ratio(*means, whole)
