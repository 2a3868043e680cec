"""Radii of Gaussian noise by the probability of the top class, and by votes.

No network and no clip is needed: the radius follows from sigma and from the lower bound
on that probability, by one of three arguments. Neyman and Pearson's is exact for
Gaussian noise; divergences also serve noise whose worst case is not known.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from advjax import smoothing
from advjax.reports import figures, tables
from advjax.reports.files import write_report
from advjax.reports.page import Block, Heading
from advjax.reports.tables import DASH, Table
from advjax.smoothing.bounds.clopper_pearson import MOST_TRIALS
from advjax.smoothing.noises.f_divergence import kl_radius, renyi_radius
from advjax.smoothing.noises.gaussian import gaussian_radius

PROBABILITIES = (0.51, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)
COUNTS = (1_000, 10_000, 100_000)
"""Numbers of votes whose unanimous bound is a row of the table."""
RADII: Mapping[str, Callable[[float, float], float]] = {
    "Neyman and Pearson": gaussian_radius,
    "Rényi, best order": renyi_radius,
    "Kullback and Leibler": kl_radius,
}
"""(sigma, lower bound on the probability) -> l2 radius, by the name of the argument."""
_NUM_DRAWN = 60


def unanimous(num_votes: int, alpha: float) -> float:
    """The lower bound on the probability that a unanimous vote gives."""
    return smoothing.ClopperPearson.unanimous(num_votes, alpha)


def probability_table(sigma: float, alpha: float) -> Table:
    """The radius by each argument: a row for each probability of the top class.

    The last rows have the bounds of unanimous votes. No radius can be larger.
    """
    chosen = {f"{p:g}": p for p in PROBABILITIES}
    for count in COUNTS:
        p = unanimous(count, alpha)
        chosen[f"{p:.7g}, {count:,} of {count:,} votes"] = p
    exact, *others = RADII
    rows = []
    for title, p in chosen.items():
        largest = RADII[exact](sigma, p)
        row = [title, f"{largest:.4g}"]
        for name in others:
            radius = RADII[name](sigma, p)
            row += [f"{radius:.4g}", f"{radius / largest:.2f}"]
        rows.append(row)
    header = ["p", exact]
    for name in others:
        header += [name, f"{name.partition(',')[0]}, relative"]
    return Table(
        header,
        rows,
        [
            f"l2 radius of Gaussian noise, sigma = {sigma:g}; p: lower bound on the "
            "probability of the top class",
            "Neyman and Pearson's radius is exact for Gaussian noise (Cohen et al. "
            "2019); the others hold for any noise of bounded divergence; relative: to "
            "Neyman and Pearson's",
            f"votes: a unanimous vote at alpha = {alpha:g}",
        ],
    )


def vote_table(sigma: float, alpha: float, radii: Sequence[float]) -> Table:
    """The fewest votes that certify each radius, all of them for one class."""
    rows = []
    for radius in radii:
        count = _fewest(radius, sigma, alpha)
        text = DASH if count is None else f"{count:,}"
        rows.append([f"{radius:g}", f"{radius / sigma:.2f}", text])
    largest = ", ".join(
        f"{smoothing.max_radius(sigma, count, alpha):.4g} with {count:,}"
        for count in COUNTS
    )
    return Table(
        ["radius", "in sigma", "votes"],
        rows,
        [
            f"fewest votes, all for one class, that certify the radius at sigma = "
            f"{sigma:g}, alpha = {alpha:g}; {DASH}: more than {MOST_TRIALS:,}",
            f"largest radius by votes: {largest}",
        ],
    )


def _fewest(radius: float, sigma: float, alpha: float) -> int | None:
    """See `vote_table`; None beyond the most votes that a certificate takes."""
    # Before it is asked for, as so large a radius has no number of votes at all.
    if radius > smoothing.max_radius(sigma, MOST_TRIALS, alpha):
        return None
    return smoothing.num_for_radius(radius, sigma, alpha)


def plot(path: pathlib.Path, sigma: float, alpha: float) -> pathlib.Path:
    """Draw the radius by each argument over the probability; return the path."""
    last = unanimous(COUNTS[-1], alpha)
    # Equally far apart on the axis of the figure.
    odds = np.linspace(0.0, np.log(last / (1 - last)), _NUM_DRAWN)
    probabilities = (1 / (1 + np.exp(-odds))).tolist()
    return figures.line_plot(
        {
            name: [(p, radius(sigma, p)) for p in probabilities]
            for name, radius in RADII.items()
        },
        path,
        x_label="lower bound on the probability of the top class",
        y_label="certified l2 radius",
        x_scale="logit",
        title=f"Radii of Gaussian noise, sigma = {sigma:g}",
    )


def report(
    out: pathlib.Path, *, sigma: float, alpha: float, radii: Sequence[float]
) -> str:
    """The text of a report; writes `report.md`, its tables and `radii.png` into `out`.

    Args:
        out: the folder of the report.
        sigma: standard deviation of the noise.
        alpha: failure probability of a certificate.
        radii: of the table of votes.
    """
    votes = vote_table(sigma, alpha, radii)
    by_probability = probability_table(sigma, alpha)
    parts: list[Block] = [
        Heading("Radii of Gaussian noise", 1),
        Heading("Votes for a radius"),
        votes,
        Heading("Radius by the probability of the top class"),
        by_probability,
    ]
    texts = [tables.as_text(votes), tables.as_text(by_probability)]
    out.mkdir(parents=True, exist_ok=True)
    try:
        plot(out / "radii.png", sigma, alpha)
        parts.append("![radius over the probability](radii.png)")
    except ImportError:
        texts.append("(no figure: pip install matplotlib)")
    write_report(out / "report.md", parts)
    return "\n\n".join(texts)
