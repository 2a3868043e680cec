"""The tables and figures of the study of sound events, from the rows of its cells."""

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from advjax.metrics.shares import Share, share_of
from advjax.reports import figures
from advjax.reports.page import Block, Heading
from advjax.reports.tables import DASH, INTERVAL_NOTE, Table, percent_text
from experiments.lab import cached_rows, cell_files, wav_pairs
from experiments.lab.grid import Found
from experiments.lab.study_tables import listing, pivot, sections
from experiments.studies.sound_events import examples, features
from experiments.studies.sound_events.answers import (
    CLEAN,
    POOLED,
    UNCHANGED,
    Answer,
    survival_shares,
    transfer_shares,
)
from experiments.studies.sound_events.attacks import plans
from experiments.studies.sound_events.examples import ClipRun
from experiments.studies.sound_events.pairs import Pairs, pooled
from experiments.studies.sound_events.systems import KINDS

UNTARGETED = ("noise", "fgsm", "deepfool", "carlini_wagner")
TARGETED = ("carlini_wagner_targeted", "lbfgs_targeted")
TITLES = {name: kind.title for name, kind in KINDS.items()}
# Known entries of the publication: those of its table 2, with the means of its table 3
# where the two disagree, and the SNR of its table 4.
PUBLISHED = {
    "noise": "SNR 20 dB",
    "fgsm": "SNR 20 dB",
    "deepfool": "success 99.92 %, SNR 50.01 dB, New 0.3521",
    "carlini_wagner": "SNR 51.07 dB, New 0.7192, GT new 0.02",
    "carlini_wagner_targeted": "93 to 109 dB, inflated",
    "lbfgs_targeted": "50 to 62 dB",
}
OURS = ("constant_q",)
"""Networks that the publication does not have."""
Columns = dict[str, Callable[[Any], str | None]]


