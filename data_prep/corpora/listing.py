"""Clips of a folder of recordings, as every layout lists them."""

from typing import NamedTuple

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "development": "validation",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
"""Split by the name of a folder or the value of a column, in any letter case."""
LAYOUT = "CLASS/NAME.wav, or metadata.csv, or wav.scp and utt2spk"


class Clip(NamedTuple):
    """A recording or a segment of one, as a layout lists it.

    Attributes:
        id: unique in the folder.
        path: of its file.
        label: its class.
        split: a name in `SPLITS`; None if the layout gives none.
        speaker: or session, whose clips belong together; None if unknown.
        start_s: of the segment.
        end_s: of the segment; None for the end of the file.
        by_table: True if a table lists the file, which may then be absent.
    """

    id: str
    path: str
    label: str
    split: str | None = None
    speaker: str | None = None
    start_s: float = 0.0
    end_s: float | None = None
    by_table: bool = True


class Listing(NamedTuple):
    """The clips of a folder.

    Attributes:
        layout: the layout, in words.
        clips: in a fixed order.
        speakers: what the speakers of the clips are, in words.
        left_out: sentences on files that are ignored.
    """

    layout: str
    clips: list[Clip]
    speakers: str = "speaker"
    left_out: tuple[str, ...] = ()


def split_name(text: str) -> str:
    """Split that a value of a table means.

    Raises:
        ValueError: it means none.
    """
    try:
        return SPLIT_NAMES[text.lower()]
    except KeyError:
        raise ValueError(
            f"{text!r} is no split; write train, validation or test"
        ) from None
