"""Kaldi's lists: wav.scp, utt2spk and segments.

Source: "Data preparation" of Kaldi's documentation.
"""

import functools
import os
import pathlib
import re
from collections.abc import Callable, Mapping

from advjax.runtime.text import did_you_mean, printable
from data_prep.corpora.files import contents, entries, some
from data_prep.corpora.listing import Clip, Listing
from data_prep.corpora.tables import relative_path, seconds, text_of


def lists_in(folder: pathlib.Path) -> list[str]:
    """Name of the list of recordings in a folder, if it is there."""
    return ["wav.scp"] if (folder / "wav.scp").is_file() else []


def read_lists(
    root: pathlib.Path, folders: Mapping[pathlib.Path, str | None], label: str | None
) -> Listing:
    """Utterances of wav.scp, cut by segments if there are any."""
    clips, left_out = [], []
    for folder, split in folders.items():
        files = _lines(folder / "wav.scp", functools.partial(_file, folder))
        segments = {id: (id, 0.0, None) for id in files}
        if (folder / "segments").is_file():
            segments = _lines(folder / "segments", _segment)
        labels = _labels(folder, label)
        speakers = _lines(folder / "utt2spk", str) if label is not None else {}
        for id, (recording, start, end) in segments.items():
            if recording not in files:
                raise ValueError(
                    f"{_shown(folder, 'segments')}: {printable(id)} is a part of "
                    f"{printable(recording)}, which is not in wav.scp"
                )
            if id not in labels:
                raise ValueError(
                    f"{_shown(folder, _label_list(label))} has no line of "
                    f"{printable(id)}: add one, or remove this utterance"
                )
            clips.append(
                Clip(
                    id=id,
                    path=files[recording],
                    label=labels[id],
                    split=split,
                    speaker=speakers.get(id) if label is not None else labels[id],
                    start_s=start,
                    end_s=end,
                )
            )
        if unheard := sorted(set(labels) - set(segments)):
            what = some(unheard, "utterance")
            left_out.append(f"{what} of {_label_list(label)} without a recording")
    if not clips:
        raise ValueError(f"{_shown(root, 'wav.scp')} lists no recordings")
    layout = "Kaldi's lists" + " in folders of splits" * (root not in folders)
    return Listing(layout, clips, "speaker", tuple(left_out))


def _shown(folder: pathlib.Path, name: str) -> str:
    return printable(str(folder / name))


def _label_list(label: str | None) -> str:
    return f"utt2{label or 'spk'}"


def _labels(folder: pathlib.Path, label: str | None) -> dict[str, str]:
    path = folder / _label_list(label)
    if not path.is_file():
        lists = [e.name for e in entries(folder) if e.name.startswith("utt2")]
        raise ValueError(
            f"no {printable(str(path))}, which gives the class of each utterance."
            f"{did_you_mean(path.name, lists)} {contents(folder)}"
        )
    return _lines(path, str)


def _lines(path: pathlib.Path, read: Callable) -> dict:
    """Values by key, of a list with a key and a value in each line."""
    found = {}
    if not path.is_file():
        return found
    for number, line in enumerate(text_of(path).split("\n"), 1):
        key, _, value = line.strip().replace("\t", " ").partition(" ")
        try:
            if not key:
                continue
            if not value.strip():
                raise ValueError("a key without a value")
            if key in found:
                raise ValueError("this key is there twice")
            found[key] = read(value.strip())
        except ValueError as error:
            raise ValueError(
                f"{printable(str(path))}, line {number}: cannot read "
                f"{printable(line.strip())!r}: {error}"
            ) from error
    return found


def _file(folder: pathlib.Path, text: str) -> str:
    """Path of a recording: absolute, or relative to the folder of the list."""
    if text.endswith("|"):
        raise ValueError("commands are not run; write the recordings to files")
    if re.search(r"\.ark:[0-9]+$", text):
        raise ValueError("archives are not read; write the recordings to files")
    return text if os.path.isabs(text) else str(folder / relative_path(text))


def _segment(text: str) -> tuple[str, float, float | None]:
    columns = text.split()
    if len(columns) != 3:
        raise ValueError("a segment has four columns: utterance, recording, start, end")
    recording, start, end = columns
    # Kaldi's sign for the end of the recording.
    return recording, seconds(start), None if end == "-1" else seconds(end)
