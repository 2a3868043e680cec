"""The tables and figure of the adversarial-training study, from the cells' rows."""

import contextlib
import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np

from advjax.metrics.robustness import budget_for_auc, perturbation_ratio
from advjax.metrics.shares import Share, share_of
from advjax.reports import figures, tables
from advjax.runs.cells import ANY, Real
from advjax.runs.rows import Schema
from experiments.lab import cell_files
from experiments.lab.budget_scan import Needed, needed
from experiments.lab.cells import Cell
from experiments.lab.grid import Found
from experiments.lab.study_tables import pivot

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
L0_SHARE = 0.01  # of the entries: the limit of attacks that count them, our choice


class Result(NamedTuple):
    """One finished cell: the results in `cell.json`, and what each attack needed."""

    corpus: str
    representation: str
    network: str
    fold: int
    training: str
    told: dict[str, Any]
    attacks: dict[str, Needed]


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
        {name: needed(folder / name) for name in scans},
    )


def pairs(results: Sequence[Result]) -> list[Pair]:
    """The networks of which both trainings are there."""
    of = {each[:5]: each for each in results}
    return [
        Pair(each, of[*each[:4], "adversarial"])
        for each in results
        if each.training == "plain" and (*each[:4], "adversarial") in of
    ]


def limit_of(norm: str, *, eps: float, num_entries: int) -> float:
    """The limited budget: `eps` in linf, and what it amounts to in other norms.

    A step of eps along every sign has the l2 norm eps * sqrt(entries). Counting entries
    has nothing to do with eps: there it is a share of them.
    """
    limits = {"linf": eps, "l2": eps * num_entries**0.5, "l0": L0_SHARE * num_entries}
    return limits[norm]


def fooled_within(result: Result, attack: str, eps: float) -> Share:
    """The attacked examples that the attack fools within the limit."""
    found = result.attacks[attack]
    limit = limit_of(found.norm, eps=eps, num_entries=result.told["num_entries"])
    # Norms were measured in float32 and budgets written to six digits.
    return share_of(found.sizes <= limit * (1 + 1e-5))


def ratio(pair: Pair, attack: str) -> float:
    """How much more perturbation the attack needs on the adversarially trained twin.

    Of each network, the mean over the examples fooled within its own budget at which
    the success curve's area is 0.9, or over all fooled ones where none is. NaN where
    nothing was fooled.
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


def report(found: Found) -> Iterator[str]:
    """The three tables, the figure and every attack; writes needed.tsv."""
    ordered = sorted(found.cells.items(), key=lambda pair: pair[0].path)
    results = [read(cell, folder) for cell, folder in ordered]
    write_needed(results, found.out / "needed.tsv")
    both, eps = pairs(results), found.preset.eps
    yield "# Adversarially trained audio classifiers"
    if not both:
        yield "No network has both of its trainings yet."
        return
    yield "## Recognition accuracy with (and drop by) adversarial training, %"
    yield tables.as_markdown(accuracy_table(both))
    yield "## Fooling rate of limited attacks on adversarially trained networks, %"
    yield tables.as_markdown(fooling_table(both, eps))
    yield "## Average perturbation ratio"
    yield tables.as_markdown(ratio_table(both))
    yield "## Every attack"
    yield tables.as_markdown(attack_table(both, eps))
    with contextlib.suppress(ImportError):
        draw(both, found.out / "success.png")
        yield "![success over the perturbation allowed](success.png)"


def write_needed(results: Sequence[Result], file: pathlib.Path) -> None:
    """Write a line for every attack on every clip: what tables and figure count."""
    NEEDED.write(
        file,
        [
            NeededRow(*result[:5], name, id, found.norm, size, queries)
            for result in results
            for name, found in result.attacks.items()
            for id, size, queries in zip(
                found.ids, found.sizes, found.queries, strict=True
            )
        ],
    )


def accuracy_table(found: Sequence[Pair]) -> tables.Table:
    """Table 1 of the publication: accuracy of the plain network and its drop."""

    def cell(group):
        plain = 100 * np.mean([pair.plain.told["accuracy"] for pair in group])
        other = 100 * np.mean([pair.adversarial.told["accuracy"] for pair in group])
        return f"{plain:.1f}{_interval(group)}, ({plain - other:.1f})"

    return _grid(
        found,
        cell,
        [
            "on all test clips of the fold, none of them shifted; drops in points; in "
            "brackets the plain network's 95 % interval, from the test clips of all "
            "folds (Clopper and Pearson 1934)",
            "publication: drops of 6.9 to 29.2",
        ],
    )


def _interval(group: Sequence[Pair]) -> str:
    """Of the plain networks' accuracy; empty where cells do not tell their clips."""
    told = [pair.plain.told for pair in group]
    if not all("num_test" in each for each in told):
        return ""
    right = sum(round(each["accuracy"] * each["num_test"]) for each in told)
    share = Share(right, sum(each["num_test"] for each in told))
    return " " + tables.percent_text(share).partition(" ")[2]


