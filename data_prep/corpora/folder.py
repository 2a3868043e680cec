"""A folder of one's own recordings, in any layout of `data_prep.corpora.layouts`.

Listing reads the lists and the headers of the files. A split that the folder does not
give is made by group (`data_prep.corpora.groups`).
"""

import functools
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

from advjax.runtime.text import printable
from data_prep.clips import UnreadableAudio, decode
from data_prep.corpora.base import (
    SAMPLE_RATE_HZ,
    SPLITS,
    Corpus,
    Utterance,
    corpus_folder,
)
from data_prep.corpora.files import some
from data_prep.corpora.groups import Split, real_path, split_clips
from data_prep.corpora.layouts import list_clips
from data_prep.corpora.listing import LAYOUT, Clip
from data_prep.corpora.survey import Survey, found_lines, outside, survey
from data_prep.corpora.tables import chosen_classes


def folder(
    corpus_dir: str | pathlib.Path = "",
    *,
    label: str | None = None,
    group: Literal["speaker", "file", "clip"] | None = None,
    classes: str | Sequence[str] | None = None,
    crops: Literal["fixed", "whole"] = "fixed",
    seed: int = 0,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> Corpus:
    """A folder of recordings: class folders, metadata.csv, .tsv or .jsonl, or Kaldi's.

    Class folders may lie in train, validation and test; a folder inside a class is one
    speaker or session. A table has the columns file_name and label, and may have split,
    speaker, start and end (in seconds). Kaldi's lists are wav.scp, utt2spk and
    segments. Any rates, channels and containers of `clips.decode` may be mixed.

    A split that is not given is made of the training clips by group: a fifth of each
    class tests and a tenth of the rest validates, at least one group each as far as
    there are groups. The group is the speaker where each class has two or more,
    otherwise the source file.

    Args:
        corpus_dir: the folder.
        label: column of the table for the class, "label" by default; with Kaldi's
            lists the class is in utt2LABEL, by default the speaker of utt2spk.
        group: clips that stay on one side of a split that is made: those of a speaker,
            those of a file, or each clip by itself. By default speaker or file.
        classes: names of classes to use; all by default.
        crops: "fixed" cuts examples from the active part of a clip; "whole" takes one
            example of each clip from its beginning.
        seed: of a split that is made.
        sample_rate_hz: of the waves.

    Raises:
        ValueError: no layout, a list that cannot be read, no readable clip, a clip that
            is listed twice, or a class that cannot be split.
        OSError: no such folder, or one that cannot be read.
    """
    if not str(corpus_dir):
        raise ValueError(
            f"folder needs your recordings: give --corpus_dir=FOLDER, with {LAYOUT}"
        )
    if seed < 0:
        raise ValueError(f"seed={seed} must not be negative")
    root = corpus_folder(corpus_dir, corpus="your recordings", layout=LAYOUT)
    listing = list_clips(root, label)
    clips = _checked(listing.clips, classes, root)
    split = split_clips(clips, group=group, seed=seed, speakers=listing.speakers)
    seen = survey(clips)
    labels = tuple(sorted({clip.label for clip in clips}, key=_by_number))
    index_of = {label: index for index, label in enumerate(labels)}
    trained = {c.label for c, p in zip(clips, split.parts, strict=True) if p == "train"}
    if trained and (rest := set(labels) - trained):
        raise ValueError(
            f"{some(sorted(rest), 'label')} in {printable(str(root))} cannot be "
            "learnt, without training clips: add some, or choose others by classes=()"
        )
    splits: dict[str, list[Utterance]] = {name: [] for name in SPLITS}
    for clip, part in zip(clips, split.parts, strict=True):
        read = functools.partial(
            read_clip, clip.path, sample_rate_hz, clip.start_s, clip.end_s
        )
        speaker = clip.speaker or pathlib.Path(clip.path).stem
        utterance = Utterance(clip.id, index_of[clip.label], speaker, read)
        utterance = utterance._replace(seconds=seen.seconds(clip))
        splits[part].append(utterance)
    caveat, not_tested = split.sentence, []
    tested = {each.label for each in splits["test"]}
    if tested and (rest := set(range(len(labels))) - tested):
        not_tested = [labels[index] for index in sorted(rest)]
        caveat += f"; without test clips: {some(not_tested, 'label')}"
    return Corpus(
        name="folder",
        labels=labels,
        splits={name: tuple(part) for name, part in splits.items()},
        whole=crops == "whole",
        caveat=caveat,
        not_tested=tuple(not_tested),
        found=found_lines(
            f"{listing.layout} in {printable(str(root))}",
            clips,
            seen,
            split=", ".join(f"{len(part)} {name}" for name, part in splits.items())
            + f" clips: {caveat}",
            left_out=listing.left_out,
        ),
        listing=_description(clips, split, seen),
    )


def read_clip(
    path: str, sample_rate_hz: int, start_s: float = 0.0, end_s: float | None = None
) -> Float32[np.ndarray, "time"]:
    """Decode a recording, or a segment of one.

    Raises:
        UnreadableAudio: see `clips.decode`; or the segment is not in the recording.
    """
    if not start_s and end_s is None:
        return decode(path, sample_rate_hz)
    wave = _recording(path, sample_rate_hz)
    if problem := outside(start_s, end_s, len(wave) / sample_rate_hz):
        raise UnreadableAudio(path, problem)
    stop = len(wave) if end_s is None else round(end_s * sample_rate_hz)
    return wave[round(start_s * sample_rate_hz) : stop]


@functools.lru_cache(maxsize=1)  # segments of a recording follow each other
def _recording(path: str, sample_rate_hz: int) -> Float32[np.ndarray, "time"]:
    return decode(path, sample_rate_hz)


def _by_number(label: str) -> tuple[bool, int, str]:
    """Key that orders names, and numbers by value before them."""
    is_number = label.isascii() and label.isdigit()
    return not is_number, int(label) if is_number else 0, label


def _checked(
    clips: Sequence[Clip], classes: str | Sequence[str] | None, root: pathlib.Path
) -> list[Clip]:
    """The clips of the wanted classes in a fixed order, each of them once.

    Raises:
        ValueError: a clip that is listed twice, two classes whose names differ in
            letter case only, or an unknown class.
    """
    where = f" in {printable(str(root))}"
    chosen = chosen_classes(classes, {clip.label for clip in clips}, where=where)
    # The order of the files does not depend on the layout.
    clips = sorted(
        (clip for clip in clips if clip.label in chosen),
        key=lambda clip: (clip.path, clip.start_s, clip.id),
    )
    if len(chosen) == 1:
        raise ValueError(
            f"{printable(str(root))} has a single class ({printable(*chosen)}), and "
            "every classifier of one class is always right: give the folder that holds "
            "the folders of all classes, or a table with two labels"
        )
    spelled: dict[str, str] = {}
    for label in sorted(chosen):
        other = spelled.setdefault(label.casefold(), label)
        if other != label:
            raise ValueError(
                f"the classes {printable(other)!r} and {printable(label)!r}{where} "
                "differ in letter case only: give both one name, or two names"
            )
    ids: dict[str, Clip] = {}
    places: dict[tuple[str, float, float | None], Clip] = {}
    for clip in clips:
        place = (real_path(clip.path), clip.start_s, clip.end_s)
        other = places.setdefault(place, clip)
        other = other if other is not clip else ids.setdefault(clip.id, clip)
        if other is not clip:
            same = other.label == clip.label
            what = "twice" if same else f"as {other.label!r} and as {clip.label!r}"
            raise ValueError(
                f"{printable(clip.path)} is listed {printable(what)}{where}, as "
                f"{printable(other.id)} and {printable(clip.id)}: keep one of them"
            )
    return clips


def _description(clips: Sequence[Clip], split: Split, seen: Survey) -> dict[str, Any]:
    """The listing as JSON: a digest of it, and the split if one was made.

    A file that is changed or moved to another class changes the digest.
    """
    rows = [
        [*clip[:1], *clip[2:], part, *seen.stamps[clip.path]]
        for clip, part in zip(clips, split.parts, strict=True)
    ]
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
    lists = {
        name: [c.id for c, part in zip(clips, split.parts, strict=True) if part == name]
        for name in split.made
    }
    return {"digest": digest, "split": split.sentence, **lists}
