"""Records: examples on disk, tied to the code that computed their features.

A record is `{id, audio, features, label, speaker}`: 16-bit audio, and the features
computed from that very audio. Beside them lie the definition of the representation
(every field of its chain) and a probe (what its code gives for a fixed chirp). Reading
compares both with the code that reads: other settings and other code are refused.

Two formats with one protocol. `array_record` is the TFDS layout, written and decoded
with tensorflow_datasets but without TensorFlow, and opens in any TFDS program through
`tfds.builder_from_directory(folder)`; its shards carry checksums. `npz` is a folder of
plain `.npy` files for each split, for machines without TFDS. Nothing is ever unpickled,
and no class or module that a file names is looked up.

The description has digests, and every record that is read is compared with its own.
Those of earlier versions have none: their form is checked, and their content believed.

A folder appears under its name when it is complete, and not before.
"""

from advjax.records.schema import FIELDS, Example, Info, Source
from advjax.records.store import FILE_FORMATS, Path, info, load, read, recordings, write

__all__ = [
    "FIELDS",
    "FILE_FORMATS",
    "Example",
    "Info",
    "Path",
    "Source",
    "info",
    "load",
    "read",
    "recordings",
    "write",
]
