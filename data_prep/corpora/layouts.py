"""Layouts of a folder of recordings: class folders, a table, or Kaldi's lists.

Each reads no audio and gives the same, a `Listing`. The lists of a layout may also lie
in folders of splits, such as `train` and `test`.
"""

import pathlib

from advjax.runtime.text import printable
from data_prep.corpora.class_folders import has_clips, read_class_folders
from data_prep.corpora.clip_tables import read_tables, tables_in
from data_prep.corpora.files import contents, entries
from data_prep.corpora.kaldi import lists_in, read_lists
from data_prep.corpora.listing import SPLIT_NAMES, Listing


def list_clips(root: pathlib.Path, label: str | None = None) -> Listing:
    """The clips of a folder in one of the layouts.

    Args:
        root: the folder.
        label: column of a table for the class, "label" by default; with Kaldi's lists
            the class is in utt2LABEL, and the speaker of utt2spk by default.

    Raises:
        ValueError: no layout, or a list that cannot be read.
        OSError: a folder that cannot be read.
    """
    parts = _split_folders(root)
    for is_there, read in ((tables_in, read_tables), (lists_in, read_lists)):
        if is_there(root):
            return read(root, {root: None}, label)
        if there := {folder: split for folder, split in parts if is_there(folder)}:
            lacking = [f.name for f, _ in parts if f not in there and has_clips(f)]
            if lacking:
                raise ValueError(
                    f"{printable(str(root))}: {printable(', '.join(lacking))} has "
                    f"clips but no {is_there(next(iter(there)))[0]}, unlike "
                    f"{printable(next(iter(there)).name)}: add it, or move the clips"
                )
            return read(root, there, label)
    if label is not None:
        raise ValueError(
            f"label={label!r} names a column of metadata.csv or a list utt2LABEL, and "
            f"{contents(root)}: leave it out for class folders"
        )
    return read_class_folders(root, dict(parts))


def _split_folders(root: pathlib.Path) -> list[tuple[pathlib.Path, str]]:
    """(folder, split) of the folders in `root` that are named like splits."""
    return [
        (root / entry.name, SPLIT_NAMES[entry.name.lower()])
        for entry in entries(root)
        if entry.name.lower() in SPLIT_NAMES and (root / entry.name).is_dir()
    ]
