"""Digests of records: a short one of each, in a file that the header vouches for.

They are computed as the records are written and compared when one is read, so that a
record is known to be the one that was built, in its place, in whatever format.
Records of versions before there were digests have none, and are read without.
"""

import hashlib
import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from advjax.records.schema import REBUILD, Example
from advjax.runtime.damage import Damaged
from advjax.runtime.json_files import Fields, Table, Text
from advjax.runtime.text import printable

_SEAL = "description.sha256"
_BYTES = 8
_HEX = Text(pattern="[0-9a-f]{64}")
CONTENT = Table(Fields({"file": _HEX, "recordings": _HEX}))
"""Content of the header by split: the SHA-256 of the file of digests,
and that of everything but the features, which differ in their last bits between
machines."""


class Writer:
    """The digests of the records that pass through `follow`."""

    def __init__(self, content: dict[str, dict[str, str]]):
        """A writer that describes each split in `content` when it is complete."""
        self._content = content
        self._digests: dict[str, bytes] = {}

    def follow(self, split: str, examples: Iterable[Example]) -> Iterator[Example]:
        """The same examples."""
        digests, recordings = bytearray(), hashlib.sha256()
        for example in examples:
            recording = _recording(example)
            recordings.update(recording)
            digests += _digest(recording, example["features"])
            yield example
        self._digests[split] = bytes(digests)
        self._content[split] = {
            "file": hashlib.sha256(digests).hexdigest(),
            "recordings": recordings.hexdigest(),
        }

    def save(self, folder: pathlib.Path) -> None:
        """Write the file of each split."""
        for split, digests in self._digests.items():
            _path(folder, split).write_bytes(digests)


def seal(folder: pathlib.Path, header: Mapping[str, Any]) -> None:
    """Write the digest of the description, as it is read back."""
    (folder / _SEAL).write_text(_digest_of(header) + "\n", encoding="ascii")


def check_seal(folder: pathlib.Path, header: Mapping[str, Any]) -> None:
    """Refuse a description that is not the one that was written.

    Raises:
        Damaged: it is not.
    """
    path = folder / _SEAL
    try:
        with path.open("rb") as file:
            said = file.read(100).strip()
    except FileNotFoundError as error:
        raise Damaged(f"{printable(str(path))} is missing. {REBUILD}") from error
    if said != _digest_of(header).encode():
        raise Damaged(
            f"{printable(str(folder))} is damaged: its description (names, labels, "
            f"definition or sizes) is not the one that was written. {REBUILD}"
        )


def _digest_of(header: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


def read(
    folder: pathlib.Path, split: str, content: Mapping[str, Any] | None, length: int
) -> tuple[bytes, ...] | None:
    """The digest of each record of a split; None where the header tells none.

    Raises:
        Damaged: the file is not the one that the header tells.
    """
    if content is None:
        return None
    path = _path(folder, split)
    try:
        with path.open("rb") as file:
            found = file.read(length * _BYTES + 1)
    except FileNotFoundError as error:
        raise Damaged(f"{printable(str(path))} is missing. {REBUILD}") from error
    said = content.get(split, {}).get("file")
    if len(found) != length * _BYTES or hashlib.sha256(found).hexdigest() != said:
        raise Damaged(
            f"{printable(str(path))} is damaged: it is not the file that the "
            f"description of the records tells. {REBUILD}"
        )
    return tuple(found[at : at + _BYTES] for at in range(0, len(found), _BYTES))


def matches(example: Example, digest: bytes) -> bool:
    """Report if a record is the one that had this digest when it was written."""
    return _digest(_recording(example), example["features"]) == digest


def _recording(example: Example) -> bytes:
    """Everything but the features, unambiguously."""
    texts = [example[field].encode("utf-8") for field in ("id", "speaker")]
    sizes = np.asarray([*map(len, texts), example["label"]], "<i8")
    audio = np.ascontiguousarray(example["audio"], "<i2")
    return b"".join((sizes.tobytes(), *texts, audio.tobytes()))


def _digest(recording: bytes, features: np.ndarray) -> bytes:
    found = hashlib.blake2b(recording, digest_size=_BYTES)
    found.update(np.ascontiguousarray(features, "<f4").tobytes())
    return found.digest()


def _path(folder: pathlib.Path, split: str) -> pathlib.Path:
    return folder / f"{split}.digests"
