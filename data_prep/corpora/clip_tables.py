"""Tables of clips: metadata.csv, .tsv or .jsonl beside the recordings.

Source: the *AudioFolder* of Hugging Face Datasets.
"""

import os
import pathlib
from collections.abc import Mapping

from advjax.runtime.text import printable
from data_prep.corpora.listing import Clip, Listing, split_name
from data_prep.corpora.tables import ClipFiles, read_table, relative_path, seconds

TABLES = ("metadata.csv", "metadata.tsv", "metadata.jsonl")
ADVICE = "a row needs file_name and label; split, speaker, start and end may follow"


def tables_in(folder: pathlib.Path) -> list[str]:
    """Names of the tables in a folder."""
    return [name for name in TABLES if (folder / name).is_file()]


def read_tables(
    root: pathlib.Path, folders: Mapping[pathlib.Path, str | None], label: str | None
) -> Listing:
    """Clips in the tables of some folders; a folder's split goes before its column."""
    column = label or "label"
    listed: list[tuple[str, str, Clip]] = []
    notes, name = [], ""
    for folder, split in folders.items():
        name, *more = tables_in(folder)
        if more:
            raise ValueError(
                f"{printable(str(folder))} has {name} and {', '.join(more)}: keep one"
            )
        files = ClipFiles(folder / name)
        rows = read_table(
            folder / name,
            {"file_name": relative_path, column: class_name},
            {"split": split_name, "speaker": str, "start": seconds, "end": seconds},
            advice=ADVICE
            + ("" if label else ", and folder(label='NAME') names another"),
        )
        if not rows:
            raise ValueError(
                f"{printable(str(folder / name))} lists no clips: {ADVICE}"
            )
        for row in rows:
            above, _, file = row["file_name"].rpartition("/")
            path = files.path(folder / above, file)
            start, end = row["start"] or 0.0, row["end"]
            segment = "" if end is None else f"{end:.3f}"
            if start or segment:
                segment = f"_{start:.3f}-{segment or 'end'}"
            clip = Clip(
                id=os.path.relpath(folder / row["file_name"], root),
                path=str(path),
                label=row[column],
                split=split or row["split"],
                speaker=row["speaker"],
                start_s=start,
                end_s=end,
            )
            listed.append((os.path.splitext(clip.id)[0], segment, clip))
        notes += [note.removeprefix("left out: ") for note in files.notes()]
    # An id lacks the suffix of the file, unless two files differ in it alone.
    paths: dict[str, set[str]] = {}
    for stem, _, clip in listed:
        paths.setdefault(stem, set()).add(clip.path)
    clips = [
        clip._replace(id=(stem if len(paths[stem]) == 1 else clip.id) + segment)
        for stem, segment, clip in listed
    ]
    layout = name if root in folders else f"{name} in folders of splits"
    return Listing(layout, clips, "speaker", tuple(notes))


def class_name(text: str) -> str:
    """Name of one class.

    Raises:
        ValueError: a list of several.
    """
    if text[0] in "[{":
        raise ValueError(f"{text!r} is no name of one class")
    return text
