"""Records: labelled examples on disk, with features and their definition.

A record is `{id, audio, features, label, speaker}`: 16-bit audio, and the features
computed from that audio. Records of large images may leave the features out. The folder
also holds the definition of the representation (every field of its chain) and a probe
(values that its code computes from a fixed chirp). Reading compares both with the
current code, and refuses records of other settings or other code.

Two formats share one protocol. `array_record` is the TFDS layout, written and decoded
with tensorflow_datasets but without TensorFlow. Any TFDS program opens it by name,
`tfds.data_source("voices/mfbe", data_dir=folder)`; its shards carry checksums. `npz` is
a folder of plain `.npy` files for each split, for machines without TFDS. Nothing is
unpickled, and no class or module that a file names is imported.

The description has digests, and each record is compared with its digest when it is
read. Records of earlier versions have no digests: only their form is checked.

A set lies in `NAME/CONFIG/1.0.0` of the folder given, and appears only when it is
complete.
"""

from advjax.records.columns import Column
from advjax.records.places import FILE_FORMATS, Path, place, sets
from advjax.records.schema import FIELDS, Example, Info, Source, spread
from advjax.records.store import info, load, read, recordings, write

__all__ = [
    "FIELDS",
    "FILE_FORMATS",
    "Column",
    "Example",
    "Info",
    "Path",
    "Source",
    "info",
    "load",
    "place",
    "read",
    "recordings",
    "sets",
    "spread",
    "write",
]
