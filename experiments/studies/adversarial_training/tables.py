"""Tables and figures of the adversarial-training study."""

import collections
import contextlib
import math
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, NamedTuple

from advjax import catalog
from advjax.metrics.clustered import (
    clustered_difference,
    clustered_mean_ratio,
)
from advjax.reports import figures, tables
from advjax.reports.page import Block, Heading, Picture
from advjax.runs.cells import ANY, Real
from advjax.runs.rows import Schema
from experiments.lab import claims
from experiments.lab.grid import Found
from experiments.lab.study_tables import sections
from experiments.studies.adversarial_training import curve, published
from experiments.studies.adversarial_training.claims import claimed
from experiments.studies.adversarial_training.further_tables import (
    alpha_table,
    attack_table,
    resolution_table,
    untargeted_table,
)
from experiments.studies.adversarial_training.names import HEAD, NAMES
from experiments.studies.adversarial_training.results import (
    L0_SHARE,
    LEVEL,
    READINGS,
    EqualSuccess,
    Result,
    Row,
    Sizes,
    equal_success,
    fixed_limit,
    pooled,
    rates,
    ratio_of,
    read_all,
    recordings,
    rows_of,
)
from experiments.studies.adversarial_training.sizes import ATTACKS
from experiments.studies.adversarial_training.texts import CLIPS_NOTE, percent, points
from experiments.studies.image_corpora import NUM_CLASSES

RANGES = {
    "drop": "6.9 to 29.2 points",
    "fooling": "49.3 to 76.4 %",
    "ratio": "1.231 to 2.892",
}
"""Of all 48 entries of each of the publication's tables."""


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
    recording: str = ""
    clean_doubt: Annotated[float, Real(words=ANY, format=".4g")] = math.nan
    doubt: Annotated[float, Real(words=ANY, format=".4g")] = math.nan


# Earlier versions wrote no recording and no doubts.
NEEDED = Schema(NeededRow, "what attacks need", quoted=True, optional=3)


class PredictedRow(NamedTuple):
    """The prediction of a network on a test clip: a line of predictions.tsv."""

    kind: str
    corpus: str
    representation: str
    network: str
    fold: int
    training: str
    clip: str
    recording: str
    label: int
    predict: int


PREDICTED = Schema(PredictedRow, "predictions of networks", quoted=True)


def report(found: Found) -> Iterator[Block]:
    """Claims, tables and figures; writes needed.tsv and predictions.tsv."""
    size, out = found.preset, found.out
    results = read_all(found.cells)
    rows = sorted(rows_of(results), key=lambda row: row[:3])
    write_needed(results, out / "needed.tsv")
    write_predictions(results, out / "predictions.tsv")
    yield Heading("Adversarially trained audio classifiers", 1)
    if size.curve is not None:
        chosen = {"Length of the trainings": curve.table(out, size, found.cells)}
        yield from sections(chosen)
        with contextlib.suppress(ImportError):
            yield from curve.draw(out, found.cells)
    if not rows:
        yield "No network has both of its trainings yet."
        return
    yield _entries_beside(rows)
    if absent := ", ".join(_absent(found, rows)):
        yield f"Not run, or not yet: {absent}."
    every = {"Claims of the publication": claims.table(claimed(rows, size.eps))}
    yield from sections(every)
    for title, table, kind in (
        ("Recognition accuracy with (and drop by) adversarial training, %",
         accuracy_table, "drop"),
        ("Fooling rate at the equal-success budget, %", equal_table, "fooling"),
        ("Fooling rate within fixed limits, %",
         lambda some: fixed_table(some, size.eps), "fooling"),
        ("Average perturbation ratio", ratio_table, "ratio"),
    ):  # fmt: skip
        yield from _beside_and_apart(title, table, kind, rows)
    more = {
        "With and without a target, %": untargeted_table(results),
        "ResNet-56 at another input size": resolution_table(results),
        "Weight of the clean loss": alpha_table(results, rows),
        "Every attack": attack_table(rows, size.eps),
    }
    yield from sections(more)
    with contextlib.suppress(ImportError):
        if draw(rows, out / "success.png"):
            yield Picture(out / "success.png", "success over the perturbation allowed")


