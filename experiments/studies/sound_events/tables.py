"""The tables and figures of the study of sound events, from the rows of its cells."""

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from advjax.metrics.clustered import (
    ClusteredMean,
    clustered_share,
)
from advjax.metrics.shares import Share
from advjax.reports import figures
from advjax.reports.page import Block, Heading
from advjax.reports.tables import DASH, Table, percent_text
from experiments.lab import cached_rows, claims, wav_pairs
from experiments.lab.grid import Found
from experiments.lab.study_tables import listing, pivot, sections
from experiments.studies.sound_events import (
    features,
    published,
    published_tables,
    questions,
)
from experiments.studies.sound_events.answers import (
    CLEAN,
    POOLED,
    UNCHANGED,
    survival_shares,
    transfer_shares,
)
from experiments.studies.sound_events.attacks import plans
from experiments.studies.sound_events.claims import claimed
from experiments.studies.sound_events.examples import ClipRun
from experiments.studies.sound_events.finished import Report, read
from experiments.studies.sound_events.pairs import Pairs, pooled
from experiments.studies.sound_events.systems import KINDS

UNTARGETED = ("noise", "fgsm", "deepfool", "carlini_wagner")
TARGETED = ("carlini_wagner_targeted", "lbfgs_targeted")
TITLES = {name: kind.title for name, kind in KINDS.items()}
OURS = ("constant_q",)
"""Networks that the publication does not have."""
Columns = dict[str, Callable[[Any], str | None]]


def report(found: Found, select: str) -> Iterator[Block]:
    """The parts of study.md; draws labels.png and targeted.png.

    Args:
        found: the finished cells.
        select: of DeepFool.
    """
    attacks = plans(found.preset, select)
    made = read(found, {name: plan.title for name, plan in attacks.items()})
    yield Heading("Adversarial attacks in sound event classification", 1)
    if not made.runs:
        yield "No network has been attacked yet."
        return
    yield from _introduction(made)
    targeted = {attack: made.of(attack) for attack in TARGETED if made.of(attack)}
    pairs = {name: Pairs.of(runs) for name, runs in targeted.items()}
    yield from sections(
        {
            "Claims of the publication": claims.table(claimed(made)),
            "Table 1: the networks, and whole clips they know": networks_table(made),
            "Table 2: untargeted, the publication's networks together": means_table(
                made
            ),
            "Table 3: untargeted, each network": each_table(made),
            "Table 4: targeted": targeted_table(made),
            **{
                f"{made.titles[name]}: from the row's class to the column's": (
                    each.table(published_tables.pairs(name) if made.beside else None)
                )
                for name, each in pairs.items()
            },
            "The two questions on near classes": questions_table(made),
            "Table 5: transfer of DeepFool's and C&W's examples together": (
                transfer_table(made)
            ),
            "Table 6: transforms": survival_table(made),
            f"Table 7: `{features.ATTACK}` on mel levels, played through Griffin-Lim": (
                heard_table(made.out)
            ),
            "Saved audio": waves_table(made.out),
        }
    )
    if not made.beside:
        yield from published_tables.sections_of(made.titles, TITLES)
    labels = made.corpus.get("labels")
    bars = {made.titles[a]: _new_labels(made.of(a)) for a in POOLED if made.of(a)}
    if labels and bars:
        figures.label_bars_plot(
            {t: np.bincount(new, minlength=len(labels)) for t, new in bars.items()},
            made.out / "labels.png",
            labels=labels,
            x_label="new label",
            y_label="adversarial clips, all networks",
        )
    if pairs:
        figures.matrix_plot(
            {made.titles[name]: each.success for name, each in pairs.items()},
            made.out / "targeted.png",
            texts={made.titles[name]: each.texts("\n") for name, each in pairs.items()},
            labels=next(iter(pairs.values())).classes,
            row_label="label",
            column_label="target",
            value_label="success, all networks",
        )


def _introduction(made: Report) -> Iterator[str]:
    if of := made.corpus:
        splits = ", ".join(f"{n} {split}" for split, n in of["num_clips"].items())
        yield (
            f"{of['corpus']}: {len(of['labels'])} classes, {splits} clips. Attacked: "
            f"{of['num_untargeted']} clips of the {of['attacked']} split without a "
            f"target, {of['num_targeted']} pairs of a clip and a target.\n"
            f"Clips are padded to whole chunks of 2.048 s: {100 * of['padding']:.1f} % "
            "of the attacked samples are padding."
        )
    yield "The attacks, n being the samples of a clip:"
    texts = {run.attack: run.settings["attack"] for run in made.runs.values()}
    yield "\n".join(f"- {made.titles[name]}: `{text}`" for name, text in texts.items())
    yield (
        "The rows of a network leave out clips that it misclassifies, or predicts as "
        "the target, before the attack. DeepFool changes the network's own prediction, "
        "and has all clips. SNR, New and GT new are means over the examples that "
        "succeed. GT: the probability of the clean prediction on the clean clip; New: "
        "of the new prediction on the adversarial clip; GT new: of the clean "
        "prediction on the adversarial clip. In brackets or below a value: its 95 % "
        "interval, by bootstrap over recordings, which networks and attacks share; "
        "where all clips agree, Clopper and Pearson's for as many recordings."
    )
    yield (
        "All attacks work on the logarithm of the mean probabilities of a clip's "
        "chunks (or of a dense network's heads); the authors' code adds up the losses "
        "of chunks."
    )


