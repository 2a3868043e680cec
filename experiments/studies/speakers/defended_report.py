"""Tables and figure of the study of defended speakers."""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from advjax import catalog
from advjax.metrics.bootstrap import percentile_interval, resampled_weights
from advjax.metrics.clustered import ClusteredShare, clustered_share
from advjax.metrics.shares import Share
from advjax.records import spread
from advjax.reports import figures, tables
from advjax.reports.page import Block, Heading
from advjax.runs import folder as runs
from advjax.runs.columns import Rows, concatenate
from advjax.runs.row_types import (
    ATTACK_ROWS,
    SMOOTHED_ATTACKS,
    Run,
    SmoothedAttackRow,
)
from experiments.lab import audibility, caveats, cell_files, certify_report
from experiments.lab.caveats import recording_of
from experiments.lab.cells import Cell
from experiments.lab.grid import Found, Job, Step
from experiments.lab.smoothed_attack_report import attacked_run, bound_curves
from experiments.lab.steps import is_whole
from experiments.lab.study_tables import sections
from experiments.studies.speakers import heuristics, selection

SIGMAS = {"mfbe": 0.5, "magnitude": 0.5, "waveform": 0.01}
"""Noise in which the networks of the study of certified speakers know most clips."""
CERTIFIED, ATTACKED = (1.0, 2.0, 2.4), (2.0, 4.0)
"""Norms of the tables in sigmas. 2.46 is the cap of 1,000 votes."""


class Hits(NamedTuple):
    """Clips, and True for each that is right."""

    ids: tuple[str, ...]
    right: Bool[np.ndarray, "clips"]


class Finished(NamedTuple):
    """The rows of a finished cell.

    Attributes:
        training: its defence with options, without the noise.
        seed: of the training.
        clean: clips without attack, of the smoothed classifier where there is one.
        certified: its certificates, if it has any.
        left: clips under PGD of the norms `ATTACKED`.
        attacked_run: the certificates of the clips that were attacked.
        attacks: rows of all attacks on them.
        falls: norms at which clips of a plain network fall to DeepFool, rising.
    """

    training: str
    seed: int
    clean: Hits
    certified: Run | None
    left: Sequence[Hits]
    attacked_run: Run | None = None
    attacks: Sequence[SmoothedAttackRow] = ()
    falls: Sequence[float] = ()


@dataclasses.dataclass(frozen=True)
class Thresholds(Step):
    """The smallest audible l2 norm beside each of so many test clips."""

    num_points: int

    def run(self, job: Job) -> dict[str, Any]:
        """Return the norms, rising."""
        records = job.resolve().data
        source, rate = records.split("test"), records.info.representation.sample_rate_hz
        places = spread(len(source), min(self.num_points, len(source)))
        clips = (source[int(index)]["audio"] for index in places)
        found = [audibility.smallest_audible(c, sample_rate_hz=rate) for c in clips]
        return {"heard": sorted(found)}


def is_complete(folder: pathlib.Path) -> bool:
    """True if a folder of an earlier version has all rows of a cell."""
    if is_whole(folder):
        return bool(_smoothed_attacks(folder))
    return is_whole(folder / "smallest")


def report(found: Found) -> Iterator[Block]:
    """Settings, a table and figure for each stage, gaps, attacks, and heuristics."""
    kinds = ("selection/", "heuristics/")
    every = {c: f for c, f in found.cells.items() if not c.path.startswith(kinds)}
    cells = {cell: read(cell, folder) for cell, folder in every.items()}
    yield Heading("Defended speakers", 1)
    settings = {"Settings, chosen on validation crops": selection.table(found.out)}
    yield from sections(settings)
    for stage in SIGMAS:
        here = [each for cell, each in cells.items() if cell["stage"] == stage]
        title = f"Noise and perturbations at the {stage}"
        yield from sections({title: stage_table(stage, here)})
        if lines := bound_lines(here):
            figures.attacked_accuracy_plot(
                lines,
                found.out / f"{stage}.png",
                x_label=f"l2 norm at the {stage}",
                title="What the strongest attack tried left, and what is certified",
            )
            yield f"![certified and attacked accuracy]({stage}.png)"
    at_mfbe = [each for cell, each in cells.items() if cell["stage"] == "mfbe"]
    gaps = {"The share of the gap that a training closes": gap_table(at_mfbe)}
    yield from sections(gaps)
    heard = [cell_files.results(folder).get("heard") for folder in every.values()]
    if lines := meaning_curves(
        {cell.path: each for cell, each in cells.items()}, heard
    ):
        figures.attacked_accuracy_plot(
            lines,
            found.out / "meaning.png",
            x_label="l2 norm at the waveform (full scale 1)",
            y_label="share of clips",
            title="What is certified, attacked, and heard",
            logarithmic=True,
        )
        yield "![certified, attacked, heard](meaning.png)"
    inside = inside_table(cells)
    yield from sections({"Attacks inside of certified radii": inside})
    table = heuristics.table(found.out / "heuristics")
    yield from sections({"Heuristics under the same attacks": table})
    folders = [f for each in every.values() for f in (each, each / "smallest")]
    yield from caveats.of_runs([f for f in folders if (f / "run.json").exists()])