def fooling_table(found: Sequence[Pair], eps: float) -> tables.Table:
    """Table 2: mean fooling rate of all attacks within the limit, plain in brackets."""

    def cell(group):
        rates = [
            100 * np.mean([_rate(result, eps) for result in side])
            for side in zip(*group, strict=True)
        ]
        return f"{rates[1]:.1f}, (plain {rates[0]:.1f})"

    return _grid(
        found,
        cell,
        [
            f"limits: linf {eps:g}, l2 {eps:g} sqrt(entries), "
            f"l0 {L0_SHARE:.0%} of the entries; lower is more robust",
            "means over attacks of the same clips; the last table has each attack's "
            "rate with its interval",
            "publication: 49.3 to 76.4, with limits that it does not state",
        ],
    )


def _rate(result: Result, eps: float) -> float:
    return np.mean([fooled_within(result, name, eps).value for name in result.attacks])


def ratio_table(found: Sequence[Pair]) -> tables.Table:
    """Table 3: perturbation needed with adversarial training over that without."""

    def cell(group):
        every = [ratio(pair, name) for pair in group for name in _shared(pair)]
        return f"{np.nanmean(every):.3f}" if np.isfinite(every).any() else tables.DASH

    return _grid(
        found,
        cell,
        [
            "means over the attacks; each at the budget where success over the budget "
            "has an area of 0.9, see the last table",
            "publication: 1.231 to 2.892",
        ],
    )


def attack_table(found: Sequence[Pair], eps: float) -> tables.Table:
    """A row for each network and attack: what the three tables are made of."""
    rows = []
    for pair in found:
        for name in _shared(pair):
            sides = [result.attacks[name] for result in pair]
            budgets = [budget_for_auc(side.sizes, LEVEL) for side in sides]
            rows.append(
                [
                    _of(pair.plain),
                    f"{NAMES[pair.plain.network]}, fold {pair.plain.fold}",
                    f"{name} ({sides[0].norm})",
                    *(f"{len(side.sizes)}" for side in sides),
                    *(
                        tables.percent_text(fooled_within(each, name, eps))
                        for each in pair
                    ),
                    *(
                        tables.percent_text(share_of(np.isfinite(side.sizes)))
                        for side in sides
                    ),
                    *(_number(budget) for budget in budgets),
                    _number(ratio(pair, name)) + "*" * (not np.isfinite(budgets).all()),
                    f"{np.mean(sides[1].queries):.0f}",
                ]
            )
    header = [
        "data", "network", "attack", "clips", "adv.", "fooled, limited", "adv.",
        "fooled at all", "adv.", "budget", "adv.", "ratio", "queries",
    ]  # fmt: skip
    return tables.Table(
        header,
        rows,
        [
            "clips: attacked, all of them classified right; budget: the one at which "
            f"the area under success is {LEVEL}; each for the plain network, then for "
            "its adversarially trained twin; queries: passes a clip of the twin",
            f"*: so many clips resist that no budget has an area of {LEVEL}; the ratio "
            "is that of all clips fooled",
            tables.INTERVAL_NOTE,
        ],
    )


def draw(found: Sequence[Pair], path: pathlib.Path) -> None:
    """Nothing; a figure with a panel for each data set and attack."""
    rows = list(dict.fromkeys(_of(pair.plain) for pair in found))
    attacks = list(dict.fromkeys(name for pair in found for name in _shared(pair)))
    drawn: dict[tuple[str, str], list[figures.Staircase]] = {}
    for pair in found:
        for name, result in itertools.product(_shared(pair), pair):
            label = f"{NAMES[result.network]}, {result.training}"
            norm = result.attacks[name].norm
            drawn.setdefault((_of(result), name), []).append(
                figures.Staircase(label, result.attacks[name].sizes, norm)
            )
    figures.staircase_plot(
        drawn, path, rows=rows, columns=attacks, y_label="share of clips fooled"
    )


def _grid(found: Sequence[Pair], cell, notes: Sequence[str]) -> tables.Table:
    """A row for each corpus and representation, a column for each network."""
    networks = {pair.plain.network for pair in found}

    def text(data: str, network: str) -> str | None:
        every = [
            p for p in found if _of(p.plain) == data and p.plain.network == network
        ]
        return cell(every) if every else None

    return pivot(
        "data",
        {_of(pair.plain): _of(pair.plain) for pair in found},
        {name: title for name, title in NAMES.items() if name in networks},
        text,
        notes,
    )


def _shared(pair: Pair) -> Iterator[str]:
    """The attacks that both networks have been through."""
    return (name for name in pair.plain.attacks if name in pair.adversarial.attacks)


def _of(result: Result) -> str:
    return f"{NAMES[result.corpus]}, {NAMES[result.representation]}"


def _number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else tables.DASH
