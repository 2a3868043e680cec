"""Tables beside the publication's: attacks, targets, input sizes, weights."""

import collections
import itertools
from collections.abc import Sequence

import numpy as np

from advjax.metrics.clustered import clustered_difference
from advjax.reports import tables
from experiments.studies.adversarial_training.names import HEAD, NAMES
from experiments.studies.adversarial_training.results import (
    LEVEL,
    READINGS,
    Result,
    Row,
    accuracy,
    equal_success,
    fixed_limit,
    pooled,
    ratio_of,
    recordings,
    rows_of,
)
from experiments.studies.adversarial_training.texts import (
    CLIPS_NOTE,
    number,
    percent,
    points,
)


def attack_table(rows: Sequence[Row], eps: float) -> tables.Table:
    """A line for each row and attack: the numbers behind the tables."""
    lines = []
    for row, name in [(each, name) for each in rows for name in each.attacks]:
        plain, other = row.sizes(name)
        equal = equal_success(plain.sizes)
        cells = [
            percent(each.rate(limit))
            for limit in (equal.budget, fixed_limit(plain, eps))
            for each in (plain, other)
        ]
        ever = [percent(each.ever) for each in (plain, other)]
        budgets = [
            number(rule(each)) for rule in READINGS.values() for each in (plain, other)
        ]
        ratios = [ratio_of(row, name, reading) for reading in READINGS]
        lines.append(
            [
                *(", ".join(row.title), f"{name} ({plain.norm})"),
                f"{len(plain.sizes)}/{len(other.sizes)}",
                number(equal.budget) + ("" if equal.reached else "*"),
                *cells,
                *ever,
                *budgets,
                *(
                    f"{each.adversarial.value / each.plain.value:.3g}"
                    if each
                    else tables.DASH
                    for each in ratios
                ),
                f"{other.queries:.0f}",
            ]
        )
    return tables.Table(
        [
            *("network", "attack", "clips", "budget", "fooled at it", "adv."),
            *("within limits", "adv.", "at all", "adv."),
            *("AUC budget", "adv.", "ROC budget", "adv."),
            *("ratio", "ratio, ROC", "queries"),
        ],
        lines,
        [
            "clips: attacked, of plain and of adversarially trained networks, all of "
            "them classified right; pairs of columns: plain, then adversarial",
            f"budget: the equal-success budget; *: the attack never fools {LEVEL:.0%} "
            "of the plain networks' clips, and this is where its success is greatest",
            "queries: forward passes a clip of the adversarially trained network",
            CLIPS_NOTE,
        ],
    )


def untargeted_table(results: Sequence[Result]) -> tables.Table:
    """A line for each attack with and without a target, on the same networks."""
    apart = [each for each in results if each.kind == "untargeted"]
    keys = {each.key for each in apart}
    targeted = rows_of([r for r in results if r.kind == "grid" and r.key in keys])
    free = rows_of(_as_grid(apart, results))
    groups = {
        kind: {row[:3]: row for row in rows}
        for kind, rows in (("reaches a class", targeted), ("leaves its own", free))
    }
    both = [key for key in groups["leaves its own"] if key in groups["reaches a class"]]
    lines = []
    names = dict.fromkeys(name for row in free for name in row.attacks)
    for name, (kind, rows) in itertools.product(names, groups.items()):
        some = [rows[key] for key in both if name in rows[key].attacks]
        sides, budgets, missed = ([], []), [], False
        for row in some:
            sizes = row.sizes(name)
            equal = equal_success(sizes[0].sizes)
            missed |= not equal.reached
            budgets.append(equal.budget)
            for side, each in zip(sides, sizes, strict=True):
                side.append(each.rate(equal.budget))
        if not some:
            continue
        plain, other = map(pooled, sides)
        lines.append(
            [
                *(name, kind, f"{len(some)}"),
                number(float(np.nanmedian(budgets))) + ("*" if missed else ""),
                *(percent(plain), percent(other)),
                points(clustered_difference(plain, other)),
            ]
        )
    return tables.Table(
        ["attack", "goal", "networks", "median budget", "plain", "adversarial"]
        + ["plain - adv."],
        lines,
        [
            "fooling rates at each network's equal-success budget, on one fold, the "
            "mean over networks; the same networks with both goals",
            "DeepFool has no target, and PIA needs one",
            "*: an attack never gets there on one of the networks; see above",
            CLIPS_NOTE,
        ]
        if lines
        else [],
    )


