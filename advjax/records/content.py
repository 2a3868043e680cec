"""Digests of records: one file a split, which the header vouches for.

Digests are computed while records are written and compared when a record is read. They
prove that a record is the one that was written at its place, in either format. Records
of earlier versions have no digests and are read without them.
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
"""Schema of `content` in the header, by split.

`file` is the SHA-256 of the file of digests. `recordings` is that of everything but the
features, whose last bits differ between machines.
"""


class Writer:
    """Digests of the records that pass through `follow`."""

    def __init__(self, content: dict[str, dict[str, str]]):
        """Start without digests; `content` gets an entry for each complete split."""
        self._content = content
        self._digests: dict[str, bytes] = {}

    def follow(self, split: str, examples: Iterable[Example]) -> Iterator[Example]:
        """Yield the same examples, and compute their digests."""
        digests, recordings = bytearray(), hashlib.sha256()
        for example in examples:
            recording = _recording(example)
            recordings.update(recording)
            digests += _digest(recording, example.get("features"))
            yield example
        self._digests[split] = bytes(digests)
        self._content[split] = {
            "file": hashlib.sha256(digests).hexdigest(),
            "recordings": recordings.hexdigest(),
        }

    def save(self, folder: pathlib.Path) -> None:
        """Write the file of digests of each split."""
        for split, digests in self._digests.items():
            _path(folder, split).write_bytes(digests)


def seal(folder: pathlib.Path, header: Mapping[str, Any]) -> None:
    """Write the digest of a header, as it is read back."""
    (folder / _SEAL).write_text(_digest_of(header) + "\n", encoding="ascii")


def check_seal(folder: pathlib.Path, header: Mapping[str, Any]) -> None:
    """Refuse a header that is not the one that was written.

    Raises:
        Damaged: the header differs from its digest, or the digest is missing.
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
    """Digest of each record of a split; None if the header has none.

    Raises:
        Damaged: the file of digests is missing, or not the one in the header.
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
            f"{printable(str(path))} is damaged: it differs from the digest in the "
            f"description of the records. {REBUILD}"
        )
    return tuple(found[at : at + _BYTES] for at in range(0, len(found), _BYTES))


def matches(example: Example, digest: bytes) -> bool:
    """True if the digest of `example` is `digest`."""
    return _digest(_recording(example), example.get("features")) == digest


def _recording(example: Example) -> bytes:
    """Bytes of all fields but the features, with their sizes first."""
    texts = [example[field].encode("utf-8") for field in ("id", "speaker")]
    sizes = np.asarray([*map(len, texts), example["label"]], "<i8")
    audio = np.ascontiguousarray(example["audio"], "<i2")
    return b"".join((sizes.tobytes(), *texts, audio.tobytes()))


def _digest(recording: bytes, features: np.ndarray | None) -> bytes:
    found = hashlib.blake2b(recording, digest_size=_BYTES)
    if features is not None:
        found.update(np.ascontiguousarray(features, "<f4").tobytes())
    return found.digest()


def _path(folder: pathlib.Path, split: str) -> pathlib.Path:
    return folder / f"{split}.digests"
