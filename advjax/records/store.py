"""Writing and reading records: `write`, `info`, `read`, `load`."""

import functools
import json
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any, SupportsIndex

import numpy as np

from advjax.records import array_record, content, npz
from advjax.records.header import NAME
from advjax.records.schema import (
    FIELDS,
    REBUILD,
    Example,
    Info,
    Source,
    checked,
    complain,
    position,
)
from advjax.representations import (
    Representation,
    definition,
    from_definition,
    probe,
)
from advjax.runtime.atomic import new_folder
from advjax.runtime.damage import Damaged
from advjax.runtime.paths import user_path
from advjax.runtime.text import printable

Path = str | PathLike[str]

FILE_FORMATS = {"array_record": array_record, "npz": npz}
LAYOUT_VERSION = 1
# Float32 sums differ in the last bits between backends, and a probe's largest values
# are below 10; other code was off by 1.6 where it was tried.
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
) -> Info:
    """Write records to `folder`, which appears only when it is complete.

    Args:
        folder: a new folder; an interrupted build leaves nothing under this name.
        splits: the examples of each split; each iterable is read once, in order.
        name: of the corpus; lower-case letters, digits and underscores.
        representation: what the features are.
        labels: the name of each class; a label is an index into them.
        metadata: anything JSON that should stay with the records. It is stored after
            the last example was drawn, so counts gathered on the way may be in it.
        file_format: "array_record", or "npz" where TFDS is missing.

    Raises:
        FileExistsError: something is in `folder`.
        ValueError: an example does not fit the representation or the labels, has an id
            that occurred before, or is not finite; the message names it.
    """
    if file_format not in FILE_FORMATS:
        raise ValueError(
            f"no file format {file_format!r}; choose {' or '.join(FILE_FORMATS)}"
        )
    for word in (name, *splits):
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
        # Filled while the examples are drawn.
        "content": (described := {}),
    }
    json.dumps(header)  # what JSON cannot hold should fail before the work, not after
    seen: set[str] = set()
    digests = content.Writer(described)
    examples = {
        split: digests.follow(
            split, checked(each, split, representation, len(labels), seen)
        )
        for split, each in splits.items()
    }
    with new_folder(folder) as partial:
        FILE_FORMATS[file_format].write(partial, examples, header, representation)
        digests.save(partial)
        content.seal(partial, FILE_FORMATS[file_format].header(partial))
    return info(folder, expect=representation)


def info(folder: Path, *, expect: Representation | None = None) -> Info:
    """Description of the records in `folder`, checked against the code.

    Args:
        folder: the folder given to `write`.
        expect: the representation that the reader needs; any if None.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it is incomplete, its definition is not that of `expect`, or today's
            code computes other features.
    """
    folder = user_path(folder)
    return _info(folder, _header(folder), expect)


def recordings(folder: Path) -> dict[str, str] | None:
    """A digest of each split's ids, audio, labels and speakers, in their order.

    None for records of versions that wrote none. The features are left out: they follow
    from the audio, and their last bits depend on the machine that computed them.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: its description is damaged.
    """
    said = _header(user_path(folder)).get("content")
    return said and {split: each["recordings"] for split, each in said.items()}


def _header(folder: pathlib.Path) -> dict[str, Any]:
    """Description of the folder, in either format.

    Raises:
        ValueError: another layout, or splits of which only some have digests.
    """
    header = _format_of(folder).header(folder)
    if header["layout_version"] != LAYOUT_VERSION:
        raise ValueError(
            f"{printable(str(folder))} has layout {header['layout_version']}, and this "
            f"version reads layout {LAYOUT_VERSION}. {REBUILD}"
        )
    if "content" in header and header["content"].keys() != header["splits"].keys():
        raise Damaged(
            f"{printable(str(folder))} is damaged: its description has digests of "
            f"other splits than it has. {REBUILD}"
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
    except Exception as error:  # a definition without digest may hold anything
        said = printable(str(error))[:300]
        raise ValueError(
            f"{shown} cannot be read by this version ({said}). {REBUILD}"
        ) from error
    stored = np.asarray(header["probe"], np.float32)
    if stored.shape != computed.shape:
        raise Damaged(f"{shown} is damaged: its probe is of another length. {REBUILD}")
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
    )