def write_needed(results: Sequence[Result], file: pathlib.Path) -> None:
    """Write a line for every attack on every clip: the data of tables and figure."""
    of_clips = recordings(results)
    rows = []
    for each in results:
        kind = "" if each.kind == "grid" else f", {each.kind}"
        for name, found in each.attacks.items():
            columns = zip(*(found[i] for i in (0, 1, 3, 4, 5)), strict=True)
            rows += [
                NeededRow(
                    *(*each[1:6], name + kind, id, found.norm, size, queries),
                    *(of_clips.get((each.corpus, id), ""), clean, doubt),
                )
                for id, size, queries, clean, doubt in columns
            ]
    NEEDED.write(file, rows)


def write_predictions(results: Sequence[Result], file: pathlib.Path) -> None:
    """Write a line for every network and test clip: the data of accuracies."""
    rows = [
        PredictedRow(*each[:6], *row)
        for each in results
        if each.predictions is not None
        for row in zip(
            *(getattr(each.predictions, name) for name in ("id", "recording")),
            *(
                getattr(each.predictions, name).tolist()
                for name in ("label", "predict")
            ),
            strict=True,
        )
    ]
    PREDICTED.write(file, rows)


def entry_of(row: Row) -> published.Entry | None:
    """The publication's entries on the row's corpus, representation and network."""
    return published.entry(row.corpus, row.representation, row.network)


def _entries_beside(rows: Sequence[Row]) -> str:
    """A sentence on the publication's entries that have ours beside them."""
    beside = [row for row in rows if entry_of(row)]
    attacked = [row for row in beside if row.attacks]
    count = len(beside) + 2 * len(attacked)
    names = "; ".join(dict.fromkeys(", ".join(row.title) for row in beside))
    other = dict.fromkeys(NAMES[r.corpus] for r in rows if not entry_of(r))
    text = (
        f"Of the publication's {published.NUM_ENTRIES} entries (three tables of two "
        f"corpora, four representations and six networks), {count} have ours beside "
        f"them{': ' + names if names else ''}."
    )
    if other:
        text += (
            f" It has no {' or '.join(other)}, whose tables stand apart: ten classes "
            "of ESC-50 are another task than fifty."
        )
    return text


KINDS = {
    "resolution": "the other input size",
    "alpha": "other weights of the clean loss",
    "untargeted": "attacks without a target",
    "pia": "PIA",
}
"""Cells beside the grid, in words."""


def _absent(found: Found, rows: Sequence[Row]) -> Iterator[str]:
    """Parts of the study of which no cell, or no pair of cells, is finished."""
    size = found.preset
    kinds = {cell["kind"] for cell in found.cells}
    unasked = {
        *(() if size.other_resolution else ("resolution",)),
        *(() if size.alphas else ("alpha",)),
    }
    yield from (text for kind, text in KINDS.items() if kind not in kinds | unasked)
    there = {row[:3] for row in rows}
    for corpus in dict.fromkeys(row.corpus for row in rows):
        for representation in size.representations:
            for network in map(catalog.parse, size.networks):
                key = (corpus, representation, network[0])
                if key not in there:
                    yield " ".join(NAMES[name] for name in key)
    for corpus, folds in size.folds.items():
        done = {r.fold for row in rows if row.corpus == corpus for r in row.plain}
        if done and len(done) < len(folds):
            yield f"{len(folds) - len(done)} of {len(folds)} folds of {NAMES[corpus]}"


