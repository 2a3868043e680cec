"""The tables of the study on sound events, from the rows of its cells."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from advjax.metrics.shares import Share, share_of
from advjax.reports.tables import (
    DASH,
    INTERVAL_NOTE,
    markdown_table,
    percent_text,
)
from advjax.runs.columns import Rows
from experiments.lab import cached_rows, cell_files, wav_pairs
from experiments.lab.grid import Found
from experiments.studies.sound_events import answers as answering
from experiments.studies.sound_events import examples, features
from experiments.studies.sound_events.examples import ClipRun
from experiments.studies.sound_events.figures import (
    TARGETED,
    cell_texts,
    draw_labels,
    draw_targets,
    matrix_of,
    pair_classes,
    pooled,
)
from experiments.studies.sound_events.systems import KINDS

UNTARGETED = ("noise", "fgsm", "deepfool", "carlini_wagner")
# What is known of the publication's entries: those of its table 2, with the means of
# its table 3 where the two disagree, and the SNR of its table 4.
PUBLISHED = {
    "noise": "SNR 20 dB",
    "fgsm": "SNR 20 dB",
    "deepfool": "success 99.92 %, SNR 50.01 dB, New 0.3521",
    "carlini_wagner": "SNR 51.07 dB, New 0.7192, GT new 0.02",
    "carlini_wagner_targeted": "93 to 109 dB, inflated",
    "lbfgs_targeted": "50 to 62 dB",
}
HEADER = ("clips", "success, %", "mean SNR, dB", "GT", "New", "GT new")
OURS = ("constant_q",)
"""Networks that the publication does not have."""


class Report(NamedTuple):
    """Everything that tables are made of.

    Attributes:
        out: the folder of the study.
        runs: by network and attack.
        titles: of the attacks.
        results: of each network by itself, and of each of its attacks.
        answers: of each network that has been asked.
    """

    out: pathlib.Path
    runs: Mapping[tuple[str, str], ClipRun]
    titles: Mapping[str, str]
    results: Mapping[tuple[str, str], Mapping[str, Any]]
    answers: Mapping[str, Sequence[answering.Answer]]

    @property
    def names(self) -> list[str]:
        """The networks, in the order of `KINDS`."""
        return [name for name in KINDS if any(key[0] == name for key in self.runs)]

    def under(self, attack: str) -> list[ClipRun]:
        """The runs of one attack."""
        return [run for (_, at), run in self.runs.items() if at == attack]


def report(found: Found, titles: Mapping[str, str]) -> Iterator[str]:
    """The parts of study.md; draws labels.png and targeted.png.

    Args:
        found: the finished cells.
        titles: of the attacks.
    """
    made = read(found, titles)
    if not made.names:
        yield "# Adversarial attacks in sound event classification"
        yield "No network has been attacked yet."
        return
    yield _head(made)
    yield _networks(made)
    yield _means(made)
    yield _each_network(made)
    yield _targets(made)
    yield _pairs(made)
    yield _transfer(made)
    yield _survivals(made)
    yield _heard(made)
    yield _waves(made)
    _draw(made)


def read(found: Found, titles: Mapping[str, str]) -> Report:
    """The files of all finished cells."""
    folders = {
        tuple(cell.path.split("/")): folder
        for cell, folder in found.cells.items()
        if "/" in cell.path
    }
    files = {name: found.out / "answers" / f"{name}.tsv" for name in KINDS}
    attacked = {key: folder for key, folder in folders.items() if key[1] in titles}
    order = sorted(
        attacked, key=lambda key: ([*KINDS].index(key[0]), [*titles].index(key[1]))
    )
    runs = {key: examples.read(attacked[key]) for key in order}
    return Report(
        found.out,
        {key: run for key, run in runs.items() if run.rows.id},
        titles,
        {key: cell_files.results(folder) for key, folder in folders.items()},
        {
            name: cached_rows.read(file, answering.Answer)
            for name, file in files.items()
            if file.exists()
        },
    )


def _clean(made: Report) -> Mapping[str, Any]:
    """The results of a network by itself, which tell of the corpus; or nothing."""
    return next((r for (_, at), r in made.results.items() if at == "clean"), {})


def _head(made: Report) -> str:
    of = _clean(made)
    texts = {attack: run.settings["attack"] for (_, attack), run in made.runs.items()}
    corpus = []
    if of:
        splits = ", ".join(f"{n} {split}" for split, n in of["num_clips"].items())
        corpus = [
            f"{of['corpus']}: {len(of['labels'])} classes, {splits} clips. Attacked: "
            f"{of['num_untargeted']} clips of the {of['attacked']} split without a "
            f"target, {of['num_targeted']} pairs of a clip and a target.",
            f"Clips are padded to whole chunks of 2.048 s: {100 * of['padding']:.1f} % "
            "of the attacked samples are padding.",
            "",
        ]
    lines = [
        "# Adversarial attacks in sound event classification",
        "",
        *corpus,
        "The attacks, n being the samples of a clip:",
        "",
        *(f"- {made.titles[a]}: `{text}`" for a, text in texts.items()),
        "",
        "Clips that a network gets wrong, or has at the target, before it is "
        "attacked are left out of its rows; DeepFool leaves the network's own "
        "answer, and has them all. SNR, New and GT new are means over the examples "
        "that succeed. GT: the probability of the clean answer on the clean clip; "
        "New: of the new answer on the adversarial one; GT new: of the clean answer "
        "on the adversarial one. "
        + f"{INTERVAL_NOTE[0].upper()}{INTERVAL_NOTE[1:]}; clips that several networks "
        "or attacks share count as often, so that intervals of pooled rates are too "
        "narrow.",
        "",
        "All attacks work on the logarithm of the mean probabilities of a clip's "
        "chunks (or of a dense network's heads); the authors' code adds up the losses "
        "of chunks.",
    ]
    return "\n".join(lines)


def _networks(made: Report) -> str:
    rows = [
        [
            KINDS[name].title,
            str(of["width"]),
            f"{of['num_parameters']:,}",
            *(
                percent_text(Share(**of["shares"][split]), 1)
                for split in ("train", "test")
            ),
        ]
        for name in KINDS
        if (of := made.results.get((name, "clean")))
    ]
    header = ("network", "width", "parameters", "training clips, %", "test clips, %")
    return _section("Table 1: the networks, and whole clips they know", header, rows)


def _numbers(rows: Rows) -> list[str]:
    hit = rows.success
    share = [str(len(rows.id)), percent_text(share_of(hit), 1)]
    if not hit.any():
        return [*share, DASH, f"{rows.gt.mean():.4f}", DASH, DASH]
    means = [rows.gt.mean(), rows.new[hit].mean(), rows.gt_new[hit].mean()]
    return [*share, f"{rows.snr_db[hit].mean():.2f}", *(f"{m:.4f}" for m in means)]


def _means(made: Report) -> str:
    rows = []
    for attack in UNTARGETED:
        found = {n: run for (n, at), run in made.runs.items() if at == attack}
        theirs = [run for name, run in found.items() if name not in OURS]
        if found:
            numbers = _numbers(pooled(theirs or [*found.values()]))
            rows.append([made.titles[attack], *numbers, PUBLISHED[attack]])
    header = ("attack", *HEADER, "publication")
    return _section(
        "Table 2: untargeted, the publication's networks together", header, rows
    )


def _each_network(made: Report) -> str:
    rows = [
        [
            made.titles[attack],
            KINDS[name].title,
            *_numbers(made.runs[name, attack].rows),
        ]
        for attack in UNTARGETED
        for name in made.names
        if (name, attack) in made.runs
    ]
    return _section(
        "Table 3: untargeted, each network", ("attack", "network", *HEADER), rows
    )


def _targets(made: Report) -> str:
    rows = []
    for attack in TARGETED:
        for name in made.names:
            if run := made.runs.get((name, attack)):
                inflated = made.results[name, attack].get("inflated_snr_db")
                rows.append(
                    [
                        made.titles[attack],
                        KINDS[name].title,
                        *_numbers(run.rows),
                        DASH if inflated is None else f"{inflated:.1f}",
                        PUBLISHED[attack],
                    ]
                )
    header = ("attack", "network", *HEADER, "inflated SNR, dB", "publication")
    text = _section("Table 4: targeted", header, rows)
    return text and (
        f"{text}\nInflated: with the square of the mean in place of the mean of "
        "squares, the slip in the authors' code that their table 4(a) very probably "
        "has."
    )


def _pairs(made: Report) -> str:
    parts = []
    for attack in TARGETED:
        if found := made.under(attack):
            classes = pair_classes(found[0])
            texts = cell_texts(matrix_of(pooled(found), classes))
            rows = [[name, *row] for name, row in zip(classes, texts, strict=True)]
            title = f"{made.titles[attack]}: from the row's class to the column's"
            parts.append(_section(title, ("success, mean SNR", *classes), rows))
    return "\n".join(parts)


def _transfer(made: Report) -> str:
    labels = dict(_clean(made).get("clip_labels", {}))
    for run in made.runs.values():
        if run.settings["leaves"] == "label":
            ids = [id.partition(">")[0] for id in run.rows.id]
            labels |= zip(ids, run.rows.label.tolist(), strict=True)
    answers, rows = made.answers, []
    found = answering.transfer_table(answers, labels)
    for judge in answers:
        texts = [percent_text(found[judge, source], 1) for source in answers]
        rows.append([KINDS[judge].title, *texts])
    header = ("tested on, %", *(f"made on {KINDS[source].title}" for source in answers))
    return _section(
        "Table 5: transfer of DeepFool's and C&W's examples together; an example moves "
        "a network that answers otherwise than to the clean clip; clips that it gets "
        "wrong before are left out (the publication, which has them all: 0 to 10 % off "
        "the diagonal)",
        header,
        rows,
    )


def _survivals(made: Report) -> str:
    attacks = [a for a in made.titles if a not in UNTARGETED[:2]]
    found = answering.survival_table(made.answers, attacks)
    if [*found] == [answering.UNCHANGED]:
        return ""
    rows = []
    for name, survival in found.items():
        shares = [*survival.returned.values(), survival.kept]
        rows.append([f"`{name}`", *(percent_text(share, 1) for share in shares)])
    header = (
        "transform",
        *(f"{made.titles[attack]} returns, %" for attack in attacks),
        "clean clips keep their answer, %",
    )
    return _section(
        "Table 6: transforms. Adversarial clips that get the clean clip's answer "
        "again, and clean clips that keep it, all networks together",
        header,
        rows,
    )


def _heard(made: Report) -> str:
    rows = []
    for name in KINDS:
        file = made.out / "features" / f"{name}.tsv"
        if not file.exists():
            continue
        found = cached_rows.read(file, features.Heard)
        hit = [row for row in found if row.at_features != row.clean]
        kept = sum(row.clean_played == row.clean for row in found)
        rows.append(
            [
                KINDS[name].title,
                str(len(found)),
                _percent(len(hit), len(found)),
                f"{np.mean([row.change_db for row in hit]):.2f}" if hit else DASH,
                _percent(sum(row.played != row.clean for row in hit), len(hit)),
                _percent(sum(row.played == row.at_features for row in hit), len(hit)),
                _percent(kept, len(found)),
            ]
        )
    header = (
        "network",
        "clips",
        "success at the levels, %",
        "change, dB",
        "played: not the clean answer, %",
        "played: the adversarial answer, %",
        "clean levels played: the clean answer, %",
    )
    return _section(
        f"Table 7: `{features.ATTACK}` on mel levels, played through Griffin-Lim",
        header,
        rows,
    )


def _waves(made: Report) -> str:
    pairs = wav_pairs.read(made.out / "wav" / wav_pairs.EXAMPLES_FILE) or []
    table = wav_pairs.table(pairs)
    files = [pair.file or DASH for pair in pairs]
    rows = [[file, *row] for file, row in zip(files, table.rows, strict=True)]
    return _section("Saved audio", ("file in wav", *table.header), rows)


def _draw(made: Report) -> None:
    labels = _clean(made).get("labels")
    found = {a: made.under(a) for a in answering.POOLED if made.under(a)}
    if labels and found:
        bars = {made.titles[attack]: runs for attack, runs in found.items()}
        draw_labels(bars, labels, made.out / "labels.png")
    targeted = {a: made.under(a) for a in TARGETED if made.under(a)}
    if targeted:
        classes = pair_classes(next(iter(targeted.values()))[0])
        matrices = {
            made.titles[attack]: matrix_of(pooled(runs), classes)
            for attack, runs in targeted.items()
        }
        draw_targets(matrices, classes, made.out / "targeted.png")


def _percent(hits: int, count: int) -> str:
    return percent_text(Share(hits, count), 1)


def _section(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"## {title}\n\n{markdown_table(header, rows)}" if rows else ""
