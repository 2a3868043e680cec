"""Types of records: an example, the description of a folder, and a reader."""

import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import (
    Any,
    NamedTuple,
    NotRequired,
    Protocol,
    SupportsIndex,
    TypedDict,
    runtime_checkable,
)

import numpy as np
from jaxtyping import Float32, Int, Int16

from advjax.representations import Representation
from advjax.runtime.text import has_controls, printable

FIELDS = ("id", "audio", "features", "label", "speaker")
AUDIO_FIELDS = ("id", "audio", "label", "speaker")
"""Fields of records without features, which their readers compute from the audio."""
REBUILD = (
    "Delete the folder and build it again: "
    "python -m data_prep.build --corpus=... --rep=... --out=FOLDER"
)
"""Advice in messages about damaged records."""


class Example(TypedDict):
    """One record, as written and as read; without features where none are stored."""

    id: str
    audio: Int16[np.ndarray, "time"]
    features: NotRequired[Float32[np.ndarray, "*features"]]
    label: int
    speaker: str


class Info(NamedTuple):
    """Description of a folder of records.

    `splits` maps each split to its number of records; `metadata` describes how the
    records were made; `fields` are those stored: `FIELDS` or `AUDIO_FIELDS`.
    """

    name: str
    representation: Representation
    labels: tuple[str, ...]
    splits: dict[str, int]
    metadata: dict[str, Any]
    fields: tuple[str, ...] = FIELDS


@runtime_checkable
class Source(Protocol):
    """The records of one split, in the order in which they were written."""

    def __len__(self) -> int:
        """Number of records."""
        ...

    def __getitem__(self, index: SupportsIndex) -> Example:
        """One record; its arrays are copies that may be written to."""
        ...


def validate(
    examples: Iterable[Example],
    split: str,
    representation: Representation,
    num_labels: int,
    seen: set[str],
    *,
    fields: Sequence[str] = FIELDS,
) -> Iterator[Example]:
    """Yield the examples, after checking that each can be stored.

    Args:
        examples: of one split.
        split: name of the split, for messages.
        representation: of the features.
        num_labels: number of classes; labels lie below it.
        seen: ids so far, over all splits; grows.
        fields: those to store; others are left out.

    Raises:
        ValueError: an example cannot be stored (the message has its id), or there are
            none.
    """
    empty = True
    for example in examples:
        empty = False
        stored = Example(
            id=example["id"],
            audio=np.asarray(example["audio"]),
            label=operator.index(example["label"]),
            speaker=example["speaker"],
        )
        if "features" in fields:
            stored["features"] = np.asarray(example["features"])
        complaint = complain(stored, representation, num_labels)
        if not complaint and stored["id"] in seen:
            complaint = "its id occurred before: give every example its own id"
        if complaint:
            identity = printable(repr(stored["id"]))
            raise ValueError(f"cannot store example {identity} of {split}: {complaint}")
        seen.add(stored["id"])
        yield stored
    if empty:
        raise ValueError(
            f"split {split!r} has no examples: leave it out, or give it some"
        )


def complain(example: Example, representation: Representation, num_labels: int) -> str:
    """Reason why an example cannot be stored; empty if it can.

    Args:
        example: with arrays of any type and shape.
        representation: that the features must be of, if there are any.
        num_labels: number of classes; the label must lie below it.
    """
    audio, features = example["audio"], example.get("features")
    audio_shape, shape = (representation.num_samples,), representation.feature_shape
    label = example["label"]
    if (audio.dtype, audio.shape) != (np.int16, audio_shape):
        return f"audio must be int16 {audio_shape}, not {_form(audio)}"
    if features is not None:
        if (features.dtype, features.shape) != (np.float32, shape):
            return f"features must be float32 {shape}, not {_form(features)}"
        if not np.isfinite(features).all():
            return "features are not finite: check this recording"
    if not 0 <= label < num_labels:
        return f"label {label} is none of 0 to {num_labels - 1}"
    if not example["id"]:
        return "its id is empty"
    for field in ("id", "speaker"):
        if has_controls(example[field]):
            return f"its {field} has control characters or is not valid Unicode"
    return ""


def spread(total: int, count: int) -> Int[np.ndarray, "count"]:
    """Places of `count` of so many records, evenly apart from the first to the last."""
    return np.linspace(0, total - 1, count).round().astype(int)


def position(index: SupportsIndex, length: int) -> int:
    """Place of `index` in a sequence; negative indices count from the end.

    Raises:
        IndexError: the index is out of range.
    """
    place = operator.index(index)
    if not -length <= place < length:
        raise IndexError(f"there is no record {index}: the split has {length}")
    return place % length


def _form(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"
