"""The tables and figures of the study on sound events, from the cells' rows."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from advjax.metrics.robustness import attackable
from advjax.metrics.shares import Share, share_of
from advjax.reports.tables import (
    DASH,
    INTERVAL_NOTE,
    markdown_table,
    percent_text,
)
from advjax.runs import folder as runs
from advjax.runs.columns import Rows, concatenate
from advjax.runs.row_types import ATTACK_ROWS
from advjax.runtime.atomic import new_file
from experiments.lab import clips, wav_pairs
from experiments.lab.adversarial_examples import EXAMPLES_FOLDER
from experiments.studies import sound_event_answers as answering
from experiments.studies import sound_event_features as features
from experiments.studies.sound_event_figures import (
    TARGETED,
    Cell,
    Study,
    cell_texts,
    draw,
    matrix_of,
    write_waves,
)
from experiments.studies.sound_event_models import (
    KINDS,
)

UNTARGETED = ("noise", "fgsm", "deepfool", "carlini_wagner")
# What is known of the publication's entries: (success, SNR, New, GT new) of its table
# 2, with the means of its table 3 where the two disagree.
PUBLISHED = {
    "noise": ("", "20 dB", "", ""),
    "fgsm": ("", "20 dB", "", ""),
    "deepfool": ("99.92 %", "50.01 dB", "0.3521", ""),
    "carlini_wagner": ("", "51.07 dB", "0.7192", "0.02"),
    "carlini_wagner_targeted": ("", "93 to 109 dB, inflated", "", ""),
    "lbfgs_targeted": ("", "50 to 62 dB", "", ""),
}
HEADER = ("clips", "success, %", "mean SNR, dB", "GT", "New", "GT new")
OURS = ("constant_q",)
"""Networks that the publication does not have."""


def write(study: Study) -> None:
    """Nothing; writes study.md and the figures for all cells that are there."""
    cells = _read(study)
    names = [name for name in KINDS if any(key[0] == name for key in cells)]
    if not names:
        raise ValueError(f"no rows in {study.out / 'cells'}: run some cells first")
    _refuse_others(study, cells)
    made = {key: _examples(study, key, cell) for key, cell in cells.items()}
    given = {job.sound.id: job for job in [*study.untargeted, *study.targeted]}
    answers = {
        name: answering.answers_of(
            name,
            study.load,
            [job._replace(id=id) for id, job in given.items()],
            [m for (_, attack), m in made.items() if attack not in UNTARGETED[:2]],
            study.out / "answers" / f"{name}.tsv",
            transforms=study.transforms,
        )
        for name in names
    }
    parts = [
        _head(study, cells),
        _networks(study, names),
        _means(study, cells, names),
        _each_network(study, cells, names),
        _targets(study, cells, names, made),
        _pairs(study, cells),
        _transfer(answers, {id: job.sound.label for id, job in given.items()}),
        _survivals(study, answers) if study.transforms else "",
        _heard(study),
        _waves(write_waves(study, names, made)),
    ]
    with new_file(study.out / "study.md") as aside:
        aside.write_text("\n".join(part for part in parts if part), encoding="utf-8")
    draw(study, cells, names, made)


def _read(study: Study) -> dict[tuple[str, str], Cell]:
    found = {}
    for name in KINDS:
        for attack in study.titles:
            folder = study.out / "cells" / name / attack
            if (folder / "run.json").exists():
                rows = worked_on(ATTACK_ROWS.read(folder))
                if rows.id:
                    found[name, attack] = Cell(
                        rows, runs.description(folder)["settings"]
                    )
    return found


def _refuse_others(study: Study, cells: Mapping[tuple[str, str], Cell]) -> None:
    """Nothing; refuses cells that were made with other flags than this report's.

    Raises:
        ValueError: there is one.
    """
    for (name, attack), cell in cells.items():
        jobs = study.targeted if attack in TARGETED else study.untargeted
        same = cell.settings["classifier"] == study.load(name).digest()
        if not same or cell.settings["jobs"] != [job.id for job in jobs]:
            what = "other clips" if same else "another classifier"
            raise ValueError(
                f"{study.out / 'cells' / name / attack} was made with {what}: give the "
                "same --corpus, --seed, --num_points, --pair_classes and sizes again, "
                "or another --out"
            )


def worked_on(rows: Rows) -> Rows:
    """The rows of clips that an attack had something to do on: see `attackable`."""
    return rows.take(attackable(rows.label, rows.clean, rows.target))


def _examples(study: Study, key: tuple[str, str], cell: Cell) -> answering.Examples:
    name, attack = key
    folder = study.out / "cells" / name / attack / EXAMPLES_FOLDER
    won = [id for id, hit in zip(cell.rows.id, cell.rows.success, strict=True) if hit]
    made_by = json.dumps(cell.settings, sort_keys=True)
    return answering.Examples(name, attack, folder, won, made_by)


def _head(study: Study, cells: Mapping[tuple[str, str], Cell]) -> str:
    texts = {attack: cell.settings["attack"] for (_, attack), cell in cells.items()}
    waste = clips.padding_waste([job.sound for job in study.untargeted])
    lines = [
        "# Adversarial attacks in sound event classification",
        "",
        f"{study.sounds.name}: {len(study.sounds.labels)} classes, "
        + ", ".join(f"{len(s)} {split}" for split, s in study.sounds.splits.items())
        + f" clips. Attacked: {len(study.untargeted)} clips of the {study.attacked} "
        f"split without a target, {len(study.targeted)} pairs of a clip and a target.",
        f"Clips are padded to whole chunks of 2.048 s: {100 * waste:.1f} % of the "
        "attacked samples are padding.",
        "",
        "The attacks, n being the samples of a clip:",
        "",
        *(f"- {study.titles[a]}: `{text}`" for a, text in texts.items()),
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
        "",
    ]
    return "\n".join(lines)


def _networks(study: Study, names: Sequence[str]) -> str:
    rows = []
    for name in names:
        classifier = study.load(name)
        shares = [
            clips.accuracy(classifier, study.sounds.splits[split])
            for split in ("train", "test")
        ]
        rows.append(
            [
                KINDS[name].title,
                str(classifier.module.width),
                f"{classifier.num_parameters():,}",
                *(percent_text(share, 1) for share in shares),
            ]
        )
    header = ("network", "width", "parameters", "training clips, %", "test clips, %")
    return _section("Table 1: the networks, and whole clips they know", header, rows)


def _numbers(rows: Rows) -> list[str]:
    hit = rows.success
    count = str(len(rows.id))
    if not hit.any():
        share = percent_text(share_of(hit), 1)
        return [count, share, DASH, f"{rows.gt.mean():.4f}", DASH, DASH]
    return [
        count,
        percent_text(share_of(hit), 1),
        f"{rows.snr_db[hit].mean():.2f}",
        f"{rows.gt.mean():.4f}",
        f"{rows.new[hit].mean():.4f}",
        f"{rows.gt_new[hit].mean():.4f}",
    ]


def _means(study, cells, names) -> str:
    rows = []
    for attack in UNTARGETED:
        theirs = [n for n in names if n not in OURS] or names
        found = [cells[n, attack].rows for n in theirs if (n, attack) in cells]
        if found:
            pooled = concatenate(found)
            success, snr, new, after = PUBLISHED[attack]
            published = ", ".join(
                f"{label} {value}"
                for label, value in zip(
                    ("success", "SNR", "New", "GT new"),
                    (success, snr, new, after),
                    strict=True,
                )
                if value
            )
            rows.append([study.titles[attack], *_numbers(pooled), published or DASH])
    header = ("attack", *HEADER, "publication")
    return _section(
        "Table 2: untargeted, the publication's networks together", header, rows
    )


def _each_network(study, cells, names) -> str:
    rows = [
        [study.titles[attack], KINDS[name].title, *_numbers(cells[name, attack].rows)]
        for attack in UNTARGETED
        for name in names
        if (name, attack) in cells
    ]
    return _section(
        "Table 3: untargeted, each network", ("attack", "network", *HEADER), rows
    )


def _targets(study, cells, names, made) -> str:
    clean = {job.id: clips.padded_wave(job.sound.audio) for job in study.targeted}
    rows = []
    for attack in TARGETED:
        for name in names:
            if (name, attack) in cells:
                inflated = [
                    inflated_snr_db(clean[id], made[name, attack].wave(id))
                    for id in made[name, attack].ids
                ]
                rows.append(
                    [
                        study.titles[attack],
                        KINDS[name].title,
                        *_numbers(cells[name, attack].rows),
                        f"{np.mean(inflated):.1f}" if inflated else DASH,
                        PUBLISHED[attack][1],
                    ]
                )
    header = ("attack", "network", *HEADER, "inflated SNR, dB", "publication")
    text = _section("Table 4: targeted", header, rows)
    return text and (
        f"{text}\nInflated: with the square of the mean in place of the mean of "
        "squares, the slip in the authors' code that their table 4(a) very probably "
        "has.\n"
    )


def inflated_snr_db(
    x: Float[np.ndarray, "time"], x_adv: Float[np.ndarray, "time"]
) -> float:
    """The SNR by the formula with the slip: 10 log10(mean(x^2) / mean(x_adv - x)^2)."""
    delta = x_adv.astype(np.float64) - x
    with np.errstate(divide="ignore"):
        return float(
            10 * np.log10(np.mean(np.square(x, dtype=np.float64)) / delta.mean() ** 2)
        )


def _pairs(study, cells) -> str:
    parts = []
    for attack in TARGETED:
        matrix = matrix_of(study, cells, attack)
        if matrix is not None:
            rows = [
                [source, *texts]
                for source, texts in zip(
                    study.pair_classes, cell_texts(matrix), strict=True
                )
            ]
            title = f"{study.titles[attack]}: from the row's class to the column's"
            header = ("success, mean SNR", *study.pair_classes)
            parts.append(_section(title, header, rows))
    return "\n".join(parts)


def _transfer(answers, labels: Mapping[str, int]) -> str:
    found = answering.transfer_table(answers, labels)
    rows = []
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


def _survivals(study, answers) -> str:
    attacks = [a for a in study.titles if a not in UNTARGETED[:2]]
    found = answering.survival_table(answers, attacks)
    rows = []
    for name, survival in found.items():
        pairs = [*(survival.returned[attack] for attack in attacks), survival.kept]
        rows.append([f"`{name}`", *(_percent(*pair) for pair in pairs)])
    header = (
        "transform",
        *(f"{study.titles[attack]} returns, %" for attack in attacks),
        "clean clips keep their answer, %",
    )
    return _section(
        "Table 6: transforms. Adversarial clips that get the clean clip's answer "
        "again, and clean clips that keep it, all networks together",
        header,
        rows,
    )


def _heard(study) -> str:
    rows = []
    for name in study.features:
        found = features.attack_features(
            name, study.load(name), study.untargeted, study.out
        )
        hit = [row for row in found if row.at_features != row.clean]
        rows.append(
            [
                KINDS[name].title,
                str(len(found)),
                _percent(len(hit), len(found)),
                f"{np.mean([row.change_db for row in hit]):.2f}" if hit else DASH,
                _percent(sum(row.played != row.clean for row in hit), len(hit)),
                _percent(sum(row.played == row.at_features for row in hit), len(hit)),
                _percent(
                    sum(row.clean_played == row.clean for row in found), len(found)
                ),
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


def _waves(pairs: Sequence[wav_pairs.WavPair]) -> str:
    table = wav_pairs.table(pairs)
    files = [pair.file or DASH for pair in pairs]
    rows = [[file, *row] for file, row in zip(files, table.rows, strict=True)]
    return _section("Saved audio", ("file in wav", *table.header), rows)


def _percent(hits: int, count: int) -> str:
    return percent_text(Share(hits, count), 1)


def _section(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"## {title}\n\n{markdown_table(header, rows)}\n" if rows else ""