def read(
    folder: Path,
    split: str,
    *,
    expect: Representation | None = None,
    check: bool = True,
) -> "CheckedSource":
    """The records of one split.

    Args:
        folder: what `write` was given; the format is found out.
        split: "train", "validation" or "test", or what else was written.
        expect: the representation that the features must be of; any if None.
        check: refuse a record that is damaged when it is read. Without, ask
            `complaint`.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: as `info`; or there is no such split. A damaged file raises it here
            or when one of its records is read.
    """
    folder = user_path(folder)
    header = _header(folder)
    found = _info(folder, header, expect)
    splits, shown = found.splits, printable(str(folder))
    if split not in splits:
        listed = ", ".join(f"{name} ({size} records)" for name, size in splits.items())
        raise ValueError(f"{shown} has no split {split!r}; it has {listed}")
    digests = content.read(folder, split, header.get("content"), splits[split])
    source = _format_of(folder).Records(folder, split, found)
    return CheckedSource(
        source, found, digests, place=f"{shown} ({split})", check=check
    )


class CheckedSource:
    """A source whose records are found to be what they must be, as they are read."""

    def __init__(
        self,
        source: Source,
        info: Info,
        digests: tuple[bytes, ...] | None,
        *,
        place: str,
        check: bool,
    ):
        """The records of `source`; without digests only their form is looked at."""
        self._source, self._info, self._digests = source, info, digests
        self._place, self._check = place, check

    def __len__(self) -> int:
        """Number of records."""
        return len(self._source)

    def __getitem__(self, index: SupportsIndex) -> Example:
        """One record; its arrays are copies.

        Raises:
            Damaged: it is not what was written.
        """
        place = position(index, len(self))
        example = self._source[place]
        if self._check and (wrong := self.complaint(place, example)):
            where = f"record {place} of {self._place}"
            raise Damaged(f"{where} is damaged: {wrong}. {REBUILD}")
        return example

    def complaint(self, place: int, example: Example) -> str:
        """Complaint about the record read at `place`; None if it is sound."""
        wrong = complain(example, self._info.representation, len(self._info.labels))
        digest = None if self._digests is None else self._digests[place]
        if not wrong and digest is not None and not content.matches(example, digest):
            return "it is not the record that was written there"
        return wrong


def load(
    source: Source,
    *,
    fields: Sequence[str] = FIELDS,
    progress: Callable[[], object] | None = None,
) -> dict[str, np.ndarray]:
    """Every record of `source` in memory: each field stacked, in the same order.

    Args:
        source: what `read` returned.
        fields: those wanted; leaving out `audio` or `features` saves their memory.
        progress: called after each record (`Progress.advance`).

    Returns:
        Arrays of length `len(source)`: int16 audio, float32 features, int32 label, and
        text for id and speaker.

    Raises:
        Damaged: a record is not what was written, or an id occurs twice.
    """
    if unknown := set(fields) - set(FIELDS):
        listed = ", ".join(FIELDS)
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
                if index == 0:  # whole at once: a list of rows would double the memory
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


def _format_of(folder: pathlib.Path) -> Any:
    """The module that reads this folder."""
    shown = printable(str(folder))
    if not folder.exists():
        raise FileNotFoundError(
            f"no records at {shown}: make them with "
            f"python -m data_prep.build --corpus=voices --rep=mfbe --out={shown}"
        )
    for module in FILE_FORMATS.values():
        if all((folder / name).is_file() for name in module.HEADER_FILES):
            return module
    wanted = " or ".join(" and ".join(m.HEADER_FILES) for m in FILE_FORMATS.values())
    raise ValueError(
        f"{shown} is not a complete set of records: it has no {wanted}. Give the "
        "folder that data_prep.build made; if this was it, build it again elsewhere"
    )


def _differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """The fields in which two definitions differ, in words."""
    if stored.get("name") != wanted["name"]:
        yield f"{stored.get('name')} is stored and {wanted['name']} asked for"
        return
    for field in sorted(set(stored) | set(wanted)):
        there, here = stored.get(field, "nothing"), wanted.get(field, "nothing")
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            yield from _differences(there, here)
        elif there != here:
            yield f"{wanted['name']}.{field} is {there!r} there and {here!r} asked for"