def _beside_and_apart(
    title: str,
    table: Callable[[Sequence[Row]], tables.Table],
    kind: str,
    rows: Sequence[Row],
) -> Iterator[Block]:
    """A table of the rows that the publication has, and one of the others."""
    beside = [row for row in rows if entry_of(row)]
    apart = [row for row in rows if not entry_of(row)]
    if beside:
        yield from sections({title: table(beside)})
    if apart:
        names = " and ".join(dict.fromkeys(NAMES[row.corpus] for row in apart))
        header, lines, notes = table(apart)
        kept = [i for i, name in enumerate(header) if name != published.NAME]
        lines = [[line[i] for i in kept] for line in lines]
        notes = [each for each in notes if not each.startswith(published.NAME)]
        note = f"the publication has no {names}; its entries elsewhere: {RANGES[kind]}"
        apart = tables.Table([header[i] for i in kept], lines, [*notes, note])
        yield from sections({f"{title}: {names}": apart})


def _all_of(rows: Sequence[Row]) -> list[list[Row]]:
    """Each row, then those of each corpus that has several."""
    by_corpus = collections.defaultdict(list)
    for row in rows:
        by_corpus[row.corpus].append(row)
    together = [every for every in by_corpus.values() if len(every) > 1]
    return [*([row] for row in rows), *together]


def _title(some: Sequence[Row]) -> list[str]:
    first = some[0]
    if len(some) == 1:
        return first.title
    return [NAMES[first.corpus], "all", f"{len({row.network for row in some})}"]


def _published(some: Sequence[Row], digits: int, *fields: str) -> list[str]:
    """The publication's numbers of a single row; dashes for several rows."""
    found = entry_of(some[0]) if len(some) == 1 else None
    if found is None:
        return [tables.DASH] * len(fields)
    return [f"{getattr(found, field):.{digits}f}" for field in fields]


def accuracy_table(rows: Sequence[Row]) -> tables.Table:
    """Table 1 of the publication: accuracy of the plain network, and its drop."""
    lines = []
    for some in _all_of(rows):
        plain, other = (
            pooled([row.accuracy(training) for row in some])
            for training in ("plain", "adversarial")
        )
        his = _published(some, 2, "accuracy", "drop")
        folds = {r.fold for row in some for r in row.plain}
        clips = sum(len(r.predictions) for r in some[0].plain)
        lines.append(
            [
                *(*_title(some), f"{len(folds)}", f"{clips}", percent(plain), his[0]),
                *(percent(other), points(clustered_difference(plain, other)), his[1]),
            ]
        )
    header = [*HEAD, "folds", "clips", "plain", published.NAME, "adversarial", "drop"]
    return tables.Table(
        [*header, published.NAME],
        lines,
        [
            "all test clips of the folds, none of them shifted in pitch; the drop is "
            "that of the same clips, in points",
            CLIPS_NOTE,
            f"{published.NAME}: its accuracy, and the number in brackets behind it, "
            "which we take as the drop in points",
            *_parts(rows),
        ],
    )


def _parts(rows: Sequence[Row]) -> Iterator[str]:
    """A sentence on corpora of which a part is at hand."""
    for corpus in dict.fromkeys(row.corpus for row in rows):
        seen = {
            id for row in rows if row.corpus == corpus
            for each in row.plain for id in each.predictions.id
        }  # fmt: skip
        found = {
            r.results["num_classes"]
            for row in rows
            if row.corpus == corpus
            for r in row.plain
        }
        classes = max(found)
        whole = NUM_CLASSES[corpus]
        part = "" if classes == whole else f", {classes} of {whole} classes"
        yield f"{NAMES[corpus]}: {len(seen)} test clips in the folds at hand{part}"


def _rates_table(
    rows: Sequence[Row],
    limit: Callable[[Sizes], EqualSuccess],
    notes: Sequence[str],
) -> tables.Table:
    lines = []
    for some in _all_of(rows):
        found = rates(some, limit)
        if found is None:
            continue
        star = "*" if found.missed else ""
        fall = clustered_difference(found.plain, found.adversarial)
        lines.append(
            [
                *(*_title(some), found.num_attacks + star, percent(found.plain)),
                *(percent(found.adversarial), *_published(some, 2, "fooling_rate")),
                points(fall),
            ]
        )
    header = [*HEAD, "attacks", "plain", "adversarial", published.NAME, "plain - adv."]
    return tables.Table(
        header,
        lines,
        [
            *notes,
            "fooled: the target is reached or, by DeepFool, the class is left; means "
            "over attacks on clips that the network has right; lower is more robust",
            CLIPS_NOTE,
            f"{published.NAME}: of adversarially trained networks, with limits that it "
            "does not state",
        ],
    )


