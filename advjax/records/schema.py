"""What a record is, what is said about a set of them, and how they are handed out."""

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

FIELDS = ("id", "audio", "features", "label", "speaker")
REBUILD = (
    "Delete the folder and build it again: "
    "python -m data_prep.build --corpus=... --rep=... --out=FOLDER"
)


class Example(TypedDict):
    """One record, as it is written and as it is read."""

    id: str
    audio: Int16[np.ndarray, "time"]
    features: Float32[np.ndarray, "*features"]
    label: int
    speaker: str


class Info(NamedTuple):
    """What a folder of records holds.

    `splits` maps each split to its number of records; `metadata` is what the writer
    said about their making.
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
        """How many records there are."""
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
    audio_shape = (representation.num_samples,)
    shape = representation.feature_shape
    empty = True
    for example in examples:
        empty = False
        identity = example["id"]
        audio, features = np.asarray(example["audio"]), np.asarray(example["features"])
        if (audio.dtype, audio.shape) != (np.int16, audio_shape):
            complaint = f"audio must be int16 {audio_shape}, not {_form(audio)}"
        elif (features.dtype, features.shape) != (np.float32, shape):
            complaint = f"features must be float32 {shape}, not {_form(features)}"
        elif not np.isfinite(features).all():
            complaint = "features are not finite: look at this recording"
        elif not 0 <= (label := operator.index(example["label"])) < num_labels:
            complaint = f"label {label} is none of 0 to {num_labels - 1}"
        elif not identity or identity in seen:
            complaint = "its id is empty or occurred before; ids must all differ"
        else:
            seen.add(identity)
            yield Example(
                id=identity,
                audio=audio,
                features=features,
                label=label,
                speaker=example["speaker"],
            )
            continue
        raise ValueError(f"cannot store example {identity!r} of {split}: {complaint}")
    if empty:
        raise ValueError(
            f"split {split!r} has no examples: leave it out, or give it some"
        )


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
