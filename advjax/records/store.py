"""Functions that write and read records: `write`, `info`, `read`, `load`."""

import functools
import json
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

from advjax.records import content
from advjax.records.header import NAME
from advjax.records.places import (
    FILE_FORMATS,
    Path,
    format_of,
    new_set,
    only_set,
    place,
)
from advjax.records.schema import (
    AUDIO_FIELDS,
    FIELDS,
    REBUILD,
    Example,
    Info,
    Source,
    complain,
    position,
    validate,
)
from advjax.representations import (
    Representation,
    definition,
    from_definition,
    probe,
)
from advjax.runtime.damage import Damaged
from advjax.runtime.text import printable

LAYOUT_VERSION = 1
# Float32 sums differ in the last bits between backends, and the largest values of a
# probe are below 10. A probe of other code differed by 1.6 where it was tried.
PROBE_TOLERANCE = 1e-3


def write(
    folder: Path,
    splits: Mapping[str, Iterable[Example]],
    *,
    name: str,
    representation: Representation,
    labels: Sequence[str],
    metadata: Mapping[str, Any] | None = None,
    file_format: str = "array_record",
    features: bool = True,
) -> Info:
    """Write records to `NAME/CONFIG/1.0.0` in `folder`; they appear when complete.

    NAME is that of the corpus, and CONFIG that of the representation. TFDS calls the
    folder `data_dir`: `tfds.data_source("voices/mfbe", data_dir=folder)` opens them.

    Args:
        folder: made if need be; it may hold other sets of records.
        splits: the examples of each split; each iterable is read once, in order.
        name: of the corpus; lower-case letters, digits and underscores.
        representation: of the features.
        labels: the name of each class; a label is an index into them.
        metadata: JSON values to keep with the records. They are stored after the last
            example is drawn, so counts that grow meanwhile may be in them.
        file_format: "array_record", or "npz" where TFDS is missing.
        features: store the features of the examples. If False, the records hold audio
            alone, from which readers compute the features.

    Raises:
        FileExistsError: `folder` holds such records, or is a set of records itself.
        ValueError: an example does not fit the representation or the labels, has an id
            that occurred before, or is not finite; the message names it.
    """
    if file_format not in FILE_FORMATS:
        raise ValueError(
            f"no file format {file_format!r}; choose {' or '.join(FILE_FORMATS)}"
        )
    for word in (name, representation.name, *splits):
        if not re.fullmatch(NAME, word):
            raise ValueError(
                f"{word!r} cannot name records or a split: use lower-case letters, "
                "digits and underscores, a letter first"
            )
    if not splits or not labels or len(set(labels)) < len(labels):
        raise ValueError("records need at least one split, and labels that all differ")
    header = {
        "layout_version": LAYOUT_VERSION,
        "name": name,
        "labels": list(labels),
        "definition": definition(representation),
        "probe": [float(value) for value in _probe(representation)],
        "metadata": {} if metadata is None else metadata,
        # Filled while examples are drawn.
        "content": (described := {}),
        **({} if features else {"fields": list(AUDIO_FIELDS)}),
    }
    fields = FIELDS if features else AUDIO_FIELDS
    json.dumps(header)  # values that JSON cannot hold fail here, before the work
    seen: set[str] = set()
    digests = content.Writer(described)
    examples = {
        split: digests.follow(
            split,
            validate(each, split, representation, len(labels), seen, fields=fields),
        )
        for split, each in splits.items()
    }
    with new_set(folder, name, representation) as partial:
        FILE_FORMATS[file_format].write(partial, examples, header, representation)
        digests.save(partial)
        content.seal(partial, FILE_FORMATS[file_format].header(partial))
    return info(place(folder, name, representation), expect=representation)


def info(folder: Path, *, expect: Representation | None = None) -> Info:
    """Description of the records in `folder`, checked against the code.

    Args:
        folder: the folder given to `write` if it holds one set of records, or the
            folder of a set in it.
        expect: representation that the reader needs; None accepts any.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder is incomplete, holds several sets, its definition is not
            that of `expect`, or the current code computes other features.
    """
    folder = only_set(folder)
    return _info(folder, _header(folder), expect)


def recordings(folder: Path) -> dict[str, str] | None:
    """Digest of each split's ids, audio, labels and speakers, in order.

    None for records of earlier versions, which have no digests. Features are left out:
    they follow from the audio, and their last bits depend on the machine.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the description is damaged.
    """
    said = _header(only_set(folder)).get("content")
    return said and {split: each["recordings"] for split, each in said.items()}


def _header(folder: pathlib.Path) -> dict[str, Any]:
    """Description in the folder, in either format.

    Raises:
        ValueError: the layout is another, or the digests are of other splits.
    """
    header = format_of(folder).header(folder)
    if header["layout_version"] != LAYOUT_VERSION:
        raise ValueError(
            f"{printable(str(folder))} has layout {header['layout_version']}, and this "
            f"version reads layout {LAYOUT_VERSION}. {REBUILD}"
        )
    if "content" in header and header["content"].keys() != header["splits"].keys():
        raise Damaged(
            f"{printable(str(folder))} is damaged: its digests are of other splits "
            f"than its records. {REBUILD}"
        )
    return header


