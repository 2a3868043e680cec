"""ESC-50: 2,000 environmental sounds of 5 s in 50 classes and five folds.

Layout: meta/esc50.csv and audio/FOLD-RECORDING-TAKE-TARGET.wav. A column of the table
marks the clips of ESC-10.

Source: Piczak 2015, ACM Multimedia, doi:10.1145/2733373.2806390.
"""

import pathlib
from collections.abc import Sequence

from data_prep.corpora.base import SAMPLE_RATE_HZ, Corpus, corpus_folder
from data_prep.corpora.folds import FoldClip, Portions, in_folds
from data_prep.corpora.tables import (
    ClipFiles,
    chosen_classes,
    plain_name,
    read_table,
    truth,
    whole_number,
)

TABLE = "meta/esc50.csv"
LAYOUT = f"{TABLE} and audio/FOLD-RECORDING-TAKE-TARGET.wav"
COLUMNS = {
    "filename": plain_name,
    "fold": whole_number,
    "target": whole_number,
    "category": str,
    "esc10": truth,
    "src_file": str,
}


def esc50(
    corpus_dir: str | pathlib.Path = "",
    *,
    fold: int = 1,
    validation_fold: int | None = None,
    validation_share: float | None = None,
    train_share: float = 1.0,
    split_seed: int = 0,
    esc10: bool = False,
    classes: str | Sequence[str] | None = None,
    pitch_shift: str | None = None,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> Corpus:
    """Clips in ESC-50's table, in the official folds.

    Labels are the classes that are present, in the order of the official targets.
    Only the table is read, no audio.

    Args:
        corpus_dir: folder of the data set, with `meta` and `audio`.
        fold: for testing.
        validation_fold: for validation. None: the next fold that has every class.
        validation_share: validate this share of the recordings of all folds but `fold`
            instead, of each class.
        train_share: of the recordings of each class that would train, those that do.
        split_seed: of the draw of recordings for these shares.
        esc10: only the ten classes of ESC-10.
        classes: names such as "dog"; all in the table by default.
        pitch_shift: None, "resample" or "phase_vocoder", which add four versions of
            each training clip in other pitches.
        sample_rate_hz: of the waves.

    Raises:
        FileNotFoundError: no such folder, or no table in it.
        ValueError: an unknown class, or an unsuitable table or fold; see
            `folds.in_folds`.
    """
    root = corpus_folder(corpus_dir, corpus="ESC-50", layout=LAYOUT)
    rows = read_table(root / TABLE, COLUMNS)
    files = ClipFiles(root / TABLE)
    paths = {
        row["filename"]: files.path(root / "audio", row["filename"]) for row in rows
    }
    if esc10:
        rows = [row for row in rows if row["esc10"]]
    present = {row["category"] for row in rows}
    chosen = chosen_classes(classes, present, where=f" in {root / TABLE}")
    rows = [row for row in rows if row["category"] in chosen]
    clips = [
        FoldClip(
            path=paths[row["filename"]],
            fold=row["fold"],
            target=row["target"],
            category=row["category"],
            recording=row["src_file"],
        )
        for row in rows
    ]
    return in_folds(
        clips,
        name="esc50",
        table=root / TABLE,
        fold=fold,
        validation_fold=validation_fold,
        pitch_shift=pitch_shift,
        sample_rate_hz=sample_rate_hz,
        notes=files.notes(),
        portions=Portions(validation_share, train_share, split_seed),
    )
