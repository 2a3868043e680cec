"""Tables and figure of the adversarial-training study."""

import collections
import contextlib
import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np

from advjax.metrics.robustness import budget_for_auc, perturbation_ratio
from advjax.metrics.shares import Share, share_of
from advjax.reports import figures, tables
from advjax.reports.page import Block, Heading
from advjax.runs.cells import ANY, Real
from advjax.runs.rows import Schema
from experiments.lab import cell_files
from experiments.lab.budget_scan import Needed, read_scan
from experiments.lab.cells import Cell
from experiments.lab.grid import Found
from experiments.lab.study_tables import pivot, sections

NAMES = {
    "stft": "STFT",
    "dwt": "DWT",
    "stft_tonnetz": "STFT||Tonnetz",
    "dwt_tonnetz": "DWT||Tonnetz",
    "esc50": "ESC-50",
    "urbansound8k": "UrbanSound8K",
    "googlenet": "GoogLeNet",
    "alexnet": "AlexNet",
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet56": "ResNet-56",
    "vgg16": "VGG-16",
}
ATTACKS = ("FGSM", "BIM", "JSMA", "DeepFool", "PIA", "C&W")  # the publication's order
LEVEL = 0.9
"""Area under success that defines a budget: the publication's."""
L0_SHARE = 0.01
"""Limit of attacks that count entries, as a share of them: our choice."""


class Result(NamedTuple):
    """A finished cell: the results in `cell.json`, and the sizes each attack needed."""

    corpus: str
    representation: str
    network: str
    fold: int
    training: str
    results: dict[str, Any]
    attacks: dict[str, Needed]

    @property
    def data(self) -> str:
        """Title of the corpus and the representation."""
        return f"{NAMES[self.corpus]}, {NAMES[self.representation]}"


class NeededRow(NamedTuple):
    """The budget that one attack needed on one clip: a line of needed.tsv."""

    corpus: str
    representation: str
    network: str
    fold: int
    training: str
    attack: str
    clip: str
    norm: str
    needed: Annotated[float, Real(words=ANY, format=".6g")]
    queries: Annotated[float, Real(format=".0f")]


NEEDED = Schema(NeededRow, "what attacks need", quoted=True)


class Pair(NamedTuple):
    """A network trained plainly and adversarially on the same data."""

    plain: Result
    adversarial: Result

    @property
    def attacks(self) -> list[str]:
        """The attacks that both networks have been through."""
        return [name for name in self.plain.attacks if name in self.adversarial.attacks]


def read(cell: Cell, folder: pathlib.Path) -> Result:
    """A finished cell."""
    corpus, representation, network, fold, training = cell.path.split("/")
    scans = [name for name in ATTACKS if (folder / name).is_dir()]
    return Result(
        corpus,
        representation,
        network,
        int(fold.removeprefix("fold")),
        training,
        cell_files.results(folder),
        {name: read_scan(folder / name) for name in scans},
    )


def pairs(results: Sequence[Result]) -> list[Pair]:
    """The networks that have both trainings."""
    twins = {each[:4]: each for each in results if each.training == "adversarial"}
    return [
        Pair(each, twins[each[:4]])
        for each in results
        if each.training == "plain" and each[:4] in twins
    ]


def fooled_share(result: Result, attack: str, eps: float) -> Share:
    """The attacked clips that an attack fools within the limit.

    The limit is `eps` in linf, eps * sqrt(entries) in l2 (the norm of a step of eps
    along every sign), and in l0, which has no such relation, `L0_SHARE` of the entries.
    """
    found, entries = result.attacks[attack], result.results["num_entries"]
    limits = {"linf": eps, "l2": eps * entries**0.5, "l0": L0_SHARE * entries}
    # Norms were measured in float32 and budgets written to six digits.
    return share_of(found.sizes <= limits[found.norm] * (1 + 1e-5))


def ratio(pair: Pair, attack: str) -> float:
    """The perturbation needed on the adversarially trained twin over the plain one's.

    Means over the clips fooled within the network's own budget at which the area under
    success is `LEVEL`, or over all fooled clips where there is no such budget. NaN
    where no clip was fooled.
    """
    counted = []
    for result in pair:
        sizes = result.attacks[attack].sizes
        within = sizes <= budget_for_auc(sizes, LEVEL)
        counted.append(sizes[within & np.isfinite(sizes)])
    plain, defended = counted
    if not len(plain) or not len(defended):
        return float("nan")
    return perturbation_ratio(defended, plain)


def report(found: Found) -> Iterator[Block]:
    """The three tables, the figure and every attack; writes needed.tsv."""
    ordered = sorted(found.cells.items(), key=lambda pair: pair[0].path)
    results = [read(cell, folder) for cell, folder in ordered]
    write_needed(results, found.out / "needed.tsv")
    both, eps = pairs(results), found.preset.eps
    yield Heading("Adversarially trained audio classifiers", 1)
    if not both:
        yield "No network has both of its trainings yet."
        return
    titled = {
        "Recognition accuracy with (and drop by) adversarial training, %": (
            accuracy_table(both)
        ),
        "Fooling rate of limited attacks on adversarially trained networks, %": (
            fooling_table(both, eps)
        ),
        "Average perturbation ratio": ratio_table(both),
        "Every attack": attack_table(both, eps),
    }
    yield from sections(titled)
    with contextlib.suppress(ImportError):
        draw(both, found.out / "success.png")
        yield "![success over the perturbation allowed](success.png)"