def _as_grid(apart: Sequence[Result], results: Sequence[Result]) -> list[Result]:
    """Cells of attacks alone, with the predictions of their networks in the grid."""
    of_grid = {(r.key, r.training): r for r in results if r.kind == "grid"}
    return [
        of_grid[each.key, each.training]._replace(attacks=each.attacks)
        for each in apart
        if (each.key, each.training) in of_grid
    ]


def resolution_table(results: Sequence[Result]) -> tables.Table:
    """Accuracy of plain networks at another input size beside that of the grid."""
    others = [each for each in results if each.kind == "resolution"]
    grid = {
        each.key: each
        for each in results
        if each.kind == "grid" and each.training == "plain"
    }
    groups = collections.defaultdict(list)
    for each in others:
        if each.key in grid:
            groups[each[1:4]].append(each)
    lines, models = [], {}
    for key, every in groups.items():
        usual = [grid[each.key] for each in every]
        models[f"`{every[0].model}` beside `{usual[0].model}`"] = True
        own, of_grid = accuracy(every), accuracy(usual)
        lines.append(
            [
                *(NAMES[name] for name in key),
                f"{len(every)}",
                *(percent(of_grid), percent(own)),
                points(clustered_difference(own, of_grid)),
                *(_fit_time(side[0]) for side in (usual, every)),
            ]
        )
    header = ["accuracy, %", "at the other size", "gain", "fit, s", "at the other, s"]
    return tables.Table(
        [*HEAD, "folds", *header],
        lines,
        [
            f"{'; '.join(models)}; plain networks on the same test clips",
            CLIPS_NOTE,
        ]
        if lines
        else [],
    )


def _fit_time(result: Result) -> str:
    """Seconds of a network's training; a dash where another start trained it."""
    seconds = result.results.get("fit_seconds")
    return tables.DASH if seconds is None else f"{seconds:.0f}"


def alpha_table(results: Sequence[Result], rows: Sequence[Row]) -> tables.Table:
    """Accuracy and fooling rates over the weight of the clean loss."""
    others = [each for each in results if each.kind == "alpha"]
    lines = []
    of_clips = recordings(results)
    for row in rows:
        mine = [each for each in others if each[1:4] == row[:3]]
        folds = {each.fold for each in mine}
        weights = {each.training for each in mine}
        names = [name for name in row.attacks if mine and name in mine[0].attacks]
        plain = tuple(each for each in row.plain if each.fold in folds)
        usual = tuple(each for each in row.adversarial if each.fold in folds)
        sides = {0.5: usual} | {
            float(w): tuple(each for each in mine if each.training == w)
            for w in weights
        }
        if not mine or not plain:
            continue
        base = Row(*row[:3], plain, plain, of_clips)
        for weight, side in [(1.0, plain), *sorted(sides.items(), reverse=True)]:
            of_side = Row(*row[:3], plain, side, of_clips)
            found = []
            for name in names:
                limit = equal_success(base.sizes(name)[0].sizes).budget
                found.append(of_side.sizes(name)[1].rate(limit))
            lines.append(
                [
                    *(*row.title, f"{weight:g}", f"{len(side)}"),
                    percent(accuracy(side)),
                    percent(pooled(found)) if found else tables.DASH,
                ]
            )
    return tables.Table(
        [*HEAD, "alpha", "folds", "accuracy, %", "fooling rate, %"],
        lines,
        [
            "alpha: weight of the clean loss, 1 for plain training and 0.5 in all "
            "other tables; fooling rate: mean over FGSM and BIM with a target, and "
            "DeepFool, at the equal-success budgets of the plain networks",
            CLIPS_NOTE,
        ]
        if lines
        else [],
    )