def read(cell: Cell, folder: pathlib.Path) -> Finished:
    """The rows of a finished cell."""
    seed = dict(cell.values).get("seed", 0)
    if attacks := _smoothed_attacks(folder):
        run = _in_order(certify_report.read_run(folder))
        defence = runs.description(folder)["settings"]["defence"]
        part = _in_order(attacked_run(attacks[0]))
        rows = [row for each in attacks for row in SMOOTHED_ATTACKS.read(each)]
        ids = tuple(part.rows.id)
        left = []
        for multiple in ATTACKED:
            held = {
                row.clip
                for row in rows
                if row.budget == f"{multiple:g} sigma" and row.predict == row.label
            }
            left.append(Hits(ids, np.array([id in held for id in ids])))
        clean = Hits(tuple(run.rows.id), run.rows.correct)
        return Finished(_without_sigma(defence), seed, clean, run, left, part, rows)
    left = []
    for multiple in ATTACKED:
        rows = ATTACK_ROWS.read(folder / f"{multiple:g}")
        right = (rows.clean == rows.label) & ~rows.success
        left.append(Hits(tuple(rows.id), right))
    rows = ATTACK_ROWS.read(folder / "smallest")
    known = rows.clean == rows.label
    falls = np.sort(rows.l2[known & rows.success])
    clean = Hits(tuple(rows.id), known)
    return Finished(cell["training"], seed, clean, None, left, falls=falls)


def _in_order(run: Run) -> Run:
    """The run with its rows as in the split: those of all seeds then agree."""
    return run._replace(rows=run.rows.take(np.argsort(run.rows.idx)))


def _smoothed_attacks(folder: pathlib.Path) -> list[pathlib.Path]:
    """The attacks on a cell's certificates; those of its last start, if older."""
    results = cell_files.results(folder)
    names = [results.get(name) for name in ("smoothed_attacks", "carlini_wagner")]
    if names[0]:
        return [folder / name for name in names if name]
    return sorted(folder.glob("smoothed_attacks-*"))[:1]


def _without_sigma(defence: str) -> str:
    """A training's text without the noise, which is the stage's."""
    name, options = catalog.parse(defence)
    rest = [f"{key}={value!r}" for key, value in options.items() if key != "sigma"]
    return f"{name}({', '.join(rest)})" if rest else name


def _by_training(cells: Sequence[Finished]) -> dict[str, list[Finished]]:
    """The cells of each training, one a seed, by name: its settings may be chosen."""
    found: dict[str, list[Finished]] = {}
    for each in cells:
        found.setdefault(each.training, []).append(each)
    return found


def _share(hits: Sequence[Hits]) -> ClusteredShare:
    """The share of right clips in runs on the same clips, by recording."""
    return clustered_share(
        [each.right for each in hits], [recording_of(id) for id in hits[0].ids]
    )


def stage_table(stage: str, cells: Sequence[Finished]) -> tables.Table:
    """A line for each training: certified accuracies, and accuracy under PGD."""
    sigma, lines, seeds = SIGMAS[stage], [], set()
    trainings = _by_training(cells)
    base = trainings.get("gaussian")
    for training, every in trainings.items():
        seeds.add(len(every))
        certified = [tables.DASH] * (len(CERTIFIED) + 2)
        if every[0].certified:
            shares = [
                _share([_reaching(each, multiple * sigma) for each in every])
                for multiple in CERTIFIED
            ]
            certified = [*map(tables.share_text, shares), _acr_text(every)]
            gap = gap_closed(every, base) if base else None
            certified.append(_gap_text(gap) if gap else tables.DASH)
        clean, *left = (
            tables.share_text(_share(hits))
            for hits in zip(*((each.clean, *each.left) for each in every), strict=True)
        )
        lines.append([training, clean, *certified, *left])
    radii = [f"r={multiple * sigma:g}" for multiple in CERTIFIED]
    most = max(seeds, default=1)
    repeated = f" and training seeds, at most {most} a training" if most > 1 else ""
    return tables.Table(
        ["training", "clean", *radii, "ACR", "of the gap"]
        + [f"PGD {multiple * sigma:g}" for multiple in ATTACKED],
        lines,
        [
            f"noise of sigma {sigma:g} at {stage}; plain is not smoothed; r: "
            "certified accuracy; of the gap: of what lies between gaussian's average "
            "certified radius (ACR) and the cap; PGD: right under l2 PGD of that norm, "
            "on the mean over noise where smoothed",
            "in brackets or below a number: its 95 % interval, by bootstrap over "
            f"recordings{repeated}",
        ],
    )