class Report(NamedTuple):
    """The content of all tables.

    Attributes:
        out: the folder of the study.
        titles: of the attacks.
        runs: by network and attack.
        results: of each network without attack and under each attack.
        answers: of each network that has predicted the others' examples.
    """

    out: pathlib.Path
    titles: Mapping[str, str]
    runs: Mapping[tuple[str, str], ClipRun]
    results: Mapping[tuple[str, str], Mapping[str, Any]]
    answers: Mapping[str, Sequence[Answer]]

    @property
    def corpus(self) -> Mapping[str, Any]:
        """The corpus, as the first network's results describe it; empty without one."""
        return next((r for (_, work), r in self.results.items() if work == "clean"), {})

    def of(self, *attacks: str) -> list[ClipRun]:
        """The runs of attacks, each attack on all networks."""
        return [run for a in attacks for run in self.runs.values() if run.attack == a]


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
    pairs = {made.titles[name]: Pairs.of(runs) for name, runs in targeted.items()}
    yield from sections(
        {
            "Table 1: the networks, and whole clips they know": networks_table(made),
            "Table 2: untargeted, the publication's networks together": means_table(
                made
            ),
            "Table 3: untargeted, each network": listing(
                made.of(*UNTARGETED), _attack(made) | NETWORK | NUMBERS
            ),
            "Table 4: targeted": targeted_table(made),
            **{
                f"{title}: from the row's class to the column's": each.table()
                for title, each in pairs.items()
            },
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
            {title: each.success for title, each in pairs.items()},
            made.out / "targeted.png",
            texts={title: each.texts("\n") for title, each in pairs.items()},
            labels=next(iter(pairs.values())).classes,
            row_label="label",
            column_label="target",
            value_label="success, all networks",
        )


def read(found: Found, titles: Mapping[str, str]) -> Report:
    """The files of all finished cells."""
    folders = {
        tuple(cell.path.split("/")): folder
        for cell, folder in found.cells.items()
        if "/" in cell.path
    }
    order = [(name, a) for name in KINDS for a in titles if (name, a) in folders]
    runs = {key: examples.read(folders[key]) for key in order}
    files = {name: found.out / "answers" / f"{name}.tsv" for name in KINDS}
    return Report(
        found.out,
        titles,
        {key: run for key, run in runs.items() if len(run.rows)},
        {key: cell_files.results(folder) for key, folder in folders.items()},
        {
            name: cached_rows.read(file, Answer)
            for name, file in files.items()
            if file.exists()
        },
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
        f"prediction on the adversarial clip. {INTERVAL_NOTE[0].upper()}"
        f"{INTERVAL_NOTE[1:]}; clips that several networks or attacks share count as "
        "often, so that intervals of pooled rates are too narrow."
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


NETWORK: Columns = {"network": lambda run: TITLES[run.source]}
NUMBERS: Columns = {
    "clips": lambda run: f"{len(run.rows)}",
    "success, %": lambda run: percent_text(share_of(run.rows.success), 1),
    "mean SNR, dB": _of_successes("snr_db", 2),
    "GT": lambda run: f"{run.rows.gt.mean():.4f}",
    "New": _of_successes("new", 4),
    "GT new": _of_successes("gt_new", 4),
}
_PUBLICATION: Columns = {"publication": lambda run: PUBLISHED[run.attack]}


def _attack(made: Report) -> Columns:
    return {"attack": lambda run: made.titles[run.attack]}


def networks_table(made: Report) -> Table:
    """The networks, and their accuracies on whole clips."""
    rows = []
    for name, title in TITLES.items():
        if of := made.results.get((name, "clean")):
            shares = [Share(**of["shares"][split]) for split in ("train", "test")]
            numbers = [f"{of['width']}", f"{of['num_parameters']:,}"]
            texts = [percent_text(share, 1) for share in shares]
            rows.append([title, *numbers, *texts])
    header = ["network", "width", "parameters", "training clips, %", "test clips, %"]
    return Table(header, rows)


def means_table(made: Report) -> Table:
    """The publication's networks together under each untargeted attack."""
    every = [made.of(attack) for attack in UNTARGETED if made.of(attack)]
    theirs = [[r for r in runs if r.source not in OURS] or runs for runs in every]
    return listing(map(pooled, theirs), _attack(made) | NUMBERS | _PUBLICATION)


def targeted_table(made: Report) -> Table:
    """Each network under each targeted attack."""

    def inflated(run: ClipRun) -> str | None:
        snr_db = made.results[run.source, run.attack].get("inflated_snr_db")
        return None if snr_db is None else f"{snr_db:.1f}"

    return listing(
        made.of(*TARGETED),
        _attack(made)
        | NETWORK
        | NUMBERS
        | {"inflated SNR, dB": inflated}
        | _PUBLICATION,
        [
            "inflated: with the square of the mean in place of the mean of squares, "
            "the slip in the authors' code that their table 4(a) very probably has"
        ],
    )


def transfer_table(made: Report) -> Table:
    """Each network on the examples made on each network."""
    labels = dict(made.corpus.get("clip_labels", {}))
    for run in made.runs.values():
        if run.settings["leaves"] == "label":
            ids = [id.partition(">")[0] for id in run.rows.id]
            labels |= zip(ids, run.rows.label.tolist(), strict=True)
    shares = transfer_shares(made.answers, labels)
    return pivot(
        "tested on, %",
        {name: TITLES[name] for name in made.answers},
        {name: f"made on {TITLES[name]}" for name in made.answers},
        lambda *networks: percent_text(shares[networks], 1),
        [
            "an example moves a network that predicts another class than on the clean "
            "clip; clips that it misclassifies before the attack are left out (the "
            "publication, which has them all: 0 to 10 % off the diagonal)"
        ],
    )


def survival_table(made: Report) -> Table:
    """The predictions after each transform that are those of the clean clip."""
    shares = survival_shares(made.answers)
    attacks = [name for name in made.titles if name not in UNTARGETED[:2]]
    transforms = dict.fromkeys(transform for transform, _ in shares)
    return pivot(
        "transform",
        {t: f"`{t}`" for t in transforms if [*transforms] != [UNCHANGED]},
        {name: f"{made.titles[name]} returns, %" for name in attacks}
        | {CLEAN: "clean clips keep their answer, %"},
        lambda *key: percent_text(shares.get(key, Share(0, 0)), 1),
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
