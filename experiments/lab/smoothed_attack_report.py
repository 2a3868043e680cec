"""Reports of attacks on a smoothed classifier: a table, a verdict, a figure."""

import collections
import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from advjax import catalog, smoothing
from advjax.metrics.shares import Share
from advjax.reports import figures, tables
from advjax.reports.files import write_report
from advjax.reports.page import Block, Heading
from advjax.runs import folder as runs
from advjax.runs.row_types import SMOOTHED_ATTACKS, Run, SmoothedAttackRow
from experiments.lab import caveats, certify_report, origins
from experiments.lab.smoothed_attack import attacked_places


class Verdict(NamedTuple):
    """Result of the attacks inside certified radii.

    Attributes:
        num_inside: perturbations that a certificate covered.
        broken: clips of which one of these flipped the vote.
        p_value: of so many, were each certificate, and all votes on a point together,
            wrong with probability alpha.
    """

    num_inside: int
    broken: Sequence[str]
    p_value: float


def verdict(
    rows: Sequence[SmoothedAttackRow], *, num_points: int, alpha: float
) -> Verdict:
    """A binomial test of the certificates over all certified points.

    Args:
        rows: of attacks.
        num_points: certified, right or not: each may be wrong.
        alpha: failure probability of a certificate, and of all votes on a point.
    """
    inside = [row for row in rows if row.inside]
    broken = sorted({row.clip for row in inside if row.flipped})
    rate = min(1.0, 2 * alpha)
    test = stats.binomtest(len(broken), num_points, rate, alternative="greater")
    return Verdict(len(inside), broken, float(test.pvalue))


def report(folder: pathlib.Path) -> str:
    """The text of a report; writes it, its table and `bounds.png` into the folder.

    Raises:
        ValueError: more certificates are contradicted than may be, after all is
            written.
    """
    rows = list(SMOOTHED_ATTACKS.read(folder))
    settings = runs.description(folder)["settings"]["certificates"]
    run, alpha = attacked_run(folder), settings["alpha"]
    table = attack_table(rows, num_points=len(run.rows))
    found = verdict(rows, num_points=len(run.rows), alpha=alpha)
    said = (
        f"{found.num_inside} perturbations lie inside the certified radius of their "
        f"clip; {len(found.broken) or 'none'} of the clips flipped there"
    )
    parts: list[Block] = [Heading("Attacks on the smoothed classifier", 1), table, said]
    texts = [tables.as_text(table)]
    try:
        figures.attacked_accuracy_plot(
            bound_curves(run, rows),
            folder / "bounds.png",
            x_label=f"l2 norm (units of {settings['noise_enters_at']})",
            title="The smoothed classifier's accuracy lies between",
        )
        parts.append("![certified and attacked accuracy](bounds.png)")
    except ImportError:
        texts.append("(no figure: pip install matplotlib)")
    remarks = caveats.of_runs([folder.parent])
    write_report(
        folder / "report.md", [*parts, *remarks], origin=origins.of_runs([folder])
    )
    if found.p_value < alpha:
        raise ValueError(
            f"certificates are contradicted: {', '.join(found.broken)} flipped inside "
            f"the certified radius, more of {len(run.rows)} points than certificates "
            f"and votes at alpha={alpha:g} allow (p = {found.p_value:.2g}). The "
            "classifier, the noise or the rounding differ from the certified ones"
        )
    return "\n\n".join([*texts, *remarks, said])


def attacked_run(folder: pathlib.Path) -> Run:
    """The certificates of the points that a run of attacks has taken.

    Args:
        folder: of the attacks, within that of the certificates.
    """
    run = certify_report.read_run(folder.parent)
    num_points = runs.description(folder)["settings"].get("num_points")
    if num_points is None:
        return run
    places = attacked_places(len(run.rows), num_points)
    return run._replace(rows=run.rows.take(np.argsort(run.rows.idx)[places]))


def attack_table(rows: Sequence[SmoothedAttackRow], *, num_points: int) -> tables.Table:
    """A line for each attack and budget: the votes on its perturbations."""
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row.attack, row.budget].append(row)
    texts = {text for text, _ in groups}
    names = {catalog.parse(text)[0] for text in texts}
    lines = []
    for (text, budget), group in groups.items():
        flipped = sum(row.flipped for row in group)
        sizes = [row.l2 for row in group if row.l2 > 0]
        counts = (
            flipped,
            sum(row.predict == smoothing.ABSTAIN for row in group),
            sum(row.inside for row in group),
            sum(row.inside and row.flipped for row in group),
        )
        lines.append(
            [
                catalog.parse(text)[0] if len(names) == len(texts) else text,
                budget,
                f"{len(group)}",
                f"{len(sizes)}",
                f"{np.median(sizes):.4g}" if sizes else tables.DASH,
                *map(str, counts),
                tables.share_text(Share(len(group) - flipped, num_points)),
            ]
        )
    header = ["attack", "budget", "attacked", "found", "median l2", "flipped"]
    return tables.Table(
        [*header, "abstained", "inside", "flipped inside", "accuracy left"],
        lines,
        [
            "found: perturbations, which a search for the smallest may miss; flipped: "
            "the vote on the perturbed clip names another class; inside: the "
            "perturbation is no larger than the certified radius",
            f"accuracy left: of all {num_points} points, those certified right and not "
            "flipped",
            tables.INTERVAL_NOTE,
        ],
    )


def bound_curves(
    run: Run, rows: Sequence[SmoothedAttackRow]
) -> list[figures.AttackedCurve]:
    """The accuracy that the attacks left, over the norm, and the certified accuracy.

    A clip that an attack has flipped at some norm counts as lost from there on.
    """
    radius, accuracy = figures.curve(run)
    # There an accuracy holds up to its radius, here from its size on.
    certified = figures.AttackedCurve(
        "certified: no perturbation of this norm flips more",
        radius,
        np.append(accuracy[1:], accuracy[-1]),
        stepped=True,
    )
    smallest: dict[str, float] = {}
    for row in rows:
        if row.flipped:
            smallest[row.clip] = min(row.l2, smallest.get(row.clip, math.inf))
    right, total = int(run.rows.correct.sum()), len(run.rows)
    falls = sorted(smallest.values())
    left = (right - np.arange(len(falls) + 1)) / total
    reach = max([row.l2 for row in rows], default=0.0)
    attacked = figures.AttackedCurve(
        "attacked: votes still right under the strongest attack tried",
        np.array([0.0, *falls, reach]),
        np.append(left, left[-1]),
        stepped=True,
    )
    return [attacked, certified]