def write_needed(results: Sequence[Result], file: pathlib.Path) -> None:
    """Write a line for every attack on every clip: the data of tables and figure."""
    rows = [
        NeededRow(*result[:5], name, id, found.norm, size, queries)
        for result in results
        for name, found in result.attacks.items()
        for id, size, queries in zip(found.ids, found.sizes, found.queries, strict=True)
    ]
    NEEDED.write(file, rows)


def accuracy_table(found: Sequence[Pair]) -> tables.Table:
    """Table 1 of the publication: accuracy of the plain network and its drop."""

    def cell(group):
        plain, other = (
            100 * np.mean([result.results["accuracy"] for result in side])
            for side in zip(*group, strict=True)
        )
        every = [pair.plain.results for pair in group]
        interval = ""
        if all("num_test" in each for each in every):
            right = sum(round(each["accuracy"] * each["num_test"]) for each in every)
            share = Share(right, sum(each["num_test"] for each in every))
            interval = " " + tables.percent_text(share).partition(" ")[2]
        return f"{plain:.1f}{interval}, ({plain - other:.1f})"

    notes = [
        "on all test clips of the fold, none of them shifted; drops in points; in "
        "brackets the plain network's 95 % interval, from the test clips of all "
        "folds (Clopper and Pearson 1934)",
        "publication: drops of 6.9 to 29.2",
    ]
    return _network_table(found, cell, notes)


def fooling_table(found: Sequence[Pair], eps: float) -> tables.Table:
    """Table 2: mean fooling rate of all attacks within the limit, plain in brackets."""

    def rate(result):
        every = [fooled_share(result, name, eps) for name in result.attacks]
        return np.mean([share.value for share in every])

    def cell(group):
        sides = zip(*group, strict=True)
        plain, other = (100 * np.mean([*map(rate, side)]) for side in sides)
        return f"{other:.1f}, (plain {plain:.1f})"

    notes = [
        f"limits: linf {eps:g}, l2 {eps:g} sqrt(entries), "
        f"l0 {L0_SHARE:.0%} of the entries; lower is more robust",
        "means over attacks of the same clips; the last table has each attack's "
        "rate with its interval",
        "publication: 49.3 to 76.4, with limits that it does not state",
    ]
    return _network_table(found, cell, notes)


def ratio_table(found: Sequence[Pair]) -> tables.Table:
    """Table 3: perturbation needed with adversarial training over that without."""

    def cell(group):
        every = [ratio(pair, name) for pair in group for name in pair.attacks]
        return f"{np.nanmean(every):.3f}" if np.isfinite(every).any() else None

    notes = [
        "means over the attacks; each at the budget where success over the budget "
        "has an area of 0.9, see the last table",
        "publication: 1.231 to 2.892",
    ]
    return _network_table(found, cell, notes)


def _network_table(found: Sequence[Pair], cell, notes: Sequence[str]) -> tables.Table:
    """A row for each corpus and representation, a column for each network."""
    groups = collections.defaultdict(list)
    for pair in found:
        groups[pair.plain.data, pair.plain.network].append(pair)
    data = dict.fromkeys(data for data, _ in groups)
    networks = {network for _, network in groups}
    return pivot(
        "data",
        {title: title for title in data},
        {name: title for name, title in NAMES.items() if name in networks},
        lambda *key: cell(groups[key]) if key in groups else None,
        notes,
    )


def attack_table(found: Sequence[Pair], eps: float) -> tables.Table:
    """A row for each network and attack: the entries behind the three tables."""
    rows = []
    for pair in found:
        for name in pair.attacks:
            sides = [result.attacks[name] for result in pair]
            budgets = [budget_for_auc(side.sizes, LEVEL) for side in sides]
            limited = [fooled_share(result, name, eps) for result in pair]
            ever = [share_of(np.isfinite(side.sizes)) for side in sides]
            star = "" if np.isfinite(budgets).all() else "*"
            rows.append(
                [
                    pair.plain.data,
                    f"{NAMES[pair.plain.network]}, fold {pair.plain.fold}",
                    f"{name} ({sides[0].norm})",
                    *(f"{len(side.sizes)}" for side in sides),
                    *map(tables.percent_text, limited + ever),
                    *map(_number, budgets),
                    _number(ratio(pair, name)) + star,
                    f"{np.mean(sides[1].queries):.0f}",
                ]
            )
    header = [
        "data", "network", "attack", "clips", "adv.", "fooled, limited", "adv.",
        "fooled at all", "adv.", "budget", "adv.", "ratio", "queries",
    ]  # fmt: skip
    notes = [
        "clips: attacked, all of them classified right; budget: the one at which "
        f"the area under success is {LEVEL}; each for the plain network, then for "
        "its adversarially trained twin; queries: passes a clip of the twin",
        f"*: so many clips resist that no budget has an area of {LEVEL}; the ratio "
        "is that of all clips fooled",
        tables.INTERVAL_NOTE,
    ]
    return tables.Table(header, rows, notes)


def draw(found: Sequence[Pair], path: pathlib.Path) -> None:
    """Draw success over the budget, a panel for each data set and attack."""
    drawn = collections.defaultdict(list)
    for pair in found:
        for name, result in itertools.product(pair.attacks, pair):
            label = f"{NAMES[result.network]}, {result.training}"
            sizes, norm = result.attacks[name].sizes, result.attacks[name].norm
            drawn[result.data, name].append(figures.Staircase(label, sizes, norm))
    figures.staircase_plot(
        drawn,
        path,
        rows=list(dict.fromkeys(data for data, _ in drawn)),
        columns=list(dict.fromkeys(name for _, name in drawn)),
        y_label="share of clips fooled",
    )


def _number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else tables.DASH