def _of_successes(column: str, digits: int) -> Callable[[ClipRun], str | None]:
    """The mean of a column over the examples that succeed."""

    def text(run: ClipRun) -> str | None:
        values = getattr(run.rows, column)[run.rows.success]
        return f"{values.mean():.{digits}f}" if len(values) else None

    return text


def _snr_text(made: Report, run: ClipRun) -> str | None:
    """The mean SNR over the examples that succeed, with its interval."""
    success = np.asarray(run.rows.success)
    values = np.asarray(run.rows.snr_db)[success]
    if not len(values):
        return None
    clusters = [c for c, won in zip(made.clusters(run), success, strict=True) if won]
    mean = ClusteredMean(values, clusters)
    if np.ptp(values) < 0.005 or not np.isfinite(values).all():
        return f"{mean.value:.2f}"
    low, high = mean.interval()
    return f"{mean.value:.2f} [{low:.1f}, {high:.1f}]"


NETWORK: Columns = {"network": lambda run: TITLES[run.source]}


def _numbers(made: Report) -> Columns:
    return {
        "clips": lambda run: f"{len(run.rows)}",
        "success, %": lambda run: percent_text(made.success(run), 1),
        "mean SNR, dB": lambda run: _snr_text(made, run),
        "GT": lambda run: f"{run.rows.gt.mean():.4f}",
        "New": _of_successes("new", 4),
        "GT new": _of_successes("gt_new", 4),
    }


def _published(entry: Callable[[ClipRun], published.Entry | None]) -> Columns:
    """The columns of the publication's entries."""

    def column(text: Callable[[published.Entry], str]) -> Callable:
        return lambda run: text(entry(run)) if entry(run) else None

    return {
        "publication: success, %": column(lambda each: f"{each.success:g}"),
        "publication: SNR, dB": column(lambda each: f"{each.snr_db:.2f}"),
        "publication: New": column(lambda each: f"{each.new:.4f}"),
        "publication: GT new": column(lambda each: f"{each.gt_new:.4f}"),
    }


def _attack(made: Report) -> Columns:
    return {"attack": lambda run: made.titles[run.attack]}


def networks_table(made: Report) -> Table:
    """The networks, and their accuracies on whole clips."""
    rows = []
    for name, title in TITLES.items():
        if of := made.results.get((name, "clean")):
            numbers = [f"{of['width']}", f"{of['num_parameters']:,}"]
            texts = [_known_text(made, name, of, split) for split in ACCURACIES]
            rows.append([title, *numbers, *texts])
            if made.beside:
                theirs = published.ACCURACY.get(name, (None, None))
                rows[-1] += [DASH if a is None else f"{100 * a:.2f}" for a in theirs]
    header = ["network", "width", "parameters", "training clips, %", "test clips, %"]
    notes = []
    if made.beside:
        header += [f"publication: {split} clips, %" for split in ("training", "test")]
        notes = [published_tables.LARGER]
    return Table(header, rows, notes if rows else [])


ACCURACIES = ("train", "test")
"""Splits in the table of networks."""


def _known_text(made: Report, name: str, of: Mapping[str, Any], split: str) -> str:
    rows = [row for row in made.known.get(name, ()) if row.split == split]
    if not rows:  # of an earlier version
        return percent_text(Share(**of["shares"][split]), 1)
    right = np.asarray([row.predict == row.label for row in rows])
    return percent_text(clustered_share([right], [row.recording for row in rows]), 1)


def means_table(made: Report) -> Table:
    """The publication's networks together under each untargeted attack."""
    every = [made.of(attack) for attack in UNTARGETED if made.of(attack)]
    theirs = [[r for r in runs if r.source not in OURS] or runs for runs in every]
    columns, notes = _attack(made) | _numbers(made), []
    if made.beside:
        columns |= _published(lambda run: published.TOGETHER.get(run.attack))
        notes = [published_tables.LARGER, published_tables.MEANS]
    return listing(map(pooled, theirs), columns, notes)


def each_table(made: Report) -> Table:
    """Each network under each untargeted attack."""
    columns = _attack(made) | NETWORK | _numbers(made)
    if made.beside:
        columns |= _published(lambda run: published.EACH.get((run.attack, run.source)))
    return listing(made.of(*UNTARGETED), columns)