def equal_table(rows: Sequence[Row]) -> tables.Table:
    """Table 2, at the budget that fools 90 % of the plain networks' clips."""
    notes = [
        f"the budget of each attack is the smallest at which it fools {LEVEL:.0%} of "
        "the plain networks' clips of the row; the last table has all budgets",
        "*: an attack of the row never fools as many, and is compared at the budget of "
        "its greatest success",
        "intervals are those of the rates at these budgets, which are held fixed",
    ]
    return _rates_table(rows, lambda sizes: equal_success(sizes.sizes), notes)


def fixed_table(rows: Sequence[Row], eps: float) -> tables.Table:
    """Table 2, within limits that do not depend on the attack's success."""
    notes = [
        f"limits: linf {eps:g}, l2 {eps:g} sqrt(entries), l0 {L0_SHARE:.0%} of the "
        "entries; below PIA's smallest budget, and far above what attacks in l2 need"
    ]
    return _rates_table(
        rows, lambda sizes: EqualSuccess(fixed_limit(sizes, eps), True), notes
    )


def ratio_table(rows: Sequence[Row]) -> tables.Table:
    """Table 3: perturbation needed with adversarial training over that without."""
    lines = []
    for some in _all_of(rows):
        cells, counts = [], []
        for reading in READINGS:
            found = [
                ratio
                for row in some
                for name in row.attacks
                if (ratio := ratio_of(row, name, reading))
            ]
            counts.append(f"{len(found)}/{sum(len(row.attacks) for row in some)}")
            if not found:
                cells.append(tables.DASH)
                continue
            value, low, high, _ = clustered_mean_ratio([f[:2] for f in found])
            star = "" if all(each.whole for each in found) else "*"
            cells.append(f"{value:.3f}{star} [{low:.2f}, {high:.2f}]")
        lines.append([*_title(some), counts[0], *cells, *_published(some, 3, "ratio")])
    return tables.Table(
        [*HEAD, "attacks", *READINGS, published.NAME],
        lines,
        [
            "mean size of perturbations on adversarially trained networks over that on "
            "plain ones, the mean over attacks; clips within the budget of the rule "
            f"AUC > {LEVEL}, of each training its own",
            "two readings of the rule, whose curve the publication does not define. "
            "Area under success: the mean success over budgets from 0 to the budget. "
            "Area under ROC: how well one minus the probability of the clip's class "
            "tells attacked clips from clean ones",
            f"attacks: those that count. One that never fools {LEVEL:.0%} of the plain "
            "networks' clips at any budget is left out: no budget makes it as strong "
            "as the others, and the few clips that it fools are the easiest",
            "*: of an attack no budget meets the rule on one of the trainings; all "
            "clips fooled count then, and where the adversarially trained one resists "
            "the ratio is too low",
            CLIPS_NOTE,
        ],
    )


def draw(rows: Sequence[Row], path: pathlib.Path) -> bool:
    """Draw success over the budget, a panel for each data set and attack."""
    drawn = collections.defaultdict(list)
    for row in rows:
        data = ", ".join(row.title[:2])
        for name in row.attacks:
            for training, each in zip(
                ("plain", "adversarial"), row.sizes(name), strict=True
            ):
                label = f"{NAMES[row.network]}, {training}"
                drawn[data, name].append(
                    figures.Staircase(label, each.sizes, each.norm)
                )
    if drawn:
        figures.staircase_plot(
            drawn,
            path,
            rows=list(dict.fromkeys(data for data, _ in drawn)),
            columns=[n for n in ATTACKS if any(n in row.attacks for row in rows)],
            y_label="share of clips fooled",
        )
    return bool(drawn)
