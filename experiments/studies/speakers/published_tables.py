"""Our certificates beside O'Reilly's (2020), and those of several seeds."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from advjax.metrics.certified import (
    abstain_rate,
    average_certified_radius,
    certified_accuracy_lower_bound,
)
from advjax.reports.tables import (
    CLUSTERS_NOTE,
    DASH,
    PUBLICATION_RADII,
    Table,
    share_text,
)
from advjax.runs.columns import Rows
from advjax.smoothing import max_radius
from experiments.studies.speakers import published
from experiments.studies.speakers.certified_cells import (
    STAGES,
    Certified,
    certified_share,
    networks,
    num_utterances,
    on_same_points,
)
from experiments.studies.speakers.certified_sizes import WAVEFORM_MULTIPLES

RHO = 0.05
"""Failure probability of the lower bounds over the noise."""
WHY_LAST = (
    "the average certified radius (ACR) stands last because a trivial classifier can "
    "make it arbitrarily large, it rewards gains on easy clips far more than on hard "
    "ones, and it depends on the number of votes (Sun et al., ICML 2025, "
    "arXiv:2410.06895)"
)
STAR_NOTE = (
    "*: a lower bound, as the votes may have stopped before they tested this radius"
)


class Column(NamedTuple):
    """A column of certified accuracies.

    Attributes:
        header: of the column.
        radius: at a standard deviation of the noise.
    """

    header: str
    radius: Callable[[float], float]


def columns(stage: str, cells: Iterable[Certified]) -> list[Column]:
    """The publication's radii; at the waveform multiples of sigma, and those in reach.

    Args:
        stage: where the noise enters.
        cells: those whose reach counts.
    """
    fixed = _columns(PUBLICATION_RADII)
    if stage != "waveform":
        return fixed
    most = max((cell.run.cap for cell in cells), default=0.0)
    own = [
        Column(f"r={multiple:g}σ", lambda sigma, m=multiple: round(m * sigma, 6))
        for multiple in WAVEFORM_MULTIPLES
    ]
    return own + [column for column in fixed if column.radius(0) <= most]


def _columns(radii: Iterable[float]) -> list[Column]:
    return [Column(f"r={radius:g}", lambda sigma, r=radius: r) for radius in radii]


def entry(cells: Sequence[Certified], rows: Sequence[Rows], radius: float) -> str:
    """The certified accuracy of cells as text; a dash beyond the reach of one."""
    if radius > min(cell.run.cap for cell in cells):
        return DASH
    text = share_text(certified_share(rows, radius))
    if all(cell.tests(radius) for cell in cells):
        return text
    value, _, interval = text.partition(" ")
    return f"{value}* {interval}"


def stage_table(stage: str, cells: Sequence[Certified]) -> Table:
    """Certified accuracies of a stage: O'Reilly's and ours, row below row.

    Below ours stands the lower bound that allows for wrong certificates. No rows if no
    cell of the stage is finished.
    """
    groups = networks(cells, stage=stage)
    own = [cell for group in groups.values() for cell in group]
    his, radii = published.CERTIFIED.get(stage, {}), columns(stage, own)
    rows, done = [], set()
    for (sigma, training, by_chapter), group in groups.items():
        if sigma in his and sigma not in done:
            rows.append(_his_row(sigma, his[sigma]))
        done.add(sigma)
        name = f"ours, {training}{', by chapter' if by_chapter else ''}"
        rows += _our_rows(name, sigma, group, radii)
    header = ["σ", "network", "crops", *(column.header for column in radii)]
    notes = []
    if his:
        notes.append(
            f"{published.NAME}: his network, trained without noise, on ten "
            f"speakers of train-clean-360; n0 = 500, n = {published.NUM_ESTIMATION:,}, "
            f"α = {published.ALPHA:g}; 300 crops; no intervals were given"
        )
        notes += [*_zeros(his, groups), *_agreement(his, groups)]
    else:
        notes.append(f'{published.NAME} has no such table: "results pending"')
    notes += _settings_notes(own)
    notes += star_notes(rows)
    return Table([*header, "smoothed", "abstain", "ACR"], rows, notes)


def _his_row(sigma: float, accuracies: Sequence[float]) -> list[str]:
    texts = [f"{each:.2f}" if each else "0" for each in accuracies]
    crops = f"{published.NUM_POINTS}"
    return [f"{sigma:g}", published.NAME, crops, *texts, DASH, DASH, DASH]


def _our_rows(
    name: str, sigma: float, group: Sequence[Certified], radii: Sequence[Column]
) -> list[list[str]]:
    """The accuracies of one network, or the means of those of several seeds."""
    rows = on_same_points(group)
    if len(group) > 1:
        name += f", {len(group)} seeds"
    accuracy = [entry(group, rows, column.radius(sigma)) for column in radii]
    smoothed = share_text(certified_share(rows, 0.0))
    abstain = np.mean([abstain_rate(each.predict) for each in rows])
    acr = np.mean([average_certified_radius(e.correct, e.radius) for e in rows])
    first = [f"{sigma:g}", name, f"{len(rows[0])}", *accuracy]
    found = [[*first, smoothed, f"{abstain:.3f}", f"{acr:.4f}"]]
    alpha = group[0].run.alpha
    if alpha is not None:

        def least(radius: float) -> str:
            (value,) = certified_accuracy_lower_bound(
                np.array([certified_share(rows, radius).value]),
                num_points=sum(map(len, rows)),
                alpha=alpha,
                rho=RHO,
            )
            return f"{value:.3f}"

        reached = [
            DASH if text == DASH else least(column.radius(sigma))
            for column, text in zip(radii, accuracy, strict=True)
        ]
        found.append([f"{sigma:g}", "at least", "", *reached, least(0.0), DASH, DASH])
    return found


def _zeros(
    his: Mapping[float, Sequence[float]],
    groups: Mapping[tuple[float, str, bool], Sequence[Certified]],
) -> list[str]:
    """A sentence on his zeros beyond a cap, and our entries there."""
    caps: dict[float, float] = {}
    for (sigma, _, _), group in groups.items():
        most = max(cell.run.cap for cell in group)
        caps[sigma] = max(most, caps.get(sigma, 0.0))
    shown = [
        (sigma, radius, value)
        for sigma in caps
        for radius, value in zip(PUBLICATION_RADII, his.get(sigma, ()), strict=False)
    ]
    votes, alpha = published.NUM_ESTIMATION, published.ALPHA
    beyond = [
        (sigma, radius)
        for sigma, radius, value in shown
        if not value and radius > max_radius(sigma, votes, alpha)
    ]
    reached = sum(radius <= caps[sigma] for sigma, radius in beyond)
    total, zeros = len(shown), len(beyond)
    if not zeros:
        return []
    return [
        f"0: of his {total} entries here, {zeros} are zeros beyond the largest radius "
        f"that n = {published.NUM_ESTIMATION:,} can certify; there ours is a dash at "
        f"{zeros - reached} and an accuracy at {reached}"
    ]


def _agreement(
    his: Mapping[float, Sequence[float]],
    groups: Mapping[tuple[float, str, bool], Sequence[Certified]],
) -> Iterator[str]:
    """Sentences on his entries in and outside of our intervals, for each training."""
    trainings = dict.fromkeys(key[1] for key in groups)
    for training in trainings:
        counts = {"holds": 0, "lies above": 0, "lies below": 0}
        for (sigma, own, by_chapter), group in groups.items():
            if own != training or by_chapter:
                continue
            rows, cap = on_same_points(group), min(cell.run.cap for cell in group)
            pairs = zip(PUBLICATION_RADII, his.get(sigma, ()), strict=False)
            for radius, value in pairs:
                if not value or radius > cap:
                    continue
                low, high = certified_share(rows, radius).interval()
                # His have two digits.
                if low > value + 0.005:
                    counts["lies above"] += 1
                elif high < value - 0.005:
                    counts["lies below"] += 1
                else:
                    counts["holds"] += 1
        if total := sum(counts.values()):
            each = ", ".join(f"{verb} {count}" for verb, count in counts.items())
            yield f"of his {total} entries in reach, our interval ({training}) {each}"


def _settings_notes(cells: Sequence[Certified]) -> list[str]:
    """Sentences on our votes, bounds and intervals."""
    votes = dict.fromkeys(
        f"n0 = {cell.settings['num_selection']:,}, "
        f"{'at most ' if cell.stops_early else ''}"
        f"n = {cell.settings['num_estimation']:,} ({cell.settings['bound']}), "
        f"α = {cell.settings['alpha']:g}"
        for cell in cells
    )
    crops = dict.fromkeys(
        f"{len(cell.rows)} of {num_utterances(cell.rows)}" for cell in cells
    )
    found = [
        f"ours: {'; '.join(votes)}; crops of utterances: {', '.join(crops)}",
        "at least: with 95 % confidence over the noise, the share of these crops that "
        "is robust, at all radii of a row together, as each certificate may be wrong "
        "with probability α (Cohen et al. 2019, appendix F)",
        "smoothed: accuracy of the smoothed classifier, abstentions wrong; "
        f"{DASH}: beyond the largest radius that a run could certify, or not published",
        CLUSTERS_NOTE,
    ]
    if any("seed" in cell.axes for cell in cells):
        found.append(
            "seeds: the mean over networks trained with as many seeds; the bootstrap "
            "is over utterances and seeds, and three seeds show two thirds of the "
            "variance among networks"
        )
    if any("split" in cell.axes for cell in cells):
        found.append("by chapter: trained and tested on other chapters of a speaker")
    early = any(cell.stops_early for cell in cells)
    found.append(WHY_LAST + ("; here it is a lower bound" if early else ""))
    return found


def star_notes(rows: Sequence[Sequence[str]]) -> list[str]:
    """The meaning of a star, if a row has one."""
    return [STAR_NOTE] if any("* [" in text for row in rows for text in row) else []


def seeds_table(cells: Sequence[Certified]) -> Table:
    """Certified accuracies of each training seed, and their mean; no rows without."""
    rows = []
    for stage in STAGES:
        for (sigma, training, _), group in networks(cells, stage=stage).items():
            if len(group) < 2:
                continue
            radii = _columns(PUBLICATION_RADII)
            points = on_same_points(group)
            first = [stage, f"{sigma:g}", training]
            for cell, each in zip(group, points, strict=True):
                texts = [entry([cell], [each], c.radius(sigma)) for c in radii]
                rows.append([*first, f"{cell.settings['seed']}", *texts])
            texts = [entry(group, points, c.radius(sigma)) for c in radii]
            rows.append([*first, "mean", *texts])
    header = [f"r={radius:g}" for radius in PUBLICATION_RADII]
    return Table(
        ["noise at", "σ", "training", "seed", *header],
        rows,
        [
            "the same crops under each network; mean: its interval is over utterances "
            "and seeds",
            f"{DASH}: beyond the largest radius that a run could certify",
            CLUSTERS_NOTE,
            *star_notes(rows),
        ],
    )
