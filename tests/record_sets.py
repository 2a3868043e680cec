"""Small sets of records for tests."""

import numpy as np
import pytest

from advjax import records
from advjax.representations import Magnitude, MelEnergies, Waveform

LABELS = ("anna", "bert", "çiğdem")
SET = "voices/mfbe/1.0.0"
"""Place of the set in the folder given to `write`."""
SIZES = {"train": 7, "test": 4}
REPRESENTATION = MelEnergies(source=Magnitude(source=Waveform(num_samples=1600)))
FORMATS = ["array_record", "npz"]


def skip_without_writer(file_format):
    """Skip the test where the packages that write this format are missing."""
    if file_format == "array_record":
        pytest.importorskip("tensorflow_datasets")
        pytest.importorskip("array_record")


def example(split, index, **changes):
    generator = np.random.default_rng([len(split), index])
    shape = REPRESENTATION.feature_shape
    return records.Example(
        id=f"{split}/ü-{index}@0",
        audio=generator.integers(-(2**15), 2**15, 1600).astype(np.int16),
        features=generator.normal(size=shape).astype(np.float32),
        label=index % 3,
        speaker=LABELS[index % 3],
    ) | dict(changes)


def examples(split):
    return [example(split, index) for index in range(SIZES[split])]


def write(folder, splits=None, **changes):
    options = {
        "name": "voices",
        "representation": REPRESENTATION,
        "labels": LABELS,
        "metadata": {"seed": 3, "note": "ß"},
    } | changes
    splits = {split: examples(split) for split in SIZES} if splits is None else splits
    return records.write(folder, splits, **options)