def targeted_table(made: Report) -> Table:
    """Each network under each targeted attack."""

    def inflated(run: ClipRun) -> str | None:
        snr_db = made.results[run.source, run.attack].get("inflated_snr_db")
        return None if snr_db is None else f"{snr_db:.1f}"

    columns = _attack(made) | NETWORK | _numbers(made) | {"inflated SNR, dB": inflated}
    notes = [
        "inflated: with the square of the mean in place of the mean of squares, the "
        "slip in the authors' code that their table 4(a) very probably has"
    ]
    if made.beside:
        columns["publication: mean SNR of all pairs, dB"] = lambda run: (
            published_tables.mean_snr_text(run.attack)
        )
    return listing(made.of(*TARGETED), columns, notes)


def questions_table(made: Report) -> Table:
    """The two questions on near classes; no rows before the distances are measured."""
    if made.distances is None:
        return Table([], [])
    known = made.recordings

    def examples(attacks: Sequence[str]) -> dict[str, list[questions.Example]]:
        return {a: questions.examples_of(made.of(a), known) for a in attacks}

    return questions.table(
        made.titles, examples(POOLED), examples(TARGETED), made.distances
    )


def transfer_table(made: Report) -> Table:
    """Each network on the examples made on each network."""
    labels = dict(made.corpus.get("clip_labels", {}))  # of an earlier version
    for rows in made.known.values():
        labels |= {row.id: row.label for row in rows}
    for run in made.runs.values():
        if run.settings["leaves"] == "label":
            ids = [id.partition(">")[0] for id in run.rows.id]
            labels |= zip(ids, run.rows.label.tolist(), strict=True)
    shares = transfer_shares(made.answers, labels, made.recordings)
    rows = {(name, False): TITLES[name] for name in made.answers}
    if made.beside:
        theirs = {(n, True): f"{TITLES[n]}, publication" for n in published.NETWORKS}
        both = (rows, theirs)
        order = [(n, kind) for n in TITLES for kind in (False, True)]
        rows = {key: of[key] for key in order for of in both if key in of}

    def text(row: tuple[str, bool], source: str) -> str | None:
        name, is_published = row
        if is_published:
            return published_tables.transfer_text(name, source)
        return percent_text(shares[name, source], 1)

    return pivot(
        "tested on, %",
        rows,
        {name: f"made on {TITLES[name]}" for name in made.answers},
        text,
        [
            "an example moves a network that predicts another class than on the clean "
            "clip; clips that it misclassifies before the attack are left out (the "
            "publication has them all)"
        ],
    )


def survival_table(made: Report) -> Table:
    """The predictions after each transform that are those of the clean clip."""
    shares = survival_shares(made.answers, made.recordings)
    attacks = [name for name in made.titles if name not in UNTARGETED[:2]]
    transforms = dict.fromkeys(transform for transform, _ in shares)
    return pivot(
        "transform",
        {t: f"`{t}`" for t in transforms if [*transforms] != [UNCHANGED]},
        {name: f"{made.titles[name]} returns, %" for name in attacks}
        | {CLEAN: "clean clips keep their answer, %"},
        lambda *key: percent_text(shares[key], 1) if key in shares else None,
        [
            "returns: adversarial clips that get the clean clip's prediction again; "
            "all networks together"
        ],
    )


def heard_table(out: pathlib.Path) -> Table:
    """Attacks on mel levels, and the waves made of these levels."""
    files = {name: out / "features" / f"{name}.tsv" for name in KINDS}
    found = {n: cached_rows.read(f, features.Heard) for n, f in files.items()}

    def percent(rows: Sequence[features.Heard], is_hit) -> str:
        return percent_text(Share(sum(map(is_hit, rows)), len(rows)), 1)

    rows = []
    for name, every in found.items():
        if every is None:
            continue
        hits = [row for row in every if row.at_features != row.clean]
        rows.append(
            [
                TITLES[name],
                f"{len(every)}",
                percent(every, lambda row: row.at_features != row.clean),
                f"{np.mean([row.change_db for row in hits]):.2f}" if hits else DASH,
                percent(hits, lambda row: row.played != row.clean),
                percent(hits, lambda row: row.played == row.at_features),
                percent(every, lambda row: row.clean_played == row.clean),
            ]
        )
    header = [
        "network", "clips", "success at the levels, %", "change, dB",
        "played: not the clean answer, %", "played: the adversarial answer, %",
        "clean levels played: the clean answer, %",
    ]  # fmt: skip
    return Table(header, rows)


def waves_table(out: pathlib.Path) -> Table:
    """The WAVs of one clip."""
    pairs = wav_pairs.read(out / "wav" / wav_pairs.EXAMPLES_FILE)
    table = wav_pairs.table(pairs)
    rows = [[p.file or DASH, *r] for p, r in zip(pairs, table.rows, strict=True)]
    return Table(["file in wav", *table.header], rows)


def _new_labels(runs: Sequence[ClipRun]) -> np.ndarray:
    return np.concatenate([run.rows.predict[run.rows.success] for run in runs])