def _reaching(cell: Finished, radius: float) -> Hits:
    """The clips that are certified right at a radius."""
    rows = cell.certified.rows
    return Hits(tuple(rows.id), rows.correct & (rows.radius >= radius))


def _radii(cells: Sequence[Finished]) -> Float[np.ndarray, "seeds clips"]:
    """Certified radii, 0 where a clip is not certified right."""
    rows = [each.certified.rows for each in cells]
    return np.stack([np.where(each.correct, each.radius, 0.0) for each in rows])


def _resampled_acr(cells: Sequence[Finished], weights: np.ndarray) -> np.ndarray:
    """Average radii over resampled recordings: [resamples, seeds]."""
    return weights @ _radii(cells).T


def _weights(cells: Sequence[Finished]) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap weights of clips, by recording, and of seeds, independent of them."""
    groups = [recording_of(id) for id in cells[0].certified.rows.id]
    return resampled_weights(groups), resampled_weights(range(len(cells)), seed=1)


def _acr_text(cells: Sequence[Finished]) -> str:
    of_clips, of_seeds = _weights(cells)
    acr = (_resampled_acr(cells, of_clips) * of_seeds).sum(axis=1)
    low, high = percentile_interval(acr)
    return f"{_radii(cells).mean():.4f} [{low:.3f}, {high:.3f}]"


class Gap(NamedTuple):
    """The share of the gap between Gaussian training and the cap that is closed.

    Attributes:
        mean: of the average radii over all seeds.
        interval: by bootstrap over recordings and training seeds, of 95 %.
        each: of each seed that both trainings have, against Gaussian's of that seed.
    """

    mean: float
    interval: tuple[float, float] | None
    each: Mapping[int, float]


def gap_closed(cells: Sequence[Finished], base: Sequence[Finished]) -> Gap | None:
    """Compare a training with Gaussian training, seed by seed; None without one.

    Recordings are resampled for both trainings together, and so are seeds.
    """
    mine = {each.seed: each for each in cells}
    other = {each.seed: each for each in base}
    seeds = sorted(mine.keys() & other.keys())
    if not seeds:
        return None
    cells, base = [mine[seed] for seed in seeds], [other[seed] for seed in seeds]
    cap = cells[0].certified.cap

    def share(acr, of_gaussian):
        return (acr - of_gaussian) / (cap - of_gaussian)

    acr, of_gaussian = _radii(cells).mean(axis=1), _radii(base).mean(axis=1)
    each = dict(zip(seeds, map(float, share(acr, of_gaussian)), strict=True))
    interval = None
    if cells[0] is not base[0]:
        of_clips, of_seeds = _weights(cells)
        drawn = [
            (_resampled_acr(every, of_clips) * of_seeds).sum(axis=1)
            for every in (cells, base)
        ]
        interval = percentile_interval(share(*drawn))
    return Gap(float(share(acr.mean(), of_gaussian.mean())), interval, each)


def _gap_text(gap: Gap) -> str:
    if gap.interval is None:
        return f"{gap.mean:+.2f}"
    low, high = gap.interval
    return f"{gap.mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def gap_table(cells: Sequence[Finished]) -> tables.Table:
    """A line for each training: the share of the gap that it closes, seed by seed."""
    trainings = _by_training([each for each in cells if each.certified])
    base, lines = trainings.pop("gaussian", []), []
    gaps = {name: gap_closed(every, base) for name, every in trainings.items()}
    gaps = {name: gap for name, gap in gaps.items() if gap}
    seeds = sorted(set().union(*(gap.each for gap in gaps.values())))
    if len(seeds) < 2:
        return tables.Table([], [])
    for training, gap in gaps.items():
        values = list(gap.each.values())
        of_seeds = tables.DASH
        if len(values) > 1:
            low, high = stats.t.interval(
                0.95, len(values) - 1, np.mean(values), stats.sem(values)
            )
            of_seeds = f"{low:+.2f} to {high:+.2f}"
        low, high = gap.interval
        helps = "yes" if low > 0 else "no: less" if high < 0 else "not shown"
        each = [
            f"{gap.each[seed]:+.2f}" if seed in gap.each else tables.DASH
            for seed in seeds
        ]
        lines.append([training, *each, _gap_text(gap), of_seeds, helps])
    return tables.Table(
        ["training", *(f"seed {seed}" for seed in seeds)]
        + ["all seeds", "seeds alone", "helps"],
        lines,
        [
            "the share of what lies between Gaussian training's average certified "
            "radius and the cap, each seed against Gaussian training of that seed",
            "in brackets or below a number: its 95 % interval, by bootstrap over "
            "recordings and seeds; of S seeds it sees (S - 1) / S of the variance "
            "among them",
            "seeds alone: 95 % t interval of the seeds' shares on these very clips",
            "helps: yes if the interval in brackets is above 0",
        ],
    )


def inside_table(cells: Mapping[Cell, Finished]) -> tables.Table:
    """A line for each training and attack: perturbations inside of radii, and flips."""
    groups: dict[tuple[str, str, str], list[SmoothedAttackRow]] = {}
    for cell, each in cells.items():
        for row in each.attacks:
            attack = catalog.parse(row.attack)[0]
            key = (cell["stage"], each.training, attack)
            groups.setdefault(key, []).append(row)
    lines = []
    total = list(itertools.chain(*groups.values()))
    for key, rows in [*groups.items(), (("all", "", ""), total)]:
        inside = [row for row in rows if row.inside]
        flips = [row.l2 for row in rows if row.flipped]
        counts = (
            sum(row.l2 > 0 for row in rows),
            len(inside),
            sum(row.flipped for row in inside),
            len(flips),
        )
        median = f"{np.median(flips):.4g}" if flips and key[0] != "all" else ""
        lines.append([*key, *(f"{count:,}" for count in counts), median])
    return tables.Table(
        ["noise at", "training", "attack", "perturbations", "inside"]
        + ["flipped inside", "flipped", "median l2 of flips"],
        lines if total else [],
        [
            "of all seeds and budgets; inside: no larger than the certified radius of "
            "the clip; flipped: the smoothed classifier's vote names another class"
        ],
    )


def bound_lines(cells: Sequence[Finished]) -> list[figures.AttackedCurve]:
    """Accuracy that attacks left each training, over its seeds, and Gaussian's radii.

    The certified accuracies of the others are in the table: twice as many lines hide
    one another.
    """
    lines, certificates = [], []
    for training, every in _by_training(cells).items():
        smoothed = [each for each in every if each.attacked_run]
        if not smoothed:
            continue
        run = smoothed[0].attacked_run
        together = concatenate([each.attacked_run.rows for each in smoothed])
        rows = [
            row._replace(clip=f"{each.seed} {row.clip}")
            for each in smoothed
            for row in each.attacks
        ]
        attacked, certified = bound_curves(run._replace(rows=together), rows)
        lines.append(attacked._replace(label=f"{training}, attacked"))
        if training == "gaussian":
            certificates.append(certified._replace(label=f"{training}, certified"))
    return lines + certificates


def _falling(title: str, falls: Sequence[float], start: Share) -> figures.AttackedCurve:
    """A share that begins at `start` and loses a clip at each of these norms."""
    accuracy = (start.count - np.arange(len(falls) + 1)) / start.total
    return figures.AttackedCurve(title, np.append(0.0, falls), accuracy, stepped=True)


def meaning_curves(
    found: Mapping[str, Finished], heard: Sequence[Sequence[float] | None]
) -> list[figures.AttackedCurve]:
    """Curves of certified radii, of attacks and of hearing at the waveform, if any.

    Args:
        found: the finished cells by name.
        heard: of each cell, the smallest audible norms, if it has them.
    """
    curves = []
    for stage in ("waveform", "magnitude"):
        cell = found.get(f"{stage}/gaussian")
        if cell and (at_waveform := _radius_at_waveform(cell.certified)) is not None:
            _, certified = bound_curves(at_waveform, [])
            label = f"certified, noise {SIGMAS[stage]:g} at the {stage}"
            curves.append(certified._replace(label=label))
    if smoothed := found.get("waveform/gaussian"):
        attacked, _ = bound_curves(smoothed.attacked_run, smoothed.attacks)
        label = "the smoothed classifier at the waveform under attack"
        curves.append(attacked._replace(label=label))
    if plain := found.get("waveform/plain"):
        start = Share(int(plain.clean.right.sum()), len(plain.clean.ids))
        title = "plain network, not smoothed, under DeepFool"
        curves.append(_falling(title, plain.falls, start))
    if curves:
        title = "share of clips beside which nothing of this norm is heard"
        for norms in filter(None, heard):
            start = Share(len(norms), len(norms))
            curves.append(_falling(title, norms, start))
    return curves


def _radius_at_waveform(run: Run) -> Run | None:
    """A run with its radii carried back to the waveform; None where they cannot be."""
    positive = (run.rows.radius > 0) & (run.rows.radius_wave > 0)
    if not positive.any():
        return None
    bound = np.median(run.rows.radius[positive] / run.rows.radius_wave[positive])
    columns = {**run.rows.columns, "radius": run.rows.radius / bound}
    return run._replace(rows=Rows(run.rows.row_type, columns), cap=run.cap / bound)
