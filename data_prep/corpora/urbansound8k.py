"""UrbanSound8K: 8,732 urban sounds of at most 4 s in ten classes and ten folds.

Layout: metadata/UrbanSound8K.csv and audio/foldN/RECORDING-CLASS-OCCURRENCE-SLICE.wav.
The files differ in rate, bit depth and channels, like their uploads; all waves are mono
at one rate.

Source: Salamon, Jacoby and Bello 2014, ACM Multimedia.
"""

import pathlib

from data_prep.corpora.base import SAMPLE_RATE_HZ, Corpus, corpus_folder
from data_prep.corpora.folds import FoldClip, Portions, in_folds
from data_prep.corpora.tables import ClipFiles, plain_name, read_table, whole_number

TABLE = "metadata/UrbanSound8K.csv"
LAYOUT = f"{TABLE} and audio/foldN/RECORDING-CLASS-OCCURRENCE-SLICE.wav"
COLUMNS = {
    "slice_file_name": plain_name,
    "fsID": str,
    "fold": whole_number,
    "classID": whole_number,
    "class": str,
}


def urbansound8k(
    corpus_dir: str | pathlib.Path = "",
    *,
    fold: int = 1,
    validation_fold: int | None = None,
    validation_share: float | None = None,
    train_share: float = 1.0,
    split_seed: int = 0,
    pitch_shift: str | None = None,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> Corpus:
    """Clips in UrbanSound8K's table, in the official folds.

    Labels are the classes in the order of the official numbers. Only the table is read,
    no audio.

    Args:
        corpus_dir: folder of the data set, with `metadata` and `audio`.
        fold: for testing.
        validation_fold: for validation. None: the next fold that has every class.
        validation_share: validate this share of the recordings of all folds but `fold`
            instead, of each class.
        train_share: of the recordings of each class that would train, those that do.
        split_seed: of the draw of recordings for these shares.
        pitch_shift: None, "resample" or "phase_vocoder", which add four versions of
            each training clip in other pitches.
        sample_rate_hz: of the waves.

    Raises:
        FileNotFoundError: no such folder, or no table in it.
        ValueError: an unsuitable table or fold; see `folds.in_folds`.
    """
    root = corpus_folder(corpus_dir, corpus="UrbanSound8K", layout=LAYOUT)
    files = ClipFiles(root / TABLE)
    clips = [
        FoldClip(
            path=files.path(
                root / "audio" / f"fold{row['fold']}", row["slice_file_name"]
            ),
            fold=row["fold"],
            target=row["classID"],
            category=row["class"],
            recording=row["fsID"],
        )
        for row in read_table(root / TABLE, COLUMNS)
    ]
    for folder in sorted((root / "audio").glob("fold*")):
        files.add(folder)
    return in_folds(
        clips,
        name="urbansound8k",
        table=root / TABLE,
        fold=fold,
        validation_fold=validation_fold,
        pitch_shift=pitch_shift,
        sample_rate_hz=sample_rate_hz,
        notes=files.notes(),
        portions=Portions(validation_share, train_share, split_seed),
    )