def _info(
    folder: pathlib.Path, header: dict[str, Any], expect: Representation | None
) -> Info:
    shown = printable(str(folder))
    if expect is not None:
        wanted = json.loads(json.dumps(definition(expect)))
        if differing := list(_differences(header["definition"], wanted)):
            raise ValueError(
                f"{shown} holds other features than asked for: "
                f"{'; '.join(differing)}. "
                "Ask for what it holds, or build other records with data_prep.build"
            )
    try:
        representation = expect or from_definition(header["definition"])
        if "content" in header:
            content.check_seal(folder, header)
        computed = _probe(representation)
    except Damaged:
        raise
    except Exception as error:  # a definition without a digest may hold anything
        said = printable(str(error))[:300]
        raise ValueError(
            f"{shown} cannot be read by this version ({said}). {REBUILD}"
        ) from error
    stored = np.asarray(header["probe"], np.float32)
    if stored.shape != computed.shape:
        raise Damaged(f"{shown} is damaged: its probe has another length. {REBUILD}")
    error = np.abs(computed - stored)
    if not np.all(error <= PROBE_TOLERANCE * np.maximum(1.0, np.abs(stored))):
        raise ValueError(
            f"{shown} was built by other code: {representation.name} of the test "
            f"chirp now differs by up to {np.max(error):.3g} from what was stored. "
            f"{REBUILD}"
        )
    return Info(
        header["name"],
        representation,
        tuple(header["labels"]),
        dict(header["splits"]),
        header["metadata"],
        tuple(header.get("fields", FIELDS)),
    )


def read(
    folder: Path,
    split: str,
    *,
    expect: Representation | None = None,
    check: bool = True,
) -> "CheckedSource":
    """Records of one split.

    Args:
        folder: as for `info`, in either format.
        split: "train", "validation" or "test", or another name that was written.
        expect: representation that the features must be of; None accepts any.
        check: refuse a damaged record when it is read. If False, ask `complaint`.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: as `info`; or there is no such split. A damaged file raises it here
            or when one of its records is read.
    """
    folder = only_set(folder)
    header = _header(folder)
    found = _info(folder, header, expect)
    splits, shown = found.splits, printable(str(folder))
    if split not in splits:
        listed = ", ".join(f"{name} ({size} records)" for name, size in splits.items())
        raise ValueError(f"{shown} has no split {split!r}; it has {listed}")
    digests = content.read(folder, split, header.get("content"), splits[split])
    source = format_of(folder).Records(folder, split, found)
    return CheckedSource(
        source, found, digests, place=f"{shown} ({split})", check=check
    )


class CheckedSource:
    """A source that checks each record as it is read."""

    def __init__(
        self,
        source: Source,
        info: Info,
        digests: tuple[bytes, ...] | None,
        *,
        place: str,
        check: bool,
    ):
        """Wrap `source`; without digests only the form of records is checked."""
        self._source, self._info, self._digests = source, info, digests
        self._place, self._check = place, check

    def __len__(self) -> int:
        """Number of records."""
        return len(self._source)

    def __getitem__(self, index: SupportsIndex) -> Example:
        """One record; its arrays are copies.

        Raises:
            Damaged: the record is not the one that was written.
        """
        place = position(index, len(self))
        example = self._source[place]
        if self._check and (wrong := self.complaint(place, example)):
            where = f"record {place} of {self._place}"
            raise Damaged(f"{where} is damaged: {wrong}. {REBUILD}")
        return example

    def complaint(self, place: int, example: Example) -> str:
        """Reason why the record read at `place` is damaged; empty if it is not."""
        wrong = complain(example, self._info.representation, len(self._info.labels))
        digest = None if self._digests is None else self._digests[place]
        if not wrong and digest is not None and not content.matches(example, digest):
            return "it is not the record that was written there"
        return wrong


def load(
    source: Source,
    *,
    fields: Sequence[str] | None = None,
    progress: Callable[[], object] | None = None,
) -> dict[str, np.ndarray]:
    """Read every record of `source` into memory, each field stacked in order.

    Args:
        source: returned by `read`.
        fields: those to load; None for all that are stored. Leaving out `audio` or
            `features` saves their memory.
        progress: called after each record (`Progress.advance`).

    Returns:
        Arrays of length `len(source)`: int16 audio, float32 features, int32 label, and
        text for id and speaker.

    Raises:
        Damaged: a record is not the one that was written, or an id occurs twice.
    """
    first = source[0]
    stored = [field for field in FIELDS if field in first]
    fields = stored if fields is None else fields
    if unknown := set(fields) - set(stored):
        listed = ", ".join(stored)
        raise ValueError(f"no field {', '.join(sorted(unknown))}; there are {listed}")
    columns: dict[str, Any] = {field: [] for field in fields}
    seen: set[str] = set()
    for index in range(len(source)):
        example = source[index]
        if example["id"] in seen:
            twice = printable(example["id"])
            raise Damaged(f"the records are damaged: {twice} occurs twice. {REBUILD}")
        seen.add(example["id"])
        for field in fields:
            value = example[field]
            if isinstance(value, np.ndarray):
                if index == 0:  # allocated whole: a list of rows takes twice as much
                    shape = (len(source), *value.shape)
                    columns[field] = np.empty(shape, value.dtype)
                columns[field][index] = value
            else:
                columns[field].append(value)
        if progress is not None:
            progress()
    types = {"id": np.str_, "speaker": np.str_, "label": np.int32}
    return {
        field: np.asarray(column, types.get(field)) for field, column in columns.items()
    }


@functools.cache
def _probe(representation: Representation) -> np.ndarray:
    """`probe`, compiled and computed once a process."""
    return probe(representation)


def _differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """Each field in which two definitions differ, in words."""
    if stored.get("name") != wanted["name"]:
        yield f"{stored.get('name')} is stored and {wanted['name']} asked for"
        return
    for field in sorted(set(stored) | set(wanted)):
        there, here = stored.get(field, "nothing"), wanted.get(field, "nothing")
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            yield from _differences(there, here)
        elif there != here:
            yield f"{wanted['name']}.{field} is {there!r} there and {here!r} asked for"
