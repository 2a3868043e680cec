"""Records, the description of a set of records, and sources that read them."""

import functools
import operator
from collections.abc import Iterable, Iterator
from typing import (
    Any,
    NamedTuple,
    Protocol,
    SupportsIndex,
    TypedDict,
    runtime_checkable,
)

import numpy as np
from jaxtyping import Float32, Int16

from advjax.representations import Representation
from advjax.runtime.text import has_controls, printable

FIELDS = ("id", "audio", "features", "label", "speaker")
REBUILD = (
    "Delete the folder and build it again: "
    "python -m data_prep.build --corpus=... --rep=... --out=FOLDER"
)
"""Advice about records that are certainly damaged."""


class Example(TypedDict):
    """One record, as it is written and as it is read."""

    id: str
    audio: Int16[np.ndarray, "time"]
    features: Float32[np.ndarray, "*features"]
    label: int
    speaker: str


class Info(NamedTuple):
    """Description of a folder of records.

    `splits` maps each split to its number of records; `metadata` describes how the
    records were made.
    """

    name: str
    representation: Representation
    labels: tuple[str, ...]
    splits: dict[str, int]
    metadata: dict[str, Any]


@runtime_checkable
class Source(Protocol):
    """The records of one split, in the order in which they were written."""

    def __len__(self) -> int:
        """Number of records."""
        ...

    def __getitem__(self, index: SupportsIndex) -> Example:
        """One record; its arrays are copies that may be written to."""
        ...


def checked(
    examples: Iterable[Example],
    split: str,
    representation: Representation,
    num_labels: int,
    seen: set[str],
) -> Iterator[Example]:
    """The examples, each found to be one that can be stored.

    Args:
        examples: those of one split.
        split: its name, for messages.
        representation: what their features must be.
        num_labels: labels lie below it.
        seen: the ids so far, over all splits; grows.

    Raises:
        ValueError: an example that is not, by its id; or no examples at all.
    """
    empty = True
    for example in examples:
        empty = False
        stored = Example(
            id=example["id"],
            audio=np.asarray(example["audio"]),
            features=np.asarray(example["features"]),
            label=operator.index(example["label"]),
            speaker=example["speaker"],
        )
        complaint = complain(stored, representation, num_labels)
        if not complaint and stored["id"] in seen:
            complaint = "its id occurred before; ids must all differ"
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
    """A few words on what is wrong with an example; none if it can be a record.

    Args:
        example: with arrays of any type and shape.
        representation: what its features must be.
        num_labels: its label lies below it.
    """
    audio, features = example["audio"], example["features"]
    audio_shape, shape = (representation.num_samples,), _feature_shape(representation)
    label = example["label"]
    if (audio.dtype, audio.shape) != (np.int16, audio_shape):
        return f"audio must be int16 {audio_shape}, not {_form(audio)}"
    if (features.dtype, features.shape) != (np.float32, shape):
        return f"features must be float32 {shape}, not {_form(features)}"
    if not np.isfinite(features).all():
        return "features are not finite: look at this recording"
    if not 0 <= label < num_labels:
        return f"label {label} is none of 0 to {num_labels - 1}"
    if not example["id"]:
        return "its id is empty"
    for field in ("id", "speaker"):
        if has_controls(example[field]):
            return f"its {field} has control characters, or none of Unicode"
    return ""


@functools.cache
def _feature_shape(representation: Representation) -> tuple[int, ...]:
    """The shape, traced once and not for each record."""
    return representation.feature_shape


def position(index: SupportsIndex, length: int) -> int:
    """The place that `index` means in a sequence; negative ones count from the end.

    Raises:
        IndexError: there is none.
    """
    place = operator.index(index)
    if not -length <= place < length:
        raise IndexError(f"record {index} of {length}")
    return place % length


def _form(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"
