"""FSDKaggle2018: sounds of 41 classes from Freesound, 0.3 to 30 s, in two layouts.

Kaggle's layout: train.csv and audio_train/ID.wav. Zenodo's layout:
FSDKaggle2018.meta/train_post_competition.csv and FSDKaggle2018.audio_train/ID.wav, with
the scored test clips in FSDKaggle2018.meta/test_post_competition_scoring_clips.csv and
FSDKaggle2018.audio_test/ID.wav.

Source: Fonseca et al. 2018, DCASE workshop; doi:10.5281/zenodo.2552860.
"""

import collections
import pathlib
from collections.abc import Callable, Sequence

from advjax.runtime.text import printable
from data_prep.corpora.base import SAMPLE_RATE_HZ, Corpus, corpus_folder
from data_prep.corpora.files import contents
from data_prep.corpora.folds import FoldClip, in_folds
from data_prep.corpora.tables import (
    ClipFiles,
    chosen_classes,
    has_column,
    plain_name,
    read_table,
    truth,
)

LABELS = (
    "Acoustic_guitar", "Applause", "Bark", "Bass_drum", "Burping_or_eructation", "Bus",
    "Cello", "Chime", "Clarinet", "Computer_keyboard", "Cough", "Cowbell",
    "Double_bass", "Drawer_open_or_close", "Electric_piano", "Fart", "Finger_snapping",
    "Fireworks", "Flute", "Glockenspiel", "Gong", "Gunshot_or_gunfire", "Harmonica",
    "Hi-hat", "Keys_jangling", "Knock", "Laughter", "Meow", "Microwave_oven", "Oboe",
    "Saxophone", "Scissors", "Shatter", "Snare_drum", "Squeak", "Tambourine", "Tearing",
    "Telephone", "Trumpet", "Violin_or_fiddle", "Writing",
)  # fmt: skip
"""In the order of their numbers, which is alphabetical."""

LAYOUT = "train.csv and audio_train/ID.wav, or FSDKaggle2018.meta and what goes with it"
# Both exist in some folders; the first one has the recording of each clip.
TRAINING_TABLES = (
    ("FSDKaggle2018.meta/train_post_competition.csv", "FSDKaggle2018.audio_train"),
    ("train_post_competition.csv", "audio_train"),
    ("train.csv", "audio_train"),
)
TEST_TABLES = (
    (
        "FSDKaggle2018.meta/test_post_competition_scoring_clips.csv",
        "FSDKaggle2018.audio_test",
    ),
    ("test_post_competition_scoring_clips.csv", "audio_test"),
)
COLUMNS = {"fname": plain_name, "label": str}
VERIFIED, RECORDING = {"manually_verified": truth}, {"freesound_id": str}
NUM_FOLDS = 5
_OFFICIAL = 0  # the scored test clips, as a fold


def fsdkaggle2018(
    corpus_dir: str | pathlib.Path = "",
    *,
    fold: int = 1,
    official_test: bool = False,
    classes: str | Sequence[str] | None = None,
    verified_only: bool = False,
    pitch_shift: str | None = None,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> Corpus:
    """Clips in the tables of FSDKaggle2018; only the tables are read, no audio.

    The training table has no official folds. The clips of a class go to folds 1 to 5 in
    turn, in the order of the table. Labels are the classes that are present, in the
    order of `LABELS`. All scored test clips are verified.

    Args:
        corpus_dir: folder of the data set, in either layout.
        fold: fold of the training table for testing, 1 to 5; the next fold validates.
        official_test: test on the scored test clips instead, and validate on `fold`.
        classes: names such as "Cello"; all in the table by default.
        verified_only: only training clips with a verified label.
        pitch_shift: None, "resample" or "phase_vocoder", which add four versions of
            each training clip in other pitches.
        sample_rate_hz: of the waves.

    Raises:
        FileNotFoundError: no such folder, or no table in it.
        ValueError: an unknown class, or an unsuitable table or fold; see
            `folds.in_folds`.
    """
    root = corpus_folder(corpus_dir, corpus="FSDKaggle2018", layout=LAYOUT)
    chosen = chosen_classes(classes, LABELS)
    table, folder = _first(root, TRAINING_TABLES)
    rows = _rows(table, VERIFIED)
    files = ClipFiles(table)
    paths = {row["fname"]: files.path(folder, row["fname"]) for row in rows}
    if verified_only:
        rows = [row for row in rows if row["manually_verified"]]
    clips, seen, notes = [], collections.Counter(), files.notes()
    for row in rows:
        turn = seen[row["label"]] % NUM_FOLDS + 1
        seen[row["label"]] += 1
        clips.append(_clip(row, paths[row["fname"]], turn, table))
    if official_test:
        test_table, test_folder = _first(root, TEST_TABLES)
        scored = _rows(test_table, {})
        files = ClipFiles(test_table)
        for row in scored:
            path = files.path(test_folder, row["fname"])
            clips.append(_clip(row, path, _OFFICIAL, test_table))
        # The folder of test clips also has clips that were not scored.
        notes += tuple(note for note in files.notes() if note.startswith("absent"))
    present = {clip.category for clip in clips}
    if classes is not None and chosen - present:
        raise ValueError(
            f"no clips of {', '.join(sorted(chosen - present))} in {table}; there are "
            f"some of {', '.join(sorted(present))}"
        )
    return in_folds(
        [clip for clip in clips if clip.category in chosen],
        name="fsdkaggle2018",
        table=table,
        fold=_OFFICIAL if official_test else fold,
        validation_fold=fold if official_test else None,
        pitch_shift=pitch_shift,
        sample_rate_hz=sample_rate_hz,
        notes=notes,
    )


def _first(
    root: pathlib.Path, choices: Sequence[tuple[str, str]]
) -> tuple[pathlib.Path, pathlib.Path]:
    """First existing table, and the folder of its clips."""
    for table, folder in choices:
        if (root / table).is_file():
            return root / table, root / folder
    raise FileNotFoundError(
        f"{root} has none of {', '.join(table for table, _ in choices)}: give the "
        f"folder of the official download of Kaggle or Zenodo. {contents(root)}"
    )


def _rows(table: pathlib.Path, more: dict[str, Callable]) -> list[dict]:
    """Rows of a table, with the recording if the table has that column."""
    told = has_column(table, "freesound_id")
    return read_table(table, {**COLUMNS, **more, **(RECORDING if told else {})})


def _clip(row: dict, path: pathlib.Path, fold: int, table: pathlib.Path) -> FoldClip:
    if row["label"] not in LABELS:
        raise ValueError(
            f"{table} has a clip {printable(row['fname'])} of {row['label']!r}, which "
            "is none of the 41 classes"
        )
    return FoldClip(
        path=path,
        fold=fold,
        target=LABELS.index(row["label"]),
        category=row["label"],
        recording=row.get("freesound_id", path.stem),
        verified=bool(row.get("manually_verified", True)),
    )
